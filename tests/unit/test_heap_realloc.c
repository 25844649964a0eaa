/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "heap_scene.h"

#define PAGES 8

/* ---- whatever fails ---- */

struct turn {
	struct heap_scene s;
	const struct way *way;
	uint32_t flags;
	size_t to_pages;
};

static bool known_error(int rc)
{
	return rc == 0 || rc == -ENOMEM || rc == -EFAULT || rc == -EINTR;
}

/* Whether the block is whole where it is said to be, and can be freed. */
static const char *block_wrong(struct pagemv_heap *heap, char *at, size_t pages)
{
	const char *wrong = t_check_range(at, pages, 1);
	size_t usable = 0;

	if (!wrong && pagemv_heap_usable_size(heap, at, &usable) != 0)
		wrong = "it is no block any more";
	if (!wrong && usable < t_pages(pages))
		wrong = "it is too small";
	if (!wrong && pagemv_heap_free(heap, at) != 0)
		wrong = "it cannot be freed";
	return wrong;
}

/* A block that changes its size. */
static const char *change(void *arg)
{
	struct turn *t = arg;
	struct pagemv_result res;
	void *at = NULL, *now;
	const char *wrong;
	int rc;

	rc = pagemv_heap_alloc(t->s.heap, t_pages(PAGES), 0, &at);
	if (rc == -ENOMEM)
		return NULL;
	if (rc != 0)
		return "not an error of pagemv_heap_alloc()";
	t_fill_range(at, PAGES, 1);
	now = at;
	rc = pagemv_heap_realloc(t->s.heap, at, t_pages(t->to_pages), t->flags,
				 &now, &res);
	fake_behave();
	if (!known_error(rc))
		return "not an error of pagemv_heap_realloc()";
	if (rc != 0 && now != at)
		return "the pointer was touched";
	wrong = block_wrong(t->s.heap, now,
			    rc == 0 ? pmv_min(PAGES, t->to_pages) : PAGES);
	pagemv_heap_trim(t->s.heap, NULL);
	return wrong;
}

static void sweep_change(const char *name, const struct way *way,
			 uint32_t flags, size_t to_pages)
{
	struct turn t = { .way = way, .flags = flags, .to_pages = to_pages };

	fake_reset();
	t.s = heap_open(NULL, way);
	sweep(name, change, &t);
	pagemv_heap_destroy(t.s.heap);
	pagemv_close(t.s.pv);
}

/* On each kind of kernel that there is. */
static void sweep_ways(const char *name, uint32_t flags, size_t to_pages)
{
	for (size_t i = 0; i < n_ways; i++)
		if (ways[i].mechanism == PAGEMV_MECH_AUTO && !ways[i].flags)
			sweep_change(name, &ways[i], flags, to_pages);
}

Test(heap_realloc, no_failing_call_loses_a_block_that_moves, .timeout = 120)
{
	sweep_ways("moves", PAGEMV_ALLOC_MOVE, PAGES);
}

Test(heap_realloc, no_failing_call_loses_a_block_that_outgrows_its_slot,
     .timeout = 120)
{
	sweep_ways("outgrows", 0, 2 * MIB / 4096);
}

Test(heap_realloc, no_failing_call_loses_a_block_that_grows_in_place,
     .timeout = 120)
{
	sweep_ways("grows", 0, 2 * PAGES);
}

Test(heap_realloc, no_failing_call_loses_a_block_that_shrinks, .timeout = 120)
{
	sweep_ways("shrinks", 0, 1);
}

/* ---- adopt and give ---- */

static const char *adopt_and_free(void *arg)
{
	struct turn *t = arg;
	char *foreign = t_map(PAGES + 1);
	void *at = NULL;
	const char *wrong = NULL;
	int rc;

	/* At an odd place, as malloc() has it. */
	t_fill_range(foreign, PAGES, 1);
	rc = pagemv_heap_adopt(t->s.heap, foreign + 16, t_pages(PAGES) - 16,
			       t_pages(PAGES), &at, NULL);
	fake_behave();
	if (!known_error(rc))
		wrong = "not an error of pagemv_heap_adopt()";
	else if (rc != 0)
		wrong = t_check_range(foreign, PAGES, 1);
	else if (((uintptr_t)at & (t_page() - 1)) != 16)
		wrong = "it does not agree modulo the page";
	else
		wrong = t_check_range((char *)at - 16 + t_page(), PAGES - 1, 2);
	if (!wrong && rc == 0 && pagemv_heap_free(t->s.heap, at) != 0)
		wrong = "it cannot be freed";
	pagemv_heap_trim(t->s.heap, NULL);
	t_unmap(foreign, PAGES + 1);
	return wrong;
}

