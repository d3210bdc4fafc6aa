/* SPDX-License-Identifier: MIT */
/*
 * tests/netio/test_faults.c - what if a system call fails? A scenario that uses all of netio (see
 * faulty.h) is run again and again: with the first call of a kind failing in some way, then with
 * the second, until there is no n-th any more. Each run has to end with right results or the right
 * error, and holds nothing afterwards. Then what such runs have found, each by itself.
 */
#include "slot.h"

#include "netio/faulty.h"
#include "netio/world.h"
#include <limits.h>
#include <netdb.h>
#include <sys/epoll.h>

TestSuite(faults, .timeout = 60);

/* What a connection's client may see when the server, unable to serve it, has closed it. */
enum { CLOSED = 1 };

/* What a plan makes of the scenario. */
struct trial {
    enum faults_call call;
    int how;
    int also; /* another error that it may become, or CLOSED; 0: none */
};

static const struct trial *on_trial; /* NULL: no call fails */
static int nth;

static void report(const char *step, const struct outcome *outcome)
{
    cr_log_error("%s, %s %d: call %d: %d here, %d there, %d elsewhere", step,
                 on_trial ? faults_name(on_trial->call) : "nothing", on_trial ? on_trial->how : 0,
                 nth, outcome->here, outcome->there, outcome->third);
}

/* Whether somebody was told what had failed. */
static bool is_told(int r)
{
    if (r >= 0 || !on_trial)
        return false;
    if (on_trial->also == CLOSED && (r == -ECONNRESET || r == -EPIPE))
        return true;
    return r == -(on_trial->how & ~FAULTS_LATE) || r == on_trial->also;
}

static int all_steps(void *arg)
{
    bool seen = arg != NULL; /* a failure may be */

    for (int i = 0; i < FAULTY_STEPS; i++) {
        CO_DEADLINE(20 * CO_SEC);
        struct outcome outcome = faulty_steps[i].fn();
        bool good = outcome.here >= 0 && outcome.there >= 0 && outcome.third >= 0;
        bool told = is_told(outcome.here) || is_told(outcome.there) || is_told(outcome.third);

        if (!good && !(seen && told)) {
            report(faulty_steps[i].name, &outcome);
            CHECK(good && "an error for which there is no reason");
        }
    }
    (void)co_sleep(50 * CO_US);
    return 0;
}

/* ---- trials ---- */

/* One run of a runtime. Returns: how many calls have failed. */
static int run_once(const struct trial *trial, int n, bool seen)
{
    struct faults_plan plan = {.call = FAULTS_CALLS};
    struct co_conf conf = settings(2);
    int before = descriptors(), acted, r;
    int64_t blocks = faults_blocks();

    on_trial = trial;
    nth = n;
    if (trial)
        plan = (struct faults_plan){.call = trial->call, .nth = n, .how = trial->how};
    faults_arm(&plan);
    r = run_conf(&conf, all_steps, seen ? &conf : NULL);
    acted = faults_disarm();
    cr_assert(r == 0 || (seen && is_told(r)), "%s %d: call %d: co_run returned %d",
              trial ? faults_name(trial->call) : "nothing", trial ? trial->how : 0, n, r);
    cr_assert_eq(descriptors(), before, "%s %d: call %d: %d descriptors, %d before",
                 trial ? faults_name(trial->call) : "nothing", trial ? trial->how : 0, n,
                 descriptors(), before);
    cr_assert_eq(faults_blocks(), blocks, "%s %d: call %d: %lld blocks, %lld before",
                 trial ? faults_name(trial->call) : "nothing", trial ? trial->how : 0, n,
                 (long long)faults_blocks(), (long long)blocks);
    return acted;
}

/* The first run makes what is kept for life: libuv's pipe for signals, chunks of the table. */
static void warm_up(void)
{
    struct co_conf conf = settings(2);

    cr_assert_eq(run_conf(&conf, all_steps, NULL), 0);
    (void)run_once(NULL, 0, false);
}

/* Kernels before 5.11 and valgrind 3.19: the runtime does without. */
static bool lacks_epoll_pwait2(void)
{
    struct epoll_event event;

    return epoll_pwait2(-1, &event, 1, NULL, NULL) < 0 && errno == ENOSYS;
}

