/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Faults about huge pages: moved whole, out of two threads, while they migrate.
 */
#include "quirks.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lab.h"
#include "oracle.h"
#include "proc.h"
#include "rawuffd.h"
#include "t.h"
#include "thp.h"
#include "ways.h"

/* ---- whole huge pages ---- */

/* Moves a huge page; returns whether it is whole at dst. */
static bool move_huge(uint32_t trusted, struct pagemv_result *res,
		      const char **wrong)
{
	char *src = t_map_at(huge_pages(), HUGE_BYTES, 0, true);
	char *dst = t_map_at(huge_pages(), HUGE_BYTES, 0, true);
	struct pagemv_caps caps;
	struct pagemv *pv = open_trusting(trusted, &caps);
	bool whole;

	t_register(pv, dst, huge_pages());
	t_fill_range(src, huge_pages(), 1);
	if (t_huge_bytes(src, HUGE_BYTES) != HUGE_BYTES)
		t_die("a huge page");
	force_move(pv, dst, src, huge_pages(), res);
	whole = t_huge_bytes(dst, HUGE_BYTES) == HUGE_BYTES;
	*wrong = t_check_range(dst, huge_pages(), 1);
	pagemv_close(pv);
	t_unmap(src, huge_pages());
	t_unmap(dst, huge_pages());
	return whole;
}

void test_huge_move(void)
{
	struct pagemv_result res;
	const char *wrong;
	bool whole = move_huge(0, &res, &wrong);

	expect(wrong == NULL && whole == !knows(PAGEMV_QUIRK_HUGE_MOVE),
	       "HUGE_MOVE: huge pages move whole unless they must not",
	       "whole: %d, %u calls, %s", whole, res.kernel_calls,
	       wrong == NULL ? "pages right" : wrong);
	/* Right on all kernels: it is the huge zero page that is moved wrongly,
	 * or a page that somebody else holds. */
	whole = move_huge(PAGEMV_QUIRK_HUGE_MOVE, &res, &wrong);
	expect(wrong == NULL && whole && res.kernel_calls == 1,
	       "HUGE_MOVE: trusted, they move whole", "whole: %d, %u calls, %s",
	       whole, res.kernel_calls, wrong == NULL ? "pages right" : wrong);
}

void test_huge_pages(void)
{
	char *p = t_map_at(huge_pages(), HUGE_BYTES, 0, true);
	struct pagemv_caps caps;
	struct pagemv *pv = open_trusting(0, &caps);
	bool forbidden;

	t_register(pv, p, huge_pages());
	forbidden = t_mapping_has_flag(p, "nh");
	expect(forbidden == knows(PAGEMV_QUIRK_HUGE_PAGES),
	       "HUGE_PAGES: regions have huge pages unless they must not",
	       "forbidden: %d", forbidden);
	pagemv_close(pv);
	t_unmap(p, huge_pages());
}

/* ---- two movers out of one huge page (37b338eed105: they hang) ---- */

#define SPLIT_ROUNDS 40
#define SPLIT_RUN    8

struct halves {
	struct pagemv *pv;
	char *src, *dst;
	pthread_barrier_t barrier;
	_Atomic unsigned int rounds;
	_Atomic unsigned int failed;
};

struct half {
	struct halves *both;
	size_t first;
	pthread_t thread;
};

static void move_half(const struct half *h)
{
	struct halves *both = h->both;
	size_t i;

	for (i = h->first; i < huge_pages(); i += 2 * SPLIT_RUN) {
		struct pagemv_result res;

		if (force_move(both->pv, both->dst + t_pages(i),
			       both->src + t_pages(i), SPLIT_RUN, &res) != 0)
			atomic_fetch_add(&both->failed, 1);
	}
}

/* A number in each page, as filling them takes too long. */
static void number_pages(char *p)
{
	size_t i;

	for (i = 0; i < huge_pages(); i++)
		*(uint64_t *)(void *)(p + t_pages(i)) = 1 + i;
}

