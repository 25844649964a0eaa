/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "policy.h"

#include <criterion/criterion.h>
#include <errno.h>

#include <pagemv/pagemv.h>

#include "t.h"

static const struct pmv_costs costs = {
	.mech = {
		[PAGEMV_MECH_MOVE] = { 100, 10, 1 },
		[PAGEMV_MECH_REMAP] = { 1000, 2, 0.5 },
		[PAGEMV_MECH_COPY] = { 50, 500, 500 },
	},
};

#define MOVE  PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE)
#define REMAP PAGEMV_MECH_BIT(PAGEMV_MECH_REMAP)
#define COPY  PAGEMV_MECH_BIT(PAGEMV_MECH_COPY)

static bool about(double a, double b)
{
	return a > b - 1e-6 && a < b + 1e-6;
}

Test(policy, a_call_costs_its_constant_and_its_pages)
{
	struct pmv_shape shape = { .pages = 7 };

	cr_expect(about(pmv_cost_of(&costs, PAGEMV_MECH_MOVE, &shape), 170));
	cr_expect(about(pmv_cost_of(&costs, PAGEMV_MECH_REMAP, &shape), 1014));
	cr_expect(about(pmv_cost_of(&costs, PAGEMV_MECH_COPY, &shape), 3550));
}

Test(policy, huge_pages_cost_their_own_share)
{
	struct pmv_shape shape = { .pages = 1024,
				   .huge_runs = 2,
				   .pages_a_huge = 512,
				   .kind = PMV_KIND_HUGE };

	cr_expect(about(pmv_cost_of(&costs, PAGEMV_MECH_MOVE, &shape),
			100 + 1024 * 1));
}

Test(policy, huge_pages_that_must_be_split_cost_more_than_base_pages)
{
	struct pmv_shape whole = { .pages = 1024,
				   .huge_runs = 2,
				   .pages_a_huge = 512,
				   .kind = PMV_KIND_HUGE };
	struct pmv_shape more = whole;

	more.pages += 10;
	cr_expect(pmv_cost_of(&costs, PAGEMV_MECH_MOVE, &more) >
		  pmv_cost_of(&costs, PAGEMV_MECH_MOVE, &whole) + 10 * 10);
}

Test(policy, whole_page_tables_help_remap_even_with_base_pages)
{
	struct pmv_shape shape = { .pages = 512,
				   .huge_runs = 1,
				   .pages_a_huge = 512,
				   .kind = PMV_KIND_BASE };

	cr_expect(about(pmv_cost_of(&costs, PAGEMV_MECH_MOVE, &shape),
			100 + 512 * 10));
	cr_expect(about(pmv_cost_of(&costs, PAGEMV_MECH_REMAP, &shape),
			1000 + 512 * 0.5));
}

Test(policy, looking_at_pages_makes_remap_dearer)
{
	struct pmv_shape shape = { .pages = 16 }, checked = shape;

	checked.checked = true;
	cr_expect(pmv_cost_of(&costs, PAGEMV_MECH_REMAP, &checked) >
		  pmv_cost_of(&costs, PAGEMV_MECH_REMAP, &shape));
	cr_expect(about(pmv_cost_of(&costs, PAGEMV_MECH_MOVE, &checked),
			pmv_cost_of(&costs, PAGEMV_MECH_MOVE, &shape)));
}

Test(policy, the_cheapest_candidate_wins)
{
	struct pmv_shape one = { .pages = 1 }, many = { .pages = 1000 };
	uint32_t all = MOVE | REMAP | COPY;

	cr_expect(pmv_cheapest(&costs, all, &one) == PAGEMV_MECH_MOVE);
	cr_expect(pmv_cheapest(&costs, all, &many) == PAGEMV_MECH_REMAP);
}

