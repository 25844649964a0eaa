// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * From the reader to the handlers.
 */
#include "inherit.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "children.h"
#include "event.h"
#include "internal.h"
#include "uffd.h"

/* How many of the messages between them may be faults: those can be asked for
 * again. */
#define FAULTS_MAX (PMV_RING / 2)
/* With no room for more the reader looks again after so long. */
#define NAP_NS 2000000u

static bool is_event(const struct pmv_item *i)
{
	return i->waiting.event != PMV_EVENT_FAULT &&
	       i->waiting.event != PMV_EVENT_WRITE;
}

static void follow(struct pmv_inherit *in, const struct pmv_item *item)
{
	struct pmv_child *c = item->waiting.child;
	const struct pmv_uffd_msg *m = &item->event;

	if (m->event == PMV_EVENT_FORK) {
		pmv_child_born(in, c, m->fd);
	} else if (c) {
		pmv_child_follow(in, c, m);
	} else {
		pthread_mutex_lock(&in->pv->region_lock);
		pmv_event(in->pv, m);
		pthread_mutex_unlock(&in->pv->region_lock);
	}
	pmv_child_put(in->pv, c);
}

/* ---- the ring ---- */

/* Needs lock. */
static void refresh_ready(struct pmv_inherit *in)
{
	bool ready = in->n > 0 && !in->following;
	uint64_t word = 1;

	if (ready && !in->ready)
		in->pv->sys->write(in->ready_fd, &word, sizeof(word));
	else if (!ready && in->ready)
		in->pv->sys->read(in->ready_fd, &word, sizeof(word));
	in->ready = ready;
}

/* Needs lock. */
static void push(struct pmv_inherit *in, const struct pmv_item *item)
{
	in->ring[(in->head + in->n++) % PMV_RING] = *item;
	in->events += is_event(item);
	pmv_child_get(item->waiting.child);
}

/* Needs lock. */
static struct pmv_item pop(struct pmv_inherit *in)
{
	struct pmv_item item = in->ring[in->head];

	in->head = (in->head + 1) % PMV_RING;
	in->n--;
	in->events -= is_event(&item);
	return item;
}

/* Puts messages into the ring, events first: what they tell has happened
 * before the faults can be served. Needs lock, and room. */
static void push_all(struct pmv_inherit *in, const struct pmv_uffd_msg *msgs,
		     int n, int fd, struct pmv_child *c)
{
	struct pmv_item item;

	for (int i = 0; i < n; i++) {
		item.waiting = (struct pmv_waiting){ .event = msgs[i].event,
						     .child = c };
		item.event = msgs[i];
		if (is_event(&item))
			push(in, &item);
	}
	for (int i = 0; i < n; i++) {
		item.waiting = pmv_waiting_of(&msgs[i], fd, c);
		if (is_event(&item))
			continue;
		if (in->n - in->events < FAULTS_MAX)
			push(in, &item);
		else
			pmv_waiting_wake(in->pv, &item.waiting);
	}
}

/* The next event, where it is one's turn; then nobody takes more before
 * followed(). */
static bool take_event(struct pmv_inherit *in, struct pmv_item *event)
{
	if (in->following || !in->n || !is_event(&in->ring[in->head]))
		return false;
	*event = pop(in);
	in->following = true;
	return true;
}

/* Faults up to the next event. Needs lock. */
static bool take_faults(struct pmv_inherit *in, struct pmv_queue *q)
{
	bool any = false;

	while (!in->following && in->n && !is_event(&in->ring[in->head]) &&
	       q->n < PMV_UFFD_MSGS) {
		struct pmv_item item = pop(in);

		pmv_queue_add(in->pv, q, &item.waiting);
		any = true;
	}
	return any;
}

static void followed(struct pmv_inherit *in)
{
	pthread_mutex_lock(&in->lock);
	in->following = false;
	refresh_ready(in);
	pthread_mutex_unlock(&in->lock);
}

