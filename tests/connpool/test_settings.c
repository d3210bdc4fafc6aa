/* SPDX-License-Identifier: MIT */
/* tests/connpool/test_settings.c - a pool's section of a configuration file. */
#include "support/test.h"
#include <co/pool.h>

static struct co_pool_settings settings;
static char err[CO_CONF_ERR_MAX];

static struct co_conf_table table(void)
{
    struct co_conf_table bound = co_pool_table("pool.upstream", &settings);

    cr_assert_eq(co_conf_defaults(&bound, 1, err, sizeof err), 0, "%s", err);
    return bound;
}

Test(settings, defaults_are_those_of_the_pool)
{
    (void)table();
    cr_assert_str_eq(settings.address, "");
    cr_assert_str_eq(settings.conf.name, "pool.upstream");
    cr_assert_eq(settings.conf.max, 64);
    cr_assert_eq(settings.conf.max_idle, 0);
    cr_assert_eq(settings.conf.idle_timeout, 60 * CO_SEC);
    cr_assert_eq(settings.conf.max_age, 0);
}

Test(settings, every_key_sets_its_field)
{
    struct co_conf_table bound = table();
    const char *const lines[] = {
        "pool.upstream.address=127.0.0.1:7000",
        "pool.upstream.max=3",
        "pool.upstream.max_idle=2",
        "pool.upstream.idle_timeout=5s",
        "pool.upstream.max_age=1m",
    };

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        cr_assert_eq(co_conf_set(lines[i], &bound, 1, err, sizeof err), 0, "%s", err);
    cr_assert_str_eq(settings.address, "127.0.0.1:7000");
    cr_assert_eq(settings.conf.max, 3);
    cr_assert_eq(settings.conf.max_idle, 2);
    cr_assert_eq(settings.conf.idle_timeout, 5 * CO_SEC);
    cr_assert_eq(settings.conf.max_age, 60 * CO_SEC);
}

Test(settings, values_out_of_range_are_refused)
{
    struct co_conf_table bound = table();
    const char *const lines[] = {
        "pool.upstream.max=0",          "pool.upstream.max=-1",    "pool.upstream.max_idle=-1",
        "pool.upstream.idle_timeout=0", "pool.upstream.nothing=1",
    };

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        cr_assert_eq(co_conf_set(lines[i], &bound, 1, err, sizeof err), -EINVAL, "%s", lines[i]);
}