Test(policy, only_candidates_are_chosen)
{
	static const enum pagemv_mechanism each[] = { PAGEMV_MECH_MOVE,
						      PAGEMV_MECH_REMAP,
						      PAGEMV_MECH_COPY };
	struct pmv_shape shape = { .pages = 1000 };

	for (size_t i = 0; i < T_COUNT(each); i++)
		cr_expect(pmv_cheapest(&costs, PAGEMV_MECH_BIT(each[i]),
				       &shape) == each[i]);
	cr_expect(pmv_cheapest(&costs, MOVE | COPY, &shape) ==
		  PAGEMV_MECH_MOVE);
	cr_expect(pmv_cheapest(&costs, 0, &shape) == PAGEMV_MECH_AUTO);
	/* AUTO's own bit names no mechanism. */
	cr_expect(pmv_cheapest(&costs, PAGEMV_MECH_BIT(PAGEMV_MECH_AUTO),
			       &shape) == PAGEMV_MECH_AUTO);
}

Test(policy, the_defaults_prefer_move_when_small_and_remap_when_large)
{
	struct pmv_shape small = { .pages = 1, .checked = true };
	struct pmv_shape large = { .pages = 512 * 64,
				   .huge_runs = 64,
				   .pages_a_huge = 512,
				   .kind = PMV_KIND_BASE,
				   .checked = true };

	cr_expect(pmv_cheapest(&pmv_default_costs, MOVE | REMAP | COPY,
			       &small) == PAGEMV_MECH_MOVE);
	cr_expect(pmv_cheapest(&pmv_default_costs, MOVE | REMAP | COPY,
			       &large) == PAGEMV_MECH_REMAP);
	cr_expect(pmv_cheapest(&pmv_default_costs, MOVE | COPY, &large) ==
		  PAGEMV_MECH_MOVE);
	cr_expect(!pmv_default_costs.calibrated);
}

/* One line for each reason, so that a new one must be decided on here too. */
static const int errno_of[PAGEMV_REASON_COUNT] = {
	[PAGEMV_REASON_NONE] = 0,
	[PAGEMV_REASON_MISALIGNED] = -EINVAL,
	[PAGEMV_REASON_ZERO_LENGTH] = -EINVAL,
	[PAGEMV_REASON_WRAPS] = -EINVAL,
	[PAGEMV_REASON_OVERLAP] = -EINVAL,
	[PAGEMV_REASON_BAD_OPTIONS] = -EINVAL,
	[PAGEMV_REASON_FORKED] = -ESRCH,
	[PAGEMV_REASON_UNMAPPED] = -ENOENT,
	[PAGEMV_REASON_NOT_REGISTERED] = -EINVAL,
	[PAGEMV_REASON_FOREIGN_UFFD] = -EBUSY,
	[PAGEMV_REASON_FILE] = -EINVAL,
	[PAGEMV_REASON_PRIVATE_FILE] = -EINVAL,
	[PAGEMV_REASON_SHARED] = -EINVAL,
	[PAGEMV_REASON_SHMEM] = -EINVAL,
	[PAGEMV_REASON_MEMFD] = -EINVAL,
	[PAGEMV_REASON_READ_ONLY] = -EINVAL,
	[PAGEMV_REASON_NO_ACCESS] = -EINVAL,
	[PAGEMV_REASON_PROTECTION_DIFFERS] = -EINVAL,
	[PAGEMV_REASON_LOCK_DIFFERS] = -EINVAL,
	[PAGEMV_REASON_HUGETLB] = -EINVAL,
	[PAGEMV_REASON_SPECIAL] = -EINVAL,
	[PAGEMV_REASON_HOLE] = -ENOENT,
	[PAGEMV_REASON_OCCUPIED] = -EEXIST,
	[PAGEMV_REASON_PINNED] = -EBUSY,
	[PAGEMV_REASON_POISONED] = -EFAULT,
	[PAGEMV_REASON_RACED] = -EEXIST,
	[PAGEMV_REASON_CHANGING] = -EAGAIN,
	[PAGEMV_REASON_NO_MEMORY] = -ENOMEM,
	[PAGEMV_REASON_TOO_MANY_MAPPINGS] = -ENOMEM,
	[PAGEMV_REASON_INTERRUPTED] = -EINTR,
	[PAGEMV_REASON_NO_MECHANISM] = -EOPNOTSUPP,
	[PAGEMV_REASON_LAYOUT] = -EOPNOTSUPP,
	[PAGEMV_REASON_NOT_IN_KERNEL] = -EOPNOTSUPP,
	[PAGEMV_REASON_NOT_PERMITTED] = -EOPNOTSUPP,
	[PAGEMV_REASON_FILTERED] = -EOPNOTSUPP,
	[PAGEMV_REASON_KNOWN_BAD] = -EOPNOTSUPP,
	[PAGEMV_REASON_DISABLED] = -EOPNOTSUPP,
	[PAGEMV_REASON_NO_PROC] = -EOPNOTSUPP,
	[PAGEMV_REASON_UNEXPECTED] = -EIO,
	[PAGEMV_REASON_REPLACED] = -EINVAL,
	[PAGEMV_REASON_OTHER_DEVICE] = -EOPNOTSUPP,
	[PAGEMV_REASON_OTHER_VERSION] = -EOPNOTSUPP,
};

