// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Blocks that change their size, their heap, or come to one.
 */
#include <errno.h>
#include <string.h>

#include "heap.h"

/* So much less than before is kept, and is there when the block grows again. */
#define KEPT_MIN  ((size_t)64 << 10)
#define KEPT_PART 16
/* A block that has to leave its slot exchanges its pages up to so many bytes.
 */
#define EXCHANGE_MAX ((size_t)2 << 20)

struct change {
	struct pagemv_heap *heap;
	struct pmv_slot *slot;
	uintptr_t at;
	size_t old, bytes; /* as asked for */
	uint32_t flags;
	struct pagemv_result *res;
};

/* ---- counting ---- */

static void count_result(struct pagemv_heap_counters *c,
			 const struct pagemv_result *res)
{
	pmv_heap_add(&c->moves, 1);
	pmv_heap_add(&c->moved_bytes, res->moved_bytes);
	pmv_heap_add(&c->copied_bytes, res->copied_bytes);
	if (res->mechanisms & PAGEMV_MECH_BIT(PAGEMV_MECH_REMAP))
		pmv_heap_add(&c->remaps, 1);
}

static void count_sizes(const struct change *ch, struct pagemv_heap_counters *c)
{
	pmv_heap_add(&c->reallocs, 1);
	if (ch->bytes > ch->old)
		pmv_heap_add(&c->alloc_bytes, ch->bytes - ch->old);
	else
		pmv_heap_add(&c->free_bytes, ch->old - ch->bytes);
}

static void count_in_place(const struct change *ch,
			   const struct pmv_magazine *m)
{
	struct pagemv_heap_counters *c = pmv_magazine_counters(ch->heap, m);

	count_sizes(ch, c);
	pmv_heap_add(&c->in_place, 1);
}

static void count_moved(const struct change *ch)
{
	struct pmv_magazine *m = pmv_magazine_hold(ch->heap);
	struct pagemv_heap_counters *c = pmv_magazine_counters(ch->heap, m);

	count_sizes(ch, c);
	count_result(c, ch->res);
	pmv_magazine_release(m);
}

/* ---- in place ---- */

/* The pages behind the end, or the end of the huge page that it is in. */
static void give_tail(const struct change *ch, size_t end)
{
	const struct pagemv_heap *heap = ch->heap;
	struct pmv_slot *s = ch->slot;
	size_t keep = end / KEPT_PART > KEPT_MIN ? end / KEPT_PART : KEPT_MIN;
	size_t from = pmv_round_up(end, s->advised ? heap->huge_bytes
						   : heap->page_bytes);
	size_t back;

	if (s->dirty <= from || s->dirty - from <= keep)
		return;
	back = pmv_slot_cut(s, from);
	if (back)
		PMV_HEAP_COUNT(ch->heap, given_back_bytes, back);
}

/*
 * Growth into what is committed already, while the magazine m is held: nothing
 * but numbers change. False: there is more to do.
 */
static bool grow_at_once(const struct change *ch, struct pmv_magazine *m)
{
	struct pmv_slot *s = ch->slot;
	size_t end = ch->at - pmv_slot_start(s) + ch->bytes;

	if (ch->bytes < ch->old || end > s->committed || end >= s->look_at ||
	    ch->flags & (PAGEMV_ALLOC_ZERO | PAGEMV_ALLOC_MOVE))
		return false;
	pmv_slot_touched(s, end);
	pmv_slot_publish(s, ch->at, ch->bytes);
	count_in_place(ch, m);
	return true;
}

static int change_in_place(const struct change *ch)
{
	struct pmv_slot *s = ch->slot;
	size_t off = ch->at - pmv_slot_start(s);
	size_t old_end = off + ch->old, end = off + ch->bytes;
	struct pmv_magazine *m;

	if (end > s->committed && pmv_slot_commit(s, end) < 0)
		return -ENOMEM;
	if (ch->bytes > ch->old) {
		if (ch->flags & PAGEMV_ALLOC_ZERO)
			pmv_slot_zero(s, old_end, end);
		if (end >= s->look_at)
			pmv_block_grows(ch->heap, s, old_end, end);
		pmv_slot_touched(s, end);
	} else {
		give_tail(ch, end);
	}
	pmv_slot_publish(s, ch->at, ch->bytes);
	m = pmv_magazine_hold(ch->heap);
	count_in_place(ch, m);
	pmv_magazine_release(m);
	return 0;
}

/* ---- to another place ---- */

/* From so many bytes on a block keeps its offset in a huge page, so that those
 * that it has are moved whole. */
#define KEEP_HUGE_MIN ((size_t)4 << 20)

/* Takes a slot in a heap for a block that comes from at, with its pages: it
 * keeps its offset in the first one. */
