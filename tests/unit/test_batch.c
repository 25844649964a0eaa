/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sweep.h"

#include <stdio.h>
#include <sys/mman.h>

#include "staging.h"
#include "slow.h"

#define PAGES 8

/* Each page a range, in the order given, all at their own offsets. */
static void make_segs(const struct scene *s, const unsigned int *order,
		      size_t n, struct pagemv_seg *segs)
{
	for (size_t i = 0; i < n; i++)
		segs[i] = (struct pagemv_seg){
			.dst = s->heap + t_pages(order[i]),
			.src = s->src + t_pages(order[i]),
			.len_bytes = t_page(),
			.left_bytes = 4711,
			.error = 4711,
			.reason = 4711,
		};
}

static const unsigned int in_order[PAGES] = { 0, 1, 2, 3, 4, 5, 6, 7 };
static const unsigned int mixed[PAGES] = { 5, 2, 7, 0, 3, 6, 1, 4 };

/* What is told of each range, and their sum. */
static const char *segs_wrong(const struct pagemv_seg *segs, size_t n, int rc,
			      const struct pagemv_result *res)
{
	size_t left = 0, bytes = 0;
	int first = 0;

	for (size_t i = 0; i < n; i++) {
		left += segs[i].left_bytes;
		bytes += segs[i].len_bytes;
		if (!first)
			first = segs[i].error;
		if (segs[i].left_bytes > segs[i].len_bytes)
			return "more is left of a range than it has";
		if ((segs[i].error == 0) != (segs[i].reason == 0))
			return "an error without a reason, or the reverse";
		if (segs[i].len_bytes &&
		    (segs[i].error == 0) != (segs[i].left_bytes == 0))
			return "an error with nothing left, or the reverse";
	}
	if (left != res->left_bytes)
		return "what is left of the ranges is not the sum";
	if (first != rc)
		return "not the error of the first range that failed";
	return result_wrong(rc, res, bytes);
}

Test(batch, ranges_in_a_row_are_one_call)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_seg segs[PAGES];
	struct pagemv_result res;
	int rc;

	make_segs(&s, in_order, PAGES, segs);
	rc = pagemv_movev(s.pv, segs, PAGES, NULL, &res);
	cr_expect(rc == 0);
	EXPECT_RIGHT(segs_wrong(segs, PAGES, rc, &res));
	cr_expect(fake_total() == 1, "%u", fake_total());
	EXPECT_RIGHT(t_check_range(s.heap, PAGES, 1));
	scene_close(&s);
}

Test(batch, ranges_out_of_order_are_sorted_into_one_call)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_seg segs[PAGES];
	struct pagemv_result res;
	int rc;

	make_segs(&s, mixed, PAGES, segs);
	rc = pagemv_movev(s.pv, segs, PAGES, NULL, &res);
	cr_expect(rc == 0);
	EXPECT_RIGHT(segs_wrong(segs, PAGES, rc, &res));
	cr_expect(fake_count(FAKE_MOVE) == 1);
	for (size_t i = 0; i < PAGES; i++)
		cr_expect(segs[i].src == s.src + t_pages(mixed[i]),
			  "the array is not the library's to sort");
	EXPECT_RIGHT(t_check_range(s.heap, PAGES, 1));
	scene_close(&s);
}

Test(batch, ranges_apart_are_a_call_each)
{
	struct scene s = scene_open(PAGES, NULL);
	static const unsigned int even[4] = { 6, 2, 0, 4 };
	struct pagemv_seg segs[4];
	struct pagemv_result res;

	make_segs(&s, even, 4, segs);
	cr_expect(pagemv_movev(s.pv, segs, 4, NULL, &res) == 0);
	cr_expect(fake_count(FAKE_MOVE) == 4);
	cr_expect(res.kernel_calls == 4);
	cr_expect(res.moved_bytes == t_pages(4) && res.left_off == t_pages(4));
	scene_close(&s);
}

Test(batch, neighbours_at_one_side_only_are_not_joined)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_seg segs[2] = {
		{ .dst = s.heap, .src = s.src, .len_bytes = t_page() },
		{ .dst = s.heap + t_pages(4),
		  .src = s.src + t_page(),
		  .len_bytes = t_page() },
	};
	struct pagemv_result res;

	cr_expect(pagemv_movev(s.pv, segs, 2, NULL, &res) == 0);
	cr_expect(fake_count(FAKE_MOVE) == 2);
	EXPECT_RIGHT(t_check(s.heap, 1, 1));
	EXPECT_RIGHT(t_check(s.heap + t_pages(4), 2, 1));
	scene_close(&s);
}

