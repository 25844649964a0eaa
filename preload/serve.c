// SPDX-License-Identifier: LGPL-2.1-or-later
#include "serve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <pagemv/heap.h>
#include <pagemv/pagemv.h>

#include "conf.h"
#include "next.h"
#include "own_heap.h"
#include "shim.h"

static PMV_CONST_AFTER_INIT const struct pmv_conf *conf;
static PMV_ATOMIC _Atomic uint64_t adopted;

void pmv_serve_start(const struct pmv_conf *with)
{
	conf = with;
	if (conf->serve == PMV_SERVE_NONE)
		return;
	pmv_heap_allow(conf);
	atomic_store_explicit(&pmv_hot.grow_threshold, conf->threshold,
			      memory_order_relaxed);
	if (conf->serve == PMV_SERVE_ALL)
		atomic_store_explicit(&pmv_hot.threshold, conf->threshold,
				      memory_order_relaxed);
}

/* ---- which blocks are the heap's ---- */

/* What free() and others compare with holds all blocks, before the caller has
 * this one. */
static void widen(struct pagemv_heap *heap)
{
	const struct pagemv_heap_bounds *b = pagemv_heap_bounds(heap);
	uintptr_t low = __atomic_load_n(&b->low, __ATOMIC_RELAXED);
	uintptr_t high = __atomic_load_n(&b->high, __ATOMIC_RELAXED);
	uintptr_t is = atomic_load_explicit(&pmv_hot.low, memory_order_relaxed);

	while (low < is && !atomic_compare_exchange_weak_explicit(
				   &pmv_hot.low, &is, low, memory_order_relaxed,
				   memory_order_relaxed))
		;
	is = atomic_load_explicit(&pmv_hot.high, memory_order_relaxed);
	while (high > is && !atomic_compare_exchange_weak_explicit(
				    &pmv_hot.high, &is, high,
				    memory_order_relaxed, memory_order_relaxed))
		;
}

/* Without entering the heap: this takes no lock. 0, -ENOENT for a block that
 * was freed, -EINVAL for anything else. */
static int look(const void *ptr, size_t *bytes)
{
	struct pagemv_heap *heap = pmv_heap_made();

	return heap ? pagemv_heap_usable_size(heap, ptr, bytes) : -EINVAL;
}

static const char freed_before[] = "block that was freed before";

static void tell_misuse(const char *function, const char *what, const void *ptr)
{
	pmv_say("%s(): %s: %p", function, what, ptr);
	if (conf->misuse == PMV_MISUSE_ABORT)
		abort();
}

/*
 * After a call with ptr that the heap refused. True: it is somebody else's, or
 * nobody's, and the next allocator's to judge.
 */
static bool is_foreign(int rc, const char *function, const void *ptr)
{
	if (rc == -ENOMEM)
		return true; /* nobody has looked at it */
	if (rc == -ENOENT)
		tell_misuse(function, freed_before, ptr);
	else if (pmv_heap_wrong() == PMV_NO_MISUSE)
		return true;
	else if (pmv_heap_wrong() == PAGEMV_MISUSE_INSIDE)
		tell_misuse(function, "pointer into a block", ptr);
	else
		tell_misuse(function, "pointer to no block", ptr);
	return false;
}

/* ---- new blocks ---- */

static void *allocate(size_t align, size_t bytes, uint32_t flags)
{
	struct pagemv_heap *heap = pmv_heap_enter();
	void *ptr = NULL;
	int rc;

	if (!heap)
		return NULL;
	rc = align > 1 ? pagemv_heap_aligned_alloc(heap, align, bytes, flags,
						   &ptr)
		       : pagemv_heap_alloc(heap, bytes, flags, &ptr);
	if (rc == 0)
		widen(heap);
	pmv_heap_leave(heap);
	return rc == 0 ? ptr : NULL;
}

void *pmv_serve_malloc(size_t bytes)
{
	void *ptr = allocate(1, bytes, 0);

	return ptr ? ptr : pmv_hot.malloc(bytes);
}

void *pmv_serve_calloc(size_t n, size_t bytes)
{
	void *ptr = allocate(1, n * bytes, PAGEMV_ALLOC_ZERO);

	return ptr ? ptr : pmv_hot.calloc(n, bytes);
}

void *pmv_serve_aligned(size_t align, size_t bytes)
{
	return allocate(align, bytes, 0);
}

/* ---- the end of blocks ---- */

/* Where the heap is not to be entered. */
static void free_outside(void *ptr)
{
	size_t bytes;
	int rc = look(ptr, &bytes);

	if (rc == -EINVAL)
		pmv_hot.free(ptr);
	else if (rc < 0 || !pmv_heap_free_later(ptr))
		tell_misuse("free", freed_before, ptr);
}

