/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kernel interfaces that the headers of Debian 12 do not have. The benches
 * measure beside the library, so they have a copy of their own.
 */
#ifndef BENCH_KERNEL_ABI_H
#define BENCH_KERNEL_ABI_H

#include <linux/ioctl.h>
#include <linux/types.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

/* <linux/userfaultfd.h>, Linux 6.1: USERFAULTFD_IOC_NEW */
#define BENCH_USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)

/* <linux/userfaultfd.h>, Linux 6.8: UFFDIO_MOVE */
struct bench_uffdio_move {
	__u64 dst;
	__u64 src;
	__u64 len;
	__u64 mode;
	__s64 move;
};

#define BENCH_UFFDIO_MOVE_NR 0x05
#define BENCH_UFFDIO_MOVE \
	_IOWR(0xAA, BENCH_UFFDIO_MOVE_NR, struct bench_uffdio_move)

/* <linux/fs.h>, Linux 6.7: PAGEMAP_SCAN */
struct bench_page_region {
	__u64 start;
	__u64 end;
	__u64 categories;
};

struct bench_pm_scan_arg {
	__u64 size;
	__u64 flags;
	__u64 start;
	__u64 end;
	__u64 walk_end;
	__u64 vec;
	__u64 vec_len;
	__u64 max_pages;
	__u64 category_inverted;
	__u64 category_mask;
	__u64 category_anyof_mask;
	__u64 return_mask;
};

#define BENCH_PAGEMAP_SCAN _IOWR('f', 16, struct bench_pm_scan_arg)
#define BENCH_PAGE_IS_HUGE (1u << 6)

/* kmod/uapi/linux/pagemv.h, of which REMAP's structure is UFFDIO_MOVE's */
struct bench_pagemvio_range {
	__u64 dst;
	__u64 src;
	__u64 len;
	__s64 moved;
};

struct bench_pagemvio_remapv {
	__u32 size;
	__u32 flags;
	__u64 mode;
	__u64 ranges;
	__u32 count;
	__u32 pad;
	__s64 moved;
	__u64 flushes;
};

struct bench_pagemvio_info {
	__u32 size;
	__u32 version;
	__u64 calls;
	__u64 modes;
	__u32 max_ranges;
	__u32 flush_pages;
	__u64 remap_calls;
	__u64 pages;
	__u64 huge_pages;
	__u64 swap_entries;
	__u64 holes;
	__u64 splits;
	__u64 retries;
	__u64 flushes;
};

#define BENCH_PAGEMVIO_INFO   _IOWR(0xB9, 0x00, struct bench_pagemvio_info)
#define BENCH_PAGEMVIO_REMAP  _IOWR(0xB9, 0x01, struct bench_uffdio_move)
#define BENCH_PAGEMVIO_REMAPV _IOWR(0xB9, 0x02, struct bench_pagemvio_remapv)

#endif /* BENCH_KERNEL_ABI_H */
