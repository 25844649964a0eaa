/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the unit tests of heaps begin with: a heap on the fake table, blocks
 * whose pages have identities; and what they end with: nothing leaked.
 */
#ifndef TESTS_UNIT_HEAP_SCENE_H
#define TESTS_UNIT_HEAP_SCENE_H

#include "heap.h"
#include "sweep.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

struct heap_scene {
	struct pagemv *pv;
	struct pagemv_heap *heap;
};

/* opts: NULL for defaults. */
static inline struct heap_scene heap_open(const struct pagemv_heap_opts *opts,
					  const struct way *way)
{
	struct heap_scene s = { .pv = scene_handle(way) };
	int rc = pagemv_heap_create(s.pv, opts, &s.heap);

	if (rc != 0)
		t_die("a heap on the fake: %d", rc);
	fake_forget_counts();
	return s;
}

static inline void heap_close(struct heap_scene *s)
{
	cr_expect(pagemv_heap_destroy(s->heap) == 0);
	pagemv_close(s->pv);
	cr_expect(fake_open_fds() == 0, "%d descriptors left open",
		  fake_open_fds());
	cr_expect(fake_mapped_bytes() == 0, "%zu bytes left mapped",
		  fake_mapped_bytes());
}

/* A block of whole pages with ids first.. */
static inline char *heap_block(struct pagemv_heap *heap, size_t pages,
			       uint64_t first)
{
	void *at = NULL;
	int rc = pagemv_heap_alloc(heap, t_pages(pages), 0, &at);

	if (rc != 0)
		t_die("a block: %d", rc);
	t_fill_range(at, pages, first);
	return at;
}

static inline struct pagemv_heap_stats heap_stats(struct pagemv_heap *heap)
{
	struct pagemv_heap_stats s = { .size = sizeof(s) };

	cr_assert(pagemv_heap_stats(heap, &s) == 0);
	return s;
}

/* The slot of a block. */
static inline struct pmv_slot *heap_slot(struct pagemv_heap *heap,
					 const void *at)
{
	struct pmv_arena *a = pmv_arena_find(heap, (uintptr_t)at);

	cr_assert(a != NULL);
	return &a->slot[((uintptr_t)at - a->start) >> a->shift];
}

#endif /* TESTS_UNIT_HEAP_SCENE_H */
