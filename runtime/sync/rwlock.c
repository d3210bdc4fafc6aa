/* SPDX-License-Identifier: MIT */
/*
 * rwlock.c - a word that says who holds it, and whether somebody may wait; a list under the latch.
 *
 *   read      by CAS, if neither WRITER nor WAITED: READER is added
 *   write     by CAS, from 0 to WRITER
 *   wait      WAITED is set, and the waiter linked, under one hold of the latch
 *   unlock    by CAS, if WAITED is not set, or other readers stay
 *   last out  and WAITED: under the latch those who are next are admitted, and with them the word
 *             is written anew, while nobody else can change it. If nobody is left to be admitted
 *             only WAITED goes; the rest from the top, without the latch
 *   gives up  who was interrupted admits, under the latch, readers that it has kept out
 *
 * Invariant, under the latch: while the list is not empty, WAITED is set, somebody holds the lock,
 * and the first of the list could not be admitted. So nobody overtakes those who wait.
 * The lock is made free by the last access to it, never before the latch is given: whoever has it
 * next may end it at once.
 */
#include <co/rwlock.h>

#include <co/assert.h>

enum { WRITER = CO__RWLOCK_WRITER, WAITED = CO__RWLOCK_WAITED, READER = CO__RWLOCK_READER };

void co_rwlock_init(struct co_rwlock *lock)
{
    *lock = (struct co_rwlock){0};
}

void co_rwlock_done(struct co_rwlock *lock)
{
    CO_ASSERT(!lock || (lock->word / READER == 0 && !(lock->word & WRITER) && !lock->waiters.head));
    (void)lock;
}

/* want: WRITER or READER. Whether it goes together with those who hold the lock. */
static bool fits(uint32_t word, uint64_t want)
{
    return want == WRITER ? (word & ~(uint32_t)WAITED) == 0 : !(word & WRITER);
}

/* Under the latch. */
static int try_it(void *obj, struct co_waiter *waiter)
{
    struct co_rwlock *lock = obj;
    /* relaxed: the CAS decides. */
    uint32_t word = __atomic_load_n(&lock->word, __ATOMIC_RELAXED);
    uint32_t next;
    bool taken;

    do {
        taken = !lock->waiters.head && fits(word, waiter->want);
        next = taken ? (word & ~(uint32_t)WAITED) + (uint32_t)waiter->want : word | WAITED;
        /* acquire pairs with the release of an unlock; a failure is another try (relaxed). */
    } while (!__atomic_compare_exchange_n(&lock->word, &word, next, true, __ATOMIC_ACQUIRE,
                                          __ATOMIC_RELAXED));
    return taken;
}

/* Under the latch. Claims from the front as far as it goes. Returns: those who hold it then. */
static uint32_t admit(struct co_rwlock *lock, uint32_t holders, struct co_claimed *admitted)
{
    struct co_waiter *first;

    while ((first = lock->waiters.head) && fits(holders, first->want)) {
        uint32_t want = (uint32_t)first->want;

        if (co_waitlist_claim_into(&lock->waiters, 0, admitted))
            holders += want;
    }
    return holders;
}

/*
 * For who holds it alone, by `mine`, and saw WAITED. Returns: false if that is not so any more, or
 * there was nobody to admit; then the lock is still the caller's too, and without WAITED if alone.
 */
static bool hand_over(struct co_rwlock *lock, uint32_t mine)
{
    struct co_claimed admitted = {0};
    uint32_t word;

    co_latch_take(&lock->latch);
    /* acquire: pairs with the unlocks of other readers; who is admitted comes after them all. */
    word = __atomic_load_n(&lock->word, __ATOMIC_ACQUIRE);
    if (word == (mine | WAITED)) { /* else somebody who gave up has admitted readers */
        uint32_t next = admit(lock, 0, &admitted);

        if (!admitted.first)
            next = mine;
        else if (lock->waiters.head)
            next |= WAITED;
        /* release: who joins the admitted readers by CAS sees what was written under the lock. */
        __atomic_store_n(&lock->word, next, __ATOMIC_RELEASE);
    }
    co_latch_give(&lock->latch);
    co_waitlist_finish(&admitted);
    return admitted.first;
}