static void try_each(const struct trial *trials, size_t count, bool seen)
{
    warm_up();
    for (size_t i = 0; i < count; i++) {
        int64_t mapped = faults_mapped();
        int n = 1;

        if (trials[i].call == FAULTS_EPOLL_PWAIT && lacks_epoll_pwait2())
            continue;
        for (int idle = 0; idle < 5 && n == 1; idle++) { /* some a run may do without */
            while (run_once(&trials[i], n, seen) > 0)
                n++;
        }
        cr_log_info("%s %d: %d calls, each failed once", faults_name(trials[i].call), trials[i].how,
                    n - 1);
        cr_assert_gt(n, 1, "no call of %s", faults_name(trials[i].call));
        cr_assert_eq(faults_mapped(), mapped, "%s: memory is left mapped",
                     faults_name(trials[i].call));
    }
    faulty_local_clean();
}

#define TRY_EACH(trials, seen) try_each(trials, sizeof(trials) / sizeof *(trials), seen)

Test(faults, a_run_without_any_holds_nothing_afterwards)
{
    int64_t mapped;

    warm_up();
    mapped = faults_mapped();
    for (int i = 0; i < 3; i++)
        cr_assert_eq(run_once(NULL, 0, false), 0);
    cr_assert_eq(faults_mapped(), mapped);
    for (int i = 0; i < FAULTS_CALLS; i++) /* all that faults.h can do is put to use */
        cr_log_info("%s: %d calls", faults_name((enum faults_call)i),
                    faults_seen((enum faults_call)i));
    faulty_local_clean();
}

Test(faults, what_delays_or_divides_a_call_is_not_seen)
{
    static const struct trial trials[] = {
        {FAULTS_RECV, EINTR, 0},
        {FAULTS_RECV, EAGAIN, 0},
        {FAULTS_RECV, FAULTS_SHORT, 0},
        {FAULTS_SEND, EINTR, 0},
        {FAULTS_SEND, EAGAIN, 0},
        {FAULTS_SEND, FAULTS_SHORT, 0},
        {FAULTS_SENDMSG, EINTR, 0},
        {FAULTS_SENDMSG, EAGAIN, 0},
        {FAULTS_SENDMSG, FAULTS_SHORT, 0},
        {FAULTS_RECVFROM, EINTR, 0},
        {FAULTS_RECVFROM, EAGAIN, 0},
        {FAULTS_RECVMMSG, EINTR, 0},
        {FAULTS_RECVMMSG, EAGAIN, 0},
        {FAULTS_RECVMMSG, FAULTS_SHORT, 0},
        {FAULTS_SENDTO, EINTR, 0},
        {FAULTS_SENDTO, EAGAIN, 0},
        {FAULTS_SENDMMSG, EINTR, 0},
        {FAULTS_SENDMMSG, EAGAIN, 0},
        {FAULTS_SENDMMSG, FAULTS_SHORT, 0},
        {FAULTS_SENDFILE, EINTR, 0},
        {FAULTS_SENDFILE, EAGAIN, 0},
        {FAULTS_SENDFILE, FAULTS_SHORT, 0},
        {FAULTS_PREADV, EAGAIN, 0},
        {FAULTS_PREADV, EOPNOTSUPP, 0},
        {FAULTS_PREADV, EIO, 0},
        {FAULTS_POLL, EINTR, 0},
        {FAULTS_ACCEPT, EINTR, 0},
        {FAULTS_ACCEPT, EAGAIN, 0},
        {FAULTS_CONNECT, EINTR, 0},
        {FAULTS_CONNECT, EINTR | FAULTS_LATE, 0},
        {FAULTS_CLOSE, EINTR, 0},
        {FAULTS_CLOSE, EIO, 0},
        {FAULTS_READ, EINTR, 0},
        {FAULTS_WAKE, EAGAIN | FAULTS_LATE, 0},
        {FAULTS_EPOLL_WAIT, EINTR, 0},
        {FAULTS_EPOLL_PWAIT, EINTR, 0},
        {FAULTS_EPOLL_PWAIT, ENOSYS, 0},
    };

    TRY_EACH(trials, false);
}

