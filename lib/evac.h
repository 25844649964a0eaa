/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Evacuation, as its files share it:
 *
 *   evac.c          opens and closes a space
 *   evac_cycle.c    begins and ends cycles
 *   evac_flip.c     the flip
 *   evac_fill.c     asks for a page, brings a run of them
 *   evac_touch.c    pages that were touched
 *   evac_work.c     all pages, from the first one on
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

/* Islands that are kept for scratch. */
#define PMV_EVAC_ISLANDS 16
/* A shorter one is left for the watermark to come by. To give one back costs a
 * call, as moving pages out of it does: from so many on it is worth it. */
#define PMV_EVAC_ISLAND_MIN 4

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
	/* Of from-space page i: it has been moved out, or is an island. Written
	 * before the page that it became, or that made it one, is marked in
	 * produced[]. */
	PMV_ATOMIC _Atomic uint8_t *gone;
	/* Of to-space page i, once it is marked: the first page of from-space
	 * that lies behind first_bytes as a whole. */
	PMV_ATOMIC _Atomic uint32_t *firsts;

	PMV_ATOMIC _Atomic uint32_t gate;
	PMV_ATOMIC _Atomic uint32_t working; /* threads inside work() */

	/* Between begin and flip: of the thread that calls them. */
	PMV_ATOMIC _Atomic bool begun; /* others only look */
	struct pagemv_evac_cycle next_cycle;
	size_t next_used;
	size_t next_to;
	size_t cleared; /* pages of the tables and of the states */
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

	/* Whether the page that was touched last was written: hints. */
	PMV_ATOMIC _Atomic bool writes;
	/* What calls cost here, beside these threads, in ns; and how many there
	 * were. Threads may lose each other's. */
	PMV_ATOMIC _Atomic uint32_t move_call_ns;
	PMV_ATOMIC _Atomic uint32_t copy_page_ns;
	PMV_ATOMIC _Atomic uint32_t asked_costs;

	/* See pmv_evac_found(): page << 16 | pages, or 0. */
	PMV_ATOMIC _Atomic uint64_t islands[PMV_EVAC_ISLANDS];

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
	int kind;      /* enum pmv_evac_kind; or negative: why not */
	uintptr_t src; /* where it lies; 0 for zeros */
	uint32_t mark; /* for produced[] */
	uint32_t own;  /* for firsts[]; UINT32_MAX: nothing was said */
};

struct pmv_evac_answer pmv_evac_ask(struct pagemv_evac *e, size_t i,
				    uintptr_t scratch, bool on_fault);

/* Claimed pages that follow each other, of one kind, on their way. */
struct pmv_evac_run {
	int kind; /* enum pmv_evac_kind */
	size_t first;
	size_t n;
	uintptr_t src; /* of the first */
	uint32_t *marks;
};

/* Whether page i can go with those of the run. */
bool pmv_evac_run_follows(const struct pagemv_evac *e,
			  const struct pmv_evac_run *r, size_t i,
			  const struct pmv_evac_answer *a);

/* An empty one that is to begin with page i. */
void pmv_evac_run_begin(struct pmv_evac_run *r, size_t i,
			const struct pmv_evac_answer *a);

/* Brings a run; what was written is copied from scratch if so wanted. Returns
 * how many are there; fewer than all with *error set. hold: NULL with STOPPED.
 */
size_t pmv_evac_bring(struct pagemv_evac *e, const struct pmv_hold *hold,
		      const struct pmv_evac_run *r, bool copies, int *error);

/* What calls cost as long as none has been made. */
void pmv_evac_guess_costs(struct pagemv_evac *e);

/* From so many written pages on, moving them costs less than copying them. */
size_t pmv_evac_moved_from(struct pagemv_evac *e);

/* Notes that page i could not be produced. */
void pmv_evac_failed(struct pagemv_evac *e, size_t i, int error);

/* The region's filler. */
extern const struct pmv_filler pmv_evac_filler;

/* ---- evac_touch.c ---- */

/* Produces n claimed pages, one of which was touched. Returns how many of them
 * are there, from the first on; fewer with *error set. */
size_t pmv_evac_touched(struct pagemv_evac *e, const struct pmv_hold *hold,
			size_t first, size_t n, int *error);

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
 * none; fewer that come first are passed over. *addr: of the first.
 */
size_t pmv_evac_take(struct pagemv_evac *e, size_t min, size_t max,
		     uintptr_t *addr);

/* Pages that were taken last, and were not used. */
void pmv_evac_untake(struct pagemv_evac *e, uintptr_t addr, size_t n);

/*
 * n pages from i on, claimed and not marked yet, are there. What of from-space
 * only they need, and those next to them that are there, is an island: kept for
 * scratch, or given back.
 */
void pmv_evac_found(struct pagemv_evac *e, size_t i, size_t n,
		    const uint32_t *marks);

/* Takes an island, or up to max pages of one that has at least min. */
size_t pmv_evac_take_island(struct pagemv_evac *e, size_t min, size_t max,
			    uintptr_t *addr);
/* Pages of one that were not used. */
void pmv_evac_give_island(struct pagemv_evac *e, uintptr_t addr, size_t n);

/* Gives back what is free and more than is kept. on_fault: less of it. */
void pmv_evac_relieve(struct pagemv_evac *e, bool on_fault);

/* Whether more memory has been taken, than given back, than there should be:
 * the first gap is old, and what lies behind it cannot be used again. */
bool pmv_evac_is_starved(const struct pagemv_evac *e);

#endif /* PMV_EVAC_H */
