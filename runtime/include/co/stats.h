/* SPDX-License-Identifier: MIT */
/*
 * co/stats.h - counters that stay on: each worker counts in a row of its own, readers add the rows
 * up.
 *
 * A statistic is registered once by name and is then a small number. The runtime's own are always
 * there. "Worker -1" stands for all threads that are no workers. None of this suspends.
 */
#ifndef CO_STATS_H
#define CO_STATS_H

#include <co/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The most statistics there can be, the runtime's included. */
#define CO_STAT_MAX 64

#define CO_STAT_COUNTER 0 /* only grows, until co_stats_reset */
#define CO_STAT_GAUGE   1 /* goes up and down */

/*
 * Registers a statistic, or finds the one of that name. A name has at most 63 letters of a to z,
 * digits and _, and no digit first; help is one sentence.
 * Returns: its id, 0 or more; -ENOSPC if there are CO_STAT_MAX; -EINVAL for a name or kind that is
 *   none; -EEXIST if the name is registered as another kind or with a function. Threads: any.
 *   Owns: name and help must live as long as the process.
 */
CO_API CO_NODISCARD int co_stat_register(const char *name, const char *help, int kind);

/* Gives the part of a worker, or with -1 the part that belongs to none. It must not suspend and
 * must not call co_stat_ functions. */
typedef int64_t co_stat_fn(int worker, void *arg);

/*
 * Registers a statistic that is computed when it is read. The same name registered again replaces
 * the function.
 * Returns: as co_stat_register. Threads: any. Owns: name, help and fn must live as long as the
 *   process, arg until co_stat_unregister_reader.
 */
CO_API CO_NODISCARD int co_stat_register_reader(const char *name, const char *help, int kind,
                                                co_stat_fn *fn, void *arg);

/*
 * Lets go of a computed statistic's function and arg: after this the function does not run, and the
 * statistic reads as 0. The id stays with the name. Does nothing if another arg was registered
 * under the name since.
 * Threads: any.
 */
CO_API void co_stat_unregister_reader(int id, const void *arg);

/*
 * Adds to a statistic, for the worker that runs the caller; no locked instruction on workers. An id
 * that is negative, unknown or a computed one's is ignored, so a failed registration needs no care.
 * Suspends: never. Threads: any; not signal handlers.
 */
CO_API void co_stat_add(int id, int64_t delta);

/*
 * Returns: how many statistics there are; ids are 0 to this less 1. Threads: any.
 */
CO_API int co_stat_count(void);

/*
 * Returns: the name; NULL for an unknown id. Threads: any.
 */
CO_API const char *co_stat_name(int id);

/*
 * Returns: the sentence that explains it; NULL for an unknown id. Threads: any.
 */
CO_API const char *co_stat_help(int id);

/*
 * Returns: CO_STAT_COUNTER or CO_STAT_GAUGE; -ENOENT for an unknown id. Threads: any.
 */
CO_API int co_stat_kind(int id);

/*
 * One worker's part, -1 to 255, at about this moment.
 * Returns: the value; 0 for an unknown id or worker. Threads: any.
 */
CO_API int64_t co_stat_value(int id, int worker);

/*
 * The sum over all workers and other threads. Rows are read one after another while workers count
 * on, so sums of two statistics need not agree to the unit.
 * Returns: the sum; 0 for an unknown id. Threads: any.
 */
CO_API int64_t co_stat_total(int id);

/*
 * Sets all counts to zero, and leaves computed statistics alone. co_run does it when it starts.
 * Threads: any, while no runtime runs.
 */
CO_API void co_stats_reset(void);

/*
 * Writes everything in Prometheus' text format: corvid_turns_total{worker="0"} 17. Threads that are
 * no workers are worker="none".
 * Returns: the length of the whole text without its NUL, as snprintf does: with cap or more, the
 * text was cut.
 *   Threads: any.
 */
CO_API size_t co_stats_prometheus(char *buf, size_t cap);

#ifdef __cplusplus
}
#endif
#endif
