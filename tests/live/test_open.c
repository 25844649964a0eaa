/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opening where things are missing or refused: the library says what and
 * why, and everything still moves.
 */
#include "live.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "confine.h"
#include "rawuffd.h"

#define OPEN_OPTS(...)                                               \
	{                                                            \
		.size = sizeof(struct pagemv_open_opts), __VA_ARGS__ \
	}

/* NULL when the handle moves pages by AUTO, else what went wrong. */
static const char *moves_pages(struct pagemv *pv)
{
	char *heap = t_map(6), *src = t_map(6);
	struct pagemv_region *region = NULL;
	struct pagemv_result res;
	const char *wrong;
	int r;

	r = pagemv_region_register(pv, heap, t_pages(6), NULL, &region, NULL);
	if (r != 0)
		return "register failed";
	t_fill_range(src, 6, 1);
	memset(&res, 0xa5, sizeof(res));
	r = pagemv_move(pv, heap, src, t_pages(6), NULL, &res);
	if (r != 0)
		return pagemv_reason_string(res.reason);
	if (res.moved_bytes + res.copied_bytes != t_pages(6))
		return "the result does not add up";
	wrong = t_check_range(heap, 6, 1);
	if (wrong == NULL)
		wrong = t_check_absent(src, 6);
	r = pagemv_region_unregister(region);
	if (wrong == NULL && r != 0)
		wrong = "unregister failed";
	t_unmap(heap, 6);
	t_unmap(src, 6);
	return wrong;
}

static struct pagemv_caps caps_of(const struct pagemv *pv)
{
	struct pagemv_caps caps = { .size = sizeof(caps) };

	if (pagemv_caps(pv, &caps) != 0)
		t_die("pagemv_caps");
	return caps;
}

static bool is_one_line(const char *text)
{
	return text != NULL && *text != '\0' && strchr(text, '\n') == NULL;
}

/* --- what is told --- */

Test(opening, caps_are_consistent)
{
	struct pagemv *pv = NULL;
	struct pagemv_caps caps;
	struct utsname un;
	size_t i;

	cr_assert_eq(pagemv_open(&pv, NULL), 0);
	caps = caps_of(pv);
	uname(&un);
	cr_expect_eq(strncmp(caps.kernel_release, un.release,
			     sizeof(caps.kernel_release) - 1),
		     0, "%s, not %s", caps.kernel_release, un.release);
	cr_expect_eq(caps.page_bytes, t_page());
	cr_expect(caps.huge_page_bytes == 0 ||
		  caps.huge_page_bytes % t_page() == 0);
	cr_expect_eq(caps.uffd_how != PAGEMV_UFFD_NONE,
		     (caps.facilities & PAGEMV_HAS_UFFD) != 0);
	cr_expect_lt(caps.uffd_how, PAGEMV_UFFD_HOW_COUNT);
	cr_expect_eq(caps.quirks & ~PAGEMV_QUIRKS_ALL, 0);
	cr_expect_eq(caps.trusted, 0);
	if (caps.uffd_how != PAGEMV_UFFD_NONE)
		cr_expect_eq(caps.uffd_errors[caps.uffd_how], 0);
	for (i = PAGEMV_MECH_MOVE; i < PAGEMV_MECH_COUNT; i++) {
		const struct pagemv_mech_caps *m = &caps.mech[i];

		cr_expect(m->available <= 1);
		cr_expect_eq(m->available == 1, m->reason == PAGEMV_REASON_NONE,
			     "mechanism %zu", i);
		cr_expect(m->error <= 0, "mechanism %zu", i);
		cr_expect(is_one_line(pagemv_reason_string(m->reason)));
		if (m->available != 0)
			cr_expect(m->call_ns > 0 && m->page_ns > 0,
				  "mechanism %zu costs nothing", i);
	}
	cr_expect_eq(caps.mech[PAGEMV_MECH_COPY].available, 1,
		     "copying always works");
	pagemv_close(pv);
}

