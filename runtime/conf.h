/* SPDX-License-Identifier: MIT */
/*
 * conf.h - what the files of the configuration share, and how co_run_with takes a struct co_conf.
 */
#ifndef CO_RUNTIME_CONF_H
#define CO_RUNTIME_CONF_H

#include <co/conf.h>

/*
 * The longest line of a file and the longest name: libinih's buffers, less a line feed and a NUL.
 */
#define CO__CONF_LINE_MAX 198
#define CO__CONF_NAME_MAX 49
/* A buffer of this size holds each text that co__conf_rule and co__conf_show make. */
#define CO__CONF_TEXT_MAX 256

/*
 * Whether every field is in its range.
 * Returns: 0 or -EINVAL.
 */
int co__conf_check(const struct co_conf *conf);

/*
 * Copies what a program gave over the defaults: NULL gives the defaults, a shorter struct of an
 * older header leaves the newer fields at theirs. Checks the result; dst is written only on
 * success.
 * Returns: 0 or -EINVAL.
 */
int co__conf_take(struct co_conf *dst, const struct co_conf *src);

/* conf_value.c: one value. */

/*
 * Reads text as the key's type into the field of target. A wrong text changes nothing.
 * Returns: 0 or -EINVAL.
 */
int co__conf_parse(const struct co_conf_key *key, const char *text, void *target);

/*
 * Whether the field of target is in the key's range.
 * Returns: 0 or -EINVAL.
 */
int co__conf_valid(const struct co_conf_key *key, const void *target);

/* Writes the field's value as a file would have it; strings are cut to cap. */
void co__conf_format(const struct co_conf_key *key, const void *target, char *buf, size_t cap);

/* Writes what would be right for the key: "auto" or 1 to 256. */
void co__conf_rule(const struct co_conf_key *key, char *buf, size_t cap);

/* Copies text for a message: cut to a readable length, bytes that a terminal could obey as '?'. */
void co__conf_show(const char *text, char *buf, size_t cap);

/* conf.c: finding a key. */

/* Returns: the table of the section, or NULL. */
struct co_conf_table *co__conf_section(struct co_conf_table *tables, size_t n, const char *section);

/* Returns: the index of the key in the table, or -ENOENT. */
int co__conf_find(const struct co_conf_table *table, const char *name);

#endif
