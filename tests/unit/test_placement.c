/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "placement.h"

#include <criterion/criterion.h>
#include <errno.h>

#include "fake_numa.h"
#include "fake_sys.h"
#include "internal.h"
#include "t.h"

/* Bringing pays from 11 pages on. */
static const struct pmv_costs cheap = { .place = { 1000, 300, 100 } };
static const struct pmv_costs dear = { .place = { 1000, 900, 100 } };

/* Pages on node 0 of two. */
static struct pagemv handle(const struct pmv_costs *costs)
{
	struct pagemv pv = { .sys = &fake_sys,
			     .page_bytes = t_page(),
			     .huge_bytes = t_pages(512) };

	atomic_init(&pv.costs, costs);
	fake_numa.allowed = 3;
	return pv;
}

static struct pmv_numa_want want(enum pagemv_heap_policy policy, uint32_t node)
{
	struct pmv_numa_want w;

	cr_assert(pmv_numa_want(&w, policy, node, PAGEMV_HEAP_PLACE_BRING) ==
		  0);
	return w;
}

/* How many pages of so many are brought. */
static size_t placed(const struct pagemv *pv, const struct pmv_numa_want *w,
		     enum pagemv_heap_placement placement, size_t pages)
{
	struct pmv_numa_want want = *w;

	want.placement = placement;
	return pmv_place(pv, &want, t_pages(512), t_pages(pages))
		       .brought_bytes /
	       t_page();
}

Test(placement, keeps_or_brings_as_it_is_told)
{
	struct pagemv pv = handle(&dear);
	struct pmv_numa_want w = want(PAGEMV_HEAP_NODE, 1);

	cr_expect(placed(&pv, &w, PAGEMV_HEAP_PLACE_KEEP, 100) == 0);
	cr_expect(fake_numa.queries + fake_numa.moves == 0,
		  "to keep them nothing is asked");
	cr_expect(placed(&pv, &w, PAGEMV_HEAP_PLACE_BRING, 100) == 100);
}

Test(placement, auto_brings_where_it_pays)
{
	struct pagemv pv = handle(&cheap);
	struct pmv_numa_want w = want(PAGEMV_HEAP_NODE, 1);

	cr_expect(placed(&pv, &w, PAGEMV_HEAP_PLACE_AUTO, 10) == 0);
	cr_expect(placed(&pv, &w, PAGEMV_HEAP_PLACE_AUTO, 1000) == 1000);
	cr_expect(placed(&pv, &w, PAGEMV_HEAP_PLACE_AUTO, 1000) == 0,
		  "they are there");
	atomic_store(&pv.costs, &dear);
	w = want(PAGEMV_HEAP_NODE, 0);
	cr_expect(placed(&pv, &w, PAGEMV_HEAP_PLACE_AUTO, 1000) == 0);
}

Test(placement, auto_leaves_local_memory_where_it_is)
{
	struct pagemv pv = handle(&cheap);
	struct pmv_numa_want w = want(PAGEMV_HEAP_LOCAL, 0);

	for (size_t i = 0; i < FAKE_NUMA_PAGES; i++)
		fake_numa.on[i] = 1;
	cr_expect(placed(&pv, &w, PAGEMV_HEAP_PLACE_AUTO, 1000) == 0);
	cr_expect(placed(&pv, &w, PAGEMV_HEAP_PLACE_BRING, 1000) == 1000,
		  "to the node of the one who asks");
}

Test(placement, a_kernel_that_refuses_leaves_pages_where_they_are)
{
	struct pagemv pv = handle(&cheap);
	struct pmv_numa_want w = want(PAGEMV_HEAP_NODE, 1);

	fake_numa.move_error = EPERM;
	cr_expect(placed(&pv, &w, PAGEMV_HEAP_PLACE_BRING, 100) == 0);
	fake_numa.query_error = EPERM;
	cr_expect(placed(&pv, &w, PAGEMV_HEAP_PLACE_AUTO, 1000) == 0);
}

Test(placement, one_node_costs_nothing)
{
	struct pagemv pv = handle(&cheap);
	struct pmv_place_costs costs = { 1, 2, 3 };
	struct pmv_numa_want w;

	fake_numa.allowed = 1;
	w = want(PAGEMV_HEAP_NODE, 0);
	cr_expect(placed(&pv, &w, PAGEMV_HEAP_PLACE_BRING, 100) == 0);
	pmv_place_calibrate(&pv, &costs);
	cr_expect(fake_numa.queries + fake_numa.moves == 0);
	cr_expect(costs.call_ns == 1 && costs.page_ns == 2 &&
		  costs.far_page_ns == 3);
}

Test(placement, measures_the_costs_on_two_nodes)
{
	struct pmv_place_costs costs = { -1, -1, -1 };
	struct pagemv pv = handle(&cheap);
	size_t mapped = fake_mapped_bytes();

	pmv_place_calibrate(&pv, &costs);
	cr_expect(fake_numa.moves > 0);
	cr_expect(fake_numa.on[1] == 1, "pages went to the other node");
	cr_expect(costs.page_ns > 0 && costs.call_ns >= 0 &&
		  costs.far_page_ns >= 0);
	cr_expect(fake_mapped_bytes() == mapped, "nothing is left behind");
}

Test(placement, costs_stay_where_they_cannot_be_measured)
{
	struct pmv_place_costs costs = { 1, 2, 3 };
	struct pagemv pv = handle(&cheap);
	size_t mapped = fake_mapped_bytes();

	fake_numa.move_error = EPERM;
	pmv_place_calibrate(&pv, &costs);
	fake_numa.query_error = EPERM;
	pmv_place_calibrate(&pv, &costs);
	fake_refuse(FAKE_MMAP, -ENOMEM);
	pmv_place_calibrate(&pv, &costs);
	cr_expect(costs.call_ns == 1 && costs.page_ns == 2 &&
		  costs.far_page_ns == 3);
	cr_expect(fake_mapped_bytes() == mapped);
}
