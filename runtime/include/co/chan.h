/* SPDX-License-Identifier: MIT */
/*
 * co/chan.h - channels: values of a fixed size, handed from coroutine to coroutine exactly once,
 * and co_select over many.
 *
 * A channel of capacity 0 hands a value over when sender and receiver meet; others keep up to
 * `capacity` values. Closing is the sender's way to say that no more will come: receivers get what
 * is left, then 0.
 */
#ifndef CO_CHAN_H
#define CO_CHAN_H

#include <co/waitlist.h>

#ifdef __cplusplus
extern "C" {
#endif

struct co_chan;

/*
 * Makes a channel for values of `size` bytes, which may be 0 (signals).
 * Returns: the channel; NULL if out of memory. Suspends: never. Threads: any. Owns: the caller
 *   frees it.
 */
CO_API CO_NODISCARD struct co_chan *co_chan_new(size_t size, size_t capacity);

/*
 * Frees a channel that nobody uses any more. Values left in it are dropped: whoever sends pointers
 * receives until it gets 0 or -EAGAIN, first. NULL does nothing.
 * Suspends: never. Threads: any.
 */
CO_API void co_chan_free(struct co_chan *chan);

/*
 * Sends a copy of the value.
 * Returns: 0; -EPIPE if the channel is closed; -ETIMEDOUT, -ECANCELED: it was not sent; -EPERM.
 *   Suspends: yes.
 * Threads: coroutines.
 */
CO_API CO_NODISCARD int co_chan_send(struct co_chan *chan, const void *value);

/*
 * Receives a value.
 * Returns: 1 and the value; 0 if the channel is closed and empty; -ETIMEDOUT, -ECANCELED: nothing
 *   was taken; -EPERM.
 * Suspends: yes. Threads: coroutines.
 */
CO_API CO_NODISCARD int co_chan_recv(struct co_chan *chan, void *ret_value);

/*
 * Sends if that is possible at once.
 * Returns: 0; -EAGAIN; -EPIPE. Suspends: never. Threads: any.
 */
CO_API CO_NODISCARD int co_chan_try_send(struct co_chan *chan, const void *value);

/*
 * Receives if that is possible at once.
 * Returns: 1; 0 if closed and empty; -EAGAIN. Suspends: never. Threads: any.
 */
CO_API CO_NODISCARD int co_chan_try_recv(struct co_chan *chan, void *ret_value);

/*
 * Closes it: waiting senders get -EPIPE, waiting receivers 0.
 * Returns: 0; -EPIPE if it was closed already. Suspends: never. Threads: any.
 */
CO_API int co_chan_close(struct co_chan *chan);

/* Returns: how many values are in it now. Suspends: never. Threads: any. */
CO_API size_t co_chan_len(struct co_chan *chan);

/* What a case of co_select does. */
enum co_case_kind { CO_CASE_RECV, CO_CASE_SEND };

/* One case; value is where to put what is received, or what to send. */
struct co_case {
    struct co_chan *chan; /* NULL: a case that never happens */
    enum co_case_kind kind;
    void *value;
    int result; /* of the case that happened: as co_chan_recv or co_chan_send */
    int index;  /* the library's, as is what follows */
    int turn;
    struct co_waiter waiter;
};

/* co_select's flag: do not wait. */
enum { CO_SELECT_TRY = 1 };

/*
 * Waits until one of `count` cases can happen, and does that one; among several that can at once,
 * one by chance, all with the same. A channel may be in several cases. The cases stay where they
 * are until it returns.
 * Returns: its index, and cases[index].result; -EAGAIN with CO_SELECT_TRY; -ETIMEDOUT, -ECANCELED:
 *   nothing happened; -ENOMEM for very many; -EINVAL for a negative count; -EPERM. Suspends: yes;
 *   with CO_SELECT_TRY never.
 * Threads: coroutines; with CO_SELECT_TRY any.
 */
CO_API CO_NODISCARD int co_select(struct co_case *cases, int count, unsigned flags);

#ifdef __cplusplus
}
#endif
#endif
