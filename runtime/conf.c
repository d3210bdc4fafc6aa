/* SPDX-License-Identifier: MIT */
/*
 * conf.c - settings out of an INI file, or out of one text "section.key=value".
 *
 * libinih takes lines apart; it is used only here. Debian builds it without line numbers, with a
 * buffer of 200 bytes that cuts longer lines, and with continuation lines, which would make an
 * indented key part of the value above it; it also says nothing about a section without keys. So it
 * gets its lines from read_line, which counts them, takes the blanks away in front, refuses what
 * libinih would cut or pass over, and looks up sections itself. After the first mistake no more
 * lines are given out, so that err is about that one.
 */
#include "conf.h"

#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Names of sections and keys are shown in messages at most this long. */
#define SHOWN_NAME  64
#define SHOWN_VALUE 96
/* So much of a line that is too long, which is still to contain its key. */
#define SHOWN_START 32
/* The largest file, so that no device or mistaken file is read without end. */
#define FILE_MAX ((size_t)1 << 20)

/* A file that is being read: text from `at` to `end` is still to come. */
struct reading {
    const char *at, *end;
    const char *path;
    struct co_conf_table *tables;
    size_t n;
    int line; /* the number of the line that was taken last */
    int result;
    char *err;
    size_t errcap;
};

struct co_conf_table *co__conf_section(struct co_conf_table *tables, size_t n, const char *section)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(tables[i].section, section) == 0)
            return &tables[i];
    }
    return NULL;
}

int co__conf_find(const struct co_conf_table *table, const char *name)
{
    for (size_t i = 0; i < table->count; i++) {
        if (strcmp(table->keys[i].name, name) == 0)
            return (int)i;
    }
    return -ENOENT;
}

/*
 * How many letters must be changed, added or taken away to make b of a; long names count as far
 * apart.
 */
static size_t distance(const char *a, const char *b)
{
    size_t row[CO__CONF_NAME_MAX + 1];
    size_t len = strlen(b);

    if (len > CO__CONF_NAME_MAX)
        return len;
    for (size_t j = 0; j <= len; j++)
        row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < len; j++) {
            size_t best = diagonal + (a[i] != b[j]);
            diagonal = row[j + 1];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (diagonal + 1 < best)
                best = diagonal + 1;
            row[j + 1] = best;
        }
    }
    return row[len];
}

/* Keeps in *best the candidate if it is the nearest to text so far and not far. */
static void nearer(const char *text, const char *candidate, const char **best, size_t *least)
{
    size_t d = distance(text, candidate);

    if (d < *least && d <= 2 && d < strlen(candidate)) {
        *least = d;
        *best = candidate;
    }
}

/* The name of a key or, with a table of NULL, of a section that may have been meant, or NULL. */
static const char *near_name(const struct co_conf_table *tables, size_t n,
                             const struct co_conf_table *table, const char *text)
{
    const char *best = NULL;
    size_t least = SIZE_MAX;

    if (table) {
        for (size_t i = 0; i < table->count; i++)
            nearer(text, table->keys[i].name, &best, &least);
    } else {
        for (size_t i = 0; i < n; i++)
            nearer(text, tables[i].section, &best, &least);
    }
    return best;
}

/* Writes "unknown section" or "unknown key", and what may have been meant. */
static void say_unknown(const struct co_conf_table *tables, size_t n,
                        const struct co_conf_table *table, const char *text, char *buf, size_t cap)
{
    const char *what = table ? "key" : "section";
    const char *best = near_name(tables, n, table, text);

    if (best)
        (void)snprintf(buf, cap, "unknown %s; did you mean %s?", what, best);
    else
        (void)snprintf(buf, cap, "unknown %s; --print-config lists all", what);
}

/* Ends the reading with a message about the line that was read last. */
__attribute__((format(printf, 2, 3))) static void fail(struct reading *reading, const char *format,
                                                       ...)
{
    va_list args;
    int used = snprintf(reading->err, reading->errcap, "%s:%d: ", reading->path, reading->line);

    reading->result = -EINVAL;
    if (used < 0 || (size_t)used >= reading->errcap)
        return;
    va_start(args, format);
    (void)vsnprintf(reading->err + used, reading->errcap - (size_t)used, format, args);
    va_end(args);
}

/* Looks up the section that a line "[name]" begins. */
static void check_section(struct reading *reading, const char *line)
{
    char problem[CO__CONF_TEXT_MAX];
    char section[CO__CONF_LINE_MAX + 1];
    char shown[SHOWN_NAME];
    const char *end = strchr(line, ']');
    size_t len = end ? (size_t)(end - line) - 1 : 0;

    if (!end || !strchr(";#", end[1 + strspn(end + 1, " \t")])) {
        co__conf_show(line, shown, sizeof shown);
        fail(reading, "%s: must be [section] and nothing else", shown);
        return;
    }
    memcpy(section, line + 1, len);
    section[len] = '\0';
    if (co__conf_section(reading->tables, reading->n, section))
        return;
    co__conf_show(section, shown, sizeof shown);
    say_unknown(reading->tables, reading->n, NULL, section, problem, sizeof problem);
    fail(reading, "[%s]: %s", shown, problem);
}

