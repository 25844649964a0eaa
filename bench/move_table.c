// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The results for people: a table a block, the bars, the crossovers.
 */
#include "move_results.h"
#include "text.h"

#include <string.h>

#define MISSED_MARK    '!'
#define DISTURBED_MARK '?'

static const char *thp_text(bool thp)
{
	return thp ? "huge pages" : "small pages";
}

static const char *busy_text(int busy)
{
	return busy ? "one busy neighbour thread" : "no neighbour thread";
}

static bool in_block(const struct bench_row *row, unsigned int block)
{
	return row->at.thp == (block >> 1) && row->at.busy == (int)(block & 1);
}

static bool block_has_ratios(const struct bench_results *results,
			     unsigned int block)
{
	for (size_t i = 0; i < results->rows; i++)
		for (int b = 0; b < BENCH_BARS; b++)
			if (in_block(&results->row[i], block) &&
			    bench_bar_ratio(&bench_bars[b], results,
					    &results->row[i]))
				return true;
	return false;
}

static bool block_has_rows(const struct bench_results *results,
			   unsigned int block)
{
	for (size_t i = 0; i < results->rows; i++)
		if (in_block(&results->row[i], block))
			return true;
	return false;
}

static void print_size(const struct bench_results *results,
		       const struct bench_row *row, FILE *out)
{
	char size[24];

	bench_format_bytes(row->at.pages * results->page_bytes, size,
			   sizeof(size));
	fprintf(out, "%7zu %8s", row->at.pages, size);
}

static void print_block(const struct bench_results *results, unsigned int block,
			FILE *out)
{
	fprintf(out, "\n%s, %s: ns a page, median\n", thp_text(block >> 1),
		busy_text(block & 1));
	fprintf(out, "%7s %8s", "pages", "a call");
	for (unsigned int id = 0; id < BENCH_METHODS; id++)
		fprintf(out, " %*s",
			(int)strlen(bench_method_name(id)) > 9 ? 12 : 9,
			bench_method_name(id));
	fputc('\n', out);
	for (size_t i = 0; i < results->rows; i++) {
		const struct bench_row *row = &results->row[i];

		if (!in_block(row, block))
			continue;
		print_size(results, row, out);
		for (unsigned int id = 0; id < BENCH_METHODS; id++) {
			char ns[32] = "-";

			if (row->cell[id].runs)
				bench_format_ns(row->cell[id].median_ns, ns,
						sizeof(ns));
			fprintf(out, " %*s",
				(int)strlen(bench_method_name(id)) > 9 ? 12 : 9,
				ns);
		}
		fputc('\n', out);
	}
}

static void print_bar_cell(const struct bench_results *results,
			   const struct bench_bar *bar,
			   const struct bench_row *row, FILE *out)
{
	double ratio = bench_bar_ratio(bar, results, row);
	int width = (int)strlen(bar->name);
	char text[32] = "";
	char mark = ' ';

	if (ratio)
		bench_format_ratio(ratio, text, sizeof(text));
	if (ratio && row->disturbed)
		mark = DISTURBED_MARK;
	if (ratio && bench_bar_judges(bar, row) &&
	    !bench_bar_reached(bar, ratio))
		mark = MISSED_MARK;
	fprintf(out, " %*s%c", width > 6 ? width : 6, text, mark);
}

static void print_ratios(const struct bench_results *results,
			 unsigned int block, FILE *out)
{
	fprintf(out, "\n%s, %s: ratios (%c = missed, %c = disturbed)\n",
		thp_text(block >> 1), busy_text(block & 1), MISSED_MARK,
		DISTURBED_MARK);
	fprintf(out, "%7s %8s", "pages", "a call");
	for (int i = 0; i < BENCH_BARS; i++)
		fprintf(out, " %6s ", bench_bars[i].name);
	fputc('\n', out);
	for (size_t i = 0; i < results->rows; i++) {
		const struct bench_row *row = &results->row[i];

		if (!in_block(row, block))
			continue;
		print_size(results, row, out);
		for (int b = 0; b < BENCH_BARS; b++)
			print_bar_cell(results, &bench_bars[b], row, out);
		fputc('\n', out);
	}
}

