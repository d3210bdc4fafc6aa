/* SPDX-License-Identifier: MIT */
/*
 * wait_group.c - a count under the latch. The waiters are claimed under the same hold of the latch that made the count zero, and
 * nothing of the group is touched after it is given for the last time: who waits may end the group at once.
 */
#include <co/wait_group.h>

#include <assert.h>

void co_wait_group_init(struct co_wait_group *group)
{
    *group = (struct co_wait_group){0};
}

void co_wait_group_done(struct co_wait_group *group)
{
    assert(!group || !group->waiters.head);
    (void)group;
}

int co_wait_group_add(struct co_wait_group *group, int64_t n)
{
    co_ticket ticket;
    bool more;

    co_latch_take(&group->latch);
    if (group->count + n < 0) {
        co_latch_give(&group->latch);
        return -EINVAL;
    }
    group->count += n;
    if (group->count > 0) {
        co_latch_give(&group->latch);
        return 0;
    }
    do {
        ticket = co_waitlist_claim(&group->waiters, 0, NULL);
        more = group->waiters.head;
        co_latch_give(&group->latch);
        if (ticket)
            co_finish(ticket);
        if (more)
            co_latch_take(&group->latch);
    } while (more);
    return 0;
}

static int is_zero(void *obj, struct co_waiter *waiter)
{
    (void)waiter;
    return ((struct co_wait_group *)obj)->count == 0;
}

int co_wait_group_wait(struct co_wait_group *group)
{
    struct co_waiter waiter;
    int r = co_check();

    return r < 0 ? r : co_waitlist_park(&group->waiters, &group->latch, &waiter, is_zero, group, 0);
}
