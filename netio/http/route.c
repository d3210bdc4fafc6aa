/* SPDX-License-Identifier: MIT */
/* Compiles the table of routes and finds the one for a path. */
#include "route.h"
#include "octets.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Number of segments of a pattern; 0 if it is none. */
static int segments_of(const char *path)
{
    int n = 0;

    if (path == NULL || path[0] != '/')
        return 0;
    for (; *path != '\0'; path++)
        n += *path == '/';
    return n <= CO__SEGMENTS_MAX ? n : 0;
}

static int node_new(struct co__routes *t, const char *text, size_t len)
{
    t->nodes[t->node_count] = (struct co__node){
        .text = text, .len = len, .child = -1, .sibling = -1, .any = -1, .rest = -1, .route = -1};
    return t->node_count++;
}

/* The child of a node for a text, or -1. */
static int child_of(const struct co__routes *t, const struct co__node *node, const char *p,
                    size_t len)
{
    int i = node->child;

    while (i >= 0 && (t->nodes[i].len != len || memcmp(t->nodes[i].text, p, len) != 0))
        i = t->nodes[i].sibling;
    return i;
}

static bool name_ok(const char *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!co__is(p[i], CO__TCHAR) || p[i] == '.')
            return false;
    }
    return len > 0 && len <= 64;
}

/* Reads "{name}" or "{name...}" into the route's next parameter. Returns: 0; -EINVAL. */
static int param_add(struct co__route *route, const char *p, size_t len, int segment, bool last)
{
    struct co__param *param = &route->params[route->param_count];
    bool rest = len > 5 && memcmp(p + len - 4, "...}", 4) == 0;
    size_t n = len - (rest ? 5 : 2);

    if (len < 3 || p[len - 1] != '}' || !name_ok(p + 1, n) || (rest && !last) ||
        route->param_count == CO__PARAMS_MAX)
        return -EINVAL;
    for (int i = 0; i < route->param_count; i++) {
        if (route->params[i].len == n && memcmp(route->params[i].name, p + 1, n) == 0)
            return -EINVAL;
    }
    *param = (struct co__param){
        .name = p + 1, .len = (uint8_t)n, .segment = (uint8_t)segment, .rest = rest};
    route->param_count++;
    return 0;
}

/* The node behind `at` for a segment of the route's pattern, made if need be. Returns: -EINVAL
 * else. */
static int segment_add(struct co__routes *t, struct co__route *route, int at, const char *p,
                       size_t len, int segment)
{
    int *link;

    if (len > 0 && p[0] == '{') {
        int r = param_add(route, p, len, segment, p[len] == '\0');

        if (r < 0)
            return r;
        link = route->params[route->param_count - 1].rest ? &t->nodes[at].rest : &t->nodes[at].any;
        if (*link < 0)
            *link = node_new(t, NULL, 0);
        return *link;
    }
    for (size_t i = 0; i < len; i++) {
        if ((uint8_t)p[i] <= ' ' || strchr("{}?#%", p[i]) != NULL)
            return -EINVAL;
    }
    int child = child_of(t, &t->nodes[at], p, len);

    if (child < 0) {
        child = node_new(t, p, len);
        t->nodes[child].sibling = t->nodes[at].child;
        t->nodes[at].child = child;
    }
    return child;
}

/* The route of a node for a method, or -1. */
static int route_of(const struct co__routes *t, int node, int method)
{
    int i = t->nodes[node].route;

    while (i >= 0 && t->routes[i].method != method)
        i = t->routes[i].next;
    return i;
}

/* Mixes length, first and last octets: enough to tell a handful of paths apart. */
static uint32_t hash_of(const char *p, size_t len)
{
    uint64_t first = 0, last = 0;

    if (len >= 8) {
        memcpy(&first, p, 8);
        memcpy(&last, p + len - 8, 8);
    } else {
        for (size_t i = 0; i < len; i++)
            first = first << 8 | (uint8_t)p[i];
    }
    first = (first ^ (last << 23 | last >> 41) ^ len) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(first >> 32);
}

/* The entry for a path, or the free one where it belongs. */
static struct co__exact *exact_of(const struct co__routes *t, const char *p, size_t len)
{
    uint32_t hash = hash_of(p, len), i = hash;

    for (;; i++) {
        struct co__exact *e = &t->exacts[i & t->exact_mask];

        if (e->len == 0 || (e->hash == hash && e->len == len && memcmp(e->path, p, len) == 0))
            return e;
    }
}

/* Enters the node of a route that has no parameters. */
static void exact_add(struct co__routes *t, const struct co__route *route, int node)
{
    const char *path = route->pub->path;
    size_t len = strlen(path);
    struct co__exact *e;

    if (route->param_count > 0 || len > UINT16_MAX)
        return;
    e = exact_of(t, path, len);
    *e = (struct co__exact){hash_of(path, len), (uint16_t)len, node, path};
}