/* Against what the test finds out by its own system calls. */
Test(opening, caps_say_what_the_kernel_does)
{
	int can_move = t_hides_move() ? -EOPNOTSUPP : t_uffd_can_move();
	int fd = t_uffd_open();
	struct pagemv *pv = t_open(T_NORMAL);
	struct pagemv_caps caps = caps_of(pv);
	const struct pagemv_mech_caps *m = &caps.mech[PAGEMV_MECH_MOVE];

	cr_expect_eq(fd >= 0,
		     caps.uffd_how == PAGEMV_UFFD_USER_MODE ||
			     caps.uffd_how == PAGEMV_UFFD_SYSCALL,
		     "userfaultfd() gives %d, caps say %u", fd, caps.uffd_how);
	if (can_move == 0)
		cr_expect(m->available == 1 ||
				  m->reason == PAGEMV_REASON_KNOWN_BAD,
			  "UFFDIO_MOVE works here, but: %s",
			  pagemv_reason_string(m->reason));
	else if (caps.uffd_how != PAGEMV_UFFD_DEVICE)
		cr_expect_eq(m->available, 0, "UFFDIO_MOVE gives %d", can_move);
	cr_expect_eq((caps.facilities & PAGEMV_HAS_PAGEMAP) != 0,
		     access("/proc/self/pagemap", R_OK) == 0);
	cr_expect_eq((caps.facilities & PAGEMV_HAS_POPULATE_WRITE) != 0,
		     madvise(t_map(1), t_page(), MADV_POPULATE_WRITE) == 0);
	if (fd >= 0)
		close(fd);
	pagemv_close(pv);
}

Test(opening, caps_write_no_more_than_asked_for)
{
	struct pagemv *pv = t_open(T_NORMAL);
	struct pagemv_caps caps;

	memset(&caps, 0x77, sizeof(caps));
	caps.size = offsetof(struct pagemv_caps, facilities);
	cr_expect_eq(pagemv_caps(pv, &caps), 0);
	cr_expect_eq(caps.facilities, 0x77777777u);
	cr_expect_lt(caps.uffd_how, PAGEMV_UFFD_HOW_COUNT);
	caps.size = 0;
	cr_expect_eq(pagemv_caps(pv, &caps), -EINVAL);
	cr_expect_eq(pagemv_caps(pv, NULL), -EINVAL);
	pagemv_close(pv);
}

Test(opening, stats_write_no_more_than_asked_for)
{
	struct pagemv *pv = t_open(T_NORMAL);
	struct pagemv_stats stats;

	memset(&stats, 0x77, sizeof(stats));
	stats.size = offsetof(struct pagemv_stats, failed_calls);
	cr_expect_eq(pagemv_stats(pv, &stats), 0);
	cr_expect_eq(stats.calls, 0);
	cr_expect_eq(stats.failed_calls, 0x7777777777777777u);
	stats.size = 0;
	cr_expect_eq(pagemv_stats(pv, &stats), -EINVAL);
	cr_expect_eq(pagemv_stats(pv, NULL), -EINVAL);
	pagemv_close(pv);
}

Test(opening, strings_are_there_for_everything)
{
	int i;

	for (i = -3; i < PAGEMV_REASON_COUNT + 3; i++)
		cr_expect(is_one_line(
				  pagemv_reason_string((enum pagemv_reason)i)),
			  "reason %d", i);
	for (i = -200; i < 200; i++)
		cr_expect(is_one_line(pagemv_strerror(i)), "error %d", i);
	cr_expect_str_eq(pagemv_strerror(-ENOENT), pagemv_strerror(ENOENT));
	for (i = -1; i < PAGEMV_MECH_COUNT + 2; i++)
		cr_expect(is_one_line(pagemv_mechanism_name(
				  (enum pagemv_mechanism)i)),
			  "mechanism %d", i);
	cr_expect_str_eq(pagemv_mechanism_name(PAGEMV_MECH_REMAP), "remap");
	cr_expect(is_one_line(pagemv_version()));
}

/* --- options --- */

Test(opening, bad_options_are_refused_and_out_is_untouched)
{
	static const struct pagemv_open_opts bad[] = {
		OPEN_OPTS(.flags = PAGEMV_OPEN_FLAGS_ALL + 1),
		OPEN_OPTS(.disabled = PAGEMV_MECH_BIT(PAGEMV_MECH_COUNT)),
		OPEN_OPTS(.trusted = PAGEMV_QUIRKS_ALL + 1),
		OPEN_OPTS(.distrusted = PAGEMV_QUIRKS_ALL + 1),
		{ .size = 0 },
	};
	struct pagemv *const marker = (struct pagemv *)(uintptr_t)0x1234;
	struct pagemv *pv = marker;
	size_t i;

	for (i = 0; i < T_COUNT(bad); i++) {
		cr_expect_eq(pagemv_open(&pv, &bad[i]), -EINVAL, "%zu", i);
		cr_expect_eq(pv, marker, "%zu: out was written", i);
	}
	cr_expect_eq(pagemv_open(NULL, NULL), -EINVAL);
}

