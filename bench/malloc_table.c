// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The results for people: times, ratios, what the threshold is chosen by, the
 * bars.
 */
#include "malloc_results.h"
#include "text.h"
#include "work.h"

static int width(enum bench_allocator id)
{
	return id < BENCH_PAGEMV_GLIBC ? 9 : 15;
}

static bool present(const struct malloc_results *results,
		    enum bench_allocator id)
{
	for (size_t i = 0; i < results->rows; i++)
		if (results->row[i].allocator == id &&
		    results->row[i].median_ns)
			return true;
	return false;
}

static void print_pattern(const struct malloc_results *results,
			  const struct malloc_pattern *pattern, FILE *out)
{
	fprintf(out, "%-12s", pattern->name);
	for (unsigned int id = 0; id < BENCH_ALLOCATORS; id++) {
		const struct malloc_row *row =
			malloc_results_find(results, pattern, id);
		char text[32] = "-";

		if (!present(results, id))
			continue;
		if (row)
			bench_format_ns(row->median_ns, text, sizeof(text));
		fprintf(out, " %*s", width(id), text);
	}
	for (unsigned int id = BENCH_PAGEMV_GLIBC; id < BENCH_ALLOCATORS;
	     id++) {
		const struct malloc_row *row =
			malloc_results_find(results, pattern, id);
		double ratio = row ? malloc_row_ratio(results, row) : 0;
		char text[32] = "-";

		if (!present(results, id))
			continue;
		if (ratio)
			bench_format_ratio(ratio, text, sizeof(text));
		fprintf(out, " %9s", text);
	}
	fputc('\n', out);
}

static void print_times(const struct malloc_results *results, FILE *out)
{
	fprintf(out,
		"\nCPU ns an operation, and with the shim / without\n"
		"%-12s",
		"");
	for (unsigned int id = 0; id < BENCH_ALLOCATORS; id++)
		if (present(results, id))
			fprintf(out, " %*s", width(id),
				bench_allocator_name(id));
	for (unsigned int id = BENCH_PAGEMV_GLIBC; id < BENCH_ALLOCATORS; id++)
		if (present(results, id))
			fprintf(out, " %9s",
				bench_allocator_name(
					bench_allocator_below(id)));
	fputc('\n', out);
	for (size_t i = 0; i < results->rows; i++)
		if (!i ||
		    results->row[i].pattern != results->row[i - 1].pattern)
			print_pattern(results, results->row[i].pattern, out);
}

static void print_costs(const struct malloc_threshold *threshold, int i,
			FILE *out)
{
	const double ns[] = {
		threshold->libc[i].cycle_ns,
		threshold->heap[i].cycle_ns,
		threshold->libc[i].grow_ns,
		threshold->heap[i].grow_ns,
	};
	char bytes[32];

	bench_format_bytes(threshold->bytes[i], bytes, sizeof(bytes));
	fprintf(out, "%-12s", bytes);
	for (int c = 0; c < 4; c++) {
		char text[32] = "-";

		if (ns[c])
			bench_format_ns(ns[c], text, sizeof(text));
		fprintf(out, " %14s", text);
	}
	fputc('\n', out);
}

static void print_threshold(const struct malloc_threshold *threshold, FILE *out)
{
	fprintf(out,
		"\nThe threshold: CPU ns of a block that is made, touched, "
		"dropped\n%-12s %14s %14s %14s %14s\n",
		"", "glibc", "heap", "glibc, doubled", "heap, doubled");
	for (int i = 0; i < MALLOC_THRESHOLD_SIZES; i++)
		print_costs(threshold, i, out);
	if (threshold->why[0])
		fprintf(out, "Not measured: %s\n", threshold->why);
}

static void print_bar(const struct malloc_results *results,
		      const struct malloc_bar *bar, FILE *out)
{
	char text[32] = "-", limit[40] = "";
	const char *verdict = "not measured";
	double ratio = 0;
	const struct malloc_row *worst = malloc_bar_worst(bar, results, &ratio);

	if (bar->limit)
		snprintf(limit, sizeof(limit), "at most %.3g", bar->limit);
	if (worst) {
		bench_format_ratio(ratio, text, sizeof(text));
		verdict = !bar->limit		? ""
			  : ratio <= bar->limit ? "ok"
						: "MISSED";
	}
	fprintf(out, "%-14s %8s  %-13s %-12s %s", bar->name, text, limit,
		verdict, bar->what);
	if (worst)
		fprintf(out, " (%s)", worst->pattern->name);
	fputc('\n', out);
}

static void print_skips(const struct malloc_results *results, FILE *out)
{
	const char *title = "\nNot measured:\n";

	bench_work_tell_missing(results->missing, &title, out);
	for (size_t i = 0; i < results->rows; i++) {
		const struct malloc_row *row = &results->row[i];

		if (!row->why[0] || results->missing[row->allocator][0])
			continue;
		fprintf(out, "%s%s, %s: %s\n", title, row->pattern->name,
			bench_allocator_name(row->allocator), row->why);
		title = "";
	}
}

void malloc_print(const void *of, FILE *out)
{
	const struct malloc_results *results = of;

	bench_about_print(&results->about, out);
	fprintf(out, "%zu rounds, medians.\n", results->rounds);
	print_times(results, out);
	print_threshold(&results->threshold, out);
	fprintf(out, "\nBars: the worst ratio of medians of this run\n");
	for (int i = 0; i < MALLOC_BARS; i++)
		print_bar(results, &malloc_bars[i], out);
	print_skips(results, out);
	if (results->about.interrupted)
		fprintf(out, "\nInterrupted: this is what was measured.\n");
}
