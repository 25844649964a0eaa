/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a program does to the mappings of a region with PAGEMV_REGION_EVENTS:
 * once a call has returned, the region is what the call has made of it.
 */
#include "faults.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

#define PAGES	  64
#define BESIDE_NS 300000000u

static struct fills fills;

struct stage {
	struct pagemv *pv;
	struct pagemv_handlers *handlers;
	char *heap;
	char *other; /* as many pages somewhere else */
	struct pagemv_region *region;
};

static void add_region(struct stage *s, struct pagemv_region_opts opts)
{
	opts.delivery = PAGEMV_DELIVERY_THREADS;
	opts.flags |= PAGEMV_REGION_EVENTS;
	s->region = faults_region(s->pv, s->heap, PAGES, opts);
}

static struct stage set_up(unsigned int threads, struct pagemv_region_opts opts)
{
	struct pagemv_handlers_opts o = { .size = sizeof(o),
					  .threads = threads };
	struct stage s = { .pv = faults_open() };

	s.heap = t_map(PAGES);
	s.other = t_map(PAGES);
	add_region(&s, opts);
	cr_assert_eq(pagemv_handlers_start(s.pv, &o, &s.handlers), 0);
	return s;
}

static void tear_down(struct stage *s)
{
	cr_expect_eq(pagemv_region_unregister(s->region), 0);
	cr_expect_eq(pagemv_handlers_stop(s->handlers), 0);
	pagemv_close(s->pv);
}

/* mremap() to exactly there. */
static void move_mapping(char *from, char *to, size_t pages, int flags)
{
	void *at = mremap(from, t_pages(pages), t_pages(pages),
			  MREMAP_MAYMOVE | MREMAP_FIXED | flags, to);

	cr_assert_eq(at, to, "mremap: %s", strerror(errno));
}

static void touch_all(const char *at, size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		faults_touch(at + t_pages(i));
}

static void expect_fills(size_t first, size_t n, unsigned int times)
{
	for (size_t i = first; i < first + n; i++)
		cr_expect_eq(fills.of[i], times, "page %zu: filled %u times", i,
			     fills.of[i]);
}

/* ---- mremap() ---- */

Test(events, a_region_goes_where_mremap_takes_it, .timeout = 60)
{
	struct stage s = set_up(1, faults_by(&fills));

	touch_all(s.heap, 8);
	move_mapping(s.heap, s.other, PAGES, 0);
	faults_right(t_check_range(s.other, 8, 1));
	faults_right(t_check_absent(s.other + t_pages(8), PAGES - 8));
	touch_all(s.other, PAGES);
	faults_right(t_check_range(s.other, PAGES, 1));
	expect_fills(0, PAGES, 1);
	tear_down(&s);
}

Test(events, parts_of_a_region_go_as_well, .timeout = 60)
{
	struct stage s = set_up(2, faults_by(&fills));

	move_mapping(s.heap + t_pages(20), s.other + t_pages(3), 10, 0);
	touch_all(s.heap, 20);
	touch_all(s.heap + t_pages(30), PAGES - 30);
	touch_all(s.other + t_pages(3), 10);
	faults_right(t_check_range(s.heap, 20, 1));
	faults_right(t_check_range(s.heap + t_pages(30), PAGES - 30, 31));
	faults_right(t_check_range(s.other + t_pages(3), 10, 21));
	expect_fills(0, PAGES, 1);
	tear_down(&s);
}

Test(events, the_next_access_finds_it_there_every_time, .timeout = 60)
{
	struct stage s = set_up(3, faults_by(&fills));
	char *at = s.heap;

	for (size_t i = 0; i < 1000; i++) {
		size_t page = i * 7 % PAGES;
		/* The place that it leaves may be anybody's. */
		char *to = t_map(PAGES);

		move_mapping(at, to, PAGES, 0);
		at = to;
		faults_touch(at + t_pages(page));
		faults_right(t_check(at + t_pages(page), page + 1, 1));
		if (page == 0)
			t_drop(at, PAGES);
	}
	tear_down(&s);
}

