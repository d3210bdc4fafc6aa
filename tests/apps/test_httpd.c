/* SPDX-License-Identifier: MIT */
/* tests/apps/test_httpd.c - the demo as its users meet it: routes, settings, command line. */
#include "program.h"
#include <sys/resource.h>

TestSuite(httpd, .timeout = 60);

static char out[TEXT_MAX], err[TEXT_MAX];

Test(httpd, every_route_answers)
{
    static const struct {
        const char *method, *path, *body;
        int status;
        const char *holds;
    } cases[] = {
        {"GET", "/", "", 200, "<title>Corvid</title>"},
        {"GET", "/plaintext", "", 200, "Hello, World!"},
        {"GET", "/json", "", 200, "{\"message\":\"Hello, World!\"}"},
        {"GET", "/hello/Ada", "", 200, "Hello, Ada!\n"},
        {"GET", "/hello/Ada%20L", "", 200, "Hello, Ada L!\n"},
        {"GET", "/echo", "", 200, "comes back"},
        {"POST", "/echo", "some words", 200, "some words"},
        {"GET", "/sleep/5", "", 200, "slept 5 ms"},
        {"GET", "/spin/5", "", 200, "computed 5 ms on worker"},
        {"GET", "/upstream", "", 200, "upstream: ping\n"},
        {"GET", "/upstream?hello", "", 200, "upstream: hello\n"},
        {"GET", "/stats", "", 200, "\"workers\""},
        {"GET", "/nothing", "", 404, ""},
        {"POST", "/plaintext", "", 405, ""},
    };
    struct program httpd = launch_httpd(NULL);

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct answer *answer =
            ask_http(httpd.port, cases[i].method, cases[i].path, cases[i].body);

        cr_expect_eq(answer->status, cases[i].status, "%s %s: %d", cases[i].method, cases[i].path,
                     answer->status);
        cr_expect(strstr(answer->body, cases[i].holds) != NULL, "%s %s: %s", cases[i].method,
                  cases[i].path, answer->body);
    }
    cr_assert_eq(terminate(&httpd, NULL), 0);
}

Test(httpd, an_echo_gives_back_just_the_body)
{
    struct program httpd = launch_httpd(NULL);
    const struct answer *answer = ask_http(httpd.port, "POST", "/echo", "a\r\n\r\nb");

    cr_assert_eq(answer->length, 6);
    cr_assert_arr_eq(answer->body, "a\r\n\r\nb", 6);
    cr_assert_eq(terminate(&httpd, NULL), 0);
}

Test(httpd, times_out_of_range_are_refused)
{
    static const char *const paths[] = {
        "/sleep/10001", "/sleep/-1", "/sleep/1s", "/spin/2001", "/spin/99999999999999999999",
        "/spin/+1"};
    struct program httpd = launch_httpd(NULL);

    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        cr_expect_eq(ask_http(httpd.port, "GET", paths[i], "")->status, 400, "%s", paths[i]);
    cr_assert_eq(terminate(&httpd, NULL), 0);
}

/* The number behind "name": in the n-th object that has one; -1 if there is none. */
static long number_in(const char *text, const char *name, int nth)
{
    char key[64];

    snprintf(key, sizeof key, "\"%s\": ", name);
    for (; text != NULL && nth >= 0; nth--) {
        text = strstr(text, key);
        if (text != NULL)
            text += strlen(key);
    }
    return text != NULL ? strtol(text, NULL, 10) : -1;
}

Test(httpd, statistics_tell_of_each_worker_and_of_the_pool)
{
    struct program httpd = launch_httpd(NULL);
    const struct answer *answer;

    for (int i = 0; i < 3; i++)
        cr_assert_eq(ask_http(httpd.port, "GET", "/upstream", "")->status, 200);
    answer = ask_http(httpd.port, "GET", "/stats", "");
    cr_expect_eq(number_in(answer->body, "worker", 0), 0);
    cr_expect_eq(number_in(answer->body, "worker", 1), 1);
    cr_expect_eq(number_in(answer->body, "worker", 2), -1);
    cr_expect_gt(number_in(answer->body, "turns", 0) + number_in(answer->body, "turns", 1), 0);
    cr_expect_geq(number_in(answer->body, "http_requests", 0), 0);
    cr_expect_geq(number_in(answer->body, "net_sockets", 0), 0);
    cr_expect_eq(number_in(answer->body, "leases", 0), 3);
    cr_expect_eq(number_in(answer->body, "opened", 0), 1);
    cr_expect_not_null(strstr(answer->body, "\"name\": \"pool.upstream\""));
    cr_assert_eq(terminate(&httpd, NULL), 0);
}

