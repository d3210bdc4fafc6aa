/* SPDX-License-Identifier: MIT */
/*
 * tests/stress/torture.h - what the parts of the torture of descriptors share. torture.c has the
 * rounds, torture_links.c connections and what may be seen on them, torture_server.c who accepts,
 * torture_deeds.c and torture_waits.c what the actors do.
 *
 * A link is a connection as both of its ends know it. It has an id that no other has; the client
 * says it first of all, and from then on each byte, in both directions, follows from id, direction
 * and place. Both ends say at the link what they are about to do to it, before they do it: so when
 * a call ends with an error or the end of the stream, there is somebody who has caused it, or a
 * promise is broken.
 */
#ifndef TESTS_STRESS_TORTURE_H
#define TESTS_STRESS_TORTURE_H

#include "stress/stress.h"
#include <co/base.h>

enum torture_end { CLIENT, SERVER };

struct torture_link {
    _Atomic uint64_t id;     /* 0: free */
    _Atomic uint64_t served; /* the id, when the server has read it */
    _Atomic int left[2];     /* that end has closed, shut down, hung up or been told to stop */
};

/* An end of a link, in the hands of one coroutine at a time. */
struct torture_half {
    struct torture_link *link;
    enum torture_end end;
    uint64_t id;
    int fd;
    uint64_t sent, received;
    _Atomic int hung; /* a friend hangs it up */
    uint32_t seed;
};

/* Everybody's counts. */
struct torture_counts {
    _Atomic uint64_t connections, bytes, hangups, timeouts, cancels, resets, ends, busy,
        handed_over, adopted, accepts_cut, waits, datagrams;
};

extern struct torture_counts torture_counts;
extern _Atomic int torture_ending; /* the round: listeners may go */

/* A free link of an actor's, with a new id. Returns: NULL if all are still in use at the server. */
struct torture_link *torture_link_take(int actor);
/* The client has done with it. */
void torture_link_give(struct torture_link *link);
/* For who has read an id. */
struct torture_link *torture_link_of(uint64_t id);

/*
 * Sends, or receives and checks. Returns: as co_send and co_recv, when that may have happened;
 * -EPROTO, after a failure was counted, when not.
 */
ssize_t torture_send(struct torture_half *half, size_t len);
ssize_t torture_recv(struct torture_half *half, size_t cap);

/* Says that this end goes, and then does it: close, reset. */
void torture_leave(struct torture_half *half);
void torture_close(struct torture_half *half);

/* Hangs a half up after a while, from a coroutine of the group. Returns: 0, or a negative errno. */
struct co_group;
int torture_befriend(struct co_group *group, struct torture_half *half);

/* Who accepts, on a TCP and on a unix socket. */
int torture_server_start(void);
void torture_server_stop(void);
const char *torture_address(uint32_t chance);

/* What an actor does. */
int torture_deed(int actor, uint32_t chance);
const char *torture_deed_name(uint32_t chance);
int torture_datagrams(int actor, uint32_t chance);
int torture_lend_many(int actor, uint32_t chance);

/*
 * Waits until somebody else waits for a descriptor to be readable, and asks again if he is told
 * -EBUSY. Before that it must not be closed: he would wait for a stranger's.
 */
void torture_until_inside(int fd);

#endif
