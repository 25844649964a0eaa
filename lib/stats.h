/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Counters, spread over shards so that threads do not share cache lines.
 * Two threads may share a shard, hence atomic; relaxed, since nothing is
 * ordered by them.
 */
#ifndef PMV_STATS_H
#define PMV_STATS_H

#include <stdatomic.h>

#include <pagemv/stats.h>

#include "base.h"

enum pmv_counter {
	PMV_CALLS,
	PMV_FAILED_CALLS,
	PMV_HOLES,
	PMV_LEFT,
	PMV_REPAIRED,
	PMV_MORE_KERNEL_CALLS, /* than one a call; may go below zero */
	PMV_RETRIES,
	PMV_MADE_EXCLUSIVE,
	PMV_PINNED,
	PMV_DIAGNOSES,
	PMV_REARMED,
	PMV_STRAYS,
	PMV_UNEXPECTED,
	PMV_FAULTS,
	PMV_FILLED, /* pages */
	PMV_FILL_FAILED,
	PMV_BY_MECHANISM, /* bytes; moved and copied are sums of these */
	PMV_COUNTERS = PMV_BY_MECHANISM + PAGEMV_MECH_COUNT
};

/* Of cycles of evacuation that are over: added once each, by no fast path. */
struct pmv_evac_sums {
	PMV_ATOMIC _Atomic uint64_t cycles;
	PMV_ATOMIC _Atomic uint64_t pages;
	PMV_ATOMIC _Atomic uint64_t fault_pages;
	PMV_ATOMIC _Atomic uint64_t copied_pages;
	PMV_ATOMIC _Atomic uint64_t calls;
};

#define PMV_STATS_SHARDS 16

struct pmv_stats {
	struct pmv_shard {
		_Alignas(64) PMV_ATOMIC _Atomic uint64_t n[PMV_COUNTERS];
	} shards[PMV_STATS_SHARDS];
};

/* The calling thread's shard: 1-based once it has been drawn. */
unsigned int pmv_stats_draw_shard(void);
extern __thread unsigned int pmv_stats_shard
	__attribute__((tls_model("initial-exec")));

static inline void pmv_count(struct pmv_stats *stats, enum pmv_counter which,
			     uint64_t n)
{
	unsigned int shard = pmv_stats_shard;

	if (pmv_unlikely(!shard))
		shard = pmv_stats_draw_shard();
	atomic_fetch_add_explicit(&stats->shards[shard - 1].n[which], n,
				  memory_order_relaxed);
}

uint64_t pmv_stats_sum(const struct pmv_stats *stats, enum pmv_counter which);

#endif /* PMV_STATS_H */
