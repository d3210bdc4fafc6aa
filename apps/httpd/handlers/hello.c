/* SPDX-License-Identifier: MIT */
/* GET /hello/{name} - a parameter of the path. */
#include "handlers.h"

int hello(struct co_http_req *req, struct co_http_rsp *rsp, void *ctx)
{
    const char *name = co_http_param(req, "name");

    (void)ctx;
    if (name == NULL)
        return -ENOMEM;
    return co_http_printf(rsp, 200, "Hello, %s!\n", name);
}
