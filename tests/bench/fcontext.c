/* SPDX-License-Identifier: MIT */
/*
 * fcontext - the limit: how long Boost.Context's switch takes, there and back, and nothing else.
 *
 * usage: fcontext COUNT
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { STACK = 65536 };

struct transfer {
    void *fctx;
    void *data;
};
extern struct transfer jump_fcontext(void *to, void *data);
extern void *make_fcontext(void *top, size_t size, void (*fn)(struct transfer));

static void bounce(struct transfer t)
{
    for (;;)
        t = jump_fcontext(t.fctx, t.data);
}

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

int main(int argc, char **argv)
{
    long count = argc == 2 ? strtol(argv[1], NULL, 10) : 0;
    char *stack = aligned_alloc(64, STACK);
    struct transfer t;
    int64_t now, cpu;

    if (count < 1 || !stack) {
        fprintf(stderr, "usage: fcontext COUNT\n");
        return 2;
    }
    t.fctx = make_fcontext(stack + STACK, STACK, bounce);
    for (long i = count / 10; i >= 0; i--)
        t = jump_fcontext(t.fctx, NULL);
    now = clock_ns(CLOCK_MONOTONIC);
    cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (long i = count; i > 0; i--)
        t = jump_fcontext(t.fctx, NULL);
    printf("cpu_ns %.1f\n", (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu) / (double)count);
    printf("ns %.1f\n", (double)(clock_ns(CLOCK_MONOTONIC) - now) / (double)count);
    free(stack);
    return 0;
}
