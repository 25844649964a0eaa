// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Copying, with the contract of a move.
 *
 * A page that is copied and then thrown away loses what is stored to it in
 * between. So pages are detached first: taken away from src in one go, by
 * UFFDIO_MOVE, the companion or mremap, to a staging range that nobody knows
 * of. A store that comes later finds an absent page at src. Only when the
 * caller says that nobody writes to src are pages copied from there directly.
 *
 * The first two refuse pinned pages; mremap does not, and then nothing tells
 * that a page is pinned (PAGEMV_HAS_PIN_CHECK).
 */
#include <errno.h>
#include <string.h>

#include "blank.h"
#include "internal.h"
#include "mapping.h"
#include "mover.h"
#include "pages.h"
#include "region.h"
#include "staging.h"

/* Pages detached at a time: they are absent at both places meanwhile. */
#define DETACH_BYTES ((size_t)256 << 10)

/* EAGAIN while pages are on their way is retried here, as nothing else can
 * go on before they have arrived. */
#define PATIENCE PMV_IDLE_MAX

/* Fills absent pages at dst from memory that nobody else writes to. */
static struct pmv_step fill(struct pagemv *pv, const struct pmv_span *to,
			    uintptr_t from)
{
	struct pmv_step step = { 0 };
	struct pmv_run run = { .bytes = to->len };

	if (to->uffd >= 0) {
		step = pmv_uffd_copy(pv->sys, to->uffd, to->dst, from, to->len);
		/* ENOENT of UFFDIO_COPY: dst is not registered, or no longer
		 * one mapping. A page is always in one. */
		if (step.error == -ENOENT && to->len > pv->page_bytes)
			step = pmv_uffd_copy(pv->sys, to->uffd, to->dst, from,
					     pv->page_bytes);
		if (step.error == -ENOENT)
			step.error = -EINVAL;
		return step;
	}
	if (to->dst + to->len > to->clear_until)
		run = pmv_blank_run(pv, to->dst, to->len);
	if (run.populated) {
		step.error = -EEXIST;
		return step;
	}
	step.done = run.bytes;
	memcpy((void *)to->dst, (const void *)from, step.done);
	return step;
}

/* fill() until len bytes are there, or until an error that will not go away. */
static struct pmv_step fill_all(struct pagemv *pv, const struct pmv_span *to,
				uintptr_t from, size_t len)
{
	struct pmv_step all = { 0 };

	for (unsigned int idle = 0; all.done < len && idle < PATIENCE;) {
		struct pmv_span rest = *to;
		struct pmv_step step;

		rest.dst += all.done;
		rest.len = len - all.done;
		step = fill(pv, &rest, from + all.done);
		all.done += step.done;
		all.error = step.error;
		if (step.error && step.error != -EAGAIN)
			break;
		if (step.done)
			idle = 0;
		else
			pv->sys->sleep_ns(pmv_backoff_ns(8 + idle++));
	}
	return all;
}

/*
 * fill_all() from the staging range: where memory is short, as at the limit of
 * a cgroup, pages that have arrived make room for those that have not.
 */
static struct pmv_step fill_from_staging(struct pagemv *pv,
					 const struct pmv_span *to,
					 uintptr_t staged, size_t len)
{
	struct pmv_step all = { 0 }, step;

	do {
		struct pmv_span rest = *to;

		rest.dst += all.done;
		step = fill_all(pv, &rest, staged + all.done, len - all.done);
		all.error = step.error;
		all.done += step.done;
	} while (step.error == -ENOMEM && step.done &&
		 pmv_pages_discard(pv, staged + all.done - step.done,
				   step.done) == 0);
	return all;
}

static struct pmv_step copy_directly(struct pagemv *pv,
				     const struct pmv_span *span)
{
	struct pmv_step step = fill(pv, span, span->src);
	int rc;

	if (!step.done)
		return step;
	rc = pmv_pages_discard(pv, span->src, step.done);
	if (rc < 0) {
		/* Not at two places: take the copies back. */
		pmv_pages_discard(pv, span->dst, step.done);
		return (struct pmv_step){ .error = rc };
	}
	return step;
}

