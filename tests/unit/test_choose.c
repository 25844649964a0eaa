/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which mechanism is chosen, and what is said where none is.
 */
#include "policy.h"

#include "scene.h"

#define PAGES 8

Test(choose, a_forced_mechanism_that_is_not_there_says_why)
{
	static const struct way no_move = {
		"no move", 0, PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE), 0, 0, 0
	};
	struct scene s = scene_open(PAGES, &no_move);
	struct pagemv_result res;
	int rc = scene_move_opts(&s, 0, PAGEMV_MECH_MOVE, 0, &res);

	EXPECT_STOPPED(rc, &res, -EOPNOTSUPP, PAGEMV_REASON_DISABLED);
	expect_stopped_at(&s, rc, &res, 0);
	cr_expect(fake_total() == 0);
	scene_close(&s);
}

Test(choose, remap_needs_leave)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc = scene_move_opts(&s, 0, PAGEMV_MECH_REMAP, 0, &res);

	EXPECT_STOPPED(rc, &res, -EOPNOTSUPP, PAGEMV_REASON_LAYOUT);
	expect_stopped_at(&s, rc, &res, 0);
	scene_close(&s);
}

Test(choose, nothing_left_to_choose_from_is_said)
{
	static const struct way only_remap = {
		"remap",
		0,
		PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE) |
			PAGEMV_MECH_BIT(PAGEMV_MECH_COPY),
		0,
		0,
		0
	};
	static const struct way none = {
		"none",
		0,
		PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE) |
			PAGEMV_MECH_BIT(PAGEMV_MECH_COPY) |
			PAGEMV_MECH_BIT(PAGEMV_MECH_REMAP),
		0,
		0,
		0
	};
	struct pagemv_result res;
	struct scene s = scene_open(PAGES, &only_remap);
	int rc = scene_move(&s, 0, &res);

	EXPECT_STOPPED(rc, &res, -EOPNOTSUPP, PAGEMV_REASON_LAYOUT);
	rc = scene_move(&s, PAGEMV_MOVE_MAY_REMAP, &res);
	cr_expect(rc == 0);
	scene_close(&s);
	s = scene_open(PAGES, &none);
	rc = scene_move(&s, PAGEMV_MOVE_MAY_REMAP, &res);
	EXPECT_STOPPED(rc, &res, -EOPNOTSUPP, PAGEMV_REASON_NO_MECHANISM);
	scene_close(&s);
}

Test(choose, auto_chooses_by_cost_where_mremap_is_allowed)
{
	struct scene s = scene_open(1024, NULL);
	struct pmv_costs costs = pmv_default_costs;
	struct pagemv_result res;

	costs.mech[PAGEMV_MECH_REMAP] = (struct pmv_cost){ 0, 0, 0 };
	costs.mech[PAGEMV_MECH_MOVE] = (struct pmv_cost){ 1e9, 1e9, 1e9 };
	atomic_store(&s.pv->costs, &costs);
	cr_expect(scene_move(&s, PAGEMV_MOVE_MAY_REMAP, &res) == 0);
	cr_expect(res.mechanisms == PAGEMV_MECH_BIT(PAGEMV_MECH_REMAP));
	t_drop(s.heap, 1024);
	t_fill_range(s.src, 1024, 1);
	cr_expect(scene_move(&s, 0, &res) == 0);
	cr_expect(res.mechanisms == PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE));
	atomic_store(&s.pv->costs, &pmv_default_costs);
	scene_close(&s);
}

Test(choose, busy_remap_without_leave_changes_nothing)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	fake_pin(s.src + t_pages(3));
	rc = scene_move_opts(&s, 0, PAGEMV_MECH_AUTO, PAGEMV_BUSY_REMAP, &res);
	EXPECT_STOPPED(rc, &res, -EOPNOTSUPP, PAGEMV_REASON_LAYOUT);
	EXPECT_SANE(rc, &res, t_pages(PAGES));
	EXPECT_RIGHT(pages_wrong(s.heap, s.src, PAGES, &res));
	scene_close(&s);
}

/* Where pins are not seen, a copy might part a page from its device. */
static uint32_t chosen_without_pin_check(uint32_t flags, uint32_t busy)
{
	static const struct way no_move = {
		"no move", 0, PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE), 0, 0, 0
	};
	struct scene s = scene_open(1, &no_move);
	struct pagemv_result res;
	int rc = scene_move_opts(&s, flags, PAGEMV_MECH_AUTO, busy, &res);

	cr_expect(rc == 0, "%d (%s)", rc, pagemv_reason_string(res.reason));
	EXPECT_RIGHT(pages_wrong(s.heap, s.src, 1, &res));
	scene_close(&s);
	return res.mechanisms;
}

Test(choose, leave_to_remap_is_taken_where_copying_does_not_see_pins)
{
	const uint32_t may = PAGEMV_MOVE_MAY_REMAP;
	const uint32_t remap = PAGEMV_MECH_BIT(PAGEMV_MECH_REMAP);
	const uint32_t copy = PAGEMV_MECH_BIT(PAGEMV_MECH_COPY);

	cr_expect(chosen_without_pin_check(may, PAGEMV_BUSY_STAY) == remap);
	cr_expect(chosen_without_pin_check(may, PAGEMV_BUSY_SKIP) == remap);
	cr_expect(chosen_without_pin_check(may, PAGEMV_BUSY_REMAP) == remap);
	/* One page is copied sooner, and the caller says that it may be. */
	cr_expect(chosen_without_pin_check(may, PAGEMV_BUSY_COPY) == copy);
	cr_expect(chosen_without_pin_check(may | PAGEMV_MOVE_QUIESCENT,
					   PAGEMV_BUSY_STAY) == copy);
	/* Without leave there is nothing else. */
	cr_expect(chosen_without_pin_check(0, PAGEMV_BUSY_STAY) == copy);
}
