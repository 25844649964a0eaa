/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is made of each way in which a kernel or a sandbox can lack something.
 */
#include "kernel.h"

#include "scene.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOVE  PAGEMV_MECH_MOVE
#define REMAP PAGEMV_MECH_REMAP
#define COPY  PAGEMV_MECH_COPY

static struct pagemv_caps caps_of(struct pagemv *pv)
{
	struct pagemv_caps caps = { .size = sizeof(caps) };

	cr_assert(pagemv_caps(pv, &caps) == 0);
	return caps;
}

/* Opens, asks, closes. */
static struct pagemv_caps probe(const struct pagemv_open_opts *opts)
{
	struct pagemv_caps caps;
	struct pagemv *pv;

	cr_assert(pmv_open_with(&pv, opts, &fake_sys) == 0);
	caps = caps_of(pv);
	pagemv_close(pv);
	cr_expect(fake_open_fds() == 0, "%d descriptors left", fake_open_fds());
	cr_expect(fake_mapped_bytes() == 0);
	return caps;
}

static void expect_lacking(const struct pagemv_caps *caps,
			   enum pagemv_mechanism m, enum pagemv_reason reason,
			   int error)
{
	cr_expect(!caps->mech[m].available, "%s is available",
		  pagemv_mechanism_name(m));
	cr_expect(caps->mech[m].reason == reason, "%s: %s",
		  pagemv_mechanism_name(m),
		  pagemv_reason_string(caps->mech[m].reason));
	cr_expect(caps->mech[m].error == error, "%s: %d, not %d",
		  pagemv_mechanism_name(m), caps->mech[m].error, error);
}

static void refuse_device(int error)
{
	fake_add((struct fake_rule){ .call = FAKE_OPEN,
				     .error = error,
				     .path = "/dev/userfaultfd",
				     .times = FAKE_EVER });
}

Test(kernel, here_everything_is_found)
{
	struct pagemv_caps caps = probe(NULL);

	for (int m = MOVE; m <= COPY; m++)
		cr_expect(caps.mech[m].available, "%s: %s",
			  pagemv_mechanism_name((enum pagemv_mechanism)m),
			  pagemv_reason_string(caps.mech[m].reason));
	cr_expect(caps.facilities & PAGEMV_HAS_UFFD);
	cr_expect(caps.facilities & PAGEMV_HAS_QUIET);
	cr_expect(caps.facilities & PAGEMV_HAS_PIN_CHECK);
}

Test(kernel, the_most_modest_way_of_opening_is_taken_first)
{
	struct pagemv_caps caps = probe(NULL);

	cr_expect(caps.uffd_how == PAGEMV_UFFD_USER_MODE);
	cr_expect(caps.uffd_errors[PAGEMV_UFFD_USER_MODE] == 0);
	cr_expect(caps.uffd_errors[PAGEMV_UFFD_DEVICE] == 1);
	cr_expect(caps.uffd_errors[PAGEMV_UFFD_SYSCALL] == 1);
}

/* The plain call wants CAP_SYS_PTRACE, or the sysctl. */
static void need_plain_call(void)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0 && errno == EPERM && fake_is_real())
		cr_skip("the plain userfaultfd() is not permitted");
	if (fd >= 0)
		close(fd);
}

static const int refusals[] = { -EPERM, -ENOSYS, -EACCES, -ENOENT, -EINVAL };

Test(kernel, from_any_refusal_the_next_way_is_tried)
{
	need_plain_call();
	for (size_t i = 0; i < T_COUNT(refusals); i++) {
		struct pagemv_caps caps;

		fake_refuse(FAKE_UFFD_USER, refusals[i]);
		refuse_device(refusals[i]);
		caps = probe(NULL);
		cr_expect(caps.uffd_how == PAGEMV_UFFD_SYSCALL,
			  "refused with %d", refusals[i]);
		cr_expect(caps.uffd_errors[PAGEMV_UFFD_USER_MODE] ==
			  refusals[i]);
		cr_expect(caps.uffd_errors[PAGEMV_UFFD_DEVICE] == refusals[i]);
		cr_expect(caps.mech[MOVE].available);
		fake_behave();
	}
}

