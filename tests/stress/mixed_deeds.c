/* SPDX-License-Identifier: MIT */
/*
 * mixed_deeds.c - sleeping, waking by ticket, starting, offloading, nesting, goodbyes, computing.
 */
#include "stress/mixed.h"
#include "stress/stress.h"
#include <co/group.h>
#include <co/offload.h>
#include <co/scope.h>
#include <unistd.h>

/* ---- timers ---- */

int mixed_nap(struct mixed *mixed, uint32_t chance)
{
    int64_t ns = (int64_t)(chance % 1000) * CO_US;
    int64_t before = co_now();
    int r = co_sleep(ns);

    (void)mixed;
    if (r == 0 && co_now() - before < ns)
        fail("woke up too early", co_now() - before, ns);
    return r;
}

/* ---- tickets ---- */

struct box {
    _Atomic(co_ticket) *box;
    co_ticket mine;
};

static int put_into_box(co_ticket self, void *arg)
{
    struct box *box = arg;

    box->mine = self;
    /* Who lay there sleeps on, until his deadline. */
    atomic_store(box->box, self);
    return 0;
}

int mixed_wait_in_a_box(struct mixed *mixed, uint32_t chance)
{
    struct box box = {.box = &mixed->boxes[chance % MIXED_BOXES]};
    co_ticket mine;
    int r = co_park(put_into_box, &box, 0);

    mine = box.mine;
    (void)atomic_compare_exchange_strong(box.box, &mine, 0);
    if (r == 7)
        atomic_fetch_add(&mixed->wakes_got, 1);
    else if (r >= 0)
        fail("woken by nobody", r, 0);
    if (co_claim(box.mine, 8))
        fail("a park that has ended was claimed", r, 0);
    return r < 0 ? r : 0;
}

int mixed_wake(struct mixed *mixed, uint32_t chance)
{
    co_ticket ticket = atomic_exchange(&mixed->boxes[chance % MIXED_BOXES], 0);
    bool won = ticket != 0;

    if (won && chance / MIXED_BOXES % 2)
        won = co_unpark(ticket, 7);
    else if (won && (won = co_claim(ticket, 7)))
        co_finish(ticket);
    if (won)
        atomic_fetch_add(&mixed->wakes_won, 1);
    return 0;
}

/* ---- starting ---- */

static void land(void *arg)
{
    struct mixed *mixed = arg;

    (void)co_yield();
    atomic_fetch_add(&mixed->landed, 1);
}

struct parcel {
    struct mixed *mixed;
    uint32_t chance;
    unsigned char bytes[200];
};

static void land_with_a_copy(void *arg)
{
    const struct parcel *parcel = arg;

    if (parcel->chance % 2)
        (void)co_sleep(50 * CO_US);
    for (size_t i = 0; i < sizeof parcel->bytes; i++) {
        if (parcel->bytes[i] != (unsigned char)(parcel->chance + i))
            fail("a copy is not what was copied", (long long)i, parcel->bytes[i]);
    }
    atomic_fetch_add(&parcel->mixed->landed, 1);
}

static void land_pinned(void *arg)
{
    struct mixed *mixed = arg;
    int worker = co_worker();

    for (int i = 0; i < 4; i++) {
        (void)(i % 2 ? co_yield() : co_sleep(20 * CO_US));
        if (co_worker() != worker)
            fail("a pinned coroutine moved", worker, co_worker());
    }
    atomic_fetch_add(&mixed->landed, 1);
}

int mixed_start_some(struct mixed *mixed, uint32_t chance)
{
    struct co_opts pinned = {.name = "pinned", .pinned = 1};
    struct co_opts large = {.name = "large", .stack_size = (size_t)256 * 1024};
    struct parcel parcel = {.mixed = mixed, .chance = chance};
    int r;

    /* Counted before: it may have ended when co_go returns. */
    atomic_fetch_add(&mixed->spawned, 1);
    switch (chance % 8) {
    case 0:
        r = co_go_with(&pinned, land_pinned, mixed);
        break;
    case 1:
        r = co_go_with(&large, land, mixed);
        break;
    case 2:
    case 3:
        for (size_t i = 0; i < sizeof parcel.bytes; i++)
            parcel.bytes[i] = (unsigned char)(chance + i);
        r = co_go_copy(land_with_a_copy, &parcel, sizeof parcel);
        break;
    default:
        r = co_go(land, mixed);
    }
    if (r < 0)
        atomic_fetch_sub(&mixed->spawned, 1);
    return r;
}

/* ---- offload ---- */

struct sum {
    struct mixed *mixed;
    int a, b;
    int called;
    bool slow;
};

