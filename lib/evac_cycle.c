// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The life of a cycle, but for its flip; and looking at it.
 */
#include "evac.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "internal.h"
#include "mapping.h"
#include "pages.h"
#include "trace.h"

/* ---- beginning ---- */

static size_t pages_of(const struct pagemv_evac *e, size_t bytes)
{
	return bytes / e->page + (bytes % e->page != 0);
}

static int check_cycle(const struct pagemv_evac *e,
		       const struct pagemv_evac_cycle *cycle,
		       struct pagemv_evac_cycle *c)
{
	int rc = pmv_opts_copy(c, sizeof(*c), cycle);

	if (rc < 0)
		return rc;
	if (c->flags & ~PAGEMV_EVAC_CYCLE_ALL || c->flip >= PAGEMV_FLIP_COUNT ||
	    !c->used_bytes || c->to_bytes > c->used_bytes ||
	    pages_of(e, c->used_bytes) > e->pages)
		return -EINVAL;
	if (c->flip == PAGEMV_FLIP_FAST && !(c->flags & PAGEMV_EVAC_STILL))
		return -EINVAL;
	return 0;
}

/* The mappings that the used part of the space is in: mostly one. */
static int find_pieces(struct pagemv_evac *e, size_t bytes)
{
	size_t off = 0;

	e->n_pieces = 0;
	while (off < bytes && e->n_pieces < PMV_EVAC_PIECES) {
		struct pmv_evac_piece *p = &e->pieces[e->n_pieces++];
		struct pmv_mapping m;
		int rc = pmv_mapping_find(e->pv, e->space + off, &m);

		*p = (struct pmv_evac_piece){ off, bytes - off };
		if (rc < 0)
			break; /* no /proc: believed */
		if (rc == 0 || m.start > e->space + off)
			return -EINVAL;
		p->bytes = pmv_min(p->bytes, m.end - e->space - off);
		off += p->bytes;
	}
	return off < bytes && e->n_pieces == PMV_EVAC_PIECES ? -ENOMEM : 0;
}

/* What the next cycle will write to, as far as that has not been done yet; of
 * to-space all that there can be, as often only the pause knows its size. */
static void clear_tables(struct pagemv_evac *e)
{
	pmv_produced *next = e->produced == e->both[0] ? e->both[1]
						       : e->both[0];
	size_t i = e->cleared;

	if (i < e->next_used)
		pmv_page_note(e->states, i, e->next_used - i, PMV_PAGE_ABSENT);
	for (; i < e->next_used; i++) {
		atomic_store_explicit(&next[i], 0, memory_order_relaxed);
		atomic_store_explicit(&e->gone[i], 0, memory_order_relaxed);
	}
	e->cleared = i;
}

static int begin(struct pagemv_evac *e, const struct pagemv_evac_cycle *cycle)
{
	struct pagemv_evac_cycle c = { 0 };
	int rc = check_cycle(e, cycle, &c);

	if (rc < 0)
		return rc;
	if (pmv_evac_enter(e) != PMV_GATE_IDLE)
		return -EBUSY;
	if (e->disarmed) {
		if (pmv_region_rearm(e->pv, e->space, e->pages * e->page) < 0)
			return -ENOMEM;
		e->disarmed = false;
	}
	e->next_used = pages_of(e, c.used_bytes);
	e->next_to = pages_of(e, c.to_bytes);
	rc = find_pieces(e, e->next_used * e->page);
	if (rc < 0)
		return rc;
	e->locked = pmv_mapping_locked(e->pv, e->space) == 1;
	e->next_cycle = c;
	clear_tables(e);
	atomic_store_explicit(&e->begun, true, memory_order_relaxed);
	return 0;
}

int pagemv_evac_begin(struct pagemv_evac *evac,
		      const struct pagemv_evac_cycle *cycle)
{
	int saved = errno, rc;

	if (!evac || !cycle)
		return -EINVAL;
	if (!pmv_alive(evac->pv))
		return -ESRCH;
	rc = begin(evac, cycle);
	errno = saved;
	return rc;
}