Test(kernel, a_handshake_that_fails_is_a_way_that_fails)
{
	struct pagemv_caps caps;

	need_plain_call();
	fake_fail(FAKE_API, 1, -EINVAL);
	refuse_device(-ENOENT);
	caps = probe(NULL);
	cr_expect(caps.uffd_errors[PAGEMV_UFFD_USER_MODE] == -EINVAL);
	cr_expect(caps.uffd_how == PAGEMV_UFFD_SYSCALL);
	fake_behave();
	fake_refuse(FAKE_API, -EINVAL);
	caps = probe(NULL);
	cr_expect(caps.uffd_how == PAGEMV_UFFD_NONE);
	cr_expect(!(caps.facilities & PAGEMV_HAS_UFFD));
}

static void expect_all_refused(int user, int device, int full,
			       enum pagemv_reason reason, int error)
{
	struct pagemv_caps caps;

	fake_refuse(FAKE_UFFD_USER, user);
	refuse_device(device);
	fake_refuse(FAKE_UFFD_FULL, full);
	caps = probe(NULL);
	cr_expect(caps.uffd_how == PAGEMV_UFFD_NONE);
	cr_expect(!(caps.facilities & (PAGEMV_HAS_UFFD | PAGEMV_HAS_QUIET |
				       PAGEMV_HAS_PIN_CHECK)));
	expect_lacking(&caps, MOVE, reason, error);
	cr_expect(caps.mech[COPY].available && caps.mech[REMAP].available);
	fake_behave();
}

Test(kernel, a_kernel_without_userfaultfd_is_told_from_a_filter)
{
	/* No CONFIG_USERFAULTFD. */
	expect_all_refused(-ENOSYS, -ENOENT, -ENOSYS,
			   PAGEMV_REASON_NOT_IN_KERNEL, -ENOSYS);
	/* Before 5.11, unprivileged. */
	expect_all_refused(-EINVAL, -ENOENT, -EPERM,
			   PAGEMV_REASON_NOT_PERMITTED, -EPERM);
	/* Docker: EPERM for what everybody may. */
	expect_all_refused(-EPERM, -ENOENT, -EPERM, PAGEMV_REASON_FILTERED,
			   -EPERM);
	/* ENOSYS beside a device that is there. */
	expect_all_refused(-ENOSYS, -EACCES, -ENOSYS, PAGEMV_REASON_FILTERED,
			   -ENOSYS);
}

Test(kernel, pages_move_without_userfaultfd)
{
	struct pagemv_result res;
	struct scene s;

	fake_refuse(FAKE_UFFD_USER, -EPERM);
	fake_refuse(FAKE_UFFD_FULL, -EPERM);
	refuse_device(-EACCES);
	s = scene_open(4, NULL);
	cr_expect(scene_move(&s, 0, &res) == 0);
	cr_expect(res.copied_bytes == t_pages(4));
	EXPECT_RIGHT(t_check_range(s.heap, 4, 1));
	fake_behave();
	scene_close(&s);
}

static void expect_no_descriptors(int error)
{
	struct pagemv *pv = NULL;

	for (int kind = 0; kind < 3; kind++) {
		fake_refuse(FAKE_UFFD_USER, error);
		fake_refuse(FAKE_UFFD_FULL, error);
		if (kind == 0)
			fake_refuse(FAKE_OPEN, error);
		else if (kind == 1)
			refuse_device(error);
		else
			fake_refuse(FAKE_NEW, error);
		cr_expect(pmv_open_with(&pv, NULL, &fake_sys) == error,
			  "case %d", kind);
		cr_expect(pv == NULL);
		cr_expect(fake_open_fds() == 0 && fake_mapped_bytes() == 0);
		fake_behave();
	}
}

Test(kernel, no_descriptor_left_is_an_error_of_open)
{
	expect_no_descriptors(-EMFILE);
	expect_no_descriptors(-ENFILE);
}

Test(kernel, userfaultfd_is_left_alone_on_request)
{
	struct pagemv_open_opts opts = { .size = sizeof(opts),
					 .flags = PAGEMV_OPEN_NO_UFFD };
	struct pagemv_caps caps = probe(&opts);

	cr_expect(fake_count(FAKE_UFFD_USER) + fake_count(FAKE_UFFD_FULL) == 0);
	for (int how = 1; how < PAGEMV_UFFD_HOW_COUNT; how++)
		cr_expect(caps.uffd_errors[how] == 1);
	expect_lacking(&caps, MOVE, PAGEMV_REASON_DISABLED, 0);
	cr_expect(caps.mech[COPY].available);
}

