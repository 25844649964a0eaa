// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Blocks: made, freed, asked about. The way of a block that is made of a slot
 * of the thread's magazine, and goes back to it, enters the kernel nowhere.
 */
#include <errno.h>
#include <string.h>

#include "heap.h"
#include "rcu.h"

/* What is to be zeros and may have pages is written over up to so many bytes;
 * more is given back, and comes as zeros when it is touched. */
#define WRITE_OVER_MAX ((size_t)1 << 20)

/* So many calls are made between two looks at the clock. */
#define USES_A_LOOK 64

/* ---- zeros ---- */

void pmv_slot_zero(struct pmv_slot *s, size_t from, size_t to)
{
	size_t page = s->arena->heap->page_bytes;
	uintptr_t start = pmv_slot_start(s);
	size_t back;

	to = pmv_min(to, s->dirty);
	if (to <= from)
		return;
	if (to - from > WRITE_OVER_MAX) {
		back = pmv_slot_cut(s, pmv_round_up(from, page));
		if (back)
			PMV_HEAP_COUNT(s->arena->heap, given_back_bytes, back);
		to = pmv_min(to, s->dirty);
	}
	if (to > from)
		memset((void *)(start + from), 0, to - from);
}

void pmv_slot_touched(struct pmv_slot *s, size_t upto)
{
	upto = pmv_round_up(upto, s->arena->heap->page_bytes);
	if (upto <= s->dirty)
		return;
	pmv_slot_set_dirty(s, upto);
	if (upto > s->arena->heap->huge_bytes)
		s->tables = true;
}

/* ---- making ---- */

static int no_memory(struct pagemv_heap *heap)
{
	PMV_HEAP_COUNT(heap, failures, 1);
	return -ENOMEM;
}

static void count_alloc(struct pagemv_heap *heap, struct pmv_magazine *m,
			size_t bytes)
{
	struct pagemv_heap_counters *c = pmv_magazine_counters(heap, m);

	pmv_heap_add(&c->allocs, 1);
	pmv_heap_add(&c->alloc_bytes, bytes);
}

/* Where a block begins in its slot. */
static size_t offset_in(const struct pmv_slot *s, size_t align)
{
	size_t page = s->arena->heap->page_bytes;
	uintptr_t start;

	if (pmv_likely(align <= page))
		return pmv_slot_colour(s, page);
	start = pmv_slot_start(s);
	return pmv_round_up(start, align) - start;
}

/* Makes a block of a slot. */
static void *make_block(struct pmv_slot *s, size_t off, size_t bytes)
{
	uintptr_t at = pmv_slot_start(s) + off;

	pmv_assert(off + bytes <= s->arena->slot_bytes);
	pmv_slot_touched(s, off + bytes);
	pmv_slot_publish(s, at, bytes);
	return (void *)at;
}

/* A slot of a magazine that needs nothing done to it. */
static bool is_ready(const struct pmv_slot *s, size_t end, uint32_t flags)
{
	return end <= s->committed && !(flags & PAGEMV_ALLOC_ZERO) &&
	       !s->advised && !s->lazy && !pmv_has_spare(s->dirty, end);
}

/* For a block that is aligned so. */
static int make_ready(struct pagemv_heap *heap, struct pmv_slot *s,
		      size_t align, size_t bytes)
{
	const struct pmv_need need = { .bytes = offset_in(s, align) +
						(bytes ? bytes : 1) };

	return pmv_slot_ready(heap, s, &need);
}

/* By the longer way. s: of a magazine, or NULL. */
static int alloc_slowly(struct pagemv_heap *heap, struct pmv_slot *s,
			size_t align, size_t bytes, uint32_t flags, void **out)
{
	struct pmv_need need = { .bytes = bytes ? bytes : 1 };
	struct pmv_magazine *m;
	size_t off;

	if (s && make_ready(heap, s, align, bytes) < 0) {
		pmv_slot_put(heap, s);
		s = NULL;
	}
	if (!s) {
		if (align > heap->page_bytes)
			need.bytes += align;
		if (pmv_slot_take(heap, &need, &s) < 0)
			return no_memory(heap);
		if (make_ready(heap, s, align, bytes) < 0) {
			pmv_slot_put(heap, s);
			return no_memory(heap);
		}
	}
	off = offset_in(s, align);
	pmv_huge_begin(heap, s, bytes, false);
	if (flags & PAGEMV_ALLOC_ZERO)
		pmv_slot_zero(s, off, off + bytes);
	*out = make_block(s, off, bytes);
	m = pmv_magazine_hold(heap);
	count_alloc(heap, m, bytes);
	pmv_magazine_release(m);
	return 0;
}

