// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The life of a space, and of a cycle but for its flip.
 */
#include "evac.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "diagnose.h"
#include "internal.h"
#include "pages.h"

/* More than a process can have, mostly. */
#define WORKERS_MAX 4096

/* From here on a page table's page table can change hands: 1 GiB. */
#define PUD_BYTES ((size_t)1 << 30)

/* ---- options ---- */

static bool opts_valid(const struct pagemv_evac_opts *o, size_t page)
{
	uintptr_t space = (uintptr_t)o->space, shadow = (uintptr_t)o->shadow;
	bool single = o->single == PAGEMV_MECH_AUTO ||
		      o->single == PAGEMV_MECH_MOVE ||
		      o->single == PAGEMV_MECH_COPY;

	if (o->flags & ~PAGEMV_EVAC_FLAGS_ALL || o->reserved0 ||
	    o->reserved[0] || o->reserved[1] || !single || !o->produce ||
	    o->delivery >= PAGEMV_DELIVERY_COUNT)
		return false;
	if (!space != !shadow || (space | shadow | o->len_bytes) & (page - 1))
		return false;
	if (!o->len_bytes || o->len_bytes / page >= UINT32_MAX)
		return false;
	return o->run_pages <= PMV_EVAC_RUN_MAX && o->workers <= WORKERS_MAX;
}

static int check_opts(struct pagemv *pv, const struct pagemv_evac_opts *opts,
		      struct pagemv_evac_opts *o)
{
	int rc = pmv_opts_copy(o, sizeof(*o), opts);

	if (rc < 0)
		return rc;
	if (!opts_valid(o, pv->page_bytes))
		return -EINVAL;
	if (!o->run_pages)
		o->run_pages = PAGEMV_EVAC_RUN_DEFAULT;
	return 0;
}

/* ---- memory ---- */

/* A range of its own at a multiple of align. */
static int map_aligned(const struct pagemv *pv, size_t bytes, size_t align,
		       uintptr_t *out)
{
	size_t all = bytes + align;
	uintptr_t at, first;
	int rc = all < bytes ? -ENOMEM
			     : pv->sys->mmap(&at, all, PROT_READ | PROT_WRITE);

	if (rc < 0)
		return rc;
	first = pmv_round_up(at, align);
	if (first > at)
		pv->sys->munmap(at, first - at);
	if (at + all > first + bytes)
		pv->sys->munmap(first + bytes, at + all - first - bytes);
	*out = first;
	return 0;
}

/* Aligned, so that whole page tables change hands; less so where there is no
 * room for that. */
static int map_best(const struct pagemv *pv, size_t bytes, uintptr_t *out)
{
	size_t huge = pv->huge_bytes ? pv->huge_bytes : pv->page_bytes;
	int rc = -ENOMEM;

	if (bytes >= PUD_BYTES)
		rc = map_aligned(pv, bytes, PUD_BYTES, out);
	return rc < 0 ? map_aligned(pv, bytes, huge, out) : rc;
}

static int map_ranges(struct pagemv_evac *e)
{
	size_t bytes = e->opts.len_bytes;
	int rc;

	e->space = (uintptr_t)e->opts.space;
	e->shadow = (uintptr_t)e->opts.shadow;
	if (e->space)
		return 0;
	rc = map_best(e->pv, bytes, &e->space);
	if (rc == 0)
		rc = map_best(e->pv, bytes, &e->shadow);
	if (rc < 0 && e->space)
		e->pv->sys->munmap(e->space, bytes);
	e->mapped = rc == 0;
	return rc < 0 ? -ENOMEM : 0;
}

static void unmap_ranges(const struct pagemv_evac *e)
{
	if (!e->mapped)
		return;
	e->pv->sys->munmap(e->space, e->opts.len_bytes);
	e->pv->sys->munmap(e->shadow, e->opts.len_bytes);
}

