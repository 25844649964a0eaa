// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Two ways. Asynchronous: PAGEMAP_SCAN protects, and the kernel takes the
 * protection off at a store. Synchronous: UFFDIO_WRITEPROTECT protects, a
 * store faults, and pmv_track_fault() takes it off. In both the page tables
 * alone know which pages are dirty.
 *
 * ASSUME(wp-markers): asynchronous write protection implies
 *   UFFD_FEATURE_WP_UNPOPULATED, with which UFFDIO_WRITEPROTECT leaves markers
 *   at absent pages; UFFDIO_MOVE and UFFDIO_ZEROPAGE say EEXIST there, and no
 *   page could be filled in any more. Without it absent pages are passed over.
 *   fs/userfaultfd.c, mm/mprotect.c; tried on 6.18
 * ASSUME(move-unprotects): UFFDIO_MOVE drops the protection of present pages,
 *   and takes that of swapped ones along. mm/userfaultfd.c, 6.8 to 7.2
 * ASSUME(companion-protects): the companion takes it along to where dst is
 *   registered for write protection. kmod/core.h
 */
#include "track.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include <pagemv/track.h>

#include "pages.h"
#include "policy.h"
#include "rcu.h"
#include "region.h"
#include "uffd.h"

/* ---- where ---- */

/* A part of a range that belongs to one region, or to none. */
struct piece {
	uintptr_t start;
	uintptr_t end;
	uint32_t flags; /* PAGEMV_REGION_*; 0 where there is no region, too */
	int fd;
};

/* The piece of [addr, end) that begins at addr. */
static struct piece piece_at(const struct pagemv *pv, uintptr_t addr,
			     uintptr_t end)
{
	struct piece p = { addr, end, 0, pv->uffd };
	struct pmv_extent e;

	pmv_rcu_read_lock();
	if (pmv_extents_find(pv, addr, &e)) {
		if (e.start > addr) {
			p.end = e.start < end ? e.start : end;
		} else {
			p.end = e.end < end ? e.end : end;
			p.flags = e.region->flags;
			p.fd = pmv_region_fd(e.region);
		}
	}
	pmv_rcu_read_unlock((void *)&pv->extents);
	return p;
}

static bool is_tracked(const struct pagemv *pv, uintptr_t addr, size_t bytes)
{
	struct piece p = { .end = addr };

	while (p.end < addr + bytes) {
		p = piece_at(pv, p.end, addr + bytes);
		if (!(p.flags & PAGEMV_REGION_TRACKED))
			return false;
	}
	return true;
}

static bool is_async(const struct pagemv *pv)
{
	return pmv_has(pv, PAGEMV_HAS_ASYNC_WP);
}

/* ---- protecting ---- */

/* UFFDIO_WRITEPROTECT, while mappings change. */
static int write_protect(const struct pagemv *pv, int fd, uintptr_t addr,
			 size_t bytes, bool protect)
{
	unsigned int idle = 0;
	int rc;

	while ((rc = pmv_uffd_protect(pv->sys, fd, addr, bytes, protect)) ==
		       -EAGAIN &&
	       idle < PMV_IDLE_MAX)
		pmv_back_off(pv->sys, idle++);
	return rc;
}

/* What is there of a piece. Never UFFDIO_WRITEPROTECT where that leaves
 * markers: ASSUME(wp-markers). */
static int protect(const struct pagemv *pv, const struct piece *p)
{
	struct pmv_listing unwanted[PMV_LIST_MAX];
	ssize_t n = 0;

	if (!is_async(pv))
		return write_protect(pv, p->fd, p->start, p->end - p->start,
				     true);
	for (uintptr_t at = p->start; at < p->end && n >= 0;)
		n = pmv_pages_list(pv, PMV_LIST_PROTECT, at, p->end - at,
				   unwanted, PMV_LIST_MAX, &at);
	return n < 0 ? (int)n : 0;
}

/* The closed set of errors. */
static int told(int error)
{
	switch (error) {
	case 0:
	case -EAGAIN:
	case -EINTR:
	case -ENOENT:
	case -ENOMEM:
	case -EOPNOTSUPP:
		return error;
	case -EPERM: /* no longer registered, or as something else */
	case -EBUSY:
		return -ENOENT;
	default:
		return -EIO;
	}
}

static int check(const struct pagemv *pv, uintptr_t addr, size_t bytes)
{
	if (!pv || pmv_argument_reason(pv->page_bytes, addr, addr, bytes))
		return -EINVAL;
	if (!pmv_alive(pv))
		return -ESRCH;
	if (!pmv_tracking(pv) || !is_tracked(pv, addr, bytes))
		return -ENOENT;
	return pmv_has(pv, PAGEMV_HAS_PAGEMAP) ? 0 : -EOPNOTSUPP;
}

