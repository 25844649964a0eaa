/* SPDX-License-Identifier: 0BSD */
#ifndef GC_INTERNAL_H
#define GC_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <pagemv/evac.h>
#include <pagemv/pagemv.h>

#include "gc.h"

#define GRANULE 16u
#define PAGE	gc_page_bytes
/* A word of the bitmaps is a block of 64 granules. */
#define BLOCK (64u * GRANULE)
/* Objects from here on are large. */
#define LARGE (8 * PAGE)
/* What a thread takes from the space at a time. */
#define CHUNK (32u << 10)

extern size_t gc_page_bytes;

/* What small and large objects have in common. */
struct space {
	char *base;
	size_t bytes;
	_Atomic size_t top;	  /* objects lie below */
	struct pagemv_evac *evac; /* NULL: none, or all by copying */
	char *from;		  /* from-space, after the flip */
	size_t used;		  /* of it: top, when threads were stopped */
	size_t to_bytes;	  /* of to-space, whole pages */
};

struct small {
	struct space space;
	uint64_t *live;	    /* a bit a granule of a live object */
	uint64_t *start;    /* a bit where one begins */
	uint32_t *moved_to; /* by block: granules that live before it */
	uint32_t *block;    /* by page of to-space: of its first granule */
	size_t live_granules;
	uint8_t *forwarded; /* by page of to-space: its references are, in
			     * from-space */
};

/* By page of to-space. */
struct large_page {
	uint32_t from;	/* page of from-space */
	uint32_t refs;	/* references in this page */
	bool first;	/* of its object: they begin behind the header */
	bool forwarded; /* they are, in from-space */
};

struct large {
	struct space space;
	uint32_t *run; /* by page: how many an object has that begins here */
	uint32_t *moved_to; /* by page an object began at: 1 + where it will; 0:
			     * not marked */
	struct large_page *page;      /* by page of to-space */
	uint32_t *next_run;	      /* run[] of to-space */
	struct pagemv_region *region; /* of GC_STW_MOVE */
	struct pagemv_seg *segs;
};

struct gc {
	struct gc_opts opts;
	struct pagemv *pv;
	struct pagemv_handlers *handlers;
	struct small small;
	struct large large;
	struct mark_stack {
		struct gc_object **of;
		size_t n, room;
	} stack;

	/* stop.c */
	pthread_mutex_t lock; /* of all that follows */
	pthread_cond_t changed;
	_Atomic bool stop; /* also read without the lock */
	struct gc_thread *threads;
	unsigned int running; /* threads that may touch objects */
	bool collecting;
	bool compacting; /* pages are on their way */
	struct gc_figures figures;
};

struct gc_thread {
	struct gc *gc;
	struct gc_thread *next, **link;
	char *free, *end; /* of its chunk */
	size_t n_roots;
	struct gc_object *roots[];
};

uint64_t gc_now_ns(void);

/* ---- stop.c ---- */

/* Makes the calling thread the one that collects. False: another one was, and
 * has. */
bool gc_claim(struct gc_thread *t);
/* It is not any more. */
void gc_release(struct gc *gc);
/* Returns when all other threads are stopped; they go on. By the one that
 * collects. */
void gc_stop(struct gc_thread *t);
void gc_go_on(struct gc_thread *t);

/* ---- mark.c ---- */

int gc_mark(struct gc *gc);

/* ---- small.c ---- */

int gc_small_open(struct gc *gc, size_t bytes);
void gc_small_close(struct small *s);
/* Marks it. False: it was marked. */
bool gc_small_mark(struct small *s, const struct gc_object *o);
void gc_small_clear(struct small *s);
/* What can be done for that before threads are stopped. */
void gc_small_prepare(struct small *s);
/* Where all live objects will be. */
void gc_small_plan(struct small *s);
int gc_small_produce(void *gc, struct pagemv_produce *page);

/* ---- large.c ---- */

int gc_large_open(struct gc *gc, size_t bytes);
void gc_large_close(struct large *l);
struct gc_object *gc_large_alloc(struct large *l, size_t bytes);
bool gc_large_mark(struct large *l, const struct gc_object *o);
void gc_large_clear(struct large *l);
void gc_large_plan(struct large *l);
struct gc_object *gc_large_forward(const struct large *l,
				   const struct gc_object *o);
int gc_large_produce(void *gc, struct pagemv_produce *page);
/* GC_STW_MOVE: where they are, without a flip. */
int gc_large_slide(struct gc *gc);
/* ---- compact.c ---- */

/* Whether threads are stopped for all of a compaction. */
bool gc_stops(const struct gc *gc);
/* A range for objects, and the means of the mode to compact it. */
int gc_space_open(struct gc *gc, struct space *s, size_t bytes,
		  pagemv_produce_fn produce);
void gc_space_close(struct space *s);
/* What can be done before threads are stopped. */
int gc_compact_prepare(struct gc *gc);
/* Threads are stopped: from here on objects are where they will be. */
int gc_compact(struct gc *gc);
/* They go on: wakes the workers, which may take this thread's CPU. */
int gc_compact_start(struct gc *gc);
/* All pages are there when it returns. */
int gc_compact_wait(struct gc *gc);

/* ---- gc.c ---- */

static inline bool gc_in(const struct space *s, const void *p)
{
	return (size_t)((const char *)p - s->base) < s->bytes;
}

static inline size_t gc_count(uint64_t x)
{
	return (size_t)__builtin_popcountll(x);
}

static inline size_t gc_granule(const struct small *s, const void *p)
{
	return (size_t)((const char *)p - s->space.base) / GRANULE;
}

/* Behind all that lives before it in its block. */
static inline struct gc_object *gc_small_forward(const struct small *s,
						 const struct gc_object *o)
{
	size_t g = gc_granule(s, o), b = g / 64;
	uint64_t before = s->live[b] & (((uint64_t)1 << g % 64) - 1);

	return (struct gc_object *)(s->space.base +
				    (s->moved_to[b] + gc_count(before)) *
					    GRANULE);
}

/* Where an object will be, or is, if it does not move. */
static inline struct gc_object *gc_forward(const struct gc *gc,
					   struct gc_object *o)
{
	if (gc_in(&gc->small.space, o))
		return gc_small_forward(&gc->small, o);
	return o ? gc_large_forward(&gc->large, o) : NULL;
}

#endif /* GC_INTERNAL_H */
