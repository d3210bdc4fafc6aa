/* SPDX-License-Identifier: MIT */
/*
 * file.c - the calls of co/file.h on open files and on names: each is a trip to the offload pool,
 * but for reading what is in memory.
 */
#include <co/file.h>

#include "filecall.h"
#include "slot.h"
#include <co/park.h>
#include <co/private/chaos.h>
#include <co/private/offload.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <uv.h>

/* So much a worker copies from the page cache by itself: a few microseconds. */
enum { CACHED = 64 * 1024 };

/* ---- on the pool ---- */

int co__filecall_close(void *arg)
{
    const struct co__filecall *call = arg;
    uv_fs_t req;
    int r = uv_fs_close(NULL, &req, call->fd, NULL);

    uv_fs_req_cleanup(&req);
    return r;
}

static enum co_file_type type_of(uint64_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return CO_FILE_REGULAR;
    case S_IFDIR:
        return CO_FILE_DIR;
    case S_IFLNK:
        return CO_FILE_LINK;
    case S_IFIFO:
        return CO_FILE_FIFO;
    case S_IFSOCK:
        return CO_FILE_SOCKET;
    case S_IFCHR:
        return CO_FILE_CHAR;
    case S_IFBLK:
        return CO_FILE_BLOCK;
    default:
        return CO_FILE_UNKNOWN;
    }
}

static int64_t nanoseconds(uv_timespec_t time)
{
    return (int64_t)time.tv_sec * CO_SEC + (int64_t)time.tv_nsec;
}

static struct co_file_info info_of(const uv_stat_t *stat)
{
    return (struct co_file_info){
        .size = (int64_t)stat->st_size,
        .accessed = nanoseconds(stat->st_atim),
        .modified = nanoseconds(stat->st_mtim),
        .changed = nanoseconds(stat->st_ctim),
        .born = nanoseconds(stat->st_birthtim),
        .device = stat->st_dev,
        .inode = stat->st_ino,
        .links = stat->st_nlink,
        .user = (uint32_t)stat->st_uid,
        .group = (uint32_t)stat->st_gid,
        .mode = (uint32_t)(stat->st_mode & 07777),
        .type = type_of(stat->st_mode),
    };
}

int co__filecall_stat(void *arg)
{
    const struct co__filecall *call = arg;
    uv_fs_t req;
    int r;

    if (!call->path)
        r = uv_fs_fstat(NULL, &req, call->fd, NULL);
    else if (call->flags & O_NOFOLLOW)
        r = uv_fs_lstat(NULL, &req, call->path, NULL);
    else
        r = uv_fs_stat(NULL, &req, call->path, NULL);
    if (r == 0)
        *call->ret_info = info_of(&req.statbuf);
    uv_fs_req_cleanup(&req);
    return r;
}

int co__filecall_open(void *arg)
{
    const struct co__filecall *call = arg;
    struct co_file_info info = {0};
    struct co__filecall opened = {.ret_info = &info};
    int flags = call->flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    uv_fs_t req;
    int r = uv_fs_open(NULL, &req, call->path, flags, (int)call->mode, NULL);

    uv_fs_req_cleanup(&req);
    if (r < 0)
        return r;
    opened.fd = r;
    r = co__filecall_stat(&opened);
    if (r == 0 && info.type == CO_FILE_FIFO)
        r = -ESPIPE;
    if (r == 0)
        return opened.fd;
    (void)co__filecall_close(&opened);
    return r;
}

/* Fault points: how much of `len` bytes a system call moves; 0: it is interrupted. */
static size_t fake_short(size_t len)
{
    if (CO__CHAOS(CO__CHAOS_INTR))
        return 0;
    return CO__CHAOS(CO__CHAOS_SHORT) ? (len + 1) / 2 : len;
}

/* What follows the first bytes of a buffer. It may be NULL if it has none. */
static char *after(const void *buf, size_t done)
{
    return buf ? (char *)(uintptr_t)buf + done : NULL;
}

/* One system call. Returns: bytes moved; -EINTR; another negative errno. */
static int move(const struct co__filecall *call, size_t done, bool writes)
{
    size_t len = fake_short(call->len - done);
    uv_buf_t buf = uv_buf_init(after(call->buf, done), (unsigned)len);
    int64_t offset = call->offset + (int64_t)done;
    uv_fs_t req;
    int n;

    if (len == 0 && done < call->len)
        return -EINTR;
    if (writes)
        n = uv_fs_write(NULL, &req, call->fd, &buf, 1, offset, NULL);
    else
        n = uv_fs_read(NULL, &req, call->fd, &buf, 1, offset, NULL);
    uv_fs_req_cleanup(&req);
    return n;
}

int co__filecall_read(void *arg)
{
    const struct co__filecall *call = arg;
    size_t done = 0;
    int n;

    do {
        n = move(call, done, false);
        if (n > 0)
            done += (size_t)n;
    } while (n == -EINTR || (n > 0 && done < call->len));
    return n < 0 ? n : (int)done;
}

int co__filecall_write(void *arg)
{
    const struct co__filecall *call = arg;
    size_t done = 0;
    int n;

    do {
        n = move(call, done, true);
        if (n > 0)
            done += (size_t)n;
        else if (n == 0 && call->len > 0)
            n = -EIO; /* and not again and again */
    } while (n == -EINTR || (n > 0 && done < call->len));
    return n < 0 ? n : 0;
}

int co__filecall_sync(void *arg)
{
    const struct co__filecall *call = arg;
    uv_fs_t req;
    int r = uv_fs_fsync(NULL, &req, call->fd, NULL);

    uv_fs_req_cleanup(&req);
    return r;
}

