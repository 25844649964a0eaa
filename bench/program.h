/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Programs that a bench runs under an allocator, each in a process of its own
 * that ends when the bench does.
 *
 * Returns are 0 or -errno: -EINTR: Ctrl-C.
 */
#ifndef BENCH_PROGRAM_H
#define BENCH_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "allocator.h"

#define BENCH_PROGRAM_TEXT 4096

struct bench_program {
	enum bench_allocator allocator;
	const char *argv[24]; /* NULL at the end; found in PATH */
	unsigned int patience_s;
};

struct bench_program_end {
	char text[BENCH_PROGRAM_TEXT]; /* what it wrote to standard output */
	char why[160];		       /* what went wrong, in words */
	uint64_t wall_ns;
	uint64_t cpu_ns;
};

/* Runs it to its end. -ECHILD: it failed, and end->why tells. */
int bench_program_run(const struct bench_program *program,
		      struct bench_program_end *end);

/* Starts it, its output thrown away, and ends it: where that takes longer than
 * its patience, by force. */
int bench_program_start(const struct bench_program *program, pid_t *pid,
			char why[160]);
int bench_program_finish(const struct bench_program *program, pid_t pid,
			 struct bench_program_end *end);
void bench_program_kill(pid_t pid);

/* Where it is in PATH. */
bool bench_program_available(const char *name);

#endif /* BENCH_PROGRAM_H */
