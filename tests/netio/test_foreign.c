/* SPDX-License-Identifier: MIT */
/*
 * tests/netio/test_foreign.c - descriptors of others: adopted, waited for, replaced, released. The
 * libraries are played by the tests.
 */
#include <co/foreign.h>

#include "slot.h"

#include "netio/world.h"
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

TestSuite(foreign, .timeout = 30);

static _Atomic int count;

static void make_plain(int fds[2])
{
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
}

/* ---- waiting ---- */

static int read_byte_by_byte(void *arg)
{
    int fds[2];
    char byte, text[] = "level-triggered";

    (void)arg;
    make_plain(fds);
    CHECK(co_adopt(fds[0]) == 0);
    for (int round = 0; round < 3; round++) {
        CHECK(write(fds[1], text, sizeof text) == sizeof text);
        for (size_t i = 0; i < sizeof text; i++) { /* the rest stays, and no edge tells of it */
            CHECK(co_fd_wait(fds[0], CO_READABLE) == CO_READABLE);
            CHECK(read(fds[0], &byte, 1) == 1 && byte == text[i]);
        }
        {
            CO_DEADLINE(2 * CO_MS);
            CHECK(co_fd_wait(fds[0], CO_READABLE) == -ETIMEDOUT);
        }
    }
    CHECK(co_fd_wait(fds[0], CO_READABLE | CO_WRITABLE) == CO_WRITABLE);
    CHECK(co_release(fds[0]) == 0);
    CHECK(fcntl(fds[0], F_GETFD) >= 0);
    CHECK(close(fds[0]) == 0 && close(fds[1]) == 0);
    return 0;
}

Test(foreign, what_is_left_unread_is_ready_again)
{
    run_on(1, read_byte_by_byte, NULL);
    run_on(3, read_byte_by_byte, NULL);
}

static void write_later(void *arg)
{
    let_wait();
    CHECK(write(*(int *)arg, "x", 1) == 1);
}

static void read_later(void *arg)
{
    static char buf[65536];

    let_wait();
    while (read(*(int *)arg, buf, sizeof buf) > 0)
        continue;
}

static int sleep_until_ready(void *arg)
{
    static char buf[65536];
    int fds[2], pipes[2];
    char byte;

    (void)arg;
    make_plain(fds);
    CHECK(pipe2(pipes, O_CLOEXEC | O_NONBLOCK) == 0);
    CHECK(co_adopt(fds[0]) == 0 && co_adopt(pipes[0]) == 0 && co_adopt(pipes[1]) == 0);
    for (int i = 0; i < 5; i++) {
        start(write_later, &fds[1]);
        CHECK(co_fd_wait(fds[0], CO_READABLE) == CO_READABLE && read(fds[0], &byte, 1) == 1);
        while (write(pipes[1], buf, sizeof buf) > 0)
            continue;
        start(read_later, &pipes[0]);
        CHECK(co_fd_wait(pipes[1], CO_WRITABLE) == CO_WRITABLE);
    }
    CHECK(close(fds[1]) == 0);
    CHECK(co_fd_wait(fds[0], CO_READABLE | CO_WRITABLE) == (CO_READABLE | CO_WRITABLE));
    CHECK(co_close(pipes[1]) == 0); /* what was adopted may be closed like our own */
    CHECK(fcntl(pipes[1], F_GETFD) < 0);
    read_later(&pipes[0]);
    CHECK(co_fd_wait(pipes[0], CO_READABLE) == CO_READABLE && read(pipes[0], &byte, 1) == 0);
    CHECK(co_close(pipes[0]) == 0 && co_close(fds[0]) == 0);
    return 0;
}

Test(foreign, sleeps_until_it_is_ready)
{
    run_on(1, sleep_until_ready, NULL);
    run_on(3, sleep_until_ready, NULL);
}

