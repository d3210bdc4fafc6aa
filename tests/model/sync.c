/* SPDX-License-Identifier: MIT */
/*
 * sync.c - model of primitives on a latch and a waitlist, and of groups: runtime/sync/waitlist.c,
 * mutex.c, chan.c and runtime/group.c themselves, on park.c, timer.c and coro.c.
 *
 * mutex:  three coroutines lock, one of them twice, under a guard first, another is cancelled.
 * chan:   one sends two values without a buffer and closes, one receives to the end; the sender is
 *         cancelled.
 * select: one receives from either of two channels, twice; two send; the one that receives is
 * cancelled.
 * meet:   the same, and nobody is cancelled.
 * group:  a group with one member that sleeps and one that cancels the group and ends with an error
 *         is closed; somebody wakes the sleeper; then its memory is used for something else.
 *
 * Checked: one holder at a time, who sees what the one before wrote; nobody waits for ever; a value
 * that was sent arrives once, one that was not never; members have ended when the group is closed,
 * and nobody touches it after that (data race).
 * Not covered: deadlines (core.c), nested groups, the other primitives, which are built alike.
 */
#include "stage.h"

#include <co/chan.h>
#include <co/group.h>
#include <co/mutex.h>

enum scenarios { MUTEX, CHAN, SELECT, MEET, GROUP };

const char model_name[] = "sync";
const int model_threads = THREADS;
const char *const model_scenarios[] = {
    "mutex: three lock, one is cancelled", "chan: two values, close, cancel",
    "select: two channels, cancel",        "meet: two channels",
    "group: error, cancel, wait, close",   NULL,
};

static struct co__coro *subject; /* who is cancelled */
static int ended;

/* ---- mutex ---- */

static struct co_mutex mutex;
static int guarded, locked, holders;

static void hold(void)
{
    MODEL_CHECK(++holders == 1);
    guarded++;
    locked++;
    holders--;
}

static void lock_once(void)
{
    int r = co_mutex_lock(&mutex);

    MODEL_CHECK(r == 0 || r == -ECANCELED);
    if (r < 0)
        return;
    hold();
    co_mutex_unlock(&mutex);
}

static void lock_guarded(void)
{
    CO_LOCK(&mutex);

    hold();
}

static void locker(void *arg)
{
    (void)arg;
    lock_once();
    ended++;
}

static void locker_twice(void *arg)
{
    (void)arg;
    lock_guarded();
    lock_once();
    ended++;
}

/* ---- channels ---- */

static struct co_chan *chans[2];
static _Alignas(64) char arena[2][256]; /* where chan.c has its channels */
static int allocated;

void *model_malloc(size_t size);
void model_free(void *memory);

void *model_malloc(size_t size)
{
    MODEL_CHECK(size <= sizeof arena[0] && allocated < 2);
    return arena[allocated++];
}

void model_free(void *memory)
{
    (void)memory;
}

static int sent, received;

static void send_value(struct co_chan *chan, int value)
{
    int r = co_chan_send(chan, &value);

    MODEL_CHECK(r == 0 || r == -ECANCELED || r == -EPIPE);
    if (r == 0)
        sent += value;
}

static void sender_of_two(void *arg)
{
    (void)arg;
    send_value(chans[0], 1);
    send_value(chans[0], 2);
    (void)co_chan_close(chans[0]);
    ended++;
}

static void receiver(void *arg)
{
    int value = 0;
    int r;

    (void)arg;
    while ((r = co_chan_recv(chans[0], &value)) == 1)
        received += value;
    MODEL_CHECK(r == 0);
    ended++;
}

static void sender_a(void *arg)
{
    (void)arg;
    send_value(chans[0], 1);
    ended++;
}

static void sender_b(void *arg)
{
    (void)arg;
    send_value(chans[1], 2);
    ended++;
}

