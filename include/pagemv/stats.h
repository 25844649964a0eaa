/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Counters of a handle.
 */
#ifndef PAGEMV_STATS_H
#define PAGEMV_STATS_H

#include <pagemv/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All members count since the handle was opened. */
struct pagemv_stats {
	size_t size;              /* in: sizeof(struct pagemv_stats) */
	uint64_t calls;           /* requests: move, each range of movev, ... */
	uint64_t failed_calls;    /* of these, returned an error */
	uint64_t moved_bytes;
	uint64_t copied_bytes;
	uint64_t hole_bytes;
	uint64_t left_bytes;
	uint64_t repaired_bytes;  /* moved, but not counted by the kernel */
	uint64_t kernel_calls;    /* ioctl and mremap calls to move pages */
	uint64_t retries;         /* EAGAIN */
	uint64_t made_exclusive;  /* MADV_POPULATE_WRITE after EBUSY */
	uint64_t pinned_pages;    /* met and left, remapped or copied */
	uint64_t diagnoses;       /* mappings read to explain or split */
	uint64_t rearmed;         /* dst registered again after a remap */
	uint64_t strays;          /* see struct pagemv_result */
	uint64_t unexpected;      /* answers mapped to -EIO */
	uint64_t moved_by[PAGEMV_MECH_COUNT]; /* bytes that reached dst, by mechanism */
	uint64_t faults;          /* solved in regions, also those that found the page there */
	uint64_t filled_bytes;    /* pages that faults and pagemv_populate() brought */
	uint64_t fill_failures;   /* faults that ended in a signal */
	uint64_t evac_cycles;     /* of evacuation, that were finished */
	uint64_t evac_pages;      /* that these brought, in all ways */
	uint64_t evac_fault_pages; /* of these, by threads that touched them */
	uint64_t evac_copied_pages; /* of these, by copying */
	uint64_t evac_calls;      /* of the kernel, that brought them */
};

/*
 * Reads the counters. They are kept per thread and added up here, so a sum
 * taken while others move pages may be a little behind them.
 *
 * stats: stats->size says how much the caller knows; no more is written.
 * Returns 0, -EINVAL (NULL or size 0), -ESRCH (forked). MT-Safe, AS-Safe.
 * Since libpagemv 0.1.
 */
PAGEMV_API int pagemv_stats(const struct pagemv *pv, struct pagemv_stats *stats);

#ifdef __cplusplus
}
#endif

#endif /* PAGEMV_STATS_H */
