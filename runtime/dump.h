/* SPDX-License-Identifier: MIT */
/*
 * dump.h - the list of all coroutines as text: by co_dump, on SIGUSR1, and with a report.
 *
 * The signal's handler only leaves a note; the watchdog finds it, and writes. It does so with every
 * worker stuck, too.
 */
#ifndef CO_RUNTIME_DUMP_H
#define CO_RUNTIME_DUMP_H

#include <co/inspect.h>

/* Asks for a list on stderr. Threads: any, and signal handlers. */
void co__dump_ask(void);

/* Takes the note, if there is one. Orders: seq_cst, after the watchdog dozes. */
bool co__dump_asked(void);

/*
 * Writes `title`, a line with its line feed, and the list. Returns: 0 or -EBUSY. Threads: any,
 * while the runtime cannot end.
 */
int co__dump(int fd, const char *title);

#endif
