/* SPDX-License-Identifier: MIT */
/* tests/support/crosswise.h - two coroutines that hold a mutex each, and want the other's. */
#ifndef TESTS_SUPPORT_CROSSWISE_H
#define TESTS_SUPPORT_CROSSWISE_H

#include <co/mutex.h>
#include <co/task.h>
#include <stdatomic.h>

static struct co_mutex left, right;
static _Atomic int holding;

/* Not before the other holds his. */
static void take_both(struct co_mutex *first, struct co_mutex *second)
{
    co_mutex_lock_always(first);
    atomic_fetch_add(&holding, 1);
    while (atomic_load(&holding) < 2)
        (void)co_yield();
    co_mutex_lock_always(second);
}

static void left_first(void *arg)
{
    (void)arg;
    take_both(&left, &right);
}

static void right_first(void *arg)
{
    (void)arg;
    take_both(&right, &left);
}

#endif
