// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The ratios that the library has to reach, and the sizes from which on one
 * method beats another.
 */
#include "move_results.h"

#include <math.h>

#define BIT(name) BENCH_METHOD_BIT(BENCH_##name)

const struct bench_bar bench_bars[BENCH_BARS] = {
	{
		.name = "library-small",
		.what = "move / raw-move, below 16 pages",
		.limit = 1.05,
		.above = BIT(MOVE),
		.below = BIT(RAW_MOVE),
		.min_pages = 1,
		.max_pages = 15,
		.thp = -1,
	},
	{
		.name = "library",
		.what = "move / raw-move, from 16 pages",
		.limit = 1.02,
		.above = BIT(MOVE),
		.below = BIT(RAW_MOVE),
		.min_pages = 16,
		.thp = -1,
	},
	{
		.name = "auto",
		.what = "auto / best of move, copy",
		.limit = 1.10,
		.above = BIT(AUTO),
		.below = BIT(MOVE) | BIT(COPY),
		/* Without it, copy is told that nobody writes, auto is not. */
		.needs = BIT(MOVE),
		.min_pages = 1,
		.thp = -1,
	},
	{
		.name = "auto-remap",
		.what = "auto-remap / best of move, remap, copy",
		.limit = 1.10,
		.above = BIT(AUTO_REMAP),
		.below = BIT(MOVE) | BIT(REMAP) | BIT(COPY),
		.min_pages = 1,
		.thp = -1,
	},
	{
		.name = "remap",
		.what = "remap / raw-remap, from a huge page",
		.limit = 1.10,
		.above = BIT(REMAP),
		.below = BIT(RAW_REMAP),
		.thp = -1,
	},
	{
		.name = "memcpy-fresh",
		.what = "memcpy-fresh / move, small pages, from 256 pages",
		.limit = 20,
		.at_least = true,
		.above = BIT(MEMCPY_FRESH),
		.below = BIT(MOVE),
		.min_pages = 256,
		.thp = 0,
		.idle_only = true,
	},
	{
		.name = "uffdio-copy",
		.what = "raw-copy / move, small pages, from 256 pages",
		.limit = 10,
		.at_least = true,
		.above = BIT(RAW_COPY),
		.below = BIT(MOVE),
		.min_pages = 256,
		.thp = 0,
		.idle_only = true,
	},
	{
		.name = "huge",
		.what = "memcpy-fresh of small pages / move of huge pages",
		.limit = 300,
		.at_least = true,
		.above = BIT(MEMCPY_FRESH),
		.below = BIT(MOVE),
		.thp = 1,
		.above_small = true,
		.idle_only = true,
	},
	{
		.name = "huge-huge",
		.what = "memcpy-fresh of huge pages / move of huge pages",
		.at_least = true,
		.above = BIT(MEMCPY_FRESH),
		.below = BIT(MOVE),
		.thp = 1,
	},
};

/* The least median of a set of methods; 0 where none is measured. */
static double least(const struct bench_row *row, unsigned int methods)
{
	double best = 0;

	for (unsigned int id = 0; id < BENCH_METHODS; id++) {
		const struct bench_cell *cell = &row->cell[id];

		if (!(methods & BENCH_METHOD_BIT(id)) || !cell->runs)
			continue;
		if (!best || cell->median_ns < best)
			best = cell->median_ns;
	}
	return best;
}

static bool applies(const struct bench_bar *bar,
		    const struct bench_results *results,
		    const struct bench_condition *at)
{
	size_t min = bar->min_pages ? bar->min_pages : results->huge_pages;

	return at->pages >= min &&
	       (!bar->max_pages || at->pages <= bar->max_pages) &&
	       (bar->thp < 0 || bar->thp == at->thp);
}