static void print_bar(const struct bench_results *results,
		      const struct bench_bar *bar, FILE *out)
{
	double ratio = 0;
	const struct bench_row *worst = bench_bar_worst(bar, results, &ratio);
	char text[32] = "-", limit[40] = "", size[24] = "";
	const char *verdict = "not measured";

	if (bar->limit)
		snprintf(limit, sizeof(limit), "%s %.4g",
			 bar->at_least ? "at least" : "at most", bar->limit);
	if (worst) {
		bench_format_ratio(ratio, text, sizeof(text));
		bench_format_bytes(worst->at.pages * results->page_bytes, size,
				   sizeof(size));
		verdict = !bar->limit			  ? ""
			  : bench_bar_reached(bar, ratio) ? "ok"
							  : "MISSED";
	}
	fprintf(out, "%-14s %8s  %-13s %-12s", bar->name, text, limit, verdict);
	if (worst)
		fprintf(out, " worst at %s, %s, %d busy", size,
			thp_text(worst->at.thp), worst->at.busy);
	fprintf(out, "\n%14s %s%s\n", "", bar->what,
		bar->idle_only ? ", no neighbour" : "");
}

static void print_crossover(const struct bench_results *results,
			    const struct bench_crossover *it, FILE *out)
{
	char size[24];

	fprintf(out, "  %s, %d busy: %s %s %s ", thp_text(it->thp), it->busy,
		bench_method_name(it->fast),
		it->never ? "does not beat" : "beats",
		bench_method_name(it->slow));
	if (it->never) {
		fputs("with the largest calls", out);
	} else if (it->always) {
		fputs("at every size", out);
	} else {
		bench_format_bytes(
			(size_t)(it->pages * (double)results->page_bytes), size,
			sizeof(size));
		fprintf(out, "from %.3g pages (%s) on", it->pages, size);
	}
	fprintf(out, "%s\n",
		it->several ? " (they change places more than "
			      "once)"
			    : "");
}

static void print_crossovers(const struct bench_results *results, FILE *out)
{
	struct bench_crossover crossover[BENCH_MAX_CROSSOVERS];
	size_t n = bench_crossovers(results, crossover, BENCH_MAX_CROSSOVERS);

	fprintf(out, "\nCrossovers, by the size of a call:\n");
	for (size_t i = 0; i < n; i++)
		print_crossover(results, &crossover[i], out);
	if (!n)
		fprintf(out, "none: too few sizes were measured\n");
}

static void print_skips(const struct bench_results *results, FILE *out)
{
	for (size_t i = 0; i < results->skips; i++) {
		const struct bench_skip *skip = &results->skip[i];

		fprintf(out, "%s%s", i ? "" : "\nNot measured:\n",
			skip->method < 0
				? "all methods"
				: bench_method_name(
					  (enum bench_method_id)skip->method));
		if (!skip->everywhere && skip->at.pages)
			fprintf(out, ", %zu pages", skip->at.pages);
		if (!skip->everywhere)
			fprintf(out, ", %s, %d busy", thp_text(skip->at.thp),
				skip->at.busy);
		fprintf(out, ": %s\n", skip->reason);
	}
}

void bench_move_print(const void *of, FILE *out)
{
	const struct bench_results *results = of;

	bench_about_print(&results->about, out);
	for (unsigned int block = 0; block < 4; block++)
		if (block_has_rows(results, block))
			print_block(results, block, out);
	for (unsigned int block = 0; block < 4; block++)
		if (block_has_ratios(results, block))
			print_ratios(results, block, out);
	fprintf(out, "\nBars: ratios of medians of this run\n");
	for (int i = 0; i < BENCH_BARS; i++)
		print_bar(results, &bench_bars[i], out);
	if (results->crossover)
		print_crossovers(results, out);
	print_skips(results, out);
	if (results->about.interrupted)
		fprintf(out, "\nInterrupted: this is what was measured.\n");
}
