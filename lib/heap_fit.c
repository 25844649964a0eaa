// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * From a number of bytes to the kind of slot.
 *
 * Room is a matter of address space, of which there is plenty: a slot is 4 to
 * 256 times as large as the block that it is given to at first, and 4 GiB for
 * one that has outgrown its first. Where that runs out, or mappings do, as each
 * slot is one, slots are smaller and share mappings; then as large as the
 * block.
 */
#include "heap.h"

#define SMALL_BIN   20 /* of 1 MiB */
#define STEP	    6  /* the next ones are 64 times as large */
#define LARGEST_BIN 44
/* What has outgrown a slot gets at least one of 4 GiB, and so goes on to 1 GiB
 * without moving again: to move costs more the larger it is. */
#define GROWING_BIN 32
/* Larger blocks have pages of all colours. */
#define COLOURED_MAX GROWING_BIN
/* No block begins behind such a part of its slot. */
#define COLOURED_PART 8
/* For blocks up to this. */
#define SMALL_MAX ((size_t)256 << 10)
/* Elsewhere slots are so many times as large as a block. */
#define ROOM 4
/* The first arena of small slots has so many, of larger ones fewer. */
#define FIRST_SLOTS 256
/* An arena is never larger, if it has more slots than one. */
#define ARENA_MAX ((size_t)1 << 42)

/* Where address space is scarce. */
#define NARROW_MIN_BIN 18
#define NARROW_MAX     ((size_t)4 << 20)
#define NARROW_SLOTS   16

enum level { LEVEL_GROWING, LEVEL_ROOMY, LEVEL_CLOSE, LEVEL_EXACT };

/* The smallest bin whose slots have so many bytes. */
static unsigned int bin_for(size_t bytes)
{
	return bytes <= 1 ? 0
			  : (unsigned int)(sizeof(long) * 8) -
				    (unsigned int)__builtin_clzl(bytes - 1);
}

/* Slots of these are committed one by one, as they are large. */
static bool is_own(unsigned int bin)
{
	return bin > SMALL_BIN && (bin - SMALL_BIN) % STEP == 0;
}

static uint32_t colours_of(const struct pagemv_heap *heap, unsigned int bin)
{
	size_t room = ((size_t)1 << bin) / COLOURED_PART;
	uint32_t colours = PMV_COLOURS;

	if (bin < SMALL_BIN || bin > COLOURED_MAX)
		return 1;
	while (colours > 1 && colours * heap->page_bytes > room)
		colours /= 2;
	return colours;
}

static struct pmv_fit fit_bin(const struct pagemv_heap *heap, unsigned int bin,
			      uint32_t slots)
{
	return (struct pmv_fit){ .bin = bin,
				 .slot_bytes = (size_t)1 << bin,
				 .slots = slots,
				 .colours = colours_of(heap, bin),
				 .shared = !is_own(bin) };
}

/* So many slots for the next arena of a bin: twice as many each time. */
static uint32_t slots_for(const struct pagemv_heap *heap, unsigned int bin)
{
	size_t slot = (size_t)1 << bin, n = FIRST_SLOTS;
	uint32_t arenas =
		__atomic_load_n(&heap->bins[bin].n_arenas, __ATOMIC_RELAXED);

	if (heap->opts.reserve_bytes)
		n = heap->opts.reserve_bytes / slot;
	else
		n = n >> 2 * (bin - SMALL_BIN) / STEP
				 << (arenas < 10 ? arenas : 10);
	n = pmv_min(n, ARENA_MAX / slot);
	return n ? (uint32_t)pmv_min(n, UINT16_MAX) : 1;
}

static unsigned int roomy_bin(size_t bytes, bool growing)
{
	unsigned int bin = SMALL_BIN;

	if (bytes > SMALL_MAX)
		do
			bin += STEP;
		while ((growing && bin < GROWING_BIN) ||
		       (bin <= LARGEST_BIN &&
			bytes > ((size_t)1 << bin) / ROOM));
	return bin;
}

static unsigned int close_bin(const struct pagemv_heap *heap, size_t bytes,
			      bool growing)
{
	unsigned int bin = bin_for(bytes);

	/* A block that will grow gets twice as much as it has. */
	if (!heap->narrow || growing)
		bin++;
	if (bin < NARROW_MIN_BIN)
		bin = NARROW_MIN_BIN;
	return is_own(bin) ? bin + 1 : bin;
}

unsigned int pmv_heap_bin(const struct pagemv_heap *heap, size_t bytes,
			  bool growing)
{
	return pmv_unlikely(heap->narrow) ? close_bin(heap, bytes, growing)
					  : roomy_bin(bytes, growing);
}

static bool fit_roomy(const struct pagemv_heap *heap, size_t bytes,
		      bool growing, struct pmv_fit *fit)
{
	unsigned int bin = roomy_bin(bytes, growing);

	if (heap->narrow || bin > LARGEST_BIN ||
	    (is_own(bin) &&
	     atomic_load_explicit(&heap->own_slots, memory_order_relaxed) >
		     heap->own_max))
		return false;
	*fit = fit_bin(heap, bin, slots_for(heap, bin));
	return true;
}

static bool fit_close(const struct pagemv_heap *heap, size_t bytes,
		      bool growing, struct pmv_fit *fit)
{
	unsigned int bin = close_bin(heap, bytes, growing);

	if (bin > LARGEST_BIN || (heap->narrow && bytes > NARROW_MAX))
		return false;
	*fit = fit_bin(heap, bin, NARROW_SLOTS);
	if (heap->narrow)
		fit->colours = 1;
	return true;
}

static bool fit_exact(const struct pagemv_heap *heap, size_t bytes,
		      bool growing, struct pmv_fit *fit)
{
	size_t slot = pmv_round_up(bytes, heap->page_bytes);

	if (growing)
		slot += pmv_round_up(slot / 4, heap->page_bytes);
	*fit = (struct pmv_fit){ .bin = PMV_BIN_EXACT,
				 .slot_bytes = slot,
				 .slots = 1,
				 .colours = 1 };
	return true;
}

bool pmv_heap_fit(const struct pagemv_heap *heap, size_t bytes,
		  unsigned int level, bool growing, struct pmv_fit *fit)
{
	switch (level) {
	case LEVEL_GROWING:
		return growing && fit_roomy(heap, bytes, true, fit);
	case LEVEL_ROOMY:
		return fit_roomy(heap, bytes, false, fit);
	case LEVEL_CLOSE:
		return fit_close(heap, bytes, growing, fit);
	default:
		return fit_exact(heap, bytes, growing, fit);
	}
}
