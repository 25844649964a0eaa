/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The handle, as the files of lib/ see it. Fields are written while it is
 * opened and constant from then on, unless marked.
 *
 * Lock order: region_lock before handler_lock. They are taken by registration,
 * by handler threads, and by starting and ending them. No call that moves pages
 * or solves a fault takes a lock.
 */
#ifndef PMV_INTERNAL_H
#define PMV_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include <pagemv/pagemv.h>

#include "channel.h"
#include "log.h"
#include "policy.h"
#include "stats.h"
#include "sys.h"

struct pmv_extent_root;
struct pmv_inherit;
struct pmv_retired;

/* What *pv->alive holds in the process that opened the handle. */
#define PMV_ALIVE 0x70616765u

/* The members up to and with stats are all that a move that succeeds at once
 * touches: one page. */
#define PMV_HANDLE_ALIGN 4096

struct pagemv {
	_Alignas(PMV_HANDLE_ALIGN) const struct pmv_sys *sys;
	size_t page_bytes;
	size_t huge_bytes;   /* of a PMD; 0 where there is none */
	int uffd;	     /* -1: none */
	uint32_t quirks;     /* PAGEMV_QUIRK_* in force */
	uint32_t facilities; /* PAGEMV_HAS_* */
	uint32_t available;  /* PAGEMV_MECH_BIT() */
	/* AUTO's choice without mremap, and below companion_from */
	enum pagemv_mechanism kept_layout;
	int companion;	   /* /dev/pagemv; -1: not to be had */
	uintptr_t nowhere; /* a page without access, for the companion; or 0 */
	/* Bytes from which on it is the companion: by the costs. */
	PMV_ATOMIC _Atomic size_t companion_from;
	/* There has been a faulting or tracked region: dst may be in one. */
	PMV_ATOMIC _Atomic bool faulting;
	PMV_ATOMIC _Atomic bool tracking; /* a tracked one: see track.h */
	bool can_detach;   /* pages can be taken away to copy them */
	bool drops_locked; /* MADV_DONTNEED_LOCKED, Linux 5.18 */
	PMV_ATOMIC struct pmv_stats stats;

	int pagemap_fd;		 /* -1: none */
	int maps_fd;		 /* -1: no PROCMAP_QUERY */
	uint64_t fastest_move;	 /* ticks of the fastest MOVE of one page
				  * seen at open; 0: unknown */
	uint64_t fastest_page;	 /* ticks that each page more took */
	struct pagemv_caps caps; /* mech[].*_ns: see costs */
	struct pmv_log log;

	/* A page that the kernel wipes in children, or NULL: use pid. */
	const volatile uint32_t *alive;
	int pid;

	PMV_ATOMIC _Atomic(const struct pmv_costs *) costs;
	PMV_ATOMIC _Atomic uintptr_t staging; /* a cached one, see staging.h */
	/* now_ns() from when on busy pages are waited for, see answer.c */
	PMV_ATOMIC _Atomic uint64_t patient_from;
	PMV_RCU _Atomic(struct pmv_extent_root *) extents;
	pthread_mutex_t region_lock; /* writers of what is below */
	struct pagemv_region *all;   /* list, for the end of the handle */
	struct pmv_retired *retired; /* of the extents, until it is settled */
	struct pmv_channel channels[PMV_CHANNELS];
	int dev_fd; /* the caller's /dev/userfaultfd, or -1 */

	/* Scratch slots: constant once mapped, under region_lock; and which of
	 * them are taken. */
	PMV_ATOMIC _Atomic uintptr_t scratch;
	PMV_ATOMIC _Atomic uint32_t scratch_taken;

	PMV_GUARDED_BY(handler_lock) struct pagemv_handlers *handlers;
	pthread_mutex_t handler_lock; /* list of handler threads */

	/* Made once under handler_lock, see inherit.c. */
	PMV_ATOMIC _Atomic(struct pmv_inherit *) inherit;

	struct pmv_evac_sums evac_sums;

	PMV_RCU _Atomic(struct pagemv *) next; /* see fault_signal.c */
};

_Static_assert(offsetof(struct pagemv, pagemap_fd) <= PMV_HANDLE_ALIGN,
	       "the hot members fit into a page");

/* False in a forked child. One load. */
static inline bool pmv_alive(const struct pagemv *pv)
{
	if (pmv_likely(pv->alive != NULL))
		return *pv->alive == PMV_ALIVE;
	return pv->sys->getpid() == pv->pid;
}

static inline bool pmv_has(const struct pagemv *pv, uint32_t facility)
{
	return pv->facilities & facility;
}

/* Set before the first region with a descriptor of its own is registered, and
 * so before anybody moves pages to it. */
static inline bool pmv_faulting(const struct pagemv *pv)
{
	return atomic_load_explicit(&pv->faulting, memory_order_relaxed);
}

static inline bool pmv_available(const struct pagemv *pv,
				 enum pagemv_mechanism m)
{
	return pv->available & PAGEMV_MECH_BIT(m);
}

/* SIZE_MAX: none is large enough. */
static inline size_t pmv_companion_from(const struct pagemv *pv)
{
	return atomic_load_explicit(&pv->companion_from, memory_order_relaxed);
}

/* AUTO's choice without mremap, to where no fault is the library's. */
static inline enum pagemv_mechanism pmv_kept_layout(const struct pagemv *pv,
						    size_t bytes)
{
	return bytes >= pmv_companion_from(pv) ? PAGEMV_MECH_COMPANION
					       : pv->kept_layout;
}

/* Whether pages can be moved without copying them or changing mappings. */
static inline bool pmv_can_move(const struct pagemv *pv)
{
	return pv->available & (PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE) |
				PAGEMV_MECH_BIT(PAGEMV_MECH_COMPANION));
}

/* Lets others go on, after the idle-th time in a row without progress. */
static inline void pmv_back_off(const struct pmv_sys *sys, unsigned int idle)
{
	uint64_t ns = pmv_backoff_ns(idle);

	if (ns)
		sys->sleep_ns(ns);
	else
		sys->yield();
}

/* pagemv_open() on a system-call table of the caller's. */
int pmv_open_with(struct pagemv **out, const struct pagemv_open_opts *opts,
		  const struct pmv_sys *sys);

/* Copies and checks the options of pagemv_open(), NULL for defaults. o: zeroed.
 * Returns 0, -EINVAL or -E2BIG. */
int pmv_open_opts(struct pagemv_open_opts *o,
		  const struct pagemv_open_opts *opts);

/*
 * Copies a caller's struct that starts with its size: a shorter one is
 * filled up with zeros, the unknown tail of a longer one must be zero.
 * Returns 0, -EINVAL (size is nonsense) or -E2BIG.
 */
int pmv_opts_copy(void *to, size_t to_bytes, const void *from);

/* Maps what opening and calibrating do not document to -EIO. */
int pmv_closed_errors(int rc);

#endif /* PMV_INTERNAL_H */
