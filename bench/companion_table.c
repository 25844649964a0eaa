// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The results for people.
 */
#include "companion_results.h"
#include "text.h"

static void format_count(double count, char *text, size_t cap)
{
	snprintf(text, cap, count < 0 ? "-" : "%.4g", count);
}

static void print_row(const struct companion_results *results, int shape,
		      enum companion_way way, FILE *out)
{
	const struct companion_row *rows = results->row[shape];
	const struct companion_row *row = &rows[way];
	char name[40], ticks[32] = "-", ratio[32] = "", ipis[32], flushes[32];

	companion_shape_name(&companion_shapes[shape], name, sizeof(name));
	if (row->median)
		snprintf(ticks, sizeof(ticks), "%.4g", row->median);
	if (row->median && rows[COMPANION_MOVE].median && way != COMPANION_MOVE)
		bench_format_ratio(row->median / rows[COMPANION_MOVE].median,
				   ratio, sizeof(ratio));
	format_count(row->shootdowns, ipis, sizeof(ipis));
	format_count(row->flushes, flushes, sizeof(flushes));
	fprintf(out, "%-8s %-7s %6.0f %12s %8s %12s %8s\n", name,
		companion_way_names[way], row->calls, ticks, ratio, ipis,
		flushes);
}

static void print_bar(const struct companion_results *results,
		      const struct companion_bar *bar, FILE *out)
{
	char text[32] = "-", where[40] = "";
	double value = 0;
	bool measured = bar->worst(results, &value, where);

	if (measured)
		snprintf(text, sizeof(text), "%.3f", value);
	fprintf(out, "%-14s %7s  at most %.1f  %-12s %s", bar->name, text,
		bar->limit,
		!measured	      ? "not measured"
		: value <= bar->limit ? "ok"
				      : "MISSED",
		bar->what);
	fprintf(out, measured ? " (%s)\n" : "\n", where);
}

void companion_print(const void *of, FILE *out)
{
	const struct companion_results *results = of;

	bench_about_print(&results->about, out);
	fprintf(out,
		"The clock counts %s. %zu samples a row, medians, to and fro; "
		"calls, interrupts\nand flushes are those of moving all "
		"ranges once, with a busy neighbour thread.\n\n",
		results->instructions ? "instructions, of user and kernel"
				      : "nanoseconds",
		results->rounds);
	fprintf(out, "%-8s %-7s %6s %12s %8s %12s %8s\n", "ranges", "way",
		"calls", results->instructions ? "instr/page" : "ns/page",
		"of MOVE", "TLB interr.", "flushes");
	for (int s = 0; s < COMPANION_SHAPES; s++)
		for (int w = 0; w < COMPANION_WAYS; w++)
			if (results->row[s][w].median)
				print_row(results, s, (enum companion_way)w,
					  out);
	fprintf(out, "\nBars: the worst of this run\n");
	for (int i = 0; i < COMPANION_BARS; i++)
		print_bar(results, &companion_bars[i], out);
	for (int w = 0; w < COMPANION_WAYS; w++)
		if (results->missing[w][0])
			fprintf(out, "%s was not measured: %s\n",
				companion_way_names[w], results->missing[w]);
	for (size_t i = 0; i < results->about.notes; i++)
		fprintf(out, "%s.\n", results->about.note[i]);
	if (results->about.interrupted)
		fprintf(out, "Interrupted: this is what was measured.\n");
}
