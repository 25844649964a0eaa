/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From which size on a block of the library's heap costs no more than one of
 * the C library's: what the shim's threshold is chosen by.
 */
#ifndef BENCH_MALLOC_THRESHOLD_H
#define BENCH_MALLOC_THRESHOLD_H

#include <stdbool.h>
#include <stddef.h>

/* 32 KiB to 4 MiB. */
#define MALLOC_THRESHOLD_SIZES 8

struct malloc_cost {
	double cycle_ns; /* a block comes, its pages are touched, and it goes */
	double grow_ns;	 /* it grows to twice its size in between; the new part
			  * is touched, too */
};

struct malloc_threshold {
	size_t bytes[MALLOC_THRESHOLD_SIZES];
	struct malloc_cost libc[MALLOC_THRESHOLD_SIZES]; /* 0: not measured */
	struct malloc_cost heap[MALLOC_THRESHOLD_SIZES];
	char why[160]; /* why there is nothing, or no more, of it */
};

/* Medians of so many turns, until Ctrl-C. */
void malloc_threshold_measure(struct malloc_threshold *threshold,
			      unsigned int turns);

#endif /* BENCH_MALLOC_THRESHOLD_H */
