/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "marks.h"

#include <stdbool.h>
#include <string.h>

#include "t.h"

/* So many pages in the middle of a range are looked at for zeros. */
#define LOOKS 32

/* Blocks need not begin where pages do, so a mark may lie on two pages. */
struct mark {
	uint64_t who;
	uint64_t off;
};

static struct mark mark_of(const struct t_marked *b, size_t off)
{
	return (struct mark){ b->id * 0x9e3779b97f4a7c15u + b->version,
			      off ^ 0x5bd1e995u };
}

static void put_mark(const struct t_marked *b, size_t off)
{
	struct mark mark = mark_of(b, off);

	memcpy(b->at + off, &mark, sizeof(mark));
}

static bool has_mark(const struct t_marked *b, size_t off)
{
	struct mark mark = mark_of(b, off);

	return memcmp(b->at + off, &mark, sizeof(mark)) == 0;
}

/* Too small for a mark: all bytes are the same. */
static bool is_tiny(const struct t_marked *b)
{
	return b->bytes < sizeof(struct mark);
}

static char tiny_byte(const struct t_marked *b)
{
	return (char)(b->id * 31 + b->version);
}

/* Where the mark at the end is. */
static size_t last(const struct t_marked *b)
{
	return b->bytes - sizeof(struct mark);
}

void t_mark(struct t_marked *b, size_t marks)
{
	b->version++;
	b->stride = (b->bytes / t_page() / marks + 1) * t_page();
	if (is_tiny(b)) {
		memset(b->at, tiny_byte(b), b->bytes);
		return;
	}
	for (size_t off = 0; off + sizeof(struct mark) <= last(b);
	     off += b->stride)
		put_mark(b, off);
	put_mark(b, last(b));
}

const char *t_check_marks(const struct t_marked *b, size_t bytes)
{
	if (is_tiny(b)) {
		for (size_t i = 0; i < bytes && i < b->bytes; i++)
			if (b->at[i] != tiny_byte(b))
				return "a byte of a small block is lost";
		return NULL;
	}
	for (size_t off = 0; off + sizeof(struct mark) <= last(b);
	     off += b->stride)
		if (off + sizeof(struct mark) <= bytes && !has_mark(b, off))
			return "a page of a block is lost";
	if (b->bytes <= bytes && !has_mark(b, last(b)))
		return "the end of a block is lost";
	return NULL;
}

static const char *zeros(const char *at, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (at[i] != 0)
			return "what should be zero is not";
	return NULL;
}

const char *t_check_zeros(const char *at, size_t from, size_t to)
{
	size_t span = 2 * t_page(), step;
	const char *wrong;

	if (from >= to)
		return NULL;
	if (to - from <= 2 * span)
		return zeros(at + from, to - from);
	wrong = zeros(at + from, span);
	wrong = wrong ? wrong : zeros(at + to - span, span);
	step = ((to - from) / LOOKS / t_page() + 1) * t_page();
	for (size_t off = from + span; off + 64 <= to && !wrong; off += step)
		wrong = zeros(at + off, 64);
	return wrong;
}
