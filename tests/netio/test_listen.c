/* SPDX-License-Identifier: MIT */
/* tests/netio/test_listen.c - listening, accepting fairly, serving, running out of descriptors. */
#include "netio/world.h"
#include "support/clock.h"
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

TestSuite(listen, .timeout = 30);

static _Atomic int count;
static char socket_path[64]; /* empty: no local socket is tested */

/* ---- addresses ---- */

static void say_hello(int conn, void *arg)
{
    CO_FD(fd, conn);
    char buf[8];
    ssize_t n = co_recv(fd, buf, sizeof buf);

    if (n == 0 && arg)
        return; /* somebody only looked whether we live */
    CHECK(n == 5 && memcmp(buf, "hello", 5) == 0);
    CHECK(co_send(fd, "world", 5) == 5);
    atomic_fetch_add(&count, 1);
}

static void serve(int lfd)
{
    CO_FD(mine, lfd);

    CHECK(co_serve(mine, say_hello, socket_path[0] ? socket_path : NULL) == 0);
}

static void exchange(const char *address)
{
    CO_FD(fd, co_connect(address));
    char buf[8];

    CHECK(fd >= 0);
    CHECK(co_send(fd, "hello", 5) == 5);
    CHECK(co_recvn(fd, buf, 5) == 5 && memcmp(buf, "world", 5) == 0);
    CHECK(co_recv(fd, buf, 1) == 0);
}

static int exchange_over(void *arg)
{
    const char *host = arg;
    char address[128];
    int lfd;

    (void)snprintf(address, sizeof address, "%s:0", host);
    lfd = co_listen(address);
    CHECK(lfd >= 0);
    CHECK(fcntl(lfd, F_GETFD) == FD_CLOEXEC);
    CHECK(fcntl(lfd, F_GETFL) & O_NONBLOCK);
    CHECK(co_local_port(lfd) > 0 && co_local_port(lfd) < 65536);
    (void)snprintf(address, sizeof address, "%s:%d", host, co_local_port(lfd));
    CHECK(co_go_fd(serve, lfd) == 0);
    for (int i = 0; i < 10; i++)
        exchange(address);
    CHECK(co_hangup(lfd) == 0);
    return 0;
}

static void exchange_over_host(const char *host)
{
    run_on(1, exchange_over, (void *)(uintptr_t)host);
    run_on(3, exchange_over, (void *)(uintptr_t)host);
    cr_assert_eq(count, 20);
}

Test(listen, serves_over_ipv4)
{
    exchange_over_host("127.0.0.1");
}

Test(listen, serves_over_ipv6)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 addr = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};

    if (fd < 0 || bind(fd, (struct sockaddr *)(void *)&addr, sizeof addr) < 0)
        cr_skip_test("no IPv6 on this machine");
    (void)close(fd);
    exchange_over_host("[::1]");
}

Test(listen, serves_by_name)
{
    exchange_over_host("localhost");
}

static int exchange_locally(void *arg)
{
    char address[128];
    int lfd;

    (void)arg;
    (void)snprintf(address, sizeof address, "unix:%s", socket_path);
    lfd = co_listen(address);
    CHECK(lfd >= 0);
    CHECK(co_local_port(lfd) == -EAFNOSUPPORT);
    CHECK(co_listen(address) == -EADDRINUSE); /* somebody listens: it is not stale */
    CHECK(co_go_fd(serve, lfd) == 0);
    for (int i = 0; i < 10; i++)
        exchange(address);
    CHECK(co_hangup(lfd) == 0);
    return 0;
}

Test(listen, serves_over_a_local_socket_and_removes_a_stale_one)
{
    struct stat st;

    (void)snprintf(socket_path, sizeof socket_path, "/tmp/corvid-test-%d", (int)getpid());
    run_on(2, exchange_locally, NULL);
    cr_assert_eq(stat(socket_path, &st), 0, "the first one has left it behind");
    run_on(2, exchange_locally, NULL);
    cr_assert_eq(unlink(socket_path), 0);
    cr_assert_eq(count, 20);
}

