// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine.h"

#include <errno.h>

#include "blank.h"
#include "companion.h"
#include "diagnose.h"
#include "internal.h"
#include "job.h"
#include "pages.h"
#include "region.h"
#include "trace.h"
#include "track.h"

/* Member by member: an initialiser becomes REP STOS, which takes 15 ns to
 * start on the machines at hand. */
static inline void result_begin(struct pagemv_result *res)
{
	res->moved_bytes = 0;
	res->copied_bytes = 0;
	res->hole_bytes = 0;
	res->left_bytes = 0;
	res->left_off = 0;
	res->repaired_bytes = 0;
	res->error = 0;
	res->reason = PAGEMV_REASON_NONE;
	res->mechanisms = 0;
	res->kernel_calls = 0;
	res->stray = NULL;
	res->stray_bytes = 0;
	res->stray_off = 0;
	for (size_t i = 0; i < sizeof(res->reserved) / sizeof(uint64_t); i++)
		res->reserved[i] = 0;
}

int pmv_refuse(struct pagemv_result *res, size_t len, enum pagemv_reason reason)
{
	*res = (struct pagemv_result){
		.left_bytes = len,
		.error = pmv_reason_errno(reason),
		.reason = reason,
	};
	return res->error;
}

int pmv_refuse_opts(struct pagemv_result *res, size_t len, int error)
{
	pmv_refuse(res, len, PAGEMV_REASON_BAD_OPTIONS);
	res->error = error;
	return error;
}

PMV_HOT int pmv_request_opts(struct pmv_request *rq,
			     const struct pagemv_move_opts *opts,
			     uint32_t allowed)
{
	struct pagemv_move_opts o = { 0 };
	int rc;

	if (!opts)
		return 0;
	rc = pmv_opts_copy(&o, sizeof(o), opts);
	if (rc < 0)
		return rc;
	if (o.flags & ~allowed || o.mechanism >= PAGEMV_MECH_COUNT ||
	    o.busy >= PAGEMV_BUSY_COUNT || o.reserved)
		return -EINVAL;
	rq->flags = o.flags;
	rq->mechanism = o.mechanism;
	rq->busy = o.busy;
	return 0;
}

/* What the next step may cover: one descriptor, one mapping, one run of pages.
 * Returns whether that is a hole. */
static bool next_part(const struct pmv_job *job, struct pmv_span *span,
		      struct pmv_span *part)
{
	struct pmv_run run;

	*part = *span;
	part->uffd = pmv_uffd_of(job->pv, job->rq, part->dst, &part->len);
	span->uffd = part->uffd;
	if (job->pieces)
		part->len = pmv_piece(job->pv, part->dst, part->src, part->len);
	if (!job->scan)
		return false;
	run = pmv_pages_run(job->pv, part->src, part->len);
	part->len = run.bytes;
	return !run.populated && run.known;
}

/* Up to where there is nothing at dst, for memcpy, which will not tell. */
static uintptr_t clear_until(const struct pmv_job *job,
			     const struct pmv_span *span)
{
	struct pmv_run run;

	if (job->mover->id != PAGEMV_MECH_COPY || span->uffd >= 0)
		return 0;
	run = pmv_blank_run(job->pv, span->dst, span->len);
	return run.populated ? 0 : span->dst + run.bytes;
}

static struct pmv_attempt attempt(struct pmv_job *job,
				  const struct pmv_span *part)
{
	struct pmv_attempt now = job->first;
	uint64_t begun;

	job->first.made = false;
	if (now.made)
		return now;
	begun = pmv_ticks();
	now.step = job->mover->step(job->pv, part);
	now.ticks = pmv_ticks() - begun;
	return now;
}

static enum pagemv_reason run_step(struct pmv_job *job, struct pmv_span *span,
				   const struct pmv_span *part)
{
	enum pagemv_reason reason = PAGEMV_REASON_NONE;
	struct pmv_attempt now = attempt(job, part);

	job->res->kernel_calls++;
	pmv_account(job, job->mover, span, &now.step);
	/* After some progress the next answer tells the cause. */
	if (now.step.error && (!now.step.done || job->stray.bytes))
		reason = pmv_on_error(job, span, now.step.error, now.ticks);
	if (now.step.error == -EAGAIN || now.step.done)
		job->uncertain = now.step.error != 0;
	return reason;
}