Test(faults, accepting_goes_on_after_what_happens_to_one_connection)
{
    static const struct trial trials[] = {
        {FAULTS_ACCEPT, ECONNABORTED, 0}, {FAULTS_ACCEPT, EPROTO, 0},
        {FAULTS_ACCEPT, EPERM, 0},        {FAULTS_ACCEPT, ENETDOWN, 0},
        {FAULTS_ACCEPT, EHOSTUNREACH, 0}, {FAULTS_ACCEPT, EMFILE, 0},
        {FAULTS_ACCEPT, ENFILE, 0},       {FAULTS_ACCEPT, ENOBUFS, 0},
        {FAULTS_ACCEPT, ENOMEM, 0},
    };

    TRY_EACH(trials, false);
}

Test(faults, who_sends_or_receives_is_told_what_has_failed)
{
    static const struct trial trials[] = {
        {FAULTS_RECV, ECONNRESET, 0},     {FAULTS_RECV, ENOMEM, 0},
        {FAULTS_RECV, ETIMEDOUT, 0},      {FAULTS_SEND, ECONNRESET, 0},
        {FAULTS_SEND, EPIPE, 0},          {FAULTS_SEND, ENOMEM, 0},
        {FAULTS_SEND, ENOBUFS, 0},        {FAULTS_SENDMSG, EPIPE, 0},
        {FAULTS_SENDMSG, ENOBUFS, 0},     {FAULTS_RECVFROM, ECONNREFUSED, 0},
        {FAULTS_RECVFROM, ENOMEM, 0},     {FAULTS_RECVMMSG, ECONNREFUSED, 0},
        {FAULTS_RECVMMSG, ENOMEM, 0},     {FAULTS_SENDTO, ENOBUFS, 0},
        {FAULTS_SENDTO, ECONNREFUSED, 0}, {FAULTS_SENDMMSG, ENOBUFS, 0},
        {FAULTS_SENDMMSG, ENOMEM, 0},     {FAULTS_SHUTDOWN, ENOTCONN, 0},
        {FAULTS_POLL, ENOMEM, 0},         {FAULTS_SENDFILE, EPIPE, 0},
        {FAULTS_SENDFILE, ECONNRESET, 0}, {FAULTS_SENDFILE, ENOMEM, 0},
        {FAULTS_SENDFILE, EIO, 0},
    };

    TRY_EACH(trials, true);
}

Test(faults, who_opens_a_socket_is_told_what_has_failed)
{
    static const struct trial trials[] = {
        {FAULTS_SOCKET, EMFILE, 0},
        {FAULTS_SOCKET, ENFILE, 0},
        {FAULTS_SOCKET, ENOBUFS, 0},
        {FAULTS_BIND, EADDRINUSE, 0},
        {FAULTS_BIND, EACCES, 0},
        {FAULTS_LISTEN, EADDRINUSE, 0},
        {FAULTS_CONNECT, ECONNREFUSED, 0},
        {FAULTS_CONNECT, ENETUNREACH, -EADDRINUSE},
        {FAULTS_CONNECT, EADDRNOTAVAIL, -EADDRINUSE},
        {FAULTS_CONNECT, ENOBUFS, -EADDRINUSE},
        {FAULTS_GETSOCKOPT, ENOBUFS, 0},
        {FAULTS_SETSOCKOPT, ENOMEM, 0},
        {FAULTS_GETSOCKNAME, ENOBUFS, 0},
        {FAULTS_GETPEERNAME, ENOBUFS, 0},
        {FAULTS_LOOKUP, EAI_MEMORY, -ENOMEM},
        {FAULTS_LOOKUP, EAI_AGAIN, -EAGAIN},
        {FAULTS_LOOKUP, EAI_SYSTEM, -EMFILE},
        {FAULTS_LOOKUP, EAI_NONAME, -ENOENT},
    };

    TRY_EACH(trials, true);
}

