/* SPDX-License-Identifier: MIT */
/*
 * tests/apps/program.h - run a program of ours as a child, talk HTTP to it over loopback with plain
 * blocking sockets, and see how it ends. Everything is bounded by CHILD_SECONDS or ANSWER_SECONDS.
 */
#ifndef TESTS_APPS_PROGRAM_H
#define TESTS_APPS_PROGRAM_H

#include "support/test.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef CO_TEST_VALGRIND
enum { CHILD_SECONDS = 300, ANSWER_SECONDS = 100 };
#else
enum { CHILD_SECONDS = 30, ANSWER_SECONDS = 10 };
#endif
enum { ARGS_MAX = 24, TEXT_MAX = 65536 };

extern char **environ;

/* A child. */
struct program {
    pid_t pid; /* 0: none, or waited for */
    int out;   /* reading ends of its standard output and error */
    int err;
    int port;
};

static inline int64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* The path of a program that meson has built. */
static inline const char *path_of(const char *variable)
{
    const char *path = getenv(variable);

    cr_assert_not_null(path, "%s is not set: run this by meson test", variable);
    return path;
}

/* Starts a program; args ends with NULL and does not hold its name. */
static inline struct program launch(const char *path, const char *const *args)
{
    struct program child = {.out = -1};
    posix_spawn_file_actions_t actions;
    char *argv[ARGS_MAX] = {(char *)(uintptr_t)path};
    int out[2], err[2];

    for (int i = 0; args[i] != NULL; i++) {
        cr_assert(i + 2 < ARGS_MAX);
        argv[i + 1] = (char *)(uintptr_t)args[i];
    }
    cr_assert(pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, err[1], STDERR_FILENO);
    cr_assert_eq(posix_spawn(&child.pid, path, &actions, NULL, argv, environ), 0, "%s", path);
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    close(err[1]);
    child.out = out[0];
    child.err = err[0];
    return child;
}

