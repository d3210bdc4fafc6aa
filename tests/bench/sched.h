/* SPDX-License-Identifier: MIT */
/*
 * sched.h - what the lines of the cost table share. Each line is a function that does `count`
 * operations in the first coroutine of a runtime; sched.c runs and times it. The peers in peers/ do
 * the same under the same names.
 */
#ifndef BENCH_SCHED_H
#define BENCH_SCHED_H

#include <co/park.h>
#include <co/task.h>
#include <stdatomic.h>

struct bench_line {
    const char *name;
    void (*fn)(long count);
};

/* One table per file; a line without a name ends it. */
extern const struct bench_line bench_run[];
extern const struct bench_line bench_sync[];
extern const struct bench_line bench_chan[];
extern const struct bench_line bench_time[];

/*
 * A line that sets something up first, or takes something down afterwards, says when its operations
 * begin and end; the others are timed from call to return.
 */
void bench_begin(void);
void bench_end(void);

/* Ends the program if r is negative. Returns: r. */
int bench_must(const char *what, int r);

/* Starts fn(arg). */
void bench_go(co_fn *fn, void *arg);

/* Runs fn(0, arg) to fn(n - 1, arg) in coroutines of their own, and waits for them. */
void bench_together(int n, void (*fn)(int index, void *arg), void *arg);

/*
 * Runs fn(0, arg) in another coroutine and fn(1, arg) in this one, each pinned to a worker of its
 * own. It takes some milliseconds until they are: fn(1, arg) begins with bench_begin.
 */
void bench_apart(void (*fn)(int index, void *arg), void *arg);

/* A signal from one coroutine to another, on co/park.h alone: empty, given, or who waits for it. */
struct bench_cell {
    _Atomic co_ticket word;
};

void bench_give(struct bench_cell *cell);
void bench_take(struct bench_cell *cell);

#endif
