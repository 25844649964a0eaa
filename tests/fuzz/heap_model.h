/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a heap should hold, kept beside it: each block with its size and what
 * was written to it. Every page that is written says whose it is, which version
 * of it, and where in the block it belongs; so do a block's last bytes.
 *
 * A check returns NULL, or what is wrong (static).
 */
#ifndef TESTS_FUZZ_HEAP_MODEL_H
#define TESTS_FUZZ_HEAP_MODEL_H

#include <pagemv/pagemv.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "marks.h"

#define MODEL_HEAPS  2
#define MODEL_BLOCKS 48
#define MODEL_FREED  16

struct model_block {
	struct t_marked mem; /* at NULL: there is none */
	size_t align;	     /* asked for; 1 if not */
	unsigned int heap;
};

struct model {
	struct pagemv *pv;
	struct pagemv_heap *heap[MODEL_HEAPS];
	struct model_block block[MODEL_BLOCKS];
	uint64_t next_id;
	struct {
		char *at;
		unsigned int heap;
	} freed[MODEL_FREED]; /* where blocks were */
	size_t next_freed;
	/* What the heaps said of misuse since it was forgotten. */
	unsigned int misuses;
	enum pagemv_heap_misuse misuse;
	void *misuse_ptr;
};

/* Opens the heaps on pv, which stays the caller's. */
const char *model_open(struct model *m, struct pagemv *pv);
/* Ends a heap with all its blocks; and both. */
const char *model_close_heap(struct model *m, unsigned int heap);
const char *model_close(struct model *m);
/* Opens one that is closed; kind: any number, chooses its options. */
const char *model_open_heap(struct model *m, unsigned int heap, uint8_t kind);

/* Writes to it: t_mark(), as nobody's before. */
void model_mark(struct model *m, struct t_marked *mem, size_t marks);
/* Where it is, and what the heap says of it. */
const char *model_check_place(struct model *m, const struct model_block *b);
/* All blocks, and what the heaps say of them together. */
const char *model_check(struct model *m);

/* Remembers that a block of the heap was there, and is no more. */
void model_forget(struct model *m, char *at, unsigned int heap);

#endif /* TESTS_FUZZ_HEAP_MODEL_H */
