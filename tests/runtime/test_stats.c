/* SPDX-License-Identifier: MIT */
/*
 * test_stats.c - the registry of statistics. The runtime's part in it, which worker the caller is,
 * is played by the tests: link this with stats.c or the static library.
 */
#include "stats_row.h"
#include "support/test.h"

#include <co/stats.h>
#include <co/task.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 4
#define ADDS    1000000

/* The thread that play_worker was last called on is that worker; all others are none. */
static pthread_t actor;
static int acted = -1;
static int workers;

int co_worker(void)
{
    return acted >= 0 && pthread_equal(pthread_self(), actor) ? acted : -1;
}

int co_workers(void)
{
    return workers;
}

static void play_worker(int worker)
{
    actor = pthread_self();
    acted = worker;
}

Test(stats, the_runtimes_own_are_there_from_the_start)
{
    cr_assert_eq(co_stat_count(), CO__STAT_FIXED);
    cr_assert_str_eq(co_stat_name(CO__STAT_TURNS), "turns");
    cr_assert_str_eq(co_stat_name(CO__STAT_EVENTFD_WRITES), "eventfd_writes");
    cr_assert_str_eq(co_stat_name(CO__STAT_RESCUES), "rescues");
    for (int id = 0; id < CO__STAT_FIXED; id++) {
        cr_assert(co_stat_name(id) && strlen(co_stat_help(id)) > 0);
        cr_assert_eq(co_stat_kind(id), CO_STAT_COUNTER);
        cr_assert_eq(co_stat_register(co_stat_name(id), "again", CO_STAT_COUNTER), id);
    }
}

Test(stats, registering_a_name_again_gives_the_same_id)
{
    int id = co_stat_register("requests", "Requests.", CO_STAT_COUNTER);

    cr_assert_eq(id, CO__STAT_FIXED);
    cr_assert_eq(co_stat_register("requests", "Requests.", CO_STAT_COUNTER), id);
    cr_assert_eq(co_stat_register("other", "Others.", CO_STAT_GAUGE), id + 1);
    cr_assert_eq(co_stat_count(), id + 2);
    cr_assert_str_eq(co_stat_name(id), "requests");
    cr_assert_str_eq(co_stat_help(id), "Requests.");
    cr_assert_eq(co_stat_kind(id + 1), CO_STAT_GAUGE);
}

static int64_t answer(int worker, void *arg)
{
    return worker + *(int *)arg;
}

Test(stats, what_cannot_be_registered_is_refused)
{
    static const char long_name[] =
        "a123456789a123456789a123456789a123456789a123456789a123456789a123";
    int arg = 0;

    cr_assert_eq(strlen(long_name), 64u);
    cr_assert_eq(co_stat_register(long_name, "h", CO_STAT_COUNTER), -EINVAL);
    cr_assert_eq(co_stat_register(long_name + 1, "h", CO_STAT_COUNTER),
                 -EINVAL); /* a digit first */
    cr_assert_eq(co_stat_register("", "h", CO_STAT_COUNTER), -EINVAL);
    cr_assert_eq(co_stat_register("a-b", "h", CO_STAT_COUNTER), -EINVAL);
    cr_assert_eq(co_stat_register("Big", "h", CO_STAT_COUNTER), -EINVAL);
    cr_assert_eq(co_stat_register("a{b=\"c\"}", "h", CO_STAT_COUNTER), -EINVAL);
    cr_assert_eq(co_stat_register(NULL, "h", CO_STAT_COUNTER), -EINVAL);
    cr_assert_eq(co_stat_register("a", NULL, CO_STAT_COUNTER), -EINVAL);
    cr_assert_eq(co_stat_register("a", "h", 2), -EINVAL);
    cr_assert_eq(co_stat_register_reader("a", "h", CO_STAT_GAUGE, NULL, &arg), -EINVAL);
    cr_assert_eq(co_stat_register("turns", "h", CO_STAT_GAUGE), -EEXIST);
    cr_assert_eq(co_stat_register_reader("turns", "h", CO_STAT_COUNTER, answer, &arg), -EEXIST);
    cr_assert_eq(co_stat_count(), CO__STAT_FIXED);
}

