/* SPDX-License-Identifier: MIT */
/* event.c - a flag under the latch. */
#include <co/event.h>

#include <assert.h>

void co_event_init(struct co_event *event)
{
    *event = (struct co_event){0};
}

void co_event_done(struct co_event *event)
{
    assert(!event || !event->waiters.head);
    (void)event;
}

static int is_set(void *obj, struct co_waiter *waiter)
{
    (void)waiter;
    return ((struct co_event *)obj)->set;
}

int co_event_wait(struct co_event *event)
{
    struct co_waiter waiter;
    int r = co_check();

    return r < 0 ? r : co_waitlist_park(&event->waiters, &event->latch, &waiter, is_set, event, 0);
}

static void change(struct co_event *event, int32_t set)
{
    co_latch_take(&event->latch);
    event->set = set;
    co_latch_give(&event->latch);
}

void co_event_set(struct co_event *event)
{
    change(event, 1);
    (void)co_waitlist_wake_all(&event->waiters, &event->latch, 0);
}

void co_event_clear(struct co_event *event)
{
    change(event, 0);
}
