/* SPDX-License-Identifier: MIT */
/*
 * group.c - groups: a list of members under a latch, and a tree of groups.
 *
 * A member is a coroutine whose function is member_main; what the group needs to know of it lies in
 * the record's room for copies, so other coroutines pay nothing. It is linked before it becomes
 * ready and unlinks itself as its last step. So while the latch is held, every linked record is
 * alive, and whoever is linked after a cancel sees it and does not start.
 *
 * A group that a member opens is a child of that member's group. Latches are taken from parent to
 * child. Cancel walks the tree with all latches held on the way from the root to where it is; it
 * claims those who are parked, and makes them ready when all latches are given.
 *
 * The member that ends last claims who waits under the latch, finishes them after it, and touches
 * the group no more.
 */
#include <co/group.h>

#include "local.h"
#include "outside.h"
#include "park.h"
#include "run.h"
#include <co/assert.h>

struct co__member {
    co_member_fn *fn;
    void *arg;
    struct co_group *group;
    struct co__coro *co;
    struct co__member *next;
    struct co__member *prev;
};

_Static_assert(sizeof(struct co__member) <= CO_COPY_MAX, "a member fits where copies go");

static struct co__member *room(struct co__coro *co)
{
    return (struct co__member *)(void *)co->copy;
}

/* ---- members ---- */

/* Under the latch. The first result holds, unless it only echoes the cancel. */
static void note(struct co_group *group, int result)
{
    if (result >= 0)
        return;
    if (group->error == 0 || (group->error == -ECANCELED && group->cancelled))
        group->error = result;
}

static void leave(struct co__member *member, int result)
{
    struct co_group *group = member->group;
    struct co_claimed claimed = {0};

    co_latch_take(&group->latch);
    if (member->prev)
        member->prev->next = member->next;
    else
        group->members = member->next;
    if (member->next)
        member->next->prev = member->prev;
    note(group, result);
    if (--group->running == 0)
        claimed = co_waitlist_claim_all(&group->waiters, 0);
    co_latch_give(&group->latch);
    co_waitlist_finish(&claimed);
}

static void member_main(void *arg)
{
    struct co__member *member = room(arg);
    int result = member->fn(member->arg);

    co__locals_end(member->co); /* what they refer to may go with the group */
    leave(member, result);
}

/* Returns: 0, or -ECANCELED and nothing is linked. */
static int join(struct co__member *member)
{
    struct co_group *group = member->group;
    int r = 0;

    co_latch_take(&group->latch);
    if (group->cancelled) {
        r = -ECANCELED;
    } else {
        member->prev = NULL;
        member->next = group->members;
        if (member->next)
            member->next->prev = member;
        group->members = member;
        group->running++;
    }
    co_latch_give(&group->latch);
    return r;
}

static int spawn(struct co_group *group, const struct co_opts *opts, co_member_fn *fn, void *arg)
{
    struct co__worker *w = co__worker();
    struct co__member *member;
    struct co__coro *co;
    int r = 0;

    co = co__spawn_take(w, &r);
    if (!co)
        return r;
    member = room(co);
    *member = (struct co__member){.fn = fn, .arg = arg, .group = group, .co = co};
    co->entry = (struct co__entry){.fn = member_main, .arg = co, .kind = CO__ENTRY_FN};
    co->deadline = group->deadline;
    r = join(member);
    if (r == 0 && opts && (r = co__spawn_opts(w, co, opts)) < 0)
        leave(member, 0);
    if (r < 0) {
        co__spawn_undo(w, co);
        return r;
    }
    co__spawn_done(w, co);
    return 0;
}

int co_group_go_with(struct co_group *group, const struct co_opts *opts, co_member_fn *fn,
                     void *arg)
{
    int r;

    if (!group->open)
        return -EPERM;
    if (opts && !co__opts_valid(opts))
        return -EINVAL;
    if (!co__outside_enter())
        return -ECANCELED;
    r = spawn(group, opts, fn, arg);
    co__outside_leave();
    return r;
}

int co_group_go(struct co_group *group, co_member_fn *fn, void *arg)
{
    return co_group_go_with(group, NULL, fn, arg);
}

/* ---- the tree ---- */

static struct co__coro *self(void)
{
    const struct co__worker *w = co__worker();

    return w ? w->current : NULL;
}

