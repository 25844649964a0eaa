/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The two things `pagemv top` does. Both return an exit status.
 */
#ifndef TOOLS_TOP_WATCH_H
#define TOOLS_TOP_WATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct top_options {
	pid_t pid; /* 0: all processes */
	uint64_t interval_ns;
	bool once;
	bool json;
};

int top_watch_process(const struct top_options *options);
int top_watch_all(const struct top_options *options);

#endif /* TOOLS_TOP_WATCH_H */
