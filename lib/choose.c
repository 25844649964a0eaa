// SPDX-License-Identifier: LGPL-2.1-or-later
/* Before the first step: checks, and the choice of the mechanism. */
#include "diagnose.h"
#include "internal.h"
#include "job.h"
#include "pages.h"
#include "region.h"

static void describe(const struct pagemv *pv, const struct pmv_request *rq,
		     struct pmv_shape *shape)
{
	size_t huge = pv->huge_bytes;
	uintptr_t first, last;

	*shape = (struct pmv_shape){
		.pages = rq->len / pv->page_bytes,
		.checked = !(rq->flags & PAGEMV_MOVE_UNCHECKED),
	};
	if (!huge)
		return;
	shape->pages_a_huge = huge / pv->page_bytes;
	first = pmv_round_up(rq->src, huge);
	last = pmv_round_down(rq->src + rq->len, huge);
	if (first < last && !((rq->dst ^ rq->src) & (huge - 1)))
		shape->huge_runs = (last - first) / huge;
	shape->kind = pmv_region_kind(pv, rq->dst);
	if (shape->kind != PMV_KIND_UNKNOWN)
		return;
	shape->kind = pmv_pages_huge(pv, shape->huge_runs ? first : rq->src)
			      ? PMV_KIND_HUGE
			      : PMV_KIND_BASE;
	pmv_region_learn(pv, rq->dst, shape->kind);
}

/*
 * Would copying part a page from a device that the caller has not given up?
 * Where nothing tells of pins, mremap alone keeps them together.
 */
static bool may_part(const struct pagemv *pv, const struct pmv_request *rq)
{
	return !pmv_has(pv, PAGEMV_HAS_PIN_CHECK) &&
	       !(rq->flags & PAGEMV_MOVE_QUIESCENT) &&
	       rq->busy != PAGEMV_BUSY_COPY;
}

bool pmv_must_not_remap(const struct pagemv *pv, uintptr_t dst, uintptr_t src,
			size_t len)
{
	return pmv_faulting(pv) &&
	       (pmv_region_has(pv, dst, len,
			       PAGEMV_REGION_FAULTING |
				       PAGEMV_REGION_TRACKED) ||
		pmv_region_has(pv, src, len, PAGEMV_REGION_EVENTS));
}

/* Copying detaches pages by mremap where nothing moves them. */
static bool may_detach(const struct pagemv *pv, const struct pmv_request *rq)
{
	return !pmv_faulting(pv) || rq->flags & PAGEMV_MOVE_QUIESCENT ||
	       pmv_can_move(pv) ||
	       !pmv_region_has(pv, rq->src, rq->len, PAGEMV_REGION_EVENTS);
}

/* To regions with events UFFDIO_MOVE and UFFDIO_COPY wait for the program's own
 * calls: see mover_companion.c. */
static bool must_not_carry(const struct pagemv *pv,
			   const struct pmv_request *rq)
{
	return pmv_faulting(pv) &&
	       pmv_region_has(pv, rq->dst, rq->len, PAGEMV_REGION_EVENTS);
}

/* AUTO's choice without mremap. UFFDIO_MOVE wakes those whose fault it is. */
static enum pagemv_mechanism kept_layout(const struct pagemv *pv,
					 const struct pmv_request *rq)
{
	enum pagemv_mechanism m = pmv_kept_layout(pv, rq->len);

	if (m == PAGEMV_MECH_COMPANION && pmv_faulting(pv) &&
	    pmv_region_has(pv, rq->dst, rq->len,
			   PAGEMV_REGION_FAULTING | PAGEMV_REGION_TRACKED) &&
	    (pv->kept_layout == PAGEMV_MECH_MOVE || must_not_carry(pv, rq)))
		return pv->kept_layout;
	return m;
}

/* Whether it is worth a thought that mremap may cost less. */
static bool may_be_dearer(const struct pagemv *pv, enum pagemv_mechanism m,
			  size_t len)
{
	return m == PAGEMV_MECH_COPY ||
	       len >= PMV_REMAP_PAGES_MIN * pv->page_bytes;
}

