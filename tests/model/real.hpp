/* SPDX-License-Identifier: MIT */
/*
 * real.hpp - runs files of the runtime, compiled as C as they stand, under Relacy.
 *
 * Their atomics come here through shim/stdatomic.h. Their plain memory comes here too, because they are compiled
 * with -fsanitize=thread and this file is the sanitizer's runtime: what a model has asked to watch is checked
 * for data races, the rest is left alone. Values of plain memory live where they always do; values of watched
 * atomics live in Relacy, which may let a load return an older one.
 *
 * A file is a shared object, so that one program can run it as it is and with a mutant's change made to its
 * text: build/model/NAME.so and build/model/NAME.MUTANT.so. The list NAME.mutants says what is changed.
 */
#ifndef TESTS_MODEL_REAL_HPP
#define TESTS_MODEL_REAL_HPP

#include "model.hpp"
#include <dlfcn.h>

extern "C" {
struct model_at {
    const void *object;
    unsigned size;
    int line;
    const char *function;
    const char *file;
};
enum model_step { MODEL_EXCHANGE, MODEL_ADD, MODEL_SUB, MODEL_OR, MODEL_AND };
}

namespace model
{

/* The shared objects of this execution: addresses, and what stands for them in Relacy. */
class world
{
    enum { ATOMICS = 64, PLAINS = 64, LOCKS = 8, SLOTS = 4096 };
    enum kind { NOTHING, ATOMIC, PLAIN, LOCK };

    struct entry {
        uintptr_t granule; /* of four bytes */
        short kind, index;
    };

    rl::atomic<uint64_t> atomics[ATOMICS];
    rl::var<unsigned> plains[PLAINS];
    rl::mutex locks[LOCKS];
    entry table[SLOTS];
    short count[4];

    entry &find(const void *p)
    {
        uintptr_t granule = reinterpret_cast<uintptr_t>(p) / 4;
        size_t i = granule * 0x9e3779b97f4a7c15u >> 52;

        while (table[i].kind != NOTHING && table[i].granule != granule)
            i = (i + 1) % SLOTS;
        table[i].granule = granule;
        return table[i];
    }

    short enter(const void *p, size_t size, kind what)
    {
        short index = count[what]++;

        for (size_t i = 0; i < size; i += 4) {
            entry &e = find(static_cast<const char *>(p) + i);

            RL_VERIFY(e.kind == NOTHING);
            e.kind = static_cast<short>(what);
            e.index = index;
        }
        return index;
    }

  public:
    static world *now;

    world()
    {
        memset(table, 0, sizeof(table));
        memset(count, 0, sizeof(count));
        now = this;
    }

    /* Names an atomic object, with its first value. Every atomic that the file touches must be named. */
    template <typename T> void watch(T const *p, T value = T())
    {
        short index = enter(p, sizeof(*p), ATOMIC);

        RL_VERIFY(index < ATOMICS);
        atomics[index].store(bits(value), rl::mo_relaxed, $);
    }

    /* Names plain memory to be checked for races. */
    void watch_plain(const void *p, size_t size)
    {
        short index = enter(p, size, PLAIN);

        RL_VERIFY(index < PLAINS);
        plains[index]($).store(0);
    }

    void watch_lock(const void *p)
    {
        RL_VERIFY(count[LOCK] < LOCKS);
        enter(p, 4, LOCK);
    }

    /* The value of an atomic; for after(). */
    template <typename T> T value(T const *p)
    {
        uint64_t b = atomic_at(p).load(rl::mo_relaxed, $);
        T v;

        memcpy(&v, &b, sizeof(v));
        return v;
    }

    rl::atomic<uint64_t> &atomic_at(const void *p)
    {
        entry &e = find(p);

        if (e.kind != ATOMIC) {
            fprintf(stderr, "an atomic that the model has not named\n");
            abort();
        }
        return atomics[e.index];
    }

    rl::mutex &lock_at(const void *p)
    {
        entry &e = find(p);

        if (e.kind != LOCK) {
            fprintf(stderr, "a lock that the model has not named\n");
            abort();
        }
        return locks[e.index];
    }

    void access(const void *p, bool writes)
    {
        entry &e = find(p);

        if (e.kind != PLAIN)
            return;
        if (writes)
            plains[e.index]($).store(0);
        else
            (void)plains[e.index]($).load();
    }

    static uint64_t cut(uint64_t v, unsigned size)
    {
        return size >= 8 ? v : v & ((uint64_t(1) << size * 8) - 1);
    }

