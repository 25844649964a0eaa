// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The state word decides who fills a page, the kernel whether it is there: a
 * word may be behind, when the program throws a page away or moves one in.
 * Model: doc/model/page_state.pml.
 */
#include "fault.h"

#include <errno.h>
#include <pthread.h>

#include "event.h"
#include "handlers.h"
#include "internal.h"
#include "pages.h"
#include "region.h"
#include "source.h"
#include "track.h"
#include "uffd.h"

/* ---- the window ---- */

/* region->window: the page behind the last one filled << 16 | how many were
 * << 8 | how many are to be next time it goes on. */
struct around {
	size_t end;
	size_t pages;
	size_t size;
};

static struct around around_load(const struct pagemv_region *r)
{
	uint64_t word = atomic_load_explicit(&r->window, memory_order_relaxed);

	return (struct around){ word >> 16, word >> 8 & 0xff, word & 0xff };
}

static void around_store(struct pagemv_region *r, size_t end, size_t pages,
			 size_t size)
{
	atomic_store_explicit(&r->window,
			      (uint64_t)end << 16 | pages << 8 | size,
			      memory_order_relaxed);
}

/* Pages that may be passed over, as they are there already. */
#define AROUND_GAP 8

/* Page i is claimed; claims as many of [low, high) around it as are absent. */
static void claim_around(const struct pagemv_region *r, size_t i, size_t low,
			 size_t high, size_t *first, size_t *pages)
{
	size_t up = pmv_page_claim_up(&r->states, i + 1, high - i - 1);
	size_t down = i > low ? pmv_page_claim_down(&r->states, i - 1, i - low)
			      : 0;

	*first = i - down;
	*pages = 1 + up + down;
}

/* Goes on from the last window, in the direction in which pages are touched. */
static void claim_adapted(struct pagemv_region *r, size_t max, size_t i,
			  size_t begin, size_t end, struct pmv_window *w)
{
	struct around last = around_load(r);
	size_t size = 1;
	bool up = last.pages && i - last.end <= AROUND_GAP;
	bool down = last.pages && last.end - last.pages - 1 - i <= AROUND_GAP;

	if (up || down)
		size = pmv_min(max, 2 * last.size);
	if (down)
		claim_around(r, i, i - pmv_min(size - 1, i - begin), i + 1,
			     &w->first, &w->pages);
	else
		claim_around(r, i, i, pmv_min(i + size, end), &w->first,
			     &w->pages);
	around_store(r, w->first + w->pages, w->pages, size);
}

/* Page i is claimed: the window around it, that is as well. */
static struct pmv_window claim_window(struct pagemv *pv, struct pmv_hold *hold,
				      size_t i)
{
	const struct pmv_extent *e = &hold->extent;
	struct pagemv_region *r = hold->region;
	const struct pmv_filler *filler = pmv_region_filler(r);
	size_t begin = e->first;
	size_t end = begin + (e->end - e->start) / pv->page_bytes;
	size_t around = r->opts.around_pages;
	struct pmv_window w = { .first = i, .pages = 1 };

	if (filler)
		around = filler->around(filler->arg, i, &begin, &end);

	if (filler && around >= end - begin) {
		claim_around(r, i, begin, end, &w.first, &w.pages);
	} else if (around > 1 && r->flags & PAGEMV_REGION_AROUND_FIXED) {
		size_t low = i - i % around;

		claim_around(r, i, low > begin ? low : begin,
			     pmv_min(low + around, end), &w.first, &w.pages);
	} else if (around > 1) {
		claim_adapted(r, around, i, begin, end, &w);
	}
	w.addr = e->start + (w.first - e->first) * pv->page_bytes;
	w.fault_addr = e->start + (i - e->first) * pv->page_bytes;
	return w;
}

/* ---- filling ---- */

/* Claimed pages while they are filled. */
struct filling {
	struct pagemv *pv;
	struct pmv_hold *hold;
	struct pmv_window window;
	struct pmv_fault_report *report;
	struct pmv_inside inside;
};

static void enter(struct filling *f)
{
	const struct pmv_window *w = &f->window;

	f->inside = (struct pmv_inside){
		.region = f->hold->region,
		.from = w->addr,
		.to = w->addr + w->pages * f->pv->page_bytes,
		.up = pmv_inside,
	};
	pmv_inside = &f->inside;
	pmv_handler_fills(f->inside.from, f->inside.to);
}

