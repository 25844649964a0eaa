/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel fault that PAGEMV_QUIRK_MISCOUNT is about: from 6.18 on,
 * UFFDIO_MOVE may move pages and not count them. It takes somebody who
 * changes a page table entry of the source between the kernel's two looks at
 * it. Two ways to provoke it, by a thread on another processor:
 *
 *   aging     it takes the accessed bits away (MADV_COLD), as reclaim does
 *   touching  it stores to the pages after MADV_FREE has made them clean, as
 *             a mutator does; and makes pages of zeros where they have gone
 *
 * First with bare ioctls, to see how often this kernel does it: whatever it
 * answers, the page tables tell what it did. Then the same storm through the
 * library: there the count is what the page tables show, always; every page
 * is whole and in one place. A kernel without the fault passes as well.
 *
 * Where a page that was moved but not counted has been touched again at src
 * before anybody could look, the page tables look as if dst had been taken
 * before. Such pages are told apart below, and not held against the library:
 * they are whole at dst, and what is at src is the toucher's.
 *
 * PMV_SECONDS: how long each of the four parts runs (1 s).
 */
#include <pagemv/pagemv.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "oracle.h"
#include "proc.h"
#include "rawuffd.h"
#include "t.h"
#include "tap.h"

#define PAGES 64

enum way { AGING, TOUCHING };

static const char *const way_names[] = { "aging", "touching" };

/* A troubler works on target as long as there is one, and says when not. */
struct troubler {
	enum way way;
	char *target;
	uint64_t asked;	 /* how often it was told to let go */
	uint64_t let_go; /* the last of these it has seen */
	bool stop;
	pthread_t thread;
};

static void touch_all(char *p)
{
	size_t i;

	for (i = 0; i < PAGES; i++) {
		struct t_head *head = (void *)(p + t_pages(i));

		__atomic_fetch_add(&head->counter, 0, __ATOMIC_RELAXED);
	}
}

static void *trouble(void *arg)
{
	struct troubler *t = arg;

	while (!__atomic_load_n(&t->stop, __ATOMIC_RELAXED)) {
		uint64_t asked = __atomic_load_n(&t->asked, __ATOMIC_ACQUIRE);
		char *target = __atomic_load_n(&t->target, __ATOMIC_ACQUIRE);

		if (target == NULL)
			__atomic_store_n(&t->let_go, asked, __ATOMIC_RELEASE);
		else if (t->way == TOUCHING)
			touch_all(target);
		else
			(void)madvise(target, t_pages(PAGES), MADV_COLD);
	}
	return NULL;
}

static void let_go(struct troubler *t)
{
	unsigned int spins;

	__atomic_store_n(&t->target, NULL, __ATOMIC_RELEASE);
	__atomic_fetch_add(&t->asked, 1, __ATOMIC_RELEASE);
	for (spins = 0;
	     __atomic_load_n(&t->let_go, __ATOMIC_ACQUIRE) != t->asked; spins++)
		if (spins > 1000)
			sched_yield();
}

/*
 * Three areas in turn. The pages go from one to the next; what the troubler
 * left behind (pages of zeros) is dropped.
 */
struct ring {
	char *area[3];
	size_t at;
	struct troubler troubler;
	uint64_t rounds;
};

static char *ring_src(const struct ring *r)
{
	return r->area[r->at];
}

static char *ring_dst(const struct ring *r)
{
	return r->area[(r->at + 1) % 3];
}

static void ring_open(struct ring *r, enum way way)
{
	size_t i;

	memset(r, 0, sizeof(*r));
	r->troubler.way = way;
	for (i = 0; i < 3; i++)
		r->area[i] = t_map(PAGES);
	t_fill_range(ring_src(r), PAGES, 1);
	if (pthread_create(&r->troubler.thread, NULL, trouble, &r->troubler) !=
	    0)
		t_die("pthread_create");
}

static void ring_close(struct ring *r)
{
	size_t i;

	__atomic_store_n(&r->troubler.stop, true, __ATOMIC_RELAXED);
	pthread_join(r->troubler.thread, NULL);
	for (i = 0; i < 3; i++)
		t_unmap(r->area[i], PAGES);
}

/* Begins a round: pages that the troubler can change the state of. */
static void ring_stir(struct ring *r)
{
	if (r->troubler.way == TOUCHING)
		(void)madvise(ring_src(r), t_pages(PAGES), MADV_FREE);
	else
		touch_all(ring_src(r));
	__atomic_store_n(&r->troubler.target, ring_src(r), __ATOMIC_RELEASE);
}

