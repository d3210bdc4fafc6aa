/* SPDX-License-Identifier: MIT */
/* cpus.h - how many workers `threads = auto` means. */
#ifndef CO_RUNTIME_CPUS_H
#define CO_RUNTIME_CPUS_H

#include <co/base.h>

/* The most workers there can be. */
#define CO__CPUS_MAX 256

/*
 * The CPUs this process may use: those of its affinity, and no more than the CPU quotas of its
 * control group and the groups around it add up to, rounded up.
 * Returns: 1 to CO__CPUS_MAX.
 */
int co__cpus(void);

/*
 * The CPUs of the thread that starts the runtime, for those that are started by workers, which may
 * be pinned to one CPU each. Threads: note: the starter; use: the thread that is to have them.
 */
void co__cpus_note(void);
void co__cpus_use(void);

/*
 * The quota's part of co__cpus: `root` is where control groups are mounted, `own` the file that
 * names ours.
 * Returns: affinity, or less, but at least 1.
 */
int co__cpus_quota(const char *root, const char *own, int affinity);

#endif
