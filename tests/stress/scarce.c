/* SPDX-License-Identifier: MIT */
/*
 * scarce [SECONDS [COROUTINES [WORKERS]]] - what if there is no memory, now and then?
 *
 * To be run with CO_CHAOS=seed,fail in a test build: then starting coroutines, making stacks and
 * asking the pool fail by chance. COROUTINES start others in every way, with stacks of their own,
 * in groups, and offload, until the time is up.
 *
 * Checked: a call that fails says -ENOMEM and has done nothing; one that does not has done all of
 * it. What was started ends, groups end, and neither coroutines nor descriptors are left. Nothing
 * hangs (SIGALRM would kill the program).
 */
#include "stress/stress.h"
#include <co/conf.h>
#include <co/group.h>
#include <co/offload.h>
#include <co/scope.h>
#include <unistd.h>

enum { MEMBERS = 8, LARGE = 2 << 20 }; /* stacks as large as that are never kept */

static int seconds = 2, coroutines = 200, workers = 4;
static int64_t end_at;
static _Atomic int64_t begun, ended;     /* coroutines that were started without a group */
static _Atomic int64_t refused, granted; /* calls */
static _Atomic int64_t offloaded, done;
static _Atomic int live;

/* Returns: whether the call has done it. */
static bool judge(int r)
{
    if (r == 0) {
        atomic_fetch_add(&granted, 1);
        return true;
    }
    if (r != -ENOMEM)
        fail("refused otherwise than by -ENOMEM", r, 0);
    atomic_fetch_add(&refused, 1);
    return false;
}

static void small(void *arg)
{
    (void)arg;
    (void)co_yield();
    atomic_fetch_add(&ended, 1);
}

static void copied(void *arg)
{
    if (*(const int *)arg != 7)
        fail("a copy", *(const int *)arg, 7);
    atomic_fetch_add(&ended, 1);
}

static void start_some(void)
{
    const struct co_opts large = {.stack_size = LARGE};
    const int seven = 7;

    atomic_fetch_add(&begun, judge(co_go(small, NULL)));
    atomic_fetch_add(&begun, judge(co_go_copy(copied, &seven, sizeof seven)));
    atomic_fetch_add(&begun, judge(co_go_with(&large, small, NULL)));
}

struct tally {
    _Atomic int members;
};

static int member(void *arg)
{
    struct tally *tally = arg;

    (void)co_yield();
    atomic_fetch_add(&tally->members, 1);
    return 0;
}

static void start_group(void)
{
    const struct co_opts large = {.stack_size = LARGE};
    struct tally tally = {0};
    int joined = 0;
    CO_GROUP(group);

    for (int i = 0; i < MEMBERS; i++)
        joined += judge(co_group_go_with(&group, i % 4 ? NULL : &large, member, &tally));
    if (co_group_wait(&group) != 0)
        fail("a group", joined, tally.members);
    if (tally.members != joined)
        fail("members of a group", joined, tally.members);
}

static int on_pool(void *arg)
{
    atomic_fetch_add(&done, 1);
    return *(int *)arg + 1;
}

static void on_pool_detached(void *arg)
{
    (void)arg;
    atomic_fetch_add(&done, 1);
}

static void offload_some(void)
{
    int arg = 41, result = 0;

    atomic_fetch_add(&offloaded, judge(co_offload_detached(on_pool_detached, NULL)));
    if (!judge(co_offload(on_pool, &arg, &result)))
        return;
    atomic_fetch_add(&offloaded, 1);
    if (result != 42)
        fail("a result of the pool", result, 42);
}

static void turn_after_turn(void *arg)
{
    (void)arg;
    while (co_now() < end_at) {
        start_some();
        start_group();
        offload_some();
        (void)co_yield();
    }
    atomic_fetch_sub(&live, 1);
}

static int first(void *arg)
{
    (void)arg;
    end_at = co_now() + seconds * CO_SEC;
    for (int i = 0; i < coroutines; i++) {
        atomic_fetch_add(&live, 1);
        while (co_go(turn_after_turn, NULL) < 0)
            (void)co_yield();
    }
    while (atomic_load(&live) > 0)
        (void)co_sleep(CO_MS);
    return 0;
}

int main(int argc, char **argv)
{
    struct co_conf conf = stress_settings(argc, argv, &seconds, &coroutines, &workers);
    int before, after, r;

    before = stress_descriptors();
    do /* the first coroutine may be refused as well, and then nothing is left behind */
        r = co_run_with(&conf, first, NULL);
    while (r == -ENOMEM);
    after = stress_descriptors();
    if (r != 0)
        fail("co_run", r, 0);
    if (begun != ended)
        fail("coroutines started and ended", begun, ended);
    if (offloaded != done)
        fail("offloaded and done", offloaded, done);
    if (after > before + STRESS_KEPT)
        fail("descriptors left", before, after);
    printf("scarce: %d coroutines, %d workers, %d s: %lld calls granted, %lld refused, "
           "%lld failures\n",
           coroutines, workers, seconds, (long long)granted, (long long)refused,
           (long long)stress_failures);
    return stress_failures > 0;
}
