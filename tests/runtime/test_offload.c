/* SPDX-License-Identifier: MIT */
/* tests/runtime/test_offload.c - blocking calls off the workers, taken back or waited for. */
#include <co/offload.h>

#include "support/run.h"
#include <co/park.h>
#include <sched.h>
#include <unistd.h>

TestSuite(offload, .timeout = 30);

static _Atomic int count, begun, released;

static int answer(void *arg)
{
    CHECK(co_worker() == -1);
    CHECK(co_self() == 0);
    atomic_fetch_add(&count, 1);
    return *(int *)arg;
}

static int ask(void *arg)
{
    const int answers[] = {0, 1, -1, -EPERM, INT32_MAX};

    (void)arg;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        int wanted = answers[i];
        int result = 77;

        CHECK(co_offload(answer, &wanted, &result) == 0);
        CHECK(result == wanted);
        CHECK(co_offload(answer, &wanted, NULL) == 0);
    }
    CHECK(atomic_load(&count) == 10);
    return 0;
}

Test(offload, gives_back_what_the_function_returned)
{
    run_on(1, ask, NULL);
    atomic_store(&count, 0);
    run_on(3, ask, NULL);
}

static void be_called(void *arg)
{
    (void)arg;
    atomic_fetch_add(&count, 1);
}

Test(offload, is_for_coroutines_only)
{
    int zero = 0;

    cr_assert_eq(co_offload(answer, &zero, NULL), -EPERM);
    cr_assert_eq(co_offload_detached(be_called, NULL), -EPERM);
    cr_assert_eq(count, 0);
}

/* ---- the worker goes on ---- */

static int block(void *arg)
{
    (void)arg;
    atomic_fetch_add(&begun, 1);
    while (atomic_load(&released) == 0)
        (void)usleep(1000);
    atomic_fetch_add(&count, 1);
    return 5;
}

static void block_off(void *arg)
{
    int result = 0;

    (void)arg;
    CHECK(co_offload(block, NULL, &result) == 0);
    CHECK(result == 5);
}

static int go_on(void *arg)
{
    (void)arg;
    start(block_off, NULL);
    until(&begun, 1);
    for (int i = 0; i < 100; i++)
        CHECK(co_yield() == 0);
    CHECK(co_sleep(5 * CO_MS) == 0);
    CHECK(atomic_load(&count) == 0);
    atomic_store(&released, 1);
    return 0;
}

Test(offload, the_only_worker_goes_on_meanwhile)
{
    run_on(1, go_on, NULL);
    cr_assert_eq(count, 1);
}

/* ---- a pool of one thread, which is taken ---- */

static struct co_conf one_thread(int threads)
{
    struct co_conf conf = settings(threads);

    conf.offload_threads = 1;
    return conf;
}

static int take_back(void *arg)
{
    int zero = 0;
    int64_t from;

    (void)arg;
    start(block_off, NULL);
    until(&begun, 1);
    from = co_now();
    {
        CO_DEADLINE(20 * CO_MS);
        CHECK(co_offload(answer, &zero, NULL) == -ETIMEDOUT);
    }
    CHECK(co_now() - from < 5 * CO_SEC);
    {
        CO_DEADLINE(0);
        CHECK(co_offload(answer, &zero, NULL) == -ETIMEDOUT);
    }
    CHECK(atomic_load(&count) == 0);
    atomic_store(&released, 1);
    until(&count, 1);
    CHECK(co_offload(answer, &zero, NULL) == 0);
    CHECK(atomic_load(&count) == 2); /* the one that blocked and this one: no other was called */
    return 0;
}

Test(offload, what_has_not_begun_is_taken_back_at_the_deadline)
{
    struct co_conf conf = one_thread(2);

    cr_assert_eq(run_conf(&conf, take_back, NULL), 0);
    cr_assert_eq(count, 2);
}

static int leave_behind(void *arg)
{
    int zero = 0;

    (void)arg;
    start(block_off, NULL);
    until(&begun, 1);
    for (int i = 0; i < 10; i++) {
        CO_DEADLINE(CO_MS);
        CHECK(co_offload(answer, &zero, NULL) == -ETIMEDOUT);
    }
    atomic_store(&released, 1);
    return 0;
}

Test(offload, what_was_taken_back_last_does_not_outlive_the_runtime)
{
    struct co_conf conf = one_thread(1);

    for (int i = 0; i < 5; i++) {
        atomic_store(&count, 0);
        atomic_store(&begun, 0);
        atomic_store(&released, 0);
        cr_assert_eq(run_conf(&conf, leave_behind, NULL), 0);
        cr_assert_eq(count, 1);
    }
}

static int nap_there(void *arg)
{
    atomic_fetch_add(&begun, 1);
    (void)usleep(60000);
    *(int *)arg = 42; /* on the caller's stack */
    return 9;
}

