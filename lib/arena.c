// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * ASSUME(hint): mmap() places a mapping at its hint where nothing is mapped,
 * and elsewhere otherwise. mmap(2) ASSUME(protect-merges): mprotect() that
 * makes a mapping longer at the expense of the one behind it moves the border
 * between them; nothing is split as long as no page has been in what was behind
 * it. mm/vma.c
 */
#include "arena.h"

#include <errno.h>
#include <sys/mman.h>

#include "heap.h"
#include "mapping.h"
#include "pages.h"
#include "rcu.h"
#include "region.h"

/* Slots begin at multiples of their size up to this. */
#define ALIGN_MAX ((size_t)1 << 30)
/* Space of small slots is committed by so much, or as much as there is. */
#define READY_BYTES ((size_t)32 << 20)
/* No block commits more than this ahead where memory is promised by kind. */
#define AHEAD_MIN ((size_t)2 << 20)
/* And where it is counted. */
#define STRICT_AHEAD_MAX ((size_t)16 << 20)
/* Tables that wait for their readers together. */
#define RETIRED_MAX 8

#define READ_WRITE (PROT_READ | PROT_WRITE)

/* ---- by address ---- */

struct pmv_arena *pmv_arena_find(struct pagemv_heap *heap, uintptr_t addr)
{
	/* Pairs with the release in publish(). */
	const struct pmv_arena_table *t =
		atomic_load_explicit(&heap->table, memory_order_acquire);
	size_t low = 0, high = t ? t->n : 0;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (addr >= t->row[mid].end)
			low = mid + 1;
		else
			high = mid;
	}
	return t && low < t->n && addr >= t->row[low].start ? t->row[low].arena
							    : NULL;
}

/* Needs grow_lock. Room for n arenas. */
static struct pmv_arena_table *table_new(struct pagemv_heap *heap, size_t n)
{
	size_t bytes = pmv_round_up(sizeof(struct pmv_arena_table) +
					    n * sizeof(struct pmv_arena_row),
				    heap->page_bytes);
	uintptr_t addr;
	struct pmv_arena_table *t;

	if (heap->sys->mmap(&addr, bytes, READ_WRITE) < 0)
		return NULL;
	t = (struct pmv_arena_table *)addr;
	t->bytes = bytes;
	return t;
}

static void table_free(struct pagemv_heap *heap, struct pmv_arena_table *t)
{
	heap->sys->munmap((uintptr_t)t, t->bytes);
}

/* Frees the tables that nobody reads any more. Needs grow_lock. */
static void settle(struct pagemv_heap *heap)
{
	pmv_rcu_synchronize(&heap->table);
	while (heap->retired) {
		struct pmv_arena_table *t = heap->retired;

		heap->retired = t->retired;
		table_free(heap, t);
	}
	heap->n_retired = 0;
}

/* Needs grow_lock. */
static void publish(struct pagemv_heap *heap, struct pmv_arena_table *t)
{
	struct pmv_arena_table *old =
		atomic_load_explicit(&heap->table, memory_order_relaxed);

	/* Pairs with the acquire in pmv_arena_find(). */
	atomic_store_explicit(&heap->table, t, memory_order_release);
	if (!old)
		return;
	old->retired = heap->retired;
	heap->retired = old;
	heap->n_retired++;
}

static struct pmv_arena_table *table_with(struct pagemv_heap *heap,
					  struct pmv_arena *a)
{
	const struct pmv_arena_table *old =
		atomic_load_explicit(&heap->table, memory_order_relaxed);
	size_t n = old ? old->n : 0, i = 0;
	struct pmv_arena_table *t = table_new(heap, n + 1);

	if (!t)
		return NULL;
	for (; i < n && old->row[i].start < a->start; i++)
		t->row[i] = old->row[i];
	t->row[i] = (struct pmv_arena_row){ a->start, a->start + a->bytes, a };
	for (; i < n; i++)
		t->row[i + 1] = old->row[i];
	t->n = n + 1;
	return t;
}

static struct pmv_arena_table *table_without(struct pagemv_heap *heap,
					     const struct pmv_arena *a)
{
	const struct pmv_arena_table *old =
		atomic_load_explicit(&heap->table, memory_order_relaxed);
	struct pmv_arena_table *t = table_new(heap, old->n);

	if (!t)
		return NULL;
	for (size_t i = 0; i < old->n; i++)
		if (old->row[i].arena != a)
			t->row[t->n++] = old->row[i];
	return t;
}

