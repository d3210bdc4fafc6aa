/* SPDX-License-Identifier: MIT */
/* Peers that are slow, mad or bad, and handshakes that are ended from outside. */
#include "world.h"

TestSuite(tls_hostile, .init = make_world, .fini = end_world);

/* Accepts on a connection whose other end is plain and has said something already. */
static int accept_within(int64_t ns, const char *said, size_t len, bool and_end,
                         struct co_tls_why *why)
{
    struct co_tls_server *server = new_server();
    struct pair pair = make_pair();
    struct co_stream stream;
    int r;
    CO_DEADLINE(ns);

    CHECK(send(pair.plain, said, len, MSG_NOSIGNAL) == (ssize_t)len);
    if (and_end)
        CHECK(shutdown(pair.plain, SHUT_WR) == 0);
    r = co_tls_accept(server, pair.ours, &stream, why);
    CHECK(r < 0);
    close_pair(&pair); /* it is still ours */
    co_tls_server_free(server);
    return r;
}

static int accept_after(const char *said, size_t len, bool and_end, struct co_tls_why *why)
{
    return accept_within(60 * CO_SEC, said, len, and_end, why);
}

static int speak_otherwise(void *arg)
{
    static const char http[] = "GET / HTTP/1.1\r\nHost: example.test\r\n\r\n";
    static const char proxy[] = "CONNECT example.test:443 HTTP/1.1\r\n\r\n";
    static const char smtp[] = "EHLO example.test\r\n";
    static const char ssl2[] = {(char)0x80, 0x2e, 1, 0, 2, 0, 21, 0, 0, 0, 16, 1, 0, 2};
    char zeros[600] = {0}, ones[600];
    struct co_tls_why why = {""};

    (void)arg;
    memset(ones, 0xff, sizeof ones);
    CHECK(accept_after(http, sizeof http - 1, false, &why) == -EPROTO);
    CHECK(strcmp(why.text, "the peer speaks HTTP, and not TLS") == 0);
    CHECK(accept_after(proxy, sizeof proxy - 1, false, &why) == -EPROTO);
    CHECK(strcmp(why.text, "the peer speaks HTTP, and not TLS") == 0);
    CHECK(accept_after(smtp, sizeof smtp - 1, false, &why) == -EPROTO);
    CHECK(accept_after(zeros, sizeof zeros, false, &why) == -EPROTO);
    CHECK(accept_after(ones, sizeof ones, false, &why) == -EPROTO);
    CHECK(accept_after(ssl2, sizeof ssl2, true, &why) < 0);
    CHECK(accept_after("", 0, true, &why) == -ECONNRESET);
    CHECK(strstr(why.text, "gone during the handshake"));
    CHECK(accept_after("\x16\x03\x01\x02", 4, true, &why) == -ECONNRESET);
    return 0;
}

Test(tls_hostile, who_speaks_something_else_is_refused)
{
    run_on(1, speak_otherwise, NULL);
    run_on(2, speak_otherwise, NULL);
}

/* Records of chance, every other one with the head of a hello. */
static int speak_by_chance(void *arg)
{
    unsigned seed = 1;
    char said[64] = "\x16\x03\x01\x00\x3b\x01\x00\x00\x37\x03\x03";

    (void)arg;
    for (int i = 0; i < fewer(200); i++) {
        for (size_t k = i % 2 ? 11 : 5; k < sizeof said; k++) {
            seed = seed * 1103515245 + 12345;
            said[k] = (char)(seed >> 16);
        }
        CHECK(accept_after(said, sizeof said, true, NULL) < 0);
    }
    return 0;
}

Test(tls_hostile, hellos_by_chance_are_refused, .timeout = 60)
{
    run_on(2, speak_by_chance, NULL);
}

static int fall_silent(void *arg)
{
    struct co_tls_why why = {""};

    (void)arg;
    CHECK(accept_within(30 * CO_MS, "\x16\x03\x01\x02\x00\x01\x00", 7, false, &why) == -ETIMEDOUT);
    CHECK(strcmp(why.text, co_strerror(-ETIMEDOUT)) == 0);
    server_conf.handshake_timeout = 30 * CO_MS;
    CHECK(accept_after("\x16\x03\x01\x02\x00\x01\x00", 7, false, &why) == -ETIMEDOUT);
    CHECK(accept_after("", 0, false, NULL) == -ETIMEDOUT);
    return 0;
}

Test(tls_hostile, silence_after_half_a_record_ends_with_the_deadline_or_the_time_out)
{
    run_on(2, fall_silent, NULL);
}

