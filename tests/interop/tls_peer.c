/* SPDX-License-Identifier: MIT */
/*
 * tests/interop/tls_peer.c - Corvid's half of tools/interop tls: a server and a client.
 *
 * usage: tls_peer serve NAME=VALUE... | tls_peer ask NAME=VALUE...
 *
 *   chain, key   files of the own certificate    ca     file of the authorities that are trusted; a
 *   alpn         protocols                              server that has it wants certificates
 *   max          1.2 or 1.3                      cut    1: the server ends without a good-bye
 *   port, host   where a client connects to      times  how often, one after the other
 *   echo         how many bytes to send there and back, instead of asking who
 *
 * A server prints its port, and errors. A client sends "who" and prints what each side knows of the
 * connection, or the error.
 */
#include <co/co.h>
#include <co/tls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int argc_;
static char **argv_;

/* The value of a word; NULL if it was not given. */
static const char *word(const char *name)
{
    size_t len = strlen(name);

    for (int i = 2; i < argc_; i++) {
        if (strncmp(argv_[i], name, len) == 0 && argv_[i][len] == '=')
            return argv_[i] + len + 1;
    }
    return NULL;
}

static int max_version(void)
{
    const char *max = word("max");

    return max && strcmp(max, "1.2") == 0 ? CO_TLS_1_2 : CO_TLS_1_3;
}

/* What was agreed on, as Go's half says it. */
static void describe(const struct co_stream *stream, const char *host, char text[512])
{
    struct co_tls_info info;
    char subject[128] = "-";

    (void)co_tls_describe(stream, &info);
    (void)co_tls_peer_subject(stream, subject, sizeof subject);
    (void)snprintf(text, 512, "version=%s alpn=%s host=%s resumed=%d peer=%s",
                   info.version == CO_TLS_1_2 ? "1.2" : "1.3", info.alpn[0] ? info.alpn : "-",
                   host ? host : "-", info.resumed, subject);
}

static void say(const char *what, const char *text)
{
    printf("%s %s\n", what, text);
    (void)fflush(stdout);
}

static void say_error(const struct co_stream *stream, ssize_t r)
{
    const char *why = co_tls_failure(stream);

    say("error", *why ? why : co_strerror((int)r));
}

/* ---- the server ---- */

static struct co_tls_server *server;

static ssize_t copy(struct co_stream *stream, long long left)
{
    char buf[16384];
    ssize_t n = 1;

    while (left > 0 && n > 0) {
        n = co_stream_read(stream, buf, left < (long long)sizeof buf ? (size_t)left : sizeof buf);
        left -= n;
        if (n > 0)
            n = co_stream_write(stream, buf, (size_t)n);
    }
    return n < 0 ? n : co_stream_flush(stream);
}

/* Reads a line and answers it. */
static ssize_t answer(struct co_stream *stream)
{
    struct co_tls_info info;
    char text[512];
    char *line = NULL;
    ssize_t n = co_stream_read_line(stream, 100, &line);

    if (n <= 0)
        return n < 0 ? n : -ECONNRESET;
    if (strncmp(line, "echo ", 5) == 0)
        return copy(stream, atoll(line + 5));
    (void)co_tls_describe(stream, &info);
    describe(stream, info.server_name, text);
    n = co_stream_printf(stream, "%s\n", text);
    return n < 0 ? n : co_stream_flush(stream);
}

static void on_connection(int fd, void *arg)
{
    struct co_tls_why why = {""};
    struct co_stream stream;
    char byte;
    ssize_t n;

    (void)arg;
    CO_DEADLINE(30 * CO_SEC);
    if (co_tls_accept(server, fd, &stream, &why) < 0) {
        say("error", why.text);
        (void)co_close(fd);
        return;
    }
    n = answer(&stream);
    if (n >= 0 && !word("cut")) {
        n = co_stream_finish(&stream);
        while (n >= 0 && (n = co_stream_read(&stream, &byte, 1)) > 0)
            continue; /* until the client has said good-bye, too */
    }
    if (n < 0)
        say_error(&stream, n);
    co_stream_drop(&stream);
}

