/* SPDX-License-Identifier: MIT */
/* tests/runtime/test_rwlock.c - readers together, writers alone, all in turn. */
#include <co/rwlock.h>

#include "sync_help.h"
#include <signal.h>

TestSuite(rwlock, .timeout = 30);

static struct co_rwlock lock;
static _Atomic int go_on;

static int read_and_note(void *arg)
{
    int r = co_rwlock_read(&lock);

    if (r < 0)
        return r;
    note(number_of(arg));
    until(&go_on, 1);
    co_rwlock_unlock(&lock);
    return 0;
}

static int write_and_note(void *arg)
{
    int r = note_if_won(co_rwlock_write(&lock), arg);

    if (r == 0)
        co_rwlock_unlock(&lock);
    return r;
}

static int readers_together(void *arg)
{
    CO_GROUP(group);

    (void)arg;
    CHECK(co_rwlock_write(&lock) == 0);
    for (int i = 0; i < 3; i++)
        start_asleep(&group, read_and_note, numbered(i));
    CHECK(atomic_load(&noted_count) == 0);
    co_rwlock_unlock(&lock);
    until(&noted_count, 3); /* all hold it, none has gone on */
    atomic_store(&go_on, 1);
    CHECK(co_group_wait(&group) == 0);
    co_rwlock_done(&lock);
    co_rwlock_done(NULL);
    return 0;
}

Test(rwlock, readers_that_wait_get_it_together)
{
    run_on(2, readers_together, NULL);
}

static int a_writer_first(void *arg)
{
    CO_GROUP(group);

    (void)arg;
    atomic_store(&go_on, 1);
    CHECK(co_rwlock_read(&lock) == 0);
    start_asleep(&group, write_and_note, numbered(0));
    start_asleep(&group, read_and_note, numbered(1));
    start_asleep(&group, write_and_note, numbered(2));
    CHECK(atomic_load(&noted_count) == 0);
    co_rwlock_unlock(&lock);
    CHECK(co_group_wait(&group) == 0);
    CHECK(noted_in_order(3));
    return 0;
}

Test(rwlock, a_reader_that_comes_after_a_waiting_writer_waits_behind_it)
{
    run_on(2, a_writer_first, NULL);
}

static int a_writer_gives_up(void *arg)
{
    CO_GROUP(writers);
    CO_GROUP(readers);

    (void)arg;
    CHECK(co_rwlock_read(&lock) == 0);
    start_asleep(&writers, write_and_note, numbered(7));
    start_asleep(&readers, read_and_note, numbered(0));
    start_asleep(&readers, read_and_note, numbered(1));
    co_group_cancel(&writers);
    CHECK(co_group_wait(&writers) == -ECANCELED);
    until(&noted_count, 2); /* beside ours */
    atomic_store(&go_on, 1);
    CHECK(co_group_wait(&readers) == 0);
    co_rwlock_unlock(&lock);
    CHECK(co_rwlock_write(&lock) == 0); /* free, then */
    co_rwlock_unlock(&lock);
    return 0;
}

Test(rwlock, a_writer_that_gives_up_lets_in_the_readers_behind_it)
{
    run_on(2, a_writer_gives_up, NULL);
}

static int out_of_time(void *arg)
{
    (void)arg;
    co_rwlock_init(&lock);
    {
        CO_DEADLINE(0);
        CHECK(co_rwlock_read(&lock) == -ETIMEDOUT);
        CHECK(co_rwlock_write(&lock) == -ETIMEDOUT);
    }
    CHECK(co_rwlock_read(&lock) == 0);
    CHECK(co_rwlock_read(&lock) == 0);
    {
        CO_DEADLINE(CO_MS);
        CHECK(co_rwlock_write(&lock) == -ETIMEDOUT);
    }
    co_rwlock_unlock(&lock);
    co_rwlock_unlock(&lock);
    CHECK(co_rwlock_write(&lock) == 0);
    {
        CO_DEADLINE(CO_MS);
        CHECK(co_rwlock_read(&lock) == -ETIMEDOUT);
    }
    co_rwlock_unlock(&lock);
    return 0;
}

Test(rwlock, a_deadline_counts_at_entry_and_while_waiting)
{
    cr_assert_eq(co_rwlock_read(&lock), -EPERM);
    cr_assert_eq(co_rwlock_write(&lock), -EPERM);
    run_on(2, out_of_time, NULL);
}

static _Atomic int guarded;

static int lock_always(void *arg)
{
    until(&guarded, number_of(arg));
    CHECK(co_rwlock_read(&lock) == -ECANCELED && co_rwlock_write(&lock) == -ECANCELED);
    if (number_of(arg) == 0) {
        CO_READ_LOCK(&lock);
        CHECK(co_check() == -ECANCELED); /* the cancel is there, and has not kept it from locking */
        atomic_fetch_add(&guarded, 1);
    } else {
        CO_WRITE_LOCK(&lock);
        atomic_fetch_add(&guarded, 1);
    }
    CHECK(co_rwlock_read(&lock) == -ECANCELED);
    return 0;
}