/* A client's half that a plain peer never answers, or answers with nonsense. */
static int meet_silence(void *arg)
{
    struct co_tls_client *client;
    struct co_tls_why why = {""};
    struct co_stream stream;
    struct pair pair = make_pair();

    (void)arg;
    client_conf.handshake_timeout = 30 * CO_MS;
    client = new_client();
    CHECK(co_tls_connect(client, pair.ours, "example.test", &stream, &why) == -ETIMEDOUT);
    close_pair(&pair);
    client_conf.handshake_timeout = 0;
    co_tls_client_free(client);
    client = new_client();
    pair = make_pair();
    say(pair.plain, "SSH-2.0-OpenSSH_9.2\r\n");
    CHECK(co_tls_connect(client, pair.ours, "example.test", &stream, &why) == -EPROTO);
    CHECK(strstr(why.text, "does not speak TLS"));
    close_pair(&pair);
    pair = make_pair();
    CHECK(shutdown(pair.plain, SHUT_WR) == 0);
    CHECK(co_tls_connect(client, pair.ours, "example.test", &stream, &why) == -ECONNRESET);
    close_pair(&pair);
    pair = make_pair();
    reset_peer(pair.plain);
    CHECK(co_tls_connect(client, pair.ours, "example.test", &stream, &why) < 0);
    CHECK(co_close(pair.ours) == 0);
    co_tls_client_free(client);
    return 0;
}

Test(tls_hostile, a_server_that_is_none_is_noticed)
{
    run_on(2, meet_silence, NULL);
}

/* ---- told to stop during the handshake ---- */

static int accept_in_group(void *arg)
{
    accept_here(arg);
    return 0;
}

static int end_handshake(void *arg)
{
    struct co_tls_server *server = new_server();
    struct pair pair;

    (void)arg;
    for (int how = 0; how < 2; how++) {
        struct accepting accepting = {.server = server};
        CO_GROUP(group);

        pair = make_pair();
        accepting.fd = pair.ours;
        CHECK(co_group_go(&group, accept_in_group, &accepting) == 0);
        let_wait();
        if (how == 0)
            co_group_cancel(&group);
        else
            CHECK(co_hangup(pair.ours) == 0);
        CHECK(co_group_wait(&group) == 0);
        CHECK(accepting.result == -ECANCELED);
        CHECK(close(pair.plain) == 0); /* accept_here has closed ours */
    }
    co_tls_server_free(server);
    return 0;
}

Test(tls_hostile, a_handshake_ends_with_cancel_and_with_hang_up)
{
    run_on(2, end_handshake, NULL);
}

static int begin_too_late(void *arg)
{
    struct co_tls_server *server = new_server();
    struct co_tls_client *client = new_client();
    struct co_tls_why why = {""};
    struct co_stream stream;
    int fds[2];

    (void)arg;
    make_ours(fds);
    {
        CO_DEADLINE(0);
        CHECK(co_tls_accept(server, fds[1], &stream, &why) == -ETIMEDOUT);
        CHECK(co_tls_connect(client, fds[0], "example.test", &stream, &why) == -ETIMEDOUT);
    }
    CHECK(co_hangup(fds[0]) == 0);
    CHECK(co_tls_connect(client, fds[0], "example.test", &stream, &why) == -ECANCELED);
    CHECK(co_close(fds[0]) == 0 && co_close(fds[1]) == 0);
    CHECK(co_tls_accept(server, -1, &stream, &why) == -EBADF);
    co_tls_client_free(client);
    co_tls_server_free(server);
    return 0;
}

Test(tls_hostile, a_handshake_does_not_begin_after_the_deadline)
{
    run_on(2, begin_too_late, NULL);
}

/* ---- a byte at a time ---- */

struct relay {
    int from, to;
    _Atomic int done;
};

static void *drip(void *arg)
{
    struct relay *relay = arg;
    char byte;

    while (recv(relay->from, &byte, 1, 0) == 1 && send(relay->to, &byte, 1, MSG_NOSIGNAL) == 1)
        continue;
    (void)shutdown(relay->to, SHUT_WR);
    atomic_store(&relay->done, 1);
    return NULL;
}