int pagemv_protect(struct pagemv *pv, void *addr, size_t len_bytes)
{
	uintptr_t start = (uintptr_t)addr;
	struct piece p = { .end = start };
	int rc = check(pv, start, len_bytes);

	if (rc < 0)
		return rc;
	while (rc == 0 && p.end < start + len_bytes) {
		p = piece_at(pv, p.end, start + len_bytes);
		rc = p.flags & PAGEMV_REGION_TRACKED ? protect(pv, &p)
						     : -ENOENT;
	}
	return told(rc);
}

/* ---- telling ---- */

struct telling {
	const struct pagemv *pv;
	uint32_t flags; /* PAGEMV_DIRTY_* */
	struct pagemv_range *ranges;
	size_t n;
	size_t told;
	uintptr_t next;
};

/* Whether the last range goes on at addr. */
static bool goes_on(const struct telling *t, uintptr_t addr)
{
	const struct pagemv_range *last;

	if (!t->told)
		return false;
	last = &t->ranges[t->told - 1];
	return (uintptr_t)last->addr + last->len_bytes == addr;
}

static bool has_room(const struct telling *t, uintptr_t addr)
{
	return t->told < t->n || goes_on(t, addr);
}

static void tell(struct telling *t, const struct pmv_listing *dirty)
{
	size_t bytes = dirty->end - dirty->start;

	if (goes_on(t, dirty->start))
		t->ranges[t->told - 1].len_bytes += bytes;
	else
		t->ranges[t->told++] =
			(struct pagemv_range){ (void *)dirty->start, bytes };
}

/* PAGEMAP_SCAN sees all regions as one, and protects no more than it tells. */
static int tell_by_scan(struct telling *t, uintptr_t end)
{
	enum pmv_listed which = t->flags & PAGEMV_DIRTY_PROTECT
					? PMV_LIST_PROTECT
					: PMV_LIST_OPEN;
	struct pmv_listing dirty[PMV_LIST_MAX];

	while (t->next < end && t->told < t->n) {
		size_t room = pmv_min(t->n - t->told, PMV_LIST_MAX);
		ssize_t n = pmv_pages_list(t->pv, which, t->next, end - t->next,
					   dirty, room, &t->next);

		if (n < 0)
			return (int)n;
		for (ssize_t i = 0; i < n; i++)
			tell(t, &dirty[i]);
	}
	return 0;
}

/* All of a run, or, where that fails, nothing: it is not told then. */
static int protect_run(const struct telling *t, int fd,
		       const struct pmv_listing *run)
{
	size_t bytes = run->end - run->start;
	int rc = 0;

	if (t->flags & PAGEMV_DIRTY_PROTECT)
		rc = write_protect(t->pv, fd, run->start, bytes, true);
	if (rc < 0)
		write_protect(t->pv, fd, run->start, bytes, false);
	return rc;
}

/*
 * Tells runs of one piece; each is protected before. A store before that is
 * told, one behind it faults. Returns 0 to go on behind it, 1 where there is
 * no more room, or -errno.
 */
static int tell_piece(struct telling *t, const struct piece *p)
{
	struct pmv_listing dirty[PMV_LIST_MAX];
	uintptr_t next;

	while (t->next < p->end) {
		/* One more may go on from the last. */
		size_t room = pmv_min(t->n - t->told, PMV_LIST_MAX - 1) + 1;
		ssize_t n = pmv_pages_list(t->pv, PMV_LIST_OPEN, t->next,
					   p->end - t->next, dirty, room,
					   &next);

		if (n < 0)
			return (int)n;
		for (ssize_t i = 0; i < n; i++) {
			const struct pmv_listing *d = &dirty[i];
			int rc;

			t->next = d->start;
			if (!has_room(t, d->start))
				return 1;
			rc = protect_run(t, p->fd, d);
			if (rc < 0)
				return rc;
			tell(t, d);
		}
		t->next = next;
	}
	return 0;
}

static int tell_by_pieces(struct telling *t, uintptr_t end)
{
	int rc = 0;

	while (rc == 0 && t->next < end) {
		struct piece p = piece_at(t->pv, t->next, end);

		rc = p.flags & PAGEMV_REGION_TRACKED ? tell_piece(t, &p)
						     : -ENOENT;
	}
	return rc;
}

ssize_t pagemv_dirty(struct pagemv *pv, void *addr, size_t len_bytes,
		     uint32_t flags, struct pagemv_range *ranges, size_t n,
		     void **next)
{
	uintptr_t start = (uintptr_t)addr;
	struct telling t = { pv, flags, ranges, n, 0, start };
	int rc;

	if (!ranges || !n || flags & ~PAGEMV_DIRTY_PROTECT)
		return -EINVAL;
	rc = check(pv, start, len_bytes);
	if (rc < 0)
		return rc;
	rc = is_async(pv) ? tell_by_scan(&t, start + len_bytes)
			  : tell_by_pieces(&t, start + len_bytes);
	/* What is protected must be told; the error comes back next time. */
	if (rc < 0 && !t.told)
		return told(rc);
	if (next)
		*next = (void *)t.next;
	return (ssize_t)t.told;
}

