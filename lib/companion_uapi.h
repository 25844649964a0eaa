/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The protocol of /dev/pagemv, under names of our own, so that the library is
 * built without the sources of the module. Only companion.c includes this.
 *
 * Source: kmod/uapi/linux/pagemv.h, whose layout is ABI; the two are compared
 * by tests/unit/test_companion.c.
 */
#ifndef PMV_COMPANION_UAPI_H
#define PMV_COMPANION_UAPI_H

#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#define PMV_COMPANION_IO      0xB9
#define PMV_COMPANION_VERSION 1

/* Absent source pages are fine, and count as moved. */
#define PMV_COMPANION_MODE_HOLES (1ull << 1)

struct pmv_companion_remap {
	uint64_t dst;
	uint64_t src;
	uint64_t len;
	uint64_t mode;
	int64_t moved;
};

struct pmv_companion_range {
	uint64_t dst;
	uint64_t src;
	uint64_t len;
	int64_t moved; /* bytes, or a negative errno */
};

/* Ranges a call. */
#define PMV_COMPANION_RANGES_MAX 4096

struct pmv_companion_remapv {
	uint32_t size;
	uint32_t flags;
	uint64_t mode;
	uint64_t ranges;
	uint32_t count;
	uint32_t pad;
	int64_t moved;
	uint64_t flushes;
};

struct pmv_companion_exchange {
	uint32_t size;
	uint32_t flags;
	uint64_t a;
	uint64_t b;
	uint64_t len;
	int64_t moved;
};

struct pmv_companion_info {
	uint32_t size;
	uint32_t version;
	uint64_t calls; /* bit N: the ioctl of number N */
	uint64_t modes;
	uint32_t max_ranges;
	uint32_t flush_pages;
	/* Since the module was loaded, of all processes. */
	uint64_t remap_calls;
	uint64_t pages;
	uint64_t huge_pages;
	uint64_t swap_entries;
	uint64_t holes;
	uint64_t splits;
	uint64_t retries;
	uint64_t flushes;
};

#define PMV_COMPANION_INFO \
	_IOWR(PMV_COMPANION_IO, 0x00, struct pmv_companion_info)
#define PMV_COMPANION_REMAP \
	_IOWR(PMV_COMPANION_IO, 0x01, struct pmv_companion_remap)
#define PMV_COMPANION_REMAPV \
	_IOWR(PMV_COMPANION_IO, 0x02, struct pmv_companion_remapv)
#define PMV_COMPANION_EXCHANGE \
	_IOWR(PMV_COMPANION_IO, 0x03, struct pmv_companion_exchange)

_Static_assert(sizeof(struct pmv_companion_remap) == 40, "ABI");
_Static_assert(sizeof(struct pmv_companion_range) == 32, "ABI");
_Static_assert(sizeof(struct pmv_companion_remapv) == 48, "ABI");
_Static_assert(sizeof(struct pmv_companion_exchange) == 40, "ABI");
_Static_assert(sizeof(struct pmv_companion_info) == 96, "ABI");

#endif /* PMV_COMPANION_UAPI_H */
