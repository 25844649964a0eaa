/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * System calls without the C library: no errno to be kept, no cancellation
 * point, and no page of code and data of its own, which counts when UFFDIO_MOVE
 * has just emptied the TLB (measured: 60 ns a call).
 */
#ifndef PMV_RAW_SYSCALL_H
#define PMV_RAW_SYSCALL_H

/* Returns what the kernel returns: a result, or a negative errno. */
#if defined(__x86_64__) && defined(__LP64__)

static inline long pmv_syscall(long nr, long a, long b, long c, long d, long e)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	long rc;

	__asm__ volatile("syscall"
			 : "=a"(rc)
			 : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return rc;
}

#elif defined(__aarch64__)

static inline long pmv_syscall(long nr, long a, long b, long c, long d, long e)
{
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;

	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4)
			 : "memory");
	return x0;
}

#else

#include <errno.h>
#include <unistd.h>

static inline long pmv_syscall(long nr, long a, long b, long c, long d, long e)
{
	int saved = errno;
	long rc = syscall(nr, a, b, c, d, e);

	if (rc == -1)
		rc = -errno;
	errno = saved;
	return rc;
}

#endif

#endif /* PMV_RAW_SYSCALL_H */
