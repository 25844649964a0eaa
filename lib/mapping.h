/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is mapped where. AS-Safe; nothing is allocated.
 */
#ifndef PMV_MAPPING_H
#define PMV_MAPPING_H

#include "base.h"
#include "sys.h"

struct pagemv;

/* pmv_mapping.flags */
#define PMV_MAP_READ   (1u << 0)
#define PMV_MAP_WRITE  (1u << 1)
#define PMV_MAP_EXEC   (1u << 2)
#define PMV_MAP_SHARED (1u << 3)
#define PMV_MAP_FILE   (1u << 4) /* has an inode */
/* From here on by a deep look only. */
#define PMV_MAP_LOCKED	(1u << 5)
#define PMV_MAP_HUGETLB (1u << 6)
#define PMV_MAP_SPECIAL (1u << 7)
#define PMV_MAP_UFFD	(1u << 8) /* registered with some userfaultfd */
#define PMV_MAP_SHMEM	(1u << 9) /* its path says System V or tmpfs */
#define PMV_MAP_MEMFD	(1u << 10)
#define PMV_MAP_ZERODEV (1u << 11) /* MAP_SHARED|MAP_ANONYMOUS */
#define PMV_MAP_HUGE	(1u << 12) /* a store may make a huge page of any size */

struct pmv_mapping {
	uintptr_t start;
	uintptr_t end;
	uint32_t flags; /* PMV_MAP_* */
	int pkey;	/* protection key; by a deep look only */
};

/*
 * The mapping that covers addr, or else the next one above: 1. None: 0.
 * Cannot be told: -errno. One ioctl where PROCMAP_QUERY is (0.5 us), else
 * reads /proc/self/maps.
 */
int pmv_mapping_find(const struct pagemv *pv, uintptr_t addr,
		     struct pmv_mapping *out);

/* PROT_* of a mapping. */
int pmv_mapping_prot(const struct pmv_mapping *m);

/*
 * Reads all mappings that end above from, in order, from /proc/self/smaps
 * with everything that is known of them; visit returns false to end it.
 * Slow: the kernel walks the page tables of all mappings. 0 or -errno.
 */
int pmv_mapping_each(const struct pagemv *pv, uintptr_t from,
		     bool (*visit)(void *arg, const struct pmv_mapping *m),
		     void *arg);

/* The same as pmv_mapping_find(), by a deep look. */
int pmv_mapping_find_deep(const struct pagemv *pv, uintptr_t addr,
			  struct pmv_mapping *out);

/* Whether the mapping at the page addr is locked by mlock(): 1 or 0, or
 * -errno. */
int pmv_mapping_locked(const struct pagemv *pv, uintptr_t addr);
/* The same without a handle. */
int pmv_page_locked(const struct pmv_sys *sys, uintptr_t addr,
		    size_t page_bytes);

/* Opens pv->maps_fd where PROCMAP_QUERY works. Returns 0, also where there is
 * nothing to open, or -EMFILE, -ENFILE. */
int pmv_mapping_open(struct pagemv *pv);

#endif /* PMV_MAPPING_H */
