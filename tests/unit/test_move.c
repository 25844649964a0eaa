/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sweep.h"

#include <stdio.h>
#include <sys/mman.h>

#include "staging.h"
#include "slow.h"

#define PAGES 8

/* What is special about the pages of a sweep. */
enum trouble { NONE, IN_THE_WAY, A_HOLE, PINNED, TROUBLES };

#define AT	      5 /* the page that the trouble is with */
#define IN_THE_WAY_ID 99

struct bed {
	struct scene s;
	const struct way *way;
	enum trouble trouble;
	size_t lost; /* bytes that stayed mapped as munmap() failed */
};

static void make_bed(struct bed *b)
{
	struct scene *s = &b->s;

	t_drop(s->heap, PAGES);
	t_fill_range(s->src, PAGES, 1);
	if (b->trouble == IN_THE_WAY)
		t_fill(s->heap + t_pages(AT), IN_THE_WAY_ID, 1);
	if (b->trouble == A_HOLE)
		t_drop(s->src + t_pages(AT), 1);
	if (b->trouble == PINNED)
		fake_pin(s->src + t_pages(AT));
}

/* Which pages are where, by the result and by the oracle. */
static const char *places_wrong(const struct bed *b,
				const struct pagemv_result *res)
{
	const struct scene *s = &b->s;
	const struct sweep_place places[] = {
		{ s->heap, PAGES },
		{ s->src, PAGES },
		{ res->stray, res->stray_bytes / t_page() },
	};

	/* Copies that could be thrown away at neither side: none is lost. */
	if (b->way->flags & PAGEMV_MOVE_QUIESCENT && sweep_stuck())
		return res->moved_bytes + res->copied_bytes == 0
			       ? sweep_lost(&places[1], 1, PAGES,
					    b->trouble == A_HOLE ? AT + 1 : 0)
			       : NULL;
	if (b->trouble == NONE)
		return pages_wrong(s->heap, s->src, PAGES, res);
	if (b->trouble == IN_THE_WAY &&
	    !(b->way->flags & PAGEMV_MOVE_REPLACE) &&
	    !(b->way->flags & PAGEMV_MOVE_UNCHECKED) &&
	    t_check(s->heap + t_pages(AT), IN_THE_WAY_ID, 1))
		return "the page in the way is gone";
	if (b->trouble == IN_THE_WAY &&
	    !t_check(s->heap + t_pages(AT), IN_THE_WAY_ID, 1)) {
		/* Not one of those that are counted. */
		const struct sweep_place around[] = {
			{ s->heap, AT },
			{ s->heap + t_pages(AT + 1), PAGES - AT - 1 },
			places[1],
			places[2],
		};

		return sweep_lost(around, T_COUNT(around), PAGES, 0);
	}
	return sweep_lost(places, T_COUNT(places), PAGES,
			  b->trouble == A_HOLE ? AT + 1 : 0);
}

/* Of the handle: one staging range is kept, and the page that tells of
 * fork(). A mapping whose munmap() failed is lost, and cannot but be. */
static const char *handle_wrong(struct bed *b)
{
	size_t mapped = fake_mapped_bytes();

	if (fake_injected(FAKE_MUNMAP))
		b->lost = mapped;
	if (mapped > b->lost + PMV_STAGING_BYTES + t_pages(2))
		return "mappings leak";
	return fake_open_fds() > 4 ? "descriptors leak" : NULL;
}

static struct pagemv_move_opts opts_of(const struct way *way)
{
	return (struct pagemv_move_opts){ .size = sizeof(
						  struct pagemv_move_opts),
					  .flags = way->flags,
					  .mechanism = way->mechanism };
}

/* Moves, and says what is wrong with that. */
static const char *move_wrong(struct bed *b)
{
	const struct pagemv_move_opts opts = opts_of(b->way);
	struct pagemv_result res;
	const char *wrong;
	int rc;

	make_bed(b);
	memset(&res, 0xa5, sizeof(res));
	rc = pagemv_move(b->s.pv, b->s.heap, b->s.src, t_pages(PAGES), &opts,
			 &res);
	fake_behave();
	wrong = result_wrong(rc, &res, t_pages(PAGES));
	if (!wrong)
		wrong = places_wrong(b, &res);
	if (!wrong && !sweep_known_error(rc))
		wrong = "not an error of pagemv_move()";
	take_stray(&res);
	return wrong;
}

/* After whatever happened, the handle moves as if nothing had. */
static const char *still_works(struct bed *b)
{
	const struct pagemv_move_opts opts = opts_of(b->way);
	static char text[120];
	enum trouble trouble = b->trouble;
	const char *wrong = handle_wrong(b);
	struct pagemv_result res;
	int rc;

	if (wrong)
		return wrong;
	b->trouble = NONE;
	make_bed(b);
	b->trouble = trouble;
	rc = pagemv_move(b->s.pv, b->s.heap, b->s.src, t_pages(PAGES), &opts,
			 &res);
	if (rc == 0)
		return t_check_range(b->s.heap, PAGES, 1);
	snprintf(text, sizeof(text), "and then nothing moves: %d (%s)", rc,
		 pagemv_reason_string(res.reason));
	return text;
}

