/* SPDX-License-Identifier: MIT */
/* tests/runtime/test_trace.c - the rings tell what happened, in order, and nothing else. */
#include <co/trace.h>

#include "support/run.h"
#include <stdio.h>
#include <unistd.h>

TestSuite(trace, .timeout = 30);

enum { RING = 4095 }; /* what a ring holds */

static FILE *out;

static struct co_conf traced(int threads)
{
    struct co_conf conf = settings(threads);

    conf.trace = 1;
    return conf;
}

static void set_up(void)
{
    out = tmpfile();
    cr_assert_not_null(out);
}

static void tear_down(void)
{
    (void)fclose(out);
}

/* One line of a dump. Returns: whether there was one; a wrong one fails the test. */
static bool next_line(int64_t *ret_time, char *where, char *what, int *ret_coro)
{
    char line[256];
    long long time;
    int n;

    if (!fgets(line, sizeof line, out))
        return false;
    *ret_coro = 0;
    *where = *what = '\0';
    n = sscanf(line, " %lld %15s", &time, where);
    cr_assert_eq(n, 2, "line: %s", line);
    if (strcmp(where, "worker") == 0) {
        int worker;

        n = sscanf(line, " %lld worker %d %15s %d", &time, &worker, what, ret_coro);
        cr_assert_geq(n, 3, "line: %s", line);
        (void)snprintf(where, 16, "%d", worker);
    } else {
        cr_assert_str_eq(where, "outside");
        n = sscanf(line, " %lld outside %15s %d", &time, what, ret_coro);
        cr_assert_geq(n, 2, "line: %s", line);
    }
    *ret_time = time;
    return true;
}

/* Reads what was dumped from the start, past its head line. */
static void reread(void)
{
    char line[256];

    rewind(out);
    cr_assert_not_null(fgets(line, sizeof line, out));
    cr_assert_eq(strncmp(line, "corvid: trace", 13), 0, "line: %s", line);
}

/* ---- one life ---- */

static int child_id, first_id;

static void child(void *arg)
{
    (void)arg;
    child_id = (int)co_self();
    CHECK(co_yield() == 0);
    CHECK(co_sleep(CO_MS) == 0);
}

static int one_life(void *arg)
{
    (void)arg;
    first_id = (int)co_self();
    start(child, NULL);
    while (stat_of("ended") < 1)
        CHECK(co_sleep(CO_MS) == 0);
    CHECK(co_trace_dump(fileno(out), 0) > 10);
    return 0;
}

Test(trace, tells_a_life_in_its_order, .init = set_up, .fini = tear_down)
{
    /* Beside its turns, of which a slow machine gives it more. */
    static const char *const life[] = {"spawn", "wake", "park", "wake", "end"};
    struct co_conf conf = traced(1);
    char where[16], what[16];
    int64_t time, before = INT64_MIN;
    size_t step = 0;
    int coro, runs = 0, yields = 0;

    (void)unsetenv("CO_CHAOS");
    cr_assert_eq(run_conf(&conf, one_life, NULL), 0);
    reread();
    while (next_line(&time, where, what, &coro)) {
        cr_assert_geq(time, before, "by time");
        cr_assert_leq(time, 0, "before the dump");
        before = time;
        if (coro != child_id || child_id == first_id)
            continue;
        if (strcmp(what, "run") == 0) {
            runs++;
        } else if (strcmp(what, "yield") == 0) {
            yields++;
        } else {
            cr_assert_lt(step, sizeof life / sizeof *life);
            cr_assert_str_eq(what, life[step]);
            step++;
        }
    }
    cr_assert_eq(step, sizeof life / sizeof *life);
    cr_assert_geq(yields, 1);
    cr_assert_eq(runs, yields + 2);
}

/* ---- how much ---- */

static int yield_much(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3 * RING; i++)
        (void)co_yield();
    CHECK(co_trace_dump(fileno(out), 7) == 7);
    return 0;
}

Test(trace, gives_no_more_than_was_asked_for, .init = set_up, .fini = tear_down)
{
    struct co_conf conf = traced(1);
    char where[16], what[16];
    int64_t time;
    int coro, lines = 0;

    cr_assert_eq(run_conf(&conf, yield_much, NULL), 0);
    reread();
    while (next_line(&time, where, what, &coro))
        lines++;
    cr_assert_eq(lines, 7);
}

static int all_there_are;

static int yield_and_dump_all(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3 * RING; i++)
        (void)co_yield();
    all_there_are = co_trace_dump(fileno(out), 0);
    return 0;
}

Test(trace, keeps_the_last_of_each_worker, .init = set_up, .fini = tear_down)
{
    struct co_conf conf = traced(1);
    char where[16], what[16];
    int64_t time;
    int coro, of_worker = 0, outside = 0;

    cr_assert_eq(run_conf(&conf, yield_and_dump_all, NULL), 0);
    reread();
    while (next_line(&time, where, what, &coro)) {
        if (strcmp(where, "0") == 0)
            of_worker++;
        else
            outside++;
    }
    cr_assert_eq(of_worker, RING);
    cr_assert_gt(outside, 0, "the first coroutine was started from outside");
    cr_assert_eq(of_worker + outside, all_there_are);
}

/* ---- while others write ---- */

static _Atomic int over;

static void yield_until_over(void *arg)
{
    (void)arg;
    while (!atomic_load(&over))
        CHECK(co_yield() == 0);
}

static int dump_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < 8; i++)
        start(yield_until_over, NULL);
    for (int i = 0; i < fewer(20); i++) {
        int n;

        CHECK(ftruncate(fileno(out), 0) == 0 && lseek(fileno(out), 0, SEEK_SET) == 0);
        n = co_trace_dump(fileno(out), 0);
        CHECK(n > 0 && n <= 4 * RING);
        CHECK(co_yield() == 0);
    }
    atomic_store(&over, 1);
    return 0;
}

Test(trace, is_whole_while_the_workers_go_on, .init = set_up, .fini = tear_down)
{
    struct co_conf conf = traced(3);
    char where[16], what[16];
    int64_t time, before = INT64_MIN;
    int coro, lines = 0;

    cr_assert_eq(run_conf(&conf, dump_often, NULL), 0);
    reread();
    while (next_line(&time, where, what, &coro)) {
        cr_assert_geq(time, before);
        before = time;
        lines++;
    }
    cr_assert_gt(lines, 0);
}

/* ---- when there is nothing to tell ---- */

static int dump_nothing(void *arg)
{
    (void)arg;
    CHECK(co_trace_dump(STDERR_FILENO, 0) == -ENODATA);
    return 0;
}

Test(trace, is_off_unless_asked_for)
{
    run_on(1, dump_nothing, NULL);
}

Test(trace, ends_with_the_runtime, .init = set_up, .fini = tear_down)
{
    struct co_conf conf = traced(2);

    cr_assert_eq(co_trace_dump(STDERR_FILENO, 0), -EPERM);
    cr_assert_eq(run_conf(&conf, yield_much, NULL), 0);
    cr_assert_eq(co_trace_dump(STDERR_FILENO, 0), -EPERM);
    run_on(1, dump_nothing, NULL);
}
