/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Moving pages: one range, a vector of ranges, any bytes, and exchange.
 */
#ifndef PAGEMV_MOVE_H
#define PAGEMV_MOVE_H

#include <pagemv/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* pagemv_move_opts.flags */
/* Pages that are at dst go first; without it they are an error (EEXIST). */
#define PAGEMV_MOVE_REPLACE     (1u << 0)
/* Absent source pages are fine: dst is then absent too. Else ENOENT. */
#define PAGEMV_MOVE_HOLES       (1u << 1)
/* No thread and no device writes to the source until the call returns, and no
 * device holds its pages: copying may then do without detaching them first,
 * and does not notice pins. */
#define PAGEMV_MOVE_QUIESCENT   (1u << 2)
/* mremap may be used. It breaks mappings apart (vm.max_map_count). */
#define PAGEMV_MOVE_MAY_REMAP   (1u << 3)
/* pagemv_relocate only: the first whole source page is copied, so that the
 * source stays readable there (forwarding pointers). */
#define PAGEMV_MOVE_KEEP_HEAD   (1u << 4)
/* The caller vouches that both ranges are plain memory (private, anonymous,
 * read-write, locked alike), that src has no hole and dst no page, so that
 * remap and copy need not look: saves 3 to 6 system calls. Where the caller
 * is wrong, pages at dst are lost. UFFDIO_MOVE checks anyway, at no cost. */
#define PAGEMV_MOVE_UNCHECKED   (1u << 5)
#define PAGEMV_MOVE_FLAGS_ALL   63u

/* What happens to pages that the kernel will not move because something
 * holds them (a DMA pin: io_uring buffers, VFIO, RDMA). Pages that are only
 * shared by fork(), KSM or swap are made exclusive and moved in any case. */
enum pagemv_busy {
	PAGEMV_BUSY_STAY = 0,  /* stop there */
	PAGEMV_BUSY_SKIP,      /* leave them, go on behind them */
	PAGEMV_BUSY_REMAP,     /* mremap takes the physical page along, and the
				* device with it; needs PAGEMV_MOVE_MAY_REMAP */
	PAGEMV_BUSY_COPY,      /* copy: the device stays with the old page, which
				* the program no longer sees */
	PAGEMV_BUSY_COUNT
};

struct pagemv_move_opts {
	size_t size;        /* sizeof(struct pagemv_move_opts) */
	uint32_t flags;     /* PAGEMV_MOVE_* */
	uint32_t mechanism; /* enum pagemv_mechanism; AUTO, or force one */
	uint32_t busy;      /* enum pagemv_busy */
	uint32_t reserved;  /* 0 */
};

/*
 * What a call did. All of it is written by every call, on success and on
 * error. moved + copied + hole + left == the length of the request
 * (pagemv_relocate: copied includes the bytes at the fringes).
 */
struct pagemv_result {
	size_t moved_bytes;    /* at dst, the same physical pages */
	size_t copied_bytes;   /* at dst, copied */
	size_t hole_bytes;     /* absent at src, hence absent at dst */
	size_t left_bytes;     /* still at src, untouched */
	size_t left_off;       /* offset of the first byte left; the length if none */
	size_t repaired_bytes; /* part of moved: the kernel did not count them,
				* the page tables show them at dst */
	int32_t error;         /* the return value */
	uint32_t reason;       /* enum pagemv_reason of the first page left */
	uint32_t mechanisms;   /* PAGEMV_MECH_BIT() of those that did something */
	uint32_t kernel_calls; /* ioctl and mremap calls that were to move pages */
	/*
	 * Only with PAGEMV_REASON_RACED: pages that are at neither place, since
	 * other threads filled both src and dst anew while the page was on its
	 * way by a fallback. They are here, whole, in a mapping that is now the
	 * caller's (munmap). NULL otherwise. UFFDIO_MOVE never needs this.
	 */
	void *stray;
	size_t stray_bytes;
	size_t stray_off;      /* the offset in the request they belong to */
	uint64_t reserved[3];
};

