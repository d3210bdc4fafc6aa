/* SPDX-License-Identifier: MIT */
/* GET /stats - the counters of each worker, of other threads and of the pool, as JSON. */
#include "handlers.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* The counters of one worker, or with -1 those of none, as an object. */
static void print_worker(FILE *out, int worker)
{
    int count = co_stat_count();

    fprintf(out, "{\"worker\": %d", worker);
    for (int id = 0; id < count; id++)
        fprintf(out, ", \"%s\": %" PRId64, co_stat_name(id), co_stat_value(id, worker));
    fprintf(out, "}");
}

static void print_pool(FILE *out, const struct co_pool *pool)
{
    struct co_pool_counts s;

    co_pool_stats(pool, &s);
    fprintf(out, "\n    {\"name\": \"%s\", \"open\": %u, \"idle\": %u, \"waiting\": %u,",
            co_pool_name(pool), s.open, s.idle, s.waiting);
    fprintf(out,
            " \"leases\": %" PRIu64 ", \"reused\": %" PRIu64 ", \"borrowed\": %" PRIu64
            ", \"opened\": %" PRIu64 ", \"failed\": %" PRIu64 ",",
            s.leases, s.reused, s.borrowed, s.opened, s.failed);
    fprintf(out,
            " \"waited\": %" PRIu64 ", \"timed_out\": %" PRIu64 ", \"discarded\": %" PRIu64
            ", \"unhealthy\": %" PRIu64 ", \"expired\": %" PRIu64 "}",
            s.waited, s.timed_out, s.discarded, s.unhealthy, s.expired);
}

int show_stats(struct co_http_req *req, struct co_http_rsp *rsp, void *ctx)
{
    struct app *app = ctx;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    int r;

    (void)req;
    if (out == NULL)
        return -ENOMEM;
    fprintf(out, "{\n  \"workers\": [");
    for (int worker = 0; worker < co_workers(); worker++) {
        fprintf(out, "%s\n    ", worker > 0 ? "," : "");
        print_worker(out, worker);
    }
    fprintf(out, "\n  ],\n  \"others\": ");
    print_worker(out, -1);
    fprintf(out, ",\n  \"pools\": [");
    print_pool(out, app->upstream);
    fprintf(out, "\n  ]\n}\n");
    r = fclose(out) == 0 ? co_http_send(rsp, 200, "application/json", text, len) : -ENOMEM;
    free(text);
    return r;
}
