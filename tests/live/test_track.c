/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which pages were written to: stores, whoever makes them, and what is told. */
#include "tracked.h"

/* ---- stores ---- */

Test(track, single_stores_are_seen_exactly)
{
	struct scene s = ways(16);

	while (next_way(&s)) {
		t_fill_range(s.heap, 16, 1);
		protect(&s, 0, 16);
		expect_dirty(&s, 0, "................");
		store_as(s.heap, "#..##....#.....#");
		expect_dirty(&s, 0, "#..##....#.....#");
		expect_dirty(&s, 0, "#..##....#.....#");
		expect_dirty(&s, PAGEMV_DIRTY_PROTECT, "#..##....#.....#");
		expect_dirty(&s, 0, "................");
		store_as(s.heap, "...#............");
		expect_dirty(&s, PAGEMV_DIRTY_PROTECT, "...#............");
		expect_dirty(&s, PAGEMV_DIRTY_PROTECT, "................");
	}
}

Test(track, loads_make_nothing_dirty)
{
	struct scene s = ways(8);

	while (next_way(&s)) {
		t_fill_range(s.heap, 8, 1);
		protect(&s, 0, 8);
		T_RIGHT(&(struct t_case){ .name = "loads" },
			t_check_range(s.heap, 8, 1), "content");
		expect_dirty(&s, 0, "........");
	}
}

Test(track, what_was_never_protected_is_dirty_and_what_is_absent_is_not)
{
	struct scene s = ways(8);

	while (next_way(&s)) {
		store_as(s.heap, "##..#...");
		expect_dirty(&s, 0, "##..#...");
		protect(&s, 0, 4);
		expect_dirty(&s, 0, "....#...");
	}
}

Test(track, pages_that_appear_are_dirty)
{
	struct scene s = ways(12);

	while (next_way(&s)) {
		store_as(s.heap, "####........");
		protect(&s, 0, 12);
		expect_dirty(&s, 0, "............");
		store_as(s.heap, ".....##.....");
		cr_expect_eq(*(volatile char *)(s.heap + t_pages(9)), 0);
		expect_dirty(&s, PAGEMV_DIRTY_PROTECT, ".....##..#..");
		expect_dirty(&s, 0, "............");
		/* A page of zeros that is stored to. */
		store(s.heap, 9);
		expect_dirty(&s, 0, ".........#..");
		/* Thrown away, and made anew. */
		t_drop(s.heap, 2);
		expect_dirty(&s, 0, ".........#..");
		store(s.heap, 1);
		expect_dirty(&s, 0, ".#.......#..");
	}
}

Test(track, ranges_are_told_one_at_a_time_as_well)
{
	char text[MAX_PAGES + 1], expected[301];
	struct t_random r = t_random_make(5);
	struct scene s = ways(300);

	while (next_way(&s)) {
		t_fill_range(s.heap, 300, 1);
		for (size_t n = 1; n <= 130; n = n * 3 + 1) {
			protect(&s, 0, 300);
			for (size_t i = 0; i < 300; i++)
				expected[i] = t_random_below(&r, 3) ? '#' : '.';
			expected[300] = '\0';
			store_as(s.heap, expected);
			layout(&s, s.heap, 300, 0, n, text);
			cr_expect_str_eq(text, expected, "n = %zu", n);
			layout(&s, s.heap, 300, PAGEMV_DIRTY_PROTECT, n, text);
			cr_expect_str_eq(text, expected, "n = %zu", n);
			layout(&s, s.heap, 300, 0, n, text);
			cr_expect_null(strchr(text, '#'), "n = %zu", n);
		}
	}
}

