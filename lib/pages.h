/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which pages are there: what the page tables say, without touching them.
 * AS-Safe; all take addresses and lengths in whole pages.
 */
#ifndef PMV_PAGES_H
#define PMV_PAGES_H

#include "base.h"

struct pagemv;

/* Consecutive pages in the same state. */
struct pmv_run {
	size_t bytes;	/* from the address asked for; > 0 */
	bool populated; /* present or swapped out; else a hole */
	bool known;	/* false: nothing could tell, and it is a guess */
};

/* The run at addr, at most bytes long. Where nothing can tell, everything is
 * taken as populated, but not known. */
struct pmv_run pmv_pages_run(const struct pagemv *pv, uintptr_t addr,
			     size_t bytes);

/* Whether the range begins with a huge page. */
bool pmv_pages_huge(const struct pagemv *pv, uintptr_t addr);

/* Makes pages exclusive to this process and writable, changing no data.
 * Returns 0 or -errno. Linux 5.14. */
int pmv_pages_populate(const struct pagemv *pv, uintptr_t addr, size_t bytes);

/* Throws the pages away; they read as zeros then. */
int pmv_pages_discard(const struct pagemv *pv, uintptr_t addr, size_t bytes);

/* Opens what the functions above look at: fills in pv->pagemap_fd and
 * PAGEMV_HAS_PAGEMAP, PAGEMV_HAS_PAGEMAP_SCAN. Returns 0, also where there is
 * nothing to open, or -EMFILE, -ENFILE. */
int pmv_pages_open(struct pagemv *pv);

#endif /* PMV_PAGES_H */
