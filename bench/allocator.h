/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The allocators that programs are run under: what is preloaded for each.
 */
#ifndef BENCH_ALLOCATOR_H
#define BENCH_ALLOCATOR_H

#include <stdbool.h>
#include <stddef.h>

/* The order of rows and columns. */
enum bench_allocator {
	BENCH_GLIBC,
	BENCH_JEMALLOC,
	BENCH_MIMALLOC,
	BENCH_TCMALLOC,
	BENCH_PAGEMV_GLIBC, /* the shim, over the next */
	BENCH_PAGEMV_JEMALLOC,
	BENCH_ALLOCATORS
};

#define BENCH_ALLOCATOR_BIT(id) (1u << (id))
#define BENCH_ALL_ALLOCATORS	(BENCH_ALLOCATOR_BIT(BENCH_ALLOCATORS) - 1)

const char *bench_allocator_name(enum bench_allocator id);

/* The allocator of that name, or BENCH_ALLOCATORS. */
enum bench_allocator bench_allocator_find(const char *name);

/* Whether it is ours; the one below it then. */
bool bench_allocator_is_shim(enum bench_allocator id);
enum bench_allocator bench_allocator_below(enum bench_allocator id);

/* Debian's package of it, for people who lack it; NULL: there is none. */
const char *bench_allocator_package(enum bench_allocator id);

/* The files that are to be loaded, and NULL: names to look for. */
const char *const *bench_allocator_files(enum bench_allocator id);

/* LD_PRELOAD's value. False: a path is too long, or the shim is nowhere. */
bool bench_allocator_preload(enum bench_allocator id, char *value, size_t cap);

#endif /* BENCH_ALLOCATOR_H */
