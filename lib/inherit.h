/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Regions with PAGEMV_REGION_INHERIT: children of fork() that have them too,
 * and whose pages come from here.
 *
 * Handler threads must not read their channel themselves. fork() waits until
 * its event is read, and holds the locks of malloc() meanwhile: a handler that
 * is in malloc() would wait for fork(), and fork() for the handler. So one
 * thread, which takes no such lock, does nothing but read, and hands what it
 * reads to the handlers, in order. What begins it is in channel.h.
 */
#ifndef PMV_INHERIT_H
#define PMV_INHERIT_H

#include "handlers.h"

/* Gives handlers something to wait for. Returns 0, -ENOMEM, -EMFILE, -ENFILE.
 * Before the first handler. */
int pmv_inherit_prepare(struct pagemv *pv);

/* No handlers are there any more. */
void pmv_inherit_close(struct pagemv *pv);

/* Readable while there is something to serve; -1: never. */
int pmv_inherit_fd(const struct pagemv *pv);

/* Takes faults to serve, and adds them to the queue; or follows an event.
 * Returns whether there was anything. On a handler, without locks. */
bool pmv_inherit_take(struct pagemv *pv, struct pmv_queue *q);

/* Serves one of a child, and forgets it. */
void pmv_inherit_serve(struct pagemv *pv, const struct pmv_waiting *w);
/* Forgets one that is not served. */
void pmv_inherit_drop(const struct pagemv *pv, const struct pmv_waiting *w);

/*
 * Solves a fault of this process where no region is, if all events are
 * followed; else it is for later. solve: returns 0 or -errno, does not wait.
 */
int pmv_inherit_if_settled(struct pagemv *pv,
			   int (*solve)(struct pagemv *pv,
					const struct pmv_waiting *w),
			   const struct pmv_waiting *w);

/* Whether all that has been read is followed. */
bool pmv_inherit_settled(const struct pagemv *pv);

#endif /* PMV_INHERIT_H */
