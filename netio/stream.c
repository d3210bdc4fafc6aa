/* SPDX-License-Identifier: MIT */
/*
 * stream.c - the life of a stream, and writing.
 *
 * A direction is taken by exchanging its byte in the struct, at the entry of every call: so a
 * second caller is refused before it can touch the buffer, also where no socket is asked.
 *
 * A write that does not fit into the buffer is sent together with what is there, in one call and
 * without being copied. If that fails before a byte has left, the buffer is as it was and the write
 * has not been; if it fails later the socket, or the transport, knows that it is broken.
 */
#include "stream.h"

#include "sendfile.h"
#include <co/park.h>
#include <co/private/poll.h>
#include <co/private/run.h>
#include <co/task.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PIECES_MAX = 64, SIZE_LEAST = 64, SIZE_MOST = 1 << 24, LINE = 64 };

/*
 * So much larger than its size is a buffer: messages are often as long as a buffer, and one that
 * does not quite fill it is known to be all that has come, without asking once more.
 */
enum { SLACK = 1, USUAL = CO_STREAM_SIZE + SLACK };

/* ---- buffers ---- */

/*
 * Buffers are taken when there are bytes and given back when there are none, so with busy streams
 * for each message. A worker keeps the one of the usual size that was given back last: the next
 * stream gets it, still in the cache, and the first one aligned so that the kernel copies to it at
 * its best (docs/decisions/0036). Threads: each worker its own; no call in between suspends.
 */
static struct spare {
    _Alignas(LINE) char *mem;
    bool made; /* the first one, which is aligned; the others lie between other people's memory,
                  where alignment would leave holes that the next does not fit into */
} spares[CO__WORKERS_MAX];

static struct spare *own_spare(void)
{
#if defined CO_ASAN || defined CO_TSAN
    return NULL; /* a view that is used for too long is to be found */
#else
    int worker = co_worker();

    return worker < 0 ? NULL : &spares[worker];
#endif
}

static void free_spares(void)
{
    for (int i = 0; i < CO__WORKERS_MAX; i++) {
        free(spares[i].mem);
        spares[i] = (struct spare){0};
    }
}

static __attribute__((constructor)) void hook_up(void)
{
    (void)co__on_end(free_spares);
}

static char *first_buffer(size_t cap)
{
    struct spare *spare = cap == USUAL ? own_spare() : NULL;
    char *mem;

    if (spare && spare->mem) {
        mem = spare->mem;
        spare->mem = NULL;
        return mem;
    }
    if (spare && !spare->made) {
        spare->made = true;
        return aligned_alloc(LINE, (cap + LINE) / LINE * LINE);
    }
    return malloc(cap + 1); /* a string's end has room behind the last byte */
}

void co__stream_trim(struct co_stream_buffer *buffer)
{
    struct spare *spare;

    if (buffer->start < buffer->end)
        return;
    spare = buffer->cap == USUAL ? own_spare() : NULL;
    if (spare && !spare->mem)
        spare->mem = buffer->mem;
    else
        free(buffer->mem);
    *buffer = (struct co_stream_buffer){0};
}

int co__stream_make_room(const struct co_stream *stream, struct co_stream_buffer *buffer)
{
    size_t cap = buffer->mem ? 2 * buffer->cap : stream->size + SLACK;
    char *mem;

    if (buffer->start == buffer->end)
        buffer->start = buffer->end = 0;
    if (buffer->mem && buffer->end < buffer->cap)
        return 0;
    if (buffer->mem && buffer->start >= buffer->cap / 2) { /* else it would be moved for crumbs */
        memmove(buffer->mem, buffer->mem + buffer->start, buffer->end - buffer->start);
        buffer->end -= buffer->start;
        buffer->start = 0;
        return 0;
    }
    mem = buffer->mem ? realloc(buffer->mem, cap + 1) : first_buffer(cap);
    if (!mem)
        return -ENOMEM;
    buffer->mem = mem;
    buffer->cap = cap;
    return 0;
}

