// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Any bytes from one address to another:
 *
 *        head      body: whole pages       tail
 *   src  [...][.........][.........][......]
 *   dst  [...][.........][.........][......]
 *
 * Head and tail are copied, the body is moved. Where the ranges overlap, a
 * fringe is copied first if the body would come to lie over its source.
 *
 * ASSUME(thp-fill): a store to an absent page makes a huge page, of a size that
 *   its mapping may have, where all pages of it are absent: the others are
 *   pages of zeros then. Documentation/admin-guide/mm/transhuge.rst
 */
#include <errno.h>
#include <string.h>

#include "diagnose.h"
#include "engine.h"
#include "internal.h"
#include "pages.h"
#include "region.h"

struct relocation {
	struct pagemv *pv;
	struct pmv_request body;
	uintptr_t dst, src; /* of the whole */
	size_t head, tail, bytes;
	bool keep_head;
	struct pagemv_result *res;
};

static void copy(const struct relocation *r, size_t off, size_t bytes)
{
	if (!bytes)
		return;
	memmove((void *)(r->dst + off), (const void *)(r->src + off), bytes);
	r->res->copied_bytes += bytes;
	r->res->mechanisms |= PAGEMV_MECH_BIT(PAGEMV_MECH_COPY);
}

/* Whether all of a range is mapped with the wanted access. */
static enum pagemv_reason access_reason(const struct pagemv *pv, uintptr_t addr,
					size_t bytes, uint32_t access)
{
	uintptr_t end = addr + bytes;

	while (addr < end) {
		struct pmv_mapping m;
		int rc = pmv_mapping_find(pv, addr, &m);

		if (rc < 0)
			return PAGEMV_REASON_NONE; /* no /proc: believed */
		if (rc == 0 || m.start > addr)
			return PAGEMV_REASON_UNMAPPED;
		if (!(m.flags & access))
			return access == PMV_MAP_WRITE && m.flags & PMV_MAP_READ
				       ? PAGEMV_REASON_READ_ONLY
				       : PAGEMV_REASON_NO_ACCESS;
		addr = m.end;
	}
	return PAGEMV_REASON_NONE;
}

/* How the bytes fall into head, body and tail. */
static void divide(struct relocation *r)
{
	size_t page = r->pv->page_bytes;
	bool congruent = !((r->dst ^ r->src) & (page - 1));

	r->head = pmv_round_up(r->src, page) - r->src;
	if (r->keep_head)
		r->head += page;
	if (!congruent || r->head > r->bytes || r->bytes - r->head < page)
		r->head = r->bytes;
	r->body.len = pmv_round_down(r->bytes - r->head, page);
	r->body.dst = r->dst + r->head;
	r->body.src = r->src + r->head;
	r->tail = r->bytes - r->head - r->body.len;
}

/* Everything that can be said before a byte is touched. */
static enum pagemv_reason check(struct relocation *r)
{
	bool up = r->dst - r->src < r->bytes, down = r->src - r->dst < r->bytes;
	struct pagemv *pv = r->pv;
	enum pagemv_reason reason;
	bool several;

	if (!pmv_alive(pv))
		return PAGEMV_REASON_FORKED;
	if (!r->bytes)
		return PAGEMV_REASON_ZERO_LENGTH;
	if (r->dst + r->bytes < r->dst || r->src + r->bytes < r->src)
		return PAGEMV_REASON_WRAPS;
	if (r->keep_head && (up || down))
		return PAGEMV_REASON_OVERLAP;
	reason = access_reason(pv, r->src, r->bytes, PMV_MAP_READ);
	if (!reason)
		reason = access_reason(pv, r->dst, r->bytes, PMV_MAP_WRITE);
	if (reason || !r->body.len)
		return reason;
	if (!pmv_region_holds(pv, r->body.dst, r->body.len))
		return pmv_why_not_registered(pv, r->body.dst, r->body.len);
	reason = pmv_request_allowed(pv, &r->body);
	if (reason)
		return reason;
	return pmv_check(pv, r->body.dst, r->body.src, r->body.len, &several);
}

/* Moves the body; adds to the result what became of it. */
static int move_body(const struct relocation *r)
{
	struct pagemv_result *res = r->res, body;
	size_t copied = res->copied_bytes;
	uint32_t used = res->mechanisms;

	if (!r->body.len)
		return 0;
	pmv_engine_move(r->pv, &r->body, &body);
	*res = body;
	res->copied_bytes += copied;
	res->mechanisms |= used;
	res->left_off += r->head;
	res->stray_off += body.stray ? r->head : 0;
	return res->error;
}

