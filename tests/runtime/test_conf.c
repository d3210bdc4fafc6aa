/* SPDX-License-Identifier: MIT */
/* test_conf.c - the INI file, --set, the command line, and what they say to mistakes. */
#include "conf.h"
#include "support/test.h"

#include <co/conf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A section of another layer, with the types that [runtime] has not. */
struct site {
    char listen[64];
    char title[250];
    int64_t body;
    int64_t idle;
    int level;
    int verbose;
    int64_t offset;
};

#define FIELD(field) .name = #field, .offset = offsetof(struct site, field)
#define TEXT(field)  FIELD(field), .type = CO_CONF_STRING, .cap = sizeof(((struct site *)0)->field)

static const struct co_conf_key site_keys[] = {
    {TEXT(listen), .fallback = "127.0.0.1:8080", .min = 1, .meaning = "host:port"},
    {TEXT(title), .fallback = "", .meaning = "any text"},
    {FIELD(body), .type = CO_CONF_SIZE, .fallback = "1m", .max = INT64_MAX,
     .meaning = "largest body"},
    {FIELD(idle), .type = CO_CONF_TIME, .fallback = "60s", .min = CO_MS, .max = 3600 * CO_SEC,
     .meaning = "time without a request"},
    {FIELD(level), .type = CO_CONF_INT, .fallback = "-3", .min = -10, .max = 10,
     .meaning = "below zero"},
    {FIELD(verbose), .type = CO_CONF_BOOL, .fallback = "false", .meaning = "say more"},
    {FIELD(offset), .type = CO_CONF_INT64, .fallback = "0", .min = INT64_MIN, .max = INT64_MAX,
     .meaning = "any number"},
};

#define SITE_COUNT (sizeof site_keys / sizeof site_keys[0])

static struct co_conf rt;
static struct site site;
static struct co_conf_table tables[2];
static char err[CO_CONF_ERR_MAX];

/* Binds both tables and sets the defaults, in a fresh folder where files can have short names. */
static void begin(void)
{
    static char folder[] = "/tmp/test_conf_XXXXXX";

    tables[0] = co_conf_runtime_table(&rt);
    tables[1] = (struct co_conf_table){
        .section = "site.main", .keys = site_keys, .count = SITE_COUNT, .target = &site};
    memset(err, 0, sizeof err);
    cr_assert_eq(co_conf_defaults(tables, 2, err, sizeof err), 0);
    cr_assert(mkdtemp(folder) != NULL);
    cr_assert_eq(chdir(folder), 0);
}

static void end(void)
{
    char folder[256];

    (void)unlink("t.ini");
    if (getcwd(folder, sizeof folder) && strstr(folder, "test_conf_"))
        (void)rmdir(folder);
}

/* Writes over what is there: file systems make emptying a file and filling it again slow. */
static void write_bytes(const void *text, size_t len)
{
    int fd = open("t.ini", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, text, len), (ssize_t)len);
    cr_assert_eq(ftruncate(fd, (off_t)len), 0);
    cr_assert_eq(close(fd), 0);
}

static void write_file(const char *text)
{
    write_bytes(text, strlen(text));
}

static int load(const char *text)
{
    write_file(text);
    return co_conf_load("t.ini", tables, 2, err, sizeof err);
}

static int set(const char *assignment)
{
    return co_conf_set(assignment, tables, 2, err, sizeof err);
}

/* Loads a file that is right. */
static void loads(const char *text)
{
    cr_assert_eq(load(text), 0, "%s", err);
}

/* Loads a file that is wrong, and compares the whole message. */
static void refused(const char *text, const char *message)
{
    cr_assert_eq(load(text), -EINVAL);
    cr_assert_str_eq(err, message, "it said: %s", err);
}

static void refused_set(const char *assignment, const char *message)
{
    cr_assert_eq(set(assignment), -EINVAL);
    cr_assert_str_eq(err, message, "it said: %s", err);
}

Test(conf, the_defaults_are_those_of_the_manual, .init = begin, .fini = end)
{
    struct co_conf conf;

    co_conf_init(&conf);
    cr_assert_eq(conf.size, sizeof conf);
    cr_assert_eq(conf.threads, 0);
    cr_assert_eq(conf.pin_threads, 0);
    cr_assert_eq(conf.order, CO_ORDER_FIFO);
    cr_assert_eq(conf.stealing, 1);
    cr_assert_eq(conf.stack_size, 65536);
    cr_assert_eq(conf.max_coroutines, 0);
    cr_assert_eq(conf.offload_threads, 4);
    cr_assert_eq(conf.stall_report, 100 * CO_MS);
    cr_assert_eq(conf.grace, 10 * CO_SEC);
    cr_assert_eq(conf.signals, 1);
    cr_assert_str_eq(site.listen, "127.0.0.1:8080");
    cr_assert_str_eq(site.title, "");
    cr_assert_eq(site.level, -3);
}

