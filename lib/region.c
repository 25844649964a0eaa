// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Looking up regions. What changes the registry is in register.c.
 */
#include "region.h"

#include "internal.h"
#include "rcu.h"
#include "uffd.h"

/* After so many questions a hint is forgotten, and looked for again. */
#define HINT_LASTS 256

__thread struct pmv_inside *pmv_inside;

/* The extent that holds addr; the caller is in a read-side section. */
static bool find(const struct pagemv *pv, uintptr_t addr, struct pmv_extent *e)
{
	return pmv_extents_find(pv, addr, e) && e->start <= addr;
}

bool pmv_region_holds(const struct pagemv *pv, uintptr_t addr, size_t bytes)
{
	uintptr_t end = addr + bytes;
	struct pmv_extent e;

	pmv_rcu_read_lock();
	while (addr < end && find(pv, addr, &e))
		addr = e.end;
	pmv_rcu_read_unlock((void *)&pv->extents);
	return addr >= end;
}

bool pmv_region_touches(const struct pagemv *pv, uintptr_t addr, size_t bytes)
{
	struct pmv_extent e;
	bool touches;

	pmv_rcu_read_lock();
	touches = pmv_extents_find(pv, addr, &e) && e.start < addr + bytes;
	pmv_rcu_read_unlock((void *)&pv->extents);
	return touches;
}

/* ---- registration ---- */

struct pmv_arming pmv_region_arming(const struct pagemv_region *region)
{
	struct pmv_arming a = { -1, PMV_UFFD_WP };

	if (!region->channel) {
		if (pmv_has(region->pv, PAGEMV_HAS_QUIET))
			a.fd = region->pv->uffd;
		return a;
	}
	a.fd = pmv_channel_fd(region->channel);
	if (region->flags & PAGEMV_REGION_FAULTING)
		a.what = PMV_UFFD_MISSING;
	if (region->flags & PAGEMV_REGION_TRACKED)
		a.what |= PMV_UFFD_WP;
	return a;
}

/* How what begins at addr is registered; *end: cut to where that ends. */
static struct pmv_arming piece_at(const struct pagemv *pv, uintptr_t addr,
				  uintptr_t *end)
{
	struct pmv_arming own = { -1, PMV_UFFD_WP };
	struct pmv_extent e;

	if (pmv_has(pv, PAGEMV_HAS_QUIET))
		own.fd = pv->uffd;
	if (!pmv_extents_find(pv, addr, &e))
		return own;
	*end = pmv_min(*end, e.start > addr ? e.start : e.end);
	return e.start > addr ? own : pmv_region_arming(e.region);
}

struct pmv_arming pmv_region_arming_at(const struct pagemv *pv, uintptr_t addr,
				       size_t *bytes)
{
	uintptr_t end = addr + *bytes, next = end;
	struct pmv_arming first;

	pmv_rcu_read_lock();
	first = piece_at(pv, addr, &next);
	while (next < end) {
		uintptr_t at = next;
		struct pmv_arming now;

		next = end;
		now = piece_at(pv, at, &next);
		if (now.fd != first.fd || now.what != first.what) {
			next = at;
			break;
		}
	}
	pmv_rcu_read_unlock((void *)&pv->extents);
	*bytes = next - addr;
	return first;
}

int pmv_region_fd(const struct pagemv_region *region)
{
	return pmv_region_arming(region).fd;
}

int pmv_region_rearm(struct pagemv *pv, uintptr_t addr, size_t bytes)
{
	int rc = 0;

	pmv_count(&pv->stats, PMV_REARMED, 1);
	while (bytes && rc == 0) {
		size_t n = bytes;
		struct pmv_arming a = pmv_region_arming_at(pv, addr, &n);

		if (a.fd >= 0)
			rc = pmv_uffd_register_for(pv->sys, a.fd, addr, n,
						   a.what, NULL);
		/* Before Linux 6.13 mremap() takes protection along from a
		 * tracked region, and nobody may be there to answer. */
		if (a.fd >= 0 && rc == 0 && a.what & PMV_UFFD_WP &&
		    atomic_load_explicit(&pv->tracking, memory_order_relaxed))
			pmv_uffd_protect(pv->sys, a.fd, addr, n, false);
		addr += n;
		bytes -= n;
	}
	return rc;
}

