/* SPDX-License-Identifier: MIT */
/* tests/runtime/test_group.c - groups: no member outlives its group, whatever ends it. */
#include <co/group.h>

#include "sync_help.h"
#include <co/event.h>
#include <co/sem.h>

TestSuite(group, .timeout = 30);

static _Atomic int running, ended;

static int sleep_long(void *arg)
{
    int r;

    (void)arg;
    atomic_fetch_add(&running, 1);
    r = co_sleep(60 * CO_SEC);
    atomic_fetch_sub(&running, 1);
    atomic_fetch_add(&ended, 1);
    return r;
}

static int return_it(void *arg)
{
    for (int i = 0; i < 3; i++)
        (void)co_yield();
    atomic_fetch_add(&ended, 1);
    return number_of(arg);
}

/* ---- waiting ---- */

static int wait_for_all(void *arg)
{
    CO_GROUP(group);

    (void)arg;
    CHECK(co_group_wait(&group) == 0); /* nobody: at once */
    for (int i = 1; i <= 3; i++) {
        for (int k = 0; k < 50; k++)
            CHECK(co_group_go(&group, return_it, numbered(k)) == 0);
        CHECK(co_group_wait(&group) == 0); /* and positive results are no errors */
        CHECK(atomic_load(&ended) == 50 * i);
    }
    CHECK(co_group_close(&group) == 0);
    CHECK(co_group_close(&group) == 0);
    CHECK(co_group_go(&group, return_it, NULL) == -EPERM);
    return 0;
}

Test(group, a_wait_ends_when_all_have_ended_and_may_be_repeated)
{
    run_on(1, wait_for_all, NULL);
    atomic_store(&ended, 0);
    run_on(WORKERS, wait_for_all, NULL);
}

static _Atomic int failed;

static int fail_in_turn(void *arg)
{
    until(&failed, number_of(arg));
    atomic_fetch_add(&failed, 1);
    return number_of(arg) == 0 ? 0 : -number_of(arg);
}

static int first_error(void *arg)
{
    CO_GROUP(group);

    (void)arg;
    for (int i = 4; i >= 0; i--)
        CHECK(co_group_go(&group, fail_in_turn, numbered(i)) == 0);
    CHECK(co_group_wait(&group) == -1);
    CHECK(co_group_wait(&group) == -1);
    CHECK(co_group_close(&group) == -1);
    return 0;
}

Test(group, the_first_negative_result_is_the_groups)
{
    run_on(1, first_error, NULL);
}

static int fail_and_cancel(void *arg)
{
    until(&running, 5);
    co_group_cancel(arg);
    until(&ended, 5); /* theirs is -ECANCELED, and earlier */
    return -EIO;
}

static int one_for_all(void *arg)
{
    CO_GROUP(group);

    (void)arg;
    for (int i = 0; i < 5; i++)
        CHECK(co_group_go(&group, sleep_long, NULL) == 0);
    CHECK(co_group_go(&group, fail_and_cancel, &group) == 0);
    CHECK(co_group_wait(&group) == -EIO);
    CHECK(co_group_go(&group, return_it, NULL) == -ECANCELED);
    return 0;
}

Test(group, a_member_may_cancel_the_others_and_its_error_tells_why)
{
    run_on(2, one_for_all, NULL);
}

static int interrupted_wait(void *arg)
{
    CO_GROUP(group);

    (void)arg;
    CHECK(co_group_go(&group, sleep_long, NULL) == 0);
    {
        CO_DEADLINE(CO_MS);
        CHECK(co_group_wait(&group) == -ETIMEDOUT);
    }
    CHECK(atomic_load(&ended) == 0); /* it has a deadline of its own, which is none */
    CHECK(co_group_close(&group) == -ECANCELED);
    CHECK(atomic_load(&ended) == 1);
    return 0;
}