static void release(const struct filling *f, size_t first, size_t pages,
		    enum pmv_page_state state)
{
	if (pages)
		pmv_page_release(f->pv->sys, &f->hold->region->states, first,
				 pages, state);
}

/* The thread ends inside a callback: nothing has happened. */
static void abandon(void *arg)
{
	struct filling *f = arg;

	pmv_inside = f->inside.up;
	pmv_handler_filled();
	release(f, f->window.first, f->window.pages, PMV_PAGE_ABSENT);
	pmv_region_put(f->hold);
}

/* Fills what can be of the window; returns how many pages, from its start. */
static size_t fill_window(struct filling *f)
{
	const struct pmv_window *w = &f->window;
	size_t done;

	enter(f);
	pthread_cleanup_push(abandon, f);
	done = pmv_source_fill(f->pv, f->hold, w, &f->report->error);
	pthread_cleanup_pop(0);
	pmv_inside = f->inside.up;
	pmv_handler_filled();
	f->report->filled_pages += done;
	pmv_count(&f->pv->stats, PMV_FILLED, done);
	release(f, w->first, done, PMV_PAGE_PRESENT);
	return done;
}

/*
 * Fills the window, or at least page i, which was touched: a neighbour may be
 * what could not be filled. It stays claimed in between, or two threads that
 * have it in their windows could fail one after the other for ever. Returns
 * whether it is there.
 */
static bool fill_page(struct filling *f, size_t i)
{
	size_t end = f->window.first + f->window.pages;
	size_t next = f->window.first + fill_window(f);

	if (next > i) {
		release(f, next, end - next, PMV_PAGE_ABSENT);
		f->report->error = 0; /* that of a neighbour */
		return true;
	}
	release(f, next, i - next, PMV_PAGE_ABSENT);
	release(f, i + 1, end - i - 1, PMV_PAGE_ABSENT);
	if (f->window.pages > 1 && pmv_alive(f->pv)) {
		f->window.addr = f->window.fault_addr;
		f->window.first = i;
		f->window.pages = 1;
		if (fill_window(f))
			return true;
	}
	release(f, i, 1, PMV_PAGE_ABSENT);
	return false;
}

/* Leaves a marker where the page would be. False where there is no such. */
static bool poison(const struct filling *f, size_t i)
{
	const struct pmv_page_states *states = &f->hold->region->states;
	struct pagemv *pv = f->pv;
	int error;

	if (!pmv_has(pv, PAGEMV_HAS_POISON))
		return false;
	if (pmv_page_claim(states, i) != PMV_PAGE_ABSENT) {
		f->report->error = 0; /* whoever was faster has the say */
		return true;
	}
	error = pmv_uffd_poison(pv->sys, pmv_region_fd(f->hold->region),
				f->window.fault_addr, pv->page_bytes)
			.error;
	release(f, i, 1, error ? PMV_PAGE_ABSENT : PMV_PAGE_POISONED);
	return error == 0 || error == -EAGAIN;
}

/* Page i is absent, for a reason. */
static enum pmv_fault_end failed(const struct filling *f, size_t i)
{
	/* The pages are the kernel's from now on. */
	if (pmv_region_ending(f->hold->region))
		return PMV_FAULT_DONE;
	switch (f->report->error) {
	case 0:
	case -EAGAIN:
	case PMV_FILL_GONE: /* it does not come here again */
		f->report->stale = f->report->error == PMV_FILL_GONE;
		f->pv->sys->yield();
		return PMV_FAULT_DONE;
	case -EHWPOISON:
		if (poison(f, i))
			return PMV_FAULT_DONE;
		break;
	default:
		break;
	}
	pmv_count(&f->pv->stats, PMV_FILL_FAILED, 1);
	return PMV_FAULT_FAILED;
}

/* Page i is claimed. */
static enum pmv_fault_end fill(struct pagemv *pv, struct pmv_hold *hold,
			       size_t i, struct pmv_fault_report *report)
{
	struct filling f = { .pv = pv, .hold = hold, .report = report };

	f.window = claim_window(pv, hold, i);
	return fill_page(&f, i) ? PMV_FAULT_DONE : failed(&f, i);
}

/* ---- faults ---- */

/* A handler that sleeps reads nothing. Who fills the page may be another one,
 * whose callback waits for its message to be read: it has touched the page
 * itself, or one more. The thread that asked is woken, and asks again. */
