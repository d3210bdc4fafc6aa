/* SPDX-License-Identifier: MIT */
/* tests/netio/test_process.c - programs: started, talked to, waited for, killed, nothing left. */
#include <co/process.h>

#include "netio/folder.h"
#include "netio/world.h"
#include <co/file.h>
#include <co/group.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

TestSuite(process, .timeout = 60, .init = make_folder, .fini = remove_folder);

static _Atomic int count;

#define SHELL(text) ((const char *[]){"/bin/sh", "-c", text, NULL})

/* All that comes, as a string, at most 64 KiB - 1. */
static const char *all_of(int fd)
{
    static char text[65536];
    ssize_t n = co_recvn(fd, text, sizeof text - 1);

    text[n < 0 ? 0 : n] = '\0';
    return n < 0 ? co_strerror((int)n) : text;
}

/* Whether this process has no child, dead or alive. */
static bool childless(void)
{
    return waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD;
}

/* ---- starting and ending ---- */

static int end_of(const char *const *argv)
{
    CO_PROCESS(p);
    int r = co_process_start(&p, NULL, argv);

    if (r < 0)
        return r;
    CHECK(p.in == -1 && p.out == -1 && p.err == -1 && p.pid > 1);
    r = co_process_wait(&p);
    CHECK(co_process_wait(&p) == r); /* once more: the same */
    return r;
}

static int end_in_all_ways(void *arg)
{
    int before = descriptors();

    (void)arg;
    CHECK(end_of((const char *[]){"true", NULL}) == 0);
    CHECK(end_of((const char *[]){"false", NULL}) == 1);
    CHECK(end_of(SHELL("exit 42")) == 42 && end_of(SHELL("exit 255")) == 255);
    CHECK(end_of(SHELL("kill -TERM $$")) == CO_PROCESS_KILLED + SIGTERM);
    CHECK(end_of(SHELL("kill -KILL $$")) == CO_PROCESS_KILLED + SIGKILL);
    CHECK(childless() && descriptors() == before);
    return 0;
}

Test(process, its_end_is_told_by_status_or_signal)
{
    run_on(1, end_in_all_ways, NULL);
    run_on(3, end_in_all_ways, NULL);
}

static int start_in_vain(void *arg)
{
    int before = descriptors();
    struct co_process_opts opts = {.in = CO_PROCESS_PIPE, .out = CO_PROCESS_PIPE};
    char *long_text = malloc(4 << 20);
    CO_PROCESS(p);

    (void)arg;
    (void)memset(long_text, 'x', (4 << 20) - 1);
    long_text[(4 << 20) - 1] = '\0';
    put_file("plain", "no program", 10);
    put_file("broken", "#!/nothing/interpreter\n", 23);
    CHECK(chmod(in_folder("broken"), 0755) == 0);
    CHECK(co_process_start(&p, &opts, NULL) == -EINVAL);
    CHECK(co_process_start(&p, &opts, (const char *[]){NULL}) == -EINVAL);
    CHECK(co_process_start(&p, &opts, (const char *[]){"", NULL}) == -ENOENT);
    CHECK(co_process_start(&p, &opts, (const char *[]){"corvid-no-such", NULL}) == -ENOENT);
    CHECK(co_process_start(&p, &opts, (const char *[]){"/no/such", NULL}) == -ENOENT);
    CHECK(co_process_start(&p, &opts, (const char *[]){in_folder("plain"), NULL}) == -EACCES);
    CHECK(co_process_start(&p, &opts, (const char *[]){in_folder("broken"), NULL}) == -ENOENT);
    CHECK(co_process_start(&p, &opts, (const char *[]){folder, NULL}) == -EACCES);
    CHECK(chmod(in_folder("plain"), 0755) == 0);
    CHECK(co_process_start(&p, &opts, (const char *[]){in_folder("plain"), NULL}) == -ENOEXEC);
    CHECK(co_process_start(&p, &opts, (const char *[]){"true", long_text, NULL}) == -E2BIG);
    opts.cwd = "/no/such";
    CHECK(co_process_start(&p, &opts, (const char *[]){"true", NULL}) == -ENOENT);
    opts.cwd = NULL;
    opts.err = 9999;
    CHECK(co_process_start(&p, &opts, (const char *[]){"true", NULL}) == -EBADF);
    opts.err = -4;
    CHECK(co_process_start(&p, &opts, (const char *[]){"true", NULL}) == -EINVAL);
    opts = (struct co_process_opts){.in = CO_PROCESS_OUT};
    CHECK(co_process_start(&p, &opts, (const char *[]){"true", NULL}) == -EINVAL);
    CHECK(p.pid == 0 && p.in == -1 && p.out == -1);
    CHECK(co_process_wait(&p) == -ESRCH && co_process_kill(&p, SIGTERM) == -ESRCH);
    CHECK(co_process_close(&p) == 0 && co_process_close(NULL) == 0);
    CHECK(childless() && descriptors() == before);
    free(long_text);
    return 0;
}

