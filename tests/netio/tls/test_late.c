/* SPDX-License-Identifier: MIT */
/* tests/netio/tls/test_late.c - messages that come after the handshake: tickets, in halves too. */
#include "netio/tls/world.h"
#include "netio/world.h"
#include <openssl/err.h>
#include <openssl/ssl.h>

TestSuite(tls_late, .init = make_world, .fini = end_world, .timeout = 60);

static _Atomic int count;

/* ---- a server of which the test sends each record itself ---- */

struct puppet {
    struct pair pair;
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *in, *out;
    struct co_tls_client *client;
    struct co_stream stream; /* our client's end */
};

static void connect_puppet(void *arg)
{
    struct puppet *p = arg;

    CHECK(co_tls_connect(p->client, p->pair.ours, "example.test", &p->stream, NULL) == 0);
    (void)atomic_fetch_add(&count, 1);
}

static size_t take_out(struct puppet *p, unsigned char *buf, size_t cap)
{
    int n = BIO_read(p->out, buf, (int)cap);

    return n > 0 ? (size_t)n : 0;
}

static void send_plain(const struct puppet *p, const unsigned char *data, size_t len)
{
    CHECK(send(p->pair.plain, data, len, MSG_NOSIGNAL) == (ssize_t)len);
}

/* Waits until something has come, and gives it to OpenSSL. */
static void bring(struct puppet *p)
{
    unsigned char buf[4096];
    ssize_t n;

    while ((n = recv(p->pair.plain, buf, sizeof buf, MSG_DONTWAIT)) < 0 && errno == EAGAIN)
        (void)co_yield();
    CHECK(n > 0 && BIO_write(p->in, buf, (int)n) == (int)n);
}

/*
 * Shakes hands with a client that has a certificate: tickets hold it, and so need two records of
 * 512 bytes.
 */
static void open_puppet(struct puppet *p)
{
    unsigned char buf[8192];

    *p = (struct puppet){.pair = make_pair(), .client = new_client()};
    p->ctx = SSL_CTX_new(TLS_server_method());
    CHECK(SSL_CTX_use_certificate_chain_file(p->ctx, host.chain) == 1);
    CHECK(SSL_CTX_use_PrivateKey_file(p->ctx, host.keyfile, SSL_FILETYPE_PEM) == 1);
    CHECK(SSL_CTX_load_verify_file(p->ctx, ca.chain) == 1);
    SSL_CTX_set_verify(p->ctx, SSL_VERIFY_PEER, NULL);
    (void)SSL_CTX_set_session_id_context(p->ctx, (const unsigned char *)"puppet", 6);
    (void)SSL_CTX_set_num_tickets(p->ctx, 0);
    p->ssl = SSL_new(p->ctx);
    p->in = BIO_new(BIO_s_mem());
    p->out = BIO_new(BIO_s_mem());
    SSL_set_bio(p->ssl, p->in, p->out);
    SSL_set_accept_state(p->ssl);
    (void)SSL_set_max_send_fragment(p->ssl, 512);
    atomic_store(&count, 0);
    start(connect_puppet, p);
    while (SSL_do_handshake(p->ssl) != 1 || atomic_load(&count) == 0) {
        size_t n = take_out(p, buf, sizeof buf);

        if (n > 0)
            send_plain(p, buf, n);
        if (!SSL_is_init_finished(p->ssl))
            bring(p);
        else
            (void)co_yield();
    }
}

static void close_puppet(struct puppet *p)
{
    co_stream_drop(&p->stream);
    co_tls_client_free(p->client);
    SSL_free(p->ssl);
    SSL_CTX_free(p->ctx);
    CHECK(close(p->pair.plain) == 0);
}

static void write_ping(void *arg)
{
    CHECK(co_stream_write(arg, "ping", 4) == 4 && co_stream_flush(arg) == 0);
    (void)atomic_fetch_add(&count, 1);
}

static void read_pong(void *arg)
{
    char buf[4];

    CHECK(co_stream_readn(arg, buf, 4) == 4 && memcmp(buf, "pong", 4) == 0);
    (void)atomic_fetch_add(&count, 1);
}