/*
 * Takes the next line, without what ends it and without blanks in front.
 * Returns: false at the end of the file.
 */
static bool next_line(struct reading *reading, const char **ret_line, size_t *ret_len)
{
    const char *line = reading->at;
    const char *end;

    if (line == reading->end)
        return false;
    end = memchr(line, '\n', (size_t)(reading->end - line));
    reading->at = end ? end + 1 : reading->end;
    if (!end)
        end = reading->end;
    if (reading->line++ == 0 && end - line >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0)
        line += 3; /* the mark that some editors put in front of UTF-8 */
    while (line < end && (*line == ' ' || *line == '\t'))
        line++;
    if (line < end && end[-1] == '\r')
        end--;
    *ret_line = line;
    *ret_len = (size_t)(end - line);
    return true;
}

/* Refuses a line "key = value" that libinih would take for something else. */
static void check_key(struct reading *reading, const char *line)
{
    size_t name = strcspn(line, "=:;");
    char shown[SHOWN_NAME];

    if (name > 0 && line[name] == '=')
        return;
    co__conf_show(line, shown, sizeof shown);
    fail(reading, "%s: must be key = value", shown);
}

/* The reader that libinih calls: puts the next line that says something into buf. */
static char *read_line(char *buf, int num, void *stream)
{
    struct reading *reading = stream;
    size_t limit = num - 2 < CO__CONF_LINE_MAX ? (size_t)num - 2 : CO__CONF_LINE_MAX;
    const char *line;
    size_t len;

    do {
        if (!next_line(reading, &line, &len))
            return NULL;
    } while (len == 0 || line[0] == ';' || line[0] == '#');
    for (size_t i = 0; i < len && i <= limit; i++) {
        unsigned char c = (unsigned char)line[i];
        if ((c < ' ' && c != '\t') || c == 0x7f) {
            fail(reading, "holds the control character 0x%02x: must be plain text", c);
            return NULL;
        }
    }
    if (len > limit) {
        char shown[SHOWN_START];
        co__conf_show(line, shown, sizeof shown);
        fail(reading, "%s: the line must have at most %zu bytes", shown, limit);
        return NULL;
    }
    memcpy(buf, line, len);
    buf[len] = '\0';
    if (buf[0] == '[')
        check_section(reading, buf);
    else
        check_key(reading, buf);
    /* The line feed tells a libinih with a growing buffer that the line is whole. */
    memcpy(buf + len, "\n", 2);
    return reading->result < 0 ? NULL : buf;
}

/* What libinih calls for each key. Returns: nonzero if it was right. */
static int on_key(void *user, const char *section, const char *name, const char *value)
{
    struct reading *reading = user;
    struct co_conf_table *table = co__conf_section(reading->tables, reading->n, section);
    char problem[CO__CONF_TEXT_MAX];
    char shown_name[SHOWN_NAME];
    char shown_value[SHOWN_VALUE];
    int i;

    co__conf_show(name, shown_name, sizeof shown_name);
    if (!table) {
        fail(reading, "%s: must stand below a [section]", shown_name);
        return 0;
    }
    i = co__conf_find(table, name);
    if (i < 0) {
        say_unknown(reading->tables, reading->n, table, name, problem, sizeof problem);
        fail(reading, "%s.%s: %s", section, shown_name, problem);
    } else if (table->origin[i] > 0) {
        fail(reading, "%s.%s: repeated; line %d sets it already", section, name, table->origin[i]);
    } else if (co__conf_parse(&table->keys[i], value, table->target) < 0) {
        co__conf_rule(&table->keys[i], problem, sizeof problem);
        co__conf_show(value, shown_value, sizeof shown_value);
        fail(reading, "%s.%s = %s: must be %s", section, name, shown_value, problem);
    } else {
        table->origin[i] = reading->line;
    }
    return reading->result == 0;
}

/*
 * Reads a whole file into buf, which has room for FILE_MAX bytes.
 * Returns: its length, -EFBIG or another negative errno.
 */
static ssize_t read_file(const char *path, char *buf)
{
    size_t len = 0;
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int r = -errno;

    if (fd < 0)
        return r;
    do {
        n = read(fd, buf + len, FILE_MAX - len);
        r = -errno;
        if (n > 0)
            len += (size_t)n;
    } while (len < FILE_MAX && (n > 0 || (n < 0 && r == -EINTR)));
    (void)close(fd);
    if (len == FILE_MAX)
        return -EFBIG;
    return n < 0 ? r : (ssize_t)len;
}

