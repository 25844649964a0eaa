/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Blocks that grow and shrink: in place as long as there is room, without
 * mappings or copies, and elsewhere when there is none.
 */
#include "heaps.h"

/* Of 80 steps one or two do not fit, and each of these makes a mapping or two
 * in an arena that may be new. */
Test(heap_grow, stays_in_place_and_makes_no_mappings, .timeout = 60)
{
	struct t_heap h;

	t_heaps(&h, NULL);
	while (t_next_heap(&h)) {
		struct t_marked b = { .bytes = 8 * MIB };
		size_t mappings = t_count_mappings(), steps = 0, places = 0;

		b.at = t_heap_alloc(&h, b.bytes);
		for (; b.bytes < 256 * MIB; b.bytes += 3 * MIB + 100) {
			char *at = t_heap_resize(&h, b.at, b.bytes, 0, NULL);

			steps++;
			places += at != b.at;
			b.at = at;
			t_mark(&b, 20);
		}
		T_EXPECT(&h, steps > 80 && places <= 2,
			 "went away in %zu of %zu steps", places, steps);
		T_EXPECT(&h, T_SANITIZED || t_count_mappings() <= mappings + 8,
			 "%zu mappings, were %zu", t_count_mappings(),
			 mappings);
		T_EXPECT(&h, !h.moves || t_heap_stats(&h).sum.copied_bytes == 0,
			 "bytes were copied");
		t_heap_free(&h, b.at);
	}
}

/* As an array that is appended to. */
Test(heap_grow, by_pages_takes_few_system_calls, .timeout = 60)
{
	struct t_heap h;

	t_heaps(&h, NULL);
	while (t_next_heap(&h)) {
		struct t_marked b = { .bytes = 64 << 10, .id = 5 };
		size_t mappings = 0;

		b.at = t_heap_alloc(&h, b.bytes);
		t_mark(&b, 100);
		for (size_t i = 0; i < 8000; i++) {
			struct t_marked old = b;

			b.bytes += 4096;
			b.at = old.at =
				t_heap_resize(&h, b.at, b.bytes, 0, NULL);
			if (i % 1000 == 0) {
				T_RIGHT(&h, t_check_marks(&old, old.bytes),
					"while it grew");
				t_mark(&b, 100);
			}
			if (i == 4000)
				mappings = t_count_mappings();
			if (i % 1000 != 0)
				b.bytes = old.bytes + 4096, t_mark(&b, 1);
		}
		T_EXPECT(&h, T_SANITIZED || t_count_mappings() <= mappings + 1,
			 "%zu mappings, were %zu", t_count_mappings(),
			 mappings);
		t_heap_free(&h, b.at);
	}
}

static const size_t sizes[] = { 1, 4096, 70000, MIB, 5 * MIB - 1, 33 * MIB };

Test(heap_grow, goes_elsewhere_when_told_and_takes_its_pages_along)
{
	struct t_heap h;

	t_heaps(&h, NULL);
	while (t_next_heap(&h)) {
		for (size_t i = 0; i < T_COUNT(sizes); i++) {
			struct t_marked b = { .bytes = sizes[i], .id = i };
			struct pagemv_heap_stats before, after;
			struct pagemv_result res;
			char *old;

			b.at = old = t_heap_alloc(&h, b.bytes);
			t_mark(&b, SIZE_MAX);
			before = t_heap_stats(&h);
			b.at = t_heap_resize(&h, b.at, b.bytes,
					     PAGEMV_ALLOC_MOVE, &res);
			after = t_heap_stats(&h);
			T_EXPECT(&h, b.at != old, "%zu stayed", b.bytes);
			T_RIGHT(&h, t_check_marks(&b, b.bytes), "moved");
			T_EXPECT(&h, after.sum.moves == before.sum.moves + 1,
				 "moves were not counted");
			T_EXPECT(&h,
				 !h.moves || sizes[i] < MIB ||
					 after.sum.copied_bytes ==
						 before.sum.copied_bytes,
				 "%zu bytes of %zu were copied",
				 (size_t)(after.sum.copied_bytes -
					  before.sum.copied_bytes),
				 b.bytes);
			t_heap_free(&h, b.at);
		}
	}
}

