/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake_uffd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "proc.h"
#include "rawuffd.h"
#include "t.h"
#include "uffd.h"
#include "uffd_uapi.h"

#define RANGES 4096
#define FDS    16
/* As Linux 5.7; but no faults are played, only their registration. */
#define FEATURES                                                              \
	(PMV_UFFD_EVENT_FORK | PMV_UFFD_EVENT_REMAP | PMV_UFFD_EVENT_REMOVE | \
	 PMV_UFFD_EVENT_UNMAP | PMV_UFFD_SIGBUS | PMV_UFFD_THREAD_ID)

struct range {
	int fd;
	uintptr_t start, end;
};

static struct range ranges[RANGES];
static size_t n_ranges;
static int fds[FDS];
static size_t n_fds;
static pid_t owner; /* a forked child moves nothing of its parent's */

bool fake_uffd_in_kernel(void)
{
	return t_uffd_can_move() == 0;
}

int fake_uffd_open(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (n_fds == FDS)
		t_die("too many played userfaultfds");
	fds[n_fds++] = fd;
	owner = getpid();
	return fd;
}

bool fake_uffd_owns(int fd)
{
	for (size_t i = 0; i < n_fds; i++)
		if (fds[i] == fd)
			return true;
	return false;
}

static void forget(size_t i)
{
	ranges[i] = ranges[--n_ranges];
}

void fake_uffd_close(int fd)
{
	for (size_t i = 0; i < n_fds; i++)
		if (fds[i] == fd)
			fds[i] = fds[--n_fds];
	for (size_t i = 0; i < n_ranges;)
		if (ranges[i].fd == fd)
			forget(i);
		else
			i++;
}

static void add_range(int fd, uintptr_t start, uintptr_t end)
{
	if (start >= end)
		return;
	if (n_ranges == RANGES)
		t_die("too many played registrations");
	ranges[n_ranges++] = (struct range){ fd, start, end };
}

/* Takes a range out of all registrations. */
static void cut(uintptr_t start, uintptr_t end)
{
	for (size_t i = 0; i < n_ranges;) {
		struct range r = ranges[i];

		if (r.end <= start || end <= r.start) {
			i++;
			continue;
		}
		forget(i);
		add_range(r.fd, r.start, start);
		add_range(r.fd, end, r.end);
		i = 0;
	}
}

void fake_uffd_gone(uintptr_t addr, size_t bytes)
{
	cut(addr, addr + bytes);
}

/* The registration that holds addr, or NULL. */
static const struct range *range_at(uintptr_t addr)
{
	for (size_t i = 0; i < n_ranges; i++)
		if (ranges[i].start <= addr && addr < ranges[i].end)
			return &ranges[i];
	return NULL;
}

static bool registered(int fd, uintptr_t start, uintptr_t end)
{
	while (start < end) {
		const struct range *r = range_at(start);

		if (!r || r->fd != fd)
			return false;
		start = r->end;
	}
	return true;
}

static bool mapped(uintptr_t addr, size_t bytes)
{
	return msync((void *)addr, bytes, MS_ASYNC) == 0;
}

static bool in_one_mapping(uintptr_t addr, size_t bytes)
{
	if (!mapped(addr, bytes))
		return false;
	/* Reading the mappings is most of the time of a small move. */
	return bytes <= t_page() ||
	       t_count_mappings_in((void *)addr, bytes) == 1;
}

static int play_register(int fd, struct uffdio_register *reg)
{
	uintptr_t start = reg->range.start, end = start + reg->range.len;

	if (!mapped(start, reg->range.len))
		return -EINVAL;
	for (size_t i = 0; i < n_ranges; i++)
		if (ranges[i].fd != fd && ranges[i].start < end &&
		    start < ranges[i].end)
			return -EBUSY;
	cut(start, end);
	add_range(fd, start, end);
	/* What is played by a store must not fill a huge page. */
	madvise((void *)start, reg->range.len, MADV_NOHUGEPAGE);
	reg->ioctls = 1ull << _UFFDIO_WAKE | 1ull << _UFFDIO_COPY |
		      1ull << PMV_UFFDIO_MOVE_NR;
	return 0;
}