bool pmv_inherit_take(struct pagemv *pv, struct pmv_queue *q)
{
	struct pmv_inherit *in = pmv_inherit_of(pv);
	struct pmv_item event;
	bool has_event, has_faults;

	if (!in)
		return false;
	pthread_mutex_lock(&in->lock);
	has_event = take_event(in, &event);
	has_faults = take_faults(in, q);
	refresh_ready(in);
	pthread_mutex_unlock(&in->lock);
	if (has_event) {
		follow(in, &event);
		followed(in);
	}
	return has_event || has_faults;
}

int pmv_inherit_if_settled(struct pagemv *pv,
			   int (*solve)(struct pagemv *pv,
					const struct pmv_waiting *w),
			   const struct pmv_waiting *w)
{
	struct pmv_inherit *in = pmv_inherit_of(pv);
	int rc = -EAGAIN;

	/* With the lock nothing is read. */
	pthread_mutex_lock(&in->lock);
	if (!in->events && !in->following)
		rc = solve(pv, w);
	pthread_mutex_unlock(&in->lock);
	return rc;
}

bool pmv_inherit_settled(const struct pagemv *pv)
{
	struct pmv_inherit *in = pmv_inherit_of(pv);
	bool settled;

	if (!in)
		return true;
	/* Its caller may be a signal handler. */
	if (pthread_mutex_trylock(&in->lock) != 0)
		return false;
	settled = !in->events && !in->following;
	pthread_mutex_unlock(&in->lock);
	return settled;
}

/* ---- the reader ---- */

/* A child by its descriptor; NULL where it is not in the list any more. Needs
 * lock. */
static struct pmv_child *child_at(const struct pmv_inherit *in, int fd)
{
	struct pmv_child *c = in->children;

	while (c && c->fd != fd)
		c = c->next;
	return c;
}

/* Reads what one descriptor has. What is read and what is followed is one and
 * the same for who has the lock. */
static void read_one(struct pmv_inherit *in, int fd, bool is_child)
{
	struct pmv_uffd_msg msgs[PMV_UFFD_MSGS];
	struct pagemv *pv = in->pv;
	struct pmv_child *c = NULL;
	int n = 0;

	pthread_mutex_lock(&in->lock);
	if (is_child)
		c = child_at(in, fd);
	if (PMV_RING - in->n >= PMV_UFFD_MSGS && (c || !is_child))
		n = pmv_uffd_read(pv->sys, fd, pv->page_bytes, msgs);
	if (n > 0) {
		push_all(in, msgs, n, fd, c);
		refresh_ready(in);
	}
	pthread_mutex_unlock(&in->lock);
	/* No room, or no descriptor for a child. */
	if (n <= 0)
		pv->sys->sleep_ns(NAP_NS);
}

/* What there is to read from; returns how many. */
static size_t reader_fds(struct pmv_inherit *in, struct pollfd *fds)
{
	const struct pmv_channel *c = &in->pv->channels[PMV_CHANNEL_INHERIT];
	size_t n = 2;

	fds[0] = (struct pollfd){ in->nudge_fd, POLLIN, 0 };
	fds[1] = (struct pollfd){ pmv_channel_fd(c), POLLIN, 0 };
	pthread_mutex_lock(&in->lock);
	for (struct pmv_child *at = in->children; at; at = at->next)
		fds[n++] = (struct pollfd){ at->fd, POLLIN, 0 };
	pthread_mutex_unlock(&in->lock);
	return n;
}

static void *reader_main(void *arg)
{
	struct pollfd fds[2 + PMV_CHILDREN_MAX];
	struct pmv_inherit *in = arg;
	const struct pmv_sys *sys = in->pv->sys;
	struct pmv_channel *c = &in->pv->channels[PMV_CHANNEL_INHERIT];
	uint64_t word;

	while (!atomic_load_explicit(&in->ending, memory_order_relaxed)) {
		size_t n = reader_fds(in, fds);

		if (sys->poll(fds, n, -1) < 0)
			sys->sleep_ns(NAP_NS);
		if (fds[0].revents)
			sys->read(in->nudge_fd, &word, sizeof(word));
		for (size_t i = 1; i < n; i++)
			if (fds[i].revents)
				read_one(in, fds[i].fd, i > 1);
	}
	/* By this thread, before anybody frees anything: see inherit.h. */
	sys->close(atomic_exchange_explicit(&c->fd, -1, memory_order_acq_rel));
	return NULL;
}

