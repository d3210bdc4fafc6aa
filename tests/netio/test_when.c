/* SPDX-License-Identifier: MIT */
/* tests/netio/test_when.c - co_go_when: a coroutine that begins when a descriptor has something. */
#include "netio/world.h"
#include <co/foreign.h>
#include <co/private/net.h>

TestSuite(when, .timeout = 30);

static _Atomic int count, reason;

static void note(void *arg, int why)
{
    CHECK(arg == &count);
    atomic_store(&reason, why);
    atomic_fetch_add(&count, 1);
}

/* What was noted, once it was. */
static int noted(void)
{
    until(&count, 1);
    atomic_store(&count, 0);
    return atomic_load(&reason);
}

static void expect_nothing_yet(void)
{
    let_wait();
    CHECK(atomic_load(&count) == 0);
}

static void arm(int fd)
{
    CHECK(co_go_when(fd, note, &count) == 0);
}

static int readable(void *arg)
{
    struct pair pair = make_pair();
    char buf[8];

    (void)arg;
    arm(pair.ours);
    expect_nothing_yet();
    say(pair.plain, "x");
    CHECK(noted() == 0);
    CHECK(co_recv(pair.ours, buf, 8) == 1);

    arm(pair.ours); /* again, after a read that left nothing */
    expect_nothing_yet();
    say(pair.plain, "y");
    CHECK(noted() == 0);
    CHECK(co_recv(pair.ours, buf, 8) == 1);

    say(pair.plain, "z"); /* before it is armed */
    until_arrived(pair.ours, 1);
    let_wait();
    arm(pair.ours);
    CHECK(noted() == 0);
    CHECK(co_recv(pair.ours, buf, 8) == 1);

    say(pair.plain, "12345678rest"); /* a full buffer leaves some behind, for which no edge comes */
    until_arrived(pair.ours, 12);
    CHECK(co_recv(pair.ours, buf, 8) == 8);
    arm(pair.ours);
    CHECK(noted() == 0);
    CHECK(co_recv(pair.ours, buf, 8) == 4);

    say(pair.plain, "12345678"); /* a full buffer that leaves nothing */
    until_arrived(pair.ours, 8);
    CHECK(co_recv(pair.ours, buf, 8) == 8);
    arm(pair.ours);
    expect_nothing_yet();
    CHECK(shutdown(pair.plain, SHUT_WR) == 0);
    CHECK(noted() == 0);
    CHECK(co_recv(pair.ours, buf, 8) == 0);
    arm(pair.ours); /* the end stays */
    CHECK(noted() == 0);
    close_pair(&pair);
    return 0;
}

Test(when, starts_when_there_are_bytes_or_the_end)
{
    run_on(1, readable, NULL);
    run_on(3, readable, NULL);
}

static int fresh(void *arg)
{
    (void)arg;
    for (int i = 0; i < fewer(200); i++) { /* bytes that were there before the registration */
        char address[64];
        int lfd = listen_here(address);
        struct pair pair = {.plain = plain_connect(co_local_port(lfd))};
        char byte;

        say(pair.plain, "x");
        pair.ours = co_accept(lfd);
        arm(pair.ours);
        CHECK(noted() == 0);
        CHECK(co_recv(pair.ours, &byte, 1) == 1);
        CHECK(co_close(lfd) == 0);
        close_pair(&pair);
    }
    return 0;
}

Test(when, starts_for_bytes_that_came_with_the_connection)
{
    run_on(2, fresh, NULL);
}

static int reset_while_idle(void *arg)
{
    struct pair pair = make_pair();
    char byte;

    (void)arg;
    arm(pair.ours);
    expect_nothing_yet();
    reset_peer(pair.plain);
    CHECK(noted() == 0);
    CHECK(co_recv(pair.ours, &byte, 1) == -ECONNRESET);
    CHECK(co_close(pair.ours) == 0);
    return 0;
}

Test(when, starts_when_the_peer_resets)
{
    run_on(2, reset_while_idle, NULL);
}

/* No edge is due for it any more, so it is looked for when the wait begins. */
static int reset_before(void *arg)
{
    struct pair pair = make_pair();
    int fds[2];
    char buf[8];

    (void)arg;
    say(pair.plain, "full");
    until_arrived(pair.ours, 4);
    CHECK(co_recv(pair.ours, buf, 4) == 4);
    reset_peer(pair.plain);
    until_polled(pair.ours, POLLERR);
    let_wait();
    arm(pair.ours);
    CHECK(noted() == 0);
    CHECK(co_recv(pair.ours, buf, 4) == -ECONNRESET);
    CHECK(co_close(pair.ours) == 0);

    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    CHECK(co_adopt(fds[0]) == 0);
    say(fds[1], "some");
    CHECK(co_recv(fds[0], buf, 8) == 4 && co_send(fds[0], "unread", 6) == 6);
    CHECK(close(fds[1]) == 0);
    let_wait();
    arm(fds[0]);
    CHECK(noted() == 0);
    CHECK(co_recv(fds[0], buf, 8) == -ECONNRESET);
    CHECK(co_close(fds[0]) == 0);
    return 0;
}

