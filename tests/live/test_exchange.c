/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pagemv_exchange(): two ranges change places; and where that stops half way,
 * each page is at one of the two, named by the result.
 */
#include "live.h"

#include <sys/mman.h>

#include "pin.h"

#define PAGES 12

static int exchange(const struct t_case *c, void *a, void *b, size_t pages,
		    uint32_t flags, struct pagemv_result *res)
{
	const struct pagemv_move_opts opts = t_opts(c, flags);

	memset(res, 0xa5, sizeof(*res));
	return pagemv_exchange(c->pv, a, b, t_pages(pages), &opts, res);
}

Test(exchange, every_size_by_every_mechanism, .timeout = 60)
{
	static const size_t sizes[] = { 1, 2, 3, 511, 512, 513, 1300 };
	struct pagemv_result res;
	struct t_case c;
	size_t i;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *a = t_case_heap(&c, 1300), *b = t_case_heap(&c, 1300);

		for (i = 0; i < T_COUNT(sizes); i++) {
			size_t n = sizes[i];

			t_fill_range(a, n, 1);
			t_fill_range(b, n, 5001);
			r = exchange(&c, a, b, n, 0, &res);
			t_expect_done(&c, r, &res, t_pages(n));
			T_RIGHT(&c, t_check_range(a, n, 5001), "a");
			T_RIGHT(&c, t_check_range(b, n, 1), "b");
			t_drop(a, 1300);
			t_drop(b, 1300);
		}
	}
}

Test(exchange, neighbours_in_one_region)
{
	struct pagemv_result res;
	struct t_case c;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *heap = t_case_heap(&c, 2 * PAGES + 2);
		char *a = heap + t_page(), *b = a + t_pages(PAGES);

		t_fill_range(heap, 2 * PAGES + 2, 1);
		r = exchange(&c, b, a, PAGES, 0, &res);
		t_expect_done(&c, r, &res, t_pages(PAGES));
		T_RIGHT(&c, t_check_range(a, PAGES, 2 + PAGES), "a");
		T_RIGHT(&c, t_check_range(b, PAGES, 2), "b");
		T_RIGHT(&c, t_check(heap, 1, 1), "before");
		T_RIGHT(&c, t_check(b + t_pages(PAGES), 2 + 2 * PAGES, 1),
			"behind");
	}
}

Test(exchange, leaves_the_mappings_as_they_are)
{
	struct pagemv_result res;
	struct t_case c;
	size_t before, i;
	int r;

	t_cases(&c, T_WAYS_LAYOUT);
	while (t_next_case(&c)) {
		char *a = t_case_heap(&c, PAGES), *b = t_case_heap(&c, PAGES);

		t_fill_range(a, PAGES, 1);
		t_fill_range(b, PAGES, 101);
		r = exchange(&c, a, b, PAGES, 0, &res); /* sets up */
		before = t_count_mappings();
		for (i = 0; i < 9 && r == 0; i++)
			r = exchange(&c, a, b, PAGES - i, 0, &res);
		T_EXPECT(&c, r == 0, "returned %d", r);
		T_EXPECT(&c, t_count_mappings() == before,
			 "%zu mappings, then %zu", before, t_count_mappings());
	}
}

/* Pages present where the bit is set: i % mod == rest. */
static void fill_some(char *p, size_t mod, size_t rest, uint64_t first_id)
{
	size_t i;

	for (i = 0; i < PAGES; i++)
		if (i % mod == rest)
			t_fill(p + t_pages(i), first_id + i, 1);
}

static void expect_some(const struct t_case *c, const char *p, size_t mod,
			size_t rest, uint64_t first_id, const char *what)
{
	size_t i;

	for (i = 0; i < PAGES; i++) {
		if (i % mod == rest)
			T_RIGHT(c, t_check(p + t_pages(i), first_id + i, 1),
				what);
		else
			T_RIGHT(c, t_check_absent(p + t_pages(i), 1), what);
	}
}

