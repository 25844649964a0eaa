/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kernel interfaces newer than the headers of Debian 12 (Linux 6.1), under
 * names of our own, so that newer headers do not clash. Only uffd.c,
 * pages.c, mapping.c and kernel.c include this.
 *
 * Source: include/uapi/linux/userfaultfd.h and fs.h as of 6.18, whose layout
 * is ABI. Where the host's header has a definition, it is compared below.
 */
#ifndef PMV_UFFD_UAPI_H
#define PMV_UFFD_UAPI_H

#include <linux/userfaultfd.h>
#include <stdint.h>
#include <sys/ioctl.h>

/* UFFDIO_MOVE, Linux 6.8. The kernel reads the first 32 bytes only and
 * writes the last 8 only. */
struct pmv_uffdio_move {
	uint64_t dst;
	uint64_t src;
	uint64_t len;
	uint64_t mode;
	int64_t move;
};

#define PMV_UFFDIO_MOVE_MODE_DONTWAKE	     (1ull << 0)
#define PMV_UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES (1ull << 1)
#define PMV_UFFDIO_MOVE_NR		     0x05
#define PMV_UFFDIO_MOVE \
	_IOWR(UFFDIO, PMV_UFFDIO_MOVE_NR, struct pmv_uffdio_move)
#define PMV_UFFD_USER_MODE_ONLY 1
#define PMV_USERFAULTFD_IOC_NEW _IO(UFFDIO, 0x00)

/* UFFDIO_POISON, Linux 6.6. */
struct pmv_uffdio_poison {
	struct uffdio_range range;
	uint64_t mode;
	int64_t updated;
};

#define PMV_UFFDIO_POISON _IOWR(UFFDIO, 0x08, struct pmv_uffdio_poison)

/* Features newer than Linux 6.1. */
#define PMV_UFFD_FEATURE_WP_UNPOPULATED (1ull << 13)
#define PMV_UFFD_FEATURE_POISON		(1ull << 14)
#define PMV_UFFD_FEATURE_WP_ASYNC	(1ull << 15)

_Static_assert(sizeof(struct pmv_uffdio_move) == 40, "ABI");
_Static_assert(sizeof(struct pmv_uffdio_poison) == 32, "ABI");
#ifdef UFFDIO_MOVE
_Static_assert(UFFDIO_MOVE == PMV_UFFDIO_MOVE, "ABI");
#endif

/* PAGEMAP_SCAN on /proc/PID/pagemap, Linux 6.7. */
struct pmv_page_region {
	uint64_t start;
	uint64_t end;
	uint64_t categories;
};

struct pmv_pm_scan {
	uint64_t size;
	uint64_t flags;
	uint64_t start;
	uint64_t end;
	uint64_t walk_end;
	uint64_t vec;
	uint64_t vec_len;
	uint64_t max_pages;
	uint64_t category_inverted;
	uint64_t category_mask;
	uint64_t category_anyof_mask;
	uint64_t return_mask;
};

#define PMV_PAGEMAP_SCAN	  _IOWR('f', 16, struct pmv_pm_scan)
#define PMV_PM_SCAN_WP_MATCHING	  (1u << 0)
#define PMV_PM_SCAN_CHECK_WPASYNC (1u << 1)
#define PMV_PAGE_IS_WPALLOWED	  (1u << 0) /* registered for asynchronous protection */
#define PMV_PAGE_IS_WRITTEN	  (1u << 1) /* not write-protected by userfaultfd */
#define PMV_PAGE_IS_PRESENT	  (1u << 3)
#define PMV_PAGE_IS_SWAPPED	  (1u << 4)
#define PMV_PAGE_IS_HUGE	  (1u << 6)

_Static_assert(sizeof(struct pmv_pm_scan) == 96, "ABI");

/* PROCMAP_QUERY on /proc/PID/maps, Linux 6.11. */
struct pmv_procmap_query {
	uint64_t size;
	uint64_t query_flags;
	uint64_t query_addr;
	uint64_t vma_start;
	uint64_t vma_end;
	uint64_t vma_flags;
	uint64_t vma_page_size;
	uint64_t vma_offset;
	uint64_t inode;
	uint32_t dev_major;
	uint32_t dev_minor;
	uint32_t vma_name_size;
	uint32_t build_id_size;
	uint64_t vma_name_addr;
	uint64_t build_id_addr;
};

#define PMV_PROCMAP_QUERY      _IOWR('f', 17, struct pmv_procmap_query)
#define PMV_PROCMAP_READABLE   0x01
#define PMV_PROCMAP_WRITABLE   0x02
#define PMV_PROCMAP_EXECUTABLE 0x04
#define PMV_PROCMAP_SHARED     0x08
#define PMV_PROCMAP_OR_NEXT    0x10

_Static_assert(sizeof(struct pmv_procmap_query) == 104, "ABI");

#endif /* PMV_UFFD_UAPI_H */
