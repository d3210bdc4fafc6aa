/* SPDX-License-Identifier: MIT */
/* run.c - co_run from start to end, and co_stop. */
#include "run.h"

#include "conf.h"
#include "cpus.h"
#include "deadlock.h"
#include "dump.h"
#include "fork.h"
#include "futex.h"
#include "live.h"
#include "lookout.h"
#include "offload.h"
#include "outside.h"
#include "overflow.h"
#include "park.h"
#include "signals.h"
#include "stack_stats.h"
#include "stall.h"
#include "trace.h"
#include "watchdog.h"
#include <co/private/chaos.h>
#include <co/private/clock.h>
#include <co/private/poll.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HOOKS = 8 };

/* Functions of layers above that are called at some point of a runtime's life. */
struct hooks {
    void (*fn[HOOKS])(void);
    _Atomic int count;
};

static struct hooks on_drain, on_end;
static _Atomic int occupied; /* a runtime runs, or was given up */
static struct sigaction old_term, old_int, old_usr1, old_pipe;

static int add_hook(struct hooks *hooks, void (*fn)(void))
{
    /* relaxed: hooks are registered before anything could need them; see the header. */
    int i = atomic_fetch_add_explicit(&hooks->count, 1, memory_order_relaxed);

    if (i >= HOOKS)
        return -ENOSPC;
    hooks->fn[i] = fn;
    return 0;
}

static void call_hooks(struct hooks *hooks)
{
    /* relaxed: see add_hook. */
    for (int i = 0; i < atomic_load_explicit(&hooks->count, memory_order_relaxed); i++)
        hooks->fn[i]();
}

int co__on_drain(void (*fn)(void))
{
    return add_hook(&on_drain, fn);
}

int co__on_end(void (*fn)(void))
{
    return add_hook(&on_end, fn);
}

/* ---- stopping ---- */

/* Returns: whether there was a runtime to stop. Threads: any; signal handlers. */
static bool ask_to_stop(void)
{
    int64_t never = 0;

    if (!co__outside_enter())
        return false;
    /* seq_cst: then the kicks; against "publish the sleep, then look" of the workers. */
    if (atomic_compare_exchange_strong_explicit(&co__rt.stop_asked, &never, co__clock_real(),
                                                memory_order_seq_cst,
                                                memory_order_relaxed /* it was already */)) {
        for (int i = 0; i < co__rt.count; i++)
            (void)co__worker_kick(&co__rt.workers[i]);
    }
    co__outside_leave();
    return true;
}

void co_stop(void)
{
    (void)ask_to_stop();
}

bool co_stopping(void)
{
    /* relaxed: an answer that may be a moment old. */
    return atomic_load_explicit(&co__rt.stop_asked, memory_order_relaxed) != 0;
}

bool co__run_draining(void)
{
    /* seq_cst: see co/private/source.h. */
    return atomic_load_explicit(&co__rt.phase, memory_order_seq_cst) >= CO__DRAIN;
}

bool co__run_urgent(void)
{
    if (co__signals_urgent())
        return true;
    /* seq_cst: part of the second look. relaxed: whoever has told sees to it. */
    return atomic_load_explicit(&co__rt.stop_asked, memory_order_seq_cst) &&
           !atomic_load_explicit(&co__rt.drain_told, memory_order_relaxed) &&
           atomic_load_explicit(&co__rt.phase, memory_order_relaxed /* it is the last */) !=
               CO__STOP;
}

bool co__run_begin_drain(void)
{
    int phase = CO__RUN;

    /* relaxed: a moment later will do. */
    if (!atomic_load_explicit(&co__rt.stop_asked, memory_order_relaxed))
        return false;
    /* seq_cst: the phase first, then everybody who waits; against who waits and then looks at the
     * phase. A runtime that has come to its end meanwhile stays there. */
    return atomic_compare_exchange_strong_explicit(&co__rt.phase, &phase, CO__DRAIN,
                                                   memory_order_seq_cst,
                                                   memory_order_relaxed /* nothing follows */);
}