Test(process, one_that_cannot_be_started_says_why_and_leaves_nothing)
{
    run_on(1, start_in_vain, NULL);
}

static int misuse(void *arg)
{
    CO_PROCESS(p);

    (void)arg;
    CHECK(co_process_start(&p, NULL, (const char *[]){"sleep", "1000", NULL}) == 0);
    CHECK(co_process_start(&p, NULL, (const char *[]){"true", NULL}) == -EBUSY);
    CHECK(co_process_kill(&p, 12345) == -EINVAL && co_process_kill(&p, 0) == 0);
    CHECK(co_process_kill(&p, SIGUSR1) == 0);
    CHECK(co_process_wait(&p) == CO_PROCESS_KILLED + SIGUSR1);
    CHECK(co_process_kill(&p, SIGTERM) == -ESRCH);
    CHECK(co_process_close(&p) == CO_PROCESS_KILLED + SIGUSR1);
    CHECK(co_process_close(&p) == 0); /* once more: nothing to do */
    CHECK(co_process_wait(&p) == -ESRCH && childless());
    CHECK(co_process_start(&p, NULL, (const char *[]){"true", NULL}) == 0); /* used again */
    CHECK(co_process_wait(&p) == 0);
    return 0;
}

Test(process, is_started_once_and_signalled_while_it_is_there)
{
    struct co_process p = CO_PROCESS_INIT;
    struct co_process_output output;
    const char *argv[] = {"true", NULL};

    run_on(1, misuse, NULL);
    cr_assert_eq(co_process_start(&p, NULL, argv), -EPERM);
    cr_assert_eq(co_process_run(NULL, argv, NULL, 0, 1, &output), -EPERM);
}

/* ---- what a program gets ---- */

static int talk(void *arg)
{
    const struct co_process_opts opts = {.in = CO_PROCESS_PIPE, .out = CO_PROCESS_PIPE};
    char buf[16];
    CO_PROCESS(p);

    (void)arg;
    CHECK(co_process_start(&p, &opts, (const char *[]){"cat", NULL}) == 0);
    CHECK(p.err == -1 && fcntl(p.in, F_GETFD) == FD_CLOEXEC && fcntl(p.out, F_GETFD) == FD_CLOEXEC);
    for (int i = 0; i < 3; i++) {
        CHECK(co_send(p.in, "hello", 5) == 5);
        CHECK(co_recvn(p.out, buf, 5) == 5 && memcmp(buf, "hello", 5) == 0);
    }
    {
        CO_DEADLINE(5 * CO_MS);
        CHECK(co_recv(p.out, buf, 1) == -ETIMEDOUT);
    }
    CHECK(co_close(co_fd_take(&p.in)) == 0);
    CHECK(co_recv(p.out, buf, 1) == 0 && co_process_wait(&p) == 0);
    return 0;
}

Test(process, is_talked_to_by_pipes)
{
    run_on(1, talk, NULL);
    run_on(3, talk, NULL);
}

