// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The pages of a block, from one place to another.
 *
 * By UFFDIO_MOVE, which leaves mappings as they are. By mremap() where there is
 * no such thing; where pages are pinned, which follow it; and where pages are
 * shared with another process since a fork(), each of which would have to be
 * copied first. What is left is copied.
 */
#include <errno.h>
#include <string.h>

#include "companion.h"
#include "forks.h"
#include "heap.h"
#include "mover.h"
#include "pages.h"
#include "placement.h"
#include "track.h"
#include "uffd.h"

/* Fewer bytes that are shared with a child are copied sooner than mappings are
 * broken apart. */
#define SHARED_MIN ((size_t)2 << 20)
/* The kernel is asked so often to go on where it stopped. */
#define TRIES 64

static void add(struct pagemv_result *sum, const struct pagemv_result *res)
{
	sum->moved_bytes += res->moved_bytes;
	sum->copied_bytes += res->copied_bytes;
	sum->hole_bytes += res->hole_bytes;
	sum->repaired_bytes += res->repaired_bytes;
	sum->mechanisms |= res->mechanisms;
	sum->kernel_calls += res->kernel_calls;
}

/* Some of them are looked at. */
static bool is_shared(const struct pagemv *pv, const struct pmv_transfer *t)
{
	size_t page = pv->page_bytes;

	return pmv_forks() && t->bytes >= SHARED_MIN &&
	       (pmv_pages_shared(pv, t->src) ||
		pmv_pages_shared(pv,
				 t->src + pmv_round_down(t->bytes / 2, page)) ||
		pmv_pages_shared(pv, t->src + t->bytes - page));
}

/* Pages that were on their way when their place was filled; it is not to be
 * used by anybody meanwhile. */
static void take_stray(struct pagemv *pv, uintptr_t dst,
		       const struct pagemv_result *res)
{
	if (!res->stray)
		return;
	memcpy((void *)(dst + res->stray_off), res->stray, res->stray_bytes);
	pv->sys->munmap((uintptr_t)res->stray, res->stray_bytes);
}

/* From *off on; how far it came. Returns as pagemv_move(). */
static int move_on(struct pagemv *pv, const struct pmv_transfer *t, uint32_t by,
		   uint32_t flags, uint32_t busy, size_t *off, uint32_t *reason)
{
	const struct pagemv_move_opts o = {
		.size = sizeof(o),
		.mechanism = by,
		/* A kernel that locks memory has filled dst with zeros. */
		.flags = flags | PAGEMV_MOVE_HOLES | PAGEMV_MOVE_QUIESCENT |
			 PAGEMV_MOVE_REPLACE,
		.busy = busy,
	};
	struct pagemv_result res;
	int rc = pagemv_move(pv, (void *)(t->dst + *off),
			     (void *)(t->src + *off), t->bytes - *off, &o,
			     &res);

	add(t->res, &res);
	take_stray(pv, t->dst + *off, &res);
	*off += rc == 0 ? t->bytes - *off : res.left_off;
	*reason = res.reason;
	return rc;
}

/* A page that is not in this process may be of a file, or be shared: only if it
 * is zeros nothing is lost with it. It is read. */
static struct pmv_run look_at_foreign(const struct pagemv *pv, uintptr_t addr,
				      struct pmv_run run)
{
	if (run.known && run.populated)
		return run;
	return (struct pmv_run){ .bytes = pv->page_bytes,
				 .populated = !pmv_pages_zero(pv, addr),
				 .known = true };
}

/* Copies [off, bytes), but no holes. */
static void copy_rest(struct pagemv *pv, const struct pmv_transfer *t,
		      size_t off)
{
	/* In a child the handle knows of the parent's pages. */
	if (pv && !pmv_alive(pv))
		pv = NULL;
	while (off < t->bytes) {
		struct pmv_run run = { t->bytes - off, true, false };

		if (pv)
			run = pmv_pages_run(pv, t->src + off, t->bytes - off);
		if (pv && t->foreign)
			run = look_at_foreign(pv, t->src + off, run);
		if (run.populated || !run.known) {
			memcpy((void *)(t->dst + off),
			       (const void *)(t->src + off), run.bytes);
			t->res->copied_bytes += run.bytes;
			t->res->mechanisms |= PAGEMV_MECH_BIT(PAGEMV_MECH_COPY);
		} else {
			t->res->hole_bytes += run.bytes;
		}
		off += run.bytes;
	}
}