/* A writer that gave up may have been all that kept readers out. */
static void admit_readers(struct co_rwlock *lock)
{
    struct co_claimed admitted = {0};
    uint32_t holders;

    co_latch_take(&lock->latch);
    /* relaxed: where somebody waits, holders can only go, and not the last one. */
    holders = __atomic_load_n(&lock->word, __ATOMIC_RELAXED) & ~(uint32_t)WAITED;
    if (holders > 0) /* relaxed: the admitted come after the writer whom these readers followed */
        __atomic_fetch_add(&lock->word, admit(lock, holders, &admitted) - holders,
                           __ATOMIC_RELAXED);
    co_latch_give(&lock->latch);
    co_waitlist_finish(&admitted);
}

static int wait_for(struct co_rwlock *lock, uint64_t want, unsigned flags)
{
    struct co_waiter waiter = {.want = want};
    int r =
        co_waitlist_park_for(want == WRITER ? "rwlock to write" : "rwlock to read", &lock->waiters,
                             &lock->latch, &waiter, try_it, lock, flags | CO_PARK_INSIDE);

    if (r < 0)
        admit_readers(lock);
    return r;
}

static int read_with(struct co_rwlock *lock, unsigned flags)
{
    uint32_t word = 0; /* a guess, which costs less than a look before the CAS */

    do {
        if (word & (WRITER | WAITED))
            return wait_for(lock, READER, flags);
        /* acquire pairs with the release of an unlock; a failure is another try (relaxed). */
    } while (!__atomic_compare_exchange_n(&lock->word, &word, word + READER, true, __ATOMIC_ACQUIRE,
                                          __ATOMIC_RELAXED));
    return 0;
}

static int write_with(struct co_rwlock *lock, unsigned flags)
{
    uint32_t none = 0;

    /* acquire pairs with the release of an unlock; a failure is answered by waiting (relaxed). */
    if (__atomic_compare_exchange_n(&lock->word, &none, WRITER, false, __ATOMIC_ACQUIRE,
                                    __ATOMIC_RELAXED))
        return 0;
    return wait_for(lock, WRITER, flags);
}

int co_rwlock_read(struct co_rwlock *lock)
{
    int r = co_check();

    return r < 0 ? r : read_with(lock, 0);
}

int co_rwlock_write(struct co_rwlock *lock)
{
    int r = co_check();

    return r < 0 ? r : write_with(lock, 0);
}

void co_rwlock_read_always(struct co_rwlock *lock)
{
    int r = read_with(lock, CO_PARK_NO_CANCEL | CO_PARK_NO_DEADLINE);

    CO_REQUIRE(r >= 0); /* not in a coroutine */
}

void co_rwlock_write_always(struct co_rwlock *lock)
{
    int r = write_with(lock, CO_PARK_NO_CANCEL | CO_PARK_NO_DEADLINE);

    CO_REQUIRE(r >= 0); /* not in a coroutine */
}

void co_rwlock_unlock(struct co_rwlock *lock)
{
    /* relaxed: the CAS decides, or what is done under the latch. */
    uint32_t word = __atomic_load_n(&lock->word, __ATOMIC_RELAXED);

    for (;;) {
        uint32_t mine = word & WRITER ? WRITER : READER;

        CO_ASSERT(word >= READER || (word & WRITER));
        if (word == (mine | WAITED)) {
            if (hand_over(lock, mine))
                return;
            word = __atomic_load_n(&lock->word, __ATOMIC_RELAXED /* as above */);
            continue;
        }
        /* release: what was done under the lock is seen by the next one's acquire. */
        if (__atomic_compare_exchange_n(&lock->word, &word, word - mine, true, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED /* another try */))
            return;
    }
}
