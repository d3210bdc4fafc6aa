/* SPDX-License-Identifier: MIT */
/*
 * conn.c - a connection: reading, writing, good-byes. It is what a stream rides on.
 *
 * Every call of OpenSSL has the same shape: take the lock, empty the thread's queue of errors,
 * call, look at what came out, give the lock back; then, without it, wait for the socket or send.
 * What went wrong for good is kept in `failed`, and OpenSSL is not called again.
 *
 * The writer may have to wait for the socket as well: when half a message of the peer's has come (a
 * ticket in two records, say) OpenSSL does not write before it has the rest. One waits at a time,
 * `waiting`, and another until he is back. What somebody waits for another may read: so `news`
 * counts what is read, and who finds that it has moved since he asked in vain asks again before he
 * waits. He looks once more when he is the socket's reader (`is_late`), for from then on nobody can
 * take anything from it; before, what comes and is taken between look and wait would be missed.
 */
#include "tls.h"

#include <co/park.h>
#include <co/private/net.h>
#include <co/scope.h>
#include <co/task.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

enum { RECORD = 16384 };

/* ---- life ---- */

/* Counts messages after the handshake; data set it back. */
/* NOLINTNEXTLINE(readability-function-size): the parameters are OpenSSL's. */
static void on_message(int is_write, int version, int type, const void *buf, size_t len, SSL *ssl,
                       void *arg)
{
    struct co__tls *tls = arg;

    (void)version;
    (void)buf;
    (void)len;
    (void)ssl;
    if (!is_write && type == SSL3_RT_HANDSHAKE && tls->established)
        tls->nothing++;
}

struct co__tls *co__tls_new(int fd, struct co__tls_config *config)
{
    struct co__tls *tls = calloc(1, sizeof *tls);
    BIO *bio;

    if (!tls)
        return NULL;
    tls->fd = fd;
    tls->collecting = true;
    co_mutex_init(&tls->lock);
    co_cond_init(&tls->changed);
    tls->ssl = SSL_new(config->entries[0].ctx);
    bio = tls->ssl ? co__tls_bio(tls) : NULL;
    if (!bio) {
        SSL_free(tls->ssl);
        free(tls);
        return NULL;
    }
    SSL_set_bio(tls->ssl, bio, bio);
    SSL_set_msg_callback(tls->ssl, on_message);
    SSL_set_msg_callback_arg(tls->ssl, tls);
    (void)SSL_set_app_data(tls->ssl, tls);
    tls->config = config;
    return tls;
}

void co__tls_free(struct co__tls *tls)
{
    /* Else OpenSSL takes a connection without good-byes for a reason not to resume its session. */
    if (tls->established && !tls->failed)
        SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(tls->ssl);
    SSL_SESSION_free(tls->offered);
    co__tls_config_drop(tls->config);
    co__tls_client_drop(tls->client);
    co_cond_done(&tls->changed);
    co_mutex_done(&tls->lock);
    free(tls->out.mem);
    free(tls->host);
    free(tls->why);
    free(tls);
}

static void free_conn(void *conn)
{
    co__tls_free(conn);
}

/* ---- calls of OpenSSL; with the lock held, and nothing may suspend ---- */

static int fail(struct co__tls *tls, int err, const char *why)
{
    tls->failed = err;
    if (why && !tls->why)
        tls->why = strdup(why);
    return err;
}

/* What was so when OpenSSL wanted more than had come. */
struct want {
    bool asked;
    unsigned news;
};

static struct want wanted(const struct co__tls *tls)
{
    return (struct want){tls->asked, tls->news};
}

static void begin(struct co__tls *tls)
{
    ERR_clear_error();
    tls->wire = 0;
}

