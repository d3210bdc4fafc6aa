/* SPDX-License-Identifier: MIT */
/*
 * process.c - programs: posix_spawn(3) on the offload pool, and a pidfd in the table of slots
 * (docs/decisions/0026).
 *
 * All that can fail is made before the program is, but for its pidfd; where that fails the program
 * is killed and waited for at once. The pidfd becomes readable when there is somebody to wait for,
 * and then waitid(2) answers without waiting. Both happen while the slot's reading direction is
 * held, so only one coroutine ever waits for a program.
 *
 * Until it is waited for, its number is nobody else's, and so neither is its group's. A program
 * with a group of its own is therefore waited for in full only when it is closed, after the rest of
 * the group was killed.
 */
#include <co/process.h>

#include "slot.h"
#include <co/net.h>
#include <co/offload.h>
#include <co/task.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ENDS = 3, ABOVE = 3 /* the numbers that a program gets are below */ };

/* What a start is given, and what has come of it so far. */
struct launch {
    const struct co_process_opts *opts;
    const char *const *argv;
    int worker;
    int ours[ENDS];   /* in the table of slots; -1: none */
    int theirs[ENDS]; /* copied by the program to 0, 1, 2; -1: it has ours */
    pid_t pid;
    int watch;
};

/* ---- starting, on the pool ---- */

/* Out of the way of the numbers that the program gets. Returns: it, or another one in its place. */
static int move_up(int fd)
{
    int r;

    if (fd < 0 || fd >= ABOVE)
        return fd;
    r = fcntl(fd, F_DUPFD_CLOEXEC, ABOVE);
    r = r < 0 ? -errno : r;
    (void)close(fd);
    return r;
}

