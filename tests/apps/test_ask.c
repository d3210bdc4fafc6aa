/* SPDX-License-Identifier: MIT */
/* tests/apps/test_ask.c - the model page's two programs, talking to each other. */
#include "program.h"
#include <pthread.h>

TestSuite(ask, .timeout = 60);

static char out[TEXT_MAX], err[TEXT_MAX];

/* A port on loopback that nobody listens on, while the descriptor is open. */
static int hold_port(int *ret_fd)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_geq(fd, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    *ret_fd = fd;
    return ntohs(at.sin_port);
}

/* One that was free a moment ago. */
static int free_port(void)
{
    int fd;
    int port = hold_port(&fd);

    close(fd);
    return port;
}

/* Starts echo and waits until it accepts. */
static struct program launch_echo(char *address, size_t cap)
{
    const char *const args[] = {address, NULL};
    int port = free_port();
    struct program echo;
    int fd;

    snprintf(address, cap, "127.0.0.1:%d", port);
    echo = launch(path_of("CORVID_ECHO"), args);
    echo.port = port;
    for (int64_t until = now_ms() + CHILD_SECONDS * 1000; (fd = dial(port)) < 0; usleep(1000))
        cr_assert_lt(now_ms(), until, "echo does not listen");
    close(fd);
    return echo;
}

Test(ask, every_question_gets_its_own_words_back)
{
    char address[64];
    const char *const args[] = {address, NULL};
    struct program echo = launch_echo(address, sizeof address);
    int lines = 0;

    cr_assert_eq(run_program(path_of("CORVID_ASK"), args, out, err), 0, "%s", err);
    for (const char *line = out; *line != '\0'; line = strchr(line, '\n') + 1) {
        int question;
        unsigned long long coroutine;

        cr_assert_eq(sscanf(line, "question %d of coroutine %llu", &question, &coroutine), 2);
        lines++;
    }
    cr_expect_eq(lines, 32);
    cr_expect_str_eq(err, "");
    cr_assert_eq(terminate(&echo, NULL), 0);
}

Test(ask, nobody_to_ask_is_an_error)
{
    char address[64];
    const char *const args[] = {address, NULL};
    int fd;

    snprintf(address, sizeof address, "127.0.0.1:%d", hold_port(&fd));
    cr_expect_eq(run_program(path_of("CORVID_ASK"), args, out, err), 1);
    close(fd);
    cr_expect_str_eq(out, "");
    cr_expect_not_null(strstr(err, "Connection refused"));
}

/* Answers whoever connects with a line that does not end, until the listener is shut down. */
static void *ramble(void *arg)
{
    char words[4096];
    int fd;

    memset(words, 'x', sizeof words);
    while ((fd = accept(*(int *)arg, NULL, NULL)) >= 0) {
        (void)send(fd, words, sizeof words, MSG_NOSIGNAL);
        (void)recv(fd, words, 1, 0); /* the question, so that closing is no reset */
        (void)shutdown(fd, SHUT_WR);
        while (recv(fd, words, sizeof words, 0) > 0)
            continue;
        memset(words, 'x', sizeof words);
        close(fd);
    }
    return NULL;
}

Test(ask, an_answer_that_is_too_long_is_named_so)
{
    char address[64];
    const char *const args[] = {address, NULL};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int lfd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof at;
    pthread_t thread;

    cr_assert_geq(lfd, 0);
    cr_assert_eq(bind(lfd, (struct sockaddr *)&at, sizeof at), 0);
    cr_assert_eq(getsockname(lfd, (struct sockaddr *)&at, &len), 0);
    cr_assert_eq(listen(lfd, 8), 0);
    cr_assert_eq(pthread_create(&thread, NULL, ramble, &lfd), 0);
    snprintf(address, sizeof address, "127.0.0.1:%d", ntohs(at.sin_port));
    cr_expect_eq(run_program(path_of("CORVID_ASK"), args, out, err), 1);
    cr_expect_str_eq(out, "");
    cr_expect_not_null(strstr(err, "Message too long"), "%s", err);
    cr_expect_null(strstr(err, "Connection reset"), "%s", err);
    cr_assert_eq(shutdown(lfd, SHUT_RDWR), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    close(lfd);
}

Test(ask, echo_gives_back_all_bytes_and_the_end)
{
    enum { SIZE = 300000 };
    static char sent[SIZE + 1], got[SIZE];
    char address[64];
    struct program echo = launch_echo(address, sizeof address);
    int fd = dial(echo.port);
    size_t len = 0;

    for (int i = 0; i < SIZE; i++)
        sent[i] = (char)('a' + i % 23);
    cr_assert_geq(fd, 0);
    for (size_t at = 0; at < SIZE; at += 1000) {
        char piece[1001] = "";

        memcpy(piece, sent + at, 1000);
        cr_assert_eq(transmit(fd, piece), 0);
        for (size_t until = len + 1000; len < until;) {
            ssize_t n = recv(fd, got + len, until - len, 0);

            cr_assert_gt(n, 0);
            len += (size_t)n;
        }
    }
    cr_assert_arr_eq(got, sent, SIZE);
    cr_assert_eq(shutdown(fd, SHUT_WR), 0);
    cr_assert_eq(recv(fd, got, 1, 0), 0);
    close(fd);
    cr_assert_eq(terminate(&echo, NULL), 0);
}

Test(ask, echo_tells_that_its_port_is_in_use)
{
    char address[64];
    const char *const args[] = {address, NULL};
    struct program echo = launch_echo(address, sizeof address);

    cr_expect_neq(run_program(path_of("CORVID_ECHO"), args, out, err), 0);
    cr_expect_not_null(strstr(err, address));
    cr_assert_eq(terminate(&echo, NULL), 0);
}
