// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The answers of the kernel, and what becomes of them here:
 *
 *   EAGAIN, some done   go on behind it; the next answer tells the cause
 *   EAGAIN, none done   wait a little longer each time, PMV_IDLE_MAX times
 *   ENOENT              unmapped, or a hole: see on_absent()
 *   EEXIST              somebody's page at dst, or the kernel moved pages and
 *                       did not count them: see on_occupied()
 *   EBUSY               shared by fork, KSM or swap: made exclusive; else
 *                       pinned: see on_busy()
 *   EINVAL              read the mappings and name the reason, or go on piece
 *                       by piece: see on_invalid()
 *   ENOMEM, EFAULT, ... stop and say so
 *
 * Each answer without progress counts as idle; any progress resets it.
 */
#include "job.h"

#include <errno.h>

#include "diagnose.h"
#include "internal.h"
#include "pages.h"
#include "region.h"
#include "trace.h"

/* Pages made exclusive at a time after EBUSY. */
#define EXCLUSIVE_BYTES ((size_t)256 << 10)
/* A page that is busy after so many times is pinned; more than one, since
 * another fork() may share it again. */
#define EXCLUSIVE_TRIES 2

static bool in_source(const struct pmv_job *job, uintptr_t addr)
{
	return addr - job->rq->src < job->rq->len;
}

/* Throws away pages at dst for REPLACE; never those that are still to be
 * moved, or were left, in an overlapping source. */
static enum pagemv_reason replace(struct pmv_job *job,
				  const struct pmv_span *span, size_t bytes)
{
	if (!(job->rq->flags & PAGEMV_MOVE_REPLACE))
		return PAGEMV_REASON_OCCUPIED;
	if (in_source(job, span->dst))
		return PAGEMV_REASON_OCCUPIED;
	if (span->dst < job->rq->src)
		bytes = pmv_min(bytes, job->rq->src - span->dst);
	if (pmv_pages_discard(job->pv, span->dst, bytes) < 0)
		return PAGEMV_REASON_OCCUPIED;
	return PAGEMV_REASON_NONE;
}

enum pagemv_reason pmv_pass_hole(struct pmv_job *job, struct pmv_span *span,
				 size_t bytes)
{
	struct pmv_run there;

	if (!(job->rq->flags & PAGEMV_MOVE_HOLES))
		return PAGEMV_REASON_HOLE;
	there = pmv_pages_run(job->pv, span->dst, bytes);
	if (there.populated && span->dst < span->clear_until)
		there = (struct pmv_run){
			.bytes = pmv_min(bytes, span->clear_until - span->dst),
		};
	if (there.populated) {
		if (job->idle++ >= PMV_IDLE_MAX)
			return PAGEMV_REASON_OCCUPIED;
		return replace(job, span, there.bytes);
	}
	job->res->hole_bytes += there.bytes;
	pmv_advance(job, span, there.bytes);
	return PAGEMV_REASON_NONE;
}

/* Takes pages as moved that the kernel did not count, and wakes those who
 * wait for them, which the kernel forgot as well. */
static void repair(struct pmv_job *job, struct pmv_span *span, size_t bytes)
{
	struct pmv_step step = { .done = bytes };
	struct pagemv *pv = job->pv;

	PMV_TRACE3(repaired, span->dst, span->src, bytes);
	pmv_uffd_wake(pv->sys, pv->uffd, span->dst, bytes);
	job->res->repaired_bytes += bytes;
	pmv_count(&pv->stats, PMV_REPAIRED, bytes);
	pmv_account(job, job->mover, span, &step);
}

/*
 * The least time in which so many pages move. Less than the fastest that was
 * seen, as the machine may have been slow when that was measured; half a
 * page's time for each page more, since some of them may be older.
 */
static uint64_t slow_enough(const struct pmv_job *job, size_t pages)
{
	const struct pagemv *pv = job->pv;

	return pv->fastest_move / 4 * 3 + (pages - 1) * pv->fastest_page / 2;
}

