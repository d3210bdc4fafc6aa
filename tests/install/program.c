/* SPDX-License-Identifier: MIT */
/* A program outside the tree, with what `pkg-config --cflags --libs corvid` says and nothing
 * else. */
#include "helper.h"

#include <co/co.h>
#include <stdio.h>

static int first(void *arg)
{
    int fd = co_listen("127.0.0.1:0");

    (void)arg;
    if (fd < 0 || close_reporting(-1) != -EBADF)
        return -EPROTO;
    if (co_sleep(CO_MS) < 0 || close_reporting(-1) != -EBADF)
        return -EPROTO;
    return co_close(fd);
}

int main(void)
{
    int r = co_run(first, NULL);

    printf("%s %s\n", co_version(), co_strerror(r));
    return r < 0;
}
