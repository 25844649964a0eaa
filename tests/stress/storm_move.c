/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads move pages about in one region, each among slots of its own, while
 * others store into all of the slots, present or absent. In the end every
 * page is found exactly once, where its mover thinks it is, and the counters
 * of all pages add up to all stores.
 *
 * Only mechanisms that fill dst by userfaultfd are tried: what others store to
 * dst, where mremap or memcpy puts pages, is not promised to survive. All
 * mechanisms are in storm_source.
 *
 * A store to a slot whose page is away makes a page of zeros there, with a
 * counter: a mover that meets one takes it away and adds up what it counted.
 *
 * PMV_SECONDS: how long each way to move is tried (0.8 s); PMV_SEED.
 */
#include <pagemv/pagemv.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "oracle.h"
#include "proc.h"
#include "t.h"
#include "tap.h"
#include "ways.h"

#define MOVERS	2
#define STORERS 2
#define SLOTS	96 /* of each mover */
#define PAGES	40 /* of each mover: identities */
#define LONGEST 6
#define STRAYS	4096

struct storm {
	struct t_case *c;
	char *heap; /* MOVERS * SLOTS slots */
	bool stop;
};

struct mover {
	struct storm *storm;
	char *slots;	    /* its part of the heap */
	char *grave;	    /* LONGEST pages, a region nobody stores to */
	uint64_t at[SLOTS]; /* the identity there; 0: none that it knows */
	struct t_random random;
	uint64_t counted; /* counters of pages taken away */
	uint64_t moves;
	uint64_t repaired;
	uint64_t strays;
	const char *wrong;
	char text[200];
	pthread_t thread;
};

struct storer {
	struct storm *storm;
	struct t_random random;
	uint64_t stored;
	pthread_t thread;
};

static bool stopped(const struct storm *s)
{
	return __atomic_load_n(&s->stop, __ATOMIC_RELAXED);
}

static uint64_t *counter(char *slot)
{
	return &((struct t_head *)(void *)slot)->counter;
}

static void *store(void *arg)
{
	struct storer *s = arg;
	size_t i;

	while (!stopped(s->storm)) {
		i = t_random_below(&s->random, MOVERS * SLOTS);
		__atomic_fetch_add(counter(s->storm->heap + t_pages(i)), 1,
				   __ATOMIC_RELAXED);
		/* A rest now and then, or every empty slot is taken at once. */
		if (++s->stored % 16 == 0)
			nanosleep(&(struct timespec){ 0, 20000 }, NULL);
	}
	return NULL;
}

__attribute__((format(printf, 2, 3))) static void
complain(struct mover *m, const char *format, ...)
{
	va_list ap;

	if (m->wrong != NULL)
		return;
	va_start(ap, format);
	vsnprintf(m->text, sizeof(m->text), format, ap);
	va_end(ap);
	m->wrong = m->text;
}

/*
 * Pages that found both src and dst taken. Those of storers count; one with
 * an identity goes back to a slot through the grave.
 */
static void take_stray(struct mover *m, const struct pagemv_result *res)
{
	size_t n = res->stray_bytes / t_page(), i, j;
	char *p = res->stray;

	for (i = 0; i < n; i++, p += t_page()) {
		uint64_t id = 0;

		m->strays++;
		if (t_look_present(p, &id, NULL) != T_GOOD) {
			m->counted += *counter(p);
			continue;
		}
		/* Write it again where it belongs: the movers' own slots are
		 * only written by storers, whose counts are added. */
		for (j = 0; j < SLOTS && m->at[j] != 0; j++)
			;
		if (j == SLOTS) {
			complain(m, "no slot for a stray page");
			continue;
		}
		m->counted += *counter(p);
		((struct t_head *)(void *)p)->counter = 0;
		for (;;) {
			const struct pagemv_move_opts opts = {
				.size = sizeof(opts),
			};
			struct pagemv_result again;
			char *slot = m->slots + t_pages(j);
			int r = pagemv_move(m->storm->c->pv, slot, p, t_page(),
					    &opts, &again);

			if (r == 0)
				break;
			if (r != -EEXIST) {
				complain(m, "a stray page: %d", r);
				break;
			}
			if (pagemv_move(m->storm->c->pv, m->grave, slot,
					t_page(), &opts, &again) == 0) {
				m->counted += *counter(m->grave);
				t_drop(m->grave, 1);
			}
		}
		m->at[j] = id;
	}
	munmap(res->stray, res->stray_bytes);
}