static int alloc(struct pagemv_heap *heap, size_t align, size_t bytes,
		 uint32_t flags, void **out)
{
	size_t all = bytes + (align > heap->page_bytes ? align : 0), off;
	struct pmv_magazine *m = pmv_magazine_hold(heap);
	struct pmv_slot *s =
		pmv_magazine_take(m, pmv_heap_bin(heap, all, false), all);
	int saved, rc;

	if (pmv_likely(s != NULL)) {
		off = offset_in(s, align);
		if (pmv_likely(is_ready(s, off + bytes, flags))) {
			pmv_block_forget(heap, s);
			*out = make_block(s, off, bytes);
			count_alloc(heap, m, bytes);
			pmv_magazine_release(m);
			return 0;
		}
	}
	pmv_magazine_release(m);
	saved = errno;
	rc = alloc_slowly(heap, s, align, bytes, flags, out);
	errno = saved;
	return rc;
}

int pagemv_heap_aligned_alloc(struct pagemv_heap *heap, size_t align,
			      size_t bytes, uint32_t flags, void **out)
{
	if (!heap || !out || flags & ~PAGEMV_ALLOC_ZERO || !align ||
	    align & (align - 1))
		return -EINVAL;
	if (bytes > PTRDIFF_MAX || align > PTRDIFF_MAX - bytes)
		return no_memory(heap);
	return alloc(heap, align, bytes, flags, out);
}

int pagemv_heap_alloc(struct pagemv_heap *heap, size_t bytes, uint32_t flags,
		      void **out)
{
	return pagemv_heap_aligned_alloc(heap, 1, bytes, flags, out);
}

/* ---- freeing ---- */

int pmv_heap_misuse(struct pagemv_heap *heap, enum pmv_found found, void *ptr)
{
	enum pagemv_heap_misuse what =
		found == PMV_FOUND_INSIDE  ? PAGEMV_MISUSE_INSIDE
		: found == PMV_FOUND_FREED ? PAGEMV_MISUSE_FREED
					   : PAGEMV_MISUSE_FOREIGN;

	if (found == PMV_FOUND_FOREIGN &&
	    heap->opts.flags & PAGEMV_HEAP_FOREIGN_OK)
		return -EINVAL;
	PMV_HEAP_COUNT(heap, misuses, 1);
	if (heap->opts.misuse)
		heap->opts.misuse(heap->opts.misuse_arg, what, ptr);
	return what == PAGEMV_MISUSE_FREED ? -ENOENT : -EINVAL;
}

int pagemv_heap_free(struct pagemv_heap *heap, void *ptr)
{
	struct pagemv_heap_counters *c;
	struct pmv_slot *s, *old;
	struct pmv_magazine *m;
	enum pmv_found found;
	size_t bytes;
	bool kept, quick;
	int saved;

	if (!heap)
		return -EINVAL;
	if (!ptr)
		return 0;
	m = pmv_magazine_hold(heap);
	found = pmv_slot_claim(heap, m, (uintptr_t)ptr, PMV_SLOT_FREED, &s,
			       &bytes);
	if (pmv_unlikely(found != PMV_FOUND)) {
		pmv_magazine_release(m);
		return pmv_heap_misuse(heap, found, ptr);
	}
	c = pmv_magazine_counters(heap, m);
	pmv_heap_add(&c->frees, 1);
	pmv_heap_add(&c->free_bytes, bytes);
	kept = pmv_magazine_put(heap, m, s, &old);
	/* Now and then the time is asked for. */
	quick = kept && !old && m->uses % USES_A_LOOK;
	pmv_magazine_release(m);
	if (pmv_likely(quick))
		return 0;
	saved = errno;
	if (old)
		pmv_slot_put(heap, old);
	if (!kept)
		pmv_slot_put(heap, s);
	pmv_heap_decay(heap);
	errno = saved;
	return 0;
}

/* ---- asking ---- */

int pagemv_heap_usable_size(struct pagemv_heap *heap, const void *ptr,
			    size_t *out_bytes)
{
	uintptr_t addr = (uintptr_t)ptr;
	enum pmv_found found;
	size_t bytes = 0;

	if (!heap || !out_bytes)
		return -EINVAL;
	found = pmv_slot_look(heap, addr, &bytes);
	if (found != PMV_FOUND)
		return found == PMV_FOUND_FREED ? -ENOENT : -EINVAL;
	*out_bytes = pmv_round_up(addr + bytes, heap->page_bytes) - addr;
	return 0;
}