Test(track, runs_are_whole_however_long)
{
	char text[MAX_PAGES + 1];
	struct scene s = ways(1000);

	while (next_way(&s)) {
		t_fill_range(s.heap, 1000, 1);
		cr_expect_eq(layout(&s, s.heap, 1000, 0, 1, text), 1);
		cr_expect_eq(
			layout(&s, s.heap, 1000, PAGEMV_DIRTY_PROTECT, 1, text),
			1);
		/* One short of, at, and one behind where buffers may end. */
		for (size_t i = 0; i < 1000; i++)
			if (i != 63 && i != 192 && i != 513)
				store(s.heap, i);
		cr_expect_eq(
			layout(&s, s.heap, 1000, PAGEMV_DIRTY_PROTECT, 2, text),
			4, "[%s]", way_names[s.way]);
		for (size_t i = 0; i < 1000; i += 2)
			store(s.heap, i);
		cr_expect_eq(layout(&s, s.heap, 1000, 0, 1000, text), 500);
	}
}

Test(track, only_what_is_told_is_protected)
{
	struct pagemv_range ranges[2];
	void *next = NULL;
	struct scene s = ways(8);

	while (next_way(&s)) {
		store_as(s.heap, "#.#.#.##");
		cr_expect_eq(pagemv_dirty(s.pv, s.heap, t_pages(8),
					  PAGEMV_DIRTY_PROTECT, ranges, 2,
					  &next),
			     2);
		cr_expect_eq((char *)next, s.heap + t_pages(4));
		expect_dirty(&s, 0, "....#.##");
		cr_expect_eq(pagemv_dirty(s.pv, s.heap + t_pages(4), t_pages(3),
					  PAGEMV_DIRTY_PROTECT, ranges, 2,
					  NULL),
			     2);
		expect_dirty(&s, 0, ".......#");
		protect(&s, 7, 1);
		expect_dirty(&s, 0, "........");
	}
}

/* ---- regions ---- */

Test(track, regions_side_by_side_are_as_one)
{
	const struct pagemv_region_opts opts = { 0 };
	struct pagemv_region *second, *third;
	char text[MAX_PAGES + 1];
	struct scene s = ways(4);

	while (next_way(&s)) {
		char *heap = t_map(12);

		track(&s, heap, 5, opts);
		second = track(&s, heap + t_pages(5), 1, opts);
		third = track(&s, heap + t_pages(6), 6, opts);
		t_fill_range(heap, 12, 1);
		cr_expect_eq(
			layout(&s, heap, 12, PAGEMV_DIRTY_PROTECT, 1, text), 1);
		store_as(heap, "#...#####..#");
		expect_dirty_at(&s, heap, PAGEMV_DIRTY_PROTECT, "#...#####..#");
		expect_dirty_at(&s, heap, 0, "............");
		cr_expect_eq(pagemv_protect(s.pv, heap, t_pages(12)), 0);
		cr_expect_eq(pagemv_region_unregister(second), 0);
		cr_expect_eq(pagemv_protect(s.pv, heap, t_pages(12)), -ENOENT);
		cr_expect_eq(pagemv_region_unregister(third), 0);
		s.pages = 4;
		pagemv_close(s.pv);
		s.pv = NULL;
		t_unmap(heap, 12);
	}
}

Test(track, what_is_not_tracked_is_refused_and_left_alone)
{
	struct pagemv_region *quiet, *gone;
	struct pagemv_range range;
	struct scene s = ways(4);

	while (next_way(&s)) {
		char *heap = t_map(12);
		const struct pagemv_region_opts opts = { 0 };

		track(&s, heap, 4, opts);
		cr_assert_eq(pagemv_region_register(s.pv, heap + t_pages(4),
						    t_pages(4), NULL, &quiet,
						    NULL),
			     0);
		gone = track(&s, heap + t_pages(8), 4, opts);
		cr_assert_eq(pagemv_region_unregister(gone), 0);
		t_fill_range(heap, 12, 1);
		for (size_t i = 0; i < 12; i++)
			for (size_t n = 1; i + n <= 12; n++) {
				char *at = heap + t_pages(i);
				int right = i + n <= 4 ? 0 : -ENOENT;

				cr_expect_eq(
					pagemv_protect(s.pv, at, t_pages(n)),
					right, "%zu, %zu", i, n);
				cr_expect_eq(pagemv_dirty(s.pv, at, t_pages(n),
							  PAGEMV_DIRTY_PROTECT,
							  &range, 1, NULL),
					     right, "%zu, %zu", i, n);
				if (right == 0)
					store_as(heap, "####");
			}
		expect_dirty_at(&s, heap, 0, "####");
		for (size_t i = 4; i < 12; i++)
			cr_expect(!is_protected(heap + t_pages(i)), "%zu", i);
		pagemv_close(s.pv);
		s.pv = NULL;
		t_unmap(heap, 12);
	}
}

