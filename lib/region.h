/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The registry of regions: which ranges pages may be moved into.
 *
 * Looked up under RCU, from any thread and from signal handlers. Changed under
 * pv->region_lock.
 */
#ifndef PMV_REGION_H
#define PMV_REGION_H

#include <stdatomic.h>

#include <pagemv/region.h>

#include "channel.h"
#include "extents.h"
#include "page_state.h"
#include "policy.h"

struct pagemv;

/* What was seen in a region and saves looking; 0 where nothing was. */
struct pmv_hint {
	PMV_ATOMIC _Atomic unsigned int seen;
	PMV_ATOMIC _Atomic unsigned int left; /* questions until forgotten */
};

struct pmv_hold;
struct pmv_window;

/* What stands in for the source of a faulting region: see evac.h. AS-Safe as
 * the source of any region is. */
struct pmv_filler {
	/* Page i was touched: cuts [*begin, *end), pages of the region, to
	 * those that may be filled with it, and returns how many may be at
	 * once: where those are all that are left, all of them are. */
	size_t (*around)(void *arg, size_t i, size_t *begin, size_t *end);
	/* As pmv_source_fill(). */
	size_t (*fill)(void *arg, const struct pmv_hold *hold,
		       const struct pmv_window *w, int *error);
	void *arg;
};

/* Bytes of the caches. */
#define PMV_LINE 64

/*
 * Constant but for what is marked. The extents table says where it is.
 *
 * In the order in which a fault reads it: where there are many regions, each
 * line is a miss.
 */
struct pagemv_region {
	_Alignas(PMV_LINE) struct pagemv *pv;
	uint32_t flags; /* PAGEMV_REGION_* */
	/* Faults that are at work on it, in PMV_USER; and PMV_ENDING. */
	PMV_ATOMIC _Atomic uint32_t users;
	const struct pmv_channel *channel; /* NULL: the handle's own */
	/* The last fault-around window, see fault.c. Threads may lose one to
	 * each other: only a hint. */
	PMV_ATOMIC _Atomic uint64_t window;
	struct pmv_page_states states; /* of a faulting one */
	uintptr_t start;	       /* as registered */

	struct pagemv_region_opts opts; /* of a faulting or tracked one */
	/* NULL: the source of opts. Written once, by whoever registered it. */
	PMV_ATOMIC _Atomic(const struct pmv_filler *) filler;
	struct pmv_hint kind; /* enum pmv_kind */
	struct pmv_hint huge; /* 1: huge pages may be made in it */
	size_t bytes;

	/* Under pv->region_lock: its extents lie in [low, high); pv->all. */
	uintptr_t low, high;
	struct pagemv_region *next, **link;

	/* Of a small one, see pmv_page_states_place(). */
	unsigned char few_states[];
};

/* pagemv_region.users */
#define PMV_ENDING 1u /* it is being unregistered: faults wait, or go on */
#define PMV_USER   2u

/* A region while a fault is at work on it: it is not freed before put. */
struct pmv_hold {
	struct pagemv_region *region;
	struct pmv_extent extent; /* as it was then */
};

enum pmv_held {
	PMV_HELD,
	PMV_HELD_NOT,	 /* there is no region at addr */
	PMV_HELD_ENDING, /* it is going: access again, after a while */
};

/* Finds the faulting or tracked region at addr and holds it. AS-Safe. */
enum pmv_held pmv_region_hold(struct pagemv *pv, uintptr_t addr,
			      struct pmv_hold *hold);
void pmv_region_put(struct pmv_hold *hold);

/* Holds one that the caller knows to be there; the extent is the caller's to
 * fill in. False: it is ending. */
bool pmv_region_hold_known(struct pagemv_region *region, struct pmv_hold *hold);

/* What fills it, if not its source. */
static inline const struct pmv_filler *
pmv_region_filler(const struct pagemv_region *region)
{
	/* Pairs with the release in pmv_region_fill_by(). */
	return atomic_load_explicit(&region->filler, memory_order_acquire);
}

static inline void pmv_region_fill_by(struct pagemv_region *region,
				      const struct pmv_filler *filler)
{
	atomic_store_explicit(&region->filler, filler, memory_order_release);
}

/* Waits until no fault that began before is at work on it, for 0.1 s at most.
 * False: one is. What the caller wrote before is seen by those that begin
 * later, if they read it by a read-modify-write as the caller wrote it. */
bool pmv_region_quiet(struct pagemv_region *region);

/* Whether it is being unregistered. */
static inline bool pmv_region_ending(const struct pagemv_region *region)
{
	return atomic_load_explicit(&region->users, memory_order_relaxed) &
	       PMV_ENDING;
}

