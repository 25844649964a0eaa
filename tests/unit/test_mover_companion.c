/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Moves by the companion, and what the library has to do for it that the
 * kernel does for UFFDIO_MOVE.
 */
#include "mover.h"

#include "scene.h"

#define COMPANION PAGEMV_MECH_COMPANION
#define ONLY	  PAGEMV_MECH_BIT(COMPANION)
#define MOVE_BIT  PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE)

/* MOVE and the companion; the companion alone. */
static const struct way both = { "both", 0, 0, 0, 0, ONLY };
static const struct way alone = { "alone", 0, MOVE_BIT, 0, 0, ONLY };
static const struct way no_uffd = { "no uffd", PAGEMV_OPEN_NO_UFFD, 0, 0, 0,
				    ONLY };

static struct pmv_step step(struct scene *s, int uffd, size_t pages)
{
	struct pmv_stray stray = { 0 };
	struct pmv_span span = { .dst = (uintptr_t)s->heap,
				 .src = (uintptr_t)s->src,
				 .len = t_pages(pages),
				 .uffd = uffd,
				 .stray = &stray };

	return pmv_mover_companion.step(s->pv, &span);
}

Test(mover_companion, a_step_to_a_quiet_region_is_one_ioctl)
{
	struct scene s = scene_open(4, &alone);
	struct pmv_step did = step(&s, s.pv->uffd, 4);

	cr_expect(did.done == t_pages(4) && !did.error && !did.holes);
	cr_expect(fake_total() == 1, "%u calls", fake_total());
	scene_close(&s);
}

Test(mover_companion, those_who_wait_are_woken)
{
	struct scene s = scene_open(4, &alone);
	int other = s.pv->uffd + 1000;

	fake_add((struct fake_rule){
		.call = FAKE_WAKE, .lie = true, .times = FAKE_EVER });
	/* It is registered: what cannot be read is not copied there. */
	fake_refuse(FAKE_COPY, -EFAULT);
	step(&s, other, 1);
	cr_expect(fake_count(FAKE_WAKE) == 1);
	/* Also where not all pages came, and for those that did. */
	fake_add((struct fake_rule){ .call = FAKE_REMAP,
				     .error = -EAGAIN,
				     .tell = true,
				     .told = (int64_t)t_pages(1) });
	s.heap += t_pages(1);
	s.src += t_pages(1);
	step(&s, other, 3);
	cr_expect(fake_count(FAKE_WAKE) == 2);
	/* Not where none came. */
	fake_fail(FAKE_REMAP, 1, -EBUSY);
	step(&s, other, 3);
	cr_expect(fake_count(FAKE_WAKE) == 2);
	/* Nor where a signal is sent instead of waiting. */
	atomic_store(&s.pv->channels[PMV_CHANNEL_SIGNAL].fd, other);
	step(&s, other, 3);
	cr_expect(fake_count(FAKE_WAKE) == 2);
	atomic_store(&s.pv->channels[PMV_CHANNEL_SIGNAL].fd, -1);
	s.heap -= t_pages(1);
	s.src -= t_pages(1);
	scene_close(&s);
}

Test(mover_companion, what_is_not_registered_any_more_is_not_filled)
{
	static const struct {
		int answer, error;
	} table[] = {
		{ -ENOENT, -EINVAL }, { -EINVAL, -EINVAL },
		{ -EFAULT, 0 },	      { -EEXIST, 0 },
		{ -EAGAIN, -EAGAIN }, { -ENOMEM, -ENOMEM },
	};
	struct scene s = scene_open(T_COUNT(table), &alone);
	int other = s.pv->uffd + 1000;

	fake_refuse(FAKE_WAKE, -EBADF);
	for (size_t i = 0; i < T_COUNT(table); i++) {
		struct pmv_step did;

		fake_fail(FAKE_COPY, 1, table[i].answer);
		did = step(&s, other, 1);
		cr_expect(did.error == table[i].error, "%d: %d",
			  table[i].answer, did.error);
		cr_expect(did.done == (did.error ? 0 : t_page()));
		s.heap += did.done;
		s.src += did.done;
	}
	s.heap -= t_pages(2);
	s.src -= t_pages(2);
	fake_behave();
	scene_close(&s);
}