/* Some of these calls are those that start a runtime. */
Test(faults, who_runs_out_of_memory_or_descriptors_is_told_so, .timeout = 120)
{
    static const struct trial trials[] = {
        {FAULTS_EPOLL_CREATE, EMFILE, 0},
        {FAULTS_EPOLL_ADD, ENOSPC, CLOSED},
        {FAULTS_EPOLL_ADD, ENOMEM, CLOSED},
        {FAULTS_EPOLL_MOD, ENOMEM, 0},
        {FAULTS_EVENTFD, ENFILE, 0},
        {FAULTS_EVENTFD, ENOMEM, 0},
        {FAULTS_MMAP, ENOMEM, 0},
        {FAULTS_MMAP, EAGAIN, -ENOMEM},
        {FAULTS_MALLOC, ENOMEM, CLOSED},
        {FAULTS_THREAD, EAGAIN, -ENOMEM},
        {FAULTS_UV, EMFILE, 0},
        {FAULTS_UV, ENOMEM, 0},
    };

    TRY_EACH(trials, true);
}

Test(faults, memory_that_cannot_be_protected_or_advised_is_done_without)
{
    static const struct trial trials[] = {
        {FAULTS_MPROTECT, ENOMEM, 0},
        {FAULTS_MADVISE, ENOMEM, 0},
        {FAULTS_MADVISE, EINVAL, 0},
    };

    TRY_EACH(trials, false);
}

/* ---- what such runs have found ---- */

/* Arms one fault. */
static void fail(enum faults_call call, int n, int how)
{
    const struct faults_plan plan = {.call = call, .nth = n, .how = how};

    faults_arm(&plan);
}

static int read_again(void *arg)
{
    struct pair pair = make_pair();
    char buf[16];

    (void)arg;
    say(pair.plain, "first");
    CHECK(co_recv(pair.ours, buf, sizeof buf) == 5); /* fewer than asked: nothing is left */
    say(pair.plain, "second");
    until_polled(pair.ours, POLLIN);
    let_wait(); /* the edge has been delivered */
    fail(FAULTS_RECV, 1, ENOMEM);
    CHECK(co_recv(pair.ours, buf, sizeof buf) == -ENOMEM);
    CHECK(faults_disarm() == 1);
    {
        CO_DEADLINE(10 * CO_SEC);
        CHECK(co_recv(pair.ours, buf, sizeof buf) == 6 && memcmp(buf, "second", 6) == 0);
    }
    close_pair(&pair);
    return 0;
}

Test(faults, bytes_that_could_not_be_read_for_want_of_memory_are_read_by_the_next_call)
{
    run_on(1, read_again, NULL);
    run_on(2, read_again, NULL);
}

static int read_wrongly(void *arg)
{
    struct pair pair = make_pair();
    char *nowhere = (char *)(uintptr_t)8; /* an address that is not mapped */
    char buf[16];

    (void)arg;
    say(pair.plain, "first");
    CHECK(co_recv(pair.ours, buf, sizeof buf) == 5);
    say(pair.plain, "second");
    until_polled(pair.ours, POLLIN);
    let_wait();
    CHECK(co_recv(pair.ours, nowhere, sizeof buf) == -EFAULT);
    {
        CO_DEADLINE(10 * CO_SEC);
        CHECK(co_recv(pair.ours, buf, sizeof buf) == 6);
    }
    close_pair(&pair);
    return 0;
}

Test(faults, bytes_are_still_there_after_a_read_into_a_wrong_buffer)
{
#ifdef CO_TEST_VALGRIND
    cr_skip_test("valgrind reports the buffer, as it should");
#endif
    run_on(1, read_wrongly, NULL);
}

/*
 * Tries to accept while each attempt fails, and says for how long it did. Returns: how often it was
 * attempted.
 */
static int accept_in_vain(int lfd, int how, int64_t *ret_span)
{
    const struct faults_plan plan = {
        .call = FAULTS_ACCEPT, .nth = 1, .times = INT_MAX / 2, .how = how};
    int64_t begun = co_now();

    faults_arm(&plan);
    {
        CO_DEADLINE(250 * CO_MS);
        CHECK(co_accept(lfd) == -ETIMEDOUT);
    }
    *ret_span = co_now() - begun;
    return faults_disarm();
}

