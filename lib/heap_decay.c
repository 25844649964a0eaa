// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What becomes of free slots with time: their pages stay as they are for half
 * of the decay time, may be taken by the kernel when it needs memory for the
 * other half (MADV_FREE), and go.
 *
 * It is looked at by calls that are slow anyway, and by the heap's thread.
 */
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>

#include "heap.h"

/* It is looked at so often within the decay time. */
#define LOOKS 8

uint32_t pmv_heap_now(struct pagemv_heap *heap)
{
	return (uint32_t)(heap->sys->now_ns() / 1000000);
}

/* What has been in a magazine for so long goes. */
static size_t decay_magazine(struct pagemv_heap *heap, struct pmv_magazine *m,
			     uint32_t now, uint32_t age_ms)
{
	struct pmv_slot *slots[PMV_MAGAZINE_SLOTS];
	unsigned int n;
	size_t bytes = 0;

	/* Who holds it, uses it: another time. */
	if (!pmv_hold_try(&m->held))
		return 0;
	n = pmv_magazine_old(heap, m, now, age_ms, slots);
	pmv_magazine_release(m);
	for (unsigned int i = 0; i < n; i++)
		bytes += pmv_slot_cool(heap, slots[i]);
	return bytes;
}

static void decay_bin(struct pagemv_heap *heap, unsigned int bin, uint32_t now)
{
	uint32_t age = heap->opts.decay_ms;
	struct pmv_slot *s;

	/* Where one cannot be given back, others cannot. */
	while ((s = pmv_bin_old(heap, bin, now, age, false)))
		if (!pmv_slot_cool(heap, s))
			break;
	while ((s = pmv_bin_old(heap, bin, now, age / 2, true))) {
		heap->sys->madvise(pmv_slot_start(s), s->dirty, MADV_FREE);
		s->lazy = true;
		pmv_bin_return(heap, s);
	}
}

void pmv_heap_decay(struct pagemv_heap *heap)
{
	uint32_t now = pmv_heap_now(heap), age = heap->opts.decay_ms;
	uint32_t then =
		atomic_load_explicit(&heap->decayed_ms, memory_order_relaxed);

	if (!pmv_heap_aged(now, then, age / LOOKS) || pmv_heap_forking ||
	    !atomic_compare_exchange_strong_explicit(&heap->decayed_ms, &then,
						     now, memory_order_relaxed,
						     memory_order_relaxed))
		return;
	for (int i = 0; i < PAGEMV_HEAP_COUNTERS; i++)
		decay_magazine(heap, &heap->magazines[i], now, age);
	for (unsigned int i = 0; i < PMV_BINS; i++)
		decay_bin(heap, i, now);
}

size_t pmv_heap_release(struct pagemv_heap *heap)
{
	uint32_t now = pmv_heap_now(heap);
	size_t bytes = 0, back = 1;
	struct pmv_slot *s;

	if (pmv_heap_forking)
		return 0;
	for (int i = 0; i < PAGEMV_HEAP_COUNTERS; i++)
		bytes += decay_magazine(heap, &heap->magazines[i], now, 0);
	for (unsigned int i = 0; i < PMV_BINS; i++) {
		while (back && (s = pmv_bin_old(heap, i, now, 0, false))) {
			back = pmv_slot_cool(heap, s);
			bytes += back;
		}
		back = 1;
	}
	if (heap->sheds)
		for (unsigned int i = 0; i < PMV_BINS; i++)
			pmv_bin_shed(heap, i);
	return bytes;
}

/* ---- the heap's thread ---- */

static void *decay_thread(void *arg)
{
	struct pagemv_heap *heap = arg;
	uint64_t ns = (uint64_t)heap->opts.decay_ms * 1000000 / LOOKS;

	/* Pairs with the release in pmv_decay_stop(). */
	while (!atomic_load_explicit(&heap->stop, memory_order_acquire)) {
		heap->sys->futex_wait((const uint32_t *)&heap->stop, 0, ns);
		pmv_heap_decay(heap);
	}
	return NULL;
}

int pmv_decay_start(struct pagemv_heap *heap)
{
	sigset_t all, old;
	int rc;

	if (!(heap->opts.flags & PAGEMV_HEAP_BACKGROUND))
		return 0;
	/* Signals are for the program's threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = -pthread_create(&heap->thread, NULL, decay_thread, heap);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	heap->thread_pid = rc == 0 ? heap->sys->getpid() : 0;
	return rc == 0 ? 0 : -ENOMEM;
}

void pmv_decay_stop(struct pagemv_heap *heap)
{
	/* It is not in a forked child. */
	if (!heap->thread_pid || heap->thread_pid != heap->sys->getpid())
		return;
	atomic_store_explicit(&heap->stop, 1, memory_order_release);
	heap->sys->futex_wake((const uint32_t *)&heap->stop);
	pthread_join(heap->thread, NULL);
}
