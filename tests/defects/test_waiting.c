/* SPDX-License-Identifier: MIT */
/*
 * tests/defects/test_waiting.c - what users of other coroutine libraries saw go wrong with waiting,
 * waking and starting, each tried here. Most of it was seen in coost; the comments say what
 * was seen. Sockets are in test_sockets.c. What has a place among its module's tests already stays
 * there:
 *   one long task halts others     runtime/test_steal.c, runtime/test_turns.c, netio/test_sock.c
 *   errno of another thread        runtime/test_errno.c
 *   a task popped twice            runtime/test_deque.c
 *   no more than 32,000 stacks     tests/stress/million.c, runtime/test_guard.c
 *   overflows that nobody notices  runtime/test_overflow.c
 */
#include "support/run.h"
#include <co/chan.h>
#include <co/cond.h>
#include <co/event.h>
#include <co/group.h>
#include <co/offload.h>
#include <co/park.h>
#include <co/rwlock.h>
#include <co/sem.h>
#include <co/wait_group.h>

TestSuite(waiting, .timeout = 30);

static _Atomic int asleep, awake;

static void reset(void)
{
    atomic_store(&asleep, 0);
    atomic_store(&awake, 0);
}

/* Lets others run for a while, so that who is about to wait does so. */
static void let_wait(void)
{
    for (int i = 0; i < 20; i++)
        (void)co_yield();
    (void)co_sleep(2 * CO_MS);
}

/* ---- a timed wait after another waiter's time-out ---- */

static struct co_event event;

/* Gives up on the event, and then sleeps for something else. */
static int gives_up_and_sleeps(void *arg)
{
    int64_t before;

    (void)arg;
    {
        CO_DEADLINE(2 * CO_MS);
        CHECK(co_event_wait(&event) == -ETIMEDOUT);
    }
    atomic_fetch_add(&asleep, 1);
    before = co_now();
    CHECK(co_sleep(40 * CO_MS) == 0);
    CHECK(co_now() - before >= 40 * CO_MS);
    atomic_fetch_add(&awake, 1);
    return 0;
}

static int waits_for_the_event(void *arg)
{
    CO_DEADLINE(20 * CO_SEC);

    (void)arg;
    CHECK(co_event_wait(&event) == 0);
    atomic_fetch_add(&awake, 1);
    return 0;
}

static int wait_after_a_time_out(void *arg)
{
    CO_GROUP(group);

    (void)arg;
    reset();
    CHECK(co_group_go(&group, gives_up_and_sleeps, NULL) == 0);
    until(&asleep, 1);
    CHECK(co_group_go(&group, waits_for_the_event, NULL) == 0);
    CHECK(co_group_go(&group, waits_for_the_event, NULL) == 0);
    let_wait();
    co_event_set(&event);
    CHECK(co_group_wait(&group) == 0);
    CHECK(atomic_load(&awake) == 3);
    co_event_clear(&event);
    return 0;
}

/* Seen: the coroutine that had timed out was resumed instead, in its sleep; the process aborted. */
Test(waiting, a_timed_wait_after_anothers_time_out_is_woken_and_the_other_sleeps_on)
{
    run_on(1, wait_after_a_time_out, NULL);
    run_on(4, wait_after_a_time_out, NULL);
}

static int time_outs_and_signals_race(void *arg)
{
    struct co_sem sem = {0};
    int64_t taken = 0, given = 0;

    (void)arg;
    for (int i = 0; i < fewer(2000); i++) {
        CO_DEADLINE((int64_t)(i % 40) * CO_US);

        if (i % 2) {
            co_sem_give(&sem, 1);
            given++;
        }
        if (co_sem_take(&sem) == 0)
            taken++;
    }
    while (co_sem_try(&sem) == 0)
        taken++;
    CHECK(taken == given);
    co_sem_done(&sem);
    return 0;
}

/* Seen: a signal that came with the time-out was lost, or woke the next wait. */
Test(waiting, a_signal_that_comes_with_the_time_out_is_neither_lost_nor_seen_twice)
{
    run_on(2, time_outs_and_signals_race, NULL);
}

/* ---- the wake-up of a sleeping coroutine ---- */

static _Atomic co_ticket ticket;

