/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Decisions, as pure functions: which mechanism, how long to wait, which
 * errno a reason becomes. No system calls, no state.
 */
#ifndef PMV_POLICY_H
#define PMV_POLICY_H

#include <pagemv/base.h>

#include "base.h"

/* What a mechanism costs: call_ns + n * page_ns, see struct pagemv_mech_caps.
 */
struct pmv_cost {
	double call_ns;
	double page_ns;
	double huge_page_ns;
};

/* What it costs to bring pages to another NUMA node: call_ns + n * page_ns; and
 * what it costs to go once through a page that is far. */
struct pmv_place_costs {
	double call_ns;
	double page_ns;
	double far_page_ns;
};

struct pmv_costs {
	struct pmv_cost mech[PAGEMV_MECH_COUNT];
	struct pmv_place_costs place;
	bool calibrated;
	/* Those that these replaced: kept until the handle is closed, as
	 * somebody may be reading them. NULL for the defaults. */
	const struct pmv_costs *older;
};

/* Measured on Linux 6.18.44, AMD EPYC, 2 CPUs: doc/measurements.md. */
extern const struct pmv_costs pmv_default_costs;

/* What kind of pages a range holds, as far as known. */
enum pmv_kind { PMV_KIND_UNKNOWN, PMV_KIND_BASE, PMV_KIND_HUGE };

/* A request as the cost model sees it. */
struct pmv_shape {
	size_t pages;
	size_t huge_runs;    /* whole huge pages, aligned at both sides */
	size_t pages_a_huge; /* base pages in a huge page */
	enum pmv_kind kind;
	bool checked; /* remap has to look at the pages first */
};

double pmv_cost_of(const struct pmv_costs *costs, enum pagemv_mechanism m,
		   const struct pmv_shape *shape);

/* Below so many pages mremap never wins, and is not worth the thought. */
#define PMV_REMAP_PAGES_MIN 16

/* The cheapest of the candidates (PAGEMV_MECH_BIT()); AUTO where there is
 * none. */
enum pagemv_mechanism pmv_cheapest(const struct pmv_costs *costs,
				   uint32_t candidates,
				   const struct pmv_shape *shape);

/* The number of pages from which on one costs no more than the other: 0 for any
 * number, SIZE_MAX for none. */
size_t pmv_cheaper_from(const struct pmv_cost *c, const struct pmv_cost *than);

/*
 * Whether it pays to bring so many pages from another node. Nobody knows how
 * often they will be used: they are taken to be gone through four times. And
 * nobody waits longer for it than 20 ms, whatever it may save.
 */
bool pmv_bringing_pays(const struct pmv_place_costs *costs, size_t pages);

/* What is wrong with two ranges of len bytes by themselves; NONE if nothing. */
enum pagemv_reason pmv_argument_reason(size_t page_bytes, uintptr_t a,
				       uintptr_t b, size_t len);

/* The closed set of errors: each reason has one. */
int pmv_reason_errno(enum pagemv_reason reason);

/* How often in a row a step may make no progress before the call gives up. */
#define PMV_IDLE_MAX 64

/* How long to wait after the idle-th step without progress; 0: yield. The
 * waits up to PMV_IDLE_MAX sum up to about 0.1 s. */
uint64_t pmv_backoff_ns(unsigned int idle);

#endif /* PMV_POLICY_H */
