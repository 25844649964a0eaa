// SPDX-License-Identifier: LGPL-2.1-or-later
#include "realloc_results.h"

#define MIB (1 << 20)

const struct bench_telling realloc_telling = {
	.print = realloc_print,
	.json = realloc_json,
	.plot = realloc_plot,
};

void realloc_row_add(struct realloc_row *row, double seconds,
		     const struct bench_work *work)
{
	/* What memory is short for is less complete. */
	(void)bench_samples_add(&row->seconds, seconds);
	(void)bench_samples_add(&row->peak_mib, work->peak_rss_mib);
	row->ops = work->ops;
	if (work->mappings > row->mappings)
		row->mappings = work->mappings;
	if (work->late_mappings > row->late_mappings)
		row->late_mappings = work->late_mappings;
}

void realloc_results_sum_up(struct realloc_results *results)
{
	for (size_t i = 0; i < results->rows; i++) {
		struct realloc_row *row = &results->row[i];

		row->median_s = bench_samples_median(&row->seconds);
		row->median_peak_mib = bench_samples_median(&row->peak_mib);
		if (row->seconds.n > results->rounds)
			results->rounds = row->seconds.n;
	}
	for (int i = 0; i < 2; i++)
		results->heap[i].median_ms =
			bench_samples_median(&results->heap[i].ms);
}

void realloc_results_free(struct realloc_results *results)
{
	for (size_t i = 0; i < results->rows; i++) {
		bench_samples_free(&results->row[i].seconds);
		bench_samples_free(&results->row[i].peak_mib);
	}
	for (int i = 0; i < 2; i++)
		bench_samples_free(&results->heap[i].ms);
	bench_about_free(&results->about);
	results->rows = 0;
}

const struct realloc_row *
realloc_results_find(const struct realloc_results *results,
		     const struct realloc_pattern *pattern,
		     unsigned int threads, enum bench_allocator allocator)
{
	for (size_t i = 0; i < results->rows; i++) {
		const struct realloc_row *row = &results->row[i];

		if (row->pattern == pattern && row->threads == threads &&
		    row->allocator == allocator)
			return row->median_s ? row : NULL;
	}
	return NULL;
}

double realloc_final_mib(const struct realloc_results *results,
			 const struct realloc_pattern *pattern)
{
	double mib = (double)results->max_bytes / MIB;

	return realloc_pattern_touched(pattern)
		       ? mib
		       : mib * 4096 / (double)pattern->stride_bytes;
}
