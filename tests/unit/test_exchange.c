/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sweep.h"

#include <stdio.h>
#include <sys/mman.h>

#include "staging.h"
#include "slow.h"

#define PAGES 6

/* Two ranges in regions, ids 1.. at a and PAGES + 1.. at b. */
struct pair {
	struct scene s;
	const struct way *way;
	char *a, *b;
	struct pagemv_region *second;
	size_t lost;
};

static void fill_pair(struct pair *p)
{
	t_drop(p->a, PAGES);
	t_drop(p->b, PAGES);
	t_fill_range(p->a, PAGES, 1);
	t_fill_range(p->b, PAGES, PAGES + 1);
}

static struct pair pair_open(const struct way *way)
{
	struct pair p = { .s = scene_open(PAGES, way), .way = way };

	p.a = p.s.heap;
	p.b = p.s.src;
	p.second = scene_register(p.s.pv, p.b, PAGES);
	fill_pair(&p);
	fake_forget_counts();
	return p;
}

static int exchange(struct pair *p, uint32_t more, struct pagemv_result *res)
{
	const struct pagemv_move_opts opts = {
		.size = sizeof(opts),
		.flags = more | (p->way ? p->way->flags : 0),
		.mechanism = p->way ? p->way->mechanism : 0,
	};

	memset(res, 0xa5, sizeof(*res));
	return pagemv_exchange(p->s.pv, p->a, p->b, t_pages(PAGES), &opts, res);
}

/* REPLACE is not for exchange. */
static bool usable(const struct way *way)
{
	return !(way->flags & PAGEMV_MOVE_REPLACE);
}

static const char *order_wrong(const struct pair *p,
			       const struct pagemv_result *res)
{
	size_t done = (res->moved_bytes + res->copied_bytes) / t_page();
	const char *wrong;

	wrong = t_check_range(p->a, done, PAGES + 1);
	if (!wrong)
		wrong = t_check_range(p->b, done, 1);
	if (!wrong)
		wrong = t_check_range(p->a + t_pages(done), PAGES - done,
				      done + 1);
	if (!wrong)
		wrong = t_check_range(p->b + t_pages(done), PAGES - done,
				      PAGES + done + 1);
	return wrong;
}

static const char *pair_wrong(const struct pair *p, int rc,
			      const struct pagemv_result *res)
{
	const struct sweep_place places[] = {
		{ p->a, PAGES },
		{ p->b, PAGES },
		{ res->stray, res->stray_bytes / t_page() },
	};
	const char *wrong = result_wrong(rc, res, t_pages(PAGES));

	if (!wrong && !sweep_known_error(rc))
		wrong = "not an error of pagemv_exchange()";
	if (!wrong)
		wrong = sweep_lost(places, T_COUNT(places), 2 * PAGES, 0);
	if (!wrong && !res->stray)
		wrong = order_wrong(p, res);
	return wrong;
}

static const char *handle_wrong(struct pair *p)
{
	size_t mapped = fake_mapped_bytes();

	if (fake_injected(FAKE_MUNMAP))
		p->lost = mapped;
	if (mapped > p->lost + PMV_STAGING_BYTES + t_pages(2))
		return "mappings leak";
	return fake_open_fds() > 4 ? "descriptors leak" : NULL;
}

static const char *exchange_and_go_on(void *arg)
{
	static char text[120];
	struct pair *p = arg;
	struct pagemv_result res;
	const char *wrong;
	int rc;

	fill_pair(p);
	rc = exchange(p, 0, &res);
	fake_behave();
	wrong = pair_wrong(p, rc, &res);
	take_stray(&res);
	if (!wrong)
		wrong = handle_wrong(p);
	if (wrong)
		return wrong;
	fill_pair(p);
	rc = exchange(p, 0, &res);
	if (rc == 0)
		return order_wrong(p, &res);
	snprintf(text, sizeof(text), "and then nothing is exchanged: %d (%s)",
		 rc, pagemv_reason_string(res.reason));
	return text;
}

