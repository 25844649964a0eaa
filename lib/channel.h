/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A channel is a userfaultfd with the features that some regions need: what
 * happens to faults is a property of the descriptor, not of the range. The
 * handle's own descriptor is the channel of quiet regions; the others are
 * opened when the first region asks for them, and kept.
 */
#ifndef PMV_CHANNEL_H
#define PMV_CHANNEL_H

#include <stdatomic.h>

#include <pagemv/base.h>

#include "base.h"

struct pagemv;
struct pagemv_region;

enum pmv_channel_kind {
	PMV_CHANNEL_SIGNAL,  /* SIGBUS */
	PMV_CHANNEL_THREADS, /* messages to handler threads */
	PMV_CHANNEL_EVENTS,  /* the same, and events but fork */
	PMV_CHANNEL_INHERIT, /* the same, and fork */
	PMV_CHANNELS
};

struct pmv_channel {
	/* -1: not opened. Written once under region_lock; read by any thread.
	 */
	PMV_ATOMIC _Atomic int fd;
	uint64_t features; /* constant once fd is there; those in force */
};

/*
 * Opens the channel if it is not open. Needs region_lock. Returns NONE, or why
 * not, with *error the errno of it.
 */
enum pagemv_reason pmv_channel_open(struct pagemv *pv,
				    enum pmv_channel_kind kind, int *error);

static inline int pmv_channel_fd(const struct pmv_channel *c)
{
	/* Pairs with the release in pmv_channel_open(). */
	return atomic_load_explicit(&c->fd, memory_order_acquire);
}

/*
 * The channel INHERIT is read by a thread of its own, see inherit.h: begins to
 * read it, once; returns 0, -ENOMEM, -EMFILE, -ENFILE or -EAGAIN. And: children
 * do not have the region any more, which has been taken out of the table and is
 * not freed yet.
 */
int pmv_inherit_open(struct pagemv *pv);
void pmv_inherit_forget(struct pagemv *pv, const struct pagemv_region *region);

void pmv_channels_init(struct pagemv *pv);
void pmv_channels_close(struct pagemv *pv);

#endif /* PMV_CHANNEL_H */
