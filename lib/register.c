// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A region is in the table before the kernel sends faults of it, so that each
 * fault finds it.
 */
#include "registry.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "diagnose.h"
#include "forks.h"
#include "internal.h"
#include "kernel.h"
#include "pages.h"
#include "scratch.h"
#include "uffd.h"

#define WITH_CHANNEL (PAGEMV_REGION_FAULTING | PAGEMV_REGION_TRACKED)

/* ---- options ---- */

static bool is_quiet(const struct pagemv_region_opts *o)
{
	return !(o->flags & WITH_CHANNEL);
}

/* What is not for any but faulting regions. */
static bool has_source(const struct pagemv_region_opts *o)
{
	return o->source || o->around_pages || o->fd || o->fd_off_bytes ||
	       o->src_off_bytes || o->relocate || o->fill || o->arg ||
	       o->flags & PAGEMV_REGION_AROUND_FIXED;
}

static bool flags_valid(const struct pagemv_region_opts *o)
{
	uint32_t flags = o->flags;
	bool threads = o->delivery == PAGEMV_DELIVERY_THREADS;

	if (flags & ~PAGEMV_REGION_FLAGS_ALL || o->reserved ||
	    o->delivery >= PAGEMV_DELIVERY_COUNT)
		return false;
	if (flags & PAGEMV_REGION_EVENTS && !threads)
		return false;
	if (flags & PAGEMV_REGION_INHERIT && !(flags & PAGEMV_REGION_EVENTS))
		return false;
	if (is_quiet(o) && o->delivery)
		return false;
	return flags & PAGEMV_REGION_FAULTING || !has_source(o);
}

/* Each source takes its own members, and no others. */
static bool source_valid(const struct pagemv_region_opts *o, size_t page_bytes,
			 size_t bytes)
{
	bool file = o->source == PAGEMV_SOURCE_FILE;
	bool range = o->source == PAGEMV_SOURCE_RANGE;

	if (o->source >= PAGEMV_SOURCE_COUNT ||
	    o->around_pages > PAGEMV_AROUND_MAX)
		return false;
	if ((o->source == PAGEMV_SOURCE_CALLBACK) != (o->fill != NULL))
		return false;
	if (!range && (o->relocate || o->src_off_bytes))
		return false;
	/* By an offset, or by a function. */
	if (range && (o->relocate != NULL) == (o->src_off_bytes != 0))
		return false;
	/* Nothing can be moved from one process to another. */
	if (range && o->flags & PAGEMV_REGION_INHERIT)
		return false;
	if ((size_t)o->src_off_bytes & (page_bytes - 1))
		return false;
	if (!file)
		return o->fd <= 0 && !o->fd_off_bytes;
	return o->fd >= 0 && o->fd_off_bytes <= INT64_MAX - bytes;
}

static int check_opts(const struct pagemv *pv, size_t bytes,
		      const struct pagemv_region_opts *opts,
		      struct pagemv_region_opts *o)
{
	int rc = opts ? pmv_opts_copy(o, sizeof(*o), opts) : 0;

	if (rc < 0)
		return rc;
	if (!flags_valid(o))
		return -EINVAL;
	if (o->flags & PAGEMV_REGION_FAULTING &&
	    !source_valid(o, pv->page_bytes, bytes))
		return -EINVAL;
	if (o->flags & PAGEMV_REGION_FAULTING && !o->around_pages)
		o->around_pages = 1;
	return 0;
}

/* ---- a region by itself ---- */

static enum pmv_channel_kind channel_kind(const struct pagemv_region_opts *o)
{
	if (o->flags & PAGEMV_REGION_INHERIT)
		return PMV_CHANNEL_INHERIT;
	if (o->flags & PAGEMV_REGION_EVENTS)
		return PMV_CHANNEL_EVENTS;
	return o->delivery == PAGEMV_DELIVERY_THREADS ? PMV_CHANNEL_THREADS
						      : PMV_CHANNEL_SIGNAL;
}

/* Bytes of states that are kept behind the region itself. */
static size_t few_states(const struct pagemv *pv, size_t bytes,
			 const struct pagemv_region_opts *o)
{
	size_t pages = bytes / pv->page_bytes;

	return o->flags & PAGEMV_REGION_FAULTING &&
			       pages < PMV_PAGE_STATES_SMALL
		       ? pages
		       : 0;
}

static int open_states(struct pagemv_region *r, size_t few)
{
	const struct pagemv *pv = r->pv;

	if (!(r->flags & PAGEMV_REGION_FAULTING))
		return 0;
	if (!few)
		return pmv_page_states_open(pv->sys, &r->states,
					    r->bytes / pv->page_bytes,
					    pv->page_bytes);
	pmv_page_states_place(&r->states, r->few_states, few);
	return 0;
}