Test(opening, options_of_a_newer_library)
{
	struct {
		struct pagemv_open_opts known;
		uint64_t unknown[2];
	} opts = { .known = { .size = sizeof(opts) } };
	struct pagemv *pv = NULL;

	opts.unknown[0] = 1;
	cr_expect_eq(pagemv_open(&pv, &opts.known), -E2BIG);
	opts.unknown[0] = 0;
	cr_assert_eq(pagemv_open(&pv, &opts.known), 0);
	pagemv_close(pv);
}

Test(opening, disabled_mechanisms_are_not_used)
{
	uint32_t mask;

	for (mask = 0; mask < PAGEMV_MECH_BIT(PAGEMV_MECH_COUNT); mask += 2) {
		const struct pagemv_open_opts opts =
			OPEN_OPTS(.disabled = mask);
		struct pagemv *pv = NULL;
		struct pagemv_caps caps;
		const char *wrong;
		size_t i;

		cr_assert_eq(pagemv_open(&pv, &opts), 0);
		caps = caps_of(pv);
		for (i = PAGEMV_MECH_MOVE; i < PAGEMV_MECH_COUNT; i++)
			if ((mask & PAGEMV_MECH_BIT(i)) != 0)
				cr_expect(
					caps.mech[i].available == 0 &&
						caps.mech[i].reason ==
							PAGEMV_REASON_DISABLED,
					"mask %x, %s", mask,
					pagemv_mechanism_name(i));
		wrong = moves_pages(pv);
		if (caps.mech[PAGEMV_MECH_MOVE].available != 0 ||
		    caps.mech[PAGEMV_MECH_COMPANION].available != 0 ||
		    caps.mech[PAGEMV_MECH_COPY].available != 0)
			cr_expect_null(wrong, "mask %x: %s", mask, wrong);
		else
			cr_expect_not_null(wrong, "mask %x: moved by what?",
					   mask);
		pagemv_close(pv);
	}
}

Test(opening, no_mechanism_left_is_said)
{
	const struct pagemv_open_opts opts =
		OPEN_OPTS(.disabled = PAGEMV_MECH_BIT(PAGEMV_MECH_COUNT) - 2);
	char *heap = t_map(2), *src = t_map(2);
	struct pagemv_result res;
	struct pagemv *pv = NULL;
	int r;

	cr_assert_eq(pagemv_open(&pv, &opts), 0);
	t_register(pv, heap, 2);
	t_fill_range(src, 2, 1);
	r = pagemv_move(pv, heap, src, t_pages(2), NULL, &res);
	cr_expect_eq(r, -EOPNOTSUPP, "returned %d", r);
	cr_expect_eq(res.reason, PAGEMV_REASON_NO_MECHANISM, "%s",
		     pagemv_reason_string(res.reason));
	cr_expect_null(t_check_range(src, 2, 1));
	pagemv_close(pv);
}

Test(opening, without_userfaultfd_on_request)
{
	struct pagemv *pv = t_open(T_NO_UFFD);
	struct pagemv_caps caps = caps_of(pv);
	const char *wrong = moves_pages(pv);
	size_t i;

	cr_expect_null(wrong, "%s", wrong);
	cr_expect_eq(caps.uffd_how, PAGEMV_UFFD_NONE);
	cr_expect_eq(caps.facilities & PAGEMV_HAS_UFFD, 0);
	cr_expect_eq(caps.mech[PAGEMV_MECH_MOVE].reason, PAGEMV_REASON_DISABLED,
		     "%s",
		     pagemv_reason_string(caps.mech[PAGEMV_MECH_MOVE].reason));
	for (i = PAGEMV_UFFD_USER_MODE; i < PAGEMV_UFFD_HOW_COUNT; i++)
		cr_expect_eq(caps.uffd_errors[i], 1, "way %zu: %d, not untried",
			     i, caps.uffd_errors[i]);
	pagemv_close(pv);
}

