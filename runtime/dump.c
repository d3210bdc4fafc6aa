/* SPDX-License-Identifier: MIT */
/*
 * dump.c - see dump.h.
 *
 * Coroutines that wait for the same kind of thing at the same place make a group; of a group the
 * one is shown that has waited the longest, and the numbers of some others. So a list of a million
 * is a page or two. There is room for so many groups; what does not find any is counted.
 */
#include "dump.h"

#include "backtrace.h"
#include "inspect.h"
#include "lookout.h"
#include "outside.h"
#include "worker.h"
#include <co/private/clock.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum {
    GROUPS = 256,
    SLOTS = 4 * GROUPS,   /* of the table by hash */
    SHOWN = 10,           /* numbers of others in a group */
    LOOK_EVERY = 1 << 12, /* coroutines between two looks at the workers */
    PATIENCE = 1000,      /* ms for a reader to take something */
    PIECE = 4096,         /* what a pipe that is ready takes without blocking */
};

struct group {
    uint64_t hash;
    struct co_info longest;
    int64_t latest; /* of the times since which they wait */
    uint32_t count;
    uint32_t others[SHOWN];
};

/* One list at a time: whoever has set `busy` owns the rest. */
static struct {
    _Atomic int busy;
    _Atomic int asked;
    struct co__modules modules;
    struct group groups[GROUPS];
    uint16_t slots[SLOTS]; /* a group, plus one; 0: none */
    int count;
    uint32_t total, left_out;
    int fd;
    bool gave_up; /* the reader takes nothing */
    struct co__text text;
    char buf[PIECE];
} dump;

/* ---- text ---- */

static void flush(void)
{
    struct pollfd ready = {.fd = dump.fd, .events = POLLOUT};
    int r;

    do
        r = dump.gave_up ? 0 : poll(&ready, 1, PATIENCE);
    while (r < 0 && errno == EINTR);
    if (r > 0 && !(ready.revents & (POLLERR | POLLHUP | POLLNVAL)))
        co__text_write(&dump.text, dump.fd);
    else
        dump.gave_up = true;
    dump.text.len = 0;
}

/* Makes room for one more line, which is a good deal shorter than this. */
static struct co__text *line(void)
{
    if (dump.text.len > PIECE - 512)
        flush();
    return &dump.text;
}

/* Seconds with three places. */
static void add_span(struct co__text *text, int64_t ns)
{
    uint64_t ms = ns > 0 ? (uint64_t)(ns / CO_MS) : 0;

    co__text_dec(text, ms / 1000);
    co__text_str(text, ms % 1000 < 10 ? ".00" : ms % 1000 < 100 ? ".0" : ".");
    co__text_dec(text, ms % 1000);
    co__text_str(text, " s");
}

static void add_name(struct co__text *text, const char *name)
{
    if (name[0] == '\0')
        return;
    co__text_str(text, " (");
    co__text_str(text, name);
    co__text_str(text, ")");
}

/* "mutex at 0x..., which coroutine 5 (name) holds" */
static void add_what(struct co__text *text, const struct co_info *info)
{
    struct co_info holder;

    co__text_str(text, info->what[0] != '\0' ? info->what : "something");
    if (info->object) {
        co__text_str(text, " at ");
        co__text_hex(text, (uintptr_t)info->object);
    }
    if (info->holder == 0 || info->holder >= co__coro_limit())
        return;
    co__text_str(text, ", which coroutine ");
    co__text_dec(text, info->holder);
    if (co__inspect_one((uint32_t)info->holder, &holder))
        add_name(text, holder.name);
    co__text_str(text, " holds");
}

static bool sleeps(const struct co_info *info)
{
    return strcmp(info->what, "sleep") == 0;
}

static void add_state(struct co__text *text, const struct co_info *info)
{
    switch (info->state) {
    case CO_STATE_READY:
        co__text_str(text, ", ready");
        break;
    case CO_STATE_RUNNING:
        co__text_str(text, ", running on worker ");
        co__text_dec(text, (uint64_t)info->worker);
        break;
    case CO_STATE_PARKED:
    case CO_STATE_UNBORN:
        co__text_str(text, info->state == CO_STATE_UNBORN ? ", not begun" : "");
        co__text_str(text, sleeps(info) ? ", in " : ", waits for ");
        add_what(text, info);
        break;
    case CO_STATE_WAKING:
        co__text_str(text, ", about to go on from ");
        add_what(text, info);
        break;
    }
}

static void print_one(const struct co_info *info, int64_t now)
{
    struct co__text *text = line();

    co__text_str(text, "coroutine ");
    co__text_dec(text, info->id);
    add_name(text, info->name);
    add_state(text, info);
    if (info->since > 0) {
        co__text_str(text, ", for ");
        add_span(text, now - info->since);
    }
    if (info->until != CO_NEVER) {
        co__text_str(text, sleeps(info) ? ", wakes in " : ", deadline in ");
        add_span(text, info->until - now);
    }
    if (info->cancelled)
        co__text_str(text, ", cancelled");
    co__text_str(text, "\n");
    for (int i = 0; i < info->frames; i++) {
        text = line();
        co__text_str(text, "  #");
        co__text_dec(text, (uint64_t)i);
        co__text_str(text, " ");
        co__modules_text(text, &dump.modules, info->pc[i]);
        co__text_str(text, "\n");
    }
    if (info->frames == 0) {
        text = line();
        co__text_str(text, "  started with ");
        co__modules_text(text, &dump.modules, info->fn);
        co__text_str(text, "\n");
    }
}