/* ---- beginning and end ---- */

/* Needs handler_lock. */
static int prepare(struct pagemv *pv)
{
	struct pmv_inherit *in;
	int fd;

	if (pmv_inherit_of(pv))
		return 0;
	fd = pv->sys->eventfd();
	if (fd < 0)
		return fd;
	in = calloc(1, sizeof(*in));
	if (!in) {
		pv->sys->close(fd);
		return -ENOMEM;
	}
	in->pv = pv;
	in->ready_fd = fd;
	in->nudge_fd = -1;
	pthread_mutex_init(&in->child_lock, NULL);
	pthread_mutex_init(&in->lock, NULL);
	/* Pairs with the acquire in pmv_inherit_of(). */
	atomic_store_explicit(&pv->inherit, in, memory_order_release);
	return 0;
}

int pmv_inherit_prepare(struct pagemv *pv)
{
	int rc;

	pthread_mutex_lock(&pv->handler_lock);
	rc = prepare(pv);
	pthread_mutex_unlock(&pv->handler_lock);
	return rc;
}

/* Needs handler_lock. */
static int start_reader(struct pmv_inherit *in)
{
	const struct pmv_sys *sys = in->pv->sys;
	int fd = sys->eventfd();
	sigset_t all, old;
	int rc;

	if (fd < 0)
		return fd;
	in->nudge_fd = fd;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&in->thread, NULL, reader_main, in);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	in->reading = rc == 0;
	if (rc == 0)
		return 0;
	in->nudge_fd = -1;
	sys->close(fd);
	return -EAGAIN;
}

int pmv_inherit_open(struct pagemv *pv)
{
	struct pmv_inherit *in;
	int rc;

	pthread_mutex_lock(&pv->handler_lock);
	rc = prepare(pv);
	in = pmv_inherit_of(pv);
	if (rc == 0 && !in->reading)
		rc = start_reader(in);
	pthread_mutex_unlock(&pv->handler_lock);
	return rc;
}

static void end_reader(struct pmv_inherit *in)
{
	uint64_t one = 1;

	atomic_store_explicit(&in->ending, true, memory_order_relaxed);
	in->pv->sys->write(in->nudge_fd, &one, sizeof(one));
	pthread_join(in->thread, NULL);
}

/* What has not been taken, and whoever is left. */
static void forget_all(struct pmv_inherit *in)
{
	struct pagemv *pv = in->pv;

	while (in->n > 0) {
		struct pmv_item item = pop(in);

		if (is_event(&item) && item.event.event == PMV_EVENT_FORK)
			pv->sys->close(item.event.fd);
		pmv_child_put(pv, item.waiting.child);
	}
	while (in->children) {
		struct pmv_child *c = in->children;

		pmv_child_unlist(in, c);
		pmv_child_put(pv, c);
	}
}

void pmv_inherit_close(struct pagemv *pv)
{
	struct pmv_inherit *in = pmv_inherit_of(pv);

	if (!in)
		return;
	/* In a child of fork() there is no reader, and what it was at may be
	 * half done. */
	if (pmv_alive(pv)) {
		if (in->reading)
			end_reader(in);
		forget_all(in);
	}
	if (in->nudge_fd >= 0)
		pv->sys->close(in->nudge_fd);
	pv->sys->close(in->ready_fd);
	free(in);
	atomic_store_explicit(&pv->inherit, NULL, memory_order_relaxed);
}

int pmv_inherit_fd(const struct pagemv *pv)
{
	const struct pmv_inherit *in = pmv_inherit_of(pv);

	return in ? in->ready_fd : -1;
}
