/* SPDX-License-Identifier: MIT */
/* tests/netio/test_close.c - closing, hanging up, and who learns of it. */
#include "slot.h"

#include "netio/world.h"
#include <co/private/run.h>

TestSuite(close, .timeout = 30);

static _Atomic int count;

/* What a call returned that somebody else was to end. */
struct waiter {
    int fd;
    enum { RECV, RECVN, SEND, ACCEPT } what;
    ssize_t wanted;
};

static char lots[4 << 20];

static void wait_in_call(void *arg)
{
    const struct waiter *waiter = arg;
    char buf[8];
    ssize_t r = 0;

    switch (waiter->what) {
    case RECV:
        r = co_recv(waiter->fd, buf, sizeof buf);
        break;
    case RECVN:
        r = co_recvn(waiter->fd, buf, sizeof buf);
        break;
    case SEND:
        r = co_send(waiter->fd, lots, sizeof lots);
        break;
    case ACCEPT:
        r = co_accept(waiter->fd);
        break;
    }
    CHECK(r == waiter->wanted);
    atomic_fetch_add(&count, 1);
}

/* Waits until calls are under way in these directions. */
static void until_inside(int fd, unsigned bits)
{
    int r;
    struct co__slot *slot = co__slot_enter(fd, 0, &r);

    CHECK(slot != NULL);
    while (slot && (__atomic_load_n(&slot->users, __ATOMIC_SEQ_CST /* a look */) & bits) != bits)
        (void)co_yield();
    if (slot)
        co__slot_leave(slot, 0);
    let_wait();
}

/* Ends what waits by closing, or by hanging up and then closing. */
static int end_calls(void *arg)
{
    bool hang = *(bool *)arg;

    for (int i = 0; i < 3; i++) {
        struct pair pair = make_pair();
        struct waiter reader = {pair.ours, i % 2 ? RECV : RECVN, -ECANCELED};
        struct waiter writer = {pair.ours, SEND, -ECANCELED};
        int fd = pair.ours;
        int few = 64 << 10; /* or the kernel may grow its buffers until it swallows lots */

        CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &few, sizeof few) == 0);
        atomic_store(&count, 0);
        start(wait_in_call, &reader);
        start(wait_in_call, &writer);
        until_inside(fd, CO__SLOT_READING | CO__SLOT_WRITING);
        CHECK(atomic_load(&count) == 0);
        if (hang) {
            char byte;

            CHECK(co_hangup(fd) == 0);
            until(&count, 2);
            CHECK(co_recv(fd, &byte, 1) == -ECANCELED);
            CHECK(co_send(fd, "x", 1) == -ECANCELED);
            CHECK(co_shutdown(fd, SHUT_RD) == -ECANCELED);
            CHECK(co_hangup(fd) == 0);      /* once more is no mistake */
            CHECK(fcntl(fd, F_GETFD) >= 0); /* its number stays taken */
        }
        CHECK(co_close(fd) == 0);
        CHECK(co_close(fd) == -EBADF);
        CHECK(co_hangup(fd) == -EBADF);
        until(&count, 2);
        while (fcntl(fd, F_GETFD) >= 0) /* given back when the last one has left */
            (void)co_yield();
        (void)close(pair.plain);
    }
    return 0;
}

Test(close, ends_the_calls_of_others_and_gives_the_number_back_last)
{
    bool hang = false;

    run_on(1, end_calls, &hang);
    run_on(3, end_calls, &hang);
}

Test(close, a_hang_up_ends_present_and_later_calls_and_leaves_the_number)
{
    bool hang = true;

    run_on(1, end_calls, &hang);
    run_on(3, end_calls, &hang);
}

static int end_accept(void *arg)
{
    char address[64];

    (void)arg;
    for (int i = 0; i < 4; i++) {
        int lfd = listen_here(address);
        struct waiter waiter = {lfd, ACCEPT, -ECANCELED};

        atomic_store(&count, 0);
        start(wait_in_call, &waiter);
        until_inside(lfd, CO__SLOT_READING);
        CHECK(atomic_load(&count) == 0);
        CHECK((i % 2 ? co_hangup(lfd) : co_close(lfd)) == 0);
        until(&count, 1);
        if (i % 2) {
            CHECK(co_accept(lfd) == -ECANCELED);
            CHECK(co_close(lfd) == 0);
        }
        CHECK(co_connect(address) == -ECONNREFUSED);
    }
    return 0;
}