static int wait_for_it(void *arg)
{
    int local = 0;
    int result = 0;
    int r;

    (void)arg;
    do {
        CO_DEADLINE(20 * CO_MS);
        atomic_store(&begun, 0);
        r = co_offload(nap_there, &local, &result);
        CHECK(co_check() == -ETIMEDOUT);
    } while (r == -ETIMEDOUT && atomic_load(&begun) == 0); /* taken back: no thread came in time */
    CHECK(r == 0);
    CHECK(local == 42 && result == 9);
    return 0;
}

Test(offload, what_has_begun_is_waited_for_past_the_deadline)
{
    run_on(1, wait_for_it, NULL);
    run_on(2, wait_for_it, NULL);
}

/* ---- cancel ---- */

static _Atomic int taken_back;

static void queue_up(void *arg)
{
    int zero = 0;

    (void)arg;
    CHECK(co_offload(answer, &zero, NULL) == -ECANCELED);
    atomic_fetch_add(&taken_back, 1);
}

static void block_through_cancel(void *arg)
{
    int result = 0;

    (void)arg;
    CHECK(co_offload(block, NULL, &result) == 0);
    CHECK(result == 5);
    CHECK(co_check() == -ECANCELED);
}

static void *release_after_cancel(void *arg)
{
    (void)arg;
    while (atomic_load(&taken_back) < 3)
        (void)sched_yield();
    atomic_store(&released, 1);
    return NULL;
}

static pthread_t releaser;

static int cancel_all(void *arg)
{
    (void)arg;
    start(block_through_cancel, NULL);
    until(&begun, 1);
    for (int i = 0; i < 3; i++)
        start(queue_up, NULL);
    CHECK(pthread_create(&releaser, NULL, release_after_cancel, NULL) == 0);
    co_stop();
    return 0;
}

Test(offload, cancel_takes_back_what_waits_and_waits_for_what_runs)
{
    struct co_conf conf = one_thread(2);

    conf.grace = 200 * CO_MS;
    cr_assert_eq(run_conf(&conf, cancel_all, NULL), 0);
    cr_assert_eq(pthread_join(releaser, NULL), 0);
    cr_assert_eq(taken_back, 3);
    cr_assert_eq(count, 1);
}

/* ---- detached ---- */

static void count_later(void *arg)
{
    while (atomic_load(&released) == 0)
        (void)usleep(1000);
    (void)usleep(20000);
    atomic_fetch_add((_Atomic int *)arg, 1);
}

static int detach(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++)
        CHECK(co_offload_detached(count_later, &count) == 0);
    {
        CO_DEADLINE(0);
        CHECK(co_offload_detached(count_later, &count) == 0);
    }
    CHECK(atomic_load(&count) == 0);
    atomic_store(&released, 1);
    return 0;
}

Test(offload, the_runtime_waits_for_what_was_detached)
{
    run_on(2, detach, NULL);
    cr_assert_eq(count, 21);
}

/* ---- many, and from a stuck worker ---- */

static void ask_often(void *arg)
{
    for (int i = 0; i < *(int *)arg; i++) {
        int result = 0;

        CHECK(co_offload(answer, &i, &result) == 0);
        CHECK(result == i);
    }
}

static int ask_all(void *arg)
{
    for (int i = 0; i < 50; i++)
        start(ask_often, arg);
    return 0;
}

Test(offload, many_at_once_get_each_its_own_result)
{
    int each = fewer(100);

    run_on(3, ask_all, &each);
    cr_assert_eq(count, 50 * each);
}

static _Atomic int64_t back_at;

static int wait_for_release(void *arg)
{
    (void)arg;
    atomic_fetch_add(&begun, 1);
    while (atomic_load(&released) == 0)
        (void)sched_yield();
    return 0;
}

static void go_off_and_back(void *arg)
{
    (void)arg;
    CHECK(co_offload(wait_for_release, NULL, NULL) == 0);
    atomic_store(&back_at, co_now());
}

/* Returns: how long it took the other one to come back, while this worker was stuck. */
static int64_t stuck_for(void)
{
    int64_t from;

    atomic_store(&back_at, 0);
    atomic_store(&begun, 0);
    atomic_store(&released, 0);
    start(go_off_and_back, NULL);
    until(&begun, 1);
    from = co_now();
    atomic_store(&released, 1);
    while (atomic_load(&back_at) == 0 && co_now() - from < 20 * CO_SEC)
        continue;
    CHECK(atomic_load(&back_at) != 0);
    return atomic_load(&back_at) - from;
}

static int be_stuck(void *arg)
{
    int64_t best = CO_NEVER;

    (void)arg;
    for (int i = 0; i < 20 && best >= 250 * CO_MS; i++) { /* the machine may be busy, once */
        int64_t span = stuck_for();

        best = span < best ? span : best;
    }
    CHECK(best < 250 * CO_MS);
    return 0;
}

