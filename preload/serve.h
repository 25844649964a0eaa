/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The heap of the process, and what is done with it.
 *
 * It is made at the first large request. Where it cannot be made, and to
 * threads that are in the heap already (in a signal handler, between the
 * handlers of a fork, or because the heap asks for memory itself), requests are
 * passed on to the next allocator.
 */
#ifndef PRELOAD_SERVE_H
#define PRELOAD_SERVE_H

#include "base.h"

#pragma GCC visibility push(hidden)

struct pagemv_heap_stats;
struct pmv_conf;

/* Serves from now on, as conf says, which stays the caller's and as it is. */
void pmv_serve_start(const struct pmv_conf *conf);

/* Each answers the call, by the next allocator where it must. */
void *pmv_serve_malloc(size_t bytes);
void *pmv_serve_calloc(size_t n, size_t bytes);
void pmv_serve_free(void *ptr);
/* ptr may be the heap's. */
void *pmv_serve_realloc(void *ptr, size_t bytes);
/* ptr is not the heap's, or NULL, and the block would be large. */
void *pmv_serve_growth(void *ptr, size_t bytes);
size_t pmv_serve_usable_size(void *ptr);

/* NULL: it is the caller's to ask the next allocator. align is a power of two.
 */
void *pmv_serve_aligned(size_t align, size_t bytes);

/* 1: memory went back to the kernel. */
int pmv_serve_trim(void);

/* False: there is no heap. Blocks that came by growth are in *adopted. */
bool pmv_serve_stats(struct pagemv_heap_stats *stats, uint64_t *adopted);

#pragma GCC visibility pop

#endif /* PRELOAD_SERVE_H */
