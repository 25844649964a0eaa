// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Delivery by handler threads: messages are read from the channels, faults
 * are solved by pmv_fault(), events followed by pmv_event().
 *
 * Messages of a channel with events are read with region_lock held, until its
 * events are followed. So a fault that is read later, on any handler, and
 * whoever registers once munmap() or mremap() has returned, find the registry
 * as the program has made it. No thread waits for an event to be read while it
 * holds region_lock: the library does nothing that makes one, to a range that
 * is registered, with the lock held.
 *
 * ASSUME(uffd-events-unlocked): who waits for an event to be read does not
 *   hold mmap_lock. mm/userfaultfd.c, userfaultfd_event_wait_completion().
 * ASSUME(uffd-changing): UFFDIO_ZEROPAGE and UFFDIO_WRITEPROTECT answer EAGAIN
 *   from when mappings begin to change until the event of it has been read.
 *   mm/userfaultfd.c, ctx->mmap_changing.
 * ASSUME(signal-code): a thread may send another one a signal with a si_code
 *   below zero only. kernel/signal.c, do_rt_tgsigqueueinfo().
 */
#include "handlers.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "event.h"
#include "fault.h"
#include "inherit.h"
#include "internal.h"
#include "numa.h"
#include "rcu.h"
#include "region.h"

/* So many looks while spinning between two chances for others to run. */
#define SPINS_A_YIELD 64
/* After an answer of the kernel that should not be. */
#define ODD_NAP_NS 1000000u
/* How often is looked whether events are followed: they are, in a moment. But
 * the handler that does it may have to wait for a processor: about 1 s. */
#define SETTLE_TRIES 512

/* What a handler has read and not served yet. */
struct reader {
	struct pmv_handler *me;
	struct pagemv *pv;
	struct pmv_queue now;
	size_t at; /* of now: the next one to serve */
	/* Read while one of now is served. */
	struct pmv_queue later;
};

/* The calling thread's; NULL: no handler thread. */
static __thread struct reader *own __attribute__((tls_model("initial-exec")));

/* Also where a callback has called fork(): nobody serves in the child. */
static bool is_over(const struct pagemv_handlers *h)
{
	return atomic_load_explicit(&h->stopping, memory_order_relaxed) ||
	       !pmv_alive(h->pv);
}

bool pmv_is_handler(const struct pagemv *pv)
{
	return own && own->pv == pv;
}

/* ---- signals ---- */

/*
 * A thread waits for one page at a time. If two of its messages have been read,
 * it does not wait because of the first any more: it was woken, or a signal
 * came, and it made the access again. Then it must not have a SIGBUS for each.
 *
 * The number of the last message by tid, of all handles. Threads may share a
 * place: a message that is not the newest is no reason for a signal, but to let
 * the thread ask again.
 */
#define PLACES 256

static PMV_ATOMIC _Atomic uint32_t newest[PLACES];
static PMV_ATOMIC _Atomic uint32_t last_turn;

static _Atomic uint32_t *newest_of(int tid)
{
	return &newest[(unsigned int)tid % PLACES];
}

struct pmv_waiting pmv_waiting_of(const struct pmv_uffd_msg *msg, int fd,
				  struct pmv_child *child)
{
	struct pmv_waiting w = { .page = msg->from,
				 .fd = fd,
				 .tid = msg->tid,
				 .event = msg->event,
				 .child = child };

	/* The tids of another process are none here. */
	if (child)
		return w;
	w.turn = atomic_fetch_add_explicit(&last_turn, 1, memory_order_relaxed);
	atomic_store_explicit(newest_of(w.tid), w.turn, memory_order_relaxed);
	return w;
}

/*
 * As the kernel would for a page that cannot be filled, as far as it allows
 * that: ASSUME(signal-code). It ends the thread's waiting, too. Returns false
 * if there is no signal to send.
 */
static bool send_sigbus(const struct pagemv *pv, const struct pmv_waiting *w,
			int error)
{
	siginfo_t info;

	if (atomic_load_explicit(newest_of(w->tid), memory_order_relaxed) !=
	    w->turn)
		return false;
	memset(&info, 0, sizeof(info));
	info.si_signo = SIGBUS;
	info.si_code = SI_QUEUE;
	info.si_errno = -error;
	info.si_addr = (void *)w->page;
	return pv->sys->queue_signal(w->tid, SIGBUS, &info) == 0;
}

/* ---- handlers that wait for themselves ---- */

