/* SPDX-License-Identifier: MIT */
/*
 * signals.c - watches for signals: a handler that sets a bit, a worker that tells the watches.
 *
 * The handler runs on any thread at any moment, so it does what co_stop does: it notes the signal
 * in one word and kicks the workers. The next that looks outside takes the word, adds it to what
 * each open watch has caught, and wakes who waits there. docs/decisions/0024 tells why it is
 * neither signalfd(2) nor libuv.
 *
 *   a bit of co__signals_caught   set by the handler, before the kick; taken by co__signals_deliver
 *   a bit of a watch's `caught`   set by co__signals_deliver, under the latch; taken by a waiter
 *
 * `settings` is the lock over counts and handlers, which are system calls; the latch is for the
 * list and the watches. They are taken in that order.
 */
#include <co/signal.h>

#include "outside.h"
#include "run.h"
#include "signals.h"
#include <pthread.h>

enum { SIGNALS = 64 };
#define OVER 1000 /* instead of a number, for who waits in vain */

_Atomic uint64_t co__signals_caught;

static pthread_mutex_t settings = PTHREAD_MUTEX_INITIALIZER;
static struct {
    int watches;             /* open ones that have it */
    struct sigaction before; /* while there are any */
} signals[SIGNALS];

static struct co_latch latch;
static struct co_signal *all; /* that are open; changed under both locks */

static uint64_t bit(int number)
{
    return UINT64_C(1) << (number - 1);
}

static int lowest(uint64_t set)
{
    return __builtin_ctzll(set) + 1;
}

/* ---- catching ---- */

static void on_signal(int number)
{
    int saved = errno;

    if (!co__outside_enter())
        return;
    /* seq_cst: first the bit, then the kick; against "publish the sleep, then look". While another
     * bit is set, whoever set it is about to kick or has done so. */
    if (atomic_fetch_or_explicit(&co__signals_caught, bit(number), memory_order_seq_cst) == 0) {
        for (int i = 0; i < co__rt.count; i++)
            (void)co__worker_kick(&co__rt.workers[i]);
    }
    co__outside_leave();
    errno = saved;
}

/* ---- telling ---- */

/* Under the latch. Hands what was caught to those who wait for it. */
static void serve(struct co_signal *watch, struct co_claimed *claimed)
{
    while (watch->caught && watch->waiters.head) {
        int number = lowest(watch->caught);

        if (co_waitlist_claim_into(&watch->waiters, number, claimed))
            watch->caught &= ~bit(number);
    }
}

void co__signals_deliver(void)
{
    struct co_claimed claimed = {0};
    /* seq_cst: one order with the handler's; a bit that is set after this has its own kick. */
    uint64_t caught = atomic_exchange_explicit(&co__signals_caught, 0, memory_order_seq_cst);

    co_latch_take(&latch);
    for (struct co_signal *watch = all; watch; watch = watch->next) {
        watch->caught |= caught & watch->set;
        serve(watch, &claimed);
    }
    co_latch_give(&latch);
    co_waitlist_finish(&claimed);
}

/* Under the latch. Ends the waits of a watch in vain. */
static void dismiss(struct co_signal *watch, struct co_claimed *claimed)
{
    while (watch->waiters.head)
        (void)co_waitlist_claim_into(&watch->waiters, OVER, claimed);
}

void co__signals_drain(void)
{
    struct co_claimed claimed = {0};

    co_latch_take(&latch);
    for (struct co_signal *watch = all; watch; watch = watch->next)
        dismiss(watch, &claimed);
    co_latch_give(&latch);
    co_waitlist_finish(&claimed);
}

/* ---- waiting ---- */

/* Under the latch. */
static int try_take(void *obj, struct co_waiter *waiter)
{
    struct co_signal *watch = obj;

    if (watch->caught) {
        int number = lowest(watch->caught);

        watch->caught &= ~bit(number);
        waiter->want = (uint64_t)number;
        return 1;
    }
    /* The phase is set before co__signals_drain takes the latch: one of the two sees the other. */
    waiter->want = OVER;
    return watch->set == 0 || co__run_draining();
}

