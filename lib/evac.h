/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Evacuation, as its files share it:
 *
 *   evac.c          opens and closes a space
 *   evac_cycle.c    begins and ends cycles
 *   evac_flip.c     the flip
 *   evac_fill.c     one page: asks for it, brings it; pages that were touched
 *   evac_work.c     many pages: runs
 *   evac_pool.c     which are there, and what of from-space is free for scratch
 *   evac_threads.c  the library's own workers
 *
 * To-space pages are claimed by their states (page_state.h) and by nothing
 * else, whoever produces them. Whether one has been produced in this cycle is
 * said by produced[], which is written by the thread that has claimed it, once
 * it is mapped: a page that the program throws away later is zeros.
 *
 * The gate. Who fills or works takes part first (a user of the region; working)
 * and looks at the gate then; who flips or finishes shuts the gate first and
 * waits then until nobody takes part. Both by a read-modify-write of the gate:
 * of two of them the later one sees what was written before the earlier one.
 */
#ifndef PMV_EVAC_H
#define PMV_EVAC_H

#include <pthread.h>
#include <stdatomic.h>

#include <pagemv/evac.h>

#include "page_state.h"
#include "region.h"
#include "scratch.h"

#define PMV_EVAC_RUN_MAX 512

/* What the gate lets through. */
enum pmv_evac_gate {
	PMV_GATE_IDLE,	   /* absent pages are zeros */
	PMV_GATE_FLIPPING, /* nobody: come again */
	PMV_GATE_RUNNING,  /* to-space is produced */
	PMV_GATE_CLOSED,   /* nobody: it is being closed */
};

/* As in struct pagemv_evac_progress. */
enum pmv_evac_count {
	PMV_EVAC_BY_WORKERS,
	PMV_EVAC_BY_FAULTS,
	PMV_EVAC_MOVED,
	PMV_EVAC_ZEROS,
	PMV_EVAC_OTHER,
	PMV_EVAC_CALLS,
	PMV_EVAC_RECYCLED,
	PMV_EVAC_FRESH,
	PMV_EVAC_COPIED,
	PMV_EVAC_RETURNED,
	PMV_EVAC_FAILURES,
	PMV_EVAC_COUNTS
};

/* A part of the space that is one mapping, for mremap(). */
struct pmv_evac_piece {
	size_t off;
	size_t bytes;
};

/* Mappings of the space that a flip can do with. */
#define PMV_EVAC_PIECES 64

struct pmv_evac_worker {
	struct pagemv_evac *evac;
	pthread_t thread;
	/* The last round that it is through with. Release: what it did. */
	PMV_ATOMIC _Atomic uint32_t round;
	PMV_ATOMIC _Atomic bool ended; /* in a callback */
};

/* What is said in produced[], under to-space page i: 0, or 1 + the page of
 * from-space that struct pagemv_produce.done_bytes named. */
typedef PMV_ATOMIC _Atomic uint32_t pmv_produced;

/* Constant once open, but for what is marked. "The cycle's": written by begin,
 * or by flip while the gate is FLIPPING, and read behind the gate. */
struct pagemv_evac {
	struct pagemv *pv;
	struct pagemv_region *region; /* NULL: STOPPED */
	const struct pmv_page_states *states;
	struct pmv_page_states own; /* STOPPED */
	struct pmv_filler filler;
	struct pagemv_evac_opts opts; /* without zeros that mean a default */
	enum pagemv_evac_how how;
	uintptr_t space;
	uintptr_t shadow;
	size_t page;
	size_t pages;
	bool mapped; /* space and shadow are ours */
	uintptr_t tables;
	size_t tables_bytes;
	/* One for this cycle and one that the next is being prepared in. */
	pmv_produced *both[2];
	/* Of from-space page i: it has been moved out. Written before the page
	 * that it became is marked in produced[]. */
	PMV_ATOMIC _Atomic uint8_t *gone;

	PMV_ATOMIC _Atomic uint32_t gate;
	PMV_ATOMIC _Atomic uint32_t working; /* threads inside work() */

	/* Between begin and flip: of the thread that calls them. */
	PMV_ATOMIC _Atomic bool begun; /* others only look */
	struct pagemv_evac_cycle next_cycle;
	size_t next_used;
	size_t next_to;
	size_t cleared_used; /* of the states and of gone[] */
	size_t cleared_to;   /* of produced[] */
	struct pmv_evac_piece pieces[PMV_EVAC_PIECES];
	size_t n_pieces;
	bool locked;
	bool disarmed; /* registering again has failed */

	/* The cycle's. */
	pmv_produced *produced;
	size_t keep; /* pages */
	/* Atomic for those who only look. */
	PMV_ATOMIC _Atomic size_t used_pages;
	PMV_ATOMIC _Atomic size_t to_pages;
	PMV_ATOMIC _Atomic uint32_t flip;
	PMV_ATOMIC _Atomic uint64_t flip_ns;
	PMV_ATOMIC _Atomic uint64_t window_pages;
	PMV_ATOMIC _Atomic uint64_t cycles;
	PMV_ATOMIC _Atomic uint64_t count[PMV_EVAC_COUNTS];
	PMV_ATOMIC _Atomic int error; /* of the first failure */
	PMV_ATOMIC _Atomic size_t failed_at;

