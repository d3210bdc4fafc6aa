/* SPDX-License-Identifier: MIT */
/*
 * tests/runtime/test_select.c - co_select: one of many, by chance among those that can happen, and
 * nothing of the others.
 */
#include <co/chan.h>

#include "sync_help.h"

TestSuite(select, .timeout = 30);

enum { MANY = 100 };

static struct co_chan *chans[MANY];

static void open_chans(int count, size_t capacity)
{
    for (int i = 0; i < count; i++)
        chans[i] = co_chan_new(sizeof(int), capacity);
}

static void free_chans(int count)
{
    for (int i = 0; i < count; i++)
        co_chan_free(chans[i]);
}

/* ---- which one ---- */

static int fair(void *arg)
{
    int hits[4] = {0};
    int n = number_of(arg);

    open_chans(4, 1);
    for (int i = 0; i < n; i++) {
        int got[4];
        struct co_case cases[5] = {{.kind = CO_CASE_RECV}}; /* the first never happens */
        int r;

        for (int k = 0; k < 4; k++) {
            cases[k + 1] =
                (struct co_case){.chan = chans[k], .kind = CO_CASE_RECV, .value = &got[k]};
            /* Three of the four can happen; they are not evenly spread. */
            CHECK(k == 2 || co_chan_try_send(chans[k], &i) != -EPIPE);
        }
        r = co_select(cases, 5, 0);
        CHECK(r >= 1 && r <= 4 && r != 3 && cases[r].result == 1);
        hits[r - 1]++;
    }
    CHECK(hits[2] == 0);
    for (int k = 0; k < 4; k++)
        CHECK(k == 2 || (hits[k] > n / 3 - n / 12 && hits[k] < n / 3 + n / 12));
    free_chans(4);
    return 0;
}

Test(select, those_that_can_happen_have_the_same_chance)
{
    run_on(1, fair, numbered(6000));
}

static int none_ready(void *arg)
{
    int number = 0;
    struct co_case cases[2];

    (void)arg;
    open_chans(2, 0);
    cases[0] = (struct co_case){.chan = chans[0], .kind = CO_CASE_RECV, .value = &number};
    cases[1] = (struct co_case){.chan = chans[1], .kind = CO_CASE_SEND, .value = &number};
    CHECK(co_select(cases, 2, CO_SELECT_TRY) == -EAGAIN);
    CHECK(co_select(cases, 0, CO_SELECT_TRY) == -EAGAIN);
    CHECK(co_select(cases, -1, CO_SELECT_TRY) == -EINVAL);
    {
        CO_DEADLINE(0);
        CHECK(co_select(cases, 2, 0) == -ETIMEDOUT);
    }
    {
        CO_DEADLINE(CO_MS);
        CHECK(co_select(cases, 2, 0) == -ETIMEDOUT);
        CHECK(co_left() == 0);
    }
    {
        CO_DEADLINE(CO_MS);
        CHECK(co_select(cases, 0, 0) == -ETIMEDOUT); /* for ever, but for the deadline */
    }
    /* Nothing of it is left behind. */
    CHECK(co_chan_try_send(chans[0], &number) == -EAGAIN);
    CHECK(co_chan_try_recv(chans[1], &number) == -EAGAIN);
    free_chans(2);
    return 0;
}

Test(select, a_default_and_a_deadline_end_it_without_a_trace)
{
    struct co_case none = {.kind = CO_CASE_RECV};

    cr_assert_eq(co_select(&none, 1, CO_SELECT_TRY), -EAGAIN);
    cr_assert_eq(co_select(&none, 1, 0), -EPERM);
    run_on(2, none_ready, NULL);
}

static int select_either(void *arg)
{
    int got = -1, out = 8;
    struct co_case cases[2] = {
        {.chan = chans[0], .kind = CO_CASE_RECV, .value = &got},
        {.chan = chans[1], .kind = CO_CASE_SEND, .value = &out},
    };
    int r = co_select(cases, 2, 0);

    (void)arg;
    if (r < 0)
        return r;
    CHECK(r == 0 ? cases[0].result == 1 && got == 7 : cases[1].result == 0);
    note(r);
    return 0;
}

