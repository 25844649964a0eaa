/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What `pagemv bench fault` has measured, and what is read from it.
 */
#ifndef BENCH_FAULT_RESULTS_H
#define BENCH_FAULT_RESULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "about.h"
#include "fault_kind.h"
#include "output.h"
#include "samples.h"

struct fault_row {
	struct fault_kind kind;
	struct bench_samples all;  /* ns a touch */
	struct bench_samples mean; /* of each turn */
	struct bench_samples p50;
	/* Medians over the turns, so that a noisy moment does not count; */
	double mean_ns;
	double p50_ns;
	/* of all touches; */
	double p99_ns;
	double p999_ns;
	/* mean_ns by the pages that came. */
	double page_ns;
	char why[160]; /* why there is nothing, or no more, of it */
};

struct fault_results {
	struct fault_row row[FAULT_MAX_KINDS];
	size_t rows;
	size_t rounds;
	struct bench_about about;
	size_t page_bytes;
	bool moves;	    /* else pages are copied */
	bool corrupt;	    /* pages were not what they should be */
	double state_bytes; /* a page of a region; 0: not known */
	char state_why[160];
};

/* One turn of a row. */
void fault_row_add(struct fault_row *row, const double *ns, size_t n);

/* Reads the figures from the samples. */
void fault_results_sum_up(struct fault_results *results);
void fault_results_free(struct fault_results *results);

/* The row of that kind that has figures, or NULL. */
const struct fault_row *fault_results_find(const struct fault_results *results,
					   const struct fault_kind *kind);

/*
 * The bars: ratios of medians a page.
 */
#define FAULT_BARS 7

struct fault_bar {
	const char *name;
	const char *what;
	double limit; /* 0: told for information only */
	bool at_least;
	bool state; /* of bytes a page, not of rows */
	struct fault_kind above;
	struct fault_kind below;
};

extern const struct fault_bar fault_bars[FAULT_BARS];

/* 0 where it was not measured. */
double fault_bar_ratio(const struct fault_bar *bar,
		       const struct fault_results *results);
bool fault_bar_reached(const struct fault_bar *bar, double ratio);

/* What comes out: of a struct fault_results. */
extern const struct bench_telling fault_telling;

void fault_print(const void *results, FILE *out);
int fault_json(const void *results, FILE *out);
int fault_plot(const void *results, const char *path);

#endif /* BENCH_FAULT_RESULTS_H */
