/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A libpagemv for tests, whose system calls are refused now and then.
 *
 * It is the library as it is, but pagemv_open() gives it a table of system
 * calls that wraps the real one. A call is refused before the kernel has heard
 * of it, or the kernel is asked for a shorter range and that is what is told:
 * nothing is ever said that is not so. Refusals come alone or several in a row,
 * so that they are overcome by trying again or not.
 *
 * PAGEMV_INJECT=key=value,... in the environment:
 *
 *   rate=N     one call in N of each kind, on average; 0, the default: none
 *   seed=N     other calls (1)
 *   after=N    none of the first N calls
 *   open=1     also those that probe the kernel as a handle is opened
 *   file=PATH  a line of each process that ends by exit() is added to it:
 *              "PID KIND=REFUSED/CALLS ..."
 */
#ifndef TESTS_PRELOAD_INJECT_H
#define TESTS_PRELOAD_INJECT_H

#include <stddef.h>

enum inject_kind {
	INJECT_MOVE = 0,
	INJECT_COPY,
	INJECT_ZERO,
	INJECT_REGISTER,
	INJECT_UNREGISTER,
	INJECT_IOCTL, /* any other */
	INJECT_USERFAULTFD,
	INJECT_OPEN,
	INJECT_READ,
	INJECT_PREAD,
	INJECT_MMAP,
	INJECT_MMAP_AT,
	INJECT_RESERVE,
	INJECT_MPROTECT,
	INJECT_NAME,
	INJECT_MUNMAP,
	INJECT_MREMAP,
	INJECT_DISCARD, /* madvise() that takes pages away */
	INJECT_POPULATE,
	INJECT_ADVISE, /* any other */
	INJECT_MLOCK,
	INJECT_MUNLOCK,
	INJECT_MINCORE,
	INJECT_FUTEX_WAIT,
	INJECT_POLL,
	INJECT_EVENTFD,
	INJECT_KINDS
};

/* What a call is to do instead of what it is asked for. */
struct inject {
	int error;     /* return this negative errno; 0: do it */
	size_t within; /* not 0, with an error: do the first so many of what
			* there is in pages, at least one, then return it */
};

/* Counts a call of this kind and decides. Async-signal-safe. */
struct inject inject_next(enum inject_kind kind);

struct pmv_sys;

/* The table that wraps the real one. */
const struct pmv_sys *inject_sys(void);

#endif /* TESTS_PRELOAD_INJECT_H */
