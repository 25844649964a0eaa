/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The registry of regions: which ranges pages may be moved into.
 *
 * Looked up under RCU, from any thread and from signal handlers; hence the
 * "bulletproof" flavour of liburcu, whose readers need not be registered
 * beforehand, and whose first read-side section in a thread blocks signals
 * while it registers it. Changed under pv->region_lock.
 */
#ifndef PMV_REGION_H
#define PMV_REGION_H

#include "policy.h"

struct pagemv;

/* Whether the range lies inside one region of pv. */
bool pmv_region_holds(const struct pagemv *pv, uintptr_t addr, size_t bytes);

/*
 * Registers a range inside a region with the userfaultfd again, after mremap
 * took the registration off it. Returns 0 or -errno (EBUSY: another user of
 * userfaultfd has it).
 */
int pmv_region_rearm(const struct pagemv *pv, uintptr_t addr, size_t bytes);

/*
 * What kind of pages are moved into the region that holds addr, as last
 * told by pmv_region_learn(). Forgets after a number of questions, so that
 * a change is noticed.
 */
enum pmv_kind pmv_region_kind(const struct pagemv *pv, uintptr_t addr);
void pmv_region_learn(const struct pagemv *pv, uintptr_t addr,
		      enum pmv_kind kind);

/* Sets up an empty registry; ends all regions. */
int pmv_regions_open(struct pagemv *pv);
void pmv_regions_close(struct pagemv *pv);

#endif /* PMV_REGION_H */
