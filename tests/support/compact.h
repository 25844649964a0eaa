/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A collector that tests can look into: each page of to-space is made of two
 * pages of from-space and the one before them, which must be what they were,
 * and becomes what it must be. Some pages are answered with zeros, some with a
 * page of from-space that is written to before.
 *
 *   from-space  0 1 2 3 4 5 6 7 ...     page f: id f + 1, this version
 *   to-space    0   1   2   3   ...     page k: id k + 1, the next version
 *
 * Page k reads from 2k - 1 to 2k + 1, so that it is done with what is below
 * 2k + 1, and that nobody before it reads from 2k on. Where all are dense, page k
 * is page k of from-space.
 */
#ifndef TESTS_SUPPORT_COMPACT_H
#define TESTS_SUPPORT_COMPACT_H

#include <pagemv/pagemv.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"
#include "t.h"

struct compact {
	size_t from; /* pages */
	size_t to;
	bool dense;
	bool plain; /* all are written: no zeros, no moves */
	uint64_t version;
	unsigned int *asked; /* by page of to-space; atomic */
	const char *wrong;   /* the first that was; atomic */
	size_t stays; /* page k is also of page k of from-space; 0: none is */
	/* Called first. Its answer stands where it is not COMPACT_GO_ON. */
	int (*hook)(struct compact *c, struct pagemv_produce *p);
	void *mine;
};

#define COMPACT_GO_ON 4711

static inline void compact_wrong(struct compact *c, const char *what)
{
	const char *none = NULL;

	__atomic_compare_exchange_n(&c->wrong, &none, what, false,
				    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

static inline int compact_kind(const struct compact *c, size_t k)
{
	if (c->dense)
		return PAGEMV_PRODUCE_MOVE;
	if (c->plain)
		return 0;
	if (k % 8 == 5)
		return PAGEMV_PRODUCE_ZEROS;
	return k % 4 == 3 ? PAGEMV_PRODUCE_MOVE : 0;
}

/* Page f of from-space is what it was; or, where it is to be moved as page k,
 * what it is to be. */
static inline void compact_look(struct compact *c, const char *from, size_t f,
				size_t k)
{
	uint64_t id, version;

	if (t_look_present(from + t_pages(f), &id, &version) != T_GOOD)
		compact_wrong(c, "from-space is gone or torn");
	else if (!(id == f + 1 && version == c->version) &&
		 !(id == k + 1 && version == c->version + 1))
		compact_wrong(c, "from-space is not what it was");
}

static inline int compact_produce(void *arg, struct pagemv_produce *p)
{
	struct compact *c = arg;
	size_t k = p->off_bytes / t_page(), first = c->dense ? k : 2 * k;
	int kind = compact_kind(c, k);
	int rc = c->hook ? c->hook(c, p) : COMPACT_GO_ON;

	__atomic_fetch_add(&c->asked[k], 1, __ATOMIC_RELAXED);
	if (rc != COMPACT_GO_ON)
		return rc;
	compact_look(c, p->from, first, k);
	if (!c->dense && k > 0)
		compact_look(c, p->from, first - 1, first - 1);
	if (!c->dense && first + 1 < c->from)
		compact_look(c, p->from, first + 1, first + 1);
	p->done_bytes = t_pages(first + 1);
	p->first_bytes = c->stays ? 0 : t_pages(first);
	if (k < c->stays && first >= c->stays)
		p->done_bytes = t_pages(c->stays);
	if (kind == PAGEMV_PRODUCE_MOVE) {
		p->move_from = p->from + t_pages(first);
		t_fill(p->move_from, k + 1, c->version + 1);
	} else if (kind == 0) {
		t_fill(p->scratch, k + 1, c->version + 1);
	}
	return kind;
}

static inline void compact_open(struct compact *c, size_t from)
{
	c->from = from;
	c->to = c->dense ? from : from / 2;
	c->asked = calloc(c->to + 1, sizeof(*c->asked));
	if (!c->asked)
		t_die("calloc");
}

static inline void compact_close(struct compact *c)
{
	free(c->asked);
}

/* The next cycle: all pages written anew, in the version that is next. */
static inline void compact_fill(struct compact *c, char *space)
{
	c->version += 2;
	memset(c->asked, 0, c->to * sizeof(*c->asked));
	for (size_t i = 0; i < c->from; i++)
		t_fill(space + t_pages(i), i + 1, c->version);
}

/* NULL, or what is wrong with page k of to-space. It is touched. */
static inline const char *compact_page(const struct compact *c,
				       const char *space, size_t k)
{
	const char *page = space + t_pages(k);
	uint64_t id = 0, version = 0;
	enum t_kind kind = t_look_present(page, &id, &version);

	if (compact_kind(c, k) == PAGEMV_PRODUCE_ZEROS)
		return kind == T_ZERO ? NULL : "a page is not zeros";
	if (kind != T_GOOD)
		return kind == T_ZERO ? "a page is zeros" : "a page is torn";
	return id == k + 1 && version == c->version + 1
		       ? NULL
		       : "a page is another one";
}

/* NULL, or what is wrong. */
static inline const char *compact_check(const struct compact *c,
					const char *space)
{
	for (size_t k = 0; k < c->to; k++) {
		const char *wrong = compact_page(c, space, k);

		if (wrong)
			return wrong;
	}
	return c->wrong;
}

#endif /* TESTS_SUPPORT_COMPACT_H */