Test(mover_companion, regions_with_events_are_not_for_it)
{
	struct scene s = scene_open(1, &alone);
	int other = s.pv->uffd + 1000;

	cr_expect(pmv_companion_fills(s.pv, other));
	cr_expect(pmv_mover_to(s.pv, other, t_page()) == COMPANION);
	for (int kind = PMV_CHANNEL_EVENTS; kind < PMV_CHANNELS; kind++) {
		atomic_store(&s.pv->channels[kind].fd, other);
		cr_expect(!pmv_companion_fills(s.pv, other));
		cr_expect(pmv_mover_to(s.pv, other, t_page()) ==
			  PAGEMV_MECH_AUTO);
		atomic_store(&s.pv->channels[kind].fd, -1);
	}
	scene_close(&s);
}

Test(mover_companion, uffdio_move_fills_what_faults_where_there_are_both)
{
	struct scene s = scene_open(1, &both);

	cr_expect(pmv_mover_to(s.pv, s.pv->uffd + 1000, t_pages(600)) ==
		  PAGEMV_MECH_MOVE);
	cr_expect(pmv_mover_to(s.pv, s.pv->uffd, t_pages(600)) == COMPANION);
	scene_close(&s);
}

/* ---- what AUTO makes of it ---- */

Test(mover_companion, auto_takes_it_from_where_it_costs_less)
{
	struct scene s = scene_open(8, &both);
	struct pagemv_result res;

	atomic_store(&s.pv->companion_from, t_pages(8));
	cr_expect(scene_move(&s, 0, &res) == 0);
	cr_expect(res.mechanisms == ONLY && res.kernel_calls == 1);
	cr_expect(fake_total() == 1, "%u calls", fake_total());
	expect_all_moved(&s, 0, &res);
	scene_close(&s);

	s = scene_open(8, &both);
	atomic_store(&s.pv->companion_from, t_pages(9));
	cr_expect(scene_move(&s, 0, &res) == 0);
	cr_expect(res.mechanisms == MOVE_BIT);
	scene_close(&s);
}

Test(mover_companion, it_takes_the_place_of_copying)
{
	const struct way *const ways_without[] = { &alone, &no_uffd };

	for (size_t i = 0; i < T_COUNT(ways_without); i++) {
		struct scene s = scene_open(8, ways_without[i]);
		struct pagemv_result res;
		int rc = scene_move(&s, 0, &res);

		expect_all_moved(&s, rc, &res);
		cr_expect(res.mechanisms == ONLY);
		cr_expect(fake_total() == 1, "%u calls", fake_total());
		scene_close(&s);
	}
}

Test(mover_companion, what_is_in_no_region_is_refused)
{
	struct scene s = scene_open(4, &alone);
	struct pagemv_result res;
	char *other = t_map(4);
	int rc = pagemv_move(s.pv, other, s.src, t_pages(4), NULL, &res);

	EXPECT_STOPPED(rc, &res, -EINVAL, PAGEMV_REASON_NOT_REGISTERED);
	EXPECT_RIGHT(t_check_range(s.src, 4, 1));
	cr_expect(fake_count(FAKE_REMAP) == 0);
	t_unmap(other, 4);
	scene_close(&s);
}

Test(mover_companion, each_errno_has_its_reason)
{
	static const struct {
		int error, rc;
		enum pagemv_reason reason;
	} table[] = {
		{ -EAGAIN, -EAGAIN, PAGEMV_REASON_CHANGING },
		{ -EBUSY, -EBUSY, PAGEMV_REASON_PINNED },
		{ -EFAULT, -EFAULT, PAGEMV_REASON_POISONED },
		{ -EINTR, -EINTR, PAGEMV_REASON_INTERRUPTED },
		{ -ESRCH, -EINTR, PAGEMV_REASON_INTERRUPTED },
		{ -ENOMEM, -ENOMEM, PAGEMV_REASON_NO_MEMORY },
		{ -EPERM, -EOPNOTSUPP, PAGEMV_REASON_FILTERED },
		{ -ENOSYS, -EOPNOTSUPP, PAGEMV_REASON_FILTERED },
		/* Taken away: the descriptor is another file's. */
		{ -ENOTTY, -EIO, PAGEMV_REASON_UNEXPECTED },
		{ -EBADF, -EIO, PAGEMV_REASON_UNEXPECTED },
		{ -EINVAL, -EIO, PAGEMV_REASON_UNEXPECTED },
	};

	for (size_t i = 0; i < T_COUNT(table); i++) {
		struct scene s = scene_open(4, &alone);
		struct pagemv_result res;
		int rc;

		fake_refuse(FAKE_REMAP, table[i].error);
		rc = scene_move(&s, 0, &res);
		EXPECT_STOPPED(rc, &res, table[i].rc, table[i].reason);
		expect_stopped_at(&s, rc, &res, 0);
		fake_behave();
		scene_close(&s);
	}
}

