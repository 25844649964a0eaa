// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Measures the constants of the cost model: each mechanism moves ranges of
 * two sizes to and fro; the difference gives the cost of a page, the rest
 * that of a call. Medians, as machines are noisy.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine.h"
#include "internal.h"
#include "kernel.h"
#include "placement.h"
#include "region.h"
#include "uffd.h"

#define HUGE  ((size_t)2 << 20)
#define SIDE  (8 * HUGE)
#define SLOTS 4
#define RUNS  16 /* an even number of sweeps over SLOTS, or over 1 */

struct bench {
	struct pagemv *pv;
	uintptr_t map;	   /* all that was mapped */
	uintptr_t side[2]; /* aligned to HUGE */
	uint64_t ns[RUNS];
};

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Maps both sides; pages get populated at side 0. */
static int bench_begin(struct bench *b, bool huge)
{
	struct pagemv *pv = b->pv;
	size_t bytes = 2 * SIDE + HUGE;
	int rc = pv->sys->mmap(&b->map, bytes, PROT_READ | PROT_WRITE);

	if (rc < 0)
		return rc;
	b->side[0] = pmv_round_up(b->map, HUGE);
	b->side[1] = b->side[0] + SIDE;
	pv->sys->madvise(b->map, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	memset((void *)b->side[0], 1, SIDE);
	if (pmv_has(pv, PAGEMV_HAS_QUIET))
		rc = pmv_uffd_register(pv->sys, pv->uffd, b->side[0], 2 * SIDE,
				       NULL);
	if (rc < 0)
		pv->sys->munmap(b->map, bytes);
	return rc;
}

static void bench_end(struct bench *b)
{
	b->pv->sys->munmap(b->map, 2 * SIDE + HUGE);
}

static int move_once(struct bench *b, struct pmv_request *rq, size_t slot,
		     bool back, uint64_t *ns)
{
	struct pagemv *pv = b->pv;
	struct pagemv_result r;
	uint64_t begun;
	int rc;

	rq->src = b->side[back] + slot * rq->len;
	rq->dst = b->side[!back] + slot * rq->len;
	begun = pv->sys->now_ns();
	rc = pmv_engine_move(pv, rq, &r);
	*ns = pv->sys->now_ns() - begun;
	return rc;
}

/*
 * The median time to move so many bytes, one slot of the side after another
 * to the other side, and back: neighbours that come and go are what mremap
 * splits and merges mappings for, in programs as well.
 */
static double measure(struct bench *b, enum pagemv_mechanism m, size_t bytes,
		      size_t slots)
{
	size_t sweeps = RUNS / slots + 2;
	struct pmv_request rq = {
		.len = bytes,
		.mechanism = m,
		.flags = PAGEMV_MOVE_MAY_REMAP | PAGEMV_MOVE_UNCHECKED,
		.staging = true, /* no region of the caller's */
	};

	if (m == PAGEMV_MECH_COPY)
		rq.flags |= PAGEMV_MOVE_QUIESCENT;
	/* Two sweeps to warm up: after them mremap has taken all registrations
	 * off. An even number, so that the pages are back in the end. */
	for (size_t i = 0; i < sweeps * slots; i++) {
		uint64_t ns;

		if (move_once(b, &rq, i % slots, i / slots & 1, &ns) < 0)
			return -1;
		if (i >= 2 * slots)
			b->ns[i - 2 * slots] = ns;
	}
	qsort(b->ns, RUNS, sizeof(b->ns[0]), by_value);
	return (double)b->ns[RUNS / 2];
}

/* A line through two points; costs stay as they are where it makes none. */
static void fit(double small_ns, size_t small, double large_ns, size_t large,
		double *call_ns, double *page_ns)
{
	double slope = (large_ns - small_ns) / (double)(large - small);

	if (small_ns <= 0 || large_ns <= 0 || slope <= 0)
		return;
	*page_ns = slope;
	if (small_ns > slope * (double)small)
		*call_ns = small_ns - slope * (double)small;
}

static int calibrate_base(struct pagemv *pv, struct pmv_costs *costs)
{
	struct bench b = { .pv = pv };
	size_t page = pv->page_bytes;
	int rc = bench_begin(&b, false);

	if (rc < 0)
		return rc;
	for (int m = PAGEMV_MECH_MOVE; m < PAGEMV_MECH_COUNT; m++) {
		struct pmv_cost *c = &costs->mech[m];
		/* One short of a huge page: no whole page table moves. */
		size_t small = 1, large = HUGE / page - 1;

		if (!pmv_available(pv, m))
			continue;
		if (m == PAGEMV_MECH_REMAP)
			small = 64;
		fit(measure(&b, m, small * page, SLOTS), small,
		    measure(&b, m, large * page, SLOTS), large, &c->call_ns,
		    &c->page_ns);
	}
	bench_end(&b);
	return 0;
}

static int calibrate_huge(struct pagemv *pv, struct pmv_costs *costs)
{
	struct bench b = { .pv = pv };
	size_t huge = HUGE / pv->page_bytes;
	int rc;

	if (pv->huge_bytes != HUGE || pv->quirks & PAGEMV_QUIRK_HUGE_PAGES)
		return 0;
	rc = bench_begin(&b, true);
	if (rc < 0)
		return rc;
	for (int m = PAGEMV_MECH_MOVE; m < PAGEMV_MECH_COUNT; m++) {
		struct pmv_cost *c = &costs->mech[m];
		double call = c->call_ns;

		if (!pmv_available(pv, m) || m == PAGEMV_MECH_COPY)
			continue;
		fit(measure(&b, m, HUGE, 1), huge, measure(&b, m, SIDE, 1),
		    SIDE / HUGE * huge, &call, &c->huge_page_ns);
	}
	bench_end(&b);
	return 0;
}

int pagemv_calibrate(struct pagemv *pv)
{
	struct pmv_costs *costs;
	int saved = errno, rc;

	if (!pv)
		return -EINVAL;
	if (!pmv_alive(pv))
		return -ESRCH;
	costs = malloc(sizeof(*costs));
	if (!costs)
		return -ENOMEM;
	*costs = pmv_default_costs;
	rc = calibrate_base(pv, costs);
	if (rc == 0)
		rc = calibrate_huge(pv, costs);
	if (rc < 0) {
		free(costs);
		errno = saved;
		return pmv_closed_errors(rc);
	}
	pmv_place_calibrate(pv, &costs->place);
	costs->calibrated = true;
	costs->older = atomic_load_explicit(&pv->costs, memory_order_acquire);
	/* Pairs with the acquire in choose() and pagemv_caps(). */
	while (!atomic_compare_exchange_weak_explicit(
		&pv->costs, &costs->older, costs, memory_order_acq_rel,
		memory_order_acquire))
		;
	pmv_kernel_prefer(pv);
	errno = saved;
	return rc;
}
