// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Magazines: free slots for the thread that freed them, as their pages are in
 * its caches. Nothing in here waits or enters the kernel, except when all
 * magazines are held.
 */
#include "heap.h"

/* A slot with more pages goes to its bin. */
#define ROUND_BYTES_MAX ((size_t)4 << 20)
/* Of all slots of a magazine. */
#define MAGAZINE_BYTES_MAX ((size_t)8 << 20)
/* What a magazine takes of heap->warm at a time. */
#define GRANT_BYTES ((size_t)1 << 20)

__thread bool pmv_heap_forking;

/* Of the thread, 1-based once it has been drawn. */
static __thread uint32_t my_number __attribute__((tls_model("initial-exec")));
static PMV_ATOMIC _Atomic uint32_t drawn;

static uint32_t number(void)
{
	while (pmv_unlikely(!my_number))
		my_number = atomic_fetch_add_explicit(&drawn, 1,
						      memory_order_relaxed) +
			    1;
	return my_number;
}

bool pmv_hold_try(PMV_ATOMIC _Atomic uint32_t *held)
{
	uint32_t nobody = 0, me = number();

	if (atomic_load_explicit(held, memory_order_relaxed))
		return false;
	if (pmv_alone()) {
		atomic_store_explicit(held, me, memory_order_relaxed);
		return true;
	}
	/* Pairs with the release in pmv_hold_end(). */
	return atomic_compare_exchange_strong_explicit(
		held, &nobody, me, memory_order_acquire, memory_order_relaxed);
}

bool pmv_hold_mine(const PMV_ATOMIC _Atomic uint32_t *held)
{
	return atomic_load_explicit(held, memory_order_relaxed) == number();
}

bool pmv_bin_lock(struct pagemv_heap *heap, struct pmv_bin *bin)
{
	unsigned int idle = 0;

	if (pmv_unlikely(pmv_heap_forking))
		return !(heap->interrupted_bins & 1ull << (bin - heap->bins));
	while (!pmv_hold_try(&bin->held))
		pmv_back_off(heap->sys, idle++);
	return true;
}

/* Between the handlers of a fork all are ours; but what a signal handler has
 * interrupted is at work on one. */
static struct pmv_magazine *whole_one(struct pagemv_heap *heap, unsigned int i)
{
	while (heap->interrupted & 1u << i)
		i = (i + 1) % PAGEMV_HEAP_COUNTERS;
	return &heap->magazines[i];
}

struct pmv_magazine *pmv_magazine_hold(struct pagemv_heap *heap)
{
	unsigned int i = (number() - 1) % PAGEMV_HEAP_COUNTERS;

	if (pmv_unlikely(pmv_heap_forking))
		return whole_one(heap, i);
	for (unsigned int tries = 1;; tries++) {
		struct pmv_magazine *m = &heap->magazines[i];

		if (pmv_likely(pmv_hold_try(&m->held)))
			return m;
		i = (i + 1) % PAGEMV_HEAP_COUNTERS;
		if (tries % PAGEMV_HEAP_COUNTERS == 0)
			heap->sys->yield();
	}
}

struct pmv_slot *pmv_magazine_take(struct pmv_magazine *m, unsigned int bin,
				   size_t bytes)
{
	uint32_t best = m->n;
	struct pmv_slot *slot;

	m->uses++;
	for (uint32_t i = m->n; i-- > 0;) {
		const struct pmv_round *r = &m->round[i];

		if (r->bin != bin)
			continue;
		if (best == m->n ||
		    pmv_suits_better(r->dirty, m->round[best].dirty, bytes))
			best = i;
		if (r->dirty >= bytes && r->dirty - bytes <= bytes / 16)
			break;
	}
	if (best == m->n)
		return NULL;
	slot = m->round[best].slot;
	m->bytes -= m->round[best].dirty;
	/* Mostly it is the last one; to copy that onto itself would wait for
	 * what has just been written of it. */
	if (best != --m->n)
		m->round[best] = m->round[m->n];
	return slot;
}

/* Whether it may have so many bytes more, of what the heap may keep. */
static bool grant(struct pagemv_heap *heap, struct pmv_magazine *m,
		  size_t bytes)
{
	size_t more;

	if (m->bytes + bytes <= m->granted)
		return true;
	more = pmv_round_up(m->bytes + bytes - m->granted, GRANT_BYTES);
	if (atomic_fetch_add_explicit(&heap->warm, more,
				      memory_order_relaxed) <=
	    heap->opts.warm_bytes - pmv_min(more, heap->opts.warm_bytes)) {
		m->granted += more;
		return true;
	}
	atomic_fetch_sub_explicit(&heap->warm, more, memory_order_relaxed);
	return false;
}

bool pmv_magazine_put(struct pagemv_heap *heap, struct pmv_magazine *m,
		      struct pmv_slot *slot, struct pmv_slot **out)
{
	size_t max = pmv_min(MAGAZINE_BYTES_MAX, heap->opts.warm_bytes / 4);

	*out = NULL;
	m->uses++;
	if (!slot->dirty || slot->dirty > pmv_min(ROUND_BYTES_MAX, max))
		return false;
	if (m->n &&
	    (m->n == PMV_MAGAZINE_SLOTS || m->bytes + slot->dirty > max)) {
		struct pmv_round *r = &m->round[m->uses % m->n];

		*out = r->slot;
		m->bytes -= r->dirty;
		*r = m->round[--m->n];
	}
	if (m->bytes + slot->dirty > max || !grant(heap, m, slot->dirty))
		return false;
	m->round[m->n++] = (struct pmv_round){ .slot = slot,
					       .bin = slot->arena->bin,
					       .dirty = slot->dirty };
	m->bytes += slot->dirty;
	return true;
}

/* Keeps no more of heap->warm than its slots need. */
static void give_grant(struct pagemv_heap *heap, struct pmv_magazine *m)
{
	size_t need = pmv_round_up(m->bytes, GRANT_BYTES);

	if (m->granted <= need)
		return;
	atomic_fetch_sub_explicit(&heap->warm, m->granted - need,
				  memory_order_relaxed);
	m->granted = need;
}

unsigned int pmv_magazine_old(struct pagemv_heap *heap, struct pmv_magazine *m,
			      uint32_t now, uint32_t age_ms,
			      struct pmv_slot **out)
{
	unsigned int n = 0;

	for (uint32_t i = 0; i < m->n;) {
		struct pmv_round *r = &m->round[i];

		if (!r->seen_ms)
			r->seen_ms = now | 1;
		/* It may have been seen in the next millisecond. */
		if (age_ms && !pmv_heap_aged(now + 1, r->seen_ms, age_ms)) {
			i++;
			continue;
		}
		out[n++] = r->slot;
		m->bytes -= r->dirty;
		*r = m->round[--m->n];
	}
	give_grant(heap, m);
	return n;
}

void pmv_heap_count(struct pagemv_heap *heap, size_t counter, uint64_t n)
{
	struct pmv_magazine *m = pmv_magazine_hold(heap);
	char *mine = (char *)pmv_magazine_counters(heap, m);

	pmv_heap_add((uint64_t *)(void *)(mine + counter), n);
	pmv_magazine_release(m);
}
