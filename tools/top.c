// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pagemv top: the command line.
 */
#include "tool.h"
#include "top.h"
#include "top_watch.h"

#include <argp.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>

enum key { KEY_ONCE = 256, KEY_JSON, KEY_INTERVAL = 'i' };

static uint64_t parse_interval(struct argp_state *state, const char *text)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !(seconds >= 0.1 && seconds <= 86400))
		argp_error(state, "--interval=%s: it is seconds, 0.1 to 86400",
			   text);
	return (uint64_t)llround(seconds * 1e9);
}

static pid_t parse_pid(struct argp_state *state, const char *text)
{
	char *end;
	long pid;

	errno = 0;
	pid = strtol(text, &end, 10);
	if (end == text || *end || errno || pid <= 0 || pid > 1 << 30)
		argp_error(state, "%s is not the number of a process", text);
	return (pid_t)pid;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct top_options *options = state->input;

	switch (key) {
	case KEY_ONCE:
		options->once = true;
		return 0;
	case KEY_JSON:
		options->json = true;
		return 0;
	case KEY_INTERVAL:
		options->interval_ns = parse_interval(state, arg);
		return 0;
	case ARGP_KEY_ARG:
		if (options->pid)
			argp_error(state, "one PID at most");
		options->pid = parse_pid(state, arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int tool_top(int argc, char **argv)
{
	static const struct argp_option argp_options[] = {
		{ "once", KEY_ONCE, NULL, 0, "Tell the state now, and end", 0 },
		{ "json", KEY_JSON, NULL, 0,
		  "Tell it as JSON, an object each time", 0 },
		{ "interval", KEY_INTERVAL, "SECONDS", 0,
		  "How often to look (default 1)", 0 },
		{ 0 },
	};
	static const struct argp argp = {
		.options = argp_options,
		.parser = parse,
		.args_doc = "[PID]",
		.doc = "Shows what libpagemv's allocator does in process PID, "
		       "or in all processes that 'pagemv run' started.\v"
		       "On a terminal, q or Ctrl-C ends it.",
	};
	struct top_options options = { .interval_ns = 1000000000 };

	argp_parse(&argp, argc, argv, 0, NULL, &options);
	return options.pid ? top_watch_process(&options)
			   : top_watch_all(&options);
}
