// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gc_results.h"

const struct bench_telling gc_telling = {
	.print = gc_print,
	.json = gc_json,
	.plot = gc_plot,
};

const char *const gc_figure_name[GC_FIGURES] = {
	[GC_PAUSE_MAX_US] = "pause_max_us",
	[GC_MARK_MS] = "mark_ms",
	[GC_STALL_P99_US] = "stall_p99_us",
	[GC_STALL_MAX_US] = "stall_max_us",
	[GC_COMPACT_MS] = "compact_ms",
	[GC_OPS_PER_S] = "mutator_ops_per_s",
	[GC_PEAK_RSS_MIB] = "peak_rss_mib",
	[GC_LIVE_MIB] = "live_mib",
};

const struct gc_bar gc_bars[GC_BARS] = {
	{
		.name = "pause",
		.what = "longest stop, conc-move / stw-copy",
		.limit = 1.0 / 200,
		.figure = GC_PAUSE_MAX_US,
		.above = GC_CONC_MOVE,
		.below = GC_STW_COPY,
	},
	{
		.name = "compact",
		.what = "until all pages are there, conc-move / "
			"conc-copy-thread",
		.limit = 0.6,
		.figure = GC_COMPACT_MS,
		.above = GC_CONC_MOVE,
		.below = GC_CONC_COPY_THREAD,
	},
	{
		.name = "arrays",
		.what = "large arrays, stw-copy / stw-move",
		.limit = 20,
		.at_least = true,
		.figure = GC_COMPACT_MS,
		.above = GC_STW_COPY,
		.below = GC_STW_MOVE,
		.arrays_only = true,
	},
	{
		.name = "memory",
		.what = "peak RSS of conc-move / what is alive",
		.limit = 1.1,
		.figure = GC_PEAK_RSS_MIB,
		.above = GC_CONC_MOVE,
		.below = GC_CONC_MOVE,
	},
	{
		.name = "memory-copy",
		.what = "peak RSS of stw-copy / what is alive",
		.figure = GC_PEAK_RSS_MIB,
		.above = GC_STW_COPY,
		.below = GC_STW_COPY,
	},
};

void gc_row_add(struct gc_row *row, const struct gc_shared *t)
{
	const double value[GC_FIGURES] = {
		[GC_PAUSE_MAX_US] = (t->pause_ns > t->own_max_ns
					     ? t->pause_ns
					     : t->own_max_ns) /
				    1e3,
		[GC_MARK_MS] = t->mark_ns / 1e6,
		[GC_STALL_P99_US] = t->stall_p99_ns / 1e3,
		[GC_STALL_MAX_US] = t->stall_max_ns / 1e3,
		[GC_COMPACT_MS] = t->compact_ns / 1e6,
		[GC_OPS_PER_S] = t->ops_per_s,
		[GC_PEAK_RSS_MIB] = t->peak_rss_bytes / 1048576,
		[GC_LIVE_MIB] = t->live_bytes / 1048576,
	};

	for (int i = 0; i < GC_FIGURES; i++)
		/* What memory is short for is less complete. */
		(void)bench_samples_add(&row->turns[i], value[i]);
}

bool gc_row_measured(const struct gc_row *row)
{
	return row->turns[0].n > 0;
}

void gc_results_sum_up(struct gc_results *results)
{
	for (size_t i = 0; i < results->rows; i++) {
		struct gc_row *row = &results->row[i];

		for (int k = 0; k < GC_FIGURES; k++)
			row->median[k] = bench_samples_median(&row->turns[k]);
		if (row->turns[0].n > results->rounds)
			results->rounds = row->turns[0].n;
	}
}

void gc_results_free(struct gc_results *results)
{
	for (size_t i = 0; i < results->rows; i++)
		for (int k = 0; k < GC_FIGURES; k++)
			bench_samples_free(&results->row[i].turns[k]);
	bench_about_free(&results->about);
	results->rows = 0;
}

const struct gc_row *gc_results_find(const struct gc_results *results,
				     const struct gc_kind *kind)
{
	for (size_t i = 0; i < results->rows; i++)
		if (gc_row_measured(&results->row[i]) &&
		    gc_kind_equal(&results->row[i].kind, kind))
			return &results->row[i];
	return NULL;
}

static unsigned int largest_heap(const struct gc_results *results)
{
	unsigned int mib = 0;

	for (size_t i = 0; i < results->rows; i++)
		if (gc_row_measured(&results->row[i]) &&
		    results->row[i].kind.heap_mib > mib)
			mib = results->row[i].kind.heap_mib;
	return mib;
}

static double ratio_of(const struct gc_bar *bar,
		       const struct gc_results *results,
		       const struct gc_row *above)
{
	struct gc_kind kind = above->kind;
	const struct gc_row *below;
	enum gc_figure figure = bar->figure;

	kind.mode = bar->below;
	below = gc_results_find(results, &kind);
	if (bar->above == bar->below)
		figure = GC_LIVE_MIB;
	if (!below || !below->median[figure])
		return 0;
	return above->median[bar->figure] / below->median[figure];
}

double gc_bar_ratio(const struct gc_bar *bar, const struct gc_results *results)
{
	unsigned int heap_mib = largest_heap(results);
	double worst = 0;

	for (size_t i = 0; i < results->rows; i++) {
		const struct gc_row *row = &results->row[i];
		double ratio;

		if (row->kind.mode != bar->above ||
		    row->kind.heap_mib != heap_mib || !gc_row_measured(row) ||
		    (bar->arrays_only && row->kind.workload != GC_ARRAYS))
			continue;
		ratio = ratio_of(bar, results, row);
		if (ratio &&
		    (!worst || (bar->at_least ? ratio < worst : ratio > worst)))
			worst = ratio;
	}
	return worst;
}

bool gc_bar_reached(const struct gc_bar *bar, double ratio)
{
	return bar->at_least ? ratio >= bar->limit : ratio <= bar->limit;
}
