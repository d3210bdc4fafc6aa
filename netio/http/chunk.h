/* SPDX-License-Identifier: MIT */
/* The framing of chunked bodies (RFC 9112, section 7.1), fed with whatever has arrived. */
#ifndef CO__CHUNK_H
#define CO__CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CO__CHUNK_DIGITS  16   /* of one chunk's size, leading zeros included */
#define CO__CHUNK_EXTRA   4096 /* octets of chunk extensions in one body */
#define CO__TRAILER_MAX   8192 /* octets of trailers */
#define CO__TRAILER_LINES 32

struct co__chunk {
    uint64_t left; /* of the present chunk's data */
    uint8_t state;
    uint8_t digits;
    uint16_t extra;
    uint16_t trailer;
    uint16_t trailer_lines;
};

/* Begins a body. */
void co__chunk_reset(struct co__chunk *c);

/*
 * Takes octets up to and including one piece of data, of at most `most` octets; trailers are
 * checked and dropped. Bare CR or LF, blanks that the grammar does not have, and sizes over 63 bits
 * are refused.
 * Returns: how many octets were taken, and the piece among them (none if *ret_len is 0, at the end
 *   of what there is or of the body); -EBADMSG.
 */
ssize_t co__chunk_feed(struct co__chunk *c, const char *p, size_t n, size_t most,
                       const char **ret_data, size_t *ret_len);

/* Whether the body is complete. */
bool co__chunk_done(const struct co__chunk *c);

#endif