Test(heap_realloc, no_failing_call_loses_an_adopted_block, .timeout = 120)
{
	for (size_t i = 0; i < n_ways; i++) {
		struct turn t = { .way = &ways[i] };

		if (ways[i].mechanism != PAGEMV_MECH_AUTO || ways[i].flags)
			continue;
		fake_reset();
		t.s = heap_open(NULL, &ways[i]);
		sweep(ways[i].name, adopt_and_free, &t);
		pagemv_heap_destroy(t.s.heap);
		pagemv_close(t.s.pv);
	}
}

struct pair {
	struct heap_scene a, b;
};

static const char *give_and_free(void *arg)
{
	struct pair *p = arg;
	void *at = NULL, *there;
	const char *wrong;
	int rc;

	rc = pagemv_heap_alloc(p->a.heap, t_pages(PAGES), 0, &at);
	if (rc != 0)
		return rc == -ENOMEM ? NULL : "not an error of alloc";
	t_fill_range(at, PAGES, 1);
	there = at;
	rc = pagemv_heap_give(p->a.heap, at, p->b.heap, &there, NULL);
	fake_behave();
	if (!known_error(rc))
		return "not an error of pagemv_heap_give()";
	wrong = block_wrong(rc == 0 ? p->b.heap : p->a.heap, there, PAGES);
	pagemv_heap_trim(p->a.heap, NULL);
	pagemv_heap_trim(p->b.heap, NULL);
	return wrong;
}

Test(heap_realloc, no_failing_call_loses_a_given_block, .timeout = 120)
{
	struct pair p = { heap_open(NULL, NULL), heap_open(NULL, NULL) };

	sweep("give", give_and_free, &p);
	pagemv_heap_destroy(p.a.heap);
	pagemv_heap_destroy(p.b.heap);
	pagemv_close(p.a.pv);
	pagemv_close(p.b.pv);
}

Test(heap_realloc, a_block_given_to_its_own_heap_stays)
{
	struct heap_scene s = heap_open(NULL, NULL);
	char *at = heap_block(s.heap, PAGES, 1);
	void *there;

	cr_assert(pagemv_heap_give(s.heap, at, s.heap, &there, NULL) == 0);
	cr_expect(there == at);
	EXPECT_RIGHT(block_wrong(s.heap, at, PAGES));
	heap_close(&s);
}

/* ---- in place ---- */

Test(heap_realloc, small_steps_make_no_system_call)
{
	struct heap_scene s = heap_open(NULL, NULL);
	char *at = heap_block(s.heap, PAGES, 1);
	size_t pages = PAGES;
	unsigned int calls;
	void *now;

	cr_assert(pagemv_heap_realloc(s.heap, at, t_pages(++pages), 0, &now,
				      NULL) == 0);
	calls = fake_total();
	while (pages < 128) {
		cr_assert(pagemv_heap_realloc(s.heap, at, t_pages(++pages), 0,
					      &now, NULL) == 0);
		cr_assert(now == at);
	}
	cr_expect(fake_total() == calls, "%u calls", fake_total() - calls);
	EXPECT_RIGHT(block_wrong(s.heap, at, PAGES));
	heap_close(&s);
}

Test(heap_realloc, the_tail_goes_back_and_comes_as_zeros)
{
	struct heap_scene s = heap_open(NULL, NULL);
	size_t pages = 64;
	char *at = heap_block(s.heap, pages, 1);
	void *now;

	cr_assert(pagemv_heap_realloc(s.heap, at, t_page(), 0, &now, NULL) ==
		  0);
	EXPECT_RIGHT(t_check_absent(at + t_page(), pages - 1));
	cr_assert(pagemv_heap_realloc(s.heap, at, t_pages(pages),
				      PAGEMV_ALLOC_ZERO, &now, NULL) == 0);
	EXPECT_RIGHT(t_check(at, 1, 1));
	for (size_t i = t_page(); i < t_pages(pages); i++)
		cr_assert(at[i] == 0, "byte %zu", i);
	cr_expect(heap_stats(s.heap).sum.given_back_bytes ==
		  t_pages(pages - 1));
	heap_close(&s);
}

/* What is less than a sixteenth, or 64 KiB, is not worth a call. */
Test(heap_realloc, zeros_cover_what_a_small_shrink_left)
{
	struct heap_scene s = heap_open(NULL, NULL);
	char *at = heap_block(s.heap, PAGES, 1);
	void *now;

	cr_assert(pagemv_heap_realloc(s.heap, at, 100, 0, &now, NULL) == 0);
	cr_expect(fake_count(FAKE_DISCARD) == 0);
	cr_assert(pagemv_heap_realloc(s.heap, at, t_pages(PAGES),
				      PAGEMV_ALLOC_ZERO, &now, NULL) == 0);
	for (size_t i = 100; i < t_pages(PAGES); i++)
		cr_assert(at[i] == 0, "byte %zu", i);
	heap_close(&s);
}

