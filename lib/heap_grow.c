// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What comes next to a block that grows. One that has been filled as it grew,
 * without gaps, will be filled further: pages are made for it many at a time,
 * which costs a third less than by faults, and may be huge ones (heap_huge.c).
 * One that is touched here and there would take many times as much memory. And
 * the last growth of a block may be filled in part: no more is made in advance
 * than a part of what it has already, which is larger when it has filled some
 * large steps and this one is less likely to be the last.
 *
 * What is made in advance looks as if it had been touched. So some pages are
 * left out now and then, the sensor, and tell the next time.
 *
 *   small steps: ... touched | sensor | made in advance |
 *                           old      end            look_at
 *   large steps: ... touched | made in advance | sensor ...   |
 *                           old                              end
 */

#include "heap.h"
#include "pages.h"

/* Smaller blocks are left alone. */
#define BYTES_MIN ((size_t)2 << 20)
/* What is looked at of one that has no sensor so far. */
#define WINDOW_PAGES 128
#define SENSOR_PAGES 16
/* So many of a window are there, in eighths, if it is dense. */
#define DENSE_EIGHTHS 7

/* So much of a large step is made in advance: a part of the block; and of one
 * that has filled so many of them before. */
#define STEP_PART   8
#define FILLED_PART 4
#define FILLED_MIN  3
/* And so much beyond a small one; or to the end of a huge page. */
#define AHEAD_PART  32
#define AHEAD_MIN   ((size_t)128 << 10)
#define AHEAD_MAX   ((size_t)16 << 20)
#define BEYOND_PART 10
/* There is a sensor in each such part. */
#define SENSE_PART 8
/* Blocks that are not dense are looked at again when they have grown by so
 * much. */
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

/* By its sensor, or in the middle; and at the end. */
static bool is_dense(struct pagemv_heap *heap, const struct pmv_slot *s,
		     size_t old)
{
	size_t page = heap->page_bytes, window = WINDOW_PAGES * page;
	uintptr_t start = pmv_slot_start(s);
	bool sensed = s->sensor && s->sensor + SENSOR_PAGES * page <= old;

	if (sensed && !dense_at(heap, start + s->sensor, SENSOR_PAGES))
		return false;
	if (sensed && s->sensor + window > old)
		return true;
	return old >= 2 * window &&
	       (sensed || dense_at(heap, start + pmv_round_down(old / 2, page),
				   WINDOW_PAGES)) &&
	       dense_at(heap, start + pmv_round_down(old, page) - window,
			WINDOW_PAGES);
}

static void look_again(struct pmv_slot *s, size_t end)
{
	size_t more = end / AGAIN_PART > AGAIN_MIN ? end / AGAIN_PART
						   : AGAIN_MIN;

	s->sensor = 0;
	s->filled = 0;
	s->look_at = end + more;
}

/* How far pages are made in advance. */
static size_t made_end(const struct pagemv_heap *heap, const struct pmv_slot *s,
		       size_t old, size_t end)
{
	size_t part = end / (s->filled < FILLED_MIN ? STEP_PART : FILLED_PART);
	size_t ahead = end / AHEAD_PART, to = end;

	if (end - old > part)
		return pmv_round_down(old + part, heap->page_bytes);
	ahead = ahead < AHEAD_MIN ? AHEAD_MIN : pmv_min(ahead, AHEAD_MAX);
	if (end - old <= ahead)
		to = end + ahead;
	if (pmv_huge_likely(s)) {
		size_t whole = pmv_round_up(to, heap->huge_bytes);

		if (whole - end <= end / BEYOND_PART)
			to = whole;
	}
	return pmv_round_down(pmv_min(to, s->committed), heap->page_bytes);
}

static void make_pages(struct pagemv_heap *heap, struct pmv_slot *s, size_t old,
		       size_t end)
{
	size_t page = heap->page_bytes;
	size_t from = pmv_round_up(old, page), to = made_end(heap, s, old, end);
	size_t sensor = to < end ? to : s->sensor;

	/* Behind that there is nothing so far. */
	if (from < s->dirty)
		from = s->dirty;
	if (to >= end && (!sensor || from - sensor >= end / SENSE_PART)) {
		sensor = from;
		from += SENSOR_PAGES * page;
	}
	if (to <= from || pmv_huge_make(s, from, to, to < end) < 0) {
		look_again(s, end);
		return;
	}
	pmv_slot_touched(s, to);
	s->sensor = sensor;
	s->filled += to < end && s->filled < FILLED_MIN;
	s->look_at = (to > end ? to : end) + 1;
}

void pmv_block_grows(struct pagemv_heap *heap, struct pmv_slot *s, size_t old,
		     size_t end)
{
	if (heap->opts.huge == PAGEMV_HEAP_HUGE_ALWAYS)
		pmv_huge_always(heap, s);
	if (is_dense(heap, s, old))
		make_pages(heap, s, old, end);
	else
		look_again(s, end);
}

size_t pmv_block_look_at(const struct pagemv_heap *heap)
{
	if (heap->advises && heap->opts.huge == PAGEMV_HEAP_HUGE_ALWAYS)
		return heap->huge_bytes;
	return BYTES_MIN;
}