Test(process, is_talked_to_by_pipes_under_chaos)
{
    (void)setenv("CO_CHAOS", "7", 1);
    run_on(3, talk, NULL);
}

/* What a program writes to its output, with options. */
static const char *said(const struct co_process_opts *with, const char *const *argv)
{
    struct co_process_opts opts = *with;
    const char *text;
    CO_PROCESS(p);

    opts.out = CO_PROCESS_PIPE;
    CHECK(co_process_start(&p, &opts, argv) == 0);
    if (p.watch < 0)
        return "";
    text = all_of(p.out);
    CHECK(co_process_wait(&p) == 0);
    return text;
}

static int look_around(void *arg)
{
    const char *const env[] = {"A=1", "B=two words", NULL};
    const struct co_process_opts plain = {.in = CO_PROCESS_NULL}, with_env = {.env = env};
    const struct co_process_opts elsewhere = {.cwd = folder}, merged = {.err = CO_PROCESS_OUT};
    char line[80];

    (void)arg;
    (void)setenv("CORVID_TEST_ENV", "inherited", 1);
    CHECK(strcmp(said(&plain, SHELL("echo $CORVID_TEST_ENV; cat")), "inherited\n") == 0);
    CHECK(strcmp(said(&with_env, (const char *[]){"env", NULL}), "A=1\nB=two words\n") == 0);
    (void)snprintf(line, sizeof line, "%s\n", folder);
    CHECK(strcmp(said(&elsewhere, (const char *[]){"/bin/pwd", NULL}), line) == 0);
    CHECK(strcmp(said(&merged, SHELL("echo a; echo b >&2; echo c")), "a\nb\nc\n") == 0);
    CHECK(strcmp(said(&plain, (const char *[]){"printf", "%s|", "a b", "", "c", NULL}),
                 "a b||c|") == 0);
    return 0;
}

Test(process, gets_arguments_environment_and_folder)
{
    run_on(1, look_around, NULL);
}

static int list_descriptors(void *arg)
{
    const struct co_process_opts opts = {.in = CO_PROCESS_PIPE, .err = CO_PROCESS_PIPE};
    int leak = open("/dev/null", O_RDONLY); /* somebody forgot O_CLOEXEC */
    struct pair pair = make_pair();

    (void)arg;
    /* 3 is the folder that ls reads. */
    CHECK(strcmp(said(&opts, (const char *[]){"ls", "/proc/self/fd", NULL}), "0\n1\n2\n3\n") == 0);
    close_pair(&pair);
    CHECK(close(leak) == 0);
    return 0;
}

Test(process, gets_no_descriptors_but_three)
{
    run_on(1, list_descriptors, NULL);
}

/* A line of /proc/self/status, less the two signals that are glibc's own. */
static unsigned long long signals_in(const char *text, const char *name)
{
    const char *line = strstr(text, name);

    return line ? strtoull(line + strlen(name), NULL, 16) & ~0x180000000ULL : 1;
}

static int look_at_signals(void *arg)
{
    const struct co_process_opts plain = {.in = CO_PROCESS_NULL};
    const char *status = said(&plain, (const char *[]){"cat", "/proc/self/status", NULL});

    (void)arg;
    CHECK(signals_in(status, "\nSigBlk:") == 0 && signals_in(status, "\nSigIgn:") == 0);
    CHECK(end_of(SHELL("kill -PIPE $$")) == CO_PROCESS_KILLED + SIGPIPE);
    return 0;
}

Test(process, no_signal_is_blocked_or_ignored_in_it)
{
    sigset_t some;

    (void)sigemptyset(&some);
    (void)sigaddset(&some, SIGUSR2);
    (void)pthread_sigmask(SIG_BLOCK, &some, NULL);
    (void)signal(SIGHUP, SIG_IGN);
    run_on(1, look_at_signals, NULL);
}