void co__run_check(struct co__worker *w)
{
    co__signals_check();
    /* relaxed, both: co__run_urgent looks again before a sleep. */
    if (!atomic_load_explicit(&co__rt.stop_asked, memory_order_relaxed) ||
        atomic_load_explicit(&co__rt.drain_told, memory_order_relaxed))
        return;
    if (co__run_begin_drain())
        co__idle_tell(&co__rt.idle); /* the watchdog keeps the grace time */
    /* seq_cst: as in co__run_begin_drain, if another thread has made the step. */
    if (atomic_load_explicit(&co__rt.phase, memory_order_seq_cst) == CO__STOP)
        return;
    /* relaxed: only one of the workers tells. */
    if (atomic_exchange_explicit(&co__rt.drain_told, 1, memory_order_relaxed))
        return;
    co__batch_begin(w);
    call_hooks(&on_drain);
    co__signals_drain();
    co__batch_end(w);
}

bool co__run_last_asleep(void)
{
    if (co__live_end()) {
        /* release: pairs with the loads in the workers' loops and the watchdog. */
        atomic_store_explicit(&co__rt.phase, CO__STOP, memory_order_release);
        return true;
    }
    if (co__clock_is_stopped())
        co__clock_wind();
    return false;
}

void co__run_finished(void)
{
    for (int i = 0; i < co__rt.count; i++)
        (void)co__worker_kick(&co__rt.workers[i]);
}

/* Signals that come closer together are one: a terminal and a parent may both pass it on. */
enum { APART = 200 * CO_MS };

static _Atomic int64_t first_signal;
static _Atomic int missed; /* a signal that came before the runtime could be told, or too late */

/* The first stops; another one, by somebody who is tired of waiting, ends the grace time. */
static void on_signal(int number)
{
    int64_t now = co__clock_real();
    int64_t first = 0;

    /* relaxed, both: only signals look at it. */
    if (atomic_compare_exchange_strong_explicit(&first_signal, &first, now, memory_order_relaxed,
                                                memory_order_relaxed) ||
        !co_stopping()) {
        if (ask_to_stop())
            return;
        /* seq_cst: then the door once more; against "open the door, then look". */
        atomic_store_explicit(&missed, number, memory_order_seq_cst);
        if (ask_to_stop()) /* relaxed: or the starter has, and it has been cleared */
            atomic_store_explicit(&missed, 0, memory_order_relaxed);
    } else if (now - first >= APART && co__outside_enter()) {
        first = 0;
        /* seq_cst: before the watchdog is told; later ones change nothing. */
        (void)atomic_compare_exchange_strong_explicit(&co__rt.cut_at, &first, now,
                                                      memory_order_seq_cst,
                                                      memory_order_relaxed /* cut already */);
        co__idle_tell(&co__rt.idle);
        co__outside_leave();
    }
}

static void on_list_signal(int number)
{
    (void)number;
    co__dump_ask(); /* a futex(2) that cannot fail: errno stays as it is */
}

static void signals_on(void)
{
    /* On the signal stack: they strike in coroutines, whose own may be small. */
    struct sigaction list = {.sa_handler = on_list_signal, .sa_flags = SA_RESTART | SA_ONSTACK};
    struct sigaction stop = {.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_ONSTACK};
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    /* relaxed, both: no handler is there yet. */
    atomic_store_explicit(&first_signal, 0, memory_order_relaxed);
    atomic_store_explicit(&missed, 0, memory_order_relaxed /* as above */);
    (void)sigaction(SIGPIPE, &ignore, &old_pipe); /* sendfile(2) has no flag against it */
    if (co__rt.conf.signals) {
        (void)sigaction(SIGTERM, &stop, &old_term);
        (void)sigaction(SIGINT, &stop, &old_int);
        (void)sigaction(SIGUSR1, &list, &old_usr1);
    }
}

static void signals_off(void)
{
    if (co__rt.conf.signals) {
        (void)sigaction(SIGTERM, &old_term, NULL);
        (void)sigaction(SIGINT, &old_int, NULL);
        (void)sigaction(SIGUSR1, &old_usr1, NULL);
    }
}

/* Once nothing sends any more. */
static void pipe_signal_back(void)
{
    (void)sigaction(SIGPIPE, &old_pipe, NULL);
}

void co__run_handlers_off(void)
{
    co__signals_forget();
    co__stall_off();
    signals_off();
    pipe_signal_back();
}

/* ---- starting and ending ---- */

/* For the report of an overflow, in a signal handler. */
static uint64_t describe(const char **ret_name)
{
    const struct co__worker *w = co__worker();

    if (!w || !w->current)
        return 0;
    *ret_name = w->current->name;
    return w->current->index;
}

