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
 * Checked in each round: one holder of the mutex at a time, writers alone; permits taken, given and
 * left are as many; every value that was sent is received once, those left included; nobody passes
 * the barrier but in full rounds; once is done once; each member that was started has ended.
 * Nothing hangs (SIGALRM would kill the program).
 */
#include <co/barrier.h>
#include <co/chan.h>
#include <co/cond.h>
#include <co/conf.h>
#include <co/event.h>
#include <co/group.h>
#include <co/once.h>
#include <co/rwlock.h>
#include <co/scope.h>
#include <co/sem.h>
#include <co/wait_group.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PARTIES = 3, PERMITS = 2, TURNS = 40 };

/* What a round works with. Plain fields are guarded by the primitive that is named. */
struct world {
    struct co_mutex mutex;
    struct co_rwlock rwlock;
    struct co_cond cond;
    struct co_sem sem;
    struct co_event event;
    struct co_wait_group joined;
    struct co_once once;
    struct co_barrier barrier;
    struct co_chan *meeting, *buffered;
    struct co_group *group;
    int64_t under_mutex, waited, signalled; /* mutex */
    int64_t left, right;                    /* rwlock */
    int made;                               /* once */
    _Atomic int64_t locked, written;
    _Atomic int64_t taken, given;
    _Atomic int64_t sent, sent_sum, received, received_sum;
    _Atomic int64_t passed, last;
    _Atomic int64_t started, ended;
    _Atomic int outside_stop;
};

static int seconds = 2, coroutines = 200, workers = 4;
static _Atomic uint64_t failures, turns, timeouts, cancels;

static void fail(const char *what, long long a, long long b)
{
    fprintf(stderr, "sync: %s (%lld, %lld)\n", what, a, b);
    atomic_fetch_add(&failures, 1);
}

