/* SPDX-License-Identifier: MIT */
/* tests/netio/test_stream.c - buffered reading, whatever pieces the bytes come in. */
#include "netio/world.h"
#include <co/group.h>
#include <co/stream.h>
#include <malloc.h>

TestSuite(stream, .timeout = 30);

static _Atomic int count;

static struct co_stream open_pair(struct pair *pair)
{
    struct co_stream stream;

    *pair = make_pair();
    co_stream_open(&stream, pair->ours);
    return stream;
}

static void end_pair(struct co_stream *stream, const struct pair *pair)
{
    CHECK(!stream->out.mem);
    co_stream_drop(stream);
    CHECK(!stream->in.mem && stream->fd == -1);
    CHECK(pair->plain < 0 || close(pair->plain) == 0);
}

static bool shows(const void *view, ssize_t n, const char *text)
{
    return n == (ssize_t)strlen(text) && memcmp(view, text, (size_t)n) == 0;
}

/* ---- units, from bytes that come in pieces ---- */

static const char talk[] = "one\r\ntwo\n\nthree--four--12345678rest";

/* Reads all that `talk` has, each unit by another function. */
static void read_talk(struct co_stream *stream)
{
    char buf[16];
    const void *view = NULL;
    char *line = NULL;
    ssize_t n;

    CHECK(co_stream_read_line(stream, 100, &line) == 5 && strcmp(line, "one") == 0);
    CHECK(co_stream_read_line(stream, 100, &line) == 4 && strcmp(line, "two") == 0);
    CHECK(co_stream_read_line(stream, 100, &line) == 1 && strcmp(line, "") == 0);
    n = co_stream_read_until(stream, "--", 2, 100, &view);
    CHECK(shows(view, n, "three--"));
    n = co_stream_peek(stream, 6, &view);
    CHECK(n >= 6 && memcmp(view, "four--", 6) == 0);
    CHECK(co_stream_skip(stream, 6) == 0);
    CHECK(co_stream_readn(stream, buf, 8) == 8 && memcmp(buf, "12345678", 8) == 0);
    CHECK(co_stream_readn(stream, buf, 16) == 4 && memcmp(buf, "rest", 4) == 0);
    CHECK(co_stream_read(stream, buf, 16) == 0);
    CHECK(co_stream_peek(stream, 1, &view) == 0);
    CHECK(co_stream_read_line(stream, 100, &line) == 0);
    CHECK(co_stream_read_until(stream, "--", 2, 100, &view) == 0);
    CHECK(co_stream_buffered(stream) == 0);
}

struct cut {
    int plain;
    size_t at;
};

static void say_in_two(void *arg)
{
    const struct cut *cut = arg;

    CHECK(send(cut->plain, talk, cut->at, MSG_NOSIGNAL) == (ssize_t)cut->at);
    for (int i = 0; i < 5; i++)
        (void)co_yield();
    CHECK(send(cut->plain, talk + cut->at, sizeof talk - 1 - cut->at, MSG_NOSIGNAL) >= 0);
    CHECK(shutdown(cut->plain, SHUT_WR) == 0);
    atomic_fetch_add(&count, 1); /* done with the cut */
}

static int read_cut_at_each_byte(void *arg)
{
    (void)arg;
    atomic_store(&count, 0);
    for (size_t at = 0; at < sizeof talk; at++) {
        struct pair pair;
        struct co_stream stream = open_pair(&pair);
        struct cut cut = {pair.plain, at};

        start(say_in_two, &cut);
        read_talk(&stream);
        until(&count, (int)at + 1);
        end_pair(&stream, &pair);
    }
    return 0;
}

Test(stream, reads_the_same_wherever_the_bytes_are_cut)
{
    run_on(1, read_cut_at_each_byte, NULL);
    run_on(3, read_cut_at_each_byte, NULL);
}

static int read_through_small_buffers(void *arg)
{
    (void)arg;
    for (size_t size = 64; size < 68; size++) {
        struct pair pair;
        struct co_stream stream = open_pair(&pair);
        const void *view = NULL;
        char text[600];

        CHECK(co_stream_set_size(&stream, size) == 0);
        memset(text, 'x', sizeof text);
        memcpy(text + 500, "END", 3);
        CHECK(send(pair.plain, text, sizeof text, 0) == sizeof text);
        CHECK(co_stream_read_until(&stream, "END", 3, 502, &view) == -EMSGSIZE);
        CHECK(co_stream_read_until(&stream, "END", 3, 503, &view) == 503);
        CHECK(memcmp(view, text, 503) == 0);
        CHECK(co_stream_peek(&stream, 97, &view) == 97 && memcmp(view, text + 503, 97) == 0);
        CHECK(co_stream_skip(&stream, 98) == -EINVAL);
        CHECK(co_stream_skip(&stream, 97) == 0);
        end_pair(&stream, &pair);
    }
    return 0;
}