/* Reads one line, or with `all` everything up to the end, as text. Returns its length. */
static inline size_t read_text(int fd, char *text, size_t cap, bool all)
{
    int64_t until = now_ms() + CHILD_SECONDS * 1000;
    size_t len = 0;

    while (len + 1 < cap && (all || len == 0 || text[len - 1] != '\n')) {
        struct pollfd poller = {.fd = fd, .events = POLLIN};
        int64_t left = until - now_ms();
        ssize_t n;

        cr_assert(left > 0 && poll(&poller, 1, (int)left) == 1, "the program says nothing more");
        n = read(fd, text + len, all ? cap - 1 - len : 1);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    text[len] = '\0';
    return len;
}

/* Waits for the child's end: its exit status, 128 and more for a signal. */
static inline int await_exit(struct program *child)
{
    int64_t until = now_ms() + CHILD_SECONDS * 1000;
    int64_t again = now_ms() + CHILD_SECONDS * 1000 / 4;
    int status;

    while (waitpid(child->pid, &status, WNOHANG) == 0) {
#ifdef CO_TEST_TSAN
        /* It may have held a SIGTERM back, in a coroutine that went to sleep (decision 24). */
        if (now_ms() > again) {
            kill(child->pid, SIGTERM);
            again += CHILD_SECONDS * 1000 / 4;
        }
#else
        (void)again;
#endif
        if (now_ms() > until) {
            kill(child->pid, SIGKILL);
            cr_assert_fail("the program does not end");
        }
        usleep(1000);
    }
    child->pid = 0;
    close(child->out);
    close(child->err);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/*
 * Takes out what the runtime has reported of turns that took long: the machine may have stood still
 * meanwhile.
 */
static inline void drop_reports(char *text)
{
    static const char head[] = "corvid: coroutine ";

    for (char *report; (report = strstr(text, head)) != NULL;) {
        char *end = strchr(report, '\n');

        while (end && end[1] == ' ') /* its backtrace */
            end = strchr(end + 1, '\n');
        if (!end) {
            *report = '\0';
            return;
        }
        memmove(report, end + 1, strlen(end + 1) + 1);
    }
}

/* Runs a program to its end. Returns its exit status, and what it wrote, without such reports. */
static inline int run_program(const char *path, const char *const *args, char *out, char *err)
{
    struct program child = launch(path, args);

    read_text(child.err, err, TEXT_MAX, true); /* short texts: the pipes hold them */
    read_text(child.out, out, TEXT_MAX, true);
    drop_reports(err);
    return await_exit(&child);
}

/* Starts httpd on a free port with further arguments (NULL: none), and waits until it listens. */
static inline struct program launch_httpd(const char *const *more)
{
    const char *args[ARGS_MAX] = {"--set", "http.listen=127.0.0.1:0", "--set", "runtime.threads=2",
                                  "--set", "runtime.stall_report=0"}; /* as above */
    struct program child;
    char line[512];
    int n = 6;

    for (; more != NULL && *more != NULL; more++)
        args[n++] = *more;
    args[n] = NULL;
    child = launch(path_of("CORVID_HTTPD"), args);
    read_text(child.err, line, sizeof line, false);
    cr_assert(sscanf(line, "httpd: listening on 127.0.0.1:%d", &child.port) == 1, "%s", line);
    return child;
}

/* Ends a child by SIGTERM. Returns its exit status; *ret_ms (if not NULL) is how long that took. */
static inline int terminate(struct program *child, int64_t *ret_ms)
{
    int64_t began = now_ms();
    int status;

    cr_assert_eq(kill(child->pid, SIGTERM), 0);
    status = await_exit(child);
    if (ret_ms != NULL)
        *ret_ms = now_ms() - began;
    return status;
}

/*
 * Connects to a port on loopback: a descriptor whose calls take at most ANSWER_SECONDS, or -errno.
 */
static inline int dial(int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct timeval patience = {.tv_sec = ANSWER_SECONDS};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int r;

    if (fd < 0)
        return -errno;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    r = -errno;
    close(fd);
    return r;
}

/* An answer, as far as it came. */
struct answer {
    char text[TEXT_MAX];
    size_t len;
    int status;       /* 0: no whole head */
    const char *body; /* NULL: no whole head */
    size_t length;    /* as Content-Length says */
    bool close;       /* with "Connection: close" */
    bool whole;
    int error; /* why reading ended early: 0 for the end of the stream, or -errno */
};

/* Looks whether what has come is a whole answer. */
static inline bool complete(struct answer *answer)
{
    char *end = strstr(answer->text, "\r\n\r\n");
    const char *length;

    if (end == NULL)
        return false;
    answer->body = end + 4;
    answer->status = (int)strtol(answer->text + strlen("HTTP/1.1 "), NULL, 10);
    length = strcasestr(answer->text, "\r\nContent-Length:");
    answer->length = length != NULL && length < end
                         ? strtoul(length + strlen("\r\nContent-Length:"), NULL, 10)
                         : 0;
    length = strcasestr(answer->text, "\r\nConnection: close");
    answer->close = length != NULL && length < end + 2;
    answer->whole = answer->len >= (size_t)(answer->body - answer->text) + answer->length;
    return answer->whole;
}

/* Reads one answer. */
static inline void receive(int fd, struct answer *answer)
{
    answer->text[0] = '\0';
    answer->len = 0;
    answer->status = 0;
    answer->body = NULL;
    answer->whole = false;
    answer->error = 0;
    while (!complete(answer)) {
        ssize_t n = recv(fd, answer->text + answer->len, sizeof answer->text - 1 - answer->len, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            answer->error = n < 0 ? -errno : 0;
            return;
        }
        answer->len += (size_t)n;
        answer->text[answer->len] = '\0';
    }
}

/* Sends a text whole: 0 or -errno. */
static inline int transmit(int fd, const char *text)
{
    size_t len = strlen(text);

    while (len > 0) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        text += n;
        len -= (size_t)n;
    }
    return 0;
}

/* One exchange on a connection of its own. The answer must come whole. */
static inline const struct answer *ask_http(int port, const char *method, const char *path,
                                            const char *body)
{
    static struct answer answer;
    char request[4096];
    int fd = dial(port);

    cr_assert_geq(fd, 0);
    snprintf(request, sizeof request,
             "%s %s HTTP/1.1\r\nHost: here\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
             method, path, strlen(body), body);
    cr_assert_eq(transmit(fd, request), 0);
    receive(fd, &answer);
    close(fd);
    cr_assert(strcmp(method, "HEAD") == 0 ? answer.status > 0 : answer.whole, "%s %s: \"%s\"",
              method, path, answer.text);
    return &answer;
}

#endif