/* What a call that did not succeed means. Returns: -EAGAIN, 0 at the end, another errno. */
static int outcome(struct co__tls *tls, int result)
{
    int error = SSL_get_error(tls->ssl, result);
    struct co_tls_why why = {""};

    if (tls->nothing > CO__TLS_NOTHING_MOST)
        return fail(tls, -EPROTO, "the peer sends messages without an end, and no data");
    if (tls->wire == -ECANCELED)
        return tls->wire; /* it was hung up */
    if (tls->wire < 0)
        return fail(tls, tls->wire, tls->wire == -ENOBUFS ? "the peer does not read" : NULL);
    if (error == SSL_ERROR_WANT_READ)
        return -EAGAIN;
    if (error == SSL_ERROR_ZERO_RETURN) {
        tls->ended = true;
        return 0;
    }
    if (tls->eof)
        return fail(tls, -ECONNRESET,
                    tls->established ? "the peer has gone without a good-bye: bytes may be missing"
                                     : "the peer has gone during the handshake");
    error = co__tls_say_failure(tls, &why);
    return fail(tls, error, why.text);
}

int co__tls_shake(struct co__tls *tls)
{
    CO_LOCK(&tls->lock);
    CO_NOSUSPEND();
    int result;

    begin(tls);
    result = SSL_do_handshake(tls->ssl);
    if (result != 1) {
        result = outcome(tls, result);
        return result == 0 ? fail(tls, -ECONNRESET, "the peer has ended the handshake") : result;
    }
    tls->established = true;
    tls->collecting = false;
    return 0;
}

/* Reads or peeks. Returns: bytes; 0 at the end; -EAGAIN: wait; another negative errno. */
static ssize_t take(struct co__tls *tls, void *buf, size_t cap, bool peek, struct want *ret_want)
{
    CO_LOCK(&tls->lock);
    CO_NOSUSPEND();
    size_t n = 0;
    int result;

    if (tls->failed)
        return tls->failed;
    if (tls->ended)
        return 0;
    co__tls_send_now(tls);
    begin(tls);
    result = peek ? SSL_peek_ex(tls->ssl, buf, cap, &n) : SSL_read_ex(tls->ssl, buf, cap, &n);
    *ret_want = wanted(tls);
    co__tls_send_now(tls); /* what it has answered by itself */
    if (result != 1)
        return outcome(tls, result);
    tls->nothing = 0;
    return (ssize_t)n;
}

/* What a call that was to write has come to. Returns: -EAGAIN: wait; another negative errno. */
static int refusal(struct co__tls *tls, int result)
{
    if (tls->broken) /* by the BIO; what the peer has said before can still be read */
        return tls->wire;
    result = outcome(tls, result);
    if (result == -EAGAIN)
        return result;
    tls->broken = true;
    return result < 0 ? result : -EPIPE;
}

/*
 * Makes a record of bytes, and sends of it what goes at once. Returns: 0; -EAGAIN: nothing was
 * done, wait; another negative errno.
 */
static int put(struct co__tls *tls, const void *data, size_t len, struct want *ret_want)
{
    CO_LOCK(&tls->lock);
    CO_NOSUSPEND();
    size_t n = 0;
    int result;

    if (tls->failed || tls->broken || tls->finished)
        return -EPIPE;
    begin(tls);
    result = SSL_write_ex(tls->ssl, data, len, &n);
    *ret_want = wanted(tls);
    return result == 1 ? 0 : refusal(tls, result);
}

/*
 * Says that no more comes. Returns: 0; -EAGAIN: half a message of the peer's has come, within which
 * OpenSSL does not say it: wait; another negative errno.
 */
static int say_goodbye(struct co__tls *tls, struct want *ret_want)
{
    CO_LOCK(&tls->lock);
    CO_NOSUSPEND();
    int result;

    if (tls->finished && !tls->broken)
        return 0;
    if (tls->failed || tls->broken)
        return -EPIPE;
    begin(tls);
    result = SSL_do_handshake(tls->ssl); /* reads the message on, if there is one */
    *ret_want = wanted(tls);
    if (result != 1)
        return refusal(tls, result);
    tls->finished = true;
    if (SSL_shutdown(tls->ssl) >= 0)
        return 0;
    tls->broken = true; /* reading goes on */
    return tls->wire < 0 ? tls->wire : -EPIPE;
}