static int add_up(void *arg)
{
    struct sum *sum = arg;

    if (sum->slow)
        (void)usleep(200);
    sum->called = 1;
    atomic_fetch_add(&sum->mixed->offloaded, 1);
    return sum->a + sum->b;
}

static void run_detached(void *arg)
{
    struct mixed *mixed = arg;

    atomic_fetch_add(&mixed->detached, 1);
}

int mixed_offload(struct mixed *mixed, uint32_t chance)
{
    struct sum sum = {mixed, (int)(chance & 0xffff), (int)(chance >> 16), 0, chance % 16 == 0};
    int result = -1;
    int r;

    if (chance % 8 == 7) {
        atomic_fetch_add(&mixed->dropped, 1);
        r = co_offload_detached(run_detached, mixed);
        if (r < 0)
            atomic_fetch_sub(&mixed->dropped, 1);
        return r;
    }
    r = co_offload(add_up, &sum, &result);
    if (r == 0) {
        atomic_fetch_add(&mixed->answered, 1);
        if (result != sum.a + sum.b || !sum.called)
            fail("the result of an offload", result, sum.called);
    } else if (sum.called) {
        fail("taken back, and called", r, 0);
    }
    return r;
}

/* ---- groups ---- */

struct branch {
    struct mixed *mixed;
    uint32_t chance;
    int depth;
};

static int grow(void *arg)
{
    struct branch *branch = arg;
    struct branch twigs[3];
    int r = co_yield();

    if (branch->depth > 0) {
        CO_GROUP(group);

        for (uint32_t i = 0; i < branch->chance % 4; i++) {
            if (i == 3)
                break;
            twigs[i] =
                (struct branch){branch->mixed, branch->chance >> (3 * i + 3), branch->depth - 1};
            atomic_fetch_add(&branch->mixed->spawned, 1);
            if (co_group_go(&group, grow, &twigs[i]) < 0)
                atomic_fetch_sub(&branch->mixed->spawned, 1);
        }
        if (branch->chance % 8 == 5)
            co_group_cancel(&group);
        if (branch->chance % 8 < 6)
            r = co_group_wait(&group);
    } else if (branch->chance % 4 == 0) {
        r = co_sleep(100 * CO_US);
    }
    atomic_fetch_add(&branch->mixed->landed, 1);
    /* The group's result may tell of a cancel that was its own. */
    return r == -ECANCELED ? co_check() : r == -ETIMEDOUT ? r : 0;
}

int mixed_nest_groups(struct mixed *mixed, uint32_t chance)
{
    struct branch root = {mixed, chance, 3};

    atomic_fetch_add(&mixed->spawned, 1);
    return grow(&root);
}

/* ---- goodbyes ---- */

int mixed_say_goodbye(struct mixed *mixed, uint32_t chance)
{
    int64_t ns = (int64_t)(chance % 100) * CO_US;
    int r;

    (void)mixed;
    {
        CO_GRACE(10 * CO_SEC);
        int64_t before = co_now();

        r = co_sleep(ns);
        if (r < 0)
            fail("a goodbye was cut short", r, co_now() - before);
    }
    return co_check();
}

/* ---- computing ---- */

int mixed_compute(struct mixed *mixed, uint32_t chance)
{
    /* Mostly short, now and then so long that others have to serve this worker. */
    int64_t end = co_now() + (chance % 64 == 0 ? 4 * CO_MS : (int64_t)(chance % 50) * CO_US);

    (void)mixed;
    while (co_now() < end)
        continue;
    return 0;
}

/* ---- from outside, and the end of a round ---- */

void mixed_outside(struct mixed *mixed, uint32_t chance)
{
    (void)mixed_wake(mixed, chance);
    if (chance % 4 == 0) {
        atomic_fetch_add(&mixed->spawned, 1);
        if (co_go(land, mixed) < 0)
            atomic_fetch_sub(&mixed->spawned, 1);
    }
}

bool mixed_quiet(struct mixed *mixed)
{
    return atomic_load(&mixed->spawned) == atomic_load(&mixed->landed) &&
           atomic_load(&mixed->dropped) == atomic_load(&mixed->detached);
}

void mixed_check(struct mixed *mixed)
{
    if (mixed->wakes_won != mixed->wakes_got)
        fail("wakes that were won, and got", mixed->wakes_won, mixed->wakes_got);
    if (mixed->spawned != mixed->landed)
        fail("coroutines that were started, and ended", mixed->spawned, mixed->landed);
    if (mixed->dropped != mixed->detached)
        fail("functions that were handed over, and ran", mixed->dropped, mixed->detached);
    if (mixed->offloaded != mixed->answered)
        fail("functions that ran, and were waited for", mixed->offloaded, mixed->answered);
}
