// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * ASSUME(zeropage-registered): UFFDIO_ZEROPAGE and UFFDIO_COPY answer ENOENT
 *   where dst is not registered with the descriptor, or not mapped; EEXIST
 *   where there is a page. mm/userfaultfd.c, mfill_atomic().
 */
#include "source.h"

#include <errno.h>
#include <pthread.h>

#include "engine.h"
#include "event.h"
#include "internal.h"
#include "mover.h"
#include "pages.h"
#include "region.h"
#include "scratch.h"
#include "uffd.h"

/* From so many pages on, scratch is populated by one call, 0.25 us a page,
 * instead of by as many faults, 0.7 us each. */
#define POPULATE_PAGES 4

/* Pages on their way into a region. */
struct arrival {
	struct pagemv *pv;
	const struct pmv_hold *hold;
	const struct pagemv_region *region;
	int fd;
	uintptr_t dst;
	uintptr_t src; /* scratch; 0 for zeros */
	size_t bytes;
	unsigned int idle;
	bool copies; /* as nothing moves to another process */
};

/* What was not counted by the kernel was not woken either. */
static void wake(const struct arrival *a, size_t bytes)
{
	if (a->region->opts.delivery == PAGEMV_DELIVERY_THREADS)
		pmv_uffd_wake(a->pv->sys, a->fd, a->dst, bytes);
}

static void advance(struct arrival *a, size_t bytes)
{
	a->dst += bytes;
	a->src += a->src ? bytes : 0;
	a->bytes -= bytes;
	a->idle = 0;
}

static struct pmv_step map_bytes(const struct arrival *a, size_t bytes)
{
	struct pagemv *pv = a->pv;

	if (!a->src)
		return pmv_uffd_zero(pv->sys, a->fd, a->dst, bytes);
	if (!a->copies && pmv_mover_to(pv, a->fd, bytes) != PAGEMV_MECH_AUTO)
		return pmv_move_to(pv, a->fd, a->dst, a->src, bytes);
	return pmv_uffd_copy(pv->sys, a->fd, a->dst, a->src, bytes);
}

/*
 * With EVENTS the program may unmap pages that are on their way, map the range
 * again and register it for something else: not between the look and the call,
 * as that takes the lock. Those regions are not filled in signal handlers.
 * Returns how much is to be mapped where it was to be.
 */
static size_t map_begin(const struct arrival *a, size_t bytes)
{
	if (a->copies || !(a->region->flags & PAGEMV_REGION_EVENTS))
		return bytes;
	pthread_mutex_lock(&a->pv->region_lock);
	return pmv_region_still(a->hold, a->dst, bytes);
}

static void map_end(const struct arrival *a)
{
	if (!a->copies && a->region->flags & PAGEMV_REGION_EVENTS)
		pthread_mutex_unlock(&a->pv->region_lock);
}

static struct pmv_step map_step(const struct arrival *a)
{
	struct pmv_step step = { .error = -ENOENT };
	size_t bytes = map_begin(a, a->bytes);

	if (bytes)
		step = map_bytes(a, bytes);
	map_end(a);
	return step;
}

/*
 * The page could not be moved out of scratch: fork() has made it shared, the
 * region is locked or executable and scratch is not, or it was never written
 * to. It can be copied in any of these cases.
 */
static int map_otherwise(const struct arrival *a)
{
	struct pmv_step step = { .error = -ENOENT };
	size_t bytes = map_begin(a, a->pv->page_bytes);

	if (bytes)
		step = pmv_uffd_copy(a->pv->sys, a->fd, a->dst, a->src, bytes);
	map_end(a);
	return step.error;
}

/* Mappings are changing: true to try again. */
static bool wait_for_mappings(struct arrival *a)
{
	unsigned int idle = a->idle++;

	if (idle >= PMV_IDLE_MAX)
		return false;
	/* Where a handler sleeps, nobody may read why they change. */
	if (pmv_events_drain(a->pv))
		a->pv->sys->yield();
	else
		pmv_back_off(a->pv->sys, idle);
	return true;
}

/* The kernel says that there is a page: whether the page table says so, too. It
 * would be lost otherwise, where nobody asks for it again. */
static bool is_there(const struct arrival *a)
{
	return pmv_pages_run(a->pv, a->dst, a->pv->page_bytes).populated;
}

