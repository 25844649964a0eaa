/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sweep.h"

#include <math.h>

static struct pagemv_caps caps_of(struct pagemv *pv)
{
	struct pagemv_caps caps = { .size = sizeof(caps) };

	cr_assert(pagemv_caps(pv, &caps) == 0);
	return caps;
}

Test(calibrate, costs_are_measured_and_told)
{
	struct pagemv *pv = scene_handle(NULL);
	struct pagemv_caps caps;
	size_t mapped = fake_mapped_bytes();

	cr_assert(pagemv_calibrate(pv) == 0);
	caps = caps_of(pv);
	for (int m = PAGEMV_MECH_MOVE; m < PAGEMV_MECH_COUNT; m++) {
		cr_expect(caps.mech[m].calibrated == caps.mech[m].available);
		cr_expect(caps.mech[m].page_ns > 0 && caps.mech[m].call_ns > 0);
	}
	/* The staging range that copies went through is kept. */
	cr_expect(fake_mapped_bytes() <= mapped + (2u << 20));
	pagemv_close(pv);
	cr_expect(fake_mapped_bytes() == 0 && fake_open_fds() == 0);
}

Test(calibrate, it_can_be_asked_for_at_open)
{
	struct pagemv_open_opts opts = { .size = sizeof(opts),
					 .flags = PAGEMV_OPEN_CALIBRATE };
	struct pagemv *pv;

	cr_assert(pmv_open_with(&pv, &opts, &fake_sys) == 0);
	cr_expect(caps_of(pv).mech[PAGEMV_MECH_MOVE].calibrated);
	pagemv_close(pv);
}

/* A played move of the companion takes many times as long as a real one. */
Test(calibrate, auto_takes_the_companion_by_what_was_measured)
{
	static const struct way both = {
		"", 0, 0, 0, 0, PAGEMV_MECH_BIT(PAGEMV_MECH_COMPANION)
	};
	struct pagemv *pv = scene_handle(&both);
	struct pagemv_caps caps;
	size_t pages;

	cr_expect(pmv_companion_from(pv) == 0);
	cr_assert(pagemv_calibrate(pv) == 0);
	caps = caps_of(pv);
	cr_expect(caps.mech[PAGEMV_MECH_COMPANION].calibrated);
	pages = pmv_cheaper_from(
		&atomic_load(&pv->costs)->mech[PAGEMV_MECH_COMPANION],
		&atomic_load(&pv->costs)->mech[PAGEMV_MECH_MOVE]);
	cr_expect(pmv_companion_from(pv) ==
		  (pages == SIZE_MAX ? pages : t_pages(pages)));
	pagemv_close(pv);
}

Test(calibrate, it_can_be_repeated)
{
	struct pagemv *pv = scene_handle(NULL);

	for (int i = 0; i < 3; i++)
		cr_expect(pagemv_calibrate(pv) == 0);
	pagemv_close(pv);
	cr_expect(fake_mapped_bytes() == 0);
}

Test(calibrate, regions_and_pages_of_the_caller_are_not_touched)
{
	struct scene s = scene_open(8, NULL);
	struct pagemv_stats stats = { .size = sizeof(stats) };

	cr_expect(pagemv_calibrate(s.pv) == 0);
	EXPECT_RIGHT(t_check_range(s.src, 8, 1));
	EXPECT_RIGHT(t_check_absent(s.heap, 8));
	cr_assert(pagemv_stats(s.pv, &stats) == 0);
	cr_expect(stats.unexpected == 0);
	scene_close(&s);
}

Test(calibrate, mechanisms_that_are_not_there_keep_their_defaults)
{
	static const struct way ways_left[] = {
		{ "no move", 0, PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE), 0, 0, 0 },
		{ "no uffd", PAGEMV_OPEN_NO_UFFD, 0, 0, 0, 0 },
	};

	for (size_t i = 0; i < T_COUNT(ways_left); i++) {
		struct pagemv *pv = scene_handle(&ways_left[i]);
		struct pagemv_caps caps;

		cr_expect(pagemv_calibrate(pv) == 0);
		caps = caps_of(pv);
		cr_expect(caps.mech[PAGEMV_MECH_MOVE].call_ns ==
			  pmv_default_costs.mech[PAGEMV_MECH_MOVE].call_ns);
		pagemv_close(pv);
	}
}

Test(calibrate, errors_leave_the_costs)
{
	struct pagemv *pv = scene_handle(NULL);
	size_t mapped = fake_mapped_bytes();

	cr_expect(pagemv_calibrate(NULL) == -EINVAL);
	for (unsigned int nth = 1; nth < 3; nth++) {
		fake_fail(FAKE_MMAP, nth, -ENOMEM);
		pagemv_calibrate(pv);
		fake_behave();
	}
	fake_refuse(FAKE_MMAP, -ENOMEM);
	cr_expect(pagemv_calibrate(pv) == -ENOMEM);
	fake_behave();
	fake_refuse(FAKE_REGISTER, -EPERM);
	cr_expect(pagemv_calibrate(pv) == -EIO, "not documented: -EPERM");
	fake_behave();
	cr_expect(fake_mapped_bytes() <= mapped + (2u << 20));
	pagemv_close(pv);
	cr_expect(fake_mapped_bytes() == 0);
}

Test(calibrate, a_mechanism_that_stops_working_is_left_at_its_default)
{
	static const enum fake_call calls[] = { FAKE_MOVE, FAKE_MREMAP,
						FAKE_COPY };

	for (size_t i = 0; i < T_COUNT(calls); i++) {
		struct pagemv *pv = scene_handle(NULL);
		struct pagemv_caps caps;

		fake_add((struct fake_rule){ .call = calls[i],
					     .nth = 5,
					     .times = FAKE_EVER,
					     .error = -ENOMEM });
		cr_expect(pagemv_calibrate(pv) == 0, "%s",
			  fake_call_name(calls[i]));
		fake_behave();
		caps = caps_of(pv);
		for (int m = PAGEMV_MECH_MOVE; m < PAGEMV_MECH_COUNT; m++)
			cr_expect(isfinite(caps.mech[m].call_ns) &&
				  isfinite(caps.mech[m].page_ns) &&
				  caps.mech[m].page_ns > 0);
		pagemv_close(pv);
	}
}