static int accept_under_ban(void *arg)
{
    const int errors[] = {EPERM, EIO, ECONNABORTED}; /* a filter says the first, for ever */
    char address[64];
    CO_FD(lfd, listen_here(address));
    CO_FD(client, co_connect(address));

    (void)arg;
    CHECK(client >= 0);
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        int64_t span;
        int attempts;

        do
            attempts = accept_in_vain(lfd, errors[i], &span);
        while (attempts == 0); /* the deadline had passed before it began */
        CHECK(attempts <= 32 * (span / (100 * CO_MS) + 1)); /* then it rests */
    }
    CO_FD(conn, co_accept(lfd)); /* it is still there */
    CHECK(conn >= 0);
    return 0;
}

Test(faults, accepting_does_not_spin_when_every_attempt_fails)
{
    run_on(1, accept_under_ban, NULL);
    run_on(2, accept_under_ban, NULL);
}

static int connect_interrupted(void *arg)
{
    const char *const texts[] = {"127.0.0.1:0", "unix:@corvid-faults"};

    (void)arg;
    for (size_t i = 0; i < 2; i++) {
        CO_DEADLINE(10 * CO_SEC);
        CO_FD(lfd, co_listen(texts[i]));
        char address[64];

        CHECK(lfd >= 0);
        (void)snprintf(address, sizeof address, i ? texts[i] : "127.0.0.1:%d", co_local_port(lfd));
        for (int late = 0; late < 2; late++) { /* before it has begun, and afterwards */
            fail(FAULTS_CONNECT, 1, late ? EINTR | FAULTS_LATE : EINTR);
            CO_FD(fd, co_connect(address));
            CHECK(faults_disarm() == 1 && fd >= 0);
        }
    }
    return 0;
}

Test(faults, a_connect_that_a_signal_interrupts_connects)
{
    run_on(1, connect_interrupted, NULL);
}

static int connect_unknown(void *arg)
{
    char address[64];
    CO_DEADLINE(10 * CO_SEC);
    CO_FD(lfd, listen_here(address));

    (void)arg;
    fail(FAULTS_GETPEERNAME, 1, ENOBUFS);
    CHECK(co_connect(address) == -ENOBUFS);
    CHECK(faults_disarm() == 1);
    return 0;
}

Test(faults, a_connect_ends_though_the_kernel_cannot_say_who_the_peer_is)
{
    run_on(1, connect_unknown, NULL);
}

static int look_up_without_descriptors(void *arg)
{
    struct co_addr addr;

    (void)arg;
    fail(FAULTS_LOOKUP, 1, EAI_SYSTEM);
    CHECK(co_resolve("localhost:80", 1, &addr) == -EMFILE);
    CHECK(faults_disarm() == 1);
    return 0;
}

Test(faults, a_name_is_not_called_unknown_when_descriptors_are_wanting)
{
    run_on(1, look_up_without_descriptors, NULL);
}

static int adopt_without_memory(void *arg)
{
    int lfd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)arg;
    CHECK(listen(lfd, 5) == 0);
    for (int n = 1; n <= 4; n++) {
        fail(FAULTS_GETSOCKOPT, n, ENOBUFS);
        CHECK(co_adopt(lfd) == -ENOBUFS);
        CHECK(faults_disarm() == 1);
    }
    CHECK(co_adopt(lfd) == 0);
    {
        CO_DEADLINE(CO_MS);
        CHECK(co_accept(lfd) == -ETIMEDOUT); /* known to be a listener */
    }
    CHECK(co_close(lfd) == 0);
    return 0;
}

Test(faults, a_listener_is_not_adopted_as_something_else)
{
    run_on(1, adopt_without_memory, NULL);
}

/* As the drain of a stop does: it comes upon each slot that is open. */
static struct co__slot *visited;

static void visit(int fd)
{
    int r;

    visited = co__slot_enter(fd, 0, &r);
}

static int register_in_vain(void *arg)
{
    const struct faults_plan plan = {
        .call = FAULTS_EPOLL_ADD, .nth = 1, .how = ENOSPC, .hook = visit};
    int lfd;

    (void)arg;
    faults_arm(&plan);
    CHECK(co_listen("127.0.0.1:0") == -ENOSPC);
    CHECK(faults_disarm() == 1);
    if (visited)
        co__slot_leave(visited, 0);
    lfd = co_listen("127.0.0.1:0"); /* it gets the same number */
    CHECK(lfd >= 0 && co_close(lfd) == 0);
    return 0;
}