Test(conf, a_file_sets_what_it_names_and_leaves_the_rest, .init = begin, .fini = end)
{
    loads("; a comment\n"
          "# another\n"
          "[runtime]\n"
          "threads = 3          ; three\n"
          "order=lifo\n"
          "stealing = off\n"
          "stack_size = 128k\n"
          "grace\t=\t1500ms\n"
          "\n"
          "[site.main] ; the other layer's\n"
          "listen = [::1]:80\n"
          "body = 2g\n"
          "idle = 2m\n"
          "level = 10\n"
          "verbose = yes\n"
          "offset = -9223372036854775808\n"
          "[runtime]\n"
          "signals = no");
    cr_assert_eq(rt.threads, 3);
    cr_assert_eq(rt.order, CO_ORDER_LIFO);
    cr_assert_eq(rt.stealing, 0);
    cr_assert_eq(rt.stack_size, 128 << 10);
    cr_assert_eq(rt.grace, 1500 * CO_MS);
    cr_assert_eq(rt.stall_report, 100 * CO_MS);
    cr_assert_eq(rt.signals, 0);
    cr_assert_str_eq(site.listen, "[::1]:80");
    cr_assert_eq(site.body, INT64_C(2) << 30);
    cr_assert_eq(site.idle, 120 * CO_SEC);
    cr_assert_eq(site.level, 10);
    cr_assert_eq(site.verbose, 1);
    cr_assert_eq(site.offset, INT64_MIN);
}

Test(conf, an_indented_line_means_what_it_says, .init = begin, .fini = end)
{
    loads("  [runtime]\n    threads = 2\n\tpin_threads = yes\n"
          " \t ; a comment\n  offload_threads = 9\n");
    cr_assert_eq(rt.threads, 2);
    cr_assert_eq(rt.pin_threads, 1);
    cr_assert_eq(rt.offload_threads, 9);
    refused("[runtime]\nthreads = 2\n    thread = 4\n",
            "t.ini:3: runtime.thread: unknown key; did you mean threads?");
    refused("[site.main]\ntitle = a\n  b\n", "t.ini:3: b: must be key = value");
}

Test(conf, line_ends_of_dos_and_a_mark_in_front_do_not_matter, .init = begin, .fini = end)
{
    loads("\xef\xbb\xbf[runtime]\r\nthreads = 5\r\n\r\n; c\r\n[site.main]\r\ntitle = x \r\n");
    cr_assert_eq(rt.threads, 5);
    cr_assert_str_eq(site.title, "x");
    loads("\xef\xbb\xbf; c\n[runtime]\nthreads = 6\n");
    cr_assert_eq(rt.threads, 6);
    refused("[runtime]\nthreads = 5\r6\n",
            "t.ini:2: holds the control character 0x0d: must be plain text");
}

Test(conf, a_value_may_hold_equal_signs_and_semicolons, .init = begin, .fini = end)
{
    loads("[site.main]\ntitle = a=b;c:d = e #f ; not this\n");
    cr_assert_str_eq(site.title, "a=b;c:d = e #f");
    loads("[site.main]\ntitle =\n");
    cr_assert_str_eq(site.title, "");
    loads("[site.main]\ntitle = ; nothing\n");
    cr_assert_str_eq(site.title, "");
    loads("[site.main]\ntitle = \xc3\xa4\n");
    cr_assert_str_eq(site.title, "\xc3\xa4");
}

Test(conf, an_empty_file_is_right, .init = begin, .fini = end)
{
    loads("");
    loads("\n\n; only this");
    loads("[runtime]");
}

Test(conf, an_unknown_key_is_named_with_the_one_that_may_be_meant, .init = begin, .fini = end)
{
    refused("[runtime]\n\nthread = 2\n",
            "t.ini:3: runtime.thread: unknown key; did you mean threads?");
    refused("[runtime]\nstack-size = 64k\n",
            "t.ini:2: runtime.stack-size: unknown key; did you mean stack_size?");
    refused("[runtime]\ncolour = red\n",
            "t.ini:2: runtime.colour: unknown key; --print-config lists all");
    refused("[runtime]\nlisten = 127.0.0.1:80\n",
            "t.ini:2: runtime.listen: unknown key; --print-config lists all");
}

Test(conf, an_unknown_section_is_named_even_if_it_is_empty, .init = begin, .fini = end)
{
    refused("[runtine]\n", "t.ini:1: [runtine]: unknown section; did you mean runtime?");
    refused("[pool.x]\nsize = 1\n", "t.ini:1: [pool.x]: unknown section; --print-config lists all");
    refused("[]\n", "t.ini:1: []: unknown section; --print-config lists all");
    refused("[ runtime ]\n", "t.ini:1: [ runtime ]: unknown section; did you mean runtime?");
    refused("[runtime\nthreads = 1\n", "t.ini:1: [runtime: must be [section] and nothing else");
    refused("[runtime] threads = 1\n",
            "t.ini:1: [runtime] threads = 1: must be [section] and nothing else");
}

