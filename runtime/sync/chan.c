/* SPDX-License-Identifier: MIT */
/*
 * chan.c - channels after Hoare's CSP, with Go's rules for closing and select.
 *
 * Everything of a channel is under its latch. Invariants:
 *   receivers wait only while the buffer is empty and no sender waits;
 *   senders wait only while the buffer is full (always so if the capacity is 0);
 *   nobody waits on a closed channel.
 * A select waits with one waiter per case, all with the same ticket, so one claim wins: the claim's
 * result names the case. It holds the latches of all its channels, taken in the order of their
 * addresses, while it looks and while it links its waiters; so two selects that wait for each other
 * cannot miss each other. Who finds a waiter claims it first, then moves the value, then, when the
 * latch is given, finishes it; a waiter that cannot be claimed any more has gone, and keeps its
 * value. Nothing of a channel is touched after that: who got the last value, or learnt that it is
 * closed, may free it.
 */
#include <co/chan.h>

#include <co/assert.h>
#include <stdlib.h>
#include <string.h>

enum { ON_STACK = 16 };

struct co_chan {
    struct co_latch latch;
    int closed;
    size_t size;
    size_t capacity;
    size_t count;  /* values in the buffer */
    size_t first;  /* of them */
    uint64_t dice; /* for select */
    struct co_waitlist receivers;
    struct co_waitlist senders;
    unsigned char buffer[];
};

struct co_chan *co_chan_new(size_t size, size_t capacity)
{
    struct co_chan *chan;
    size_t bytes;

    if (__builtin_mul_overflow(size, capacity, &bytes) ||
        __builtin_add_overflow(bytes, sizeof *chan, &bytes))
        return NULL;
    chan = malloc(bytes);
    if (chan)
        *chan = (struct co_chan){.size = size, .capacity = capacity, .dice = (uintptr_t)chan | 1};
    return chan;
}

void co_chan_free(struct co_chan *chan)
{
    CO_ASSERT(!chan || (!chan->receivers.head && !chan->senders.head));
    free(chan);
}

/* ---- moving values; under the latch ---- */

static void copy(const struct co_chan *chan, void *to, const void *from)
{
    if (chan->size == sizeof(uint64_t)) /* most are: without a call */
        memcpy(to, from, sizeof(uint64_t));
    else if (chan->size > 0)
        memcpy(to, from, chan->size);
}

/* index: less than twice the capacity. A division would take longer than all the rest. */
static size_t wrapped(const struct co_chan *chan, size_t index)
{
    return index < chan->capacity ? index : index - chan->capacity;
}

static void *place(struct co_chan *chan, size_t offset)
{
    return chan->buffer + wrapped(chan, chan->first + offset) * chan->size;
}

static struct co_case *case_of(struct co_waiter *waiter)
{
    return (struct co_case *)(void *)((char *)waiter - offsetof(struct co_case, waiter));
}

/* Apart, so that where nobody waits its registers need not be saved. */
static __attribute__((noinline)) struct co_case *claim_first(struct co_waitlist *list,
                                                             co_ticket *ret_ticket)
{
    while (list->head) {
        struct co_case *waiting = case_of(list->head);

        *ret_ticket = co_waitlist_claim_first(list, waiting->index + 1);
        if (*ret_ticket)
            return waiting;
    }
    return NULL;
}

/*
 * Claims the first waiter of the list for its case. Returns: the case, whose value may be moved;
 * *ret_ticket is to be finished.
 */
static struct co_case *claim(struct co_waitlist *list, co_ticket *ret_ticket)
{
    return list->head ? claim_first(list, ret_ticket) : NULL;
}

/* Returns: 0, -EPIPE, or -EAGAIN; a receiver that got the value is to be finished. */
static int send_now(struct co_chan *chan, const void *value, co_ticket *ret_ticket)
{
    struct co_case *receiver;

    if (chan->closed)
        return -EPIPE;
    receiver = claim(&chan->receivers, ret_ticket);
    if (receiver) {
        copy(chan, receiver->value, value);
        receiver->result = 1;
        return 0;
    }
    if (chan->count == chan->capacity)
        return -EAGAIN;
    copy(chan, place(chan, chan->count++), value);
    return 0;
}

/* Returns: 1, 0 (closed), or -EAGAIN; a sender whose value was taken is to be finished. */
static int recv_now(struct co_chan *chan, void *ret_value, co_ticket *ret_ticket)
{
    struct co_case *sender;

    if (chan->count > 0) {
        copy(chan, ret_value, place(chan, 0));
        chan->first = wrapped(chan, chan->first + 1);
        chan->count--;
        sender = claim(&chan->senders, ret_ticket);
        if (sender) {
            copy(chan, place(chan, chan->count++), sender->value);
            sender->result = 0;
        }
        return 1;
    }
    sender = claim(&chan->senders, ret_ticket);
    if (sender) {
        copy(chan, ret_value, sender->value);
        sender->result = 0;
        return 1;
    }
    return chan->closed ? 0 : -EAGAIN;
}

