// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * churn PATTERN: blocks come and go, see malloc_pattern.c.
 */
#include "malloc_pattern.h"
#include "parcel.h"
#include "self.h"
#include "workload.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define MIXED_BLOCKS  4096
#define LARGE_BLOCKS  256
#define LARSON_BLOCKS 1000
#define LARSON_ROUNDS 20
#define RING_BLOCKS   512
#define EXCHANGE      1024
#define LARGE_EVERY   256 /* of mstress's blocks */
#define LARGE_BYTES   ((size_t)32 << 10)
#define LARGEST_BYTES ((size_t)256 << 10)

struct churner {
	const struct malloc_pattern *pattern;
	pthread_t thread;
	pthread_barrier_t *gate;
	unsigned int number;
	uint64_t random;
	uint64_t wrong;
};

/* What threads share. */
static struct parcel *larson[WORKLOAD_MAX_THREADS][LARSON_BLOCKS];
static struct parcel *_Atomic exchange[EXCHANGE];

static void loop(struct churner *churner)
{
	const struct malloc_pattern *pattern = churner->pattern;

	for (unsigned long i = 0; i < pattern->ops; i++) {
		volatile char *p = malloc(pattern->min_bytes);

		*p = 1;
		/* Or the compiler would see that nobody needs it. */
		__asm__ volatile("" : "+r"(p) : : "memory");
		free((void *)p);
	}
}

static struct parcel *replace(struct churner *churner, struct parcel *old,
			      uint64_t random, size_t bytes)
{
	churner->wrong += old && parcel_is_wrong(old);
	if (old && random % 4 == 0)
		return parcel_fill(realloc(old, bytes), bytes);
	free(old);
	return parcel_make(bytes);
}

static void mixed(struct churner *churner)
{
	static struct parcel *block[MIXED_BLOCKS];
	const struct malloc_pattern *pattern = churner->pattern;
	size_t blocks = pattern->max_bytes > 65536 ? LARGE_BLOCKS
						   : MIXED_BLOCKS;

	for (unsigned long i = 0; i < pattern->ops; i++) {
		uint64_t random = workload_random(&churner->random);
		struct parcel **place = &block[(random >> 8) % blocks];
		size_t bytes = parcel_size(workload_random(&churner->random),
					   pattern->min_bytes,
					   pattern->max_bytes);

		*place = replace(churner, *place, random, bytes);
	}
	for (size_t i = 0; i < blocks; i++)
		churner->wrong += parcel_free(block[i]);
}

static void larson_round(struct churner *churner, struct parcel **block)
{
	const struct malloc_pattern *pattern = churner->pattern;
	size_t range = pattern->max_bytes - pattern->min_bytes + 1;

	for (unsigned long i = 0; i < pattern->ops / LARSON_ROUNDS; i++) {
		uint64_t random = workload_random(&churner->random);
		struct parcel **place = &block[random % LARSON_BLOCKS];

		churner->wrong += parcel_free(*place);
		*place = parcel_make(pattern->min_bytes +
				     (random >> 20) % range);
	}
}

/* The blocks of one are the next one's in the next round. */
static void run_larson(struct churner *churner)
{
	unsigned int threads = churner->pattern->threads;

	for (unsigned int i = 0; i < LARSON_ROUNDS; i++) {
		larson_round(churner, larson[(churner->number + i) % threads]);
		pthread_barrier_wait(churner->gate);
	}
	for (size_t i = 0; i < LARSON_BLOCKS; i++)
		churner->wrong += parcel_free(larson[churner->number][i]);
}

static struct parcel *stress_make(struct churner *churner, uint64_t random)
{
	const struct malloc_pattern *pattern = churner->pattern;
	uint64_t more = workload_random(&churner->random);

	if (random % LARGE_EVERY == 0)
		return parcel_make(
			parcel_size(more, LARGE_BYTES, LARGEST_BYTES));
	return parcel_make(
		parcel_size(more, pattern->min_bytes, pattern->max_bytes));
}

