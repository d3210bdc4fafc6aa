/* SPDX-License-Identifier: MIT */
/*
 * mixed [SECONDS [SEED [ACTORS [WORKERS]]]] - everything at once, for as long as one likes.
 *
 * Rounds follow each other until the time is up. In each, a group of ACTORS does by chance what the
 * runtime offers: the primitives, channels and select; sleeping, waking by ticket from anywhere;
 * starting coroutines, pinned, with large stacks, with copies; nested groups that are waited for,
 * cancelled or left; offloading, waited for and detached; talking over sockets, being hung up;
 * goodbyes; computing, now and then for so long that others have to step in. Nearly all of it under
 * deadlines that often pass. A plain thread joins in; some rounds are cancelled, from inside or
 * outside. There are more workers than CPUs.
 *
 * Checked in each round, when all is quiet: what primitives.h and mixed_deeds.c count agrees; no
 * descriptor is left; no coroutine is left but the program's own. At the end: memory is where it
 * was when a tenth of the time had passed. A thread watches that nobody hangs, and names who does.
 */
#include "stress/mixed.h"
#include "stress/primitives.h"
#include <co/conf.h>
#include <co/offload.h>
#include <co/scope.h>
#include <unistd.h>

enum { TURNS = 30, PATIENCE = 60 };

static int seconds = 2, actors = 300, workers = 6;
static uint32_t seed = 1;
static _Atomic uint64_t turns, timeouts, cancels;

/* What a round works with. */
struct world {
    struct primitives p;
    struct mixed mixed;
    struct co_group *group;
    _Atomic int outside_stop;
};

struct actor {
    struct player player;
    struct world *world;
    struct stress_watch *watch;
    uint32_t seed;
};

static const struct {
    const char *name;
    int (*fn)(struct mixed *mixed, uint32_t chance);
    int64_t longest; /* of its deadlines */
} mixed_deeds[] = {
    {"sleep", mixed_nap, CO_MS},
    {"box", mixed_wait_in_a_box, CO_MS},
    {"wake", mixed_wake, CO_MS},
    {"wake", mixed_wake, CO_MS},
    {"start", mixed_start_some, CO_MS},
    {"offload", mixed_offload, 2 * CO_MS},
    {"groups", mixed_nest_groups, 5 * CO_MS},
    {"goodbye", mixed_say_goodbye, CO_MS},
    {"compute", mixed_compute, CO_MS},
    {"talk", mixed_talk, 50 * CO_MS},
    {"talk", mixed_talk, 2 * CO_MS},
};

enum { MIXED_DEEDS = sizeof mixed_deeds / sizeof *mixed_deeds };

static int one_turn(struct actor *actor)
{
    uint32_t which = dice(&actor->seed) % (MIXED_DEEDS + PRIMITIVE_DEEDS);
    uint32_t chance = dice(&actor->seed) >> 1;
    uint32_t until = dice(&actor->seed) >> 1;
    int r;

    if (which < MIXED_DEEDS) {
        int64_t ns = (int64_t)until % mixed_deeds[which].longest;
        CO_DEADLINE(ns);

        stress_begin(actor->watch, mixed_deeds[which].name, co_now() + ns);
        r = mixed_deeds[which].fn(&actor->world->mixed, chance);
    } else {
        const struct deed *deed = &primitive_deeds[which - MIXED_DEEDS];
        int64_t ns = (int64_t)until % CO_MS;
        CO_DEADLINE(ns);

        stress_begin(actor->watch, deed->name, co_now() + ns);
        r = deed->fn(&actor->player, chance);
    }
    stress_end(actor->watch);
    if (r < 0 && r != -ETIMEDOUT && r != -ECANCELED)
        fail(which < MIXED_DEEDS ? mixed_deeds[which].name : "a primitive", which, r);
    return r;
}

static int act(void *arg)
{
    struct actor *actor = arg;
    int r = 0;

    for (int i = 0; i < TURNS && r != -ECANCELED; i++) {
        r = one_turn(actor);
        atomic_fetch_add(&turns, 1);
        if (r == -ETIMEDOUT)
            atomic_fetch_add(&timeouts, 1);
    }
    if (r == -ECANCELED) {
        atomic_fetch_add(&cancels, 1);
        if (co_check() != -ECANCELED)
            fail("a cancel that did not last", actor->player.index, co_check());
    }
    return 0;
}

/* ---- a round ---- */

static void *outside(void *arg)
{
    struct actor *actor = arg;

    while (!atomic_load(&actor->world->outside_stop)) {
        uint32_t chance = dice(&actor->seed);

        do_outside(&actor->player, chance >> 1);
        mixed_outside(&actor->world->mixed, chance >> 1);
        if (chance % 2048 == 0)
            co_group_cancel(actor->world->group);
        (void)usleep(50);
    }
    return NULL;
}

static int join(void *arg)
{
    return pthread_join(*(pthread_t *)arg, NULL);
}