Test(batch, a_range_that_fails_does_not_stop_the_others)
{
	for (size_t bad = 0; bad < PAGES; bad++) {
		struct scene s = scene_open(PAGES, NULL);
		struct pagemv_seg segs[PAGES];
		struct pagemv_result res;
		int rc;

		make_segs(&s, mixed, PAGES, segs);
		fake_pin(s.src + t_pages(mixed[bad]));
		rc = pagemv_movev(s.pv, segs, PAGES, NULL, &res);
		EXPECT_STOPPED(rc, &res, -EBUSY, PAGEMV_REASON_PINNED);
		EXPECT_RIGHT(segs_wrong(segs, PAGES, rc, &res));
		for (size_t i = 0; i < PAGES; i++)
			cr_expect(segs[i].error == (i == bad ? -EBUSY : 0),
				  "pinned %zu: range %zu: %d", bad, i,
				  segs[i].error);
		cr_expect(res.left_off == t_pages(bad), "%zu, not %zu",
			  res.left_off, t_pages(bad));
		cr_expect(res.moved_bytes == t_pages(PAGES - 1));
		EXPECT_RIGHT(pages_wrong(s.heap, s.src, PAGES, &res));
		fake_behave();
		scene_close(&s);
	}
}

Test(batch, each_failing_range_has_its_own_error)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_seg segs[PAGES];
	struct pagemv_result res;
	int rc;

	make_segs(&s, in_order, PAGES, segs);
	t_fill(s.heap + t_pages(2), 99, 1);
	fake_pin(s.src + t_pages(4));
	t_drop(s.src + t_pages(6), 1);
	rc = pagemv_movev(s.pv, segs, PAGES, NULL, &res);
	EXPECT_STOPPED(rc, &res, -EEXIST, PAGEMV_REASON_OCCUPIED);
	EXPECT_RIGHT(segs_wrong(segs, PAGES, rc, &res));
	cr_expect(segs[2].error == -EEXIST);
	cr_expect(segs[4].error == -EBUSY);
	cr_expect(segs[6].error == -ENOENT);
	cr_expect(res.left_off == t_pages(2));
	cr_expect(res.left_bytes == t_pages(3));
	scene_close(&s);
}

Test(batch, a_range_illegal_by_itself_is_not_made_legal_by_its_neighbour)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_seg segs[] = {
		{ .dst = s.heap, .src = s.src, .len_bytes = 100 },
		{ .dst = s.heap + 100,
		  .src = s.src + 100,
		  .len_bytes = t_page() - 100 },
		{ .dst = s.heap + t_page(),
		  .src = s.src + t_page(),
		  .len_bytes = 0 },
		{ .dst = s.heap + t_page(),
		  .src = s.src + t_page(),
		  .len_bytes = t_page() },
	};
	struct pagemv_result res;
	int rc = pagemv_movev(s.pv, segs, T_COUNT(segs), NULL, &res);

	EXPECT_STOPPED(rc, &res, -EINVAL, PAGEMV_REASON_MISALIGNED);
	EXPECT_RIGHT(segs_wrong(segs, T_COUNT(segs), rc, &res));
	cr_expect(segs[0].error == -EINVAL && segs[1].error == -EINVAL);
	cr_expect(segs[2].error == -EINVAL &&
		  segs[2].reason == PAGEMV_REASON_ZERO_LENGTH);
	cr_expect(segs[3].error == 0);
	EXPECT_RIGHT(t_check(s.src, 1, 1));
	EXPECT_RIGHT(t_check(s.heap + t_page(), 2, 1));
	scene_close(&s);
}

Test(batch, the_error_of_the_first_failing_range_is_returned)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_seg segs[] = {
		{ .dst = s.heap + t_pages(4), .src = s.src, .len_bytes = 0 },
		{ .dst = s.heap, .src = s.src, .len_bytes = t_page() },
	};
	struct pagemv_result res;
	int rc;

	t_drop(s.src, 1);
	rc = pagemv_movev(s.pv, segs, T_COUNT(segs), NULL, &res);
	EXPECT_STOPPED(rc, &res, -EINVAL, PAGEMV_REASON_ZERO_LENGTH);
	cr_expect(segs[1].error == -ENOENT);
	scene_close(&s);
}