Test(stream, reads_the_same_under_chaos)
{
    (void)setenv("CO_CHAOS", "3", 1);
    run_on(3, read_cut_at_each_byte, NULL);
}

Test(stream, a_buffer_grows_for_what_is_asked_and_stops_at_the_maximum)
{
    run_on(1, read_through_small_buffers, NULL);
}

/* ---- ends ---- */

static int end_within(void *arg)
{
    struct pair pair;
    struct co_stream stream = open_pair(&pair);
    const void *view = NULL;
    char *line = NULL;

    (void)arg;
    say(pair.plain, "no end\r");
    CHECK(shutdown(pair.plain, SHUT_WR) == 0);
    CHECK(co_stream_read_until(&stream, "\n", 1, 100, &view) == -ECONNRESET);
    CHECK(co_stream_read_until(&stream, "", 0, 100, &view) == -EINVAL);
    CHECK(co_stream_peek(&stream, 100, &view) == 7 && memcmp(view, "no end\r", 7) == 0);
    CHECK(co_stream_peek(&stream, (size_t)1 << 31, &view) == -EMSGSIZE);
    CHECK(co_stream_read_line(&stream, 100, &line) == 7 && strcmp(line, "no end\r") == 0);
    end_pair(&stream, &pair);
    return 0;
}

Test(stream, an_end_within_a_record_is_told_from_one_between_two)
{
    run_on(1, end_within, NULL);
}

static int reset_within(void *arg)
{
    struct pair pair;
    struct co_stream stream = open_pair(&pair);
    char *line = NULL;
    char buf[8];
    ssize_t n;

    (void)arg;
    say(pair.plain, "half");
    until_arrived(pair.ours, 4);
    CHECK(co_stream_readn(&stream, buf, 1) == 1);
    reset_peer(pair.plain);
    pair.plain = -1;
    n = co_stream_read_line(&stream, 100, &line);
    CHECK(n == -ECONNRESET);
    CHECK(co_stream_read(&stream, buf, 8) == 3); /* what had come stays */
    end_pair(&stream, &pair);
    return 0;
}

Test(stream, a_reset_leaves_what_had_come)
{
    run_on(1, reset_within, NULL);
}

/* ---- deadline, cancel, hang-up ---- */

static int late_line(void *arg)
{
    struct pair pair;
    struct co_stream stream = open_pair(&pair);
    char *line = NULL;

    (void)arg;
    say(pair.plain, "ab");
    {
        CO_DEADLINE(20 * CO_MS);
        CHECK(co_stream_read_line(&stream, 100, &line) == -ETIMEDOUT);
    }
    say(pair.plain, "cd\n");
    CHECK(co_stream_read_line(&stream, 100, &line) == 5 && strcmp(line, "abcd") == 0);
    {
        CO_DEADLINE(0);
        CHECK(co_stream_read_line(&stream, 100, &line) == -ETIMEDOUT);
        CHECK(co_stream_write(&stream, "x", 1) == -ETIMEDOUT);
        CHECK(co_stream_flush(&stream) == -ETIMEDOUT);
        CHECK(co_stream_finish(&stream) == -ETIMEDOUT);
    }
    end_pair(&stream, &pair);
    return 0;
}

Test(stream, a_line_that_comes_too_late_is_whole_the_next_time)
{
    run_on(1, late_line, NULL);
    run_on(3, late_line, NULL);
}

static void hang_up(void *arg)
{
    until(&count, 1);
    let_wait();
    CHECK(co_hangup(*(int *)arg) == 0);
}

static int hung_up(void *arg)
{
    struct pair pair;
    struct co_stream stream = open_pair(&pair);
    char buf[8];

    (void)arg;
    atomic_store(&count, 0);
    start(hang_up, &pair.ours);
    CHECK(co_stream_write(&stream, "kept", 4) == 4);
    atomic_store(&count, 1);
    CHECK(co_stream_read(&stream, buf, 8) == -ECANCELED);
    CHECK(co_stream_read(&stream, buf, 8) == -ECANCELED);
    CHECK(co_stream_flush(&stream) == -ECANCELED);
    CHECK(co_stream_close(&stream) == -ECANCELED);
    CHECK(close(pair.plain) == 0);
    return 0;
}

