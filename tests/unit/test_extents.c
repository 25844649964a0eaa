/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table against a model of one entry a page.
 */
#include "extents.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "fake_malloc.h"
#include "rcu.h"
#include "region.h"
#include "scene.h"
#include "slow.h"

#define PAGES	1500
#define REGIONS 5
#define BASE	((uintptr_t)1 << 30)

struct model {
	struct pagemv *pv;
	struct pagemv_region regions[REGIONS];
	struct entry {
		int region; /* -1: none */
		size_t number;
	} of[PAGES + 1]; /* the last one is nobody's */
	struct t_random random;
};

static uintptr_t address(size_t page)
{
	return BASE + t_pages(page);
}

static void model_open(struct model *m, uint64_t seed)
{
	m->pv = aligned_alloc(PMV_HANDLE_ALIGN, sizeof(*m->pv));
	memset(m->pv, 0, sizeof(*m->pv));
	memset(m->regions, 0, sizeof(m->regions));
	m->pv->page_bytes = t_page();
	pthread_mutex_init(&m->pv->region_lock, NULL);
	m->random = t_random_make(seed);
	for (size_t i = 0; i <= PAGES; i++)
		m->of[i] = (struct entry){ .region = -1 };
	cr_assert(pmv_extents_open(m->pv) == 0);
}

static void model_close(struct model *m)
{
	pmv_extents_close(m->pv);
	free(m->pv);
}

static size_t below(struct model *m, size_t n)
{
	return t_random_below(&m->random, n);
}

/* Whether the model goes on from page i to the next one. */
static bool goes_on(const struct model *m, size_t i)
{
	const struct entry *e = &m->of[i];

	return e[1].region == e->region && e[1].number == e->number + 1;
}

/* What find() should say of a page; false for nothing. */
static bool expected(const struct model *m, size_t page, struct pmv_extent *e)
{
	size_t first, end;

	while (page < PAGES && m->of[page].region < 0)
		page++;
	if (page == PAGES)
		return false;
	for (first = page; first > 0 && m->of[first - 1].region >= 0 &&
			   goes_on(m, first - 1);)
		first--;
	for (end = page; goes_on(m, end);)
		end++;
	*e = (struct pmv_extent){
		.start = address(first),
		.end = address(end + 1),
		.region =
			(struct pagemv_region *)&m->regions[m->of[page].region],
		.first = m->of[first].number,
	};
	return true;
}

static void compare_at(const struct model *m, size_t page)
{
	struct pmv_extent want = { 0 }, got = { 0 };
	bool some = expected(m, page, &want);

	cr_assert(pmv_extents_find(m->pv, address(page), &got) == some,
		  "page %zu: %d", page, some);
	if (!some)
		return;
	cr_assert(got.start == want.start && got.end == want.end &&
			  got.region == want.region && got.first == want.first,
		  "page %zu: [%zu, %zu) of %ld from %zu, not [%zu, %zu) of %ld "
		  "from %zu",
		  page, (got.start - BASE) / t_page(),
		  (got.end - BASE) / t_page(), got.region - m->regions,
		  got.first, (want.start - BASE) / t_page(),
		  (want.end - BASE) / t_page(), want.region - m->regions,
		  want.first);
	cr_assert(want.region->low <= want.start &&
			  want.region->high >= want.end,
		  "the hull of a region");
}

static void compare(const struct model *m)
{
	for (size_t i = 0; i < PAGES; i++)
		compare_at(m, i);
}

static bool occupied(const struct model *m, size_t page, size_t n)
{
	for (size_t i = page; i < page + n; i++)
		if (m->of[i].region >= 0)
			return true;
	return false;
}

