/* SPDX-License-Identifier: MIT */
/* deadlock.c - see deadlock.h. */
#include "deadlock.h"

#include "dump.h"
#include "offload.h"
#include "worker.h"
#include <co/private/clock.h>
#include <sys/stat.h>

/* ThreadSanitizer has a thread of its own. */
#if defined(__SANITIZE_THREAD__)
enum { FOREIGN = 1 };
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
enum { FOREIGN = 1 };
#else
enum { FOREIGN = 0 };
#endif
#else
enum { FOREIGN = 0 };
#endif

static struct {
    int64_t since;    /* when it was first seen in this rest; 0: it was not */
    bool told;        /* in this rest */
    uint32_t outside; /* a coroutine that waited for something outside, the last time */
} watch;

void co__deadlock_start(void)
{
    watch.since = 0;
    watch.told = false;
    watch.outside = 0;
}

static bool anything_pending(void)
{
    if (co__injector_size(&co__rt.injector) > 0)
        return true;
    for (int i = 0; i < co__rt.count; i++) {
        if (co__heap_next(&co__rt.workers[i].timers) != CO_NEVER ||
            co__injector_size(&co__rt.workers[i].inbox) > 0)
            return true;
    }
    return false;
}

/* Whether a parked coroutine waits for another, and for nothing else. */
static bool waits_inside(const struct co__coro *co)
{
    /* relaxed, both: written before the word that the caller has read. */
    return (atomic_load_explicit(&co->flags, memory_order_relaxed) & CO_PARK_INSIDE) &&
           atomic_load_explicit(&co->until, memory_order_relaxed) == CO_NEVER;
}

static uint64_t word_of(uint32_t index)
{
    /* acquire: what the coroutine wrote before it parked. */
    return atomic_load_explicit(&co__coro_at(index)->word, memory_order_acquire);
}

static bool waits_outside(uint32_t index)
{
    return index > 0 && index < co__coro_limit() && !(word_of(index) & CO__CLAIMED) &&
           !waits_inside(co__coro_at(index));
}

/* Whether all coroutines that there are are parked for each other. */
static bool all_wait_inside(void)
{
    /* relaxed: all workers have told their part before they went to sleep, which the caller saw. */
    int64_t live = atomic_load_explicit(&co__rt.live, memory_order_relaxed);
    int64_t parked = 0;

    if (live <= 0 || waits_outside(watch.outside))
        return false;
    for (uint32_t i = 1; i < co__coro_limit(); i++) {
        uint64_t word = word_of(i);

        if (word & CO__CLAIMED)
            continue; /* free, or not parked: then fewer are parked than live */
        if (!waits_inside(co__coro_at(i))) {
            watch.outside = i;
            return false;
        }
        parked++;
    }
    return parked == live;
}

/* Whether any thread is not the runtime's; if that cannot be told, there is one. */
static bool other_threads(void)
{
    struct stat task;
    int ours = co__rt.count + 1 + co__offload_threads() + FOREIGN;

    /* A directory has a link for each of its own, and two for itself. */
    return stat("/proc/self/task", &task) < 0 || (int64_t)task.st_nlink - 2 > ours ||
           task.st_nlink < 3;
}

static bool deadlocked(void)
{
    return !anything_pending() && all_wait_inside() && !other_threads();
}

int64_t co__deadlock_watch(bool quiet)
{
    int64_t now;

    if (!quiet) {
        watch.since = 0;
        watch.told = false;
        return CO_NEVER;
    }
    if (co__rt.conf.deadlock_report == 0 || watch.told || !deadlocked())
        return CO_NEVER;
    now = co__clock_real();
    if (watch.since == 0)
        watch.since = now;
    if (now - watch.since < co__rt.conf.deadlock_report)
        return watch.since + co__rt.conf.deadlock_report;
    watch.told = true;
    co_stat_add(CO__STAT_DEADLOCKS, 1);
    (void)co__dump(STDERR_FILENO,
                   "corvid: deadlock: every coroutine waits for another, and nothing else in this "
                   "process can wake one\n");
    return CO_NEVER;
}
