/* SPDX-License-Identifier: MIT */
/*
 * torture_waits.c - deeds without connections: datagrams to and fro, and many descriptors of a
 * library for which one coroutine waits at once.
 */
#include "stress/torture.h"

#include <co/addr.h>
#include <co/datagram.h>
#include <co/foreign.h>
#include <co/group.h>
#include <co/net.h>
#include <co/scope.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- datagrams ---- */

enum { BATCH = 8, MESSAGE = 64 };

/* What each datagram of a deed says. */
struct message {
    uint64_t id; /* of the deed: no other's datagrams may come here */
    uint32_t number;
    uint32_t len;
    unsigned char filling[MESSAGE];
};

enum { HEAD = offsetof(struct message, filling) };

/* Two sockets that talk to each other alone. */
struct post {
    uint64_t id;
    int asks, answers;
    _Atomic int told; /* who answers will be hung up or closed */
    uint32_t seed;
    uint32_t number; /* of the first datagram of a batch */
};

static unsigned char filling(uint64_t id, uint32_t number, uint32_t at)
{
    return (unsigned char)(id * 131 + number * 17 + at * 7);
}

static void write_message(const struct post *post, struct message *message, uint32_t number)
{
    *message = (struct message){post->id, number, number * 2654435761U >> 26, {0}};
    for (uint32_t i = 0; i < message->len; i++)
        message->filling[i] = filling(post->id, number, i);
}

static bool check_message(const struct post *post, const struct message *message, size_t len)
{
    bool good = len >= HEAD && message->id == post->id && message->len == len - HEAD;

    for (uint32_t i = 0; good && i < message->len; i++)
        good = message->filling[i] == filling(post->id, message->number, i);
    if (!good)
        fail("a stranger's datagram, or a damaged one", (long long)len, (long long)message->id);
    atomic_fetch_add(&torture_counts.datagrams, 1);
    return good;
}

/* Takes one or several. Returns: how many; a negative errno. */
static int take_datagrams(int fd, bool many, struct message *messages, struct co_datagram *each)
{
    ssize_t n;

    for (int i = 0; i < BATCH; i++)
        each[i] = (struct co_datagram){.data = &messages[i], .cap = sizeof *messages};
    if (many)
        return co_recvmany(fd, each, BATCH);
    n = co_recvfrom(fd, messages, sizeof *messages, &each->addr);
    each->len = n < 0 ? 0 : (size_t)n;
    return n < 0 ? (int)n : 1;
}

/* Sends `count`, together or one by one. Returns: 0; a negative errno. */
static int send_datagrams(int fd, bool many, const struct co_datagram *each, int count)
{
    int sent = 0;
    ssize_t n;

    while (sent < count) {
        const struct co_addr *to = each[sent].addr.len ? &each[sent].addr : NULL;

        if (many)
            n = co_sendmany(fd, each + sent, count - sent);
        else
            n = co_sendto(fd, each[sent].data, each[sent].len, to);
        if (n < 0)
            return (int)n;
        sent += many ? (int)n : 1;
    }
    return 0;
}

/* Sends back what comes, until told to stop. */
static int answer_post(void *arg)
{
    struct post *post = arg;
    uint32_t chance = (uint32_t)post->id | 1;
    struct co_datagram each[BATCH];
    struct message messages[BATCH];
    int n;

    do {
        n = take_datagrams(post->answers, dice(&chance) % 2 == 0, messages, each);
        for (int i = 0; i < n; i++)
            (void)check_message(post, &messages[i], each[i].len);
        if (n > 0)
            n = send_datagrams(post->answers, dice(&chance) % 2 == 0, each, n);
        if (n == -EBUSY) /* somebody looks whether we are in there */
            (void)co_yield();
    } while (n >= 0 || n == -EBUSY);
    if (n != -ECANCELED || !(atomic_load(&post->told) || co_check() == -ECANCELED))
        fail("answering datagrams", n, post->answers);
    return 0;
}