Test(stats, the_65th_is_refused_with_enospc_and_the_64th_still_counts)
{
    static char names[CO_STAT_MAX][16];
    int id = -1;

    for (int i = CO__STAT_FIXED; i < CO_STAT_MAX; i++) {
        (void)snprintf(names[i], sizeof names[i], "s%d", i);
        id = co_stat_register(names[i], "One of many.", CO_STAT_COUNTER);
        cr_assert_eq(id, i);
    }
    cr_assert_eq(co_stat_register("too_many", "h", CO_STAT_COUNTER), -ENOSPC);
    cr_assert_eq(co_stat_register("s63", "h", CO_STAT_COUNTER), id);
    co_stat_add(id, 3);
    cr_assert_eq(co_stat_total(id), 3);
}

Test(stats, each_worker_counts_in_its_own_row)
{
    int id = co_stat_register("requests", "Requests.", CO_STAT_COUNTER);

    play_worker(0);
    co_stat_add(id, 5);
    play_worker(255);
    co_stat_add(id, 7);
    co__stat(co__stat_row(255), CO__STAT_RUN);
    play_worker(-1);
    co_stat_add(id, 11);
    cr_assert_eq(co_stat_value(id, 0), 5);
    cr_assert_eq(co_stat_value(id, 1), 0);
    cr_assert_eq(co_stat_value(id, 255), 7);
    cr_assert_eq(co_stat_value(id, -1), 11);
    cr_assert_eq(co_stat_total(id), 23);
    cr_assert_eq(co_stat_total(CO__STAT_RUN), 1);
}

Test(stats, rows_share_no_cache_line)
{
    for (int worker = -1; worker < 256; worker++)
        cr_assert_eq((uintptr_t)co__stat_row(worker) % 64, 0u);
    cr_assert((size_t)(co__stat_row(1) - co__stat_row(0)) >= CO_STAT_MAX);
}

Test(stats, unknown_ids_and_workers_are_harmless)
{
    co_stat_add(-ENOSPC, 1);
    co_stat_add(CO__STAT_FIXED, 1);
    cr_assert(!co_stat_name(-1) && !co_stat_name(CO__STAT_FIXED) && !co_stat_help(-1));
    cr_assert_eq(co_stat_kind(CO__STAT_FIXED), -ENOENT);
    cr_assert_eq(co_stat_value(-1, 0), 0);
    cr_assert_eq(co_stat_value(CO__STAT_RUN, 256), 0);
    cr_assert_eq(co_stat_value(CO__STAT_RUN, -2), 0);
    cr_assert_eq(co_stat_total(99), 0);
    cr_assert_eq(co_stat_register("next", "h", CO_STAT_COUNTER), CO__STAT_FIXED);
    cr_assert_eq(co_stat_total(CO__STAT_FIXED),
                 0); /* what was added before it existed is not there */
}

Test(stats, a_computed_one_is_asked_for_each_worker_and_for_none)
{
    int base = 10;
    int id = co_stat_register_reader("idle", "Idle.", CO_STAT_GAUGE, answer, &base);

    workers = 3;
    cr_assert_eq(co_stat_value(id, 2), 12);
    cr_assert_eq(co_stat_value(id, -1), 9);
    cr_assert_eq(co_stat_total(id), 9 + 10 + 11 + 12);
    co_stat_add(id, 100);
    cr_assert_eq(co_stat_total(id), 42);
}

Test(stats, a_computed_one_forgets_its_function_and_takes_a_new_one)
{
    int old = 10;
    int new = 20;
    int id = co_stat_register_reader("idle", "Idle.", CO_STAT_GAUGE, answer, &old);

    co_stat_unregister_reader(id, &old);
    cr_assert_eq(co_stat_value(id, 0), 0);
    cr_assert_eq(co_stat_register_reader("idle", "Idle.", CO_STAT_GAUGE, answer, &new), id);
    co_stat_unregister_reader(id, &old); /* late, and of no effect */
    cr_assert_eq(co_stat_value(id, 0), 20);
    co_stat_unregister_reader(-1, &new);
    cr_assert_eq(co_stat_value(id, 0), 20);
}

Test(stats, a_reset_clears_every_row_and_keeps_the_names)
{
    int id = co_stat_register("requests", "Requests.", CO_STAT_COUNTER);

    play_worker(9);
    co_stat_add(id, 5);
    play_worker(-1);
    co_stat_add(id, 5);
    co__stat_add(co__stat_row(255), CO__STAT_ENDED, 4);
    co_stats_reset();
    for (int i = 0; i < co_stat_count(); i++)
        cr_assert_eq(co_stat_total(i), 0);
    cr_assert_str_eq(co_stat_name(id), "requests");
}

/* Lets the threads of a test begin together. */
static pthread_barrier_t start;

