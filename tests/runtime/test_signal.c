/* SPDX-License-Identifier: MIT */
/* tests/runtime/test_signal.c - signals that coroutines wait for. */
#include <co/signal.h>

#include "support/run.h"
#include <co/group.h>
#include <sched.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(signal, .timeout = 30);

static _Atomic int count, ready;

static void old_handler(int number)
{
    (void)number;
    atomic_fetch_add(&count, 1);
}

/* The set of up to three signals; 0: no more. */
static sigset_t set_of(int a, int b, int c)
{
    const int numbers[] = {a, b, c};
    sigset_t set;

    (void)sigemptyset(&set);
    for (int i = 0; i < 3; i++) {
        if (numbers[i])
            (void)sigaddset(&set, numbers[i]);
    }
    return set;
}

/* Lets others run until the coroutines that wait for anything are so many. */
static void until_parked(int64_t before, int n)
{
    while (stat_of("parked") < before + n)
        (void)co_yield();
}

/*
 * Waits for a signal that strikes any thread. ThreadSanitizer may hold it back in the coroutine
 * that happens to run there until that runs again, so there it must.
 */
static int wait_for_any(struct co_signal *watch)
{
#ifdef CO_TEST_TSAN
    for (;;) {
        CO_DEADLINE(5 * CO_MS);
        int r = co_signal_wait(watch);

        if (r != -ETIMEDOUT)
            return r;
    }
#else
    return co_signal_wait(watch);
#endif
}

/* ---- one watch ---- */

static int keep_and_take(void *arg)
{
    sigset_t set = set_of(SIGUSR1, SIGUSR2, SIGRTMIN + 1);
    CO_SIGNAL(watch, &set);

    (void)arg;
    CHECK(raise(SIGRTMIN + 1) == 0);
    CHECK(raise(SIGUSR2) == 0);
    CHECK(raise(SIGUSR2) == 0);
    while (__atomic_load_n(&watch.caught, __ATOMIC_RELAXED) == 0) /* relaxed: only a hint */
        CHECK(co_yield() == 0);
    CHECK(co_signal_wait(&watch) == SIGUSR2);
    CHECK(co_signal_wait(&watch) == SIGRTMIN + 1);
    {
        CO_DEADLINE(CO_MS);
        CHECK(co_signal_wait(&watch) == -ETIMEDOUT);
    }
    CHECK(raise(SIGUSR1) == 0);
    CHECK(co_signal_wait(&watch) == SIGUSR1);
    return 0;
}

Test(signal, what_comes_while_nobody_waits_is_kept_and_the_lowest_comes_first)
{
    run_on(1, keep_and_take, NULL);
}

static void *send_usr2(void *arg)
{
    while (atomic_load(&ready) == 0)
        (void)sched_yield();
    (void)arg;
    (void)kill(getpid(), SIGUSR2);
    return NULL;
}

static int wait_for_thread(void *arg)
{
    sigset_t set = set_of(SIGUSR2, 0, 0);
    pthread_t thread;
    CO_SIGNAL(watch, &set);

    (void)arg;
    CHECK(pthread_create(&thread, NULL, send_usr2, NULL) == 0);
    atomic_store(&ready, 1);
    CHECK(wait_for_any(&watch) == SIGUSR2);
    CHECK(pthread_join(thread, NULL) == 0);
    return 0;
}

Test(signal, one_that_strikes_while_all_sleep_wakes_who_waits)
{
    for (int i = 0; i < 20; i++) {
        atomic_store(&ready, 0);
        run_on(1 + i % 3, wait_for_thread, NULL);
    }
}

static int wait_cancelled(void *arg)
{
    return co_signal_wait(arg);
}

static int cancel_it(void *arg)
{
    sigset_t set = set_of(SIGUSR2, 0, 0);
    CO_SIGNAL(watch, &set);
    CO_GROUP(group);
    int64_t before = stat_of("parked");

    (void)arg;
    CHECK(co_group_go(&group, wait_cancelled, &watch) == 0);
    until_parked(before, 1);
    co_group_cancel(&group);
    CHECK(co_group_wait(&group) == -ECANCELED);
    CHECK(raise(SIGUSR2) == 0); /* and it is not lost to the next */
    CHECK(co_signal_wait(&watch) == SIGUSR2);
    return 0;
}

Test(signal, a_cancel_ends_the_wait_and_takes_nothing)
{
    run_on(2, cancel_it, NULL);
}

/* ---- several ---- */

enum { WATCHES = 5 };

static int wait_on_own_watch(void *arg)
{
    sigset_t set = set_of(SIGUSR1, SIGUSR2, 0);
    CO_SIGNAL(watch, &set);

    (void)arg;
    atomic_fetch_add(&ready, 1);
    CHECK(co_signal_wait(&watch) == SIGUSR2);
    CHECK(co_signal_wait(&watch) == -ECANCELED);
    return 0;
}

