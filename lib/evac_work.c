// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Many pages: a worker claims page after page, writes each behind the last one
 * in recycled pages that follow each other, and brings all of them in one call.
 * Pages are claimed only when it comes to them, so that a thread that touches
 * one further on produces it itself; and where somebody waits for one that is
 * written already, the run ends there.
 */
#include "evac.h"

#include <errno.h>

#include "calm.h"
#include "internal.h"
#include "pages.h"
#include "source.h"

/* From so many pages on scratch is populated by one call, see source.c. */
#define POPULATE_PAGES 4

#define NO_PAGE SIZE_MAX

/* Where from-space is in pieces, so many pages are worth a call of their own.
 */
#define PIECE_MIN 8

/* Each so many pages a worker looks whether somebody waits for one of them. */
#define LOOK_EACH 8

/* Pages to write to. */
struct piece {
	uintptr_t at;
	size_t left;
	struct pmv_scratch slot; /* base 0: none */
};

/* A thread at work. */
struct job {
	struct pagemv_evac *e;
	struct pmv_hold hold;
	struct pmv_evac_run run;
	uint32_t marks[PMV_EVAC_RUN_MAX];
	struct piece piece;
	size_t asking; /* the claimed page that is asked for, or NO_PAGE */
	size_t budget;
	size_t produced;
	int error; /* of the last page that failed */
	struct pmv_inside inside;
};

static const struct pmv_hold *hold_of(const struct job *j)
{
	return j->e->region ? &j->hold : NULL;
}

static void release(const struct job *j, size_t i, size_t n,
		    enum pmv_page_state state)
{
	if (n)
		pmv_page_release(j->e->pv->sys, j->e->states, i, n, state);
}

static void fail(struct job *j, size_t i, int error)
{
	j->error = error == PMV_FILL_GONE ? -ESRCH : error;
	pmv_evac_failed(j->e, i, j->error);
}

/* ---- a run ---- */

/* What the thread has claimed, so that it notices when it waits for itself. */
static void note_inside(struct job *j)
{
	const struct pagemv_evac *e = j->e;
	size_t from = j->run.n ? j->run.first : j->asking;
	size_t to = j->asking != NO_PAGE ? j->asking + 1
					 : j->run.first + j->run.n;

	j->inside.from = e->space + from * e->page;
	j->inside.to = e->space + to * e->page;
}

static void count_run(struct pagemv_evac *e, int kind, size_t n)
{
	static const enum pmv_evac_count of[] = {
		[PMV_EVAC_WRITTEN] = PMV_EVAC_BY_WORKERS,
		[PMV_EVAC_ZERO] = PMV_EVAC_ZEROS,
		[PMV_EVAC_MOVE] = PMV_EVAC_MOVED,
	};

	pmv_evac_add(e, of[kind], n);
}

/* Brings the run. What could not be brought is given back as absent. */
static void flush(struct job *j)
{
	struct pmv_evac_run *r = &j->run;
	size_t done;
	int error;

	if (!r->n)
		return;
	done = pmv_evac_bring(j->e, hold_of(j), r, false, &error);
	count_run(j->e, r->kind, done);
	j->produced += done;
	pmv_evac_mark(j->e, r->first, done, r->marks);
	release(j, r->first, done, PMV_PAGE_PRESENT);
	release(j, r->first + done, r->n - done, PMV_PAGE_ABSENT);
	if (done < r->n)
		fail(j, r->first + done, error);
	r->n = 0;
	pmv_evac_relieve(j->e, false);
}

static void append(struct job *j, size_t i, const struct pmv_evac_answer *a)
{
	struct pmv_evac_run *r = &j->run;

	if (!pmv_evac_run_follows(j->e, r, i, a)) {
		flush(j);
		pmv_evac_run_begin(r, i, a);
	}
	r->marks[r->n++] = a->mark;
	if (r->n == j->e->opts.run_pages ||
	    (r->n % LOOK_EACH == 0 &&
	     pmv_page_waited(j->e->states, r->first, r->n)))
		flush(j);
}

/* ---- scratch ---- */

static int take_slot(struct job *j)
{
	struct piece *p = &j->piece;

	return p->slot.base ? 0 : pmv_scratch_take(j->e->pv, &p->slot);
}

/* Mostly behind the last ones, so that the run goes on. */
static bool take_recycled(struct job *j, size_t want)
{
	struct pagemv_evac *e = j->e;
	struct piece *p = &j->piece;

	if (e->how == PAGEMV_EVAC_BY_MOVE)
		p->left = pmv_evac_take(e, pmv_min(PIECE_MIN, (want + 1) / 2),
					want, &p->at);
	pmv_evac_add(e, PMV_EVAC_RECYCLED, p->left);
	return p->left;
}

