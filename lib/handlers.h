/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Handler threads: what those who start and end them (handlers.c), those who
 * serve (fault_thread.c), and those who serve other processes (inherit.c) know
 * of each other.
 */
#ifndef PMV_HANDLERS_H
#define PMV_HANDLERS_H

#include <pthread.h>
#include <stdatomic.h>

#include "base.h"
#include "uffd.h"

struct pagemv;
struct pmv_child;

/* Pages that a handler may be filling one within the other and that others know
 * of. Callbacks that go deeper are not told when they wait for themselves. */
#define PMV_FILLS_KNOWN 4

struct pmv_handler {
	struct pagemv_handlers *set;
	pthread_t thread;
	PMV_ATOMIC _Atomic int tid; /* 0 until it runs */
	/* What its callbacks are filling. Relaxed: who looks does so for a page
	 * that the handler waits for, and has been told of that by the kernel.
	 */
	PMV_ATOMIC _Atomic unsigned int depth;
	PMV_ATOMIC _Atomic uintptr_t from[PMV_FILLS_KNOWN];
	PMV_ATOMIC _Atomic uintptr_t to[PMV_FILLS_KNOWN];
};

struct pagemv_handlers {
	struct pagemv *pv;
	PMV_GUARDED_BY(pv->handler_lock) struct pagemv_handlers *next;
	uint64_t spin_ns;
	int node;
	int stop_fd; /* readable from the time that they are to end */
	/* The same, for those who spin or are at work. Relaxed: nothing is
	 * ordered by it, they are joined. */
	PMV_ATOMIC _Atomic bool stopping;
	unsigned int started; /* of those who start and end it */
	unsigned int n;	      /* places */
	struct pmv_handler of[];
};

/* A thread that waits for a page. */
struct pmv_waiting {
	uintptr_t page;
	int fd; /* that it was told by */
	int tid;
	uint32_t turn; /* see newest[] in fault_thread.c */
	enum pmv_uffd_event event;
	struct pmv_child *child; /* its process; NULL: this one */
};

/* By address. */
struct pmv_queue {
	size_t n;
	struct pmv_waiting of[PMV_UFFD_MSGS];
};

/* From a message. Whoever has it serves it, or wakes it. */
struct pmv_waiting pmv_waiting_of(const struct pmv_uffd_msg *msg, int fd,
				  struct pmv_child *child);
void pmv_waiting_wake(const struct pagemv *pv, const struct pmv_waiting *w);
/* Where there is no room it is woken. */
void pmv_queue_add(const struct pagemv *pv, struct pmv_queue *q,
		   const struct pmv_waiting *w);

/* A handler's thread; arg: struct pmv_handler. */
void *pmv_handler_main(void *arg);
/* Whether the calling thread is a handler of pv. */
bool pmv_is_handler(const struct pagemv *pv);

#endif /* PMV_HANDLERS_H */
