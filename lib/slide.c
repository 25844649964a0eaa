// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Objects that a collector moves while threads are stopped. Sorted by source,
 * from the lowest when they move down: what an object would overwrite has left.
 * From the highest when they move up.
 */
#include <errno.h>

#include <pagemv/evac.h>

#include "engine.h"
#include "internal.h"

enum direction { APART, DOWN, UP };

struct slide {
	struct pagemv *pv;
	struct pagemv_seg *segs;
	size_t n;
	const struct pagemv_move_opts *opts;
	struct pmv_request rq; /* the same, taken over */
	struct pagemv_result *sum;
	enum direction direction;
};

static uintptr_t key_of(const struct pagemv_seg *s, bool by_dst)
{
	return (uintptr_t)(by_dst ? s->dst : s->src);
}

/* ---- sorting: heapsort, in place, as nothing may be allocated ---- */

static void sift_down(struct pagemv_seg *segs, size_t i, size_t n, bool by_dst)
{
	struct pagemv_seg moved = segs[i];
	size_t child;

	for (; (child = 2 * i + 1) < n; i = child) {
		if (child + 1 < n && key_of(&segs[child + 1], by_dst) >
					     key_of(&segs[child], by_dst))
			child++;
		if (key_of(&segs[child], by_dst) <= key_of(&moved, by_dst))
			break;
		segs[i] = segs[child];
	}
	segs[i] = moved;
}

static bool is_sorted(const struct pagemv_seg *segs, size_t n, bool by_dst)
{
	for (size_t i = 1; i < n; i++)
		if (key_of(&segs[i - 1], by_dst) > key_of(&segs[i], by_dst))
			return false;
	return true;
}

static void sort(struct pagemv_seg *segs, size_t n, bool by_dst)
{
	if (is_sorted(segs, n, by_dst))
		return;
	for (size_t i = n / 2; i-- > 0;)
		sift_down(segs, i, n, by_dst);
	while (n-- > 1) {
		struct pagemv_seg last = segs[n];

		segs[n] = segs[0];
		segs[0] = last;
		sift_down(segs, 0, n, by_dst);
	}
}

/* ---- checking ---- */

/* No two of them overlap; none is empty or wraps. They are sorted. */
static bool apart(const struct slide *s, bool by_dst)
{
	for (size_t i = 0; i < s->n; i++) {
		uintptr_t start = key_of(&s->segs[i], by_dst);
		uintptr_t end = start + s->segs[i].len_bytes;

		if (end <= start)
			return false;
		if (i + 1 < s->n && end > key_of(&s->segs[i + 1], by_dst))
			return false;
	}
	return true;
}

/* Whether the range that holds all sources and the one that holds all
 * destinations are apart. Sorted by src. */
static bool hulls_apart(const struct slide *s)
{
	const struct pagemv_seg *last = &s->segs[s->n - 1];
	uintptr_t low = UINTPTR_MAX, high = 0;

	for (size_t i = 0; i < s->n; i++) {
		uintptr_t dst = (uintptr_t)s->segs[i].dst;

		low = pmv_min(low, dst);
		if (dst + s->segs[i].len_bytes > high)
			high = dst + s->segs[i].len_bytes;
	}
	return high <= (uintptr_t)s->segs[0].src ||
	       low >= (uintptr_t)last->src + last->len_bytes;
}

static bool all_move(const struct slide *s, enum direction direction)
{
	for (size_t i = 0; i < s->n; i++) {
		uintptr_t dst = (uintptr_t)s->segs[i].dst;
		uintptr_t src = (uintptr_t)s->segs[i].src;

		if (direction == DOWN ? dst > src : dst < src)
			return false;
	}
	return true;
}

/* Sorts them, and finds the order in which they can be moved. */
static enum pagemv_reason prepare(struct slide *s)
{
	sort(s->segs, s->n, true);
	if (!apart(s, true))
		return PAGEMV_REASON_OVERLAP;
	sort(s->segs, s->n, false);
	if (!apart(s, false))
		return PAGEMV_REASON_OVERLAP;
	if (hulls_apart(s))
		s->direction = APART;
	else if (all_move(s, DOWN))
		s->direction = DOWN;
	else if (all_move(s, UP))
		s->direction = UP;
	else
		return PAGEMV_REASON_OVERLAP;
	return PAGEMV_REASON_NONE;
}

/* ---- moving ---- */

static void add(struct pagemv_result *sum, const struct pagemv_result *r)
{
	sum->moved_bytes += r->moved_bytes;
	sum->copied_bytes += r->copied_bytes;
	sum->hole_bytes += r->hole_bytes;
	sum->left_bytes += r->left_bytes;
	sum->repaired_bytes += r->repaired_bytes;
	sum->mechanisms |= r->mechanisms;
	sum->kernel_calls += r->kernel_calls;
}

/* The bytes of [start, end) that are in [from, to). */
static size_t common(size_t start, size_t end, size_t from, size_t to)
{
	start = start > from ? start : from;
	end = pmv_min(end, to);
	return start < end ? end - start : 0;
}

