// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Vectors of ranges. A window of them at a time is looked at: where no range
 * of the window touches another one's, their order makes no difference, and
 * they are sorted by source address, so that neighbours become one. Otherwise
 * they keep their order, and still those that follow each other in it become
 * one. What has become one is one call then; and where the companion moves
 * them, and their order makes no difference, all of them are.
 */
#include <errno.h>

#include "companion.h"
#include "engine.h"
#include "internal.h"
#include "mover.h"
#include "region.h"
#include "track.h"

/* Ranges in a window: bounds the stack, as malloc must not be called. */
#define WINDOW 128

struct batch {
	struct pagemv *pv;
	struct pagemv_seg *segs; /* of this window */
	size_t n;
	size_t base; /* bytes of the request before the window */
	const struct pmv_request *opts;
	struct pagemv_result *sum;
	size_t failed;		/* the first of segs that did, or n */
	uint16_t order[WINDOW]; /* indices into segs, as they are done */
	bool free;		/* any other order would do */
};

/* Ranges of a window that are one: order[first] and those behind it. */
struct run {
	uint16_t first;
	uint16_t count;
	bool vector; /* it is left to the vector */
	size_t bytes;
};

/* Sorts order[] by src or by dst: insertion, as n is small and most vectors
 * come sorted; AS-Safe, which qsort() need not be. */
static void sort_by(struct batch *b, bool by_dst)
{
	for (size_t i = 1; i < b->n; i++) {
		uint16_t k = b->order[i];
		void *key = by_dst ? b->segs[k].dst : b->segs[k].src;
		size_t j = i;

		for (; j > 0; j--) {
			const struct pagemv_seg *s = &b->segs[b->order[j - 1]];

			if ((uintptr_t)(by_dst ? s->dst : s->src) <=
			    (uintptr_t)key)
				break;
			b->order[j] = b->order[j - 1];
		}
		b->order[j] = k;
	}
}

static uintptr_t end_of(const void *addr, const struct pagemv_seg *s)
{
	return (uintptr_t)addr + s->len_bytes;
}

/* Whether no two sources and no two destinations overlap, when sorted. */
static bool apart(const struct batch *b, bool by_dst)
{
	for (size_t i = 1; i < b->n; i++) {
		const struct pagemv_seg *a = &b->segs[b->order[i - 1]];
		const struct pagemv_seg *c = &b->segs[b->order[i]];

		if (end_of(by_dst ? a->dst : a->src, a) >
		    (uintptr_t)(by_dst ? c->dst : c->src))
			return false;
	}
	return true;
}

/* Whether a destination overlaps any source: two sorted lists, one pass. */
static bool dst_apart_from_src(const struct batch *b, const uint16_t *by_dst)
{
	size_t i = 0, j = 0;

	while (i < b->n && j < b->n) {
		const struct pagemv_seg *d = &b->segs[by_dst[i]];
		const struct pagemv_seg *s = &b->segs[b->order[j]];

		if (end_of(d->dst, d) <= (uintptr_t)s->src)
			i++;
		else if (end_of(s->src, s) <= (uintptr_t)d->dst)
			j++;
		else
			return false;
	}
	return true;
}

static void keep_order(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		b->order[i] = (uint16_t)i;
}

static void sort_where_allowed(struct batch *b)
{
	uint16_t by_dst[WINDOW];

	b->free = false;
	keep_order(b);
	sort_by(b, true);
	if (!apart(b, true)) {
		keep_order(b);
		return;
	}
	for (size_t i = 0; i < b->n; i++)
		by_dst[i] = b->order[i];
	sort_by(b, false);
	b->free = apart(b, false) && dst_apart_from_src(b, by_dst);
	if (!b->free)
		keep_order(b);
}

/* Where in the request segs[k] begins. */
static size_t offset_of(const struct batch *b, size_t k)
{
	size_t off = b->base;

	for (size_t i = 0; i < k; i++)
		off += b->segs[i].len_bytes;
	return off;
}

