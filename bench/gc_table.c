// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The results for people: a table for each workload, heap and number of
 * mutators, a line a mode; the bars.
 */
#include "gc_results.h"

static bool goes_on(const struct gc_kind *a, const struct gc_kind *b)
{
	return a->workload == b->workload && a->heap_mib == b->heap_mib &&
	       a->mutators == b->mutators;
}

static void print_us(double us, FILE *out)
{
	if (us >= 1e6)
		fprintf(out, " %7.3g s ", us / 1e6);
	else if (us >= 1e3)
		fprintf(out, " %7.3g ms", us / 1e3);
	else
		fprintf(out, " %7.3g us", us);
}

static void print_row(const struct gc_row *row, FILE *out)
{
	const double *v = row->median;

	fprintf(out, "  %-17s", gc_mode_name[row->kind.mode]);
	print_us(v[GC_PAUSE_MAX_US], out);
	print_us(v[GC_STALL_P99_US], out);
	print_us(v[GC_STALL_MAX_US], out);
	print_us(v[GC_COMPACT_MS] * 1e3, out);
	print_us(v[GC_MARK_MS] * 1e3, out);
	fprintf(out, " %10.3g %10.0f\n", v[GC_OPS_PER_S], v[GC_PEAK_RSS_MIB]);
}

static void print_rows(const struct gc_results *results, FILE *out)
{
	const struct gc_kind *last = NULL;

	for (size_t i = 0; i < results->rows; i++) {
		const struct gc_row *row = &results->row[i];

		if (!gc_row_measured(row))
			continue;
		if (!last || !goes_on(last, &row->kind))
			fprintf(out,
				"\n%s, %.0f MiB alive, %u mutator%s\n"
				"  %-17s %10s %10s %10s %10s %10s %10s %10s\n",
				gc_workload_name[row->kind.workload],
				row->median[GC_LIVE_MIB], row->kind.mutators,
				row->kind.mutators == 1 ? "" : "s", "", "stop",
				"stall p99", "stall max", "compact", "mark",
				"reads/s", "RSS MiB");
		last = &row->kind;
		print_row(row, out);
	}
}

static void print_bar(const struct gc_results *results,
		      const struct gc_bar *bar, FILE *out)
{
	double ratio = gc_bar_ratio(bar, results);
	char text[32] = "-", limit[40] = "";
	const char *verdict = "not measured";

	if (bar->limit)
		snprintf(limit, sizeof(limit), "%s %.3g",
			 bar->at_least ? "at least" : "at most", bar->limit);
	if (ratio) {
		snprintf(text, sizeof(text), "%.3g", ratio);
		verdict = !bar->limit		       ? ""
			  : gc_bar_reached(bar, ratio) ? "ok"
						       : "MISSED";
	}
	fprintf(out, "%-12s %8s  %-14s %-12s %s\n", bar->name, text, limit,
		verdict, bar->what);
}

static void print_skips(const struct gc_results *results, FILE *out)
{
	const char *title = "\nNot measured:\n";

	for (size_t i = 0; i < results->rows; i++) {
		const struct gc_row *row = &results->row[i];

		if (!row->why[0])
			continue;
		fprintf(out, "%s%s, %s, %u MiB, %u mutators: %s\n", title,
			gc_workload_name[row->kind.workload],
			gc_mode_name[row->kind.mode], row->kind.heap_mib,
			row->kind.mutators, row->why);
		title = "";
	}
}

void gc_print(const void *of, FILE *out)
{
	const struct gc_results *results = of;

	bench_about_print(&results->about, out);
	fprintf(out,
		"Medians of %zu collections. stop: the longest that the "
		"compaction is to blame for, without\nmarking: all threads for "
		"the flip, or one that makes its page. stall: reads of "
		"mutators that took\nlong meanwhile, by whatever cause, the "
		"scheduler's too.\n",
		results->rounds);
	print_rows(results, out);
	fprintf(out, "\nBars: the worst ratio of medians at the largest "
		     "heap\n");
	for (int i = 0; i < GC_BARS; i++)
		print_bar(results, &gc_bars[i], out);
	print_skips(results, out);
	if (results->about.interrupted)
		fprintf(out, "\nInterrupted: this is what was measured.\n");
}