Test(track, arguments_that_make_no_sense_are_refused)
{
	struct pagemv_range range;
	struct scene s = ways(4);

	while (next_way(&s)) {
		char *a = s.heap;
		size_t page = t_page();

		cr_expect_eq(pagemv_protect(NULL, a, page), -EINVAL);
		cr_expect_eq(pagemv_protect(s.pv, a + 1, page), -EINVAL);
		cr_expect_eq(pagemv_protect(s.pv, a, page - 1), -EINVAL);
		cr_expect_eq(pagemv_protect(s.pv, a, 0), -EINVAL);
		cr_expect_eq(pagemv_protect(s.pv, a, -page), -EINVAL);
		cr_expect_eq(pagemv_dirty(NULL, a, page, 0, &range, 1, NULL),
			     -EINVAL);
		cr_expect_eq(
			pagemv_dirty(s.pv, a + 1, page, 0, &range, 1, NULL),
			-EINVAL);
		cr_expect_eq(pagemv_dirty(s.pv, a, 0, 0, &range, 1, NULL),
			     -EINVAL);
		cr_expect_eq(pagemv_dirty(s.pv, a, page, 2, &range, 1, NULL),
			     -EINVAL);
		cr_expect_eq(pagemv_dirty(s.pv, a, page, 0, NULL, 1, NULL),
			     -EINVAL);
		cr_expect_eq(pagemv_dirty(s.pv, a, page, 0, &range, 0, NULL),
			     -EINVAL);
	}
}

Test(track, a_region_that_ends_leaves_nothing_protected)
{
	struct scene s = ways(16);

	while (next_way(&s)) {
		t_fill_range(s.heap, 16, 1);
		protect(&s, 0, 16);
		cr_expect(is_protected(s.heap));
		cr_assert_eq(pagemv_region_unregister_part(
				     s.region, s.heap + t_pages(4), t_pages(4)),
			     0);
		for (size_t i = 0; i < 16; i++)
			cr_expect_eq(is_protected(s.heap + t_pages(i)),
				     i < 4 || i >= 8, "%zu", i);
		store_as(s.heap, "################");
		protect(&s, 8, 8);
		cr_assert_eq(pagemv_region_unregister(s.region), 0);
		for (size_t i = 0; i < 16; i++)
			cr_expect(!is_protected(s.heap + t_pages(i)), "%zu", i);
		store_as(s.heap, "################");
		/* And again, from the beginning. */
		s.region =
			track(&s, s.heap, 16, (struct pagemv_region_opts){ 0 });
		expect_dirty(&s, 0, "################");
	}
}

/* ---- the kernel's own stores, other processes, swap, huge pages ---- */

Test(track, a_system_call_stores_and_is_seen_or_fails)
{
	struct scene s = ways(4);

	while (next_way(&s)) {
		int zero = open("/dev/zero", O_RDONLY);
		/* /dev/userfaultfd: what the kernel stores is told, too. */
		bool served = s.way == ASYNC ||
			      (s.way == BY_THREADS &&
			       s.pv->caps.uffd_how != PAGEMV_UFFD_USER_MODE);
		ssize_t n;

		t_fill_range(s.heap, 4, 1);
		protect(&s, 0, 4);
		n = read(zero, s.heap + t_pages(1), 8);
		if (served) {
			cr_expect_eq(n, 8);
			expect_dirty(&s, 0, ".#..");
		} else {
			cr_expect(n < 0 && errno == EFAULT, "%zd", n);
			expect_dirty(&s, 0, "....");
			store(s.heap, 1);
			cr_expect_eq(read(zero, s.heap + t_pages(1), 8), 8);
			expect_dirty(&s, 0, ".#..");
		}
		close(zero);
	}
}

