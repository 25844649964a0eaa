// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Pages of to-space: what they are made of, and how they get there.
 */
#include "evac.h"

#include <errno.h>
#include <string.h>

#include "internal.h"
#include "mover.h"
#include "pages.h"
#include "source.h"
#include "trace.h"

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

/* The first page of from-space that no earlier page needs. */
static uint32_t first_own(const struct pagemv_evac *e,
			  const struct pagemv_produce *p)
{
	size_t used = pmv_evac_used(e) * e->page;

	if (!p->first_bytes || p->first_bytes > used)
		return UINT32_MAX;
	return (uint32_t)(pmv_round_up(p->first_bytes, e->page) / e->page);
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
	answer.src = answer.kind == PMV_EVAC_ZERO   ? 0
		     : answer.kind == PMV_EVAC_MOVE ? (uintptr_t)p.move_from
						    : scratch;
	answer.own = first_own(e, &p);
	answer.mark =
		1 + (uint32_t)pmv_min(p.done_bytes / e->page, pmv_evac_used(e));
	/* Claimed: read by nobody before it is marked. */
	atomic_store_explicit(&e->firsts[i], answer.own, memory_order_relaxed);
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

/* ---- costs ---- */

/*
 * A MOVE of written pages costs a call, mostly for the TLB of the other CPUs: 1
 * us on an idle machine, 9 beside a busy thread; a COPY of them costs each
 * page: 1 to 2 us. Measured while it goes on, as it depends on who else is
 * running.
 */
#define MOVE_CALL_NS 9000
#define COPY_PAGE_NS 2000
#define MOVE_PAGE_NS 60
/* One question in so many is answered the other way, to learn. */
#define COSTS_TRIED 64

void pmv_evac_guess_costs(struct pagemv_evac *e)
{
	atomic_store_explicit(&e->move_call_ns, MOVE_CALL_NS,
			      memory_order_relaxed);
	atomic_store_explicit(&e->copy_page_ns, COPY_PAGE_NS,
			      memory_order_relaxed);
}

static void learn(PMV_ATOMIC _Atomic uint32_t *ns, uint64_t seen)
{
	uint32_t old = atomic_load_explicit(ns, memory_order_relaxed);

	/* A thread that lost its CPU in between tells nothing. */
	if (seen <= (uint64_t)4 * old)
		atomic_store_explicit(ns, old - old / 8 + (uint32_t)seen / 8,
				      memory_order_relaxed);
	else
		atomic_store_explicit(ns, old + old / 8, memory_order_relaxed);
}

static void note_cost(struct pagemv_evac *e, bool copied, size_t n, uint64_t ns)
{
	uint64_t pages_ns = (uint64_t)n * MOVE_PAGE_NS;

	if (copied && n >= 4)
		learn(&e->copy_page_ns, ns / n);
	else if (!copied)
		learn(&e->move_call_ns, ns > pages_ns ? ns - pages_ns : 0);
}

size_t pmv_evac_moved_from(struct pagemv_evac *e)
{
	uint32_t move_ns =
		atomic_load_explicit(&e->move_call_ns, memory_order_relaxed);
	uint32_t copy_ns =
		atomic_load_explicit(&e->copy_page_ns, memory_order_relaxed);
	size_t from = 1;

	if (e->opts.single == PAGEMV_MECH_MOVE)
		return 1;
	if (e->how != PAGEMV_EVAC_BY_MOVE || e->opts.single == PAGEMV_MECH_COPY)
		return SIZE_MAX;
	if (copy_ns > MOVE_PAGE_NS)
		from = 1 + move_ns / (copy_ns - MOVE_PAGE_NS);
	if (atomic_fetch_add_explicit(&e->asked_costs, 1,
				      memory_order_relaxed) %
		    COSTS_TRIED ==
	    COSTS_TRIED - 1)
		return from > e->opts.around_pages ? 1 : 2 * from;
	return from;
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

/* ---- runs ---- */

bool pmv_evac_run_follows(const struct pagemv_evac *e,
			  const struct pmv_evac_run *r, size_t i,
			  const struct pmv_evac_answer *a)
{
	return r->n && a->kind == r->kind && i == r->first + r->n &&
	       (a->kind == PMV_EVAC_ZERO || a->src == r->src + r->n * e->page);
}

void pmv_evac_run_begin(struct pmv_evac_run *r, size_t i,
			const struct pmv_evac_answer *a)
{
	r->kind = a->kind;
	r->first = i;
	r->src = a->src;
}

static size_t map(struct pagemv_evac *e, const struct pmv_hold *hold,
		  const struct pmv_evac_run *r, bool copies, int *error)
{
	uintptr_t dst = e->space + r->first * e->page;
	size_t bytes = r->n * e->page;

	if (e->how == PAGEMV_EVAC_STOPPED)
		return bring_stopped(e, r->kind, dst, r->src, bytes);
	if (r->kind == PMV_EVAC_MOVE && e->how == PAGEMV_EVAC_BY_MOVE)
		return move_pages(e, hold, dst, r->src, bytes, error);
	return pmv_source_map(e->pv, hold, dst, r->src, bytes, copies, error);
}

size_t pmv_evac_bring(struct pagemv_evac *e, const struct pmv_hold *hold,
		      const struct pmv_evac_run *r, bool copies, int *error)
{
	bool moves = e->how == PAGEMV_EVAC_BY_MOVE;
	bool written = r->kind == PMV_EVAC_WRITTEN;
	uint64_t begun = written && moves ? e->pv->sys->now_ns() : 0;
	size_t done;

	*error = 0;
	copies = copies || !moves;
	done = map(e, hold, r, copies, error) / e->page;
	if (begun && done == r->n)
		note_cost(e, copies, done, e->pv->sys->now_ns() - begun);
	if (r->kind == PMV_EVAC_MOVE && moves)
		note_gone(e, r->src, done);
	if (written && copies)
		pmv_evac_add(e, PMV_EVAC_COPIED, done);
	pmv_evac_add(e, PMV_EVAC_CALLS, 1);
	PMV_TRACE3(evac_run, e->space + r->first * e->page, r->n, done);
	return done;
}

/* ---- pages that were touched ---- */

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
	size_t to = pmv_evac_to(e), mine = 0, done = 0;

	if (w->first < to) {
		mine = pmv_min(w->pages, to - w->first);
		done = pmv_evac_touched(e, hold, w->first, mine, error);
	}
	if (done == mine && done < w->pages)
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

static size_t window(const struct pagemv_evac *e, size_t i, size_t *begin,
		     size_t *end)
{
	size_t n = e->opts.around_pages, low = i - i % n;

	*begin = *begin > low ? *begin : low;
	*end = pmv_min(pmv_min(*end, low + n), pmv_evac_to(e));
	return n;
}

/* To-space by windows that are aligned, so that the gaps between what is there
 * are, too; zeros as they are allocated. */
static size_t around(void *arg, size_t i, size_t *begin, size_t *end)
{
	struct pagemv_evac *e = arg;

	switch (pmv_evac_enter(e)) {
	case PMV_GATE_IDLE:
		return PAGEMV_AROUND_MAX;
	case PMV_GATE_RUNNING:
		if (i < pmv_evac_to(e))
			return window(e, i, begin, end);
		*begin = *begin > pmv_evac_to(e) ? *begin : pmv_evac_to(e);
		return PAGEMV_AROUND_MAX;
	default:
		*begin = i;
		*end = i + 1;
		return 1;
	}
}

const struct pmv_filler pmv_evac_filler = { .around = around, .fill = fill };
