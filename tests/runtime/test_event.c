/* SPDX-License-Identifier: MIT */
/*
 * tests/runtime/test_event.c - events: all that wait go on, and nobody waits for what has happened.
 */
#include <co/event.h>

#include "sync_help.h"

TestSuite(event, .timeout = 30);

static struct co_event event;

static int wait_and_note(void *arg)
{
    return note_if_won(co_event_wait(&event), arg);
}

static int all_go_on(void *arg)
{
    CO_GROUP(group);

    (void)arg;
    for (int i = 0; i < 100; i++)
        start_asleep(&group, wait_and_note, numbered(i));
    CHECK(atomic_load(&noted_count) == 0);
    co_event_set(&event);
    CHECK(co_group_wait(&group) == 0);
    CHECK(atomic_load(&noted_count) == 100);
    CHECK(co_event_wait(&event) == 0); /* at once, now and again */
    CHECK(co_event_wait(&event) == 0);
    co_event_clear(&event);
    {
        CO_DEADLINE(CO_MS);
        CHECK(co_event_wait(&event) == -ETIMEDOUT);
    }
    co_event_done(&event);
    co_event_done(NULL);
    return 0;
}

Test(event, all_that_wait_go_on_and_who_comes_later_does_not_wait)
{
    run_on(2, all_go_on, NULL);
}

/* What coost's event did wrong: after one waiter's time-out, the signal woke the wrong one. */
static int after_a_time_out(void *arg)
{
    CO_GROUP(group);

    (void)arg;
    co_event_init(&event);
    for (int i = 0; i < 3; i++) {
        CO_DEADLINE(CO_MS);
        CHECK(co_event_wait(&event) == -ETIMEDOUT);
    }
    start_asleep(&group, wait_and_note, numbered(0));
    {
        CO_DEADLINE(CO_MS);
        CHECK(co_event_wait(&event) == -ETIMEDOUT);
    }
    co_event_set(&event);
    CHECK(co_group_wait(&group) == 0);
    CHECK(noted_in_order(1));
    return 0;
}

Test(event, a_set_wakes_who_waits_after_others_have_timed_out)
{
    run_on(2, after_a_time_out, NULL);
}

static int cancelled(void *arg)
{
    CO_GROUP(group);

    (void)arg;
    start_asleep(&group, wait_and_note, numbered(0));
    co_group_cancel(&group);
    CHECK(co_group_wait(&group) == -ECANCELED);
    co_event_set(&event);
    CHECK(atomic_load(&noted_count) == 0);
    {
        CO_DEADLINE(0);
        CHECK(co_event_wait(&event) == -ETIMEDOUT); /* at entry, though it is set */
    }
    return 0;
}

Test(event, cancel_and_deadline_count_at_entry_and_while_waiting)
{
    cr_assert_eq(co_event_wait(&event), -EPERM);
    run_on(2, cancelled, NULL);
}

static void set_it(void *arg)
{
    co_event_set(arg);
}

/*
 * Each event is freed as soon as its waiter comes back, be it that it slept or that it found the
 * event set.
 */
static int freed_at_once(void *arg)
{
    for (int i = 0; i < number_of(arg); i++) {
        struct co_event *one = calloc(1, sizeof *one);

        CHECK(co_go(set_it, one) == 0);
        for (int k = 0; k < i % 4; k++)
            (void)co_yield();
        CHECK(co_event_wait(one) == 0);
        free(one);
    }
    return 0;
}

Test(event, whoever_waited_may_free_it_at_once)
{
    run_on(WORKERS, freed_at_once, numbered(fewer(20000)));
}

static int from_outside(void *arg)
{
    (void)arg;
    woken_from_outside(wait_and_note, set_it, &event);
    return 0;
}

Test(event, plain_threads_may_set_it)
{
    run_on(2, from_outside, NULL);
}
