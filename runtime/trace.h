/* SPDX-License-Identifier: MIT */
/*
 * trace.h - what happened last, twice: as an event in a ring per worker, if [runtime] trace is on,
 * and as a USDT probe, if <sys/sdt.h> was there when this was built.
 *
 * A point that nobody listens to costs a nop and a test of a pointer that is never written while
 * workers run. The probe of a point is corvid:<kind>, its arguments are the coroutine and the word
 * below; which worker it was, the thread tells.
 */
#ifndef CO_RUNTIME_TRACE_H
#define CO_RUNTIME_TRACE_H

#include <co/base.h>

#ifdef CO_WITH_PROBES
#include <sys/sdt.h>
#define CO__PROBE(kind, coro, word) DTRACE_PROBE2(corvid, kind, coro, word)
#else
#define CO__PROBE(kind, coro, word) ((void)0)
#endif

/* Every kind: its name, and what its word means. */
#define CO__TRACE_KINDS(X)                                                 \
    X(spawn, "by")     /* the coroutine that started it, 0: none */        \
    X(run, "")         /* a worker switches to it */                       \
    X(park, "flags")   /* it has left its stack to wait: CO_PARK_* */      \
    X(yield, "")       /* it has left its stack, but stays ready */        \
    X(end, "")         /* its function has returned */                     \
    X(wake, "result")  /* made ready: what co_park will return */          \
    X(steal, "count")  /* the first of so many that were stolen */         \
    X(rescue, "from")  /* a stuck worker is served by this one */          \
    X(poll, "events")  /* epoll had so many */                             \
    X(sleep, "for")    /* the worker sleeps for so many ns, or for ever */ \
    X(awake, "events") /* it is back; epoll had so many */                 \
    X(stall, "ms")     /* it has computed for so long */

enum co__trace_kind {
#define CO__TRACE_KIND(name, word) CO__TRACE_##name,
    CO__TRACE_KINDS(CO__TRACE_KIND)
#undef CO__TRACE_KIND
};

struct co__worker;
struct co__trace_ring;

/* One per worker and one for plain threads; NULL: off. Constant while a runtime runs. */
extern struct co__trace_ring *co__trace_rings;

/* One point. w: NULL on plain threads. */
#define CO__TRACE(w, kind, coro, word)                                 \
    do {                                                               \
        CO__PROBE(kind, coro, word);                                   \
        if (__builtin_expect(co__trace_rings != NULL, 0))              \
            co__trace_add(w, CO__TRACE_##kind, coro, (int64_t)(word)); \
    } while (0)

/* The slow half. Threads: any. */
void co__trace_add(const struct co__worker *w, enum co__trace_kind kind, uint32_t coro,
                   int64_t word) __attribute__((noinline, cold));

/* Before the first worker's thread and after the last. Returns: 0 or -ENOMEM. */
int co__trace_start(int workers);
void co__trace_stop(void);

/* For who is about to abort: waits for nobody and asks nothing. */
int co__trace_write(int fd, int max);

#endif
