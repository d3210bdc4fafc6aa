/* SPDX-License-Identifier: MIT */
/*
 * sock.c - receiving and sending.
 *
 * Every loop has the same shape: forget old readiness, make the system call, and only if it would
 * block wait for the source. Forgetting before the call, never after, is what keeps an event that
 * comes during the call. One shortcut: after a read that returned less than asked, a TCP socket is
 * drained, so the next read waits first and saves the call that would fail; sticky bits (end of
 * stream, urgent data) forbid the shortcut.
 *
 * When the runtime stops, an accepted connection that is idle must not hold the stop up: the reader
 * looks once more and then gets the end of the stream. Idle is one on which nothing has come since
 * the last bytes were sent: `heard` is set by who receives and cleared by who has sent. The drain
 * sets `draining` and delivers, which wakes the reader, or makes him look before he waits.
 */
#include <co/private/net.h>

#include "counts.h"
#include "slot.h"
#include "syscall.h"
#include <co/park.h>
#include <co/private/chaos.h>
#include <co/private/run.h>
#include <co/scope.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PIECES_MAX = 64 };

static bool nothing_new(const struct co__source *source)
{
    enum { NEWS = CO__SOURCE_STATE | CO__SOURCE_HUP | CO__SOURCE_PRI | CO__SOURCE_CLOSING };

    /* relaxed: what comes later is seen by the commit of the wait. */
    return (__atomic_load_n(&source->word, __ATOMIC_RELAXED) & NEWS) == CO__SOURCE_NIL;
}

/*
 * Fault points: the system call has just said EAGAIN, and before the caller waits the event is
 * there. Returns: 0; -ECANCELED; -ETIMEDOUT.
 */
static int fake_again(struct co__slot *slot, struct co__source *source)
{
    co__source_deliver(source, slot->generation, 0);
    return co__source_wait(source, false);
}

/* How much of `len` bytes a system call may move. */
static size_t fake_short(const struct co__slot *slot, size_t len)
{
    bool stream = slot->kind <= CO__SLOT_STREAM || slot->kind == CO__SLOT_PIPE;

    return stream && CO__CHAOS(CO__CHAOS_SHORT) ? (len + 1) / 2 : len;
}

/* Returns: as recv(2). */
static ssize_t take(const struct co__slot *slot, void *buf, size_t cap)
{
    co__count(co__net_counts.recvs);
    if (slot->kind == CO__SLOT_PIPE)
        return read(slot->fd, buf, cap);
    return co__sys_recv(slot->fd, buf, cap, slot->flags);
}

