/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Heaps, as the files of lib/heap*.c see them.
 *
 * A free slot is in a magazine, which threads have nearly to themselves, or in
 * the bin of its size, or was never taken from its arena.
 *
 * Lock order: gate_lock (of all heaps), grow_lock, a bin's, a magazine. None is
 * held while pages move or while the kernel is asked for or given memory,
 * except grow_lock, for an arena.
 */
#ifndef PMV_HEAP_H
#define PMV_HEAP_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include <pagemv/heap.h>

#include "arena.h"
#include "internal.h"
#include "numa.h"

/* Slots of 1 << bin bytes each; and one bin for arenas of one slot, of any size
 * of whole pages. */
#define PMV_BINS      48
#define PMV_BIN_EXACT 0

/* Lists of free slots, the newest first. */
struct pmv_slot_list {
	struct pmv_slot *newest, *oldest;
};

struct pmv_bin {
	_Alignas(64) PMV_ATOMIC
		_Atomic uint32_t held; /* by this thread; or 0 */
	PMV_GUARDED_BY(held) uint32_t n_arenas;
	PMV_GUARDED_BY(held) struct pmv_slot_list warm; /* with pages */
	PMV_GUARDED_BY(held)
	struct pmv_slot_list lazy;			/* that may go, after
							 * MADV_FREE; freed
							 * before the others */
	PMV_GUARDED_BY(held) struct pmv_slot_list cold; /* without */
	PMV_GUARDED_BY(held) struct pmv_arena *arenas;
};

/* Free slots at hand. */
#define PMV_MAGAZINE_SLOTS 16

struct pmv_round {
	struct pmv_slot *slot;
	uint32_t bin;
	uint32_t seen_ms; /* when decay first saw it in here; 0: not yet */
	size_t dirty;
};

/* Who has set held has the rest, and the counters of the same number. */
struct pmv_magazine {
	_Alignas(64) PMV_ATOMIC
		_Atomic uint32_t held; /* by this thread; or 0 */
	uint32_t n;
	uint32_t uses;	/* since the heap was made, modulo */
	size_t bytes;	/* of pages that its slots may have */
	size_t granted; /* of heap->warm, for them */
	/* The arena that a block was last freed in, or NULL. Only those that
	 * stay until the heap is destroyed, as no reader is told of it. */
	struct pmv_arena *recent;
	struct pmv_round round[PMV_MAGAZINE_SLOTS];
};

struct pagemv_heap {
	PMV_CONST_AFTER_INIT const struct pmv_sys *sys;
	PMV_CONST_AFTER_INIT size_t page_bytes;
	PMV_CONST_AFTER_INIT size_t huge_bytes; /* 0: no huge pages */
	PMV_CONST_AFTER_INIT struct pagemv_heap_opts opts;
	PMV_CONST_AFTER_INIT struct pagemv_heap_counters *counters;
	PMV_CONST_AFTER_INIT bool strict;    /* commit no more than is needed */
	PMV_CONST_AFTER_INIT bool narrow;    /* address space is scarce */
	PMV_CONST_AFTER_INIT bool sheds;     /* arenas that are empty */
	PMV_CONST_AFTER_INIT bool advises;   /* huge pages, when it pays */
	PMV_CONST_AFTER_INIT bool small;     /* pages, without advice */
	PMV_CONST_AFTER_INIT size_t look_at; /* of new blocks */
	PMV_CONST_AFTER_INIT uint32_t own_max;
	PMV_CONST_AFTER_INIT struct pmv_numa_want want;
	PMV_CONST_AFTER_INIT struct pagemv_open_opts how;
	PMV_CONST_AFTER_INIT char name[80];
	struct pagemv_heap_bounds bounds; /* by __atomic builtins */

	/* NULL: not needed so far. Replaced in a forked child, under
	 * grow_lock. */
	PMV_ATOMIC _Atomic(struct pagemv *) pv;
	PMV_RCU _Atomic(struct pmv_arena_table *) table;
	PMV_ATOMIC _Atomic size_t warm; /* bytes that may be in free slots */
	PMV_ATOMIC _Atomic uint32_t own_slots;	/* with mappings of their own */
	PMV_ATOMIC _Atomic uint32_t decayed_ms; /* when it was last done */
	PMV_ATOMIC _Atomic uint32_t stop;	/* the thread is to end */
	PMV_CONST_AFTER_INIT pthread_t thread;
	PMV_CONST_AFTER_INIT int thread_pid; /* 0: there is none */

