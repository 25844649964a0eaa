/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The registry of regions: which ranges pages may be moved into.
 *
 * Looked up under RCU, from any thread and from signal handlers. Changed under
 * pv->region_lock.
 */
#ifndef PMV_REGION_H
#define PMV_REGION_H

#include "policy.h"

struct pagemv;

/* Whether the range lies inside regions of pv, with no gap between them. */
bool pmv_region_holds(const struct pagemv *pv, uintptr_t addr, size_t bytes);

/* Whether any region of pv has part of the range. */
bool pmv_region_touches(const struct pagemv *pv, uintptr_t addr, size_t bytes);

/*
 * Registers a range inside a region with the userfaultfd again, after mremap
 * took the registration off it. Returns 0 or -errno (EBUSY: another user of
 * userfaultfd has it).
 */
int pmv_region_rearm(struct pagemv *pv, uintptr_t addr, size_t bytes);

/*
 * What kind of pages are moved into the region that holds addr, as last
 * told by pmv_region_learn(). Forgets after a number of questions, so that
 * a change is noticed.
 */
enum pmv_kind pmv_region_kind(const struct pagemv *pv, uintptr_t addr);
void pmv_region_learn(const struct pagemv *pv, uintptr_t addr,
		      enum pmv_kind kind);

/* How often fork() began or ended in this process: odd while it is running.
 * Only what handlers of pthread_atfork() see, once they are registered. */
unsigned int pmv_forks(void);

/*
 * Whether huge pages may be made in the region that holds addr, as told by
 * pmv_region_learn_huge(): it has been seen in its mappings. Forgotten in the
 * same way.
 */
bool pmv_region_gets_huge(const struct pagemv *pv, uintptr_t addr);
void pmv_region_learn_huge(const struct pagemv *pv, uintptr_t addr);

/* Sets up an empty registry; ends all regions. atfork: liburcu's handlers for
 * fork() are to be registered. */
int pmv_regions_open(struct pagemv *pv, bool atfork);
void pmv_regions_close(struct pagemv *pv);

#endif /* PMV_REGION_H */