Test(conf, a_repeated_key_is_refused_with_both_lines, .init = begin, .fini = end)
{
    refused("[runtime]\nthreads = 2\norder = fifo\nthreads = 2\n",
            "t.ini:4: runtime.threads: repeated; line 2 sets it already");
    refused("[runtime]\nthreads = 2\n[site.main]\n[runtime]\nthreads = 3\n",
            "t.ini:5: runtime.threads: repeated; line 2 sets it already");
    loads("[runtime]\nthreads = 2\n");
    loads("[runtime]\nthreads = 3\n"); /* another reading is another matter */
}

Test(conf, threads_are_auto_or_1_to_256, .init = begin, .fini = end)
{
    char bad[] = "0|257|100000|-1|two||1 2|Auto|0x2|2.0|2k|+2|99999999999999999999|"
                 "18446744073709551618";
    char text[64];
    char message[128];

    for (char *rest = bad, *one; (one = strsep(&rest, "|"));) {
        (void)snprintf(text, sizeof text, "[runtime]\nthreads = %s\n", one);
        (void)snprintf(message, sizeof message,
                       "t.ini:2: runtime.threads = %s: must be \"auto\" or 1 to 256", one);
        refused(text, message);
        cr_assert_eq(rt.threads, 0);
    }
    loads("[runtime]\nthreads = 256\n");
    cr_assert_eq(rt.threads, 256);
    loads("[runtime]\nthreads = auto\n");
    cr_assert_eq(rt.threads, 0);
}

Test(conf, each_type_says_what_would_be_right, .init = begin, .fini = end)
{
    refused("[runtime]\nstack_size = 1k\n", "t.ini:2: runtime.stack_size = 1k: must be a size, "
                                            "16k to 64m (units k, m, g)");
    refused("[runtime]\nstack_size = 64kb\n", "t.ini:2: runtime.stack_size = 64kb: must be a size, "
                                              "16k to 64m (units k, m, g)");
    refused("[site.main]\nbody = -1\n",
            "t.ini:2: site.main.body = -1: must be a size, 0 or more (units k, m, g)");
    refused("[runtime]\ngrace = 10\n", "t.ini:2: runtime.grace = 10: must be a time, "
                                       "0 to 24h (units us, ms, s, m, h)");
    refused("[site.main]\nidle = 0\n", "t.ini:2: site.main.idle = 0: must be a time, "
                                       "1ms to 1h (units us, ms, s, m, h)");
    refused("[runtime]\nmax_coroutines = -1\n",
            "t.ini:2: runtime.max_coroutines = -1: must be 0 or more");
    refused("[runtime]\noffload_threads = 0\n",
            "t.ini:2: runtime.offload_threads = 0: must be 1 to 1024");
    refused("[runtime]\nsignals = maybe\n", "t.ini:2: runtime.signals = maybe: must be "
                                            "on or off, yes or no, true or false");
    refused("[runtime]\norder = random\n", "t.ini:2: runtime.order = random: must be fifo or lifo");
    refused("[runtime]\norder = fifo lifo\n",
            "t.ini:2: runtime.order = fifo lifo: must be fifo or lifo");
    refused("[runtime]\norder =\n", "t.ini:2: runtime.order = : must be fifo or lifo");
    refused("[site.main]\nlisten =\n",
            "t.ini:2: site.main.listen = : must be a text of 1 to 63 bytes without \" ;\"");
    refused("[site.main]\nlevel = -11\n", "t.ini:2: site.main.level = -11: must be -10 to 10");
}

Test(conf, numbers_that_overflow_are_refused, .init = begin, .fini = end)
{
    refused("[site.main]\nbody = 99999999999999g\n",
            "t.ini:2: site.main.body = 99999999999999g: must be a size, 0 or more (units k, m, g)");
    refused("[site.main]\nbody = 17179869185g\n", /* 1g more than 64 bits hold */
            "t.ini:2: site.main.body = 17179869185g: must be a size, 0 or more (units k, m, g)");
    refused("[site.main]\nbody = 9223372036854775808\n",
            "t.ini:2: site.main.body = 9223372036854775808: must be a size, 0 or more "
            "(units k, m, g)");
    refused("[site.main]\nidle = 9999999999999h\n",
            "t.ini:2: site.main.idle = 9999999999999h: must be a time, 1ms to 1h "
            "(units us, ms, s, m, h)");
    refused("[site.main]\nlevel = 4294967297\n",
            "t.ini:2: site.main.level = 4294967297: must be -10 to 10");
    refused("[site.main]\noffset = -9223372036854775809\n",
            "t.ini:2: site.main.offset = -9223372036854775809: must be "
            "-9223372036854775808 or more");
    loads("[site.main]\nbody = 9223372036854775807\n");
    cr_assert_eq(site.body, INT64_MAX);
    loads("[site.main]\nbody = 8589934591g\n");
    cr_assert_eq(site.body, INT64_C(8589934591) << 30);
}

