/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who fills a page: one byte a page of a faulting region, and the only place
 * where it changes. Model: doc/model/page_state.pml.
 *
 *            claim                    release(PRESENT)
 *   ABSENT ---------> BUSY ---------------------------> PRESENT
 *     ^                | ^   waiter                        |
 *     |                v |                                 |
 *     +------------- WAITED                                |
 *     release(ABSENT)                      reclaim         |
 *                       BUSY <-----------------------------+
 *
 * What is BUSY or WAITED belongs to the thread that claimed it, and to nobody
 * else. PRESENT says that the page was there once: the program may have thrown
 * it away since. Whoever faults on it looks, reclaims it, and looks again
 * before it is filled, as another thread may have been through with that
 * meanwhile. POISONED is PRESENT in all this; ENDED stays so. The kernel has
 * the last word: it refuses to map a page where there is one.
 *
 * All AS-Safe; nothing is allocated but by open.
 */
#ifndef PMV_PAGE_STATE_H
#define PMV_PAGE_STATE_H

#include <stdatomic.h>

#include "base.h"

struct pmv_sys;

enum pmv_page_state {
	PMV_PAGE_ABSENT, /* 0, as fresh memory is */
	PMV_PAGE_BUSY,	 /* somebody is filling it */
	PMV_PAGE_WAITED, /* the same, and somebody sleeps until it ends */
	PMV_PAGE_PRESENT,
	PMV_PAGE_POISONED, /* as PRESENT, and every access is to fail */
	PMV_PAGE_ENDED,	   /* no longer of the region: for good */
};

struct pmv_page_states {
	PMV_ATOMIC _Atomic uint8_t *of; /* enum pmv_page_state */
	size_t pages;
	size_t bytes; /* of the mapping; 0: placed */
};

/* For fewer pages a mapping costs more than 2 bytes a page, a fault, and a line
 * of the caches. */
#define PMV_PAGE_STATES_SMALL 2048

/* All absent, in a mapping of their own. Returns 0 or -errno. */
int pmv_page_states_open(const struct pmv_sys *sys, struct pmv_page_states *s,
			 size_t pages, size_t page_bytes);
void pmv_page_states_close(const struct pmv_sys *sys,
			   struct pmv_page_states *s);

/* The same in pages bytes of the caller's, all zero: for less than
 * PMV_PAGE_STATES_SMALL. Close leaves them alone. */
void pmv_page_states_place(struct pmv_page_states *s, void *zeros,
			   size_t pages);

/*
 * Claims page i if it is absent. Returns what it was found as: ABSENT: it is
 * the caller's now, who must release it. Acquires what the last release
 * released.
 */
enum pmv_page_state pmv_page_claim(const struct pmv_page_states *s, size_t i);

/* Claims absent pages from i on, upwards, or downwards from i; at most max;
 * stops at the first one that is not absent. Returns how many. */
size_t pmv_page_claim_up(const struct pmv_page_states *s, size_t i, size_t max);
size_t pmv_page_claim_down(const struct pmv_page_states *s, size_t i,
			   size_t max);

/* Claims page i if it is PRESENT or POISONED. */
bool pmv_page_reclaim(const struct pmv_page_states *s, size_t i);

/* Gives n claimed pages from i on the state ABSENT, PRESENT, POISONED or ENDED,
 * and wakes those that wait for them. */
void pmv_page_release(const struct pmv_sys *sys,
		      const struct pmv_page_states *s, size_t i, size_t n,
		      enum pmv_page_state state);

/* Returns when page i is not busy, or has not been for a moment, or a signal
 * came: look again. */
void pmv_page_wait(const struct pmv_sys *sys, const struct pmv_page_states *s,
		   size_t i);

/* The same, or when so much time has passed; 0: no limit. */
void pmv_page_wait_for(const struct pmv_sys *sys,
		       const struct pmv_page_states *s, size_t i,
		       uint64_t limit_ns);

/* Whether somebody sleeps until one of n pages that the caller has claimed is
 * released. */
bool pmv_page_waited(const struct pmv_page_states *s, size_t i, size_t n);

/* For pages that came or are about to go by other ways, where nobody has
 * claimed them. ABSENT before they go: behind it, somebody may have filled them
 * again. */
void pmv_page_note(const struct pmv_page_states *s, size_t i, size_t n,
		   enum pmv_page_state state);

#endif /* PMV_PAGE_STATE_H */
