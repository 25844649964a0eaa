// SPDX-License-Identifier: LGPL-2.1-or-later
#include "channel.h"

#include <errno.h>

#include "internal.h"
#include "kernel.h"
#include "uffd.h"

#define EVENTS \
	(PMV_UFFD_EVENT_REMAP | PMV_UFFD_EVENT_REMOVE | PMV_UFFD_EVENT_UNMAP)
/* The kernel has the second only with the first. */
#define ASYNC_WP (PMV_UFFD_WP_UNPOPULATED | PMV_UFFD_WP_ASYNC)

static uint64_t features_of(enum pmv_channel_kind kind)
{
	switch (kind) {
	case PMV_CHANNEL_SIGNAL:
		return PMV_UFFD_SIGBUS;
	case PMV_CHANNEL_EVENTS:
		return PMV_UFFD_THREAD_ID | EVENTS;
	case PMV_CHANNEL_INHERIT:
		return PMV_UFFD_THREAD_ID | EVENTS | PMV_UFFD_EVENT_FORK;
	default:
		return PMV_UFFD_THREAD_ID;
	}
}

/* In the way that the handle's own was opened. */
static int open_fd(const struct pagemv *pv)
{
	int how = (int)pv->caps.uffd_how;
	int fd = pmv_uffd_open(pv->sys, how, pv->dev_fd);

	/* The caller's /dev/userfaultfd may have been closed since. */
	if (fd < 0 && how == PAGEMV_UFFD_DEVICE && pv->dev_fd >= 0)
		fd = pmv_uffd_open(pv->sys, how, -1);
	return fd;
}

static int open_with(const struct pagemv *pv, uint64_t features)
{
	int fd = open_fd(pv), rc;

	if (fd < 0)
		return fd;
	rc = pmv_uffd_api(pv->sys, fd, &features);
	if (rc < 0)
		pv->sys->close(fd);
	return rc < 0 ? rc : fd;
}

static enum pagemv_reason why_not(int error)
{
	switch (error) {
	case -EMFILE:
	case -ENFILE:
	case -ENOMEM:
		return PAGEMV_REASON_NO_MEMORY;
	default:
		return pmv_lacking(error);
	}
}

enum pagemv_reason pmv_channel_open(struct pagemv *pv,
				    enum pmv_channel_kind kind, int *error)
{
	uint64_t features = features_of(kind), has = pv->caps.uffd_features;
	struct pmv_channel *c = &pv->channels[kind];
	int fd;

	*error = 0;
	if (pmv_channel_fd(c) >= 0)
		return PAGEMV_REASON_NONE;
	if (pv->uffd < 0)
		return pmv_uffd_reason(pv, error);
	if (features & ~has)
		return PAGEMV_REASON_NOT_IN_KERNEL;
	if (pmv_has(pv, PAGEMV_HAS_ASYNC_WP))
		features |= ASYNC_WP;
	fd = open_with(pv, features);
	if (fd < 0) {
		*error = fd;
		return why_not(fd);
	}
	c->features = features;
	/* Pairs with the acquire in pmv_channel_fd(). */
	atomic_store_explicit(&c->fd, fd, memory_order_release);
	return PAGEMV_REASON_NONE;
}

void pmv_channels_init(struct pagemv *pv)
{
	for (int kind = 0; kind < PMV_CHANNELS; kind++)
		atomic_init(&pv->channels[kind].fd, -1);
}

void pmv_channels_close(struct pagemv *pv)
{
	for (int kind = 0; kind < PMV_CHANNELS; kind++) {
		int fd = pmv_channel_fd(&pv->channels[kind]);

		if (fd >= 0)
			pv->sys->close(fd);
	}
}
