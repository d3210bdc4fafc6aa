/* SPDX-License-Identifier: MIT */
/* tests/netio/test_pipe.c - pipes in the table of slots: sockets' calls work on them. */
#include <co/foreign.h>

#include "netio/world.h"
#include "slot.h"
#include <co/group.h>
#include <co/private/net.h>
#include <sys/stat.h>

TestSuite(pipe, .timeout = 30);

static _Atomic int count;

/* Both ends ours. */
static void make_pipe(int ends[2])
{
    CHECK(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    CHECK(co_adopt(ends[0]) == 0 && co_adopt(ends[1]) == 0);
}

static void close_pipe(const int ends[2])
{
    CHECK(co_close(ends[0]) == 0 && co_close(ends[1]) == 0);
}

static int talk(void *arg)
{
    struct iovec pieces[] = {{(char *)(uintptr_t) "one ", 4}, {(char *)(uintptr_t) "two", 3}};
    char buf[16];
    int ends[2];

    (void)arg;
    make_pipe(ends);
    CHECK(co_send(ends[1], "hello", 5) == 5);
    CHECK(co_recvn(ends[0], buf, 2) == 2 && memcmp(buf, "he", 2) == 0);
    CHECK(co_recvn(ends[0], buf, 3) == 3 && memcmp(buf, "llo", 3) == 0);
    CHECK(co_sendv(ends[1], pieces, 2) == 7);
    CHECK(co_recvn(ends[0], buf, 7) == 7 && memcmp(buf, "one two", 7) == 0);
    CHECK(co__recv_now(ends[0], buf, 1) == -EAGAIN);
    CHECK(co__send_now(ends[1], "x", 1) == 1 && co_recv(ends[0], buf, 2) == 1);
    {
        CO_DEADLINE(2 * CO_MS);
        CHECK(co_recv(ends[0], buf, 1) == -ETIMEDOUT);
    }
    CHECK(co_send(ends[0], "x", 1) == -EBADF && co_recv(ends[1], buf, 1) == -EBADF);
    CHECK(co_shutdown(ends[1], SHUT_WR) == -ENOTSOCK);
    CHECK(co_send(ends[1], "last", 4) == 4 && co_close(ends[1]) == 0);
    CHECK(co_recvn(ends[0], buf, sizeof buf) == 4 && co_recv(ends[0], buf, 1) == 0);
    CHECK(co_recv(ends[0], buf, 1) == 0 && co_close(ends[0]) == 0);
    return 0;
}

Test(pipe, takes_the_calls_of_sockets)
{
    run_on(1, talk, NULL);
}

Test(pipe, takes_the_calls_of_sockets_under_chaos)
{
    (void)setenv("CO_CHAOS", "5", 1);
    for (int i = 0; i < 5; i++)
        run_on(3, talk, NULL);
}

enum { MUCH = 4000000 };

static int send_much(void *arg)
{
    struct iovec pieces[3];
    char *data = malloc(MUCH);

    for (size_t i = 0; i < MUCH; i++)
        data[i] = (char)(i % 251);
    pieces[0] = (struct iovec){data, 1000};
    pieces[1] = (struct iovec){data + 1000, 1000000};
    pieces[2] = (struct iovec){data + 1001000, MUCH - 1001000};
    CHECK(co_sendv(*(int *)arg, pieces, 3) == MUCH);
    CHECK(co_close(*(int *)arg) == 0);
    free(data);
    return 0;
}

static int move_much(void *arg)
{
    static char buf[50000];
    int ends[2];
    size_t done = 0;
    ssize_t n;
    CO_GROUP(group);

    (void)arg;
    make_pipe(ends);
    CHECK(co_group_go(&group, send_much, &ends[1]) == 0);
    while ((n = co_recv(ends[0], buf, sizeof buf)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            CHECK(buf[i] == (char)((done + (size_t)i) % 251));
        done += (size_t)n;
    }
    CHECK(n == 0 && done == MUCH && co_group_wait(&group) == 0);
    CHECK(co_close(ends[0]) == 0);
    return 0;
}

Test(pipe, more_than_it_holds_goes_through_it)
{
    run_on(1, move_much, NULL);
    run_on(3, move_much, NULL);
}

Test(pipe, more_than_it_holds_goes_through_it_under_chaos)
{
    (void)setenv("CO_CHAOS", "9", 1);
    run_on(3, move_much, NULL);
}

static int lose_the_reader(void *arg)
{
    static char buf[200000];
    int ends[2];

    (void)arg;
    make_pipe(ends);
    send_too_much(ends[1], buf, sizeof buf);
    CHECK(co_send(ends[1], "x", 1) == -EPIPE);
    close_pipe(ends);
    make_pipe(ends);
    CHECK(co_close(ends[0]) == 0 && co_send(ends[1], "x", 1) == -EPIPE); /* and no signal */
    CHECK(co_close(ends[1]) == 0);
    return 0;
}

Test(pipe, without_a_reader_sending_fails_and_ends_nobody)
{
    run_on(1, lose_the_reader, NULL);
}

/* ---- who waits ---- */

static int wait_for_bytes(void *arg)
{
    char byte;

    CHECK(co_recv(*(int *)arg, &byte, 1) == -ECANCELED);
    atomic_fetch_add(&count, 1);
    return 0;
}

static int end_waits(void *arg)
{
    int ends[2];

    (void)arg;
    for (int i = 0; i < 3; i++) {
        CO_GROUP(group);

        make_pipe(ends);
        atomic_store(&count, 0);
        CHECK(co_group_go(&group, wait_for_bytes, &ends[0]) == 0);
        let_wait();
        CHECK(co_recv(ends[0], &(char){0}, 1) == -EBUSY);
        if (i == 0)
            co_group_cancel(&group);
        else if (i == 1)
            CHECK(co_hangup(ends[0]) == 0);
        if (i == 2)
            CHECK(co_close(ends[0]) == 0 && co_close(ends[1]) == 0);
        until(&count, 1);
        if (i < 2)
            close_pipe(ends);
    }
    return 0;
}

Test(pipe, cancel_hang_up_and_close_end_a_wait)
{
    run_on(1, end_waits, NULL);
}

static void on_bytes(void *arg, int why)
{
    char byte;

    CHECK(why == 0 && co_recv(*(int *)arg, &byte, 1) == 1);
    atomic_fetch_add(&count, 1);
}

static int start_when_readable(void *arg)
{
    int ends[2];

    (void)arg;
    make_pipe(ends);
    atomic_store(&count, 0);
    CHECK(co_go_when(ends[0], on_bytes, &ends[0]) == 0);
    let_wait();
    CHECK(atomic_load(&count) == 0 && co_send(ends[1], "ab", 2) == 2);
    until(&count, 1);
    CHECK(co_go_when(ends[0], on_bytes, &ends[0]) == 0); /* what is left */
    until(&count, 2);
    CHECK(co_go_when(ends[0], on_bytes, &ends[0]) == 0); /* nothing is left */
    let_wait();
    CHECK(atomic_load(&count) == 2 && co_send(ends[1], "c", 1) == 1);
    until(&count, 3);
    close_pipe(ends);
    return 0;
}

Test(pipe, starts_a_coroutine_when_bytes_come)
{
    run_on(1, start_when_readable, NULL);
    run_on(2, start_when_readable, NULL);
}

/* ---- pipes of others ---- */

static int adopt_blocking(void *arg)
{
    char byte;
    int ends[2];

    (void)arg;
    CHECK(pipe2(ends, O_CLOEXEC) == 0 && co_adopt(ends[0]) == 0);
    CHECK(co_recv(ends[0], &byte, 1) == -ENOTSOCK); /* read(2) would hold the worker up */
    CHECK(write(ends[1], "x", 1) == 1 && co_fd_wait(ends[0], CO_READABLE) == CO_READABLE);
    CHECK(co_close(ends[0]) == 0 && close(ends[1]) == 0);
    return 0;
}

Test(pipe, one_that_blocks_is_only_waited_for)
{
    run_on(1, adopt_blocking, NULL);
}

static int go_on_after_the_end(void *arg)
{
    char path[] = "/tmp/corvid-fifo-XXXXXX", buf[4];
    int out, in;

    (void)arg;
    CHECK(mkdtemp(path) != NULL && rmdir(path) == 0 && mkfifo(path, 0600) == 0);
    in = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    CHECK(in >= 0 && co_adopt(in) == 0);
    for (int i = 0; i < 3; i++) { /* one writer after the other */
        out = open(path, O_WRONLY | O_CLOEXEC);
        CHECK(write(out, "ab", 2) == 2 && close(out) == 0);
        CHECK(co_recvn(in, buf, 4) == 2);
        CHECK(co_recv(in, buf, 4) == 0);
    }
    out = open(path, O_WRONLY | O_CLOEXEC);
    {
        CO_DEADLINE(2 * CO_MS);
        CHECK(co_recv(in, buf, 4) == -ETIMEDOUT); /* there is a writer, and no end */
    }
    CHECK(close(out) == 0 && co_close(in) == 0 && unlink(path) == 0);
    return 0;
}

Test(pipe, a_fifo_goes_on_with_its_next_writer)
{
    run_on(1, go_on_after_the_end, NULL);
}
