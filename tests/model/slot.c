/* SPDX-License-Identifier: MIT */
/*
 * slot.c - model of entering, hanging up and closing a descriptor: netio/slot.c and
 * runtime/source.c themselves.
 *
 * A number has a slot for ever; its descriptor comes and goes.
 *   users word 0  -> OPEN by who made the descriptor; users enter while it is not CLOSED or HUNG
 *   OPEN          -> CLOSED and one user more, by the owner, once
 *   the last user out of a CLOSED slot: epoll DEL, next generation, sources NIL, word 0, and only
 *   then close(2), which lets the kernel give the number away; nothing touches the slot for the old
 *   descriptor after that.
 *
 * One thread owns descriptor 1 and closes it. One reads: enters, waits, leaves. One hangs it up, or
 * looks at it, and delivers an event of it late. One takes the number when the kernel gives it
 * away, opens descriptor 2 on it and closes that too.
 * The kernel is a word that says whose the number is. Parking is a stand-in (core.c has the real
 * one): a claim by CAS and a gate.
 *
 * Checked: who is inside finds the number his; it is taken down once; a late event and a late
 * hang-up leave the new descriptor alone; what a user wrote in the slot is seen by the next; the
 * reader comes back, and gets -ECANCELED or -EBADF if it was hung up or closed.
 * Not covered: the
 * writer's direction (the same code), wrap of the generation, epoll.
 */
#include "slot.h"

#include "coro.h"
#include "run.h"
#include <co/net.h>
#include <co/park.h>
#include <co/private/poll.h>
#include <co/scope.h>
#include <co/stats.h>
#include <model.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>

enum scenarios { CLOSE, HANGUP };

enum { FD = 3, READER = 1 };

const char model_name[] = "slot";
const int model_threads = 4;
const char *const model_scenarios[] = {
    "close: while it is read, number reused",
    "hangup: then close, number reused",
    NULL,
};

static _Atomic int number_of; /* the kernel: whose the number is; 0: free */
static _Alignas(64) char chunk[1 << 20];
static co__deliver_fn *deliver;
static _Atomic uint64_t claimed; /* the reader's park: sequence << 1 | claimed */
static int result;
static uint64_t sequence;
static int taken_down;
static bool read_done;
static uint64_t registered, first_event;

/* ---- what slot.c and source.c call ---- */

void *model_mmap(void *where, size_t size, int prot, int flags, int fd, off_t offset);
int model_munmap(void *where, size_t size);
int model_close(int fd);

void *model_mmap(void *where, size_t size, int prot, int flags, int fd, off_t offset)
{
    (void)where, (void)prot, (void)flags, (void)fd, (void)offset;
    MODEL_CHECK(size <= sizeof chunk);
    return chunk;
}

int model_munmap(void *where, size_t size)
{
    (void)where, (void)size;
    return 0;
}

int model_close(int fd)
{
    MODEL_CHECK(fd == FD);
    taken_down++;
    MODEL_CHECK(atomic_exchange_explicit(&number_of, 0, memory_order_seq_cst) == taken_down);
    model_gate_post(0);
    return 0;
}

void co__poll_deliver_to(co__deliver_fn *fn)
{
    deliver = fn;
}

void co__fd_close_by(int (*close_fd)(int fd))
{
    (void)close_fd;
}

void co__source_fd_by(co__source_fd_fn *fn)
{
    (void)fn;
}

int co__on_drain(void (*fn)(void))
{
    (void)fn;
    return 0;
}

int co__on_end(void (*fn)(void))
{
    (void)fn;
    return 0;
}

int co_stat_register(const char *name, const char *help, int kind)
{
    (void)name;
    (void)help;
    (void)kind;
    return -1;
}

void co__poll_foresee_by(co__foresee_fn *fn)
{
    (void)fn;
}

int co_stat_register_reader(const char *name, const char *help, int kind, co_stat_fn *fn, void *arg)
{
    (void)name, (void)help, (void)kind, (void)fn, (void)arg;
    return 0;
}

int co__poll_add(int worker, int fd, uint32_t events, uint64_t data)
{
    (void)worker, (void)fd, (void)events;
    registered = data;
    return 0;
}

int co__poll_mod(int worker, int fd, uint32_t events, uint64_t data)
{
    (void)worker, (void)fd, (void)events, (void)data;
    return 0;
}

int co__poll_del(int worker, int fd)
{
    (void)worker;
    MODEL_CHECK(fd == FD);
    return 0;
}

int co_workers(void)
{
    return 1;
}

int co_check(void)
{
    return 0;
}

struct co_scope co_deadline_open(int64_t ns)
{
    (void)ns;
    return (struct co_scope){0};
}

void co_scope_close(struct co_scope *scope)
{
    (void)scope;
}

int *co_errno_location(void)
{
    static int error;

    return &error;
}

bool co__run_draining(void)
{
    return false;
}

struct co__coro *co__spawn_take(struct co__worker *w, int *ret_err)
{
    (void)w;
    *ret_err = -ENOMEM;
    return NULL;
}

co_ticket co__born_parked(struct co__coro *co, int64_t until)
{
    (void)co, (void)until;
    return 0;
}

void co__born_commit(struct co__worker *w, struct co__coro *co, int refused)
{
    (void)w, (void)co, (void)refused;
}

bool co_unpark(co_ticket ticket, int why)
{
    (void)ticket, (void)why;
    return false;
}

/* ---- the reader's park ---- */

const char co__park_source[] = "descriptor";

