/* SPDX-License-Identifier: MIT */
/* tests/runtime/test_stop.c - how a runtime is told to stop, and what becomes of everybody. */
#include <co/task.h>

#include "support/run.h"
#include <co/offload.h>
#include <co/park.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(stop, .timeout = 30);

static _Atomic int count, cancelled, ready;

/* ---- who may say it ---- */

/* Serves until told to stop, as a program does. */
static int serve(void *arg)
{
    (void)arg;
    CHECK(!co_stopping());
    atomic_store(&ready, 1);
    while (!co_stopping())
        CHECK(co_sleep(CO_MS) == 0);
    return 7;
}

static int stop_myself(void *arg)
{
    (void)arg;
    CHECK(!co_stopping());
    co_stop();
    CHECK(co_stopping());
    co_stop();
    CHECK(co_yield() == 0); /* there is grace */
    return 7;
}

Test(stop, a_coroutine_may_stop_the_runtime_it_runs_in)
{
    struct co_conf conf = settings(2);

    co_stop(); /* nothing runs: nothing happens */
    cr_assert_not(co_stopping());
    cr_assert_eq(run_conf(&conf, stop_myself, NULL), 7);
    cr_assert_eq(run_conf(&conf, stop_myself, NULL), 7, "and the next one has not been told");
}

static void *stop_when_ready(void *arg)
{
    while (atomic_load(&ready) == 0)
        (void)sched_yield();
    if (arg)
        (void)kill(getpid(), *(int *)arg);
    else
        co_stop();
    return NULL;
}

static void stop_from_thread(int *number)
{
    struct co_conf conf = settings(2);
    pthread_t thread;

    conf.signals = number != NULL;
    cr_assert_eq(pthread_create(&thread, NULL, stop_when_ready, number), 0);
    cr_assert_eq(run_conf(&conf, serve, NULL), 7);
    cr_assert_eq(pthread_join(thread, NULL), 0);
}

Test(stop, a_plain_thread_may_stop_it)
{
    stop_from_thread(NULL);
}

Test(stop, sigterm_stops_it)
{
    int number = SIGTERM;

    stop_from_thread(&number);
}

Test(stop, sigint_stops_it)
{
    int number = SIGINT;

    stop_from_thread(&number);
}

static void wait_for_the_end(void *arg)
{
    (void)arg;
    CHECK(co_sleep(CO_NEVER) == -ECANCELED);
    atomic_fetch_add(&cancelled, 1);
}

static int be_told_twice(void *arg)
{
    int r;

    (void)arg;
    start(wait_for_the_end, NULL);
    (void)raise(SIGTERM);
    CHECK(co_yield() == 0 && co_stopping()); /* there is grace */
    while ((r = co_sleep(60 * CO_MS)) == 0)
        (void)raise(SIGTERM); /* the first of these come too close to the other */
    CHECK(r == -ECANCELED);
    return 7;
}

Test(stop, a_second_signal_ends_the_grace_time)
{
    struct co_conf conf = settings(2);

    conf.signals = 1;
    conf.grace = 600 * CO_SEC;
    cr_assert_eq(run_conf(&conf, be_told_twice, NULL), 7);
    cr_assert_eq(cancelled, 1);
}

Test(stop, without_signals_sigterm_does_what_it_did, .signal = SIGTERM)
{
    struct co_conf conf = settings(1);
    int number = SIGTERM;
    pthread_t thread;

    cr_assert_eq(pthread_create(&thread, NULL, stop_when_ready, &number), 0);
    cr_assert_neq(co_run_with(&conf, serve, NULL), 7, "the signal ends the process");
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void old_handler(int number)
{
    (void)number;
    atomic_fetch_add(&count, 1);
}

Test(stop, handlers_are_put_back_at_the_end)
{
    struct sigaction action = {.sa_handler = old_handler};
    struct co_conf conf = settings(1);

    conf.signals = 1;
    cr_assert_eq(sigaction(SIGTERM, &action, NULL), 0);
    cr_assert_eq(run_conf(&conf, nothing, NULL), 0);
    (void)raise(SIGTERM);
    cr_assert_eq(count, 1);
}

static void on_alarm(int number)
{
    (void)number;
    co_stop();
}

static int raise_all_the_time(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++) {
        (void)raise(SIGUSR2);
        if (i % 10 == 0)
            (void)co_sleep(10 * CO_US);
    }
    CHECK(co_stopping());
    return 0;
}

Test(stop, a_signal_handler_may_call_it_at_any_moment_and_often)
{
    struct sigaction action = {.sa_handler = on_alarm};
    struct co_conf conf = settings(2);

    cr_assert_eq(sigaction(SIGUSR2, &action, NULL), 0);
    cr_assert_eq(run_conf(&conf, raise_all_the_time, NULL), 0);
    (void)raise(SIGUSR2); /* outside it does nothing */
}

/* ---- what becomes of everybody ---- */

static int publish_nothing(co_ticket self, void *arg)
{
    (void)self;
    (void)arg;
    return 0;
}

