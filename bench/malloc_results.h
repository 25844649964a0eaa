/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What `pagemv bench malloc` has measured, and what is read from it.
 */
#ifndef BENCH_MALLOC_RESULTS_H
#define BENCH_MALLOC_RESULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "about.h"
#include "allocator.h"
#include "malloc_pattern.h"
#include "malloc_threshold.h"
#include "output.h"
#include "samples.h"
#include "work.h"

#define MALLOC_MAX_ROWS (MALLOC_PATTERNS * BENCH_ALLOCATORS)

struct malloc_row {
	const struct malloc_pattern *pattern;
	enum bench_allocator allocator;
	struct bench_samples ns; /* of CPU time an operation */
	struct bench_samples seconds;
	struct bench_samples peak_mib;
	long mappings; /* the most of all samples */
	/* Medians. */
	double median_ns; /* 0: not measured */
	double median_s;
	double median_peak_mib;
	char why[160]; /* why there is nothing, or no more, of it */
};

struct malloc_results {
	/* Rows of one pattern stand together. */
	struct malloc_row row[MALLOC_MAX_ROWS];
	size_t rows;
	size_t rounds;
	struct malloc_threshold threshold;
	struct bench_about about;
	bool corrupt; /* contents were lost or changed */
	/* Why an allocator was not measured at all. */
	char missing[BENCH_ALLOCATORS][160];
};

void malloc_row_add(struct malloc_row *row, const struct bench_work *work);

/* Reads the figures from the samples. */
void malloc_results_sum_up(struct malloc_results *results);
void malloc_results_free(struct malloc_results *results);

/* The row that has figures, or NULL. */
const struct malloc_row *
malloc_results_find(const struct malloc_results *results,
		    const struct malloc_pattern *pattern,
		    enum bench_allocator allocator);

/* A shim's row by that of what is below it, ns an operation; 0: one of them is
 * missing. */
double malloc_row_ratio(const struct malloc_results *results,
			const struct malloc_row *row);

/*
 * The bars: the worst ratio of the patterns that they are about.
 */
#define MALLOC_BARS 7

struct malloc_bar {
	const char *name;
	const char *what;
	double limit;	    /* 0: told for information only */
	unsigned int kinds; /* bits */
	size_t max_bytes;   /* no pattern with larger blocks; 0: any */
	enum bench_allocator allocator;
};

extern const struct malloc_bar malloc_bars[MALLOC_BARS];

/* NULL: not measured. */
const struct malloc_row *malloc_bar_worst(const struct malloc_bar *bar,
					  const struct malloc_results *results,
					  double *ratio);

/* What comes out: of a struct malloc_results. */
extern const struct bench_telling malloc_telling;

void malloc_print(const void *results, FILE *out);
int malloc_json(const void *results, FILE *out);
int malloc_plot(const void *results, const char *path);

#endif /* BENCH_MALLOC_RESULTS_H */
