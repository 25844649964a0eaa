// SPDX-License-Identifier: LGPL-2.1-or-later
#include "block.h"

#include <stdlib.h>

#define PAGE 4096u

static uint64_t mark(const struct block *block, size_t i)
{
	return (i + 1) * 0x9e3779b97f4a7c15u ^ block->number << 56;
}

static uint64_t *place(const struct block *block, size_t i)
{
	return (uint64_t *)(void *)(block->addr + i * block->stride_bytes);
}

/* How many strides have their whole page in the block. */
static size_t strides(const struct block *block)
{
	if (block->bytes < PAGE)
		return 0;
	return (block->bytes - PAGE) / block->stride_bytes + 1;
}

/* A page that is marked has been touched: that is what takes time. */
static void mark_new(struct block *block)
{
	size_t n = strides(block);

	for (size_t i = block->marks; i < n; i++)
		*place(block, i) = mark(block, i);
	block->marks = n;
}

bool block_begin(struct block *block, size_t bytes)
{
	block->addr = malloc(bytes);
	block->bytes = bytes;
	block->marks = 0;
	if (!block->addr)
		return false;
	mark_new(block);
	return true;
}

bool block_resize(struct block *block, size_t bytes)
{
	char *addr = realloc(block->addr, bytes);

	if (!addr)
		return false;
	block->addr = addr;
	block->bytes = bytes;
	mark_new(block);
	return true;
}

uint64_t block_wrong(const struct block *block)
{
	uint64_t wrong = 0;

	for (size_t i = 0; i < block->marks; i++)
		wrong += *place(block, i) != mark(block, i);
	return wrong;
}

void block_end(struct block *block)
{
	free(block->addr);
	block->addr = NULL;
}
