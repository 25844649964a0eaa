/* SPDX-License-Identifier: 0BSD */
/*
 * Threads. Each is running, or stopped: at a safepoint, or between gc_leave()
 * and gc_enter(), where it touches no object. A collection begins when none is
 * running.
 */
#include <errno.h>
#include <stdlib.h>

#include "internal.h"

/* Under the lock: the thread may not touch objects from here on. */
static void rest(struct gc *gc)
{
	gc->running--;
	pthread_cond_broadcast(&gc->changed);
}

static void resume(struct gc *gc)
{
	while (atomic_load_explicit(&gc->stop, memory_order_relaxed))
		pthread_cond_wait(&gc->changed, &gc->lock);
	gc->running++;
}

void gc_leave(struct gc_thread *t)
{
	pthread_mutex_lock(&t->gc->lock);
	rest(t->gc);
	pthread_mutex_unlock(&t->gc->lock);
}

void gc_enter(struct gc_thread *t)
{
	pthread_mutex_lock(&t->gc->lock);
	resume(t->gc);
	pthread_mutex_unlock(&t->gc->lock);
}

void gc_poll(struct gc_thread *t)
{
	/* Only a hint: the lock orders what follows. */
	if (!atomic_load_explicit(&t->gc->stop, memory_order_relaxed))
		return;
	gc_leave(t);
	gc_enter(t);
}

bool gc_claim(struct gc_thread *t)
{
	struct gc *gc = t->gc;
	bool mine;

	pthread_mutex_lock(&gc->lock);
	mine = !gc->collecting;
	if (mine) {
		gc->collecting = true;
	} else {
		rest(gc);
		while (gc->collecting)
			pthread_cond_wait(&gc->changed, &gc->lock);
		resume(gc);
	}
	pthread_mutex_unlock(&gc->lock);
	return mine;
}

void gc_stop(struct gc_thread *t)
{
	struct gc *gc = t->gc;

	pthread_mutex_lock(&gc->lock);
	atomic_store_explicit(&gc->stop, true, memory_order_relaxed);
	rest(gc);
	while (gc->running)
		pthread_cond_wait(&gc->changed, &gc->lock);
	/* Their chunks lie in what is about to be from-space. */
	for (struct gc_thread *one = gc->threads; one; one = one->next)
		one->free = one->end = NULL;
	pthread_mutex_unlock(&gc->lock);
}

void gc_go_on(struct gc_thread *t)
{
	struct gc *gc = t->gc;

	pthread_mutex_lock(&gc->lock);
	atomic_store_explicit(&gc->stop, false, memory_order_relaxed);
	gc->running++;
	pthread_cond_broadcast(&gc->changed);
	pthread_mutex_unlock(&gc->lock);
}

void gc_release(struct gc *gc)
{
	pthread_mutex_lock(&gc->lock);
	gc->collecting = false;
	pthread_cond_broadcast(&gc->changed);
	pthread_mutex_unlock(&gc->lock);
}

int gc_attach(struct gc *gc, size_t roots, struct gc_thread **out)
{
	struct gc_thread *t =
		calloc(1, sizeof(*t) + roots * sizeof(t->roots[0]));

	if (!t)
		return -ENOMEM;
	t->gc = gc;
	t->n_roots = roots;
	pthread_mutex_lock(&gc->lock);
	resume(gc);
	t->next = gc->threads;
	t->link = &gc->threads;
	if (t->next)
		t->next->link = &t->next;
	gc->threads = t;
	pthread_mutex_unlock(&gc->lock);
	*out = t;
	return 0;
}

void gc_detach(struct gc_thread *t)
{
	struct gc *gc = t->gc;

	gc_poll(t);
	pthread_mutex_lock(&gc->lock);
	*t->link = t->next;
	if (t->next)
		t->next->link = t->link;
	rest(gc);
	pthread_mutex_unlock(&gc->lock);
	free(t);
}

struct gc_object **gc_root(struct gc_thread *t, size_t i)
{
	return &t->roots[i];
}