double bench_bar_ratio(const struct bench_bar *bar,
		       const struct bench_results *results,
		       const struct bench_row *row)
{
	const struct bench_row *above_row = row;
	struct bench_condition at = row->at;
	double above, below;

	if (!applies(bar, results, &at))
		return 0;
	if (bar->above_small) {
		at.thp = false;
		above_row = bench_results_find(results, &at);
		if (!above_row)
			return 0;
	}
	if (bar->needs && !least(row, bar->needs))
		return 0;
	above = least(above_row, bar->above);
	below = least(row, bar->below);
	return above && below ? above / below : 0;
}

bool bench_bar_judges(const struct bench_bar *bar, const struct bench_row *row)
{
	return bar->limit && !row->disturbed &&
	       !(bar->idle_only && row->at.busy);
}

bool bench_bar_reached(const struct bench_bar *bar, double ratio)
{
	return bar->at_least ? ratio >= bar->limit : ratio <= bar->limit;
}

const struct bench_row *bench_bar_worst(const struct bench_bar *bar,
					const struct bench_results *results,
					double *ratio)
{
	const struct bench_row *worst = NULL;

	for (size_t i = 0; i < results->rows; i++) {
		const struct bench_row *row = &results->row[i];
		double value = bench_bar_ratio(bar, results, row);

		if (!value || row->disturbed ||
		    (bar->limit && !bench_bar_judges(bar, row)))
			continue;
		if (worst &&
		    (bar->at_least ? value >= *ratio : value <= *ratio))
			continue;
		worst = row;
		*ratio = value;
	}
	return worst;
}

struct method_pair {
	enum bench_method_id fast, slow;
};

static const struct method_pair crossing[] = {
	{ BENCH_MOVE, BENCH_COPY },	   { BENCH_MOVE, BENCH_MEMCPY_FRESH },
	{ BENCH_MOVE, BENCH_MEMCPY_WARM }, { BENCH_REMAP, BENCH_MOVE },
	{ BENCH_REMAP, BENCH_COPY },	   { BENCH_REMAP, BENCH_MEMCPY_FRESH },
};

/* One curve against another, from size to size. */
struct walk {
	double last_pages; /* log2 */
	double last_ratio; /* log2 of fast / slow; below 0: fast wins */
	unsigned int points;
	unsigned int changes;
};

static void step(struct walk *walk, struct bench_crossover *out, double pages,
		 double ratio)
{
	double part = walk->last_ratio / (walk->last_ratio - ratio);

	if (walk->points++ && (walk->last_ratio < 0) != (ratio < 0)) {
		walk->changes++;
		out->pages = exp2(walk->last_pages +
				  part * (pages - walk->last_pages));
	}
	walk->last_pages = pages;
	walk->last_ratio = ratio;
}

/* Rows stand in the order of sizes within a block. */
static bool cross(const struct bench_results *results,
		  struct bench_crossover *out)
{
	struct walk walk = { 0 };

	for (size_t i = 0; i < results->rows; i++) {
		const struct bench_row *row = &results->row[i];
		const struct bench_cell *fast = &row->cell[out->fast];
		const struct bench_cell *slow = &row->cell[out->slow];

		if (row->at.thp != out->thp || row->at.busy != out->busy ||
		    !fast->runs || !slow->runs)
			continue;
		step(&walk, out, log2((double)row->at.pages),
		     log2(fast->median_ns / slow->median_ns));
	}
	out->never = walk.last_ratio >= 0;
	out->always = !out->never && !walk.changes;
	out->several = walk.changes > 1;
	if (out->never)
		out->pages = 0;
	return walk.points > 1;
}

size_t bench_crossovers(const struct bench_results *results,
			struct bench_crossover *out, size_t cap)
{
	size_t n = 0;

	for (int block = 0; block < 4; block++) {
		for (size_t i = 0;
		     i < sizeof(crossing) / sizeof(crossing[0]) && n < cap;
		     i++) {
			out[n] = (struct bench_crossover){
				.fast = crossing[i].fast,
				.slow = crossing[i].slow,
				.thp = block & 2,
				.busy = block & 1,
			};
			n += cross(results, &out[n]);
		}
	}
	return n;
}
