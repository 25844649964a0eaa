/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "heap_scene.h"

#include "rcu.h"

static struct pmv_arena *found(struct pagemv_heap *heap, uintptr_t addr)
{
	struct pmv_arena *a;

	pmv_rcu_read_lock();
	a = pmv_arena_find(heap, addr);
	pmv_rcu_read_unlock(&heap->table);
	return a;
}

static struct pmv_arena *add(struct pagemv_heap *heap, unsigned int bin,
			     uint32_t slots)
{
	const struct pmv_fit fit = { .bin = bin,
				     .slot_bytes = (size_t)1 << bin,
				     .slots = slots,
				     .colours = 1 };
	struct pmv_arena *a = NULL;

	cr_assert(pmv_arena_add(heap, &fit, &a) == 0);
	return a;
}

Test(arena, each_address_has_its_arena)
{
	struct heap_scene s = heap_open(NULL, NULL);
	struct pmv_arena *a[20];

	cr_expect(found(s.heap, 0x1000) == NULL);
	for (size_t i = 0; i < T_COUNT(a); i++)
		a[i] = add(s.heap, 22, 2);
	for (size_t i = 0; i < T_COUNT(a); i++) {
		cr_expect(found(s.heap, a[i]->start) == a[i]);
		cr_expect(found(s.heap, a[i]->start + a[i]->bytes - 1) == a[i]);
		cr_expect(found(s.heap, a[i]->start - 1) != a[i]);
		cr_expect(found(s.heap, a[i]->start + a[i]->bytes) != a[i]);
		cr_expect(a[i]->start >= s.heap->bounds.low &&
			  a[i]->start + a[i]->bytes <= s.heap->bounds.high);
		cr_expect((a[i]->start & (a[i]->slot_bytes - 1)) == 0);
	}
	heap_close(&s);
}

Test(arena, one_that_is_forgotten_is_not_found)
{
	struct heap_scene s = heap_open(NULL, NULL);
	struct pmv_arena *a = add(s.heap, 22, 2), *b = add(s.heap, 22, 2);
	uintptr_t at = a->start;

	cr_assert(pmv_arena_forget(a));
	pmv_arena_destroy(a);
	cr_expect(found(s.heap, at) == NULL);
	cr_expect(found(s.heap, b->start) == b);
	heap_close(&s);
}

/* Where there is less space than asked for. */
Test(arena, fewer_slots_are_better_than_none)
{
	struct heap_scene s = heap_open(NULL, NULL);
	struct pmv_arena *a;

	fake_add((struct fake_rule){
		.call = FAKE_RESERVE, .times = 2, .error = -ENOMEM });
	a = add(s.heap, 22, 64);
	cr_expect(a->slots == 1, "%u slots", a->slots);
	heap_close(&s);
}

Test(arena, nothing_is_accessible_before_it_is_committed)
{
	struct heap_scene s = heap_open(NULL, NULL);
	struct pmv_arena *a = add(s.heap, 26, 1);
	char *at = (char *)a->start;

	cr_expect(t_count_mappings_in(at, a->bytes) == 1);
	cr_assert(pmv_slot_commit(&a->slot[0], 5 * MIB) == 0);
	cr_expect(a->slot[0].committed >= 5 * MIB);
	memset(at, 1, 5 * MIB);
	cr_expect(t_count_mappings_in(at, a->bytes) == 2);
	/* What grows moves the border of two mappings. */
	cr_assert(pmv_slot_commit(&a->slot[0], 12 * MIB) == 0);
	cr_expect(t_count_mappings_in(at, a->bytes) == 2);
	pmv_slot_touched(&a->slot[0], 5 * MIB);
	cr_expect(pmv_slot_give_back(&a->slot[0]) == 5 * MIB);
	cr_expect(a->slot[0].committed == 0);
	cr_expect(t_count_mappings_in(at, a->bytes) == 1);
	heap_close(&s);
}

Test(arena, no_more_than_is_needed_where_memory_is_counted)
{
	struct heap_scene s = heap_open(NULL, NULL);
	struct pmv_arena *a = add(s.heap, 26, 1);

	s.heap->strict = true;
	cr_assert(pmv_slot_commit(&a->slot[0], 8 * MIB) == 0);
	cr_expect(a->slot[0].committed == 9 * MIB);
	heap_close(&s);
}

Test(arena, what_is_needed_is_enough_where_more_is_refused)
{
	struct heap_scene s = heap_open(NULL, NULL);
	struct pmv_arena *a = add(s.heap, 26, 1);

	fake_fail(FAKE_MPROTECT, 1, -ENOMEM);
	cr_assert(pmv_slot_commit(&a->slot[0], 100) == 0);
	cr_expect(a->slot[0].committed == t_page());
	fake_refuse(FAKE_MPROTECT, -ENOMEM);
	cr_expect(pmv_slot_commit(&a->slot[0], 5000) == -ENOMEM);
	cr_expect(a->slot[0].committed == t_page());
	fake_behave();
	heap_close(&s);
}

/* A slot that may have been unmapped and taken by somebody is not used. */
Test(arena, a_slot_that_is_gone_is_lost)
{
	struct heap_scene s = heap_open(NULL, NULL);
	struct pmv_arena *a = add(s.heap, 26, 1);
	struct pmv_slot *slot = &a->slot[0];

	cr_assert(pmv_slot_commit(slot, 8 * MIB) == 0);
	pmv_slot_touched(slot, 8 * MIB);
	fake_fail(FAKE_RESERVE_OVER, 1, -ENOMEM);
	cr_expect(pmv_slot_give_back(slot) == 8 * MIB);
	cr_expect(!slot->lost, "it is still mapped");
	cr_assert(pmv_slot_commit(slot, 8 * MIB) == 0);
	pmv_slot_touched(slot, 8 * MIB);
	fake_fail(FAKE_RESERVE_OVER, 1, -ENOMEM);
	fake_fail(FAKE_MMAP_AT, 1, -ENOMEM);
	pmv_slot_give_back(slot);
	cr_expect(slot->lost);
	heap_close(&s);
}

Test(arena, no_failing_call_leaks)
{
	static const enum fake_call calls[] = { FAKE_MMAP, FAKE_RESERVE,
						FAKE_REGISTER };

	for (size_t i = 0; i < T_COUNT(calls); i++) {
		struct heap_scene s = heap_open(NULL, NULL);
		const struct pmv_fit fit = { .bin = 22,
					     .slot_bytes = 4 * MIB,
					     .slots = 1,
					     .colours = 1 };
		size_t mapped = fake_mapped_bytes();
		struct pmv_arena *a = NULL;

		fake_refuse(calls[i], -ENOMEM);
		cr_expect(pmv_arena_add(s.heap, &fit, &a) < 0);
		cr_expect(a == NULL);
		fake_behave();
		cr_expect(fake_mapped_bytes() == mapped, "%s leaks",
			  fake_call_name(calls[i]));
		heap_close(&s);
	}
}