/* The group that a coroutine is in. */
static struct co_group *group_of(struct co__coro *co)
{
    bool is_member = co->entry.kind == CO__ENTRY_FN && co->entry.fn == member_main;

    return is_member ? room(co)->group : NULL;
}

int co_group_open(struct co_group *group)
{
    struct co__coro *co = self();
    struct co_group *parent;

    *group = (struct co_group){0};
    if (!co)
        return -EPERM;
    group->open = 1;
    group->deadline = co->deadline;
    /* Within CO_GRACE cancel does not count, nor for those who help with the goodbyes. */
    parent = co->grace ? NULL : group_of(co);
    if (!parent)
        return 0;
    group->parent = parent;
    co_latch_take(&parent->latch);
    group->cancelled = parent->cancelled;
    group->next = parent->children;
    if (group->next)
        group->next->prev = group;
    parent->children = group;
    co_latch_give(&parent->latch);
    return 0;
}

static void unlink_child(struct co_group *group)
{
    struct co_group *parent = group->parent;

    if (!parent)
        return;
    co_latch_take(&parent->latch);
    if (group->prev)
        group->prev->next = group->next;
    else
        parent->children = group->next;
    if (group->next)
        group->next->prev = group->prev;
    co_latch_give(&parent->latch);
}

/*
 * Under the latch. Cancels the members; those who were parked are put before `claimed`, linked by
 * the records' `next`.
 */
static struct co__coro *mark(struct co_group *group, struct co__coro *claimed)
{
    if (group->cancelled)
        return claimed;
    group->cancelled = 1;
    for (struct co__member *member = group->members; member; member = member->next) {
        if (co__cancel_claim(member->co)) {
            member->co->next = claimed;
            claimed = member->co;
        }
    }
    return claimed;
}

/* Walks the tree below `root`, whose latch is taken. */
static struct co__coro *mark_tree(struct co_group *root)
{
    struct co__coro *claimed = mark(root, NULL);
    struct co_group *group = root;
    bool down = true;

    for (;;) {
        struct co_group *next = down ? group->children : NULL;

        if (!next) {
            struct co_group *parent = group->parent;

            if (group == root)
                return claimed;
            next = group->next; /* under the parent's latch, which is held */
            co_latch_give(&group->latch);
            if (!next) {
                group = parent;
                down = false;
                continue;
            }
        }
        group = next;
        co_latch_take(&group->latch);
        claimed = mark(group, claimed);
        down = true;
    }
}

void co_group_cancel(struct co_group *group)
{
    struct co__coro *claimed;

    if (!group->open || !co__outside_enter())
        return;
    co_latch_take(&group->latch);
    claimed = mark_tree(group);
    co_latch_give(&group->latch);
    while (claimed) {
        struct co__coro *next = claimed->next;

        co__fire(claimed);
        claimed = next;
    }
    co__outside_leave();
}

/* ---- waiting ---- */

static int nobody_runs(void *obj, struct co_waiter *waiter)
{
    (void)waiter;
    return ((struct co_group *)obj)->running == 0;
}

static int result_of(struct co_group *group, bool *ret_over)
{
    int r;

    co_latch_take(&group->latch);
    r = group->error;
    *ret_over = group->running == 0;
    co_latch_give(&group->latch);
    return r;
}

static int wait_for_all(struct co_group *group, unsigned flags)
{
    struct co_waiter waiter;
    bool over;
    int result = result_of(group, &over);
    int r;

    if (over)
        return result;
    CO_ASSERT(group_of(self()) != group); /* it would wait for itself */
    r = co_waitlist_park_for("group", &group->waiters, &group->latch, &waiter, nobody_runs, group,
                             flags | CO_PARK_INSIDE);
    return r < 0 ? r : result_of(group, &over);
}

int co_group_wait(struct co_group *group)
{
    int r = co_check();

    return r < 0 ? r : wait_for_all(group, 0);
}

int co_group_close(struct co_group *group)
{
    int r;

    if (!group->open)
        return group->error;
    co_group_cancel(group);
    r = wait_for_all(group, CO_PARK_NO_CANCEL | CO_PARK_NO_DEADLINE);
    unlink_child(group);
    group->open = 0;
    return r;
}

void co_group_guard(struct co_group *group)
{
    (void)co_group_close(group);
}
