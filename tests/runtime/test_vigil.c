/* SPDX-License-Identifier: MIT */
/*
 * tests/runtime/test_vigil.c - while a worker computes, a sleeper waits for its epoll, too: every
 * edge arrives, once, elsewhere; nobody spins or ticks meanwhile; and it ends when the turn does.
 */
#include "support/run.h"
#include "vigil.h"
#include <co/park.h>
#include <co/private/poll.h>
#include <fcntl.h>
#include <unistd.h>

TestSuite(vigil, .timeout = 60);

#define ENOUGH (30 * CO_SEC) /* after that something is broken, not slow */

enum { PIPES = 2 };

/* A pipe whose reading end is in some worker's epoll; a plain thread writes to it. */
static struct line {
    int fds[2];
    int home;
    int count; /* bytes to write before the writer ends */
    _Atomic int written;
    _Atomic int delivered;
    _Atomic int at_home; /* of those delivered */
} lines[PIPES];

static void deliver(uint64_t data, uint32_t events)
{
    struct line *line = &lines[data];
    char byte;

    CHECK(events & EPOLLIN);
    CHECK(read(line->fds[0], &byte, 1) == 1);
    atomic_fetch_add(&line->at_home, co__worker()->index == line->home);
    atomic_fetch_add(&line->delivered, 1);
}

static void open_line(struct line *line, int home)
{
    CHECK(pipe2(line->fds, O_CLOEXEC | O_NONBLOCK) == 0);
    line->home = home;
    atomic_store(&line->written, 0);
    atomic_store(&line->delivered, 0);
    atomic_store(&line->at_home, 0);
    CHECK(co__poll_add(home, line->fds[0], EPOLLIN, (uint64_t)(line - lines)) == 0);
}

static void close_line(struct line *line)
{
    CHECK(co__poll_del(line->home, line->fds[0]) == 0);
    (void)close(line->fds[0]);
    (void)close(line->fds[1]);
}

/* One byte, and wait until it has arrived; so each byte is an edge of its own. */
static void *write_all(void *arg)
{
    struct line *line = arg;
    int64_t end = co_now() + ENOUGH;

    for (int i = 0; i < line->count && co_now() < end; i++) {
        int count = atomic_fetch_add(&line->written, 1) + 1;

        CHECK(write(line->fds[1], "x", 1) == 1);
        while (atomic_load(&line->delivered) < count && co_now() < end)
            (void)usleep(100);
    }
    return NULL;
}

/* Computes in one turn until the counter is there. */
static void compute_until(const _Atomic int *counter, int value)
{
    int64_t end = co_now() + ENOUGH;

    while (atomic_load(counter) < value && co_now() < end)
        continue;
}

static struct co__worker *here(void)
{
    return co__worker();
}

static void write_while_computing(struct line *line, int count)
{
    pthread_t writer;

    line->count = count;
    CHECK(pthread_create(&writer, NULL, write_all, line) == 0);
    compute_until(&line->delivered, count);
    CHECK(pthread_join(writer, NULL) == 0);
    CHECK(atomic_load(&line->written) == count);
    CHECK(atomic_load(&line->delivered) == count);
}

static int be_stuck(void *arg)
{
    (void)arg;
    co__poll_deliver_to(deliver);
    open_line(&lines[0], here()->index);
    write_while_computing(&lines[0], 100);
    CHECK(atomic_load(&lines[0].at_home) == 0);
    compute_until(&here()->keeper, 1); /* and it goes back to its post */
    CHECK(atomic_load(&here()->keeper) == 2 - here()->index);
    CHECK(co__is_stuck(here()));
    close_line(&lines[0]);
    return 0;
}

Test(vigil, events_of_a_stuck_worker_arrive_elsewhere_once_each)
{
    run_on(2, be_stuck, NULL);
}

