/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What register.c and unregister.c share; nobody else needs it.
 */
#ifndef PMV_REGISTRY_H
#define PMV_REGISTRY_H

#include "region.h"

/* From here on faults do not begin to be solved. */
void pmv_region_begin_end(struct pagemv_region *r);

/* The kernel forgets what the region has in [start, end), and wakes those that
 * wait for pages there. */
void pmv_region_disarm(const struct pagemv_region *r, uintptr_t start,
		       uintptr_t end);

/* It has been taken out of the table: waits for all that have found it before.
 * Not under region_lock. */
void pmv_region_settle(struct pagemv_region *r);

void pmv_region_free(struct pagemv_region *r);

#endif /* PMV_REGISTRY_H */
