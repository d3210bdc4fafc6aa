/* SPDX-License-Identifier: MIT */
/*
 * shutdown [TIMES [COROUTINES [WORKERS [SEED]]]] - stops a runtime in the midst of everything,
 * again and again.
 *
 * Each time some of COROUTINES sleep, compute, yield, block on the pool, wait in select, channels,
 * locks, conditions, events, barriers, groups, once; receive, send, accept, connect; read files,
 * run programs; start others; are pinned; say good-bye. Plain threads start, wake, give, send and
 * signal all the while, also when no runtime runs. Then comes the end, at any moment, in one of
 * these ways:
 *   told       co_stop by a plain thread, a coroutine or SIGTERM; the first function cancels all
 *   by grace   as above, but nobody ends before the grace time is over and all are cancelled
 *   by itself  nobody stops it: everybody has a deadline
 * Checked each time: co_run says what the first function said, what began has ended, the counters
 * agree, the process has as many descriptors as before, and no child. At the end: it has allocated
 * no more than after the first ten times. Sanitizers find what else is left.
 */
#include "stress/shutdown.h"
#include "stress/stress.h"
#include <co/conf.h>
#include <co/group.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 2, WARM = 10, RESULT = 42 };

enum way { TOLD, BY_GRACE, BY_ITSELF };

static int times = 20, coroutines = 500, workers = 4;
static uint32_t seed = 1;
static _Atomic int over, inside;
static uint64_t ways[3];

/* One runtime. */
struct round {
    struct scene scene;
    struct extra *extras;
    enum way way;
    uint32_t chance;
};

static void *caller(void *arg)
{
    uint32_t state = (uint32_t)(uintptr_t)arg;

    while (!atomic_load(&over)) {
        call_in(dice(&state) >> 1);
        if (dice(&state) % 8 == 0)
            (void)usleep(20);
    }
    return NULL;
}

/* ---- the end of a runtime ---- */

static int member(void *arg)
{
    play_extra(arg);
    return 0;
}

/* As a member of the group, or free. */
static void start_extras(struct round *round, struct co_group *group)
{
    for (int i = 0; i < coroutines; i++) {
        int r;

        atomic_fetch_add(&round->scene.begun, 1);
        r = group ? co_group_go(group, member, &round->extras[i])
                  : co_go(play_extra, &round->extras[i]);
        if (r < 0)
            atomic_fetch_sub(&round->scene.begun, 1);
        if (r < 0 && r != -ECANCELED)
            fail("starting", i, r);
    }
}

static int first(void *arg)
{
    struct round *round = arg;

    atomic_store(&inside, 1);
    if (round->way != TOLD) {
        start_extras(round, NULL);
        return RESULT;
    }
    {
        CO_GROUP(group);

        start_extras(round, &group);
        if (round->chance % 4 == 0) {
            (void)co_sleep((int64_t)(round->chance % 5000) * CO_US);
            co_stop();
        }
        while (!co_stopping())
            (void)co_sleep(100 * CO_US);
    }
    return RESULT;
}

static void *stopper(void *arg)
{
    const struct round *round = arg;

    while (!atomic_load(&inside))
        (void)usleep(10);
    (void)usleep(round->chance / 8 % 10000);
    if (round->chance % 4 == 1)
        (void)kill(getpid(), SIGTERM); /* it cannot have ended: nobody else stops it */
    else
        co_stop();
    return NULL;
}

/* ---- one of many times ---- */

static void check(const struct round *round, int result, int before)
{
    int after = stress_descriptors();

    if (result != RESULT)
        fail("co_run", result, round->way);
    if (round->scene.begun != round->scene.ended)
        fail("coroutines that began, and ended", round->scene.begun, round->scene.ended);
    if (outside_begun - outside_ended > THREADS || outside_ended > outside_begun)
        fail("those that plain threads started", outside_begun, outside_ended);
    if (stress_stat("spawned") != stress_stat("ended"))
        fail("counters: spawned, ended", stress_stat("spawned"), stress_stat("ended"));
    if (before >= 0 && after != before)
        fail("descriptors", before, after);
    if (waitpid(-1, NULL, WNOHANG) >= 0 || errno != ECHILD)
        fail("a program that was left", 0, 0);
}

