// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Slots that are taken and put back: the bins, and from an address to its slot.
 */
#include <errno.h>

#include "heap.h"
#include "rcu.h"

/* ---- lists ---- */

static void list_add(struct pmv_slot_list *l, struct pmv_slot *s)
{
	s->older = l->newest;
	s->newer = NULL;
	if (l->newest)
		l->newest->newer = s;
	else
		l->oldest = s;
	l->newest = s;
}

static void list_take(struct pmv_slot_list *l, struct pmv_slot *s)
{
	if (s->newer)
		s->newer->older = s->older;
	else
		l->newest = s->older;
	if (s->older)
		s->older->newer = s->newer;
	else
		l->oldest = s->newer;
}

/* Needs the bin's lock. */
static void take_warm(struct pagemv_heap *heap, struct pmv_bin *bin,
		      struct pmv_slot *s)
{
	list_take(s->lazy ? &bin->lazy : &bin->warm, s);
	atomic_fetch_sub_explicit(&heap->warm, s->dirty, memory_order_relaxed);
}

/* With pages. Needs the bin's lock. */
static struct pmv_slot *oldest(const struct pmv_bin *bin)
{
	return bin->lazy.oldest ? bin->lazy.oldest : bin->warm.oldest;
}

/* Needs the bin's lock. */
static void take_cold(struct pmv_bin *bin, struct pmv_slot *s)
{
	list_take(&bin->cold, s);
	s->arena->cold--;
}

/* So many of a list are looked at. */
#define LOOK_AT 16

static bool has_room(const struct pmv_slot *s, size_t bytes)
{
	return s->arena->slot_bytes >= bytes &&
	       (s->arena->bin != PMV_BIN_EXACT ||
		s->arena->slot_bytes - bytes <= bytes / 4);
}

/* The one whose pages suit best, or whose advice does. */
static struct pmv_slot *best_of(const struct pmv_slot_list *l,
				const struct pmv_need *need)
{
	struct pmv_slot *best = NULL;
	unsigned int n = 0;

	for (struct pmv_slot *s = l->newest; s && n < LOOK_AT;
	     s = s->older, n++) {
		if (!has_room(s, need->bytes))
			continue;
		if (!best || (best->advised != need->advised &&
			      s->advised == need->advised))
			best = s;
		else if (s->advised == best->advised &&
			 pmv_suits_better(s->dirty, best->dirty, need->bytes))
			best = s;
	}
	return best;
}

/* One that was never taken. Needs the bin's lock. */
static struct pmv_slot *fresh(struct pmv_bin *bin, size_t bytes)
{
	for (struct pmv_arena *a = bin->arenas; a; a = a->next)
		if (a->fresh < a->slots && a->slot_bytes >= bytes)
			return &a->slot[a->fresh++];
	return NULL;
}

static struct pmv_slot *bin_take(struct pagemv_heap *heap, unsigned int number,
				 const struct pmv_need *need)
{
	struct pmv_bin *bin = &heap->bins[number];
	struct pmv_slot *s = NULL;

	if (!pmv_bin_lock(heap, bin))
		return NULL;
	if (!need->clean)
		s = best_of(&bin->warm, need);
	if (!s && !need->clean)
		s = best_of(&bin->lazy, need);
	if (s) {
		take_warm(heap, bin, s);
	} else {
		s = best_of(&bin->cold, need);
		if (s && s->advised != need->advised) {
			struct pmv_slot *other = fresh(bin, need->bytes);

			if (other) {
				pmv_bin_unlock(bin);
				return other;
			}
		}
		if (s)
			take_cold(bin, s);
		else
			s = fresh(bin, need->bytes);
	}
	pmv_bin_unlock(bin);
	return s;
}

/* ---- taking ---- */

/* Needs the bin's lock. */
static void unlink_arena(struct pmv_bin *bin, struct pmv_arena *a)
{
	struct pmv_arena **link;

	for (link = &bin->arenas; *link != a; link = &(*link)->next)
		;
	*link = a->next;
	__atomic_store_n(&bin->n_arenas, bin->n_arenas - 1, __ATOMIC_RELAXED);
}

