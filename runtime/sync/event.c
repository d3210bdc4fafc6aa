/* SPDX-License-Identifier: MIT */
/*
 * event.c - a flag under the latch. Nothing of the event is touched after the set has given the
 * latch: whoever sees the flag may end the event at once.
 */
#include <co/event.h>

#include <co/assert.h>

void co_event_init(struct co_event *event)
{
    *event = (struct co_event){0};
}

void co_event_done(struct co_event *event)
{
    CO_ASSERT(!event || !event->waiters.head);
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
    int set;

    if (r < 0)
        return r;
    co_latch_take(&event->latch);
    set = event->set;
    co_latch_give(&event->latch);
    if (set)
        return 0;
    return co_waitlist_park_for("event", &event->waiters, &event->latch, &waiter, is_set, event,
                                CO_PARK_INSIDE);
}

void co_event_set(struct co_event *event)
{
    struct co_claimed claimed;

    co_latch_take(&event->latch);
    event->set = 1;
    claimed = co_waitlist_claim_all(&event->waiters, 0);
    co_latch_give(&event->latch);
    co_waitlist_finish(&claimed);
}

void co_event_clear(struct co_event *event)
{
    co_latch_take(&event->latch);
    event->set = 0;
    co_latch_give(&event->latch);
}
