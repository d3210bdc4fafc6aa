/* SPDX-License-Identifier: MIT */
/*
 * co/private/scope.h - a deadline for engines that open several per request. Not installed;
 * exported for corvid-http.
 */
#ifndef CO_PRIVATE_SCOPE_H
#define CO_PRIVATE_SCOPE_H

#include <co/scope.h>

/*
 * As co_deadline_open, but counted from the worker's last look at the clock instead of from now,
 * which saves the look. So the deadline comes earlier by as much as the coroutine has computed
 * since its turn began: for time-outs of seconds.
 */
CO_API struct co_scope co__deadline_open_coarse(int64_t ns);

#endif