Test(kernel, a_device_given_by_the_caller_is_used_first)
{
	int dev = fake_sys.open("/dev/userfaultfd", O_RDWR);
	struct pagemv_open_opts opts = { .size = sizeof(opts),
					 .flags = PAGEMV_OPEN_DEV_FD,
					 .dev_fd = dev };
	struct pagemv_caps caps;
	struct pagemv *pv;

	if (dev < 0)
		cr_skip("no /dev/userfaultfd, or not permitted");
	cr_assert(pmv_open_with(&pv, &opts, &fake_sys) == 0);
	caps = caps_of(pv);
	cr_expect(caps.uffd_how == PAGEMV_UFFD_DEVICE);
	cr_expect(fake_count(FAKE_UFFD_USER) == 0);
	pagemv_close(pv);
	cr_expect(fake_open_fds() == 1, "the device stays the caller's");
	fake_sys.close(dev);
}

Test(kernel, an_unsuitable_device_is_no_obstacle)
{
	int dev = fake_sys.open("/dev/null", O_RDWR);
	struct pagemv_open_opts opts = { .size = sizeof(opts),
					 .flags = PAGEMV_OPEN_DEV_FD,
					 .dev_fd = dev };
	struct pagemv_caps caps;
	struct pagemv *pv;

	/* Unprivileged: only USER_MODE_ONLY is open to it. */
	fake_refuse(FAKE_NEW, -ENOTTY);
	fake_refuse(FAKE_UFFD_FULL, -EPERM);
	cr_assert(pmv_open_with(&pv, &opts, &fake_sys) == 0);
	caps = caps_of(pv);
	cr_expect(caps.uffd_how == PAGEMV_UFFD_USER_MODE, "how %u",
		  caps.uffd_how);
	cr_expect(caps.mech[MOVE].available);
	pagemv_close(pv);
	cr_expect(fake_open_fds() == 1);
	fake_sys.close(dev);
}

/* ---- MOVE ---- */

static void expect_move_lost(int answer, enum pagemv_reason reason)
{
	struct pagemv_caps caps;

	fake_refuse(FAKE_MOVE, answer);
	caps = probe(NULL);
	expect_lacking(&caps, MOVE, reason, answer);
	cr_expect(caps.facilities & PAGEMV_HAS_QUIET);
	cr_expect(!(caps.facilities & PAGEMV_HAS_PIN_CHECK));
	cr_expect(caps.mech[COPY].available);
	fake_behave();
}

Test(kernel, a_filter_that_refuses_move_is_noticed)
{
	expect_move_lost(-EPERM, PAGEMV_REASON_FILTERED);
	expect_move_lost(-ENOSYS, PAGEMV_REASON_FILTERED);
	expect_move_lost(-EACCES, PAGEMV_REASON_FILTERED);
	expect_move_lost(-EINVAL, PAGEMV_REASON_UNEXPECTED);
	expect_move_lost(-ENOMEM, PAGEMV_REASON_UNEXPECTED);
	expect_move_lost(-EAGAIN, PAGEMV_REASON_UNEXPECTED);
}

Test(kernel, a_move_that_lies_is_not_used)
{
	struct pagemv_caps caps;

	fake_add((struct fake_rule){
		.call = FAKE_MOVE, .lie = true, .times = FAKE_EVER });
	caps = probe(NULL);
	cr_expect(!caps.mech[MOVE].available);
	cr_expect(caps.mech[MOVE].reason == PAGEMV_REASON_UNEXPECTED);
}

/* How many MOVE calls an undisturbed opening makes. */
static unsigned int moves_of_opening(void)
{
	fake_forget_counts();
	probe(NULL);
	return fake_count(FAKE_MOVE);
}

Test(kernel, a_passing_eagain_does_not_cost_the_mechanism)
{
	unsigned int n = moves_of_opening();

	cr_assert(n > 0);
	for (unsigned int i = 1; i <= n; i++) {
		struct pagemv_caps caps;

		fake_fail(FAKE_MOVE, i, -EAGAIN);
		caps = probe(NULL);
		cr_expect(caps.mech[MOVE].available, "at call %u", i);
		fake_behave();
	}
}

