/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Huge pages: whole ones stay whole where the kernel allows it, parts of them
 * go like any pages, and the huge zero page arrives as zeros. A region that may
 * have huge pages takes small ones, too.
 */
#include "live.h"

#include <sys/mman.h>

#define HUGE_BYTES ((size_t)2 << 20)

/* n huge pages, filled; false when the kernel does not give huge pages. */
static bool fill_huge(char *src, size_t n)
{
	t_fill_range(src, n * HUGE_BYTES / t_page(), 1);
	return t_huge_bytes(src, n * HUGE_BYTES) == n * HUGE_BYTES;
}

/*
 * Pages that have gone from huge pages are absent; khugepaged may make some of
 * these again of what is left, with zeros in between.
 */
static const char *check_gone(const char *at, size_t n)
{
	const char *wrong = t_check_absent(at, n);
	size_t i;

	if (wrong == NULL || t_huge_bytes(at, t_pages(n)) == 0)
		return wrong;
	for (i = 0, wrong = NULL; i < n && wrong == NULL; i++)
		if (t_present(at + t_pages(i)))
			wrong = t_check_zero(at + t_pages(i), 1);
	return wrong;
}

#define HUGE_TROUBLE (PAGEMV_QUIRK_HUGE_MOVE | PAGEMV_QUIRK_HUGE_PAGES)

Test(huge, keeps_huge_pages_whole, .timeout = 30)
{
	const size_t n = 3, pages = n * HUGE_BYTES / t_page();
	struct pagemv_result res;
	bool seen = false;
	struct t_case c;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *heap = t_case_map_at(&c, pages, HUGE_BYTES, 0, true);
		char *src = t_case_map_at(&c, pages, HUGE_BYTES, 0, true);

		t_register(c.pv, heap, pages);
		if ((c.caps.quirks & HUGE_TROUBLE) != 0 || !fill_huge(src, n))
			continue;
		seen = true;
		r = t_move(&c, heap, src, pages, 0, &res);
		t_expect_done(&c, r, &res, t_pages(pages));
		T_RIGHT(&c, t_check_range(heap, pages, 1), "dst");
		T_RIGHT(&c, check_gone(src, pages), "src");
		if (t_case_never_copies(&c))
			T_EXPECT(&c,
				 t_huge_bytes(heap, t_pages(pages)) ==
					 n * HUGE_BYTES,
				 "%zu bytes huge at dst",
				 t_huge_bytes(heap, t_pages(pages)));
	}
	if (!seen)
		cr_skip("no huge pages, or not to be moved whole on this "
			"kernel");
}

Test(huge, takes_parts_of_huge_pages, .timeout = 30)
{
	static const struct {
		size_t from, to, n;
	} parts[] = {
		{ 0, 1, 512 },	   { 5, 5, 1 },	    { 100, 7, 700 },
		{ 511, 511, 514 }, { 512, 0, 512 }, { 0, 512, 1 },
	};
	const size_t n = 3, pages = n * HUGE_BYTES / t_page();
	struct pagemv_result res;
	struct t_case c;
	size_t i;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *heap = t_case_map_at(&c, pages, HUGE_BYTES, 0, true);
		char *src = t_case_map_at(&c, pages, HUGE_BYTES, 0, true);

		t_register(c.pv, heap, pages);
		for (i = 0; i < T_COUNT(parts); i++) {
			size_t from = parts[i].from, to = parts[i].to;
			size_t m = parts[i].n;

			(void)fill_huge(src, n);
			r = t_move(&c, heap + t_pages(to), src + t_pages(from),
				   m, 0, &res);
			t_expect_done(&c, r, &res, t_pages(m));
			T_RIGHT(&c,
				t_check_range(heap + t_pages(to), m, 1 + from),
				"dst");
			T_RIGHT(&c, check_gone(src + t_pages(from), m), "src");
			T_RIGHT(&c, t_check_range(src, from, 1), "before src");
			T_RIGHT(&c,
				t_check_range(src + t_pages(from + m),
					      pages - from - m, 1 + from + m),
				"behind src");
			t_drop(heap, pages);
			t_drop(src, pages);
		}
	}
}

Test(huge, brings_huge_zero_pages_as_zeros, .timeout = 30)
{
	const size_t pages = HUGE_BYTES / t_page();
	struct pagemv_result res;
	struct t_case c;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *heap = t_case_map_at(&c, pages, HUGE_BYTES, 0, true);
		char *src = t_case_map_at(&c, pages, HUGE_BYTES, 0, true);

		t_register(c.pv, heap, pages);
		/* One read gives the huge zero page, or a small one. */
		cr_assert_eq(*(volatile char *)src, 0);
		if (t_count_present(src, pages) != pages)
			continue;
		r = t_move(&c, heap, src, pages, 0, &res);
		t_expect_done(&c, r, &res, t_pages(pages));
		T_RIGHT(&c, t_check_absent(src, pages), "src");
		T_RIGHT(&c, t_check_zero(heap, pages), "dst");
		memset(heap, 0x5a, t_pages(pages));
		T_EXPECT(&c, src[17] == 0, "src is not a page of its own");
	}
}

/*
 * A region in which the program wants huge pages, so that each store to it may
 * make one; advised again, as without userfaultfd registering forbids them.
 */
static char *huge_heap(struct t_case *c, size_t pages)
{
	char *heap = t_case_map_at(c, pages, HUGE_BYTES, 0, true);

	t_register(c->pv, heap, pages);
	if ((c->caps.quirks & PAGEMV_QUIRK_HUGE_PAGES) == 0)
		(void)madvise(heap, t_pages(pages), MADV_HUGEPAGE);
	return heap;
}

