// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The table of system calls that are refused now and then. What is not
 * wrapped - clocks, identities, sleeping, closing - either cannot fail or has
 * no failure that would be a refusal.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "inject.h"
#include "sys.h"
#include "uffd_uapi.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

static const struct pmv_sys *const real = &pmv_sys_linux;

/* The first pages of a range; less than all of them, or 0. */
static uint64_t part(uint64_t bytes, size_t pages)
{
	uint64_t first = (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);

	return first < bytes ? first : 0;
}

/* Three requests tell how far they came: -EAGAIN, and the number of bytes. */

static int move_ioctl(int fd, unsigned long request,
		      struct pmv_uffdio_move *all)
{
	struct inject now = inject_next(INJECT_MOVE);
	struct pmv_uffdio_move first = *all;
	int rc;

	first.len = part(all->len, now.within);
	if (!now.error)
		return real->ioctl(fd, request, all);
	if (!first.len)
		return now.error;
	rc = real->ioctl(fd, request, &first);
	all->move = rc ? first.move : (int64_t)first.len;
	return rc ? rc : -EAGAIN;
}

static int copy_ioctl(int fd, unsigned long request, struct uffdio_copy *all)
{
	struct inject now = inject_next(INJECT_COPY);
	struct uffdio_copy first = *all;
	int rc;

	first.len = part(all->len, now.within);
	if (!now.error)
		return real->ioctl(fd, request, all);
	if (!first.len)
		return now.error;
	rc = real->ioctl(fd, request, &first);
	all->copy = rc ? first.copy : (int64_t)first.len;
	return rc ? rc : -EAGAIN;
}

static int zero_ioctl(int fd, unsigned long request,
		      struct uffdio_zeropage *all)
{
	struct inject now = inject_next(INJECT_ZERO);
	struct uffdio_zeropage first = *all;
	int rc;

	first.range.len = part(all->range.len, now.within);
	if (!now.error)
		return real->ioctl(fd, request, all);
	if (!first.range.len)
		return now.error;
	rc = real->ioctl(fd, request, &first);
	all->zeropage = rc ? first.zeropage : (int64_t)first.range.len;
	return rc ? rc : -EAGAIN;
}

static int refusable_ioctl(enum inject_kind kind, int fd, unsigned long request,
			   void *arg)
{
	struct inject now = inject_next(kind);

	return now.error ? now.error : real->ioctl(fd, request, arg);
}

static int inject_ioctl(int fd, unsigned long request, void *arg)
{
	switch (request) {
	case PMV_UFFDIO_MOVE:
		return move_ioctl(fd, request, arg);
	case UFFDIO_COPY:
		return copy_ioctl(fd, request, arg);
	case UFFDIO_ZEROPAGE:
		return zero_ioctl(fd, request, arg);
	case UFFDIO_REGISTER:
		return refusable_ioctl(INJECT_REGISTER, fd, request, arg);
	case UFFDIO_UNREGISTER:
		return refusable_ioctl(INJECT_UNREGISTER, fd, request, arg);
	case UFFDIO_WAKE: /* never refused: nobody would try again */
		return real->ioctl(fd, request, arg);
	default:
		return refusable_ioctl(INJECT_IOCTL, fd, request, arg);
	}
}

static enum inject_kind kind_of_advice(int advice)
{
	switch (advice) {
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
	case MADV_FREE:
	case MADV_REMOVE:
		return INJECT_DISCARD;
	case MADV_POPULATE_READ:
	case MADV_POPULATE_WRITE:
		return INJECT_POPULATE;
	default:
		return INJECT_ADVISE;
	}
}

static int inject_madvise(uintptr_t addr, size_t bytes, int advice)
{
	struct inject now = inject_next(kind_of_advice(advice));

	return now.error ? now.error : real->madvise(addr, bytes, advice);
}

/* A function of the table that is refused, or does all. */
#define WRAP(type, kind, name, parameters, arguments)                \
	static type inject_##name parameters                         \
	{                                                            \
		struct inject now = inject_next(kind);               \
                                                                     \
		return now.error ? now.error : real->name arguments; \
	}

WRAP(int, INJECT_USERFAULTFD, userfaultfd, (int flags), (flags))
WRAP(int, INJECT_OPEN, open, (const char *path, int flags), (path, flags))
WRAP(ssize_t, INJECT_READ, read, (int fd, void *buf, size_t bytes),
     (fd, buf, bytes))
WRAP(ssize_t, INJECT_PREAD, pread, (int fd, void *buf, size_t bytes, off_t off),
     (fd, buf, bytes, off))
WRAP(int, INJECT_MMAP, mmap, (uintptr_t * out, size_t bytes, int prot),
     (out, bytes, prot))
WRAP(int, INJECT_MMAP_AT, mmap_at, (uintptr_t addr, size_t bytes, int prot),
     (addr, bytes, prot))
WRAP(int, INJECT_RESERVE, reserve,
     (uintptr_t hint, uintptr_t *out, size_t bytes), (hint, out, bytes))
WRAP(int, INJECT_MPROTECT, mprotect, (uintptr_t addr, size_t bytes, int prot),
     (addr, bytes, prot))
WRAP(int, INJECT_NAME, name_memory,
     (uintptr_t addr, size_t bytes, const char *name), (addr, bytes, name))
WRAP(int, INJECT_MUNMAP, munmap, (uintptr_t addr, size_t bytes), (addr, bytes))
WRAP(int, INJECT_MREMAP, mremap, (uintptr_t src, size_t bytes, uintptr_t dst),
     (src, bytes, dst))
WRAP(int, INJECT_MLOCK, mlock_on_fault, (uintptr_t addr, size_t bytes),
     (addr, bytes))
WRAP(int, INJECT_MUNLOCK, munlock, (uintptr_t addr, size_t bytes),
     (addr, bytes))
WRAP(int, INJECT_MINCORE, mincore,
     (uintptr_t addr, size_t bytes, unsigned char *vec), (addr, bytes, vec))
WRAP(int, INJECT_FUTEX_WAIT, futex_wait,
     (const uint32_t *word, uint32_t value, uint64_t timeout_ns),
     (word, value, timeout_ns))
WRAP(int, INJECT_POLL, poll, (struct pollfd * fds, size_t n, int timeout_ms),
     (fds, n, timeout_ms))
WRAP(int, INJECT_EVENTFD, eventfd, (void), ())

static struct pmv_sys table;

static void fill_table(void)
{
	table = *real;
	table.ioctl = inject_ioctl;
	table.userfaultfd = inject_userfaultfd;
	table.open = inject_open;
	table.read = inject_read;
	table.pread = inject_pread;
	table.mmap = inject_mmap;
	table.mmap_at = inject_mmap_at;
	table.reserve = inject_reserve;
	table.mprotect = inject_mprotect;
	table.name_memory = inject_name_memory;
	table.munmap = inject_munmap;
	table.mremap = inject_mremap;
	table.madvise = inject_madvise;
	table.mlock_on_fault = inject_mlock_on_fault;
	table.munlock = inject_munlock;
	table.mincore = inject_mincore;
	table.futex_wait = inject_futex_wait;
	table.poll = inject_poll;
	table.eventfd = inject_eventfd;
}

const struct pmv_sys *inject_sys(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, fill_table);
	return &table;
}