Test(heap_grow, beyond_its_room_moves)
{
	const struct pagemv_heap_opts tight = {
		.size = sizeof(tight),
		.flags = PAGEMV_HEAP_TIGHT,
	};
	struct t_heap h;

	t_heaps(&h, &tight);
	while (t_next_heap(&h)) {
		struct t_marked b = { .bytes = 300000, .id = 9 };
		unsigned int moves = 0;

		b.at = t_heap_alloc(&h, b.bytes);
		t_mark(&b, SIZE_MAX);
		while (b.bytes < 40 * MIB) {
			struct t_marked old = b;

			b.bytes *= 3;
			b.at = t_heap_resize(&h, b.at, b.bytes, 0, NULL);
			moves += b.at != old.at;
			old.at = b.at;
			T_RIGHT(&h, t_check_marks(&old, old.bytes), "grown");
			t_mark(&b, SIZE_MAX);
		}
		T_EXPECT(&h, moves > 0, "there is room in a tight heap");
		t_heap_free(&h, b.at);
	}
}

Test(heap_grow, only_in_place_or_not_at_all)
{
	const struct pagemv_heap_opts tight = {
		.size = sizeof(tight),
		.flags = PAGEMV_HEAP_TIGHT,
	};
	struct t_heap h;

	t_heaps(&h, &tight);
	while (t_next_heap(&h)) {
		struct t_marked b = { .bytes = 2 * MIB, .id = 3 };
		void *to = &h;
		int r;

		b.at = t_heap_alloc(&h, b.bytes);
		t_mark(&b, SIZE_MAX);
		r = pagemv_heap_realloc(h.heap, b.at, (size_t)1 << 40,
					PAGEMV_ALLOC_IN_PLACE, &to, NULL);
		T_EXPECT(&h, r == -ENOSPC, "returned %d", r);
		T_EXPECT(&h, to == &h, "the place was written");
		T_RIGHT(&h, t_check_marks(&b, b.bytes), "as it was");
		r = pagemv_heap_realloc(
			h.heap, b.at, MIB,
			PAGEMV_ALLOC_IN_PLACE | PAGEMV_ALLOC_MOVE, &to, NULL);
		T_EXPECT(&h, r == -EINVAL, "returned %d", r);
		to = t_heap_resize(&h, b.at, MIB, PAGEMV_ALLOC_IN_PLACE, NULL);
		T_EXPECT(&h, to == b.at, "it went away as it shrank");
		T_RIGHT(&h, t_check_marks(&b, MIB), "its first part");
		t_heap_free(&h, b.at);
	}
}

Test(heap_grow, new_bytes_are_zero_when_asked_for)
{
	struct t_heap h;

	t_heaps(&h, NULL);
	while (t_next_heap(&h)) {
		struct t_marked b = { .bytes = 3 * MIB, .id = 3 };
		void *to;

		b.at = t_heap_alloc(&h, b.bytes);
		memset(b.at, 0xee, b.bytes);
		b.at = t_heap_resize(&h, b.at, MIB + 77, 0, NULL);
		b.at = t_heap_resize(&h, b.at, 5 * MIB, PAGEMV_ALLOC_ZERO,
				     NULL);
		T_EXPECT(&h, b.at[MIB + 76] == (char)0xee, "the last old one");
		for (size_t i = MIB + 77; i < 5 * MIB; i++)
			if (b.at[i] != 0) {
				T_EXPECT(&h, false, "byte %zu", i);
				break;
			}
		memset(b.at, 0xee, 5 * MIB);
		t_heap_free(&h, b.at);
		/* It may be the same memory again. */
		cr_assert(pagemv_heap_alloc(h.heap, 5 * MIB, PAGEMV_ALLOC_ZERO,
					    &to) == 0);
		for (size_t i = 0; i < 5 * MIB; i++)
			if (((char *)to)[i] != 0) {
				T_EXPECT(&h, false, "new byte %zu", i);
				break;
			}
		t_heap_free(&h, to);
	}
}

