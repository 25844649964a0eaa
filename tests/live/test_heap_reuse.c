/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a block leaves behind in its place: nothing, neither for the next one
 * nor in the list of mappings.
 */
#include "heaps.h"

#include <stdio.h>

#define KIB    ((size_t)1 << 10)
#define BLOCKS 70

/* How many bytes are not 0. */
static size_t not_zero(const unsigned char *at, size_t bytes)
{
	size_t n = 0;

	for (size_t i = 0; i < bytes; i++)
		n += at[i] != 0;
	return n;
}

/* A block that begins at the start of its slot, full, and freed. */
static void leave_data(struct t_heap *h)
{
	void *at = NULL;

	cr_assert(pagemv_heap_aligned_alloc(h->heap, 64 * KIB, 512 * KIB, 0,
					    &at) == 0);
	memset(at, 0xaa, 512 * KIB);
	t_heap_free(h, at);
}

/* The next one in that slot begins a few pages later, and leaves by a move:
 * what is before it is old data still. */
Test(heap_reuse, zeros_where_a_block_moved_out)
{
	struct t_heap h;

	t_heaps(&h, NULL);
	while (t_next_heap(&h)) {
		char *first = t_heap_alloc(&h, MIB), *at;
		void *zeros[BLOCKS];

		leave_data(&h);
		at = t_heap_alloc(&h, MIB);
		memset(at, 0xbb, MIB);
		at = t_heap_resize(&h, at, 1200 * KIB, PAGEMV_ALLOC_MOVE, NULL);
		for (size_t i = 0; i < BLOCKS; i++) {
			int r = pagemv_heap_aligned_alloc(
				h.heap, 64 * KIB, 512 * KIB, PAGEMV_ALLOC_ZERO,
				&zeros[i]);

			cr_assert(r == 0, "[%s] aligned_alloc: %d", h.name, r);
			T_EXPECT(&h, not_zero(zeros[i], 512 * KIB) == 0,
				 "block %zu has old data", i);
		}
		for (size_t i = 0; i < BLOCKS; i++)
			t_heap_free(&h, zeros[i]);
		t_heap_free(&h, at);
		t_heap_free(&h, first);
	}
}

/* Mappings in [low, high) that are advised to have huge pages. */
static int advised(uintptr_t low, uintptr_t high)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long start = 0, end = 0, a, b;
	char line[512];
	int n = 0;

	cr_assert(f != NULL);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &a, &b) == 2) {
			start = a;
			end = b;
		} else if (strncmp(line, "VmFlags:", 8) == 0 && start < high &&
			   end > low && strstr(line, " hg")) {
			n++;
		}
	}
	fclose(f);
	return n;
}

Test(heap_reuse, no_advice_is_left_behind)
{
	const struct pagemv_heap_opts o = { .size = sizeof(o),
					    .huge = PAGEMV_HEAP_HUGE_ALWAYS,
					    .warm_bytes = 1 };
	struct t_heap h;
	int seen = 0;

	t_heaps(&h, &o);
	while (t_next_heap(&h)) {
		const struct pagemv_heap_bounds *b = pagemv_heap_bounds(h.heap);
		char *at = t_heap_alloc(&h, 8 * MIB);

		memset(at, 1, 8 * MIB);
		seen += advised(b->low, b->high);
		t_heap_free(&h, at);
		T_EXPECT(&h, advised(b->low, b->high) == 0,
			 "%d mappings are advised, and no block is there",
			 advised(b->low, b->high));
	}
	if (!seen)
		cr_skip("no huge pages");
}
