/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pagemv_movev(): as many calls of pagemv_move() in the order of the array,
 * with fewer calls of the kernel.
 */
#include "live.h"

#define PAGES 64

static struct pagemv_seg seg_of(char *dst, char *src, size_t pages)
{
	/* The out members start as anything: they must be written. */
	return (struct pagemv_seg){ dst, src, t_pages(pages), 0xa5a5, 77, 88 };
}

static int movev(const struct t_case *c, struct pagemv_seg *segs, size_t n,
		 uint32_t flags, struct pagemv_result *res)
{
	const struct pagemv_move_opts opts = t_opts(c, flags);

	memset(res, 0xa5, sizeof(*res));
	return pagemv_movev(c->pv, segs, n, &opts, res);
}

static void expect_seg(const struct t_case *c, const struct pagemv_seg *s,
		       size_t i, int error, enum pagemv_reason reason,
		       size_t left_pages)
{
	T_EXPECT(c, s[i].error == error, "range %zu: error %d, not %d", i,
		 s[i].error, error);
	T_EXPECT(c, s[i].reason == (uint32_t)reason, "range %zu: %s", i,
		 pagemv_reason_string(s[i].reason));
	T_EXPECT(c, s[i].left_bytes == t_pages(left_pages),
		 "range %zu: left %zu", i, s[i].left_bytes);
}

static void shuffle(struct pagemv_seg *segs, size_t n, uint64_t seed)
{
	struct t_random random = t_random_make(seed);
	size_t i, j;

	for (i = n; i > 1; i--) {
		struct pagemv_seg s = segs[i - 1];

		j = t_random_below(&random, i);
		segs[i - 1] = segs[j];
		segs[j] = s;
	}
}

static void many_neighbours(bool shuffled)
{
	struct pagemv_seg segs[PAGES];
	struct pagemv_result res;
	struct t_case c;
	size_t i;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *heap = t_case_heap(&c, PAGES);
		char *src = t_case_map(&c, PAGES);

		t_fill_range(src, PAGES, 1);
		for (i = 0; i < PAGES; i++)
			segs[i] =
				seg_of(heap + t_pages(i), src + t_pages(i), 1);
		if (shuffled)
			shuffle(segs, PAGES, 5);
		r = movev(&c, segs, PAGES, 0, &res);
		t_expect_done(&c, r, &res, t_pages(PAGES));
		for (i = 0; i < PAGES; i++)
			expect_seg(&c, segs, i, 0, PAGEMV_REASON_NONE, 0);
		T_RIGHT(&c, t_check_range(heap, PAGES, 1), "dst");
		T_RIGHT(&c, t_check_absent(src, PAGES), "src");
		if (c.way == T_MOVE)
			T_EXPECT(&c, res.kernel_calls <= 8,
				 "%u kernel calls for one run",
				 res.kernel_calls);
	}
}

Test(movev, neighbours_move_as_one)
{
	many_neighbours(false);
}

Test(movev, neighbours_far_apart_in_the_array_move_as_one)
{
	many_neighbours(true);
}

Test(movev, scattered_ranges_arrive, .timeout = 30)
{
	struct pagemv_seg segs[PAGES];
	size_t to[PAGES], i, j, t;
	struct pagemv_result res;
	struct t_case c;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *heap = t_case_heap(&c, PAGES);
		char *src = t_case_map(&c, PAGES);
		struct t_random random = t_random_make(c.next);

		t_fill_range(src, PAGES, 1);
		for (i = 0; i < PAGES; i++)
			to[i] = i;
		for (i = PAGES; i > 1; i--) {
			j = t_random_below(&random, i);
			t = to[j];
			to[j] = to[i - 1];
			to[i - 1] = t;
		}
		for (i = 0; i < PAGES; i++)
			segs[i] = seg_of(heap + t_pages(to[i]),
					 src + t_pages(i), 1);
		r = movev(&c, segs, PAGES, 0, &res);
		t_expect_done(&c, r, &res, t_pages(PAGES));
		for (i = 0; i < PAGES; i++)
			T_RIGHT(&c, t_check(heap + t_pages(to[i]), 1 + i, 1),
				"dst");
		T_RIGHT(&c, t_check_absent(src, PAGES), "src");
	}
}

