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
 *
 * Ahead of the prefix, where threads have touched pages, there are islands:
 * what only pages need that are there already. They lie above done, so that
 * nobody has taken them, and are marked as gone, so that nobody will.
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
	return atomic_load_explicit(&e->gone[i], memory_order_acquire);
}

size_t pmv_evac_take(struct pagemv_evac *e, size_t min, size_t max,
		     uintptr_t *addr)
{
	size_t taken = atomic_load_explicit(&e->taken, memory_order_relaxed);
	size_t done = atomic_load_explicit(&e->done, memory_order_acquire);

	for (;;) {
		size_t i = taken, n = 0;

		/* Writing to what is gone would make a new page. */
		while (n < min && i + n < done) {
			i += n;
			while (i < done && is_gone(e, i))
				i++;
			n = 0;
			while (n < max && i + n < done && !is_gone(e, i + n))
				n++;
		}
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

void pmv_evac_untake(struct pagemv_evac *e, uintptr_t addr, size_t n)
{
	size_t i = (addr - e->shadow) / e->page, end = i + n;

	/* Where others have taken more since, finish gives it back. */
	if (n)
		atomic_compare_exchange_strong_explicit(&e->taken, &end, i,
							memory_order_relaxed,
							memory_order_relaxed);
}

/* ---- islands ---- */

/* So far pages are looked at that are there already: longer than an object that
 * many of them have a part of. */
#define LOOKS 8

/* From-space that pages from i to end need alone, with their neighbours. */
struct pmv_own {
	size_t low, high;
};

static struct pmv_own find_own(const struct pagemv_evac *e, size_t i, size_t n,
			       const uint32_t *marks)
{
	size_t first = i, last = i + n - 1, below = 0;
	struct pmv_own own;

	while (first && i - first < LOOKS && pmv_evac_is_produced(e, first - 1))
		first--;
	while (last + 1 < pmv_evac_to(e) && last - i - n + 1 < LOOKS &&
	       pmv_evac_is_produced(e, last + 1))
		last++;
	/* What is below the neighbour's mark may have been taken already. */
	if (first < i)
		below = atomic_load_explicit(&e->produced[i - 1],
					     memory_order_relaxed) -
			1;
	own.low = atomic_load_explicit(&e->firsts[first], memory_order_relaxed);
	own.low = own.low > below ? own.low : below;
	own.high = last < i + n ? marks[last - i] - 1
				: atomic_load_explicit(&e->produced[last],
						       memory_order_relaxed) -
					  1;
	return own;
}

/* It is as it was: for the watermark to come by. */
static void forget_island(struct pagemv_evac *e, size_t i, size_t n)
{
	/* Release pairs with the acquire in is_gone(). */
	while (n--)
		atomic_store_explicit(&e->gone[i + n], 0, memory_order_release);
}

static size_t island_pages(uint64_t word)
{
	return word & 0xffff;
}

/* Puts it where there is none, or else the smallest. Returns what nobody will
 * take: that one, or what was not put. */
static uint64_t put_island(struct pagemv_evac *e, uint64_t word)
{
	uint64_t least = word;
	int at = 0;

	for (int k = 0; k < PMV_EVAC_ISLANDS; k++) {
		uint64_t other = atomic_load_explicit(&e->islands[k],
						      memory_order_relaxed);

		if (island_pages(other) < island_pages(least)) {
			least = other;
			at = k;
		}
	}
	/* Release pairs with the acquire in pmv_evac_take_island(). */
	if (least == word ||
	    !atomic_compare_exchange_strong_explicit(&e->islands[at], &least,
						     word, memory_order_acq_rel,
						     memory_order_relaxed))
		return word;
	return least;
}

void pmv_evac_give_island(struct pagemv_evac *e, uintptr_t addr, size_t n)
{
	size_t i = (addr - e->shadow) / e->page;
	uint64_t left;

	if (n < PMV_EVAC_ISLAND_MIN) {
		forget_island(e, i, n);
		return;
	}
	left = put_island(e, (uint64_t)i << 16 | n);
	n = island_pages(left);
	if (!n)
		return;
	pmv_pages_discard(e->pv, e->shadow + (left >> 16) * e->page,
			  n * e->page);
	pmv_evac_add(e, PMV_EVAC_RETURNED, n);
}

/* Of n pages from i on, how many follow each other that are not gone. */
static size_t count_left(const struct pagemv_evac *e, size_t i, size_t n)
{
	size_t k = 0;

	while (k < n && !is_gone(e, i + k))
		k++;
	return k;
}

/* Fewer than n where a neighbour is there at the same time. */
static size_t claim_island(struct pagemv_evac *e, size_t i, size_t n)
{
	size_t k = 0;

	while (k < n && !atomic_exchange_explicit(&e->gone[i + k], 1,
						  memory_order_relaxed))
		k++;
	return k;
}

void pmv_evac_found(struct pagemv_evac *e, size_t i, size_t n,
		    const uint32_t *marks)
{
	struct pmv_own own = find_own(e, i, n, marks);
	size_t end = pmv_min(own.high, pmv_evac_used(e)), at, k;

	for (at = own.low; at < end; at += k ? k : 1) {
		k = count_left(e, at, pmv_min(end - at, e->opts.around_pages));
		if (k >= PMV_EVAC_ISLAND_MIN)
			pmv_evac_give_island(e, e->shadow + at * e->page,
					     claim_island(e, at, k));
	}
}

/* The smallest that has as many as are wanted, or else the largest: pieces of
 * islands are what nobody can use. */
static uint64_t best_island(const struct pagemv_evac *e, size_t want, int *at)
{
	uint64_t best = 0;

	for (int k = 0; k < PMV_EVAC_ISLANDS; k++) {
		uint64_t word = atomic_load_explicit(&e->islands[k],
						     memory_order_relaxed);
		size_t n = island_pages(word), so_far = island_pages(best);

		if (so_far < want ? n > so_far : n >= want && n < so_far) {
			best = word;
			*at = k;
		}
	}
	return best;
}

size_t pmv_evac_take_island(struct pagemv_evac *e, size_t min, size_t max,
			    uintptr_t *addr)
{
	int k = 0;
	uint64_t word = best_island(e, max, &k);
	size_t n = island_pages(word), used = pmv_min(n, max);

	if (!n || n < min ||
	    !atomic_compare_exchange_strong_explicit(&e->islands[k], &word, 0,
						     memory_order_acquire,
						     memory_order_relaxed))
		return 0;
	*addr = e->shadow + (word >> 16) * e->page;
	if (used < n)
		pmv_evac_give_island(e, *addr + used * e->page, n - used);
	return used;
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

/* What is gone is not there, or in use: it is passed over. */
static void discard(struct pagemv_evac *e, size_t i, size_t n)
{
	size_t end = i + n;

	while (i < end) {
		size_t from = i;

		while (i < end && !is_gone(e, i))
			i++;
		if (i > from) {
			pmv_pages_discard(e->pv, e->shadow + from * e->page,
					  (i - from) * e->page);
			pmv_evac_add(e, PMV_EVAC_RETURNED, i - from);
		}
		while (i < end && is_gone(e, i))
			i++;
	}
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
	discard(e, taken, n);
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