/* Not recycled: what is moved from there leaves it empty. */
static int take_fresh(struct job *j, size_t want)
{
	struct pagemv_evac *e = j->e;
	struct piece *p = &j->piece;
	int rc = take_slot(j);

	if (rc < 0)
		return rc;
	p->at = p->slot.base;
	p->left = pmv_min(want, PAGEMV_AROUND_MAX);
	if (p->left >= POPULATE_PAGES)
		pmv_pages_populate(e->pv->sys, p->at, p->left * e->page);
	if (e->how == PAGEMV_EVAC_BY_MOVE)
		pmv_evac_add(e, PMV_EVAC_FRESH, p->left);
	return 0;
}

/* A page to write page i to, behind the last one if that can be. */
static int next_scratch(struct job *j, size_t i, uintptr_t *out)
{
	struct pagemv_evac *e = j->e;
	struct piece *p = &j->piece;
	size_t want =
		pmv_min(e->opts.run_pages, j->budget - j->produced - j->run.n);
	int rc = 0;

	*out = e->space + i * e->page;
	if (e->how == PAGEMV_EVAC_STOPPED)
		return 0;
	if (!p->left && !take_recycled(j, want)) {
		flush(j); /* from what may be used again now */
		if (!take_recycled(j, want))
			rc = take_fresh(j, want);
	}
	*out = p->at;
	return rc;
}

static void use_scratch(struct job *j)
{
	if (j->e->how == PAGEMV_EVAC_STOPPED)
		return;
	j->piece.at += j->e->page;
	j->piece.left--;
}

/* ---- a page ---- */

/* Page i is claimed. */
static void produce(struct job *j, size_t i)
{
	struct pmv_evac_answer a;
	uintptr_t scratch;

	j->asking = i;
	note_inside(j);
	a.kind = next_scratch(j, i, &scratch);
	if (a.kind == 0)
		a = pmv_evac_ask(j->e, i, scratch, false);
	j->asking = NO_PAGE;
	if (a.kind < 0) {
		release(j, i, 1, PMV_PAGE_ABSENT);
		fail(j, i, a.kind);
		return;
	}
	if (a.kind == PMV_EVAC_WRITTEN)
		use_scratch(j);
	append(j, i, &a);
}

static bool is_there(const struct pagemv_evac *e, size_t i)
{
	struct pmv_run run =
		pmv_pages_run(e->pv, e->space + i * e->page, e->page);

	return run.populated && run.known;
}

/*
 * Its word says that it is there, and it was not produced: the program has
 * moved a page of its own there, or the word is behind.
 */
static void look_at(struct job *j, size_t i)
{
	uint32_t mark = 1;

	if (!pmv_page_reclaim(j->e->states, i))
		return;
	if (!pmv_evac_is_produced(j->e, i)) {
		if (!is_there(j->e, i)) {
			produce(j, i);
			return;
		}
		pmv_evac_add(j->e, PMV_EVAC_OTHER, 1);
		pmv_evac_mark(j->e, i, 1, &mark);
		j->produced++;
	}
	release(j, i, 1, PMV_PAGE_PRESENT);
}

static void work_at(struct job *j, size_t i)
{
	if (pmv_evac_is_produced(j->e, i))
		return;
	switch (pmv_page_claim(j->e->states, i)) {
	case PMV_PAGE_ABSENT:
		/* Produced, and thrown away since. */
		if (pmv_evac_is_produced(j->e, i))
			release(j, i, 1, PMV_PAGE_PRESENT);
		else
			produce(j, i);
		break;
	case PMV_PAGE_PRESENT:
		look_at(j, i);
		break;
	default:
		break;
	}
}

/* Also false when the space is being closed, or in a child. */
static bool goes_on(const struct job *j)
{
	return j->produced + j->run.n < j->budget && pmv_alive(j->e->pv) &&
	       atomic_load_explicit(&j->e->gate, memory_order_relaxed) ==
		       PMV_GATE_RUNNING;
}

static void work_on(struct job *j, size_t from, size_t to)
{
	for (size_t i = from; i < to && goes_on(j); i++)
		work_at(j, i);
}

/* ---- all of them ---- */

/* The next pages that nobody has come to. */
static bool next_pages(struct job *j, size_t *from, size_t *to)
{
	struct pagemv_evac *e = j->e;
	size_t n =
		pmv_min(e->opts.run_pages, j->budget - j->produced - j->run.n);

	if (atomic_load_explicit(&e->cursor, memory_order_relaxed) >=
	    pmv_evac_to(e))
		return false;
	/* Relaxed: pages are claimed by their states. */
	*from = atomic_fetch_add_explicit(&e->cursor, n, memory_order_relaxed);
	*to = pmv_min(*from + n, pmv_evac_to(e));
	return *from < pmv_evac_to(e);
}