static int map_tables(struct pagemv_evac *e)
{
	size_t words = e->pages * sizeof(*e->both[0]);
	int rc;

	e->tables_bytes = pmv_round_up(2 * words + e->pages, e->page);
	rc = e->pv->sys->mmap(&e->tables, e->tables_bytes,
			      PROT_READ | PROT_WRITE);
	if (rc < 0)
		return -ENOMEM;
	e->both[0] = (pmv_produced *)e->tables;
	e->both[1] = e->both[0] + e->pages;
	e->gone = (_Atomic uint8_t *)(e->both[1] + e->pages);
	e->produced = e->both[0];
	return 0;
}

static void unmap_tables(const struct pagemv_evac *e)
{
	if (e->tables)
		e->pv->sys->munmap(e->tables, e->tables_bytes);
}

/* ---- the space as a region ---- */

/* What registration does not look at. */
static enum pagemv_reason ranges_reason(struct pagemv_evac *e)
{
	size_t bytes = e->pages * e->page;
	bool several;

	if (e->space + bytes < e->space || e->shadow + bytes < e->shadow)
		return PAGEMV_REASON_WRAPS;
	if (e->space - e->shadow < bytes || e->shadow - e->space < bytes)
		return PAGEMV_REASON_OVERLAP;
	if (pmv_region_touches(e->pv, e->shadow, bytes))
		return PAGEMV_REASON_OVERLAP;
	return pmv_check(e->pv, e->shadow, e->space, bytes, &several);
}

static int register_space(struct pagemv_evac *e, enum pagemv_reason *reason)
{
	const struct pagemv_region_opts opts = {
		.size = sizeof(opts),
		.flags = PAGEMV_REGION_FAULTING,
		.delivery = e->opts.delivery,
		.source = PAGEMV_SOURCE_ZERO,
		.around_pages = PAGEMV_AROUND_MAX,
	};
	struct pagemv *pv = e->pv;
	int rc = pagemv_region_register(pv, (void *)e->space, e->opts.len_bytes,
					&opts, &e->region, reason);

	if (rc == -EOPNOTSUPP) {
		if (pmv_region_touches(pv, e->space, e->opts.len_bytes))
			return -EBUSY;
		e->how = PAGEMV_EVAC_STOPPED;
		return pmv_page_states_open(pv->sys, &e->own, e->pages,
					    e->page) < 0
			       ? -ENOMEM
			       : 0;
	}
	if (rc < 0)
		return rc;
	e->how = pmv_available(pv, PAGEMV_MECH_MOVE) ? PAGEMV_EVAC_BY_MOVE
						     : PAGEMV_EVAC_BY_COPY;
	e->states = &e->region->states;
	e->filler = pmv_evac_filler;
	e->filler.arg = e;
	pmv_region_fill_by(e->region, &e->filler);
	return 0;
}

static int set_up(struct pagemv_evac *e, enum pagemv_reason *reason)
{
	int rc = map_ranges(e);

	*reason = PAGEMV_REASON_NO_MEMORY;
	if (rc < 0)
		return rc;
	*reason = ranges_reason(e);
	if (*reason == PAGEMV_REASON_OVERLAP)
		return -EINVAL;
	if (*reason)
		return pmv_reason_errno(*reason);
	*reason = PAGEMV_REASON_NO_MEMORY;
	rc = map_tables(e);
	if (rc == 0)
		rc = register_space(e, reason);
	if (rc == 0 && e->how == PAGEMV_EVAC_STOPPED)
		e->states = &e->own;
	if (rc == 0)
		rc = pmv_evac_workers_start(e);
	return rc;
}

/* In a forked child the region is the handle's still, and there are no threads.
 */
