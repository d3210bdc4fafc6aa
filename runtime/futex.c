/* SPDX-License-Identifier: MIT */
/* futex.c - the two system calls behind futex.h. */
#include "futex.h"

#include "stats_row.h"
#include <co/private/stats.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void co__futex_wait(const void *word, uint32_t value, int64_t until)
{
    struct timespec at = {.tv_sec = until / CO_SEC, .tv_nsec = until % CO_SEC};

    co__count(CO__STAT_WAITS);
    /* WAIT_BITSET takes an absolute time of the monotonic clock; WAIT would take a relative one. */
    (void)syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value, until == CO_NEVER ? NULL : &at,
                  NULL, FUTEX_BITSET_MATCH_ANY);
}

void co__futex_wake(const void *word, int count)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}
