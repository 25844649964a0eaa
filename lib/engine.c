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
#include "engine.h"

#include <errno.h>
#include <string.h>

#include "diagnose.h"
#include "internal.h"
#include "mover.h"
#include "pages.h"
#include "region.h"
#include "trace.h"

/* Pages made exclusive at a time after EBUSY. */
#define EXCLUSIVE_BYTES ((size_t)256 << 10)
/* A page that is busy after so many times is pinned; more than one, since
 * another fork() may share it again. */
#define EXCLUSIVE_TRIES 2

struct pmv_job {
	struct pagemv *pv;
	const struct pmv_mover *mover;
	const struct pmv_request *rq;
	struct pagemv_result *res;
	struct pmv_stray stray;
	unsigned int idle;      /* answers in a row without progress */
	bool scan;              /* look for holes before each step */
	bool pieces;            /* one mapping at a time */
	bool uncertain;         /* the last step stopped in the middle */
	bool invalid_seen;      /* EINVAL has been looked into since progress */
	uintptr_t busy_src;     /* the page that was busy last, and how often */
	unsigned int busy_tries;
	uintptr_t pinned_src;   /* the page that was pinned last */
};

int pmv_refuse(struct pagemv_result *res, size_t len, enum pagemv_reason reason)
{
	*res = (struct pagemv_result){
		.left_bytes = len,
		.error = pmv_reason_errno(reason),
		.reason = reason,
	};
	return res->error;
}

int pmv_request_opts(struct pmv_request *rq,
		     const struct pagemv_move_opts *opts, uint32_t allowed)
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

/* ---- accounting ---- */

static void advance(struct pmv_job *job, struct pmv_span *span, size_t bytes)
{
	span->dst += bytes;
	span->src += bytes;
	span->len -= bytes;
	job->idle = 0;
	job->invalid_seen = false;
}

/* Notes the pages that a step of a mechanism brought to dst. */
static void account(struct pmv_job *job, const struct pmv_mover *mover,
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
	pmv_count(job->pv->stats, PMV_BY_MECHANISM + mover->id, pages);
	advance(job, span, step->done);
}

/* Notes that the page at src, or all from there on, is left. */
static void note_left(struct pmv_job *job, uintptr_t src,
		      enum pagemv_reason reason)
{
	size_t off = src - job->rq->src;

	if (!job->res->reason || off < job->res->left_off)
		job->res->left_off = off;
	if (!job->res->reason)
		job->res->reason = reason;
}

static bool in_source(const struct pmv_job *job, uintptr_t addr)
{
	return addr - job->rq->src < job->rq->len;
}

/* ---- what to do on each answer: NONE to go on, or the reason to stop ---- */

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

