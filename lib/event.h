/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the program does to the mappings of a region with
 * PAGEMV_REGION_EVENTS, and a child of fork() that has one too.
 */
#ifndef PMV_EVENT_H
#define PMV_EVENT_H

#include "uffd.h"

struct pagemv;

/* Follows one message that is not a fault. The caller has held region_lock
 * since before it was read. */
void pmv_event(struct pagemv *pv, const struct pmv_uffd_msg *msg);

/*
 * Returns when all events that the caller's own calls have made are followed,
 * or have not been for too long: they are read when such a call returns, and
 * followed in a moment. Without locks; AS-Safe. In fault_thread.c.
 */
void pmv_events_settle(struct pagemv *pv);

/*
 * For who waits until mappings do not change any more: a handler thread may be
 * the only one to read why they do, so that it should not sleep. Needs that the
 * caller is not in a read-side section, and has no lock. Returns false on other
 * threads. In fault_thread.c.
 */
bool pmv_events_drain(struct pagemv *pv);

#endif /* PMV_EVENT_H */
