/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "companion.h"

#include "fake_companion.h"
#include "scene.h"

#include <fcntl.h>

/* The module's own header says the same. */
#if __has_include("../../kmod/uapi/linux/pagemv.h")
#include "../../kmod/uapi/linux/pagemv.h"

#define SAME_SIZE(ours, theirs) \
	_Static_assert(sizeof(struct ours) == sizeof(struct theirs), "ABI")
#define SAME(ours, theirs, member)                                           \
	_Static_assert(offsetof(struct ours, member) ==                      \
				       offsetof(struct theirs, member) &&    \
			       sizeof(((struct ours *)0)->member) ==         \
				       sizeof(((struct theirs *)0)->member), \
		       #member)
#define REMAP(member)	 SAME(pmv_companion_remap, pagemvio_remap, member)
#define RANGE(member)	 SAME(pmv_companion_range, pagemvio_range, member)
#define REMAPV(member)	 SAME(pmv_companion_remapv, pagemvio_remapv, member)
#define EXCHANGE(member) SAME(pmv_companion_exchange, pagemvio_exchange, member)
#define INFO(member)	 SAME(pmv_companion_info, pagemvio_info, member)

SAME_SIZE(pmv_companion_remap, pagemvio_remap);
REMAP(dst);
REMAP(src);
REMAP(len);
REMAP(mode);
REMAP(moved);
SAME_SIZE(pmv_companion_range, pagemvio_range);
RANGE(dst);
RANGE(src);
RANGE(len);
RANGE(moved);
SAME_SIZE(pmv_companion_remapv, pagemvio_remapv);
REMAPV(size);
REMAPV(flags);
REMAPV(mode);
REMAPV(ranges);
REMAPV(count);
REMAPV(pad);
REMAPV(moved);
REMAPV(flushes);
SAME_SIZE(pmv_companion_exchange, pagemvio_exchange);
EXCHANGE(size);
EXCHANGE(flags);
EXCHANGE(a);
EXCHANGE(b);
EXCHANGE(len);
EXCHANGE(moved);
SAME_SIZE(pmv_companion_info, pagemvio_info);
INFO(size);
INFO(version);
INFO(calls);
INFO(modes);
INFO(max_ranges);
INFO(flush_pages);
INFO(remap_calls);
INFO(pages);
INFO(huge_pages);
INFO(swap_entries);
INFO(holes);
INFO(splits);
INFO(retries);
INFO(flushes);
_Static_assert(PMV_COMPANION_VERSION == PAGEMVIO_VERSION, "ABI");
_Static_assert(PMV_COMPANION_MODE_HOLES == PAGEMVIO_MODE_ALLOW_SRC_HOLES,
	       "ABI");
_Static_assert(PMV_COMPANION_RANGES_MAX == PAGEMVIO_REMAPV_MAX, "ABI");
_Static_assert(PMV_COMPANION_INFO == PAGEMVIO_INFO, "ABI");
_Static_assert(PMV_COMPANION_REMAP == PAGEMVIO_REMAP, "ABI");
_Static_assert(PMV_COMPANION_REMAPV == PAGEMVIO_REMAPV, "ABI");
_Static_assert(PMV_COMPANION_EXCHANGE == PAGEMVIO_EXCHANGE, "ABI");
#endif

/* A device, and pages at src. */
struct bed {
	int fd;
	char *dst, *src;
};

#define PAGES 8

static struct bed begin(void)
{
	struct bed b;
	enum pagemv_reason reason;
	uint64_t calls;

	fake_companion(true);
	b.fd = pmv_companion_open(&fake_sys, -1, &calls, &reason);
	cr_assert(b.fd >= 0 && reason == PAGEMV_REASON_NONE);
	b.dst = t_map(PAGES);
	b.src = t_map(PAGES);
	t_fill_range(b.src, PAGES, 1);
	fake_forget_counts();
	return b;
}

static void end(struct bed *b)
{
	fake_sys.close(b->fd);
	t_unmap(b->dst, PAGES);
	t_unmap(b->src, PAGES);
	cr_expect(fake_open_fds() == 0, "%d descriptors", fake_open_fds());
}

static struct pmv_step move(const struct bed *b)
{
	return pmv_companion_move(&fake_sys, b->fd, (uintptr_t)b->dst,
				  (uintptr_t)b->src, t_pages(PAGES));
}

/* ---- opening ---- */

static void expect_refused(enum pagemv_reason reason, int error)
{
	enum pagemv_reason why;
	uint64_t calls;
	int rc = pmv_companion_open(&fake_sys, -1, &calls, &why);

	cr_expect(rc == error, "%d, not %d", rc, error);
	cr_expect(why == reason, "%s", pagemv_reason_string(why));
	cr_expect(fake_open_fds() == 0, "%d descriptors", fake_open_fds());
	fake_behave();
}

static void expect_open_refused(int error, enum pagemv_reason reason)
{
	fake_add((struct fake_rule){
		.call = FAKE_OPEN, .path = "/dev/pagemv", .error = error });
	expect_refused(reason, error);
}

static void expect_info_refused(int error, enum pagemv_reason reason)
{
	fake_fail(FAKE_INFO, 1, error);
	expect_refused(reason, error);
}

Test(companion, a_device_that_cannot_be_opened_says_why)
{
	fake_companion(true);
	expect_open_refused(-ENOENT, PAGEMV_REASON_NOT_IN_KERNEL);
	expect_open_refused(-ENODEV, PAGEMV_REASON_NOT_IN_KERNEL);
	expect_open_refused(-ENXIO, PAGEMV_REASON_NOT_IN_KERNEL);
	expect_open_refused(-EACCES, PAGEMV_REASON_NOT_PERMITTED);
	expect_open_refused(-EPERM, PAGEMV_REASON_NOT_PERMITTED);
	expect_open_refused(-EMFILE, PAGEMV_REASON_NO_MEMORY);
	expect_open_refused(-ENFILE, PAGEMV_REASON_NO_MEMORY);
	expect_open_refused(-ENOMEM, PAGEMV_REASON_NO_MEMORY);
	fake_companion(false);
	expect_refused(PAGEMV_REASON_NOT_IN_KERNEL, -ENOENT);
}

Test(companion, a_device_that_is_another_one_says_so)
{
	fake_companion(true);
	expect_info_refused(-ENOTTY, PAGEMV_REASON_OTHER_DEVICE);
	expect_info_refused(-EINVAL, PAGEMV_REASON_OTHER_DEVICE);
	expect_info_refused(-E2BIG, PAGEMV_REASON_OTHER_VERSION);
	expect_info_refused(-EPERM, PAGEMV_REASON_FILTERED);
	expect_info_refused(-EACCES, PAGEMV_REASON_FILTERED);
	expect_info_refused(-ENOSYS, PAGEMV_REASON_FILTERED);
	expect_info_refused(-EIO, PAGEMV_REASON_UNEXPECTED);
}

Test(companion, what_the_device_says_of_itself_is_read)
{
	enum pagemv_reason why;
	uint64_t calls;
	int fd;

	setenv("FAKE_UFFD", "1", 1);
	fake_companion(true);
	fake_companion_version(2, 15);
	expect_refused(PAGEMV_REASON_OTHER_VERSION, 0);
	fake_companion_version(0, 15);
	expect_refused(PAGEMV_REASON_OTHER_VERSION, 0);
	fake_companion_version(1, 0xd);
	expect_refused(PAGEMV_REASON_OTHER_VERSION, 0);
	fake_companion_version(1, 3);
	fd = pmv_companion_open(&fake_sys, -1, &calls, &why);
	cr_expect(fd >= 0 && calls == 3);
	fake_sys.close(fd);
}

Test(companion, a_descriptor_that_is_given_stays_the_callers)
{
	enum pagemv_reason why;
	uint64_t calls;
	int given, fd;

	fake_companion(true);
	given = fake_sys.open("/dev/pagemv", O_RDWR);
	fd = pmv_companion_open(&fake_sys, given, &calls, &why);
	cr_expect(fd >= 0 && fd != given);
	fake_sys.close(fd);
	cr_expect(fake_open_fds() == 1);
	fake_sys.close(given);
	fake_fail(FAKE_DUP, 1, -EBADF);
	cr_expect(pmv_companion_open(&fake_sys, 99, &calls, &why) == -EBADF);
}

/* ---- moving ---- */

Test(companion, a_move_is_one_ioctl)
{
	struct bed b = begin();
	struct pmv_step step = move(&b);

	cr_expect(step.done == t_pages(PAGES) && !step.error && !step.holes);
	cr_expect(fake_total() == 1 && fake_count(FAKE_REMAP) == 1);
	EXPECT_RIGHT(t_check_range(b.dst, PAGES, 1));
	EXPECT_RIGHT(t_check_absent(b.src, PAGES));
	end(&b);
}

Test(companion, every_errno_comes_through)
{
	static const int errors[] = { -EAGAIN, -EBUSY,	-EEXIST, -EFAULT,
				      -EINTR,  -EINVAL, -ENOENT, -ENOMEM,
				      -ENOSYS, -EPERM,	-ESRCH,	 -ENOTTY };
	struct bed b = begin();

	for (size_t i = 0; i < T_COUNT(errors); i++) {
		struct pmv_step step;

		fake_add((struct fake_rule){ .call = FAKE_REMAP,
					     .error = errors[i],
					     .tell = true,
					     .told = errors[i] });
		step = move(&b);
		cr_expect(step.error == errors[i] && step.done == 0);
		fake_behave();
	}
	EXPECT_RIGHT(t_check_range(b.src, PAGES, 1));
	end(&b);
}

Test(companion, progress_is_told_at_each_place)
{
	for (size_t n = 1; n < PAGES; n++) {
		struct bed b = begin();
		struct pmv_step step;

		fake_add((struct fake_rule){ .call = FAKE_REMAP,
					     .error = -EAGAIN,
					     .really = t_pages(n),
					     .tell = true,
					     .told = (int64_t)t_pages(n) });
		step = move(&b);
		cr_expect(step.error == -EAGAIN && step.done == t_pages(n));
		EXPECT_RIGHT(t_check_range(b.dst, n, 1));
		EXPECT_RIGHT(
			t_check_range(b.src + t_pages(n), PAGES - n, n + 1));
		end(&b);
	}
}

Test(companion, no_more_is_believed_than_was_asked_for)
{
	struct bed b = begin();
	struct pmv_step step;

	fake_add((struct fake_rule){ .call = FAKE_REMAP,
				     .error = -EAGAIN,
				     .tell = true,
				     .told = INT64_MAX });
	step = move(&b);
	cr_expect(step.done == t_pages(PAGES));
	end(&b);
}

Test(companion, holes_may_be_taken_along)
{
	struct bed b = begin();
	struct pmv_step step;

	t_drop(b.src + t_pages(2), 1);
	step = move(&b);
	cr_expect(step.error == -EAGAIN && step.done == t_pages(2));
	step = pmv_companion_move_sparse(
		&fake_sys, b.fd, (uintptr_t)b.dst + t_pages(2),
		(uintptr_t)b.src + t_pages(2), t_pages(PAGES - 2));
	cr_expect(!step.error && step.done == t_pages(PAGES - 2));
	EXPECT_RIGHT(t_check_range(b.dst + t_pages(3), PAGES - 3, 4));
	end(&b);
}

Test(companion, a_vector_tells_of_each_range)
{
	struct bed b = begin();
	struct pmv_companion_range r[3];
	int rc;

	for (size_t i = 0; i < 3; i++)
		r[i] = (struct pmv_companion_range){
			.dst = (uintptr_t)b.dst + t_pages(3 * i),
			.src = (uintptr_t)b.src + t_pages(3 * i),
			.len = t_pages(2),
			.moved = 77,
		};
	t_drop(b.src + t_pages(3), 1);
	t_drop(b.src + t_pages(7), 1);
	rc = pmv_companion_move_ranges(&fake_sys, b.fd, r, 3);
	cr_expect(rc == -EAGAIN, "%d", rc);
	cr_expect(fake_count(FAKE_REMAPV) == 1);
	cr_expect(pmv_companion_moved(&r[0]) == t_pages(2));
	cr_expect(r[1].moved == -ENOENT);
	cr_expect(pmv_companion_moved(&r[1]) == 0);
	cr_expect(pmv_companion_moved(&r[2]) == t_pages(1));
	end(&b);
}

Test(companion, a_vector_that_fails_has_moved_nothing)
{
	struct bed b = begin();
	struct pmv_companion_range r = {
		.dst = (uintptr_t)b.dst,
		.src = (uintptr_t)b.src,
		.len = t_pages(2),
		.moved = 77,
	};

	fake_fail(FAKE_REMAPV, 1, -ENOMEM);
	cr_expect(pmv_companion_move_ranges(&fake_sys, b.fd, &r, 1) == -ENOMEM);
	cr_expect(pmv_companion_moved(&r) == 0);
	r.moved = INT64_MAX;
	cr_expect(pmv_companion_moved(&r) == t_pages(2));
	end(&b);
}

Test(companion, an_exchange_is_one_ioctl)
{
	struct bed b = begin();
	struct pmv_step step;

	t_fill_range(b.dst, PAGES, 101);
	t_drop(b.dst + t_pages(1), 1);
	fake_forget_counts();
	step = pmv_companion_exchange(&fake_sys, b.fd, (uintptr_t)b.dst,
				      (uintptr_t)b.src, t_pages(PAGES));
	cr_expect(!step.error && step.done == t_pages(PAGES));
	cr_expect(fake_total() == 1 && fake_count(FAKE_EXCHANGE) == 1);
	EXPECT_RIGHT(t_check_range(b.dst, PAGES, 1));
	EXPECT_RIGHT(t_check_range(b.src, 1, 101));
	EXPECT_RIGHT(t_check_absent(b.src + t_pages(1), 1));
	end(&b);
}