/* ---- detaching ---- */

/*
 * Whether a page that is on its way between a place in the staging range and
 * its own is in the staging range; in *known, whether that could be told.
 *
 * A page of zeros may have come there by mlockall() of another thread, which
 * fills all that is mapped. Where the page's own place is taken, too, it is
 * taken for such a one: if it is the page after all, then its own place was
 * filled anew, with zeros as well.
 */
static bool in_staging(const struct pagemv *pv, uintptr_t staged, uintptr_t own,
		       bool *known)
{
	struct pmv_run here = pmv_pages_run(pv, staged, pv->page_bytes);
	struct pmv_run there = pmv_pages_run(pv, own, pv->page_bytes);

	*known = here.known && there.known;
	if (!here.populated || !there.populated)
		return here.populated;
	return !pmv_pages_zero(pv, staged);
}

/*
 * How many pages, from the first on, are in the staging range or (in false)
 * are not, after UFFDIO_MOVE made an error, whatever the kernel counted.
 */
static size_t count_staged(const struct pagemv *pv, uintptr_t staged,
			   uintptr_t own, size_t len, bool in, size_t counted)
{
	size_t done = 0;
	bool known;

	while (done < len) {
		if (in_staging(pv, staged + done, own + done, &known) != in)
			break;
		if (!known)
			return counted;
		done += pv->page_bytes;
	}
	return done;
}

static struct pmv_step detach_by_move(struct pagemv *pv,
				      const struct pmv_staging *staging,
				      uintptr_t src, size_t len)
{
	struct pmv_step step;

	/* A huge page comes in parts. */
	if (pmv_mover_to(pv, pv->uffd, len) == PAGEMV_MECH_MOVE &&
	    pmv_pages_held_huge(pv, src))
		return (struct pmv_step){ .error = -EBUSY };
	step = pmv_move_to(pv, pv->uffd, staging->base, src, len);
	if (step.error)
		step.done = count_staged(pv, staging->base, src, len, true,
					 step.done);
	return step;
}

/* Pages are locked on fault then. Where they were locked at once, all of the
 * mapping is locked so, that it does not become several. */
static struct pmv_step detach_by_remap(struct pagemv *pv,
				       const struct pmv_staging *staging,
				       uintptr_t src, size_t len)
{
	struct pmv_mapping m = { 0 };
	int rc;

	if (staging->locked)
		pmv_mapping_find(pv, src, &m);
	rc = pmv_remap(pv, staging->base, src, len, staging->locked);
	if (staging->locked && m.start <= src)
		pv->sys->mlock_on_fault(m.start, m.end - m.start);
	if (rc < 0)
		return (struct pmv_step){ .error = rc == -EFAULT ? -EINVAL
								 : rc };
	return (struct pmv_step){ .done = len };
}

static size_t move_home(struct pagemv *pv, int uffd, uintptr_t src,
			uintptr_t staging, size_t len)
{
	struct pmv_step step = pmv_move_to(pv, uffd, src, staging, len);

	if (!step.error)
		return len;
	return count_staged(pv, staging, src, len, false, step.done);
}

/* To where all is registered with one descriptor, or can be. */
static size_t put_back_piece(struct pagemv *pv, int uffd, uintptr_t src,
			     uintptr_t staging, size_t len)
{
	struct pmv_span home = { .dst = src, .len = len, .uffd = uffd };
	bool own = uffd == pv->uffd;
	bool borrowed = own && !pmv_region_holds(pv, src, len);
	size_t back = 0;

	/* Registered or not: idempotent; but it may be another handle's. */
	if (own && pmv_uffd_register(pv->sys, uffd, src, len, NULL) < 0)
		return 0;
	if (pmv_mover_to(pv, uffd, len) != PAGEMV_MECH_AUTO)
		back = move_home(pv, uffd, src, staging, len);
	if (back < len) {
		home.dst += back;
		back += fill_from_staging(pv, &home, staging + back, len - back)
				.done;
	}
	if (borrowed)
		pmv_uffd_unregister(pv->sys, uffd, src, len);
	return back;
}

