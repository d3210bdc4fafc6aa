/* SPDX-License-Identifier: MIT */
/* tests/netio/test_slot.c - the users word of a descriptor: entering, leaving, taking down. */
#include "slot.h"

#include "netio/world.h"

TestSuite(slot, .timeout = 30);

static int enter_and_leave(void *arg)
{
    struct pair pair = make_pair();
    int r = 0;
    struct co__slot *reader = co__slot_enter(pair.ours, CO__SLOT_READING, &r);

    (void)arg;
    CHECK(reader != NULL && reader->fd == pair.ours);
    if (!reader)
        return -EBADF;
    CHECK(co__slot_enter(pair.ours, CO__SLOT_READING, &r) == NULL && r == -EBUSY);
    CHECK(co__slot_enter(pair.ours, CO__SLOT_WRITING, &r) == reader);
    CHECK(co__slot_enter(pair.ours, 0, &r) == reader);
    CHECK(reader->users ==
          (CO__SLOT_OPEN | CO__SLOT_READING | CO__SLOT_WRITING) + 3 * CO__SLOT_USER);
    co__slot_leave(reader, 0);
    co__slot_leave(reader, CO__SLOT_WRITING);
    co__slot_leave(reader, CO__SLOT_READING);
    CHECK(reader->users == CO__SLOT_OPEN);
    close_pair(&pair);
    CHECK(reader->users == 0);
    CHECK(co__slot_enter(pair.ours, 0, &r) == NULL && r == -EBADF);
    CHECK(co__slot_enter(-1, 0, &r) == NULL && r == -EBADF);
    return 0;
}

Test(slot, one_reads_one_writes_and_others_only_visit)
{
    run_on(1, enter_and_leave, NULL);
}

static int close_with_visitors(void *arg)
{
    struct pair pair = make_pair();
    uint32_t generation;
    int r = 0;
    struct co__slot *slot = co__slot_enter(pair.ours, CO__SLOT_READING, &r);

    (void)arg;
    (void)co__slot_enter(pair.ours, 0, &r);
    generation = slot->generation;
    CHECK(co_close(pair.ours) == 0);
    CHECK(slot->users & CO__SLOT_CLOSED);
    CHECK(slot->read.word & CO__SOURCE_CLOSING);
    CHECK(co__slot_enter(pair.ours, CO__SLOT_WRITING, &r) == NULL && r == -EBADF);
    CHECK(fcntl(pair.ours, F_GETFD) >= 0);
    co__slot_leave(slot, CO__SLOT_READING);
    CHECK(fcntl(pair.ours, F_GETFD) >= 0);
    CHECK(slot->generation == generation);
    co__slot_leave(slot, 0); /* the last one out */
    CHECK(fcntl(pair.ours, F_GETFD) < 0);
    CHECK(slot->generation == generation + 1);
    CHECK(slot->users == 0);
    CHECK((slot->read.word & (CO__SOURCE_STATE | CO__SOURCE_CLOSING)) == CO__SOURCE_NIL);
    (void)close(pair.plain);
    return 0;
}

Test(slot, the_last_one_out_takes_a_closed_descriptor_down)
{
    run_on(1, close_with_visitors, NULL);
}

static int hang_up_slot(void *arg)
{
    struct pair pair = make_pair();
    int r = 0;
    struct co__slot *slot = co__slot_enter(pair.ours, CO__SLOT_READING, &r);

    (void)arg;
    CHECK(co_hangup(pair.ours) == 0);
    CHECK(slot->users & CO__SLOT_HUNG);
    CHECK(co__slot_enter(pair.ours, CO__SLOT_WRITING, &r) == NULL && r == -ECANCELED);
    co__slot_leave(slot, CO__SLOT_READING);
    CHECK(fcntl(pair.ours, F_GETFD) >= 0);
    close_pair(&pair);
    return 0;
}

Test(slot, who_was_hung_up_stays_until_the_owner_closes)
{
    run_on(1, hang_up_slot, NULL);
}

static int count_slots(void *arg)
{
    struct pair pairs[8];
    int before = 0, after = 0;

    (void)arg;
    for (int i = 0; i < co_workers(); i++)
        before += co__slot_count(i);
    for (int i = 0; i < 8; i++)
        pairs[i] = make_pair();
    for (int i = 0; i < co_workers(); i++)
        after += co__slot_count(i);
    CHECK(after == before + 8);
    for (int i = 0; i < co_workers(); i++)
        CHECK(co__slot_count(co__slot_place(i)) <= co__slot_count(i));
    for (int i = 0; i < 8; i++)
        close_pair(&pairs[i]);
    after = 0;
    for (int i = 0; i < co_workers(); i++)
        after += co__slot_count(i);
    CHECK(after == before);
    return 0;
}

Test(slot, a_new_one_is_placed_where_there_are_few)
{
    run_on(1, count_slots, NULL);
    run_on(4, count_slots, NULL);
}

static int closed_behind_our_back(void *arg)
{
    struct pair pair = make_pair();
    int fd = pair.ours;
    int stranger;

    (void)arg;
    CHECK(close(fd) == 0);                             /* a mistake of the program's */
    stranger = fcntl(pair.plain, F_DUPFD_CLOEXEC, fd); /* the lowest from there that is free */
    CHECK(stranger == fd);
    CHECK(co__slot_open(stranger, CO__SLOT_TCP, 0, false) == -EBUSY);
    CHECK(co_close(fd) == 0); /* the owner's, at last */
    (void)close(pair.plain);
    return 0;
}

Test(slot, a_number_that_was_closed_behind_our_back_is_not_taken_twice)
{
    run_on(1, closed_behind_our_back, NULL);
}
