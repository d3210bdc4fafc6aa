/* SPDX-License-Identifier: MIT */
/* GET /sleep/{ms} - waits without holding a thread: thousands of these at once cost little. */
#include "handlers.h"

int sleep_ms(struct co_http_req *req, struct co_http_rsp *rsp, void *ctx)
{
    int ms;
    int r = parse_ms(co_http_param(req, "ms"), SLEEP_MS_MAX, &ms);

    (void)ctx;
    if (r < 0)
        return co_http_printf(rsp, 400, "/sleep/{ms} takes 0 to %d\n", SLEEP_MS_MAX);
    r = co_sleep(ms * CO_MS);
    if (r < 0)
        return r;
    return co_http_printf(rsp, 200, "slept %d ms\n", ms);
}
