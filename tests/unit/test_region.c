/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "region.h"

#include "fake_malloc.h"
#include "fake_uffd.h"
#include "forks.h"
#include "scene.h"
#include "slow.h"

#include <pthread.h>
#include <stdio.h>
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
	opts.flags = PAGEMV_REGION_FLAGS_ALL + 1;
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

	for (unsigned int i = 1; i < 6; i++) {
		fake_refuse(FAKE_REGISTER, -EBUSY);
		fake_malloc_fail(i);
		/* The region, and of the table its root and a leaf. */
		expect_refused(pv, area, t_pages(4), i < 4 ? -ENOMEM : -EBUSY,
			       i < 4 ? PAGEMV_REASON_NO_MEMORY
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

/* ---- faulting and tracked regions ---- */

static int fill_zeros(void *arg, const struct pagemv_fill *fill)
{
	(void)arg;
	(void)fill;
	return PAGEMV_FILL_ZEROS;
}

static void *from_nowhere(void *arg, void *dst)
{
	(void)arg;
	(void)dst;
	return NULL;
}

static struct pagemv_region_opts region_opts(uint32_t flags)
{
	return (struct pagemv_region_opts){
		.size = sizeof(struct pagemv_region_opts), .flags = flags
	};
}

static struct pagemv_region *register_opts(struct pagemv *pv, void *addr,
					   size_t pages,
					   const struct pagemv_region_opts *o)
{
	struct pagemv_region *r = NULL;
	enum pagemv_reason why = PAGEMV_REASON_COUNT;
	int rc = pagemv_region_register(pv, addr, t_pages(pages), o, &r, &why);

	cr_assert(rc == 0, "%d: %s", rc, pagemv_reason_string(why));
	return r;
}

static struct pagemv_region *register_faulting(struct pagemv *pv, void *addr,
					       size_t pages)
{
	const struct pagemv_region_opts o = region_opts(PAGEMV_REGION_FAULTING);

	return register_opts(pv, addr, pages, &o);
}

static int try_opts(struct pagemv *pv, void *addr,
		    const struct pagemv_region_opts *o)
{
	struct pagemv_region *r = NULL;
	enum pagemv_reason why = PAGEMV_REASON_COUNT;
	int rc = pagemv_region_register(pv, addr, t_pages(4), o, &r, &why);

	cr_expect((why == PAGEMV_REASON_BAD_OPTIONS) == (rc == -EINVAL),
		  "%d: %s", rc, pagemv_reason_string(why));
	if (rc == 0)
		cr_expect(pagemv_region_unregister(r) == 0);
	return rc;
}

#define FAULTING PAGEMV_REGION_FAULTING
#define TRACKED	 PAGEMV_REGION_TRACKED
#define EVENTS	 PAGEMV_REGION_EVENTS
#define THREADS	 PAGEMV_DELIVERY_THREADS

Test(region, options_that_make_no_sense_are_refused)
{
	struct pagemv *pv = scene_handle(NULL);
	const size_t page = t_page();
	const struct pagemv_region_opts bad[] = {
		{ .flags = PAGEMV_REGION_FLAGS_ALL + 1 },
		{ .flags = EVENTS },
		{ .flags = PAGEMV_REGION_AROUND_FIXED },
		{ .delivery = THREADS },
		{ .source = PAGEMV_SOURCE_ZERO, .around_pages = 2 },
		{ .arg = pv },
		{ .flags = TRACKED, .around_pages = 1 },
		{ .flags = TRACKED,
		  .source = PAGEMV_SOURCE_CALLBACK,
		  .fill = fill_zeros },
		{ .flags = TRACKED | PAGEMV_REGION_AROUND_FIXED },
		{ .flags = FAULTING | EVENTS },
		{ .flags = FAULTING | PAGEMV_REGION_INHERIT,
		  .delivery = THREADS },
		{ .flags = FAULTING, .reserved = 1 },
		{ .flags = FAULTING, .delivery = PAGEMV_DELIVERY_COUNT },
		{ .flags = FAULTING, .source = PAGEMV_SOURCE_COUNT },
		{ .flags = FAULTING, .around_pages = PAGEMV_AROUND_MAX + 1 },
		{ .flags = FAULTING, .source = PAGEMV_SOURCE_CALLBACK },
		{ .flags = FAULTING, .fill = fill_zeros },
		{ .flags = FAULTING, .relocate = from_nowhere },
		{ .flags = FAULTING, .source = PAGEMV_SOURCE_RANGE },
		{ .flags = FAULTING,
		  .source = PAGEMV_SOURCE_RANGE,
		  .src_off_bytes = 1 },
		{ .flags = FAULTING,
		  .source = PAGEMV_SOURCE_RANGE,
		  .src_off_bytes = (intptr_t)page,
		  .relocate = from_nowhere },
		{ .flags = FAULTING, .src_off_bytes = (intptr_t)page },
		{ .flags = FAULTING, .fd = 3 },
		{ .flags = FAULTING, .fd_off_bytes = page },
		{ .flags = FAULTING, .source = PAGEMV_SOURCE_FILE, .fd = -1 },
		{ .flags = FAULTING,
		  .source = PAGEMV_SOURCE_FILE,
		  .fd_off_bytes = UINT64_MAX / 2 - page },
	};
	char *area = t_map(4);

	for (size_t i = 0; i < T_COUNT(bad); i++) {
		struct pagemv_region_opts o = bad[i];

		o.size = sizeof(o);
		cr_expect(try_opts(pv, area, &o) == -EINVAL, "options %zu", i);
	}
	cr_expect(!holds(pv, area, 1));
	cr_expect(!pmv_faulting(pv), "nothing has been registered");
	pagemv_close(pv);
}

Test(region, options_that_make_sense_are_taken)
{
	const intptr_t page = (intptr_t)t_page();
	const struct pagemv_region_opts good[] = {
		{ .flags = 0 },
		{ .flags = TRACKED },
		{ .flags = TRACKED, .delivery = THREADS },
		{ .flags = TRACKED | EVENTS, .delivery = THREADS },
		{ .flags = FAULTING },
		{ .flags = FAULTING | TRACKED },
		{ .flags = FAULTING, .delivery = THREADS, .fd = -1 },
		{ .flags = FAULTING | EVENTS, .delivery = THREADS },
		{ .flags = FAULTING | PAGEMV_REGION_AROUND_FIXED,
		  .around_pages = PAGEMV_AROUND_MAX },
		{ .flags = FAULTING,
		  .source = PAGEMV_SOURCE_CALLBACK,
		  .fill = fill_zeros,
		  .arg = (void *)1 },
		{ .flags = FAULTING,
		  .source = PAGEMV_SOURCE_RANGE,
		  .src_off_bytes = -16 * page },
		{ .flags = FAULTING,
		  .source = PAGEMV_SOURCE_RANGE,
		  .relocate = from_nowhere },
		{ .flags = FAULTING,
		  .source = PAGEMV_SOURCE_FILE,
		  .fd = 0,
		  .fd_off_bytes = 12345 },
	};
	struct pagemv *pv = scene_handle(NULL);
	char *area = t_map(4);

	if (!pmv_has(pv, PAGEMV_HAS_FAULTS))
		cr_skip_test("userfaultfd is played here");
	for (size_t i = 0; i < T_COUNT(good); i++) {
		struct pagemv_region_opts o = good[i];

		o.size = sizeof(o);
		cr_expect(try_opts(pv, area, &o) == 0, "options %zu", i);
	}
	pagemv_close(pv);
	cr_expect(fake_open_fds() == 0 && fake_mapped_bytes() == 0);
}

Test(region, a_longer_struct_must_end_in_zeros)
{
	struct {
		struct pagemv_region_opts o;
		uint64_t more;
	} opts = { { .size = sizeof(opts) }, 0 };
	struct pagemv *pv = scene_handle(NULL);
	char *area = t_map(4);
	struct pagemv_region *r;

	cr_expect(try_opts(pv, area, &opts.o) == 0);
	opts.more = 1;
	cr_expect(pagemv_region_register(pv, area, t_pages(4), &opts.o, &r,
					 NULL) == -E2BIG);
	opts.o.size = 0;
	cr_expect(try_opts(pv, area, &opts.o) == -EINVAL);
	pagemv_close(pv);
}

Test(region, without_userfaultfd_faulting_is_refused)
{
	static const struct way no_uffd = {
		"", PAGEMV_OPEN_NO_UFFD, 0, 0, 0, 0
	};
	struct pagemv_region_opts o = region_opts(FAULTING);
	struct pagemv *pv = scene_handle(&no_uffd);
	char *area = t_map(4);
	struct pagemv_region *r;
	enum pagemv_reason why;

	cr_expect(pagemv_region_register(pv, area, t_pages(4), &o, &r, &why) ==
		  -EOPNOTSUPP);
	cr_expect(why == PAGEMV_REASON_DISABLED, "%s",
		  pagemv_reason_string(why));
	o.flags = TRACKED;
	cr_expect(pagemv_region_register(pv, area, t_pages(4), &o, &r, &why) ==
		  -EOPNOTSUPP);
	cr_expect(!holds(pv, area, 1));
	pagemv_close(pv);
}

Test(region, what_a_faulting_one_needs_may_be_missing)
{
	static const struct {
		enum fake_call call;
		int answer, error;
		enum pagemv_reason reason;
	} cases[] = {
		{ FAKE_API, -EPERM, -EOPNOTSUPP, PAGEMV_REASON_NOT_PERMITTED },
		{ FAKE_UFFD_USER, -EMFILE, -EMFILE, PAGEMV_REASON_NO_MEMORY },
		{ FAKE_UFFD_USER, -ENFILE, -ENFILE, PAGEMV_REASON_NO_MEMORY },
		{ FAKE_MMAP, -ENOMEM, -ENOMEM, PAGEMV_REASON_NO_MEMORY },
		{ FAKE_REGISTER, -EBUSY, -EBUSY, PAGEMV_REASON_FOREIGN_UFFD },
		{ FAKE_REGISTER, -ENOMEM, -ENOMEM, PAGEMV_REASON_NO_MEMORY },
		{ FAKE_REGISTER, -EINVAL, -EIO, PAGEMV_REASON_UNEXPECTED },
	};
	const struct pagemv_region_opts o = region_opts(FAULTING);
	char *area = t_map(4);

	for (size_t i = 0; i < T_COUNT(cases); i++) {
		struct pagemv *pv = scene_handle(NULL);
		struct pagemv_region *r;
		enum pagemv_reason why;
		int rc;

		fake_refuse(cases[i].call, cases[i].answer);
		rc = pagemv_region_register(pv, area, t_pages(4), &o, &r, &why);
		cr_expect(rc == cases[i].error, "case %zu: %d", i, rc);
		cr_expect(why == cases[i].reason, "case %zu: %s", i,
			  pagemv_reason_string(why));
		fake_behave();
		cr_expect(!holds(pv, area, 1));
		register_faulting(pv, area, 4);
		pagemv_close(pv);
		cr_expect(fake_open_fds() == 0 && fake_mapped_bytes() == 0,
			  "case %zu leaves something", i);
	}
	t_unmap(area, 4);
}

static int fd_at(const struct pagemv *pv, uintptr_t addr)
{
	size_t bytes = t_page();

	return pmv_region_arming_at(pv, addr, &bytes).fd;
}

Test(region, each_is_registered_with_its_own_descriptor)
{
	struct pagemv *pv = scene_handle(NULL);
	char *area = t_map(12);
	uintptr_t at = (uintptr_t)area;
	struct pagemv_region_opts o = region_opts(TRACKED);
	struct pagemv_region *quiet = scene_register(pv, area, 4), *f, *t;
	size_t bytes = t_pages(12);

	cr_expect(pmv_region_fd(quiet) == pv->uffd && !pmv_faulting(pv));
	f = register_faulting(pv, area + t_pages(4), 4);
	cr_expect(pmv_faulting(pv));
	o.delivery = THREADS;
	t = register_opts(pv, area + t_pages(8), 4, &o);
	cr_expect(pmv_region_fd(f) != pv->uffd && pmv_region_fd(t) >= 0);
	cr_expect(pmv_region_fd(t) != pmv_region_fd(f));
	cr_expect(fd_at(pv, at + t_pages(5)) == pmv_region_fd(f));
	cr_expect(fd_at(pv, at + t_pages(12)) == pv->uffd);
	cr_expect(pmv_region_arming_at(pv, at + t_page(), &bytes).fd ==
			  pv->uffd &&
		  bytes == t_pages(3));
	bytes = t_page();
	cr_expect(pmv_region_arming_at(pv, at + t_pages(4), &bytes).fd ==
			  pmv_region_fd(f) &&
		  bytes == t_page());
	cr_expect(pmv_region_has(pv, at, t_pages(5), FAULTING));
	cr_expect(!pmv_region_has(pv, at, t_pages(4), FAULTING));
	cr_expect(pmv_region_has(pv, at, t_pages(9), TRACKED));
	cr_expect(holds(pv, area, 12));
	pagemv_close(pv);
}

Test(region, pages_that_are_there_count_as_filled)
{
	struct pagemv *pv = scene_handle(NULL);
	char *area = t_map(8);
	struct pagemv_region *r;

	t_fill(area + t_pages(2), 1, 1);
	t_fill(area + t_pages(7), 2, 1);
	r = register_faulting(pv, area, 8);
	for (size_t i = 0; i < 8; i++) {
		enum pmv_page_state want = i == 2 || i == 7 ? PMV_PAGE_PRESENT
							    : PMV_PAGE_ABSENT;

		cr_expect(pmv_page_claim(&r->states, i) == want, "page %zu", i);
		pmv_page_note(&r->states, i, 1, PMV_PAGE_PRESENT);
		if (want == PMV_PAGE_ABSENT)
			pmv_page_release(pv->sys, &r->states, i, 1,
					 PMV_PAGE_ABSENT);
	}
	pagemv_close(pv);
}

Test(region, a_move_into_a_faulting_one_counts_as_well)
{
	struct scene s = scene_open(4, NULL);
	char *area = t_map(8);
	struct pagemv_region *r = register_faulting(s.pv, area, 8);
	struct pagemv_result res;

	cr_expect(pagemv_move(s.pv, area + t_page(), s.src, t_pages(4), NULL,
			      &res) == 0,
		  "%s", pagemv_reason_string(res.reason));
	EXPECT_RIGHT(t_check_range(area + t_page(), 4, 1));
	cr_expect(pmv_page_claim(&r->states, 0) == PMV_PAGE_ABSENT);
	pmv_page_release(s.pv->sys, &r->states, 0, 1, PMV_PAGE_ABSENT);
	for (size_t i = 1; i <= 4; i++)
		cr_expect(pmv_page_claim(&r->states, i) == PMV_PAGE_PRESENT);
	scene_close(&s);
}

/* ---- holding ---- */

Test(region, a_fault_holds_its_region)
{
	struct pagemv *pv = scene_handle(NULL);
	char *area = t_map(8);
	uintptr_t at = (uintptr_t)area;
	struct pmv_hold hold = { 0 };
	struct pagemv_region *r;

	scene_register(pv, area, 4);
	r = register_faulting(pv, area + t_pages(4), 4);
	cr_expect(pmv_region_hold(pv, at, &hold) == PMV_HELD_NOT, "quiet");
	cr_expect(pmv_region_hold(pv, at + t_pages(8), &hold) == PMV_HELD_NOT);
	cr_expect(pmv_region_hold(pv, at + t_pages(8) - 1, &hold) == PMV_HELD);
	cr_expect(hold.region == r && hold.extent.first == 0);
	cr_expect(atomic_load(&r->users) == PMV_USER);
	cr_expect(pmv_region_still(&hold, at + t_pages(5), t_page()) ==
		  t_page());
	pmv_region_put(&hold);
	cr_expect(atomic_load(&r->users) == 0);
	atomic_store(&r->users, PMV_ENDING);
	cr_expect(pmv_region_hold(pv, at + t_pages(4), &hold) ==
		  PMV_HELD_ENDING);
	cr_expect(pmv_region_ending(r));
	atomic_store(&r->users, 0);
	pagemv_close(pv);
}

struct slow_fault {
	struct pagemv *pv;
	struct pmv_hold hold;
	atomic_bool done;
};

static void *finish_slowly(void *arg)
{
	struct slow_fault *f = arg;

	t_sleep_ms(50);
	atomic_store(&f->done, true);
	pmv_region_put(&f->hold);
	return NULL;
}

Test(region, unregistering_waits_for_faults_in_flight)
{
	struct slow_fault f = { .pv = scene_handle(NULL) };
	char *area = t_map(4);
	struct pagemv_region *r = register_faulting(f.pv, area, 4);
	pthread_t thread;

	cr_assert(pmv_region_hold(f.pv, (uintptr_t)area, &f.hold) == PMV_HELD);
	cr_assert(pthread_create(&thread, NULL, finish_slowly, &f) == 0);
	cr_expect(pagemv_region_unregister(r) == 0);
	cr_expect(atomic_load(&f.done), "not before it has ended");
	pthread_join(thread, NULL);
	pagemv_close(f.pv);
}

Test(region, closing_waits_for_faults_in_flight)
{
	struct slow_fault f = { .pv = scene_handle(NULL) };
	char *area = t_map(4);
	pthread_t thread;

	register_faulting(f.pv, area, 4);
	cr_assert(pmv_region_hold(f.pv, (uintptr_t)area, &f.hold) == PMV_HELD);
	cr_assert(pthread_create(&thread, NULL, finish_slowly, &f) == 0);
	pagemv_close(f.pv);
	cr_expect(atomic_load(&f.done), "not before it has ended");
	pthread_join(thread, NULL);
}

Test(region, its_own_callback_cannot_unregister_it)
{
	struct pagemv *pv = scene_handle(NULL);
	char *area = t_map(8);
	struct pagemv_region *r = register_faulting(pv, area, 4);
	struct pagemv_region *other =
		register_faulting(pv, area + t_pages(4), 4);
	struct pmv_inside outer = { .region = r }, inner = { .up = &outer };

	inner.region = other;
	pmv_inside = &inner;
	cr_expect(pagemv_region_unregister(r) == -EDEADLK);
	cr_expect(pagemv_region_unregister(other) == -EDEADLK);
	cr_expect(pagemv_region_unregister_part(r, area, t_page()) == -EDEADLK);
	cr_expect(holds(pv, area, 8));
	pmv_inside = &outer;
	cr_expect(pagemv_region_unregister(other) == 0);
	pmv_inside = NULL;
	cr_expect(pagemv_region_unregister(r) == 0);
	pagemv_close(pv);
}

/* ---- parts ---- */

Test(region, a_part_ends_and_the_rest_stays)
{
	struct pagemv *pv = scene_handle(NULL);
	char *area = t_map(10);
	uintptr_t at = (uintptr_t)area;
	struct pagemv_region *r = register_faulting(pv, area, 10);
	struct pmv_hold hold;

	cr_expect(pagemv_region_unregister_part(r, area + t_pages(4),
						t_pages(2)) == 0);
	cr_expect(holds(pv, area, 4) && holds(pv, area + t_pages(6), 4));
	cr_expect(!holds(pv, area + t_pages(4), 1) &&
		  !holds(pv, area + t_pages(5), 1));
	cr_expect(area[4 * (ptrdiff_t)t_page()] == 0, "plain memory now");
	cr_expect(pmv_region_hold(pv, at + t_pages(7), &hold) == PMV_HELD);
	cr_expect(hold.extent.first == 6 &&
		  hold.extent.start == at + t_pages(6));
	pmv_region_put(&hold);
	/* It may be a region of its own at once. */
	scene_register(pv, area + t_pages(4), 2);
	cr_expect(holds(pv, area, 10));
	cr_expect(pagemv_region_unregister(r) == 0);
	cr_expect(!holds(pv, area, 1) && holds(pv, area + t_pages(4), 2));
	cr_expect(!t_mapping_has_flag(area, "um"));
	cr_expect(!t_mapping_has_flag(area + t_pages(6), "um"));
	pagemv_close(pv);
}

Test(region, what_is_no_part_of_it_is_refused)
{
	struct pagemv *pv = scene_handle(NULL);
	char *area = t_map(12), *at = area + t_pages(4);
	struct pagemv_region *r = scene_register(pv, at, 4);

	cr_expect(pagemv_region_unregister_part(NULL, at, t_page()) == -EINVAL);
	cr_expect(pagemv_region_unregister_part(r, at + 1, t_page()) ==
		  -EINVAL);
	cr_expect(pagemv_region_unregister_part(r, at, 1) == -EINVAL);
	cr_expect(pagemv_region_unregister_part(r, at, 0) == -EINVAL);
	cr_expect(pagemv_region_unregister_part(r, at - t_page(), t_page()) ==
		  -EINVAL);
	cr_expect(pagemv_region_unregister_part(r, at, t_pages(5)) == -EINVAL);
	cr_expect(pagemv_region_unregister_part(r, (void *)-t_page(),
						t_pages(2)) == -EINVAL);
	cr_expect(holds(pv, at, 4));
	cr_expect(pagemv_region_unregister_part(r, at, t_page()) == 0);
	cr_expect(pagemv_region_unregister_part(r, at, t_page()) == -EINVAL);
	cr_expect(pagemv_region_unregister_part(r, at, t_pages(2)) == -EINVAL);
	cr_expect(pagemv_region_unregister_part(r, at + t_page(), t_pages(3)) ==
			  0,
		  "nothing is left of it");
	cr_expect(pagemv_region_unregister(r) == 0);
	pagemv_close(pv);
}

Test(region, without_memory_a_part_stays)
{
	struct pagemv *pv = scene_handle(NULL);
	char *area = t_map(10);
	struct pagemv_region *r = register_faulting(pv, area, 10);

	for (unsigned int i = 1; i < 3; i++) {
		fake_malloc_fail(i);
		cr_expect(pagemv_region_unregister_part(r, area + t_pages(4),
							t_pages(2)) == -ENOMEM);
		fake_malloc_fail(0);
		cr_expect(holds(pv, area, 10));
		cr_expect(fake_is_real() == t_mapping_has_flag(area, "um"));
	}
	cr_expect(pagemv_region_unregister_part(r, area + t_pages(4),
						t_pages(2)) == 0);
	pagemv_close(pv);
}

struct filling {
	struct pagemv *pv;
	struct pagemv_region *region;
	atomic_bool done;
};

static void *fill_slowly(void *arg)
{
	struct filling *f = arg;

	t_sleep_ms(50);
	atomic_store(&f->done, true);
	pmv_page_release(f->pv->sys, &f->region->states, 5, 1, PMV_PAGE_ABSENT);
	return NULL;
}

/* Whoever fills a page of it may still write to what the callback's argument
 * points to. */
Test(region, ending_a_part_waits_for_those_who_fill_its_pages)
{
	struct filling f = { .pv = scene_handle(NULL) };
	char *area = t_map(10);
	pthread_t thread;

	f.region = register_faulting(f.pv, area, 10);
	cr_assert(pmv_page_claim(&f.region->states, 5) == PMV_PAGE_ABSENT);
	cr_assert(pmv_page_claim(&f.region->states, 8) == PMV_PAGE_ABSENT);
	cr_assert(pthread_create(&thread, NULL, fill_slowly, &f) == 0);
	cr_expect(pagemv_region_unregister_part(f.region, area + t_pages(4),
						t_pages(2)) == 0);
	cr_expect(atomic_load(&f.done), "not before page 5 is done");
	cr_expect(pmv_page_claim(&f.region->states, 5) != PMV_PAGE_ABSENT,
		  "nobody claims it any more");
	pthread_join(thread, NULL);
	pagemv_close(f.pv);
}

Test(region, a_fault_learns_that_its_page_is_no_part_any_more)
{
	struct pagemv *pv = scene_handle(NULL);
	char *area = t_map(10);
	uintptr_t at = (uintptr_t)area;
	struct pagemv_region *r = register_faulting(pv, area, 10);
	struct pmv_hold hold;

	cr_assert(pmv_region_hold(pv, at, &hold) == PMV_HELD);
	cr_expect(pagemv_region_unregister_part(r, area + t_pages(4),
						t_pages(2)) == 0);
	cr_expect(!pmv_region_still(&hold, at + t_pages(4), t_page()));
	cr_expect(pmv_region_still(&hold, at + t_pages(3), t_page()) ==
		  t_page());
	cr_expect(pmv_region_still(&hold, at + t_pages(6), t_page()) ==
		  t_page());
	atomic_fetch_or(&r->users, PMV_ENDING);
	cr_expect(!pmv_region_still(&hold, at + t_pages(3), t_page()));
	atomic_fetch_and(&r->users, ~PMV_ENDING);
	pmv_region_put(&hold);
	pagemv_close(pv);
}

Test(region, places_where_one_has_ended_are_remembered)
{
	struct pagemv *pv = scene_handle(NULL);
	char *area = t_map(8);
	uintptr_t at = (uintptr_t)area + t_pages(2);
	struct pagemv_region *r = register_faulting(pv, area + t_pages(2), 4);

	cr_expect(!pmv_region_ended_at(at));
	cr_expect(pagemv_region_unregister_part(r, (void *)(at + t_page()),
						t_page()) == 0);
	cr_expect(!pmv_region_ended_at(at) &&
		  pmv_region_ended_at(at + t_page()) &&
		  !pmv_region_ended_at(at + t_pages(2)));
	cr_expect(pagemv_region_unregister(r) == 0);
	cr_expect(pmv_region_ended_at(at) &&
		  pmv_region_ended_at(at + t_pages(4) - 1));
	cr_expect(!pmv_region_ended_at(at - 1) &&
		  !pmv_region_ended_at(at + t_pages(4)));
	pagemv_close(pv);
}

Test(region, a_child_can_only_close)
{
	struct pagemv *pv = scene_handle(NULL);
	char *area = t_map(8);
	struct pagemv_region *r = register_faulting(pv, area, 8);
	int status = -1;
	pid_t pid = fork();

	cr_assert(pid >= 0);
	if (pid == 0) {
		bool ok = pagemv_region_unregister(r) == -ESRCH &&
			  pagemv_region_unregister_part(r, area, t_page()) ==
				  -ESRCH &&
			  area[0] == 0;

		pagemv_close(pv);
		_exit(ok ? 0 : 1);
	}
	cr_assert(waitpid(pid, &status, 0) == pid);
	cr_expect(status == 0, "in the child");
	cr_expect(pagemv_region_unregister(r) == 0);
	pagemv_close(pv);
}

/* ---- moves ---- */

static int move_opts(struct pagemv *pv, char *dst, char *src, size_t pages,
		     const struct way *way, struct pagemv_result *res)
{
	const struct pagemv_move_opts o = { .size = sizeof(o),
					    .flags = way->flags,
					    .mechanism = way->mechanism };

	return pagemv_move(pv, dst, src, t_pages(pages), &o, res);
}

/* Quiet, faulting, tracked, and quiet again: a move crosses all of them. */
Test(region, a_move_crosses_regions_of_all_kinds)
{
	for (size_t i = 0; i < n_ways; i++) {
		const struct way *way = &ways[i];
		struct pagemv *pv;
		char *area, *src;
		struct pagemv_region_opts o = region_opts(TRACKED);
		struct pagemv_result res;
		int rc;

		if (way->open_flags & PAGEMV_OPEN_NO_UFFD)
			continue;
		/* Played by stores, which would be faults. */
		if (way->uses & PAGEMV_MECH_BIT(PAGEMV_MECH_COMPANION) &&
		    !fake_companion_is_real())
			continue;
		pv = scene_handle(way);
		area = t_map(16);
		src = t_map(16);
		t_fill_range(src, 16, 1);
		scene_register(pv, area, 4);
		register_faulting(pv, area + t_pages(4), 4);
		register_opts(pv, area + t_pages(8), 4, &o);
		scene_register(pv, area + t_pages(12), 4);
		rc = move_opts(pv, area, src, 16, way, &res);
		EXPECT_SANE(rc, &res, t_pages(16));
		if (way->mechanism == PAGEMV_MECH_REMAP) {
			EXPECT_STOPPED(rc, &res, -EOPNOTSUPP,
				       PAGEMV_REASON_NO_MECHANISM);
			EXPECT_RIGHT(t_check_range(src, 16, 1));
		} else {
			cr_expect(rc == 0, "%s: %s", way->name,
				  pagemv_reason_string(res.reason));
			EXPECT_RIGHT(t_check_range(area, 16, 1));
			EXPECT_RIGHT(t_check_absent(src, 16));
		}
		pagemv_close(pv);
		t_unmap(area, 16);
		t_unmap(src, 16);
	}
}

/* The kernel says EINVAL to the whole. */
Test(region, a_move_crosses_mappings_of_a_faulting_one)
{
	struct scene s = scene_open(8, NULL);
	char *area = t_map(8);
	struct pagemv_result res;

	/* What is registered there is read from /proc. */
	if (!fake_is_real())
		cr_skip("userfaultfd is played here");
	register_faulting(s.pv, area, 8);
	t_split_mapping(area, 3);
	t_split_mapping(s.src, 5);
	cr_expect(pagemv_move(s.pv, area, s.src, t_pages(8), NULL, &res) == 0,
		  "%s", pagemv_reason_string(res.reason));
	EXPECT_RIGHT(t_check_range(area, 8, 1));
	EXPECT_RIGHT(t_check_absent(s.src, 8));
	scene_close(&s);
}

Test(region, nothing_moves_where_a_range_goes_on_beyond_its_region)
{
	struct scene s = scene_open(8, NULL);
	char *area = t_map(12);
	struct pagemv_result res;
	int rc;

	register_faulting(s.pv, area, 4);
	rc = pagemv_move(s.pv, area, s.src, t_pages(8), NULL, &res);
	EXPECT_STOPPED(rc, &res, -EINVAL, PAGEMV_REASON_NOT_REGISTERED);
	EXPECT_RIGHT(t_check_range(s.src, 8, 1));
	scene_close(&s);
}

Test(region, pages_leave_a_faulting_one_and_are_exchanged_with_it)
{
	struct scene s = scene_open(4, NULL);
	char *area = t_map(4);
	struct pagemv_result res;

	register_faulting(s.pv, area, 4);
	cr_expect(pagemv_move(s.pv, area, s.src, t_pages(4), NULL, &res) == 0);
	cr_expect(pagemv_move(s.pv, s.heap, area, t_pages(4), NULL, &res) == 0);
	EXPECT_RIGHT(t_check_range(s.heap, 4, 1));
	EXPECT_RIGHT(t_check_absent(area, 4));
	t_fill_range(s.src, 4, 11);
	cr_expect(pagemv_move(s.pv, area, s.src, t_pages(4), NULL, &res) == 0);
	cr_expect(pagemv_exchange(s.pv, s.heap, area, t_pages(4), NULL, &res) ==
			  0,
		  "%s", pagemv_reason_string(res.reason));
	EXPECT_RIGHT(t_check_range(s.heap, 4, 11));
	EXPECT_RIGHT(t_check_range(area, 4, 1));
	scene_close(&s);
}

/* Copied, and dst fills up meanwhile: pages go back to where they were, which
 * is a faulting region. */
Test(region, pages_that_are_refused_go_back_to_a_faulting_one)
{
	static const struct way copy = {
		"", 0, PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE), 0, 0, 0
	};
	struct scene s = scene_open(4, &copy);
	char *area = t_map(4);
	struct pagemv_result res;
	int rc;

	register_faulting(s.pv, area, 4);
	cr_assert(pagemv_move(s.pv, area, s.src, t_pages(4), NULL, &res) == 0);
	fake_add((struct fake_rule){ .call = FAKE_COPY,
				     .at = (uintptr_t)s.heap,
				     .times = FAKE_EVER,
				     .error = -EEXIST,
				     .tell = true,
				     .told = -EEXIST });
	rc = pagemv_move(s.pv, s.heap, area, t_pages(4), NULL, &res);
	cr_expect(rc == -EEXIST, "%d", rc);
	EXPECT_SANE(rc, &res, t_pages(4));
	EXPECT_RIGHT(t_check_range(area, 4, 1));
	cr_expect(!res.stray);
	fake_behave();
	scene_close(&s);
}

Test(region, another_mapping_over_a_faulting_one_is_named)
{
	struct scene s = scene_open(4, NULL);
	char *area = t_map(8);
	struct pagemv_result res;
	int rc;

	register_faulting(s.pv, area, 8);
	if (!fake_is_real())
		fake_uffd_gone((uintptr_t)area + t_pages(2), t_pages(4));
	cr_assert(mmap(area + t_pages(2), t_pages(4), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		       0) != MAP_FAILED);
	rc = pagemv_move(s.pv, area + t_pages(2), s.src, t_pages(4), NULL,
			 &res);
	EXPECT_STOPPED(rc, &res, -EINVAL, PAGEMV_REASON_REPLACED);
	EXPECT_RIGHT(t_check_range(s.src, 4, 1));
	scene_close(&s);
}

Test(region, somebody_elses_userfaultfd_there_is_named)
{
	struct scene s = scene_open(4, NULL);
	struct pagemv *other = scene_handle(NULL);
	char *area = t_map(4);
	struct pagemv_result res;
	int rc;

	if (!fake_is_real())
		cr_skip_test("userfaultfd is played here");
	register_faulting(s.pv, area, 4);
	cr_assert(mmap(area, t_pages(4), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		       0) != MAP_FAILED);
	scene_register(other, area, 4);
	rc = pagemv_move(s.pv, area, s.src, t_pages(4), NULL, &res);
	EXPECT_STOPPED(rc, &res, -EBUSY, PAGEMV_REASON_FOREIGN_UFFD);
	EXPECT_RIGHT(t_check_range(s.src, 4, 1));
	pagemv_close(other);
	scene_close(&s);
}

#define HUNDRED_THOUSAND 100000

/* In one mapping, beside each other. */
Test(region, a_hundred_thousand_are_registered_in_seconds, .timeout = 180)
{
	static struct pagemv_region *regions[HUNDRED_THOUSAND];
	struct pagemv *pv = scene_handle(NULL);
	char *area = t_map_at(HUNDRED_THOUSAND, t_page(), 0, false);
	uint64_t begun, ns;

	if (!fake_is_real())
		cr_skip_test("userfaultfd is played here");
	begun = t_now_ns();
	for (size_t i = 0; i < HUNDRED_THOUSAND; i++)
		regions[i] = register_faulting(pv, area + t_pages(i), 1);
	ns = t_now_ns() - begun;
	printf("# %lu ns to register one\n",
	       (unsigned long)(ns / HUNDRED_THOUSAND));
	cr_expect(ns / HUNDRED_THOUSAND < 200000ul * t_slow());
	for (size_t i = 0; i < 1000; i++)
		cr_expect(pagemv_region_unregister(regions[97 * i]) == 0);
	pagemv_close(pv);
}