int co_signal_wait(struct co_signal *watch)
{
    struct co_waiter waiter;
    int r = co_check();

    if (r < 0 || (r = watch->err) < 0)
        return r;
    co__signals_check(); /* what was caught comes before the end */
    r = co_waitlist_park(&watch->waiters, &latch, &waiter, try_take, watch, 0);
    if (r == 0)
        r = (int)waiter.want;
    return r == OVER ? -ECANCELED : r;
}

/* ---- opening and closing ---- */

/* What stands for a fault in the program, cannot be caught, or is the runtime's. */
static bool refused(int number)
{
    static const int others[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE,
                                 SIGILL,  SIGTRAP, SIGABRT, SIGSYS, SIGURG};

    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (others[i] == number)
            return true;
    }
    return false;
}

/* Returns: 0, or why the set cannot be watched. */
static int look_at(const sigset_t *set, uint64_t *ret_bits)
{
    uint64_t bits = 0;
    sigset_t blocked;

    (void)pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    for (int number = 1; number <= SIGNALS; number++) {
        if (sigismember(set, number) != 1)
            continue;
        if (refused(number))
            return -EINVAL;
        if (sigismember(&blocked, number) == 1)
            return -EBUSY;
        bits |= bit(number);
    }
    *ret_bits = bits;
    return bits ? 0 : -EINVAL;
}

/* Both under the lock. The last to leave a signal puts its handler back. */
static void leave(uint64_t set)
{
    for (; set; set &= set - 1) {
        int number = lowest(set);

        if (--signals[number - 1].watches == 0)
            (void)sigaction(number, &signals[number - 1].before, NULL);
    }
}

static int enter(uint64_t set)
{
    /* On the signal stack: a coroutine's may be small. */
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_ONSTACK};

    (void)sigfillset(&action.sa_mask);
    for (uint64_t rest = set; rest; rest &= rest - 1) {
        int number = lowest(rest);

        if (signals[number - 1].watches == 0 &&
            sigaction(number, &action, &signals[number - 1].before) < 0) {
            int r = -errno;

            leave(set & (bit(number) - 1));
            return r;
        }
        signals[number - 1].watches++;
    }
    return 0;
}

static void add_watch(struct co_signal *watch, uint64_t set)
{
    co_latch_take(&latch);
    watch->set = set;
    watch->next = all;
    all = watch;
    co_latch_give(&latch);
}

/* Returns: what it had watched; 0: it is none. */
static uint64_t remove_watch(struct co_signal *watch)
{
    struct co_claimed claimed = {0};
    struct co_signal **link = &all;
    uint64_t set = 0;

    co_latch_take(&latch);
    while (*link && *link != watch)
        link = &(*link)->next;
    if (*link) {
        *link = watch->next;
        dismiss(watch, &claimed);
        set = watch->set;
        watch->set = watch->caught = 0;
    }
    co_latch_give(&latch);
    co_waitlist_finish(&claimed);
    return set;
}

int co_signal_open(struct co_signal *watch, const sigset_t *set)
{
    uint64_t bits = 0;
    int r = co_self() ? look_at(set, &bits) : -EPERM;

    *watch = (struct co_signal){.err = r};
    if (r < 0)
        return r;
    pthread_mutex_lock(&settings);
    add_watch(watch, bits); /* before the handler is there: what it catches is for somebody */
    r = enter(bits);
    if (r < 0)
        (void)remove_watch(watch);
    pthread_mutex_unlock(&settings);
    watch->err = r;
    return r;
}

void co_signal_close(struct co_signal *watch)
{
    if (!watch || watch->err < 0)
        return;
    pthread_mutex_lock(&settings);
    leave(remove_watch(watch));
    pthread_mutex_unlock(&settings);
}

void co__signals_forget(void)
{
    for (int number = 1; number <= SIGNALS; number++) {
        if (signals[number - 1].watches > 0)
            (void)sigaction(number, &signals[number - 1].before, NULL);
        signals[number - 1].watches = 0;
    }
    all = NULL;
    /* relaxed: whoever handles a signal from here on has no watch to tell. */
    atomic_store_explicit(&co__signals_caught, 0, memory_order_relaxed);
}

void co__signals_end(void)
{
    pthread_mutex_lock(&settings);
    co_latch_take(&latch);
    co__signals_forget();
    co_latch_give(&latch);
    pthread_mutex_unlock(&settings);
}