static int do_now(struct co_case *one, co_ticket *ret_ticket)
{
    if (one->kind == CO_CASE_SEND)
        return send_now(one->chan, one->value, ret_ticket);
    return recv_now(one->chan, one->value, ret_ticket);
}

/* ---- one channel ---- */

static struct co_waitlist *list_of(struct co_case *one)
{
    return one->kind == CO_CASE_SEND ? &one->chan->senders : &one->chan->receivers;
}

/*
 * The last look before sleep; cancel may have won the claim already, and then what is done here is
 * done all the same.
 */
static int commit_one(co_ticket self, void *arg)
{
    struct co_case *one = arg;
    co_ticket ticket = 0;
    int r;

    co_latch_take(&one->chan->latch);
    r = do_now(one, &ticket);
    if (r == -EAGAIN)
        co_waitlist_add(list_of(one), &one->waiter, self);
    else
        one->result = r;
    co_latch_give(&one->chan->latch);
    if (ticket)
        co_finish(ticket);
    return r != -EAGAIN;
}

static int wait_for(struct co_case *one)
{
    int r;

    one->result = -EAGAIN;
    r = co_park_for(one->kind == CO_CASE_SEND ? "channel to send" : "channel to receive", one->chan,
                    commit_one, one, CO_PARK_INSIDE);
    if (r >= 0 || one->result != -EAGAIN)
        return one->result;
    co_latch_take(&one->chan->latch);
    co_waitlist_remove(list_of(one), &one->waiter);
    co_latch_give(&one->chan->latch);
    return r;
}

int co_chan_try_send(struct co_chan *chan, const void *value)
{
    co_ticket ticket = 0;
    int r;

    co_latch_take(&chan->latch);
    r = send_now(chan, value, &ticket);
    co_latch_give(&chan->latch);
    if (ticket)
        co_finish(ticket);
    return r;
}

int co_chan_try_recv(struct co_chan *chan, void *ret_value)
{
    co_ticket ticket = 0;
    int r;

    co_latch_take(&chan->latch);
    r = recv_now(chan, ret_value, &ticket);
    co_latch_give(&chan->latch);
    if (ticket)
        co_finish(ticket);
    return r;
}

static int send_waiting(struct co_chan *chan, const void *value)
{
    struct co_case one = {.chan = chan, .kind = CO_CASE_SEND, .value = (void *)(uintptr_t)value};

    return wait_for(&one);
}

static int recv_waiting(struct co_chan *chan, void *ret_value)
{
    struct co_case one = {.chan = chan, .kind = CO_CASE_RECV, .value = ret_value};

    return wait_for(&one);
}

int co_chan_send(struct co_chan *chan, const void *value)
{
    int r = co_check();

    if (r == 0)
        r = co_chan_try_send(chan, value);
    return r == -EAGAIN ? send_waiting(chan, value) : r;
}

int co_chan_recv(struct co_chan *chan, void *ret_value)
{
    int r = co_check();

    if (r == 0)
        r = co_chan_try_recv(chan, ret_value);
    return r == -EAGAIN ? recv_waiting(chan, ret_value) : r;
}

/* Claims all of a list, whose cases end with `result`. */
static void claim_all(struct co_waitlist *list, int result, struct co_claimed *claimed)
{
    while (list->head) {
        struct co_case *one = case_of(list->head);

        if (co_waitlist_claim_into(list, one->index + 1, claimed))
            one->result = result;
    }
}

int co_chan_close(struct co_chan *chan)
{
    struct co_claimed claimed = {0};
    int was;

    co_latch_take(&chan->latch);
    was = chan->closed;
    chan->closed = 1;
    claim_all(&chan->receivers, 0, &claimed);
    claim_all(&chan->senders, -EPIPE, &claimed);
    co_latch_give(&chan->latch);
    co_waitlist_finish(&claimed);
    return was ? -EPIPE : 0;
}

size_t co_chan_len(struct co_chan *chan)
{
    size_t count;

    co_latch_take(&chan->latch);
    count = chan->count;
    co_latch_give(&chan->latch);
    return count;
}

/* ---- select ---- */

struct selection {
    struct co_case *cases;
    struct co_case **sorted; /* those that have a channel, by its address */
    int count;
    int sorted_count;
    int chosen;       /* what happened at once; -1 */
    co_ticket ticket; /* to be finished for it */
};

static int by_address(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)(*(struct co_case *const *)a)->chan;
    uintptr_t y = (uintptr_t)(*(struct co_case *const *)b)->chan;

    return (x > y) - (x < y);
}

static bool first_of_its_channel(const struct selection *s, int i)
{
    return i == 0 || s->sorted[i]->chan != s->sorted[i - 1]->chan;
}