/* Whether bytes have arrived that our client has not read. */
static bool is_unread(const struct puppet *p)
{
    char byte;

    return recv(p->pair.ours, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* Sends the first record of a ticket, which our client reads. Returns: how many bytes remain. */
static size_t send_half_a_ticket(struct puppet *p, unsigned char *records, size_t cap)
{
    size_t len, first;
    char buf[4];

    CHECK(SSL_new_session_ticket(p->ssl) == 1 && SSL_do_handshake(p->ssl) == 1);
    len = take_out(p, records, cap);
    first = 5 + ((size_t)records[3] << 8) + records[4];
    CHECK(first < len);
    send_plain(p, records, first);
    until_arrived(p->pair.ours, 5);
    do {
        CO_DEADLINE(20 * CO_MS);
        CHECK(co_stream_readn(&p->stream, buf, 4) == -ETIMEDOUT);
    } while (is_unread(p));
    memmove(records, records + first, len - first);
    return len - first;
}

/* Opens a client that has half a ticket. Returns: as send_half_a_ticket. */
static size_t begin_within_a_ticket(struct puppet *p, unsigned char *records, size_t cap)
{
    client_conf.cert = &host_cert;
    open_puppet(p);
    return send_half_a_ticket(p, records, cap);
}

static void get_ping(struct puppet *p)
{
    char buf[4];

    while (SSL_read(p->ssl, buf, 4) != 4)
        bring(p);
    CHECK(memcmp(buf, "ping", 4) == 0);
}

static void give_pong(struct puppet *p)
{
    unsigned char record[512];

    CHECK(SSL_write(p->ssl, "pong", 4) == 4);
    send_plain(p, record, take_out(p, record, sizeof record));
}

static int write_in_between(void *arg)
{
    bool reader = *(int *)arg;
    unsigned char records[8192];
    struct puppet p;
    size_t rest;

    rest = begin_within_a_ticket(&p, records, sizeof records);
    if (reader)
        start(read_pong, &p.stream);
    let_wait();
    start(write_ping, &p.stream);
    let_wait();
    CHECK(atomic_load(&count) == 1); /* only the handshake is through */
    send_plain(&p, records, rest);
    get_ping(&p);
    give_pong(&p);
    if (!reader)
        start(read_pong, &p.stream);
    until(&count, 3);
    close_puppet(&p);
    return 0;
}

/* OpenSSL does not write before it has read the rest: that is waited for, by whoever is there. */
Test(tls_late, a_write_after_half_a_ticket_waits_for_the_rest)
{
    run_on(2, write_in_between, &(int){0});
    run_on(2, write_in_between, &(int){1});
}

/*
 * A writer has asked in vain, and is sent away on his way to the socket, by the budget of calls;
 * meanwhile the rest comes, and a reader that has just begun takes it. Nothing comes after it.
 */
static struct encounter {
    struct puppet puppet;
    unsigned char records[8192];
    size_t rest;
    int spent; /* calls of the writer's budget */
    _Atomic bool asks, sent, read, written, over;
} encounter;

static void write_meanwhile(void *arg)
{
    struct encounter *e = arg;

    (void)co_yield();
    for (int i = 0; i < e->spent; i++)
        CHECK(co_check() == 0);
    atomic_store(&e->asks, true);
    {
        CO_DEADLINE(5 * CO_SEC);
        CHECK(co_stream_flush(&e->puppet.stream) == 0);
    }
    atomic_store(&e->written, true);
}

static void send_meanwhile(void *arg)
{
    struct encounter *e = arg;

    while (!atomic_load(&e->asks))
        (void)co_yield();
    send_plain(&e->puppet, e->records, e->rest);
    atomic_store(&e->sent, true);
}

static void read_meanwhile(void *arg)
{
    struct encounter *e = arg;
    char buf[4];

    while (!atomic_load(&e->sent))
        (void)co_yield();
    CHECK(co_stream_readn(&e->puppet.stream, buf, 4) == -ECANCELED);
    atomic_store(&e->read, true);
}

/* So many that the worker looks for events before it comes back to the writer. */
static void pass_time(void *arg)
{
    struct encounter *e = arg;

    while (!atomic_load(&e->over)) {
        if (atomic_load(&e->sent) && !atomic_load(&e->written))
            (void)usleep(100);
        (void)co_yield();
    }
}

static int encounter_reader(void *arg)
{
    struct encounter *e = &encounter;

    e->rest = begin_within_a_ticket(&e->puppet, e->records, sizeof e->records);
    e->spent = *(int *)arg;
    atomic_store(&e->asks, false);
    atomic_store(&e->sent, false);
    atomic_store(&e->read, false);
    atomic_store(&e->written, false);
    atomic_store(&e->over, false);
    CHECK(co_stream_write(&e->puppet.stream, "ping", 4) == 4);
    start(send_meanwhile, e);
    for (int i = 0; i < 100; i++)
        start(pass_time, e);
    start(read_meanwhile, e);
    start(write_meanwhile, e);
    while (!atomic_load(&e->written))
        CHECK(co_sleep(5 * CO_MS) == 0);
    atomic_store(&e->over, true);
    CHECK(co_hangup(e->puppet.pair.ours) == 0);
    while (!atomic_load(&e->read))
        CHECK(co_sleep(CO_MS) == 0);
    close_puppet(&e->puppet);
    return 0;
}

Test(tls_late, a_write_does_not_wait_for_what_a_reader_has_taken)
{
    for (int spent = 112; spent < 130; spent++) /* of 128 */
        run_on(1, encounter_reader, &spent);
}

static void read_when_told(void *arg, int why)
{
    CHECK(why == 0);
    read_pong(arg);
}

/* Reading is not under way, but waits to be: before the write, or after it has begun. */
static int write_beside_an_idle_one(void *arg)
{
    bool first = *(int *)arg;
    unsigned char records[8192];
    struct puppet p;
    size_t rest;

    rest = begin_within_a_ticket(&p, records, sizeof records);
    if (first)
        CHECK(co_stream_go_when(&p.stream, read_when_told, &p.stream) == 0);
    start(write_ping, &p.stream);
    let_wait();
    if (!first)
        CHECK(co_stream_go_when(&p.stream, read_when_told, &p.stream) == 0);
    let_wait();
    CHECK(atomic_load(&count) == 1); /* only the handshake is through */
    send_plain(&p, records, rest);
    get_ping(&p);
    give_pong(&p);
    until(&count, 3);
    close_puppet(&p);
    return 0;
}

Test(tls_late, a_write_after_half_a_ticket_is_not_refused_beside_an_idle_reader)
{
    run_on(2, write_beside_an_idle_one, &(int){0});
    run_on(2, write_beside_an_idle_one, &(int){1});
}

static int write_and_give_up(void *arg)
{
    unsigned char records[8192];
    struct puppet p;
    size_t rest;

    (void)arg;
    rest = begin_within_a_ticket(&p, records, sizeof records);
    CHECK(co_stream_write(&p.stream, "ping", 4) == 4);
    {
        CO_DEADLINE(5 * CO_MS);
        CHECK(co_stream_flush(&p.stream) == -ETIMEDOUT);
    }
    send_plain(&p, records, rest); /* nothing has left: the stream is whole */
    CHECK(co_stream_flush(&p.stream) == 0);
    get_ping(&p);
    close_puppet(&p);
    return 0;
}

Test(tls_late, a_write_after_half_a_ticket_ends_with_the_deadline_and_can_be_made_again)
{
    run_on(2, write_and_give_up, NULL);
}

static void finish_late(void *arg)
{
    CHECK(co_stream_finish(arg) == 0);
    (void)atomic_fetch_add(&count, 1);
}

static int finish_in_between(void *arg)
{
    unsigned char records[8192];
    struct puppet p;
    size_t rest;
    char buf[4];
    int n;

    (void)arg;
    rest = begin_within_a_ticket(&p, records, sizeof records);
    {
        CO_DEADLINE(5 * CO_MS);
        CHECK(co_stream_finish(&p.stream) == -ETIMEDOUT); /* it was 0, and nothing was sent */
    }
    start(finish_late, &p.stream);
    let_wait();
    CHECK(atomic_load(&count) == 1); /* only the handshake is through */
    send_plain(&p, records, rest);
    while ((n = SSL_read(p.ssl, buf, 4)) <= 0 && SSL_get_error(p.ssl, n) == SSL_ERROR_WANT_READ)
        bring(&p);
    CHECK(SSL_get_error(p.ssl, n) == SSL_ERROR_ZERO_RETURN);
    give_pong(&p); /* the other half goes on */
    start(read_pong, &p.stream);
    until(&count, 3);
    CHECK(co_stream_write(&p.stream, "ping", 4) == -EPIPE || co_stream_flush(&p.stream) == -EPIPE);
    close_puppet(&p);
    return 0;
}

Test(tls_late, a_good_bye_after_half_a_ticket_is_said_when_the_rest_has_come)
{
    run_on(1, finish_in_between, NULL);
    run_on(2, finish_in_between, NULL);
}

/* ---- sessions ---- */

/* Most clients that have what they wanted do not wait for a good-bye, or say one. */
static int drop_and_return(void *arg)
{
    struct co_tls_server *server = new_server();
    struct co_tls_client *client;
    struct co_tls_info info;
    struct both both;

    client_conf.max_version = *(int *)arg;
    client = new_client();
    shake_well(server, client, &both);
    exchange(&both.client, &both.server.stream);
    drop_both(&both);
    shake_well(server, client, &both);
    CHECK(co_tls_describe(&both.client, &info) == 0 && info.resumed);
    exchange(&both.client, &both.server.stream);
    drop_both(&both);
    co_tls_client_free(client);
    co_tls_server_free(server);
    return 0;
}

Test(tls_late, a_session_can_be_resumed_though_nobody_has_said_good_bye)
{
    run_on(2, drop_and_return, &(int){CO_TLS_1_2});
    run_on(2, drop_and_return, &(int){CO_TLS_1_3});
}

/* ---- good-byes ---- */

static int part_badly(void *arg)
{
    struct co_tls_server *server = new_server();
    struct co_tls_client *client = new_client();
    struct both both;

    (void)arg;
    shake_well(server, client, &both);
    exchange(&both.client, &both.server.stream);
    CHECK(co_hangup(both.client.fd) == 0);
    CHECK(co_stream_finish(&both.client) == -ECANCELED);
    CHECK(co_stream_finish(&both.client) == -EPIPE); /* it was 0, as if the peer had been told */
    CHECK(co_stream_finish(&both.server.stream) == 0);
    CHECK(co_stream_finish(&both.server.stream) == 0);
    drop_both(&both);
    co_tls_client_free(client);
    co_tls_server_free(server);
    return 0;
}

Test(tls_late, a_good_bye_that_was_not_sent_is_not_taken_for_sent)
{
    run_on(2, part_badly, NULL);
}
