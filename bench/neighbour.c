// SPDX-License-Identifier: LGPL-2.1-or-later
#include "neighbour.h"
#include "thread.h"

#include <sched.h>
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

int bench_neighbour_start(struct bench_neighbour *neighbour,
			  const struct bench_cpus *cpus)
{
	int rc;

	atomic_init(&neighbour->state, STARTING);
	rc = bench_thread_start(&neighbour->thread, cpus->other, spin,
				neighbour);
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