Test(movev, later_ranges_find_what_earlier_ones_did, .timeout = 30)
{
	struct pagemv_seg segs[4];
	struct pagemv_result res;
	struct t_case c;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *h = t_case_heap(&c, 16);

		/* 4..7 make room for 0..3, whose room 8..11 take. */
		t_fill_range(h, 12, 1);
		segs[0] = seg_of(h + t_pages(12), h + t_pages(4), 4);
		segs[1] = seg_of(h + t_pages(4), h, 4);
		segs[2] = seg_of(h, h + t_pages(8), 4);
		r = movev(&c, segs, 3, 0, &res);
		t_expect_done(&c, r, &res, t_pages(12));
		T_RIGHT(&c, t_check_range(h, 4, 9), "third");
		T_RIGHT(&c, t_check_range(h + t_pages(4), 4, 1), "second");
		T_RIGHT(&c, t_check_absent(h + t_pages(8), 4), "free");
		T_RIGHT(&c, t_check_range(h + t_pages(12), 4, 5), "first");
		t_drop(h, 16);

		/* One page goes three times. */
		t_fill(h, 1, 1);
		segs[0] = seg_of(h + t_pages(3), h, 1);
		segs[1] = seg_of(h + t_pages(1), h + t_pages(3), 1);
		segs[2] = seg_of(h + t_pages(9), h + t_pages(1), 1);
		r = movev(&c, segs, 3, 0, &res);
		t_expect_done(&c, r, &res, t_pages(3));
		T_RIGHT(&c, t_check(h + t_pages(9), 1, 1), "the page");
		T_EXPECT(&c, t_count_present(h, 16) == 1, "%zu pages",
			 t_count_present(h, 16));
	}
}

Test(movev, ranges_in_the_wrong_order_fail_one_by_one)
{
	struct pagemv_seg segs[2];
	struct pagemv_result res;
	struct t_case c;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *h = t_case_heap(&c, 13);

		t_fill_range(h, 8, 1);
		/* The first meets pages that the second would take away. */
		segs[0] = seg_of(h + t_pages(4), h, 4);
		segs[1] = seg_of(h + t_pages(9), h + t_pages(4), 4);
		r = movev(&c, segs, 2, 0, &res);
		T_EXPECT(&c, r == -EEXIST, "returned %d", r);
		expect_seg(&c, segs, 0, -EEXIST, PAGEMV_REASON_OCCUPIED, 4);
		expect_seg(&c, segs, 1, 0, PAGEMV_REASON_NONE, 0);
		t_expect_sane(&c, r, &res, t_pages(8));
		T_EXPECT(&c, res.left_off == 0 && res.left_bytes == t_pages(4),
			 "left %zu at %zu", res.left_bytes, res.left_off);
		T_RIGHT(&c, t_check_range(h, 4, 1), "first");
		T_RIGHT(&c, t_check_absent(h + t_pages(4), 4), "taken away");
		T_RIGHT(&c, t_check_range(h + t_pages(9), 4, 5), "second");
	}
}

/*
 * Ranges that follow each other are moved as one, as memmove() would: that
 * can succeed where one after the other would not. Nothing is lost in either.
 */
Test(movev, ranges_that_follow_each_other_may_overlap)
{
	struct pagemv_seg segs[2];
	struct pagemv_result res;
	struct t_census census;
	struct t_case c;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *h = t_case_heap(&c, 12);

		t_fill_range(h, 8, 1);
		segs[0] = seg_of(h + t_pages(4), h, 4);
		segs[1] = seg_of(h + t_pages(8), h + t_pages(4), 4);
		r = movev(&c, segs, 2, 0, &res);
		T_EXPECT(&c, r == 0 || r == -EEXIST, "returned %d", r);
		t_expect_sane(&c, r, &res, t_pages(8));
		if (r == 0)
			T_RIGHT(&c, t_check_range(h + t_pages(4), 8, 1), "dst");
		t_census_open(&census, 8);
		t_census_take(&census, h, 12);
		T_RIGHT(&c, t_census_verdict(&census), "census");
		t_census_close(&census);
	}
}

/* Five ranges of four pages with room between them, so that none coalesce. */
static void five(struct pagemv_seg *segs, char *heap, char *src)
{
	size_t i;

	for (i = 0; i < 5; i++)
		segs[i] =
			seg_of(heap + t_pages(6 * i), src + t_pages(5 * i), 4);
}

