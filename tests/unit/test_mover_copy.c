/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mover.h"

#include "scene.h"

#include <sys/mman.h>

#include "staging.h"

#define PAGES 8

static int64_t count(size_t pages)
{
	return (int64_t)t_pages(pages);
}

static int copy(struct scene *s, uint32_t flags, struct pagemv_result *res)
{
	return scene_move_opts(s, flags, PAGEMV_MECH_COPY, 0, res);
}

/* Expects the first done pages at dst and the others at src again. */
static void expect_put_back(struct scene *s, int rc,
			    const struct pagemv_result *res, size_t done)
{
	EXPECT_SANE(rc, res, t_pages(PAGES));
	EXPECT_RIGHT(pages_wrong(s->heap, s->src, PAGES, res));
	cr_expect(res->copied_bytes == t_pages(done), "%zu", res->copied_bytes);
	cr_expect(res->left_off == t_pages(done));
	cr_expect(res->stray == NULL);
	EXPECT_RIGHT(t_check_range(s->heap, done, 1));
	EXPECT_RIGHT(
		t_check_range(s->src + t_pages(done), PAGES - done, done + 1));
}

Test(mover_copy, pages_are_detached_copied_and_gone_from_the_source)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc = copy(&s, 0, &res);

	cr_expect(rc == 0);
	EXPECT_SANE(rc, &res, t_pages(PAGES));
	cr_expect(res.copied_bytes == t_pages(PAGES));
	EXPECT_RIGHT(t_check_range(s.heap, PAGES, 1));
	EXPECT_RIGHT(t_check_absent(s.src, PAGES));
	cr_expect(fake_count(FAKE_MOVE) == 1 && fake_count(FAKE_COPY) == 1);
	scene_close(&s);
}

Test(mover_copy, quiescent_pages_need_no_detaching)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;

	cr_expect(copy(&s, PAGEMV_MOVE_QUIESCENT, &res) == 0);
	cr_expect(fake_count(FAKE_MOVE) == 0 && fake_count(FAKE_MREMAP) == 0);
	EXPECT_RIGHT(t_check_range(s.heap, PAGES, 1));
	EXPECT_RIGHT(t_check_absent(s.src, PAGES));
	scene_close(&s);
}

/* Fails the copy to dst behind so many pages; to src it works. */
static void fail_at(struct scene *s, size_t done, int error)
{
	if (done)
		fake_add((struct fake_rule){ .call = FAKE_COPY,
					     .at = (uintptr_t)s->heap,
					     .error = -EAGAIN,
					     .really = t_pages(done),
					     .tell = true,
					     .told = count(done) });
	fake_add((struct fake_rule){ .call = FAKE_COPY,
				     .times = FAKE_EVER,
				     .at = (uintptr_t)s->heap + t_pages(done),
				     .error = error });
}

Test(mover_copy, a_failure_in_the_middle_puts_every_page_back)
{
	static const struct {
		int error, is;
	} cases[] = { { -ENOMEM, -ENOMEM },    { -EFAULT, -EFAULT },
		      { -EPERM, -EOPNOTSUPP }, { -EAGAIN, -EAGAIN },
		      { -EIO, -EIO },	       { -ESRCH, -EINTR } };

	for (size_t i = 0; i < T_COUNT(cases); i++)
		for (size_t done = 0; done < PAGES; done++) {
			struct scene s = scene_open(PAGES, NULL);
			struct pagemv_result res;
			int rc;

			fail_at(&s, done, cases[i].error);
			rc = copy(&s, 0, &res);
			cr_expect(rc == cases[i].is, "%d: %d (%s)",
				  cases[i].error, rc,
				  pagemv_reason_string(res.reason));
			expect_put_back(&s, rc, &res, done);
			fake_behave();
			scene_close(&s);
		}
}

static void refill(void *arg)
{
	t_fill(arg, 77, 1);
}

