// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The results as a picture: times with one thread and with the most, memory.
 */
#include "plot.h"
#include "realloc_results.h"

#include <string.h>

#define WIDTH  1240
#define HEIGHT 1100

/* Colours that the colour-blind can tell apart. */
static const char *const colours[BENCH_ALLOCATORS] = {
	[BENCH_GLIBC] = "#999999",	  [BENCH_JEMALLOC] = "#e69f00",
	[BENCH_MIMALLOC] = "#56b4e9",	  [BENCH_TCMALLOC] = "#cc79a7",
	[BENCH_PAGEMV_GLIBC] = "#0072b2", [BENCH_PAGEMV_JEMALLOC] = "#d55e00",
};

static double seconds(const struct realloc_results *results,
		      const struct realloc_row *row)
{
	(void)results;
	return row->median_s;
}

static double peak(const struct realloc_results *results,
		   const struct realloc_row *row)
{
	return row->median_peak_mib / realloc_final_mib(results, row->pattern);
}

/* In two lines: so that names side by side have room. */
static void write_name(const struct realloc_pattern *pattern, FILE *script)
{
	const char *dash = strchr(pattern->name, '-');

	if (dash)
		fprintf(script, "\"%.*s\\n%s\"", (int)(dash - pattern->name),
			pattern->name, dash + 1);
	else
		fputs(pattern->name, script);
}

/* A line a pattern, a column an allocator; "?" is a gap. */
static void write_data(const struct realloc_results *results, const char *name,
		       unsigned int threads,
		       double (*value)(const struct realloc_results *results,
				       const struct realloc_row *row),
		       FILE *script)
{
	fprintf(script, "$%s << EOD\n", name);
	for (size_t p = 0; p < REALLOC_PATTERNS; p++) {
		const struct realloc_pattern *pattern = &realloc_patterns[p];

		write_name(pattern, script);
		for (unsigned int id = 0; id < BENCH_ALLOCATORS; id++) {
			const struct realloc_row *row = realloc_results_find(
				results, pattern, threads, id);

			if (row)
				fprintf(script, " %.6g", value(results, row));
			else
				fputs(" ?", script);
		}
		fputc('\n', script);
	}
	fputs("EOD\n", script);
}

/* gnuplot complains of columns that are all gaps. */
static bool has_figures(const struct realloc_results *results,
			unsigned int threads, enum bench_allocator id)
{
	for (size_t p = 0; p < REALLOC_PATTERNS; p++)
		if (realloc_results_find(results, &realloc_patterns[p], threads,
					 id))
			return true;
	return false;
}

static void write_bars(const struct realloc_results *results, const char *name,
		       unsigned int threads, FILE *script)
{
	const char *separator = "plot ";

	for (unsigned int id = 0; id < BENCH_ALLOCATORS; id++) {
		if (!has_figures(results, threads, id))
			continue;
		fprintf(script, "%s$%s using %u:xtic(1) title '%s' lc rgb '%s'",
			separator, name, id + 2, bench_allocator_name(id),
			colours[id]);
		separator = ", ";
	}
	fputs(*separator == ',' ? "\n" : "plot 1 notitle lc rgb 'white'\n",
	      script);
}

static void set_title(const char *what, unsigned int threads, FILE *script)
{
	fprintf(script, "set title '%s%u thread%s'\n", what, threads,
		threads == 1 ? "" : "s");
}

int realloc_plot(const void *of, const char *path)
{
	const struct realloc_results *results = of;
	unsigned int least = results->threads[0];
	unsigned int most = results->threads[results->threads_n - 1];
	struct bench_plot plot;
	int rc = bench_plot_begin(&plot, path, WIDTH, HEIGHT);

	if (rc)
		return rc;
	write_data(results, "first", least, seconds, plot.script);
	write_data(results, "last", most, seconds, plot.script);
	write_data(results, "memory", least, peak, plot.script);
	fprintf(plot.script,
		"set multiplot layout 3,1 title \"realloc() to %zu MiB, all "
		"threads together\\n{/*0.8 Linux %s, %s, %.10s}\" enhanced\n"
		"set datafile missing '?'\nset style data histograms\n"
		"set style histogram clustered gap 1\n"
		"set style fill solid 0.85 noborder\n"
		"set grid ytics lc rgb '#dddddd' lw 1\n"
		"set border 3 lc rgb '#555555'\nset tics nomirror\n"
		/* The same for all, so that patterns are below each other. */
		"set lmargin 11\nset rmargin 3\nset bmargin 3.5\nset xrange "
		"[-0.7:%d-0.3]\n"
		"set key above noenhanced\n"
		"set format y '%%g'\nset logscale y\nset yrange [0.001:*]\n"
		"set ylabel 'seconds'\n",
		results->max_bytes >> 20, results->about.kernel,
		results->about.cpu, results->about.date, REALLOC_PATTERNS);
	set_title("", least, plot.script);
	write_bars(results, "first", least, plot.script);
	fputs("unset key\n", plot.script);
	set_title("", most, plot.script);
	write_bars(results, "last", most, plot.script);
	fputs("set yrange [0.5:10<*]\n"
	      "set ylabel 'peak memory / written to'\n",
	      plot.script);
	set_title("Memory, ", least, plot.script);
	write_bars(results, "memory", least, plot.script);
	fputs("unset multiplot\n", plot.script);
	return bench_plot_end(&plot);
}
