// SPDX-License-Identifier: LGPL-2.1-or-later
#include "samples.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

#define CLOCK_READINGS 101

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

static void sort(struct bench_samples *samples)
{
	qsort(samples->value, samples->n, sizeof(*samples->value), compare);
}

double bench_samples_median(struct bench_samples *samples)
{
	size_t half = samples->n / 2;

	if (!samples->n)
		return 0;
	sort(samples);
	if (samples->n % 2)
		return samples->value[half];
	return (samples->value[half - 1] + samples->value[half]) / 2;
}

double bench_samples_quantile(struct bench_samples *samples, double q)
{
	size_t rank = (size_t)ceil(q * (double)samples->n);

	if (!samples->n)
		return 0;
	sort(samples);
	return samples->value[rank ? rank - 1 : 0];
}

double bench_samples_mean(const struct bench_samples *samples)
{
	double sum = 0;

	for (size_t i = 0; i < samples->n; i++)
		sum += samples->value[i];
	return samples->n ? sum / (double)samples->n : 0;
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

double bench_clock_ns(void)
{
	struct bench_samples samples = { 0 };
	double ns;

	for (int i = 0; i < CLOCK_READINGS; i++) {
		uint64_t start_ns = bench_now_ns();

		ns = (double)(bench_now_ns() - start_ns);
		if (bench_samples_add(&samples, ns))
			break;
	}
	ns = bench_samples_median(&samples);
	bench_samples_free(&samples);
	return ns;
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
