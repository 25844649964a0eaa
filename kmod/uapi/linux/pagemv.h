/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * The companion of libpagemv: moving the pages of private anonymous memory
 * between addresses of one process. The protocol of /dev/pagemv, see
 * pagemv(4).
 *
 * A structure that may grow begins with its size. Unknown bits, and padding
 * that is not zero, are EINVAL. A size that the kernel does not know is E2BIG
 * where its tail is not zero.
 */
#ifndef _UAPI_LINUX_PAGEMV_H
#define _UAPI_LINUX_PAGEMV_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define PAGEMVIO		0xB9
#define PAGEMVIO_VERSION	1

/* Modes, the values of UFFDIO_MOVE_MODE_*. */
#define PAGEMVIO_MODE_DONTWAKE		((__u64)1 << 0)
#define PAGEMVIO_MODE_ALLOW_SRC_HOLES	((__u64)1 << 1)

/* As struct uffdio_move, so one caller serves both. */
struct pagemvio_remap {
	__u64 dst;
	__u64 src;
	__u64 len;	/* bytes, whole pages */
	__u64 mode;
	__s64 moved;	/* out: bytes moved, or a negative errno */
};

/*
 * One element of a vector; the kernel writes moved of each it reached. Those it
 * did not reach have 0.
 */
struct pagemvio_range {
	__u64 dst;
	__u64 src;
	__u64 len;
	__s64 moved;	/* out: bytes moved, or a negative errno */
};

/*
 * Ranges are done in their order; one that fails does not stop the others
 * unless STOP is set. Returns 0 if all moved whole, else EAGAIN, or the errno
 * of the first that failed where nothing at all moved. There is one flush of the
 * TLB for all: until the call returns, a thread that has used an address of src
 * may still reach a page there that others see at dst already. (After REMAP and
 * EXCHANGE nobody does who sees it at its new place.)
 */
#define PAGEMVIO_REMAPV_STOP	((__u32)1 << 0)	/* end at the first failure */
#define PAGEMVIO_REMAPV_MAX	4096		/* ranges a call */
struct pagemvio_remapv {
	__u32 size;	/* of this structure */
	__u32 flags;
	__u64 mode;	/* of all ranges */
	__u64 ranges;	/* struct pagemvio_range *, naturally aligned */
	__u32 count;
	__u32 pad;
	__s64 moved;	/* out: bytes of all */
	__u64 flushes;	/* out: how often the TLB was flushed */
};

/* a and b do not overlap; holes are exchanged as well. */
struct pagemvio_exchange {
	__u32 size;
	__u32 flags;	/* none yet */
	__u64 a;
	__u64 b;
	__u64 len;
	__s64 moved;	/* out: bytes from the start that changed places, or a negative errno */
};

/* calls: bit N is the ioctl of number N. */
struct pagemvio_info {
	__u32 size;
	__u32 version;	/* out: PAGEMVIO_VERSION */
	__u64 calls;	/* out */
	__u64 modes;	/* out: PAGEMVIO_MODE_* that are known */
	__u32 max_ranges;	/* out: of a vector */
	__u32 flush_pages;	/* out: a vector has one flush for each so many pages */
	__u64 remap_calls;	/* out: since loaded, all processes */
	__u64 pages;		/* out: moved as small pages */
	__u64 huge_pages;	/* out: moved whole */
	__u64 swap_entries;	/* out: moved without being read in */
	__u64 holes;		/* out */
	__u64 splits;		/* out: of huge pages */
	__u64 retries;		/* out: begun again after a race */
	__u64 flushes;		/* out: of the TLB */
};

#define PAGEMVIO_INFO		_IOWR(PAGEMVIO, 0x00, struct pagemvio_info)
#define PAGEMVIO_REMAP		_IOWR(PAGEMVIO, 0x01, struct pagemvio_remap)
#define PAGEMVIO_REMAPV		_IOWR(PAGEMVIO, 0x02, struct pagemvio_remapv)
#define PAGEMVIO_EXCHANGE	_IOWR(PAGEMVIO, 0x03, struct pagemvio_exchange)

#endif /* _UAPI_LINUX_PAGEMV_H */
