/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Evacuation as it is meant to go: both orders of flip, each way of bringing
 * pages, work by the program's threads and by the library's, threads that touch
 * pages, cycle after cycle. What goes wrong: test_evac_wrong.c.
 */
#include "evacs.h"

#include <pthread.h>
#include <sys/mman.h>

#define PAGES 4096
#define FROM  3000

TestSuite(evac, .timeout = 120);

static struct evac_stage stage;

static void touch(size_t k)
{
	const char *wrong = compact_page(&stage.c, stage.space, k);

	cr_expect(!wrong, "page %zu: %s", k, wrong);
}

/* ---- whole cycles ---- */

static void work_cycles(const struct evac_way *way, uint32_t flip)
{
	struct pagemv_stats stats = { .size = sizeof(stats) };
	struct evac_stage *s = &stage;

	s->pages = PAGES;
	compact_open(&s->c, FROM);
	if (!evac_open(s, way, (struct pagemv_evac_opts){ 0 }))
		return;
	for (int cycle = 0; cycle < 3; cycle++) {
		evac_flip(s, flip);
		while (pagemv_evac_work(s->evac, 100) > 0)
			;
		cr_expect_eq(pagemv_evac_wait(s->evac), 0);
		evac_expect_once(s);
		evac_expect_done(s);
	}
	cr_expect_eq(evac_progress(s).cycles, 3);
	cr_expect_eq(pagemv_stats(s->pv, &stats), 0);
	cr_expect_eq(stats.evac_cycles, 3);
	cr_expect_eq(stats.evac_pages, 3 * s->c.to);
	cr_expect_eq(stats.evac_fault_pages, 0);
	cr_expect(stats.evac_calls >= 3 && stats.evac_calls < 3 * s->c.to);
	cr_expect_eq(evac_progress(s).window_pages, 0);
	evac_close(s);
}

Test(evac, cycles_in_both_orders_and_all_ways)
{
	for (size_t i = 0; i < T_COUNT(evac_ways); i++) {
		work_cycles(&evac_ways[i], PAGEMV_FLIP_AUTO);
		work_cycles(&evac_ways[i], PAGEMV_FLIP_REGISTERED);
		work_cycles(&evac_ways[i], PAGEMV_FLIP_FAST);
	}
}

Test(evac, the_order_is_what_was_asked_for)
{
	static const uint32_t flips[] = { PAGEMV_FLIP_REGISTERED,
					  PAGEMV_FLIP_FAST };

	evac_stage(&stage, PAGES, FROM, (struct pagemv_evac_opts){ 0 });
	for (size_t i = 0; i < T_COUNT(flips); i++) {
		evac_flip(&stage, flips[i]);
		cr_expect_eq(evac_progress(&stage).flip, flips[i]);
		cr_expect(evac_progress(&stage).flip_ns > 0);
		cr_expect_eq(pagemv_evac_wait(stage.evac), 0);
		evac_expect_done(&stage);
	}
	evac_close(&stage);
}

/* Without STILL the space never is without its registration. */
Test(evac, auto_is_fast_only_where_nothing_touches_the_space)
{
	struct pagemv_evac_cycle cycle = { .size = sizeof(cycle),
					   .used_bytes = t_pages(FROM),
					   .to_bytes = t_pages(FROM / 2) };
	static const struct {
		uint32_t flags, flip;
	} cases[] = { { 0, PAGEMV_FLIP_REGISTERED },
		      { PAGEMV_EVAC_STILL, PAGEMV_FLIP_FAST } };

	evac_stage(&stage, PAGES, FROM, (struct pagemv_evac_opts){ 0 });
	for (size_t i = 0; i < T_COUNT(cases); i++) {
		compact_fill(&stage.c, stage.space);
		cycle.flags = cases[i].flags;
		cr_assert_eq(pagemv_evac_begin(stage.evac, &cycle), 0);
		cr_assert_eq(pagemv_evac_flip(stage.evac), 0);
		cr_expect_eq(evac_progress(&stage).flip, cases[i].flip);
		cr_expect_eq(pagemv_evac_wait(stage.evac), 0);
		evac_expect_done(&stage);
	}
	evac_close(&stage);
}

