/* SPDX-License-Identifier: 0BSD */
/*
 * A compacting garbage collector in about 1000 lines, to read and to embed.
 *
 *   gc.c       allocation, and the cycle from start to end
 *   stop.c     threads: safepoints, roots
 *   mark.c     which objects are alive
 *   small.c    small objects: where they will be, and what a page of them is
 *   large.c    large objects, which move by page
 *   compact.c  the modes: who brings the pages, and when
 *
 * Objects are some references, followed by some bytes. Threads hold them by
 * roots (precise handles); what is in a C variable is good until the next
 * gc_poll(), gc_alloc() or gc_collect() of the same thread, and no longer.
 */
#ifndef GC_H
#define GC_H

#include <stddef.h>
#include <stdint.h>

struct gc;
struct gc_thread;

enum gc_mode {
	GC_STW_COPY,	     /* threads are stopped while objects are copied */
	GC_STW_MOVE,	     /* the same, by moving pages */
	GC_CONC_COPY_THREAD, /* beside the threads: UFFDIO_COPY, by a handler */
	GC_CONC_COPY_SIGNAL, /* UFFDIO_COPY, by the thread that misses a page */
	GC_CONC_MOVE,	     /* UFFDIO_MOVE, by the thread that misses a page */
	GC_MODES
};

extern const char *const gc_mode_name[GC_MODES];

struct gc_opts {
	enum gc_mode mode;
	size_t small_bytes;   /* address space for small objects */
	size_t large_bytes;   /* and for large ones */
	unsigned int workers; /* threads that compact; 0: one */
};

/* An object. Its bytes begin behind its references, see gc_bytes(). */
struct gc_object {
	uint32_t size; /* in granules of 16 bytes, with this header */
	uint32_t refs;
	struct gc_object *ref[];
};

/* What collections took. Times are of CLOCK_MONOTONIC. */
struct gc_figures {
	unsigned int cycles;
	uint64_t mark_ns;  /* of all of them: stopped, marking */
	uint64_t pause_ns; /* stopped: addresses, flip, roots, and in the STW
			    * modes all of the compaction */
	uint64_t pause_max_ns;
	uint64_t compact_ns; /* from the flip until all pages are there */
	/* Of the last one: when threads were stopped, objects were marked,
	 * threads went on, and pages were there. */
	uint64_t stopped_at, marked_at, resumed_at, done_at;
	size_t live_bytes;
};

/* 0 or a negative errno, as everywhere here. */
int gc_open(struct gc **out, const struct gc_opts *opts);
/* When all threads have been detached. */
void gc_close(struct gc *gc);

/* Makes the calling thread one of the collector's, with so many roots. */
int gc_attach(struct gc *gc, size_t roots, struct gc_thread **out);
void gc_detach(struct gc_thread *t);

/* The thread's root i: an object or NULL. */
struct gc_object **gc_root(struct gc_thread *t, size_t i);

/* A new object, all zeros, or NULL where there is no room for it even after a
 * collection. */
struct gc_object *gc_alloc(struct gc_thread *t, uint32_t refs, size_t bytes);

static inline void *gc_bytes(struct gc_object *o)
{
	return &o->ref[o->refs];
}

/* To be called by each thread now and then: stops here when asked to. */
void gc_poll(struct gc_thread *t);
/* Around what may take long and touches no object, such as read(2). */
void gc_leave(struct gc_thread *t);
void gc_enter(struct gc_thread *t);

/* Collects. In the concurrent modes pages may still be on their way then: */
int gc_collect(struct gc_thread *t);
/* waits until they are there. */
int gc_settle(struct gc_thread *t);

void gc_figures(struct gc *gc, struct gc_figures *out);

#endif /* GC_H */