Test(close, ends_an_accept)
{
    run_on(2, end_accept, NULL);
}

static _Atomic bool leave;

static void *hang_up_often(void *arg)
{
    while (!atomic_load(&leave))
        (void)co_hangup(*(int *)arg);
    return NULL;
}

static int hang_up_from_thread(void *arg)
{
    static int number;
    pthread_t thread;

    (void)arg;
    for (int i = 0; i < fewer(200); i++) {
        struct pair pair = make_pair();
        char byte;

        number = pair.ours;
        atomic_store(&leave, false);
        CHECK(pthread_create(&thread, NULL, hang_up_often, &number) == 0);
        CHECK(co_recv(pair.ours, &byte, 1) == -ECANCELED);
        atomic_store(&leave, true);
        CHECK(pthread_join(thread, NULL) == 0);
        close_pair(&pair);
    }
    return 0;
}

Test(close, a_plain_thread_may_hang_up_at_any_moment)
{
    run_on(2, hang_up_from_thread, NULL);
}

/* ---- guards ---- */

static int guarded(bool take, int *ret_fd)
{
    struct pair pair = make_pair();
    CO_FD(fd, pair.ours);

    (void)close(pair.plain);
    *ret_fd = fd;
    return take ? co_fd_take(&fd) : -1;
}

static int guards(void *arg)
{
    int fd, taken;

    (void)arg;
    CHECK(guarded(false, &fd) == -1);
    CHECK(co_close(fd) == -EBADF); /* the guard has closed it */
    taken = guarded(true, &fd);
    CHECK(taken == fd);
    CHECK(co_close(taken) == 0);
    {
        CO_FD(none, -ENOENT); /* a failure is nothing to close */
        CHECK(co_fd_take(&none) == -ENOENT && none == -1);
    }
    return 0;
}

Test(close, a_guard_closes_at_the_end_of_the_block_unless_the_descriptor_was_taken)
{
    run_on(1, guards, NULL);
}

/* ---- numbers are used again ---- */

/*
 * A connection is closed with an event on its way, and its number is somebody else's at once: the
 * new one must not take the event for its own, nor miss one of its own.
 */
static int reuse_numbers(void *arg)
{
    char address[64];
    int lfd = listen_here(address);
    int port = co_local_port(lfd);
    int last = -1, reused = 0;

    (void)arg;
    for (int i = 0; i < fewer(1000); i++) {
        struct pair pair = {.plain = plain_connect(port)};
        char byte = 0;
        CO_DEADLINE(10 * CO_SEC);

        pair.ours = co_accept(lfd);
        CHECK(pair.ours >= 0);
        reused += pair.ours == last;
        last = pair.ours;
        {
            CO_DEADLINE(20 * CO_US);
            CHECK(co_recv(pair.ours, &byte, 1) == -ETIMEDOUT);
        }
        say(pair.plain, "x");
        if (i % 3) /* else it is closed with its byte unread */
            CHECK(co_recv(pair.ours, &byte, 1) == 1 && byte == 'x');
        if (i % 2)
            reset_peer(pair.plain);
        else
            (void)close(pair.plain);
        CHECK(co_close(pair.ours) == 0);
    }
    CHECK(reused > 0);
    CHECK(co_close(lfd) == 0);
    return 0;
}

Test(close, an_event_of_an_earlier_descriptor_means_nothing_to_the_next)
{
    run_on(1, reuse_numbers, NULL);
    run_on(3, reuse_numbers, NULL);
}

Test(close, late_deliveries_mean_nothing_to_the_next_either)
{
    (void)setenv("CO_CHAOS", "21", 1);
    run_on(4, reuse_numbers, NULL);
}

/* ---- the end of the runtime ---- */

