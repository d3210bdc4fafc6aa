/* SPDX-License-Identifier: MIT */
/*
 * stream_read.c - reading from a stream.
 *
 * What a call returned a view of is let go of by the next call. Nothing is held while a stream
 * that is empty waits: a plain one frees its buffer after the socket has said that there is
 * nothing, and makes another when there is; a transport is asked to wait.
 */
#include "stream.h"

#include "slot.h"
#include <co/private/net.h>
#include <co/task.h>
#include <string.h>

enum { AROUND = 4096, PEEK_MOST = 1 << 30 };

static int bring(struct co__room *room)
{
    struct co_stream *stream = room->arg;
    struct co_stream_buffer *in = &stream->in;
    int r = co__stream_make_room(stream, in);

    if (r < 0)
        return r;
    room->buf = in->mem + in->end;
    room->cap = in->cap - in->end;
    return 0;
}

static void let_go(struct co__room *room)
{
    struct co_stream *stream = room->arg;

    co__stream_trim(&stream->in);
}

/* Reads some into memory of the caller's. */
static ssize_t receive(const struct co_stream *stream, void *buf, size_t cap)
{
    if (stream->transport)
        return stream->transport->recv(stream->conn, buf, cap);
    return co_recv(stream->fd, buf, cap);
}

static ssize_t fill_from_transport(struct co_stream *stream)
{
    struct co_stream_buffer *in = &stream->in;
    int r = 0;

    if (in->start == in->end && stream->transport->wait) {
        co__stream_trim(in);
        r = stream->transport->wait(stream->conn);
    }
    if (r == 0)
        r = co__stream_make_room(stream, in);
    return r < 0 ? r : stream->transport->recv(stream->conn, in->mem + in->end, in->cap - in->end);
}

static ssize_t fill_from_socket(struct co_stream *stream)
{
    struct co__room room = {.bring = bring, .let_go = let_go, .arg = stream};

    return co__recv_lean(stream->fd, &room);
}

/* Reads some into the buffer. Returns: how many bytes, 0 at the end, or a negative errno. */
static ssize_t fill(struct co_stream *stream)
{
    ssize_t n = stream->transport ? fill_from_transport(stream) : fill_from_socket(stream);

    if (n > 0)
        stream->in.end += (size_t)n;
    else
        co__stream_trim(&stream->in);
    return n;
}

/* Moves what is buffered, at most cap bytes. */
static size_t take(struct co_stream *stream, void *buf, size_t cap)
{
    size_t n = co_stream_buffered(stream);

    if (n > cap)
        n = cap;
    if (n > 0)
        memcpy(buf, stream->in.mem + stream->in.start, n);
    stream->in.start += n;
    co__stream_trim(&stream->in);
    return n;
}

/* Takes the direction, after what every call that may suspend begins with. */
static int begin(struct co_stream *stream)
{
    int r = co_check();

    return r < 0 ? r : co__stream_enter(stream, &stream->reading);
}

static ssize_t read_some(struct co_stream *stream, void *buf, size_t cap)
{
    if (co_stream_buffered(stream) == 0) {
        ssize_t n;

        co__stream_trim(&stream->in);
        if (cap >= AROUND || cap >= stream->size)
            return receive(stream, buf, cap);
        n = fill(stream);
        if (n <= 0)
            return n;
    }
    return (ssize_t)take(stream, buf, cap);
}

ssize_t co_stream_read(struct co_stream *stream, void *buf, size_t cap)
{
    ssize_t n = begin(stream);

    if (n < 0)
        return n;
    n = cap > 0 ? read_some(stream, buf, cap) : 0;
    co__stream_leave(&stream->reading);
    return n;
}

