/* SPDX-License-Identifier: MIT */
/*
 * tests/netio/folder.h - what the tests of files share: a folder of their own, plain files in it,
 * and a pool whose only thread they hold.
 */
#ifndef TESTS_NETIO_FOLDER_H
#define TESTS_NETIO_FOLDER_H

#include "support/run.h"
#include <co/file.h>
#include <co/offload.h>
#include <co/park.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

/* A path in the folder; the text is good until the eighth next call, from one thread. */
static inline const char *in_folder(const char *name)
{
    static char texts[8][5200];
    static int next;
    char *text = texts[next++ % 8];

    if (snprintf(text, sizeof texts[0], "%s/%s", folder, name) >= (int)sizeof texts[0])
        abort();
    return text;
}

static inline void make_folder(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/corvid-test-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

static inline int remove_one(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
    (void)stat;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void remove_folder(void)
{
    (void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Writes a file with the kernel's own calls. */
static inline void put_file(const char *name, const void *data, size_t len)
{
    int fd = open(in_folder(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    CHECK(fd >= 0 && write(fd, data, len) == (ssize_t)len && close(fd) == 0);
}

/* Whether a file holds just these bytes. */
static inline bool holds(const char *name, const void *data, size_t len)
{
    char *buf = malloc(len + 1);
    int fd = open(in_folder(name), O_RDONLY | O_CLOEXEC);
    size_t done = 0;
    ssize_t n = 1;
    bool same;

    while (buf && fd >= 0 && n > 0 && done <= len) {
        n = read(fd, buf + done, len + 1 - done);
        done += n > 0 ? (size_t)n : 0;
    }
    same = buf && n == 0 && done == len && memcmp(buf, data, len) == 0;
    free(buf);
    if (fd >= 0)
        (void)close(fd);
    return same;
}

/* How many names a folder has. */
static inline int names_in_folder(void)
{
    DIR *dir = opendir(folder);
    int count = -2; /* "." and ".." */

    while (dir && readdir(dir))
        count++;
    if (dir)
        (void)closedir(dir);
    return count;
}

/* Bytes that differ from their neighbours, to be freed. */
static inline char *some_bytes(size_t len, unsigned seed)
{
    char *data = malloc(len + 1);

    if (!data)
        abort();
    for (size_t i = 0; i < len; i++)
        data[i] = (char)((i * 31 + i / 251 + seed) & 0xff);
    return data;
}

/* Runs fn where, in builds with fault points, calls fail for lack of memory. */
static inline void run_scarce(int threads, co_main_fn *fn)
{
    struct co_conf conf = settings(threads);
    int r;

    (void)setenv("CO_CHAOS", "3,fail", 1);
    do /* the first coroutine may be refused, too; each runtime has other dice */
        r = run_conf(&conf, fn, NULL);
    while (r == -ENOMEM);
    cr_assert_eq(r, 0);
}

/* ---- a pool of one thread ---- */

static _Atomic int holds_begun, holds_released, holds_ended;

static inline int hold_pool(void *arg)
{
    int number = atomic_fetch_add(&holds_begun, 1);

    (void)arg;
    while (atomic_load(&holds_released) <= number)
        (void)usleep(500);
    return 0;
}

static inline void hold_pool_off(void *arg)
{
    (void)arg;
    CHECK(co_offload(hold_pool, NULL, NULL) == 0);
    atomic_fetch_add(&holds_ended, 1);
}

/* Whoever comes to the pool next waits behind this. */
static inline void hold_it(void)
{
    start(hold_pool_off, NULL);
}

static inline void release_it(void)
{
    atomic_fetch_add(&holds_released, 1);
}

static inline struct co_conf one_pool_thread(int threads)
{
    struct co_conf conf = settings(threads);

    conf.offload_threads = 1;
    return conf;
}

/* The pool serves in order: what a coroutine has brought there before the hold has begun is done
 * when the next hold begins. */
static inline void let_queue(void)
{
    for (int i = 0; i < 50; i++)
        (void)co_yield();
    (void)co_sleep(5 * CO_MS);
}

#endif