Test(movev, a_range_that_fails_does_not_stop_the_others, .timeout = 30)
{
	struct pagemv_seg segs[5];
	struct pagemv_result res;
	struct t_case c;
	size_t i;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *heap = t_case_heap(&c, 40), *src = t_case_map(&c, 30);

		t_fill_range(src, 30, 1);
		five(segs, heap, src);
		t_drop(src + t_pages(5 + 2), 1);       /* hole in [1] */
		t_fill(heap + t_pages(18 + 1), 99, 1); /* in the way of [3] */
		r = movev(&c, segs, 5, 0, &res);
		T_EXPECT(&c, r == -ENOENT, "returned %d", r);
		T_EXPECT(&c, res.reason == PAGEMV_REASON_HOLE, "%s",
			 pagemv_reason_string(res.reason));
		t_expect_sane(&c, r, &res, t_pages(20));
		T_EXPECT(&c, res.left_off == t_pages(4 + 2), "left_off %zu",
			 res.left_off);
		T_EXPECT(&c, res.left_bytes == t_pages(2 + 3), "left %zu",
			 res.left_bytes);
		for (i = 0; i < 5; i += 2) {
			expect_seg(&c, segs, i, 0, PAGEMV_REASON_NONE, 0);
			T_RIGHT(&c,
				t_check_range(heap + t_pages(6 * i), 4,
					      1 + 5 * i),
				"dst");
			T_RIGHT(&c, t_check_absent(src + t_pages(5 * i), 4),
				"src");
		}
		expect_seg(&c, segs, 1, -ENOENT, PAGEMV_REASON_HOLE, 2);
		expect_seg(&c, segs, 3, -EEXIST, PAGEMV_REASON_OCCUPIED, 3);
		T_RIGHT(&c, t_check_range(heap + t_pages(6), 2, 6), "[1] dst");
		T_RIGHT(&c, t_check(src + t_pages(8), 9, 1), "[1] left");
		T_RIGHT(&c, t_check(heap + t_pages(18), 16, 1), "[3] dst");
		T_RIGHT(&c, t_check(heap + t_pages(19), 99, 1), "[3] there");
		T_RIGHT(&c, t_check_range(src + t_pages(16), 3, 17),
			"[3] left");
	}
}

Test(movev, a_range_that_is_refused_does_not_stop_the_others, .timeout = 30)
{
	struct pagemv_seg segs[5];
	struct pagemv_result res;
	struct t_case c;
	size_t i;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *heap = t_case_heap(&c, 40), *src = t_case_map(&c, 30);

		t_fill_range(src, 30, 1);
		five(segs, heap, src);
		segs[1].src = src + t_pages(5) + 1;
		segs[3].dst = src + t_pages(26);
		r = movev(&c, segs, 5, 0, &res);
		T_EXPECT(&c, r == -EINVAL, "returned %d", r);
		T_EXPECT(&c, res.reason == PAGEMV_REASON_MISALIGNED, "%s",
			 pagemv_reason_string(res.reason));
		t_expect_sane(&c, r, &res, t_pages(20));
		for (i = 0; i < 5; i += 2) {
			expect_seg(&c, segs, i, 0, PAGEMV_REASON_NONE, 0);
			T_RIGHT(&c,
				t_check_range(heap + t_pages(6 * i), 4,
					      1 + 5 * i),
				"dst");
		}
		expect_seg(&c, segs, 1, -EINVAL, PAGEMV_REASON_MISALIGNED, 4);
		expect_seg(&c, segs, 3, -EINVAL, PAGEMV_REASON_NOT_REGISTERED,
			   4);
		T_RIGHT(&c, t_check_range(src + t_pages(5), 4, 6), "[1]");
		T_RIGHT(&c, t_check_range(src + t_pages(15), 4, 16), "[3]");
	}
}

