/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The allocator shim, libpagemv-malloc.so: what its files share.
 *
 * family.c has the functions that programs call, and compares two or three
 * words in them. What is large or may be the heap's goes to serve.c, the rest
 * to the allocator that comes next (next.c).
 */
#ifndef PRELOAD_SHIM_H
#define PRELOAD_SHIM_H

#include <stdatomic.h>

#include "base.h"

/* So that it is reached without the table of what other objects define. */
#pragma GCC visibility push(hidden)

/* What every call looks at: one line of the caches. */
struct pmv_hot {
	/* Requests of so many bytes and more are served; SIZE_MAX: none. For
	 * realloc() of blocks that are not the heap's, grow_threshold. */
	_Alignas(64) PMV_ATOMIC _Atomic size_t threshold;
	PMV_ATOMIC _Atomic size_t grow_threshold;
	/* Around all blocks that the heap has ever had. Only ever grow apart,
	 * and have before who asked for a block gets it: whoever has a block is
	 * told by its way to him that it lies inside. */
	PMV_ATOMIC _Atomic uintptr_t low;
	PMV_ATOMIC _Atomic uintptr_t high;
	/* Of the next allocator; of next.c until that is known, which is before
	 * there is a second thread. */
	PMV_CONST_AFTER_INIT void *(*malloc)(size_t bytes);
	PMV_CONST_AFTER_INIT void (*free)(void *ptr);
	PMV_CONST_AFTER_INIT void *(*realloc)(void *ptr, size_t bytes);
	PMV_CONST_AFTER_INIT void *(*calloc)(size_t n, size_t bytes);
};

_Static_assert(sizeof(struct pmv_hot) <= 64 || sizeof(void *) != 8,
	       "one line of the caches");

extern struct pmv_hot pmv_hot;

static inline size_t pmv_threshold(void)
{
	return atomic_load_explicit(&pmv_hot.threshold, memory_order_relaxed);
}

static inline size_t pmv_grow_threshold(void)
{
	return atomic_load_explicit(&pmv_hot.grow_threshold,
				    memory_order_relaxed);
}

/* False: it is not a block of the heap's. */
static inline bool pmv_may_be_ours(const void *ptr)
{
	uintptr_t at = (uintptr_t)ptr;

	return at < atomic_load_explicit(&pmv_hot.high, memory_order_relaxed) &&
	       at >= atomic_load_explicit(&pmv_hot.low, memory_order_relaxed);
}

/* One line on stderr, "libpagemv-malloc: ..."; no malloc, errno kept. */
void pmv_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#pragma GCC visibility pop

#endif /* PRELOAD_SHIM_H */
