/* SPDX-License-Identifier: MIT */
/*
 * rescue - a server one of whose two workers computes: how long do its sockets wait?
 *
 * Worker i stays on the i-th CPU. Each connection is sent one byte, '1' if its socket is in the
 * epoll of the worker that will be kept and '0' if not; then messages of 8 bytes are echoed. A
 * message of eight zero bytes begins the computing, by a coroutine that is pinned: MS milliseconds,
 * then a pause of GAP milliseconds (0: others get one turn), and so on until SIGTERM. Prints
 * "port", "hog" (the worker that is kept) and at the end where the messages were answered.
 *
 * peers/rescue.go is the same with goroutines; rescue_client.c drives both.
 *
 * usage: rescue on|off MS GAP      (on, off: stealing, and with it the rescue)
 */
#include <co/conf.h>
#include <co/net.h>
#include <co/stats.h>
#include <co/task.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORKERS = 2, MESSAGE = 8 };

static volatile uint32_t sink; /* so that the work is not left out */

static struct {
    int64_t compute, gap;
    int hog_worker;
    _Atomic int begun;
    _Atomic long answered[WORKERS];
} bench;

static _Noreturn void die(const char *what, int err)
{
    fprintf(stderr, "rescue: %s: %s\n", what, co_strerror(err));
    exit(1);
}

/* Real work; the clock is looked at every 10 us or so. */
static void compute(int64_t ns)
{
    int64_t end = co_now() + ns;
    uint32_t x = 1;

    while (co_now() < end) {
        for (int i = 0; i < 10000; i++)
            x = x * 1664525 + 1013904223;
        sink = x;
    }
}

static void hog(void *arg)
{
    (void)arg;
    while (!co_stopping()) {
        /* relaxed: only a signal to begin. */
        if (!atomic_load_explicit(&bench.begun, memory_order_relaxed)) {
            (void)co_sleep(CO_MS);
            continue;
        }
        compute(bench.compute);
        if (bench.gap > 0)
            (void)co_sleep(bench.gap);
        else
            (void)co_yield();
    }
}

static void serve(void *arg)
{
    static const char begin[MESSAGE];
    CO_FD(conn, (int)(intptr_t)arg);
    char message[MESSAGE];

    if (co_send(conn, co_fd_worker(conn) == bench.hog_worker ? "1" : "0", 1) < 0)
        return;
    while (co_recvn(conn, message, MESSAGE) == MESSAGE) {
        /* relaxed, both: a count, and a signal. */
        atomic_fetch_add_explicit(&bench.answered[co_worker()], 1, memory_order_relaxed);
        if (memcmp(message, begin, MESSAGE) == 0)
            atomic_store_explicit(&bench.begun, 1, memory_order_relaxed /* as above */);
        if (co_send(conn, message, MESSAGE) < 0)
            return;
    }
}

static int accept_all(void *arg)
{
    CO_FD(lfd, co_listen("127.0.0.1:0"));
    struct co_opts pinned = {.name = "hog", .pinned = 1};
    int r;

    (void)arg;
    if (lfd < 0)
        die("co_listen", lfd);
    bench.hog_worker = co_worker();
    r = co_go_with(&pinned, hog, NULL);
    if (r < 0)
        die("co_go_with", r);
    printf("port %d\nhog %d\n", co_local_port(lfd), bench.hog_worker);
    (void)fflush(stdout);
    for (;;) {
        int conn = co_accept(lfd);

        if (conn < 0)
            return 0;
        r = co_go(serve, (void *)(intptr_t)conn);
        if (r < 0)
            die("co_go", r);
    }
}

static long answered_by(int worker)
{
    /* relaxed: the runtime has ended. */
    return atomic_load_explicit(&bench.answered[worker], memory_order_relaxed);
}

int main(int argc, char **argv)
{
    struct co_conf conf;
    int r;

    if (argc != 4 || (strcmp(argv[1], "on") != 0 && strcmp(argv[1], "off") != 0)) {
        fprintf(stderr, "usage: rescue on|off MS GAP\n");
        return 2;
    }
    co_conf_init(&conf);
    conf.threads = WORKERS;
    conf.pin_threads = 1;
    conf.stealing = strcmp(argv[1], "on") == 0;
    conf.stall_report = 0;
    conf.grace = CO_SEC;
    bench.compute = strtol(argv[2], NULL, 10) * CO_MS;
    bench.gap = strtol(argv[3], NULL, 10) * CO_MS;
    r = co_run_with(&conf, accept_all, NULL);
    if (r < 0 && r != -ETIME)
        die("co_run_with", r);
    printf("kept %ld\nothers %ld\n", answered_by(bench.hog_worker),
           answered_by(1 - bench.hog_worker));
    return 0;
}
