// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The results for people: a table of times for each number of threads, one of
 * memory, one of mappings; the heap; the bars.
 */
#include "realloc_results.h"
#include "text.h"
#include "work.h"

static void print_head(const char *title, FILE *out)
{
	fprintf(out, "\n%s\n%-14s", title, "");
	for (unsigned int id = 0; id < BENCH_ALLOCATORS; id++)
		fprintf(out, " %*s", id < BENCH_PAGEMV_GLIBC ? 9 : 15,
			bench_allocator_name(id));
	fputc('\n', out);
}

typedef void (*print_cell)(const struct realloc_results *results,
			   const struct realloc_row *row, char text[32]);

static void cell_seconds(const struct realloc_results *results,
			 const struct realloc_row *row, char text[32])
{
	(void)results;
	snprintf(text, 32, "%.*f", row->median_s < 1 ? 4 : 3, row->median_s);
}

static void cell_peak(const struct realloc_results *results,
		      const struct realloc_row *row, char text[32])
{
	snprintf(text, 32, "%.2f",
		 row->median_peak_mib /
			 realloc_final_mib(results, row->pattern));
}

static void cell_mappings(const struct realloc_results *results,
			  const struct realloc_row *row, char text[32])
{
	(void)results;
	snprintf(text, 32, "%ld", row->mappings);
}

/* Whether anything of that pattern is there. */
static bool wanted(const struct realloc_results *results,
		   const struct realloc_pattern *pattern, unsigned int threads)
{
	for (unsigned int id = 0; id < BENCH_ALLOCATORS; id++)
		if (realloc_results_find(results, pattern, threads, id))
			return true;
	return false;
}

static void print_table(const struct realloc_results *results,
			const char *title, unsigned int threads,
			print_cell print, FILE *out)
{
	print_head(title, out);
	for (size_t p = 0; p < REALLOC_PATTERNS; p++) {
		const struct realloc_pattern *pattern = &realloc_patterns[p];

		if (!wanted(results, pattern, threads))
			continue;
		fprintf(out, "%-14s", pattern->name);
		for (unsigned int id = 0; id < BENCH_ALLOCATORS; id++) {
			const struct realloc_row *row = realloc_results_find(
				results, pattern, threads, id);
			char text[32] = "-";

			if (row)
				print(results, row, text);
			fprintf(out, " %*s", id < BENCH_PAGEMV_GLIBC ? 9 : 15,
				text);
		}
		fputc('\n', out);
	}
}

static void print_threads(const struct realloc_results *results,
			  unsigned int threads, FILE *out)
{
	char title[120], each[32];

	bench_format_bytes(results->max_bytes / threads, each, sizeof(each));
	snprintf(title, sizeof(title),
		 "%s, %u thread%s that grow%s a block%s to %s",
		 results->cpu ? "CPU seconds" : "Seconds", threads,
		 threads == 1 ? "" : "s", threads == 1 ? "s" : "",
		 threads == 1 ? "" : " each", each);
	print_table(results, title, threads, cell_seconds, out);
	snprintf(title, sizeof(title),
		 "Peak memory, by what is written to, %u thread%s", threads,
		 threads == 1 ? "" : "s");
	print_table(results, title, threads, cell_peak, out);
	snprintf(title, sizeof(title), "Mappings more than before, %u thread%s",
		 threads, threads == 1 ? "" : "s");
	print_table(results, title, threads, cell_mappings, out);
}

static void print_heap(const struct realloc_results *results,
		       const struct realloc_heap *heap, FILE *out)
{
	char bytes[32];

	if (!heap->median_ms && !heap->why[0])
		return;
	bench_format_bytes(results->max_bytes, bytes, sizeof(bytes));
	fprintf(out, "Heap, %s of %s pages to a new place: ", bytes,
		heap->huge ? "huge" : "small");
	if (heap->median_ms)
		fprintf(out, "%.3g ms\n", heap->median_ms);
	else
		fprintf(out, "%s\n", heap->why);
}

static void print_bar(const struct realloc_results *results,
		      const struct realloc_bar *bar, FILE *out)
{
	char text[32] = "-", limit[40] = "", where[100];
	const char *verdict = "not measured";
	double value = 0;
	bool measured = bar->worst(results, bar, &value, where);

	if (bar->judged)
		snprintf(limit, sizeof(limit), "%s %.3g",
			 bar->at_least ? "at least" : "at most", bar->limit);
	if (measured) {
		bench_format_ratio(value, text, sizeof(text));
		verdict = !bar->judged			    ? ""
			  : realloc_bar_reached(bar, value) ? "ok"
							    : "MISSED";
	}
	fprintf(out, "%-14s %8s  %-13s %-12s %s", bar->name, text, limit,
		verdict, bar->what);
	fprintf(out, measured ? " (%s)\n" : "\n", where);
}

static void print_skips(const struct realloc_results *results, FILE *out)
{
	const char *title = "\nNot measured:\n";

	bench_work_tell_missing(results->missing, &title, out);
	for (size_t i = 0; i < results->rows; i++) {
		const struct realloc_row *row = &results->row[i];

		if (!row->why[0] || results->missing[row->allocator][0])
			continue;
		fprintf(out, "%s%s, %s, %u thread%s: %s\n", title,
			row->pattern->name,
			bench_allocator_name(row->allocator), row->threads,
			row->threads == 1 ? "" : "s", row->why);
		title = "";
	}
}

void realloc_print(const void *of, FILE *out)
{
	const struct realloc_results *results = of;

	bench_about_print(&results->about, out);
	fprintf(out, "Up to %zu samples a row, medians.\n", results->rounds);
	for (size_t i = 0; i < results->threads_n; i++)
		print_threads(results, results->threads[i], out);
	fputc('\n', out);
	for (int i = 0; i < 2; i++)
		print_heap(results, &results->heap[i], out);
	fprintf(out, "\nBars: the worst of this run\n");
	for (int i = 0; i < REALLOC_BARS; i++)
		print_bar(results, &realloc_bars[i], out);
	print_skips(results, out);
	if (results->about.interrupted)
		fprintf(out, "\nInterrupted: this is what was measured.\n");
}
