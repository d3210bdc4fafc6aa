/* SPDX-License-Identifier: MIT */
/*
 * stealing [REPETITIONS [MILLISECONDS]] - stealing is real: two workers, the other asleep; 100
 * coroutines, new or woken, are made ready by a worker that then computes without a call. Prints
 * where they ran and how they came there; fails unless, each time, all ran on the other worker
 * within 100 ms, at least 98 by stealing, in at most 10 steals, and none through the injector.
 */
#include "stress/stolen.h"
#include <co/conf.h>
#include <stdio.h>
#include <stdlib.h>

static int repetitions = 100;
static int64_t computing = CO_SEC;

static bool good(const struct stolen_report *r)
{
    return r->elsewhere == STOLEN_COUNT && r->slowest <= 100 * CO_MS &&
           r->by_stealing >= STOLEN_COUNT - 2 && r->steals <= 10 && r->injected == 0;
}

static int repeat(void *arg)
{
    bool woken = *(bool *)arg;
    struct stolen_report worst = {.elsewhere = STOLEN_COUNT, .by_stealing = STOLEN_COUNT};
    int passed = 0;

    for (int i = 0; i < repetitions; i++) {
        struct stolen_report r;

        if (stolen_repeat(woken, computing, &r) < 0)
            return 1;
        passed += good(&r);
        if (!good(&r))
            printf("stealing: repetition %d: %d elsewhere, slowest %.1f ms, %lld stolen in %lld "
                   "steals, %lld injected\n",
                   i + 1, r.elsewhere, (double)r.slowest / 1e6, (long long)r.by_stealing,
                   (long long)r.steals, (long long)r.injected);
        if (r.elsewhere < worst.elsewhere)
            worst.elsewhere = r.elsewhere;
        if (r.slowest > worst.slowest)
            worst.slowest = r.slowest;
        if (r.by_stealing < worst.by_stealing)
            worst.by_stealing = r.by_stealing;
        if (r.steals > worst.steals)
            worst.steals = r.steals;
        if (r.injected > worst.injected)
            worst.injected = r.injected;
    }
    printf("stealing: 100 %s, %d of %d repetitions good; at worst %d ran elsewhere, the last after "
           "%.1f ms, %lld stolen, in %lld steals, %lld injected\n",
           woken ? "parked and woken" : "new", passed, repetitions, worst.elsewhere,
           (double)worst.slowest / 1e6, (long long)worst.by_stealing, (long long)worst.steals,
           (long long)worst.injected);
    return passed < repetitions;
}

int main(int argc, char **argv)
{
    struct co_conf conf;
    int failed = 0;

    if (argc > 1)
        repetitions = atoi(argv[1]);
    if (argc > 2)
        computing = atoi(argv[2]) * CO_MS;
    co_conf_init(&conf);
    conf.threads = 2;
    conf.stall_report = 0;
    for (int woken = 0; woken <= 1; woken++) {
        bool flag = woken;
        int r = co_run_with(&conf, repeat, &flag);

        if (r != 0)
            failed++;
    }
    return failed > 0;
}
