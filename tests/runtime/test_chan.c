/* SPDX-License-Identifier: MIT */
/*
 * tests/runtime/test_chan.c - channels: each value once, in order, whatever is closed or
 * interrupted meanwhile.
 */
#include <co/chan.h>

#include "sync_help.h"

TestSuite(chan, .timeout = 30);

static struct co_chan *chan;

static int send_number(void *arg)
{
    int number = number_of(arg);

    return co_chan_send(chan, &number);
}

static int recv_and_note(void *arg)
{
    int number = -1;
    int r = co_chan_recv(chan, &number);

    (void)arg;
    if (r == 1)
        note(number);
    return r < 0 ? r : 0;
}

/* ---- handing over ---- */

static int meet(void *arg)
{
    CO_GROUP(group);
    int number = -1;

    (void)arg;
    chan = co_chan_new(sizeof number, 0);
    CHECK(co_chan_try_recv(chan, &number) == -EAGAIN);
    CHECK(co_chan_try_send(chan, &number) == -EAGAIN); /* nobody is there to take it */
    start_asleep(&group, send_number, numbered(5));
    CHECK(co_chan_len(chan) == 0);
    CHECK(co_chan_recv(chan, &number) == 1 && number == 5);
    CHECK(co_group_wait(&group) == 0);
    start_asleep(&group, recv_and_note, NULL);
    number = 0;
    CHECK(co_chan_send(chan, &number) == 0);
    CHECK(co_group_wait(&group) == 0);
    CHECK(noted_in_order(1));
    co_chan_free(chan);
    co_chan_free(NULL);
    return 0;
}

Test(chan, without_a_buffer_sender_and_receiver_meet)
{
    run_on(1, meet, NULL);
    atomic_store(&noted_count, 0);
    run_on(2, meet, NULL);
}

static int keeps_order(void *arg)
{
    CO_GROUP(group);
    int number;

    (void)arg;
    chan = co_chan_new(sizeof number, 3);
    for (number = 0; number < 3; number++)
        CHECK(co_chan_send(chan, &number) == 0);
    CHECK(co_chan_len(chan) == 3);
    CHECK(co_chan_try_send(chan, &number) == -EAGAIN);
    start_asleep(&group, send_number, numbered(3));
    start_asleep(&group, send_number, numbered(4));
    for (int i = 0; i < 5; i++) {
        CHECK(co_chan_recv(chan, &number) == 1 &&
              number == i); /* senders that wait come in, in turn */
        number = 99;
        CHECK(i >= 2 || co_chan_try_send(chan, &number) == -EAGAIN);
    }
    CHECK(co_chan_try_recv(chan, &number) == -EAGAIN);
    CHECK(co_group_wait(&group) == 0);
    co_chan_free(chan);
    return 0;
}

Test(chan, a_buffer_keeps_the_order_and_nobody_overtakes_a_waiting_sender)
{
    run_on(2, keeps_order, NULL);
}

static int receivers_in_turn(void *arg)
{
    CO_GROUP(group);

    (void)arg;
    chan = co_chan_new(sizeof(int), 0);
    for (int i = 0; i < CROWD; i++)
        start_asleep(&group, recv_and_note, NULL);
    for (int i = 0; i < CROWD; i++) {
        CHECK(co_chan_try_send(chan, &i) == 0);
        until(&noted_count, i + 1);
    }
    CHECK(co_chan_try_send(chan, &noted[0]) == -EAGAIN);
    CHECK(co_group_wait(&group) == 0);
    CHECK(noted_in_order(CROWD));
    co_chan_free(chan);
    return 0;
}

Test(chan, each_receiver_that_waits_gets_one_value)
{
    run_on(2, receivers_in_turn, NULL);
}

static int of_any_size(void *arg)
{
    static unsigned char out[5000], in[5000];

    (void)arg;
    chan = co_chan_new(0, 2);
    CHECK(co_chan_send(chan, NULL) == 0 && co_chan_send(chan, NULL) == 0);
    CHECK(co_chan_try_send(chan, NULL) == -EAGAIN);
    CHECK(co_chan_recv(chan, NULL) == 1 && co_chan_len(chan) == 1);
    co_chan_free(chan); /* with one in it */
    chan = co_chan_new(sizeof out, 1);
    for (size_t i = 0; i < sizeof out; i++)
        out[i] = (unsigned char)(i * 7);
    CHECK(co_chan_send(chan, out) == 0);
    CHECK(co_chan_recv(chan, in) == 1);
    CHECK(memcmp(in, out, sizeof out) == 0);
    co_chan_free(chan);
    CHECK(!co_chan_new(SIZE_MAX / 2, 3));
    CHECK(!co_chan_new(SIZE_MAX, 1));
    return 0;
}

