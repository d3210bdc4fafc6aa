/* SPDX-License-Identifier: MIT */
/*
 * Routes: a table of patterns compiled into a trie of segments. A text goes before {name}, {name}
 * before {rest...}; a route of another method further down the order still counts. Matching visits
 * each node at most once and does not recurse.
 */
#ifndef CO__ROUTE_H
#define CO__ROUTE_H

#include "head.h"
#include <co/http.h>
#include <stdatomic.h>

#define CO__PARAMS_MAX 8

struct co__param {
    const char *name;
    uint8_t len;
    uint8_t segment; /* which one stands for it */
    bool rest;       /* and all behind */
};

struct co__route {
    const struct co_http_route *pub;
    int method;
    int next; /* route of the same node, or -1 */
    uint8_t param_count;
    struct co__param params[CO__PARAMS_MAX];
    /* How often in a row the handler was quick while answers waited, up to a bound: below that,
     * they are sent before it is called. */
    atomic_int quick;
};

struct co__node {
    const char *text; /* of the segment; NULL for a parameter */
    size_t len;
    int child, sibling; /* texts */
    int any, rest;      /* {name}, {rest...} */
    int route;          /* first of the routes that end here, or -1 */
};

/* Where a path without parameters ends: what most requests ask for is found without the trie. */
struct co__exact {
    uint32_t hash;
    uint16_t len; /* 0: free */
    int node;
    const char *path;
};

struct co__routes {
    struct co__node *nodes;
    struct co__route *routes;
    struct co__exact *exacts; /* a power of two of them, at least half of them free */
    uint32_t exact_mask;
    int node_count, route_count;
    uint64_t methods; /* of all routes, by llhttp's numbers */
    int get, head, options;
};

/*
 * Compiles a table, which must outlive the result.
 * Returns: 0; -EINVAL for a method or pattern that cannot be read; -EEXIST; -ENOMEM. Owns: the
 *   caller calls co__routes_done, whatever came out.
 */
int co__routes_init(struct co__routes *t, const struct co_http_route *table);
void co__routes_done(struct co__routes *t);

/*
 * Finds the route for a path without parameters, before the path is split; it has nothing to
 * decode.
 * Returns: the route; NULL if co__routes_find has to look.
 */
struct co__route *co__routes_exact(const struct co__routes *t, const struct co__head *h);

/*
 * Finds the route for a head whose path has been split. HEAD falls back to GET.
 * Returns: the route; NULL if there is none, with the methods that the path has in *ret_methods (0:
 *   it is unknown).
 */
struct co__route *co__routes_find(const struct co__routes *t, const struct co__head *h,
                                  uint64_t *ret_methods);

/* Writes the names of methods, and of those that come with them, with commas between: for Allow. */
void co__methods_print(const struct co__routes *t, uint64_t methods, char *buf, size_t cap);

#endif
