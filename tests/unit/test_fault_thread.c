/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How handler threads begin and end when the system does not give what they
 * need. What they serve: tests/live/test_handlers.c, test_events.c.
 */
#include <signal.h>

#include "event.h"
#include "fault.h"
#include "scene.h"

static int start(struct pagemv *pv, uint32_t threads,
		 struct pagemv_handlers **out)
{
	struct pagemv_handlers_opts opts = { .size = sizeof(opts),
					     .threads = threads };

	return pagemv_handlers_start(pv, &opts, out);
}

/* Real ones, as a played userfaultfd has no messages. */
static struct pagemv *need_faults(void)
{
	struct pagemv *pv;

	if (!fake_is_real())
		cr_skip("userfaultfd is played here");
	pv = scene_handle(NULL);
	if (!pmv_has(pv, PAGEMV_HAS_FAULTS))
		cr_skip("userfaultfd is played here");
	return pv;
}

Test(fault_thread, what_they_need_is_given_back)
{
	struct pagemv *pv = need_faults();
	struct pagemv_handlers *h[2];
	int fds;

	cr_assert(start(pv, 2, &h[0]) == 0);
	fds = fake_open_fds();
	cr_assert(start(pv, 3, &h[1]) == 0);
	cr_expect(fake_open_fds() == fds + 1, "the channels are shared");
	errno = 7;
	cr_expect(pagemv_handlers_stop(h[1]) == 0);
	cr_expect(errno == 7, "errno is kept");
	cr_expect(fake_open_fds() == fds);
	pagemv_close(pv);
	cr_expect(fake_open_fds() == 0, "close() ends the others");
}

Test(fault_thread, too_few_descriptors_are_told)
{
	static const struct {
		enum fake_call call;
		unsigned int nth;
		int error, rc;
	} cases[] = {
		{ FAKE_EVENTFD, 1, -EMFILE, -EMFILE },
		{ FAKE_EVENTFD, 2, -ENFILE, -ENFILE },
		{ FAKE_EVENTFD, 1, -ENOMEM, -ENOMEM },
		{ FAKE_UFFD_USER, 1, -EMFILE, -EMFILE },
		{ FAKE_UFFD_USER, 2, -ENFILE, -ENFILE },
		{ FAKE_UFFD_USER, 1, -ENOMEM, -ENOMEM },
		{ FAKE_UFFD_USER, 1, -EPERM, -EOPNOTSUPP },
		{ FAKE_API, 1, -EINVAL, -EOPNOTSUPP },
	};

	for (size_t i = 0; i < T_COUNT(cases); i++) {
		struct pagemv *pv = need_faults();
		struct pagemv_handlers *h = NULL;
		int rc;

		if (pv->caps.uffd_how != PAGEMV_UFFD_USER_MODE)
			cr_skip("userfaultfd is played here");
		fake_fail(cases[i].call, cases[i].nth, cases[i].error);
		rc = start(pv, 1, &h);
		cr_expect(rc == cases[i].rc, "%zu: %d", i, rc);
		cr_expect(!h, "untouched");
		cr_expect(start(pv, 1, &h) == 0, "it can be tried again");
		pagemv_close(pv);
		cr_expect(fake_open_fds() == 0);
		fake_behave();
	}
}

/* It takes a privilege, and a thread more. */
Test(fault_thread, only_regions_that_inherit_open_that_channel)
{
	struct pagemv *pv = need_faults();
	struct pagemv_handlers *h;

	cr_assert(start(pv, 1, &h) == 0);
	cr_expect(pmv_channel_fd(&pv->channels[PMV_CHANNEL_THREADS]) >= 0);
	cr_expect(pmv_channel_fd(&pv->channels[PMV_CHANNEL_EVENTS]) >= 0);
	cr_expect(pmv_channel_fd(&pv->channels[PMV_CHANNEL_INHERIT]) < 0);
	cr_expect(pagemv_handlers_stop(h) == 0);
	pagemv_close(pv);
}

Test(fault_thread, there_are_none_without_userfaultfd)
{
	struct pagemv_handlers *h;
	struct pagemv *pv;

	fake_refuse(FAKE_UFFD_USER, -ENOSYS);
	fake_refuse(FAKE_UFFD_FULL, -ENOSYS);
	fake_refuse(FAKE_OPEN, -ENOENT);
	pv = scene_handle(NULL);
	cr_expect(start(pv, 1, &h) == -EOPNOTSUPP);
	pagemv_close(pv);
}

/* Messages of a kernel that answers what it should not: no busy loop. */
Test(fault_thread, odd_answers_are_slept_over)
{
	struct pagemv *pv = need_faults();
	struct pagemv_handlers *h;
	unsigned int slept;

	fake_forget_counts();
	fake_add((struct fake_rule){
		.call = FAKE_POLL, .times = 3, .error = -ENOMEM });
	cr_assert(start(pv, 1, &h) == 0);
	for (int i = 0; i < 2000 && fake_count(FAKE_SLEEP) < 3; i++)
		t_sleep_ms(1);
	cr_expect(pagemv_handlers_stop(h) == 0);
	slept = fake_count(FAKE_SLEEP);
	cr_expect(slept == 3, "slept %u times", slept);
	pagemv_close(pv);
}

/* Whoever reads no messages has nothing to drain. */
Test(fault_thread, only_handlers_drain)
{
	struct pagemv *pv = need_faults();

	fake_forget_counts();
	cr_expect(!pmv_events_drain(pv));
	cr_expect(fake_total() == 0);
	pagemv_close(pv);
}