Test(offload, its_end_is_not_held_up_by_a_worker_that_computes)
{
    run_on(2, be_stuck, NULL);
}

/* ---- the size of the pool ---- */

static int meet(void *arg)
{
    (void)arg;
    atomic_fetch_add(&begun, 1);
    while (atomic_load(&begun) < 3)
        (void)usleep(1000);
    return 0;
}

static void meet_there(void *arg)
{
    (void)arg;
    CHECK(co_offload(meet, NULL, NULL) == 0);
    atomic_fetch_add(&count, 1);
}

static int meet_all(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++)
        start(meet_there, NULL);
    return 0;
}

Test(offload, each_runtime_has_as_many_threads_as_it_was_told)
{
    struct co_conf conf = one_thread(1);

    cr_assert_eq(run_conf(&conf, ask, NULL), 0);
    atomic_store(&count, 0);
    conf.offload_threads = 3;
    cr_assert_eq(run_conf(&conf, meet_all, NULL), 0);
    cr_assert_eq(count, 3);
}

/* ---- CPUs ---- */

static int count_cpus(void *arg)
{
    cpu_set_t cpus;

    (void)arg;
    return sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : -errno;
}

static int compare_cpus(void *arg)
{
    int cpus = 0;

    CHECK(co_offload(count_cpus, NULL, &cpus) == 0);
    CHECK(cpus == *(int *)arg);
    CHECK(count_cpus(NULL) == 1);
    return 0;
}

Test(offload, is_not_pinned_with_the_worker_that_starts_its_thread)
{
    struct co_conf conf = settings(2);
    int cpus = count_cpus(NULL);

    conf.pin_threads = 1;
    cr_assert_eq(run_conf(&conf, compare_cpus, &cpus), 0);
    cr_assert_eq(count_cpus(NULL), cpus);
}

/* ---- threads that cannot be started ---- */

static _Atomic int refusals; /* threads that are not to be started */
static _Atomic int refused;  /* since that was said, those that were not, or are about not to be */

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
                          void *arg);

/* Stands in for the system's, see tests/meson.build. While one fails others have time to come. */
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
                          void *arg)
{
    int64_t end = co_now() + 200 * CO_MS;

    if (atomic_load(&refused) >= atomic_load(&refusals))
        return __real_pthread_create(thread, attr, fn, arg);
    atomic_fetch_add(&refused, 1);
    while (atomic_load(&refused) < 2 && co_now() < end)
        (void)usleep(1000);
    return EAGAIN;
}

/* Two who call the pool at once, when it has no thread, and what they were told. */
static struct {
    int (*call)(void);
    int first;
    _Atomic int second; /* 1: it waits for the first; 2: it has not returned */
} two;

static int in_time(void)
{
    int zero = 0;

    CO_DEADLINE(10 * CO_SEC);
    return co_offload(answer, &zero, NULL);
}

static int detached(void)
{
    return co_offload_detached(be_called, NULL);
}

static void call_second(void *arg)
{
    (void)arg;
    atomic_store(&two.second, 1);
    while (atomic_load(&refused) == 0)
        (void)sched_yield();
    atomic_store(&two.second, 2);
    atomic_store(&two.second, two.call());
}

static int call_first(void *arg)
{
    atomic_store(&two.second, 0);
    start(call_second, NULL);
    while (atomic_load(&two.second) == 0) /* it runs elsewhere */
        (void)sched_yield();
    atomic_store(&refusals, *(int *)arg);
    two.first = two.call();
    while (atomic_load(&two.second) > 0)
        CHECK(co_sleep(CO_MS) == 0);
    return 0;
}

static void call_twice(int (*call)(void), struct co_conf conf, int times)
{
    atomic_store(&refusals, 0);
    atomic_store(&refused, 0);
    two.call = call;
    cr_assert_eq(run_conf(&conf, call_first, &times), 0);
}

Test(offload, nobody_waits_for_a_thread_that_two_have_failed_to_start)
{
    call_twice(in_time, settings(2), 2);
    cr_assert_eq(two.first, -ENOMEM);
    cr_assert_eq(two.second, -ENOMEM);
    cr_assert_eq(count, 0);
    call_twice(detached, settings(2), 2);
    cr_assert_eq(two.first, -ENOMEM);
    cr_assert_eq(two.second, -ENOMEM);
    cr_assert_eq(count, 0);
}

Test(offload, nobody_waits_for_the_only_thread_when_another_has_failed_to_start_it)
{
    call_twice(in_time, one_thread(2), 1);
    cr_assert_eq(two.first, -ENOMEM);
    cr_assert_eq(two.second, 0);
    cr_assert_eq(count, 1);
    call_twice(detached, one_thread(2), 1);
    cr_assert_eq(two.first, -ENOMEM);
    cr_assert_eq(two.second, 0);
    cr_assert_eq(count, 2);
}
