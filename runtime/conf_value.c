/* SPDX-License-Identifier: MIT */
/* conf_value.c - one value of the configuration: from text, to text, and what its key allows. */
#include "conf.h"

#include <inttypes.h>
#include <string.h>

/*
 * A suffix of numbers and what it multiplies by; ascending, so that printing can try from the end.
 */
struct unit {
    const char *suffix;
    int64_t factor;
};

static const struct unit sizes[] = {{"", 1}, {"k", 1 << 10}, {"m", 1 << 20}, {"g", 1 << 30}};
static const struct unit times[] = {{"ns", 1},     {"us", CO_US},      {"ms", CO_MS},
                                    {"s", CO_SEC}, {"m", 60 * CO_SEC}, {"h", 3600 * CO_SEC}};
static const struct unit plain[] = {{"", 1}};

/* The units of a key's type. */
static const struct unit *units_of(enum co_conf_type type, size_t *ret_count)
{
    switch (type) {
    case CO_CONF_SIZE:
        *ret_count = sizeof sizes / sizeof sizes[0];
        return sizes;
    case CO_CONF_TIME:
        *ret_count = sizeof times / sizeof times[0];
        return times;
    default:
        *ret_count = 1;
        return plain;
    }
}

/* Reads digits with an optional minus sign. Returns what follows them, or NULL. */
static const char *parse_digits(const char *text, int64_t *ret_value)
{
    bool negative = *text == '-';
    int64_t value = 0;

    text += negative;
    if (*text < '0' || *text > '9')
        return NULL;
    for (; *text >= '0' && *text <= '9'; text++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, *text - '0', &value))
            return NULL;
    }
    /* Counted below zero, where there is one number more. */
    if (!negative && __builtin_sub_overflow((int64_t)0, value, &value))
        return NULL;
    *ret_value = value;
    return text;
}

/* Reads a number with the units of the type. Zero needs no unit. */
static int parse_number(enum co_conf_type type, const char *text, int64_t *ret_value)
{
    size_t count;
    const struct unit *units = units_of(type, &count);
    int64_t value;
    const char *suffix = parse_digits(text, &value);

    if (!suffix)
        return -EINVAL;
    if (value == 0 && *suffix == '\0') {
        *ret_value = 0;
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(suffix, units[i].suffix) != 0)
            continue;
        return __builtin_mul_overflow(value, units[i].factor, ret_value) ? -EINVAL : 0;
    }
    return -EINVAL;
}

/* Writes a number with the largest unit that gives it exactly. */
static void format_number(enum co_conf_type type, int64_t value, char *buf, size_t cap)
{
    size_t i;
    const struct unit *units = units_of(type, &i);

    if (value == 0) {
        (void)snprintf(buf, cap, "0");
        return;
    }
    do
        i--;
    while (i > 0 && value % units[i].factor != 0);
    (void)snprintf(buf, cap, "%" PRId64 "%s", value / units[i].factor, units[i].suffix);
}

/* The index of a word in the key's choices, or -1. */
static int choice_index(const char *choices, const char *text)
{
    size_t len = strlen(text);

    for (int i = 0; *choices; i++) {
        size_t n = strcspn(choices, " ");
        if (n == len && memcmp(choices, text, n) == 0)
            return i;
        choices += n;
        choices += *choices == ' ';
    }
    return -1;
}

/* The word with an index, by start and length; the length is 0 if there is none. */
static const char *choice_word(const char *choices, int64_t index, size_t *ret_len)
{
    for (; index > 0 && *choices; index--) {
        choices += strcspn(choices, " ");
        choices += *choices == ' ';
    }
    *ret_len = index == 0 ? strcspn(choices, " ") : 0;
    return choices;
}

/* The value of a word for yes or no, or -1. */
static int bool_value(const char *text)
{
    static const char yes[] = "on yes true";
    static const char no[] = "off no false";

    if (choice_index(yes, text) >= 0)
        return 1;
    return choice_index(no, text) >= 0 ? 0 : -1;
}

