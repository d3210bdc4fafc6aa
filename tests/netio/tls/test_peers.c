/* SPDX-License-Identifier: MIT */
/*
 * Peers that others have written: the openssl command and curl. Each runs as a program of its own,
 * and what it says is looked at.
 */
#include "world.h"

#include <co/foreign.h>
#include <signal.h>
#include <sys/wait.h>

TestSuite(tls_peers, .init = make_world, .fini = end_world);

/* ---- programs ---- */

/* A program that runs, with pipes to its input and from its output and errors. */
struct program {
    pid_t pid;
    int in, out;
    size_t len;
    char text[16384];
};

static void begin_program(struct program *program, const char *const argv[])
{
    int in[2] = {-1, -1}, out[2] = {-1, -1};

    *program = (struct program){.pid = -1};
    CHECK(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
    program->pid = fork();
    CHECK(program->pid >= 0);
    if (program->pid == 0) {
        (void)dup2(in[0], STDIN_FILENO);
        (void)dup2(out[1], STDOUT_FILENO);
        (void)dup2(out[1], STDERR_FILENO);
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    (void)close(in[0]);
    (void)close(out[1]);
    program->in = in[1];
    program->out = out[0];
    CHECK(fcntl(program->out, F_SETFL, O_NONBLOCK) == 0);
    CHECK(co_adopt(program->out) == 0);
}

/* Reads on until the program has said this; false: it has ended before. */
static bool until_said(struct program *program, const char *what)
{
    while (!strstr(program->text, what)) {
        size_t room = sizeof program->text - 1 - program->len;
        ssize_t n;

        if (room == 0 || co_fd_wait(program->out, CO_READABLE) < 0)
            return false;
        n = read(program->out, program->text + program->len, room);
        if (n == 0)
            return false;
        program->len += n > 0 ? (size_t)n : 0;
        program->text[program->len] = '\0';
    }
    return true;
}

#define CHECK_SAID(program, what)                                                    \
    do {                                                                             \
        bool said_ = until_said(program, what);                                      \
        if (!said_)                                                                  \
            (void)fprintf(stderr, "\"%s\" was not in: %s\n", what, (program)->text); \
        CHECK(said_ &&what);                                                         \
    } while (0)

/* Returns: its exit status; -1 if a signal has ended it. */
static int end_program(struct program *program, int sig)
{
    int status = 0;

    if (program->in >= 0)
        (void)close(program->in);
    if (sig)
        (void)kill(program->pid, sig);
    (void)until_said(program, "\x01 never"); /* to its end */
    CHECK(co_release(program->out) == 0);
    (void)close(program->out);
    while (waitpid(program->pid, &status, WNOHANG) == 0)
        (void)co_sleep(CO_MS);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void tell(struct program *program, const char *text)
{
    CHECK(write(program->in, text, strlen(text)) == (ssize_t)strlen(text));
}

/* ---- our server ---- */

/* Answers one line with "echo LINE", and ends when the peer does. */
struct echo {
    int lfd;
    struct co_tls_server *server;
    int connections;
    _Atomic int done, resumed;
};

static void echo_lines(struct co_stream *stream)
{
    char *line;

    while (co_stream_read_line(stream, 1000, &line) > 0) {
        if (strncmp(line, "GET ", 4) == 0)
            CHECK(0 < co_stream_printf(stream, "HTTP/1.0 200 OK\r\n\r\nhello from %s\n", line));
        else if (*line && !strchr(line, ':'))
            CHECK(0 < co_stream_printf(stream, "echo %s\n", line));
        if (co_stream_flush(stream) < 0)
            return;
        if (strncmp(line, "GET ", 4) == 0)
            return;
    }
}

static void serve_echo(void *arg)
{
    struct echo *echo = arg;

    for (int i = 0; i < echo->connections; i++) {
        struct co_tls_info info = {0};
        struct co_stream stream;
        struct co_tls_why why = {""};
        int fd = co_accept(echo->lfd);

        CHECK(fd >= 0);
        if (co_tls_accept(echo->server, fd, &stream, &why) < 0) {
            (void)co_close(fd);
            continue;
        }
        CHECK(co_tls_describe(&stream, &info) == 0);
        atomic_fetch_add(&echo->resumed, info.resumed);
        echo_lines(&stream);
        (void)co_stream_close(&stream);
    }
    atomic_store(&echo->done, 1);
}

static void begin_echo(struct echo *echo, int connections, char address[64])
{
    *echo = (struct echo){.server = new_server(), .connections = connections};
    echo->lfd = listen_here(address);
    start(serve_echo, echo);
}

static void end_echo(struct echo *echo)
{
    until(&echo->done, 1);
    CHECK(co_close(echo->lfd) == 0);
    co_tls_server_free(echo->server);
}

/* ---- openssl s_client ---- */

static int meet_s_client(void *arg)
{
    const char *version = arg;
    char address[64], session[128];
    struct program client;
    struct echo echo;

    (void)snprintf(session, sizeof session, "%s/session", certs_folder);
    server_conf.alpn = "h2,http/1.1";
    begin_echo(&echo, 2, address);
    {
        const char *const argv[] = {"openssl",      "s_client",
                                    "-connect",     address,
                                    "-servername",  "example.test",
                                    "-CAfile",      ca.chain,
                                    version,        "-verify_hostname",
                                    "example.test", "-verify_return_error",
                                    "-alpn",        "http/1.1",
                                    "-sess_out",    session,
                                    "-ign_eof",     NULL};

        begin_program(&client, argv);
        CHECK_SAID(&client, "Verify return code: 0 (ok)");
        CHECK_SAID(&client, "ALPN protocol: http/1.1");
        tell(&client, "one line\n");
        CHECK_SAID(&client, "echo one line");
        tell(&client, "GET / HTTP/1.0\r\n\r\n");
        CHECK_SAID(&client, "hello from GET / HTTP/1.0");
        CHECK_SAID(&client, "closed"); /* our good-bye has arrived */
        CHECK(end_program(&client, 0) == 0);
        CHECK(!strstr(client.text, "unexpected eof"));
    }
    {
        const char *const argv[] = {"openssl",      "s_client", "-connect", address, "-servername",
                                    "example.test", "-CAfile",  ca.chain,   version, "-sess_in",
                                    session,        "-ign_eof", NULL};

        begin_program(&client, argv);
        CHECK_SAID(&client, "Reused, TLSv1.");
        tell(&client, "GET / HTTP/1.0\r\n\r\n");
        CHECK_SAID(&client, "hello from");
        CHECK(end_program(&client, 0) == 0);
    }
    end_echo(&echo);
    CHECK(atomic_load(&echo.resumed) == 1);
    (void)unlink(session);
    return 0;
}

Test(tls_peers, openssl_s_client_gets_on_with_our_server, .timeout = 60)
{
    run_on(2, meet_s_client, (char[]){"-tls1_3"});
    run_on(2, meet_s_client, (char[]){"-tls1_2"});
}

/* What it says of versions and ciphers that are no good. */
static int meet_old_client(void *arg)
{
    char address[64];
    struct program client;
    struct echo echo;

    (void)arg;
    begin_echo(&echo, 2, address);
    {
        const char *const argv[] = {"openssl", "s_client", "-connect",        address,
                                    "-tls1_1", "-cipher",  "ALL:@SECLEVEL=0", NULL};

        begin_program(&client, argv);
        CHECK_SAID(&client, "alert protocol version");
        CHECK(end_program(&client, 0) != 0);
    }
    {
        const char *const argv[] = {"openssl", "s_client", "-connect",   address,
                                    "-tls1_2", "-cipher",  "AES128-SHA", NULL};

        begin_program(&client, argv);
        CHECK_SAID(&client, "alert handshake failure");
        CHECK(end_program(&client, 0) != 0);
    }
    end_echo(&echo);
    return 0;
}

Test(tls_peers, a_client_of_yesterday_is_refused, .timeout = 60)
{
    run_on(2, meet_old_client, NULL);
}

/* It wants to negotiate anew with "R"; with TLS 1.2 that is refused. New keys come with "K". */
static int meet_restless_client(void *arg)
{
    char address[64];
    struct program client;
    struct echo echo;

    (void)arg;
    begin_echo(&echo, 2, address);
    {
        const char *const argv[] = {"openssl", "s_client", "-connect", address, "-tls1_2", NULL};

        begin_program(&client, argv);
        CHECK_SAID(&client, "Verify return code:");
        tell(&client, "R\n");
        CHECK_SAID(&client, "no renegotiation");
        (void)end_program(&client, 0);
    }
    {
        const char *const argv[] = {"openssl", "s_client", "-connect", address, "-tls1_3", NULL};

        begin_program(&client, argv);
        CHECK_SAID(&client, "Verify return code:");
        tell(&client, "K\n");
        CHECK_SAID(&client, "KEYUPDATE");
        tell(&client, "after that\n");
        CHECK_SAID(&client, "echo after that");
        tell(&client, "Q\n");
        (void)end_program(&client, 0);
    }
    end_echo(&echo);
    return 0;
}

Test(tls_peers, openssl_s_client_may_change_keys_but_not_negotiate_anew, .timeout = 60)
{
    run_on(2, meet_restless_client, NULL);
}

/* ---- openssl s_server ---- */

/* Starts it on a port that was free just now. */
static void begin_s_server(struct program *server, const char *version, char address[64])
{
    int lfd = listen_here(address);

    CHECK(co_close(lfd) == 0);
    {
        const char *const argv[] = {"openssl",  "s_server", "-accept",    address, "-cert",
                                    host.chain, "-key",     host.keyfile, version, "-rev",
                                    "-alpn",    "http/1.1", NULL};

        begin_program(server, argv);
        CHECK_SAID(server, "ACCEPT");
    }
}

static int meet_s_server(void *arg)
{
    struct co_tls_info info = {0};
    struct program server;
    struct co_tls_client *client;
    char address[64];
    char *line = NULL;
    bool resumed = false;

    client_conf.alpn = "h2,http/1.1";
    client = new_client();
    begin_s_server(&server, arg, address);
    for (int i = 0; i < 2; i++) {
        struct co_stream stream;
        struct co_tls_why why = {""};
        int fd = co_connect(address);
        int r;

        CHECK(fd >= 0);
        r = co_tls_connect(client, fd, "example.test", &stream, &why);
        if (r < 0)
            (void)fprintf(stderr, "s_server: %d %s\n", r, why.text);
        CHECK(r == 0);
        CHECK(co_tls_describe(&stream, &info) == 0 && strcmp(info.alpn, "http/1.1") == 0);
        resumed = info.resumed;
        CHECK(co_stream_write(&stream, "abc\n", 4) == 4 && co_stream_flush(&stream) == 0);
        CHECK(co_stream_read_line(&stream, 100, &line) == 4 && strcmp(line, "cba") == 0);
        CHECK(co_stream_write(&stream, "CLOSE\n", 6) == 6 && co_stream_flush(&stream) == 0);
        CHECK(co_stream_read_line(&stream, 100, &line) == 0);
        CHECK(co_stream_close(&stream) == 0);
    }
    CHECK(resumed);
    (void)end_program(&server, SIGTERM);
    co_tls_client_free(client);
    return 0;
}

Test(tls_peers, openssl_s_server_gets_on_with_our_client, .timeout = 60)
{
    run_on(2, meet_s_server, (char[]){"-tls1_3"});
    run_on(2, meet_s_server, (char[]){"-tls1_2"});
}

/* ---- curl ---- */

static int meet_curl(void *arg)
{
    char address[64], url[96], resolve[96];
    struct program curl;
    struct echo echo;

    (void)arg;
    begin_echo(&echo, 2, address);
    (void)snprintf(url, sizeof url, "https://example.test:%d/", co_local_port(echo.lfd));
    (void)snprintf(resolve, sizeof resolve, "example.test:%d:127.0.0.1", co_local_port(echo.lfd));
    {
        const char *const argv[] = {"curl",   "-sS",       "--noproxy", "*", "--cacert",
                                    ca.chain, "--resolve", resolve,     url, NULL};

        begin_program(&curl, argv);
        CHECK_SAID(&curl, "hello from GET / HTTP/1.1");
        CHECK(end_program(&curl, 0) == 0); /* it would tell of a good-bye that is missing */
    }
    {
        struct issued stranger = issue(NULL, &(struct wish){.name = "stranger", .ca = 1});
        const char *const argv[] = {"curl",         "-sS",       "--noproxy", "*", "--cacert",
                                    stranger.chain, "--resolve", resolve,     url, NULL};

        begin_program(&curl, argv);
        CHECK(end_program(&curl, 0) == 60); /* "cannot authenticate with given CA certificates" */
        forget_cert(&stranger);
    }
    end_echo(&echo);
    return 0;
}

Test(tls_peers, curl_gets_on_with_our_server, .timeout = 60)
{
    run_on(2, meet_curl, NULL);
}
