// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * One page of to-space: what it is made of, and how it gets there; and the page
 * that a thread has touched.
 */
#include "evac.h"

#include <errno.h>
#include <string.h>

#include "internal.h"
#include "mover.h"
#include "pages.h"
#include "source.h"

/* ---- asking ---- */

static bool is_from_page(const struct pagemv_evac *e, uintptr_t addr)
{
	return addr - e->shadow < pmv_evac_used(e) * e->page &&
	       !(addr & (e->page - 1));
}

/* What produce() said, as one of the library's kinds and errors. */
static int kind_of(const struct pagemv_evac *e, int rc,
		   const struct pagemv_produce *p)
{
	/* It has forked: the descriptor fills the parent's memory. */
	if (!pmv_alive(e->pv))
		return PMV_FILL_GONE;
	if (rc > PAGEMV_PRODUCE_MOVE)
		return -EINVAL;
	if (rc == PAGEMV_PRODUCE_MOVE &&
	    !is_from_page(e, (uintptr_t)p->move_from))
		return -EINVAL;
	/* A page that is poisoned could never be produced. */
	return rc == -EHWPOISON ? -EIO : rc;
}

struct pmv_evac_answer pmv_evac_ask(struct pagemv_evac *e, size_t i,
				    uintptr_t scratch, bool on_fault)
{
	struct pagemv_produce p = {
		.evac = e,
		.addr = (void *)(e->space + i * e->page),
		.off_bytes = i * e->page,
		.from = (char *)e->shadow,
		.scratch = (void *)scratch,
		.on_fault = on_fault,
	};
	struct pmv_evac_answer answer;

	answer.kind = kind_of(e, e->opts.produce(e->opts.arg, &p), &p);
	answer.from = (uintptr_t)p.move_from;
	answer.mark =
		1 + (uint32_t)pmv_min(p.done_bytes / e->page, pmv_evac_used(e));
	return answer;
}

void pmv_evac_failed(struct pagemv_evac *e, size_t i, int error)
{
	int none = 0;

	if (atomic_compare_exchange_strong_explicit(&e->error, &none, error,
						    memory_order_relaxed,
						    memory_order_relaxed))
		atomic_store_explicit(&e->failed_at, i, memory_order_relaxed);
	pmv_evac_add(e, PMV_EVAC_FAILURES, 1);
}

/* ---- bringing ---- */

/*
 * A page that a device holds: mremap takes it along, and the registration with
 * it, so that it is registered again. Nobody can be told of a fault at it
 * meanwhile, as it is there.
 */
static int remap_held(struct pagemv_evac *e, uintptr_t dst, uintptr_t src)
{
	int rc = pmv_remap(e->pv, dst, src, e->page, e->locked);

	if (rc == 0)
		rc = pmv_region_rearm(e->pv, dst, e->page);
	return rc;
}

static size_t move_pages(struct pagemv_evac *e, const struct pmv_hold *hold,
			 uintptr_t dst, uintptr_t src, size_t bytes, int *error)
{
	size_t done = pmv_source_move(e->pv, hold, dst, src, bytes, error);

	while (*error == -EBUSY && e->opts.flags & PAGEMV_EVAC_MAY_REMAP) {
		*error = remap_held(e, dst + done, src + done);
		if (*error)
			break;
		done += e->page;
		done += pmv_source_move(e->pv, hold, dst + done, src + done,
					bytes - done, error);
	}
	return done;
}

/* Nothing is read there any more. */
static void note_gone(struct pagemv_evac *e, uintptr_t src, size_t n)
{
	size_t first = (src - e->shadow) / e->page;

	for (size_t i = 0; i < n; i++)
		atomic_store_explicit(&e->gone[first + i], 1,
				      memory_order_relaxed);
}

/* Without userfaultfd and without threads that run: it has been written where
 * it belongs. */
static size_t bring_stopped(const struct pagemv_evac *e, int kind,
			    uintptr_t dst, uintptr_t src, size_t bytes)
{
	/* produce() may have written there before it said so. */
	if (kind == PMV_EVAC_ZERO && pmv_pages_discard(e->pv, dst, bytes) < 0)
		memset((void *)dst, 0, bytes);
	if (kind == PMV_EVAC_MOVE)
		memcpy((void *)dst, (const void *)src, bytes);
	return bytes;
}

size_t pmv_evac_bring(struct pagemv_evac *e, const struct pmv_hold *hold,
		      int kind, size_t i, uintptr_t src, size_t n, bool copies,
		      int *error)
{
	uintptr_t dst = e->space + i * e->page;
	size_t bytes = n * e->page, done;

	*error = 0;
	copies = copies || e->how != PAGEMV_EVAC_BY_MOVE;
	if (e->how == PAGEMV_EVAC_STOPPED)
		done = bring_stopped(e, kind, dst, src, bytes);
	else if (kind == PMV_EVAC_ZERO)
		done = pmv_source_map(e->pv, hold, dst, 0, bytes, false, error);
	else if (kind == PMV_EVAC_MOVE && e->how == PAGEMV_EVAC_BY_MOVE)
		done = move_pages(e, hold, dst, src, bytes, error);
	else
		done = pmv_source_map(e->pv, hold, dst, src, bytes, copies,
				      error);
	done /= e->page;
	if (kind == PMV_EVAC_MOVE && e->how == PAGEMV_EVAC_BY_MOVE)
		note_gone(e, src, done);
	if (kind == PMV_EVAC_WRITTEN && copies)
		pmv_evac_add(e, PMV_EVAC_COPIED, done);
	pmv_evac_add(e, PMV_EVAC_CALLS, 1);
	return done;
}

