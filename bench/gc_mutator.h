/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A thread that uses the heap, and notes each read that takes long.
 */
#ifndef BENCH_GC_MUTATOR_H
#define BENCH_GC_MUTATOR_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "gc_work.h"

/* Reads that take longer are noted: several times what they need. */
#define GC_STALL_NS 3000u
#define GC_STALLS   (1u << 18)

struct gc_stall {
	uint64_t from, to; /* bench_now_ns() */
	bool preempted;	   /* the thread had lost its CPU to another one */
};

enum gc_order { GC_BUILD, GC_REST, GC_RUN, GC_CHURN, GC_END };

struct gc_mutator {
	struct gc_work work;
	struct gc *gc;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	enum gc_order order; /* under the lock */
	bool done;	     /* the same: it rests */
	bool full;	     /* and the heap is */
	_Atomic bool stop;   /* running is to end */
	_Atomic uint64_t reads;
	struct gc_stall *stall;
	size_t stalls;
};

/* Starts one, which builds its part of the heap. 0 or -errno. */
int gc_mutator_start(struct gc_mutator *m);
/* Lets it do something; returns when it has begun. */
void gc_mutator_order(struct gc_mutator *m, enum gc_order order);
/* Returns when it has done so. False: the heap is full. */
bool gc_mutator_wait(struct gc_mutator *m);
void gc_mutator_end(struct gc_mutator *m);

#endif /* BENCH_GC_MUTATOR_H */
