/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where pages are written before they are moved to where they were missed.
 *
 * A pool of slots for each handle, mapped with its first faulting region. A
 * slot is one thread's at a time; a thread that faults while it fills a page
 * has several. AS-Safe.
 */
#ifndef PMV_SCRATCH_H
#define PMV_SCRATCH_H

#include "base.h"

struct pagemv;

#define PMV_SCRATCH_SLOTS 32

struct pmv_scratch {
	uintptr_t base; /* PAGEMV_AROUND_MAX pages; 0: none */
	int slot;	/* -1: a mapping of its own */
};

/* Maps the pool. Needs region_lock. Returns 0 or -errno. */
int pmv_scratch_open(struct pagemv *pv);
void pmv_scratch_close(struct pagemv *pv);

/* Takes a slot; where all are taken, a new mapping. Returns 0 or -errno. The
 * pages in it hold anything, or are absent. */
int pmv_scratch_take(struct pagemv *pv, struct pmv_scratch *out);
void pmv_scratch_give(struct pagemv *pv, const struct pmv_scratch *s);

#endif /* PMV_SCRATCH_H */
