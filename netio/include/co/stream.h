/* SPDX-License-Identifier: MIT */
/*
 * co/stream.h - a connection with buffers: lines and records are read whole, small writes leave
 * together. It is plain, or rides on a transport, as on TLS (co/tls.h).
 *
 * One coroutine may read and another may write at the same time, on any workers; a second one in
 * the same direction gets -EBUSY before anything has happened. Buffers are there only while they
 * hold bytes: a stream on which nothing happens is this struct. Deadline, cancel and hang-up end
 * every call that suspends, as in co/net.h; those errors and -ENOMEM for a buffer are not named
 * again below. A read that such an error ends has lost nothing, co_stream_readn aside: what has
 * come stays in the buffer, and the call can be made again.
 */
#ifndef CO_STREAM_H
#define CO_STREAM_H

#include <co/transport.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The bytes from `start` to `end` of `mem`; NULL while there are none. */
struct co_stream_buffer {
    char *mem;
    size_t cap, start, end;
};

/* A stream; all fields but the first are the library's. */
struct co_stream {
    int fd;          /* for co_hangup, addresses and options; -1 once it is closed */
    uint8_t reading; /* a call of this direction is under way; by atomic exchange */
    uint8_t writing;
    uint8_t broken; /* a file has ended midway by an error: the writer's alone */
    size_t size;    /* of a buffer, at first */
    const struct co_transport *transport; /* NULL: plain */
    void *conn;
    struct co_stream_buffer in;
    struct co_stream_buffer out;
};

/* Buffers begin with so many bytes; larger reads and writes go around them. */
enum { CO_STREAM_SIZE = 16384 };

/*
 * Opens a plain stream on a connected socket. Suspends: never. Threads: any. Owns: fd is the
 * stream's.
 */
CO_API void co_stream_open(struct co_stream *stream, int fd);

/*
 * The same on a transport. Suspends: never. Threads: any. Owns: fd and conn are the stream's;
 * *transport stays where it is.
 */
CO_API void co_stream_open_on(struct co_stream *stream, int fd,
                              const struct co_transport *transport, void *conn);

/*
 * Sets with how many bytes buffers begin, from now on.
 * Returns: 0; -EINVAL for fewer than 64 or more than 2^24. Suspends: never. Threads: one.
 */
CO_API int co_stream_set_size(struct co_stream *stream, size_t size);

/*
 * Ends a stream well: writes what is buffered, says to the peer that no more comes, closes. It is
 * closed whatever the result is.
 * Returns: 0; what co_stream_finish returns. Suspends: yes. Threads: coroutines; nobody else uses
 *   the stream. Owns: the descriptor is gone; the struct may be opened again.
 */
CO_API int co_stream_close(struct co_stream *stream);

/*
 * Ends a stream at once, and forgets what is buffered. One that is closed, or NULL, is left alone.
 * Suspends: never. Threads, Owns: as co_stream_close.
 */
CO_API void co_stream_drop(struct co_stream *stream);

static inline struct co_stream co__stream_opened(int fd)
{
    struct co_stream stream;

    co_stream_open(&stream, fd);
    return stream;
}

/*
 * Declares a plain stream on the descriptor `fd`, dropped at the end of the block unless it was
 * closed: who wants the peer to have everything calls co_stream_close and looks at the result.
 */
#define CO_STREAM(name, fd) \
    struct co_stream name __attribute__((cleanup(co_stream_drop), unused)) = co__stream_opened(fd)

/*
 * Reads what is there, at most `cap` bytes, waiting until something is.
 * Returns: bytes read; 0 at the end of the stream (or if cap is 0); else as co_recv. Suspends: yes.
 * Threads: coroutines.
 */
CO_API CO_NODISCARD ssize_t co_stream_read(struct co_stream *stream, void *buf, size_t cap);

/*
 * Reads exactly `len` bytes.
 * Returns: len; fewer if the stream ended before; a negative errno, and what had been read is lost.
 * Suspends, Threads: as co_stream_read.
 */
CO_API CO_NODISCARD ssize_t co_stream_readn(struct co_stream *stream, void *buf, size_t len);

/*
 * Reads until `min` bytes are in the buffer, and shows all that are; they stay there. The view
 * holds until the next call that reads, or co_stream_skip.
 * Returns: how many, at least min; fewer if the stream ended before; -EMSGSIZE if min is above
 *   2^30. Suspends, Threads: as co_stream_read.
 */
