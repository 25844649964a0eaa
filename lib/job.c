// SPDX-License-Identifier: LGPL-2.1-or-later
#include "job.h"

#include "internal.h"

void pmv_advance(struct pmv_job *job, struct pmv_span *span, size_t bytes)
{
	span->dst += bytes;
	span->src += bytes;
	span->len -= bytes;
	job->idle = 0;
	job->invalid_tries = 0;
}

void pmv_account(struct pmv_job *job, const struct pmv_mover *mover,
		 struct pmv_span *span, const struct pmv_step *step)
{
	struct pagemv_result *res = job->res;
	size_t pages = step->done - step->holes;

	if (!step->done)
		return;
	if (mover->copies)
		res->copied_bytes += pages;
	else
		res->moved_bytes += pages;
	res->hole_bytes += step->holes;
	res->mechanisms |= PAGEMV_MECH_BIT(mover->id);
	pmv_count(&job->pv->stats, PMV_BY_MECHANISM + mover->id, pages);
	pmv_advance(job, span, step->done);
}

void pmv_note_left(struct pmv_job *job, uintptr_t src,
		   enum pagemv_reason reason)
{
	size_t off = src - job->rq->src;

	if (job->res->reason && off >= job->res->left_off)
		return;
	job->res->left_off = off;
	job->res->reason = reason;
}
