/* SPDX-License-Identifier: MIT */
/*
 * core.c - model of parking, timers, wait sources and offloading: runtime/park.c, timer.c,
 * source.c, coro.c and offload.c themselves.
 *
 * Coroutines have stacks and are switched to and from as in runtime/worker.c; what is not there is
 * the run queue: whoever makes a coroutine ready runs it itself, next. So all order between who
 * parks and who resumes comes from the code under test, and a coroutine moves to another thread,
 * with another timer heap, at each wake-up. The protocols as state machines are told in park.cpp,
 * source.cpp and timer.c of the runtime.
 *
 * channel: a coroutine receives two values from a channel under a latch; a sender, co__cancel.
 * expiry:  the same with a deadline, and time that passes.
 * timer:   deadlines at 5, then 2 (shorter, after a migration perhaps), then 4; a waker ends parks
 *          early, so that nodes stay behind in other threads' heaps; rescuers expire any heap.
 * bytes:   a reader that waits before it reads again; two pollers that compete for the edge; a
 *          deadline.
 * event:   two bytes in one event, and the deadline.
 * last:    the end of stream comes with the last bytes.
 * hangup:  the same with co__source_hangup.
 * start:   co__source_start, then a waiter, then co__source_start again, by bytes.
 * late:    the same with a deadline. drain: with the drain.
 * offload: blocking work twice on another thread, which cancel takes back until it has begun; the
 *          end of the pool.
 * any:     co__source_wait_any at two sources, with an event at each, and a deadline.
 * close:   the same with an event at the one, and the other hung up.
 * refuse:  offload by three at once on a pool of two, whose threads cannot be started; a cancel.
 *
 * Checked: nobody runs a coroutine that still has a foot on its stack, or two at once (data race on
 * `foot`); values, bytes and end of stream arrive once; no time-out comes early, none is lost, nor
 * is a cancel, hang-up or drain; each started coroutine runs once; nobody who has ended is named by
 * a source.
 * Not covered: generations (slot.c), records reused for another life while a stale
 * ticket is held (park.cpp has it for sequences), more than one coroutine per heap but for "start".
 */
#include "futex.h"
#include "offload.h"
#include "stage.h"

#include <co/offload.h>
#include <co/private/source.h>

enum scenarios {
    CHANNEL,
    EXPIRY,
    TIMER,
    BYTES,
    EVENT,
    LAST,
    HANGUP,
    START,
    LATE,
    DRAINED,
    OFFLOAD,
    ANY,
    CLOSE,
    REFUSE
};

enum { VALUE = 1, REFUSED = 2, WOKEN = 3 };
enum { END = 256 }; /* of the stream, in the kernel's word */

const char model_name[] = "core";
const int model_threads = THREADS;
const char *const model_scenarios[] = {
    "channel: two values, cancel",
    "expiry: two values, deadline",
    "timer: shorten, lengthen, migrate",
    "bytes: two, end, deadline",
    "event: two at once, deadline",
    "last: end with the last bytes",
    "hangup: while it waits",
    "start: starter, waiter, starter",
    "late: starter and deadline",
    "drain: starter and drain",
    "offload: taken back or waited for",
    "any: two sources, deadline",
    "close: two sources, one is hung up",
    "refuse: offload without a thread",
    NULL,
};

static int playing;
static struct co__coro *subject;

/* ---- the channel ---- */

static struct co_latch latch;
static co_ticket node; /* 0: nobody waits */
static int buffered, value, received;
static bool done;

static int wait_for_value(co_ticket self, void *arg)
{
    int r = 0;

    (void)arg;
    co_latch_take(&latch);
    if (buffered > 0)
        r = REFUSED;
    else
        node = self;
    co_latch_give(&latch);
    return r;
}

static void receiver(void *arg)
{
    (void)arg;
    if (playing == EXPIRY)
        co__worker()->current->deadline = 5;
    for (;;) {
        int r;

        co_latch_take(&latch);
        if (buffered > 0) {
            buffered--;
            received++;
        }
        co_latch_give(&latch);
        r = co_park(wait_for_value, NULL, 0);
        co_latch_take(&latch);
        node = 0;
        co_latch_give(&latch);
        if (r == VALUE) {
            received += value;
            value = 0;
        }
        MODEL_CHECK(r == VALUE || r == REFUSED ||
                    r == (playing == EXPIRY ? -ETIMEDOUT : -ECANCELED));
        if (r < 0)
            break;
    }
    done = true;
}

static void hand_over(void)
{
    co_ticket ticket;
    bool won = false;

    co_latch_take(&latch);
    ticket = node;
    node = 0;
    if (ticket && co_claim(ticket, VALUE)) {
        won = true;
        value = 1;
    } else {
        buffered++;
    }
    co_latch_give(&latch);
    if (won)
        co_finish(ticket);
    run_ready();
}

