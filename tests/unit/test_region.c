/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "region.h"

#include "fake_malloc.h"
#include "scene.h"
#include "slow.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static int try_register(struct pagemv *pv, void *addr, size_t bytes,
			struct pagemv_region **out, enum pagemv_reason *why)
{
	struct pagemv_region *none = (struct pagemv_region *)&none;
	int rc;

	*out = none;
	*why = PAGEMV_REASON_COUNT;
	rc = pagemv_region_register(pv, addr, bytes, NULL, out, why);
	if (rc < 0)
		cr_expect(*out == none, "out is untouched on error");
	return rc;
}

static void expect_refused(struct pagemv *pv, void *addr, size_t bytes,
			   int error, enum pagemv_reason reason)
{
	struct pagemv_region *r;
	enum pagemv_reason why;
	int rc = try_register(pv, addr, bytes, &r, &why);

	cr_expect(rc == error, "%d, not %d", rc, error);
	cr_expect(why == reason, "%s", pagemv_reason_string(why));
	if (rc == 0)
		pagemv_region_unregister(r);
}

static bool holds(const struct pagemv *pv, const char *addr, size_t pages)
{
	return pmv_region_holds(pv, (uintptr_t)addr, t_pages(pages));
}

Test(region, a_region_holds_what_lies_inside_it)
{
	struct pagemv *pv = scene_handle(NULL);
	char *area = t_map(8), *at = area + t_pages(2);
	struct pagemv_region *r = scene_register(pv, at, 4);

	cr_expect(holds(pv, at, 4));
	cr_expect(holds(pv, at, 1) && holds(pv, at + t_pages(3), 1));
	cr_expect(holds(pv, at + t_page(), 2));
	cr_expect(!holds(pv, at, 5) && !holds(pv, at - t_page(), 1));
	cr_expect(!holds(pv, at - t_page(), 2));
	cr_expect(!holds(pv, at + t_pages(4), 1));
	cr_expect(!holds(pv, at + t_pages(3), 2));
	cr_expect(pagemv_region_unregister(r) == 0);
	cr_expect(!holds(pv, at, 1));
	pagemv_close(pv);
}

Test(region, overlaps_are_refused)
{
	struct pagemv *pv = scene_handle(NULL);
	char *area = t_map(12), *at = area + t_pages(4);

	scene_register(pv, at, 4);
	for (size_t from = 0; from < 12; from++)
		for (size_t n = 1; from + n <= 12; n++) {
			bool overlaps = from < 8 && from + n > 4;

			if (overlaps)
				expect_refused(pv, area + t_pages(from),
					       t_pages(n), -EBUSY,
					       PAGEMV_REASON_OVERLAP);
			else
				expect_refused(pv, area + t_pages(from),
					       t_pages(n), 0,
					       PAGEMV_REASON_NONE);
		}
	pagemv_close(pv);
}

#define MANY 3000

static void shuffle(unsigned int *order, unsigned int n)
{
	struct t_random r = t_random_make(11);

	for (unsigned int i = 0; i < n; i++)
		order[i] = i;
	for (unsigned int i = n - 1; i > 0; i--) {
		unsigned int j = (unsigned int)t_random_below(&r, i + 1);
		unsigned int k = order[i];

		order[i] = order[j];
		order[j] = k;
	}
}

Test(region, thousands_in_any_order_are_found, .timeout = 60)
{
	static struct pagemv_region *regions[MANY];
	static unsigned int order[MANY];
	static const struct way no_uffd = {
		"", PAGEMV_OPEN_NO_UFFD, 0, 0, 0, 0
	};
	struct pagemv *pv = scene_handle(&no_uffd);
	/* Small pages: else each region is advised to have such, and becomes
	 * a mapping of its own. */
	char *area = t_map_at(2 * MANY, t_page(), 0, false);
	size_t found = 0;

	shuffle(order, MANY);
	/* A page each, with a page between them. */
	for (unsigned int i = 0; i < MANY; i++)
		regions[order[i]] =
			scene_register(pv, area + t_pages(2 * order[i]), 1);
	for (unsigned int i = 0; i < MANY; i++)
		found += holds(pv, area + t_pages(2 * i), 1) &&
			 !holds(pv, area + t_pages(2 * i + 1), 1) &&
			 !holds(pv, area + t_pages(2 * i), 2);
	cr_expect(found == MANY, "%zu", found);
	shuffle(order, MANY);
	for (unsigned int i = 0; i < MANY / 2; i++)
		cr_expect(pagemv_region_unregister(regions[order[i]]) == 0);
	for (unsigned int i = 0; i < MANY; i++)
		cr_expect(holds(pv, area + t_pages(2 * order[i]), 1) ==
				  (i >= MANY / 2),
			  "%u", i);
	pagemv_close(pv);
}

