/* SPDX-License-Identifier: MIT */
/* inspect.c - see inspect.h. */
#include "inspect.h"

#include "backtrace.h"
#include "outside.h"
#include "park.h"
#include "worker.h"
#include <co/mutex.h>
#include <co/private/source.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/* Looks at a coroutine that keeps going on before it is shown without what it waits for. */
enum { TRIES = 4 };

/* Fields that their owners write plainly: read once, whatever a sanitizer thinks of it. */
#define UNCHECKED __attribute__((noinline, no_sanitize("address", "thread")))
/* acquire, both: the second look at the word comes after. */
#define LOOK(field) __atomic_load_n(&(field), __ATOMIC_ACQUIRE /* as said above */)
#ifdef __has_feature
#if __has_feature(thread_sanitizer) /* clang's checks atomics in spite of the attribute */
#undef LOOK
#define LOOK(field) (*(volatile __typeof__(field) *)&(field))
#endif
#endif
#define LOOK_ATOMIC(field) atomic_load_explicit(&(field), memory_order_acquire /* as above */)

static co__source_fd_fn *source_fd;

void co__source_fd_by(co__source_fd_fn *fn)
{
    source_fd = fn;
}

/* ---- memory that may not be there ---- */

/* Where process_vm_readv(2) is not allowed. */
static ssize_t peek_file(uintptr_t from, void *to, size_t size)
{
    int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : pread(fd, to, size, (off_t)from);

    if (fd >= 0)
        (void)close(fd);
    return n;
}

size_t co__peek(uintptr_t from, void *to, size_t size)
{
    struct iovec local = {.iov_base = to, .iov_len = size};
    struct iovec remote = {.iov_base = (void *)from, .iov_len = size};
    ssize_t n = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);

    if (n < 0 && (errno == EPERM || errno == ENOSYS))
        n = peek_file(from, to, size);
    return n > 0 ? (size_t)n : 0;
}

static void peek_text(const char *from, char *to, size_t size)
{
    size_t n = from ? co__peek((uintptr_t)from, to, size - 1) : 0;

    to[n] = '\0';
}

/* A part of a stack, copied; or all of it where it is, if it stays mapped. */
struct window {
    bool steady;
    uintptr_t high; /* where the stack ends */
    uintptr_t at;
    size_t size;
    unsigned char bytes[1024];
};

UNCHECKED static uintptr_t load(uintptr_t at)
{
    return *(const volatile uintptr_t *)at;
}

static bool read_word(void *arg, uintptr_t at, uintptr_t *ret_word)
{
    struct window *window = arg;

    if (window->steady) {
        *ret_word = load(at);
        return true;
    }
    if (at < window->at || at - window->at + sizeof *ret_word > window->size) {
        size_t size = window->high - at;

        window->at = at;
        window->size =
            co__peek(at, window->bytes, size < sizeof window->bytes ? size : sizeof window->bytes);
        if (window->size < sizeof *ret_word)
            return false;
    }
    memcpy(ret_word, window->bytes + (at - window->at), sizeof *ret_word);
    return true;
}

/* ---- one record ---- */

struct sight {
    uint64_t word;
    bool alive;
    bool begun;  /* has a stack */
    bool steady; /* of the default size: those are unmapped when the runtime ends */
    const char *name;
    const char *what;
    const void *object;
    int64_t since, until, deadline;
    uintptr_t fn;
    uintptr_t saved, low, size; /* its context */
    uint32_t cancelled;
};

UNCHECKED static void look(const struct co__coro *co, struct sight *sight)
{
    const struct co__stack *stack;

    sight->word = LOOK_ATOMIC(co->word);
    sight->alive = LOOK(co->alive);
    stack = LOOK(co->stack);
    sight->begun = stack != NULL;
    sight->steady = stack && !(LOOK(stack->flags) & CO__STACK_OTHER);
    sight->name = LOOK_ATOMIC(co->name);
    sight->what = LOOK(co->what);
    sight->object = LOOK(co->object);
    sight->since = LOOK(co->since);
    sight->until = LOOK_ATOMIC(co->until);
    sight->deadline = LOOK(co->deadline);
    sight->fn = (uintptr_t)LOOK(co->entry.fn);
    sight->saved = (uintptr_t)LOOK(co->context.saved);
    sight->low = (uintptr_t)LOOK(co->context.bottom);
    sight->size = LOOK(co->context.size);
    sight->cancelled = LOOK_ATOMIC(co->cancelled);
}

