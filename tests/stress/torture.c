/* SPDX-License-Identifier: MIT */
/*
 * torture [SECONDS [ACTORS [WORKERS [SEED]]]] - descriptors whose numbers are used again at once.
 *
 * ACTORS coroutines on WORKERS workers connect, accept, read, write, shut down, hang up, close,
 * time out, cancel, adopt, release, hand over, wait and exchange datagrams, each on descriptors
 * that others had a moment ago.
 * Rounds follow each other; after each, all is quiet.
 *
 * Checked: each byte is the one that this connection's other end has sent at this place, so nothing
 * is lost and nothing a stranger's; a call ends early only if somebody has caused it, so no event
 * is a stranger's either; of two who read at once, one is told -EBUSY. After each round no
 * descriptor and no coroutine is left but the program's own. Who hangs is named.
 */
#include "stress/torture.h"

#include <co/group.h>
#include <co/scope.h>

enum { PATIENCE = 60, OWN = 1 };

static int seconds = 2, actors = 60, workers = 4;
static uint32_t seed = 1;
static _Atomic uint64_t deeds;

struct actor {
    int index;
    uint32_t seed;
    int64_t until;
    struct stress_watch *watch;
};

static int act(void *arg)
{
    struct actor *actor = arg;

    while (co_now() < actor->until) {
        uint32_t chance = dice(&actor->seed);
        int r;

        stress_begin(actor->watch, torture_deed_name(chance), CO_NEVER);
        r = torture_deed(actor->index, chance);
        stress_end(actor->watch);
        if (r == -ETIMEDOUT)
            atomic_fetch_add(&torture_counts.timeouts, 1);
        else if (r == -EAGAIN || r == -EADDRINUSE || r == -EADDRNOTAVAIL) /* all still in use */
            (void)co_sleep(100 * CO_US);
        else if (r < 0)
            fail(torture_deed_name(chance), r, actor->index);
        atomic_fetch_add(&deeds, 1);
    }
    return 0;
}

static void one_round(struct actor *cast, uint32_t number, int64_t until)
{
    struct stress_watch *watch = &stress_watcher.watches[actors];
    int before = stress_descriptors();
    int r;

    atomic_store(&torture_ending, 0);
    r = torture_server_start();
    if (r < 0)
        fail("the server", r, 0);
    {
        CO_GROUP(group);

        for (int i = 0; i < actors; i++) {
            cast[i] = (struct actor){
                .index = i,
                .seed = (seed * 104729 + number * 7919 + (uint32_t)i) * 2654435761U | 1,
                .until = until,
                .watch = &stress_watcher.watches[i],
            };
            if (co_group_go(&group, act, &cast[i]) < 0)
                fail("an actor", i, 0);
        }
        stress_begin(watch, "the round", CO_NEVER);
        if (co_group_wait(&group) < 0)
            fail("the round", group.error, 0);
    }
    stress_begin(watch, "quiet after the round", CO_NEVER);
    atomic_store(&torture_ending, 1);
    torture_server_stop();
    while (stress_descriptors() != before || stress_stat("spawned") - stress_stat("ended") > OWN)
        (void)co_sleep(CO_MS);
    stress_end(watch);
}

static int run(void *arg)
{
    struct actor *cast = calloc((size_t)actors, sizeof *cast);
    int64_t end = co_now() + seconds * CO_SEC;
    int64_t allocated = 0;
    uint32_t rounds = 0;

    (void)arg;
    if (!cast)
        return -ENOMEM;
    while (co_now() < end && stress_failures == 0) {
        int64_t until = co_now() + CO_SEC / 2;

        one_round(cast, ++rounds, until < end ? until : end);
        if (rounds == 1)
            allocated = stress_allocated();
    }
    printf("torture: %u rounds, allocated %.2f MiB after the first, then %.2f MiB\n", rounds,
           (double)allocated / 1048576, (double)stress_allocated() / 1048576);
    free(cast);
    return 0;
}

int main(int argc, char **argv)
{
    struct co_conf conf = stress_settings(argc, argv, &seconds, &actors, &workers);
    const struct torture_counts *c = &torture_counts;
    int before = stress_descriptors(), r;

    if (argc > 4)
        seed = (uint32_t)atoi(argv[4]);
    stress_watch_start(actors + 1, PATIENCE * STRESS_SLOWER * CO_SEC / 2);
    r = co_run_with(&conf, run, NULL);
    stress_watch_stop();
    if (stress_descriptors() > before + STRESS_KEPT)
        fail("descriptors left", before, stress_descriptors());
    printf(
        "torture: seed %u, %d actors, %d workers, %d s: %llu deeds, %llu connections, %llu bytes, "
        "%llu hang-ups, %llu deadlines, %llu cancels, %llu resets, %llu half-closed, %llu busy, "
        "%llu handed over, %llu adopted, %llu accepts cut, %llu waits, %llu datagrams, result %d, "
        "%llu failures\n",
        seed, actors, workers, seconds, (unsigned long long)deeds,
        (unsigned long long)c->connections, (unsigned long long)c->bytes,
        (unsigned long long)c->hangups, (unsigned long long)c->timeouts,
        (unsigned long long)c->cancels, (unsigned long long)c->resets, (unsigned long long)c->ends,
        (unsigned long long)c->busy, (unsigned long long)c->handed_over,
        (unsigned long long)c->adopted, (unsigned long long)c->accepts_cut,
        (unsigned long long)c->waits, (unsigned long long)c->datagrams, r,
        (unsigned long long)stress_failures);
    return r < 0 || stress_failures > 0 || c->bytes == 0 || c->datagrams == 0;
}