int co_conf_load(const char *path, struct co_conf_table *tables, size_t n, char *err, size_t errcap)
{
    struct reading reading = {.path = path, .tables = tables, .n = n, .err = err, .errcap = errcap};
    char *text = malloc(FILE_MAX);
    ssize_t len = text ? read_file(path, text) : -ENOMEM;
    int r;

    if (len < 0) {
        (void)snprintf(err, errcap, "%s: cannot be read: %s", path, co_strerror((int)len));
        free(text);
        return (int)len;
    }
    for (size_t i = 0; i < n; i++) {
        tables[i].path = path;
        memset(tables[i].origin, 0, sizeof tables[i].origin);
    }
    reading.at = text;
    reading.end = text + len;
    r = ini_parse_stream(read_line, &reading, on_key, &reading);
    if (r != 0 && reading.result == 0) {
        /* libinih has no memory (-2), or minds a line that read_line let pass. */
        fail(&reading, "%s", r < 0 ? co_strerror(-ENOMEM) : "cannot be understood");
        reading.result = r < 0 ? -ENOMEM : -EINVAL;
    }
    free(text);
    return reading.result;
}

/* Writes "--set text: problem". Returns -EINVAL. */
static int refuse_set(const char *assignment, const char *problem, char *err, size_t errcap)
{
    char shown[SHOWN_NAME + SHOWN_VALUE];

    co__conf_show(assignment, shown, sizeof shown);
    (void)snprintf(err, errcap, "--set %s: %s", shown, problem);
    return -EINVAL;
}

int co_conf_set(const char *assignment, struct co_conf_table *tables, size_t n, char *err,
                size_t errcap)
{
    static const char must_be[] = "must be ";
    const char *value = strchr(assignment, '=');
    const char *dot = value ? memrchr(assignment, '.', (size_t)(value - assignment)) : NULL;
    char section[CO__CONF_NAME_MAX + 1];
    char name[CO__CONF_NAME_MAX + 1];
    char problem[CO__CONF_TEXT_MAX];
    struct co_conf_table *table;
    int i;

    if (!dot)
        return refuse_set(assignment, "must be section.key=value", err, errcap);
    /* A name that is cut here is of no key that there is. */
    (void)snprintf(section, sizeof section, "%.*s", (int)(dot - assignment), assignment);
    (void)snprintf(name, sizeof name, "%.*s", (int)(value - dot) - 1, dot + 1);
    table = co__conf_section(tables, n, section);
    i = table ? co__conf_find(table, name) : -ENOENT;
    if (i < 0) {
        say_unknown(tables, n, table, table ? name : section, problem, sizeof problem);
        return refuse_set(assignment, problem, err, errcap);
    }
    if (co__conf_parse(&table->keys[i], value + 1, table->target) < 0) {
        memcpy(problem, must_be, sizeof must_be);
        co__conf_rule(&table->keys[i], problem + strlen(must_be), sizeof problem - strlen(must_be));
        return refuse_set(assignment, problem, err, errcap);
    }
    table->origin[i] = -1;
    return 0;
}

/* Whether a table can be used: what a program that exports it must get right. */
static const char *mistake_in(const struct co_conf_table *table, const struct co_conf_key **ret_key)
{
    *ret_key = NULL;
    if (!table->section || strlen(table->section) > CO__CONF_NAME_MAX)
        return "has a section name that no file can have";
    if (table->count > CO_CONF_KEYS_MAX || !table->target)
        return "has too many keys or no target";
    for (size_t i = 0; i < table->count; i++) {
        const struct co_conf_key *key = &table->keys[i];
        *ret_key = key;
        if (strlen(key->name) > CO__CONF_NAME_MAX || co__conf_find(table, key->name) != (int)i)
            return "has a name that is too long or taken";
        if (co__conf_parse(key, key->fallback, table->target) < 0)
            return "has a default that it does not allow";
    }
    return NULL;
}

int co_conf_defaults(struct co_conf_table *tables, size_t n, char *err, size_t errcap)
{
    for (size_t i = 0; i < n; i++) {
        const struct co_conf_key *key;
        const char *mistake = mistake_in(&tables[i], &key);
        if (mistake) {
            (void)snprintf(err, errcap, "table [%s]: %s%s%s",
                           tables[i].section ? tables[i].section : "", key ? key->name : "",
                           key ? " " : "", mistake);
            return -EINVAL;
        }
        tables[i].path = NULL;
        memset(tables[i].origin, 0, sizeof tables[i].origin);
    }
    return 0;
}

/* NOLINTNEXTLINE(readability-function-size): as co_conf_args. */
int co_conf_blame(const struct co_conf_table *tables, size_t n, const char *section,
                  const char *key, const char *problem, char *err, size_t errcap)
{
    char value[CO__CONF_TEXT_MAX];

    for (size_t i = 0; i < n; i++) {
        const struct co_conf_table *table = &tables[i];
        int k = strcmp(table->section, section) == 0 ? co__conf_find(table, key) : -ENOENT;
        if (k < 0)
            continue;
        co__conf_format(&table->keys[k], table->target, value, sizeof value);
        if (table->origin[k] > 0)
            (void)snprintf(err, errcap, "%s:%d: %s.%s = %s: %s", table->path, table->origin[k],
                           section, key, value, problem);
        else if (table->origin[k] < 0)
            (void)snprintf(err, errcap, "--set %s.%s=%s: %s", section, key, value, problem);
        else
            (void)snprintf(err, errcap, "%s.%s = %s (default): %s", section, key, value, problem);
        return -EINVAL;
    }
    (void)snprintf(err, errcap, "%s.%s: %s", section, key, problem);
    return -EINVAL;
}