static int route_add(struct co__routes *t, const struct co_http_route *pub)
{
    struct co__route *route = &t->routes[t->route_count];
    const char *p = pub->path;
    int at = 0;

    *route = (struct co__route){.pub = pub, .method = co__method_number(pub->method)};
    if (route->method < 0 || pub->fn == NULL || pub->max_body < 0)
        return -EINVAL;
    for (int segment = 0; *p == '/'; segment++) {
        size_t len = strcspn(++p, "/");

        at = segment_add(t, route, at, p, len, segment);
        if (at < 0)
            return at;
        p += len;
    }
    if (route_of(t, at, route->method) >= 0)
        return -EEXIST;
    route->next = t->nodes[at].route;
    t->nodes[at].route = t->route_count++;
    t->methods |= (uint64_t)1 << route->method;
    exact_add(t, route, at);
    return 0;
}

int co__routes_init(struct co__routes *t, const struct co_http_route *table)
{
    size_t routes = 0, nodes = 1;

    *t = (struct co__routes){.get = co__method_number("GET"),
                             .head = co__method_number("HEAD"),
                             .options = co__method_number("OPTIONS")};
    for (; table[routes].method != NULL; routes++) {
        int n = segments_of(table[routes].path);

        if (n == 0)
            return -EINVAL;
        nodes += (size_t)n;
    }
    t->nodes = calloc(nodes, sizeof *t->nodes);
    t->routes = calloc(routes + 1, sizeof *t->routes);
    while (t->exact_mask < 2 * routes)
        t->exact_mask = 2 * t->exact_mask + 1;
    t->exacts = calloc((size_t)t->exact_mask + 1, sizeof *t->exacts);
    if (t->nodes == NULL || t->routes == NULL || t->exacts == NULL)
        return -ENOMEM;
    (void)node_new(t, NULL, 0);
    for (size_t i = 0; i < routes; i++) {
        int r = route_add(t, &table[i]);

        if (r < 0)
            return r;
    }
    return 0;
}

void co__routes_done(struct co__routes *t)
{
    free(t->nodes);
    free(t->routes);
    free(t->exacts);
    *t = (struct co__routes){0};
}

/* The route of a node for the method asked for; without one, notes the methods that are there. */
static struct co__route *node_match(const struct co__routes *t, int node, int method,
                                    uint64_t *methods)
{
    int i = route_of(t, node, method);

    if (i < 0 && method == t->head)
        i = route_of(t, node, t->get);
    if (i >= 0)
        return &t->routes[i];
    for (i = t->nodes[node].route; i >= 0; i = t->routes[i].next)
        *methods |= (uint64_t)1 << t->routes[i].method;
    return NULL;
}

struct co__route *co__routes_exact(const struct co__routes *t, const struct co__head *h)
{
    const struct co__exact *e = exact_of(t, h->base + h->path.off, h->path.len);
    uint64_t methods = 0;

    return e->len == 0 ? NULL : node_match(t, e->node, h->method, &methods);
}

struct co__route *co__routes_find(const struct co__routes *t, const struct co__head *h,
                                  uint64_t *ret_methods)
{
    /* The way from the root: nodes, and what to try next at each: 0 texts, 1 {name}, 2
     * {rest...}. */
    struct {
        int node, next;
    } way[CO__SEGMENTS_MAX + 2];
    int depth = 0;
    uint64_t methods = 0;
    struct co__route *route = NULL;

    way[0].node = 0;
    way[0].next = 0;
    while (depth >= 0 && route == NULL) {
        const struct co__node *node = &t->nodes[way[depth].node];
        const struct co__slice *segment = &h->segments[depth];
        int child = -1;

        if (depth == h->segment_count) {
            route = node_match(t, way[depth].node, h->method, &methods);
            depth--;
            continue;
        }
        switch (way[depth].next++) {
        case 0:
            child = child_of(t, node, h->base + segment->off, segment->len);
            break;
        case 1:
            child = segment->len > 0 ? node->any : -1;
            break;
        case 2:
            if (node->rest >= 0)
                route = node_match(t, node->rest, h->method, &methods);
            break;
        default:
            depth--;
            break;
        }
        if (child >= 0) {
            depth++;
            way[depth].node = child;
            way[depth].next = 0;
        }
    }
    *ret_methods = methods;
    return route;
}

void co__methods_print(const struct co__routes *t, uint64_t methods, char *buf, size_t cap)
{
    size_t len = 0;

    if (methods & (uint64_t)1 << t->get)
        methods |= (uint64_t)1 << t->head;
    methods |= (uint64_t)1 << t->options;
    for (int i = 0; i < 64; i++) {
        const char *name = methods & (uint64_t)1 << i ? co__method_name(i) : NULL;
        size_t n = name == NULL ? 0 : strlen(name);

        if (name == NULL || len + n + 3 > cap)
            continue;
        if (len > 0) {
            memcpy(buf + len, ", ", 2);
            len += 2;
        }
        memcpy(buf + len, name, n);
        len += n;
    }
    buf[len] = '\0';
}