/* ---- address space ---- */

static size_t align_of(const struct pagemv_heap *heap, size_t slot_bytes)
{
	size_t huge = heap->huge_bytes ? heap->huge_bytes : heap->page_bytes;

	if (slot_bytes & (slot_bytes - 1))
		return slot_bytes < huge ? heap->page_bytes : huge;
	return pmv_min(slot_bytes, ALIGN_MAX);
}

/* At the hint, or anywhere aligned so. */
static int reserve(struct pagemv_heap *heap, size_t bytes, size_t align,
		   uintptr_t *out)
{
	const struct pmv_sys *sys = heap->sys;
	uintptr_t hint = pmv_round_up(heap->hint, align), addr, head;
	int rc = sys->reserve(hint, &addr, bytes);

	if (rc < 0)
		return rc;
	if (addr == hint)
		heap->hint = hint + bytes;
	*out = addr;
	if (!(addr & (align - 1)))
		return 0;
	sys->munmap(addr, bytes);
	rc = sys->reserve(0, &addr, bytes + align);
	if (rc < 0)
		return rc;
	*out = pmv_round_up(addr, align);
	head = *out - addr;
	if (head)
		sys->munmap(addr, head);
	if (align - head)
		sys->munmap(*out + bytes, align - head);
	return 0;
}

static void widen(struct pagemv_heap *heap, uintptr_t start, uintptr_t end)
{
	struct pagemv_heap_bounds *b = &heap->bounds;

	/* Under grow_lock: nobody else writes. */
	if (start < b->low)
		__atomic_store_n(&b->low, start, __ATOMIC_RELAXED);
	if (end > b->high)
		__atomic_store_n(&b->high, end, __ATOMIC_RELAXED);
}

/* ---- making and unmaking ---- */

static struct pmv_arena *describe(struct pagemv_heap *heap,
				  const struct pmv_fit *fit, uint32_t slots)
{
	size_t meta = pmv_round_up(sizeof(struct pmv_arena) +
					   slots * sizeof(struct pmv_slot),
				   heap->page_bytes);
	uintptr_t addr;
	struct pmv_arena *a;

	if (heap->sys->mmap(&addr, meta, READ_WRITE) < 0)
		return NULL;
	a = (struct pmv_arena *)addr;
	a->heap = heap;
	a->bytes = fit->slot_bytes * slots;
	a->slot_bytes = fit->slot_bytes;
	a->bin = fit->bin;
	/* Every address in the only slot becomes slot 0. */
	a->shift = fit->bin == PMV_BIN_EXACT ? sizeof(uintptr_t) * 8 - 1
					     : fit->bin;
	a->slots = slots;
	a->shared = fit->shared;
	a->colours = fit->colours;
	a->meta_bytes = meta;
	for (uint32_t i = 0; i < slots; i++)
		a->slot[i].arena = a;
	return a;
}

/* As the options want it. The kernel may refuse any of it. */
static void furnish(struct pagemv_heap *heap, uintptr_t addr, size_t bytes)
{
	heap->sys->name_memory(addr, bytes, heap->name);
	pmv_numa_prefer(&heap->want, addr, bytes);
	pmv_huge_arena(heap, addr, bytes);
}

/* Where there is no handle so far it is done when there is one. */
static int register_arena(struct pagemv_heap *heap, struct pmv_arena *a)
{
	struct pagemv *pv = pmv_heap_open_handle(heap);

	return pv ? pmv_region_reserve(pv, a->start, a->bytes, &a->region) : 0;
}

static int arena_try(struct pagemv_heap *heap, const struct pmv_fit *fit,
		     uint32_t slots, struct pmv_arena **out)
{
	struct pmv_arena *a = describe(heap, fit, slots);
	struct pmv_arena_table *t = NULL;
	int rc = -ENOMEM;

	if (!a)
		return rc;
	rc = reserve(heap, a->bytes, align_of(heap, a->slot_bytes), &a->start);
	if (rc < 0)
		goto no_space;
	t = table_with(heap, a);
	furnish(heap, a->start, a->bytes);
	rc = t ? register_arena(heap, a) : -ENOMEM;
	if (rc < 0)
		goto not_registered;
	widen(heap, a->start, a->start + a->bytes);
	publish(heap, t);
	if (heap->n_retired >= RETIRED_MAX && !pmv_rcu_inside())
		settle(heap);
	atomic_fetch_add_explicit(&heap->reserved_bytes, a->bytes,
				  memory_order_relaxed);
	*out = a;
	return 0;

not_registered:
	if (t)
		table_free(heap, t);
	heap->sys->munmap(a->start, a->bytes);
no_space:
	heap->sys->munmap((uintptr_t)a, a->meta_bytes);
	return rc;
}