Test(kernel, a_miscount_does_not_cost_the_mechanism)
{
	unsigned int n = moves_of_opening();

	for (unsigned int i = 1; i <= n; i++) {
		struct pagemv_caps caps;

		fake_add((struct fake_rule){ .call = FAKE_MOVE,
					     .nth = i,
					     .error = -EEXIST,
					     .really = FAKE_ALL,
					     .tell = true,
					     .told = -EEXIST });
		caps = probe(NULL);
		cr_expect(caps.mech[MOVE].available, "at call %u", i);
		fake_behave();
	}
}

static int set_ioctls(int fd, unsigned long request, void *arg);
static uint64_t ioctls_kept;

Test(kernel, a_kernel_before_6_8_has_no_move)
{
	struct pmv_sys old = fake_sys;
	struct pagemv_caps caps;
	struct pagemv *pv;

	ioctls_kept = ~(1ull << 5);
	old.ioctl = set_ioctls;
	cr_assert(pmv_open_with(&pv, NULL, &old) == 0);
	caps = caps_of(pv);
	expect_lacking(&caps, MOVE, PAGEMV_REASON_NOT_IN_KERNEL, 0);
	cr_expect(caps.facilities & PAGEMV_HAS_QUIET);
	cr_expect(caps.mech[COPY].available);
	cr_expect(fake_count(FAKE_MOVE) == 0);
	pagemv_close(pv);
}

Test(kernel, without_write_protection_there_are_no_quiet_regions)
{
	struct pmv_sys old = fake_sys;
	struct pagemv_caps caps;
	struct pagemv *pv;

	/* Registers, but neither MOVE nor COPY. */
	ioctls_kept = 0;
	old.ioctl = set_ioctls;
	cr_assert(pmv_open_with(&pv, NULL, &old) == 0);
	caps = caps_of(pv);
	expect_lacking(&caps, MOVE, PAGEMV_REASON_NOT_IN_KERNEL, 0);
	cr_expect(!(caps.facilities & PAGEMV_HAS_QUIET));
	pagemv_close(pv);
	/* Does not register: before 5.7. */
	fake_refuse(FAKE_REGISTER, -EINVAL);
	caps = probe(NULL);
	expect_lacking(&caps, MOVE, PAGEMV_REASON_NOT_IN_KERNEL, -EINVAL);
	cr_expect(!(caps.facilities & PAGEMV_HAS_QUIET));
	cr_expect(caps.mech[COPY].available);
}

/* The last member of struct uffdio_register says what works there. */
static int set_ioctls(int fd, unsigned long request, void *arg)
{
	unsigned int before = fake_count(FAKE_REGISTER);
	int rc = fake_sys.ioctl(fd, request, arg);

	if (fake_count(FAKE_REGISTER) != before)
		((uint64_t *)arg)[3] &= ioctls_kept;
	return rc;
}

/* ---- mremap and copy ---- */

Test(kernel, without_mremap_the_others_work)
{
	struct pagemv_caps caps;

	fake_refuse(FAKE_MREMAP, -EPERM);
	caps = probe(NULL);
	expect_lacking(&caps, REMAP, PAGEMV_REASON_NOT_PERMITTED, -EPERM);
	cr_expect(caps.mech[MOVE].available && caps.mech[COPY].available);
	fake_behave();
	fake_refuse(FAKE_MREMAP, -EINVAL);
	caps = probe(NULL);
	expect_lacking(&caps, REMAP, PAGEMV_REASON_NOT_IN_KERNEL, -EINVAL);
}

Test(kernel, an_mremap_that_lies_is_not_used)
{
	struct pagemv_caps caps;

	fake_add((struct fake_rule){
		.call = FAKE_MREMAP, .lie = true, .times = FAKE_EVER });
	caps = probe(NULL);
	expect_lacking(&caps, REMAP, PAGEMV_REASON_UNEXPECTED, 0);
}

Test(kernel, where_nothing_detaches_only_quiescent_pages_are_copied)
{
	static const struct way no_move = {
		"no move", 0, PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE), 0, 0, 0
	};
	struct pagemv_result res;
	struct scene s;
	int rc;

	fake_refuse(FAKE_MREMAP, -EINVAL);
	s = scene_open(4, &no_move);
	rc = scene_move(&s, 0, &res);
	cr_expect(rc == -EOPNOTSUPP, "%d", rc);
	EXPECT_SANE(rc, &res, t_pages(4));
	EXPECT_RIGHT(t_check_range(s.src, 4, 1));
	rc = scene_move(&s, PAGEMV_MOVE_QUIESCENT, &res);
	cr_expect(rc == 0);
	EXPECT_RIGHT(t_check_range(s.heap, 4, 1));
	fake_behave();
	scene_close(&s);
}

