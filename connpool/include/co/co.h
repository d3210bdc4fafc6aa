/* SPDX-License-Identifier: MIT */
/* co/co.h - everything that needs no library beyond Corvid's own. */
#ifndef CO_CO_H
#define CO_CO_H

#include <co/addr.h>
#include <co/assert.h>
#include <co/backend.h>
#include <co/barrier.h>
#include <co/base.h>
#include <co/chan.h>
#include <co/cond.h>
#include <co/conf.h>
#include <co/connect.h>
#include <co/datagram.h>
#include <co/dir.h>
#include <co/errno.h>
#include <co/event.h>
#include <co/file.h>
#include <co/foreign.h>
#include <co/group.h>
#include <co/inspect.h>
#include <co/latch.h>
#include <co/listen.h>
#include <co/local.h>
#include <co/mutex.h>
#include <co/net.h>
#include <co/offload.h>
#include <co/once.h>
#include <co/park.h>
#include <co/pool.h>
#include <co/process.h>
#include <co/rwlock.h>
#include <co/scope.h>
#include <co/sem.h>
#include <co/signal.h>
#include <co/sockopt.h>
#include <co/stats.h>
#include <co/stream.h>
#include <co/task.h>
#include <co/ticker.h>
#include <co/trace.h>
#include <co/wait_group.h>
#include <co/waitlist.h>

#endif