static int pass_descriptors(void *arg)
{
    CO_FILE(in, co_file_open(in_folder("in"), O_RDONLY, 0));
    CO_FILE(out, co_file_open(in_folder("out"), O_WRONLY | O_CREAT, 0600));
    struct co_process_opts opts = {.in = in, .out = out, .err = out};
    CO_PROCESS(p);

    (void)arg;
    CHECK(in > 2 && out > 2);
    CHECK(co_process_start(&p, &opts, SHELL("cat; echo from err >&2")) == 0);
    CHECK(p.in == -1 && p.out == -1 && p.err == -1);
    CHECK(co_process_wait(&p) == 0 && holds("out", "input\nfrom err\n", 15));
    return 0;
}

Test(process, gets_descriptors_of_the_caller)
{
    put_file("in", "input\n", 6);
    run_on(1, pass_descriptors, NULL);
}

/* The numbers that a program gets are free here, so pipes, or what stands for them, get these. */
static int start_without_descriptors(void *arg)
{
    const struct co_process_opts opts = {.in = CO_PROCESS_PIPE, .err = CO_PROCESS_NULL};
    int saved[3];
    bool right;

    (void)arg;
    for (int i = 0; i < 3; i++) {
        saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 100);
        CHECK(saved[i] >= 100 && close(i) == 0);
    }
    right = strcmp(said(&opts, (const char *[]){"ls", "/proc/self/fd", NULL}), "0\n1\n2\n3\n") == 0;
    for (int i = 0; i < 3; i++)
        CHECK(dup2(saved[i], i) == i && close(saved[i]) == 0);
    CHECK(right);
    return 0;
}

Test(process, is_started_rightly_by_one_that_has_closed_its_own_three)
{
    run_on(1, start_without_descriptors, NULL);
}

/* ---- waiting and ending ---- */

static int wait_for(void *arg)
{
    int r = co_process_wait(arg);

    atomic_fetch_add(&count, 1);
    return r < 0 ? r : 0;
}

static int wait_twice(void *arg)
{
    const struct co_process_opts opts = {.in = CO_PROCESS_PIPE};
    CO_PROCESS(p);
    CO_GROUP(group);

    (void)arg;
    atomic_store(&count, 0);
    CHECK(co_process_start(&p, &opts, (const char *[]){"cat", NULL}) == 0);
    CHECK(co_group_go(&group, wait_for, &p) == 0);
    let_wait();
    CHECK(co_process_wait(&p) == -EBUSY);
    CHECK(co_close(co_fd_take(&p.in)) == 0);
    CHECK(co_group_wait(&group) == 0 && atomic_load(&count) == 1 && co_process_wait(&p) == 0);
    return 0;
}

Test(process, only_one_waits_at_a_time)
{
    run_on(1, wait_twice, NULL);
}

static int be_cancelled(void *arg)
{
    CO_PROCESS(p);

    CHECK(co_process_start(&p, NULL, (const char *[]){"sleep", "1000", NULL}) == 0);
    CHECK(co_group_go(arg, wait_for, &p) == 0);
    let_wait();
    co_group_cancel(arg);
    until(&count, 1); /* the other one has been told */
    CHECK(co_process_wait(&p) == -ECANCELED);
    CHECK(co_process_start(&(struct co_process)CO_PROCESS_INIT, NULL, SHELL("true")) == -ECANCELED);
    CHECK(co_process_close(&p) == CO_PROCESS_KILLED + SIGKILL);
    return 0;
}

static int give_up(void *arg)
{
    (void)arg;
    atomic_store(&count, 0);
    {
        CO_PROCESS(p);

        CHECK(co_process_start(&p, NULL, (const char *[]){"sleep", "1000", NULL}) == 0);
        CO_DEADLINE(5 * CO_MS);
        CHECK(co_process_wait(&p) == -ETIMEDOUT && co_process_kill(&p, 0) == 0);
        CHECK(co_process_start(&(struct co_process)CO_PROCESS_INIT, NULL, SHELL("true")) ==
              -ETIMEDOUT);
    }
    CHECK(childless());
    CO_GROUP(group);
    CHECK(co_group_go(&group, be_cancelled, &group) == 0);
    (void)!co_group_wait(&group);
    CHECK(childless());
    return 0;
}

