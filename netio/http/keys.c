/* SPDX-License-Identifier: MIT */
/* The settings of a server: the keys of [http], their defaults and ranges. */
#include "engine.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(struct co_http_conf, field)

static const struct co_conf_key keys[] = {
    {"listen", CO_CONF_STRING, AT(listen), sizeof(((struct co_http_conf *)NULL)->listen),
     "127.0.0.1:8080", 1, 0, NULL, "address to listen on: host:port, [ipv6]:port or unix:/path"},
    {"max_head", CO_CONF_SIZE, AT(max_head), 0, "16k", 1024, CO__HEAD_MAX, NULL,
     "request line and fields together; more is answered 431"},
    {"max_target", CO_CONF_SIZE, AT(max_target), 0, "8k", 256, CO__HEAD_MAX, NULL,
     "request target; more is answered 414"},
    {"max_fields", CO_CONF_INT, AT(max_fields), 0, "100", 1, CO__FIELDS_MAX, NULL,
     "field lines of a request; more is answered 431"},
    {"max_body", CO_CONF_SIZE, AT(max_body), 0, "1m", 0, INT64_MAX, NULL,
     "body of a request, where its route says nothing; more is answered 413"},
    {"head_timeout", CO_CONF_TIME, AT(head_timeout), 0, "10s", CO_MS, INT64_MAX, NULL,
     "for a whole head, from its first byte; later is answered 408"},
    {"body_timeout", CO_CONF_TIME, AT(body_timeout), 0, "30s", CO_MS, INT64_MAX, NULL,
     "between two reads of a body, whose content must also bring 256 bytes a second after 5 s"},
    {"write_timeout", CO_CONF_TIME, AT(write_timeout), 0, "30s", CO_MS, INT64_MAX, NULL,
     "for each 64 KiB of an answer to be taken by the client"},
    {"idle_timeout", CO_CONF_TIME, AT(idle_timeout), 0, "60s", CO_MS, INT64_MAX, NULL,
     "for which a connection may wait for its next request; less where there are many"},
    {"max_connections", CO_CONF_INT, AT(max_connections), 0, "0", 0, INT_MAX, NULL,
     "at a time; further ones wait to be accepted. 0: open files less an eighth, at least 32"},
};

#define KEYS (sizeof keys / sizeof *keys)

void co_http_conf_init(struct co_http_conf *conf)
{
    struct co_conf_table table = {.section = "http", .keys = keys, .count = KEYS, .target = conf};
    char err[CO_CONF_ERR_MAX];

    memset(conf, 0, sizeof *conf);
    if (co_conf_defaults(&table, 1, err, sizeof err) < 0)
        abort(); /* a mistake in the table above, which a test would have found */
    conf->size = sizeof *conf;
}

struct co_conf_table co_http_conf_table(struct co_http_conf *conf)
{
    co_http_conf_init(conf);
    return (struct co_conf_table){.section = "http", .keys = keys, .count = KEYS, .target = conf};
}

/* Whether every number of conf lies in the range that its key has. */
static int ranges_check(const struct co_http_conf *conf)
{
    for (size_t i = 0; i < KEYS; i++) {
        const char *field = (const char *)conf + keys[i].offset;
        int64_t n;

        if (keys[i].type == CO_CONF_STRING)
            continue;
        if (keys[i].type == CO_CONF_INT) {
            int narrow;

            memcpy(&narrow, field, sizeof narrow);
            n = narrow;
        } else {
            memcpy(&n, field, sizeof n);
        }
        if (n < keys[i].min || n > keys[i].max)
            return -EINVAL;
    }
    return 0;
}

int co__http_conf_take(struct co_http_conf *dst, const struct co_http_conf *src)
{
    co_http_conf_init(dst);
    if (src == NULL)
        return 0;
    /* A program built against an older header has a shorter struct: what it lacks keeps its
     * default. */
    if (src->size < offsetof(struct co_http_conf, max_head) || src->size > sizeof *dst)
        return -EINVAL;
    memcpy(dst, src, src->size);
    dst->size = sizeof *dst;
    return ranges_check(dst);
}
