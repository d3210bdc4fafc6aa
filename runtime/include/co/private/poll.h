/* SPDX-License-Identifier: MIT */
/* co/private/poll.h - how netio puts descriptors into a worker's epoll. Not installed. */
#ifndef CO_PRIVATE_POLL_H
#define CO_PRIVATE_POLL_H

#include <co/base.h>

/*
 * Takes an event: `data` as given to co__poll_add, `events` of epoll(7). Runs on some worker's
 * stack, and may run on two at once for different descriptors, never twice for one edge.
 */
typedef void co__deliver_fn(uint64_t data, uint32_t events);

/* Who takes events; set once, before the first co__poll_add. */
void co__poll_deliver_to(co__deliver_fn *deliver);

/*
 * Begins to fetch into the cache what the delivery of an event will need. Of many events each is
 * asked for step 0 first, then each for step 1, which may look at what step 0 has fetched.
 */
typedef void co__foresee_fn(uint64_t data, int step);

/* Who foresees; set once, before the first co__poll_add; nobody, if it is not. */
void co__poll_foresee_by(co__foresee_fn *foresee);

/*
 * Registers fd with the epoll of a worker, edge-triggered. `data` is any value below 2^63.
 * Returns: 0 or a negative errno of epoll_ctl(2). Threads: any.
 */
int co__poll_add(int worker, int fd, uint32_t events, uint64_t data);

/*
 * Changes what a registered descriptor is watched for; what holds already is reported anew.
 * Returns: as co__poll_add.
 */
int co__poll_mod(int worker, int fd, uint32_t events, uint64_t data);

/*
 * Also of a descriptor that an earlier runtime has left.
 * Returns: as co__poll_add; 0 if no runtime runs. Threads: any.
 */
int co__poll_del(int worker, int fd);

/*
 * How co_go_fd closes a descriptor that it could not pass on: netio's co_close, once netio has made
 * one. Until then, and where co_close says -EBADF, it is a stranger's and is closed by close(2).
 */
void co__fd_close_by(int (*close_fd)(int fd));
void co__fd_close(int fd);

/*
 * Has fn run on a worker when the runtime begins to drain, once; hooks are for life, so register
 * each once.
 * Returns: 0, -ENOSPC.
 */
int co__on_drain(void (*fn)(void));

/* The same, when a runtime is over and its threads are no more: to give back what was kept. */
int co__on_end(void (*fn)(void));

#endif