Test(group, a_deadline_ends_the_wait_and_the_end_of_the_block_the_members)
{
    run_on(2, interrupted_wait, NULL);
}

/* ---- what members inherit ---- */

static int out_of_time(void *arg)
{
    int r;

    (void)arg;
    CHECK(co_left() < CO_SEC);
    r = co_sleep(60 * CO_SEC);
    /* Who has started it has the same deadline, and cancels it if that strikes there first. */
    CHECK(r == -ETIMEDOUT || r == -ECANCELED);
    atomic_fetch_add(&ended, 1);
    return -ETIMEDOUT;
}

static int not_out_of_time(void *arg)
{
    (void)arg;
    CHECK(co_left() == CO_NEVER);
    return 0;
}

static int start_out_of_time(void *arg)
{
    CO_GROUP(nested);

    (void)arg;
    CHECK(co_group_go(&nested, out_of_time, NULL) == 0);
    CHECK(co_group_wait(&nested) == -ETIMEDOUT);
    return -ETIMEDOUT;
}

static int closed_in_time(void *arg)
{
    CO_GROUP(unhurried);

    (void)arg;
    {
        CO_DEADLINE(20 * CO_SEC);
        CO_GROUP(group);

        CHECK(co_group_go(&unhurried, not_out_of_time, NULL) ==
              0); /* what counts is where its group was opened */
        CHECK(co_group_close(&group) == 0);
    }
    CHECK(co_group_wait(&unhurried) == 0);
    return 0;
}

static int end_by_deadline(void *arg)
{
    (void)arg;
    {
        CO_DEADLINE(5 * CO_MS);
        CO_GROUP(group);

        CHECK(co_group_go(&group, out_of_time, NULL) == 0);
        CHECK(co_group_go(&group, start_out_of_time, NULL) == 0);
        while (atomic_load(&ended) < 2) {
            CO_GRACE(CO_SEC);
            (void)co_sleep(CO_MS);
        }
        CHECK(co_group_close(&group) == -ETIMEDOUT);
    }
    return 0;
}

Test(group, members_and_their_groups_inherit_the_openers_deadline)
{
    run_on(2, end_by_deadline, NULL);
    run_on(2, closed_in_time, NULL);
}

/* ---- cancel ---- */

static int nest(void *arg)
{
    CO_GROUP(group);
    int depth = number_of(arg);

    for (int i = 0; i < 2; i++)
        CHECK(co_group_go(&group, depth > 1 ? nest : sleep_long, numbered(depth - 1)) == 0);
    return co_group_wait(&group);
}

static int cancel_a_tree(void *arg)
{
    CO_GROUP(group);

    CHECK(co_group_go(&group, nest, arg) == 0);
    until(&running, 1 << number_of(arg));
    co_group_cancel(&group);
    co_group_cancel(&group);
    CHECK(co_group_wait(&group) == -ECANCELED);
    CHECK(atomic_load(&running) == 0);
    CHECK(atomic_load(&ended) == 1 << number_of(arg));
    return 0;
}

Test(group, the_groups_of_members_are_cancelled_with_theirs)
{
    run_on(2, cancel_a_tree, numbered(5));
}

static struct co_event may_end;

/* Deaf to cancel: it waits for its own members alone, which have no other reason to end. */
static int deaf(void *arg)
{
    CO_GROUP(nested);

    (void)arg;
    CHECK(co_group_go(&nested, sleep_long, NULL) == 0);
    until(&ended, 1);
    CHECK(co_check() == -ECANCELED);
    return 0;
}

static int cancel_reaches_down(void *arg)
{
    CO_GROUP(group);

    (void)arg;
    CHECK(co_group_go(&group, deaf, NULL) == 0);
    until(&running, 1);
    co_group_cancel(&group);
    CHECK(co_group_wait(&group) == 0);
    return 0;
}

Test(group, nested_members_are_cancelled_before_their_opener_reacts)
{
    run_on(2, cancel_reaches_down, NULL);
}

