/* SPDX-License-Identifier: MIT */
/*
 * locks.c - model of the primitives with a fast path beside the latch: runtime/sync/rwlock.c,
 * wait_group.c and waitlist.c themselves, on park.c, timer.c and coro.c.
 *
 * rwlock: one writes and reads, one reads, one writes and is cancelled. Whoever is the last to need
 *         the lock uses its memory for something else.
 * group:  two count themselves off, one waits, then uses the group's memory for something else; it
 *         is cancelled.
 * again:  one counts itself off and then, in another turn, is counted again, while two wait.
 *
 * Checked: a writer is alone, who reads sees what was written; what was done before is seen by who
 * waited for it; nobody waits for ever; nobody touches what has ended (data race).
 * Not covered: who comes first is served first.
 */
#include "stage.h"

#include <co/rwlock.h>
#include <co/wait_group.h>

enum scenarios { RWLOCK, WAITGROUP, AGAIN };

const char model_name[] = "locks";
const int model_threads = THREADS;
const char *const model_scenarios[] = {
    "rwlock: two write, two read, cancel",
    "group: two done, one waits, cancel",
    "again: done, added, done; two wait",
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

    co__worker()->current->grace = true; /* cancelled or not */
    MODEL_CHECK(co_rwlock_write(&lock) == 0);
    last = --users == 0;
    co_rwlock_unlock(&lock);
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
    read_once();
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

/* ---- each execution ---- */

void model_before(int scenario)
{
    stage_set();
    ended = guarded = writers = waited = made[0] = made[1] = 0;
    users = 3;
    lock = (struct co_rwlock){0};
    group = (struct co_wait_group){0};
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
    MODEL_CHECK(scenario == RWLOCK || model_value(&group.word) / 2 == 0);
    MODEL_CHECK(scenario != AGAIN || (waited == 2 && !group.waiters.head));
}
