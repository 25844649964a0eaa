/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A cycle of evacuation when system calls fail: whatever fails, no page is
 * lost, and the cycle can be carried to its end afterwards. And what only a
 * table of system calls can bring about: a store between two calls of the flip,
 * a thread that is stopped in a fault.
 */
#include "evac.h"

#include <sys/mman.h>

#include "compact.h"
#include "fault.h"
#include "slow.h"
#include "sweep.h"

#define PAGES 96
#define FROM  64

struct setting {
	struct pagemv *pv;
	struct pagemv_evac *evac;
	struct compact c;
	char *space;
	char *shadow;
	uint32_t flip;
};

static const struct way moves = { .name = "move" };
static const struct way copies = { .name = "copy",
				   .disabled =
					   PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE) };
static const struct way stopped = { .name = "stopped",
				    .open_flags = PAGEMV_OPEN_NO_UFFD };

/* Real ones, as a played userfaultfd does not know absent pages. */
static struct pagemv *handle(const struct way *way)
{
	struct pagemv *pv;

	if (!fake_is_real())
		cr_skip("userfaultfd is played here");
	pv = scene_handle(way);
	if (!way->open_flags && !pmv_has(pv, PAGEMV_HAS_FAULTS))
		cr_skip("userfaultfd is played here");
	return pv;
}

static void set_up(struct setting *s, const struct way *way,
		   struct pagemv_evac_opts opts)
{
	int rc;

	*s = (struct setting){ .pv = handle(way) };
	cr_assert(pagemv_sigbus_install() == 0);
	compact_open(&s->c, FROM);
	s->space = t_map(PAGES);
	s->shadow = t_map(PAGES);
	/* So that writing them is no fault, whose calls could fail. */
	compact_fill(&s->c, s->space);
	opts.size = sizeof(opts);
	opts.space = s->space;
	opts.shadow = s->shadow;
	opts.len_bytes = t_pages(PAGES);
	opts.produce = compact_produce;
	opts.arg = &s->c;
	opts.run_pages = 8;
	rc = pagemv_evac_open(s->pv, &opts, &s->evac, NULL);
	cr_assert(rc == 0, "%d", rc);
}

static void tear_down(struct setting *s)
{
	fake_behave();
	cr_expect(pagemv_evac_close(s->evac) == 0);
	pagemv_close(s->pv);
	cr_expect(fake_open_fds() == 0);
	cr_expect(fake_mapped_bytes() == 0);
	compact_close(&s->c);
	t_unmap(s->space, PAGES);
	t_unmap(s->shadow, PAGES);
}

static int begin(const struct setting *s)
{
	struct pagemv_evac_cycle cycle = {
		.size = sizeof(cycle),
		.flip = s->flip,
		.flags = s->flip == PAGEMV_FLIP_FAST ? PAGEMV_EVAC_STILL : 0,
		.used_bytes = t_pages(FROM),
		.to_bytes = t_pages(s->c.to),
	};

	return pagemv_evac_begin(s->evac, &cycle);
}

static int flip(const struct setting *s)
{
	int rc = begin(s);

	return rc ? rc : pagemv_evac_flip(s->evac);
}

static uint32_t phase(const struct setting *s)
{
	struct pagemv_evac_progress p = { .size = sizeof(p) };

	cr_assert(pagemv_evac_progress(s->evac, &p) == 0);
	return p.phase;
}

/* Nothing has been flipped: all is where it was. */
static bool is_unflipped(const struct setting *s)
{
	for (size_t i = 0; i < FROM; i++)
		if (t_check(s->space + t_pages(i), i + 1, s->c.version))
			return false;
	return true;
}

static bool is_flipped(const struct setting *s)
{
	return phase(s) == PAGEMV_EVAC_RUNNING || phase(s) == PAGEMV_EVAC_DONE;
}