/*
 * Moves the pages of [src, src + len_bytes) to [dst, dst + len_bytes).
 *
 * dst, src, len_bytes: multiples of the page size, len_bytes > 0. dst lies
 * in regions of pv; src is any private anonymous writable memory with the
 * same protection and lock state. Each side may consist of several mappings.
 * Ranges may overlap, as for memmove(): the result is that of moving all
 * pages at once (dst pages that are src pages too need not be empty).
 * opts: NULL for defaults. res: may be NULL.
 *
 * Returns 0 when nothing is left, else the error of the first page left:
 *   -EINVAL  arguments or mappings; reason says which; nothing has changed
 *   -E2BIG   opts->size names more than this version knows, and it is set
 *   -ENOENT  HOLE: no page at src (without HOLES); UNMAPPED
 *   -EEXIST  OCCUPIED: a page is at dst (without REPLACE); RACED
 *   -EBUSY   PINNED: see opts->busy; FOREIGN_UFFD
 *   -EAGAIN  CHANGING: mappings kept changing; bounded at about 0.1 s
 *   -ENOMEM  NO_MEMORY, TOO_MANY_MAPPINGS
 *   -EFAULT  POISONED
 *   -EINTR   a fatal signal is pending
 *   -EOPNOTSUPP NO_MECHANISM, LAYOUT, or why the forced one is unavailable
 *   -ESRCH   FORKED
 *   -EIO     UNEXPECTED: the kernel gave an answer that has no name here
 * After an error in the middle, pages before it are at dst, pages behind it
 * at src; res tells how many. With REPLACE, pages at dst may be gone even so,
 * but not after -EINVAL.
 *
 * repaired_bytes: on kernels with PAGEMV_QUIRK_MISCOUNT, pages absent at src
 * and present at dst count as moved when the kernel may have moved them; so
 * may a range that is moved a second time (see pagemv(7)).
 *
 * Stores by other threads to the source land before the page leaves and
 * travel with it, or find an absent page, which the kernel fills with zeros.
 * Stores to dst before the call returns are the caller's to prevent: remap, and
 * copying without userfaultfd, overwrite them.
 *
 * A page of zeros at dst is a page. Only without userfaultfd, and where huge
 * pages are allowed at dst in spite of pagemv_region_register(), it is not: a
 * store to another page of the huge page may have made it.
 *
 * MT-Safe. AS-Safe: no malloc, no lock, errno kept; not cancelled. May fault
 * on src (COPY). Fork-safe: see pagemv_open(). UFFDIO_MOVE: Linux 6.8;
 * without it the same contract by the companion (pagemv(4)) or by copying. Since libpagemv 0.1. Sources:
 * UFFDIO_MOVE(2const), mm/userfaultfd.c of 6.18, doc/measurements.md.
 */
PAGEMV_API int pagemv_move(struct pagemv *pv, void *dst, void *src,
			   size_t len_bytes,
			   const struct pagemv_move_opts *opts,
			   struct pagemv_result *res);

/* One range of pagemv_movev(). */
struct pagemv_seg {
	void *dst;
	void *src;
	size_t len_bytes;
	size_t left_bytes;  /* out */
	int32_t error;      /* out: 0 or negative errno */
	uint32_t reason;    /* out: enum pagemv_reason */
};

/*
 * Moves n ranges, as n calls of pagemv_move() in the order of the array
 * would, with fewer calls: ranges that follow each other at both sides are
 * moved as one, also when they stand far apart in the array, where order
 * makes no difference. By the companion all of them are one call then.
 *
 * segs: n elements; the out members of each are written. A range that fails
 * does not stop those behind it, except where they would have been one call.
 * res: sums; left_off counts in bytes of the request, in array order.
 *
 * Returns 0, or the error of the first range that failed, as pagemv_move();
 * -EINVAL with BAD_OPTIONS for segs NULL with n > 0. n == 0 is 0.
 * MT-Safe, AS-Safe. Since libpagemv 0.1.
 */
PAGEMV_API int pagemv_movev(struct pagemv *pv, struct pagemv_seg *segs,
			    size_t n, const struct pagemv_move_opts *opts,
			    struct pagemv_result *res);

/*
 * Moves any bytes: as memmove(dst, src, bytes), after which the source's
 * bytes are unspecified. Whole pages are moved where both addresses agree
 * modulo the page size; the fringes, and all of it where they do not agree,
 * are copied (res->copied_bytes says so).
 *
 * dst, src: any addresses; the whole pages of dst lie in a region of pv and
 * are empty, or REPLACE is given; the pages at dst's fringes are written to.
 * bytes > 0. KEEP_HEAD: the first whole source page stays readable.
 *
 * Returns as pagemv_move(). The body is moved before the fringes are copied
 * wherever the overlap allows, and offsets in res count from src. When the
 * body fails, what has not arrived is still at src, whole.
 * MT-Safe, AS-Safe. Bytes at the fringes are copied without detaching:
 * nobody may write them meanwhile. Since libpagemv 0.1.
 */
PAGEMV_API int pagemv_relocate(struct pagemv *pv, void *dst, void *src,
			       size_t bytes,
			       const struct pagemv_move_opts *opts,
			       struct pagemv_result *res);

/*
 * Exchanges the pages of [a, a + len_bytes) and [b, b + len_bytes), which
 * must not overlap and both lie in regions of pv. Holes are exchanged too
 * where HOLES is given. REPLACE and KEEP_HEAD are refused.
 *
 * Works in steps of at most 2 MiB through a staging range, or by one call of
 * the companion. After an error
 * each page is at one of the two places: res->moved_bytes (or copied) of each
 * range have been exchanged, and none from left_off on. Nobody may store into
 * either range meanwhile; where it happens, pages are kept in res->stray.
 *
 * Returns as pagemv_move(). MT-Safe, AS-Safe. Since libpagemv 0.1.
 */
PAGEMV_API int pagemv_exchange(struct pagemv *pv, void *a, void *b,
			       size_t len_bytes,
			       const struct pagemv_move_opts *opts,
			       struct pagemv_result *res);

#ifdef __cplusplus
}
#endif

#endif /* PAGEMV_MOVE_H */
