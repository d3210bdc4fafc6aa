/* SPDX-License-Identifier: MIT */
/* GET /echo - says what the path is for. */
#include "handlers.h"

int echo_get(struct co_http_req *req, struct co_http_rsp *rsp, void *ctx)
{
    (void)req;
    (void)ctx;
    return co_http_text(rsp, 200, "POST a body here and it comes back.\n");
}