/*
 * Whether libinih would give the text back as it is: no comment in it, no blank around it, one
 * line.
 */
static bool fits_a_line(const char *text)
{
    size_t len = strlen(text);

    if (len > 0 && (strchr(" \t", text[0]) || strchr(" \t", text[len - 1]) || text[0] == ';'))
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
        if (c == ';' && strchr(" \t", text[i - 1]))
            return false;
    }
    return true;
}

/* Whether a string of len bytes may be the key's value, the line's limit included. */
static bool string_fits(const struct co_conf_key *key, const char *text, size_t len)
{
    return len < key->cap && (int64_t)len >= key->min &&
           strlen(key->name) + 3 + len <= CO__CONF_LINE_MAX && fits_a_line(text);
}

/* The number in a field of any type but a string. */
static int64_t get_number(const struct co_conf_key *key, const void *target)
{
    const char *field = (const char *)target + key->offset;
    int64_t wide;
    int narrow;

    switch (key->type) {
    case CO_CONF_INT64:
    case CO_CONF_SIZE:
    case CO_CONF_TIME:
        memcpy(&wide, field, sizeof wide);
        return wide;
    default:
        memcpy(&narrow, field, sizeof narrow);
        return narrow;
    }
}

/* Stores a number that is in range. Returns -EINVAL if an int field cannot hold it. */
static int set_number(const struct co_conf_key *key, void *target, int64_t value)
{
    char *field = (char *)target + key->offset;
    int narrow = (int)value;

    switch (key->type) {
    case CO_CONF_INT64:
    case CO_CONF_SIZE:
    case CO_CONF_TIME:
        memcpy(field, &value, sizeof value);
        return 0;
    default:
        if (narrow != value)
            return -EINVAL;
        memcpy(field, &narrow, sizeof narrow);
        return 0;
    }
}

int co__conf_parse(const struct co_conf_key *key, const char *text, void *target)
{
    int64_t value = 0;
    int r = 0;

    switch (key->type) {
    case CO_CONF_STRING:
        if (!string_fits(key, text, strlen(text)))
            return -EINVAL;
        memcpy((char *)target + key->offset, text, strlen(text) + 1);
        return 0;
    case CO_CONF_BOOL:
        value = bool_value(text);
        r = value < 0 ? -EINVAL : 0;
        break;
    case CO_CONF_CHOICE:
        value = choice_index(key->choices, text);
        r = value < 0 ? -EINVAL : 0;
        break;
    case CO_CONF_AUTO:
        if (strcmp(text, "auto") == 0)
            break;
        r = parse_number(key->type, text, &value);
        if (r == 0 && (value < key->min || value > key->max))
            r = -EINVAL;
        break;
    default:
        r = parse_number(key->type, text, &value);
        if (r == 0 && (value < key->min || value > key->max))
            r = -EINVAL;
    }
    return r < 0 ? r : set_number(key, target, value);
}

int co__conf_valid(const struct co_conf_key *key, const void *target)
{
    const char *text = (const char *)target + key->offset;
    int64_t value;
    size_t len;

    if (key->type == CO_CONF_STRING) {
        len = strnlen(text, key->cap);
        return len < key->cap && string_fits(key, text, len) ? 0 : -EINVAL;
    }
    value = get_number(key, target);
    switch (key->type) {
    case CO_CONF_BOOL:
        return value == 0 || value == 1 ? 0 : -EINVAL;
    case CO_CONF_CHOICE:
        (void)choice_word(key->choices, value, &len);
        return len > 0 ? 0 : -EINVAL;
    case CO_CONF_AUTO:
        if (value == 0)
            return 0;
        break;
    default:
        break;
    }
    return value >= key->min && value <= key->max ? 0 : -EINVAL;
}