static int drop_by_drop(void *arg)
{
    struct co_tls_server *server = new_server();
    struct co_tls_client *client = new_client();
    struct pair left = make_pair(), right = make_pair();
    struct relay relays[] = {{.from = left.plain, .to = right.plain},
                             {.from = right.plain, .to = left.plain}};
    struct accepting accepting = {.server = server, .fd = right.ours};
    struct co_stream stream;
    struct co_tls_why why = {""};
    pthread_t threads[2];
    char buf[8];

    (void)arg;
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, drip, &relays[i]) == 0);
    start(accept_here, &accepting);
    CHECK(co_tls_connect(client, left.ours, "example.test", &stream, &why) == 0);
    until(&accepting.done, 1);
    CHECK(accepting.result == 0);
    exchange(&stream, &accepting.stream);
    CHECK(co_stream_finish(&stream) == 0);
    CHECK(co_stream_read(&accepting.stream, buf, 8) == 0);
    CHECK(co_stream_close(&accepting.stream) == 0);
    CHECK(co_stream_read(&stream, buf, 8) == 0);
    CHECK(co_stream_close(&stream) == 0);
    for (int i = 0; i < 2; i++) {
        until(&relays[i].done, 1);
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    CHECK(close(left.plain) == 0 && close(right.plain) == 0);
    co_tls_client_free(client);
    co_tls_server_free(server);
    return 0;
}

Test(tls_hostile, a_byte_at_a_time_is_enough)
{
    run_on(2, drop_by_drop, NULL);
    client_conf.max_version = CO_TLS_1_2;
    run_on(2, drop_by_drop, NULL);
}

/* ---- after the handshake ---- */

