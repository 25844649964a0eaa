// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Children with regions of this process: what they have, and how they get it.
 *
 * ASSUME(uffd-fork): read() of FORK makes a descriptor for the child's copy of
 *   what was registered with EVENT_FORK, at the same addresses, with the same
 *   features. mm/userfaultfd.c, dup_userfaultfd().
 * ASSUME(uffd-other-mm): UFFDIO_COPY, ZEROPAGE, POISON and WRITEPROTECT act on
 *   the process of the descriptor, whoever calls, and answer ESRCH when it has
 *   ended; COPY reads from the caller. UFFDIO_MOVE is refused.
 */
#include "children.h"

#include <errno.h>
#include <stdlib.h>

#include "region.h"
#include "source.h"
#include "uffd.h"

/* Who has no memory tries so often, with naps in between. */
#define TRIES  50
#define NAP_NS 2000000u

/* ---- a child ---- */

void pmv_child_get(struct pmv_child *c)
{
	if (c)
		atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
}

void pmv_child_put(const struct pagemv *pv, struct pmv_child *c)
{
	/* Release and acquire: who frees it sees what all others did. */
	if (!c ||
	    atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
		return;
	/* Closing is not enough: its younger siblings may have it open. */
	for (size_t i = 0; i < c->n; i++)
		pmv_uffd_unregister(pv->sys, c->fd, c->extents[i].start,
				    c->extents[i].end - c->extents[i].start);
	pv->sys->close(c->fd);
	free(c->extents);
	free(c);
}

bool pmv_child_unlist(struct pmv_inherit *in, struct pmv_child *c)
{
	struct pmv_child **link = &in->children;

	if (!c->listed)
		return false;
	while (*link != c)
		link = &(*link)->next;
	*link = c->next;
	c->listed = false;
	in->n_children--;
	return true;
}

static void child_ended(struct pmv_inherit *in, struct pmv_child *c)
{
	bool was;

	pthread_mutex_lock(&in->lock);
	was = pmv_child_unlist(in, c);
	pthread_mutex_unlock(&in->lock);
	if (was)
		pmv_child_put(in->pv, c);
}

/* Asks for what changes nothing: nobody protects pages with it there.
 * ASSUME(uffd-other-mm) */
static bool has_ended(const struct pagemv *pv, const struct pmv_child *c)
{
	uintptr_t some = pmv_round_down((uintptr_t)pv, pv->page_bytes);

	return pmv_uffd_protect(pv->sys, c->fd, some, pv->page_bytes, false) ==
	       -ESRCH;
}

/* Forgets those whose processes are not there any more. */
static void collect_children(struct pmv_inherit *in)
{
	struct pmv_child *c, *ended = NULL;

	pthread_mutex_lock(&in->lock);
	for (struct pmv_child *next, *at = in->children; at; at = next) {
		next = at->next;
		if (has_ended(in->pv, at) && pmv_child_unlist(in, at)) {
			at->next = ended;
			ended = at;
		}
	}
	pthread_mutex_unlock(&in->lock);
	while ((c = ended)) {
		ended = c->next;
		pmv_child_put(in->pv, c);
	}
}

/* What cannot be refused is tried for a while. */
static void *allocate(struct pmv_inherit *in, size_t n, size_t bytes)
{
	void *p = calloc(n ? n : 1, bytes);

	for (int i = 0; !p && i < TRIES; i++) {
		in->pv->sys->sleep_ns(NAP_NS);
		p = calloc(n ? n : 1, bytes);
	}
	if (!p)
		pmv_log(&in->pv->log, PAGEMV_LOG_ERROR,
			"no memory to follow fork(), munmap() or mremap()");
	return p;
}

/* The extents of this process that are inherited; to: NULL to count them.
 * Needs region_lock. */
static size_t own_extents(const struct pagemv *pv, struct pmv_extent *to)
{
	uintptr_t at = 0;
	struct pmv_extent e;
	size_t n = 0;

	for (; pmv_extents_find(pv, at, &e); at = e.end)
		if (e.region->flags & PAGEMV_REGION_INHERIT) {
			if (to)
				to[n] = e;
			n++;
		}
	return n;
}

/* Needs child_lock, and region_lock where parent is NULL. */
static struct pmv_child *child_new(struct pmv_inherit *in,
				   const struct pmv_child *parent, int fd)
{
	size_t n = parent ? parent->n : own_extents(in->pv, NULL);
	struct pmv_child *c = allocate(in, 1, sizeof(*c));

	if (!c)
		return NULL;
	c->extents = allocate(in, n, sizeof(c->extents[0]));
	if (!c->extents) {
		free(c);
		return NULL;
	}
	for (size_t i = 0; parent && i < n; i++)
		c->extents[i] = parent->extents[i];
	if (!parent)
		own_extents(in->pv, c->extents);
	c->n = n;
	c->fd = fd;
	atomic_init(&c->refs, 1);
	return c;
}

static bool child_list(struct pmv_inherit *in, struct pmv_child *c)
{
	uint64_t one = 1;
	bool room;

	pthread_mutex_lock(&in->lock);
	room = in->n_children < PMV_CHILDREN_MAX;
	if (room) {
		c->next = in->children;
		in->children = c;
		c->listed = true;
		in->n_children++;
	}
	pthread_mutex_unlock(&in->lock);
	in->pv->sys->write(in->nudge_fd, &one, sizeof(one));
	return room;
}

void pmv_child_born(struct pmv_inherit *in, const struct pmv_child *parent,
		    int fd)
{
	struct pagemv *pv = in->pv;
	struct pmv_child *c;

	collect_children(in);
	pthread_mutex_lock(&pv->region_lock);
	pthread_mutex_lock(&in->child_lock);
	c = child_new(in, parent, fd);
	/* In the list before regions can go: pmv_inherit_forget(). */
	if (c && !child_list(in, c)) {
		pmv_log(&pv->log, PAGEMV_LOG_ERROR,
			"more than %d children with inherited regions",
			PMV_CHILDREN_MAX);
		free(c->extents);
		free(c);
		c = NULL;
	}
	pthread_mutex_unlock(&in->child_lock);
	pthread_mutex_unlock(&pv->region_lock);
	if (!c)
		pv->sys->close(fd);
}

/* ---- what children do to their mappings ---- */

static void append(struct pmv_extent *to, size_t *n, const struct pmv_extent *e,
		   uintptr_t start, uintptr_t end, size_t page_bytes,
		   uintptr_t shift)
{
	if (start >= end)
		return;
	to[(*n)++] = (struct pmv_extent){
		.start = start + shift,
		.end = end + shift,
		.region = e->region,
		.first = e->first + (start - e->start) / page_bytes,
	};
}

/* Takes [start, end) out of what the child has, or, with a shift, elsewhere. */
static void child_change(struct pmv_inherit *in, struct pmv_child *c,
			 uintptr_t start, uintptr_t end, uintptr_t shift)
{
	size_t page = in->pv->page_bytes, n = 0;
	struct pmv_extent *to = allocate(in, 3 * c->n, sizeof(*to));

	if (!to)
		return;
	for (size_t i = 0; i < c->n; i++) {
		const struct pmv_extent *e = &c->extents[i];
		uintptr_t from = e->start > start ? e->start : start;
		uintptr_t till = e->end < end ? e->end : end;

		if (from >= till) {
			to[n++] = *e;
			continue;
		}
		append(to, &n, e, e->start, from, page, 0);
		if (shift)
			append(to, &n, e, from, till, page, shift);
		append(to, &n, e, till, e->end, page, 0);
	}
	free(c->extents);
	c->extents = to;
	c->n = n;
}

void pmv_child_follow(struct pmv_inherit *in, struct pmv_child *c,
		      const struct pmv_uffd_msg *m)
{
	pthread_mutex_lock(&in->child_lock);
	switch (m->event) {
	case PMV_EVENT_REMAP:
		child_change(in, c, m->to, m->to + m->bytes, 0);
		child_change(in, c, m->from, m->from + m->bytes,
			     m->to - m->from);
		break;
	case PMV_EVENT_UNMAP:
		child_change(in, c, m->from, m->from + m->bytes, 0);
		break;
	default:
		break;
	}
	pthread_mutex_unlock(&in->child_lock);
}

void pmv_inherit_forget(struct pagemv *pv, const struct pagemv_region *region)
{
	struct pmv_inherit *in = pmv_inherit_of(pv);

	if (!in || !(region->flags & PAGEMV_REGION_INHERIT))
		return;
	pthread_mutex_lock(&in->child_lock);
	pthread_mutex_lock(&in->lock);
	for (struct pmv_child *c = in->children; c; c = c->next)
		for (size_t i = 0; i < c->n; i++)
			if (c->extents[i].region == region)
				c->extents[i].region = NULL;
	pthread_mutex_unlock(&in->lock);
	pthread_mutex_unlock(&in->child_lock);
}

/* ---- serving ---- */

struct serving {
	struct pmv_hold hold;
	struct pmv_inside inside;
};

static void leave(void *arg)
{
	struct serving *s = arg;

	pmv_inside = s->inside.up;
	pmv_region_put(&s->hold);
}

/* The region that the child has at the page, if it has one: held. */
static bool child_hold(struct pmv_inherit *in, const struct pmv_waiting *w,
		       struct pmv_hold *hold)
{
	const struct pmv_child *c = w->child;
	bool held = false;

	pthread_mutex_lock(&in->child_lock);
	for (size_t i = 0; i < c->n && !held; i++) {
		const struct pmv_extent *e = &c->extents[i];

		if (e->start > w->page || w->page >= e->end)
			continue;
		held = e->region && pmv_region_hold_known(e->region, hold);
		hold->extent = *e;
	}
	pthread_mutex_unlock(&in->child_lock);
	return held;
}

static int solve_alone(struct pagemv *pv, const struct pmv_waiting *w)
{
	if (w->event == PMV_EVENT_WRITE)
		return pmv_uffd_protect(pv->sys, w->fd, w->page, pv->page_bytes,
					false);
	return pmv_uffd_zero(pv->sys, w->fd, w->page, pv->page_bytes).error;
}

/* Fills the page as its region says. Returns 0 or why not. */
static int fill_child(struct pagemv *pv, const struct pmv_waiting *w,
		      struct serving *s)
{
	const struct pmv_extent *e = &s->hold.extent;
	struct pmv_window window = {
		.addr = w->page,
		.first = e->first + (w->page - e->start) / pv->page_bytes,
		.pages = 1,
		.fault_addr = w->page,
		.of_child = true,
		.child_fd = w->fd,
	};
	int error = 0;

	/* So that the callback cannot unregister its region. */
	s->inside = (struct pmv_inside){ .region = s->hold.region,
					 .up = pmv_inside };
	pmv_inside = &s->inside;
	pthread_cleanup_push(leave, s);
	if (pmv_source_fill(pv, &s->hold, &window, &error) == 1) {
		pmv_count(&pv->stats, PMV_FILLED, 1);
		error = 0;
	}
	pthread_cleanup_pop(1);
	return error;
}

/*
 * A child's thread gets no signal from here. What cannot be filled is poisoned
 * for it; where the kernel cannot, it waits, and asks again and again.
 */
static void child_failed(struct pagemv *pv, const struct pmv_waiting *w)
{
	if (pmv_has(pv, PAGEMV_HAS_POISON))
		pmv_uffd_poison(pv->sys, w->fd, w->page, pv->page_bytes);
	else
		pv->sys->sleep_ns(NAP_NS);
}

void pmv_inherit_serve(struct pagemv *pv, const struct pmv_waiting *w)
{
	struct pmv_inherit *in = pmv_inherit_of(pv);
	struct serving s;
	int error;

	pmv_count(&pv->stats, PMV_FAULTS, 1);
	if (w->event == PMV_EVENT_WRITE)
		error = solve_alone(pv, w);
	else if (child_hold(in, w, &s.hold))
		error = fill_child(pv, w, &s);
	else
		error = pmv_inherit_if_settled(pv, solve_alone, w);
	switch (error) {
	case 0:
		break;
	case -EEXIST:
	case -EAGAIN:
	case -ENOENT:
	case PMV_FILL_GONE:
		pv->sys->yield();
		break;
	case -ESRCH:
		child_ended(in, w->child);
		break;
	default:
		pmv_count(&pv->stats, PMV_FILL_FAILED, 1);
		child_failed(pv, w);
		break;
	}
	pmv_inherit_drop(pv, w);
}

void pmv_inherit_drop(const struct pagemv *pv, const struct pmv_waiting *w)
{
	pmv_waiting_wake(pv, w);
	pmv_child_put(pv, w->child);
}