Test(httpd, silent_clients_do_not_take_every_descriptor)
{
    enum { SILENT = 120 };
    struct rlimit ours, few;
    struct program httpd;
    int fds[SILENT];

    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &ours), 0);
    few = (struct rlimit){.rlim_cur = 100, .rlim_max = ours.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    httpd = launch_httpd(NULL);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &ours), 0);
    for (int i = 0; i < SILENT; i++) {
        fds[i] = dial(httpd.port);
        cr_assert_geq(fds[i], 0);
    }
    cr_expect_eq(ask_http(httpd.port, "GET", "/upstream", "")->status, 200);
    for (int i = 0; i < SILENT; i++)
        close(fds[i]);
    cr_assert_eq(terminate(&httpd, NULL), 0);
}

Test(httpd, a_question_that_is_too_long_is_not_blamed_on_the_upstream)
{
    struct program httpd = launch_httpd(NULL);
    char path[600] = "/upstream?";

    memset(path + 10, 'x', 511);
    cr_expect_eq(ask_http(httpd.port, "GET", path, "")->status, 200);
    path[10 + 511] = 'x';
    cr_expect_eq(ask_http(httpd.port, "GET", path, "")->status, 414);
    cr_assert_eq(terminate(&httpd, NULL), 0);
}

Test(httpd, an_upstream_that_is_not_there_gives_502)
{
    static const char *const args[] = {"--set", "pool.upstream.address=127.0.0.1:1", NULL};
    struct program httpd = launch_httpd(args);

    cr_expect_eq(ask_http(httpd.port, "GET", "/upstream", "")->status, 502);
    cr_expect_eq(ask_http(httpd.port, "GET", "/plaintext", "")->status, 200);
    cr_assert_eq(terminate(&httpd, NULL), 0);
}

Test(httpd, a_server_that_cannot_go_on_says_so_and_ends)
{
    char script[256];
    const char *const args[] = {"-c", script, path_of("CORVID_HTTPD"), NULL};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int lfd = socket(AF_INET, SOCK_STREAM, 0); /* the child inherits it, as from systemd */
    struct program httpd;

    cr_assert_geq(lfd, 0);
    cr_assert_eq(bind(lfd, (struct sockaddr *)&at, sizeof at), 0);
    cr_assert_eq(listen(lfd, 8), 0);
    snprintf(script, sizeof script,
             "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" --set http.listen=systemd:0"
             " --set runtime.stall_report=0 3<&%d",
             lfd);
    httpd = launch("/bin/bash", args);
    read_text(httpd.err, err, TEXT_MAX, false);
    cr_expect_not_null(strstr(err, "httpd: listening on "), "%s", err);
    cr_assert_eq(shutdown(lfd, SHUT_RDWR), 0);
    read_text(httpd.err, err, TEXT_MAX, true);
    cr_expect_str_eq(err, "httpd: Invalid argument\n");
    cr_expect_eq(await_exit(&httpd), 1);
    close(lfd);
}

/* Writes a file for --config; it is removed with the test's process. */
static char file[] = "/tmp/corvid-httpd-XXXXXX";

static void remove_file(void)
{
    unlink(file);
}