static void add(struct pagemv_result *sum, const struct pagemv_result *r)
{
	sum->moved_bytes += r->moved_bytes;
	sum->copied_bytes += r->copied_bytes;
	sum->hole_bytes += r->hole_bytes;
	sum->repaired_bytes += r->repaired_bytes;
	sum->mechanisms |= r->mechanisms;
	sum->kernel_calls += r->kernel_calls;
}

/*
 * Writes what became of segs[k], of which the first done bytes had been
 * moved before r was about the rest.
 */
static void tell(struct batch *b, size_t k, size_t done,
		 const struct pagemv_result *r)
{
	struct pagemv_result *sum = b->sum;
	size_t off = offset_of(b, k) + done;

	b->segs[k].left_bytes = r->left_bytes;
	b->segs[k].error = r->error;
	b->segs[k].reason = r->reason;
	sum->left_bytes += r->left_bytes;
	if (r->stray) {
		sum->stray = r->stray;
		sum->stray_bytes = r->stray_bytes;
		sum->stray_off = off + r->stray_off;
	}
	/* Of an earlier window, or of this one: the first counts. */
	if (!r->error || k > b->failed || (sum->error && b->failed == b->n))
		return;
	b->failed = k;
	sum->error = r->error;
	sum->reason = r->reason;
	sum->left_off = off + r->left_off;
}

/* Moves segs[k] but for its first done bytes. */
static void move_alone(struct batch *b, size_t k, size_t done)
{
	const struct pagemv_seg *s = &b->segs[k];
	struct pmv_request rq = *b->opts;
	struct pagemv_result r;

	rq.dst = (uintptr_t)s->dst + done;
	rq.src = (uintptr_t)s->src + done;
	rq.len = s->len_bytes - done;
	/* There is room to tell of one stray only. */
	if (b->sum->stray)
		pmv_refuse(&r, rq.len, PAGEMV_REASON_RACED);
	else
		pmv_engine_move(b->pv, &rq, &r);
	add(b->sum, &r);
	tell(b, k, done, &r);
}

/* A page that belongs to the run is stray now: in which of its ranges. */
static void note_stray(struct batch *b, const struct run *run,
		       const struct pagemv_result *r)
{
	size_t off = r->stray_off;

	for (size_t i = run->first; r->stray && i < run->first + run->count;
	     i++) {
		size_t len = b->segs[b->order[i]].len_bytes;

		if (off < len) {
			b->sum->stray = r->stray;
			b->sum->stray_bytes = r->stray_bytes;
			b->sum->stray_off = offset_of(b, b->order[i]) + off;
			return;
		}
		off -= len;
	}
}

/* The first bytes of the run are done: tells of them, and moves the range in
 * which that ends, and those behind it, one by one, as each has its own fate.
 */
static void go_on(struct batch *b, const struct run *run, size_t bytes)
{
	static const struct pagemv_result all_done;

	for (size_t i = run->first; i < (size_t)run->first + run->count; i++) {
		size_t k = b->order[i], len = b->segs[k].len_bytes;
		size_t done = pmv_min(bytes, len);

		bytes -= done;
		if (done == len)
			tell(b, k, done, &all_done);
		else
			move_alone(b, k, done);
	}
}

static uintptr_t dst_of(const struct batch *b, const struct run *run)
{
	return (uintptr_t)b->segs[b->order[run->first]].dst;
}

static uintptr_t src_of(const struct batch *b, const struct run *run)
{
	return (uintptr_t)b->segs[b->order[run->first]].src;
}

/* Moves ranges as one. They neither overlap nor go upwards, so what was done
 * when it fails is a prefix. */