int pmv_arena_add(struct pagemv_heap *heap, const struct pmv_fit *fit,
		  struct pmv_arena **out)
{
	uint32_t slots = fit->slots;
	int rc;

	while ((rc = arena_try(heap, fit, slots, out)) < 0 && slots > 1)
		slots = slots > 8 ? slots / 8 : 1;
	return rc;
}

/* But for slots that are lost: what is mapped there is somebody else's. */
static void for_each_part(const struct pmv_arena *a,
			  void (*visit)(const struct pmv_sys *sys,
					uintptr_t addr, size_t bytes))
{
	uintptr_t from = a->start, to;

	for (uint32_t i = 0; i < a->fresh; i++) {
		if (!a->slot[i].lost)
			continue;
		to = pmv_slot_start(&a->slot[i]);
		if (to > from)
			visit(a->heap->sys, from, to - from);
		from = to + a->slot_bytes;
	}
	to = a->start + a->bytes;
	if (to > from)
		visit(a->heap->sys, from, to - from);
}

static void drop(const struct pmv_sys *sys, uintptr_t addr, size_t bytes)
{
	pmv_pages_drop(sys, addr, bytes);
}

static void unmap(const struct pmv_sys *sys, uintptr_t addr, size_t bytes)
{
	sys->munmap(addr, bytes);
}

void pmv_arena_destroy(struct pmv_arena *a)
{
	struct pagemv_heap *heap = a->heap;

	/* Without pages the kernel is quick to unregister it. */
	for_each_part(a, drop);
	if (a->region)
		pagemv_region_unregister(a->region);
	for_each_part(a, unmap);
	atomic_fetch_sub_explicit(&heap->reserved_bytes, a->bytes,
				  memory_order_relaxed);
	heap->sys->munmap((uintptr_t)a, a->meta_bytes);
}

bool pmv_arena_forget(struct pmv_arena *a)
{
	struct pagemv_heap *heap = a->heap;
	struct pmv_arena_table *t = table_without(heap, a);

	if (!t)
		return false;
	publish(heap, t);
	settle(heap);
	return true;
}

void pmv_arenas_close(struct pagemv_heap *heap)
{
	struct pmv_arena_table *t =
		atomic_load_explicit(&heap->table, memory_order_relaxed);

	settle(heap);
	for (size_t i = 0; t && i < t->n; i++)
		pmv_arena_destroy(t->row[i].arena);
	if (t)
		table_free(heap, t);
	atomic_store_explicit(&heap->table, NULL, memory_order_relaxed);
}

/* ---- committing ---- */

static int protect(struct pmv_slot *s, uintptr_t from, uintptr_t to, int prot)
{
	int rc = s->arena->heap->sys->mprotect(from, to - from, prot);

	return rc < 0 ? -ENOMEM : 0;
}

/* Whether the kernel would fill what is committed at once. */
static bool is_locked(const struct pmv_arena *a)
{
	return pmv_page_locked(a->heap->sys, a->start, a->heap->page_bytes) ==
	       1;
}

/* The slots of a shared arena up to this one and beyond, as a whole. */
static bool commit_shared(struct pmv_slot *s)
{
	struct pmv_arena *a = s->arena;
	struct pmv_bin *bin = &a->heap->bins[a->bin];
	uint32_t i = (uint32_t)(s - a->slot), upto;
	uint32_t step = (uint32_t)(READY_BYTES / a->slot_bytes);
	bool ready;

	if (!pmv_bin_lock(a->heap, bin))
		return false;
	if (a->ready <= i) {
		upto = i + (step ? step : 1);
		upto = upto < a->slots ? upto : a->slots;
		if (protect(s, a->start + a->ready * a->slot_bytes,
			    a->start + upto * a->slot_bytes, READ_WRITE) == 0)
			a->ready = upto;
	}
	ready = a->ready > i;
	pmv_bin_unlock(bin);
	if (ready)
		pmv_slot_set_committed(s, a->slot_bytes);
	return ready;
}