/* Ends a round. True when every page is whole, at dst. */
static bool ring_turn(struct ring *r)
{
	bool right;

	let_go(&r->troubler);
	/* Looking at all bytes takes longer than the round. */
	right = r->rounds++ % 64 == 0
			? t_check_range(ring_dst(r), PAGES, 1) == NULL
			: t_count_present(ring_dst(r), PAGES) == PAGES;
	t_drop(ring_src(r), PAGES);
	r->at = (r->at + 1) % 3;
	if (!right)
		t_fill_range(ring_src(r), PAGES, 1);
	return right;
}

static uint64_t deadline(void)
{
	return t_now_ns() + t_env("PMV_SECONDS", 1) * 1000000000u;
}

struct tally {
	uint64_t calls;
	uint64_t miscounts; /* calls that counted too few pages */
	uint64_t uncounted; /* pages */
	uint64_t spurious;  /* of these calls: those that said EEXIST */
	uint64_t lost;	    /* rounds after which a page was not at dst */
};

/* --- bare --- */

/* Moves what is there with bare ioctls until all has arrived. */
static void bare_round(int fd, char *dst, char *src, struct tally *t)
{
	size_t before = 0, now, tries;
	int64_t done;
	int r;

	for (tries = 0; before < PAGES && tries < 4 * PAGES; tries++) {
		r = t_uffd_move(fd, dst + t_pages(before),
				src + t_pages(before), t_pages(PAGES - before),
				&done);
		t->calls++;
		now = r == 0 ? PAGES : t_count_present(dst, PAGES);
		done = done > 0 ? done / (int64_t)t_page() : 0;
		if (now - before > (size_t)done) {
			t->miscounts++;
			t->uncounted += now - before - (size_t)done;
			t->spurious += r == -EEXIST;
		}
		before = now;
		if (r != 0 && r != -EAGAIN && r != -EEXIST)
			t_die("UFFDIO_MOVE: %d", r);
	}
}

static void run_bare(struct tally *t, enum way way)
{
	uint64_t end = deadline();
	int fd = t_uffd_open();
	struct ring ring;
	size_t i;

	ring_open(&ring, way);
	for (i = 0; i < 3; i++)
		if (fd < 0 ||
		    t_uffd_register_wp(fd, ring.area[i], t_pages(PAGES)) != 0)
			t_die("a userfaultfd of its own");
	while (t_now_ns() < end) {
		ring_stir(&ring);
		bare_round(fd, ring_dst(&ring), ring_src(&ring), t);
		t->lost += !ring_turn(&ring);
	}
	close(fd);
	ring_close(&ring);
}

/* --- through the library --- */

struct library_tally {
	struct tally t;
	uint64_t repaired; /* pages */
	uint64_t claimed;  /* calls that said more than is true */
	uint64_t touched;  /* pages uncounted, and src filled anew */
	uint64_t unsaid;   /* pages uncounted, and nothing at src */
	uint64_t failed;
	int error;
};

/* Pages at dst from the first that the library left on. */
static void look_behind(char *dst, char *src, const struct pagemv_result *res,
			struct library_tally *l)
{
	size_t i;

	for (i = res->left_off / t_page(); i < PAGES; i++) {
		if (!t_present(dst + t_pages(i)))
			continue;
		if (t_present(src + t_pages(i)))
			l->touched++;
		else
			l->unsaid++;
	}
}

static void library_round(struct pagemv *pv, struct ring *ring,
			  struct library_tally *l)
{
	const struct pagemv_move_opts opts = {
		.size = sizeof(opts),
		.mechanism = PAGEMV_MECH_MOVE,
	};
	char *dst = ring_dst(ring), *src = ring_src(ring);
	struct pagemv_result res;
	size_t counted, there;
	int r;

	r = pagemv_move(pv, dst, src, t_pages(PAGES), &opts, &res);
	let_go(&ring->troubler);
	l->t.calls++;
	counted = (res.moved_bytes + res.copied_bytes) / t_page();
	there = t_count_present(dst, PAGES);
	l->repaired += res.repaired_bytes / t_page();
	if (there > counted) {
		l->t.miscounts++;
		l->t.uncounted += there - counted;
		look_behind(dst, src, &res, l);
	}
	if (counted > there ||
	    counted * t_page() + res.hole_bytes + res.left_bytes !=
		    t_pages(PAGES))
		l->claimed++;
	if (r != 0) {
		l->failed++;
		l->error = r;
	}
}

/*
 * Every page is whole at dst, or at src as well as nobody touches there: of
 * those that a failed call left.
 */