static int publish(co_ticket self, void *arg)
{
    (void)arg;
    atomic_store(&ticket, self);
    return 0;
}

static int parks_then_sleeps(void *arg)
{
    int64_t before;

    (void)arg;
    CHECK(co_park(publish, NULL, 0) == 3);
    atomic_fetch_add(&asleep, 1);
    before = co_now();
    CHECK(co_sleep(30 * CO_MS) == 0);
    CHECK(co_now() - before >= 30 * CO_MS);
    return 0;
}

static int wake_a_sleeper(void *arg)
{
    CO_GROUP(group);

    (void)arg;
    reset();
    atomic_store(&ticket, 0);
    CHECK(co_group_go(&group, parks_then_sleeps, NULL) == 0);
    while (!co_unpark(atomic_load(&ticket), 3))
        (void)co_yield();
    until(&asleep, 1);
    for (int i = 0; i < 100; i++) {
        CHECK(!co_unpark(atomic_load(&ticket), 4));
        (void)co_yield();
    }
    CHECK(co_group_wait(&group) == 0);
    return 0;
}

/* Seen: resuming a coroutine that was in a timed sleep corrupted memory. */
Test(waiting, waking_who_sleeps_by_now_for_another_reason_does_nothing)
{
    run_on(1, wake_a_sleeper, NULL);
    run_on(2, wake_a_sleeper, NULL);
}

static int keep_a_ticket(void *arg)
{
    CO_DEADLINE(CO_MS);

    (void)arg;
    CHECK(co_park(publish, NULL, 0) == -ETIMEDOUT);
    return 0;
}

static int try_an_old_ticket(void *arg)
{
    (void)arg;
    /* As often as there were parks in the runtime before, and then some. */
    for (int i = 0; i < 8; i++) {
        co_ticket old = atomic_exchange(&ticket, 0), mine;

        atomic_store(&asleep, 0);
        do {
            CO_DEADLINE(CO_MS);
            CHECK(co_park(publish, NULL, 0) == -ETIMEDOUT);
            mine = atomic_load(&ticket);
        } while (!mine); /* the deadline had passed before it began */
        CHECK(mine != old);
        atomic_store(&ticket, old);
    }
    return 0;
}

/* Seen here: tickets were numbered anew in each runtime, so an old one could wake a stranger. */
Test(waiting, a_ticket_of_an_earlier_runtime_wakes_nobody_in_the_next)
{
    run_on(1, keep_a_ticket, NULL);
    for (int i = 0; i < 5; i++)
        run_on(1, try_an_old_ticket, NULL);
}

/* ---- waiting at zero, and again ---- */

static struct co_wait_group joined;

static int waits_twice(void *arg)
{
    (void)arg;
    CHECK(co_wait_group_wait(&joined) == 0);
    CHECK(co_wait_group_wait(&joined) == 0);
    atomic_fetch_add(&awake, 1);
    return 0;
}

static int counts_down(void *arg)
{
    (void)arg;
    CHECK(co_wait_group_add(&joined, -1) == 0);
    return 0;
}

static int wait_at_zero_and_again(void *arg)
{
    CO_DEADLINE(20 * CO_SEC);
    CO_GROUP(group);

    (void)arg;
    reset();
    CHECK(co_wait_group_wait(&joined) == 0); /* nothing was added */
    CHECK(co_wait_group_add(&joined, 1) == 0);
    CHECK(co_wait_group_add(&joined, -1) == 0);
    CHECK(co_wait_group_wait(&joined) == 0); /* done before anybody waits */
    CHECK(co_wait_group_wait(&joined) == 0);
    CHECK(co_wait_group_add(&joined, 3) == 0);
    for (int i = 0; i < 5; i++)
        CHECK(co_group_go(&group, waits_twice, NULL) == 0);
    for (int i = 0; i < 3; i++)
        CHECK(co_group_go(&group, counts_down, NULL) == 0);
    CHECK(co_group_wait(&group) == 0);
    CHECK(atomic_load(&awake) == 5);
    CHECK(co_wait_group_add(&joined, -1) == -EINVAL); /* an error, not an abort */
    return 0;
}

