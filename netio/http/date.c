/* SPDX-License-Identifier: MIT */
/*
 * The Date field's text, made once a second for all workers.
 *
 * The cache is a sequence lock over words that are atomic each, so a reader that is overtaken reads
 * old words, never torn ones unnoticed:
 *   sequence even: `second` and `words` belong together.    writer, by CAS -> odd
 *   sequence odd:  somebody writes.                          that writer   -> even
 * Whoever finds another second, or a writer, makes the text himself; nobody waits.
 */
#include "engine.h"
#include <string.h>
#include <time.h>

static struct {
    _Atomic uint32_t sequence;
    _Atomic int64_t second;
    _Atomic uint64_t words[4];
} cache __attribute__((aligned(64)));

static void two_digits(char *dst, int n)
{
    dst[0] = (char)('0' + n / 10);
    dst[1] = (char)('0' + n % 10);
}

void co__date_format(int64_t seconds, char *dst)
{
    static const char shape[CO__DATE_LEN + 1] = "Thu, 01 Jan 1970 00:00:00 GMT";
    static const char days[] = "ThuFriSatSunMonTueWed"; /* 1970-01-01 was a Thursday */
    static const char months[] = "MarAprMayJunJulAugSepOctNovDecJanFeb";
    int64_t since = seconds < 0 ? 0 : seconds; /* a clock that was never set may run before 1970 */
    int64_t day = since / 86400;
    int rest = (int)(since % 86400);
    /* Years that begin in March end with the leap day, so lengths of months need no table. */
    int64_t z = day + 719468, era = z / 146097, doe = z % 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int doy = (int)(doe - (365 * yoe + yoe / 4 - yoe / 100));
    int month = (5 * doy + 2) / 153;
    int year = (int)(yoe + era * 400) + (month >= 10);

    for (size_t i = 0; i < CO__DATE_LEN; i++)
        dst[i] = shape[i];
    memcpy(dst, days + day % 7 * 3, 3);
    two_digits(dst + 5, doy - (153 * month + 2) / 5 + 1);
    memcpy(dst + 8, months + (size_t)month * 3, 3);
    two_digits(dst + 12, year / 100 % 100);
    two_digits(dst + 14, year % 100);
    two_digits(dst + 17, rest / 3600);
    two_digits(dst + 20, rest / 60 % 60);
    two_digits(dst + 23, rest % 60);
}

/* Offers a new text to the others, unless somebody is just doing that. */
static void publish(int64_t second, const uint64_t words[4])
{
    /* relaxed: the CAS below is what counts. */
    uint32_t seq = atomic_load_explicit(&cache.sequence, memory_order_relaxed);

    /* acquire: the words below are not written before the sequence is odd for this writer. */
    if ((seq & 1) != 0 ||
        !atomic_compare_exchange_strong_explicit(&cache.sequence, &seq, seq + 1,
                                                 memory_order_acquire, memory_order_relaxed))
        return;
    /* release, here and below: pairs with the acquire loads of a reader, who then sees the odd
     * sequence too. */
    atomic_store_explicit(&cache.second, second, memory_order_release);
    for (int i = 0; i < 4; i++) {
        /* release: as above. */
        atomic_store_explicit(&cache.words[i], words[i], memory_order_release);
    }
    /* release: pairs with the acquire load of a reader that finds this sequence. */
    atomic_store_explicit(&cache.sequence, seq + 2, memory_order_release);
}

void co__date(char *dst)
{
    uint64_t words[4] = {0};
    struct timespec now;
    /* acquire: pairs with the release store of publish; the words read below are at least that
     * new. */
    uint32_t seq = atomic_load_explicit(&cache.sequence, memory_order_acquire);

    (void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
    /* acquire, here and below: pairs with the release stores of publish; a new value brings the
     * odd sequence. */
    if ((seq & 1) == 0 &&
        atomic_load_explicit(&cache.second, memory_order_acquire) == (int64_t)now.tv_sec) {
        for (int i = 0; i < 4; i++) {
            /* acquire: as above. */
            words[i] = atomic_load_explicit(&cache.words[i], memory_order_acquire);
        }
        /* relaxed: the acquire loads keep it behind them. */
        if (atomic_load_explicit(&cache.sequence, memory_order_relaxed) == seq) {
            memcpy(dst, words, CO__DATE_LEN);
            return;
        }
    }
    co__date_format((int64_t)now.tv_sec, (char *)words);
    publish((int64_t)now.tv_sec, words);
    memcpy(dst, words, CO__DATE_LEN);
}