static uint64_t number_of(const char *page)
{
	return *(const uint64_t *)(const void *)page;
}

static bool pages_numbered(const char *p)
{
	size_t i;

	for (i = 0; i < huge_pages(); i++)
		if (!t_present(p + t_pages(i)) ||
		    number_of(p + t_pages(i)) != 1 + i)
			return false;
	return true;
}

static void *move_halves(void *arg)
{
	const struct half *h = arg;
	struct halves *both = h->both;
	size_t i;

	for (i = 0; i < SPLIT_ROUNDS; i++) {
		if (h->first == 0) {
			thp_anew(both->src);
			t_drop(both->dst, huge_pages());
			number_pages(both->src);
		}
		pthread_barrier_wait(&both->barrier);
		move_half(h);
		pthread_barrier_wait(&both->barrier);
		if (h->first != 0)
			continue;
		if (!pages_numbered(both->dst))
			atomic_fetch_add(&both->failed, 1);
		atomic_fetch_add(&both->rounds, 1);
	}
	return NULL;
}

/* One round takes a second under emulation, and some on a busy host. */
#define ROUND_SECONDS 120

/* A thread that hangs in the kernel cannot even be killed. */
static void join_or_end(pthread_t thread, const struct halves *both,
			const char *name)
{
	unsigned int rounds;
	struct timespec until;

	do {
		rounds = both->rounds;
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += ROUND_SECONDS;
		if (pthread_timedjoin_np(thread, NULL, &until) == 0)
			return;
	} while (both->rounds != rounds);
	tap_say(stdout, "after %u of %d rounds", rounds, SPLIT_ROUNDS);
	tap_ok(&tap, false, name);
	tap_done(&tap);
	fflush(stdout);
	_exit(1);
}

void test_two_movers(void)
{
	const char *name = "two movers out of one huge page come to an end";
	struct halves both = {
		.src = t_map_at(huge_pages(), HUGE_BYTES, 0, true),
		.dst = t_map_at(huge_pages(), HUGE_BYTES, 0, false),
	};
	struct half half[2] = { { &both, 0, 0 }, { &both, SPLIT_RUN, 0 } };
	uint64_t split = thp_vmstat("thp_split_page");
	struct pagemv_caps caps;
	int i;

	both.pv = open_trusting(0, &caps);
	t_register(both.pv, both.dst, huge_pages());
	pthread_barrier_init(&both.barrier, NULL, 2);
	for (i = 0; i < 2; i++)
		if (pthread_create(&half[i].thread, NULL, move_halves,
				   &half[i]) != 0)
			t_die("pthread_create");
	for (i = 0; i < 2; i++)
		join_or_end(half[i].thread, &both, name);
	split = thp_vmstat("thp_split_page") - split;
	expect(both.failed == 0 && split >= SPLIT_ROUNDS, name,
	       "%u failed, %" PRIu64 " huge pages split", both.failed, split);
	pthread_barrier_destroy(&both.barrier);
	pagemv_close(both.pv);
	t_unmap(both.src, huge_pages());
	t_unmap(both.dst, huge_pages());
}

/* ---- huge pages that migrate (b446dbe27035, 4165b7d1c45c) ---- */

/* Takes a huge page to the other node each time it is asked to. */
struct migrator {
	char *page;
	_Atomic unsigned int asked;
	_Atomic unsigned int done;
	_Atomic bool stop;
	_Atomic uint64_t took_ns; /* the last time */
	pthread_t thread;
};

static int node_of(void *page)
{
	int node = -1;

	syscall(SYS_move_pages, 0, 1ul, &page, NULL, &node, 0);
	return node;
}

static void *migrate(void *arg)
{
	struct migrator *m = arg;

	while (!m->stop) {
		unsigned int asked = m->asked;
		uint64_t begun = t_now_ns();
		void *page = m->page;
		int node, status;

		if (asked == m->done) {
			sched_yield();
			continue;
		}
		node = 1 - node_of(page);
		syscall(SYS_move_pages, 0, 1ul, &page, &node, &status,
			2 /* MPOL_MF_MOVE */);
		m->took_ns = t_now_ns() - begun;
		m->done = asked;
	}
	return NULL;
}

