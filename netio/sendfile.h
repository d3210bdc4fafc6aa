/* SPDX-License-Identifier: MIT */
/* sendfile.h - sending a file by reading it, where the kernel cannot do it by itself. */
#ifndef CO_NETIO_SENDFILE_H
#define CO_NETIO_SENDFILE_H

#include <co/base.h>

/* Sends all of the bytes. Returns: len, or a negative errno. Suspends: yes. */
typedef ssize_t co__send_fn(void *to, const void *buf, size_t len);

/*
 * Sends `len` bytes of a file from `offset` on, piece by piece; *ret_done: so many have been sent.
 * Returns: bytes sent, fewer than len if the file ended before; -ENOMEM; a negative errno of
 *   co_file_read or of send. Suspends: yes. Threads: coroutines.
 */
ssize_t co__send_copies(co__send_fn *send, void *to, int file, int64_t offset, size_t len,
                        size_t *ret_done);

#endif
