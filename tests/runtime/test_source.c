/* SPDX-License-Identifier: MIT */
/* tests/runtime/test_source.c - the word of a wait source: each step alone, then all at once. */
#include <co/private/source.h>

#include "support/run.h"
#include <co/park.h>
#include <sched.h>

TestSuite(source, .timeout = 30);

static struct co__source source;

static uint64_t word(void)
{
    return __atomic_load_n(&source.word, __ATOMIC_SEQ_CST /* a look from outside */);
}

static unsigned state(void)
{
    return (unsigned)(word() & CO__SOURCE_STATE);
}

static unsigned sticky(void)
{
    return (unsigned)(word() & (CO__SOURCE_HUP | CO__SOURCE_PRI | CO__SOURCE_CLOSING));
}

Test(source, readiness_is_consumed_and_the_sticky_bits_are_not)
{
    co__source_reset(&source, 5);
    cr_assert_eq(state(), CO__SOURCE_NIL);
    co__source_deliver(&source, 5, 0);
    cr_assert_eq(state(), CO__SOURCE_READY);
    co__source_deliver(&source, 5, CO__SOURCE_HUP);
    co__source_deliver(&source, 5, CO__SOURCE_PRI);
    cr_assert_eq(co__source_consume(&source) & CO__SOURCE_STATE, CO__SOURCE_READY);
    cr_assert_eq(state(), CO__SOURCE_NIL);
    cr_assert_eq(sticky(), CO__SOURCE_HUP | CO__SOURCE_PRI);
    cr_assert_eq(co__source_consume(&source) & CO__SOURCE_STATE, CO__SOURCE_NIL);
}

Test(source, an_event_of_another_generation_changes_nothing)
{
    for (uint32_t generation = 0; generation < 300; generation++) {
        uint64_t before;

        co__source_reset(&source, generation);
        before = word();
        for (uint32_t off = 1; off < 128; off++) {
            co__source_deliver(&source, generation + off, CO__SOURCE_HUP);
            cr_assert_eq(word(), before);
        }
        co__source_deliver(&source, generation, 0);
        cr_assert_neq(word(), before);
    }
}

Test(source, a_hang_up_is_for_good)
{
    co__source_reset(&source, 1);
    co__source_deliver(&source, 1, 0);
    co__source_hangup(&source);
    cr_assert_eq(state(), CO__SOURCE_NIL);
    co__source_deliver(&source, 1, 0);
    cr_assert(co__source_consume(&source) & CO__SOURCE_CLOSING);
    cr_assert_eq(sticky(), CO__SOURCE_CLOSING);
    co__source_reset(&source, 2);
    cr_assert_eq(sticky(), 0);
}

/* ---- waiting ---- */

static int wait_for_what_is_there(void *arg)
{
    (void)arg;
    co__source_reset(&source, 1);
    co__source_deliver(&source, 1, 0);
    CHECK(co__source_wait(&source, false) == 0);
    CHECK(state() == CO__SOURCE_READY); /* a commit that refuses leaves it */
    (void)co__source_consume(&source);
    co__source_deliver(&source, 1, CO__SOURCE_HUP);
    (void)co__source_consume(&source);
    CHECK(co__source_wait(&source, true) == 0); /* drained by a short read: HUP counts */
    {
        CO_DEADLINE(2 * CO_MS); /* after EAGAIN it does not */
        CHECK(co__source_wait(&source, false) == -ETIMEDOUT);
    }
    CHECK(state() == CO__SOURCE_NIL); /* the waiter has taken its name back */
    CHECK(word() >> 12 == 0);
    co__source_hangup(&source);
    CHECK(co__source_wait(&source, false) == -ECANCELED);
    CHECK(co__source_wait(&source, true) == -ECANCELED);
    return 0;
}

Test(source, what_has_happened_already_is_not_waited_for)
{
    run_on(1, wait_for_what_is_there, NULL);
    cr_assert_eq(co__source_wait(&source, false), -EPERM);
}

static _Atomic int count;

static void wait_once(void *arg)
{
    CHECK(co__source_wait(&source, false) == *(int *)arg);
    atomic_fetch_add(&count, 1);
}

static void until_waiting(void)
{
    while (state() != CO__SOURCE_WAITER)
        (void)co_yield();
}

static int be_woken(void *arg)
{
    static int results[] = {0, -ECANCELED, -EIO};

    (void)arg;
    co__source_reset(&source, 3);
    start(wait_once, &results[0]);
    until_waiting();
    co__source_deliver(&source, 4, 0); /* somebody else's */
    CHECK(state() == CO__SOURCE_WAITER);
    co__source_deliver(&source, 3, CO__SOURCE_PRI);
    until(&count, 1);
    CHECK(state() == CO__SOURCE_READY && sticky() == CO__SOURCE_PRI);
    (void)co__source_consume(&source);
    start(wait_once, &results[2]);
    until_waiting();
    co__source_poke(&source, CO__SOURCE_STARTER, -EIO); /* not for waiters */
    CHECK(state() == CO__SOURCE_WAITER);
    co__source_poke(&source, CO__SOURCE_WAITER, -EIO);
    until(&count, 2);
    CHECK(state() == CO__SOURCE_NIL);
    start(wait_once, &results[1]);
    until_waiting();
    co__source_hangup(&source);
    until(&count, 3);
    CHECK(state() == CO__SOURCE_NIL && sticky() == (CO__SOURCE_PRI | CO__SOURCE_CLOSING));
    return 0;
}

