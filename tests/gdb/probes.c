/* SPDX-License-Identifier: MIT */
/*
 * probes.c - for tests/gdb/probes.py: a coroutine that yields, waits and ends, a sleep, a stall.
 * Says on stdout who is who: the first coroutine, and the one whose life is followed.
 */
#include <co/conf.h>
#include <co/scope.h>
#include <co/sem.h>
#include <co/stats.h>
#include <co/task.h>
#include <stdio.h>
#include <string.h>

static struct co_sem go_on, ended;
static int id;

static void subject(void *arg)
{
    (void)arg;
    id = (int)co_self();
    (void)co_yield();
    if (co_sem_take(&go_on) == 0)
        co_sem_give(&ended, 1);
}

static int64_t stalls(void)
{
    for (int i = 0; i < co_stat_count(); i++) {
        if (strcmp(co_stat_name(i), "stalls") == 0)
            return co_stat_total(i);
    }
    return 1; /* the test will miss it */
}

/* A turn is reported once: if that came before it got here, the next one will be. */
static int compute(int64_t ns)
{
    int64_t end = co_now() + ns;

    while (co_now() < end)
        continue;
    return co_yield();
}

/* There is one worker: each yield lets the other run until it leaves the worker by itself. */
static int first(void *arg)
{
    int r = co_go(subject, arg);

    if (r < 0)
        return r;
    (void)co_yield();
    (void)co_yield();
    co_sem_give(&go_on, 1);
    r = co_sem_take(&ended);
    if (r == 0)
        r = co_sleep(10 * CO_MS);
    while (r == 0 && stalls() == 0)
        r = compute(100 * CO_MS);
    printf("first %d, subject %d\n", (int)co_self(), id);
    return r;
}

int main(void)
{
    struct co_conf conf;

    co_conf_init(&conf);
    conf.threads = 1;
    conf.stall_report = 20 * CO_MS;
    return co_run_with(&conf, first, NULL) < 0;
}
