/* SPDX-License-Identifier: MIT */
/* GET / - a page that explains the demo. */
#include "handlers.h"

static const char page[] =
    "<!doctype html>\n"
    "<html lang=\"en\">\n"
    "<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n"
    "<title>Corvid</title>\n"
    "<style>body{font:1rem/1.5 sans-serif;max-width:42em;margin:2em auto;padding:0 1em}"
    "code{background:#eee}td{padding:.2em 1em .2em 0;vertical-align:top}</style>\n"
    "<h1>Corvid</h1>\n"
    "<p>This page was answered by a coroutine. It runs on one of several worker threads; each has\n"
    "its own event loop, and an idle worker steals coroutines from a busy one.\n"
    "<table>\n"
    "<tr><td><a href=\"/plaintext\">/plaintext</a><td>a fixed text\n"
    "<tr><td><a href=\"/json\">/json</a><td>a fixed object\n"
    "<tr><td><a href=\"/hello/you\">/hello/{name}</a><td>a parameter of the path\n"
    "<tr><td><a href=\"/echo\">/echo</a><td>POST gives the body back:\n"
    "<code>curl -d 'some words' http://HOST/echo</code>\n"
    "<tr><td><a href=\"/sleep/500\">/sleep/{ms}</a><td>waits, up to 10000 ms, without a thread\n"
    "<tr><td><a href=\"/spin/200\">/spin/{ms}</a><td>computes, up to 2000 ms; others go on\n"
    "<tr><td><a href=\"/upstream?hello\">/upstream?text</a><td>asks a line server through the\n"
    "connection pool\n"
    "<tr><td><a href=\"/stats\">/stats</a><td>counters of each worker and of the pool\n"
    "</table>\n"
    "<p>Handlers are in <code>apps/httpd/handlers/</code>, one function per file; the table of\n"
    "routes is <code>apps/httpd/routes.c</code>. The number of workers is <code>threads</code> in\n"
    "<code>apps/httpd/httpd.ini</code>.\n"
    "</html>\n";

int show_index(struct co_http_req *req, struct co_http_rsp *rsp, void *ctx)
{
    (void)req;
    (void)ctx;
    return co_http_send(rsp, 200, "text/html; charset=utf-8", page, sizeof page - 1);
}
