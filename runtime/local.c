/* SPDX-License-Identifier: MIT */
/*
 * local.c - coroutine-local values: an array per coroutine that uses them, as long as the highest
 * key that it has set.
 */
#include "local.h"

#include "worker.h"
#include <co/local.h>
#include <stdlib.h>

struct co__locals {
    int count;
    void *value[];
};

/* Filled in order, under the latch; what lies below the count never changes. */
static struct {
    struct co_latch latch;
    _Atomic int count;
    co_local_end_fn *end[CO_LOCAL_MAX];
} keys;

int co_local_key(co_local_end_fn *end)
{
    int key;

    co_latch_take(&keys.latch);
    /* relaxed: written under the latch. */
    key = atomic_load_explicit(&keys.count, memory_order_relaxed);
    if (key < CO_LOCAL_MAX) {
        keys.end[key] = end;
        /* release: pairs with is_key; the key's function is seen with it. */
        atomic_store_explicit(&keys.count, key + 1, memory_order_release);
    } else {
        key = -EAGAIN;
    }
    co_latch_give(&keys.latch);
    return key;
}

static bool is_key(int key)
{
    /* acquire: pairs with the release in co_local_key. */
    return key >= 0 && key < atomic_load_explicit(&keys.count, memory_order_acquire);
}

static struct co__coro *self(void)
{
    const struct co__worker *w = co__worker();

    return w ? w->current : NULL;
}

/* Makes room for a key. */
static int grow(struct co__coro *co, int key)
{
    int before = co->locals ? co->locals->count : 0;
    struct co__locals *locals;

    if (key < before)
        return 0;
    locals = realloc(co->locals, sizeof *locals + (size_t)(key + 1) * sizeof locals->value[0]);
    if (!locals)
        return -ENOMEM;
    locals->count = key + 1;
    for (int i = before; i <= key; i++)
        locals->value[i] = NULL;
    co->locals = locals;
    return 0;
}

int co_local_set(int key, void *value)
{
    struct co__coro *co = self();
    int r;

    if (!co)
        return -EPERM;
    if (!is_key(key))
        return -EINVAL;
    if (!value && (!co->locals || key >= co->locals->count))
        return 0;
    r = grow(co, key);
    if (r == 0)
        co->locals->value[key] = value;
    return r;
}

void *co_local_get(int key)
{
    const struct co__coro *co = self();

    if (!co || !co->locals || key < 0 || key >= co->locals->count)
        return NULL;
    return co->locals->value[key];
}

/* Ends what there is. The array may grow and move meanwhile. Returns: whether there was any. */
static bool end_round(struct co__coro *co)
{
    bool any = false;

    for (int key = co->locals->count - 1; key >= 0; key--) {
        void *value = co->locals->value[key];

        co->locals->value[key] = NULL;
        if (value && keys.end[key]) {
            keys.end[key](value);
            any = true;
        }
    }
    return any;
}

void co__locals_end_all(struct co__coro *co)
{
    for (int round = 0; round < CO_LOCAL_ROUNDS && end_round(co); round++)
        continue;
    free(co->locals);
    co->locals = NULL;
}