/* With failing calls, and then without. */
static const char *cycle(void *arg)
{
	struct setting *s = arg;
	const char *wrong;
	int rc;

	compact_fill(&s->c, s->space);
	rc = flip(s);
	if (rc == 0) {
		pagemv_populate(s->pv, s->space + t_pages(20), 1, NULL);
		pagemv_evac_work(s->evac, 5);
		rc = pagemv_evac_wait(s->evac);
	}
	if (rc == 0)
		rc = pagemv_evac_finish(s->evac);
	fake_behave();
	if (!sweep_known_error(rc))
		return "an error that is not documented";
	if (!is_flipped(s) && rc < 0) {
		if (!is_unflipped(s))
			return "a flip that failed has changed something";
		if (flip(s) < 0)
			return "it cannot be flipped afterwards";
	}
	if (is_flipped(s) && pagemv_evac_wait(s->evac) < 0)
		return "it cannot be produced afterwards";
	if (is_flipped(s) && pagemv_evac_finish(s->evac) < 0)
		return "it cannot be finished afterwards";
	if (s->evac->region && atomic_load(&s->evac->region->users))
		return "the region is held";
	if (atomic_load(&s->evac->working))
		return "somebody is said to be at work";
	wrong = compact_check(&s->c, s->space);
	compact_fill(&s->c, s->space); /* as in set_up() */
	return wrong;
}

static void sweep_cycle(const char *name, const struct way *way, uint32_t flip,
			struct pagemv_evac_opts opts)
{
	struct setting s;

	set_up(&s, way, opts);
	s.flip = flip;
	sweep(name, cycle, &s);
	tear_down(&s);
}

Test(evac, moves_survive_failing_calls)
{
	sweep_cycle("registered", &moves, PAGEMV_FLIP_REGISTERED,
		    (struct pagemv_evac_opts){ 0 });
}

Test(evac, a_fast_flip_survives_failing_calls)
{
	sweep_cycle("fast", &moves, PAGEMV_FLIP_FAST,
		    (struct pagemv_evac_opts){ .single = PAGEMV_MECH_MOVE });
}

Test(evac, copies_survive_failing_calls)
{
	sweep_cycle("copies", &copies, PAGEMV_FLIP_FAST,
		    (struct pagemv_evac_opts){ 0 });
}

Test(evac, the_stopped_way_survives_failing_calls)
{
	sweep_cycle("stopped", &stopped, PAGEMV_FLIP_AUTO,
		    (struct pagemv_evac_opts){ 0 });
}

/* ---- opening ---- */

/* Nothing is left behind. */
static const char *open_and_close(void *arg)
{
	struct pagemv_evac_opts opts = {
		.size = sizeof(opts),
		.len_bytes = t_pages(4096),
		.produce = compact_produce,
	};
	size_t mapped = fake_mapped_bytes();
	struct pagemv_evac *evac = NULL;
	int rc = pagemv_evac_open(arg, &opts, &evac, NULL);

	fake_behave();
	if (rc == 0 && pagemv_evac_close(evac) < 0)
		return "it cannot be closed";
	if (!sweep_known_error(rc) && rc != -EMFILE)
		return rc == -EPERM || rc == -ENOSYS
			       ? "an error that is not documented"
			       : NULL;
	if (fake_injected(FAKE_MUNMAP))
		return NULL;
	return fake_mapped_bytes() > mapped ? "something is mapped still"
					    : NULL;
}

Test(evac, opening_survives_failing_calls)
{
	struct pagemv *pv = handle(&moves);

	/* The pool of scratch is the handle's, and made once. */
	open_and_close(pv);
	sweep("open", open_and_close, pv);
	pagemv_close(pv);
	cr_expect(fake_open_fds() == 0);
}

/* ---- the flip ---- */

static void store_at(void *page)
{
	*(volatile char *)page = 1;
}

/* The space is not registered then: the store makes a page. */
Test(evac, what_is_touched_in_the_window_is_found)
{
	struct pagemv_evac_progress p = { .size = sizeof(p) };
	struct setting s;

	set_up(&s, &moves, (struct pagemv_evac_opts){ 0 });
	if (!pmv_has(s.pv, PAGEMV_HAS_PAGEMAP_SCAN))
		cr_skip("no PROCMAP_QUERY in this kernel");
	s.flip = PAGEMV_FLIP_FAST;
	compact_fill(&s.c, s.space);
	fake_add((struct fake_rule){ .call = FAKE_REGISTER,
				     .before = store_at,
				     .arg = s.space + t_pages(3),
				     .really = FAKE_ALL });
	cr_expect(flip(&s) == 0);
	fake_behave();
	cr_expect(pagemv_evac_progress(s.evac, &p) == 0);
	cr_expect(p.window_pages == 1);
	cr_expect(!t_present(s.space + t_pages(3)));
	cr_expect(pagemv_evac_wait(s.evac) == 0);
	EXPECT_RIGHT(compact_check(&s.c, s.space));
	tear_down(&s);
}

