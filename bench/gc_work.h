/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the mutators of `pagemv bench gc` do to the heap. Everything that is
 * read is verified.
 */
#ifndef BENCH_GC_WORK_H
#define BENCH_GC_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gc.h>

#include "gc_kind.h"

/* One mutator's part of it. */
struct gc_work {
	struct gc_thread *thread;
	enum gc_workload workload;
	size_t live_bytes; /* to be */
	size_t slots;	   /* trees, entries or arrays */
	uint64_t random;
	unsigned int wrong; /* things that were not what they should be */
};

/* Roots that a mutator needs. */
size_t gc_work_roots(enum gc_workload workload, size_t live_bytes);

/* Fills the heap. False: it is full before. */
bool gc_work_build(struct gc_work *work);

/* Replaces one part in n of what is alive, all over the heap. False: it is
 * full. */
bool gc_work_churn(struct gc_work *work, unsigned int n);

/* Reads something. */
void gc_work_read(struct gc_work *work);

/* Now and then something new. False: the heap is full. */
bool gc_work_write(struct gc_work *work);

#endif /* BENCH_GC_WORK_H */
