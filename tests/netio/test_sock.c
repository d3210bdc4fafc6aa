/* SPDX-License-Identifier: MIT */
/* tests/netio/test_sock.c - receiving and sending, and every way in which a stream can end. */
#include "netio/world.h"
#include <co/private/net.h>
#include <sys/mman.h>

TestSuite(sock, .timeout = 30);

static _Atomic int count;

/* ---- receiving ---- */

static int receive_some(void *arg)
{
    struct pair pair = make_pair();
    char buf[8] = "";

    (void)arg;
    say(pair.plain, "hello world");
    until_arrived(pair.ours, 11);
    CHECK(co_recv(pair.ours, buf, 0) == 0);
    CHECK(co_recv(pair.ours, buf, 5) == 5 && memcmp(buf, "hello", 5) == 0);
    CHECK(co_recv(pair.ours, buf, 8) == 6 && memcmp(buf, " world", 6) == 0);
    say(pair.plain, "x");
    CHECK(co_recvn(pair.ours, buf, 1) == 1 && buf[0] == 'x');
    CHECK(co_recvn(pair.ours, buf, 0) == 0);
    close_pair(&pair);
    return 0;
}

Test(sock, receives_what_is_there_and_no_more_than_asked)
{
    run_on(1, receive_some, NULL);
    run_on(3, receive_some, NULL);
}

static void say_later(void *arg)
{
    let_wait();
    say(*(int *)arg, "ab");
    let_wait();
    say(*(int *)arg, "cdef");
    let_wait();
    CHECK(shutdown(*(int *)arg, SHUT_WR) == 0);
}

static int receive_all(void *arg)
{
    struct pair pair = make_pair();
    char buf[8] = "";

    (void)arg;
    start(say_later, &pair.plain);
    CHECK(co_recvn(pair.ours, buf, 4) == 4 && memcmp(buf, "abcd", 4) == 0);
    CHECK(co_recvn(pair.ours, buf, 4) == 2 && memcmp(buf, "ef", 2) == 0);
    CHECK(co_recvn(pair.ours, buf, 4) == 0);
    CHECK(co_recv(pair.ours, buf, 4) == 0);
    close_pair(&pair);
    return 0;
}

Test(sock, receives_exactly_so_many_unless_the_stream_ends)
{
    run_on(1, receive_all, NULL);
    run_on(3, receive_all, NULL);
}

/* ---- yielding ---- */

/* A full budget, if the last call before had to wait, and the piece that the yield comes before. */
enum { PIECE = 32768, PIECES_MAX = 1 + 128 / (1 + PIECE / 8192) + 1 };

static void count_up(void *arg)
{
    (void)arg;
    atomic_store(&count, 1);
}

enum way { SENDS, RECEIVES, SENDS_AS_TLS, SENDS_A_FILE };

static void move_one(const struct pair *pair, enum way way, int file)
{
    static char bytes[PIECE];

    switch (way) {
    case SENDS:
        CHECK(co_send(pair->ours, bytes, PIECE) == PIECE);
        break;
    case SENDS_AS_TLS:
        CHECK(co__send_now(pair->ours, bytes, PIECE) == PIECE);
        break;
    case SENDS_A_FILE:
        CHECK(co_sendfile(pair->ours, file, 0, PIECE) == PIECE);
        break;
    case RECEIVES:
        CHECK(send(pair->plain, bytes, PIECE, MSG_NOSIGNAL) == PIECE);
        CHECK(co_recvn(pair->ours, bytes, PIECE) == PIECE);
        return;
    }
    CHECK(recv(pair->plain, bytes, PIECE, MSG_WAITALL) == PIECE);
}

/* Moves pieces that never have to be waited for, until somebody else has run. */
static int move_much(void *arg)
{
    struct pair pair = make_pair();
    int file = memfd_create("bytes", MFD_CLOEXEC);
    int pieces = 0;

    CHECK(file >= 0 && ftruncate(file, PIECE) == 0);
    atomic_store(&count, 0);
    start(count_up, NULL);
    for (; atomic_load(&count) == 0; pieces++)
        move_one(&pair, *(enum way *)arg, file);
    CHECK(pieces <= PIECES_MAX);
    (void)close(file);
    close_pair(&pair);
    return 0;
}

