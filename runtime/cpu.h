/* SPDX-License-Identifier: MIT */
/*
 * cpu.h - what differs between processors: the pause in a spin loop and the size of a cache line.
 */
#ifndef CO_RUNTIME_CPU_H
#define CO_RUNTIME_CPU_H

/*
 * Two lines of 64 bytes are fetched together by x86 prefetchers, so this keeps writers of
 * neighbours apart.
 */
#define CO__CACHE_LINE 128

static inline void co__cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
