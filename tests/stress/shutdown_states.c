/* SPDX-License-Identifier: MIT */
/* shutdown_states.c - the states in which shutdown.c stops a runtime. */
#include "stress/shutdown.h"
#include "stress/stress.h"
#include <co/dir.h>
#include <co/group.h>
#include <co/net.h>
#include <co/offload.h>
#include <co/process.h>
#include <co/scope.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

/* At once, of those that plain threads start: they must not keep the runtime from its end. */
enum { OUTSIDE_MOST = 64 / STRESS_SLOWER };
#define LONG (3600 * CO_SEC)

struct co_sem outside_sem;
struct co_event outside_event;
struct co_chan *outside_chan;
_Atomic(co_ticket) outside_tickets[16];
_Atomic int64_t outside_begun, outside_ended;

/* ---- states; each returns when it is told to ---- */

/* The end of a wait for what nobody gives. */
static void told(int r)
{
    if (r != -ECANCELED && r != -ETIMEDOUT)
        fail("a wait for what nobody gives", r, 0);
}

static void sleeps(struct scene *scene, uint32_t chance)
{
    (void)scene;
    (void)co_sleep(chance % 2 ? LONG : CO_SEC);
}

static void computes(struct scene *scene, uint32_t chance)
{
    (void)scene;
    while (co_check() == 0) {
        int64_t end = co_now() + (int64_t)(chance % 200) * CO_US;

        while (co_now() < end)
            continue;
    }
}

static void yields(struct scene *scene, uint32_t chance)
{
    (void)scene;
    (void)chance;
    while (co_yield() == 0)
        continue;
}

static int blocks(void *arg)
{
    (void)arg;
    return usleep(500);
}

static void offloads(struct scene *scene, uint32_t chance)
{
    int called;

    (void)scene;
    (void)chance;
    while (co_offload(blocks, NULL, &called) == 0)
        continue;
}

static void drops(void *arg)
{
    free(arg);
}

static void detaches(struct scene *scene, uint32_t chance)
{
    (void)scene;
    (void)chance;
    while (co_check() == 0) {
        void *block = malloc(64);

        if (co_offload_detached(drops, block) < 0)
            free(block);
        (void)co_sleep(CO_MS);
    }
}

static void selects(struct scene *scene, uint32_t chance)
{
    char byte = 0;
    struct co_case cases[3] = {
        {.chan = scene->empty, .kind = CO_CASE_RECV, .value = &byte},
        {.chan = scene->full, .kind = CO_CASE_SEND, .value = &byte},
        {.chan = NULL},
    };

    (void)chance;
    told(co_select(cases, 3, 0));
}

static void uses_channels(struct scene *scene, uint32_t chance)
{
    char byte = 0;

    if (chance % 2)
        told(co_chan_recv(scene->empty, &byte));
    else
        told(co_chan_send(scene->full, &byte));
}

static void locks(struct scene *scene, uint32_t chance)
{
    if (chance % 2) {
        if (co_mutex_lock(&scene->mutex) < 0)
            return;
        (void)co_sleep(LONG);
        co_mutex_unlock(&scene->mutex);
        return;
    }
    if ((chance % 4 ? co_rwlock_write : co_rwlock_read)(&scene->rwlock) < 0)
        return;
    (void)co_sleep(LONG);
    co_rwlock_unlock(&scene->rwlock);
}

static void waits_for_a_signal(struct scene *scene, uint32_t chance)
{
    CO_LOCK(&scene->of_cond);

    (void)chance;
    while (co_cond_wait(&scene->cond, &scene->of_cond) == 0)
        continue;
}

static void waits(struct scene *scene, uint32_t chance)
{
    switch (chance % 4) {
    case 0:
        told(co_sem_take(&scene->sem));
        break;
    case 1:
        told(co_event_wait(&scene->event));
        break;
    case 2:
        told(co_wait_group_wait(&scene->group));
        break;
    default:
        told(co_barrier_wait(&scene->barrier));
    }
}

static int sleep_in_once(void *arg)
{
    (void)arg;
    return co_sleep(LONG);
}

static void makes_once(struct scene *scene, uint32_t chance)
{
    (void)chance;
    told(co_once_do(&scene->once, sleep_in_once, NULL));
}

static int sleep_in_group(void *arg)
{
    int depth = (int)(intptr_t)arg;
    CO_GROUP(group);

    for (int i = 0; depth > 0 && i < 2; i++) {
        if (co_group_go(&group, sleep_in_group, (void *)(intptr_t)(depth - 1)) < 0)
            break;
    }
    return depth > 0 ? co_group_wait(&group) : co_sleep(LONG);
}

