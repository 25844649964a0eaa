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
 * ASSUME(uffd-copy-order): UFFDIO_COPY looks at what is registered first
 *   (ENOENT), and reads the source next (EFAULT). mm/userfaultfd.c,
 *   mfill_atomic().
 */
#include "uffd.h"

#include <errno.h>
#include <fcntl.h>

#include <pagemv/caps.h>

#include "uffd_uapi.h"

/* What callers say is what the kernel is told. */
_Static_assert(PMV_UFFD_MISSING == UFFDIO_REGISTER_MODE_MISSING, "ABI");
_Static_assert(PMV_UFFD_WP == UFFDIO_REGISTER_MODE_WP, "ABI");
_Static_assert(PMV_UFFD_EVENT_FORK == UFFD_FEATURE_EVENT_FORK, "ABI");
_Static_assert(PMV_UFFD_EVENT_REMAP == UFFD_FEATURE_EVENT_REMAP, "ABI");
_Static_assert(PMV_UFFD_EVENT_REMOVE == UFFD_FEATURE_EVENT_REMOVE, "ABI");
_Static_assert(PMV_UFFD_EVENT_UNMAP == UFFD_FEATURE_EVENT_UNMAP, "ABI");
_Static_assert(PMV_UFFD_SIGBUS == UFFD_FEATURE_SIGBUS, "ABI");
_Static_assert(PMV_UFFD_THREAD_ID == UFFD_FEATURE_THREAD_ID, "ABI");

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
	struct uffdio_api api = { .api = UFFD_API, .features = *features };
	int rc = sys->ioctl(fd, UFFDIO_API, &api);

	if (rc < 0)
		return rc;
	*features = api.features;
	return 0;
}

int pmv_uffd_register_for(const struct pmv_sys *sys, int fd, uintptr_t addr,
			  size_t bytes, uint32_t what, uint64_t *ioctls)
{
	struct uffdio_register reg = {
		.range = { .start = addr, .len = bytes },
		.mode = what,
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
	return pmv_uffd_register_for(sys, fd, addr, bytes, PMV_UFFD_WP, ioctls);
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
	int rc = pmv_uffd_register_for(sys, fd, addr, bytes, PMV_UFFD_MISSING,
				       NULL);

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

struct pmv_step pmv_uffd_move_sparse(const struct pmv_sys *sys, int fd,
				     uintptr_t dst, uintptr_t src, size_t bytes)
{
	struct pmv_uffdio_move arg = {
		.dst = dst,
		.src = src,
		.len = bytes,
		.mode = PMV_UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES |
			PMV_UFFDIO_MOVE_MODE_DONTWAKE,
	};
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

/* By a copy that cannot be made. ASSUME(uffd-copy-order) */
int pmv_uffd_fills(const struct pmv_sys *sys, int fd, uintptr_t dst,
		   uintptr_t nowhere, size_t page_bytes)
{
	int rc = pmv_uffd_copy(sys, fd, dst, nowhere, page_bytes).error;

	switch (rc) {
	case -EFAULT:
	case -EEXIST:
		return 0;
	case -ENOENT:
		return -EINVAL;
	default:
		return rc;
	}
}

struct pmv_step pmv_uffd_zero(const struct pmv_sys *sys, int fd, uintptr_t dst,
			      size_t bytes)
{
	struct uffdio_zeropage arg = { .range = { dst, bytes } };
	int rc = sys->ioctl(fd, UFFDIO_ZEROPAGE, &arg);

	return uffd_step(rc, arg.zeropage, bytes);
}

struct pmv_step pmv_uffd_poison(const struct pmv_sys *sys, int fd,
				uintptr_t dst, size_t bytes)
{
	struct pmv_uffdio_poison arg = { .range = { dst, bytes } };
	int rc = sys->ioctl(fd, PMV_UFFDIO_POISON, &arg);

	return uffd_step(rc, arg.updated, bytes);
}

int pmv_uffd_protect(const struct pmv_sys *sys, int fd, uintptr_t addr,
		     size_t bytes, bool protect)
{
	struct uffdio_writeprotect arg = {
		.range = { addr, bytes },
		.mode = protect ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};

	return sys->ioctl(fd, UFFDIO_WRITEPROTECT, &arg);
}

int pmv_uffd_wake(const struct pmv_sys *sys, int fd, uintptr_t addr,
		  size_t bytes)
{
	struct uffdio_range range = { .start = addr, .len = bytes };

	return sys->ioctl(fd, UFFDIO_WAKE, &range);
}

static struct pmv_uffd_msg translate(const struct uffd_msg *m,
				     size_t page_bytes)
{
	struct pmv_uffd_msg msg = { .event = PMV_EVENT_OTHER, .fd = -1 };

	switch (m->event) {
	case UFFD_EVENT_PAGEFAULT:
		msg.event = m->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP
				    ? PMV_EVENT_WRITE
				    : PMV_EVENT_FAULT;
		msg.tid = (int)m->arg.pagefault.feat.ptid;
		msg.from = pmv_round_down(m->arg.pagefault.address, page_bytes);
		msg.bytes = page_bytes;
		break;
	case UFFD_EVENT_FORK:
		msg.event = PMV_EVENT_FORK;
		msg.fd = (int)m->arg.fork.ufd;
		break;
	case UFFD_EVENT_REMAP:
		msg.event = PMV_EVENT_REMAP;
		msg.from = m->arg.remap.from;
		msg.to = m->arg.remap.to;
		msg.bytes = m->arg.remap.len;
		break;
	case UFFD_EVENT_REMOVE:
	case UFFD_EVENT_UNMAP:
		msg.event = m->event == UFFD_EVENT_REMOVE ? PMV_EVENT_GONE
							  : PMV_EVENT_UNMAP;
		msg.from = m->arg.remove.start;
		msg.bytes = m->arg.remove.end - m->arg.remove.start;
		break;
	default:
		break;
	}
	return msg;
}

int pmv_uffd_read(const struct pmv_sys *sys, int fd, size_t page_bytes,
		  struct pmv_uffd_msg *msgs)
{
	struct uffd_msg raw[PMV_UFFD_MSGS];
	ssize_t n = sys->read(fd, raw, sizeof(raw));

	if (n < 0)
		return n == -EAGAIN ? 0 : (int)n;
	n /= (ssize_t)sizeof(raw[0]);
	for (ssize_t i = 0; i < n; i++)
		msgs[i] = translate(&raw[i], page_bytes);
	return (int)n;
}

bool pmv_uffd_has_move(uint64_t ioctls)
{
	return ioctls & (1ull << PMV_UFFDIO_MOVE_NR);
}

bool pmv_uffd_has_copy(uint64_t ioctls)
{
	return ioctls & (1ull << _UFFDIO_COPY);
}
