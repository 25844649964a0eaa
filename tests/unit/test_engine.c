/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine.h"

#include "scene.h"

#define PAGES 8

static int64_t count(size_t pages)
{
	return (int64_t)t_pages(pages);
}

/* EAGAIN after pages that were really moved and counted. */
static struct fake_rule partial(size_t pages)
{
	return (struct fake_rule){ .call = FAKE_MOVE,
				   .error = -EAGAIN,
				   .really = t_pages(pages),
				   .tell = true,
				   .told = count(pages) };
}

Test(engine, a_successful_move_is_one_system_call)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc = scene_move(&s, 0, &res);

	cr_expect(fake_total() == 1, "%u system calls", fake_total());
	cr_expect(fake_count(FAKE_MOVE) == 1);
	expect_all_moved(&s, rc, &res);
	cr_expect(res.kernel_calls == 1);
	cr_expect(res.repaired_bytes == 0);
	cr_expect(res.mechanisms == PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE));
	scene_close(&s);
}

Test(engine, progress_is_followed_by_the_rest)
{
	struct scene s = scene_open(PAGES, NULL);
	struct fake_rule second = partial(1);
	struct pagemv_result res;
	int rc;

	fake_add(partial(3));
	second.nth = 2;
	fake_add(second);
	rc = scene_move(&s, 0, &res);
	expect_all_moved(&s, rc, &res);
	cr_expect(res.kernel_calls == 3, "%u", res.kernel_calls);
	/* No wait between them, as something has moved. */
	cr_expect(fake_count(FAKE_YIELD) + fake_count(FAKE_SLEEP) == 0);
	scene_close(&s);
}

Test(engine, progress_starts_the_patience_anew)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	for (size_t i = 0; i < 3; i++) {
		struct fake_rule some = partial(1);

		some.nth = (unsigned int)(i + 1) * PMV_IDLE_MAX;
		fake_add(some);
	}
	fake_add((struct fake_rule){ .call = FAKE_MOVE,
				     .times = 4 * PMV_IDLE_MAX - 10,
				     .error = -EAGAIN });
	rc = scene_move(&s, 0, &res);
	expect_all_moved(&s, rc, &res);
	scene_close(&s);
}

Test(engine, a_partial_count_may_come_with_any_answer_next)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	fake_add(partial(2));
	fake_fail(FAKE_MOVE, 2, -EBUSY);
	fake_fail(FAKE_MOVE, 3, -EAGAIN);
	fake_fail(FAKE_MOVE, 4, -ENOENT);
	fake_fail(FAKE_MOVE, 5, -EEXIST);
	fake_fail(FAKE_MOVE, 6, -EINVAL);
	rc = scene_move(&s, 0, &res);
	expect_all_moved(&s, rc, &res);
	scene_close(&s);
}

Test(engine, several_mappings_are_moved_piece_by_piece)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	t_split_mapping(s.src + t_pages(2), 3);
	t_split_mapping(s.heap + t_pages(3), 2);
	rc = scene_move(&s, 0, &res);
	expect_all_moved(&s, rc, &res);
	/* Borders at 2, 3 and 5: four pieces, after the first attempt. */
	cr_expect(fake_count(FAKE_MOVE) == 5, "%u", fake_count(FAKE_MOVE));
	scene_close(&s);
}

Test(engine, whole_huge_pages_are_avoided_where_they_must_be)
{
	struct pagemv_result res;
	struct scene s;
	size_t halves;
	int rc;

	fake_release("6.18.3");
	s = scene_open(1024, NULL);
	cr_assert(s.pv->quirks & PAGEMV_QUIRK_HUGE_MOVE);
	if (!s.pv->huge_bytes)
		cr_skip("no huge pages here");
	rc = scene_move(&s, 0, &res);
	expect_all_moved(&s, rc, &res);
	/* And no call has parts of two: their borders are two at most. */
	halves = t_pages(1024) / (s.pv->huge_bytes / 2);
	cr_expect(fake_count(FAKE_MOVE) >= halves &&
		  fake_count(FAKE_MOVE) <= halves + 2);
	scene_close(&s);
}

/* ---- overlap ---- */

/* Moves n pages within one region by shift pages and checks them. */
static void expect_overlap(const char *release, long shift, size_t n)
{
	const long from = 16;
	struct pagemv_result res;
	struct scene s;
	char *src, *dst;
	int rc;

	fake_release(release);
	s = scene_open(48, NULL);
	src = s.heap + t_pages((size_t)from);
	dst = s.heap + t_pages((size_t)(from + shift));
	t_fill_range(src, n, 1);
	rc = pagemv_move(s.pv, dst, src, t_pages(n), NULL, &res);
	cr_expect(rc == 0, "by %ld: %d (%s)", shift, rc,
		  pagemv_reason_string(res.reason));
	EXPECT_SANE(rc, &res, t_pages(n));
	EXPECT_RIGHT(t_check_range(dst, n, 1));
	cr_expect(t_count_present(s.heap, 48) == n);
	scene_close(&s);
}

Test(engine, overlapping_moves_are_as_memmove)
{
	static const char *const releases[] = { "6.12.50", "6.18.44" };
	static const long shifts[] = {
		-15, -8, -7, -3, -1, 0, 1, 2, 5, 7, 8, 11
	};

	for (size_t i = 0; i < T_COUNT(releases); i++)
		for (size_t j = 0; j < T_COUNT(shifts); j++)
			expect_overlap(releases[i], shifts[j], 8);
}

