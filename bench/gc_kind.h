/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What `pagemv bench gc` measures: one row of it.
 */
#ifndef BENCH_GC_KIND_H
#define BENCH_GC_KIND_H

#include <stdbool.h>
#include <stddef.h>

#include <gc.h>

enum gc_workload {
	GC_TREES,  /* binary trees, as in GCBench */
	GC_CACHE,  /* a cache whose entries of all sizes replace each other */
	GC_ARRAYS, /* arrays of 64 KiB to 16 MiB */
	GC_WORKLOADS
};

extern const char *const gc_workload_name[GC_WORKLOADS];

struct gc_kind {
	enum gc_workload workload;
	enum gc_mode mode;
	unsigned int heap_mib; /* that are alive */
	unsigned int mutators;
};

#define GC_MAX_KINDS 96

/* What was asked for. */
struct gc_choice {
	unsigned int workloads; /* bits */
	unsigned int modes;
	unsigned int heap_mib[4];
	unsigned int heaps;
	unsigned int mutators_max;
};

/* All kinds of a choice, those of one heap together. Returns how many. */
size_t gc_kinds(struct gc_kind *kind, const struct gc_choice *choice);

bool gc_kind_equal(const struct gc_kind *a, const struct gc_kind *b);

#endif /* BENCH_GC_KIND_H */