static int say_goodbye(void *arg)
{
    (void)arg;
    CHECK(co_event_wait(&may_end) == -ECANCELED);
    {
        CO_GRACE(CO_SEC);
        CO_GROUP(helpers); /* cancel does not count for them either */

        CHECK(co_group_go(&helpers, return_it, numbered(3)) == 0);
        CHECK(co_group_wait(&helpers) == 0);
        CHECK(co_sleep(CO_MS) == 0);
    }
    {
        CO_GROUP(late);

        CHECK(co_group_go(&late, return_it, NULL) == -ECANCELED); /* born cancelled */
    }
    return 0;
}

static int with_goodbyes(void *arg)
{
    CO_GROUP(group);

    (void)arg;
    start_asleep(&group, say_goodbye, NULL);
    CHECK(co_group_close(&group) == 0); /* waits for the goodbyes */
    CHECK(atomic_load(&ended) == 1);
    return 0;
}

Test(group, closing_cancels_and_waits_for_goodbyes)
{
    run_on(2, with_goodbyes, NULL);
}

/* Its own cancel does not shorten the end of the group that it has opened. */
static int never_cut_short(void *arg)
{
    int on_my_stack = 0;

    (void)arg;
    {
        CO_GROUP(group);
        for (int i = 0; i < 4; i++)
            CHECK(co_group_go(&group, return_it, &on_my_stack) == 0);
        CHECK(co_event_wait(&may_end) == -ECANCELED);
    }
    CHECK(atomic_load(&ended) >= 4);
    return 0;
}

static int cut_later(void *arg)
{
    CO_GROUP(group);

    (void)arg;
    CHECK(co_group_go(&group, never_cut_short, NULL) == 0);
    until(&ended, 4);
    return co_group_close(&group) == 0 ? 0 : -EIO;
}

Test(group, the_end_of_a_group_is_never_cut_short)
{
    run_on(2, cut_later, NULL);
}

Test(group, outside_a_coroutine_nothing_opens)
{
    struct co_group group;

    cr_assert_eq(co_group_open(&group), -EPERM);
    cr_assert_eq(co_group_go(&group, return_it, NULL), -EPERM);
    co_group_cancel(&group);
    cr_assert_eq(co_group_close(&group), 0);
}

/* ---- starting ---- */

static void start_more(void *arg)
{
    for (int i = 0; i < 100; i++)
        CHECK(co_group_go(arg, return_it, NULL) == 0);
}

static int start_more_as_a_member(void *arg)
{
    start_more(arg);
    return 0;
}

static int from_anywhere(void *arg)
{
    CO_GROUP(group);

    (void)arg;
    on_plain_thread(start_more, &group);
    CHECK(co_group_go(&group, start_more_as_a_member, &group) == 0);
    CHECK(co_group_wait(&group) == 0);
    CHECK(atomic_load(&ended) == 200);
    return 0;
}

Test(group, plain_threads_and_members_may_start_members)
{
    run_on(2, from_anywhere, NULL);
}

static int stay(void *arg)
{
    int worker = co_worker();

    (void)arg;
    for (int i = 0; i < 50; i++) {
        (void)co_yield();
        CHECK(co_worker() == worker);
    }
    atomic_fetch_add(&ended, 1);
    return 0;
}

static int with_options(void *arg)
{
    struct co_opts opts = {.name = "big", .stack_size = 256 * 1024, .pinned = 1};
    CO_GROUP(group);

    (void)arg;
    for (int i = 0; i < 8; i++)
        CHECK(co_group_go_with(&group, &opts, stay, NULL) == 0);
    CHECK(co_group_go_with(&group, NULL, return_it, NULL) == 0);
    opts.stack_size = 1;
    CHECK(co_group_go_with(&group, &opts, stay, NULL) == -EINVAL);
    CHECK(co_group_wait(&group) == 0);
    CHECK(atomic_load(&ended) == 9);
    return 0;
}