Test(mover_copy, pages_are_stray_when_the_source_was_refilled)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	/* 3 pages arrive; then dst fails, while somebody stores to page 5 of
	 * the source. */
	fail_at(&s, 3, -ENOMEM);
	fake_add((struct fake_rule){ .call = FAKE_REGISTER,
				     .at = (uintptr_t)s.src + t_pages(3),
				     .before = refill,
				     .arg = s.src + t_pages(5) });
	rc = copy(&s, 0, &res);
	fake_behave();
	EXPECT_STOPPED(rc, &res, -EEXIST, PAGEMV_REASON_RACED);
	EXPECT_SANE(rc, &res, t_pages(PAGES));
	cr_assert(res.stray != NULL);
	cr_expect(res.stray_off == t_pages(5), "%zu", res.stray_off);
	cr_expect(res.stray_bytes == t_pages(PAGES - 5));
	EXPECT_RIGHT(t_check_range(s.heap, 3, 1));
	EXPECT_RIGHT(t_check_range(s.src + t_pages(3), 2, 4));
	EXPECT_RIGHT(t_check(s.src + t_pages(5), 77, 1));
	EXPECT_RIGHT(t_check_range(res.stray, PAGES - 5, 6));
	take_stray(&res);
	scene_close(&s);
}

Test(mover_copy, a_miscounted_way_back_is_no_race)
{
	for (size_t moved = 1; moved <= PAGES; moved++) {
		struct scene s = scene_open(PAGES, NULL);
		struct pagemv_result res;
		int rc;

		fail_at(&s, 0, -ENOMEM);
		fake_add((struct fake_rule){ .call = FAKE_MOVE,
					     .at = (uintptr_t)s.src,
					     .error = -EEXIST,
					     .really = t_pages(moved),
					     .tell = true,
					     .told = -EEXIST });
		rc = copy(&s, 0, &res);
		fake_behave();
		cr_expect(rc == -ENOMEM, "%zu pages: %d (%s)", moved, rc,
			  pagemv_reason_string(res.reason));
		expect_put_back(&s, rc, &res, 0);
		take_stray(&res);
		scene_close(&s);
	}
}

static const struct way no_move = {
	.disabled = PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE),
};

/* There is room for so many pages: a copy stops behind them. */
static void room_for(char *dst, size_t pages)
{
	fake_add((struct fake_rule){ .call = FAKE_COPY,
				     .at = (uintptr_t)dst,
				     .error = -EAGAIN,
				     .really = t_pages(pages),
				     .tell = true,
				     .told = count(pages) });
	fake_add((struct fake_rule){ .call = FAKE_COPY,
				     .at = (uintptr_t)dst + t_pages(pages),
				     .error = -ENOMEM });
}

/* All pages are at dst, and none had to go back. */
static void expect_all_brought(const struct scene *s, int rc,
			       const struct pagemv_result *res)
{
	cr_expect(rc == 0, "%d (%s)", rc, pagemv_reason_string(res->reason));
	EXPECT_SANE(rc, res, t_pages(PAGES));
	EXPECT_RIGHT(t_check_range(s->heap, PAGES, 1));
	EXPECT_RIGHT(t_check_absent(s->src, PAGES));
	cr_expect(fake_count(FAKE_MREMAP) == 1);
}

Test(mover_copy, pages_that_have_arrived_make_room_for_the_others)
{
	struct scene s = scene_open(PAGES, &no_move);
	struct pagemv_result res;
	int rc;

	room_for(s.heap, 3);
	rc = copy(&s, 0, &res);
	expect_all_brought(&s, rc, &res);
	scene_close(&s);
}

/* No page is to be had for the first one, neither at dst nor to go back. */
Test(mover_copy, a_page_set_aside_makes_room_for_the_first)
{
	struct scene s = scene_open(PAGES, &no_move);
	struct pagemv_result res;
	int rc;

	fake_add((struct fake_rule){ .call = FAKE_COPY, .error = -ENOMEM });
	rc = copy(&s, 0, &res);
	expect_all_brought(&s, rc, &res);
	scene_close(&s);
}

/* Before Linux 5.14, where the kernel has to be made to write there. */
Test(mover_copy, where_no_page_can_be_set_aside_nothing_is_detached)
{
	struct scene s = scene_open(PAGES, &no_move);
	struct pagemv_result res;
	int rc;

	fake_refuse(FAKE_POPULATE, -EINVAL);
	fake_refuse(FAKE_PREAD, -EFAULT);
	rc = copy(&s, 0, &res);
	fake_behave();
	EXPECT_STOPPED(rc, &res, -ENOMEM, PAGEMV_REASON_NO_MEMORY);
	cr_expect(fake_count(FAKE_MREMAP) == 0);
	expect_put_back(&s, rc, &res, 0);
	scene_close(&s);
}

