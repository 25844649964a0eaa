/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ranges that overlap move as by memmove().
 */
#include "live.h"

/* Pages 0, 3..4, 9 and 11 of 12 are there; returns how many are holes. */
static size_t fill_with_holes(char *src)
{
	static const size_t holes[] = { 1, 2, 5, 6, 7, 8, 10 };
	size_t i;

	t_fill_range(src, 12, 1);
	for (i = 0; i < T_COUNT(holes); i++)
		t_drop(src + t_pages(holes[i]), 1);
	return T_COUNT(holes);
}

static void expect_with_holes(const struct t_case *c, const char *p)
{
	static const size_t there[] = { 0, 3, 4, 9, 11 };
	size_t i;

	for (i = 0; i < T_COUNT(there); i++)
		T_RIGHT(c, t_check(p + t_pages(there[i]), 1 + there[i], 1),
			"a page between holes");
	T_EXPECT(c, t_count_present(p, 12) == T_COUNT(there), "%zu present",
		 t_count_present(p, 12));
}

/* As memmove(): n pages from page `from` to page `to` of one region. */
static void overlap_once(struct t_case *c, char *heap, size_t total,
			 size_t from, size_t to, size_t n)
{
	struct pagemv_result res;
	size_t gap = from > to ? from - to : to - from;
	size_t vacated = from > to ? to + n : from;
	int r;

	t_fill_range(heap + t_pages(from), n, 1);
	r = t_move(c, heap + t_pages(to), heap + t_pages(from), n, 0, &res);
	t_expect_done(c, r, &res, t_pages(n));
	T_RIGHT(c, t_check_range(heap + t_pages(to), n, 1), "dst");
	T_RIGHT(c, t_check_absent(heap + t_pages(vacated), gap), "vacated");
	T_EXPECT(c, t_count_present(heap, total) == n, "%zu pages, not %zu",
		 t_count_present(heap, total), n);
	t_drop(heap, total);
}

Test(overlap, is_as_memmove_has_it, .timeout = 60)
{
	static const size_t gaps[] = { 1, 3, 20, 39 };
	struct t_case c;
	size_t i;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *heap = t_case_heap(&c, 80);

		for (i = 0; i < T_COUNT(gaps); i++) {
			overlap_once(&c, heap, 80, gaps[i], 0, 40);
			overlap_once(&c, heap, 80, 0, gaps[i], 40);
		}
		overlap_once(&c, heap, 80, 0, 40, 40);
		overlap_once(&c, heap, 80, 40, 0, 40);
	}
}

Test(overlap, with_holes_is_as_memmove_has_it)
{
	static const int shift[] = { -1, 1, -5, 5 };
	struct pagemv_result res;
	struct t_case c;
	size_t i, holes;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *heap = t_case_heap(&c, 24);

		for (i = 0; i < T_COUNT(shift); i++) {
			char *src = heap + t_pages(6);
			char *dst = src + shift[i] * (long)t_page();

			holes = fill_with_holes(src);
			r = t_move(&c, dst, src, 12, PAGEMV_MOVE_HOLES, &res);
			T_EXPECT(&c, r == 0, "returned %d", r);
			t_expect_sane(&c, r, &res, t_pages(12));
			T_EXPECT(&c, res.hole_bytes == t_pages(holes),
				 "holes: %zu", res.hole_bytes);
			expect_with_holes(&c, dst);
			T_EXPECT(&c, t_count_present(heap, 24) == 12 - holes,
				 "%zu present", t_count_present(heap, 24));
			t_drop(heap, 24);
		}
	}
}

Test(overlap, a_move_that_fails_loses_nothing)
{
	static const int shift[] = { -3, 3 };
	struct pagemv_result res;
	struct t_census census;
	struct t_case c;
	size_t i;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *heap = t_case_heap(&c, 40);

		for (i = 0; i < T_COUNT(shift); i++) {
			char *src = heap + t_pages(10);
			char *dst = src + shift[i] * (long)t_page();
			/* The one page of dst, outside src, that is in the way.
			 */
			char *block = shift[i] < 0 ? dst + t_page()
						   : dst + t_pages(18);

			t_fill_range(src, 20, 1);
			t_fill(block, 21, 1);
			r = t_move(&c, dst, src, 20, 0, &res);
			T_EXPECT(&c, r == -EEXIST, "returned %d", r);
			t_expect_sane(&c, r, &res, t_pages(20));
			t_census_open(&census, 21);
			t_census_take(&census, heap, 40);
			T_RIGHT(&c, t_census_verdict(&census), "census");
			t_census_close(&census);
			T_RIGHT(&c, t_check(block, 21, 1), "in the way");
			t_drop(heap, 40);
		}
	}
}

Test(overlap, a_move_to_itself_is_refused_or_does_nothing)
{
	struct pagemv_result res;
	struct t_case c;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *heap = t_case_heap(&c, 4);
		int r;

		t_fill_range(heap, 4, 1);
		r = t_move(&c, heap, heap, 4, 0, &res);
		T_EXPECT(&c, r == 0 || r == -EINVAL, "returned %d", r);
		t_expect_sane(&c, r, &res, t_pages(4));
		T_RIGHT(&c, t_check_range(heap, 4, 1), "the pages");
	}
}