Test(process, a_wait_ends_by_deadline_and_cancel_and_the_block_kills)
{
    run_on(1, give_up, NULL);
    run_on(2, give_up, NULL);
}

static int ignore_sigterm(void *arg)
{
    const struct co_process_opts opts = {.out = CO_PROCESS_PIPE};
    char byte;
    CO_PROCESS(p);

    (void)arg;
    CHECK(co_process_start(&p, &opts, SHELL("trap '' TERM; echo; while :; do sleep 0.01; done")) ==
          0);
    CHECK(co_recv(p.out, &byte, 1) == 1); /* it has come so far */
    CHECK(co_process_kill(&p, SIGTERM) == 0);
    {
        CO_DEADLINE(50 * CO_MS);
        CHECK(co_process_wait(&p) == -ETIMEDOUT);
    }
    CHECK(co_process_close(&p) == CO_PROCESS_KILLED + SIGKILL && childless());
    return 0;
}

Test(process, one_that_ignores_sigterm_is_killed_at_the_end)
{
    run_on(1, ignore_sigterm, NULL);
}

static int leave_a_grandchild(void *arg)
{
    const struct co_process_opts opts = {.in = CO_PROCESS_PIPE, .out = CO_PROCESS_PIPE};
    char byte;
    CO_PROCESS(p);

    (void)arg;
    /* It holds both pipes until its input ends. */
    CHECK(co_process_start(&p, &opts, SHELL("exec 3<&0; (cat <&3; echo bye) & exit 3")) == 0);
    CHECK(co_process_wait(&p) == 3);
    {
        CO_DEADLINE(5 * CO_MS);
        CHECK(co_recv(p.out, &byte, 1) == -ETIMEDOUT); /* no end yet */
    }
    CHECK(co_close(co_fd_take(&p.in)) == 0);
    CHECK(strcmp(all_of(p.out), "bye\n") == 0);
    return 0;
}

Test(process, its_end_does_not_wait_for_those_it_has_started)
{
    run_on(1, leave_a_grandchild, NULL);
}

static int end_a_group(void *arg)
{
    const struct co_process_opts opts = {
        .in = CO_PROCESS_NULL, .out = CO_PROCESS_PIPE, .own_group = 1};
    char byte;
    int out;

    (void)arg;
    for (int how = 0; how < 3; how++) {
        CO_PROCESS(p);

        CHECK(co_process_start(&p, &opts, SHELL("sleep 1000 & echo; test $0 = x || wait")) == 0);
        CHECK(getpgid(p.pid) == p.pid && co_recv(p.out, &byte, 1) == 1);
        out = co_fd_take(&p.out);
        if (how == 0) { /* by a signal to all */
            CHECK(co_process_kill(&p, SIGTERM) == 0);
            CHECK(co_process_wait(&p) == CO_PROCESS_KILLED + SIGTERM);
            CHECK(co_process_kill(&p, 0) == 0); /* its number is kept, so this hits no stranger */
        } else if (how == 1) {
            CHECK(co_process_close(&p) == CO_PROCESS_KILLED + SIGKILL);
        }
        if (how < 2) {
            CHECK(co_recv(out, &byte, 1) == 0); /* nobody holds it any more */
            CHECK(co_close(out) == 0);
        }
    }
    CHECK(co_recv(out, &byte, 1) == 0 && co_close(out) == 0 && childless());
    return 0;
}

Test(process, a_group_of_its_own_ends_as_a_whole)
{
    run_on(1, end_a_group, NULL);
}

static int leave_and_end_the_rest(void *arg)
{
    const struct co_process_opts opts = {.out = CO_PROCESS_PIPE, .own_group = 1};
    char byte;
    int out;
    CO_PROCESS(p);

    (void)arg;
    CHECK(co_process_start(&p, &opts, SHELL("sleep 1000 & exit 7")) == 0);
    CHECK(co_process_wait(&p) == 7 && co_process_wait(&p) == 7);
    out = co_fd_take(&p.out);
    CHECK(co_process_close(&p) == 7 && childless());
    CHECK(co_recv(out, &byte, 1) == 0 && co_close(out) == 0);
    return 0;
}

