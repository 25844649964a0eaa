/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "heap_scene.h"

#include <errno.h>
#include <sys/mman.h>

Test(heap_slot, of_two_who_free_a_block_one_does)
{
	struct heap_scene s = heap_open(NULL, NULL);
	char *at = heap_block(s.heap, 5, 1);
	struct pmv_magazine *m = pmv_magazine_hold(s.heap);
	struct pmv_slot *slot = NULL;
	size_t bytes = 0;

	cr_expect(pmv_slot_look(s.heap, (uintptr_t)at, &bytes) == PMV_FOUND);
	cr_expect(bytes == t_pages(5));
	cr_expect(pmv_slot_claim(s.heap, m, (uintptr_t)at, PMV_SLOT_BUSY, &slot,
				 &bytes) == PMV_FOUND);
	cr_expect(slot == heap_slot(s.heap, at));
	cr_expect(pmv_slot_claim(s.heap, m, (uintptr_t)at, PMV_SLOT_FREED,
				 &slot, &bytes) == PMV_FOUND_FREED);
	pmv_slot_publish(slot, (uintptr_t)at, t_pages(5));
	cr_expect(pmv_slot_claim(s.heap, m, (uintptr_t)at, PMV_SLOT_FREED,
				 &slot, &bytes) == PMV_FOUND);
	pmv_magazine_release(m);
	pmv_slot_keep(s.heap, slot);
	heap_close(&s);
}

/* What somebody else has mapped where a slot was stays when the heap goes. */
Test(heap_slot, that_is_lost_stays_as_it_is)
{
	struct heap_scene s = heap_open(NULL, NULL);
	char *at = heap_block(s.heap, 8 * MIB / t_page(), 1);
	char *next = heap_block(s.heap, 8 * MIB / t_page(), 1);
	struct pmv_slot *slot = heap_slot(s.heap, at);
	unsigned char there;

	slot->lost = true;
	cr_assert(pagemv_heap_destroy(s.heap) == 0);
	cr_expect(at[t_page()] != 0, "it has no contents any more");
	cr_expect(mincore(next, 1, &there) < 0 && errno == ENOMEM);
	pagemv_close(s.pv);
}

/* The size of what is kept is limited, and what is too large is not. */
Test(heap_slot, no_more_is_warm_than_may_be)
{
	const struct pagemv_heap_opts o = { .size = sizeof(o),
					    .warm_bytes = 8 * MIB };
	struct heap_scene s = heap_open(&o, NULL);
	char *at[20];

	for (size_t i = 0; i < T_COUNT(at); i++)
		at[i] = heap_block(s.heap, MIB / t_page(), 1);
	for (size_t i = 0; i < T_COUNT(at); i++) {
		cr_assert(pagemv_heap_free(s.heap, at[i]) == 0);
		cr_expect(heap_stats(s.heap).warm_bytes <= 8 * MIB);
		cr_expect(heap_stats(s.heap).warm_bytes > 0);
	}
	cr_assert(pagemv_heap_trim(s.heap, NULL) == 0);
	at[0] = heap_block(s.heap, 3 * MIB / t_page(), 1);
	cr_assert(pagemv_heap_free(s.heap, at[0]) == 0);
	cr_expect(heap_stats(s.heap).warm_bytes == 0);
	EXPECT_RIGHT(NULL);
	heap_close(&s);
}

/* Of several free slots the one whose pages suit. */
Test(heap_slot, pages_are_used_again)
{
	struct heap_scene s = heap_open(NULL, NULL);
	char *small = heap_block(s.heap, 20, 1);
	char *large = heap_block(s.heap, 60, 1);
	void *at;

	cr_assert(pagemv_heap_free(s.heap, large) == 0);
	cr_assert(pagemv_heap_free(s.heap, small) == 0);
	cr_assert(pagemv_heap_alloc(s.heap, t_pages(60), 0, &at) == 0);
	cr_expect(at == large);
	cr_assert(pagemv_heap_alloc(s.heap, t_pages(20), 0, &at) == 0);
	cr_expect(at == small);
	heap_close(&s);
}

/* But a small block does not keep what a large one had. */
Test(heap_slot, far_too_many_pages_go_back)
{
	struct heap_scene s = heap_open(NULL, NULL);
	char *large = heap_block(s.heap, 10, 1);
	void *at;

	cr_assert(pagemv_heap_realloc(s.heap, large, t_pages(200), 0, &at,
				      NULL) == 0);
	cr_assert(at == large);
	memset(large, 1, t_pages(200));
	cr_assert(pagemv_heap_free(s.heap, large) == 0);
	cr_assert(pagemv_heap_alloc(s.heap, t_pages(10), 0, &at) == 0);
	cr_expect(at == large);
	EXPECT_RIGHT(t_check_absent(large + t_pages(10), 190));
	heap_close(&s);
}
