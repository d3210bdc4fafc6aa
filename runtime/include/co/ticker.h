/* SPDX-License-Identifier: MIT */
/*
 * co/ticker.h - do something every so often: at fixed times that do not drift, however long each
 * round takes.
 *
 *     struct co_ticker ticker;
 *     int64_t missed;
 *
 *     (void)co_ticker_init(&ticker, CO_SEC);
 *     while ((missed = co_ticker_wait(&ticker)) >= 0)
 *         sample(1 + missed);
 *
 * Ticks come at start + period, start + 2 * period, and so on. A round that takes longer than the
 * period misses ticks: the next wait returns at once, says how many were missed besides, and the
 * one after it is back in step.
 */
#ifndef CO_TICKER_H
#define CO_TICKER_H

#include <co/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The fields are the library's. There is nothing to destroy. */
struct co_ticker {
    int64_t period;
    int64_t next; /* when the next tick is due */
};

/*
 * Starts a ticker: the first tick is due in `period` nanoseconds.
 * Returns: 0; -EINVAL if period is not positive: waits return that too. Suspends: never. Threads:
 *   any.
 */
CO_API int co_ticker_init(struct co_ticker *ticker, int64_t period);

/*
 * Waits for the next tick; if it has passed already, only yields. A wait that fails takes no tick.
 * Returns: how many ticks were missed between the one before and this one, 0 in the normal case;
 *   -ETIMEDOUT if the deadline in force comes first; -ECANCELED; -EPERM outside a coroutine;
 *   -EINVAL for a ticker that was not initialised. Suspends: yes. Threads: coroutines, one at a
 *   time.
 */
CO_API CO_NODISCARD int64_t co_ticker_wait(struct co_ticker *ticker);

#ifdef __cplusplus
}
#endif
#endif
