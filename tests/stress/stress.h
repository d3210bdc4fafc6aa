/* SPDX-License-Identifier: MIT */
/*
 * tests/stress/stress.h - what the stress programs share: dice, failures, counts of what a process
 * holds, and a thread that notices who hangs.
 *
 * A program whose coroutines may hang gives each of them a struct stress_watch. Before it does
 * something that has to end, a coroutine says what (stress_begin), and afterwards that it has
 * ended.
 * The watching thread prints who is late, what he does and since when, with the runtime's counters,
 * and aborts; so a hang leaves a text and a core, not only a time-out.
 */
#ifndef TESTS_STRESS_STRESS_H
#define TESTS_STRESS_STRESS_H

#include <co/conf.h>
#include <co/stats.h>
#include <co/task.h>
#include <dirent.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_THREAD__)
#define STRESS_TSAN 1
#elif defined(__SANITIZE_ADDRESS__)
#define STRESS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define STRESS_TSAN 1
#elif __has_feature(address_sanitizer)
#define STRESS_ASAN 1
#endif
#endif

/* How much slower things may be than in a plain build. */
#if defined(CO_TEST_VALGRIND)
enum { STRESS_SLOWER = 50 };
#elif defined(STRESS_TSAN) || defined(STRESS_ASAN)
enum { STRESS_SLOWER = 10 };
#else
enum { STRESS_SLOWER = 1 };
#endif

/* How many broken promises there were; the exit status tells. */
extern _Atomic uint64_t stress_failures;
_Atomic uint64_t stress_failures __attribute__((weak)); /* one for all files of a program */

static inline void fail(const char *what, long long a, long long b)
{
    /* The first hundred tell enough. */
    if (atomic_fetch_add(&stress_failures, 1) < 100)
        fprintf(stderr, "FAILURE: %s (%lld, %lld)\n", what, a, b);
}

/* xorshift32 (Marsaglia 2003); the state must not be 0. */
static inline uint32_t dice(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/*
 * What most programs begin with: SECONDS COUNT WORKERS from the command line, as far as they are
 * given, an end by SIGALRM if the program hangs, and the settings.
 */
static inline struct co_conf stress_settings(int argc, char **argv, int *seconds, int *count,
                                             int *workers)
{
    int *const numbers[] = {seconds, count, workers};
    struct co_conf conf;

    for (int i = 1; i < argc && i <= 3; i++)
        *numbers[i - 1] = atoi(argv[i]);
    (void)alarm((unsigned)*seconds * 10 + 60);
    co_conf_init(&conf);
    conf.threads = *workers;
    conf.stall_report = 0;
    return conf;
}

/* One of the runtime's statistics, summed up; -1 if there is none of that name. */
static inline int64_t stress_stat(const char *name)
{
    for (int i = 0; i < co_stat_count(); i++) {
        if (strcmp(co_stat_name(i), name) == 0)
            return co_stat_total(i);
    }
    return -1;
}

/* Descriptors that the process keeps from its first runtime on: libuv's pipe for signals. */
enum { STRESS_KEPT = 2 };

/* How many descriptors this process has, less the one that counts. */
static inline int stress_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = -3; /* ".", ".." and the folder itself */

    if (!dir)
        return -1;
    while (readdir(dir))
        count++;
    (void)closedir(dir);
    return count;
}

/* A figure of /proc/self/status in bytes, as "VmRSS"; 0 if there is none. */
static inline int64_t stress_memory(const char *key)
{
    FILE *file = fopen("/proc/self/status", "re");
    size_t len = strlen(key);
    long long kib = 0;
    char line[256];

    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, key, len) == 0 && line[len] == ':')
            kib = strtoll(line + len + 1, NULL, 10);
    }
    if (file)
        (void)fclose(file);
    return kib * 1024;
}

/* Bytes that malloc has given out and not got back. */
static inline int64_t stress_allocated(void)
{
    struct mallinfo2 info = mallinfo2();

    return (int64_t)(info.uordblks + info.hblkhd);
}

/* ---- who hangs ---- */

