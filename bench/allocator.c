// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocator.h"
#include "run.h"

#include <stdio.h>
#include <string.h>

/*
 * The C library is preloaded, too: redis-server is linked with jemalloc, and
 * would use that otherwise.
 */
static const struct {
	const char *name;
	const char *package;
	const char *library; /* of the allocator, or of the one below it */
	const char *file[3];
} allocators[BENCH_ALLOCATORS] = {
	[BENCH_GLIBC] = { "glibc", NULL, "libc.so.6", { "libc.so.6" } },
	[BENCH_JEMALLOC] = { "jemalloc",
			     "libjemalloc2",
			     "libjemalloc.so.2",
			     { "libjemalloc.so.2" } },
	[BENCH_MIMALLOC] = { "mimalloc",
			     "libmimalloc2.0",
			     "libmimalloc.so.2",
			     { "libmimalloc.so.2" } },
	[BENCH_TCMALLOC] = { "tcmalloc",
			     "libtcmalloc-minimal4",
			     "libtcmalloc_minimal.so.4",
			     { "libtcmalloc_minimal.so.4" } },
	[BENCH_PAGEMV_GLIBC] = { "pagemv+glibc",
				 NULL,
				 "libc.so.6",
				 { RUN_SHIM, "libc.so.6" } },
	[BENCH_PAGEMV_JEMALLOC] = { "pagemv+jemalloc",
				    "libjemalloc2",
				    "libjemalloc.so.2",
				    { RUN_SHIM, "libjemalloc.so.2" } },
};

const char *bench_allocator_name(enum bench_allocator id)
{
	return allocators[id].name;
}

enum bench_allocator bench_allocator_find(const char *name)
{
	enum bench_allocator id = 0;

	while (id < BENCH_ALLOCATORS && strcmp(name, allocators[id].name))
		id++;
	return id;
}

bool bench_allocator_is_shim(enum bench_allocator id)
{
	return id == BENCH_PAGEMV_GLIBC || id == BENCH_PAGEMV_JEMALLOC;
}

enum bench_allocator bench_allocator_below(enum bench_allocator id)
{
	return id == BENCH_PAGEMV_GLIBC	     ? BENCH_GLIBC
	       : id == BENCH_PAGEMV_JEMALLOC ? BENCH_JEMALLOC
					     : id;
}

const char *bench_allocator_package(enum bench_allocator id)
{
	return allocators[id].package;
}

const char *const *bench_allocator_files(enum bench_allocator id)
{
	return allocators[id].file;
}

bool bench_allocator_preload(enum bench_allocator id, char *value, size_t cap)
{
	const char *library = allocators[id].library;
	char shim[PATH_MAX];
	int n;

	if (!bench_allocator_is_shim(id))
		n = snprintf(value, cap, "%s", library);
	else if (!run_find_shim(shim, sizeof(shim)))
		n = snprintf(value, cap, "%s:%s", shim, library);
	else
		return false;
	return n > 0 && (size_t)n < cap;
}
