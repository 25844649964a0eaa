/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "heap_scene.h"

#define DECAY_MS 60000

static struct heap_scene open_slow(void)
{
	const struct pagemv_heap_opts o = { .size = sizeof(o),
					    .decay_ms = DECAY_MS };

	return heap_open(&o, NULL);
}

/* Its place, which is no block any more. */
static char *free_one(struct heap_scene *s, size_t pages)
{
	char *at = heap_block(s->heap, pages, 1);

	cr_assert(pagemv_heap_free(s->heap, at) == 0);
	return at;
}

/* Time passes, also for the slot. */
static void pass(struct heap_scene *s, struct pmv_slot *slot, uint32_t ms)
{
	if (slot)
		slot->freed_ms -= ms;
	for (int i = 0; i < PAGEMV_HEAP_COUNTERS; i++) {
		struct pmv_magazine *m = &s->heap->magazines[i];

		for (uint32_t k = 0; k < m->n; k++)
			if (m->round[k].seen_ms)
				m->round[k].seen_ms -= ms;
	}
	atomic_fetch_sub(&s->heap->decayed_ms, ms);
	pmv_heap_decay(s->heap);
}

Test(heap_decay, pages_go_in_two_steps)
{
	struct heap_scene s = open_slow();
	/* Too large for a magazine. */
	struct pmv_slot *slot =
		heap_slot(s.heap, free_one(&s, 5 * MIB / t_page()));

	cr_expect(heap_stats(s.heap).warm_bytes >= 5 * MIB);
	pass(&s, slot, DECAY_MS / 4);
	cr_expect(!slot->lazy);
	fake_forget_counts();
	pass(&s, slot, DECAY_MS / 4);
	cr_expect(slot->lazy && fake_count(FAKE_ADVISE) == 1);
	cr_expect(heap_stats(s.heap).warm_bytes >= 5 * MIB);
	pass(&s, slot, DECAY_MS / 2);
	cr_expect(heap_stats(s.heap).warm_bytes == 0);
	cr_expect(atomic_load(&s.heap->warm) == 0);
	cr_expect(heap_stats(s.heap).sum.given_back_bytes >= 5 * MIB);
	heap_close(&s);
}

Test(heap_decay, magazines_decay)
{
	struct heap_scene s = open_slow();

	free_one(&s, 30);
	pass(&s, NULL, DECAY_MS / 2);
	pass(&s, NULL, DECAY_MS / 2);
	cr_expect(heap_stats(s.heap).warm_bytes > 0);
	pass(&s, NULL, DECAY_MS / 2);
	cr_expect(heap_stats(s.heap).warm_bytes == 0);
	heap_close(&s);
}

Test(heap_decay, the_thread_does_it_without_calls)
{
	const struct pagemv_heap_opts o = { .size = sizeof(o),
					    .flags = PAGEMV_HEAP_BACKGROUND,
					    .decay_ms = 40 };
	struct heap_scene s = heap_open(&o, NULL);

	free_one(&s, 5 * MIB / t_page());
	for (int i = 0; i < 1000 && heap_stats(s.heap).warm_bytes; i++)
		t_sleep_ms(10);
	cr_expect(heap_stats(s.heap).warm_bytes == 0);
	cr_expect(pagemv_heap_destroy(s.heap) == 0);
	pagemv_close(s.pv);
}

/* What the kernel does not take stays warm, and does not keep anybody. */
Test(heap_decay, what_is_refused_stays)
{
	struct heap_scene s = open_slow();
	struct pmv_slot *slot;
	size_t back = 1;

	free_one(&s, 30);
	slot = heap_slot(s.heap, free_one(&s, 5 * MIB / t_page()));
	fake_refuse(FAKE_DISCARD, -EINVAL);
	fake_refuse(FAKE_RESERVE_OVER, -ENOMEM);
	pass(&s, slot, 2 * DECAY_MS);
	cr_expect(pagemv_heap_trim(s.heap, &back) == 0);
	cr_expect(back == 0);
	cr_expect(heap_stats(s.heap).warm_bytes >= 5 * MIB);
	fake_behave();
	cr_expect(pagemv_heap_trim(s.heap, &back) == 0);
	cr_expect(back >= 5 * MIB);
	cr_expect(atomic_load(&s.heap->warm) == 0);
	heap_close(&s);
}

/* Another thread has freed it since the time was looked at. */
Test(heap_decay, what_has_just_been_freed_is_not_old)
{
	struct heap_scene s = open_slow();
	struct pmv_slot *slot =
		heap_slot(s.heap, free_one(&s, 5 * MIB / t_page()));
	uint32_t now = slot->freed_ms - 3;
	unsigned int bin = slot->arena->bin;

	cr_expect(!pmv_bin_old(s.heap, bin, now, DECAY_MS, false));
	cr_expect(!pmv_bin_old(s.heap, bin, now, DECAY_MS / 2, true));
	/* Nor is it among what is given back at once: that has an end. */
	cr_expect(!pmv_bin_old(s.heap, bin, now, 0, false));
	cr_expect(pmv_bin_old(s.heap, bin, now + 3, 0, false) == slot);
	pmv_bin_return(s.heap, slot);
	heap_close(&s);
}

Test(heap_decay, what_has_just_been_seen_in_a_magazine_is_not_old)
{
	struct heap_scene s = open_slow();
	struct pmv_slot *old[PMV_MAGAZINE_SLOTS];
	struct pmv_magazine *m;
	uint32_t now = pmv_heap_now(s.heap);

	free_one(&s, 30);
	m = pmv_magazine_hold(s.heap);
	cr_assert(m->n == 1);
	m->round[0].seen_ms = now + 5;
	cr_expect(pmv_magazine_old(s.heap, m, now, DECAY_MS, old) == 0);
	pmv_magazine_release(m);
	heap_close(&s);
}
