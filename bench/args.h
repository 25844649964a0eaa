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

/* --json[=FILE]; "--json FILE" is as good as "--json=FILE". */
void bench_args_json(struct argp_state *state, struct bench_output *output,
		     const char *arg);

/* Takes each word of "A,B,...", which is overwritten. */
void bench_args_list(struct argp_state *state, char *list,
		     void (*take)(struct argp_state *state, const char *word));

#endif /* BENCH_ARGS_H */