static int woken_by_either(void *arg)
{
    CO_GROUP(group);
    int number = 7;

    (void)arg;
    open_chans(2, 0);
    start_asleep(&group, select_either, NULL);
    CHECK(co_chan_try_send(chans[0], &number) == 0);
    CHECK(co_chan_try_recv(chans[1], &number) ==
          -EAGAIN); /* it has chosen, though it has not run yet */
    CHECK(co_group_wait(&group) == 0);
    start_asleep(&group, select_either, NULL);
    CHECK(co_chan_try_recv(chans[1], &number) == 1 && number == 8);
    CHECK(co_chan_try_send(chans[0], &number) == -EAGAIN);
    CHECK(co_group_wait(&group) == 0);
    CHECK(noted_in_order(2));
    start_asleep(&group, select_either, NULL);
    co_group_cancel(&group);
    CHECK(co_group_wait(&group) == -ECANCELED);
    CHECK(co_chan_try_send(chans[0], &number) == -EAGAIN);
    free_chans(2);
    return 0;
}

Test(select, whoever_comes_first_decides_the_case)
{
    run_on(1, woken_by_either, NULL);
}

static int select_closed(void *arg)
{
    int got, out = 1;
    struct co_case cases[2] = {
        {.chan = chans[0], .kind = CO_CASE_RECV, .value = &got},
        {.chan = chans[1], .kind = CO_CASE_SEND, .value = &out},
    };
    int r = co_select(cases, 2, 0);

    CHECK(r == number_of(arg));
    CHECK(r < 0 || cases[r].result == (r == 1 ? -EPIPE : 0));
    return r < 0 ? r : 0;
}

static int closed(void *arg)
{
    (void)arg;
    for (int which = 0; which < 2; which++) {
        CO_GROUP(group);

        open_chans(2, 0);
        for (int i = 0; i < CROWD; i++)
            start_asleep(&group, select_closed, numbered(which));
        CHECK(co_chan_close(chans[which]) == 0);
        CHECK(co_group_wait(&group) == 0);
        CHECK(select_closed(numbered(which)) == 0); /* and one that comes later */
        free_chans(2);
    }
    return 0;
}

Test(select, a_closed_channel_makes_its_cases_happen)
{
    run_on(2, closed, NULL);
}

/* ---- the same channel in several cases ---- */

static int select_both(void *arg)
{
    int got = -1, out = number_of(arg);
    struct co_case cases[3] = {
        {.chan = chans[0], .kind = CO_CASE_SEND, .value = &out},
        {.chan = chans[0], .kind = CO_CASE_RECV, .value = &got},
        {.chan = chans[0], .kind = CO_CASE_RECV, .value = &got},
    };
    int r = co_select(cases, 3, 0);

    if (r < 0)
        return r;
    CHECK(r == 0 ? got == -1 : got == 1 - out); /* the other's, not its own */
    note(r > 0);
    return 0;
}

static int two_meet(void *arg)
{
    for (int i = 0; i < number_of(arg); i++) {
        CO_GROUP(group);

        open_chans(1, 0);
        atomic_store(&noted_count, 0);
        if (i % 2) {
            int64_t before = parked();

            CHECK(co_group_go(&group, select_both, numbered(0)) == 0);
            until_parked(before + 1);
            for (int k = 0; k < 5; k++)
                (void)co_yield();
            CHECK(atomic_load(&noted_count) == 0); /* nobody meets oneself */
        } else {
            CHECK(co_group_go(&group, select_both, numbered(0)) == 0);
        }
        CHECK(co_group_go(&group, select_both, numbered(1)) == 0);
        CHECK(co_group_wait(&group) == 0);
        CHECK(noted[0] + noted[1] == 1); /* one has sent, one received */
        free_chans(1);
    }
    return 0;
}

Test(select, two_that_send_and_receive_on_one_channel_meet_each_other)
{
    run_on(1, two_meet, numbered(20));
    run_on(WORKERS, two_meet, numbered(fewer(2000)));
}

static int chosen_twice(void *arg)
{
    int got[2] = {-1, -1};
    int hits[2] = {0};

    (void)arg;
    open_chans(1, 1);
    for (int i = 0; i < 400; i++) {
        struct co_case cases[2] = {
            {.chan = chans[0], .kind = CO_CASE_RECV, .value = &got[0]},
            {.chan = chans[0], .kind = CO_CASE_RECV, .value = &got[1]},
        };
        int r;

        CHECK(co_chan_try_send(chans[0], &i) == 0);
        r = co_select(cases, 2, 0);
        CHECK(r >= 0 && got[r] == i);
        hits[r]++;
        CHECK(co_select(cases, 2, CO_SELECT_TRY) == -EAGAIN); /* one value, once */
    }
    CHECK(hits[0] > 100 && hits[1] > 100);
    free_chans(1);
    return 0;
}