static int listen_wrongly(void *arg)
{
    static const char *const wrong[] = {"",
                                        ":",
                                        "127.0.0.1",
                                        "127.0.0.1:",
                                        "127.0.0.1:x",
                                        "127.0.0.1:65536",
                                        "::1:80",
                                        "[::1]",
                                        "[::1]80",
                                        "[127.0.0.1]:80",
                                        ":80",
                                        "127.0.0.1:-1",
                                        "unix:",
                                        "127.0.0.1: 80"};
    char address[64], longer[300];
    int lfd = listen_here(address);

    (void)arg;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK(co_listen(wrong[i]) == -EINVAL);
        CHECK(co_connect(wrong[i]) == -EINVAL);
    }
    memset(longer, 'a', sizeof longer);
    memcpy(longer, "unix:/", 6);
    longer[sizeof longer - 1] = '\0';
    CHECK(co_listen(longer) == -EINVAL);
    CHECK(co_listen("unix:/nonexistent/folder/socket") == -ENOENT);
    CHECK(co_listen(address) == -EADDRINUSE);
    CHECK(co_listen("192.0.2.1:0") == -EADDRNOTAVAIL);
    CHECK(co_listen("name.invalid:0") == -ENOENT || co_listen("name.invalid:0") == -EAGAIN);
    CHECK(co_close(lfd) == 0);
    return 0;
}

Test(listen, refuses_what_is_no_address_with_the_right_error)
{
    run_on(2, listen_wrongly, NULL);
}

static int accept_on_others(void *arg)
{
    struct pair pair = make_pair();

    (void)arg;
    CHECK(co_accept(pair.ours) == -EINVAL);
    CHECK(co_serve(pair.ours, say_hello, NULL) == -EINVAL);
    close_pair(&pair);
    return 0;
}

Test(listen, only_a_listener_accepts)
{
    run_on(1, accept_on_others, NULL);
}

/* ---- where accepted sockets live ---- */

enum { CONNS = 64 };

static int accept_balanced(void *arg)
{
    char address[64];
    int lfd = listen_here(address);
    int port = co_local_port(lfd);
    int ours[CONNS], theirs[CONNS];
    int owned[4] = {0};
    int workers = co_workers();

    (void)arg;
    for (int i = 0; i < CONNS; i++)
        theirs[i] = plain_connect(port);
    for (int i = 0; i < CONNS; i++) {
        ours[i] = co_accept(lfd);
        CHECK(ours[i] >= 0);
        CHECK(fcntl(ours[i], F_GETFD) == FD_CLOEXEC);
        CHECK(fcntl(ours[i], F_GETFL) & O_NONBLOCK);
        CHECK(co_fd_worker(ours[i]) >= 0 && co_fd_worker(ours[i]) < workers);
        owned[co_fd_worker(ours[i])]++;
    }
    for (int i = 0; i < workers; i++)
        CHECK(owned[i] >= CONNS / workers - 4 && owned[i] <= CONNS / workers + 4);
    for (int i = 0; i < CONNS; i++) {
        CHECK(co_close(ours[i]) == 0);
        (void)close(theirs[i]);
    }
    CHECK(co_close(lfd) == 0);
    return 0;
}

Test(listen, loops_own_about_equal_numbers_of_what_is_accepted)
{
    run_on(1, accept_balanced, NULL);
    run_on(2, accept_balanced, NULL);
    run_on(4, accept_balanced, NULL);
}

static int nodelay_of(int fd)
{
    int on = 0;
    socklen_t len = sizeof on;

    return getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &len) < 0 ? -1 : on;
}

static int look_at_options(void *arg)
{
    int fds[2];

    (void)arg;
    make_ours(fds);
    CHECK(nodelay_of(fds[0]) > 0 && nodelay_of(fds[1]) > 0);
    CHECK(co_close(fds[0]) == 0 && co_close(fds[1]) == 0);
    return 0;
}

Test(listen, both_ends_send_without_delay)
{
    run_on(1, look_at_options, NULL);
}

/* ---- serving ---- */

static void never(int conn, void *arg)
{
    CO_FD(fd, conn);

    (void)arg;
    CHECK(fd < 0 && "a silent connection is not begun with");
}

static int result_of_serve = 1;

static void serve_never(int lfd)
{
    CO_FD(mine, lfd);

    result_of_serve = co_serve(mine, never, NULL);
    atomic_fetch_add(&count, 1);
}

static int silent_plain[3];

static int stop_serving(void *arg)
{
    char address[64];
    int lfd = listen_here(address);
    int port = co_local_port(lfd);

    (void)arg;
    CHECK(co_go_fd(serve_never, lfd) == 0);
    for (int i = 0; i < 3; i++)
        silent_plain[i] = plain_connect(port);
    let_wait();
    co_stop();
    return 0;
}

