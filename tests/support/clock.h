/* SPDX-License-Identifier: MIT */
/*
 * tests/support/clock.h - for tests whose point is time: nobody waits for it, and it is exact,
 * however slow the machine. See co/private/clock.h for what does not go by it.
 *
 *     Test(scope, a_deadline_ends_a_sleep, .init = clock_winds_itself)
 */
#ifndef TESTS_SUPPORT_CLOCK_H
#define TESTS_SUPPORT_CLOCK_H

#include <co/private/clock.h>

/* The clock moves to the next deadline whenever everybody sleeps. */
__attribute__((unused)) static void clock_winds_itself(void)
{
    co__clock_stop(true);
}

/* What computes for so long does it at once. */
__attribute__((unused)) static void seem_to_compute(int64_t ns)
{
    co__clock_advance(ns);
}

#endif