static enum pagemv_mechanism choose(const struct pagemv *pv,
				    const struct pmv_request *rq)
{
	enum pagemv_mechanism kept = kept_layout(pv, rq);
	uint32_t candidates = PAGEMV_MECH_BIT(PAGEMV_MECH_REMAP);
	bool overlap = rq->dst - rq->src < rq->len ||
		       rq->src - rq->dst < rq->len;
	struct pmv_shape shape;

	if (!(rq->flags & PAGEMV_MOVE_MAY_REMAP) ||
	    !pmv_available(pv, PAGEMV_MECH_REMAP) ||
	    pmv_must_not_remap(pv, rq->dst, rq->src, rq->len))
		return kept;
	if (kept == PAGEMV_MECH_AUTO || may_part(pv, rq))
		return PAGEMV_MECH_REMAP;
	if (overlap || !may_be_dearer(pv, kept, rq->len))
		return kept;
	candidates |= PAGEMV_MECH_BIT(kept);
	describe(pv, rq, &shape);
	return pmv_cheapest(
		atomic_load_explicit(&pv->costs, memory_order_acquire),
		candidates, &shape);
}

static enum pagemv_reason choose_mover(struct pmv_job *job)
{
	const struct pmv_request *rq = job->rq;
	const struct pagemv *pv = job->pv;
	enum pagemv_mechanism m = rq->mechanism;

	if (m == PAGEMV_MECH_AUTO)
		m = job->first.made ? job->first.by : choose(pv, rq);
	if (m == PAGEMV_MECH_AUTO)
		return pmv_available(pv, PAGEMV_MECH_REMAP) &&
				       !(rq->flags & PAGEMV_MOVE_MAY_REMAP)
			       ? PAGEMV_REASON_LAYOUT
			       : PAGEMV_REASON_NO_MECHANISM;
	if (!pmv_available(pv, m))
		return pv->caps.mech[m].reason;
	if ((m == PAGEMV_MECH_REMAP || rq->busy == PAGEMV_BUSY_REMAP) &&
	    !(rq->flags & PAGEMV_MOVE_MAY_REMAP))
		return PAGEMV_REASON_LAYOUT;
	if (m == PAGEMV_MECH_REMAP &&
	    pmv_must_not_remap(pv, rq->dst, rq->src, rq->len))
		return PAGEMV_REASON_NO_MECHANISM;
	if (m == PAGEMV_MECH_COPY && !pv->can_detach &&
	    !(rq->flags & PAGEMV_MOVE_QUIESCENT))
		return pv->caps.mech[PAGEMV_MECH_REMAP].reason;
	if (m == PAGEMV_MECH_COPY && !may_detach(pv, rq))
		return PAGEMV_REASON_NO_MECHANISM;
	if (m == PAGEMV_MECH_COMPANION && must_not_carry(pv, rq))
		return PAGEMV_REASON_NO_MECHANISM;
	job->mover = pmv_movers[m];
	return PAGEMV_REASON_NONE;
}

/* Whether the kernel checks all of a range before a page of it moves. */
static bool moves(const struct pmv_job *job)
{
	return job->mover->id == PAGEMV_MECH_MOVE ||
	       job->mover->id == PAGEMV_MECH_COMPANION;
}

/* A quirk of UFFDIO_MOVE. */
static bool has_quirk(const struct pmv_job *job, uint32_t quirk)
{
	return job->mover->id == PAGEMV_MECH_MOVE && job->pv->quirks & quirk;
}

/*
 * Overlapping ranges are moved in pieces that do not overlap, except by
 * UFFDIO_MOVE or the companion towards lower addresses, where a page has left
 * before another one arrives in its place; but not where a miscount would have
 * to be told from the page tables of both.
 */
size_t pmv_chunk_bytes(const struct pmv_job *job)
{
	const struct pmv_request *rq = job->rq;
	size_t down = rq->src - rq->dst, up = rq->dst - rq->src;

	if (up < rq->len)
		return up;
	if (down < rq->len &&
	    (!moves(job) || has_quirk(job, PAGEMV_QUIRK_MISCOUNT)))
		return down;
	return rq->len;
}