Test(evac, a_registration_that_does_not_come_back_undoes_the_flip)
{
	struct setting s;

	set_up(&s, &moves, (struct pagemv_evac_opts){ 0 });
	s.flip = PAGEMV_FLIP_FAST;
	compact_fill(&s.c, s.space);
	fake_refuse(FAKE_REGISTER, -ENOMEM);
	cr_expect(flip(&s) == -ENOMEM);
	cr_expect(is_unflipped(&s));
	fake_behave();
	/* Not without it. */
	s.flip = PAGEMV_FLIP_REGISTERED;
	cr_expect(flip(&s) == 0);
	cr_expect(pagemv_populate(s.pv, s.space, t_pages(2), NULL) == 0);
	cr_expect(pagemv_evac_wait(s.evac) == 0);
	EXPECT_RIGHT(compact_check(&s.c, s.space));
	tear_down(&s);
}

Test(evac, a_mapping_that_cannot_be_moved_brings_back_the_others)
{
	struct setting s;

	set_up(&s, &moves, (struct pagemv_evac_opts){ 0 });
	t_split_mapping(s.space + t_pages(10), 10);
	for (uint32_t f = PAGEMV_FLIP_REGISTERED; f <= PAGEMV_FLIP_FAST; f++) {
		s.flip = f;
		compact_fill(&s.c, s.space);
		fake_fail(FAKE_MREMAP, 3, -ENOMEM);
		cr_expect(flip(&s) == -ENOMEM);
		cr_expect(is_unflipped(&s));
		fake_behave();
		cr_expect(flip(&s) == 0);
		cr_expect(pagemv_evac_wait(s.evac) == 0);
		cr_expect(pagemv_evac_finish(s.evac) == 0);
		EXPECT_RIGHT(compact_check(&s.c, s.space));
	}
	tear_down(&s);
}

Test(evac, a_thread_that_was_stopped_in_a_fault)
{
	struct pmv_hold hold;
	struct setting s;

	set_up(&s, &moves, (struct pagemv_evac_opts){ 0 });
	compact_fill(&s.c, s.space);
	cr_assert(pmv_region_hold(s.pv, (uintptr_t)s.space, &hold) == PMV_HELD);
	cr_expect(flip(&s) == -EBUSY);
	cr_expect(is_unflipped(&s));
	pmv_region_put(&hold);
	cr_expect(pagemv_evac_flip(s.evac) == 0);
	cr_expect(pagemv_evac_wait(s.evac) == 0);
	EXPECT_RIGHT(compact_check(&s.c, s.space));
	tear_down(&s);
}

/* A handler with an old message comes while it is flipped. */
static void fault_at(void *arg)
{
	struct setting *s = arg;
	int error = 0;

	cr_expect(pmv_fault(s->pv, (uintptr_t)s->space + t_pages(30), &error) ==
		  PMV_FAULT_DONE);
}

Test(evac, a_fault_during_the_flip_comes_again)
{
	struct setting s;

	set_up(&s, &moves, (struct pagemv_evac_opts){ 0 });
	compact_fill(&s.c, s.space);
	fake_add((struct fake_rule){ .call = FAKE_MREMAP,
				     .before = fault_at,
				     .arg = &s,
				     .really = FAKE_ALL });
	cr_expect(flip(&s) == 0);
	fake_behave();
	cr_expect(s.c.asked[30] == 0);
	cr_expect(pagemv_evac_wait(s.evac) == 0);
	cr_expect(s.c.asked[30] == 1);
	EXPECT_RIGHT(compact_check(&s.c, s.space));
	tear_down(&s);
}

/* ---- what the kernel does not count ---- */

