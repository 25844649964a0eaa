/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the options of several benches have in common.
 */
#ifndef BENCH_ARGS_H
#define BENCH_ARGS_H

#include <argp.h>

#include "output.h"

/* A number above 0, or a usage error. */
double bench_args_number(struct argp_state *state, const char *what,
			 const char *text);

/* Keys of the options that all benches have; theirs begin at OWN. */
enum bench_key {
	BENCH_KEY_JSON = 256,
	BENCH_KEY_PLOT,
	BENCH_KEY_QUICK,
	BENCH_KEY_OWN
};

/* Two of them. What --quick leaves out is told by each bench. */
#define BENCH_ARGS_OUTPUT                                      \
	{ "json",                                              \
	  BENCH_KEY_JSON,                                      \
	  "FILE",                                              \
	  OPTION_ARG_OPTIONAL,                                 \
	  "Results as JSON, to FILE or instead of the tables", \
	  0 },                                                 \
	{                                                      \
		"plot", BENCH_KEY_PLOT, "FILE.svg", 0,         \
			"Draw the results (needs gnuplot)", 0  \
	}

/* Takes them; "--json FILE" is as good as "--json=FILE". ARGP_ERR_UNKNOWN: it
 * is none of them. */
error_t bench_args_common(struct argp_state *state, int key, const char *arg,
			  struct bench_output *output, bool *quick);

/* The help of key, whose last text is what tell() writes: a help_filter. */
char *bench_args_help(int key, const char *text, void (*tell)(FILE *out));

/* Takes each word of "A,B,...", which is overwritten. */
void bench_args_list(struct argp_state *state, char *list,
		     void (*take)(struct argp_state *state, const char *word));

/* The end of the help of a bench that compares allocators. */
void bench_args_tell_allocators(FILE *out);

/* The BENCH_ALLOCATOR_BIT() of a name, or a usage error. */
unsigned int bench_args_allocator(struct argp_state *state, const char *name);

#endif /* BENCH_ARGS_H */
