/* SPDX-License-Identifier: MIT */
/*
 * tests/runtime/test_steal.c - stealing is real. The counts hold on every machine; for the times, a
 * repetition that a busy machine has spoilt is tried again. tests/stress/stealing.c is stricter.
 */
#include "stress/stolen.h"
#include "support/run.h"

TestSuite(steal, .timeout = 120);

#ifdef CO_TEST_TSAN
enum { LIMIT_MS = 1000, STEALS = 40 }; /* a new coroutine takes milliseconds there */
#else
enum { LIMIT_MS = 100, STEALS = 10 };
#endif
enum { REPETITIONS = 5, ATTEMPTS = 40, COMPUTING_MS = 2 * LIMIT_MS + 100 };

static bool woken;

/* Few steals, at once: where the kernel lets the one compute and the other come meanwhile. */
static bool swift(const struct stolen_report *r)
{
    return r->ran == STOLEN_COUNT && r->slowest <= LIMIT_MS * CO_MS &&
           r->by_stealing >= STOLEN_COUNT - 2 && r->steals <= STEALS;
}

static int repeat(void *arg)
{
    (void)arg;
    for (int i = 0; i < REPETITIONS; i++) {
        struct stolen_report r = {0};

        for (int k = 0; k < ATTEMPTS && !swift(&r); k++)
            CHECK(stolen_repeat(woken, COMPUTING_MS * CO_MS, &r) == 0);
        CHECK(r.ran == STOLEN_COUNT);
        CHECK(r.elsewhere == STOLEN_COUNT);
        CHECK(r.injected == 0);
        CHECK(swift(&r));
    }
    return 0;
}

static void repeat_unless_chaotic(void)
{
    if (chaotic())
        cr_skip_test("fault points move coroutines by other ways");
    run_on(2, repeat, NULL);
}

Test(steal, new_coroutines_of_a_worker_that_computes_run_on_the_other)
{
    repeat_unless_chaotic();
}

Test(steal, woken_coroutines_of_a_worker_that_computes_run_on_the_other)
{
    woken = true;
    repeat_unless_chaotic();
}

/* ---- what belongs to a stuck worker ---- */

static _Atomic int64_t done_at;
static _Atomic int done_on;

static void note(void *arg)
{
    (void)arg;
    atomic_store(&done_on, co_worker());
    atomic_store(&done_at, co_now());
}

/* Computes for so long, and on until somebody has noted. */
static void compute_until_noted(int64_t ns)
{
    int64_t begun = co_now();

    while (co_now() - begun < ns || (atomic_load(&done_at) == 0 && co_now() - begun < 20 * CO_SEC))
        continue;
    CHECK(atomic_load(&done_at) != 0);
}

/* The machine may have other things to do, but not each time. */
enum { TRIES = 5, TRIES_MOST = 50 };

/* The only ready coroutine is the occupant of the LIFO slot: nobody is woken for it. */
static int leave_one_in_the_slot(void *arg)
{
    int64_t begun, best = CO_NEVER;

    (void)arg;
    for (int i = 0; i < TRIES || (best >= 50 * CO_MS && i < TRIES_MOST); i++) {
        CHECK(co_sleep(20 * CO_MS) == 0);
        atomic_store(&done_at, 0);
        begun = co_now();
        start(note, NULL);
        compute_until_noted(200 * CO_MS);
        CHECK(chaotic() || atomic_load(&done_on) != co_worker());
        if (atomic_load(&done_at) - begun < best)
            best = atomic_load(&done_at) - begun;
    }
    CHECK(best < 50 * CO_MS);
    return 0;
}

Test(steal, the_occupant_of_the_lifo_slot_is_rescued_from_a_stuck_worker)
{
    run_on(2, leave_one_in_the_slot, NULL);
}

static void sleep_and_note(void *arg)
{
    (void)arg;
    CHECK(co_sleep(20 * CO_MS) == 0);
    note(NULL);
}