static void print_group(const struct group *group, int64_t now)
{
    uint32_t shown = group->count - 1 < SHOWN ? group->count - 1 : SHOWN;
    struct co__text *text;

    print_one(&group->longest, now);
    if (shown == 0)
        return;
    text = line();
    co__text_str(text, "  and ");
    co__text_dec(text, group->count - 1);
    co__text_str(text, " more like this");
    if (group->latest > 0) {
        co__text_str(text, ", the latest for ");
        add_span(text, now - group->latest);
    }
    co__text_str(text, ":");
    for (uint32_t i = 0; i < shown; i++) {
        co__text_str(text, " ");
        co__text_dec(text, group->others[i]);
    }
    co__text_str(text, shown < group->count - 1 ? " ...\n" : "\n");
}

/* ---- groups ---- */

/* FNV-1a (Fowler, Noll, Vo), by words. */
static uint64_t mix(uint64_t hash, uint64_t value)
{
    return (hash ^ value) * UINT64_C(0x100000001b3);
}

/* The number of a descriptor does not make a kind of its own. */
static uint64_t kind_of(const struct co_info *info)
{
    uint64_t hash = mix(UINT64_C(0xcbf29ce484222325), (uint64_t)info->state);

    for (const char *at = info->what; *at != '\0'; at++) {
        if (*at < '0' || *at > '9')
            hash = mix(hash, (unsigned char)*at);
    }
    hash = mix(hash, info->fn);
    for (int i = 0; i < info->frames; i++)
        hash = mix(hash, info->pc[i]);
    return hash ^ hash >> 32;
}

/* Returns: the group of that kind, an empty one if it is new; NULL if there is no room. */
static struct group *find(uint64_t hash)
{
    size_t i = hash % SLOTS;

    while (dump.slots[i] != 0) {
        if (dump.groups[dump.slots[i] - 1].hash == hash)
            return &dump.groups[dump.slots[i] - 1];
        i = (i + 1) % SLOTS;
    }
    if (dump.count == GROUPS)
        return NULL;
    dump.slots[i] = (uint16_t)(++dump.count);
    dump.groups[dump.count - 1].hash = hash;
    dump.groups[dump.count - 1].count = 0;
    return &dump.groups[dump.count - 1];
}

static void note(const struct co_info *info)
{
    struct group *group = find(kind_of(info));
    uint32_t other = (uint32_t)info->id;

    dump.total++;
    if (!group) {
        dump.left_out++;
        return;
    }
    if (group->count == 0) {
        group->longest = *info;
        group->latest = info->since;
    } else {
        if (info->since > group->latest)
            group->latest = info->since;
        if (info->since < group->longest.since) {
            other = (uint32_t)group->longest.id;
            group->longest = *info;
        }
        if (group->count <= SHOWN)
            group->others[group->count - 1] = other;
    }
    group->count++;
}

static void note_all(void)
{
    struct co_info info;

    for (uint32_t i = 1; i < co__coro_limit(); i++) {
        if (co__inspect_one(i, &info))
            note(&info);
        if (i % LOOK_EVERY == 0)
            co__lookout(co__clock_real()); /* the watchdog's duty, if this is the watchdog */
    }
}

/* ---- the list ---- */

static void print_all(const char *title)
{
    struct co__text *text = line();
    int64_t now;

    now = co_now();
    co__text_str(text, title);
    co__text_str(text, "corvid: ");
    co__text_dec(text, dump.total);
    co__text_str(text, dump.total == 1 ? " coroutine on " : " coroutines on ");
    co__text_dec(text, (uint64_t)co__rt.count);
    co__text_str(text, co__rt.count == 1 ? " worker" : " workers");
    co__text_str(text, "; addresses are for addr2line(1):\n");
    for (int i = 0; i < dump.count; i++)
        print_group(&dump.groups[i], now);
    text = line();
    if (dump.left_out > 0) {
        co__text_str(text, "and ");
        co__text_dec(text, dump.left_out);
        co__text_str(text, " at other places\n");
    }
    co__text_str(text, "corvid: end of the list\n");
    flush();
}

int co__dump(int fd, const char *title)
{
    int no = 0;

    /* acquire: pairs with the release below, of the list before. */
    if (!atomic_compare_exchange_strong_explicit(&dump.busy, &no, 1, memory_order_acquire,
                                                 memory_order_relaxed /* refused anyway */))
        return -EBUSY;
    dump.fd = fd;
    dump.gave_up = false;
    dump.text = (struct co__text){.buf = dump.buf, .size = sizeof dump.buf};
    dump.count = 0;
    dump.total = dump.left_out = 0;
    memset(dump.slots, 0, sizeof dump.slots);
    note_all();
    co__modules_load(&dump.modules);
    print_all(title);
    /* release: pairs with the acquire above. */
    atomic_store_explicit(&dump.busy, 0, memory_order_release);
    return 0;
}

int co_dump(int fd)
{
    int r;

    if (fd < 0)
        return -EBADF;
    if (!co__outside_enter())
        return -ECANCELED;
    r = co__dump(fd, "");
    co__outside_leave();
    return r;
}

void co__dump_ask(void)
{
    /* seq_cst: the note first, then the look whether the watchdog dozes. */
    atomic_store_explicit(&dump.asked, 1, memory_order_seq_cst);
    co__idle_tell(&co__rt.idle);
}

bool co__dump_asked(void)
{
    /* seq_cst: dozing first, then the look; against co__dump_ask. */
    return atomic_exchange_explicit(&dump.asked, 0, memory_order_seq_cst);
}
