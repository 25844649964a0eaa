// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Kernel assumptions:
 *
 * ASSUME(companion-result): each call writes what it did, bytes or a negative
 *   errno, and returns 0 for all, EAGAIN for some, else the errno. No page that
 *   moved is left uncounted. kmod/uapi/linux/pagemv.h
 * ASSUME(companion-mm): a descriptor serves the address space that opened it,
 *   and any other is refused with EINVAL, a forked child's as well.
 */
#include "companion.h"

#include <errno.h>
#include <fcntl.h>

#define DEVICE "/dev/pagemv"

/* What the module answers to the first question, as a reason. */
static enum pagemv_reason why_not(int error)
{
	switch (error) {
	case -ENOTTY:
	case -EINVAL:
		return PAGEMV_REASON_OTHER_DEVICE;
	case -E2BIG:
		return PAGEMV_REASON_OTHER_VERSION;
	case -EPERM:
	case -EACCES:
	case -ENOSYS:
		return PAGEMV_REASON_FILTERED;
	default:
		return PAGEMV_REASON_UNEXPECTED;
	}
}

static enum pagemv_reason why_not_open(int error)
{
	switch (error) {
	case -EPERM:
	case -EACCES:
		return PAGEMV_REASON_NOT_PERMITTED;
	case -EMFILE:
	case -ENFILE:
	case -ENOMEM:
		return PAGEMV_REASON_NO_MEMORY;
	default:
		return PAGEMV_REASON_NOT_IN_KERNEL;
	}
}

/* 0, or the errno; *reason tells in any case. */
static int ask(const struct pmv_sys *sys, int fd, uint64_t *calls,
	       enum pagemv_reason *reason)
{
	struct pmv_companion_info info = { .size = sizeof(info) };
	int rc = sys->ioctl(fd, PMV_COMPANION_INFO, &info);

	*reason = PAGEMV_REASON_NONE;
	*calls = info.calls;
	if (rc < 0)
		*reason = why_not(rc);
	else if (info.version != PMV_COMPANION_VERSION ||
		 !(info.calls & PMV_COMPANION_CAN_MOVE))
		*reason = PAGEMV_REASON_OTHER_VERSION;
	return rc;
}

int pmv_companion_open(const struct pmv_sys *sys, int given, uint64_t *calls,
		       enum pagemv_reason *reason)
{
	int fd = given >= 0 ? sys->dup_from(given, 0)
			    : sys->open(DEVICE, O_RDWR);
	int rc;

	if (fd < 0) {
		*reason = why_not_open(fd);
		return fd;
	}
	rc = ask(sys, fd, calls, reason);
	if (!*reason)
		return fd;
	sys->close(fd);
	return rc;
}

/* ASSUME(companion-result) */
static PMV_HOT struct pmv_step step_of(int rc, int64_t moved, size_t bytes)
{
	struct pmv_step step = { .error = rc };

	if (rc == 0)
		step.done = bytes;
	else if (rc == -EAGAIN && moved > 0)
		step.done = pmv_min((size_t)moved, bytes);
	return step;
}

static PMV_HOT struct pmv_step remap(const struct pmv_sys *sys, int fd,
				     uintptr_t dst, uintptr_t src, size_t bytes,
				     uint64_t mode)
{
	struct pmv_companion_remap arg = {
		.dst = dst, .src = src, .len = bytes, .mode = mode
	};
	int rc = sys->ioctl(fd, PMV_COMPANION_REMAP, &arg);

	return step_of(rc, arg.moved, bytes);
}

PMV_HOT struct pmv_step pmv_companion_move(const struct pmv_sys *sys, int fd,
					   uintptr_t dst, uintptr_t src,
					   size_t bytes)
{
	return remap(sys, fd, dst, src, bytes, 0);
}

struct pmv_step pmv_companion_move_sparse(const struct pmv_sys *sys, int fd,
					  uintptr_t dst, uintptr_t src,
					  size_t bytes)
{
	return remap(sys, fd, dst, src, bytes, PMV_COMPANION_MODE_HOLES);
}

int pmv_companion_move_ranges(const struct pmv_sys *sys, int fd,
			      struct pmv_companion_range *ranges, size_t n)
{
	struct pmv_companion_remapv arg = {
		.size = sizeof(arg),
		.ranges = (uintptr_t)ranges,
		.count = (uint32_t)n,
	};

	for (size_t i = 0; i < n; i++)
		ranges[i].moved = 0;
	return sys->ioctl(fd, PMV_COMPANION_REMAPV, &arg);
}

size_t pmv_companion_moved(const struct pmv_companion_range *range)
{
	return range->moved > 0 ? pmv_min((size_t)range->moved, range->len) : 0;
}

struct pmv_step pmv_companion_exchange(const struct pmv_sys *sys, int fd,
				       uintptr_t a, uintptr_t b, size_t bytes)
{
	struct pmv_companion_exchange arg = {
		.size = sizeof(arg), .a = a, .b = b, .len = bytes
	};
	int rc = sys->ioctl(fd, PMV_COMPANION_EXCHANGE, &arg);

	return step_of(rc, arg.moved, bytes);
}