Test(when, a_reset_is_not_taken_for_the_end_of_the_stream)
{
    run_on(1, reset_before, NULL);
    run_on(2, reset_before, NULL);
}

static int deadline(void *arg)
{
    struct pair pair = make_pair();
    int64_t begun = co_now();
    char byte;

    (void)arg;
    {
        CO_DEADLINE(30 * CO_MS);
        arm(pair.ours);
    } /* the scope is over, the bound stays */
    CHECK(noted() == -ETIMEDOUT);
    CHECK(co_now() - begun >= 30 * CO_MS && co_now() - begun < 5 * CO_SEC);
    {
        CO_DEADLINE(0);
        arm(pair.ours);
    }
    CHECK(noted() == -ETIMEDOUT);
    say(pair.plain, "x"); /* the descriptor is free again */
    CHECK(co_recv(pair.ours, &byte, 1) == 1);
    close_pair(&pair);
    return 0;
}

Test(when, starts_at_the_deadline)
{
    run_on(1, deadline, NULL);
    run_on(3, deadline, NULL);
}

static void deadline_of_its_own(void *arg, int why)
{
    (void)why;
    CHECK(co_left() == CO_NEVER); /* the one that bounded the wait is not inherited */
    note(arg, 0);
}

static int no_deadline_inside(void *arg)
{
    struct pair pair = make_pair();

    (void)arg;
    {
        CO_DEADLINE(10 * CO_SEC);
        CHECK(co_go_when(pair.ours, deadline_of_its_own, &count) == 0);
    }
    say(pair.plain, "x");
    CHECK(noted() == 0);
    close_pair(&pair);
    return 0;
}

Test(when, the_deadline_of_the_wait_does_not_bound_what_is_started)
{
    run_on(1, no_deadline_inside, NULL);
}

static int hang_up(void *arg)
{
    struct pair pair = make_pair();
    int fd = pair.ours;

    (void)arg;
    arm(fd);
    expect_nothing_yet();
    CHECK(co_hangup(fd) == 0);
    CHECK(noted() == -ECANCELED);
    CHECK(co_go_when(fd, note, &count) == -ECANCELED);
    CHECK(co_close(fd) == 0);
    CHECK(co_go_when(fd, note, &count) == -EBADF);
    (void)close(pair.plain);

    pair = make_pair();
    fd = pair.ours;
    arm(fd);
    expect_nothing_yet();
    CHECK(co_close(fd) == 0);
    CHECK(noted() == -ECANCELED);
    while (fcntl(fd, F_GETFD) >= 0)
        (void)co_yield();
    (void)close(pair.plain);
    return 0;
}

Test(when, starts_at_a_hang_up_and_when_the_descriptor_is_closed)
{
    run_on(1, hang_up, NULL);
    run_on(3, hang_up, NULL);
}

static void read_it(void *arg)
{
    char byte;

    CHECK(co_recv(*(int *)arg, &byte, 1) == 1);
    atomic_fetch_add(&count, 1);
}

static int busy(void *arg)
{
    struct pair pair = make_pair();
    char byte;

    (void)arg;
    arm(pair.ours);
    CHECK(co_go_when(pair.ours, note, &count) == -EBUSY);
    CHECK(co_recv(pair.ours, &byte, 1) == -EBUSY);
    CHECK(co_send(pair.ours, "y", 1) == 1);
    say(pair.plain, "x");
    CHECK(noted() == 0);
    CHECK(co_recv(pair.ours, &byte, 1) == 1);
    start(read_it, &pair.ours);
    let_wait();
    CHECK(co_go_when(pair.ours, note, &count) == -EBUSY);
    say(pair.plain, "z");
    until(&count, 1);
    close_pair(&pair);
    return 0;
}

Test(when, is_the_only_reader)
{
    run_on(1, busy, NULL);
    atomic_store(&count, 0);
    run_on(3, busy, NULL);
}

/* ---- stop ---- */

static int stop(void *arg)
{
    static struct pair pair;

    (void)arg;
    pair = make_pair();
    arm(pair.ours);
    expect_nothing_yet();
    co_stop();
    CHECK(noted() == -ECANCELED);
    arm(pair.ours); /* who arms it later is told at once */
    CHECK(noted() == -ECANCELED);
    close_pair(&pair);
    return 0;
}

Test(when, a_stop_starts_all_who_wait)
{
    struct co_conf conf = settings(2);

    conf.grace = 20 * CO_SEC;
    cr_assert_eq(run_conf(&conf, stop, NULL), 0);
    conf.threads = 1;
    atomic_store(&count, 0);
    cr_assert_eq(run_conf(&conf, stop, NULL), 0);
}

static int too_many(void *arg)
{
    struct pair pair = make_pair();
    char byte;

    (void)arg;
    CHECK(co_go_when(pair.ours, note, &count) == -EAGAIN);
    say(pair.plain, "x");
    CHECK(co_recv(pair.ours, &byte, 1) == 1); /* the direction was given back */
    close_pair(&pair);
    return 0;
}