/* Whether copies were left at both sides, as they could not be discarded. */
static const char *exchange_unless_stuck(void *arg)
{
	struct pair *p = arg;
	const char *wrong = exchange_and_go_on(arg);

	if (p->way->flags & PAGEMV_MOVE_QUIESCENT && sweep_stuck())
		return NULL;
	return wrong;
}

Test(exchange, no_failing_call_loses_a_page, .timeout = 120)
{
	for (size_t i = 0; i < n_ways; i++) {
		struct pair p;

		if (!usable(&ways[i]))
			continue;
		fake_reset();
		p = pair_open(&ways[i]);
		sweep(ways[i].name, exchange_unless_stuck, &p);
		pagemv_close(p.s.pv);
	}
}

Test(exchange, each_way_exchanges)
{
	for (size_t i = 0; i < n_ways; i++) {
		struct pagemv_result res;
		struct pair p;
		int rc;

		if (!usable(&ways[i]))
			continue;
		p = pair_open(&ways[i]);
		rc = exchange(&p, 0, &res);
		cr_expect(rc == 0, "%s: %d", ways[i].name, rc);
		EXPECT_RIGHT(pair_wrong(&p, rc, &res));
		cr_expect(res.mechanisms == ways[i].uses, "%s: 0x%x",
			  ways[i].name, res.mechanisms);
		scene_close(&p.s);
	}
}

/*
 * Which of the three moves stops, at which page: out a -> staging, over
 * b -> a, in staging -> b.
 */
static void expect_stopped_exchange(unsigned int move, size_t at)
{
	struct pair p = pair_open(NULL);
	struct pagemv_result res;
	int rc;

	fake_add((struct fake_rule){ .call = FAKE_MOVE,
				     .nth = move,
				     .error = -EAGAIN,
				     .really = t_pages(at),
				     .tell = at > 0,
				     .told = (int64_t)t_pages(at) });
	fake_fail(FAKE_MOVE, move + 1, -ENOMEM);
	rc = exchange(&p, 0, &res);
	EXPECT_STOPPED(rc, &res, -ENOMEM, PAGEMV_REASON_NO_MEMORY);
	EXPECT_RIGHT(pair_wrong(&p, rc, &res));
	cr_expect(res.left_off == t_pages(at) && res.moved_bytes == t_pages(at),
		  "move %u stops at %zu: moved %zu, left from %zu on", move, at,
		  res.moved_bytes, res.left_off);
	cr_expect(res.stray == NULL);
	fake_behave();
	scene_close(&p.s);
}

Test(exchange, each_of_the_three_moves_may_stop_at_each_page)
{
	for (unsigned int move = 1; move <= 3; move++)
		for (size_t at = 0; at < PAGES; at++)
			expect_stopped_exchange(move, at);
}

Test(exchange, a_pinned_page_on_either_side_stops_it)
{
	for (size_t side = 0; side < 2; side++)
		for (size_t at = 0; at < PAGES; at++) {
			struct pair p = pair_open(NULL);
			struct pagemv_result res;
			int rc;

			fake_pin((side ? p.b : p.a) + t_pages(at));
			rc = exchange(&p, 0, &res);
			EXPECT_STOPPED(rc, &res, -EBUSY, PAGEMV_REASON_PINNED);
			EXPECT_RIGHT(pair_wrong(&p, rc, &res));
			cr_expect(res.left_off == t_pages(at));
			fake_behave();
			scene_close(&p.s);
		}
}

Test(exchange, a_hole_stops_it_and_leaves_both_sides)
{
	struct pair p = pair_open(NULL);
	struct pagemv_result res;
	int rc;

	t_drop(p.b + t_pages(3), 1);
	rc = exchange(&p, 0, &res);
	EXPECT_STOPPED(rc, &res, -ENOENT, PAGEMV_REASON_HOLE);
	cr_expect(res.left_off == t_pages(3) && res.moved_bytes == t_pages(3));
	EXPECT_RIGHT(t_check_range(p.a, 3, PAGES + 1));
	EXPECT_RIGHT(t_check_range(p.a + t_pages(3), PAGES - 3, 4));
	EXPECT_RIGHT(t_check_absent(p.b + t_pages(3), 1));
	scene_close(&p.s);
}

