// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Blocks that go to another slot, with their pages.
 */
#include <string.h>

#include "heap_change.h"

/* A block that has to leave its slot exchanges its pages up to so many bytes.
 */
#define EXCHANGE_MAX ((size_t)2 << 20)

void pmv_count_result(struct pagemv_heap_counters *c,
		      const struct pagemv_result *res)
{
	pmv_heap_add(&c->moves, 1);
	pmv_heap_add(&c->moved_bytes, res->moved_bytes);
	pmv_heap_add(&c->copied_bytes, res->copied_bytes);
	if (res->mechanisms & PAGEMV_MECH_BIT(PAGEMV_MECH_REMAP))
		pmv_heap_add(&c->remaps, 1);
}

/* ---- slots ---- */

/* From so many bytes on a block keeps its offset in a huge page, so that those
 * that it has are moved whole. */
#define KEEP_HUGE_MIN ((size_t)4 << 20)

/* Takes a slot in a heap for a block that comes from at, with its pages: it
 * keeps its offset in the first one. */
int pmv_slot_take_for(struct pagemv_heap *heap, uintptr_t at, size_t bytes,
		      bool advised, struct pmv_slot **to, uintptr_t *dst)
{
	bool huge = heap->huge_bytes && bytes >= KEEP_HUGE_MIN;
	size_t off = at & ((huge ? heap->huge_bytes : heap->page_bytes) - 1);
	struct pmv_need need = {
		.bytes = off + (bytes ? bytes : 1),
		.clean = true,
		.growing = true,
		.advised = advised,
	};
	int rc = pmv_slot_take(heap, &need, to);

	if (rc < 0)
		return rc;
	if (!huge)
		off += pmv_slot_colour(*to, heap->page_bytes);
	*dst = pmv_slot_start(*to) + off;
	rc = pmv_slot_commit(*to, off + bytes);
	if (rc < 0)
		pmv_slot_put(heap, *to);
	else
		pmv_slot_cut(*to, 0); /* where the kernel has filled it */
	return rc;
}

/* All pages that [at, at + bytes) has part of. */
static struct pmv_transfer all_pages(const struct pagemv_heap *heap,
				     uintptr_t dst, uintptr_t at, size_t bytes,
				     struct pagemv_result *res)
{
	size_t page = heap->page_bytes;
	uintptr_t src = pmv_round_down(at, page);

	return (struct pmv_transfer){
		.dst = pmv_round_down(dst, page),
		.src = src,
		.bytes = pmv_round_up(at + bytes, page) - src,
		.res = res,
	};
}

/* The slot of a block that has left it. */
static void leave(struct pagemv_heap *heap, struct pmv_slot *s,
		  const struct pmv_transfer *t, size_t bytes)
{
	size_t end = t->src + t->bytes - pmv_slot_start(s);

	/* An earlier block may have begun before this one. */
	if (t->emptied && s->dirty <= end)
		pmv_slot_set_dirty(s, t->src - pmv_slot_start(s));
	atomic_store_explicit(&s->word, pmv_slot_word(bytes, PMV_SLOT_FREED),
			      memory_order_release);
	pmv_slot_cool(heap, s);
}

/* ---- by exchange ---- */

/*
 * A small block goes to a free slot that has pages, and those come to where the
 * block was: that costs less than to have the kernel clear others when the next
 * block grows there. To copy it costs less still, and has the same effect, but
 * a device that has pinned its pages would stay with the old ones.
 *
 *   to   | set aside: c | block's: b  |   ->  | b | ...     |
 *   from | b |                            ->  | c |
 */
struct exchange {
	struct pmv_slot *to; /* NULL: there is none */
	uintptr_t dst;
	uintptr_t aside; /* pages of to that were at dst, as many as come; 0: it
			  * is to be copied */
};

static struct pmv_slot *take_warm(const struct pmv_change *ch)
{
	struct pagemv_heap *heap = ch->heap;
	struct pmv_magazine *m = pmv_magazine_hold(heap);
	struct pmv_slot *s;

	s = pmv_magazine_take(m, pmv_heap_bin(heap, ch->bytes, true),
			      ch->bytes);
	if (!s)
		s = pmv_magazine_take(m, pmv_heap_bin(heap, ch->bytes, false),
				      ch->bytes);
	pmv_magazine_release(m);
	return s;
}

/* Behind what has pages in the slot; t: what is to come. */
static bool set_aside(struct pagemv_heap *heap, struct exchange *x,
		      const struct pmv_transfer *t)
{
	size_t end = x->to->dirty;

	if (end + t->bytes > x->to->arena->slot_bytes ||
	    pmv_slot_commit(x->to, end + t->bytes) < 0 || x->to->dirty != end)
		return false;
	x->aside = pmv_slot_start(x->to) + end;
	pmv_slot_touched(x->to, end + t->bytes);
	return pmv_shift(heap, x->aside, t->dst, t->bytes);
}

