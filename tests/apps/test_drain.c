/* SPDX-License-Identifier: MIT */
/*
 * tests/apps/test_drain.c - SIGTERM: every request of which the server had read a byte is answered
 * in full, and it ends with status 0 within the grace time.
 *
 * How a client knows what the server had read: a socket closed with unread bytes, or reached by
 * bytes after it was closed, answers with a reset. So a request without an answer is excused by a
 * reset alone. An end of stream without one means that the server had read all of it, and did not
 * answer.
 */
#include "program.h"
#include <netinet/tcp.h>
#include <pthread.h>

TestSuite(drain, .timeout = 90);

static const char plaintext[] = "GET /plaintext HTTP/1.1\r\nHost: here\r\n\r\n";
static const char nap[] = "GET /sleep/20 HTTP/1.1\r\nHost: here\r\n\r\n";
static const char upstream[] = "GET /upstream?hi HTTP/1.1\r\nHost: here\r\n\r\n";
static const char upload[] =
    "POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 10\r\n\r\n0123456789";

/* Whether a reset arrives on a socket that has seen the end of the stream, or has arrived. */
static bool was_reset(int fd, int error)
{
    if (error == -ECONNRESET || error == -EPIPE)
        return true;
    for (int i = 0; i < 10000; i++) {
        struct tcp_info info = {0};
        socklen_t len = sizeof info;

        cr_assert_eq(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
        if (info.tcpi_state == TCP_CLOSE)
            return true;
        usleep(1000); /* the server may still be about to close it */
    }
    return false;
}

/* What one client counts. */
struct client {
    pthread_t thread;
    const char *request;
    int port;
    _Atomic int answered;
    int last_words; /* answers that announced the end of the connection */
    int unread;     /* requests that the server had not read */
    int cut;        /* answers that ended midway: must be 0 */
    int lost;       /* requests that were read and not answered: must be 0 */
    int wrong;      /* other than 200: must be 0 */
    int stuck;      /* neither answer nor end in time: must be 0 */
};

/* Exchanges on one connection until it ends. */
static void converse(struct client *self, int fd, struct answer *answer)
{
    for (;;) {
        int r = transmit(fd, self->request);

        if (r == 0)
            receive(fd, answer);
        else
            *answer = (struct answer){.error = r};
        if (answer->whole) {
            self->answered++;
            self->wrong += answer->status != 200;
            if (!answer->close)
                continue;
            self->last_words++;
            return;
        }
        if (answer->len > 0)
            self->cut++;
        else if (answer->error == -EAGAIN)
            self->stuck++;
        else if (was_reset(fd, answer->error))
            self->unread++;
        else
            self->lost++;
        return;
    }
}

/* One connection after the other until none is accepted any more. */
static void *run_client(void *arg)
{
    struct client *self = arg;
    struct answer *answer = calloc(1, sizeof *answer);

    for (;;) {
        int fd = dial(self->port);

        if (fd < 0)
            break;
        converse(self, fd, answer);
        close(fd);
    }
    free(answer);
    return NULL;
}

enum { CLIENTS = 32 };

Test(drain, under_load_every_request_that_was_read_is_answered)
{
    static const char *const args[] = {"--set", "runtime.grace=8s", NULL};
    static const char *const requests[] = {plaintext, nap, upload, upstream};
    static struct client clients[CLIENTS];
    struct program httpd = launch_httpd(args);
    int64_t took;
    int answered = 0, last_words = 0;

    for (int i = 0; i < CLIENTS; i++) {
        clients[i].request = requests[i % 4];
        clients[i].port = httpd.port;
        cr_assert_eq(pthread_create(&clients[i].thread, NULL, run_client, &clients[i]), 0);
    }
    for (int i = 0; i < CLIENTS; i++) { /* the load: what is tested begins now */
        while (clients[i].answered < 2)
            usleep(1000);
    }
    cr_assert_eq(terminate(&httpd, &took), 0);
    cr_expect_lt(took, 8000);
    for (int i = 0; i < CLIENTS; i++) {
        const struct client *c = &clients[i];

        pthread_join(c->thread, NULL);
        cr_expect_eq(c->cut + c->lost + c->wrong + c->stuck, 0,
                     "client %d: %d cut, %d lost, %d wrong, %d stuck", i, c->cut, c->lost, c->wrong,
                     c->stuck);
        answered += c->answered;
        last_words += c->last_words;
    }
    cr_log_info("%d answered, %d of them as the last, in %d ms", answered, last_words, (int)took);
    cr_expect_gt(answered, CLIENTS);
    cr_expect_gt(last_words, 0);
}

/* Bytes that the server's end of our connection has received and not been read; -1: no such end. */
static long unread_by_server(int fd)
{
    struct sockaddr_in ours = {0}, theirs = {0};
    socklen_t len = sizeof ours;
    char line[512], want[64];
    long unread = -1;
    FILE *table = fopen("/proc/net/tcp", "re");

    cr_assert_not_null(table);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&ours, &len), 0);
    len = sizeof theirs;
    cr_assert_eq(getpeername(fd, (struct sockaddr *)&theirs, &len), 0);
    snprintf(want, sizeof want, " %08X:%04X %08X:%04X ", theirs.sin_addr.s_addr,
             ntohs(theirs.sin_port), ours.sin_addr.s_addr, ntohs(ours.sin_port));
    while (unread < 0 && fgets(line, sizeof line, table) != NULL) {
        const char *entry = strstr(line, want);
        unsigned long state, sending, receiving;

        if (entry != NULL &&
            sscanf(entry + strlen(want), "%lx %lx:%lx", &state, &sending, &receiving) == 3)
            unread = (long)receiving;
    }
    fclose(table);
    return unread;
}