struct co__coro *co__chunks[1 << (CO__CORO_BITS - CO__CHUNK_BITS)];
static struct co__coro records[READER + 1];
static struct co__worker worker;

struct co__worker *co__worker(void)
{
    return &worker;
}

int co_park_for(const char *what, const void *object, co_commit_fn *commit, void *arg,
                unsigned flags)
{
    int r;

    (void)what, (void)object, (void)flags;
    sequence++;
    atomic_store_explicit(&records[READER].word, sequence << CO__SEQ_SHIFT, memory_order_seq_cst);
    atomic_store_explicit(&claimed, sequence << 1, memory_order_seq_cst);
    r = commit((co_ticket)READER << 36 | sequence, arg);
    if (r)
        return r;
    model_gate_wait(1);
    return result;
}

int co_park(co_commit_fn *commit, void *arg, unsigned flags)
{
    return co_park_for(NULL, NULL, commit, arg, flags);
}

struct co__coro *co__claim(struct co__coro *co, uint64_t seq, uint64_t mask, int why)
{
    uint64_t w = atomic_load_explicit(&claimed, memory_order_seq_cst);

    if ((w & 1) || ((w >> 1) & mask) != (seq & mask) ||
        !atomic_compare_exchange_strong_explicit(&claimed, &w, w | 1, memory_order_seq_cst,
                                                 memory_order_seq_cst))
        return NULL;
    result = why;
    return co;
}

void co__fire(struct co__coro *co)
{
    (void)co;
    model_gate_post(1);
}

/* ---- the threads ---- */

/* Whose the number is, while the caller is inside: it cannot change. */
static int inside(struct co__slot *slot)
{
    MODEL_CHECK(slot->fd == FD);
    return atomic_load_explicit(&number_of, memory_order_seq_cst);
}

static void read_it(void)
{
    int r;
    struct co__slot *slot = co__slot_enter(FD, CO__SLOT_READING, &r);

    if (slot) {
        int whose = inside(slot);

        MODEL_CHECK(whose != 0 && slot->left == CO__SLOT_FRESH);
        if (!(co__source_consume(&slot->read) & CO__SOURCE_CLOSING)) {
            r = co__source_wait(&slot->read, false);
            MODEL_CHECK(r == 0 || r == -ECANCELED);
        }
        MODEL_CHECK(inside(slot) == whose);
        slot->left = CO__SLOT_DRAINED;
        co__slot_leave(slot, CO__SLOT_READING);
    } else {
        MODEL_CHECK(r == -EBADF || r == -ECANCELED);
    }
    read_done = true;
    model_gate_post(2);
}

/* Hangs up, or only looks at, the descriptor that it believes to be the number's. */
static void meddle(int scenario)
{
    int r;

    if (scenario == HANGUP) {
        r = co_hangup(FD);
        MODEL_CHECK(r == 0 || r == -EBADF);
    } else {
        struct co__slot *slot = co__slot_enter(FD, 0, &r);

        if (slot) {
            int whose = inside(slot);

            MODEL_CHECK(whose != 0 && inside(slot) == whose);
            co__slot_leave(slot, 0);
        }
    }
    /* An event of descriptor 1 that was fetched before. */
    deliver(first_event, EPOLLIN);
}

/* The kernel has given the number away: descriptor 2. */
static void reopen(void)
{
    struct co__slot *slot;
    int r;

    model_gate_wait(0);
    atomic_store_explicit(&number_of, 2, memory_order_seq_cst);
    MODEL_CHECK(co__slot_open(FD, CO__SLOT_TCP, 0, false) == 0);
    slot = co__slot_enter(FD, CO__SLOT_WRITING, &r);
    MODEL_CHECK(slot || r == -ECANCELED);
    if (slot) {
        MODEL_CHECK(inside(slot) == 2);
        MODEL_CHECK((__atomic_load_n(&slot->read.word, __ATOMIC_SEQ_CST) & CO__SOURCE_STATE) !=
                    CO__SOURCE_READY);
        co__slot_leave(slot, CO__SLOT_WRITING);
    }
    MODEL_CHECK(co_close(FD) == 0);
}

void model_before(int scenario)
{
    (void)scenario;
    memset(chunk, 0, sizeof(struct co__slot) * (FD + 1));
    memset(records, 0, sizeof records);
    co__chunks[0] = records;
    worker.current = &records[READER];
    records[READER].index = READER;
    sequence = 0;
    taken_down = 0;
    read_done = false;
    model_watch(&number_of, sizeof number_of, 1);
    model_watch(&claimed, sizeof claimed, 1);
    model_watch_plain(&result, sizeof result);
    MODEL_CHECK(co__slot_open(FD, CO__SLOT_TCP, 0, false) == 0);
    first_event = registered;
    /* worker, kind, left and broken: of whoever is inside. */
    model_watch_plain(&((struct co__slot *)(void *)chunk + FD)->worker, 4);
}

void model_run(int scenario, int thread)
{
    if (thread == 0) {
        if (scenario == HANGUP)
            model_gate_wait(2);
        MODEL_CHECK(co_close(FD) == 0);
    } else if (thread == 1) {
        read_it();
    } else if (thread == 2) {
        meddle(scenario);
    } else {
        reopen();
    }
}

void model_after(int scenario)
{
    const struct co__slot *slot = (const struct co__slot *)(const void *)chunk + FD;

    (void)scenario;
    MODEL_CHECK(read_done);
    MODEL_CHECK(taken_down == 2);
    MODEL_CHECK(model_value(&slot->users) == 0);
    MODEL_CHECK((model_value(&slot->read.word) & 0x1f) == CO__SOURCE_NIL);
}
