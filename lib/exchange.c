// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Exchange in one call of the companion, where there is one; else, and for what
 * that would not do, by way of a staging range, a step at a time:
 *
 *   a -> staging,  b -> a,  staging -> b
 *
 * When one of them stops in the middle, the pages behind that point are
 * brought back, so that of each step a prefix has been exchanged, and the
 * rest is where it was.
 */
#include <errno.h>

#include "companion.h"
#include "diagnose.h"
#include "engine.h"
#include "internal.h"
#include "mover.h"
#include "pages.h"
#include "region.h"
#include "staging.h"
#include "track.h"

#define EXCHANGE_FLAGS                                                       \
	(PAGEMV_MOVE_HOLES | PAGEMV_MOVE_QUIESCENT | PAGEMV_MOVE_MAY_REMAP | \
	 PAGEMV_MOVE_UNCHECKED)

struct exchange {
	struct pagemv *pv;
	struct pmv_request opts;
	uintptr_t a, b;
	size_t len;
	size_t off;	/* where the present step is */
	bool several;	/* mappings on either side */
	bool checked;	/* the mappings have been looked at */
	size_t at_once; /* bytes that went by no staging range */
	struct pmv_staging staging;
	bool handed_over; /* it is the caller's now */
	struct pagemv_result *res;
};

/* What came of moving a part of the step. */
static size_t move(struct exchange *x, uintptr_t dst, uintptr_t src, size_t len,
		   struct pagemv_result *r)
{
	struct pmv_request rq = x->opts;

	rq.dst = dst;
	rq.src = src;
	rq.len = len;
	rq.staging = true; /* the caller's side has been checked */
	rq.flags |= PMV_MOVE_UNDISTURBED;
	pmv_engine_move(x->pv, &rq, r);
	x->res->kernel_calls += r->kernel_calls;
	x->res->repaired_bytes += r->repaired_bytes;
	x->res->mechanisms |= r->mechanisms;
	/* Of several the first is told; the others stay mapped, and counted
	 * in the statistics. */
	if (r->stray && !x->res->stray) {
		x->res->stray = r->stray;
		x->res->stray_bytes = r->stray_bytes;
		x->res->stray_off = x->off + r->stray_off;
	}
	return len - r->left_bytes;
}

/* Brings pages back where they came from; returns how many bytes are. */
static size_t move_back(struct exchange *x, uintptr_t dst, uintptr_t src,
			size_t len)
{
	uint32_t flags = x->opts.flags;
	struct pagemv_result r;
	size_t done;

	if (!len)
		return 0;
	x->opts.flags |= PAGEMV_MOVE_HOLES;
	done = move(x, dst, src, len, &r);
	x->opts.flags = flags;
	return done;
}

/* Pages at addr in the staging range belong to neither place any more. */
static void strand(struct exchange *x, uintptr_t addr, size_t bytes, size_t off)
{
	pmv_staging_hand_over(x->pv, &x->staging, addr, bytes);
	x->handed_over = true;
	if (x->res->stray)
		return;
	x->res->stray = (void *)addr;
	x->res->stray_bytes = bytes;
	x->res->stray_off = off;
}

/*
 * Exchanges n bytes at off by way of via, an address in the staging range.
 * Returns how many have been; fewer than n with a reason in *why.
 */
static size_t exchange_step(struct exchange *x, size_t off, size_t n,
			    uintptr_t via, enum pagemv_reason *why)
{
	uintptr_t a = x->a + off, b = x->b + off;
	struct pagemv_result out, over, in;
	size_t from_a, from_b, done, back;

	x->off = off;
	from_a = move(x, via, a, n, &out);
	*why = out.reason;
	if (!from_a)
		return 0;
	from_b = move(x, a, b, from_a, &over);
	if (over.reason)
		*why = over.reason;
	done = from_b ? move(x, b, via, from_b, &in) : 0;
	if (done < from_b) {
		*why = in.reason;
		/* b's own pages go home first, to make room for a's. */
		move_back(x, b + done, a + done, from_b - done);
	}
	back = move_back(x, a + done, via + done, from_a - done);
	if (done + back < from_a)
		strand(x, via + done + back, from_a - done - back,
		       off + done + back);
	return done;
}