static bool stores(const struct t_case *c)
{
	return c->caps.uffd_how == PAGEMV_UFFD_NONE;
}

/* Page by page, in an order in which each is the first of its huge page, or
 * has neighbours, and in the end all are there. */
Test(huge, is_filled_page_by_page, .timeout = 60)
{
	const size_t pages = HUGE_BYTES / t_page(), step = 195;
	struct pagemv_result res;
	struct t_case c;
	size_t i, to;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *heap = huge_heap(&c, 2 * pages);
		char *src = t_case_map(&c, 2 * pages);

		t_fill_range(src, 2 * pages, 1);
		for (i = to = 0; i < 2 * pages; i++) {
			r = t_move(&c, heap + t_pages(to), src + t_pages(to), 1,
				   0, &res);
			T_EXPECT(&c, r == 0, "page %zu: returned %d (%s)", to,
				 r, pagemv_reason_string(res.reason));
			if (r != 0)
				break;
			to = (to + step) % (2 * pages);
		}
		T_RIGHT(&c, t_check_range(heap, 2 * pages, 1), "dst");
		T_RIGHT(&c, t_check_absent(src, 2 * pages), "src");
	}
}

/* Every third page of a range is a hole. */
static bool is_hole(size_t i)
{
	return i % 3 == 1;
}

/* Pages first + i that are no holes. */
static void fill_two_thirds(char *at, size_t pages, uint64_t first)
{
	size_t i;

	for (i = 0; i < pages; i++)
		if (!is_hole(i))
			t_fill(at + t_pages(i), first + i, 1);
	for (i = 0; i < pages; i++)
		if (is_hole(i))
			t_drop(at + t_pages(i), 1);
}

/* Where pages are stored, the neighbours in a huge page are zeros. */
static void expect_two_thirds(const struct t_case *c, const char *at,
			      size_t pages, uint64_t first, const char *what)
{
	const char *wrong = NULL;
	size_t i;

	for (i = 0; i < pages && wrong == NULL; i++)
		if (!is_hole(i))
			wrong = t_check(at + t_pages(i), first + i, 1);
		else if (!stores(c) || t_present(at + t_pages(i)))
			wrong = stores(c) ? t_check_zero(at + t_pages(i), 1)
					  : t_check_absent(at + t_pages(i), 1);
	T_EXPECT(c, wrong == NULL, "%s, page %zu: %s", what, i - 1, wrong);
}

Test(huge, is_filled_with_holes_in_it)
{
	static const size_t lengths[] = { 1, 2, 5, 40, 3 };
	struct pagemv_result res;
	struct t_case c;
	size_t i, at;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *heap = huge_heap(&c, HUGE_BYTES / t_page());
		char *src = t_case_map(&c, 51);

		fill_two_thirds(src, 51, 1);
		for (i = at = 0; i < T_COUNT(lengths); at += lengths[i++]) {
			r = t_move(&c, heap + t_pages(at), src + t_pages(at),
				   lengths[i], PAGEMV_MOVE_HOLES, &res);
			T_EXPECT(&c, r == 0, "%zu pages at %zu: %d (%s)",
				 lengths[i], at, r,
				 pagemv_reason_string(res.reason));
			t_expect_sane(&c, r, &res, t_pages(lengths[i]));
		}
		expect_two_thirds(&c, heap, at, 1, "dst");
		T_RIGHT(&c, t_check_absent(src, 51), "src");
	}
}

Test(huge, is_exchanged_page_by_page)
{
	const size_t n = 30;
	struct pagemv_result res;
	struct t_case c;
	size_t i;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		const struct pagemv_move_opts opts =
			t_opts(&c, PAGEMV_MOVE_HOLES);
		char *a = huge_heap(&c, HUGE_BYTES / t_page());
		char *b = huge_heap(&c, HUGE_BYTES / t_page());

		fill_two_thirds(a, n, 1);
		fill_two_thirds(b, n, 1001);
		for (i = 0; i < n; i += 3) {
			r = pagemv_exchange(c.pv, a + t_pages(i),
					    b + t_pages(i), t_pages(3), &opts,
					    &res);
			T_EXPECT(&c, r == 0, "at %zu: %d (%s)", i, r,
				 pagemv_reason_string(res.reason));
		}
		expect_two_thirds(&c, a, n, 1001, "a");
		expect_two_thirds(&c, b, n, 1, "b");
	}
}

/* mremap brings the mapping of the source, which may have huge pages. */
Test(huge, stays_away_where_it_was_kept_away, .timeout = 30)
{
	const size_t pages = HUGE_BYTES / t_page();
	const struct pagemv_move_opts copy = { .size = sizeof(copy),
					       .mechanism = PAGEMV_MECH_COPY };
	struct pagemv_result res;
	struct t_case c;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *heap = t_case_map_at(&c, pages, HUGE_BYTES, 0, false);
		char *src = t_case_map_at(&c, pages, HUGE_BYTES, 0, true);

		t_register(c.pv, heap, pages);
		t_fill_range(src, pages, 1);
		r = t_move(&c, heap, src, pages, 0, &res);
		t_expect_done(&c, r, &res, t_pages(pages));
		t_drop(heap, pages);
		t_fill(src, 7, 1);
		r = pagemv_move(c.pv, heap + t_pages(9), src, t_page(), &copy,
				&res);
		T_EXPECT(&c, r == 0, "%d (%s)", r,
			 pagemv_reason_string(res.reason));
		T_RIGHT(&c, t_check(heap + t_pages(9), 7, 1), "the page");
		T_EXPECT(&c, t_count_present(heap, pages) == 1,
			 "%zu pages came with it",
			 t_count_present(heap, pages) - 1);
	}
}
