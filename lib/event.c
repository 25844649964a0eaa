// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A message that has been read lets the thread go on that made it: from then on
 * the mappings are as it says, or will be in a moment. Its caller holds
 * region_lock from before it is read, see fault_thread.c.
 *
 * ASSUME(uffd-remap): REMAP comes when the pages are at their new place, which
 *   is registered as the old one was. Before it comes UNMAP of what was at the
 *   new place, after it UNMAP of the old one, or, by MREMAP_DONTUNMAP, nothing:
 *   the old one stays registered. What the mapping grows by is registered, and
 *   in no message. mm/mremap.c, mremap_userfaultfd_complete().
 * ASSUME(uffd-remove): REMOVE comes before the pages are thrown away.
 *   mm/madvise.c, userfaultfd_remove().
 */
#include "event.h"

#include <errno.h>

#include "internal.h"
#include "mapping.h"
#include "region.h"

/* Without memory for the registry; the program goes on meanwhile. */
#define TRIES  50
#define NAP_NS 2000000u

/* Walks what is registered of [at, end) with events. */
struct walk {
	const struct pagemv *pv;
	uintptr_t at;
	uintptr_t end;
	struct pmv_extent part; /* the part of an extent that is inside */
};

static struct walk walk_of(const struct pagemv *pv,
			   const struct pmv_uffd_msg *msg)
{
	return (struct walk){ .pv = pv,
			      .at = msg->from,
			      .end = msg->from + msg->bytes };
}

static bool walk_next(struct walk *w)
{
	struct pmv_extent *e = &w->part;

	while (w->at < w->end && pmv_extents_find(w->pv, w->at, e) &&
	       e->start < w->end) {
		if (e->start < w->at) {
			e->first += (w->at - e->start) / w->pv->page_bytes;
			e->start = w->at;
		}
		if (e->end > w->end)
			e->end = w->end;
		w->at = e->end;
		if (e->region->flags & PAGEMV_REGION_EVENTS)
			return true;
	}
	return false;
}

/* The registry cannot be left as it was: waits for memory. */
static bool once_more(struct pagemv *pv, unsigned int *tries)
{
	if (++*tries > TRIES) {
		pmv_log(&pv->log, PAGEMV_LOG_ERROR,
			"no memory to follow munmap() or mremap()");
		return false;
	}
	pv->sys->sleep_ns(NAP_NS);
	return true;
}

static void cut(struct pagemv *pv, uintptr_t start, uintptr_t end)
{
	unsigned int tries = 0;

	while (pmv_extents_cut(pv, start, end) < 0)
		if (!once_more(pv, &tries))
			break;
}

/* What was known of the place before was mapped over. */
static void add(struct pagemv *pv, const struct pmv_extent *e)
{
	unsigned int tries = 0;
	int rc = pmv_extents_add(pv, e);

	while (rc < 0) {
		if (rc == -EEXIST)
			cut(pv, e->start, e->end);
		else if (!once_more(pv, &tries))
			break;
		rc = pmv_extents_add(pv, e);
	}
}

/* The pages are the same ones at another address, with their states. */
static void follow_remap(struct pagemv *pv, const struct pmv_uffd_msg *msg)
{
	struct walk w = walk_of(pv, msg);

	/* Those at the new place first: there is no time at which a page is
	 * nowhere. ASSUME(uffd-remap) */
	while (walk_next(&w)) {
		struct pmv_extent e = w.part;

		e.start += msg->to - msg->from;
		e.end += msg->to - msg->from;
		add(pv, &e);
	}
	for (w = walk_of(pv, msg); walk_next(&w);)
		cut(pv, w.part.start, w.part.end);
}

/*
 * Whether something else is there already that is registered: after UNMAP was
 * sent another thread may have mapped it again, and, if it is the old place of
 * a mremap(), registered as well.
 */
static bool is_another(const struct pagemv *pv, const struct pmv_extent *e)
{
	struct pmv_mapping m;

	if (pmv_mapping_find(pv, e->start, &m) <= 0 || m.start >= e->end)
		return false;
	return pmv_mapping_find_deep(pv, e->start, &m) > 0 &&
	       m.start < e->end && m.flags & PMV_MAP_UFFD;
}

static void follow_unmap(struct pagemv *pv, const struct pmv_uffd_msg *msg)
{
	struct walk w = walk_of(pv, msg);

	while (walk_next(&w))
		if (!is_another(pv, &w.part))
			cut(pv, w.part.start, w.part.end);
}

/*
 * Their words say PRESENT, which need not be mended: who faults there looks.
 * But only absent pages are filled around another one. Pages that are busy are
 * left to who fills them; where they are gone before they are PRESENT, it is as
 * for any page thrown away without a message.
 */
static void follow_gone(struct pagemv *pv, const struct pmv_uffd_msg *msg)
{
	struct walk w = walk_of(pv, msg);

	while (walk_next(&w))
		if (w.part.region->flags & PAGEMV_REGION_FAULTING)
			pmv_page_note(&w.part.region->states, w.part.first,
				      (w.part.end - w.part.start) /
					      pv->page_bytes,
				      PMV_PAGE_ABSENT);
}

void pmv_event(struct pagemv *pv, const struct pmv_uffd_msg *msg)
{
	switch (msg->event) {
	case PMV_EVENT_REMAP:
		follow_remap(pv, msg);
		break;
	case PMV_EVENT_UNMAP:
		follow_unmap(pv, msg);
		break;
	case PMV_EVENT_GONE:
		follow_gone(pv, msg);
		break;
	default:
		break;
	}
}
