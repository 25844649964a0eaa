// SPDX-License-Identifier: LGPL-2.1-or-later
#include "policy.h"

#include <errno.h>

const struct pmv_costs pmv_default_costs = {
	.mech = {
		[PAGEMV_MECH_MOVE] = { 1000, 60, 0.77 },
		[PAGEMV_MECH_REMAP] = { 5000, 6, 0.40 },
		[PAGEMV_MECH_COPY] = { 2400, 950, 950 },
		/* Not measured, but by instructions: as many a call, fewer a
		 * page. */
		[PAGEMV_MECH_COMPANION] = { 1000, 50, 0.77 },
	},
	/* No machine with two nodes was at hand. A migrated page is copied, and
	 * has its mapping taken away and given back; a far one is as far as
	 * firmware mostly says, 21 to 10. Calibrating measures both. */
	.place = { 20000, 1500, 450 },
};

/* What remap's look at the mappings and the pages costs: five system calls,
 * and a walk over the page table entries. */
#define CHECK_CALL_NS 3500.0
#define CHECK_PAGE_NS 12.0

/* A base page's share in splitting a huge page for UFFDIO_MOVE, or for the
 * companion: the folio is split, not only its mapping. */
#define SPLIT_PAGE_NS 510.0

#define REMAP_MARGIN 1.1

/* Where a mechanism becomes cheaper only above that, it is not: 2 MiB. */
#define MANY_PAGES 512

double pmv_cost_of(const struct pmv_costs *costs, enum pagemv_mechanism m,
		   const struct pmv_shape *shape)
{
	const struct pmv_cost *c = &costs->mech[m];
	size_t whole = shape->huge_runs * shape->pages_a_huge;
	bool huge = shape->kind == PMV_KIND_HUGE;
	double ns = c->call_ns, page_ns = c->page_ns;

	/* mremap takes whole page tables over, whatever they hold; the others
	 * gain by alignment only where the pages are huge, and pay for
	 * splitting those that they cannot move whole. */
	if (m != PAGEMV_MECH_REMAP && !huge)
		whole = 0;
	if ((m == PAGEMV_MECH_MOVE || m == PAGEMV_MECH_COMPANION) && huge)
		page_ns += SPLIT_PAGE_NS;
	ns += (double)whole * c->huge_page_ns;
	ns += (double)(shape->pages - whole) * page_ns;
	if (m == PAGEMV_MECH_REMAP && shape->checked)
		ns += CHECK_CALL_NS + (double)shape->pages * CHECK_PAGE_NS;
	return ns;
}

enum pagemv_mechanism pmv_cheapest(const struct pmv_costs *costs,
				   uint32_t candidates,
				   const struct pmv_shape *shape)
{
	enum pagemv_mechanism best = PAGEMV_MECH_AUTO;
	double best_ns = 0;

	for (int m = PAGEMV_MECH_AUTO + 1; m < PAGEMV_MECH_COUNT; m++) {
		double ns;

		if (!(candidates & PAGEMV_MECH_BIT(m)))
			continue;
		ns = pmv_cost_of(costs, (enum pagemv_mechanism)m, shape);
		/* It has to be worth the broken mappings. */
		if (m == PAGEMV_MECH_REMAP)
			ns *= REMAP_MARGIN;
		if (best == PAGEMV_MECH_AUTO || ns < best_ns) {
			best = (enum pagemv_mechanism)m;
			best_ns = ns;
		}
	}
	return best;
}

size_t pmv_cheaper_from(const struct pmv_cost *c, const struct pmv_cost *than)
{
	double more = c->call_ns - than->call_ns;
	double less = than->page_ns - c->page_ns;

	if (less <= 0)
		return SIZE_MAX;
	if (more <= 0)
		return 0;
	return more / less < MANY_PAGES ? (size_t)(more / less) + 1 : SIZE_MAX;
}

#define PASSES	4
#define WAIT_NS 20e6

bool pmv_bringing_pays(const struct pmv_place_costs *costs, size_t pages)
{
	double n = (double)pages;
	double bring_ns = costs->call_ns + n * costs->page_ns;

	return pages && bring_ns <= WAIT_NS &&
	       bring_ns < PASSES * n * costs->far_page_ns;
}

enum pagemv_reason pmv_argument_reason(size_t page_bytes, uintptr_t a,
				       uintptr_t b, size_t len)
{
	if ((a | b | len) & (page_bytes - 1))
		return PAGEMV_REASON_MISALIGNED;
	if (!len)
		return PAGEMV_REASON_ZERO_LENGTH;
	if (a + len < a || b + len < b)
		return PAGEMV_REASON_WRAPS;
	return PAGEMV_REASON_NONE;
}

int pmv_reason_errno(enum pagemv_reason reason)
{
	switch (reason) {
	case PAGEMV_REASON_NONE:
		return 0;
	case PAGEMV_REASON_FORKED:
		return -ESRCH;
	case PAGEMV_REASON_UNMAPPED:
	case PAGEMV_REASON_HOLE:
		return -ENOENT;
	case PAGEMV_REASON_OCCUPIED:
	case PAGEMV_REASON_RACED:
		return -EEXIST;
	case PAGEMV_REASON_PINNED:
	case PAGEMV_REASON_FOREIGN_UFFD:
		return -EBUSY;
	case PAGEMV_REASON_CHANGING:
		return -EAGAIN;
	case PAGEMV_REASON_NO_MEMORY:
	case PAGEMV_REASON_TOO_MANY_MAPPINGS:
		return -ENOMEM;
	case PAGEMV_REASON_POISONED:
		return -EFAULT;
	case PAGEMV_REASON_INTERRUPTED:
		return -EINTR;
	case PAGEMV_REASON_NO_MECHANISM:
	case PAGEMV_REASON_LAYOUT:
	case PAGEMV_REASON_NOT_IN_KERNEL:
	case PAGEMV_REASON_NOT_PERMITTED:
	case PAGEMV_REASON_FILTERED:
	case PAGEMV_REASON_KNOWN_BAD:
	case PAGEMV_REASON_DISABLED:
	case PAGEMV_REASON_NO_PROC:
	case PAGEMV_REASON_OTHER_DEVICE:
	case PAGEMV_REASON_OTHER_VERSION:
		return -EOPNOTSUPP;
	case PAGEMV_REASON_UNEXPECTED:
	case PAGEMV_REASON_COUNT:
		return -EIO;
	default: /* the arguments and the mappings */
		return -EINVAL;
	}
}

uint64_t pmv_backoff_ns(unsigned int idle)
{
	const unsigned int yields = 8, doublings = 11;

	if (idle < yields)
		return 0;
	if (idle - yields > doublings)
		return 1000u << doublings;
	return 1000u << (idle - yields);
}
