/* SPDX-License-Identifier: MIT */
/*
 * sched - what the runtime and its primitives cost, one line of the table at a time.
 *
 * Does a tenth of COUNT operations to warm up, then COUNT of them, and prints elapsed and CPU time
 * (all threads, as the kernel accounts for it) per operation. `tools/bench sched` runs it beside
 * its peers in peers/, which know the same lines.
 *
 * usage: sched LINE THREADS COUNT
 */
#include "sched.h"

#include <co/conf.h>
#include <co/scope.h>
#include <co/wait_group.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct moment {
    int64_t now;
    int64_t cpu;
};

static struct moment begun, ended;

static struct moment moment(void)
{
    struct timespec cpu;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    return (struct moment){co_now(), cpu.tv_sec * CO_SEC + cpu.tv_nsec};
}

void bench_begin(void)
{
    begun = moment();
}

void bench_end(void)
{
    ended = moment();
}

int bench_must(const char *what, int r)
{
    if (r < 0) {
        fprintf(stderr, "sched: %s: %s\n", what, co_strerror(r));
        exit(1);
    }
    return r;
}

void bench_go(co_fn *fn, void *arg)
{
    bench_must("co_go", co_go(fn, arg));
}

/* ---- many at once ---- */

struct crew {
    struct co_wait_group left;
    void (*fn)(int index, void *arg);
    void *arg;
    _Atomic int started;
};

static void be_one(void *arg)
{
    struct crew *crew = arg;

    /* relaxed: each gets another number; what they work on was there before they were started. */
    crew->fn(atomic_fetch_add_explicit(&crew->started, 1, memory_order_relaxed), crew->arg);
    co_wait_group_add(&crew->left, -1);
}

static void be_the_pinned_one(void *arg)
{
    CO_PIN();

    be_one(arg);
}

void bench_together(int n, void (*fn)(int index, void *arg), void *arg)
{
    struct crew crew = {.fn = fn, .arg = arg};

    co_wait_group_add(&crew.left, n);
    for (int i = 0; i < n; i++)
        bench_go(be_one, &crew);
    bench_must("co_wait_group_wait", co_wait_group_wait(&crew.left));
}

void bench_apart(void (*fn)(int index, void *arg), void *arg)
{
    struct crew crew = {.fn = fn, .arg = arg};
    CO_PIN();

    co_wait_group_add(&crew.left, 1);
    bench_go(be_the_pinned_one, &crew);
    /* This worker does not come to it, so another will. relaxed: a hint. */
    while (atomic_load_explicit(&crew.started, memory_order_relaxed) == 0)
        continue;
    fn(1, arg);
    bench_must("co_wait_group_wait", co_wait_group_wait(&crew.left));
}

/* ---- signals ---- */

#define EMPTY ((co_ticket)0)
#define GIVEN UINT64_MAX
#define WOKEN 1 /* what co_park returns, whether it slept or not */

void bench_give(struct bench_cell *cell)
{
    co_ticket seen = EMPTY;

    /* acq_rel: what came before is seen by the taker's CAS; acquire: the ticket is a parked one. */
    if (atomic_compare_exchange_strong_explicit(&cell->word, &seen, GIVEN, memory_order_acq_rel,
                                                memory_order_acquire))
        return;
    /* relaxed: the taker sleeps, and looks at the word again only after co_unpark. */
    atomic_store_explicit(&cell->word, EMPTY, memory_order_relaxed);
    co_unpark(seen, WOKEN);
}

static int commit_take(co_ticket self, void *arg)
{
    struct bench_cell *cell = arg;
    co_ticket seen = EMPTY;

    /* acq_rel: pairs with the CAS in bench_give, either way round. */
    if (atomic_compare_exchange_strong_explicit(&cell->word, &seen, self, memory_order_acq_rel,
                                                memory_order_acquire))
        return 0;
    /* relaxed: the giver is done with the word; the next one is ordered by what this taker does. */
    atomic_store_explicit(&cell->word, EMPTY, memory_order_relaxed);
    return WOKEN;
}

void bench_take(struct bench_cell *cell)
{
    bench_must("co_park", co_park(commit_take, cell, 0));
}

/* ---- the command ---- */

struct task {
    const struct bench_line *line;
    long count;
};

static int measure(void *arg)
{
    const struct task *task = arg;

    if (task->count >= 10)
        task->line->fn(task->count / 10);
    ended = (struct moment){0};
    bench_begin();
    task->line->fn(task->count);
    if (ended.now == 0)
        bench_end();
    return 0;
}

static const struct bench_line *find(const char *name)
{
    static const struct bench_line *const tables[] = {bench_run, bench_sync, bench_chan,
                                                      bench_time};

    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        for (const struct bench_line *line = tables[i]; line->name; line++) {
            if (strcmp(line->name, name) == 0)
                return line;
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct task task;
    struct co_conf conf;

    if (argc != 4 || !(task.line = find(argv[1]))) {
        fprintf(stderr, "usage: sched LINE THREADS COUNT\n");
        return 2;
    }
    task.count = strtol(argv[3], NULL, 10);
    co_conf_init(&conf);
    conf.threads = (int)strtol(argv[2], NULL, 10);
    conf.offload_threads = 8; /* as many as `blocking` has callers */
    conf.stall_report = 0;    /* a busy machine looks like a stall */
    bench_must("co_run_with", co_run_with(&conf, measure, &task));
    printf("ns %.1f\n", (double)(ended.now - begun.now) / (double)task.count);
    printf("cpu_ns %.1f\n", (double)(ended.cpu - begun.cpu) / (double)task.count);
    return 0;
}