Test(process, what_an_ended_one_has_left_in_its_group_is_killed)
{
    run_on(1, leave_and_end_the_rest, NULL);
}

static int never_read(void *arg)
{
    const struct co_process_opts opts = {.in = CO_PROCESS_PIPE};
    static char much[1 << 20];
    CO_PROCESS(p);

    (void)arg;
    CHECK(co_process_start(&p, &opts, (const char *[]){"sleep", "1000", NULL}) == 0);
    {
        CO_DEADLINE(20 * CO_MS);
        CHECK(co_send(p.in, much, sizeof much) == -ETIMEDOUT);
    }
    CHECK(co_process_close(&p) == CO_PROCESS_KILLED + SIGKILL);
    CHECK(co_process_start(&p, &opts, SHELL("exec 0<&-; exec sleep 1000")) == 0);
    CHECK(co_send(p.in, much, sizeof much) == -EPIPE); /* it has closed its input */
    return 0;
}

Test(process, one_that_does_not_read_holds_nobody_up_for_ever)
{
    run_on(1, never_read, NULL);
}

static int take_from_the_table(void *arg)
{
    CO_PROCESS(p);

    (void)arg;
    CHECK(co_process_start(&p, NULL, (const char *[]){"true", NULL}) == 0);
    while (waitpid(p.pid, NULL, 0) < 0 && errno == EINTR) /* somebody else's waitpid(-1) */
        continue;
    CHECK(co_process_wait(&p) == -ECHILD && co_process_close(&p) == -ECHILD);
    return 0;
}

Test(process, one_that_others_have_waited_for_is_told_as_lost)
{
    run_on(1, take_from_the_table, NULL);
}

static int start_true(void *arg)
{
    struct co_process_output output;

    (void)arg;
    CHECK(co_process_run(NULL, SHELL("true"), NULL, 0, 0, &output) == -ECHILD);
    return 0;
}

Test(process, where_sigchld_is_ignored_none_is_started)
{
    (void)signal(SIGCHLD, SIG_IGN);
    run_on(1, start_true, NULL);
    (void)signal(SIGCHLD, SIG_DFL);
}

static int close_off(void *arg)
{
    return co_process_close(arg);
}

static int close_elsewhere(void *arg)
{
    struct co_process p = CO_PROCESS_INIT;
    int r = 0;

    (void)arg;
    CHECK(co_process_start(&p, NULL, (const char *[]){"sleep", "1000", NULL}) == 0);
    CHECK(co_offload(close_off, &p, &r) == 0 && r == CO_PROCESS_KILLED + SIGKILL && childless());
    return 0;
}

Test(process, is_ended_by_a_plain_thread_as_well)
{
    run_on(1, close_elsewhere, NULL);
}

/* ---- when something lacks ---- */

static int lack_descriptors(void *arg)
{
    const struct co_process_opts opts = {
        .in = CO_PROCESS_PIPE, .out = CO_PROCESS_PIPE, .err = CO_PROCESS_PIPE};
    int before = descriptors(), started = 0, refused = 0;
    struct rlimit limit, old;

    (void)arg;
    CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0);
    limit = old;
    for (rlim_t more = 0; more < 12; more++) {
        CO_PROCESS(p);
        int r;

        limit.rlim_cur = (rlim_t)before + more;
        CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
        r = co_process_start(&p, &opts, (const char *[]){"cat", NULL});
        CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0);
        CHECK(r == 0 || r == -EMFILE);
        started += r == 0;
        refused += r == -EMFILE;
        CHECK(r == 0 || (childless() && descriptors() == before));
    }
    CHECK(started > 0 && refused > 0 && descriptors() == before && childless());
    return 0;
}

