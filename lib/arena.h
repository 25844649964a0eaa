/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Arenas: reserved address space, divided into slots of one size. A block is in
 * a slot of its own, larger than it is, so that it can grow where it is.
 *
 *   arena   | slot 0             | slot 1             | slot 2 ...
 *           | block |ahead| none | block  | none      |
 *
 * What can be accessed is a prefix of each slot; or, where slots are small, of
 * the arena, so that thousands of blocks are one mapping.
 *
 * An arena is found by address under RCU. Its slots are described in memory of
 * its own, never by malloc(), which may be this heap.
 */
#ifndef PMV_ARENA_H
#define PMV_ARENA_H

#include <stdatomic.h>

#include "base.h"

struct pagemv_heap;
struct pmv_arena;

/* What a slot holds, in the low bits of its word; above them are the bytes that
 * were asked for. */
enum pmv_slot_state {
	PMV_SLOT_BLANK = 0, /* no block so far */
	PMV_SLOT_LIVE,	    /* a block */
	PMV_SLOT_BUSY,	    /* a block that realloc() or give() is at work on */
	PMV_SLOT_FREED,	    /* no block any more */
};

#define PMV_SLOT_SHIFT 2
#define PMV_SLOT_MASK  ((1u << PMV_SLOT_SHIFT) - 1)

/*
 * Who has taken a slot off a list, or made it BUSY or FREED, has all but word
 * and at to himself; on a list they are guarded by its lock.
 */
struct pmv_slot {
	/* Lines of the caches are not shared: threads work on neighbours. */
	_Alignas(64) PMV_ATOMIC _Atomic uint64_t word;
	PMV_ATOMIC _Atomic uintptr_t at; /* of the block; the last one's */
	PMV_CONST_AFTER_INIT struct pmv_arena *arena;
	size_t committed; /* bytes from its start that can be accessed */
	size_t dirty;	  /* bytes from its start that may have pages; behind
			   * them all is zeros */
	union {
		struct pmv_slot *older; /* in its list */
		size_t sensor; /* of a block, see heap_grow.c; 0: none */
	};
	union {
		struct pmv_slot *newer; /* in its list */
		size_t look_at; /* of a block: pmv_block_grows() has nothing to
				 * do before it has so many bytes */
	};
	uint32_t freed_ms; /* when */
	uint8_t filled;	   /* large steps of a block, see heap_grow.c */
	bool advised : 1;  /* MADV_HUGEPAGE */
	bool lazy : 1;	   /* MADV_FREE */
	bool counted : 1;  /* in heap->own_slots */
	bool tables : 1;   /* it may have page tables for more than
			    * the first huge page */
	bool lost : 1;	   /* something else may be mapped there */
};

_Static_assert(sizeof(struct pmv_slot) == 64, "a slot is a line");

struct pmv_arena {
	PMV_CONST_AFTER_INIT struct pagemv_heap *heap;
	PMV_CONST_AFTER_INIT uintptr_t start;
	PMV_CONST_AFTER_INIT size_t bytes;
	PMV_CONST_AFTER_INIT size_t slot_bytes;
	PMV_CONST_AFTER_INIT unsigned int shift; /* from address to slot */
	PMV_CONST_AFTER_INIT unsigned int bin;	 /* its slots are in */
	PMV_CONST_AFTER_INIT uint32_t slots;
	PMV_CONST_AFTER_INIT bool shared;	/* slots are committed whole */
	PMV_CONST_AFTER_INIT uint32_t colours;	/* see pmv_slot_colour() */
	PMV_CONST_AFTER_INIT size_t meta_bytes; /* of this description */
	PMV_GUARDED_BY(heap->grow_lock) struct pagemv_region *region;
	/* Under the bin's lock: */
	struct pmv_arena *next; /* of the bin */
	uint32_t fresh;		/* slots from here on were never taken */
	uint32_t ready;		/* slots before it are committed */
	uint32_t cold;		/* slots in the bin's cold list */
	struct pmv_slot slot[];
};

/* What kind of slots are wanted. */
struct pmv_fit {
	unsigned int bin;
	size_t slot_bytes;
	uint32_t slots;	  /* an arena of so many, or less */
	uint32_t colours; /* a power of two */
	bool shared;
};

/* The arenas of a heap by address. */
struct pmv_arena_row {
	uintptr_t start;
	uintptr_t end;
	struct pmv_arena *arena;
};

struct pmv_arena_table {
	size_t bytes; /* of this memory */
	size_t n;
	struct pmv_arena_table *retired; /* under grow_lock */
	struct pmv_arena_row row[];
};

static inline uintptr_t pmv_slot_start(const struct pmv_slot *s)
{
	const struct pmv_arena *a = s->arena;

	return a->start + (size_t)(s - a->slot) * a->slot_bytes;
}

/*
 * How far behind its slot's start a block begins: not all at the same multiple,
 * as the TLB has few places for pages whose addresses agree in so many bits.
 */
#define PMV_COLOURS 32

static inline size_t pmv_slot_colour(const struct pmv_slot *s,
				     size_t page_bytes)
{
	const struct pmv_arena *a = s->arena;

	return (size_t)((s - a->slot) * 7 & (a->colours - 1)) * page_bytes;
}

static inline uint64_t pmv_slot_word(size_t bytes, enum pmv_slot_state state)
{
	return (uint64_t)bytes << PMV_SLOT_SHIFT | state;
}

static inline size_t pmv_word_bytes(uint64_t word)
{
	return word >> PMV_SLOT_SHIFT;
}

static inline enum pmv_slot_state pmv_word_state(uint64_t word)
{
	return word & PMV_SLOT_MASK;
}

/* Both are read by who counts, at any time. */
static inline void pmv_slot_set_dirty(struct pmv_slot *s, size_t bytes)
{
	__atomic_store_n(&s->dirty, bytes, __ATOMIC_RELAXED);
}

static inline void pmv_slot_set_committed(struct pmv_slot *s, size_t bytes)
{
	__atomic_store_n(&s->committed, bytes, __ATOMIC_RELAXED);
}

/* The arena that holds addr, or NULL. The caller is in a read-side section. */
struct pmv_arena *pmv_arena_find(struct pagemv_heap *heap, uintptr_t addr);

/*
 * Reserves and registers an arena and makes it known. Needs grow_lock. Returns
 * 0, -ENOMEM, or another -errno of registration.
 */
int pmv_arena_add(struct pagemv_heap *heap, const struct pmv_fit *fit,
		  struct pmv_arena **out);

/*
 * Takes an arena without blocks out of the table, and waits until nobody looks
 * at it any more: not in a read-side section. False: there is no memory to do
 * it with. Then unmaps it. Both need grow_lock.
 */
bool pmv_arena_forget(struct pmv_arena *arena);
void pmv_arena_destroy(struct pmv_arena *arena);

/* All of them: nobody uses the heap any more. */
void pmv_arenas_close(struct pagemv_heap *heap);

/* Lets bytes from the slot's start be accessed, and perhaps more. 0 or
 * -ENOMEM. Not under the bin's lock. */
int pmv_slot_commit(struct pmv_slot *slot, size_t bytes);

/*
 * Gives its pages back to the kernel, all of them, and of a large slot the page
 * tables: huge pages are moved whole only to where there are none. Returns what
 * it gave back, 0 where it could not.
 */
size_t pmv_slot_give_back(struct pmv_slot *slot);

/* The same from an offset on, whole pages. */
size_t pmv_slot_cut(struct pmv_slot *slot, size_t from);

#endif /* PMV_ARENA_H */
