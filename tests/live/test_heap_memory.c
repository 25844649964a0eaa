/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The memory behind blocks: it comes when it is touched, and goes back to the
 * kernel when blocks shrink, and some time after they are freed.
 */
#include "heaps.h"

#include <sys/mman.h>
#include <sys/prctl.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA	     0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

/* More or less than before; other things of the process are in it, too, and a
 * huge page at each end where the system gives them unasked. */
static bool rss_is(size_t pages, size_t than)
{
	const size_t slack = 600 + 2 * (2 * MIB / 4096);

	return pages + slack > than && pages < than + slack;
}

#define RSS_IS(h, than, what)                                              \
	do {                                                               \
		size_t t_now = t_rss_pages();                              \
		T_EXPECT(h, rss_is(t_now, than), "%s: %zu pages, not %zu", \
			 what, t_now, (size_t)(than));                     \
	} while (0)

Test(heap_memory, comes_with_the_first_touch)
{
	struct t_heap h;

	t_heaps(&h, NULL);
	while (t_next_heap(&h)) {
		size_t before = t_rss_pages();
		char *at = t_heap_alloc(&h, 64 * MIB);

		RSS_IS(&h, before, "made");
		at = t_heap_resize(&h, at, 128 * MIB, 0, NULL);
		RSS_IS(&h, before, "grown");
		memset(at, 1, 16 * MIB);
		RSS_IS(&h, before + 16 * MIB / t_page(), "touched");
		at = t_heap_resize(&h, at, 128 * MIB, PAGEMV_ALLOC_MOVE, NULL);
		RSS_IS(&h, before + 16 * MIB / t_page(), "moved");
		t_heap_free(&h, at);
	}
}

Test(heap_memory, goes_back_when_a_block_shrinks)
{
	struct t_heap h;

	t_heaps(&h, NULL);
	while (t_next_heap(&h)) {
		size_t before = t_rss_pages();
		char *at = t_heap_alloc(&h, 32 * MIB);

		memset(at, 1, 32 * MIB);
		RSS_IS(&h, before + 32 * MIB / t_page(), "filled");
		at = t_heap_resize(&h, at, 2 * MIB, 0, NULL);
		RSS_IS(&h, before + 2 * MIB / t_page(), "shrunk");
		T_EXPECT(&h, at[2 * MIB - 1] == 1, "the end of what is left");
		t_heap_free(&h, at);
	}
}

Test(heap_memory, of_a_large_block_goes_back_at_once)
{
	const struct pagemv_heap_opts opts = { .size = sizeof(opts),
					       .decay_ms = 1000000,
					       .warm_bytes = 8 * MIB };
	struct t_heap h;

	t_heaps(&h, &opts);
	while (t_next_heap(&h)) {
		size_t before = t_rss_pages();
		char *at = t_heap_alloc(&h, 32 * MIB);

		memset(at, 1, 32 * MIB);
		t_heap_free(&h, at);
		RSS_IS(&h, before, "freed");
	}
}

Test(heap_memory, is_kept_warm_within_bounds_until_it_is_trimmed)
{
	const struct pagemv_heap_opts opts = { .size = sizeof(opts),
					       .decay_ms = 1000000,
					       .warm_bytes = 16 * MIB };
	struct t_heap h;

	t_heaps(&h, &opts);
	while (t_next_heap(&h)) {
		size_t before = t_rss_pages(), given_back = 0;
		char *at[24];

		for (size_t i = 0; i < T_COUNT(at); i++)
			memset(at[i] = t_heap_alloc(&h, 2 * MIB), 1, 2 * MIB);
		for (size_t i = 0; i < T_COUNT(at); i++)
			t_heap_free(&h, at[i]);
		T_EXPECT(&h, t_heap_stats(&h).warm_bytes > 0,
			 "nothing is kept");
		/* Of 48 MiB; a huge page may be of two blocks. */
		T_EXPECT(&h, t_rss_pages() < before + 33 * MIB / t_page() + 600,
			 "%zu pages more than before", t_rss_pages() - before);
		T_EXPECT(&h, pagemv_heap_trim(h.heap, &given_back) == 0,
			 "trim");
		T_EXPECT(&h, given_back > 0, "nothing was given back");
		T_EXPECT(&h, t_heap_stats(&h).warm_bytes == 0,
			 "%zu warm bytes after trimming",
			 (size_t)t_heap_stats(&h).warm_bytes);
		RSS_IS(&h, before, "trimmed");
	}
}

