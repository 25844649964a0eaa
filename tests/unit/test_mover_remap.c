/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mover.h"

#include <stdio.h>
#include <sys/mman.h>

#include "mapping.h"
#include "pages.h"
#include "scene.h"
#include "slow.h"

static struct pmv_step step(struct scene *s, uint32_t flags)
{
	struct pmv_stray stray = { 0 };
	struct pmv_span span = { .dst = (uintptr_t)s->heap,
				 .uffd = s->pv->uffd,
				 .src = (uintptr_t)s->src,
				 .len = t_pages(s->pages),
				 .flags = flags,
				 .stray = &stray };

	return pmv_mover_remap.step(s->pv, &span);
}

Test(mover_remap, pages_change_hands)
{
	struct scene s = scene_open(8, NULL);
	struct pmv_step did = step(&s, 0);

	cr_expect(did.done == t_pages(8) && !did.error && !did.holes);
	cr_expect(fake_count(FAKE_MREMAP) == 1);
	EXPECT_RIGHT(t_check_range(s.heap, 8, 1));
	EXPECT_RIGHT(t_check_absent(s.src, 8));
	scene_close(&s);
}

Test(mover_remap, it_stops_before_a_hole)
{
	struct scene s = scene_open(8, NULL);
	struct pmv_step did;

	t_drop(s.src + t_pages(3), 1);
	did = step(&s, 0);
	cr_expect(did.done == t_pages(3) && !did.error);
	s.src += t_pages(3);
	s.heap += t_pages(3);
	s.pages = 5;
	did = step(&s, 0);
	cr_expect(did.done == 0 && did.error == -ENOENT);
	pagemv_close(s.pv);
}

Test(mover_remap, it_stops_before_a_page_in_the_way)
{
	struct scene s = scene_open(8, NULL);
	struct pmv_step did;

	t_fill(s.heap + t_pages(2), 99, 1);
	did = step(&s, 0);
	cr_expect(did.done == t_pages(2) && !did.error);
	s.src += t_pages(2);
	s.heap += t_pages(2);
	s.pages = 6;
	did = step(&s, 0);
	cr_expect(did.done == 0 && did.error == -EEXIST);
	EXPECT_RIGHT(t_check(s.heap, 99, 1));
	pagemv_close(s.pv);
}

Test(mover_remap, holes_and_replace_are_counted_and_done)
{
	struct scene s = scene_open(8, NULL);
	struct pmv_step did;

	t_drop(s.src + t_pages(3), 2);
	t_fill(s.heap + t_pages(3), 99, 1);
	t_fill(s.heap + t_pages(6), 98, 1);
	did = step(&s, PAGEMV_MOVE_HOLES | PAGEMV_MOVE_REPLACE);
	cr_expect(did.done == t_pages(8) && did.holes == t_pages(2) &&
		  !did.error);
	EXPECT_RIGHT(t_check_absent(s.heap + t_pages(3), 2));
	EXPECT_RIGHT(t_check_range(s.heap + t_pages(5), 3, 6));
	scene_close(&s);
}

Test(mover_remap, an_error_moves_nothing_and_counts_no_hole)
{
	struct scene s = scene_open(8, NULL);
	struct pmv_step did;

	t_drop(s.src, 1);
	fake_refuse(FAKE_MREMAP, -ENOMEM);
	did = step(&s, PAGEMV_MOVE_HOLES);
	cr_expect(did.done == 0 && did.holes == 0 && did.error == -ENOMEM);
	fake_behave();
	fake_refuse(FAKE_MREMAP, -EFAULT);
	did = step(&s, PAGEMV_MOVE_HOLES);
	cr_expect(did.error == -EINVAL, "several mappings");
	EXPECT_RIGHT(t_check_range(s.src + t_page(), 7, 2));
	scene_close(&s);
}

Test(mover_remap, unchecked_looks_at_nothing)
{
	struct scene s = scene_open(8, NULL);

	cr_expect(step(&s, PAGEMV_MOVE_UNCHECKED).done == t_pages(8));
	cr_expect(fake_total() == 1, "%u calls", fake_total());
	scene_close(&s);
}

/* A registered source of this size is detached first, if nobody uses it. */
#define LARGE 512

static void expect_detached_move(const struct fake_rule *rule)
{
	struct scene s = scene_open(LARGE, NULL);
	struct pagemv_result res;
	int rc;

	scene_register(s.pv, s.src, LARGE);
	if (rule)
		fake_add(*rule);
	rc = scene_move_opts(&s, PAGEMV_MOVE_MAY_REMAP | PAGEMV_MOVE_QUIESCENT,
			     PAGEMV_MECH_REMAP, 0, &res);
	fake_behave();
	EXPECT_SANE(rc, &res, t_pages(LARGE));
	EXPECT_RIGHT(pages_wrong(s.heap, s.src, LARGE, &res));
	/* Whatever happened, neither side hangs, and both take pages. */
	t_drop(s.heap, LARGE);
	t_fill_range(s.heap, LARGE, 1);
	t_drop(s.src, LARGE);
	rc = pagemv_move(s.pv, s.src, s.heap, t_pages(LARGE), NULL, &res);
	cr_expect(rc == 0, "%d (%s)", rc, pagemv_reason_string(res.reason));
	EXPECT_RIGHT(t_check_range(s.src, LARGE, 1));
	scene_close(&s);
}

