/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tracked pages that move, are filled on demand, or have anything else done to
 * them in any order. */
#include "tracked.h"

/* ---- moves ---- */

static const struct pagemv_move_opts quiescent = {
	.size = sizeof(quiescent),
	.flags = PAGEMV_MOVE_QUIESCENT,
};

static void expect_moved(struct scene *s, char *dst, char *src, size_t pages,
			 const struct pagemv_move_opts *opts)
{
	struct pagemv_result res;
	int rc = pagemv_move(s->pv, dst, src, t_pages(pages), opts, &res);

	cr_assert_eq(rc, 0, "[%s] %d: %s", way_names[s->way], rc,
		     pagemv_reason_string(res.reason));
}

Test(track_moves, pages_that_move_stay_as_they_were_where_nobody_stores)
{
	struct scene s = ways(24);

	while (next_way(&s)) {
		char *dst = s.heap + t_pages(12);

		t_fill_range(s.heap, 12, 1);
		protect(&s, 0, 12);
		store_as(s.heap, "#..##....#.#");
		expect_moved(&s, dst, s.heap, 12, &quiescent);
		expect_dirty(&s, 0, "............#..##....#.#");
		store(dst, 1);
		expect_dirty(&s, PAGEMV_DIRTY_PROTECT,
			     "............##.##....#.#");
		expect_dirty(&s, 0, "........................");
		/* Back, and by overlap. */
		store(dst, 5);
		expect_moved(&s, s.heap + t_pages(6), dst, 12, &quiescent);
		expect_dirty(&s, 0, "...........#............");
		expect_moved(&s, s.heap + t_pages(10), s.heap + t_pages(6), 12,
			     &quiescent);
		expect_dirty(&s, 0, "...............#........");
	}
}

Test(track_moves, pages_that_move_are_dirty_where_somebody_may_store)
{
	struct scene s = ways(16);

	while (next_way(&s)) {
		t_fill_range(s.heap, 8, 1);
		protect(&s, 0, 8);
		expect_moved(&s, s.heap + t_pages(8), s.heap, 8, NULL);
		expect_dirty(&s, 0, "........########");
	}
}

Test(track_moves, a_long_move_keeps_what_was_clean_too)
{
	const size_t pages = 13000;
	struct scene s = ways(2 * pages);

	while (next_way(&s)) {
		struct pagemv_range ranges[3];

		t_fill_range(s.heap, pages, 1);
		protect(&s, 0, pages);
		store(s.heap, 4097);
		store(s.heap, pages - 1);
		expect_moved(&s, s.heap + t_pages(pages), s.heap, pages,
			     &quiescent);
		cr_assert_eq(pagemv_dirty(s.pv, s.heap, t_pages(2 * pages), 0,
					  ranges, 3, NULL),
			     2);
		cr_expect_eq((char *)ranges[0].addr,
			     s.heap + t_pages(pages + 4097));
		cr_expect_eq((char *)ranges[1].addr,
			     s.heap + t_pages(2 * pages - 1));
	}
}

Test(track_moves, a_move_that_stops_keeps_what_has_moved)
{
	struct pagemv_result res;
	struct scene s = ways(16);

	while (next_way(&s)) {
		t_fill_range(s.heap, 8, 1);
		protect(&s, 0, 8);
		store(s.heap, 1);
		store(s.heap, 13); /* in the way */
		cr_expect_eq(pagemv_move(s.pv, s.heap + t_pages(8), s.heap,
					 t_pages(8), &quiescent, &res),
			     -EEXIST);
		cr_expect_eq(res.left_off, t_pages(5));
		expect_dirty(&s, 0, ".........#...#..");
	}
}

Test(track_moves, nothing_is_protected_outside_of_tracked_regions)
{
	struct pagemv_region *quiet;
	struct pagemv_result res;
	struct scene s = ways(8);

	while (next_way(&s)) {
		char *heap = t_map(8);

		cr_assert_eq(pagemv_region_register(s.pv, heap, t_pages(8),
						    NULL, &quiet, NULL),
			     0);
		t_fill_range(s.heap, 8, 1);
		protect(&s, 0, 8);
		madvise(s.heap, t_pages(4), 21 /* MADV_PAGEOUT */);
		expect_moved(&s, heap, s.heap, 8, &quiescent);
		for (size_t i = 0; i < 8; i++)
			cr_expect(!is_protected(heap + t_pages(i)), "%zu", i);
		/* Would hang: nobody answers faults there. */
		store_as(heap, "########");
		expect_moved(&s, s.heap, heap, 8, &quiescent);
		expect_dirty(&s, 0, "########");
		/* Exchanged, through a staging range. */
		protect(&s, 0, 8);
		t_fill_range(heap, 8, 9);
		cr_assert_eq(pagemv_exchange(s.pv, s.heap, heap, t_pages(8),
					     NULL, &res),
			     0);
		store_as(heap, "########");
		expect_dirty(&s, 0, "########");
		pagemv_close(s.pv);
		s.pv = NULL;
		t_unmap(heap, 8);
	}
}

Test(track_moves, exchanged_pages_stay_as_they_were)
{
	struct pagemv_result res;
	struct scene s = ways(12);

	while (next_way(&s)) {
		t_fill_range(s.heap, 12, 1);
		protect(&s, 0, 12);
		store_as(s.heap, "#..##.......");
		store_as(s.heap, ".......#....");
		cr_assert_eq(pagemv_exchange(s.pv, s.heap, s.heap + t_pages(6),
					     t_pages(6), NULL, &res),
			     0);
		expect_dirty(&s, 0, ".#....#..##.");
		store(s.heap, 0);
		store(s.heap, 11);
		expect_dirty(&s, 0, "##....#..###");
	}
}

