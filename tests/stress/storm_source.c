/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads take pages out of a source that others store to all the time, by
 * every mechanism, pass them about in memory of their own, and write them
 * again into the source. In the end every page is found exactly once, and the
 * counters of all pages add up to all stores.
 *
 * PMV_SECONDS: how long each way to move is tried (0.4 s); PMV_SEED.
 */
#include <pagemv/pagemv.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "oracle.h"
#include "proc.h"
#include "t.h"
#include "tap.h"
#include "ways.h"

#define MOVERS	2
#define STORERS 1
#define PAGES	32 /* of each mover, at src and in its own heap */
#define LONGEST 8

struct storm {
	struct t_case *c;
	char *src; /* MOVERS * PAGES pages, all stored to */
	bool stop;
};

struct mover {
	struct storm *storm;
	char *src;	  /* its part of the source */
	char *heap;	  /* 2 * PAGES pages that nobody else touches */
	bool away[PAGES]; /* page i is at heap + slot[i], not at src */
	size_t slot[PAGES];
	bool taken[2 * PAGES];
	uint64_t first_id;
	uint64_t version[PAGES];
	struct t_random random;
	uint64_t counted;
	uint64_t moves;
	char text[200];
	bool wrong;
	pthread_t thread;
};

struct storer {
	struct storm *storm;
	uint64_t stored;
	pthread_t thread;
};

static bool stopped(const struct storm *s)
{
	return __atomic_load_n(&s->stop, __ATOMIC_RELAXED);
}

static uint64_t *counter(char *page)
{
	return &((struct t_head *)(void *)page)->counter;
}

static void *store(void *arg)
{
	struct storer *s = arg;
	size_t i;

	while (!stopped(s->storm)) {
		for (i = 0; i < (size_t)MOVERS * PAGES; i++)
			__atomic_fetch_add(counter(s->storm->src + t_pages(i)),
					   1, __ATOMIC_RELAXED);
		s->stored += (uint64_t)MOVERS * PAGES;
	}
	return NULL;
}

__attribute__((format(printf, 2, 3))) static void
complain(struct mover *m, const char *format, ...)
{
	va_list ap;

	if (m->wrong)
		return;
	va_start(ap, format);
	vsnprintf(m->text, sizeof(m->text), format, ap);
	va_end(ap);
	m->wrong = true;
}

/* All of a page but the counter, which others are adding to. */
static void write_around_counter(char *page, uint64_t id, uint64_t version)
{
	const size_t head = sizeof(struct t_head);
	char *made = aligned_alloc(t_page(), t_page());

	if (made == NULL)
		t_die("memory for a page");
	t_fill(made, id, version);
	memcpy(page + head, made + head, t_page() - head);
	memcpy(page, made, offsetof(struct t_head, counter));
	free(made);
}

static int move(struct mover *m, void *dst, void *src, size_t n,
		struct pagemv_result *res)
{
	int r = pagemv_move(m->storm->c->pv, dst, src, t_pages(n),
			    &m->storm->c->opts, res);

	m->moves += (res->moved_bytes + res->copied_bytes) / t_page();
	if (res->stray != NULL)
		complain(m, "stray pages, though nobody else fills dst");
	if (r != 0 && r != -EAGAIN)
		complain(m, "%zu pages: returned %d (%s)", n, r,
			 pagemv_reason_string(res->reason));
	return r;
}

/* The start of n free slots of the mover's heap, or 2 * PAGES. */
static size_t find_room(struct mover *m, size_t n)
{
	size_t from = t_random_below(&m->random, 2 * PAGES - n + 1), i;

	for (i = 0; i < n; i++)
		if (m->taken[from + i])
			return (size_t)2 * PAGES;
	return from;
}

/* Brings a run of pages from the source to the mover's heap. */
static void take_away(struct mover *m)
{
	size_t from = t_random_below(&m->random, PAGES), n = 0, room, i;
	struct pagemv_result res;
	size_t done;

	while (n < LONGEST && from + n < PAGES && !m->away[from + n])
		n++;
	if (n == 0)
		return;
	room = find_room(m, n);
	if (room == (size_t)2 * PAGES)
		return;
	(void)move(m, m->heap + t_pages(room), m->src + t_pages(from), n, &res);
	done = (res.moved_bytes + res.copied_bytes) / t_page();
	for (i = 0; i < done; i++) {
		char *page = m->heap + t_pages(room + i);

		m->away[from + i] = true;
		m->slot[from + i] = room + i;
		m->taken[room + i] = true;
		/* Nobody else has it any more. */
		m->counted += *counter(page);
		*counter(page) = 0;
	}
}

/* Passes one page on inside the heap. */
static void pass_on(struct mover *m)
{
	size_t i = t_random_below(&m->random, PAGES), room = find_room(m, 1);
	struct pagemv_result res;

	if (!m->away[i] || room == (size_t)2 * PAGES)
		return;
	if (move(m, m->heap + t_pages(room), m->heap + t_pages(m->slot[i]), 1,
		 &res) != 0)
		return;
	m->taken[m->slot[i]] = false;
	m->taken[room] = true;
	m->slot[i] = room;
}