struct stress_watch {
    _Atomic(const char *) doing; /* NULL: nothing that has to end */
    _Atomic int64_t since;
    _Atomic int64_t until; /* the deadline of it, CO_NEVER if there is none */
};

static struct {
    struct stress_watch *watches;
    int count;
    int64_t patience;
    _Atomic int stop;
    pthread_t thread;
} stress_watcher;

static inline void stress_begin(struct stress_watch *watch, const char *doing, int64_t until)
{
    atomic_store(&watch->since, co_now());
    atomic_store(&watch->until, until);
    atomic_store(&watch->doing, doing);
}

static inline void stress_end(struct stress_watch *watch)
{
    atomic_store(&watch->doing, NULL);
}

static inline void stress_dump(int64_t now)
{
    static const char *const names[] = {"spawned", "ended", "parked", "woken", "steals", "rescues"};
    int shown = 0;

    for (int i = 0; i < stress_watcher.count && shown < 60; i++) {
        struct stress_watch *watch = &stress_watcher.watches[i];
        const char *doing = atomic_load(&watch->doing);
        int64_t until = atomic_load(&watch->until);

        if (!doing)
            continue;
        shown++;
        fprintf(stderr, "  %4d: %s for %.3f s", i, doing,
                (double)(now - atomic_load(&watch->since)) / 1e9);
        if (until != CO_NEVER)
            fprintf(stderr, ", deadline %.3f s ago", (double)(now - until) / 1e9);
        fprintf(stderr, "\n");
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        fprintf(stderr, "  %s %lld", names[i], (long long)stress_stat(names[i]));
    fprintf(stderr, "\n");
}

/* A machine that stood still, with all of this process, is nobody's fault: patience begins anew. */
static inline void stress_excuse(int64_t now)
{
    for (int i = 0; i < stress_watcher.count; i++)
        atomic_store(&stress_watcher.watches[i].since, now);
}

static inline void *stress_watch_thread(void *arg)
{
    const struct timespec tick = {.tv_nsec = 100000000};

    int64_t before = co_now();

    (void)arg;
    while (!atomic_load(&stress_watcher.stop)) {
        int64_t now = co_now();

        if (now - before > CO_SEC)
            stress_excuse(now);
        before = now;
        for (int i = 0; i < stress_watcher.count; i++) {
            struct stress_watch *watch = &stress_watcher.watches[i];

            if (atomic_load(&watch->doing) &&
                now - atomic_load(&watch->since) > stress_watcher.patience) {
                fprintf(stderr, "FAILURE: somebody hangs\n");
                stress_dump(now);
                abort();
            }
        }
        (void)nanosleep(&tick, NULL);
    }
    return NULL;
}

/* Watches `count` of them from now on; who does one thing for longer than `patience` hangs. */
static inline void stress_watch_start(int count, int64_t patience)
{
    stress_watcher.count = count;
    stress_watcher.patience = patience;
    stress_watcher.watches = calloc((size_t)count, sizeof *stress_watcher.watches);
    if (!stress_watcher.watches ||
        pthread_create(&stress_watcher.thread, NULL, stress_watch_thread, NULL) != 0) {
        fprintf(stderr, "no memory or thread to watch with\n");
        exit(2);
    }
}

static inline void stress_watch_stop(void)
{
    atomic_store(&stress_watcher.stop, 1);
    (void)pthread_join(stress_watcher.thread, NULL);
    free(stress_watcher.watches);
}

/* ---- times ---- */

/* Durations, to be sorted: p50, p99, worst. */
struct stress_times {
    int64_t *ns;
    size_t count;
    size_t room;
};

static inline void stress_time_add(struct stress_times *times, int64_t ns)
{
    if (times->count < times->room)
        times->ns[times->count++] = ns;
}

static inline int stress_time_order(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* The value that `share` of 1000 do not exceed; sorts. */
static inline int64_t stress_time_at(struct stress_times *times, unsigned share)
{
    if (times->count == 0)
        return 0;
    qsort(times->ns, times->count, sizeof *times->ns, stress_time_order);
    return times->ns[(times->count - 1) * share / 1000];
}

#endif
