// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The results as a picture: how long threads stop, and how long it takes until
 * all pages are there, by mode and workload, at the largest heap with most
 * mutators.
 */
#include "gc_results.h"
#include "plot.h"

#define WIDTH  1240
#define HEIGHT 560

/* Colours that the colour-blind can tell apart. */
static const char *const colour[GC_MODES] = { "#999999", "#56b4e9", "#e69f00",
					      "#d55e00", "#0072b2" };

static struct gc_kind largest(const struct gc_results *results)
{
	struct gc_kind most = { 0 };

	for (size_t i = 0; i < results->rows; i++) {
		const struct gc_row *row = &results->row[i];

		if (!gc_row_measured(row))
			continue;
		if (row->kind.heap_mib > most.heap_mib)
			most.heap_mib = row->kind.heap_mib;
		if (row->kind.mutators > most.mutators)
			most.mutators = row->kind.mutators;
	}
	return most;
}

/* A line a workload, a column a mode; NaN where there is nothing. */
static void write_data(const struct gc_results *results, struct gc_kind kind,
		       enum gc_figure figure, FILE *script)
{
	fprintf(script, "$f%d << EOD\n", figure);
	for (unsigned int w = 0; w < GC_WORKLOADS; w++) {
		fprintf(script, "%s", gc_workload_name[w]);
		for (unsigned int m = 0; m < GC_MODES; m++) {
			const struct gc_row *row;

			kind.workload = w;
			kind.mode = m;
			row = gc_results_find(results, &kind);
			if (row && row->median[figure])
				fprintf(script, " %.6g", row->median[figure]);
			else
				fputs(" NaN", script);
		}
		fputc('\n', script);
	}
	fputs("EOD\n", script);
}

static void write_bars(enum gc_figure figure, const char *title,
		       const char *label, FILE *script)
{
	const char *separator = "plot ";

	fprintf(script,
		"set title '%s' font ',14'\nset ylabel '%s' offset 1\n"
		"set logscale y\nset style data histograms\n"
		"set style histogram clustered gap 1\n"
		"set style fill solid 0.85 noborder\n",
		title, label);
	for (int m = 0; m < GC_MODES; m++) {
		fprintf(script,
			"%s$f%d using %d:xtic(1) lc rgb '%s' title '%s'",
			separator, figure, m + 2, colour[m], gc_mode_name[m]);
		separator = ", ";
	}
	fputc('\n', script);
}

int gc_plot(const void *of, const char *path)
{
	const struct gc_results *results = of;
	struct gc_kind kind = largest(results);
	struct bench_plot plot;
	int rc = bench_plot_begin(&plot, path, WIDTH, HEIGHT);

	if (rc)
		return rc;
	fprintf(plot.script,
		"set multiplot layout 1,2 margins 0.07,0.98,0.2,0.82 "
		"spacing 0.09 title \"A collector: %u MiB alive, %u "
		"mutator%s\\n{/*0.8 Linux %s, %s, %.10s}\" enhanced\n"
		"set grid ytics lc rgb '#dddddd' lw 1\n"
		"set border 3 lc rgb '#555555'\nset tics nomirror\n"
		"set key outside bottom center horizontal font ',10'\n",
		kind.heap_mib, kind.mutators, kind.mutators == 1 ? "" : "s",
		results->about.kernel, results->about.cpu, results->about.date);
	write_data(results, kind, GC_PAUSE_MAX_US, plot.script);
	write_data(results, kind, GC_COMPACT_MS, plot.script);
	write_bars(GC_PAUSE_MAX_US, "How long a mutator stops", "us",
		   plot.script);
	write_bars(GC_COMPACT_MS, "How long compacting takes", "ms",
		   plot.script);
	fputs("unset multiplot\n", plot.script);
	return bench_plot_end(&plot);
}
