/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pagemv demo: one heap, moved by one mechanism after the other. demo.c says
 * what is shown, demo_heap.c moves and verifies.
 */
#ifndef TOOLS_DEMO_H
#define TOOLS_DEMO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pagemv/pagemv.h>

#include "pair.h"
#include "samples.h"

/* One way of moving the heap, and what came of it. */
struct demo_way {
	const char *name;
	enum pagemv_mechanism mechanism;
	uint32_t flags;	 /* PAGEMV_MOVE_* */
	bool by_library; /* else memcpy + MADV_DONTNEED */
	bool huge;

	const char *lacking; /* why it cannot be shown, or NULL */
	double page_ns;
	size_t moved_pages;
	size_t copied_pages;
	size_t left_pages;
	size_t mappings_before;
	size_t mappings_after;
	size_t wrong_pages; /* lost, doubled or changed */
	enum pagemv_reason left_reason;
};

struct demo_heap {
	struct pagemv *pv;
	struct bench_pair pair;
	struct pagemv_region *region[2];
	size_t run_bytes; /* the heap is moved in runs of so many */
	size_t runs;
	size_t *content; /* which run lies at place i now */
	size_t *next;	 /* and after this round */
	size_t *to;	 /* where the run at place i goes */
	size_t *order;
	struct bench_samples samples;
};

/* The size of the runs: that of a huge page, unless it is unwieldy. */
size_t demo_run_bytes(size_t huge_bytes);

/* 0 or -errno; demo_heap_close() is right after an error, too. */
int demo_heap_open(struct demo_heap *heap, struct pagemv *pv, size_t len_bytes,
		   size_t huge_bytes, bool huge);
void demo_heap_close(struct demo_heap *heap);

/*
 * Moves the whole heap to the other side, its runs in random order to random
 * places, and verifies it. Adds up in way. False: not all went well.
 */
bool demo_heap_round(struct demo_heap *heap, struct demo_way *way,
		     uint32_t version);

#endif /* TOOLS_DEMO_H */
