/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The benches behind `pagemv bench NAME`. A bench is one row of the table in
 * bench.c; what several of them need stands in files of its own: about,
 * allocator, args, child, interrupt, json, neighbour, output, pair, plot,
 * program, progress, rawuffd, samples, shootdowns, text, thread, work.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stddef.h>

struct bench {
	const char *name;
	const char *summary;
	/* argv[0] is "pagemv bench NAME". Returns an exit status. */
	int (*run)(int argc, char **argv);
};

extern const struct bench bench_table[];
extern const size_t bench_count;

const struct bench *bench_find(const char *name);

int bench_companion(int argc, char **argv);
int bench_fault(int argc, char **argv);
int bench_malloc(int argc, char **argv);
int bench_gc(int argc, char **argv);
int bench_move(int argc, char **argv);
int bench_realloc(int argc, char **argv);

#endif /* BENCH_BENCH_H */
