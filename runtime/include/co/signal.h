/* SPDX-License-Identifier: MIT */
/*
 * co/signal.h - wait for signals of the operating system in a coroutine.
 *
 *     sigset_t set;
 *
 *     (void)sigemptyset(&set);
 *     (void)sigaddset(&set, SIGHUP);
 *     CO_SIGNAL(reload, &set);
 *     while (co_signal_wait(&reload) == SIGHUP)
 *         read_settings();
 *
 * A watch takes its signals from whoever had them before: from the moment it is open until it is
 * closed they have no other effect, whichever thread they strike. Each signal that is caught goes
 * to every watch that is open for it, and is kept there until somebody waits; as with the kernel's
 * own, several of one number that come before somebody waits may count as one. When the last watch
 * for a signal closes, its handler is what it was before.
 *
 * So a watch for SIGTERM or SIGINT stands in for co_run's own handling: who has it decides, and
 * calls co_stop. To let a second one kill the process, close the watch after the first and set the
 * signal to SIG_DFL.
 *
 * When the runtime begins to stop, waits return -ECANCELED once what was caught has been taken,
 * like co_accept: a program need not look after its watches to end in time.
 */
#ifndef CO_SIGNAL_H
#define CO_SIGNAL_H

#include <co/waitlist.h>
#include <signal.h>
#include <sys/select.h> /* sigset_t, where <signal.h> is that of the C standard alone */

#ifdef __cplusplus
extern "C" {
#endif

/* A watch; the fields are the library's. */
struct co_signal {
    uint64_t set;    /* signal n is bit n - 1 */
    uint64_t caught; /* and not yet waited for */
    int32_t err;     /* why it is not open */
    struct co_signal *next;
    struct co_waitlist waiters;
};

/*
 * Opens a watch for the signals of a set. It has to stay where it is until it is closed; what is
 * still open when co_run returns is closed by that.
 * Returns: 0; -EPERM outside a coroutine; -EINVAL for an empty set, and for what cannot be caught
 *   or is not sent by others: SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT,
 *   SIGSYS, and SIGURG, which the runtime needs itself; -EBUSY for one that the caller of co_run
 *   had blocked: the workers have it blocked, too, because somebody else means to take it, by
 *   sigwait(3) or signalfd(2). Suspends: never. Threads: coroutines.
 */
CO_API int co_signal_open(struct co_signal *watch, const sigset_t *set);

/*
 * Waits for one of the signals. Of several that were caught the lowest number comes first. Several
 * may wait on the same watch: each signal goes to one of them, first come, first served.
 * Returns: the signal's number; -ETIMEDOUT; -ECANCELED, also when the runtime stops or the watch is
 *   closed meanwhile; -EPERM outside a coroutine; for a watch that is not open, what
 *   co_signal_open returned. Suspends: yes. Threads: coroutines.
 */
CO_API CO_NODISCARD int co_signal_wait(struct co_signal *watch);

/*
 * Closes a watch; what it has caught and nobody waited for is gone. NULL and a watch that is not
 * open are nothing to do.
 * Suspends: never. Threads: any; at the end of co_run at the latest nobody else may be in it.
 */
CO_API void co_signal_close(struct co_signal *watch);

/* A watch to the end of the block. If it cannot be opened, waits say why. */
#define CO_SIGNAL(name, set)                                         \
    struct co_signal name __attribute__((cleanup(co_signal_close))); \
    const int CO_CAT(co_signal_, __LINE__) __attribute__((unused)) = co_signal_open(&name, set)

#ifdef __cplusplus
}
#endif
#endif
