/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the results of a bench go: tables, JSON, a picture.
 */
#ifndef BENCH_OUTPUT_H
#define BENCH_OUTPUT_H

#include <stdbool.h>
#include <stdio.h>

struct bench_output {
	bool json;
	const char *json_path; /* NULL: standard output, instead of tables */
	const char *plot_path;
};

/* How a bench tells its results. Those that return do so 0 or -errno. */
struct bench_telling {
	void (*print)(const void *results, FILE *out);
	int (*json)(const void *results, FILE *out);
	int (*plot)(const void *results, const char *path);
};

/* Whether the files can be written: better known before some minutes of
 * measuring than after. Tells what is in the way. */
bool bench_output_ready(const struct bench_output *output);

/* Everything is told even where part of the telling fails: false then. */
bool bench_output_tell(const struct bench_output *output,
		       const struct bench_telling *how, const void *results);

/* How a bench has ended. */
struct bench_end {
	const char *corrupt; /* what was lost or changed, or NULL */
	bool interrupted;
	bool measured; /* anything */
};

/* Tells the results and what was wrong with them. Returns an exit status. */
int bench_output_report(const struct bench_output *output,
			const struct bench_telling *how, const void *results,
			const struct bench_end *end);

#endif /* BENCH_OUTPUT_H */
