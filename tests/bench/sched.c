/* SPDX-License-Identifier: MIT */
/*
 * sched - what the scheduler costs: yield, spawn and wait, ping-pong.
 *
 *   yield     64 coroutines yield in turn; per yield.
 *   spawn     one coroutine starts another, which does nothing, and waits for it; per coroutine.
 *   pingpong  two coroutines wake each other in turn; per round trip.
 *
 * Prints elapsed and CPU time (all threads) per operation. peers/sched.go does the same with
 * goroutines; `tools/bench sched` compares them.
 *
 * usage: sched yield|spawn|pingpong THREADS COUNT
 */
#include <co/conf.h>
#include <co/park.h>
#include <co/task.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define YIELDERS 64

/* A signal from one coroutine to another: empty, given, or the ticket of who waits for it. */
struct cell {
    _Atomic co_ticket word;
};

#define EMPTY ((co_ticket)0)
#define GIVEN UINT64_MAX
#define WOKEN 1 /* what co_park returns, whether it slept or not */

struct work {
    const char *what;
    long count;
    struct cell ping, pong, done;
    _Atomic int left; /* yielders that have not ended */
    int64_t elapsed;
    int64_t cpu;
};

static _Noreturn void die(const char *what, int err)
{
    fprintf(stderr, "sched: %s: %s\n", what, co_strerror(err));
    exit(1);
}

static void give(struct cell *cell)
{
    co_ticket seen = EMPTY;

    /* acq_rel: what came before is seen by the taker's CAS; acquire: the ticket is a parked one. */
    if (atomic_compare_exchange_strong_explicit(&cell->word, &seen, GIVEN, memory_order_acq_rel,
                                                memory_order_acquire))
        return;
    /* relaxed: the taker sleeps, and looks at the word again only after co_unpark. */
    atomic_store_explicit(&cell->word, EMPTY, memory_order_relaxed);
    co_unpark(seen, WOKEN);
}

static int commit_take(co_ticket self, void *arg)
{
    struct cell *cell = arg;
    co_ticket seen = EMPTY;

    /* acq_rel: pairs with the CAS in give, either way round. */
    if (atomic_compare_exchange_strong_explicit(&cell->word, &seen, self, memory_order_acq_rel,
                                                memory_order_acquire))
        return 0;
    /* relaxed: the giver is done with the word; the next one is ordered by what this taker does. */
    atomic_store_explicit(&cell->word, EMPTY, memory_order_relaxed);
    return WOKEN;
}

static void take(struct cell *cell)
{
    int r = co_park(commit_take, cell, 0);

    if (r != WOKEN)
        die("co_park", r);
}

static void start(co_fn *fn, void *arg)
{
    int r = co_go(fn, arg);

    if (r < 0)
        die("co_go", r);
}

static void yield_many(void *arg)
{
    struct work *work = arg;

    for (long i = work->count / YIELDERS; i > 0; i--)
        (void)co_yield();
    /* acq_rel: the last one to leave is ordered after the others. */
    if (atomic_fetch_sub_explicit(&work->left, 1, memory_order_acq_rel) == 1)
        give(&work->done);
}

static void do_yield(struct work *work)
{
    work->count -= work->count % YIELDERS;
    atomic_init(&work->left, YIELDERS);
    for (int i = 0; i < YIELDERS; i++)
        start(yield_many, work);
    take(&work->done);
}

static void only_give(void *arg)
{
    give(arg);
}

static void do_spawn(struct work *work)
{
    for (long i = 0; i < work->count; i++) {
        start(only_give, &work->done);
        take(&work->done);
    }
}

static void answer_pings(void *arg)
{
    struct work *work = arg;

    for (long i = 0; i < work->count; i++) {
        take(&work->ping);
        give(&work->pong);
    }
    give(&work->done);
}

static void do_pingpong(struct work *work)
{
    start(answer_pings, work);
    for (long i = 0; i < work->count; i++) {
        give(&work->ping);
        take(&work->pong);
    }
    take(&work->done);
}

static int64_t process_cpu(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec * CO_SEC + now.tv_nsec;
}

static int measure(void *arg)
{
    struct work *work = arg;
    int64_t begun = co_now();
    int64_t cpu = process_cpu();

    if (strcmp(work->what, "yield") == 0)
        do_yield(work);
    else if (strcmp(work->what, "spawn") == 0)
        do_spawn(work);
    else
        do_pingpong(work);
    work->cpu = process_cpu() - cpu;
    work->elapsed = co_now() - begun;
    return 0;
}

int main(int argc, char **argv)
{
    struct work work = {0};
    struct co_conf conf;
    int r;

    if (argc != 4 || (strcmp(argv[1], "yield") != 0 && strcmp(argv[1], "spawn") != 0 &&
                      strcmp(argv[1], "pingpong") != 0)) {
        fprintf(stderr, "usage: sched yield|spawn|pingpong THREADS COUNT\n");
        return 2;
    }
    work.what = argv[1];
    work.count = strtol(argv[3], NULL, 10);
    co_conf_init(&conf);
    conf.threads = (int)strtol(argv[2], NULL, 10);
    r = co_run_with(&conf, measure, &work);
    if (r < 0)
        die("co_run_with", r);
    printf("ns %.1f\n", (double)work.elapsed / (double)work.count);
    printf("cpu_ns %.1f\n", (double)work.cpu / (double)work.count);
    return 0;
}