/* By UFFDIO_MOVE or the companion where there is one, as they need no memory;
 * else by copying. All leave alone what has come to src meanwhile. */
static size_t put_back_gently(struct pagemv *pv, uintptr_t src,
			      uintptr_t staging, size_t len)
{
	size_t back = 0, now, bytes;

	do {
		struct pmv_arming a;

		bytes = len - back;
		a = pmv_region_arming_at(pv, src + back, &bytes);
		if (a.fd >= 0)
			now = put_back_piece(pv, a.fd, src + back,
					     staging + back, bytes);
		else if (pmv_companion_fills(pv, a.fd))
			now = move_home(pv, a.fd, src + back, staging + back,
					bytes);
		else
			break;
		back += now;
	} while (now == bytes && back < len);
	return back;
}

/*
 * Brings detached pages back to src, where dst would not take them. Returns
 * how many bytes are back; the others find src filled anew, or nothing works
 * any more. mremap always does, but would overwrite what was just stored.
 */
static size_t put_back(struct pagemv *pv, const struct pmv_span *span,
		       const struct pmv_staging *staging, size_t arrived,
		       size_t detached)
{
	uintptr_t src = span->src + arrived, from = staging->base + arrived;
	size_t len = detached - arrived, back;
	struct pmv_run there;

	back = put_back_gently(pv, src, from, len);
	if (back == len || !(span->flags & PMV_MOVE_UNDISTURBED))
		return back;
	there = pmv_pages_run(pv, src + back, len - back);
	if (!there.populated && pmv_remap(pv, src + back, from + back,
					  there.bytes, staging->locked) == 0)
		back += there.bytes;
	return back;
}

typedef struct pmv_step detach_fn(struct pagemv *pv,
				  const struct pmv_staging *staging,
				  uintptr_t src, size_t len);

/*
 * Ends a copy whose detached pages [staging, staging + detached) reached dst
 * only in part. Returns true if some are stray now, and the staging range is
 * the caller's.
 */
static bool undo(struct pagemv *pv, const struct pmv_span *span,
		 const struct pmv_staging *staging, size_t arrived,
		 size_t detached)
{
	arrived += put_back(pv, span, staging, arrived, detached);
	if (arrived == detached)
		return false;
	*span->stray = (struct pmv_stray){
		.addr = staging->base + arrived,
		.bytes = detached - arrived,
		.src = span->src + arrived,
	};
	pmv_staging_hand_over(pv, staging, span->stray->addr,
			      span->stray->bytes);
	return true;
}

/* Whether pages can go back to src without a page to copy them to. */
static bool can_go_back(const struct pagemv *pv, const struct pmv_span *span)
{
	return pmv_available(pv, PAGEMV_MECH_MOVE) ||
	       (pmv_can_move(pv) && !pmv_region_has(pv, span->src, span->len,
						    PAGEMV_REGION_EVENTS));
}

/*
 * A page set aside in the staging range, behind those that are detached to it,
 * where they can only be copied back: at the limit of a cgroup there may be
 * none left when it is needed, and one is enough, as each page that has arrived
 * makes room for the next. 0, or -ENOMEM.
 */
static int set_aside(struct pagemv *pv, const struct pmv_span *span,
		     const struct pmv_staging *staging)
{
	int rc = 0;

	if (span->uffd >= 0 && !can_go_back(pv, span))
		rc = pmv_pages_put(pv, staging->base + DETACH_BYTES);
	return rc == -ENOMEM ? rc : 0;
}

/* Brings detached pages to dst, at last with the page set aside. */
static struct pmv_step bring(struct pagemv *pv, const struct pmv_span *span,
			     const struct pmv_staging *staging, size_t len)
{
	struct pmv_step in = fill_from_staging(pv, span, staging->base, len);
	struct pmv_span rest = *span;
	size_t done = in.done;

	if (in.error != -ENOMEM || can_go_back(pv, span))
		return in;
	pmv_pages_discard(pv, staging->base + DETACH_BYTES, pv->page_bytes);
	rest.dst += done;
	in = fill_from_staging(pv, &rest, staging->base + done, len - done);
	in.done += done;
	return in;
}