static int add(struct model *m, size_t page, size_t n, int region,
	       size_t number)
{
	const struct pmv_extent e = {
		.start = address(page),
		.end = address(page + n),
		.region = &m->regions[region],
		.first = number,
	};
	bool free_before = !occupied(m, page, n);
	int rc = pmv_extents_add(m->pv, &e);

	if (rc == -ENOMEM)
		return rc;
	cr_assert((rc == 0) == free_before && (rc == 0 || rc == -EEXIST), "%d",
		  rc);
	for (size_t i = 0; rc == 0 && i < n; i++)
		m->of[page + i] = (struct entry){ region, number + i };
	return rc;
}

static int cut(struct model *m, size_t page, size_t n)
{
	int rc = pmv_extents_cut(m->pv, address(page), address(page + n));

	for (size_t i = 0; rc == 0 && i < n; i++)
		m->of[page + i].region = -1;
	return rc;
}

/* One random change. Small extents most of the time, so that there are many. */
static int change(struct model *m)
{
	size_t page = below(m, PAGES);
	size_t n = 1 + below(m, below(m, 20) ? 3 : 300);
	int region = (int)below(m, REGIONS);

	if (n > PAGES - page)
		n = PAGES - page;
	if (!below(m, 3))
		return cut(m, page, n);
	/* Numbered by place, so that neighbours are merged; or not. */
	return add(m, page, n, region, below(m, 2) ? page : 7 * page);
}

Test(extents, an_empty_table_finds_nothing)
{
	struct model m;

	model_open(&m, 1);
	compare(&m);
	cr_expect(cut(&m, 0, PAGES) == 0);
	pmv_extents_settle(m.pv);
	model_close(&m);
}

Test(extents, random_changes_agree_with_a_naive_model, .timeout = 60)
{
	static struct model m;

	for (uint64_t seed = 1; seed <= 8; seed++) {
		model_open(&m, seed + t_env("PMV_SEED", 0));
		for (int i = 0; i < 4000; i++) {
			change(&m);
			compare_at(&m, below(&m, PAGES));
			if (i % 100 == 0)
				compare(&m);
		}
		compare(&m);
		model_close(&m);
	}
}

/* Leaves that were emptied and filled again have keys that say less than their
 * extents do. */
Test(extents, what_comes_back_in_any_order_is_found)
{
	static struct model m;

	model_open(&m, 3);
	for (size_t i = 0; i < PAGES; i += 2)
		add(&m, i, 1, 0, i);
	for (size_t n = 1; n < 600; n = 3 * n / 2 + 1) {
		for (size_t i = 0; i + n <= PAGES; i += 2 * n + 1)
			cut(&m, i, n);
		compare(&m);
		for (size_t i = 0; i + n <= PAGES; i += 2 * n + 1)
			add(&m, i, n, 1, 9 * i);
		compare(&m);
	}
	model_close(&m);
}

Test(extents, neighbours_of_one_region_become_one)
{
	static struct model m;
	struct pmv_extent e;

	model_open(&m, 1);
	add(&m, 10, 5, 0, 0);
	add(&m, 20, 5, 0, 10);
	add(&m, 15, 5, 0, 5);
	compare(&m);
	cr_expect(pmv_extents_find(m.pv, address(17), &e) &&
		  e.start == address(10) && e.end == address(25));
	cut(&m, 12, 2);
	compare(&m);
	model_close(&m);
}

/* Fills the table with as many extents as need several leaves. */
static void fill(struct model *m)
{
	for (int i = 0; i < 3000; i++)
		change(m);
	compare(m);
}

Test(extents, without_memory_nothing_changes, .timeout = 60)
{
	static struct model m;
	unsigned int failed = 0;

	model_open(&m, 5);
	fill(&m);
	for (int i = 0; i < 300; i++) {
		struct model before = m;
		unsigned int nth = 1;

		for (;; nth++) {
			int rc;

			m.random = before.random;
			fake_malloc_fail(nth);
			rc = change(&m);
			fake_malloc_fail(0);
			if (rc != -ENOMEM)
				break;
			failed++;
			compare(&m);
		}
	}
	cr_expect(failed > 100, "%u", failed);
	compare(&m);
	model_close(&m);
}

