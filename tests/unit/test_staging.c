/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "staging.h"

#include "scene.h"

#include <sys/mman.h>

static struct pmv_staging take(struct scene *s)
{
	struct pmv_staging staging;

	cr_assert(pmv_staging_take(s->pv, (uintptr_t)s->src, &staging) == 0);
	cr_expect(staging.base % PMV_STAGING_BYTES == 0);
	return staging;
}

Test(staging, a_fresh_one_is_kept_for_the_next)
{
	struct scene s = scene_open(4, NULL);
	struct pmv_staging a = take(&s), b;

	cr_expect(a.plain);
	pmv_staging_give(s.pv, &a, true);
	fake_forget_counts();
	b = take(&s);
	cr_expect(b.base == a.base);
	cr_expect(fake_count(FAKE_MMAP) == 0 && fake_count(FAKE_REGISTER) == 0);
	pmv_staging_give(s.pv, &b, true);
	scene_close(&s);
}

Test(staging, one_that_is_not_fresh_is_unmapped)
{
	struct scene s = scene_open(4, NULL);
	size_t before = fake_mapped_bytes();
	struct pmv_staging a = take(&s);

	cr_expect(fake_mapped_bytes() == before + PMV_STAGING_BYTES,
		  "trimmed to what is needed");
	pmv_staging_give(s.pv, &a, false);
	cr_expect(fake_mapped_bytes() == before);
	scene_close(&s);
}

Test(staging, two_at_a_time_are_two)
{
	struct scene s = scene_open(4, NULL);
	size_t before = fake_mapped_bytes();
	struct pmv_staging a = take(&s), b = take(&s);

	cr_expect(a.base != b.base);
	pmv_staging_give(s.pv, &a, true);
	pmv_staging_give(s.pv, &b, true);
	cr_expect(fake_mapped_bytes() == before + PMV_STAGING_BYTES,
		  "one is kept");
	scene_close(&s);
}

Test(staging, pages_are_handed_over_alone)
{
	struct scene s = scene_open(4, NULL);
	struct pagemv_stats stats = { .size = sizeof(stats) };
	size_t before = fake_mapped_bytes();
	struct pmv_staging a = take(&s);
	char *page = (char *)a.base + t_pages(7);

	t_fill_range(page, 2, 1);
	pmv_staging_hand_over(s.pv, &a, (uintptr_t)page, t_pages(2));
	cr_expect(fake_mapped_bytes() == before + t_pages(2));
	EXPECT_RIGHT(t_check_range(page, 2, 1));
	cr_assert(pagemv_stats(s.pv, &stats) == 0);
	cr_expect(stats.strays == 1);
	fake_sys.munmap((uintptr_t)page, t_pages(2));
	scene_close(&s);
}

Test(staging, the_whole_of_one_can_be_handed_over)
{
	struct scene s = scene_open(4, NULL);
	size_t before = fake_mapped_bytes();
	struct pmv_staging a = take(&s);

	pmv_staging_hand_over(s.pv, &a, a.base, PMV_STAGING_BYTES);
	cr_expect(fake_mapped_bytes() == before + PMV_STAGING_BYTES);
	fake_sys.munmap(a.base, PMV_STAGING_BYTES);
	scene_close(&s);
}

Test(staging, errors_leave_nothing_mapped)
{
	struct scene s = scene_open(4, NULL);
	size_t before = fake_mapped_bytes();
	struct pmv_staging a;

	fake_fail(FAKE_MMAP, 1, -ENOMEM);
	cr_expect(pmv_staging_take(s.pv, (uintptr_t)s.src, &a) == -ENOMEM);
	cr_expect(fake_mapped_bytes() == before);
	fake_behave();
	fake_fail(FAKE_REGISTER, 1, -EPERM);
	cr_expect(pmv_staging_take(s.pv, (uintptr_t)s.src, &a) == -EPERM);
	cr_expect(fake_mapped_bytes() == before);
	fake_behave();
	a = take(&s);
	pmv_staging_give(s.pv, &a, true);
	scene_close(&s);
}

Test(staging, a_handle_without_move_registers_none)
{
	static const struct way no_move = {
		"no move", 0, PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE), 0, 0, 0
	};
	struct scene s = scene_open(4, &no_move);
	struct pmv_staging a = take(&s);

	cr_expect(fake_count(FAKE_REGISTER) == 0);
	pmv_staging_give(s.pv, &a, true);
	scene_close(&s);
}

Test(staging, locked_memory_gets_a_locked_one_of_its_own)
{
	struct scene s = scene_open(4, NULL);
	struct pmv_staging plain = take(&s), a;
	size_t before;

	pmv_staging_give(s.pv, &plain, true);
	before = fake_mapped_bytes();
	if (!lock_pages(s.src, 4))
		cr_skip("may not mlock");
	a = take(&s);
	cr_expect(!a.plain && a.base != plain.base);
	cr_expect(fake_count(FAKE_MLOCK) == 1);
	pmv_staging_give(s.pv, &a, true);
	cr_expect(fake_mapped_bytes() == before, "not kept");
	fake_refuse(FAKE_MLOCK, -ENOMEM);
	cr_expect(pmv_staging_take(s.pv, (uintptr_t)s.src, &a) == -ENOMEM);
	cr_expect(fake_mapped_bytes() == before);
	fake_behave();
	unlock_pages(s.src, 4);
	scene_close(&s);
}

/* Where pages are stored there, a huge page would have 511 pages of zeros. */
Test(staging, one_that_is_stored_to_has_no_huge_pages)
{
	static const struct way no_uffd = {
		"no userfaultfd", PAGEMV_OPEN_NO_UFFD, 0, 0, 0, 0
	};
	struct scene s = scene_open(4, &no_uffd);
	struct pmv_staging a = take(&s);

	cr_expect(fake_count(FAKE_ADVISE) == 1);
	memset((char *)a.base, 1, 1);
	cr_expect(t_count_present((char *)a.base,
				  PMV_STAGING_BYTES / t_page()) == 1);
	pmv_staging_give(s.pv, &a, false);
	scene_close(&s);
	s = scene_open(4, NULL);
	a = take(&s);
	cr_expect(fake_count(FAKE_ADVISE) == 0, "the caller's default");
	pmv_staging_give(s.pv, &a, false);
	s.pv->quirks |= PAGEMV_QUIRK_HUGE_PAGES;
	a = take(&s);
	cr_expect(fake_count(FAKE_ADVISE) == 1);
	pmv_staging_give(s.pv, &a, false);
	scene_close(&s);
}
