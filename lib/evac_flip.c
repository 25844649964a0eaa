// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * All pages of the space to the shadow, by mremap(MREMAP_DONTUNMAP), while
 * threads are stopped.
 *
 * ASSUME(flip-registered): a range that is registered moves entry by entry, 9
 * ns a page, and stays registered at the old address, where every access is a
 * fault from then on; one that is not changes hands by whole page tables.
 *   mm/mremap.c, move_page_tables(); measured: doc/measurements.md
 */
#include "evac.h"

#include <errno.h>

#include "internal.h"
#include "mover.h"
#include "pages.h"
#include "trace.h"
#include "uffd.h"

/* From so many pages on the two calls more, some 3 us, are worth it. */
#define FAST_PAGES 1024

/* ---- the mappings ---- */

static int flip_error(int rc)
{
	switch (rc) {
	case 0:
	case -ENOMEM:
	case -EINVAL:
		return rc;
	case -EFAULT: /* another mapping begins in the middle */
		return -EINVAL;
	case -EAGAIN: /* the limit on locked memory */
		return -ENOMEM;
	default:
		return -EIO;
	}
}

/* A failure here would leave the pages where nobody looks for them. */
static void flip_back(struct pagemv_evac *e, size_t pieces)
{
	while (pieces-- > 0) {
		const struct pmv_evac_piece *p = &e->pieces[pieces];
		unsigned int idle = 0;

		while (pmv_remap(e->pv, e->space + p->off, e->shadow + p->off,
				 p->bytes, e->locked) < 0 &&
		       idle < PMV_IDLE_MAX)
			pmv_back_off(e->pv->sys, idle++);
	}
}

static int flip_pieces(struct pagemv_evac *e)
{
	int rc = 0;

	for (size_t i = 0; i < e->n_pieces; i++) {
		const struct pmv_evac_piece *p = &e->pieces[i];

		rc = pmv_remap(e->pv, e->shadow + p->off, e->space + p->off,
			       p->bytes, e->locked);
		if (rc < 0) {
			flip_back(e, i);
			break;
		}
	}
	return flip_error(rc);
}

static int arm(struct pagemv_evac *e)
{
	int rc = pmv_region_rearm(e->pv, e->space, e->pages * e->page);

	e->disarmed = rc < 0;
	return rc < 0 ? -ENOMEM : 0;
}

/* The registration goes with mremap() where the pages came back by it. */
static int flip_registered(struct pagemv_evac *e)
{
	int rc = flip_pieces(e);

	if (rc < 0 && e->region)
		arm(e);
	return rc;
}

static int flip_fast(struct pagemv_evac *e)
{
	size_t bytes = e->pages * e->page;
	int rc = pmv_uffd_unregister(e->pv->sys, pmv_region_fd(e->region),
				     e->space, bytes);

	if (rc < 0)
		return flip_registered(e);
	rc = flip_pieces(e);
	if (arm(e) < 0 && rc == 0) {
		flip_back(e, e->n_pieces);
		arm(e);
		rc = -ENOMEM;
	}
	return rc;
}

/* ---- what came between ---- */

/* Pages of the space that were touched while it was not registered. */
static size_t close_window(struct pagemv_evac *e)
{
	size_t off = 0, bytes = e->next_used * e->page, found = 0;

	if (!pmv_has(e->pv, PAGEMV_HAS_PAGEMAP_SCAN))
		return 0;
	while (off < bytes) {
		struct pmv_run run =
			pmv_pages_run(e->pv, e->space + off, bytes - off);

		if (run.populated && run.known) {
			pmv_pages_discard(e->pv, e->space + off, run.bytes);
			found += run.bytes / e->page;
		}
		off += run.bytes;
	}
	return found;
}

/* ---- the flip ---- */

static enum pagemv_flip choose(const struct pagemv_evac *e)
{
	bool congruent = e->pv->huge_bytes &&
			 !((e->space ^ e->shadow) & (e->pv->huge_bytes - 1));

	if (!e->region)
		return PAGEMV_FLIP_REGISTERED;
	if (e->next_cycle.flip != PAGEMV_FLIP_AUTO)
		return e->next_cycle.flip;
	return e->next_cycle.flags & PAGEMV_EVAC_STILL && congruent &&
			       e->next_used >= FAST_PAGES
		       ? PAGEMV_FLIP_FAST
		       : PAGEMV_FLIP_REGISTERED;
}