/* Which tids, modulo 64, have ever been of handlers: most are not. */
static PMV_ATOMIC _Atomic uint64_t handler_tids;

static uint64_t tid_bit(int tid)
{
	return UINT64_C(1) << ((unsigned int)tid % 64);
}

void pmv_handler_fills(uintptr_t from, uintptr_t to)
{
	struct pmv_handler *me = own ? own->me : NULL;
	unsigned int i;

	if (!me)
		return;
	i = atomic_fetch_add_explicit(&me->depth, 1, memory_order_relaxed);
	if (i < PMV_FILLS_KNOWN) {
		atomic_store_explicit(&me->from[i], from, memory_order_relaxed);
		atomic_store_explicit(&me->to[i], to, memory_order_relaxed);
	}
}

void pmv_handler_filled(void)
{
	if (own)
		atomic_fetch_sub_explicit(&own->me->depth, 1,
					  memory_order_relaxed);
}

static bool fills(const struct pmv_handler *one, uintptr_t page)
{
	size_t n = atomic_load_explicit(&one->depth, memory_order_relaxed);

	for (size_t i = 0; i < pmv_min(n, PMV_FILLS_KNOWN); i++)
		if (atomic_load_explicit(&one->from[i], memory_order_relaxed) <=
			    page &&
		    page < atomic_load_explicit(&one->to[i],
						memory_order_relaxed))
			return true;
	return false;
}

/*
 * Whether it is a handler, in a callback that is to fill the page itself. It
 * would wait for ever, and whoever serves it as well.
 */
static bool waits_for_itself(struct pagemv *pv, const struct pmv_waiting *w)
{
	bool does = false;

	if (!(atomic_load_explicit(&handler_tids, memory_order_relaxed) &
	      tid_bit(w->tid)))
		return false;
	pthread_mutex_lock(&pv->handler_lock);
	for (struct pagemv_handlers *h = pv->handlers; h; h = h->next)
		for (unsigned int i = 0; i < h->n; i++)
			if (atomic_load_explicit(&h->of[i].tid,
						 memory_order_relaxed) ==
			    w->tid)
				does = fills(&h->of[i], w->page);
	pthread_mutex_unlock(&pv->handler_lock);
	return does;
}

/* ---- faults ---- */

/*
 * A fault where no region is. Mostly it has just ended, and the access need
 * only be made again. But what grows by mremap(), or is left behind by
 * MREMAP_DONTUNMAP, stays registered with nobody to fill it: memory as any
 * other, page by page. Not before all events are read, and followed: its region
 * may be on its way. ASSUME(uffd-changing)
 */
static int solve_alone(struct pagemv *pv, const struct pmv_waiting *w)
{
	if (w->event == PMV_EVENT_WRITE)
		return pmv_uffd_protect(pv->sys, w->fd, w->page, pv->page_bytes,
					false);
	return pmv_uffd_zero(pv->sys, w->fd, w->page, pv->page_bytes).error;
}

static void solve_foreign(struct pagemv *pv, const struct pmv_waiting *w)
{
	int inherited = pmv_channel_fd(&pv->channels[PMV_CHANNEL_INHERIT]);
	struct pmv_extent e;
	int error = 0;

	pthread_mutex_lock(&pv->region_lock);
	if (!pmv_extents_find(pv, w->page, &e) || e.start > w->page)
		error = w->fd == inherited
				? pmv_inherit_if_settled(pv, solve_alone, w)
				: solve_alone(pv, w);
	pthread_mutex_unlock(&pv->region_lock);
	if (error < 0)
		pv->sys->yield();
}

/* Callbacks may be cancelled, as on any other thread, and nothing else here. */
static enum pmv_fault_end solve(struct pagemv *pv, const struct pmv_waiting *w,
				int *error)
{
	enum pmv_fault_end end = PMV_FAULT_DONE;
	int state;

	if (!w->child && waits_for_itself(pv, w)) {
		*error = -EDEADLK;
		return PMV_FAULT_FAILED;
	}
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
	if (w->child)
		pmv_inherit_serve(pv, w);
	else
		end = pmv_fault(pv, w->page, error);
	pthread_setcancelstate(state, NULL);
	return end;
}

/* Serves n threads of this process that wait for the same page, or one of a
 * child. */
