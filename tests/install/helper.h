/* SPDX-License-Identifier: MIT */
/* A header of somebody else, which knows nothing of Corvid and uses errno in an inline function. */
#ifndef HELPER_H
#define HELPER_H

#include <errno.h>
#include <unistd.h>

static inline int close_reporting(int fd)
{
    return close(fd) == 0 ? 0 : -errno;
}

#endif
