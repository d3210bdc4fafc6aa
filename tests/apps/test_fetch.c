/* SPDX-License-Identifier: MIT */
/* tests/apps/test_fetch.c - libcurl in a coroutine, fetching from httpd. */
#include "program.h"

TestSuite(fetch, .timeout = 60);

static char out[TEXT_MAX], err[TEXT_MAX];

static int fetch(const char *const *urls)
{
    return run_program(path_of("CORVID_FETCH"), urls, out, err);
}

Test(fetch, gets_several_pages_at_once)
{
    struct program httpd = launch_httpd((const char *[]){NULL});
    char urls[8][64];
    const char *args[9] = {NULL};
    int lines = 0;

    for (int i = 0; i < 8; i++) {
        (void)snprintf(urls[i], sizeof urls[i], "http://127.0.0.1:%d/hello/%.*s", httpd.port, i + 1,
                       "abcdefgh");
        args[i] = urls[i];
    }
    cr_assert_eq(fetch(args), 0, "%s", err);
    for (int i = 0; i < 8; i++) {
        char line[600];

        (void)snprintf(line, sizeof line, "%s 200 %d\n", urls[i], i + 1 + 9);
        cr_expect_not_null(strstr(out, line), "%s", line);
    }
    for (const char *c = out; *c; c++)
        lines += *c == '\n';
    cr_expect_eq(lines, 8);
    cr_expect_str_eq(err, "");
    cr_assert_eq(terminate(&httpd, NULL), 0);
}

Test(fetch, says_what_went_wrong)
{
    const char *const args[] = {"http://127.0.0.1:1/", "nonsense://x/", NULL};

    cr_expect_eq(fetch(args), 1);
    cr_expect_str_eq(out, "");
    cr_expect_not_null(strstr(err, "127.0.0.1:1/"));
    cr_expect_not_null(strstr(err, "nonsense"));
}
