/* SPDX-License-Identifier: MIT */
/*
 * locks.c - model of the primitives with a fast path beside the latch: runtime/sync/rwlock.c,
 * wait_group.c, once.c and waitlist.c themselves, with what their headers do on the spot, on
 * park.c, timer.c and coro.c.
 *
 * rwlock: one writes and reads, one reads under a guard, one writes and is cancelled. Whoever is
 *         the last to need the lock, by a guard, uses its memory for something else.
 * group:  two count themselves off, one waits, then uses the group's memory for something else; it
 *         is cancelled.
 * again:  one counts itself off and then, in another turn, is counted again, while two wait.
 * once:   three want it done, the first attempt fails, and one of them is cancelled.
 *
 * Checked: a writer is alone, who reads sees what was written; what was done before is seen by who
 * waited for it; nobody waits for ever; nobody touches what has ended (data race).
 * Not covered: who comes first is served first.
 */
#include "stage.h"

#include <co/once.h>
#include <co/rwlock.h>
#include <co/wait_group.h>

enum scenarios { RWLOCK, WAITGROUP, AGAIN, ONCE };

const char model_name[] = "locks";
const int model_threads = THREADS;
const char *const model_scenarios[] = {
    "rwlock: two write, two read, cancel",
    "group: two done, one waits, cancel",
    "again: done, added, done; two wait",
    "once: three want it, one fails, cancel",
    NULL,
};

static struct co__coro *subject; /* who is cancelled */
static int ended;

/* ---- rwlock ---- */

static struct co_rwlock lock;
static int guarded, writers, users;

static void read_once(void)
{
    int r = co_rwlock_read(&lock);

    MODEL_CHECK(r == 0 || r == -ECANCELED);
    if (r < 0)
        return;
    MODEL_CHECK(writers == 0 && guarded >= 0);
    co_rwlock_unlock(&lock);
}

static void read_guarded(void)
{
    CO_READ_LOCK(&lock);

    MODEL_CHECK(writers == 0 && guarded >= 0);
}

static void write_once(void)
{
    int r = co_rwlock_write(&lock);

    MODEL_CHECK(r == 0 || r == -ECANCELED);
    if (r < 0)
        return;
    MODEL_CHECK(++writers == 1);
    guarded++;
    writers--;
    co_rwlock_unlock(&lock);
}

/* Its memory is something else's now. */
static void reuse(struct co_waitlist *list)
{
    list->head = list->tail = (struct co_waiter *)-64;
}

static void leave(void)
{
    bool last;

    {
        CO_WRITE_LOCK(&lock); /* cancelled or not */
        last = --users == 0;
    }
    if (last)
        reuse(&lock.waiters);
}

static void write_and_read(void *arg)
{
    (void)arg;
    write_once();
    read_once();
    leave();
    ended++;
}

static void read_and_leave(void *arg)
{
    (void)arg;
    read_guarded();
    leave();
    ended++;
}

static void write_and_leave(void *arg)
{
    (void)arg;
    write_once();
    leave();
    ended++;
}

/* ---- wait group ---- */

static struct co_wait_group group;
static int made[2];
static int waited;

static void count_off(void *arg)
{
    *(int *)arg = 1;
    MODEL_CHECK(co_wait_group_add(&group, -1) == 0);
    ended++;
}

static void wait_and_end(void *arg)
{
    int r = co_wait_group_wait(&group);

    (void)arg;
    MODEL_CHECK(r == 0 || r == -ECANCELED);
    if (r == 0) {
        MODEL_CHECK(made[0] + made[1] == 2);
        reuse(&group.waiters);
    }
    ended++;
}

static void count_again(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++) {
        MODEL_CHECK(co_wait_group_add(&group, -1) == 0);
        MODEL_CHECK(co_wait_group_add(&group, i == 0) == 0);
    }
    ended++;
}

static void only_wait(void *arg)
{
    (void)arg;
    MODEL_CHECK(co_wait_group_wait(&group) == 0);
    waited++;
    ended++;
}

/* ---- once ---- */

static struct co_once once;
static int attempts;

static int attempt(void *arg)
{
    (void)arg;
    MODEL_CHECK(++guarded == 1); /* alone */
    guarded = 0;
    if (++attempts == 1)
        return -EIO;
    made[0]++;
    return 0;
}

static void want_it_done(void *arg)
{
    int r = co_once_do(&once, attempt, arg);

    MODEL_CHECK(r == 0 || r == -EIO || r == -ECANCELED);
    MODEL_CHECK(r < 0 || made[0] == 1);
    waited += r != -EIO;
    ended++;
}

/* ---- each execution ---- */

void model_before(int scenario)
{
    stage_set();
    ended = guarded = writers = waited = attempts = made[0] = made[1] = 0;
    users = 3;
    lock = (struct co_rwlock){0};
    group = (struct co_wait_group){0};
    once = (struct co_once){0};
    model_watch_plain(&guarded, sizeof guarded);
    model_watch_plain(&made[0], sizeof made[0]);
    model_watch_plain(&made[1], sizeof made[1]);
    if (scenario == RWLOCK) {
        model_watch(&lock.word, sizeof lock.word, 0);
        model_watch_plain(&lock.waiters, sizeof lock.waiters);
        (void)begin(0, write_and_read);
        (void)begin(1, read_and_leave);
        subject = begin(2, write_and_leave);
        return;
    }
    if (scenario == ONCE) {
        model_watch(&once.state, sizeof once.state, 0);
        model_watch_plain(&once.waiters, sizeof once.waiters);
        model_watch_plain(&attempts, sizeof attempts);
        (void)begin(0, want_it_done);
        (void)begin(1, want_it_done);
        subject = begin(2, want_it_done);
        return;
    }
    model_watch(&group.word, sizeof group.word, scenario == WAITGROUP ? 4 : 2);
    model_watch_plain(&group.waiters, sizeof group.waiters);
    if (scenario == WAITGROUP) {
        subject = begin(0, wait_and_end);
        begin(1, count_off)->entry.arg = &made[0];
        begin(2, count_off)->entry.arg = &made[1];
    } else {
        (void)begin(0, only_wait);
        (void)begin(1, only_wait);
        (void)begin(2, count_again);
    }
}

void model_run(int scenario, int thread)
{
    if (thread == 3 && scenario != AGAIN)
        co__cancel(subject);
    run_ready();
}

void model_after(int scenario)
{
    MODEL_CHECK(ended == 3);
    MODEL_CHECK(scenario != RWLOCK || model_value(&lock.word) == 0);
    MODEL_CHECK((scenario != WAITGROUP && scenario != AGAIN) || model_value(&group.word) / 2 == 0);
    MODEL_CHECK(scenario != ONCE || (waited == 2 && made[0] == 1));
    MODEL_CHECK(scenario != AGAIN || (waited == 2 && !group.waiters.head));
}
