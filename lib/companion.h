/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The calls of the companion module's device, and nothing else of the library
 * issues them. Their answers become what those of userfaultfd do (uffd.h).
 */
#ifndef PMV_COMPANION_H
#define PMV_COMPANION_H

#include <pagemv/base.h>

#include "companion_uapi.h"
#include "uffd.h"

/*
 * Opens the device; given: a descriptor of the caller's, or -1. Returns one of
 * the library's own, and in *calls what the module knows, PMV_COMPANION_CAN_*.
 * Or -errno, or 0 where it is not the errno that tells, and *reason.
 */
int pmv_companion_open(const struct pmv_sys *sys, int given, uint64_t *calls,
		       enum pagemv_reason *reason);

#define PMV_COMPANION_CAN_MOVE	   (1ull << 1)
#define PMV_COMPANION_CAN_VECTORS  (1ull << 2)
#define PMV_COMPANION_CAN_EXCHANGE (1ull << 3)

/* Nobody is woken who waits for a page at dst. */
struct pmv_step pmv_companion_move(const struct pmv_sys *sys, int fd,
				   uintptr_t dst, uintptr_t src, size_t bytes);
/* The same, and holes stay holes: they count as done. */
struct pmv_step pmv_companion_move_sparse(const struct pmv_sys *sys, int fd,
					  uintptr_t dst, uintptr_t src,
					  size_t bytes);

/*
 * Ranges in their order, each as pmv_companion_move(); one that fails does not
 * stop the others. Their moved is preset to 0 here. Returns 0, or -errno where
 * some are left: EAGAIN if any page moved.
 */
int pmv_companion_move_ranges(const struct pmv_sys *sys, int fd,
			      struct pmv_companion_range *ranges, size_t n);

/* Of one of them, afterwards: how much of it is at dst. */
size_t pmv_companion_moved(const struct pmv_companion_range *range);

/* done: what has changed places, from the start. Holes do as well. */
struct pmv_step pmv_companion_exchange(const struct pmv_sys *sys, int fd,
				       uintptr_t a, uintptr_t b, size_t bytes);

#endif /* PMV_COMPANION_H */