Test(evac, pages_that_were_moved_and_not_counted)
{
	struct setting s;

	set_up(&s, &moves, (struct pagemv_evac_opts){ 0 });
	s.c.plain = true;
	compact_fill(&s.c, s.space);
	cr_expect(flip(&s) == 0);
	fake_add((struct fake_rule){
		.call = FAKE_MOVE, .really = t_pages(8), .error = -EEXIST });
	fake_add((struct fake_rule){ .call = FAKE_MOVE,
				     .nth = 2,
				     .really = t_pages(3),
				     .error = -EAGAIN,
				     .tell = true,
				     .told = (int64_t)t_pages(1) });
	cr_expect(pagemv_evac_wait(s.evac) == 0);
	for (size_t k = 0; k < s.c.to; k++)
		cr_expect(s.c.asked[k] == 1);
	EXPECT_RIGHT(compact_check(&s.c, s.space));
	tear_down(&s);
}

/* ---- the pool ---- */

Test(evac, what_is_gone_is_not_taken_for_scratch)
{
	struct setting s;
	uintptr_t addr;

	set_up(&s, &moves, (struct pagemv_evac_opts){ 0 });
	compact_fill(&s.c, s.space);
	cr_expect(flip(&s) == 0);
	cr_expect(pmv_evac_take(s.evac, 1, 8, &addr) == 0);
	atomic_store(&s.evac->done, 20);
	for (size_t i = 0; i < 20; i++)
		atomic_store(&s.evac->gone[i], i < 3 || i == 9);
	cr_expect(pmv_evac_take(s.evac, 1, 4, &addr) == 4);
	cr_expect(addr == (uintptr_t)s.shadow + t_pages(3));
	cr_expect(pmv_evac_take(s.evac, 11, 99, &addr) == 0);
	/* Two that are too few for a call are passed over. */
	cr_expect(pmv_evac_take(s.evac, 4, 8, &addr) == 8);
	cr_expect(addr == (uintptr_t)s.shadow + t_pages(10));
	pmv_evac_untake(s.evac, addr + t_pages(5), 3);
	cr_expect(pmv_evac_take(s.evac, 1, 99, &addr) == 5);
	cr_expect(addr == (uintptr_t)s.shadow + t_pages(15));
	cr_expect(pmv_evac_take(s.evac, 1, 8, &addr) == 0);
	tear_down(&s);
}

/* In whatever order: done follows the first gap. */
Test(evac, the_watermark_follows_the_first_gap)
{
	static const uint32_t marks[] = { 3, 5, 1, 9 };
	struct setting s;

	set_up(&s, &moves, (struct pagemv_evac_opts){ 0 });
	compact_fill(&s.c, s.space);
	cr_expect(flip(&s) == 0);
	pmv_evac_mark(s.evac, 1, 2, &marks[1]);
	cr_expect(atomic_load(&s.evac->prefix) == 0);
	cr_expect(atomic_load(&s.evac->done) == 0);
	pmv_evac_mark(s.evac, 0, 1, &marks[0]);
	cr_expect(atomic_load(&s.evac->prefix) == 3);
	cr_expect(atomic_load(&s.evac->done) == 4);
	pmv_evac_mark(s.evac, 3, 1, &marks[3]);
	cr_expect(atomic_load(&s.evac->done) == 8);
	cr_expect(!pmv_evac_is_complete(s.evac));
	tear_down(&s);
}

/* ---- islands ---- */

/* What a window far ahead needs alone is scratch at once, with the page that it
 * shares with one that is there; and the watermark passes over it. */
