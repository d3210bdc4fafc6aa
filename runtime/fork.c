/* SPDX-License-Identifier: MIT */
/*
 * fork.c - the handler that fork(2) runs in the child.
 *
 * It takes the runtime away: the thread is no worker any more, so whatever needs a coroutine fails;
 * the door for plain threads is closed, so that nothing starts, and a handler of ours does nothing;
 * the epolls and wake-up descriptors, which the child shares with its parent, are closed and
 * forgotten, so that nothing the child still does (closing a socket above all) can take anything
 * out of the parent's. Only async-signal-safe calls are made.
 */
#include "fork.h"

#include "outside.h"
#include "run.h"
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static bool forked; /* written by the only thread of a child */

static void in_child(void)
{
    if (!co__outside_shut())
        return; /* no runtime ran */
    forked = true;
    co__worker_set(NULL);
    for (int i = 0; i < co__rt.count; i++) {
        struct co__worker *w = &co__rt.workers[i];

        (void)close(w->epoll);
        (void)close(w->wake_fd);
        w->epoll = w->wake_fd = -1;
    }
    co__run_handlers_off();
}

static void prepare(void)
{
    (void)pthread_atfork(NULL, NULL, in_child);
}

void co__fork_prepare(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, prepare);
}

bool co__forked(void)
{
    return forked;
}

void co__fork_returned(void)
{
    static const char text[] = "corvid: a forked child returned from its coroutine; it may only "
                               "exec or _exit\n";
    ssize_t n = write(STDERR_FILENO, text, sizeof text - 1);

    (void)n;
    abort();
}
