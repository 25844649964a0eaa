/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From address to region: which ranges belong to which region of a handle.
 *
 * An extent is a contiguous part of a region. A region is one extent until a
 * part of it is unregistered, unmapped or remapped. Extents do not overlap.
 *
 * Readers are any threads and signal handlers, under RCU. Writers hold
 * pv->region_lock.
 */
#ifndef PMV_EXTENTS_H
#define PMV_EXTENTS_H

#include "base.h"

struct pagemv;
struct pagemv_region;
struct pmv_extent_leaf;
struct pmv_extent_root;
struct pmv_retired;

struct pmv_extent {
	uintptr_t start;
	uintptr_t end;
	struct pagemv_region *region;
	size_t first; /* the page at start, counted from the region's first */
};

/*
 * The extent that holds addr, or else the next one above it; false if there is
 * none. The caller is in a read-side section for as long as it uses
 * out->region, or holds region_lock.
 */
bool pmv_extents_find(const struct pagemv *pv, uintptr_t addr,
		      struct pmv_extent *out);

/*
 * Adds an extent; it is merged with neighbours of the same region where pages
 * are counted on. Returns 0, -EEXIST (overlap), -ENOMEM. Nothing has changed
 * on error.
 */
int pmv_extents_add(struct pagemv *pv, const struct pmv_extent *e);

/*
 * Takes [start, end) out of all extents. Returns 0 or -ENOMEM (nothing has
 * changed). Readers that are inside may still see what there was:
 * pmv_extents_settle().
 */
int pmv_extents_cut(struct pagemv *pv, uintptr_t start, uintptr_t end);

/*
 * The same in steps, where something else has to succeed between them: a plan
 * takes all the memory that is needed; apply makes it so, and cannot fail; then
 * keep, or undo. A plan that is not applied is dropped. No other writer between
 * plan and keep, undo or drop.
 */
struct pmv_extent_plan {
	/* A leaf instead of the one in a slot, or a root instead of the root.
	 */
	struct pmv_extent_leaf *leaf, *old_leaf;
	struct pmv_extent_root *root, *old_root;
	size_t slot;
	struct pmv_retired *in;	 /* what it brings */
	struct pmv_retired *out; /* what it takes the place of */
};

/* Adding e; then the plan's root and leaf may not be both NULL. */
int pmv_extents_plan_add(struct pagemv *pv, const struct pmv_extent *e,
			 struct pmv_extent_plan *plan);
/* Cutting what lies in [start, end) and is of the region; NULL: of any. Both
 * may be NULL then: there is nothing to cut. */
int pmv_extents_plan_cut(struct pagemv *pv, uintptr_t start, uintptr_t end,
			 const struct pagemv_region *region,
			 struct pmv_extent_plan *plan);
void pmv_extents_apply(struct pagemv *pv, const struct pmv_extent_plan *plan);
void pmv_extents_keep(struct pagemv *pv, struct pmv_extent_plan *plan);
void pmv_extents_undo(struct pagemv *pv, struct pmv_extent_plan *plan);
void pmv_extents_drop(struct pmv_extent_plan *plan);

/* Frees what was replaced, if that is much and add and cut did not do it, as
 * nothing is known of forks. As settle, otherwise. */
void pmv_extents_relieve(struct pagemv *pv);

/* Waits until no reader sees what was cut. Not under region_lock, nor inside a
 * read-side section. */
void pmv_extents_settle(struct pagemv *pv);

/* An empty set; the end of one, when nobody reads or writes any more. */
int pmv_extents_open(struct pagemv *pv);
void pmv_extents_close(struct pagemv *pv);

#endif /* PMV_EXTENTS_H */