static int serve(void *arg)
{
    struct co_tls_cert cert = {word("chain"), word("key")};
    struct co_tls_server_conf conf = {.certs = &cert,
                                      .cert_count = 1,
                                      .client_ca = word("ca"),
                                      .alpn = word("alpn"),
                                      .max_version = max_version()};
    struct co_tls_why why = {""};
    int r;

    (void)arg;
    conf.client_cert = conf.client_ca ? CO_TLS_CLIENT_REQUIRED : CO_TLS_CLIENT_NONE;
    r = co_tls_server_new(&conf, &server, &why);
    if (r < 0) {
        say("error", why.text);
        return r;
    }
    CO_FD(lfd, co_listen("127.0.0.1:0"));
    if (lfd < 0)
        return lfd;
    printf("port %d\n", co_local_port(lfd));
    (void)fflush(stdout);
    r = co_serve(lfd, on_connection, NULL);
    return r;
}

/* ---- the client ---- */

struct echo {
    struct co_stream *stream;
    size_t len;
    unsigned char *data;
};

static int send_echo(void *arg)
{
    struct echo *echo = arg;
    int r = co_stream_printf(echo->stream, "echo %zu\n", echo->len) < 0;

    r = r || co_stream_write(echo->stream, echo->data, echo->len) < 0;
    return r ? -EPIPE : co_stream_flush(echo->stream);
}

/* Writes and reads at once, and compares. */
static ssize_t ask_echo(struct co_stream *stream, size_t len)
{
    struct echo echo = {stream, len, malloc(len)};
    unsigned char *back = malloc(len);
    ssize_t n = -ENOMEM;

    for (size_t i = 0; echo.data && i < len; i++)
        echo.data[i] = (unsigned char)((uint32_t)i * 2654435761u >> 16);
    if (echo.data && back) {
        CO_GROUP(group);

        n = co_group_go(&group, send_echo, &echo);
        if (n == 0)
            n = co_stream_readn(stream, back, len);
    }
    if (echo.data && back && n == (ssize_t)len)
        printf("%s %zu\n", memcmp(back, echo.data, len) == 0 ? "echo" : "error: other bytes", len);
    free(back);
    free(echo.data);
    return n;
}

static ssize_t ask_who(struct co_stream *stream)
{
    char text[512];
    char *line = NULL;
    ssize_t n = co_stream_printf(stream, "who\n");

    if (n >= 0)
        n = co_stream_flush(stream);
    if (n >= 0)
        n = co_stream_read_line(stream, 1000, &line);
    if (n <= 0)
        return n;
    (void)snprintf(text, sizeof text, "%s", line);
    n = co_stream_read_line(stream, 1000, &line); /* there is no more, but an end */
    if (n < 0)
        return n;
    say("server", text);
    describe(stream, NULL, text);
    say("client", text);
    return 0;
}

static void ask(struct co_tls_client *client)
{
    struct co_tls_why why = {""};
    struct co_stream stream;
    char address[64];
    ssize_t n;
    int fd;

    (void)snprintf(address, sizeof address, "127.0.0.1:%s", word("port"));
    fd = co_connect(address);
    n = fd < 0 ? fd : co_tls_connect(client, fd, word("host"), &stream, &why);
    if (n < 0) {
        say("error", fd < 0 ? co_strerror(fd) : why.text);
        (void)co_close(fd);
        return;
    }
    n = word("echo") ? ask_echo(&stream, (size_t)atoll(word("echo"))) : ask_who(&stream);
    if (n < 0)
        say_error(&stream, n);
    (void)co_stream_close(&stream);
}

static int ask_often(void *arg)
{
    struct co_tls_cert cert = {word("chain"), word("key")};
    struct co_tls_client_conf conf = {.ca_file = word("ca"),
                                      .cert = cert.chain ? &cert : NULL,
                                      .alpn = word("alpn"),
                                      .max_version = max_version()};
    struct co_tls_client *client;
    struct co_tls_why why = {""};
    int r = co_tls_client_new(&conf, &client, &why);

    (void)arg;
    if (r < 0) {
        say("error", why.text);
        return r;
    }
    CO_DEADLINE(30 * CO_SEC);
    for (int times = word("times") ? atoi(word("times")) : 1; times > 0; times--)
        ask(client);
    co_tls_client_free(client);
    return 0;
}

int main(int argc, char **argv)
{
    int r;

    argc_ = argc;
    argv_ = argv;
    if (argc < 3) {
        fprintf(stderr, "usage: tls_peer serve NAME=VALUE... | tls_peer ask NAME=VALUE...\n");
        return 2;
    }
    r = co_run(strcmp(argv[1], "serve") == 0 ? serve : ask_often, NULL);
    if (r < 0)
        fprintf(stderr, "%s\n", co_strerror(r));
    return r < 0;
}
