/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Programs of others as patterns of `pagemv bench malloc`.
 */
#ifndef BENCH_MALLOC_PROGRAM_H
#define BENCH_MALLOC_PROGRAM_H

#include "allocator.h"
#include "malloc_pattern.h"
#include "work.h"

/* Whether it is installed; else why tells what is to be installed. */
bool malloc_program_available(const struct malloc_pattern *pattern,
			      char why[160]);

/* 0 or -errno: -EINTR: Ctrl-C; why tells of all others. */
int malloc_program_run(const struct malloc_pattern *pattern,
		       enum bench_allocator allocator, struct bench_work *work,
		       char why[160]);

#endif /* BENCH_MALLOC_PROGRAM_H */
