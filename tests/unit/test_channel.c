/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "channel.h"

#include <fcntl.h>

#include "scene.h"
#include "slow.h"
#include "uffd.h"

#define EVENTS \
	(PMV_UFFD_EVENT_REMAP | PMV_UFFD_EVENT_REMOVE | PMV_UFFD_EVENT_UNMAP)
#define ASYNC (PMV_UFFD_WP_UNPOPULATED | PMV_UFFD_WP_ASYNC)

static const uint64_t needs[PMV_CHANNELS] = {
	[PMV_CHANNEL_SIGNAL] = PMV_UFFD_SIGBUS,
	[PMV_CHANNEL_THREADS] = PMV_UFFD_THREAD_ID,
	[PMV_CHANNEL_EVENTS] = PMV_UFFD_THREAD_ID | EVENTS,
	[PMV_CHANNEL_INHERIT] = PMV_UFFD_THREAD_ID | EVENTS |
				PMV_UFFD_EVENT_FORK,
};

static void expect_refused(struct pagemv *pv, enum pmv_channel_kind kind,
			   enum pagemv_reason want, int want_error)
{
	int error = 1, fds = fake_open_fds();
	enum pagemv_reason why = pmv_channel_open(pv, kind, &error);

	cr_expect(why == want, "%s", pagemv_reason_string(why));
	cr_expect(error == want_error, "%d, not %d", error, want_error);
	cr_expect(pmv_channel_fd(&pv->channels[kind]) == -1);
	cr_expect(fake_open_fds() == fds, "nothing stays open");
}

Test(channel, each_kind_has_a_descriptor_of_its_own)
{
	struct pagemv *pv = scene_handle(NULL);
	uint64_t async = pmv_has(pv, PAGEMV_HAS_ASYNC_WP) ? ASYNC : 0;
	int fds = fake_open_fds();

	for (int kind = 0; kind < PMV_CHANNELS; kind++) {
		struct pmv_channel *c = &pv->channels[kind];
		int error = 1;

		cr_expect(pmv_channel_fd(c) == -1, "not before it is needed");
		if (kind == PMV_CHANNEL_INHERIT &&
		    pmv_channel_open(pv, kind, &error) ==
			    PAGEMV_REASON_NOT_PERMITTED)
			continue; /* an ordinary user */
		cr_assert(pmv_channel_open(pv, kind, &error) == 0);
		cr_expect(error == 0 && fake_open_fds() == ++fds);
		cr_expect(c->features == (needs[kind] | async), "%llx",
			  (unsigned long long)c->features);
		cr_assert(pmv_channel_open(pv, kind, &error) == 0);
		cr_expect(fake_open_fds() == fds, "once");
	}
	pagemv_close(pv);
	cr_expect(fake_open_fds() == 0);
}

Test(channel, what_the_kernel_does_not_have_is_not_asked_for)
{
	struct pagemv *pv = scene_handle(NULL);
	uint64_t has = pv->caps.uffd_features;

	for (int kind = 0; kind < PMV_CHANNELS; kind++)
		for (uint64_t bit = 1; bit <= needs[kind]; bit <<= 1) {
			if (!(bit & needs[kind]))
				continue;
			pv->caps.uffd_features = has & ~bit;
			fake_forget_counts();
			expect_refused(pv, (enum pmv_channel_kind)kind,
				       PAGEMV_REASON_NOT_IN_KERNEL, 0);
			cr_expect(fake_total() == 0);
		}
	pagemv_close(pv);
}

/* Without PAGEMAP_SCAN nothing tells which pages were stored to. */
Test(channel, write_protection_is_asynchronous_only_where_all_of_it_is_there)
{
	struct pagemv *pv = scene_handle(NULL);
	int error;

	pv->facilities &= ~PAGEMV_HAS_ASYNC_WP;
	cr_assert(pmv_channel_open(pv, PMV_CHANNEL_SIGNAL, &error) == 0);
	cr_expect(pv->channels[PMV_CHANNEL_SIGNAL].features == PMV_UFFD_SIGBUS);
	pagemv_close(pv);
}