Test(faults, a_number_is_usable_after_a_stop_came_upon_a_descriptor_that_could_not_be_registered)
{
    run_on(1, register_in_vain, NULL);
}

static int local_again(void *arg)
{
    int first, again;

    (void)arg;
    first = co_listen("unix:/tmp/corvid-faults-again");
    CHECK(first >= 0 && co_close(first) == 0);
    fail(FAULTS_CONNECT, 1, EINTR);
    again = co_listen("unix:/tmp/corvid-faults-again");
    CHECK(faults_disarm() == 1);
    CHECK(again >= 0 && co_close(again) == 0);
    (void)unlink("/tmp/corvid-faults-again");
    return 0;
}

Test(faults, a_socket_file_that_was_left_behind_is_not_in_use_because_of_a_signal)
{
    run_on(1, local_again, NULL);
}

enum { CROWD = 5000 }; /* more than a heap of timers has room for at first */

static void sleep_long(void *arg)
{
    (void)co_sleep(600 * CO_SEC);
    atomic_fetch_add((_Atomic int *)arg, 1);
}

static int start_crowd(void *arg)
{
    static _Atomic int slept;
    int begun = 0, refused = 0;

    (void)arg;
    atomic_store(&slept, 0);
    faults_arm(
        &(struct faults_plan){.call = FAULTS_MREMAP, .nth = 1, .times = 2 * CROWD, .how = ENOMEM});
    for (int i = 0; i < CROWD; i++) {
        int r = co_go(sleep_long, (void *)(uintptr_t)&slept);

        CHECK(r == 0 || r == -ENOMEM);
        begun += r == 0;
        refused += r == -ENOMEM;
    }
    CHECK(faults_disarm() > 0 && refused > 0 && begun + refused == CROWD);
    co_stop(); /* the grace time is short */
    while (atomic_load(&slept) < begun)
        (void)co_yield();
    return 0;
}

Test(faults, starts_are_refused_when_there_is_no_memory_for_more_timers)
{
    struct co_conf conf = settings(2);

#ifdef CO_TEST_TSAN
    cr_skip_test("a coroutine costs too much there");
#endif
    conf.grace = CO_MS;
    (void)run_conf(&conf, start_crowd, NULL);
}

static int sleep_and_count_stalls(void *arg)
{
    CHECK(co_sleep(CO_SEC) == 0);
    *(int64_t *)arg = stat_of("stalls");
    return 0;
}

/* It was, and the watchdog looked for a thread before it had said which it was. */
Test(faults, a_worker_that_begins_late_is_not_reported_as_stuck)
{
    struct co_conf conf = settings(2);
    int64_t stalls = 1;

    conf.stall_report = 100 * CO_MS;
    for (int i = 0; i < 5 && stalls > 0; i++) { /* the machine may stand still, but not always */
        faults_arm(
            &(struct faults_plan){.call = FAULTS_THREAD, .nth = 1, .times = 2, .how = FAULTS_LATE});
        cr_assert_eq(run_conf(&conf, sleep_and_count_stalls, &stalls), 0);
        cr_assert_eq(faults_disarm(), 2);
    }
    cr_assert_eq(stalls, 0);
}

static int never(void *arg)
{
    atomic_fetch_add((_Atomic int *)arg, 1);
    return 0;
}

Test(faults, a_program_has_not_begun_when_a_worker_could_not_be_started)
{
    static _Atomic int begun;
    struct co_conf conf = settings(4);

    for (int n = 1; n <= 4; n++) {
        for (int i = 0; i < 20; i++) {
            fail(FAULTS_THREAD, n, EAGAIN);
            cr_assert_eq(co_run_with(&conf, never, (void *)(uintptr_t)&begun), -EAGAIN);
            cr_assert_eq(faults_disarm(), 1);
        }
    }
    cr_assert_eq(atomic_load(&begun), 0);
}
