/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What `pagemv bench move` has measured, and what is read from it.
 */
#ifndef BENCH_MOVE_RESULTS_H
#define BENCH_MOVE_RESULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "about.h"
#include "methods.h"
#include "output.h"

/* One method at one size. runs == 0: not measured. */
struct bench_cell {
	double median_ns; /* a page, as the others */
	double min_ns;
	double max_ns;
	unsigned int runs;
	uint32_t used; /* PAGEMV_MECH_BIT() the library made use of */
};

/* A condition: what is the same for all methods that are compared. */
struct bench_condition {
	size_t pages; /* a call */
	bool thp;
	int busy;
};

struct bench_row {
	struct bench_condition at;
	struct bench_cell cell[BENCH_METHODS];
	bool disturbed; /* the busy neighbour was not: told, not judged */
};

/* Something that was not measured. */
struct bench_skip {
	int method; /* enum bench_method_id, or -1: all */
	struct bench_condition at;
	bool everywhere; /* at does not count */
	char reason[160];
};

struct bench_results {
	struct bench_row *row;
	size_t rows;
	struct bench_skip *skip;
	size_t skips;
	struct bench_about about;
	size_t page_bytes;
	size_t huge_pages; /* base pages in a huge page */
	bool crossover;	   /* to be told, too */
	bool corrupt;	   /* a method lost or changed a page */
	bool calibrated;
	const struct bench_backend *backend;
};

/* These say nothing when memory is short: the result is less complete. */
struct bench_row *bench_results_add_row(struct bench_results *results,
					const struct bench_condition *at);
void bench_results_skip(struct bench_results *results, int method,
			const struct bench_condition *at, const char *reason);
void bench_results_free(struct bench_results *results);

/* The row of that condition, or NULL. */
const struct bench_row *bench_results_find(const struct bench_results *results,
					   const struct bench_condition *at);

/*
 * The bars: ratios that the library has to reach ("What it must reach").
 */
#define BENCH_BARS 9

struct bench_bar {
	const char *name;
	const char *what;
	double limit;	    /* 0: told for information only */
	bool at_least;	    /* else at most */
	unsigned int above; /* numerator: BENCH_METHOD_BIT() */
	unsigned int needs; /* of these, where it says something only so */
	unsigned int below; /* denominator, the least of them */
	size_t min_pages;   /* 0: from one huge page on */
	size_t max_pages;   /* 0: no limit */
	int thp;	    /* 0, 1, or -1: both */
	bool above_small;   /* the numerator is that of 4 KiB pages */
	bool idle_only;	    /* beside a neighbour it is told, not judged */
};

extern const struct bench_bar bench_bars[BENCH_BARS];

/* The ratio of a bar in a row; 0 where it does not apply or lacks data. */
double bench_bar_ratio(const struct bench_bar *bar,
		       const struct bench_results *results,
		       const struct bench_row *row);
bool bench_bar_judges(const struct bench_bar *bar, const struct bench_row *row);
bool bench_bar_reached(const struct bench_bar *bar, double ratio);

/* The row with the worst ratio of those judged, or NULL: none measured. */
const struct bench_row *bench_bar_worst(const struct bench_bar *bar,
					const struct bench_results *results,
					double *ratio);

/*
 * Crossovers: from how many pages a call on one method is faster than another.
 */
struct bench_crossover {
	enum bench_method_id fast; /* with many pages */
	enum bench_method_id slow;
	bool thp;
	int busy;
	bool always; /* faster at every size measured */
	bool never;
	bool several; /* it changes more than once: the last */
	double pages; /* 0 with always and never */
};

/* Returns how many of at most cap were written to out. */
size_t bench_crossovers(const struct bench_results *results,
			struct bench_crossover *out, size_t cap);

#define BENCH_MAX_CROSSOVERS 64

/* What comes out: of a struct bench_results. */
extern const struct bench_telling bench_move_telling;

void bench_move_print(const void *results, FILE *out);
int bench_move_json(const void *results, FILE *out);
int bench_move_plot(const void *results, const char *path);

#endif /* BENCH_MOVE_RESULTS_H */
