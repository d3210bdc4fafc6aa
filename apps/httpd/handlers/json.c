/* SPDX-License-Identifier: MIT */
/* GET /json - a fixed object. */
#include "handlers.h"

int json(struct co_http_req *req, struct co_http_rsp *rsp, void *ctx)
{
    (void)req;
    (void)ctx;
    return co_http_json(rsp, 200, "{\"message\":\"Hello, World!\"}");
}