/*
 * Whether UFFDIO_MOVE may have moved pages and then said EEXIST.
 *
 * ASSUME(uffd-miscount): from 6.18 on, a step that succeeds after an internal
 *   retry is not counted and repeated, and then finds its own pages at dst
 *   (mm/userfaultfd.c, move_pages(): err is not cleared; fixed by "userfaultfd:
 *   reset err to be 0 when move_pages_ptes succeeded").
 *
 * In the page tables this looks like a source that had no pages and somebody
 * else's at dst, as after the same move made twice. But work takes time: the
 * miscount takes a move of at least one page and two attempts more. If the
 * answer came faster than any move of one page did, and the step before had
 * not stopped in the middle, then nothing has been moved. (Measured: 0.6 us
 * for EEXIST without work, at least 0.94 us for a move of one page.) An answer
 * that was slow for another reason, as the first after a pause is, is taken
 * for a miscount where src is empty: repaired_bytes says so, and no page can
 * be lost by it, as there is none at src.
 */
static bool may_be_miscounted(const struct pmv_job *job, size_t pages,
			      uint64_t ticks)
{
	const struct pagemv *pv = job->pv;

	if (job->mover->id != PAGEMV_MECH_MOVE ||
	    !(pv->quirks & PAGEMV_QUIRK_MISCOUNT))
		return false;
	/* Known: there were pages at src, or none at dst, just before. */
	if (job->uncertain || job->scan || job->dst_cleared)
		return true;
	return ticks >= slow_enough(job, pages);
}

/*
 * Pages at both places: was dst taken all the time, or has the page moved
 * without being counted, and src been stored to again before anybody could
 * look? Nothing tells for sure. It may be the latter if dst was emptied
 * before, or if pages behind are absent at src and present at dst, as those
 * that moved with it; and if the answer was slow enough for a move.
 */
static bool may_have_moved(const struct pmv_job *job,
			   const struct pmv_span *span, size_t at_dst,
			   uint64_t ticks)
{
	if (!may_be_miscounted(job, 1, ticks) ||
	    (!job->uncertain && ticks < slow_enough(job, 1)))
		return false;
	if (job->dst_cleared)
		return true;
	for (size_t off = 0; off < at_dst;) {
		struct pmv_run run =
			pmv_pages_run(job->pv, span->src + off, at_dst - off);

		if (!run.populated && run.known)
			return true;
		off += run.bytes;
	}
	return false;
}

static enum pagemv_reason on_occupied(struct pmv_job *job,
				      struct pmv_span *span, uint64_t ticks)
{
	struct pmv_run src = pmv_pages_run(job->pv, span->src, span->len);
	struct pmv_run dst = pmv_pages_run(job->pv, span->dst, span->len);
	size_t both = pmv_min(src.bytes, dst.bytes);

	if (!src.known || !dst.known)
		return PAGEMV_REASON_OCCUPIED;
	if (!dst.populated)
		return PAGEMV_REASON_NONE; /* gone meanwhile: again */
	if (src.populated)
		return may_have_moved(job, span, dst.bytes, ticks)
			       ? PAGEMV_REASON_RACED
			       : replace(job, span, both);
	if (may_be_miscounted(job, both / job->pv->page_bytes, ticks)) {
		repair(job, span, both);
		return PAGEMV_REASON_NONE;
	}
	if (!(job->rq->flags & PAGEMV_MOVE_HOLES))
		return PAGEMV_REASON_OCCUPIED;
	job->scan = true; /* a hole, and a page where its hole belongs */
	return PAGEMV_REASON_NONE;
}

static bool unmapped(const struct pagemv *pv, uintptr_t addr)
{
	struct pmv_mapping m;
	int rc = pmv_mapping_find(pv, addr, &m);

	return rc == 0 || (rc == 1 && m.start > addr);
}

