/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The commands of pagemv(1). Each gets its own argc and argv, argv[0] being
 * "pagemv COMMAND", and returns the exit status of the process.
 */
#ifndef TOOLS_TOOL_H
#define TOOLS_TOOL_H

/* Exit statuses, as pagemv(1) documents them. */
enum tool_status {
	TOOL_OK = 0,
	TOOL_FALLBACK = 1, /* doctor: pages are copied, or mappings change */
	TOOL_FAILED = 1,   /* demo, bench, top: something went wrong */
	TOOL_USAGE = 2,
	TOOL_NOTHING = 3, /* the library cannot work here at all */
	TOOL_INTERRUPTED = 130
};

int tool_doctor(int argc, char **argv);
int tool_demo(int argc, char **argv);
int tool_bench(int argc, char **argv);
int tool_run(int argc, char **argv); /* statuses as of env(1) */
int tool_top(int argc, char **argv);

#endif /* TOOLS_TOOL_H */
