/* SPDX-License-Identifier: MIT */
/* tests/netio/test_processrun.c - programs run from start to end, with input, output and limits. */
#include "netio/folder.h"
#include <co/group.h>
#include <co/process.h>
#include <signal.h>
#include <sys/wait.h>

TestSuite(processrun, .timeout = 60, .init = make_folder, .fini = remove_folder);

#define SHELL(text) ((const char *[]){"/bin/sh", "-c", text, NULL})

enum { MUCH = 10000000 };

static bool childless(void)
{
    return waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD;
}

static bool is(const char *data, size_t len, const char *wanted)
{
    return len == strlen(wanted) && data && strcmp(data, wanted) == 0;
}

static int run_simply(void *arg)
{
    struct co_process_output got;
    int before = descriptors();

    (void)arg;
    CHECK(co_process_run(NULL, SHELL("echo out; echo err >&2; exit 5"), NULL, 0, 100, &got) == 5);
    CHECK(is(got.out, got.out_len, "out\n") && is(got.err, got.err_len, "err\n"));
    co_process_output_free(&got);
    CHECK(got.out == NULL && got.out_len == 0);
    co_process_output_free(&got);
    co_process_output_free(NULL);
    CHECK(co_process_run(NULL, (const char *[]){"cat", NULL}, "in", 2, 2, &got) == 0);
    CHECK(is(got.out, got.out_len, "in") && is(got.err, got.err_len, ""));
    co_process_output_free(&got);
    CHECK(co_process_run(NULL, (const char *[]){"cat", NULL}, NULL, 0, 0, &got) == 0);
    CHECK(is(got.out, got.out_len, "") && is(got.err, got.err_len, "")); /* and no input */
    co_process_output_free(&got);
    CHECK(co_process_run(NULL, SHELL("kill -INT $$"), NULL, 0, 0, &got) ==
          CO_PROCESS_KILLED + SIGINT);
    co_process_output_free(&got);
    CHECK(co_process_run(NULL, SHELL("exec >&- 2>&-; exit 4"), NULL, 0, 0, &got) == 4);
    co_process_output_free(&got);
    CHECK(childless() && descriptors() == before);
    return 0;
}

Test(processrun, gives_input_and_collects_output)
{
    run_on(1, run_simply, NULL);
    run_on(3, run_simply, NULL);
}

Test(processrun, gives_input_and_collects_output_under_chaos)
{
    (void)setenv("CO_CHAOS", "13", 1);
    run_on(3, run_simply, NULL);
}

static int run_with_options(void *arg)
{
    const struct co_process_opts merged = {.err = CO_PROCESS_OUT, .own_group = 1};
    const struct co_process_opts to_file = {.in = CO_PROCESS_PIPE, .out = CO_PROCESS_NULL};
    struct co_process_output got;

    (void)arg;
    CHECK(co_process_run(&merged, SHELL("echo a; echo b >&2; echo c"), NULL, 0, 100, &got) == 0);
    CHECK(is(got.out, got.out_len, "a\nb\nc\n") && is(got.err, got.err_len, ""));
    co_process_output_free(&got);
    CHECK(co_process_run(&to_file, SHELL("cat; echo x; echo y >&2"), NULL, 0, 9, &got) == 0);
    CHECK(is(got.out, got.out_len, "") && is(got.err, got.err_len, "y\n"));
    co_process_output_free(&got);
    return 0;
}

Test(processrun, takes_the_options_of_a_start)
{
    run_on(1, run_with_options, NULL);
}

static int run_much(void *arg)
{
    struct co_process_output got;
    char *data = some_bytes(MUCH, 9);
    int before = descriptors();
    int64_t same = 0;

    (void)arg;
    CHECK(co_process_run(NULL,
                         SHELL("head -c 10000000 /dev/zero & head -c 10000000 /dev/zero >&2; wait"),
                         NULL, 0, MUCH, &got) == 0);
    CHECK(got.out_len == MUCH && got.err_len == MUCH);
    co_process_output_free(&got);
    CHECK(co_process_run(NULL, SHELL("tee /dev/stderr"), data, MUCH, MUCH, &got) == 0);
    CHECK(got.out_len == MUCH && got.err_len == MUCH);
    same += memcmp(got.out, data, MUCH) == 0;
    same += memcmp(got.err, data, MUCH) == 0;
    CHECK(same == 2);
    co_process_output_free(&got);
    free(data);
    CHECK(childless() && descriptors() == before);
    return 0;
}

Test(processrun, ten_megabytes_in_and_out_at_once_do_not_wait_for_each_other)
{
    run_on(1, run_much, NULL);
    run_on(2, run_much, NULL);
}