static int wait_for_several(void *arg)
{
    int events[3];
    uint64_t one = 1;
    struct co_fd_wait waits[4] = {{.fd = -1}};

    (void)arg;
    for (int i = 0; i < 3; i++) {
        events[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        CHECK(co_adopt(events[i]) == 0);
        waits[i + 1] = (struct co_fd_wait){.fd = events[i], .events = CO_READABLE};
    }
    {
        CO_DEADLINE(2 * CO_MS);
        CHECK(co_fd_wait_any(waits, 4) == -ETIMEDOUT);
    }
    CHECK(write(events[1], &one, sizeof one) == sizeof one);
    CHECK(co_fd_wait_any(waits, 4) == 1);
    CHECK(!waits[1].ready && waits[2].ready == CO_READABLE && !waits[3].ready);
    CHECK(write(events[2], &one, sizeof one) == sizeof one);
    waits[1].events = CO_WRITABLE;
    CHECK(co_fd_wait_any(waits, 4) == 3 && waits[1].ready == CO_WRITABLE);
    CHECK(co_fd_wait_any(waits, 1) == -EINVAL); /* nothing to wait for */
    CHECK(co_fd_wait_any(waits, 0) == -EINVAL);
    CHECK(co_fd_wait_any(waits, CO_FD_WAITS_MAX + 1) == -EINVAL);
    waits[0] = waits[2];
    CHECK(co_fd_wait_any(waits, 3) == -EBUSY); /* the same one twice */
    CHECK(co_fd_wait(events[0], 0) == -EINVAL && co_fd_wait(events[0], 4) == -EINVAL);
    for (int i = 0; i < 3; i++)
        CHECK(co_close(events[i]) == 0);
    CHECK(co_fd_wait(events[0], CO_READABLE) == -EBADF && co_fd_wait(-1, 1) == -EBADF);
    return 0;
}

Test(foreign, one_of_several_ends_the_wait)
{
    run_on(1, wait_for_several, NULL);
}

/* Many waits on several descriptors, ended by whoever comes first. */
static int wake_each_other(void *arg)
{
    int fds[4][2], rounds = fewer(2000);
    struct co_fd_wait waits[4];
    char byte;

    (void)arg;
    for (int i = 0; i < 4; i++) {
        make_plain(fds[i]);
        CHECK(co_adopt(fds[i][0]) == 0);
        waits[i] = (struct co_fd_wait){.fd = fds[i][0], .events = CO_READABLE};
    }
    for (int i = 0, due = 0; i < rounds || due > 0;) {
        int r;

        for (int j = 0; j < 3 && i < rounds; j++, i++, due++)
            CHECK(write(fds[(i * 7) % 4][1], "x", 1) == 1);
        if (i % 2)
            (void)co_yield();
        r = co_fd_wait_any(waits, 4);
        CHECK(r > 0);
        if (r <= 0)
            break;
        for (int j = 0; j < 4; j++) {
            if (waits[j].ready) {
                CHECK(read(fds[j][0], &byte, 1) == 1);
                due--;
            }
        }
    }
    for (int i = 0; i < 4; i++) {
        CHECK(co_release(fds[i][0]) == 0);
        (void)close(fds[i][0]);
        (void)close(fds[i][1]);
    }
    return 0;
}

Test(foreign, no_byte_is_overlooked)
{
    run_on(1, wake_each_other, NULL);
    run_on(3, wake_each_other, NULL);
}

Test(foreign, no_byte_is_overlooked_under_chaos)
{
    (void)setenv("CO_CHAOS", "5", 1);
    run_on(3, wake_each_other, NULL);
}

/* ---- being ended ---- */

static int waited_for, result_of_wait;

static void wait_and_note(void *arg)
{
    (void)arg;
    result_of_wait = co_fd_wait(waited_for, CO_READABLE | CO_WRITABLE);
    atomic_fetch_add(&count, 1);
}

static bool is_waited_for(const struct co__source *source)
{
    /* relaxed: only a look from outside. */
    return (__atomic_load_n(&source->word, __ATOMIC_RELAXED) & CO__SOURCE_STATE) ==
           CO__SOURCE_WAITER;
}

static void until_asleep(int fd)
{
    int r;
    struct co__slot *slot = co__slot_enter(fd, 0, &r);

    CHECK(slot != NULL);
    while (slot && !(is_waited_for(&slot->read) && is_waited_for(&slot->write)))
        (void)co_yield();
    if (slot)
        co__slot_leave(slot, 0);
}

/* Somebody waits for it in vain in both directions. Its other end comes back. */
static int start_waiting(void)
{
    static char buf[65536];
    int fds[2];

    make_plain(fds);
    while (write(fds[0], buf, sizeof buf) > 0)
        continue;
    waited_for = fds[0];
    CHECK(co_adopt(fds[0]) == 0);
    atomic_store(&count, 0);
    start(wait_and_note, NULL);
    until_asleep(fds[0]);
    CHECK(co_fd_wait(fds[0], CO_READABLE) == -EBUSY);
    CHECK(co_fd_wait(fds[0], CO_WRITABLE) == -EBUSY);
    return fds[1];
}

static int end_waits(void *arg)
{
    int peer = start_waiting();

    (void)arg;
    CHECK(co_hangup(waited_for) == 0);
    until(&count, 1);
    CHECK(result_of_wait == -ECANCELED);
    CHECK(co_fd_wait(waited_for, CO_READABLE) == -ECANCELED);
    CHECK(co_close(waited_for) == 0 && close(peer) == 0);

    peer = start_waiting();
    CHECK(co_release(waited_for) == 0); /* and who waited has left already */
    CHECK(co_fd_wait(waited_for, CO_READABLE) == -EBADF);
    CHECK(co_release(waited_for) == -EBADF);
    until(&count, 1);
    CHECK(result_of_wait == -ECANCELED);
    CHECK(write(peer, "x", 1) == 1);
    CHECK(co_adopt(waited_for) == 0);
    CHECK(co_fd_wait(waited_for, CO_READABLE) == CO_READABLE);
    CHECK(co_close(waited_for) == 0 && close(peer) == 0);

    peer = start_waiting();
    CHECK(co_close(waited_for) == 0);
    until(&count, 1);
    CHECK(result_of_wait == -ECANCELED);
    CHECK(close(peer) == 0);
    return 0;
}

Test(foreign, a_hang_up_a_release_and_a_close_end_the_wait)
{
    run_on(1, end_waits, NULL);
    run_on(3, end_waits, NULL);
}

/* ---- a library that replaces its descriptor ---- */

/* Closes it and has another one under the same number; its other end is returned. */
static int replace(int fd)
{
    int fds[2];

    make_plain(fds);
    CHECK(dup3(fds[0], fd, O_CLOEXEC) == fd);
    CHECK(close(fds[0]) == 0);
    return fds[1];
}

static int be_replaced(void *arg)
{
    int peer = start_waiting(), next;
    char byte;

    (void)arg;
    for (int i = 0; i < 20; i++) {
        bool told = i % 2;

        if (told) /* as it should be */
            CHECK(co_release(waited_for) == 0);
        next = replace(waited_for);
        CHECK(co_adopt(waited_for) == 0);
        until(&count, 1);
        CHECK(result_of_wait == -ECANCELED);
        (void)close(peer); /* news of the earlier one, if anything: not for who waits now */
        peer = next;
        {
            CO_DEADLINE(CO_MS);
            CHECK(co_fd_wait(waited_for, CO_READABLE) == -ETIMEDOUT);
        }
        CHECK(write(peer, "x", 1) == 1);
        CHECK(co_fd_wait(waited_for, CO_READABLE) == CO_READABLE);
        CHECK(read(waited_for, &byte, 1) == 1);
    }
    CHECK(co_close(waited_for) == 0 && close(peer) == 0);
    return 0;
}

Test(foreign, a_descriptor_may_be_replaced_by_another_of_its_number)
{
    run_on(1, be_replaced, NULL);
    run_on(3, be_replaced, NULL);
}

static int close_behind_our_back(void *arg)
{
    int fds[2];

    (void)arg;
    make_plain(fds);
    CHECK(co_adopt(fds[0]) == 0 && close(fds[0]) == 0);
    CHECK(co_fd_wait(fds[0], CO_READABLE) == -EBADF);
    CHECK(co_adopt(fds[0]) == -EBADF);
    CHECK(co_release(fds[0]) == 0);
    CHECK(close(fds[1]) == 0);
    return 0;
}

Test(foreign, one_that_was_closed_meanwhile_is_noticed)
{
    run_on(1, close_behind_our_back, NULL);
}

/* ---- a child that holds a copy ---- */

/* A copy in a child keeps the file, and its place in the epoll, alive. */
static pid_t keep_copies(int done)
{
    pid_t pid = fork();
    char byte;

    if (pid == 0) {
        (void)!read(done, &byte, 1);
        _exit(0);
    }
    CHECK(pid > 0);
    return pid;
}

static int live_on_in_a_child(void *arg)
{
    int fds[2], done[2], peer;
    char byte;
    pid_t child;

    (void)arg;
    make_plain(fds);
    CHECK(pipe2(done, O_CLOEXEC) == 0);
    CHECK(co_adopt(fds[0]) == 0);
    child = keep_copies(done[0]);
    peer = replace(fds[0]); /* without a word: the earlier file lives on, and is registered */
    CHECK(co_adopt(fds[0]) == 0);
    CHECK(write(fds[1], "x", 1) == 1); /* an event of the earlier one */
    {
        CO_DEADLINE(2 * CO_MS);
        CHECK(co_fd_wait(fds[0], CO_READABLE) == -ETIMEDOUT);
    }
    CHECK(write(peer, "y", 1) == 1);
    CHECK(co_fd_wait(fds[0], CO_READABLE) == CO_READABLE);
    CHECK(read(fds[0], &byte, 1) == 1 && byte == 'y');
    CHECK(co_release(fds[0]) == 0);
    CHECK(close(fds[0]) == 0 && close(peer) == 0 && close(fds[1]) == 0);
    (void)close(done[1]);
    (void)close(done[0]);
    (void)kill(child, SIGKILL);
    CHECK(waitpid(child, NULL, 0) == child);
    return 0;
}

Test(foreign, a_copy_in_a_child_sends_no_events_to_the_next)
{
    run_on(1, live_on_in_a_child, NULL);
    run_on(2, live_on_in_a_child, NULL);
}

/* ---- what may be adopted ---- */

static int adopt_what_is_not(void *arg)
{
    struct pair pair = make_pair();
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

    (void)arg;
    CHECK(co_adopt(file) == -EPERM && close(file) == 0);
    CHECK(co_adopt(file) == -EBADF && co_adopt(-1) == -EBADF);
    CHECK(co_adopt(pair.ours) == -EBUSY && co_release(pair.ours) == -EBUSY);
    CHECK(co_release(pair.plain) == -EBADF);
    CHECK(co_fd_wait(pair.ours, CO_READABLE | CO_WRITABLE) == CO_WRITABLE); /* ours, too */
    close_pair(&pair);
    return 0;
}

static int accept_from_adopted(void *arg)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int lfd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t size = sizeof(int);
    int plain, nodelay = 0;

    (void)arg;
    CHECK(bind(lfd, (struct sockaddr *)(void *)&addr, sizeof addr) == 0 && listen(lfd, 5) == 0);
    CHECK(co_adopt(lfd) == 0);
    plain = plain_connect(co_local_port(lfd));
    CO_FD(conn, co_accept(lfd));
    CHECK(getsockopt(conn, IPPROTO_TCP, TCP_NODELAY, &nodelay, &size) == 0 && nodelay);
    CHECK(close(plain) == 0 && co_close(lfd) == 0);
    return 0;
}

