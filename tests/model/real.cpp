/* SPDX-License-Identifier: MIT */
/*
 * real.cpp - runs files of the runtime, compiled as C as they stand, under Relacy. usage: real
 * MODEL.so [options of model.hpp]
 *
 * A model is a C file with the threads of a scenario (shim/model.h), linked with the files under
 * test into one shared object. Their atomics come here through shim/stdatomic.h. Their plain memory
 * comes here too, because they are compiled with -fsanitize=thread and this file is the sanitizer's
 * runtime: what the model has asked to watch is checked for data races, the rest is left alone.
 * Values of plain memory live where they always do; those of watched atomics live in Relacy, which
 * may let a load return an older one.
 *
 * Mutants are shared objects of their own, NAME-real.MUTANT.so beside NAME-real.so, with a change
 * made to the text of a file; the list NAME.mutants says which (real-build makes them).
 */
#include "model.hpp"
#include "shim/model.h"
#include <dlfcn.h>

namespace model
{

/* The shared objects of this execution: addresses, and what stands for them in Relacy. */
class world
{
    enum { ATOMICS = 72, SPARE = 24, PLAINS = 64, LATCHES = 16, GATES = 4, SLOTS = 4096 };
    enum kind { NOTHING, ATOMIC, PLAIN, LATCH, IGNORED, KINDS };

    struct entry {
        uintptr_t granule; /* of four bytes */
        short kind, index;
    };

    rl::atomic<uint64_t> atomics[ATOMICS];
    rl::var<unsigned> plains[PLAINS];
    rl::mutex latches[LATCHES];
    entry table[SLOTS];
    short count[KINDS];
    int spares;

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

    /* Atomics that no model has named get one of these at their first access; they begin as 0. */
    void prepare_spares()
    {
        for (int i = 0; i < SPARE; i++)
            atomics[ATOMICS - 1 - i].store(0, rl::mo_relaxed, $);
    }

    world()
    {
        memset(table, 0, sizeof(table));
        memset(count, 0, sizeof(count));
        spares = 0;
        now = this;
    }

    gate gates[GATES];

    void watch(const void *p, size_t size, uint64_t value)
    {
        RL_VERIFY(count[ATOMIC] < ATOMICS - SPARE);
        atomics[enter(p, size, ATOMIC)].store(cut(value, static_cast<unsigned>(size)),
                                              rl::mo_relaxed, $);
    }

    void watch_plain(const void *p, size_t size)
    {
        RL_VERIFY(count[PLAIN] < PLAINS);
        plains[enter(p, size, PLAIN)]($).store(0);
    }

    void watch_latch(const void *p)
    {
        RL_VERIFY(count[LATCH] < LATCHES);
        enter(p, 4, LATCH);
    }

    void ignore(const void *p, size_t size)
    {
        enter(p, size, IGNORED);
    }

    bool ignores(const void *p)
    {
        return find(p).kind == IGNORED;
    }

    rl::atomic<uint64_t> &atomic_at(const void *p)
    {
        entry &e = find(p);

        if (e.kind == NOTHING) {
            if (spares == SPARE) {
                fprintf(stderr, "too many atomics that the model has not named, such as %p\n", p);
                _exit(2);
            }
            e.kind = ATOMIC;
            e.index = static_cast<short>(ATOMICS - 1 - spares++);
        }
        return atomics[e.index];
    }

