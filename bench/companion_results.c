// SPDX-License-Identifier: LGPL-2.1-or-later
#include "companion_results.h"

#include <stdio.h>

const struct companion_shape companion_shapes[COMPANION_SHAPES] = {
	{ 1, 1 }, { 1, 16 }, { 1, 512 }, { 64, 1 }, { 64, 4 }, { 64, 16 },
};

const char *const companion_way_names[COMPANION_WAYS] = {
	[COMPANION_MOVE] = "move",
	[COMPANION_REMAP] = "remap",
	[COMPANION_REMAPV] = "remapv",
};

void companion_shape_name(const struct companion_shape *shape, char *text,
			  size_t cap)
{
	snprintf(text, cap, "%zu x %zu", shape->ranges, shape->pages);
}

/* One range as long as a page table: no more of MOVE's than this. */
static bool instructions(const struct companion_results *results, double *value,
			 char *where)
{
	for (int s = 0; s < COMPANION_SHAPES; s++) {
		const struct companion_row *row = results->row[s];

		if (companion_shapes[s].pages != 512 ||
		    !row[COMPANION_MOVE].median || !row[COMPANION_REMAP].median)
			continue;
		*value = row[COMPANION_REMAP].median /
			 row[COMPANION_MOVE].median;
		companion_shape_name(&companion_shapes[s], where, 40);
		return true;
	}
	return false;
}

/* Scattered ranges: how the shootdowns of one call compare with MOVE's. */
static bool shootdowns(const struct companion_results *results, double *value,
		       char *where)
{
	bool any = false;

	for (int s = 0; s < COMPANION_SHAPES; s++) {
		const struct companion_row *row = results->row[s];
		double ratio;

		if (companion_shapes[s].ranges == 1 ||
		    row[COMPANION_MOVE].shootdowns <= 0 ||
		    row[COMPANION_REMAPV].shootdowns < 0)
			continue;
		ratio = row[COMPANION_REMAPV].shootdowns /
			row[COMPANION_MOVE].shootdowns;
		if (any && ratio <= *value)
			continue;
		any = true;
		*value = ratio;
		companion_shape_name(&companion_shapes[s], where, 40);
	}
	return any;
}

const struct companion_bar companion_bars[COMPANION_BARS] = {
	{ "clock-512", "one range of 512 pages by REMAP / by UFFDIO_MOVE", 0.7,
	  instructions },
	{ "shootdowns-64",
	  "64 ranges in one REMAPV / in 64 calls of UFFDIO_MOVE", 0.1,
	  shootdowns },
};

void companion_results_sum_up(struct companion_results *results)
{
	for (int s = 0; s < COMPANION_SHAPES; s++)
		for (int w = 0; w < COMPANION_WAYS; w++) {
			struct companion_row *row = &results->row[s][w];

			row->median = bench_samples_median(&row->ticks);
			if (results->rounds < row->ticks.n)
				results->rounds = row->ticks.n;
		}
}

bool companion_results_any(const struct companion_results *results)
{
	for (int s = 0; s < COMPANION_SHAPES; s++)
		for (int w = 0; w < COMPANION_WAYS; w++)
			if (results->row[s][w].median)
				return true;
	return false;
}

void companion_results_free(struct companion_results *results)
{
	for (int s = 0; s < COMPANION_SHAPES; s++)
		for (int w = 0; w < COMPANION_WAYS; w++)
			bench_samples_free(&results->row[s][w].ticks);
	bench_about_free(&results->about);
}
