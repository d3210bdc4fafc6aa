/* SPDX-License-Identifier: MIT */
/*
 * co/task.h - start the runtime, start coroutines, yield, sleep, stop.
 *
 * fork(2). The workers are threads, so the child of a process in which a runtime runs has the
 * thread that called and no runtime. As POSIX says of every such child, it may call
 * async-signal-safe functions until it calls exec or _exit (never exit, which waits for threads
 * that are not there); a socket is closed there by close(2). Beyond that Corvid promises: in the
 * child, calls that need a coroutine return -EPERM, starts -ECANCELED and co_run -EPERM; signal
 * handlers are what they were before co_run; epolls and wake-up descriptors are closed, so that
 * nothing the child does can reach the parent. A child that was forked in a coroutine and returns
 * from its function is aborted. All descriptors that Corvid makes are closed by exec. To run
 * programs, posix_spawn(3) is easiest and may be called anywhere; a server that forks its workers
 * does so before co_run.
 */
#ifndef CO_TASK_H
#define CO_TASK_H

#include <co/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct co_conf;

/* A coroutine's function; it ends by returning. */
typedef void co_fn(void *arg);
/* A coroutine's function that owns a descriptor, which it closes (CO_FD does it). */
typedef void co_fd_fn(int fd);
/* The first function of a runtime: what it returns, co_run returns. */
typedef int co_main_fn(void *arg);

/*
 * Runs fn(arg) as the first coroutine on N worker threads (one per CPU that this process may use)
 * and comes back when fn has returned and everything that was started has ended. SIGTERM and SIGINT
 * stop it (see co_stop).
 * Returns: what fn returned; -EBUSY if a runtime runs in this process already; -ENOMEM, -EAGAIN or
 *   another negative errno if it could not start; -ETIME if coroutines still computed at twice the
 *   grace time (a second after its end at least).
 * Suspends: it blocks the calling thread. Threads: a plain thread, not a coroutine (-EPERM).
 */
CO_API CO_NODISCARD int co_run(co_main_fn *fn, void *arg);

/*
 * co_run with settings (see co/conf.h); NULL means the defaults. conf is copied.
 * Returns: as co_run; -EINVAL for a setting out of range. Suspends, Threads: as co_run.
 */
CO_API CO_NODISCARD int co_run_with(const struct co_conf *conf, co_main_fn *fn, void *arg);

/*
 * Starts fn(arg) as a new coroutine. It runs soon, on any worker, and always runs, cancelled or
 * not.
 * Returns: 0; -ENOMEM; -EAGAIN (max_coroutines reached); -ECANCELED (the runtime is past its grace
 *   time, or no runtime runs). Suspends: never. Threads: any. Owns: arg stays the caller's.
 */
CO_API CO_NODISCARD int co_go(co_fn *fn, void *arg);

/*
 * Starts fn(fd) as a new coroutine that owns the descriptor.
 * Returns: as co_go. Suspends: never. Threads: any. Owns: fd passes to fn; if it could not start,
 *   fd is closed.
 */
CO_API int co_go_fd(co_fd_fn *fn, int fd);

/* The most that co_go_copy copies. */
#define CO_COPY_MAX 256

/*
 * Starts fn with a copy of `size` bytes at `data`; fn gets the address of the copy, which is
 * 16-aligned and lives on the new coroutine's stack until fn returns.
 * Returns: as co_go; -EINVAL if size is over CO_COPY_MAX. Suspends: never. Threads: any.
 */
CO_API CO_NODISCARD int co_go_copy(co_fn *fn, const void *data, size_t size);

/* How to start; zero means the default in every field. */
struct co_opts {
    const char *name;  /* for reports; see co_set_name */
    size_t stack_size; /* usable bytes, 16 KiB to 64 MiB; 0: as configured */
    int pinned;        /* 1: never leaves the worker it was started on */
};

/*
 * Starts fn(arg) with options.
 * Returns: as co_go; -EINVAL for a stack size out of range. Suspends: never. Threads: any.
 */
CO_API CO_NODISCARD int co_go_with(const struct co_opts *opts, co_fn *fn, void *arg);

#ifdef __cplusplus
/* In C++20 co_yield is a keyword: there the function goes by this name. */
#define CO__YIELD co_yield_now
#else
#define CO__YIELD co_yield
#endif

/*
 * Lets the other ready coroutines of this worker run before going on.
 * Returns: 0; -ECANCELED; -ETIMEDOUT; -EPERM outside a coroutine. Suspends: yes. Threads:
 *   coroutines.
 */
CO_API int CO__YIELD(void) __asm__("co_yield");

/*
 * Sleeps for at least `ns` nanoseconds; zero or less only checks cancel and deadline, and yields.
 * Returns: 0; -ETIMEDOUT if the deadline in force came first; -ECANCELED; -EPERM outside a
 *   coroutine.
 * Suspends: yes. Threads: coroutines.
 */
CO_API int co_sleep(int64_t ns);

/*
 * The number of the running coroutine, for logs; numbers are used again, after a long time.
 * Returns: at least 1 in a coroutine, 0 elsewhere. Suspends: never. Threads: any.
 */
CO_API uint64_t co_self(void);

/*
 * Names the running coroutine, for reports of stalls and overflows and for those who look; NULL
 * takes the name away.
 * Returns: 0; -EPERM outside a coroutine. Suspends: never. Threads: coroutines. Owns: name stays
 *   the caller's and must be good until the coroutine has ended or has another name; a report may
 *   be reading it at that moment, so a literal is best.
 */
CO_API int co_set_name(const char *name);

/*
 * The running coroutine's name.
 * Returns: what it was started with or was set; NULL if there is none, and outside a coroutine.
 * Suspends: never. Threads: any.
 */
CO_API const char *co_name(void);

/*
 * The number of the worker that runs the caller at this moment, for statistics.
 * Returns: 0 to N-1 on a worker, -1 elsewhere. Suspends: never. Threads: any.
 */
CO_API int co_worker(void);

/*
 * The number of workers of the running runtime.
 * Returns: 1 to 256, 0 when none runs. Suspends: never. Threads: any.
 */
CO_API int co_workers(void);

/*
 * Begins an orderly stop: listeners close after accepting what is queued, requests that have begun
 * are answered, idle connections are closed. After the grace time every coroutine is cancelled. A
 * second call changes nothing.
 * Suspends: never. Threads: any, and signal handlers.
 */
CO_API void co_stop(void);

/*
 * Whether the runtime has been told to stop: a loop that serves should end after its current
 * exchange.
 * Returns: true from co_stop on. Suspends: never. Threads: any.
 */
CO_API bool co_stopping(void);

#ifdef __cplusplus
}
#endif
#endif