/*
 * Workers begin when all of them have been started: if one cannot be, nothing of the program has
 * run.
 */
static _Atomic uint32_t gate; /* 1: open */

static void gate_pass(void)
{
    /* acquire: pairs with the release in gate_open. */
    while (atomic_load_explicit(&gate, memory_order_acquire) == 0)
        co__futex_wait(&gate, 0, CO_NEVER);
}

static void gate_open(void)
{
    /* release: who passes sees whether the runtime runs, or has been given up. */
    atomic_store_explicit(&gate, 1, memory_order_release);
    co__futex_wake(&gate, INT32_MAX);
}

static void *worker_thread(void *arg)
{
    struct co__worker *w = arg;
    struct co__overflow_thread overflow;
    bool watched =
        co__overflow_thread_start(&overflow) == 0; /* if not, an overflow is a plain crash */

    gate_pass();
    co__worker_main(w);
    if (watched)
        co__overflow_thread_stop(&overflow);
    return NULL;
}

/* CPU number `index` of those this process may use. */
static void pin(pthread_t thread, int index)
{
    cpu_set_t all, one;

    if (sched_getaffinity(0, sizeof all, &all) < 0)
        return;
    index %= CPU_COUNT(&all);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &all) && index-- == 0) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            (void)pthread_setaffinity_np(thread, sizeof one, &one);
            return;
        }
    }
}

static int workers_start(void)
{
    int count = co__rt.count;
    int r;

    co__rt.workers = aligned_alloc(CO__CACHE_LINE, (size_t)count * sizeof *co__rt.workers);
    if (!co__rt.workers)
        return -ENOMEM;
    memset(co__rt.workers, 0, (size_t)count * sizeof *co__rt.workers);
    for (int i = 0; i < count; i++)
        co__rt.workers[i].epoll = co__rt.workers[i].wake_fd = -1;
    for (int i = 0; i < count; i++) {
        r = co__worker_start(&co__rt.workers[i], i);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Once all have been joined: until then one may still kick another. */
static void workers_stop(void)
{
    for (int i = 0; co__rt.workers && i < co__rt.count; i++)
        co__worker_stop(&co__rt.workers[i]);
    free(co__rt.workers);
    co__rt.workers = NULL;
}

static void reset(void)
{
    /* relaxed, all: no other thread yet. */
    atomic_store_explicit(&co__rt.live, 0, memory_order_relaxed);
    atomic_store_explicit(&co__rt.phase, CO__RUN, memory_order_relaxed /* as above */);
    atomic_store_explicit(&co__rt.stop_asked, 0, memory_order_relaxed /* as above */);
    atomic_store_explicit(&co__rt.drain_told, 0, memory_order_relaxed /* as above */);
    atomic_store_explicit(&co__rt.stuck, 0, memory_order_relaxed /* as above */);
    atomic_store_explicit(&co__rt.cut_at, 0, memory_order_relaxed /* as above */);
    co__rt.main_result = 0;
    co__rt.injector = (struct co__injector){0};
}

/*
 * Descriptors 0 to 2 are taken for the standard streams, whatever they are: reports go there, and
 * libuv refuses to close them. Those that are closed must not become sockets.
 */
static int fill_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) < 0)
            return -errno;
    }
    return 0;
}

/* libuv aborts where it does not get its first ones. Returns: 0, or a negative errno. */
static int try_descriptors(void)
{
    enum { NEEDED = 4 };
    int fds[NEEDED];
    int n = 0;
    int r = 0;

    while (n < NEEDED && r == 0) {
        fds[n] = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
        r = fds[n] < 0 ? -errno : 0;
        n += r == 0;
    }
    while (n > 0)
        (void)close(fds[--n]);
    return r;
}

static int prepare(const struct co_conf *conf)
{
    int r = co__conf_take(&co__rt.conf, conf);

    if (r == 0)
        r = fill_standard_streams();
    if (r == 0)
        r = try_descriptors();
    if (r < 0)
        return r;
    /* relaxed: for co_workers, which any thread may call. */
    __atomic_store_n(&co__rt.count, co__rt.conf.threads > 0 ? co__rt.conf.threads : co__cpus(),
                     __ATOMIC_RELAXED);
    reset();
    if (co__rt.conf.pin_threads)
        co__cpus_note();
    co_stats_reset();
    co__chaos_start();
    co__idle_start(&co__rt.idle, co__rt.count);
    co__deadlock_start();
    co__lookout_start(co__clock_real());
    co__offload_start(co__rt.conf.offload_threads);
    if (co__rt.conf.trace && (r = co__trace_start(co__rt.count)) < 0)
        return r;
    r = co__stacks_start((size_t)co__rt.conf.stack_size, (unsigned)co__rt.count);
    if (r < 0)
        return r;
    r = workers_start();
    if (r == 0)
        r = co__coros_start(co__rt.conf.max_coroutines);
    return r;
}