Test(select, the_same_case_twice_receives_a_value_once)
{
    run_on(1, chosen_twice, NULL);
}

/* ---- many ---- */

static _Atomic int64_t got_count, got_sum, put_count, put_sum;

static int recv_any(void *arg)
{
    int got[MANY];
    struct co_case cases[MANY];
    int open = MANY;

    (void)arg;
    for (int i = 0; i < MANY; i++)
        cases[i] = (struct co_case){.chan = chans[i], .kind = CO_CASE_RECV, .value = &got[i]};
    while (open > 0) {
        CO_DEADLINE(CO_SEC);
        int r = co_select(cases, MANY, 0);

        CHECK(r >= 0);
        if (r < 0)
            return r;
        if (cases[r].result == 0) {
            cases[r].chan = NULL; /* from now on it never happens */
            open--;
            continue;
        }
        atomic_fetch_add(&got_count, 1);
        atomic_fetch_add(&got_sum, got[r]);
    }
    return 0;
}

static int send_any(void *arg)
{
    uint32_t seed = (uint32_t)number_of(arg) * 2654435761U + 1;

    for (int i = 0; i < fewer(1000); i++) {
        CO_DEADLINE(i % 5 == 0 ? 50 * CO_US : CO_SEC);
        struct co_case cases[3];
        int r;

        for (int k = 0; k < 3; k++) {
            seed = seed * 1664525U + 1013904223U;
            cases[k] = (struct co_case){
                .chan = chans[(seed >> 8) % MANY], .kind = CO_CASE_SEND, .value = &i};
        }
        r = co_select(cases, 3, 0);
        CHECK(r >= 0 || r == -ETIMEDOUT);
        if (r < 0)
            continue;
        atomic_fetch_add(&put_count, 1);
        atomic_fetch_add(&put_sum, i);
    }
    return 0;
}

static int many(void *arg)
{
    CO_GROUP(receivers);
    CO_GROUP(senders);

    for (int i = 0; i < MANY; i++)
        chans[i] = co_chan_new(sizeof(int), (size_t)(i % 3));
    for (int i = 0; i < number_of(arg); i++) {
        CHECK(co_group_go(&receivers, recv_any, NULL) == 0);
        CHECK(co_group_go(&senders, send_any, numbered(i + 1)) == 0);
    }
    CHECK(co_group_wait(&senders) == 0);
    for (int i = 0; i < MANY; i++)
        CHECK(co_chan_close(chans[i]) == 0);
    CHECK(co_group_wait(&receivers) == 0);
    CHECK(atomic_load(&got_count) == atomic_load(&put_count) && atomic_load(&got_count) > 0);
    CHECK(atomic_load(&got_sum) == atomic_load(&put_sum));
    free_chans(MANY);
    return 0;
}

Test(select, over_a_hundred_channels_each_value_arrives_once)
{
    run_on(WORKERS, many, numbered(4));
}

static int cancelled_select(void *arg)
{
    int number = number_of(arg), got;
    struct co_case cases[2] = {
        {.chan = chans[number % 2], .kind = CO_CASE_SEND, .value = &number},
        {.chan = chans[1 - number % 2], .kind = CO_CASE_RECV, .value = &got},
    };

    for (;;) {
        int r = co_select(cases, 2, 0);

        if (r < 0)
            return 0;
        atomic_fetch_add(r == 0 ? &put_count : &got_count, 1);
    }
}

static int with_cancels(void *arg)
{
    for (int i = 0; i < number_of(arg); i++) {
        CO_GROUP(some);
        CO_GROUP(others);

        open_chans(2, 0);
        for (int k = 0; k < CROWD; k++)
            CHECK(co_group_go(k < CROWD / 2 ? &some : &others, cancelled_select, numbered(k)) == 0);
        for (int k = 0; k < i % 5; k++)
            (void)co_yield();
        co_group_cancel(&some);
        co_group_cancel(&others);
        CHECK(co_group_wait(&some) == 0 && co_group_wait(&others) == 0);
        CHECK(atomic_load(&put_count) == atomic_load(&got_count));
        free_chans(2);
    }
    CHECK(atomic_load(&got_count) > 0);
    return 0;
}

Test(select, what_was_sent_was_received_when_both_are_cancelled)
{
    run_on(WORKERS, with_cancels, numbered(fewer(1000)));
}