/* Takes the pages of zeros and counters at [slot, + n) away. */
static void clean(struct mover *m, size_t slot, size_t n)
{
	struct pagemv_result res;
	size_t i;
	int r;

	for (i = slot; i < slot + n; i++) {
		struct pagemv_move_opts opts = m->storm->c->opts;

		if (m->at[i] != 0)
			continue;
		opts.flags |= PAGEMV_MOVE_HOLES;
		r = pagemv_move(m->storm->c->pv, m->grave,
				m->slots + t_pages(i), t_page(), &opts, &res);
		if (res.stray != NULL)
			take_stray(m, &res);
		else if (r != 0 && r != -EAGAIN)
			complain(m, "cleaning: %d (%s)", r,
				 pagemv_reason_string(res.reason));
		m->counted += t_sum_counters(m->grave, 1);
		t_drop(m->grave, 1);
	}
}

static size_t run_at(const struct mover *m, size_t from, bool present)
{
	size_t n = 0;

	while (n < LONGEST && from + n < SLOTS &&
	       (m->at[from + n] != 0) == present)
		n++;
	return n;
}

static void move_some(struct mover *m)
{
	size_t from = t_random_below(&m->random, SLOTS);
	size_t to = t_random_below(&m->random, SLOTS);
	size_t n = run_at(m, from, true), room = run_at(m, to, false), i;
	struct pagemv_result res;
	size_t done;
	int r;

	n = n < room ? n : room;
	if (n == 0)
		return;
	r = pagemv_move(m->storm->c->pv, m->slots + t_pages(to),
			m->slots + t_pages(from), t_pages(n),
			&m->storm->c->opts, &res);
	done = (res.moved_bytes + res.copied_bytes) / t_page();
	m->moves += done;
	m->repaired += res.repaired_bytes / t_page();
	if (res.hole_bytes != 0 || done > n || (r == 0) != (done == n))
		complain(m, "%zu pages: returned %d, %zu done, %zu holes", n, r,
			 done, res.hole_bytes);
	for (i = 0; i < done; i++) {
		m->at[to + i] = m->at[from + i];
		m->at[from + i] = 0;
	}
	if (res.stray != NULL) {
		for (i = 0; i < res.stray_bytes / t_page(); i++)
			m->at[from + res.stray_off / t_page() + i] = 0;
		take_stray(m, &res);
	} else if (r == -EEXIST) {
		clean(m, to, n);
	} else if (r != 0 && r != -EAGAIN) {
		complain(m, "%zu pages: returned %d (%s)", n, r,
			 pagemv_reason_string(res.reason));
	}
}

static void *move(void *arg)
{
	struct mover *m = arg;

	while (!stopped(m->storm) && m->wrong == NULL)
		move_some(m);
	return NULL;
}

static void check_slots(struct mover *m)
{
	const char *wrong;
	size_t i;

	for (i = 0; i < SLOTS; i++) {
		const char *slot = m->slots + t_pages(i);

		if (m->at[i] != 0) {
			wrong = t_check(slot, m->at[i], 1);
			if (wrong != NULL)
				complain(m, "slot %zu: %s", i, wrong);
		} else if (t_look(slot, NULL, NULL) == T_GOOD) {
			complain(m,
				 "slot %zu: a page that is not thought to be "
				 "there",
				 i);
		}
	}
}

