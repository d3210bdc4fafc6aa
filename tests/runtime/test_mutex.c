/* SPDX-License-Identifier: MIT */
/*
 * tests/runtime/test_mutex.c - mutual exclusion: handed over in turn, held by one at a time,
 * whatever ends a wait.
 */
#include <co/mutex.h>

#include "sync_help.h"
#include <signal.h>

TestSuite(mutex, .timeout = 30);

static struct co_mutex mutex;

static int lock_and_note(void *arg)
{
    int r = note_if_won(co_mutex_lock(&mutex), arg);

    if (r == 0)
        co_mutex_unlock(&mutex);
    return r;
}

/* ---- order ---- */

static int in_turn(void *arg)
{
    CO_GROUP(group);

    (void)arg;
    CHECK(co_mutex_lock(&mutex) == 0);
    for (int i = 0; i < CROWD; i++)
        start_asleep(&group, lock_and_note, numbered(i));
    co_mutex_unlock(&mutex);
    CHECK(co_mutex_try(&mutex) == -EBUSY); /* handed over: it was never free */
    CHECK(co_group_wait(&group) == 0);
    CHECK(noted_in_order(CROWD));
    CHECK(co_mutex_try(&mutex) == 0);
    co_mutex_unlock(&mutex);
    co_mutex_done(&mutex);
    co_mutex_done(NULL);
    return 0;
}

Test(mutex, serves_in_the_order_of_coming_and_nobody_overtakes)
{
    run_on(1, in_turn, NULL);
}

/* ---- what ends a wait ---- */

static int out_of_time(void *arg)
{
    CO_GROUP(group);

    (void)arg;
    co_mutex_init(&mutex);
    {
        CO_DEADLINE(0);
        CHECK(co_mutex_lock(&mutex) == -ETIMEDOUT);
    }
    CHECK(co_mutex_try(&mutex) == 0);
    CHECK(co_mutex_lock(&mutex) == -EDEADLK);
    CHECK(co_mutex_try(&mutex) == -EBUSY);
    {
        struct co_opts opts = {.name = "impatient"};
        CO_DEADLINE(CO_MS);
        CO_GROUP(impatient); /* inherits the deadline */

        CHECK(co_group_go_with(&impatient, &opts, lock_and_note, numbered(0)) == 0);
        CHECK(co_group_close(&impatient) < 0);
    }
    start_asleep(&group, lock_and_note, numbered(0));
    co_mutex_unlock(&mutex);
    CHECK(co_group_wait(&group) == 0);
    CHECK(noted_in_order(1)); /* not who gave up */
    return 0;
}

Test(mutex, a_deadline_counts_at_entry_and_while_waiting)
{
    run_on(2, out_of_time, NULL);
}

static _Atomic int guarded;

static int lock_always(void *arg)
{
    (void)arg;
    CHECK(co_mutex_lock(&mutex) == -ECANCELED);
    {
        CO_LOCK(&mutex);
        CHECK(co_check() == -ECANCELED); /* the cancel is there, and has not kept it from locking */
        atomic_store(&guarded, 1);
    }
    CHECK(co_mutex_lock(&mutex) == -ECANCELED);
    return 0;
}

static int cancelled(void *arg)
{
    CO_GROUP(group);
    int64_t before;

    (void)arg;
    CHECK(co_mutex_lock(&mutex) == 0);
    start_asleep(&group, lock_always, NULL);
    before = parked();
    co_group_cancel(&group);
    until_parked(before + 1); /* in CO_LOCK */
    for (int i = 0; i < 50; i++)
        (void)co_yield();
    CHECK(atomic_load(&guarded) == 0);
    co_mutex_unlock(&mutex);
    CHECK(co_group_close(&group) == 0);
    CHECK(atomic_load(&guarded) == 1);
    CHECK(co_mutex_try(&mutex) == 0);
    co_mutex_unlock(&mutex);
    return 0;
}

Test(mutex, cancel_ends_a_lock_but_not_a_guard)
{
    run_on(2, cancelled, NULL);
}

Test(mutex, nothing_is_locked_outside_a_coroutine)
{
    cr_assert_eq(co_mutex_lock(&mutex), -EPERM);
    cr_assert_eq(co_mutex_try(&mutex), -EPERM);
}

Test(mutex, a_guard_outside_a_coroutine_aborts, .signal = SIGABRT)
{
    CO_LOCK(&mutex);
}

/* ---- all at once ---- */

static struct {
    int64_t counter; /* plain: the mutex is all that guards it */
    _Atomic int inside;
    _Atomic int64_t locked;
} shared;

static int work(void *arg)
{
    for (int i = 0; i < number_of(arg); i++) {
        CO_DEADLINE(i % 5 == 0 ? 20 * CO_US : CO_SEC);
        int r = co_mutex_lock(&mutex);

        if (r == -ECANCELED)
            break;
        if (r < 0)
            continue;
        CHECK(atomic_fetch_add(&shared.inside, 1) == 0);
        shared.counter++;
        atomic_fetch_add(&shared.locked, 1);
        if (i % 3 == 0)
            (void)co_yield(); /* held over a call that suspends */
        CHECK(atomic_fetch_sub(&shared.inside, 1) == 1);
        co_mutex_unlock(&mutex);
    }
    return 0;
}

static int rounds(void *arg)
{
    for (int i = 0; i < number_of(arg); i++) {
        crowd_round(i, work, numbered(20));
        CHECK(co_mutex_try(&mutex) == 0); /* nobody took it and went away */
        co_mutex_unlock(&mutex);
    }
    CHECK(shared.counter > 0 && shared.counter == atomic_load(&shared.locked));
    return 0;
}

Test(mutex, one_at_a_time_holds_it_through_deadlines_and_cancels)
{
    run_on(WORKERS, rounds, numbered(fewer(200)));
}

/* An object with its own lock; who takes the last reference frees it, at once after unlocking. */
struct object {
    struct co_mutex mutex;
    int references;
};

static int drop(void *arg)
{
    struct object *object = arg;
    bool is_last;

    {
        CO_DEADLINE(5 * CO_US);
        if (co_mutex_lock(&object->mutex) < 0)
            co_mutex_lock_always(&object->mutex);
    }
    is_last = --object->references == 0;
    co_mutex_unlock(&object->mutex);
    if (is_last)
        free(object);
    return 0;
}

static int drop_many(void *arg)
{
    for (int i = 0; i < number_of(arg); i++) {
        struct object *object = calloc(1, sizeof *object);

        object->references = 4;
        together(4, drop, object);
    }
    return 0;
}

Test(mutex, whoever_unlocks_last_may_free_it_at_once)
{
    run_on(WORKERS, drop_many, numbered(fewer(20000)));
}