/* What was left behind, up to to: others failed, or ended, or have it still. */
static void catch_up(struct job *j, size_t to)
{
	flush(j);
	work_on(j, atomic_load_explicit(&j->e->prefix, memory_order_relaxed),
		to);
	flush(j);
}

/*
 * Before it takes more memory, a worker does what one that was interrupted has
 * not come to, and waits for the first page that another has: that one may be
 * waiting for this CPU. Nobody waits for who waits here, as nothing is claimed.
 */
static void let_others_catch_up(struct job *j)
{
	struct pagemv_evac *e = j->e;
	size_t i;

	catch_up(j, pmv_min(pmv_evac_to(e),
			    atomic_load_explicit(&e->cursor,
						 memory_order_relaxed)));
	i = atomic_load_explicit(&e->prefix, memory_order_relaxed);
	if (i < pmv_evac_to(e) && pmv_evac_is_starved(e))
		pmv_page_wait(e->pv->sys, e->states, i);
}

static void work(struct job *j)
{
	size_t from, to;

	/* A run may go on in the next pages. */
	while (goes_on(j) && next_pages(j, &from, &to)) {
		work_on(j, from, to);
		if (pmv_evac_is_starved(j->e))
			let_others_catch_up(j);
	}
	catch_up(j, goes_on(j) ? pmv_evac_to(j->e) : 0);
}

/* ---- taking part ---- */

static void leave(struct job *j)
{
	struct pagemv_evac *e = j->e;

	if (j->piece.slot.base)
		pmv_scratch_give(e->pv, &j->piece.slot);
	if (e->region)
		pmv_region_put(&j->hold);
	/* Release pairs with the acquire in pmv_evac_wait_for_workers(). */
	atomic_fetch_sub_explicit(&e->working, 1, memory_order_release);
}

/* The thread ends inside the callback: what it has claimed is as it was. */
static void abandon(void *arg)
{
	struct job *j = arg;

	pmv_inside = j->inside.up;
	release(j, j->run.first, j->run.n, PMV_PAGE_ABSENT);
	if (j->asking != NO_PAGE)
		release(j, j->asking, 1, PMV_PAGE_ABSENT);
	leave(j);
}

static bool enter(struct job *j)
{
	struct pagemv_evac *e = j->e;

	atomic_fetch_add_explicit(&e->working, 1, memory_order_acq_rel);
	if (pmv_evac_enter(e) == PMV_GATE_RUNNING &&
	    (!e->region || pmv_region_hold_known(e->region, &j->hold))) {
		return true;
	}
	atomic_fetch_sub_explicit(&e->working, 1, memory_order_release);
	return false;
}

size_t pmv_evac_work(struct pagemv_evac *e, size_t max, int *error)
{
	struct job j = { .e = e, .budget = max, .asking = NO_PAGE };
	struct pmv_calm calm;

	j.run.marks = j.marks;
	*error = 0;
	if (!enter(&j))
		return 0;
	pmv_calm_begin(&calm);
	j.inside.region = e->region;
	j.inside.up = pmv_inside;
	pmv_inside = &j.inside;
	pthread_cleanup_push(abandon, &j);
	work(&j);
	pthread_cleanup_pop(0);
	pmv_inside = j.inside.up;
	leave(&j);
	pmv_calm_end(&calm);
	*error = j.error;
	return j.produced;
}

void pmv_evac_wait_for_workers(struct pagemv_evac *e)
{
	unsigned int idle = 0;

	/* Acquire pairs with the release in leave(). */
	while (atomic_load_explicit(&e->working, memory_order_acquire))
		pmv_back_off(e->pv->sys, pmv_min(idle++, PMV_IDLE_MAX));
}

/* What a round that produced nothing means; 0 to go on. */
static int answer(struct pagemv_evac *e, int error, unsigned int *idle)
{
	size_t i = atomic_load_explicit(&e->prefix, memory_order_relaxed);

	if (error < 0 && (error != -EAGAIN || *idle >= PMV_IDLE_MAX))
		return error;
	if (error == -EAGAIN)
		pmv_back_off(e->pv->sys, (*idle)++);
	else if (i < pmv_evac_to(e)) /* somebody else has it */
		pmv_page_wait(e->pv->sys, e->states, i);
	return 0;
}

int pmv_evac_complete(struct pagemv_evac *e)
{
	unsigned int idle = 0;
	int error, rc = 0;

	while (!pmv_evac_is_complete(e) && rc == 0) {
		if (pmv_evac_work(e, SIZE_MAX, &error))
			idle = 0;
		else if (pmv_evac_enter(e) != PMV_GATE_RUNNING)
			rc = -EINVAL;
		else
			rc = answer(e, error, &idle);
	}
	return rc;
}