#define HANDLER_WAITS_NS 5000000u

/* Whether the calling thread is filling the page itself. */
static bool is_inside(uintptr_t page)
{
	for (const struct pmv_inside *in = pmv_inside; in; in = in->up)
		if (in->from <= page && page < in->to)
			return true;
	return false;
}

static bool is_there(const struct pagemv *pv, uintptr_t page)
{
	struct pmv_run run = pmv_pages_run(pv, page, pv->page_bytes);

	return run.populated && run.known;
}

/*
 * Its word says that page i is there, or poisoned: by a marker, for which not
 * every kernel has a signal of its own. Where it is not, it has been thrown
 * away, or moved out: as if it had never been there. It is looked at again once
 * it is claimed, as somebody may have filled it since.
 */
static enum pmv_fault_end fault_present(struct pagemv *pv,
					struct pmv_hold *hold, uintptr_t page,
					size_t i, enum pmv_page_state state,
					struct pmv_fault_report *report)
{
	struct pagemv_region *r = hold->region;

	if (is_there(pv, page)) {
		if (state == PMV_PAGE_POISONED) {
			report->error = -EHWPOISON;
			return PMV_FAULT_FAILED;
		}
		report->stale = !pmv_track_fault(pv, r, page);
		return PMV_FAULT_DONE;
	}
	if (!pmv_page_reclaim(&r->states, i))
		return PMV_FAULT_DONE;
	if (!is_there(pv, page))
		return fill(pv, hold, i, report);
	pmv_page_release(pv->sys, &r->states, i, 1, PMV_PAGE_PRESENT);
	return PMV_FAULT_DONE;
}

static enum pmv_fault_end fault_page(struct pagemv *pv, struct pmv_hold *hold,
				     uintptr_t page,
				     struct pmv_fault_report *report)
{
	struct pagemv_region *r = hold->region;
	size_t i = hold->extent.first +
		   (page - hold->extent.start) / pv->page_bytes;
	enum pmv_page_state state;

	if (!(r->flags & PAGEMV_REGION_FAULTING))
		return pmv_track_fault(pv, r, page) ? PMV_FAULT_DONE
						    : PMV_FAULT_FOREIGN;
	state = pmv_page_claim(&r->states, i);
	switch (state) {
	case PMV_PAGE_ABSENT:
		return fill(pv, hold, i, report);
	case PMV_PAGE_PRESENT:
	case PMV_PAGE_POISONED:
		return fault_present(pv, hold, page, i, state, report);
	case PMV_PAGE_ENDED:
		pv->sys->yield();
		return PMV_FAULT_DONE;
	default:
		break;
	}
	if (is_inside(page)) {
		report->error = -EDEADLK;
		return PMV_FAULT_FAILED;
	}
	pmv_page_wait_for(pv->sys, &r->states, i,
			  pmv_is_handler(pv) ? HANDLER_WAITS_NS : 0);
	return PMV_FAULT_DONE;
}

enum pmv_fault_end pmv_fault_held(struct pagemv *pv, struct pmv_hold *hold,
				  uintptr_t addr,
				  struct pmv_fault_report *report)
{
	uintptr_t page = pmv_round_down(addr, pv->page_bytes);
	enum pmv_fault_end end;

	*report = (struct pmv_fault_report){ 0 };
	pmv_count(&pv->stats, PMV_FAULTS, 1);
	end = fault_page(pv, hold, page, report);
	pmv_region_put(hold);
	return end;
}

enum pmv_fault_end pmv_fault_at(struct pagemv *pv, uintptr_t addr,
				struct pmv_fault_report *report)
{
	struct pmv_hold hold;

	*report = (struct pmv_fault_report){ 0 };
	switch (pmv_region_hold(pv, addr, &hold)) {
	case PMV_HELD:
		return pmv_fault_held(pv, &hold, addr, report);
	case PMV_HELD_ENDING:
		pv->sys->yield();
		return PMV_FAULT_DONE;
	default:
		return PMV_FAULT_FOREIGN;
	}
}

enum pmv_fault_end pmv_fault(struct pagemv *pv, uintptr_t addr, int *error)
{
	struct pmv_fault_report report;
	enum pmv_fault_end end = pmv_fault_at(pv, addr, &report);

	*error = report.error;
	return end;
}
