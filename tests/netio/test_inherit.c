/* SPDX-License-Identifier: MIT */
/*
 * tests/netio/test_inherit.c - sockets that a service manager has opened: a child gets them from
 * number 3 on, as systemd would pass them.
 */
#include "netio/world.h"
#include "support/faults.h"
#include <co/datagram.h>
#include <co/listen.h>
#include <sys/wait.h>

TestSuite(inherit, .timeout = 30);

enum { FIRST = 3, COUNT = 5 };

static int plain_socket(int type, bool listens)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, type, 0);

    if (bind(fd, (struct sockaddr *)(void *)&addr, sizeof addr) < 0 ||
        (listens && listen(fd, 5) < 0))
        return -1;
    return fd;
}

/* What the manager passes: http, dns for streams, dns for datagrams, http again, a pipe. */
static void pass(int fds[COUNT])
{
    int pipes[2];

    fds[0] = plain_socket(SOCK_STREAM, true);
    fds[1] = plain_socket(SOCK_STREAM, true);
    fds[2] = plain_socket(SOCK_DGRAM, false);
    fds[3] = plain_socket(SOCK_STREAM, true);
    cr_assert_eq(pipe(pipes), 0);
    fds[4] = pipes[0];
    (void)close(pipes[1]);
}

static int port_of(int fd)
{
    struct sockaddr_in addr = {.sin_family = AF_UNSPEC};
    socklen_t len = sizeof addr;

    return getsockname(fd, (struct sockaddr *)(void *)&addr, &len) == 0 ? ntohs(addr.sin_port) : -1;
}

static int take_them(void *arg)
{
    const int *ports = arg;
    char address[64];
    int first, second, nodelay = 0;
    socklen_t size = sizeof nodelay;

    CHECK(co_inherited() == COUNT);
    faults_arm(&(struct faults_plan){.call = FAULTS_EPOLL_ADD, .nth = 1, .how = ENOSPC});
    CHECK(co_listen_inherited("http") == -ENOSPC); /* may be tried again */
    CHECK(faults_disarm() == 1);
    first = co_listen_inherited("http");
    CHECK(first == FIRST && co_local_port(first) == ports[0]);
    CHECK((fcntl(first, F_GETFL) & O_NONBLOCK) && fcntl(first, F_GETFD) == FD_CLOEXEC);
    second = co_listen("systemd:http"); /* the next of that name */
    CHECK(second == FIRST + 3 && co_local_port(second) == ports[3]);
    CHECK(co_listen("systemd:http") == -EBUSY);
    CHECK(co_listen("systemd:0") == -EBUSY && co_listen("systemd:3") == -EBUSY);
    CHECK(co_close(second) == 0 && co_listen("systemd:3") == -EBUSY); /* once and for all */

    CHECK(co_listen("systemd:2") == -EINVAL); /* datagrams */
    CHECK(co_datagram_bind(NULL, "systemd:1") == -EINVAL);
    CHECK(co_datagram_bind(NULL, "systemd:dns") == FIRST + 2);
    CHECK(co_listen("systemd:dns") == FIRST + 1);
    CHECK(co_listen("systemd:4") == -EINVAL); /* no socket */
    CHECK(co_listen("systemd:5") == -ENOENT && co_listen("systemd:nobody") == -ENOENT);
    CHECK(co_listen("systemd:") == -ENOENT && co_listen("systemd:htt") == -ENOENT);

    (void)snprintf(address, sizeof address, "127.0.0.1:%d", ports[0]);
    CO_FD(fd, co_connect(address));
    CO_FD(conn, co_accept(first));
    CHECK(fd >= 0 && conn >= 0);
    CHECK(getsockopt(conn, IPPROTO_TCP, TCP_NODELAY, &nodelay, &size) == 0 && nodelay);
    CHECK(co_close(first) == 0 && co_close(FIRST + 1) == 0 && co_close(FIRST + 2) == 0);
    return 0;
}

static int find_none(void *arg)
{
    (void)arg;
    CHECK(co_inherited() == 0);
    CHECK(co_listen("systemd:0") == -ENOENT && co_listen("systemd:http") == -ENOENT);
    return 0;
}

static int in_child(const int fds[COUNT], bool for_us)
{
    struct co_conf conf = settings(2);
    int high[COUNT], ports[COUNT];
    char number[16];

    for (int i = 0; i < COUNT; i++) {
        ports[i] = port_of(fds[i]);
        high[i] = fcntl(fds[i], F_DUPFD, 100); /* out of the way of the numbers below */
    }
    for (int i = 0; i < COUNT; i++) {
        if (dup2(high[i], FIRST + i) < 0)
            return 1;
    }
    (void)snprintf(number, sizeof number, "%d", (int)getpid() + !for_us);
    (void)setenv("LISTEN_PID", number, 1);
    (void)setenv("LISTEN_FDS", "5", 1);
    (void)setenv("LISTEN_FDNAMES", "http:dns:dns:http:pipe", 1);
    if (co_run_with(&conf, for_us ? take_them : find_none, ports) != 0)
        return 2;
    return atomic_load(&failed_check) ? atoi(atomic_load(&failed_check)) % 200 + 10 : 0;
}

static int status_of(bool for_us)
{
    int fds[COUNT], status;
    pid_t pid;

    pass(fds);
    pid = fork();
    if (pid == 0)
        _exit(in_child(fds, for_us));
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    for (int i = 0; i < COUNT; i++)
        (void)close(fds[i]);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Test(inherit, takes_what_was_passed_by_name_and_number)
{
    int status = status_of(true);

    cr_assert_eq(status, 0, "%d: the line (modulo 200) that failed, plus 10", status);
}

Test(inherit, takes_nothing_that_was_meant_for_another_process)
{
    cr_assert_eq(status_of(false), 0);
}

static int not_there(void *arg)
{
    static const char *const counts[] = {"", "x", "-1", "99999999999999999999", "1x"};
    char number[16];

    (void)arg;
    (void)snprintf(number, sizeof number, "%d", (int)getpid());
    (void)setenv("LISTEN_PID", number, 1);
    (void)unsetenv("LISTEN_FDS");
    CHECK(co_inherited() == 0);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        (void)setenv("LISTEN_FDS", counts[i], 1);
        CHECK(co_inherited() == 0);
    }
    return 0;
}

Test(inherit, an_environment_that_makes_no_sense_passes_nothing)
{
    run_on(1, not_there, NULL);
}