	pthread_mutex_t grow_lock;
	PMV_GUARDED_BY(grow_lock) struct pmv_arena_table *retired;
	PMV_GUARDED_BY(grow_lock) unsigned int n_retired;
	PMV_GUARDED_BY(grow_lock) uintptr_t hint;
	PMV_GUARDED_BY(grow_lock) bool opened; /* pv is the heap's own */
	PMV_GUARDED_BY(grow_lock)
	uint32_t refused_ms; /* 0, or when it could
			      * not be opened */
	PMV_ATOMIC _Atomic uint64_t reserved_bytes;

	struct pmv_bin bins[PMV_BINS];
	struct pmv_magazine magazines[PAGEMV_HEAP_COUNTERS];
	struct pagemv_heap_counters own_counters[PAGEMV_HEAP_COUNTERS];

	/* Bins that are held for fork(), and those that the thread which forks
	 * was at work on when a signal came. */
	PMV_GUARDED_BY(gate_lock) uint64_t stopped;
	PMV_GUARDED_BY(gate_lock) uint64_t interrupted_bins;
	/* Magazines that the thread which forks was at work on when a signal
	 * came; PAGEMV_HEAP_COUNTERS bits. */
	PMV_GUARDED_BY(gate_lock) uint32_t interrupted;
	PMV_GUARDED_BY(gate_lock) struct pagemv_heap *next; /* of all heaps */
};

/* The handle that moves pages, opened if need be; NULL: there is none to be
 * had. */
struct pagemv *pmv_heap_handle(struct pagemv_heap *heap);

/* The same if there is one that is of this process, else NULL. */
static inline struct pagemv *
pmv_heap_open_handle(const struct pagemv_heap *heap)
{
	/* Pairs with the release in pmv_heap_handle(). */
	struct pagemv *pv =
		atomic_load_explicit(&heap->pv, memory_order_acquire);

	return pv && pmv_alive(pv) ? pv : NULL;
}

/* ---- locks ---- */

/* The calling thread is between the beginning and the end of fork(), and has
 * all locks of all heaps. */
extern __thread bool pmv_heap_forking
	__attribute__((tls_model("initial-exec")));

/*
 * Who holds a bin or a magazine is known by one write: a handler of a signal
 * that forks has to tell what it has interrupted.
 */

/* If nobody holds it. */
bool pmv_hold_try(PMV_ATOMIC _Atomic uint32_t *held);

/* Whether the calling thread holds it. */
bool pmv_hold_mine(const PMV_ATOMIC _Atomic uint32_t *held);

static inline void pmv_hold_end(PMV_ATOMIC _Atomic uint32_t *held)
{
	/* Pairs with the acquire in pmv_hold_try(). */
	if (pmv_likely(!pmv_heap_forking))
		atomic_store_explicit(held, 0, memory_order_release);
}

/* False: between the handlers of a fork, by a handler of a signal that has
 * interrupted who holds it: it is not to be touched. */
bool pmv_bin_lock(struct pagemv_heap *heap, struct pmv_bin *bin);

static inline void pmv_bin_unlock(struct pmv_bin *bin)
{
	pmv_hold_end(&bin->held);
}

/*
 * A handler of a signal may fork, which waits for locks of heaps: no signal is
 * taken while one of those is held that are held for long.
 */
void pmv_signals_block(sigset_t *old);
void pmv_signals_restore(const sigset_t *old);

/* grow_lock, so. */
void pmv_heap_lock_growth(struct pagemv_heap *heap, sigset_t *old);
void pmv_heap_unlock_growth(struct pagemv_heap *heap, const sigset_t *old);

/* ---- magazines ---- */

/* A magazine to oneself; the thread's own, if it is free. Signal handlers find
 * another one than the code they interrupted. */
struct pmv_magazine *pmv_magazine_hold(struct pagemv_heap *heap);

static inline void pmv_magazine_release(struct pmv_magazine *m)
{
	pmv_hold_end(&m->held);
}

/* Takes out the slot of the bin whose pages suit best; NULL: there is none. */
struct pmv_slot *pmv_magazine_take(struct pmv_magazine *m, unsigned int bin,
				   size_t bytes);

/* Puts a slot in. False: it is to go to its bin. *out: receives one that is to
 * make room for it, which goes to its bin, or NULL. */
bool pmv_magazine_put(struct pagemv_heap *heap, struct pmv_magazine *m,
		      struct pmv_slot *slot, struct pmv_slot **out);

/* Takes out what has been seen in it for so long, into an array of
 * PMV_MAGAZINE_SLOTS; how many there were. */
unsigned int pmv_magazine_old(struct pagemv_heap *heap, struct pmv_magazine *m,
			      uint32_t now, uint32_t age_ms,
			      struct pmv_slot **out);

/* The counters that go with a magazine that is held. */
static inline struct pagemv_heap_counters *
pmv_magazine_counters(struct pagemv_heap *heap, const struct pmv_magazine *m)
{
	return &heap->counters[m - heap->magazines];
}