Test(process, without_descriptors_none_is_started_and_nothing_is_lost)
{
    run_on(1, lack_descriptors, NULL);
}

static int wait_in_the_queue(void *arg)
{
    int before = descriptors();
    const struct co_process_opts opts = {.in = CO_PROCESS_PIPE};
    CO_PROCESS(p);

    (void)arg;
    hold_it();
    until(&holds_begun, 1);
    {
        CO_DEADLINE(10 * CO_MS);
        CHECK(co_process_start(&p, &opts, (const char *[]){"cat", NULL}) == -ETIMEDOUT);
    }
    release_it();
    until(&holds_ended, 1);
    CHECK(p.pid == 0 && descriptors() == before && childless());
    return 0;
}

Test(process, one_that_the_pool_has_not_begun_is_taken_back)
{
    struct co_conf conf = one_pool_thread(1);

    cr_assert_eq(run_conf(&conf, wait_in_the_queue, NULL), 0);
}

static int lack_memory(void *arg)
{
    const struct co_process_opts opts = {.in = CO_PROCESS_PIPE, .out = CO_PROCESS_PIPE};
    int before = descriptors(), started = 0, refused = 0;

    (void)arg;
    while (started + refused < fewer(100)) {
        CO_PROCESS(p);
        int r = co_process_start(&p, &opts, (const char *[]){"cat", NULL});

        CHECK(r == 0 || r == -ENOMEM);
        started += r == 0;
        refused += r < 0;
    }
    CHECK(childless() && descriptors() == before);
    return 0;
}

Test(process, without_memory_for_the_pool_none_is_started_and_ends_still_work)
{
    run_scarce(2, lack_memory);
}

/* ---- many, and the end of it all ---- */

static int start_some(void *arg)
{
    int rounds = *(int *)arg;
    char buf[8];

    for (int i = 0; i < rounds; i++) {
        const struct co_process_opts opts = {.in = CO_PROCESS_PIPE, .out = CO_PROCESS_PIPE};
        CO_PROCESS(p);
        int r = co_process_start(&p, &opts, (const char *[]){"cat", NULL});

        CHECK(r == 0);
        if (r < 0)
            return r;
        CHECK(co_send(p.in, "hello", 5) == 5 && co_recvn(p.out, buf, 5) == 5);
        if (i % 3 == 0) { /* the others are killed by the end of the block */
            CHECK(co_close(co_fd_take(&p.in)) == 0 && co_process_wait(&p) == 0);
        }
        atomic_fetch_add(&count, 1);
    }
    return 0;
}

static int start_many(void *arg)
{
    int before = descriptors(), rounds = fewer(100);
    CO_GROUP(group);

    (void)arg;
    for (int i = 0; i < 10; i++)
        CHECK(co_group_go(&group, start_some, &rounds) == 0);
    CHECK(co_group_wait(&group) == 0 && atomic_load(&count) == 10 * rounds);
    CHECK(childless() && descriptors() == before);
    return 0;
}

Test(process, a_thousand_leave_nothing_behind)
{
    run_on(3, start_many, NULL);
}

static void run_until_stopped(void *arg)
{
    const struct co_process_opts opts = {.in = CO_PROCESS_PIPE};
    CO_PROCESS(p);

    (void)arg;
    CHECK(co_process_start(&p, &opts, (const char *[]){"sleep", "1000", NULL}) == 0);
    atomic_fetch_add(&count, 1);
    CHECK(co_process_wait(&p) == -ECANCELED);
}

static int stop_meanwhile(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++)
        start(run_until_stopped, NULL);
    until(&count, 10);
    co_stop();
    return 0;
}

Test(process, a_stop_of_the_runtime_leaves_none_running)
{
    int before;

    run_on(1, end_in_all_ways, NULL);
    before = descriptors();
    cr_assert_eq(run_and_stop(2, 10 * CO_MS, stop_meanwhile), 0);
    cr_assert_eq(count, 10);
    cr_assert(childless());
    cr_assert_eq(descriptors(), before);
}
