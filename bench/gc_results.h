/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What `pagemv bench gc` has measured, and what is read from it.
 */
#ifndef BENCH_GC_RESULTS_H
#define BENCH_GC_RESULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "about.h"
#include "gc_case.h"
#include "gc_kind.h"
#include "output.h"
#include "samples.h"

/* What is measured of a row, each turn. */
enum gc_figure {
	GC_PAUSE_MAX_US, /* the longest stop that is the compaction's own */
	GC_MARK_MS,
	GC_STALL_P99_US, /* of reads that were slow, by whatever cause */
	GC_STALL_MAX_US, /* the longest of them */
	GC_COMPACT_MS,
	GC_OPS_PER_S,
	GC_PEAK_RSS_MIB,
	GC_LIVE_MIB,
	GC_FIGURES
};

/* As JSON has it. */
extern const char *const gc_figure_name[GC_FIGURES];

struct gc_row {
	struct gc_kind kind;
	struct bench_samples turns[GC_FIGURES];
	double median[GC_FIGURES];
	char why[160]; /* why there is nothing, or no more, of it */
};

struct gc_results {
	struct gc_row row[GC_MAX_KINDS];
	size_t rows;
	size_t rounds;
	struct bench_about about;
	bool corrupt; /* objects were not what they should be */
};

void gc_row_add(struct gc_row *row, const struct gc_shared *turn);
bool gc_row_measured(const struct gc_row *row);

void gc_results_sum_up(struct gc_results *results);
void gc_results_free(struct gc_results *results);

/* The row of that kind that has figures, or NULL. */
const struct gc_row *gc_results_find(const struct gc_results *results,
				     const struct gc_kind *kind);

/* The bars: the worst ratio of rows that differ in their mode alone, at the
 * largest heap that was measured. */
#define GC_BARS 5

struct gc_bar {
	const char *name;
	const char *what;
	double limit; /* 0: told for information only */
	bool at_least;
	enum gc_figure figure;
	enum gc_mode above, below; /* equal: by what is alive */
	bool arrays_only;
};

extern const struct gc_bar gc_bars[GC_BARS];

/* 0 where it was not measured. */
double gc_bar_ratio(const struct gc_bar *bar, const struct gc_results *results);
bool gc_bar_reached(const struct gc_bar *bar, double ratio);

/* What comes out: of a struct gc_results. */
extern const struct bench_telling gc_telling;

void gc_print(const void *results, FILE *out);
int gc_json(const void *results, FILE *out);
int gc_plot(const void *results, const char *path);

#endif /* BENCH_GC_RESULTS_H */
