/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The only file that knows libnuma is numa.c.
 */
#ifndef PMV_NUMA_H
#define PMV_NUMA_H

#include "base.h"

/* Whether there is such a node with CPUs that this process may run on. */
bool pmv_numa_has(int node);

/* Lets the calling thread run on the CPUs of the node alone. 0 or -errno. */
int pmv_numa_run_on(int node);

#endif /* PMV_NUMA_H */