static int open_pipe(struct launch *launch, int which)
{
    int ends[2];
    int ours, r;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    ours = ends[which == STDIN_FILENO];
    r = fcntl(ours, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
    if (r == 0)
        r = co__slot_open(ours, CO__SLOT_PIPE, launch->worker, false);
    if (r < 0)
        (void)close(ours);
    else
        launch->ours[which] = ours;
    launch->theirs[which] = ends[which != STDIN_FILENO];
    return r;
}

/* What stands for one of the program's descriptors. Returns: 0, or a negative errno. */
static int open_end(struct launch *launch, int which, int wanted)
{
    int *theirs = &launch->theirs[which];
    int from = wanted;
    int r = 0;

    if (wanted == CO_PROCESS_INHERIT)
        return 0;
    if (wanted == CO_PROCESS_PIPE) {
        r = open_pipe(launch, which);
    } else if (wanted == CO_PROCESS_NULL) {
        *theirs = open("/dev/null", O_RDWR | O_CLOEXEC);
        r = *theirs < 0 ? -errno : 0;
    } else {
        if (wanted == CO_PROCESS_OUT && which == STDERR_FILENO)
            from =
                launch->theirs[STDOUT_FILENO] < 0 ? STDOUT_FILENO : launch->theirs[STDOUT_FILENO];
        if (from < 0)
            return -EINVAL;
        *theirs = fcntl(from, F_DUPFD_CLOEXEC, ABOVE);
        r = *theirs < 0 ? -errno : 0;
    }
    if (r == 0) {
        *theirs = move_up(*theirs);
        r = *theirs < 0 ? *theirs : 0;
    }
    return r;
}

static int open_ends(struct launch *launch)
{
    int wanted[ENDS] = {launch->opts->in, launch->opts->out, launch->opts->err};
    int r = 0;

    for (int i = 0; i < ENDS && r == 0; i++)
        r = open_end(launch, i, wanted[i]);
    return r;
}

static int set_actions(posix_spawn_file_actions_t *actions, const struct launch *launch)
{
    const char *cwd = launch->opts->cwd;
    int r = cwd ? posix_spawn_file_actions_addchdir_np(actions, cwd) : 0;

    for (int i = 0; i < ENDS && r == 0; i++) {
        if (launch->theirs[i] >= 0)
            r = posix_spawn_file_actions_adddup2(actions, launch->theirs[i], i);
    }
    if (r == 0)
        r = posix_spawn_file_actions_addclosefrom_np(actions, ABOVE);
    return -r;
}

/* The pool's threads have all signals blocked, and the runtime ignores SIGPIPE. */
static int set_attributes(posix_spawnattr_t *attributes, const struct launch *launch)
{
    short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    sigset_t none, all;
    int r;

    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    if (launch->opts->own_group)
        flags |= POSIX_SPAWN_SETPGROUP;
    r = posix_spawnattr_setsigmask(attributes, &none);
    if (r == 0)
        r = posix_spawnattr_setsigdefault(attributes, &all);
    if (r == 0)
        r = posix_spawnattr_setpgroup(attributes, 0);
    if (r == 0)
        r = posix_spawnattr_setflags(attributes, flags);
    return -r;
}

/* What posix_spawn(3) takes, but does not change. */
static char *const *changeable(const char *const *texts)
{
    return (char *const *)(uintptr_t)texts;
}

static int spawn_with(struct launch *launch, posix_spawn_file_actions_t *actions)
{
    const struct co_process_opts *opts = launch->opts;
    posix_spawnattr_t attributes;
    int r = -posix_spawnattr_init(&attributes);

    if (r < 0)
        return r;
    r = set_attributes(&attributes, launch);
    if (r == 0)
        r = -posix_spawnp(&launch->pid, launch->argv[0], actions, &attributes,
                          changeable(launch->argv), opts->env ? changeable(opts->env) : environ);
    (void)posix_spawnattr_destroy(&attributes);
    return r;
}

static int spawn(struct launch *launch)
{
    posix_spawn_file_actions_t actions;
    int r = -posix_spawn_file_actions_init(&actions);

    if (r < 0)
        return r;
    r = set_actions(&actions, launch);
    if (r == 0)
        r = spawn_with(launch, &actions);
    (void)posix_spawn_file_actions_destroy(&actions);
    return r;
}

/* Takes the program into the table of slots. If that fails, there is none. */
static int watch(struct launch *launch)
{
    int fd = pidfd_open(launch->pid, 0);
    int r = fd < 0 ? -errno : 0;

    if (r == 0)
        r = co__slot_open(fd, CO__SLOT_OTHER, launch->worker, false);
    if (r == 0) {
        launch->watch = fd;
        return 0;
    }
    if (fd >= 0)
        (void)close(fd);
    (void)kill(launch->pid, SIGKILL);
    while (waitpid(launch->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    return r;
}

/* Nobody learns how a program has ended if the kernel does not keep it until somebody waits. */
static bool forgets_children(void)
{
    struct sigaction action;

    return sigaction(SIGCHLD, NULL, &action) == 0 &&
           (action.sa_handler == SIG_IGN || (action.sa_flags & SA_NOCLDWAIT));
}

static int spawn_and_watch(struct launch *launch)
{
    /* Says whether there are pidfds, and keeps a number for the one that is needed. */
    int probe = pidfd_open(getpid(), 0);
    int r = probe < 0 ? -errno : 0;

    if (r < 0)
        return r;
    r = forgets_children() ? -ECHILD : spawn(launch);
    (void)close(probe);
    return r < 0 ? r : watch(launch);
}

static int launch_it(void *arg)
{
    struct launch *launch = arg;
    int r = open_ends(launch);

    if (r == 0)
        r = spawn_and_watch(launch);
    for (int i = 0; i < ENDS; i++) {
        if (launch->theirs[i] >= 0)
            (void)close(launch->theirs[i]);
        if (r < 0 && launch->ours[i] >= 0)
            (void)co_close(launch->ours[i]);
    }
    return r;
}

int co_process_start(struct co_process *process, const struct co_process_opts *opts,
                     const char *const *argv)
{
    static const struct co_process_opts defaults;
    struct launch launch = {.opts = opts ? opts : &defaults,
                            .argv = argv,
                            .ours = {-1, -1, -1},
                            .theirs = {-1, -1, -1}};
    int result = 0;
    int r = co_check();

    if (r < 0)
        return r;
    if (!argv || !argv[0])
        return -EINVAL;
    if (process->watch >= 0)
        return -EBUSY;
    launch.worker = co__slot_place(co_worker());
    r = co_offload(launch_it, &launch, &result);
    if (r == 0)
        r = result;
    if (r < 0)
        return r;
    *process = (struct co_process){launch.ours[0],
                                   launch.ours[1],
                                   launch.ours[2],
                                   launch.pid,
                                   launch.watch,
                                   launch.opts->own_group,
                                   -1};
    return 0;
}

/* ---- waiting ---- */

/* Asks the kernel. Returns: how it has ended; -EAGAIN if it runs; -ECHILD. */
static int ask(const struct co_process *process, int options)
{
    siginfo_t info = {.si_pid = 0};
    int r;

    do
        r = waitid(P_PID, (id_t)process->pid, &info, WEXITED | options) < 0 ? -errno : 0;
    while (r == -EINTR);
    if (r < 0)
        return r;
    if (info.si_pid == 0)
        return -EAGAIN;
    return info.si_code == CLD_EXITED ? info.si_status : CO_PROCESS_KILLED + info.si_status;
}

/* anyway: whatever cancel and deadline say. */
static int until_ended(struct co_process *process, struct co__slot *slot, bool anyway)
{
    const int options = WNOHANG | (process->own_group ? WNOWAIT : 0);
    int r = 0;

    while (process->ended < 0 && r >= 0) {
        if (co__source_consume(&slot->read) & CO__SOURCE_CLOSING)
            return -ECANCELED;
        r = ask(process, options);
        if (r >= 0)
            process->ended = r;
        else if (r == -EAGAIN)
            r = anyway ? co__source_wait_anyway(&slot->read) : co__source_wait(&slot->read, false);
    }
    return r < 0 ? r : process->ended;
}

int co_process_wait(struct co_process *process)
{
    struct co__slot *slot;
    int r;

    if (process->watch < 0)
        return -ESRCH;
    slot = co__slot_begin(process->watch, CO__SLOT_READING, &r);
    if (!slot)
        return r;
    r = until_ended(process, slot, false);
    co__slot_leave(slot, CO__SLOT_READING);
    return r;
}

/* ---- ending ---- */

int co_process_kill(struct co_process *process, int sig)
{
    if (process->watch < 0)
        return -ESRCH;
    if (process->own_group)
        return kill(-process->pid, sig) < 0 ? -errno : 0;
    return pidfd_send_signal(process->watch, sig, NULL, 0) < 0 ? -errno : 0;
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        (void)co_close(*fd);
    *fd = -1;
}

int co_process_close(struct co_process *process)
{
    struct co__slot *slot;
    int r;

    if (!process || process->watch < 0)
        return 0;
    close_end(&process->in);
    close_end(&process->out);
    close_end(&process->err);
    (void)co_process_kill(process, SIGKILL);
    slot = co__slot_enter(process->watch, CO__SLOT_READING, &r);
    if (slot) {
        r = until_ended(process, slot, true);
        co__slot_leave(slot, CO__SLOT_READING);
    }
    if (r < 0 || process->own_group) /* outside a coroutine; or it was only looked at so far */
        r = ask(process, 0);
    (void)co_close(process->watch);
    *process = (struct co_process)CO_PROCESS_INIT;
    return r;
}

void co_process_guard(struct co_process *process)
{
    (void)co_process_close(process);
}