Test(exchange, holes_are_exchanged_where_allowed)
{
	struct pair p = pair_open(NULL);
	struct pagemv_result res;

	t_drop(p.b + t_pages(3), 1);
	t_drop(p.a + t_pages(1), 1);
	cr_expect(exchange(&p, PAGEMV_MOVE_HOLES, &res) == 0);
	EXPECT_RIGHT(t_check_absent(p.a + t_pages(3), 1));
	EXPECT_RIGHT(t_check_absent(p.b + t_pages(1), 1));
	EXPECT_RIGHT(t_check_range(p.a, 3, PAGES + 1));
	EXPECT_RIGHT(t_check_range(p.b + t_pages(2), PAGES - 2, 3));
	scene_close(&p.s);
}

/* Somebody stores to a page of a while it is on its way. */
static void touch(void *arg)
{
	t_fill(arg, 77, 1);
}

Test(exchange, a_store_in_between_leaves_pages_stray_but_whole)
{
	struct pair p = pair_open(NULL);
	struct sweep_place places[3] = { { p.a, PAGES }, { p.b, PAGES } };
	struct pagemv_result res;
	int rc;

	/* Between the first move and the second, which then fails. */
	fake_add((struct fake_rule){ .call = FAKE_MOVE,
				     .nth = 2,
				     .before = touch,
				     .arg = p.a,
				     .error = -ENOMEM });
	rc = exchange(&p, 0, &res);
	EXPECT_STOPPED(rc, &res, -EEXIST, PAGEMV_REASON_RACED);
	EXPECT_SANE(rc, &res, t_pages(PAGES));
	cr_assert(res.stray != NULL);
	cr_expect(res.stray_off == 0 && res.stray_bytes == t_pages(PAGES));
	EXPECT_RIGHT(t_check(p.a, 77, 1));
	EXPECT_RIGHT(t_check_range(res.stray, PAGES, 1));
	t_drop(p.a, 1);
	places[2] =
		(struct sweep_place){ res.stray, res.stray_bytes / t_page() };
	EXPECT_RIGHT(sweep_lost(places, 3, 2 * PAGES, 0));
	take_stray(&res);
	scene_close(&p.s);
}

Test(exchange, many_pages_go_in_steps)
{
	const size_t pages = 3 * PMV_STAGING_BYTES / t_page() / 2;
	struct scene s = scene_open(pages, NULL);
	struct pagemv_result res;
	int rc;

	scene_register(s.pv, s.src, pages);
	t_fill_range(s.heap, pages, pages + 1);
	rc = pagemv_exchange(s.pv, s.heap, s.src, t_pages(pages), NULL, &res);
	cr_expect(rc == 0);
	EXPECT_SANE(rc, &res, t_pages(pages));
	EXPECT_RIGHT(t_check_range(s.heap, pages, 1));
	EXPECT_RIGHT(t_check_range(s.src, pages, pages + 1));
	scene_close(&s);
}

Test(exchange, a_later_step_may_fail)
{
	const size_t pages = 3 * PMV_STAGING_BYTES / t_page() / 2;
	struct scene s = scene_open(pages, NULL);
	struct pagemv_result res;
	size_t done;
	int rc;

	scene_register(s.pv, s.src, pages);
	t_fill_range(s.heap, pages, pages + 1);
	fake_pin(s.src + t_pages(pages - 2));
	rc = pagemv_exchange(s.pv, s.heap, s.src, t_pages(pages), NULL, &res);
	EXPECT_STOPPED(rc, &res, -EBUSY, PAGEMV_REASON_PINNED);
	EXPECT_SANE(rc, &res, t_pages(pages));
	done = res.moved_bytes / t_page();
	cr_expect(done == pages - 2, "%zu", done);
	EXPECT_RIGHT(t_check_range(s.heap, done, 1));
	EXPECT_RIGHT(t_check_range(s.src, done, pages + 1));
	EXPECT_RIGHT(t_check_range(s.src + t_pages(done), 2, done + 1));
	scene_close(&s);
}