/* Needs the bin's lock. */
static void link_arena(struct pmv_bin *bin, struct pmv_arena *a)
{
	a->next = bin->arenas;
	bin->arenas = a;
	__atomic_store_n(&bin->n_arenas, bin->n_arenas + 1, __ATOMIC_RELAXED);
}

static int bin_grow(struct pagemv_heap *heap, const struct pmv_fit *fit)
{
	struct pmv_bin *bin = &heap->bins[fit->bin];
	struct pmv_arena *a;
	sigset_t mask;
	int rc;

	/* To register it takes locks that fork() has. */
	if (pmv_heap_forking)
		return -ENOMEM;
	pmv_heap_lock_growth(heap, &mask);
	rc = pmv_arena_add(heap, fit, &a);
	if (rc == 0) {
		pmv_bin_lock(heap, bin);
		link_arena(bin, a);
		pmv_bin_unlock(bin);
	}
	pmv_heap_unlock_growth(heap, &mask);
	return rc;
}

int pmv_slot_ready(struct pagemv_heap *heap, struct pmv_slot *s,
		   const struct pmv_need *need)
{
	size_t back = 0;

	s->lazy = false;
	if (need->clean && s->dirty)
		back = pmv_slot_give_back(s);
	else if (pmv_has_spare(s->dirty, need->bytes))
		back = pmv_slot_cut(
			s, pmv_round_up(need->bytes, heap->page_bytes));
	if (back)
		PMV_HEAP_COUNT(heap, given_back_bytes, back);
	if (s->lost || (need->clean && s->dirty))
		return -ENOMEM;
	return pmv_slot_commit(s, need->bytes);
}

static int take_at(struct pagemv_heap *heap, const struct pmv_need *need,
		   unsigned int level, struct pmv_slot **out)
{
	struct pmv_fit fit;
	int rc;

	if (!pmv_heap_fit(heap, need->bytes, level, need->growing, &fit))
		return -ENOMEM;
	/* Others may take what has been added. */
	while (!(*out = bin_take(heap, fit.bin, need))) {
		rc = bin_grow(heap, &fit);
		if (rc < 0)
			return -ENOMEM;
	}
	rc = pmv_slot_ready(heap, *out, need);
	if (rc < 0)
		pmv_slot_put(heap, *out);
	return rc;
}

int pmv_slot_take(struct pagemv_heap *heap, const struct pmv_need *need,
		  struct pmv_slot **out)
{
	for (int pass = 0; pass < 2; pass++) {
		for (unsigned int level = 0; level < PMV_LEVELS; level++)
			if (take_at(heap, need, level, out) == 0)
				return 0;
		pmv_heap_release(heap);
	}
	return -ENOMEM;
}

/* ---- putting back ---- */

/* Whether so much may be kept; makes room by what was freed first. */
static bool reserve_warm(struct pagemv_heap *heap, struct pmv_bin *bin,
			 size_t bytes)
{
	size_t max = heap->opts.warm_bytes;

	if (!bytes || bytes > max / 4)
		return false;
	while (atomic_fetch_add_explicit(&heap->warm, bytes,
					 memory_order_relaxed) > max - bytes) {
		struct pmv_slot *s;

		atomic_fetch_sub_explicit(&heap->warm, bytes,
					  memory_order_relaxed);
		s = NULL;
		if (pmv_bin_lock(heap, bin)) {
			s = oldest(bin);
			if (s)
				take_warm(heap, bin, s);
			pmv_bin_unlock(bin);
		}
		if (!s)
			return false;
		pmv_slot_cool(heap, s);
	}
	return true;
}

/* An arena of one slot, which has no pages and is in no list. */
static bool retire(struct pagemv_heap *heap, struct pmv_slot *s)
{
	struct pmv_bin *bin = &heap->bins[PMV_BIN_EXACT];
	struct pmv_arena *a = s->arena;
	bool gone;
	sigset_t mask;

	pmv_heap_lock_growth(heap, &mask);
	gone = !pmv_heap_forking && !pmv_rcu_inside() && pmv_arena_forget(a);
	if (gone) {
		pmv_bin_lock(heap, bin);
		unlink_arena(bin, a);
		pmv_bin_unlock(bin);
		pmv_arena_destroy(a);
	}
	pmv_heap_unlock_growth(heap, &mask);
	return gone;
}

