/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The patterns of `pagemv bench realloc`: how a block grows, and what else is
 * going on. Known to the bench and to the workload program.
 */
#ifndef BENCH_REALLOC_PATTERN_H
#define BENCH_REALLOC_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

struct realloc_pattern {
	const char *name;
	const char *summary;
	unsigned int percent; /* of its size a block grows to; 0: see step */
	size_t step_bytes;    /* that it grows by */
	size_t stride_bytes;  /* a page is written to in each of them */
	bool shrink;	      /* to half, and back again, several times */
	bool fork;	      /* half way a child is born, and lives on */
	bool neighbour;	      /* another thread faults pages all the time */
	bool one_thread;      /* makes no sense with more */
};

/* Where a block begins. */
#define REALLOC_FIRST_BYTES 4096

#define REALLOC_PATTERNS 11

extern const struct realloc_pattern realloc_patterns[REALLOC_PATTERNS];

/* NULL: there is none of that name. */
const struct realloc_pattern *realloc_pattern_find(const char *name);

/* Each page that the pattern writes to, rather than some. */
bool realloc_pattern_touched(const struct realloc_pattern *pattern);

#endif /* BENCH_REALLOC_PATTERN_H */
