/* SPDX-License-Identifier: MIT */
/* co/wait_group.h - wait until a number of things are done. */
#ifndef CO_WAIT_GROUP_H
#define CO_WAIT_GROUP_H

#include <co/waitlist.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The word of a co_wait_group is the count times ONE, and WAITED; runtime/sync/wait_group.c. */
enum { CO__WAIT_GROUP_WAITED = 1, CO__WAIT_GROUP_ONE = 2 };

/* The fields are the library's; = {0} has nothing to wait for. */
struct co_wait_group {
    struct co_latch latch;
    uint64_t word; /* the count, and whether somebody may wait */
    struct co_waitlist waiters;
};

/* Makes a wait group. Suspends: never. Threads: any. */
CO_API void co_wait_group_init(struct co_wait_group *group);

/* Ends one that nobody waits for. NULL does nothing. Suspends: never. Threads: any. */
CO_API void co_wait_group_done(struct co_wait_group *group);

/*
 * The slow half of co_wait_group_add; not to be called otherwise.
 * Returns, Suspends, Threads: as co_wait_group_add.
 */
CO_API int co_wait_group_change(struct co_wait_group *group, int64_t n);

/*
 * Adds to the number of things that are not done yet; negative takes away. At zero all that wait go
 * on.
 * Returns: 0; -EINVAL if the number would become negative or too large. Suspends: never. Threads:
 *   any.
 */
static inline int co_wait_group_add(struct co_wait_group *group, int64_t n)
{
    /* relaxed: the CAS decides; where it only goes up, see runtime/sync/wait_group.c. */
    uint64_t word = __atomic_load_n(&group->word, __ATOMIC_RELAXED);
    uint64_t next = word + (uint64_t)n * CO__WAIT_GROUP_ONE;

    if (n > INT32_MAX || n < -INT32_MAX || word > UINT64_MAX / 4)
        return co_wait_group_change(group, n);
    /* acq_rel, both: who finds zero sees what all did before they counted themselves off. */
    if (n > 0 && word != CO__WAIT_GROUP_WAITED) {
        __atomic_fetch_add(&group->word, (uint64_t)n * CO__WAIT_GROUP_ONE, __ATOMIC_ACQ_REL);
        return 0;
    }
    /* A failure is for the slow half (relaxed). */
    if (n < 0 && next < word && next != CO__WAIT_GROUP_WAITED &&
        __atomic_compare_exchange_n(&group->word, &word, next, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_RELAXED))
        return 0;
    return co_wait_group_change(group, n);
}

/*
 * Waits until the number is zero.
 * Returns: 0; -ETIMEDOUT; -ECANCELED; -EPERM outside a coroutine. Suspends: yes. Threads:
 *   coroutines.
 */
CO_API CO_NODISCARD int co_wait_group_wait(struct co_wait_group *group);

#ifdef __cplusplus
}
#endif
#endif