/* What to do about a step that stopped: 0 to go on, or the error. */
static int answer(struct arrival *a, int error)
{
	switch (error) {
	case -EBUSY:
	case -EINVAL:
	case -ENOENT:
		if (a->src)
			error = map_otherwise(a);
		break;
	default:
		break;
	}
	switch (error) {
	case -EEXIST:
		if (!is_there(a))
			return wait_for_mappings(a) ? 0 : -EAGAIN;
		/* Somebody else's page, or ours that was not counted. */
		wake(a, a->pv->page_bytes);
		/* fall through */
	case 0:
		advance(a, a->pv->page_bytes);
		return 0;
	case -EAGAIN:
		return wait_for_mappings(a) ? 0 : error;
	case -ENOENT:
		return PMV_FILL_GONE;
	case -ENOMEM:
		return error;
	case -EINTR:
	case -ESRCH: /* the process ends: let it */
		return -EAGAIN;
	default:
		pmv_count(&a->pv->stats, PMV_UNEXPECTED, 1);
		return -EIO;
	}
}

/* Maps all of an arrival; 0 or why it stopped. */
static int arrive(struct arrival *a)
{
	int error = 0;

	while (a->bytes && error == 0) {
		struct pmv_step step = map_step(a);

		if (step.done)
			advance(a, step.done);
		if (a->bytes && !step.done)
			error = answer(a, step.error);
	}
	return error;
}

/* ---- scratch: callbacks and files ---- */

struct writing {
	struct pagemv *pv;
	struct pmv_scratch scratch;
};

/* The thread ends inside the callback. */
static void abandon(void *arg)
{
	struct writing *w = arg;

	pmv_scratch_give(w->pv, &w->scratch);
}

static int read_file(struct pagemv *pv, const struct pagemv_region *r,
		     const struct pmv_window *w, uintptr_t scratch)
{
	size_t bytes = w->pages * pv->page_bytes, got = 0;
	off_t off = (off_t)(r->opts.fd_off_bytes + w->first * pv->page_bytes);
	unsigned char *to = (unsigned char *)scratch;

	while (got < bytes) {
		ssize_t n = pv->sys->pread(r->opts.fd, to + got, bytes - got,
					   off + (off_t)got);

		if (n < 0 && n != -EINTR)
			return (int)n;
		if (n == 0)
			break;
		got += n > 0 ? (size_t)n : 0;
	}
	/* The page in which the file ends must be among them, and the last. */
	if (got + pv->page_bytes <= bytes)
		return -ENXIO;
	for (; got < bytes; got++)
		to[got] = 0;
	return 0;
}

static int write_scratch(struct pagemv *pv, const struct pagemv_region *r,
			 const struct pmv_window *w, uintptr_t scratch)
{
	struct pagemv_fill fill = {
		.region = (struct pagemv_region *)r,
		.addr = (void *)w->addr,
		.fault_addr = (void *)w->fault_addr,
		.len_bytes = w->pages * pv->page_bytes,
		.off_bytes = w->first * pv->page_bytes,
		.scratch = (void *)scratch,
	};
	int rc;

	if (w->pages >= POPULATE_PAGES)
		pmv_pages_populate(pv->sys, scratch, fill.len_bytes);
	if (r->opts.source == PAGEMV_SOURCE_FILE)
		return read_file(pv, r, w, scratch);
	rc = r->opts.fill(r->opts.arg, &fill);
	/* It has forked: the descriptor fills the parent's memory. */
	if (!pmv_alive(pv))
		return PMV_FILL_GONE;
	return rc <= PAGEMV_FILL_ZEROS ? rc : -EINVAL;
}

static int fill_by_scratch(struct arrival *a, const struct pmv_window *w)
{
	struct writing writing = { .pv = a->pv };
	int rc = pmv_scratch_take(a->pv, &writing.scratch);

	if (rc < 0)
		return rc;
	pthread_cleanup_push(abandon, &writing);
	rc = write_scratch(a->pv, a->region, w, writing.scratch.base);
	if (rc == 0)
		a->src = writing.scratch.base;
	if (rc >= 0)
		rc = arrive(a);
	pthread_cleanup_pop(1);
	return rc;
}

/* ---- a range ---- */

/* Where each page of a window comes from; 0 for zeros. */
struct origin {
	uintptr_t src[PAGEMV_AROUND_MAX];
};

/* Asks for each page once. False: the asked one has forked, as fill() may. */
static bool ask(const struct arrival *a, struct origin *out)
{
	const struct pagemv_region_opts *o = &a->region->opts;
	size_t page = a->pv->page_bytes;

	for (size_t i = 0; i < a->bytes / page; i++) {
		uintptr_t dst = a->dst + i * page;

		out->src[i] = dst + (uintptr_t)o->src_off_bytes;
		if (!o->relocate)
			continue;
		out->src[i] = (uintptr_t)o->relocate(o->arg, (void *)dst);
		if (!pmv_alive(a->pv))
			return false;
	}
	return true;
}

