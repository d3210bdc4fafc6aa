/* SPDX-License-Identifier: MIT */
/*
 * filecall.h - calls of libuv's uv_fs_* in their synchronous form, without a loop, which file.c,
 * dir.c and filewhole.c make on threads of the offload pool (docs/decisions/0025).
 */
#ifndef CO_NETIO_FILECALL_H
#define CO_NETIO_FILECALL_H

#include <co/file.h>
#include <co/offload.h>

/* The most that one trip to the pool reads or writes: between two, a call can be ended. */
enum { CO__FILECALL_PIECE = 1 << 20 };

/* What one call takes; each uses what it needs. */
struct co__filecall {
    const char *path;
    const char *to;
    void *buf;
    size_t len;
    int64_t offset;
    struct co_file_info *ret_info;
    int fd;
    int flags;
    unsigned mode;
};

/* Returns: what fn returned; the errors of co_offload. Suspends: yes. */
static inline int co__filecall_offload(int (*fn)(void *arg), void *arg)
{
    int result = 0;
    int r = co_offload(fn, arg, &result);

    return r < 0 ? r : result;
}

/* The same for what must be done whatever happens, by the caller's thread if need be. */
int co__filecall_anyway(int (*fn)(void *arg), void *arg);

/* What follows runs on the pool. The argument is a struct co__filecall. */

/* Opens `path`, with flags and mode. Returns: a descriptor, or a negative errno. */
int co__filecall_open(void *arg);

/* Closes fd. Returns: 0, or a negative errno. */
int co__filecall_close(void *arg);

/* Reads up to len bytes. Returns: how many, fewer only at the end; a negative errno. */
int co__filecall_read(void *arg);

/* Writes len bytes. Returns: 0, or a negative errno. */
int co__filecall_write(void *arg);

/* fsync(2) of fd. Returns: 0, or a negative errno. */
int co__filecall_sync(void *arg);

/* stat(2) of `path`, lstat(2) if flags is O_NOFOLLOW, fstat(2) if path is NULL. */
int co__filecall_stat(void *arg);

/* Removes `path`; renames `path` to `to`. Returns: 0, or a negative errno. */
int co__filecall_remove(void *arg);
int co__filecall_rename(void *arg);

#endif
