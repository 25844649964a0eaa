/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "uffd.h"

#include "scene.h"

#include <fcntl.h>

#define ONE ((int64_t)t_page())

/* Scripts one answer and gives it to MOVE or COPY of four pages. */
static struct pmv_step answer(enum fake_call call, int error, bool tell,
			      int64_t told)
{
	fake_behave();
	fake_add((struct fake_rule){ .call = call,
				     .error = error,
				     .lie = error == 0,
				     .tell = tell,
				     .told = told });
	return (call == FAKE_MOVE ? pmv_uffd_move : pmv_uffd_copy)(
		&fake_sys, -1, 0x10000, 0x20000, t_pages(4));
}

static void expect_step(enum fake_call call, int error, bool tell, int64_t told,
			size_t done)
{
	struct pmv_step step = answer(call, error, tell, told);

	cr_expect(step.done == done && step.error == error && !step.holes,
		  "%s: error %d, told %ld: done %zu, error %d",
		  fake_call_name(call), error, tell ? (long)told : 0L,
		  step.done, step.error);
}

static void expect_all_encodings(enum fake_call call)
{
	expect_step(call, 0, true, 4 * ONE, t_pages(4));
	expect_step(call, -EAGAIN, true, ONE, t_page());
	expect_step(call, -EAGAIN, true, 3 * ONE, t_pages(3));
	expect_step(call, -EEXIST, true, -EEXIST, 0);
	expect_step(call, -EBUSY, true, -EBUSY, 0);
}

Test(uffd, all_three_encodings_of_progress_are_understood)
{
	expect_all_encodings(FAKE_MOVE);
	expect_all_encodings(FAKE_COPY);
}

Test(uffd, a_count_beyond_the_request_is_clamped)
{
	expect_step(FAKE_MOVE, -EAGAIN, true, 9 * ONE, t_pages(4));
	expect_step(FAKE_MOVE, -EAGAIN, true, INT64_MAX, t_pages(4));
	expect_step(FAKE_COPY, -EAGAIN, true, 9 * ONE, t_pages(4));
}

Test(uffd, a_negative_count_is_no_progress)
{
	expect_step(FAKE_MOVE, -EAGAIN, true, -EAGAIN, 0);
	expect_step(FAKE_MOVE, -EAGAIN, true, INT64_MIN, 0);
	expect_step(FAKE_COPY, -EAGAIN, true, -EAGAIN, 0);
}

Test(uffd, an_untouched_count_is_no_progress)
{
	expect_step(FAKE_MOVE, -EAGAIN, false, 0, 0);
	expect_step(FAKE_COPY, -EAGAIN, false, 0, 0);
	expect_step(FAKE_MOVE, -EINVAL, false, 0, 0);
}

Test(uffd, a_count_beside_a_real_error_is_not_believed)
{
	expect_step(FAKE_MOVE, -EEXIST, true, 2 * ONE, 0);
	expect_step(FAKE_COPY, -ENOMEM, true, 2 * ONE, 0);
}

Test(uffd, success_is_all_whatever_was_counted)
{
	expect_step(FAKE_MOVE, 0, false, 0, t_pages(4));
	expect_step(FAKE_COPY, 0, true, ONE, t_pages(4));
}

Test(uffd, each_way_of_opening_asks_the_kernel_its_own_way)
{
	int fd;

	fd = pmv_uffd_open(&fake_sys, PAGEMV_UFFD_USER_MODE, -1);
	cr_expect(fake_count(FAKE_UFFD_USER) == 1);
	if (fd >= 0)
		fake_sys.close(fd);
	fd = pmv_uffd_open(&fake_sys, PAGEMV_UFFD_SYSCALL, -1);
	cr_expect(fake_count(FAKE_UFFD_FULL) == 1);
	if (fd >= 0)
		fake_sys.close(fd);
	fake_add((struct fake_rule){ .call = FAKE_OPEN,
				     .path = "/dev/userfaultfd",
				     .error = -EACCES });
	cr_expect(pmv_uffd_open(&fake_sys, PAGEMV_UFFD_DEVICE, -1) == -EACCES);
	cr_expect(fake_count(FAKE_NEW) == 0);
	cr_expect(pmv_uffd_open(&fake_sys, 99, -1) == -EINVAL);
	cr_expect(fake_open_fds() == 0);
}

Test(uffd, the_device_is_closed_whatever_it_answers)
{
	fake_file("/dev/userfaultfd", "", 1);
	fake_fail(FAKE_NEW, 1, -EPERM);
	cr_expect(pmv_uffd_open(&fake_sys, PAGEMV_UFFD_DEVICE, -1) == -EPERM);
	cr_expect(fake_open_fds() == 0);
}

Test(uffd, a_device_of_the_callers_stays_open)
{
	int dev = fake_sys.open("/dev/null", O_RDWR);

	fake_fail(FAKE_NEW, 1, -EPERM);
	cr_expect(pmv_uffd_open(&fake_sys, PAGEMV_UFFD_DEVICE, dev) == -EPERM);
	cr_expect(fake_open_fds() == 1);
	cr_expect(fake_sys.close(dev) == 0);
}

Test(uffd, errors_of_the_small_calls_are_passed_on)
{
	uint64_t bits = 77;

	fake_refuse(FAKE_API, -EINVAL);
	fake_refuse(FAKE_REGISTER, -EBUSY);
	fake_refuse(FAKE_UNREGISTER, -ENOMEM);
	fake_refuse(FAKE_WAKE, -ESRCH);
	cr_expect(pmv_uffd_api(&fake_sys, -1, &bits) == -EINVAL);
	cr_expect(pmv_uffd_register(&fake_sys, -1, 0, 1, &bits) == -EBUSY);
	cr_expect(bits == 77, "untouched on error");
	cr_expect(pmv_uffd_unregister(&fake_sys, -1, 0, 1) == -ENOMEM);
	cr_expect(pmv_uffd_wake(&fake_sys, -1, 0, 1) == -ESRCH);
}

Test(uffd, a_registration_that_cannot_be_given_up_is_made_quiet_again)
{
	struct scene s = scene_open(4, NULL);
	struct pagemv_result res;
	bool fixed;
	int rc;

	fake_fail(FAKE_UNREGISTER, 1, -ENOMEM);
	rc = pmv_uffd_detach(&fake_sys, s.pv->uffd, (uintptr_t)s.heap,
			     t_pages(4));
	/* From 7.3 on the kernel refuses to change the mode; nothing is lost
	 * then but time. */
	fixed = rc == -EBUSY;
	cr_expect(rc == -ENOMEM || fixed, "%d", rc);
	cr_expect(fake_count(FAKE_REGISTER) == (fixed ? 1 : 2));
	cr_expect(fake_count(FAKE_UNREGISTER) == (fixed ? 0 : 1));
	/* Touching it must not wait for an answer that nobody gives. */
	memset(s.heap, 1, t_page());
	t_drop(s.heap, 1);
	cr_expect(scene_move(&s, 0, &res) == 0);
	scene_close(&s);
}

Test(uffd, move_and_copy_are_found_among_the_ioctls)
{
	cr_expect(pmv_uffd_has_move(1ull << 5));
	cr_expect(!pmv_uffd_has_move(~(1ull << 5)));
	cr_expect(pmv_uffd_has_copy(1ull << 3));
	cr_expect(!pmv_uffd_has_copy(~(1ull << 3)));
	cr_expect(!pmv_uffd_has_move(0) && !pmv_uffd_has_copy(0));
}
