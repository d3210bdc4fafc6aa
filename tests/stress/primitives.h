/* SPDX-License-Identifier: MIT */
/*
 * tests/stress/primitives.h - one of each primitive, what players may do with them, and what has to
 * hold in the end.
 *
 * A deed picks by chance what it does, under the deadline that is in force, and returns 0 or why it
 * did not do it. Checked by the deeds: one holder of the mutex at a time, writers alone, values of
 * one sender reach one receiver in the order in which they were sent, once is done once. Checked at
 * the end: permits taken, given and left are as many; every value that was sent was received once,
 * those left included; nobody passed the barrier but in full rounds; each member that was started
 * has ended.
 */
#ifndef TESTS_STRESS_PRIMITIVES_H
#define TESTS_STRESS_PRIMITIVES_H

#include "stress/stress.h"
#include <co/barrier.h>
#include <co/chan.h>
#include <co/cond.h>
#include <co/event.h>
#include <co/group.h>
#include <co/once.h>
#include <co/rwlock.h>
#include <co/sem.h>
#include <co/wait_group.h>

enum { PARTIES = 3, PERMITS = 2, CHANNELS = 2 };

/* Plain fields are guarded by the primitive that is named. */
struct primitives {
    struct co_mutex mutex;
    struct co_rwlock rwlock;
    struct co_cond cond;
    struct co_sem sem;
    struct co_event event;
    struct co_once once;
    struct co_barrier barrier;
    struct co_chan *chans[CHANNELS];        /* unbuffered, and with room for three */
    int64_t under_mutex, waited, signalled; /* mutex */
    int64_t left, right;                    /* rwlock */
    int made;                               /* once */
    _Atomic int holders;                    /* of the mutex, now */
    _Atomic int64_t locked, written;
    _Atomic int64_t taken, given;
    _Atomic int64_t sent, sent_sum, received, received_sum;
    _Atomic int64_t passed, last;
    _Atomic int64_t started, ended;
    uint32_t players;
    uint32_t *seen; /* [receiver][channel][sender]: the number of the last value */
};

/* Who does the deeds; one coroutine or thread. The last but one is outside, the last one checks. */
struct player {
    struct primitives *p;
    uint32_t index;
    uint32_t number; /* of the last value sent */
};

/* ---- what a turn may do ---- */

static inline int lock_it(struct player *player, uint32_t chance)
{
    struct primitives *p = player->p;
    int64_t before;
    int r = 0;

    if (chance % 8 == 7)
        co_mutex_lock_always(&p->mutex);
    else if (chance % 8 == 6)
        r = co_mutex_try(&p->mutex);
    else
        r = co_mutex_lock(&p->mutex);
    if (r < 0)
        return r == -EBUSY ? 0 : r;
    if (atomic_fetch_add(&p->holders, 1) != 0)
        fail("two hold the mutex", player->index, 0);
    before = p->under_mutex;
    if (chance % 4 == 0)
        (void)co_yield();
    p->under_mutex = before + 1;
    atomic_fetch_add(&p->locked, 1);
    atomic_fetch_sub(&p->holders, 1);
    co_mutex_unlock(&p->mutex);
    return 0;
}

static inline int wait_or_signal(struct player *player, uint32_t chance)
{
    struct primitives *p = player->p;
    int r = 0;

    CO_LOCK(&p->mutex);
    if (chance % 2) {
        p->signalled++;
        if (chance % 16 == 1)
            co_cond_broadcast(&p->cond);
        else
            co_cond_signal(&p->cond);
    } else if (p->signalled == p->waited) {
        r = co_cond_wait(&p->cond, &p->mutex);
    }
    if (r == 0 && p->signalled > p->waited && chance % 2 == 0)
        p->waited++;
    return r;
}

static inline int read_or_write(struct player *player, uint32_t chance)
{
    struct primitives *p = player->p;
    bool write = chance % 4 == 0;
    int r = 0;

    if (chance % 16 >= 12) /* what guards do who find it free or not */
        (write ? co_rwlock_write_always : co_rwlock_read_always)(&p->rwlock);
    else
        r = write ? co_rwlock_write(&p->rwlock) : co_rwlock_read(&p->rwlock);

    if (r < 0)
        return r;
    if (write)
        p->left++;
    else if (p->left != p->right)
        fail("a reader beside a writer", p->left, p->right);
    if (chance % 8 < 2)
        (void)co_yield();
    if (write) {
        p->right++;
        atomic_fetch_add(&p->written, 1);
    }
    co_rwlock_unlock(&p->rwlock);
    return 0;
}

