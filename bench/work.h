/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The workload program, as the benches run it: see bench/workload.
 */
#ifndef BENCH_WORK_H
#define BENCH_WORK_H

#include <stdbool.h>
#include <stdint.h>

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

/* Whether it starts under that allocator: -ECHILD: no, and why tells. */
int bench_work_check(enum bench_allocator allocator, char why[160]);

/*
 * A workload and up to 4 words for it. 0 or -errno: -EINTR: Ctrl-C; -EIO:
 * memory was lost or changed; why tells of all others.
 */
int bench_work_run(enum bench_allocator allocator, const char *workload,
		   const char *const *words, unsigned int patience_s,
		   struct bench_work *work, char why[160]);

#endif /* BENCH_WORK_H */
