/* SPDX-License-Identifier: MIT */
/*
 * co/inspect.h - look at all coroutines of the running process: what each does, or waits for, and
 * where.
 *
 * Nothing is stopped for it and no lock is taken: each coroutine is looked at by itself, and by the
 * time that it is shown it may have gone on. What is shown of one that waits was true at one
 * moment. SIGUSR1 has the same list written to stderr ([runtime] signals).
 */
#ifndef CO_INSPECT_H
#define CO_INSPECT_H

#include <co/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum co_state {
    CO_STATE_READY,   /* to run as soon as a worker comes to it */
    CO_STATE_RUNNING, /* on the worker that struct co_info names */
    CO_STATE_PARKED,  /* waits */
    CO_STATE_UNBORN,  /* waits, and has not begun: it will when its descriptor is ready */
    CO_STATE_WAKING /* has been claimed: whoever did will make it ready, or its work is offloaded */
};

enum { CO_INFO_NAME = 32, CO_INFO_WHAT = 40, CO_INFO_FRAMES = 32 };

/* One coroutine. Times are of co_now. */
struct co_info {
    uint64_t id;             /* what co_self returns there */
    enum co_state state;     /* the fields below it are valid as it says */
    int worker;              /* running: on which; else -1 */
    int cancelled;           /* 1: cancel was asked for */
    char name[CO_INFO_NAME]; /* "" if it has none; cut to fit */
    uintptr_t fn;            /* the function that it was started with */
    char what[CO_INFO_WHAT]; /* not ready, not running: what it waits for ("mutex"), or "" */
    const void *object;      /* the address of that, or NULL; what is there may be gone */
    uint64_t holder;         /* of the mutex it waits for; 0: unknown, or nobody */
    int64_t since;           /* parked, unborn: when it went to wait, to about a millisecond */
    int64_t until;           /* when its deadline ends the wait or, not waiting, would end one */
    int frames;              /* parked: so many addresses of calls, the innermost first */
    uintptr_t pc[CO_INFO_FRAMES];
};

/* Gets one coroutine. Returns: 0 to go on, anything else to stop. It may suspend in a coroutine. */
typedef int co_inspect_fn(const struct co_info *info, void *arg);

/*
 * Calls fn for every coroutine, by number. Those that start meanwhile may be left out.
 * Returns: 0; what fn returned, if not 0; -ECANCELED if no runtime runs. Suspends: if fn does.
 *   Threads: any; while a plain thread is in it, the runtime does not end.
 */
CO_API int co_inspect(co_inspect_fn *fn, void *arg);

/*
 * Writes the list of all coroutines as text to a descriptor. Those that do the same at the same
 * place are written once, with how many there are. Allocates nothing. Where the reader of the
 * descriptor is slow, what it does not take for a second is left out.
 * Returns: 0; -EBADF if fd is negative; -EBUSY if a list is being made already; -ECANCELED if no
 *   runtime runs. Suspends: never, but it keeps its thread: for some microseconds per coroutine,
 *   and while it writes. Threads: any, not signal handlers. Owns: fd stays the caller's.
 */
CO_API int co_dump(int fd);

#ifdef __cplusplus
}
#endif
#endif
