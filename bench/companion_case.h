/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two areas, and ranges that are moved between them by bare system calls: the
 * library is not in between.
 */
#ifndef BENCH_COMPANION_CASE_H
#define BENCH_COMPANION_CASE_H

#include <stdint.h>

#include "companion_results.h"
#include "kernel_abi.h"
#include "rawuffd.h"

#define COMPANION_MAX_RANGES 64

struct companion_case {
	int device; /* -1: none */
	struct bench_rawuffd uffd;
	struct companion_shape shape;
	size_t page;
	size_t bytes; /* of each area */
	char *area[2];
	struct bench_pagemvio_range range[2][COMPANION_MAX_RANGES];
	bool stuck; /* a pass failed: pages are in both areas */
};

/* The device, and what the module says of itself: 0 or -errno. */
int companion_device_open(int *fd);
int companion_device_info(int fd, struct bench_pagemvio_info *info);

/* Maps the areas and gives the first its pages. 0 or -errno. */
int companion_case_begin(struct companion_case *c,
			 const struct companion_shape *shape);
void companion_case_end(struct companion_case *c);

/* Moves all ranges to the other area, or back. 0 or -errno. */
int companion_case_pass(struct companion_case *c, enum companion_way way,
			bool back);
/* System calls of a pass. */
size_t companion_case_calls(const struct companion_case *c,
			    enum companion_way way);

/* Whether each page is where it was at the beginning, unchanged. */
bool companion_case_intact(const struct companion_case *c);

#endif /* BENCH_COMPANION_CASE_H */