Test(listen, a_stop_ends_serving_and_closes_those_who_have_said_nothing)
{
    int64_t begun = co_now();
    char byte;

    cr_assert_eq(run_and_stop(2, 20 * CO_SEC, stop_serving), 0); /* far less is needed */
    cr_assert_eq(count, 1);
    cr_assert_eq(result_of_serve, 0);
    cr_assert_lt(co_now() - begun, 10 * CO_SEC);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(read(silent_plain[i], &byte, 1), 0);
}

static int queue_then_stop(void *arg)
{
    char address[64];
    int lfd = listen_here(address);
    int port = co_local_port(lfd);

    (void)arg;
    for (int i = 0; i < 3; i++) {
        silent_plain[i] = plain_connect(port);
        say(silent_plain[i], "hello");
    }
    co_stop();
    for (int i = 0; i < 100; i++)
        CHECK(co_yield() == 0);
    CHECK(co_serve(lfd, say_hello, NULL) == 0); /* those who are queued, and no more */
    CHECK(co_accept(lfd) == -ECANCELED);
    CHECK(co_close(lfd) == 0);
    return 0;
}

Test(listen, those_who_queue_when_the_stop_comes_are_still_served)
{
    char buf[8];

    run_on(2, queue_then_stop, NULL);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(recv(silent_plain[i], buf, 5, MSG_WAITALL), 5);
    cr_assert_eq(count, 3);
}

/* ---- idle ---- */

static int wait_for_somebody(void *arg)
{
    char address[64];
    int lfd = listen_here(address);

    CHECK(co_go_fd(serve, lfd) == 0);
    for (int i = 0; i < 20; i++)
        exchange(address);
    CHECK(write(*(int *)arg, "x", 1) == 1); /* from here on nobody comes */
    return 0;
}

/* The context switches of all threads of a process so far. */
static long switches(pid_t pid)
{
    char path[300], line[256];
    struct dirent *entry;
    long total = 0;
    DIR *dir;

    (void)snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    dir = opendir(path);
    while (dir && (entry = readdir(dir)) != NULL) {
        FILE *file;

        (void)snprintf(path, sizeof path, "/proc/%d/task/%.16s/status", (int)pid, entry->d_name);
        file = fopen(path, "r");
        while (file && fgets(line, sizeof line, file)) {
            const char *text = strstr(line, "ctxt_switches:");

            if (text)
                total += strtol(text + 14, NULL, 10);
        }
        if (file)
            (void)fclose(file);
    }
    if (dir)
        (void)closedir(dir);
    return total;
}

Test(listen, nobody_stirs_in_an_idle_server)
{
    struct co_conf conf = settings(3);
    struct timespec rest = {.tv_nsec = 200000000}, second = {.tv_sec = 1};
    int fds[2];
    long before, stirred = 1;
    pid_t pid;
    char byte;

#ifdef CO_TEST_TSAN
    cr_skip_test("ThreadSanitizer has a thread of its own that stirs");
#endif
    if (chaotic())
        cr_skip_test("fault points are not idle");
    cr_assert_eq(pipe(fds), 0);
    pid = fork();
    if (pid == 0) {
        conf.threads = 3;
        _exit(co_run_with(&conf, wait_for_somebody, &fds[1]) != 0);
    }
    cr_assert_eq(read(fds[0], &byte, 1), 1);
    for (int i = 0; i < 10 && stirred != 0; i++) { /* a busy machine takes time to rest */
        (void)nanosleep(&rest, NULL);
        before = switches(pid);
        cr_assert_gt(before, 0);
        (void)nanosleep(&second, NULL);
        stirred = switches(pid) - before;
    }
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    cr_assert_eq(stirred, 0, "%ld context switches in a second", stirred);
}

/* ---- out of descriptors ---- */

static int hogs[256], hog_count;

