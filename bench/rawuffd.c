// SPDX-License-Identifier: LGPL-2.1-or-later
#include "rawuffd.h"
#include "kernel_abi.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BUSY_TRIES 100

static int open_device(void)
{
	int dev = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	int fd;

	if (dev < 0)
		return -1;
	fd = ioctl(dev, BENCH_USERFAULTFD_IOC_NEW, O_CLOEXEC);
	close(dev);
	return fd;
}

static int open_any(void)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	if (fd < 0)
		fd = open_device();
	if (fd < 0)
		fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	return fd;
}

/* The registration of one page tells whether UFFDIO_MOVE is there. */
static bool find_move(int fd)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *addr = mmap(NULL, page, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)addr, .len = page },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};
	bool found;

	if (addr == MAP_FAILED)
		return false;
	found = !ioctl(fd, UFFDIO_REGISTER, &reg) &&
		reg.ioctls & 1ull << BENCH_UFFDIO_MOVE_NR;
	munmap(addr, page);
	return found;
}

void bench_rawuffd_open(struct bench_rawuffd *raw, uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };

	raw->has_move = false;
	raw->error = 0;
	raw->fd = open_any();
	if (raw->fd < 0) {
		raw->error = -errno;
		return;
	}
	if (ioctl(raw->fd, UFFDIO_API, &api)) {
		raw->error = -errno;
		bench_rawuffd_close(raw);
		return;
	}
	raw->has_move = find_move(raw->fd);
}

void bench_rawuffd_close(struct bench_rawuffd *raw)
{
	if (raw->fd >= 0)
		close(raw->fd);
	raw->fd = -1;
}

int bench_rawuffd_register(const struct bench_rawuffd *raw, void *addr,
			   size_t len_bytes, bool missing)
{
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)addr, .len = len_bytes },
		.mode = missing ? UFFDIO_REGISTER_MODE_MISSING
				: UFFDIO_REGISTER_MODE_WP,
	};

	return ioctl(raw->fd, UFFDIO_REGISTER, &reg) ? -errno : 0;
}

int bench_rawuffd_unregister(const struct bench_rawuffd *raw, void *addr,
			     size_t len_bytes)
{
	struct uffdio_range range = {
		.start = (uintptr_t)addr,
		.len = len_bytes,
	};

	return ioctl(raw->fd, UFFDIO_UNREGISTER, &range) ? -errno : 0;
}

int bench_rawuffd_move(int fd, void *dst, void *src, size_t len_bytes)
{
	struct bench_uffdio_move move = {
		.dst = (uintptr_t)dst,
		.src = (uintptr_t)src,
		.len = len_bytes,
	};
	unsigned int busy_tries = BUSY_TRIES;

	while (ioctl(fd, BENCH_UFFDIO_MOVE, &move)) {
		/* A huge page that cannot be split just now passes. */
		if (errno == EBUSY && busy_tries--)
			continue;
		if (errno != EAGAIN || move.move <= 0)
			return -errno;
		move.dst += (uint64_t)move.move;
		move.src += (uint64_t)move.move;
		move.len -= (uint64_t)move.move;
		move.move = 0;
	}
	return 0;
}

int bench_rawuffd_copy(int fd, void *dst, const void *src, size_t len_bytes)
{
	struct uffdio_copy copy = {
		.dst = (uintptr_t)dst,
		.src = (uintptr_t)src,
		.len = len_bytes,
	};

	while (ioctl(fd, UFFDIO_COPY, &copy)) {
		if (errno != EAGAIN || copy.copy <= 0)
			return -errno;
		copy.dst += (uint64_t)copy.copy;
		copy.src += (uint64_t)copy.copy;
		copy.len -= (uint64_t)copy.copy;
		copy.copy = 0;
	}
	return 0;
}