	/* Apart, as all workers write to them. */
	_Alignas(PMV_LINE) PMV_ATOMIC _Atomic size_t cursor; /* next to claim */
	/* All pages below are produced. */
	_Alignas(PMV_LINE) PMV_ATOMIC _Atomic size_t prefix;
	/* From-space below is read by nobody any more. */
	PMV_ATOMIC _Atomic size_t done;
	/* From-space below has been taken for scratch, or given back. */
	_Alignas(PMV_LINE) PMV_ATOMIC _Atomic size_t taken;

	/* Rounds that workers were asked for; a futex. */
	_Alignas(PMV_LINE) PMV_ATOMIC _Atomic uint32_t rounds;
	PMV_ATOMIC _Atomic bool stopping;
	/* Counts what waiters wait for; a futex. */
	PMV_ATOMIC _Atomic uint32_t news;

	size_t started;
	struct pmv_evac_worker workers[];
};

static inline void pmv_evac_add(struct pagemv_evac *e, enum pmv_evac_count what,
				size_t n)
{
	atomic_fetch_add_explicit(&e->count[what], n, memory_order_relaxed);
}

static inline size_t pmv_evac_used(const struct pagemv_evac *e)
{
	return atomic_load_explicit(&e->used_pages, memory_order_relaxed);
}

static inline size_t pmv_evac_to(const struct pagemv_evac *e)
{
	return atomic_load_explicit(&e->to_pages, memory_order_relaxed);
}

/* What the gate says, and see above. */
static inline enum pmv_evac_gate pmv_evac_enter(struct pagemv_evac *e)
{
	return atomic_fetch_add_explicit(&e->gate, 0, memory_order_acq_rel);
}

static inline void pmv_evac_set_gate(struct pagemv_evac *e,
				     enum pmv_evac_gate gate)
{
	atomic_exchange_explicit(&e->gate, gate, memory_order_acq_rel);
}

/* ---- evac_fill.c ---- */

/* What a page of to-space is made of. */
enum pmv_evac_kind {
	PMV_EVAC_WRITTEN = 0,
	PMV_EVAC_ZERO = PAGEMV_PRODUCE_ZEROS,
	PMV_EVAC_MOVE = PAGEMV_PRODUCE_MOVE,
};

/* An answer of produce(). */
struct pmv_evac_answer {
	int kind;	/* enum pmv_evac_kind; or negative: why not */
	uintptr_t from; /* MOVE */
	uint32_t mark;	/* for produced[] */
};

struct pmv_evac_answer pmv_evac_ask(struct pagemv_evac *e, size_t i,
				    uintptr_t scratch, bool on_fault);

/* Brings pages of one kind to page i, claimed, and those behind it. Returns how
 * many are there; fewer than all with *error set. hold: NULL with STOPPED. */
size_t pmv_evac_bring(struct pagemv_evac *e, const struct pmv_hold *hold,
		      int kind, size_t i, uintptr_t src, size_t n, bool copies,
		      int *error);

/* Notes that page i could not be produced. */
void pmv_evac_failed(struct pagemv_evac *e, size_t i, int error);

/* The region's filler. */
extern const struct pmv_filler pmv_evac_filler;

/* ---- evac_work.c ---- */

/* How many pages the calling thread produced, at most max; 0 with *error why
 * none could be, or 0 where others have them. */
size_t pmv_evac_work(struct pagemv_evac *e, size_t max, int *error);

/* Works until all pages are there: 0, or why one is not. */
int pmv_evac_complete(struct pagemv_evac *e);

/* Waits until nobody is in pmv_evac_work(). The gate has been shut. */
void pmv_evac_wait_for_workers(struct pagemv_evac *e);

/* ---- evac_threads.c ---- */

int pmv_evac_workers_start(struct pagemv_evac *e);
void pmv_evac_workers_stop(struct pagemv_evac *e);
/* Asks them for a round. */
void pmv_evac_ring(struct pagemv_evac *e);

/* ---- evac_pool.c ---- */

static inline bool pmv_evac_is_produced(const struct pagemv_evac *e, size_t i)
{
	/* Pairs with the release in pmv_evac_mark(). */
	return atomic_load_explicit(&e->produced[i], memory_order_acquire);
}

/* n pages from i on, claimed, are there. */
void pmv_evac_mark(struct pagemv_evac *e, size_t i, size_t n,
		   const uint32_t *marks);

/* Whether all are. */
bool pmv_evac_is_complete(const struct pagemv_evac *e);

/*
 * Takes recycled pages that follow each other: up to max, at least min, or
 * none. *addr: of the first.
 */
size_t pmv_evac_take(struct pagemv_evac *e, size_t min, size_t max,
		     uintptr_t *addr);

/* Gives back what is free and more than is kept. on_fault: less of it. */
void pmv_evac_relieve(struct pagemv_evac *e, bool on_fault);

/* Whether more memory has been taken, than given back, than there should be:
 * the first gap is old, and what lies behind it cannot be used again. */
bool pmv_evac_is_starved(const struct pagemv_evac *e);

#endif /* PMV_EVAC_H */
