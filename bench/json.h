/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Results for programs: what the benches have in common.
 */
#ifndef BENCH_JSON_H
#define BENCH_JSON_H

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

#include "about.h"
#include "allocator.h"

/* Five digits; what lies behind is noise. */
json_t *bench_json_number(double value);
json_t *bench_json_size(size_t value);

void bench_json_add_about(json_t *root, const struct bench_about *about);
void bench_json_add_notes(json_t *root, const struct bench_about *about);

/* Of a row that compares allocators: whose it is, */
json_t *bench_json_kind(const char *pattern, enum bench_allocator allocator,
			unsigned int threads);
/* and what was measured. */
void bench_json_add_cost(json_t *row, double ns_per_op, double seconds,
			 double peak_rss_mib, long mappings);

/* What a bar demands; the caller adds what came of it. limit 0: nothing. */
json_t *bench_json_bar(const char *name, const char *what, bool at_least,
		       double limit);

/* Writes root and gives it back. 0 or -EIO. */
int bench_json_write(json_t *root, FILE *out);

#endif /* BENCH_JSON_H */