/* Numbered pages, [from, from + n) of them moved; what is wrong, or NULL. */
static const char *check_moved(const char *dst, const char *src, size_t from,
			       size_t n)
{
	size_t i;

	for (i = 0; i < huge_pages(); i++) {
		bool moved = i >= from && i < from + n;
		const char *p = (moved ? dst : src) + t_pages(i);

		if (!t_present(p) || number_of(p) != 1 + i)
			return "a page is not where it should be";
	}
	return NULL;
}

struct migration {
	char *dst;
	struct migrator migrator; /* and src */
	struct t_random random;
	uint64_t begun; /* how many huge pages had migrated before */
	uint64_t end_ns;
	uint64_t rounds;
};

static void migration_begin(struct migration *m)
{
	uint64_t seconds = 2 + t_env("PMV_SECONDS", 0);

	*m = (struct migration){
		.dst = t_map_at(huge_pages(), HUGE_BYTES, 0, true),
		.migrator.page = t_map_at(huge_pages(), HUGE_BYTES, 0, true),
		.random = t_random_make(t_env("PMV_SEED", 1)),
		.begun = thp_vmstat("thp_migration_success"),
		.end_ns = t_now_ns() + seconds * 1000000000u,
	};
	if (pthread_create(&m->migrator.thread, NULL, migrate, &m->migrator) !=
	    0)
		t_die("pthread_create");
}

/* Returns how many huge pages have migrated. */
static uint64_t migration_end(struct migration *m)
{
	m->migrator.stop = true;
	pthread_join(m->migrator.thread, NULL);
	t_unmap(m->migrator.page, huge_pages());
	t_unmap(m->dst, huge_pages());
	return thp_vmstat("thp_migration_success") - m->begun;
}

static bool migration_goes_on(const struct migration *m)
{
	return t_now_ns() < m->end_ns || m->rounds < 20;
}

/* A new huge page sets out; returns at some time while it is under way. */
static char *set_out(struct migration *m)
{
	struct migrator *migrator = &m->migrator;
	uint64_t until;

	thp_anew(migrator->page);
	t_drop(m->dst, huge_pages());
	number_pages(migrator->page);
	until = t_now_ns() + t_random_below(&m->random, 1 + migrator->took_ns);
	migrator->asked++;
	while (t_now_ns() < until)
		sched_yield();
	m->rounds++;
	return migrator->page;
}

static void await_arrival(const struct migration *m)
{
	while (m->migrator.done != m->migrator.asked)
		sched_yield();
}

/* Where none migrated, nothing has been shown. */
static void expect_migrated(bool ok, uint64_t migrated, const char *name)
{
	if (ok && migrated == 0)
		tap_skip(&tap, name, "no huge page has migrated");
	else
		tap_ok(&tap, ok, name);
}

/* What bare ioctls answer. Half a huge page, as the library moves it where
 * whole ones must not move. */