/* What has arrived goes back, as the rest cannot come. */
static void undo(struct pagemv *pv, const struct pmv_transfer *t, size_t off)
{
	struct pagemv_result res = { 0 };
	struct pmv_transfer back = {
		.dst = t->src, .src = t->dst, .bytes = off, .res = &res
	};
	size_t done = 0;
	uint32_t reason;

	if (off &&
	    move_on(pv, &back, PAGEMV_MECH_AUTO, 0, 0, &done, &reason) < 0)
		copy_rest(pv, &back, done);
}

/* Pages that are at dst and not at src: they have come, whatever the kernel has
 * counted (see answer.c); or nothing was to come, and they are zeros. */
static struct pmv_run arrived(const struct pagemv *pv,
			      const struct pmv_transfer *t, size_t off)
{
	struct pmv_run src = pmv_pages_run(pv, t->src + off, t->bytes - off);
	struct pmv_run dst = pmv_pages_run(pv, t->dst + off, t->bytes - off);

	if (!src.known || !dst.known || src.populated || !dst.populated)
		return (struct pmv_run){ 0 };
	dst.bytes = pmv_min(src.bytes, dst.bytes);
	return dst;
}

/* By what all of a range comes in one go; AUTO: by nothing. */
static enum pagemv_mechanism at_once_by(const struct pagemv *pv, size_t bytes)
{
	enum pagemv_mechanism by = pmv_mover_to(pv, pv->uffd, bytes);

	if (pmv_faulting(pv) || pmv_tracking(pv) ||
	    (by == PAGEMV_MECH_MOVE && pv->quirks & PAGEMV_QUIRK_HUGE_MOVE))
		return PAGEMV_MECH_AUTO;
	return by;
}

static struct pmv_step move_sparse(struct pagemv *pv, enum pagemv_mechanism by,
				   const struct pmv_transfer *t, size_t off)
{
	uintptr_t dst = t->dst + off, src = t->src + off;

	return by == PAGEMV_MECH_MOVE
		       ? pmv_uffd_move_sparse(pv->sys, pv->uffd, dst, src,
					      t->bytes - off)
		       : pmv_companion_move_sparse(pv->sys, pv->companion, dst,
						   src, t->bytes - off);
}

/* Whether UFFDIO_MOVE would not come back: it is to take a part of a huge page
 * that is held. */
static bool is_held(const struct pagemv *pv, enum pagemv_mechanism by,
		    const struct pmv_transfer *t)
{
	bool parts = (t->src ^ t->dst) & (pv->huge_bytes - 1);
	size_t bytes;

	if (!pv->huge_bytes || by != PAGEMV_MECH_MOVE)
		return false;
	for (size_t off = 0; off < t->bytes; off += bytes) {
		bytes = pmv_min(pmv_pages_huge_left(pv, t->src + off),
				t->bytes - off);
		if ((parts || bytes < pv->huge_bytes) &&
		    pmv_pages_held_huge(pv, t->src + off))
			return true;
	}
	return false;
}

/*
 * All of it in one go, holes and all; by: of at_once_by(). What makes holes
 * difficult elsewhere is that a page at dst may be somebody else's: here dst is
 * ours alone, and what is in it without having come is of no use. Returns how
 * far it came.
 */
static size_t move_at_once(struct pagemv *pv, enum pagemv_mechanism by,
			   const struct pmv_transfer *t)
{
	struct pagemv_result *res = t->res;
	size_t off = 0;

	if (by == PAGEMV_MECH_AUTO)
		return 0;
	/* A signal handler that forks returns in the child as well, where the
	 * handle would move pages of the parent's. */
	for (int tries = 0; off < t->bytes && tries < TRIES && pmv_alive(pv);
	     tries++) {
		struct pmv_step step = move_sparse(pv, by, t, off);
		struct pmv_run run = { 0 };

		res->kernel_calls++;
		off += step.done;
		if (step.error == -EEXIST && pmv_alive(pv))
			run = arrived(pv, t, off);
		if (run.populated) {
			off += run.bytes;
			res->repaired_bytes += run.bytes;
		} else if (step.error && step.error != -EAGAIN) {
			break;
		}
	}
	res->moved_bytes += off;
	if (off)
		res->mechanisms |= PAGEMV_MECH_BIT(by);
	pmv_count(&pv->stats, PMV_CALLS, 1);
	pmv_count(&pv->stats, PMV_BY_MECHANISM + by, off);
	return off;
}

