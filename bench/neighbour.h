/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which CPUs a bench runs on, and the busy neighbour: a thread of the same
 * process that computes on another CPU, so that TLB flushes have to reach it.
 */
#ifndef BENCH_NEIGHBOUR_H
#define BENCH_NEIGHBOUR_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct bench_cpus {
	int own;   /* the CPU the bench is pinned to; -1: not pinned */
	int other; /* where a neighbour can run; -1: nowhere */
};

struct bench_neighbour {
	pthread_t thread;
	bool running;
	atomic_int state;
};

/* Pins the calling thread to the first CPU it may use. */
void bench_cpus_choose(struct bench_cpus *cpus);

/* Returns when the neighbour is computing: 0 or -errno. */
int bench_neighbour_start(struct bench_neighbour *neighbour,
			  const struct bench_cpus *cpus);
void bench_neighbour_stop(struct bench_neighbour *neighbour);

/* How long it has computed: less than the time that passed where other
 * programs want its CPU, and a neighbour that waits disturbs nobody. */
uint64_t bench_neighbour_cpu_ns(const struct bench_neighbour *neighbour);

#endif /* BENCH_NEIGHBOUR_H */