Test(kernel, disabled_mechanisms_are_not_used)
{
	for (uint32_t disabled = 0; disabled < 16; disabled += 2) {
		struct pagemv_open_opts opts = { .size = sizeof(opts),
						 .disabled = disabled };
		struct pagemv_caps caps = probe(&opts);

		for (int m = MOVE; m <= COPY; m++) {
			if (!(disabled & PAGEMV_MECH_BIT(m))) {
				cr_expect(caps.mech[m].available);
				continue;
			}
			expect_lacking(&caps, (enum pagemv_mechanism)m,
				       PAGEMV_REASON_DISABLED, 0);
		}
	}
}

/* ---- quirks ---- */

#define SWAPS "Filename Type Size Used Priority\n"

static bool moves_with_swaps(const char *release, const char *swaps)
{
	struct pagemv_caps caps;

	fake_release(release);
	if (swaps)
		fake_file("/proc/swaps", swaps, 1000);
	caps = probe(NULL);
	fake_behave();
	cr_expect(caps.mech[MOVE].available ||
		  caps.mech[MOVE].reason == PAGEMV_REASON_KNOWN_BAD);
	return caps.mech[MOVE].available;
}

Test(kernel, kernels_that_are_bad_with_swap_do_not_move_with_swap_on)
{
	cr_expect(moves_with_swaps("6.14.2", SWAPS));
	cr_expect(!moves_with_swaps("6.14.2", SWAPS "/dev/sda2 x 1 0 -2\n"));
	cr_expect(moves_with_swaps("6.18.44", SWAPS "/dev/sda2 x 1 0 -2\n"));
}

static bool moves_when_swaps_fails(struct fake_rule rule)
{
	struct pagemv_caps caps;

	fake_release("6.14.2");
	rule.times = FAKE_EVER;
	fake_add(rule);
	caps = probe(NULL);
	fake_behave();
	return caps.mech[MOVE].available;
}

Test(kernel, where_swap_cannot_be_told_such_kernels_do_not_move)
{
	static const char swaps[] = "/proc/swaps";

	/* Not configured: then there is none. */
	cr_expect(moves_when_swaps_fails((struct fake_rule){
		.call = FAKE_OPEN, .path = swaps, .error = -ENOENT }));
	cr_expect(!moves_when_swaps_fails((struct fake_rule){
		.call = FAKE_OPEN, .path = swaps, .error = -EACCES }));
	cr_expect(!moves_when_swaps_fails(
		(struct fake_rule){ .call = FAKE_READ, .error = -EIO }));
	/* No /proc at all says nothing of swap. */
	cr_expect(!moves_when_swaps_fails((struct fake_rule){
		.call = FAKE_OPEN, .path = "/proc/", .error = -ENOENT }));
}

Test(kernel, trusted_quirks_are_taken_as_absent)
{
	struct pagemv_open_opts opts = { .size = sizeof(opts),
					 .trusted = PAGEMV_QUIRK_SWAP |
						    PAGEMV_QUIRK_MISCOUNT };
	struct pagemv_caps caps;

	fake_release("6.14.2");
	fake_file("/proc/swaps", SWAPS "/dev/sda2 x 1 0 -2\n", 1000);
	caps = probe(&opts);
	cr_expect(caps.mech[MOVE].available);
	cr_expect(caps.quirks == PAGEMV_QUIRK_HUGE_PAGES);
	cr_expect(caps.trusted == PAGEMV_QUIRK_SWAP);
}

