/* SPDX-License-Identifier: MIT */
/* conf_keys.c - the keys of [runtime], and struct co_conf with its defaults out of them. */
#include "conf.h"

#include <co/assert.h>
#include <string.h>

#define FIELD(field) .name = #field, .offset = offsetof(struct co_conf, field)
#define HOUR         (3600 * CO_SEC)

const struct co_conf_key co_conf_runtime_keys[] = {
    {FIELD(threads), .type = CO_CONF_AUTO, .fallback = "auto", .min = 1, .max = 256,
     .meaning = "workers; auto: one per CPU this process may use (affinity and cgroup quota)"},
    {FIELD(pin_threads), .type = CO_CONF_BOOL, .fallback = "no",
     .meaning = "keep each worker on one CPU"},
    {FIELD(order), .type = CO_CONF_CHOICE, .fallback = "fifo", .choices = "fifo lifo",
     .meaning = "which ready coroutine a worker runs next: the oldest or the newest"},
    {FIELD(stealing), .type = CO_CONF_BOOL, .fallback = "on",
     .meaning = "off: every coroutine stays where it became ready (for comparison)"},
    {FIELD(stack_size), .type = CO_CONF_SIZE, .fallback = "64k", .min = 16 << 10, .max = 64 << 20,
     .meaning = "stack of a coroutine; what it does not touch takes no memory"},
    {FIELD(max_coroutines), .type = CO_CONF_INT64, .fallback = "0", .min = 0, .max = INT64_MAX,
     .meaning = "coroutines at one time; more are refused; 0: no limit"},
    {FIELD(offload_threads), .type = CO_CONF_INT, .fallback = "4", .min = 1, .max = 1024,
     .meaning = "threads for blocking calls, such as looking up names"},
    {FIELD(stall_report), .type = CO_CONF_TIME, .fallback = "100ms", .min = 0, .max = HOUR,
     .meaning = "report a coroutine that computes for this long without a call; 0: never"},
    {FIELD(grace), .type = CO_CONF_TIME, .fallback = "10s", .min = 0, .max = 24 * HOUR,
     .meaning = "time to finish after a stop, before coroutines are cancelled"},
    {FIELD(signals), .type = CO_CONF_BOOL, .fallback = "on",
     .meaning = "SIGTERM and SIGINT stop the runtime, SIGUSR1 lists its coroutines on stderr"},
    {FIELD(trace), .type = CO_CONF_BOOL, .fallback = "off",
     .meaning = "keep the last scheduling events of each worker, for reports"},
    {FIELD(deadlock_report), .type = CO_CONF_TIME, .fallback = "1s", .min = 0, .max = HOUR,
     .meaning = "report that all coroutines wait for each other after this long; 0: never"},
};

#define COUNT (sizeof co_conf_runtime_keys / sizeof co_conf_runtime_keys[0])

void co_conf_init(struct co_conf *conf)
{
    memset(conf, 0, sizeof *conf);
    conf->size = sizeof *conf;
    for (size_t i = 0; i < COUNT; i++) {
        const struct co_conf_key *key = &co_conf_runtime_keys[i];
        int r = co__conf_parse(key, key->fallback, conf);
        CO_ASSERT(r == 0);
        (void)r;
    }
}

struct co_conf_table co_conf_runtime_table(struct co_conf *conf)
{
    struct co_conf_table table = {
        .section = "runtime", .keys = co_conf_runtime_keys, .count = COUNT, .target = conf};

    co_conf_init(conf);
    return table;
}

int co__conf_check(const struct co_conf *conf)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (co__conf_valid(&co_conf_runtime_keys[i], conf) < 0)
            return -EINVAL;
    }
    return 0;
}

int co__conf_take(struct co_conf *dst, const struct co_conf *src)
{
    struct co_conf conf;
    int r;

    co_conf_init(&conf);
    if (src) {
        /* A program built with a newer header may use fields that we do not know. */
        if (src->size < sizeof src->size || src->size > sizeof conf)
            return -EINVAL;
        memcpy(&conf, src, src->size);
        conf.size = sizeof conf;
    }
    r = co__conf_check(&conf);
    if (r == 0)
        *dst = conf;
    return r;
}
