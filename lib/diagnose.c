// SPDX-License-Identifier: LGPL-2.1-or-later
#include "diagnose.h"

#include "internal.h"

#define ATTRIBUTES \
	(PMV_MAP_READ | PMV_MAP_WRITE | PMV_MAP_EXEC | PMV_MAP_LOCKED)

/* What is wrong with a range, gathered mapping by mapping. */
struct side {
	uintptr_t pos; /* the range is looked at up to here */
	uintptr_t end;
	enum pagemv_reason reason;
	bool mixed; /* its mappings differ from each other */
	bool uffd;
	struct pmv_mapping first;
};

static enum pagemv_reason shared_reason(uint32_t flags)
{
	if (flags & PMV_MAP_SHMEM)
		return PAGEMV_REASON_SHMEM;
	if (flags & PMV_MAP_ZERODEV)
		return PAGEMV_REASON_SHARED;
	return flags & PMV_MAP_FILE ? PAGEMV_REASON_FILE : PAGEMV_REASON_SHARED;
}

enum pagemv_reason pmv_mapping_reason(const struct pmv_mapping *m)
{
	if (m->flags & PMV_MAP_HUGETLB)
		return PAGEMV_REASON_HUGETLB;
	if (m->flags & PMV_MAP_SPECIAL)
		return PAGEMV_REASON_SPECIAL;
	if (m->flags & PMV_MAP_MEMFD)
		return PAGEMV_REASON_MEMFD;
	if (m->flags & PMV_MAP_SHARED)
		return shared_reason(m->flags);
	if (m->flags & PMV_MAP_FILE)
		return PAGEMV_REASON_PRIVATE_FILE;
	if (!(m->flags & (PMV_MAP_READ | PMV_MAP_WRITE | PMV_MAP_EXEC)))
		return PAGEMV_REASON_NO_ACCESS;
	if (!(m->flags & PMV_MAP_WRITE))
		return PAGEMV_REASON_READ_ONLY;
	return PAGEMV_REASON_NONE;
}

static enum pagemv_reason pair_reason(const struct pmv_mapping *a,
				      const struct pmv_mapping *b)
{
	uint32_t differ = (a->flags ^ b->flags) & ATTRIBUTES;

	if (differ & ~PMV_MAP_LOCKED || a->pkey != b->pkey)
		return PAGEMV_REASON_PROTECTION_DIFFERS;
	return differ ? PAGEMV_REASON_LOCK_DIFFERS : PAGEMV_REASON_NONE;
}

static bool side_done(const struct side *s)
{
	return s->reason || s->pos >= s->end;
}

static void side_visit(struct side *s, const struct pmv_mapping *m)
{
	if (side_done(s) || m->end <= s->pos)
		return;
	if (m->start > s->pos)
		s->reason = PAGEMV_REASON_UNMAPPED;
	else
		s->reason = pmv_mapping_reason(m);
	if (!s->first.end)
		s->first = *m;
	s->mixed |= pair_reason(&s->first, m) != PAGEMV_REASON_NONE;
	s->uffd |= (m->flags & PMV_MAP_UFFD) != 0;
	s->pos = m->end;
}

static bool visit_two(void *arg, const struct pmv_mapping *m)
{
	struct side *sides = arg;

	side_visit(&sides[0], m);
	side_visit(&sides[1], m);
	return !side_done(&sides[0]) || !side_done(&sides[1]);
}

/* What a walk over all mappings has left to say of a range. */
static enum pagemv_reason side_reason(const struct side *s)
{
	if (!s->reason && s->pos < s->end)
		return PAGEMV_REASON_UNMAPPED;
	return s->reason;
}

/* Where a range's own mappings differ, each piece has its own counterpart. */
static enum pagemv_reason compare_pieces(const struct pagemv *pv, uintptr_t dst,
					 uintptr_t src, size_t bytes)
{
	size_t off = 0;

	while (off < bytes) {
		struct pmv_mapping a, b;
		enum pagemv_reason reason;

		if (pmv_mapping_find_deep(pv, src + off, &a) < 0 ||
		    pmv_mapping_find_deep(pv, dst + off, &b) < 0)
			return PAGEMV_REASON_NO_PROC;
		reason = pair_reason(&a, &b);
		if (reason)
			return reason;
		/* Unmapped meanwhile; the next system call will say so. */
		if (a.end <= src + off || b.end <= dst + off)
			return PAGEMV_REASON_NONE;
		off += pmv_min(a.end - (src + off), b.end - (dst + off));
	}
	return PAGEMV_REASON_NONE;
}

