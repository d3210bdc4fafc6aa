/* SPDX-License-Identifier: MIT */
/* torture_links.c - links, their bytes, and who may have caused what is seen on them. */
#include "stress/torture.h"

#include <co/group.h>
#include <co/net.h>
#include <co/scope.h>
#include <sys/socket.h>

enum { ACTORS_MAX = 1000, EACH = 16 };

struct torture_counts torture_counts;
_Atomic int torture_ending;

static struct torture_link links[ACTORS_MAX * EACH];
static _Atomic uint64_t takings;

struct torture_link *torture_link_of(uint64_t id)
{
    uint64_t index = id & 0xffff;

    return index < sizeof links / sizeof *links ? &links[index] : NULL;
}

struct torture_link *torture_link_take(int actor)
{
    for (int i = 0; i < EACH; i++) {
        struct torture_link *link = &links[actor * EACH + i];

        if (atomic_load(&link->id) != 0)
            continue;
        atomic_store(&link->left[CLIENT], 0);
        atomic_store(&link->left[SERVER], 0);
        atomic_store(&link->served, 0);
        atomic_store(&link->id,
                     (atomic_fetch_add(&takings, 1) + 1) << 16 | (uint64_t)(actor * EACH + i));
        return link;
    }
    return NULL;
}

void torture_link_give(struct torture_link *link)
{
    atomic_store(&link->id, 0);
}

static unsigned char byte_at(uint64_t id, enum torture_end from, uint64_t at)
{
    return (unsigned char)((id >> 16) * 31 + id * 17 + at * 7 + (at >> 8) * 13 + (from ? 101 : 0));
}

/* Whether the other end has said that it goes. Its link may be another's by now: then it has. */
static bool other_left(const struct torture_half *half)
{
    if (half->end == CLIENT)
        return atomic_load(&half->link->left[SERVER]) || atomic_load(&torture_ending);
    return atomic_load(&half->link->left[CLIENT]) || atomic_load(&half->link->id) != half->id;
}

/* Whether a result that is no success may be. */
static ssize_t judge(const struct torture_half *half, ssize_t r, const char *what)
{
    bool good;

    switch (r) {
    case 0:
    case -ECONNRESET:
    case -EPIPE:
        good = other_left(half) || atomic_load(&half->link->left[half->end]);
        break;
    case -ECANCELED:
        good = atomic_load(&half->hung) || co_check() == -ECANCELED;
        break;
    case -ETIMEDOUT:
        good = co_left() <= 0;
        break;
    default:
        good = false;
    }
    if (good)
        return r;
    fail(what, r, half->fd);
    return -EPROTO;
}

ssize_t torture_send(struct torture_half *half, size_t len)
{
    unsigned char buf[2048];
    ssize_t n;

    len = len > sizeof buf ? sizeof buf : len > 0 ? len : 1;
    for (size_t i = 0; i < len; i++)
        buf[i] = byte_at(half->id, half->end, half->sent + i);
    n = co_send(half->fd, buf, len);
    if (n < 0)
        return judge(half, n, "send");
    half->sent += (uint64_t)n;
    return n;
}

ssize_t torture_recv(struct torture_half *half, size_t cap)
{
    enum torture_end from = half->end == CLIENT ? SERVER : CLIENT;
    unsigned char buf[2048];
    ssize_t n = co_recv(half->fd, buf, cap < sizeof buf ? cap : sizeof buf);

    if (n <= 0)
        return judge(half, n, "receive");
    for (ssize_t i = 0; i < n; i++) {
        if (buf[i] != byte_at(half->id, from, half->received + (uint64_t)i)) {
            fail("a stranger's byte, or a lost one", (long long)half->id, half->fd);
            return -EPROTO;
        }
    }
    half->received += (uint64_t)n;
    atomic_fetch_add(&torture_counts.bytes, (uint64_t)n);
    return n;
}

void torture_leave(struct torture_half *half)
{
    if (half->end == CLIENT || atomic_load(&half->link->id) == half->id)
        atomic_store(&half->link->left[half->end], 1);
}

void torture_close(struct torture_half *half)
{
    const struct linger hard = {.l_onoff = 1};

    torture_leave(half);
    if (half->end == CLIENT && half->seed % 4 != 0) { /* ports are few */
        (void)setsockopt(half->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        atomic_fetch_add(&torture_counts.resets, 1);
    }
    if (co_close(half->fd) != 0)
        fail("close", half->fd, 0);
    half->fd = -1;
}

static int hang_up_soon(void *arg)
{
    struct torture_half *half = arg;

    (void)co_sleep((int64_t)((half->id >> 16) % 300) * CO_US);
    torture_leave(half);
    atomic_store(&half->hung, 1);
    atomic_fetch_add(&torture_counts.hangups, 1);
    return co_hangup(half->fd);
}

int torture_befriend(struct co_group *group, struct torture_half *half)
{
    int r = co_group_go(group, hang_up_soon, half);

    return r == -ECANCELED ? 0 : r; /* we have been told to end */
}
