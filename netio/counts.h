/* SPDX-License-Identifier: MIT */
/* counts.h - the system calls that netio counts: one for each that was made, whatever it said. */
#ifndef CO_NETIO_COUNTS_H
#define CO_NETIO_COUNTS_H

#include <co/private/stats.h>

/* Ids of statistics; set before main, in slot.c. */
struct co__net_counts {
    int recvs;   /* net_recvs: recv(2) and its like */
    int sends;   /* net_sends: send(2) and its like, sendfile(2) */
    int accepts; /* net_accepts: accept4(2) */
};
extern struct co__net_counts co__net_counts;

#endif