static void sleep_for_ever(void *arg)
{
    int r = (intptr_t)arg % 2 ? co_sleep(CO_NEVER) : co_park(publish_nothing, NULL, 0);

    CHECK(r == -ECANCELED);
    CHECK(co_sleep(1) == -ECANCELED);
    CHECK(co_yield() == -ECANCELED);
    CHECK(co_park(publish_nothing, NULL, 0) == -ECANCELED);
    CHECK(co_offload(nothing, NULL, NULL) == -ECANCELED);
    CHECK(co_go(sleep_for_ever, NULL) == -ECANCELED);
    atomic_fetch_add(&cancelled, 1);
}

static void yield_for_ever(void *arg)
{
    (void)arg;
    while (co_yield() == 0)
        continue;
    CHECK(co_check() == -ECANCELED);
    atomic_fetch_add(&cancelled, 1);
}

static void check_for_ever(void *arg)
{
    (void)arg;
    while (co_check() == 0)
        continue;
    atomic_fetch_add(&cancelled, 1);
}

static void sleep_in_a_deadline(void *arg)
{
    (void)arg;
    CO_DEADLINE(3600 * CO_SEC);
    CHECK(co_sleep(CO_NEVER) == -ECANCELED);
    atomic_fetch_add(&cancelled, 1);
}

enum { EACH = 50 };

#define GRACE (150 * CO_MS)

static int left; /* how many have been left */

static int leave_them(void *arg)
{
    int64_t stopped;
    int r;

    (void)arg;
    for (intptr_t i = 0; i < EACH; i++) {
        start(sleep_for_ever, (void *)i);
        start(sleep_in_a_deadline, NULL);
        if (i < 3)
            start(i == 0 ? check_for_ever : yield_for_ever, NULL);
    }
    CHECK(co_sleep(5 * CO_MS) == 0);
    stopped = co_now();
    co_stop();
    r = co_go(sleep_for_ever, (void *)1);
    CHECK(r == 0 || co_now() - stopped >= GRACE); /* within the grace time new ones may start */
    left = 2 * EACH + 3 + (r == 0);
    return 9;
}

Test(stop, after_the_grace_time_everybody_is_cancelled_whatever_he_does)
{
    for (int threads = 1; threads <= 3; threads++) {
        int64_t begun = co_now();

        atomic_store(&cancelled, 0);
        cr_assert_eq(run_and_stop(threads, GRACE, leave_them), 9);
        cr_assert_geq(co_now() - begun, GRACE, "not before");
        cr_assert_lt(co_now() - begun, 10 * CO_SEC);
        cr_assert_eq(cancelled, left);
    }
}

static int stop_then_start(void *arg)
{
    int r = 0;

    (void)arg;
    co_stop();
    for (int i = 0; i < 500 && r == 0; i++) {
        r = co_go(sleep_for_ever, (void *)1);
        if (r == 0)
            atomic_fetch_add(&count, 1);
        (void)co_yield();
    }
    CHECK(co_sleep(CO_NEVER) == -ECANCELED); /* the grace time is over */
    CHECK(co_go(sleep_for_ever, (void *)1) == -ECANCELED);
    return 0;
}

Test(stop, all_who_were_started_run_though_they_are_cancelled_at_once)
{
    for (int i = 0; i < 3; i++) {
        atomic_store(&cancelled, 0);
        atomic_store(&count, 0);
        cr_assert_eq(run_and_stop(2, 150 * CO_MS, stop_then_start), 0);
        cr_assert_eq(cancelled, count);
    }
}

static int sleep_an_hour(void *arg)
{
    (void)arg;
    atomic_store(&ready, 1);
    CHECK(co_sleep(3600 * CO_SEC) == -ECANCELED);
    return 3;
}

Test(stop, the_grace_time_is_kept_though_everybody_sleeps)
{
    for (int i = 0; i < 10; i++) {
        pthread_t thread;

        atomic_store(&ready, 0);
        cr_assert_eq(pthread_create(&thread, NULL, stop_when_ready, NULL), 0);
        cr_assert_eq(run_and_stop(4, 100 * CO_MS, sleep_an_hour), 3);
        cr_assert_eq(pthread_join(thread, NULL), 0);
    }
}

/* ---- no cancel is lost ---- */

static void park_short(void *arg)
{
    (void)arg;
    for (;;) {
        int r;

        {
            CO_DEADLINE(10 * CO_US);
            r = co_park(publish_nothing, NULL, 0);
        }
        if (r == -ECANCELED)
            break;
        CHECK(r == -ETIMEDOUT);
    }
    CHECK(co_check() == -ECANCELED);
    atomic_fetch_add(&cancelled, 1);
}

static int park_short_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++)
        start(park_short, NULL);
    co_stop();
    return 0;
}

Test(stop, cancel_meets_those_who_are_just_parking_or_waking)
{
    for (int i = 0; i < 10; i++) {
        atomic_store(&cancelled, 0);
        cr_assert_eq(run_and_stop(3, 150 * CO_MS, park_short_many), 0);
        cr_assert_eq(cancelled, 20);
    }
}

/* ---- who cannot be stopped ---- */

static void compute_on(void *arg)
{
    (void)arg;
    compute(20 * CO_SEC);
}

