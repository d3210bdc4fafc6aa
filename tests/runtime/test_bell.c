/* SPDX-License-Identifier: MIT */
/* tests/runtime/test_bell.c - waking a thread that sleeps, is about to, or stays awake for it. */
#include "bell.h"

#include "poll.h"
#include "support/run.h"
#include <co/park.h>
#include <fcntl.h>
#include <unistd.h>

TestSuite(bell, .timeout = 60);

Test(bell, a_ring_before_the_sleep_keeps_from_it)
{
    struct co__bell bell = {0};

    cr_assert_not(co__bell_ring(&bell)); /* awake: the kernel need not know */
    cr_assert_not(co__bell_ring(&bell)); /* two are one */
    cr_assert_not(co__bell_rest(&bell));
    cr_assert(co__bell_rise(&bell));
    cr_assert(co__bell_rest(&bell));
}

Test(bell, the_kernel_is_told_once_for_a_sleeper)
{
    struct co__bell bell = {0};

    cr_assert(co__bell_rest(&bell));
    cr_assert_not(co__bell_is_rung(&bell));
    cr_assert(co__bell_ring(&bell));
    cr_assert_not(co__bell_ring(&bell));
    cr_assert(co__bell_is_rung(&bell));
    cr_assert(co__bell_rise(&bell));
    cr_assert_not(co__bell_rise(&bell)); /* for another reason */
}

Test(bell, who_listens_hears_a_ring_and_nothing_else)
{
    struct co__bell bell = {0};

    cr_assert_not(co__bell_listen(&bell, 10 * CO_US));
    (void)co__bell_ring(&bell);
    cr_assert(co__bell_listen(&bell, 0));
    cr_assert(co__bell_rise(&bell));
    cr_assert_not(co__bell_listen(&bell, 0));
}

/* ---- two coroutines on workers of their own, which wake each other ---- */

#define NOBODY ((co_ticket)0)
#define TOLD   UINT64_MAX

enum { WOKEN = 1 };

static _Atomic co_ticket cells[2];
static _Atomic int started, ended, over;
static int rounds;

static void tell(_Atomic co_ticket *cell)
{
    co_ticket seen = atomic_exchange(cell, TOLD);

    if (seen == NOBODY || seen == TOLD)
        return;
    atomic_store(cell, NOBODY);
    co_unpark(seen, WOKEN);
}

static int commit(co_ticket self, void *arg)
{
    _Atomic co_ticket *cell = arg;
    co_ticket seen = NOBODY;

    if (atomic_compare_exchange_strong(cell, &seen, self))
        return 0;
    atomic_store(cell, NOBODY);
    return WOKEN;
}

static bool be_told(_Atomic co_ticket *cell)
{
    return co_park(commit, cell, 0) == WOKEN;
}

static void answer(void *arg)
{
    CO_PIN();

    (void)arg;
    atomic_store(&started, 1 + co__worker()->index);
    for (int i = 0; i < rounds && be_told(&cells[0]); i++)
        tell(&cells[1]);
    atomic_store(&ended, 1);
}

/* Starts the answering one on the other worker. Returns: that. */
static struct co__worker *apart(int count)
{
    rounds = count;
    atomic_store(&started, 0);
    atomic_store(&ended, 0);
    atomic_store(&over, 0);
    start(answer, NULL);
    while (atomic_load(&started) == 0) /* nobody else runs here meanwhile */
        continue;
    return &co__rt.workers[atomic_load(&started) - 1];
}

/* Whoever held the other worker for stuck looks into its epoll, and finds its wake-up there. */
static int take_wake_ups_away(void *arg)
{
    CO_PIN();
    struct co__worker *other = apart(fewer(20000));

    (void)arg;
    CHECK(other != co__worker());
    for (int i = 0; i < rounds; i++) {
        tell(&cells[0]);
        for (int j = 0; j < i % 4; j++)
            CHECK(co__poll_rescue(co__worker(), other) == 0);
        CHECK(be_told(&cells[1]));
    }
    while (atomic_load(&ended) == 0)
        (void)co_yield();
    return 0;
}

Test(bell, a_sleeper_whose_wake_up_is_taken_by_a_rescuer_wakes_all_the_same)
{
    run_on(2, take_wake_ups_away, NULL);
}

static int pipe_fds[2];
static _Atomic int arrived;

static void deliver(uint64_t data, uint32_t events)
{
    char byte;

    (void)data;
    CHECK(events & EPOLLIN);
    CHECK(read(pipe_fds[0], &byte, 1) == 1);
    atomic_fetch_add(&arrived, 1);
}

static void sleep_a_little(void *arg)
{
    (void)arg;
    CHECK(co_sleep(CO_MS) == 0);
    atomic_fetch_add(&over, 1);
}

/* Each rings the other at once, so both may stay awake for it, again and again. */
static int ring_each_other(void *arg)
{
    CO_PIN();
    struct co__worker *other = apart(INT32_MAX);
    int told = 0;

    (void)arg;
    co__poll_deliver_to(deliver);
    atomic_store(&arrived, 0);
    CHECK(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) == 0);
    CHECK(co__poll_add(other->index, pipe_fds[0], EPOLLIN, 0) == 0);
    for (int i = 0; i < fewer(200); i++) {
        CHECK(write(pipe_fds[1], "x", 1) == 1);
        start(sleep_a_little, NULL);
        while (atomic_load(&arrived) <= i || atomic_load(&over) <= i) {
            tell(&cells[0]);
            CHECK(be_told(&cells[1]));
            told++;
        }
    }
    CHECK(told > 0);
    CHECK(co__poll_del(other->index, pipe_fds[0]) == 0);
    (void)close(pipe_fds[0]);
    (void)close(pipe_fds[1]);
    co_stop(); /* the other waits for ever */
    return 0;
}

Test(bell, workers_that_ring_each_other_without_rest_still_serve_sockets_and_timers)
{
    cr_assert_eq(run_and_stop(2, 0, ring_each_other), 0);
}
