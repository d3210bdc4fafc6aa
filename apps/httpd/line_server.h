/* SPDX-License-Identifier: MIT */
/* apps/httpd/line_server.h - the server behind /upstream, if the configuration names no other. */
#ifndef HTTPD_LINE_SERVER_H
#define HTTPD_LINE_SERVER_H

#include <co/group.h>

/*
 * Listens on a loopback port of the system's choice and answers each line in coroutines of its own,
 * until the group ends, even if the runtime stops before. Returns: 0 and the address, or a negative
 * errno. Call it in a coroutine.
 */
CO_NODISCARD int line_server_start(struct co_group *group, char *address, size_t cap);

#endif
