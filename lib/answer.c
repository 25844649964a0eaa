// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The answers of the kernel, and what becomes of them here:
 *
 *   EAGAIN, some done   go on behind it; the next answer tells the cause
 *   EAGAIN, none done   wait a little longer each time, PMV_IDLE_MAX times
 *   ENOENT              unmapped, or a hole; or a huge page that migrates:
 *                       wait: see on_absent()
 *   EEXIST              somebody's page at dst, or the kernel moved pages and
 *                       did not count them: see on_occupied()
 *   EBUSY               shared by fork, KSM or swap: made exclusive; on its
 *                       way to the swap: wait; else pinned: see on_busy()
 *   EINVAL              read the mappings and name the reason, or go on piece
 *                       by piece: see on_invalid()
 *   ENOMEM, EFAULT, ... stop and say so
 *
 * Each answer without progress counts as idle; any progress resets it.
 */
#include "job.h"

#include <errno.h>

#include "diagnose.h"
#include "forks.h"
#include "internal.h"
#include "kernel.h"
#include "pages.h"
#include "region.h"
#include "trace.h"

/* Pages made exclusive at a time after EBUSY. */
#define EXCLUSIVE_BYTES ((size_t)256 << 10)
/* A page that is busy after so many times, and has not been shared again, is
 * pinned; more than one, since that can be seen only most of the time. */
#define EXCLUSIVE_TRIES 2
/* EINVAL that nothing explains after so many times is not understood; more
 * than two, since other threads may be locking and unlocking the memory. */
#define INVALID_TRIES 8
/* How often a page is waited for that may be on its way to the swap: 60 ms in
 * all; and where that did not help, for how long none is waited for. */
#define WRITE_WAITS   40
#define IMPATIENCE_NS 6000000000u

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

static void wake(struct pagemv *pv, uintptr_t addr, size_t bytes)
{
	while (bytes) {
		size_t n = bytes;
		struct pmv_arming a = pmv_region_arming_at(pv, addr, &n);

		if (a.fd >= 0)
			pmv_uffd_wake(pv->sys, a.fd, addr, n);
		addr += n;
		bytes -= n;
	}
}

/* Takes pages as moved that the kernel did not count, and wakes those who
 * wait for them, which the kernel forgot as well. */