/* Sends some, fewer than any buffer holds, and waits until each has come back once. */
static int ask_post(struct post *post)
{
    struct co_datagram each[BATCH];
    struct message messages[BATCH];
    int count = (int)(dice(&post->seed) % BATCH) + 1, n = 0;
    unsigned missing = (1U << count) - 1;

    for (int i = 0; i < count; i++) {
        write_message(post, &messages[i], post->number + (uint32_t)i);
        each[i] = (struct co_datagram){.data = &messages[i], .len = HEAD + messages[i].len};
    }
    n = send_datagrams(post->asks, dice(&post->seed) % 2 == 0, each, count);
    while (missing && n >= 0) {
        n = take_datagrams(post->asks, dice(&post->seed) % 2 == 0, messages, each);
        for (int i = 0; i < n; i++) {
            uint32_t which = messages[i].number - post->number;

            if (!check_message(post, &messages[i], each[i].len) || which >= (uint32_t)count ||
                !(missing & 1U << which))
                fail("a datagram that was not sent, or came twice", messages[i].number, n);
            else
                missing &= ~(1U << which);
        }
    }
    post->number += (uint32_t)count;
    return n < 0 ? n : 0;
}

/* Nothing is on its way: who waits does so until his deadline. */
static void ask_nobody(const struct post *post)
{
    CO_DEADLINE(50 * CO_US);
    char byte;
    ssize_t n = co_recv(post->asks, &byte, 1);

    if (n != -ETIMEDOUT && n != -ECANCELED)
        fail("a datagram that nobody has sent", n, post->asks);
    atomic_fetch_add(&torture_counts.timeouts, n == -ETIMEDOUT);
}

static int open_post(struct post *post, bool local)
{
    struct co_addr addr;
    char text[CO_ADDR_TEXT];

    post->answers = co_datagram_bind(NULL, local ? "unix:@" : "127.0.0.1:0");
    if (post->answers < 0)
        return post->answers;
    if (co_local_addr(post->answers, &addr) != 0)
        fail("the address of a datagram socket", post->answers, 0);
    (void)co_addr_print(&addr, text);
    post->asks = co_datagram_connect(NULL, NULL, text);
    if (post->asks < 0)
        (void)co_close(post->answers);
    return post->asks < 0 ? post->asks : 0;
}

int torture_datagrams(int actor, uint32_t chance)
{
    struct post post = {.id = (uint64_t)chance << 16 | (uint32_t)actor, .seed = chance | 1};
    int r = open_post(&post, chance % 3 == 0);

    if (r < 0)
        return r;
    {
        CO_GROUP(group);

        if (co_group_go(&group, answer_post, &post) < 0)
            fail("who answers datagrams", 0, 0);
        for (uint32_t i = 0; i < chance / 4 % 4 + 1 && r == 0; i++)
            r = ask_post(&post);
        if (r < 0)
            fail("asking by datagrams", r, post.asks);
        if (chance / 16 % 2 == 0)
            ask_nobody(&post);
        torture_until_inside(post.answers);
        atomic_store(&post.told, 1);
        /* The asking one goes first: else its datagrams could come to who gets the port next. */
        if (co_close(post.asks) != 0)
            fail("closing a datagram socket", post.asks, 0);
        if (chance / 32 % 2 == 0 && co_hangup(post.answers) != 0)
            fail("hanging a datagram socket up", post.answers, 0);
        if (co_close(post.answers) != 0)
            fail("closing a datagram socket that is waited for", post.answers, 0);
    }
    return 0;
}

/* ---- many descriptors of a library ---- */

enum { LOANS = 6 };

struct loans {
    int ours[LOANS], theirs[LOANS]; /* the ends of socket pairs; ours are adopted */
    int count;
    _Atomic int written[LOANS]; /* bytes that somebody has written, or is about to */
    _Atomic int read[LOANS];
    _Atomic int told; /* one of them will go */
};

static unsigned char loan_byte(int which, int number)
{
    return (unsigned char)(which * 41 + number * 3 + 1);
}

