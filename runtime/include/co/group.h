/* SPDX-License-Identifier: MIT */
/*
 * co/group.h - coroutines that end before the block does that started them.
 *
 *     CO_DEADLINE(2 * CO_SEC);
 *     CO_GROUP(group);
 *
 *     for (int i = 0; i < n && r == 0; i++)
 *         r = co_group_go(&group, fetch, &parts[i]);
 *     if (r == 0)
 *         r = co_group_wait(&group);
 *
 * However the block is left, its group is cancelled and waited for; so what the members were given
 * may lie in the block. Open the group after what its members use: guards end in reverse order.
 * Members inherit the deadline that was in force where the group was opened. A group that a member
 * opens, unless within CO_GRACE, is cancelled with the group that the member is in. What a member
 * starts by co_go is in no group.
 */
#ifndef CO_GROUP_H
#define CO_GROUP_H

#include <co/task.h>
#include <co/waitlist.h>

#ifdef __cplusplus
extern "C" {
#endif

struct co__member;

/* The fields are the library's. */
struct co_group {
    struct co_latch latch;
    int32_t open;
    int32_t cancelled;
    int32_t error; /* the group's result so far */
    int64_t running;
    int64_t deadline;
    struct co__member *members;
    struct co_group *parent; /* of the member that opened it */
    struct co_group *children;
    struct co_group *next; /* among the parent's children */
    struct co_group *prev;
    struct co_waitlist waiters;
};

/* What a member runs: 0 or more for success, or a negative errno. */
typedef int co_member_fn(void *arg);

/*
 * Opens a group. It has to be closed by the same coroutine, and within CO_GROUP it is.
 * Returns: 0; -EPERM outside a coroutine: such a group stays closed. Suspends: never. Threads:
 *   coroutines.
 */
CO_API int co_group_open(struct co_group *group);

/*
 * Starts fn(arg) as a member. As with co_go it always runs, cancelled or not. Members may start
 * further ones.
 * Returns: 0; -ENOMEM; -EAGAIN (max_coroutines reached); -ECANCELED (the group was cancelled, or
 *   the runtime is past its grace time); -EPERM if the group is not open. Suspends: never. Threads:
 *   any, while the group is open.
 * Owns: arg stays the caller's.
 */
CO_API CO_NODISCARD int co_group_go(struct co_group *group, co_member_fn *fn, void *arg);

/*
 * co_group_go with options; NULL means the defaults.
 * Returns: as co_group_go; -EINVAL for a stack size out of range. Suspends, Threads, Owns: as
 *   co_group_go.
 */
CO_API CO_NODISCARD int co_group_go_with(struct co_group *group, const struct co_opts *opts,
                                         co_member_fn *fn, void *arg);

/*
 * Waits until no member runs. More may be started afterwards, and waited for again.
 * Returns: the group's result: 0, or the first negative one of a member (an -ECANCELED of a group
 *   that was cancelled gives way to a later result that tells why); -ETIMEDOUT, -ECANCELED if the
 *   caller was interrupted, and members may still run; -EPERM outside a coroutine. Suspends: yes.
 *   Threads: coroutines, not members.
 */
CO_API CO_NODISCARD int co_group_wait(struct co_group *group);

/*
 * Cancels all members, and the groups that they have opened: every call of theirs that may suspend,
 * now or later, returns -ECANCELED. Nothing starts in the group any more. A member may call it, to
 * say that the others' work is not needed.
 * Suspends: never. Threads: any, while the group is open.
 */
CO_API void co_group_cancel(struct co_group *group);

/*
 * Cancels the members that still run and waits for them; neither cancel nor a deadline cuts that
 * short. A second call does nothing.
 * Returns: the group's result, as co_group_wait. Suspends: yes. Threads: the coroutine that opened
 *   it.
 */
CO_API int co_group_close(struct co_group *group);

/* The clean-up of CO_GROUP. Suspends, Threads: as co_group_close. */
CO_API void co_group_guard(struct co_group *group);

/* A group to the end of the block. */
#define CO_GROUP(name)                                             \
    struct co_group name __attribute__((cleanup(co_group_guard))); \
    const int CO_CAT(co_group_, __LINE__) __attribute__((unused)) = co_group_open(&name)

#ifdef __cplusplus
}
#endif
#endif
