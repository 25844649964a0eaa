/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The next allocator: the functions that programs would call without the shim.
 *
 * They are looked for by dlsym() at the first call, which the dynamic linker
 * makes before there are threads. dlsym() may itself ask for memory: it gets
 * some of a small static area, whose blocks are never given back.
 */
#ifndef PRELOAD_NEXT_H
#define PRELOAD_NEXT_H

#include "base.h"

#pragma GCC visibility push(hidden)

/* Beside those of struct pmv_hot. */
struct pmv_next {
	int (*posix_memalign)(void **out, size_t align, size_t bytes);
	void *(*aligned_alloc)(size_t align, size_t bytes);
	void *(*memalign)(size_t align, size_t bytes);
	void *(*valloc)(size_t bytes);
	void *(*pvalloc)(size_t bytes);
	void *(*reallocarray)(void *ptr, size_t n, size_t bytes);
	size_t (*usable_size)(void *ptr);
	int (*trim)(size_t pad);
	bool found;
	/* usable_size() is of the same allocator as malloc(). */
	bool knows_sizes;
};

/* Constant once found. */
const struct pmv_next *pmv_next(void);

/* What pmv_hot has until then. */
void *pmv_first_malloc(size_t bytes);
void pmv_first_free(void *ptr);
void *pmv_first_realloc(void *ptr, size_t bytes);
void *pmv_first_calloc(size_t n, size_t bytes);

#pragma GCC visibility pop

#endif /* PRELOAD_NEXT_H */
