/* SPDX-License-Identifier: MIT */
/*
 * saturation [SECONDS [COROUTINES [MICROSECONDS [WORKERS]]]] - what comes from outside while all
 * workers are busy.
 *
 * COROUTINES that are always ready each compute for MICROSECONDS and yield, so that no worker ever
 * has nothing to do. Beside them, and through the same queues:
 *   the queue   a coroutine that only yields: how long does one round through a queue take?
 *   sleep       co_sleep(10 ms): how late does it come back?
 *   offload     co_offload of nothing: how long until it is back?
 *   sigterm     a coroutine in co_accept, and a signal: how long until it is told? One measurement
 *               ends the runtime; so the time is divided into many runs.
 * Whoever is made ready waits behind those who are ready already: that is the queue's delay, and it
 * is the load's, not the runtime's. Nor is it the runtime's doing if the kernel gives a CPU to
 * somebody else: a measurement in which the workers were ready to run and did not, for more than
 * 1 ms and a tenth of it (schedstat says so), is counted and left out. Fails if the 99th percentile
 * of one of the others exceeds the queue's by more than 5 ms, or if the machine is too busy to
 * tell.
 */
#include "stress/stress.h"
#include <co/conf.h>
#include <co/net.h>
#include <co/offload.h>
#include <signal.h>
#include <unistd.h>

enum { RUN_MS = 250, ROOM = 1 << 20, WORKERS = 64, ENOUGH = 30, FEWEST = 10 };
#define ALLOWED   (5 * CO_MS)
#define DISTURBED CO_MS

static int seconds = 10, coroutines = 32, busy_us = 100, workers = 2;
static _Atomic int ending;
static _Atomic int tids[WORKERS]; /* of the workers, 0: not known yet */

/* What is measured, by one coroutine. */
static struct series {
    const char *name;
    struct stress_times times;
    uint64_t disturbed;
} queue = {.name = "queue"}, naps = {.name = "sleep"}, offloads = {.name = "offload"},
  stops = {.name = "sigterm"};

/* A time, and for how long workers have waited for a CPU until then. */
struct moment {
    int64_t at;
    int64_t waited;
};

static struct moment killed;

static struct moment now(void)
{
    struct moment moment = {.waited = 0};
    char path[64];

    for (int i = 0; i < workers; i++) {
        long long ran, waited;
        FILE *file;

        (void)snprintf(path, sizeof path, "/proc/self/task/%d/schedstat", atomic_load(&tids[i]));
        file = fopen(path, "re");
        if (!file)
            continue;
        if (fscanf(file, "%lld %lld", &ran, &waited) == 2)
            moment.waited += waited;
        (void)fclose(file);
    }
    moment.at = co_now();
    return moment;
}

/* What has passed since then, less what had to. */
static void measured(struct series *series, const struct moment *before, int64_t less)
{
    int64_t at = co_now();
    int64_t waited = now().waited - before->waited;

    if (waited > DISTURBED && waited > (at - before->at) / 10)
        series->disturbed++;
    else
        stress_time_add(&series->times, at - before->at - less);
}

/* Always ready, until the end. */
static void busy(void *arg)
{
    (void)arg;
    while (!atomic_load(&ending)) {
        int64_t end = co_now() + busy_us * CO_US;

        if (atomic_load(&tids[co_worker()]) == 0)
            atomic_store(&tids[co_worker()], gettid());

        while (co_now() < end)
            continue;
        (void)co_yield();
    }
}

static void gauge(void *arg)
{
    (void)arg;
    while (!atomic_load(&ending)) {
        struct moment before = now();

        (void)co_yield();
        measured(&queue, &before, 0);
    }
}

