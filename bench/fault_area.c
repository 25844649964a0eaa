// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fault_area.h"
#include "samples.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define KEPT_PAGES 64 /* the block of the page that is kept, at most */
#define SEED	   7

/* What one page table of the lowest level maps. */
static size_t table_bytes(const struct fault_area *area)
{
	return area->page_bytes / sizeof(uint64_t) * area->page_bytes;
}

static size_t round_up(size_t value, size_t unit)
{
	return (value + unit - 1) / unit * unit;
}

static void prime(char *range, const struct fault_area *area)
{
	for (size_t off = 0; off < fault_area_bytes(area);
	     off += table_bytes(area))
		*(volatile char *)(range + off) = 1;
}

/* Both ranges, with room for their page tables between them. */
static int map(struct fault_area *area)
{
	size_t table = table_bytes(area);
	size_t stride = round_up(fault_area_bytes(area), table) + table;

	area->arena_bytes = 2 * stride + table;
	area->arena = mmap(NULL, area->arena_bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (area->arena == MAP_FAILED)
		return -errno;
	/* EINVAL: a kernel without huge pages, which is as good. */
	(void)madvise(area->arena, area->arena_bytes, MADV_NOHUGEPAGE);
	area->dst = (char *)round_up((uintptr_t)area->arena, table);
	area->src = area->dst + stride;
	prime(area->dst, area);
	prime(area->src, area);
	return 0;
}

/* The same order in each process. */
static int order(struct fault_area *area)
{
	size_t n = fault_area_bytes(area) / area->block_bytes;

	area->block = calloc(n, sizeof(*area->block));
	if (!area->block)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (i * area->block_bytes % table_bytes(area) >=
		    KEPT_PAGES * area->page_bytes)
			area->block[area->blocks++] = i;
	bench_random_seed(SEED);
	bench_shuffle(area->block, area->blocks);
	return 0;
}

int fault_area_open(struct fault_area *area, unsigned int around)
{
	size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	int rc;

	*area = (struct fault_area){
		.page_bytes = page_bytes,
		.block_bytes = around * page_bytes,
	};
	rc = map(area);
	return rc ? rc : order(area);
}

const size_t *fault_area_take(struct fault_area *area, size_t n)
{
	const size_t *block = area->block + area->used;

	if (n > area->blocks - area->used)
		return NULL;
	area->used += n;
	return block;
}

void fault_area_restart(struct fault_area *area)
{
	madvise(area->dst, fault_area_bytes(area), MADV_DONTNEED);
	prime(area->dst, area);
	area->used = 0;
}
