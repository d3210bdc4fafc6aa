/* SPDX-License-Identifier: MIT */
/*
 * apps/httpd/handlers/handlers.h - one function per file beside this one; routes.c says for which
 * path.
 */
#ifndef HTTPD_HANDLERS_H
#define HTTPD_HANDLERS_H

#include <co/co.h>
#include <co/http.h>

/* What handlers get as ctx. */
struct app {
    struct co_pool *upstream; /* connections to the line server */
};

co_http_fn show_index;
co_http_fn plaintext;
co_http_fn json;
co_http_fn hello;
co_http_fn echo_get;
co_http_fn echo_post;
co_http_fn sleep_ms;
co_http_fn spin_ms;
co_http_fn ask_upstream;
co_http_fn show_stats;

/* The most that /sleep and /spin take. */
#define SLEEP_MS_MAX 10000
#define SPIN_MS_MAX  2000

/* Reads a whole number from 0 to max of digits alone: -EINVAL for anything else. */
int parse_ms(const char *text, int max, int *ret_ms);

#endif