/* ---- running ---- */

/* 0 if a flip has been made that was not finished. */
static int check_running(struct pagemv_evac *evac)
{
	if (!evac)
		return -EINVAL;
	if (!pmv_alive(evac->pv))
		return -ESRCH;
	return pmv_evac_enter(evac) == PMV_GATE_RUNNING ? 0 : -EINVAL;
}

int pagemv_evac_run(struct pagemv_evac *evac)
{
	int rc = check_running(evac);

	if (rc == 0 && evac->started)
		pmv_evac_ring(evac);
	return rc;
}

ssize_t pagemv_evac_work(struct pagemv_evac *evac, size_t max_pages)
{
	int saved = errno, rc = check_running(evac), error;
	size_t n;

	if (rc < 0)
		return rc;
	n = pmv_evac_work(evac, pmv_min(max_pages, SSIZE_MAX), &error);
	errno = saved;
	return n ? (ssize_t)n : error;
}

static bool is_at_work(const struct pagemv_evac *e)
{
	uint32_t rounds =
		atomic_load_explicit(&e->rounds, memory_order_relaxed);

	for (size_t i = 0; i < e->started; i++) {
		const struct pmv_evac_worker *w = &e->workers[i];

		/* Acquire pairs with the release in worker_main(). */
		if (atomic_load_explicit(&w->round, memory_order_acquire) !=
			    rounds &&
		    !atomic_load_explicit(&w->ended, memory_order_acquire))
			return true;
	}
	return false;
}

/* Until all is there, or nobody works. */
static void wait_for_news(struct pagemv_evac *e)
{
	while (!pmv_evac_is_complete(e)) {
		/* Acquire pairs with the release of those who bring news. */
		uint32_t news =
			atomic_load_explicit(&e->news, memory_order_acquire);

		if (pmv_evac_is_complete(e) || !is_at_work(e))
			return;
		e->pv->sys->futex_wait((const uint32_t *)&e->news, news, 0);
	}
}

int pagemv_evac_wait(struct pagemv_evac *evac)
{
	int saved = errno, rc = check_running(evac);

	if (rc < 0)
		return rc;
	if (evac->started)
		wait_for_news(evac);
	/* What they could not do, or nobody was asked to. */
	rc = pmv_evac_complete(evac);
	errno = saved;
	return rc;
}

/* ---- finishing ---- */

static uint64_t counted(const struct pagemv_evac *e, enum pmv_evac_count what)
{
	return atomic_load_explicit(&e->count[what], memory_order_relaxed);
}

static void add(PMV_ATOMIC _Atomic uint64_t *sum, uint64_t n)
{
	atomic_fetch_add_explicit(sum, n, memory_order_relaxed);
}

static void sum_up(struct pagemv_evac *e)
{
	struct pmv_evac_sums *sums = &e->pv->evac_sums;
	uint64_t on_fault = counted(e, PMV_EVAC_BY_FAULTS);

	add(&sums->cycles, 1);
	add(&sums->pages, pmv_evac_to(e));
	add(&sums->fault_pages, on_fault);
	add(&sums->copied_pages, counted(e, PMV_EVAC_COPIED));
	add(&sums->calls, counted(e, PMV_EVAC_CALLS));
	PMV_TRACE3(evac_finish, e->space, pmv_evac_to(e), on_fault);
}

static void finish(struct pagemv_evac *e)
{
	pmv_evac_set_gate(e, PMV_GATE_IDLE);
	pmv_evac_wait_for_workers(e);
	sum_up(e);
	pmv_pages_discard(e->pv, e->shadow, pmv_evac_used(e) * e->page);
	atomic_fetch_add_explicit(&e->cycles, 1, memory_order_relaxed);
}

int pagemv_evac_finish(struct pagemv_evac *evac)
{
	int saved = errno, rc = check_running(evac);

	if (rc < 0)
		return rc;
	if (!pmv_evac_is_complete(evac))
		return -EBUSY;
	finish(evac);
	errno = saved;
	return 0;
}

