/* SPDX-License-Identifier: MIT */
/*
 * trace.c - rings of events, each written by one worker and read by whoever dumps them.
 *
 * The writer of event n: its fields into slot n % CAPACITY, then n + 1 into `next`. The reader
 * takes a field and then looks at `next` again: if the writer was CAPACITY ahead or more, what it
 * took may belong to another event, and is left out. The fields are released, so that who reads a
 * new one reads no older `next`. Plain threads share the last ring under a latch.
 */
#include "trace.h"

#include "outside.h"
#include "text.h"
#include "worker.h"
#include <co/private/clock.h>
#include <co/trace.h>
#include <sys/mman.h>

enum { CAPACITY = 4096 };

struct event {
    _Atomic int64_t time;
    _Atomic int64_t word;
    _Atomic uint32_t coro;
    _Atomic uint32_t kind;
};

struct co__trace_ring {
    _Alignas(CO__CACHE_LINE) _Atomic uint64_t next;
    struct co_latch latch; /* of plain threads */
    struct event events[CAPACITY];
};

struct co__trace_ring *co__trace_rings;
static int ring_count;

static const struct {
    const char *name, *word;
} kinds[] = {
#define KIND(name, word) {#name, word},
    CO__TRACE_KINDS(KIND)
#undef KIND
};

static size_t bytes(void)
{
    return (size_t)ring_count * sizeof(struct co__trace_ring);
}