    rl::mutex &latch_at(const void *p)
    {
        entry &e = find(p);

        if (e.kind == NOTHING) { /* one that no model has named */
            RL_VERIFY(count[LATCH] < LATCHES);
            e.kind = LATCH;
            e.index = count[LATCH]++;
        }
        return latches[e.index];
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

/* ---- the shared object of a run ---- */

static std::string base; /* its path without ".so" */

struct entries {
    void (*before)(int);
    void (*thread)(int, int);
    void (*after)(int);
};
static entries model_entries;

static void *need(void *object, const char *name)
{
    void *p = object ? dlsym(object, name) : NULL;

    if (!p) {
        fprintf(stderr, "%s\n", dlerror());
        _exit(2);
    }
    return p;
}

static void open_object(run const &r)
{
    std::string path = r.changes ? base + "." + r.name + ".so" : base + ".so";
    void *object = dlopen(path.c_str(), RTLD_LAZY | RTLD_LOCAL);

    *reinterpret_cast<void **>(&model_entries.before) = need(object, "model_before");
    *reinterpret_cast<void **>(&model_entries.thread) = need(object, "model_run");
    *reinterpret_cast<void **>(&model_entries.after) = need(object, "model_after");
}

template <int N> struct real_model : rl::test_suite<real_model<N>, N> {
    world memory;

    void before()
    {
        for (int i = 0; i < 4; i++)
            memory.gates[i].open();
        memory.prepare_spares();
        model_entries.before(scenario_now);
    }

    void thread(unsigned t)
    {
        model_entries.thread(scenario_now, static_cast<int>(t));
    }

    void after()
    {
        model_entries.after(scenario_now);
        for (int i = 0; i < 4; i++)
            memory.gates[i].close();
    }
};

template <int N>
static int drive(const char *name, const char *const *scenarios, int argc, char **argv)
{
    driver<real_model<N>> d(name, argc, argv);
    int count = 0;

    for (; scenarios[count]; count++) {
        run r = {0, count, scenarios[count], NULL};

        d.add(r, searches(0, 50000)(1, 300000), searches(0, 2000000)(2, 10000000));
    }
    d.add_changes(scenarios, count, searches(0, 200000)(2, 200000),
                  searches(0, 5000000)(2, 5000000));
    return d.finish();
}

} /* namespace model */

extern "C" {
using model::world;

void model_watch(const void *object, size_t size, uint64_t value)
{
    world::now->watch(object, size, value);
}

void model_watch_plain(const void *memory, size_t size)
{
    world::now->watch_plain(memory, size);
}

void model_watch_latch(const void *latch)
{
    world::now->watch_latch(latch);
}

void model_ignore(const void *memory, size_t size)
{
    world::now->ignore(memory, size);
}

uint64_t model_value(const void *object)
{
    return world::now->atomic_at(object).load(rl::mo_relaxed, $);
}

int model_thread(void)
{
    return static_cast<int>(rl::ctx().threadx_->index_);
}

void model_yield(void)
{
    rl::yield(1, $);
}

void model_gate_post(int gate)
{
    world::now->gates[gate].post();
}

void model_gate_wait(int gate)
{
    world::now->gates[gate].wait();
}

void model_check(bool holds, const char *what, int line)
{
    if (!holds)
        rl::ctx().fail_test(what, rl::test_result_user_assert_failed,
                            rl::debug_info("", "the model", static_cast<unsigned>(line)));
}

uint64_t model_load(model_at at, int order)
{
    if (world::now->ignores(at.object))
        return 0;
    return world::cut(
        world::now->atomic_at(at.object).load(model::order_from(order), model::place(at)), at.size);
}

/* The memory holds the last value: an object may be plain at other times. */
static void write_through(model_at const &at, uint64_t value)
{
    memcpy(const_cast<void *>(at.object), &value, at.size);
}

void model_store(model_at at, uint64_t value, int order)
{
    if (world::now->ignores(at.object))
        return;
    world::now->atomic_at(at.object).store(world::cut(value, at.size), model::order_from(order),
                                           model::place(at));
    write_through(at, value);
}

static uint64_t stepped(model_step what, uint64_t before, uint64_t value)
{
    switch (what) {
    case MODEL_EXCHANGE:
        break;
    case MODEL_ADD:
        return before + value;
    case MODEL_SUB:
        return before - value;
    case MODEL_OR:
        return before | value;
    case MODEL_AND:
        return before & value;
    }
    return value;
}

uint64_t model_rmw(model_at at, model_step what, uint64_t value, int order)
{
    rl::memory_order o = model::order_from(order);
    rl::debug_info where = model::place(at);
    uint64_t before = 0;

    if (world::now->ignores(at.object))
        return 0;
    rl::atomic<uint64_t> &a = world::now->atomic_at(at.object);

    value = world::cut(value, at.size);
    switch (what) {
    case MODEL_EXCHANGE:
        before = a.exchange(value, o, where);
        break;
    case MODEL_ADD:
        before = a.fetch_add(value, o, where);
        break;
    case MODEL_SUB:
        before = a.fetch_sub(value, o, where);
        break;
    case MODEL_OR:
        before = a.fetch_or(value, o, where);
        break;
    case MODEL_AND:
        before = a.fetch_and(value, o, where);
        break;
    }
    before = world::cut(before, at.size);
    write_through(at, stepped(what, before, value));
    return before;
}

bool model_cas(model_at at, uint64_t *expected, uint64_t value, bool weak, int order, int failure)
{
    rl::atomic<uint64_t> &a = world::now->atomic_at(at.object);
    rl::memory_order o = model::order_from(order);
    rl::memory_order f = model::order_from(failure);
    rl::debug_info where = model::place(at);
    bool done;

    *expected = world::cut(*expected, at.size);
    value = world::cut(value, at.size);
    /* Relacy wants a failure order that C11 allowed in 2011: no stronger than the other. */
    if (o == rl::mo_relaxed || o == rl::mo_release)
        f = rl::mo_relaxed;
    done = weak ? a.compare_exchange_weak(*expected, value, o, where, f, where)
                : a.compare_exchange_strong(*expected, value, o, where, f, where);
    if (done)
        write_through(at, value);
    *expected = world::cut(*expected, at.size);
    return done;
}

void model_latch_take(const void *latch)
{
    world::now->latch_at(latch).lock($);
}

bool model_latch_try(const void *latch)
{
    return world::now->latch_at(latch).try_lock($);
}

void model_latch_give(const void *latch)
{
    world::now->latch_at(latch).unlock($);
}

/* The sanitizer's runtime. Constructors of the shared object run before there is a world. */
static void touch(const void *p, bool writes)
{
    if (world::now)
        world::now->access(p, writes);
}

#define MODEL_TSAN(bytes)                        \
    void __tsan_read##bytes(void *p);            \
    void __tsan_write##bytes(void *p);           \
    void __tsan_unaligned_read##bytes(void *p);  \
    void __tsan_unaligned_write##bytes(void *p); \
    void __tsan_read##bytes(void *p)             \
    {                                            \
        touch(p, false);                         \
    }                                            \
    void __tsan_write##bytes(void *p)            \
    {                                            \
        touch(p, true);                          \
    }                                            \
    void __tsan_unaligned_read##bytes(void *p)   \
    {                                            \
        touch(p, false);                         \
    }                                            \
    void __tsan_unaligned_write##bytes(void *p)  \
    {                                            \
        touch(p, true);                          \
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
        touch(static_cast<char *>(p) + i, false);
}

void __tsan_write_range(void *p, unsigned long size)
{
    for (unsigned long i = 0; i < size; i += 4)
        touch(static_cast<char *>(p) + i, true);
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

int main(int argc, char **argv)
{
    void *object = argc > 1 ? dlopen(argv[1], RTLD_LAZY | RTLD_LOCAL) : NULL;
    const char *name = static_cast<const char *>(model::need(object, "model_name"));
    const char *const *scenarios =
        static_cast<const char *const *>(model::need(object, "model_scenarios"));
    int threads = *static_cast<const int *>(model::need(object, "model_threads"));

    model::base = std::string(argv[1], strlen(argv[1]) - strlen(".so"));
    model::prepare = model::open_object;
    if (threads == 3)
        return model::drive<3>(name, scenarios, argc - 1, argv + 1);
    return model::drive<4>(name, scenarios, argc - 1, argv + 1);
}
