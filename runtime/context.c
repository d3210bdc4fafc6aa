/* SPDX-License-Identifier: MIT */
/*
 * context.c - the only user of Boost.Context, and the home of all fiber hooks. See context.h for
 * why this file must not be instrumented; CO_ASAN and CO_TSAN say what the rest of the build is.
 *
 * What jump_fcontext gives the resumed side is the fcontext of the side that was left; `struct
 * passage` carries both sides and the data over, and lives on the stack of the side that is left.
 */
#include "context.h"

#include <co/assert.h>
#ifdef CO_ASAN
#include <pthread.h>
#endif

/* The C face of Boost.Context (the package ships C++ headers only). */
struct transfer {
    void *fctx;
    void *data;
};
extern struct transfer jump_fcontext(void *to, void *data);
extern void *make_fcontext(void *top, size_t size, void (*fn)(struct transfer));

#ifdef CO_TSAN
extern void *__tsan_get_current_fiber(void);
extern void *__tsan_create_fiber(unsigned flags);
extern void __tsan_destroy_fiber(void *fiber);
extern void __tsan_switch_to_fiber(void *fiber, unsigned flags);

/*
 * libuv closes descriptors by syscall(2), which the sanitizer does not see, and opens them by
 * functions that it does: it takes a number that is used again for a race. OpenSSL counts
 * references by atomics of its own: only its copying and freeing is seen, not what puts these in
 * order.
 */
__attribute__((visibility("default"))) const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "called_from_lib:libuv.so\n"
           "called_from_lib:libcrypto.so\n"
           "called_from_lib:libssl.so\n";
}
#endif
#ifdef CO_ASAN
extern void __sanitizer_start_switch_fiber(void **fake, const void *bottom, size_t size);
extern void __sanitizer_finish_switch_fiber(void *fake, const void **bottom, size_t *size);
#endif

struct passage {
    struct co__context *from;
    struct co__context *to;
    void *data;
};

/* Runs on the side that has just been resumed. */
static void *arrive(struct transfer t)
{
    struct passage *p = t.data;

    p->from->saved = t.fctx;
#ifdef CO_ASAN
    __sanitizer_finish_switch_fiber(p->to->asan_fake, NULL, NULL);
#endif
    return p->data;
}

/* Runs on the side that is about to be left. */
static struct transfer depart(struct passage *p, bool for_good)
{
    (void)for_good;
#ifdef CO_ASAN
    __sanitizer_start_switch_fiber(for_good ? NULL : &p->from->asan_fake, p->to->bottom,
                                   p->to->size);
#endif
#ifdef CO_TSAN
    __tsan_switch_to_fiber(p->to->tsan_fiber, 0);
#endif
    return jump_fcontext(p->to->saved, p);
}

static void first(struct transfer t)
{
    struct co__context *self = ((struct passage *)t.data)->to;

    self->entry(arrive(t));
    /* Returning here would end the process silently. */
    co_assert_failed("an entry leaves by co__context_leave", __FILE__, __LINE__);
}

void co__context_thread(struct co__context *context)
{
    *context = (struct co__context){0};
#ifdef CO_TSAN
    context->tsan_fiber = __tsan_get_current_fiber();
#endif
#ifdef CO_ASAN
    pthread_attr_t attr;
    void *bottom = NULL;

    if (pthread_getattr_np(pthread_self(), &attr) == 0) {
        (void)pthread_attr_getstack(&attr, &bottom, &context->size);
        (void)pthread_attr_destroy(&attr);
        context->bottom = bottom;
    }
#endif
}

void co__context_make(struct co__context *context, void *top, size_t size, co__context_entry *entry)
{
    context->saved = make_fcontext(top, size, first);
    context->entry = entry;
    context->bottom = (char *)top - size;
    context->size = size;
    context->asan_fake = NULL;
#ifdef CO_TSAN
    context->tsan_fiber = __tsan_create_fiber(0);
#endif
}

void *co__context_switch(struct co__context *from, struct co__context *to, void *data)
{
    struct passage p = {from, to, data};

    return arrive(depart(&p, false));
}

void co__context_leave(struct co__context *from, struct co__context *to, void *data)
{
    struct passage p = {from, to, data};

    (void)depart(&p, true);
    co_assert_failed("nobody resumes what was left for good", __FILE__, __LINE__);
}

void co__context_drop(struct co__context *context)
{
    (void)context;
#ifdef CO_TSAN
    __tsan_destroy_fiber(context->tsan_fiber);
    context->tsan_fiber = NULL;
#endif
}
