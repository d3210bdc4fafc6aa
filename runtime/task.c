/* SPDX-License-Identifier: MIT */
/* task.c - starting coroutines, yielding, sleeping. The life of the runtime is in run.c. */
#include <co/task.h>

#include "live.h"
#include "outside.h"
#include "park.h"
#include "run.h"
#include "trace.h"
#include <co/private/poll.h>
#include <string.h>

/* Who starts a coroutine is counted, a plain thread first, a worker once it has the record. */
static void count_back(struct co__worker *w)
{
    if (w)
        w->live--;
    else
        co__live_leave();
}

struct co__coro *co__spawn_take(struct co__worker *w, int *ret_err)
{
    struct co__coro *co;

    if (!w && !co__live_enter()) {
        *ret_err = -ECANCELED;
        return NULL;
    }
    co = co__coro_take(w, ret_err);
    /* seq_cst: after the record's flag was reset; against "phase, then everybody's flag" of the
     * cancel. */
    if (co && atomic_load_explicit(&co__rt.phase, memory_order_seq_cst) >= CO__CANCEL) {
        *ret_err = -ECANCELED;
        co__coro_put(w, co);
        co = NULL;
    }
    if (!co && !w)
        co__live_leave();
    if (co && w)
        w->live++;
    if (co)
        CO__TRACE(w, spawn, co->index, w && w->current ? w->current->index : 0);
    return co;
}

void co__spawn_done(struct co__worker *w, struct co__coro *co)
{
    if (w)
        co__stat(w->stats, CO__STAT_SPAWNED);
    else
        co_stat_add(CO__STAT_SPAWNED, 1);
    co__ready(co);
}

/* A stack of its own for a coroutine that asked for another size: taken now, so that the first run
 * cannot fail. */
static int own_stack(struct co__worker *w, struct co__coro *co, size_t size)
{
    co->stack = w ? co__stack_get(&w->stacks, size) : co__stack_get_alone(size);
    if (!co->stack)
        return -ENOMEM;
    co__coro_enter(co);
    return 0;
}

bool co__opts_valid(const struct co_opts *opts)
{
    return opts->stack_size == 0 ||
           (opts->stack_size >= CO__STACK_MIN && opts->stack_size <= CO__STACK_MAX);
}

int co__spawn_opts(struct co__worker *w, struct co__coro *co, const struct co_opts *opts)
{
    co__name(co, opts->name);
    if (opts->pinned) {
        co->pins = 1;
        co->home = (uint16_t)(w ? w->index : (int)co->index % co__rt.count);
    }
    return opts->stack_size > 0 ? own_stack(w, co, opts->stack_size) : 0;
}

void co__spawn_undo(struct co__worker *w, struct co__coro *co)
{
    co__coro_put(w, co);
    count_back(w);
}

static int spawn(struct co__entry entry, const void *copy, const struct co_opts *opts)
{
    struct co__worker *w = co__worker();
    struct co__coro *co;
    int r = 0;

    co = co__spawn_take(w, &r);
    if (!co)
        return r;
    co->entry = entry;
    if (copy)
        memcpy(co->copy, copy, entry.size);
    if (opts && (r = co__spawn_opts(w, co, opts)) < 0) {
        co__spawn_undo(w, co);
        return r;
    }
    co__spawn_done(w, co);
    return 0;
}

static int start(struct co__entry entry, const void *copy, const struct co_opts *opts)
{
    int r;

    if (!co__outside_enter())
        return -ECANCELED;
    r = spawn(entry, copy, opts);
    co__outside_leave();
    return r;
}

int co_go(co_fn *fn, void *arg)
{
    return start((struct co__entry){.fn = fn, .arg = arg, .kind = CO__ENTRY_FN}, NULL, NULL);
}

int co_go_fd(co_fd_fn *fn, int fd)
{
    int r =
        start((struct co__entry){.fd_fn = fn, .arg = (void *)(intptr_t)fd, .kind = CO__ENTRY_FD},
              NULL, NULL);

    if (r < 0)
        co__fd_close(fd);
    return r;
}

int co_go_copy(co_fn *fn, const void *data, size_t size)
{
    if (size > CO_COPY_MAX)
        return -EINVAL;
    return start((struct co__entry){.fn = fn, .size = (uint32_t)size, .kind = CO__ENTRY_COPY}, data,
                 NULL);
}

int co_go_with(const struct co_opts *opts, co_fn *fn, void *arg)
{
    if (!co__opts_valid(opts))
        return -EINVAL;
    return start((struct co__entry){.fn = fn, .arg = arg, .kind = CO__ENTRY_FN}, NULL, opts);
}

int co__go_main(co_main_fn *fn, void *arg)
{
    return start((struct co__entry){.main_fn = fn, .arg = arg, .kind = CO__ENTRY_MAIN}, NULL, NULL);
}

int co_yield(void)
{
    int r = co_check();

    if (r < 0)
        return r;
    (void)co__worker_yield(co__worker());
    return 0;
}

int co_sleep(int64_t ns)
{
    int64_t now = co_now();
    int64_t until = ns > 0 && ns < CO_NEVER - now ? now + ns : CO_NEVER;
    struct co__coro *co;
    int r;

    if (ns <= 0)
        return co_yield();
    r = co_check();
    if (r < 0)
        return r;
    co = co__worker()->current;
    r = co__park_until("sleep", NULL, NULL, 0, until);
    return r == -ETIMEDOUT && until < co->deadline ? 0 : r;
}

uint64_t co_self(void)
{
    const struct co__worker *w = co__worker();

    return w && w->current ? w->current->index : 0;
}

int co_set_name(const char *name)
{
    const struct co__worker *w = co__worker();

    if (!w || !w->current)
        return -EPERM;
    co__name(w->current, name);
    return 0;
}

const char *co_name(void)
{
    const struct co__worker *w = co__worker();

    /* relaxed: our own. */
    return w && w->current ? atomic_load_explicit(&w->current->name, memory_order_relaxed) : NULL;
}

int co_worker(void)
{
    const struct co__worker *w = co__worker();

    return w ? w->index : -1;
}

int co_workers(void)
{
    /* relaxed: an answer for whoever asks while a runtime starts or ends. */
    return __atomic_load_n(&co__rt.count, __ATOMIC_RELAXED);
}