static int make_noise(void *arg)
{
    const uint64_t one = 1;
    struct co__worker *w = here();
    struct co__worker *other = &co__rt.workers[1 - w->index];
    int64_t begun = co_now();
    uint32_t naps = atomic_load(&other->naps);

    (void)arg;
    co__poll_deliver_to(deliver);
    open_line(&lines[0], w->index);
    CHECK(!co__worker_kick(w)); /* which it would see before its next sleep */
    CHECK(write(w->wake_fd, &one, sizeof one) == sizeof one); /* its epoll is ready without end */
    write_while_computing(&lines[0], 50);
    CHECK(atomic_load(&lines[0].at_home) == 0);
    CHECK(atomic_load(&w->noisy) == atomic_load(&w->stuck));
    naps = atomic_load(&other->naps) - naps;
    CHECK(naps <= 200 + (co_now() - begun) / (100 * CO_US));
    close_line(&lines[0]);
    return 0;
}

Test(vigil, what_only_the_owner_takes_out_makes_nobody_spin)
{
    run_on(2, make_noise, NULL);
}

static int be_quiet(void *arg)
{
    struct co__worker *w = here();
    struct co__worker *other = &co__rt.workers[1 - w->index];
    uint32_t naps;

    (void)arg;
    compute_until(&w->keeper, 1);
    naps = atomic_load(&other->naps);
    compute(100 * CO_MS); /* a hundred looks of the watchdog */
    CHECK(chaotic() || atomic_load(&other->naps) - naps <= 10);
    return 0;
}

Test(vigil, a_keeper_sleeps_while_nothing_happens)
{
    run_on(2, be_quiet, NULL);
}

static int recover(void *arg)
{
    struct co__worker *w;
    pthread_t writer;

    (void)arg;
    co__poll_deliver_to(deliver);
    CO_PIN();
    w = here();
    open_line(&lines[0], w->index);
    for (int round = 0; round < 5; round++) {
        int before = atomic_load(&lines[0].delivered);

        compute_until(&w->keeper, 1);
        CHECK(co_yield() == 0);
        CHECK(!co__is_stuck(w));
        lines[0].count = 20;
        CHECK(pthread_create(&writer, NULL, write_all, &lines[0]) == 0);
        until(&lines[0].delivered, before + 20); /* turns, served here or by one on its way off */
        CHECK(pthread_join(writer, NULL) == 0);
        CHECK(atomic_load(&lines[0].delivered) == before + 20);
    }
    while (atomic_load(&w->keeper) != 0) {
        CHECK(write(lines[0].fds[1], "x", 1) == 1); /* it learns that nobody is stuck */
        CHECK(co_sleep(CO_MS) == 0);
    }
    close_line(&lines[0]);
    return 0;
}

Test(vigil, it_ends_when_the_worker_comes_back)
{
    run_on(2, recover, NULL);
}

static _Atomic int both_done;

static void also_stuck(void *arg)
{
    (void)arg;
    open_line(&lines[1], here()->index);
    write_while_computing(&lines[1], 50);
    CHECK(atomic_load(&lines[1].at_home) == 0);
    atomic_fetch_add(&both_done, 1);
    compute_until(&both_done, 2);
    close_line(&lines[1]);
}

static int be_stuck_with_another(void *arg)
{
    (void)arg;
    co__poll_deliver_to(deliver);
    atomic_store(&both_done, 0);
    start(also_stuck, NULL);
    compute_until(&lines[1].written, 1); /* it runs elsewhere */
    open_line(&lines[0], here()->index);
    write_while_computing(&lines[0], 50);
    CHECK(atomic_load(&lines[0].at_home) == 0);
    atomic_fetch_add(&both_done, 1);
    compute_until(&both_done, 2);
    close_line(&lines[0]);
    return 0;
}

Test(vigil, one_keeper_serves_two_who_are_stuck)
{
    run_on(3, be_stuck_with_another, NULL);
}

/*
 * A coroutine that is pinned to the one who serves the stuck worker. The edge is there before
 * anybody keeps that one, so the sleeper is woken to look; what it finds is for itself alone.
 */
static struct {
    co_ticket ticket;
    _Atomic int pinned; /* 1 + the worker it is pinned to */
    _Atomic int parked;
    _Atomic int woken;
    _Atomic int over;
} guest;

