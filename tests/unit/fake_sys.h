/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A table of system calls that goes to the kernel, except where a rule says
 * what is answered instead. Counts all calls, keeps account of descriptors
 * and mapped bytes, and has a clock of its own: nothing sleeps.
 *
 *	fake_add((struct fake_rule){ .call = FAKE_MOVE, .error = -EAGAIN,
 *				     .really = t_pages(3), .tell = true,
 *				     .told = (int64_t)t_pages(3) });
 *
 * One for the whole process, as the table has no argument; each Criterion
 * test is a process.
 *
 * Where the kernel (or the sandbox) has no UFFDIO_MOVE, or FAKE_UFFD=1 is in
 * the environment, userfaultfd is played by fake_uffd.c. There is no companion
 * module, unless fake_companion() says so: then it is the kernel's own, or, in
 * the same cases, played by fake_companion.c.
 */
#ifndef TESTS_UNIT_FAKE_SYS_H
#define TESTS_UNIT_FAKE_SYS_H

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sys.h"

/* Kinds of calls. ioctl(), madvise() and userfaultfd() are told apart by what
 * they ask for. */
enum fake_call {
	FAKE_NONE,
	FAKE_API,
	FAKE_NEW, /* USERFAULTFD_IOC_NEW on the device */
	FAKE_REGISTER,
	FAKE_UNREGISTER,
	FAKE_WAKE,
	FAKE_MOVE,
	FAKE_COPY,
	FAKE_ZERO,    /* UFFDIO_ZEROPAGE */
	FAKE_POISON,  /* UFFDIO_POISON */
	FAKE_PROTECT, /* UFFDIO_WRITEPROTECT */
	FAKE_SCAN,    /* PAGEMAP_SCAN */
	FAKE_QUERY,   /* PROCMAP_QUERY */
	FAKE_INFO,    /* PAGEMVIO_INFO, and the others of the companion */
	FAKE_REMAP,
	FAKE_REMAPV,
	FAKE_EXCHANGE,
	FAKE_OTHER_IOCTL,
	FAKE_UFFD_USER, /* userfaultfd(UFFD_USER_MODE_ONLY) */
	FAKE_UFFD_FULL, /* userfaultfd() without it */
	FAKE_DISCARD,	/* MADV_DONTNEED, MADV_DONTNEED_LOCKED */
	FAKE_POPULATE,	/* MADV_POPULATE_WRITE */
	FAKE_COLD,	/* MADV_COLD */
	FAKE_ADVISE,	/* any other advice */
	FAKE_OPEN,
	FAKE_CLOSE,
	FAKE_DUP,
	FAKE_READ,
	FAKE_PREAD,
	FAKE_MMAP,
	FAKE_MMAP_AT,
	FAKE_MUNMAP,
	FAKE_MREMAP,
	FAKE_MINCORE,
	FAKE_MSYNC,
	FAKE_MLOCK,
	FAKE_MUNLOCK,
	FAKE_FUTEX_WAIT,
	FAKE_FUTEX_WAKE,
	FAKE_POLL,
	FAKE_EVENTFD,
	FAKE_WRITE,
	FAKE_QUEUE_SIGNAL,
	FAKE_SIGACTION,
	FAKE_UNAME,
	FAKE_RESERVE,
	FAKE_RESERVE_OVER,
	FAKE_MPROTECT,
	FAKE_NAME,
	FAKE_LIMIT,
	FAKE_KINDS, /* the kinds above can fail */
	FAKE_GETPID = FAKE_KINDS,
	FAKE_YIELD,
	FAKE_SLEEP,
	FAKE_NOW,
	FAKE_CALLS,
	FAKE_ANY = FAKE_CALLS /* in rules: any kind that can fail */
};

#define FAKE_EVER UINT_MAX
#define FAKE_ALL  SIZE_MAX

struct fake_rule {
	enum fake_call call;
	/* Which of the calls that match, counted from when the rule was
	 * added: nth (0 is 1) and the times - 1 (0 is 1) behind it. */
	unsigned int nth;
	unsigned int times;
	/* Only calls about this: open(), a path that begins so; others, this
	 * address (MOVE, COPY, REMAP: dst; EXCHANGE: a; mremap: src; futex:
	 * the word). */
	const char *path;
	uintptr_t at;
	/* What happens: before() first; then so many bytes from the start
	 * are really done; then error is the answer, and told is written
	 * where the kernel counts if tell is set. really with error 0: the
	 * answer of the kernel for the whole. */
	void (*before)(void *arg);
	void *arg;
	int error;
	size_t really;
	bool tell;
	int64_t told;
	bool lie; /* answers 0 and does nothing */
	/* Receives how often it was applied. */
	unsigned int *hits;
	unsigned int seen; /* by the fake alone */
};

extern const struct pmv_sys fake_sys;

/* Everything as new; called by the first call as well. */
void fake_reset(void);
void fake_add(struct fake_rule rule);
/* The short form: the nth call of a kind fails once; or from now on all. */
void fake_fail(enum fake_call call, unsigned int nth, int error);
void fake_refuse(enum fake_call call, int error);
/* Forgets all rules, pins and files. */
void fake_behave(void);

/* The page is pinned: UFFDIO_MOVE stops at it as the kernel does. */
void fake_pin(const void *page);
/* Whether there is the companion module; until fake_reset(). */
void fake_companion(bool there);
/* What uname() says: 6.18.44, which has the miscount, if nothing else. */
void fake_release(const char *release);
/* open(path) gives text to read, at most bytes_a_read at a time. */
void fake_file(const char *path, const char *text, size_t bytes_a_read);
/* As a kernel with no /proc: open() of anything below it is ENOENT. */
void fake_no_proc(void);

/* Calls since the start or fake_forget_counts(). */
unsigned int fake_count(enum fake_call call);
/* How many of them a rule answered with an error. */
unsigned int fake_injected(enum fake_call call);
/* All that enter the kernel. */
unsigned int fake_total(void);
void fake_forget_counts(void);
uint64_t fake_slept_ns(void);
/* As if so much time had passed, or been spent by the thread. */
void fake_pass(uint64_t ns);
void fake_spend(uint64_t ns);

/* Now open, or mapped, by the library. */
int fake_open_fds(void);
size_t fake_mapped_bytes(void);

const char *fake_call_name(enum fake_call call);

/* Whether MOVE is the kernel's own here, not played. */
bool fake_is_real(void);
/* And the companion. */
bool fake_companion_is_real(void);

#endif /* TESTS_UNIT_FAKE_SYS_H */