/* By calls, and by the heap's thread without any. */
static void decays(uint32_t flags)
{
	const struct pagemv_heap_opts opts = { .size = sizeof(opts),
					       .flags = flags,
					       .decay_ms = 50 };
	struct t_heap h;

	t_heaps(&h, &opts);
	while (t_next_heap(&h)) {
		size_t before = t_rss_pages();
		char *at = t_heap_alloc(&h, 8 * MIB);

		memset(at, 1, 8 * MIB);
		t_heap_free(&h, at);
		for (int i = 0; i < 100 && t_heap_stats(&h).warm_bytes > MIB;
		     i++) {
			t_sleep_ms(20);
			for (int k = 0; k < 100 && !flags; k++)
				t_heap_free(&h, t_heap_alloc(&h, 100000));
		}
		/* But for the block that is used all the time. */
		T_EXPECT(&h, t_heap_stats(&h).warm_bytes <= MIB,
			 "%zu bytes are warm still",
			 (size_t)t_heap_stats(&h).warm_bytes);
		RSS_IS(&h, before, "decayed");
	}
}

Test(heap_memory, decays_with_calls, .timeout = 60)
{
	decays(0);
}

Test(heap_memory, decays_without_calls_where_a_thread_was_asked_for,
     .timeout = 60)
{
	decays(PAGEMV_HEAP_BACKGROUND);
}

Test(heap_memory, huge_pages_stay_whole_when_a_block_moves, .timeout = 60)
{
	const struct pagemv_heap_opts opts = {
		.size = sizeof(opts),
		.huge = PAGEMV_HEAP_HUGE_ALWAYS,
	};
	const size_t bytes = 32 * MIB;
	struct pagemv_caps caps = { .size = sizeof(caps) };
	bool seen = false;
	struct t_heap h;

	t_heaps(&h, &opts);
	while (t_next_heap(&h)) {
		struct t_marked b = { .bytes = bytes, .id = 2 };

		cr_assert(pagemv_caps(h.pv, &caps) == 0);
		b.at = t_heap_alloc(&h, bytes);
		t_mark(&b, SIZE_MAX);
		if (t_huge_bytes(b.at, bytes) != bytes ||
		    caps.quirks & (PAGEMV_QUIRK_HUGE_MOVE |
				   PAGEMV_QUIRK_HUGE_PAGES)) {
			t_heap_free(&h, b.at);
			continue;
		}
		seen = true;
		b.at = t_heap_resize(&h, b.at, bytes, PAGEMV_ALLOC_MOVE, NULL);
		T_RIGHT(&h, t_check_marks(&b, bytes), "moved");
		if (h.moves)
			T_EXPECT(&h, t_huge_bytes(b.at, bytes) == bytes,
				 "%zu bytes of %zu are huge",
				 t_huge_bytes(b.at, bytes), bytes);
		t_heap_free(&h, b.at);
	}
	if (!seen)
		cr_skip("no huge pages, or not to be moved whole on this "
			"kernel");
}

/* Grows to 64 MiB, and stores to each step-th byte. */
static char *grow_touched(struct t_heap *h, size_t step)
{
	char *at = t_heap_alloc(h, MIB);

	for (size_t bytes = MIB; bytes <= 64 * MIB; bytes *= 2) {
		at = t_heap_resize(h, at, bytes, 0, NULL);
		for (size_t off = 0; off < bytes; off += step)
			at[off] = 1;
	}
	return at;
}