Test(heap_realloc, flags_are_checked)
{
	struct heap_scene s = heap_open(NULL, NULL);
	char *at = heap_block(s.heap, PAGES, 1);
	void *now = NULL;

	cr_expect(pagemv_heap_realloc(s.heap, at, 1, 1u << 20, &now, NULL) ==
		  -EINVAL);
	cr_expect(pagemv_heap_realloc(s.heap, at, 1,
				      PAGEMV_ALLOC_MOVE | PAGEMV_ALLOC_IN_PLACE,
				      &now, NULL) == -EINVAL);
	cr_expect(pagemv_heap_realloc(s.heap, at, SIZE_MAX, 0, &now, NULL) ==
		  -ENOMEM);
	cr_expect(pagemv_heap_realloc(s.heap, at, 4 * MIB,
				      PAGEMV_ALLOC_IN_PLACE, &now,
				      NULL) == -ENOSPC);
	cr_expect(pagemv_heap_realloc(NULL, at, 1, 0, &now, NULL) == -EINVAL);
	cr_expect(pagemv_heap_realloc(s.heap, at, 1, 0, NULL, NULL) == -EINVAL);
	cr_expect(now == NULL);
	EXPECT_RIGHT(block_wrong(s.heap, at, PAGES));
	heap_close(&s);
}

Test(heap_realloc, null_is_a_new_block)
{
	struct heap_scene s = heap_open(NULL, NULL);
	void *at = NULL;

	cr_assert(pagemv_heap_realloc(s.heap, NULL, 5000, 0, &at, NULL) == 0);
	cr_assert(at != NULL);
	cr_expect(pagemv_heap_free(s.heap, at) == 0);
	heap_close(&s);
}

/* Where nobody wants to know, too. */
Test(heap_realloc, what_is_copied_and_moved_is_counted)
{
	struct heap_scene s = heap_open(NULL, NULL);
	struct pagemv_heap_stats stats;
	void *at = heap_block(s.heap, PAGES, 1), *warm;

	/* A block of this size has its pages at hand. */
	cr_assert(pagemv_heap_alloc(s.heap, 2 * MIB, 0, &warm) == 0);
	cr_assert(pagemv_heap_free(s.heap, warm) == 0);
	cr_assert(pagemv_heap_realloc(s.heap, at, 2 * MIB,
				      PAGEMV_ALLOC_MAY_COPY, &at, NULL) == 0);
	stats = heap_stats(s.heap);
	cr_expect(stats.sum.moves == 1);
	cr_expect(stats.sum.copied_bytes == t_pages(PAGES));
	cr_expect(stats.sum.moved_bytes == 0, "%zu",
		  (size_t)stats.sum.moved_bytes);
	cr_assert(pagemv_heap_realloc(s.heap, at, 2 * MIB, PAGEMV_ALLOC_MOVE,
				      &at, NULL) == 0);
	stats = heap_stats(s.heap);
	cr_expect(stats.sum.moved_bytes == 2 * MIB, "%zu",
		  (size_t)stats.sum.moved_bytes);
	EXPECT_RIGHT(block_wrong(s.heap, at, PAGES));
	heap_close(&s);
}

/* A free slot of 2 MiB with pages. */
static void leave_warm(struct pagemv_heap *heap)
{
	void *warm;

	cr_assert(pagemv_heap_alloc(heap, 2 * MIB, 0, &warm) == 0);
	memset(warm, 0xaa, 2 * MIB);
	cr_assert(pagemv_heap_free(heap, warm) == 0);
}

/* It gets pages that are there, and leaves as many. */
Test(heap_realloc, a_small_block_exchanges_its_pages)
{
	struct heap_scene s = heap_open(NULL, NULL);
	char *at = heap_block(s.heap, PAGES, 1);
	struct pmv_slot *slot = heap_slot(s.heap, at);
	struct pagemv_result res;
	size_t dirty = slot->dirty;
	void *now;

	leave_warm(s.heap);
	cr_assert(pagemv_heap_realloc(s.heap, at, 2 * MIB - MIB / 4, 0, &now,
				      &res) == 0);
	cr_expect(res.moved_bytes == t_pages(PAGES), "%zu", res.moved_bytes);
	cr_expect(res.copied_bytes == 0);
	EXPECT_RIGHT(block_wrong(s.heap, now, PAGES));
	cr_expect(((char *)now)[MIB] == (char)0xaa,
		  "pages that were there are gone");
	cr_expect(heap_slot(s.heap, now)->dirty <= 2 * MIB + t_pages(64));
	cr_expect(slot->dirty == dirty);
	cr_expect(at[0] == (char)0xaa, "no pages were left");
	heap_close(&s);
}

