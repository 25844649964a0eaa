/* SPDX-License-Identifier: 0BSD */
/*
 * Who brings the pages of to-space, and when: all that the modes differ in.
 *
 *                      flip   pages                     while threads
 *   STW_COPY           yes    copied                    are stopped
 *   STW_MOVE           yes    written to pages that     are stopped
 *                             are moved in
 *     large objects    no     moved down                are stopped
 *   CONC_COPY_THREAD   yes    UFFDIO_COPY               run; handler threads
 *   CONC_COPY_SIGNAL   yes    UFFDIO_COPY               run, and help
 *   CONC_MOVE          yes    as STW_MOVE               run, and help
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "internal.h"

static bool by_copying(const struct gc *gc)
{
	return gc->opts.mode == GC_STW_COPY;
}

static bool by_sliding(const struct gc *gc, const struct space *s)
{
	return gc->opts.mode == GC_STW_MOVE && s == &gc->large.space;
}

bool gc_stops(const struct gc *gc)
{
	return gc->opts.mode == GC_STW_COPY || gc->opts.mode == GC_STW_MOVE;
}

/* ---- spaces ---- */

static char *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* Without userfaultfd: the space and, for a flip, its shadow. */
static int open_plain(struct gc *gc, struct space *s)
{
	s->base = map(s->bytes);
	s->from = by_copying(gc) ? map(s->bytes) : s->base;
	return s->base && s->from ? 0 : -ENOMEM;
}

int gc_space_open(struct gc *gc, struct space *s, size_t bytes,
		  pagemv_produce_fn produce)
{
	struct pagemv_evac_info info = { .size = sizeof(info) };
	struct pagemv_evac_opts opts = {
		.size = sizeof(opts),
		.len_bytes = bytes,
		.produce = produce,
		.arg = gc,
		.delivery = gc->opts.mode == GC_CONC_COPY_THREAD
				    ? PAGEMV_DELIVERY_THREADS
				    : PAGEMV_DELIVERY_SIGNAL,
		.workers = gc_stops(gc) ? 0 : gc->opts.workers,
	};
	int rc;

	s->bytes = bytes;
	if (by_copying(gc) || by_sliding(gc, s))
		return open_plain(gc, s);
	rc = pagemv_evac_open(gc->pv, &opts, &s->evac, NULL);
	if (rc == 0)
		rc = pagemv_evac_info(s->evac, &info);
	s->base = info.space;
	s->from = info.shadow;
	return rc;
}

void gc_space_close(struct space *s)
{
	if (s->evac) {
		pagemv_evac_close(s->evac);
		return;
	}
	if (s->base)
		munmap(s->base, s->bytes);
	if (s->from && s->from != s->base)
		munmap(s->from, s->bytes);
}

/* ---- by copying ---- */

static int copy_page(struct gc *gc, struct space *s, pagemv_produce_fn produce,
		     size_t off)
{
	struct pagemv_produce page = {
		.addr = s->base + off,
		.off_bytes = off,
		.from = s->from,
		.scratch = s->base + off,
	};
	int rc = produce(gc, &page);

	if (rc == PAGEMV_PRODUCE_MOVE)
		memcpy(page.addr, page.move_from, PAGE);
	return rc < 0 ? rc : 0;
}

static int flip_plain(struct space *s)
{
	if (s->used && mremap(s->base, s->used, s->used,
			      MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
			      s->from) == MAP_FAILED)
		return -errno;
	return 0;
}

static int copy_space(struct gc *gc, struct space *s, pagemv_produce_fn produce)
{
	int rc = 0;

	for (size_t off = 0; off < s->to_bytes && rc == 0; off += PAGE)
		rc = copy_page(gc, s, produce, off);
	if (rc == 0 && s->used && madvise(s->from, s->used, MADV_DONTNEED) < 0)
		rc = -errno;
	return rc;
}

/* ---- by evacuation ---- */

/* An empty space has nothing to flip. */
static bool evacuates(const struct space *s)
{
	return s->evac && s->used;
}

static int begin(struct space *s)
{
	struct pagemv_evac_cycle cycle = {
		.size = sizeof(cycle),
		/* Threads are stopped, or in system calls that touch nothing.
		 */
		.flags = PAGEMV_EVAC_STILL,
		.used_bytes = (s->used + PAGE - 1) / PAGE * PAGE,
		.to_bytes = s->to_bytes,
	};

	return evacuates(s) ? pagemv_evac_begin(s->evac, &cycle) : 0;
}

static int flip(struct gc *gc, struct space *s)
{
	if (evacuates(s))
		return pagemv_evac_flip(s->evac);
	return by_copying(gc) ? flip_plain(s) : 0;
}

int gc_compact_prepare(struct gc *gc)
{
	struct space *both[] = { &gc->small.space, &gc->large.space };
	int rc = 0;

	for (size_t i = 0; i < 2 && rc == 0; i++) {
		both[i]->used = atomic_load(&both[i]->top);
		both[i]->to_bytes = 0;
		rc = begin(both[i]);
	}
	gc_small_prepare(&gc->small);
	return rc;
}

static void forward_roots(struct gc *gc)
{
	for (struct gc_thread *t = gc->threads; t; t = t->next)
		for (size_t i = 0; i < t->n_roots; i++)
			t->roots[i] = gc_forward(gc, t->roots[i]);
}

/* From here on new objects lie behind those that move. */
static void settle_space(struct gc *gc)
{
	struct large *l = &gc->large;
	uint32_t *run = l->run;

	atomic_store(&gc->small.space.top, gc->small.space.to_bytes);
	atomic_store(&l->space.top, l->space.to_bytes);
	l->run = l->next_run;
	l->next_run = run;
}

static int finish(struct space *s)
{
	int rc = evacuates(s) ? pagemv_evac_wait(s->evac) : 0;

	return rc == 0 && evacuates(s) ? pagemv_evac_finish(s->evac) : rc;
}

int gc_compact_wait(struct gc *gc)
{
	int rc = finish(&gc->small.space);

	return rc == 0 ? finish(&gc->large.space) : rc;
}

/* The pages, while threads are stopped. */
static int bring_all(struct gc *gc)
{
	int rc;

	if (!by_copying(gc)) {
		rc = gc_large_slide(gc);
		return rc == 0 ? finish(&gc->small.space) : rc;
	}
	rc = copy_space(gc, &gc->small.space, gc_small_produce);
	if (rc == 0)
		rc = copy_space(gc, &gc->large.space, gc_large_produce);
	return rc;
}

static int start(struct space *s)
{
	return evacuates(s) ? pagemv_evac_run(s->evac) : 0;
}

int gc_compact_start(struct gc *gc)
{
	int rc = start(&gc->small.space);

	return rc == 0 ? start(&gc->large.space) : rc;
}

int gc_compact(struct gc *gc)
{
	int rc;

	gc_small_plan(&gc->small);
	gc_large_plan(&gc->large);
	rc = begin(&gc->small.space);
	if (rc == 0)
		rc = begin(&gc->large.space);
	if (rc == 0)
		rc = flip(gc, &gc->small.space);
	if (rc == 0)
		rc = flip(gc, &gc->large.space);
	if (rc < 0)
		return rc;
	forward_roots(gc);
	if (gc_stops(gc))
		rc = bring_all(gc);
	settle_space(gc);
	return rc;
}
