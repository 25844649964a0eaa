/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "page_state.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>

#include "fake_sys.h"
#include "t.h"

#define PAGES 300

static struct pmv_page_states s;

static void set_up(void)
{
	fake_reset();
	cr_assert(pmv_page_states_open(&fake_sys, &s, PAGES, t_page()) == 0);
}

static void tear_down(void)
{
	pmv_page_states_close(&fake_sys, &s);
	cr_expect(fake_mapped_bytes() == 0);
}

TestSuite(page_state, .init = set_up, .fini = tear_down, .timeout = 30);

static enum pmv_page_state look(size_t i)
{
	return (enum pmv_page_state)atomic_load(&s.of[i]);
}

static void put(size_t i, enum pmv_page_state state)
{
	atomic_store(&s.of[i], (uint8_t)state);
}

static void release(size_t i, size_t n, enum pmv_page_state state)
{
	pmv_page_release(&fake_sys, &s, i, n, state);
}

/* All pages but [i, i + n) are in this state. */
static void expect_others(size_t i, size_t n, enum pmv_page_state state)
{
	for (size_t j = 0; j < PAGES; j++)
		cr_expect(j - i < n || look(j) == state, "page %zu", j);
}

Test(page_state, all_pages_are_absent_at_first)
{
	expect_others(0, 0, PMV_PAGE_ABSENT);
	cr_expect(s.pages == PAGES);
	cr_expect(fake_mapped_bytes() == t_page());
}

Test(page_state, a_byte_a_page_is_mapped_and_no_more)
{
	struct pmv_page_states large;
	size_t pages = 3 * t_page() + 1;

	cr_assert(pmv_page_states_open(&fake_sys, &large, pages, t_page()) ==
		  0);
	cr_expect(fake_mapped_bytes() == t_pages(1 + 4));
	cr_expect(pmv_page_claim(&large, pages - 1) == PMV_PAGE_ABSENT);
	pmv_page_states_close(&fake_sys, &large);
	cr_expect(fake_mapped_bytes() == t_page());
	cr_expect(large.of == NULL);
	pmv_page_states_close(&fake_sys, &large);
	cr_expect(fake_mapped_bytes() == t_page(), "closed twice");
}

Test(page_state, small_ones_are_placed_where_the_caller_wants_them)
{
	static uint8_t bytes[5];
	struct pmv_page_states small;

	pmv_page_states_place(&small, &bytes[1], 3);
	cr_expect(pmv_page_claim_up(&small, 0, 64) == 3);
	pmv_page_release(&fake_sys, &small, 0, 3, PMV_PAGE_PRESENT);
	cr_expect(bytes[0] == 0 && bytes[1] == PMV_PAGE_PRESENT &&
		  bytes[3] == PMV_PAGE_PRESENT && bytes[4] == 0);
	pmv_page_states_close(&fake_sys, &small);
	cr_expect(bytes[1] == PMV_PAGE_PRESENT);
	cr_expect(fake_mapped_bytes() == t_page());
}

Test(page_state, no_memory_is_told_and_nothing_is_changed)
{
	struct pmv_page_states other = { .pages = 7 };

	fake_fail(FAKE_MMAP, 1, -ENOMEM);
	cr_expect(pmv_page_states_open(&fake_sys, &other, 5, t_page()) ==
		  -ENOMEM);
	cr_expect(other.of == NULL && other.pages == 7);
}

/* ---- each state, each call ---- */

/* Before and after each of the calls. */
static const struct {
	enum pmv_page_state before, claim, reclaim, noted_present, noted_absent;
} steps[] = {
	{ PMV_PAGE_ABSENT, PMV_PAGE_BUSY, PMV_PAGE_ABSENT, PMV_PAGE_PRESENT,
	  PMV_PAGE_ABSENT },
	{ PMV_PAGE_BUSY, PMV_PAGE_BUSY, PMV_PAGE_BUSY, PMV_PAGE_BUSY,
	  PMV_PAGE_BUSY },
	{ PMV_PAGE_WAITED, PMV_PAGE_WAITED, PMV_PAGE_WAITED, PMV_PAGE_WAITED,
	  PMV_PAGE_WAITED },
	{ PMV_PAGE_PRESENT, PMV_PAGE_PRESENT, PMV_PAGE_BUSY, PMV_PAGE_PRESENT,
	  PMV_PAGE_ABSENT },
	{ PMV_PAGE_POISONED, PMV_PAGE_POISONED, PMV_PAGE_BUSY,
	  PMV_PAGE_POISONED, PMV_PAGE_ABSENT },
	{ PMV_PAGE_ENDED, PMV_PAGE_ENDED, PMV_PAGE_ENDED, PMV_PAGE_ENDED,
	  PMV_PAGE_ENDED },
};