Test(conf, lines_that_are_no_setting_are_refused, .init = begin, .fini = end)
{
    refused("threads = 2\n", "t.ini:1: threads: must stand below a [section]");
    refused("[runtime]\nthreads\n", "t.ini:2: threads: must be key = value");
    refused("[runtime]\nthreads 2 ; = 3\n", "t.ini:2: threads 2 ; = 3: must be key = value");
    refused("[runtime]\nthreads: 2\n", "t.ini:2: threads: 2: must be key = value");
    refused("[runtime]\n= 2\n", "t.ini:2: = 2: must be key = value");
    refused("[runtime]\nthreads = 2\x01\n",
            "t.ini:2: holds the control character 0x01: must be plain text");
    write_bytes("[runtime]\nthreads\0 = 2\n", 23);
    cr_assert_eq(co_conf_load("t.ini", tables, 2, err, sizeof err), -EINVAL);
    cr_assert_str_eq(err, "t.ini:2: holds the control character 0x00: must be plain text");
}

Test(conf, only_the_first_mistake_is_told_and_nothing_after_it_is_set, .init = begin, .fini = end)
{
    refused("[runtime]\nthreads = 0\nthreads = 7\ncolour = red\n",
            "t.ini:2: runtime.threads = 0: must be \"auto\" or 1 to 256");
    cr_assert_eq(rt.threads, 0);
}

Test(conf, a_line_of_198_bytes_is_read_whole_and_one_more_is_refused, .init = begin, .fini = end)
{
    char text[1200] = "[site.main]\n  title = ";
    size_t start = strlen(text);

    memset(text + start, 'x', 190);
    memcpy(text + start + 190, "\r\n", 3);
    loads(text);
    cr_assert_eq(strlen(site.title), 190u);
    memset(text + start, 'x', 191);
    memcpy(text + start + 191, "\n", 2);
    refused(text, "t.ini:2: title = xxxxxxxxxxxxxxxxxxxx...: the line must have at most 198 bytes");
    memset(text + start, 'x', 1000);
    text[start + 1000] = '\0';
    refused(text, "t.ini:2: title = xxxxxxxxxxxxxxxxxxxx...: the line must have at most 198 bytes");
    memcpy(text + strlen("[site.main]\n"), ";", 1); /* a comment of any length is none of it */
    loads(text);
}

Test(conf, names_that_libinih_would_cut_do_not_pass_for_others, .init = begin, .fini = end)
{
    char text[300] = "[";

    memset(text + 1, 'r', 100);
    memcpy(text + 101, "]\n", 3);
    cr_assert_eq(load(text), -EINVAL);
    cr_assert(strstr(err, "unknown section") != NULL);
    (void)snprintf(text, sizeof text, "[runtime]\n%0120d = 1\n", 0);
    cr_assert_eq(load(text), -EINVAL);
    cr_assert(strstr(err, "unknown key") != NULL);
}

#define DIGITS_20 "01234567890123456789"
#define DIGITS_80 DIGITS_20 DIGITS_20 DIGITS_20 DIGITS_20

Test(conf, a_message_is_one_line_whatever_the_file_holds, .init = begin, .fini = end)
{
    refused("[runtime]\nthreads = \x1b[31mred\n",
            "t.ini:2: holds the control character 0x1b: must be plain text");
    refused_set("runtime.threads=\x1b[31m\n",
                "--set runtime.threads=?[31m?: must be \"auto\" or 1 to 256");
    refused("[runtime]\nthreads = " DIGITS_80 DIGITS_80 "\n",
            "t.ini:2: runtime.threads = " DIGITS_80
            "012345678901...: must be \"auto\" or 1 to 256");
    refused("[site.main]\nlisten = " DIGITS_80 "01234567890\xc3\xa4 and more\n",
            "t.ini:2: site.main.listen = " DIGITS_80
            "01234567890...: must be a text of 1 to 63 bytes without \" ;\"");
}

Test(conf, a_short_buffer_for_the_message_is_not_overrun, .init = begin, .fini = end)
{
    for (size_t cap = 0; cap < 80; cap++) {
        char *small = malloc(cap + 1);
        cr_assert(small != NULL);
        small[cap] = '#';
        write_file("[runtime]\nthreads = 0\n");
        cr_assert_eq(co_conf_load("t.ini", tables, 2, small, cap), -EINVAL);
        cr_assert(cap == 0 || strlen(small) < cap);
        cr_assert_eq(co_conf_set("runtime.threads=0", tables, 2, small, cap), -EINVAL);
        cr_assert_eq(small[cap], '#');
        free(small);
    }
}

