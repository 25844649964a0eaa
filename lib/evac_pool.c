// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The watermark. Objects slide down, so that a page that is produced reads no
 * from-space below its own first object. When all pages up to one are there,
 * the place where the next one's objects begin is where from-space begins to be
 * needed:
 *
 *   to-space    |#########################|...#..##....|           |
 *               0                       prefix         to
 *   from-space  |- - - -|==================|ooooooooooooooooooooooo|
 *               0     taken              done                    used
 *
 *   - taken for scratch, which became to-space pages, or given back
 *   = free: whoever writes a page next takes from here
 *   o still read
 */
#include "evac.h"

#include "internal.h"
#include "pages.h"

/* ---- what is there ---- */

/* Raises done to at least pages. */
static void raise_done(struct pagemv_evac *e, size_t pages)
{
	size_t done = atomic_load_explicit(&e->done, memory_order_relaxed);

	/* Release pairs with the acquire in pmv_evac_take(): all who read below
	 * have read. */
	while (done < pages &&
	       !atomic_compare_exchange_weak_explicit(&e->done, &done, pages,
						      memory_order_release,
						      memory_order_relaxed))
		;
}

/* All are there: whoever waits for that. */
static void tell(struct pagemv_evac *e)
{
	/* Pairs with the acquire in wait_for_news(). */
	atomic_fetch_add_explicit(&e->news, 1, memory_order_release);
	e->pv->sys->futex_wake((const uint32_t *)&e->news);
}

/*
 * Raises prefix over all that is produced. Of two threads that mark pages and
 * come here, the one whose read-modify-write of prefix is the later one sees
 * what the other has marked: none is passed over by both.
 */
static void advance(struct pagemv_evac *e)
{
	size_t from =
		atomic_fetch_add_explicit(&e->prefix, 0, memory_order_acq_rel);

	for (;;) {
		size_t to = from, done = 0;

		for (; to < pmv_evac_to(e) && pmv_evac_is_produced(e, to);
		     to++) {
			uint32_t mark = atomic_load_explicit(
				&e->produced[to], memory_order_relaxed);

			done = mark - 1 > done ? mark - 1 : done;
		}
		if (to == from)
			return;
		raise_done(e, done);
		if (!atomic_compare_exchange_strong_explicit(
			    &e->prefix, &from, to, memory_order_acq_rel,
			    memory_order_acquire))
			continue;
		if (to == pmv_evac_to(e))
			tell(e);
		from = to;
	}
}

void pmv_evac_mark(struct pagemv_evac *e, size_t i, size_t n,
		   const uint32_t *marks)
{
	/* Release: the page is there, and from-space has been read for it. */
	for (size_t k = 0; k < n; k++)
		atomic_store_explicit(&e->produced[i + k], marks[k],
				      memory_order_release);
	if (n)
		advance(e);
}

bool pmv_evac_is_complete(const struct pagemv_evac *e)
{
	/* Acquire as in pmv_evac_is_produced(), of all. */
	return atomic_load_explicit(&e->prefix, memory_order_acquire) >=
	       pmv_evac_to(e);
}

/* ---- what is free ---- */

static bool is_gone(const struct pagemv_evac *e, size_t i)
{
	return atomic_load_explicit(&e->gone[i], memory_order_relaxed);
}

size_t pmv_evac_take(struct pagemv_evac *e, size_t min, size_t max,
		     uintptr_t *addr)
{
	size_t taken = atomic_load_explicit(&e->taken, memory_order_relaxed);
	size_t done = atomic_load_explicit(&e->done, memory_order_acquire);

	for (;;) {
		size_t i = taken, n = 0;

		/* Writing there would make a new page. */
		while (i < done && is_gone(e, i))
			i++;
		while (n < max && i + n < done && !is_gone(e, i + n))
			n++;
		if (n < min)
			return 0;
		if (!atomic_compare_exchange_weak_explicit(
			    &e->taken, &taken, i + n, memory_order_relaxed,
			    memory_order_relaxed))
			continue;
		*addr = e->shadow + i * e->page;
		return n;
	}
}

/* ---- memory ---- */

/* So many are given back at a time, 0.2 us a page, as long a thread that waits
 * for the worker's next page waits; fewer where little is kept. By a thread
 * that has touched a page, which wants to go on, only where the workers do not
 * come to it. */
#define RETURNED_MOST  512
#define RETURNED_LEAST 16

static size_t returned_at_once(const struct pagemv_evac *e)
{
	return e->keep < RETURNED_LEAST ? RETURNED_LEAST
					: pmv_min(e->keep, RETURNED_MOST);
}

/* Gives back n pages where that leaves so many that are free. */
static bool give_back(struct pagemv_evac *e, size_t n, size_t leave)
{
	size_t taken = atomic_load_explicit(&e->taken, memory_order_relaxed);
	size_t done = atomic_load_explicit(&e->done, memory_order_acquire);

	if (done < taken + leave + n ||
	    !atomic_compare_exchange_strong_explicit(
		    &e->taken, &taken, taken + n, memory_order_relaxed,
		    memory_order_relaxed))
		return false;
	pmv_pages_discard(e->pv, e->shadow + taken * e->page, n * e->page);
	pmv_evac_add(e, PMV_EVAC_RETURNED, n);
	return true;
}

void pmv_evac_relieve(struct pagemv_evac *e, bool on_fault)
{
	size_t n = returned_at_once(e);

	if (on_fault)
		give_back(e, RETURNED_LEAST, e->keep + 2 * n);
	else
		while (give_back(e, n, e->keep))
			;
}

static size_t counted(const struct pagemv_evac *e, enum pmv_evac_count what)
{
	return atomic_load_explicit(&e->count[what], memory_order_relaxed);
}

bool pmv_evac_is_starved(const struct pagemv_evac *e)
{
	size_t more = counted(e, PMV_EVAC_FRESH) + counted(e, PMV_EVAC_COPIED);
	size_t less = counted(e, PMV_EVAC_RETURNED);

	return e->how != PAGEMV_EVAC_STOPPED &&
	       more > less + e->keep + returned_at_once(e) +
			       2 * e->opts.run_pages;
}