static void start_mover(struct mover *m, struct storm *s, size_t index)
{
	size_t i;

	*m = (struct mover){ .storm = s };
	m->random = t_random_make(t_env("PMV_SEED", 1) * 100 + index);
	m->slots = s->heap + t_pages(index * SLOTS);
	m->grave = t_case_heap(s->c, LONGEST);
	for (i = 0; i < PAGES; i++) {
		m->at[i] = 1 + index * PAGES + i;
		t_fill(m->slots + t_pages(i), m->at[i], 1);
	}
}

static void run_storm(struct tap *tap, struct t_case *c, uint64_t ns)
{
	struct storm s = { .c = c };
	struct mover movers[MOVERS];
	struct storer storers[STORERS];
	uint64_t stored = 0, counted = 0, moves = 0, repaired = 0, strays = 0;
	const char *wrong = NULL, *verdict;
	struct t_census census;
	char name[100];
	size_t i;

	s.heap = t_case_heap(c, (size_t)MOVERS * SLOTS);
	for (i = 0; i < MOVERS; i++)
		start_mover(&movers[i], &s, i);
	for (i = 0; i < STORERS; i++) {
		storers[i] = (struct storer){ .storm = &s };
		storers[i].random = t_random_make(777 + i);
		if (pthread_create(&storers[i].thread, NULL, store,
				   &storers[i]) != 0)
			t_die("pthread_create");
	}
	for (i = 0; i < MOVERS; i++)
		if (pthread_create(&movers[i].thread, NULL, move, &movers[i]) !=
		    0)
			t_die("pthread_create");
	t_sleep_ms((unsigned int)(ns / 1000000));
	__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < STORERS; i++) {
		pthread_join(storers[i].thread, NULL);
		stored += storers[i].stored;
	}
	t_census_open(&census, (size_t)MOVERS * PAGES);
	for (i = 0; i < MOVERS; i++) {
		pthread_join(movers[i].thread, NULL);
		check_slots(&movers[i]);
		counted += movers[i].counted;
		moves += movers[i].moves;
		repaired += movers[i].repaired;
		strays += movers[i].strays;
		if (movers[i].wrong != NULL)
			wrong = movers[i].wrong;
	}
	t_census_take(&census, s.heap, (size_t)MOVERS * SLOTS);
	counted += census.counters;
	tap_say(stdout,
		"%s: %" PRIu64 " pages moved, %" PRIu64 " repaired, %" PRIu64
		" strays, %" PRIu64 " stores",
		c->name, moves, repaired, strays, stored);
	snprintf(name, sizeof(name), "%s: pages are where the results say",
		 c->name);
	if (!tap_ok(tap, wrong == NULL, name))
		tap_say(stdout, "%s", wrong);
	verdict = t_census_verdict(&census);
	snprintf(name, sizeof(name), "%s: every page exactly once", c->name);
	if (!tap_ok(tap, verdict == NULL, name))
		tap_say(stdout, "%s", verdict);
	snprintf(name, sizeof(name), "%s: no store lost", c->name);
	if (!tap_ok(tap, counted == stored, name))
		tap_say(stdout, "%" PRIu64 " stores, %" PRIu64 " found", stored,
			counted);
	t_census_close(&census);
}

int main(void)
{
	/* By default all the ways together take about five seconds. */
	uint64_t ns = t_env("PMV_SECONDS", 0) * 1000000000u;
	struct tap tap = { 0, 0 };
	struct t_case c;

	if (ns == 0)
		ns = 800000000u;
	t_cases(&c, T_WAY_BIT(T_AUTO) | T_WAY_BIT(T_MOVE) | T_WAY_BIT(T_COPY));
	while (t_next_case(&c))
		if (c.variant != T_NO_UFFD &&
		    (c.caps.facilities & PAGEMV_HAS_UFFD) != 0)
			run_storm(&tap, &c, ns);
	if (tap.count == 0)
		tap_skip(&tap, "storm", "there is no userfaultfd here");
	return tap_done(&tap);
}