static void test_migration_bare(void)
{
	unsigned int miscounts = 0, denied = 0, busy = 0, later = 0, failed = 0;
	size_t half = huge_pages() / 2;
	int fd = t_uffd_open();
	struct migration m;
	uint64_t migrated;

	migration_begin(&m);
	t_uffd_register_wp(fd, m.dst, HUGE_BYTES);
	while (migration_goes_on(&m)) {
		char *src = set_out(&m);
		int r = t_uffd_move(fd, m.dst, src, t_pages(half), NULL);
		size_t there = t_count_present(m.dst, half);

		miscounts += r == -EEXIST && there == half;
		denied += r == -ENOENT && there == 0 && t_present(src);
		failed += r != 0 && r != -EEXIST && r != -ENOENT && r != -EBUSY;
		await_arrival(&m);
		if (r == -EBUSY) {
			busy++;
			t_drop(m.dst, half);
			later += t_uffd_move(fd, m.dst, src, t_pages(half),
					     NULL) == 0;
		}
	}
	migrated = migration_end(&m);
	close(fd);
	lab_seen("UFFDIO_MOVE of huge pages that migrate",
		 "of %" PRIu64 ", %u moved and not counted, %u said to be "
		 "absent, %u busy (%u moved later); %" PRIu64 " migrations",
		 m.rounds, miscounts, denied, busy, later, migrated);
	expect_migrated(failed == 0 && later == busy, migrated,
			"bare ioctls move huge pages that migrate");
	expect(miscounts == 0 || knows(PAGEMV_QUIRK_MISCOUNT),
	       "MISCOUNT: the table names a kernel that miscounts them",
	       "%u times", miscounts);
}

/* All of it is moved, however often it takes: EAGAIN is no failure, nor is
 * EBUSY, which 7.3 says while a huge page migrates. */
static int move_in_the_end(struct pagemv *pv, char *dst, char *src,
			   size_t pages, uint64_t *repaired)
{
	struct pagemv_result res;
	size_t done = 0;
	int tries, r = -EAGAIN;

	for (tries = 0; tries < 100 && (r == -EAGAIN || r == -EBUSY); tries++) {
		if (r == -EBUSY)
			t_sleep_ms(1);
		r = force_move(pv, dst + t_pages(done), src + t_pages(done),
			       pages - done, &res);
		done += res.left_off / t_page();
		*repaired += res.repaired_bytes / t_page();
	}
	return r;
}

/* how: as the caller distrusts the kernel. */
static void test_migration_library(uint32_t distrusted, const char *how)
{
	const struct pagemv_open_opts opts = { .size = sizeof(opts),
					       .distrusted = distrusted };
	const char *wrong = NULL;
	struct pagemv *pv = NULL;
	char seen[80], does[80];
	uint64_t repaired = 0, migrated;
	struct migration m;
	int r = 0;

	if (pagemv_open(&pv, &opts) != 0)
		t_die("pagemv_open");
	migration_begin(&m);
	t_register(pv, m.dst, huge_pages());
	while (r == 0 && wrong == NULL && migration_goes_on(&m)) {
		size_t from = 0, n = huge_pages();
		char *src = set_out(&m);

		if (t_random_below(&m.random, 2) == 0) {
			n = 1 + t_random_below(&m.random, 16);
			from = t_random_below(&m.random, huge_pages() - n);
		}
		r = move_in_the_end(pv, m.dst + t_pages(from),
				    src + t_pages(from), n, &repaired);
		await_arrival(&m);
		wrong = check_moved(m.dst, src, from, n);
	}
	pagemv_close(pv);
	migrated = migration_end(&m);
	snprintf(seen, sizeof(seen),
		 "huge pages that migrate, by the library%s", how);
	lab_seen(seen,
		 "%" PRIu64 " moved, %" PRIu64 " pages repaired; %" PRIu64
		 " migrations",
		 m.rounds, repaired, migrated);
	if (r != 0 || wrong != NULL)
		tap_say(stdout, "returned %d; %s", r,
			wrong != NULL ? wrong : "pages right");
	snprintf(does, sizeof(does),
		 "the library moves huge pages that migrate%s", how);
	expect_migrated(r == 0 && wrong == NULL, migrated, does);
}

void test_migration(void)
{
	char text[16];

	if (t_read_file("/sys/devices/system/node/node1/distance", text,
			sizeof(text))) {
		/* Whole ones, as the last has them, crash some kernels
		 * (4165b7d1c45c). */
		test_migration_library(PAGEMV_QUIRK_HUGE_MOVE,
				       ", HUGE_MOVE distrusted");
		test_migration_bare();
		test_migration_library(0, "");
	} else {
		tap_skip(&tap, "huge pages that migrate",
			 "there is one node only");
	}
}
