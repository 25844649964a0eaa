// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bench.h"

#include <string.h>

const struct bench bench_table[] = {
	{ "move", "every way of moving memory, by size", bench_move },
	{ "fault", "what an access to an absent page costs", bench_fault },
	{ "realloc", "growing blocks, under several allocators",
	  bench_realloc },
	{ "malloc", "what the shim costs where it is of no use", bench_malloc },
	{ "companion", "the companion module against UFFDIO_MOVE",
	  bench_companion },
	{ "gc", "a compacting collector on the library", bench_gc },
};

const size_t bench_count = sizeof(bench_table) / sizeof(bench_table[0]);

const struct bench *bench_find(const char *name)
{
	for (size_t i = 0; i < bench_count; i++)
		if (!strcmp(name, bench_table[i].name))
			return &bench_table[i];
	return NULL;
}