/* With zeros beyond its end, if it is to have them. */
Test(heap_realloc, a_small_block_that_exchanges_its_pages_has_zeros)
{
	struct heap_scene s = heap_open(NULL, NULL);
	void *at = heap_block(s.heap, PAGES, 1);

	leave_warm(s.heap);
	cr_assert(pagemv_heap_realloc(s.heap, at, 2 * MIB, PAGEMV_ALLOC_ZERO,
				      &at, NULL) == 0);
	EXPECT_RIGHT(block_wrong(s.heap, at, PAGES));
	for (size_t i = t_pages(PAGES); i < 2 * MIB; i++)
		if (((char *)at)[i])
			cr_assert_fail("byte %zu is no zero", i);
	heap_close(&s);
}

/* Nor is it copied to pages that are there, unless the caller says it may. */
Test(heap_realloc, a_small_block_that_is_pinned_is_not_copied)
{
	for (size_t i = 0; i < PAGES; i += PAGES - 1) {
		struct heap_scene s = heap_open(NULL, NULL);
		void *at = heap_block(s.heap, PAGES, 1);
		struct pagemv_result res;

		leave_warm(s.heap);
		fake_pin((char *)at + t_pages(i));
		cr_assert(pagemv_heap_realloc(s.heap, at, 2 * MIB, 0, &at,
					      &res) == 0);
		fake_behave();
		cr_expect(res.copied_bytes == 0, "%zu", res.copied_bytes);
		cr_expect(res.mechanisms & PAGEMV_MECH_BIT(PAGEMV_MECH_REMAP));
		EXPECT_RIGHT(block_wrong(s.heap, at, PAGES));
		heap_close(&s);
	}
}

/* Where pages of the free slot cannot go aside, it goes to another. */
Test(heap_realloc, a_small_block_moves_where_it_cannot_exchange)
{
	for (unsigned int nth = 1; nth <= 3; nth++) {
		struct heap_scene s = heap_open(NULL, NULL);
		void *at = heap_block(s.heap, PAGES, 1);

		leave_warm(s.heap);
		fake_fail(FAKE_MOVE, nth, -EINVAL);
		cr_assert(pagemv_heap_realloc(s.heap, at, 2 * MIB, 0, &at,
					      NULL) == 0);
		fake_behave();
		EXPECT_RIGHT(block_wrong(s.heap, at, PAGES));
		heap_close(&s);
	}
}

/* A page that is under DMA follows a block that moves. */
Test(heap_realloc, pinned_pages_are_moved_by_mremap)
{
	struct heap_scene s = heap_open(NULL, NULL);
	char *at = heap_block(s.heap, PAGES, 1);
	struct pagemv_result res;
	void *now;

	fake_pin(at + t_pages(3));
	cr_assert(pagemv_heap_realloc(s.heap, at, t_pages(PAGES),
				      PAGEMV_ALLOC_MOVE, &now, &res) == 0);
	fake_behave();
	cr_expect(res.mechanisms & PAGEMV_MECH_BIT(PAGEMV_MECH_REMAP));
	cr_expect(res.copied_bytes == 0, "%zu copied", res.copied_bytes);
	EXPECT_RIGHT(block_wrong(s.heap, now, PAGES));
	cr_expect(heap_stats(s.heap).sum.remaps == 1);
	heap_close(&s);
}

/* What is free goes back first, and it is tried again. */
Test(heap_realloc, growth_is_tried_again_without_what_is_free)
{
	struct heap_scene s = heap_open(NULL, NULL);
	void *at, *now;

	cr_assert(pagemv_heap_alloc(s.heap, 3 * MIB, 0, &at) == 0);
	fake_add((struct fake_rule){
		.call = FAKE_MPROTECT, .error = -ENOMEM, .times = 2 });
	cr_expect(pagemv_heap_realloc(s.heap, at, 32 * MIB, 0, &now, NULL) ==
		  -ENOMEM);
	fake_behave();
	leave_warm(s.heap);
	fake_add((struct fake_rule){
		.call = FAKE_MPROTECT, .error = -ENOMEM, .times = 2 });
	cr_expect(pagemv_heap_realloc(s.heap, at, 32 * MIB, 0, &now, NULL) ==
		  0);
	fake_behave();
	cr_expect(heap_stats(s.heap).warm_bytes == 0);
	cr_expect(pagemv_heap_free(s.heap, at) == 0);
	heap_close(&s);
}
