/* SPDX-License-Identifier: 0BSD */
/*
 * Large objects begin at a page and have it to themselves. They slide down by
 * whole pages, so that each page of to-space is one of from-space as it is, but
 * for its references, which are changed where they are before it moves.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "internal.h"

static size_t page_of(const struct large *l, const void *p)
{
	return (size_t)((const char *)p - l->space.base) / PAGE;
}

struct gc_object *gc_large_alloc(struct large *l, size_t bytes)
{
	size_t len = (bytes + PAGE - 1) / PAGE * PAGE;
	size_t off = atomic_load(&l->space.top);

	do {
		if (len > l->space.bytes - off)
			return NULL;
	} while (!atomic_compare_exchange_weak(&l->space.top, &off, off + len));
	l->run[off / PAGE] = (uint32_t)(len / PAGE);
	return (struct gc_object *)(l->space.base + off);
}

/* ---- marking ---- */

bool gc_large_mark(struct large *l, const struct gc_object *o)
{
	uint32_t *moved_to = &l->moved_to[page_of(l, o)];

	if (*moved_to)
		return false;
	*moved_to = 1;
	return true;
}

void gc_large_clear(struct large *l)
{
	l->space.used = atomic_load(&l->space.top);
	memset(l->moved_to, 0, l->space.used / PAGE * sizeof(l->moved_to[0]));
}

/* ---- addresses ---- */

/* How many references lie in page j of the object. */
static uint32_t refs_in(const struct gc_object *o, size_t j)
{
	size_t words = PAGE / sizeof(o->ref[0]);
	size_t before = j ? j * words - 1 : 0;
	size_t room = j ? words : words - 1;
	size_t left = o->refs > before ? o->refs - before : 0;

	return (uint32_t)(left < room ? left : room);
}

static void plan_object(struct large *l, size_t from, size_t to)
{
	const struct gc_object *o = (void *)(l->space.base + from * PAGE);
	uint32_t n = l->run[from];

	l->moved_to[from] = (uint32_t)(1 + to);
	l->next_run[to] = n;
	for (uint32_t j = 0; j < n; j++)
		l->page[to + j] = (struct large_page){
			.from = (uint32_t)from + j,
			.refs = o->refs ? refs_in(o, j) : 0,
			.first = j == 0,
		};
}

void gc_large_plan(struct large *l)
{
	size_t to = 0;

	for (size_t p = 0; p < l->space.used / PAGE; p += l->run[p]) {
		if (!l->moved_to[p])
			continue;
		plan_object(l, p, to);
		to += l->run[p];
	}
	l->space.to_bytes = to * PAGE;
}

struct gc_object *gc_large_forward(const struct large *l,
				   const struct gc_object *o)
{
	size_t to = l->moved_to[page_of(l, o)] - 1;

	return (struct gc_object *)(l->space.base + to * PAGE);
}

/* ---- a page of to-space ---- */

/* The references in a page, where it is now. */
static void forward_page(const struct gc *gc, struct large_page *p, char *at)
{
	struct gc_object **ref =
		(struct gc_object **)(at + (p->first ? sizeof(struct gc_object)
						     : 0));

	for (uint32_t i = 0; i < p->refs && !p->forwarded; i++)
		ref[i] = gc_forward(gc, ref[i]);
	/* It may be asked for again, when the kernel could not move it. */
	p->forwarded = true;
}

int gc_large_produce(void *arg, struct pagemv_produce *page)
{
	struct gc *gc = arg;
	struct large *l = &gc->large;
	size_t to = page->off_bytes / PAGE;
	char *from = l->space.from + (size_t)l->page[to].from * PAGE;

	if (l->page[to].refs)
		forward_page(gc, &l->page[to], from);
	page->move_from = from;
	page->first_bytes = (size_t)(from - l->space.from);
	page->done_bytes = page->first_bytes + PAGE;
	return PAGEMV_PRODUCE_MOVE;
}

/* ---- without a flip ---- */

static int slide(struct gc *gc, struct large *l)
{
	struct pagemv_move_opts opts = {
		.size = sizeof(opts),
		.flags = PAGEMV_MOVE_REPLACE | PAGEMV_MOVE_HOLES,
	};
	size_t n = 0;

	for (size_t to = 0; to < l->space.to_bytes / PAGE;
	     to += l->next_run[to]) {
		size_t from = l->page[to].from;

		if (from != to)
			l->segs[n++] = (struct pagemv_seg){
				.dst = l->space.base + to * PAGE,
				.src = l->space.base + from * PAGE,
				.len_bytes = l->next_run[to] * PAGE,
			};
	}
	return n ? pagemv_movev(gc->pv, l->segs, n, &opts, NULL) : 0;
}

int gc_large_slide(struct gc *gc)
{
	struct large *l = &gc->large;
	int rc = slide(gc, l);

	if (rc < 0)
		return rc;
	for (size_t to = 0; to < l->space.to_bytes / PAGE; to++)
		if (l->page[to].refs)
			forward_page(gc, &l->page[to],
				     l->space.base + to * PAGE);
	if (l->space.used > l->space.to_bytes &&
	    madvise(l->space.base + l->space.to_bytes,
		    l->space.used - l->space.to_bytes, MADV_DONTNEED) < 0)
		return -errno;
	return 0;
}

/* ---- begin and end ---- */

int gc_large_open(struct gc *gc, size_t bytes)
{
	struct large *l = &gc->large;
	size_t pages = bytes / PAGE + 1;
	int rc = gc_space_open(gc, &l->space, bytes, gc_large_produce);

	if (rc < 0)
		return rc;
	l->run = calloc(pages, sizeof(l->run[0]));
	l->next_run = calloc(pages, sizeof(l->next_run[0]));
	l->moved_to = calloc(pages, sizeof(l->moved_to[0]));
	l->page = calloc(pages, sizeof(l->page[0]));
	if (!l->run || !l->next_run || !l->moved_to || !l->page)
		return -ENOMEM;
	if (gc->opts.mode != GC_STW_MOVE)
		return 0;
	l->segs = calloc(pages / (LARGE / PAGE) + 1, sizeof(l->segs[0]));
	if (!l->segs)
		return -ENOMEM;
	return pagemv_region_register(gc->pv, l->space.base, l->space.bytes,
				      NULL, &l->region, NULL);
}

void gc_large_close(struct large *l)
{
	pagemv_region_unregister(l->region);
	gc_space_close(&l->space);
	free(l->run);
	free(l->next_run);
	free(l->moved_to);
	free(l->page);
	free(l->segs);
}