/* How many of n pages come from src on, without a gap. */
static size_t run_pages(const uintptr_t *src, size_t n, size_t page)
{
	size_t run = 1;

	while (run < n && src[run] == (*src ? *src + run * page : 0))
		run++;
	return run;
}

/* Zeros for as many bytes of an arrival from a range. */
static int arrive_zeros(struct arrival *a, size_t bytes)
{
	struct arrival zeros = *a;
	int rc;

	zeros.src = 0;
	zeros.bytes = bytes;
	rc = arrive(&zeros);
	advance(a, bytes - zeros.bytes);
	return rc;
}

/* Moves a run; 0 to go on behind what has arrived, or why not. */
static int move_run(struct arrival *a, uintptr_t src, size_t bytes)
{
	struct pmv_request rq = {
		.dst = a->dst,
		.src = src,
		.len = bytes,
		.uffd = a->fd,
	};
	struct pagemv_result res;
	int rc = pmv_engine_move(a->pv, &rq, &res);

	advance(a, rc < 0 ? res.left_off : bytes);
	switch (rc < 0 ? (enum pagemv_reason)res.reason : PAGEMV_REASON_NONE) {
	case PAGEMV_REASON_HOLE:
		return arrive_zeros(a, a->pv->page_bytes);
	case PAGEMV_REASON_RACED:
		/* Others have filled both places: nobody asks for it. */
		if (res.stray)
			a->pv->sys->munmap((uintptr_t)res.stray,
					   res.stray_bytes);
		/* fall through */
	case PAGEMV_REASON_OCCUPIED:
		if (!is_there(a))
			return -EAGAIN;
		wake(a, a->pv->page_bytes);
		advance(a, a->pv->page_bytes);
		return 0;
	case PAGEMV_REASON_NOT_REGISTERED:
	case PAGEMV_REASON_REPLACED:
		return PMV_FILL_GONE;
	default:
		return rc;
	}
}

static int fill_by_range(struct arrival *a)
{
	size_t page = a->pv->page_bytes, pages = a->bytes / page;
	struct origin from;
	int rc = 0;

	if (!ask(a, &from))
		return PMV_FILL_GONE;
	while (a->bytes && rc == 0) {
		size_t left = a->bytes / page;
		const uintptr_t *src = &from.src[pages - left];
		size_t bytes = run_pages(src, left, page) * page;

		rc = *src ? move_run(a, *src, bytes) : arrive_zeros(a, bytes);
	}
	return rc;
}

/* ---- for a filler ---- */

static struct arrival arrival_at(struct pagemv *pv, const struct pmv_hold *hold,
				 uintptr_t dst, size_t bytes)
{
	return (struct arrival){
		.pv = pv,
		.hold = hold,
		.region = hold->region,
		.fd = pmv_region_fd(hold->region),
		.dst = dst,
		.bytes = bytes,
	};
}

size_t pmv_source_map(struct pagemv *pv, const struct pmv_hold *hold,
		      uintptr_t dst, uintptr_t src, size_t bytes, bool copies,
		      int *error)
{
	struct arrival a = arrival_at(pv, hold, dst, bytes);

	a.src = src;
	a.copies = copies;
	*error = arrive(&a);
	return bytes - a.bytes;
}

size_t pmv_source_move(struct pagemv *pv, const struct pmv_hold *hold,
		       uintptr_t dst, uintptr_t src, size_t bytes, int *error)
{
	struct arrival a = arrival_at(pv, hold, dst, bytes);

	*error = 0;
	while (a.bytes && *error == 0)
		*error = move_run(&a, src + (bytes - a.bytes), a.bytes);
	return bytes - a.bytes;
}

/* ---- a window ---- */

size_t pmv_source_fill(struct pagemv *pv, const struct pmv_hold *hold,
		       const struct pmv_window *w, int *error)
{
	const struct pmv_filler *filler = pmv_region_filler(hold->region);
	struct arrival a = {
		.pv = pv,
		.hold = hold,
		.region = hold->region,
		.fd = w->of_child ? w->child_fd : pmv_region_fd(hold->region),
		.copies = w->of_child,
		.dst = w->addr,
		.bytes = w->pages * pv->page_bytes,
	};

	if (filler)
		return filler->fill(filler->arg, hold, w, error);
	switch (hold->region->opts.source) {
	case PAGEMV_SOURCE_ZERO:
		*error = arrive(&a);
		break;
	case PAGEMV_SOURCE_RANGE:
		*error = fill_by_range(&a);
		break;
	default:
		*error = fill_by_scratch(&a, w);
		break;
	}
	return w->pages - a.bytes / pv->page_bytes;
}
