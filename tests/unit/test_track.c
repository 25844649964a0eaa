/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "track.h"

#include "scene.h"

#include <pagemv/track.h>
#include <sys/mman.h>

#include "pages.h"
#include "region.h"
#include "uffd.h"

enum mode { SYNC, ASYNC, WAYS };

static const char *const names[] = { "sync", "async" };

struct tracked {
	struct pagemv *pv;
	struct pagemv_region *region;
	char *heap;
};

#define PAGES 8

/* A tracked heap with all pages there; false where it cannot be had. */
static bool track(struct tracked *t, enum mode way)
{
	const struct pagemv_region_opts opts = {
		.size = sizeof(opts),
		.flags = PAGEMV_REGION_TRACKED,
	};

	if (!fake_is_real())
		return false;
	t->pv = scene_handle(NULL);
	if (way == ASYNC && !pmv_has(t->pv, PAGEMV_HAS_ASYNC_WP)) {
		pagemv_close(t->pv);
		return false;
	}
	if (way == SYNC)
		t->pv->facilities &= ~PAGEMV_HAS_ASYNC_WP;
	t->heap = t_map(PAGES);
	t_fill_range(t->heap, PAGES, 1);
	cr_assert_eq(pagemv_region_register(t->pv, t->heap, t_pages(PAGES),
					    &opts, &t->region, NULL),
		     0);
	fake_forget_counts();
	return true;
}

static void untrack(struct tracked *t)
{
	fake_behave();
	pagemv_close(t->pv);
	t_unmap(t->heap, PAGES);
	cr_expect_eq(fake_open_fds(), 0);
	cr_expect_eq(fake_mapped_bytes(), 0);
}

#define each_way(t)                                 \
	for (int way = next_way(t, -1); way < WAYS; \
	     untrack(t), way = next_way(t, way))

static int next_way(struct tracked *t, int way)
{
	bool first = way < 0;

	while (++way < WAYS)
		if (track(t, (enum mode)way))
			return way;
	if (first)
		cr_skip("userfaultfd is played here");
	return WAYS;
}

static int protect(const struct tracked *t)
{
	return pagemv_protect(t->pv, t->heap, t_pages(PAGES));
}

static ssize_t dirty(const struct tracked *t, uint32_t flags,
		     struct pagemv_range *ranges, void **next)
{
	return pagemv_dirty(t->pv, t->heap, t_pages(PAGES), flags, ranges,
			    PAGES, next);
}

/* In the synchronous way nobody answers faults here: as the handler would. */
static void store(const struct tracked *t, size_t page)
{
	char *at = t->heap + t_pages(page);

	pmv_track_fault(t->pv, t->region, (uintptr_t)at);
	++*(volatile char *)at;
}

/* What protects in each way. */
static enum fake_call protector(int way)
{
	return way == ASYNC ? FAKE_SCAN : FAKE_PROTECT;
}

Test(track, protects_with_one_call_and_tells_with_few)
{
	struct pagemv_range ranges[PAGES];
	struct tracked t;
	void *next;

	each_way(&t)
	{
		cr_expect_eq(protect(&t), 0);
		cr_expect_eq(fake_total(), 1, "[%s] %u", names[way],
			     fake_total());
		store(&t, 3);
		fake_forget_counts();
		cr_expect_eq(dirty(&t, PAGEMV_DIRTY_PROTECT, ranges, &next), 1);
		cr_expect_eq((char *)ranges[0].addr, t.heap + t_pages(3));
		cr_expect_eq(ranges[0].len_bytes, t_page());
		cr_expect_eq((char *)next, t.heap + t_pages(PAGES));
		cr_expect_eq(fake_count(protector(way)), 1);
		cr_expect_leq(fake_total(), 2);
	}
}

