// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * fork(): a child finds all blocks of all heaps whole, and all locks free. Its
 * memory is registered with no userfaultfd, and the handle is the parent's, so
 * it opens one of its own when the first block is to move.
 *
 * Handlers that were registered before ours are called while we have all locks,
 * by the thread that has them: it goes past them. But it makes no arenas and
 * opens no handle, as that takes locks of others.
 */
#include <string.h>

#include "heap.h"
#include "rcu.h"
#include "region.h"

static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static PMV_GUARDED_BY(gate_lock) struct pagemv_heap *heaps;
/* Threads that move a block; grows under gate_lock alone. */
static PMV_ATOMIC _Atomic uint32_t moving;
/* Of them, what is this thread: a handler of a signal may interrupt a move and
 * fork. Not to be waited for. */
static __thread volatile uint32_t mine
	__attribute__((tls_model("initial-exec")));

/* ---- signals ---- */

void pmv_signals_block(sigset_t *old)
{
	sigset_t some;

	sigfillset(&some);
	/* Those that a thread sends to itself end it where they are blocked. */
	sigdelset(&some, SIGSEGV);
	sigdelset(&some, SIGBUS);
	sigdelset(&some, SIGFPE);
	sigdelset(&some, SIGILL);
	sigdelset(&some, SIGTRAP);
	sigdelset(&some, SIGSYS);
	pthread_sigmask(SIG_BLOCK, &some, old);
}

void pmv_signals_restore(const sigset_t *old)
{
	pthread_sigmask(SIG_SETMASK, old, NULL);
}

void pmv_heap_lock_growth(struct pagemv_heap *heap, sigset_t *old)
{
	if (pmv_heap_forking)
		return;
	pmv_signals_block(old);
	pthread_mutex_lock(&heap->grow_lock);
}

void pmv_heap_unlock_growth(struct pagemv_heap *heap, const sigset_t *old)
{
	if (pmv_heap_forking)
		return;
	pthread_mutex_unlock(&heap->grow_lock);
	pmv_signals_restore(old);
}

/* ---- what must not be seen half done ---- */

void pmv_heap_enter(void)
{
	sigset_t mask;

	if (pmv_heap_forking)
		return;
	pmv_signals_block(&mask);
	pthread_mutex_lock(&gate_lock);
	atomic_fetch_add_explicit(&moving, 1, memory_order_relaxed);
	mine++;
	pthread_mutex_unlock(&gate_lock);
	pmv_signals_restore(&mask);
}

void pmv_heap_leave(void)
{
	sigset_t mask;

	if (pmv_heap_forking)
		return;
	pmv_signals_block(&mask);
	mine--;
	/* Pairs with the acquire in before_fork(). */
	atomic_fetch_sub_explicit(&moving, 1, memory_order_release);
	pmv_signals_restore(&mask);
}

/* ---- the handlers ---- */

static void stop_magazine(struct pagemv_heap *heap, int i)
{
	struct pmv_magazine *m = &heap->magazines[i];
	unsigned int idle = 0;

	if (pmv_hold_mine(&m->held)) {
		heap->interrupted |= 1u << i;
		return;
	}
	while (!pmv_hold_try(&m->held))
		pmv_back_off(heap->sys, idle++);
}

static void stop_bin(struct pagemv_heap *heap, int i)
{
	struct pmv_bin *bin = &heap->bins[i];

	if (pmv_hold_mine(&bin->held)) {
		heap->interrupted_bins |= 1ull << i;
		return;
	}
	pmv_bin_lock(heap, bin);
	heap->stopped |= 1ull << i;
}

static void stop_heap(struct pagemv_heap *heap)
{
	pthread_mutex_lock(&heap->grow_lock);
	heap->stopped = heap->interrupted_bins = 0;
	for (int i = 0; i < PMV_BINS; i++)
		stop_bin(heap, i);
	heap->interrupted = 0;
	for (int i = 0; i < PAGEMV_HEAP_COUNTERS; i++)
		stop_magazine(heap, i);
}

static void start_heap(struct pagemv_heap *heap)
{
	for (int i = PAGEMV_HEAP_COUNTERS - 1; i >= 0; i--)
		if (!(heap->interrupted & 1u << i))
			atomic_store_explicit(&heap->magazines[i].held, 0,
					      memory_order_release);
	for (int i = PMV_BINS - 1; i >= 0; i--)
		if (heap->stopped & 1ull << i)
			pmv_bin_unlock(&heap->bins[i]);
	pthread_mutex_unlock(&heap->grow_lock);
}

