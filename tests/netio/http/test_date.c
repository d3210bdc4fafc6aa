/* SPDX-License-Identifier: MIT */
/* The Date field's text. */
#include "engine.h"
#include "support/test.h"
#include <string.h>
#include <time.h>

static void expect_same(int64_t seconds)
{
    time_t t = (time_t)seconds;
    struct tm tm;
    char want[64], got[CO__DATE_LEN];

    cr_assert_not_null(gmtime_r(&t, &tm));
    cr_assert_eq(strftime(want, sizeof want, "%a, %d %b %Y %H:%M:%S GMT", &tm), CO__DATE_LEN);
    co__date_format(seconds, got);
    cr_expect_eq(memcmp(want, got, CO__DATE_LEN), 0, "%.29s, not %s", got, want);
}

Test(date, every_day_for_four_centuries_is_right)
{
    for (int64_t day = 0; day < 146097 + 400; day++)
        expect_same(day * 86400 + day % 86400);
}

Test(date, every_second_of_a_day_is_right)
{
    for (int64_t s = 0; s < 86400; s++)
        expect_same(951782400 + s); /* 29 February 2000 */
}

Test(date, the_present_is_now)
{
    for (int i = 0; i < 1000; i++) {
        time_t before = time(NULL), after;
        char got[CO__DATE_LEN], low[CO__DATE_LEN], high[CO__DATE_LEN];

        co__date(got);
        after = time(NULL);
        co__date_format(before - 1, low); /* the coarse clock may be a tick late */
        if (memcmp(got, low, CO__DATE_LEN) == 0)
            continue;
        co__date_format(before, low);
        co__date_format(after, high);
        cr_expect(memcmp(got, low, CO__DATE_LEN) == 0 || memcmp(got, high, CO__DATE_LEN) == 0);
    }
}