Test(kernel, distrusted_quirks_are_taken_as_there)
{
	struct pagemv_open_opts opts = { .size = sizeof(opts),
					 .trusted = PAGEMV_QUIRK_MISCOUNT,
					 .distrusted = PAGEMV_QUIRK_HUGE_MOVE };
	struct pagemv_caps caps;

	fake_release("7.1.13");
	caps = probe(&opts);
	cr_expect(caps.quirks == PAGEMV_QUIRK_HUGE_MOVE);
	cr_expect(caps.trusted == PAGEMV_QUIRK_MISCOUNT);
	fake_release("6.18.0");
	caps = probe(&opts);
	cr_expect(caps.quirks == PAGEMV_QUIRK_HUGE_MOVE);
	fake_refuse(FAKE_UNAME, -EFAULT);
	caps = probe(&opts);
	cr_expect(caps.quirks == PAGEMV_QUIRK_HUGE_MOVE && caps.trusted == 0);
}

Test(kernel, an_unknown_release_has_no_quirks)
{
	struct pagemv_caps caps;

	fake_refuse(FAKE_UNAME, -EFAULT);
	caps = probe(NULL);
	cr_expect(caps.quirks == 0 && caps.trusted == 0);
	cr_expect(caps.mech[MOVE].available);
}

/* ---- /proc and /sys ---- */

Test(kernel, without_proc_pages_move)
{
	struct pagemv_result res;
	struct scene s;

	fake_no_proc();
	s = scene_open(8, NULL);
	cr_expect(!(s.pv->facilities &
		    (PAGEMV_HAS_PAGEMAP | PAGEMV_HAS_PAGEMAP_SCAN |
		     PAGEMV_HAS_PROCMAP_QUERY)));
	for (size_t i = 0; i < 3; i++) {
		static const uint32_t by[] = { MOVE, REMAP, COPY };
		int rc = scene_move_opts(&s, PAGEMV_MOVE_MAY_REMAP, by[i], 0,
					 &res);

		cr_expect(rc == 0, "%s: %d (%s)", pagemv_mechanism_name(by[i]),
			  rc, pagemv_reason_string(res.reason));
		EXPECT_RIGHT(t_check_range(s.heap, 8, 1));
		t_drop(s.heap, 8);
		t_fill_range(s.src, 8, 1);
	}
	fake_behave();
	scene_close(&s);
}

#define PMD_SIZE "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size"

static uint64_t huge_size(const char *text)
{
	struct pagemv_caps caps;

	fake_file(PMD_SIZE, text, 1000);
	caps = probe(NULL);
	fake_behave();
	return caps.huge_page_bytes;
}

Test(kernel, the_size_of_huge_pages_is_read_with_care)
{
	cr_expect(huge_size("2097152\n") == 2097152);
	cr_expect(huge_size("33554432\n") == 33554432);
	cr_expect(huge_size("") == 0);
	cr_expect(huge_size("no\n") == 0);
	cr_expect(huge_size("0\n") == 0);
	cr_expect(huge_size("3000000\n") == 0, "no power of two");
	cr_expect(huge_size("1024\n") == 0, "less than a page");
	fake_add((struct fake_rule){ .call = FAKE_OPEN,
				     .error = -ENOENT,
				     .path = "/sys/",
				     .times = FAKE_EVER });
	cr_expect(probe(NULL).huge_page_bytes == 0);
}

/* ---- no memory ---- */

Test(kernel, no_memory_for_a_trial_is_an_error_of_open)
{
	struct pagemv *pv;

	fake_refuse(FAKE_MMAP, -ENOMEM);
	cr_expect(pmv_open_with(&pv, NULL, &fake_sys) == -ENOMEM);
	fake_behave();
	fake_fail(FAKE_MMAP, 2, -ENOMEM);
	cr_expect(pmv_open_with(&pv, NULL, &fake_sys) == -ENOMEM);
	fake_behave();
	/* The page that tells of fork() can be done without. */
	fake_fail(FAKE_MMAP, 3, -ENOMEM);
	cr_expect(pmv_open_with(&pv, NULL, &fake_sys) == 0);
	cr_expect(pv->alive == NULL);
	pagemv_close(pv);
	cr_expect(fake_open_fds() == 0 && fake_mapped_bytes() == 0);
}

/* ---- what is logged ---- */

struct lines {
	unsigned int n[4];
	char last[256];
};

static void note(void *arg, enum pagemv_log_level level, const char *line)
{
	struct lines *l = arg;

	l->n[level]++;
	strncpy(l->last, line, sizeof(l->last) - 1);
}