Test(exchange, holes_change_places_too)
{
	struct pagemv_result res;
	struct t_case c;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *a = t_case_heap(&c, PAGES), *b = t_case_heap(&c, PAGES);

		fill_some(a, 2, 0, 1);
		fill_some(b, 3, 1, 101);
		r = exchange(&c, a, b, PAGES, PAGEMV_MOVE_HOLES, &res);
		T_EXPECT(&c, r == 0, "returned %d (%s)", r,
			 pagemv_reason_string(res.reason));
		t_expect_sane(&c, r, &res, t_pages(PAGES));
		expect_some(&c, a, 3, 1, 101, "a");
		expect_some(&c, b, 2, 0, 1, "b");
	}
}

Test(exchange, with_an_empty_range)
{
	struct pagemv_result res;
	struct t_case c;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *a = t_case_heap(&c, PAGES), *b = t_case_heap(&c, PAGES);

		t_fill_range(b, PAGES, 1);
		r = exchange(&c, a, b, PAGES, PAGEMV_MOVE_HOLES, &res);
		T_EXPECT(&c, r == 0, "returned %d (%s)", r,
			 pagemv_reason_string(res.reason));
		t_expect_sane(&c, r, &res, t_pages(PAGES));
		T_RIGHT(&c, t_check_range(a, PAGES, 1), "a");
		T_RIGHT(&c, t_check_absent(b, PAGES), "b");
		r = exchange(&c, a, b, PAGES, PAGEMV_MOVE_HOLES, &res);
		T_EXPECT(&c, r == 0, "returned %d (%s)", r,
			 pagemv_reason_string(res.reason));
		T_RIGHT(&c, t_check_range(b, PAGES, 1), "b");
		T_RIGHT(&c, t_check_absent(a, PAGES), "a");
	}
}

/* Exactly left_off bytes of a and b have changed places, and nothing else. */
static void expect_split(const struct t_case *c, const char *a, const char *b,
			 size_t pages, const struct pagemv_result *res)
{
	size_t done = res->left_off / t_page(), rest = pages - done;

	T_EXPECT(c, res->left_off % t_page() == 0, "left_off %zu",
		 res->left_off);
	T_EXPECT(c, res->moved_bytes + res->copied_bytes == res->left_off,
		 "exchanged %zu + %zu, left_off %zu", res->moved_bytes,
		 res->copied_bytes, res->left_off);
	T_RIGHT(c, t_check_range(a, done, 5001), "exchanged, at a");
	T_RIGHT(c, t_check_range(b, done, 1), "exchanged, at b");
	T_RIGHT(c, t_check_range(a + t_pages(done), rest, 1 + done),
		"left, at a");
	T_RIGHT(c, t_check_range(b + t_pages(done), rest, 5001 + done),
		"left, at b");
}

static void stop_at_hole(size_t pages, size_t hole, bool in_b)
{
	struct pagemv_result res;
	struct t_case c;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *a = t_case_heap(&c, pages), *b = t_case_heap(&c, pages);
		char *in = in_b ? b : a;

		t_fill_range(a, pages, 1);
		t_fill_range(b, pages, 5001);
		t_drop(in + t_pages(hole), 1);
		r = exchange(&c, a, b, pages, 0, &res);
		T_EXPECT(&c, r == -ENOENT, "returned %d", r);
		T_EXPECT(&c, res.reason == PAGEMV_REASON_HOLE, "reason: %s",
			 pagemv_reason_string(res.reason));
		t_expect_sane(&c, r, &res, t_pages(pages));
		T_EXPECT(&c, res.left_off <= t_pages(hole), "left_off %zu",
			 res.left_off);
		T_RIGHT(&c, t_check_absent(in + t_pages(hole), 1), "the hole");
		/* Put it back where it was, so that one check serves. */
		t_fill(in + t_pages(hole), (in_b ? 5001 : 1) + hole, 1);
		expect_split(&c, a, b, pages, &res);
	}
}

Test(exchange, stops_at_a_hole_of_a)
{
	stop_at_hole(PAGES, 5, false);
}

Test(exchange, stops_at_a_hole_of_b)
{
	stop_at_hole(PAGES, 5, true);
}

Test(exchange, stops_at_a_hole_behind_the_first_steps, .timeout = 30)
{
	stop_at_hole(1300, 1100, false);
	stop_at_hole(1300, 1100, true);
}

