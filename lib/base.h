/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Words that every file of the library uses: assertions, marks for shared
 * fields, page arithmetic.
 */
#ifndef PMV_BASE_H
#define PMV_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef PMV_DEBUG
#include <assert.h>
#define pmv_assert(cond) assert(cond)
#else
#define pmv_assert(cond) ((void)sizeof(cond))
#endif

/* What guards a shared field; for readers, and for tools that parse them. */
#define PMV_GUARDED_BY(lock)
#define PMV_RCU
#define PMV_ATOMIC
#define PMV_CONST_AFTER_INIT

/* On the path of a move that succeeds at once: kept together by the linker, on
 * as few pages as there can be. */
#define PMV_HOT __attribute__((hot))

#define pmv_likely(x)	__builtin_expect(!!(x), 1)
#define pmv_unlikely(x) __builtin_expect(!!(x), 0)

static inline size_t pmv_min(size_t a, size_t b)
{
	return a < b ? a : b;
}

static inline uintptr_t pmv_round_down(uintptr_t n, size_t align)
{
	return n & ~(uintptr_t)(align - 1);
}

static inline uintptr_t pmv_round_up(uintptr_t n, size_t align)
{
	return pmv_round_down(n + align - 1, align);
}

/*
 * A cheap clock of unknown unit that never runs backwards on one CPU; 0
 * where the machine has none that can be read without a system call.
 */
static inline uint64_t pmv_ticks(void)
{
#if defined(__x86_64__) || defined(__i386__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	uint64_t ticks;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
	return ticks;
#else
	return 0;
#endif
}

/*
 * Whether this process has one thread only: then nobody but signal handlers
 * comes between a load and a store, and they have ended by then. The next one
 * is made by the thread that asks. False where the C library does not tell.
 */
#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#define pmv_alone() (__libc_single_threaded != 0)
#else
#define pmv_alone() false
#endif

/* Between two looks at what another thread is about to change. */
static inline void pmv_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("isb" ::: "memory");
#endif
}

#endif /* PMV_BASE_H */
