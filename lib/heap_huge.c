// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * When blocks get huge pages: where that makes their growth cheaper.
 *
 * It mostly does, by 512 faults less. Not always: in a virtual machine whose
 * host takes back what is free (free page reporting takes whole huge pages),
 * each that is touched again has to come from the host. Measured on such a
 * machine: 4.7 ms for a huge page that had been free for 6 s, 0.18 ms for one
 * that had not, 0.85 ms for 512 small ones. So it is tried: one huge page
 * against some small ones, which the block needs anyway.
 */
#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "heap.h"
#include "pages.h"

/* So many small pages are compared with a huge one, and this is how much less
 * a page of it has to cost. */
#define SMALL_PAGES 64
#define WORTH_PART  7
#define WORTH_OF    10
/* Where it did not pay, it is not tried again for so long. */
#define AGAIN_MS 2000
/* Larger blocks are not advised any more: that would be a mapping more. */
#define LATE_MAX ((size_t)64 << 20)
/* A block is not given more beyond its end than such a part of it. */
#define BEYOND_PART 16

/* Of all heaps, as pages are. */
static PMV_ATOMIC _Atomic uint32_t small_ns; /* of a small page, as last seen */
static PMV_ATOMIC _Atomic uint32_t cold_ms; /* when it did not pay; 0: it did */

static bool wants(const struct pagemv_heap *heap, enum pagemv_heap_huge huge)
{
	return heap->advises && heap->opts.huge == huge;
}

static void advise(struct pmv_slot *s, bool huge)
{
	struct pmv_arena *a = s->arena;
	struct pagemv *pv;

	if (s->advised == huge)
		return;
	pv = huge ? pmv_heap_handle(a->heap) : NULL;
	if (pv && pmv_pages_small_only(pv))
		return;
	/* All of the slot: no border of mappings inside it. */
	if (a->heap->sys->madvise(pmv_slot_start(s), a->slot_bytes,
				  huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) == 0)
		s->advised = huge;
}

/* ---- trying ---- */

/* Makes the pages be there; what each of them cost, at least 1, or -errno. */
static int64_t cost_of(struct pagemv_heap *heap, uintptr_t addr, size_t bytes)
{
	uint64_t begun = heap->sys->cpu_ns(), ns;
	int rc = pmv_pages_populate(heap->sys, addr, bytes);

	if (rc < 0)
		return rc;
	ns = (heap->sys->cpu_ns() - begun) / (bytes / heap->page_bytes);
	return ns ? (int64_t)ns : 1;
}

static bool is_cold(struct pagemv_heap *heap)
{
	uint32_t then = atomic_load_explicit(&cold_ms, memory_order_relaxed);

	return then && pmv_heap_now(heap) - then < AGAIN_MS;
}

static void now_cold(struct pagemv_heap *heap, bool cold)
{
	atomic_store_explicit(&cold_ms, cold ? pmv_heap_now(heap) | 1 : 0,
			      memory_order_relaxed);
}

static bool is_worth(int64_t small, int64_t huge)
{
	return huge * WORTH_OF < small * WORTH_PART;
}

/* One huge page of scratch memory against some small ones. What cannot be told
 * is taken for good. */
static bool trial(struct pagemv_heap *heap)
{
	size_t huge_bytes = heap->huge_bytes;
	size_t some = SMALL_PAGES * heap->page_bytes;
	const struct pmv_sys *sys = heap->sys;
	int64_t small, huge;
	uintptr_t addr, whole;

	if (sys->mmap(&addr, 2 * huge_bytes, PROT_READ | PROT_WRITE) < 0)
		return true;
	whole = pmv_round_up(addr, huge_bytes);
	/* Before the huge page, or behind it: in the same mapping. */
	small = cost_of(heap, whole - addr >= some ? addr : whole + huge_bytes,
			some);
	sys->madvise(whole, huge_bytes, MADV_HUGEPAGE);
	huge = cost_of(heap, whole, huge_bytes);
	sys->munmap(addr, 2 * huge_bytes);
	if (small < 0 || huge < 0)
		return true;
	atomic_store_explicit(&small_ns, (uint32_t)small, memory_order_relaxed);
	return is_worth(small, huge);
}

bool pmv_huge_try(struct pagemv_heap *heap, struct pmv_slot *s, size_t end)
{
	if (!wants(heap, PAGEMV_HEAP_HUGE_AUTO) || s->arena->shared ||
	    end > LATE_MAX || is_cold(heap))
		return false;
	if (!trial(heap)) {
		now_cold(heap, true);
		return false;
	}
	advise(s, true);
	return s->advised;
}

/* Whether the block may have a huge page at off already. */
static bool may_have(const struct pagemv_heap *heap, const struct pmv_slot *s,
		     size_t off, size_t end)
{
	return off + heap->huge_bytes <= s->committed &&
	       off + heap->huge_bytes <= end + end / BEYOND_PART;
}

bool pmv_huge_keep(struct pagemv_heap *heap, struct pmv_slot *s, size_t old,
		   size_t end)
{
	size_t off = pmv_round_up(old, heap->huge_bytes);
	int64_t small = atomic_load_explicit(&small_ns, memory_order_relaxed);
	int64_t huge;

	if (!wants(heap, PAGEMV_HEAP_HUGE_AUTO) || !small ||
	    !may_have(heap, s, off, end))
		return true;
	huge = cost_of(heap, pmv_slot_start(s) + off, heap->huge_bytes);
	pmv_slot_touched(s, off + heap->huge_bytes);
	if (huge < 0 || is_worth(small, huge))
		return true;
	now_cold(heap, true);
	advise(s, false);
	return false;
}

/* ---- by the options ---- */

void pmv_huge_always(struct pagemv_heap *heap, struct pmv_slot *s)
{
	if (wants(heap, PAGEMV_HEAP_HUGE_ALWAYS))
		advise(s, true);
}

void pmv_huge_begin(struct pagemv_heap *heap, struct pmv_slot *s, size_t bytes,
		    bool dense)
{
	if (wants(heap, PAGEMV_HEAP_HUGE_ALWAYS))
		dense = bytes >= heap->huge_bytes;
	if (heap->advises && !s->arena->shared)
		advise(s, dense);
	s->sensor = 0;
	s->look_at = heap->look_at;
}

void pmv_huge_arena(struct pagemv_heap *heap, uintptr_t addr, size_t bytes)
{
	if (heap->opts.huge == PAGEMV_HEAP_HUGE_NEVER)
		heap->sys->madvise(addr, bytes, MADV_NOHUGEPAGE);
}
