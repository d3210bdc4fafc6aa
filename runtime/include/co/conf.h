/* SPDX-License-Identifier: MIT */
/*
 * co/conf.h - settings: the runtime's, and tables of keys that read any layer's from one INI file.
 *
 * A layer exports an array of struct co_conf_key; a program binds it to a section and to a struct
 * of its own with struct co_conf_table, and hands all its tables to co_conf_args:
 *
 *     struct co_conf rt;
 *     struct co_conf_table tables[] = {co_conf_runtime_table(&rt), ...};
 *     char err[CO_CONF_ERR_MAX];
 *     int r = co_conf_args(&program, tables, 2, argc, argv, stdout, err, sizeof err);
 *
 * Every key's type, range, default and meaning stand in one place, and checks, messages,
 * --print-config and the defaults themselves are made from it. None of this suspends; call it
 * before the runtime runs.
 */
#ifndef CO_CONF_H
#define CO_CONF_H

#include <co/base.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* struct co_conf.order: the oldest or the newest coroutine of a worker's deque runs first. */
#define CO_ORDER_FIFO 0
#define CO_ORDER_LIFO 1

/*
 * The settings of the runtime; [runtime] in a file. Start with co_conf_init, then change what you
 * want.
 */
struct co_conf {
    size_t size;            /* sizeof(struct co_conf) of the program; co_conf_init sets it */
    int threads;            /* workers, 1 to 256; 0: as many as there are CPUs for this process */
    int pin_threads;        /* 1: worker i stays on the i-th CPU this process may use */
    int order;              /* CO_ORDER_FIFO or CO_ORDER_LIFO */
    int stealing;           /* 0: every coroutine stays where it became ready */
    int64_t stack_size;     /* bytes per coroutine */
    int64_t max_coroutines; /* 0: no limit */
    int offload_threads;    /* threads for blocking calls */
    int64_t stall_report;   /* ns without a suspension until a coroutine is reported; 0: never */
    int64_t grace;          /* ns from co_stop until coroutines are cancelled */
    int signals;            /* 1: SIGTERM and SIGINT stop the runtime, SIGUSR1 lists it */
    int trace;              /* 1: keep the last scheduling events of each worker (co/trace.h) */
    /* ns for which all coroutines wait for each other until that is reported; 0: never */
    int64_t deadlock_report;
};

/* What a key takes, and the C type of the field it sets. */
enum co_conf_type {
    CO_CONF_INT,    /* int: a whole number */
    CO_CONF_AUTO,   /* int: a whole number or the word "auto", which is 0 */
    CO_CONF_INT64,  /* int64_t: a whole number */
    CO_CONF_SIZE,   /* int64_t bytes: a number with k, m, g or nothing behind it */
    CO_CONF_TIME,   /* int64_t nanoseconds: a number with ns, us, ms, s, m or h behind it, or 0 */
    CO_CONF_BOOL,   /* int, 0 or 1: on, yes, true, off, no, false */
    CO_CONF_CHOICE, /* int: one of the words in choices, as its index */
    CO_CONF_STRING  /* char[cap]: text, NUL-terminated */
};

/* One key. An array of these is constant and describes the fields of one struct. */
struct co_conf_key {
    const char *name; /* at most 49 bytes, as libinih keeps no more */
    enum co_conf_type type;
    size_t offset;        /* of the field in the struct that the table is bound to */
    size_t cap;           /* CO_CONF_STRING: size of the field */
    const char *fallback; /* the default, written as in a file */
    int64_t min, max;     /* numbers: smallest and largest; strings: min is the shortest length */
    const char *choices;  /* CO_CONF_CHOICE: words with one blank between them */
    const char *meaning;  /* one line for --print-config, without a full stop */
};

/* The most keys that a table may have. */
#define CO_CONF_KEYS_MAX 64
/*
 * A buffer of this size holds every message whole, unless a path is very long: then its end is cut.
 */
#define CO_CONF_ERR_MAX 512

/*
 * Keys bound to a section and a struct. The first four fields are the program's, the others start
 * as zero.
 */