Test(events, populate_finds_it_there, .timeout = 60)
{
	struct stage s = set_up(2, faults_by(&fills));
	char *at = s.heap;

	for (int i = 0; i < 500; i++) {
		char *to = t_map(PAGES);
		int rc;

		move_mapping(at, to, PAGES, 0);
		at = to;
		rc = pagemv_populate(s.pv, at, t_pages(2), NULL);
		cr_assert_eq(rc, 0, "%d: %d", i, rc);
	}
	expect_fills(0, 2, 1);
	tear_down(&s);
}

Test(events, what_it_grows_by_is_memory_as_any_other, .timeout = 60)
{
	struct stage s = set_up(1, faults_by(&fills));
	char *to = t_map(2 * PAGES);
	void *at;

	at = mremap(s.heap, t_pages(PAGES), t_pages(2 * PAGES),
		    MREMAP_MAYMOVE | MREMAP_FIXED, to);
	cr_assert_eq(at, to);
	touch_all(to, 2 * PAGES);
	faults_right(t_check_range(to, PAGES, 1));
	faults_right(t_check_zero(to + t_pages(PAGES), PAGES));
	for (size_t i = PAGES; i < 2 * PAGES; i++)
		memset(to + t_pages(i), 1, t_page());
	expect_fills(0, PAGES, 1);
	tear_down(&s);
}

Test(events, what_stays_behind_is_memory_as_any_other, .timeout = 60)
{
	struct stage s = set_up(2, faults_by(&fills));

	touch_all(s.heap, 8);
	move_mapping(s.heap, s.other, PAGES, MREMAP_DONTUNMAP);
	touch_all(s.heap, PAGES);
	faults_right(t_check_zero(s.heap, PAGES));
	touch_all(s.other, PAGES);
	faults_right(t_check_range(s.other, PAGES, 1));
	expect_fills(0, PAGES, 1);
	tear_down(&s);
}

/* ---- munmap() ---- */

Test(events, munmap_ends_a_part, .timeout = 60)
{
	struct stage s = set_up(1, faults_by(&fills));

	touch_all(s.heap, PAGES / 2);
	cr_assert_eq(munmap(s.heap + t_pages(10), t_pages(40)), 0);
	touch_all(s.heap, 10);
	touch_all(s.heap + t_pages(50), PAGES - 50);
	faults_right(t_check_range(s.heap, 10, 1));
	faults_right(t_check_range(s.heap + t_pages(50), PAGES - 50, 51));
	tear_down(&s);
}

/* The registry does not lag behind. */
Test(events, memory_can_be_registered_as_soon_as_it_is_mapped_again,
     .timeout = 60)
{
	struct stage s = set_up(2, faults_by(&fills));
	struct pagemv_region *old;

	for (unsigned int i = 0; i < 500; i++) {
		void *at;

		faults_touch(s.heap + t_pages(i % PAGES));
		cr_assert_eq(munmap(s.heap, t_pages(PAGES)), 0);
		at = mmap(s.heap, t_pages(PAGES), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
			  0);
		cr_assert_eq(at, s.heap);
		old = s.region;
		add_region(&s, faults_by(&fills));
		cr_expect_eq(pagemv_region_unregister(old), 0);
	}
	touch_all(s.heap, PAGES);
	faults_right(t_check_range(s.heap, PAGES, 1));
	tear_down(&s);
}

/* ---- madvise() ---- */

Test(events, pages_thrown_away_come_again, .timeout = 60)
{
	struct stage s = set_up(2, faults_by(&fills));

	touch_all(s.heap, PAGES);
	memset(s.heap + t_pages(3), 7, t_page());
	t_drop(s.heap + t_pages(2), 10);
	touch_all(s.heap, PAGES);
	faults_right(t_check_range(s.heap, PAGES, 1));
	expect_fills(0, 2, 1);
	expect_fills(2, 10, 2);
	expect_fills(12, PAGES - 12, 1);
	tear_down(&s);
}