/* What became of segs[i .. i + n), which were moved as one. */
static void tell(struct slide *s, size_t i, size_t n,
		 const struct pagemv_result *r)
{
	size_t off = 0;

	for (struct pagemv_seg *seg = &s->segs[i]; n > 0; seg++, n--) {
		size_t end = off + seg->len_bytes;

		seg->left_bytes = common(off, end, r->left_off,
					 r->left_off + r->left_bytes);
		seg->error = seg->left_bytes ? r->error : 0;
		seg->reason = seg->left_bytes ? r->reason
					      : (uint32_t)PAGEMV_REASON_NONE;
		off = end;
	}
	add(s->sum, r);
	if (r->error && !s->sum->error) {
		s->sum->error = r->error;
		s->sum->reason = r->reason;
	}
	if (r->stray && !s->sum->stray) {
		s->sum->stray = r->stray;
		s->sum->stray_bytes = r->stray_bytes;
		s->sum->stray_off = r->stray_off;
	}
}

/* Those that are behind one that failed, and might overwrite it. */
static void cancel(struct slide *s, size_t i)
{
	s->segs[i].left_bytes = s->segs[i].len_bytes;
	s->segs[i].error = s->sum->error;
	s->segs[i].reason = s->sum->reason;
	s->sum->left_bytes += s->segs[i].len_bytes;
}

static bool follows(const struct pagemv_seg *a, const struct pagemv_seg *b)
{
	return (uintptr_t)a->src + a->len_bytes == (uintptr_t)b->src &&
	       (uintptr_t)a->dst + a->len_bytes == (uintptr_t)b->dst;
}

/* What is left is told of a join only where it is one part of it. */
static bool may_join(const struct slide *s)
{
	return !(s->rq.flags & PAGEMV_MOVE_KEEP_HEAD) &&
	       s->rq.busy != PAGEMV_BUSY_SKIP;
}

/* Moves segs[i .. i + n), which follow each other. */
static void move_run(struct slide *s, size_t i, size_t n)
{
	struct pagemv_result r;
	size_t bytes = 0;

	for (size_t k = i; k < i + n; k++)
		bytes += s->segs[k].len_bytes;
	pagemv_relocate(s->pv, s->segs[i].dst, s->segs[i].src, bytes, s->opts,
			&r);
	tell(s, i, n, &r);
}

static void move_up_from_end(struct slide *s)
{
	size_t end = s->n, i;

	for (; end > 0; end = i) {
		i = end - 1;
		if (s->sum->error) {
			cancel(s, i);
			continue;
		}
		while (i > 0 && may_join(s) &&
		       follows(&s->segs[i - 1], &s->segs[i]))
			i--;
		move_run(s, i, end - i);
	}
}

static void move_from_start(struct slide *s)
{
	size_t i = 0, n;

	for (; i < s->n; i += n) {
		n = 1;
		if (s->sum->error && s->direction == DOWN) {
			cancel(s, i);
			continue;
		}
		while (i + n < s->n && may_join(s) &&
		       follows(&s->segs[i + n - 1], &s->segs[i + n]))
			n++;
		move_run(s, i, n);
	}
}

/* The first byte left, in the order of the array. */
static size_t first_left(const struct slide *s)
{
	size_t off = 0;

	for (size_t i = 0; i < s->n; i++) {
		const struct pagemv_seg *seg = &s->segs[i];

		if (seg->error)
			return off + seg->len_bytes - seg->left_bytes;
		off += seg->len_bytes;
	}
	return off;
}

static size_t all_bytes(const struct slide *s)
{
	size_t bytes = 0;

	for (size_t i = 0; i < s->n; i++)
		bytes += s->segs[i].len_bytes;
	return bytes;
}

int pagemv_slide(struct pagemv *pv, struct pagemv_seg *segs, size_t n,
		 const struct pagemv_move_opts *opts, struct pagemv_result *res)
{
	struct pagemv_result unwanted;
	struct slide s = {
		.pv = pv,
		.segs = segs,
		.n = n,
		.opts = opts,
		.sum = res ? res : &unwanted,
	};
	enum pagemv_reason reason;
	int rc = pv && (segs || !n)
			 ? pmv_request_opts(&s.rq, opts, PAGEMV_MOVE_FLAGS_ALL)
			 : -EINVAL;

	if (rc < 0)
		return pmv_refuse_opts(s.sum, 0, rc);
	*s.sum = (struct pagemv_result){ 0 };
	if (!n)
		return 0;
	if (!pmv_alive(pv))
		return pmv_refuse(s.sum, all_bytes(&s), PAGEMV_REASON_FORKED);
	reason = prepare(&s);
	if (reason)
		return pmv_refuse(s.sum, all_bytes(&s), reason);
	if (s.direction == UP)
		move_up_from_end(&s);
	else
		move_from_start(&s);
	s.sum->left_off = first_left(&s);
	return s.sum->error;
}
