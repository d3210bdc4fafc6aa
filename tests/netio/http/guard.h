/* SPDX-License-Identifier: MIT */
/* Memory that ends at a guard page: who reads one octet too many is killed. */
#ifndef TESTS_HTTP_GUARD_H
#define TESTS_HTTP_GUARD_H

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define GUARD_ROOM 65536

struct guard {
    char *base, *end;
};

static inline struct guard guard_open(void)
{
    char *p =
        mmap(NULL, GUARD_ROOM + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED || mprotect(p + GUARD_ROOM, 4096, PROT_NONE) != 0)
        abort();
    return (struct guard){p, p + GUARD_ROOM};
}

/* A copy of the octets that ends where the guard page begins. */
static inline char *guard_copy(const struct guard *g, const char *data, size_t len)
{
    return memcpy(g->end - len, data, len);
}

static inline void guard_close(struct guard *g)
{
    (void)munmap(g->base, GUARD_ROOM + 4096);
}

#endif