static void write_file(const char *text)
{
    int fd = mkstemp(file);

    cr_assert_geq(fd, 0);
    atexit(remove_file);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

/* Runs httpd with the file, which must be refused in one line that holds all these words. */
static void refused(const char *text, const char *const *words)
{
    /* A machine that stands still for a while must not add its report of that to the line. */
    const char *const args[] = {"--config", file, "--set", "runtime.stall_report=0", NULL};
    size_t len;
    int status;

    write_file(text);
    status = run_program(path_of("CORVID_HTTPD"), args, out, err);
    cr_expect(status != 0 && status < 128, "status %d", status);
    cr_expect_str_eq(out, "");
    len = strlen(err);
    cr_assert(len > 1 && strchr(err, '\n') == err + len - 1, "not one line: \"%s\"", err);
    for (; *words != NULL; words++)
        cr_expect(strstr(err, *words) != NULL, "\"%s\" is not in: %s", *words, err);
}

#define REFUSED(text_, ...) refused(text_, (const char *const[]){__VA_ARGS__, NULL})

Test(httpd, an_unknown_key_is_refused)
{
    REFUSED("[runtime]\n\nthread = 2\n", file, ":3:", "runtime.thread");
}

Test(httpd, an_unknown_section_is_refused)
{
    REFUSED("[runtimes]\nthreads = 2\n", file, ":1:", "[runtimes]", "runtime?");
}

Test(httpd, a_repeated_key_is_refused)
{
    REFUSED("[runtime]\nthreads = 2\n[http]\n[runtime]\nthreads = 3\n", file,
            ":5:", "runtime.threads", "2");
}

Test(httpd, a_bad_number_is_refused)
{
    REFUSED("[runtime]\nthreads = two\n", file, ":2:", "runtime.threads", "two", "auto", "256");
}

Test(httpd, no_threads_are_refused)
{
    REFUSED("[runtime]\nthreads = 0\n", file, ":2:", "runtime.threads", "auto", "256");
}

Test(httpd, too_many_threads_are_refused)
{
    REFUSED("[runtime]\nthreads = 257\n", file, ":2:", "runtime.threads", "auto", "256");
}

Test(httpd, far_too_many_threads_are_refused)
{
    REFUSED("[runtime]\nthreads = 100000\n", file, ":2:", "runtime.threads", "auto", "256");
}

Test(httpd, an_overlong_line_is_refused)
{
    static char text[1024] = "[http]\nlisten = 127.0.0.1:";

    memset(text + strlen(text), '1', 400);
    REFUSED(text, file, ":2:", "198");
}

Test(httpd, an_address_that_is_none_is_refused)
{
    REFUSED("[runtime]\nthreads = 1\n[http]\nlisten = here\n", file, ":4:", "http.listen", "here",
            "host:port");
}

Test(httpd, a_missing_file_is_refused)
{
    static const char *const args[] = {"--config", "/nonexistent/httpd.ini", NULL};

    cr_assert_neq(run_program(path_of("CORVID_HTTPD"), args, out, err), 0);
    cr_expect_not_null(strstr(err, "/nonexistent/httpd.ini"));
    cr_expect_eq(strchr(err, '\n'), err + strlen(err) - 1);
}

Test(httpd, a_port_in_use_is_refused)
{
    struct program other = launch_httpd(NULL);
    char text[128], listen[64];

    snprintf(listen, sizeof listen, "127.0.0.1:%d", other.port);
    snprintf(text, sizeof text, "[http]\nlisten = %s\n", listen);
    REFUSED(text, file, ":2:", "http.listen", listen, "in use");
    cr_assert_eq(terminate(&other, NULL), 0);
}

Test(httpd, indented_lines_mean_what_they_say)
{
    const char *const args[] = {"--config", file, "--print-config", NULL};

    write_file("  [runtime]\n\tthreads = 3\n    grace = 7s\n");
    cr_assert_eq(run_program(path_of("CORVID_HTTPD"), args, out, err), 0, "%s", err);
    cr_expect_not_null(strstr(out, "threads = 3"));
    cr_expect_not_null(strstr(out, "grace = 7s"));
}

Test(httpd, the_file_decides_how_many_workers_run)
{
    const char *const args[] = {"--config", file, NULL};
    struct program httpd;
    char line[512];

    write_file("[runtime]\nthreads = 3\n[http]\nlisten = 127.0.0.1:0\n");
    httpd = launch(path_of("CORVID_HTTPD"), args);
    read_text(httpd.err, line, sizeof line, false);
    cr_expect_not_null(strstr(line, ", 3 workers\n"), "%s", line);
    cr_assert_eq(terminate(&httpd, NULL), 0);
}

Test(httpd, the_shipped_file_is_good)
{
    char shipped[4096];
    const char *const args[] = {"--config", shipped, "--check-config", NULL};

    snprintf(shipped, sizeof shipped, "%s/apps/httpd/httpd.ini", path_of("CORVID_SOURCE"));
    cr_assert_eq(run_program(path_of("CORVID_HTTPD"), args, out, err), 0, "%s", err);
}

Test(httpd, what_is_printed_as_configuration_is_one)
{
    static const char *const print[] = {"--set", "runtime.threads=5", "--print-config", NULL};
    const char *const check[] = {"--config", file, "--print-config", NULL};
    static char printed[TEXT_MAX];

    cr_assert_eq(run_program(path_of("CORVID_HTTPD"), print, printed, err), 0, "%s", err);
    cr_expect_not_null(strstr(printed, "[pool.upstream]"));
    cr_expect_not_null(strstr(printed, "threads = 5"));
    write_file(printed);
    cr_assert_eq(run_program(path_of("CORVID_HTTPD"), check, out, err), 0, "%s", err);
    cr_expect_str_eq(out, printed);
}

Test(httpd, help_and_version_are_told)
{
    static const char *const help[] = {"--help", NULL};
    static const char *const version[] = {"--version", NULL};

    cr_assert_eq(run_program(path_of("CORVID_HTTPD"), help, out, err), 0);
    cr_expect_not_null(strstr(out, "--config"));
    cr_assert_eq(run_program(path_of("CORVID_HTTPD"), version, out, err), 0);
    cr_expect_not_null(strstr(out, "0.1.0"));
}