static void selector(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++) {
        int values[2] = {0, 0};
        struct co_case cases[2] = {
            {.chan = chans[0], .kind = CO_CASE_RECV, .value = &values[0]},
            {.chan = chans[1], .kind = CO_CASE_RECV, .value = &values[1]},
        };
        int r = co_select(cases, 2, 0);

        MODEL_CHECK(r == 0 || r == 1 || r == -ECANCELED);
        if (r < 0)
            break;
        MODEL_CHECK(cases[r].result == 1 && values[r] == r + 1 && values[1 - r] == 0);
        received += values[r];
    }
    (void)co_chan_close(chans[0]);
    (void)co_chan_close(chans[1]);
    ended++;
}

/* ---- group ---- */

static struct co_group group;
static _Atomic co_ticket asleep;
static int members_ended;

static int publish(co_ticket self, void *arg)
{
    (void)arg;
    atomic_store_explicit(&asleep, self, memory_order_seq_cst);
    return 0;
}

static int sleeping_member(void *arg)
{
    int r = co_park(publish, NULL, 0);

    (void)arg;
    MODEL_CHECK(r == 1 || r == -ECANCELED);
    members_ended++;
    return r < 0 ? r : 0;
}

static int failing_member(void *arg)
{
    (void)arg;
    co_group_cancel(&group);
    members_ended++;
    return -EIO;
}

static void opener(void *arg)
{
    int started = 0;
    int r;

    (void)arg;
    MODEL_CHECK(co_group_open(&group) == 0);
    started += co_group_go(&group, sleeping_member, NULL) == 0;
    started += co_group_go(&group, failing_member, NULL) == 0;
    r = co_group_close(&group);
    MODEL_CHECK(members_ended == started);
    MODEL_CHECK(r == 0 || r == -EIO || r == -ECANCELED);
    memset(&group.waiters, 0xff, sizeof group.waiters); /* It is somebody else's now. */
    ended++;
}

/* ---- each execution ---- */

static void before_group(void)
{
    group = (struct co_group){0};
    model_watch(&asleep, sizeof asleep, 0);
    model_watch_plain(&group.waiters, sizeof group.waiters);
    model_watch_plain(&members_ended, sizeof members_ended);
    /* The first thread starts three: it gets the last one's record. */
    workers[3].free->next = workers[0].free;
    workers[0].free = workers[3].free;
    workers[0].free_count++;
    workers[3].free = NULL;
    workers[3].free_count = 0;
    (void)begin(0, opener);
}

static void before_chans(int scenario)
{
    for (int i = 0; i < 2; i++)
        chans[i] = co_chan_new(sizeof(int), 0);
    if (scenario == CHAN) {
        subject = begin(0, sender_of_two);
        (void)begin(1, receiver);
    } else {
        subject = begin(0, selector);
        (void)begin(1, sender_a);
        (void)begin(2, sender_b);
    }
}

void model_before(int scenario)
{
    stage_set();
    allocated = ended = guarded = locked = holders = sent = received = members_ended = 0;
    mutex = (struct co_mutex){0};
    model_watch_plain(&guarded, sizeof guarded);
    if (scenario == MUTEX) {
        model_watch_plain(&mutex.waiters, sizeof mutex.waiters);
        (void)begin(0, locker_twice);
        subject = begin(1, locker);
        (void)begin(2, locker);
    } else if (scenario == GROUP) {
        before_group();
    } else {
        before_chans(scenario);
    }
}

static void play_group(int thread)
{
    if (thread == 0) {
        run_ready();
    } else if (thread == 1) {
        co_ticket ticket = atomic_load_explicit(&asleep, memory_order_seq_cst);

        if (ticket)
            (void)co_unpark(ticket, 1);
        run_ready();
    }
}

void model_run(int scenario, int thread)
{
    if (scenario == GROUP) {
        play_group(thread);
    } else if (thread == 3 && scenario != MEET) {
        co__cancel(subject);
        run_ready();
    } else {
        run_ready();
    }
}

void model_after(int scenario)
{
    MODEL_CHECK(ended == (scenario == GROUP ? 1 : scenario == CHAN ? 2 : 3));
    MODEL_CHECK(guarded == locked && sent == received);
    if (scenario == MUTEX)
        MODEL_CHECK(model_value(&mutex.state) == 0 && !mutex.waiters.head);
    if (scenario == CHAN || scenario == SELECT || scenario == MEET) {
        for (int i = 0; i < 2; i++)
            co_chan_free(chans[i]);
    }
}