static void serve_page(struct pagemv *pv, const struct pmv_waiting *w, size_t n)
{
	int error = 0;
	enum pmv_fault_end end = solve(pv, w, &error);

	if (!pmv_alive(pv) || w->child)
		return;
	if (end == PMV_FAULT_FOREIGN)
		solve_foreign(pv, w);
	/* Those that the kernel has not woken, as the page was there. Others
	 * who wait for a page that failed have messages of their own. */
	if (end != PMV_FAULT_FAILED) {
		pmv_waiting_wake(pv, w);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (!send_sigbus(pv, &w[i], error))
			pmv_waiting_wake(pv, w);
}

/* Not served: it asks again. */
static void put_back(const struct pagemv *pv, const struct pmv_waiting *w)
{
	if (w->child)
		pmv_inherit_drop(pv, w);
	else
		pmv_waiting_wake(pv, w);
}

static void put_back_all(struct reader *r)
{
	for (; r->at < r->now.n; r->at++)
		put_back(r->pv, &r->now.of[r->at]);
	while (r->later.n)
		put_back(r->pv, &r->later.of[--r->later.n]);
}

/* The thread ends in a callback. */
static void leave(void *arg)
{
	struct reader *r = arg;

	atomic_store_explicit(&r->me->tid, 0, memory_order_relaxed);
	put_back_all(r);
}

/* How many are served at once: a child's each for itself, and a handler that
 * waits for itself apart from others who wait for it. */
static size_t same_page(const struct reader *r)
{
	const struct pmv_waiting *first = &r->now.of[r->at];
	size_t n = 1;

	if (first->child ||
	    (atomic_load_explicit(&handler_tids, memory_order_relaxed) &
	     tid_bit(first->tid)))
		return 1;
	while (r->at + n < r->now.n && first[n].page == first->page &&
	       first[n].fd == first->fd)
		n++;
	return n;
}

static void serve_faults(struct reader *r)
{
	pthread_cleanup_push(leave, r);
	for (r->at = 0; r->at < r->now.n && !is_over(r->me->set);) {
		size_t n = same_page(r);

		serve_page(r->pv, &r->now.of[r->at], n);
		r->at += n;
		if (r->at == r->now.n && r->later.n) {
			r->now = r->later;
			r->later.n = r->at = 0;
		}
	}
	pthread_cleanup_pop(0);
	put_back_all(r);
}

/* ---- messages ---- */

void pmv_waiting_wake(const struct pagemv *pv, const struct pmv_waiting *w)
{
	if (pmv_alive(pv))
		pmv_uffd_wake(pv->sys, w->fd, w->page, pv->page_bytes);
}

/* Few, and mostly in order. */
void pmv_queue_add(const struct pagemv *pv, struct pmv_queue *q,
		   const struct pmv_waiting *w)
{
	size_t i = q->n;

	if (q->n == PMV_UFFD_MSGS) {
		put_back(pv, w);
		return;
	}
	for (; i > 0 && q->of[i - 1].page > w->page; i--)
		q->of[i] = q->of[i - 1];
	q->of[i] = *w;
	q->n++;
}

/* Follows events, and adds the faults to a queue. Returns how many messages
 * there were, or -errno. */
static int read_messages(struct pagemv *pv, int fd, struct pmv_queue *q)
{
	struct pmv_uffd_msg msgs[PMV_UFFD_MSGS];
	int n = pmv_uffd_read(pv->sys, fd, pv->page_bytes, msgs);

	for (int i = 0; i < n; i++) {
		struct pmv_waiting w = pmv_waiting_of(&msgs[i], fd, NULL);

		if (w.event == PMV_EVENT_FAULT || w.event == PMV_EVENT_WRITE)
			pmv_queue_add(pv, q, &w);
		else
			pmv_event(pv, &msgs[i]);
	}
	return n;
}

static bool is_readable(const struct pmv_sys *sys, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return sys->poll(&p, 1, 0) > 0;
}

/* With region_lock, so only where there is something to read. */
static int read_events(struct pagemv *pv, struct pmv_queue *q)
{
	int fd = pmv_channel_fd(&pv->channels[PMV_CHANNEL_EVENTS]), n;

	if (!is_readable(pv->sys, fd))
		return 0;
	pthread_mutex_lock(&pv->region_lock);
	n = read_messages(pv, fd, q);
	pthread_mutex_unlock(&pv->region_lock);
	return n;
}

/* Reads what there is, and serves it. Returns whether there was anything. */
static bool serve_channel(struct reader *r, enum pmv_channel_kind kind)
{
	struct pagemv *pv = r->pv;
	int n;

	r->now.n = 0;
	if (kind == PMV_CHANNEL_THREADS)
		n = read_messages(pv, pmv_channel_fd(&pv->channels[kind]),
				  &r->now);
	else if (kind == PMV_CHANNEL_EVENTS)
		n = read_events(pv, &r->now);
	else
		n = pmv_inherit_take(pv, &r->now);
	if (n < 0)
		pv->sys->sleep_ns(ODD_NAP_NS);
	serve_faults(r);
	return n > 0;
}

static bool serve_all(struct reader *r)
{
	bool any = false;

	for (int kind = PMV_CHANNEL_THREADS; kind < PMV_CHANNELS; kind++)
		any |= serve_channel(r, kind);
	return any;
}

bool pmv_events_drain(struct pagemv *pv)
{
	if (!pmv_is_handler(pv) || !pmv_alive(pv))
		return false;
	read_events(pv, &own->later);
	return true;
}

static bool are_settled(struct pagemv *pv)
{
	/* Its caller may be a signal handler. */
	if (pthread_mutex_trylock(&pv->region_lock) != 0)
		return false;
	pthread_mutex_unlock(&pv->region_lock);
	return pmv_inherit_settled(pv);
}

void pmv_events_settle(struct pagemv *pv)
{
	/* On a handler it may be the caller itself who should follow them. */
	unsigned int tries = pmv_is_handler(pv) ? PMV_IDLE_MAX : SETTLE_TRIES;

	/* Not by yielding alone: where others want the processor, that may give
	 * it back at once. */
	for (unsigned int i = 0; i < tries && !are_settled(pv); i++)
		pmv_back_off(pv->sys, i);
}

/* ---- waiting ---- */

/* Serves until there has been nothing for spin_ns, or it is to end. */
static void spin(struct reader *r)
{
	const struct pagemv_handlers *h = r->me->set;
	const struct pmv_sys *sys = r->pv->sys;
	uint64_t from = sys->now_ns();

	for (unsigned int idle = 1; !is_over(h); idle++) {
		if (serve_all(r)) {
			from = sys->now_ns();
			idle = 0;
			continue;
		}
		if (sys->now_ns() - from >= h->spin_ns)
			return;
		if (idle % SPINS_A_YIELD == 0)
			sys->yield();
		else
			pmv_pause();
	}
}

/* Sleeps until there is something, and serves it. */
static void sleep_and_serve(struct reader *r)
{
	struct pagemv *pv = r->pv;
	const struct pmv_channel *c = pv->channels;
	struct pollfd fds[] = {
		{ pmv_channel_fd(&c[PMV_CHANNEL_THREADS]), POLLIN, 0 },
		{ pmv_channel_fd(&c[PMV_CHANNEL_EVENTS]), POLLIN, 0 },
		{ pmv_inherit_fd(pv), POLLIN, 0 },
		{ r->me->set->stop_fd, POLLIN, 0 },
	};
	int rc = pv->sys->poll(fds, sizeof(fds) / sizeof(fds[0]), -1);

	if (rc < 0 && rc != -EINTR)
		pv->sys->sleep_ns(ODD_NAP_NS);
	for (int i = 0; rc > 0 && i < 3; i++)
		if (fds[i].revents)
			serve_channel(r, PMV_CHANNEL_THREADS + i);
}

static void begin(struct reader *r)
{
	struct pagemv *pv = r->pv;
	int node = r->me->set->node, tid = pv->sys->gettid();

	own = r;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	atomic_fetch_or_explicit(&handler_tids, tid_bit(tid),
				 memory_order_relaxed);
	atomic_store_explicit(&r->me->tid, tid, memory_order_relaxed);
	if (node >= 0 && pmv_numa_run_on(node) < 0)
		pmv_log(&pv->log, PAGEMV_LOG_INFO,
			"a handler thread runs on any node, not on %d", node);
	/* A thread's first section takes a lock that fork() holds. */
	pmv_rcu_read_lock();
	pmv_rcu_read_unlock(&pv->extents);
}

void *pmv_handler_main(void *arg)
{
	struct pmv_handler *me = arg;
	struct reader r = { .me = me, .pv = me->set->pv };

	begin(&r);
	while (!is_over(me->set)) {
		if (me->set->spin_ns)
			spin(&r);
		sleep_and_serve(&r);
	}
	return NULL;
}
