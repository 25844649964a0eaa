// SPDX-License-Identifier: LGPL-2.1-or-later
#include "samples.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

static uint64_t random_state = 88172645463325252ull;

int bench_samples_add(struct bench_samples *samples, double value)
{
	if (samples->n == samples->cap) {
		size_t cap = samples->cap ? samples->cap * 2 : 64;
		double *grown = realloc(samples->value, cap * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		samples->value = grown;
		samples->cap = cap;
	}
	samples->value[samples->n++] = value;
	return 0;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

double bench_samples_median(struct bench_samples *samples)
{
	size_t half = samples->n / 2;

	if (!samples->n)
		return 0;
	qsort(samples->value, samples->n, sizeof(*samples->value), compare);
	if (samples->n % 2)
		return samples->value[half];
	return (samples->value[half - 1] + samples->value[half]) / 2;
}

double bench_samples_min(const struct bench_samples *samples)
{
	double min = samples->n ? samples->value[0] : 0;

	for (size_t i = 1; i < samples->n; i++)
		if (samples->value[i] < min)
			min = samples->value[i];
	return min;
}

double bench_samples_max(const struct bench_samples *samples)
{
	double max = samples->n ? samples->value[0] : 0;

	for (size_t i = 1; i < samples->n; i++)
		if (samples->value[i] > max)
			max = samples->value[i];
	return max;
}

void bench_samples_free(struct bench_samples *samples)
{
	free(samples->value);
	*samples = (struct bench_samples){ 0 };
}

uint64_t bench_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void bench_random_seed(uint64_t seed)
{
	random_state = seed ? seed : 1;
}

/* xorshift64 */
static uint64_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

void bench_shuffle(size_t *index, size_t n)
{
	for (size_t i = n; i > 1; i--) {
		size_t j = random_next() % i;
		size_t last = index[i - 1];

		index[i - 1] = index[j];
		index[j] = last;
	}
}
