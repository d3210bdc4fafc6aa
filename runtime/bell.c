/* SPDX-License-Identifier: MIT */
/* bell.c - the word of bell.h. tests/model/bell.c runs it. */
#include "bell.h"

#include "cpu.h"
#include <co/private/clock.h>

enum { LOOKS = 8 }; /* at the word, for each at the clock */

bool co__bell_ring(struct co__bell *bell)
{
    /* release: pairs with the acquire in co__bell_rise. */
    return atomic_exchange_explicit(&bell->word, CO__BELL_RUNG, memory_order_release) ==
           CO__BELL_ASLEEP;
}

bool co__bell_is_rung(const struct co__bell *bell)
{
    /* relaxed: co__bell_rise acquires. Who asks because of an edge: that came after the ring. */
    return atomic_load_explicit(&bell->word, memory_order_relaxed) == CO__BELL_RUNG;
}

bool co__bell_listen(const struct co__bell *bell, int64_t span)
{
    int64_t end = co__clock_real() + span;

    do {
        for (int i = 0; i < LOOKS; i++) {
            if (co__bell_is_rung(bell))
                return true;
            co__cpu_relax();
        }
    } while (co__clock_real() < end);
    return co__bell_is_rung(bell);
}

bool co__bell_rest(struct co__bell *bell)
{
    uint32_t word = CO__BELL_AWAKE;

    /* relaxed, both: the word alone says who tells whom; co__bell_rise follows in any case. */
    return atomic_compare_exchange_strong_explicit(&bell->word, &word, CO__BELL_ASLEEP,
                                                   memory_order_relaxed, memory_order_relaxed);
}

bool co__bell_rise(struct co__bell *bell)
{
    /* acquire: pairs with the release in co__bell_ring. */
    return atomic_exchange_explicit(&bell->word, CO__BELL_AWAKE, memory_order_acquire) ==
           CO__BELL_RUNG;
}
