/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mover.h"
#include "pages.h"

#include <sys/mman.h>

#include "pin.h"
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

/* ---- a huge page that is held: the kernel would try for ever to split it ----
 */

struct held {
	struct scene s;
	char *small; /* the scene's own source */
	size_t n;
	struct t_pin *pin;
};

static struct held begin_held(void)
{
	size_t n = ((size_t)2 << 20) / t_page();
	struct held h = { .s = scene_open(n, NULL), .n = n };
	const char *why = "no huge page to be had";

	h.small = h.s.src;
	h.s.src = t_map_at(n, t_pages(n), 0, true);
	t_fill_range(h.s.src, n, 1);
	if (pmv_pages_huge(h.s.pv, (uintptr_t)h.s.src))
		h.pin = t_pin(h.s.src + t_pages(n / 2), t_page(), &why);
	if (!h.pin)
		cr_skip("%s", why);
	fake_forget_counts();
	return h;
}

static void end_held(struct held *h)
{
	t_unmap(h->s.src, h->n);
	h->s.src = h->small;
	scene_close(&h->s);
}

Test(mover_move, a_huge_page_that_is_held_is_not_asked_for_in_parts)
{
	struct held h = begin_held();
	struct pmv_step did;

	h.s.pv->quirks |= PAGEMV_QUIRK_HUGE_MOVE;
	did = step(&h.s, h.n);
	cr_expect(did.error == -EBUSY && did.done == 0, "%d", did.error);
	cr_expect(fake_count(FAKE_MOVE) == 0);
	EXPECT_RIGHT(t_check_range(h.s.src, h.n, 1));
	t_unpin(h.pin);
	did = step(&h.s, h.n);
	cr_expect(did.done == t_pages(h.n / 2), "%d", did.error);
	cr_expect(fake_count(FAKE_MOVE) == 1);
	EXPECT_RIGHT(t_check_range(h.s.heap, h.n / 2, 1));
	EXPECT_RIGHT(t_check_range(h.s.src + t_pages(h.n / 2), h.n / 2,
				   1 + h.n / 2));
	end_held(&h);
}

Test(mover_move, nor_for_a_copy)
{
	struct held h = begin_held();
	struct pagemv_result res;
	int rc = scene_move_opts(&h.s, 0, PAGEMV_MECH_COPY, PAGEMV_BUSY_STAY,
				 &res);

	cr_expect(rc == -EBUSY && res.reason == PAGEMV_REASON_PINNED, "%d (%s)",
		  rc, pagemv_reason_string(res.reason));
	cr_expect(fake_count(FAKE_MOVE) == 0);
	EXPECT_RIGHT(t_check_range(h.s.src, h.n, 1));
	t_unpin(h.pin);
	cr_expect(scene_move_opts(&h.s, 0, PAGEMV_MECH_COPY, 0, &res) == 0);
	EXPECT_RIGHT(t_check_range(h.s.heap, h.n, 1));
	end_held(&h);
}
