/* SPDX-License-Identifier: MIT */
/* tests/runtime/test_local.c - values of a coroutine: whose they are, and how they end. */
#include <co/local.h>

#include "support/run.h"
#include <co/group.h>
#include <co/offload.h>

TestSuite(local, .timeout = 30);

static _Atomic int count;

/* The values that were ended, in order; by one coroutine at a time. */
enum { NOTES = 64 };
static int notes[NOTES];
static int note_count;

static void note(void *value)
{
    notes[note_count++ % NOTES] = *(int *)value;
}

static int make_key(co_local_end_fn *end)
{
    int key = co_local_key(end);

    cr_assert_geq(key, 0);
    return key;
}

/* ---- whose they are ---- */

static int keys[3];

static void keep_mine(void *arg)
{
    int mine[3];

    (void)arg;
    for (int i = 0; i < 3; i++) {
        CHECK(co_local_get(keys[i]) == NULL);
        CHECK(co_local_set(keys[i], &mine[i]) == 0);
    }
    for (int round = 0; round < 20; round++) {
        CHECK((round % 4 ? co_yield() : co_sleep(10 * CO_US)) == 0);
        for (int i = 0; i < 3; i++)
            CHECK(co_local_get(keys[i]) == &mine[i]);
    }
    CHECK(co_local_set(keys[1], NULL) == 0);
    CHECK(co_local_get(keys[1]) == NULL && co_local_get(keys[2]) == &mine[2]);
    atomic_fetch_add(&count, 1);
}

static int keep_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++)
        start(keep_mine, NULL);
    return 0;
}

Test(local, each_coroutine_has_its_own_wherever_it_runs)
{
    for (int i = 0; i < 3; i++)
        keys[i] = make_key(NULL);
    run_on(3, keep_many, NULL);
    cr_assert_eq(count, 100);
}

static void find_nothing(void *arg)
{
    for (int i = 0; i < 3; i++)
        CHECK(co_local_get(keys[i]) == NULL);
    CHECK(co_local_set(keys[2], arg) == 0);
    atomic_fetch_add(&count, 1);
}

static int one_after_another(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++) {
        start(find_nothing, &count);
        until(&count, i + 1);
    }
    return 0;
}

Test(local, the_next_life_of_a_record_starts_with_none)
{
    for (int i = 0; i < 3; i++)
        keys[i] = make_key(NULL);
    run_on(1, one_after_another, NULL);
}

static int ask_outside(void *arg)
{
    CHECK(co_local_set(keys[0], arg) == -EPERM);
    CHECK(co_local_get(keys[0]) == NULL);
    return 1;
}

static int set_wrong_keys(void *arg)
{
    int r = 0;

    CHECK(co_local_set(-1, arg) == -EINVAL);
    CHECK(co_local_set(-EAGAIN, arg) == -EINVAL);
    CHECK(co_local_set(keys[0] + 1, arg) == -EINVAL);
    CHECK(co_local_set(INT32_MAX, arg) == -EINVAL);
    CHECK(co_local_get(-1) == NULL && co_local_get(INT32_MAX) == NULL);
    CHECK(co_local_set(keys[0], &r) == 0);
    CHECK(co_offload(ask_outside, arg, &r) == 0 && r == 1);
    CHECK(co_local_get(keys[0]) == &r);
    return 0;
}

Test(local, plain_threads_have_none_and_what_is_no_key_is_refused)
{
    keys[0] = make_key(NULL);
    cr_assert_eq(ask_outside(&count), 1);
    no_check_failed();
    run_on(1, set_wrong_keys, &count);
}

Test(local, there_are_64_keys)
{
    for (int i = 0; i < CO_LOCAL_MAX; i++)
        cr_assert_eq(co_local_key(NULL), i);
    cr_assert_eq(co_local_key(NULL), -EAGAIN);
    cr_assert_eq(co_local_key(note), -EAGAIN);
}

/* ---- how they end ---- */

static int numbers[] = {0, 1, 2, 3};