/* ---- threads that touch pages ---- */

Test(evac, a_thread_produces_the_page_that_it_touches)
{
	evac_stage(&stage, PAGES, 200, (struct pagemv_evac_opts){ 0 });
	evac_flip(&stage, PAGEMV_FLIP_AUTO);
	for (size_t k = stage.c.to; k-- > 0;)
		touch(k);
	evac_expect_once(&stage);
	cr_expect_eq(evac_progress(&stage).by_faults, stage.c.to);
	cr_expect_eq(pagemv_evac_work(stage.evac, 10), 0);
	evac_expect_done(&stage);
	evac_close(&stage);
}

/* Those around it come with it, by few calls; fewer than asked for at the end.
 */
Test(evac, pages_around_it_come_with_it)
{
	struct evac_stage *s = &stage;

	s->c.plain = true;
	evac_stage(s, PAGES, 200,
		   (struct pagemv_evac_opts){ .around_pages = 32 });
	evac_flip(s, PAGEMV_FLIP_AUTO);
	touch(40);
	cr_expect_eq(evac_progress(s).by_faults, 32);
	cr_expect(evac_progress(s).kernel_calls <= 2);
	for (size_t k = 32; k < 64; k++)
		cr_expect(t_present(s->space + t_pages(k)), "page %zu", k);
	touch(99);
	cr_expect_eq(evac_progress(s).by_faults, 32 + 4);
	cr_expect_eq(pagemv_evac_wait(s->evac), 0);
	evac_expect_once(s);
	evac_expect_done(s);
	evac_close(s);
}

Test(evac, as_many_as_the_header_says_if_nothing_is_said)
{
	evac_stage(&stage, PAGES, 200, (struct pagemv_evac_opts){ 0 });
	evac_flip(&stage, PAGEMV_FLIP_AUTO);
	touch(0);
	cr_expect_eq(evac_progress(&stage).by_faults,
		     PAGEMV_EVAC_AROUND_DEFAULT);
	cr_expect_eq(pagemv_evac_wait(stage.evac), 0);
	evac_expect_done(&stage);
	evac_close(&stage);
}

static size_t count_present(const char *addr, size_t pages)
{
	size_t n = 0;

	for (size_t i = 0; i < pages; i++)
		n += t_present(addr + t_pages(i));
	return n;
}

/* Touched all over the space, ahead of all workers: what is there for it goes
 * from from-space. Without islands there would be FROM / 2 more. */
Test(evac, pages_that_are_touched_ahead_take_little_memory)
{
	struct pagemv_evac_info info = { .size = sizeof(info) };
	struct evac_stage *s = &stage;
	size_t kept;

	s->c.plain = true;
	evac_stage(s, PAGES, FROM, (struct pagemv_evac_opts){ 0 });
	pagemv_evac_info(s->evac, &info);
	evac_flip(s, PAGEMV_FLIP_AUTO);
	for (size_t k = s->c.to; k > 40; k -= 7)
		touch(k - 1);
	kept = count_present(s->space, s->c.to) +
	       count_present(info.shadow, FROM);
	cr_expect(kept < FROM + FROM / 4, "%zu of %d", kept, FROM);
	cr_expect_eq(pagemv_evac_wait(s->evac), 0);
	evac_expect_once(s);
	evac_expect_done(s);
	evac_close(s);
}

/* Pieces of scratch and the gaps that are to be filled do not end at the same
 * pages: mostly one call a gap all the same. */
Test(evac, a_run_goes_on_where_its_scratch_does)
{
	struct evac_stage *s = &stage;
	struct pagemv_evac_info info = { .size = sizeof(info) };
	uint64_t calls;

	s->c.plain = true;
	evac_stage(s, PAGES, FROM,
		   (struct pagemv_evac_opts){ .run_pages = 32,
					      .around_pages = 1 });
	pagemv_evac_info(s->evac, &info);
	evac_flip(s, PAGEMV_FLIP_AUTO);
	for (size_t k = 0; k < s->c.to; k += 24)
		touch(k);
	calls = evac_progress(s).kernel_calls;
	cr_expect_eq(pagemv_evac_wait(s->evac), 0);
	calls = evac_progress(s).kernel_calls - calls;
	if (info.how == PAGEMV_EVAC_BY_MOVE)
		cr_expect(calls <= s->c.to / 24 * 3 / 2, "%" PRIu64, calls);
	evac_expect_done(s);
	evac_close(s);
}

