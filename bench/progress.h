/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A progress bar on standard error while that is a terminal; nothing at all
 * where it is not.
 */
#ifndef BENCH_PROGRESS_H
#define BENCH_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct bench_progress {
	bool shown;
	uint64_t start_ns;
	uint64_t drawn_ns;
};

void bench_progress_begin(struct bench_progress *progress);

/* done: 0 to 1. Draws at most ten times a second. */
void bench_progress_update(struct bench_progress *progress, double done,
			   const char *label);

/* Wipes the bar away. */
void bench_progress_end(struct bench_progress *progress);

#endif /* BENCH_PROGRESS_H */