/* Both ways: pages must be able to go back, once some have left. */
static enum pagemv_reason allowed(const struct exchange *x)
{
	struct pmv_request rq = x->opts;
	enum pagemv_reason reason;

	if (!pmv_faulting(x->pv))
		return pmv_request_allowed(x->pv, &rq);
	rq.dst = x->a;
	rq.src = x->b;
	rq.len = x->len;
	reason = pmv_request_allowed(x->pv, &rq);
	if (reason)
		return reason;
	rq.dst = x->b;
	rq.src = x->a;
	return pmv_request_allowed(x->pv, &rq);
}

static enum pagemv_reason check_arguments(const struct exchange *x)
{
	enum pagemv_reason reason;

	if (!pmv_alive(x->pv))
		return PAGEMV_REASON_FORKED;
	reason = pmv_argument_reason(x->pv->page_bytes, x->a, x->b, x->len);
	if (reason)
		return reason;
	return x->a - x->b < x->len || x->b - x->a < x->len
		       ? PAGEMV_REASON_OVERLAP
		       : PAGEMV_REASON_NONE;
}

static enum pagemv_reason check_mappings(struct exchange *x)
{
	struct pagemv *pv = x->pv;
	enum pagemv_reason reason;

	x->checked = true;
	reason = pmv_check(pv, x->a, x->b, x->len, &x->several);
	if (reason)
		return reason;
	if (!pmv_region_holds(pv, x->a, x->len))
		return pmv_why_not_registered(pv, x->a, x->len);
	if (!pmv_region_holds(pv, x->b, x->len))
		return pmv_why_not_registered(pv, x->b, x->len);
	return allowed(x);
}

/* exchange_step() where pages may be protected; nobody stores to them. */
static size_t exchange_tracked(struct exchange *x, size_t off, size_t n,
			       uintptr_t via, enum pagemv_reason *why)
{
	uintptr_t a = x->a + off, b = x->b + off;
	struct pmv_leaving from_a, from_b;
	bool a_leaves = pmv_track_leave(x->pv, b, a, n, true, &from_a);
	bool b_leaves = pmv_track_leave(x->pv, a, b, n, true, &from_b);
	size_t done = exchange_step(x, off, n, via, why);

	if (a_leaves)
		pmv_track_arrive(x->pv, &from_a, done);
	if (b_leaves)
		pmv_track_arrive(x->pv, &from_b, done);
	return done;
}

/* One step by a staging range that is like a there. */
static size_t exchange_by_staging(struct exchange *x, size_t off, size_t n,
				  enum pagemv_reason *why)
{
	const uint32_t move = PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE) |
			      PAGEMV_MECH_BIT(PAGEMV_MECH_COMPANION);
	/* At the same offset in a huge page as a, so that whole ones stay
	 * whole. */
	size_t at = (x->a + off) & (PMV_STAGING_BYTES - 1), done;
	uintptr_t via;

	if (pmv_staging_take(x->pv, x->a + off, &x->staging) < 0) {
		*why = PAGEMV_REASON_NO_MEMORY;
		return 0;
	}
	via = x->staging.base + at;
	done = pmv_unlikely(pmv_tracking(x->pv))
		       ? exchange_tracked(x, off, n, via, why)
		       : exchange_step(x, off, n, via, why);
	if (!x->handed_over)
		pmv_staging_give(x->pv, &x->staging,
				 !(x->res->mechanisms & ~move));
	return done;
}

/* ---- in one call ---- */

/*
 * Whether the companion does it by itself: the engine has nothing to do
 * besides. It looks at the mappings, but not at what is registered.
 */
static bool is_for_companion(const struct exchange *x)
{
	const struct pagemv *pv = x->pv;

	return pmv_has(pv, PAGEMV_HAS_EXCHANGE) &&
	       (x->opts.mechanism == PAGEMV_MECH_AUTO ||
		x->opts.mechanism == PAGEMV_MECH_COMPANION) &&
	       x->opts.busy != PAGEMV_BUSY_REMAP && !pmv_faulting(pv) &&
	       !pmv_tracking(pv) && pmv_region_holds(pv, x->a, x->len) &&
	       pmv_region_holds(pv, x->b, x->len);
}

/* How much there is before the first hole, as a hole is exchanged like a page.
 */