/* Seen: a wait at zero hung, and of many that waited, or waited again, one came back. */
Test(waiting, at_zero_nobody_waits_and_all_who_waited_may_wait_again)
{
    run_on(1, wait_at_zero_and_again, NULL);
    run_on(4, wait_at_zero_and_again, NULL);
}

/* ---- channels ---- */

static int send_until_closed(void *arg)
{
    struct co_chan *chan = arg;
    void *block;
    int r;

    do {
        block = malloc(16);
        r = co_chan_send(chan, &block);
    } while (r == 0);
    CHECK(r == -EPIPE);
    free(block); /* it was not sent */
    atomic_fetch_add(&awake, 1);
    return 0;
}

static int leave_elements_in_a_channel(void *arg)
{
    struct co_chan *chan = co_chan_new(sizeof(void *), 5);
    void *block;
    int got = 0;
    CO_GROUP(group);

    (void)arg;
    reset();
    CHECK(chan != NULL);
    for (int i = 0; i < 4; i++)
        CHECK(co_group_go(&group, send_until_closed, chan) == 0);
    while (co_chan_len(chan) < 5)
        (void)co_yield();
    let_wait();
    CHECK(co_chan_close(chan) == 0);
    CHECK(co_group_wait(&group) == 0); /* those who could not send were told */
    CHECK(atomic_load(&awake) == 4);
    while (co_chan_recv(chan, &block) == 1) {
        free(block);
        got++;
    }
    CHECK(got == 5);
    CHECK(co_chan_recv(chan, &block) == 0);
    co_chan_free(chan);
    return 0;
}

/* Seen: elements left inside were lost, and closing did not wake those who were sending. */
Test(waiting, what_is_left_in_a_closed_channel_is_received_and_who_sends_is_told)
{
    run_on(1, leave_elements_in_a_channel, NULL);
    run_on(4, leave_elements_in_a_channel, NULL);
}

static int receive_one(void *arg)
{
    int value = 0;

    CHECK(co_chan_recv(arg, &value) == 1 && value == 17);
    return 0;
}

static int use_a_channel_without_room(void *arg)
{
    struct co_chan *chan = co_chan_new(sizeof(int), 0);
    int value = 17;
    CO_GROUP(group);

    (void)arg;
    CHECK(chan != NULL);
    CHECK(co_chan_try_send(chan, &value) == -EAGAIN);
    {
        CO_DEADLINE(2 * CO_MS);
        CHECK(co_chan_send(chan, &value) == -ETIMEDOUT);
    }
    CHECK(co_chan_len(chan) == 0);
    CHECK(co_group_go(&group, receive_one, chan) == 0);
    CHECK(co_chan_send(chan, &value) == 0);
    CHECK(co_group_wait(&group) == 0);
    co_chan_free(chan);
    return 0;
}

/* Seen: a capacity of 0 wrote outside the buffer; time-outs belonged to channels, not to calls. */
Test(waiting, a_channel_without_room_hands_over_and_a_time_out_is_one_calls)
{
    run_on(1, use_a_channel_without_room, NULL);
    run_on(4, use_a_channel_without_room, NULL);
}

/* ---- what was asked last, and by whom ---- */

static int time_out_once(void *arg)
{
    struct co_sem sem = {0};

    (void)arg;
    {
        CO_DEADLINE(CO_MS);
        CHECK(co_sem_take(&sem) == -ETIMEDOUT);
        CHECK(co_check() == -ETIMEDOUT);
        CHECK(co_sleep(CO_SEC) == -ETIMEDOUT);
    }
    CHECK(co_check() == 0);
    co_sem_give(&sem, 1);
    CHECK(co_sem_take(&sem) == 0);
    CHECK(co_left() == CO_NEVER);
    CHECK(co_sleep(CO_MS) == 0);
    return 0;
}

/* Seen: the flag of a time-out stayed set for later calls, and was another coroutine's. */
Test(waiting, a_time_out_says_nothing_about_calls_after_its_block)
{
    run_on(2, time_out_once, NULL);
}

static int sets_the_event(void *arg)
{
    (void)arg;
    (void)co_sleep(5 * CO_MS);
    co_event_set(&event);
    return 0;
}

