// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pagemv-workload: finds the workload, runs it, tells how it went.
 *
 *	check NAME...	whether files of these names are mapped
 *	grow ...	see grow.c
 *	churn ...	see churn.c
 */
#include "self.h"
#include "workload.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t workload_now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t workload_cpu_ns(void)
{
	return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

uint64_t workload_thread_cpu_ns(void)
{
	return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

/* xorshift64 */
uint64_t workload_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static const char *check(char *const *args, struct workload_report *report)
{
	static char why[160];

	(void)report;
	for (; *args; args++)
		if (!self_maps_file(*args)) {
			snprintf(why, sizeof(why), "%s was not loaded", *args);
			return why;
		}
	return NULL;
}

/* bench/program.c reads it. */
static void tell(const struct workload_report *report)
{
	char line[400];
	int n = snprintf(line, sizeof(line),
			 "ops %" PRIu64 " wall_ns %" PRIu64 " cpu_ns %" PRIu64
			 " bytes %" PRIu64 " peak_kib %" PRIu64
			 " mappings %" PRId64 " late_mappings %" PRId64
			 " wrong %" PRIu64 " gave_up %d\n",
			 report->ops, report->wall_ns, report->cpu_ns,
			 report->bytes, report->peak_kib, report->mappings,
			 report->late_mappings, report->wrong, report->gave_up);

	/* If nobody reads it, nobody misses it. */
	(void)!write(STDOUT_FILENO, line, (size_t)n);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		const char *(*run)(char *const *args,
				   struct workload_report *report);
	} workloads[] = {
		{ "check", check },
		{ "grow", workload_grow },
		{ "churn", workload_churn },
	};
	struct workload_report report = { 0 };
	const char *why = "see pagemv bench realloc, pagemv bench malloc";

	for (size_t i = 0; argc > 1 && i < 3; i++)
		if (!strcmp(argv[1], workloads[i].name))
			why = workloads[i].run(argv + 2, &report);
	if (why) {
		(void)!write(STDERR_FILENO, why, strlen(why));
		(void)!write(STDERR_FILENO, "\n", 1);
		return 1;
	}
	tell(&report);
	return 0;
}