Test(chan, values_may_have_any_size_and_be_none)
{
    run_on(1, of_any_size, NULL);
}

/* ---- closing ---- */

static int closed_with_values(void *arg)
{
    int number;

    (void)arg;
    chan = co_chan_new(sizeof number, 3);
    for (number = 0; number < 2; number++)
        CHECK(co_chan_send(chan, &number) == 0);
    CHECK(co_chan_close(chan) == 0);
    CHECK(co_chan_close(chan) == -EPIPE);
    CHECK(co_chan_send(chan, &number) == -EPIPE);
    CHECK(co_chan_try_send(chan, &number) == -EPIPE);
    CHECK(co_chan_recv(chan, &number) == 1 && number == 0);
    CHECK(co_chan_try_recv(chan, &number) == 1 && number == 1);
    CHECK(co_chan_recv(chan, &number) == 0 && number == 1); /* nothing is written */
    CHECK(co_chan_try_recv(chan, &number) == 0);
    co_chan_free(chan);
    return 0;
}

Test(chan, after_closing_receivers_get_what_is_left)
{
    run_on(1, closed_with_values, NULL);
}

static _Atomic int ended_by_close;

static int recv_to_the_end(void *arg)
{
    int number;

    (void)arg;
    CHECK(co_chan_recv(chan, &number) == 0);
    atomic_fetch_add(&ended_by_close, 1);
    return 0;
}

static int send_to_nobody(void *arg)
{
    CHECK(send_number(arg) == -EPIPE);
    atomic_fetch_add(&ended_by_close, 1);
    return 0;
}

static void close_it(void *arg)
{
    CHECK(co_chan_close(arg) == 0);
}

static int closed_while_they_wait(void *arg)
{
    int number = 0;

    for (int senders = 0; senders < 2; senders++) {
        CO_GROUP(group);

        chan = co_chan_new(sizeof number, senders ? 1 : 0);
        CHECK(!senders || co_chan_send(chan, &number) == 0);
        for (int i = 0; i < 50; i++)
            start_asleep(&group, senders ? send_to_nobody : recv_to_the_end, numbered(i));
        if (number_of(arg))
            on_plain_thread(close_it, chan);
        else
            close_it(chan);
        CHECK(co_group_wait(&group) == 0);
        CHECK(co_chan_len(chan) == (size_t)senders);
        co_chan_free(chan);
    }
    CHECK(atomic_load(&ended_by_close) == 100);
    return 0;
}

Test(chan, closing_ends_all_that_wait)
{
    run_on(2, closed_while_they_wait, numbered(0));
    atomic_store(&ended_by_close, 0);
    run_on(2, closed_while_they_wait, numbered(1));
}

static void send_one_and_close(void *arg)
{
    int one = 1;

    CHECK(co_chan_send(arg, &one) == 0);
    CHECK(co_chan_close(arg) == 0);
}

static int freed_at_once(void *arg)
{
    for (int i = 0; i < number_of(arg); i++) {
        struct co_chan *mine = co_chan_new(sizeof(int), (size_t)i % 2);
        int number;

        CHECK(co_go(send_one_and_close, mine) == 0);
        CHECK(co_chan_recv(mine, &number) == 1 && number == 1);
        CHECK(co_chan_recv(mine, &number) == 0);
        co_chan_free(mine);
    }
    return 0;
}

Test(chan, whoever_learns_of_the_end_may_free_it_at_once)
{
    run_on(WORKERS, freed_at_once, numbered(fewer(10000)));
}

/* ---- what ends a wait ---- */