static int wait_for_ages(void *arg)
{
    static const int64_t ages[] = {CO_NEVER, CO_NEVER - 1, 100 * (365 * 24 * 3600 * CO_SEC),
                                   70 * CO_SEC};

    (void)arg;
    for (size_t i = 0; i < sizeof ages / sizeof *ages; i++) {
        CO_DEADLINE(ages[i]);
        CO_GROUP(group);

        CHECK(co_left() > 60 * CO_SEC);
        CHECK(co_group_go(&group, sets_the_event, NULL) == 0);
        CHECK(co_event_wait(&event) == 0);
        co_event_clear(&event);
    }
    return 0;
}

/* Seen: time-outs above 65,535 ms were cut, and very long ones wrapped around. */
Test(waiting, a_deadline_in_a_hundred_years_does_not_come_at_once)
{
    run_on(1, wait_for_ages, NULL);
}

/* ---- stacks ---- */

struct message {
    int question;
    int answer;
    struct co_event answered;
};

static int answers(void *arg)
{
    struct message *message = arg;

    message->answer = message->question * 2;
    co_event_set(&message->answered);
    return 0;
}

static int ask_by_address(void *arg)
{
    struct message messages[16] = {{.question = 0}};
    CO_GROUP(group);

    (void)arg;
    for (int i = 0; i < 16; i++) {
        messages[i].question = i;
        CHECK(co_group_go(&group, answers, &messages[i]) == 0);
    }
    for (int i = 0; i < 16; i++) {
        CHECK(co_event_wait(&messages[i].answered) == 0);
        CHECK(messages[i].answer == 2 * i);
    }
    return 0;
}

/* Seen: stacks were copied away while their owners slept, so what others wrote there was lost. */
Test(waiting, others_may_write_to_what_lies_on_a_sleepers_stack)
{
    run_on(1, ask_by_address, NULL);
    run_on(4, ask_by_address, NULL);
}

/* ---- who is left behind ---- */

static struct co_mutex mutex;
static _Atomic int holds;

static int gives_up_locking(void *arg)
{
    CO_DEADLINE(2 * CO_MS);

    (void)arg;
    CHECK(co_mutex_lock(&mutex) == -ETIMEDOUT);
    atomic_fetch_add(&asleep, 1);
    return 0;
}

static int locks_in_the_end(void *arg)
{
    CO_DEADLINE(20 * CO_SEC);

    (void)arg;
    CHECK(co_mutex_lock(&mutex) == 0);
    CHECK(atomic_fetch_add(&holds, 1) == 0);
    (void)co_yield();
    atomic_fetch_sub(&holds, 1);
    co_mutex_unlock(&mutex);
    atomic_fetch_add(&awake, 1);
    return 0;
}

static int give_up_in_the_midst(void *arg)
{
    CO_GROUP(group);

    (void)arg;
    reset();
    CHECK(co_mutex_lock(&mutex) == 0);
    for (int i = 0; i < 12; i++)
        CHECK(co_group_go(&group, i % 3 ? gives_up_locking : locks_in_the_end, NULL) == 0);
    while (atomic_load(&asleep) < 8) /* all who give up have done so */
        (void)co_sleep(CO_MS);
    co_mutex_unlock(&mutex);
    CHECK(co_group_wait(&group) == 0);
    CHECK(atomic_load(&awake) == 4);
    return 0;
}

/* Seen: a lock was handed to a waiter that had given up, and nobody ever had it again. */
Test(waiting, a_lock_passes_by_those_who_gave_up)
{
    run_on(1, give_up_in_the_midst, NULL);
    run_on(4, give_up_in_the_midst, NULL);
}

static int member(void *arg)
{
    (void)arg;
    return 0;
}

static int refuse_starts(void *arg)
{
    (void)arg;
    {
        CO_GROUP(group);

        CHECK(co_group_go(&group, member, NULL) == 0);
        co_group_cancel(&group);
        for (int i = 0; i < 10; i++)
            CHECK(co_group_go(&group, member, NULL) == -ECANCELED);
    }
    CHECK(stat_of("spawned") - stat_of("ended") == 1);
    return 0;
}

/* Seen here: those whom a cancelled group refused were counted as alive for ever. */
Test(waiting, who_was_refused_does_not_count_as_started)
{
    run_on(1, refuse_starts, NULL);
    cr_assert_eq(stat_of("spawned"), stat_of("ended"));
}