static void stop_at_pin(size_t pages, size_t at, bool in_b)
{
	const char *why = NULL;
	struct pagemv_result res;
	struct t_pin *pin;
	struct t_case c;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *a = t_case_heap(&c, pages), *b = t_case_heap(&c, pages);

		if (c.way == T_COPY_QUIESCENT ||
		    (c.way != T_MOVE &&
		     (c.caps.facilities & PAGEMV_HAS_PIN_CHECK) == 0))
			continue;
		t_fill_range(a, pages, 1);
		t_fill_range(b, pages, 5001);
		pin = t_pin((in_b ? b : a) + t_pages(at), t_page(), &why);
		if (pin == NULL)
			cr_skip("no page can be pinned: %s", why);
		r = exchange(&c, a, b, pages, 0, &res);
		if (c.way == T_REMAP || c.way == T_AUTO_REMAP)
			T_EXPECT(&c, r == 0 || r == -EBUSY, "returned %d", r);
		else
			T_EXPECT(&c, r == -EBUSY, "returned %d", r);
		if (r != 0)
			T_EXPECT(&c, res.reason == PAGEMV_REASON_PINNED, "%s",
				 pagemv_reason_string(res.reason));
		t_expect_sane(&c, r, &res, t_pages(pages));
		expect_split(&c, a, b, pages, &res);
		t_unpin(pin);
		if (r == 0)
			continue;
		r = exchange(&c, a + res.left_off, b + res.left_off,
			     pages - res.left_off / t_page(), 0, &res);
		T_EXPECT(&c, r == 0, "unpinned: returned %d", r);
		T_RIGHT(&c, t_check_range(a, pages, 5001), "unpinned: a");
		T_RIGHT(&c, t_check_range(b, pages, 1), "unpinned: b");
	}
}

Test(exchange, stops_at_a_pinned_page_of_a)
{
	stop_at_pin(PAGES, 7, false);
}

Test(exchange, stops_at_a_pinned_page_of_b)
{
	stop_at_pin(PAGES, 7, true);
}

Test(exchange, stops_at_a_pinned_page_behind_the_first_steps, .timeout = 30)
{
	stop_at_pin(1300, 1200, true);
}

static void expect_refused(const struct t_case *c, char *a, char *b,
			   size_t pages, uint32_t flags, int error,
			   enum pagemv_reason reason)
{
	struct pagemv_result res;
	int r = exchange(c, a, b, pages, flags, &res);

	t_expect_stopped(c, r, &res, t_pages(pages), error, reason, 0);
}

Test(exchange, refuses_and_changes_nothing)
{
	struct t_case c;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *a = t_case_heap(&c, 2 * PAGES);
		char *b = t_case_heap(&c, PAGES),
		     *plain = t_case_map(&c, PAGES);

		t_fill_range(a, 2 * PAGES, 1);
		t_fill_range(b, PAGES, 101);
		t_fill_range(plain, PAGES, 201);
		expect_refused(&c, a, a + t_page(), PAGES, 0, -EINVAL,
			       PAGEMV_REASON_OVERLAP);
		expect_refused(&c, a, a, PAGES, 0, -EINVAL,
			       PAGEMV_REASON_OVERLAP);
		expect_refused(&c, a, b, PAGES, PAGEMV_MOVE_REPLACE, -EINVAL,
			       PAGEMV_REASON_BAD_OPTIONS);
		expect_refused(&c, a, b, PAGES, PAGEMV_MOVE_KEEP_HEAD, -EINVAL,
			       PAGEMV_REASON_BAD_OPTIONS);
		expect_refused(&c, a, b, 0, 0, -EINVAL,
			       PAGEMV_REASON_ZERO_LENGTH);
		expect_refused(&c, a + 1, b, PAGES, 0, -EINVAL,
			       PAGEMV_REASON_MISALIGNED);
		expect_refused(&c, a, b + 1, PAGES, 0, -EINVAL,
			       PAGEMV_REASON_MISALIGNED);
		expect_refused(&c, a, plain, PAGES, 0, -EINVAL,
			       PAGEMV_REASON_NOT_REGISTERED);
		expect_refused(&c, plain, b, PAGES, 0, -EINVAL,
			       PAGEMV_REASON_NOT_REGISTERED);
		T_RIGHT(&c, t_check_range(a, 2 * PAGES, 1), "a");
		T_RIGHT(&c, t_check_range(b, PAGES, 101), "b");
		T_RIGHT(&c, t_check_range(plain, PAGES, 201), "plain");
	}
}