static int leave_a_timer(void *arg)
{
    int64_t begun, best = CO_NEVER;

    (void)arg;
    for (int i = 0; i < TRIES || (best >= 100 * CO_MS && i < TRIES_MOST); i++) {
        atomic_store(&done_at, 0);
        begun = co_now();
        CHECK(co_go(sleep_and_note, NULL) == 0);
        CHECK(co_yield() == 0); /* it parks, with its timer here most likely */
        compute_until_noted(250 * CO_MS);
        CHECK(atomic_load(&done_at) - begun >= 20 * CO_MS);
        if (atomic_load(&done_at) - begun < best)
            best = atomic_load(&done_at) - begun;
    }
    CHECK(best < 100 * CO_MS);
    return 0;
}

Test(steal, the_timers_of_a_stuck_worker_are_served)
{
    run_on(2, leave_a_timer, NULL);
}

/* ---- no worker is idle while another has plenty ---- */

static _Atomic int on[4];

static void work(void *arg)
{
    (void)arg;
    compute(CO_MS);
    atomic_fetch_add(&on[co_worker()], 1);
}

static int plenty(void *arg)
{
    (void)arg;
    for (int i = 0; i < 400; i++)
        start(work, NULL);
    return 0;
}

/* Returns: how much the worker did that did least. */
static int spread(int order)
{
    struct co_conf conf = settings(4);
    int total = 0, least = 400;

    conf.order = order;
    for (int i = 0; i < 4; i++)
        atomic_store(&on[i], 0);
    cr_assert_eq(run_conf(&conf, plenty, NULL), 0);
    for (int i = 0; i < 4; i++) {
        least = on[i] < least ? on[i] : least;
        total += on[i];
    }
    cr_assert_eq(total, 400);
    return least;
}

Test(steal, a_heap_of_work_spreads_over_all_workers)
{
    for (int order = CO_ORDER_FIFO; order <= CO_ORDER_LIFO; order++) {
        int least = spread(order);

        for (int i = 0; i < TRIES_MOST && least < 5; i++) /* the machine may have held one up */
            least = spread(order);
        cr_assert_geq(least, 5, "one worker did %d of 400", least);
    }
}

/* ---- the pinned are nobody's to steal ---- */

static _Atomic int strangers, pinned_done;

static void stay(void *arg)
{
    if (co_worker() != *(int *)arg)
        atomic_fetch_add(&strangers, 1);
    atomic_fetch_add(&pinned_done, 1);
}

static int leave_pinned(void *arg)
{
    static int home;

    (void)arg;
    home = co_worker();
    CO_PIN();
    for (int i = 0; i < 100; i++)
        CHECK(co_go_with(&(struct co_opts){.pinned = 1}, stay, &home) == 0);
    compute(100 * CO_MS);
    CHECK(atomic_load(&pinned_done) == 0);
    until(&pinned_done, 100);
    CHECK(co_worker() == home);
    return 0;
}

Test(steal, the_pinned_wait_for_their_own_worker)
{
    run_on(3, leave_pinned, NULL);
    cr_assert_eq(strangers, 0);
}

/* ---- who reads the clock ---- */

enum { SHARERS = 16, TURN_US = 100, ENOUGH = 50 };

static _Atomic int turns_elsewhere;
static int home;

/* As a server does for each message. */
static void take_turns(int turns, int64_t until)
{
    for (int i = 0; i < turns && co_now() < until && atomic_load(&turns_elsewhere) < ENOUGH; i++) {
        CO_DEADLINE(30 * CO_SEC);

        CHECK(co_yield() == 0);
        compute(TURN_US * CO_US);
        if (co_worker() != home)
            atomic_fetch_add(&turns_elsewhere, 1);
    }
}

static void share(void *arg)
{
    take_turns(INT32_MAX, *(int64_t *)arg);
}

static int share_work(void *arg)
{
    static int64_t until;
    int64_t begun = co_now();

    (void)arg;
    home = co_worker();
    take_turns(300, begun + 60 * CO_SEC);
    home = co_worker();
    atomic_store(&turns_elsewhere, 0);
    until = co_now() + 60 * CO_SEC;
    for (int i = 0; i < SHARERS; i++)
        start(share, &until);
    while (stat_of("ended") < SHARERS)
        CHECK(co_sleep(5 * CO_MS) == 0);
    CHECK(atomic_load(&turns_elsewhere) >= ENOUGH);
    return 0;
}

Test(steal, a_deadline_in_each_turn_does_not_keep_the_work_on_one_worker)
{
    if (chaotic())
        cr_skip_test("fault points move coroutines by other ways");
    run_on(2, share_work, NULL);
}