static int start_computing(void *arg)
{
    (void)arg;
    CHECK(co_go_with(&(struct co_opts){.name = "stubborn"}, compute_on, NULL) == 0);
    CHECK(co_sleep(5 * CO_MS) == 0 || true);
    co_stop();
    return 0;
}

/* No worker comes by to see that a stop was asked for. */
static int stop_and_compute(void *arg)
{
    CHECK(co_set_name("stubborn") == 0);
    (void)raise(SIGTERM);
    compute_on(arg);
    return 0;
}

/* In a child, as a runtime that was given up cannot be taken down. Returns: its exit status. */
static int give_up(int error_fd, int workers, co_main_fn *fn)
{
    struct co_conf conf = settings(workers);
    struct sigaction pipe, term;
    int64_t begun = co_now();

    (void)dup2(error_fd, 2);
    conf.grace = 100 * CO_MS;
    conf.signals = true;
    if (co_run_with(&conf, fn, NULL) != -ETIME)
        return 1;
    if (co_now() - begun < 200 * CO_MS || co_now() - begun > 10 * CO_SEC)
        return 2;
    if (sigaction(SIGPIPE, NULL, &pipe) < 0 || pipe.sa_handler != SIG_IGN)
        return 3; /* who still runs may write to one */
    if (sigaction(SIGTERM, NULL, &term) < 0 || term.sa_handler != SIG_DFL)
        return 4;
    return co_run_with(&conf, nothing, NULL) == -EBUSY ? 0 : 5;
}

static void expect_given_up(int workers, co_main_fn *fn)
{
    char text[4096] = "";
    size_t len = 0;
    ssize_t n;
    int fds[2];
    int status;
    pid_t pid;

    cr_assert_eq(pipe(fds), 0);
    pid = fork();
    if (pid == 0)
        _exit(give_up(fds[1], workers, fn));
    cr_assert_gt(pid, 0);
    (void)close(fds[1]);
    while (len < sizeof text - 1 && (n = read(fds[0], text + len, sizeof text - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = '\0';
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x, stderr: %s", status, text);
    cr_assert(strstr(text, "stubborn") != NULL, "stderr: %s", text);
    (void)close(fds[0]);
}

Test(stop, who_computes_past_twice_the_grace_time_is_named_and_given_up)
{
    expect_given_up(2, start_computing);
}

Test(stop, a_signal_ends_a_program_all_of_whose_workers_compute)
{
    expect_given_up(1, stop_and_compute);
}

/* ---- nothing is left ---- */

static int die_in_many_states(void *arg)
{
    (void)arg;
    for (intptr_t i = 0; i < EACH; i++) {
        start(sleep_for_ever, (void *)i);
        CHECK(co_go_with(&(struct co_opts){.pinned = 1, .stack_size = 128 << 10}, sleep_for_ever,
                         (void *)i) == 0);
        start(sleep_in_a_deadline, NULL);
    }
    co_stop();
    return 0;
}

Test(stop, a_stop_leaves_no_descriptor_and_a_fresh_runtime)
{
    int before = 0;

    for (int i = 0; i < 4; i++) {
        atomic_store(&cancelled, 0);
        cr_assert_eq(run_and_stop(2, 150 * CO_MS, die_in_many_states), 0);
        cr_assert_eq(cancelled, 3 * EACH);
        if (i == 0)
            before = descriptors(); /* libuv keeps its pipe for signals */
    }
    cr_assert_eq(descriptors(), before);
}

/* ---- at the edges ---- */

static _Atomic bool strikes;

int __real_sigaction(int number, const struct sigaction *action, struct sigaction *before);
int __wrap_sigaction(int number, const struct sigaction *action, struct sigaction *before);

/*
 * Stands in for the system's, see tests/meson.build. SIGUSR1's handler is the last to be set, and
 * the runtime does not run yet.
 */
int __wrap_sigaction(int number, const struct sigaction *action, struct sigaction *before)
{
    int r = __real_sigaction(number, action, before);

    if (number == SIGUSR1 && action && atomic_exchange(&strikes, false))
        (void)raise(SIGTERM);
    return r;
}

static int wait_for_stop(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20000 && !co_stopping(); i++)
        CHECK(co_sleep(CO_MS) == 0);
    CHECK(co_stopping());
    return 0;
}

Test(stop, a_signal_that_comes_while_the_runtime_starts_stops_it)
{
    struct co_conf conf = settings(2);

    conf.signals = true;
    atomic_store(&strikes, true);
    cr_assert_eq(run_conf(&conf, wait_for_stop, NULL), 0);
    cr_assert(!atomic_load(&strikes));
}

static int without_streams(void)
{
    struct co_conf conf = settings(2);
    int r;

    for (int fd = 0; fd <= 2; fd++)
        (void)close(fd);
    r = co_run_with(&conf, nothing, NULL);
    return r == 0 ? 0 : 1;
}

Test(stop, a_daemon_without_standard_streams_ends_well)
{
    int status;
    pid_t pid = fork();

    if (pid == 0)
        _exit(without_streams());
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
}
