/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Samples and what is told of them; the clock; a small random generator for
 * the order of things.
 */
#ifndef BENCH_SAMPLES_H
#define BENCH_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

struct bench_samples {
	double *value;
	size_t n;
	size_t cap;
};

/* 0 or -ENOMEM. */
int bench_samples_add(struct bench_samples *samples, double value);

/* Sorts the samples. 0 where there are none. */
double bench_samples_median(struct bench_samples *samples);
/* The value that the part q of them is not above: 0.99. Sorts the samples. */
double bench_samples_quantile(struct bench_samples *samples, double q);
double bench_samples_mean(const struct bench_samples *samples);
double bench_samples_min(const struct bench_samples *samples);
double bench_samples_max(const struct bench_samples *samples);

void bench_samples_free(struct bench_samples *samples);

/* Nanoseconds of the monotonic clock. */
uint64_t bench_now_ns(void);

/* What lies between two readings of it that follow each other. */
double bench_clock_ns(void);

/* Seeds the generator; the same seed gives the same order. */
void bench_random_seed(uint64_t seed);

/* Puts n indices in random order. */
void bench_shuffle(size_t *index, size_t n);

#endif /* BENCH_SAMPLES_H */
