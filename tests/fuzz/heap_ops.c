/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "heap_ops.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heap_model.h"
#include "t.h"

/* Marks in a block, so many and a few: what is larger has holes. */
#define MARKS 32
/* Larger blocks are not tried, nor more bytes than this in all. */
#define SIZE_BITS  26
#define ALL_BYTES  ((size_t)2 << 30)
#define DENSE_MAX  ((size_t)4 << 20)
#define ALIGN_BITS 26

struct run {
	struct model m;
	const uint8_t *at, *end;
	bool trace;
	bool in_child;
};

/* ---- input ---- */

static uint8_t byte(struct run *r)
{
	return r->at < r->end ? *r->at++ : 0;
}

/* Any number of bits, so that small and large sizes are as frequent. */
static size_t size(struct run *r)
{
	uint8_t bits = byte(r) % (SIZE_BITS + 1), more = byte(r);
	size_t bytes = ((size_t)1 << bits) + (((size_t)more << bits) >> 8);

	return more & 1 ? bytes - 1 : bytes;
}

static struct model_block *slot(struct run *r)
{
	return &r->m.block[byte(r) % MODEL_BLOCKS];
}

/* The first block that lives, from a place in the input's choice on. */
static struct model_block *live(struct run *r)
{
	size_t from = byte(r);

	for (size_t i = 0; i < MODEL_BLOCKS; i++)
		if (r->m.block[(from + i) % MODEL_BLOCKS].mem.at)
			return &r->m.block[(from + i) % MODEL_BLOCKS];
	return NULL;
}