static void read_until_cancelled(int fd)
{
    CO_FD(mine, fd);
    char byte;

    CHECK(co_recv(mine, &byte, 1) == 1); /* a request has begun: the grace time is for it */
    CHECK(co_recv(mine, &byte, 1) == -ECANCELED);
    CHECK(co_send(mine, "x", 1) == -ECANCELED);
    {
        CO_GRACE(CO_SEC); /* good-bye */
        CHECK(co_send(mine, "bye", 3) == 3);
    }
    atomic_fetch_add(&count, 1);
}

static void accept_until_stopped(int lfd)
{
    CO_FD(mine, lfd);

    CHECK(co_accept(mine) == -ECANCELED);
    atomic_fetch_add(&count, 1);
}

static int plain[10];

static int leave_them_open(void *arg)
{
    char address[64];

    (void)arg;
    for (int i = 0; i < 10; i++) {
        struct pair pair = make_pair();

        plain[i] = pair.plain;
        say(pair.plain, "q");
        CHECK(co_go_fd(read_until_cancelled, pair.ours) == 0);
    }
    CHECK(co_go_fd(accept_until_stopped, listen_here(address)) == 0);
    co_stop();
    return 0;
}

Test(close, a_stop_cancels_those_who_read_and_leaves_no_descriptor)
{
    int before = 0;

    for (int round = 0; round < 3; round++) {
        atomic_store(&count, 0);
        cr_assert_eq(run_and_stop(2, 150 * CO_MS, leave_them_open), 0);
        cr_assert_eq(count, 11);
        for (int i = 0; i < 10; i++) {
            char bye[4] = "";

            cr_assert_eq(recv(plain[i], bye, 3, MSG_WAITALL), 3);
            cr_assert_str_eq(bye, "bye");
            cr_assert_eq(recv(plain[i], bye, 3, 0), 0);
            (void)close(plain[i]);
        }
        if (round == 0)
            before = descriptors();
    }
    cr_assert_eq(descriptors(), before);
}

static int start_refused(void *arg)
{
    struct pair pair = make_pair();
    char byte;

    (void)arg;
    CHECK(co_go_fd(read_until_cancelled, pair.ours) == -EAGAIN);
    CHECK(read(pair.plain, &byte, 1) == 0); /* it was closed */
    CHECK(co_close(pair.ours) == -EBADF);
    (void)close(pair.plain);
    return 0;
}

Test(close, a_descriptor_is_closed_if_its_coroutine_cannot_start)
{
    struct co_conf conf = settings(1);

    conf.max_coroutines = 1;
    cr_assert_eq(run_conf(&conf, start_refused, NULL), 0);
}

/* Answers bytes until the end, which must come. */
static void answer_until_the_end(int fd)
{
    CO_FD(mine, fd);
    char buf[8];
    ssize_t n;

    while ((n = co_recv(mine, buf, sizeof buf)) > 0)
        CHECK(co_send(mine, buf, (size_t)n) == n);
    CHECK(n == 0);
    atomic_fetch_add(&count, 1);
}

enum { SILENT, ANSWERED, ASKING, HALF };

/* Four connections: one has never said anything, one was answered, one asks as the stop comes. */
static int stop_among_the_idle(void *arg)
{
    struct pair pairs[4];
    char buf[8];

    (void)arg;
    for (int i = 0; i < 4; i++) {
        pairs[i] = make_pair();
        plain[i] = pairs[i].plain;
        if (i == HALF) {
            say(plain[i], "q");
            CHECK(co_recv(pairs[i].ours, buf, 1) == 1); /* and answered after the stop */
        } else {
            CHECK(co_go_fd(answer_until_the_end, pairs[i].ours) == 0);
        }
    }
    say(plain[ANSWERED], "a");
    until_polled(plain[ANSWERED], POLLIN);
    let_wait();
    say(plain[ASKING], "ask");
    co_stop();
    while (!co__run_draining())
        (void)co_yield();
    say(plain[HALF], "r"); /* the rest of its request is waited for */
    CHECK(co_recv(pairs[HALF].ours, buf, 1) == 1);
    CHECK(co_send(pairs[HALF].ours, "qr", 2) == 2);
    CHECK(co_recv(pairs[HALF].ours, buf, 1) == 0); /* now it is idle */
    CHECK(co_close(pairs[HALF].ours) == 0);
    return 0;
}