Test(page_state, claim_takes_absent_pages_alone)
{
	for (size_t i = 0; i < T_COUNT(steps); i++) {
		put(100, steps[i].before);
		cr_expect(pmv_page_claim(&s, 100) == steps[i].before, "%zu", i);
		cr_expect(look(100) == steps[i].claim, "%zu", i);
		expect_others(100, 1, PMV_PAGE_ABSENT);
	}
}

Test(page_state, reclaim_takes_pages_that_were_filled_alone)
{
	for (size_t i = 0; i < T_COUNT(steps); i++) {
		bool taken = steps[i].before != steps[i].reclaim;

		put(100, steps[i].before);
		cr_expect(pmv_page_reclaim(&s, 100) == taken, "%zu", i);
		cr_expect(look(100) == steps[i].reclaim, "%zu", i);
		expect_others(100, 1, PMV_PAGE_ABSENT);
	}
}

Test(page_state, a_note_leaves_busy_pages_alone)
{
	for (size_t i = 0; i < T_COUNT(steps); i++) {
		put(100, steps[i].before);
		pmv_page_note(&s, 100, 1, PMV_PAGE_PRESENT);
		cr_expect(look(100) == steps[i].noted_present, "%zu", i);
		put(100, steps[i].before);
		pmv_page_note(&s, 100, 1, PMV_PAGE_ABSENT);
		cr_expect(look(100) == steps[i].noted_absent, "%zu", i);
		expect_others(100, 1, PMV_PAGE_ABSENT);
	}
}

Test(page_state, a_note_of_many_pages_is_about_each)
{
	put(11, PMV_PAGE_BUSY);
	put(13, PMV_PAGE_PRESENT);
	pmv_page_note(&s, 10, 5, PMV_PAGE_PRESENT);
	for (size_t i = 10; i < 15; i++)
		cr_expect(look(i) ==
			  (i == 11 ? PMV_PAGE_BUSY : PMV_PAGE_PRESENT));
	expect_others(10, 5, PMV_PAGE_ABSENT);
	pmv_page_note(&s, 0, PAGES, PMV_PAGE_ABSENT);
	cr_expect(look(11) == PMV_PAGE_BUSY);
	expect_others(11, 1, PMV_PAGE_ABSENT);
	pmv_page_note(&s, PAGES, 0, PMV_PAGE_PRESENT);
}

/* ---- runs ---- */

Test(page_state, claiming_upwards_stops_where_it_must)
{
	put(20, PMV_PAGE_PRESENT);
	cr_expect(pmv_page_claim_up(&s, 10, 4) == 4, "at max");
	cr_expect(pmv_page_claim_up(&s, 14, 64) == 6, "at a present page");
	for (size_t i = 10; i < 20; i++)
		cr_expect(look(i) == PMV_PAGE_BUSY);
	cr_expect(look(20) == PMV_PAGE_PRESENT);
	cr_expect(pmv_page_claim_up(&s, 8, 64) == 2, "at a busy page");
	cr_expect(pmv_page_claim_up(&s, 8, 64) == 0);
	cr_expect(pmv_page_claim_up(&s, 30, 0) == 0);
	cr_expect(pmv_page_claim_up(&s, PAGES - 3, 64) == 3, "at the end");
	cr_expect(pmv_page_claim_up(&s, PAGES, 64) == 0, "beyond the end");
	cr_expect(look(30) == PMV_PAGE_ABSENT && look(21) == PMV_PAGE_ABSENT);
}

Test(page_state, claiming_downwards_stops_where_it_must)
{
	put(10, PMV_PAGE_WAITED);
	cr_expect(pmv_page_claim_down(&s, 20, 4) == 4, "at max");
	cr_expect(pmv_page_claim_down(&s, 16, 64) == 6, "at a waited page");
	for (size_t i = 11; i <= 20; i++)
		cr_expect(look(i) == PMV_PAGE_BUSY);
	cr_expect(look(10) == PMV_PAGE_WAITED);
	cr_expect(pmv_page_claim_down(&s, 2, 64) == 3, "at the first page");
	cr_expect(pmv_page_claim_down(&s, (size_t)-1, 64) == 0, "below it");
	cr_expect(pmv_page_claim_down(&s, 30, 0) == 0);
	cr_expect(look(3) == PMV_PAGE_ABSENT && look(9) == PMV_PAGE_ABSENT);
	cr_expect(look(30) == PMV_PAGE_ABSENT);
}

