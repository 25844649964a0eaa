// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fault_results.h"

const struct bench_telling fault_telling = {
	.print = fault_print,
	.json = fault_json,
	.plot = fault_plot,
};

#define ONE(name, pages, n)                                              \
	{                                                                \
		.delivery = FAULT_##name, .around = pages, .threads = 1, \
		.regions = n                                             \
	}

const struct fault_bar fault_bars[FAULT_BARS] = {
	{
		.name = "library",
		.what = "signal / raw-signal",
		.limit = 1.20,
		.above = ONE(SIGNAL, 1, FAULT_REGIONS),
		.below = ONE(RAW_SIGNAL, 1, FAULT_REGIONS),
	},
	{
		.name = "library-thread",
		.what = "thread / raw-thread",
		.above = ONE(THREAD, 1, FAULT_REGIONS),
		.below = ONE(RAW_THREAD, 1, FAULT_REGIONS),
	},
	{
		.name = "signal",
		.what = "thread / signal",
		.limit = 5,
		.at_least = true,
		.above = ONE(THREAD, 1, FAULT_REGIONS),
		.below = ONE(SIGNAL, 1, FAULT_REGIONS),
	},
	{
		.name = "around",
		.what = "signal, a page of 16 around / of 1",
		.limit = 1.0 / 7,
		.above = ONE(SIGNAL, 16, FAULT_REGIONS),
		.below = ONE(SIGNAL, 1, FAULT_REGIONS),
	},
	{
		.name = "regions",
		.what = "signal, 100000 regions / 10",
		.limit = 1.3,
		.above = ONE(SIGNAL, 1, 100000),
		.below = ONE(SIGNAL, 1, FAULT_REGIONS),
	},
	{
		.name = "regions-thread",
		.what = "thread, 100000 regions / 10",
		.limit = 1.3,
		.above = ONE(THREAD, 1, 100000),
		.below = ONE(THREAD, 1, FAULT_REGIONS),
	},
	{
		.name = "state",
		.what = "bytes of memory for a page of a region",
		.limit = 2,
		.state = true,
	},
};

void fault_row_add(struct fault_row *row, const double *ns, size_t n)
{
	struct bench_samples turn = { 0 };

	for (size_t i = 0; i < n; i++)
		if (bench_samples_add(&row->all, ns[i]) ||
		    bench_samples_add(&turn, ns[i]))
			break;
	/* What memory is short for is less complete. */
	(void)bench_samples_add(&row->mean, bench_samples_mean(&turn));
	(void)bench_samples_add(&row->p50, bench_samples_median(&turn));
	bench_samples_free(&turn);
}

void fault_results_sum_up(struct fault_results *results)
{
	for (size_t i = 0; i < results->rows; i++) {
		struct fault_row *row = &results->row[i];

		row->mean_ns = bench_samples_median(&row->mean);
		row->p50_ns = bench_samples_median(&row->p50);
		row->p99_ns = bench_samples_quantile(&row->all, 0.99);
		row->p999_ns = bench_samples_quantile(&row->all, 0.999);
		row->page_ns = row->mean_ns / row->kind.around;
		if (row->p50.n > results->rounds)
			results->rounds = row->p50.n;
	}
}

void fault_results_free(struct fault_results *results)
{
	for (size_t i = 0; i < results->rows; i++) {
		bench_samples_free(&results->row[i].all);
		bench_samples_free(&results->row[i].mean);
		bench_samples_free(&results->row[i].p50);
	}
	bench_about_free(&results->about);
	results->rows = 0;
}

const struct fault_row *fault_results_find(const struct fault_results *results,
					   const struct fault_kind *kind)
{
	for (size_t i = 0; i < results->rows; i++)
		if (results->row[i].p50_ns &&
		    fault_kind_equal(&results->row[i].kind, kind))
			return &results->row[i];
	return NULL;
}

double fault_bar_ratio(const struct fault_bar *bar,
		       const struct fault_results *results)
{
	const struct fault_row *above, *below;

	if (bar->state)
		return results->state_bytes;
	above = fault_results_find(results, &bar->above);
	below = fault_results_find(results, &bar->below);
	if (!above || !below)
		return 0;
	return above->p50_ns / above->kind.around /
	       (below->p50_ns / below->kind.around);
}

bool fault_bar_reached(const struct fault_bar *bar, double ratio)
{
	return bar->at_least ? ratio >= bar->limit : ratio <= bar->limit;
}