/*
 * Those of the absent pages in [*from, *to) that a store to the page beside
 * them, absent as well, may make pages of zeros: where the mapping may have
 * huge pages, they are in the same one. False if there are none.
 */
static bool find_blank(const struct pagemv *pv, uintptr_t page, uintptr_t *from,
		       uintptr_t *to)
{
	uintptr_t huge = pmv_round_down(page, pv->huge_bytes);
	uintptr_t at = *from < huge ? huge : *from;
	uintptr_t end = pmv_min(*to, huge + pv->huge_bytes);

	if (at >= end || pmv_pages_run(pv, page, pv->page_bytes).populated)
		return false;
	while (at < end) {
		struct pmv_run run = pmv_pages_run(pv, at, end - at);

		*from = at;
		*to = at + run.bytes;
		if (!run.populated && run.known &&
		    (*from == page + pv->page_bytes || *to == page))
			return true;
		at = *to;
	}
	return false;
}

/*
 * Copies a fringe before the body is moved to [from, to), all of it or the
 * part that is not source. The pages there stay absent.
 */
static void copy_first(const struct relocation *r, size_t off, size_t bytes,
		       uintptr_t from, uintptr_t to)
{
	const struct pagemv *pv = r->pv;
	uintptr_t page = pmv_round_down(r->dst + off, pv->page_bytes);
	bool blank;

	if (!bytes)
		return;
	blank = pv->huge_bytes && find_blank(pv, page, &from, &to);
	copy(r, off, bytes);
	if (blank)
		pmv_pages_discard(pv, from, to - from);
}

/* Throws away a source page whose bytes have been copied out, if the body is
 * to come to lie there. */
static void make_room(const struct relocation *r, uintptr_t addr)
{
	uintptr_t page = pmv_round_down(addr, r->pv->page_bytes);

	if (page - r->body.dst < r->body.len)
		pmv_pages_discard(r->pv, page, r->pv->page_bytes);
}

static void move_down(struct relocation *r)
{
	uintptr_t src = pmv_round_down(r->src, r->pv->page_bytes);
	uintptr_t end = r->body.dst + r->body.len;

	copy_first(r, 0, r->head, r->body.dst, pmv_min(src, end));
	if (r->head)
		make_room(r, r->src);
	if (move_body(r) == 0)
		copy(r, r->head + r->body.len, r->tail);
}

static void move_up(struct relocation *r)
{
	uintptr_t src = pmv_round_up(r->src + r->bytes, r->pv->page_bytes);
	uintptr_t end = r->body.dst + r->body.len;

	copy_first(r, r->head + r->body.len, r->tail,
		   src < r->body.dst ? r->body.dst : src, end);
	if (r->tail)
		make_room(r, r->src + r->bytes - 1);
	if (move_body(r) == 0)
		copy(r, 0, r->head);
	else if (r->head)
		r->res->left_off = 0;
}

static void move_apart(struct relocation *r)
{
	if (move_body(r) == 0) {
		copy(r, 0, r->head);
		copy(r, r->head + r->body.len, r->tail);
	} else if (r->head) {
		r->res->left_off = 0;
	}
}

static int relocate(struct relocation *r)
{
	struct pagemv_result *res = r->res;
	enum pagemv_reason reason = check(r);

	if (reason)
		return pmv_refuse(res, r->bytes, reason);
	*res = (struct pagemv_result){ 0 };
	if (r->body.len && r->dst < r->src && r->src - r->dst < r->bytes)
		move_down(r);
	else if (r->body.len && r->dst > r->src && r->dst - r->src < r->bytes)
		move_up(r);
	else
		move_apart(r);
	res->left_bytes = r->bytes - res->moved_bytes - res->copied_bytes -
			  res->hole_bytes;
	if (!res->error)
		res->left_off = r->bytes;
	return res->error;
}

int pagemv_relocate(struct pagemv *pv, void *dst, void *src, size_t bytes,
		    const struct pagemv_move_opts *opts,
		    struct pagemv_result *res)
{
	struct pagemv_result unwanted;
	struct relocation r = {
		.pv = pv,
		.dst = (uintptr_t)dst,
		.src = (uintptr_t)src,
		.bytes = bytes,
		.res = res ? res : &unwanted,
	};
	int rc = pv ? pmv_request_opts(&r.body, opts, PAGEMV_MOVE_FLAGS_ALL)
		    : -EINVAL;

	if (rc < 0)
		return pmv_refuse_opts(r.res, bytes, rc);
	r.keep_head = r.body.flags & PAGEMV_MOVE_KEEP_HEAD;
	r.body.flags &= ~PAGEMV_MOVE_KEEP_HEAD;
	divide(&r);
	return relocate(&r);
}
