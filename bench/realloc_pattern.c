// SPDX-License-Identifier: LGPL-2.1-or-later
#include "realloc_pattern.h"

#include <string.h>

#define EACH 4096u
#define SOME 65536u

const struct realloc_pattern realloc_patterns[REALLOC_PATTERNS] = {
	{ .name = "double-touched",
	  .summary = "twice as large each time",
	  .percent = 200,
	  .stride_bytes = EACH },
	{ .name = "double-sparse",
	  .summary = "the same, one page in 64 KiB written to",
	  .percent = 200,
	  .stride_bytes = SOME },
	{ .name = "1.1-touched",
	  .summary = "a tenth larger each time",
	  .percent = 110,
	  .stride_bytes = EACH },
	{ .name = "1.1-sparse",
	  .summary = "the same, one page in 64 KiB written to",
	  .percent = 110,
	  .stride_bytes = SOME },
	{ .name = "4k-touched",
	  .summary = "4 KiB larger each time",
	  .step_bytes = 4096,
	  .stride_bytes = EACH },
	{ .name = "4k-sparse",
	  .summary = "the same, one page in 64 KiB written to",
	  .step_bytes = 4096,
	  .stride_bytes = SOME },
	{ .name = "1m-touched",
	  .summary = "1 MiB larger each time",
	  .step_bytes = 1u << 20,
	  .stride_bytes = EACH },
	{ .name = "1m-sparse",
	  .summary = "the same, one page in 64 KiB written to",
	  .step_bytes = 1u << 20,
	  .stride_bytes = SOME },
	{ .name = "shrink-grow",
	  .summary = "doubles, then to half and back 4 times",
	  .percent = 200,
	  .stride_bytes = EACH,
	  .shrink = true },
	{ .name = "after-fork",
	  .summary = "the second half, while a child shares the first",
	  .step_bytes = 1u << 20,
	  .stride_bytes = EACH,
	  .fork = true,
	  .one_thread = true },
	{ .name = "neighbour",
	  .summary = "1 MiB larger each time, beside a thread that faults",
	  .step_bytes = 1u << 20,
	  .stride_bytes = EACH,
	  .neighbour = true,
	  .one_thread = true },
};

const struct realloc_pattern *realloc_pattern_find(const char *name)
{
	for (size_t i = 0; i < REALLOC_PATTERNS; i++)
		if (!strcmp(name, realloc_patterns[i].name))
			return &realloc_patterns[i];
	return NULL;
}

bool realloc_pattern_touched(const struct realloc_pattern *pattern)
{
	return pattern->stride_bytes == EACH;
}
