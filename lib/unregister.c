// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A region is in the table until the kernel has stopped to send faults of it: a
 * fault finds that it is ending, and is made again. One that comes later still
 * learns of it by pmv_region_ended_at().
 *
 * Nobody waits under region_lock: handler threads need it, to follow what
 * others wait for.
 */
#include "registry.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "internal.h"
#include "mapping.h"
#include "uffd.h"

void pmv_region_free(struct pagemv_region *r)
{
	if (r)
		pmv_page_states_close(r->pv->sys, &r->states);
	free(r);
}

static void unlink_region(struct pagemv_region *r)
{
	*r->link = r->next;
	if (r->next)
		r->next->link = r->link;
}

void pmv_region_begin_end(struct pagemv_region *r)
{
	atomic_fetch_or_explicit(&r->users, PMV_ENDING, memory_order_relaxed);
}

/* Needs that nobody looks it up any more. */
static void wait_for_users(struct pagemv_region *r)
{
	const struct pmv_sys *sys = r->pv->sys;
	uint32_t users;

	/* Pairs with the release in pmv_region_put(). */
	while ((users = atomic_load_explicit(
			&r->users, memory_order_acquire)) != PMV_ENDING)
		sys->futex_wait((const uint32_t *)&r->users, users, 0);
}

void pmv_region_settle(struct pagemv_region *r)
{
	pmv_extents_settle(r->pv);
	wait_for_users(r);
}

static bool inside(const struct pagemv_region *r)
{
	for (const struct pmv_inside *in = pmv_inside; in; in = in->up)
		if (in->region == r)
			return true;
	return false;
}

/* The program has put something there that no userfaultfd can have: that is
 * refused for the whole range. */
static void disarm_around(struct pagemv *pv, int fd, uintptr_t start,
			  uintptr_t end)
{
	struct pmv_mapping m;

	while (start < end && pmv_mapping_find(pv, start, &m) == 1 &&
	       m.start < end) {
		if (m.start > start)
			start = m.start;
		m.end = pmv_min(m.end, end);
		pmv_uffd_unregister(pv->sys, fd, start, m.end - start);
		start = m.end;
	}
}

void pmv_region_disarm(const struct pagemv_region *r, uintptr_t start,
		       uintptr_t end)
{
	struct pagemv *pv = r->pv;
	int fd = pmv_region_fd(r);

	/* Before Linux 6.0 UFFDIO_UNREGISTER leaves protection behind. */
	if (fd >= 0 && r->flags & PAGEMV_REGION_TRACKED &&
	    !pmv_has(pv, PAGEMV_HAS_ASYNC_WP))
		pmv_uffd_protect(pv->sys, fd, start, end - start, false);
	if (fd >= 0 &&
	    pmv_uffd_unregister(pv->sys, fd, start, end - start) == -EINVAL)
		disarm_around(pv, fd, start, end);
}

/* ---- one region ---- */

/* The next extent of the region in [*at, end). Needs region_lock. */
static bool next_extent(const struct pagemv_region *r, uintptr_t *at,
			uintptr_t end, struct pmv_extent *e)
{
	while (*at < end && pmv_extents_find(r->pv, *at, e) && e->start < end) {
		*at = e->end;
		if (e->region == r)
			return true;
	}
	return false;
}

/* The kernel forgets what the region has in [start, end), and wakes those that
 * wait for pages there. Needs region_lock. */
static void disarm_extents(const struct pagemv_region *r, uintptr_t start,
			   uintptr_t end)
{
	uintptr_t at = start;
	struct pmv_extent e;

	while (next_extent(r, &at, end, &e)) {
		e.start = e.start > start ? e.start : start;
		e.end = pmv_min(e.end, end);
		if (r->channel)
			pmv_region_note_end(e.start, e.end);
		pmv_region_disarm(r, e.start, e.end);
	}
}

static int region_remove(struct pagemv *pv, struct pagemv_region *r)
{
	struct pmv_extent_plan plan;
	int rc;

	pthread_mutex_lock(&pv->region_lock);
	rc = pmv_extents_plan_cut(pv, r->low, r->high, r, &plan);
	if (rc == 0) {
		pmv_region_begin_end(r);
		disarm_extents(r, r->low, r->high);
		pmv_extents_apply(pv, &plan);
		pmv_extents_keep(pv, &plan);
		unlink_region(r);
	}
	pthread_mutex_unlock(&pv->region_lock);
	return rc;
}

/* What both calls refuse. */
static int check_end(const struct pagemv_region *r)
{
	if (!pmv_alive(r->pv))
		return -ESRCH;
	return inside(r) ? -EDEADLK : 0;
}

