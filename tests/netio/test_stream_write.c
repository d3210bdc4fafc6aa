/* SPDX-License-Identifier: MIT */
/* tests/netio/test_stream_write.c - buffered writing, transports, files. */
#include "netio/world.h"
#include <co/stream.h>
#include <sys/mman.h>

TestSuite(stream_write, .timeout = 30);

static _Atomic int count;

/* Expects at a plain socket exactly these bytes. */
static bool hears(int plain, const char *text)
{
    size_t len = strlen(text);
    char buf[1024];
    size_t done = 0;

    while (done < len) {
        ssize_t n = recv(plain, buf + done, len - done, 0);

        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return memcmp(buf, text, len) == 0;
}

static bool hears_nothing(int plain)
{
    char byte;

    return recv(plain, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static int write_some(void *arg)
{
    struct pair pair = make_pair();
    struct iovec pieces[] = {{(char[]){"12"}, 2}, {NULL, 0}, {(char[]){"345"}, 3}};
    struct co_stream stream;

    (void)arg;
    co_stream_open(&stream, pair.ours);
    CHECK(co_stream_write(&stream, "hello ", 6) == 6);
    CHECK(co_stream_printf(&stream, "%s %d\n", "number", 7) == 9);
    CHECK(co_stream_writev(&stream, pieces, 3) == 5);
    CHECK(co_stream_writev(&stream, pieces, 64) == -EINVAL);
    CHECK(co_stream_writev(&stream, pieces, -1) == -EINVAL);
    CHECK(co_stream_write(&stream, NULL, 0) == 0);
    CHECK(hears_nothing(pair.plain));
    CHECK(co_stream_flush(&stream) == 0);
    CHECK(co_stream_flush(&stream) == 0);
    CHECK(hears(pair.plain, "hello number 7\n12345"));
    CHECK(co_stream_write(&stream, "bye", 3) == 3);
    CHECK(co_stream_close(&stream) == 0);
    CHECK(hears(pair.plain, "bye"));
    CHECK(recv(pair.plain, &(char){0}, 1, 0) == 0);
    CHECK(close(pair.plain) == 0);
    return 0;
}

Test(stream_write, small_writes_leave_together_and_in_order)
{
    run_on(1, write_some, NULL);
}

static int write_past_the_buffer(void *arg)
{
    struct pair pair = make_pair();
    struct co_stream stream;
    char text[200];
    char expected[512];

    (void)arg;
    memset(text, 'L', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    co_stream_open(&stream, pair.ours);
    CHECK(co_stream_set_size(&stream, 63) == -EINVAL);
    CHECK(co_stream_set_size(&stream, (1 << 24) + 1) == -EINVAL);
    CHECK(co_stream_set_size(&stream, 64) == 0);
    CHECK(co_stream_write(&stream, "ab", 2) == 2);
    CHECK(co_stream_write(&stream, text, 199) == 199); /* goes at once, with the two */
    CHECK(!stream.out.mem);
    CHECK(co_stream_write(&stream, "cd", 2) == 2);
    CHECK(co_stream_printf(&stream, "%s!", text) == 200);
    CHECK(co_stream_printf(&stream, "%s", "") == 0);
    CHECK(!stream.out.mem);
    (void)snprintf(expected, sizeof expected, "ab%scd%s!", text, text);
    CHECK(hears(pair.plain, expected));
    co_stream_drop(&stream);
    CHECK(close(pair.plain) == 0);
    return 0;
}

Test(stream_write, what_does_not_fit_leaves_with_what_was_kept)
{
    run_on(1, write_past_the_buffer, NULL);
}

static int drop_forgets(void *arg)
{
    struct pair pair = make_pair();

    (void)arg;
    {
        CO_STREAM(stream, pair.ours);
        CHECK(co_stream_write(&stream, "unfinished", 10) == 10);
    }
    CHECK(recv(pair.plain, &(char){0}, 1, 0) == 0);
    CHECK(close(pair.plain) == 0);
    co_stream_drop(NULL);
    return 0;
}

Test(stream_write, what_was_not_flushed_is_not_sent_at_the_end_of_the_block)
{
    run_on(1, drop_forgets, NULL);
}

/* ---- a peer that does not read ---- */

enum { MUCH = 8 << 20 };

static int full_socket(void *arg)
{
    struct pair pair = make_pair();
    char *much = calloc(1, MUCH);
    struct co_stream stream;

    (void)arg;
    co_stream_open(&stream, pair.ours);
    CHECK(co_stream_write(&stream, "kept", 4) == 4);
    {
        CO_DEADLINE(0);
        CHECK(co_stream_flush(&stream) == -ETIMEDOUT);
    }
    CHECK(stream.out.end == 4); /* nothing has left: it may be tried again */
    do {                        /* once, unless the deadline has passed before it has begun */
        CO_DEADLINE(50 * CO_MS);
        CHECK(co_stream_write(&stream, much, MUCH) == -ETIMEDOUT);
    } while (!is_broken(pair.ours));
    CHECK(co_stream_write(&stream, "x", 1) == 1); /* into the buffer */
    CHECK(co_stream_flush(&stream) == -EPIPE);
    CHECK(co_stream_finish(&stream) == -EPIPE);
    CHECK(co_stream_close(&stream) == -EPIPE);
    CHECK(close(pair.plain) == 0);
    free(much);
    return 0;
}

Test(stream_write, a_write_that_ends_midway_breaks_the_stream)
{
    run_on(1, full_socket, NULL);
    run_on(3, full_socket, NULL);
}

/* ---- a transport ---- */

/* Carries bytes turned around, so that who goes past it is found out. */
struct turner {
    int fd;
    int frees;
    int finishes;
    int waits;
    bool pending;
};

static ssize_t turn_recv(void *conn, void *buf, size_t cap)
{
    ssize_t n = co_recv(((struct turner *)conn)->fd, buf, cap < 3 ? cap : 3);

    for (ssize_t i = 0; i < n; i++)
        ((unsigned char *)buf)[i] ^= 0x80;
    return n;
}

static int turn_wait(void *conn)
{
    struct turner *turner = conn;

    turner->waits++;
    return co_fd_worker(turner->fd) < 0 ? -EBADF : 0;
}

static bool turn_pending(void *conn)
{
    return ((struct turner *)conn)->pending;
}

static ssize_t turn_sendv(void *conn, const struct iovec *iov, int pieces)
{
    ssize_t sum = 0;

    for (int i = 0; i < pieces; i++) {
        for (size_t j = 0; j < iov[i].iov_len; j++) {
            char byte = (char)(((char *)iov[i].iov_base)[j] ^ 0x80);
            ssize_t n = co_send(((struct turner *)conn)->fd, &byte, 1);

            if (n < 0)
                return n;
            sum += n;
        }
    }
    return sum;
}

static int turn_finish(void *conn)
{
    struct turner *turner = conn;

    turner->finishes++;
    return (int)co_send(turner->fd, "F", 1) < 0 ? -EPIPE : 0;
}

static void turn_free(void *conn)
{
    ((struct turner *)conn)->frees++;
}

static const struct co_transport turning = {
    .recv = turn_recv,
    .wait = turn_wait,
    .pending = turn_pending,
    .sendv = turn_sendv,
    .finish = turn_finish,
    .free = turn_free,
};

static void count_start(void *arg, int why)
{
    (void)arg;
    CHECK(why == 0);
    atomic_fetch_add(&count, 1);
}

static int over_a_transport(void *arg)
{
    struct pair pair = make_pair();
    struct turner turner = {.fd = pair.ours};
    struct co_stream stream;
    char *line = NULL;

    (void)arg;
    atomic_store(&count, 0);
    co_stream_open_on(&stream, pair.ours, &turning, &turner);
    CHECK(co_stream_printf(&stream, "abc") == 3);
    CHECK(co_stream_flush(&stream) == 0);
    CHECK(hears(pair.plain, "\xe1\xe2\xe3"));
    say(pair.plain, "\xe1\xe2\xe3\xe4\x8a");
    CHECK(co_stream_read_line(&stream, 10, &line) == 5 && strcmp(line, "abcd") == 0);
    CHECK(turner.waits == 1);
    turner.pending = true;
    CHECK(co_stream_go_when(&stream, count_start, NULL) == 0);
    until(&count, 1);
    CHECK(co_stream_close(&stream) == 0);
    CHECK(hears(pair.plain, "F"));
    CHECK(turner.frees == 1 && turner.finishes == 1);
    CHECK(close(pair.plain) == 0);
    return 0;
}

Test(stream_write, everything_goes_through_the_transport)
{
    run_on(1, over_a_transport, NULL);
    run_on(3, over_a_transport, NULL);
}

/* A file that cannot be read any more after its first piece. */
static ssize_t close_behind(void *conn, const struct iovec *iov, int pieces)
{
    ssize_t sum = 0;

    for (int i = 0; i < pieces; i++)
        sum += (ssize_t)iov[i].iov_len;
    (void)close(((struct turner *)conn)->fd);
    return sum;
}

static const struct co_transport closing = {
    .recv = turn_recv, .sendv = close_behind, .finish = turn_finish, .free = turn_free};

static int fail_midway(void *arg)
{
    struct pair pair = make_pair();
    struct turner turner = {.fd = memfd_create("text", MFD_CLOEXEC)};
    struct co_stream stream;

    (void)arg;
    CHECK(ftruncate(turner.fd, 200000) == 0);
    co_stream_open_on(&stream, pair.ours, &closing, &turner);
    CHECK(co_stream_sendfile(&stream, turner.fd, 0, 200000) == -EBADF);
    CHECK(co_stream_write(&stream, "more", 4) == -EPIPE);
    CHECK(co_stream_flush(&stream) == -EPIPE);
    CHECK(co_stream_close(&stream) == -EPIPE && turner.finishes == 0);
    CHECK(close(pair.plain) == 0);
    return 0;
}

Test(stream_write, a_file_that_fails_midway_breaks_the_stream_over_a_transport_too)
{
    run_on(1, fail_midway, NULL);
}

static int send_a_file(void *arg)
{
    struct pair pair = make_pair();
    struct turner turner = {.fd = pair.ours};
    int file = memfd_create("text", MFD_CLOEXEC);
    struct co_stream stream;

    CHECK(write(file, "0123456789", 10) == 10);
    if (arg)
        co_stream_open_on(&stream, pair.ours, &turning, &turner);
    else
        co_stream_open(&stream, pair.ours);
    if (arg) {
        CHECK(co_stream_sendfile(&stream, file, 2, 4) == 4);
        CHECK(hears(pair.plain, "\xb2\xb3\xb4\xb5"));
    } else {
        CHECK(co_stream_write(&stream, "head ", 5) == 5);
        CHECK(co_stream_sendfile(&stream, file, 2, 100) == 8);
        CHECK(hears(pair.plain, "head 23456789"));
    }
    CHECK(co_stream_sendfile(&stream, file, 10, 4) == 0);
    CHECK(co_stream_sendfile(&stream, -1, 0, 4) == -EBADF);
    co_stream_drop(&stream);
    CHECK(close(file) == 0);
    CHECK(close(pair.plain) == 0);
    return 0;
}

Test(stream_write, a_file_goes_behind_what_is_buffered)
{
    run_on(1, send_a_file, NULL);
    run_on(1, send_a_file, (void *)(uintptr_t)&turning);
}
