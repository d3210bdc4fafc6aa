/* SPDX-License-Identifier: MIT */
/*
 * connects [COUNT CLIENTS WORKERS] - so many connections are made and end, and leave nothing.
 *
 * Clients and server are coroutines of one runtime. A connection's end is drawn by lot: after a
 * message and its echo the client closes, or the server does, or the client says that it will send
 * no more and waits for the end; or the client closes without a word, or with a reset in the midst.
 * A twentieth of COUNT comes first and brings what is needed once; then all of them. Afterwards,
 * with the runtime still there, its loops own no descriptor but the listener's, the process has as
 * many as before, and neither resident nor allocated memory has grown; and when the runtime has
 * ended, there is no descriptor of its either.
 */
#include "stress.h"
#include <co/group.h>
#include <co/net.h>
#include <co/scope.h>
#include <co/sockopt.h>
#include <sys/socket.h>

enum { COUNT = 100000, CLIENTS = 64, WORKERS = 4, ADDRESSES = 16, MESSAGE = 64 };
enum end { CLIENT_CLOSES, SERVER_CLOSES, HALF_CLOSE, SILENT, RESET, ENDS };

static int count = COUNT, clients = CLIENTS, workers = WORKERS;
static int port;
static _Atomic int to_go;
static _Atomic long ended[ENDS];
static _Atomic long served;

/* What is there at rest. */
struct rest {
    int64_t sockets, live, resident, allocated;
    int descriptors;
};

/* ---- the server ---- */

static void serve_one(int conn, void *arg)
{
    CO_FD(fd, conn);
    char buf[MESSAGE];
    ssize_t n;

    (void)arg;
    atomic_fetch_add(&served, 1);
    for (;;) {
        CO_DEADLINE(60 * CO_SEC * STRESS_SLOWER);
        n = co_recvn(fd, buf, sizeof buf);
        if (n < MESSAGE || co_send(fd, buf, sizeof buf) < 0 || buf[0] == SERVER_CLOSES)
            break;
    }
    if (n == -ETIMEDOUT)
        fail("the server waits for a client", n, 0);
}

static void serve(int fd)
{
    CO_FD(lfd, fd);
    int r = co_serve(lfd, serve_one, NULL);

    if (r < 0)
        fail("serving", r, 0);
}

/* ---- the clients ---- */

/* Returns: what co_recv says after the whole message; less than 0 if it did not come back. */
static ssize_t exchange(int fd, const char *message)
{
    char back[MESSAGE];
    ssize_t n = co_send(fd, message, MESSAGE);

    if (n == MESSAGE)
        n = co_recvn(fd, back, MESSAGE);
    if (n == MESSAGE && memcmp(back, message, MESSAGE) != 0)
        fail("another message came back", message[0], back[0]);
    return n == MESSAGE ? 0 : -EPROTO;
}

static int use(int fd, enum end end, char *message)
{
    int r = 0;

    message[0] = (char)end;
    if (end == RESET) {
        r = co_set_reset_on_close(fd, true);
        return r < 0 || co_send(fd, message, MESSAGE) == MESSAGE ? r : -EPROTO;
    }
    if (end != SILENT)
        r = (int)exchange(fd, message);
    if (r == 0 && end == HALF_CLOSE)
        r = co_shutdown(fd, SHUT_WR);
    if (r == 0 && (end == HALF_CLOSE || end == SERVER_CLOSES))
        r = (int)co_recv(fd, message, MESSAGE);
    return r;
}

/* To one of several loopback addresses, so that there are ports enough. */
static void connect_once(uint32_t *seed)
{
    CO_DEADLINE(60 * CO_SEC * STRESS_SLOWER);
    enum end end = (enum end)(dice(seed) % ENDS);
    char address[32], message[MESSAGE];
    int r;

    snprintf(address, sizeof address, "127.0.0.%u:%d", 1 + dice(seed) % ADDRESSES, port);
    CO_FD(fd, co_connect(address));
    if (fd < 0) {
        fail("connecting", fd, end);
        return;
    }
    memset(message, (int)(dice(seed) & 0x7f), sizeof message);
    r = use(fd, end, message);
    if (r != 0)
        fail("a connection ends in another way", r, end);
    atomic_fetch_add(&ended[end], 1);
}

