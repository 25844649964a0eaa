/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What becomes of pages that came from another node: kept there, at no cost, or
 * brought to where their new owner wants them.
 */
#ifndef PMV_PLACEMENT_H
#define PMV_PLACEMENT_H

#include "numa.h"
#include "policy.h"

struct pagemv;

/*
 * Places a range as the caller of pmv_numa_want() wants it, if that is worth
 * it. Returns what was brought; it is no error when pages stay where they are.
 */
struct pmv_numa_brought pmv_place(const struct pagemv *pv,
				  const struct pmv_numa_want *want,
				  uintptr_t addr, size_t bytes);

/* Measures what bringing costs, and what it saves, on a machine with two nodes;
 * on another, or where the kernel refuses, costs stay as they are. */
void pmv_place_calibrate(const struct pagemv *pv,
			 struct pmv_place_costs *costs);

#endif /* PMV_PLACEMENT_H */
