/* SPDX-License-Identifier: MIT */
/* co/connect.h - connecting with options, and to addresses that are known. */
#ifndef CO_CONNECT_H
#define CO_CONNECT_H

#include <co/addr.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How to connect; zero means the default in every field. */
struct co_connect_opts {
    const struct co_addr *from; /* the local address; addresses of other families are left out */
    int64_t attempt_delay; /* how long one address is waited for alone; 0: 250 ms, at least 10 */
    int fast_open;         /* 1: TCP fast open. The first address is taken for connected at once,
                                 * and what is wrong with it shows when something is sent */
    int recv_buffer;       /* sizes, as for co_set_buffers */
    int send_buffer;
};

/*
 * co_connect with options; NULL means the defaults.
 * Returns: as co_connect; -EINVAL for a negative number; -EAFNOSUPPORT if no address is of the
 *   family of `from`. Suspends, Threads, Owns: as co_connect.
 */
CO_API CO_NODISCARD int co_connect_with(const struct co_connect_opts *opts, const char *address);

/*
 * Connects to the first that answers of up to CO_ADDRS_MAX addresses, which are tried as co_connect
 * says: families by turns, else in their order.
 * Returns: as co_connect_with; -EINVAL for more addresses, or none. Suspends, Threads, Owns: as
 *   co_connect.
 */
CO_API CO_NODISCARD int co_connect_to(const struct co_connect_opts *opts,
                                      const struct co_addr *addrs, int count);

#ifdef __cplusplus
}
#endif
#endif
