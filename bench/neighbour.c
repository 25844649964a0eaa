// SPDX-License-Identifier: LGPL-2.1-or-later
#include "neighbour.h"

#include <sched.h>
#include <signal.h>
#include <time.h>

enum state { STARTING, SPINNING, STOPPING };

void bench_cpus_choose(struct bench_cpus *cpus)
{
	cpu_set_t allowed, one;

	cpus->own = -1;
	cpus->other = -1;
	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return;
	for (int cpu = 0; cpu < CPU_SETSIZE && cpus->other < 0; cpu++) {
		if (!CPU_ISSET(cpu, &allowed))
			continue;
		if (cpus->own < 0)
			cpus->own = cpu;
		else
			cpus->other = cpu;
	}
	CPU_ZERO(&one);
	CPU_SET(cpus->own, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		cpus->own = -1;
}

static void *spin(void *arg)
{
	struct bench_neighbour *neighbour = arg;
	volatile unsigned int sum = 0;

	/* Relaxed: the flag carries no data with it. */
	atomic_store_explicit(&neighbour->state, SPINNING,
			      memory_order_relaxed);
	while (atomic_load_explicit(&neighbour->state, memory_order_relaxed) ==
	       SPINNING)
		for (unsigned int i = 0; i < 1000; i++)
			sum += i;
	(void)sum;
	return NULL;
}

/* Ctrl-C is for the main thread. */
static int create_masked(struct bench_neighbour *neighbour,
			 const pthread_attr_t *attr)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&neighbour->thread, attr, spin, neighbour);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -rc;
}

int bench_neighbour_start(struct bench_neighbour *neighbour,
			  const struct bench_cpus *cpus)
{
	pthread_attr_t attr;
	cpu_set_t one;
	int rc;

	CPU_ZERO(&one);
	CPU_SET(cpus->other, &one);
	atomic_init(&neighbour->state, STARTING);
	pthread_attr_init(&attr);
	pthread_attr_setaffinity_np(&attr, sizeof(one), &one);
	rc = create_masked(neighbour, &attr);
	pthread_attr_destroy(&attr);
	neighbour->running = !rc;
	while (!rc && atomic_load_explicit(&neighbour->state,
					   memory_order_relaxed) == STARTING)
		sched_yield();
	return rc;
}

void bench_neighbour_stop(struct bench_neighbour *neighbour)
{
	if (!neighbour->running)
		return;
	atomic_store_explicit(&neighbour->state, STOPPING,
			      memory_order_relaxed);
	pthread_join(neighbour->thread, NULL);
	neighbour->running = false;
}

uint64_t bench_neighbour_cpu_ns(const struct bench_neighbour *neighbour)
{
	struct timespec used = { 0 };
	clockid_t clock;

	if (!pthread_getcpuclockid(neighbour->thread, &clock))
		clock_gettime(clock, &used);
	return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}