static void touch_by(uint32_t single)
{
	struct evac_stage *s = &stage;

	s->c.plain = true;
	evac_stage(s, PAGES, 600,
		   (struct pagemv_evac_opts){ .single = single });
	evac_flip(s, PAGEMV_FLIP_AUTO);
	/* So that there is something to recycle. */
	cr_expect(pagemv_evac_work(s->evac, 100) > 0);
	for (size_t k = 0; k < s->c.to; k++)
		touch(k);
	evac_expect_once(s);
	evac_expect_done(s);
}

Test(evac, a_touched_page_comes_by_copy_or_by_move)
{
	struct pagemv_evac_info info = { .size = sizeof(info) };
	struct pagemv_evac_progress p;

	touch_by(PAGEMV_MECH_COPY);
	pagemv_evac_info(stage.evac, &info);
	p = evac_progress(&stage);
	cr_expect(p.copied_pages >= 200);
	evac_close(&stage);
	touch_by(PAGEMV_MECH_MOVE);
	p = evac_progress(&stage);
	if (info.how == PAGEMV_EVAC_BY_MOVE) {
		cr_expect_eq(p.copied_pages, 0);
		cr_expect(p.recycled_pages >= 200, "%" PRIu64,
			  p.recycled_pages);
	}
	evac_close(&stage);
}

Test(evac, handler_threads_produce_it)
{
	struct pagemv_handlers *handlers;

	evac_stage(&stage, PAGES, 200,
		   (struct pagemv_evac_opts){
			   .delivery = PAGEMV_DELIVERY_THREADS });
	cr_assert_eq(pagemv_handlers_start(stage.pv, NULL, &handlers), 0);
	for (int cycle = 0; cycle < 4; cycle++) {
		evac_flip(&stage, cycle % 2 ? PAGEMV_FLIP_FAST
					    : PAGEMV_FLIP_REGISTERED);
		for (size_t k = 0; k < stage.c.to; k++)
			touch(k);
		/* Its thread goes on before the handler is through with it. */
		cr_expect_eq(pagemv_evac_wait(stage.evac), 0);
		evac_expect_once(&stage);
		evac_expect_done(&stage);
	}
	cr_expect_eq(pagemv_handlers_stop(handlers), 0);
	evac_close(&stage);
}

/* ---- several threads ---- */

#define MUTATORS 3

struct mutators {
	pthread_barrier_t stopped;
	pthread_barrier_t restarted;
	pthread_t threads[MUTATORS];
	bool end;
	bool stop;
	uint64_t reads;
};

static struct mutators mutators;

static void *mutate(void *arg)
{
	struct mutators *m = &mutators;
	struct t_random random = t_random_make((uintptr_t)arg + 1);

	for (;;) {
		pthread_barrier_wait(&m->restarted);
		if (__atomic_load_n(&m->end, __ATOMIC_RELAXED))
			return NULL;
		while (!__atomic_load_n(&m->stop, __ATOMIC_RELAXED)) {
			size_t k = t_random_below(&random, stage.c.to);
			const char *wrong =
				compact_page(&stage.c, stage.space, k);

			if (wrong)
				compact_wrong(&stage.c, wrong);
			__atomic_fetch_add(&m->reads, 1, __ATOMIC_RELAXED);
		}
		pthread_barrier_wait(&m->stopped);
	}
}

static void restart(bool end)
{
	__atomic_store_n(&mutators.stop, false, __ATOMIC_RELAXED);
	__atomic_store_n(&mutators.end, end, __ATOMIC_RELAXED);
	pthread_barrier_wait(&mutators.restarted);
}

static void stop(void)
{
	__atomic_store_n(&mutators.stop, true, __ATOMIC_RELAXED);
	pthread_barrier_wait(&mutators.stopped);
}