Test(group, members_take_options)
{
    run_on(2, with_options, NULL);
}

static int limited(void *arg)
{
    CO_GROUP(group);
    int r = 0;
    int started = 0;

    (void)arg;
    while (r == 0) {
        r = co_group_go(&group, sleep_long, NULL);
        started += r == 0;
    }
    CHECK(r == -EAGAIN && started == 9);
    CHECK(co_group_close(&group) == -ECANCELED || atomic_load(&ended) == started);
    CHECK(atomic_load(&ended) == started);
    return 0;
}

Test(group, who_could_not_start_is_not_waited_for)
{
    struct co_conf conf = settings(2);

    conf.max_coroutines = 10;
    cr_assert_eq(run_conf(&conf, limited, NULL), 0);
}

/* ---- stop ---- */

static int stopped(void *arg)
{
    CO_GROUP(group);
    int r;

    (void)arg;
    for (int i = 0; i < CROWD; i++)
        CHECK(co_group_go(&group, nest, numbered(2)) == 0);
    until(&running, CROWD * 4);
    co_stop();
    r = co_group_wait(&group);
    CHECK(r == -ECANCELED);
    return 0;
}

Test(group, the_end_of_the_grace_time_ends_groups_too)
{
    /* And as much for the ends of all on a slow machine. */
    cr_assert_eq(run_and_stop(2, 300 * CO_MS, stopped), 0);
    cr_assert_eq(atomic_load(&ended), CROWD * 4);
}

/* ---- all at once ---- */

static struct co_sem sem;

static int work(void *arg)
{
    int n = number_of(arg);

    for (int i = 0; i < n; i++) {
        CO_DEADLINE(i % 2 ? CO_SEC : 30 * CO_US);
        int r = i % 3 ? co_sem_take(&sem) : co_sleep(10 * CO_US);

        if (r == -ECANCELED)
            break;
        co_sem_give(&sem, r == 0 && i % 3);
    }
    atomic_fetch_add(&ended, 1);
    return 0;
}

static int grow(void *arg)
{
    CO_GROUP(group);
    int depth = number_of(arg);

    atomic_fetch_add(&ended, 1);
    for (int i = 0; i < 3; i++) {
        int r = co_group_go(&group, depth > 0 ? grow : work, numbered(depth > 0 ? depth - 1 : 5));

        CHECK(r == 0 || r == -ECANCELED);
        if (r == 0)
            atomic_fetch_add(&running, 1);
    }
    if (depth == 1)
        co_group_cancel(&group);
    return co_group_wait(&group) < 0 ? -ECANCELED : 0;
}

static void cancel_it(void *arg)
{
    co_group_cancel(arg);
}

static int races(void *arg)
{
    co_sem_init(&sem, 3);
    for (int i = 0; i < number_of(arg); i++) {
        CO_GROUP(group);

        for (int k = 0; k < 3; k++) {
            CHECK(co_group_go(&group, grow, numbered(2)) == 0);
            atomic_fetch_add(&running, 1);
        }
        for (int k = 0; k < i % 20; k++)
            (void)co_yield();
        if (i % 4 == 0)
            on_plain_thread(cancel_it, &group);
        if (i % 4 == 1)
            co_group_cancel(&group);
        if (i % 4 == 2)
            CHECK(co_group_wait(&group) == -ECANCELED || atomic_load(&ended) > 0);
        (void)co_group_close(&group);
        CHECK(atomic_load(&ended) ==
              atomic_load(&running)); /* each that was started has run to its end */
    }
    for (int i = 0; i < 3; i++)
        CHECK(co_sem_try(&sem) == 0);
    CHECK(co_sem_try(&sem) == -EAGAIN);
    return 0;
}

Test(group, trees_of_groups_end_whole_whoever_cancels_them_when)
{
    run_on(WORKERS, races, numbered(fewer(600)));
}
