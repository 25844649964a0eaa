// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The beginning and the end of handler threads.
 */
#include "calm.h"
#include "handlers.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "fault.h"
#include "inherit.h"
#include "internal.h"
#include "numa.h"

/* More than a process can have, mostly. */
#define THREADS_MAX 65536

/*
 * Opens the channels that handlers read from the beginning on, so that there
 * will be no other later. INHERIT is not among them: see inherit.h.
 */
static int open_channels(struct pagemv *pv)
{
	enum pagemv_reason reason;
	int error = 0;

	pthread_mutex_lock(&pv->region_lock);
	reason = pmv_channel_open(pv, PMV_CHANNEL_THREADS, &error);
	if (!reason)
		reason = pmv_channel_open(pv, PMV_CHANNEL_EVENTS, &error);
	pthread_mutex_unlock(&pv->region_lock);
	if (!reason)
		return pmv_inherit_prepare(pv);
	if (error == -EMFILE || error == -ENFILE || error == -ENOMEM)
		return error;
	return -EOPNOTSUPP;
}

/* ---- the list of all sets ---- */

static void list_add(struct pagemv_handlers *h)
{
	struct pagemv *pv = h->pv;

	pthread_mutex_lock(&pv->handler_lock);
	h->next = pv->handlers;
	pv->handlers = h;
	pthread_mutex_unlock(&pv->handler_lock);
}

/* Needs handler_lock, or to be in a child of fork(). */
static void unlink_set(struct pagemv_handlers *h)
{
	struct pagemv_handlers **link = &h->pv->handlers;

	while (*link && *link != h)
		link = &(*link)->next;
	if (*link)
		*link = h->next;
}

static void list_remove(struct pagemv_handlers *h)
{
	pthread_mutex_lock(&h->pv->handler_lock);
	unlink_set(h);
	pthread_mutex_unlock(&h->pv->handler_lock);
}

/* ---- threads ---- */

static void end_threads(struct pagemv_handlers *h)
{
	const struct pmv_sys *sys = h->pv->sys;
	uint64_t one = 1;

	atomic_store_explicit(&h->stopping, true, memory_order_relaxed);
	sys->write(h->stop_fd, &one, sizeof(one));
	for (unsigned int i = 0; i < h->started; i++)
		pthread_join(h->of[i].thread, NULL);
}

/* Returns 0, or -EAGAIN when not all of them could be started. Signals are
 * other threads' to handle. */
static int start_threads(struct pagemv_handlers *h)
{
	sigset_t blocked, old;
	int rc = 0;

	pmv_calm_signals(&blocked);
	pthread_sigmask(SIG_SETMASK, &blocked, &old);
	for (; h->started < h->n && rc == 0; h->started += rc == 0) {
		struct pmv_handler *one = &h->of[h->started];

		one->set = h;
		rc = -pthread_create(&one->thread, NULL, pmv_handler_main, one);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc < 0)
		end_threads(h);
	return rc < 0 ? -EAGAIN : 0;
}

/* ---- sets of them ---- */

static void handlers_free(struct pagemv_handlers *h)
{
	h->pv->sys->close(h->stop_fd);
	free(h);
}

static int handlers_new(struct pagemv *pv, const struct pagemv_handlers_opts *o,
			struct pagemv_handlers **out)
{
	struct pagemv_handlers *h =
		calloc(1, sizeof(*h) + o->threads * sizeof(h->of[0]));
	int fd;

	if (!h)
		return -ENOMEM;
	fd = pv->sys->eventfd();
	if (fd < 0) {
		free(h);
		return fd;
	}
	h->pv = pv;
	h->spin_ns = o->spin_ns;
	h->node = o->flags & PAGEMV_HANDLERS_ON_NODE ? o->node : -1;
	h->stop_fd = fd;
	h->n = o->threads;
	*out = h;
	return 0;
}

static int check_opts(const struct pagemv *pv,
		      const struct pagemv_handlers_opts *opts,
		      struct pagemv_handlers_opts *o)
{
	int rc = opts ? pmv_opts_copy(o, sizeof(*o), opts) : 0;

	if (rc < 0)
		return rc;
	if (o->flags & ~PAGEMV_HANDLERS_ON_NODE || o->reserved ||
	    (o->node != 0 && !(o->flags & PAGEMV_HANDLERS_ON_NODE)))
		return -EINVAL;
	if (!pmv_alive(pv))
		return -ESRCH;
	if (o->flags & PAGEMV_HANDLERS_ON_NODE && !pmv_numa_has(o->node))
		return -EINVAL;
	if (o->threads > THREADS_MAX)
		return -EAGAIN;
	o->threads = o->threads ? o->threads : 1;
	return 0;
}

static int handlers_start(struct pagemv *pv,
			  const struct pagemv_handlers_opts *opts,
			  struct pagemv_handlers **out)
{
	struct pagemv_handlers_opts o = { 0 };
	struct pagemv_handlers *h = NULL;
	int rc = check_opts(pv, opts, &o);

	if (rc == 0)
		rc = open_channels(pv);
	if (rc == 0)
		rc = handlers_new(pv, &o, &h);
	if (rc < 0)
		return rc;
	list_add(h);
	rc = start_threads(h);
	if (rc < 0) {
		list_remove(h);
		handlers_free(h);
		return rc;
	}
	*out = h;
	return 0;
}

int pagemv_handlers_start(struct pagemv *pv,
			  const struct pagemv_handlers_opts *opts,
			  struct pagemv_handlers **out)
{
	int saved = errno, rc;

	if (!pv || !out)
		return -EINVAL;
	rc = handlers_start(pv, opts, out);
	errno = saved;
	return rc;
}

static void handlers_end(struct pagemv_handlers *h)
{
	/* It stays in the list until nobody serves: see is_its_own(). */
	end_threads(h);
	list_remove(h);
	handlers_free(h);
}

/* In a child of fork(): whoever held the lock, or was a handler, is not here.
 */
static void handlers_leave(struct pagemv_handlers *h)
{
	unlink_set(h);
	handlers_free(h);
}

int pagemv_handlers_stop(struct pagemv_handlers *handlers)
{
	int saved = errno, rc = 0;

	if (!handlers)
		return 0;
	if (!pmv_alive(handlers->pv)) {
		handlers_leave(handlers);
		rc = -ESRCH;
	} else if (pmv_is_handler(handlers->pv)) {
		rc = -EDEADLK;
	} else {
		handlers_end(handlers);
	}
	errno = saved;
	return rc;
}

void pmv_handlers_close(struct pagemv *pv)
{
	while (pv->handlers)
		if (pmv_alive(pv))
			handlers_end(pv->handlers);
		else
			handlers_leave(pv->handlers);
	pmv_inherit_close(pv);
}