static bool is_parked(uint64_t word)
{
    return !(word & CO__CLAIMED);
}

static bool is_still(const struct co__coro *co, uint64_t word)
{
    /* acquire: after everything that was read before. */
    return atomic_load_explicit(&co->word, memory_order_acquire) == word;
}

static void walk(const struct sight *sight, struct co_info *info)
{
    struct window window;
    struct co__stack_view stack = {
        .low = sight->low, .high = sight->low + sight->size, .read = read_word, .arg = &window};

    window.steady = sight->steady;
    window.high = stack.high;
    window.at = window.size = 0;
    if (sight->saved >= stack.low && sight->saved < stack.high)
        info->frames = (int)co__backtrace_saved(sight->saved, &stack, info->pc, CO_INFO_FRAMES);
}

static int on_worker(uint32_t index)
{
    for (int i = 0; i < co__rt.count; i++) {
        /* relaxed: for reports. */
        if (atomic_load_explicit(&co__rt.workers[i].running, memory_order_relaxed) == index)
            return i;
    }
    return -1;
}

/* Appends to what is in `what` already. */
static void add_what(struct co_info *info, const char *more)
{
    size_t len = strlen(info->what);

    for (; *more != '\0' && len < sizeof info->what - 1; len++)
        info->what[len] = *more++;
    info->what[len] = '\0';
}

static void name_descriptor(struct co_info *info)
{
    char digits[12];
    size_t at = sizeof digits;
    bool writes = false;
    int fd = source_fd ? source_fd(info->object, &writes) : -1;

    if (fd < 0)
        return;
    digits[--at] = '\0';
    do {
        digits[--at] = (char)('0' + fd % 10);
        fd /= 10;
    } while (fd > 0);
    add_what(info, " ");
    add_what(info, digits + at);
    add_what(info, writes ? " to write" : " to read");
}

/* What the park is for, of a sight that is whole. */
static void describe(const struct sight *sight, struct co_info *info)
{
    info->object = sight->object;
    if (sight->what)
        add_what(info, sight->what);
    if (sight->what == co__park_source)
        name_descriptor(info);
    else if (sight->what && sight->object && strcmp(sight->what, "mutex") == 0)
        (void)co__peek((uintptr_t)sight->object + offsetof(struct co_mutex, owner), &info->holder,
                       sizeof info->holder);
}

static void describe_parked(const struct sight *sight, struct co_info *info)
{
    bool saved = sight->word & CO__SAVED;

    info->state = sight->begun ? CO_STATE_PARKED : CO_STATE_UNBORN;
    info->since = saved ? sight->since : 0;
    info->until = sight->until;
    if (saved && sight->begun)
        walk(sight, info);
}

bool co__inspect_one(uint32_t index, struct co_info *ret_info)
{
    const struct co__coro *co = co__coro_at(index);
    struct sight sight;
    bool whole = false;

    for (int i = 0; i < TRIES && !whole; i++) {
        look(co, &sight);
        *ret_info = (struct co_info){.id = index, .worker = -1};
        if (!sight.alive)
            return false;
        if (!is_parked(sight.word))
            break;                     /* it runs, or is about to */
        if (!is_still(co, sight.word)) /* else what was read may not belong together */
            continue;
        describe_parked(&sight, ret_info);
        whole = is_still(co, sight.word);
    }
    if (!is_parked(sight.word))
        whole = (sight.word & CO__BITS) != CO__BITS && is_still(co, sight.word);
    if (!whole) {
        *ret_info = (struct co_info){.id = index, .until = sight.deadline};
        ret_info->worker = on_worker(index);
        ret_info->state = ret_info->worker < 0 ? CO_STATE_READY : CO_STATE_RUNNING;
    } else {
        describe(&sight, ret_info);
        if (!is_parked(sight.word)) {
            ret_info->state = CO_STATE_WAKING;
            ret_info->until = sight.deadline;
        }
    }
    ret_info->cancelled = sight.cancelled != 0;
    ret_info->fn = sight.fn;
    peek_text(sight.name, ret_info->name, sizeof ret_info->name);
    return true;
}

int co_inspect(co_inspect_fn *fn, void *arg)
{
    struct co_info info;
    int r = 0;

    if (!co__outside_enter())
        return -ECANCELED;
    for (uint32_t i = 1; i < co__coro_limit() && r == 0; i++) {
        if (co__inspect_one(i, &info))
            r = fn(&info, arg);
    }
    co__outside_leave();
    return r;
}
