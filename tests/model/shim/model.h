/* SPDX-License-Identifier: MIT */
/*
 * model.h - what a model that is written in C, around files of the runtime, gets from the simulator
 * (real.cpp) and owes it.
 */
#ifndef TESTS_MODEL_SHIM_MODEL_H
#define TESTS_MODEL_SHIM_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- what the model owes ---- */

/* Its name, how many threads it has (3 or 4), its scenarios with NULL at the end. */
extern const char model_name[];
extern const int model_threads;
extern const char *const model_scenarios[];

/* Before and after each execution, and each of its threads. Plain memory has to be set up anew. */
void model_before(int scenario);
void model_run(int scenario, int thread);
void model_after(int scenario);

/* ---- what it gets ---- */

/* Gives an atomic object its first value. Those that are not named here begin as 0. */
void model_watch(const void *object, size_t size, uint64_t value);

/* Names plain memory: accesses without order between them are data races. */
void model_watch_plain(const void *memory, size_t size);

void model_watch_latch(const void *latch);

/* Atomics that do not matter, such as counters: neither explored nor checked. */
void model_ignore(const void *memory, size_t size);

/* The last value of an atomic, for model_after. */
uint64_t model_value(const void *object);

/* The thread that asks. */
int model_thread(void);

/* Lets others go on; in a loop that waits for them. */
void model_yield(void);

/* Four places to block in: a run queue, epoll, an eventfd. */
void model_gate_post(int gate);
void model_gate_wait(int gate);

void model_check(bool holds, const char *what, int line);
#define MODEL_CHECK(x) model_check((x), #x, __LINE__)

/* ---- under shim/stdatomic.h and shim/co/latch.h ---- */

struct model_at {
    const void *object;
    unsigned size;
    int line;
    const char *function;
    const char *file;
};

enum model_step { MODEL_EXCHANGE, MODEL_ADD, MODEL_SUB, MODEL_OR, MODEL_AND };

uint64_t model_load(struct model_at at, int order);
void model_store(struct model_at at, uint64_t value, int order);
uint64_t model_rmw(struct model_at at, enum model_step what, uint64_t value, int order);
bool model_cas(struct model_at at, uint64_t *expected, uint64_t value, bool weak, int order,
               int failure);
void model_latch_take(const void *latch);
bool model_latch_try(const void *latch);
void model_latch_give(const void *latch);

#ifdef __cplusplus
}
#endif
#endif
