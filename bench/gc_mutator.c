// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gc_mutator.h"
#include "samples.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

/* One part in so many of what is alive is garbage before each collection. */
#define CHURN 24

static long preemptions(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_THREAD, &usage) ? 0 : usage.ru_nivcsw;
}

static void note(struct gc_mutator *m, uint64_t from, uint64_t to, long *before)
{
	long now = preemptions();

	if (m->stalls < GC_STALLS)
		m->stall[m->stalls++] =
			(struct gc_stall){ from, to, now != *before };
	*before = now;
}

static bool run(struct gc_mutator *m)
{
	long before = preemptions();
	bool ok = true;

	m->stalls = 0;
	while (ok && !atomic_load_explicit(&m->stop, memory_order_relaxed)) {
		uint64_t from = bench_now_ns(), to;

		gc_poll(m->work.thread);
		gc_work_read(&m->work);
		to = bench_now_ns();
		if (to - from > GC_STALL_NS)
			note(m, from, to, &before);
		atomic_fetch_add_explicit(&m->reads, 1, memory_order_relaxed);
		ok = gc_work_write(&m->work);
	}
	return ok;
}

/* False: the heap is full. */
static bool carry_out(struct gc_mutator *m, enum gc_order order)
{
	switch (order) {
	case GC_BUILD:
		return gc_work_build(&m->work);
	case GC_CHURN:
		return gc_work_churn(&m->work, CHURN);
	case GC_RUN:
		return run(m);
	default:
		return true;
	}
}

/* The next order; while there is none, it is as good as stopped. */
static enum gc_order await(struct gc_mutator *m, bool ok)
{
	enum gc_order order;

	gc_leave(m->work.thread);
	pthread_mutex_lock(&m->lock);
	m->full |= !ok;
	m->done = true;
	m->order = GC_REST;
	pthread_cond_broadcast(&m->changed);
	while (m->order == GC_REST)
		pthread_cond_wait(&m->changed, &m->lock);
	order = m->order;
	pthread_mutex_unlock(&m->lock);
	gc_enter(m->work.thread);
	return order;
}

static void *mutate(void *arg)
{
	struct gc_mutator *m = arg;
	enum gc_order order = m->order;

	while (order != GC_END)
		order = await(m, carry_out(m, order));
	gc_detach(m->work.thread);
	return NULL;
}

static void *attach(void *arg)
{
	struct gc_mutator *m = arg;
	size_t roots = gc_work_roots(m->work.workload, m->work.live_bytes);

	if (gc_attach(m->gc, roots, &m->work.thread) == 0)
		return mutate(m);
	pthread_mutex_lock(&m->lock);
	m->full = m->done = true;
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
	return NULL;
}

int gc_mutator_start(struct gc_mutator *m)
{
	m->stall = malloc(GC_STALLS * sizeof(m->stall[0]));
	if (!m->stall)
		return -ENOMEM;
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->changed, NULL);
	m->order = GC_BUILD;
	return -pthread_create(&m->thread, NULL, attach, m);
}

void gc_mutator_order(struct gc_mutator *m, enum gc_order order)
{
	atomic_store(&m->stop, false);
	pthread_mutex_lock(&m->lock);
	m->order = order;
	m->done = false;
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
}

bool gc_mutator_wait(struct gc_mutator *m)
{
	bool full;

	pthread_mutex_lock(&m->lock);
	while (!m->done)
		pthread_cond_wait(&m->changed, &m->lock);
	full = m->full;
	pthread_mutex_unlock(&m->lock);
	return !full;
}

void gc_mutator_end(struct gc_mutator *m)
{
	gc_mutator_order(m, GC_END);
	pthread_join(m->thread, NULL);
	free(m->stall);
}
