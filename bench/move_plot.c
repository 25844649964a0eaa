// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The results as a picture: a panel a block, one line a method.
 */
#include "move_results.h"
#include "plot.h"
#include "text.h"

#include <math.h>

#define WIDTH  1240
#define HEIGHT 1020

struct line {
	enum bench_method_id id;
	const char *colour;
	const char *dash; /* solid: the library */
	int width;
	int point;
};

/* Colours that the colour-blind can tell apart; one colour a mechanism. */
static const struct line lines[BENCH_METHODS] = {
	{ BENCH_AUTO, "#000000", "solid", 4, 7 },
	{ BENCH_AUTO_REMAP, "#999999", "solid", 4, 7 },
	{ BENCH_MOVE, "#0072b2", "solid", 2, 5 },
	{ BENCH_RAW_MOVE, "#56b4e9", "(4,4)", 2, 4 },
	{ BENCH_REMAP, "#009e73", "solid", 2, 9 },
	{ BENCH_RAW_REMAP, "#66c9aa", "(4,4)", 2, 8 },
	{ BENCH_COPY, "#d55e00", "solid", 2, 11 },
	{ BENCH_RAW_COPY, "#e69f00", "(4,4)", 2, 10 },
	{ BENCH_COMPANION, "#882255", "solid", 2, 3 },
	{ BENCH_MEMCPY_FRESH, "#cc79a7", "(8,4)", 2, 13 },
	{ BENCH_MEMCPY_WARM, "#b8a000", "(2,3)", 2, 12 },
};

/* Rows whose neighbour was not busy would say the wrong thing. */
static bool in_panel(const struct bench_row *row, int panel)
{
	return row->at.thp == panel / 2 && row->at.busy == panel % 2 &&
	       !row->disturbed;
}

static size_t write_data(const struct bench_results *results, int panel,
			 enum bench_method_id id, FILE *script)
{
	size_t points = 0;

	fprintf(script, "$d%d_%d << EOD\n", panel, (int)id);
	for (size_t i = 0; i < results->rows; i++) {
		const struct bench_row *row = &results->row[i];
		const struct bench_cell *cell = &row->cell[id];

		if (!in_panel(row, panel) || !cell->runs)
			continue;
		fprintf(script, "%zu %.6g\n", row->at.pages, cell->median_ns);
		points++;
	}
	fprintf(script, "EOD\n");
	return points;
}

/* The same range in all panels, so that they can be compared. */
static void write_y_range(const struct bench_results *results, FILE *script)
{
	double min = 1e9, max = 0;

	for (size_t i = 0; i < results->rows; i++)
		for (unsigned int id = 0; id < BENCH_METHODS; id++) {
			const struct bench_cell *cell =
				&results->row[i].cell[id];

			if (!cell->runs)
				continue;
			min = fmin(min, cell->median_ns);
			max = fmax(max, cell->median_ns);
		}
	if (max)
		fprintf(script, "set yrange [%g:%g]\n",
			pow(10, floor(log10(min))), pow(10, ceil(log10(max))));
}

static void write_axes(const struct bench_results *results, FILE *script)
{
	size_t pages = 1;

	write_y_range(results, script);
	fputs("set logscale xy\nset xrange [0.8:80000]\n"
	      "set grid xtics ytics lc rgb '#dddddd' lw 1\n"
	      "set border 3 lc rgb '#555555'\n"
	      "set tics nomirror\n"
	      "set ylabel 'ns a page' offset 1\n"
	      "set format y '%g'\n"
	      "set xtics (",
	      script);
	for (; pages <= 65536; pages *= 4) {
		char size[24];

		bench_format_bytes(pages * results->page_bytes, size,
				   sizeof(size));
		fprintf(script, "%s'%s' %zu", pages > 1 ? ", " : "", size,
			pages);
	}
	fputs(") rotate by -35\n", script);
}

static void write_panel(int panel, const size_t points[BENCH_METHODS],
			FILE *script)
{
	const char *separator = "plot ";

	fprintf(script, "%s xlabel%s\n", panel < 2 ? "unset" : "set",
		panel < 2 ? "" : " 'size of a call' offset 0,0.5");
	fprintf(script, "set title '%s, %s' font ',14'\n",
		panel / 2 ? "huge pages" : "small pages",
		panel % 2 ? "one busy neighbour thread" : "no neighbour");
	for (size_t i = 0; i < BENCH_METHODS; i++) {
		const struct line *line = &lines[i];

		if (!points[line->id])
			continue;
		fprintf(script,
			"%s$d%d_%d using 1:2 with linespoints "
			"lc rgb '%s' dt %s lw %d pt %d ps 0.6 title '%s'",
			separator, panel, (int)line->id, line->colour,
			line->dash, line->width, line->point,
			bench_method_name(line->id));
		separator = ", ";
	}
	fputs(separator[0] == 'p' ? "plot 1 notitle lc rgb 'white'\n" : "\n",
	      script);
}

static void write_script(const struct bench_results *results, FILE *script)
{
	fprintf(script,
		"set multiplot layout 2,2 margins 0.07,0.86,0.09,0.90 "
		"spacing 0.08,0.13 title \"Moving memory: time a page, by the "
		"size of a call\\n{/*0.8 Linux %s, %s, %.10s}\" enhanced\n",
		results->about.kernel, results->about.cpu, results->about.date);
	write_axes(results, script);
	for (int panel = 0; panel < 4; panel++) {
		size_t points[BENCH_METHODS];

		for (unsigned int id = 0; id < BENCH_METHODS; id++)
			points[id] = write_data(results, panel, id, script);
		/* One legend for all, beside the second panel. */
		fputs(panel == 1 ? "set key at screen 0.99,0.90 right top "
				   "Left reverse spacing 1.3 samplen 3\n"
				 : "unset key\n",
		      script);
		write_panel(panel, points, script);
	}
	fputs("unset multiplot\n", script);
}

int bench_move_plot(const void *results, const char *path)
{
	struct bench_plot plot;
	int rc = bench_plot_begin(&plot, path, WIDTH, HEIGHT);

	if (rc)
		return rc;
	write_script(results, plot.script);
	return bench_plot_end(&plot);
}
