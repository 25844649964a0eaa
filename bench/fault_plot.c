// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The results as a picture: who fills the page, and how many come at once.
 */
#include "fault_results.h"
#include "plot.h"

#include <math.h>

#define WIDTH  1240
#define HEIGHT 560

/* Colours that the colour-blind can tell apart; a shade each for the library
 * and for what is beside it. */
static const struct {
	const char *colour;
	const char *dash;
} styles[FAULT_DELIVERIES] = {
	[FAULT_SIGNAL] = { "#0072b2", "solid" },
	[FAULT_THREAD] = { "#d55e00", "solid" },
	[FAULT_THREAD_SPIN] = { "#009e73", "solid" },
	[FAULT_RAW_SIGNAL] = { "#56b4e9", "(4,4)" },
	[FAULT_RAW_THREAD] = { "#e69f00", "(4,4)" },
	[FAULT_MPROTECT_SEGV] = { "#cc79a7", "solid" },
	[FAULT_KERNEL] = { "#999999", "solid" },
};

static const struct fault_row *find(const struct fault_results *results,
				    unsigned int delivery, unsigned int around)
{
	struct fault_kind kind = { delivery, around, 1, FAULT_REGIONS };

	return fault_results_find(results, &kind);
}

/* Boxes from the median down, a line up to the 99th percentile. */
static void write_deliveries(const struct fault_results *results, FILE *script)
{
	int n = 0;

	fputs("$d << EOD\n", script);
	for (unsigned int d = 0; d < FAULT_DELIVERIES; d++) {
		const struct fault_row *row = find(results, d, 1);

		if (row)
			fprintf(script, "%d %.6g %.6g 0x%s %s\n", n++,
				row->p50_ns, fmax(row->p99_ns, row->p50_ns),
				styles[d].colour + 1, fault_delivery_name(d));
	}
	fputs("EOD\n", script);
	fprintf(script,
		"set title 'Who fills the page' font ',14'\n"
		"set logscale y\nset yrange [100:*]\nset xrange [-0.6:%g]\n"
		"set boxwidth 0.75\nset style fill solid 0.85 noborder\n"
		"set ylabel 'ns a fault: median, line to the 99th "
		"percentile' offset 1\n"
		"set xtics rotate by -30\nunset key\n",
		n - 0.4);
	fputs(n ? "plot $d using 1:2:4:xtic(5) with boxes lc rgb variable, "
		  "$d using 1:2:2:3 with yerrorbars pt -1 ps 0 lc rgb "
		  "'#333333', "
		  "$d using 1:2:(sprintf(\"%.1f us\", $2 / 1000)) with labels "
		  "nopoint "
		  "offset 0,-0.8 tc rgb 'white' font ',9'\n"
		: "plot 1 notitle lc rgb 'white'\n",
	      script);
}

static size_t write_line(const struct fault_results *results,
			 unsigned int delivery, FILE *script)
{
	size_t points = 0;

	fprintf(script, "$a%u << EOD\n", delivery);
	for (unsigned int around = 1; around <= 64; around *= 4) {
		const struct fault_row *row = find(results, delivery, around);

		if (row)
			fprintf(script, "%u %.6g\n", around,
				row->p50_ns / around);
		points += row != NULL;
	}
	fputs("EOD\n", script);
	return points;
}

static void write_around(const struct fault_results *results, FILE *script)
{
	const char *separator = "plot ";
	size_t points[FAULT_DELIVERIES];

	for (unsigned int d = 0; d < FAULT_DELIVERIES; d++)
		points[d] = write_line(results, d, script);
	fputs("set title 'How many pages come by one fault' font ',14'\n"
	      "set logscale xy\nset xrange [0.8:80]\nset yrange [*:*]\n"
	      "set ylabel 'ns a page, median' offset 1\n"
	      "set xtics ('1' 1, '4' 4, '16' 16, '64' 64) norotate\n"
	      "set xlabel 'pages'\nset key right top\n",
	      script);
	for (unsigned int d = 0; d < FAULT_DELIVERIES; d++) {
		if (points[d] < 2)
			continue;
		fprintf(script,
			"%s$a%u using 1:2 with linespoints lc rgb '%s' dt %s "
			"lw 2 pt 7 ps 0.6 title '%s'",
			separator, d, styles[d].colour, styles[d].dash,
			fault_delivery_name(d));
		separator = ", ";
	}
	fputs(separator[0] == 'p' ? "plot 1 notitle lc rgb 'white'\n" : "\n",
	      script);
}

int fault_plot(const void *of, const char *path)
{
	const struct fault_results *results = of;
	struct bench_plot plot;
	int rc = bench_plot_begin(&plot, path, WIDTH, HEIGHT);

	if (rc)
		return rc;
	fprintf(plot.script,
		"set multiplot layout 1,2 margins 0.07,0.98,0.17,0.82 "
		"spacing 0.09 title \"Pages on demand: time of an access to "
		"an absent page\\n{/*0.8 Linux %s, %s, %.10s}\" enhanced\n"
		"set grid ytics lc rgb '#dddddd' lw 1\n"
		"set border 3 lc rgb '#555555'\nset tics nomirror\n"
		"set format y '%%g'\n",
		results->about.kernel, results->about.cpu, results->about.date);
	write_deliveries(results, plot.script);
	write_around(results, plot.script);
	fputs("unset multiplot\n", plot.script);
	return bench_plot_end(&plot);
}
