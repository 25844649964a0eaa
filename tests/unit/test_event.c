/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "event.h"

#include <sys/mman.h>

#include "fake_malloc.h"
#include "rawuffd.h"
#include "region.h"
#include "scene.h"

#define PAGES	  16
#define FOLLOWING (PAGEMV_REGION_FAULTING | PAGEMV_REGION_EVENTS)

/* Regions that only the registry knows. */
struct world {
	struct pagemv *pv;
	struct pagemv_region region; /* of PAGES pages at map */
	char *map;
	char *other; /* room for as many */
};

static void add(struct world *w, struct pagemv_region *r, char *at,
		size_t pages, size_t first)
{
	struct pmv_extent e = { .start = (uintptr_t)at,
				.end = (uintptr_t)at + t_pages(pages),
				.region = r,
				.first = first };

	pthread_mutex_lock(&w->pv->region_lock);
	cr_assert(pmv_extents_add(w->pv, &e) == 0);
	pthread_mutex_unlock(&w->pv->region_lock);
}

static struct world world_open(void)
{
	struct world w = { .pv = scene_handle(NULL) };

	w.map = t_map(PAGES);
	w.other = t_map(PAGES);
	return w;
}

/* Apart from world_open(), as extents point to the region. */
static void populate(struct world *w)
{
	w->region = (struct pagemv_region){ .pv = w->pv, .flags = FOLLOWING };
	cr_assert(pmv_page_states_open(w->pv->sys, &w->region.states, PAGES,
				       t_page()) == 0);
	add(w, &w->region, w->map, PAGES, 0);
}

static void world_close(struct world *w)
{
	pthread_mutex_lock(&w->pv->region_lock);
	cr_expect(pmv_extents_cut(w->pv, 0, (uintptr_t)-t_page()) == 0);
	pthread_mutex_unlock(&w->pv->region_lock);
	pmv_page_states_close(w->pv->sys, &w->region.states);
	pagemv_close(w->pv);
}

static void tell(struct world *w, struct pmv_uffd_msg msg)
{
	pthread_mutex_lock(&w->pv->region_lock);
	pmv_event(w->pv, &msg);
	pthread_mutex_unlock(&w->pv->region_lock);
}

static void tell_remap(struct world *w, char *from, char *to, size_t pages)
{
	tell(w, (struct pmv_uffd_msg){ .event = PMV_EVENT_REMAP,
				       .from = (uintptr_t)from,
				       .to = (uintptr_t)to,
				       .bytes = t_pages(pages) });
}

static void tell_of(struct world *w, enum pmv_uffd_event event, char *from,
		    size_t pages)
{
	tell(w, (struct pmv_uffd_msg){ .event = event,
				       .from = (uintptr_t)from,
				       .bytes = t_pages(pages) });
}