/* Each page to where the next one is, as separate ranges. */
static void make_chain(const struct scene *s, size_t n, bool from_end,
		       struct pagemv_seg *segs)
{
	for (size_t i = 0; i < n; i++) {
		size_t at = from_end ? n - 1 - i : i;

		segs[i] = (struct pagemv_seg){
			.dst = s->heap + t_pages(at + (from_end ? 1 : 0)),
			.src = s->heap + t_pages(at + (from_end ? 0 : 1)),
			.len_bytes = t_page(),
		};
	}
}

Test(batch, order_is_kept_where_it_makes_a_difference)
{
	struct scene s = scene_open(PAGES + 1, NULL);
	struct pagemv_seg segs[PAGES];
	struct pagemv_result res;

	t_fill_range(s.heap, PAGES, 1);
	make_chain(&s, PAGES, true, segs);
	cr_expect(pagemv_movev(s.pv, segs, PAGES, NULL, &res) == 0);
	EXPECT_RIGHT(t_check_range(s.heap + t_page(), PAGES, 1));
	make_chain(&s, PAGES, false, segs);
	cr_expect(pagemv_movev(s.pv, segs, PAGES, NULL, &res) == 0);
	EXPECT_RIGHT(t_check_range(s.heap, PAGES, 1));
	scene_close(&s);
}

Test(batch, a_chain_in_the_wrong_order_fails_where_single_calls_would)
{
	struct scene s = scene_open(PAGES + 1, NULL);
	struct pagemv_seg segs[2] = {
		{ .dst = s.heap + t_page(),
		  .src = s.heap,
		  .len_bytes = t_page() },
		{ .dst = s.heap + t_pages(2),
		  .src = s.heap + t_page(),
		  .len_bytes = t_page() },
	};
	struct pagemv_result res;
	int rc;

	t_fill_range(s.heap, 2, 1);
	rc = pagemv_movev(s.pv, segs, 2, NULL, &res);
	EXPECT_STOPPED(rc, &res, -EEXIST, PAGEMV_REASON_OCCUPIED);
	cr_expect(segs[0].error == -EEXIST && segs[1].error == 0);
	EXPECT_RIGHT(t_check(s.heap, 1, 1));
	EXPECT_RIGHT(t_check(s.heap + t_pages(2), 2, 1));
	scene_close(&s);
}

Test(batch, more_ranges_than_a_window_holds)
{
	enum { MANY = 1000 };
	static struct pagemv_seg segs[MANY];
	static unsigned int order[MANY];
	struct scene s = scene_open(MANY, NULL);
	struct t_random r = t_random_make(3);
	struct pagemv_result res;
	int rc;

	for (unsigned int i = 0; i < MANY; i++)
		order[i] = i;
	for (unsigned int i = MANY - 1; i > 0; i--) {
		unsigned int j = (unsigned int)t_random_below(&r, i + 1);
		unsigned int k = order[i];

		order[i] = order[j];
		order[j] = k;
	}
	make_segs(&s, order, MANY, segs);
	rc = pagemv_movev(s.pv, segs, MANY, NULL, &res);
	cr_expect(rc == 0);
	EXPECT_RIGHT(segs_wrong(segs, MANY, rc, &res));
	EXPECT_RIGHT(t_check_range(s.heap, MANY, 1));
	cr_expect(fake_count(FAKE_MOVE) < MANY, "some of them are neighbours");
	scene_close(&s);
}

Test(batch, an_error_in_a_later_window_is_at_its_offset)
{
	enum { MANY = 300, BAD = 290 };
	static struct pagemv_seg segs[MANY];
	static unsigned int order[MANY];
	struct scene s = scene_open(MANY, NULL);
	struct pagemv_result res;
	int rc;

	for (unsigned int i = 0; i < MANY; i++)
		order[i] = i;
	make_segs(&s, order, MANY, segs);
	fake_pin(s.src + t_pages(BAD));
	rc = pagemv_movev(s.pv, segs, MANY, NULL, &res);
	EXPECT_STOPPED(rc, &res, -EBUSY, PAGEMV_REASON_PINNED);
	EXPECT_RIGHT(segs_wrong(segs, MANY, rc, &res));
	cr_expect(res.left_off == t_pages(BAD));
	cr_expect(segs[BAD].error == -EBUSY);
	scene_close(&s);
}

