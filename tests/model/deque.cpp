/* SPDX-License-Identifier: MIT */
/*
 * deque.cpp - model of the deque: runtime/deque.c itself, with a ring of 4, under Relacy.
 *
 *   top     grows by CAS only, by whoever takes there
 *   bottom  is the owner's: push raises it; only the lifo owner ever lowers it
 *
 * fifo: the owner pushes seven elements, takes two on the way, and when the ring is full moves half of it to a
 *   list under a lock (the injector); two thieves take half of its deque, or of each other's, into their own
 *   and take from there.
 * lifo: the owner pushes five and takes at the bottom between; two thieves take one at a time at the top.
 *
 * Checked: each element is run exactly once, by somebody who sees what its maker wrote (a data race otherwise);
 * no deque ever holds more than its capacity.
 * Not covered: co__deque_publish and co__deque_size, which are the sleep's (idle.cpp). Relacy never lets a load
 * take a value that was stored later, so what keeps a slot from being overwritten before its taker has read it
 * (release of the CAS on top against the acquire of top in push) is kept by argument.
 */
#include "real.hpp"

using namespace model;

struct co__coro;

enum { CAPACITY = 4, ELEMENTS = 7, DEQUES = 3, SPILL = CAPACITY / 2 };

/* As in deque.h, whose _Atomic C++ does not read. The layout is checked by the file that is tested. */
struct co__deque {
    alignas(128) int64_t top;
    alignas(128) int64_t bottom;
    alignas(128) co__coro *slot[CAPACITY];
};

static bool (*push)(co__deque *, co__coro *);
static co__coro *(*pop_fifo)(co__deque *);
static co__coro *(*pop_lifo)(co__deque *);
static co__coro *(*steal_half)(co__deque *, co__deque *, int *);
static co__coro *(*steal_one)(co__deque *);
static int (*spill)(co__deque *, co__coro **, int);

static void open_deque(run const &r)
{
    real_open(r);
    real_function(push, "co__deque_push");
    real_function(pop_fifo, "co__deque_pop_fifo");
    real_function(pop_lifo, "co__deque_pop_lifo");
    real_function(steal_half, "co__deque_steal_half");
    real_function(steal_one, "co__deque_steal_one");
    real_function(spill, "co__deque_spill");
}

enum scenarios { FIFO, LIFO };

static co__deque deques[DEQUES];

static co__coro *element(intptr_t i)
{
    return reinterpret_cast<co__coro *>(i);
}

struct deque_model : rl::test_suite<deque_model, 3> {
    world memory;
    plain<int> made[ELEMENTS + 1]; /* what the maker of an element wrote */
    int ran[ELEMENTS + 1];
    lock injector;
    plain<int> injected;
    int list[ELEMENTS];

    void before()
    {
        memset(deques, 0, sizeof(deques));
        for (int d = 0; d < DEQUES; d++) {
            memory.watch(&deques[d].top);
            memory.watch(&deques[d].bottom);
            for (int i = 0; i < CAPACITY; i++)
                memory.watch(&deques[d].slot[i]);
        }
        for (int i = 0; i <= ELEMENTS; i++) {
            made[i].set(0);
            ran[i] = 0;
        }
        injected.set(0);
    }

    void run_it(co__coro *co)
    {
        intptr_t i = reinterpret_cast<intptr_t>(co);

        MODEL_ASSERT(i >= 1 && i <= ELEMENTS);
        MODEL_ASSERT(made[i].get() == 1);
        MODEL_ASSERT(++ran[i] == 1);
    }

    void inject(co__coro *const *taken, int n)
    {
        locked hold(injector);
        int have = injected.get();

        for (int i = 0; i < n; i++)
            list[have + i] = static_cast<int>(reinterpret_cast<intptr_t>(taken[i]));
        injected.set(have + n);
    }

    void owner_fifo()
    {
        co__coro *co;

        for (int i = 1; i <= ELEMENTS; i++) {
            made[i].set(1);
            while (!push(&deques[0], element(i))) {
                co__coro *taken[SPILL];
                int n = spill(&deques[0], taken, SPILL);

                inject(taken, n);
            }
            if ((i == 2 || i == 6) && (co = pop_fifo(&deques[0])))
                run_it(co);
        }
        while ((co = pop_fifo(&deques[0])))
            run_it(co);
    }

    void owner_lifo()
    {
        co__coro *co;

        for (int i = 1; i <= 5; i++) {
            made[i].set(1);
            if (!push(&deques[0], element(i))) {
                co = pop_lifo(&deques[0]);
                if (co)
                    run_it(co);
                MODEL_ASSERT(push(&deques[0], element(i)));
            }
            if (i != 4 && (co = pop_lifo(&deques[0])))
                run_it(co);
            if (i == 2 && (co = pop_lifo(&deques[0])))
                run_it(co);
        }
        while ((co = pop_lifo(&deques[0])))
            run_it(co);
    }

    void thief_fifo(unsigned t)
    {
        for (int i = 0; i < 3; i++) {
            co__deque *own = &deques[t];
            co__deque *victim = &deques[t == 2 && i == 1 ? 1 : 0];
            co__coro *co = pop_fifo(own);
            int n = 0;

            if (!co) {
                co = steal_half(victim, own, &n);
                MODEL_ASSERT(!co || (n >= 1 && n <= CAPACITY));
            }
            if (co)
                run_it(co);
        }
    }

    void thief_lifo()
    {
        for (int i = 0; i < 2; i++) {
            co__coro *co = steal_one(&deques[0]);

            if (co)
                run_it(co);
        }
    }

    void thread(unsigned t)
    {
        if (scenario_now == FIFO) {
            if (t == 0)
                owner_fifo();
            else
                thief_fifo(t);
        } else if (t == 0) {
            owner_lifo();
        } else {
            thief_lifo();
        }
    }

    void after()
    {
        int last = scenario_now == FIFO ? ELEMENTS : 5;

        for (int d = 0; d < DEQUES; d++) {
            int64_t top = memory.value(&deques[d].top);
            int64_t bottom = memory.value(&deques[d].bottom);

            MODEL_ASSERT(bottom >= top && bottom - top <= CAPACITY);
            for (; top < bottom; top++)
                run_it(memory.value(&deques[d].slot[top % CAPACITY]));
        }
        for (int i = 0; i < injected.get(); i++)
            run_it(element(list[i]));
        for (int i = 1; i <= last; i++)
            MODEL_ASSERT(ran[i] == 1);
    }
};

int main(int argc, char **argv)
{
    driver<deque_model> d("deque", argc, argv);
    static const run protocol[] = {
        {0, FIFO, "runtime/deque.c, fifo", NULL},
        {0, LIFO, "runtime/deque.c, lifo", NULL},
    };
    static const char *const names[] = {"fifo", "lifo"};

    real_use("deque", argv[0], open_deque);
    for (size_t i = 0; i < sizeof(protocol) / sizeof(*protocol); i++)
        d.add(protocol[i], searches(0, 100000)(1, 500000), searches(0, 5000000)(2, 20000000));
    d.add_changes(names, 2, searches(0, 100000)(2, 200000), searches(0, 5000000)(2, 5000000));
    return d.finish();
}