static int flip(struct pagemv_evac *e, enum pagemv_flip how)
{
	if (e->region && !pmv_region_quiet(e->region))
		return -EBUSY;
	if (e->disarmed && arm(e) < 0)
		return -ENOMEM;
	/* Those that were touched since begin. */
	pmv_page_note(e->states, 0, e->next_used, PMV_PAGE_ABSENT);
	return how == PAGEMV_FLIP_FAST ? flip_fast(e) : flip_registered(e);
}

/* What a worker is to find that has just brought a run, too. */
static size_t keep_pages(const struct pagemv_evac *e)
{
	size_t keep = pmv_round_up(e->opts.keep_bytes, e->page) / e->page;
	size_t runs = 2 * (size_t)e->opts.run_pages;

	if (!e->opts.keep_bytes)
		keep = pmv_min(PAGEMV_EVAC_KEEP_MAX / e->page,
			       pmv_evac_used(e) / 32);
	return keep > runs ? keep : runs;
}

/* The cycle begins: nobody looks before the gate is RUNNING. */
static void start(struct pagemv_evac *e)
{
	e->produced = e->produced == e->both[0] ? e->both[1] : e->both[0];
	atomic_store_explicit(&e->used_pages, e->next_used,
			      memory_order_relaxed);
	atomic_store_explicit(&e->to_pages, e->next_to, memory_order_relaxed);
	e->keep = keep_pages(e);
	atomic_store_explicit(&e->cursor, 0, memory_order_relaxed);
	atomic_store_explicit(&e->prefix, 0, memory_order_relaxed);
	atomic_store_explicit(&e->done, 0, memory_order_relaxed);
	atomic_store_explicit(&e->taken, 0, memory_order_relaxed);
	atomic_store_explicit(&e->error, 0, memory_order_relaxed);
	atomic_store_explicit(&e->failed_at, 0, memory_order_relaxed);
	for (int i = 0; i < PMV_EVAC_COUNTS; i++)
		atomic_store_explicit(&e->count[i], 0, memory_order_relaxed);
	for (int i = 0; i < PMV_EVAC_ISLANDS; i++)
		atomic_store_explicit(&e->islands[i], 0, memory_order_relaxed);
	atomic_store_explicit(&e->writes, true, memory_order_relaxed);
	atomic_store_explicit(&e->begun, false, memory_order_relaxed);
	e->cleared = 0;
}

/* Without userfaultfd all of it has to be there before threads run. */
static int produce_stopped(struct pagemv_evac *e)
{
	if (e->started)
		pmv_evac_ring(e);
	return pmv_evac_complete(e);
}

static int flip_begun(struct pagemv_evac *e)
{
	enum pagemv_flip how = choose(e);
	uint64_t begun = e->pv->sys->now_ns();
	size_t window = 0;
	int rc;

	pmv_evac_set_gate(e, PMV_GATE_FLIPPING);
	rc = flip(e, how);
	if (rc == 0 && how == PAGEMV_FLIP_FAST)
		window = close_window(e);
	if (rc == 0)
		start(e);
	pmv_evac_set_gate(e, rc ? PMV_GATE_IDLE : PMV_GATE_RUNNING);
	if (rc < 0)
		return rc;
	if (!e->region)
		rc = produce_stopped(e);
	atomic_store_explicit(&e->flip, how, memory_order_relaxed);
	atomic_store_explicit(&e->window_pages, window, memory_order_relaxed);
	begun = e->pv->sys->now_ns() - begun;
	atomic_store_explicit(&e->flip_ns, begun, memory_order_relaxed);
	PMV_TRACE3(evac_flip, e->space, pmv_evac_used(e), begun);
	return rc;
}

int pagemv_evac_flip(struct pagemv_evac *evac)
{
	int saved = errno, rc;

	if (!evac)
		return -EINVAL;
	if (!pmv_alive(evac->pv))
		return -ESRCH;
	if (!atomic_load_explicit(&evac->begun, memory_order_relaxed))
		return -EINVAL;
	rc = flip_begun(evac);
	errno = saved;
	return rc;
}