Test(channel, answers_of_the_kernel_are_named)
{
	static const struct {
		enum fake_call call;
		int answer;
		enum pagemv_reason reason;
	} cases[] = {
		{ FAKE_API, -EPERM, PAGEMV_REASON_NOT_PERMITTED },
		{ FAKE_API, -EINVAL, PAGEMV_REASON_NOT_IN_KERNEL },
		{ FAKE_UFFD_USER, -EPERM, PAGEMV_REASON_NOT_PERMITTED },
		{ FAKE_UFFD_USER, -ENOSYS, PAGEMV_REASON_NOT_IN_KERNEL },
		{ FAKE_UFFD_USER, -EMFILE, PAGEMV_REASON_NO_MEMORY },
		{ FAKE_UFFD_USER, -ENFILE, PAGEMV_REASON_NO_MEMORY },
		{ FAKE_UFFD_USER, -ENOMEM, PAGEMV_REASON_NO_MEMORY },
	};
	struct pagemv *pv = scene_handle(NULL);
	int error;

	cr_assert(pv->caps.uffd_how == PAGEMV_UFFD_USER_MODE);
	for (size_t i = 0; i < T_COUNT(cases); i++) {
		fake_refuse(cases[i].call, cases[i].answer);
		expect_refused(pv, PMV_CHANNEL_THREADS, cases[i].reason,
			       cases[i].answer);
		fake_behave();
	}
	cr_expect(pmv_channel_open(pv, PMV_CHANNEL_THREADS, &error) == 0);
	pagemv_close(pv);
}

Test(channel, without_userfaultfd_there_is_none)
{
	static const struct way no_uffd = {
		"", PAGEMV_OPEN_NO_UFFD, 0, 0, 0, 0
	};
	struct pagemv *pv = scene_handle(&no_uffd);

	expect_refused(pv, PMV_CHANNEL_SIGNAL, PAGEMV_REASON_DISABLED, 0);
	pagemv_close(pv);
	fake_refuse(FAKE_UFFD_USER, -EPERM);
	fake_refuse(FAKE_UFFD_FULL, -EPERM);
	fake_refuse(FAKE_NEW, -EPERM);
	pv = scene_handle(NULL);
	expect_refused(pv, PMV_CHANNEL_SIGNAL, PAGEMV_REASON_FILTERED, -EPERM);
	pagemv_close(pv);
}

/* A sandbox that lets only the device through does so for all. */
Test(channel, it_is_opened_as_the_handles_own_was)
{
	struct pagemv *pv;
	int error;

	fake_refuse(FAKE_UFFD_USER, -EPERM);
	fake_refuse(FAKE_NEW, -EPERM);
	pv = scene_handle(NULL);
	if (pv->caps.uffd_how == PAGEMV_UFFD_SYSCALL) {
		fake_forget_counts();
		cr_expect(pmv_channel_open(pv, PMV_CHANNEL_SIGNAL, &error) ==
			  0);
		cr_expect(fake_count(FAKE_UFFD_FULL) == 1);
		cr_expect(fake_count(FAKE_UFFD_USER) == 0);
	}
	pagemv_close(pv);
}

Test(channel, the_callers_device_may_be_closed_after_opening)
{
	struct pagemv_open_opts opts = { .size = sizeof(opts),
					 .flags = PAGEMV_OPEN_DEV_FD };
	struct pagemv *pv;
	int error, rc;

	fake_refuse(FAKE_UFFD_USER, -EPERM);
	opts.dev_fd = fake_sys.open("/dev/userfaultfd", O_RDWR);
	if (opts.dev_fd < 0)
		return; /* an ordinary user */
	rc = pmv_open_with(&pv, &opts, &fake_sys);
	cr_assert(rc == 0 && pv->caps.uffd_how == PAGEMV_UFFD_DEVICE);
	cr_expect(pmv_channel_open(pv, PMV_CHANNEL_SIGNAL, &error) == 0);
	cr_expect(fake_count(FAKE_OPEN) > 0);
	fake_sys.close(opts.dev_fd);
	fake_forget_counts();
	cr_expect(pmv_channel_open(pv, PMV_CHANNEL_THREADS, &error) == 0, "%d",
		  error);
	cr_expect(!fake_is_real() || fake_count(FAKE_OPEN) == 1);
	pagemv_close(pv);
	cr_expect(fake_open_fds() == 0);
}
