/* SPDX-License-Identifier: MIT */
/*
 * tests/stress/shutdown.h - the states in which shutdown.c stops a runtime; shutdown_states.c has
 * them.
 */
#ifndef TESTS_STRESS_SHUTDOWN_H
#define TESTS_STRESS_SHUTDOWN_H

#include <co/barrier.h>
#include <co/chan.h>
#include <co/cond.h>
#include <co/event.h>
#include <co/once.h>
#include <co/rwlock.h>
#include <co/sem.h>
#include <co/wait_group.h>
#include <stdatomic.h>

/* What the coroutines of one runtime wait for; nobody gives it. */
struct scene {
    struct co_mutex mutex; /* one holds it, asleep */
    struct co_cond cond;
    struct co_mutex of_cond;
    struct co_rwlock rwlock; /* as the mutex */
    struct co_sem sem;
    struct co_event event;
    struct co_wait_group group;
    struct co_once once;
    struct co_barrier barrier;
    struct co_chan *empty, *full;
    int peers[4]; /* sockets whose other ends are served by nobody */
    char text[32], crowded[32];
    _Atomic(const char *) address; /* of who accepts, once he does */
    int deaf;                      /* a socket that listens and takes nobody in */
    int64_t longest;               /* of the deadlines, CO_NEVER: there are none */
    int64_t most;                  /* coroutines at once, beyond which no more are started */
    _Atomic int64_t begun, ended;
};

/* Who is in which state. */
struct extra {
    struct scene *scene;
    uint32_t chance;
};

/* Everything there is to be waited for. Returns: 0 or a negative errno. */
int scene_open(struct scene *scene);
/* After the runtime's end. */
void scene_close(struct scene *scene);

/* Enters the state that `chance` says, and leaves it when it has to. Counts itself in and out. */
void play_extra(void *arg);

/* What plain threads share with the runtimes, at all times: they give, send and wake. */
extern struct co_sem outside_sem;
extern struct co_event outside_event;
extern struct co_chan *outside_chan;
extern _Atomic(co_ticket) outside_tickets[16];
extern _Atomic int64_t outside_begun, outside_ended;

/* One round of calls by a plain thread. */
void call_in(uint32_t chance);

#endif
