/* SPDX-License-Identifier: MIT */
/* lookout.c - see lookout.h. */
#include "lookout.h"

#include "stall.h"
#include "trace.h"
#include "vigil.h"
#include <co/private/clock.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A turn of a thread that is not on a CPU counts as stuck after this long. */
#define BLOCKED (5 * CO_MS)
/* After a stall others are likely. A later one is noticed SLOW (watchdog.c) late, once in ALERT. */
#define ALERT (2 * CO_SEC)

/* What was seen of a worker last. */
struct sight {
    uint32_t turn;
    int64_t since;     /* when this turn was first seen */
    int64_t cpu;       /* the thread's CPU time then */
    int64_t report_at; /* this stall, if it still lasts then; never: it was reported */
};

static struct {
    struct co_latch latch; /* over the sights; only tried */
    _Atomic int64_t next;  /* when to look again */
    _Atomic int64_t alert; /* until then stalls are to be expected */
    struct sight sights[CO__WORKERS_MAX];
} lookout;

void co__lookout_start(int64_t now)
{
    for (int i = 0; i < CO__WORKERS_MAX; i++)
        lookout.sights[i] = (struct sight){.since = now};
    /* relaxed, both: no other thread yet. */
    atomic_store_explicit(&lookout.next, now + CO__LOOKOUT_EVERY, memory_order_relaxed);
    atomic_store_explicit(&lookout.alert, 0, memory_order_relaxed /* as above */);
}

/* The CPU time of a worker's thread so far. */
static int64_t cpu_time(const struct co__worker *w)
{
    struct timespec time;

    if (clock_gettime(w->cpu_clock, &time) < 0)
        return 0;
    return time.tv_sec * CO_SEC + time.tv_nsec;
}

/* Whether a turn computes, and has done so for long. */
static bool computes(const struct sight *sight, int64_t now, int64_t cpu)
{
    int64_t spent = now - sight->since;

    return spent >= CO__LOOKOUT_EVERY && cpu - sight->cpu >= spent / 2;
}

/*
 * Whether a worker's thread is ready to run and only waits for a CPU (proc(5), stat: the letter
 * after the name in parentheses). Whether it sleeps in a system call instead, its CPU time does not
 * tell.
 */
static bool waits_for_cpu(const struct co__worker *w)
{
    /* relaxed: see co__worker_main. */
    pid_t tid = atomic_load_explicit(&w->tid, memory_order_relaxed);
    char path[64], text[128];
    char *name_end;
    ssize_t n;
    int fd;

    if (tid == 0)
        return true; /* it waits to begin */
    (void)snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)tid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    n = read(fd, text, sizeof text - 1);
    (void)close(fd);
    text[n > 0 ? n : 0] = '\0';
    name_end = strrchr(text, ')');
    return name_end && strncmp(name_end, ") R", 3) == 0;
}

/*
 * Reports a stall that has lasted for `stall_report`, once. A thread that has hardly run meanwhile
 * and wants to is the kernel's doing, and no report: what it looks like is seen again later.
 */
static void report(const struct co__worker *w, struct sight *sight, int64_t now, int64_t cpu)
{
    int64_t spent = now - sight->since;

    if (co__rt.conf.stall_report <= 0 || spent < co__rt.conf.stall_report || now < sight->report_at)
        return;
    if (cpu - sight->cpu < spent / 2 && waits_for_cpu(w)) {
        sight->report_at = now + co__rt.conf.stall_report;
        return;
    }
    sight->report_at = CO_NEVER;
    /* relaxed: a hint, who it may have been. Traced first: who waits for the counter goes on. */
    CO__TRACE(NULL, stall, atomic_load_explicit(&w->running, memory_order_relaxed), spent / CO_MS);
    co_stat_add(CO__STAT_STALLS, 1);
    co__stall_report(w, sight->since, false);
}

/* Returns: whether somebody has to come to it. */
static bool look_at(struct co__worker *w, struct sight *sight, int64_t now)
{
    /* acquire: before the heartbeat, which a sleep moves, too. */
    bool running = atomic_load_explicit(&w->state, memory_order_acquire) == CO__RUNNING;
    /* relaxed, both: heartbeat and verdict are hints, right within a look. */
    uint32_t turn = atomic_load_explicit(&w->turn, memory_order_relaxed);
    uint64_t was = atomic_load_explicit(&w->stuck, memory_order_relaxed);
    int64_t cpu = running ? cpu_time(w) : 0;
    bool lasts = running && turn == sight->turn;
    bool busy = lasts && computes(sight, now, cpu);
    /*
     * A thread that has not had the CPU has been preempted by the kernel, and nobody can help it to
     * run sooner; or it is blocked in a system call, which takes longer to tell.
     */
    bool stuck = busy || (lasts && now - sight->since >= BLOCKED);
    uint64_t verdict = stuck ? CO__STUCK | turn : 0;

    if (!running || turn != sight->turn)
        *sight = (struct sight){.turn = turn, .since = now, .cpu = cpu};
    if (busy) /* relaxed: for the watchdog's pace alone */
        atomic_store_explicit(&lookout.alert, now + ALERT, memory_order_relaxed);
    if (verdict != was) {
        atomic_store_explicit(&w->stuck, verdict, memory_order_relaxed /* as above */);
        atomic_fetch_add_explicit(&co__rt.stuck, (verdict != 0) - (was != 0), memory_order_relaxed);
    }
    if (stuck)
        report(w, sight, now, cpu);
    return stuck && co__vigil_wanted(w, now);
}

bool co__lookout(int64_t now)
{
    bool wanted = false;

    if (co__clock_is_stopped()) /* by a test; how long a turn takes is told by the machine's */
        now = co__clock_real();
    /* relaxed: whoever is late finds the latch taken, or the time put off. */
    if (now < atomic_load_explicit(&lookout.next, memory_order_relaxed) ||
        !co_latch_try(&lookout.latch))
        return false;
    atomic_store_explicit(&lookout.next, now + CO__LOOKOUT_EVERY,
                          memory_order_relaxed /* as above */);
    for (int i = 0; i < co__rt.count; i++)
        wanted |= look_at(&co__rt.workers[i], &lookout.sights[i], now);
    co_latch_give(&lookout.latch);
    if (wanted && co__rt.conf.stealing)
        co__notify();
    return true;
}

int64_t co__lookout_next(void)
{
    /* relaxed: who comes too early finds that there is nothing to do. */
    return atomic_load_explicit(&lookout.next, memory_order_relaxed);
}

bool co__lookout_alert(int64_t now)
{
    /* relaxed: a moment late is early enough. */
    return now < atomic_load_explicit(&lookout.alert, memory_order_relaxed);
}

bool co__lookout_name_all(void)
{
    bool any = false;

    co_latch_take(&lookout.latch);
    for (int i = 0; i < co__rt.count; i++) {
        /* relaxed: written under the latch. */
        if (atomic_load_explicit(&co__rt.workers[i].stuck, memory_order_relaxed)) {
            co__stall_report(&co__rt.workers[i], lookout.sights[i].since, true);
            any = true;
        }
    }
    co_latch_give(&lookout.latch);
    return any;
}
