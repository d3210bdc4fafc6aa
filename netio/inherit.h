/* SPDX-License-Identifier: MIT */
/* inherit.h - sockets that this process was started with. */
#ifndef CO_NETIO_INHERIT_H
#define CO_NETIO_INHERIT_H

#include <co/base.h>

/* What an address begins with that names such a socket. */
#define CO__INHERITED "systemd:"

/*
 * Takes the descriptor that `which` names, if it is a socket of that type which listens, or which
 * does not. It becomes non-blocking and close-on-exec.
 * Returns: it; -ENOENT, -EBUSY, -EINVAL.
 */
int co__inherit(const char *which, int type, bool listens);

/* What co__inherit has given could not be used: it may be taken again. */
void co__inherit_back(int fd);

#endif
