// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Kernel assumptions:
 *
 * ASSUME(uffd-partial): counted progress is told as EAGAIN with a positive
 *   count; a real errno comes with no counted progress only.
 *   mm/userfaultfd.c, userfaultfd_move() and userfaultfd_copy().
 * ASSUME(uffd-untouched): early refusals do not write the result field, and
 *   before May 2025 neither did EAGAIN from mmap_changing (95567729173e).
 *   Hence it is preset to 0.
 */
#include "uffd.h"

#include <errno.h>
#include <fcntl.h>

#include <pagemv/caps.h>

#include "uffd_uapi.h"

int pmv_uffd_open(const struct pmv_sys *sys, int how, int dev_fd)
{
	int fd, rc;

	switch (how) {
	case PAGEMV_UFFD_USER_MODE:
		return sys->userfaultfd(O_CLOEXEC | O_NONBLOCK |
					PMV_UFFD_USER_MODE_ONLY);
	case PAGEMV_UFFD_SYSCALL:
		return sys->userfaultfd(O_CLOEXEC | O_NONBLOCK);
	case PAGEMV_UFFD_DEVICE:
		fd = dev_fd >= 0 ? dev_fd
				 : sys->open("/dev/userfaultfd", O_RDWR);
		if (fd < 0)
			return fd;
		rc = sys->ioctl(fd, PMV_USERFAULTFD_IOC_NEW,
				(void *)(uintptr_t)(O_CLOEXEC | O_NONBLOCK));
		if (fd != dev_fd)
			sys->close(fd);
		return rc;
	default:
		return -EINVAL;
	}
}

int pmv_uffd_api(const struct pmv_sys *sys, int fd, uint64_t *features)
{
	struct uffdio_api api = { .api = UFFD_API };
	int rc = sys->ioctl(fd, UFFDIO_API, &api);

	if (rc < 0)
		return rc;
	*features = api.features;
	return 0;
}

static int uffd_register(const struct pmv_sys *sys, int fd, uintptr_t addr,
			 size_t bytes, uint64_t mode, uint64_t *ioctls)
{
	struct uffdio_register reg = {
		.range = { .start = addr, .len = bytes },
		.mode = mode,
	};
	int rc = sys->ioctl(fd, UFFDIO_REGISTER, &reg);

	if (rc < 0)
		return rc;
	if (ioctls)
		*ioctls = reg.ioctls;
	return 0;
}

int pmv_uffd_register(const struct pmv_sys *sys, int fd, uintptr_t addr,
		      size_t bytes, uint64_t *ioctls)
{
	return uffd_register(sys, fd, addr, bytes, UFFDIO_REGISTER_MODE_WP,
			     ioctls);
}

int pmv_uffd_unregister(const struct pmv_sys *sys, int fd, uintptr_t addr,
			size_t bytes)
{
	struct uffdio_range range = { .start = addr, .len = bytes };

	return sys->ioctl(fd, UFFDIO_UNREGISTER, &range);
}

int pmv_uffd_detach(const struct pmv_sys *sys, int fd, uintptr_t addr,
		    size_t bytes)
{
	int rc = uffd_register(sys, fd, addr, bytes,
			       UFFDIO_REGISTER_MODE_MISSING, NULL);

	if (rc < 0)
		return rc;
	rc = pmv_uffd_unregister(sys, fd, addr, bytes);
	/* Nobody answers missing faults: not to be left like that. */
	if (rc < 0)
		pmv_uffd_register(sys, fd, addr, bytes, NULL);
	return rc;
}

/*
 * From the ioctl's return value and the signed field that it wrote to a
 * step. ASSUME(uffd-partial)
 */
static PMV_HOT struct pmv_step uffd_step(int rc, int64_t result, size_t bytes)
{
	struct pmv_step step = { .error = rc };

	if (rc == 0)
		step.done = bytes;
	else if (rc == -EAGAIN && result > 0)
		step.done = pmv_min((size_t)result, bytes);
	return step;
}

PMV_HOT struct pmv_step pmv_uffd_move(const struct pmv_sys *sys, int fd,
				      uintptr_t dst, uintptr_t src,
				      size_t bytes)
{
	/* move = 0: ASSUME(uffd-untouched) */
	struct pmv_uffdio_move arg = { .dst = dst, .src = src, .len = bytes };
	int rc = sys->ioctl(fd, PMV_UFFDIO_MOVE, &arg);

	return uffd_step(rc, arg.move, bytes);
}

struct pmv_step pmv_uffd_copy(const struct pmv_sys *sys, int fd, uintptr_t dst,
			      uintptr_t src, size_t bytes)
{
	struct uffdio_copy arg = { .dst = dst, .src = src, .len = bytes };
	int rc = sys->ioctl(fd, UFFDIO_COPY, &arg);

	return uffd_step(rc, arg.copy, bytes);
}

int pmv_uffd_wake(const struct pmv_sys *sys, int fd, uintptr_t addr,
		  size_t bytes)
{
	struct uffdio_range range = { .start = addr, .len = bytes };

	return sys->ioctl(fd, UFFDIO_WAKE, &range);
}

bool pmv_uffd_has_move(uint64_t ioctls)
{
	return ioctls & (1ull << PMV_UFFDIO_MOVE_NR);
}

bool pmv_uffd_has_copy(uint64_t ioctls)
{
	return ioctls & (1ull << _UFFDIO_COPY);
}