static enum pagemv_reason run_span(struct pmv_job *job, struct pmv_span *span)
{
	enum pagemv_reason reason = PAGEMV_REASON_NONE;
	size_t len = span->len;
	struct pmv_span part;

	span->uffd = pmv_uffd_of(job->pv, job->rq, span->dst, &len);
	span->clear_until = clear_until(job, span);
	while (span->len && !reason) {
		if (next_part(job, span, &part))
			reason = pmv_pass_hole(job, span, part.len);
		else
			reason = run_step(job, span, &part);
	}
	if (reason)
		pmv_note_left(job, span->src, reason);
	return reason;
}

static void run(struct pmv_job *job)
{
	const struct pmv_request *rq = job->rq;
	bool from_end = rq->dst - rq->src < rq->len;
	size_t chunk = pmv_chunk_bytes(job), done = 0;

	while (done < rq->len) {
		size_t bytes = pmv_min(chunk, rq->len - done);
		size_t off = from_end ? rq->len - done - bytes : done;
		struct pmv_span span = {
			.dst = rq->dst + off,
			.src = rq->src + off,
			.len = bytes,
			.flags = rq->flags,
			.stray = &job->stray,
		};
		enum pagemv_reason reason = run_span(job, &span);

		if (reason) {
			/* What lies before it has not been tried. */
			if (from_end && off)
				pmv_note_left(job, rq->src, reason);
			return;
		}
		done += bytes;
	}
}

static void finish(const struct pmv_job *job)
{
	struct pagemv_result *res = job->res;
	struct pmv_stats *stats = &job->pv->stats;
	size_t len = job->rq->len;
	size_t done = res->moved_bytes + res->copied_bytes + res->hole_bytes;

	res->left_bytes = len - done;
	res->error = pmv_reason_errno(res->reason);
	pmv_count(stats, PMV_CALLS, 1);
	if (pmv_unlikely(res->kernel_calls != 1))
		pmv_count(stats, PMV_MORE_KERNEL_CALLS,
			  (uint64_t)res->kernel_calls - 1);
	if (pmv_unlikely(job->stray.bytes)) {
		res->stray = (void *)job->stray.addr;
		res->stray_bytes = job->stray.bytes;
		res->stray_off = job->stray.src - job->rq->src;
	}
	if (!res->error)
		res->left_off = len;
	else
		pmv_count(stats, PMV_FAILED_CALLS, 1);
	if (res->reason == PAGEMV_REASON_UNEXPECTED)
		pmv_count(stats, PMV_UNEXPECTED, 1);
	pmv_count(stats, PMV_HOLES, res->hole_bytes);
	pmv_count(stats, PMV_LEFT, res->left_bytes);
}

static int move_by_steps(struct pagemv *pv, const struct pmv_request *rq,
			 struct pagemv_result *res,
			 const struct pmv_attempt *first)
{
	enum pagemv_reason reason;
	struct pmv_job job = {
		.pv = pv,
		.rq = rq,
		.res = res,
		.first = *first,
	};

	result_begin(res);
	reason = pmv_prepare(&job);
	if (pmv_unlikely(reason))
		res->reason = reason;
	else if (pmv_unlikely(rq->dst == rq->src))
		res->moved_bytes = rq->len; /* they are there already */
	else
		run(&job);
	finish(&job);
	PMV_TRACE5(move_done, rq->dst, rq->src, rq->len, res->left_bytes,
		   res->error);
	return res->error;
}

/* ---- the common case by itself ---- */

/* Whether the kernel needs no help to do the whole by it: for the companion
 * regions are looked up, and woken, and UFFDIO_MOVE has its faults. */
static inline bool suits(const struct pagemv *pv, const struct pmv_request *rq,
			 enum pagemv_mechanism m, int uffd)
{
	if (m == PAGEMV_MECH_MOVE)
		return !(pv->quirks & PAGEMV_QUIRK_HUGE_MOVE);
	return m == PAGEMV_MECH_COMPANION &&
	       (!pmv_faulting(pv) || uffd == pv->uffd) &&
	       (rq->staging || pmv_region_holds(pv, rq->dst, rq->len));
}

/*
 * Whether one ioctl by itself is what the request asks for. Then it is
 * made before anything is set up: when it succeeds, and it nearly always
 * does, there is nothing to keep track of. Few calls and branches, as the
 * kernel leaves neither TLB nor branch predictor warm (measured: 70 ns for
 * the way through run() and finish(), 30 for this).
 */
