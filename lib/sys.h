/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The system calls of the library, and its clock, as one table of functions.
 *
 * Nothing else in lib/ enters the kernel. Tests swap the table to script
 * answers and to inject failures. Every function returns 0 or a count, or a
 * negative errno, and leaves errno alone.
 */
#ifndef PMV_SYS_H
#define PMV_SYS_H

#include <poll.h>
#include <signal.h>

#include "base.h"

struct pmv_sys {
	int (*ioctl)(int fd, unsigned long request, void *arg);
	int (*userfaultfd)(int flags);
	int (*open)(const char *path, int flags);
	int (*close)(int fd);
	/* The same file at the lowest free number from least on; as open(). */
	int (*dup_from)(int fd, int least);
	ssize_t (*read)(int fd, void *buf, size_t bytes);
	ssize_t (*pread)(int fd, void *buf, size_t bytes, off_t off);
	/* A new private mapping, without pages and not locked, whatever
	 * mlockall() says. */
	int (*mmap)(uintptr_t *out, size_t bytes, int prot);
	/* The same at addr; -EEXIST where anything is mapped there. */
	int (*mmap_at)(uintptr_t addr, size_t bytes, int prot);
	/* Address space without memory or access, at the hint or elsewhere. */
	int (*reserve)(uintptr_t hint, uintptr_t *out, size_t bytes);
	/* The same at addr, in place of what is there, with its page tables.
	 * After an error it may be that nothing is there any more. */
	int (*reserve_over)(uintptr_t addr, size_t bytes);
	int (*munmap)(uintptr_t addr, size_t bytes);
	int (*mprotect)(uintptr_t addr, size_t bytes, int prot);
	/* What /proc/PID/maps says of private memory, Linux 5.17. The name is
	 * copied; NULL takes it off. */
	int (*name_memory)(uintptr_t addr, size_t bytes, const char *name);
	/* The soft limit of this process; RLIM_INFINITY where there is none. */
	int (*limit)(int resource, uint64_t *out);
	/* Takes the pages from src to dst; what was mapped at dst goes, src
	 * stays mapped (MREMAP_FIXED|MREMAP_DONTUNMAP, Linux 5.7). */
	int (*mremap)(uintptr_t src, size_t bytes, uintptr_t dst);
	int (*madvise)(uintptr_t addr, size_t bytes, int advice);
	int (*msync)(uintptr_t addr, size_t bytes, int flags);
	int (*mlock_on_fault)(uintptr_t addr, size_t bytes);
	int (*munlock)(uintptr_t addr, size_t bytes);
	int (*mincore)(uintptr_t addr, size_t bytes, unsigned char *vec);
	/* Sleeps while *word is value, or until a wake, a signal, or timeout_ns
	 * have passed (0: for as long as it takes). Private to the process. */
	int (*futex_wait)(const uint32_t *word, uint32_t value,
			  uint64_t timeout_ns);
	int (*futex_wake)(const uint32_t *word); /* all of them */
	int (*poll)(struct pollfd *fds, size_t n, int timeout_ms);
	int (*eventfd)(void); /* non-blocking, close-on-exec */
	ssize_t (*write)(int fd, const void *buf, size_t bytes);
	/* A signal to a thread of this process, as if the kernel had sent it.
	 */
	int (*queue_signal)(int tid, int signal, const siginfo_t *info);
	int (*sigaction)(int signal, const struct sigaction *action,
			 struct sigaction *old);
	int (*getpid)(void);
	int (*gettid)(void);
	int (*uname)(char *release, size_t bytes);
	void (*yield)(void);
	void (*sleep_ns)(uint64_t ns);
	uint64_t (*now_ns)(void);
	uint64_t (*cpu_ns)(void); /* that the calling thread has used */
};

/* The real thing. */
extern const struct pmv_sys pmv_sys_linux;

/* The table that handles and heaps are opened with: the real thing, unless the
 * program that tests them has a function of this name. */
const struct pmv_sys *pmv_sys_default(void);

#endif /* PMV_SYS_H */
