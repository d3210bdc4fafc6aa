/* SPDX-License-Identifier: MIT */
/*
 * tests/errno/probe.c - a coroutine that changes threads between each two calls and looks at errno
 * after each. run.sh compiles it in many ways; with CONTROL it uses glibc's own errno, to show that
 * the probe would notice.
 *
 * Two others are pinned, one to each worker, and make it ready there. Prints "MOVES moves, WRONG
 * wrong"; exit status 0 if nothing was wrong, 1 if something was, 2 if it did not move.
 */
#include "helper.h"
#include <co/conf.h>
#include <co/park.h>
#include <co/task.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
#ifdef CONTROL
#undef errno
#define errno (*__errno_location())
#endif

enum { ROUNDS = 500 };

static struct {
    _Atomic co_ticket porter;  /* who makes ready on this worker, while he waits */
    _Atomic co_ticket visitor; /* whom he shall make ready there */
    _Atomic bool taken;        /* there is one */
} side[2];
static _Atomic bool over;
static int moves, wrong;

static int wait_for_visitor(co_ticket self, void *arg)
{
    atomic_store(&side[*(int *)arg].porter, self);
    return 0;
}

static _Atomic int porters;

/* Started pinned, from a plain thread: on whichever worker that is. One per worker is enough. */
static void porter(void *arg)
{
    int here = co_worker();

    (void)arg;
    if (atomic_exchange(&side[here].taken, true))
        return;
    atomic_fetch_add(&porters, 1);
    while (!atomic_load(&over)) {
        co_ticket visitor;

        if (co_park(wait_for_visitor, &here, 0) < 0)
            abort();
        visitor = atomic_exchange(&side[here].visitor, 0);
        if (visitor)
            (void)co_unpark(visitor, 0);
    }
}

static void *start_porters(void *arg)
{
    (void)arg;
    while (atomic_load(&porters) < 2) {
        if (co_go_with(&(struct co_opts){.pinned = 1}, porter, NULL) < 0)
            abort();
        (void)usleep(1000);
    }
    return NULL;
}

static int call_porter(co_ticket self, void *arg)
{
    int there = *(int *)arg;
    co_ticket ticket = atomic_exchange(&side[there].porter, 0);

    if (!ticket)
        return 1; /* he is on his way back to sleep: try again */
    atomic_store(&side[there].visitor, self);
    (void)co_unpark(ticket, 0);
    return 0;
}

static void hop(int there)
{
    long before = syscall(SYS_gettid);

    /* Not there yet: the porter was on his way back to sleep, or so fast that the worker that the
     * sleeper was leaving had to make it ready. */
    do {
        int r = co_park(call_porter, &there, 0);

        if (r < 0)
            abort();
        if (r == 1)
            (void)co_yield();
    } while (co_worker() != there);
    moves += syscall(SYS_gettid) != before;
}

static void expect(int got, int wanted)
{
    wrong += got != wanted;
}

static int probe(void *arg)
{
    pthread_t starter;
    char *end;

    (void)arg;
    if (pthread_create(&starter, NULL, start_porters, NULL) != 0)
        return 1;
    while (atomic_load(&porters) < 2)
        (void)co_sleep(CO_MS);
    (void)pthread_join(starter, NULL);
    for (int i = 0; i < ROUNDS; i++) {
        (void)close(-1);
        expect(errno, EBADF);
        hop(i % 2);
        (void)open("/nonexistent/file", O_RDONLY | O_CLOEXEC);
        expect(errno, ENOENT);
        hop((i + 1) % 2);
        errno = 0;
        (void)strtol("999999999999999999999999", &end, 10);
        expect(errno, ERANGE);
        hop(i % 2);
        (void)dup2(0, -1);
        expect(last_error(), EBADF);
        hop((i + 1) % 2);
        no_error();
        (void)chdir("/dev/null");
        expect(last_error(), ENOTDIR);
        hop(i % 2);
        expect(lseek(-1, 0, SEEK_SET) < 0 ? errno : 0, EBADF);
    }
    atomic_store(&over, true);
    for (int i = 0; i < 2; i++) {
        co_ticket ticket;

        while ((ticket = atomic_exchange(&side[i].porter, 0)) == 0)
            (void)co_yield();
        (void)co_unpark(ticket, 0);
    }
    return 0;
}

int main(void)
{
    struct co_conf conf;

    (void)alarm(30);
    co_conf_init(&conf);
    conf.threads = 2;
    conf.stall_report = 0;
    if (co_run_with(&conf, probe, NULL) != 0)
        return 3;
    printf("%d moves, %d wrong\n", moves, wrong);
    return moves < 5 * ROUNDS - 1 ? 2 : wrong > 0;
}
