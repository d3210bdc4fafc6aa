/* SPDX-License-Identifier: MIT */
/* errno.c - the address behind co/errno.h, asked of the thread at every call. */
#include <co/errno.h>

__attribute__((noinline)) int *co_errno_location(void)
{
    int *location = __errno_location();

    /* Keeps the compiler from seeing that this only passes on a function declared const. */
    __asm__ volatile("" : "+r"(location));
    return location;
}
