// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Pages that were touched. A thread that touches a page of to-space produces
 * those around it, too, as far as nobody else has them: it brings all of them
 * by one call, and each gap that it leaves in what the workers bring is wide.
 * Single pages all over the space would leave them runs of two or three, and a
 * call for each.
 */
#include "evac.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "internal.h"
#include "source.h"

/* A window of claimed pages, and where they are written. */
struct touched {
	struct pagemv_evac *e;
	const struct pmv_hold *hold;
	struct pmv_scratch slot; /* base 0: none taken */
	uintptr_t at;		 /* where the next page is written */
	size_t left;		 /* pages there */
	bool recycled;		 /* they are of from-space */
	bool island;		 /* and of an island */
	bool copies;		 /* they are copied from there */
	size_t asking;		 /* the page that is asked for */
	struct pmv_evac_run run;
	uint32_t marks[PAGEMV_AROUND_MAX];
};

/* ---- scratch ---- */

/* What has not been written is free again. */
static void give_recycled(struct touched *t)
{
	if (t->island)
		pmv_evac_give_island(t->e, t->at, t->left);
	else if (t->recycled)
		pmv_evac_untake(t->e, t->at, t->left);
	t->recycled = t->island = false;
	t->left = 0;
}

/* Also when the thread ends inside the callback. A recycled page that was not
 * moved in is given back by finish. */
static void give_scratch(void *arg)
{
	struct touched *t = arg;

	give_recycled(t);
	if (t->slot.base)
		pmv_scratch_give(t->e->pv, &t->slot);
}

static bool take_recycled(struct touched *t, size_t want)
{
	struct pagemv_evac *e = t->e;
	size_t min = pmv_evac_moved_from(e);

	if (min == SIZE_MAX ||
	    !atomic_load_explicit(&e->writes, memory_order_relaxed))
		return false;
	if (want >= min)
		t->left = pmv_evac_take_island(e, min, want, &t->at);
	t->island = t->left;
	if (!t->left && want >= min)
		t->left = pmv_evac_take(e, min, want, &t->at);
	t->recycled = t->left;
	t->copies = false;
	return t->recycled;
}

/* A slot stays in the caches when what is written there is copied. */
static int take_slot(struct touched *t)
{
	struct pagemv_evac *e = t->e;
	int rc = t->slot.base ? 0 : pmv_scratch_take(e->pv, &t->slot);

	t->at = t->slot.base;
	t->left = PAGEMV_AROUND_MAX;
	t->copies = e->how != PAGEMV_EVAC_BY_MOVE ||
		    e->opts.single != PAGEMV_MECH_MOVE;
	return rc;
}

/* ---- a run ---- */

/* Brings what has been produced; 0, or why not all of it. */
static int flush(struct touched *t)
{
	struct pagemv_evac *e = t->e;
	struct pmv_evac_run *r = &t->run;
	int error = 0;
	size_t n;

	if (!r->n)
		return 0;
	n = pmv_evac_bring(e, t->hold, r, t->copies, &error);
	if (r->kind == PMV_EVAC_WRITTEN && !t->copies)
		pmv_evac_add(
			e, t->recycled ? PMV_EVAC_RECYCLED : PMV_EVAC_FRESH, n);
	pmv_evac_add(e, PMV_EVAC_BY_FAULTS, n);
	if (n)
		pmv_evac_found(e, r->first, n, r->marks);
	pmv_evac_mark(e, r->first, n, r->marks);
	if (n < r->n && error != PMV_FILL_GONE)
		pmv_evac_failed(e, r->first + n, error);
	r->n = 0;
	return error;
}

static int next_scratch(struct touched *t, size_t want)
{
	int rc;

	if (t->left)
		return 0;
	rc = flush(t);
	t->recycled = t->island = false;
	if (rc == 0 && !take_recycled(t, want))
		rc = take_slot(t);
	return rc;
}

static int append(struct touched *t, const struct pmv_evac_answer *a)
{
	bool written = a->kind == PMV_EVAC_WRITTEN;
	int rc = 0;

	if (!pmv_evac_run_follows(t->e, &t->run, t->asking, a)) {
		rc = flush(t);
		pmv_evac_run_begin(&t->run, t->asking, a);
	}
	if (rc < 0)
		return rc;
	t->marks[t->run.n++] = a->mark;
	if (written) {
		t->at += t->e->page;
		t->left--;
	}
	/* For the next one that takes scratch. */
	if (written !=
	    atomic_load_explicit(&t->e->writes, memory_order_relaxed))
		atomic_store_explicit(&t->e->writes, written,
				      memory_order_relaxed);
	return 0;
}

/* ---- the window ---- */

/* Page i, of which want - 1 more follow. */
static int produce(struct touched *t, size_t i, size_t want)
{
	struct pmv_evac_answer a;
	int rc = next_scratch(t, want);

	if (rc < 0)
		return rc;
	t->asking = i;
	a = pmv_evac_ask(t->e, i, t->at, true);
	if (a.kind >= 0)
		return append(t, &a);
	rc = flush(t);
	if (rc < 0)
		return rc;
	if (a.kind != PMV_FILL_GONE)
		pmv_evac_failed(t->e, i, a.kind);
	return a.kind;
}

/* It has been thrown away since. */
static int zero_again(struct touched *t, size_t i)
{
	struct pagemv_evac *e = t->e;
	int error = flush(t);

	if (error == 0)
		pmv_source_map(e->pv, t->hold, e->space + i * e->page, 0,
			       e->page, false, &error);
	return error;
}

static int produce_all(struct touched *t, size_t first, size_t n)
{
	int rc = 0;

	for (size_t k = 0; k < n && rc == 0; k++)
		rc = pmv_evac_is_produced(t->e, first + k)
			     ? zero_again(t, first + k)
			     : produce(t, first + k, n - k);
	return rc == 0 ? flush(t) : rc;
}

/* How many of n pages are there, from the first one on. */
static size_t there(const struct pagemv_evac *e, size_t first, size_t n)
{
	size_t k = 0;

	while (k < n && pmv_evac_is_produced(e, first + k))
		k++;
	return k;
}

size_t pmv_evac_touched(struct pagemv_evac *e, const struct pmv_hold *hold,
			size_t first, size_t n, int *error)
{
	struct touched t = { .e = e, .hold = hold };

	t.run.marks = t.marks;
	pthread_cleanup_push(give_scratch, &t);
	*error = produce_all(&t, first, n);
	pthread_cleanup_pop(1);
	pmv_evac_relieve(e, true);
	return *error ? there(e, first, n) : n;
}
