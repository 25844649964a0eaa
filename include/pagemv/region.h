/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Regions: the ranges that pages may be moved into.
 *
 * A quiet region is registered for write protection only, and nothing in it
 * is ever write-protected: ordinary page faults stay with the kernel and
 * cost what they cost without the library (measured: 1546 against 1559 ns).
 *
 * A faulting region fills its absent pages from a source, when they are
 * touched. Who does it is the region's delivery: the thread that touched the
 * page, in its SIGBUS handler, or the handle's handler threads (fault.h).
 *
 * A tracked region, faulting or not, can tell which of its pages were
 * written to (track.h).
 */
#ifndef PAGEMV_REGION_H
#define PAGEMV_REGION_H

#include <pagemv/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* pagemv_region_opts.flags */
#define PAGEMV_REGION_FAULTING     (1u << 0) /* absent pages are filled on demand */
#define PAGEMV_REGION_TRACKED      (1u << 1) /* pagemv_protect(), pagemv_dirty() */
#define PAGEMV_REGION_EVENTS       (1u << 2) /* mremap(), munmap() and madvise() on
					      * it wait until the library knows;
					      * needs handler threads, and
					      * PAGEMV_DELIVERY_THREADS */
#define PAGEMV_REGION_INHERIT      (1u << 3) /* a child of fork() has it too, served
					      * by the parent; needs EVENTS and
					      * CAP_SYS_PTRACE; not with a
					      * PAGEMV_SOURCE_RANGE */
#define PAGEMV_REGION_AROUND_FIXED (1u << 4) /* always around_pages, not adapted */
#define PAGEMV_REGION_FLAGS_ALL    31u

/* Who fills a page that was touched. */
enum pagemv_delivery {
	PAGEMV_DELIVERY_SIGNAL = 0, /* the thread itself, by SIGBUS */
	PAGEMV_DELIVERY_THREADS,    /* see pagemv_handlers_start() */
	PAGEMV_DELIVERY_COUNT
};

/* Where the pages of a faulting region come from. */
enum pagemv_source {
	PAGEMV_SOURCE_ZERO = 0, /* zeros */
	PAGEMV_SOURCE_CALLBACK, /* fill() writes them */
	PAGEMV_SOURCE_RANGE,    /* they are moved from another range */
	PAGEMV_SOURCE_FILE,     /* they are read from fd */
	PAGEMV_SOURCE_COUNT
};

/* Pages for a callback to fill. */
struct pagemv_fill {
	struct pagemv_region *region;
	void *addr;       /* where the first of them will appear */
	void *fault_addr; /* the page that was touched, one of them */
	size_t len_bytes; /* of all of them, whole pages */
	size_t off_bytes; /* of addr in the region as it was registered */
	void *scratch;    /* len_bytes to write to: all of it, as what it holds
			   * is anything. It is moved to addr afterwards, and
			   * is not the callback's any more */
	uint64_t reserved[2];
};

/* What fill() returns, beside 0 for "scratch is filled" and a negative errno. */
#define PAGEMV_FILL_ZEROS 1 /* let all of it be zeros; scratch is not looked at */

/*
 * Fills pages. Called on the thread that touched the page inside its signal
 * handler, or on a handler thread; for several pages at once on different
 * threads, for each page by one of them. Where it runs in the signal
 * handler it may do what a signal handler may do at the place of the access.
 *
 * It may touch other pages of any region, which are filled meanwhile, and
 * call pagemv_move(). Touching a page that it is to fill itself is noticed, and
 * fails as -EDEADLK. It must not leave by longjmp(); the thread may end in it
 * (pthread_exit(), cancellation): the pages stay absent then.
 *
 * Returns 0, PAGEMV_FILL_ZEROS, or a negative errno (another positive number is
 * taken for -EINVAL). Then no page appears.
 * Where neighbours were asked for, it is called again for the page alone. Then:
 *   -EAGAIN      the access is tried again, and comes back here
 *   -EHWPOISON   the page is poisoned: the access and all later ones meet a
 *                SIGBUS with BUS_MCEERR_AR (BUS_ADRERR without
 *                CONFIG_MEMORY_FAILURE). Where the kernel has no
 *                UFFDIO_POISON (Linux 6.6) as any other:
 *   any other    the access meets a SIGBUS with BUS_ADRERR (SI_QUEUE from
 *                handler threads, see fault.h), by the handler that
 *                was there before; without one the process ends. The page stays
 *                absent, a later access comes back here
 */
typedef int (*pagemv_fill_fn)(void *arg, const struct pagemv_fill *fill);

/*
 * Where the page of a PAGEMV_SOURCE_RANGE region is to come from: an address of
 * whole pages, or NULL for zeros. Called as pagemv_fill_fn is, once for each page
 * that a fault is to fill; again where it could not be filled.
 */
typedef void *(*pagemv_relocate_fn)(void *arg, void *dst);

