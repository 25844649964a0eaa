// SPDX-License-Identifier: LGPL-2.1-or-later
#include "job.h"

#include "internal.h"
#include "region.h"

int pmv_uffd_of(const struct pagemv *pv, const struct pmv_request *rq,
		uintptr_t dst, size_t *len)
{
	if (pmv_likely(!pmv_faulting(pv)))
		return pmv_has(pv, PAGEMV_HAS_QUIET) ? pv->uffd : -1;
	return rq->uffd ? rq->uffd : pmv_region_arming_at(pv, dst, len).fd;
}

void pmv_note_moved(const struct pagemv *pv, const struct pmv_request *rq,
		    uintptr_t dst, size_t bytes)
{
	/* Else it is a fault, which notes its pages itself. */
	if (!rq->uffd)
		pmv_region_note(pv, dst, bytes);
}

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
	if (pmv_unlikely(pmv_faulting(job->pv)))
		pmv_note_moved(job->pv, job->rq, span->dst, step->done);
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
