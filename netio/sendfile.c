/* SPDX-License-Identifier: MIT */
/*
 * sendfile.c - file to socket without copying, by sendfile(2).
 *
 * sendfile(2) on a non-blocking socket still waits for the disk, and the worker with it. So before
 * each piece the page cache is asked for its first and last byte by preadv2(2) with RWF_NOWAIT;
 * if one is missing, the piece is read on the offload pool, which leaves it in the cache
 * (docs/decisions/0028). On a blocking socket it would wait for the peer as well, and nothing could
 * end that; so what was adopted as it was gets copies by send(2), which can be told not to.
 */
#include "sendfile.h"

#include "counts.h"
#include "slot.h"
#include <co/file.h>
#include <co/net.h>
#include <co/offload.h>
#include <co/private/chaos.h>
#include <co/private/run.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    PIECE = 256 * 1024, /* some 50 us of a worker's time */
    SCRATCH = 16 * 1024,
    COPY = 64 * 1024,
};

struct piece {
    int file;
    int64_t offset;
    size_t len;
};

/* Whether a byte can be had without the disk; so it is taken to be if the kernel cannot tell. */
static bool is_cached(int file, int64_t offset)
{
    char byte;
    struct iovec one = {.iov_base = &byte, .iov_len = 1};
    int r = preadv2(file, &one, 1, offset, RWF_NOWAIT) < 0 ? -errno : 0;

    return r != -EAGAIN;
}

/* On a thread of the pool, where it may block. The bytes are not wanted, only in memory. */
static int load(void *arg)
{
    const struct piece *piece = arg;
    char scratch[SCRATCH];
    size_t done = 0;

    while (done < piece->len) {
        size_t len = piece->len - done < sizeof scratch ? piece->len - done : sizeof scratch;
        ssize_t n = pread(piece->file, scratch, len, piece->offset + (int64_t)done);

        if (n <= 0)
            break; /* sendfile will meet it again, and say it */
        done += (size_t)n;
    }
    return 0;
}

static int see_to_memory(struct piece *piece)
{
    if (is_cached(piece->file, piece->offset) &&
        is_cached(piece->file, piece->offset + (int64_t)piece->len - 1))
        return 0;
    return co_offload(load, piece, NULL);
}

/*
 * One system call's worth. Returns: bytes sent; 0 if there may be room now; -ENODATA at the end of
 * the file; another negative errno.
 */
static ssize_t send_some(struct co__slot *slot, const struct piece *piece)
{
    off_t offset = piece->offset;
    size_t len = piece->len;
    ssize_t n;
    int r = co__slot_about_to_write(slot);

    if (r <= 0)
        return r;
    if (CO__CHAOS(CO__CHAOS_SHORT))
        len = (len + 1) / 2;
    co__count(co__net_counts.sends);
    n = sendfile(slot->fd, piece->file, &offset, len);
    co__spend(n);
    if (n > 0)
        return n;
    r = n < 0 ? -errno : -ENODATA;
    if (r == -EINTR)
        return 0;
    return r == -EAGAIN ? co__slot_wait_for_room(slot) : r;
}

/* Returns: bytes sent, fewer than asked for if the file ended; or a negative errno. */
static ssize_t send_all(struct co__slot *slot, struct piece *piece, size_t len, size_t *ret_done)
{
    size_t loaded = 0; /* up to here of the whole, its pieces have been seen to */

    while (*ret_done < len) {
        size_t left = len - *ret_done;
        ssize_t n = 0;

        if (*ret_done >= loaded) {
            piece->len = left < PIECE ? left : PIECE;
            loaded = *ret_done + piece->len;
            n = see_to_memory(piece);
        }
        piece->len = loaded - *ret_done;
        if (n == 0)
            n = send_some(slot, piece);
        if (n > 0) {
            *ret_done += (size_t)n;
            piece->offset += n;
            n = *ret_done < len ? co_check() : 0;
        }
        if (n == -ENODATA)
            break;
        if (n < 0)
            return n;
    }
    return (ssize_t)*ret_done;
}

ssize_t co__send_copies(co__send_fn *send, void *to, int file, int64_t offset, size_t len,
                        size_t *ret_done)
{
    char *buf = malloc(COPY);
    ssize_t n = buf ? 1 : -ENOMEM;

    *ret_done = 0;
    while (*ret_done < len && n > 0) {
        size_t left = len - *ret_done;

        n = co_file_read(file, buf, left < COPY ? left : COPY, offset + (int64_t)*ret_done);
        if (n > 0)
            n = send(to, buf, (size_t)n);
        if (n > 0)
            *ret_done += (size_t)n;
    }
    free(buf);
    return n < 0 ? n : (ssize_t)*ret_done;
}

static ssize_t send_to_slot(void *slot, const void *buf, size_t len)
{
    return co__slot_send(slot, buf, len);
}

static bool would_block(const struct co__slot *slot)
{
    return slot->adopted && !(fcntl(slot->fd, F_GETFL) & O_NONBLOCK);
}

ssize_t co_sendfile(int fd, int file, int64_t offset, size_t len)
{
    struct piece piece = {.file = file, .offset = offset};
    struct co__slot *slot;
    size_t done = 0;
    ssize_t n;
    int r;

    slot = co__slot_begin(fd, CO__SLOT_WRITING, &r);
    if (!slot)
        return r;
    if (offset < 0 || len > SSIZE_MAX)
        n = -EINVAL;
    else if (slot->kind == CO__SLOT_OTHER)
        n = -ENOTSOCK; /* as co_send */
    else if (slot->broken)
        n = -EPIPE;
    else if (would_block(slot))
        n = co__send_copies(send_to_slot, slot, file, offset, len, &done);
    else
        n = send_all(slot, &piece, len, &done);
    if (n < 0 && done > 0)
        slot->broken = 1;
    if (n > 0)
        __atomic_store_n(&slot->heard, 0, __ATOMIC_RELAXED /* see slot.h */);
    co__slot_leave(slot, CO__SLOT_WRITING);
    return n;
}