Test(mover_companion, it_goes_on_after_partial_progress_at_each_place)
{
	for (size_t n = 1; n < 8; n++) {
		struct scene s = scene_open(8, &alone);
		struct pagemv_result res;
		int rc;

		fake_add((struct fake_rule){ .call = FAKE_REMAP,
					     .error = -EAGAIN,
					     .really = t_pages(n),
					     .tell = true,
					     .told = (int64_t)t_pages(n) });
		rc = scene_move(&s, 0, &res);
		expect_all_moved(&s, rc, &res);
		cr_expect(res.kernel_calls == 2);
		cr_expect(res.repaired_bytes == 0);
		scene_close(&s);
	}
}

/* Linux 6.18 miscounts, and the companion does not. */
Test(mover_companion, nothing_is_repaired)
{
	struct scene s = scene_open(4, &alone);
	struct pagemv_result res;
	int rc;

	cr_assert(s.pv->quirks & PAGEMV_QUIRK_MISCOUNT);
	t_fill_range(s.heap, 1, 100);
	t_drop(s.src, 1);
	rc = scene_move(&s, 0, &res);
	EXPECT_STOPPED(rc, &res, -EEXIST, PAGEMV_REASON_OCCUPIED);
	cr_expect(res.repaired_bytes == 0 && res.left_bytes == t_pages(4));
	scene_close(&s);
}

Test(mover_companion, a_pinned_page_stays)
{
	struct scene s = scene_open(8, &alone);
	struct pagemv_result res;
	int rc;

	fake_pin(s.src + t_pages(5));
	rc = scene_move(&s, 0, &res);
	EXPECT_STOPPED(rc, &res, -EBUSY, PAGEMV_REASON_PINNED);
	expect_stopped_at(&s, rc, &res, 5);
	fake_behave();
	scene_close(&s);
}

/* ---- detaching, where there is no UFFDIO_MOVE ---- */

Test(mover_companion, pages_are_detached_by_it_for_copies)
{
	struct scene s = scene_open(4, &alone);
	struct pagemv_result res;
	int rc = scene_move_opts(&s, 0, PAGEMV_MECH_COPY, 0, &res);

	cr_expect(rc == 0 && res.copied_bytes == t_pages(4));
	cr_expect(fake_count(FAKE_MREMAP) == 0);
	cr_expect(fake_count(FAKE_REMAP) == 1);
	EXPECT_RIGHT(t_check_range(s.heap, 4, 1));
	scene_close(&s);
}

Test(mover_companion, detached_pages_go_home_by_it)
{
	const struct way *const ways_without[] = { &alone, &no_uffd };

	for (size_t i = 0; i < T_COUNT(ways_without); i++) {
		struct scene s = scene_open(4, ways_without[i]);
		struct pagemv_result res;
		int rc;

		/* Taken out, and nothing can be taken in: neither by a copy
		 * nor, without userfaultfd, by a store. */
		fake_refuse(FAKE_COPY, -ENOMEM);
		rc = scene_move_opts(&s, 0, PAGEMV_MECH_COPY, 0, &res);
		if (i == 0) {
			EXPECT_STOPPED(rc, &res, -ENOMEM,
				       PAGEMV_REASON_NO_MEMORY);
			expect_stopped_at(&s, rc, &res, 0);
			cr_expect(fake_count(FAKE_REMAP) == 2);
		} else {
			cr_expect(rc == 0);
		}
		fake_behave();
		scene_close(&s);
	}
}
