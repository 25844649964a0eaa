/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rawuffd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "t.h"

/* Debian 12's header ends before these. */
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

struct raw_move {
	uint64_t dst;
	uint64_t src;
	uint64_t len;
	uint64_t mode;
	int64_t move;
};

#define RAW_MOVE _IOWR(UFFDIO, 0x05, struct raw_move)

unsigned long t_uffd_move_request(void)
{
	return RAW_MOVE;
}

int t_uffd_open(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	int fd = (int)syscall(__NR_userfaultfd,
			      O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	int err;

	if (fd < 0)
		fd = (int)syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, UFFDIO_API, &api) == 0)
		return fd;
	err = errno;
	close(fd);
	return -err;
}

static int register_mode(int fd, void *addr, size_t bytes, uint64_t mode)
{
	struct uffdio_register reg = {
		.range = { (uintptr_t)addr, bytes },
		.mode = mode,
	};

	return ioctl(fd, UFFDIO_REGISTER, &reg) == 0 ? 0 : -errno;
}

int t_uffd_register_wp(int fd, void *addr, size_t bytes)
{
	return register_mode(fd, addr, bytes, UFFDIO_REGISTER_MODE_WP);
}

int t_uffd_register_missing(int fd, void *addr, size_t bytes)
{
	return register_mode(fd, addr, bytes, UFFDIO_REGISTER_MODE_MISSING);
}

int t_uffd_move(int fd, void *dst, void *src, size_t bytes, int64_t *done)
{
	struct raw_move m = { (uintptr_t)dst, (uintptr_t)src, bytes, 0, 0 };
	int r = ioctl(fd, RAW_MOVE, &m) == 0 ? 0 : -errno;

	if (done != NULL)
		*done = m.move;
	return r;
}

int t_uffd_copy(int fd, void *dst, void *src, size_t bytes, int64_t *done)
{
	struct uffdio_copy c = {
		.dst = (uintptr_t)dst,
		.src = (uintptr_t)src,
		.len = bytes,
	};
	int r = ioctl(fd, UFFDIO_COPY, &c) == 0 ? 0 : -errno;

	if (done != NULL)
		*done = c.copy;
	return r;
}

int t_uffd_can_move(void)
{
	char *p = t_map(2);
	int fd = t_uffd_open();
	int r = fd;

	if (fd >= 0) {
		r = t_uffd_register_wp(fd, p, t_page());
		if (r == 0) {
			p[t_page()] = 1;
			r = t_uffd_move(fd, p, p + t_page(), t_page(), NULL);
		}
		close(fd);
	}
	t_unmap(p, 2);
	return r;
}
