/* SPDX-License-Identifier: MIT */
/* poll.h - a worker's epoll: waiting on it, and handing out what it reports. */
#ifndef CO_RUNTIME_POLL_H
#define CO_RUNTIME_POLL_H

#include "worker.h"
#include <co/private/poll.h>
#include <sys/epoll.h>

/*
 * Events taken at once: so few that what they touch (slots, records of coroutines) is still in the
 * first-level cache when the coroutines run.
 */
enum { CO__POLL_BATCH = 64 };

int co__poll_start(struct co__worker *w);
void co__poll_stop(struct co__worker *w);

/*
 * Waits on the worker's own epoll at most `timeout` nanoseconds (0: only looks; CO_NEVER: no
 * limit).
 * Returns: the number of events.
 */
int co__poll_wait(struct co__worker *w, struct epoll_event *events, int64_t timeout);

/* Delivers events of the own epoll; the coroutines that become ready go to the worker's deque. */
void co__poll_dispatch(struct co__worker *w, const struct epoll_event *events, int count);

/* Looks at a stuck worker's epoll and delivers its sockets' events here. Returns: how many. */
int co__poll_rescue(struct co__worker *w, struct co__worker *victim);

#endif
