/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads claim windows of pages, fill them, wholly or in part, give them up,
 * throw them away and wait for each other. What they write into pages is not
 * atomic: the page states alone keep them apart, which ThreadSanitizer checks,
 * too.
 *
 * The first pages are used again and again. Of the others each is filled once,
 * and then read by anybody without a claim. Before that, two threads have one
 * page between them: nobody else wakes the one whose wake-up was missed.
 *
 * PMV_SECONDS: how long (2 s); PMV_SEED.
 */
#include "page_state.h"

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "sys.h"
#include "t.h"
#include "tap.h"

#define THREADS 6
#define REUSED	24
#define ONCE	(1u << 16)
#define PAGES	(REUSED + ONCE)
#define FRONT	8 /* pages that are filled at the same time */
#define WINDOW	6
#define WORDS	4
#define MOMENT	10000 /* looks at a word: some us */

/* Guarded by the claim on the page; of PRESENT ones of the second kind,
 * constant. */
struct page {
	uint64_t fills;
	uint64_t text[WORDS];
	unsigned int fillers;
};

struct worker {
	struct t_random random;
	pthread_t thread;
	uint64_t fills;
	uint64_t waits;
	uint64_t discards;
	const char *wrong;
};

static struct page pages[PAGES];
static struct pmv_page_states states;
static struct pmv_sys sys;
static _Atomic size_t front = REUSED; /* all before it are PRESENT */
static _Atomic bool stop;
static _Atomic uint64_t sleeps;

static int counted_wait(const uint32_t *word, uint32_t value,
			uint64_t timeout_ns)
{
	atomic_fetch_add_explicit(&sleeps, 1, memory_order_relaxed);
	return pmv_sys_linux.futex_wait(word, value, timeout_ns);
}

static bool failed(struct worker *w, bool ok, const char *what)
{
	if (!ok && w->wrong == NULL)
		w->wrong = what;
	return !ok;
}

static bool one_in(struct worker *w, uint64_t n)
{
	return t_random_below(&w->random, n) == 0;
}

static bool is_whole(const struct page *p)
{
	for (unsigned int i = 0; i < WORDS; i++)
		if (p->text[i] != p->fills)
			return false;
	return true;
}

static void enter(struct worker *w, size_t i)
{
	failed(w, ++pages[i].fillers == 1, "two threads claimed a page");
	failed(w, is_whole(&pages[i]), "a page is not as it was released");
}

static void leave(struct worker *w, size_t i)
{
	failed(w, pages[i].fillers-- == 1, "somebody else claimed a page");
}

/* Long enough now and then that others go to sleep. */
static void linger(struct worker *w)
{
	if (one_in(w, 16))
		pmv_sys_linux.sleep_ns(100000);
	else if (one_in(w, 4))
		sched_yield();
}

static void fill_one(struct worker *w, size_t i)
{
	struct page *p = &pages[i];

	p->fills++;
	for (unsigned int j = 0; j < WORDS; j++)
		p->text[j] = p->fills;
	w->fills++;
}

/* Fills some of the claimed pages [first, + n) and gives up the others. */
static void fill(struct worker *w, size_t first, size_t n)
{
	size_t filled = one_in(w, 4) ? t_random_below(&w->random, n + 1) : n;

	for (size_t i = first; i < first + n; i++)
		enter(w, i);
	for (size_t i = first; i < first + filled; i++)
		fill_one(w, i);
	linger(w);
	for (size_t i = first; i < first + n; i++)
		leave(w, i);
	pmv_page_release(&sys, &states, first, filled, PMV_PAGE_PRESENT);
	pmv_page_release(&sys, &states, first + filled, n - filled,
			 PMV_PAGE_ABSENT);
}

/* Page i is claimed: its neighbours, too, as far as they are of its kind. */
static void fill_around(struct worker *w, size_t i)
{
	size_t up = t_random_below(&w->random, WINDOW);
	size_t down = t_random_below(&w->random, WINDOW);

	if (i < REUSED)
		up = pmv_min(up, REUSED - 1 - i);
	else
		down = pmv_min(down, i - REUSED);
	up = pmv_page_claim_up(&states, i + 1, up);
	down = pmv_page_claim_down(&states, i - 1, down);
	fill(w, i - down, down + 1 + up);
}

static void discard(struct worker *w, size_t i)
{
	if (!pmv_page_reclaim(&states, i))
		return;
	enter(w, i);
	linger(w);
	memset(pages[i].text, 0, sizeof(pages[i].text));
	pages[i].fills = 0;
	leave(w, i);
	pmv_page_release(&sys, &states, i, 1, PMV_PAGE_ABSENT);
	w->discards++;
}

/* As a fault does: until the page is there. */
static void touch(struct worker *w, size_t i)
{
	for (;;) {
		switch (pmv_page_claim(&states, i)) {
		case PMV_PAGE_ABSENT:
			fill_around(w, i);
			break;
		case PMV_PAGE_BUSY:
		case PMV_PAGE_WAITED:
			pmv_page_wait(&sys, &states, i);
			w->waits++;
			break;
		default:
			return;
		}
		if (w->wrong != NULL)
			return;
	}
}

static void touch_reused(struct worker *w)
{
	size_t i = t_random_below(&w->random, REUSED);

	switch (t_random_below(&w->random, 8)) {
	case 0:
	case 1:
	case 2:
		discard(w, i);
		break;
	case 3:
		pmv_page_note(&states, i, REUSED - i,
			      one_in(w, 2) ? PMV_PAGE_PRESENT
					   : PMV_PAGE_ABSENT);
		break;
	default:
		touch(w, i);
		break;
	}
}

