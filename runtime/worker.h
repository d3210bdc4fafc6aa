/* SPDX-License-Identifier: MIT */
/*
 * worker.h - a worker: one thread, one libuv loop, one epoll, one deque of ready coroutines.
 */
#ifndef CO_RUNTIME_WORKER_H
#define CO_RUNTIME_WORKER_H

#include "bell.h"
#include "coro.h"
#include "deque.h"
#include "idle.h"
#include "injector.h"
#include "linger.h"
#include "stats_row.h"
#include <co/conf.h>
#include <pthread.h>
#include <uv.h>

/* Why a coroutine switched to its worker. */
enum co__action { CO__ACTION_PARK, CO__ACTION_YIELD, CO__ACTION_END };

enum co__worker_state { CO__RUNNING, CO__SLEEPING };

struct co__worker {
    /* The owner thread's. What each turn and each call looks at comes first, in two lines. */
    _Alignas(
        CO__CACHE_LINE) struct co__coro *current; /* who runs; NULL on the worker's own stack */
    int64_t *stats;
    co_commit_fn *commit;
    void *commit_arg;
    int64_t clock; /* the monotonic clock, read not long ago */
    enum co__action action;
    int budget;             /* calls that the running coroutine may still make before it yields */
    int countdown;          /* turns until the next look at the outside */
    int lifo_run;           /* coroutines taken from the LIFO slot in a row */
    bool batching;          /* readiness is being delivered: wake others once, at the end */
    bool searching;         /* counted as a searcher */
    bool local_turn;        /* the pinned ones had the last turn */
    bool oldest_turn;       /* after the last look the oldest of the deque had a turn */
    bool keeps;             /* it is the keeper of a stuck worker: see vigil.h */
    bool uv_open;           /* the loop is initialised */
    struct co__queue local; /* pinned here and ready; the owner's alone */
    struct co__context context;

    int index;
    int64_t uv_ran;     /* when the libuv loop ran last */
    int64_t live;       /* coroutines started less ended here, not yet told to the runtime */
    int64_t polled;     /* when it looked at the epoll last */
    int poll_countdown; /* looks until it looks at the epoll, however little time has passed */
    uint32_t random;
    int64_t measured_at;    /* when turns were measured last, */
    uint32_t measured_turn; /* and which it was */
    struct co__stack_cache stacks;
    struct co__coro *free;
    int free_count;
    int epoll;
    int wake_fd;
    uv_loop_t loop;
    pthread_t thread;    /* whoever may come late asks by these, which outlive it: */
    clockid_t cpu_clock; /* of its CPU time */
    _Atomic pid_t tid;   /* 0: the thread has not begun */
    struct co__linger linger;

    /* Everybody's. */
    _Alignas(CO__CACHE_LINE) struct co__bell bell;
    _Alignas(CO__CACHE_LINE) _Atomic(struct co__coro *) lifo;
    struct co__deque deque;
    struct co__injector inbox; /* coroutines pinned to this worker */
    struct co__heap timers;
    _Alignas(CO__CACHE_LINE) _Atomic uint32_t turn; /* heartbeat: turns and sleeps */
    _Atomic int64_t turn_ns;                        /* how long turns took lately: an estimate */
    _Atomic int state;                              /* enum co__worker_state */
    _Atomic uint64_t stuck;   /* the lookout's verdict: CO__STUCK | the turn that lasts; or 0 */
    _Atomic uint64_t noisy;   /* the verdict under which its epoll is not to be waited for */
    _Atomic int keeper;       /* 1 + the sleeper that waits for its epoll too; 0: nobody */
    _Atomic uint32_t naps;    /* how often it has gone to sleep */
    _Atomic uint32_t running; /* index of the running coroutine, for reports */
};

/* Above all turns. */
#define CO__STUCK (UINT64_C(1) << 32)

/* Phases of a runtime; they only go up. */
enum co__phase { CO__RUN, CO__DRAIN, CO__CANCEL, CO__STOP };

struct co__runtime {
    struct co_conf conf;
    int count; /* workers */
    struct co__worker *workers;
    struct co__idle idle;
    struct co__injector injector;
    _Alignas(
        CO__CACHE_LINE) _Atomic int64_t live; /* coroutines, less what workers have not told yet */
    _Atomic int phase;                        /* enum co__phase */
    _Atomic int64_t stop_asked;               /* when co_stop was called; 0: it was not */
    _Atomic int drain_told;                   /* a worker calls, or has called, the hooks for it */
    _Atomic int stuck;                        /* workers that the lookout holds for stuck */
    int main_result;
    _Atomic int64_t cut_at; /* a second signal has cut the grace time short then; 0: none */
};

extern struct co__runtime co__rt;

/*
 * The calling thread's worker, NULL on other threads. Never inlined and never taken for a constant:
 * a coroutine that has suspended must ask again.
 */
struct co__worker *co__worker(void);
void co__worker_set(struct co__worker *w);

int co__worker_start(struct co__worker *w, int index);
void co__worker_stop(struct co__worker *w);
void co__worker_main(struct co__worker *w);

/* Makes a coroutine ready to run. Threads: any, while the runtime cannot end. */
void co__ready(struct co__coro *co);

/*
 * Leaves the running coroutine's stack for its worker's. Returns: the worker it runs on when it is
 * back.
 */
struct co__worker *co__suspend(struct co__worker *w, enum co__action action);

/* Lets others run. Returns: the worker it runs on then. */
struct co__worker *co__worker_yield(struct co__worker *w);

/*
 * What is made ready between the two goes to the deque, and one wake-up at most follows. Threads:
 * the owner.
 */
void co__batch_begin(struct co__worker *w);
void co__batch_end(struct co__worker *w);

/* Runs the libuv loop once without waiting. Threads: the owner, on its own stack. */
void co__worker_uv(struct co__worker *w);

/* Wakes one sleeper, if work was published that nobody looks for. Threads: any. */
void co__notify(void);

/*
 * Rings a worker's bell, and if it sleeps, writes to its wake-up descriptor: its sleep ends, or the
 * next one does not begin. Returns: whether it took a system call. Threads: any, and signal
 * handlers.
 */
bool co__worker_kick(struct co__worker *w);

/* Whether a worker is stuck: others serve it until its turn counter moves. Threads: any. */
static inline bool co__is_stuck(const struct co__worker *w)
{
    /* relaxed, both: hints, right within a look; to serve one that is not stuck does no harm. */
    uint64_t stuck = atomic_load_explicit(&w->stuck, memory_order_relaxed);

    return stuck &&
           (uint32_t)stuck == atomic_load_explicit(&w->turn, memory_order_relaxed /* as above */);
}

/* Reads the clock into w->clock. */
static inline int64_t co__worker_clock(struct co__worker *w)
{
    return w->clock = co_now();
}

#endif