static inline int take_and_give(struct player *player, uint32_t chance)
{
    struct primitives *p = player->p;
    int r = co_sem_take(&p->sem);

    if (r < 0)
        return r;
    /* Counted after taking and before giving: never more than are held. */
    if (atomic_fetch_add(&p->taken, 1) + 1 - atomic_load(&p->given) > PERMITS)
        fail("more permits than there are", p->taken, p->given);
    if (chance % 4 == 0)
        (void)co_yield();
    atomic_fetch_add(&p->given, 1);
    co_sem_give(&p->sem, 1);
    return 0;
}

/* A value names its sender and is numbered by him. */
static inline int64_t next_value(struct player *player)
{
    return (int64_t)player->index << 32 | ++player->number;
}

static inline void count_received(struct player *player, int chan, int64_t value)
{
    struct primitives *p = player->p;
    uint32_t sender = (uint32_t)(value >> 32);
    uint32_t number = (uint32_t)value;

    atomic_fetch_add(&p->received, 1);
    atomic_fetch_add(&p->received_sum, value);
    if (sender >= p->players) {
        fail("a value that nobody sent", value, chan);
        return;
    }
    uint32_t *seen =
        &p->seen[((size_t)player->index * CHANNELS + (size_t)chan) * p->players + sender];
    if (number <= *seen)
        fail("a value came after a later one of the same sender", *seen, number);
    *seen = number;
}

static inline void count_sent(struct player *player, int64_t value)
{
    atomic_fetch_add(&player->p->sent, 1);
    atomic_fetch_add(&player->p->sent_sum, value);
}

static inline int communicate(struct player *player, uint32_t chance)
{
    int chan = (int)(chance % CHANNELS);
    int64_t value;
    int r;

    if (chance / 2 % 2) {
        value = next_value(player);
        r = co_chan_send(player->p->chans[chan], &value);
        if (r == 0)
            count_sent(player, value);
    } else {
        r = co_chan_recv(player->p->chans[chan], &value);
        if (r == 1)
            count_received(player, chan, value);
    }
    return r < 0 ? r : 0;
}

static inline int select_any(struct player *player, uint32_t chance)
{
    struct primitives *p = player->p;
    int64_t out = next_value(player), in[CHANNELS];
    struct co_case cases[2 * CHANNELS] = {
        {.chan = p->chans[0], .kind = CO_CASE_SEND, .value = &out},
        {.chan = p->chans[0], .kind = CO_CASE_RECV, .value = &in[0]},
        {.chan = p->chans[1], .kind = CO_CASE_SEND, .value = &out},
        {.chan = p->chans[1], .kind = CO_CASE_RECV, .value = &in[1]},
    };
    int r = co_select(cases, 2 * CHANNELS, chance % 3 == 0 ? CO_SELECT_TRY : 0);

    if (r < 0)
        return r == -EAGAIN ? 0 : r;
    if (cases[r].result != (r % 2 ? 1 : 0))
        fail("a case that happened, and its result", r, cases[r].result);
    if (r % 2 == 0)
        count_sent(player, out);
    else
        count_received(player, r / 2, in[r / 2]);
    return 0;
}

static inline int set_or_wait(struct player *player, uint32_t chance)
{
    struct primitives *p = player->p;

    if (chance % 3 == 0)
        co_event_set(&p->event);
    else if (chance % 3 == 1)
        co_event_clear(&p->event);
    else
        return co_event_wait(&p->event);
    return 0;
}

static inline int pass_barrier(struct player *player, uint32_t chance)
{
    int r = co_barrier_wait(&player->p->barrier);

    (void)chance;
    if (r < 0)
        return r;
    atomic_fetch_add(&player->p->passed, 1);
    atomic_fetch_add(&player->p->last, r);
    return 0;
}

static inline int make(void *arg)
{
    struct primitives *p = arg;
    int r = co_yield();

    if (r == 0)
        p->made++;
    return r;
}

static inline int make_once(struct player *player, uint32_t chance)
{
    int r = co_once_do(&player->p->once, make, player->p);

    (void)chance;
    if (r == 0 && player->p->made != 1)
        fail("once", player->p->made, 1);
    return r;
}

static inline int helper(void *arg)
{
    struct primitives *p = arg;

    if (co_sem_try(&p->sem) == 0)
        co_sem_give(&p->sem, 1);
    atomic_fetch_add(&p->ended, 1);
    return 0;
}

static inline int open_a_group(struct player *player, uint32_t chance)
{
    CO_GROUP(nested);

    for (uint32_t i = 0; i < chance % 4; i++) {
        if (co_group_go(&nested, helper, player->p) == 0)
            atomic_fetch_add(&player->p->started, 1);
    }
    return chance % 8 < 4 ? 0 : co_group_wait(&nested);
}