static void opens_groups(struct scene *scene, uint32_t chance)
{
    (void)scene;
    (void)sleep_in_group((void *)(intptr_t)(chance % 4));
}

static void nothing(void *arg)
{
    atomic_fetch_add((_Atomic int64_t *)arg, 1);
}

static void starts_others(struct scene *scene, uint32_t chance)
{
    (void)chance;
    while (co_yield() == 0) {
        if (atomic_load(&scene->begun) - atomic_load(&scene->ended) > scene->most)
            continue;
        atomic_fetch_add(&scene->begun, 1);
        if (co_go(nothing, &scene->ended) < 0)
            atomic_fetch_sub(&scene->begun, 1);
    }
}

static void stays_pinned(struct scene *scene, uint32_t chance)
{
    CO_PIN();

    (void)scene;
    while (co_sleep((int64_t)(chance % 1000) * CO_US) == 0)
        continue;
}

static void says_goodbye(struct scene *scene, uint32_t chance)
{
    (void)scene;
    (void)co_sleep(LONG);
    {
        CO_GRACE((int64_t)(chance % 3000) * CO_US);

        (void)co_sleep(CO_MS);
    }
}

static int leave_ticket(co_ticket self, void *arg)
{
    atomic_store(&outside_tickets[(uintptr_t)arg % 16], self);
    return 0;
}

static void waits_for_outside(struct scene *scene, uint32_t chance)
{
    char byte;
    int r = 0;

    (void)scene;
    while (r >= 0) {
        switch (chance++ % 4) {
        case 0:
            r = co_park(leave_ticket, (void *)(uintptr_t)chance, 0);
            break;
        case 1:
            r = co_sem_take(&outside_sem);
            break;
        case 2:
            r = co_event_wait(&outside_event);
            co_event_clear(&outside_event);
            break;
        default:
            r = co_chan_recv(outside_chan, &byte);
        }
    }
}

/* ---- sockets ---- */

static void receives(struct scene *scene, uint32_t chance)
{
    CO_FD(fd, co_connect(atomic_load(&scene->address)));
    char buf[64];

    (void)chance;
    while (fd >= 0 && co_recv(fd, buf, sizeof buf) > 0)
        continue;
}

static void sends(struct scene *scene, uint32_t chance)
{
    static const char much[1 << 16];
    CO_FD(fd, co_connect(atomic_load(&scene->address)));

    (void)chance;
    while (fd >= 0 && co_send(fd, much, sizeof much) > 0)
        continue;
}

static void close_it(void *arg, int why)
{
    (void)why;
    (void)co_close((int)(intptr_t)arg);
}

/* Accepts; of three it leaves one to what may come, one to a reader, and closes one. */
static void accepts(struct scene *scene, uint32_t chance)
{
    CO_FD(lfd, co_listen("127.0.0.1:0"));

    (void)chance;
    if (lfd < 0)
        return;
    (void)snprintf(scene->text, sizeof scene->text, "127.0.0.1:%d", co_local_port(lfd));
    atomic_store(&scene->address, scene->text);
    for (int i = 0;; i++) {
        CO_FD(fd, co_accept(lfd));

        if (fd < 0)
            return;
        if (i % 3 == 0 && co_go_when(fd, close_it, (void *)(intptr_t)fd) == 0)
            (void)co_fd_take(&fd);
    }
}

static void accepts_in_vain(struct scene *scene, uint32_t chance)
{
    CO_FD(lfd, co_listen("127.0.0.1:0"));

    (void)scene;
    (void)chance;
    if (lfd >= 0 && co_accept(lfd) >= 0)
        fail("a connection that nobody made", 0, 0);
}

/* To where nobody takes anybody in: the kernel drops what comes once the queue is full. */
static void connects(struct scene *scene, uint32_t chance)
{
    CO_FD(fd, co_connect(chance % 8 ? scene->crowded : "localhost:1"));

    if (fd >= 0)
        (void)co_sleep(LONG);
}

static void is_hung_up(struct scene *scene, uint32_t chance)
{
    int fd = scene->peers[chance % 4];
    char byte;

    (void)co_sleep((int64_t)(chance % 1000) * CO_US);
    if (fd >= 0 && chance % 16 == 0)
        (void)co_hangup(fd);
    else if (fd >= 0 && co_recv(fd, &byte, 1) > 0)
        fail("a byte that nobody sent", byte, 0);
}

