/* SPDX-License-Identifier: MIT */
/*
 * million [COROUTINES [WORKERS]] - what a million sleepers cost, and that each of them wakes.
 *
 * All park at once, each with something of its own on its stack. Prints what the process holds
 * then: resident memory and page tables, per coroutine, and how many stacks have no guard. Then
 * wakes each of them once with a number of its own; each checks what it left on its stack and what
 * it got. Fails if one is not woken exactly so, if a stack has no guard, or if one costs more than
 * 5 KiB.
 */
#include "stress/stress.h"
#include <co/conf.h>
#include <co/park.h>

enum { MOST_BYTES = 5 * 1024 };

static int coroutines = 1000000, workers = 2;
static co_ticket *tickets;
static _Atomic int parked, woken;
static _Atomic int64_t sum;

static int publish(co_ticket self, void *arg)
{
    tickets[(intptr_t)arg] = self;
    atomic_fetch_add(&parked, 1);
    return 0;
}

static void sleeper(void *arg)
{
    int number = (int)(intptr_t)arg;
    volatile int mine[64];
    int r;

    for (int i = 0; i < 64; i++)
        mine[i] = number + i;
    r = co_park(publish, arg, 0);
    if (r != number)
        fail("woken with another's number", number, r);
    for (int i = 0; i < 64; i++) {
        if (mine[i] != number + i) {
            fail("the stack is another's", number, mine[i]);
            break;
        }
    }
    atomic_fetch_add(&sum, number);
    atomic_fetch_add(&woken, 1);
}

static void report(int64_t started_in)
{
    int64_t resident = stress_memory("VmRSS"), tables = stress_memory("VmPTE");
    int64_t each = (resident + tables) / coroutines;
    int64_t unguarded = stress_stat("stack_unguarded");

    printf("million: %d coroutines parked, in %.2f s; resident %.1f MiB, page tables %.1f MiB: "
           "%lld bytes each; %lld stacks without a guard\n",
           coroutines, (double)started_in / 1e9, (double)resident / 1048576,
           (double)tables / 1048576, (long long)each, (long long)unguarded);
    if (unguarded != 0)
        fail("stacks without a guard", unguarded, 0);
    if (STRESS_SLOWER == 1 && coroutines >= 100000 && each > MOST_BYTES)
        fail("bytes of a coroutine", each, MOST_BYTES);
}

static int run(void *arg)
{
    int64_t begin = co_now();

    (void)arg;
    for (intptr_t i = 0; i < coroutines; i++) {
        int r = co_go(sleeper, (void *)i);

        if (r < 0) {
            fail("starting", (long long)i, r);
            coroutines = (int)i;
        }
    }
    while (atomic_load(&parked) < coroutines)
        (void)co_yield();
    report(co_now() - begin);
    begin = co_now();
    for (int i = 0; i < coroutines; i++) {
        if (!co_unpark(tickets[i], i))
            fail("waking", i, 0);
    }
    while (atomic_load(&woken) < coroutines)
        (void)co_yield();
    printf("million: all woken and checked, in %.2f s\n", (double)(co_now() - begin) / 1e9);
    return 0;
}

int main(int argc, char **argv)
{
    struct co_conf conf;
    int r;

    if (argc > 1)
        coroutines = atoi(argv[1]);
    if (argc > 2)
        workers = atoi(argv[2]);
    tickets = calloc((size_t)coroutines, sizeof *tickets);
    if (!tickets)
        return 2;
    co_conf_init(&conf);
    conf.threads = workers;
    conf.max_coroutines = 0;
    r = co_run_with(&conf, run, NULL);
    if (sum != (int64_t)coroutines * (coroutines - 1) / 2)
        fail("the sum of all numbers", sum, 0);
    printf("million: result %d, %llu failures\n", r, (unsigned long long)stress_failures);
    free(tickets);
    return r < 0 || stress_failures > 0;
}
