/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sys/prctl.h>

#include "heap_scene.h"
#include "pages.h"
#include "pin.h"

#define PAGES 16

/* From anywhere to a place in the heap that has no pages. */
struct scene_of {
	struct heap_scene s;
	char *src, *dst;
	struct pagemv_result res;
	struct pmv_transfer t;
};

static struct scene_of begin(const struct way *way)
{
	struct scene_of o = { .s = heap_open(NULL, way) };
	void *at;

	/* Where the system gives huge pages unasked, the kernel splits one
	 * first, and says so by EAGAIN. */
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	cr_assert(pagemv_heap_alloc(o.s.heap, t_pages(PAGES), 0, &at) == 0);
	o.dst = at;
	cr_assert(pagemv_heap_alloc(o.s.heap, t_pages(PAGES), 0, &at) == 0);
	o.src = at;
	t_fill_range(o.src, PAGES, 1);
	fake_forget_counts();
	return o;
}

static int transfer(struct scene_of *o)
{
	o->t = (struct pmv_transfer){ .dst = (uintptr_t)o->dst,
				      .src = (uintptr_t)o->src,
				      .bytes = t_pages(PAGES),
				      .res = &o->res };
	return pmv_transfer(o->s.heap, &o->t);
}

/* And a look whether the kernel would come back: see below. */
Test(heap_move, takes_one_call)
{
	struct scene_of o = begin(NULL);

	cr_assert(transfer(&o) == 0);
	EXPECT_RIGHT(t_check_range(o.dst, PAGES, 1));
	EXPECT_RIGHT(t_check_absent(o.src, PAGES));
	cr_expect(o.t.emptied && o.res.moved_bytes == t_pages(PAGES));
	cr_expect(fake_count(FAKE_MOVE) + fake_count(FAKE_MREMAP) == 1);
	cr_expect(fake_total() <= 2, "%u calls", fake_total());
	heap_close(&o.s);
}

Test(heap_move, also_with_holes)
{
	struct scene_of o = begin(NULL);

	t_drop(o.src + t_page(), 3);
	t_drop(o.src + t_pages(10), 1);
	cr_assert(transfer(&o) == 0);
	EXPECT_RIGHT(t_check(o.dst, 1, 1));
	EXPECT_RIGHT(t_check_absent(o.dst + t_page(), 3));
	EXPECT_RIGHT(t_check_range(o.dst + t_pages(4), 6, 5));
	EXPECT_RIGHT(t_check_absent(o.dst + t_pages(10), 1));
	EXPECT_RIGHT(t_check_range(o.dst + t_pages(11), 5, 12));
	cr_expect(fake_count(FAKE_MOVE) + fake_count(FAKE_MREMAP) == 1);
	cr_expect(fake_total() <= 2, "%u calls", fake_total());
	heap_close(&o.s);
}

/* The kernel of 6.18 moves pages, and says EEXIST. */
Test(heap_move, what_was_not_counted_has_come)
{
	struct scene_of o = begin(NULL);

	fake_add((struct fake_rule){ .call = FAKE_MOVE,
				     .error = -EEXIST,
				     .really = t_pages(5),
				     .tell = true,
				     .told = -EEXIST });
	cr_assert(transfer(&o) == 0);
	EXPECT_RIGHT(t_check_range(o.dst, PAGES, 1));
	cr_expect(o.res.repaired_bytes == t_pages(5));
	heap_close(&o.s);
}

/* mlockall() fills what becomes accessible: zeros are no page that has come. */
Test(heap_move, zeros_at_the_new_place_are_not_taken_for_pages)
{
	for (size_t i = 0; i < n_ways; i++) {
		struct scene_of o;

		if (ways[i].mechanism != PAGEMV_MECH_AUTO || ways[i].flags)
			continue;
		fake_reset();
		o = begin(&ways[i]);
		t_drop(o.src + t_pages(3), 1);
		memset(o.dst, 0, t_pages(PAGES));
		cr_assert(transfer(&o) == 0, "%s", ways[i].name);
		EXPECT_RIGHT(t_check_range(o.dst, 3, 1));
		EXPECT_RIGHT(t_check_range(o.dst + t_pages(4), PAGES - 4, 5));
		for (size_t b = 0; b < t_page(); b++)
			cr_assert(o.dst[t_pages(3) + b] == 0);
		heap_close(&o.s);
	}
}

Test(heap_move, what_cannot_be_moved_is_copied)
{
	struct scene_of o = begin(NULL);

	fake_refuse(FAKE_MOVE, -EINVAL);
	fake_refuse(FAKE_MREMAP, -ENOMEM);
	cr_assert(transfer(&o) == 0);
	fake_behave();
	EXPECT_RIGHT(t_check_range(o.dst, PAGES, 1));
	cr_expect(o.res.copied_bytes == t_pages(PAGES));
	cr_expect(!o.t.emptied);
	heap_close(&o.s);
}

/* The end of the block is a part of a huge page, which a device holds: the
 * kernel would try for ever to split it. */
Test(heap_move, a_part_of_a_huge_page_that_is_held_is_not_asked_for)
{
	const struct pagemv_heap_opts opts = {
		.size = sizeof(opts), .huge = PAGEMV_HEAP_HUGE_ALWAYS
	};
	struct heap_scene s = heap_open(&opts, NULL);
	const char *why = "no huge page to be had";
	const size_t bytes = 3 * MIB, pages = bytes / t_page();
	struct t_pin *pin = NULL;
	struct pagemv_result res;
	void *at, *to;

	cr_assert(pagemv_heap_alloc(s.heap, bytes, 0, &at) == 0);
	t_fill_range(at, pages, 1);
	if (pmv_pages_huge(s.pv, (uintptr_t)at + 2 * MIB))
		pin = t_pin((char *)at + 2 * MIB, t_page(), &why);
	if (!pin)
		cr_skip("%s", why);
	fake_forget_counts();
	cr_assert(pagemv_heap_realloc(s.heap, at, bytes, PAGEMV_ALLOC_MOVE, &to,
				      &res) == 0);
	cr_expect(fake_count(FAKE_MOVE) == 0);
	cr_expect(res.moved_bytes == bytes &&
		  res.mechanisms == PAGEMV_MECH_BIT(PAGEMV_MECH_REMAP));
	EXPECT_RIGHT(t_check_range(to, pages, 1));
	cr_expect(t_pin_write(pin, 100, "dma", 3) == 0);
	cr_expect(memcmp((char *)to + 2 * MIB + 100, "dma", 3) == 0);
	t_unpin(pin);
	cr_expect(pagemv_heap_free(s.heap, to) == 0);
	heap_close(&s);
}

/* A page that cannot be read ends it, and nothing has moved. */
Test(heap_move, a_poisoned_page_brings_all_back)
{
	struct scene_of o = begin(NULL);

	fake_add((struct fake_rule){ .call = FAKE_MOVE,
				     .error = -EAGAIN,
				     .really = t_pages(6),
				     .tell = true,
				     .told = (int64_t)t_pages(6) });
	fake_add((struct fake_rule){
		.call = FAKE_MOVE, .nth = 2, .times = 2, .error = -EFAULT });
	cr_expect(transfer(&o) == -EFAULT);
	EXPECT_RIGHT(t_check_range(o.src, PAGES, 1));
	heap_close(&o.s);
}