static int tear_down(struct pagemv_evac *e)
{
	bool alive = pmv_alive(e->pv);
	int rc = 0;

	if (alive) {
		pmv_evac_workers_stop(e);
		rc = pagemv_region_unregister(e->region);
	}
	if (rc < 0)
		return rc;
	pmv_page_states_close(e->pv->sys, &e->own);
	unmap_tables(e);
	unmap_ranges(e);
	free(e);
	return alive ? 0 : -ESRCH;
}

/* ---- opening ---- */

static int evac_open(struct pagemv *pv, const struct pagemv_evac_opts *opts,
		     struct pagemv_evac **out, enum pagemv_reason *reason)
{
	struct pagemv_evac_opts o = { 0 };
	struct pagemv_evac *e;
	size_t bytes;
	int rc = check_opts(pv, opts, &o);

	if (rc < 0)
		return rc;
	*reason = PAGEMV_REASON_FORKED;
	if (!pmv_alive(pv))
		return -ESRCH;
	*reason = PAGEMV_REASON_NO_MEMORY;
	bytes = pmv_round_up(sizeof(*e) + o.workers * sizeof(e->workers[0]),
			     PMV_LINE);
	e = aligned_alloc(PMV_LINE, bytes);
	if (!e)
		return -ENOMEM;
	memset(e, 0, bytes);
	e->pv = pv;
	e->opts = o;
	e->page = pv->page_bytes;
	e->pages = o.len_bytes / e->page;
	rc = set_up(e, reason);
	if (rc < 0) {
		tear_down(e);
		return rc;
	}
	*reason = PAGEMV_REASON_NONE;
	*out = e;
	return 0;
}

int pagemv_evac_open(struct pagemv *pv, const struct pagemv_evac_opts *opts,
		     struct pagemv_evac **out, enum pagemv_reason *reason)
{
	enum pagemv_reason why;
	int saved = errno, rc;

	if (!reason)
		reason = &why;
	*reason = PAGEMV_REASON_BAD_OPTIONS;
	if (!pv || !opts || !out)
		return -EINVAL;
	rc = evac_open(pv, opts, out, reason);
	errno = saved;
	return rc;
}

/* Whether the calling thread is inside produce() of it. */
static bool is_inside(const struct pagemv_evac *e)
{
	for (const struct pmv_inside *in = pmv_inside; in; in = in->up)
		if (in->from - e->space < e->pages * e->page)
			return true;
	return false;
}

int pagemv_evac_close(struct pagemv_evac *evac)
{
	int saved = errno, rc;
	enum pmv_evac_gate gate;

	if (!evac)
		return 0;
	if (pmv_alive(evac->pv) && is_inside(evac))
		return -EDEADLK;
	gate = pmv_evac_enter(evac);
	pmv_evac_set_gate(evac, PMV_GATE_CLOSED);
	rc = tear_down(evac);
	if (rc == -ENOMEM)
		pmv_evac_set_gate(evac, gate);
	errno = saved;
	return rc;
}

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

/* What the next cycle will write to, as far as that has not been done yet. */
static void clear_tables(struct pagemv_evac *e)
{
	pmv_produced *next = e->produced == e->both[0] ? e->both[1]
						       : e->both[0];

	for (; e->cleared_to < e->next_to; e->cleared_to++)
		atomic_store_explicit(&next[e->cleared_to], 0,
				      memory_order_relaxed);
	if (e->cleared_used < e->next_used)
		pmv_page_note(e->states, e->cleared_used,
			      e->next_used - e->cleared_used, PMV_PAGE_ABSENT);
	for (; e->cleared_used < e->next_used; e->cleared_used++)
		atomic_store_explicit(&e->gone[e->cleared_used], 0,
				      memory_order_relaxed);
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

static void finish(struct pagemv_evac *e)
{
	pmv_evac_set_gate(e, PMV_GATE_IDLE);
	pmv_evac_wait_for_workers(e);
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

static uint64_t counted(const struct pagemv_evac *e, enum pmv_evac_count what)
{
	return atomic_load_explicit(&e->count[what], memory_order_relaxed);
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