static void run_beside_mutators(struct pagemv_evac_opts opts, int cycles)
{
	evac_stage(&stage, PAGES, FROM, opts);
	pthread_barrier_init(&mutators.stopped, NULL, MUTATORS + 1);
	pthread_barrier_init(&mutators.restarted, NULL, MUTATORS + 1);
	for (size_t i = 0; i < MUTATORS; i++)
		pthread_create(&mutators.threads[i], NULL, mutate, (void *)i);
	for (int cycle = 0; cycle < cycles; cycle++) {
		evac_flip(&stage, cycle % 2 ? PAGEMV_FLIP_FAST
					    : PAGEMV_FLIP_REGISTERED);
		restart(false);
		cr_expect_eq(pagemv_evac_run(stage.evac), 0);
		cr_expect_eq(pagemv_evac_wait(stage.evac), 0);
		evac_expect_once(&stage);
		evac_expect_done(&stage);
		stop();
		cr_expect(!stage.c.wrong, "%s", stage.c.wrong);
	}
	restart(true);
	for (size_t i = 0; i < MUTATORS; i++)
		pthread_join(mutators.threads[i], NULL);
	cr_expect(mutators.reads > 0);
	evac_close(&stage);
}

Test(evac, workers_beside_threads_that_touch_all_the_time)
{
	run_beside_mutators((struct pagemv_evac_opts){ .workers = 2 }, 10);
}

Test(evac, the_same_with_short_runs_moved_pages_and_little_kept)
{
	run_beside_mutators(
		(struct pagemv_evac_opts){ .workers = 3,
					   .run_pages = 3,
					   .single = PAGEMV_MECH_MOVE,
					   .keep_bytes = t_page() },
		10);
}

Test(evac, no_workers_and_the_thread_that_waits_works)
{
	run_beside_mutators((struct pagemv_evac_opts){ 0 }, 4);
}

/* ---- runs ---- */

/* Pages that need no compaction: page for page, many in one call. */
Test(evac, dense_pages_are_moved_in_runs)
{
	struct pagemv_evac_progress p;

	stage.c.dense = true;
	evac_stage(&stage, PAGES, 2048, (struct pagemv_evac_opts){ 0 });
	evac_flip(&stage, PAGEMV_FLIP_AUTO);
	cr_expect_eq(pagemv_evac_wait(stage.evac), 0);
	p = evac_progress(&stage);
	cr_expect_eq(p.moved_pages, 2048);
	cr_expect(p.kernel_calls <= 2048 / PAGEMV_EVAC_RUN_DEFAULT + 1,
		  "%" PRIu64 " calls", p.kernel_calls);
	evac_expect_once(&stage);
	evac_expect_done(&stage);
	evac_close(&stage);
}

Test(evac, runs_are_as_long_as_was_asked_for)
{
	struct pagemv_evac_info info = { .size = sizeof(info) };
	struct pagemv_evac_progress p;

	stage.c.plain = true;
	evac_stage(&stage, PAGES, PAGES,
		   (struct pagemv_evac_opts){ .run_pages = 512 });
	evac_flip(&stage, PAGEMV_FLIP_AUTO);
	cr_expect_eq(pagemv_evac_wait(stage.evac), 0);
	p = evac_progress(&stage);
	pagemv_evac_info(stage.evac, &info);
	cr_expect_eq(info.run_pages, 512);
	if (info.how == PAGEMV_EVAC_BY_MOVE)
		cr_expect(p.kernel_calls < 16, "%" PRIu64 " calls",
			  p.kernel_calls);
	evac_expect_done(&stage);
	evac_close(&stage);
}

static pthread_t toucher;

static void *touch_5(void *arg)
{
	touch(5);
	return arg;
}

/* Page 5 has been written and not brought yet when a thread comes to it. The
 * run would go on to page 63. */
static int touch_meanwhile(struct compact *c, struct pagemv_produce *p)
{
	size_t k = p->off_bytes / t_page();

	if (k == 10) {
		cr_expect(!t_present(stage.space + t_pages(5)));
		pthread_create(&toucher, NULL, touch_5, NULL);
	}
	if (k > 10 && k < 60 && !c->mine) {
		t_sleep_ms(20); /* until it waits */
		c->mine = (void *)(intptr_t)t_present(stage.space + t_pages(5));
	}
	return COMPACT_GO_ON;
}