/* Each of them overflows somewhere, in bytes or in whole pages. */
Test(heap_grow, sizes_that_overflow_are_refused)
{
	const size_t huge[] = { SIZE_MAX,
				SIZE_MAX - 1,
				SIZE_MAX - 4095,
				SIZE_MAX - 4096,
				(size_t)PTRDIFF_MAX + 1,
				SIZE_MAX / 2 + 2,
				(size_t)1 << 62 };
	struct t_heap h;

	t_heaps(&h, NULL);
	while (t_next_heap(&h)) {
		struct t_marked b = { .bytes = 70000, .id = 1 };

		b.at = t_heap_alloc(&h, b.bytes);
		t_mark(&b, SIZE_MAX);
		for (size_t i = 0; i < T_COUNT(huge); i++) {
			void *to = &h;
			int r[4];

			r[0] = pagemv_heap_alloc(h.heap, huge[i], 0, &to);
			r[1] = pagemv_heap_aligned_alloc(h.heap, 8192, huge[i],
							 0, &to);
			r[2] = pagemv_heap_realloc(h.heap, b.at, huge[i], 0,
						   &to, NULL);
			r[3] = pagemv_heap_aligned_alloc(
				h.heap, (size_t)1 << 62, 4096, 0, &to);
			for (size_t k = 0; k < T_COUNT(r); k++)
				T_EXPECT(&h, r[k] == -ENOMEM,
					 "%zu, call %zu: %d", huge[i], k, r[k]);
			T_EXPECT(&h, to == &h, "a place came with an error");
		}
		T_RIGHT(&h, t_check_marks(&b, b.bytes), "the block");
		t_heap_free(&h, b.at);
		T_EXPECT(&h, t_heap_stats(&h).blocks == 0, "blocks are left");
	}
}

Test(heap_grow, alignment_is_kept)
{
	struct t_heap h;

	t_heaps(&h, NULL);
	while (t_next_heap(&h)) {
		for (size_t align = 1; align <= 64 * MIB; align *= 4) {
			void *at = NULL;
			int r = pagemv_heap_aligned_alloc(h.heap, align, 100000,
							  0, &at);

			T_EXPECT(&h, r == 0, "align %zu: %d", align, r);
			T_EXPECT(&h, (uintptr_t)at % align == 0, "%p for %zu",
				 at, align);
			memset(at, 1, 100000);
			t_heap_free(&h, at);
		}
		T_EXPECT(&h,
			 pagemv_heap_aligned_alloc(h.heap, 3, 100, 0,
						   &(void *){ NULL }) ==
				 -EINVAL,
			 "3 is no power of 2");
	}
}

Test(heap_grow, opens_a_handle_of_its_own_when_it_first_moves)
{
	const struct pagemv_open_opts slow = {
		.size = sizeof(slow),
		.flags = PAGEMV_OPEN_NO_UFFD,
		.disabled = PAGEMV_MECH_BIT(PAGEMV_MECH_REMAP) |
			    PAGEMV_MECH_BIT(PAGEMV_MECH_COMPANION),
	};
	struct pagemv_heap_opts opts = { .size = sizeof(opts) };
	struct t_marked b = { .bytes = 5 * MIB, .id = 2 };

	(void)t_present(&b); /* opens what the tests look with */
	for (int i = 0; i < 2; i++) {
		struct t_heap h = { .name = i ? "by copying" : "default" };
		size_t fds = t_count_fds(), then;

		opts.open = i ? &slow : NULL;
		cr_assert(pagemv_heap_create(NULL, &opts, &h.heap) == 0);
		b.at = t_heap_alloc(&h, b.bytes);
		t_mark(&b, SIZE_MAX);
		b.at = t_heap_resize(&h, b.at, b.bytes, 0, NULL);
		T_EXPECT(&h, t_count_fds() == fds, "opened for nothing");
		b.at = t_heap_resize(&h, b.at, b.bytes, PAGEMV_ALLOC_MOVE,
				     NULL);
		T_RIGHT(&h, t_check_marks(&b, b.bytes), "moved");
		then = t_count_fds();
		T_EXPECT(&h, then > fds, "%zu descriptors, were %zu", then,
			 fds);
		T_EXPECT(&h, i == 0 || t_heap_stats(&h).sum.copied_bytes > 0,
			 "it was not copied");
		T_EXPECT(&h, pagemv_heap_destroy(h.heap) == 0, "destroy");
		T_EXPECT(&h, t_count_fds() == fds, "%zu descriptors, were %zu",
			 t_count_fds(), fds);
	}
}
