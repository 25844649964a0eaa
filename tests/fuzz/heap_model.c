/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "heap_model.h"

#include <string.h>

#include "t.h"

/* ---- heaps ---- */

static void on_misuse(void *arg, enum pagemv_heap_misuse what, void *ptr)
{
	struct model *m = arg;

	m->misuses++;
	m->misuse = what;
	m->misuse_ptr = ptr;
}

const char *model_open_heap(struct model *m, unsigned int heap, uint8_t kind)
{
	const struct pagemv_heap_opts opts = {
		.size = sizeof(opts),
		.flags = (kind & 1 ? PAGEMV_HEAP_TIGHT : 0) |
			 (kind & 2 ? PAGEMV_HEAP_BACKGROUND : 0),
		.huge = (kind >> 2) % PAGEMV_HEAP_HUGE_COUNT,
		.decay_ms = kind & 16 ? 2 : 0,
		.warm_bytes = kind & 32 ? t_pages(64) : 0,
		.reserve_bytes = kind & 64 ? (size_t)4 << 20 : 0,
		.name = kind & 128 ? "pagemv-fuzz" : NULL,
		.misuse = on_misuse,
		.misuse_arg = m,
	};

	return pagemv_heap_create(m->pv, &opts, &m->heap[heap]) == 0
		       ? NULL
		       : "a heap cannot be created";
}

const char *model_open(struct model *m, struct pagemv *pv)
{
	const char *wrong = NULL;

	memset(m, 0, sizeof(*m));
	m->pv = pv;
	for (unsigned int i = 0; i < MODEL_HEAPS && !wrong; i++)
		wrong = model_open_heap(m, i, 0);
	return wrong;
}

const char *model_close_heap(struct model *m, unsigned int heap)
{
	int r = pagemv_heap_destroy(m->heap[heap]);

	m->heap[heap] = NULL;
	for (size_t i = 0; i < MODEL_BLOCKS; i++)
		if (m->block[i].heap == heap)
			m->block[i].mem.at = NULL;
	for (size_t i = 0; i < MODEL_FREED; i++)
		if (m->freed[i].heap == heap)
			m->freed[i].at = NULL;
	return r == 0 ? NULL : "a heap cannot be destroyed";
}

const char *model_close(struct model *m)
{
	const char *wrong = NULL, *one;

	for (unsigned int i = 0; i < MODEL_HEAPS; i++) {
		one = m->heap[i] ? model_close_heap(m, i) : NULL;
		wrong = wrong ? wrong : one;
	}
	return wrong;
}

void model_forget(struct model *m, char *at, unsigned int heap)
{
	size_t i = m->next_freed++ % MODEL_FREED;

	m->freed[i].at = at;
	m->freed[i].heap = heap;
}

void model_mark(struct model *m, struct t_marked *mem, size_t marks)
{
	mem->id = ++m->next_id;
	t_mark(mem, marks);
}

/* ---- what the heap says ---- */

static const char *overlaps(const struct model *m, const struct model_block *b,
			    size_t usable)
{
	for (size_t i = 0; i < MODEL_BLOCKS; i++) {
		const struct model_block *o = &m->block[i];

		if (o != b && o->mem.at &&
		    b->mem.at < o->mem.at + o->mem.bytes &&
		    o->mem.at < b->mem.at + usable)
			return "two blocks overlap";
	}
	return NULL;
}

const char *model_check_place(struct model *m, const struct model_block *b)
{
	const struct pagemv_heap_bounds *in =
		pagemv_heap_bounds(m->heap[b->heap]);
	uintptr_t at = (uintptr_t)b->mem.at;
	size_t usable = 0;

	if (!b->mem.at)
		return "a block is nowhere";
	if (at % b->align != 0)
		return "a block is not aligned as it was asked for";
	if (pagemv_heap_usable_size(m->heap[b->heap], b->mem.at, &usable) != 0)
		return "a heap does not know its block";
	if (usable < b->mem.bytes)
		return "a block is smaller than what was asked for";
	if (at < in->low || at + usable > in->high)
		return "a block is not within the bounds of its heap";
	return overlaps(m, b, usable);
}

static const char *check_stats(struct model *m, unsigned int heap)
{
	struct pagemv_heap_stats s = { .size = sizeof(s) };
	uint64_t blocks = 0, bytes = 0;

	for (size_t i = 0; i < MODEL_BLOCKS; i++)
		if (m->block[i].mem.at && m->block[i].heap == heap) {
			blocks++;
			bytes += m->block[i].mem.bytes;
		}
	if (pagemv_heap_stats(m->heap[heap], &s) != 0)
		return "no statistics";
	if (s.blocks != blocks)
		return "the number of blocks is wrong";
	if (s.block_bytes != bytes)
		return "the bytes of all blocks are wrong";
	if (s.committed_bytes < bytes || s.reserved_bytes < s.committed_bytes)
		return "fewer bytes are committed or reserved than used";
	return NULL;
}

const char *model_check(struct model *m)
{
	const char *wrong = NULL;

	for (size_t i = 0; i < MODEL_BLOCKS && !wrong; i++) {
		const struct model_block *b = &m->block[i];

		if (!b->mem.at)
			continue;
		wrong = model_check_place(m, b);
		wrong = wrong ? wrong : t_check_marks(&b->mem, b->mem.bytes);
	}
	for (unsigned int i = 0; i < MODEL_HEAPS && !wrong; i++)
		wrong = check_stats(m, i);
	return wrong;
}
