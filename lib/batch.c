// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Vectors of ranges. A window of them at a time is looked at: where no range
 * of the window touches another one's, their order makes no difference, and
 * they are sorted by source address, so that neighbours become one call.
 * Otherwise they keep their order, and still those that follow each other in
 * it become one call.
 */
#include <errno.h>

#include "engine.h"
#include "internal.h"

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

	keep_order(b);
	sort_by(b, true);
	if (!apart(b, true)) {
		keep_order(b);
		return;
	}
	for (size_t i = 0; i < b->n; i++)
		by_dst[i] = b->order[i];
	sort_by(b, false);
	if (!apart(b, false) || !dst_apart_from_src(b, by_dst))
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

/*
 * Moves count ranges as one. They neither overlap nor go upwards, so what was
 * done when it fails is a prefix: the range in which that ends and those
 * behind it are moved one by one then, and each has its own fate.
 */
static void move_together(struct batch *b, size_t first, size_t count,
			  size_t bytes)
{
	static const struct pagemv_result all_done;
	struct pmv_request rq = *b->opts;
	struct pagemv_result r;

	rq.dst = (uintptr_t)b->segs[b->order[first]].dst;
	rq.src = (uintptr_t)b->segs[b->order[first]].src;
	rq.len = bytes;
	pmv_engine_move(b->pv, &rq, &r);
	add(b->sum, &r);
	bytes -= r.left_bytes; /* done, and not yet told */
	for (size_t i = first, start = 0; i < first + count; i++) {
		size_t k = b->order[i], len = b->segs[k].len_bytes;
		size_t done = pmv_min(bytes, len);

		if (r.stray && r.stray_off - start < len) {
			b->sum->stray = r.stray;
			b->sum->stray_bytes = r.stray_bytes;
			b->sum->stray_off =
				offset_of(b, k) + r.stray_off - start;
		}
		start += len;
		bytes -= done;
		if (done == len)
			tell(b, k, done, &all_done);
		else
			move_alone(b, k, done);
	}
}

/* What is wrong with a range must not be hidden by its neighbours. */
static bool whole_pages(const struct batch *b, const struct pagemv_seg *s)
{
	uintptr_t bits = (uintptr_t)s->dst | (uintptr_t)s->src | s->len_bytes;

	return s->len_bytes && !(bits & (b->pv->page_bytes - 1));
}

/* The number of ranges from order[first] on that make one. */
static size_t neighbours(const struct batch *b, size_t first, size_t *bytes)
{
	const struct pagemv_seg *a = &b->segs[b->order[first]];
	size_t n = 1;

	*bytes = a->len_bytes;
	/* Pages skipped in the middle would belong to nobody. */
	if (b->opts->busy == PAGEMV_BUSY_SKIP || !whole_pages(b, a))
		return n;
	while (first + n < b->n) {
		const struct pagemv_seg *s = &b->segs[b->order[first + n]];

		if (!whole_pages(b, s) ||
		    (uintptr_t)s->src != (uintptr_t)a->src + *bytes ||
		    (uintptr_t)s->dst != (uintptr_t)a->dst + *bytes ||
		    (uintptr_t)a->dst - (uintptr_t)a->src <
			    *bytes + s->len_bytes)
			break;
		*bytes += s->len_bytes;
		n++;
	}
	return n;
}

static void run_window(struct batch *b)
{
	b->failed = b->n;
	sort_where_allowed(b);
	for (size_t i = 0; i < b->n;) {
		size_t bytes, n = neighbours(b, i, &bytes);

		if (n > 1)
			move_together(b, i, n, bytes);
		else
			move_alone(b, b->order[i], 0);
		i += n;
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