static void move_together(struct batch *b, const struct run *run)
{
	struct pmv_request rq = *b->opts;
	struct pagemv_result r;

	rq.dst = dst_of(b, run);
	rq.src = src_of(b, run);
	rq.len = run->bytes;
	pmv_engine_move(b->pv, &rq, &r);
	add(b->sum, &r);
	note_stray(b, run, &r);
	go_on(b, run, run->bytes - r.left_bytes);
}

/* What is wrong with a range must not be hidden by its neighbours. */
static bool whole_pages(const struct batch *b, const struct pagemv_seg *s)
{
	uintptr_t bits = (uintptr_t)s->dst | (uintptr_t)s->src | s->len_bytes;

	return s->len_bytes && !(bits & (b->pv->page_bytes - 1));
}

/* The ranges from order[first] on that make one. */
static struct run neighbours(const struct batch *b, size_t first)
{
	const struct pagemv_seg *a = &b->segs[b->order[first]];
	struct run run = { .first = (uint16_t)first,
			   .count = 1,
			   .bytes = a->len_bytes };

	/* Pages skipped in the middle would belong to nobody. */
	if (b->opts->busy == PAGEMV_BUSY_SKIP || !whole_pages(b, a))
		return run;
	while (first + run.count < b->n) {
		const struct pagemv_seg *s =
			&b->segs[b->order[first + run.count]];

		if (!whole_pages(b, s) ||
		    (uintptr_t)s->src != (uintptr_t)a->src + run.bytes ||
		    (uintptr_t)s->dst != (uintptr_t)a->dst + run.bytes ||
		    (uintptr_t)a->dst - (uintptr_t)a->src <
			    run.bytes + s->len_bytes)
			break;
		run.bytes += s->len_bytes;
		run.count++;
	}
	return run;
}

/* ---- all of them in one call ---- */

/* Whether runs of this window may be one call: what the engine has to do
 * besides is done for each by itself. */
static bool may_be_vector(const struct batch *b)
{
	const struct pagemv *pv = b->pv;
	const struct pmv_request *rq = b->opts;

	return b->free && pmv_has(pv, PAGEMV_HAS_VECTORS) &&
	       !(rq->flags & (PAGEMV_MOVE_REPLACE | PAGEMV_MOVE_HOLES)) &&
	       rq->busy != PAGEMV_BUSY_REMAP &&
	       (rq->mechanism == PAGEMV_MECH_AUTO ||
		rq->mechanism == PAGEMV_MECH_COMPANION) &&
	       !pmv_faulting(pv) && !pmv_tracking(pv) && !b->sum->stray;
}

/* Whether mremap may be the better way for it. */
static bool is_for_remap(const struct batch *b, const struct run *run)
{
	return b->opts->mechanism == PAGEMV_MECH_AUTO &&
	       b->opts->flags & PAGEMV_MOVE_MAY_REMAP &&
	       run->bytes >= PMV_REMAP_PAGES_MIN * b->pv->page_bytes;
}

static bool is_for_vector(const struct batch *b, const struct run *run)
{
	return whole_pages(b, &b->segs[b->order[run->first]]) &&
	       !is_for_remap(b, run) &&
	       pmv_region_holds(b->pv, dst_of(b, run), run->bytes);
}

/* Which of the runs the vector takes; n of them. Where each of them by itself
 * would cost less by UFFDIO_MOVE, all of them together do not. */
static size_t choose_runs(const struct batch *b, struct run *runs, size_t n)
{
	size_t chosen = 0;

	for (size_t i = 0; i < n; i++) {
		runs[i].vector = is_for_vector(b, &runs[i]);
		chosen += runs[i].vector;
	}
	return chosen;
}

/* What the kernel moved of a run; the rest, if any, is moved as it would be
 * without a vector, and then it is found out why. */
static void end_run(struct batch *b, const struct run *run, size_t done)
{
	struct pagemv_result *sum = b->sum;

	sum->moved_bytes += done;
	if (done)
		sum->mechanisms |= PAGEMV_MECH_BIT(PAGEMV_MECH_COMPANION);
	pmv_count(&b->pv->stats, PMV_BY_MECHANISM + PAGEMV_MECH_COMPANION,
		  done);
	go_on(b, run, done);
}

