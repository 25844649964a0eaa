/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads of a bench, each on a CPU of its own where wanted.
 */
#ifndef BENCH_THREAD_H
#define BENCH_THREAD_H

#include <pthread.h>

/*
 * Starts a thread with all signals blocked, as Ctrl-C is for the main thread,
 * but for those that its own accesses to memory cause. cpu: -1: anywhere.
 * Returns 0 or -errno.
 */
int bench_thread_start(pthread_t *thread, int cpu, void *(*run)(void *arg),
		       void *arg);

/* Pins the calling thread, and those that it starts from then on. */
void bench_thread_pin(int cpu);

#endif /* BENCH_THREAD_H */