Test(kernel, a_known_bad_kernel_and_a_fallback_are_logged)
{
	struct lines l = { { 0 }, "" };
	struct pagemv_open_opts opts = { .size = sizeof(opts),
					 .log = note,
					 .log_arg = &l };

	fake_release("6.12.50");
	probe(&opts);
	cr_expect(l.n[0] + l.n[1] + l.n[2] == 0, "a good kernel: %s", l.last);
	fake_release("6.14.2");
	probe(&opts);
	cr_expect(l.n[PAGEMV_LOG_WARNING] == 1);
	cr_expect(strstr(l.last, "6.14.2") != NULL);
	fake_release("6.12.50");
	fake_refuse(FAKE_MOVE, -EPERM);
	probe(&opts);
	cr_expect(l.n[PAGEMV_LOG_INFO] == 1);
	cr_expect(strstr(l.last, "copied") != NULL, "%s", l.last);
}

/* ---- the companion ---- */

#define COMPANION PAGEMV_MECH_COMPANION

Test(kernel, without_a_module_there_is_no_companion)
{
	struct pagemv_caps caps = probe(NULL);

	expect_lacking(&caps, COMPANION, PAGEMV_REASON_NOT_IN_KERNEL, -ENOENT);
	cr_expect(!(caps.facilities &
		    (PAGEMV_HAS_VECTORS | PAGEMV_HAS_EXCHANGE)));
}

Test(kernel, the_companion_is_found_by_moving_a_page)
{
	struct pagemv_caps caps;

	fake_companion(true);
	caps = probe(NULL);
	cr_expect(caps.mech[COMPANION].available, "%s",
		  pagemv_reason_string(caps.mech[COMPANION].reason));
	cr_expect(caps.facilities & PAGEMV_HAS_VECTORS);
	cr_expect(caps.facilities & PAGEMV_HAS_EXCHANGE);
	cr_expect(fake_count(FAKE_REMAP) == 1);
}

static void expect_no_companion(struct fake_rule rule,
				enum pagemv_reason reason, int error)
{
	struct pagemv_caps caps;

	rule.times = FAKE_EVER;
	fake_add(rule);
	caps = probe(NULL);
	expect_lacking(&caps, COMPANION, reason, error);
	cr_expect(caps.mech[MOVE].available);
	fake_behave();
}

static void expect_refused(enum fake_call call, int error,
			   enum pagemv_reason reason)
{
	expect_no_companion((struct fake_rule){ .call = call,
						.error = error,
						.path = call == FAKE_OPEN
								? "/dev/pagemv"
								: NULL },
			    reason, error);
}

Test(kernel, why_there_is_no_companion_is_told)
{
	fake_companion(true);
	expect_refused(FAKE_OPEN, -EACCES, PAGEMV_REASON_NOT_PERMITTED);
	expect_refused(FAKE_OPEN, -EPERM, PAGEMV_REASON_NOT_PERMITTED);
	expect_refused(FAKE_OPEN, -ENOENT, PAGEMV_REASON_NOT_IN_KERNEL);
	expect_refused(FAKE_OPEN, -ENODEV, PAGEMV_REASON_NOT_IN_KERNEL);
	expect_refused(FAKE_INFO, -ENOTTY, PAGEMV_REASON_OTHER_DEVICE);
	expect_refused(FAKE_INFO, -E2BIG, PAGEMV_REASON_OTHER_VERSION);
	expect_refused(FAKE_INFO, -EPERM, PAGEMV_REASON_FILTERED);
	expect_refused(FAKE_REMAP, -EINVAL, PAGEMV_REASON_OTHER_DEVICE);
	expect_refused(FAKE_REMAP, -EPERM, PAGEMV_REASON_FILTERED);
	expect_refused(FAKE_REMAP, -ENOSYS, PAGEMV_REASON_FILTERED);
	expect_refused(FAKE_REMAP, -ENOMEM, PAGEMV_REASON_UNEXPECTED);
	expect_refused(FAKE_REMAP, -EAGAIN, PAGEMV_REASON_UNEXPECTED);
	expect_no_companion(
		(struct fake_rule){ .call = FAKE_REMAP, .lie = true },
		PAGEMV_REASON_UNEXPECTED, 0);
}

Test(kernel, a_passing_eagain_does_not_cost_the_companion)
{
	struct pagemv_caps caps;

	fake_companion(true);
	fake_fail(FAKE_REMAP, 1, -EAGAIN);
	caps = probe(NULL);
	cr_expect(caps.mech[COMPANION].available);
}