/* The actors play until they have done their turns, or are told to end. */
static void play(struct world *world, struct actor *cast, uint32_t number)
{
    struct stress_watch *watch = &stress_watcher.watches[actors];
    pthread_t thread;
    CO_GROUP(group);

    world->group = &group;
    if (pthread_create(&thread, NULL, outside, &cast[actors]) != 0)
        abort(); /* out of threads: nothing to be learnt from going on */
    for (int i = 0; i < actors; i++) {
        int r = co_group_go(&group, act, &cast[i]);

        if (r < 0 && r != -ECANCELED) /* cancelled from outside already */
            fail("starting an actor", i, r);
    }
    stress_begin(watch, "the round", CO_NEVER);
    if (number % 4 == 0)
        (void)co_sleep(5 * CO_MS);
    else if (co_group_wait(&group) < 0)
        fail("the round", group.error, 0);
    stress_begin(watch, "the end of the round", CO_NEVER);
    atomic_store(&world->outside_stop, 1);
    if (co_offload(join, &thread, NULL) != 0)
        fail("joining", 0, 0);
    if (co_group_close(&group) < 0)
        fail("a result", group.error, 0);
}

static void one_round(struct world *world, struct actor *cast, uint32_t number)
{
    struct stress_watch *watch = &stress_watcher.watches[actors];

    *world = (struct world){0};
    primitives_start(&world->p, (uint32_t)actors + 2);
    for (uint32_t i = 0; i <= (uint32_t)actors; i++)
        cast[i] = (struct actor){
            .player = {.p = &world->p, .index = i},
            .world = world,
            .watch = &stress_watcher.watches[i],
            .seed = (seed * 104729 + number * 7919 + i) * 2654435761U | 1,
        };
    play(world, cast, number);
    stress_begin(watch, "quiet after the round", CO_NEVER);
    while (!mixed_quiet(&world->mixed) || !mixed_net_quiet() ||
           stress_stat("spawned") - stress_stat("ended") > 3) /* this one, and two that serve */
        (void)co_sleep(100 * CO_US);
    stress_end(watch);
    primitives_check(&world->p);
    mixed_check(&world->mixed);
    primitives_end(&world->p);
}

/* ---- all rounds ---- */

struct memory {
    int64_t resident, allocated;
};

static void measure(struct memory *memory, bool keep_largest)
{
    struct memory now = {stress_memory("VmRSS"), stress_allocated()};

    if (!keep_largest || now.resident > memory->resident)
        memory->resident = now.resident;
    if (!keep_largest || now.allocated > memory->allocated)
        memory->allocated = now.allocated;
}

static void compare(const struct memory *before, const struct memory *after, uint32_t rounds)
{
    printf("mixed: %u rounds, at rest: resident %.1f MiB, then %.1f MiB; allocated %.2f MiB, then "
           "%.2f MiB\n",
           rounds, (double)before->resident / 1048576, (double)after->resident / 1048576,
           (double)before->allocated / 1048576, (double)after->allocated / 1048576);
    /* A record or a stack more may be in use at a peak that comes late; a leak would grow on. */
    if (STRESS_SLOWER == 1 && after->resident > before->resident + before->resident / 8 + (8 << 20))
        fail("memory is not back at its base line", after->resident, before->resident);
}

static int run(void *arg)
{
    struct world *world = malloc(sizeof *world);
    struct actor *cast = calloc((size_t)actors + 1, sizeof *cast);
    int64_t begin = co_now(), end = begin + seconds * CO_SEC;
    struct memory before = {0}, after = {0};
    uint32_t rounds = 0;
    int r = world && cast ? mixed_net_start() : -ENOMEM;

    (void)arg;
    while (r == 0 && co_now() < end && stress_failures == 0) {
        one_round(world, cast, ++rounds);
        if (rounds <= 10 || co_now() < begin + (end - begin) / 10)
            measure(&before, true);
    }
    measure(&after, false);
    mixed_net_stop();
    compare(&before, &after, rounds);
    free(cast);
    free(world);
    return r;
}

int main(int argc, char **argv)
{
    struct co_conf conf;
    char net[160];
    int descriptors, r;

    if (argc > 1)
        seconds = atoi(argv[1]);
    if (argc > 2)
        seed = (uint32_t)atoi(argv[2]);
    if (argc > 3)
        actors = atoi(argv[3]);
    if (argc > 4)
        workers = atoi(argv[4]);
    co_conf_init(&conf);
    conf.threads = workers;
    conf.stall_report = 0;
    descriptors = stress_descriptors();
    stress_watch_start(actors + 1, PATIENCE * STRESS_SLOWER * CO_SEC / 2);
    r = co_run_with(&conf, run, NULL);
    stress_watch_stop();
    if (stress_descriptors() > descriptors + STRESS_KEPT)
        fail("descriptors left", descriptors, stress_descriptors());
    mixed_net_report(net, sizeof net);
    printf("mixed: seed %u, %d actors, %d workers, %d s: %llu turns, %llu deadlines, %llu cancels, "
           "%s, %lld steals, %lld rescues, result %d, %llu failures\n",
           seed, actors, workers, seconds, (unsigned long long)turns, (unsigned long long)timeouts,
           (unsigned long long)cancels, net, (long long)stress_stat("steals"),
           (long long)stress_stat("rescues"), r, (unsigned long long)stress_failures);
    return r < 0 || stress_failures > 0 || turns == 0;
}