Test(conf, a_file_that_cannot_be_read_is_named_with_the_reason, .init = begin, .fini = end)
{
    char *huge;

    cr_assert_eq(co_conf_load("none.ini", tables, 2, err, sizeof err), -ENOENT);
    cr_assert_str_eq(err, "none.ini: cannot be read: No such file or directory");
    cr_assert_eq(co_conf_load(".", tables, 2, err, sizeof err), -EISDIR);
    cr_assert_str_eq(err, ".: cannot be read: Is a directory");
    if (geteuid() != 0) { /* root may read anything */
        cr_assert_eq(close(open("t.ini", O_WRONLY | O_CREAT | O_CLOEXEC, 0)), 0);
        cr_assert_eq(co_conf_load("t.ini", tables, 2, err, sizeof err), -EACCES);
        cr_assert_str_eq(err, "t.ini: cannot be read: Permission denied");
        cr_assert_eq(unlink("t.ini"), 0);
    }
    cr_assert_eq(co_conf_load("/dev/zero", tables, 2, err, sizeof err), -EFBIG);
    cr_assert_str_eq(err, "/dev/zero: cannot be read: File too large");
    huge = malloc(1 << 20);
    cr_assert(huge != NULL);
    memset(huge, '\n', 1 << 20);
    write_bytes(huge, (1 << 20) - 1);
    cr_assert_eq(co_conf_load("t.ini", tables, 2, err, sizeof err), 0);
    free(huge);
}

Test(conf, one_key_can_be_set_from_a_text, .init = begin, .fini = end)
{
    cr_assert_eq(set("runtime.threads=2"), 0);
    cr_assert_eq(rt.threads, 2);
    cr_assert_eq(set("site.main.title=a=b.c"), 0);
    cr_assert_str_eq(site.title, "a=b.c");
    cr_assert_eq(set("site.main.title="), 0);
    cr_assert_str_eq(site.title, "");
    refused_set("runtime.threads=0", "--set runtime.threads=0: must be \"auto\" or 1 to 256");
    refused_set("runtime.thread=2", "--set runtime.thread=2: unknown key; did you mean threads?");
    refused_set("runtme.threads=2",
                "--set runtme.threads=2: unknown section; did you mean runtime?");
    refused_set("runtime.threads", "--set runtime.threads: must be section.key=value");
    refused_set("threads=2", "--set threads=2: must be section.key=value");
    refused_set("=", "--set =: must be section.key=value");
    refused_set(".=", "--set .=: unknown section; --print-config lists all");
}

Test(conf, what_a_file_cannot_hold_is_refused_in_a_text_too, .init = begin, .fini = end)
{
    char bad[] = " x|x |\tx|;x|x ;y|x\t;y|x\ny|x\177";
    char text[400] = "site.main.title=";
    size_t start = strlen(text);

    for (char *rest = bad, *one; (one = strsep(&rest, "|"));) {
        (void)snprintf(text + start, sizeof text - start, "%s", one);
        cr_assert_eq(set(text), -EINVAL);
        cr_assert(strstr(err, "must be a text of 0 to 249 bytes") != NULL);
        cr_assert_str_eq(site.title, "");
    }
    memset(text + start, 'x', 191);
    text[start + 191] = '\0';
    cr_assert_eq(set(text), -EINVAL); /* 191 bytes would make a line of 199 */
    text[start + 190] = '\0';
    cr_assert_eq(set(text), 0);
}

/* All settings as a file, in a buffer that the caller frees. */
static char *printed(void)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    cr_assert(out != NULL);
    cr_assert_eq(co_conf_print(out, tables, 2), 0);
    cr_assert_eq(fclose(out), 0);
    return text;
}

Test(conf, printed_settings_are_a_file_that_gives_the_same_settings, .init = begin, .fini = end)
{
    char sets[] = "runtime.threads=7|runtime.order=lifo|runtime.stealing=off|"
                  "runtime.pin_threads=yes|runtime.stack_size=65537|runtime.grace=1001us|"
                  "runtime.max_coroutines=9223372036854775807|runtime.stall_report=0|"
                  "site.main.listen=unix:/a;b|site.main.title=x = #y;z [q]|site.main.body=3g|"
                  "site.main.idle=1234567ns|site.main.level=-7|site.main.verbose=on|"
                  "site.main.offset=-9223372036854775808";
    struct co_conf want_rt;
    struct site want_site;
    char *first;
    char *second;

    for (char *rest = sets, *one; (one = strsep(&rest, "|"));)
        cr_assert_eq(set(one), 0, "%s", err);
    want_rt = rt;
    want_site = site;
    first = printed();
    cr_assert_eq(co_conf_defaults(tables, 2, err, sizeof err), 0);
    loads(first);
    cr_assert(want_rt.threads == rt.threads && want_rt.stack_size == rt.stack_size);
    cr_assert(want_rt.grace == rt.grace && want_rt.max_coroutines == rt.max_coroutines);
    cr_assert_str_eq(want_site.listen, site.listen);
    cr_assert_str_eq(want_site.title, site.title);
    cr_assert(want_site.body == site.body && want_site.idle == site.idle);
    cr_assert(want_site.level == site.level && want_site.offset == site.offset);
    second = printed();
    cr_assert_str_eq(first, second);
    free(first);
    free(second);
}

