// SPDX-License-Identifier: LGPL-2.1-or-later
#include "progress.h"
#include "samples.h"

#include <stdio.h>
#include <unistd.h>

#define BAR_CHARS 24
#define REDRAW_NS 100000000u

void bench_progress_begin(struct bench_progress *progress)
{
	progress->shown = isatty(STDERR_FILENO);
	progress->start_ns = bench_now_ns();
	progress->drawn_ns = 0;
}

void bench_progress_update(struct bench_progress *progress, double done,
			   const char *label)
{
	uint64_t now_ns = bench_now_ns();
	double elapsed_s = (double)(now_ns - progress->start_ns) / 1e9;
	int filled;

	if (!progress->shown || now_ns - progress->drawn_ns < REDRAW_NS)
		return;
	progress->drawn_ns = now_ns;
	if (done > 1)
		done = 1;
	filled = (int)(done * BAR_CHARS);
	fprintf(stderr, "\r[%.*s%.*s] %3.0f %%  %s", filled,
		"########################", BAR_CHARS - filled,
		"........................", done * 100, label);
	if (done > 0.01)
		fprintf(stderr, "  %.0f s left", elapsed_s * (1 - done) / done);
	fputs("\033[K", stderr);
	fflush(stderr);
}

void bench_progress_end(struct bench_progress *progress)
{
	if (progress->shown)
		fputs("\r\033[K", stderr);
	progress->shown = false;
}
