// SPDX-License-Identifier: LGPL-2.1-or-later
#include "malloc_results.h"

const struct bench_telling malloc_telling = {
	.print = malloc_print,
	.json = malloc_json,
	.plot = malloc_plot,
};

#define BIT(kind) (1u << MALLOC_##kind)
#define MIXES	  (BIT(MIXED) | BIT(LARSON) | BIT(MSTRESS))
#define OURS	  (BIT(LOOP) | MIXES)
#define PROGRAMS  (BIT(REDIS) | BIT(PYTHON))
#define SMALL	  65536

const struct malloc_bar malloc_bars[MALLOC_BARS] = {
	{
		.name = "small",
		.what = "mixed, larson, mstress: shim / glibc, CPU ns",
		.limit = 1.02,
		.kinds = MIXES,
		.max_bytes = SMALL,
		.allocator = BENCH_PAGEMV_GLIBC,
	},
	{
		.name = "small-jemalloc",
		.what = "the same over jemalloc",
		.limit = 1.02,
		.kinds = MIXES,
		.max_bytes = SMALL,
		.allocator = BENCH_PAGEMV_JEMALLOC,
	},
	{
		.name = "loops",
		.what = "nothing but calls: shim / glibc, CPU ns",
		.limit = 1.02,
		.kinds = BIT(LOOP),
		.max_bytes = SMALL,
		.allocator = BENCH_PAGEMV_GLIBC,
	},
	{
		.name = "loops-jemalloc",
		.what = "the same over jemalloc",
		.limit = 1.02,
		.kinds = BIT(LOOP),
		.max_bytes = SMALL,
		.allocator = BENCH_PAGEMV_JEMALLOC,
	},
	{
		.name = "programs",
		.what = "redis, python3: shim / glibc, CPU ns",
		.limit = 1.02,
		.kinds = PROGRAMS,
		.allocator = BENCH_PAGEMV_GLIBC,
	},
	{
		.name = "prog-jemalloc",
		.what = "the same over jemalloc",
		.limit = 1.02,
		.kinds = PROGRAMS,
		.allocator = BENCH_PAGEMV_JEMALLOC,
	},
	{
		.name = "any",
		.what = "all, also what the shim serves: shim / glibc, CPU ns",
		.kinds = OURS | PROGRAMS,
		.allocator = BENCH_PAGEMV_GLIBC,
	},
};

void malloc_row_add(struct malloc_row *row, const struct bench_work *work)
{
	/* What memory is short for is less complete. */
	(void)bench_samples_add(&row->ns,
				work->cpu_seconds * 1e9 / (double)work->ops);
	(void)bench_samples_add(&row->seconds, work->seconds);
	(void)bench_samples_add(&row->peak_mib, work->peak_rss_mib);
	if (work->mappings > row->mappings)
		row->mappings = work->mappings;
}

void malloc_results_sum_up(struct malloc_results *results)
{
	for (size_t i = 0; i < results->rows; i++) {
		struct malloc_row *row = &results->row[i];

		row->median_ns = bench_samples_median(&row->ns);
		row->median_s = bench_samples_median(&row->seconds);
		row->median_peak_mib = bench_samples_median(&row->peak_mib);
		if (row->ns.n > results->rounds)
			results->rounds = row->ns.n;
	}
}

void malloc_results_free(struct malloc_results *results)
{
	for (size_t i = 0; i < results->rows; i++) {
		bench_samples_free(&results->row[i].ns);
		bench_samples_free(&results->row[i].seconds);
		bench_samples_free(&results->row[i].peak_mib);
	}
	bench_about_free(&results->about);
	results->rows = 0;
}

const struct malloc_row *
malloc_results_find(const struct malloc_results *results,
		    const struct malloc_pattern *pattern,
		    enum bench_allocator allocator)
{
	for (size_t i = 0; i < results->rows; i++) {
		const struct malloc_row *row = &results->row[i];

		if (row->pattern == pattern && row->allocator == allocator)
			return row->median_ns ? row : NULL;
	}
	return NULL;
}

double malloc_row_ratio(const struct malloc_results *results,
			const struct malloc_row *row)
{
	const struct malloc_row *below = malloc_results_find(
		results, row->pattern, bench_allocator_below(row->allocator));

	return below && bench_allocator_is_shim(row->allocator)
		       ? row->median_ns / below->median_ns
		       : 0;
}

const struct malloc_row *malloc_bar_worst(const struct malloc_bar *bar,
					  const struct malloc_results *results,
					  double *ratio)
{
	const struct malloc_row *worst = NULL;

	for (size_t i = 0; i < results->rows; i++) {
		const struct malloc_row *row = &results->row[i];
		double value = malloc_row_ratio(results, row);

		if (row->allocator != bar->allocator || !value ||
		    !(bar->kinds & 1u << row->pattern->kind) ||
		    (bar->max_bytes &&
		     row->pattern->max_bytes > bar->max_bytes))
			continue;
		if (worst && value <= *ratio)
			continue;
		worst = row;
		*ratio = value;
	}
	return worst;
}