/* Writes one page at src again, in its next version. */
static void put_back(struct mover *m)
{
	size_t i = t_random_below(&m->random, PAGES);
	const char *wrong;
	char *page;

	if (!m->away[i])
		return;
	page = m->heap + t_pages(m->slot[i]);
	wrong = t_check(page, m->first_id + i, m->version[i]);
	if (wrong != NULL)
		complain(m, "page %zu: %s", i, wrong);
	m->version[i]++;
	write_around_counter(m->src + t_pages(i), m->first_id + i,
			     m->version[i]);
	t_drop(page, 1);
	m->taken[m->slot[i]] = false;
	m->away[i] = false;
}

static void *run_mover(void *arg)
{
	struct mover *m = arg;

	while (!stopped(m->storm) && !m->wrong) {
		take_away(m);
		pass_on(m);
		put_back(m);
		put_back(m);
		put_back(m);
		put_back(m);
	}
	return NULL;
}

static void check_end(struct mover *m)
{
	const char *wrong;
	size_t i;

	for (i = 0; i < PAGES; i++) {
		wrong = t_check(m->away[i] ? m->heap + t_pages(m->slot[i])
					   : m->src + t_pages(i),
				m->first_id + i, m->version[i]);
		if (wrong != NULL)
			complain(m, "page %zu in the end: %s", i, wrong);
	}
}

static void open_mover(struct mover *m, struct storm *s, size_t index)
{
	size_t i;

	memset(m, 0, sizeof(*m));
	m->storm = s;
	m->src = s->src + t_pages(index * PAGES);
	m->heap = t_case_heap(s->c, (size_t)2 * PAGES);
	m->first_id = 1 + index * PAGES;
	m->random = t_random_make(t_env("PMV_SEED", 1) * 100 + index);
	t_fill_range(m->src, PAGES, m->first_id);
	for (i = 0; i < PAGES; i++)
		m->version[i] = 1;
}

static void start_all(struct mover *movers, struct storer *storers,
		      struct storm *s)
{
	size_t i;

	for (i = 0; i < MOVERS; i++)
		open_mover(&movers[i], s, i);
	for (i = 0; i < STORERS; i++) {
		storers[i] = (struct storer){ .storm = s };
		if (pthread_create(&storers[i].thread, NULL, store,
				   &storers[i]) != 0)
			t_die("pthread_create");
	}
	for (i = 0; i < MOVERS; i++)
		if (pthread_create(&movers[i].thread, NULL, run_mover,
				   &movers[i]) != 0)
			t_die("pthread_create");
}

static void expect(struct tap *tap, const struct t_case *c, bool ok,
		   const char *what)
{
	char name[120];

	snprintf(name, sizeof(name), "%s: %s", c->name, what);
	tap_ok(tap, ok, name);
}

static void run_storm(struct tap *tap, struct t_case *c, uint64_t ns)
{
	struct storm s = { .c = c };
	struct mover movers[MOVERS];
	struct storer storers[STORERS];
	uint64_t stored = 0, counted = 0, moves = 0;
	struct t_census census;
	const char *verdict;
	bool wrong = false;
	size_t i;

	s.src = t_case_map(c, (size_t)MOVERS * PAGES);
	start_all(movers, storers, &s);
	t_sleep_ms((unsigned int)(ns / 1000000));
	__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < STORERS; i++) {
		pthread_join(storers[i].thread, NULL);
		stored += storers[i].stored;
	}
	t_census_open(&census, (size_t)MOVERS * PAGES);
	for (i = 0; i < MOVERS; i++) {
		pthread_join(movers[i].thread, NULL);
		check_end(&movers[i]);
		counted += movers[i].counted;
		moves += movers[i].moves;
		wrong = wrong || movers[i].wrong;
		if (movers[i].wrong)
			tap_say(stdout, "%s", movers[i].text);
		t_census_take(&census, movers[i].heap, (size_t)2 * PAGES);
	}
	t_census_take(&census, s.src, (size_t)MOVERS * PAGES);
	counted += census.counters;
	tap_say(stdout, "%s: %" PRIu64 " pages moved, %" PRIu64 " stores",
		c->name, moves, stored);
	expect(tap, c, !wrong, "pages are where the results say");
	verdict = t_census_verdict(&census);
	expect(tap, c, verdict == NULL, "every page exactly once");
	if (verdict != NULL)
		tap_say(stdout, "%s", verdict);
	expect(tap, c, counted == stored, "no store lost");
	if (counted != stored)
		tap_say(stdout, "%" PRIu64 " stores, %" PRIu64 " found", stored,
			counted);
	t_census_close(&census);
}

int main(void)
{
	uint64_t ns = t_env("PMV_SECONDS", 0) * 1000000000u;
	struct tap tap = { 0, 0 };
	struct t_case c;

	if (ns == 0)
		ns = 400000000u;
	t_cases(&c, T_WAYS_LIVE);
	while (t_next_case(&c))
		run_storm(&tap, &c, ns);
	return tap_done(&tap);
}