/* Connects and sends the first bytes of a request, and waits until the server has read them. */
static int begin_request(int port, const char *start)
{
    int fd = dial(port);

    cr_assert_geq(fd, 0);
    cr_assert_eq(transmit(fd, start), 0);
    for (int64_t until = now_ms() + CHILD_SECONDS * 1000; unread_by_server(fd) != 0;) {
        cr_assert_lt(now_ms(), until, "the server does not read");
        usleep(1000);
    }
    return fd;
}

/* Waits until nobody listens on the port any more, which is the first thing that a stop does. */
static void await_closed(int port)
{
    for (int64_t until = now_ms() + CHILD_SECONDS * 1000;;) {
        int fd = dial(port);

        if (fd < 0)
            return;
        close(fd);
        cr_assert_lt(now_ms(), until, "it still listens");
        usleep(1000);
    }
}

Test(drain, a_request_that_has_begun_is_answered_when_the_rest_comes)
{
    static struct answer answer;
    struct program httpd = launch_httpd(NULL);
    int in_head = begin_request(httpd.port, "G");
    int in_fields = begin_request(httpd.port, "GET /plaintext HTTP/1.1\r\nHost: he");
    int in_body = begin_request(
        httpd.port, "POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 10\r\n\r\n0123");
    int in_handler = begin_request(httpd.port, "GET /sleep/300 HTTP/1.1\r\nHost: here\r\n\r\n");

    cr_assert_eq(kill(httpd.pid, SIGTERM), 0);
    await_closed(httpd.port);
    receive(in_handler, &answer);
    cr_expect(answer.whole && answer.status == 200, "in the handler: \"%s\"", answer.text);
    cr_expect(answer.close);
    cr_assert_eq(transmit(in_head, "ET /plaintext HTTP/1.1\r\nHost: here\r\n\r\n"), 0);
    receive(in_head, &answer);
    cr_expect(answer.whole && answer.status == 200, "in the head: \"%s\"", answer.text);
    cr_expect(answer.close);
    cr_assert_eq(transmit(in_fields, "re\r\n\r\n"), 0);
    receive(in_fields, &answer);
    cr_expect(answer.whole && answer.status == 200, "in the fields: \"%s\"", answer.text);
    cr_assert_eq(transmit(in_body, "456789"), 0);
    receive(in_body, &answer);
    cr_expect(answer.whole && answer.status == 200, "in the body: \"%s\"", answer.text);
    cr_expect(answer.whole && strcmp(answer.body, "0123456789") == 0);
    cr_assert_eq(await_exit(&httpd), 0);
}

Test(drain, idle_connections_do_not_hold_it_up)
{
    static const char *const args[] = {"--set", "runtime.grace=600s", NULL};
    static struct answer answer;
    struct program httpd = launch_httpd(args);
    int fds[8];

    for (int i = 0; i < 8; i++) {
        fds[i] = dial(httpd.port);
        cr_assert_geq(fds[i], 0);
        if (i % 2 == 0) { /* idle before the first request, or after one */
            cr_assert_eq(transmit(fds[i], plaintext), 0);
            receive(fds[i], &answer);
            cr_assert(answer.whole && !answer.close);
        }
    }
    cr_assert_eq(terminate(&httpd, NULL), 0); /* long before the grace time is over */
    for (int i = 0; i < 8; i++) {
        receive(fds[i], &answer);
        cr_expect(answer.len == 0 && answer.error == 0, "%s", answer.text); /* an orderly end */
    }
}

Test(drain, an_interrupt_ends_it_as_well)
{
    struct program httpd = launch_httpd(NULL);

    cr_assert_eq(ask_http(httpd.port, "GET", "/upstream", "")->status, 200);
    cr_assert_eq(kill(httpd.pid, SIGINT), 0);
    cr_assert_eq(await_exit(&httpd), 0);
}

Test(drain, a_request_that_never_ends_is_cut_at_the_grace_time)
{
    static const char *const args[] = {"--set", "runtime.grace=300ms", NULL};
    static struct answer answer;
    struct program httpd = launch_httpd(args);
    int fd = begin_request(httpd.port, "GET /plain");
    int64_t took;

    (void)terminate(&httpd, &took);
    cr_expect_geq(took, 250);
    receive(fd, &answer);
    cr_expect(answer.error == 0 || answer.error == -ECONNRESET);
}
