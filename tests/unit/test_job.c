/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "job.h"

#include "scene.h"

#define SRC 0x100000u
#define DST 0x200000u

struct bed {
	struct pmv_request rq;
	struct pagemv_result res;
	struct pmv_job job;
	struct pmv_span span;
};

static void bed_open(struct bed *b, size_t pages)
{
	memset(b, 0, sizeof(*b));
	b->rq = (struct pmv_request){ .src = SRC,
				      .dst = DST,
				      .len = t_pages(pages) };
	b->job.pv = scene_handle(NULL);
	b->job.rq = &b->rq;
	b->job.res = &b->res;
	b->span = (struct pmv_span){ .src = SRC,
				     .dst = DST,
				     .len = t_pages(pages) };
}

Test(job, advancing_is_progress)
{
	struct bed b;

	bed_open(&b, 8);
	b.job.idle = 7;
	b.job.invalid_tries = 3;
	pmv_advance(&b.job, &b.span, t_pages(3));
	cr_expect(b.span.src == SRC + t_pages(3) &&
		  b.span.dst == DST + t_pages(3) && b.span.len == t_pages(5));
	cr_expect(b.job.idle == 0 && b.job.invalid_tries == 0);
	pagemv_close(b.job.pv);
}

Test(job, pages_are_accounted_by_how_they_came)
{
	struct pmv_step step = { .done = t_pages(3), .holes = t_page() };
	struct pagemv_stats stats = { .size = sizeof(stats) };
	struct bed b;

	bed_open(&b, 8);
	pmv_account(&b.job, &pmv_mover_move, &b.span, &step);
	cr_expect(b.res.moved_bytes == t_pages(2) &&
		  b.res.hole_bytes == t_page() && b.res.copied_bytes == 0);
	pmv_account(&b.job, &pmv_mover_copy, &b.span, &step);
	cr_expect(b.res.moved_bytes == t_pages(2) &&
		  b.res.copied_bytes == t_pages(2) &&
		  b.res.hole_bytes == t_pages(2));
	cr_expect(b.res.mechanisms == (PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE) |
				       PAGEMV_MECH_BIT(PAGEMV_MECH_COPY)));
	cr_expect(b.span.len == t_pages(2));
	cr_assert(pagemv_stats(b.job.pv, &stats) == 0);
	cr_expect(stats.moved_bytes == t_pages(2) &&
		  stats.copied_bytes == t_pages(2));
	pagemv_close(b.job.pv);
}

Test(job, a_step_that_did_nothing_is_no_progress)
{
	struct pmv_step step = { .error = -EAGAIN };
	struct bed b;

	bed_open(&b, 8);
	b.job.idle = 7;
	pmv_account(&b.job, &pmv_mover_move, &b.span, &step);
	cr_expect(b.job.idle == 7 && b.res.mechanisms == 0);
	cr_expect(b.span.len == t_pages(8));
	pagemv_close(b.job.pv);
}

Test(job, the_first_page_left_gives_offset_and_reason)
{
	struct bed b;

	bed_open(&b, 8);
	pmv_note_left(&b.job, SRC + t_pages(5), PAGEMV_REASON_PINNED);
	cr_expect(b.res.left_off == t_pages(5) &&
		  b.res.reason == PAGEMV_REASON_PINNED);
	pmv_note_left(&b.job, SRC + t_pages(6), PAGEMV_REASON_HOLE);
	cr_expect(b.res.left_off == t_pages(5) &&
		  b.res.reason == PAGEMV_REASON_PINNED);
	/* Overlapping moves upwards work from the end. */
	pmv_note_left(&b.job, SRC + t_pages(2), PAGEMV_REASON_NO_MEMORY);
	cr_expect(b.res.left_off == t_pages(2));
	cr_expect(b.res.reason == PAGEMV_REASON_NO_MEMORY, "%s",
		  pagemv_reason_string(b.res.reason));
	pagemv_close(b.job.pv);
}