enum pagemv_reason pmv_diagnose(const struct pagemv *pv, uintptr_t dst,
				uintptr_t src, size_t bytes)
{
	struct side sides[2] = {
		{ .pos = src, .end = src + bytes },
		{ .pos = dst, .end = dst + bytes },
	};
	uintptr_t from = dst < src ? dst : src;

	if (pmv_mapping_each(pv, from, visit_two, sides) < 0)
		return PAGEMV_REASON_NONE; /* no /proc: nothing to be told */
	for (int i = 0; i < 2; i++)
		if (side_reason(&sides[i]))
			return side_reason(&sides[i]);
	if (sides[0].mixed || sides[1].mixed)
		return compare_pieces(pv, dst, src, bytes);
	return pair_reason(&sides[0].first, &sides[1].first);
}

enum pagemv_reason pmv_diagnose_range(const struct pagemv *pv, uintptr_t addr,
				      size_t bytes, bool *registered)
{
	struct side sides[2] = { { .pos = addr, .end = addr + bytes } };

	if (registered)
		*registered = false;
	if (pmv_mapping_each(pv, addr, visit_two, sides) < 0)
		return PAGEMV_REASON_NONE;
	if (registered)
		*registered = sides[0].uffd;
	return side_reason(&sides[0]);
}

enum pagemv_reason pmv_check_range(const struct pagemv *pv, uintptr_t addr,
				   size_t bytes)
{
	uintptr_t at = addr, end = addr + bytes;
	struct pmv_mapping m;

	/* Without PROCMAP_QUERY all of /proc/self/maps is read in any case. */
	while (pv->maps_fd >= 0 && at < end &&
	       pmv_mapping_find(pv, at, &m) == 1 && m.start <= at &&
	       !pmv_mapping_reason(&m))
		at = m.end;
	return at < end ? pmv_diagnose_range(pv, addr, bytes, NULL)
			: PAGEMV_REASON_NONE;
}

/* One mapping of each side, by the quick look. */
static enum pagemv_reason check_piece(const struct pagemv *pv, uintptr_t dst,
				      uintptr_t src,
				      const struct pmv_mapping *to,
				      const struct pmv_mapping *from)
{
	enum pagemv_reason reason;

	if (from->start > src || to->start > dst)
		return PAGEMV_REASON_UNMAPPED;
	reason = pmv_mapping_reason(from);
	if (!reason)
		reason = pmv_mapping_reason(to);
	if (!reason)
		reason = pair_reason(from, to);
	if (!reason &&
	    pmv_mapping_locked(pv, src) != pmv_mapping_locked(pv, dst))
		reason = PAGEMV_REASON_LOCK_DIFFERS;
	return reason;
}

static enum pagemv_reason check_quickly(const struct pagemv *pv, uintptr_t dst,
					uintptr_t src, size_t bytes,
					bool *several)
{
	size_t off = 0;

	*several = false;
	while (off < bytes) {
		struct pmv_mapping from, to;
		enum pagemv_reason reason;
		int a = pmv_mapping_find(pv, src + off, &from);
		int b = pmv_mapping_find(pv, dst + off, &to);

		if (a < 0 || b < 0)
			return PAGEMV_REASON_NO_PROC;
		if (a == 0 || b == 0)
			return PAGEMV_REASON_UNMAPPED;
		reason = check_piece(pv, dst + off, src + off, &to, &from);
		if (reason)
			return reason;
		off += pmv_min(from.end - (src + off), to.end - (dst + off));
		*several |= off < bytes;
	}
	return PAGEMV_REASON_NONE;
}

enum pagemv_reason pmv_check(struct pagemv *pv, uintptr_t dst, uintptr_t src,
			     size_t bytes, bool *several)
{
	enum pagemv_reason quick = check_quickly(pv, dst, src, bytes, several);
	enum pagemv_reason deep;

	/* Without /proc nothing can be told, and the caller is believed. */
	if (!quick || quick == PAGEMV_REASON_NO_PROC)
		return PAGEMV_REASON_NONE;
	pmv_count(&pv->stats, PMV_DIAGNOSES, 1);
	deep = pmv_diagnose(pv, dst, src, bytes);
	return deep ? deep : quick;
}

size_t pmv_piece(const struct pagemv *pv, uintptr_t dst, uintptr_t src,
		 size_t bytes)
{
	struct pmv_mapping m;

	if (pmv_mapping_find(pv, src, &m) == 1 && m.start <= src)
		bytes = pmv_min(bytes, m.end - src);
	if (pmv_mapping_find(pv, dst, &m) == 1 && m.start <= dst)
		bytes = pmv_min(bytes, m.end - dst);
	return bytes;
}
