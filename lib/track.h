/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Write protection of tracked regions, as faults and moves see it. AS-Safe.
 *
 * A page is dirty when it is there and the page tables do not show it as
 * protected. Nothing else is kept: what is absent cannot be protected, so that
 * whatever appears is dirty.
 */
#ifndef PMV_TRACK_H
#define PMV_TRACK_H

#include "internal.h"

struct pagemv_region;

/* Whether there may be protected pages: there has been a tracked region. */
static inline bool pmv_tracking(const struct pagemv *pv)
{
	/* Who moves pages of a region knows that it was registered. */
	return atomic_load_explicit(&pv->tracking, memory_order_relaxed);
}

/*
 * A fault on a page that is there, in a tracked region without asynchronous
 * write protection: the page is dirty from then on, and the store goes through.
 * True if it was protected or may have been.
 */
bool pmv_track_fault(struct pagemv *pv, const struct pagemv_region *region,
		     uintptr_t addr);

#define PMV_LEAVING_PAGES 4096

/* Pages on their way out of a tracked region. */
struct pmv_leaving {
	uintptr_t dst;
	uintptr_t src;
	size_t bytes;
	uint64_t *clean; /* a bit for each page that was protected; NULL: they
			  * arrive as dirty */
	size_t mapped;	 /* bytes of clean, where few are too few */
	uint64_t few[PMV_LEAVING_PAGES / 64];
};

/*
 * Around a move, where pmv_tracking(). quiescent: nobody stores to the source
 * meanwhile. False where no page leaves a tracked region: then that was all.
 * Else pmv_track_arrive() is to be called when they have been moved: done is
 * how many bytes from the start are at dst, at least.
 *
 * Between tracked regions protection is set again where it was, if quiescent;
 * a store between could not be told from one before it. To elsewhere none is
 * left over, as nobody would answer its faults.
 */
bool pmv_track_leave(struct pagemv *pv, uintptr_t dst, uintptr_t src,
		     size_t bytes, bool quiescent, struct pmv_leaving *leaving);
void pmv_track_arrive(struct pagemv *pv, struct pmv_leaving *leaving,
		      size_t done);

#endif /* PMV_TRACK_H */