/* Passes a run of absent source pages. */
static enum pagemv_reason pass_hole(struct pmv_job *job, struct pmv_span *span,
				    size_t bytes)
{
	struct pmv_run there;

	if (!(job->rq->flags & PAGEMV_MOVE_HOLES))
		return PAGEMV_REASON_HOLE;
	there = pmv_pages_run(job->pv, span->dst, bytes);
	if (there.populated) {
		job->idle++;
		return replace(job, span, there.bytes);
	}
	job->res->hole_bytes += there.bytes;
	advance(job, span, there.bytes);
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
	pmv_count(pv->stats, PMV_REPAIRED, bytes);
	account(job, job->mover, span, &step);
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
 * that was slow for another reason is taken for a miscount: no page is lost
 * by that, and repaired_bytes says so.
 */
static bool may_be_miscounted(const struct pmv_job *job, size_t pages,
			      uint64_t ticks)
{
	const struct pagemv *pv = job->pv;

	if (job->mover->id != PAGEMV_MECH_MOVE ||
	    !(pv->quirks & PAGEMV_QUIRK_MISCOUNT))
		return false;
	/* A scan has seen the pages at src just now, or would discard dst. */
	if (job->uncertain || job->scan)
		return true;
	/* Half a page's time each, since some of them may be older. */
	return ticks >= pv->fastest_move + (pages - 1) * pv->fastest_page / 2;
}

static enum pagemv_reason on_occupied(struct pmv_job *job,
				      struct pmv_span *span, uint64_t ticks)
{
	struct pmv_run src = pmv_pages_run(job->pv, span->src, span->len);
	struct pmv_run dst = pmv_pages_run(job->pv, span->dst, span->len);
	size_t both = pmv_min(src.bytes, dst.bytes);

	if (!dst.populated)
		return PAGEMV_REASON_NONE; /* gone meanwhile: again */
	if (src.populated)
		return replace(job, span, both);
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
	pmv_count(pv->stats, PMV_PINNED, 1);
	job->pinned_src = span->src;
	page.len = pv->page_bytes;
	switch (job->rq->busy) {
	case PAGEMV_BUSY_SKIP:
		note_left(job, span->src, PAGEMV_REASON_PINNED);
		advance(job, span, pv->page_bytes);
		return PAGEMV_REASON_NONE;
	case PAGEMV_BUSY_REMAP:
		if (!(job->rq->flags & PAGEMV_MOVE_MAY_REMAP))
			return PAGEMV_REASON_LAYOUT;
		step = pmv_mover_remap.step(pv, &page);
		account(job, &pmv_mover_remap, span, &step);
		break;
	case PAGEMV_BUSY_COPY:
		step = pmv_copy_held(pv, &page);
		account(job, &pmv_mover_copy, span, &step);
		break;
	default:
		return PAGEMV_REASON_PINNED;
	}
	if (step.done)
		return PAGEMV_REASON_NONE;
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
	pmv_count(pv->stats, PMV_MADE_EXCLUSIVE, 1);
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

static enum pagemv_reason why_not_registered(const struct pagemv *pv,
					     uintptr_t addr, size_t bytes)
{
	bool registered = false;

	pmv_diagnose_range(pv, addr, bytes, &registered);
	return registered ? PAGEMV_REASON_FOREIGN_UFFD
			  : PAGEMV_REASON_NOT_REGISTERED;
}

static enum pagemv_reason on_invalid(struct pmv_job *job,
				     const struct pmv_span *span)
{
	struct pagemv *pv = job->pv;
	enum pagemv_reason reason;

	if (job->invalid_seen && job->pieces)
		return PAGEMV_REASON_UNEXPECTED;
	job->invalid_seen = true;
	job->pieces = true;
	pmv_count(pv->stats, PMV_DIAGNOSES, 1);
	reason = pmv_diagnose(pv, span->dst, span->src, span->len);
	if (reason)
		return reason;
	if (!job->rq->staging && !pmv_region_holds(pv, span->dst, span->len))
		return why_not_registered(pv, span->dst, span->len);
	return rearm(job, span);
}

static enum pagemv_reason on_changing(struct pmv_job *job,
				      const struct pmv_span *span)
{
	uint64_t ns = pmv_backoff_ns(job->idle);

	PMV_TRACE3(retry, span->dst, span->src, job->idle);
	pmv_count(job->pv->stats, PMV_RETRIES, 1);
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
		return job->mover->id == PAGEMV_MECH_MOVE
			       ? PAGEMV_REASON_NO_MEMORY
			       : PAGEMV_REASON_TOO_MANY_MAPPINGS;
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

static enum pagemv_reason on_error(struct pmv_job *job, struct pmv_span *span,
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

/* ---- the loop ---- */

/* What the next step may cover: one mapping, one run of pages. Returns
 * whether that is a hole. */
static bool next_part(const struct pmv_job *job, const struct pmv_span *span,
		      struct pmv_span *part)
{
	struct pmv_run run;

	*part = *span;
	if (pmv_unlikely(job->pieces))
		part->len = pmv_piece(job->pv, part->dst, part->src, part->len);
	if (pmv_likely(!job->scan))
		return false;
	run = pmv_pages_run(job->pv, part->src, part->len);
	part->len = run.bytes;
	return !run.populated;
}

static enum pagemv_reason run_span(struct pmv_job *job, struct pmv_span span)
{
	enum pagemv_reason reason = PAGEMV_REASON_NONE;

	while (span.len && !reason) {
		struct pmv_span part;
		struct pmv_step step;
		uint64_t begun;

		if (next_part(job, &span, &part)) {
			reason = pass_hole(job, &span, part.len);
			continue;
		}
		begun = pmv_ticks();
		step = job->mover->step(job->pv, &part);
		job->res->kernel_calls++;
		account(job, job->mover, &span, &step);
		if (pmv_likely(!step.error))
			job->uncertain = false;
		/* After some progress the next answer tells the cause. */
		else if (!step.done)
			reason = on_error(job, &span, step.error,
					  pmv_ticks() - begun);
		if (step.error == -EAGAIN || step.done)
			job->uncertain = step.error != 0;
	}
	if (reason)
		note_left(job, span.src, reason);
	return reason;
}

/*
 * How much may be moved at a time. Overlapping ranges are moved in pieces
 * that do not overlap, except by UFFDIO_MOVE towards lower addresses, where
 * a page has left before another one arrives in its place; but not where a
 * miscount would have to be told from the page tables of both.
 */
static size_t chunk_bytes(const struct pmv_job *job)
{
	const struct pmv_request *rq = job->rq;
	size_t down = rq->src - rq->dst, up = rq->dst - rq->src;

	if (up < rq->len)
		return up;
	if (down < rq->len &&
	    (job->mover->id != PAGEMV_MECH_MOVE ||
	     job->pv->quirks & PAGEMV_QUIRK_MISCOUNT))
		return down;
	return rq->len;
}

static void run(struct pmv_job *job)
{
	const struct pmv_request *rq = job->rq;
	bool from_end = rq->dst - rq->src < rq->len;
	size_t chunk = chunk_bytes(job), done = 0;

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
		enum pagemv_reason reason = run_span(job, span);

		if (reason) {
			/* What lies before it has not been tried. */
			if (from_end && off)
				note_left(job, rq->src, reason);
			return;
		}
		done += bytes;
	}
}

/* ---- before and after ---- */

static enum pagemv_reason check_arguments(const struct pagemv *pv,
					  const struct pmv_request *rq)
{
	if ((rq->dst | rq->src | rq->len) & (pv->page_bytes - 1))
		return PAGEMV_REASON_MISALIGNED;
	if (!rq->len)
		return PAGEMV_REASON_ZERO_LENGTH;
	if (rq->dst + rq->len < rq->dst || rq->src + rq->len < rq->src)
		return PAGEMV_REASON_WRAPS;
	return PAGEMV_REASON_NONE;
}

static void describe(const struct pagemv *pv, const struct pmv_request *rq,
		     struct pmv_shape *shape)
{
	size_t huge = pv->huge_bytes;
	uintptr_t first, last;

	*shape = (struct pmv_shape){
		.pages = rq->len / pv->page_bytes,
		.checked = !(rq->flags & PAGEMV_MOVE_UNCHECKED),
	};
	if (!huge || (rq->dst ^ rq->src) & (huge - 1))
		return;
	first = pmv_round_up(rq->src, huge);
	last = pmv_round_down(rq->src + rq->len, huge);
	if (first >= last)
		return;
	shape->pages_a_huge = huge / pv->page_bytes;
	shape->huge_runs = (last - first) / huge;
	shape->kind = pmv_region_kind(pv, rq->dst);
	if (shape->kind == PMV_KIND_UNKNOWN) {
		shape->kind = pmv_pages_huge(pv, first) ? PMV_KIND_HUGE
							: PMV_KIND_BASE;
		pmv_region_learn(pv, rq->dst, shape->kind);
	}
}

/* Below so many pages mremap never wins, and is not worth the thought. */
#define REMAP_PAGES_MIN 16

static enum pagemv_mechanism choose(const struct pagemv *pv,
				    const struct pmv_request *rq)
{
	uint32_t candidates = PAGEMV_MECH_BIT(PAGEMV_MECH_REMAP);
	bool overlap = rq->dst - rq->src < rq->len ||
		       rq->src - rq->dst < rq->len;
	struct pmv_shape shape;

	if (!(rq->flags & PAGEMV_MOVE_MAY_REMAP) ||
	    !pmv_available(pv, PAGEMV_MECH_REMAP))
		return pv->kept_layout;
	if (pv->kept_layout == PAGEMV_MECH_AUTO)
		return PAGEMV_MECH_REMAP;
	if (overlap || (pv->kept_layout == PAGEMV_MECH_MOVE &&
			rq->len < REMAP_PAGES_MIN * pv->page_bytes))
		return pv->kept_layout;
	candidates |= PAGEMV_MECH_BIT(pv->kept_layout);
	describe(pv, rq, &shape);
	return pmv_cheapest(atomic_load_explicit(&pv->costs,
						 memory_order_acquire),
			    candidates, &shape);
}

static enum pagemv_reason choose_mover(struct pmv_job *job)
{
	const struct pmv_request *rq = job->rq;
	const struct pagemv *pv = job->pv;
	enum pagemv_mechanism m = rq->mechanism;

	if (m == PAGEMV_MECH_AUTO)
		m = choose(pv, rq);
	if (m == PAGEMV_MECH_AUTO)
		return pmv_available(pv, PAGEMV_MECH_REMAP)
			       ? PAGEMV_REASON_LAYOUT
			       : PAGEMV_REASON_NO_MECHANISM;
	if (!pmv_available(pv, m))
		return pv->caps.mech[m].reason;
	if (m == PAGEMV_MECH_REMAP && !(rq->flags & PAGEMV_MOVE_MAY_REMAP))
		return PAGEMV_REASON_LAYOUT;
	job->mover = pmv_movers[m];
	return PAGEMV_REASON_NONE;
}

/*
 * The checks that UFFDIO_MOVE makes by itself: for the other mechanisms, and
 * where pages at dst are thrown away before the kernel is asked.
 */
static enum pagemv_reason check_ranges(struct pmv_job *job)
{
	const uint32_t discards = PAGEMV_MOVE_HOLES | PAGEMV_MOVE_REPLACE;
	const struct pmv_request *rq = job->rq;
	bool moves = job->mover->id == PAGEMV_MECH_MOVE;
	bool holes = rq->flags & PAGEMV_MOVE_HOLES;
	bool unchecked = rq->flags & PAGEMV_MOVE_UNCHECKED;
	bool discard = moves && (rq->flags & discards) == discards;
	enum pagemv_reason reason;

	/* A hole whose place at dst is taken must not be taken for a page
	 * that the kernel moved and did not count. */
	job->scan = moves ? holes && job->pv->quirks & PAGEMV_QUIRK_MISCOUNT
			  : job->mover->needs_scan && !unchecked;
	if (!job->mover->needs_check && !discard)
		return PAGEMV_REASON_NONE;
	job->scan |= discard;
	if (discard || !unchecked) {
		reason = pmv_check(job->pv, rq->dst, rq->src, rq->len,
				   &job->pieces);
		if (reason)
			return reason;
	}
	if (!rq->staging && !pmv_region_holds(job->pv, rq->dst, rq->len))
		return why_not_registered(job->pv, rq->dst, rq->len);
	return PAGEMV_REASON_NONE;
}

static void finish(const struct pmv_job *job)
{
	struct pagemv_result *res = job->res;
	struct pmv_stats *stats = job->pv->stats;
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
	if (pmv_likely(!res->error && res->moved_bytes == len)) {
		res->left_off = len;
		return;
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

static enum pagemv_reason prepare(struct pmv_job *job)
{
	enum pagemv_reason reason;

	if (!pmv_alive(job->pv))
		return PAGEMV_REASON_FORKED;
	reason = check_arguments(job->pv, job->rq);
	if (!reason)
		reason = choose_mover(job);
	if (!reason)
		reason = check_ranges(job);
	return reason;
}

int pmv_engine_move(struct pagemv *pv, const struct pmv_request *rq,
		    struct pagemv_result *res)
{
	struct pmv_job job = { .pv = pv, .rq = rq, .res = res };
	enum pagemv_reason reason;

	*res = (struct pagemv_result){ 0 };
	reason = prepare(&job);
	if (pmv_unlikely(reason == PAGEMV_REASON_FORKED))
		return pmv_refuse(res, rq->len, reason);
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
