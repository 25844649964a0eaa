// SPDX-License-Identifier: LGPL-2.1-or-later
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "raw_syscall.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA	     0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

static PMV_HOT int sys_ioctl(int fd, unsigned long request, void *arg)
{
	return (int)pmv_syscall(SYS_ioctl, fd, (long)request, (long)arg, 0, 0);
}

static int sys_userfaultfd(int flags)
{
	return (int)pmv_syscall(SYS_userfaultfd, flags, 0, 0, 0, 0);
}

static int sys_open(const char *path, int flags)
{
	return (int)pmv_syscall(SYS_openat, AT_FDCWD, (long)path,
				flags | O_CLOEXEC, 0, 0);
}

static int sys_close(int fd)
{
	return (int)pmv_syscall(SYS_close, fd, 0, 0, 0, 0);
}

static int sys_dup_from(int fd, int least)
{
	return (int)pmv_syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, least, 0, 0);
}

static ssize_t sys_read(int fd, void *buf, size_t bytes)
{
	return pmv_syscall(SYS_read, fd, (long)buf, (long)bytes, 0, 0);
}

/* By the C library, which knows how offsets of 64 bits are passed. */
static ssize_t sys_pread(int fd, void *buf, size_t bytes, off_t off)
{
	int saved = errno;
	ssize_t n = pread(fd, buf, bytes, off);

	if (n < 0)
		n = -errno;
	errno = saved;
	return n;
}

static int sys_munlock(uintptr_t addr, size_t bytes)
{
	return (int)pmv_syscall(SYS_munlock, (long)addr, (long)bytes, 0, 0, 0);
}

/* By the C library, which knows how offsets are passed; not on any path that
 * moves pages without copying them. */