Test(conf, printed_settings_have_meaning_range_and_default, .init = begin, .fini = end)
{
    static const char first[] =
        "[runtime]\n"
        "; workers; auto: one per CPU this process may use (affinity and cgroup quota)\n"
        "; \"auto\" or 1 to 256; default: auto\n"
        "threads = auto\n";
    char *text = printed();

    cr_assert(strstr(text, first) == text);
    cr_assert(strstr(text, "\n; fifo or lifo; default: fifo\norder = fifo\n") != NULL);
    cr_assert(strstr(text, "stall_report = 100ms\n") != NULL);
    cr_assert(strstr(text, "signals = on\n") != NULL);
    cr_assert(strstr(text, "\n\n[site.main]\n; host:port\n") != NULL);
    cr_assert(strstr(text, "default: false\nverbose = false\n") != NULL);
    cr_assert(strstr(text, "default: 60s\nidle = 60s\n") != NULL);
    free(text);
}

static int failing_check(const struct co_conf_table *all, size_t n, char *text, size_t cap)
{
    return co_conf_blame(all, n, "site.main", "listen", "address already in use", text, cap);
}

static struct co_conf_program program = {.name = "httpd", .version = "1.2.3", .about = "Serves."};

/* Runs a command line of up to 7 arguments; what it writes is in `output`. */
static char output[8192];

static int args(const char *const list[])
{
    static char texts[8][64]; /* the tables keep the path of --config */
    char *argv[9] = {texts[0]};
    int argc = 1;
    FILE *out = fmemopen(output, sizeof output, "w");
    int r;

    memset(output, 0, sizeof output);
    memset(err, 0, sizeof err);
    cr_assert(out != NULL);
    for (; list[argc - 1]; argc++) {
        cr_assert(argc < 8 && strlen(list[argc - 1]) < sizeof texts[0]);
        argv[argc] = strcpy(texts[argc], list[argc - 1]);
    }
    r = co_conf_args(&program, tables, 2, argc, argv, out, err, sizeof err);
    cr_assert_eq(fclose(out), 0);
    return r;
}

#define ARGS(...) args((const char *const[]){__VA_ARGS__, NULL})

Test(conf, the_command_line_goes_over_the_file_and_the_file_over_defaults, .init = begin,
     .fini = end)
{
    write_file("[runtime]\nthreads = 3\norder = lifo\n");
    cr_assert_eq(ARGS("--set", "runtime.threads=5", "--config", "t.ini"), CO_CONF_RUN);
    cr_assert_eq(rt.threads, 5);
    cr_assert_eq(rt.order, CO_ORDER_LIFO);
    cr_assert_eq(rt.stealing, 1);
    cr_assert_str_eq(output, "");
    cr_assert_eq(ARGS("--set=runtime.threads=5", "--set=runtime.threads=6"), CO_CONF_RUN);
    cr_assert_eq(rt.threads, 6);
    cr_assert_eq(rt.order, CO_ORDER_FIFO);
    cr_assert_eq(args((const char *const[]){NULL}), CO_CONF_RUN);
    cr_assert_eq(rt.threads, 0);
}

Test(conf, help_and_version_are_written_whatever_the_settings, .init = begin, .fini = end)
{
    cr_assert_eq(ARGS("--version", "--config", "none.ini"), CO_CONF_DONE);
    cr_assert_str_eq(output, "httpd 1.2.3\n");
    cr_assert_eq(ARGS("--help"), CO_CONF_DONE);
    cr_assert(strstr(output, "Usage: httpd [--config FILE]") == output);
    cr_assert(strstr(output, "\nServes.\n") != NULL);
    cr_assert(strstr(output, "--check-config") != NULL);
}

Test(conf, settings_can_be_printed_and_checked_from_the_command_line, .init = begin, .fini = end)
{
    cr_assert_eq(ARGS("--print-config", "--set", "runtime.threads=9"), CO_CONF_DONE);
    cr_assert(strstr(output, "\nthreads = 9\n") != NULL);
    loads(output);
    cr_assert_eq(ARGS("--check-config", "--config", "t.ini"), CO_CONF_DONE);
    cr_assert_str_eq(output, "httpd: the settings are right\n");
    write_file("[runtime]\nthreads = 0\n");
    cr_assert_eq(ARGS("--check-config", "--config", "t.ini"), -EINVAL);
    cr_assert_str_eq(err, "t.ini:2: runtime.threads = 0: must be \"auto\" or 1 to 256");
    cr_assert_str_eq(output, "");
}

