/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The patterns of `pagemv bench malloc`. Known to the bench and to the
 * workload program.
 */
#ifndef BENCH_MALLOC_PATTERN_H
#define BENCH_MALLOC_PATTERN_H

#include <stddef.h>

enum malloc_kind {
	MALLOC_LOOP,	/* a block comes and goes */
	MALLOC_MIXED,	/* thousands of blocks, one is replaced each time */
	MALLOC_LARSON,	/* as servers do it: others free what one allocates */
	MALLOC_MSTRESS, /* blocks wander between threads one by one */
	MALLOC_REDIS,	/* programs of others */
	MALLOC_PYTHON
};

struct malloc_pattern {
	const char *name;
	const char *summary;
	enum malloc_kind kind;
	unsigned int threads;
	size_t min_bytes; /* of a block */
	size_t max_bytes;
	unsigned long ops; /* of one thread */
};

#define MALLOC_PATTERNS 13

extern const struct malloc_pattern malloc_patterns[MALLOC_PATTERNS];

/* NULL: there is none of that name. */
const struct malloc_pattern *malloc_pattern_find(const char *name);

#endif /* BENCH_MALLOC_PATTERN_H */
