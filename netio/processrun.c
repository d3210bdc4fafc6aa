/* SPDX-License-Identifier: MIT */
/*
 * processrun.c - a program from its start to its end, by one coroutine that waits for all of it at
 * once: room for input, output of both kinds, and the end. So none of them can wait for another.
 *
 * The pipes are used as a foreign library would: co_fd_wait_any says what is ready, and then
 * read(2) and write(2) are called, which do not block. When the program has ended, what it had
 * written is in the pipes; that much is read still, and no more, since programs that it has left
 * behind may hold the pipes open for ever.
 */
#include <co/foreign.h>
#include <co/net.h>
#include <co/process.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { FIRST = 4096, PIECE = 64 * 1024 };

/* What came from one pipe. */
struct catch
{
    char *data;
    size_t len;
    size_t cap; /* room at data, less one for the NUL */
};

struct talk {
    struct co_process process;
    const char *input;
    size_t left; /* of the input */
    size_t max;
    struct catch out;
    struct catch err;
};

static void close_end(int *fd)
{
    if (*fd >= 0)
        (void)co_close(*fd);
    *fd = -1;
}

/* Room for one more byte than may come at most, which shows that there is more. */
static int grow(struct catch *catch)
{
    size_t cap = catch->cap ? 2 * catch->cap : FIRST;
    char *data;

    if (catch->len < catch->cap)
        return 0;
    data = realloc(catch->data, cap + 1);
    if (!data)
        return -ENOMEM;
    catch->data = data;
    catch->cap = cap;
    return 0;
}

/* Reads once, at most `most` bytes. Returns: how many; 0 at the end; -EAGAIN, -EFBIG, -ENOMEM. */
static ssize_t collect(const struct talk *talk, struct catch *catch, int *fd, size_t most)
{
    ssize_t n = grow(catch);
    size_t room = catch->cap - catch->len;

    if (n < 0)
        return n;
    n = read(*fd, catch->data + catch->len, room < most ? room : most);
    n = n < 0 ? -errno : n;
    if (n > 0)
        catch->len += (size_t)n;
    if (n == 0)
        close_end(fd);
    return catch->len > talk->max ? -EFBIG : n;
}

static int feed(struct talk *talk)
{
    int *in = &talk->process.in;
    ssize_t n = write(*in, talk->input, talk->left < PIECE ? talk->left : PIECE);
    ssize_t r = n < 0 ? -errno : 0;

    if (r == -EAGAIN || r == -EINTR)
        return 0;
    if (r == -EPIPE)
        n = (ssize_t)talk->left; /* it does not want the rest */
    else if (r < 0)
        return (int)r;
    talk->input += n;
    talk->left -= (size_t)n;
    if (talk->left == 0)
        close_end(in);
    return 0;
}

static bool goes_on(ssize_t n)
{
    return n >= 0 || n == -EAGAIN || n == -EINTR;
}

/* Returns: 1 when the program has ended; 0; a negative errno. */
static int turn(struct talk *talk)
{
    struct co_process *p = &talk->process;
    struct co_fd_wait waits[] = {
        {p->watch, CO_READABLE, 0},
        {p->in, CO_WRITABLE, 0},
        {p->out, CO_READABLE, 0},
        {p->err, CO_READABLE, 0},
    };
    ssize_t n = co_fd_wait_any(waits, sizeof waits / sizeof *waits);

    if (n >= 0 && waits[1].ready)
        n = feed(talk);
    if (n >= 0 && waits[2].ready)
        n = collect(talk, &talk->out, &p->out, PIECE);
    if (goes_on(n) && waits[3].ready)
        n = collect(talk, &talk->err, &p->err, PIECE);
    if (!goes_on(n))
        return (int)n;
    return waits[0].ready != 0;
}

/* Returns: how many bytes are in a pipe; a negative errno. */
static int bytes_in(int fd)
{
    int n = 0;

    return ioctl(fd, FIONREAD, &n) < 0 ? -errno : n;
}

/* What is in the pipe of a program that has ended. */
static int collect_rest(const struct talk *talk, struct catch *catch, int *fd)
{
    int rest = *fd < 0 ? 0 : bytes_in(*fd);

    while (rest > 0 && *fd >= 0) {
        ssize_t n = collect(talk, catch, fd, (size_t)rest);

        if (!goes_on(n))
            return (int)n;
        if (n > 0)
            rest -= (int)n;
        else if (n == -EAGAIN && bytes_in(*fd) <= 0)
            rest = 0; /* others that have the pipe have read them */
    }
    return rest < 0 ? rest : 0;
}

static int converse(struct talk *talk)
{
    int r;

    if (talk->left == 0)
        close_end(&talk->process.in);
    do
        r = turn(talk);
    while (r == 0);
    if (r < 0)
        return r;
    r = collect_rest(talk, &talk->out, &talk->process.out);
    if (r == 0)
        r = collect_rest(talk, &talk->err, &talk->process.err);
    if (r == 0)
        r = grow(&talk->out);
    if (r == 0)
        r = grow(&talk->err);
    return r < 0 ? r : co_process_close(&talk->process);
}

static void give(struct catch *catch, char **ret_data, size_t *ret_len)
{
    catch->data[catch->len] = '\0';
    *ret_data = catch->data;
    *ret_len = catch->len;
}

int co_process_run(const struct co_process_opts *opts, const char *const *argv, const void *input,
                   size_t len, size_t max, struct co_process_output *ret_output)
{
    struct co_process_opts mine = opts ? *opts : (struct co_process_opts){.in = 0};
    struct talk talk = {.process = CO_PROCESS_INIT,
                        .input = input,
                        .left = len,
                        .max = max < SSIZE_MAX / 4 ? max : SSIZE_MAX / 4};
    int r;

    if (len > 0)
        mine.in = CO_PROCESS_PIPE;
    else if (mine.in == CO_PROCESS_INHERIT)
        mine.in = CO_PROCESS_NULL;
    if (mine.out == CO_PROCESS_INHERIT)
        mine.out = CO_PROCESS_PIPE;
    if (mine.err == CO_PROCESS_INHERIT)
        mine.err = CO_PROCESS_PIPE;
    r = co_process_start(&talk.process, &mine, argv);
    if (r == 0)
        r = converse(&talk);
    (void)co_process_close(&talk.process);
    if (r < 0) {
        free(talk.out.data);
        free(talk.err.data);
        return r;
    }
    give(&talk.out, &ret_output->out, &ret_output->out_len);
    give(&talk.err, &ret_output->err, &ret_output->err_len);
    return r;
}

void co_process_output_free(struct co_process_output *output)
{
    if (!output)
        return;
    free(output->out);
    free(output->err);
    *output = (struct co_process_output){NULL, 0, NULL, 0};
}