Test(conf, a_wrong_command_line_is_told_in_one_line, .init = begin, .fini = end)
{
    cr_assert_eq(ARGS("--threads"), -EINVAL);
    cr_assert_str_eq(err, "--threads: unknown argument; --help lists what there is");
    cr_assert_eq(ARGS("t.ini"), -EINVAL);
    cr_assert_str_eq(err, "t.ini: unknown argument; --help lists what there is");
    cr_assert_eq(ARGS("--help=yes"), -EINVAL);
    cr_assert_eq(ARGS("--config"), -EINVAL);
    cr_assert_str_eq(err, "--config: must be followed by a value");
    cr_assert_eq(ARGS("--config", "t.ini", "--config=t.ini"), -EINVAL);
    cr_assert_str_eq(err, "--config: must be given once");
    cr_assert_eq(ARGS("--config", "none.ini"), -ENOENT);
    cr_assert_str_eq(err, "none.ini: cannot be read: No such file or directory");
    cr_assert_eq(ARGS("--set", "runtime.threads=257"), -EINVAL);
    cr_assert_str_eq(err, "--set runtime.threads=257: must be \"auto\" or 1 to 256");
}

Test(conf, output_that_cannot_be_written_is_an_error, .init = begin, .fini = end)
{
    FILE *full = fopen("/dev/full", "we");
    char *argv[] = {"httpd", "--print-config", NULL};

    cr_assert(full != NULL);
    cr_assert_eq(co_conf_args(&program, tables, 2, 2, argv, full, err, sizeof err), -EIO);
    cr_assert_str_eq(err, "standard output: Input/output error");
    cr_assert_eq(setvbuf(full, NULL, _IONBF, 0), 0); /* fails at once, not at the end */
    cr_assert_eq(co_conf_print(full, tables, 2), -EIO);
    (void)fclose(full);
}

Test(conf, what_only_shows_in_use_is_blamed_on_the_line_that_set_it, .init = begin, .fini = end)
{
    program.check = failing_check;
    write_file("[site.main]\n\nlisten = 127.0.0.1:1\n");
    cr_assert_eq(ARGS("--config", "t.ini"), -EINVAL);
    cr_assert_str_eq(err, "t.ini:3: site.main.listen = 127.0.0.1:1: address already in use");
    cr_assert_eq(ARGS("--config=t.ini", "--set", "site.main.listen=[::]:2"), -EINVAL);
    cr_assert_str_eq(err, "--set site.main.listen=[::]:2: address already in use");
    cr_assert_eq(ARGS("--set", "runtime.threads=1"), -EINVAL);
    cr_assert_str_eq(err, "site.main.listen = 127.0.0.1:8080 (default): address already in use");
}

Test(conf, a_short_name_is_not_suggested_for_any_other)
{
    static const struct co_conf_key key = {.name = "n", .fallback = "1", .max = INT64_MAX};
    int n = 0;
    struct co_conf_table table = {.section = "x", .keys = &key, .count = 1, .target = &n};

    cr_assert_eq(co_conf_set("x.q=1", &table, 1, err, sizeof err), -EINVAL);
    cr_assert_str_eq(err, "--set x.q=1: unknown key; --print-config lists all");
    /* The field's own width counts as well as the range. */
    cr_assert_eq(co_conf_set("x.n=4294967297", &table, 1, err, sizeof err), -EINVAL);
    cr_assert_eq(co_conf_set("x.n=2147483647", &table, 1, err, sizeof err), 0);
    cr_assert_eq(n, INT32_MAX);
}

Test(conf, a_mistake_in_a_table_is_found_at_once, .init = begin, .fini = end)
{
    static const struct co_conf_key bad_default = {.name = "n", .fallback = "9", .max = 8};
    static const struct co_conf_key twice[] = {{.name = "n", .fallback = "1", .max = 8},
                                               {.name = "n", .fallback = "1", .max = 8}};
    int n = 0;
    struct co_conf_table table = {.section = "x", .keys = &bad_default, .count = 1, .target = &n};

    cr_assert_eq(co_conf_defaults(&table, 1, err, sizeof err), -EINVAL);
    cr_assert_str_eq(err, "table [x]: n has a default that it does not allow");
    table = (struct co_conf_table){.section = "x", .keys = twice, .count = 2, .target = &n};
    cr_assert_eq(co_conf_defaults(&table, 1, err, sizeof err), -EINVAL);
    cr_assert_str_eq(err, "table [x]: n has a name that is too long or taken");
    table.target = NULL;
    cr_assert_eq(co_conf_defaults(&table, 1, err, sizeof err), -EINVAL);
    cr_assert_str_eq(err, "table [x]: has too many keys or no target");
}