Test(track, changing_mappings_are_waited_for_and_then_told)
{
	struct pagemv_range range;
	struct tracked t;

	each_way(&t)
	{
		if (way == ASYNC)
			continue;
		fake_add((struct fake_rule){
			.call = FAKE_PROTECT, .times = 5, .error = -EAGAIN });
		cr_expect_eq(protect(&t), 0);
		cr_expect_eq(fake_count(FAKE_PROTECT), 6);
		fake_refuse(FAKE_PROTECT, -EAGAIN);
		cr_expect_eq(protect(&t), -EAGAIN);
		cr_expect_eq(fake_count(FAKE_PROTECT), 6 + PMV_IDLE_MAX + 1);
		cr_expect(fake_slept_ns() > 50000000 &&
			  fake_slept_ns() < 300000000);
		fake_behave();
		store(&t, 1);
		fake_refuse(FAKE_PROTECT, -EAGAIN);
		cr_expect_eq(dirty(&t, PAGEMV_DIRTY_PROTECT, &range, NULL),
			     -EAGAIN);
		/* Asking needs no protecting. */
		cr_expect_eq(dirty(&t, 0, &range, NULL), 1);
	}
}

Test(track, errors_of_the_kernel_have_names)
{
	static const struct {
		int kernel, told;
	} errors[] = {
		{ -ENOENT, -ENOENT }, { -EPERM, -ENOENT }, { -EBUSY, -ENOENT },
		{ -ENOMEM, -ENOMEM }, { -EINTR, -EINTR },  { -EFAULT, -EIO },
		{ -EINVAL, -EIO },
	};
	struct pagemv_range range;
	struct tracked t;

	each_way(&t)
	{
		for (size_t i = 0; i < T_COUNT(errors); i++) {
			void *next = &t;

			fake_refuse(protector(way), errors[i].kernel);
			cr_expect_eq(protect(&t), errors[i].told, "[%s] %d",
				     names[way], errors[i].kernel);
			cr_expect_eq(
				dirty(&t, PAGEMV_DIRTY_PROTECT, &range, &next),
				errors[i].told);
			cr_expect_eq(next, &t, "untouched");
			fake_behave();
		}
	}
}

Test(track, what_was_protected_before_an_error_is_told)
{
	struct pagemv_range ranges[PAGES];
	struct tracked t;
	void *next;

	each_way(&t)
	{
		if (way == ASYNC)
			continue;
		cr_assert_eq(protect(&t), 0);
		store(&t, 1);
		store(&t, 4);
		store(&t, 6);
		fake_fail(FAKE_PROTECT, 3, -ENOMEM);
		cr_expect_eq(dirty(&t, PAGEMV_DIRTY_PROTECT, ranges, &next), 2);
		cr_expect_eq((char *)ranges[1].addr, t.heap + t_pages(4));
		cr_expect_eq((char *)next, t.heap + t_pages(6));
		cr_expect_eq(dirty(&t, 0, ranges, NULL), 1);
		cr_expect_eq((char *)ranges[0].addr, t.heap + t_pages(6));
	}
}

/* The kernel stops at a mapping that was replaced, having protected what is
 * before it; its answer does not say how much. */
