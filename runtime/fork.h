/* SPDX-License-Identifier: MIT */
/*
 * fork.h - what becomes of a forked child: it has one thread and no runtime. co/task.h has the
 * contract.
 */
#ifndef CO_RUNTIME_FORK_H
#define CO_RUNTIME_FORK_H

#include <co/base.h>

/* From now on children of this process are looked after; a second call does nothing. */
void co__fork_prepare(void);

/* Returns: whether this process was forked from one while a runtime ran there. Threads: any. */
bool co__forked(void);

/* A child has returned from the function of the coroutine that forked it: reports and aborts. */
__attribute__((noreturn, cold)) void co__fork_returned(void);

#endif