/* Not the caller's mappings; of a heap's, what is pinned follows mremap(). */
static int move_pinned(struct pagemv *pv, const struct pmv_transfer *t,
		       uint32_t by, size_t *off, uint32_t *reason)
{
	int rc = -EBUSY;

	if (!t->foreign)
		rc = move_on(pv, t, by, PAGEMV_MOVE_MAY_REMAP,
			     PAGEMV_BUSY_REMAP, off, reason);
	if (rc < 0)
		*reason = PAGEMV_REASON_PINNED;
	return rc;
}

/* From *off on, by what moves; how far it came. */
static int move_all(struct pagemv *pv, const struct pmv_transfer *t,
		    size_t *off, uint32_t *reason)
{
	enum pagemv_mechanism by = at_once_by(pv, t->bytes);
	uint32_t flags = 0;
	int rc;

	if (is_held(pv, by, t))
		return move_pinned(pv, t, PAGEMV_MECH_REMAP, off, reason);
	if (!t->foreign && (!pmv_can_move(pv) || is_shared(pv, t)))
		flags = PAGEMV_MOVE_MAY_REMAP;
	else
		*off = move_at_once(pv, by, t);
	if (*off == t->bytes)
		return 0;
	rc = move_on(pv, t, PAGEMV_MECH_AUTO, flags, PAGEMV_BUSY_STAY, off,
		     reason);
	if (rc < 0 && *reason == PAGEMV_REASON_PINNED)
		rc = move_pinned(pv, t, PAGEMV_MECH_AUTO, off, reason);
	return rc;
}

int pmv_transfer(struct pagemv_heap *heap, struct pmv_transfer *t)
{
	struct pagemv *pv = pmv_heap_handle(heap);
	uint32_t reason = PAGEMV_REASON_NONE;
	size_t off = 0;
	int rc = -ESRCH;

	*t->res = (struct pagemv_result){ .left_off = t->bytes };
	t->emptied = false;
	if (pv)
		rc = move_all(pv, t, &off, &reason);
	t->emptied = rc == 0;
	if (rc == 0) {
		/* A mapping that mremap() makes takes the policy of the source
		 * along. */
		if (t->res->mechanisms & PAGEMV_MECH_BIT(PAGEMV_MECH_REMAP))
			pmv_numa_prefer(&heap->want, t->dst, t->bytes);
		if (pmv_alive(pv))
			pmv_place(pv, &heap->want, t->dst, t->bytes);
		return 0;
	}
	if (rc == -EFAULT || rc == -EINTR) {
		undo(pv, t, off);
		return rc;
	}
	/* A device that has pinned pages goes on with the old ones: that is
	 * told. */
	if (reason == PAGEMV_REASON_PINNED)
		t->res->reason = reason;
	copy_rest(pv, t, off);
	return 0;
}

bool pmv_shift(struct pagemv_heap *heap, uintptr_t dst, uintptr_t src,
	       size_t bytes)
{
	struct pagemv *pv = pmv_heap_open_handle(heap);
	enum pagemv_mechanism by = pv ? at_once_by(pv, bytes)
				      : PAGEMV_MECH_AUTO;
	struct pagemv_result res = { 0 };
	const struct pmv_transfer t = {
		.dst = dst, .src = src, .bytes = bytes, .res = &res
	};

	return pv && !is_held(pv, by, &t) && move_at_once(pv, by, &t) == bytes;
}

bool pmv_can_shift(struct pagemv_heap *heap, size_t bytes)
{
	const struct pagemv *pv = pmv_heap_handle(heap);

	return pv && at_once_by(pv, bytes) != PAGEMV_MECH_AUTO;
}