Test(source, a_waiter_is_woken_by_event_poke_and_hang_up)
{
    run_on(1, be_woken, NULL);
    atomic_store(&count, 0);
    run_on(3, be_woken, NULL);
}

/* ---- deliveries from a plain thread, deadlines, and a waiter: nothing is missed ---- */

static _Atomic int sent, received;
static int total;

static void *deliver_all(void *arg)
{
    (void)arg;
    for (int i = 1; i <= total; i++) {
        atomic_store(&sent, i);
        co__source_deliver(&source, 9, 0);
        if (i % 16 == 0) {
            while (atomic_load(&received) < i) /* or the waiter would never wait */
                (void)sched_yield();
        }
    }
    return NULL;
}

/* As recv does: forget, look, and only if there is nothing wait. */
static int receive_all(void *arg)
{
    pthread_t thread;
    int timeouts = 0;

    (void)arg;
    co__source_reset(&source, 9);
    CHECK(pthread_create(&thread, NULL, deliver_all, NULL) == 0);
    while (atomic_load(&received) < total) {
        int r;

        (void)co__source_consume(&source);
        if (atomic_load(&sent) > atomic_load(&received)) {
            atomic_store(&received, atomic_load(&sent));
            continue;
        }
        if (atomic_load(&received) % 3 == 0) {
            CO_DEADLINE(20 * CO_US);
            r = co__source_wait(&source, false);
            timeouts += r == -ETIMEDOUT;
        } else {
            r = co__source_wait(&source, false);
        }
        CHECK(r == 0 || r == -ETIMEDOUT);
    }
    CHECK(pthread_join(thread, NULL) == 0);
    return timeouts >= 0 ? 0 : 1;
}

Test(source, no_event_is_lost_between_looking_and_waiting)
{
    total = fewer(100000);
    run_on(2, receive_all, NULL);
}

/* ---- several at once ---- */

enum { SEVERAL = 4 };

static struct co__source several[SEVERAL];
static struct co__source *all[SEVERAL];
static _Atomic int any_ended, any_result;

static void wait_for_any(void *arg)
{
    (void)arg;
    atomic_store(&any_result, co__source_wait_any(all, SEVERAL));
    atomic_fetch_add(&any_ended, 1);
}

static unsigned state_of(int i)
{
    /* acquire: pairs with the steps of who waits. */
    return __atomic_load_n(&several[i].word, __ATOMIC_ACQUIRE) & CO__SOURCE_STATE;
}

static void until_all_name_him(void)
{
    for (int i = 0; i < SEVERAL; i++) {
        while (state_of(i) != CO__SOURCE_WAITER)
            (void)co_yield();
    }
}

static int wait_for_one_of_several(void *arg)
{
    (void)arg;
    for (int i = 0; i < SEVERAL; i++) {
        all[i] = &several[i];
        co__source_reset(all[i], 1);
    }
    for (int i = 0; i < SEVERAL; i++) {
        atomic_store(&any_ended, 0);
        start(wait_for_any, NULL);
        until_all_name_him();
        co__source_deliver(&several[i], 1, 0);
        if (i > 0)
            co__source_deliver(&several[0], 1, 0); /* perhaps too late, but kept */
        until(&any_ended, 1);
        CHECK(atomic_load(&any_result) == 0);
        for (int j = 0; j < SEVERAL; j++) /* he has taken his name back everywhere */
            CHECK(state_of(j) == (j == i || j == 0 ? CO__SOURCE_READY : CO__SOURCE_NIL));
        CHECK(co__source_wait_any(all, SEVERAL) == 0); /* what is ready is not waited for */
        for (int j = 0; j < SEVERAL; j++) {
            CHECK(state_of(j) == (j == i || j == 0 ? CO__SOURCE_READY : CO__SOURCE_NIL));
            (void)co__source_consume(&several[j]);
        }
    }
    {
        CO_DEADLINE(2 * CO_MS);
        CHECK(co__source_wait_any(all, SEVERAL) == -ETIMEDOUT);
    }
    for (int j = 0; j < SEVERAL; j++)
        CHECK(state_of(j) == CO__SOURCE_NIL && several[j].word >> 12 == 0);
    atomic_store(&any_ended, 0);
    start(wait_for_any, NULL);
    until_all_name_him();
    co__source_hangup(&several[2]);
    until(&any_ended, 1);
    CHECK(atomic_load(&any_result) == -ECANCELED);
    for (int j = 0; j < SEVERAL; j++)
        CHECK(state_of(j) == CO__SOURCE_NIL);
    return 0;
}

Test(source, one_of_several_wakes_who_waits_for_all_and_none_names_him_afterwards)
{
    run_on(1, wait_for_one_of_several, NULL);
    run_on(4, wait_for_one_of_several, NULL);
    cr_assert_eq(co__source_wait_any(all, SEVERAL), -EPERM);
}
