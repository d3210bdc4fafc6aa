/* SPDX-License-Identifier: MIT */
/* tests/runtime/test_chaos.c - fault points act where they are asked for, and nowhere else. */
#include <co/private/chaos.h>

#include "support/run.h"
#include <co/offload.h>

TestSuite(chaos, .timeout = 30);

static uint64_t all_hits(int from)
{
    uint64_t hits = 0;

    for (int i = from; i < CO__CHAOS_POINTS; i++)
        hits += co__chaos_hits((enum co__chaos_point)i);
    return hits;
}

static int yield_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2000; i++)
        CHECK(co_yield() == 0);
    return 0;
}

Test(chaos, does_nothing_without_a_seed)
{
    (void)unsetenv("CO_CHAOS");
    run_on(2, yield_often, NULL);
    cr_assert_eq(all_hits(0), 0);
}

#ifdef CO_CHAOS_BUILD

Test(chaos, acts_and_counts_but_lets_no_call_fail)
{
    (void)setenv("CO_CHAOS", "5", 1);
    run_on(2, yield_often, NULL);
    cr_assert_gt(co__chaos_hits(CO__CHAOS_YIELD), 100);
    cr_assert_gt(co__chaos_hits(CO__CHAOS_MOVE), 100);
    cr_assert_eq(all_hits(CO__CHAOS_FAIL), 0);
}

static _Atomic int ended;

static void end(void *arg)
{
    (void)arg;
    atomic_fetch_add(&ended, 1);
}

static void nothing(void *arg)
{
    (void)arg;
}

static int count_refusals(void *arg)
{
    int started = 0, refused = 0;

    (void)arg;
    for (int i = 0; i < 1000; i++) {
        int r = co_go(end, NULL);

        CHECK(r == 0 || r == -ENOMEM);
        started += r == 0;
        refused += r == -ENOMEM;
    }
    CHECK((uint64_t)refused <= co__chaos_hits(CO__CHAOS_SPAWN));
    CHECK(refused > 10 && started > 500);
    refused = 0;
    for (int i = 0; i < 100; i++)
        refused += co_offload_detached(nothing, NULL) == -ENOMEM;
    CHECK((uint64_t)refused == co__chaos_hits(CO__CHAOS_WORK));
    CHECK(refused > 5);
    until(&ended, started);
    return 0;
}

Test(chaos, lets_calls_fail_where_that_was_asked_for)
{
    struct co_conf conf = settings(2);
    int r;

    (void)setenv("CO_CHAOS", "6,fail", 1);
    do /* the first coroutine may be refused, too; each runtime has other dice */
        r = co_run_with(&conf, count_refusals, NULL);
    while (r == -ENOMEM);
    no_check_failed();
    cr_assert_eq(r, 0);
}

#else

Test(chaos, is_not_there_in_a_release)
{
    (void)setenv("CO_CHAOS", "5,fail", 1);
    run_on(2, yield_often, NULL);
    cr_assert_eq(all_hits(0), 0);
}

#endif