/* Takes a slot, with room for what is to come. */
static struct exchange begin_exchange(const struct pmv_change *ch)
{
	struct pagemv_heap *heap = ch->heap;
	bool may_copy = ch->flags & PAGEMV_ALLOC_MAY_COPY;
	struct exchange x = { 0 };
	struct pmv_transfer t;
	size_t off;

	if (ch->flags & PAGEMV_ALLOC_MOVE || ch->bytes > EXCHANGE_MAX ||
	    ch->slot->advised || !(may_copy || pmv_can_shift(heap, ch->bytes)))
		return x;
	x.to = take_warm(ch);
	if (!x.to)
		return x;
	/* Whoever adopted it may rely on its place in the page. */
	off = pmv_slot_colour(x.to, heap->page_bytes) +
	      (ch->at & (heap->page_bytes - 1));
	x.dst = pmv_slot_start(x.to) + off;
	t = all_pages(heap, x.dst, ch->at, pmv_min(ch->old, ch->bytes), NULL);
	if (x.to->dirty < off + pmv_min(ch->old, ch->bytes) ||
	    x.to->committed < off + ch->bytes || x.to->advised) {
		pmv_slot_put(heap, x.to);
		x.to = NULL;
	} else if (!may_copy && !set_aside(heap, &x, &t)) {
		pmv_slot_cool(heap, x.to);
		x.to = NULL;
	}
	return x;
}

static int copy(const struct pmv_change *ch, uintptr_t dst)
{
	size_t bytes = pmv_min(ch->old, ch->bytes);

	memcpy((void *)dst, (const void *)ch->at, bytes);
	*ch->res = (struct pagemv_result){
		.copied_bytes = bytes,
		.mechanisms = PAGEMV_MECH_BIT(PAGEMV_MECH_COPY),
		.left_off = bytes,
	};
	return 0;
}

/* What was set aside goes to where the block was. Whether there are pages. */
static bool end_exchange(const struct pmv_change *ch, const struct exchange *x,
			 const struct pmv_transfer *t)
{
	size_t end = x->aside - pmv_slot_start(x->to);

	if (!x->aside)
		return true;
	if (t->emptied && pmv_shift(ch->heap, t->src, x->aside, t->bytes)) {
		pmv_slot_set_dirty(x->to, end);
		return true;
	}
	pmv_slot_cut(x->to, end);
	return false;
}

/* The slot of a block whose pages it has exchanged. */
static void leave_warm(const struct pmv_change *ch)
{
	atomic_store_explicit(&ch->slot->word,
			      pmv_slot_word(ch->old, PMV_SLOT_FREED),
			      memory_order_release);
	pmv_slot_keep(ch->heap, ch->slot);
}

/* ---- by moving ---- */

/* The block in the slot goes from heap to heap. */
int pmv_block_move(const struct pmv_change *ch, struct pagemv_heap *to,
		   void **out)
{
	struct exchange x = { 0 };
	struct pmv_transfer t;
	struct pmv_slot *s;
	bool warm = false;
	uintptr_t dst;
	size_t end;
	int rc = 0;

	if (to == ch->heap)
		x = begin_exchange(ch);
	s = x.to;
	dst = x.dst;
	if (!s)
		rc = pmv_slot_take_for(to, ch->at, ch->bytes, ch->slot->advised,
				       &s, &dst);
	if (rc < 0)
		return rc;
	pmv_huge_begin(to, s, ch->bytes, ch->slot->advised);
	s->filled = ch->slot->filled;
	t = all_pages(to, dst, ch->at, pmv_min(ch->old, ch->bytes), ch->res);
	if (x.to && !x.aside)
		rc = copy(ch, dst);
	else
		rc = t.bytes ? pmv_transfer(to, &t) : 0;
	pmv_slot_touched(s,
			 dst + pmv_min(ch->old, ch->bytes) - pmv_slot_start(s));
	if (rc < 0) {
		pmv_slot_cool(to, s);
		return rc;
	}
	if (x.to)
		warm = end_exchange(ch, &x, &t);
	if (ch->flags & PAGEMV_ALLOC_ZERO && ch->bytes > ch->old)
		pmv_slot_zero(s, dst + ch->old - pmv_slot_start(s),
			      dst + ch->bytes - pmv_slot_start(s));
	end = dst + ch->bytes - pmv_slot_start(s);
	if (ch->bytes > ch->old && end >= s->look_at)
		pmv_block_grows(to, s, end - ch->bytes + ch->old, end);
	pmv_slot_touched(s, dst + ch->bytes - pmv_slot_start(s));
	pmv_slot_publish(s, dst, ch->bytes);
	if (warm)
		leave_warm(ch);
	else
		leave(ch->heap, ch->slot, &t, ch->old);
	*out = (void *)dst;
	return 0;
}