static void reads_files(struct scene *scene, uint32_t chance)
{
    struct co_dir_entry entry;
    ssize_t n;

    (void)scene;
    do {
        char *data = NULL;
        CO_DIR(dir, "/proc/self/task");

        n = co_dir_next(&dir, &entry);
        if (n > 0 && chance % 2)
            n = co_file_load("/proc/self/status", 1 << 20, &data);
        free(data);
    } while (n > 0);
    told((int)n);
}

/* Programs that only a kill ends; some are told by their input, which they do not read. */
static void runs_programs(struct scene *scene, uint32_t chance)
{
    const struct co_process_opts opts = {.in = CO_PROCESS_PIPE, .own_group = chance % 2 != 0};
    const char *argv[] = {"sleep", "3600", NULL};
    static char much[1 << 17];
    CO_PROCESS(program);
    int r = co_process_start(&program, &opts, argv);

    (void)scene;
    if (r == 0)
        r = chance % 4 == 0 ? (int)co_send(program.in, much, sizeof much)
                            : co_process_wait(&program);
    if (r != -EMFILE && r != -EAGAIN)
        told(r);
}

static void (*const states[])(struct scene *scene, uint32_t chance) = {
    sleeps,
    computes,
    yields,
    offloads,
    detaches,
    selects,
    uses_channels,
    locks,
    waits_for_a_signal,
    waits,
    makes_once,
    opens_groups,
    starts_others,
    stays_pinned,
    says_goodbye,
    waits_for_outside,
    receives,
    sends,
    accepts_in_vain,
    connects,
    is_hung_up,
    reads_files,
    runs_programs,
    sleeps,
    waits,
    waits_for_outside,
};

void play_extra(void *arg)
{
    struct extra *extra = arg;
    struct scene *scene = extra->scene;

    {
        CO_DEADLINE(scene->longest == CO_NEVER ? CO_NEVER
                                               : (int64_t)extra->chance % scene->longest);

        if (extra->chance == 0)
            accepts(scene, 0);
        else
            states[extra->chance % (sizeof states / sizeof *states)](scene, extra->chance >> 8);
    }
    atomic_fetch_add(&scene->ended, 1);
}

/* ---- the scene ---- */

/* A socket that listens and whose queue is full at once. */
static int open_deaf(struct scene *scene)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0 || listen(fd, 0) < 0 ||
        getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
        abort(); /* nothing to be learnt from going on */
    (void)snprintf(scene->crowded, sizeof scene->crowded, "127.0.0.1:%d", ntohs(addr.sin_port));
    return fd;
}

int scene_open(struct scene *scene)
{
    char byte = 0;

    atomic_store(&scene->address, "127.0.0.1:1");
    for (int i = 0; i < 4; i++)
        scene->peers[i] = -1;
    scene->empty = co_chan_new(1, 0);
    scene->full = co_chan_new(1, 1);
    (void)co_wait_group_add(&scene->group, 1);
    scene->deaf = open_deaf(scene);
    if (!scene->empty || !scene->full || co_barrier_init(&scene->barrier, 1 << 20) < 0 ||
        co_chan_try_send(scene->full, &byte) < 0)
        return -ENOMEM;
    return 0;
}

void scene_close(struct scene *scene)
{
    co_mutex_done(&scene->mutex);
    co_mutex_done(&scene->of_cond);
    co_cond_done(&scene->cond);
    co_rwlock_done(&scene->rwlock);
    co_sem_done(&scene->sem);
    co_event_done(&scene->event);
    co_barrier_done(&scene->barrier);
    co_chan_free(scene->empty);
    co_chan_free(scene->full);
    (void)close(scene->deaf);
}

/* ---- from outside ---- */

void call_in(uint32_t chance)
{
    char byte = 1;

    if (atomic_load(&outside_begun) - atomic_load(&outside_ended) < OUTSIDE_MOST) {
        atomic_fetch_add(&outside_begun, 1);
        if (co_go(nothing, &outside_ended) < 0)
            atomic_fetch_sub(&outside_begun, 1);
    }
    co_sem_give(&outside_sem, chance % 3);
    co_event_set(&outside_event);
    if (co_chan_try_send(outside_chan, &byte) == -EPIPE)
        fail("a channel that nobody closed", 0, 0);
    (void)co_unpark(atomic_load(&outside_tickets[chance % 16]), 0);
    if (chance % 4 == 0) {
        co_ticket ticket = atomic_exchange(&outside_tickets[chance / 16 % 16], 0);

        if (ticket && co_claim(ticket, 0))
            co_finish(ticket);
    }
    if (co_workers() < 0 || co_worker() != -1)
        fail("a plain thread's worker", co_worker(), co_workers());
}