struct co_conf_table {
    const char *section; /* "runtime", "pool.upstream"; at most 49 bytes */
    const struct co_conf_key *keys;
    size_t count;
    void *target;
    const char *path;             /* ours: the file that was read */
    int origin[CO_CONF_KEYS_MAX]; /* ours: the line in it that set the key; 0: default, -1: --set */
};

/* The keys of [runtime], for a struct co_conf. */
extern CO_API const struct co_conf_key co_conf_runtime_keys[];

/*
 * Fills conf with the defaults and sets its size.
 * Threads: any.
 */
CO_API void co_conf_init(struct co_conf *conf);

/*
 * co_conf_init, and a table that binds [runtime] to conf.
 * Returns: the table. Threads: any. Owns: conf must outlive the table.
 */
CO_API struct co_conf_table co_conf_runtime_table(struct co_conf *conf);

/*
 * Sets every field of every table to its default.
 * Returns: 0; -EINVAL for a mistake in a table (err says which). Threads: any.
 */
CO_API CO_NODISCARD int co_conf_defaults(struct co_conf_table *tables, size_t n, char *err,
                                         size_t errcap);

/*
 * Reads an INI file over what the targets hold. Lines are `[section]`, `key = value`, blank, or a
 * comment that starts with ; or #; a ; after a blank starts a comment too. Blanks in front mean
 * nothing. A line has at most 198 bytes, comment lines aside. A key that is unknown or repeated in
 * the file is an error.
 * Returns: 0; -EINVAL for a mistake in the file, or the negative errno of opening and reading it;
 *   err then holds one line without a line feed: "httpd.ini:12: runtime.threads = 0: must be "auto"
 *   or 1 to 256". Fields that came before the mistake are set. Threads: any. Owns: path must
 *   outlive the tables.
 */
CO_API CO_NODISCARD int co_conf_load(const char *path, struct co_conf_table *tables, size_t n,
                                     char *err, size_t errcap);

/*
 * Sets one key from a text "section.key=value". What a file cannot hold is refused here too.
 * Returns: 0; -EINVAL with one line in err. Threads: any.
 */
CO_API CO_NODISCARD int co_conf_set(const char *assignment, struct co_conf_table *tables, size_t n,
                                    char *err, size_t errcap);

/*
 * Writes every key with its value, range, default and meaning as an INI file that co_conf_load
 * accepts.
 * Returns: 0; -EIO if it could not be written. Threads: any.
 */
CO_API CO_NODISCARD int co_conf_print(FILE *out, const struct co_conf_table *tables, size_t n);

/*
 * Writes a message about a key's present value as co_conf_load would, with where the value comes
 * from: "httpd.ini:12: http.listen = 127.0.0.1:80: address already in use". For what only shows in
 * use.
 * Returns: -EINVAL, to be returned on. Threads: any.
 */
CO_API int co_conf_blame(const struct co_conf_table *tables, size_t n, const char *section,
                         const char *key, const char *problem, char *err, size_t errcap);

/* What a program tells about itself. */
struct co_conf_program {
    const char *name;    /* "httpd" */
    const char *version; /* for --version */
    const char *about;   /* one or more lines for --help */
    /* A last check over all tables, or NULL: 0, or a negative errno with one line in err. */
    int (*check)(const struct co_conf_table *tables, size_t n, char *err, size_t errcap);
};

#define CO_CONF_RUN  0 /* go on and run */
#define CO_CONF_DONE 1 /* what was asked for has been written: exit with status 0 */

/*
 * The command line of a program: --config FILE, --set section.key=value (repeatable, the last one
 * counts), --print-config, --check-config, --help, --version. Sets defaults, then the file, then
 * --set. What is asked for goes to out.
 * Returns: CO_CONF_RUN, CO_CONF_DONE; a negative errno with one line in err. Threads: any. Owns:
 *   argv's texts must outlive the tables.
 */
CO_API CO_NODISCARD int co_conf_args(const struct co_conf_program *program,
                                     struct co_conf_table *tables, size_t n, int argc,
                                     char *const argv[], FILE *out, char *err, size_t errcap);

#ifdef __cplusplus
}
#endif
#endif