Test(batch, an_empty_vector_is_success)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;

	cr_expect(pagemv_movev(s.pv, NULL, 0, NULL, &res) == 0);
	EXPECT_SANE(0, &res, 0);
	cr_expect(fake_total() == 0);
	scene_close(&s);
}

Test(batch, bad_options_are_told_of_every_range)
{
	struct pagemv_move_opts opts = { .size = sizeof(opts),
					 .flags = 1u << 31 };
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_seg segs[PAGES];
	struct pagemv_result res;
	int rc;

	make_segs(&s, mixed, PAGES, segs);
	rc = pagemv_movev(s.pv, segs, PAGES, &opts, &res);
	EXPECT_STOPPED(rc, &res, -EINVAL, PAGEMV_REASON_BAD_OPTIONS);
	EXPECT_RIGHT(segs_wrong(segs, PAGES, rc, &res));
	make_segs(&s, mixed, PAGES, segs);
	rc = pagemv_movev(NULL, segs, PAGES, NULL, &res);
	EXPECT_STOPPED(rc, &res, -EINVAL, PAGEMV_REASON_BAD_OPTIONS);
	EXPECT_RIGHT(segs_wrong(segs, PAGES, rc, &res));
	rc = pagemv_movev(s.pv, NULL, 3, NULL, &res);
	EXPECT_STOPPED(rc, &res, -EINVAL, PAGEMV_REASON_BAD_OPTIONS);
	cr_expect(fake_total() == 0);
	scene_close(&s);
}

Test(batch, skipped_pages_belong_to_their_range)
{
	struct pagemv_move_opts opts = { .size = sizeof(opts),
					 .busy = PAGEMV_BUSY_SKIP };
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_seg segs[PAGES];
	struct pagemv_result res;
	int rc;

	make_segs(&s, in_order, PAGES, segs);
	fake_pin(s.src + t_pages(2));
	fake_pin(s.src + t_pages(5));
	rc = pagemv_movev(s.pv, segs, PAGES, &opts, &res);
	EXPECT_STOPPED(rc, &res, -EBUSY, PAGEMV_REASON_PINNED);
	EXPECT_RIGHT(segs_wrong(segs, PAGES, rc, &res));
	for (size_t i = 0; i < PAGES; i++)
		cr_expect(segs[i].error == (i == 2 || i == 5 ? -EBUSY : 0));
	scene_close(&s);
}

/* ---- one call of the companion ---- */

static const struct way companion = {
	"companion", 0, PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE),
	0,	     0, PAGEMV_MECH_BIT(PAGEMV_MECH_COMPANION)
};

static const unsigned int apart[4] = { 6, 2, 0, 4 };

Test(batch, ranges_apart_are_one_call_of_the_companion)
{
	struct scene s = scene_open(PAGES, &companion);
	struct pagemv_stats stats = { .size = sizeof(stats) };
	struct pagemv_seg segs[4];
	struct pagemv_result res;
	int rc;

	make_segs(&s, apart, 4, segs);
	rc = pagemv_movev(s.pv, segs, 4, NULL, &res);
	cr_expect(rc == 0);
	EXPECT_RIGHT(segs_wrong(segs, 4, rc, &res));
	cr_expect(fake_total() == 1 && fake_count(FAKE_REMAPV) == 1);
	cr_expect(res.kernel_calls == 1 && res.moved_bytes == t_pages(4));
	cr_expect(res.mechanisms == companion.uses);
	cr_expect(res.left_off == t_pages(4));
	for (size_t i = 0; i < 4; i++)
		EXPECT_RIGHT(
			t_check(s.heap + t_pages(apart[i]), apart[i] + 1, 1));
	cr_expect(pagemv_stats(s.pv, &stats) == 0);
	cr_expect(stats.calls == 4 && stats.kernel_calls == 1);
	cr_expect(stats.moved_bytes == t_pages(4));
	scene_close(&s);
}