    template <typename T> static uint64_t bits(T v)
    {
        uint64_t b = 0;

        memcpy(&b, &v, sizeof(v));
        return b;
    }
};

world *world::now;

static rl::memory_order order_from(int order)
{
    return static_cast<rl::memory_order>(order);
}

static rl::debug_info place(model_at const &at)
{
    return rl::debug_info(at.function, at.file, static_cast<unsigned>(at.line));
}

/* The shared object of this run. */
static const char *real_name;
static const char *real_dir = ".";
static void *real_object;

static void real_open(run const &r)
{
    std::string path = std::string(real_dir) + "/" + real_name + "-real";

    if (r.changes)
        path = path + "." + r.name;
    real_object = dlopen((path + ".so").c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (!real_object) {
        fprintf(stderr, "%s\n", dlerror());
        _exit(2);
    }
}

/* Called first in main: the shared objects lie beside the program, which argv[0] names. */
static void real_use(const char *name, const char *program, void (*open)(run const &))
{
    const char *slash = strrchr(program, '/');

    real_name = name;
    if (slash)
        real_dir = strndup(program, static_cast<size_t>(slash - program));
    prepare = open;
}

/* A function of it. */
template <typename F> static void real_function(F *&f, const char *name)
{
    f = reinterpret_cast<F *>(dlsym(real_object, name));
    if (!f) {
        fprintf(stderr, "%s\n", dlerror());
        _exit(2);
    }
}

} /* namespace model */

extern "C" {
uint64_t model_load(model_at at, int order);
void model_store(model_at at, uint64_t value, int order);
uint64_t model_rmw(model_at at, model_step what, uint64_t value, int order);
bool model_cas(model_at at, uint64_t *expected, uint64_t value, bool weak, int order, int failure);
void model_lock_take(const void *lock);
bool model_lock_try(const void *lock);
void model_lock_give(const void *lock);

uint64_t model_load(model_at at, int order)
{
    return model::world::cut(
        model::world::now->atomic_at(at.object).load(model::order_from(order), model::place(at)),
        at.size);
}

void model_store(model_at at, uint64_t value, int order)
{
    model::world::now->atomic_at(at.object).store(model::world::cut(value, at.size),
                                                  model::order_from(order), model::place(at));
}

uint64_t model_rmw(model_at at, model_step what, uint64_t value, int order)
{
    rl::atomic<uint64_t> &a = model::world::now->atomic_at(at.object);
    rl::memory_order o = model::order_from(order);
    uint64_t before = 0;

    value = model::world::cut(value, at.size);
    switch (what) {
    case MODEL_EXCHANGE:
        before = a.exchange(value, o, model::place(at));
        break;
    case MODEL_ADD:
        before = a.fetch_add(value, o, model::place(at));
        break;
    case MODEL_SUB:
        before = a.fetch_sub(value, o, model::place(at));
        break;
    case MODEL_OR:
        before = a.fetch_or(value, o, model::place(at));
        break;
    case MODEL_AND:
        before = a.fetch_and(value, o, model::place(at));
        break;
    }
    return model::world::cut(before, at.size);
}

bool model_cas(model_at at, uint64_t *expected, uint64_t value, bool weak, int order, int failure)
{
    rl::atomic<uint64_t> &a = model::world::now->atomic_at(at.object);
    rl::memory_order o = model::order_from(order);
    rl::memory_order f = model::order_from(failure);
    rl::debug_info where = model::place(at);

    *expected = model::world::cut(*expected, at.size);
    value = model::world::cut(value, at.size);
    /* Relacy wants a failure order that C11 allowed in 2011: no stronger than the other. */
    if ((o == rl::mo_relaxed || o == rl::mo_release) && f != rl::mo_relaxed)
        f = rl::mo_relaxed;
    return weak ? a.compare_exchange_weak(*expected, value, o, where, f, where)
                : a.compare_exchange_strong(*expected, value, o, where, f, where);
}

void model_lock_take(const void *lock)
{
    model::world::now->lock_at(lock).lock($);
}

bool model_lock_try(const void *lock)
{
    return model::world::now->lock_at(lock).try_lock($);
}

void model_lock_give(const void *lock)
{
    model::world::now->lock_at(lock).unlock($);
}

/* The sanitizer's runtime. */
#define MODEL_TSAN(bytes)                        \
    void __tsan_read##bytes(void *p);            \
    void __tsan_write##bytes(void *p);           \
    void __tsan_unaligned_read##bytes(void *p);  \
    void __tsan_unaligned_write##bytes(void *p); \
    void __tsan_read##bytes(void *p)             \
    {                                            \
        model::world::now->access(p, false);     \
    }                                            \
    void __tsan_write##bytes(void *p)            \
    {                                            \
        model::world::now->access(p, true);      \
    }                                            \
    void __tsan_unaligned_read##bytes(void *p)   \
    {                                            \
        model::world::now->access(p, false);     \
    }                                            \
    void __tsan_unaligned_write##bytes(void *p)  \
    {                                            \
        model::world::now->access(p, true);      \
    }
MODEL_TSAN(1)
MODEL_TSAN(2)
MODEL_TSAN(4)
MODEL_TSAN(8)
MODEL_TSAN(16)

void __tsan_read_range(void *p, unsigned long size);
void __tsan_write_range(void *p, unsigned long size);
void __tsan_func_entry(void *pc);
void __tsan_func_exit(void);
void __tsan_init(void);

void __tsan_read_range(void *p, unsigned long size)
{
    for (unsigned long i = 0; i < size; i += 4)
        model::world::now->access(static_cast<char *>(p) + i, false);
}

void __tsan_write_range(void *p, unsigned long size)
{
    for (unsigned long i = 0; i < size; i += 4)
        model::world::now->access(static_cast<char *>(p) + i, true);
}

void __tsan_func_entry(void *)
{
}

void __tsan_func_exit(void)
{
}

void __tsan_init(void)
{
}
}

#endif