Test(evac, a_run_ends_where_somebody_waits_for_it)
{
	stage.c.plain = true;
	evac_stage(&stage, PAGES, 256, (struct pagemv_evac_opts){ 0 });
	evac_flip(&stage, PAGEMV_FLIP_AUTO);
	stage.c.hook = touch_meanwhile;
	cr_expect_eq(pagemv_evac_wait(stage.evac), 0);
	pthread_join(toucher, NULL);
	cr_expect(stage.c.mine, "it waits for the end of the run");
	evac_expect_once(&stage);
	evac_expect_done(&stage);
	evac_close(&stage);
}

/* Nearly all pages are written in pages that from-space no longer needs. */
Test(evac, from_space_is_recycled)
{
	struct pagemv_evac_info info = { .size = sizeof(info) };
	struct pagemv_evac_progress p;

	stage.c.plain = true;
	evac_stage(&stage, PAGES, PAGES, (struct pagemv_evac_opts){ 0 });
	pagemv_evac_info(stage.evac, &info);
	if (info.how != PAGEMV_EVAC_BY_MOVE)
		cr_skip("UFFDIO_MOVE is not available here");
	evac_flip(&stage, PAGEMV_FLIP_AUTO);
	cr_expect_eq(pagemv_evac_wait(stage.evac), 0);
	p = evac_progress(&stage);
	cr_expect(p.fresh_pages <= 2 * PAGEMV_EVAC_RUN_DEFAULT, "%" PRIu64,
		  p.fresh_pages);
	cr_expect(p.recycled_pages + p.fresh_pages >= stage.c.to);
	cr_expect_eq(p.copied_pages, 0);
	cr_expect_eq(p.done_bytes, t_pages(PAGES - 1));
	evac_expect_done(&stage);
	evac_close(&stage);
}

static uint64_t returned(size_t keep_bytes)
{
	uint64_t pages;

	stage.c.plain = true;
	evac_stage(&stage, PAGES, PAGES,
		   (struct pagemv_evac_opts){ .keep_bytes = keep_bytes });
	evac_flip(&stage, PAGEMV_FLIP_AUTO);
	cr_expect_eq(pagemv_evac_wait(stage.evac), 0);
	pages = evac_progress(&stage).returned_pages;
	evac_expect_done(&stage);
	evac_close(&stage);
	return pages;
}

Test(evac, what_is_not_kept_is_given_back_meanwhile)
{
	cr_expect(returned(t_page()) >= PAGES / 4);
	cr_expect_eq(returned(t_pages(PAGES)), 0);
}

/* ---- beside to-space ---- */

Test(evac, above_to_space_and_between_cycles_pages_are_zeros)
{
	evac_stage(&stage, PAGES, 256, (struct pagemv_evac_opts){ 0 });
	cr_expect_eq(*(volatile char *)(stage.space + t_pages(300)), 0);
	evac_flip(&stage, PAGEMV_FLIP_AUTO);
	for (size_t i = stage.c.to; i < PAGES; i += 7)
		cr_expect_eq(*(volatile char *)(stage.space + t_pages(i)), 0);
	cr_expect_eq(pagemv_evac_wait(stage.evac), 0);
	evac_expect_done(&stage);
	evac_close(&stage);
}

Test(evac, what_is_not_used_stays_where_it_is)
{
	evac_stage(&stage, PAGES, 256, (struct pagemv_evac_opts){ 0 });
	t_fill_range(stage.space + t_pages(256), 64, 1000);
	evac_flip(&stage, PAGEMV_FLIP_FAST);
	cr_expect(!t_check_range(stage.space + t_pages(256), 64, 1000));
	cr_expect_eq(pagemv_evac_wait(stage.evac), 0);
	evac_expect_done(&stage);
	cr_expect(!t_check_range(stage.space + t_pages(256), 64, 1000));
	evac_close(&stage);
}

