/* SPDX-License-Identifier: MIT */
/*
 * stats.c - the registry of statistics, the rows that workers count in, and Prometheus' text.
 *
 * Entries are only ever added: `count` is stored with release after an entry is complete and loaded
 * with acquire before one is read, so names and kinds are read without the lock. The functions of
 * computed statistics can be replaced and taken away, so they are called under it.
 */
#include "cpu.h"
#include "stats_row.h"

#include <co/task.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* One row for threads that are no workers, then one per worker. */
#define ROWS         257
#define LONGEST_NAME 63

struct stat {
    const char *name;
    const char *help;
    int kind;
    bool computed;
    /* Under the lock; fn is NULL after co_stat_unregister_reader. */
    co_stat_fn *fn;
    void *arg;
};

static struct {
    _Alignas(CO__CACHE_LINE) int64_t value[CO_STAT_MAX];
} rows[ROWS];

static struct stat stats[CO_STAT_MAX] = {
    [CO__STAT_TURNS] = {.name = "turns", .help = "Rounds of the worker's loop."},
    [CO__STAT_RUN] = {.name = "run", .help = "Times a coroutine was switched to."},
    [CO__STAT_STOLEN] = {.name = "stolen", .help = "Coroutines taken from other workers."},
    [CO__STAT_STEALS] = {.name = "steals", .help = "Calls of steal that brought something."},
    [CO__STAT_STEAL_TRIES] = {.name = "steal_tries", .help = "Calls of steal."},
    [CO__STAT_INJECTED] = {.name = "injected", .help = "Coroutines out of the injector."},
    [CO__STAT_PARKED] = {.name = "parked", .help = "Times a coroutine went to wait."},
    [CO__STAT_WOKEN] = {.name = "woken", .help = "Times a waiting coroutine was made ready."},
    [CO__STAT_EVENTFD_WRITES] = {.name = "eventfd_writes",
                                 .help = "System calls to wake a sleeping worker."},
    [CO__STAT_POLLS] = {.name = "polls", .help = "Times the kernel was asked for events."},
    [CO__STAT_WAITS] = {.name = "waits",
                        .help = "Times a thread waited otherwise: on a futex, for a tick."},
    [CO__STAT_EPOLL_CTLS] = {.name = "epoll_ctls",
                             .help = "Descriptors put into an epoll, changed, or taken out."},
    [CO__STAT_SPAWNED] = {.name = "spawned", .help = "Coroutines started."},
    [CO__STAT_ENDED] = {.name = "ended", .help = "Coroutines ended."},
    [CO__STAT_STALLS] = {.name = "stalls",
                         .help = "Coroutines that computed for longer than stall_report."},
    [CO__STAT_RESCUES] = {.name = "rescues",
                          .help = "Coroutines taken from a worker that did not come back."},
    [CO__STAT_DEADLOCKS] = {.name = "deadlocks",
                            .help = "Times that all coroutines waited for each other."},
};

static int count = CO__STAT_FIXED;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

int64_t *co__stat_row(int worker)
{
    return rows[worker + 1].value;
}

/* The entry of an id, or NULL. */
static const struct stat *entry(int id)
{
    return id >= 0 && id < co_stat_count() ? &stats[id] : NULL;
}

static bool is_name(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

    return len > 0 && len <= LONGEST_NAME && name[len] == '\0' &&
           !(name[0] >= '0' && name[0] <= '9');
}

/* Finds or adds an entry. The caller holds the lock. */
static int find_or_add(const struct stat *like)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(stats[i].name, like->name) != 0)
            continue;
        return stats[i].kind == like->kind && stats[i].computed == like->computed ? i : -EEXIST;
    }
    if (count == CO_STAT_MAX)
        return -ENOSPC;
    stats[count] = *like;
    /* release: pairs with the acquire in co_stat_count, after which the entry is read. */
    __atomic_store_n(&count, count + 1, __ATOMIC_RELEASE);
    return count - 1;
}

static int add_entry(const struct stat *like)
{
    int id;

    if (!like->name || !like->help || !is_name(like->name) ||
        (like->kind != CO_STAT_COUNTER && like->kind != CO_STAT_GAUGE))
        return -EINVAL;
    pthread_mutex_lock(&lock);
    id = find_or_add(like);
    if (id >= 0 && like->computed) {
        stats[id].fn = like->fn;
        stats[id].arg = like->arg;
    }
    pthread_mutex_unlock(&lock);
    return id;
}

int co_stat_register(const char *name, const char *help, int kind)
{
    struct stat like = {.name = name, .help = help, .kind = kind};

    return add_entry(&like);
}

int co_stat_register_reader(const char *name, const char *help, int kind, co_stat_fn *fn, void *arg)
{
    struct stat like = {
        .name = name, .help = help, .kind = kind, .computed = true, .fn = fn, .arg = arg};

    return fn ? add_entry(&like) : -EINVAL;
}