Test(engine, an_overlapping_move_up_that_stops_says_so)
{
	struct scene s = scene_open(16, NULL);
	struct pagemv_result res;
	int rc;

	/* 8 pages up by 3: from the end in steps of 3, 3, 2. */
	t_fill_range(s.heap, 8, 1);
	fake_pin(s.heap + t_pages(3));
	rc = pagemv_move(s.pv, s.heap + t_pages(3), s.heap, t_pages(8), NULL,
			 &res);
	EXPECT_STOPPED(rc, &res, -EBUSY, PAGEMV_REASON_PINNED);
	EXPECT_SANE(rc, &res, t_pages(8));
	cr_expect(res.left_off == 0, "%zu", res.left_off);
	EXPECT_RIGHT(t_check_range(s.heap, 2, 1));
	EXPECT_RIGHT(t_check(s.heap + t_pages(3), 4, 1));
	scene_close(&s);
}

/* ---- arguments ---- */

Test(engine, bad_arguments_change_nothing)
{
	struct scene s = scene_open(PAGES, NULL);
	char *heap = s.heap, *src = s.src, *top = (char *)-t_pages(4);
	const struct {
		char *dst, *src;
		size_t len;
		enum pagemv_reason reason;
	} cases[] = {
		{ heap + 1, src, t_page(), PAGEMV_REASON_MISALIGNED },
		{ heap, src + 8, t_page(), PAGEMV_REASON_MISALIGNED },
		{ heap, src, t_page() + 1, PAGEMV_REASON_MISALIGNED },
		{ heap, src, 1, PAGEMV_REASON_MISALIGNED },
		{ heap, src, 0, PAGEMV_REASON_ZERO_LENGTH },
		{ heap, top, t_pages(8), PAGEMV_REASON_WRAPS },
		{ top, src, t_pages(8), PAGEMV_REASON_WRAPS },
		{ heap, src, -t_page(), PAGEMV_REASON_WRAPS },
	};

	for (size_t i = 0; i < T_COUNT(cases); i++) {
		struct pagemv_result res;
		int rc = pagemv_move(s.pv, cases[i].dst, cases[i].src,
				     cases[i].len, NULL, &res);

		EXPECT_STOPPED(rc, &res, -EINVAL, cases[i].reason);
		cr_expect(res.left_bytes == cases[i].len && res.left_off == 0 &&
			  res.moved_bytes == 0);
	}
	EXPECT_RIGHT(t_check_absent(s.heap, PAGES));
	EXPECT_RIGHT(t_check_range(s.src, PAGES, 1));
	scene_close(&s);
}

Test(engine, options_are_checked)
{
	const struct pagemv_move_opts good = { .size = sizeof(good) };
	struct pagemv_move_opts o[5] = { good, good, good, good, good };
	struct pmv_request rq;

	o[0].flags = 1u << 31;
	o[1].mechanism = PAGEMV_MECH_COUNT;
	o[2].busy = PAGEMV_BUSY_COUNT;
	o[3].reserved = 1;
	o[4].size = 4;
	for (size_t i = 0; i < T_COUNT(o); i++) {
		memset(&rq, 0, sizeof(rq));
		cr_expect(pmv_request_opts(&rq, &o[i], PAGEMV_MOVE_FLAGS_ALL) ==
				  -EINVAL,
			  "case %zu", i);
		cr_expect(rq.flags == 0 && rq.mechanism == 0 && rq.busy == 0);
	}
	memset(&rq, 0, sizeof(rq));
	cr_expect(pmv_request_opts(&rq, NULL, 0) == 0);
	cr_expect(pmv_request_opts(&rq, &good, 0) == 0);
	o[0].flags = PAGEMV_MOVE_HOLES | PAGEMV_MOVE_REPLACE;
	cr_expect(pmv_request_opts(&rq, &o[0], PAGEMV_MOVE_HOLES) == -EINVAL);
	cr_expect(pmv_request_opts(&rq, &o[0], PAGEMV_MOVE_FLAGS_ALL) == 0);
	cr_expect(rq.flags == o[0].flags);
}

Test(engine, a_page_moved_onto_itself_is_there_already)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	t_fill_range(s.heap, PAGES, 1);
	rc = pagemv_move(s.pv, s.heap, s.heap, t_pages(PAGES), NULL, &res);
	cr_expect(rc == 0);
	EXPECT_SANE(rc, &res, t_pages(PAGES));
	cr_expect(fake_count(FAKE_MOVE) == 0);
	EXPECT_RIGHT(t_check_range(s.heap, PAGES, 1));
	scene_close(&s);
}

Test(engine, a_refusal_leaves_everything)
{
	struct pagemv_result res;

	memset(&res, 0xa5, sizeof(res));
	cr_expect(pmv_refuse(&res, 12345, PAGEMV_REASON_FORKED) == -ESRCH);
	cr_expect(res.left_bytes == 12345 && res.left_off == 0);
	cr_expect(res.moved_bytes == 0 && res.copied_bytes == 0 &&
		  res.hole_bytes == 0 && res.repaired_bytes == 0);
	cr_expect(res.error == -ESRCH && res.reason == PAGEMV_REASON_FORKED);
	cr_expect(res.mechanisms == 0 && res.kernel_calls == 0);
	cr_expect(res.stray == NULL && res.stray_bytes == 0);
}
