/* SPDX-License-Identifier: MIT */
/*
 * tests/bench/tls_server.c - the server that `tools/bench tls` measures: TLS, and just enough of
 * HTTP on it that nginx can do the same. "GET /n" is answered with n bytes.
 *
 *   parked  a coroutine for each connection, which waits in its stream
 *   when    nobody waits: each request starts a coroutine (co_stream_go_when)
 *
 * usage: tls_server PORT THREADS CHAIN KEY parked|when
 */
#include <co/co.h>
#include <co/tls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD_MOST = 4096, PIECE = 65536 };

static struct co_tls_server *server;
static char port_text[16];
static struct co_tls_cert cert;
static const char zeros[PIECE];

/* Reads a request. Returns: how many bytes it asks for; a negative value at the end. */
static long long next_request(struct co_stream *stream)
{
    const void *head;
    ssize_t n = co_stream_read_until(stream, "\r\n\r\n", 4, HEAD_MOST, &head);

    if (n < 8 || memcmp(head, "GET /", 5) != 0)
        return -1;
    return strtoll((const char *)head + 5, NULL, 10);
}

static int answer(struct co_stream *stream, long long len)
{
    int r = co_stream_printf(stream, "HTTP/1.1 200 OK\r\nContent-Length: %lld\r\n\r\n", len) < 0;

    for (; len > 0 && !r; len -= PIECE) {
        size_t n = len < PIECE ? (size_t)len : PIECE;

        r = co_stream_write(stream, zeros, n) < 0;
    }
    return r ? -1 : co_stream_flush(stream);
}

static bool exchange(struct co_stream *stream)
{
    long long len = next_request(stream);

    return len >= 0 && answer(stream, len) == 0;
}

static void end(struct co_stream *stream)
{
    (void)co_stream_close(stream);
    free(stream);
}

static void on_request(void *arg, int why)
{
    struct co_stream *stream = arg;

    CO_DEADLINE(60 * CO_SEC);
    if (why < 0 || !exchange(stream) || co_stream_go_when(stream, on_request, stream) < 0)
        end(stream);
}

static void on_connection(int conn, void *arg)
{
    const bool *parked = arg;
    struct co_stream *stream = malloc(sizeof *stream);
    CO_FD(fd, conn);

    CO_DEADLINE(60 * CO_SEC);
    if (!stream || co_tls_accept(server, fd, stream, NULL) < 0) {
        free(stream);
        return;
    }
    (void)co_fd_take(&fd);
    if (!*parked && co_stream_go_when(stream, on_request, stream) == 0)
        return;
    while (*parked && exchange(stream))
        continue;
    end(stream);
}

static int serve(void *arg)
{
    struct co_tls_server_conf conf = {.certs = &cert, .cert_count = 1};
    struct co_tls_why why = {""};
    char address[32];
    int r = co_tls_server_new(&conf, &server, &why);

    if (r < 0) {
        fprintf(stderr, "%s\n", why.text);
        return r;
    }
    (void)snprintf(address, sizeof address, "127.0.0.1:%s", port_text);
    CO_FD(lfd, co_listen(address));
    return lfd < 0 ? lfd : co_serve(lfd, on_connection, arg);
}

int main(int argc, char **argv)
{
    struct co_conf conf;
    bool parked;

    if (argc != 6) {
        fprintf(stderr, "usage: tls_server PORT THREADS CHAIN KEY parked|when\n");
        return 2;
    }
    co_conf_init(&conf);
    conf.threads = atoi(argv[2]);
    (void)snprintf(port_text, sizeof port_text, "%s", argv[1]);
    cert = (struct co_tls_cert){argv[3], argv[4]};
    parked = strcmp(argv[5], "parked") == 0;
    return co_run_with(&conf, serve, &parked) < 0;
}
