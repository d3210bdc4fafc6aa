/* SPDX-License-Identifier: MIT */
/* assert.c - the last words of co/assert.h. */
#include <co/assert.h>

#include "text.h"
#include "trace.h"
#include "worker.h"
#include <stdlib.h>

enum { LAST_EVENTS = 1000, NAME_MAX_SHOWN = 64 };

static _Atomic int failing;

static void say_who(struct co__text *text)
{
    const struct co__worker *w = co__worker();

    if (!w) {
        co__text_str(text, ", not on a worker");
        return;
    }
    if (w->current) {
        co__text_str(text, ", in coroutine ");
        co__text_dec(text, w->current->index);
        if (w->current->name) {
            co__text_str(text, " (");
            co__text_strn(text, w->current->name, NAME_MAX_SHOWN);
            co__text_str(text, ")");
        }
    }
    co__text_str(text, " on worker ");
    co__text_dec(text, (uint64_t)w->index);
}

void co_assert_failed(const char *what, const char *file, int line)
{
    char buf[1024];
    struct co__text text = {.buf = buf, .size = sizeof buf};

    /* relaxed: the first speaks, and ends all; nothing is passed on. */
    while (atomic_exchange_explicit(&failing, 1, memory_order_relaxed))
        (void)usleep(1000);
    co__text_str(&text, "corvid: this does not hold: ");
    co__text_strn(&text, what, 256);
    co__text_str(&text, "\ncorvid:   ");
    co__text_strn(&text, file, 256);
    co__text_str(&text, ":");
    co__text_dec(&text, (uint64_t)line);
    say_who(&text);
    co__text_str(&text, "\n");
    if (!co__trace_rings)
        co__text_str(&text, "corvid:   [runtime] trace = on would show what came before\n");
    co__text_write(&text, STDERR_FILENO);
    (void)co__trace_write(STDERR_FILENO, LAST_EVENTS);
    abort();
}