Test(stream, a_hang_up_ends_every_call)
{
    run_on(1, hung_up, NULL);
    run_on(3, hung_up, NULL);
}

static int read_in_group(void *arg)
{
    char *line = NULL;
    ssize_t n;

    atomic_store(&count, 1);
    n = co_stream_read_line(arg, 100, &line);
    CHECK(n == -ECANCELED);
    CHECK(co_stream_close(arg) == -ECANCELED); /* closed all the same */
    return 0;
}

static int cancelled(void *arg)
{
    struct pair pair;
    struct co_stream stream = open_pair(&pair);
    struct co_group group;

    (void)arg;
    atomic_store(&count, 0);
    CHECK(co_group_open(&group) == 0);
    CHECK(co_group_go(&group, read_in_group, &stream) == 0);
    until(&count, 1);
    say(pair.plain, "half a line");
    let_wait();
    co_group_cancel(&group);
    CHECK(co_group_close(&group) == 0);
    CHECK(stream.fd == -1);
    CHECK(close(pair.plain) == 0);
    return 0;
}

Test(stream, a_cancelled_reader_can_close)
{
    run_on(1, cancelled, NULL);
    run_on(3, cancelled, NULL);
}

/* ---- one of a kind ---- */

static struct co_stream shared;

static void read_alone(void *arg)
{
    char buf[4];

    (void)arg;
    atomic_store(&count, 1);
    CHECK(co_stream_read(&shared, buf, 4) == 1);
    atomic_store(&count, 2);
}

static int two_readers(void *arg)
{
    struct pair pair;
    const void *view;
    char *line;
    char buf[4];

    (void)arg;
    atomic_store(&count, 0);
    shared = open_pair(&pair);
    start(read_alone, NULL);
    until(&count, 1);
    let_wait();
    CHECK(co_stream_read(&shared, buf, 4) == -EBUSY);
    CHECK(co_stream_readn(&shared, buf, 4) == -EBUSY);
    CHECK(co_stream_peek(&shared, 1, &view) == -EBUSY);
    CHECK(co_stream_skip(&shared, 0) == -EBUSY);
    CHECK(co_stream_read_line(&shared, 9, &line) == -EBUSY);
    CHECK(co_stream_read_until(&shared, "x", 1, 9, &view) == -EBUSY);
    CHECK(co_stream_write(&shared, "writers may", 11) == 11);
    CHECK(co_stream_flush(&shared) == 0);
    say(pair.plain, "x");
    until(&count, 2);
    end_pair(&shared, &pair);
    CHECK(co_stream_read(&shared, buf, 4) == -EBADF);
    CHECK(co_stream_write(&shared, buf, 4) == -EBADF);
    CHECK(co_stream_close(&shared) == -EBADF);
    return 0;
}

Test(stream, a_second_reader_is_refused_and_a_writer_is_not)
{
    run_on(1, two_readers, NULL);
    run_on(3, two_readers, NULL);
}

enum { EXCHANGED = 200000 };

static void write_numbers(void *arg)
{
    struct co_stream *stream = arg;

    for (uint32_t i = 0; i < EXCHANGED / 4; i++)
        CHECK(co_stream_write(stream, &i, sizeof i) == sizeof i);
    CHECK(co_stream_finish(stream) == 0);
    atomic_fetch_add(&count, 1);
}

static void read_numbers(void *arg)
{
    struct co_stream *stream = arg;
    uint32_t number;

    for (uint32_t i = 0; i < EXCHANGED / 4; i++)
        CHECK(co_stream_readn(stream, &number, sizeof number) == sizeof number && number == i);
    CHECK(co_stream_read(stream, &number, 1) == 0);
    atomic_fetch_add(&count, 1);
}

static int both_ways(void *arg)
{
    struct co_stream streams[2];
    int fds[2];

    (void)arg;
    atomic_store(&count, 0);
    make_ours(fds);
    for (int i = 0; i < 2; i++) {
        co_stream_open(&streams[i], fds[i]);
        start(write_numbers, &streams[i]);
        start(read_numbers, &streams[i]);
    }
    until(&count, 4);
    for (int i = 0; i < 2; i++)
        co_stream_drop(&streams[i]);
    return 0;
}

Test(stream, reads_and_writes_at_once_on_any_workers)
{
    run_on(1, both_ways, NULL);
    run_on(3, both_ways, NULL);
}

Test(stream, reads_and_writes_at_once_under_chaos)
{
    (void)setenv("CO_CHAOS", "3", 1);
    run_on(3, both_ways, NULL);
}

/* ---- an idle stream is its struct ---- */