/* ---- faults ---- */

bool pmv_track_fault(struct pagemv *pv, const struct pagemv_region *region,
		     uintptr_t addr)
{
	int fd = pmv_region_fd(region), rc;

	if (!(region->flags & PAGEMV_REGION_TRACKED) || is_async(pv))
		return false;
	rc = write_protect(pv, fd, addr, pv->page_bytes, false);
	/* It is to ask again. */
	if (rc == -EAGAIN)
		pmv_uffd_wake(pv->sys, fd, addr, pv->page_bytes);
	return rc == 0 || rc == -EAGAIN;
}

/* ---- moves ---- */

static bool open_bits(struct pagemv *pv, struct pmv_leaving *l)
{
	size_t pages = l->bytes / pv->page_bytes;
	uintptr_t at;

	if (pages <= PMV_LEAVING_PAGES) {
		l->clean = l->few;
		memset(l->few, 0, (pages + 63) / 64 * sizeof(l->few[0]));
		return true;
	}
	l->mapped = pmv_round_up((pages + 7) / 8, pv->page_bytes);
	if (pv->sys->mmap(&at, l->mapped, PROT_READ | PROT_WRITE) < 0)
		return false;
	l->clean = (uint64_t *)at;
	return true;
}

static void note(struct pmv_leaving *l, size_t first, size_t behind)
{
	for (size_t i = first; i < behind; i++)
		l->clean[i / 64] |= 1ull << i % 64;
}

static void note_clean(const struct pagemv *pv, struct pmv_leaving *l)
{
	struct pmv_listing run[PMV_LIST_MAX];
	uintptr_t end = l->src + l->bytes;
	ssize_t n = 0;

	for (uintptr_t at = l->src; at < end && n >= 0;) {
		n = pmv_pages_list(pv, PMV_LIST_PROTECTED, at, end - at, run,
				   PMV_LIST_MAX, &at);
		for (ssize_t i = 0; i < n; i++)
			note(l, (run[i].start - l->src) / pv->page_bytes,
			     (run[i].end - l->src) / pv->page_bytes);
	}
}

bool pmv_track_leave(struct pagemv *pv, uintptr_t dst, uintptr_t src,
		     size_t bytes, bool quiescent, struct pmv_leaving *leaving)
{
	leaving->dst = dst;
	leaving->src = src;
	leaving->bytes = bytes;
	leaving->clean = NULL;
	leaving->mapped = 0;
	if (!pmv_alive(pv) ||
	    !pmv_region_has(pv, src, bytes, PAGEMV_REGION_TRACKED))
		return false;
	if (quiescent && is_tracked(pv, dst, bytes) && open_bits(pv, leaving))
		note_clean(pv, leaving);
	return true;
}

static bool is_noted(const struct pmv_leaving *l, size_t i)
{
	return l->clean[i / 64] >> i % 64 & 1;
}

/* Where it fails the page is dirty, which is no lie. */
static void protect_range(const struct pagemv *pv, uintptr_t addr, size_t bytes)
{
	struct piece p = { .end = addr };

	while (p.end < addr + bytes) {
		p = piece_at(pv, p.end, addr + bytes);
		if (p.flags & PAGEMV_REGION_TRACKED)
			protect(pv, &p);
	}
}

static void protect_noted(const struct pagemv *pv, const struct pmv_leaving *l,
			  size_t pages)
{
	for (size_t i = 0, n; i < pages; i += n ? n : 1) {
		for (n = 0; i + n < pages && is_noted(l, i + n);)
			n++;
		if (n)
			protect_range(pv, l->dst + i * pv->page_bytes,
				      n * pv->page_bytes);
	}
}

/* Whether pages may have come there protected. Where a region is registered for
 * absent pages only, protection has no meaning. */
static bool may_be_protected(const struct pagemv *pv, const struct piece *p)
{
	/* ASSUME(companion-protects) */
	if (p->flags & PAGEMV_REGION_TRACKED)
		return pmv_available(pv, PAGEMV_MECH_COMPANION);
	/* ASSUME(move-unprotects): what was swapped out */
	return !(p->flags & PAGEMV_REGION_FAULTING);
}

static void unprotect(const struct pagemv *pv, uintptr_t addr, size_t bytes)
{
	struct piece p = { .end = addr };

	while (p.end < addr + bytes) {
		p = piece_at(pv, p.end, addr + bytes);
		if (may_be_protected(pv, &p) && p.fd >= 0)
			write_protect(pv, p.fd, p.start, p.end - p.start,
				      false);
	}
}

void pmv_track_arrive(struct pagemv *pv, struct pmv_leaving *leaving,
		      size_t done)
{
	if (leaving->clean)
		protect_noted(pv, leaving, done / pv->page_bytes);
	else
		unprotect(pv, leaving->dst, leaving->bytes);
	if (leaving->clean && leaving->mapped)
		pv->sys->munmap((uintptr_t)leaving->clean, leaving->mapped);
}