static void play_channel(int thread)
{
    if (thread == 0) {
        run_ready();
        mind_time();
    } else if (thread == 1) {
        hand_over();
        hand_over();
        mind_time();
    } else if (thread == 2 && playing == CHANNEL) {
        co__cancel(subject);
        run_ready();
    } else if (thread == 2) {
        pass_time(6);
    }
}

/* ---- deadlines ---- */

static _Atomic co_ticket published;

static int publish_ticket(co_ticket self, void *arg)
{
    (void)arg;
    atomic_store_explicit(&published, self, memory_order_seq_cst);
    return 0;
}

static void sleeper(void *arg)
{
    static const int64_t deadlines[] = {5, 2, 4};

    (void)arg;
    for (int i = 0; i < 3; i++) {
        int r;

        co__worker()->current->deadline = deadlines[i];
        r = co_park(publish_ticket, NULL, 0);
        MODEL_CHECK(r == WOKEN || r == -ETIMEDOUT);
        if (r == -ETIMEDOUT)
            MODEL_CHECK(atomic_load_explicit(&now, memory_order_seq_cst) >= deadlines[i]);
    }
    done = true;
}

static void play_timer(int thread)
{
    if (thread == 0) {
        run_ready();
        mind_time();
    } else if (thread == 1) {
        for (int i = 0; i < 2; i++) {
            co_ticket ticket = atomic_load_explicit(&published, memory_order_seq_cst);

            if (ticket)
                (void)co_unpark(ticket, WOKEN);
            run_ready();
            mind_time();
        }
    } else if (thread == 2) {
        pass_time(3);
        pass_time(5);
    }
}

/* ---- wait sources ---- */

static struct co__source source;
static _Atomic unsigned kernel; /* bytes that have come, and END */
static _Atomic int edge;
static _Atomic int closed;
static int got, armed, started;

static int receive(void)
{
    unsigned k = atomic_load_explicit(&kernel, memory_order_seq_cst);

    while ((k & 255) && !atomic_compare_exchange_strong_explicit(
                            &kernel, &k, k & END, memory_order_seq_cst, memory_order_seq_cst))
        continue;
    return k & 255 ? (int)(k & 255) : k ? 0 : -EAGAIN;
}

static void request(void *arg, int why);

static void begun(struct co__source *s)
{
    MODEL_CHECK(s == &source);
}

static void arm(void)
{
    armed++;
    MODEL_CHECK(co__source_start(&source, begun, request, NULL, 0) == 0);
}

/* Reads until the end; `idle_at`: after so many bytes, waits without a stack instead. */
static void read_all(int idle_at)
{
    bool wait_first = false;
    bool tried = false;

    for (;;) {
        int r;

        if (!wait_first) {
            if (co__source_consume(&source) & CO__SOURCE_CLOSING) {
                done = true;
                return;
            }
            r = receive();
            if (r == 0) {
                MODEL_CHECK(got == 2);
                done = true;
                return;
            }
            tried = r < 0;
            if (r > 0) {
                got += r;
                wait_first = true;
                if (playing == EVENT) {
                    done = true;
                    return;
                }
                continue;
            }
        }
        if (got == idle_at) {
            arm();
            return;
        }
        r = co__source_wait(&source, !tried);
        MODEL_CHECK(r == 0 || r == -ETIMEDOUT || (playing == HANGUP && r == -ECANCELED));
        wait_first = tried = false;
        if (r == -ETIMEDOUT && playing != LATE) {
            co__worker()->current->deadline = CO_NEVER;
            wait_first = true; /* it had to wait before, and no event came */
        } else if (r < 0) {
            done = true;
            return;
        }
    }
}

static void request(void *arg, int why)
{
    (void)arg;
    started++;
    MODEL_CHECK(started == armed);
    if (why < 0) {
        MODEL_CHECK(why == (playing == LATE ? -ETIMEDOUT : -ECANCELED));
        MODEL_CHECK(playing == LATE || playing == DRAINED);
        done = true;
        return;
    }
    if (playing == LATE)
        co__worker()->current->deadline = 5;
    read_all(2);
}

static void reader(void *arg)
{
    (void)arg;
    if (playing == BYTES || playing == EVENT || playing == LATE)
        co__worker()->current->deadline = 5;
    if (playing >= START)
        arm();
    else
        read_all(-1);
}

static void arrive(unsigned bytes)
{
    atomic_fetch_add_explicit(&kernel, bytes, memory_order_seq_cst);
    if (atomic_exchange_explicit(&edge, 1, memory_order_seq_cst) == 0)
        model_gate_post(0);
}

