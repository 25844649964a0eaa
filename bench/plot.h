/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gnuplot at the other end of a pipe. It draws an SVG into a file that is
 * there only when all went well.
 */
#ifndef BENCH_PLOT_H
#define BENCH_PLOT_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

struct bench_plot {
	FILE *script; /* what gnuplot is to do */
	pid_t pid;
	const char *path;
	char temporary[4096];
};

/* Looks for gnuplot in PATH. */
bool bench_plot_available(void);

/* Starts gnuplot; the terminal is set already. 0 or -errno. */
int bench_plot_begin(struct bench_plot *plot, const char *path, int width,
		     int height);

/* Waits for gnuplot. 0 or -errno; -EPROTO: gnuplot did not like the script. */
int bench_plot_end(struct bench_plot *plot);

#endif /* BENCH_PLOT_H */