/*
 * How much may be detached at a time: parts of one huge page. In a faulting
 * region other threads take pages away at any time, and mremap() tells nothing
 * of what it did not find: page by page it can be seen.
 */
static size_t detach_bytes(const struct pagemv *pv, const struct pmv_span *span,
			   detach_fn *detach)
{
	size_t len = pmv_min(span->len, DETACH_BYTES);

	if (detach == detach_by_remap &&
	    atomic_load_explicit(&pv->faulting, memory_order_relaxed) &&
	    pmv_region_has(pv, span->src, len, PAGEMV_REGION_FAULTING))
		return pv->page_bytes;
	return pmv_min(len, pmv_pages_huge_left(pv, span->src));
}

static struct pmv_step checked_detach(struct pagemv *pv,
				      const struct pmv_staging *staging,
				      uintptr_t src, size_t len,
				      detach_fn *detach)
{
	struct pmv_step step = detach(pv, staging, src, len);
	struct pmv_run run;

	if (step.error || len > pv->page_bytes)
		return step;
	run = pmv_pages_run(pv, staging->base, len);
	if (run.known && !run.populated)
		step = (struct pmv_step){ .error = -ENOENT };
	return step;
}

static struct pmv_step
copy_detached(struct pagemv *pv, const struct pmv_span *span, detach_fn *detach)
{
	size_t len = detach_bytes(pv, span, detach);
	bool fresh = detach == detach_by_move;
	struct pmv_step out, in;
	struct pmv_staging staging;
	struct pmv_run there = { .bytes = len };

	/* Before they are detached, as it may not be so easy to go back. */
	if (span->dst + len > span->clear_until)
		there = pmv_blank_run(pv, span->dst, len);
	if (there.populated && (there.known || span->uffd < 0))
		return (struct pmv_step){ .error = -EEXIST };
	len = there.bytes;
	/* mremap may have taken the registration off dst: its own one; that of
	 * a faulting region is not to be had back so. */
	if (span->uffd >= 0 && span->uffd == pv->uffd &&
	    pmv_uffd_register(pv->sys, pv->uffd, span->dst, len, NULL) < 0)
		return (struct pmv_step){ .error = -EINVAL };
	if (pmv_staging_take(pv, span->src, &staging) < 0)
		return (struct pmv_step){ .error = -ENOMEM };
	if (set_aside(pv, span, &staging) < 0) {
		pmv_staging_give(pv, &staging, fresh);
		return (struct pmv_step){ .error = -ENOMEM };
	}
	out = checked_detach(pv, &staging, span->src, len, detach);
	/* It may hold pages, or be locked, by what other threads did. */
	fresh &= !out.error;
	if (!out.done) {
		pmv_staging_give(pv, &staging, fresh);
		return out;
	}
	in = bring(pv, span, &staging, out.done);
	if (in.done < out.done) {
		if (undo(pv, span, &staging, in.done, out.done))
			return in;
		out = in;
	}
	fresh &= pmv_pages_discard(pv, staging.base, len) == 0;
	pmv_staging_give(pv, &staging, fresh);
	return out;
}

struct pmv_step pmv_copy_held(struct pagemv *pv, const struct pmv_span *span)
{
	return copy_detached(pv, span, detach_by_remap);
}

/* Locked pages: from Linux 5.18 on. mremap takes them away anywhere. */
static bool can_discard(const struct pagemv *pv, uintptr_t src)
{
	return pv->drops_locked || pmv_mapping_locked(pv, src) != 1;
}

static struct pmv_step copy_step(struct pagemv *pv, const struct pmv_span *span)
{
	if (span->flags & PAGEMV_MOVE_QUIESCENT && can_discard(pv, span->src))
		return copy_directly(pv, span);
	return copy_detached(
		pv, span, pmv_can_move(pv) ? detach_by_move : detach_by_remap);
}

const struct pmv_mover pmv_mover_copy = {
	.id = PAGEMV_MECH_COPY,
	.copies = true,
	.needs_scan = true,
	.step = copy_step,
};