Test(exchange, what_cannot_be_exchanged_is_refused_untouched)
{
	struct pair p = pair_open(NULL);
	char *outside = t_map(PAGES);
	const struct {
		char *a, *b;
		size_t len;
		enum pagemv_reason reason;
	} cases[] = {
		{ p.a, p.a, t_page(), PAGEMV_REASON_OVERLAP },
		{ p.a, p.a + t_page(), t_pages(2), PAGEMV_REASON_OVERLAP },
		{ p.a + t_page(), p.a, t_pages(2), PAGEMV_REASON_OVERLAP },
		{ p.a + 1, p.b, t_page(), PAGEMV_REASON_MISALIGNED },
		{ p.a, p.b, 0, PAGEMV_REASON_ZERO_LENGTH },
		{ p.a, (char *)-t_page(), t_pages(2), PAGEMV_REASON_WRAPS },
		{ p.a, outside, t_page(), PAGEMV_REASON_NOT_REGISTERED },
		{ outside, p.b, t_page(), PAGEMV_REASON_NOT_REGISTERED },
	};

	for (size_t i = 0; i < T_COUNT(cases); i++) {
		struct pagemv_result res;
		int rc = pagemv_exchange(p.s.pv, cases[i].a, cases[i].b,
					 cases[i].len, NULL, &res);

		cr_expect(res.reason == cases[i].reason, "case %zu: %s", i,
			  pagemv_reason_string(res.reason));
		cr_expect(rc == -EINVAL && res.error == rc &&
			  res.left_bytes == cases[i].len);
	}
	EXPECT_RIGHT(t_check_range(p.a, PAGES, 1));
	EXPECT_RIGHT(t_check_range(p.b, PAGES, PAGES + 1));
	cr_expect(fake_count(FAKE_MOVE) == 0);
	scene_close(&p.s);
}

Test(exchange, options_that_make_no_sense_are_refused)
{
	static const uint32_t flags[] = { PAGEMV_MOVE_REPLACE,
					  PAGEMV_MOVE_KEEP_HEAD, 1u << 31 };
	struct pagemv_move_opts opts = { .size = sizeof(opts) };
	struct pair p = pair_open(NULL);
	struct pagemv_result res;

	for (size_t i = 0; i < T_COUNT(flags); i++)
		cr_expect(exchange(&p, flags[i], &res) == -EINVAL &&
			  res.reason == PAGEMV_REASON_BAD_OPTIONS);
	opts.busy = PAGEMV_BUSY_SKIP;
	cr_expect(pagemv_exchange(p.s.pv, p.a, p.b, t_page(), &opts, &res) ==
		  -EINVAL);
	cr_expect(res.reason == PAGEMV_REASON_BAD_OPTIONS);
	cr_expect(pagemv_exchange(NULL, p.a, p.b, t_page(), NULL, NULL) ==
		  -EINVAL);
	cr_expect(fake_total() == 0);
	scene_close(&p.s);
}

Test(exchange, no_memory_for_staging_changes_nothing)
{
	struct pair p = pair_open(NULL);
	struct pagemv_result res;
	int rc;

	fake_refuse(FAKE_MMAP, -ENOMEM);
	rc = exchange(&p, 0, &res);
	EXPECT_STOPPED(rc, &res, -ENOMEM, PAGEMV_REASON_NO_MEMORY);
	EXPECT_RIGHT(pair_wrong(&p, rc, &res));
	scene_close(&p.s);
}

/* ---- one call of the companion ---- */

static const struct way companion = {
	"companion", 0, PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE),
	0,	     0, PAGEMV_MECH_BIT(PAGEMV_MECH_COMPANION)
};

Test(exchange, the_companion_does_it_in_one_call)
{
	struct pair p = pair_open(&companion);
	struct pagemv_result res;

	cr_expect(exchange(&p, PAGEMV_MOVE_HOLES, &res) == 0);
	cr_expect(fake_total() == 1 && fake_count(FAKE_EXCHANGE) == 1);
	cr_expect(res.kernel_calls == 1 && res.mechanisms == companion.uses);
	cr_expect(res.moved_bytes == t_pages(PAGES) && !res.copied_bytes);
	EXPECT_RIGHT(pair_wrong(&p, 0, &res));
	scene_close(&p.s);
}