Test(page_state, a_release_is_of_its_pages_alone)
{
	static const enum pmv_page_state to[] = { PMV_PAGE_ABSENT,
						  PMV_PAGE_PRESENT,
						  PMV_PAGE_POISONED,
						  PMV_PAGE_ENDED };

	for (size_t i = 0; i < T_COUNT(to); i++) {
		for (size_t j = 40; j < 60; j++)
			put(j, j % 2 ? PMV_PAGE_BUSY : PMV_PAGE_WAITED);
		release(45, 10, to[i]);
		for (size_t j = 45; j < 55; j++)
			cr_expect(look(j) == to[i]);
		for (size_t j = 40; j < 45; j++)
			cr_expect(look(j) != to[i] && look(j + 15) != to[i]);
		expect_others(40, 20, PMV_PAGE_ABSENT);
	}
	fake_forget_counts();
	release(40, 0, PMV_PAGE_ABSENT);
	cr_expect(look(40) == PMV_PAGE_WAITED && fake_total() == 0);
}

Test(page_state, a_page_that_was_given_up_can_be_claimed_again)
{
	cr_expect(pmv_page_claim(&s, 5) == PMV_PAGE_ABSENT);
	cr_expect(pmv_page_claim(&s, 5) == PMV_PAGE_BUSY);
	release(5, 1, PMV_PAGE_ABSENT);
	cr_expect(pmv_page_claim(&s, 5) == PMV_PAGE_ABSENT);
	release(5, 1, PMV_PAGE_PRESENT);
	cr_expect(pmv_page_claim(&s, 5) == PMV_PAGE_PRESENT);
	cr_expect(pmv_page_reclaim(&s, 5));
	cr_expect(!pmv_page_reclaim(&s, 5));
	release(5, 1, PMV_PAGE_PRESENT);
	cr_expect(look(5) == PMV_PAGE_PRESENT);
}

#ifdef PMV_DEBUG
Test(page_state, releasing_what_is_not_claimed_is_noticed, .signal = SIGABRT)
{
	put(6, PMV_PAGE_PRESENT);
	release(6, 1, PMV_PAGE_ABSENT);
}

Test(page_state, releasing_as_busy_is_noticed, .signal = SIGABRT)
{
	pmv_page_claim(&s, 6);
	release(6, 1, PMV_PAGE_BUSY);
}

Test(page_state, pages_beyond_the_end_are_noticed, .signal = SIGABRT)
{
	pmv_page_claim(&s, PAGES);
}
#endif

/* ---- waiting ---- */

static void wait_for(size_t i)
{
	pmv_page_wait(&fake_sys, &s, i);
}

Test(page_state, nobody_sleeps_for_a_page_that_is_not_busy)
{
	static const enum pmv_page_state not_busy[] = { PMV_PAGE_ABSENT,
							PMV_PAGE_PRESENT,
							PMV_PAGE_POISONED,
							PMV_PAGE_ENDED };

	for (size_t i = 0; i < T_COUNT(not_busy); i++) {
		put(3, not_busy[i]);
		wait_for(3);
		cr_expect(look(3) == not_busy[i]);
	}
	cr_expect(fake_count(FAKE_FUTEX_WAIT) == 0);
	expect_others(3, 1, PMV_PAGE_ABSENT);
}

Test(page_state, nobody_is_woken_where_nobody_waits)
{
	pmv_page_claim_up(&s, 0, PAGES);
	release(0, PAGES, PMV_PAGE_PRESENT);
	cr_expect(fake_count(FAKE_FUTEX_WAKE) == 0);
}

/* Between the mark and the sleep. */
static void release_7(void *arg)
{
	cr_expect(look(7) == PMV_PAGE_WAITED);
	release(7, 1, *(enum pmv_page_state *)arg);
}

