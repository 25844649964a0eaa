// SPDX-License-Identifier: LGPL-2.1-or-later
#include "work.h"
#include "interrupt.h"
#include "program.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NAME	  "pagemv-workload"
#define CHECK_S	  30
#define MAX_WORDS 4

static char program_path[4096];

/* dir without its last tail, then rest. */
static bool try_beside(const char *dir, const char *tail, const char *rest)
{
	size_t dir_len = strlen(dir), len = strlen(tail);

	if (dir_len < len || strcmp(dir + dir_len - len, tail))
		return false;
	snprintf(program_path, sizeof(program_path), "%.*s%s/%s",
		 (int)(dir_len - len), dir, rest, NAME);
	return !access(program_path, X_OK);
}

const char *bench_work_find(void)
{
	char dir[2048];
	ssize_t len = readlink("/proc/self/exe", dir, sizeof(dir) - 1);
	char *slash;

	dir[len > 0 ? len : 0] = '\0';
	slash = strrchr(dir, '/');
	if (slash)
		*slash = '\0';
	/* Not installed yet: as libtool builds. */
	if (try_beside(dir, "/tools/.libs", "/bench") ||
	    /* Installed, and perhaps elsewhere than it was configured for. */
	    try_beside(dir, TOOLS_BINDIR, BENCH_LIBEXECDIR))
		return NULL;
	snprintf(program_path, sizeof(program_path), "%s/%s", BENCH_LIBEXECDIR,
		 NAME);
	return access(program_path, X_OK) ? program_path : NULL;
}

/* Whether it starts under that allocator. */
static void check(enum bench_allocator allocator, char why[160])
{
	const char *const *file = bench_allocator_files(allocator);
	struct bench_program program = {
		.allocator = allocator,
		.argv = { program_path, "check", file[0], file[1] },
		.patience_s = CHECK_S,
	};
	const char *package = bench_allocator_package(allocator);
	struct bench_program_end end;
	int rc = bench_program_run(&program, &end);

	if (rc != -ECHILD || !package || !strstr(end.why, "not loaded"))
		snprintf(why, 160, "%.159s", end.why);
	else
		snprintf(why, 160, "%.100s (Debian: apt install %s)", end.why,
			 package);
}

void bench_work_check_all(unsigned int allocators,
			  char why[BENCH_ALLOCATORS][160])
{
	for (unsigned int id = 0; id < BENCH_ALLOCATORS; id++)
		if (allocators & BENCH_ALLOCATOR_BIT(id) &&
		    !bench_interrupted())
			check(id, why[id]);
}

void bench_work_tell_missing(const char why[BENCH_ALLOCATORS][160],
			     const char **title, FILE *out)
{
	for (unsigned int id = 0; id < BENCH_ALLOCATORS; id++) {
		if (!why[id][0])
			continue;
		fprintf(out, "%s%s: %s\n", *title, bench_allocator_name(id),
			why[id]);
		*title = "";
	}
}

static bool parse(const char *text, struct bench_work *work, uint64_t *wrong)
{
	uint64_t wall_ns, cpu_ns, peak_kib;
	int gave_up;
	int n = sscanf(text,
		       "ops %" SCNu64 " wall_ns %" SCNu64 " cpu_ns %" SCNu64
		       " bytes %" SCNu64 " peak_kib %" SCNu64 " mappings %ld"
		       " late_mappings %ld wrong %" SCNu64 " gave_up %d",
		       &work->ops, &wall_ns, &cpu_ns, &work->bytes, &peak_kib,
		       &work->mappings, &work->late_mappings, wrong, &gave_up);

	if (n != 9)
		return false;
	work->seconds = (double)wall_ns / 1e9;
	work->cpu_seconds = (double)cpu_ns / 1e9;
	work->peak_rss_mib = (double)peak_kib / 1024;
	work->gave_up = gave_up;
	return true;
}

int bench_work_run(enum bench_allocator allocator, const char *workload,
		   const char *const *words, unsigned int patience_s,
		   struct bench_work *work, char why[160])
{
	struct bench_program program = {
		.allocator = allocator,
		.argv = { program_path, workload },
		.patience_s = patience_s,
	};
	struct bench_program_end end;
	uint64_t wrong = 0;
	int rc;

	for (int i = 0; i < MAX_WORDS && words[i]; i++)
		program.argv[2 + i] = words[i];
	rc = bench_program_run(&program, &end);
	snprintf(why, 160, "%.159s", rc ? end.why : "");
	if (rc)
		return rc;
	if (!parse(end.text, work, &wrong)) {
		snprintf(why, 160, "it told nothing");
		return -ECHILD;
	}
	if (!wrong)
		return 0;
	snprintf(why, 160, "LOST OR CHANGED %" PRIu64 " pages", wrong);
	return -EIO;
}
