/* SPDX-License-Identifier: MIT */
/*
 * stats_row.h - the runtime's own statistics, and the row that a worker counts in.
 *
 * Each worker writes only its own row, with a plain load and a plain store, so that counting costs
 * what adding to a variable costs; anyone reads any row at any time. Row of worker -1: threads that
 * are no workers, of which several may write at once; they add with a locked instruction.
 */
#ifndef CO_RUNTIME_STATS_ROW_H
#define CO_RUNTIME_STATS_ROW_H

#include <co/stats.h>

/* The runtime's statistics; stats.c gives them their names, in the same order. */
enum co__stat_id {
    CO__STAT_TURNS,          /* rounds of the worker's loop */
    CO__STAT_RUN,            /* times a coroutine was switched to */
    CO__STAT_STOLEN,         /* coroutines taken from other workers */
    CO__STAT_STEALS,         /* calls of steal that brought something */
    CO__STAT_STEAL_TRIES,    /* calls of steal */
    CO__STAT_INJECTED,       /* coroutines that came through the injector */
    CO__STAT_PARKED,         /* coroutines that went to wait */
    CO__STAT_WOKEN,          /* coroutines made ready again */
    CO__STAT_EVENTFD_WRITES, /* system calls to wake a sleeping worker */
    CO__STAT_POLLS,          /* asks to the kernel for events */
    CO__STAT_WAITS,          /* other waits: futex, the watchdog's tick */
    CO__STAT_EPOLL_CTLS,     /* descriptors put into an epoll, changed, taken out */
    CO__STAT_SPAWNED,        /* coroutines started */
    CO__STAT_ENDED,          /* coroutines ended */
    CO__STAT_STALLS,         /* coroutines that computed for longer than stall_report */
    CO__STAT_RESCUES,        /* coroutines taken from a stalled worker */
    CO__STAT_DEADLOCKS,      /* times that all coroutines waited for each other */
    CO__STAT_FIXED
};

/*
 * The row of a worker, -1 to 255; CO_STAT_MAX numbers that start cache lines of their own.
 * Returns: a pointer that is good for ever. Threads: any.
 */
int64_t *co__stat_row(int worker);

/*
 * Adds to a statistic in a row. Threads: only the worker that owns the row; not for the row of -1.
 */
/* NOLINTNEXTLINE(readability-non-const-parameter): the store through it is a built-in. */
static inline void co__stat_add(int64_t *row, int id, int64_t delta)
{
    /* Relaxed: one thread writes the row, and its readers want a recent number, not an order. */
    int64_t value = __atomic_load_n(&row[id], __ATOMIC_RELAXED);
    /* Relaxed, as above. */
    __atomic_store_n(&row[id], value + delta, __ATOMIC_RELAXED);
}

/* Counts one event in a row. Threads: as co__stat_add. */
static inline void co__stat(int64_t *row, int id)
{
    co__stat_add(row, id, 1);
}

#endif
