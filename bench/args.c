// SPDX-License-Identifier: LGPL-2.1-or-later
#include "args.h"

#include <stdlib.h>
#include <string.h>

double bench_args_number(struct argp_state *state, const char *what,
			 const char *text)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value > 0) || value > 1e6)
		argp_error(state, "%s: '%s' is not a number above 0", what,
			   text);
	return value;
}

void bench_args_json(struct argp_state *state, struct bench_output *output,
		     const char *arg)
{
	output->json = true;
	if (!arg && state->next < state->argc &&
	    (state->argv[state->next][0] != '-' ||
	     !state->argv[state->next][1]))
		arg = state->argv[state->next++];
	output->json_path = arg && strcmp(arg, "-") ? arg : NULL;
}

void bench_args_list(struct argp_state *state, char *list,
		     void (*take)(struct argp_state *state, const char *word))
{
	char *rest = NULL;

	for (char *word = strtok_r(list, ",", &rest); word;
	     word = strtok_r(NULL, ",", &rest))
		take(state, word);
}