Test(mover_copy, pages_that_are_back_make_room_for_the_others)
{
	struct scene s = scene_open(PAGES, &no_move);
	struct pagemv_result res;
	int rc;

	fail_at(&s, 3, -ENOMEM);
	room_for(s.src + t_pages(3), 2);
	rc = copy(&s, 0, &res);
	EXPECT_STOPPED(rc, &res, -ENOMEM, PAGEMV_REASON_NO_MEMORY);
	expect_put_back(&s, rc, &res, 3);
	scene_close(&s);
}

/* mbind() of another thread does so when the pages are on their way. */
Test(mover_copy, a_dst_that_breaks_apart_meanwhile_is_filled_by_pages)
{
	struct scene s = scene_open(PAGES, &no_move);
	struct pagemv_result res;
	int rc;

	/* They cannot go back: somebody stores to page 5 of the source. */
	fake_add((struct fake_rule){ .call = FAKE_COPY,
				     .before = refill,
				     .arg = s.src + t_pages(5),
				     .error = -ENOENT });
	rc = copy(&s, 0, &res);
	cr_expect(rc == 0, "%d (%s)", rc, pagemv_reason_string(res.reason));
	EXPECT_SANE(rc, &res, t_pages(PAGES));
	EXPECT_RIGHT(t_check_range(s.heap, PAGES, 1));
	EXPECT_RIGHT(t_check(s.src + t_pages(5), 77, 1));
	take_stray(&res);
	scene_close(&s);
}

Test(mover_copy, eagain_on_the_way_is_waited_for)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;

	fake_add((struct fake_rule){
		.call = FAKE_COPY, .times = 10, .error = -EAGAIN });
	cr_expect(copy(&s, 0, &res) == 0);
	cr_expect(fake_slept_ns() > 0);
	EXPECT_RIGHT(t_check_range(s.heap, PAGES, 1));
	scene_close(&s);
}

Test(mover_copy, pages_behind_a_partial_detaching_follow)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	fake_add((struct fake_rule){ .call = FAKE_MOVE,
				     .error = -EAGAIN,
				     .really = t_pages(3),
				     .tell = true,
				     .told = count(3) });
	rc = copy(&s, 0, &res);
	cr_expect(rc == 0);
	EXPECT_SANE(rc, &res, t_pages(PAGES));
	EXPECT_RIGHT(t_check_range(s.heap, PAGES, 1));
	scene_close(&s);
}

Test(mover_copy, a_miscounted_detaching_loses_nothing)
{
	for (size_t moved = 1; moved <= PAGES; moved++) {
		struct scene s = scene_open(PAGES, NULL);
		struct pagemv_result res;
		int rc;

		fake_add((struct fake_rule){ .call = FAKE_MOVE,
					     .error = -EEXIST,
					     .really = t_pages(moved),
					     .tell = true,
					     .told = -EEXIST });
		rc = copy(&s, 0, &res);
		cr_expect(rc == 0, "%zu pages: %d (%s)", moved, rc,
			  pagemv_reason_string(res.reason));
		EXPECT_RIGHT(t_check_range(s.heap, PAGES, 1));
		EXPECT_RIGHT(pages_wrong(s.heap, s.src, PAGES, &res));
		fake_behave();
		scene_close(&s);
	}
}

static void blind(void)
{
	fake_refuse(FAKE_SCAN, -ENOTTY);
	fake_refuse(FAKE_PREAD, -EPERM);
	fake_refuse(FAKE_MINCORE, -EPERM);
}

Test(mover_copy, where_nothing_tells_what_was_detached_nothing_is_made_up)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	blind();
	fake_pin(s.src);
	rc = copy(&s, 0, &res);
	fake_behave();
	EXPECT_STOPPED(rc, &res, -EBUSY, PAGEMV_REASON_PINNED);
	expect_put_back(&s, rc, &res, 0);
	scene_close(&s);
}

Test(mover_copy, a_staging_range_that_keeps_pages_is_not_used_again)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	size_t before = fake_mapped_bytes();
	int rc;

	/* The discarding of the staging range fails. */
	fake_refuse(FAKE_DISCARD, -EPERM);
	rc = copy(&s, 0, &res);
	fake_behave();
	cr_expect(rc == 0);
	cr_expect(fake_mapped_bytes() == before);
	t_drop(s.heap, PAGES);
	t_fill_range(s.src, PAGES, 1);
	cr_expect(copy(&s, 0, &res) == 0);
	EXPECT_RIGHT(t_check_range(s.heap, PAGES, 1));
	EXPECT_RIGHT(pages_wrong(s.heap, s.src, PAGES, &res));
	scene_close(&s);
}

