// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pair.h"
#include "kernel_abi.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define GIB (1ull << 30)

static size_t round_up(size_t value, size_t unit)
{
	return (value + unit - 1) / unit * unit;
}

int bench_pair_reserve(struct bench_pair *pair, size_t len_bytes,
		       size_t huge_bytes, bool thp)
{
	/* A huge page of nothing between the sides keeps them apart. */
	size_t stride = round_up(len_bytes, huge_bytes) + huge_bytes;
	uintptr_t start;

	if (stride % GIB == 0)
		stride += huge_bytes;
	*pair = (struct bench_pair){
		.len_bytes = len_bytes,
		.page_bytes = (size_t)sysconf(_SC_PAGESIZE),
		.huge_bytes = huge_bytes,
		.thp = thp,
		.arena_bytes = 2 * stride + huge_bytes,
	};
	pair->arena = mmap(NULL, pair->arena_bytes, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (pair->arena == MAP_FAILED) {
		pair->arena = NULL;
		return -errno;
	}
	start = round_up((uintptr_t)pair->arena, huge_bytes);
	pair->side[0] = (char *)start;
	pair->side[1] = (char *)start + stride;
	return 0;
}

int bench_pair_map(struct bench_pair *pair)
{
	int advice = pair->thp ? MADV_HUGEPAGE : MADV_NOHUGEPAGE;

	for (int i = 0; i < 2; i++) {
		void *addr = mmap(
			pair->side[i], pair->len_bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

		if (addr == MAP_FAILED)
			return -errno;
		/* EINVAL: a kernel without huge pages, which is as good. */
		if (madvise(addr, pair->len_bytes, advice) && pair->thp)
			return -errno;
	}
	pair->at = 0;
	return 0;
}

void bench_page_write(void *addr, size_t page_bytes, uint32_t number,
		      uint32_t version)
{
	uint64_t mark = (uint64_t)version << 32 | number;
	uint64_t *word = addr;

	word[0] = mark;
	word[page_bytes / sizeof(*word) - 1] = ~mark;
}

bool bench_page_read(const void *addr, size_t page_bytes, uint32_t *number,
		     uint32_t *version)
{
	const uint64_t *word = addr;
	uint64_t mark = word[0];

	*number = (uint32_t)mark;
	*version = (uint32_t)(mark >> 32);
	return word[page_bytes / sizeof(*word) - 1] == ~mark;
}

void bench_pair_fill(struct bench_pair *pair, unsigned int side, size_t off,
		     size_t len_bytes, uint32_t version)
{
	size_t page = pair->page_bytes;

	for (size_t end = off + len_bytes; off < end; off += page)
		bench_page_write(pair->side[side] + off, page,
				 (uint32_t)(off / page), version);
}

size_t bench_pair_verify(const struct bench_pair *pair, uint32_t version,
			 size_t *first)
{
	const char *base = pair->side[pair->at];
	size_t page = pair->page_bytes;
	size_t bad = 0;

	for (size_t i = 0; i < pair->len_bytes / page; i++) {
		uint32_t number, found;

		if (bench_page_read(base + i * page, page, &number, &found) &&
		    number == i && found == version)
			continue;
		if (!bad++)
			*first = i;
	}
	return bad;
}

/* Linux 6.7 and later. Returns false where the kernel cannot tell. */
static bool scan_huge(uintptr_t start, uintptr_t end, size_t *huge_bytes)
{
	struct bench_page_region region[32];
	struct bench_pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = start,
		.end = end,
		.vec = (uintptr_t)region,
		.vec_len = sizeof(region) / sizeof(region[0]),
		.category_mask = BENCH_PAGE_IS_HUGE,
		.return_mask = BENCH_PAGE_IS_HUGE,
	};
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	int n = -1;

	*huge_bytes = 0;
	while (fd >= 0 && arg.start < end) {
		n = ioctl(fd, BENCH_PAGEMAP_SCAN, &arg);
		if (n < 0)
			break;
		for (int i = 0; i < n; i++)
			*huge_bytes += region[i].end - region[i].start;
		arg.start = arg.walk_end;
	}
	if (fd >= 0)
		close(fd);
	return n >= 0;
}

/* Any kernel. The sides are mappings of their own, so whole ones count. */
static size_t smaps_huge(uintptr_t start, uintptr_t end)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	unsigned long lo, hi, kib;
	bool inside = false;
	size_t bytes = 0;
	char line[512];

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx ", &lo, &hi) == 2)
			inside = lo >= start && hi <= end;
		else if (inside &&
			 sscanf(line, "AnonHugePages: %lu", &kib) == 1)
			bytes += (size_t)kib << 10;
	}
	if (file)
		fclose(file);
	return bytes;
}

size_t bench_pair_huge_bytes(const struct bench_pair *pair, unsigned int side)
{
	uintptr_t start = (uintptr_t)pair->side[side];
	size_t bytes;

	if (scan_huge(start, start + pair->len_bytes, &bytes))
		return bytes;
	return smaps_huge(start, start + pair->len_bytes);
}

void bench_pair_release(struct bench_pair *pair)
{
	if (pair->arena)
		munmap(pair->arena, pair->arena_bytes);
	*pair = (struct bench_pair){ 0 };
}
