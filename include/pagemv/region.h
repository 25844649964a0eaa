/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Regions: the ranges that pages may be moved into.
 *
 * A quiet region is registered for write protection only, and nothing in it
 * is ever write-protected: ordinary page faults stay with the kernel and
 * cost what they cost without the library (measured: 1546 against 1559 ns).
 */
#ifndef PAGEMV_REGION_H
#define PAGEMV_REGION_H

#include <pagemv/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pagemv_region_opts {
	size_t size;       /* sizeof(struct pagemv_region_opts) */
	uint32_t flags;    /* none yet: 0 */
	uint32_t reserved; /* 0 */
};

/*
 * Registers [addr, addr + len_bytes) as a quiet region of pv. Pages may be
 * moved into it from then on; sources need not be registered.
 *
 * addr, len_bytes: multiples of the page size. The range must be mapped
 * throughout, private, anonymous and writable; it may consist of several
 * mappings. It must not overlap another region of any handle.
 * opts: NULL for defaults. out: not NULL; receives the region, which belongs
 * to pv; untouched on error. reason: NULL, or receives why it was refused.
 *
 * Where the kernel has PAGEMV_QUIRK_HUGE_PAGES, or there is no userfaultfd, the
 * range is advised MADV_NOHUGEPAGE. Without userfaultfd the region is kept in
 * the library alone, so that the same calls are legal everywhere.
 *
 * Returns 0, or -EINVAL, -ENOENT (unmapped), -EBUSY (registered already:
 * with pv, another handle, or another user of userfaultfd), -ENOMEM, -E2BIG
 * (opts), -ESRCH (forked), -EIO (an answer of the kernel without a name). On error nothing is registered.
 *
 * The mapping must not be unmapped or replaced while it is registered. A
 * child of fork() has no regions. MT-Safe; not AS-Safe; may block on
 * mmap_lock, which it takes for writing: register once and keep it.
 * Linux 5.7 for registration in the kernel; since libpagemv 0.1.
 */
PAGEMV_API int pagemv_region_register(struct pagemv *pv, void *addr,
				      size_t len_bytes,
				      const struct pagemv_region_opts *opts,
				      struct pagemv_region **out,
				      enum pagemv_reason *reason);

/*
 * Ends a region: the memory stays as it is, pages stay where they are. No
 * move into the region may be running. region: may be NULL; is freed.
 * Returns 0, -ESRCH (forked; nothing is freed), or -ENOMEM (it stays
 * registered). Costs about 65 ns for each
 * page that is populated (measured on 6.18). MT-Safe; not AS-Safe; waits for
 * an RCU grace period, so it must not be called inside a read-side section
 * of liburcu-bp.
 */
PAGEMV_API int pagemv_region_unregister(struct pagemv_region *region);

#ifdef __cplusplus
}
#endif

#endif /* PAGEMV_REGION_H */
