/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What those who read of children (inherit.c) and those who serve them
 * (children.c) share; nobody else needs it.
 *
 * Lock order: region_lock, child_lock, lock. The reader takes the last alone,
 * and nobody allocates, frees or waits while he has it.
 */
#ifndef PMV_CHILDREN_H
#define PMV_CHILDREN_H

#include "extents.h"
#include "inherit.h"
#include "internal.h"

/* Messages between the reader and the handlers. */
#define PMV_RING 512

#define PMV_CHILDREN_MAX 128

struct pmv_child {
	int fd; /* its userfaultfd */
	PMV_ATOMIC _Atomic unsigned int refs;
	PMV_GUARDED_BY(lock) struct pmv_child *next;
	PMV_GUARDED_BY(lock) bool listed;
	/* What it has, in any order; region: NULL where that has gone. */
	PMV_GUARDED_BY(child_lock) struct pmv_extent *extents;
	PMV_GUARDED_BY(child_lock) size_t n;
};

/* A fault in the words of handlers, or an event. Holds its child. */
struct pmv_item {
	struct pmv_waiting waiting;
	struct pmv_uffd_msg event;
};

struct pmv_inherit {
	struct pagemv *pv;
	int ready_fd; /* readable while there is something to take */
	/* The reader: all three are of those who start and end it, under
	 * handler_lock. */
	bool reading;
	int nudge_fd; /* there is another child, or the end */
	pthread_t thread;
	PMV_ATOMIC _Atomic bool ending; /* relaxed: nudge_fd orders it */

	pthread_mutex_t child_lock;
	pthread_mutex_t lock; /* of all below */
	struct pmv_child *children;
	unsigned int n_children;
	size_t head, n; /* of the ring */
	size_t events;	/* among them */
	bool following; /* an event that was taken: nobody takes more */
	bool ready;	/* what ready_fd says */
	struct pmv_item ring[PMV_RING];
};

/* Pairs with the release in prepare() in inherit.c. */
static inline struct pmv_inherit *pmv_inherit_of(const struct pagemv *pv)
{
	return atomic_load_explicit(&pv->inherit, memory_order_acquire);
}

/* A child is there as long as somebody has it. Put: not by the reader. */
void pmv_child_get(struct pmv_child *c);
void pmv_child_put(const struct pagemv *pv, struct pmv_child *c);

/* Needs lock. Returns whether it was in the list; that reference is the
 * caller's then. */
bool pmv_child_unlist(struct pmv_inherit *in, struct pmv_child *c);

/* fork() of this process, or of a child; fd: of the new one. Where nobody can
 * serve it, it has memory as any other. */
void pmv_child_born(struct pmv_inherit *in, const struct pmv_child *parent,
		    int fd);

/* What a child does to its mappings. */
void pmv_child_follow(struct pmv_inherit *in, struct pmv_child *c,
		      const struct pmv_uffd_msg *m);

#endif /* PMV_CHILDREN_H */