__attribute__((format(printf, 2, 3))) static void trace(const struct run *r,
							const char *format, ...)
{
	va_list ap;

	if (!r->trace)
		return;
	fputs(r->in_child ? "  in a child: " : "  ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static struct pagemv_heap *heap_of(const struct run *r,
				   const struct model_block *b)
{
	return r->m.heap[b->heap];
}

static size_t all_bytes(const struct run *r)
{
	size_t bytes = 0;

	for (size_t i = 0; i < MODEL_BLOCKS; i++)
		bytes += r->m.block[i].mem.at ? r->m.block[i].mem.bytes : 0;
	return bytes;
}

/* ---- operations ---- */

static const char *free_block(struct run *r, struct model_block *b)
{
	int rc = pagemv_heap_free(heap_of(r, b), b->mem.at);

	trace(r, "free %p of %zu: %d", b->mem.at, b->mem.bytes, rc);
	model_forget(&r->m, b->mem.at, b->heap);
	b->mem.at = NULL;
	return rc == 0 ? NULL : "a block cannot be freed";
}

static const char *new_block(struct run *r, struct model_block *b, void *at,
			     uint32_t flags)
{
	const char *wrong;

	b->mem.at = at;
	wrong = model_check_place(&r->m, b);
	if (!wrong && flags & PAGEMV_ALLOC_ZERO)
		wrong = t_check_zeros(at, 0, b->mem.bytes);
	if (!wrong)
		model_mark(&r->m, &b->mem, MARKS);
	return wrong;
}

static const char *op_alloc(struct run *r, bool aligned)
{
	struct model_block *b = slot(r);
	size_t align = aligned ? (size_t)1 << byte(r) % (ALIGN_BITS + 1) : 1;
	uint8_t choice = byte(r);
	uint32_t flags = choice & PAGEMV_ALLOC_ZERO;
	size_t bytes = size(r);
	const char *wrong = b->mem.at ? free_block(r, b) : NULL;
	void *at = NULL;
	int rc;

	if (wrong || all_bytes(r) + bytes > ALL_BYTES)
		return wrong;
	b->heap = choice >> 1 & 1;
	b->mem.bytes = bytes;
	b->align = align;
	rc = aligned ? pagemv_heap_aligned_alloc(heap_of(r, b), align, bytes,
						 flags, &at)
		     : pagemv_heap_alloc(heap_of(r, b), bytes, flags, &at);
	trace(r, "alloc %zu align %zu flags %u heap %u: %d %p", bytes, align,
	      flags, b->heap, rc, at);
	if (rc != 0)
		return "a block cannot be had";
	return new_block(r, b, at, flags);
}

/* What must be so after a block has been grown or shrunk. */
static const char *after_realloc(struct run *r, struct model_block *b, void *to,
				 size_t bytes, uint32_t flags)
{
	struct t_marked old = b->mem;
	const char *wrong;

	if (flags & PAGEMV_ALLOC_IN_PLACE && to != b->mem.at)
		return "a block went away that was to stay";
	if (flags & PAGEMV_ALLOC_MOVE && to == b->mem.at)
		return "a block stayed that was to go away";
	if (to != b->mem.at)
		model_forget(&r->m, b->mem.at, b->heap);
	b->mem.at = old.at = to;
	b->mem.bytes = bytes;
	b->align = 1;
	wrong = model_check_place(&r->m, b);
	wrong = wrong ? wrong
		      : t_check_marks(&old,
				      bytes < old.bytes ? bytes : old.bytes);
	if (!wrong && flags & PAGEMV_ALLOC_ZERO)
		wrong = t_check_zeros(to, old.bytes, bytes);
	if (!wrong)
		model_mark(&r->m, &b->mem, MARKS);
	return wrong;
}

static const char *resize(struct run *r, struct model_block *b, size_t bytes,
			  uint32_t flags)
{
	struct pagemv_result res;
	void *to = b->mem.at;
	int rc;

	if (all_bytes(r) - b->mem.bytes + bytes > ALL_BYTES)
		return NULL;
	rc = pagemv_heap_realloc(heap_of(r, b), b->mem.at, bytes, flags, &to,
				 &res);
	trace(r, "realloc %p %zu -> %zu flags %u: %d %p", b->mem.at,
	      b->mem.bytes, bytes, flags, rc, to);
	if ((flags & PAGEMV_ALLOC_MOVE) && (flags & PAGEMV_ALLOC_IN_PLACE))
		return rc == -EINVAL && to == b->mem.at
			       ? NULL
			       : "a block was to stay and go away";
	if (rc == -ENOSPC && flags & PAGEMV_ALLOC_IN_PLACE)
		return to == b->mem.at ? t_check_marks(&b->mem, b->mem.bytes)
				       : "an error came with a new place";
	if (rc != 0)
		return "a block cannot be resized";
	return after_realloc(r, b, to, bytes, flags);
}

static const char *op_realloc(struct run *r)
{
	struct model_block *b = live(r);
	uint32_t flags = byte(r) & PAGEMV_ALLOC_ALL;
	size_t bytes = size(r);

	return b ? resize(r, b, bytes, flags) : NULL;
}

/* Small steps, as by appending. */
static const char *op_grow(struct run *r)
{
	struct model_block *b = live(r);
	size_t step = size(r) % ((size_t)1 << 20), n = byte(r) % 16;
	const char *wrong = NULL;

	for (size_t i = 0; b && i < n && !wrong; i++)
		wrong = resize(r, b, b->mem.bytes + step, 0);
	return wrong;
}

static const char *op_free(struct run *r)
{
	struct model_block *b = live(r);

	return b ? free_block(r, b) : NULL;
}

/* To the other heap, and the old one knows it no more. */
static const char *op_give(struct run *r)
{
	struct model_block *b = live(r);
	struct pagemv_result res;
	unsigned int to;
	void *at = NULL, *from;
	size_t usable;
	int rc;

	if (!b)
		return NULL;
	to = !b->heap;
	from = b->mem.at;
	rc = pagemv_heap_give(heap_of(r, b), b->mem.at, r->m.heap[to], &at,
			      &res);
	trace(r, "give %p of %zu to heap %u: %d %p", b->mem.at, b->mem.bytes,
	      to, rc, at);
	if (rc != 0)
		return "a block cannot be given";
	model_forget(&r->m, b->mem.at, b->heap);
	b->mem.at = at;
	b->heap = to;
	b->align = 1;
	if (at != from &&
	    pagemv_heap_usable_size(r->m.heap[!to], from, &usable) == 0)
		return "a heap knows a block that it gave away";
	return t_check_marks(&b->mem, b->mem.bytes);
}

/* A block of malloc()'s, which stays malloc()'s to free. */
static const char *op_adopt(struct run *r)
{
	struct model_block *b = slot(r);
	struct t_marked old = { 0 };
	const char *wrong = b->mem.at ? free_block(r, b) : NULL;
	size_t bytes = size(r) % DENSE_MAX, more = size(r) % DENSE_MAX;
	struct pagemv_result res;
	void *to = NULL;
	int rc;

	old.bytes = bytes + 1;
	old.at = malloc(old.bytes);
	if (wrong || !old.at)
		return wrong;
	model_mark(&r->m, &old, MARKS);
	b->heap = byte(r) & 1;
	b->mem.bytes = old.bytes + more;
	b->align = 1;
	rc = pagemv_heap_adopt(heap_of(r, b), old.at, old.bytes, b->mem.bytes,
			       &to, &res);
	trace(r, "adopt %p of %zu -> %zu: %d %p", (void *)old.at, old.bytes,
	      b->mem.bytes, rc, to);
	if (rc == 0) {
		free(old.at);
		old.at = b->mem.at = to;
		wrong = model_check_place(&r->m, b);
		wrong = wrong ? wrong : t_check_marks(&old, old.bytes);
		if (!wrong)
			model_mark(&r->m, &b->mem, MARKS);
		return wrong;
	}
	wrong = t_check_marks(&old, old.bytes);
	free(old.at);
	return wrong ? wrong : "a block cannot be adopted";
}

static const char *op_trim(struct run *r)
{
	size_t given_back = 0;
	int rc = pagemv_heap_trim(r->m.heap[byte(r) & 1], &given_back);

	trace(r, "trim: %d, %zu bytes", rc, given_back);
	return rc == 0 ? NULL : "a heap cannot be trimmed";
}

/* All its pages, not some. */
static const char *op_fill(struct run *r)
{
	struct model_block *b = live(r);

	if (b && b->mem.bytes <= DENSE_MAX) {
		trace(r, "fill %p of %zu", (void *)b->mem.at, b->mem.bytes);
		model_mark(&r->m, &b->mem, SIZE_MAX);
	}
	return NULL;
}

static const char *op_wait(struct run *r)
{
	trace(r, "wait");
	t_sleep_ms(1 + byte(r) % 4);
	return NULL;
}

static const char *op_new_heap(struct run *r)
{
	unsigned int heap = byte(r) & 1;
	uint8_t kind = byte(r);
	const char *wrong = model_close_heap(&r->m, heap);

	trace(r, "new heap %u of kind %u", heap, kind);
	return wrong ? wrong : model_open_heap(&r->m, heap, kind);
}

/* ---- misuse ---- */

static bool is_live(const struct run *r, const char *at)
{
	for (size_t i = 0; i < MODEL_BLOCKS; i++)
		if (r->m.block[i].mem.at == at)
			return true;
	return false;
}

/* Every call that takes a block refuses this one, and says so. */
static const char *refused(struct run *r, struct pagemv_heap *heap, void *ptr)
{
	int rc = 0, error = 0;
	void *out = &out;
	size_t usable;

	r->m.misuses = 0;
	switch (byte(r) % 4) {
	case 0:
		rc = pagemv_heap_free(heap, ptr);
		break;
	case 1:
		rc = pagemv_heap_realloc(heap, ptr, t_pages(3), 0, &out, NULL);
		break;
	case 2:
		rc = pagemv_heap_give(
			heap, ptr, r->m.heap[heap == r->m.heap[0]], &out, NULL);
		break;
	default:
		rc = pagemv_heap_usable_size(heap, ptr, &usable);
		r->m.misuses = 1; /* need not be told: it is a question */
		r->m.misuse = rc == -ENOENT ? PAGEMV_MISUSE_FREED
					    : PAGEMV_MISUSE_FOREIGN;
		r->m.misuse_ptr = ptr;
	}
	trace(r, "misuse of %p: %d", ptr, rc);
	if (r->m.misuses != 1 || r->m.misuse_ptr != ptr)
		return "a misuse was not told, or not once";
	error = r->m.misuse == PAGEMV_MISUSE_FREED ? -ENOENT : -EINVAL;
	if (out != &out)
		return "a misuse gave a block";
	return rc == error ? NULL : "a misuse was not refused as it was told";
}

static const char *op_misuse(struct run *r)
{
	uint8_t kind = byte(r) % 4, which = byte(r);
	struct model_block *b = live(r);
	int local;

	switch (kind) {
	case 0: /* a block that was freed */
		which %= MODEL_FREED;
		if (!r->m.freed[which].at || is_live(r, r->m.freed[which].at))
			return NULL;
		return refused(r, r->m.heap[r->m.freed[which].heap],
			       r->m.freed[which].at);
	case 1: /* inside a block */
		if (!b || b->mem.bytes < 2)
			return NULL;
		return refused(r, heap_of(r, b),
			       b->mem.at + 1 +
				       ((size_t)which << 5) %
					       (b->mem.bytes - 1));
	case 2: /* of another heap */
		return b ? refused(r, r->m.heap[!b->heap], b->mem.at) : NULL;
	default: /* of no heap */
		return refused(r, r->m.heap[which & 1], &local);
	}
}

/* ---- fork ---- */

static const char *step(struct run *r);

/* The child has all blocks, and can do with them what its parent can. */
static const char *op_fork(struct run *r)
{
	size_t steps = byte(r) % 16;
	const char *wrong;
	int status;
	pid_t pid;

	if (r->in_child)
		return NULL;
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return "a process cannot be forked";
	if (pid == 0) {
		r->in_child = true;
		wrong = model_check(&r->m);
		/* New heaps are made on a handle of its own. */
		if (!wrong && pagemv_open(&r->m.pv, NULL) != 0)
			wrong = "a child cannot open a handle";
		for (size_t i = 0; i < steps && r->at < r->end && !wrong; i++)
			wrong = step(r);
		wrong = wrong ? wrong : model_check(&r->m);
		if (wrong)
			fprintf(stderr, "in a child: %s\n", wrong);
		_exit(wrong != NULL);
	}
	/* The same operations, with the same blocks. */
	wrong = NULL;
	for (size_t i = 0; i < steps && r->at < r->end && !wrong; i++)
		wrong = step(r);
	waitpid(pid, &status, 0);
	return wrong ? wrong : status == 0 ? NULL : "wrong in a child";
}

/* ---- all of them ---- */

static const char *step(struct run *r)
{
	switch (byte(r) % 16) {
	case 0:
	case 1:
		return op_alloc(r, false);
	case 2:
		return op_alloc(r, true);
	case 3:
	case 4:
	case 5:
		return op_realloc(r);
	case 6:
		return op_grow(r);
	case 7:
		return op_free(r);
	case 8:
		return op_give(r);
	case 9:
		return op_adopt(r);
	case 10:
		return op_trim(r);
	case 11:
		return op_fill(r);
	case 12:
		return op_misuse(r);
	case 13:
		return op_fork(r);
	case 14:
		return op_wait(r);
	default:
		return op_new_heap(r);
	}
}

struct heap_ops_result heap_ops_run(struct pagemv *pv, const uint8_t *input,
				    size_t bytes)
{
	struct run r = { .at = input, .end = input + bytes };
	struct heap_ops_result res = { 0 };
	const char *wrong;

	r.trace = t_env("PMV_TRACE", 0) != 0;
	res.wrong = model_open(&r.m, pv);
	while (!res.wrong && r.at < r.end) {
		res.wrong = step(&r);
		if (!res.wrong && ++res.step % 8 == 0)
			res.wrong = model_check(&r.m);
	}
	res.off = (size_t)(r.at - input);
	if (!res.wrong)
		res.wrong = model_check(&r.m);
	wrong = model_close(&r.m);
	res.wrong = res.wrong ? res.wrong : wrong;
	return res;
}
