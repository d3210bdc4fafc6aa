/* SPDX-License-Identifier: MIT */
/*
 * stall.h - say which coroutine keeps a worker from all others, and where in the code it is.
 *
 * Only the worker's own thread can tell where it is, so it is sent SIGURG (which is ignored by
 * default, and which debuggers pass on) and writes the report in the handler, on its signal stack.
 */
#ifndef CO_RUNTIME_STALL_H
#define CO_RUNTIME_STALL_H

#include "worker.h"

/* Installs and removes the handler. */
void co__stall_on(void);
void co__stall_off(void);

/*
 * Has a worker report on stderr that the coroutine it runs has computed since `since`. giving_up:
 * that is why the runtime ends without it. Does nothing if the coroutine has suspended before the
 * signal arrives. Threads: the watchdog.
 */
void co__stall_report(const struct co__worker *w, int64_t since, bool giving_up);

/*
 * Waits, though not for long, until the reports that were asked for are written: before the process
 * ends. Threads: the watchdog.
 */
void co__stall_settle(void);

#endif
