/* SPDX-License-Identifier: MIT */
/* POST /echo - gives the body back, under the type it came with. */
#include "handlers.h"

int echo_post(struct co_http_req *req, struct co_http_rsp *rsp, void *ctx)
{
    const char *type = co_http_header(req, "Content-Type");
    const char *data;
    size_t len;
    int r = co_http_body(req, &data, &len);

    (void)ctx;
    if (r < 0)
        return r;
    return co_http_send(rsp, 200, type != NULL ? type : "application/octet-stream", data, len);
}