static int run_those_who_do_not_read(void *arg)
{
    struct co_process_output got;
    char *data = some_bytes(MUCH, 9);

    (void)arg;
    CHECK(co_process_run(NULL, SHELL("echo done"), data, MUCH, 100, &got) == 0);
    CHECK(is(got.out, got.out_len, "done\n"));
    co_process_output_free(&got);
    CHECK(co_process_run(NULL, SHELL("exec 0<&-; echo closed"), data, MUCH, 100, &got) == 0);
    CHECK(is(got.out, got.out_len, "closed\n"));
    co_process_output_free(&got);
    CHECK(co_process_run(NULL, SHELL("head -c 3; kill -TERM $$"), data, MUCH, 100, &got) ==
          CO_PROCESS_KILLED + SIGTERM);
    CHECK(got.out_len == 3 && memcmp(got.out, data, 3) == 0);
    co_process_output_free(&got);
    free(data);
    CHECK(childless());
    return 0;
}

Test(processrun, input_that_is_not_read_is_dropped)
{
    run_on(1, run_those_who_do_not_read, NULL);
}

static int run_a_parent(void *arg)
{
    struct co_process_output got;
    int before = descriptors();

    (void)arg;
    /* Both of those that stay hold the pipes; one writes all the time. They end by themselves when
     * the pipes are closed, or soon. */
    CHECK(co_process_run(NULL, SHELL("sleep 10 & echo here"), NULL, 0, 100, &got) == 0);
    CHECK(is(got.out, got.out_len, "here\n"));
    co_process_output_free(&got);
    CHECK(co_process_run(NULL, SHELL("yes & exit 6"), NULL, 0, 100 << 20, &got) == 6);
    co_process_output_free(&got);
    CHECK(descriptors() == before);
    return 0;
}

Test(processrun, its_end_does_not_wait_for_those_it_has_started)
{
    run_on(1, run_a_parent, NULL);
}

static int run_too_long(void *arg)
{
    struct co_process_output got = {.out_len = 77};
    int before = descriptors();

    (void)arg;
    CHECK(co_process_run(NULL, (const char *[]){"yes", NULL}, NULL, 0, 100000, &got) == -EFBIG);
    CHECK(co_process_run(NULL, SHELL("yes >&2"), NULL, 0, 100000, &got) == -EFBIG);
    CHECK(co_process_run(NULL, SHELL("printf abcd"), NULL, 0, 3, &got) == -EFBIG);
    CHECK(got.out_len == 77);
    CHECK(co_process_run(NULL, SHELL("printf abcd"), NULL, 0, 4, &got) == 0);
    CHECK(is(got.out, got.out_len, "abcd"));
    co_process_output_free(&got);
    CHECK(co_process_run(NULL, SHELL("printf abcd"), NULL, 0, SIZE_MAX, &got) == 0);
    co_process_output_free(&got);
    CHECK(co_process_run(NULL, (const char *[]){"/no/such", NULL}, "x", 1, 1, &got) == -ENOENT);
    {
        CO_DEADLINE(30 * CO_MS);
        CHECK(co_process_run(NULL, SHELL("cat >&2; sleep 1000"), "x", 1, 1, &got) == -ETIMEDOUT);
    }
    CHECK(childless() && descriptors() == before);
    return 0;
}

Test(processrun, one_that_writes_too_much_or_takes_too_long_is_killed)
{
    run_on(1, run_too_long, NULL);
    run_on(2, run_too_long, NULL);
}

static int run_cancelled(void *arg)
{
    struct co_process_output got;

    (void)arg;
    CHECK(co_process_run(NULL, (const char *[]){"sleep", "1000", NULL}, NULL, 0, 1, &got) ==
          -ECANCELED);
    return 0;
}

static int cancel(void *arg)
{
    int before = descriptors();

    (void)arg;
    {
        CO_GROUP(group);

        for (int i = 0; i < 5; i++)
            CHECK(co_group_go(&group, run_cancelled, NULL) == 0);
        CHECK(co_sleep(20 * CO_MS) == 0);
    } /* cancelled here, wherever they have come to */
    CHECK(childless() && descriptors() == before);
    return 0;
}

Test(processrun, a_cancelled_one_is_killed)
{
    run_on(1, cancel, NULL);
    run_on(3, cancel, NULL);
}

static int run_many(void *arg)
{
    struct co_process_output got;
    int ended = 0, refused = 0;

    (void)arg;
    while (ended + refused < fewer(60)) {
        int r = co_process_run(NULL, SHELL("cat; exit 3"), "text", 4, 4, &got);

        CHECK(r == 3 || r == -ENOMEM);
        refused += r < 0;
        if (r < 0)
            continue;
        CHECK(is(got.out, got.out_len, "text"));
        co_process_output_free(&got);
        ended++;
    }
    CHECK(childless());
    return 0;
}

Test(processrun, without_memory_for_the_pool_it_fails_and_leaves_nothing)
{
    run_scarce(2, run_many);
}