static int map(uintptr_t hint, uintptr_t *out, size_t bytes, int prot,
	       int flags)
{
	int saved = errno, rc = 0;
	void *addr = mmap((void *)hint, bytes, prot,
			  MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	if (addr == MAP_FAILED)
		rc = -errno;
	else
		*out = (uintptr_t)addr;
	errno = saved;
	if (rc == 0) {
		sys_munlock(*out, bytes);
		pmv_syscall(SYS_madvise, (long)addr, (long)bytes, MADV_DONTNEED,
			    0, 0);
	}
	return rc;
}

static int sys_mmap(uintptr_t *out, size_t bytes, int prot)
{
	return map(0, out, bytes, prot, MAP_NORESERVE);
}

static int sys_munmap(uintptr_t addr, size_t bytes)
{
	return (int)pmv_syscall(SYS_munmap, (long)addr, (long)bytes, 0, 0, 0);
}

/* Left as mlockall() makes it: where the program wants its memory locked, that
 * of heaps is. */
static int reserve(uintptr_t hint, uintptr_t *out, size_t bytes, int flags)
{
	int saved = errno, rc = 0;
	void *addr = mmap((void *)hint, bytes, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags,
			  -1, 0);

	if (addr == MAP_FAILED)
		rc = -errno;
	else
		*out = (uintptr_t)addr;
	errno = saved;
	return rc;
}

static int sys_reserve(uintptr_t hint, uintptr_t *out, size_t bytes)
{
	return reserve(hint, out, bytes, 0);
}

static int sys_reserve_over(uintptr_t addr, size_t bytes)
{
	return reserve(addr, &addr, bytes, MAP_FIXED);
}

static int sys_mprotect(uintptr_t addr, size_t bytes, int prot)
{
	return (int)pmv_syscall(SYS_mprotect, (long)addr, (long)bytes, prot, 0,
				0);
}

static int sys_name_memory(uintptr_t addr, size_t bytes, const char *name)
{
	return (int)pmv_syscall(SYS_prctl, PR_SET_VMA, PR_SET_VMA_ANON_NAME,
				(long)addr, (long)bytes, (long)name);
}

static int sys_limit(int resource, uint64_t *out)
{
	int saved = errno, rc = 0;
	struct rlimit limit;

	if (getrlimit((unsigned int)resource, &limit) < 0)
		rc = -errno;
	else
		*out = limit.rlim_cur;
	errno = saved;
	return rc;
}

/* Before Linux 4.17 the address was only a hint. */
static int sys_mmap_at(uintptr_t addr, size_t bytes, int prot)
{
	uintptr_t got = addr;
	int rc = map(addr, &got, bytes, prot, MAP_FIXED_NOREPLACE);

	if (rc == 0 && got != addr) {
		sys_munmap(got, bytes);
		rc = -EEXIST;
	}
	return rc;
}

static int sys_mremap(uintptr_t src, size_t bytes, uintptr_t dst)
{
	long rc = pmv_syscall(SYS_mremap, (long)src, (long)bytes, (long)bytes,
			      MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
			      (long)dst);

	return (uintptr_t)rc == dst ? 0 : (int)rc;
}

static int sys_madvise(uintptr_t addr, size_t bytes, int advice)
{
	return (int)pmv_syscall(SYS_madvise, (long)addr, (long)bytes, advice, 0,
				0);
}

static int sys_msync(uintptr_t addr, size_t bytes, int flags)
{
	return (int)pmv_syscall(SYS_msync, (long)addr, (long)bytes, flags, 0,
				0);
}

static int sys_mlock_on_fault(uintptr_t addr, size_t bytes)
{
	return (int)pmv_syscall(SYS_mlock2, (long)addr, (long)bytes,
				MLOCK_ONFAULT, 0, 0);
}

static int sys_mincore(uintptr_t addr, size_t bytes, unsigned char *vec)
{
	return (int)pmv_syscall(SYS_mincore, (long)addr, (long)bytes, (long)vec,
				0, 0);
}

static int sys_futex_wait(const uint32_t *word, uint32_t value,
			  uint64_t timeout_ns)
{
	struct timespec t = {
		.tv_sec = (time_t)(timeout_ns / 1000000000u),
		.tv_nsec = (long)(timeout_ns % 1000000000u),
	};

	return (int)pmv_syscall(SYS_futex, (long)word,
				FUTEX_WAIT | FUTEX_PRIVATE_FLAG, (long)value,
				timeout_ns ? (long)&t : 0, 0);
}

static int sys_futex_wake(const uint32_t *word)
{
	return (int)pmv_syscall(SYS_futex, (long)word,
				FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX, 0, 0);
}

static int sys_poll(struct pollfd *fds, size_t n, int timeout_ms)
{
	struct timespec t = {
		.tv_sec = timeout_ms / 1000,
		.tv_nsec = timeout_ms % 1000 * 1000000L,
	};

	return (int)pmv_syscall(SYS_ppoll, (long)fds, (long)n,
				timeout_ms < 0 ? 0 : (long)&t, 0, 0);
}

static int sys_eventfd(void)
{
	return (int)pmv_syscall(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK, 0,
				0, 0);
}

static ssize_t sys_write(int fd, const void *buf, size_t bytes)
{
	return pmv_syscall(SYS_write, fd, (long)buf, (long)bytes, 0, 0);
}

static int sys_queue_signal(int tid, int signal, const siginfo_t *info)
{
	long pid = pmv_syscall(SYS_getpid, 0, 0, 0, 0, 0);

	return (int)pmv_syscall(SYS_rt_tgsigqueueinfo, pid, tid, signal,
				(long)info, 0);
}

/* By the C library, which adds what a handler returns through. */
static int sys_sigaction(int signal, const struct sigaction *action,
			 struct sigaction *old)
{
	int saved = errno, rc = 0;

	if (sigaction(signal, action, old) < 0)
		rc = -errno;
	errno = saved;
	return rc;
}

static int sys_getpid(void)
{
	return (int)pmv_syscall(SYS_getpid, 0, 0, 0, 0, 0);
}

static int sys_gettid(void)
{
	return (int)pmv_syscall(SYS_gettid, 0, 0, 0, 0, 0);
}

static int sys_uname(char *release, size_t bytes)
{
	struct utsname name;
	long rc = pmv_syscall(SYS_uname, (long)&name, 0, 0, 0, 0);

	if (rc == 0)
		snprintf(release, bytes, "%s", name.release);
	return (int)rc;
}

static void sys_yield(void)
{
	pmv_syscall(SYS_sched_yield, 0, 0, 0, 0, 0);
}

static void sys_sleep_ns(uint64_t ns)
{
	struct timespec t = {
		.tv_sec = (time_t)(ns / 1000000000u),
		.tv_nsec = (long)(ns % 1000000000u),
	};

	pmv_syscall(SYS_nanosleep, (long)&t, 0, 0, 0, 0);
}

static uint64_t sys_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t sys_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

const struct pmv_sys pmv_sys_linux = {
	.ioctl = sys_ioctl,
	.userfaultfd = sys_userfaultfd,
	.open = sys_open,
	.close = sys_close,
	.dup_from = sys_dup_from,
	.read = sys_read,
	.pread = sys_pread,
	.mmap = sys_mmap,
	.mmap_at = sys_mmap_at,
	.reserve = sys_reserve,
	.reserve_over = sys_reserve_over,
	.munmap = sys_munmap,
	.mprotect = sys_mprotect,
	.name_memory = sys_name_memory,
	.limit = sys_limit,
	.mremap = sys_mremap,
	.madvise = sys_madvise,
	.msync = sys_msync,
	.mlock_on_fault = sys_mlock_on_fault,
	.munlock = sys_munlock,
	.mincore = sys_mincore,
	.futex_wait = sys_futex_wait,
	.futex_wake = sys_futex_wake,
	.poll = sys_poll,
	.eventfd = sys_eventfd,
	.write = sys_write,
	.queue_signal = sys_queue_signal,
	.sigaction = sys_sigaction,
	.getpid = sys_getpid,
	.gettid = sys_gettid,
	.uname = sys_uname,
	.yield = sys_yield,
	.sleep_ns = sys_sleep_ns,
	.now_ns = sys_now_ns,
	.cpu_ns = sys_cpu_ns,
};

const struct pmv_sys *pmv_sys_default(void)
{
	return &pmv_sys_linux;
}