Test(extents, a_change_is_undone)
{
	static struct model m;
	struct pmv_extent_plan plan;

	model_open(&m, 6);
	fill(&m);
	for (int i = 0; i < 500; i++) {
		size_t page = below(&m, PAGES - 40), n = 1 + below(&m, 40);
		struct pmv_extent e = { .start = address(page),
					.end = address(page + n),
					.region = &m.regions[0],
					.first = page };
		struct pmv_extent got;
		int rc;

		if (i % 2)
			rc = pmv_extents_plan_add(m.pv, &e, &plan);
		else
			rc = pmv_extents_plan_cut(m.pv, e.start, e.end, NULL,
						  &plan);
		if (rc < 0) {
			cr_assert(rc == -EEXIST && i % 2);
			continue;
		}
		compare_at(&m, page);
		if (i % 5 == 0) {
			pmv_extents_drop(&plan);
			continue;
		}
		pmv_extents_apply(m.pv, &plan);
		cr_expect((pmv_extents_find(m.pv, e.start, &got) &&
			   got.start <= e.start) == (i % 2 == 1));
		pmv_extents_undo(m.pv, &plan);
		compare_at(&m, page);
	}
	compare(&m);
	model_close(&m);
}

Test(extents, a_region_is_taken_out_wherever_it_is)
{
	static struct model m;
	struct pmv_extent_plan plan;

	for (uint64_t seed = 20; seed < 24; seed++) {
		model_open(&m, seed);
		fill(&m);
		for (int r = 0; r < REGIONS; r++) {
			const struct pagemv_region *region = &m.regions[r];

			cr_assert(pmv_extents_plan_cut(m.pv, region->low,
						       region->high, region,
						       &plan) == 0);
			pmv_extents_apply(m.pv, &plan);
			pmv_extents_keep(m.pv, &plan);
			for (size_t i = 0; i < PAGES; i++)
				if (m.of[i].region == r)
					m.of[i].region = -1;
			compare(&m);
		}
		model_close(&m);
	}
}

Test(extents, the_memory_of_what_was_replaced_is_freed_now_and_then)
{
	static struct model m;

	model_open(&m, 7);
	for (int i = 0; i < 1000; i++) {
		add(&m, 1, 1, 0, 0);
		cut(&m, 1, 1);
	}
	cr_expect(fake_malloc_count() > 2000);
	pmv_extents_settle(m.pv);
	cr_expect(m.pv->retired == NULL);
	model_close(&m);
}

/* ---- readers ---- */

#define LIVE 0x600du
#define GONE 0xdeadu
#define RING 64

struct race {
	struct pagemv *pv;
	struct pagemv_region regions[RING];
	atomic_bool stop;
	atomic_uint wrong;
	atomic_ulong finds;
};

/* A region's pages are numbered from where its place begins. Behind all places
 * are those that stay. */
static bool right(const struct race *r, const struct pmv_extent *e)
{
	size_t place = (size_t)(e->region - r->regions);

	if (e->start >= address(RING * 8))
		return true;
	return place < RING && e->start < e->end &&
	       e->start - address(place * 8) == t_pages(e->first) &&
	       e->end <= address(place * 8 + 8) && e->region->flags == LIVE;
}

static void *read_all(void *arg)
{
	struct race *r = arg;
	struct t_random random = t_random_make((uint64_t)(uintptr_t)&random);

	while (!atomic_load(&r->stop)) {
		uintptr_t at = address(t_random_below(&random, RING * 8));
		struct pmv_extent e;

		pmv_rcu_read_lock();
		if (!pmv_extents_find(r->pv, at, &e) || e.end <= at ||
		    !right(r, &e))
			atomic_fetch_add(&r->wrong, 1);
		pmv_rcu_read_unlock(&r->pv->extents);
		atomic_fetch_add(&r->finds, 1);
	}
	return NULL;
}