static int take_for(struct pagemv_heap *heap, uintptr_t at, size_t bytes,
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

static struct pmv_slot *take_warm(const struct change *ch)
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
static struct exchange begin_exchange(const struct change *ch)
{
	struct pagemv_heap *heap = ch->heap;
	bool may_copy = ch->flags & PAGEMV_ALLOC_MAY_COPY;
	struct exchange x = { 0 };
	struct pmv_transfer t;
	size_t off;

	if (ch->flags & PAGEMV_ALLOC_MOVE || ch->bytes > EXCHANGE_MAX ||
	    ch->slot->advised || !(may_copy || pmv_can_shift(heap)))
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

static int copy(const struct change *ch, uintptr_t dst)
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
static bool end_exchange(const struct change *ch, const struct exchange *x,
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
static void leave_warm(const struct change *ch)
{
	atomic_store_explicit(&ch->slot->word,
			      pmv_slot_word(ch->old, PMV_SLOT_FREED),
			      memory_order_release);
	pmv_slot_keep(ch->heap, ch->slot);
}

/* ---- by moving ---- */

/* The block in the slot goes from heap to heap. */
static int move_block(const struct change *ch, struct pagemv_heap *to,
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
		rc = take_for(to, ch->at, ch->bytes, ch->slot->advised, &s,
			      &dst);
	if (rc < 0)
		return rc;
	pmv_huge_begin(to, s, ch->bytes, ch->slot->advised);
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

/* ---- realloc ---- */

static bool fits(const struct change *ch)
{
	const struct pmv_slot *s = ch->slot;
	size_t off = ch->at - pmv_slot_start(s);

	return !(ch->flags & PAGEMV_ALLOC_MOVE) &&
	       off + ch->bytes <= s->arena->slot_bytes;
}

static int change_size(struct change *ch, void **out)
{
	int rc;

	if (fits(ch)) {
		rc = change_in_place(ch);
		if (rc == 0)
			*out = (void *)ch->at;
		return rc;
	}
	if (ch->flags & PAGEMV_ALLOC_IN_PLACE)
		return -ENOSPC;
	rc = move_block(ch, ch->heap, out);
	if (rc == 0)
		count_moved(ch);
	return rc;
}

/* It stays as it was. */
static void keep(const struct change *ch)
{
	pmv_slot_publish(ch->slot, ch->at, ch->old);
}

static int check_flags(uint32_t flags)
{
	const uint32_t both = PAGEMV_ALLOC_MOVE | PAGEMV_ALLOC_IN_PLACE;

	return flags & ~PAGEMV_ALLOC_ALL || (flags & both) == both ? -EINVAL
								   : 0;
}

static int heap_realloc(struct change *ch, void **out)
{
	struct pmv_magazine *m = pmv_magazine_hold(ch->heap);
	enum pmv_found found;
	bool enters;
	int rc;

	found = pmv_slot_claim(ch->heap, m, ch->at, PMV_SLOT_BUSY, &ch->slot,
			       &ch->old);
	if (pmv_likely(found == PMV_FOUND && grow_at_once(ch, m))) {
		pmv_magazine_release(m);
		*out = (void *)ch->at;
		return 0;
	}
	pmv_magazine_release(m);
	if (pmv_unlikely(found != PMV_FOUND))
		return pmv_heap_misuse(ch->heap, found, (void *)ch->at);
	enters = !fits(ch);
	if (enters) {
		*ch->res = (struct pagemv_result){ 0 };
		pmv_heap_enter();
	}
	rc = change_size(ch, out);
	if (rc < 0)
		keep(ch);
	if (enters)
		pmv_heap_leave();
	if (rc == -ENOMEM)
		PMV_HEAP_COUNT(ch->heap, failures, 1);
	return rc;
}

int pagemv_heap_realloc(struct pagemv_heap *heap, void *ptr, size_t bytes,
			uint32_t flags, void **out, struct pagemv_result *res)
{
	struct pagemv_result unwanted;
	struct change ch = {
		.heap = heap,
		.at = (uintptr_t)ptr,
		.bytes = bytes,
		.flags = flags,
		.res = res ? res : &unwanted,
	};
	int saved = errno, rc = heap && out ? check_flags(flags) : -EINVAL;

	if (rc < 0)
		return rc;
	if (res)
		*res = (struct pagemv_result){ 0 };
	if (bytes > PTRDIFF_MAX) {
		PMV_HEAP_COUNT(heap, failures, 1);
		return -ENOMEM;
	}
	if (!ptr)
		return pagemv_heap_alloc(heap, bytes, flags & PAGEMV_ALLOC_ZERO,
					 out);
	rc = heap_realloc(&ch, out);
	errno = saved;
	return rc;
}

/* ---- give ---- */

static void count_given(const struct change *ch, struct pagemv_heap *to)
{
	struct pmv_magazine *m = pmv_magazine_hold(ch->heap);
	struct pagemv_heap_counters *c = pmv_magazine_counters(ch->heap, m);

	pmv_heap_add(&c->frees, 1);
	pmv_heap_add(&c->free_bytes, ch->old);
	pmv_magazine_release(m);
	m = pmv_magazine_hold(to);
	c = pmv_magazine_counters(to, m);
	pmv_heap_add(&c->allocs, 1);
	pmv_heap_add(&c->alloc_bytes, ch->old);
	count_result(c, ch->res);
	pmv_magazine_release(m);
}

static int give(struct change *ch, struct pagemv_heap *to, void **out)
{
	struct pmv_magazine *m = pmv_magazine_hold(ch->heap);
	enum pmv_found found;
	int rc;

	found = pmv_slot_claim(ch->heap, m, ch->at, PMV_SLOT_BUSY, &ch->slot,
			       &ch->old);
	pmv_magazine_release(m);
	if (found != PMV_FOUND)
		return pmv_heap_misuse(ch->heap, found, (void *)ch->at);
	if (to == ch->heap) {
		*out = (void *)ch->at;
		keep(ch);
		return 0;
	}
	ch->bytes = ch->old;
	pmv_heap_enter();
	rc = move_block(ch, to, out);
	if (rc < 0)
		keep(ch);
	else
		count_given(ch, to);
	pmv_heap_leave();
	if (rc == -ENOMEM)
		PMV_HEAP_COUNT(to, failures, 1);
	return rc;
}

int pagemv_heap_give(struct pagemv_heap *from, void *ptr,
		     struct pagemv_heap *to, void **out,
		     struct pagemv_result *res)
{
	struct pagemv_result unwanted;
	struct change ch = {
		.heap = from,
		.at = (uintptr_t)ptr,
		.res = res ? res : &unwanted,
	};
	int saved = errno, rc;

	if (!from || !to || !ptr || !out)
		return -EINVAL;
	*ch.res = (struct pagemv_result){ 0 };
	rc = give(&ch, to, out);
	errno = saved;
	return rc;
}

/* ---- adopt ---- */

/* What is copied at one end: it shares its page with others. */
static void copy_fringe(const struct change *ch, uintptr_t dst, size_t off,
			size_t bytes)
{
	if (!bytes)
		return;
	memcpy((void *)(dst + off), (const void *)(ch->at + off), bytes);
	ch->res->copied_bytes += bytes;
	ch->res->mechanisms |= PAGEMV_MECH_BIT(PAGEMV_MECH_COPY);
}

static int bring_in(const struct change *ch, uintptr_t dst)
{
	size_t page = ch->heap->page_bytes;
	size_t bytes = pmv_min(ch->old, ch->bytes);
	uintptr_t from = pmv_round_up(ch->at, page);
	uintptr_t to = pmv_round_down(ch->at + bytes, page);
	struct pmv_transfer t = { .src = from,
				  .foreign = true,
				  .res = ch->res };
	int rc = 0;

	if (from >= to) {
		copy_fringe(ch, dst, 0, bytes);
		return 0;
	}
	t.dst = dst + (from - ch->at);
	t.bytes = to - from;
	rc = pmv_transfer(ch->heap, &t);
	if (rc < 0)
		return rc;
	copy_fringe(ch, dst, 0, from - ch->at);
	copy_fringe(ch, dst, to - ch->at, ch->at + bytes - to);
	return 0;
}

static int adopt(const struct change *ch, void **out)
{
	struct pagemv_heap_counters *c;
	struct pmv_magazine *m;
	struct pmv_slot *s;
	uintptr_t dst;
	int rc = take_for(ch->heap, ch->at, ch->bytes, false, &s, &dst);

	if (rc < 0)
		return rc;
	pmv_huge_begin(ch->heap, s, ch->bytes, false);
	rc = bring_in(ch, dst);
	pmv_slot_touched(s, dst + ch->bytes - pmv_slot_start(s));
	if (rc < 0) {
		pmv_slot_cool(ch->heap, s);
		return rc;
	}
	pmv_slot_publish(s, dst, ch->bytes);
	m = pmv_magazine_hold(ch->heap);
	c = pmv_magazine_counters(ch->heap, m);
	pmv_heap_add(&c->allocs, 1);
	pmv_heap_add(&c->alloc_bytes, ch->bytes);
	count_result(c, ch->res);
	pmv_magazine_release(m);
	*out = (void *)dst;
	return 0;
}

int pagemv_heap_adopt(struct pagemv_heap *heap, void *ptr, size_t old_bytes,
		      size_t bytes, void **out, struct pagemv_result *res)
{
	struct pagemv_result unwanted;
	struct change ch = {
		.heap = heap,
		.at = (uintptr_t)ptr,
		.old = old_bytes,
		.bytes = bytes,
		.res = res ? res : &unwanted,
	};
	int saved = errno, rc;

	if (!heap || !ptr || !out || old_bytes > UINTPTR_MAX - ch.at)
		return -EINVAL;
	*ch.res = (struct pagemv_result){ 0 };
	rc = -ENOMEM;
	if (bytes <= PTRDIFF_MAX) {
		pmv_heap_enter();
		rc = adopt(&ch, out);
		pmv_heap_leave();
	}
	if (rc == -ENOMEM)
		PMV_HEAP_COUNT(heap, failures, 1);
	errno = saved;
	return rc;
}
