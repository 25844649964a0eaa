// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocator.h"
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

static void take_json(struct argp_state *state, struct bench_output *output,
		      const char *arg)
{
	output->json = true;
	if (!arg && state->next < state->argc &&
	    (state->argv[state->next][0] != '-' ||
	     !state->argv[state->next][1]))
		arg = state->argv[state->next++];
	output->json_path = arg && strcmp(arg, "-") ? arg : NULL;
}

error_t bench_args_common(struct argp_state *state, int key, const char *arg,
			  struct bench_output *output, bool *quick)
{
	switch (key) {
	case BENCH_KEY_JSON:
		take_json(state, output, arg);
		return 0;
	case BENCH_KEY_PLOT:
		output->plot_path = arg;
		return 0;
	case BENCH_KEY_QUICK:
		*quick = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

char *bench_args_help(int key, const char *text, void (*tell)(FILE *out))
{
	char *help = NULL;
	size_t len;
	FILE *out;

	if (key != ARGP_KEY_HELP_POST_DOC)
		return (char *)text;
	out = open_memstream(&help, &len);
	if (!out)
		return (char *)text;
	tell(out);
	fclose(out);
	return help;
}

void bench_args_list(struct argp_state *state, char *list,
		     void (*take)(struct argp_state *state, const char *word))
{
	char *rest = NULL;

	for (char *word = strtok_r(list, ",", &rest); word;
	     word = strtok_r(NULL, ",", &rest))
		take(state, word);
}

void bench_args_tell_allocators(FILE *out)
{
	fputs("\nAllocators:", out);
	for (unsigned int id = 0; id < BENCH_ALLOCATORS; id++)
		fprintf(out, "%s %s", id ? "," : "", bench_allocator_name(id));
	fputs("\n\nMachines are noisy: compare figures of one run only. Ctrl-C "
	      "leaves what is measured.",
	      out);
}

unsigned int bench_args_allocator(struct argp_state *state, const char *name)
{
	enum bench_allocator id = bench_allocator_find(name);

	if (id == BENCH_ALLOCATORS)
		argp_error(state, "unknown allocator '%s'", name);
	return BENCH_ALLOCATOR_BIT(id);
}
