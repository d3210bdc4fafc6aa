/* SPDX-License-Identifier: MIT */
/*
 * scope.c - deadlines, grace, pins and their like: state of the running coroutine, put back
 * at the end of a block.
 */
#include <co/private/scope.h>

#include "worker.h"

enum { NOTHING, DEADLINE, GRACE };

static struct co__coro *self(struct co__worker **ret_w)
{
    struct co__worker *w = co__worker();

    *ret_w = w;
    return w ? w->current : NULL;
}

static int64_t later(int64_t now, int64_t ns)
{
    if (ns <= 0)
        return now;
    return ns < CO_NEVER - now ? now + ns : CO_NEVER;
}

static struct co_scope shorten(struct co__coro *co, int64_t until)
{
    struct co_scope scope = {.outer = co->deadline, .kind = DEADLINE};

    if (until < co->deadline)
        co->deadline = until;
    return scope;
}

struct co_scope co_deadline_open(int64_t ns)
{
    struct co__worker *w;
    struct co__coro *co = self(&w);

    return co ? shorten(co, later(co__worker_clock(w), ns)) : (struct co_scope){0};
}

struct co_scope co__deadline_open_coarse(int64_t ns)
{
    struct co__worker *w;
    struct co__coro *co = self(&w);

    return co ? shorten(co, later(w->clock, ns)) : (struct co_scope){0};
}

struct co_scope co_grace_open(int64_t ns)
{
    struct co__worker *w;
    struct co__coro *co = self(&w);
    struct co_scope scope;

    if (!co || co->grace)
        return co_deadline_open(ns);
    scope = (struct co_scope){.outer = co->deadline, .kind = GRACE};
    co->deadline = later(co__worker_clock(w), ns);
    co->grace = true;
    return scope;
}

void co_scope_close(struct co_scope *scope)
{
    struct co__worker *w;
    struct co__coro *co = self(&w);

    if (!co || scope->kind == NOTHING)
        return;
    co->deadline = scope->outer;
    if (scope->kind == GRACE)
        co->grace = false;
    scope->kind = NOTHING;
}

int64_t co_left(void)
{
    struct co__worker *w;
    struct co__coro *co = self(&w);
    int64_t left;

    if (!co || co->deadline == CO_NEVER)
        return CO_NEVER;
    left = co->deadline - co__worker_clock(w);
    return left > 0 ? left : 0;
}

int co_pin(void)
{
    struct co__worker *w;
    struct co__coro *co = self(&w);

    if (!co)
        return 0;
    if (co->pins == 0)
        co->home = (uint16_t)w->index;
    return ++co->pins;
}

void co_unpin(const int *depth)
{
    struct co__worker *w;
    struct co__coro *co = self(&w);

    if (co && *depth > 0)
        co->pins = (uint16_t)(*depth - 1);
}

int co_nosuspend_open(void)
{
    struct co__worker *w;
    struct co__coro *co = self(&w);

    return co ? ++co->nosuspend : 0;
}

void co_nosuspend_close(const int *depth)
{
    struct co__worker *w;
    struct co__coro *co = self(&w);

    if (co && *depth > 0)
        co->nosuspend = (uint16_t)(*depth - 1);
}