Test(policy, every_reason_has_its_errno)
{
	for (int i = 0; i < PAGEMV_REASON_COUNT; i++) {
		cr_expect(pmv_reason_errno((enum pagemv_reason)i) ==
				  errno_of[i],
			  "reason %d (%s): %d, not %d", i,
			  pagemv_reason_string((enum pagemv_reason)i),
			  pmv_reason_errno((enum pagemv_reason)i), errno_of[i]);
		cr_expect((errno_of[i] == 0) == (i == PAGEMV_REASON_NONE),
			  "reason %d is not in the table of this test", i);
	}
}

Test(policy, an_unknown_reason_is_never_success)
{
	cr_expect(pmv_reason_errno(PAGEMV_REASON_COUNT) == -EIO);
	cr_expect(pmv_reason_errno((enum pagemv_reason)1000) < 0);
}

Test(policy, backoff_sums_to_a_tenth_of_a_second)
{
	uint64_t sum = 0;

	for (unsigned int idle = 0; idle <= PMV_IDLE_MAX; idle++)
		sum += pmv_backoff_ns(idle);
	cr_expect(sum > 80000000 && sum < 120000000, "%lu ns",
		  (unsigned long)sum);
}

Test(policy, backoff_yields_first_and_never_shrinks)
{
	cr_expect(pmv_backoff_ns(0) == 0);
	cr_expect(pmv_backoff_ns(1) == 0);
	for (unsigned int idle = 0; idle < 200; idle++)
		cr_expect(pmv_backoff_ns(idle) <= pmv_backoff_ns(idle + 1),
			  "at %u", idle);
}

Test(policy, a_single_wait_is_bounded)
{
	for (unsigned int idle = 0; idle < 100; idle++)
		cr_expect(pmv_backoff_ns(idle) <= 5000000, "at %u", idle);
	cr_expect(pmv_backoff_ns(4000000000u) <= 5000000);
}

Test(policy, brings_pages_where_that_costs_less_than_it_saves)
{
	const struct pmv_place_costs dear = { 1000, 400, 100 },
				     cheap = { 1000, 300, 100 },
				     near = { 0, 300, 0 };

	cr_expect(!pmv_bringing_pays(&cheap, 0));
	cr_expect(!pmv_bringing_pays(&cheap, 10), "the call costs too much");
	cr_expect(pmv_bringing_pays(&cheap, 11));
	cr_expect(pmv_bringing_pays(&cheap, 66663), "19.9999 ms");
	cr_expect(!pmv_bringing_pays(&cheap, 66664), "20.0002 ms");
	cr_expect(!pmv_bringing_pays(&dear, 1000));
	cr_expect(!pmv_bringing_pays(&near, 1000));
}

Test(policy, one_mechanism_becomes_cheaper_than_another_somewhere)
{
	const struct pmv_cost base = { 1000, 60, 1 };
	const struct pmv_cost less = { 900, 50, 1 }, same = { 1000, 60, 1 };
	const struct pmv_cost later = { 1100, 50, 1 }, never = { 900, 61, 1 };
	const struct pmv_cost hardly = { 100000, 59, 1 };

	cr_expect(pmv_cheaper_from(&less, &base) == 0);
	cr_expect(pmv_cheaper_from(&later, &base) == 11);
	cr_expect(pmv_cheaper_from(&same, &base) == SIZE_MAX);
	cr_expect(pmv_cheaper_from(&never, &base) == SIZE_MAX);
	cr_expect(pmv_cheaper_from(&hardly, &base) == SIZE_MAX);
}
