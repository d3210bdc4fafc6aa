/* SPDX-License-Identifier: MIT */
/* apps/ask - TCP client with a pool: one line out, one line back. Usage: ask host:port */
#include <co/co.h>
#include <stdio.h>
#include <string.h>

enum { CLIENTS = 8, QUESTIONS = 4, CONNECTIONS = 3 };

static ssize_t ask(struct co_pool *pool, const char *line, char *rsp, size_t cap)
{
    CO_DEADLINE(2 * CO_SEC); /* can only shorten what the caller allowed */
    CO_LEASE(lease, pool);   /* idle in this worker's shard, in another's, or new */
    size_t len = 0;

    if (lease.err < 0)
        return lease.err;
    int fd = co_lease_fd(&lease);
    ssize_t n = co_send(fd, line, strlen(line));
    while (n >= 0 && (len == 0 || rsp[len - 1] != '\n')) {
        if (len == cap)
            return -EMSGSIZE;
        n = co_recv(fd, rsp + len, cap - len);
        if (n <= 0)
            return n < 0 ? n : -ECONNRESET;
        len += (size_t)n;
    }
    if (n < 0)
        return n;
    co_lease_keep(&lease); /* the exchange is complete: only now may it go back */
    return (ssize_t)len;
} /* closed here unless kept */

struct run {
    char *address;
    struct co_pool *pool;
    int left;   /* clients that have not ended */
    int failed; /* questions without an answer */
};

/* Counts `n` clients as ended; the last one frees the pool. */
static void leave(struct run *run, int n)
{
    /* acq_rel: the last one sees what all others did before. */
    if (__atomic_sub_fetch(&run->left, n, __ATOMIC_ACQ_REL) == 0)
        co_pool_free(run->pool);
}

static void client(void *arg)
{
    struct run *run = arg;
    char line[64], rsp[256];

    for (int i = 1; i <= QUESTIONS; i++) {
        snprintf(line, sizeof line, "question %d of coroutine %llu\n", i,
                 (unsigned long long)co_self());
        ssize_t n = ask(run->pool, line, rsp, sizeof rsp);
        if (n > 0) {
            printf("%.*s", (int)n, rsp);
        } else {
            fprintf(stderr, "ask: %s: %s\n", run->address, co_strerror((int)n));
            /* Relaxed: main reads it after co_run has ended. */
            (void)__atomic_fetch_add(&run->failed, 1, __ATOMIC_RELAXED);
        }
    }
    leave(run, 1);
}

static int start(void *arg)
{
    struct run *run = arg;
    struct co_pool_conf conf = {.name = "ask", .max = CONNECTIONS};

    run->pool = co_pool_new(&co_tcp_backend, run->address, &conf);
    if (run->pool == NULL)
        return -ENOMEM;
    for (int i = 0; i < CLIENTS; i++) {
        int r = co_go(client, run);
        if (r < 0) {
            leave(run, CLIENTS - i);
            return r;
        }
    }
    return 0;
}

int main(int argc, char *argv[])
{
    struct run run = {.left = CLIENTS};

    if (argc != 2) {
        fprintf(stderr, "usage: ask host:port\n");
        return 2;
    }
    run.address = argv[1];
    return co_run(start, &run) < 0 || run.failed > 0;
}
