/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A storm: movers take runs of pages out of a source that others store to all
 * the time, pass them about in memory of their own and write them again into
 * the source, while disturbers do to these pages whatever the test is about.
 * In the end every page is found exactly once, where its mover thinks it is,
 * and the counters of all pages add up to all stores.
 *
 *	static void page_out(struct storm *s, struct t_random *random)
 *	{
 *		size_t pages;
 *		char *run = storm_pick(s, random, &pages);
 *
 *		madvise(run, t_pages(pages), MADV_PAGEOUT);
 *	}
 *
 *	static const struct storm_plan plan = {
 *		.name = "page out", .ways = T_WAYS_LIVE,
 *		.disturb = { page_out },
 *	};
 *
 *	storm_run(&tap, &plan);
 *
 * A run is moved by one call. Its pages are written at src again one by one;
 * a unit (unit_pages) of which the kernel moved a part goes home as a whole.
 *
 * PMV_SECONDS: how long each way to move is tried (0.4 s), longer where a mover
 * has not yet moved some pages; PMV_SEED.
 */
#ifndef TESTS_SUPPORT_STORM_H
#define TESTS_SUPPORT_STORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "t.h"
#include "tap.h"
#include "ways.h"

#define STORM_MOVERS	 8
#define STORM_STORERS	 8
#define STORM_DISTURBERS 4

struct storm;

struct storm_plan {
	const char *name;  /* begins the names of the results; may be NULL */
	unsigned int ways; /* of ways.h; such that store into the source
			    * meanwhile, if there are storers */
	uint32_t flags;	   /* PAGEMV_MOVE_*, for every move */

	/* Zero means the default. */
	unsigned int movers;  /* 2 */
	size_t pages;	      /* of each mover: 32, or 2 large units; its heap
			       * has room for twice as many */
	size_t longest_pages; /* run moved at once: 8, or 1 unit */
	/* Runs begin at, and are, multiples of it: 1. With 512 and huge, runs
	 * are whole huge pages, aligned at both sides. */
	size_t unit_pages;
	unsigned int ms;      /* how long, unless PMV_SECONDS says it: 400 */
	unsigned int storers; /* 1 */
	bool no_storers;
	unsigned int store_pause_us; /* between two stores of a storer: 0 */
	/* A page that comes home is written in its next version; the one behind
	 * this is the first again: no end. */
	unsigned int versions;
	bool huge; /* advise huge pages for source and heaps */

	/*
	 * All may be NULL. set_up is called when the memory of a case is there
	 * and filled, before the threads start; false with *why set: the case
	 * is skipped, without tear_down. It may change s->c->opts, which all
	 * moves are made with. tear_down is called when the threads have
	 * ended, before pages are counted.
	 */
	bool (*set_up)(struct storm *s, const char **why);
	void (*tear_down)(struct storm *s);
	/*
	 * A thread for each calls it again and again until the storm ends, at
	 * least once. It must leave pages and counters as they are, or put
	 * them back, and may read absent pages of the heaps only if -EEXIST
	 * is allowed.
	 */
	void (*disturb[STORM_DISTURBERS])(struct storm *s,
					  struct t_random *random);
	/*
	 * Is this outcome of a move all right, too? Success and -EAGAIN always
	 * are. What was not moved must still be at its place, or in
	 * res->stray. Called by all movers. NULL: nothing else is all right,
	 * and every mover must move a page.
	 */
	bool (*allowed)(const struct storm *s, int r,
			const struct pagemv_result *res);
};

struct storm {
	const struct storm_plan *plan;
	struct t_case *c;
	char *src; /* movers * pages pages, stored to by all storers */
	size_t src_pages;
	char *heaps[STORM_MOVERS]; /* of each: nobody else stores there */
	size_t heap_pages;
	void *mine; /* the plan's functions' own */

	/* Sums of what the movers and storers did, from tear_down on. */
	uint64_t moved_pages;
	uint64_t copied_pages;
	uint64_t left_pages;
	/* Told as left with -EEXIST, and at dst: moved by a kernel that did
	 * not count it, and stored to at src again at once (pagemv(7)). */
	uint64_t unnoticed_pages;
	uint64_t stores;
	uint32_t mechanisms; /* PAGEMV_MECH_BIT() of those used */

	struct storm_state *state; /* storm.c's own */
};

/* Has the storm ended? For disturbers that take long. */
bool storm_over(const struct storm *s);

/*
 * A random run of pages of the source or of a heap, for a disturber, as long
 * as a mover may move it; pages may be present or absent, and go and come
 * while it is looked at.
 */
char *storm_pick(struct storm *s, struct t_random *random, size_t *pages);

/*
 * The storm has failed, for this reason, and ends. The first reason is told.
 * From any thread.
 */
__attribute__((format(printf, 2, 3))) void storm_wrong(struct storm *s,
						       const char *format, ...);

/*
 * Runs the storm in each case of plan->ways (ways.h), with results for each:
 * "pages are where the results say", "every page exactly once", "no store
 * lost"; and a line says how many pages and stores there were. For AUTO in a
 * handle as this kernel gives it, a line "# used: move, copy" says which
 * mechanisms moved the pages.
 */
void storm_run(struct tap *tap, const struct storm_plan *plan);

#endif /* TESTS_SUPPORT_STORM_H */
