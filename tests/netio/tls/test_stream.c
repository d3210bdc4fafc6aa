/* SPDX-License-Identifier: MIT */
/* Streams on TLS: what is sent arrives, in both directions at once; how they end, well and ill. */
#include "world.h"

#include <co/sockopt.h>
#include <sys/mman.h>

TestSuite(tls_stream, .init = make_world, .fini = end_world);

/* A server, a client and two streams between them, for the length of a test. */
struct play {
    struct co_tls_server *server;
    struct co_tls_client *client;
    struct both both;
};

static void begin_play(struct play *play)
{
    play->server = new_server();
    play->client = new_client();
    shake_well(play->server, play->client, &play->both);
}

static void end_play(struct play *play)
{
    drop_both(&play->both);
    co_tls_client_free(play->client);
    co_tls_server_free(play->server);
}

/* Byte i of what everybody sends. */
static char byte_at(size_t i)
{
    return (char)(i * 131 + (i >> 8) * 7);
}

/* ---- both directions at once ---- */

struct half {
    struct co_stream *stream;
    size_t len;
    size_t piece;
    _Atomic int *done;
};

static void write_half(void *arg)
{
    const struct half *half = arg;
    char *buf = malloc(half->piece);

    for (size_t at = 0; at < half->len; at += half->piece) {
        size_t len = half->len - at < half->piece ? half->len - at : half->piece;

        for (size_t i = 0; i < len; i++)
            buf[i] = byte_at(at + i);
        CHECK(co_stream_write(half->stream, buf, len) == (ssize_t)len);
    }
    CHECK(co_stream_finish(half->stream) == 0);
    free(buf);
    atomic_fetch_add(half->done, 1);
}