/* Pages 0 and 1, and 4 to 6. */
Test(batch, neighbours_are_one_range_of_the_vector)
{
	static const unsigned int order[5] = { 5, 1, 4, 0, 6 };
	struct scene s = scene_open(PAGES, &companion);
	struct pagemv_seg segs[5];
	struct pagemv_result res;
	int rc;

	make_segs(&s, order, 5, segs);
	fake_pin(s.src + t_pages(5));
	rc = pagemv_movev(s.pv, segs, 5, NULL, &res);
	EXPECT_STOPPED(rc, &res, -EBUSY, PAGEMV_REASON_PINNED);
	EXPECT_RIGHT(segs_wrong(segs, 5, rc, &res));
	cr_expect(fake_count(FAKE_REMAPV) == 1);
	for (size_t i = 0; i < 5; i++)
		cr_expect(segs[i].error == (order[i] == 5 ? -EBUSY : 0));
	cr_expect(res.moved_bytes == t_pages(4) && res.left_off == 0);
	EXPECT_RIGHT(t_check_range(s.heap, 2, 1));
	EXPECT_RIGHT(t_check(s.heap + t_pages(4), 5, 1));
	EXPECT_RIGHT(t_check(s.src + t_pages(5), 6, 1));
	EXPECT_RIGHT(t_check(s.heap + t_pages(6), 7, 1));
	fake_behave();
	scene_close(&s);
}

Test(batch, each_range_of_a_vector_has_its_own_fate)
{
	for (size_t bad = 0; bad < 4; bad++) {
		struct scene s = scene_open(PAGES, &companion);
		struct pagemv_stats stats = { .size = sizeof(stats) };
		struct pagemv_seg segs[4];
		struct pagemv_result res;
		int rc;

		make_segs(&s, apart, 4, segs);
		t_drop(s.src + t_pages(apart[bad]), 1);
		rc = pagemv_movev(s.pv, segs, 4, NULL, &res);
		EXPECT_STOPPED(rc, &res, -ENOENT, PAGEMV_REASON_HOLE);
		EXPECT_RIGHT(segs_wrong(segs, 4, rc, &res));
		for (size_t i = 0; i < 4; i++)
			cr_expect(segs[i].error == (i == bad ? -ENOENT : 0));
		cr_expect(res.left_off == t_pages(bad));
		cr_expect(pagemv_stats(s.pv, &stats) == 0);
		cr_expect(stats.calls == 4 && stats.failed_calls == 1);
		cr_expect(stats.kernel_calls == res.kernel_calls);
		scene_close(&s);
	}
}

Test(batch, a_vector_that_is_refused_goes_range_by_range)
{
	static const int errors[] = { -EAGAIN, -EBUSY,	-EFAULT, -EINVAL,
				      -ENOMEM, -ENOTTY, -EPERM,	 -E2BIG };

	for (size_t i = 0; i < T_COUNT(errors); i++) {
		struct scene s = scene_open(PAGES, &companion);
		struct pagemv_seg segs[4];
		struct pagemv_result res;
		int rc;

		make_segs(&s, apart, 4, segs);
		fake_fail(FAKE_REMAPV, 1, errors[i]);
		rc = pagemv_movev(s.pv, segs, 4, NULL, &res);
		cr_expect(rc == 0 && res.moved_bytes == t_pages(4));
		EXPECT_RIGHT(segs_wrong(segs, 4, rc, &res));
		cr_expect(fake_count(FAKE_REMAP) == 4);
		scene_close(&s);
	}
}

/* So many of its ranges are done, and then it ends. */
Test(batch, a_vector_may_end_at_each_place)
{
	for (size_t n = 1; n < 4; n++) {
		struct scene s = scene_open(PAGES, &companion);
		struct pagemv_seg segs[4];
		struct pagemv_result res;
		int rc;

		make_segs(&s, apart, 4, segs);
		fake_add((struct fake_rule){
			.call = FAKE_REMAPV, .error = -EAGAIN, .really = n });
		rc = pagemv_movev(s.pv, segs, 4, NULL, &res);
		cr_expect(rc == 0 && res.moved_bytes == t_pages(4));
		cr_expect(res.kernel_calls == 1 + (4 - n), "%u",
			  res.kernel_calls);
		EXPECT_RIGHT(segs_wrong(segs, 4, rc, &res));
		scene_close(&s);
	}
}