/* Takes an arena all of whose slots are cold out of the bin, with them. */
static struct pmv_arena *take_empty(struct pagemv_heap *heap,
				    struct pmv_bin *bin)
{
	struct pmv_arena *a;

	pmv_bin_lock(heap, bin);
	for (a = bin->arenas; a && (!a->fresh || a->cold != a->fresh);
	     a = a->next)
		;
	if (a) {
		unlink_arena(bin, a);
		for (uint32_t i = 0; i < a->fresh; i++)
			list_take(&bin->cold, &a->slot[i]);
	}
	pmv_bin_unlock(bin);
	return a;
}

void pmv_bin_shed(struct pagemv_heap *heap, unsigned int number)
{
	struct pmv_bin *bin = &heap->bins[number];
	struct pmv_arena *a;
	sigset_t mask;

	if (pmv_heap_forking || pmv_rcu_inside())
		return;
	pmv_heap_lock_growth(heap, &mask);
	while ((a = take_empty(heap, bin))) {
		if (pmv_arena_forget(a)) {
			pmv_arena_destroy(a);
			continue;
		}
		pmv_bin_lock(heap, bin);
		link_arena(bin, a);
		for (uint32_t i = 0; i < a->fresh; i++)
			list_add(&bin->cold, &a->slot[i]);
		pmv_bin_unlock(bin);
		break;
	}
	pmv_heap_unlock_growth(heap, &mask);
}

static void list_put(struct pagemv_heap *heap, struct pmv_slot *s, bool counted)
{
	struct pmv_bin *bin = &heap->bins[s->arena->bin];

	if (s->lost)
		return;
	s->lazy = false;
	/* What could not be given back counts, whatever the limit. */
	if (s->dirty && !counted)
		atomic_fetch_add_explicit(&heap->warm, s->dirty,
					  memory_order_relaxed);
	/* Where the bin is half way through something, it does without. */
	if (!pmv_bin_lock(heap, bin))
		return;
	list_add(s->dirty ? &bin->warm : &bin->cold, s);
	if (!s->dirty)
		s->arena->cold++;
	pmv_bin_unlock(bin);
}

size_t pmv_slot_cool(struct pagemv_heap *heap, struct pmv_slot *s)
{
	size_t back = pmv_slot_give_back(s);

	if (back)
		PMV_HEAP_COUNT(heap, given_back_bytes, back);
	s->lazy = false;
	if (s->arena->bin == PMV_BIN_EXACT && !s->dirty && retire(heap, s))
		return back;
	list_put(heap, s, false);
	return back;
}

void pmv_slot_put(struct pagemv_heap *heap, struct pmv_slot *s)
{
	s->freed_ms = pmv_heap_now(heap);
	if (reserve_warm(heap, &heap->bins[s->arena->bin], s->dirty))
		list_put(heap, s, true);
	else
		pmv_slot_cool(heap, s);
}

void pmv_slot_keep(struct pagemv_heap *heap, struct pmv_slot *s)
{
	struct pmv_magazine *m = pmv_magazine_hold(heap);
	struct pmv_slot *old;
	bool kept = pmv_magazine_put(heap, m, s, &old);

	pmv_magazine_release(m);
	if (old)
		pmv_slot_put(heap, old);
	if (!kept)
		pmv_slot_put(heap, s);
}

struct pmv_slot *pmv_bin_old(struct pagemv_heap *heap, unsigned int number,
			     uint32_t now, uint32_t age_ms, bool lazy)
{
	struct pmv_bin *bin = &heap->bins[number];
	struct pmv_slot *s;

	if (!pmv_bin_lock(heap, bin))
		return NULL;
	s = lazy ? bin->warm.oldest : oldest(bin);
	if (s && pmv_heap_aged(now, s->freed_ms, age_ms))
		take_warm(heap, bin, s);
	else
		s = NULL;
	pmv_bin_unlock(bin);
	return s;
}

