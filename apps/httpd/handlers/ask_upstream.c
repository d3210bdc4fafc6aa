/* SPDX-License-Identifier: MIT */
/*
 * GET /upstream?text - sends the text as a line to the line server, through the pool, and shows
 * the answer.
 */
#include "handlers.h"
#include <string.h>

/* One line out, one line back: its length without the line feed, which becomes a NUL. */
static ssize_t exchange(struct co_pool *pool, const char *line, char *rsp, size_t cap)
{
    CO_DEADLINE(2 * CO_SEC);
    CO_LEASE(lease, pool);
    struct iovec out[] = {{.iov_base = (char *)(uintptr_t)line, .iov_len = strlen(line)},
                          {.iov_base = (char[]){'\n'}, .iov_len = 1}};
    size_t len = 0;
    ssize_t n;

    if (lease.err < 0)
        return lease.err;
    n = co_sendv(co_lease_fd(&lease), out, 2);
    if (n < 0)
        return n;
    while (len == 0 || rsp[len - 1] != '\n') {
        if (len == cap)
            return -EMSGSIZE;
        n = co_recv(co_lease_fd(&lease), rsp + len, cap - len);
        if (n <= 0)
            return n < 0 ? n : -ECONNRESET;
        len += (size_t)n;
    }
    co_lease_keep(&lease);
    rsp[len - 1] = '\0';
    return (ssize_t)len - 1;
}

int ask_upstream(struct co_http_req *req, struct co_http_rsp *rsp, void *ctx)
{
    struct app *app = ctx;
    const char *text = co_http_query(req);
    char answer[512];
    ssize_t n;

    if (strlen(text) >= sizeof answer) /* it comes back with a line feed */
        return co_http_printf(rsp, 414, "at most %zu bytes\n", sizeof answer - 1);
    n = exchange(app->upstream, text[0] != '\0' ? text : "ping", answer, sizeof answer);
    if (n == -ETIMEDOUT || n == -ECANCELED)
        return (int)n;
    if (n < 0)
        return co_http_printf(rsp, 502, "upstream: %s\n", co_strerror((int)n));
    return co_http_printf(rsp, 200, "upstream: %s\n", answer);
}