Test(batch, what_is_not_plain_is_not_in_the_vector)
{
	struct scene s = scene_open(PAGES, &companion);
	struct pagemv_move_opts opts = { .size = sizeof(opts) };
	struct pagemv_seg segs[4];
	struct pagemv_result res;
	char *other = t_map(1);

	/* Of no region; misaligned. */
	make_segs(&s, apart, 4, segs);
	segs[1].dst = other;
	segs[3].len_bytes = 100;
	cr_expect(pagemv_movev(s.pv, segs, 4, NULL, &res) == -EINVAL);
	cr_expect(segs[0].error == 0 && segs[2].error == 0);
	cr_expect(segs[1].reason == PAGEMV_REASON_NOT_REGISTERED);
	cr_expect(segs[3].reason == PAGEMV_REASON_MISALIGNED);
	cr_expect(fake_count(FAKE_REMAPV) == 1);
	/* Flags that need the engine; another mechanism. */
	fake_forget_counts();
	t_drop(s.heap, PAGES);
	t_fill_range(s.src, PAGES, 1);
	make_segs(&s, apart, 4, segs);
	opts.flags = PAGEMV_MOVE_HOLES;
	cr_expect(pagemv_movev(s.pv, segs, 2, &opts, &res) == 0);
	opts.flags = 0;
	opts.busy = PAGEMV_BUSY_REMAP;
	cr_expect(pagemv_movev(s.pv, segs + 2, 2, &opts, &res) == -EOPNOTSUPP);
	cr_expect(segs[2].reason == PAGEMV_REASON_LAYOUT);
	opts.busy = 0;
	opts.mechanism = PAGEMV_MECH_COPY;
	cr_expect(pagemv_movev(s.pv, segs + 2, 2, &opts, &res) == 0);
	cr_expect(fake_count(FAKE_REMAPV) == 0);
	t_unmap(other, 1);
	scene_close(&s);
}

/* ---- every call fails once ---- */

struct bed {
	struct scene s;
	const struct way *way;
	bool apart; /* every second page */
	size_t lost;
};

static const char *places_wrong(const struct bed *b,
				const struct pagemv_result *res)
{
	const struct sweep_place places[] = {
		{ b->s.heap, PAGES },
		{ b->s.src, PAGES },
		{ res->stray, res->stray_bytes / t_page() },
	};

	if (b->way->flags & PAGEMV_MOVE_QUIESCENT && sweep_stuck())
		return NULL; /* could be thrown away at neither side */
	return sweep_lost(places, T_COUNT(places), PAGES, 0);
}

static const char *movev_wrong(void *arg)
{
	struct bed *b = arg;
	const struct pagemv_move_opts opts = { .size = sizeof(opts),
					       .flags = b->way->flags,
					       .mechanism = b->way->mechanism };
	struct pagemv_seg segs[PAGES];
	struct pagemv_result res;
	size_t mapped, n = b->apart ? T_COUNT(apart) : PAGES;
	const char *wrong;
	int rc;

	t_drop(b->s.heap, PAGES);
	t_fill_range(b->s.src, PAGES, 1);
	make_segs(&b->s, b->apart ? apart : mixed, n, segs);
	rc = pagemv_movev(b->s.pv, segs, n, &opts, &res);
	fake_behave();
	wrong = segs_wrong(segs, n, rc, &res);
	if (!wrong)
		wrong = places_wrong(b, &res);
	take_stray(&res);
	mapped = fake_mapped_bytes();
	if (fake_injected(FAKE_MUNMAP))
		b->lost = mapped;
	if (!wrong && mapped > b->lost + PMV_STAGING_BYTES + t_pages(2))
		wrong = "mappings leak";
	if (!wrong && !sweep_known_error(rc))
		wrong = "not an error of pagemv_movev()";
	return wrong;
}

Test(batch, no_failing_call_loses_a_page, .timeout = 60)
{
	for (size_t i = 0; i < n_ways; i++) {
		struct bed b = { .way = &ways[i] };

		fake_reset();
		b.s = scene_open(PAGES, b.way);
		sweep(b.way->name, movev_wrong, &b);
		pagemv_close(b.s.pv);
	}
}

Test(batch, no_failing_call_loses_a_page_of_a_vector, .timeout = 60)
{
	struct bed b = { .way = &companion, .apart = true };

	fake_reset();
	b.s = scene_open(PAGES, b.way);
	sweep("vector", movev_wrong, &b);
	pagemv_close(b.s.pv);
}