bool pmv_region_has(const struct pagemv *pv, uintptr_t addr, size_t bytes,
		    uint32_t flags)
{
	uintptr_t end = addr + bytes;
	struct pmv_extent e;
	bool has = false;

	pmv_rcu_read_lock();
	while (!has && addr < end && pmv_extents_find(pv, addr, &e) &&
	       e.start < end) {
		has = e.region->flags & flags;
		addr = e.end;
	}
	pmv_rcu_read_unlock((void *)&pv->extents);
	return has;
}

/* ---- faults ---- */

/* Its memory stays until the read-side section ends at least. */
static bool add_user(struct pagemv_region *region)
{
	uint32_t users =
		atomic_load_explicit(&region->users, memory_order_relaxed);

	/* Acquire pairs with the release in put: what was done by those who
	 * held it before is done. */
	while (!(users & PMV_ENDING))
		if (atomic_compare_exchange_weak_explicit(
			    &region->users, &users, users + PMV_USER,
			    memory_order_acquire, memory_order_relaxed))
			return true;
	return false;
}

/* The fault will read all of it, and in the worst case none is in the caches:
 * then at least all at a time. */
static bool has_faults(const struct pagemv_region *region)
{
	__builtin_prefetch(&region->opts);
	__builtin_prefetch(region->few_states, 1);
	return region->flags & (PAGEMV_REGION_FAULTING | PAGEMV_REGION_TRACKED);
}

enum pmv_held pmv_region_hold(struct pagemv *pv, uintptr_t addr,
			      struct pmv_hold *hold)
{
	enum pmv_held held = PMV_HELD_NOT;
	struct pmv_extent e;

	pmv_rcu_read_lock();
	if (find(pv, addr, &e) && has_faults(e.region))
		held = add_user(e.region) ? PMV_HELD : PMV_HELD_ENDING;
	pmv_rcu_read_unlock(&pv->extents);
	if (held == PMV_HELD)
		*hold = (struct pmv_hold){ .region = e.region, .extent = e };
	return held;
}

bool pmv_region_hold_known(struct pagemv_region *region, struct pmv_hold *hold)
{
	if (!add_user(region))
		return false;
	*hold = (struct pmv_hold){ .region = region };
	return true;
}

void pmv_region_put(struct pmv_hold *hold)
{
	struct pagemv_region *region = hold->region;
	const struct pmv_sys *sys = region->pv->sys;

	/* Release pairs with the acquire in wait_for_users(), register.c, who
	 * frees it: from here on only its address is used. */
	if (atomic_fetch_sub_explicit(&region->users, PMV_USER,
				      memory_order_release) ==
	    (PMV_USER | PMV_ENDING))
		sys->futex_wake((const uint32_t *)&region->users);
	hold->region = NULL;
}

bool pmv_region_quiet(struct pagemv_region *region)
{
	unsigned int idle = 0;

	/* Acquire pairs with the release in put. */
	while (atomic_load_explicit(&region->users, memory_order_acquire) &
	       ~PMV_ENDING) {
		if (idle >= PMV_IDLE_MAX)
			return false;
		pmv_back_off(region->pv->sys, idle++);
	}
	return true;
}

size_t pmv_region_still(const struct pmv_hold *hold, uintptr_t addr,
			size_t bytes)
{
	const struct pmv_extent *then = &hold->extent;
	struct pagemv *pv = hold->region->pv;
	struct pmv_extent e;
	size_t still = 0;

	if (pmv_region_ending(hold->region))
		return 0;
	pmv_rcu_read_lock();
	if (find(pv, addr, &e) && e.region == hold->region &&
	    e.first - then->first == (e.start - then->start) / pv->page_bytes)
		still = pmv_min(bytes, e.end - addr);
	pmv_rcu_read_unlock(&pv->extents);
	return still;
}

