/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One block that grows and shrinks by realloc(), with a mark in each page that
 * is written to. Marks tell the block and the page, so that a page that was
 * lost, or came to a wrong place, is seen.
 */
#ifndef BENCH_WORKLOAD_BLOCK_H
#define BENCH_WORKLOAD_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct block {
	char *addr;
	size_t bytes;
	size_t stride_bytes; /* a page is written to in each */
	size_t marks;	     /* strides that are marked */
	uint64_t number;     /* of the block */
};

/* Both write to the pages that are new. False: no memory. */
bool block_begin(struct block *block, size_t bytes);
bool block_resize(struct block *block, size_t bytes);

/* Marks that are not what they should be. */
uint64_t block_wrong(const struct block *block);

void block_end(struct block *block);

#endif /* BENCH_WORKLOAD_BLOCK_H */