enum pagemv_reason pmv_request_allowed(struct pagemv *pv,
				       const struct pmv_request *rq)
{
	struct pmv_job job = { .pv = pv, .rq = rq };

	return choose_mover(&job);
}

/* Whether the kernel sees the whole of a request before a page of it moves. */
static bool in_one_go(const struct pmv_job *job)
{
	const struct pagemv *pv = job->pv;
	size_t same = job->rq->len;

	pmv_uffd_of(pv, job->rq, job->rq->dst, &same);
	return !job->scan && same == job->rq->len &&
	       pmv_chunk_bytes(job) == job->rq->len &&
	       (!has_quirk(job, PAGEMV_QUIRK_HUGE_MOVE) ||
		job->rq->len <= pv->huge_bytes / 2);
}

/* Of the two, UFFDIO_MOVE alone sees what is registered. */
static bool must_be_region(const struct pmv_job *job)
{
	const struct pmv_request *rq = job->rq;

	return job->mover->id != PAGEMV_MECH_MOVE && !rq->staging &&
	       !pmv_region_holds(job->pv, rq->dst, rq->len);
}

/*
 * The checks that UFFDIO_MOVE and the companion make by themselves, if they are
 * given the whole: for the other mechanisms, and where they are given a part at
 * a time.
 */
static enum pagemv_reason check_ranges(struct pmv_job *job)
{
	const struct pmv_request *rq = job->rq;
	bool by_kernel = moves(job);
	bool replaces = rq->flags & PAGEMV_MOVE_REPLACE;
	bool unchecked = rq->flags & PAGEMV_MOVE_UNCHECKED;
	enum pagemv_reason reason;

	/* A hole in src, with a page in its place at dst, must not be taken
	 * for a page that the kernel moved and did not count. */
	job->scan = by_kernel ? rq->flags & PAGEMV_MOVE_HOLES &&
					has_quirk(job, PAGEMV_QUIRK_MISCOUNT)
			      : job->mover->needs_scan && !unchecked;
	if (by_kernel && !replaces && in_one_go(job) && !must_be_region(job))
		return PAGEMV_REASON_NONE;
	if (!pmv_alive(job->pv))
		return PAGEMV_REASON_FORKED;
	if (by_kernel || !unchecked) {
		reason = pmv_check(job->pv, rq->dst, rq->src, rq->len,
				   &job->pieces);
		if (reason)
			return reason;
	}
	if (!rq->staging && !pmv_region_holds(job->pv, rq->dst, rq->len))
		return pmv_why_not_registered(job->pv, rq->dst, rq->len);
	return PAGEMV_REASON_NONE;
}

/*
 * REPLACE for UFFDIO_MOVE and the companion: what is at dst goes before the
 * first step. Later it could not be told from pages that were moved and not
 * counted. Source pages in an overlap are spared.
 */
static void clear_dst(struct pmv_job *job)
{
	const struct pmv_request *rq = job->rq;
	size_t down = rq->src - rq->dst, up = rq->dst - rq->src;
	uintptr_t from = rq->dst;
	size_t len = rq->len;

	if (up < rq->len) {
		from = rq->src + rq->len;
		len = up;
	} else if (down < rq->len) {
		len = down;
	}
	job->dst_cleared = pmv_pages_discard(job->pv, from, len) == 0;
}

enum pagemv_reason pmv_prepare(struct pmv_job *job)
{
	const struct pmv_request *rq = job->rq;
	enum pagemv_reason reason;

	reason = pmv_argument_reason(job->pv->page_bytes, rq->dst, rq->src,
				     rq->len);
	if (!reason)
		reason = choose_mover(job);
	if (!reason)
		reason = check_ranges(job);
	if (!reason && moves(job) && rq->flags & PAGEMV_MOVE_REPLACE &&
	    rq->dst != rq->src)
		clear_dst(job);
	return reason;
}