static bool all_there(const struct ring *ring)
{
	size_t i;

	for (i = 0; i < PAGES; i++)
		if (t_check(ring_dst(ring) + t_pages(i), 1 + i, 1) != NULL &&
		    (t_present(ring_dst(ring) + t_pages(i)) ||
		     t_check(ring_src(ring) + t_pages(i), 1 + i, 1) != NULL))
			return false;
	return true;
}

static void run_library(struct pagemv *pv, struct library_tally *l,
			enum way way)
{
	struct pagemv_region *regions[3];
	uint64_t end = deadline();
	struct ring ring;
	size_t i;

	ring_open(&ring, way);
	for (i = 0; i < 3; i++)
		if (pagemv_region_register(pv, ring.area[i], t_pages(PAGES),
					   NULL, &regions[i], NULL) != 0)
			t_die("pagemv_region_register");
	while (t_now_ns() < end) {
		uint64_t failed = l->failed;

		ring_stir(&ring);
		library_round(pv, &ring, l);
		if (failed != l->failed || ring.rounds % 64 == 0)
			l->t.lost += !all_there(&ring);
		(void)ring_turn(&ring);
	}
	for (i = 0; i < 3; i++)
		pagemv_region_unregister(regions[i]);
	ring_close(&ring);
}

static void report(const char *who, enum way way, const struct tally *t)
{
	tap_say(stdout,
		"%s, %s: %" PRIu64 " calls, %" PRIu64 " of them counted"
		" %" PRIu64 " pages too few, %" PRIu64 " said EEXIST",
		who, way_names[way], t->calls, t->miscounts, t->uncounted,
		t->spurious);
}

static void expect(struct tap *tap, bool ok, enum way way, const char *what)
{
	char name[120];

	snprintf(name, sizeof(name), "%s: %s", way_names[way], what);
	tap_ok(tap, ok, name);
}

static void test_library(struct tap *tap, struct pagemv *pv, enum way way)
{
	struct library_tally l = { .failed = 0 };

	run_library(pv, &l, way);
	report("library", way, &l.t);
	tap_say(stdout,
		"library, %s: %" PRIu64 " pages repaired, %" PRIu64
		" calls failed (last: %d), %" PRIu64 " pages touched at src "
		"before anybody could look",
		way_names[way], l.repaired, l.failed, l.error, l.touched);
	expect(tap, l.unsaid == 0, way, "no page at dst is left uncounted");
	expect(tap, l.claimed == 0, way,
	       "no page is counted that is not there");
	expect(tap, l.t.lost == 0, way, "every page is whole and in one place");
	if (way == AGING)
		expect(tap, l.failed == 0, way, "no move failed");
	else
		expect(tap, l.failed == 0 || l.touched != 0, way,
		       "no move failed but where src was filled anew");
}

/* The library where this kernel, in this run, has shown its fault or not. */
static void test_both_ways(struct tap *tap, bool fault_seen)
{
	struct pagemv_caps caps = { .size = sizeof(caps) };
	struct pagemv *pv = NULL;

	if (pagemv_open(&pv, NULL) != 0 || pagemv_caps(pv, &caps) != 0)
		t_die("pagemv_open");
	if (caps.mech[PAGEMV_MECH_MOVE].available == 0) {
		tap_skip(tap, "the library counts exactly",
			 "the library does not use UFFDIO_MOVE here");
	} else {
		if (fault_seen)
			tap_ok(tap, (caps.quirks & PAGEMV_QUIRK_MISCOUNT) != 0,
			       "the library knows of the fault");
		test_library(tap, pv, AGING);
		test_library(tap, pv, TOUCHING);
	}
	pagemv_close(pv);
}

int main(void)
{
	struct tally bare[2] = { { .calls = 0 }, { .calls = 0 } };
	struct tap tap = { 0, 0 };
	int r = t_uffd_can_move();
	bool seen;

	if (r != 0) {
		char why[100];

		snprintf(why, sizeof(why), "UFFDIO_MOVE does not work here: %s",
			 strerror(-r));
		tap_skip(&tap, "the kernel's counts", why);
		return tap_done(&tap);
	}
	run_bare(&bare[AGING], AGING);
	report("bare ioctls", AGING, &bare[AGING]);
	run_bare(&bare[TOUCHING], TOUCHING);
	report("bare ioctls", TOUCHING, &bare[TOUCHING]);
	seen = bare[AGING].miscounts + bare[TOUCHING].miscounts != 0;
	tap_say(stdout, "%s",
		seen ? "this kernel has the fault"
		     : "the fault did not show in this run");
	tap_ok(&tap, bare[AGING].lost + bare[TOUCHING].lost == 0,
	       "bare ioctls lose no page");
	test_both_ways(&tap, seen);
	return tap_done(&tap);
}