int co__trace_start(int workers)
{
    void *map;

    ring_count = workers + 1;
    map = mmap(NULL, bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return -ENOMEM;
    co__trace_rings = map;
    return 0;
}

void co__trace_stop(void)
{
    if (co__trace_rings)
        (void)munmap(co__trace_rings, bytes());
    co__trace_rings = NULL;
}

static void add(struct co__trace_ring *ring, enum co__trace_kind kind, uint32_t coro, int64_t word)
{
    /* relaxed: only this thread writes it, or who holds the latch. */
    uint64_t n = atomic_load_explicit(&ring->next, memory_order_relaxed);
    struct event *event = &ring->events[n % CAPACITY];

    /* release, all: see the top; they pair with the loads in read_event. */
    atomic_store_explicit(&event->time, co__clock_real(), memory_order_release);
    atomic_store_explicit(&event->word, word, memory_order_release /* as above */);
    atomic_store_explicit(&event->coro, coro, memory_order_release /* as above */);
    atomic_store_explicit(&event->kind, kind, memory_order_release /* as above */);
    /* release: pairs with the load in cursor_open. */
    atomic_store_explicit(&ring->next, n + 1, memory_order_release);
}

void co__trace_add(const struct co__worker *w, enum co__trace_kind kind, uint32_t coro,
                   int64_t word)
{
    struct co__trace_ring *ring = &co__trace_rings[w ? w->index : ring_count - 1];

    if (w) {
        add(ring, kind, coro, word);
        return;
    }
    co_latch_take(&ring->latch);
    add(ring, kind, coro, word);
    co_latch_give(&ring->latch);
}

/* ---- dumping ---- */

struct seen {
    int64_t time, word;
    uint32_t coro, kind;
};

/* Where a dump is in a ring: the event ahead, while there is one. */
struct cursor {
    uint64_t next, end;
    struct seen ahead;
};

/* One dump at a time. Not on the stack, of which the caller may have little left. */
static struct {
    _Atomic int busy;
    struct cursor cursors[CO__WORKERS_MAX + 1];
    struct co__text text;
    char buf[8192];
} dump;

/* Returns: whether event n was still there. */
static bool read_event(struct co__trace_ring *ring, uint64_t n, struct seen *ret_seen)
{
    struct event *event = &ring->events[n % CAPACITY];
    struct seen seen;

    /* acquire, all: pair with the stores in add; what was read comes before the look at next. */
    seen.time = atomic_load_explicit(&event->time, memory_order_acquire);
    seen.word = atomic_load_explicit(&event->word, memory_order_acquire /* as above */);
    seen.coro = atomic_load_explicit(&event->coro, memory_order_acquire /* as above */);
    seen.kind = atomic_load_explicit(&event->kind, memory_order_acquire /* as above */);
    /* relaxed: the loads above have acquired what it must not be older than. */
    if (atomic_load_explicit(&ring->next, memory_order_relaxed) - n >= CAPACITY)
        return false;
    *ret_seen = seen;
    return true;
}

/* Reads ahead the next event that is still there. */
static void cursor_step(int ring)
{
    struct cursor *cursor = &dump.cursors[ring];

    while (cursor->next < cursor->end &&
           !read_event(&co__trace_rings[ring], cursor->next, &cursor->ahead))
        cursor->next++;
}

/* Returns: how many events lie ahead. */
static uint64_t cursor_open(int ring)
{
    /* acquire: pairs with the last store in add. */
    uint64_t end = atomic_load_explicit(&co__trace_rings[ring].next, memory_order_acquire);

    dump.cursors[ring].end = end;
    dump.cursors[ring].next = end < CAPACITY ? 0 : end - CAPACITY + 1;
    cursor_step(ring);
    return end - dump.cursors[ring].next;
}

/* Returns: the ring whose event ahead is the oldest, -1 if no event is left. */
static int oldest(void)
{
    int best = -1;

    for (int i = 0; i < ring_count; i++) {
        const struct cursor *cursor = &dump.cursors[i];

        if (cursor->next < cursor->end &&
            (best < 0 || cursor->ahead.time < dump.cursors[best].ahead.time))
            best = i;
    }
    return best;
}

static void put_number(int64_t n)
{
    if (n < 0)
        co__text_str(&dump.text, "-");
    co__text_dec(&dump.text, n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
}

static void flush(int fd)
{
    co__text_write(&dump.text, fd);
    dump.text.len = 0;
}

static void put_event(int fd, int ring, const struct seen *seen, int64_t newest)
{
    struct co__text *text = &dump.text;

    if (dump.text.size - dump.text.len < 256)
        flush(fd);
    co__text_str(text, "  ");
    put_number(seen->time - newest);
    co__text_str(text, ring < ring_count - 1 ? " worker " : " outside");
    if (ring < ring_count - 1)
        co__text_dec(text, (uint64_t)ring);
    co__text_str(text, " ");
    co__text_str(text, kinds[seen->kind].name);
    if (seen->coro > 0) {
        co__text_str(text, " ");
        co__text_dec(text, seen->coro);
    }
    if (*kinds[seen->kind].word) {
        co__text_str(text, " ");
        co__text_str(text, kinds[seen->kind].word);
        co__text_str(text, " ");
        if (seen->word == CO_NEVER)
            co__text_str(text, "ever");
        else
            put_number(seen->word);
    }
    co__text_str(text, "\n");
}

int co__trace_write(int fd, int max)
{
    int64_t newest = co__clock_real();
    uint64_t total = 0;
    int written = 0;
    int ring;

    if (!co__trace_rings)
        return -ENODATA;
    /* acquire: pairs with the release below; the buffers are the last dump's no more. */
    if (atomic_exchange_explicit(&dump.busy, 1, memory_order_acquire))
        return -EBUSY;
    dump.text = (struct co__text){.buf = dump.buf, .size = sizeof dump.buf};
    for (int i = 0; i < ring_count; i++)
        total += cursor_open(i);
    co__text_str(&dump.text, "corvid: trace, oldest first: ns from now, where, what, coroutine\n");
    while ((ring = oldest()) >= 0) {
        struct cursor *cursor = &dump.cursors[ring];

        if (max <= 0 || total <= (uint64_t)max) {
            put_event(fd, ring, &cursor->ahead, newest);
            written++;
        }
        total--;
        cursor->next++;
        cursor_step(ring);
    }
    flush(fd);
    /* release: as above. */
    atomic_store_explicit(&dump.busy, 0, memory_order_release);
    return written;
}

int co_trace_dump(int fd, int max)
{
    int r;

    if (!co__outside_enter())
        return -EPERM;
    r = co__trace_write(fd, max);
    co__outside_leave();
    return r;
}
