// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The results for people: a table for each thing that is varied, the bars.
 */
#include "fault_results.h"
#include "text.h"

#include <string.h>

/* One table: what its columns are. */
struct varied {
	const char *title;
	const char *unit;
	size_t value[4];
	void (*set)(struct fault_kind *kind, size_t value);
	bool a_page;
};

static void set_around(struct fault_kind *kind, size_t value)
{
	kind->around = (unsigned int)value;
}

static void set_threads(struct fault_kind *kind, size_t value)
{
	kind->threads = (unsigned int)value;
}

static void set_regions(struct fault_kind *kind, size_t value)
{
	kind->regions = value;
}

static const struct varied varied[] = {
	{ "Pages around: ns a page, median",
	  "pages",
	  { 1, 4, 16, 64 },
	  set_around,
	  true },
	{ "Threads that fault at the same time: ns a fault, median",
	  "threads",
	  { 1, 2, 4 },
	  set_threads,
	  false },
	{ "Regions: ns a fault, median",
	  "regions",
	  { FAULT_REGIONS, 1000, 100000 },
	  set_regions,
	  false },
};

#define VARIED (sizeof(varied) / sizeof(varied[0]))

static struct fault_kind plain(enum fault_delivery delivery)
{
	return (struct fault_kind){ delivery, 1, 1, FAULT_REGIONS };
}

static void print_ns(double ns, FILE *out)
{
	char text[32] = "-";

	if (ns)
		bench_format_ns(ns, text, sizeof(text));
	fprintf(out, " %10s", text);
}

static void print_deliveries(const struct fault_results *results, FILE *out)
{
	fprintf(out, "\nWho fills the page: ns a fault\n");
	fprintf(out, "%-13s %10s %10s %10s %10s\n", "", "mean", "p50", "p99",
		"p99.9");
	for (unsigned int d = 0; d < FAULT_DELIVERIES; d++) {
		struct fault_kind kind = plain(d);
		const struct fault_row *row =
			fault_results_find(results, &kind);

		if (!row)
			continue;
		fprintf(out, "%-13s", fault_delivery_name(d));
		print_ns(row->mean_ns, out);
		print_ns(row->p50_ns, out);
		print_ns(row->p99_ns, out);
		print_ns(row->p999_ns, out);
		fputc('\n', out);
	}
}

/* How many of the columns of a line have figures. */
static int line(const struct fault_results *results, const struct varied *v,
		enum fault_delivery delivery, double ns[4])
{
	int found = 0;

	for (int i = 0; i < 4; i++) {
		struct fault_kind kind = plain(delivery);
		const struct fault_row *row = NULL;

		if (v->value[i]) {
			v->set(&kind, v->value[i]);
			row = fault_results_find(results, &kind);
		}
		ns[i] = row ? row->p50_ns / (v->a_page ? kind.around : 1) : 0;
		found += row != NULL;
	}
	return found;
}

static void print_varied(const struct fault_results *results,
			 const struct varied *v, FILE *out)
{
	double ns[4];

	fprintf(out, "\n%s\n%13s", v->title, v->unit);
	for (int i = 0; i < 4 && v->value[i]; i++)
		fprintf(out, " %10zu", v->value[i]);
	fputc('\n', out);
	for (unsigned int d = 0; d < FAULT_DELIVERIES; d++) {
		if (line(results, v, d, ns) < 2)
			continue;
		fprintf(out, "%-13s", fault_delivery_name(d));
		for (int i = 0; i < 4 && v->value[i]; i++)
			print_ns(ns[i], out);
		fputc('\n', out);
	}
}

static void print_bar(const struct fault_results *results,
		      const struct fault_bar *bar, FILE *out)
{
	double ratio = fault_bar_ratio(bar, results);
	char text[32] = "-", limit[40] = "";
	const char *verdict = "not measured";

	if (bar->limit)
		snprintf(limit, sizeof(limit), "%s %.3g",
			 bar->at_least ? "at least" : "at most", bar->limit);
	if (ratio) {
		bench_format_ratio(ratio, text, sizeof(text));
		verdict = !bar->limit			  ? ""
			  : fault_bar_reached(bar, ratio) ? "ok"
							  : "MISSED";
	}
	fprintf(out, "%-14s %8s  %-14s %-12s %s\n", bar->name, text, limit,
		verdict, bar->what);
}

static void print_kind(const struct fault_kind *kind, FILE *out)
{
	fprintf(out, "%s, %u pages, %u threads, %zu regions",
		fault_delivery_name(kind->delivery), kind->around,
		kind->threads, kind->regions);
}

static void print_skips(const struct fault_results *results, FILE *out)
{
	const char *title = "\nNot measured:\n";

	for (size_t i = 0; i < results->rows; i++) {
		const struct fault_row *row = &results->row[i];

		if (!row->why[0])
			continue;
		fputs(title, out);
		title = "";
		print_kind(&row->kind, out);
		fprintf(out, ": %s\n", row->why);
	}
	if (results->state_why[0])
		fprintf(out, "%sstate: %s\n", title, results->state_why);
}

void fault_print(const void *of, FILE *out)
{
	const struct fault_results *results = of;

	bench_about_print(&results->about, out);
	fprintf(out,
		"%zu rounds; pages are %s. What is not varied: 1 page, "
		"1 thread, %d regions.\n",
		results->rounds, results->moves ? "moved in" : "copied",
		FAULT_REGIONS);
	print_deliveries(results, out);
	for (size_t i = 0; i < VARIED; i++)
		print_varied(results, &varied[i], out);
	fprintf(out, "\nBars: ratios of medians of this run\n");
	for (int i = 0; i < FAULT_BARS; i++)
		print_bar(results, &fault_bars[i], out);
	print_skips(results, out);
	if (results->about.interrupted)
		fprintf(out, "\nInterrupted: this is what was measured.\n");
}