static int truncate_it(void *arg)
{
    const struct co__filecall *call = arg;
    uv_fs_t req;
    int r = uv_fs_ftruncate(NULL, &req, call->fd, call->offset, NULL);

    uv_fs_req_cleanup(&req);
    return r;
}

int co__filecall_remove(void *arg)
{
    const struct co__filecall *call = arg;
    uv_fs_t req;
    int r = uv_fs_unlink(NULL, &req, call->path, NULL);

    uv_fs_req_cleanup(&req);
    return r;
}

int co__filecall_rename(void *arg)
{
    const struct co__filecall *call = arg;
    uv_fs_t req;
    int r = uv_fs_rename(NULL, &req, call->path, call->to, NULL);

    uv_fs_req_cleanup(&req);
    return r;
}

/* ---- in coroutines ---- */

int co__filecall_anyway(int (*fn)(void *arg), void *arg)
{
    int result;

    return co__offload_anyway(fn, arg, &result) < 0 ? fn(arg) : result;
}

int co_file_open(const char *path, int flags, unsigned mode)
{
    struct co__filecall call = {.path = path, .flags = flags, .mode = mode};

    return path ? co__filecall_offload(co__filecall_open, &call) : -EINVAL;
}

int co_file_close(int fd)
{
    struct co__filecall call = {.fd = fd};

    if (fd < 0 || co__slot_knows(fd)) /* it is another call's to close */
        return -EBADF;
    return co__filecall_anyway(co__filecall_close, &call);
}

void co_file_guard(const int *fd)
{
    if (*fd >= 0)
        (void)co_file_close(*fd);
}

static size_t piece_of(size_t len)
{
    return len < CO__FILECALL_PIECE ? len : CO__FILECALL_PIECE;
}

static bool in_range(size_t len, int64_t offset)
{
    return offset >= 0 && len <= (uint64_t)(INT64_MAX - offset);
}

/*
 * Reads what is in the page cache, on the worker: nobody waits for a disk there, and the trip to
 * the pool costs many times as much (docs/decisions/0030). Whatever ends it before len bytes are
 * read is left to the pool to tell: the end (some kernels take the end of what is cached for it),
 * an error, a file system that cannot be asked so. Direct reads would wait all the same.
 * Returns: how many.
 */
static size_t read_cached(int fd, void *buf, size_t len, int64_t offset)
{
    int flags = fcntl(fd, F_GETFL);
    size_t done = 0;
    ssize_t n = 1;

    if (flags < 0 || (flags & O_DIRECT))
        return 0;
    while (done < len && n > 0 && !CO__CHAOS(CO__CHAOS_RETRY)) {
        struct iovec rest = {(char *)buf + done, len - done};

        n = preadv2(fd, &rest, 1, offset + (int64_t)done, RWF_NOWAIT);
        done += n > 0 ? (size_t)n : 0;
    }
    return done;
}

ssize_t co_file_read(int fd, void *buf, size_t len, int64_t offset)
{
    struct co__filecall call = {.fd = fd};
    size_t done = 0;
    int n = co_check();

    if (n < 0)
        return n;
    if (!in_range(len, offset))
        return -EINVAL;
    if (len > 0 && len <= CACHED)
        done = read_cached(fd, buf, len, offset);
    if (len > 0 && done == len)
        return (ssize_t)done;
    do {
        call.buf = after(buf, done);
        call.len = piece_of(len - done);
        call.offset = offset + (int64_t)done;
        n = co__filecall_offload(co__filecall_read, &call);
        if (n < 0)
            return n;
        done += (size_t)n;
    } while ((size_t)n == call.len && done < len);
    return (ssize_t)done;
}

ssize_t co_file_write(int fd, const void *buf, size_t len, int64_t offset)
{
    struct co__filecall call = {.fd = fd};
    size_t done = 0;
    int r;

    if (!in_range(len, offset))
        return -EINVAL;
    do {
        call.buf = after(buf, done);
        call.len = piece_of(len - done);
        call.offset = offset + (int64_t)done;
        r = co__filecall_offload(co__filecall_write, &call);
        if (r < 0)
            return r;
        done += call.len;
    } while (done < len);
    return (ssize_t)done;
}

int co_file_sync(int fd)
{
    struct co__filecall call = {.fd = fd};

    return co__filecall_offload(co__filecall_sync, &call);
}

int co_file_truncate(int fd, int64_t size)
{
    struct co__filecall call = {.fd = fd, .offset = size};

    return co__filecall_offload(truncate_it, &call);
}

int co_file_stat(const char *path, struct co_file_info *ret_info)
{
    struct co__filecall call = {.path = path, .ret_info = ret_info};

    return path ? co__filecall_offload(co__filecall_stat, &call) : -EINVAL;
}

int co_file_lstat(const char *path, struct co_file_info *ret_info)
{
    struct co__filecall call = {.path = path, .flags = O_NOFOLLOW, .ret_info = ret_info};

    return path ? co__filecall_offload(co__filecall_stat, &call) : -EINVAL;
}

int co_file_fstat(int fd, struct co_file_info *ret_info)
{
    struct co__filecall call = {.fd = fd, .ret_info = ret_info};

    return co__filecall_offload(co__filecall_stat, &call);
}

int co_file_remove(const char *path)
{
    struct co__filecall call = {.path = path};

    return path ? co__filecall_offload(co__filecall_remove, &call) : -EINVAL;
}

int co_file_rename(const char *from, const char *to)
{
    struct co__filecall call = {.path = from, .to = to};

    return from && to ? co__filecall_offload(co__filecall_rename, &call) : -EINVAL;
}