static int tell_all(void *arg)
{
    CO_GROUP(group);
    int64_t before = stat_of("parked");

    (void)arg;
    for (int i = 0; i < WATCHES; i++)
        CHECK(co_group_go(&group, wait_on_own_watch, NULL) == 0);
    until(&ready, WATCHES);
    CHECK(raise(SIGUSR2) == 0);
    until_parked(before, WATCHES); /* all wait for the second by then, or will be refused */
    while (stat_of("parked") < before + 2 * WATCHES && co_yield() == 0)
        continue;
    co_group_cancel(&group);
    return 0;
}

Test(signal, every_open_watch_gets_it)
{
    run_on(3, tell_all, NULL);
}

static _Atomic int taken;

static int take_one(void *arg)
{
    CHECK(co_signal_wait(arg) == SIGUSR1);
    atomic_fetch_add(&taken, 1);
    return 0;
}

static int share_a_watch(void *arg)
{
    sigset_t set = set_of(SIGUSR1, 0, 0);
    CO_SIGNAL(watch, &set);
    CO_GROUP(group);

    (void)arg;
    for (int i = 0; i < WATCHES; i++)
        CHECK(co_group_go(&group, take_one, &watch) == 0);
    for (int i = 1; i <= WATCHES; i++) {
        CHECK(raise(SIGUSR1) == 0);
        until(&taken, i);
        CHECK(atomic_load(&taken) == i);
    }
    CHECK(co_group_wait(&group) == 0);
    return 0;
}

Test(signal, of_those_who_wait_on_one_watch_one_gets_it)
{
    run_on(2, share_a_watch, NULL);
}

/* ---- what it does to handlers ---- */

static struct co_signal outer; /* is left open */

static int open_and_close(void *arg)
{
    sigset_t set = set_of(SIGUSR2, 0, 0);
    struct co_signal inner;

    (void)arg;
    CHECK(raise(SIGUSR2) == 0 && count == 1);
    CHECK(co_signal_open(&outer, &set) == 0);
    CHECK(co_signal_open(&inner, &set) == 0);
    CHECK(raise(SIGUSR2) == 0 && count == 1);
    co_signal_close(&outer);
    co_signal_close(&outer);
    co_signal_close(NULL);
    CHECK(raise(SIGUSR2) == 0 && count == 1); /* the other is still open */
    co_signal_close(&inner);
    CHECK(raise(SIGUSR2) == 0 && count == 2);
    CHECK(co_signal_open(&outer, &set) == 0); /* co_run closes it */
    return 0;
}

Test(signal, the_handler_of_before_is_back_when_the_last_watch_has_closed)
{
    struct sigaction action = {.sa_handler = old_handler};

    cr_assert_eq(sigaction(SIGUSR2, &action, NULL), 0);
    run_on(2, open_and_close, NULL);
    (void)raise(SIGUSR2);
    cr_assert_eq(count, 3);
    atomic_store(&count, 0);
    run_on(2, open_and_close, NULL); /* a later runtime is not disturbed by what was left open */
}

static int take_sigterm(void *arg)
{
    sigset_t set = set_of(SIGTERM, SIGINT, 0);

    (void)arg;
    {
        CO_SIGNAL(watch, &set);
        CHECK(kill(getpid(), SIGTERM) == 0);
        CHECK(wait_for_any(&watch) == SIGTERM);
        CHECK(!co_stopping());
    }
    CHECK(kill(getpid(), SIGTERM) == 0);
    while (!co_stopping())
        CHECK(co_sleep(CO_MS) == 0);
    return 3;
}

Test(signal, a_watch_stands_in_for_co_runs_own_handling_until_it_closes)
{
    struct co_conf conf = settings(2);

    conf.signals = 1;
    cr_assert_eq(run_conf(&conf, take_sigterm, NULL), 3);
}

/* ---- what is refused ---- */

static int open_wrong(void *arg)
{
    const int wrong[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE,
                         SIGILL,  SIGTRAP, SIGABRT, SIGSYS, SIGURG};
    sigset_t set = set_of(0, 0, 0);
    struct co_signal watch;

    (void)arg;
    CHECK(co_signal_open(&watch, &set) == -EINVAL);
    CHECK(co_signal_wait(&watch) == -EINVAL);
    co_signal_close(&watch);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        set = set_of(SIGUSR1, wrong[i], 0);
        CHECK(co_signal_open(&watch, &set) == -EINVAL);
    }
    set = set_of(SIGUSR1, SIGUSR2, 0);
    CHECK(co_signal_open(&watch, &set) == -EBUSY); /* SIGUSR2 is blocked */
    CHECK(co_signal_wait(&watch) == -EBUSY);
    CHECK(raise(SIGUSR1) == 0 && count == 1); /* nothing was changed */
    return 0;
}