static void flood_with_key_updates(struct raw *raw)
{
    for (int i = 0; i < 5000; i++) {
        if (SSL_key_update(raw->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1 ||
            SSL_do_handshake(raw->ssl) != 1)
            break;
    }
    atomic_store(&raw->told, 1);
}

static int be_flooded(void *arg)
{
    struct co_tls_server *server = new_server();
    struct raw raw = {.fn = flood_with_key_updates};
    struct co_stream stream;
    char buf[8];

    (void)arg;
    meet_raw(server, &raw, &stream);
    CHECK(co_stream_read(&stream, buf, 8) == -EPROTO);
    CHECK(strstr(co_tls_failure(&stream), "messages without an end"));
    co_stream_drop(&stream);
    end_raw(&raw);
    co_tls_server_free(server);
    return 0;
}

Test(tls_hostile, a_flood_of_key_updates_is_cut_off)
{
    run_on(1, be_flooded, NULL);
    run_on(2, be_flooded, NULL);
}

/* Asks for new keys, both ways, between messages; each is answered by an echo. */
static void update_and_talk(struct raw *raw)
{
    char buf[4096];

    memset(buf, 'x', sizeof buf);
    for (int i = 0; i < 100; i++) {
        size_t done = 0;

        if (SSL_key_update(raw->ssl, SSL_KEY_UPDATE_REQUESTED) != 1 ||
            SSL_write(raw->ssl, buf, sizeof buf) != sizeof buf)
            return;
        while (done < sizeof buf) {
            int n = SSL_read(raw->ssl, buf, sizeof buf);

            if (n <= 0)
                return;
            done += (size_t)n;
        }
    }
    (void)SSL_shutdown(raw->ssl);
    atomic_store(&raw->told, 1);
}

static int echo_raw(void *arg)
{
    struct co_tls_server *server = new_server();
    struct raw raw = {.fn = update_and_talk};
    struct co_stream stream;
    char buf[4096];
    ssize_t n;

    (void)arg;
    meet_raw(server, &raw, &stream);
    while ((n = co_stream_read(&stream, buf, sizeof buf)) > 0)
        CHECK(co_stream_write(&stream, buf, (size_t)n) == n && co_stream_flush(&stream) == 0);
    if (n < 0)
        (void)fprintf(stderr, "echo: %zd %s\n", n, co_tls_failure(&stream));
    CHECK(n == 0);
    CHECK(atomic_load(&raw.told) == 1 || atomic_load(&raw.done) == 0);
    co_stream_drop(&stream);
    end_raw(&raw);
    CHECK(atomic_load(&raw.told) == 1);
    co_tls_server_free(server);
    return 0;
}

Test(tls_hostile, new_keys_are_taken_and_given_between_messages)
{
    run_on(2, echo_raw, NULL);
}

/* The same while our writer is stuck, because the peer reads nothing for a while. */
static void update_and_sleep(struct raw *raw)
{
    char buf[65536];
    size_t got = 0;
    int n;

    for (int i = 0; i < 10; i++) {
        if (SSL_key_update(raw->ssl, SSL_KEY_UPDATE_REQUESTED) != 1 ||
            SSL_write(raw->ssl, "x", 1) != 1)
            return;
    }
    while (atomic_load(&raw->told) == 0) /* until our writer is stuck, and our reader has read */
        (void)usleep(1000);
    while (got < (4 << 20) && (n = SSL_read(raw->ssl, buf, sizeof buf)) > 0)
        got += (size_t)n;
    if (got == 4 << 20)
        atomic_store(&raw->told, 2);
}

struct writer {
    struct co_stream *stream;
    _Atomic int done;
};

static void write_4_mib(void *arg)
{
    struct writer *writer = arg;
    char *buf = calloc(1, 4 << 20);

    CHECK(co_stream_write(writer->stream, buf, 4 << 20) == 4 << 20);
    free(buf);
    atomic_store(&writer->done, 1);
}

static int answer_while_stuck(void *arg)
{
    struct co_tls_server *server = new_server();
    struct raw raw = {.fn = update_and_sleep};
    struct co_stream stream;
    struct writer writer = {.stream = &stream};
    char buf[16];

    (void)arg;
    meet_raw(server, &raw, &stream);
    start(write_4_mib, &writer);
    let_wait();
    CHECK(atomic_load(&writer.done) == 0);
    CHECK(co_stream_readn(&stream, buf, 10) == 10);
    atomic_store(&raw.told, 1);
    until(&writer.done, 1);
    until(&raw.done, 1);
    CHECK(atomic_load(&raw.told) == 2);
    co_stream_drop(&stream);
    end_raw(&raw);
    co_tls_server_free(server);
    return 0;
}

Test(tls_hostile, a_reader_answers_while_the_writer_is_stuck)
{
    run_on(1, answer_while_stuck, NULL);
    run_on(3, answer_while_stuck, NULL);
}

/* TLS 1.2: the server stays with what was agreed on, and says so. */
static void renegotiate(struct raw *raw)
{
    char buf[8];

    if (SSL_write(raw->ssl, "a", 1) != 1 || SSL_renegotiate(raw->ssl) != 1)
        return;
    atomic_store(&raw->told, 1);
    if (SSL_do_handshake(raw->ssl) != 1 || SSL_read(raw->ssl, buf, 8) <= 0)
        atomic_store(&raw->told, 2); /* as it should be */
}

static int be_asked_to_renegotiate(void *arg)
{
    struct co_tls_server *server = new_server();
    struct raw raw = {.fn = renegotiate, .version = TLS1_2_VERSION};
    struct co_stream stream;
    char buf[8];
    ssize_t n;

    (void)arg;
    meet_raw(server, &raw, &stream);
    CHECK(co_stream_read(&stream, buf, 8) == 1 && buf[0] == 'a');
    n = co_stream_read(&stream, buf, 8); /* the client gives up when it is told */
    CHECK(n <= 0);
    co_stream_drop(&stream);
    end_raw(&raw);
    CHECK(atomic_load(&raw.told) == 2);
    co_tls_server_free(server);
    return 0;
}

Test(tls_hostile, there_is_no_renegotiation)
{
    run_on(2, be_asked_to_renegotiate, NULL);
}

/* A hello that was cut. Never anything but an error. */
static int cut_everywhere(void *arg)
{
    struct co_tls_server *server = new_server();
    struct co_tls_client *client = new_client();
    int cuts = 0;

    (void)arg;
    for (int left = 0; left<2000; left += fewer(370)> 37 ? 37 : 200) {
        struct pair near = make_pair(), far = make_pair();
        struct accepting accepting = {.server = server, .fd = far.ours};
        char buf[4096];
        ssize_t n;
        int passed = 0;

        start(accept_here, &accepting);
        {
            CO_DEADLINE(2 * CO_MS); /* the client only has to say its hello */
            struct co_stream stream;

            CHECK(co_tls_connect(client, near.ours, "example.test", &stream, NULL) == -ETIMEDOUT);
        }
        n = recv(near.plain, buf, sizeof buf, MSG_DONTWAIT);
        if (n > 0) {
            passed = n < left ? (int)n : left;
            CHECK(send(far.plain, buf, (size_t)passed, MSG_NOSIGNAL) == passed);
        }
        CHECK(shutdown(far.plain, SHUT_WR) == 0);
        until(&accepting.done, 1);
        CHECK(accepting.result == -ECONNRESET || accepting.result == -EPROTO);
        close_pair(&near);
        CHECK(close(far.plain) == 0);
        cuts++;
    }
    CHECK(cuts > 5);
    co_tls_client_free(client);
    co_tls_server_free(server);
    return 0;
}

Test(tls_hostile, a_hello_that_is_cut_anywhere_is_an_error)
{
    run_on(2, cut_everywhere, NULL);
}