Test(movev, a_failure_inside_a_run_is_told_range_by_range, .timeout = 30)
{
	struct pagemv_seg segs[8];
	struct pagemv_result res;
	struct t_census census;
	struct t_case c;
	size_t i, left = 0;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *heap = t_case_heap(&c, 16), *src = t_case_map(&c, 16);

		t_fill_range(src, 16, 1);
		t_fill(heap + t_pages(7), 17, 1); /* in the way of [3] */
		for (i = 0; i < 8; i++)
			segs[i] = seg_of(heap + t_pages(2 * i),
					 src + t_pages(2 * i), 2);
		r = movev(&c, segs, 8, 0, &res);
		T_EXPECT(&c, r == -EEXIST, "returned %d", r);
		t_expect_sane(&c, r, &res, t_pages(16));
		T_EXPECT(&c, res.left_off == t_pages(7), "left_off %zu",
			 res.left_off);
		for (i = 0; i < 3; i++)
			expect_seg(&c, segs, i, 0, PAGEMV_REASON_NONE, 0);
		expect_seg(&c, segs, 3, -EEXIST, PAGEMV_REASON_OCCUPIED, 1);
		for (i = 0, left = 0; i < 8; i++) {
			size_t here = t_count_present(src + t_pages(2 * i), 2);

			T_EXPECT(&c, segs[i].left_bytes == t_pages(here),
				 "range %zu: left %zu, %zu pages at src", i,
				 segs[i].left_bytes, here);
			T_EXPECT(&c, (segs[i].error != 0) == (here != 0),
				 "range %zu: error %d with %zu pages at src", i,
				 segs[i].error, here);
			left += segs[i].left_bytes;
		}
		T_EXPECT(&c, left == res.left_bytes, "%zu, not %zu", left,
			 res.left_bytes);
		t_census_open(&census, 17);
		t_census_take(&census, heap, 16);
		t_census_take(&census, src, 16);
		T_RIGHT(&c, t_census_verdict(&census), "census");
		t_census_close(&census);
	}
}

Test(movev, the_last_of_several_that_replace_wins)
{
	struct pagemv_seg segs[3];
	struct pagemv_result res;
	struct t_case c;
	size_t i;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *heap = t_case_heap(&c, 4), *src = t_case_map(&c, 12);

		t_fill_range(src, 12, 1);
		for (i = 0; i < 3; i++)
			segs[i] = seg_of(heap, src + t_pages(4 * i), 4);
		r = movev(&c, segs, 3, PAGEMV_MOVE_REPLACE, &res);
		t_expect_done(&c, r, &res, t_pages(12));
		T_RIGHT(&c, t_check_range(heap, 4, 9), "dst");
		T_RIGHT(&c, t_check_absent(src, 12), "src");
	}
}

Test(movev, takes_holes_along_when_asked)
{
	struct pagemv_seg segs[5];
	struct pagemv_result res;
	struct t_case c;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *heap = t_case_heap(&c, 40), *src = t_case_map(&c, 30);

		t_fill_range(src, 30, 1);
		five(segs, heap, src);
		t_drop(src + t_pages(1), 2);
		t_drop(src + t_pages(20), 1);
		r = movev(&c, segs, 5, PAGEMV_MOVE_HOLES, &res);
		T_EXPECT(&c, r == 0, "returned %d", r);
		t_expect_sane(&c, r, &res, t_pages(20));
		T_EXPECT(&c, res.hole_bytes == t_pages(3), "holes %zu",
			 res.hole_bytes);
		T_EXPECT(&c, t_count_present(heap, 40) == 17, "%zu pages",
			 t_count_present(heap, 40));
	}
}

Test(movev, none_at_all_is_fine_and_null_is_not)
{
	struct pagemv_result res;
	struct t_case c;
	int r;

	t_cases(&c, T_WAY_BIT(T_AUTO));
	while (t_next_case(&c)) {
		r = movev(&c, NULL, 0, 0, &res);
		T_EXPECT(&c, r == 0, "returned %d", r);
		T_EXPECT(&c,
			 res.error == 0 && res.left_bytes == 0 &&
				 res.left_off == 0,
			 "the result is not empty");
		r = movev(&c, NULL, 2, 0, &res);
		T_EXPECT(&c, r == -EINVAL, "returned %d", r);
		T_EXPECT(&c, res.reason == PAGEMV_REASON_BAD_OPTIONS, "%s",
			 pagemv_reason_string(res.reason));
	}
}

Test(movev, does_without_a_result)
{
	struct pagemv_seg segs[5];
	struct t_case c;

	t_cases(&c, T_WAY_BIT(T_AUTO));
	while (t_next_case(&c)) {
		char *heap = t_case_heap(&c, 40), *src = t_case_map(&c, 30);

		t_fill_range(src, 30, 1);
		five(segs, heap, src);
		errno = 4242;
		T_EXPECT(&c, pagemv_movev(c.pv, segs, 5, NULL, NULL) == 0,
			 "failed");
		T_EXPECT(&c, errno == 4242, "errno became %d", errno);
		expect_seg(&c, segs, 4, 0, PAGEMV_REASON_NONE, 0);
	}
}
