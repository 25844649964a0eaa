// SPDX-License-Identifier: LGPL-2.1-or-later
#include "placement.h"

#include <string.h>
#include <sys/mman.h>

#include "internal.h"

/* How many pages of the range are not where they are wanted; as a sample. */
static size_t pages_away(const struct pmv_numa_want *want, uintptr_t addr,
			 size_t bytes, size_t page_bytes)
{
	struct pmv_numa_sample sample;

	if (pmv_numa_sample(want, addr, bytes, page_bytes, &sample) < 0 ||
	    sample.looked == 0)
		return 0;
	return (size_t)((double)(bytes / page_bytes) * (double)sample.away /
			(double)sample.looked);
}

static bool is_worth_it(const struct pagemv *pv,
			const struct pmv_numa_want *want, uintptr_t addr,
			size_t bytes)
{
	const struct pmv_costs *costs =
		atomic_load_explicit(&pv->costs, memory_order_acquire);

	/* Local memory is that of whoever touches it first: where it is now is
	 * as good as where it goes. */
	if (want->policy == PAGEMV_HEAP_LOCAL)
		return false;
	return pmv_bringing_pays(&costs->place,
				 pages_away(want, addr, bytes, pv->page_bytes));
}

struct pmv_numa_brought pmv_place(const struct pagemv *pv,
				  const struct pmv_numa_want *want,
				  uintptr_t addr, size_t bytes)
{
	struct pmv_numa_range range = { addr, bytes, pv->page_bytes,
					pv->huge_bytes };
	struct pmv_numa_brought done = { 0 };

	if (want->nodes <= 1 || want->placement == PAGEMV_HEAP_PLACE_KEEP)
		return done;
	if (want->placement == PAGEMV_HEAP_PLACE_AUTO &&
	    !is_worth_it(pv, want, addr, bytes))
		return done;
	/* A page that stays is a page all the same. */
	(void)pmv_numa_bring(want, &range, &done);
	return done;
}

/* ---- what it costs ---- */

/* More than what a CPU's cache keeps of it. */
#define AREA  ((size_t)32 << 20)
#define LINE  64
#define TRIES 3

/* The nodes that are compared. */
struct pair {
	struct pmv_numa_want near;
	struct pmv_numa_want far;
};

/* The node of a page that is touched here, and any other. */
static bool find_pair(uintptr_t area, struct pair *pair)
{
	int node;

	*(volatile char *)area = 1;
	node = pmv_numa_where(area);
	if (node < 0 ||
	    pmv_numa_want(&pair->near, PAGEMV_HEAP_NODE, (uint32_t)node,
			  PAGEMV_HEAP_PLACE_BRING) < 0)
		return false;
	for (uint32_t other = 0; other < PMV_NODES; other++)
		if (other != (uint32_t)node &&
		    pmv_numa_want(&pair->far, PAGEMV_HEAP_NODE, other,
				  PAGEMV_HEAP_PLACE_BRING) == 0)
			return true;
	return false;
}

/* Nanoseconds a page of going through the area; the best of some tries, as only
 * disturbances make it longer. */
static double read_ns(const struct pagemv *pv, uintptr_t area)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < TRIES; i++) {
		uint64_t begun = pv->sys->now_ns(), took;

		for (size_t at = 0; at < AREA; at += LINE)
			(void)*(volatile char *)(area + at);
		took = pv->sys->now_ns() - begun;
		best = took < best ? took : best;
	}
	return (double)best / (double)(AREA / pv->page_bytes);
}

/* Nanoseconds that migrating so many pages takes. */
static double bring_ns(const struct pagemv *pv,
		       const struct pmv_numa_want *want, uintptr_t area,
		       size_t pages)
{
	struct pmv_numa_range range = { area, pages * pv->page_bytes,
					pv->page_bytes, 0 };
	struct pmv_numa_brought done;
	uint64_t begun = pv->sys->now_ns();

	if (pmv_numa_bring(want, &range, &done) < 0 ||
	    done.brought_bytes != range.bytes)
		return -1;
	return (double)(pv->sys->now_ns() - begun);
}

static void measure(const struct pagemv *pv, const struct pair *pair,
		    uintptr_t area, struct pmv_place_costs *costs)
{
	size_t pages = AREA / pv->page_bytes;
	double one, all, near, far;

	memset((void *)area, 1, AREA);
	/* Mostly they are there. */
	(void)bring_ns(pv, &pair->near, area, pages);
	near = read_ns(pv, area);
	one = bring_ns(pv, &pair->far, area, 1);
	all = bring_ns(pv, &pair->far, area + pv->page_bytes, pages - 1);
	far = read_ns(pv, area);
	if (one < 0 || all < 0)
		return;
	costs->page_ns = all / (double)(pages - 1);
	costs->call_ns = one > costs->page_ns ? one - costs->page_ns : 0;
	costs->far_page_ns = far > near ? far - near : 0;
}

void pmv_place_calibrate(const struct pagemv *pv, struct pmv_place_costs *costs)
{
	struct pmv_numa_want any;
	struct pair pair;
	uintptr_t area;

	if (pmv_numa_want(&any, PAGEMV_HEAP_LOCAL, 0, PAGEMV_HEAP_PLACE_BRING) <
		    0 ||
	    any.nodes <= 1 ||
	    pv->sys->mmap(&area, AREA, PROT_READ | PROT_WRITE) < 0)
		return;
	pv->sys->madvise(area, AREA, MADV_NOHUGEPAGE);
	if (find_pair(area, &pair))
		measure(pv, &pair, area, costs);
	pv->sys->munmap(area, AREA);
}