static void tidy(void)
{
    workers_stop();
    call_hooks(&on_end);
    co__coros_stop();
    co__stacks_stop();
    co__trace_stop();
    __atomic_store_n(&co__rt.count, 0, __ATOMIC_RELAXED /* as in prepare */);
}

/* If a later one cannot be started, those before it stop without having begun. */
static int threads_start(int *ret_started)
{
    int started = 0;
    int r = 0;

    atomic_store_explicit(&gate, 0, memory_order_relaxed /* no other thread yet */);
    while (started < co__rt.count && r == 0) {
        struct co__worker *w = &co__rt.workers[started];

        r = -pthread_create(&w->thread, NULL, worker_thread, w);
        if (r == 0) {
            if (pthread_getcpuclockid(w->thread, &w->cpu_clock) != 0)
                w->cpu_clock = -1; /* asking it fails */
            if (co__rt.conf.pin_threads)
                pin(w->thread, started);
            started++;
        }
    }
    if (r < 0) {
        /* release: pairs with the loads in the workers' loops. */
        atomic_store_explicit(&co__rt.phase, CO__STOP, memory_order_release);
    }
    gate_open();
    *ret_started = started;
    return r;
}

/*
 * The watchdog sleeps in a raw futex(2), where ThreadSanitizer would hold a signal back for ever:
 * the workers take all that are not faults of the thread itself.
 */
static int watch(void)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
    sigset_t others, before;
    int r;

    (void)sigfillset(&others);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        (void)sigdelset(&others, faults[i]);
    (void)pthread_sigmask(SIG_BLOCK, &others, &before);
    r = co__watchdog();
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r;
}

static int run_threads(co_main_fn *fn, void *arg)
{
    int started;
    int r;

    co__outside_open();
    /* seq_cst: see on_signal. */
    if (atomic_exchange_explicit(&missed, 0, memory_order_seq_cst))
        co_stop();
    r = co__go_main(fn, arg);
    if (r == 0)
        r = threads_start(&started);
    else
        started = 0;
    if (r == 0)
        r = watch();
    if (r == -ETIME)
        return r;
    co__outside_close();
    for (int i = 0; i < started; i++)
        (void)pthread_join(co__rt.workers[i].thread, NULL);
    co__offload_stop();
    return r < 0 ? r : co__rt.main_result;
}

int co_run_with(const struct co_conf *conf, co_main_fn *fn, void *arg)
{
    int late = 0;
    int no = 0;
    int r;

    if (co__worker() || co__forked())
        return -EPERM;
    /* acquire: pairs with the release below, of an earlier runtime's end. */
    if (!atomic_compare_exchange_strong_explicit(&occupied, &no, 1, memory_order_acquire,
                                                 memory_order_relaxed /* refused anyway */))
        return -EBUSY;
    co__fork_prepare();
    co__stack_stats();
    r = prepare(conf);
    if (r == 0) {
        bool watched = co__overflow_install(describe) == 0;

        signals_on();
        co__stall_on();
        r = run_threads(fn, arg);
        co__signals_end();
        signals_off();
        /* relaxed: no handler is there any more. */
        late = atomic_exchange_explicit(&missed, 0, memory_order_relaxed);
        if (r == -ETIME)
            return r; /* its threads still compute: nothing may be taken from them, nor another
                       * begin */
        pipe_signal_back();
        co__stall_off();
        if (watched)
            co__overflow_uninstall();
    }
    tidy();
    /* release: pairs with the acquire of the next runtime. */
    atomic_store_explicit(&occupied, 0, memory_order_release);
    if (late)
        (void)raise(late); /* it was meant for the process, and does there what it does by itself */
    return r;
}

int co_run(co_main_fn *fn, void *arg)
{
    return co_run_with(NULL, fn, arg);
}