void co__conf_format(const struct co_conf_key *key, const void *target, char *buf, size_t cap)
{
    const char *word;
    int64_t value;
    int64_t other;
    size_t len;

    if (key->type == CO_CONF_STRING) {
        (void)snprintf(buf, cap, "%s", (const char *)target + key->offset);
        return;
    }
    value = get_number(key, target);
    switch (key->type) {
    case CO_CONF_BOOL:
        /* In the words that the default uses. */
        if (choice_index("yes no", key->fallback) >= 0)
            word = value ? "yes" : "no";
        else if (choice_index("true false", key->fallback) >= 0)
            word = value ? "true" : "false";
        else
            word = value ? "on" : "off";
        (void)snprintf(buf, cap, "%s", word);
        break;
    case CO_CONF_CHOICE:
        word = choice_word(key->choices, value, &len);
        (void)snprintf(buf, cap, "%.*s", (int)len, word);
        break;
    default:
        if (value == 0 && key->type == CO_CONF_AUTO)
            word = "auto";
        else if (parse_number(key->type, key->fallback, &other) == 0 && other == value)
            word = key->fallback; /* 60s, and not 1m, if the default says so */
        else
            word = NULL;
        if (word)
            (void)snprintf(buf, cap, "%s", word);
        else
            format_number(key->type, value, buf, cap);
    }
}

/* Writes "1 to 256", or one side of it where the other has no limit. */
static void range(const struct co_conf_key *key, char *buf, size_t cap)
{
    int64_t widest = key->type == CO_CONF_INT || key->type == CO_CONF_AUTO ? INT32_MAX : INT64_MAX;
    char min[32];
    char max[32];

    format_number(key->type, key->min, min, sizeof min);
    format_number(key->type, key->max, max, sizeof max);
    if (key->max >= widest)
        (void)snprintf(buf, cap, "%s or more", min);
    else
        (void)snprintf(buf, cap, "%s to %s", min, max);
}

/* Writes the key's words as "a, b or c". */
static void list_choices(const char *choices, char *buf, size_t cap)
{
    size_t used = 0;

    buf[0] = '\0';
    while (*choices) {
        size_t len = strcspn(choices, " ");
        bool last = choices[len] == '\0';
        const char *before = used == 0 ? "" : last ? " or " : ", ";
        int n = snprintf(buf + used, cap - used, "%s%.*s", before, (int)len, choices);
        used += (size_t)n;
        if (used >= cap)
            return;
        choices += len + !last;
    }
}

void co__conf_rule(const struct co_conf_key *key, char *buf, size_t cap)
{
    char limits[80];

    range(key, limits, sizeof limits);
    switch (key->type) {
    case CO_CONF_AUTO:
        (void)snprintf(buf, cap, "\"auto\" or %s", limits);
        break;
    case CO_CONF_SIZE:
        (void)snprintf(buf, cap, "a size, %s (units k, m, g)", limits);
        break;
    case CO_CONF_TIME:
        (void)snprintf(buf, cap, "a time, %s (units us, ms, s, m, h)", limits);
        break;
    case CO_CONF_BOOL:
        (void)snprintf(buf, cap, "on or off, yes or no, true or false");
        break;
    case CO_CONF_CHOICE:
        list_choices(key->choices, buf, cap);
        break;
    case CO_CONF_STRING:
        (void)snprintf(buf, cap, "a text of %d to %zu bytes without \" ;\"",
                       key->min > 0 ? (int)key->min : 0, key->cap - 1);
        break;
    default:
        (void)snprintf(buf, cap, "%s", limits);
    }
}

void co__conf_show(const char *text, char *buf, size_t cap)
{
    static const char more[] = "...";
    size_t len = strnlen(text, cap);
    bool whole = len < cap;

    if (!whole) {
        len = cap - sizeof more;
        /* Not within a character of UTF-8. */
        while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
            len--;
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        buf[i] = text[i];
        if (c < ' ' || c == 0x7f)
            buf[i] = '?';
    }
    (void)snprintf(buf + len, cap - len, "%s", whole ? "" : more);
}