Test(opening, a_device_that_the_caller_opened)
{
	int fd = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	const struct pagemv_open_opts opts =
		OPEN_OPTS(.flags = PAGEMV_OPEN_DEV_FD, .dev_fd = fd);
	struct pagemv *pv = NULL;
	struct pagemv_caps caps;
	const char *wrong;

	if (fd < 0)
		cr_skip("/dev/userfaultfd: %s", strerror(errno));
	cr_assert_eq(pagemv_open(&pv, &opts), 0);
	caps = caps_of(pv);
	cr_expect_eq(caps.uffd_how, PAGEMV_UFFD_DEVICE, "opened by way %u",
		     caps.uffd_how);
	wrong = moves_pages(pv);
	cr_expect_null(wrong, "%s", wrong);
	pagemv_close(pv);
	cr_expect_neq(fcntl(fd, F_GETFD), -1, "the caller's fd was closed");
	close(fd);
}

Test(opening, a_device_descriptor_that_is_none)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	const struct pagemv_open_opts opts =
		OPEN_OPTS(.flags = PAGEMV_OPEN_DEV_FD, .dev_fd = fd);
	struct pagemv *pv = NULL;
	const char *wrong;
	int r = pagemv_open(&pv, &opts);

	/* It falls on to the other ways, as from any failure. */
	cr_assert_eq(r, 0, "returned %d", r);
	wrong = moves_pages(pv);
	cr_expect_null(wrong, "%s", wrong);
	pagemv_close(pv);
	close(fd);
}

Test(opening, a_quirk_that_the_caller_does_not_believe)
{
	struct pagemv *pv = t_open(T_NORMAL);
	struct pagemv_caps caps = caps_of(pv), trusting;
	struct pagemv_open_opts opts = OPEN_OPTS(.trusted = PAGEMV_QUIRKS_ALL);
	const char *wrong;

	pagemv_close(pv);
	cr_assert_eq(pagemv_open(&pv, &opts), 0);
	trusting = caps_of(pv);
	cr_expect_eq(trusting.quirks, 0, "still in force: %x", trusting.quirks);
	cr_expect_eq(trusting.trusted, caps.quirks,
		     "the table names %x, trusted are %x", caps.quirks,
		     trusting.trusted);
	wrong = moves_pages(pv);
	cr_expect_null(wrong, "%s", wrong);
	pagemv_close(pv);
	if (caps.quirks == 0)
		return;
	opts.trusted = caps.quirks & -caps.quirks; /* only the lowest */
	cr_assert_eq(pagemv_open(&pv, &opts), 0);
	trusting = caps_of(pv);
	cr_expect_eq(trusting.quirks, caps.quirks & ~opts.trusted);
	cr_expect_eq(trusting.trusted, opts.trusted);
	pagemv_close(pv);
}

/* Whole huge pages are moved, and arrive split. */
Test(opening, a_quirk_that_the_caller_fears)
{
	const struct pagemv_open_opts opts =
		OPEN_OPTS(.distrusted = PAGEMV_QUIRK_HUGE_MOVE);
	const struct pagemv_move_opts by_move = {
		.size = sizeof(by_move), .mechanism = PAGEMV_MECH_MOVE
	};
	struct pagemv_result res;
	struct pagemv_caps caps;
	struct pagemv *pv;
	size_t huge, pages;
	char *src, *dst;

	cr_assert_eq(pagemv_open(&pv, &opts), 0);
	caps = caps_of(pv);
	huge = caps.huge_page_bytes;
	pages = huge / t_page();
	cr_expect(caps.quirks & PAGEMV_QUIRK_HUGE_MOVE);
	if (!caps.mech[PAGEMV_MECH_MOVE].available || pages == 0)
		cr_skip("no huge pages, or not to be moved whole");
	src = t_map_at(pages, huge, 0, true);
	dst = t_map_at(pages, huge, 0, true);
	t_register(pv, dst, pages);
	t_fill_range(src, pages, 1);
	if (t_huge_bytes(src, huge) != huge)
		cr_skip("no huge page is to be had");
	cr_expect_eq(pagemv_move(pv, dst, src, huge, &by_move, &res), 0);
	cr_expect(res.kernel_calls >= 2 && t_huge_bytes(dst, huge) == 0);
	cr_expect_null(t_check_range(dst, pages, 1));
	pagemv_close(pv);
	t_unmap(src, pages);
	t_unmap(dst, pages);
}