Test(events, pages_thrown_away_come_with_their_neighbours, .timeout = 60)
{
	struct pagemv_region_opts opts = faults_by(&fills);
	struct stage s;

	opts.around_pages = 16;
	opts.flags = PAGEMV_REGION_AROUND_FIXED;
	s = set_up(1, opts);
	touch_all(s.heap, PAGES);
	cr_expect_eq(fills.calls, PAGES / 16);
	t_drop(s.heap, PAGES);
	faults_touch(s.heap + t_pages(20));
	cr_expect_eq(fills.calls, PAGES / 16 + 1);
	faults_right(t_check_range(s.heap + t_pages(16), 16, 17));
	tear_down(&s);
}

/* ---- threads beside ---- */

struct thrower {
	pthread_t thread;
	char *heap;
	bool stop; /* atomic */
};

static void *throw_away(void *arg)
{
	struct thrower *t = arg;
	struct t_random random = t_random_make(1);

	while (!__atomic_load_n(&t->stop, __ATOMIC_RELAXED)) {
		t_drop(t->heap + t_pages(t_random_below(&random, PAGES - 4)),
		       4);
		/* Else mappings are changing nearly all the time. */
		usleep(50);
	}
	return NULL;
}

Test(events, faults_end_while_mappings_change, .timeout = 60)
{
	struct stage s = set_up(2, faults_by(&fills));
	struct thrower t = { .heap = s.heap };
	uint64_t end = t_now_ns() + BESIDE_NS;

	cr_assert_eq(pthread_create(&t.thread, NULL, throw_away, &t), 0);
	for (size_t i = 0; t_now_ns() < end; i++) {
		struct t_head *head =
			(struct t_head *)(s.heap + t_pages(i * 5 % PAGES));

		cr_assert_eq(*(volatile uint64_t *)&head->id,
			     i * 5 % PAGES + 1);
	}
	__atomic_store_n(&t.stop, true, __ATOMIC_RELAXED);
	pthread_join(t.thread, NULL);
	tear_down(&s);
}

Test(events, pages_can_be_populated_while_mappings_change, .timeout = 60)
{
	struct stage s = set_up(1, faults_by(&fills));
	struct thrower t = { .heap = s.heap };
	uint64_t end = t_now_ns() + BESIDE_NS;

	cr_assert_eq(pthread_create(&t.thread, NULL, throw_away, &t), 0);
	for (size_t i = 0; t_now_ns() < end; i++) {
		int rc = pagemv_populate(s.pv, s.heap, t_pages(PAGES), NULL);

		cr_assert_eq(rc, 0, "populate: %d", rc);
		faults_touch(s.heap + t_pages(i % PAGES));
	}
	__atomic_store_n(&t.stop, true, __ATOMIC_RELAXED);
	pthread_join(t.thread, NULL);
	tear_down(&s);
}

/* ---- fork() ---- */

static int child_without(void *arg)
{
	struct stage *s = arg;
	int wrong = 0;

	wrong |= t_check_range(s->heap, 8, 1) != NULL;
	wrong |= faults_touch(s->heap + t_pages(8)) != 0;
	wrong |= t_check_zero(s->heap + t_pages(8), 1) != NULL;
	/* Nobody has to be told. */
	wrong |= munmap(s->heap, t_pages(PAGES)) != 0;
	return wrong;
}

Test(events, a_child_has_no_region, .timeout = 60)
{
	struct stage s = set_up(1, faults_by(&fills));

	touch_all(s.heap, 8);
	cr_expect_eq(t_in_child(child_without, &s), 0);
	expect_fills(8, PAGES - 8, 0);
	touch_all(s.heap, PAGES);
	faults_right(t_check_range(s.heap, PAGES, 1));
	tear_down(&s);
}
