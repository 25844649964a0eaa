// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The functions that programs call.
 *
 * A small request costs a compare and a jump here, and free() two compares: no
 * thread-local storage, no lock, no call that is not the last thing done.
 */
#include "family.h"

#include <errno.h>

#include "next.h"
#include "serve.h"
#include "shim.h"

struct pmv_hot pmv_hot = {
	.threshold = SIZE_MAX,
	.grow_threshold = SIZE_MAX,
	.low = UINTPTR_MAX,
	.malloc = pmv_first_malloc,
	.free = pmv_first_free,
	.realloc = pmv_first_realloc,
	.calloc = pmv_first_calloc,
};

void *pmv_own_malloc(size_t bytes)
{
	if (pmv_unlikely(bytes >= pmv_threshold()))
		return pmv_serve_malloc(bytes);
	return pmv_hot.malloc(bytes);
}

void pmv_own_free(void *ptr)
{
	if (pmv_unlikely(pmv_may_be_ours(ptr))) {
		pmv_serve_free(ptr);
		return;
	}
	pmv_hot.free(ptr);
}

void *pmv_own_calloc(size_t n, size_t bytes)
{
	size_t all;

	/* What does not fit is the next one's to refuse. */
	if (pmv_unlikely(!__builtin_mul_overflow(n, bytes, &all) &&
			 all >= pmv_threshold()))
		return pmv_serve_calloc(n, bytes);
	return pmv_hot.calloc(n, bytes);
}

void *pmv_own_realloc(void *ptr, size_t bytes)
{
	if (pmv_unlikely(pmv_may_be_ours(ptr)))
		return pmv_serve_realloc(ptr, bytes);
	if (pmv_unlikely(bytes >= pmv_grow_threshold()))
		return pmv_serve_growth(ptr, bytes);
	return pmv_hot.realloc(ptr, bytes);
}

PMV_EXPORT void *reallocarray(void *ptr, size_t n, size_t bytes)
{
	size_t all;

	if (__builtin_mul_overflow(n, bytes, &all)) {
		errno = ENOMEM;
		return NULL;
	}
	if (pmv_may_be_ours(ptr) || all >= pmv_grow_threshold())
		return pmv_own_realloc(ptr, all);
	/* Not by the next realloc(): where the program has one of its own, the
	 * C library's reallocarray() calls that. */
	return pmv_next()->reallocarray(ptr, n, bytes);
}

/* Alignments that are none are the next one's to judge. */
static inline bool served(size_t align, size_t bytes)
{
	return bytes >= pmv_threshold() && align && !(align & (align - 1));
}

PMV_EXPORT int posix_memalign(void **out, size_t align, size_t bytes)
{
	void *ptr;

	if (served(align, bytes) && align >= sizeof(void *)) {
		ptr = pmv_serve_aligned(align, bytes);
		if (ptr) {
			*out = ptr;
			return 0;
		}
	}
	return pmv_next()->posix_memalign(out, align, bytes);
}

PMV_EXPORT void *aligned_alloc(size_t align, size_t bytes)
{
	void *ptr = NULL;

	if (served(align, bytes))
		ptr = pmv_serve_aligned(align, bytes);
	return ptr ? ptr : pmv_next()->aligned_alloc(align, bytes);
}

PMV_EXPORT void *memalign(size_t align, size_t bytes)
{
	void *ptr = NULL;

	if (served(align, bytes))
		ptr = pmv_serve_aligned(align, bytes);
	return ptr ? ptr : pmv_next()->memalign(align, bytes);
}

/* All blocks of the heap start with a page, and have whole pages. */
PMV_EXPORT void *valloc(size_t bytes)
{
	void *ptr = NULL;

	if (served(1, bytes))
		ptr = pmv_serve_aligned(1, bytes);
	return ptr ? ptr : pmv_next()->valloc(bytes);
}

PMV_EXPORT void *pvalloc(size_t bytes)
{
	void *ptr = NULL;

	if (served(1, bytes))
		ptr = pmv_serve_aligned(1, bytes);
	return ptr ? ptr : pmv_next()->pvalloc(bytes);
}

PMV_EXPORT size_t malloc_usable_size(void *ptr)
{
	if (pmv_unlikely(pmv_may_be_ours(ptr)))
		return pmv_serve_usable_size(ptr);
	return pmv_next()->usable_size(ptr);
}

PMV_EXPORT int malloc_trim(size_t pad)
{
	int ours = pmv_serve_trim();

	return pmv_next()->trim(pad) || ours;
}

/* C23. In a C library that has them they would not know the heap's blocks. */
PMV_EXPORT void free_sized(void *ptr, size_t bytes)
{
	(void)bytes;
	pmv_own_free(ptr);
}

PMV_EXPORT void free_aligned_sized(void *ptr, size_t align, size_t bytes)
{
	(void)align;
	(void)bytes;
	pmv_own_free(ptr);
}

/* ---- the names that programs know ---- */

PMV_EXPORT void *malloc(size_t bytes) __attribute__((alias("pmv_own_malloc")));
PMV_EXPORT void free(void *ptr) __attribute__((alias("pmv_own_free")));
PMV_EXPORT void *calloc(size_t n, size_t bytes)
	__attribute__((alias("pmv_own_calloc")));
PMV_EXPORT void *realloc(void *ptr, size_t bytes)
	__attribute__((alias("pmv_own_realloc")));