static void before_fork(void)
{
	unsigned int idle = 0;

	/* The first of the thread takes locks that liburcu has later on. */
	pmv_rcu_read_lock();
	pmv_rcu_read_unlock(&heaps);
	pthread_mutex_lock(&gate_lock);
	/* Nobody begins any more; pairs with the release in
	 * pmv_heap_leave(). */
	while (heaps &&
	       atomic_load_explicit(&moving, memory_order_acquire) > mine)
		pmv_back_off(heaps->sys, idle++);
	for (struct pagemv_heap *h = heaps; h; h = h->next)
		stop_heap(h);
	pmv_heap_forking = true;
}

static void after_fork(void)
{
	pmv_heap_forking = false;
	for (struct pagemv_heap *h = heaps; h; h = h->next)
		start_heap(h);
	pthread_mutex_unlock(&gate_lock);
}

/* Blocks whose size was about to change, by threads that are not here. */
static void settle_arena(struct pmv_arena *a)
{
	for (uint32_t i = 0; i < a->fresh; i++) {
		PMV_ATOMIC _Atomic uint64_t *word = &a->slot[i].word;
		uint64_t now = atomic_load_explicit(word, memory_order_relaxed);

		if (pmv_word_state(now) == PMV_SLOT_BUSY)
			atomic_store_explicit(word,
					      pmv_slot_word(pmv_word_bytes(now),
							    PMV_SLOT_LIVE),
					      memory_order_relaxed);
	}
}

static void settle_heap(struct pagemv_heap *heap)
{
	for (int i = 0; i < PMV_BINS; i++)
		for (struct pmv_arena *a = heap->bins[i].arenas; a; a = a->next)
			settle_arena(a);
}

static void after_fork_child(void)
{
	for (struct pagemv_heap *h = heaps; h; h = h->next)
		settle_heap(h);
	after_fork();
}

static void register_handlers(void)
{
	pthread_atfork(before_fork, after_fork, after_fork_child);
}

void pmv_heaps_add(struct pagemv_heap *heap)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, register_handlers);
	pthread_mutex_lock(&gate_lock);
	heap->next = heaps;
	heaps = heap;
	pthread_mutex_unlock(&gate_lock);
}

void pmv_heaps_remove(struct pagemv_heap *heap)
{
	struct pagemv_heap **link;

	pthread_mutex_lock(&gate_lock);
	for (link = &heaps; *link != heap; link = &(*link)->next)
		;
	*link = heap->next;
	pthread_mutex_unlock(&gate_lock);
}

/* ---- the handle ---- */

/* Of one that could not be opened, until it is tried again. */
#define REFUSED_MS 1000

/* Needs grow_lock. What cannot be registered is copied. */
static void register_arenas(struct pagemv_heap *heap, struct pagemv *pv)
{
	const struct pmv_arena_table *t =
		atomic_load_explicit(&heap->table, memory_order_relaxed);

	for (size_t i = 0; t && i < t->n; i++) {
		struct pmv_arena *a = t->row[i].arena;

		a->region = NULL;
		pmv_region_reserve(pv, a->start, a->bytes, &a->region);
	}
}

/* Needs grow_lock. The one before stays as it is: it is the parent's, or of a
 * child that has become one. */
static struct pagemv *open_handle(struct pagemv_heap *heap)
{
	uint32_t now = pmv_heap_now(heap);
	struct pagemv *pv;

	if (heap->refused_ms && now - heap->refused_ms < REFUSED_MS)
		return NULL;
	heap->refused_ms = 0;
	if (pmv_open_with(&pv, &heap->how, heap->sys) < 0) {
		heap->refused_ms = now | 1;
		return NULL;
	}
	register_arenas(heap, pv);
	heap->opened = true;
	/* Pairs with the acquire in pmv_heap_open_handle(). */
	atomic_store_explicit(&heap->pv, pv, memory_order_release);
	return pv;
}

struct pagemv *pmv_heap_handle(struct pagemv_heap *heap)
{
	struct pagemv *pv = pmv_heap_open_handle(heap);
	sigset_t mask;

	if (pmv_likely(pv != NULL) || pmv_heap_forking)
		return pv;
	pmv_heap_lock_growth(heap, &mask);
	pv = pmv_heap_open_handle(heap);
	if (!pv)
		pv = open_handle(heap);
	pmv_heap_unlock_growth(heap, &mask);
	return pv;
}