static enum pagemv_reason on_absent(struct pmv_job *job,
				    const struct pmv_span *span)
{
	struct pagemv *pv = job->pv;

	if (unmapped(pv, span->src) || unmapped(pv, span->dst))
		return PAGEMV_REASON_UNMAPPED;
	if (!(job->rq->flags & PAGEMV_MOVE_HOLES) &&
	    !pmv_pages_run(pv, span->src, pv->page_bytes).populated)
		return PAGEMV_REASON_HOLE;
	job->scan = true;
	return PAGEMV_REASON_NONE;
}

/* One page that the kernel will not move as long as it is held. */
static enum pagemv_reason on_pinned(struct pmv_job *job, struct pmv_span *span)
{
	struct pagemv *pv = job->pv;
	struct pmv_span page = *span;
	struct pmv_step step;

	PMV_TRACE1(pinned, span->src);
	pmv_count(&pv->stats, PMV_PINNED, 1);
	job->pinned_src = span->src;
	page.len = pv->page_bytes;
	switch (job->rq->busy) {
	case PAGEMV_BUSY_SKIP:
		pmv_note_left(job, span->src, PAGEMV_REASON_PINNED);
		pmv_advance(job, span, pv->page_bytes);
		return PAGEMV_REASON_NONE;
	case PAGEMV_BUSY_REMAP:
		job->res->kernel_calls++;
		step = pmv_mover_remap.step(pv, &page);
		pmv_account(job, &pmv_mover_remap, span, &step);
		break;
	case PAGEMV_BUSY_COPY:
		job->res->kernel_calls++;
		step = pmv_copy_held(pv, &page);
		pmv_account(job, &pmv_mover_copy, span, &step);
		break;
	default:
		return PAGEMV_REASON_PINNED;
	}
	if (job->stray.bytes)
		return PAGEMV_REASON_RACED;
	if (step.done)
		return PAGEMV_REASON_NONE;
	if (step.error == -EEXIST)
		return PAGEMV_REASON_OCCUPIED;
	return step.error == -ENOMEM ? PAGEMV_REASON_TOO_MANY_MAPPINGS
				     : PAGEMV_REASON_PINNED;
}

/* Makes the busy page exclusive, and those behind it, as they will most
 * likely be shared as well; of pages behind a pinned one, only the next. */
static int make_exclusive(struct pmv_job *job, const struct pmv_span *span)
{
	struct pagemv *pv = job->pv;
	size_t bytes = pmv_min(span->len, EXCLUSIVE_BYTES);

	if (job->pinned_src == span->src - pv->page_bytes)
		bytes = pv->page_bytes;
	/* Populating a hole would make a page of it. */
	bytes = pmv_pages_run(pv, span->src, bytes).bytes;
	pmv_count(&pv->stats, PMV_MADE_EXCLUSIVE, 1);
	return pmv_pages_populate(pv, span->src, bytes);
}

static enum pagemv_reason on_busy(struct pmv_job *job, struct pmv_span *span)
{
	if (job->busy_src != span->src) {
		job->busy_src = span->src;
		job->busy_tries = 0;
	}
	if (job->busy_tries++ >= EXCLUSIVE_TRIES)
		return on_pinned(job, span);
	switch (make_exclusive(job, span)) {
	case -ENOMEM:
		return PAGEMV_REASON_NO_MEMORY;
	case -EHWPOISON:
	case -EFAULT:
		return PAGEMV_REASON_POISONED;
	default:
		return PAGEMV_REASON_NONE; /* and see what the kernel says */
	}
}

