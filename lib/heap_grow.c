// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What comes next to a block that grows. One that has been filled as it grew,
 * without gaps, will be filled further; its next pages may be huge ones, or be
 * made many at a time (a third less than by faults, measured). One that is
 * touched here and there would take many times as much memory.
 *
 * What is made in advance looks as if it had been touched. So some pages are
 * left out each time, the sensor, and tell the next time.
 *
 *   ... touched | sensor | made in advance |
 *             old       end           look_at
 */

#include "heap.h"
#include "pages.h"

/* Smaller blocks are left alone. */
#define BYTES_MIN ((size_t)4 << 20)
/* What is looked at of one that has no sensor so far. */
#define WINDOW_PAGES 256
#define SENSOR_PAGES 16
/* So many of a window are there, in eighths, if it is dense. */
#define DENSE_EIGHTHS 7

/* What is made in advance beyond the end: a part of the block. */
#define AHEAD_PART 32
#define AHEAD_MIN  ((size_t)128 << 10)
#define AHEAD_MAX  ((size_t)2 << 20)
/* A block that has grown by more than such a part at once has grown in
 * capacity; nothing is known of its contents. */
#define STEP_PART 8
/* Blocks that are not dense, or have huge pages, are looked at again when they
 * have grown by so much. */
#define AGAIN_PART 8
#define AGAIN_MIN  ((size_t)8 << 20)

static bool dense_at(struct pagemv_heap *heap, uintptr_t addr, size_t pages)
{
	unsigned char there[WINDOW_PAGES];
	size_t n = 0;

	if (heap->sys->mincore(addr, pages * heap->page_bytes, there) < 0)
		return false;
	for (size_t i = 0; i < pages; i++)
		n += there[i] & 1;
	return n >= pages / 8 * DENSE_EIGHTHS;
}

/* By its sensor, or in the middle and at the end. */
static bool is_dense(struct pagemv_heap *heap, const struct pmv_slot *s,
		     size_t old)
{
	size_t page = heap->page_bytes, window = WINDOW_PAGES * page;
	uintptr_t start = pmv_slot_start(s);

	if (s->sensor && s->sensor + SENSOR_PAGES * page <= old)
		return dense_at(heap, start + s->sensor, SENSOR_PAGES);
	return old >= 2 * window &&
	       dense_at(heap, start + pmv_round_down(old / 2, page),
			WINDOW_PAGES) &&
	       dense_at(heap, start + pmv_round_down(old, page) - window,
			WINDOW_PAGES);
}

static void look_again(struct pmv_slot *s, size_t end)
{
	size_t more = end / AGAIN_PART > AGAIN_MIN ? end / AGAIN_PART
						   : AGAIN_MIN;

	s->sensor = 0;
	s->look_at = end + more;
}

/* Makes pages in advance. */
static void populate(struct pagemv_heap *heap, struct pmv_slot *s, size_t old,
		     size_t end)
{
	size_t page = heap->page_bytes;
	size_t from = pmv_round_up(old, page);
	size_t ahead = end / AHEAD_PART, to;

	ahead = ahead < AHEAD_MIN ? AHEAD_MIN : pmv_min(ahead, AHEAD_MAX);
	if (end - old > ahead)
		ahead = 0;
	to = pmv_min(pmv_round_down(end + ahead, page), s->committed);
	s->sensor = from;
	from += SENSOR_PAGES * page;
	if (to <= from ||
	    pmv_pages_populate(heap->sys, pmv_slot_start(s) + from, to - from) <
		    0) {
		look_again(s, end);
		return;
	}
	pmv_slot_touched(s, to);
	s->look_at = to + 1;
}

void pmv_block_grows(struct pagemv_heap *heap, struct pmv_slot *s, size_t old,
		     size_t end)
{
	if (heap->opts.huge == PAGEMV_HEAP_HUGE_ALWAYS)
		pmv_huge_always(heap, s);
	if (s->advised) {
		if (pmv_huge_keep(heap, s, old, end)) {
			look_again(s, end);
			return;
		}
	} else if (!is_dense(heap, s, old)) {
		look_again(s, end);
		return;
	} else if (pmv_huge_try(heap, s, end)) {
		look_again(s, end);
		return;
	}
	if (end - old <= end / STEP_PART)
		populate(heap, s, old, end);
	else
		look_again(s, end);
}

size_t pmv_block_look_at(const struct pagemv_heap *heap)
{
	if (heap->advises && heap->opts.huge == PAGEMV_HEAP_HUGE_ALWAYS)
		return heap->huge_bytes;
	return BYTES_MIN;
}