int co__stream_enter(const struct co_stream *stream, uint8_t *direction)
{
    if (stream->fd < 0)
        return -EBADF;
    /* acquire: pairs with the release of the last one to leave. */
    return __atomic_exchange_n(direction, 1, __ATOMIC_ACQUIRE) ? -EBUSY : 0;
}

void co__stream_leave(uint8_t *direction)
{
    /* release: pairs with the next one's acquire. */
    __atomic_store_n(direction, 0, __ATOMIC_RELEASE);
}

/* ---- life ---- */

void co_stream_open(struct co_stream *stream, int fd)
{
    co_stream_open_on(stream, fd, NULL, NULL);
}

void co_stream_open_on(struct co_stream *stream, int fd, const struct co_transport *transport,
                       void *conn)
{
    *stream =
        (struct co_stream){.fd = fd, .size = CO_STREAM_SIZE, .transport = transport, .conn = conn};
}

int co_stream_set_size(struct co_stream *stream, size_t size)
{
    if (size < SIZE_LEAST || size > SIZE_MOST)
        return -EINVAL;
    stream->size = size;
    return 0;
}

void co_stream_drop(struct co_stream *stream)
{
    if (!stream || stream->fd < 0)
        return;
    stream->in.start = stream->in.end = 0;
    stream->out.start = stream->out.end = 0;
    co__stream_trim(&stream->in);
    co__stream_trim(&stream->out);
    if (stream->transport)
        stream->transport->free(stream->conn);
    stream->transport = NULL;
    (void)co_close(stream->fd);
    stream->fd = -1;
}

int co_stream_close(struct co_stream *stream)
{
    int r = co_stream_finish(stream);

    co_stream_drop(stream);
    return r;
}

/* ---- writing; all with the direction taken ---- */

static ssize_t sendv(const struct co_stream *stream, const struct iovec *iov, int count)
{
    if (stream->transport)
        return stream->transport->sendv(stream->conn, iov, count);
    return co_sendv(stream->fd, iov, count);
}

/* Sends what is buffered, and behind it the pieces. */
static ssize_t send_all(struct co_stream *stream, const struct iovec *iov, int count)
{
    struct co_stream_buffer *out = &stream->out;
    struct iovec pieces[PIECES_MAX];
    int buffered = 0;
    ssize_t n;

    if (out->start < out->end)
        pieces[buffered++] = (struct iovec){out->mem + out->start, out->end - out->start};
    if (count > 0)
        memcpy(pieces + buffered, iov, (size_t)count * sizeof *iov);
    if (buffered + count == 0)
        return 0;
    n = sendv(stream, pieces, buffered + count);
    if (n < 0)
        return n;
    out->start = out->end = 0;
    co__stream_trim(out);
    return n;
}

/* Returns: whether the bytes went into the buffer. */
static bool keep(struct co_stream *stream, const struct iovec *iov, int count, size_t len)
{
    struct co_stream_buffer *out = &stream->out;

    if (len > (out->mem ? out->cap - out->end : stream->size))
        return false;
    if (!out->mem && co__stream_make_room(stream, out) < 0)
        return false; /* sent at once, then */
    for (int i = 0; i < count; i++) {
        if (iov[i].iov_len > 0)
            memcpy(out->mem + out->end, iov[i].iov_base, iov[i].iov_len);
        out->end += iov[i].iov_len;
    }
    return true;
}

static ssize_t put(struct co_stream *stream, const struct iovec *iov, int count)
{
    size_t len = 0;
    ssize_t n;

    for (int i = 0; i < count; i++) {
        if (__builtin_add_overflow(len, iov[i].iov_len, &len) || len > SSIZE_MAX)
            return -EINVAL;
    }
    if (len == 0 || keep(stream, iov, count, len))
        return (ssize_t)len;
    n = send_all(stream, iov, count);
    return n < 0 ? n : (ssize_t)len;
}

