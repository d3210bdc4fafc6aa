/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes what a client can send: heads, and chunked bodies behind them. Whatever comes, the verdict
 * is the same whole and octet by octet, slices lie inside the head and hold no line ends, and
 * framing is never ambiguous.
 *
 * Build: clang -fsanitize=fuzzer,address,undefined with
 * netio/http/{chunk,head,octets,parse,target}.c and llhttp.
 */
#include "chunk.h"
#include "head.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct co__head_limits limits = {.head = 4096, .target = 1024, .fields = 20};

#define CHECK(what)  \
    do {             \
        if (!(what)) \
            abort(); \
    } while (0)

/* Scans and parses in steps, in memory that ends with the octets given so far. */
static int take(struct co__head *h, const uint8_t *data, size_t size, size_t step, char **ret_mem)
{
    char *mem = NULL;
    size_t have = 0;
    int r = 0;

    co__head_reset(h);
    while (r == 0 && have < size) {
        size_t n = have + step < size ? have + step : size;
        char *more = malloc(n);

        CHECK(more != NULL);
        if (have > 0)
            memcpy(more, mem, have);
        memcpy(more + have, data + have, n - have);
        free(mem);
        mem = more;
        have = n;
        r = co__head_scan(h, mem, have, &limits);
    }
    if (r > 0 && h->lines > 0) {
        int s = co__head_parse(h, (size_t)r);

        if (s == 0)
            s = co__path_split(h);
        if (s < 0)
            r = s;
    }
    *ret_mem = mem;
    return r;
}

static void slice_check(const struct co__head *h, struct co__slice s, size_t len)
{
    CHECK((size_t)s.off + s.len <= len);
    for (size_t i = 0; i < s.len; i++)
        CHECK(h->base[s.off + i] != '\r' && h->base[s.off + i] != '\n' &&
              h->base[s.off + i] != '\0');
}

static void head_check(const struct co__head *h, size_t len)
{
    CHECK(h->method_len > 0 && h->target.len > 0);
    CHECK(h->minor == 0 || (h->flags & CO__HEAD_HOST));
    CHECK(!(h->flags & CO__HEAD_TE) || (h->minor == 1 && h->content_length < 0));
    CHECK(!(h->flags & CO__HEAD_TE) == !(h->flags & CO__HEAD_CHUNKED));
    CHECK(h->field_count <= limits.fields);
    slice_check(h, h->path, len);
    slice_check(h, h->query, len);
    for (size_t i = 0; i < h->field_count; i++) {
        CHECK(h->fields[i].name.len > 0);
        slice_check(h, h->fields[i].name, len);
        slice_check(h, h->fields[i].value, len);
    }
    for (size_t i = 0; i < h->segment_count && i <= CO__SEGMENTS_MAX; i++)
        slice_check(h, h->segments[i], len);
}

/* Decodes in steps. Returns: octets of content; -1 if refused; a sum of them in *ret_sum. */
static long decode(const uint8_t *data, size_t size, size_t step, uint64_t *ret_sum,
                   size_t *ret_used)
{
    struct co__chunk chunk;
    uint64_t sum = 0;
    size_t used = 0;
    long total = 0;

    co__chunk_reset(&chunk);
    while (used < size && !co__chunk_done(&chunk)) {
        size_t n = size - used < step ? size - used : step, len;
        char *piece = malloc(n);
        const char *out;
        ssize_t r;

        CHECK(piece != NULL);
        memcpy(piece, data + used, n);
        r = co__chunk_feed(&chunk, piece, n, SIZE_MAX, &out, &len);
        if (r >= 0) {
            CHECK((size_t)r <= n && (r > 0 || co__chunk_done(&chunk)));
            CHECK(len == 0 || (out >= piece && out + len == piece + r));
            for (size_t i = 0; i < len; i++)
                sum = sum * 31 + (uint8_t)out[i];
        }
        free(piece);
        if (r < 0)
            return -1;
        used += (size_t)r;
        total += (long)len;
    }
    *ret_sum = sum;
    *ret_used = used;
    return total;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct co__head whole, pieces;
    char *a, *b;
    int r = take(&whole, data, size, size + 1, &a);
    int s = take(&pieces, data, size, 1, &b);
    uint64_t sum = 0, sum1 = 0;
    size_t used = 0, used1 = 0;
    long n, n1;

    /* Octet by octet a head that is too long is found out sooner, and so is what is wrong behind
     * that. */
    CHECK(r == s || (r < 0 && s < 0));
    if (r > 0 && whole.lines > 0) {
        head_check(&whole, (size_t)r);
        CHECK(whole.flags == pieces.flags && whole.content_length == pieces.content_length);
        CHECK(memcmp(a, b, (size_t)r) == 0);
    }
    free(a);
    free(b);
    n = decode(data, size, size + 1, &sum, &used);
    n1 = decode(data, size, 1, &sum1, &used1);
    CHECK(n == n1 && sum == sum1 && used == used1);
    return 0;
}