Test(foreign, an_answer_in_two_writes_is_not_held_back_where_the_listener_was_adopted)
{
    run_on(1, accept_from_adopted, NULL);
}

Test(foreign, files_and_our_own_are_not_adopted)
{
    run_on(1, adopt_what_is_not, NULL);
    cr_assert_eq(co_adopt(0), -EPERM);
    cr_assert_eq(co_release(0), -EPERM);
}

static int use_like_our_own(void *arg)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    int lfd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* it may block */
    int plain, conn;
    char buf[8];

    (void)arg;
    CHECK(bind(lfd, (struct sockaddr *)(void *)&addr, len) == 0 && listen(lfd, 5) == 0);
    CHECK(getsockname(lfd, (struct sockaddr *)(void *)&addr, &len) == 0);
    CHECK(co_adopt(lfd) == 0);
    {
        CO_DEADLINE(2 * CO_MS);
        CHECK(co_accept(lfd) == -ETIMEDOUT);
    }
    plain = plain_connect(ntohs(addr.sin_port));
    conn = co_accept(lfd);
    CHECK(conn >= 0 && co_adopt(plain) == 0);
    CHECK(co_send(plain, "hello", 5) == 5 && co_recv(conn, buf, 8) == 5);
    CHECK(co_send(conn, "world", 5) == 5);
    CHECK(co_fd_wait(plain, CO_READABLE) == CO_READABLE && read(plain, buf, 2) == 2);
    CHECK(co_recv(plain, buf, 8) == 3); /* what somebody else has left */
    CHECK(co_close(conn) == 0 && co_recv(plain, buf, 8) == 0);
    CHECK(co_close(plain) == 0 && co_close(lfd) == 0);
    return 0;
}

Test(foreign, adopted_sockets_work_like_our_own)
{
    run_on(1, use_like_our_own, NULL);
    run_on(3, use_like_our_own, NULL);
}
