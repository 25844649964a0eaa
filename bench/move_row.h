/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One row of `pagemv bench move`: all methods under one condition, taking
 * turns in an order that changes from round to round.
 */
#ifndef BENCH_MOVE_ROW_H
#define BENCH_MOVE_ROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "move_results.h"
#include "neighbour.h"
#include "progress.h"

struct bench_run {
	struct bench_backend *backend;
	struct bench_results *results;
	struct bench_progress progress;
	struct bench_neighbour neighbour;
	unsigned int methods;  /* BENCH_METHOD_BIT() of those to measure */
	uint64_t memory_bytes; /* never more than this at a time */
	size_t row;	       /* which one, of how many: for the progress */
	size_t rows;
	bool quick;
};

/* Measures for about seconds; what comes out is a row of run->results. */
void bench_row_measure(struct bench_run *run, const struct bench_condition *at,
		       double seconds);

#endif /* BENCH_MOVE_ROW_H */