/* Adds to one of them: no two at a time, but read by anybody. */
static inline void pmv_heap_add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter,
			 __atomic_load_n(counter, __ATOMIC_RELAXED) + n,
			 __ATOMIC_RELAXED);
}

/* One counter, given by its offset. */
void pmv_heap_count(struct pagemv_heap *heap, size_t counter, uint64_t n);
#define PMV_HEAP_COUNT(heap, name, n) \
	pmv_heap_count(heap, offsetof(struct pagemv_heap_counters, name), n)

/* All of them together. */
uint64_t pmv_heap_sum(const struct pagemv_heap *heap, size_t counter);

/* ---- slots ---- */

/* What a pointer turned out to be. */
enum pmv_found {
	PMV_FOUND,
	PMV_FOUND_FOREIGN, /* not in an arena, or in what is lost of one */
	PMV_FOUND_ASTRAY,  /* in an arena, and never was a block's beginning */
	PMV_FOUND_INSIDE,  /* of a block */
	PMV_FOUND_FREED,
};

/* Takes the block at addr over: its slot becomes BUSY or FREED. *bytes: as
 * asked for. m: a magazine that is held. */
enum pmv_found pmv_slot_claim(struct pagemv_heap *heap, struct pmv_magazine *m,
			      uintptr_t addr, enum pmv_slot_state to,
			      struct pmv_slot **slot, size_t *bytes);

/* The same, and leaves it as it is. */
enum pmv_found pmv_slot_look(struct pagemv_heap *heap, uintptr_t addr,
			     size_t *bytes);

/* Reports what is no block: -EINVAL or -ENOENT. */
int pmv_heap_misuse(struct pagemv_heap *heap, enum pmv_found what, void *ptr);

/* The bin whose slots are for so many bytes at first; growing: for a block that
 * has outgrown its slot. */
unsigned int pmv_heap_bin(const struct pagemv_heap *heap, size_t bytes,
			  bool growing);

/* So many levels there are. */
#define PMV_LEVELS 4

/* What kind of slot is for so many bytes, the roomiest first; false: there is
 * none of that level. growing: more will be asked for. */
bool pmv_heap_fit(const struct pagemv_heap *heap, size_t bytes,
		  unsigned int level, bool growing, struct pmv_fit *fit);

/* How a slot is to be. */
struct pmv_need {
	size_t bytes;
	bool clean;   /* without a page in it */
	bool growing; /* for a block that grows */
	bool advised; /* rather with MADV_HUGEPAGE than without */
};

/* A slot with room for it, committed. 0 or -ENOMEM. */
int pmv_slot_take(struct pagemv_heap *heap, const struct pmv_need *need,
		  struct pmv_slot **out);

/* The same for one that was taken already. */
int pmv_slot_ready(struct pagemv_heap *heap, struct pmv_slot *slot,
		   const struct pmv_need *need);

/*
 * Whether a slot has far more pages than the block that it is taken for needs.
 * Not everything: blocks that grow, are freed, and come back small are common.
 */
static inline bool pmv_has_spare(size_t dirty, size_t bytes)
{
	return dirty / 4 > bytes && dirty - bytes > (size_t)256 << 10;
}

/* Whether pages for have suit a need better than those for best do: enough of
 * them, but not many more. */
static inline bool pmv_suits_better(size_t have, size_t best, size_t need)
{
	if (have >= need)
		return best < need || have < best;
	return best < need && have > best;
}

/* From now on it is a block. */
static inline void pmv_slot_publish(struct pmv_slot *slot, uintptr_t at,
				    size_t bytes)
{
	atomic_store_explicit(&slot->at, at, memory_order_relaxed);
	/* Pairs with the acquire of who finds it by address. */
	atomic_store_explicit(&slot->word, pmv_slot_word(bytes, PMV_SLOT_LIVE),
			      memory_order_release);
}

/* Bytes of a slot are to be zeros, counted from its start. */
void pmv_slot_zero(struct pmv_slot *slot, size_t from, size_t to);

/* Bytes of a slot up to there may be written to. */
void pmv_slot_touched(struct pmv_slot *slot, size_t upto);

/* Gives its pages back, and puts it into its bin; unmaps it, if it is an arena
 * by itself. Returns the bytes, 0 where the kernel refused. */
size_t pmv_slot_cool(struct pagemv_heap *heap, struct pmv_slot *slot);

/* Takes the slot that has been free longest out of a bin, if that is for at
 * least so long; lazy: of those that are not lazy. */
struct pmv_slot *pmv_bin_old(struct pagemv_heap *heap, unsigned int bin,
			     uint32_t now, uint32_t age_ms, bool lazy);

