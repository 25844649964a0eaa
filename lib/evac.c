// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The life of a space.
 */
#include "evac.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "diagnose.h"
#include "internal.h"
#include "mover.h"

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

	if (o->flags & ~PAGEMV_EVAC_FLAGS_ALL || o->reserved[0] ||
	    o->reserved[1] || !single || !o->produce ||
	    o->around_pages > PAGEMV_AROUND_MAX ||
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
	if (!o->around_pages)
		o->around_pages = PAGEMV_EVAC_AROUND_DEFAULT;
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

	e->tables_bytes = pmv_round_up(3 * words + e->pages, e->page);
	rc = e->pv->sys->mmap(&e->tables, e->tables_bytes,
			      PROT_READ | PROT_WRITE);
	if (rc < 0)
		return -ENOMEM;
	e->both[0] = (pmv_produced *)e->tables;
	e->both[1] = e->both[0] + e->pages;
	e->firsts = e->both[1] + e->pages;
	e->gone = (_Atomic uint8_t *)(e->firsts + e->pages);
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
	e->how = pmv_mover_to(pv, pmv_region_fd(e->region), e->page) !=
				 PAGEMV_MECH_AUTO
			 ? PAGEMV_EVAC_BY_MOVE
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
	pmv_evac_guess_costs(e);
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