/* ---- sending what waits ---- */

void co__tls_flush_now(struct co__tls *tls)
{
    CO_LOCK(&tls->lock);
    CO_NOSUSPEND();

    co__tls_send_now(tls);
}

/* Takes what waits out, for the caller to send. */
static struct co__tls_out take_out(struct co__tls *tls)
{
    CO_LOCK(&tls->lock);
    struct co__tls_out out = tls->out;

    if (out.len == 0)
        return (struct co__tls_out){0};
    tls->out = (struct co__tls_out){0};
    tls->sending = true;
    return out;
}

static void sent(struct co__tls *tls, bool lost)
{
    CO_LOCK(&tls->lock);

    tls->sending = false;
    tls->broken |= lost;
}

int co__tls_flush(struct co__tls *tls)
{
    for (;;) {
        struct co__tls_out out = take_out(tls);
        ssize_t n;

        if (out.len == 0)
            return 0;
        n = co_send(tls->fd, out.mem, out.len);
        free(out.mem);
        sent(tls, n < 0);
        if (n < 0)
            return (int)n;
    }
}

/* ---- waiting ---- */

struct wait {
    struct co__tls *tls;
    struct want want;
};

/* Returns: 0: the caller may wait; 1: he is late, and asks again; a negative errno. */
static int begin_wait(const struct wait *wait)
{
    struct co__tls *tls = wait->tls;
    CO_LOCK(&tls->lock);
    int r = 0;

    while (r == 0 && tls->waiting && tls->news == wait->want.news)
        r = co_cond_wait(&tls->changed, &tls->lock);
    if (r == 0 && tls->news != wait->want.news)
        r = 1;
    tls->waiting |= r == 0;
    return r;
}

static bool is_late(void *arg)
{
    const struct wait *wait = arg;
    CO_LOCK(&wait->tls->lock);

    return wait->tls->news != wait->want.news;
}

static void end_wait(const struct wait *wait)
{
    struct co__tls *tls = wait->tls;
    CO_LOCK(&tls->lock);

    tls->waiting = false;
    tls->news++;
    co_cond_broadcast(&tls->changed);
}

/* After -EAGAIN. Returns: as co__recv_wait. */
static int await(struct co__tls *tls, struct want want)
{
    struct wait wait = {tls, want};
    int r = begin_wait(&wait);

    if (r != 0)
        return r;
    r = co__recv_wait(tls->fd, want.asked, is_late, &wait);
    end_wait(&wait);
    if (r != -EBUSY)
        return r;
    /* Somebody asks the socket just now, or is to be started when it has something. */
    r = co_sleep(CO_MS);
    return r < 0 ? r : 1;
}

/* ---- the transport ---- */

static ssize_t recv_conn(void *conn, void *buf, size_t cap)
{
    struct co__tls *tls = conn;
    struct want want = {0};

    for (;;) {
        ssize_t n = co_check();

        if (n == 0 && cap > 0)
            n = take(tls, buf, cap, false, &want);
        if (n != -EAGAIN)
            return n;
        n = await(tls, want);
        if (n <= 0)
            return n;
    }
}

static int wait_conn(void *conn)
{
    struct co__tls *tls = conn;
    struct want want = {0};

    for (;;) {
        int r = co_check();
        char byte;

        if (r < 0)
            return r;
        if (take(tls, &byte, 1, true, &want) != -EAGAIN)
            return 0; /* reading says the same again */
        r = await(tls, want);
        if (r <= 0)
            return r;
    }
}

/*
 * Within half a message of the peer's the writer reads as well, and what he takes out of the socket
 * no edge tells of: so a stream that is there, or that the writer has in hand, is one to look at.
 */