/* It is not produced a second time, as its objects may have changed. */
Test(evac, a_page_that_was_thrown_away_is_zeros)
{
	evac_stage(&stage, PAGES, 256,
		   (struct pagemv_evac_opts){ .around_pages = 1 });
	evac_flip(&stage, PAGEMV_FLIP_AUTO);
	touch(7);
	t_drop(stage.space + t_pages(8), 1);
	touch(8);
	t_drop(stage.space + t_pages(8), 1);
	cr_expect_eq(*(volatile char *)(stage.space + t_pages(8)), 0);
	cr_expect_eq(pagemv_evac_wait(stage.evac), 0);
	evac_expect_once(&stage);
	cr_expect_eq(*(volatile char *)(stage.space + t_pages(8)), 0);
	t_fill(stage.space + t_pages(8), 9, stage.c.version + 1);
	evac_expect_done(&stage);
	evac_close(&stage);
}

/* A large object, brought by the program itself. */
Test(evac, pages_that_the_program_moves_in_count)
{
	struct pagemv_evac_info info = { .size = sizeof(info) };

	stage.c.dense = true;
	evac_stage(&stage, PAGES, 256, (struct pagemv_evac_opts){ 0 });
	pagemv_evac_info(stage.evac, &info);
	evac_flip(&stage, PAGEMV_FLIP_AUTO);
	cr_assert_eq(pagemv_move(stage.pv, stage.space + t_pages(100),
				 (char *)info.shadow + t_pages(100),
				 t_pages(50), NULL, NULL),
		     0);
	for (size_t k = 100; k < 150; k++)
		t_fill(stage.space + t_pages(k), k + 1, stage.c.version + 1);
	cr_expect_eq(pagemv_evac_wait(stage.evac), 0);
	cr_expect_eq(evac_progress(&stage).other_pages, 50);
	cr_expect_eq(stage.c.asked[100], 0);
	evac_expect_done(&stage);
	evac_close(&stage);
}

Test(evac, nothing_survives)
{
	evac_stage(&stage, PAGES, 256,
		   (struct pagemv_evac_opts){ .workers = 1 });
	stage.c.to = 0;
	evac_flip(&stage, PAGEMV_FLIP_AUTO);
	cr_expect_eq(pagemv_evac_run(stage.evac), 0);
	cr_expect_eq(pagemv_evac_wait(stage.evac), 0);
	cr_expect_eq(*(volatile char *)stage.space, 0);
	evac_expect_done(&stage);
	evac_close(&stage);
}

/* ---- memory of the program's ---- */

Test(evac, the_program_maps_space_and_shadow)
{
	char *space = t_map(512), *shadow = t_map(512);

	/* Several mappings: the flip takes each by itself. */
	t_split_mapping(space + t_pages(100), 50);
	for (size_t i = 0; i < T_COUNT(evac_ways); i++) {
		stage = (struct evac_stage){ .pages = 512 };
		compact_open(&stage.c, 400);
		if (!evac_open(&stage, &evac_ways[i],
			       (struct pagemv_evac_opts){ .space = space,
							  .shadow = shadow }))
			continue;
		cr_expect_eq(stage.space, space);
		for (int cycle = 0; cycle < 4; cycle++) {
			evac_flip(&stage, cycle % 2 ? PAGEMV_FLIP_FAST
						    : PAGEMV_FLIP_REGISTERED);
			cr_expect_eq(pagemv_evac_wait(stage.evac), 0);
			evac_expect_done(&stage);
		}
		evac_close(&stage);
		t_drop(space, 512);
	}
	t_unmap(space, 512);
	t_unmap(shadow, 512);
}

Test(evac, pages_that_were_there_before_it_was_opened)
{
	char *space = t_map(512), *shadow = t_map(512);

	stage.pages = 512;
	compact_open(&stage.c, 400);
	compact_fill(&stage.c, space);
	if (!evac_open(&stage, &evac_ways[0],
		       (struct pagemv_evac_opts){ .space = space,
						  .shadow = shadow }))
		cr_skip("UFFDIO_MOVE is not available here");
	cr_assert_eq(evac_begin(&stage, PAGEMV_FLIP_AUTO), 0);
	cr_assert_eq(pagemv_evac_flip(stage.evac), 0);
	cr_expect_eq(pagemv_evac_wait(stage.evac), 0);
	evac_expect_done(&stage);
	evac_close(&stage);
	t_unmap(space, 512);
	t_unmap(shadow, 512);
}