Test(signal, what_cannot_be_caught_or_belongs_to_others_is_refused)
{
    struct sigaction action = {.sa_handler = old_handler};
    sigset_t set = set_of(SIGUSR2, 0, 0);
    struct co_signal watch;

    cr_assert_eq(co_signal_open(&watch, &set), -EPERM);
    cr_assert_eq(co_signal_wait(&watch), -EPERM);
    co_signal_close(&watch);
    cr_assert_eq(sigaction(SIGUSR1, &action, NULL), 0);
    cr_assert_eq(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    run_on(1, open_wrong, NULL);
}

/* ---- the end ---- */

static struct co_signal closed_by_other;

static int wait_in_vain(void *arg)
{
    (void)arg;
    return co_signal_wait(&closed_by_other);
}

static int close_while_they_wait(void *arg)
{
    sigset_t set = set_of(SIGUSR1, 0, 0);
    CO_GROUP(group);
    int64_t before = stat_of("parked");

    (void)arg;
    CHECK(co_signal_open(&closed_by_other, &set) == 0);
    for (int i = 0; i < 3; i++)
        CHECK(co_group_go(&group, wait_in_vain, NULL) == 0);
    until_parked(before, 3);
    co_signal_close(&closed_by_other);
    CHECK(co_group_wait(&group) == -ECANCELED);
    CHECK(co_signal_wait(&closed_by_other) == -ECANCELED);
    return 0;
}

Test(signal, those_who_wait_on_a_watch_that_closes_get_ecanceled)
{
    run_on(2, close_while_they_wait, NULL);
}

static void watch_for_ever(void *arg)
{
    sigset_t set = set_of(SIGHUP, 0, 0);
    CO_SIGNAL(watch, &set);
    int r;

    (void)arg;
    CHECK(raise(SIGHUP) == 0);
    atomic_fetch_add(&ready, 1);
    while ((r = co_signal_wait(&watch)) == SIGHUP)
        atomic_fetch_add(&taken, 1);
    CHECK(r == -ECANCELED);
    CHECK(co_stopping());
    CHECK(co_signal_wait(&watch) == -ECANCELED);
    CHECK(co_sleep(CO_US) == 0); /* it is not cancelled: there is grace */
    atomic_fetch_add(&count, 1);
}

static int stop_them(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++)
        start(watch_for_ever, NULL);
    until(&ready, 10);
    until(&taken, 10);
    co_stop();
    return 0;
}

Test(signal, a_stop_ends_the_waits_at_once)
{
    cr_assert_eq(run_and_stop(2, 3600 * CO_SEC, stop_them), 0);
    cr_assert_eq(count, 10);
}

/* ---- what it is good for ---- */

static int reap(void *arg)
{
    char *argv[] = {"sh", "-c", "exit 7", NULL};
    char *none[] = {NULL};
    sigset_t set = set_of(SIGCHLD, 0, 0);
    CO_SIGNAL(child, &set);
    int status = 0;
    pid_t pid;

    (void)arg;
    CHECK(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, none) == 0);
    while (waitpid(pid, &status, WNOHANG) == 0)
        CHECK(wait_for_any(&child) == SIGCHLD);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    return 0;
}

Test(signal, a_coroutine_waits_for_the_end_of_a_process)
{
    run_on(2, reap, NULL);
}

static _Atomic int over;

static void *send_always(void *arg)
{
    (void)arg;
    while (!atomic_load(&over)) {
        (void)kill(getpid(), SIGUSR2);
        (void)usleep(100);
    }
    return NULL;
}

static int come_and_go(void *arg)
{
    sigset_t set = set_of(SIGUSR2, 0, 0);

    (void)arg;
    for (int i = 0; i < 10; i++) {
        CO_SIGNAL(watch, &set);
        CO_DEADLINE(i % 2 ? 100 * CO_US : 10 * CO_SEC);
        int r = co_signal_wait(&watch);

        CHECK(r == SIGUSR2 || (r == -ETIMEDOUT && i % 2));
    }
    return 0;
}

static int many_come_and_go(void *arg)
{
    CO_GROUP(group);

    (void)arg;
    for (int i = 0; i < 8; i++)
        CHECK(co_group_go(&group, come_and_go, NULL) == 0);
    CHECK(co_group_wait(&group) == 0);
    return 0;
}

Test(signal, watches_come_and_go_while_signals_strike)
{
    struct sigaction action = {.sa_handler = old_handler};
    pthread_t thread;

    cr_assert_eq(sigaction(SIGUSR2, &action, NULL), 0);
    cr_assert_eq(pthread_create(&thread, NULL, send_always, NULL), 0);
    for (int i = 0; i < 5; i++)
        run_on(3, many_come_and_go, NULL);
    atomic_store(&over, 1);
    cr_assert_eq(pthread_join(thread, NULL), 0);
}

/* ---- at the stop ---- */

static int stop_with_one_caught(void *arg)
{
    sigset_t set = set_of(SIGHUP, 0, 0);
    struct co_signal watch;

    (void)arg;
    CHECK(co_signal_open(&watch, &set) == 0);
    CHECK(raise(SIGHUP) == 0);
    co_stop();
    compute(50 * CO_MS); /* the watchdog begins the stop; no worker has looked at the signal */
    CHECK(co_signal_wait(&watch) == SIGHUP);
    CHECK(co_signal_wait(&watch) == -ECANCELED);
    co_signal_close(&watch);
    return 0;
}

Test(signal, what_was_caught_before_a_stop_is_not_lost)
{
    struct co_conf conf = settings(1);

    conf.grace = 20 * CO_SEC;
    cr_assert_eq(run_conf(&conf, stop_with_one_caught, NULL), 0);
}
