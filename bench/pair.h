/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two ranges of the same length, between which memory is moved back and
 * forth. Both start at a huge page, so that they agree modulo its size, but
 * not modulo 1 GiB; they never are one mapping. Each page that is filled
 * carries its number, so that what arrives can be told from what should.
 *
 * Returns are 0 or -errno.
 */
#ifndef BENCH_PAIR_H
#define BENCH_PAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench_pair {
	char *side[2];
	size_t len_bytes;
	size_t page_bytes;
	size_t huge_bytes;
	bool thp;	 /* MADV_HUGEPAGE, else MADV_NOHUGEPAGE */
	unsigned int at; /* the side where the memory is */
	char *arena;
	size_t arena_bytes;
};

/* Reserves address space for len_bytes (whole pages) at each side. */
int bench_pair_reserve(struct bench_pair *pair, size_t len_bytes,
		       size_t huge_bytes, bool thp);

/*
 * Maps both sides anew and empty, without page tables even: whatever was
 * there is gone. The memory is at side 0 when it is filled.
 */
int bench_pair_map(struct bench_pair *pair);

/* Numbers the pages [off, off + len) of a side with version. */
void bench_pair_fill(struct bench_pair *pair, unsigned int side, size_t off,
		     size_t len_bytes, uint32_t version);

/*
 * Looks at each page of the side where the memory is. Returns the number of
 * pages that are not what they should be; *first: the first of them.
 */
size_t bench_pair_verify(const struct bench_pair *pair, uint32_t version,
			 size_t *first);

/* Bytes of a side that huge pages back. */
size_t bench_pair_huge_bytes(const struct bench_pair *pair, unsigned int side);

void bench_pair_release(struct bench_pair *pair);

/* The number of the page at addr and its version, or false: not numbered. */
bool bench_page_read(const void *addr, size_t page_bytes, uint32_t *number,
		     uint32_t *version);
void bench_page_write(void *addr, size_t page_bytes, uint32_t number,
		      uint32_t version);

#endif /* BENCH_PAIR_H */