Test(kernel, a_disabled_companion_is_left_alone)
{
	struct pagemv_open_opts opts = {
		.size = sizeof(opts), .disabled = PAGEMV_MECH_BIT(COMPANION)
	};
	struct pagemv_caps caps;

	fake_companion(true);
	caps = probe(&opts);
	expect_lacking(&caps, COMPANION, PAGEMV_REASON_DISABLED, 0);
	cr_expect(fake_count(FAKE_INFO) == 0);
}

Test(kernel, a_companion_given_by_the_caller_is_used_first)
{
	struct pagemv_open_opts opts = { .size = sizeof(opts),
					 .flags = PAGEMV_OPEN_COMPANION_FD };
	struct pagemv_caps caps;
	struct pagemv *pv;

	fake_companion(true);
	opts.companion_fd = fake_sys.open("/dev/pagemv", O_RDWR);
	cr_assert(opts.companion_fd >= 0);
	/* As for a process that has no permission any more. */
	fake_add((struct fake_rule){ .call = FAKE_OPEN,
				     .path = "/dev/pagemv",
				     .times = FAKE_EVER,
				     .error = -EACCES });
	cr_assert(pmv_open_with(&pv, &opts, &fake_sys) == 0);
	caps = caps_of(pv);
	cr_expect(caps.mech[COMPANION].available);
	pagemv_close(pv);
	cr_expect(fake_open_fds() == 1, "it stays the caller's");
	fake_sys.close(opts.companion_fd);
}

Test(kernel, an_unsuitable_companion_is_no_obstacle)
{
	struct pagemv_open_opts opts = { .size = sizeof(opts),
					 .flags = PAGEMV_OPEN_COMPANION_FD };
	struct pagemv_caps caps;
	struct pagemv *pv;

	fake_companion(true);
	opts.companion_fd = fake_sys.open("/dev/zero", O_RDWR);
	cr_assert(pmv_open_with(&pv, &opts, &fake_sys) == 0);
	caps = caps_of(pv);
	cr_expect(caps.mech[COMPANION].available);
	cr_expect(caps.mech[COMPANION].reason == PAGEMV_REASON_NONE);
	pagemv_close(pv);
	cr_expect(fake_open_fds() == 1);
	fake_sys.close(opts.companion_fd);
}

Test(kernel, no_descriptor_left_for_the_companion_is_an_error_without_move)
{
	static const int errors[] = { -EMFILE, -ENFILE };

	fake_companion(true);
	for (size_t i = 0; i < T_COUNT(errors); i++) {
		struct pagemv *pv = NULL;

		expect_refused(FAKE_OPEN, errors[i], PAGEMV_REASON_NO_MEMORY);
		fake_refuse(FAKE_MOVE, -EPERM);
		fake_add((struct fake_rule){ .call = FAKE_OPEN,
					     .path = "/dev/pagemv",
					     .error = errors[i] });
		cr_expect(pmv_open_with(&pv, NULL, &fake_sys) == errors[i]);
		cr_expect(!pv && fake_open_fds() == 0);
		cr_expect(fake_mapped_bytes() == 0);
		fake_behave();
	}
}

Test(kernel, with_the_companion_nothing_is_copied_and_that_is_logged)
{
	struct lines l = { { 0 }, "" };
	struct pagemv_open_opts opts = { .size = sizeof(opts),
					 .log = note,
					 .log_arg = &l };

	fake_companion(true);
	fake_release("6.12.50");
	fake_refuse(FAKE_MOVE, -EPERM);
	probe(&opts);
	cr_expect(l.n[PAGEMV_LOG_INFO] == 1);
	cr_expect(strstr(l.last, "companion") != NULL, "%s", l.last);
}

Test(kernel, high_descriptors_are_the_companions_as_well)
{
	struct pagemv_open_opts opts = { .size = sizeof(opts),
					 .flags = PAGEMV_OPEN_HIGH_FDS };
	struct pagemv *pv;

	fake_companion(true);
	cr_assert(pmv_open_with(&pv, &opts, &fake_sys) == 0);
	cr_expect(pv->companion >= 896, "%d", pv->companion);
	pagemv_close(pv);
	cr_expect(fake_open_fds() == 0, "%d", fake_open_fds());
}
