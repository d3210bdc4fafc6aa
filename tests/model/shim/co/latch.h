/* SPDX-License-Identifier: MIT */
/*
 * latch.h - takes the place of co/latch.h: one step of the simulator instead of several. The model
 * of the latch itself asks for the real one.
 */
#ifdef MODEL_REAL_LATCH
#include_next <co/latch.h>
#endif
#ifndef CO_LATCH_H
#define CO_LATCH_H

#include <co/base.h>
#include <model.h>

struct co_latch {
    uint32_t word;
};

static inline void co_latch_take(struct co_latch *latch)
{
    model_latch_take(latch);
}

static inline bool co_latch_try(struct co_latch *latch)
{
    return model_latch_try(latch);
}

static inline void co_latch_give(struct co_latch *latch)
{
    model_latch_give(latch);
}

#endif