/* ---- faulting regions ---- */

/* A faulting and tracked heap beside the tracked one. */
static char *lazy_heap(struct scene *s, size_t pages, struct fills *fills,
		       enum pagemv_source source)
{
	struct pagemv_region_opts opts = faults_by(fills);
	char *heap = t_map(pages);

	if (source == PAGEMV_SOURCE_ZERO)
		opts = (struct pagemv_region_opts){ 0 };
	opts.flags = PAGEMV_REGION_FAULTING;
	track(s, heap, pages, opts);
	return heap;
}

Test(track_moves,
     absent_pages_of_a_faulting_region_can_be_filled_after_protecting)
{
	struct scene s = ways(1);

	while (next_way(&s)) {
		for (int source = 0; source < 2; source++) {
			struct fills fills = { 0 };
			char *heap = lazy_heap(&s, 8, &fills, source);

			store_as(heap, "#.#.....");
			cr_assert_eq(pagemv_protect(s.pv, heap, t_pages(8)), 0);
			cr_expect(t_count_present(heap, 8) == 2, "markers");
			expect_dirty_at(&s, heap, 0, "........");
			(void)*(volatile char *)(heap + t_pages(4));
			store(heap, 5);
			store(heap, 2);
			expect_dirty_at(&s, heap, PAGEMV_DIRTY_PROTECT,
					"..#.##..");
			store(heap, 4);
			/* Thrown away while protected: filled, and dirty. */
			t_drop(heap, 1);
			expect_dirty_at(&s, heap, 0, "....#...");
			(void)*(volatile char *)heap;
			expect_dirty_at(&s, heap, 0, "#...#...");
			if (source == PAGEMV_SOURCE_CALLBACK)
				T_RIGHT(&(struct t_case){ .name = "lazy" },
					t_check(heap, 1, 1), "refilled");
		}
	}
}

Test(track_moves, a_store_by_the_signal_handler_fills_and_is_dirty)
{
	struct scene s = ways(1);

	while (next_way(&s)) {
		struct fills fills = { 0 };
		char *heap = lazy_heap(&s, 64, &fills, PAGEMV_SOURCE_CALLBACK);
		char text[MAX_PAGES + 1];

		for (size_t i = 0; i < 64; i++) {
			store(heap, i);
			cr_assert_eq(pagemv_protect(s.pv, heap, t_pages(64)),
				     0);
			if (i)
				store(heap, i - 1);
		}
		layout(&s, heap, 64, 0, 1, text);
		cr_expect_eq(strspn(text, "#"), 0);
		cr_expect_eq(fills.calls, 64);
	}
}

/* ---- anything, against a model ---- */

#define MODEL_PAGES 64

/* A move may go on behind the end. */
struct model {
	bool there[MODEL_PAGES + 3];
	bool dirty[MODEL_PAGES + 3];
};

static void model_store(struct model *m, size_t i)
{
	m->there[i] = m->dirty[i] = true;
}

static void model_ask(struct scene *s, struct model *m, size_t first, size_t n,
		      size_t room, uint32_t flags, unsigned int step)
{
	char text[MAX_PAGES + 1];

	layout(s, s->heap + t_pages(first), n, flags, room, text);
	for (size_t i = 0; i < n; i++) {
		bool *dirty = &m->dirty[first + i];

		cr_assert_eq(text[i] == '#', *dirty, "[%s] step %u, page %zu",
			     way_names[s->way], step, first + i);
		if (flags)
			*dirty = false;
	}
}

static void model_move(struct scene *s, struct model *m, size_t to, size_t from,
		       size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!m->there[from + i] || m->there[to + i])
			return;
	if (from < to + n && to < from + n)
		return;
	expect_moved(s, s->heap + t_pages(to), s->heap + t_pages(from), n,
		     &quiescent);
	for (size_t i = 0; i < n; i++) {
		m->there[to + i] = true;
		m->dirty[to + i] = m->dirty[from + i];
		m->there[from + i] = m->dirty[from + i] = false;
	}
}

static void model_step(struct scene *s, struct model *m, struct t_random *r,
		       unsigned int step)
{
	size_t a = t_random_below(r, MODEL_PAGES);
	size_t b = t_random_below(r, MODEL_PAGES);
	size_t n = 1 + t_random_below(r, MODEL_PAGES - a);

	switch (t_random_below(r, 8)) {
	case 0:
		protect(s, a, n);
		for (size_t i = a; i < a + n; i++)
			m->dirty[i] = false;
		break;
	case 1:
		model_ask(s, m, a, n, 1 + t_random_below(r, 9), 0, step);
		break;
	case 2:
		model_ask(s, m, a, n, 1 + t_random_below(r, 9),
			  PAGEMV_DIRTY_PROTECT, step);
		break;
	case 3:
		t_drop(s->heap + t_pages(a), 1);
		m->there[a] = m->dirty[a] = false;
		break;
	case 4:
		(void)*(volatile char *)(s->heap + t_pages(a));
		if (!m->there[a])
			model_store(m, a);
		break;
	case 5:
		model_move(s, m, a, b, 1 + t_random_below(r, 3));
		break;
	default:
		store(s->heap, a);
		model_store(m, a);
	}
}

Test(track_moves, anything_in_any_order_agrees_with_a_model)
{
	struct scene s = ways(64 + 3);

	while (next_way(&s)) {
		struct t_random r = t_random_make(t_env("PMV_SEED", 11));
		struct model m = { 0 };

		for (unsigned int i = 0; i < 4000; i++)
			model_step(&s, &m, &r, i);
		model_ask(&s, &m, 0, MODEL_PAGES, 64, 0, 4000);
	}
}
