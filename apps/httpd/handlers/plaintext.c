/* SPDX-License-Identifier: MIT */
/* GET /plaintext - the shortest handler: what benchmarks ask for. */
#include "handlers.h"

int plaintext(struct co_http_req *req, struct co_http_rsp *rsp, void *ctx)
{
    (void)req;
    (void)ctx;
    return co_http_text(rsp, 200, "Hello, World!");
}
