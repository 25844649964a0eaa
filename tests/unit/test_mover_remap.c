/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mover.h"

#include "scene.h"

static struct pmv_step step(struct scene *s, uint32_t flags)
{
	struct pmv_stray stray = { 0 };
	struct pmv_span span = { .dst = (uintptr_t)s->heap,
				 .src = (uintptr_t)s->src,
				 .len = t_pages(s->pages),
				 .flags = flags,
				 .stray = &stray };

	return pmv_mover_remap.step(s->pv, &span);
}

Test(mover_remap, pages_change_hands)
{
	struct scene s = scene_open(8, NULL);
	struct pmv_step did = step(&s, 0);

	cr_expect(did.done == t_pages(8) && !did.error && !did.holes);
	cr_expect(fake_count(FAKE_MREMAP) == 1);
	EXPECT_RIGHT(t_check_range(s.heap, 8, 1));
	EXPECT_RIGHT(t_check_absent(s.src, 8));
	scene_close(&s);
}

Test(mover_remap, it_stops_before_a_hole)
{
	struct scene s = scene_open(8, NULL);
	struct pmv_step did;

	t_drop(s.src + t_pages(3), 1);
	did = step(&s, 0);
	cr_expect(did.done == t_pages(3) && !did.error);
	s.src += t_pages(3);
	s.heap += t_pages(3);
	s.pages = 5;
	did = step(&s, 0);
	cr_expect(did.done == 0 && did.error == -ENOENT);
	pagemv_close(s.pv);
}

Test(mover_remap, it_stops_before_a_page_in_the_way)
{
	struct scene s = scene_open(8, NULL);
	struct pmv_step did;

	t_fill(s.heap + t_pages(2), 99, 1);
	did = step(&s, 0);
	cr_expect(did.done == t_pages(2) && !did.error);
	s.src += t_pages(2);
	s.heap += t_pages(2);
	s.pages = 6;
	did = step(&s, 0);
	cr_expect(did.done == 0 && did.error == -EEXIST);
	EXPECT_RIGHT(t_check(s.heap, 99, 1));
	pagemv_close(s.pv);
}

Test(mover_remap, holes_and_replace_are_counted_and_done)
{
	struct scene s = scene_open(8, NULL);
	struct pmv_step did;

	t_drop(s.src + t_pages(3), 2);
	t_fill(s.heap + t_pages(3), 99, 1);
	t_fill(s.heap + t_pages(6), 98, 1);
	did = step(&s, PAGEMV_MOVE_HOLES | PAGEMV_MOVE_REPLACE);
	cr_expect(did.done == t_pages(8) && did.holes == t_pages(2) &&
		  !did.error);
	EXPECT_RIGHT(t_check_absent(s.heap + t_pages(3), 2));
	EXPECT_RIGHT(t_check_range(s.heap + t_pages(5), 3, 6));
	scene_close(&s);
}

Test(mover_remap, an_error_moves_nothing_and_counts_no_hole)
{
	struct scene s = scene_open(8, NULL);
	struct pmv_step did;

	t_drop(s.src, 1);
	fake_refuse(FAKE_MREMAP, -ENOMEM);
	did = step(&s, PAGEMV_MOVE_HOLES);
	cr_expect(did.done == 0 && did.holes == 0 && did.error == -ENOMEM);
	fake_behave();
	fake_refuse(FAKE_MREMAP, -EFAULT);
	did = step(&s, PAGEMV_MOVE_HOLES);
	cr_expect(did.error == -EINVAL, "several mappings");
	EXPECT_RIGHT(t_check_range(s.src + t_page(), 7, 2));
	scene_close(&s);
}

Test(mover_remap, unchecked_looks_at_nothing)
{
	struct scene s = scene_open(8, NULL);

	cr_expect(step(&s, PAGEMV_MOVE_UNCHECKED).done == t_pages(8));
	cr_expect(fake_total() == 1, "%u calls", fake_total());
	scene_close(&s);
}

/* A registered source of this size is detached first, if nobody uses it. */
#define LARGE 512

static void expect_detached_move(const struct fake_rule *rule)
{
	struct scene s = scene_open(LARGE, NULL);
	struct pagemv_result res;
	int rc;

	scene_register(s.pv, s.src, LARGE);
	if (rule)
		fake_add(*rule);
	rc = scene_move_opts(&s, PAGEMV_MOVE_MAY_REMAP | PAGEMV_MOVE_QUIESCENT,
			     PAGEMV_MECH_REMAP, 0, &res);
	fake_behave();
	EXPECT_SANE(rc, &res, t_pages(LARGE));
	EXPECT_RIGHT(pages_wrong(s.heap, s.src, LARGE, &res));
	/* Whatever happened, neither side hangs, and both take pages. */
	t_drop(s.heap, LARGE);
	t_fill_range(s.heap, LARGE, 1);
	t_drop(s.src, LARGE);
	rc = pagemv_move(s.pv, s.src, s.heap, t_pages(LARGE), NULL, &res);
	cr_expect(rc == 0, "%d (%s)", rc, pagemv_reason_string(res.reason));
	EXPECT_RIGHT(t_check_range(s.src, LARGE, 1));
	scene_close(&s);
}

Test(mover_remap, a_large_registered_source_is_detached, .timeout = 20)
{
	expect_detached_move(NULL);
}

Test(mover_remap, every_failure_while_detaching_leaves_both_sides_usable,
     .timeout = 20)
{
	static const enum fake_call calls[] = { FAKE_REGISTER, FAKE_UNREGISTER,
						FAKE_MREMAP };
	static const int errors[] = { -ENOMEM, -EINVAL, -EPERM, -EBUSY };

	for (size_t c = 0; c < T_COUNT(calls); c++)
		for (size_t e = 0; e < T_COUNT(errors); e++)
			for (unsigned int nth = 1; nth < 3; nth++)
				expect_detached_move(&(struct fake_rule){
					.call = calls[c],
					.nth = nth,
					.error = errors[e] });
}
