/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "heap_scene.h"

static struct pmv_fit fit_of(const struct pagemv_heap *heap, size_t bytes,
			     unsigned int level, bool growing)
{
	struct pmv_fit fit = { 0 };

	cr_expect(pmv_heap_fit(heap, bytes, level, growing, &fit));
	return fit;
}

Test(heap_fit, slots_are_roomy)
{
	struct heap_scene s = heap_open(NULL, NULL);

	for (size_t bytes = 1; bytes < (size_t)1 << 40; bytes = bytes * 3 + 1) {
		struct pmv_fit fit = fit_of(s.heap, bytes, 1, false);

		cr_expect(fit.slot_bytes >= 4 * bytes, "%zu", bytes);
		cr_expect(fit.slot_bytes == MIB || fit.slot_bytes < 257 * bytes,
			  "%zu", bytes);
		cr_expect(fit.slots >= 1);
		cr_expect(fit.bin == pmv_heap_bin(s.heap, bytes, false));
	}
	heap_close(&s);
}

/* A block that grows moves once, and not again up to 1 GiB. */
Test(heap_fit, what_has_outgrown_a_slot_has_room_for_1_gib)
{
	struct heap_scene s = heap_open(NULL, NULL);

	for (size_t bytes = MIB; bytes <= 1024 * MIB; bytes *= 2) {
		struct pmv_fit fit = fit_of(s.heap, bytes, 0, true);

		cr_expect(fit.slot_bytes == 4096 * MIB, "%zu", bytes);
		cr_expect(fit.bin == pmv_heap_bin(s.heap, bytes, true));
	}
	/* Most blocks never do: they are found close together. */
	cr_expect(fit_of(s.heap, MIB, 1, false).slot_bytes == 64 * MIB);
	cr_expect(fit_of(s.heap, 100 * KIB, 0, true).slot_bytes == MIB);
	heap_close(&s);
}

/* Too many mappings of their own: slots share them. */
Test(heap_fit, in_a_crowd_slots_are_close)
{
	struct heap_scene s = heap_open(NULL, NULL);
	struct pmv_fit fit;

	atomic_store(&s.heap->own_slots, s.heap->own_max + 1);
	cr_expect(!pmv_heap_fit(s.heap, 10 * MIB, 1, false, &fit));
	fit = fit_of(s.heap, 10 * MIB, 2, false);
	cr_expect(fit.shared);
	cr_expect(fit.slot_bytes == 32 * MIB);
	/* Small ones share them in any case. */
	cr_expect(fit_of(s.heap, 100, 1, false).shared);
	atomic_store(&s.heap->own_slots, 0);
	heap_close(&s);
}

Test(heap_fit, where_space_is_scarce_slots_are_exact)
{
	const struct pagemv_heap_opts o = { .size = sizeof(o),
					    .flags = PAGEMV_HEAP_TIGHT };
	struct heap_scene s = heap_open(&o, NULL);
	struct pmv_fit fit;

	cr_expect(!pmv_heap_fit(s.heap, 10 * MIB, 1, false, &fit));
	cr_expect(!pmv_heap_fit(s.heap, 10 * MIB, 2, false, &fit));
	fit = fit_of(s.heap, 10 * MIB + 1, 3, false);
	cr_expect(fit.slot_bytes == 10 * MIB + t_page() && fit.slots == 1);
	/* One that grows would be moved at each step. */
	fit = fit_of(s.heap, 10 * MIB, 3, true);
	cr_expect(fit.slot_bytes >= 12 * MIB);
	heap_close(&s);
}

/* A block that begins behind its slot's start ends within it. */
Test(heap_fit, colours_fit_large_pages)
{
	static const size_t pages[] = { 4 * KIB, 16 * KIB, 64 * KIB };
	struct heap_scene s = heap_open(NULL, NULL);
	size_t page = s.heap->page_bytes;

	for (size_t i = 0; i < T_COUNT(pages); i++) {
		s.heap->page_bytes = pages[i];
		for (size_t bytes = 1; bytes < 64 * MIB; bytes *= 2)
			for (unsigned int level = 1; level < 3; level++) {
				struct pmv_fit fit =
					fit_of(s.heap, bytes, level, false);

				cr_expect(
					bytes + (fit.colours - 1) * pages[i] <=
						fit.slot_bytes,
					"%zu in pages of %zu", bytes, pages[i]);
			}
	}
	s.heap->page_bytes = page;
	heap_close(&s);
}
