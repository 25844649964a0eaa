/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pagemv-workload: the program that `pagemv bench realloc` and `bench malloc`
 * run under one allocator after the other. It links libc alone, so that the
 * allocator that is preloaded is all that differs. What it tells goes to its
 * standard output as one line, told by `struct workload_report`.
 *
 * It must not allocate what it does not measure.
 */
#ifndef BENCH_WORKLOAD_WORKLOAD_H
#define BENCH_WORKLOAD_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORKLOAD_MAX_THREADS 64

struct workload_report {
	uint64_t ops;
	uint64_t wall_ns;
	uint64_t cpu_ns;       /* of all threads */
	uint64_t bytes;	       /* of blocks in the end */
	uint64_t peak_kib;     /* resident, more than at the beginning */
	int64_t mappings;      /* most of them, more than at the beginning */
	int64_t late_mappings; /* that came after an eighth of the bytes */
	uint64_t wrong;	       /* places whose contents were lost */
	bool gave_up;	       /* the time was over before the work was done */
};

/* What they return goes to the standard error where it is not NULL. */
const char *workload_grow(char *const *args, struct workload_report *report);
const char *workload_churn(char *const *args, struct workload_report *report);

/* Monotonic; that the CPUs have spent on the process, and on the thread. */
uint64_t workload_now_ns(void);
uint64_t workload_cpu_ns(void);
uint64_t workload_thread_cpu_ns(void);

/* The next number of a generator of the caller's; *state is not 0. */
uint64_t workload_random(uint64_t *state);

#endif /* BENCH_WORKLOAD_WORKLOAD_H */
