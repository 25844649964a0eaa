// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Which pages of blocks are huge: where that makes their growth cheaper.
 *
 * It mostly does, by 512 faults less. Not always: in a virtual machine whose
 * host takes back what is free (free page reporting takes whole huge pages),
 * each that is touched again has to come from the host. Measured on such a
 * machine: 4.7 ms for a huge page that had been free for 6 s, 0.2 ms for one
 * that had not, 0.7 ms for 512 small ones, which are mostly of memory in pieces
 * too small to be taken. Free ones of both kinds lie beside each other, in runs
 * of a hundred. So what is made in advance is made by huge pages one by one,
 * and by small ones from the first on that was cold.
 */
#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "heap.h"
#include "pages.h"

/* Pages are made so many bytes at a time: others wait for mappings to change
 * meanwhile. */
#define PIECE_BYTES ((size_t)2 << 20)
/* A page of a cold one costs so many times as much as a small page. */
#define COLD_TIMES 2
/* After one, there is no other try for so long. */
#define AGAIN_MS 2000
/* What small pages cost is known from so many. */
#define SMALL_PAGES 64

/* Of all heaps, as pages are. */
static PMV_ATOMIC _Atomic uint32_t small_ns; /* of a small page, as last seen */
static PMV_ATOMIC _Atomic uint32_t cold_ms;  /* when one was; 0: never */

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

/* ---- making pages ---- */

static bool never_cold(void)
{
	return !atomic_load_explicit(&cold_ms, memory_order_relaxed);
}

/* Whether there is a chance that the next one is not cold. */
static bool may_be_warm(struct pagemv_heap *heap)
{
	uint32_t then = atomic_load_explicit(&cold_ms, memory_order_relaxed);

	return !then || pmv_heap_now(heap) - then >= AGAIN_MS;
}

/* From what pages cost that have been made: what to expect of others. */
static void learn(struct pagemv_heap *heap, bool huge, uint64_t page_ns)
{
	uint64_t small = atomic_load_explicit(&small_ns, memory_order_relaxed);

	if (!huge)
		atomic_store_explicit(&small_ns, (uint32_t)page_ns | 1,
				      memory_order_relaxed);
	else if (page_ns > small * COLD_TIMES)
		atomic_store_explicit(&cold_ms, pmv_heap_now(heap) | 1,
				      memory_order_relaxed);
}

static int make_piece(struct pmv_slot *s, size_t from, size_t to)
{
	struct pagemv_heap *heap = s->arena->heap;
	const struct pmv_sys *sys = heap->sys;
	uintptr_t addr = pmv_slot_start(s) + from;
	size_t bytes = to - from, pages = bytes / heap->page_bytes;
	uint64_t begun = sys->cpu_ns();
	int rc;

	if (s->advised || !heap->small)
		rc = pmv_pages_populate(sys, addr, bytes);
	else
		rc = pmv_pages_make(sys, pmv_heap_open_handle(heap), addr,
				    bytes);
	if (rc == 0 && pages >= SMALL_PAGES)
		learn(heap, s->advised, (sys->cpu_ns() - begun) / pages);
	return rc;
}

bool pmv_huge_likely(const struct pmv_slot *s)
{
	struct pagemv_heap *heap = s->arena->heap;

	return !s->arena->shared && wants(heap, PAGEMV_HEAP_HUGE_AUTO) &&
	       atomic_load_explicit(&small_ns, memory_order_relaxed) &&
	       may_be_warm(heap);
}

int pmv_huge_make(struct pmv_slot *s, size_t from, size_t to, bool more)
{
	struct pagemv_heap *heap = s->arena->heap;
	size_t unit = heap->huge_bytes ? heap->huge_bytes : PIECE_BYTES;
	bool by_advice = wants(heap, PAGEMV_HEAP_HUGE_AUTO), any = false;
	int rc = 0;

	for (size_t next; from < to && rc == 0; from = next) {
		bool huge;

		next = pmv_min(pmv_round_up(from + 1, unit), to);
		huge = next - from == heap->huge_bytes && pmv_huge_likely(s);
		if (by_advice)
			advise(s, huge);
		any |= huge;
		rc = make_piece(s, from, next);
	}
	/* What is touched is not asked whether it is cold. */
	if (by_advice)
		advise(s, any && more && rc == 0 && never_cold());
	return rc;
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
	pmv_block_forget(heap, s);
}

void pmv_huge_arena(struct pagemv_heap *heap, uintptr_t addr, size_t bytes)
{
	if (heap->opts.huge == PAGEMV_HEAP_HUGE_NEVER)
		heap->sys->madvise(addr, bytes, MADV_NOHUGEPAGE);
}
