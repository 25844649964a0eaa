/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the tests of evacuation share: a space of a handle that has one of the
 * ways, and cycles of the collector of compact.h in it.
 */
#ifndef TESTS_LIVE_EVACS_H
#define TESTS_LIVE_EVACS_H

#include "live.h"

#include <unistd.h>

#include "compact.h"

/* The handles that do it in each way. */
struct evac_way {
	const char *name;
	uint32_t how; /* enum pagemv_evac_how */
	uint32_t flags;
	uint32_t disabled;
};

static const struct evac_way evac_ways[] = {
	{ "move", PAGEMV_EVAC_BY_MOVE, 0, 0 },
	{ "copy", PAGEMV_EVAC_BY_COPY, 0,
	  PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE) |
		  PAGEMV_MECH_BIT(PAGEMV_MECH_COMPANION) },
	{ "stopped", PAGEMV_EVAC_STOPPED, PAGEMV_OPEN_NO_UFFD, 0 },
};

struct evac_stage {
	struct pagemv *pv;
	struct pagemv_evac *evac;
	struct compact c;
	char *space;
	size_t pages;
};

static inline struct pagemv_evac_progress evac_progress(struct evac_stage *s)
{
	struct pagemv_evac_progress p = { .size = sizeof(p) };

	cr_assert_eq(pagemv_evac_progress(s->evac, &p), 0);
	return p;
}

/* False where this kernel does not have the way. */
static inline bool evac_open(struct evac_stage *s, const struct evac_way *way,
			     struct pagemv_evac_opts opts)
{
	struct pagemv_open_opts open = { .size = sizeof(open),
					 .flags = way->flags,
					 .disabled = way->disabled };
	struct pagemv_evac_info info = { .size = sizeof(info) };
	enum pagemv_reason reason = PAGEMV_REASON_NONE;
	int rc;

	alarm(120 * t_slow());
	cr_assert_eq(pagemv_open(&s->pv, &open), 0);
	cr_assert_eq(pagemv_sigbus_install(), 0);
	opts.size = sizeof(opts);
	opts.len_bytes = t_pages(s->pages);
	opts.produce = compact_produce;
	opts.arg = &s->c;
	rc = pagemv_evac_open(s->pv, &opts, &s->evac, &reason);
	cr_assert_eq(rc, 0, "open: %d, %s", rc, pagemv_reason_string(reason));
	cr_assert_eq(pagemv_evac_info(s->evac, &info), 0);
	s->space = info.space;
	if (info.how == way->how)
		return true;
	cr_assert_eq(pagemv_evac_close(s->evac), 0);
	pagemv_close(s->pv);
	return false;
}

static inline void evac_close(struct evac_stage *s)
{
	cr_expect_eq(pagemv_evac_close(s->evac), 0);
	cr_expect_eq(pagemv_sigbus_uninstall(), 0);
	pagemv_close(s->pv);
	compact_close(&s->c);
}

/* By MOVE or by COPY, as this kernel has it; else the test is skipped. */
static inline void evac_stage(struct evac_stage *s, size_t pages, size_t from,
			      struct pagemv_evac_opts opts)
{
	s->pages = pages;
	compact_open(&s->c, from);
	if (!evac_open(s, &evac_ways[0], opts) &&
	    !evac_open(s, &evac_ways[1], opts))
		cr_skip("no faulting regions without userfaultfd");
}

static inline int evac_begin(struct evac_stage *s, uint32_t flip)
{
	struct pagemv_evac_cycle cycle = {
		.size = sizeof(cycle),
		.flip = flip,
		.flags = flip == PAGEMV_FLIP_FAST ? PAGEMV_EVAC_STILL : 0,
		.used_bytes = t_pages(s->c.from),
		.to_bytes = t_pages(s->c.to),
	};

	return pagemv_evac_begin(s->evac, &cycle);
}

/* Fills the space and flips it. */
static inline void evac_flip(struct evac_stage *s, uint32_t flip)
{
	int rc;

	compact_fill(&s->c, s->space);
	rc = evac_begin(s, flip);
	cr_assert_eq(rc, 0, "begin: %d", rc);
	rc = pagemv_evac_flip(s->evac);
	cr_assert_eq(rc, 0, "flip: %d", rc);
}

/* Expects that nothing is left in from-space. */
static inline void evac_expect_emptied(struct evac_stage *s)
{
	struct pagemv_evac_info info = { .size = sizeof(info) };
	const char *wrong;

	pagemv_evac_info(s->evac, &info);
	wrong = t_check_absent(info.shadow, s->c.from);
	cr_expect(!wrong, "from-space: %s", wrong);
}

/* Expects that all is there and right. */
static inline void evac_expect_produced(struct evac_stage *s)
{
	struct pagemv_evac_progress p = evac_progress(s);
	const char *wrong;

	cr_expect_eq(p.produced_pages, s->c.to, "%" PRIu64 " of %zu",
		     p.produced_pages, s->c.to);
	cr_expect_eq(p.phase, PAGEMV_EVAC_DONE);
	cr_expect_eq(pagemv_evac_finish(s->evac), 0);
	wrong = compact_check(&s->c, s->space);
	cr_expect(!wrong, "%s", wrong);
}

/* Expects both. */
static inline void evac_expect_done(struct evac_stage *s)
{
	evac_expect_produced(s);
	evac_expect_emptied(s);
}

/* Expects that each page was asked for once. */
static inline void evac_expect_once(const struct evac_stage *s)
{
	for (size_t k = 0; k < s->c.to; k++)
		cr_expect_eq(s->c.asked[k], 1, "page %zu: %u times", k,
			     s->c.asked[k]);
}

#endif /* TESTS_LIVE_EVACS_H */
