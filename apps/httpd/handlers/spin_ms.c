/* SPDX-License-Identifier: MIT */
/*
 * GET /spin/{ms} - computes without a pause, as a handler should not (co_offload is for that).
 * While it does, the other workers steal what waits behind it: ask for /plaintext meanwhile, and
 * look at /stats.
 */
#include "handlers.h"

int spin_ms(struct co_http_req *req, struct co_http_rsp *rsp, void *ctx)
{
    int64_t began = co_now();
    int ms;
    int r = parse_ms(co_http_param(req, "ms"), SPIN_MS_MAX, &ms);

    (void)ctx;
    if (r < 0)
        return co_http_printf(rsp, 400, "/spin/{ms} takes 0 to %d\n", SPIN_MS_MAX);
    while (co_now() - began < ms * CO_MS)
        continue;
    return co_http_printf(rsp, 200, "computed %d ms on worker %d\n", ms, co_worker());
}