struct pagemv_region_opts {
	size_t size;           /* sizeof(struct pagemv_region_opts) */
	uint32_t flags;        /* PAGEMV_REGION_* */
	uint32_t reserved;     /* 0 */
	/* From here on for FAULTING or TRACKED alone; otherwise 0. */
	uint32_t delivery;     /* enum pagemv_delivery */
	uint32_t source;       /* enum pagemv_source */
	/*
	 * At most so many pages are filled by one fault, PAGEMV_AROUND_MAX at
	 * most; 0 is 1. The number is doubled while pages are touched one
	 * after the other, up or down, and is 1 otherwise; with AROUND_FIXED it
	 * is the aligned block of so many pages around the one that was
	 * touched. Only absent pages of the region are filled, without a gap.
	 */
	uint32_t around_pages;
	int32_t fd;            /* FILE: stays the caller's, open until the end */
	uint64_t fd_off_bytes; /* FILE: of the first page, any number. The rest of
				* the page in which the file ends is zeros; pages
				* beyond it fail as -ENXIO */
	intptr_t src_off_bytes;/* RANGE without relocate: src - dst, whole pages */
	pagemv_relocate_fn relocate; /* RANGE: or NULL */
	pagemv_fill_fn fill;   /* CALLBACK */
	void *arg;             /* for fill and relocate */
};

#define PAGEMV_AROUND_MAX 64

/*
 * Registers [addr, addr + len_bytes) as a region of pv: quiet where opts is
 * NULL or has no flags. Pages may be moved into it from then on; sources need
 * not be registered.
 *
 * addr, len_bytes: multiples of the page size. The range must be mapped
 * throughout, private, anonymous and writable; it may consist of several
 * mappings. It must not overlap another region of any handle. Pages that are
 * there stay there; of a faulting region they count as filled.
 * opts: NULL for defaults. out: not NULL; receives the region, which belongs
 * to pv; untouched on error. reason: NULL, or receives why it was refused.
 *
 * Where the kernel has PAGEMV_QUIRK_HUGE_PAGES, or there is no userfaultfd, the
 * range is advised MADV_NOHUGEPAGE. Without userfaultfd a quiet region is kept in
 * the library alone, so that the same calls are legal everywhere; a faulting or
 * tracked one is refused.
 *
 * Faulting regions: a system call that is given an address of an absent page
 * fails with EFAULT (Linux delivers faults of the kernel itself neither by SIGBUS
 * nor with UFFD_USER_MODE_ONLY): pagemv_populate() first. They cost a byte a
 * page, and one descriptor of the handle for each delivery in use. They are
 * advised MADV_NOHUGEPAGE.
 *
 * Returns 0, or -EINVAL, -ENOENT (unmapped), -EBUSY (registered already:
 * with pv, another handle, or another user of userfaultfd), -ENOMEM, -E2BIG
 * (opts), -EMFILE, -ENFILE, -EOPNOTSUPP (faulting or tracked: the reason says
 * what is missing; INHERIT without CAP_SYS_PTRACE: NOT_PERMITTED), -ESRCH (forked),
 * -EIO (an answer of the kernel without a name). On error nothing is registered.
 *
 * The mapping must not be unmapped or replaced while it is registered, except
 * with EVENTS. Without, it is noticed by what fails next: REPLACED, UNMAPPED. A
 * child of fork() has no regions: absent pages read as zeros there.
 * MT-Safe; not AS-Safe; may block on
 * mmap_lock, which it takes for writing: register once and keep it.
 * Linux 5.7 for registration in the kernel; since libpagemv 0.1.
 */
PAGEMV_API int pagemv_region_register(struct pagemv *pv, void *addr,
				      size_t len_bytes,
				      const struct pagemv_region_opts *opts,
				      struct pagemv_region **out,
				      enum pagemv_reason *reason);

/*
 * Ends a region: the memory stays as it is, pages stay where they are, absent
 * ones read as zeros. No move into the region may be running. Faults in flight
 * are waited for; threads that wait for a page go on. region: may be NULL; is
 * freed. Returns 0, -ESRCH (forked; nothing is freed), -ENOMEM (it stays
 * registered), or -EDEADLK (called by the region's own callback). Costs about
 * 65 ns for each page that is populated (measured on 6.18). MT-Safe; not
 * AS-Safe; waits for an RCU grace period, so it must not be called inside a
 * read-side section of liburcu-bp.
 */
PAGEMV_API int pagemv_region_unregister(struct pagemv_region *region);

/*
 * Ends a part of a region, which stays registered before and behind it: whole
 * pages inside it. When nothing is left of the region it is still to be given
 * to pagemv_region_unregister(). Returns as that, or -EINVAL (not whole pages,
 * empty, or not inside the region), and changes nothing then.
 */
PAGEMV_API int pagemv_region_unregister_part(struct pagemv_region *region,
					     void *addr, size_t len_bytes);

#ifdef __cplusplus
}
#endif

#endif /* PAGEMV_REGION_H */