static int client(void *arg)
{
    uint32_t seed = (uint32_t)(uintptr_t)arg * 2654435761U | 1;

    while (atomic_fetch_sub(&to_go, 1) > 0)
        connect_once(&seed);
    return 0;
}

/* ---- what is left ---- */

static int64_t live(void)
{
    return stress_stat("spawned") - stress_stat("ended");
}

static void connect_all(int number)
{
    CO_GROUP(group);

    atomic_store(&to_go, number);
    for (int i = 1; i <= clients; i++) {
        if (co_group_go(&group, client, (void *)(intptr_t)i) < 0)
            fail("starting a client", i, 0);
    }
    if (co_group_wait(&group) < 0)
        fail("waiting for the clients", group.error, 0);
}

/* The server's ends come after the clients'; whoever does not come to one, fails. */
static struct rest come_to_rest(const struct rest *before)
{
    int64_t until = co_now() + 60 * CO_SEC * STRESS_SLOWER;

    while ((stress_stat("net_sockets") != before->sockets || live() != before->live) &&
           co_now() < until)
        (void)co_sleep(CO_MS);
    if (stress_stat("net_sockets") != before->sockets)
        fail("slots are left", stress_stat("net_sockets"), before->sockets);
    if (live() != before->live)
        fail("coroutines are left", live(), before->live);
    return (struct rest){before->sockets, before->live, stress_memory("VmRSS"), stress_allocated(),
                         stress_descriptors()};
}

static void compare(const struct rest *warm, const struct rest *after)
{
    printf("connects: at rest: resident %.2f MiB, then %.2f MiB; allocated %.1f KiB, then %.1f "
           "KiB; descriptors %d, then %d\n",
           (double)warm->resident / 1048576, (double)after->resident / 1048576,
           (double)warm->allocated / 1024, (double)after->allocated / 1024, warm->descriptors,
           after->descriptors);
    if (after->descriptors != warm->descriptors)
        fail("descriptors are left", after->descriptors, warm->descriptors);
    if (STRESS_SLOWER > 1)
        return; /* sanitizers keep memory for themselves */
    /* Less than one byte for each connection: a few stacks more may have been in use at once. */
    if (after->resident > warm->resident + (4 << 20))
        fail("resident memory has grown", after->resident, warm->resident);
    if (after->allocated > warm->allocated + (16 << 10))
        fail("allocated memory has grown", after->allocated, warm->allocated);
}

static int run(void *arg)
{
    CO_FD(lfd, co_listen("0.0.0.0:0"));
    struct rest none, warm, after;
    int mine = lfd;

    (void)arg;
    port = co_local_port(lfd);
    if (lfd < 0 || co_go_fd(serve, co_fd_take(&lfd)) < 0)
        return -EIO;
    none = (struct rest){.sockets = 1, .live = live()};
    connect_all(count / 20 + clients);
    warm = come_to_rest(&none);
    connect_all(count);
    after = come_to_rest(&none);
    compare(&warm, &after);
    return co_hangup(mine);
}

int main(int argc, char **argv)
{
    int *const numbers[] = {&count, &clients, &workers};
    int descriptors = stress_descriptors();
    struct co_conf conf;
    long all = 0;
    int r;

    for (int i = 1; i < argc && i <= 3; i++)
        *numbers[i - 1] = atoi(argv[i]);
    (void)alarm(300 * STRESS_SLOWER);
    co_conf_init(&conf);
    conf.threads = workers;
    conf.stall_report = 0;
    r = co_run_with(&conf, run, NULL);
    if (stress_descriptors() > descriptors + STRESS_KEPT)
        fail("descriptors of an ended runtime", stress_descriptors(), descriptors);
    for (int i = 0; i < ENDS; i++)
        all += atomic_load(&ended[i]);
    printf("connects: %ld connections (closed by the client %ld, by the server %ld, half %ld, "
           "silent %ld, reset %ld), %ld served, result %d, %llu failures\n",
           all, ended[CLIENT_CLOSES], ended[SERVER_CLOSES], ended[HALF_CLOSE], ended[SILENT],
           ended[RESET], served, r, (unsigned long long)stress_failures);
    return r < 0 || stress_failures > 0 || all < count;
}
