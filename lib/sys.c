// SPDX-License-Identifier: LGPL-2.1-or-later
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

static int sys_ioctl(int fd, unsigned long request, void *arg)
{
	int rc = ioctl(fd, request, arg);

	return rc < 0 ? -errno : rc;
}

static int sys_userfaultfd(int flags)
{
	long rc = syscall(SYS_userfaultfd, flags);

	return rc < 0 ? -errno : (int)rc;
}

static int sys_open(const char *path, int flags)
{
	int rc = open(path, flags | O_CLOEXEC);

	return rc < 0 ? -errno : rc;
}

static int sys_close(int fd)
{
	return close(fd) < 0 ? -errno : 0;
}

static ssize_t sys_read(int fd, void *buf, size_t bytes)
{
	ssize_t rc = read(fd, buf, bytes);

	return rc < 0 ? -errno : rc;
}

static ssize_t sys_pread(int fd, void *buf, size_t bytes, off_t off)
{
	ssize_t rc = pread(fd, buf, bytes, off);

	return rc < 0 ? -errno : rc;
}

static int sys_mmap(uintptr_t *out, size_t bytes, int prot)
{
	void *addr = mmap(NULL, bytes, prot,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (addr == MAP_FAILED)
		return -errno;
	*out = (uintptr_t)addr;
	return 0;
}

static int sys_munmap(uintptr_t addr, size_t bytes)
{
	return munmap((void *)addr, bytes) < 0 ? -errno : 0;
}

static int sys_mremap(uintptr_t src, size_t bytes, uintptr_t dst)
{
	void *addr = mremap((void *)src, bytes, bytes,
			    MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
			    (void *)dst);

	return addr == MAP_FAILED ? -errno : 0;
}

static int sys_madvise(uintptr_t addr, size_t bytes, int advice)
{
	return madvise((void *)addr, bytes, advice) < 0 ? -errno : 0;
}

static int sys_mincore(uintptr_t addr, size_t bytes, unsigned char *vec)
{
	return mincore((void *)addr, bytes, vec) < 0 ? -errno : 0;
}

static int sys_getpid(void)
{
	return (int)getpid();
}

static int sys_uname(char *release, size_t bytes)
{
	struct utsname name;

	if (uname(&name) < 0)
		return -errno;
	snprintf(release, bytes, "%s", name.release);
	return 0;
}

static void sys_yield(void)
{
	sched_yield();
}

static void sys_sleep_ns(uint64_t ns)
{
	struct timespec t = {
		.tv_sec = (time_t)(ns / 1000000000u),
		.tv_nsec = (long)(ns % 1000000000u),
	};

	/* Not clock_nanosleep(), which is a cancellation point as well; the
	 * raw call is none, so a move is never cancelled half-way. */
	syscall(SYS_nanosleep, &t, NULL);
}

static uint64_t sys_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

const struct pmv_sys pmv_sys_linux = {
	.ioctl = sys_ioctl,
	.userfaultfd = sys_userfaultfd,
	.open = sys_open,
	.close = sys_close,
	.read = sys_read,
	.pread = sys_pread,
	.mmap = sys_mmap,
	.munmap = sys_munmap,
	.mremap = sys_mremap,
	.madvise = sys_madvise,
	.mincore = sys_mincore,
	.getpid = sys_getpid,
	.uname = sys_uname,
	.yield = sys_yield,
	.sleep_ns = sys_sleep_ns,
	.now_ns = sys_now_ns,
};
