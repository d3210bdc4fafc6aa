/* SPDX-License-Identifier: MIT */
/* connpool/settings.c - the keys of a pool's section in a configuration file. */
#include <co/conf.h>
#include <co/pool.h>
#include <string.h>

#define FIELD(member) offsetof(struct co_pool_settings, member)

#define DAY (24 * (int64_t)3600 * CO_SEC)

static const struct co_conf_key keys[] = {
    {.name = "address",
     .type = CO_CONF_STRING,
     .offset = FIELD(address),
     .cap = sizeof((struct co_pool_settings *)0)->address,
     .fallback = "",
     .meaning = "host:port, [ipv6]:port or unix:/path of the server"},
    {.name = "max",
     .type = CO_CONF_INT,
     .offset = FIELD(conf.max),
     .fallback = "64",
     .min = 1,
     .max = 1000000,
     .meaning = "connections open at once, by all workers together"},
    {.name = "max_idle",
     .type = CO_CONF_INT,
     .offset = FIELD(conf.max_idle),
     .fallback = "0",
     .min = 0,
     .max = 1000000,
     .meaning = "idle connections kept; 0 = as many as may be open"},
    {.name = "idle_timeout",
     .type = CO_CONF_TIME,
     .offset = FIELD(conf.idle_timeout),
     .fallback = "60s",
     .min = CO_MS,
     .max = DAY,
     .meaning = "an idle connection is closed after this long"},
    {.name = "max_age",
     .type = CO_CONF_TIME,
     .offset = FIELD(conf.max_age),
     .fallback = "0",
     .min = 0,
     .max = DAY,
     .meaning = "no connection is handed out when older; 0 = no limit"},
};

struct co_conf_table co_pool_table(const char *section, struct co_pool_settings *settings)
{
    memset(settings, 0, sizeof *settings);
    settings->conf.name = section;
    return (struct co_conf_table){.section = section,
                                  .keys = keys,
                                  .count = sizeof keys / sizeof keys[0],
                                  .target = settings};
}
