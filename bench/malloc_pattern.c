// SPDX-License-Identifier: LGPL-2.1-or-later
#include "malloc_pattern.h"

#include <string.h>

#define LOOP(text, bytes, n)                                           \
	{                                                              \
		.name = "loop-" text,                                  \
		.summary = "malloc and free of " text " bytes",        \
		.kind = MALLOC_LOOP, .threads = 1, .min_bytes = bytes, \
		.max_bytes = bytes, .ops = n                           \
	}

const struct malloc_pattern malloc_patterns[MALLOC_PATTERNS] = {
	LOOP("16", 16, 8000000),
	LOOP("64", 64, 8000000),
	LOOP("256", 256, 8000000),
	LOOP("1k", 1024, 8000000),
	LOOP("4k", 4096, 4000000),
	LOOP("16k", 16384, 4000000),
	LOOP("64k", 65536, 2000000),
	{ .name = "mixed",
	  .summary = "4096 blocks of 16 bytes to 32 KiB, replaced and resized",
	  .kind = MALLOC_MIXED,
	  .threads = 1,
	  .min_bytes = 16,
	  .max_bytes = 32768,
	  .ops = 1500000 },
	{ .name = "mixed-large",
	  .summary = "the same from 4 KiB to 2 MiB",
	  .kind = MALLOC_MIXED,
	  .threads = 1,
	  .min_bytes = 4096,
	  .max_bytes = 2097152,
	  .ops = 40000 },
	{ .name = "larson",
	  .summary = "4 threads that take over each other's blocks",
	  .kind = MALLOC_LARSON,
	  .threads = 4,
	  .min_bytes = 16,
	  .max_bytes = 1024,
	  .ops = 800000 },
	{ .name = "mstress",
	  .summary = "4 threads that exchange blocks, a few of them large",
	  .kind = MALLOC_MSTRESS,
	  .threads = 4,
	  .min_bytes = 16,
	  .max_bytes = 4096,
	  .ops = 400000 },
	{ .name = "redis",
	  .summary = "redis-server under redis-benchmark",
	  .kind = MALLOC_REDIS,
	  .threads = 1,
	  .ops = 100000 },
	{ .name = "python3",
	  .summary = "a script that allocates a lot",
	  .kind = MALLOC_PYTHON,
	  .threads = 1,
	  .ops = 40000 },
};

const struct malloc_pattern *malloc_pattern_find(const char *name)
{
	for (size_t i = 0; i < MALLOC_PATTERNS; i++)
		if (!strcmp(name, malloc_patterns[i].name))
			return &malloc_patterns[i];
	return NULL;
}