void pmv_region_note(const struct pagemv *pv, uintptr_t addr, size_t bytes)
{
	uintptr_t end = addr + bytes;
	size_t page = pv->page_bytes;
	struct pmv_extent e;

	pmv_rcu_read_lock();
	while (addr < end && find(pv, addr, &e)) {
		size_t n = pmv_min(end, e.end) - addr;

		if (e.region->flags & PAGEMV_REGION_FAULTING)
			pmv_page_note(&e.region->states,
				      e.first + (addr - e.start) / page,
				      n / page, PMV_PAGE_PRESENT);
		addr += n;
	}
	pmv_rcu_read_unlock((void *)&pv->extents);
}

/*
 * The hull of all that has ended. Who looks a region up in vain has seen the
 * table without it, which was published after this was widened.
 */
static PMV_ATOMIC _Atomic uintptr_t ended_low = UINTPTR_MAX;
static PMV_ATOMIC _Atomic uintptr_t ended_high;
static PMV_ATOMIC _Atomic unsigned int ended;

void pmv_region_note_end(uintptr_t start, uintptr_t end)
{
	uintptr_t low = atomic_load_explicit(&ended_low, memory_order_relaxed);
	uintptr_t high =
		atomic_load_explicit(&ended_high, memory_order_relaxed);

	while (start < low &&
	       !atomic_compare_exchange_weak_explicit(&ended_low, &low, start,
						      memory_order_relaxed,
						      memory_order_relaxed))
		;
	while (end > high &&
	       !atomic_compare_exchange_weak_explicit(&ended_high, &high, end,
						      memory_order_relaxed,
						      memory_order_relaxed))
		;
	atomic_fetch_add_explicit(&ended, 1, memory_order_relaxed);
}

unsigned int pmv_region_ended(void)
{
	return atomic_load_explicit(&ended, memory_order_relaxed);
}

bool pmv_region_ended_at(uintptr_t addr)
{
	return addr >= atomic_load_explicit(&ended_low, memory_order_relaxed) &&
	       addr < atomic_load_explicit(&ended_high, memory_order_relaxed);
}

/* ---- hints ---- */

/* Threads may lose a count to each other: only a hint. */
static unsigned int hint_ask(struct pmv_hint *h)
{
	unsigned int left =
		atomic_load_explicit(&h->left, memory_order_relaxed);

	if (!left)
		return 0;
	atomic_store_explicit(&h->left, left - 1, memory_order_relaxed);
	return atomic_load_explicit(&h->seen, memory_order_relaxed);
}

static void hint_learn(struct pmv_hint *h, unsigned int seen)
{
	atomic_store_explicit(&h->seen, seen, memory_order_relaxed);
	atomic_store_explicit(&h->left, HINT_LASTS, memory_order_relaxed);
}

enum pmv_kind pmv_region_kind(const struct pagemv *pv, uintptr_t addr)
{
	enum pmv_kind kind = PMV_KIND_UNKNOWN;
	struct pmv_extent e;

	pmv_rcu_read_lock();
	if (find(pv, addr, &e))
		kind = hint_ask(&e.region->kind);
	pmv_rcu_read_unlock((void *)&pv->extents);
	return kind;
}

void pmv_region_learn(const struct pagemv *pv, uintptr_t addr,
		      enum pmv_kind kind)
{
	struct pmv_extent e;

	pmv_rcu_read_lock();
	if (find(pv, addr, &e))
		hint_learn(&e.region->kind, kind);
	pmv_rcu_read_unlock((void *)&pv->extents);
}

bool pmv_region_gets_huge(const struct pagemv *pv, uintptr_t addr)
{
	struct pmv_extent e;
	bool huge = false;

	pmv_rcu_read_lock();
	if (find(pv, addr, &e))
		huge = hint_ask(&e.region->huge);
	pmv_rcu_read_unlock((void *)&pv->extents);
	return huge;
}

void pmv_region_learn_huge(const struct pagemv *pv, uintptr_t addr)
{
	struct pmv_extent e;

	pmv_rcu_read_lock();
	if (find(pv, addr, &e))
		hint_learn(&e.region->huge, 1);
	pmv_rcu_read_unlock((void *)&pv->extents);
}
