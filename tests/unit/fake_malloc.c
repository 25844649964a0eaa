/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake_malloc.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_aligned_alloc(size_t align, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_aligned_alloc(size_t align, size_t bytes);

static atomic_uint count, fails;

void fake_malloc_fail(unsigned int nth)
{
	atomic_store(&count, 0);
	atomic_store(&fails, nth);
}

unsigned int fake_malloc_count(void)
{
	return atomic_load(&count);
}

static bool fail_now(void)
{
	return atomic_fetch_add(&count, 1) + 1 == atomic_load(&fails);
}

void *__wrap_malloc(size_t bytes)
{
	return fail_now() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t n, size_t bytes)
{
	return fail_now() ? NULL : __real_calloc(n, bytes);
}

void *__wrap_aligned_alloc(size_t align, size_t bytes)
{
	return fail_now() ? NULL : __real_aligned_alloc(align, bytes);
}
