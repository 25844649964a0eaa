/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Blocks that change their size or their heap: what the calls that do it share.
 */
#ifndef PMV_HEAP_CHANGE_H
#define PMV_HEAP_CHANGE_H

#include "heap.h"

/* Of a block that is BUSY; or, adopted, of none so far. */
struct pmv_change {
	struct pagemv_heap *heap;
	struct pmv_slot *slot;
	uintptr_t at;
	size_t old, bytes; /* as asked for */
	uint32_t flags;
	struct pagemv_result *res;
};

/* It stays as it was. */
static inline void pmv_change_undo(const struct pmv_change *ch)
{
	pmv_slot_publish(ch->slot, ch->at, ch->old);
}

/* The block goes to another slot, of the heap to. 0, -ENOMEM, or as
 * pmv_transfer(). */
int pmv_block_move(const struct pmv_change *ch, struct pagemv_heap *to,
		   void **out);

/*
 * Takes a slot for a block that comes from at, with its pages: it keeps its
 * offset in the first one, or in a huge page. 0 or -ENOMEM.
 */
int pmv_slot_take_for(struct pagemv_heap *heap, uintptr_t at, size_t bytes,
		      bool advised, struct pmv_slot **to, uintptr_t *dst);

/* Adds what was moved to the counters. */
void pmv_count_result(struct pagemv_heap_counters *c,
		      const struct pagemv_result *res);

#endif /* PMV_HEAP_CHANGE_H */
