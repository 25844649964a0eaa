// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What the shim and the heap have to reach.
 */
#include "realloc_results.h"

#include <stdio.h>

/* One that is worse than those before takes their place. */
static void take(const struct realloc_bar *bar, const struct realloc_row *row,
		 double value, double *worst, char where[100])
{
	if (where[0] && (bar->at_least ? value >= *worst : value <= *worst))
		return;
	*worst = value;
	snprintf(where, 100, "%s, %s, %u thread%s", row->pattern->name,
		 bench_allocator_name(row->allocator), row->threads,
		 row->threads == 1 ? "" : "s");
}

/* The value of a row of a shim, or 0: it says nothing. */
typedef double (*row_value)(const struct realloc_results *results,
			    const struct realloc_row *row);

static bool worst_row(const struct realloc_results *results,
		      const struct realloc_bar *bar, row_value value_of,
		      double *worst, char where[100])
{
	where[0] = '\0';
	for (size_t i = 0; i < results->rows; i++) {
		const struct realloc_row *row = &results->row[i];
		double value = 0;

		if (row->median_s && bench_allocator_is_shim(row->allocator) &&
		    (!bar->threads || row->threads == bar->threads))
			value = value_of(results, row);
		if (value)
			take(bar, row, value, worst, where);
	}
	return where[0];
}

/* Growth from the first page to the last, and nothing else. */
static bool is_touched_growth(const struct realloc_pattern *pattern)
{
	return realloc_pattern_touched(pattern) && !pattern->shrink &&
	       !pattern->one_thread;
}

static double median_s(const struct realloc_results *results,
		       const struct realloc_row *like, enum bench_allocator id)
{
	const struct realloc_row *row =
		realloc_results_find(results, like->pattern, like->threads, id);

	return row ? row->median_s : 0;
}

static double value_growth(const struct realloc_results *results,
			   const struct realloc_row *row)
{
	static const enum bench_allocator others[] = { BENCH_JEMALLOC,
						       BENCH_MIMALLOC,
						       BENCH_TCMALLOC };
	double best = 0;

	for (int i = 0; i < 3; i++) {
		double s = median_s(results, row, others[i]);

		if (s && (!best || s < best))
			best = s;
	}
	return is_touched_growth(row->pattern) ? best / row->median_s : 0;
}

static bool worst_growth(const struct realloc_results *results,
			 const struct realloc_bar *bar, double *value,
			 char where[100])
{
	return worst_row(results, bar, value_growth, value, where);
}

/* Only the shim over glibc is compared with glibc. */
static double value_glibc(const struct realloc_results *results,
			  const struct realloc_row *row)
{
	double s = median_s(results, row, BENCH_GLIBC);

	return row->allocator == BENCH_PAGEMV_GLIBC && s ? row->median_s / s
							 : 0;
}

static bool worst_glibc(const struct realloc_results *results,
			const struct realloc_bar *bar, double *value,
			char where[100])
{
	return worst_row(results, bar, value_glibc, value, where);
}

static double value_gain(const struct realloc_results *results,
			 const struct realloc_row *row)
{
	double value = value_glibc(results, row);

	return value && is_touched_growth(row->pattern) ? 1 / value : 0;
}

static bool worst_gain(const struct realloc_results *results,
		       const struct realloc_bar *bar, double *value,
		       char where[100])
{
	return worst_row(results, bar, value_gain, value, where);
}

static double value_peak(const struct realloc_results *results,
			 const struct realloc_row *row)
{
	return realloc_pattern_touched(row->pattern)
		       ? row->median_peak_mib /
				 realloc_final_mib(results, row->pattern)
		       : 0;
}

static bool worst_peak(const struct realloc_results *results,
		       const struct realloc_bar *bar, double *value,
		       char where[100])
{
	return worst_row(results, bar, value_peak, value, where);
}

static double value_sparse_peak(const struct realloc_results *results,
				const struct realloc_row *row)
{
	return realloc_pattern_touched(row->pattern)
		       ? 0
		       : row->median_peak_mib /
				 realloc_final_mib(results, row->pattern);
}

static bool worst_sparse_peak(const struct realloc_results *results,
			      const struct realloc_bar *bar, double *value,
			      char where[100])
{
	return worst_row(results, bar, value_sparse_peak, value, where);
}

/* Here 0 is a value, and the best of all. */
static bool worst_mappings(const struct realloc_results *results,
			   const struct realloc_bar *bar, double *value,
			   char where[100])
{
	where[0] = '\0';
	for (size_t i = 0; i < results->rows; i++) {
		const struct realloc_row *row = &results->row[i];

		if (row->median_s && bench_allocator_is_shim(row->allocator) &&
		    row->threads == bar->threads)
			take(bar, row, (double)row->late_mappings, value,
			     where);
	}
	return where[0];
}

static bool heap_ms(const struct realloc_heap *heap, double *value,
		    char where[100])
{
	snprintf(where, 100, "%s", heap->huge ? "huge pages" : "small pages");
	*value = heap->median_ms;
	return heap->median_ms;
}

static bool worst_heap(const struct realloc_results *results,
		       const struct realloc_bar *bar, double *value,
		       char where[100])
{
	(void)bar;
	return heap_ms(&results->heap[0], value, where);
}

static bool worst_heap_huge(const struct realloc_results *results,
			    const struct realloc_bar *bar, double *value,
			    char where[100])
{
	(void)bar;
	return heap_ms(&results->heap[1], value, where);
}

const struct realloc_bar realloc_bars[REALLOC_BARS] = {
	{
		.name = "growth",
		.what = "touched growth: best of jemalloc, mimalloc, "
			"tcmalloc / shim, seconds",
		.limit = 2,
		.at_least = true,
		.judged = true,
		.worst = worst_growth,
		.threads = 1,
	},
	{
		.name = "glibc",
		.what = "any pattern, 1 thread: shim / glibc, seconds",
		.limit = 1.05,
		.judged = true,
		.worst = worst_glibc,
		.threads = 1,
	},
	{
		.name = "glibc-8",
		.what = "touched growth, 8 threads: glibc / shim, seconds",
		.limit = 1.5,
		.at_least = true,
		.judged = true,
		.worst = worst_gain,
		.threads = 8,
	},
	{
		.name = "glibc-threads",
		.what = "any pattern and threads: shim / glibc, seconds",
		.worst = worst_glibc,
	},
	{
		.name = "peak-rss",
		.what = "peak memory / final size, shim",
		.limit = 1.1,
		.judged = true,
		.worst = worst_peak,
	},
	{
		.name = "peak-sparse",
		.what = "peak memory / pages written to, sparse, shim",
		.worst = worst_sparse_peak,
	},
	{
		.name = "mappings",
		.what = "mappings that came after an eighth of the size, shim",
		.judged = true,
		.worst = worst_mappings,
		.threads = 1,
	},
	{
		.name = "heap-move",
		.what = "heap: realloc of the block to a new place, ms",
		.limit = 30,
		.judged = true,
		.worst = worst_heap,
	},
	{
		.name = "heap-move-huge",
		.what = "the same of huge pages, ms",
		.limit = 2,
		.judged = true,
		.worst = worst_heap_huge,
	},
};

bool realloc_bar_reached(const struct realloc_bar *bar, double value)
{
	return bar->at_least ? value >= bar->limit : value <= bar->limit;
}