/* Reads one byte of each that is said to be ready. */
static void take_loans(struct loans *loans, const struct co_fd_wait *waits)
{
    for (int i = 0; i < loans->count; i++) {
        int number = atomic_load(&loans->read[i]);
        unsigned char byte = 0;

        if (!waits[i].ready)
            continue;
        if (number >= atomic_load(&loans->written[i]))
            fail("one of many is ready, and nobody has written", i, waits[i].ready);
        else if (recv(loans->ours[i], &byte, 1, MSG_DONTWAIT) != 1 || byte != loan_byte(i, number))
            fail("the byte of one of many", i, byte);
        else
            atomic_store(&loans->read[i], number + 1);
    }
}

static int wait_for_all(void *arg)
{
    struct loans *loans = arg;
    struct co_fd_wait waits[LOANS];
    int r;

    do {
        for (int i = 0; i < loans->count; i++)
            waits[i] = (struct co_fd_wait){loans->ours[i], CO_READABLE, 0};
        r = co_fd_wait_any(waits, loans->count);
        atomic_fetch_add(&torture_counts.waits, 1);
        if (r > 0)
            take_loans(loans, waits);
        if (r == -EBUSY) /* somebody looks whether we are in there */
            (void)co_yield();
    } while (r > 0 || r == -EBUSY);
    if (r != -ECANCELED || !(atomic_load(&loans->told) || co_check() == -ECANCELED))
        fail("waiting for many", r, loans->count);
    return 0;
}

/* Writes to some of them, and waits until all has been read. */
static void write_to_some(struct loans *loans, uint32_t *chance)
{
    for (uint32_t left = dice(chance) % 8 + 1; left > 0; left--) {
        int i = (int)(dice(chance) % (uint32_t)loans->count);
        int number = atomic_fetch_add(&loans->written[i], 1);
        unsigned char byte = loan_byte(i, number);

        if (write(loans->theirs[i], &byte, 1) != 1)
            fail("writing to one of many", i, 0);
        if (*chance % 3 == 0)
            (void)co_yield();
    }
    for (int i = 0; i < loans->count; i++) {
        while (atomic_load(&loans->read[i]) < atomic_load(&loans->written[i]))
            (void)co_yield();
    }
}

/* Takes one away from who waits for all. */
static void take_away(struct loans *loans, int which, uint32_t chance)
{
    int *fd = &loans->ours[which];
    int r;

    torture_until_inside(*fd);
    atomic_store(&loans->told, 1);
    switch (chance % 3) {
    case 0:
        r = co_close(*fd);
        *fd = -1;
        break;
    case 1:
        r = co_release(*fd);
        (void)close(*fd);
        *fd = -1;
        break;
    default:
        r = co_hangup(*fd);
    }
    if (r != 0)
        fail("taking one of many away", r, (long long)(chance % 3));
}

int torture_lend_many(int actor, uint32_t chance)
{
    struct loans loans = {0};
    uint32_t seed = chance | 1;

    (void)actor;
    while (loans.count < 2 + (int)(chance % (LOANS - 1))) {
        int ends[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
            break; /* as many as there are */
        loans.ours[loans.count] = ends[0];
        loans.theirs[loans.count++] = ends[1];
        if (co_adopt(ends[0]) != 0)
            fail("co_adopt", ends[0], 0);
        atomic_fetch_add(&torture_counts.adopted, 1);
    }
    if (loans.count > 0) {
        CO_GROUP(group);

        if (co_group_go(&group, wait_for_all, &loans) < 0)
            fail("who waits for many", 0, 0);
        for (uint32_t i = 0; i < chance / 8 % 4; i++)
            write_to_some(&loans, &seed);
        take_away(&loans, (int)(dice(&seed) % (uint32_t)loans.count), chance / 32);
        if (co_group_wait(&group) < 0)
            fail("who waited for many", group.error, 0);
    }
    for (int i = 0; i < loans.count; i++) {
        if (loans.ours[i] >= 0 && co_close(loans.ours[i]) != 0)
            fail("closing one of many", loans.ours[i], 0);
        (void)close(loans.theirs[i]);
    }
    return loans.count > 0 ? 0 : -EAGAIN;
}
