/* SPDX-License-Identifier: MIT */
/*
 * stdatomic.h - takes the place of the compiler's when a file of the runtime is compiled for its
 * model: every atomic access becomes a call into the simulator (real.cpp), with its order, its
 * place and what it names.
 *
 * The file itself is compiled as it stands, as C. Objects keep their place in memory, which the
 * simulator uses as their name only; their values live in Relacy.
 */
#ifndef TESTS_MODEL_SHIM_STDATOMIC_H
#define TESTS_MODEL_SHIM_STDATOMIC_H

#include "model.h"

/* The numbers are those of __ATOMIC_RELAXED ... and of rl::memory_order. */
typedef enum {
    memory_order_relaxed,
    memory_order_consume,
    memory_order_acquire,
    memory_order_release,
    memory_order_acq_rel,
    memory_order_seq_cst,
} memory_order;

#define MODEL_AT(p)                                                              \
    (struct model_at)                                                            \
    {                                                                            \
        (const void *)(uintptr_t)(p), sizeof(*(p)), __LINE__, __func__, __FILE__ \
    }
/* The type of *p without qualifiers. */
#define MODEL_TYPE(p) __typeof__(((void)0, *(p)))
#define MODEL_BITS(v) ((uint64_t)(v))

#define atomic_load_explicit(p, order) ((MODEL_TYPE(p))model_load(MODEL_AT(p), (order)))
#define atomic_store_explicit(p, v, order) \
    model_store(MODEL_AT(p), MODEL_BITS((MODEL_TYPE(p))(v)), (order))
#define MODEL_RMW(p, what, v, order) \
    ({ (MODEL_TYPE(p)) model_rmw(MODEL_AT(p), what, MODEL_BITS((MODEL_TYPE(p))(v)), (order)); })
#define atomic_exchange_explicit(p, v, order)  MODEL_RMW(p, MODEL_EXCHANGE, v, order)
#define atomic_fetch_add_explicit(p, v, order) MODEL_RMW(p, MODEL_ADD, v, order)
#define atomic_fetch_sub_explicit(p, v, order) MODEL_RMW(p, MODEL_SUB, v, order)
#define atomic_fetch_or_explicit(p, v, order)  MODEL_RMW(p, MODEL_OR, v, order)
#define atomic_fetch_and_explicit(p, v, order) MODEL_RMW(p, MODEL_AND, v, order)
#define MODEL_CAS(p, e, v, weak, order, failure)                                              \
    ({                                                                                        \
        __typeof__(e) model_e = (e);                                                          \
        uint64_t model_seen = MODEL_BITS(*model_e);                                           \
        bool model_done = model_cas(MODEL_AT(p), &model_seen, MODEL_BITS((MODEL_TYPE(p))(v)), \
                                    weak, order, failure);                                    \
        *model_e = (MODEL_TYPE(p))model_seen;                                                 \
        model_done;                                                                           \
    })
#define atomic_compare_exchange_strong_explicit(p, e, v, order, failure) \
    MODEL_CAS(p, e, v, false, order, failure)
#define atomic_compare_exchange_weak_explicit(p, e, v, order, failure) \
    MODEL_CAS(p, e, v, true, order, failure)

/* Files whose headers must be C++ too use the builtins. */
#define __atomic_load_n(p, order)        atomic_load_explicit(p, order)
#define __atomic_store_n(p, v, order)    atomic_store_explicit(p, v, order)
#define __atomic_exchange_n(p, v, order) atomic_exchange_explicit(p, v, order)
#define __atomic_fetch_add(p, v, order)  atomic_fetch_add_explicit(p, v, order)
#define __atomic_fetch_sub(p, v, order)  atomic_fetch_sub_explicit(p, v, order)
#define __atomic_fetch_or(p, v, order)   atomic_fetch_or_explicit(p, v, order)
#define __atomic_fetch_and(p, v, order)  atomic_fetch_and_explicit(p, v, order)
/* v is evaluated twice. */
#define __atomic_add_fetch(p, v, order) (atomic_fetch_add_explicit(p, v, order) + (v))
#define __atomic_sub_fetch(p, v, order) (atomic_fetch_sub_explicit(p, v, order) - (v))
#define __atomic_compare_exchange_n(p, e, v, weak, order, failure) \
    MODEL_CAS(p, e, v, weak, order, failure)

#endif