/* How much is committed where so much is needed. */
static size_t ahead(const struct pmv_slot *s, size_t bytes, bool locked)
{
	const struct pmv_arena *a = s->arena;
	const struct pagemv_heap *heap = a->heap;
	size_t unit = heap->huge_bytes ? heap->huge_bytes : heap->page_bytes;
	size_t more = bytes > AHEAD_MIN ? bytes : AHEAD_MIN;

	if (locked)
		return pmv_round_up(bytes, heap->page_bytes);
	if (heap->strict) {
		unit = heap->page_bytes;
		more = pmv_min(bytes / 8, STRICT_AHEAD_MAX);
	}
	return pmv_min(pmv_round_up(bytes + more, unit), a->slot_bytes);
}

static void count_own(struct pmv_slot *s, bool own)
{
	struct pagemv_heap *heap = s->arena->heap;

	if (s->counted == own)
		return;
	s->counted = own;
	if (own)
		atomic_fetch_add_explicit(&heap->own_slots, 1,
					  memory_order_relaxed);
	else
		atomic_fetch_sub_explicit(&heap->own_slots, 1,
					  memory_order_relaxed);
}

int pmv_slot_commit(struct pmv_slot *s, size_t bytes)
{
	struct pmv_arena *a = s->arena;
	struct pagemv_heap *heap = a->heap;
	uintptr_t start = pmv_slot_start(s);
	size_t whole = pmv_round_up(bytes, heap->page_bytes), want;
	bool locked;

	if (bytes <= s->committed)
		return 0;
	locked = is_locked(a);
	if (a->shared && !heap->strict && !locked && commit_shared(s))
		return 0;
	want = ahead(s, bytes, locked);
	if (protect(s, start + s->committed, start + want, READ_WRITE) < 0) {
		want = whole;
		if (protect(s, start + s->committed, start + want, READ_WRITE) <
		    0)
			return -ENOMEM;
	}
	pmv_slot_set_committed(s, want);
	count_own(s, true);
	if (locked)
		pmv_slot_touched(s, want);
	return 0;
}

/* ---- giving back ---- */

size_t pmv_slot_cut(struct pmv_slot *s, size_t from)
{
	struct pagemv_heap *heap = s->arena->heap;
	uintptr_t start = pmv_slot_start(s);
	size_t bytes;

	if (s->dirty <= from)
		return 0;
	bytes = s->dirty - from;
	if (pmv_pages_drop(heap->sys, start + from, bytes) < 0)
		return 0;
	pmv_slot_set_dirty(s, from);
	return bytes;
}

/* Maps what is committed of a slot anew, and what is advised, which is all of
 * it. False: it stays as it is. */
static bool map_anew(struct pmv_slot *s)
{
	struct pagemv_heap *heap = s->arena->heap;
	size_t bytes = s->advised ? s->arena->slot_bytes : s->committed;
	uintptr_t start = pmv_slot_start(s);
	struct pagemv *pv;
	int rc = heap->sys->reserve_over(start, bytes);

	if (rc < 0) {
		/* Is it still there? */
		rc = heap->sys->mmap_at(start, bytes, PROT_NONE);
		s->lost = rc < 0 && rc != -EEXIST;
		if (rc == -EEXIST)
			return false;
	}
	furnish(heap, start, bytes);
	/* One that another thread has opened before knows the old mapping. */
	pv = pmv_heap_open_handle(heap);
	if (pv && s->arena->region)
		pmv_region_rearm(pv, start, bytes);
	return true;
}

static void set_empty(struct pmv_slot *s)
{
	pmv_slot_set_committed(s, 0);
	pmv_slot_set_dirty(s, 0);
	s->tables = s->advised = false;
	count_own(s, false);
}

size_t pmv_slot_give_back(struct pmv_slot *s)
{
	size_t bytes = s->dirty;

	if (s->arena->shared || s->arena->bin == PMV_BIN_EXACT || !s->committed)
		return pmv_slot_cut(s, 0);
	if (s->tables && map_anew(s)) {
		set_empty(s);
		return bytes;
	}
	bytes = pmv_slot_cut(s, 0);
	/* What has pages may not merge with its neighbours. */
	if (s->dirty)
		return bytes;
	/* Where this fails, it may have been done in part. */
	protect(s, pmv_slot_start(s), pmv_slot_start(s) + s->committed,
		PROT_NONE);
	pmv_slot_set_committed(s, 0);
	count_own(s, false);
	return bytes;
}
