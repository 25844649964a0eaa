// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The library's own workers: they sleep until they are asked for a round.
 */
#include "evac.h"

#include <errno.h>

#include "calm.h"
#include "internal.h"

/* Whoever waits looks again. */
static void tell(struct pagemv_evac *e)
{
	/* Pairs with the acquire in wait_for_news(). */
	atomic_fetch_add_explicit(&e->news, 1, memory_order_release);
	e->pv->sys->futex_wake((const uint32_t *)&e->news);
}

/* The callback ends the thread. */
static void end_worker(void *arg)
{
	struct pmv_evac_worker *w = arg;

	/* Release pairs with the acquire in is_at_work(). */
	atomic_store_explicit(&w->ended, true, memory_order_release);
	tell(w->evac);
}

static void *worker_main(void *arg)
{
	struct pmv_evac_worker *w = arg;
	struct pagemv_evac *e = w->evac;

	while (!atomic_load_explicit(&e->stopping, memory_order_acquire)) {
		uint32_t round =
			atomic_load_explicit(&e->rounds, memory_order_acquire);

		if (round ==
		    atomic_load_explicit(&w->round, memory_order_relaxed)) {
			e->pv->sys->futex_wait((const uint32_t *)&e->rounds,
					       round, 0);
			continue;
		}
		pthread_cleanup_push(end_worker, w);
		pmv_evac_complete(e);
		pthread_cleanup_pop(0);
		/* Pairs with the acquire in is_at_work(). */
		atomic_store_explicit(&w->round, round, memory_order_release);
		tell(e);
	}
	return NULL;
}

void pmv_evac_ring(struct pagemv_evac *e)
{
	/* Release pairs with the acquire in worker_main(). */
	atomic_fetch_add_explicit(&e->rounds, 1, memory_order_release);
	e->pv->sys->futex_wake((const uint32_t *)&e->rounds);
}

int pmv_evac_workers_start(struct pagemv_evac *e)
{
	sigset_t blocked, old;
	int rc = 0;

	pmv_calm_signals(&blocked);
	pthread_sigmask(SIG_SETMASK, &blocked, &old);
	while (e->started < e->opts.workers && rc == 0) {
		struct pmv_evac_worker *w = &e->workers[e->started];

		w->evac = e;
		rc = -pthread_create(&w->thread, NULL, worker_main, w);
		e->started += rc == 0;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc < 0)
		pmv_evac_workers_stop(e);
	return rc < 0 ? -EAGAIN : 0;
}

void pmv_evac_workers_stop(struct pagemv_evac *e)
{
	atomic_store_explicit(&e->stopping, true, memory_order_release);
	pmv_evac_ring(e);
	while (e->started)
		pthread_join(e->workers[--e->started].thread, NULL);
}
