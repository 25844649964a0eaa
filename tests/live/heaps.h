/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One test body, heaps of every kind: on handles as they are on this kernel, as
 * on older ones, and where pages can only be copied.
 *
 *	struct t_heap h;
 *
 *	t_heaps(&h, NULL);
 *	while (t_next_heap(&h)) {
 *		char *at = t_heap_alloc(&h, 12345);
 *		...
 *	}
 */
#ifndef TESTS_LIVE_HEAPS_H
#define TESTS_LIVE_HEAPS_H

#include "live.h"
#include "marks.h"

#define MIB ((size_t)1 << 20)

struct t_heap {
	const char *name;
	struct pagemv *pv;
	struct pagemv_heap *heap;
	struct pagemv_heap_opts opts; /* size 0: defaults */
	bool moves;		      /* pages can be moved without copying */
	unsigned int next;
};

static const struct {
	const char *name;
	uint32_t flags;
	uint32_t disabled;
} t_heap_kinds[] = {
	{ "normal", 0, 0 },
	{ "no-move", 0,
	  PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE) |
		  PAGEMV_MECH_BIT(PAGEMV_MECH_COMPANION) },
	{ "no-uffd", PAGEMV_OPEN_NO_UFFD,
	  PAGEMV_MECH_BIT(PAGEMV_MECH_COMPANION) },
	{ "copy", 0,
	  PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE) |
		  PAGEMV_MECH_BIT(PAGEMV_MECH_COMPANION) |
		  PAGEMV_MECH_BIT(PAGEMV_MECH_REMAP) },
	{ "copy-no-uffd", PAGEMV_OPEN_NO_UFFD,
	  PAGEMV_MECH_BIT(PAGEMV_MECH_COMPANION) |
		  PAGEMV_MECH_BIT(PAGEMV_MECH_REMAP) },
};

static inline void t_heaps(struct t_heap *h, const struct pagemv_heap_opts *o)
{
	*h = (struct t_heap){ 0 };
	if (o != NULL)
		h->opts = *o;
}

static inline void t_end_heap(struct t_heap *h)
{
	if (h->heap == NULL)
		return;
	T_EXPECT(h, pagemv_heap_destroy(h->heap) == 0, "destroy");
	pagemv_close(h->pv);
	h->heap = NULL;
}

/* A heap of one kind, for tests that need no other. */
static inline void t_open_heap(struct t_heap *h, unsigned int kind)
{
	const struct pagemv_open_opts open = {
		.size = sizeof(open),
		.flags = t_heap_kinds[kind].flags,
		.disabled = t_heap_kinds[kind].disabled,
	};
	struct pagemv_caps caps = { .size = sizeof(caps) };
	int r;

	h->name = t_heap_kinds[kind].name;
	cr_assert(pagemv_open(&h->pv, &open) == 0 &&
		  pagemv_caps(h->pv, &caps) == 0);
	h->moves = caps.mech[PAGEMV_MECH_MOVE].available ||
		   caps.mech[PAGEMV_MECH_COMPANION].available;
	r = pagemv_heap_create(h->pv, h->opts.size ? &h->opts : NULL, &h->heap);
	cr_assert(r == 0, "[%s] no heap: %d", h->name, r);
}

static inline bool t_next_heap(struct t_heap *h)
{
	t_end_heap(h);
	if (h->next == T_COUNT(t_heap_kinds))
		return false;
	t_open_heap(h, h->next++);
	return true;
}

static inline char *t_heap_alloc(struct t_heap *h, size_t bytes)
{
	void *at = NULL;
	int r = pagemv_heap_alloc(h->heap, bytes, 0, &at);

	cr_assert(r == 0, "[%s] no block of %zu: %d", h->name, bytes, r);
	return at;
}

/* To new bytes; the new place. */
static inline char *t_heap_resize(struct t_heap *h, void *at, size_t bytes,
				  uint32_t flags, struct pagemv_result *res)
{
	void *to = NULL;
	int r = pagemv_heap_realloc(h->heap, at, bytes, flags, &to, res);

	cr_assert(r == 0, "[%s] not resized to %zu: %d", h->name, bytes, r);
	return to;
}

static inline void t_heap_free(struct t_heap *h, void *at)
{
	int r = pagemv_heap_free(h->heap, at);

	T_EXPECT(h, r == 0, "free: %d", r);
}

static inline struct pagemv_heap_stats t_heap_stats(struct t_heap *h)
{
	struct pagemv_heap_stats s = { .size = sizeof(s) };

	cr_assert(pagemv_heap_stats(h->heap, &s) == 0);
	return s;
}

#endif /* TESTS_LIVE_HEAPS_H */
