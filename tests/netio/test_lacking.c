/* SPDX-License-Identifier: MIT */
/*
 * tests/netio/test_lacking.c - programs and files when a system call fails: as in test_faults.c,
 * the first call of a kind, then the second, until there is no n-th. Each run ends with right
 * results or the right error, and leaves no descriptor, block, program or file. (Calls that libuv
 * makes are not reached by this: test_file.c has files that are full, or too large.)
 */
#include "netio/folder.h"
#include "support/faults.h"
#include <co/dir.h>
#include <co/net.h>
#include <co/process.h>
#include <sys/wait.h>

TestSuite(lacking, .timeout = 120, .init = make_folder, .fini = remove_folder);

enum { BYTES = 30000 };

struct trial {
    enum faults_call call;
    int how;
    int also; /* another error that it may become */
};

static const char *input; /* of programs, and in files */

/* ---- what is done ---- */

static int run_cat(void)
{
    const char *argv[] = {"cat", NULL};
    struct co_process_output got;
    int r = co_process_run(NULL, argv, input, BYTES, BYTES, &got);

    if (r < 0)
        return r;
    CHECK(r == 0 && got.out_len == BYTES && memcmp(got.out, input, BYTES) == 0);
    CHECK(got.err_len == 0);
    co_process_output_free(&got);
    return 0;
}

static int talk_to_cat(void)
{
    const char *argv[] = {"cat", NULL};
    const struct co_process_opts opts = {
        .in = CO_PROCESS_PIPE, .out = CO_PROCESS_PIPE, .err = CO_PROCESS_NULL, .own_group = 1};
    char back[BYTES];
    ssize_t n;
    CO_PROCESS(cat);
    int r = co_process_start(&cat, &opts, argv);

    if (r < 0)
        return r;
    for (int i = 0; i < 3; i++) {
        const struct iovec pieces[] = {
            {(void *)(uintptr_t)input, 400},
            {(void *)(uintptr_t)(input + 400), 600}}; /* iovec has no const */

        n = i == 1 ? co_sendv(cat.in, pieces, 2) : co_send(cat.in, input, 1000);
        if (n >= 0)
            n = co_recvn(cat.out, back, 1000);
        if (n < 0)
            return (int)n;
        CHECK(n == 1000 && memcmp(back, input, 1000) == 0);
    }
    (void)co_close(co_fd_take(&cat.in));
    n = co_recv(cat.out, back, 1);
    if (n < 0)
        return (int)n;
    r = co_process_wait(&cat);
    CHECK(n == 0 && r <= 0);
    return r;
}

static int use_files(void)
{
    struct co_dir_entry entry;
    char path[512], *data = NULL, back[1000];
    int found = 0;
    ssize_t n;

    (void)snprintf(path, sizeof path, "%s/a", folder);
    n = co_file_store(NULL, path, input, BYTES);
    if (n == 0)
        n = co_file_load(path, BYTES, &data);
    if (n < 0)
        return (int)n;
    CHECK(n == BYTES && data && memcmp(data, input, BYTES) == 0);
    free(data);
    CO_FILE(fd, co_file_open(path, O_RDONLY, 0));
    n = fd < 0 ? fd : co_file_read(fd, back, sizeof back, 5);
    if (n < 0)
        return (int)n;
    CHECK(n == sizeof back && memcmp(back, input + 5, sizeof back) == 0);
    CO_DIR(dir, folder);
    while ((n = co_dir_next(&dir, &entry)) > 0)
        found++;
    CHECK(n < 0 || found == 1);
    return (int)n;
}

static int do_all(void *arg)
{
    int (*const deeds[])(void) = {run_cat, talk_to_cat, use_files};
    int r = 0;

    (void)arg;
    for (size_t i = 0; i < sizeof deeds / sizeof *deeds && r >= 0; i++) {
        CO_DEADLINE(20 * CO_SEC);
        r = deeds[i]();
    }
    return r;
}

/* ---- trials ---- */

