// SPDX-License-Identifier: LGPL-2.1-or-later
#include "malloc_threshold.h"
#include "child.h"
#include "interrupt.h"
#include "samples.h"

#include <errno.h>
#include <pagemv/heap.h>
#include <pagemv/pagemv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAGE	   4096u
#define FIRST	   32768u
#define TURN_BYTES ((size_t)64 << 20) /* touched in a turn, of each size */
#define COSTS	   4

struct threshold_shared {
	struct bench_shared head;
	double ns[MALLOC_THRESHOLD_SIZES][COSTS];
};

struct maker {
	void *(*make)(size_t bytes);
	void *(*grow)(void *block, size_t bytes);
	void (*drop)(void *block);
};

/* Of this process. */
static struct pagemv_heap *heap;

static void *heap_make(size_t bytes)
{
	void *block = NULL;

	return pagemv_heap_alloc(heap, bytes, 0, &block) ? NULL : block;
}

static void *heap_grow(void *block, size_t bytes)
{
	return pagemv_heap_realloc(heap, block, bytes, 0, &block, NULL) ? NULL
									: block;
}

static void heap_drop(void *block)
{
	(void)pagemv_heap_free(heap, block);
}

static const struct maker makers[2] = {
	{ malloc, realloc, free },
	{ heap_make, heap_grow, heap_drop },
};

static double cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void touch(char *block, size_t from, size_t to)
{
	for (size_t i = from; i < to; i += PAGE)
		((volatile char *)block)[i] = 1;
}

/* A block behind it, so that it does not grow at the end of a heap. */
static double time_cycles(const struct maker *maker, size_t bytes, bool grow)
{
	size_t n = TURN_BYTES / bytes;
	double start_ns = cpu_ns();

	for (size_t i = 0; i < n; i++) {
		char *block = maker->make(bytes);
		char *behind = grow ? maker->make(bytes) : NULL;

		if (!block)
			return 0;
		touch(block, 0, bytes);
		if (grow) {
			block = maker->grow(block, 2 * bytes);
			if (!block)
				return 0;
			touch(block, bytes, 2 * bytes);
			maker->drop(behind);
		}
		maker->drop(block);
	}
	return (cpu_ns() - start_ns) / (double)n;
}

static bool begin(struct bench_shared *shared, const void *arg)
{
	struct pagemv *pv;
	int rc = pagemv_open(&pv, NULL);

	(void)arg;
	if (!rc)
		rc = pagemv_heap_create(pv, NULL, &heap);
	if (rc)
		snprintf(shared->why, sizeof(shared->why), "making a heap: %s",
			 pagemv_strerror(rc));
	return !rc;
}

static bool turn(struct bench_shared *head)
{
	struct threshold_shared *shared = (struct threshold_shared *)head;

	for (int s = 0; s < MALLOC_THRESHOLD_SIZES; s++)
		for (int i = 0; i < COSTS; i++)
			shared->ns[s][i] = time_cycles(
				&makers[i / 2], (size_t)FIRST << s, i % 2);
	return true;
}

static const struct bench_part part = {
	.begin = begin,
	.turn = turn,
	.shared_bytes = sizeof(struct threshold_shared),
};

typedef struct bench_samples samples_table[MALLOC_THRESHOLD_SIZES][COSTS];

static void sum_up(struct malloc_threshold *threshold, samples_table samples)
{
	for (int s = 0; s < MALLOC_THRESHOLD_SIZES; s++) {
		threshold->bytes[s] = (size_t)FIRST << s;
		threshold->libc[s].cycle_ns =
			bench_samples_median(&samples[s][0]);
		threshold->libc[s].grow_ns =
			bench_samples_median(&samples[s][1]);
		threshold->heap[s].cycle_ns =
			bench_samples_median(&samples[s][2]);
		threshold->heap[s].grow_ns =
			bench_samples_median(&samples[s][3]);
		for (int i = 0; i < COSTS; i++)
			bench_samples_free(&samples[s][i]);
	}
}

void malloc_threshold_measure(struct malloc_threshold *threshold,
			      unsigned int turns)
{
	samples_table samples = { 0 };
	struct bench_child child;
	struct threshold_shared *shared;
	int rc = bench_child_start(&child, &part, NULL);

	shared = (struct threshold_shared *)child.shared;
	for (unsigned int n = 0; n < turns && !rc; n++) {
		rc = bench_child_turn(&child);
		for (int i = 0; i < COSTS * MALLOC_THRESHOLD_SIZES && !rc; i++)
			(void)bench_samples_add(
				&samples[i / COSTS][i % COSTS],
				shared->ns[i / COSTS][i % COSTS]);
	}
	if (rc && rc != -EINTR)
		snprintf(threshold->why, sizeof(threshold->why), "%.159s",
			 shared && shared->head.why[0] ? shared->head.why
						       : strerror(-rc));
	bench_child_free(&child);
	sum_up(threshold, samples);
}