static void repair(struct pmv_job *job, struct pmv_span *span, size_t bytes)
{
	struct pmv_step step = { .done = bytes };
	struct pagemv *pv = job->pv;

	PMV_TRACE3(repaired, span->dst, span->src, bytes);
	wake(pv, span->dst, bytes);
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

/*
 * How much is held, where the page at the head of the span is.
 *
 * ASSUME(uffd-held-huge): a huge page that is held, and of which UFFDIO_MOVE is
 *   asked to move a part, cannot be split; the kernel tries again until it is
 *   let go, and returns for nothing but a fatal signal. Seen on 6.12.95,
 *   6.18.15 and 7.2.12 (tests/vm/scenarios/uring.c). So a huge page that was
 *   refused as a whole is dealt with as a whole.
 */
static size_t held_bytes(const struct pagemv *pv, const struct pmv_span *span)
{
	size_t huge = pv->huge_bytes;

	if (huge && span->len >= huge &&
	    !((span->src | span->dst) & (huge - 1)) &&
	    pmv_pages_huge(pv, span->src))
		return huge;
	return pv->page_bytes;
}

/* Takes what is held to dst in as many steps as that needs; the last one. */
static struct pmv_step carry(struct pmv_job *job, struct pmv_span *span,
			     size_t bytes, const struct pmv_mover *mover,
			     struct pmv_step (*one)(struct pagemv *pv,
						    const struct pmv_span *))
{
	struct pmv_step step = { 0 };

	while (bytes) {
		struct pmv_span held = *span;

		held.len = bytes;
		held.uffd = pmv_uffd_of(job->pv, job->rq, held.dst, &held.len);
		job->res->kernel_calls++;
		step = one(job->pv, &held);
		pmv_account(job, mover, span, &step);
		if (!step.done)
			break;
		bytes -= step.done;
	}
	return step;
}

/* A page that the kernel will not move as long as it is held. */
static enum pagemv_reason on_pinned(struct pmv_job *job, struct pmv_span *span)
{
	struct pagemv *pv = job->pv;
	size_t bytes = held_bytes(pv, span);
	struct pmv_step step;

	PMV_TRACE1(pinned, span->src);
	pmv_count(&pv->stats, PMV_PINNED, bytes / pv->page_bytes);
	job->pinned_src = span->src + bytes - pv->page_bytes;
	switch (job->rq->busy) {
	case PAGEMV_BUSY_SKIP:
		pmv_note_left(job, span->src, PAGEMV_REASON_PINNED);
		pmv_advance(job, span, bytes);
		return PAGEMV_REASON_NONE;
	case PAGEMV_BUSY_REMAP:
		if (pmv_must_not_remap(pv, span->dst, span->src, bytes))
			return PAGEMV_REASON_PINNED;
		step = carry(job, span, bytes, &pmv_mover_remap,
			     pmv_mover_remap.step);
		break;
	case PAGEMV_BUSY_COPY:
		if (pmv_region_has(pv, span->src, bytes, PAGEMV_REGION_EVENTS))
			return PAGEMV_REASON_PINNED;
		step = carry(job, span, bytes, &pmv_mover_copy, pmv_copy_held);
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
	return pmv_pages_populate(pv->sys, span->src, bytes);
}

/*
 * Waits a little for a busy page that may not be pinned; false if that is not
 * worth it.
 *
 * ASSUME(uffd-writeback): a folio of several pages cannot be split while it is
 *   written to the swap, and UFFDIO_MOVE says EBUSY as for a pin, be it still
 *   in the page table, in there again, or only in the swap cache. Seen on
 *   6.18.15 and 7.2.12: for 4 to 28 ms (tests/vm/scenarios/swap.c).
 *
 * Neither the page tables nor any call tell the two apart. So where swap is
 * on, a page is given some time before it is taken for pinned. Where that was
 * in vain the program has pinned pages, and for a hundred times as long none
 * is waited for.
 */
static bool wait_for_write(struct pmv_job *job)
{
	struct pagemv *pv = job->pv;
	unsigned int waits = job->busy_tries - EXCLUSIVE_TRIES;

	if (waits == 0 &&
	    (pv->sys->now_ns() < atomic_load_explicit(&pv->patient_from,
						      memory_order_relaxed) ||
	     !pmv_swap_is_on(pv)))
		return false;
	if (waits < WRITE_WAITS) {
		pv->sys->sleep_ns(pmv_backoff_ns(8 + waits));
		return true;
	}
	atomic_store_explicit(&pv->patient_from,
			      pv->sys->now_ns() + IMPATIENCE_NS,
			      memory_order_relaxed);
	return false;
}

/*
 * Has the process forked since the last question, or is it forking? Then a page
 * that was made exclusive may be shared again, and busy for no other reason,
 * be the child gone already.
 */
static bool forked(struct pmv_job *job)
{
	unsigned int forks = pmv_forks(), before = job->forks;

	job->forks = forks;
	return forks != before || forks % 2 != 0;
}

static enum pagemv_reason on_busy(struct pmv_job *job, struct pmv_span *span)
{
	if (job->busy_src != span->src) {
		job->busy_src = span->src;
		job->busy_tries = 0;
	}
	if (forked(job))
		job->busy_tries = 0;
	if (job->busy_tries < EXCLUSIVE_TRIES) {
		job->busy_tries++;
	} else if (!pmv_pages_shared(job->pv, span->src)) {
		if (!wait_for_write(job))
			return on_pinned(job, span);
		job->busy_tries++;
	}
	switch (make_exclusive(job, span)) {
	case -ENOMEM:
		return PAGEMV_REASON_NO_MEMORY;
	case -EFAULT:
		/* In a faulting region an absent page, that another thread has
		 * just moved: those before it are exclusive now. */
		if (atomic_load_explicit(&job->pv->faulting,
					 memory_order_relaxed))
			return PAGEMV_REASON_NONE;
		return PAGEMV_REASON_POISONED;
	case -EHWPOISON:
		return PAGEMV_REASON_POISONED;
	default:
		return PAGEMV_REASON_NONE; /* and see what the kernel says */
	}
}

/* Whether what is mapped at addr is registered with nobody. */
static bool unarmed(const struct pagemv *pv, uintptr_t addr)
{
	struct pmv_mapping m;

	return pmv_mapping_find_deep(pv, addr, &m) == 1 && m.start <= addr &&
	       !(m.flags & PMV_MAP_UFFD);
}

/*
 * Registers dst again, if that is what is wrong: mremap() takes it off, the
 * library's own as well. Where the library had to know of faults it has missed
 * some, and says so.
 */
static enum pagemv_reason rearm(struct pmv_job *job,
				const struct pmv_span *span)
{
	struct pagemv *pv = job->pv;
	size_t bytes = span->len;
	struct pmv_arming a = pmv_region_arming_at(pv, span->dst, &bytes);

	if (a.fd < 0)
		return PAGEMV_REASON_NONE;
	/* A faulting or tracked one is never registered again: it may be about
	 * to end. Mappings may have to be taken one by one; if that does not
	 * help, it is registered with somebody else. */
	if (a.fd != pv->uffd && unarmed(pv, span->dst))
		return PAGEMV_REASON_REPLACED;
	if (a.fd != pv->uffd)
		return job->invalid_tries < INVALID_TRIES
			       ? PAGEMV_REASON_NONE
			       : PAGEMV_REASON_FOREIGN_UFFD;
	switch (pmv_region_rearm(pv, span->dst, bytes)) {
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
	/* Other threads may have changed it, and changed it back. */
	if (job->invalid_tries++ >= INVALID_TRIES)
		return PAGEMV_REASON_UNEXPECTED;
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
	PMV_TRACE3(retry, span->dst, span->src, job->idle);
	pmv_count(&job->pv->stats, PMV_RETRIES, 1);
	pmv_back_off(job->pv->sys, job->idle);
	return PAGEMV_REASON_NONE;
}

static bool is_there(const struct pmv_job *job, const struct pmv_span *span)
{
	return pmv_pages_run(job->pv, span->src, job->pv->page_bytes).populated;
}

/*
 * A hole, or nothing is mapped; or a page is there all the same.
 *
 * ASSUME(uffd-migrating-huge): to UFFDIO_MOVE a huge page that is migrating is
 *   ENOENT, as long as that takes. Seen on 6.12.95, 6.16.3 and 6.16.12, not
 *   from 6.17 on (tests/vm/scenarios/quirks.c). The page tables tell.
 */
static enum pagemv_reason on_absent(struct pmv_job *job,
				    const struct pmv_span *span)
{
	struct pagemv *pv = job->pv;

	if (unmapped(pv, span->src) || unmapped(pv, span->dst))
		return PAGEMV_REASON_UNMAPPED;
	if (is_there(job, span))
		return on_changing(job, span);
	if (!(job->rq->flags & PAGEMV_MOVE_HOLES))
		return PAGEMV_REASON_HOLE;
	job->scan = true;
	return PAGEMV_REASON_NONE;
}

/* What an answer means when asking again did not help. */
static enum pagemv_reason plain_reason(struct pmv_job *job,
				       const struct pmv_span *span, int error)
{
	switch (error) {
	case -EAGAIN:
		return PAGEMV_REASON_CHANGING;
	case -EEXIST:
		return PAGEMV_REASON_OCCUPIED;
	case -ENOENT:
		return is_there(job, span) ? PAGEMV_REASON_CHANGING
					   : PAGEMV_REASON_HOLE;
	case -EBUSY:
		return forked(job) || pmv_pages_shared(job->pv, job->busy_src)
			       ? PAGEMV_REASON_CHANGING
			       : PAGEMV_REASON_PINNED;
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
		return plain_reason(job, span, error);
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
		return plain_reason(job, span, error);
	}
}