/* --- refused by others --- */

struct refusal {
	int err;
	enum pagemv_reason reason;
	int failures;
};

#define IN_CHILD(condition)                                               \
	do {                                                              \
		if (!(condition)) {                                       \
			fprintf(stderr, "child, line %d: %s\n", __LINE__, \
				#condition);                              \
			failures++;                                       \
		}                                                         \
	} while (0)

static int refused_syscall(void *arg)
{
	const struct refusal *how = arg;
	struct pagemv *pv = NULL;
	struct pagemv_caps caps;
	const char *wrong;
	int failures = 0;

	if (!t_refuse_syscall(SYS_userfaultfd, how->err))
		return 77;
	/* Root may get one by the device: take that away too. */
	if (geteuid() == 0)
		t_become_nobody();
	IN_CHILD(pagemv_open(&pv, NULL) == 0);
	if (pv == NULL)
		return 1;
	caps = caps_of(pv);
	IN_CHILD(caps.uffd_how == PAGEMV_UFFD_NONE ||
		 caps.uffd_how == PAGEMV_UFFD_DEVICE);
	IN_CHILD(caps.uffd_errors[PAGEMV_UFFD_USER_MODE] == -how->err);
	if (caps.uffd_how == PAGEMV_UFFD_NONE) {
		IN_CHILD(caps.mech[PAGEMV_MECH_MOVE].available == 0);
		IN_CHILD(caps.mech[PAGEMV_MECH_MOVE].reason ==
				 (uint32_t)how->reason ||
			 caps.mech[PAGEMV_MECH_MOVE].reason ==
				 PAGEMV_REASON_FILTERED);
		if (failures != 0)
			fprintf(stderr, "child: MOVE: %s\n",
				pagemv_reason_string(
					caps.mech[PAGEMV_MECH_MOVE].reason));
	}
	wrong = moves_pages(pv);
	if (wrong != NULL)
		fprintf(stderr, "child: %s\n", wrong);
	IN_CHILD(wrong == NULL);
	pagemv_close(pv);
	return failures == 0 ? 0 : 1;
}

static void expect_child(int (*body)(void *), void *arg)
{
	int status = t_in_child(body, arg);

	if (status == 77)
		cr_skip("seccomp filters are not to be had here");
	if (status == 78)
		cr_skip("not root: cannot become somebody else");
	if (status == 79)
		cr_skip("UFFDIO_MOVE does not work here anyway");
	cr_expect_eq(status, 0, "the child ended with %d", status);
}

Test(opening, under_a_filter_that_says_eperm)
{
	struct refusal how = { EPERM, PAGEMV_REASON_NOT_PERMITTED, 0 };

	expect_child(refused_syscall, &how);
}

Test(opening, under_a_filter_that_says_enosys)
{
	struct refusal how = { ENOSYS, PAGEMV_REASON_NOT_IN_KERNEL, 0 };

	expect_child(refused_syscall, &how);
}

static int refused_ioctl(void *arg)
{
	const struct refusal *how = arg;
	struct pagemv *pv = NULL;
	struct pagemv_caps caps;
	int failures = 0;

	if (t_hides_move())
		return 0; /* it is refused all the time */
	if (t_uffd_can_move() != 0)
		return 79;
	if (!t_refuse_ioctl(t_uffd_move_request(), how->err))
		return 77;
	IN_CHILD(pagemv_open(&pv, NULL) == 0);
	if (pv == NULL)
		return 1;
	caps = caps_of(pv);
	IN_CHILD(caps.mech[PAGEMV_MECH_MOVE].available == 0);
	IN_CHILD(caps.mech[PAGEMV_MECH_MOVE].error == -how->err);
	IN_CHILD(caps.mech[PAGEMV_MECH_MOVE].reason == PAGEMV_REASON_FILTERED ||
		 caps.mech[PAGEMV_MECH_MOVE].reason ==
			 PAGEMV_REASON_NOT_PERMITTED);
	IN_CHILD(moves_pages(pv) == NULL);
	pagemv_close(pv);
	return failures == 0 ? 0 : 1;
}

Test(opening, under_a_filter_that_refuses_the_ioctl)
{
	struct refusal how = { EPERM, PAGEMV_REASON_FILTERED, 0 };

	expect_child(refused_ioctl, &how);
}

static int as_nobody(void *arg)
{
	struct pagemv *pv = NULL;
	int failures = 0;

	(void)arg;
	if (!t_become_nobody())
		return 78;
	IN_CHILD(pagemv_open(&pv, NULL) == 0);
	if (pv == NULL)
		return 1;
	IN_CHILD(moves_pages(pv) == NULL);
	pagemv_close(pv);
	return failures == 0 ? 0 : 1;
}

Test(opening, as_an_ordinary_user)
{
	expect_child(as_nobody, NULL);
}

static int without_descriptors(void *arg)
{
	struct rlimit limit = { 3, 3 };
	struct pagemv *pv = NULL;
	int failures = 0, fd, r;

	(void)arg;
	for (fd = 3; fd < 200; fd++)
		close(fd);
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 1;
	r = pagemv_open(&pv, NULL);
	IN_CHILD(r == -EMFILE && pv == NULL);
	if (r != -EMFILE)
		fprintf(stderr, "child: pagemv_open gave %d\n", r);
	return failures == 0 ? 0 : 1;
}

Test(opening, without_a_descriptor_left)
{
	expect_child(without_descriptors, NULL);
}

/* With 1 and 2 to be had: no half-open handle, no leak, whatever it says. */
static int with_few_descriptors(void *arg)
{
	struct rlimit limit = { 0, 4096 };
	struct pagemv *pv;
	int failures = 0, fd, r;
	rlim_t n;

	(void)arg;
	for (fd = 3; fd < 200; fd++)
		close(fd);
	for (n = 4; n < 10; n++) {
		limit.rlim_cur = n;
		if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
			return 1;
		pv = NULL;
		r = pagemv_open(&pv, NULL);
		IN_CHILD(r == -EMFILE || r == 0);
		if (r == 0)
			pagemv_close(pv);
		limit.rlim_cur = 100;
		if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
			return 1;
		IN_CHILD(t_count_fds() == 3);
	}
	return failures == 0 ? 0 : 1;
}

Test(opening, with_few_descriptors_left)
{
	expect_child(with_few_descriptors, NULL);
}

/* --- several handles --- */

Test(opening, two_handles_at_once)
{
	struct pagemv *one = t_open(T_NORMAL), *two = t_open(T_NORMAL);
	char *heap_one = t_map(4), *heap_two = t_map(4), *src = t_map(4);
	struct pagemv_stats stats = { .size = sizeof(stats) };
	int r;

	t_register(one, heap_one, 4);
	t_register(two, heap_two, 4);
	t_fill_range(src, 4, 1);
	r = pagemv_move(one, heap_two, src, t_pages(4), NULL, NULL);
	cr_expect_lt(r, 0, "moved into the other's region");
	r = pagemv_move(one, heap_one, src, t_pages(4), NULL, NULL);
	cr_expect_eq(r, 0, "%d", r);
	/* A source may lie in a region of another handle. */
	r = pagemv_move(two, heap_two, heap_one, t_pages(4), NULL, NULL);
	cr_expect_eq(r, 0, "%d", r);
	cr_expect_null(t_check_range(heap_two, 4, 1));
	cr_assert_eq(pagemv_stats(one, &stats), 0);
	cr_expect_eq(stats.moved_bytes + stats.copied_bytes, t_pages(4));
	pagemv_close(one);
	r = pagemv_move(two, heap_two, heap_two, t_pages(4), NULL, NULL);
	cr_expect_null(t_check_range(heap_two, 4, 1));
	t_fill_range(src, 4, 9);
	t_drop(heap_two, 4);
	r = pagemv_move(two, heap_two, src, t_pages(4), NULL, NULL);
	cr_expect_eq(r, 0, "after the other was closed: %d", r);
	pagemv_close(two);
}

Test(opening, and_closing_leaves_nothing_behind, .timeout = 30)
{
	size_t fds = t_count_fds(), mappings = 0, i;
	enum t_variant_id v;

	for (i = 0; i < 40; i++) {
		for (v = 0; v < T_VARIANT_COUNT; v++) {
			struct pagemv *pv = t_open(v);
			const char *wrong = moves_pages(pv);

			cr_expect_null(wrong, "%s", wrong);
			pagemv_close(pv);
		}
		if (i == 4) { /* what the C library sets up once is there */
			fds = t_count_fds();
			mappings = t_count_mappings();
		}
	}
	cr_expect_eq(t_count_fds(), fds, "%zu descriptors, then %zu", fds,
		     t_count_fds());
	cr_expect_leq(t_count_mappings(), mappings, "%zu mappings, then %zu",
		      mappings, t_count_mappings());
}

Test(opening, keeps_at_most_four_descriptors_all_close_on_exec)
{
	size_t before = t_count_fds();
	struct pagemv *pv = t_open(T_NORMAL);
	int fd, flags;

	cr_expect_leq(t_count_fds(), before + 4);
	for (fd = 3; fd < 200; fd++) {
		char path[64], target[64] = "";

		flags = fcntl(fd, F_GETFD);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (flags < 0 || readlink(path, target, sizeof(target) - 1) < 0)
			continue;
		if (strstr(target, "userfaultfd") != NULL ||
		    strstr(target, "pagemap") != NULL ||
		    strstr(target, "/maps") != NULL)
			cr_expect_neq(flags & FD_CLOEXEC, 0, "%s", target);
	}
	pagemv_close(pv);
	cr_expect_eq(t_count_fds(), before);
}

Test(opening, high_descriptors_leave_the_low_ones_to_the_program)
{
	static const struct pagemv_open_opts opts =
		OPEN_OPTS(.flags = PAGEMV_OPEN_HIGH_FDS);
	struct pagemv *pv = t_open(T_NORMAL);
	bool open_before[100];
	const char *wrong;
	size_t before;

	/* What looks at pages keeps a descriptor of its own. */
	wrong = moves_pages(pv);
	cr_expect_null(wrong, "%s", wrong);
	pagemv_close(pv);
	before = t_count_fds();
	for (int fd = 0; fd < 100; fd++)
		open_before[fd] = fcntl(fd, F_GETFD) >= 0;
	cr_assert_eq(pagemv_open(&pv, &opts), 0);
	for (int fd = 0; fd < 100; fd++)
		cr_expect_eq(fcntl(fd, F_GETFD) >= 0, open_before[fd], "%d",
			     fd);
	for (int fd = 100; fd < 1024; fd++) {
		int flags = fcntl(fd, F_GETFD);

		cr_expect(flags < 0 || flags & FD_CLOEXEC, "%d", fd);
	}
	wrong = moves_pages(pv);
	cr_expect_null(wrong, "%s", wrong);
	pagemv_close(pv);
	cr_expect_eq(t_count_fds(), before);
}

Test(opening, closing_nothing_is_fine)
{
	pagemv_close(NULL);
	cr_expect_eq(pagemv_region_unregister(NULL), 0);
}

Test(opening, no_handle_is_refused)
{
	struct pagemv_region *region = NULL;
	struct pagemv_result res;
	char *p = t_map(2);

	cr_expect_eq(pagemv_calibrate(NULL), -EINVAL);
	memset(&res, 0xa5, sizeof(res));
	cr_expect_eq(pagemv_move(NULL, p, p + t_page(), t_page(), NULL, &res),
		     -EINVAL);
	cr_expect_eq(res.error, -EINVAL);
	cr_expect_eq(res.left_bytes, t_page());
	cr_expect_eq(
		pagemv_region_register(NULL, p, t_page(), NULL, &region, NULL),
		-EINVAL);
	cr_expect_null(region);
}

/* --- what it says, and what it does not --- */

struct log_seen {
	size_t lines;
	size_t bad;
};

static void count_lines(void *arg, enum pagemv_log_level level,
			const char *line)
{
	struct log_seen *seen = arg;

	seen->lines++;
	if (level > PAGEMV_LOG_DEBUG || !is_one_line(line))
		seen->bad++;
}

static int logs_under_filter(void *arg)
{
	struct log_seen seen = { 0, 0 };
	const struct pagemv_open_opts opts =
		OPEN_OPTS(.log = count_lines, .log_arg = &seen);
	struct pagemv *pv = NULL;
	int failures = 0;

	(void)arg;
	if (!t_refuse_syscall(SYS_userfaultfd, EPERM))
		return 77;
	if (geteuid() == 0)
		t_become_nobody();
	IN_CHILD(pagemv_open(&pv, &opts) == 0);
	IN_CHILD(seen.lines > 0);
	IN_CHILD(seen.bad == 0);
	pagemv_close(pv);
	return failures == 0 ? 0 : 1;
}

Test(opening, tells_the_log_of_a_fallback)
{
	expect_child(logs_under_filter, NULL);
}

Test(opening, tells_the_log_of_a_known_bad_kernel)
{
	struct log_seen seen = { 0, 0 };
	const struct pagemv_open_opts opts =
		OPEN_OPTS(.log = count_lines, .log_arg = &seen);
	struct pagemv *pv = NULL;

	cr_assert_eq(pagemv_open(&pv, &opts), 0);
	cr_expect_eq(seen.bad, 0);
	if (caps_of(pv).quirks != 0)
		cr_expect_gt(seen.lines, 0, "quirks %x went unsaid",
			     caps_of(pv).quirks);
	pagemv_close(pv);
}

/* Everything that goes wrong in a handle's life, with stdout and stderr cut. */
static int noisy_life(void *arg)
{
	const char *path = arg;
	struct pagemv_result res;
	struct pagemv *pv = NULL;
	char *src = t_map(4);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
		return 1;
	pagemv_open(NULL, NULL);
	if (pagemv_open(&pv, NULL) != 0)
		return 1;
	if (moves_pages(pv) != NULL)
		return 1;
	pagemv_move(pv, src, src + 1, 7, NULL, &res);
	pagemv_move(pv, NULL, NULL, t_page(), NULL, &res);
	pagemv_exchange(pv, src, src, t_page(), NULL, &res);
	pagemv_region_register(pv, src + 1, 3, NULL, NULL, NULL);
	pagemv_calibrate(pv);
	pagemv_close(pv);
	fflush(NULL);
	return lseek(fd, 0, SEEK_CUR) == 0 ? 0 : 2;
}

Test(opening, the_library_never_prints)
{
	char path[] = "/tmp/pagemv-quiet-XXXXXX";
	int fd = mkstemp(path), status;

	cr_assert_geq(fd, 0);
	close(fd);
	status = t_in_child(noisy_life, path);
	unlink(path);
	cr_expect_neq(status, 2, "something was printed");
	cr_expect_eq(status, 0, "the child ended with %d", status);
}

/* --- calibration --- */

Test(opening, calibrates_on_request, .timeout = 30)
{
	const struct pagemv_open_opts opts =
		OPEN_OPTS(.flags = PAGEMV_OPEN_CALIBRATE);
	struct pagemv *pv = t_open(T_NORMAL), *at_once = NULL;
	struct pagemv_caps caps = caps_of(pv);
	size_t mappings, fds, i;
	const char *wrong;

	/* The first one loads libnuma. */
	cr_assert_eq(pagemv_open(&at_once, &opts), 0);
	pagemv_close(at_once);
	mappings = t_count_mappings();
	fds = t_count_fds();

	for (i = PAGEMV_MECH_MOVE; i < PAGEMV_MECH_COUNT; i++)
		cr_expect_eq(caps.mech[i].calibrated, 0);
	cr_expect_eq(pagemv_calibrate(pv), 0);
	caps = caps_of(pv);
	for (i = PAGEMV_MECH_MOVE; i < PAGEMV_MECH_COUNT; i++) {
		const struct pagemv_mech_caps *m = &caps.mech[i];

		cr_expect_eq(m->calibrated, m->available, "mechanism %zu", i);
		if (m->available != 0)
			cr_expect(m->call_ns >= 0 && m->page_ns > 0 &&
					  m->page_ns < 1e6,
				  "mechanism %zu: %g + %g n", i, m->call_ns,
				  m->page_ns);
	}
	cr_expect_leq(t_count_mappings(), mappings + 1);
	cr_expect_eq(t_count_fds(), fds);
	wrong = moves_pages(pv);
	cr_expect_null(wrong, "%s", wrong);
	pagemv_close(pv);
	cr_assert_eq(pagemv_open(&at_once, &opts), 0);
	caps = caps_of(at_once);
	cr_expect_eq(caps.mech[PAGEMV_MECH_COPY].calibrated, 1);
	pagemv_close(at_once);
}