static void sleeper(void *arg)
{
    (void)arg;
    while (!atomic_load(&ending)) {
        struct moment before = now();

        if (co_sleep(10 * CO_MS) == 0)
            measured(&naps, &before, 10 * CO_MS);
    }
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void offloader(void *arg)
{
    (void)arg;
    while (!atomic_load(&ending)) {
        struct moment before = now();

        if (co_offload(nothing, NULL, NULL) == 0)
            measured(&offloads, &before, 0);
        (void)co_sleep(CO_MS);
    }
}

/* Is told of the stop, as servers are. */
static void acceptor(void *arg)
{
    CO_FD(lfd, co_listen("127.0.0.1:0"));
    int r = lfd < 0 ? lfd : co_accept(lfd);

    (void)arg;
    if (r != -ECANCELED)
        fail("accepting", r, 0);
    measured(&stops, &killed, 0);
    atomic_store(&ending, 1);
}

static void *killer(void *arg)
{
    (void)arg;
    (void)usleep(RUN_MS * 1000);
    killed = now();
    (void)kill(getpid(), SIGTERM);
    return NULL;
}

static int run(void *arg)
{
    static co_fn *const beside[] = {gauge, sleeper, offloader, acceptor};
    int r = 0;

    (void)arg;
    for (int i = 0; r == 0 && i < coroutines; i++)
        r = co_go(busy, NULL);
    (void)co_sleep(20 * CO_MS); /* until they have spread over the workers */
    for (size_t i = 0; r == 0 && i < sizeof beside / sizeof *beside; i++)
        r = co_go(beside[i], NULL);
    return r;
}

static int one_run(void)
{
    struct co_conf conf;
    pthread_t thread;
    sigset_t term;
    int r;

    atomic_store(&ending, 0);
    for (int i = 0; i < workers; i++)
        atomic_store(&tids[i], 0);
    co_conf_init(&conf);
    conf.threads = workers;
    conf.stall_report = 0;
    conf.grace = 60 * CO_SEC;
    (void)sigemptyset(&term);
    (void)sigaddset(&term, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, &term, NULL); /* not the killer: a worker shall get it */
    if (pthread_create(&thread, NULL, killer, NULL) != 0)
        return -EAGAIN;
    (void)pthread_sigmask(SIG_UNBLOCK, &term, NULL);
    r = co_run_with(&conf, run, NULL);
    (void)pthread_join(thread, NULL);
    return r;
}

static void report(struct series *series, int64_t queue_p99)
{
    struct stress_times *times = &series->times;
    int64_t p50 = stress_time_at(times, 500), p99 = stress_time_at(times, 990);

    printf("saturation: %-8s %6zu times, p50 %8.3f ms, p99 %8.3f ms, worst %8.3f ms; %llu left "
           "out\n",
           series->name, times->count, (double)p50 / 1e6, (double)p99 / 1e6,
           (double)stress_time_at(times, 1000) / 1e6, (unsigned long long)series->disturbed);
    if (times->count < FEWEST)
        fail("the machine is too busy to tell", (long long)times->count, FEWEST);
    if (p99 > queue_p99 + ALLOWED)
        fail("later than the queue's delay and 5 ms, in microseconds", p99 / CO_US,
             queue_p99 / CO_US);
}

int main(int argc, char **argv)
{
    struct series *all[] = {&queue, &naps, &offloads, &stops};
    const size_t count = sizeof all / sizeof *all;
    int64_t end, p99;
    int r = 0;

    if (argc > 1)
        seconds = atoi(argv[1]);
    if (argc > 2)
        coroutines = atoi(argv[2]);
    if (argc > 3)
        busy_us = atoi(argv[3]);
    if (argc > 4)
        workers = atoi(argv[4]);
    if (workers < 1 || workers > WORKERS)
        return 2;
    for (size_t i = 0; i < count; i++) {
        all[i]->times.room = ROOM;
        all[i]->times.ns = malloc(ROOM * sizeof *all[i]->times.ns);
        if (!all[i]->times.ns)
            return 2;
    }
    end = co_now() + seconds * CO_SEC;
    while (r == 0 &&
           (co_now() < end || (stops.times.count < ENOUGH && co_now() < end + seconds * CO_SEC)))
        r = one_run();
    printf("saturation: %d workers, %d coroutines of %d us, %d s, result %d\n", workers, coroutines,
           busy_us, seconds, r);
    p99 = stress_time_at(&queue.times, 990);
    for (size_t i = 0; i < count; i++) {
        report(all[i], p99);
        free(all[i]->times.ns);
    }
    return r < 0 || stress_failures > 0;
}