static struct pagemv_region *region_new(struct pagemv *pv, uintptr_t addr,
					size_t bytes,
					const struct pagemv_region_opts *o)
{
	size_t few = few_states(pv, bytes, o);
	size_t all = pmv_round_up(sizeof(struct pagemv_region) + few, PMV_LINE);
	struct pagemv_region *r = aligned_alloc(PMV_LINE, all);

	if (!r)
		return NULL;
	memset(r, 0, all);
	r->pv = pv;
	r->start = addr;
	r->bytes = bytes;
	r->flags = o->flags;
	r->opts = *o;
	if (open_states(r, few) < 0) {
		free(r);
		return NULL;
	}
	return r;
}

/* All regions of the handle, in any order. */
static void link_region(struct pagemv *pv, struct pagemv_region *r)
{
	r->next = pv->all;
	r->link = &pv->all;
	if (r->next)
		r->next->link = &r->next;
	pv->all = r;
}

/* ---- the kernel ---- */

/* Finds out what is needed, and opens it. Needs region_lock. */
static enum pagemv_reason prepare(struct pagemv *pv, struct pagemv_region *r,
				  int *error)
{
	enum pmv_channel_kind kind = channel_kind(&r->opts);
	uint32_t needs = 0;
	enum pagemv_reason reason;

	*error = 0;
	if (is_quiet(&r->opts))
		return PAGEMV_REASON_NONE;
	if (pv->uffd < 0)
		return pmv_uffd_reason(pv, error);
	if (r->flags & PAGEMV_REGION_FAULTING)
		needs |= PAGEMV_HAS_FAULTS;
	if (r->flags & PAGEMV_REGION_TRACKED)
		needs |= PAGEMV_HAS_QUIET;
	if (needs & ~pv->facilities)
		return PAGEMV_REASON_NOT_IN_KERNEL;
	reason = pmv_channel_open(pv, kind, error);
	if (reason)
		return reason;
	if (kind == PMV_CHANNEL_INHERIT)
		*error = pmv_inherit_open(pv);
	if (*error < 0)
		return PAGEMV_REASON_NO_MEMORY;
	r->channel = &pv->channels[kind];
	if (r->flags & PAGEMV_REGION_FAULTING) {
		*error = pmv_scratch_open(pv);
		if (*error < 0)
			return PAGEMV_REASON_NO_MEMORY;
	}
	return PAGEMV_REASON_NONE;
}

/* Registers with the kernel, where there is something to register with. */
static enum pagemv_reason arm(struct pagemv *pv, const struct pagemv_region *r)
{
	struct pmv_arming a = pmv_region_arming(r);
	int rc = 0;

	if (a.fd >= 0)
		rc = pmv_uffd_register_for(pv->sys, a.fd, r->start, r->bytes,
					   a.what, NULL);
	switch (rc) {
	case 0:
		return PAGEMV_REASON_NONE;
	case -EBUSY:
		return PAGEMV_REASON_FOREIGN_UFFD;
	case -ENOMEM:
		/* Perhaps half-way; all of it was found to be free. */
		pmv_region_disarm(r, r->start, r->start + r->bytes);
		return PAGEMV_REASON_NO_MEMORY;
	default:
		pmv_count(&pv->stats, PMV_UNEXPECTED, 1);
		return PAGEMV_REASON_UNEXPECTED;
	}
}

/* Huge pages would fill what is absent around a page. */
static void keep_small(struct pagemv *pv, const struct pagemv_region *r)
{
	if (r->flags & PAGEMV_REGION_FAULTING)
		pv->sys->madvise(r->start, r->bytes, MADV_NOHUGEPAGE);
	else
		pmv_pages_keep_small(pv, r->start, r->bytes);
}

/* Pages that are there count as filled. Not needed for more than that, as the
 * kernel will not map a second one. */
static void note_pages(struct pagemv *pv, const struct pagemv_region *r)
{
	size_t off = 0;

	while (r->flags & PAGEMV_REGION_FAULTING && off < r->bytes) {
		struct pmv_run run =
			pmv_pages_run(pv, r->start + off, r->bytes - off);

		if (run.populated && run.known)
			pmv_page_note(&r->states, off / pv->page_bytes,
				      run.bytes / pv->page_bytes,
				      PMV_PAGE_PRESENT);
		off += run.bytes;
	}
}

/* ---- registering ---- */

/* It could not be registered, but may have been seen. Needs region_lock. */
static void take_back(struct pagemv *pv, struct pagemv_region *r,
		      struct pmv_extent_plan *plan)
{
	pmv_region_begin_end(r);
	if (r->channel)
		pmv_region_note_end(r->start, r->start + r->bytes);
	pmv_extents_undo(pv, plan);
}