void co_stat_unregister_reader(int id, const void *arg)
{
    pthread_mutex_lock(&lock);
    if (entry(id) && stats[id].arg == arg) {
        stats[id].fn = NULL;
        stats[id].arg = NULL;
    }
    pthread_mutex_unlock(&lock);
}

void co_stat_add(int id, int64_t delta)
{
    const struct stat *stat = entry(id);
    int worker = co_worker();

    if (!stat || stat->computed)
        return;
    if (worker >= 0)
        co__stat_add(co__stat_row(worker), id, delta);
    else
        /* relaxed: only the sum matters; several threads share this row. */
        (void)__atomic_fetch_add(&co__stat_row(-1)[id], delta, __ATOMIC_RELAXED);
}

int co_stat_count(void)
{
    /* acquire: pairs with the release in find_or_add. */
    return __atomic_load_n(&count, __ATOMIC_ACQUIRE);
}

const char *co_stat_name(int id)
{
    const struct stat *stat = entry(id);

    return stat ? stat->name : NULL;
}

const char *co_stat_help(int id)
{
    const struct stat *stat = entry(id);

    return stat ? stat->help : NULL;
}

int co_stat_kind(int id)
{
    const struct stat *stat = entry(id);

    return stat ? stat->kind : -ENOENT;
}

int64_t co_stat_value(int id, int worker)
{
    const struct stat *stat = entry(id);
    int64_t value = 0;

    if (!stat || worker < -1 || worker >= ROWS - 1)
        return 0;
    if (!stat->computed)
        /* relaxed: a recent number is enough. */
        return __atomic_load_n(&co__stat_row(worker)[id], __ATOMIC_RELAXED);
    pthread_mutex_lock(&lock);
    if (stat->fn)
        value = stat->fn(worker, stat->arg);
    pthread_mutex_unlock(&lock);
    return value;
}

int64_t co_stat_total(int id)
{
    const struct stat *stat = entry(id);
    /* A function is asked for the workers there are; rows keep what earlier workers counted. */
    int workers = stat && stat->computed ? co_workers() : ROWS - 1;
    int64_t total = 0;

    for (int worker = -1; worker < workers; worker++)
        total += co_stat_value(id, worker);
    return total;
}

void co_stats_reset(void)
{
    for (int row = 0; row < ROWS; row++) {
        for (int id = 0; id < CO_STAT_MAX; id++) {
            /* Most rows were never written: reading them leaves their pages unbacked. */
            /* relaxed, both: no worker runs, and other threads' counts may fall to either side. */
            if (__atomic_load_n(&rows[row].value[id], __ATOMIC_RELAXED) != 0)
                __atomic_store_n(&rows[row].value[id], 0, __ATOMIC_RELAXED); /* relaxed, as above */
        }
    }
}

/* A text that grows in the caller's buffer and is counted on past its end. */
struct text {
    char *buf;
    size_t cap, len;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *text, const char *format, ...)
{
    size_t used = text->len < text->cap ? text->len : text->cap;
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text->buf ? text->buf + used : NULL, text->cap - used, format, args);
    va_end(args);
    if (n > 0)
        text->len += (size_t)n;
}

/* A help text ends at the line's end: a backslash and a line feed are written as two characters. */
static void put_help(struct text *text, const char *help)
{
    while (*help) {
        size_t plain = strcspn(help, "\\\n");
        put(text, "%.*s", (int)plain, help);
        help += plain;
        if (*help)
            put(text, "%s", *help++ == '\n' ? "\\n" : "\\\\");
    }
}

static void put_stat(struct text *text, int id, int workers)
{
    const struct stat *stat = &stats[id];
    const char *suffix = stat->kind == CO_STAT_COUNTER ? "_total" : "";

    put(text, "# HELP corvid_%s%s ", stat->name, suffix);
    put_help(text, stat->help);
    put(text, "\n# TYPE corvid_%s%s %s\n", stat->name, suffix,
        stat->kind == CO_STAT_COUNTER ? "counter" : "gauge");
    for (int worker = 0; worker < workers; worker++)
        put(text, "corvid_%s%s{worker=\"%d\"} %" PRId64 "\n", stat->name, suffix, worker,
            co_stat_value(id, worker));
    put(text, "corvid_%s%s{worker=\"none\"} %" PRId64 "\n", stat->name, suffix,
        co_stat_value(id, -1));
}

size_t co_stats_prometheus(char *buf, size_t cap)
{
    struct text text = {.buf = buf, .cap = buf ? cap : 0};
    int workers = co_workers();
    int n = co_stat_count();

    if (text.cap > 0)
        buf[0] = '\0';
    for (int id = 0; id < n; id++)
        put_stat(&text, id, workers);
    return text.len;
}