Test(exchange, the_companion_meets_no_hole_where_none_is_allowed)
{
	for (size_t side = 0; side < 2; side++)
		for (size_t at = 0; at < PAGES; at++) {
			struct pair p = pair_open(&companion);
			char *hole = (side ? p.b : p.a) + t_pages(at);
			struct pagemv_result res;
			int rc;

			t_drop(hole, 1);
			rc = exchange(&p, 0, &res);
			EXPECT_STOPPED(rc, &res, -ENOENT, PAGEMV_REASON_HOLE);
			cr_expect(res.left_off == t_pages(at));
			cr_expect(res.moved_bytes == t_pages(at));
			EXPECT_RIGHT(t_check_range(p.a, at, PAGES + 1));
			EXPECT_RIGHT(t_check_range(p.b, at, 1));
			EXPECT_RIGHT(t_check_absent(hole, 1));
			scene_close(&p.s);
		}
}

Test(exchange, the_companion_stops_at_each_place)
{
	for (size_t at = 1; at < PAGES; at++) {
		struct pair p = pair_open(&companion);
		struct pagemv_result res;
		int rc;

		fake_add((struct fake_rule){ .call = FAKE_EXCHANGE,
					     .error = -EAGAIN,
					     .really = t_pages(at),
					     .tell = true,
					     .told = (int64_t)t_pages(at) });
		rc = exchange(&p, PAGEMV_MOVE_HOLES, &res);
		cr_expect(rc == 0 && res.kernel_calls == 2);
		EXPECT_RIGHT(pair_wrong(&p, rc, &res));
		fake_behave();
		scene_close(&p.s);
	}
}

Test(exchange, what_the_companion_refuses_goes_by_the_staging_range)
{
	static const int errors[] = { -EAGAIN, -EBUSY,	-EFAULT, -EINVAL,
				      -ENOMEM, -ENOTTY, -EPERM,	 -EEXIST };

	for (size_t i = 0; i < T_COUNT(errors); i++) {
		struct pair p = pair_open(&companion);
		struct pagemv_result res;
		int rc;

		fake_refuse(FAKE_EXCHANGE, errors[i]);
		rc = exchange(&p, 0, &res);
		fake_behave();
		cr_expect(rc == 0, "%d: %d", errors[i], rc);
		cr_expect(fake_count(FAKE_REMAP) == 3);
		EXPECT_RIGHT(pair_wrong(&p, rc, &res));
		cr_expect(res.moved_bytes == t_pages(PAGES));
		scene_close(&p.s);
	}
}

Test(exchange, a_pinned_page_stops_the_companion)
{
	for (size_t side = 0; side < 2; side++)
		for (size_t at = 0; at < PAGES; at++) {
			struct pair p = pair_open(&companion);
			struct pagemv_result res;
			int rc;

			fake_pin((side ? p.b : p.a) + t_pages(at));
			rc = exchange(&p, 0, &res);
			EXPECT_STOPPED(rc, &res, -EBUSY, PAGEMV_REASON_PINNED);
			EXPECT_RIGHT(pair_wrong(&p, rc, &res));
			cr_expect(res.left_off == t_pages(at));
			fake_behave();
			scene_close(&p.s);
		}
}

Test(exchange, what_the_companion_does_not_see_is_refused_untouched)
{
	struct pair p = pair_open(&companion);
	struct pagemv_result res;
	char *other = t_map(PAGES);
	int rc =
		pagemv_exchange(p.s.pv, p.a, other, t_pages(PAGES), NULL, &res);

	EXPECT_STOPPED(rc, &res, -EINVAL, PAGEMV_REASON_NOT_REGISTERED);
	cr_expect(fake_count(FAKE_EXCHANGE) == 0);
	rc = pagemv_exchange(p.s.pv, p.a, p.a + t_page(), t_pages(2), NULL,
			     &res);
	EXPECT_STOPPED(rc, &res, -EINVAL, PAGEMV_REASON_OVERLAP);
	EXPECT_RIGHT(t_check_range(p.a, PAGES, 1));
	t_unmap(other, PAGES);
	scene_close(&p.s);
}