static void wake_guest(uint64_t data, uint32_t events)
{
    deliver(data, events);
    (void)co_unpark(guest.ticket, 0);
}

static int park_guest(co_ticket ticket, void *arg)
{
    (void)arg;
    guest.ticket = ticket;
    atomic_fetch_add(&guest.parked, 1);
    return 0;
}

static void be_guest(void *arg)
{
    CO_PIN();
    CHECK(here() != arg);
    atomic_store(&guest.pinned, 1 + here()->index);
    while (!atomic_load(&guest.over)) {
        CHECK(co_park(park_guest, NULL, 0) == 0);
        atomic_fetch_add(&guest.woken, 1);
    }
}

/* Until the other one sleeps, and keeps nobody. */
static void let_sleep(struct co__worker *w, struct co__worker *other)
{
    do {
        (void)co__worker_kick(other);
        CHECK(co_sleep(CO_MS) == 0);
    } while (atomic_load(&w->keeper) != 0 || atomic_load(&other->state) != CO__SLEEPING);
}

static int have_a_guest(void *arg)
{
    enum { ROUNDS = 5 };
    struct co__worker *w;

    (void)arg;
    co__poll_deliver_to(wake_guest);
    CO_PIN();
    w = here();
    open_line(&lines[0], w->index);
    start(be_guest, w);
    compute_until(&guest.pinned, 1); /* it runs elsewhere */
    for (int round = 1; round <= ROUNDS; round++) {
        until(&guest.parked, round);
        let_sleep(w, &co__rt.workers[1 - w->index]);
        atomic_store(&guest.over, round == ROUNDS);
        CHECK(write(lines[0].fds[1], "x", 1) == 1);
        compute_until(&guest.woken, round);
        CHECK(atomic_load(&guest.woken) == round);
    }
    close_line(&lines[0]);
    return 0;
}

Test(vigil, a_pinned_coroutine_is_not_left_lying_by_whoever_serves_a_stuck_worker)
{
    run_on(2, have_a_guest, NULL);
}

/* The keeper sleeps on the epolls of a runtime that ends. */
static int stop_while_stuck(void *arg)
{
    (void)arg;
    compute_until(&here()->keeper, 1);
    co_stop();
    return 0;
}

Test(vigil, a_runtime_ends_from_within_one)
{
    int before = -1;

    for (int i = 0; i < 4; i++) {
        run_on(3, stop_while_stuck, NULL);
        if (i == 0)
            before = descriptors(); /* libuv keeps some for the process */
    }
    cr_assert_eq(descriptors(), before);
}

/* The watchdog looks at a sleeper, then dozes: what it saw then is old when the sleeper wakes. */
static int sleep_and_look(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) {
        CHECK(co_sleep(100 * CO_MS) == 0);
        CHECK(atomic_load(&here()->stuck) == 0);
        CHECK(atomic_load(&co__rt.stuck) == 0);
    }
    return 0;
}

Test(vigil, a_sleep_is_not_taken_for_a_turn_that_lasts)
{
    run_on(1, sleep_and_look, NULL);
}

/*
 * Where one worker is never idle and looks out by itself, the watchdog need not: it took the
 * processor from that worker a thousand times a second, as long as another one slept.
 */
static int stay_awake(void *arg)
{
    enum { WINDOWS = 50, TICKS = 20, HALF = 100 }; /* ticks of 10 ms, or 200 of a millisecond */
    int64_t fewest = INT64_MAX;

    (void)arg;
    for (int i = 0; i < WINDOWS && fewest > HALF; i++) { /* a crowded machine has bad ones */
        int64_t before = co_stat_value(CO__STAT_WAITS, -1);
        int64_t end = co_now() + TICKS * 10 * CO_MS;
        int64_t ticks;

        while (co_now() < end)
            CHECK(co_yield() == 0);
        ticks = co_stat_value(CO__STAT_WAITS, -1) - before;
        fewest = ticks < fewest ? ticks : fewest;
    }
    CHECK(fewest <= HALF);
    return 0;
}

Test(vigil, a_busy_worker_beside_an_idle_one_is_left_alone)
{
    run_on(2, stay_awake, NULL);
}
