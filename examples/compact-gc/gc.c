/* SPDX-License-Identifier: 0BSD */
/*
 * Allocation by bump pointer, and a collection from start to end.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

const char *const gc_mode_name[GC_MODES] = {
	"stw-copy",	    "stw-move",	 "conc-copy-thread",
	"conc-copy-signal", "conc-move",
};

size_t gc_page_bytes;

uint64_t gc_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- open and close ---- */

static int open_library(struct gc *gc)
{
	struct pagemv_open_opts opts = { .size = sizeof(opts) };
	struct pagemv_handlers_opts handlers = { .size = sizeof(handlers) };
	int rc;

	if (gc->opts.mode == GC_CONC_COPY_THREAD ||
	    gc->opts.mode == GC_CONC_COPY_SIGNAL)
		opts.disabled = PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE) |
				PAGEMV_MECH_BIT(PAGEMV_MECH_COMPANION);
	rc = pagemv_open(&gc->pv, &opts);
	if (rc == 0)
		rc = pagemv_sigbus_install();
	if (rc == 0 && gc->opts.mode == GC_CONC_COPY_THREAD)
		rc = pagemv_handlers_start(gc->pv, &handlers, &gc->handlers);
	return rc;
}

int gc_open(struct gc **out, const struct gc_opts *opts)
{
	struct gc *gc = calloc(1, sizeof(*gc));
	int rc;

	if (!gc)
		return -ENOMEM;
	gc_page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	gc->opts = *opts;
	if (!gc->opts.workers)
		gc->opts.workers = 1;
	pthread_mutex_init(&gc->lock, NULL);
	pthread_cond_init(&gc->changed, NULL);
	rc = open_library(gc);
	if (rc == 0)
		rc = gc_small_open(gc, opts->small_bytes / PAGE * PAGE);
	if (rc == 0)
		rc = gc_large_open(gc, opts->large_bytes / PAGE * PAGE);
	if (rc < 0)
		gc_close(gc);
	else
		*out = gc;
	return rc;
}

void gc_close(struct gc *gc)
{
	gc_small_close(&gc->small);
	gc_large_close(&gc->large);
	pagemv_close(gc->pv);
	pagemv_sigbus_uninstall();
	free(gc->stack.of);
	pthread_cond_destroy(&gc->changed);
	pthread_mutex_destroy(&gc->lock);
	free(gc);
}

/* ---- allocation ---- */

/* A thread's next chunk. */
static bool refill(struct gc_thread *t)
{
	struct space *s = &t->gc->small.space;
	size_t off = atomic_load(&s->top);

	do {
		if (s->bytes - off < CHUNK)
			return false;
	} while (!atomic_compare_exchange_weak(&s->top, &off, off + CHUNK));
	t->free = s->base + off;
	t->end = t->free + CHUNK;
	return true;
}

static struct gc_object *take(struct gc_thread *t, size_t bytes)
{
	char *p;

	if (bytes >= LARGE)
		return gc_large_alloc(&t->gc->large, bytes);
	if ((size_t)(t->end - t->free) < bytes && !refill(t))
		return NULL;
	p = t->free;
	t->free += bytes;
	return (struct gc_object *)p;
}

struct gc_object *gc_alloc(struct gc_thread *t, uint32_t refs, size_t bytes)
{
	struct gc_object *o;
	size_t all;

	if (bytes > (size_t)UINT32_MAX * GRANULE / 2)
		return NULL;
	all = sizeof(*o) + refs * sizeof(o->ref[0]) + bytes;
	all = (all + GRANULE - 1) / GRANULE * GRANULE;
	gc_poll(t);
	o = take(t, all);
	/* Another thread may have taken what the first collection gave. */
	for (int i = 0; i < 2 && !o && gc_collect(t) == 0; i++)
		o = take(t, all);
	if (!o)
		return NULL;
	o->size = (uint32_t)(all / GRANULE);
	o->refs = refs;
	return o;
}

/* ---- a collection ---- */

static void note(struct gc *gc, const struct gc_figures *figures)
{
	pthread_mutex_lock(&gc->lock);
	gc->figures = *figures;
	pthread_mutex_unlock(&gc->lock);
}

/* Waits for the pages of the last collection. */
static int settle(struct gc *gc)
{
	struct gc_figures f = gc->figures;
	int rc;

	if (!gc->compacting)
		return 0;
	rc = gc_compact_wait(gc);
	f.done_at = gc_now_ns();
	f.compact_ns += f.done_at - f.marked_at;
	note(gc, &f);
	gc->compacting = false;
	return rc;
}

/* While threads are stopped. */
static int collect(struct gc *gc)
{
	struct gc_figures f = gc->figures;
	uint64_t pause;
	int rc;

	f.stopped_at = gc_now_ns();
	rc = gc_mark(gc);
	f.marked_at = gc_now_ns();
	f.mark_ns += f.marked_at - f.stopped_at;
	if (rc < 0)
		return rc;
	gc->compacting = !gc_stops(gc);
	rc = gc_compact(gc);
	f.resumed_at = f.done_at = gc_now_ns();
	pause = f.resumed_at - f.marked_at;
	f.pause_ns += pause;
	if (pause > f.pause_max_ns)
		f.pause_max_ns = pause;
	if (!gc->compacting)
		f.compact_ns += pause;
	f.cycles++;
	f.live_bytes =
		gc->small.live_granules * GRANULE + gc->large.space.to_bytes;
	note(gc, &f);
	return rc;
}

int gc_collect(struct gc_thread *t)
{
	struct gc *gc = t->gc;
	int rc;

	if (!gc_claim(t))
		return 0;
	rc = settle(gc);
	if (rc == 0)
		rc = gc_compact_prepare(gc);
	gc_stop(t);
	if (rc == 0)
		rc = collect(gc);
	gc_go_on(t);
	if (rc == 0 && gc->compacting)
		rc = gc_compact_start(gc);
	gc_release(gc);
	return rc;
}

int gc_settle(struct gc_thread *t)
{
	int rc;

	while (!gc_claim(t))
		;
	rc = settle(t->gc);
	gc_release(t->gc);
	return rc;
}

void gc_figures(struct gc *gc, struct gc_figures *out)
{
	pthread_mutex_lock(&gc->lock);
	*out = gc->figures;
	pthread_mutex_unlock(&gc->lock);
}