/* Whether dense ones get them is up to a trial, of what they cost here; sparse
 * ones would be filled by them. */
Test(heap_memory, huge_pages_come_when_asked_for_and_never_where_they_waste,
     .timeout = 60)
{
	const struct pagemv_heap_opts always = {
		.size = sizeof(always),
		.huge = PAGEMV_HEAP_HUGE_ALWAYS,
	};
	struct pagemv_caps caps = { .size = sizeof(caps) };
	struct t_heap h = { 0 };
	char text[200] = "", *at;

	t_read_file("/sys/kernel/mm/transparent_hugepage/enabled", text,
		    sizeof(text));
	if (strstr(text, "[madvise]") == NULL)
		cr_skip("huge pages are not by advice here");
	t_open_heap(&h, 0);
	cr_assert(pagemv_caps(h.pv, &caps) == 0);
	at = grow_touched(&h, 64 << 10);
	T_EXPECT(&h, t_huge_bytes(at, 64 * MIB) <= 8 * MIB,
		 "%zu bytes of a sparse block are huge",
		 t_huge_bytes(at, 64 * MIB));
	t_end_heap(&h);
	if (caps.quirks & PAGEMV_QUIRK_HUGE_PAGES)
		cr_skip("no huge pages, or not to be moved whole on this "
			"kernel");
	h.opts = always;
	t_open_heap(&h, 0);
	at = grow_touched(&h, 4096);
	T_EXPECT(&h, t_huge_bytes(at, 64 * MIB) >= 16 * MIB,
		 "%zu bytes of 64 MiB are huge", t_huge_bytes(at, 64 * MIB));
	t_end_heap(&h);
}

/* Does any mapping in /proc/self/maps have this name? */
static bool has_mapping(const char *name)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[500];
	bool found = false;

	cr_assert(f != NULL);
	while (!found && fgets(line, sizeof(line), f) != NULL)
		found = strstr(line, name) != NULL;
	fclose(f);
	return found;
}

Test(heap_memory, has_a_name_in_maps)
{
	const struct pagemv_heap_opts opts = { .size = sizeof(opts),
					       .name = "heap of a test" };
	struct t_heap h = { 0 };
	char *page = t_map(1);

	if (prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, page, t_page(), "x") != 0)
		cr_skip("mappings have no names on this kernel");
	t_open_heap(&h, 0);
	t_heap_free(&h, t_heap_alloc(&h, MIB));
	cr_expect(has_mapping("[anon:pagemv-heap]"));
	t_end_heap(&h);
	cr_expect(!has_mapping("[anon:pagemv-heap]"), "it was destroyed");
	h.opts = opts;
	t_open_heap(&h, 0);
	t_heap_free(&h, t_heap_alloc(&h, MIB));
	cr_expect(has_mapping("[anon:heap of a test]"));
	t_end_heap(&h);
}

Test(heap_memory, all_goes_when_the_heap_is_destroyed)
{
	struct t_heap h;

	t_heaps(&h, NULL);
	while (t_next_heap(&h)) {
		size_t mappings = t_count_mappings(), rss = t_rss_pages();
		struct pagemv_heap *second;
		void *at;

		cr_assert(pagemv_heap_create(h.pv, NULL, &second) == 0);
		for (size_t i = 0; i < 50; i++) {
			cr_assert(pagemv_heap_alloc(second, 100000 << i % 8, 0,
						    &at) == 0);
			memset(at, 1, 100000);
		}
		T_EXPECT(&h, pagemv_heap_destroy(second) == 0, "destroy");
		RSS_IS(&h, rss, "destroyed");
		T_EXPECT(&h, T_SANITIZED || t_count_mappings() <= mappings + 1,
			 "%zu mappings, were %zu", t_count_mappings(),
			 mappings);
	}
}
