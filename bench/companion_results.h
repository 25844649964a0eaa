/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What pagemv bench companion measures: shapes of ranges, each moved in several
 * ways, and how the results are told.
 */
#ifndef BENCH_COMPANION_RESULTS_H
#define BENCH_COMPANION_RESULTS_H

#include "about.h"
#include "output.h"
#include "samples.h"

enum companion_way {
	COMPANION_MOVE,	  /* UFFDIO_MOVE, a call for each range */
	COMPANION_REMAP,  /* the module's, a call for each range */
	COMPANION_REMAPV, /* one call for all */
	COMPANION_WAYS
};

struct companion_shape {
	size_t ranges;
	size_t pages; /* of each */
};

#define COMPANION_SHAPES 6

struct companion_row {
	struct bench_samples ticks; /* a page; of the clock below */
	double median;		    /* 0: not measured */
	double calls;		    /* to move all ranges once */
	double shootdowns;	    /* the same; -1: not known */
	double flushes;		    /* as the module counts them; -1: it does
				     * not do it */
};

struct companion_results {
	struct bench_about about;
	bool instructions; /* what the clock counts, else nanoseconds */
	size_t rounds;
	bool corrupt;
	char missing[COMPANION_WAYS][100]; /* why a way is not there */
	struct companion_row row[COMPANION_SHAPES][COMPANION_WAYS];
};

extern const struct companion_shape companion_shapes[COMPANION_SHAPES];
extern const char *const companion_way_names[COMPANION_WAYS];

/* "64 x 16" */
void companion_shape_name(const struct companion_shape *shape, char *text,
			  size_t cap);

#define COMPANION_BARS 2

struct companion_bar {
	const char *name;
	const char *what;
	double limit;
	/* False where it was not measured. where: 40 bytes. */
	bool (*worst)(const struct companion_results *results, double *value,
		      char *where);
};

extern const struct companion_bar companion_bars[COMPANION_BARS];

void companion_results_sum_up(struct companion_results *results);
bool companion_results_any(const struct companion_results *results);
void companion_results_free(struct companion_results *results);

/* For struct bench_telling. */
void companion_print(const void *results, FILE *out);
int companion_json(const void *results, FILE *out);
int companion_plot(const void *results, const char *path);

#endif /* BENCH_COMPANION_RESULTS_H */