Test(region, neighbours_hold_what_crosses_their_border)
{
	struct scene s = scene_open(8, NULL);
	struct pagemv_region *second = scene_register(s.pv, s.src, 8);
	char *area = t_map(8);
	struct pagemv_region *a = scene_register(s.pv, area, 4);
	struct pagemv_region *b = scene_register(s.pv, area + t_pages(4), 4);

	cr_expect(holds(s.pv, area, 8) && holds(s.pv, area + t_pages(3), 2));
	pagemv_region_unregister(b);
	cr_expect(!holds(s.pv, area, 8) && holds(s.pv, area, 4));
	pagemv_region_unregister(a);
	pagemv_region_unregister(second);
	scene_close(&s);
}

Test(region, touching_is_less_than_holding)
{
	struct pagemv *pv = scene_handle(NULL);
	char *area = t_map(8), *at = area + t_pages(2);

	scene_register(pv, at, 4);
	cr_expect(pmv_region_touches(pv, (uintptr_t)area, t_pages(3)));
	cr_expect(
		pmv_region_touches(pv, (uintptr_t)at + t_pages(3), t_pages(3)));
	cr_expect(!pmv_region_touches(pv, (uintptr_t)area, t_pages(2)));
	cr_expect(
		!pmv_region_touches(pv, (uintptr_t)at + t_pages(4), t_page()));
	pagemv_close(pv);
}

Test(region, arguments_are_checked)
{
	struct pagemv *pv = scene_handle(NULL);
	char *area = t_map(4), *gone = t_map(4);
	struct pagemv_region_opts opts = { .size = sizeof(opts) };
	struct pagemv_region *r;
	enum pagemv_reason why;

	expect_refused(pv, area + 1, t_page(), -EINVAL,
		       PAGEMV_REASON_MISALIGNED);
	expect_refused(pv, area, 1, -EINVAL, PAGEMV_REASON_MISALIGNED);
	expect_refused(pv, area, 0, -EINVAL, PAGEMV_REASON_ZERO_LENGTH);
	expect_refused(pv, (void *)-t_page(), t_pages(2), -EINVAL,
		       PAGEMV_REASON_WRAPS);
	t_unmap(gone, 4);
	expect_refused(pv, gone, t_pages(4), -ENOENT, PAGEMV_REASON_UNMAPPED);
	expect_refused(pv, area, t_pages(6), -EINVAL, PAGEMV_REASON_NO_ACCESS);
	cr_expect(pagemv_region_register(pv, area, t_page(), NULL, NULL,
					 &why) == -EINVAL);
	cr_expect(why == PAGEMV_REASON_BAD_OPTIONS);
	opts.flags = 1;
	cr_expect(pagemv_region_register(pv, area, t_page(), &opts, &r, &why) ==
		  -EINVAL);
	opts.flags = 0;
	opts.reserved = 1;
	cr_expect(pagemv_region_register(pv, area, t_page(), &opts, &r, NULL) ==
		  -EINVAL);
	cr_expect(pagemv_region_register(NULL, area, t_page(), NULL, &r,
					 &why) == -EINVAL);
	cr_expect(!holds(pv, area, 1));
	pagemv_close(pv);
}

