/* SPDX-License-Identifier: MIT */
/* connpool/pool.c - making and freeing pools, and the way of slots between shards and gate. */
#include "pool_impl.h"
#include <co/net.h>
#include <co/task.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_MAX = 64 };

#define DEFAULT_IDLE_TIMEOUT (60 * CO_SEC)

/* Fills in what is not allocated: settings with their defaults, and all slots vacant. */
static void set_up(struct co_pool *pool, const struct co_pool_conf *conf)
{
    pool->max_idle = conf->max_idle > 0 ? (uint32_t)conf->max_idle : pool->max;
    pool->idle_timeout = conf->idle_timeout > 0 ? conf->idle_timeout : DEFAULT_IDLE_TIMEOUT;
    pool->max_age = conf->max_age > 0 ? conf->max_age : CO_NEVER;
    pool->sweep_fd = -1;
    for (uint32_t i = pool->max; i > 0; i--)
        co__gate_vacate(&pool->gate, &pool->slots[i - 1]);
}

struct co_pool *co_pool_new(const struct co_backend *backend, void *ctx,
                            const struct co_pool_conf *conf)
{
    static const struct co_pool_conf defaults;
    struct co_pool *pool;

    if (conf == NULL)
        conf = &defaults;
    if (conf->max < 0 || conf->max_idle < 0 || conf->idle_timeout < 0 || conf->max_age < 0)
        return NULL;
    pool = aligned_alloc(_Alignof(struct co_pool), sizeof *pool);
    if (pool == NULL)
        return NULL;
    memset(pool, 0, sizeof *pool);
    pool->backend = backend;
    pool->ctx = ctx;
    pool->max = conf->max > 0 ? (uint32_t)conf->max : DEFAULT_MAX;
    pool->name = strdup(conf->name != NULL ? conf->name : "");
    pool->slots = aligned_alloc(_Alignof(struct co__slot), pool->max * sizeof *pool->slots);
    if (pool->name == NULL || pool->slots == NULL) {
        free(pool->slots);
        free(pool->name);
        free(pool);
        return NULL;
    }
    memset(pool->slots, 0, pool->max * sizeof *pool->slots);
    set_up(pool, conf);
    return pool;
}

/* Counts one more idle connection, unless that is too many. */
static bool admit_idle(struct co_pool *pool)
{
    if (pool->max_idle >= pool->max)
        return true;
    /* Relaxed: a count that bounds itself; the slots travel under the shards' locks. */
    if (__atomic_fetch_add(&pool->idle, 1, __ATOMIC_RELAXED) < pool->max_idle)
        return true;
    /* Relaxed: as above. */
    (void)__atomic_fetch_sub(&pool->idle, 1, __ATOMIC_RELAXED);
    return false;
}

/* Takes back an admit_idle that returned true. */
static void dismiss_idle(struct co_pool *pool)
{
    /* Relaxed: as in admit_idle. */
    if (pool->max_idle < pool->max)
        (void)__atomic_fetch_sub(&pool->idle, 1, __ATOMIC_RELAXED);
}

void co_pool_free(struct co_pool *pool)
{
    int sweep_fd;

    if (pool == NULL)
        return;
    for (int i = 0; i < CO__SHARDS_MAX; i++) {
        struct co__slot *slot = co__shard_close(&pool->shards[i]);

        while (slot != NULL) {
            struct co__slot *next = slot->staler;

            co__pool_disconnect(pool, slot);
            co__gate_vacate(&pool->gate, slot);
            slot = next;
        }
    }
    co__gate_close(&pool->gate);
    sweep_fd = co__sweeper_wake(pool);
    for (int i = 0; i < CO__SHARDS_MAX; i++)
        co__shard_drain(&pool->shards[i]);
    co_fd_guard(&sweep_fd);
    free(pool->slots);
    free(pool->name);
    free(pool);
}

struct co__slot *co__pool_take(struct co_pool *pool, int worker)
{
    struct co__slot *slot = co__shard_take(&pool->shards[worker]);
    int others = co_workers() - 1;
    unsigned start;