/* Takes every descriptor that is left below a limit. */
static void take_all(void)
{
    struct rlimit limit;
    int fd;

    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = 128;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    while (hog_count < 256 && (fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        hogs[hog_count++] = fd;
    CHECK(errno == EMFILE);
}

static int64_t process_cpu(void)
{
    struct timespec span;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &span);
    return span.tv_sec * CO_SEC + span.tv_nsec;
}

static void accept_two(void *arg)
{
    int lfd = *(int *)arg;

    for (int i = 0; i < 2; i++) {
        CHECK(co_accept(lfd) >= 0);
        atomic_fetch_add(&count, 1);
    }
}

static int starve(void *arg)
{
    struct pair pair = make_pair();
    char address[64];
    int lfd = listen_here(address);
    int queued[3];
    int64_t cpu;
    char byte;

    (void)arg;
    for (int i = 0; i < 3; i++)
        queued[i] = plain_connect(co_local_port(lfd));
    take_all();
    start(accept_two, &lfd);
    cpu = process_cpu();
    CHECK(co_sleep(400 * CO_MS) == 0);
    cpu = process_cpu() - cpu;
    CHECK(cpu < 40 * CO_MS); /* it does not spin */
    CHECK(atomic_load(&count) == 0);
    say(pair.plain, "x"); /* who is connected is served */
    CHECK(co_recv(pair.ours, &byte, 1) == 1 && co_send(pair.ours, "y", 1) == 1);
    CHECK(co_close(pair.ours) == 0);
    until(&count, 1);
    (void)close(hogs[--hog_count]); /* a stranger: it is noticed in time */
    until(&count, 2);
    while (hog_count > 0)
        (void)close(hogs[--hog_count]);
    for (int i = 0; i < 3; i++)
        (void)close(queued[i]);
    CHECK(co_close(lfd) == 0);
    (void)close(pair.plain);
    return 0;
}

Test(listen, out_of_descriptors_it_waits_for_one_and_serves_the_others)
{
#ifdef CO_TEST_VALGRIND
    cr_skip_test("valgrind accepts a connection that is above the limit, and closes it");
#endif
    run_on(2, starve, NULL);
}

static void stop_clock(void)
{
    co__clock_stop(false);
}

/* Time stands still, so that who starves does not look again by himself. */
static int starve_until_a_close(void *arg)
{
    struct pair pair = make_pair();
    char address[64];
    int lfd = listen_here(address);
    int queued[2];
    int64_t parked;

    (void)arg;
    for (int i = 0; i < 2; i++)
        queued[i] = plain_connect(co_local_port(lfd));
    take_all();
    parked = stat_of("parked");
    start(accept_two, &lfd);
    while (stat_of("parked") == parked)
        (void)co_yield();
    CHECK(atomic_load(&count) == 0);
    CHECK(co_close(pair.ours) == 0);
    until(&count, 1);
    while (hog_count > 0)
        (void)close(hogs[--hog_count]);
    co__clock_advance(CO_SEC);
    until(&count, 2);
    for (int i = 0; i < 2; i++)
        (void)close(queued[i]);
    CHECK(co_close(lfd) == 0);
    (void)close(pair.plain);
    return 0;
}

Test(listen, out_of_descriptors_a_close_lets_the_next_one_in_at_once, .init = stop_clock)
{
#ifdef CO_TEST_VALGRIND
    cr_skip_test("valgrind accepts a connection that is above the limit, and closes it");
#endif
    run_on(1, starve_until_a_close, NULL);
}

/* The coroutine that starves has a number that the next runtime does not have. */
static void give_up_starving(void *arg)
{
    CO_DEADLINE(30 * CO_MS);

    CHECK(co_accept(*(int *)arg) == -ETIMEDOUT);
    atomic_fetch_add(&count, 1);
}

static void sleep_short(void *arg)
{
    (void)arg;
    CHECK(co_sleep(100 * CO_MS) == 0);
}

static int starve_and_give_up(void *arg)
{
    char address[64];
    int lfd = listen_here(address);
    int queued = plain_connect(co_local_port(lfd));

    (void)arg;
#ifdef CO_TEST_PLAIN /* each stack costs */
    enum { OTHERS = 300 };
#else
    enum { OTHERS = 5000 };
#endif
    for (int i = 0; i < OTHERS; i++)
        start(sleep_short, NULL);
    (void)co_sleep(CO_MS);
    take_all();
    start(give_up_starving, &lfd);
    until(&count, 1);
    while (hog_count > 0)
        (void)close(hogs[--hog_count]);
    (void)close(queued);
    return 0; /* the listener stays open: closing would wake the ticket right here */
}

static int open_and_close(void *arg)
{
    struct pair pair = make_pair();

    (void)arg;
    close_pair(&pair);
    return 0;
}

Test(listen, who_gave_up_starving_is_not_woken_in_the_next_runtime)
{
    run_on(2, starve_and_give_up, NULL);
    run_on(2, open_and_close, NULL);
}
