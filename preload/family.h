/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The functions that the shim has for programs.
 */
#ifndef PRELOAD_FAMILY_H
#define PRELOAD_FAMILY_H

#include <stddef.h>

/* malloc() and so on of the shim, whoever else has functions of these names and
 * is found first. */
#pragma GCC visibility push(hidden)
void *pmv_own_malloc(size_t bytes);
void pmv_own_free(void *ptr);
void *pmv_own_calloc(size_t n, size_t bytes);
void *pmv_own_realloc(void *ptr, size_t bytes);
#pragma GCC visibility pop

/* <stdlib.h> and <malloc.h> of some C libraries lack some, or promise things
 * of them that the compiler would take for granted here. */
#define PMV_EXPORT __attribute__((visibility("default")))

PMV_EXPORT void *malloc(size_t bytes);
PMV_EXPORT void free(void *ptr);
PMV_EXPORT void *calloc(size_t n, size_t bytes);
PMV_EXPORT void *realloc(void *ptr, size_t bytes);
PMV_EXPORT void *reallocarray(void *ptr, size_t n, size_t bytes);
PMV_EXPORT int posix_memalign(void **out, size_t align, size_t bytes);
PMV_EXPORT void *aligned_alloc(size_t align, size_t bytes);
PMV_EXPORT void *memalign(size_t align, size_t bytes);
PMV_EXPORT void *valloc(size_t bytes);
PMV_EXPORT void *pvalloc(size_t bytes);
PMV_EXPORT size_t malloc_usable_size(void *ptr);
PMV_EXPORT int malloc_trim(size_t pad);
PMV_EXPORT void free_sized(void *ptr, size_t bytes);
PMV_EXPORT void free_aligned_sized(void *ptr, size_t align, size_t bytes);

#endif /* PRELOAD_FAMILY_H */