CO_API CO_NODISCARD ssize_t co_stream_peek(struct co_stream *stream, size_t min,
                                           const void **ret_view);

/*
 * Takes n bytes out of the buffer that co_stream_peek has shown.
 * Returns: 0; -EINVAL if there are not so many, and nothing was done; -EBUSY. Suspends: never.
 * Threads: coroutines.
 */
CO_API int co_stream_skip(struct co_stream *stream, size_t n);

/*
 * Reads up to and with the first appearance of a delimiter of delim_len bytes. The view holds until
 * the next call that reads.
 * Returns: how many bytes, those of the delimiter included; 0 if the stream has ended, and there
 *   was nothing; -EMSGSIZE if it is not within `max` bytes, -ECONNRESET if the stream has ended
 *   before it: then all stays to be read otherwise; -EINVAL if delim_len is 0. Suspends, Threads:
 *   as co_stream_read.
 */
CO_API CO_NODISCARD ssize_t co_stream_read_until(struct co_stream *stream, const void *delim,
                                                 size_t delim_len, size_t max,
                                                 const void **ret_view);

/*
 * Reads a line that ends in \n or \r\n, or with the stream, of at most `max` bytes with its end,
 * and makes a string of it, without the end. It may be written to, and holds until the next call
 * that reads. (A NUL within it is the peer's, and ends the string early.)
 * Returns: bytes read, those of the line's end included, so at least 1; 0 if the stream has ended;
 *   -EMSGSIZE if it is longer, one byte being counted for an end that is missing. Suspends,
 *   Threads: as co_stream_read.
 */
CO_API CO_NODISCARD ssize_t co_stream_read_line(struct co_stream *stream, size_t max,
                                                char **ret_line);

/*
 * Starts a coroutine when there is something to read: at once if it is in the buffer, else as
 * co_go_when, holding neither stack nor buffer until then. fn uses the stream; nobody reads
 * meanwhile.
 * Returns: 0; the errors of co_go_when. Suspends: never. Threads: coroutines. Owns: as co_go_when.
 */
CO_API CO_NODISCARD int co_stream_go_when(struct co_stream *stream, co_when_fn *fn, void *arg);

/*
 * Writes, into the buffer as long as there is room, else with what is buffered to the peer. After a
 * failure midway the stream is broken for writing: later writes give -EPIPE.
 * Returns: len; -EPIPE, -ECONNRESET and others of co_send. Suspends: yes. Threads: coroutines.
 */
CO_API CO_NODISCARD ssize_t co_stream_write(struct co_stream *stream, const void *buf, size_t len);

/*
 * For up to 63 pieces. Returns: the sum of their lengths; -EINVAL for more. Suspends, Threads: so.
 */
CO_API CO_NODISCARD ssize_t co_stream_writev(struct co_stream *stream, const struct iovec *iov,
                                             int count);

/* For a text of printf(3). Returns: its length; -EINVAL if that fails. Suspends, Threads: so. */
CO_API CO_NODISCARD __attribute__((format(printf, 2, 3))) ssize_t
co_stream_printf(struct co_stream *stream, const char *format, ...);

/*
 * Writes what is buffered, then `len` bytes of a file from `offset` on; a plain stream as
 * co_sendfile, others by reading it on the offload pool.
 * Returns: bytes of the file that were written, fewer than len if it ended before; else as
 *   co_sendfile. Suspends: yes. Threads: coroutines.
 */
CO_API CO_NODISCARD ssize_t co_stream_sendfile(struct co_stream *stream, int file, int64_t offset,
                                               size_t len);

/*
 * Sends what is buffered. If it fails before a byte has left, the buffer stays as it is.
 * Returns: 0; else as co_stream_write. Suspends: yes. Threads: coroutines.
 */
CO_API CO_NODISCARD int co_stream_flush(struct co_stream *stream);

/*
 * Flushes, and tells the peer that we send no more; reading goes on.
 * Returns: 0; else as co_stream_write. Suspends: yes. Threads: coroutines.
 */
CO_API CO_NODISCARD int co_stream_finish(struct co_stream *stream);

/* How many bytes can be read without asking the peer's. Suspends: never. Threads: the reader. */
static inline size_t co_stream_buffered(const struct co_stream *stream)
{
    return stream->in.end - stream->in.start;
}

#ifdef __cplusplus
}
#endif
#endif
