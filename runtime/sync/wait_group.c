/* SPDX-License-Identifier: MIT */
/*
 * wait_group.c - a count under the latch. The waiters are claimed under the same hold of the latch
 * that made the count zero, and nothing of the group is touched after it is given: who waits may
 * end the group at once.
 */
#include <co/wait_group.h>

#include <co/assert.h>

void co_wait_group_init(struct co_wait_group *group)
{
    *group = (struct co_wait_group){0};
}

void co_wait_group_done(struct co_wait_group *group)
{
    CO_ASSERT(!group || !group->waiters.head);
    (void)group;
}

int co_wait_group_add(struct co_wait_group *group, int64_t n)
{
    struct co_claimed claimed = {0};
    int64_t count;
    int r = 0;

    co_latch_take(&group->latch);
    if (__builtin_add_overflow(group->count, n, &count) || count < 0) {
        r = -EINVAL;
    } else {
        group->count = count;
        if (count == 0)
            claimed = co_waitlist_claim_all(&group->waiters, 0);
    }
    co_latch_give(&group->latch);
    co_waitlist_finish(&claimed);
    return r;
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
    bool zero;

    if (r < 0)
        return r;
    co_latch_take(&group->latch);
    zero = group->count == 0;
    co_latch_give(&group->latch);
    if (zero)
        return 0;
    return co_waitlist_park_for("wait group", &group->waiters, &group->latch, &waiter, is_zero,
                                group, CO_PARK_INSIDE);
}