Test(page_state, a_release_just_before_the_sleep_is_not_missed)
{
	for (unsigned int i = 0; i < 2; i++) {
		enum pmv_page_state state = i ? PMV_PAGE_PRESENT
					      : PMV_PAGE_ABSENT;

		fake_behave();
		fake_forget_counts();
		fake_add((struct fake_rule){ .call = FAKE_FUTEX_WAIT,
					     .before = release_7,
					     .arg = &state });
		put(7, PMV_PAGE_BUSY);
		/* The kernel's comparison ends it, or the timeout. */
		wait_for(7);
		cr_expect(look(7) == state);
		cr_expect(fake_count(FAKE_FUTEX_WAIT) == 1);
		cr_expect(fake_count(FAKE_FUTEX_WAKE) == 1);
		expect_others(7, 1, PMV_PAGE_ABSENT);
	}
}

/* Released and claimed by another thread, who is not waited for yet. */
static void hand_over_7(void *arg)
{
	release_7(arg);
	cr_expect(pmv_page_claim(&s, 7) == PMV_PAGE_ABSENT);
}

Test(page_state, a_page_claimed_anew_just_before_the_sleep_is_not_slept_for)
{
	enum pmv_page_state state = PMV_PAGE_ABSENT;

	fake_add((struct fake_rule){ .call = FAKE_FUTEX_WAIT,
				     .before = hand_over_7,
				     .arg = &state });
	pmv_page_claim(&s, 7);
	wait_for(7);
	cr_expect(look(7) == PMV_PAGE_BUSY);
}

/* The futex is of the lot, the mark of the page. */
static void release_neighbours(void *arg)
{
	(void)arg;
	release(6, 1, PMV_PAGE_PRESENT);
	release(8, 1, PMV_PAGE_PRESENT);
}

Test(page_state, neighbours_wake_nobody)
{
	fake_add((struct fake_rule){ .call = FAKE_FUTEX_WAIT,
				     .before = release_neighbours,
				     .error = -EINTR });
	pmv_page_claim_up(&s, 6, 3);
	wait_for(7);
	cr_expect(fake_count(FAKE_FUTEX_WAKE) == 0);
	cr_expect(look(7) == PMV_PAGE_WAITED);
	expect_others(6, 3, PMV_PAGE_ABSENT);
}

Test(page_state, a_wait_ends_with_what_the_kernel_answers)
{
	static const struct {
		int answer;
		unsigned int yields; /* rather than to poll without end */
	} cases[] = {
		{ -EINTR, 0 }, { -EAGAIN, 0 }, { -ENOSYS, 1 }, { -EPERM, 1 }
	};

	for (size_t i = 0; i < T_COUNT(cases); i++) {
		put(7, PMV_PAGE_BUSY);
		fake_behave();
		fake_forget_counts();
		fake_refuse(FAKE_FUTEX_WAIT, cases[i].answer);
		wait_for(7);
		wait_for(7);
		cr_expect(fake_count(FAKE_FUTEX_WAIT) == 2);
		cr_expect(fake_count(FAKE_YIELD) == 2 * cases[i].yields);
		cr_expect(look(7) == PMV_PAGE_WAITED);
		expect_others(7, 1, PMV_PAGE_ABSENT);
	}
}

Test(page_state, a_wake_that_fails_changes_nothing)
{
	fake_refuse(FAKE_FUTEX_WAKE, -ENOSYS);
	for (size_t i = 10; i < 20; i++)
		put(i, PMV_PAGE_WAITED);
	release(10, 10, PMV_PAGE_PRESENT);
	for (size_t i = 10; i < 20; i++)
		cr_expect(look(i) == PMV_PAGE_PRESENT);
	cr_expect(fake_count(FAKE_FUTEX_WAKE) > 1, "not all in one lot");
	expect_others(10, 10, PMV_PAGE_ABSENT);
}

Test(page_state, a_lot_is_woken_once_a_release)
{
	for (size_t i = 0; i < PAGES; i++)
		put(i, PMV_PAGE_WAITED);
	release(0, PAGES, PMV_PAGE_ABSENT);
	cr_expect(fake_count(FAKE_FUTEX_WAKE) <= 64);
}

struct sleeper {
	pthread_t thread;
	size_t page;
};

static void *sleep_until_done(void *arg)
{
	const struct sleeper *me = arg;
	uint8_t state;

	/* Not the fake: it is not made for several threads. */
	do {
		pmv_page_wait(&pmv_sys_linux, &s, me->page);
		state = atomic_load(&s.of[me->page]);
	} while (state == PMV_PAGE_BUSY || state == PMV_PAGE_WAITED);
	return NULL;
}

