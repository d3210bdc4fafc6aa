/* SPDX-License-Identifier: MIT */
/*
 * vigil.h - a worker that sleeps beside a stuck one waits for both: on its own epoll and on the
 * stuck one's.
 *
 * The verdict (w->stuck) names the turn that has lasted too long, so it ends by itself when the
 * turn counter moves. While it holds, one sleeper is the victim's keeper: its sleep ends when the
 * victim's epoll has something or the victim's earliest timer is due. The keeper lays its office
 * down when it has served what woke it; a stuck worker without a keeper is what the lookout wakes
 * somebody for, each millisecond, so an office that nobody holds is never lost for longer.
 *
 * Waiting is poll(2) over the epolls, not one epoll inside the other: that would cost the kernel a
 * walk over all sockets of the victim (docs/decisions/0011). poll(2) is level-triggered. So if
 * something in the victim's epoll is for the victim alone (its wake-up, libuv), the keeper
 * leaves that epoll out for the rest of the turn and looks every quarter of a millisecond instead.
 */
#ifndef CO_RUNTIME_VIGIL_H
#define CO_RUNTIME_VIGIL_H

#include "poll.h"

/*
 * As co__poll_wait with the worker's own epoll, but ends also when a stuck worker has something
 * that is for others. The caller is the keeper of those until co__vigil_end, and serves them
 * before that. Threads: the owner of w, asleep by the idle set.
 */
int co__vigil_wait(struct co__worker *w, struct epoll_event *events, int64_t timeout);
void co__vigil_end(struct co__worker *w);

/* The epoll of this worker has something that only the worker itself takes out. Threads: any. */
void co__vigil_noisy(struct co__worker *victim);

/*
 * Whether somebody has to come to a stuck worker: it has no keeper, or something that its keeper
 * cannot see or does not come for. Threads: any.
 */
bool co__vigil_wanted(struct co__worker *victim, int64_t now);

#endif