Test(sock, who_sends_or_receives_much_without_waiting_keeps_nobody_waiting_for_long)
{
    for (enum way way = SENDS; way <= SENDS_A_FILE; way++)
        run_on(1, move_much, &way);
}

/* ---- deadlines ---- */

static void drip(void *arg)
{
    for (int i = 0; i < 10 && atomic_load(&count) == 0; i++) {
        CHECK(co_sleep(120 * CO_MS) == 0);
        (void)send(*(int *)arg, "x", 1, MSG_NOSIGNAL);
    }
    atomic_store(&count, 2);
}

static int receive_drops(void *arg)
{
    struct pair pair = make_pair();
    char buf[10];
    int64_t begun = co_now();

    (void)arg;
    start(drip, &pair.plain);
    {
        CO_DEADLINE(200 * CO_MS);
        CHECK(co_recvn(pair.ours, buf, 10) == -ETIMEDOUT);
    }
    CHECK(co_now() - begun >= 200 * CO_MS);
    CHECK(co_now() - begun < 20 * CO_SEC);
    atomic_store(&count, 1);
    until(&count, 2);
    close_pair(&pair);
    return 0;
}

Test(sock, a_deadline_bounds_all_bytes_together)
{
    run_on(2, receive_drops, NULL);
}

static int too_late(void *arg)
{
    struct pair pair = make_pair();
    char buf[8];
    int fd;

    (void)arg;
    say(pair.plain, "data");
    until_arrived(pair.ours, 4);
    {
        CO_DEADLINE(0);
        CHECK(co_recv(pair.ours, buf, 8) == -ETIMEDOUT);
        CHECK(co_recvn(pair.ours, buf, 4) == -ETIMEDOUT);
        CHECK(co_send(pair.ours, "x", 1) == -ETIMEDOUT);
        fd = co_connect("127.0.0.1:1");
        CHECK(fd == -ETIMEDOUT);
    }
    CHECK(co_recv(pair.ours, buf, 8) == 4); /* nothing was taken */
    CHECK(co_send(pair.ours, "y", 1) == 1);
    CHECK(read(pair.plain, buf, 8) == 1 && buf[0] == 'y'); /* nothing was sent */
    close_pair(&pair);
    return 0;
}

Test(sock, a_deadline_that_has_passed_counts_though_data_wait)
{
    run_on(2, too_late, NULL);
}

static void *pour(void *arg)
{
    char buf[4096] = {0};

    while (send(*(int *)arg, buf, sizeof buf, MSG_NOSIGNAL) > 0)
        continue;
    return NULL;
}