static void *add_many(void *arg)
{
    int id = co_stat_register("shared", "Counted by all.", CO_STAT_COUNTER);

    (void)arg;
    (void)pthread_barrier_wait(&start);
    for (int i = 0; i < ADDS; i++)
        co_stat_add(id, 1);
    return NULL;
}

static void *own_row(void *arg)
{
    (void)pthread_barrier_wait(&start);
    for (int i = 0; i < ADDS; i++)
        co__stat(co__stat_row((int)(intptr_t)arg), CO__STAT_RUN);
    return NULL;
}

static void *read_all(void *arg)
{
    char text[256];

    (void)pthread_barrier_wait(&start);
    for (int i = 0; i < 200; i++) {
        (void)co_stats_prometheus(text, sizeof text);
        cr_assert(co_stat_total(CO__STAT_RUN) <= (int64_t)THREADS * ADDS);
    }
    return arg;
}

Test(stats, nothing_is_lost_when_threads_count_and_read_at_once)
{
    pthread_t threads[2 * THREADS + 1];
    int n = 0;

    workers = THREADS;
    cr_assert_eq(pthread_barrier_init(&start, NULL, 2 * THREADS + 1), 0);
    for (int i = 0; i < THREADS; i++) {
        cr_assert_eq(pthread_create(&threads[n++], NULL, add_many, NULL), 0);
        cr_assert_eq(pthread_create(&threads[n++], NULL, own_row, (void *)(intptr_t)i), 0);
    }
    cr_assert_eq(pthread_create(&threads[n++], NULL, read_all, NULL), 0);
    while (n > 0)
        cr_assert_eq(pthread_join(threads[--n], NULL), 0);
    cr_assert_eq(co_stat_value(CO__STAT_FIXED, -1), (int64_t)THREADS * ADDS);
    cr_assert_eq(co_stat_value(CO__STAT_RUN, 2), ADDS);
    cr_assert_eq(co_stat_total(CO__STAT_RUN), (int64_t)THREADS * ADDS);
}

Test(stats, prometheus_text_has_help_type_and_a_sample_per_worker)
{
    int base = 0;
    size_t len;
    char text[16384];
    const char *tail;

    cr_assert(co_stat_register("odd", "A \\ and a\nline feed, \"quoted\".", CO_STAT_COUNTER) >= 0);
    cr_assert(co_stat_register_reader("depth", "Depth.", CO_STAT_GAUGE, answer, &base) >= 0);
    workers = 2;
    play_worker(1);
    co_stat_add(CO__STAT_FIXED, 12);
    len = co_stats_prometheus(text, sizeof text);
    cr_assert_eq(len, strlen(text));
    cr_assert(strncmp(text,
                      "# HELP corvid_turns_total Rounds of the worker's loop.\n"
                      "# TYPE corvid_turns_total counter\n"
                      "corvid_turns_total{worker=\"0\"} 0\n",
                      120) == 0);
    tail = strstr(text, "# HELP corvid_odd");
    cr_assert(tail != NULL);
    cr_assert_str_eq(tail, "# HELP corvid_odd_total A \\\\ and a\\nline feed, \"quoted\".\n"
                           "# TYPE corvid_odd_total counter\n"
                           "corvid_odd_total{worker=\"0\"} 0\n"
                           "corvid_odd_total{worker=\"1\"} 12\n"
                           "corvid_odd_total{worker=\"none\"} 0\n"
                           "# HELP corvid_depth Depth.\n"
                           "# TYPE corvid_depth gauge\n"
                           "corvid_depth{worker=\"0\"} 0\n"
                           "corvid_depth{worker=\"1\"} 1\n"
                           "corvid_depth{worker=\"none\"} -1\n");
}

Test(stats, prometheus_text_is_cut_at_every_length_and_says_how_long_it_is)
{
    size_t whole = co_stats_prometheus(NULL, 0);
    char *all = malloc(whole + 1);

    cr_assert(all != NULL);
    cr_assert_eq(co_stats_prometheus(all, whole + 1), whole);
    for (size_t cap = 1; cap <= whole; cap += 7) {
        char *cut = malloc(cap); /* the address sanitizer sees a byte too many */
        cr_assert(cut != NULL);
        cr_assert_eq(co_stats_prometheus(cut, cap), whole);
        cr_assert_eq(strlen(cut), cap - 1);
        cr_assert(memcmp(cut, all, cap - 1) == 0);
        free(cut);
    }
    free(all);
}