static void read_waiting(void *arg)
{
    char *line = NULL;

    atomic_store(&count, 1);
    CHECK(co_stream_read_line(arg, 100, &line) == 3);
    CHECK(((struct co_stream *)arg)->in.mem); /* the line is in it */
    atomic_store(&count, 2);
    CHECK(co_stream_read_line(arg, 100, &line) == 0);
    atomic_store(&count, 3);
}

static int idle_holds_nothing(void *arg)
{
    struct pair pair;

    (void)arg;
    atomic_store(&count, 0);
    shared = open_pair(&pair);
    CHECK(co_stream_write(&shared, "out", 3) == 3 && shared.out.mem);
    CHECK(co_stream_flush(&shared) == 0 && !shared.out.mem);
    start(read_waiting, &shared);
    until(&count, 1);
    let_wait();
    CHECK(!shared.in.mem);
    say(pair.plain, "ab\n");
    until(&count, 2);
    let_wait();
    CHECK(!shared.in.mem);
    CHECK(shutdown(pair.plain, SHUT_WR) == 0);
    until(&count, 3);
    end_pair(&shared, &pair);
    return 0;
}

Test(stream, holds_no_buffer_while_nothing_happens)
{
    run_on(1, idle_holds_nothing, NULL);
}

/* ---- what a worker keeps, it keeps no longer than the runtime lives ---- */

static int read_and_write(void *arg)
{
    struct pair pair;
    struct co_stream stream = open_pair(&pair);
    char *line = NULL;

    (void)arg;
    say(pair.plain, "ab\n");
    CHECK(co_stream_read_line(&stream, 100, &line) == 3);
    CHECK(co_stream_write(&stream, "out", 3) == 3 && co_stream_flush(&stream) == 0);
    end_pair(&stream, &pair);
    return 0;
}

static int do_nothing(void *arg)
{
    (void)arg;
    return co_yield();
}

Test(stream, a_runtime_that_is_over_has_given_its_buffers_back)
{
    size_t before;
    size_t after;

    run_on(2, do_nothing, NULL); /* what is made once and for all */
    before = mallinfo2().uordblks;
    run_on(2, read_and_write, NULL);
    after = mallinfo2().uordblks;
    cr_assert(after < before + CO_STREAM_SIZE, "%zu bytes, then %zu", before, after);
}

static void read_when(void *arg, int why)
{
    char *line = NULL;

    CHECK(why == (int)(intptr_t)arg);
    if (why == 0)
        CHECK(co_stream_read_line(&shared, 100, &line) > 0);
    atomic_fetch_add(&count, 1);
}

static int starts_when_there_are_bytes(void *arg)
{
    struct pair pair;
    char buf[8];

    (void)arg;
    atomic_store(&count, 0);
    shared = open_pair(&pair);
    CHECK(co_stream_go_when(&shared, read_when, NULL) == 0);
    CHECK(co_stream_read(&shared, buf, 8) == -EBUSY);
    let_wait();
    CHECK(atomic_load(&count) == 0);
    say(pair.plain, "first\nsecond\n");
    until(&count, 1);
    CHECK(co_stream_buffered(&shared) == 7);
    CHECK(co_stream_go_when(&shared, read_when, NULL) == 0); /* no byte will come any more */
    until(&count, 2);
    {
        CO_DEADLINE(10 * CO_MS);
        CHECK(co_stream_go_when(&shared, read_when, (void *)-ETIMEDOUT) == 0);
    }
    until(&count, 3);
    say(pair.plain, "5\n6\n");
    until_arrived(pair.ours, 4);
    CHECK(co_stream_readn(&shared, buf, 2) == 2);
    {
        CO_DEADLINE(0);
        CO_NOSUSPEND(); /* starting neither waits nor minds */
        CHECK(co_stream_go_when(&shared, read_when, NULL) == 0);
    }
    until(&count, 4);
    say(pair.plain, "more\nand more\n");
    until_arrived(pair.ours, 14);
    CHECK(co_stream_readn(&shared, buf, 1) == 1);
    CHECK(co_hangup(pair.ours) == 0);
    CHECK(co_stream_go_when(&shared, read_when, NULL) == -ECANCELED);
    end_pair(&shared, &pair);
    CHECK(co_stream_go_when(&shared, read_when, NULL) == -EBADF);
    return 0;
}

Test(stream, starts_a_coroutine_for_bytes_that_come_and_for_those_that_are_there)
{
    run_on(1, starts_when_there_are_bytes, NULL);
    run_on(3, starts_when_there_are_bytes, NULL);
}