static size_t without_holes(const struct exchange *x, uintptr_t a, uintptr_t b,
			    size_t len)
{
	uintptr_t side[2] = { a, b };

	if (x->opts.flags & (PAGEMV_MOVE_HOLES | PAGEMV_MOVE_UNCHECKED))
		return len;
	for (int i = 0; i < 2; i++) {
		struct pmv_run run = pmv_pages_run(x->pv, side[i], len);

		len = run.populated && run.known ? run.bytes : 0;
		if (!len)
			break;
	}
	return len;
}

/* Exchanges what can be from off on. Returns how much has been; where it is not
 * all, the way by the staging range finds out why, or does it. */
static size_t exchange_at_once(struct exchange *x, size_t off)
{
	size_t len = without_holes(x, x->a + off, x->b + off, x->len - off);
	size_t done = 0;

	for (unsigned int idle = 0; done < len && idle < PMV_IDLE_MAX;) {
		struct pmv_step step = pmv_companion_exchange(
			x->pv->sys, x->pv->companion, x->a + off + done,
			x->b + off + done, len - done);

		x->res->kernel_calls++;
		pmv_count(&x->pv->stats, PMV_CALLS, 1);
		done += step.done;
		if (step.error && step.error != -EAGAIN)
			break;
		if (step.done)
			idle = 0;
		else
			pmv_back_off(x->pv->sys, idle++);
	}
	x->at_once += done;
	if (done) {
		x->res->mechanisms |= PAGEMV_MECH_BIT(PAGEMV_MECH_COMPANION);
		/* Both ranges have been moved. */
		pmv_count(&x->pv->stats,
			  PMV_BY_MECHANISM + PAGEMV_MECH_COMPANION, 2 * done);
	}
	return done;
}

/* Before anything goes by the staging range. */
static enum pagemv_reason prepare(struct exchange *x)
{
	return x->checked ? PAGEMV_REASON_NONE : check_mappings(x);
}

static enum pagemv_reason run(struct exchange *x)
{
	enum pagemv_reason why = PAGEMV_REASON_NONE;
	bool by_companion = is_for_companion(x);
	struct pagemv_result *res = x->res;
	size_t done = 0;

	while (done < x->len && !why && !x->handed_over) {
		uintptr_t a, b;
		size_t at, n;

		if (by_companion)
			done += exchange_at_once(x, done);
		if (done == x->len)
			break;
		why = prepare(x);
		if (why)
			break;
		a = x->a + done;
		b = x->b + done;
		at = a & (PMV_STAGING_BYTES - 1);
		n = pmv_min(x->len - done, PMV_STAGING_BYTES - at);
		if (x->several)
			n = pmv_piece(x->pv, a, b, n);
		done += exchange_by_staging(x, done, n, &why);
	}
	if (res->mechanisms & PAGEMV_MECH_BIT(PAGEMV_MECH_COPY))
		res->copied_bytes = done - x->at_once;
	res->moved_bytes = done - res->copied_bytes;
	res->left_bytes = x->len - done;
	res->left_off = done;
	return res->stray ? PAGEMV_REASON_RACED : why;
}

static int exchange(struct exchange *x)
{
	enum pagemv_reason reason = check_arguments(x);

	if (!reason && !is_for_companion(x))
		reason = check_mappings(x);
	if (reason)
		return pmv_refuse(x->res, x->len, reason);
	*x->res = (struct pagemv_result){ 0 };
	reason = run(x);
	x->res->reason = reason;
	x->res->error = pmv_reason_errno(reason);
	return x->res->error;
}

int pagemv_exchange(struct pagemv *pv, void *a, void *b, size_t len_bytes,
		    const struct pagemv_move_opts *opts,
		    struct pagemv_result *res)
{
	struct pagemv_result unwanted;
	struct exchange x = {
		.pv = pv,
		.a = (uintptr_t)a,
		.b = (uintptr_t)b,
		.len = len_bytes,
		.res = res ? res : &unwanted,
	};
	int rc = pv ? pmv_request_opts(&x.opts, opts, EXCHANGE_FLAGS) : -EINVAL;

	/* Pages skipped in the middle would be exchanged with nothing. */
	if (rc == 0 && x.opts.busy == PAGEMV_BUSY_SKIP)
		rc = -EINVAL;
	return rc == 0 ? exchange(&x) : pmv_refuse_opts(x.res, len_bytes, rc);
}
