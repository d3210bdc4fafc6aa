/* SPDX-License-Identifier: MIT */
/* listener.h - listeners in the table, and what those that share an address have beside it. */
#ifndef CO_NETIO_LISTENER_H
#define CO_NETIO_LISTENER_H

#include "slot.h"
#include <co/listen.h>

/*
 * Of a listener that was opened with per_worker: there may be one for each worker, over which the
 * kernel spreads connections. All but `opts` is for who accepts alone.
 */
struct co__siblings {
    struct co_listen_opts opts; /* how to open another */
    int cpu;      /* it asks for connections that come in there; -1: for none in particular */
    int patience; /* accepts until its worker's share is looked at again */
    bool greedy;  /* its worker had more */
};

/*
 * co__slot_open for a listener of ours; opts: if there may be one for each worker, else NULL.
 * Returns: as co__slot_open.
 */
int co__listener_open(int fd, int worker, const struct co_listen_opts *opts);

/*
 * Another listener like that of `slot`, which has siblings, on the loop of `worker`. Returns: a
 * descriptor, or a negative errno.
 */
int co__listener_again(const struct co__slot *slot, int worker);

#endif
