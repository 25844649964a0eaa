// SPDX-License-Identifier: LGPL-2.1-or-later
#include "stats.h"

#include <errno.h>
#include <string.h>

#include "internal.h"

__thread unsigned int pmv_stats_shard;

unsigned int pmv_stats_draw_shard(void)
{
	static PMV_ATOMIC _Atomic unsigned int next;
	unsigned int n =
		atomic_fetch_add_explicit(&next, 1, memory_order_relaxed);

	/* A signal handler may draw here as well: the last one wins, and
	 * either is a valid shard. */
	pmv_stats_shard = n % PMV_STATS_SHARDS + 1;
	return pmv_stats_shard;
}

uint64_t pmv_stats_sum(const struct pmv_stats *stats, enum pmv_counter which)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < PMV_STATS_SHARDS; i++)
		sum += atomic_load_explicit(&stats->shards[i].n[which],
					    memory_order_relaxed);
	return sum;
}

static uint64_t sum(PMV_ATOMIC const _Atomic uint64_t *of)
{
	return atomic_load_explicit(of, memory_order_relaxed);
}

static void tell_evacuation(const struct pmv_evac_sums *sums,
			    struct pagemv_stats *out)
{
	out->evac_cycles = sum(&sums->cycles);
	out->evac_pages = sum(&sums->pages);
	out->evac_fault_pages = sum(&sums->fault_pages);
	out->evac_copied_pages = sum(&sums->copied_pages);
	out->evac_calls = sum(&sums->calls);
}

int pagemv_stats(const struct pagemv *pv, struct pagemv_stats *out)
{
	struct pagemv_stats all = { 0 };
	const struct pmv_stats *s;

	if (!pv || !out || !out->size)
		return -EINVAL;
	if (!pmv_alive(pv))
		return -ESRCH;
	s = &pv->stats;
	all.size = out->size;
	all.calls = pmv_stats_sum(s, PMV_CALLS);
	all.failed_calls = pmv_stats_sum(s, PMV_FAILED_CALLS);
	all.hole_bytes = pmv_stats_sum(s, PMV_HOLES);
	all.left_bytes = pmv_stats_sum(s, PMV_LEFT);
	all.repaired_bytes = pmv_stats_sum(s, PMV_REPAIRED);
	all.kernel_calls = all.calls + pmv_stats_sum(s, PMV_MORE_KERNEL_CALLS);
	all.retries = pmv_stats_sum(s, PMV_RETRIES);
	all.made_exclusive = pmv_stats_sum(s, PMV_MADE_EXCLUSIVE);
	all.pinned_pages = pmv_stats_sum(s, PMV_PINNED);
	all.diagnoses = pmv_stats_sum(s, PMV_DIAGNOSES);
	all.rearmed = pmv_stats_sum(s, PMV_REARMED);
	all.strays = pmv_stats_sum(s, PMV_STRAYS);
	all.unexpected = pmv_stats_sum(s, PMV_UNEXPECTED);
	all.faults = pmv_stats_sum(s, PMV_FAULTS);
	all.filled_bytes = pmv_stats_sum(s, PMV_FILLED) * pv->page_bytes;
	all.fill_failures = pmv_stats_sum(s, PMV_FILL_FAILED);
	tell_evacuation(&pv->evac_sums, &all);
	for (int m = 0; m < PAGEMV_MECH_COUNT; m++)
		all.moved_by[m] = pmv_stats_sum(s, PMV_BY_MECHANISM + m);
	all.moved_bytes = all.moved_by[PAGEMV_MECH_MOVE] +
			  all.moved_by[PAGEMV_MECH_REMAP] +
			  all.moved_by[PAGEMV_MECH_COMPANION];
	all.copied_bytes = all.moved_by[PAGEMV_MECH_COPY];
	memcpy(out, &all, pmv_min(out->size, sizeof(all)));
	return 0;
}