static void move_vector(struct batch *b, struct run *runs, size_t n)
{
	struct pmv_companion_range ranges[WINDOW];
	struct pagemv *pv = b->pv;
	size_t used = 0, whole = 0;

	for (size_t i = 0; i < n; i++)
		if (runs[i].vector)
			ranges[used++] = (struct pmv_companion_range){
				.dst = dst_of(b, &runs[i]),
				.src = src_of(b, &runs[i]),
				.len = runs[i].bytes,
			};
	pmv_companion_move_ranges(pv->sys, pv->companion, ranges, used);
	b->sum->kernel_calls++;
	for (size_t i = 0; i < used; i++)
		whole += pmv_companion_moved(&ranges[i]) == ranges[i].len;
	/* The others are counted by the engine; and one call for many is less
	 * than one for each. */
	pmv_count(&pv->stats, PMV_CALLS, whole);
	pmv_count(&pv->stats, PMV_MORE_KERNEL_CALLS, 1 - (uint64_t)whole);
	used = 0;
	for (size_t i = 0; i < n; i++)
		if (runs[i].vector)
			end_run(b, &runs[i],
				pmv_companion_moved(&ranges[used++]));
}

static void run_window(struct batch *b)
{
	struct run runs[WINDOW];
	size_t n = 0;

	b->failed = b->n;
	sort_where_allowed(b);
	for (size_t i = 0; i < b->n; i += runs[n++].count)
		runs[n] = neighbours(b, i);
	if (n > 1 && may_be_vector(b) && choose_runs(b, runs, n) > 1)
		move_vector(b, runs, n);
	else
		for (size_t i = 0; i < n; i++)
			runs[i].vector = false;
	for (size_t i = 0; i < n; i++) {
		if (runs[i].vector)
			continue;
		if (runs[i].count > 1)
			move_together(b, &runs[i]);
		else
			move_alone(b, b->order[runs[i].first], 0);
	}
}

/* No range is looked at, since the options make no sense. */
static int refuse_all(struct pagemv_seg *segs, size_t n, int error,
		      struct pagemv_result *res)
{
	size_t bytes = 0;

	for (size_t i = 0; segs && i < n; i++) {
		segs[i].left_bytes = segs[i].len_bytes;
		segs[i].error = error;
		segs[i].reason = PAGEMV_REASON_BAD_OPTIONS;
		bytes += segs[i].len_bytes;
	}
	return pmv_refuse_opts(res, bytes, error);
}

static int movev(struct pagemv *pv, struct pagemv_seg *segs, size_t n,
		 const struct pagemv_move_opts *opts, struct pagemv_result *res)
{
	struct pmv_request rq = { 0 };
	struct batch b = { .pv = pv, .opts = &rq, .sum = res };
	int rc = pv && (segs || !n)
			 ? pmv_request_opts(&rq, opts,
					    PAGEMV_MOVE_FLAGS_ALL &
						    ~PAGEMV_MOVE_KEEP_HEAD)
			 : -EINVAL;

	*res = (struct pagemv_result){ 0 };
	if (rc < 0)
		return refuse_all(segs, n, rc, res);
	for (size_t i = 0; i < n; i += b.n) {
		b.segs = segs + i;
		b.n = pmv_min(n - i, WINDOW);
		run_window(&b);
		b.base = offset_of(&b, b.n);
	}
	if (!res->error)
		res->left_off = b.base;
	return res->error;
}

int pagemv_movev(struct pagemv *pv, struct pagemv_seg *segs, size_t n,
		 const struct pagemv_move_opts *opts, struct pagemv_result *res)
{
	struct pagemv_result unwanted;

	return movev(pv, segs, n, opts, res ? res : &unwanted);
}
