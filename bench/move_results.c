// SPDX-License-Identifier: LGPL-2.1-or-later
#include "move_results.h"

#include <stdlib.h>

const struct bench_telling bench_move_telling = {
	.print = bench_move_print,
	.json = bench_move_json,
	.plot = bench_move_plot,
};

struct bench_row *bench_results_add_row(struct bench_results *results,
					const struct bench_condition *at)
{
	struct bench_row *row;

	row = reallocarray(results->row, results->rows + 1, sizeof(*row));
	if (!row)
		return NULL;
	results->row = row;
	row += results->rows++;
	*row = (struct bench_row){ .at = *at };
	return row;
}

void bench_results_skip(struct bench_results *results, int method,
			const struct bench_condition *at, const char *reason)
{
	struct bench_skip *skip;

	skip = reallocarray(results->skip, results->skips + 1, sizeof(*skip));
	if (!skip)
		return;
	results->skip = skip;
	skip += results->skips++;
	*skip = (struct bench_skip){ .method = method, .everywhere = !at };
	if (at)
		skip->at = *at;
	snprintf(skip->reason, sizeof(skip->reason), "%s", reason);
}

void bench_results_free(struct bench_results *results)
{
	free(results->row);
	free(results->skip);
	bench_about_free(&results->about);
	*results = (struct bench_results){ 0 };
}

const struct bench_row *bench_results_find(const struct bench_results *results,
					   const struct bench_condition *at)
{
	for (size_t i = 0; i < results->rows; i++) {
		const struct bench_condition *it = &results->row[i].at;

		if (it->pages == at->pages && it->thp == at->thp &&
		    it->busy == at->busy)
			return &results->row[i];
	}
	return NULL;
}