/* Takes the direction, after what every call that may suspend begins with. */
static int begin(struct co_stream *stream)
{
    int r = co_check();

    if (r == 0)
        r = co__stream_enter(stream, &stream->writing);
    if (r == 0 && stream->broken) {
        co__stream_leave(&stream->writing);
        r = -EPIPE;
    }
    return r;
}

ssize_t co_stream_writev(struct co_stream *stream, const struct iovec *iov, int count)
{
    ssize_t n = begin(stream);

    if (n < 0)
        return n;
    n = count < 0 || count >= PIECES_MAX ? -EINVAL : put(stream, iov, count);
    co__stream_leave(&stream->writing);
    return n;
}

ssize_t co_stream_write(struct co_stream *stream, const void *buf, size_t len)
{
    struct iovec piece = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};

    return co_stream_writev(stream, &piece, 1);
}

/* What does not fit into the room that is left is made elsewhere. */
static ssize_t print_long(struct co_stream *stream, size_t len, const char *format, va_list args)
{
    struct iovec piece = {.iov_base = malloc(len + 1), .iov_len = len};
    ssize_t n;

    if (!piece.iov_base)
        return -ENOMEM;
    (void)vsnprintf(piece.iov_base, len + 1, format, args);
    n = put(stream, &piece, 1);
    free(piece.iov_base);
    return n;
}

static ssize_t print(struct co_stream *stream, const char *format, va_list args)
{
    struct co_stream_buffer *out = &stream->out;
    va_list again;
    ssize_t n;
    int len;

    if (!out->mem && co__stream_make_room(stream, out) < 0)
        return -ENOMEM;
    va_copy(again, args);
    len = vsnprintf(out->mem + out->end, out->cap - out->end + 1, format, args);
    if (len < 0) {
        n = -EINVAL;
    } else if ((size_t)len <= out->cap - out->end) {
        out->end += (size_t)len;
        n = len;
    } else {
        n = print_long(stream, (size_t)len, format, again);
    }
    va_end(again);
    co__stream_trim(out);
    return n;
}

ssize_t co_stream_printf(struct co_stream *stream, const char *format, ...)
{
    ssize_t n = begin(stream);
    va_list args;

    if (n < 0)
        return n;
    va_start(args, format);
    n = print(stream, format, args);
    va_end(args);
    co__stream_leave(&stream->writing);
    return n;
}

int co_stream_flush(struct co_stream *stream)
{
    ssize_t n = begin(stream);

    if (n < 0)
        return (int)n;
    n = send_all(stream, NULL, 0);
    co__stream_leave(&stream->writing);
    return n < 0 ? (int)n : 0;
}

int co_stream_finish(struct co_stream *stream)
{
    ssize_t n = begin(stream);

    if (n < 0)
        return (int)n;
    n = send_all(stream, NULL, 0);
    if (n >= 0)
        n = stream->transport ? stream->transport->finish(stream->conn)
                              : co_shutdown(stream->fd, SHUT_WR);
    co__stream_leave(&stream->writing);
    return n < 0 ? (int)n : 0;
}

/* ---- files ---- */

static ssize_t send_to_stream(void *stream, const void *buf, size_t len)
{
    /* sendv only reads; iovec has no const. */
    return sendv(stream, &(struct iovec){(void *)(uintptr_t)buf, len}, 1);
}

static ssize_t send_file(struct co_stream *stream, int file, int64_t offset, size_t len)
{
    size_t done;
    ssize_t n;

    if (!stream->transport)
        return co_sendfile(stream->fd, file, offset, len);
    n = co__send_copies(send_to_stream, stream, file, offset, len, &done);
    /* If it ends midway the transport does not know that something is missing; the stream does. */
    stream->broken = n < 0 && done > 0;
    return n;
}

ssize_t co_stream_sendfile(struct co_stream *stream, int file, int64_t offset, size_t len)
{
    ssize_t n = begin(stream);

    if (n < 0)
        return n;
    n = send_all(stream, NULL, 0);
    if (n >= 0)
        n = send_file(stream, file, offset, len);
    co__stream_leave(&stream->writing);
    return n;
}