void pmv_serve_free(void *ptr)
{
	struct pagemv_heap *heap = pmv_heap_enter();
	int rc;

	if (!heap) {
		free_outside(ptr);
		return;
	}
	rc = pagemv_heap_free(heap, ptr);
	pmv_heap_leave(heap);
	if (pmv_unlikely(rc < 0) && is_foreign(rc, "free", ptr))
		pmv_hot.free(ptr);
}

int pmv_serve_trim(void)
{
	struct pagemv_heap *heap = pmv_heap_made() ? pmv_heap_enter() : NULL;
	size_t given_back = 0;

	if (!heap)
		return 0;
	pagemv_heap_trim(heap, &given_back);
	pmv_heap_leave(heap);
	return given_back > 0;
}

size_t pmv_serve_usable_size(void *ptr)
{
	size_t bytes = 0;
	int rc = look(ptr, &bytes);

	if (rc == -ENOENT)
		tell_misuse("malloc_usable_size", freed_before, ptr);
	return rc == -EINVAL ? pmv_next()->usable_size(ptr) : bytes;
}

/* ---- blocks that change their size ---- */

/* To the next allocator: copied. */
static void *move_out(void *ptr, size_t old_bytes, size_t bytes)
{
	void *new = pmv_hot.malloc(bytes);

	if (!new)
		return NULL;
	memcpy(new, ptr, pmv_min(old_bytes, bytes));
	pmv_serve_free(ptr);
	return new;
}

/* So small that a page and its mapping are a waste; much below the threshold,
 * so that a block whose size goes up and down does not go to and fro. */
static bool is_small(size_t bytes)
{
	return bytes < conf->threshold / 4;
}

static void *resize(void *ptr, size_t bytes, int *rc)
{
	struct pagemv_heap *heap = pmv_heap_enter();
	void *new = NULL;

	*rc = -EBUSY;
	if (!heap)
		return NULL;
	/* As every realloc() does. */
	*rc = pagemv_heap_realloc(heap, ptr, bytes, PAGEMV_ALLOC_MAY_COPY, &new,
				  NULL);
	if (*rc == 0)
		widen(heap);
	pmv_heap_leave(heap);
	return new;
}

void *pmv_serve_realloc(void *ptr, size_t bytes)
{
	void *new = NULL;
	size_t old_bytes;
	int rc, found;

	/* As glibc does. */
	if (!bytes) {
		pmv_serve_free(ptr);
		return NULL;
	}
	if (is_small(bytes) && look(ptr, &old_bytes) == 0)
		new = move_out(ptr, old_bytes, bytes);
	if (new)
		return new;
	new = resize(ptr, bytes, &rc);
	if (rc == 0)
		return new;
	/* No memory there, or not to be entered now. */
	found = look(ptr, &old_bytes);
	if (found == 0)
		return move_out(ptr, old_bytes, bytes);
	if (found == -ENOENT)
		rc = found;
	if (rc == -EBUSY || is_foreign(rc, "realloc", ptr))
		return bytes >= pmv_grow_threshold()
			       ? pmv_serve_growth(ptr, bytes)
			       : pmv_hot.realloc(ptr, bytes);
	errno = EINVAL;
	return NULL;
}

/* Its pages become a block of the heap's. NULL: they do not. */
static void *adopt(void *ptr, size_t old_bytes, size_t bytes)
{
	struct pagemv_heap *heap = pmv_heap_enter();
	void *new = NULL;
	int rc;

	if (!heap)
		return NULL;
	rc = pagemv_heap_adopt(heap, ptr, old_bytes, bytes, &new, NULL);
	if (rc == 0)
		widen(heap);
	pmv_heap_leave(heap);
	return rc == 0 ? new : NULL;
}

void *pmv_serve_growth(void *ptr, size_t bytes)
{
	size_t old_bytes;
	void *new;

	if (!ptr)
		return bytes >= pmv_threshold() ? pmv_serve_malloc(bytes)
						: pmv_hot.malloc(bytes);
	if (!pmv_next()->knows_sizes)
		return pmv_hot.realloc(ptr, bytes);
	old_bytes = pmv_next()->usable_size(ptr);
	/* Also where it cannot be said, which is 0. */
	if (bytes <= old_bytes || !old_bytes)
		return pmv_hot.realloc(ptr, bytes);
	new = adopt(ptr, old_bytes, bytes);
	if (!new)
		return pmv_hot.realloc(ptr, bytes);
	atomic_fetch_add_explicit(&adopted, 1, memory_order_relaxed);
	pmv_hot.free(ptr);
	return new;
}

/* ---- what it did ---- */

bool pmv_serve_stats(struct pagemv_heap_stats *stats, uint64_t *n_adopted)
{
	struct pagemv_heap *heap = pmv_heap_made() ? pmv_heap_enter() : NULL;
	int rc;

	if (!heap)
		return false;
	*stats = (struct pagemv_heap_stats){ .size = sizeof(*stats) };
	rc = pagemv_heap_stats(heap, stats);
	pmv_heap_leave(heap);
	*n_adopted = atomic_load_explicit(&adopted, memory_order_relaxed);
	return rc == 0;
}