static void replace_page(const struct tracked *t, size_t page)
{
	char *at = t->heap + t_pages(page);

	cr_assert_neq(mmap(at, t_page(), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
		      MAP_FAILED);
	*at = 1;
}

Test(track, what_the_scan_protected_before_a_gap_is_told)
{
	struct pagemv_range ranges[PAGES];
	struct tracked t;
	void *next;

	each_way(&t)
	{
		if (way == SYNC)
			continue;
		replace_page(&t, 5);
		cr_expect_eq(dirty(&t, PAGEMV_DIRTY_PROTECT, ranges, &next), 1);
		cr_expect_eq(ranges[0].len_bytes, t_pages(5));
		cr_expect_eq((char *)next, t.heap + t_pages(5));
		cr_expect_eq(pagemv_dirty(t.pv, next, t_pages(3),
					  PAGEMV_DIRTY_PROTECT, ranges, PAGES,
					  &next),
			     -ENOENT);
		/* Only asked, it is told: it may have been written to. */
		cr_expect_eq(dirty(&t, 0, ranges, &next), 1);
		cr_expect_eq((char *)ranges[0].addr, t.heap + t_pages(5));
	}
}

Test(track, a_run_that_cannot_be_protected_as_a_whole_stays_dirty)
{
	struct pagemv_range ranges[PAGES];
	struct tracked t;

	each_way(&t)
	{
		if (way == ASYNC)
			continue;
		replace_page(&t, 5);
		cr_expect_eq(dirty(&t, PAGEMV_DIRTY_PROTECT, ranges, NULL),
			     -ENOENT);
		cr_expect_eq(dirty(&t, 0, ranges, NULL), 1);
		cr_expect_eq((char *)ranges[0].addr, t.heap);
		cr_expect_eq(ranges[0].len_bytes, t_pages(PAGES));
	}
}

Test(track, without_the_page_tables_there_is_no_tracking)
{
	struct pagemv_range range;
	struct tracked t;

	each_way(&t)
	{
		t.pv->facilities &=
			~(PAGEMV_HAS_PAGEMAP | PAGEMV_HAS_PAGEMAP_SCAN);
		cr_expect_eq(protect(&t), -EOPNOTSUPP);
		cr_expect_eq(dirty(&t, 0, &range, NULL), -EOPNOTSUPP);
	}
}

Test(track, pages_are_listed_alike_by_both_ways)
{
	struct pmv_listing by_scan[PAGES], by_read[PAGES];
	uintptr_t next, end;
	struct tracked t;

	each_way(&t)
	{
		if (way == SYNC || !pmv_has(t.pv, PAGEMV_HAS_PAGEMAP_SCAN))
			continue;
		t_drop(t.heap + t_pages(2), 1);
		cr_assert_eq(protect(&t), 0);
		store(&t, 0);
		store(&t, 4);
		store(&t, 5);
		end = (uintptr_t)t.heap + t_pages(PAGES);
		for (int which = PMV_LIST_OPEN; which <= PMV_LIST_PROTECTED;
		     which++)
			for (size_t n = 1; n <= PAGES; n++) {
				uintptr_t other;
				ssize_t a, b;

				a = pmv_pages_list(
					t.pv, which, (uintptr_t)t.heap,
					t_pages(PAGES), by_scan, n, &next);
				t.pv->facilities &= ~PAGEMV_HAS_PAGEMAP_SCAN;
				b = pmv_pages_list(
					t.pv, which, (uintptr_t)t.heap,
					t_pages(PAGES), by_read, n, &other);
				t.pv->facilities |= PAGEMV_HAS_PAGEMAP_SCAN;
				cr_expect_eq(a, b, "%d: %zd, %zd", which, a, b);
				cr_expect_eq(next, other);
				cr_expect(memcmp(by_scan, by_read,
						 (size_t)a *
							 sizeof(by_scan[0])) ==
					  0);
				cr_expect(next == end || (size_t)a == n);
			}
	}
}

Test(track, a_fault_takes_the_protection_off_one_page)
{
	struct pagemv_range range;
	struct tracked t;

	each_way(&t)
	{
		uintptr_t page = (uintptr_t)t.heap + t_pages(2);

		cr_assert_eq(protect(&t), 0);
		cr_expect_eq(pmv_track_fault(t.pv, t.region, page),
			     way == SYNC);
		if (way == ASYNC)
			continue;
		cr_expect_eq(dirty(&t, 0, &range, NULL), 1);
		cr_expect_eq((uintptr_t)range.addr, page);
		cr_expect_eq(range.len_bytes, t_page());
		/* Somebody else was there before. */
		cr_expect(pmv_track_fault(t.pv, t.region, page));
		fake_refuse(FAKE_PROTECT, -EAGAIN);
		fake_forget_counts();
		cr_expect(pmv_track_fault(t.pv, t.region, page));
		cr_expect_eq(fake_count(FAKE_WAKE), 1, "to fault again");
		fake_behave();
		fake_refuse(FAKE_PROTECT, -ENOENT);
		cr_expect(!pmv_track_fault(t.pv, t.region, page));
	}
}

/* ---- moves ---- */

Test(track, moves_of_handles_without_tracking_cost_nothing)
{
	struct scene s = scene_open(8, NULL);
	struct pagemv_result res;

	cr_expect(!pmv_tracking(s.pv));
	fake_forget_counts();
	cr_expect_eq(scene_move(&s, PAGEMV_MOVE_QUIESCENT, &res), 0);
	cr_expect_eq(fake_total(), 1);
	scene_close(&s);
}

Test(track, where_protecting_fails_after_a_move_pages_are_dirty)
{
	struct pagemv_range range;
	struct pmv_leaving l;
	struct tracked t;

	each_way(&t)
	{
		uintptr_t a = (uintptr_t)t.heap, b = a + t_pages(4);

		cr_assert_eq(protect(&t), 0);
		cr_expect(pmv_track_leave(t.pv, b, a, t_pages(4), true, &l));
		cr_expect_not_null(l.clean);
		for (size_t i = 4; i < 8; i++)
			store(&t, i);
		fake_refuse(protector(way), -ENOMEM);
		pmv_track_arrive(t.pv, &l, t_pages(4));
		fake_behave();
		cr_expect_eq(dirty(&t, 0, &range, NULL), 1);
		cr_expect_eq((uintptr_t)range.addr, b);
		cr_expect_eq(range.len_bytes, t_pages(4));
	}
}

Test(track, what_does_not_fit_into_the_bits_is_dirty)
{
	const size_t bytes = t_pages(PMV_LEAVING_PAGES + 1);
	struct pmv_leaving l;
	struct tracked t;

	each_way(&t)
	{
		struct pagemv_region_opts opts = {
			.size = sizeof(opts), .flags = PAGEMV_REGION_TRACKED
		};
		char *big = t_map(2 * (PMV_LEAVING_PAGES + 1));
		uintptr_t a = (uintptr_t)big;
		size_t mapped;

		cr_assert_eq(pagemv_region_register(t.pv, big, 2 * bytes, &opts,
						    &t.region, NULL),
			     0);
		mapped = fake_mapped_bytes();
		cr_expect(pmv_track_leave(t.pv, a + bytes, a, bytes, true, &l));
		cr_expect_not_null(l.clean);
		cr_expect_gt(fake_mapped_bytes(), mapped);
		pmv_track_arrive(t.pv, &l, bytes);
		cr_expect_eq(fake_mapped_bytes(), mapped);
		fake_refuse(FAKE_MMAP, -ENOMEM);
		cr_expect(pmv_track_leave(t.pv, a + bytes, a, bytes, true, &l));
		cr_expect_null(l.clean);
		pmv_track_arrive(t.pv, &l, bytes);
		fake_behave();
		cr_assert_eq(pagemv_region_unregister(t.region), 0);
		t_unmap(big, 2 * (PMV_LEAVING_PAGES + 1));
	}
}

Test(track, what_leaves_for_elsewhere_is_freed_of_protection)
{
	struct pmv_leaving l;
	struct tracked t;

	each_way(&t)
	{
		struct pagemv_region *quiet;
		uintptr_t a = (uintptr_t)t.heap;
		char *heap = t_map(4);

		cr_expect(!pmv_track_leave(t.pv, a, (uintptr_t)heap, t_pages(4),
					   true, &l));
		cr_assert_eq(pagemv_region_register(t.pv, heap, t_pages(4),
						    NULL, &quiet, NULL),
			     0);
		cr_expect(pmv_track_leave(t.pv, (uintptr_t)heap, a, t_pages(4),
					  true, &l));
		cr_expect_null(l.clean);
		fake_forget_counts();
		pmv_track_arrive(t.pv, &l, 0);
		cr_expect_eq(fake_count(FAKE_PROTECT), 1);
		cr_assert_eq(pagemv_region_unregister(quiet), 0);
		t_unmap(heap, 4);
	}
}