static void touch_once(struct worker *w)
{
	size_t at = atomic_load_explicit(&front, memory_order_relaxed);
	size_t i = at + t_random_below(&w->random, FRONT);

	if (i >= PAGES)
		return;
	touch(w, i);
	if (w->wrong != NULL)
		return;
	failed(w, pages[i].fills == 1 && is_whole(&pages[i]),
	       "a page that is present is not filled once");
	/* The first thread to see the page at the front there moves it. */
	if (i == at)
		atomic_compare_exchange_strong_explicit(&front, &at, at + 1,
							memory_order_relaxed,
							memory_order_relaxed);
}

static void *work(void *arg)
{
	struct worker *w = arg;

	while (!atomic_load_explicit(&stop, memory_order_relaxed) &&
	       w->wrong == NULL) {
		touch_reused(w);
		touch_once(w);
	}
	return NULL;
}

/* Gives the page up at about the time when the other one goes to sleep. */
static void *duel(void *arg)
{
	struct worker *w = arg;

	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		uint64_t looks = t_random_below(&w->random, 2 * MOMENT);

		if (pmv_page_claim(&states, 0) != PMV_PAGE_ABSENT) {
			pmv_page_wait(&sys, &states, 0);
			continue;
		}
		enter(w, 0);
		while (looks-- > 0)
			atomic_load_explicit(&stop, memory_order_relaxed);
		leave(w, 0);
		pmv_page_release(&sys, &states, 0, 1, PMV_PAGE_ABSENT);
	}
	return NULL;
}

static void out_of_time(int signal)
{
	static const char text[] = "Bail out! a thread does not end\n";
	ssize_t written = write(STDOUT_FILENO, text, sizeof(text) - 1);

	(void)signal;
	(void)written;
	_exit(1);
}

/* Pages filled before the storm ended, added up over threads and pages. */
static void check_end(struct tap *tap, uint64_t fills)
{
	uint64_t once = 0;
	bool idle = true, whole = true, agree = true;

	for (size_t i = 0; i < PAGES; i++) {
		uint8_t state = atomic_load_explicit(&states.of[i],
						     memory_order_relaxed);

		idle = idle && pages[i].fillers == 0 &&
		       (state == PMV_PAGE_ABSENT || state == PMV_PAGE_PRESENT);
		whole = whole && is_whole(&pages[i]);
		if (i < REUSED)
			continue;
		agree = agree && pages[i].fills == (state == PMV_PAGE_PRESENT);
		once += pages[i].fills;
	}
	tap_ok(tap, idle, "no page is claimed in the end");
	tap_ok(tap, whole, "pages are as they were released");
	tap_ok(tap, agree, "the others were filled once, or are absent");
	tap_ok(tap, once > FRONT && fills > once, "pages were filled");
}

/* Runs n threads for so long; the sum of what they did. */
static struct worker run(unsigned int n, void *(*body)(void *), unsigned int ms)
{
	struct worker workers[THREADS] = { 0 }, all = { 0 };

	atomic_store(&stop, false);
	for (unsigned int i = 0; i < n; i++) {
		workers[i].random = t_random_make(t_env("PMV_SEED", 1) + i);
		if (pthread_create(&workers[i].thread, NULL, body,
				   &workers[i]) != 0)
			t_die("pthread_create");
	}
	t_sleep_ms(ms);
	atomic_store(&stop, true);
	for (unsigned int i = 0; i < n; i++) {
		pthread_join(workers[i].thread, NULL);
		all.fills += workers[i].fills;
		all.waits += workers[i].waits;
		all.discards += workers[i].discards;
		if (workers[i].wrong != NULL)
			all.wrong = workers[i].wrong;
	}
	return all;
}

static void check_meetings(struct tap *tap, const struct worker *all,
			   const char *name)
{
	if (!tap_ok(tap, all->wrong == NULL, name))
		tap_say(stdout, "%s", all->wrong);
}

int main(void)
{
	unsigned int ms = (unsigned int)t_env("PMV_SECONDS", 2) * 1000;
	struct tap tap = { 0, 0 };
	struct worker all;

	sys = pmv_sys_linux;
	sys.futex_wait = counted_wait;
	signal(SIGALRM, out_of_time);
	alarm(60 * t_slow() + ms / 1000);
	if (pmv_page_states_open(&sys, &states, PAGES, t_page()) < 0)
		t_die("page states");
	all = run(2, duel, ms / 4);
	tap_say(stdout, "%" PRIu64 " sleeps", atomic_load(&sleeps));
	check_meetings(&tap, &all, "two threads share a page");
	tap_ok(&tap, atomic_load(&sleeps) > 0, "they slept for it");

	atomic_store(&sleeps, 0);
	all = run(THREADS, work, ms - ms / 4);
	tap_say(stdout,
		"%" PRIu64 " fills, %" PRIu64 " discards, %" PRIu64
		" waits, %" PRIu64 " sleeps",
		all.fills, all.discards, all.waits, atomic_load(&sleeps));
	check_meetings(&tap, &all, "nobody meets another filler");
	check_end(&tap, all.fills);
	tap_ok(&tap, atomic_load(&sleeps) > 0, "threads slept for pages");
	alarm(0);
	pmv_page_states_close(&sys, &states);
	return tap_done(&tap);
}