static void take_all(struct selection *s)
{
    for (int i = 0; i < s->sorted_count; i++) {
        if (first_of_its_channel(s, i))
            co_latch_take(&s->sorted[i]->chan->latch);
    }
}

static void give_all(struct selection *s)
{
    for (int i = s->sorted_count - 1; i >= 0; i--) {
        if (first_of_its_channel(s, i))
            co_latch_give(&s->sorted[i]->chan->latch);
    }
}

/* xorshift64 (Marsaglia 2003), under the first channel's latch, which is held anyway. */
static uint32_t dice(struct co_chan *chan, uint32_t sides)
{
    chan->dice ^= chan->dice << 13;
    chan->dice ^= chan->dice >> 7;
    chan->dice ^= chan->dice << 17;
    return (uint32_t)((chan->dice >> 32) * sides >> 32);
}

/*
 * Puts the cases that have a channel into an order by chance: each of those that can happen has the
 * same chance.
 */
static void shuffle(const struct selection *s)
{
    for (int i = 0; i < s->sorted_count; i++) {
        uint32_t j = dice(s->sorted[0]->chan, (uint32_t)i + 1);

        s->sorted[i]->turn = s->sorted[j]->turn;
        s->sorted[j]->turn = i;
    }
}

/* Does one case that can happen now. All latches are held. */
static bool choose(struct selection *s)
{
    shuffle(s);
    for (int i = 0; i < s->sorted_count; i++) {
        struct co_case *one = s->sorted[s->sorted[i]->turn];

        one->result = do_now(one, &s->ticket);
        if (one->result != -EAGAIN) {
            s->chosen = one->index;
            return true;
        }
    }
    return false;
}

/* Claims pass the index of a case, plus one. */
static int commit(co_ticket self, void *arg)
{
    struct selection *s = arg;
    bool done;

    take_all(s);
    done = choose(s);
    for (int i = 0; !done && i < s->sorted_count; i++)
        co_waitlist_add(list_of(s->sorted[i]), &s->sorted[i]->waiter, self);
    give_all(s);
    if (s->ticket)
        co_finish(s->ticket);
    return done;
}

/*
 * Leaves out the case that happened: it is unlinked, and the other side may have freed its channel.
 * Where the channel is in other cases too, these are linked yet, and the caller of co_select keeps
 * it.
 */
static void leave_out(struct selection *s, const struct co_case *done)
{
    int i = 0;

    while (s->sorted[i] != done)
        i++;
    if ((i > 0 && s->sorted[i - 1]->chan == done->chan) ||
        (i + 1 < s->sorted_count && s->sorted[i + 1]->chan == done->chan))
        return;
    s->sorted_count--;
    for (; i < s->sorted_count; i++)
        s->sorted[i] = s->sorted[i + 1];
}

static void unlink_all(struct selection *s)
{
    take_all(s);
    for (int i = 0; i < s->sorted_count; i++)
        co_waitlist_remove(list_of(s->sorted[i]), &s->sorted[i]->waiter);
    give_all(s);
}

static int select_wait(struct selection *s)
{
    int r = co_park_for("select", s->cases, commit, s, CO_PARK_INSIDE);

    if (s->chosen >= 0) /* by the commit, whoever won the claim */
        return s->chosen;
    if (r > 0)
        leave_out(s, &s->cases[r - 1]);
    unlink_all(s);
    return r > 0 ? r - 1 : r;
}

static int select_sorted(struct selection *s, unsigned flags)
{
    bool done;

    for (int i = 0; i < s->count; i++) {
        s->cases[i].index = i;
        s->cases[i].waiter.linked = 0;
        if (s->cases[i].chan)
            s->sorted[s->sorted_count++] = &s->cases[i];
    }
    qsort(s->sorted, (size_t)s->sorted_count, sizeof *s->sorted, by_address);
    take_all(s);
    done = choose(s);
    give_all(s);
    if (done) {
        if (s->ticket)
            co_finish(s->ticket);
        return s->chosen;
    }
    return flags & CO_SELECT_TRY ? -EAGAIN : select_wait(s);
}

int co_select(struct co_case *cases, int count, unsigned flags)
{
    struct co_case *on_stack[ON_STACK];
    struct selection s = {.cases = cases, .count = count, .sorted = on_stack, .chosen = -1};
    int r = flags & CO_SELECT_TRY ? 0 : co_check();

    if (r == 0 && count < 0)
        r = -EINVAL;
    if (r < 0)
        return r;
    if (count > ON_STACK)
        s.sorted = malloc((size_t)count * sizeof(*s.sorted));
    if (!s.sorted)
        return -ENOMEM;
    r = select_sorted(&s, flags);
    if (count > ON_STACK)
        free((void *)s.sorted);
    return r;
}
