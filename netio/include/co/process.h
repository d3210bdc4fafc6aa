/* SPDX-License-Identifier: MIT */
/*
 * co/process.h - programs: started with pipes, waited for, ended.
 *
 *     const char *argv[] = {"sort", "-n", NULL};
 *     struct co_process_opts opts = {.in = CO_PROCESS_PIPE, .out = CO_PROCESS_PIPE};
 *     CO_PROCESS(sort);
 *
 *     r = co_process_start(&sort, &opts, argv);
 *
 * Pipes are descriptors of co/net.h: co_recv and co_send work on them, co_close ends the program's
 * input. At the end of the block a program that still runs is killed, and in any case it is waited
 * for, so that nothing of it is left.
 *
 * A program gets the descriptors 0, 1 and 2 and no others. No signal is blocked or ignored in it,
 * whatever this process does with signals. It is not ended by a stop of the runtime, but by the
 * ends of the blocks that the stop brings about. While SIGCHLD is ignored in this process (which
 * may be inherited), nobody could learn how a program ends: -ECHILD. Nor may other code of the
 * process wait for children that are not its own.
 */
#ifndef CO_PROCESS_H
#define CO_PROCESS_H

#include <co/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * What the program's standard input, output or error output is. A number above zero is a descriptor
 * of the caller's, of which the program gets a copy; one of co/net.h does not wait, which few
 * programs expect.
 */
enum {
    CO_PROCESS_INHERIT = 0, /* what this process has */
    CO_PROCESS_PIPE = -1,
    CO_PROCESS_NULL = -2, /* nothing: /dev/null */
    CO_PROCESS_OUT = -3   /* for err: the same as out */
};

/* How to start a program; zero means the default in every field. */
struct co_process_opts {
    int in;
    int out;
    int err;
    int own_group;   /* 1: a process group of its own, which is killed as a whole */
    const char *cwd; /* its folder; NULL: ours. A program named by a relative path is there */
    const char *const *env; /* "NAME=value", ..., NULL; NULL: our environment */
};

/* A program that was started. The descriptors and the number may be read, and taken (co_fd_take);
 * the rest is the library's. */
struct co_process {
    int in;  /* our end of its input, -1 if it is no pipe */
    int out; /* of its output */
    int err;
    int pid; /* 0: never started */
    int watch;
    int own_group;
    int ended;
};

/* One that was never started. */
#define CO_PROCESS_INIT          \
    {                            \
        -1, -1, -1, 0, -1, 0, -1 \
    }

/*
 * Starts argv[0] with the arguments argv, which end with NULL. Without a slash in its name it is
 * looked for in PATH. *process: CO_PROCESS_INIT, or closed. opts may be NULL.
 * Returns: 0; -ENOENT: no such program, interpreter or cwd; -EACCES: not to be executed; -ENOEXEC;
 *   -E2BIG; -EBADF for a descriptor that is not open; -EINVAL for other numbers, and without
 *   argv[0]; -EBUSY if it is started already; -ECHILD: see above; -EAGAIN: too many processes;
 *   -EMFILE, -ENFILE; -ENOSYS before Linux 5.3; -ENOMEM; -ETIMEDOUT and -ECANCELED, and nothing was
 *   started; -EPERM outside a coroutine.
 * Suspends: yes. Threads: coroutines. Owns: the caller closes it.
 */
CO_API CO_NODISCARD int co_process_start(struct co_process *process,
                                         const struct co_process_opts *opts,
                                         const char *const *argv);

/* Added to the number of the signal that has ended a program. */
enum { CO_PROCESS_KILLED = 256 };

/*
 * Waits until the program has ended; its pipes may be open still, in programs that it has started.
 * Returns: 0 to 255, what it exited with; CO_PROCESS_KILLED + the number of the signal that ended
 *   it; the same when called again. -ETIMEDOUT; -ECANCELED; -EPERM outside a coroutine; -EBUSY if
 *   another coroutine waits; -ESRCH if it was never started; -ECHILD if other code of this process
 *   has waited for it. Suspends: yes. Threads: coroutines.
 */
CO_API CO_NODISCARD int co_process_wait(struct co_process *process);

/*
 * Sends a signal to the program, or to its whole group if that is its own; 0 sends none.
 * Returns: 0, also if it has just ended; -ESRCH once co_process_wait has said so (not for a group),
 *   or if it was never started; -EPERM if it runs as another user; -EINVAL. Suspends: never.
 *   Threads: any, while it is not closed.
 */
CO_API int co_process_kill(struct co_process *process, int signal);

/*
 * Closes the pipes, kills the program if it still runs (and what is left of its own group in any
 * case), and waits until it has ended; neither cancel nor a deadline cuts that short. NULL and one
 * that was never started are nothing to do. To have it end by itself, say so before, by the end of
 * its input or by SIGTERM, and wait with a deadline.
 * Returns: as co_process_wait. Suspends: yes. Threads: coroutines; nobody else may be in it.
 */
CO_API int co_process_close(struct co_process *process);

/* The clean-up of CO_PROCESS. Suspends, Threads: as co_process_close. */
CO_API void co_process_guard(struct co_process *process);

/* A program to the end of the block. */
#define CO_PROCESS(name) \
    struct co_process name __attribute__((cleanup(co_process_guard))) = CO_PROCESS_INIT

/* What a program has written; both end with a NUL that is not counted. */
struct co_process_output {
    char *out;
    size_t out_len;
    char *err;
    size_t err_len;
};

/*
 * Runs a program: starts it, gives it `len` bytes of input (none: /dev/null, unless opts says
 * otherwise), collects what it writes, each of out and err at most `max` bytes, and waits for it.
 * in, out and err of opts are pipes unless set. What it does not read of its input is dropped. What
 * programs that it has started write after its own end is not waited for. After an error it has
 * been killed.
 * Returns: as co_process_wait; -EFBIG if it writes more than max; the errors of co_process_start.
 *   Suspends: yes. Threads: coroutines. Owns: the caller gets *ret_output, for
 *   co_process_output_free, if the result is not negative.
 */
CO_API CO_NODISCARD int co_process_run(const struct co_process_opts *opts, const char *const *argv,
                                       const void *input, size_t len, size_t max,
                                       struct co_process_output *ret_output);

/* Frees what co_process_run has given; NULL is nothing to do. Suspends: never. Threads: any. */
CO_API void co_process_output_free(struct co_process_output *output);

#ifdef __cplusplus
}
#endif
#endif