static int store_in_child(void *arg)
{
	struct scene *s = arg;
	struct pagemv_range range;

	store_as(s->heap, "########");
	return pagemv_protect(s->pv, s->heap, t_page()) != -ESRCH ||
	       pagemv_dirty(s->pv, s->heap, t_page(), 0, &range, 1, NULL) !=
		       -ESRCH;
}

Test(track, a_child_neither_is_tracked_nor_disturbs)
{
	struct scene s = ways(8);

	while (next_way(&s)) {
		t_fill_range(s.heap, 8, 1);
		protect(&s, 0, 8);
		store_as(s.heap, "##......");
		cr_expect_eq(t_in_child(store_in_child, &s), 0);
		expect_dirty(&s, 0, "##......");
		store_as(s.heap, "....#...");
		expect_dirty(&s, PAGEMV_DIRTY_PROTECT, "##..#...");
		store_as(s.heap, "#...#...");
		expect_dirty(&s, PAGEMV_DIRTY_PROTECT, "#...#...");
	}
}

/* Where there is no swap the pages stay, which is as good. */
Test(track, swapping_out_and_in_changes_nothing)
{
	struct scene s = ways(16);

	while (next_way(&s)) {
		t_fill_range(s.heap, 16, 1);
		protect(&s, 0, 16);
		store_as(s.heap, "##......##......");
		madvise(s.heap, t_pages(16), 21 /* MADV_PAGEOUT */);
		expect_dirty(&s, 0, "##......##......");
		expect_dirty(&s, PAGEMV_DIRTY_PROTECT, "##......##......");
		for (size_t i = 0; i < 16; i++)
			(void)*(volatile char *)(s.heap + t_pages(i));
		expect_dirty(&s, 0, "................");
		madvise(s.heap, t_pages(16), 21 /* MADV_PAGEOUT */);
		store_as(s.heap, ".#..#...........");
		expect_dirty(&s, 0, ".#..#...........");
	}
}

Test(track, a_store_to_a_huge_page_is_one_of_a_base_page)
{
	char text[MAX_PAGES + 1];
	struct scene s = ways(1);

	while (next_way(&s)) {
		size_t pages = s.pv->huge_bytes / t_page();
		char *heap;

		if (!s.pv->huge_bytes || pages > MAX_PAGES)
			cr_skip("no huge pages here");
		heap = t_map_at(pages, s.pv->huge_bytes, 0, true);
		track(&s, heap, pages, (struct pagemv_region_opts){ 0 });
		store(heap, 0);
		/* A huge page appears as a whole, a base page by itself. */
		layout(&s, heap, pages, PAGEMV_DIRTY_PROTECT, 1, text);
		cr_expect_eq(text[0], '#');
		cr_expect_eq(layout(&s, heap, pages, 0, 1, text), 0);
		store(heap, 7);
		cr_expect_eq(
			layout(&s, heap, pages, PAGEMV_DIRTY_PROTECT, 9, text),
			1);
		cr_expect_eq(strchr(text, '#') - text, 7);
		cr_expect_null(strchr(text + 8, '#'));
		pagemv_close(s.pv);
		s.pv = NULL;
		t_unmap(heap, pages);
	}
}

/* No change is missed: that is what is promised before Linux 5.14. */
Test(track, where_nothing_is_shown_all_that_is_there_is_dirty)
{
	const struct pagemv_region_opts opts = { 0 };
	struct scene s = { .pages = 4 };

	if (shows_protection())
		return;
	for (int way = BY_SIGNAL; way < WAYS; way++) {
		cr_assert(open_way(&s, (enum way)way));
		s.heap = t_map(4);
		s.region = track(&s, s.heap, 4, opts);
		t_fill_range(s.heap, 3, 1);
		protect(&s, 0, 4);
		expect_dirty(&s, PAGEMV_DIRTY_PROTECT, "###.");
		store(s.heap, 1);
		expect_dirty(&s, 0, "###.");
		faults_right(t_check_absent(s.heap + t_pages(3), 1));
		close_way(&s);
	}
}