#define SLEEPERS 32

Test(page_state, one_release_wakes_all_who_wait_for_any_of_its_pages)
{
	struct sleeper sleepers[SLEEPERS];

	cr_expect(pmv_page_claim_up(&s, 0, SLEEPERS / 2) == SLEEPERS / 2);
	for (size_t i = 0; i < SLEEPERS; i++) {
		sleepers[i].page = i / 2; /* two for each */
		cr_assert(pthread_create(&sleepers[i].thread, NULL,
					 sleep_until_done, &sleepers[i]) == 0);
	}
	for (size_t i = 0; i < SLEEPERS / 2; i++)
		while (look(i) != PMV_PAGE_WAITED)
			t_sleep_ms(1);
	t_sleep_ms(10);
	pmv_page_release(&pmv_sys_linux, &s, 0, SLEEPERS / 2, PMV_PAGE_PRESENT);
	for (size_t i = 0; i < SLEEPERS; i++)
		pthread_join(sleepers[i].thread, NULL);
	expect_others(0, SLEEPERS / 2, PMV_PAGE_ABSENT);
}

Test(page_state, a_wait_may_have_an_end)
{
	pmv_page_claim(&s, 5);
	pmv_page_wait_for(&pmv_sys_linux, &s, 5, 1000000);
	cr_expect(look(5) == PMV_PAGE_WAITED, "its owner wakes who came after");
	release(5, 1, PMV_PAGE_ABSENT);
}

static void ignore(int signal)
{
	(void)signal;
}

static void *wait_once(void *arg)
{
	pmv_page_wait(&pmv_sys_linux, &s, *(const size_t *)arg);
	return NULL;
}

Test(page_state, a_signal_ends_a_wait)
{
	struct sigaction action = { .sa_handler = ignore };
	size_t page = 9;
	pthread_t thread;

	sigaction(SIGUSR1, &action, NULL);
	pmv_page_claim(&s, page);
	cr_assert(pthread_create(&thread, NULL, wait_once, &page) == 0);
	/* The first may come before it sleeps. */
	while (pthread_tryjoin_np(thread, NULL) != 0) {
		pthread_kill(thread, SIGUSR1);
		t_sleep_ms(1);
	}
	cr_expect(look(page) == PMV_PAGE_WAITED);
}

/* ---- many at once ---- */

/* Wherever a run begins and ends in the words that are looked at together. */
Test(page_state, noting_many_as_absent_finds_every_one)
{
	enum { MANY = 64 };
	struct pmv_page_states own;
	_Alignas(8) unsigned char of[MANY] = { 0 };

	pmv_page_states_place(&own, of, MANY);
	for (size_t first = 0; first < 24; first++)
		for (size_t one = 0; one < MANY; one++) {
			pmv_page_note(&own, one, 1, PMV_PAGE_PRESENT);
			pmv_page_note(&own, first, MANY - 16 - first,
				      PMV_PAGE_ABSENT);
			cr_assert_eq(of[one],
				     one < first || one >= MANY - 16
					     ? PMV_PAGE_PRESENT
					     : PMV_PAGE_ABSENT,
				     "page %zu, from %zu on", one, first);
			of[one] = PMV_PAGE_ABSENT;
		}
}

Test(page_state, noting_as_absent_leaves_what_is_claimed)
{
	struct pmv_page_states own;
	_Alignas(8) unsigned char of[16] = { 0 };

	pmv_page_states_place(&own, of, 16);
	cr_assert_eq(pmv_page_claim(&own, 9), PMV_PAGE_ABSENT);
	pmv_page_note(&own, 0, 16, PMV_PAGE_ABSENT);
	cr_expect_eq(of[9], PMV_PAGE_BUSY);
}

Test(page_state, who_has_claimed_pages_sees_that_somebody_waits)
{
	struct pmv_page_states own;
	unsigned char of[16] = { 0 };

	pmv_page_states_place(&own, of, 16);
	cr_assert_eq(pmv_page_claim_up(&own, 4, 8), 8);
	cr_expect(!pmv_page_waited(&own, 4, 8));
	of[9] = PMV_PAGE_WAITED;
	cr_expect(pmv_page_waited(&own, 4, 8));
	cr_expect(!pmv_page_waited(&own, 4, 5));
	cr_expect(!pmv_page_waited(&own, 10, 2));
	cr_expect(!pmv_page_waited(&own, 9, 0));
}