static void prepare(struct round *round, uint32_t number)
{
    uint32_t state = (seed * 104729 + number) * 2654435761U | 1;

    round->chance = dice(&state) >> 1;
    round->way = number % 12 == 11 ? BY_GRACE : number % 4 == 3 ? BY_ITSELF : TOLD;
    round->scene.longest = round->way == BY_ITSELF ? 20 * CO_MS : CO_NEVER;
    round->scene.most = coroutines + 1000 / STRESS_SLOWER;
    for (int i = 1; i < coroutines; i++) /* the first accepts */
        round->extras[i] = (struct extra){&round->scene, (dice(&state) >> 1) | 1};
    round->extras[0] = (struct extra){&round->scene, 0};
    ways[round->way]++;
}

static void one_time(uint32_t number, int descriptors)
{
    struct round *round = calloc(1, sizeof *round);
    struct co_conf conf;
    pthread_t thread = 0;
    int r;

    if (!round || !(round->extras = calloc((size_t)coroutines, sizeof *round->extras)) ||
        scene_open(&round->scene) < 0)
        abort(); /* out of memory: nothing to be learnt from going on */
    prepare(round, number);
    co_conf_init(&conf);
    conf.threads = workers;
    conf.stall_report = 0;
    conf.order = number % 2 ? CO_ORDER_LIFO : CO_ORDER_FIFO;
    conf.grace = round->way == BY_GRACE ? (STRESS_SLOWER == 1 ? 500 : 2000) * CO_MS : 3600 * CO_SEC;
    atomic_store(&inside, 0);
    if (round->way != BY_ITSELF && pthread_create(&thread, NULL, stopper, round) != 0)
        abort();
    stress_begin(stress_watcher.watches, "a runtime that should end", CO_NEVER);
    r = co_run_with(&conf, first, round);
    stress_end(stress_watcher.watches);
    if (round->way != BY_ITSELF)
        (void)pthread_join(thread, NULL);
    scene_close(&round->scene);
    check(round, r, descriptors);
    free(round->extras);
    free(round);
}

/* Returns: how much more is allocated after the last time than when it was warm. */
static int64_t all_times(void)
{
    int64_t begin = co_now(), slept = 0, warm = 0;
    int descriptors = -1;

    for (int i = 0; i < times && stress_failures == 0; i++) {
        one_time((uint32_t)i, descriptors);
        if (i == 0)
            descriptors = stress_descriptors(); /* with STRESS_KEPT */
        if (i < WARM && stress_allocated() > warm)
            warm = stress_allocated();
    }
    slept = co_now() - begin;
    printf("shutdown: %llu times told, %llu by the grace time, %llu by itself, in %.1f s; %d "
           "descriptors\n",
           (unsigned long long)ways[TOLD], (unsigned long long)ways[BY_GRACE],
           (unsigned long long)ways[BY_ITSELF], (double)slept / 1e9, descriptors);
    return stress_allocated() - warm;
}

int main(int argc, char **argv)
{
    pthread_t callers[THREADS];
    int64_t grown;

    if (argc > 1)
        times = atoi(argv[1]);
    if (argc > 2)
        coroutines = atoi(argv[2]);
    if (argc > 3)
        workers = atoi(argv[3]);
    if (argc > 4)
        seed = (uint32_t)atoi(argv[4]);
    outside_chan = co_chan_new(1, 8);
    if (!outside_chan)
        return 2;
    stress_watch_start(1, 60 * STRESS_SLOWER * CO_SEC);
    for (uintptr_t i = 0; i < THREADS; i++) {
        if (pthread_create(&callers[i], NULL, caller, (void *)(seed * 2 + i + 1)) != 0)
            abort();
    }
    grown = all_times();
    atomic_store(&over, 1);
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(callers[i], NULL);
    stress_watch_stop();
    if (outside_begun != outside_ended)
        fail("those that plain threads started, in the end", outside_begun, outside_ended);
    if (STRESS_SLOWER == 1 && grown > 256 * 1024)
        fail("allocated more than when it was warm, in bytes", grown, 0);
    co_chan_free(outside_chan);
    printf("shutdown: %d coroutines, %d workers, seed %u, %lld started from outside, %lld bytes "
           "more than when warm, %llu failures\n",
           coroutines, workers, seed, (long long)outside_ended, (long long)grown,
           (unsigned long long)stress_failures);
    return stress_failures > 0;
}
