/* SPDX-License-Identifier: MIT */
/*
 * tests/netio/test_stream_random.c - calls by chance, on bytes by chance that come in pieces by
 * chance, against a reader that has all of them in an array.
 */
#include "netio/world.h"
#include <co/stream.h>

TestSuite(stream_random, .timeout = 60);

enum { LONGEST = 400, GAMES = 4000 };

/* xorshift32 (Marsaglia 2003). */
static uint32_t dice(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

/* A transport that has its bytes in memory, and the oracle over the same bytes. */
struct game {
    uint32_t seed;
    size_t len;
    size_t given; /* by the transport */
    size_t taken; /* by the reader */
    char bytes[LONGEST + 1];
};

static ssize_t give(void *conn, void *buf, size_t cap)
{
    struct game *game = conn;
    size_t n = 1 + dice(&game->seed) % 40;

    if (dice(&game->seed) % 8 == 0)
        return -ETIMEDOUT; /* nothing may be lost by it */
    if (n > game->len - game->given)
        n = game->len - game->given;
    if (n > cap)
        n = cap;
    memcpy(buf, game->bytes + game->given, n);
    game->given += n;
    return (ssize_t)n;
}

static void let_be(void *conn)
{
    (void)conn;
}

static const struct co_transport giving = {.recv = give, .free = let_be};

static const char *rest(const struct game *game, size_t *ret_len)
{
    *ret_len = game->len - game->taken;
    return game->bytes + game->taken;
}

static bool play_until(struct co_stream *stream, struct game *game)
{
    const char *delim = dice(&game->seed) % 2 ? "--" : "\n";
    size_t max = 1 + dice(&game->seed) % 100;
    size_t len, reach;
    const char *bytes = rest(game, &len);
    const char *found = memmem(bytes, len, delim, strlen(delim));
    const void *view = NULL;
    ssize_t n = co_stream_read_until(stream, delim, strlen(delim), max, &view);

    if (n == -ETIMEDOUT)
        return true;
    reach = found ? (size_t)(found - bytes) + strlen(delim) : SIZE_MAX;
    if (reach <= max) {
        CHECK(n == (ssize_t)reach && memcmp(view, bytes, reach) == 0);
        game->taken += reach;
    } else if (len >= max) {
        CHECK(n == -EMSGSIZE);
    } else {
        CHECK(n == (len > 0 ? -ECONNRESET : 0));
    }
    return n != 0;
}

static bool play_line(struct co_stream *stream, struct game *game)
{
    size_t max = 1 + dice(&game->seed) % 100;
    size_t len, reach, text;
    const char *bytes = rest(game, &len);
    const char *found = memchr(bytes, '\n', len);
    char *line = NULL;
    ssize_t n = co_stream_read_line(stream, max, &line);

    if (n == -ETIMEDOUT)
        return true;
    reach = text = found ? (size_t)(found - bytes) + 1 : len;
    if (reach > max || (!found && len >= max)) {
        CHECK(n == -EMSGSIZE);
        return true;
    }
    CHECK(n == (ssize_t)reach);
    if (found) {
        text--;
        text -= text > 0 && bytes[text - 1] == '\r';
    }
    if (n > 0)
        CHECK(strlen(line) == text && memcmp(line, bytes, text) == 0);
    game->taken += reach;
    return n != 0;
}

static bool play_peek(struct co_stream *stream, struct game *game)
{
    size_t min = dice(&game->seed) % 150;
    size_t len, skip;
    const char *bytes = rest(game, &len);
    const void *view = NULL;
    ssize_t n = co_stream_peek(stream, min, &view);

    if (n == -ETIMEDOUT)
        return true;
    CHECK((size_t)n <= len && (size_t)n >= (min < len ? min : len));
    CHECK(n == 0 || memcmp(view, bytes, (size_t)n) == 0);
    skip = dice(&game->seed) % ((size_t)n + 1);
    CHECK(co_stream_skip(stream, (size_t)n + 1) == -EINVAL);
    CHECK(co_stream_skip(stream, skip) == 0);
    game->taken += skip;
    return len > 0;
}

static bool play_read(struct co_stream *stream, struct game *game)
{
    char buf[128];
    size_t cap = 1 + dice(&game->seed) % sizeof buf;
    size_t len;
    const char *bytes = rest(game, &len);
    ssize_t n = co_stream_read(stream, buf, cap);

    if (n == -ETIMEDOUT)
        return true;
    CHECK(n >= 0 && (size_t)n <= (cap < len ? cap : len) && (n > 0) == (len > 0));
    CHECK(memcmp(buf, bytes, (size_t)n) == 0);
    game->taken += (size_t)n;
    return n != 0;
}

static void play(struct game *game)
{
    static bool (*const moves[])(struct co_stream *, struct game *) = {play_until, play_line,
                                                                       play_peek, play_read};
    static const char letters[] = "abc-\r\n--";
    struct co_stream stream;

    game->len = dice(&game->seed) % (LONGEST + 1);
    for (size_t i = 0; i < game->len; i++)
        game->bytes[i] = letters[dice(&game->seed) % (sizeof letters - 1)];
    game->given = game->taken = 0;
    /* Number 0 is no descriptor of ours: the transport answers for everything. */
    co_stream_open_on(&stream, 0, &giving, game);
    CHECK(co_stream_set_size(&stream, 64) == 0);
    while (moves[dice(&game->seed) % 4](&stream, game))
        continue;
    CHECK(game->taken == game->len);
    stream.fd = -1; /* so that drop leaves number 0 alone */
    free(stream.in.mem);
}

static int play_all(void *arg)
{
    struct game *game = calloc(1, sizeof *game);

    (void)arg;
    for (uint32_t i = 1; i <= (uint32_t)fewer(GAMES); i++) {
        game->seed = i * 2654435761U;
        play(game);
    }
    free(game);
    return 0;
}

Test(stream_random, every_call_agrees_with_a_reader_that_has_all_the_bytes)
{
    run_on(1, play_all, NULL);
}