static void read_half(void *arg)
{
    const struct half *half = arg;
    char buf[5000];
    size_t at = 0;
    ssize_t n;

    while ((n = co_stream_read(half->stream, buf, sizeof buf)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            CHECK(buf[i] == byte_at(at + (size_t)i));
        at += (size_t)n;
    }
    CHECK(n == 0 && at == half->len);
    atomic_fetch_add(half->done, 1);
}

static int talk_both_ways(void *arg)
{
    static const size_t pieces[] = {1, 100, 16384, 70000};
    struct play play;

    (void)arg;
    for (int i = 0; i < 4; i++) {
        _Atomic int done = 0;
        size_t len = i == 0 ? 20000 : (size_t)fewer(4000000);
        struct half halves[] = {{&play.both.client, len, pieces[i], &done},
                                {&play.both.server.stream, len, pieces[i], &done}};

        begin_play(&play);
        for (int k = 0; k < 2; k++) {
            start(write_half, &halves[k]);
            start(read_half, &halves[k]);
        }
        until(&done, 4);
        end_play(&play);
    }
    return 0;
}

Test(tls_stream, both_directions_work_at_once, .timeout = 120)
{
    run_on(1, talk_both_ways, NULL);
    run_on(3, talk_both_ways, NULL);
}

Test(tls_stream, both_directions_work_at_once_with_tls_1_2, .timeout = 120)
{
    client_conf.max_version = CO_TLS_1_2;
    run_on(3, talk_both_ways, NULL);
}

/* Pieces of all sizes and none: records are made of several, and pieces of several records. */
static int send_pieces(void *arg)
{
    static const size_t lens[] = {0, 1, 16383, 0, 2, 40000, 5, 16384, 0, 100, 0};
    struct iovec iov[11];
    struct play play;
    size_t total = 0;
    char *all = malloc(200000), *got = malloc(200000);

    (void)arg;
    begin_play(&play);
    for (int i = 0; i < 11; i++) {
        iov[i] = (struct iovec){all + total, lens[i]};
        total += lens[i];
    }
    for (size_t i = 0; i < total; i++)
        all[i] = byte_at(i);
    CHECK(co_stream_writev(&play.both.client, iov, 11) == (ssize_t)total);
    CHECK(co_stream_flush(&play.both.client) == 0);
    CHECK(co_stream_readn(&play.both.server.stream, got, total) == (ssize_t)total);
    CHECK(memcmp(all, got, total) == 0);
    CHECK(co_stream_writev(&play.both.client, iov, 1) == 0); /* nothing is sent for nothing */
    exchange(&play.both.client, &play.both.server.stream);
    end_play(&play);
    free(all);
    free(got);
    return 0;
}

Test(tls_stream, pieces_of_all_sizes_arrive_as_one)
{
    run_on(2, send_pieces, NULL);
}

static int send_file(void *arg)
{
    struct play play;
    int file = memfd_create("file", MFD_CLOEXEC);
    char *buf = malloc(100000);

    (void)arg;
    for (size_t i = 0; i < 100000; i++)
        buf[i] = byte_at(i);
    CHECK(file >= 0 && write(file, buf, 100000) == 100000);
    begin_play(&play);
    CHECK(co_stream_write(&play.both.client, "head", 4) == 4);
    CHECK(co_stream_sendfile(&play.both.client, file, 1000, 1 << 20) == 99000);
    CHECK(co_stream_readn(&play.both.server.stream, buf, 99004) == 99004);
    CHECK(memcmp(buf, "head", 4) == 0 && buf[4] == byte_at(1000) && buf[99003] == byte_at(99999));
    end_play(&play);
    (void)close(file);
    free(buf);
    return 0;
}

Test(tls_stream, a_file_is_sent)
{
    run_on(2, send_file, NULL);
}

/* ---- how a stream ends ---- */

static int say_goodbye(void *arg)
{
    struct play play;
    struct co_stream *mine, *theirs;
    char buf[8];

    (void)arg;
    for (int turn = 0; turn < 2; turn++) {
        begin_play(&play);
        mine = turn ? &play.both.client : &play.both.server.stream;
        theirs = turn ? &play.both.server.stream : &play.both.client;
        CHECK(co_stream_write(mine, "last", 4) == 4);
        CHECK(co_stream_finish(mine) == 0);
        CHECK(co_stream_finish(mine) == 0);
        CHECK(co_stream_write(mine, "more", 4) == 4 && co_stream_flush(mine) == -EPIPE);
        CHECK(co_stream_readn(theirs, buf, 8) == 4 && memcmp(buf, "last", 4) == 0);
        CHECK(co_stream_read(theirs, buf, 8) == 0);
        CHECK(co_stream_read(theirs, buf, 8) == 0);
        /* The other half is open still. */
        CHECK(co_stream_write(theirs, "still", 5) == 5 && co_stream_finish(theirs) == 0);
        CHECK(co_stream_readn(mine, buf, 8) == 5 && memcmp(buf, "still", 5) == 0);
        CHECK(strcmp(co_tls_failure(theirs), "") == 0);
        end_play(&play);
    }
    return 0;
}

Test(tls_stream, a_good_bye_ends_one_half_and_no_more)
{
    run_on(2, say_goodbye, NULL);
    client_conf.max_version = CO_TLS_1_2;
    run_on(2, say_goodbye, NULL);
}

static int be_cut(void *arg)
{
    struct play play;
    char buf[8];

    (void)arg;
    begin_play(&play);
    CHECK(co_stream_write(&play.both.server.stream, "half", 4) == 4);
    CHECK(co_stream_flush(&play.both.server.stream) == 0);
    /* As somebody in between would: the socket ends, TLS does not. */
    CHECK(co_shutdown(play.both.server.stream.fd, SHUT_WR) == 0);
    CHECK(co_stream_readn(&play.both.client, buf, 4) == 4);
    CHECK(co_stream_read(&play.both.client, buf, 8) == -ECONNRESET);
    CHECK(co_stream_read(&play.both.client, buf, 8) == -ECONNRESET);
    CHECK(strstr(co_tls_failure(&play.both.client), "without a good-bye"));
    end_play(&play);
    return 0;
}

Test(tls_stream, a_stream_that_was_cut_does_not_look_like_one_that_has_ended)
{
    run_on(2, be_cut, NULL);
    client_conf.max_version = CO_TLS_1_2;
    run_on(2, be_cut, NULL);
}

static int cut_a_record(void *arg)
{
    struct play play;
    struct co_stream *server = &play.both.server.stream;
    char head[7] = {23, 3, 3, 1, 0, 0, 0}; /* of a record of 256 bytes */
    char buf[8];

    (void)arg;
    begin_play(&play);
    CHECK(co_send(server->fd, head, sizeof head) == sizeof head);
    CHECK(co_shutdown(server->fd, SHUT_WR) == 0);
    CHECK(co_stream_read(&play.both.client, buf, 8) == -ECONNRESET);
    end_play(&play);
    return 0;
}

Test(tls_stream, a_record_that_was_cut_is_noticed)
{
    run_on(2, cut_a_record, NULL);
}

static int forge(void *arg)
{
    struct play play;
    char record[5 + 40] = {23, 3, 3, 0, 40};
    char buf[8];

    (void)arg;
    begin_play(&play);
    CHECK(co_send(play.both.client.fd, record, sizeof record) == sizeof record);
    CHECK(co_stream_read(&play.both.server.stream, buf, 8) == -EPROTO);
    CHECK(strstr(co_tls_failure(&play.both.server.stream), "bad record mac"));
    CHECK(co_stream_read(&play.both.server.stream, buf, 8) == -EPROTO);
    CHECK(co_stream_write(&play.both.server.stream, "x", 1) == 1);
    CHECK(co_stream_flush(&play.both.server.stream) == -EPIPE);
    /* The client is told. */
    CHECK(co_stream_read(&play.both.client, buf, 8) == -EPROTO);
    CHECK(strstr(co_tls_failure(&play.both.client), "has refused: bad record mac"));
    end_play(&play);
    return 0;
}

Test(tls_stream, forged_bytes_are_refused_by_both)
{
    run_on(2, forge, NULL);
}

/* ---- slow, told to stop, hung up ---- */

static int read_nothing(void *arg)
{
    struct play play;
    char buf[8];

    (void)arg;
    begin_play(&play);
    {
        CO_DEADLINE(20 * CO_MS);
        CHECK(co_stream_read(&play.both.client, buf, 8) == -ETIMEDOUT);
    }
    {
        CO_DEADLINE(0);
        CHECK(co_stream_read(&play.both.client, buf, 8) == -ETIMEDOUT);
        CHECK(co_stream_flush(&play.both.client) == -ETIMEDOUT);
    }
    exchange(&play.both.client, &play.both.server.stream); /* nothing is lost */
    end_play(&play);
    return 0;
}

Test(tls_stream, a_deadline_ends_a_read_and_nothing_is_lost)
{
    run_on(2, read_nothing, NULL);
}

static int write_too_much(void *arg)
{
    struct play play;
    size_t len = 32 << 20;
    char *buf = calloc(1, len);
    ssize_t r;
    int tries = 0;

    (void)arg;
    begin_play(&play);
    do { /* once, unless the deadline has passed before it has begun */
        CO_DEADLINE(50 * CO_MS);
        r = co_stream_write(&play.both.client, buf, len);
        tries++;
    } while (r == -ETIMEDOUT);
    /* A record was cut: what came behind it would be garbage. */
    CHECK(r == -EPIPE && tries > 1);
    CHECK(co_stream_finish(&play.both.client) == -EPIPE);
    end_play(&play);
    free(buf);
    return 0;
}

Test(tls_stream, a_peer_that_does_not_read_ends_writing_with_the_deadline)
{
    run_on(2, write_too_much, NULL);
}

struct reader {
    struct co_stream *stream;
    ssize_t result;
    _Atomic int begun, done;
};

static int read_until_told(void *arg)
{
    struct reader *reader = arg;
    char buf[8];

    atomic_store(&reader->begun, 1);
    reader->result = co_stream_read(reader->stream, buf, sizeof buf);
    atomic_store(&reader->done, 1);
    return 0;
}

static void read_alone(void *arg)
{
    (void)read_until_told(arg);
}

static int hang_up(void *arg)
{
    struct play play;
    struct reader reader = {.stream = &play.both.client};
    char buf[8];

    (void)arg;
    begin_play(&play);
    start(read_alone, &reader);
    until(&reader.begun, 1);
    let_wait();
    CHECK(co_stream_read(&play.both.client, buf, 8) == -EBUSY);
    CHECK(co_hangup(play.both.client.fd) == 0);
    until(&reader.done, 1);
    CHECK(reader.result == -ECANCELED);
    CHECK(co_stream_read(&play.both.client, buf, 8) == -ECANCELED);
    CHECK(co_stream_write(&play.both.client, "x", 1) == 1);
    CHECK(co_stream_flush(&play.both.client) == -ECANCELED);
    end_play(&play);
    return 0;
}

Test(tls_stream, a_hang_up_ends_what_waits_and_what_comes)
{
    run_on(2, hang_up, NULL);
}

static int cancel_reader(void *arg)
{
    struct play play;
    struct reader reader = {.stream = &play.both.client};

    (void)arg;
    begin_play(&play);
    {
        CO_GROUP(group);

        CHECK(co_group_go(&group, read_until_told, &reader) == 0);
        until(&reader.begun, 1);
        let_wait();
        co_group_cancel(&group);
        CHECK(co_group_wait(&group) == 0);
    }
    CHECK(reader.result == -ECANCELED);
    exchange(&play.both.client, &play.both.server.stream);
    end_play(&play);
    return 0;
}

Test(tls_stream, a_reader_that_is_cancelled_has_lost_nothing)
{
    run_on(2, cancel_reader, NULL);
}

/* ---- idle ---- */

static void on_bytes(void *arg, int why)
{
    struct reader *reader = arg;
    char buf[8];

    reader->result = why < 0 ? why : co_stream_read(reader->stream, buf, sizeof buf);
    atomic_store(&reader->done, 1);
}

static int wait_without_stack(void *arg)
{
    struct play play;
    struct reader reader = {.stream = &play.both.server.stream};
    char buf[8];

    (void)arg;
    begin_play(&play);
    CHECK(co_stream_go_when(&play.both.server.stream, on_bytes, &reader) == 0);
    CHECK(co_stream_write(&play.both.client, "0123456789", 10) == 10);
    CHECK(co_stream_flush(&play.both.client) == 0);
    until(&reader.done, 1);
    CHECK(reader.result == 8);
    /* The rest is here already, and no event tells of it. */
    atomic_store(&reader.done, 0);
    CHECK(co_stream_go_when(&play.both.server.stream, on_bytes, &reader) == 0);
    until(&reader.done, 1);
    CHECK(reader.result == 2);
    CHECK(co_stream_write(&play.both.server.stream, "x", 1) == 1);
    CHECK(co_stream_close(&play.both.server.stream) == 0);
    CHECK(co_stream_read(&play.both.client, buf, 8) == 1);
    CHECK(co_stream_read(&play.both.client, buf, 8) == 0);
    end_play(&play);
    return 0;
}

Test(tls_stream, an_idle_one_waits_without_a_stack)
{
    run_on(2, wait_without_stack, NULL);
}

static int plain_is_not_tls(void *arg)
{
    struct co_tls_info info;
    struct co_stream stream;
    char buf[8];
    int fds[2];

    (void)arg;
    make_ours(fds);
    co_stream_open(&stream, fds[0]);
    CHECK(co_tls_describe(&stream, &info) == -EINVAL);
    CHECK(co_tls_peer_subject(&stream, buf, sizeof buf) == -EINVAL);
    CHECK(co_tls_peer_der(&stream, buf, sizeof buf) == -EINVAL);
    CHECK(strcmp(co_tls_failure(&stream), "") == 0);
    co_stream_drop(&stream);
    CHECK(co_close(fds[1]) == 0);
    return 0;
}

Test(tls_stream, one_that_is_plain_says_so)
{
    run_on(1, plain_is_not_tls, NULL);
}

/* ---- at a stop ---- */

static void read_to_the_end(void *arg)
{
    struct reader *reader = arg;
    char buf[8];

    atomic_store(&reader->begun, 1);
    do
        reader->result = co_stream_read(reader->stream, buf, sizeof buf);
    while (reader->result > 0);
    atomic_store(&reader->done, 1);
}

/* An idle connection of a server must not hold the stop up until the grace time is over. */
static int stop_with_idle_reader(void *arg)
{
    struct play play;
    struct reader reader = {.stream = &play.both.server.stream};
    char buf[8];

    (void)arg;
    begin_play(&play);
    start(read_to_the_end, &reader);
    until(&reader.begun, 1);
    CHECK(co_stream_write(&play.both.server.stream, "x", 1) == 1);
    CHECK(co_stream_flush(&play.both.server.stream) == 0);
    CHECK(co_stream_read(&play.both.client, buf, 8) == 1);
    let_wait();
    co_stop();
    until(&reader.done, 1);
    CHECK(reader.result == 0);
    end_play(&play);
    return 0;
}

Test(tls_stream, an_idle_one_ends_when_the_runtime_stops)
{
    run_on(2, stop_with_idle_reader, NULL);
}

static int answer_early(void *arg)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    struct play play;
    struct co_stream *client = &play.both.client, *server = &play.both.server.stream;
    char buf[8];

    (void)arg;
    begin_play(&play);
    CHECK(co_stream_write(server, "early", 5) == 5 && co_stream_flush(server) == 0);
    CHECK(co_set_option(server->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard) == 0);
    co_stream_drop(server);
    until_polled(client->fd, POLLERR);
    CHECK(co_stream_write(client, "request", 7) == 7 && co_stream_flush(client) < 0);
    CHECK(co_stream_readn(client, buf, 5) == 5 && memcmp(buf, "early", 5) == 0);
    CHECK(co_stream_read(client, buf, 8) == -ECONNRESET);
    end_play(&play);
    return 0;
}

Test(tls_stream, an_early_answer_is_read_though_the_request_could_not_be_sent)
{
    run_on(1, answer_early, NULL);
}
