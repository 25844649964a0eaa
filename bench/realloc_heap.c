// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A block of the library's heap goes to a new place by realloc, as it does
 * when there is no room to grow: with small pages and with huge ones.
 */
#include "child.h"
#include "interrupt.h"
#include "realloc_results.h"

#include <errno.h>
#include <pagemv/heap.h>
#include <pagemv/pagemv.h>
#include <string.h>
#include <time.h>

#define PAGE 4096u

struct heap_shared {
	struct bench_shared head;
	double ms;
	double cpu_ms;
};

struct heap_arg {
	size_t bytes;
	bool huge;
};

/* Of this process. */
static struct {
	struct pagemv *pv;
	struct pagemv_heap *heap;
	char *block;
	size_t bytes;
} the;

static bool fail(struct bench_shared *shared, const char *doing, int rc)
{
	snprintf(shared->why, sizeof(shared->why), "%s: %s", doing,
		 pagemv_strerror(rc));
	return false;
}

static void write_marks(void)
{
	for (size_t i = 0; i < the.bytes; i += PAGE)
		*(uint64_t *)(void *)(the.block + i) = i + 1;
}

static size_t wrong_marks(void)
{
	size_t wrong = 0;

	for (size_t i = 0; i < the.bytes; i += PAGE)
		wrong += *(uint64_t *)(void *)(the.block + i) != i + 1;
	return wrong;
}

static bool begin(struct bench_shared *shared, const void *of)
{
	const struct heap_arg *arg = of;
	struct pagemv_heap_opts opts = {
		.size = sizeof(opts),
		.huge = arg->huge ? PAGEMV_HEAP_HUGE_ALWAYS
				  : PAGEMV_HEAP_HUGE_NEVER,
	};
	void *block;
	int rc;

	the.bytes = arg->bytes;
	rc = pagemv_open(&the.pv, NULL);
	if (rc)
		return fail(shared, "opening", rc);
	rc = pagemv_heap_create(the.pv, &opts, &the.heap);
	if (rc)
		return fail(shared, "making a heap", rc);
	rc = pagemv_heap_alloc(the.heap, the.bytes, 0, &block);
	if (rc)
		return fail(shared, "allocating", rc);
	the.block = block;
	write_marks();
	return true;
}

static double cpu_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static bool turn(struct bench_shared *head)
{
	struct heap_shared *shared = (struct heap_shared *)head;
	struct pagemv_result res = { 0 };
	uint64_t start_ns = bench_now_ns();
	double start_ms = cpu_ms();
	void *block;
	int rc = pagemv_heap_realloc(the.heap, the.block, the.bytes,
				     PAGEMV_ALLOC_MOVE, &block, &res);

	shared->cpu_ms = cpu_ms() - start_ms;
	shared->ms = (double)(bench_now_ns() - start_ns) / 1e6;
	if (rc)
		return fail(head, "realloc", rc);
	the.block = block;
	if (!wrong_marks())
		return true;
	snprintf(head->why, sizeof(head->why), "LOST OR CHANGED %zu pages",
		 wrong_marks());
	return false;
}

static const struct bench_part part = {
	.begin = begin,
	.turn = turn,
	.shared_bytes = sizeof(struct heap_shared),
};

static void measure(struct realloc_results *results, struct realloc_heap *heap,
		    unsigned int turns)
{
	struct heap_arg arg = { results->max_bytes, heap->huge };
	struct bench_child child;
	struct heap_shared *shared;
	int rc = bench_child_start(&child, &part, &arg);

	shared = (struct heap_shared *)child.shared;
	for (unsigned int i = 0; i < turns && !rc; i++) {
		rc = bench_child_turn(&child);
		if (!rc)
			(void)bench_samples_add(&heap->ms,
						results->cpu ? shared->cpu_ms
							     : shared->ms);
	}
	if (rc && rc != -EINTR)
		snprintf(heap->why, sizeof(heap->why), "%.159s",
			 shared && shared->head.why[0] ? shared->head.why
						       : strerror(-rc));
	results->corrupt |= !!strstr(heap->why, "LOST");
	bench_child_free(&child);
}

void realloc_heap_measure(struct realloc_results *results, unsigned int turns)
{
	for (int i = 0; i < 2 && !bench_interrupted(); i++)
		measure(results, &results->heap[i], turns);
}
