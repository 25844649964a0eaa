/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The workload program, as the benches run it: see bench/workload.
 */
#ifndef BENCH_WORK_H
#define BENCH_WORK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "allocator.h"

struct bench_work {
	uint64_t ops;
	double seconds;
	double cpu_seconds;
	uint64_t bytes;
	double peak_rss_mib;
	long mappings;
	long late_mappings;
	bool gave_up;
};

/* Finds it; NULL: it is there, else why not. Before all others. */
const char *bench_work_find(void);

/* Whether it starts under each of the set of BENCH_ALLOCATOR_BIT(): where not,
 * why tells. */
void bench_work_check_all(unsigned int allocators,
			  char why[BENCH_ALLOCATORS][160]);

/* Tells of those that are missing, the first one behind *title; that is empty
 * then. */
void bench_work_tell_missing(const char why[BENCH_ALLOCATORS][160],
			     const char **title, FILE *out);

/*
 * A workload and up to 4 words for it. 0 or -errno: -EINTR: Ctrl-C; -EIO:
 * memory was lost or changed; why tells of all others.
 */
int bench_work_run(enum bench_allocator allocator, const char *workload,
		   const char *const *words, unsigned int patience_s,
		   struct bench_work *work, char why[160]);

#endif /* BENCH_WORK_H */
