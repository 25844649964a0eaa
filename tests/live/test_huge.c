/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Huge pages: whole ones stay whole where the kernel allows it, parts of them
 * go like any pages, and the huge zero page arrives as zeros.
 */
#include "live.h"

#define HUGE_BYTES ((size_t)2 << 20)

/* n huge pages, filled; false when the kernel does not give huge pages. */
static bool fill_huge(char *src, size_t n)
{
	t_fill_range(src, n * HUGE_BYTES / t_page(), 1);
	return t_huge_bytes(src, n * HUGE_BYTES) == n * HUGE_BYTES;
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
		T_RIGHT(&c, t_check_absent(src, pages), "src");
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
			T_RIGHT(&c, t_check_absent(src + t_pages(from), m),
				"src");
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
