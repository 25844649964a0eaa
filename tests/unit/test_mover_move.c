/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mover.h"

#include "scene.h"

static struct pmv_step step(struct scene *s, size_t pages)
{
	struct pmv_stray stray = { 0 };
	struct pmv_span span = { .dst = (uintptr_t)s->heap,
				 .src = (uintptr_t)s->src,
				 .len = t_pages(pages),
				 .uffd = s->pv->uffd,
				 .stray = &stray };

	return pmv_mover_move.step(s->pv, &span);
}

Test(mover_move, each_mechanism_has_its_mover)
{
	cr_expect(pmv_movers[PAGEMV_MECH_AUTO] == NULL);
	for (int m = PAGEMV_MECH_AUTO + 1; m < PAGEMV_MECH_COUNT; m++) {
		cr_assert(pmv_movers[m] != NULL);
		cr_expect(pmv_movers[m]->id == (enum pagemv_mechanism)m);
		cr_expect(pmv_movers[m]->step != NULL);
	}
	cr_expect(!pmv_mover_move.copies && !pmv_mover_remap.copies);
	cr_expect(pmv_mover_copy.copies);
}

Test(mover_move, a_step_is_one_ioctl)
{
	struct scene s = scene_open(4, NULL);
	struct pmv_step did = step(&s, 4);

	cr_expect(did.done == t_pages(4) && !did.error && !did.holes);
	cr_expect(fake_total() == 1);
	scene_close(&s);
}

Test(mover_move, a_step_is_short_where_huge_pages_must_not_move_whole)
{
	struct scene s = scene_open(600, NULL);
	struct pmv_step did;

	s.pv->quirks |= PAGEMV_QUIRK_HUGE_MOVE;
	s.pv->huge_bytes = t_pages(512);
	did = step(&s, 600);
	cr_expect(did.done == t_pages(256) && !did.error);
	s.pv->huge_bytes = 0;
	s.heap += t_pages(256);
	s.src += t_pages(256);
	did = step(&s, 344);
	cr_expect(did.done == t_pages(344) && !did.error);
	s.heap -= t_pages(256);
	s.src -= t_pages(256);
	scene_close(&s);
}

Test(mover_move, errors_are_the_kernels)
{
	struct scene s = scene_open(4, NULL);
	struct pmv_step did;

	fake_fail(FAKE_MOVE, 1, -EFAULT);
	did = step(&s, 4);
	cr_expect(did.error == -EFAULT && did.done == 0);
	EXPECT_RIGHT(t_check_range(s.src, 4, 1));
	scene_close(&s);
}
