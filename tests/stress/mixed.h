/* SPDX-License-Identifier: MIT */
/*
 * tests/stress/mixed.h - what the parts of the mixed stress know of each other: mixed.c has the
 * rounds, mixed_deeds.c what the runtime is asked for beside its primitives, mixed_net.c sockets.
 */
#ifndef TESTS_STRESS_MIXED_H
#define TESTS_STRESS_MIXED_H

#include <co/base.h>
#include <co/park.h>
#include <stdatomic.h>

enum { MIXED_BOXES = 16 };

/* What all actors of a round share; made and lost things are counted, and have to agree. */
struct mixed {
    _Atomic(co_ticket) boxes[MIXED_BOXES]; /* who may be woken by anybody */
    _Atomic int64_t wakes_won, wakes_got;
    _Atomic int64_t spawned, landed;     /* coroutines in no group */
    _Atomic int64_t offloaded, detached; /* functions that ran on the pool */
    _Atomic int64_t asked, answered;     /* of those that were waited for */
    _Atomic int64_t dropped;             /* detached and accepted */
};

/* Deeds, as those of primitives.h. Each returns 0 or why it did not. */
int mixed_nap(struct mixed *mixed, uint32_t chance);
int mixed_wait_in_a_box(struct mixed *mixed, uint32_t chance);
int mixed_wake(struct mixed *mixed, uint32_t chance);
int mixed_start_some(struct mixed *mixed, uint32_t chance);
int mixed_offload(struct mixed *mixed, uint32_t chance);
int mixed_nest_groups(struct mixed *mixed, uint32_t chance);
int mixed_say_goodbye(struct mixed *mixed, uint32_t chance);
int mixed_compute(struct mixed *mixed, uint32_t chance);
int mixed_talk(struct mixed *mixed, uint32_t chance);

/* What plain threads do. */
void mixed_outside(struct mixed *mixed, uint32_t chance);

/* Whether everything that was started in the round has ended. */
bool mixed_quiet(struct mixed *mixed);
/* What has to agree once all is quiet. */
void mixed_check(struct mixed *mixed);

/* The echo servers, for all rounds. */
int mixed_net_start(void);
void mixed_net_stop(void);
/* Whether no connection is served. */
bool mixed_net_quiet(void);
/* Exchanges that were complete, connections that were made, and hang-ups. */
void mixed_net_report(char *text, size_t cap);

#endif