ssize_t co_stream_readn(struct co_stream *stream, void *buf, size_t len)
{
    size_t done = 0;
    ssize_t n = begin(stream);

    if (n < 0)
        return n;
    while (done < len) {
        n = read_some(stream, (char *)buf + done, len - done);
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    co__stream_leave(&stream->reading);
    return n < 0 ? n : (ssize_t)done;
}

ssize_t co_stream_peek(struct co_stream *stream, size_t min, const void **ret_view)
{
    ssize_t n = begin(stream);

    if (n < 0)
        return n;
    n = min > PEEK_MOST ? -EMSGSIZE : 1;
    while (n > 0 && co_stream_buffered(stream) < min)
        n = fill(stream);
    if (n >= 0) {
        n = (ssize_t)co_stream_buffered(stream);
        *ret_view = n > 0 ? stream->in.mem + stream->in.start : NULL;
    }
    co__stream_leave(&stream->reading);
    return n;
}

int co_stream_skip(struct co_stream *stream, size_t n)
{
    int r = co__stream_enter(stream, &stream->reading);

    if (r < 0)
        return r;
    if (n > co_stream_buffered(stream)) {
        r = -EINVAL;
    } else {
        stream->in.start += n;
        co__stream_trim(&stream->in);
    }
    co__stream_leave(&stream->reading);
    return r;
}

/* How far the delimiter reaches within what is buffered and `max`; 0: it is not there. */
static size_t find(const struct co_stream *stream, struct iovec delim, size_t max, size_t from)
{
    size_t len = co_stream_buffered(stream);
    const char *text, *found;

    if (len > max)
        len = max;
    if (from >= len)
        return 0;
    text = stream->in.mem + stream->in.start;
    found = memmem(text + from, len - from, delim.iov_base, delim.iov_len);
    return found ? (size_t)(found - text) + delim.iov_len : 0;
}

/*
 * Buffers until the delimiter is there. Returns: how far it reaches; 0 at the end of the stream;
 * -EMSGSIZE, or another negative errno.
 */
static ssize_t buffer_until(struct co_stream *stream, struct iovec delim, size_t max)
{
    size_t from = 0;

    for (;;) {
        size_t reach = find(stream, delim, max, from);
        size_t len = co_stream_buffered(stream);
        ssize_t n;

        if (reach > 0)
            return (ssize_t)reach;
        if (len >= max)
            return -EMSGSIZE;
        /* What was looked through need not be again, but for a delimiter that has begun. */
        from = len >= delim.iov_len ? len - delim.iov_len + 1 : 0;
        n = fill(stream);
        if (n <= 0)
            return n;
    }
}

/* Takes n bytes and shows them; the memory stays until the next call. */
static void *show(struct co_stream *stream, size_t n)
{
    void *view = stream->in.mem + stream->in.start;

    stream->in.start += n;
    return view;
}

ssize_t co_stream_read_until(struct co_stream *stream, const void *delim, size_t delim_len,
                             size_t max, const void **ret_view)
{
    struct iovec wanted = {.iov_base = (void *)(uintptr_t)delim, .iov_len = delim_len};
    ssize_t n = begin(stream);

    if (n < 0)
        return n;
    n = delim_len == 0 ? -EINVAL : buffer_until(stream, wanted, max);
    if (n > 0)
        *ret_view = show(stream, (size_t)n);
    else if (n == 0 && co_stream_buffered(stream) > 0)
        n = -ECONNRESET;
    co__stream_leave(&stream->reading);
    return n;
}

/* Cuts the end of a line of n bytes off. */
static void end_string(char *line, size_t n)
{
    if (line[n - 1] == '\n') {
        n--;
        if (n > 0 && line[n - 1] == '\r')
            n--;
    }
    line[n] = '\0';
}

ssize_t co_stream_read_line(struct co_stream *stream, size_t max, char **ret_line)
{
    struct iovec newline = {.iov_base = (char[]){'\n'}, .iov_len = 1};
    ssize_t n = begin(stream);

    if (n < 0)
        return n;
    n = buffer_until(stream, newline, max);
    if (n == 0)
        n = (ssize_t)co_stream_buffered(stream); /* the last one has no end */
    if (n > 0) {
        *ret_line = show(stream, (size_t)n);
        end_string(*ret_line, (size_t)n);
    }
    co__stream_leave(&stream->reading);
    return n;
}

/* ---- idle streams ---- */

struct start {
    co_when_fn *fn;
    void *arg;
};

static void start_now(void *arg)
{
    struct start start = *(struct start *)arg;

    start.fn(start.arg, 0);
}

/* As co_go_when, for a stream that has bytes already. */
static int start_with_bytes(int fd, struct start start)
{
    int r;
    struct co__slot *slot;

    if (!co_self())
        return -EPERM;
    slot = co__slot_enter(fd, 0, &r); /* under TLS the writer may be reading */
    if (!slot)
        return r;
    co__slot_leave(slot, 0);
    return co_go_copy(start_now, &start, sizeof start);
}

/* Whether reading would give bytes that are here already. */
static bool has_bytes(const struct co_stream *stream)
{
    const struct co_transport *transport = stream->transport;

    return co_stream_buffered(stream) > 0 ||
           (transport && transport->pending && transport->pending(stream->conn));
}

int co_stream_go_when(struct co_stream *stream, co_when_fn *fn, void *arg)
{
    int r = co__stream_enter(stream, &stream->reading);
    bool now;

    if (r < 0)
        return r;
    co__stream_trim(&stream->in);
    now = has_bytes(stream);
    /* Given back first: who is started may read before this returns. */
    co__stream_leave(&stream->reading);
    return now ? start_with_bytes(stream->fd, (struct start){fn, arg})
               : co_go_when(stream->fd, fn, arg);
}