Test(mover_copy, a_quiescent_copy_that_cannot_be_finished_is_taken_back)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	fake_add((struct fake_rule){ .call = FAKE_DISCARD,
				     .error = -EPERM,
				     .at = (uintptr_t)s.src,
				     .times = FAKE_EVER });
	rc = copy(&s, PAGEMV_MOVE_QUIESCENT, &res);
	cr_expect(rc < 0);
	EXPECT_SANE(rc, &res, t_pages(PAGES));
	cr_expect(res.copied_bytes == 0);
	EXPECT_RIGHT(t_check_range(s.src, PAGES, 1));
	EXPECT_RIGHT(t_check_absent(s.heap, PAGES));
	scene_close(&s);
}

/* Before Linux 5.18. Copies could not be taken back from locked memory, either:
 * the pages would be at both places. */
Test(mover_copy, locked_pages_that_cannot_be_discarded_are_detached)
{
	struct scene s = scene_open(PAGES, &no_move);
	struct pagemv_result res;
	int rc;

	if (fake_sys.mlock_on_fault((uintptr_t)s.src, t_pages(PAGES)) < 0 ||
	    fake_sys.mlock_on_fault((uintptr_t)s.heap, t_pages(PAGES)) < 0)
		cr_skip("may not mlock");
	s.pv->drops_locked = false;
	fake_refuse(FAKE_DISCARD, -EINVAL);
	rc = copy(&s, PAGEMV_MOVE_QUIESCENT, &res);
	cr_expect(rc == 0, "%d (%s)", rc, pagemv_reason_string(res.reason));
	EXPECT_SANE(rc, &res, t_pages(PAGES));
	EXPECT_RIGHT(t_check_range(s.heap, PAGES, 1));
	EXPECT_RIGHT(t_check_absent(s.src, PAGES));
	scene_close(&s);
}

Test(mover_copy, a_page_in_the_way_stops_it_there)
{
	static const uint32_t flags[] = { 0, PAGEMV_MOVE_QUIESCENT };

	for (size_t w = 0; w < n_ways; w++)
		for (size_t f = 0; f < 2; f++) {
			struct scene s = scene_open(PAGES, &ways[w]);
			struct pagemv_result res;
			int rc;

			t_fill(s.heap + t_pages(3), 99, 1);
			rc = copy(&s, flags[f], &res);
			EXPECT_STOPPED(rc, &res, -EEXIST,
				       PAGEMV_REASON_OCCUPIED);
			expect_put_back(&s, rc, &res, 3);
			EXPECT_RIGHT(t_check(s.heap + t_pages(3), 99, 1));
			scene_close(&s);
		}
}

Test(mover_copy, a_source_of_another_handles_region_is_put_back_too)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv *other = scene_handle(NULL);
	struct pagemv_result res;
	int rc;

	scene_register(other, s.src, PAGES);
	fail_at(&s, 2, -ENOMEM);
	fake_forget_counts();
	rc = copy(&s, 0, &res);
	fake_behave();
	cr_expect(rc < 0);
	/* Kernels before 6.17 would take the registration off the other. */
	cr_expect(fake_count(FAKE_UNREGISTER) == 0);
	EXPECT_SANE(rc, &res, t_pages(PAGES));
	EXPECT_RIGHT(pages_wrong(s.heap, s.src, PAGES, &res));
	take_stray(&res);
	pagemv_close(other);
	scene_close(&s);
}

Test(mover_copy, no_staging_no_move)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;
	int rc;

	fake_refuse(FAKE_MMAP, -ENOMEM);
	rc = copy(&s, 0, &res);
	cr_expect(rc == -ENOMEM);
	expect_put_back(&s, rc, &res, 0);
	fake_behave();
	scene_close(&s);
}

