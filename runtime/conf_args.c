/* SPDX-License-Identifier: MIT */
/* conf_args.c - the command line of a program, and all settings as a file. */
#include "conf.h"

#include <string.h>

enum option { SET, CONFIG, PRINT_CONFIG, CHECK_CONFIG, HELP, VERSION, OPTIONS };

static const struct {
    const char *name;
    bool takes_value;
} options[OPTIONS] = {
    [SET] = {"--set", true},
    [CONFIG] = {"--config", true},
    [PRINT_CONFIG] = {"--print-config", false},
    [CHECK_CONFIG] = {"--check-config", false},
    [HELP] = {"--help", false},
    [VERSION] = {"--version", false},
};

/* Returns: 0, or -EIO if anything written to out so far did not get there. */
static int finish(FILE *out)
{
    return fflush(out) == 0 && !ferror(out) ? 0 : -EIO;
}

static void print_key(FILE *out, const struct co_conf_key *key, const void *target)
{
    char rule[CO__CONF_TEXT_MAX];
    char value[CO__CONF_TEXT_MAX];

    co__conf_rule(key, rule, sizeof rule);
    co__conf_format(key, target, value, sizeof value);
    (void)fprintf(out, "; %s\n; %s; default: %s\n%s = %s\n", key->meaning, rule,
                  key->fallback[0] ? key->fallback : "none", key->name, value);
}

int co_conf_print(FILE *out, const struct co_conf_table *tables, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        (void)fprintf(out, "%s[%s]\n", i == 0 ? "" : "\n", tables[i].section);
        for (size_t k = 0; k < tables[i].count; k++)
            print_key(out, &tables[i].keys[k], tables[i].target);
    }
    return finish(out);
}

static int print_help(FILE *out, const struct co_conf_program *program)
{
    (void)fprintf(
        out,
        "Usage: %s [--config FILE] [--set SECTION.KEY=VALUE]...\n"
        "%s\n"
        "\n"
        "  --config FILE            read settings from an INI file\n"
        "  --set SECTION.KEY=VALUE  set one key, over what the file says; may be repeated\n"
        "  --print-config           write every key with its value, default and meaning\n"
        "  --check-config           say whether the settings are right\n"
        "  --help                   write this\n"
        "  --version                write the version\n",
        program->name, program->about);
    return finish(out);
}

/*
 * Reads the option at argv[*i] and moves *i to the one behind it. The value is "" for those
 * without.
 * Returns: an enum option; -EINVAL with one line in err.
 */
static int next_option(int argc, char *const argv[], int *i, const char **ret_value, char *err,
                       size_t errcap)
{
    const char *arg = argv[(*i)++];
    size_t len = strcspn(arg, "=");
    char shown[64];

    for (int o = 0; o < OPTIONS; o++) {
        if (strlen(options[o].name) != len || memcmp(options[o].name, arg, len) != 0)
            continue;
        if (options[o].takes_value && arg[len] == '=') {
            *ret_value = arg + len + 1;
        } else if (options[o].takes_value && *i < argc) {
            *ret_value = argv[(*i)++];
        } else if (options[o].takes_value) {
            (void)snprintf(err, errcap, "%s: must be followed by a value", arg);
            return -EINVAL;
        } else if (arg[len] == '=') {
            break;
        } else {
            *ret_value = "";
        }
        return o;
    }
    co__conf_show(arg, shown, sizeof shown);
    (void)snprintf(err, errcap, "%s: unknown argument; --help lists what there is", shown);
    return -EINVAL;
}

/* Notes the last value of each option that was given. Returns: 0; -EINVAL with one line in err. */
static int scan(const char *given[OPTIONS], int argc, char *const argv[], char *err, size_t errcap)
{
    const char *value = NULL;

    for (int i = 1; i < argc;) {
        int o = next_option(argc, argv, &i, &value, err, errcap);
        if (o < 0)
            return o;
        if (o == CONFIG && given[o]) {
            (void)snprintf(err, errcap, "--config: must be given once");
            return -EINVAL;
        }
        given[o] = value;
    }
    return 0;
}

/* Does every --set, in their order. Returns: 0; -EINVAL with one line in err. */
static int set_all(struct co_conf_table *tables, size_t n, int argc, char *const argv[], char *err,
                   size_t errcap)
{
    const char *value = NULL;
    int r = 0;

    for (int i = 1; i < argc && r >= 0;) {
        r = next_option(argc, argv, &i, &value, err, errcap);
        if (r == SET)
            r = co_conf_set(value, tables, n, err, errcap);
    }
    return r < 0 ? r : 0;
}

/* What co_conf_args was called with, less the arguments. */
struct request {
    const struct co_conf_program *program;
    struct co_conf_table *tables;
    size_t n;
    FILE *out;
};

/* Writes what was asked for. Returns: CO_CONF_DONE, or -EIO with one line in err. */
static int answer(const struct request *request, const char *const given[OPTIONS], char *err,
                  size_t errcap)
{
    const struct co_conf_program *program = request->program;
    FILE *out = request->out;
    int r = 0;

    if (given[HELP]) {
        r = print_help(out, program);
    } else if (given[VERSION]) {
        (void)fprintf(out, "%s %s\n", program->name, program->version);
        r = finish(out);
    } else if (given[PRINT_CONFIG]) {
        r = co_conf_print(out, request->tables, request->n);
    } else {
        (void)fprintf(out, "%s: the settings are right\n", program->name);
        r = finish(out);
    }
    if (r < 0) {
        (void)snprintf(err, errcap, "standard output: %s", co_strerror(r));
        return r;
    }
    return CO_CONF_DONE;
}

/* NOLINTNEXTLINE(readability-function-size): tables and messages are pairs in all of co/conf.h. */
int co_conf_args(const struct co_conf_program *program, struct co_conf_table *tables, size_t n,
                 int argc, char *const argv[], FILE *out, char *err, size_t errcap)
{
    const struct request request = {.program = program, .tables = tables, .n = n, .out = out};
    const char *given[OPTIONS] = {NULL};
    int r = scan(given, argc, argv, err, errcap);

    if (r == 0 && (given[HELP] || given[VERSION]))
        return answer(&request, given, err, errcap);
    if (r == 0)
        r = co_conf_defaults(tables, n, err, errcap);
    if (r == 0 && given[CONFIG])
        r = co_conf_load(given[CONFIG], tables, n, err, errcap);
    if (r == 0)
        r = set_all(tables, n, argc, argv, err, errcap);
    if (r == 0 && program->check)
        r = program->check(tables, n, err, errcap);
    if (r == 0 && (given[PRINT_CONFIG] || given[CHECK_CONFIG]))
        return answer(&request, given, err, errcap);
    return r < 0 ? r : CO_CONF_RUN;
}