/* ---- pages that were touched ---- */

/* One of them, and where it is written. */
struct touched {
	struct pagemv_evac *e;
	const struct pmv_hold *hold;
	size_t i;
	struct pmv_scratch slot; /* base 0: a recycled page */
	uintptr_t scratch;
};

static bool is_copied(const struct pagemv_evac *e)
{
	return e->how != PAGEMV_EVAC_BY_MOVE ||
	       e->opts.single != PAGEMV_MECH_MOVE;
}

static int take_scratch(struct touched *t)
{
	int rc;

	if (!is_copied(t->e) && pmv_evac_take(t->e, 1, 1, &t->scratch)) {
		pmv_evac_add(t->e, PMV_EVAC_RECYCLED, 1);
		return 0;
	}
	rc = pmv_scratch_take(t->e->pv, &t->slot);
	t->scratch = t->slot.base;
	if (rc == 0 && !is_copied(t->e))
		pmv_evac_add(t->e, PMV_EVAC_FRESH, 1);
	return rc;
}

/* Also when the thread ends inside the callback. A recycled page that was not
 * moved in is given back by finish. */
static void give_scratch(void *arg)
{
	struct touched *t = arg;

	if (t->slot.base)
		pmv_scratch_give(t->e->pv, &t->slot);
}

static int produce(struct touched *t)
{
	struct pagemv_evac *e = t->e;
	struct pmv_evac_answer a = pmv_evac_ask(e, t->i, t->scratch, true);
	int error = a.kind;
	uintptr_t src = a.kind == PMV_EVAC_MOVE ? a.from : t->scratch;

	if (a.kind >= 0 && pmv_evac_bring(e, t->hold, a.kind, t->i, src, 1,
					  is_copied(e), &error)) {
		pmv_evac_add(e, PMV_EVAC_BY_FAULTS, 1);
		pmv_evac_mark(e, t->i, 1, &a.mark);
		pmv_evac_relieve(e, true);
		return 0;
	}
	if (error != PMV_FILL_GONE)
		pmv_evac_failed(e, t->i, error);
	return error;
}

static int fill_one(struct pagemv_evac *e, const struct pmv_hold *hold,
		    size_t i)
{
	struct touched t = { .e = e, .hold = hold, .i = i };
	int error;

	/* It has been thrown away since. */
	if (pmv_evac_is_produced(e, i)) {
		pmv_source_map(e->pv, hold, e->space + i * e->page, 0, e->page,
			       false, &error);
		return error;
	}
	error = take_scratch(&t);
	if (error < 0)
		return error;
	pthread_cleanup_push(give_scratch, &t);
	error = produce(&t);
	pthread_cleanup_pop(1);
	return error;
}

static size_t fill_zeros(struct pagemv_evac *e, const struct pmv_hold *hold,
			 size_t i, size_t n, int *error)
{
	return pmv_source_map(e->pv, hold, e->space + i * e->page, 0,
			      n * e->page, false, error) /
	       e->page;
}

static size_t fill_running(struct pagemv_evac *e, const struct pmv_hold *hold,
			   const struct pmv_window *w, int *error)
{
	size_t done = 0;

	while (done < w->pages && w->first + done < pmv_evac_to(e)) {
		*error = fill_one(e, hold, w->first + done);
		if (*error)
			return done;
		done++;
	}
	if (done < w->pages)
		done += fill_zeros(e, hold, w->first + done, w->pages - done,
				   error);
	return done;
}

static size_t fill(void *arg, const struct pmv_hold *hold,
		   const struct pmv_window *w, int *error)
{
	struct pagemv_evac *e = arg;

	*error = 0;
	switch (pmv_evac_enter(e)) {
	case PMV_GATE_IDLE:
		return fill_zeros(e, hold, w->first, w->pages, error);
	case PMV_GATE_RUNNING:
		return fill_running(e, hold, w, error);
	default:
		*error = -EAGAIN;
		return 0;
	}
}

/* To-space one by one, so that a thread waits for no page but its own; zeros as
 * they are allocated. */
static size_t around(void *arg, size_t i, size_t *begin, size_t *end)
{
	struct pagemv_evac *e = arg;

	switch (pmv_evac_enter(e)) {
	case PMV_GATE_IDLE:
		return PAGEMV_AROUND_MAX;
	case PMV_GATE_RUNNING:
		if (i < pmv_evac_to(e))
			break;
		*begin = *begin > pmv_evac_to(e) ? *begin : pmv_evac_to(e);
		return PAGEMV_AROUND_MAX;
	default:
		break;
	}
	*begin = i;
	*end = i + 1;
	return 1;
}

const struct pmv_filler pmv_evac_filler = { .around = around, .fill = fill };
