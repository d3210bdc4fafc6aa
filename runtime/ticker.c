/* SPDX-License-Identifier: MIT */
/* ticker.c - ticks at fixed times, of co_sleep alone. */
#include <co/ticker.h>

#include <co/task.h>

/* a + b, both not negative, or for ever. */
static int64_t later(int64_t a, int64_t b)
{
    return b < CO_NEVER - a ? a + b : CO_NEVER;
}

int co_ticker_init(struct co_ticker *ticker, int64_t period)
{
    *ticker = (struct co_ticker){0};
    if (period <= 0)
        return -EINVAL;
    ticker->period = period;
    ticker->next = later(co_now(), period);
    return 0;
}

int64_t co_ticker_wait(struct co_ticker *ticker)
{
    int64_t missed;
    int64_t now;
    int r;

    if (ticker->period <= 0)
        return -EINVAL;
    /* Counted from a clock that is read before the one of co_sleep: it cannot end early. */
    r = co_sleep(ticker->next == CO_NEVER ? CO_NEVER : ticker->next - co_now());
    if (r < 0)
        return r;
    now = co_now();
    missed = (now - ticker->next) / ticker->period;
    ticker->next = later(ticker->next, ticker->period);
    ticker->next = later(ticker->next, missed * ticker->period);
    return missed;
}