static void stress(struct churner *churner)
{
	struct parcel *ring[RING_BLOCKS] = { 0 };

	for (unsigned long i = 0; i < churner->pattern->ops; i++) {
		uint64_t random = workload_random(&churner->random);
		struct parcel *block = stress_make(churner, random);
		size_t place = (random >> 32) % EXCHANGE;

		/* Acquire and release: with it goes what is in it. */
		if (random >> 31 & 1)
			block = atomic_exchange_explicit(
				&exchange[place], block, memory_order_acq_rel);
		churner->wrong += parcel_free(ring[place % RING_BLOCKS]);
		ring[place % RING_BLOCKS] = block;
	}
	for (size_t i = 0; i < RING_BLOCKS; i++)
		churner->wrong += parcel_free(ring[i]);
}

static void churn(struct churner *churner)
{
	switch (churner->pattern->kind) {
	case MALLOC_LOOP:
		loop(churner);
		break;
	case MALLOC_MIXED:
		mixed(churner);
		break;
	case MALLOC_LARSON:
		run_larson(churner);
		break;
	default:
		stress(churner);
		break;
	}
}

static void *churn_in_thread(void *arg)
{
	struct churner *churner = arg;

	pthread_barrier_wait(churner->gate); /* all are there */
	pthread_barrier_wait(churner->gate); /* go */
	churn(churner);
	pthread_barrier_wait(churner->gate); /* all are ready */
	return NULL;
}

struct beginning {
	int64_t mappings;
	uint64_t resident_kib;
	uint64_t wall_ns;
	uint64_t cpu_ns;
};

static void begin(struct beginning *at)
{
	at->mappings = self_mappings();
	at->resident_kib = self_status_kib("VmRSS:");
	at->wall_ns = workload_now_ns();
	at->cpu_ns = workload_cpu_ns();
}

static void finish(const struct beginning *at, struct workload_report *report)
{
	uint64_t most_kib;

	report->cpu_ns = workload_cpu_ns() - at->cpu_ns;
	report->wall_ns = workload_now_ns() - at->wall_ns;
	report->mappings = self_mappings() - at->mappings;
	most_kib = self_status_kib("VmHWM:");
	if (most_kib > at->resident_kib)
		report->peak_kib = most_kib - at->resident_kib;
}

static bool run_threads(struct churner *churner, unsigned int threads,
			struct workload_report *report)
{
	/* Threads of larson wait for each other alone, in between. */
	static pthread_barrier_t gate;
	struct beginning at;

	pthread_barrier_init(&gate, NULL, threads);
	for (unsigned int i = 1; i < threads; i++) {
		churner[i].gate = &gate;
		if (pthread_create(&churner[i].thread, NULL, churn_in_thread,
				   &churner[i]))
			return false; /* the process ends */
	}
	churner[0].gate = &gate;
	pthread_barrier_wait(&gate);
	begin(&at);
	pthread_barrier_wait(&gate);
	churn(&churner[0]);
	pthread_barrier_wait(&gate);
	finish(&at, report);
	for (unsigned int i = 1; i < threads; i++)
		pthread_join(churner[i].thread, NULL);
	return true;
}

const char *workload_churn(char *const *args, struct workload_report *report)
{
	static struct churner churner[WORKLOAD_MAX_THREADS];
	const struct malloc_pattern *pattern =
		args[0] ? malloc_pattern_find(args[0]) : NULL;
	struct beginning at;

	if (!pattern || pattern->kind > MALLOC_MSTRESS)
		return "churn PATTERN";
	for (unsigned int i = 0; i < pattern->threads; i++) {
		churner[i].pattern = pattern;
		churner[i].number = i;
		churner[i].random = PARCEL_KEY + i;
	}
	if (pattern->threads == 1) {
		begin(&at);
		churn(&churner[0]);
		finish(&at, report);
	} else if (!run_threads(churner, pattern->threads, report)) {
		return "a thread cannot be started";
	}
	for (unsigned int i = 0; i < pattern->threads; i++)
		report->wrong += churner[i].wrong;
	report->ops = pattern->ops * pattern->threads;
	return NULL;
}
