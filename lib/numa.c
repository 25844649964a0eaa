// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * libnuma prints when it meets what it does not expect, and ends the program
 * where it has no memory for a mask of its own. So it is asked only for what
 * it knows to be there, once for each set of handler threads, and masks are of
 * this file. It has no way to say "no memory".
 */
#include "numa.h"

#include <errno.h>
#include <limits.h>
#include <numa.h>

/* As many as a kernel can be built for. */
#define CPUS	  8192
#define WORD_BITS (sizeof(long) * CHAR_BIT)

struct cpus {
	unsigned long words[CPUS / WORD_BITS];
	struct bitmask mask;
};

static struct bitmask *cpus_mask(struct cpus *c)
{
	c->mask = (struct bitmask){ .size = CPUS, .maskp = c->words };
	return numa_bitmask_clearall(&c->mask);
}

/* Those of the node that the calling thread may run on. 0, or -EINVAL where
 * there are none. */
static int cpus_of(int node, struct cpus *out)
{
	struct bitmask *cpus = cpus_mask(out), *allowed;
	struct cpus mine;

	if (numa_available() < 0 || node < 0 || node > numa_max_node() ||
	    !numa_bitmask_isbitset(numa_nodes_ptr, (unsigned int)node) ||
	    numa_num_possible_cpus() > CPUS)
		return -EINVAL;
	allowed = cpus_mask(&mine);
	if (numa_node_to_cpus(node, cpus) < 0 ||
	    numa_sched_getaffinity(0, allowed) < 0)
		return -EINVAL;
	for (size_t i = 0; i < CPUS / WORD_BITS; i++)
		out->words[i] &= mine.words[i];
	return numa_bitmask_weight(cpus) > 0 ? 0 : -EINVAL;
}

bool pmv_numa_has(int node)
{
	int saved = errno;
	struct cpus cpus;
	bool has = cpus_of(node, &cpus) == 0;

	errno = saved;
	return has;
}

int pmv_numa_run_on(int node)
{
	int saved = errno, rc;
	struct cpus cpus;

	rc = cpus_of(node, &cpus);
	if (rc == 0 && numa_sched_setaffinity(0, &cpus.mask) < 0)
		rc = -errno;
	errno = saved;
	return rc;
}