void pmv_bin_return(struct pagemv_heap *heap, struct pmv_slot *s)
{
	struct pmv_bin *bin = &heap->bins[s->arena->bin];

	if (!pmv_bin_lock(heap, bin))
		return;
	atomic_fetch_add_explicit(&heap->warm, s->dirty, memory_order_relaxed);
	list_add(&bin->lazy, s);
	pmv_bin_unlock(bin);
}

/* ---- by address ---- */

/* What addr is where a slot's word is not that of a block that lives. */
static enum pmv_found not_live(const struct pmv_slot *s, uint64_t word,
			       uintptr_t addr, uintptr_t at)
{
	if (pmv_word_state(word) != PMV_SLOT_BLANK && addr == at)
		return PMV_FOUND_FREED;
	return s->lost ? PMV_FOUND_FOREIGN : PMV_FOUND_ASTRAY;
}

static enum pmv_found not_its_start(uintptr_t addr, uintptr_t at, size_t bytes)
{
	return addr - at < bytes ? PMV_FOUND_INSIDE : PMV_FOUND_ASTRAY;
}

/* Of two who free a block, one finds it. */
static bool replace_word(struct pmv_slot *s, uint64_t *word, uint64_t by)
{
	if (!pmv_alone())
		return atomic_compare_exchange_weak_explicit(
			&s->word, word, by, memory_order_acquire,
			memory_order_acquire);
	atomic_store_explicit(&s->word, by, memory_order_relaxed);
	return true;
}

/* to: BLANK leaves it as it is. */
static enum pmv_found claim(struct pmv_slot *s, uintptr_t addr,
			    enum pmv_slot_state to, size_t *bytes)
{
	/* Pairs with the release in pmv_slot_publish(). */
	uint64_t word = atomic_load_explicit(&s->word, memory_order_acquire);
	uintptr_t at = atomic_load_explicit(&s->at, memory_order_relaxed);

	while (pmv_word_state(word) == PMV_SLOT_LIVE) {
		*bytes = pmv_word_bytes(word);
		if (addr != at)
			return not_its_start(addr, at, *bytes);
		if (to == PMV_SLOT_BLANK ||
		    replace_word(s, &word, pmv_slot_word(*bytes, to)))
			return PMV_FOUND;
	}
	return not_live(s, word, addr, at);
}

static struct pmv_slot *slot_at(struct pmv_arena *a, uintptr_t addr)
{
	return &a->slot[(addr - a->start) >> a->shift];
}

enum pmv_found pmv_slot_claim(struct pagemv_heap *heap, struct pmv_magazine *m,
			      uintptr_t addr, enum pmv_slot_state to,
			      struct pmv_slot **slot, size_t *bytes)
{
	enum pmv_found found = PMV_FOUND_FOREIGN;
	struct pmv_arena *a = m->recent;

	if (pmv_likely(a && addr - a->start < a->bytes)) {
		*slot = slot_at(a, addr);
		return claim(*slot, addr, to, bytes);
	}
	pmv_rcu_read_lock();
	a = pmv_arena_find(heap, addr);
	if (a) {
		*slot = slot_at(a, addr);
		found = claim(*slot, addr, to, bytes);
		if (a->bin != PMV_BIN_EXACT && !heap->sheds)
			m->recent = a;
	}
	pmv_rcu_read_unlock(&heap->table);
	return found;
}

enum pmv_found pmv_slot_look(struct pagemv_heap *heap, uintptr_t addr,
			     size_t *bytes)
{
	enum pmv_found found = PMV_FOUND_FOREIGN;
	struct pmv_arena *a;

	pmv_rcu_read_lock();
	a = pmv_arena_find(heap, addr);
	if (a)
		found = claim(slot_at(a, addr), addr, PMV_SLOT_BLANK, bytes);
	pmv_rcu_read_unlock(&heap->table);
	return found;
}
