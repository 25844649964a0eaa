// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fault_turn.h"
#include "pair.h"
#include "samples.h"
#include "thread.h"

#include <math.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define WARM_TOUCHES   16 /* not timed: the turn before left other caches */
#define TOUCHES	       (WARM_TOUCHES + FAULT_TOUCHES)
#define FEWEST_TOUCHES 16
#define TURN_NS	       30000000u /* where each takes long, fewer have to do */
#define TOUCHED_WORD   8	 /* of a page; others tell which one it is */

struct toucher {
	pthread_t thread;
	const struct fault_case *c;
	const size_t *block;
	double *ns;
	size_t n; /* timed */
	pthread_barrier_t *start;
};

/* A page in the middle: neighbours come from both sides. */
static volatile uint64_t *touched(const struct fault_case *c, size_t block)
{
	char *page = fault_area_dst(&c->area, block) +
		     c->kind.around / 2 * c->area.page_bytes;

	return (volatile uint64_t *)page + TOUCHED_WORD;
}

static void *touch(void *arg)
{
	struct toucher *it = arg;
	double clock_ns;
	uint64_t limit_ns;

	for (size_t i = 0; i < WARM_TOUCHES; i++)
		*touched(it->c, it->block[i]) = 1;
	clock_ns = bench_clock_ns();
	pthread_barrier_wait(it->start);
	limit_ns = bench_now_ns() + TURN_NS;
	while (it->n < FAULT_TOUCHES) {
		volatile uint64_t *word =
			touched(it->c, it->block[WARM_TOUCHES + it->n]);
		uint64_t start_ns = bench_now_ns();
		uint64_t end_ns;

		*word = 1;
		end_ns = bench_now_ns();
		it->ns[it->n++] =
			fmax((double)(end_ns - start_ns) - clock_ns, 0);
		if (end_ns > limit_ns && it->n >= FEWEST_TOUCHES)
			break;
	}
	return NULL;
}

static int start_threads(const struct fault_case *c, const size_t *block,
			 struct fault_timed *timed, struct toucher *toucher,
			 pthread_barrier_t *start)
{
	for (unsigned int i = 0; i < c->kind.threads; i++) {
		struct toucher *it = &toucher[i];
		int rc;

		*it = (struct toucher){
			.c = c,
			.block = block + i * TOUCHES,
			.ns = timed->ns + i * FAULT_TOUCHES,
			.start = start,
		};
		rc = bench_thread_start(&it->thread, fault_case_cpu(c, i),
					touch, it);
		if (rc)
			return rc; /* the process ends, and threads with it */
	}
	return 0;
}

static bool page_right(const struct fault_case *c, size_t number)
{
	const char *addr = c->area.dst + number * c->area.page_bytes;
	bool copied = c->ways->stock == fault_case_stock && !c->moves;
	size_t wanted = copied ? number % c->kind.around : number;
	uint32_t found, version;

	return bench_page_read(addr, c->area.page_bytes, &found, &version) &&
	       found == wanted && version == 1;
}

static size_t count_wrong(const struct fault_case *c, const size_t *block,
			  size_t n)
{
	size_t around = c->kind.around;
	size_t wrong = 0;

	for (size_t i = 0; i < n; i++) {
		wrong += *touched(c, block[i]) != 1;
		for (size_t p = 0; c->ways->fills && p < around; p++)
			wrong += !page_right(c, block[i] * around + p);
	}
	return wrong;
}

/* They are not touched again before the area begins anew. */
static void throw_away(const struct fault_case *c, const size_t *block,
		       size_t n)
{
	for (size_t i = 0; i < n; i++) {
		madvise(fault_area_dst(&c->area, block[i]), c->area.block_bytes,
			MADV_DONTNEED);
		madvise(fault_area_src(&c->area, block[i]), c->area.block_bytes,
			MADV_DONTNEED);
	}
}

static void collect(const struct toucher *it, struct fault_timed *timed)
{
	timed->wrong += count_wrong(it->c, it->block, WARM_TOUCHES + it->n);
	memmove(timed->ns + timed->n, it->ns, it->n * sizeof(*it->ns));
	timed->n += it->n;
}

static int run_threads(const struct fault_case *c, const size_t *block,
		       struct fault_timed *timed)
{
	unsigned int threads = c->kind.threads;
	struct toucher toucher[FAULT_MAX_THREADS];
	pthread_barrier_t start;
	int rc;

	pthread_barrier_init(&start, NULL, threads);
	rc = start_threads(c, block, timed, toucher, &start);
	if (rc)
		return rc;
	for (unsigned int i = 0; i < threads; i++)
		pthread_join(toucher[i].thread, NULL);
	pthread_barrier_destroy(&start);
	timed->n = 0;
	timed->wrong = 0;
	for (unsigned int i = 0; i < threads; i++)
		collect(&toucher[i], timed);
	return 0;
}

static const size_t *take_blocks(struct fault_case *c, size_t n, int *rc)
{
	const size_t *block = fault_area_take(&c->area, n);

	*rc = 0;
	if (block)
		return block;
	if (c->ways->detach)
		c->ways->detach(c);
	fault_area_restart(&c->area);
	if (c->ways->detach)
		*rc = c->ways->attach(c);
	return fault_area_take(&c->area, n);
}

/*
 * Threads that serve are started from another CPU than the first thread that
 * faults has, and stay there: where they run is worth a factor of 5, and
 * that is not to be left to chance.
 */
static int arm(struct fault_case *c)
{
	int rc;

	bench_thread_pin(fault_case_cpu(c, c->cpus - 1));
	rc = c->ways->arm(c);
	bench_thread_pin(fault_case_cpu(c, 0));
	return rc;
}

int fault_turn(struct fault_case *c, struct fault_timed *timed,
	       const char **doing)
{
	size_t n = c->kind.threads * TOUCHES;
	const size_t *block;
	int rc;

	*doing = "registering";
	block = take_blocks(c, n, &rc);
	if (!rc && c->ways->stock)
		rc = c->ways->stock(c, block, n);
	*doing = "installing the handler";
	if (!rc && c->ways->arm)
		rc = arm(c);
	if (rc)
		return rc;
	*doing = "starting threads";
	rc = run_threads(c, block, timed);
	if (rc)
		return rc;
	if (c->ways->disarm)
		c->ways->disarm(c);
	throw_away(c, block, n);
	return 0;
}