Test(evac, a_window_far_ahead_makes_an_island)
{
	struct setting s;
	uintptr_t addr;

	set_up(&s, &moves, (struct pagemv_evac_opts){ .around_pages = 8 });
	s.c.plain = true;
	compact_fill(&s.c, s.space);
	cr_expect(flip(&s) == 0);
	pagemv_populate(s.pv, s.space + t_pages(16), 1, NULL);
	cr_expect(pmv_evac_take_island(s.evac, 9, 9, &addr) == 0);
	cr_expect(pmv_evac_take_island(s.evac, 4, 9, &addr) == 8);
	cr_expect(addr == (uintptr_t)s.shadow + t_pages(32));
	cr_expect(pmv_evac_take_island(s.evac, 4, 5, &addr) == 5);
	cr_expect(addr == (uintptr_t)s.shadow + t_pages(40));
	/* Two were left of it, which are the watermark's. */
	cr_expect(!s.evac->gone[45] && !s.evac->gone[46]);
	pagemv_populate(s.pv, s.space + t_pages(24), 1, NULL);
	cr_expect(pmv_evac_take_island(s.evac, 8, 8, &addr) == 8);
	cr_expect(addr == (uintptr_t)s.shadow + t_pages(47));
	pmv_evac_give_island(s.evac, addr, 8);
	cr_expect(pagemv_evac_wait(s.evac) == 0);
	EXPECT_RIGHT(compact_check(&s.c, s.space));
	cr_expect(pagemv_evac_finish(s.evac) == 0);
	tear_down(&s);
}

static uintptr_t shadow_at(const struct setting *s, size_t page)
{
	return (uintptr_t)s->shadow + t_pages(page);
}

/* So that large ones stay whole. */
Test(evac, the_smallest_island_that_suffices_is_taken)
{
	struct setting s;
	uintptr_t addr;

	set_up(&s, &moves, (struct pagemv_evac_opts){ 0 });
	compact_fill(&s.c, s.space);
	cr_expect(flip(&s) == 0);
	pmv_evac_give_island(s.evac, shadow_at(&s, 64), 8);
	pmv_evac_give_island(s.evac, shadow_at(&s, 72), 12);
	pmv_evac_give_island(s.evac, shadow_at(&s, 84), 10);
	cr_expect(pmv_evac_take_island(s.evac, 4, 9, &addr) == 9);
	cr_expect(addr == shadow_at(&s, 84));
	cr_expect(pmv_evac_take_island(s.evac, 4, 30, &addr) == 12);
	cr_expect(addr == shadow_at(&s, 72));
	cr_expect(pmv_evac_take_island(s.evac, 9, 30, &addr) == 0);
	cr_expect(pmv_evac_take_island(s.evac, 8, 30, &addr) == 8);
	tear_down(&s);
}

/* Where there is room for no more, the smallest is given back. */
Test(evac, a_large_island_takes_the_place_of_a_small_one)
{
	struct setting s;
	uintptr_t addr;

	set_up(&s, &moves, (struct pagemv_evac_opts){ 0 });
	compact_fill(&s.c, s.space);
	cr_expect(flip(&s) == 0);
	for (int i = 0; i < PMV_EVAC_ISLANDS; i++)
		pmv_evac_give_island(s.evac, shadow_at(&s, 64), 5);
	cr_expect(atomic_load(&s.evac->count[PMV_EVAC_RETURNED]) == 0);
	pmv_evac_give_island(s.evac, shadow_at(&s, 72), 20);
	cr_expect(atomic_load(&s.evac->count[PMV_EVAC_RETURNED]) == 5);
	pmv_evac_give_island(s.evac, shadow_at(&s, 64), 4);
	cr_expect(atomic_load(&s.evac->count[PMV_EVAC_RETURNED]) == 9);
	cr_expect(pmv_evac_take_island(s.evac, 6, 20, &addr) == 20);
	cr_expect(addr == shadow_at(&s, 72));
	tear_down(&s);
}

/* ---- costs ---- */

Test(evac, moving_and_copying_are_told_apart_by_what_they_cost)
{
	struct setting s;

	set_up(&s, &moves, (struct pagemv_evac_opts){ 0 });
	atomic_store(&s.evac->move_call_ns, 10060);
	atomic_store(&s.evac->copy_page_ns, 1060);
	cr_expect(pmv_evac_moved_from(s.evac) == 11);
	atomic_store(&s.evac->move_call_ns, 500);
	cr_expect(pmv_evac_moved_from(s.evac) == 1);
	tear_down(&s);
	set_up(&s, &copies, (struct pagemv_evac_opts){ 0 });
	if (s.evac->how == PAGEMV_EVAC_BY_COPY)
		cr_expect(pmv_evac_moved_from(s.evac) == SIZE_MAX);
	tear_down(&s);
}
