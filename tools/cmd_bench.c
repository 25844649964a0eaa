// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pagemv bench: finds the bench and hands over to it.
 */
#include "args.h"
#include "bench.h"
#include "tool.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Runs the bench with what follows its name. Does not return. */
static void run_bench(struct argp_state *state, const char *name)
{
	const struct bench *bench = bench_find(name);
	char **argv = state->argv + state->next - 1;
	char title[64];

	if (!bench)
		argp_error(state, "unknown bench '%s' (see --help)", name);
	snprintf(title, sizeof(title), "pagemv bench %s", bench->name);
	argv[0] = title;
	exit(bench->run(state->argc - state->next + 1, argv));
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case ARGP_KEY_ARG:
		run_bench(state, arg);
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "no bench given (see --help)");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* The table of benches is the end of the help text. */
static void tell_benches(FILE *out)
{
	fputs("Benches:\n", out);
	for (size_t i = 0; i < bench_count; i++)
		fprintf(out, "  %-9s %s\n", bench_table[i].name,
			bench_table[i].summary);
	fputs("\n'pagemv bench BENCH --help' tells its options.", out);
}

static char *filter_help(int key, const char *text, void *input)
{
	(void)input;
	return bench_args_help(key, text, tell_benches);
}

int tool_bench(int argc, char **argv)
{
	static const struct argp argp = {
		.parser = parse,
		.args_doc = "BENCH [OPTION...]",
		.doc = "Measures the library and what it is compared with.\v ",
		.help_filter = filter_help,
	};

	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, NULL);
	return TOOL_OK;
}