/* ---- looking ---- */

int pagemv_evac_info(const struct pagemv_evac *evac,
		     struct pagemv_evac_info *info)
{
	struct pagemv_evac_info all = { 0 };
	const struct pagemv *pv;

	if (!evac || !info || !info->size)
		return -EINVAL;
	pv = evac->pv;
	all.size = info->size;
	all.space = (void *)evac->space;
	all.shadow = (void *)evac->shadow;
	all.len_bytes = evac->opts.len_bytes;
	all.how = evac->how;
	if (evac->how != PAGEMV_EVAC_BY_MOVE)
		all.reason = pv->caps.mech[PAGEMV_MECH_MOVE].reason;
	all.run_pages = evac->opts.run_pages;
	all.workers = evac->opts.workers;
	all.keep_bytes = evac->opts.keep_bytes;
	all.region = evac->region;
	memcpy(info, &all, pmv_min(info->size, sizeof(all)));
	return 0;
}

static enum pagemv_evac_phase phase_of(const struct pagemv_evac *e)
{
	/* Acquire: what the flip told. */
	if (atomic_load_explicit(&e->gate, memory_order_acquire) ==
	    PMV_GATE_RUNNING)
		return pmv_evac_is_complete(e) ? PAGEMV_EVAC_DONE
					       : PAGEMV_EVAC_RUNNING;
	return atomic_load_explicit(&e->begun, memory_order_relaxed)
		       ? PAGEMV_EVAC_BEGUN
		       : PAGEMV_EVAC_IDLE;
}

static void tell_counts(const struct pagemv_evac *e,
			struct pagemv_evac_progress *p)
{
	p->by_workers = counted(e, PMV_EVAC_BY_WORKERS);
	p->by_faults = counted(e, PMV_EVAC_BY_FAULTS);
	p->moved_pages = counted(e, PMV_EVAC_MOVED);
	p->zero_pages = counted(e, PMV_EVAC_ZEROS);
	p->other_pages = counted(e, PMV_EVAC_OTHER);
	p->produced_pages = p->by_workers + p->by_faults + p->moved_pages +
			    p->zero_pages + p->other_pages;
	p->kernel_calls = counted(e, PMV_EVAC_CALLS);
	p->recycled_pages = counted(e, PMV_EVAC_RECYCLED);
	p->fresh_pages = counted(e, PMV_EVAC_FRESH);
	p->copied_pages = counted(e, PMV_EVAC_COPIED);
	p->returned_pages = counted(e, PMV_EVAC_RETURNED);
	p->failures = counted(e, PMV_EVAC_FAILURES);
}

int pagemv_evac_progress(const struct pagemv_evac *evac,
			 struct pagemv_evac_progress *progress)
{
	struct pagemv_evac_progress all = { 0 };

	if (!evac || !progress || !progress->size)
		return -EINVAL;
	all.size = progress->size;
	all.phase = phase_of(evac);
	all.flip = atomic_load_explicit(&evac->flip, memory_order_relaxed);
	all.cycles = atomic_load_explicit(&evac->cycles, memory_order_relaxed);
	all.flip_ns =
		atomic_load_explicit(&evac->flip_ns, memory_order_relaxed);
	all.window_pages =
		atomic_load_explicit(&evac->window_pages, memory_order_relaxed);
	all.used_pages = pmv_evac_used(evac);
	all.to_pages = pmv_evac_to(evac);
	all.done_bytes =
		evac->page *
		atomic_load_explicit(&evac->done, memory_order_relaxed);
	all.error = atomic_load_explicit(&evac->error, memory_order_relaxed);
	all.failed_off_bytes =
		evac->page *
		atomic_load_explicit(&evac->failed_at, memory_order_relaxed);
	tell_counts(evac, &all);
	memcpy(progress, &all, pmv_min(progress->size, sizeof(all)));
	return 0;
}