static bool pending_conn(void *conn)
{
    struct co__tls *tls = conn;
    bool pending;

    if (co_mutex_try(&tls->lock) < 0)
        return true;
    pending = SSL_has_pending(tls->ssl) == 1 || SSL_in_init(tls->ssl);
    co_mutex_unlock(&tls->lock);
    return pending;
}

/* Where a message of several pieces is being read. */
struct reading {
    const struct iovec *iov;
    int count;
    size_t done; /* of the first piece */
};

/* Moves over n bytes of the first piece. */
static void advance(struct reading *from, size_t n)
{
    from->done += n;
    while (from->count > 0 && from->done == from->iov->iov_len) {
        from->iov++;
        from->count--;
        from->done = 0;
    }
}

/*
 * The bytes of the next record: where they lie, if one piece fills it or nothing follows, else
 * collected in *ret_scratch, which is made when it is needed. Returns: how many; -ENOMEM.
 */
static ssize_t next_record(struct reading *from, char **scratch, const char **ret_data)
{
    const char *base = (const char *)from->iov->iov_base + from->done;
    size_t len = from->iov->iov_len - from->done;
    size_t total = 0;

    if (len >= RECORD || from->count == 1) {
        len = len < RECORD ? len : RECORD;
        *ret_data = base;
        advance(from, len);
        return (ssize_t)len;
    }
    if (!*scratch)
        *scratch = malloc(RECORD);
    if (!*scratch)
        return -ENOMEM;
    while (total < RECORD && from->count > 0) {
        len = from->iov->iov_len - from->done;
        len = len < RECORD - total ? len : RECORD - total;
        memcpy(*scratch + total, (const char *)from->iov->iov_base + from->done, len);
        total += len;
        advance(from, len);
    }
    *ret_data = *scratch;
    return (ssize_t)total;
}

/* One record. *ret_begun: OpenSSL has taken it, so that it must be sent or the stream is broken. */
static int send_record(struct co__tls *tls, const char *data, size_t len, bool *ret_begun)
{
    for (;;) {
        struct want want = {0};
        int r = put(tls, data, len, &want);

        if (r == 0) {
            *ret_begun = true;
            return co__tls_flush(tls);
        }
        if (r != -EAGAIN)
            return r;
        r = await(tls, want);
        if (r <= 0)
            return r < 0 ? r : -ECANCELED; /* the runtime stops */
    }
}

static ssize_t send_records(struct co__tls *tls, struct reading *from, char **scratch)
{
    bool begun = false;
    ssize_t total = 0;

    while (from->count > 0) {
        const char *data = NULL;
        ssize_t len = next_record(from, scratch, &data);
        int r = len < 0 ? (int)len : send_record(tls, data, (size_t)len, &begun);

        if (r == 0 && from->count > 0)
            r = co_check();
        if (r < 0) {
            if (begun)
                sent(tls, true);
            return r;
        }
        total += len;
    }
    return total;
}

static ssize_t sendv_conn(void *conn, const struct iovec *iov, int count)
{
    struct reading from = {iov, count, 0};
    char *scratch = NULL;
    ssize_t n = co_check();

    if (n < 0)
        return n;
    advance(&from, 0); /* over empty ones */
    n = send_records(conn, &from, &scratch);
    free(scratch);
    return n;
}

static int finish_conn(void *conn)
{
    struct co__tls *tls = conn;
    struct want want = {0};

    for (;;) {
        int r = co_check();

        if (r == 0)
            r = say_goodbye(tls, &want);
        if (r != -EAGAIN)
            return r < 0 ? r : co__tls_flush(tls);
        r = await(tls, want);
        if (r <= 0)
            return r < 0 ? r : -ECANCELED; /* the runtime stops */
    }
}

const struct co_transport co__tls_transport = {
    .recv = recv_conn,
    .wait = wait_conn,
    .pending = pending_conn,
    .sendv = sendv_conn,
    .finish = finish_conn,
    .free = free_conn,
};