static int out_of_time(void *arg)
{
    CO_GROUP(group);
    int number = 1;

    (void)arg;
    chan = co_chan_new(sizeof number, 1);
    {
        CO_DEADLINE(0);
        CHECK(co_chan_send(chan, &number) == -ETIMEDOUT);
        CHECK(co_chan_len(chan) == 0);
    }
    {
        CO_DEADLINE(CO_MS);
        CHECK(co_chan_recv(chan, &number) == -ETIMEDOUT);
    }
    CHECK(co_chan_send(chan, &number) == 0);
    {
        CO_DEADLINE(CO_MS);
        number = 2;
        CHECK(co_chan_send(chan, &number) == -ETIMEDOUT);
    }
    start_asleep(&group, send_number, numbered(3));
    co_group_cancel(&group);
    CHECK(co_group_wait(&group) == -ECANCELED);
    CHECK(co_chan_recv(chan, &number) == 1 && number == 1);
    CHECK(co_chan_try_recv(chan, &number) == -EAGAIN); /* what was not sent is not there */
    co_chan_free(chan);
    return 0;
}

Test(chan, who_is_interrupted_has_sent_or_received_nothing)
{
    run_on(2, out_of_time, NULL);
}

/* ---- all at once ---- */

enum { SENDERS = 4, RECEIVERS = 4 };

static _Atomic int64_t sent, sent_sum, received, received_sum;

static int send_many(void *arg)
{
    for (int i = 1; i <= number_of(arg); i++) {
        CO_DEADLINE(i % 5 == 0 ? 20 * CO_US : CO_SEC);
        int r = co_chan_send(chan, &i);

        if (r == -ECANCELED)
            break;
        if (r < 0)
            continue;
        atomic_fetch_add(&sent, 1);
        atomic_fetch_add(&sent_sum, i);
    }
    return 0;
}

static int recv_many(void *arg)
{
    (void)arg;
    for (int i = 0;; i++) {
        CO_DEADLINE(i % 5 == 0 ? 20 * CO_US : CO_SEC);
        int number;
        int r = co_chan_recv(chan, &number);

        if (r == 0 || r == -ECANCELED)
            break;
        if (r < 0)
            continue;
        atomic_fetch_add(&received, 1);
        atomic_fetch_add(&received_sum, number);
    }
    return 0;
}

static int rounds(void *arg)
{
    int number;

    for (int i = 0; i < number_of(arg); i++) {
        CO_GROUP(senders);
        CO_GROUP(receivers);

        chan = co_chan_new(sizeof(int), (size_t)i % 4);
        for (int k = 0; k < SENDERS; k++)
            CHECK(co_group_go(&senders, send_many, numbered(50)) == 0);
        for (int k = 0; k < RECEIVERS; k++)
            CHECK(co_group_go(&receivers, recv_many, NULL) == 0);
        for (int k = 0; k < i % 7; k++)
            (void)co_yield();
        if (i % 3 == 1)
            co_group_cancel(&senders);
        if (i % 3 == 2) {
            co_group_cancel(&receivers);
            co_group_cancel(&senders);
        }
        CHECK(co_group_wait(&senders) == 0);
        CHECK(co_chan_close(chan) == 0);
        CHECK(co_group_wait(&receivers) == 0);
        while (co_chan_try_recv(chan, &number) == 1) {
            atomic_fetch_add(&received, 1);
            atomic_fetch_add(&received_sum, number);
        }
        co_chan_free(chan);
        CHECK(atomic_load(&received) == atomic_load(&sent));
        CHECK(atomic_load(&received_sum) == atomic_load(&sent_sum));
    }
    CHECK(atomic_load(&received) > 0);
    return 0;
}

Test(chan, each_value_arrives_once_through_deadlines_and_cancels)
{
    run_on(WORKERS, rounds, numbered(fewer(300)));
}

/* ---- plain threads ---- */

static void send_from_outside(void *arg)
{
    int number = 0;

    CHECK(co_chan_send(arg, &number) == -EPERM);
    CHECK(co_chan_try_send(arg, &number) == 0);
}

static int from_outside(void *arg)
{
    CO_GROUP(group);

    (void)arg;
    chan = co_chan_new(sizeof(int), 0);
    start_asleep(&group, recv_and_note, NULL);
    on_plain_thread(send_from_outside, chan);
    CHECK(co_group_wait(&group) == 0);
    CHECK(noted_in_order(1));
    co_chan_free(chan);
    return 0;
}

Test(chan, plain_threads_may_try)
{
    run_on(2, from_outside, NULL);
}