static const char *move_and_go_on(void *arg)
{
	struct bed *b = arg;
	const char *wrong = move_wrong(b);

	return wrong ? wrong : still_works(b);
}

static void sweep_trouble(enum trouble trouble)
{
	for (size_t i = 0; i < n_ways; i++) {
		struct bed b = { .way = &ways[i], .trouble = trouble };

		/* The caller has vouched that there is none. */
		if (trouble != NONE && b.way->flags & PAGEMV_MOVE_UNCHECKED)
			continue;
		fake_reset();
		b.s = scene_open(PAGES, b.way);
		sweep(b.way->name, move_and_go_on, &b);
		pagemv_close(b.s.pv);
	}
}

Test(move, no_failing_call_loses_a_page, .timeout = 60)
{
	sweep_trouble(NONE);
}

Test(move, no_failing_call_loses_a_page_when_one_is_in_the_way, .timeout = 60)
{
	sweep_trouble(IN_THE_WAY);
}

Test(move, no_failing_call_loses_a_page_beside_a_hole, .timeout = 60)
{
	sweep_trouble(A_HOLE);
}

Test(move, no_failing_call_loses_a_page_beside_a_pinned_one, .timeout = 60)
{
	sweep_trouble(PINNED);
}

Test(move, errno_is_left_alone)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_move_opts bad = { .size = sizeof(bad), .flags = ~0u };

	errno = 4711;
	cr_expect(pagemv_move(s.pv, s.heap, s.src, t_pages(PAGES), NULL,
			      NULL) == 0);
	cr_expect(errno == 4711);
	t_drop(s.heap, PAGES);
	cr_expect(pagemv_move(s.pv, s.heap, s.src, t_pages(PAGES), NULL,
			      NULL) == -ENOENT);
	cr_expect(errno == 4711);
	cr_expect(pagemv_move(s.pv, s.heap, s.src, t_pages(PAGES), &bad,
			      NULL) == -EINVAL);
	cr_expect(errno == 4711);
	scene_close(&s);
}

Test(move, no_handle_and_bad_options_are_refused_whole)
{
	struct pagemv_move_opts opts = { .size = sizeof(opts),
					 .flags = PAGEMV_MOVE_KEEP_HEAD };
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc = pagemv_move(NULL, s.heap, s.src, t_pages(PAGES), NULL, &res);

	EXPECT_STOPPED(rc, &res, -EINVAL, PAGEMV_REASON_BAD_OPTIONS);
	EXPECT_SANE(rc, &res, t_pages(PAGES));
	/* KEEP_HEAD is for relocate alone. */
	rc = pagemv_move(s.pv, s.heap, s.src, t_pages(PAGES), &opts, &res);
	EXPECT_STOPPED(rc, &res, -EINVAL, PAGEMV_REASON_BAD_OPTIONS);
	EXPECT_SANE(rc, &res, t_pages(PAGES));
	cr_expect(fake_total() == 0);
	EXPECT_RIGHT(t_check_range(s.src, PAGES, 1));
	scene_close(&s);
}

Test(move, options_of_a_newer_version_are_told_apart)
{
	struct {
		struct pagemv_move_opts known;
		uint64_t more;
	} opts = { .known = { .size = sizeof(opts) } };
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	opts.more = 1;
	rc = pagemv_move(s.pv, s.heap, s.src, t_pages(PAGES), &opts.known,
			 &res);
	EXPECT_STOPPED(rc, &res, -E2BIG, PAGEMV_REASON_BAD_OPTIONS);
	EXPECT_SANE(rc, &res, t_pages(PAGES));
	opts.more = 0;
	cr_expect(pagemv_move(s.pv, s.heap, s.src, t_pages(PAGES), &opts.known,
			      &res) == 0);
	scene_close(&s);
}

Test(move, each_way_uses_the_mechanism_it_should)
{
	for (size_t i = 0; i < n_ways; i++) {
		const struct pagemv_move_opts opts = opts_of(&ways[i]);
		struct scene s = scene_open(PAGES, &ways[i]);
		struct pagemv_result res;
		int rc = pagemv_move(s.pv, s.heap, s.src, t_pages(PAGES), &opts,
				     &res);

		cr_expect(rc == 0, "%s: %d", ways[i].name, rc);
		cr_expect(res.mechanisms == ways[i].uses, "%s: 0x%x",
			  ways[i].name, res.mechanisms);
		EXPECT_SANE(rc, &res, t_pages(PAGES));
		EXPECT_RIGHT(pages_wrong(s.heap, s.src, PAGES, &res));
		scene_close(&s);
	}
}
