/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What `pagemv bench realloc` has measured, and what is read from it.
 */
#ifndef BENCH_REALLOC_RESULTS_H
#define BENCH_REALLOC_RESULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "about.h"
#include "allocator.h"
#include "output.h"
#include "realloc_pattern.h"
#include "samples.h"
#include "work.h"

#define REALLOC_MAX_THREADS 4 /* numbers of threads in one run */
#define REALLOC_MAX_ROWS \
	(REALLOC_PATTERNS * BENCH_ALLOCATORS * REALLOC_MAX_THREADS)

struct realloc_row {
	const struct realloc_pattern *pattern;
	enum bench_allocator allocator;
	unsigned int threads;
	struct bench_samples seconds;
	struct bench_samples peak_mib;
	uint64_t ops;
	long mappings; /* the most of all samples, as late_mappings */
	long late_mappings;
	/* Medians. */
	double median_s; /* 0: not measured */
	double median_peak_mib;
	char why[160]; /* why there is nothing, or no more, of it */
};

/* A block of the library's heap that is moved by realloc. */
struct realloc_heap {
	bool huge; /* of huge pages */
	struct bench_samples ms;
	double median_ms; /* 0: not measured */
	char why[160];
};

struct realloc_results {
	/* Rows of one pattern and number of threads stand together. */
	struct realloc_row row[REALLOC_MAX_ROWS];
	size_t rows;
	size_t rounds;
	unsigned int threads[REALLOC_MAX_THREADS];
	size_t threads_n;
	size_t max_bytes;
	struct realloc_heap heap[2];
	struct bench_about about;
	bool cpu;     /* seconds are CPU time */
	bool corrupt; /* contents were lost or changed */
	/* Why an allocator was not measured at all. */
	char missing[BENCH_ALLOCATORS][160];
};

void realloc_row_add(struct realloc_row *row, double seconds,
		     const struct bench_work *work);

/* Reads the figures from the samples. */
void realloc_results_sum_up(struct realloc_results *results);
void realloc_results_free(struct realloc_results *results);

/* The row that has figures, or NULL. */
const struct realloc_row *
realloc_results_find(const struct realloc_results *results,
		     const struct realloc_pattern *pattern,
		     unsigned int threads, enum bench_allocator allocator);

/* What is written to by the pattern's end. */
double realloc_final_mib(const struct realloc_results *results,
			 const struct realloc_pattern *pattern);

/*
 * The bars: the worst of what they are about.
 */
#define REALLOC_BARS 9

struct realloc_bar {
	const char *name;
	const char *what;
	double limit;
	bool at_least;
	bool judged; /* else it is told for information */
	/* False: not measured. where: of which row, in words. */
	bool (*worst)(const struct realloc_results *results,
		      const struct realloc_bar *bar, double *value,
		      char where[100]);
	unsigned int threads; /* 0: any */
};

extern const struct realloc_bar realloc_bars[REALLOC_BARS];

bool realloc_bar_reached(const struct realloc_bar *bar, double value);

/* What comes out: of a struct realloc_results. */
extern const struct bench_telling realloc_telling;

void realloc_print(const void *results, FILE *out);
int realloc_json(const void *results, FILE *out);
int realloc_plot(const void *results, const char *path);

/* Measures both heaps, until Ctrl-C. */
void realloc_heap_measure(struct realloc_results *results, unsigned int turns);

#endif /* BENCH_REALLOC_RESULTS_H */