/* A region comes, is cut into parts, and goes. */
static void come_and_go(struct race *r, size_t place, size_t cut_at)
{
	struct pagemv_region *region = &r->regions[place];
	const struct pmv_extent e = { .start = address(place * 8),
				      .end = address(place * 8 + 8),
				      .region = region };

	region->flags = LIVE;
	cr_assert(pmv_extents_add(r->pv, &e) == 0);
	cr_assert(pmv_extents_cut(r->pv, e.start + t_pages(cut_at),
				  e.start + t_pages(cut_at + 1)) == 0);
	cr_assert(pmv_extents_cut(r->pv, e.start, e.end) == 0);
	pmv_extents_settle(r->pv);
	region->flags = GONE;
}

Test(extents, readers_see_no_region_that_has_gone, .timeout = 60)
{
	static struct race r;
	struct model m;
	pthread_t threads[3];
	uint64_t end;

	model_open(&m, 8);
	r.pv = m.pv;
	/* Some that stay, so that there is more than one leaf. */
	for (size_t i = 0; i < 200; i++)
		add(&m, RING * 8 + 2 * i, 1, 0, 0);
	for (size_t i = 0; i < T_COUNT(threads); i++)
		cr_assert(pthread_create(&threads[i], NULL, read_all, &r) == 0);
	end = t_now_ns() + 1000000000;
	for (size_t i = 0;
	     i < 100 || atomic_load(&r.finds) < 1000 || t_now_ns() < end; i++)
		come_and_go(&r, i % RING, i % 8);
	atomic_store(&r.stop, true);
	for (size_t i = 0; i < T_COUNT(threads); i++)
		pthread_join(threads[i], NULL);
	cr_expect(atomic_load(&r.wrong) == 0, "%u", atomic_load(&r.wrong));
	model_close(&m);
}

/* ---- many ---- */

#define MANY 100000

/* Of this thread: others may be busy as well. */
static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* In an order that is neither up nor down. */
static uint64_t time_adding(struct model *m, size_t from, size_t to)
{
	static struct pagemv_region region;
	struct pmv_extent e = { .region = &region };
	uint64_t begun = now_ns();

	for (size_t i = from; i < to; i++) {
		e.start = address(2 * (i * 7919 % MANY));
		e.end = e.start + t_page();
		cr_assert(pmv_extents_add(m->pv, &e) == 0);
	}
	return now_ns() - begun;
}

static void find_first(const struct model *m, size_t n)
{
	struct pmv_extent e;

	for (size_t i = 0; i < n; i++) {
		uintptr_t at = address(2 * (i * 7919 % MANY));

		cr_assert(pmv_extents_find(m->pv, at, &e) && e.start == at);
	}
}

/* The fastest time of some: each is so short that a processor which is taken
 * away for a moment matters. */
static uint64_t time_finding(const struct model *m, size_t n)
{
	uint64_t fastest = UINT64_MAX;

	for (int i = 0; i < 10; i++) {
		uint64_t begun = now_ns(), ns;

		find_first(m, n);
		ns = now_ns() - begun;
		fastest = ns < fastest ? ns : fastest;
	}
	return fastest;
}

/* Not against a clock: each may be slow, but not slower by their number. */
Test(extents, a_hundred_thousand_are_added_and_found_quickly, .timeout = 120)
{
	const size_t few = MANY / 100;
	uint64_t added[2], found[2];
	struct model m;

	model_open(&m, 9);
	added[0] = time_adding(&m, 0, few);
	found[0] = time_finding(&m, few);
	time_adding(&m, few, MANY - few);
	added[1] = time_adding(&m, MANY - few, MANY);
	found[1] = time_finding(&m, few);
	for (int i = 0; i < 2; i++)
		printf("# %lu ns to add one, %lu ns to find one\n",
		       (unsigned long)(added[i] / few),
		       (unsigned long)(found[i] / few));
	/* In one array it would be 200 times, and 100 if it were not sorted. */
	cr_expect(added[1] < 50 * added[0]);
	cr_expect(found[1] < 25 * found[0]);
	find_first(&m, MANY);
	model_close(&m);
}