static inline bool is_simple(const struct pagemv *pv,
			     const struct pmv_request *rq,
			     enum pagemv_mechanism m)
{
	const uint32_t harmless = PAGEMV_MOVE_QUIESCENT |
				  PAGEMV_MOVE_MAY_REMAP |
				  PAGEMV_MOVE_UNCHECKED | PMV_MOVE_UNDISTURBED;
	bool no_choice = !(rq->flags & PAGEMV_MOVE_MAY_REMAP) ||
			 rq->len < PMV_REMAP_PAGES_MIN * pv->page_bytes;
	bool wanted = rq->mechanism != PAGEMV_MECH_AUTO || no_choice;

	return wanted && !(rq->flags & ~harmless) && pmv_available(pv, m) &&
	       rq->busy != PAGEMV_BUSY_REMAP && rq->dst - rq->src >= rq->len &&
	       rq->src - rq->dst >= rq->len && rq->len;
}

static inline int all_moved(struct pagemv *pv, const struct pmv_request *rq,
			    struct pagemv_result *res, enum pagemv_mechanism by)
{
	result_begin(res);
	res->moved_bytes = rq->len;
	res->left_off = rq->len;
	res->mechanisms = PAGEMV_MECH_BIT(by);
	res->kernel_calls = 1;
	pmv_count(&pv->stats, PMV_CALLS, 1);
	pmv_count(&pv->stats, PMV_BY_MECHANISM + by, rq->len);
	if (pmv_unlikely(pmv_faulting(pv)))
		pmv_note_moved(pv, rq, rq->dst, rq->len);
	PMV_TRACE5(move_done, rq->dst, rq->src, rq->len, 0, 0);
	return 0;
}

static inline int engine_move(struct pagemv *pv, const struct pmv_request *rq,
			      struct pagemv_result *res)
{
	struct pmv_attempt first = { .made = false };
	enum pagemv_mechanism m = rq->mechanism;
	size_t one_go = rq->len;
	int uffd = pv->uffd;

	if (m == PAGEMV_MECH_AUTO)
		m = pmv_kept_layout(pv, rq->len);
	if (pmv_unlikely(pmv_faulting(pv)))
		uffd = pmv_uffd_of(pv, rq, rq->dst, &one_go);
	if (pmv_likely(is_simple(pv, rq, m) && suits(pv, rq, m, uffd) &&
		       one_go == rq->len)) {
		uint64_t begun = pmv_ticks();

		first.made = true;
		first.by = m;
		first.step =
			m == PAGEMV_MECH_MOVE
				? pmv_uffd_move(pv->sys, uffd, rq->dst, rq->src,
						rq->len)
				: pmv_companion_move(pv->sys, pv->companion,
						     rq->dst, rq->src, rq->len);
		if (pmv_likely(!first.step.error))
			return all_moved(pv, rq, res, m);
		first.ticks = pmv_ticks() - begun;
	}
	return move_by_steps(pv, rq, res, &first);
}

/* ---- pages that may be write-protected ---- */

/* How many bytes from the start are at dst, at least. */
static size_t arrived(const struct pmv_request *rq,
		      const struct pagemv_result *res)
{
	bool overlap = rq->dst - rq->src < rq->len ||
		       rq->src - rq->dst < rq->len;

	if (!res->error)
		return rq->len;
	return overlap ? 0 : res->left_off;
}

static int move_tracked(struct pagemv *pv, const struct pmv_request *rq,
			struct pagemv_result *res)
{
	const uint32_t quiescent = PAGEMV_MOVE_QUIESCENT | PMV_MOVE_UNDISTURBED;
	struct pmv_leaving leaving;
	bool leaves = pmv_track_leave(pv, rq->dst, rq->src, rq->len,
				      rq->flags & quiescent, &leaving);
	int rc = engine_move(pv, rq, res);

	if (leaves)
		pmv_track_arrive(pv, &leaving, arrived(rq, res));
	return rc;
}

PMV_HOT int pmv_engine_move(struct pagemv *pv, const struct pmv_request *rq,
			    struct pagemv_result *res)
{
	if (pmv_unlikely(pmv_tracking(pv)))
		return move_tracked(pv, rq, res);
	return engine_move(pv, rq, res);
}