Test(mover_remap, a_large_registered_source_is_detached, .timeout = 20)
{
	expect_detached_move(NULL);
}

Test(mover_remap, every_failure_while_detaching_leaves_both_sides_usable,
     .timeout = 20)
{
	static const enum fake_call calls[] = { FAKE_REGISTER, FAKE_UNREGISTER,
						FAKE_MREMAP };
	static const int errors[] = { -ENOMEM, -EINVAL, -EPERM, -EBUSY };

	for (size_t c = 0; c < T_COUNT(calls); c++)
		for (size_t e = 0; e < T_COUNT(errors); e++)
			for (unsigned int nth = 1; nth < 3; nth++)
				expect_detached_move(&(struct fake_rule){
					.call = calls[c],
					.nth = nth,
					.error = errors[e] });
}

/* What the kernel counts as locked, in kB. */
static size_t locked_kb(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[128];
	size_t kb = 0;

	cr_assert(f != NULL);
	while (fgets(line, sizeof(line), f))
		sscanf(line, "VmLck: %zu", &kb);
	fclose(f);
	return kb;
}

static void expect_locked(const struct scene *s, size_t kb)
{
	for (size_t i = 0; i < s->pages; i++) {
		uintptr_t off = t_pages(i);

		cr_expect(pmv_mapping_locked(s->pv, (uintptr_t)s->src + off) ==
				  1,
			  "page %zu of src", i);
		cr_expect(pmv_mapping_locked(s->pv, (uintptr_t)s->heap + off) ==
				  1,
			  "page %zu of dst", i);
	}
	cr_expect(locked_kb() == kb, "%zu kB locked, not %zu", locked_kb(), kb);
}

/* Four pages of the middle of locked mappings. */
static void expect_locks_kept(const struct way *way, uint32_t mechanism)
{
	struct scene s = scene_open(8, way);
	const struct pagemv_move_opts opts = {
		.size = sizeof(opts),
		.mechanism = mechanism,
		.flags = PAGEMV_MOVE_MAY_REMAP,
	};
	char *src = s.src + t_pages(2), *dst = s.heap + t_pages(2);
	struct pagemv_result res;
	size_t kb;

	if (fake_sys.mlock_on_fault((uintptr_t)s.src, t_pages(8)) < 0 ||
	    fake_sys.mlock_on_fault((uintptr_t)s.heap, t_pages(8)) < 0)
		cr_skip("may not mlock");
	kb = locked_kb();
	fake_add((struct fake_rule){ .call = FAKE_MREMAP, .error = -ENOMEM });
	cr_expect(pagemv_move(s.pv, dst, src, t_pages(4), &opts, &res) ==
		  -ENOMEM);
	expect_locked(&s, kb);
	EXPECT_RIGHT(t_check_range(s.src, 8, 1));
	cr_expect(pagemv_move(s.pv, dst, src, t_pages(4), &opts, &res) == 0);
	expect_locked(&s, kb);
	EXPECT_RIGHT(t_check_range(dst, 4, 3));
	EXPECT_RIGHT(t_check_absent(src, 4));
	cr_expect(pagemv_region_unregister(s.region) == 0);
	fake_behave();
	pagemv_close(s.pv);
}

/* mremap() by itself unlocks the mapping that the pages were part of. */
Test(mover_remap, what_was_locked_stays_locked)
{
	expect_locks_kept(NULL, PAGEMV_MECH_REMAP);
}

Test(mover_remap, what_was_locked_stays_locked_when_it_is_copied)
{
	static const struct way no_move = {
		"no move", 0, PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE), 0, 0, 0
	};

	expect_locks_kept(&no_move, PAGEMV_MECH_COPY);
}

static void unmap_heap(void *arg)
{
	const struct scene *s = arg;

	cr_assert(munmap(s->heap, t_pages(s->pages)) == 0);
}

/* So kernels answer that find another mapping in the source, or no memory. */
static void expect_mapped_again(int error, bool locked)
{
	const struct pagemv_move_opts opts = {
		.size = sizeof(opts),
		.mechanism = PAGEMV_MECH_REMAP,
		.flags = PAGEMV_MOVE_MAY_REMAP,
	};
	struct scene s = scene_open(8, NULL);
	struct pagemv_result res;
	int rc;

	if (locked &&
	    (fake_sys.mlock_on_fault((uintptr_t)s.src, t_pages(8)) < 0 ||
	     fake_sys.mlock_on_fault((uintptr_t)s.heap, t_pages(8)) < 0))
		cr_skip("may not mlock");
	fake_add((struct fake_rule){ .call = FAKE_MREMAP,
				     .before = unmap_heap,
				     .arg = &s,
				     .error = error });
	rc = pagemv_move(s.pv, s.heap, s.src, t_pages(8), &opts, &res);
	if (error == -EFAULT) {
		cr_expect(rc == 0, "%d (%s)", rc,
			  pagemv_reason_string(res.reason));
		EXPECT_RIGHT(t_check_range(s.heap, 8, 1));
	} else {
		cr_expect(rc == -ENOMEM);
		EXPECT_RIGHT(t_check_range(s.src, 8, 1));
		EXPECT_RIGHT(t_check_absent(s.heap, 8));
	}
	cr_expect(pmv_mapping_locked(s.pv, (uintptr_t)s.heap) == locked);
	/* And pages can be moved there. */
	unlock_pages(s.src, 8);
	unlock_pages(s.heap, 8);
	t_drop(s.heap, 8);
	t_fill_range(s.src, 8, 1);
	rc = pagemv_move(s.pv, s.heap, s.src, t_pages(8), NULL, &res);
	cr_expect(rc == 0, "%d (%s)", rc, pagemv_reason_string(res.reason));
	scene_close(&s);
}