Test(mover_copy, held_pages_are_taken_by_mremap)
{
	struct scene s = scene_open(1, NULL);
	struct pmv_stray stray = { 0 };
	struct pmv_span span = { .dst = (uintptr_t)s.heap,
				 .src = (uintptr_t)s.src,
				 .len = t_page(),
				 .uffd = s.pv->uffd,
				 .stray = &stray };
	struct pmv_step did;

	fake_refuse(FAKE_MOVE, -EBUSY);
	did = pmv_copy_held(s.pv, &span);
	cr_expect(did.done == t_page() && !did.error);
	cr_expect(fake_count(FAKE_MREMAP) == 1);
	EXPECT_RIGHT(t_check(s.heap, 1, 1));
	EXPECT_RIGHT(t_check_absent(s.src, 1));
	scene_close(&s);
}

/* ---- mlockall() of the program, which fills and locks all that is mapped ----
 */

static void fill_staging(void *arg)
{
	const struct scene *s = arg;
	uintptr_t base = atomic_load(&s->pv->staging);

	cr_assert(base != 0);
	memset((void *)base, 0, PMV_STAGING_BYTES);
}

static void expect_copied(struct scene *s, int rc,
			  const struct pagemv_result *res)
{
	cr_expect(rc == 0, "%d (%s)", rc, pagemv_reason_string(res->reason));
	EXPECT_SANE(rc, res, t_pages(PAGES));
	EXPECT_RIGHT(t_check_range(s->heap, PAGES, 1));
	EXPECT_RIGHT(t_check_absent(s->src, PAGES));
}

/* Copies once, so that a staging range is kept, and has src filled again. */
static struct scene open_with_staging(void)
{
	struct scene s = scene_open(PAGES, NULL);
	struct pagemv_result res;

	cr_assert(copy(&s, 0, &res) == 0);
	t_drop(s.heap, PAGES);
	t_fill_range(s.src, PAGES, 1);
	return s;
}

Test(mover_copy, a_staging_range_that_was_filled_meanwhile_is_not_used)
{
	struct scene s = open_with_staging();
	struct pagemv_result res;

	fill_staging(&s);
	expect_copied(&s, copy(&s, 0, &res), &res);
	scene_close(&s);
}

Test(mover_copy, a_staging_range_that_was_locked_meanwhile_is_not_used)
{
	struct scene s = open_with_staging();
	struct pagemv_result res;

	if (!lock_pages((void *)atomic_load(&s.pv->staging), 1))
		cr_skip("may not mlock");
	expect_copied(&s, copy(&s, 0, &res), &res);
	scene_close(&s);
}

/* A range that is in use is the handle's no more: where it was. */
struct filling {
	uintptr_t base;
	size_t from, pages;
};

static void fill_part(void *arg)
{
	const struct filling *f = arg;

	memset((void *)(f->base + t_pages(f->from)), 0, t_pages(f->pages));
}

/* Filled at the very moment: pages of zeros are no pages of the source. */
static void expect_zeros_not_taken(size_t from, size_t pages)
{
	struct scene s = open_with_staging();
	struct filling filling = { .from = from, .pages = pages };
	struct pagemv_result res;

	filling.base = atomic_load(&s.pv->staging);
	fake_add((struct fake_rule){ .call = FAKE_MOVE,
				     .before = fill_part,
				     .arg = &filling,
				     .really = FAKE_ALL });
	expect_copied(&s, copy(&s, 0, &res), &res);
	scene_close(&s);
}

Test(mover_copy, zeros_in_the_staging_range_are_not_taken_for_pages)
{
	expect_zeros_not_taken(0, PAGES);
	expect_zeros_not_taken(0, 1);
	expect_zeros_not_taken(3, 2);
	expect_zeros_not_taken(PAGES - 1, 1);
}

/* But a page of zeros that was moved is one. */
Test(mover_copy, pages_of_zeros_are_detached_as_others)
{
	struct scene s = open_with_staging();
	struct filling filling = { .from = 4, .pages = 1 };
	struct pagemv_result res;
	int rc;

	memset(s.src, 0, t_pages(PAGES));
	filling.base = atomic_load(&s.pv->staging);
	fake_add((struct fake_rule){ .call = FAKE_MOVE,
				     .before = fill_part,
				     .arg = &filling,
				     .really = FAKE_ALL });
	rc = copy(&s, 0, &res);
	cr_expect(rc == 0, "%d (%s)", rc, pagemv_reason_string(res.reason));
	EXPECT_SANE(rc, &res, t_pages(PAGES));
	EXPECT_RIGHT(t_check_zero(s.heap, PAGES));
	EXPECT_RIGHT(t_check_absent(s.src, PAGES));
	scene_close(&s);
}