static void leave_values(void *arg)
{
    (void)arg;
    CHECK(co_local_set(keys[1], &numbers[3]) == 0); /* is replaced, and so not ended */
    CHECK(co_local_set(keys[2], &numbers[2]) == 0);
    CHECK(co_local_set(keys[0], &numbers[0]) == 0);
    CHECK(co_local_set(keys[1], &numbers[1]) == 0);
    CHECK(note_count == 0);
}

static int wait_for_notes(void *arg)
{
    start(leave_values, NULL);
    (void)arg;
    return 0;
}

Test(local, values_end_with_the_coroutine_the_key_made_last_first)
{
    for (int i = 0; i < 3; i++)
        keys[i] = make_key(note);
    (void)make_key(note); /* has no value: not called */
    run_on(2, wait_for_notes, NULL);
    cr_assert_eq(note_count, 3);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(notes[i], 2 - i);
}

static int set_in_main(void *arg)
{
    CHECK(co_local_set(keys[0], arg) == 0);
    return 5;
}

Test(local, the_first_functions_values_end_too)
{
    struct co_conf conf = settings(1);

    keys[0] = make_key(note);
    cr_assert_eq(run_conf(&conf, set_in_main, &numbers[1]), 5);
    cr_assert_eq(note_count, 1);
}

static int ended_key;

static void end_slowly(void *value)
{
    CHECK(co_local_get(ended_key) == NULL);
    for (int i = 0; i < 5; i++)
        CHECK(co_sleep(50 * CO_US) == 0);
    atomic_fetch_add((_Atomic int *)value, 1);
}

static int member(void *arg)
{
    CHECK(co_local_set(ended_key, arg) == 0);
    return 0;
}

static int lend_to_a_group(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++) {
        _Atomic int ended = 0; /* lives as long as the group */
        CO_GROUP(group);

        for (int k = 0; k < 10; k++)
            CHECK(co_group_go(&group, member, &ended) == 0);
        CHECK(co_group_wait(&group) == 0);
        CHECK(atomic_load(&ended) == 10);
    }
    return 0;
}

Test(local, a_value_may_take_its_time_to_end_and_the_group_waits)
{
    ended_key = make_key(end_slowly);
    run_on(3, lend_to_a_group, NULL);
}

static void end_cancelled(void *value)
{
    CHECK(co_sleep(CO_NEVER) == -ECANCELED);
    {
        CO_GRACE(10 * CO_SEC);
        CHECK(co_sleep(10 * CO_US) == 0);
    }
    atomic_fetch_add((_Atomic int *)value, 1);
}

static int sleep_for_ever(void *arg)
{
    CHECK(co_local_set(ended_key, arg) == 0);
    return co_sleep(CO_NEVER);
}

static int cancel_them(void *arg)
{
    _Atomic int ended = 0;

    (void)arg;
    {
        CO_GROUP(group);

        for (int k = 0; k < 10; k++)
            CHECK(co_group_go(&group, sleep_for_ever, &ended) == 0);
        CHECK(co_sleep(CO_MS) == 0);
    }
    CHECK(atomic_load(&ended) == 10);
    return 0;
}

Test(local, in_a_cancelled_coroutine_values_end_under_its_rules)
{
    ended_key = make_key(end_cancelled);
    run_on(2, cancel_them, NULL);
}

static void set_again(void *value)
{
    atomic_fetch_add(&count, 1);
    CHECK(co_local_set(keys[0], value) == 0);
}

static void set_another(void *value)
{
    note(value);
    if (note_count == 1)
        CHECK(co_local_set(keys[2], value) == 0); /* the array grows meanwhile */
}

static void never_done(void *arg)
{
    (void)arg;
    CHECK(co_local_set(keys[0], &numbers[0]) == 0);
    CHECK(co_local_set(keys[1], &numbers[1]) == 0);
}

static int start_never_done(void *arg)
{
    (void)arg;
    start(never_done, NULL);
    return 0;
}

Test(local, what_is_set_at_the_end_is_ended_for_four_rounds_and_then_forgotten)
{
    keys[0] = make_key(set_again);
    keys[1] = make_key(set_another);
    keys[2] = make_key(note);
    run_on(1, start_never_done, NULL);
    cr_assert_eq(count, CO_LOCAL_ROUNDS);
    cr_assert_eq(note_count, 2);
}
