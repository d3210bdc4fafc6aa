/* SPDX-License-Identifier: MIT */
/*
 * apps/httpd/routes.c - which handler answers what. A new handler: its file, its prototype, a line
 * here.
 */
#include "routes.h"
#include "handlers/handlers.h"

const struct co_http_route routes[] = {
    {.method = "GET", .path = "/", .fn = show_index},
    {.method = "GET", .path = "/plaintext", .fn = plaintext},
    {.method = "GET", .path = "/json", .fn = json},
    {.method = "GET", .path = "/hello/{name}", .fn = hello},
    {.method = "GET", .path = "/echo", .fn = echo_get},
    {.method = "POST", .path = "/echo", .fn = echo_post},
    {.method = "GET", .path = "/sleep/{ms}", .fn = sleep_ms},
    {.method = "GET", .path = "/spin/{ms}", .fn = spin_ms},
    {.method = "GET", .path = "/upstream", .fn = ask_upstream},
    {.method = "GET", .path = "/stats", .fn = show_stats},
    {0},
};