/* Needs region_lock. *seen: others may know of it also where that failed. */
static enum pagemv_reason insert(struct pagemv *pv, struct pagemv_region *r,
				 int *error, bool *seen)
{
	const struct pmv_extent e = { .start = r->start,
				      .end = r->start + r->bytes,
				      .region = r };
	enum pagemv_reason reason = prepare(pv, r, error);
	struct pmv_extent_plan plan;

	if (reason)
		return reason;
	switch (pmv_extents_plan_add(pv, &e, &plan)) {
	case 0:
		break;
	case -EEXIST:
		return PAGEMV_REASON_OVERLAP;
	default:
		return PAGEMV_REASON_NO_MEMORY;
	}
	/* Before anybody can move pages to it: registration happens before. */
	if (r->channel)
		atomic_store_explicit(&pv->faulting, true,
				      memory_order_relaxed);
	if (r->flags & PAGEMV_REGION_TRACKED)
		atomic_store_explicit(&pv->tracking, true,
				      memory_order_relaxed);
	pmv_extents_apply(pv, &plan);
	reason = arm(pv, r);
	*seen = reason != PAGEMV_REASON_NONE;
	if (reason) {
		take_back(pv, r, &plan);
		return reason;
	}
	pmv_extents_keep(pv, &plan);
	link_region(pv, r);
	return PAGEMV_REASON_NONE;
}

static enum pagemv_reason region_add(struct pagemv *pv, uintptr_t addr,
				     size_t bytes,
				     const struct pagemv_region_opts *o,
				     struct pagemv_region **out, int *error)
{
	struct pagemv_region *r = region_new(pv, addr, bytes, o);
	enum pagemv_reason reason;
	bool seen = false;

	*error = 0;
	if (!r)
		return PAGEMV_REASON_NO_MEMORY;
	pthread_mutex_lock(&pv->region_lock);
	reason = insert(pv, r, error, &seen);
	pthread_mutex_unlock(&pv->region_lock);
	if (reason) {
		if (seen)
			pmv_region_settle(r);
		pmv_region_free(r);
		return reason;
	}
	keep_small(pv, r);
	note_pages(pv, r);
	pmv_extents_relieve(pv);
	*out = r;
	return PAGEMV_REASON_NONE;
}

static enum pagemv_reason range_reason(struct pagemv *pv, uintptr_t addr,
				       size_t bytes)
{
	enum pagemv_reason reason =
		pmv_argument_reason(pv->page_bytes, addr, addr, bytes);

	return reason ? reason : pmv_check_range(pv, addr, bytes);
}

static int region_register(struct pagemv *pv, uintptr_t addr, size_t bytes,
			   const struct pagemv_region_opts *opts,
			   struct pagemv_region **out,
			   enum pagemv_reason *reason)
{
	struct pagemv_region_opts o = { 0 };
	int rc = out ? check_opts(pv, bytes, opts, &o) : -EINVAL;
	int error = 0;

	*reason = PAGEMV_REASON_BAD_OPTIONS;
	if (rc < 0)
		return rc;
	if (!pmv_alive(pv)) {
		*reason = PAGEMV_REASON_FORKED;
		return -ESRCH;
	}
	*reason = range_reason(pv, addr, bytes);
	if (!*reason)
		*reason = region_add(pv, addr, bytes, &o, out, &error);
	/* An overlap with another region is a registration that exists. */
	if (*reason == PAGEMV_REASON_OVERLAP)
		return -EBUSY;
	if (error == -EMFILE || error == -ENFILE)
		return error;
	return pmv_reason_errno(*reason);
}

int pagemv_region_register(struct pagemv *pv, void *addr, size_t len_bytes,
			   const struct pagemv_region_opts *opts,
			   struct pagemv_region **out,
			   enum pagemv_reason *reason)
{
	enum pagemv_reason why;
	int saved = errno, rc;

	if (!reason)
		reason = &why;
	*reason = PAGEMV_REASON_BAD_OPTIONS;
	if (!pv)
		return -EINVAL;
	rc = region_register(pv, (uintptr_t)addr, len_bytes, opts, out, reason);
	errno = saved;
	return rc;
}

int pmv_region_reserve(struct pagemv *pv, uintptr_t addr, size_t bytes,
		       struct pagemv_region **out)
{
	const struct pagemv_region_opts quiet = { 0 };
	enum pagemv_reason reason;
	int error = 0;

	if (!pmv_alive(pv))
		return -ESRCH;
	reason = region_add(pv, addr, bytes, &quiet, out, &error);
	return reason == PAGEMV_REASON_OVERLAP ? -EBUSY
					       : pmv_reason_errno(reason);
}

/* ---- all of them ---- */

int pmv_regions_open(struct pagemv *pv, bool atfork)
{
	int rc;

	if (atfork)
		pmv_forks_survive();
	rc = pmv_extents_open(pv);
	if (rc == 0)
		pthread_mutex_init(&pv->region_lock, NULL);
	return rc;
}
