/* SPDX-License-Identifier: MIT */
/* co/co.h - everything that needs no library beyond Corvid's own. */
#ifndef CO_CO_H
#define CO_CO_H

#include <co/backend.h>
#include <co/base.h>
#include <co/conf.h>
#include <co/errno.h>
#include <co/latch.h>
#include <co/net.h>
#include <co/offload.h>
#include <co/park.h>
#include <co/pool.h>
#include <co/scope.h>
#include <co/stats.h>
#include <co/task.h>

#endif
