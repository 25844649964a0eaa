/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which pages were written to: write protection of tracked regions.
 */
#ifndef PAGEMV_TRACK_H
#define PAGEMV_TRACK_H

#include <sys/types.h>

#include <pagemv/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A range of dirty pages. */
struct pagemv_range {
	void *addr;
	size_t len_bytes;
};

/*
 * From now on the pages of [addr, addr + len_bytes) count as clean, until they
 * are written to, or appear (by a fault, a move, or a copy). Absent pages stay
 * as they are.
 *
 * The range lies in tracked regions of pv, whole pages. Returns 0, or
 *   -EINVAL      pv is NULL; not whole pages, empty, or it wraps
 *   -ENOENT      not in tracked regions (nothing has changed), or no longer:
 *                a mapping was replaced, or the region is ending
 *   -EOPNOTSUPP  /proc/self/pagemap cannot be read
 *   -EAGAIN      mappings kept changing, for about 0.1 s
 *   -ENOMEM, -EINTR (a fatal signal), -EIO (an answer without a name)
 *   -ESRCH       forked
 * With the errors but EINVAL, EOPNOTSUPP and ESRCH a part may be protected.
 *
 * The first store to each page costs what a fault costs: the kernel's own
 * where the handle has PAGEMV_HAS_ASYNC_WP (Linux 6.7), else one by the
 * region's delivery, and a system call that stores there fails with EFAULT.
 * MT-Safe, AS-Safe. Linux 5.14; since libpagemv 0.1.
 */
PAGEMV_API int pagemv_protect(struct pagemv *pv, void *addr, size_t len_bytes);

/* pagemv_dirty() */
#define PAGEMV_DIRTY_PROTECT (1u << 0) /* those that are told are clean from then on,
					* with no store between the two missed */

/*
 * Which pages of [addr, addr + len_bytes), in tracked regions of pv, are dirty:
 * written to, or appeared, since they were protected. Those that were never
 * protected are; those that are absent are not.
 *
 * A page that was moved by the library from one tracked region to another is
 * dirty at its new place where it was at the old one, and clean where it was
 * clean if nobody stored to it meanwhile and the caller said so
 * (PAGEMV_MOVE_QUIESCENT; pagemv_exchange() always). Else it is dirty.
 *
 * Stores by a device (DMA) are not seen.
 *
 * ranges: room for n > 0, which are filled in address order, each as long as it
 * can be. next: NULL, or receives where to go on: addr + len_bytes when all was
 * looked at. Returns how many ranges were told, or an error as pagemv_protect();
 * then nothing was protected and nothing is written. -EINVAL also: flags, ranges
 * is NULL, n is 0. What was protected before an error is told: ranges are fewer
 * than n, next is not at the end, and the next call returns the error.
 * MT-Safe, AS-Safe. Linux 5.14; since libpagemv 0.1.
 */
PAGEMV_API ssize_t pagemv_dirty(struct pagemv *pv, void *addr,
				size_t len_bytes, uint32_t flags,
				struct pagemv_range *ranges, size_t n,
				void **next);

#ifdef __cplusplus
}
#endif

#endif /* PAGEMV_TRACK_H */
