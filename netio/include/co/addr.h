/* SPDX-License-Identifier: MIT */
/*
 * co/addr.h - addresses of sockets: read, printed, looked up.
 *
 * An address is a value: copy it, keep it, compare it with co_addr_equal. Its texts are
 *     192.0.2.1:80           IPv4
 *     [2001:db8::1]:80       IPv6; with a scope [fe80::1%eth0]:80 or [fe80::1%2]:80
 *     unix:/run/app.sock     a path
 *     unix:@app              an abstract name, which is no file
 *     unix:@                 none: bound to it, a socket gets an abstract name from the system
 * Where a host may be looked up, name:80 as well. A path that begins with @ is written unix:./@x.
 */
#ifndef CO_ADDR_H
#define CO_ADDR_H

#include <co/base.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An address as the system calls take it. */
struct co_addr {
    union {
        struct sockaddr any; /* any.sa_family says which of the others holds */
        struct sockaddr_in in4;
        struct sockaddr_in6 in6;
        struct sockaddr_un local;
    };
    socklen_t len; /* 0: no address */
};

/* Bytes that the text of any address fits in, and addresses that a name may have. */
enum { CO_ADDR_TEXT = 120, CO_ADDRS_MAX = 16 };

/*
 * Reads an address.
 * Returns: 0; -EINVAL for a text that is none, names of hosts included; -ENODEV if the scope is no
 *   interface of this machine. Suspends: never. Threads: any.
 */
CO_API CO_NODISCARD int co_addr_parse(const char *text, struct co_addr *ret_addr);

/*
 * Prints an address as co_addr_parse reads it: a scope as a number, bytes of a local name that
 * cannot be printed as '?', an address of another family, or none, as "unknown".
 * Returns: buf, which has CO_ADDR_TEXT bytes. Suspends: never. Threads: any.
 */
CO_API const char *co_addr_print(const struct co_addr *addr, char *buf);

/*
 * Whether two addresses are the same: family, address, port and scope, or the name.
 * Returns: that. Suspends: never. Threads: any.
 */
CO_API bool co_addr_equal(const struct co_addr *a, const struct co_addr *b);

/*
 * The port of an address.
 * Returns: 0 to 65535; -EAFNOSUPPORT for an address without ports. Suspends: never. Threads: any.
 */
CO_API int co_addr_port(const struct co_addr *addr);

/*
 * The addresses that a text stands for, in the order in which they should be tried: one for an
 * address, up to `max` for "name:port", whose name is looked up by getaddrinfo(3) off the workers.
 * A look-up that takes longer than the deadline is left behind, not waited for.
 * Returns: how many, at least 1; -EINVAL for what cannot be read, or max < 1; -ENODEV as
 *   co_addr_parse; -ENOENT for an unknown name; -EAGAIN if the name server could not tell now;
 *   -ENOMEM; -ETIMEDOUT; -ECANCELED; -EPERM outside a coroutine. Suspends: yes, for names.
 *   Threads: coroutines.
 */
CO_API CO_NODISCARD int co_resolve(const char *text, int max, struct co_addr *ret_addrs);

#ifdef __cplusplus
}
#endif
#endif