Test(when, is_refused_where_there_may_be_no_more_coroutines)
{
    struct co_conf conf = settings(1);

    conf.max_coroutines = 1;
    cr_assert_eq(run_conf(&conf, too_many, NULL), 0);
    cr_assert_eq(count, 0);
}

Test(when, is_for_coroutines)
{
    cr_assert_lt(co_go_when(0, note, &count), 0);
}

/* ---- many, each exactly once, from all sides ---- */

enum { CONNS = 100 };
static _Atomic int started[CONNS];

static void count_start(void *arg, int why)
{
    CHECK(why == 0 || why == -ETIMEDOUT || why == -ECANCELED);
    atomic_fetch_add(&started[(intptr_t)arg], 1);
    atomic_fetch_add(&count, 1);
}

/* Bytes, the deadline and a hang-up come at about the same time. */
static int from_all_sides(void *arg)
{
    struct pair pairs[CONNS];

    (void)arg;
    for (int i = 0; i < CONNS; i++)
        pairs[i] = make_pair();
    for (int round = 1; round <= fewer(50); round++) {
        int last = round == fewer(50);

        atomic_store(&count, 0);
        for (intptr_t i = 0; i < CONNS; i++) {
            CO_DEADLINE((i % 10 + 1) * 100 * CO_US);
            CHECK(co_go_when(pairs[i].ours, count_start, (void *)i) == 0);
        }
        for (int i = 0; i < CONNS; i++) {
            if (i % 3 == 0)
                say(pairs[i].plain, "x");
            if (last && i % 2)
                CHECK(co_hangup(pairs[i].ours) == 0);
        }
        until(&count, CONNS);
        for (int i = 0; i < CONNS; i++)
            CHECK(atomic_load(&started[i]) == round);
    }
    for (int i = 0; i < CONNS; i++)
        close_pair(&pairs[i]);
    return 0;
}

Test(when, each_is_started_exactly_once_whoever_comes_first)
{
    run_on(3, from_all_sides, NULL);
}

static int keepers(void *arg)
{
    static int others;
    struct pair pairs[3] = {make_pair(), make_pair(), make_pair()};

    (void)arg;
    co__keep(pairs[0].ours, pairs);
    co__keep(pairs[1].ours, pairs);
    co__keep(pairs[2].ours, &others);
    for (int i = 0; i < 3; i++)
        arm(pairs[i].ours);
    (void)co__end_idle(pairs, 0, 9); /* meets them for the first time */
    expect_nothing_yet();
    (void)co__end_idle(pairs, 0, 1);
    CHECK(noted() == -ECANCELED);
    expect_nothing_yet();
    (void)co__end_idle(pairs, 0, 9);
    CHECK(noted() == -ECANCELED);
    expect_nothing_yet();
    arm(pairs[0].ours); /* idle anew */
    (void)co__end_idle(pairs, 0, 9);
    expect_nothing_yet();
    say(pairs[0].plain, "x");
    CHECK(noted() == 0);
    say(pairs[2].plain, "x");
    CHECK(noted() == 0);
    for (int i = 0; i < 3; i++)
        close_pair(&pairs[i]);
    return 0;
}

Test(when, a_keeper_ends_those_of_its_own_that_stay_idle)
{
    run_on(1, keepers, NULL);
    run_on(2, keepers, NULL);
}

/* Waits in the running coroutine instead of one that has not begun; fd stays open. */
static void wait_here(int fd)
{
    note(&count, co__wait_when(fd));
}

static int in_person(void *arg)
{
    struct pair pair = make_pair();
    char buf[8];

    (void)arg;
    CHECK(co_go_fd(wait_here, pair.ours) == 0);
    expect_nothing_yet();
    say(pair.plain, "12345678rest");
    CHECK(noted() == 0);
    until_arrived(pair.ours, 12);
    CHECK(co_recv(pair.ours, buf, 8) == 8);
    CHECK(co__wait_when(pair.ours) == 0); /* what is left */
    CHECK(co_recv(pair.ours, buf, 8) == 4);
    {
        CO_DEADLINE(5 * CO_MS);
        CHECK(co__wait_when(pair.ours) == -ETIMEDOUT);
    }
    CHECK(co_go_fd(wait_here, pair.ours) == 0);
    expect_nothing_yet();
    CHECK(co_hangup(pair.ours) == 0);
    CHECK(noted() == -ECANCELED);
    close_pair(&pair);
    return 0;
}

static int in_person_at_a_stop(void *arg)
{
    struct pair pair = make_pair();

    (void)arg;
    CHECK(co_go_fd(wait_here, pair.ours) == 0);
    expect_nothing_yet();
    co_stop();
    CHECK(noted() == -ECANCELED);
    CHECK(co__wait_when(pair.ours) == -ECANCELED); /* and from then on */
    close_pair(&pair);
    return 0;
}

Test(when, who_waits_in_person_is_told_the_same)
{
    struct co_conf conf = settings(2);

    run_on(1, in_person, NULL);
    run_on(2, in_person, NULL);
    conf.grace = 20 * CO_SEC;
    cr_assert_eq(run_conf(&conf, in_person_at_a_stop, NULL), 0);
}
