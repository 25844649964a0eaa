// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pagemv(1): finds the command and hands over to it.
 */
#include "tool.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pagemv/pagemv.h>

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
	{ "doctor", tool_doctor }, { "demo", tool_demo },
	{ "bench", tool_bench },   { "run", tool_run },
	{ "top", tool_top },
};

#define COMMANDS "doctor, demo, bench, run, top"

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_version(FILE *stream, struct argp_state *state)
{
	(void)state;
	fprintf(stream, "pagemv (libpagemv) %s\n", pagemv_version());
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (!strcmp(name, commands[i].name))
			return &commands[i];
	return NULL;
}

/* Runs the command with what follows its name. Does not return. */
static void run_command(struct argp_state *state, const char *name)
{
	const struct command *command = find_command(name);
	char **argv = state->argv + state->next - 1;
	char title[32];

	if (!command)
		argp_error(state,
			   "unknown command '%s' (there are: " COMMANDS ")",
			   name);
	snprintf(title, sizeof(title), "pagemv %s", command->name);
	argv[0] = title;
	exit(command->run(state->argc - state->next + 1, argv));
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case ARGP_KEY_ARG:
		run_command(state, arg);
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "no command given (there are: " COMMANDS ")");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		.parser = parse,
		.args_doc = "COMMAND [OPTION...]",
		.doc = "Moves memory pages without copying them.\v"
		       "Commands:\n"
		       "  doctor   what this kernel and process can do, and "
		       "why "
		       "not\n"
		       "  demo     moves a heap in every way that works here\n"
		       "  bench    measures moving pages, and faults on absent "
		       "ones\n"
		       "  run      runs a program with the library's allocator "
		       "for large\n"
		       "           blocks\n"
		       "  top      shows what that allocator does in running "
		       "programs\n\n"
		       "'pagemv COMMAND --help' tells the options of a "
		       "command.",
	};

	argp_program_version_hook = print_version;
	argp_err_exit_status = TOOL_USAGE;
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, NULL);
	return TOOL_OK;
}