/* Unmaps the arenas of a bin that have neither blocks nor pages. */
void pmv_bin_shed(struct pagemv_heap *heap, unsigned int bin);

/* Puts a slot back that pmv_bin_old() has taken out, and that is lazy now. */
void pmv_bin_return(struct pagemv_heap *heap, struct pmv_slot *slot);

/* It has no block any more: kept for a while, or its pages go back at once. */
void pmv_slot_put(struct pagemv_heap *heap, struct pmv_slot *slot);

/* The same; into the thread's magazine if it can be. */
void pmv_slot_keep(struct pagemv_heap *heap, struct pmv_slot *slot);

/* ---- time ---- */

/* Reads the clock: milliseconds, modulo 2^32. */
uint32_t pmv_heap_now(struct pagemv_heap *heap);

/* Another thread's time may be ahead of ours by no more. */
#define PMV_AHEAD_MS ((uint32_t)1 << 24)

/* Whether then was so long before now. */
static inline bool pmv_heap_aged(uint32_t now, uint32_t then, uint32_t age_ms)
{
	bool ahead = then - now - 1 < PMV_AHEAD_MS;

	return !ahead && now - then >= age_ms;
}

/* Gives back what has been free for long enough, if it is time to look. */
void pmv_heap_decay(struct pagemv_heap *heap);

/* Gives back all. Returns the bytes. */
size_t pmv_heap_release(struct pagemv_heap *heap);

/* The thread that does it, if the options ask for one. 0 or -ENOMEM. */
int pmv_decay_start(struct pagemv_heap *heap);
void pmv_decay_stop(struct pagemv_heap *heap);

/* ---- huge pages ---- */

/* A block begins in the slot; dense: as is known of what comes there. */
void pmv_huge_begin(struct pagemv_heap *heap, struct pmv_slot *slot,
		    size_t bytes, bool dense);

/* Whether a huge page for a dense block there is worth a try. */
bool pmv_huge_likely(const struct pmv_slot *slot);

/*
 * Makes pages of a dense block, [from, to) from its slot's start: huge ones
 * where those are wanted and cheap. more: the caller has got more behind them,
 * and is as likely to touch it. 0 or -errno: some are there.
 */
int pmv_huge_make(struct pmv_slot *slot, size_t from, size_t to, bool more);

/* For a block that has a huge page and more, where the options want that. */
void pmv_huge_always(struct pagemv_heap *heap, struct pmv_slot *slot);

/* As the options say, for a whole arena. */
void pmv_huge_arena(struct pagemv_heap *heap, uintptr_t addr, size_t bytes);

/* ---- growth ---- */

/* The block in the slot grows from old to end bytes, both from the slot's
 * start, and end has reached slot->look_at: sees to it that its new pages come
 * at low cost. */
void pmv_block_grows(struct pagemv_heap *heap, struct pmv_slot *slot,
		     size_t old, size_t end);

/* The first slot->look_at of a block. */
size_t pmv_block_look_at(const struct pagemv_heap *heap);

/* Nothing is known of how the block in the slot grows. */
static inline void pmv_block_forget(const struct pagemv_heap *heap,
				    struct pmv_slot *slot)
{
	slot->sensor = 0;
	slot->filled = 0;
	slot->look_at = heap->look_at;
}

/* ---- fork ---- */

/* Registers a heap with the handlers for fork(); takes it off. */
void pmv_heaps_add(struct pagemv_heap *heap);
void pmv_heaps_remove(struct pagemv_heap *heap);

/* Around what a forked child must not see half done: pages that move. */
void pmv_heap_enter(void);
void pmv_heap_leave(void);

/* ---- moving ---- */

/* Whole pages of a block, from one place to another. */
struct pmv_transfer {
	uintptr_t dst; /* in the heap, without pages */
	uintptr_t src;
	size_t bytes;
	bool foreign; /* src is not of a heap: its mappings stay as they are */
	bool emptied; /* out: src has no pages any more */
	struct pagemv_result *res; /* out: what was done */
};

/*
 * Moves them; copies what cannot be moved. src is of no use afterwards.
 * Returns 0; or -EFAULT or -EINTR, and all of it is at src as before.
 */
int pmv_transfer(struct pagemv_heap *heap, struct pmv_transfer *t);

/* Moves pages of free slots, which nobody misses; false: some are at dst, some
 * at src. */
bool pmv_shift(struct pagemv_heap *heap, uintptr_t dst, uintptr_t src,
	       size_t bytes);

/* Whether that is worth trying. */
bool pmv_can_shift(struct pagemv_heap *heap, size_t bytes);

#endif /* PMV_HEAP_H */
