/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Staging ranges: where pages wait on their way between two ranges. Each is
 * used by one call at a time; one is kept for the next call. AS-Safe.
 */
#ifndef PMV_STAGING_H
#define PMV_STAGING_H

#include "base.h"

struct pagemv;

/* Of one staging range, and its alignment: one huge page on x86-64. */
#define PMV_STAGING_BYTES ((size_t)2 << 20)

struct pmv_staging {
	uintptr_t base; /* PMV_STAGING_BYTES from here on */
	bool plain;	/* read-write and not locked, as most memory is */
	bool locked;
};

/*
 * Takes a staging range without any pages, of the same protection and lock
 * state as the mapping at like, so that pages can be moved to and fro;
 * registered where UFFDIO_MOVE is used. Returns 0 or -errno.
 */
int pmv_staging_take(struct pagemv *pv, uintptr_t like,
		     struct pmv_staging *out);

/* Gives it back. fresh: it is empty and registered as it was taken. */
void pmv_staging_give(struct pagemv *pv, const struct pmv_staging *s,
		      bool fresh);

/* Hands [addr, addr + bytes) of it to the caller for good, instead of giving
 * it back; the rest is unmapped. */
void pmv_staging_hand_over(struct pagemv *pv, const struct pmv_staging *s,
			   uintptr_t addr, size_t bytes);

/* Unmaps the one that was kept. */
void pmv_staging_close(struct pagemv *pv);

#endif /* PMV_STAGING_H */
