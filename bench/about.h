/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The circumstances of a run, which belong to its figures.
 */
#ifndef BENCH_ABOUT_H
#define BENCH_ABOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct bench_about {
	char command[256];
	char date[32];
	char kernel[72];
	char cpu[80];
	double seconds; /* that measuring took */
	bool interrupted;
	char (*note)[200];
	size_t notes;
};

/* Before argp, which sorts argv. */
void bench_about_init(struct bench_about *about, int argc, char **argv);
void bench_about_free(struct bench_about *about);

/* A sentence without its full stop. Is lost when memory is short. */
void bench_about_note(struct bench_about *about, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The first lines of what people read. */
void bench_about_print(const struct bench_about *about, FILE *out);

#endif /* BENCH_ABOUT_H */
