/* SPDX-License-Identifier: MIT */
/*
 * co/pool.h - a pool of connections: one shard per worker, one limit for all, a fair queue at it.
 *
 *     CO_LEASE(lease, pool);
 *     if (lease.err < 0)
 *         return lease.err;
 *     ... talk over co_lease_fd(&lease) ...
 *     co_lease_keep(&lease);     only when the exchange is complete; otherwise it is closed
 */
#ifndef CO_POOL_H
#define CO_POOL_H

#include <co/backend.h>
#include <co/base.h>
#include <co/conf.h>

#ifdef __cplusplus
extern "C" {
#endif

struct co_pool;

/* Settings of a pool; zero means the default. */
struct co_pool_conf {
    const char *name;     /* for statistics; copied */
    int max;              /* connections open at once, leased and idle together; default 64 */
    int max_idle;         /* idle ones kept; default: max */
    int64_t idle_timeout; /* an idle one is closed after this long; CO_NEVER: not; default 60 s */
    int64_t max_age;      /* none is handed out when older; default: no limit */
};

/* A pool's section of a configuration file. */
struct co_pool_settings {
    char address[128]; /* of the server, for the backend; empty if the file names none */
    struct co_pool_conf conf;
};

/*
 * A table of keys (see co/conf.h) that binds a section such as "pool.upstream" to settings.
 * Returns: the table; settings->conf.name is the section's. Suspends: never. Threads: any. Owns:
 *   section and settings must outlive the table.
 */
CO_API struct co_conf_table co_pool_table(const char *section, struct co_pool_settings *settings);

/*
 * Makes a pool over a backend. Nothing is opened yet. While connections idle, a coroutine without a
 * stack waits to close them. A stop does not wait for it, nor does co_pool_free; but where neither
 * comes, co_run ends only when no connection idles any more, after idle_timeout at the latest.
 * Returns: the pool; NULL if out of memory, or for a negative setting. Suspends: never. Threads:
 *   any. Owns: the caller frees it with co_pool_free; backend and ctx must outlive it.
 */
CO_API CO_NODISCARD struct co_pool *co_pool_new(const struct co_backend *backend, void *ctx,
                                                const struct co_pool_conf *conf);

/*
 * Closes the pool: those who wait for a connection get -ECANCELED, idle connections are closed,
 * leased ones when their lease ends; then the memory is freed. Leases that begin meanwhile get
 * -ECANCELED; after it has returned none may begin. NULL does nothing.
 * Suspends: until the last lease has ended. Threads: coroutines. Owns: the pool is gone.
 */
CO_API void co_pool_free(struct co_pool *pool);

/* A leased connection. */
struct co_lease {
    int err;    /* 0, or the negative errno why there is no connection */
    int reused; /* 1 if the connection had served before */
    void *conn; /* the backend's connection */
    struct co_pool *pool;
    void *entry; /* the pool's */
    int keep;    /* 1 once co_lease_keep was called */
};

/*
 * Leases a connection: an idle one of this worker's shard, one of another shard, or a new one; at
 * the limit it waits its turn.
 * Returns: a lease whose err is 0, -ETIMEDOUT, -ECANCELED (this coroutine, or the pool closed),
 *   -EPERM outside a coroutine, or what the backend's open returned. Suspends: yes. Threads:
 *   coroutines.
 * Owns: the lease ends with co_lease_end (CO_LEASE does it).
 */
CO_API CO_NODISCARD struct co_lease co_lease_begin(struct co_pool *pool);

/*
 * Ends a lease: the connection goes back if it was kept, and is closed otherwise. Does nothing on a
 * lease with an error or one that has ended.
 * Suspends: never for the sake of the pool; the backend's close may. Threads: coroutines.
 */
CO_API void co_lease_end(struct co_lease *lease);

/*
 * Says that the exchange is complete and nothing is left in the connection: it may serve again.
 * Suspends: never. Threads: coroutines.
 */
CO_API void co_lease_keep(struct co_lease *lease);

/*
 * Takes co_lease_keep back: the connection will be closed.
 * Suspends: never. Threads: coroutines.
 */
CO_API void co_lease_discard(struct co_lease *lease);

/*
 * The descriptor of the leased connection.
 * Returns: a descriptor that stays the pool's; -EBADF if the lease has none. Suspends: never.
 *   Threads: coroutines.
 */
CO_API int co_lease_fd(const struct co_lease *lease);

/* Declares a lease that ends with the block. */
#define CO_LEASE(name, pool) \
    struct co_lease name __attribute__((cleanup(co_lease_end))) = co_lease_begin(pool)

/* Counters of a pool; the sums of its shards, each read once. */
struct co_pool_counts {
    uint64_t leases;    /* leases that got a connection */
    uint64_t reused;    /* of these, with a connection of this worker's shard */
    uint64_t borrowed;  /* of these, with one of another worker's shard */
    uint64_t opened;    /* of these, with a new connection */
    uint64_t failed;    /* opens that failed */
    uint64_t waited;    /* leases that had to wait at the limit */
    uint64_t timed_out; /* leases whose deadline passed while they waited */
    uint64_t discarded; /* connections closed because they were not kept, or the lease ended in
                         * their check */
    uint64_t unhealthy; /* idle connections that the check refused */
    uint64_t expired;   /* connections closed for age, for idleness, or as one idle too many */
    uint32_t open;      /* connections now: leased, idle, being opened */
    uint32_t idle;      /* of these, idle */
    uint32_t waiting;   /* coroutines waiting now */
};

/*
 * Reads the counters.
 * Suspends: never. Threads: any.
 */
CO_API void co_pool_stats(const struct co_pool *pool, struct co_pool_counts *ret_counts);

/*
 * The name the pool was given.
 * Returns: a string that lives as long as the pool. Suspends: never. Threads: any.
 */
CO_API const char *co_pool_name(const struct co_pool *pool);

#ifdef __cplusplus
}
#endif
#endif