/* Registers dst again, if that is what is wrong. */
static enum pagemv_reason rearm(struct pmv_job *job,
				const struct pmv_span *span)
{
	if (!pmv_has(job->pv, PAGEMV_HAS_QUIET))
		return PAGEMV_REASON_NONE;
	switch (pmv_region_rearm(job->pv, span->dst, span->len)) {
	case 0:
		return PAGEMV_REASON_NONE;
	case -EBUSY:
		return PAGEMV_REASON_FOREIGN_UFFD;
	case -ENOMEM:
		return PAGEMV_REASON_NO_MEMORY;
	default:
		return PAGEMV_REASON_UNEXPECTED;
	}
}

enum pagemv_reason pmv_why_not_registered(const struct pagemv *pv,
					  uintptr_t addr, size_t bytes)
{
	bool registered = false;

	if (!pmv_region_touches(pv, addr, bytes))
		pmv_diagnose_range(pv, addr, bytes, &registered);
	return registered ? PAGEMV_REASON_FOREIGN_UFFD
			  : PAGEMV_REASON_NOT_REGISTERED;
}

static enum pagemv_reason on_invalid(struct pmv_job *job,
				     const struct pmv_span *span)
{
	struct pagemv *pv = job->pv;
	enum pagemv_reason reason;

	/* So a child learns of it: UFFDIO_MOVE refuses other processes. */
	if (!pmv_alive(pv))
		return PAGEMV_REASON_FORKED;
	if (job->invalid_seen && job->pieces)
		return PAGEMV_REASON_UNEXPECTED;
	job->invalid_seen = true;
	job->pieces = true;
	pmv_count(&pv->stats, PMV_DIAGNOSES, 1);
	reason = pmv_diagnose(pv, span->dst, span->src, span->len);
	if (reason)
		return reason;
	if (!job->rq->staging && !pmv_region_holds(pv, span->dst, span->len))
		return pmv_why_not_registered(pv, span->dst, span->len);
	return rearm(job, span);
}

static enum pagemv_reason on_changing(struct pmv_job *job,
				      const struct pmv_span *span)
{
	uint64_t ns = pmv_backoff_ns(job->idle);

	PMV_TRACE3(retry, span->dst, span->src, job->idle);
	pmv_count(&job->pv->stats, PMV_RETRIES, 1);
	if (ns)
		job->pv->sys->sleep_ns(ns);
	else
		job->pv->sys->yield();
	return PAGEMV_REASON_NONE;
}

/* What an answer means when asking again did not help. */
static enum pagemv_reason plain_reason(const struct pmv_job *job, int error)
{
	switch (error) {
	case -EAGAIN:
		return PAGEMV_REASON_CHANGING;
	case -EEXIST:
		return PAGEMV_REASON_OCCUPIED;
	case -ENOENT:
		return PAGEMV_REASON_HOLE;
	case -EBUSY:
		return PAGEMV_REASON_PINNED;
	case -ENOMEM:
		return job->mover->id == PAGEMV_MECH_REMAP
			       ? PAGEMV_REASON_TOO_MANY_MAPPINGS
			       : PAGEMV_REASON_NO_MEMORY;
	case -EFAULT:
		return PAGEMV_REASON_POISONED;
	case -EINTR:
	case -ESRCH:
		return PAGEMV_REASON_INTERRUPTED;
	case -EPERM:
	case -EACCES:
	case -ENOSYS:
		return PAGEMV_REASON_FILTERED;
	default:
		return PAGEMV_REASON_UNEXPECTED;
	}
}

enum pagemv_reason pmv_on_error(struct pmv_job *job, struct pmv_span *span,
				int error, uint64_t ticks)
{
	if (job->stray.bytes)
		return PAGEMV_REASON_RACED;
	if (job->idle++ >= PMV_IDLE_MAX)
		return plain_reason(job, error);
	switch (error) {
	case -EAGAIN:
		return on_changing(job, span);
	case -EEXIST:
		return on_occupied(job, span, ticks);
	case -ENOENT:
		return on_absent(job, span);
	case -EBUSY:
		return on_busy(job, span);
	case -EINVAL:
		return on_invalid(job, span);
	default:
		return plain_reason(job, error);
	}
}