/* One run of a runtime. Returns: how many calls have failed. */
static int run_once(const struct trial *trial, int n, bool seen)
{
    const struct faults_plan plan = {.call = trial->call, .nth = n, .how = trial->how};
    struct co_conf conf = settings(2);
    int before = descriptors(), acted, r;
    int64_t blocks = faults_blocks();
    bool right;

    faults_arm(&plan);
    r = run_conf(&conf, do_all, NULL);
    acted = faults_disarm();
    right = r == 0 || (seen && acted && (r == -trial->how || (trial->also && r == trial->also)));
    cr_assert(right, "%s %d: call %d: %d", faults_name(trial->call), trial->how, n, r);
    cr_assert_eq(descriptors(), before, "%s %d: call %d: %d descriptors, %d before",
                 faults_name(trial->call), trial->how, n, descriptors(), before);
    cr_assert_eq(faults_blocks(), blocks, "%s %d: call %d: %lld blocks, %lld before",
                 faults_name(trial->call), trial->how, n, (long long)faults_blocks(),
                 (long long)blocks);
    cr_assert(waitpid(-1, NULL, WNOHANG) < 0, "%s %d: call %d: a program was left",
              faults_name(trial->call), trial->how, n);
    cr_assert_leq(names_in_folder(), 1, "%s %d: call %d: a file was left", faults_name(trial->call),
                  trial->how, n);
    return acted;
}

static void try_each(const struct trial *trials, size_t count, bool seen)
{
    input = some_bytes(BYTES, 1);
    run_on(2, do_all, NULL); /* makes what is kept for life */
    for (size_t i = 0; i < count; i++) {
        int n = 1;

        while (run_once(&trials[i], n, seen) > 0)
            n++;
        cr_assert_gt(n, 1, "no call of %s", faults_name(trials[i].call));
    }
}

#define TRY_EACH(trials, seen) try_each(trials, sizeof(trials) / sizeof *(trials), seen)

Test(lacking, what_delays_or_divides_a_call_is_not_seen)
{
    static const struct trial trials[] = {
        {FAULTS_READ, EINTR, 0},    {FAULTS_READ, EAGAIN, 0},         {FAULTS_WRITE, EINTR, 0},
        {FAULTS_WRITE, EAGAIN, 0},  {FAULTS_WRITE, FAULTS_SHORT, 0},  {FAULTS_WRITEV, EINTR, 0},
        {FAULTS_WRITEV, EAGAIN, 0}, {FAULTS_WRITEV, FAULTS_SHORT, 0}, {FAULTS_WAITID, EINTR, 0},
        {FAULTS_POLL, EINTR, 0},    {FAULTS_CLOSE, EINTR, 0},         {FAULTS_CLOSE, EIO, 0},
    };

    TRY_EACH(trials, false);
}

Test(lacking, who_starts_a_program_is_told_what_has_failed)
{
    static const struct trial trials[] = {
        {FAULTS_PIPE, EMFILE, 0},  {FAULTS_PIPE, ENFILE, 0},  {FAULTS_SPAWN, ENOMEM, 0},
        {FAULTS_SPAWN, EAGAIN, 0}, {FAULTS_SPAWN, ENOENT, 0}, {FAULTS_PIDFD, EMFILE, 0},
        {FAULTS_PIDFD, ENOSYS, 0}, {FAULTS_FCNTL, EMFILE, 0}, {FAULTS_READ, EIO, 0},
        {FAULTS_WRITEV, EPIPE, 0}, {FAULTS_POLL, ENOMEM, 0},
    };

    TRY_EACH(trials, true);
}

/* Some of these calls are those that start a runtime. */
Test(lacking, who_runs_out_of_memory_is_told_so)
{
    static const struct trial trials[] = {
        {FAULTS_EPOLL_ADD, ENOSPC, 0},
        {FAULTS_EPOLL_MOD, ENOMEM, 0},
        {FAULTS_MALLOC, ENOMEM, 0},
        {FAULTS_THREAD, EAGAIN, -ENOMEM},
    };

    TRY_EACH(trials, true);
}
