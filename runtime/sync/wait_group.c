/* SPDX-License-Identifier: MIT */
/*
 * wait_group.c - a word that holds the count, and whether somebody may wait; a list under the
 * latch.
 *
 *   The count changes by one step on the word, without the latch, unless it becomes zero and
 *   WAITED is set: then it is done under the latch, and under the same hold all waiters are
 *   claimed. WAITED stays. Down it goes by CAS. Up it may go by an addition, since there is room
 *   for far more than all threads together can add in a moment.
 *   WAITED is set by who is about to wait, under the latch, while the count is above zero. It is
 *   dropped by who raises the count from zero: they have all been claimed, or are about to be. Who
 *   raises it by an addition may miss that it is zero by then, and leave WAITED: then it says that
 *   somebody may wait though nobody does, and the next step to zero takes the latch for nothing.
 *
 * Who waits may end the group at once. So whoever makes the count zero touches nothing of it
 * afterwards, but for what he does under the latch; and who finds zero with WAITED goes through the
 * latch, so as not to be gone before that is given.
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

enum { WAITED = CO__WAIT_GROUP_WAITED, ONE = CO__WAIT_GROUP_ONE };

static int64_t count_of(uint64_t word)
{
    return (int64_t)(word / ONE);
}

/* Returns: false if the count would become negative or too large. */
static bool changed(uint64_t word, int64_t n, uint64_t *ret_next)
{
    int64_t count;

    if (__builtin_add_overflow(count_of(word), n, &count) || count < 0)
        return false;
    *ret_next = (uint64_t)count * ONE | (count_of(word) > 0 ? word & WAITED : 0);
    return true;
}

static bool cas(struct co_wait_group *group, uint64_t *word, uint64_t next)
{
    /*
     * acq_rel: who finds zero sees what all did before they counted themselves off. A failure is
     * answered by another try (relaxed).
     */
    return __atomic_compare_exchange_n(&group->word, word, next, true, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
}

static int add_latched(struct co_wait_group *group, int64_t n)
{
    struct co_claimed claimed = {0};
    uint64_t word;
    uint64_t next;
    int r = 0;

    co_latch_take(&group->latch);
    /* relaxed: the CAS decides. */
    word = __atomic_load_n(&group->word, __ATOMIC_RELAXED);
    do {
        if (!changed(word, n, &next))
            r = -EINVAL;
    } while (r == 0 && !cas(group, &word, next));
    if (r == 0 && count_of(next) == 0)
        claimed = co_waitlist_claim_all(&group->waiters, 0);
    co_latch_give(&group->latch);
    co_waitlist_finish(&claimed);
    return r;
}

int co_wait_group_change(struct co_wait_group *group, int64_t n)
{
    /* relaxed: the CAS decides. */
    uint64_t word = __atomic_load_n(&group->word, __ATOMIC_RELAXED);
    uint64_t next;

    if (n == 0)
        return 0;
    do {
        if (!changed(word, n, &next))
            return -EINVAL;
        if (next == WAITED)
            return add_latched(group, n);
    } while (!cas(group, &word, next));
    return 0;
}

/* Under the latch. Returns: whether the count is zero; if not, WAITED is set. */
static int is_zero(void *obj, struct co_waiter *waiter)
{
    struct co_wait_group *group = obj;
    /* acquire: pairs with the CAS that made it zero. */
    uint64_t word = __atomic_load_n(&group->word, __ATOMIC_ACQUIRE);

    (void)waiter;
    do {
        if (count_of(word) == 0)
            return 1;
        /* acquire, both: as above. */
    } while (!__atomic_compare_exchange_n(&group->word, &word, word | WAITED, true,
                                          __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE));
    return 0;
}

int co_wait_group_wait(struct co_wait_group *group)
{
    struct co_waiter waiter;
    uint64_t word;
    int r = co_check();

    if (r < 0)
        return r;
    /* acquire: pairs with the CAS that made it zero. */
    word = __atomic_load_n(&group->word, __ATOMIC_ACQUIRE);
    if (word == 0)
        return 0;
    if (word == WAITED) {
        co_latch_take(&group->latch);
        co_latch_give(&group->latch);
        return 0;
    }
    return co_waitlist_park_for("wait group", &group->waiters, &group->latch, &waiter, is_zero,
                                group, CO_PARK_INSIDE);
}