/*
 * How much of [addr, addr + bytes), from its start, is still what the hold
 * says: the region is not ending, and the pages have been neither unregistered,
 * nor unmapped, nor remapped. AS-Safe.
 */
size_t pmv_region_still(const struct pmv_hold *hold, uintptr_t addr,
			size_t bytes);

/*
 * Whether there has ever been a faulting or tracked region of any handle near
 * addr that has ended: a fault there may be of one. True until the process
 * ends, and for what lies between. AS-Safe.
 */
bool pmv_region_ended_at(uintptr_t addr);
/* How many have. AS-Safe. */
unsigned int pmv_region_ended(void);
/* Such a region is about to end there. */
void pmv_region_note_end(uintptr_t start, uintptr_t end);

/*
 * Takes pages out of a faulting region's states for good, which are no longer
 * in its extents: waits for those who are filling them, and nobody claims one
 * any more. Not under region_lock, nor by a thread that fills one of them.
 */
void pmv_region_drain(struct pagemv_region *region, size_t first, size_t pages);

/* The pages that the calling thread is filling, the innermost first. */
struct pmv_inside {
	struct pagemv_region *region;
	uintptr_t from;
	uintptr_t to;
	struct pmv_inside *up;
};

/* Of the thread alone. */
extern __thread struct pmv_inside *pmv_inside
	__attribute__((tls_model("initial-exec")));

/* How memory is registered: the descriptor, or -1 where it is not, as the
 * library alone keeps it; and for what, PMV_UFFD_MISSING and PMV_UFFD_WP. */
struct pmv_arming {
	int fd;
	uint32_t what;
};

struct pmv_arming pmv_region_arming(const struct pagemv_region *region);

/* The same by address; the handle's own where there is no region. *bytes is cut
 * to where it changes. */
struct pmv_arming pmv_region_arming_at(const struct pagemv *pv, uintptr_t addr,
				       size_t *bytes);

/* Its descriptor alone. */
int pmv_region_fd(const struct pagemv_region *region);

/* Whether part of the range is in a region that has any of the flags. */
bool pmv_region_has(const struct pagemv *pv, uintptr_t addr, size_t bytes,
		    uint32_t flags);

/* Pages have come to the range by a move: in faulting regions they count as
 * filled. */
void pmv_region_note(const struct pagemv *pv, uintptr_t addr, size_t bytes);

/* Whether the range lies inside regions of pv, with no gap between them. */
bool pmv_region_holds(const struct pagemv *pv, uintptr_t addr, size_t bytes);

/* Whether any region of pv has part of the range. */
bool pmv_region_touches(const struct pagemv *pv, uintptr_t addr, size_t bytes);

/*
 * Registers a range inside regions with their userfaultfds again, after mremap
 * took the registration off it. Returns 0 or -errno (EBUSY: another user of
 * userfaultfd has it).
 */
int pmv_region_rearm(struct pagemv *pv, uintptr_t addr, size_t bytes);

/*
 * What kind of pages are moved into the region that holds addr, as last
 * told by pmv_region_learn(). Forgets after a number of questions, so that
 * a change is noticed.
 */
enum pmv_kind pmv_region_kind(const struct pagemv *pv, uintptr_t addr);
void pmv_region_learn(const struct pagemv *pv, uintptr_t addr,
		      enum pmv_kind kind);

/*
 * Whether huge pages may be made in the region that holds addr, as told by
 * pmv_region_learn_huge(): it has been seen in its mappings. Forgotten in the
 * same way.
 */
bool pmv_region_gets_huge(const struct pagemv *pv, uintptr_t addr);
void pmv_region_learn_huge(const struct pagemv *pv, uintptr_t addr);

/*
 * Registers reserved address space (PROT_NONE) as a quiet region: what becomes
 * accessible of it later is registered. The caller knows it to be private and
 * anonymous. As pagemv_region_register() otherwise.
 */
int pmv_region_reserve(struct pagemv *pv, uintptr_t addr, size_t bytes,
		       struct pagemv_region **out);

/* Sets up an empty registry. atfork: liburcu's handlers for fork() are to be
 * registered. */
int pmv_regions_open(struct pagemv *pv, bool atfork);
/* Ends all regions: faults find that they are ending until the memory is
 * ordinary again, so the handle must still be found by signal handlers. */
void pmv_regions_end(struct pagemv *pv);
/* Frees what is left of them, when nobody looks any more. */
void pmv_regions_close(struct pagemv *pv);

#endif /* PMV_REGION_H */