/* Expects pages of r, one extent's, to be at at, counted from first. */
#define EXPECT_AT(w, r, at, pages, first_)                                     \
	do {                                                                   \
		struct pmv_extent e_;                                          \
		uintptr_t at_ = (uintptr_t)(at);                               \
		bool found_ = pmv_extents_find((w)->pv, at_, &e_) &&           \
			      e_.start <= at_;                                 \
		cr_expect(found_, "nothing is at %s", #at);                    \
		cr_expect(                                                     \
			!found_ || (e_.region == (r) &&                        \
				    e_.end >= at_ + t_pages(pages) &&          \
				    e_.first + (at_ - e_.start) / t_page() ==  \
					    (first_)),                         \
			"not pages %zu.. of it at %s", (size_t)(first_), #at); \
	} while (0)

static bool is_free(const struct world *w, const char *at, size_t pages)
{
	struct pmv_extent e;

	return !pmv_extents_find(w->pv, (uintptr_t)at, &e) ||
	       e.start >= (uintptr_t)at + t_pages(pages);
}

Test(event, remap_takes_the_pages_along)
{
	struct world w = world_open();

	populate(&w);
	tell_remap(&w, w.map + t_pages(4), w.other + t_pages(1), 8);
	EXPECT_AT(&w, &w.region, w.map, 4, 0);
	EXPECT_AT(&w, &w.region, w.map + t_pages(12), 4, 12);
	EXPECT_AT(&w, &w.region, w.other + t_pages(1), 8, 4);
	cr_expect(is_free(&w, w.map + t_pages(4), 8), "it is not there twice");
	cr_expect(is_free(&w, w.other, 1));
	cr_expect(is_free(&w, w.other + t_pages(9), 7));
	world_close(&w);
}

Test(event, remap_takes_parts_and_gaps_along)
{
	struct world w = world_open();

	populate(&w);
	tell_of(&w, PMV_EVENT_UNMAP, w.map + t_pages(5), 2);
	/* The mapping is there in the test, registered with nobody. */
	cr_assert(is_free(&w, w.map + t_pages(5), 2));
	tell_remap(&w, w.map, w.other, PAGES);
	cr_expect(is_free(&w, w.map, PAGES));
	EXPECT_AT(&w, &w.region, w.other, 5, 0);
	cr_expect(is_free(&w, w.other + t_pages(5), 2));
	EXPECT_AT(&w, &w.region, w.other + t_pages(7), 9, 7);
	world_close(&w);
}

Test(event, what_comes_back_is_one_again)
{
	struct world w = world_open();

	populate(&w);
	tell_remap(&w, w.map + t_pages(4), w.other, 8);
	tell_remap(&w, w.other, w.map + t_pages(4), 8);
	EXPECT_AT(&w, &w.region, w.map, PAGES, 0);
	cr_expect(is_free(&w, w.other, PAGES));
	world_close(&w);
}

Test(event, remap_replaces_what_was_there)
{
	struct world w = world_open();
	struct pagemv_region old = { .pv = w.pv };

	populate(&w);
	add(&w, &old, w.other, PAGES, 0);
	tell_remap(&w, w.map, w.other + t_pages(2), 3);
	EXPECT_AT(&w, &old, w.other, 2, 0);
	EXPECT_AT(&w, &w.region, w.other + t_pages(2), 3, 0);
	EXPECT_AT(&w, &old, w.other + t_pages(5), PAGES - 5, 5);
	world_close(&w);
}

Test(event, only_regions_with_events_follow)
{
	struct world w = world_open();
	struct pagemv_region quiet = { .pv = w.pv };

	populate(&w);
	add(&w, &quiet, w.other, 4, 0);
	tell_remap(&w, w.other, w.other + t_pages(8), 4);
	tell_of(&w, PMV_EVENT_UNMAP, w.other, 4);
	tell_of(&w, PMV_EVENT_GONE, w.other, 4);
	tell_of(&w, PMV_EVENT_OTHER, w.map, 4);
	EXPECT_AT(&w, &quiet, w.other, 4, 0);
	EXPECT_AT(&w, &w.region, w.map, PAGES, 0);
	cr_expect(is_free(&w, w.other + t_pages(4), PAGES - 4));
	world_close(&w);
}

Test(event, unmap_ends_a_part)
{
	struct world w = world_open();

	populate(&w);
	munmap(w.map + t_pages(3), t_pages(2));
	tell_of(&w, PMV_EVENT_UNMAP, w.map + t_pages(3), 2);
	EXPECT_AT(&w, &w.region, w.map, 3, 0);
	cr_expect(is_free(&w, w.map + t_pages(3), 2));
	EXPECT_AT(&w, &w.region, w.map + t_pages(5), 11, 5);
	world_close(&w);
}

/* The thread that unmapped it may be slower than one that maps it again. */
Test(event, unmap_does_not_end_what_has_been_registered_since)
{
	struct world w = world_open();
	int fd = t_uffd_open();

	if (fd < 0 || t_uffd_register_wp(fd, w.map, t_pages(PAGES)) < 0)
		cr_skip("no userfaultfd to register with");
	populate(&w);
	tell_of(&w, PMV_EVENT_UNMAP, w.map, PAGES);
	EXPECT_AT(&w, &w.region, w.map, PAGES, 0);
	world_close(&w);
}

Test(event, pages_thrown_away_are_absent_but_for_busy_ones)
{
	struct world w = world_open();
	const struct pmv_page_states *s = &w.region.states;
	enum pmv_page_state state;

	populate(&w);
	cr_assert(pmv_page_claim_up(s, 0, PAGES) == PAGES);
	pmv_page_release(w.pv->sys, s, 0, 6, PMV_PAGE_PRESENT);
	pmv_page_release(w.pv->sys, s, 7, PAGES - 7, PMV_PAGE_PRESENT);
	tell_of(&w, PMV_EVENT_GONE, w.map + t_pages(4), 6);
	for (size_t i = 0; i < PAGES; i++) {
		state = atomic_load(&s->of[i]);
		if (i == 6)
			cr_expect(state == PMV_PAGE_BUSY, "%zu", i);
		else if (i >= 4 && i < 10)
			cr_expect(state == PMV_PAGE_ABSENT, "%zu", i);
		else
			cr_expect(state == PMV_PAGE_PRESENT, "%zu", i);
	}
	pmv_page_release(w.pv->sys, s, 6, 1, PMV_PAGE_ABSENT);
	world_close(&w);
}

/* An event cannot be refused: mappings are as they are. */
Test(event, waits_for_memory_and_says_so_in_the_end)
{
	struct world w = world_open();

	populate(&w);
	fake_forget_counts();
	fake_malloc_fail(1);
	tell_remap(&w, w.map, w.other, PAGES);
	cr_expect(fake_count(FAKE_SLEEP) > 0);
	EXPECT_AT(&w, &w.region, w.other, PAGES, 0);
	cr_expect(is_free(&w, w.map, PAGES));
	world_close(&w);
}
