/* SPDX-License-Identifier: MIT */
/*
 * apps/httpd/main.c - the multi-core HTTP demo: settings, the server, and what its handlers share.
 */
#include "handlers/handlers.h"
#include "line_server.h"
#include "routes.h"
#include <stdio.h>
#include <string.h>

static struct co_conf runtime;
static struct co_http_conf http;
static struct co_pool_settings upstream;

enum { TABLES = 3 };
static struct co_conf_table tables[TABLES];

/* What co_run hands on from serve when the reason has been told already. */
enum { TOLD = 1 };

/* Tells what is wrong with the listening address, and where it comes from. */
static int blame_listen(int err)
{
    char text[CO_CONF_ERR_MAX];
    const char *problem = co_strerror(err);

    if (err == -EINVAL)
        problem = "must be host:port, [ipv6]:port or unix:/path";
    else if (err == -EADDRINUSE)
        problem = "is in use by another program: stop that or choose another port";
    (void)co_conf_blame(tables, TABLES, "http", "listen", problem, text, sizeof text);
    fprintf(stderr, "httpd: %s\n", text);
    return TOLD;
}

/* Tells where it listens: the configured address, with the port that the system chose for 0. */
static void announce(int lfd)
{
    const char *colon = strrchr(http.listen, ':');
    int port = co_local_port(lfd);

    if (port > 0 && colon != NULL)
        fprintf(stderr, "httpd: listening on %.*s:%d", (int)(colon - http.listen), http.listen,
                port);
    else
        fprintf(stderr, "httpd: listening on %s", http.listen);
    fprintf(stderr, ", %d worker%s\n", co_workers(), co_workers() == 1 ? "" : "s");
}

/* Makes the pool behind /upstream, over a server of our own if none is configured. */
static int open_upstream(struct app *app, struct co_group *lines)
{
    int r = 0;

    if (upstream.address[0] == '\0')
        r = line_server_start(lines, upstream.address, sizeof upstream.address);
    if (r < 0)
        return r;
    app->upstream = co_pool_new(&co_tcp_backend, upstream.address, &upstream.conf);
    return app->upstream != NULL ? 0 : -ENOMEM;
}

static int serve(struct app *app)
{
    CO_FD(lfd, co_listen(http.listen));
    CO_GROUP(lines); /* ends last: until then there are requests that ask */
    int r;

    if (lfd < 0)
        return lfd == -ECANCELED ? 0 : blame_listen(lfd);
    r = open_upstream(app, &lines);
    if (r < 0)
        return r;
    announce(lfd);
    r = co_http_serve_on(lfd, &http, routes, app);
    co_pool_free(app->upstream);
    return r;
}

static int run(void *arg)
{
    int r = serve(arg);

    co_stop(); /* whatever still runs shall not keep the program */
    return r;
}

int main(int argc, char *argv[])
{
    static const struct co_conf_program program = {
        .name = "httpd",
        .version = CO_VERSION,
        .about = "The multi-core HTTP demo of Corvid: try / once it listens.",
    };
    struct app app = {.upstream = NULL};
    char err[CO_CONF_ERR_MAX];
    int r;

    tables[0] = co_conf_runtime_table(&runtime);
    tables[1] = co_http_conf_table(&http);
    tables[2] = co_pool_table("pool.upstream", &upstream);
    r = co_conf_args(&program, tables, TABLES, argc, argv, stdout, err, sizeof err);
    if (r < 0)
        fprintf(stderr, "httpd: %s\n", err);
    if (r != CO_CONF_RUN)
        return r < 0;
    r = co_run_with(&runtime, run, &app);
    if (r < 0)
        fprintf(stderr, "httpd: %s\n", co_strerror(r));
    return r != 0;
}