    if (slot == NULL && others > 0) {
        /* Relaxed: any start is right, they only should differ. */
        start = __atomic_fetch_add(&pool->shards[worker].victim, 1, __ATOMIC_RELAXED);
        for (int i = 0; slot == NULL && i < others; i++) {
            int step = 1 + (int)((start + (unsigned)i) % (unsigned)others);

            slot = co__shard_take(&pool->shards[(worker + step) % (others + 1)]);
        }
    }
    if (slot != NULL)
        dismiss_idle(pool);
    return slot;
}

/* Makes a slot idle, where others may find it; false if it may not be. */
static bool put_idle(struct co_pool *pool, struct co__slot *slot)
{
    struct co__shard *shard = &pool->shards[slot->home];

    if (!admit_idle(pool)) {
        co__tally_add(&shard->tally.expired);
        return false;
    }
    if (co__shard_put(shard, slot))
        return true;
    dismiss_idle(pool);
    return false;
}

void co__pool_give(struct co_pool *pool, struct co__slot *slot)
{
    int home = slot->home;

    while (slot != NULL) {
        if (slot->open && co__gate_waiting(&pool->gate) && co__gate_offer(&pool->gate, slot))
            return;
        if (!slot->open || !put_idle(pool, slot)) {
            co__pool_disconnect(pool, slot);
            co__gate_vacate(&pool->gate, slot);
            return;
        }
        co__sweeper_begin(pool);
        /* Who queued meanwhile may have looked too early (gate.h): then fetch one for him. */
        if (!co__gate_waiting(&pool->gate))
            return;
        slot = co__pool_take(pool, home);
    }
}

void co__pool_disconnect(struct co_pool *pool, struct co__slot *slot)
{
    if (!slot->open)
        return;
    pool->backend->close(pool->ctx, slot->conn);
    slot->conn = NULL;
    slot->open = false;
    slot->served = false;
}

bool co__pool_expired(const struct co_pool *pool, const struct co__slot *slot, int64_t now)
{
    return slot->idled < now - pool->idle_timeout || slot->born < now - pool->max_age;
}

struct co__slot *co__pool_take_stale(struct co_pool *pool, int worker, int64_t now)
{
    struct co__shard *shard = &pool->shards[worker];
    struct co__slot *slot = co__shard_stale(shard, now - pool->idle_timeout, now - pool->max_age);

    if (slot != NULL) {
        dismiss_idle(pool);
        co__tally_add(&shard->tally.expired);
    }
    return slot;
}

static uint64_t read_counter(const uint64_t *counter)
{
    /* Relaxed: statistics, each read once, together no snapshot. */
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* Adds up one shard. */
static void add_shard(struct co_pool_counts *sum, const struct co__shard *shard)
{
    const struct co__tally *tally = &shard->tally;

    sum->reused += read_counter(&tally->reused);
    sum->borrowed += read_counter(&tally->borrowed);
    sum->opened += read_counter(&tally->opened);
    sum->failed += read_counter(&tally->failed);
    sum->waited += read_counter(&tally->waited);
    sum->timed_out += read_counter(&tally->timed_out);
    sum->discarded += read_counter(&tally->discarded);
    sum->unhealthy += read_counter(&tally->unhealthy);
    sum->expired += read_counter(&tally->expired);
    /* Relaxed: as read_counter. */
    sum->idle += __atomic_load_n(&shard->idle, __ATOMIC_RELAXED);
}

void co_pool_stats(const struct co_pool *pool, struct co_pool_counts *ret_counts)
{
    struct co_pool_counts sum = {.leases = 0};

    for (int i = 0; i < CO__SHARDS_MAX; i++)
        add_shard(&sum, &pool->shards[i]);
    sum.leases = sum.reused + sum.borrowed + sum.opened;
    /* Relaxed, both: as read_counter. */
    sum.waiting = __atomic_load_n(&pool->gate.waiting, __ATOMIC_RELAXED);
    sum.open = pool->max - __atomic_load_n(&pool->gate.vacancies, __ATOMIC_RELAXED);
    *ret_counts = sum;
}

const char *co_pool_name(const struct co_pool *pool)
{
    return pool->name;
}