Test(close, a_stop_ends_idle_connections_and_waits_for_those_in_the_middle_of_something)
{
    int64_t begun = co_now();
    char buf[8];

    cr_assert_eq(run_and_stop(2, 60 * CO_SEC, stop_among_the_idle), 0); /* far less is needed */
    cr_assert_eq(count, 3);
    cr_assert_lt(co_now() - begun, 30 * CO_SEC);
    cr_assert_eq(recv(plain[SILENT], buf, 8, MSG_WAITALL), 0);
    cr_assert_eq(recv(plain[ANSWERED], buf, 8, MSG_WAITALL), 1);
    cr_assert_eq(recv(plain[ASKING], buf, 8, MSG_WAITALL), 3);
    cr_assert_eq(recv(plain[HALF], buf, 8, MSG_WAITALL), 2);
    for (int i = 0; i < 4; i++)
        (void)close(plain[i]);
}

static void not_started(int fd)
{
    CHECK(fd < 0 && "nothing starts any more");
}

/* Nothing starts when all coroutines that may be are there. */
static int start_too_many(void *arg)
{
    int pipes[2];
    struct pair pair = make_pair();

    (void)arg;
    CHECK(pipe2(pipes, O_CLOEXEC) == 0);
    CHECK(co_go_fd(not_started, pipes[0]) == -EAGAIN);
    CHECK(fcntl(pipes[0], F_GETFD) < 0); /* not ours, and closed all the same */
    CHECK(co_go_fd(not_started, pair.ours) == -EAGAIN);
    CHECK(fcntl(pair.ours, F_GETFD) < 0);
    CHECK(close(pipes[1]) == 0 && close(pair.plain) == 0);
    return 0;
}

Test(close, who_cannot_start_leaves_no_descriptor_whoever_made_it)
{
    struct co_conf conf = settings(1);

    conf.max_coroutines = 1;
    cr_assert_eq(run_conf(&conf, start_too_many, NULL), 0);
}

/* ---- after the runtime ---- */

static int left_open[2];

static int leave_open(void *arg)
{
    (void)arg;
    make_ours(left_open);
    return 0;
}

static int use_what_is_left(void *arg)
{
    char byte;

    (void)arg;
    CHECK(co_recv(left_open[1], &byte, 1) == -ECANCELED); /* nobody would wake it */
    CHECK(co_send(left_open[1], "x", 1) == -ECANCELED);
    CHECK(co_close(left_open[1]) == 0);
    return 0;
}

Test(close, what_a_runtime_has_left_open_can_be_closed_after_it)
{
    run_on(3, leave_open, NULL);
    cr_assert_eq(co_close(left_open[0]), 0);
    cr_assert_eq(co_close(left_open[0]), -EBADF);
    run_on(1, use_what_is_left, NULL);
    cr_assert_eq(fcntl(left_open[1], F_GETFD), -1);
}

static _Atomic bool opened;

static void *close_at_the_end(void *arg)
{
    (void)arg;
    while (!atomic_load(&opened))
        continue;
    for (int i = 0; i < 2; i++)
        CHECK(co_close(left_open[i]) == 0);
    return NULL;
}

static int open_and_end(void *arg)
{
    make_ours(left_open);
    atomic_store(&opened, true);
    for (int i = *(int *)arg % 20; i > 0; i--)
        (void)co_yield();
    return 0;
}

Test(close, a_plain_thread_may_close_while_the_runtime_ends)
{
    for (int i = 0; i < fewer(200); i++) {
        pthread_t thread;

        atomic_store(&opened, false);
        cr_assert_eq(pthread_create(&thread, NULL, close_at_the_end, NULL), 0);
        run_on(2, open_and_end, &i);
        cr_assert_eq(pthread_join(thread, NULL), 0);
        no_check_failed();
    }
}