Test(mover_remap, what_a_failed_mremap_unmapped_is_mapped_again)
{
	expect_mapped_again(-EFAULT, false);
	expect_mapped_again(-ENOMEM, false);
	expect_mapped_again(-EFAULT, true);
	expect_mapped_again(-ENOMEM, true);
}

/* The memory of the mapping that was unmapped is not there at once. */
Test(mover_remap, it_is_mapped_again_when_there_is_memory_for_it)
{
	fake_add((struct fake_rule){
		.call = FAKE_MMAP_AT, .times = 20, .error = -ENOMEM });
	expect_mapped_again(-ENOMEM, false);
}

Test(mover_remap, what_cannot_be_mapped_again_is_told_as_unmapped)
{
	const struct pagemv_move_opts opts = {
		.size = sizeof(opts),
		.mechanism = PAGEMV_MECH_REMAP,
		.flags = PAGEMV_MOVE_MAY_REMAP,
	};
	struct scene s = scene_open(8, NULL);
	struct pagemv_result res;
	int rc;

	fake_add((struct fake_rule){ .call = FAKE_MREMAP,
				     .before = unmap_heap,
				     .arg = &s,
				     .error = -ENOMEM });
	fake_refuse(FAKE_MMAP_AT, -ENOMEM);
	rc = pagemv_move(s.pv, s.heap, s.src, t_pages(8), &opts, &res);
	cr_expect(rc == -ENOENT && res.reason == PAGEMV_REASON_UNMAPPED,
		  "%d (%s)", rc, pagemv_reason_string(res.reason));
	EXPECT_RIGHT(t_check_range(s.src, 8, 1));
	fake_behave();
	pagemv_close(s.pv);
}

/*
 * The mapping that arrives has what the source was advised. Returns how often
 * the destination is advised anew.
 */
static unsigned int advised(const struct way *way, uint32_t quirks,
			    bool from_region)
{
	struct scene s = scene_open(8, way);
	bool wanted = madvise(s.src, t_pages(8), MADV_HUGEPAGE) == 0;
	unsigned int advices;

	s.pv->quirks |= quirks;
	if (from_region)
		scene_register(s.pv, s.src, 8);
	fake_forget_counts();
	cr_expect(step(&s, PAGEMV_MOVE_UNCHECKED).done == t_pages(8));
	advices = fake_count(FAKE_ADVISE);
	cr_expect(fake_total() == 1 + advices);
	if (pmv_pages_small_only(s.pv))
		cr_expect(!t_mapping_has_flag(s.heap, "hg"));
	else
		cr_expect(t_mapping_has_flag(s.heap, "hg") == wanted);
	scene_close(&s);
	return advices;
}

Test(mover_remap, huge_pages_are_kept_from_a_region_that_must_have_none)
{
	static const struct way no_uffd = {
		"no userfaultfd", PAGEMV_OPEN_NO_UFFD, 0, 0, 0, 0
	};

	cr_expect(advised(&no_uffd, 0, false) == 1);
	cr_expect(advised(&no_uffd, 0, true) == 0, "it has none");
	cr_expect(advised(NULL, PAGEMV_QUIRK_HUGE_PAGES, false) == 1);
	cr_expect(advised(NULL, 0, false) == 0, "the caller's choice");
}

static void allow_huge(void *arg)
{
	const struct scene *s = arg;

	unmap_heap(arg);
	cr_assert(mmap(s->heap, t_pages(s->pages), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		       0) == s->heap);
}

Test(mover_remap, nor_may_they_come_after_a_failure)
{
	static const struct way no_uffd = {
		"no userfaultfd", PAGEMV_OPEN_NO_UFFD, 0, 0, 0, 0
	};
	struct scene s = scene_open(8, &no_uffd);

	scene_register(s.pv, s.src, 8);
	fake_add((struct fake_rule){ .call = FAKE_MREMAP,
				     .before = allow_huge,
				     .arg = &s,
				     .error = -ENOMEM });
	cr_expect(step(&s, 0).error == -ENOMEM);
	cr_expect(t_mapping_has_flag(s.heap, "nh") || !s.pv->huge_bytes);
	fake_behave();
	scene_close(&s);
}
