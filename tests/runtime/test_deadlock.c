/* SPDX-License-Identifier: MIT */
/*
 * tests/runtime/test_deadlock.c - the report that all wait for each other, and all the rests that
 * are none.
 */
#include <co/inspect.h>

#include "child.h"
#include "support/crosswise.h"
#include "support/run.h"
#include <co/chan.h>
#include <co/event.h>
#include <co/group.h>
#include <co/offload.h>
#include <co/park.h>

TestSuite(deadlock, .timeout = 60);

static struct co_event event;

/* A millisecond of rest is enough to be reported, so what is not reported is so for a reason. */
static struct co_conf eager(void)
{
    struct co_conf conf = settings(2);

    conf.deadlock_report = CO_MS;
    return conf;
}

/* ThreadSanitizer has one more thread of its own in each process that was forked. */
static void needs_exact_threads(void)
{
#ifdef CO_TEST_TSAN
    cr_skip_test("ThreadSanitizer's threads cannot be told from others");
#endif
}

static int embrace(void *arg)
{
    static const struct co_opts one = {.name = "one"}, two = {.name = "two"};

    CHECK(co_go_with(&one, left_first, arg) == 0);
    CHECK(co_go_with(&two, right_first, arg) == 0);
    return 0;
}

Test(deadlock, two_that_wait_for_each_others_mutex_are_reported)
{
    struct co_conf conf = eager();
    struct child child;

    needs_exact_threads();
    child_start(&child, &conf, embrace);
    cr_assert(child_says(&child, "corvid: end of the list\n"), "%s", child.text);
    cr_assert(strstr(child.text, "corvid: deadlock: "), "%s", child.text);
    cr_assert(strstr(child.text, "corvid: 2 coroutines"), "%s", child.text);
    cr_assert(strstr(child.text, "(one), waits for mutex at 0x"), "%s", child.text);
    cr_assert(strstr(child.text, " (two) holds"), "%s", child.text);
    cr_assert(strstr(child.text, "(two), waits for mutex at 0x"), "%s", child.text);
    cr_assert(strstr(child.text, " (one) holds"), "%s", child.text);
    child_kill(&child);
}

static int wait_for_nobody(void *arg)
{
    (void)arg;
    CHECK(co_event_wait(&event) == -ECANCELED);
    CHECK(stat_of("deadlocks") == 1);
    return 0;
}

Test(deadlock, it_is_reported_once_and_a_stop_ends_it)
{
    struct co_conf conf = eager();
    struct child child;
    const char *first;

    needs_exact_threads();
    conf.signals = 1;
    conf.grace = 0;
    child_start(&child, &conf, wait_for_nobody);
    cr_assert(child_says(&child, "corvid: end of the list\n"), "%s", child.text);
    cr_assert_eq(kill(child.pid, SIGTERM), 0);
    (void)child_says(&child, NULL);
    cr_assert_eq(child_end(&child), 0, "%s", child.text);
    first = strstr(child.text, "deadlock:");
    cr_assert(first && !strstr(first + 1, "deadlock:"), "%s", child.text);
}

/* ---- rests that are no deadlock: each lasts much longer than what is reported ---- */

#define REST (60 * CO_MS)

static void is_silent(co_main_fn *fn)
{
    struct co_conf conf = eager();
    struct child child;

    child_start(&child, &conf, fn);
    (void)child_says(&child, NULL);
    cr_assert_eq(child_end(&child), 0, "%s", child.text);
    cr_assert_str_eq(child.text, "");
}

static void set_after_a_sleep(void *arg)
{
    CHECK(co_sleep(REST) == 0);
    co_event_set(arg);
}

static int sleeper(void *arg)
{
    (void)arg;
    start(set_after_a_sleep, &event);
    return co_event_wait(&event);
}

Test(deadlock, while_somebody_sleeps_there_is_none)
{
    is_silent(sleeper);
}

static int with_deadline(void *arg)
{
    (void)arg;
    CO_DEADLINE(REST);
    return co_event_wait(&event) == -ETIMEDOUT ? 0 : -EIO;
}

Test(deadlock, while_somebody_has_a_deadline_there_is_none)
{
    is_silent(with_deadline);
}

static int block(void *arg)
{
    (void)usleep(REST / CO_US);
    co_event_set(arg);
    return 0;
}

static void block_detached(void *arg)
{
    (void)block(arg);
}

static int offload(void *arg)
{
    (void)arg;
    return co_offload(block, &event, NULL);
}

static int offload_detached(void *arg)
{
    (void)arg;
    CHECK(co_offload_detached(block_detached, &event) == 0);
    return co_event_wait(&event);
}

Test(deadlock, while_something_is_offloaded_there_is_none)
{
    is_silent(offload);
    is_silent(offload_detached);
}

static void *set_later(void *arg)
{
    (void)block(arg);
    return NULL;
}

static int threaded(void *arg)
{
    pthread_t thread;
    int r;

    (void)arg;
    CHECK(pthread_create(&thread, NULL, set_later, &event) == 0);
    r = co_event_wait(&event);
    (void)pthread_join(thread, NULL);
    return r;
}

Test(deadlock, while_there_is_a_plain_thread_there_is_none)
{
    is_silent(threaded);
}

/* Runs until a while after fn has said that it is ready, and then stops it. */
static void is_silent_until_stopped(struct co_conf conf, co_main_fn *fn)
{
    struct child child;

    conf.signals = 1;
    conf.grace = 0;
    child_start(&child, &conf, fn);
    cr_assert(child_says(&child, "ready\n"));
    (void)usleep(REST / CO_US);
    cr_assert_eq(kill(child.pid, SIGTERM), 0);
    (void)child_says(&child, NULL);
    cr_assert_eq(child_end(&child), 0, "%s", child.text);
    cr_assert_str_eq(child.text, "ready\n");
}

static int wait_for_something_unknown(void *arg)
{
    (void)arg;
    child_say("ready\n");
    return co_park(NULL, NULL, 0) == -ECANCELED ? 0 : -EIO;
}

Test(deadlock, who_does_not_say_that_it_waits_for_a_coroutine_may_wait_for_anything)
{
    is_silent_until_stopped(eager(), wait_for_something_unknown);
}

static int hold_out(void *arg)
{
    (void)arg;
    child_say("ready\n");
    CHECK(co_event_wait(&event) == -ECANCELED);
    CHECK(stat_of("deadlocks") == 0);
    return 0;
}

Test(deadlock, nothing_is_reported_if_that_is_not_wanted)
{
    struct co_conf conf = eager();

    conf.deadlock_report = 0;
    is_silent_until_stopped(conf, hold_out);
}
