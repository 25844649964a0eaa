// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The results as a picture: what a page costs, and interrupts.
 */
#include "companion_results.h"
#include "plot.h"

#define WIDTH  1000
#define HEIGHT 800

static double ticks(const struct companion_row *row)
{
	return row->median;
}

static double shootdowns(const struct companion_row *row)
{
	return row->median ? row->shootdowns : 0;
}

/* A line a shape, a column a way; "?" is a gap. */
static void write_data(const struct companion_results *results,
		       const char *name,
		       double (*value)(const struct companion_row *row),
		       FILE *script)
{
	fprintf(script, "$%s << EOD\n", name);
	for (int s = 0; s < COMPANION_SHAPES; s++) {
		char shape[40];

		companion_shape_name(&companion_shapes[s], shape,
				     sizeof(shape));
		fprintf(script, "\"%s\"", shape);
		for (int w = 0; w < COMPANION_WAYS; w++) {
			double v = value(&results->row[s][w]);

			fprintf(script, v > 0 ? " %.6g" : " ?", v);
		}
		fputc('\n', script);
	}
	fputs("EOD\n", script);
}

static bool has_figures(const struct companion_results *results,
			enum companion_way way,
			double (*value)(const struct companion_row *row))
{
	for (int s = 0; s < COMPANION_SHAPES; s++)
		if (value(&results->row[s][way]) > 0)
			return true;
	return false;
}

/* gnuplot complains of columns that are all gaps. */
static void write_bars(const struct companion_results *results,
		       const char *name,
		       double (*value)(const struct companion_row *row),
		       FILE *script)
{
	static const char *const colours[COMPANION_WAYS] = { "#999999",
							     "#56b4e9",
							     "#d55e00" };
	const char *separator = "plot ";

	write_data(results, name, value, script);
	for (unsigned int w = 0; w < COMPANION_WAYS; w++) {
		if (!has_figures(results, (enum companion_way)w, value))
			continue;
		fprintf(script, "%s$%s using %u:xtic(1) title '%s' lc rgb '%s'",
			separator, name, w + 2, companion_way_names[w],
			colours[w]);
		separator = ", ";
	}
	fputs(*separator == ',' ? "\n" : "plot 1 notitle lc rgb 'white'\n",
	      script);
}

int companion_plot(const void *of, const char *path)
{
	const struct companion_results *results = of;
	struct bench_plot plot;
	int rc = bench_plot_begin(&plot, path, WIDTH, HEIGHT);

	if (rc)
		return rc;
	fprintf(plot.script,
		"set multiplot layout 2,1 title \"The companion module and "
		"UFFDIO_MOVE, ranges x pages\\n{/*0.8 Linux %s, %s, %.10s}\" "
		"enhanced\n"
		"set datafile missing '?'\nset style data histograms\n"
		"set style histogram clustered gap 1\n"
		"set style fill solid 0.85 noborder\n"
		"set grid ytics lc rgb '#dddddd' lw 1\n"
		"set border 3 lc rgb '#555555'\nset tics nomirror\n"
		"set format y '%%g'\nset key outside right top noenhanced\n"
		"set logscale y\nset yrange [*:*]\nset ylabel '%s a page'\n",
		results->about.kernel, results->about.cpu, results->about.date,
		results->instructions ? "instructions" : "ns");
	write_bars(results, "ticks", ticks, plot.script);
	fputs("set ylabel 'TLB interrupts, all ranges'\nset yrange [0.5:*]\n",
	      plot.script);
	write_bars(results, "interrupts", shootdowns, plot.script);
	fputs("unset multiplot\n", plot.script);
	return bench_plot_end(&plot);
}
