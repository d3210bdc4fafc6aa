/* SPDX-License-Identifier: MIT */
/*
 * sync [SECONDS [COROUTINES [WORKERS]]] - all primitives at once, by coroutines that are
 * interrupted all the time.
 *
 * Rounds follow each other until the time is up. In each, a group of COROUTINES works with one set
 * of primitives: every turn picks one by chance, under a deadline that often passes; a plain thread
 * gives permits, sends, sets and signals meanwhile; some rounds end by cancel, some from a plain
 * thread. Under CO_CHAOS=seed (test builds) every suspension may move the coroutine.
 *
 * What is checked in each round is told in primitives.h. Nothing hangs (SIGALRM would kill the
 * program).
 */
#include "stress/primitives.h"
#include <co/conf.h>
#include <co/scope.h>
#include <unistd.h>

enum { TURNS = 40 };

static int seconds = 2, coroutines = 200, workers = 4;
static _Atomic uint64_t turns, timeouts, cancels;

/* What a round works with. */
struct world {
    struct primitives p;
    struct co_wait_group joined;
    struct co_group *group;
    _Atomic int outside_stop;
};

struct job {
    struct player player;
    struct world *world;
    uint32_t seed;
};

static int work(void *arg)
{
    struct job *job = arg;

    for (int i = 0; i < TURNS; i++) {
        uint32_t chance = dice(&job->seed);
        int r;

        {
            CO_DEADLINE((int64_t)(dice(&job->seed) % 200) * CO_US);
            r = primitive_deeds[chance % PRIMITIVE_DEEDS].fn(&job->player, chance >> 8);
        }
        atomic_fetch_add(&turns, 1);
        if (r == -ETIMEDOUT)
            atomic_fetch_add(&timeouts, 1);
        else if (r == -ECANCELED)
            break;
        else if (r < 0)
            fail("a turn", chance, r);
    }
    if (co_check() == -ECANCELED)
        atomic_fetch_add(&cancels, 1);
    (void)co_wait_group_add(&job->world->joined, -1);
    return 0;
}

/* A plain thread, which gives and takes what it may. */
static void *outside(void *arg)
{
    struct job *job = arg;

    while (!atomic_load(&job->world->outside_stop)) {
        uint32_t chance = dice(&job->seed);

        do_outside(&job->player, chance);
        if (chance % 512 == 0)
            co_group_cancel(job->world->group);
        (void)usleep(100);
    }
    return NULL;
}

static void start_jobs(struct world *world, struct job *jobs)
{
    for (int i = 0; i < coroutines; i++) {
        (void)co_wait_group_add(&world->joined, 1);
        if (co_group_go(world->group, work, &jobs[i]) < 0) /* cancelled from outside already */
            (void)co_wait_group_add(&world->joined, -1);
    }
}

static int one_round(uint32_t number)
{
    struct world *world = calloc(1, sizeof *world);
    struct job *jobs = calloc((size_t)coroutines + 1, sizeof *jobs);
    pthread_t thread;

    if (!world || !jobs) {
        free(world);
        free(jobs);
        return -ENOMEM;
    }
    primitives_start(&world->p, (uint32_t)coroutines + 2);
    for (uint32_t i = 0; i <= (uint32_t)coroutines; i++)
        jobs[i] = (struct job){.player = {.p = &world->p, .index = i},
                               .world = world,
                               .seed = (number * 7919 + i) * 2654435761U | 1};
    {
        CO_GROUP(group);

        world->group = &group;
        if (pthread_create(&thread, NULL, outside, &jobs[coroutines]) != 0)
            abort(); /* out of threads: nothing to be learnt from going on */
        start_jobs(world, jobs);
        if (number % 3 == 0)
            (void)co_sleep(CO_MS);
        else if (co_wait_group_wait(&world->joined) < 0)
            fail("joined", 0, 0);
        atomic_store(&world->outside_stop, 1);
        (void)pthread_join(thread, NULL); /* for a moment only; the other workers go on */
        if (co_group_close(&group) < 0)
            fail("a result", group.error, 0);
    }
    primitives_check(&world->p);
    if (co_wait_group_wait(&world->joined) != 0)
        fail("wait group", (int64_t)world->joined.word, 0);
    co_wait_group_done(&world->joined);
    primitives_end(&world->p);
    free(jobs);
    free(world);
    return 0;
}

static int run(void *arg)
{
    int64_t end = co_now() + seconds * CO_SEC;
    uint32_t rounds = 0;
    int r = 0;

    (void)arg;
    while (r == 0 && co_now() < end)
        r = one_round(++rounds);
    printf("sync: %u rounds, ", rounds);
    return r;
}

int main(int argc, char **argv)
{
    struct co_conf conf = stress_settings(argc, argv, &seconds, &coroutines, &workers);
    int r;

    r = co_run_with(&conf, run, NULL);
    printf("%d coroutines, %d workers, %d s: %llu turns, %llu deadlines, %llu cancels, result %d, "
           "%llu failures\n",
           coroutines, workers, seconds, (unsigned long long)turns, (unsigned long long)timeouts,
           (unsigned long long)cancels, r, (unsigned long long)stress_failures);
    return r < 0 || stress_failures > 0 || turns == 0;
}
