/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "heap_scene.h"

/* A slot off all lists, with so many pages. */
static struct pmv_slot *take(struct pagemv_heap *heap, size_t bytes)
{
	const struct pmv_need need = { .bytes = bytes };
	struct pmv_slot *slot = NULL;

	cr_assert(pmv_slot_take(heap, &need, &slot) == 0);
	pmv_slot_touched(slot, bytes);
	return slot;
}

Test(heap_magazine, who_holds_one_has_it_alone)
{
	struct heap_scene s = heap_open(NULL, NULL);
	struct pmv_magazine *all[PAGEMV_HEAP_COUNTERS];

	/* As signal handlers would, each interrupting the one before. */
	for (size_t i = 0; i < T_COUNT(all); i++) {
		all[i] = pmv_magazine_hold(s.heap);
		for (size_t k = 0; k < i; k++)
			cr_assert(all[k] != all[i]);
	}
	for (size_t i = 0; i < T_COUNT(all); i++)
		pmv_magazine_release(all[i]);
	cr_expect(pmv_magazine_hold(s.heap) == all[0], "it is the thread's");
	pmv_magazine_release(all[0]);
	heap_close(&s);
}

Test(heap_magazine, what_suits_best_comes_out)
{
	struct heap_scene s = heap_open(NULL, NULL);
	struct pmv_magazine *m = pmv_magazine_hold(s.heap);
	struct pmv_slot *a = take(s.heap, 100 * KIB), *old;
	struct pmv_slot *b = take(s.heap, 200 * KIB);

	cr_assert(pmv_magazine_put(s.heap, m, a, &old) && !old);
	cr_assert(pmv_magazine_put(s.heap, m, b, &old) && !old);
	cr_expect(pmv_magazine_take(m, 26, 1) == NULL);
	cr_expect(pmv_magazine_take(m, 20, 90 * KIB) == a);
	cr_expect(pmv_magazine_take(m, 20, 900 * KIB) == b);
	cr_expect(pmv_magazine_take(m, 20, 1) == NULL);
	pmv_magazine_release(m);
	pmv_slot_cool(s.heap, a);
	pmv_slot_cool(s.heap, b);
	heap_close(&s);
}

Test(heap_magazine, has_its_limits)
{
	struct heap_scene s = heap_open(NULL, NULL);
	struct pmv_magazine *m = pmv_magazine_hold(s.heap);
	struct pmv_slot *large = take(s.heap, 5 * MIB), *old;
	unsigned int out = 0;

	cr_expect(!pmv_magazine_put(s.heap, m, large, &old) && !old);
	pmv_slot_cool(s.heap, large);
	for (unsigned int i = 0; i < 2 * PMV_MAGAZINE_SLOTS; i++) {
		cr_assert(pmv_magazine_put(s.heap, m, take(s.heap, 64 * KIB),
					   &old));
		cr_expect(m->n <= PMV_MAGAZINE_SLOTS);
		cr_expect(m->granted >= m->bytes);
		out += old != NULL;
		if (old)
			pmv_slot_cool(s.heap, old);
	}
	cr_expect(out == PMV_MAGAZINE_SLOTS);
	cr_expect(m->bytes == PMV_MAGAZINE_SLOTS * 64 * KIB);
	cr_expect(atomic_load(&s.heap->warm) == m->granted);
	pmv_magazine_release(m);
	heap_close(&s);
}

/* No more than all of them may have together. */
Test(heap_magazine, takes_of_what_the_heap_may_keep)
{
	const struct pagemv_heap_opts o = { .size = sizeof(o),
					    .warm_bytes = 2 * MIB };
	struct heap_scene s = heap_open(&o, NULL);
	struct pmv_magazine *m = pmv_magazine_hold(s.heap);
	struct pmv_slot *a = take(s.heap, 100 * KIB), *old;

	atomic_store(&s.heap->warm, 2 * MIB);
	cr_expect(!pmv_magazine_put(s.heap, m, a, &old));
	cr_expect(atomic_load(&s.heap->warm) == 2 * MIB);
	atomic_store(&s.heap->warm, 0);
	cr_expect(pmv_magazine_put(s.heap, m, a, &old));
	pmv_magazine_release(m);
	heap_close(&s);
}

Test(heap_magazine, what_has_been_seen_for_long_comes_out)
{
	struct heap_scene s = heap_open(NULL, NULL);
	struct pmv_magazine *m = pmv_magazine_hold(s.heap);
	struct pmv_slot *a = take(s.heap, 100 * KIB), *old;
	struct pmv_slot *out[PMV_MAGAZINE_SLOTS];

	cr_assert(pmv_magazine_put(s.heap, m, a, &old));
	cr_expect(pmv_magazine_old(s.heap, m, 1000, 50, out) == 0);
	cr_expect(pmv_magazine_old(s.heap, m, 1040, 50, out) == 0);
	cr_expect(pmv_magazine_old(s.heap, m, 1060, 50, out) == 1);
	cr_expect(out[0] == a && m->n == 0 && m->granted == 0);
	cr_expect(atomic_load(&s.heap->warm) == 0);
	pmv_magazine_release(m);
	pmv_slot_cool(s.heap, a);
	heap_close(&s);
}

Test(heap_magazine, counters_add_up)
{
	struct heap_scene s = heap_open(NULL, NULL);
	struct pmv_magazine *m = pmv_magazine_hold(s.heap);

	/* Elsewhere, as the thread's is held. */
	PMV_HEAP_COUNT(s.heap, allocs, 3);
	pmv_magazine_release(m);
	PMV_HEAP_COUNT(s.heap, allocs, 4);
	cr_expect(pmv_heap_sum(s.heap, offsetof(struct pagemv_heap_counters,
						allocs)) == 7);
	heap_close(&s);
}
