/* SPDX-License-Identifier: MIT */
/*
 * descriptors [SECONDS] - a server that has run out of descriptors, with clients in its queue.
 *
 * The server echoes, under a low RLIMIT_NOFILE; a child process opens more connections than it can
 * take, and judges: the server must not spin, those who are connected must be served all the time,
 * and when one of them leaves, the next in the queue must be served within 150 ms. That is so most
 * of the times: the machine may have other things to do now and then.
 */
#include <arpa/inet.h>
#include <co/conf.h>
#include <co/net.h>
#include <co/scope.h>
#include <co/task.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LIMIT = 64, CLIENTS = 120, LEAVERS = 10 };

static int seconds = 10;

/* ---- the child ---- */

static struct pollfd clients[CLIENTS];
static bool served[CLIENTS];

static int64_t now(void)
{
    return co_now();
}

static void nap(int64_t ns)
{
    struct timespec span = {.tv_sec = ns / CO_SEC, .tv_nsec = ns % CO_SEC};

    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &span, NULL);
}

/* CPU time of the server, user and system. */
static int64_t server_cpu(void)
{
    struct timespec span = {0};
    clockid_t clock;

    if (clock_getcpuclockid(getppid(), &clock) != 0 || clock_gettime(clock, &span) < 0)
        return -1;
    return span.tv_sec * CO_SEC + span.tv_nsec;
}

/* Everybody connects and says something; most of it stays in the queue. */
static int connect_all(int port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    for (int i = 0; i < CLIENTS; i++) {
        clients[i].fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        clients[i].events = POLLIN;
        if (clients[i].fd < 0 ||
            connect(clients[i].fd, (struct sockaddr *)(void *)&addr, sizeof addr) < 0 ||
            send(clients[i].fd, "x", 1, MSG_NOSIGNAL) != 1)
            return -1;
    }
    return 0;
}

/* Takes the answers that come within `ns`, or until one comes. Returns: how many were new. */
static int take_answers(int64_t ns, bool one)
{
    int64_t until = now() + ns;
    int fresh = 0;

    while (now() < until && !(one && fresh > 0)) {
        (void)poll(clients, CLIENTS, 10);
        for (int i = 0; i < CLIENTS; i++) {
            char byte;

            if (clients[i].revents & POLLIN && recv(clients[i].fd, &byte, 1, MSG_DONTWAIT) == 1) {
                fresh += !served[i];
                served[i] = true;
            }
        }
    }
    return fresh;
}

/* One exchange with each who is connected. Returns: how many did not answer in time. */
static int ping_all(void)
{
    int silent = 0;

    for (int i = 0; i < CLIENTS; i++) {
        struct pollfd p = {.fd = clients[i].fd, .events = POLLIN};
        char byte;

        if (!served[i] || clients[i].fd < 0)
            continue;
        if (send(clients[i].fd, "y", 1, MSG_NOSIGNAL) != 1 || poll(&p, 1, 20000) != 1 ||
            recv(clients[i].fd, &byte, 1, MSG_DONTWAIT) != 1 || byte != 'y')
            silent++;
    }
    return silent;
}

/* One leaves: how long until the next is served? */
static int64_t leave_and_wait(void)
{
    int64_t begun;
    int i = 0;

    while (i < CLIENTS && (!served[i] || clients[i].fd < 0))
        i++;
    if (i == CLIENTS)
        return CO_NEVER;
    begun = now();
    (void)close(clients[i].fd);
    clients[i].fd = -1;
    return take_answers(20 * CO_SEC, true) > 0 ? now() - begun : CO_NEVER;
}

static int judge(int port, double allowed)
{
    int64_t cpu, begun, slowest = 0;
    int connected = 0, fresh, silent = 0, rounds = 0, late = 0;
    double share;

    if (connect_all(port) < 0)
        return 2;
    begun = now();
    do { /* until the server has as many as it can */
        fresh = take_answers(500 * CO_MS, false);
        connected += fresh;
    } while (fresh > 0 || (connected == 0 && now() - begun < 20 * CO_SEC));
    cpu = server_cpu();
    begun = now();
    while (now() - begun < seconds * CO_SEC) {
        silent += ping_all();
        rounds++;
        nap(500 * CO_MS);
    }
    share = (double)(server_cpu() - cpu) / (double)(now() - begun);
    for (int i = 0; i < LEAVERS; i++) {
        int64_t took;

        nap(37 * CO_MS); /* at any moment of the server's waiting */
        took = leave_and_wait();
        if (took > slowest)
            slowest = took;
        late += took > 150 * CO_MS;
    }
    printf(
        "descriptors: %d connected, %d in the queue, %.2f %% of a core over %d s (at most %.0f), "
        "%d of %d exchanges unanswered, next accept after at most %.1f ms\n",
        connected, CLIENTS - connected, 100 * share, seconds, 100 * allowed, silent,
        rounds * connected, slowest == CO_NEVER ? -1 : (double)slowest / 1e6);
    return cpu < 0 || connected < 5 || connected > CLIENTS - LEAVERS - 1 || share > allowed ||
           silent > 0 || slowest == CO_NEVER || late > LEAVERS / 2;
}

/* ---- the server ---- */

static pid_t child;

static void on_child(int number)
{
    (void)number;
    co_stop();
}

static void echo(int conn, void *arg)
{
    CO_FD(fd, conn);
    char buf[64];
    ssize_t n;

    (void)arg;
    while ((n = co_recv(fd, buf, sizeof buf)) > 0 && co_send(fd, buf, (size_t)n) == n)
        continue;
}

static double allowed_share(void)
{
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    return 0.5;
#else
    return seconds >= 10 ? 0.01 : 0.05;
#endif
}

static int serve(void *arg)
{
    struct rlimit limit;
    CO_FD(lfd, co_listen("127.0.0.1:0"));
    int port = co_local_port(lfd);

    (void)arg;
    if (lfd < 0)
        return 1;
    child = fork();
    if (child == 0) {
        int status = judge(port, allowed_share());

        (void)fflush(stdout);
        _exit(status);
    }
    if (child < 0 || getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 1;
    limit.rlim_cur = LIMIT;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 1;
    return co_serve(lfd, echo, NULL) < 0;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_child, .sa_flags = SA_RESTART};
    struct co_conf conf;
    int status = 0;
    int r;

    if (argc > 1)
        seconds = atoi(argv[1]);
    (void)alarm((unsigned)seconds * 3 + 60);
    (void)sigaction(SIGCHLD, &action, NULL);
    co_conf_init(&conf);
    conf.threads = 2;
    conf.grace = 200 * CO_MS;
    conf.stall_report = 0;
    r = co_run_with(&conf, serve, NULL);
    if (child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status))
        return r != 0 ? 1 : WEXITSTATUS(status);
    return 1;
}