Test(region, unsuitable_memory_is_named)
{
	struct pagemv *pv = scene_handle(NULL);
	char *shared = mmap(NULL, t_page(), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *read_only = mmap(NULL, t_page(), PROT_READ,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	expect_refused(pv, shared, t_page(), -EINVAL, PAGEMV_REASON_SHARED);
	expect_refused(pv, read_only, t_page(), -EINVAL,
		       PAGEMV_REASON_READ_ONLY);
	pagemv_close(pv);
}

Test(region, answers_of_the_kernel_are_named_and_nothing_stays)
{
	static const struct {
		int answer, error;
		enum pagemv_reason reason;
	} cases[] = {
		{ -EBUSY, -EBUSY, PAGEMV_REASON_FOREIGN_UFFD },
		{ -ENOMEM, -ENOMEM, PAGEMV_REASON_NO_MEMORY },
		{ -EPERM, -EIO, PAGEMV_REASON_UNEXPECTED },
		{ -EINVAL, -EIO, PAGEMV_REASON_UNEXPECTED },
	};
	struct pagemv *pv = scene_handle(NULL);
	char *area = t_map(4);

	for (size_t i = 0; i < T_COUNT(cases); i++) {
		fake_refuse(FAKE_REGISTER, cases[i].answer);
		expect_refused(pv, area, t_pages(4), cases[i].error,
			       cases[i].reason);
		fake_behave();
		cr_expect(!holds(pv, area, 1));
		expect_refused(pv, area, t_pages(4), 0, PAGEMV_REASON_NONE);
	}
	pagemv_close(pv);
}

Test(region, a_registration_that_fails_half_way_is_taken_back)
{
	struct pagemv *pv = scene_handle(NULL);
	char *area = t_map(4);

	t_split_mapping(area, 2);
	fake_add((struct fake_rule){ .call = FAKE_REGISTER,
				     .really = t_pages(2),
				     .error = -ENOMEM });
	expect_refused(pv, area, t_pages(4), -ENOMEM, PAGEMV_REASON_NO_MEMORY);
	cr_expect(!t_mapping_has_flag(area, "uw"));
	fake_behave();
	pagemv_close(pv);
}

Test(region, another_users_memory_is_refused_and_left_alone)
{
	struct scene a = scene_open(4, NULL);
	struct pagemv *other = scene_handle(NULL);
	struct pagemv_result res;

	expect_refused(other, a.heap, t_pages(4), -EBUSY,
		       PAGEMV_REASON_FOREIGN_UFFD);
	pagemv_close(other);
	cr_expect(scene_move(&a, 0, &res) == 0);
	scene_close(&a);
}

Test(region, every_allocation_may_fail)
{
	struct pagemv *pv = scene_handle(NULL);
	char *area = t_map(4);
	struct pagemv_region *r;
	enum pagemv_reason why;
	unsigned int n;

	fake_malloc_fail(0);
	cr_assert(try_register(pv, area, t_pages(4), &r, &why) == 0);
	n = fake_malloc_count();
	cr_expect(n >= 2, "the region, and the table");
	cr_assert(pagemv_region_unregister(r) == 0);
	for (unsigned int i = 1; i <= n; i++) {
		int rc;

		fake_malloc_fail(i);
		rc = try_register(pv, area, t_pages(4), &r, &why);
		fake_malloc_fail(0);
		cr_expect(rc == -ENOMEM && why == PAGEMV_REASON_NO_MEMORY,
			  "allocation %u: %d", i, rc);
		cr_expect(!holds(pv, area, 1));
	}
	pagemv_close(pv);
}

Test(region, allocation_and_registration_may_both_fail)
{
	struct pagemv *pv = scene_handle(NULL);
	char *area = t_map(4);

	for (unsigned int i = 1; i < 5; i++) {
		fake_refuse(FAKE_REGISTER, -EBUSY);
		fake_malloc_fail(i);
		expect_refused(pv, area, t_pages(4), i < 3 ? -ENOMEM : -EBUSY,
			       i < 3 ? PAGEMV_REASON_NO_MEMORY
				     : PAGEMV_REASON_FOREIGN_UFFD);
		fake_malloc_fail(0);
		fake_behave();
		cr_expect(!holds(pv, area, 1), "not in the table");
		expect_refused(pv, area, t_pages(4), 0, PAGEMV_REASON_NONE);
	}
	pagemv_close(pv);
}

Test(region, no_memory_to_unregister_leaves_it_registered)
{
	struct scene s = scene_open(4, NULL);
	struct pagemv_result res;

	fake_malloc_fail(1);
	cr_expect(pagemv_region_unregister(s.region) == -ENOMEM);
	fake_malloc_fail(0);
	cr_expect(scene_move(&s, 0, &res) == 0);
	cr_expect(fake_total() == 1);
	cr_expect(pagemv_region_unregister(s.region) == 0);
	cr_expect(pagemv_region_unregister(NULL) == 0);
	scene_close(&s);
}

Test(region, an_unregistered_region_takes_no_pages)
{
	struct scene s = scene_open(4, NULL);
	struct pagemv_result res;
	int rc;

	cr_expect(pagemv_region_unregister(s.region) == 0);
	rc = scene_move(&s, 0, &res);
	EXPECT_STOPPED(rc, &res, -EINVAL, PAGEMV_REASON_NOT_REGISTERED);
	EXPECT_RIGHT(t_check_range(s.src, 4, 1));
	scene_close(&s);
}

Test(region, kinds_are_learned_and_forgotten)
{
	struct pagemv *pv = scene_handle(NULL);
	char *area = t_map(4);
	uintptr_t at = (uintptr_t)area;
	unsigned int n = 0;

	cr_expect(pmv_region_kind(pv, at) == PMV_KIND_UNKNOWN);
	pmv_region_learn(pv, at, PMV_KIND_HUGE); /* no region: no harm */
	cr_expect(pmv_region_kind(pv, at) == PMV_KIND_UNKNOWN);
	scene_register(pv, area, 4);
	cr_expect(pmv_region_kind(pv, at) == PMV_KIND_UNKNOWN);
	pmv_region_learn(pv, at, PMV_KIND_HUGE);
	while (pmv_region_kind(pv, at + t_page()) == PMV_KIND_HUGE)
		cr_assert(++n < 100000, "never forgotten");
	cr_expect(n > 10);
	pmv_region_learn(pv, at, PMV_KIND_BASE);
	cr_expect(pmv_region_kind(pv, at) == PMV_KIND_BASE);
	pagemv_close(pv);
}

Test(region, that_it_gets_huge_pages_is_learned_and_forgotten)
{
	struct pagemv *pv = scene_handle(NULL);
	char *area = t_map(4);
	uintptr_t at = (uintptr_t)area;
	unsigned int n = 0;

	pmv_region_learn_huge(pv, at); /* no region: no harm */
	cr_expect(!pmv_region_gets_huge(pv, at));
	scene_register(pv, area, 4);
	cr_expect(!pmv_region_gets_huge(pv, at));
	pmv_region_learn_huge(pv, at + t_page());
	cr_expect(pmv_region_kind(pv, at) == PMV_KIND_UNKNOWN);
	while (pmv_region_gets_huge(pv, at))
		cr_assert(++n < 100000, "never forgotten");
	cr_expect(n > 10);
	cr_expect(!pmv_region_gets_huge(pv, at));
	pagemv_close(pv);
}

Test(region, rearming_is_counted_and_its_error_passed_on)
{
	struct scene s = scene_open(4, NULL);
	struct pagemv_stats stats = { .size = sizeof(stats) };

	cr_expect(pmv_region_rearm(s.pv, (uintptr_t)s.heap, t_pages(4)) == 0);
	fake_refuse(FAKE_REGISTER, -EBUSY);
	cr_expect(pmv_region_rearm(s.pv, (uintptr_t)s.heap, t_pages(4)) ==
		  -EBUSY);
	fake_behave();
	cr_assert(pagemv_stats(s.pv, &stats) == 0);
	cr_expect(stats.rearmed == 2);
	scene_close(&s);
}

Test(region, bad_kernels_get_no_huge_pages)
{
	struct scene s;

	fake_release("6.14.2");
	s = scene_open(4, NULL);
	fake_forget_counts();
	scene_register(s.pv, s.src, 4);
	cr_expect(fake_count(FAKE_ADVISE) == 1);
	scene_close(&s);
	fake_release("6.18.44");
	s = scene_open(4, NULL);
	scene_register(s.pv, s.src, 4);
	cr_expect(fake_count(FAKE_ADVISE) == 0);
	scene_close(&s);
}

Test(region, opening_survives_every_failing_allocation)
{
	struct pagemv *pv;
	unsigned int n;

	fake_malloc_fail(0);
	pv = scene_handle(NULL);
	n = fake_malloc_count();
	pagemv_close(pv);
	cr_expect(n > 0);
	for (unsigned int i = 1; i <= n; i++) {
		struct pagemv *none = NULL;
		int rc;

		fake_malloc_fail(i);
		rc = pmv_open_with(&none, NULL, &fake_sys);
		fake_malloc_fail(0);
		cr_expect(rc == -ENOMEM && !none, "allocation %u: %d", i, rc);
		cr_expect(fake_open_fds() == 0 && fake_mapped_bytes() == 0);
	}
}

Test(region, calibrating_survives_every_failing_allocation)
{
	struct pagemv *pv = scene_handle(NULL);
	struct pagemv_caps caps = { .size = sizeof(caps) };

	fake_malloc_fail(1);
	cr_expect(pagemv_calibrate(pv) == -ENOMEM);
	fake_malloc_fail(0);
	cr_assert(pagemv_caps(pv, &caps) == 0);
	cr_expect(!caps.mech[PAGEMV_MECH_MOVE].calibrated);
	pagemv_close(pv);
}

Test(region, forks_are_counted_as_long_as_they_run)
{
	struct pagemv *pv = scene_handle(NULL);
	unsigned int before = pmv_forks();
	int status = -1;
	pid_t pid;

	cr_expect(before % 2 == 0);
	pid = fork();
	cr_assert(pid >= 0);
	if (pid == 0)
		_exit(pmv_forks() == before + 2 ? 0 : 1);
	cr_assert(waitpid(pid, &status, 0) == pid);
	cr_expect(status == 0, "in the child");
	cr_expect(pmv_forks() == before + 2);
	pagemv_close(pv);
}
