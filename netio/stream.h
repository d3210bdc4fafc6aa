/* SPDX-License-Identifier: MIT */
/* stream.h - what the two halves of a stream share. */
#ifndef CO_NETIO_STREAM_H
#define CO_NETIO_STREAM_H

#include <co/stream.h>

/* Takes a direction of a stream. Returns: 0; -EBUSY; -EBADF if it is closed. */
int co__stream_enter(const struct co_stream *stream, uint8_t *direction);
void co__stream_leave(uint8_t *direction);

/*
 * Makes sure that there is a buffer, with room behind its end: by allocating, by moving what it
 * holds to its front, by doubling. Returns: 0; -ENOMEM, and nothing was changed.
 */
int co__stream_make_room(const struct co_stream *stream, struct co_stream_buffer *buffer);

/* Frees the memory of a buffer that is empty. */
void co__stream_trim(struct co_stream_buffer *buffer);

#endif
