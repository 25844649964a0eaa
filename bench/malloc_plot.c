// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The results as a picture: how much slower programs are with the shim.
 */
#include "malloc_results.h"
#include "plot.h"

#define WIDTH  1100
#define HEIGHT 520

static void write_data(const struct malloc_results *results, FILE *script)
{
	fputs("$d << EOD\n", script);
	for (size_t p = 0; p < MALLOC_PATTERNS; p++) {
		fputs(malloc_patterns[p].name, script);
		for (unsigned int id = BENCH_PAGEMV_GLIBC;
		     id < BENCH_ALLOCATORS; id++) {
			const struct malloc_row *row = malloc_results_find(
				results, &malloc_patterns[p], id);
			double ratio = row ? malloc_row_ratio(results, row) : 0;

			if (ratio)
				fprintf(script, " %.6g", 100 * (ratio - 1));
			else
				fputs(" ?", script);
		}
		fputc('\n', script);
	}
	fputs("EOD\n", script);
}

/* gnuplot complains of columns that are all gaps. */
static bool has_ratios(const struct malloc_results *results,
		       enum bench_allocator id)
{
	for (size_t i = 0; i < results->rows; i++)
		if (results->row[i].allocator == id &&
		    malloc_row_ratio(results, &results->row[i]))
			return true;
	return false;
}

int malloc_plot(const void *of, const char *path)
{
	const struct malloc_results *results = of;
	struct bench_plot plot;
	int rc = bench_plot_begin(&plot, path, WIDTH, HEIGHT);

	if (rc)
		return rc;
	write_data(results, plot.script);
	fprintf(plot.script,
		"set title \"CPU time with the shim, against without\\n"
		"{/*0.8 Linux %s, %s, %.10s}\" enhanced\n"
		"set datafile missing '?'\nset style data histograms\n"
		"set style histogram clustered gap 1\n"
		"set style fill solid 0.85 noborder\n"
		"set grid ytics lc rgb '#dddddd' lw 1\n"
		"set border 3 lc rgb '#555555'\n"
		"set tics nomirror noenhanced\nset xtics rotate by -30\n"
		"set key above noenhanced\nset xzeroaxis lt -1 lc rgb "
		"'#555555'\n"
		"set ylabel '%% more'\nset format y '%%g'\n"
		"set yrange [*<-1:3<*]\nset xrange [-0.7:%d-0.3]\n"
		"plot 2 title 'limit, 2 %%' lc rgb '#999999' dt (4,4)",
		results->about.kernel, results->about.cpu, results->about.date,
		MALLOC_PATTERNS);
	if (has_ratios(results, BENCH_PAGEMV_GLIBC))
		fputs(", $d using 2:xtic(1) title 'over glibc' "
		      "lc rgb '#0072b2'",
		      plot.script);
	if (has_ratios(results, BENCH_PAGEMV_JEMALLOC))
		fputs(", $d using 3:xtic(1) title 'over jemalloc' "
		      "lc rgb '#d55e00'",
		      plot.script);
	fputc('\n', plot.script);
	return bench_plot_end(&plot);
}
