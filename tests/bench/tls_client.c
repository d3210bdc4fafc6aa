/* SPDX-License-Identifier: MIT */
/*
 * tests/bench/tls_client.c - what `tools/bench tls` drives every server with.
 *
 * usage: tls_client PORT full|resumed|bulk|idle CONNECTIONS SECONDS BYTES
 *
 *   full     connects, shakes hands in full, asks for BYTES, closes; again and again
 *   resumed  the same with the sessions of before
 *   bulk     stays connected and asks for BYTES again and again
 *   idle     asks once on each connection, prints "ready 1", and closes when its input ends
 *
 * Else it prints lines of a name and a value: what was done, in how long, the cipher suite, the
 * version.
 */
#include <co/co.h>
#include <co/offload.h>
#include <co/tls.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    char address[32];
    char request[64];
    bool resumed, bulk, idle;
    int connections;
    long long bytes;
    int64_t end;
    struct co_tls_client *client;
} job;

static _Atomic long long done, resumptions, failures;
static _Atomic int running;
static struct co_tls_info seen;
static atomic_flag noted = ATOMIC_FLAG_INIT;

/* Asks for the bytes and reads them. Returns: whether they came. */
static bool ask(struct co_stream *stream)
{
    const void *view;
    long long left = job.bytes;

    if (co_stream_write(stream, job.request, strlen(job.request)) < 0 ||
        co_stream_flush(stream) < 0 ||
        co_stream_read_until(stream, "\r\n\r\n", 4, 4096, &view) <= 0)
        return false;
    while (left > 0) {
        char buf[16384];
        ssize_t n =
            co_stream_read(stream, buf, left < (long long)sizeof buf ? (size_t)left : sizeof buf);

        if (n <= 0)
            return false;
        left -= n;
    }
    return true;
}

static bool shake(struct co_stream *stream)
{
    /* Without a name no session is kept: every handshake is a full one. */
    int fd = co_connect(job.address);
    int r = fd < 0 ? fd
                   : co_tls_connect(job.client, fd, job.resumed ? "localhost" : NULL, stream, NULL);
    struct co_tls_info info;

    if (r < 0) {
        if (fd >= 0)
            (void)co_close(fd);
        return false;
    }
    (void)co_tls_describe(stream, &info);
    if (info.resumed)
        (void)atomic_fetch_add(&resumptions, 1);
    if (!atomic_flag_test_and_set(&noted))
        seen = (struct co_tls_info){.version = info.version, .cipher = info.cipher};
    return true;
}

static void visit(void *arg)
{
    (void)arg;
    while (co_now() < job.end) {
        struct co_stream stream;
        bool good = shake(&stream);

        if (good) {
            do {
                good = ask(&stream);
                if (good)
                    (void)atomic_fetch_add(&done, 1);
            } while (good && job.bulk && co_now() < job.end);
            (void)co_stream_close(&stream);
        }
        if (!good)
            (void)atomic_fetch_add(&failures, 1);
    }
    (void)atomic_fetch_sub(&running, 1);
}

/* ---- idle ---- */

static void visit_once(void *arg)
{
    struct co_stream *stream = arg;

    if (!shake(stream) || !ask(stream))
        (void)atomic_fetch_add(&failures, 1);
    (void)atomic_fetch_sub(&running, 1);
}

/* A few shake hands at once, so that nobody waits for long. */
static int open_all(struct co_stream *streams)
{
    for (int i = 0; i < job.connections; i++) {
        int r;

        (void)atomic_fetch_add(&running, 1);
        r = co_go(visit_once, &streams[i]);
        while (r == 0 && atomic_load(&running) > (i + 1 < job.connections ? 8 : 0))
            r = co_sleep(CO_MS / 10);
        if (r < 0)
            return r;
    }
    return 0;
}

static int wait_for_end(void *arg)
{
    (void)arg;
    printf("ready 1\n");
    (void)fflush(stdout);
    while (getchar() != EOF)
        continue;
    return 0;
}

/* Nothing is said at the end: the process takes all with it. */
static int stay_idle(void)
{
    struct co_stream *streams = calloc((size_t)job.connections, sizeof *streams);
    int r = streams ? open_all(streams) : -ENOMEM;

    if (r == 0 && atomic_load(&failures) > 0)
        r = -ECONNRESET;
    if (r == 0)
        r = co_offload(wait_for_end, NULL, NULL);
    if (r < 0)
        fprintf(stderr, "idle: %s\n", co_strerror(r));
    _exit(r < 0);
}

static int drive(void *arg)
{
    struct co_tls_client_conf conf = {.trust_anybody = 1};
    int64_t begin;
    int r = co_tls_client_new(&conf, &job.client, NULL);

    if (r < 0)
        return r;
    if (job.idle)
        return stay_idle();
    begin = co_now();
    job.end = begin + *(int *)arg * CO_SEC;
    atomic_store(&running, job.connections);
    for (int i = 0; i < job.connections; i++) {
        r = co_go(visit, NULL);
        if (r < 0)
            return r;
    }
    while (atomic_load(&running) > 0) {
        r = co_sleep(CO_MS);
        if (r < 0)
            return r;
    }
    printf("done %lld\nresumed %lld\nfailures %lld\nseconds %.6f\nversion %x\ncipher %s\n",
           atomic_load(&done), atomic_load(&resumptions), atomic_load(&failures),
           (double)(co_now() - begin) / 1e9, (unsigned)seen.version,
           seen.cipher ? seen.cipher : "none");
    co_tls_client_free(job.client);
    return 0;
}

int main(int argc, char **argv)
{
    struct co_conf conf;
    int seconds;

    if (argc != 6) {
        fprintf(stderr, "usage: tls_client PORT full|resumed|bulk|idle CONNECTIONS SECONDS "
                        "BYTES\n");
        return 2;
    }
    (void)snprintf(job.address, sizeof job.address, "127.0.0.1:%s", argv[1]);
    job.resumed = strcmp(argv[2], "resumed") == 0;
    job.bulk = strcmp(argv[2], "bulk") == 0;
    job.idle = strcmp(argv[2], "idle") == 0;
    job.connections = atoi(argv[3]);
    seconds = atoi(argv[4]);
    job.bytes = atoll(argv[5]);
    (void)snprintf(job.request, sizeof job.request, "GET /%lld HTTP/1.1\r\nHost: localhost\r\n\r\n",
                   job.bytes);
    co_conf_init(&conf);
    conf.threads = 1;
    return co_run_with(&conf, drive, &seconds) < 0;
}