static int cancelled(void *arg)
{
    for (int i = 0; i < 2; i++) {
        CO_GROUP(group);
        int64_t before = parked();

        (void)arg;
        CHECK(co_rwlock_write(&lock) == 0);
        CHECK(co_group_go(&group, lock_always, numbered(i)) == 0);
        co_group_cancel(&group);
        until_parked(before + 1); /* in the guard */
        for (int k = 0; k < 50; k++)
            (void)co_yield();
        CHECK(atomic_load(&guarded) == i);
        co_rwlock_unlock(&lock);
        CHECK(co_group_close(&group) == 0);
        CHECK(atomic_load(&guarded) == i + 1);
    }
    co_rwlock_done(&lock);
    return 0;
}

Test(rwlock, cancel_ends_a_lock_but_not_a_guard)
{
    run_on(2, cancelled, NULL);
}

static int readers_and_guards(void *arg)
{
    (void)arg;
    {
        CO_READ_LOCK(&lock);
        CO_READ_LOCK(&lock);
        CHECK(co_rwlock_read(&lock) == 0); /* nobody waits, so the same one may read again */
        co_rwlock_unlock(&lock);
    }
    {
        CO_DEADLINE(CO_MS);
        CO_WRITE_LOCK(&lock);
        CHECK(co_rwlock_read(&lock) == -ETIMEDOUT); /* alone */
    }
    co_rwlock_done(&lock);
    return 0;
}

Test(rwlock, guards_hold_it_to_the_end_of_their_block)
{
    run_on(1, readers_and_guards, NULL);
}

Test(rwlock, a_guard_that_has_to_wait_outside_a_coroutine_aborts, .signal = SIGABRT)
{
    CO_READ_LOCK(&lock);
    CO_WRITE_LOCK(&lock);
}

/* ---- all at once ---- */

static struct {
    int64_t a, b; /* equal whenever nobody writes */
    _Atomic int readers, writers;
    _Atomic int64_t writes;
} shared;

static void write_it(void)
{
    CHECK(atomic_fetch_add(&shared.writers, 1) == 0 && atomic_load(&shared.readers) == 0);
    shared.a++;
    (void)co_yield();
    shared.b++;
    atomic_fetch_add(&shared.writes, 1);
    atomic_fetch_sub(&shared.writers, 1);
}

static void read_it(void)
{
    atomic_fetch_add(&shared.readers, 1);
    CHECK(atomic_load(&shared.writers) == 0 && shared.a == shared.b);
    (void)co_yield();
    atomic_fetch_sub(&shared.readers, 1);
}

static void one_guarded_turn(bool write)
{
    if (write) {
        CO_WRITE_LOCK(&lock);
        write_it();
    } else {
        CO_READ_LOCK(&lock);
        read_it();
    }
}

static int one_turn(int i)
{
    bool write = i % 4 == 0;
    int r;

    if (i % 3 == 0) {
        one_guarded_turn(write);
        return 0;
    }
    r = write ? co_rwlock_write(&lock) : co_rwlock_read(&lock);
    if (r < 0)
        return r;
    if (write)
        write_it();
    else
        read_it();
    co_rwlock_unlock(&lock);
    return 0;
}

static int work(void *arg)
{
    for (int i = 0; i < number_of(arg); i++) {
        CO_DEADLINE(i % 5 == 0 ? 20 * CO_US : CO_SEC);

        if (one_turn(i) == -ECANCELED)
            break;
    }
    return 0;
}

static int rounds(void *arg)
{
    for (int i = 0; i < number_of(arg); i++) {
        crowd_round(i, work, numbered(20));
        {
            CO_DEADLINE(CO_SEC);
            CHECK(co_rwlock_write(&lock) == 0); /* nobody took it and went away */
        }
        co_rwlock_unlock(&lock);
    }
    CHECK(shared.a == atomic_load(&shared.writes) && shared.b == shared.a);
    return 0;
}

Test(rwlock, a_writer_is_alone_through_deadlines_and_cancels)
{
    run_on(WORKERS, rounds, numbered(fewer(200)));
}

struct object {
    struct co_rwlock lock;
    _Atomic int references;
};

static int drop(void *arg)
{
    struct object *object = arg;
    bool is_last;

    {
        CO_WRITE_LOCK(&object->lock);
        is_last = atomic_fetch_sub(&object->references, 1) == 1;
    }
    if (is_last)
        free(object);
    return 0;
}

static int drop_many(void *arg)
{
    for (int i = 0; i < number_of(arg); i++) {
        struct object *object = calloc(1, sizeof *object);

        atomic_store(&object->references, 3);
        together(3, drop, object);
    }
    return 0;
}

Test(rwlock, whoever_unlocks_last_may_free_it_at_once)
{
    run_on(WORKERS, drop_many, numbered(fewer(10000)));
}