int pagemv_region_unregister(struct pagemv_region *region)
{
	int saved = errno, rc;

	if (!region)
		return 0;
	rc = check_end(region);
	if (rc == 0)
		rc = region_remove(region->pv, region);
	if (rc == 0) {
		pmv_inherit_forget(region->pv, region);
		pmv_region_settle(region);
		pmv_region_free(region);
	}
	errno = saved;
	return rc;
}

/* ---- a part ---- */

void pmv_region_drain(struct pagemv_region *region, size_t first, size_t pages)
{
	const struct pmv_page_states *s = &region->states;
	const struct pmv_sys *sys = region->pv->sys;

	if (!(region->flags & PAGEMV_REGION_FAULTING))
		return;
	for (size_t i = first; i < first + pages; i++) {
		enum pmv_page_state state;

		while ((state = pmv_page_claim(s, i)) != PMV_PAGE_ABSENT &&
		       state != PMV_PAGE_ENDED && !pmv_page_reclaim(s, i))
			pmv_page_wait(sys, s, i);
		/* A fault that still has the old extent waits for nothing. */
		if (state != PMV_PAGE_ENDED)
			pmv_page_release(sys, s, i, 1, PMV_PAGE_ENDED);
	}
}

/* Part of an extent, by pages of the region. */
struct piece {
	size_t first, pages;
};

/* How many extents of the region make up [start, end), without a gap; 0 if they
 * do not. Needs region_lock. Fills in what there is room for. */
static size_t pieces_of(const struct pagemv_region *r, uintptr_t start,
			uintptr_t end, struct piece *out)
{
	size_t page = r->pv->page_bytes, n = 0;
	struct pmv_extent e;

	while (start < end) {
		if (!pmv_extents_find(r->pv, start, &e) || e.start > start ||
		    e.region != r)
			return 0;
		if (out)
			out[n] = (struct piece){
				.first = e.first + (start - e.start) / page,
				.pages = (pmv_min(e.end, end) - start) / page,
			};
		start = e.end;
		n++;
	}
	return n;
}

/* Needs region_lock. *out: what has been taken out of the region; is to be
 * freed. */
static int cut_part(struct pagemv *pv, struct pagemv_region *r, uintptr_t start,
		    uintptr_t end, struct piece **out, size_t *n)
{
	struct pmv_extent_plan plan;
	struct piece *pieces;

	*n = pieces_of(r, start, end, NULL);
	if (!*n)
		return -EINVAL;
	pieces = calloc(*n, sizeof(*pieces));
	if (!pieces || pmv_extents_plan_cut(pv, start, end, r, &plan) < 0) {
		free(pieces);
		return -ENOMEM;
	}
	pieces_of(r, start, end, pieces);
	disarm_extents(r, start, end);
	pmv_extents_apply(pv, &plan);
	pmv_extents_keep(pv, &plan);
	*out = pieces;
	return 0;
}

static int remove_part(struct pagemv_region *r, uintptr_t addr, size_t bytes)
{
	struct pagemv *pv = r->pv;
	struct piece *pieces = NULL;
	size_t n;
	int rc = check_end(r);

	if (rc < 0)
		return rc;
	if (pmv_argument_reason(pv->page_bytes, addr, addr, bytes))
		return -EINVAL;
	pthread_mutex_lock(&pv->region_lock);
	rc = cut_part(pv, r, addr, addr + bytes, &pieces, &n);
	pthread_mutex_unlock(&pv->region_lock);
	if (rc < 0)
		return rc;
	pmv_extents_settle(pv);
	for (size_t i = 0; i < n; i++)
		pmv_region_drain(r, pieces[i].first, pieces[i].pages);
	free(pieces);
	return 0;
}

int pagemv_region_unregister_part(struct pagemv_region *region, void *addr,
				  size_t len_bytes)
{
	int saved = errno, rc;

	if (!region)
		return -EINVAL;
	rc = remove_part(region, (uintptr_t)addr, len_bytes);
	errno = saved;
	return rc;
}

/* ---- all of them ---- */

/* Closing the userfaultfds is not enough: a child may have them open. */
static void end_all(struct pagemv *pv)
{
	pthread_mutex_lock(&pv->region_lock);
	for (struct pagemv_region *r = pv->all; r; r = r->next) {
		pmv_region_begin_end(r);
		disarm_extents(r, r->low, r->high);
	}
	pthread_mutex_unlock(&pv->region_lock);
	/* Who has found one by now is among its users. */
	pmv_extents_settle(pv);
	for (struct pagemv_region *r = pv->all; r; r = r->next)
		wait_for_users(r);
}

void pmv_regions_end(struct pagemv *pv)
{
	if (pv->all && pmv_alive(pv))
		end_all(pv);
}

void pmv_regions_close(struct pagemv *pv)
{
	while (pv->all) {
		struct pagemv_region *r = pv->all;

		unlink_region(r);
		pmv_region_free(r);
	}
	pmv_extents_close(pv);
	pthread_mutex_destroy(&pv->region_lock);
}