static inline int child_counts_down(void *arg)
{
    (void)co_yield();
    return co_wait_group_add(arg, -1);
}

/* A wait group that is older than its members, who count it down; who gives up still closes. */
static inline int wait_for_children(struct player *player, uint32_t chance)
{
    struct co_wait_group joined = {0};
    CO_GROUP(nested);
    int r;

    (void)player;
    for (uint32_t i = 0; i < chance % 3 + 1; i++) {
        (void)co_wait_group_add(&joined, 1);
        if (co_group_go(&nested, child_counts_down, &joined) < 0)
            (void)co_wait_group_add(&joined, -1);
    }
    r = co_wait_group_wait(&joined);
    (void)co_group_close(&nested);
    if (joined.word / 2 != 0) /* the count is above the lowest bit */
        fail("all children have ended, and are still waited for", (int64_t)joined.word, 0);
    return r;
}

struct deed {
    const char *name;
    int (*fn)(struct player *player, uint32_t chance);
};

static const struct deed primitive_deeds[] = {
    {"mutex", lock_it},
    {"cond", wait_or_signal},
    {"rwlock", read_or_write},
    {"sem", take_and_give},
    {"chan", communicate},
    {"select", select_any},
    {"event", set_or_wait},
    {"barrier", pass_barrier},
    {"once", make_once},
    {"group", open_a_group},
    {"chan", communicate},
    {"select", select_any},
    {"wait group", wait_for_children},
};

enum { PRIMITIVE_DEEDS = sizeof primitive_deeds / sizeof *primitive_deeds };

/* What a plain thread may do: never wait. */
static inline void do_outside(struct player *player, uint32_t chance)
{
    struct primitives *p = player->p;
    int send = (int)(chance % CHANNELS), recv = CHANNELS - 1 - send;
    int64_t value = next_value(player);

    if (co_chan_try_send(p->chans[send], &value) == 0)
        count_sent(player, value);
    if (co_chan_try_recv(p->chans[recv], &value) == 1)
        count_received(player, recv, value);
    if (co_sem_try(&p->sem) == 0)
        co_sem_give(&p->sem, 1);
    co_event_set(&p->event);
    co_cond_broadcast(&p->cond);
}

/* ---- before and after ---- */

/* For `players` of them, of which the last two are outside's and the checker's. */
static inline void primitives_start(struct primitives *p, uint32_t players)
{
    *p = (struct primitives){.players = players};
    p->seen = calloc((size_t)players * CHANNELS * players, sizeof *p->seen);
    p->chans[0] = co_chan_new(sizeof(int64_t), 0);
    p->chans[1] = co_chan_new(sizeof(int64_t), 3);
    if (!p->seen || !p->chans[0] || !p->chans[1] || co_barrier_init(&p->barrier, PARTIES) < 0)
        abort(); /* out of memory: nothing to be learnt from going on */
    co_sem_init(&p->sem, PERMITS);
}

static inline void primitives_check(struct primitives *p)
{
    struct player checker = {.p = p, .index = p->players - 1};
    int64_t value, permits = 0;

    while (co_chan_try_recv(p->chans[1], &value) == 1)
        count_received(&checker, 1, value);
    if (co_chan_try_recv(p->chans[0], &value) != -EAGAIN)
        fail("a value in a channel without room", value, 0);
    if (p->sent != p->received || p->sent_sum != p->received_sum)
        fail("values", p->sent, p->received);
    while (co_sem_try(&p->sem) == 0)
        permits++;
    if (permits != PERMITS || p->taken != p->given)
        fail("permits", permits, PERMITS);
    if (p->under_mutex != p->locked)
        fail("mutex", p->under_mutex, p->locked);
    if (p->left != p->written || p->right != p->written)
        fail("rwlock", p->left, p->written);
    if (p->passed != PARTIES * p->last)
        fail("barrier", p->passed, p->last);
    if (p->started != p->ended)
        fail("members", p->started, p->ended);
    if (p->made > 1)
        fail("made more than once", p->made, 1);
}

static inline void primitives_end(struct primitives *p)
{
    co_mutex_done(&p->mutex);
    co_rwlock_done(&p->rwlock);
    co_cond_done(&p->cond);
    co_sem_done(&p->sem);
    co_event_done(&p->event);
    co_barrier_done(&p->barrier);
    for (int i = 0; i < CHANNELS; i++)
        co_chan_free(p->chans[i]);
    free(p->seen);
}

#endif
