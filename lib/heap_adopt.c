// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Blocks that come to a heap: from another one, or from elsewhere.
 */
#include <errno.h>
#include <string.h>

#include "heap_change.h"

/* ---- give ---- */

static void count_given(const struct pmv_change *ch, struct pagemv_heap *to)
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
	pmv_count_result(c, ch->res);
	pmv_magazine_release(m);
}

static int give(struct pmv_change *ch, struct pagemv_heap *to, void **out)
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
		pmv_change_undo(ch);
		return 0;
	}
	ch->bytes = ch->old;
	pmv_heap_enter();
	rc = pmv_block_move(ch, to, out);
	if (rc < 0)
		pmv_change_undo(ch);
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
	struct pmv_change ch = {
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
static void copy_fringe(const struct pmv_change *ch, uintptr_t dst, size_t off,
			size_t bytes)
{
	if (!bytes)
		return;
	memcpy((void *)(dst + off), (const void *)(ch->at + off), bytes);
	ch->res->copied_bytes += bytes;
	ch->res->mechanisms |= PAGEMV_MECH_BIT(PAGEMV_MECH_COPY);
}

static int bring_in(const struct pmv_change *ch, uintptr_t dst)
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

static int adopt(const struct pmv_change *ch, void **out)
{
	struct pagemv_heap_counters *c;
	struct pmv_magazine *m;
	struct pmv_slot *s;
	uintptr_t dst;
	int rc =
		pmv_slot_take_for(ch->heap, ch->at, ch->bytes, false, &s, &dst);

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
	pmv_count_result(c, ch->res);
	pmv_magazine_release(m);
	*out = (void *)dst;
	return 0;
}

int pagemv_heap_adopt(struct pagemv_heap *heap, void *ptr, size_t old_bytes,
		      size_t bytes, void **out, struct pagemv_result *res)
{
	struct pagemv_result unwanted;
	struct pmv_change ch = {
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
