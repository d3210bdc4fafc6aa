/* SPDX-License-Identifier: MIT */
/* tests/runtime/test_fork.c - what a forked child may do, and that its parent does not notice. */
#include <co/task.h>

#include "support/run.h"
#include <co/net.h>
#include <co/park.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(fork, .timeout = 30);

static _Atomic int count;

static void count_up(void *arg)
{
    (void)arg;
    atomic_fetch_add(&count, 1);
}

static void count_fd(int fd)
{
    (void)fd;
    atomic_fetch_add(&count, 1);
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* How a child ended: its exit status, or less the signal. Blocks the worker for a moment. */
static int end_of(pid_t pid)
{
    int status = 0;

    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return 255;
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/* ---- the child ---- */

/* Returns: the number of the first call that did not say what it should, or 0. */
static int call_everything(void)
{
    int spare = dup(STDERR_FILENO);

    if (co_self() != 0 || co_worker() != -1)
        return 1;
    if (co_yield() != -EPERM || co_sleep(CO_SEC) != -EPERM || co_check() != -EPERM)
        return 2;
    if (co_park(NULL, NULL, 0) != -EPERM)
        return 3;
    if (co_go(count_up, NULL) != -ECANCELED || co_go_copy(count_up, "x", 1) != -ECANCELED)
        return 4;
    if (co_go_with(&(struct co_opts){0}, count_up, NULL) != -ECANCELED)
        return 5;
    if (co_go_fd(count_fd, spare) != -ECANCELED || fcntl(spare, F_GETFD) != -1)
        return 6;
    if (co_run(nothing, NULL) != -EPERM)
        return 7;
    co_stop();
    if (co_stopping() || co_unpark(1, 0) || co_name() || co_set_name("child") != -EPERM)
        return 8;
    return 0;
}

static int fork_once(void *arg)
{
    pid_t pid;

    (void)arg;
    start(count_up, NULL); /* there is something in the queues */
    pid = fork();
    if (pid == 0)
        _exit(call_everything());
    CHECK(end_of(pid) == 0);
    CHECK(!co_stopping());
    CHECK(co_sleep(CO_MS) == 0);
    until(&count, 1);
    start(count_up, NULL);
    until(&count, 2);
    return 0;
}

Test(fork, in_a_coroutines_child_calls_are_refused_and_the_parent_goes_on)
{
    run_on(2, fork_once, NULL);
    cr_assert_eq(count, 2);
}

static _Atomic int child_end = 1000;

static void *fork_in_thread(void *arg)
{
    pid_t pid = fork();

    (void)arg;
    if (pid == 0)
        _exit(call_everything());
    atomic_store(&child_end, end_of(pid));
    return NULL;
}

static int let_a_thread_fork(void *arg)
{
    pthread_t thread;

    (void)arg;
    CHECK(pthread_create(&thread, NULL, fork_in_thread, NULL) == 0);
    while (atomic_load(&child_end) == 1000)
        CHECK(co_sleep(CO_MS) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(child_end == 0);
    return 0;
}

Test(fork, a_plain_threads_child_has_no_runtime_either)
{
    run_on(2, let_a_thread_fork, NULL);
}

static int return_in_child(void *arg)
{
    struct rlimit none = {0};
    pid_t pid = fork();

    (void)arg;
    if (pid == 0) {
        (void)signal(SIGABRT, SIG_DFL);
        (void)setrlimit(RLIMIT_CORE, &none);
        (void)close(STDERR_FILENO);
        return 0;
    }
    CHECK(end_of(pid) == -SIGABRT);
    return 0;
}

Test(fork, a_child_that_returns_from_its_coroutine_is_aborted)
{
    run_on(2, return_in_child, NULL);
}

static int terminate_child(void *arg)
{
    int ends[2];
    char byte;
    pid_t pid;

    (void)arg;
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    pid = fork();
    if (pid == 0) {
        (void)write(ends[1], "x", 1);
        for (;;)
            (void)pause();
    }
    CHECK(read(ends[0], &byte, 1) == 1);
    CHECK(kill(pid, SIGTERM) == 0);
    CHECK(end_of(pid) == -SIGTERM);
    CHECK(!co_stopping());
    (void)close(ends[0]);
    (void)close(ends[1]);
    return 0;
}

Test(fork, the_child_has_the_handlers_of_before)
{
    struct co_conf conf = settings(2);

    conf.signals = 1;
    cr_assert_eq(run_conf(&conf, terminate_child, NULL), 0);
}

/* ---- the parent ---- */

static void read_byte(int fd)
{
    char byte = 0;

    CHECK(co_recv(fd, &byte, 1) == 1 && byte == 'x');
    CHECK(co_close(fd) == 0);
    atomic_fetch_add(&count, 1);
}

/* A connection to ourselves: *ret_ours is Corvid's, *ret_theirs is not. */
static void connect_pair(int *ret_ours, int *ret_theirs)
{
    struct sockaddr_in addr;
    socklen_t size = sizeof addr;
    int lfd = co_listen("127.0.0.1:0");
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK(lfd >= 0 && fd >= 0);
    CHECK(getsockname(lfd, (struct sockaddr *)&addr, &size) == 0);
    CHECK(connect(fd, (struct sockaddr *)&addr, size) == 0);
    *ret_ours = co_accept(lfd);
    *ret_theirs = fd;
    CHECK(*ret_ours >= 0);
    CHECK(co_close(lfd) == 0);
}

static int close_in_child(void *arg)
{
    int64_t before;
    int ours, theirs;
    pid_t pid;

    (void)arg;
    connect_pair(&ours, &theirs);
    pid = fork();
    if (pid == 0) {
        (void)co_close(ours); /* must not take it out of the parent's epoll */
        _exit(fcntl(ours, F_GETFD) == -1 ? 0 : 1);
    }
    CHECK(end_of(pid) == 0);
    before = stat_of("parked");
    CHECK(co_go_fd(read_byte, ours) == 0);
    while (stat_of("parked") < before + 1)
        CHECK(co_yield() == 0);
    CHECK(write(theirs, "x", 1) == 1);
    until(&count, 1);
    (void)close(theirs);
    return 0;
}

Test(fork, a_socket_that_the_child_closes_still_wakes_the_parent)
{
    run_on(2, close_in_child, NULL);
}

static int spawn_true(void *arg)
{
    char *argv[] = {"true", NULL};
    char *none[] = {NULL};
    pid_t pid;

    (void)arg;
    for (int i = 0; i < 5; i++) {
        CHECK(posix_spawn(&pid, "/bin/true", NULL, NULL, argv, none) == 0);
        CHECK(co_sleep(CO_US) == 0);
        CHECK(end_of(pid) == 0);
    }
    return 0;
}

Test(fork, posix_spawn_may_be_called_anywhere)
{
    run_on(2, spawn_true, NULL);
}

static bool inherited[1024]; /* by exec, before the runtime began */

static bool survives_exec(int fd)
{
    int flags = fcntl(fd, F_GETFD);

    return flags >= 0 && !(flags & FD_CLOEXEC);
}

static int look_at_descriptors(void *arg)
{
    int fd = co_listen("127.0.0.1:0");

    (void)arg;
    CHECK(fd >= 0);
    for (int i = 0; i < 1024; i++)
        CHECK(inherited[i] || !survives_exec(i));
    CHECK(co_close(fd) == 0);
    return 0;
}

Test(fork, no_descriptor_of_ours_survives_exec)
{
    for (int i = 0; i < 1024; i++)
        inherited[i] = survives_exec(i);
    run_on(2, look_at_descriptors, NULL);
}

/* ---- where no runtime runs ---- */

Test(fork, before_and_after_a_runtime_a_child_may_run_its_own)
{
    for (int i = 0; i < 2; i++) {
#ifndef CO_TEST_TSAN /* it starts no threads in the child of a process that ever had some */
        pid_t pid = fork();

        if (pid == 0)
            _exit(co_run(nothing, NULL) == 0 ? 0 : 1);
        cr_assert_eq(end_of(pid), 0);
#endif
        run_on(2, nothing, NULL);
    }
}
