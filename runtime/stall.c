/* SPDX-License-Identifier: MIT */
/* stall.c - see stall.h. */
#include "stall.h"

#include "backtrace.h"
#include <co/private/clock.h>
#include <signal.h>
#include <unistd.h>

#define SETTLE CO_SEC

/*
 * What the watchdog tells the handler. One report at a time is under way, but for a lost race in
 * its wording.
 */
static _Atomic int64_t computing_since;
static _Atomic int is_last;
static _Atomic int under_way; /* reports that were asked for and are not written yet */
static struct sigaction before;

static void describe(struct co__text *text, const struct co__worker *w)
{
    const struct co__coro *co = w->current;
    /* relaxed, both: written before the signal was sent. */
    int64_t since = atomic_load_explicit(&computing_since, memory_order_relaxed);
    bool last = atomic_load_explicit(&is_last, memory_order_relaxed /* as above */);

    co__text_str(text, "corvid: coroutine ");
    co__text_dec(text, co->index);
    if (co->name) {
        co__text_str(text, " (");
        co__text_strn(text, co->name, 64);
        co__text_str(text, ")");
    }
    co__text_str(text, " has kept worker ");
    co__text_dec(text, (uint64_t)w->index);
    co__text_str(text, " for ");
    co__text_dec(text, (uint64_t)((co__clock_real() - since) / CO_MS));
    co__text_str(text, last ? " ms, the grace time is long over, giving up"
                            : " ms without a call that suspends (co_offload is for such work)");
    co__text_str(text, "; it is at, for addr2line(1):\n");
}

static void report(void *context)
{
    char buf[4096];
    struct co__text text = {.buf = buf, .size = sizeof buf};
    const struct co__worker *w = co__worker();
    uintptr_t pc[CO__BACKTRACE_MAX];
    struct co__frame frame;
    uintptr_t low, sp;
    size_t size;

    frame = co__frame_of_signal(context, &sp);
    if (!w || !w->current || !co__stack_find((const void *)sp, &low, &size))
        return; /* it has moved on */
    describe(&text, w);
    co__backtrace_text(&text, pc, co__backtrace(frame, low, low + size, pc, CO__BACKTRACE_MAX), 0);
    co__text_write_now(&text, STDERR_FILENO);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    int saved = errno;

    (void)number;
    (void)info;
    report(context);
    errno = saved;
    /* release: pairs with co__stall_settle. */
    atomic_fetch_sub_explicit(&under_way, 1, memory_order_release);
}

void co__stall_on(void)
{
    struct sigaction action = {.sa_sigaction = on_signal,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};

    (void)sigaction(SIGURG, &action, &before);
}

void co__stall_off(void)
{
    (void)sigaction(SIGURG, &before, NULL);
}

void co__stall_report(const struct co__worker *w, int64_t since, bool giving_up)
{
    /* relaxed, both: the signal orders them. */
    atomic_store_explicit(&computing_since, since, memory_order_relaxed);
    atomic_store_explicit(&is_last, giving_up, memory_order_relaxed /* as above */);
    atomic_fetch_add_explicit(&under_way, 1, memory_order_relaxed /* as above */);
    /* relaxed: see co__worker_main. By number, since at the end the thread may be gone. */
    if (tgkill(getpid(), atomic_load_explicit(&w->tid, memory_order_relaxed), SIGURG) < 0)
        atomic_fetch_sub_explicit(&under_way, 1, memory_order_relaxed /* as above */);
}

void co__stall_settle(void)
{
    int64_t until = co__clock_real() + SETTLE;

    /* acquire: pairs with the end of the handler. */
    while (atomic_load_explicit(&under_way, memory_order_acquire) > 0 && co__clock_real() < until)
        (void)usleep(1000);
}
