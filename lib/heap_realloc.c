// SPDX-License-Identifier: LGPL-2.1-or-later
/* Blocks that change their size. */
#include <errno.h>

#include "heap_change.h"

/* So much less than before is kept, and is there when the block grows again. */
#define KEPT_MIN  ((size_t)64 << 10)
#define KEPT_PART 16

/* ---- counting ---- */

static void count_sizes(const struct pmv_change *ch,
			struct pagemv_heap_counters *c)
{
	pmv_heap_add(&c->reallocs, 1);
	if (ch->bytes > ch->old)
		pmv_heap_add(&c->alloc_bytes, ch->bytes - ch->old);
	else
		pmv_heap_add(&c->free_bytes, ch->old - ch->bytes);
}

static void count_in_place(const struct pmv_change *ch,
			   const struct pmv_magazine *m)
{
	struct pagemv_heap_counters *c = pmv_magazine_counters(ch->heap, m);

	count_sizes(ch, c);
	pmv_heap_add(&c->in_place, 1);
}

static void count_moved(const struct pmv_change *ch)
{
	struct pmv_magazine *m = pmv_magazine_hold(ch->heap);
	struct pagemv_heap_counters *c = pmv_magazine_counters(ch->heap, m);

	count_sizes(ch, c);
	pmv_count_result(c, ch->res);
	pmv_magazine_release(m);
}

/* ---- in place ---- */

/* The pages behind the end, or the end of the huge page that it is in. */
static void give_tail(const struct pmv_change *ch, size_t end)
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
static bool grow_at_once(const struct pmv_change *ch, struct pmv_magazine *m)
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

static int change_in_place(const struct pmv_change *ch)
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

/* ---- realloc ---- */

static bool fits(const struct pmv_change *ch)
{
	const struct pmv_slot *s = ch->slot;
	size_t off = ch->at - pmv_slot_start(s);

	return !(ch->flags & PAGEMV_ALLOC_MOVE) &&
	       off + ch->bytes <= s->arena->slot_bytes;
}

static int change_size(struct pmv_change *ch, void **out)
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
	rc = pmv_block_move(ch, ch->heap, out);
	if (rc == 0)
		count_moved(ch);
	return rc;
}

static int check_flags(uint32_t flags)
{
	const uint32_t both = PAGEMV_ALLOC_MOVE | PAGEMV_ALLOC_IN_PLACE;

	return flags & ~PAGEMV_ALLOC_ALL || (flags & both) == both ? -EINVAL
								   : 0;
}

static int heap_realloc(struct pmv_change *ch, void **out)
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
	if (rc == -ENOMEM && pmv_heap_release(ch->heap))
		rc = change_size(ch, out);
	if (rc < 0)
		pmv_change_undo(ch);
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
	struct pmv_change ch = {
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