static void network(void)
{
    if (playing == LAST || playing == EVENT) {
        arrive(playing == LAST ? 2 + END : 2);
    } else {
        arrive(1);
        if (playing != LATE)
            arrive(playing == BYTES || playing == HANGUP ? 1 + END : 1);
        if (playing == START)
            arrive(END);
    }
    atomic_store_explicit(&closed, 1, memory_order_seq_cst);
    model_gate_post(0);
    model_gate_post(0);
}

static void take_edges(void)
{
    for (;;) {
        model_gate_wait(0);
        if (atomic_exchange_explicit(&edge, 0, memory_order_seq_cst)) {
            unsigned k = atomic_load_explicit(&kernel, memory_order_seq_cst);

            if (k)
                co__source_deliver(&source, 1, k & END ? CO__SOURCE_HUP : 0);
            run_ready();
            mind_time();
        } else if (atomic_load_explicit(&closed, memory_order_seq_cst)) {
            return;
        }
    }
}

static void play_source(int thread)
{
    if (thread <= 1) {
        run_ready();
        mind_time();
        take_edges();
    } else if (thread == 2) {
        network();
    } else if (playing == BYTES || playing == EVENT || playing == LATE) {
        pass_time(6);
    } else if (playing == HANGUP) {
        co__source_hangup(&source);
        run_ready();
    } else if (playing == DRAINED) {
        atomic_store_explicit(&co__rt.phase, CO__DRAIN, memory_order_seq_cst);
        co__source_poke(&source, CO__SOURCE_STARTER, -ECANCELED);
        run_ready();
    }
}

/* ---- offload ---- */

static void *(*server_main)(void *arg); /* NULL: no thread was needed */
static void *server_arg;
static int sleepers_of_futex;
static char futex_latch[4];
static _Alignas(4) bool work_ran;

int model_mutex_lock(pthread_mutex_t *mutex)
{
    model_latch_take(mutex);
    return 0;
}

int model_mutex_unlock(pthread_mutex_t *mutex)
{
    model_latch_give(mutex);
    return 0;
}

/* The pool's one thread is thread 1. */
int model_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
                         void *arg);
int model_pthread_join(pthread_t thread, void **ret_result);

int model_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
                         void *arg)
{
    (void)thread;
    (void)attr;
    if (playing == REFUSE)
        return EAGAIN;
    server_main = fn;
    server_arg = arg;
    model_gate_post(1);
    return 0;
}

int model_pthread_join(pthread_t thread, void **ret_result)
{
    (void)thread;
    (void)ret_result;
    return 0;
}

/* A thread of the pool has no run queue: what it has made ready runs when it rests. */
void co__futex_wait(const void *word, uint32_t value, int64_t until)
{
    bool sleeps;

    (void)until;
    run_ready();
    model_latch_take(futex_latch);
    sleeps = atomic_load_explicit((const _Atomic uint32_t *)word, memory_order_seq_cst) == value;
    sleepers_of_futex += sleeps;
    model_latch_give(futex_latch);
    if (sleeps)
        model_gate_wait(2);
}

void co__futex_wake(const void *word, int count)
{
    (void)word;
    (void)count;
    model_latch_take(futex_latch);
    if (sleepers_of_futex > 0) {
        sleepers_of_futex--;
        model_gate_post(2);
    }
    model_latch_give(futex_latch);
}

bool co__worker_kick(struct co__worker *w)
{
    (void)w;
    return false;
}

/* It stands, so no server of the pool lingers; bell.c has that. */
int64_t co__clock_real(void)
{
    return 0;
}

static int blocking_work(void *arg)
{
    *(int *)arg = 1;
    work_ran = true;
    return 7;
}

static void offloader(void *arg)
{
    int r = 0;

    (void)arg;
    for (int i = 0; i < 2 && r == 0; i++) {
        int touched = 0; /* The work may touch the caller's stack until the caller goes on. */
        int result = 0;

        work_ran = false;
        r = co_offload(blocking_work, &touched, &result);
        MODEL_CHECK(r == 0 || r == -ECANCELED);
        MODEL_CHECK((r == 0) == work_ran && touched == work_ran && result == (work_ran ? 7 : 0));
    }
    done = true;
    work_ran = false;
    if (!server_main)
        model_gate_post(1);
    co__offload_stop();
}

static void play_offload(int thread)
{
    if (thread == 0) {
        run_ready();
    } else if (thread == 1) {
        model_gate_wait(1);
        if (server_main)
            (void)server_main(server_arg);
        run_ready();
    } else if (thread == 2) {
        co__cancel(subject);
        run_ready();
    }
}

enum { REFUSED_ONES = 3 };
static int answers[REFUSED_ONES];

static void refused_one(void *arg)
{
    int me = co__worker()->index;
    int touched = 0;

    (void)arg;
    answers[me] = co_offload(blocking_work, &touched, NULL);
    MODEL_CHECK(answers[me] == -ENOMEM || (me == 0 && answers[me] == -ECANCELED));
}

