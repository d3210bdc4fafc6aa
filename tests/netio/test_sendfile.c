/* SPDX-License-Identifier: MIT */
/* tests/netio/test_sendfile.c - files to sockets. */
#include "netio/world.h"
#include <co/foreign.h>
#include <sys/mman.h>

TestSuite(sendfile, .timeout = 30);

static _Atomic int count;

/* A file without a name whose byte at i tells i. */
static int make_file(size_t len)
{
    int file = memfd_create("bytes", MFD_CLOEXEC);
    unsigned char *bytes;

    CHECK(file >= 0 && ftruncate(file, (off_t)len) == 0);
    bytes = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK(bytes != MAP_FAILED);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (unsigned char)(i * 31 >> 3);
    CHECK(munmap(bytes, len) == 0);
    return file;
}

struct reader {
    int fd;
    size_t from;
    size_t len;
};

/* Reads with small steps, and compares. */
static void read_slowly(void *arg)
{
    const struct reader *reader = arg;
    unsigned char buf[5000];
    size_t done = 0;

    while (done < reader->len) {
        ssize_t n = co_recv(reader->fd, buf, sizeof buf);

        CHECK(n > 0);
        if (n <= 0)
            break;
        for (ssize_t i = 0; i < n; i++)
            CHECK(buf[i] == (unsigned char)((reader->from + done + (size_t)i) * 31 >> 3));
        done += (size_t)n;
        if (done % 7 == 0)
            (void)co_yield();
    }
    CHECK(done == reader->len);
    atomic_fetch_add(&count, 1);
}

enum { LARGE = 3000000 };

static int send_large(void *arg)
{
    int file = make_file(LARGE);
    struct reader reader = {.from = 1000, .len = LARGE - 1000};
    int fds[2];

    (void)arg;
    atomic_store(&count, 0);
    make_ours(fds);
    reader.fd = fds[1];
    start(read_slowly, &reader);
    CHECK(co_sendfile(fds[0], file, 1000, LARGE) == LARGE - 1000); /* the file ends before */
    until(&count, 1);
    CHECK(co_sendfile(fds[0], file, LARGE, 10) == 0);
    CHECK(co_sendfile(fds[0], file, 0, 0) == 0);
    CHECK(co_sendfile(fds[0], file, -1, 1) == -EINVAL);
    CHECK(co_sendfile(fds[0], -1, 0, 1) == -EBADF);
    CHECK(co_close(fds[0]) == 0 && co_close(fds[1]) == 0);
    CHECK(co_sendfile(fds[0], file, 0, 1) == -EBADF);
    CHECK(close(file) == 0);
    return 0;
}

Test(sendfile, every_byte_arrives_at_a_slow_reader)
{
    run_on(1, send_large, NULL);
    run_on(3, send_large, NULL);
}

static void hang_up(void *arg)
{
    let_wait();
    CHECK(co_hangup(*(int *)arg) == 0);
}

static int nobody_reads(void *arg)
{
    int file = make_file(LARGE);
    struct pair pair = make_pair();

    (void)arg;
    CHECK(setsockopt(pair.ours, SOL_SOCKET, SO_SNDBUF, &(int){65536}, sizeof(int)) == 0);
    {
        CO_DEADLINE(0);
        CHECK(co_sendfile(pair.ours, file, 0, 10) == -ETIMEDOUT);
    }
    CHECK(co_send(pair.ours, "x", 1) == 1); /* nothing had been sent, so nothing is broken */
    do {                                    /* fills whatever room the kernel has */
        CO_DEADLINE(20 * CO_MS);
        (void)!co_sendfile(pair.ours, file, 0, LARGE);
    } while (!is_broken(pair.ours));
    CHECK(co_sendfile(pair.ours, file, 0, 1) == -EPIPE);
    CHECK(co_send(pair.ours, "x", 1) == -EPIPE);
    close_pair(&pair);
    pair = make_pair();
    start(hang_up, &pair.ours);
    for (ssize_t n = 0; n >= 0;) {
        n = co_sendfile(pair.ours, file, 0, LARGE);
        CHECK(n > 0 || n == -ECANCELED);
    }
    close_pair(&pair);
    CHECK(close(file) == 0);
    return 0;
}

Test(sendfile, a_deadline_and_a_hang_up_end_it_and_break_the_stream)
{
    run_on(1, nobody_reads, NULL);
    run_on(3, nobody_reads, NULL);
}

static int peer_is_gone(void *arg)
{
    int file = make_file(LARGE);
    struct pair pair = make_pair();
    ssize_t n = 0;

    (void)arg;
    reset_peer(pair.plain);
    pair.plain = -1;
    for (int i = 0; i < 3 && n >= 0; i++)
        n = co_sendfile(pair.ours, file, 0, LARGE);
    CHECK(n == -EPIPE || n == -ECONNRESET);
    close_pair(&pair);
    CHECK(close(file) == 0);
    return 0;
}

Test(sendfile, a_peer_that_is_gone_is_an_error_and_no_signal)
{
    run_on(1, peer_is_gone, NULL);
}

/* A file on a disk, whose pages the kernel is asked to forget. */
static int send_cold(void *arg)
{
    char path[] = "sendfile-XXXXXX";
    int file = mkstemp(path);
    struct reader reader = {.len = 300000};
    unsigned char *bytes = malloc(reader.len);
    int fds[2];

    (void)arg;
    atomic_store(&count, 0);
    CHECK(file >= 0 && unlink(path) == 0);
    for (size_t i = 0; i < reader.len; i++)
        bytes[i] = (unsigned char)(i * 31 >> 3);
    CHECK(write(file, bytes, reader.len) == (ssize_t)reader.len);
    free(bytes);
    CHECK(fsync(file) == 0);
    CHECK(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) == 0);
    make_ours(fds);
    reader.fd = fds[1];
    start(read_slowly, &reader);
    CHECK(co_sendfile(fds[0], file, 0, reader.len) == (ssize_t)reader.len);
    until(&count, 1);
    CHECK(co_close(fds[0]) == 0 && co_close(fds[1]) == 0);
    CHECK(close(file) == 0);
    return 0;
}

Test(sendfile, a_file_that_is_not_in_memory_is_read_first)
{
    run_on(2, send_cold, NULL);
}

/* A socket of another library's, which blocks. */
static int to_a_blocking_one(void *arg)
{
    int file = make_file(LARGE);
    struct reader reader = {.len = LARGE};
    int fds[2], pipes[2];

    (void)arg;
    atomic_store(&count, 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    CHECK(co_adopt(fds[0]) == 0 && co_adopt(fds[1]) == 0);
    reader.fd = fds[1];
    start(read_slowly, &reader);
    CHECK(co_sendfile(fds[0], file, 0, LARGE + 1) == LARGE);
    until(&count, 1);
    do { /* nobody reads */
        CO_DEADLINE(20 * CO_MS);
        CHECK(co_sendfile(fds[0], file, 0, LARGE) == -ETIMEDOUT);
    } while (!is_broken(fds[0]));
    CHECK(co_close(fds[0]) == 0 && co_close(fds[1]) == 0);
    CHECK(pipe2(pipes, O_CLOEXEC) == 0 && co_adopt(pipes[1]) == 0);
    CHECK(co_sendfile(pipes[1], file, 0, LARGE) == -ENOTSOCK);
    CHECK(co_close(pipes[1]) == 0 && close(pipes[0]) == 0 && close(file) == 0);
    return 0;
}

Test(sendfile, a_blocking_socket_does_not_block_the_worker)
{
    run_on(1, to_a_blocking_one, NULL);
    run_on(2, to_a_blocking_one, NULL);
}