static uint32_t dice(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* ---- what a turn may do; each returns 0 or why it did not ---- */

static int lock(struct world *world, uint32_t chance)
{
    int r = co_mutex_lock(&world->mutex);
    int64_t before;

    if (r < 0)
        return r;
    before = world->under_mutex;
    if (chance % 4 == 0)
        (void)co_yield();
    world->under_mutex = before + 1;
    atomic_fetch_add(&world->locked, 1);
    co_mutex_unlock(&world->mutex);
    return 0;
}

static int wait_or_signal(struct world *world, uint32_t chance)
{
    int r = 0;

    CO_LOCK(&world->mutex);
    if (chance % 2) {
        world->signalled++;
        co_cond_signal(&world->cond);
    } else if (world->signalled == world->waited) {
        r = co_cond_wait(&world->cond, &world->mutex);
    }
    if (r == 0 && world->signalled > world->waited && chance % 2 == 0)
        world->waited++;
    return r;
}

static int read_or_write(struct world *world, uint32_t chance)
{
    bool write = chance % 4 == 0;
    int r = write ? co_rwlock_write(&world->rwlock) : co_rwlock_read(&world->rwlock);

    if (r < 0)
        return r;
    if (write)
        world->left++;
    else if (world->left != world->right)
        fail("a reader beside a writer", world->left, world->right);
    if (chance % 8 < 2)
        (void)co_yield();
    if (write) {
        world->right++;
        atomic_fetch_add(&world->written, 1);
    }
    co_rwlock_unlock(&world->rwlock);
    return 0;
}

static int take(struct world *world, uint32_t chance)
{
    int r = co_sem_take(&world->sem);

    if (r < 0)
        return r;
    atomic_fetch_add(&world->taken, 1);
    if (chance % 4 == 0)
        (void)co_yield();
    atomic_fetch_add(&world->given, 1);
    co_sem_give(&world->sem, 1);
    return 0;
}

static void count_received(struct world *world, int64_t value)
{
    atomic_fetch_add(&world->received, 1);
    atomic_fetch_add(&world->received_sum, value);
}

static void count_sent(struct world *world, int64_t value)
{
    atomic_fetch_add(&world->sent, 1);
    atomic_fetch_add(&world->sent_sum, value);
}

static int communicate(struct world *world, uint32_t chance)
{
    struct co_chan *chan = chance % 2 ? world->meeting : world->buffered;
    int64_t value = chance;
    int r;

    if (chance / 2 % 2) {
        r = co_chan_send(chan, &value);
        if (r == 0)
            count_sent(world, value);
    } else {
        r = co_chan_recv(chan, &value);
        if (r == 1)
            count_received(world, value);
    }
    return r < 0 ? r : 0;
}

static int select_any(struct world *world, uint32_t chance)
{
    int64_t out = chance, in[2];
    struct co_case cases[4] = {
        {.chan = world->meeting, .kind = CO_CASE_SEND, .value = &out},
        {.chan = world->meeting, .kind = CO_CASE_RECV, .value = &in[0]},
        {.chan = world->buffered, .kind = CO_CASE_SEND, .value = &out},
        {.chan = world->buffered, .kind = CO_CASE_RECV, .value = &in[1]},
    };
    int r = co_select(cases, 4, chance % 3 == 0 ? CO_SELECT_TRY : 0);

    if (r < 0)
        return r == -EAGAIN ? 0 : r;
    if (r % 2 == 0)
        count_sent(world, out);
    else
        count_received(world, in[r / 2]);
    return 0;
}

static int set_or_wait(struct world *world, uint32_t chance)
{
    if (chance % 3 == 0)
        co_event_set(&world->event);
    else if (chance % 3 == 1)
        co_event_clear(&world->event);
    else
        return co_event_wait(&world->event);
    return 0;
}

static int pass(struct world *world, uint32_t chance)
{
    int r = co_barrier_wait(&world->barrier);

    (void)chance;
    if (r < 0)
        return r;
    atomic_fetch_add(&world->passed, 1);
    atomic_fetch_add(&world->last, r);
    return 0;
}

static int make(void *arg)
{
    struct world *world = arg;
    int r = co_yield();

    if (r == 0)
        world->made++;
    return r;
}

static int make_once(struct world *world, uint32_t chance)
{
    int r = co_once_do(&world->once, make, world);

    (void)chance;
    if (r == 0 && world->made != 1)
        fail("once", world->made, 1);
    return r;
}

static int helper(void *arg)
{
    struct world *world = arg;

    atomic_fetch_add(&world->ended, 1);
    return co_sem_try(&world->sem) == 0 ? (co_sem_give(&world->sem, 1), 0) : 0;
}

static int open_a_group(struct world *world, uint32_t chance)
{
    CO_GROUP(nested);

    for (uint32_t i = 0; i < chance % 4; i++) {
        if (co_group_go(&nested, helper, world) == 0)
            atomic_fetch_add(&world->started, 1);
    }
    return chance % 8 < 4 ? 0 : co_group_wait(&nested);
}

static int (*const deeds[])(struct world *world, uint32_t chance) = {
    lock,        wait_or_signal, read_or_write, take,         communicate, select_any,
    set_or_wait, pass,           make_once,     open_a_group, communicate,
};

struct job {
    struct world *world;
    uint32_t seed;
};

static int work(void *arg)
{
    struct job *job = arg;
    struct world *world = job->world;

    for (int i = 0; i < TURNS; i++) {
        uint32_t chance = dice(&job->seed);
        int r;

        {
            CO_DEADLINE((int64_t)(dice(&job->seed) % 200) * CO_US);
            r = deeds[chance % (sizeof deeds / sizeof *deeds)](world, chance >> 8);
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
    atomic_fetch_add(&world->ended, 1);
    (void)co_wait_group_add(&world->joined, -1);
    return 0;
}

/* ---- a round ---- */

/* A plain thread, which gives and takes what it may. */
static void *outside(void *arg)
{
    struct world *world = arg;
    uint32_t seed = (uint32_t)(uintptr_t)world | 1;

    while (!atomic_load(&world->outside_stop)) {
        int64_t value = dice(&seed);

        if (co_chan_try_send(value % 2 ? world->meeting : world->buffered, &value) == 0)
            count_sent(world, value);
        if (co_chan_try_recv(value % 2 ? world->buffered : world->meeting, &value) == 1)
            count_received(world, value);
        if (co_sem_try(&world->sem) == 0)
            co_sem_give(&world->sem, 1);
        co_event_set(&world->event);
        co_cond_broadcast(&world->cond);
        if (value % 512 == 0)
            co_group_cancel(world->group);
        (void)usleep(100);
    }
    return NULL;
}

static void check(struct world *world)
{
    int64_t value, permits = 0;

    while (co_chan_try_recv(world->buffered, &value) == 1)
        count_received(world, value);
    if (world->sent != world->received || world->sent_sum != world->received_sum)
        fail("values", world->sent, world->received);
    while (co_sem_try(&world->sem) == 0)
        permits++;
    if (permits != PERMITS || world->taken != world->given)
        fail("permits", permits, PERMITS);
    if (world->under_mutex != world->locked)
        fail("mutex", world->under_mutex, world->locked);
    if (world->left != world->written || world->right != world->written)
        fail("rwlock", world->left, world->written);
    if (world->passed != PARTIES * world->last)
        fail("barrier", world->passed, world->last);
    if (world->started != world->ended)
        fail("members", world->started, world->ended);
    if (world->made > 1)
        fail("made more than once", world->made, 1);
    if (co_wait_group_wait(&world->joined) != 0)
        fail("wait group", world->joined.count, 0);
}

static void tidy(struct world *world)
{
    co_mutex_done(&world->mutex);
    co_rwlock_done(&world->rwlock);
    co_cond_done(&world->cond);
    co_sem_done(&world->sem);
    co_event_done(&world->event);
    co_wait_group_done(&world->joined);
    co_barrier_done(&world->barrier);
    co_chan_free(world->meeting);
    co_chan_free(world->buffered);
}

static void start_jobs(struct world *world, struct job *jobs, uint32_t number)
{
    for (int i = 0; i < coroutines; i++) {
        jobs[i] = (struct job){world, (number * 7919 + (uint32_t)i) * 2654435761U | 1};
        (void)co_wait_group_add(&world->joined, 1);
        if (co_group_go(world->group, work, &jobs[i]) == 0)
            atomic_fetch_add(&world->started, 1);
        else /* the plain thread has cancelled already */
            (void)co_wait_group_add(&world->joined, -1);
    }
}

static int one_round(uint32_t number)
{
    struct world *world = calloc(1, sizeof *world);
    struct job *jobs = calloc((size_t)coroutines, sizeof *jobs);
    pthread_t thread;

    if (!world || !jobs || co_barrier_init(&world->barrier, PARTIES) < 0) {
        free(world);
        free(jobs);
        return -ENOMEM;
    }
    world->meeting = co_chan_new(sizeof(int64_t), 0);
    world->buffered = co_chan_new(sizeof(int64_t), 3);
    co_sem_init(&world->sem, PERMITS);
    {
        CO_GROUP(group);

        world->group = &group;
        if (!world->meeting || !world->buffered ||
            pthread_create(&thread, NULL, outside, world) != 0)
            abort(); /* out of memory or threads: nothing to be learnt from going on */
        start_jobs(world, jobs, number);
        if (number % 3 == 0)
            (void)co_sleep(CO_MS);
        else if (co_wait_group_wait(&world->joined) < 0)
            fail("joined", 0, 0);
        atomic_store(&world->outside_stop, 1);
        (void)pthread_join(thread, NULL); /* for a moment only; the other workers go on */
        if (co_group_close(&group) < 0)
            fail("a result", group.error, 0);
    }
    check(world);
    tidy(world);
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
    struct co_conf conf;
    int r;

    if (argc > 1)
        seconds = atoi(argv[1]);
    if (argc > 2)
        coroutines = atoi(argv[2]);
    if (argc > 3)
        workers = atoi(argv[3]);
    (void)alarm((unsigned)seconds * 10 + 60);
    co_conf_init(&conf);
    conf.threads = workers;
    conf.stall_report = 0;
    r = co_run_with(&conf, run, NULL);
    printf("%d coroutines, %d workers, %d s: %llu turns, %llu deadlines, %llu cancels, result %d, "
           "%llu failures\n",
           coroutines, workers, seconds, (unsigned long long)turns, (unsigned long long)timeouts,
           (unsigned long long)cancels, r, (unsigned long long)failures);
    return r < 0 || failures > 0 || turns == 0;
}
