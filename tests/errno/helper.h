/* SPDX-License-Identifier: MIT */
/* tests/errno/helper.h - an inline function of somebody else's that uses errno. */
#ifndef TESTS_ERRNO_HELPER_H
#define TESTS_ERRNO_HELPER_H

#include <errno.h>

static inline int last_error(void)
{
    return errno;
}

static inline void no_error(void)
{
    errno = 0;
}

#endif
