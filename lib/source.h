/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the pages of a faulting region come from, and how they get there.
 */
#ifndef PMV_SOURCE_H
#define PMV_SOURCE_H

#include "base.h"

struct pagemv;
struct pmv_hold;

/* Claimed pages of a region that are to be filled. */
struct pmv_window {
	uintptr_t addr; /* of the first */
	size_t first;	/* the same, counted in the region */
	size_t pages;
	uintptr_t fault_addr; /* the page that was touched */
	/* In a child of fork(), which child_fd is of. Not by a range. */
	bool of_child;
	int child_fd;
};

/* No errno: what dst is registered with is no longer ours. */
#define PMV_FILL_GONE (-10000)

/*
 * Fills as many pages of the window as can be, from its start, and maps them.
 * Returns how many are there now; fewer than all with *error set to why not: a
 * negative errno or PMV_FILL_GONE. Pages that are there already count.
 */
size_t pmv_source_fill(struct pagemv *pv, const struct pmv_hold *hold,
		       const struct pmv_window *w, int *error);

/*
 * The steps of it, for a filler. Pages at dst, claimed, of a region that is
 * held: those at src, which is scratch, by MOVE where there is one and copies
 * does not say otherwise; zeros where src is 0. Returns how many bytes are
 * there now; fewer than all with *error as above.
 */
size_t pmv_source_map(struct pagemv *pv, const struct pmv_hold *hold,
		      uintptr_t dst, uintptr_t src, size_t bytes, bool copies,
		      int *error);

/* The same for pages of the program, which are moved; where there is none at
 * src they are zeros. */
size_t pmv_source_move(struct pagemv *pv, const struct pmv_hold *hold,
		       uintptr_t dst, uintptr_t src, size_t bytes, int *error);

#endif /* PMV_SOURCE_H */