static int drink(void *arg)
{
    struct pair pair = make_pair();
    int64_t begun = co_now();
    pthread_t thread;
    char buf[16];
    ssize_t n;

    (void)arg;
    CHECK(pthread_create(&thread, NULL, pour, &pair.plain) == 0);
    {
        CO_DEADLINE(50 * CO_MS);
        while ((n = co_recv(pair.ours, buf, sizeof buf)) > 0)
            continue;
        CHECK(n == -ETIMEDOUT);
    }
    CHECK(co_now() - begun < 5 * CO_SEC);
    CHECK(co_close(pair.ours) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    (void)close(pair.plain);
    return 0;
}

Test(sock, a_peer_that_is_always_ready_does_not_make_the_deadline_void)
{
    run_on(1, drink, NULL);
    run_on(2, drink, NULL);
}

static void let_others_run(void *arg)
{
    (void)arg;
    atomic_fetch_add(&count, 1);
}

static int drink_alone(void *arg)
{
    struct pair pair = make_pair();
    char buf[1];
    int calls = 0;

    (void)arg;
    for (int i = 0; i < 100; i++)
        say(pair.plain, "0123456789");
    until_arrived(pair.ours, 10);
    start(let_others_run, NULL);
    while (atomic_load(&count) == 0 && calls < 900) {
        CHECK(co_recv(pair.ours, buf, 1) == 1);
        calls++;
    }
    CHECK(calls <= 128);
    close_pair(&pair);
    return 0;
}

Test(sock, a_peer_that_is_always_ready_does_not_starve_others)
{
    run_on(1, drink_alone, NULL);
}

/* ---- how a stream ends ---- */

/* Bytes and end are in the kernel before anybody reads; reads before that make it drained. */
static int end_with_bytes(void *arg)
{
    (void)arg;
    for (int reads = 0; reads < 3; reads++) {
        struct pair pair = make_pair();
        char buf[64];

        for (int i = 0; i < reads; i++) {
            say(pair.plain, "before");
            CHECK(co_recv(pair.ours, buf, sizeof buf) == 6);
        }
        say(pair.plain, "last");
        CHECK(shutdown(pair.plain, SHUT_WR) == 0);
        until_polled(pair.ours, POLLRDHUP);
        if (reads == 2)
            let_wait(); /* the event has been delivered */
        CHECK(co_recv(pair.ours, buf, sizeof buf) == 4 && memcmp(buf, "last", 4) == 0);
        {
            CO_DEADLINE(5 * CO_SEC);
            CHECK(co_recv(pair.ours, buf, sizeof buf) == 0);
            CHECK(co_recv(pair.ours, buf, sizeof buf) == 0); /* and again */
        }
        CHECK(co_send(pair.ours, "still", 5) == 5); /* its other half is open */
        CHECK(read(pair.plain, buf, sizeof buf) == 5);
        close_pair(&pair);
    }
    return 0;
}

static void *last_words(void *arg)
{
    say(*(int *)arg, "last");
    CHECK(shutdown(*(int *)arg, SHUT_WR) == 0);
    return NULL;
}

/* The reader waits while bytes and end come. */
static int end_while_reading(void *arg)
{
    (void)arg;
    for (int i = 0; i < fewer(200); i++) {
        struct pair pair = make_pair();
        char buf[64];
        pthread_t thread;
        CO_DEADLINE(10 * CO_SEC);

        CHECK(pthread_create(&thread, NULL, last_words, &pair.plain) == 0);
        CHECK(co_recv(pair.ours, buf, sizeof buf) == 4);
        CHECK(co_recv(pair.ours, buf, sizeof buf) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
        close_pair(&pair);
    }
    return 0;
}

Test(sock, the_end_that_comes_with_the_last_bytes_is_noticed)
{
    run_on(1, end_with_bytes, NULL);
    run_on(2, end_while_reading, NULL);
}

Test(sock, the_end_is_noticed_though_its_delivery_is_held_up)
{
    (void)setenv("CO_CHAOS", "11", 1);
    run_on(3, end_with_bytes, NULL);
    run_on(3, end_while_reading, NULL);
}

/* Urgent data cut the stream: a short read before the mark does not mean that it is drained. */
static int urgent(void *arg)
{
    (void)arg;
    for (int variant = 0; variant < 3; variant++) {
        struct pair pair = make_pair();
        char buf[64];
        CO_DEADLINE(10 * CO_SEC);

        if (variant == 1) { /* drained before */
            say(pair.plain, "first");
            CHECK(co_recv(pair.ours, buf, sizeof buf) == 5);
        }
        say(pair.plain, "abc");
        CHECK(send(pair.plain, "!", 1, MSG_OOB) == 1);
        say(pair.plain, "def");
        until_polled(pair.ours, POLLPRI | POLLIN);
        if (variant == 2)
            let_wait();
        CHECK(co_recv(pair.ours, buf, sizeof buf) == 3 && memcmp(buf, "abc", 3) == 0);
        CHECK(co_recv(pair.ours, buf, sizeof buf) == 3 && memcmp(buf, "def", 3) == 0);
        say(pair.plain, "ghi");
        CHECK(co_recv(pair.ours, buf, sizeof buf) == 3 && memcmp(buf, "ghi", 3) == 0);
        CHECK(shutdown(pair.plain, SHUT_WR) == 0);
        CHECK(co_recv(pair.ours, buf, sizeof buf) == 0);
        close_pair(&pair);
    }
    return 0;
}

Test(sock, what_comes_behind_urgent_data_is_received)
{
    run_on(1, urgent, NULL);
    (void)setenv("CO_CHAOS", "5", 1);
    run_on(3, urgent, NULL);
}

static void *reset_now(void *arg)
{
    reset_peer(*(int *)arg);
    return NULL;
}

static int be_reset(void *arg)
{
    (void)arg;
    for (int i = 0; i < fewer(100); i++) {
        struct pair pair = make_pair();
        char buf[64];
        pthread_t thread;
        CO_DEADLINE(10 * CO_SEC);

        if (i % 2) {
            say(pair.plain, "x");
            CHECK(co_recv(pair.ours, buf, sizeof buf) == 1);
        }
        CHECK(pthread_create(&thread, NULL, reset_now, &pair.plain) == 0);
        CHECK(co_recv(pair.ours, buf, sizeof buf) == -ECONNRESET);
        CHECK(pthread_join(thread, NULL) == 0);
        CHECK(co_send(pair.ours, "x", 1) == -EPIPE);
        pair.plain = -1;
        close_pair(&pair);
    }
    return 0;
}

Test(sock, a_reset_is_noticed_while_waiting_and_after)
{
    run_on(2, be_reset, NULL);
}

static void wait_to_read(void *arg)
{
    char byte;
    ssize_t n = co_recv(*(int *)arg, &byte, 1);

    CHECK(n == -ECONNRESET || n == 0); /* the error is told once: to the writer, perhaps */
    atomic_fetch_add(&count, 1);
}

static void wait_to_write(void *arg)
{
    static char lots[1 << 20];
    ssize_t n;

    while ((n = co_send(*(int *)arg, lots, sizeof lots)) > 0)
        continue;
    CHECK(n == -ECONNRESET || n == -EPIPE);
    atomic_fetch_add(&count, 1);
}

static int reset_both(void *arg)
{
    struct pair pair = make_pair();

    (void)arg;
    start(wait_to_write, &pair.ours);
    until_polled(pair.plain, POLLIN);
    let_wait();
    start(wait_to_read, &pair.ours);
    let_wait();
    reset_peer(pair.plain);
    pair.plain = -1;
    until(&count, 2);
    CHECK(co_close(pair.ours) == 0);
    return 0;
}

static int shut_down(void *arg)
{
    struct pair pair = make_pair();
    char buf[8];

    (void)arg;
    say(pair.plain, "ab");
    CHECK(co_shutdown(pair.ours, SHUT_WR) == 0);
    CHECK(read(pair.plain, buf, 8) == 0);
    CHECK(co_send(pair.ours, "x", 1) == -EPIPE);
    CHECK(co_recv(pair.ours, buf, 8) == 2); /* half closed */
    CHECK(co_shutdown(pair.ours, 99) == -EINVAL);
    CHECK(co_shutdown(pair.ours, SHUT_RDWR) == 0);
    CHECK(co_recv(pair.ours, buf, 8) == 0);
    close_pair(&pair);
    return 0;
}

Test(sock, half_a_connection_can_be_shut_down)
{
    run_on(2, shut_down, NULL);
}

static void shut_later(void *arg)
{
    let_wait();
    CHECK(co_shutdown(*(int *)arg, SHUT_RD) == 0);
}

static int shut_while_reading(void *arg)
{
    struct pair pair = make_pair();
    char buf[8];
    CO_DEADLINE(10 * CO_SEC);

    (void)arg;
    start(shut_later, &pair.ours);
    CHECK(co_recv(pair.ours, buf, 8) == 0);
    close_pair(&pair);
    return 0;
}

Test(sock, a_reader_learns_that_its_own_half_was_shut_down)
{
    run_on(2, shut_while_reading, NULL);
}

/* ---- one reader, one writer ---- */

static void read_one(void *arg)
{
    char byte = 0;
    ssize_t n;

    while ((n = co_recv(*(int *)arg, &byte, 1)) == -EBUSY)
        (void)co_yield(); /* the other has come first */
    CHECK(n == 1 && byte == 'x');
    atomic_fetch_add(&count, 1);
}

static ssize_t try_to_read(int fd)
{
    char byte;
    CO_DEADLINE(CO_MS);

    return co_recv(fd, &byte, 1);
}

static int two_readers(void *arg)
{
    struct pair pair = make_pair();
    ssize_t n;
    char byte;

    (void)arg;
    start(read_one, &pair.ours);
    while ((n = try_to_read(pair.ours)) == -ETIMEDOUT)
        (void)co_yield(); /* it does not read yet */
    CHECK(n == -EBUSY);
    CHECK(co_recvn(pair.ours, &byte, 1) == -EBUSY);
    CHECK(co_send(pair.ours, "y", 1) == 1); /* the other direction is free */
    CHECK(read(pair.plain, &byte, 1) == 1);
    say(pair.plain, "x");
    until(&count, 1);
    say(pair.plain, "z");
    CHECK(co_recv(pair.ours, &byte, 1) == 1 && byte == 'z');
    close_pair(&pair);
    return 0;
}

Test(sock, a_second_reader_is_refused)
{
    run_on(2, two_readers, NULL);
}

static char big[10 << 20];

static void send_big(void *arg)
{
    CHECK(co_send(*(int *)arg, big, sizeof big) == (ssize_t)sizeof big);
    atomic_fetch_add(&count, 1);
}

static void fill_big(void)
{
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (char)(i * 7 + (i >> 12) * 13);
}

static int two_writers(void *arg)
{
    struct pair pair = make_pair();
    static char buf[1 << 16];
    size_t done = 0;

    (void)arg;
    start(send_big, &pair.ours);
    until_polled(pair.plain, POLLIN);
    let_wait();
    CHECK(co_send(pair.ours, "x", 1) == -EBUSY);
    while (done < sizeof big) {
        ssize_t n = recv(pair.plain, buf, sizeof buf, MSG_DONTWAIT);

        if (n > 0 && memcmp(buf, big + done, (size_t)n) != 0)
            CHECK(false && "the bytes that were sent");
        if (n > 0)
            done += (size_t)n;
        (void)co_yield(); /* a slow reader */
    }
    until(&count, 1);
    close_pair(&pair);
    return 0;
}

Test(sock, ten_megabytes_pass_a_slow_reader_whole_and_undisturbed)
{
    fill_big();
    run_on(1, two_writers, NULL);
    atomic_store(&count, 0);
    run_on(3, two_writers, NULL);
}

/* ---- pieces ---- */

static int send_pieces(void *arg)
{
    struct iovec pieces[65];
    struct iovec before[64];
    struct pair pair = make_pair();
    char got[64 * 65];
    size_t len = 0;

    (void)arg;
    for (int i = 0; i < 65; i++) {
        pieces[i] = (struct iovec){.iov_base = big + len, .iov_len = (size_t)i};
        len += (size_t)i;
    }
    memcpy(before, pieces, sizeof before);
    CHECK(co_sendv(pair.ours, pieces, 65) == -EINVAL);
    CHECK(co_sendv(pair.ours, pieces, -1) == -EINVAL);
    CHECK(co_sendv(pair.ours, pieces, 0) == 0);
    CHECK(co_sendv(pair.ours, pieces, 1) == 0);
    CHECK(co_sendv(pair.ours, pieces, 64) == 63 * 64 / 2);
    CHECK(memcmp(before, pieces, sizeof before) == 0);
    CHECK(recv(pair.plain, got, 63 * 64 / 2, MSG_WAITALL) == 63 * 64 / 2);
    CHECK(memcmp(got, big, 63 * 64 / 2) == 0);
    close_pair(&pair);
    return 0;
}

Test(sock, sends_up_to_64_pieces_as_one)
{
    fill_big();
    run_on(2, send_pieces, NULL);
}

static void send_big_pieces(void *arg)
{
    struct iovec pieces[64];
    size_t each = sizeof big / 64;

    for (size_t i = 0; i < 64; i++)
        pieces[i] = (struct iovec){.iov_base = big + i * each, .iov_len = i % 8 == 7 ? 0 : each};
    for (size_t i = 7; i < 64; i += 8) /* an empty piece, and its bytes behind another */
        pieces[i - 1].iov_len = 2 * each;
    CHECK(co_sendv(*(int *)arg, pieces, 64) == (ssize_t)(64 * each));
    atomic_fetch_add(&count, 1);
}

static int receive_pieces(void *arg)
{
    static char buf[100003];
    size_t done = 0;
    int fds[2];

    (void)arg;
    make_ours(fds);
    start(send_big_pieces, &fds[0]);
    while (done < sizeof big / 64 * 64) {
        ssize_t n = co_recv(fds[1], buf, sizeof buf);

        CHECK(n > 0);
        if (n <= 0)
            break;
        CHECK(memcmp(buf, big + done, (size_t)n) == 0);
        done += (size_t)n;
    }
    until(&count, 1);
    CHECK(co_close(fds[0]) == 0 && co_close(fds[1]) == 0);
    return 0;
}

Test(sock, large_and_empty_pieces_are_sent_on_where_the_kernel_stopped)
{
    fill_big();
    run_on(2, receive_pieces, NULL);
}

/* ---- after a failure ---- */

static int break_stream(void *arg)
{
    struct pair pair = make_pair();

    (void)arg;
    send_too_much(pair.ours, big, sizeof big);
    CHECK(co_send(pair.ours, "x", 1) == -EPIPE); /* it would land amid the message */
    close_pair(&pair);
    return 0;
}

Test(sock, a_send_that_failed_midway_breaks_the_stream)
{
    run_on(2, break_stream, NULL);
}

Test(sock, a_reset_ends_reader_and_writer)
{
    run_on(2, reset_both, NULL);
}

/* ---- not ours ---- */

static int strangers(void *arg)
{
    char byte;
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    (void)arg;
    for (int i = 0; i < 3; i++) {
        const int fds[] = {-1, 1 << 25, fd};

        CHECK(co_recv(fds[i], &byte, 1) == -EBADF);
        CHECK(co_recvn(fds[i], &byte, 1) == -EBADF);
        CHECK(co_send(fds[i], "x", 1) == -EBADF);
        CHECK(co_shutdown(fds[i], SHUT_RD) == -EBADF);
        CHECK(co_accept(fds[i]) == -EBADF);
        CHECK(co_close(fds[i]) == -EBADF);
        CHECK(co_hangup(fds[i]) == -EBADF);
        CHECK(co_local_port(fds[i]) == -EBADF);
        CHECK(co_fd_worker(fds[i]) == -EBADF);
    }
    (void)close(fd);
    return 0;
}

Test(sock, a_descriptor_that_is_not_corvids_is_refused)
{
    char byte;

    run_on(1, strangers, NULL);
    cr_assert_eq(co_recv(0, &byte, 1), -EPERM);
    cr_assert_eq(co_send(0, "x", 1), -EPERM);
    cr_assert_eq(co_accept(0), -EPERM);
    cr_assert_eq(co_listen("127.0.0.1:0"), -EPERM);
    cr_assert_eq(co_connect("127.0.0.1:1"), -EPERM);
}

/* ---- a stuck worker ---- */

static _Atomic int64_t answered_at;

static void answer(void *arg)
{
    char byte;

    CHECK(co_recv(*(int *)arg, &byte, 1) == 1);
    atomic_store(&answered_at, co_now());
}

static void *say_x_soon(void *arg)
{
    (void)usleep(20000);
    say(*(int *)arg, "x");
    return NULL;
}

static int serve_beside_a_stuck_worker(void *arg)
{
    (void)arg;
    for (int i = 0; i < 5; i++) {
        struct pair pair = make_pair();
        pthread_t thread;
        int64_t end;

        atomic_store(&answered_at, 0);
        start(answer, &pair.ours);
        let_wait();
        CHECK(pthread_create(&thread, NULL, say_x_soon, &pair.plain) == 0);
        /* Computes until it is answered: the socket's loop is this one, or the other. */
        for (end = co_now() + 20 * CO_SEC; atomic_load(&answered_at) == 0 && co_now() < end;)
            continue;
        CHECK(atomic_load(&answered_at) != 0);
        CHECK(pthread_join(thread, NULL) == 0);
        close_pair(&pair);
    }
    return 0;
}

Test(sock, sockets_of_a_stuck_worker_are_served_by_others)
{
    run_on(2, serve_beside_a_stuck_worker, NULL);
}