static void play_refuse(int thread)
{
    if (thread == REFUSED_ONES)
        co__cancel(subject);
    run_ready();
}

/* ---- waiting at two sources ---- */

static struct co__source pair[2];
static _Atomic int events[2];

static bool named(const struct co__source *s)
{
    return (__atomic_load_n(&s->word, __ATOMIC_SEQ_CST) & CO__SOURCE_STATE) >= CO__SOURCE_WAITER;
}

/* Waits until both have happened, or until the one is closing. */
static void chooser(void *arg)
{
    struct co__source *const both[] = {&pair[0], &pair[1]};
    int r = 0;

    (void)arg;
    if (playing == ANY)
        co__worker()->current->deadline = 5;
    while (got < 2 && r != -ECANCELED) {
        for (int i = 0; i < 2; i++) {
            (void)co__source_consume(both[i]);
            got += atomic_exchange_explicit(&events[i], 0, memory_order_seq_cst);
        }
        if (got == 2)
            break;
        r = co__source_wait_any(both, 2);
        MODEL_CHECK(!named(&pair[0]) && !named(&pair[1]));
        MODEL_CHECK(r == 0 || r == (playing == ANY ? -ETIMEDOUT : -ECANCELED));
        if (r == -ETIMEDOUT) {
            MODEL_CHECK(atomic_load_explicit(&now, memory_order_seq_cst) >= 5);
            co__worker()->current->deadline = CO_NEVER;
        }
    }
    done = true;
}

static void happen(int i)
{
    atomic_store_explicit(&events[i], 1, memory_order_seq_cst);
    co__source_deliver(&pair[i], 1, 0);
    run_ready();
}

static void play_pair(int thread)
{
    if (thread == 0) {
        run_ready();
        mind_time();
    } else if (thread == 1) {
        happen(0);
        mind_time();
    } else if (thread == 2 && playing == ANY) {
        happen(1);
        mind_time();
    } else if (thread == 2) {
        co__source_hangup(&pair[1]);
        run_ready();
    } else if (playing == ANY) {
        pass_time(6);
    }
}

/* ---- each execution ---- */

static void before_memory(void)
{
    server_main = NULL;
    sleepers_of_futex = 0;
    work_ran = false;
    co__offload_start(playing == REFUSE ? 2 : 1);
    memset(answers, 0, sizeof answers);
    node = 0;
    buffered = value = received = got = armed = started = 0;
    done = false;
}

void model_before(int scenario)
{
    playing = scenario;
    before_memory();
    model_watch(&published, sizeof published, 0);
    model_watch(&source.word, sizeof source.word, 0);
    for (int i = 0; i < 2; i++) {
        model_watch(&pair[i].word, sizeof pair[i].word, 0);
        model_watch(&events[i], sizeof events[i], 0);
    }
    model_watch(&kernel, sizeof kernel, 0);
    model_watch(&edge, sizeof edge, 0);
    model_watch(&closed, sizeof closed, 0);
    model_watch_latch(&latch);
    model_watch_latch(futex_latch);
    model_watch_plain(&work_ran, 4);
    model_watch_plain(&node, sizeof node);
    model_watch_plain(&buffered, sizeof buffered);
    model_watch_plain(&value, sizeof value);
    stage_set();
    subject = workers[0].free;
    begin(0, scenario <= EXPIRY    ? receiver
             : scenario == TIMER   ? sleeper
             : scenario == OFFLOAD ? offloader
             : scenario == REFUSE  ? refused_one
             : scenario > OFFLOAD  ? chooser
                                   : reader);
    for (int i = 1; i < REFUSED_ONES && scenario == REFUSE; i++)
        begin(i, refused_one);
    co__source_reset(&source, 1);
    co__source_reset(&pair[0], 1);
    co__source_reset(&pair[1], 1);
}

void model_run(int scenario, int thread)
{
    if (scenario <= EXPIRY)
        play_channel(thread);
    else if (scenario == TIMER)
        play_timer(thread);
    else if (scenario == OFFLOAD)
        play_offload(thread);
    else if (scenario == REFUSE)
        play_refuse(thread);
    else if (scenario > OFFLOAD)
        play_pair(thread);
    else
        play_source(thread);
}

void model_after(int scenario)
{
    MODEL_CHECK((done || scenario == REFUSE) && !work_ran);
    for (int i = 0; i < REFUSED_ONES; i++)
        MODEL_CHECK((answers[i] != 0) == (scenario == REFUSE));
    MODEL_CHECK(scenario > EXPIRY || received + buffered == 2);
    MODEL_CHECK(started == armed);
    MODEL_CHECK((model_value(&source.word) & CO__SOURCE_STATE) <= CO__SOURCE_READY);
    for (int i = 0; i < 2; i++)
        MODEL_CHECK((model_value(&pair[i].word) & CO__SOURCE_STATE) <= CO__SOURCE_READY);
}