Test(conf, settings_of_a_program_are_checked_before_they_are_taken)
{
    struct co_conf conf;
    struct co_conf taken;

    cr_assert_eq(co__conf_take(&taken, NULL), 0);
    cr_assert_eq(taken.stack_size, 65536);
    co_conf_init(&conf);
    conf.threads = 256;
    cr_assert_eq(co__conf_take(&taken, &conf), 0);
    cr_assert_eq(taken.threads, 256);
    conf.threads = 257;
    cr_assert_eq(co__conf_take(&taken, &conf), -EINVAL);
    cr_assert_eq(taken.threads, 256);
    conf.threads = 1;
    for (int order = -1; order <= 2; order++) {
        conf.order = order;
        cr_assert_eq(co__conf_check(&conf), order == 0 || order == 1 ? 0 : -EINVAL);
    }
    conf.order = CO_ORDER_LIFO;
    conf.signals = 2;
    cr_assert_eq(co__conf_check(&conf), -EINVAL);
    conf.signals = 0;
    conf.grace = -1;
    cr_assert_eq(co__conf_check(&conf), -EINVAL);
}

Test(conf, a_shorter_struct_of_an_older_program_leaves_newer_fields_at_their_defaults)
{
    struct co_conf conf;
    struct co_conf taken;

    co_conf_init(&conf);
    conf.threads = 3;
    conf.grace = -1; /* behind what the older program knows */
    conf.size = offsetof(struct co_conf, grace);
    cr_assert_eq(co__conf_take(&taken, &conf), 0);
    cr_assert_eq(taken.threads, 3);
    cr_assert_eq(taken.grace, 10 * CO_SEC);
    cr_assert_eq(taken.size, sizeof taken);
    conf.grace = CO_SEC;
    conf.size = sizeof conf + 8;
    cr_assert_eq(co__conf_take(&taken, &conf), -EINVAL);
    conf.size = 0;
    cr_assert_eq(co__conf_take(&taken, &conf), -EINVAL);
}

Test(conf, a_file_cut_short_at_any_byte_is_loaded_or_refused_on_its_last_line, .init = begin,
     .fini = end)
{
    char *whole = printed();
    char where[32];
    int line = 1;

    for (size_t len = 0; whole[len]; line += whole[len++] == '\n') {
        write_bytes(whole, len);
        if (co_conf_load("t.ini", tables, 2, err, sizeof err) == 0)
            continue;
        (void)snprintf(where, sizeof where, "t.ini:%d: ", line);
        cr_assert(strncmp(err, where, strlen(where)) == 0);
    }
    free(whole);
}

/* A small generator, so that a failing round can be run again. */
static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Changes, doubles or takes away a few bytes. Returns the new length. */
static size_t mutate(char *text, size_t len, size_t cap, uint32_t *state)
{
    static const char spice[] = "[]=;:# \t\r\n\0.\x7f\xef\xbb\xbf"
                                "0123456789kmgsh-aut";

    for (uint32_t n = next_random(state) % 4 + 1; n > 0; n--) {
        size_t at = len ? next_random(state) % len : 0;
        size_t piece = next_random(state) % 40;
        char c = spice[next_random(state) % (sizeof spice - 1)];
        switch (next_random(state) % 3) {
        case 0:
            text[at] = c;
            break;
        case 1:
            piece = piece < len - at ? piece : len - at;
            memmove(text + at, text + at + piece, len - at - piece);
            len -= piece;
            break;
        default:
            piece = piece < len - at ? piece : len - at;
            if (len + piece < cap) {
                memmove(text + at + piece, text + at, len - at);
                len += piece;
            }
        }
    }
    return len;
}

Test(conf, thousands_of_damaged_files_are_loaded_or_refused_in_one_line, .init = begin, .fini = end)
{
    static char text[16384];
    uint32_t state = 20261123;
    int right = 0;
    char *whole = printed();
    size_t whole_len = strlen(whole);

    for (int round = 0; round < 4000; round++) {
        memcpy(text, whole, whole_len);
        write_bytes(text, mutate(text, whole_len, sizeof text, &state));
        cr_assert_eq(co_conf_defaults(tables, 2, err, sizeof err), 0);
        memset(err, 0, sizeof err);
        if (co_conf_load("t.ini", tables, 2, err, sizeof err) == 0) {
            char *again = printed();
            loads(again); /* whatever was accepted can be written and read again */
            free(again);
            right++;
        } else {
            cr_assert_eq(strncmp(err, "t.ini:", 6), 0);
            cr_assert(strlen(err) < sizeof err - 1 && !strchr(err, '\n'));
        }
    }
    /* Both happen often, or the damage is of the wrong kind. */
    cr_assert(right > 200 && right < 3800);
    free(whole);
}