/* Returns: as send(2). What a pipe without readers says by a signal, the runtime ignores. */
static ssize_t put(const struct co__slot *slot, const void *buf, size_t len)
{
    co__count(co__net_counts.sends);
    if (slot->kind == CO__SLOT_PIPE)
        return write(slot->fd, buf, len);
    return co__sys_send(slot->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Returns: as sendmsg(2). */
static ssize_t put_pieces(const struct co__slot *slot, const struct msghdr *msg)
{
    co__count(co__net_counts.sends);
    if (slot->kind == CO__SLOT_PIPE)
        return writev(slot->fd, msg->msg_iov, (int)msg->msg_iovlen);
    return sendmsg(slot->fd, msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Whether a system call may bring something; it is known to fail otherwise. */
static bool worth_asking(const struct co__slot *slot)
{
    return slot->left != CO__SLOT_DRAINED || !nothing_new(&slot->read);
}

/* One system call. Returns: as recv(2); -ECANCELED. */
static ssize_t ask(struct co__slot *slot, void *buf, size_t cap)
{
    ssize_t n = 0;
    bool all;
    int r;

    do {
        if (co__source_consume(&slot->read) & CO__SOURCE_CLOSING)
            return -ECANCELED;
        r = -EINTR;
        if (CO__CHAOS(CO__CHAOS_INTR))
            continue;
        n = take(slot, buf, cap);
        r = n < 0 ? -errno : 0;
    } while (r == -EINTR);
    if (n > 0) {
        co__spend(n);
        __atomic_store_n(&slot->heard, 1, __ATOMIC_RELAXED /* see slot.h */);
        all = (size_t)n < cap && slot->kind == CO__SLOT_TCP;
        slot->left = all ? CO__SLOT_DRAINED : CO__SLOT_UNKNOWN;
        return (size_t)n <= cap ? n : -EMSGSIZE; /* a datagram that is longer */
    }
    if (r == 0)
        slot->left = CO__SLOT_ENDED;
    else /* another failure leaves what is there, and the edge that told of it has been forgotten */
        slot->left = r == -EAGAIN ? CO__SLOT_DRAINED : CO__SLOT_UNKNOWN;
    return r;
}

/* The same, into memory that is brought for it. */
static ssize_t ask_with(struct co__slot *slot, struct co__room *room)
{
    int r = room->bring ? room->bring(room) : 0;

    return r < 0 ? r : ask(slot, room->buf, fake_short(slot, room->cap));
}

/* Whether the stop ends it for the reader, who has just found nothing. */
static bool is_over(const struct co__slot *slot)
{
    /* relaxed, all: see slot.h. */
    return __atomic_load_n(&slot->draining, __ATOMIC_RELAXED) &&
           __atomic_load_n(&slot->yields, __ATOMIC_RELAXED /* as above */) &&
           !__atomic_load_n(&slot->heard, __ATOMIC_RELAXED /* as above */);
}

static int wait_to_receive(struct co__slot *slot, bool drained)
{
    int r = co__source_wait(&slot->read, drained);

    slot->left = CO__SLOT_UNKNOWN; /* the wake-up says: ask */
    return r;
}

/* Returns: as co_recv. */
static ssize_t receive(struct co__slot *slot, struct co__room *room)
{
    for (;;) {
        bool asked;
        ssize_t n;
        int r = 0;

        if (CO__CHAOS(CO__CHAOS_RETRY) && (r = fake_again(slot, &slot->read)) < 0)
            return r;
        asked = worth_asking(slot);
        n = asked ? ask_with(slot, room) : -EAGAIN;
        if (n != -EAGAIN)
            return n;
        if (is_over(slot)) {
            if (asked)
                return 0;
            slot->left = CO__SLOT_UNKNOWN; /* the stop says: ask */
            continue;
        }
        if (room->let_go)
            room->let_go(room);
        r = wait_to_receive(slot, !asked);
        if (r < 0)
            return r;
    }
}

ssize_t co__recv_now(int fd, void *buf, size_t cap)
{
    struct co__slot *slot;
    ssize_t n;
    int r;

    slot = co__slot_begin(fd, CO__SLOT_READING, &r);
    if (!slot)
        return r;
    n = worth_asking(slot) ? ask(slot, buf, cap) : -EAGAIN;
    co__slot_leave(slot, CO__SLOT_READING);
    return n;
}

ssize_t co__recv_poll(int fd, void *buf, size_t cap, bool *ret_asked)
{
    int r;
    struct co__slot *slot = co__slot_enter(fd, CO__SLOT_READING, &r);
    ssize_t n;

    if (!slot)
        return r;
    *ret_asked = worth_asking(slot);
    n = *ret_asked ? ask(slot, buf, fake_short(slot, cap)) : -EAGAIN;
    co__slot_leave(slot, CO__SLOT_READING);
    return n;
}

/* The stop, which ends an idle connection, has told the reader to look once more. */
static int look_at_stop(struct co__slot *slot)
{
    char byte;
    int r = recv(slot->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 ? -errno : 0;

    co__count(co__net_counts.recvs);
    slot->left = CO__SLOT_UNKNOWN;
    return r != -EAGAIN;
}

int co__recv_wait(int fd, bool asked, bool (*is_late)(void *arg), void *arg)
{
    struct co__slot *slot;
    int r;

    slot = co__slot_begin(fd, CO__SLOT_READING, &r);
    if (!slot)
        return r;
    if (is_late && is_late(arg)) {
        r = 1;
    } else if (is_over(slot)) {
        r = look_at_stop(slot);
    } else {
        r = wait_to_receive(slot, !asked);
        r = r < 0 ? r : 1;
    }
    co__slot_leave(slot, CO__SLOT_READING);
    return r;
}

ssize_t co__recv_lean(int fd, struct co__room *room)
{
    struct co__slot *slot;
    ssize_t n;
    int r;

    slot = co__slot_begin(fd, CO__SLOT_READING, &r);
    if (!slot)
        return r;
    n = receive(slot, room);
    co__slot_leave(slot, CO__SLOT_READING);
    return n;
}

ssize_t co_recv(int fd, void *buf, size_t cap)
{
    struct co__room room = {.buf = buf, .cap = cap};
    struct co__slot *slot;
    ssize_t n;
    int r;

    slot = co__slot_begin(fd, CO__SLOT_READING, &r);
    if (!slot)
        return r;
    n = cap > 0 ? receive(slot, &room) : 0;
    co__slot_leave(slot, CO__SLOT_READING);
    return n;
}

ssize_t co_recvn(int fd, void *buf, size_t len)
{
    struct co__room room = {.buf = buf, .cap = len};
    struct co__slot *slot;
    ssize_t n = 0;
    int r;

    slot = co__slot_begin(fd, CO__SLOT_READING, &r);
    if (!slot)
        return r;
    while (room.cap > 0) {
        n = receive(slot, &room);
        if (n <= 0)
            break;
        room.buf = (char *)room.buf + n;
        room.cap -= (size_t)n;
        if (room.cap > 0 && (n = co_check()) < 0)
            break;
    }
    co__slot_leave(slot, CO__SLOT_READING);
    return n < 0 ? n : (ssize_t)(len - room.cap);
}

int co__slot_about_to_write(struct co__slot *slot)
{
    if (co__source_consume(&slot->write) & CO__SOURCE_CLOSING)
        return -ECANCELED;
    if (CO__CHAOS(CO__CHAOS_INTR))
        return 0;
    return CO__CHAOS(CO__CHAOS_RETRY) ? fake_again(slot, &slot->write) : 1;
}

int co__slot_wait_for_room(struct co__slot *slot)
{
    if (!slot->out_armed) /* the first time; arming reports what holds already */
        return co__slot_arm_out(slot);
    return co__source_wait(&slot->write, false);
}

/* What a system call has sent. Returns: bytes written, 0 after waiting, or a negative errno. */
static ssize_t sent(struct co__slot *slot, ssize_t n)
{
    int r;

    co__spend(n);
    if (n >= 0)
        return n;
    r = -errno;
    if (r == -EINTR)
        return 0;
    return r == -EAGAIN ? co__slot_wait_for_room(slot) : r;
}

/* One system call's worth. Returns: as sent. */
static ssize_t send_some(struct co__slot *slot, const void *buf, size_t len)
{
    int r = co__slot_about_to_write(slot);

    return r <= 0 ? r : sent(slot, put(slot, buf, fake_short(slot, len)));
}

/* As send_some, of several pieces at once. */
static ssize_t send_pieces(struct co__slot *slot, const struct msghdr *msg)
{
    const struct iovec *first = msg->msg_iov;
    int r = co__slot_about_to_write(slot);
    size_t len;

    if (r <= 0)
        return r;
    /* Not all is sent, so there is a piece. NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage) */
    len = fake_short(slot, first->iov_len);
    if (msg->msg_iovlen == 1 || len < first->iov_len) /* cheaper for the kernel */
        return sent(slot, put(slot, first->iov_base, len));
    return sent(slot, put_pieces(slot, msg));
}

/* Drops n bytes from the front of a message. */
static void advance(struct msghdr *msg, size_t n)
{
    while (n > 0 && msg->msg_iovlen > 0 && n >= msg->msg_iov->iov_len) {
        n -= msg->msg_iov->iov_len;
        msg->msg_iov++;
        msg->msg_iovlen--;
    }
    if (n > 0 && msg->msg_iovlen > 0) {
        msg->msg_iov->iov_base = (char *)msg->msg_iov->iov_base + n;
        msg->msg_iov->iov_len -= n;
    }
}

/* Sends all of msg, or, where that is NULL, of buf. */
static ssize_t send_all(struct co__slot *slot, const char *buf, struct msghdr *msg, size_t len)
{
    size_t done = 0;

    if (slot->broken)
        return -EPIPE;
    while (done < len) {
        ssize_t n = msg ? send_pieces(slot, msg) : send_some(slot, buf + done, len - done);

        if (n > 0) {
            done += (size_t)n;
            if (done == len)
                break;
            if (msg)
                advance(msg, (size_t)n);
            n = co_check();
        }
        if (n < 0) {
            slot->broken = done > 0;
            return n;
        }
    }
    __atomic_store_n(&slot->heard, 0, __ATOMIC_RELAXED /* see slot.h */);
    return (ssize_t)len;
}

ssize_t co__slot_send(struct co__slot *slot, const void *buf, size_t len)
{
    return send_all(slot, buf, NULL, len);
}

/* One system call. Returns: as co__send_now. */
static ssize_t send_now(struct co__slot *slot, const void *buf, size_t len)
{
    ssize_t n;
    int r;

    if (slot->broken)
        return -EPIPE;
    if (co__source_consume(&slot->write) & CO__SOURCE_CLOSING)
        return -ECANCELED;
    n = put(slot, buf, len);
    r = n < 0 ? -errno : 0;
    if (r < 0)
        return r == -EINTR ? -EAGAIN : r;
    co__spend(n);
    __atomic_store_n(&slot->heard, 0, __ATOMIC_RELAXED /* see slot.h */);
    return n;
}

ssize_t co__send_now(int fd, const void *buf, size_t len)
{
    struct co__slot *slot;
    ssize_t n;
    int r;

    slot = co__slot_begin(fd, CO__SLOT_WRITING, &r);
    if (!slot)
        return r;
    n = send_now(slot, buf, len);
    co__slot_leave(slot, CO__SLOT_WRITING);
    return n;
}

ssize_t co__send_poll(int fd, const void *buf, size_t len)
{
    int r;
    struct co__slot *slot = co__slot_enter(fd, CO__SLOT_WRITING, &r);
    ssize_t n;

    if (!slot)
        return r;
    n = send_now(slot, buf, fake_short(slot, len));
    co__slot_leave(slot, CO__SLOT_WRITING);
    return n;
}

ssize_t co_sendv(int fd, const struct iovec *iov, int count)
{
    struct iovec pieces[PIECES_MAX];
    struct msghdr msg = {.msg_iov = pieces, .msg_iovlen = (size_t)count};
    struct co__slot *slot;
    size_t len = 0;
    ssize_t n;
    int r = co_check();

    if (r < 0)
        return r;
    if (count < 0 || count > PIECES_MAX)
        return -EINVAL;
    for (int i = 0; i < count; i++)
        len += iov[i].iov_len;
    memcpy(pieces, iov, (size_t)count * sizeof *iov); /* advance changes them */
    slot = co__slot_enter(fd, CO__SLOT_WRITING, &r);
    if (!slot)
        return r;
    n = send_all(slot, NULL, &msg, len);
    co__slot_leave(slot, CO__SLOT_WRITING);
    return n;
}

ssize_t co_send(int fd, const void *buf, size_t len)
{
    struct co__slot *slot;
    ssize_t n;
    int r;

    slot = co__slot_begin(fd, CO__SLOT_WRITING, &r);
    if (!slot)
        return r;
    n = co__slot_send(slot, buf, len);
    co__slot_leave(slot, CO__SLOT_WRITING);
    return n;
}

int co_shutdown(int fd, int how)
{
    int r;
    struct co__slot *slot = co__slot_enter(fd, 0, &r);

    if (!slot)
        return r;
    r = shutdown(fd, how) < 0 ? -errno : 0;
    co__slot_leave(slot, 0);
    return r;
}

static void begun(struct co__source *source)
{
    struct co__slot *slot =
        (struct co__slot *)(void *)((char *)source - offsetof(struct co__slot, read));

    slot->left = CO__SLOT_UNKNOWN;
    co__slot_leave(slot, CO__SLOT_READING);
}

/*
 * Where no edge need come for what is there already, ask the kernel, and make an edge of the
 * answer.
 */
static void look_for_rest(struct co__slot *slot)
{
    struct pollfd polled = {.fd = slot->fd, .events = POLLIN};

    (void)co__source_consume(&slot->read);
    /* Not by peeking, which would take the socket's error, and leave the reader a clean end. */
    if (poll(&polled, 1, 0) == 0)
        slot->left = CO__SLOT_DRAINED;
    else
        co__source_deliver(&slot->read, slot->generation, 0);
}

/* Before somebody begins to wait for what comes. */
static void be_idle(struct co__slot *slot)
{
    /* relaxed: published by the wait. */
    __atomic_store_n(&slot->stale, 0, __ATOMIC_RELAXED);
    if (slot->left == CO__SLOT_UNKNOWN)
        look_for_rest(slot);
}

int co__slot_start(int fd, co_when_fn *fn, void *arg, size_t size, bool yields)
{
    int r;
    struct co__slot *slot = co__slot_enter(fd, CO__SLOT_READING, &r);

    if (!slot)
        return r;
    if (!yields) /* relaxed: who is started reads it, and is started after this */
        __atomic_store_n(&slot->yields, 0, __ATOMIC_RELAXED);
    be_idle(slot);
    /* The direction stays taken until the coroutine begins. */
    r = co__source_start(&slot->read, begun, fn, arg, size);
    if (r < 0)
        co__slot_leave(slot, CO__SLOT_READING);
    return r;
}

int co__wait_when(int fd)
{
    int r;
    struct co__slot *slot = co__slot_begin(fd, CO__SLOT_READING, &r);

    if (!slot)
        return r;
    be_idle(slot);
    r = co__source_wait_idle(&slot->read);
    slot->left = CO__SLOT_UNKNOWN;
    co__slot_leave(slot, CO__SLOT_READING);
    return r;
}

int co_go_when(int fd, co_when_fn *fn, void *arg)
{
    return co__slot_start(fd, fn, arg, 0, false);
}