static int move_page(int fd, uintptr_t dst, uintptr_t src)
{
	if (!registered(fd, dst, dst + t_page()))
		return -EINVAL;
	if (t_present((void *)dst))
		return -EEXIST;
	if (!t_present((void *)src))
		return -ENOENT;
	memcpy((void *)dst, (void *)src, t_page());
	madvise((void *)src, t_page(), MADV_DONTNEED);
	return 0;
}

static int move_page_or_hole(int fd, uintptr_t dst, uintptr_t src)
{
	int rc = move_page(fd, dst, src);

	return rc == -ENOENT ? 0 : rc;
}

/* Whether the kernel could read it for this process. */
static bool readable(uintptr_t addr)
{
	char byte;
	struct iovec here = { &byte, 1 }, there = { (void *)addr, 1 };

	return t_present((void *)addr) ||
	       process_vm_readv(getpid(), &here, 1, &there, 1, 0) == 1;
}

static int copy_page(int fd, uintptr_t dst, uintptr_t src)
{
	if (!registered(fd, dst, dst + t_page()))
		return -ENOENT;
	if (!readable(src))
		return -EFAULT;
	if (t_present((void *)dst))
		return -EEXIST;
	memcpy((void *)dst, (void *)src, t_page());
	return 0;
}

/* The page loop: the count or the error goes where the kernel puts it. */
static int pages(int (*page)(int fd, uintptr_t dst, uintptr_t src), int fd,
		 uint64_t dst, uint64_t src, uint64_t len, int64_t *told)
{
	uint64_t done = 0;
	int rc = 0;

	while (done < len && rc == 0) {
		rc = page(fd, dst + done, src + done);
		if (rc == 0)
			done += t_page();
	}
	*told = done ? (int64_t)done : rc;
	if (done == len)
		return 0;
	return done ? -EAGAIN : rc;
}

static int play_move(int fd, struct pmv_uffdio_move *m)
{
	if (owner != getpid() || !m->len)
		return -EINVAL;
	if ((m->dst | m->src | m->len) & (t_page() - 1))
		return -EINVAL;
	if (!mapped(m->dst, t_page()) || !mapped(m->src, t_page()))
		return -ENOENT;
	if (!in_one_mapping(m->dst, m->len) || !in_one_mapping(m->src, m->len))
		return -EINVAL;
	if (!registered(fd, m->dst, m->dst + m->len))
		return -EINVAL;
	return pages(m->mode & PMV_UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES
			     ? move_page_or_hole
			     : move_page,
		     fd, m->dst, m->src, m->len, &m->move);
}

static int play_copy(int fd, struct uffdio_copy *c)
{
	int64_t told;
	int rc = pages(copy_page, fd, c->dst, c->src, c->len, &told);

	c->copy = told;
	return rc;
}

static int zero_page(int fd, uintptr_t dst, uintptr_t src)
{
	(void)src;
	if (!registered(fd, dst, dst + t_page()))
		return -ENOENT;
	if (t_present((void *)dst))
		return -EEXIST;
	memset((void *)dst, 0, t_page());
	return 0;
}

static int play_zero(int fd, struct uffdio_zeropage *z)
{
	int64_t told;
	int rc = pages(zero_page, fd, z->range.start, 0, z->range.len, &told);

	z->zeropage = told;
	return rc;
}

static int play_unregister(int fd, const struct uffdio_range *range)
{
	(void)fd;
	cut(range->start, range->start + range->len);
	return 0;
}

int fake_uffd_ioctl(int fd, unsigned long request, void *arg)
{
	switch (request) {
	case UFFDIO_API:
		((struct uffdio_api *)arg)->features = FEATURES;
		return 0;
	case UFFDIO_REGISTER:
		return play_register(fd, arg);
	case UFFDIO_UNREGISTER:
		return play_unregister(fd, arg);
	case UFFDIO_WAKE:
		return 0;
	case PMV_UFFDIO_MOVE:
		return play_move(fd, arg);
	case UFFDIO_COPY:
		return play_copy(fd, arg);
	case UFFDIO_ZEROPAGE:
		return play_zero(fd, arg);
	default:
		return -EINVAL;
	}
}
