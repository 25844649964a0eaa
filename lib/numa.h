/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * NUMA nodes: where threads run and where pages are. The only file that knows
 * libnuma is numa.c.
 */
#ifndef PMV_NUMA_H
#define PMV_NUMA_H

#include <pagemv/heap.h>

#include "base.h"

/* Whether there is such a node with CPUs that this process may run on. */
bool pmv_numa_has(int node);

/* Lets the calling thread run on the CPUs of the node alone. 0 or -errno. */
int pmv_numa_run_on(int node);

/* ---- pages ---- */

/* As many nodes as a kernel can be built for. */
#define PMV_NODES 1024

/* Where pages are to be. */
struct pmv_numa_want {
	enum pagemv_heap_policy policy;
	uint32_t node; /* with PAGEMV_HEAP_NODE */
	enum pagemv_heap_placement placement;
	uint32_t nodes; /* that the process may have memory on. Where it is 1,
			 * what is below does nothing, and does it at once. */
};

/*
 * Makes one. -EINVAL: no such policy or placement, or this process cannot have
 * memory on the node. Where nobody tells of nodes (the kernel has none, a
 * filter hides them, libnuma is not installed) there is one, node 0. So there
 * is, without a question, for local memory that is not to be brought.
 */
int pmv_numa_want(struct pmv_numa_want *out, enum pagemv_heap_policy policy,
		  uint32_t node, enum pagemv_heap_placement placement);

/*
 * New pages of the mapping will be there, also where it cannot be accessed yet.
 * Nothing is asked of the kernel for PAGEMV_HEAP_LOCAL: what the user has set
 * for the process (numactl) stays in force. 0 or -errno.
 */
int pmv_numa_prefer(const struct pmv_numa_want *want, uintptr_t addr,
		    size_t bytes);

/* The node of a page; -ENOENT where there is none (or one of zeros that
 * everybody shares), or -errno. Faults nothing in. */
int pmv_numa_where(uintptr_t addr);

/* Some pages of a range, spread over it. */
struct pmv_numa_sample {
	size_t looked; /* at so many places */
	size_t there;  /* a page was there */
	size_t away;   /* and not where it is wanted */
};

int pmv_numa_sample(const struct pmv_numa_want *want, uintptr_t addr,
		    size_t bytes, size_t page_bytes,
		    struct pmv_numa_sample *out);

/* A range of whole pages, and what a huge page has. */
struct pmv_numa_range {
	uintptr_t addr;
	size_t bytes;
	size_t page_bytes;
	size_t huge_bytes; /* 0: there are none */
};

struct pmv_numa_brought {
	size_t brought_bytes; /* migrated to where they are wanted */
	size_t stayed_bytes;  /* the kernel did not: pinned, shared by fork(),
			       * no memory on that node */
};

/*
 * Migrates the pages of the range that are not where they are wanted: to the
 * node, to that of the calling thread for PAGEMV_HEAP_LOCAL, or to all in turn.
 * Addresses and contents stay as they are; those who store meanwhile wait.
 *
 * 0 when each page has been asked for, whether or not it went; else -errno (a
 * filter refuses), with what was done until then.
 */
int pmv_numa_bring(const struct pmv_numa_want *want,
		   const struct pmv_numa_range *range,
		   struct pmv_numa_brought *out);

#endif /* PMV_NUMA_H */
