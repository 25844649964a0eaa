/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The memory of one kind: pages that are touched once each, in random order,
 * and the range where their contents wait.
 *
 * It is as large for 10 regions as for 100000, and is touched in the same
 * order, so that only the number of regions differs. Page tables are there
 * before: the first page of what each of them maps is never thrown away, and
 * never touched.
 */
#ifndef BENCH_FAULT_AREA_H
#define BENCH_FAULT_AREA_H

#include <stddef.h>
#include <stdint.h>

/* Equal parts, of whole blocks of pages, for each number of regions. */
#define FAULT_AREA_PAGES 400000

struct fault_area {
	char *dst; /* where pages are missed */
	char *src; /* where they come from */
	size_t page_bytes;
	size_t block_bytes; /* pages that come by one fault */
	size_t *block;	    /* numbers of blocks in random order */
	size_t blocks;
	size_t used; /* of them */
	void *arena;
	size_t arena_bytes;
};

/* 0 or -errno. */
int fault_area_open(struct fault_area *area, unsigned int around);

/* The next n blocks to be touched, or NULL: there are not so many left. */
const size_t *fault_area_take(struct fault_area *area, size_t n);

/* Throws away what is at dst and begins anew. */
void fault_area_restart(struct fault_area *area);

/* The first page of a block in dst and in src. */
static inline char *fault_area_dst(const struct fault_area *area, size_t block)
{
	return area->dst + block * area->block_bytes;
}

static inline char *fault_area_src(const struct fault_area *area, size_t block)
{
	return area->src + block * area->block_bytes;
}

static inline size_t fault_area_bytes(const struct fault_area *area)
{
	return FAULT_AREA_PAGES * area->page_bytes;
}

#endif /* BENCH_FAULT_AREA_H */
