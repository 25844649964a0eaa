/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storm.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "oracle.h"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

#define HUGE_BYTES (2u << 20)
/* What a mover is to have moved before the storm ends. */
#define ENOUGH_PAGES 32
/* How much longer than planned a storm may last until enough was done. */
#define PATIENCE_NS 20000000000u

/* Moved as one: all pages at home, at src, or all away, in the heap. */
struct unit {
	bool away;
	size_t slot;  /* of the heap, if away */
	bool emptied; /* its counters were added up and set to 0, if away */
};

#define MADE_OFF 64 /* bytes */

struct mover {
	struct storm *storm;
	char *src;  /* its part of the source */
	char *heap; /* 2 * units slots that nobody else stores to */
	struct unit *units;
	uint64_t *version; /* of each page */
	bool *taken;	   /* each slot */
	char *made;	   /* a page that is being written, in room */
	char *room;
	uint64_t first_id;
	struct t_random random;
	uint64_t counted;
	uint64_t moved_pages;
	uint64_t copied_pages;
	uint64_t left_pages;
	uint64_t unnoticed_pages;
	uint32_t mechanisms;
	pthread_t thread;
};

struct storer {
	struct storm *storm;
	size_t first; /* page to store to */
	uint64_t stored;
	pthread_t thread;
};

struct disturber {
	struct storm *storm;
	void (*disturb)(struct storm *s, struct t_random *random);
	struct t_random random;
	pthread_t thread;
};

struct storm_state {
	struct mover movers[STORM_MOVERS];
	struct storer storers[STORM_STORERS];
	struct disturber disturbers[STORM_DISTURBERS];
	unsigned int mover_count;
	unsigned int storer_count;
	unsigned int disturber_count;
	size_t unit_pages;
	size_t units;	      /* of each mover */
	size_t longest_units; /* moved at once */
	uint64_t ns;
	bool over;
	unsigned int idle; /* threads that have not done enough yet */
	bool wrong;
	char text[200];
};

/* The pages of a move: of units [unit, + units) of a mover. */
struct run {
	size_t unit;
	size_t units;
	char *src;
	char *dst;
	size_t slot; /* of dst */
	struct pagemv_result res;
	bool unnoticed; /* see was_unnoticed() */
};

bool storm_over(const struct storm *s)
{
	return __atomic_load_n(&s->state->over, __ATOMIC_RELAXED);
}

static void end_storm(struct storm *s)
{
	__atomic_store_n(&s->state->over, true, __ATOMIC_RELAXED);
}

void storm_wrong(struct storm *s, const char *format, ...)
{
	struct storm_state *state = s->state;
	va_list ap;

	if (__atomic_exchange_n(&state->wrong, true, __ATOMIC_RELAXED))
		return;
	va_start(ap, format);
	vsnprintf(state->text, sizeof(state->text), format, ap);
	va_end(ap);
	end_storm(s);
}

char *storm_pick(struct storm *s, struct t_random *random, size_t *pages)
{
	const struct storm_state *state = s->state;
	size_t unit = state->unit_pages, all = s->src_pages / unit, n, from;
	char *area = s->src;

	if (t_random_below(random, 2) == 0) {
		area = s->heaps[t_random_below(random, state->mover_count)];
		all = s->heap_pages / unit;
	}
	n = 1 + t_random_below(random, state->longest_units);
	from = t_random_below(random, all - n + 1);
	*pages = n * unit;
	return area + t_pages(from * unit);
}

static uint64_t *counter(char *page)
{
	return &((struct t_head *)(void *)page)->counter;
}

/* A thread has done enough: the storm may end as far as it goes. */
static void done_enough(struct storm *s)
{
	__atomic_fetch_sub(&s->state->idle, 1, __ATOMIC_RELAXED);
}

static void *store(void *arg)
{
	struct storer *t = arg;
	struct storm *s = t->storm;
	size_t i = t->first;

	while (!storm_over(s)) {
		__atomic_fetch_add(counter(s->src + t_pages(i)), 1,
				   __ATOMIC_RELAXED);
		i = (i + 1) % s->src_pages;
		if (++t->stored == s->src_pages)
			done_enough(s);
		if (s->plan->store_pause_us != 0)
			usleep(s->plan->store_pause_us);
	}
	return NULL;
}

static void *disturb(void *arg)
{
	struct disturber *d = arg;

	/* Before it: a call may take as long as the storm. */
	done_enough(d->storm);
	do
		d->disturb(d->storm, &d->random);
	while (!storm_over(d->storm));
	return NULL;
}

static size_t unit_bytes(const struct mover *m)
{
	return t_pages(m->storm->state->unit_pages);
}

static size_t slot_count(const struct mover *m)
{
	return 2 * m->storm->state->units;
}

static char *home(const struct mover *m, size_t page)
{
	return m->src + t_pages(page);
}

/* Where the unit is now. */
static char *unit_at(const struct mover *m, size_t unit)
{
	const struct unit *u = &m->units[unit];

	return (u->away ? m->heap + u->slot * unit_bytes(m)
			: m->src + unit * unit_bytes(m));
}

/* All of a page but the counter, which others are adding to. */
static void write_around_counter(struct mover *m, size_t page)
{
	const size_t head = sizeof(struct t_head);
	char *at = home(m, page);

	t_fill(m->made, m->first_id + page, m->version[page]);
	memcpy(at + head, m->made + head, t_page() - head);
	memcpy(at, m->made, offsetof(struct t_head, counter));
}

static void check_page(struct mover *m, size_t page, char *at)
{
	const struct unit *u = &m->units[page / m->storm->state->unit_pages];
	const char *wrong = t_check(at, m->first_id + page, m->version[page]);

	if (wrong != NULL)
		storm_wrong(m->storm, "page %zu: %s", page, wrong);
	else if (u->away && u->emptied && *counter(at) != 0)
		storm_wrong(m->storm,
			    "page %zu: %" PRIu64
			    " stores after it had been moved",
			    page, *counter(at));
}

/* Writes a page that is at from to the source again, in its next version. */
static void come_home(struct mover *m, size_t page, char *from)
{
	check_page(m, page, from);
	m->counted += *counter(from);
	m->version[page]++;
	if (m->storm->plan->versions != 0 &&
	    m->version[page] > m->storm->plan->versions)
		m->version[page] = 1;
	write_around_counter(m, page);
}

/* The slot is free, whatever is there; a plan may have locked the heap. */
static void clear_slot(struct mover *m, size_t slot)
{
	char *at = m->heap + slot * unit_bytes(m);

	if (madvise(at, unit_bytes(m), MADV_DONTNEED) != 0 &&
	    madvise(at, unit_bytes(m), MADV_DONTNEED_LOCKED) != 0)
		t_die("dropping a slot");
	m->taken[slot] = false;
}

static bool move_is_fine(struct mover *m, int r,
			 const struct pagemv_result *res)
{
	const struct storm_plan *plan = m->storm->plan;

	return r == 0 || r == -EAGAIN ||
	       (plan->allowed != NULL && plan->allowed(m->storm, r, res));
}

/*
 * Has the kernel moved a page without counting it, and a storer made a new one
 * in its place before the library looked? Nothing tells this from a page that
 * was at dst before, so the answer is EEXIST (pagemv(7), MISCOUNT); but this
 * page at dst is one that only its mover knows.
 */
static bool was_unnoticed(const struct mover *m, const struct run *run)
{
	const struct pagemv_result *res = &run->res;
	size_t page = run->unit * m->storm->state->unit_pages +
		      res->left_off / t_page();

	return res->error == -EEXIST &&
	       (m->storm->c->caps.quirks & PAGEMV_QUIRK_MISCOUNT) != 0 &&
	       t_check(run->dst + res->left_off, m->first_id + page,
		       m->version[page]) == NULL;
}

static void move(struct mover *m, struct run *run)
{
	struct storm *s = m->storm;
	struct pagemv_move_opts opts = t_opts(s->c, s->plan->flags);
	size_t pages = run->units * s->state->unit_pages;
	struct pagemv_result *res = &run->res;
	int r;

	r = pagemv_move(s->c->pv, run->dst, run->src, t_pages(pages), &opts,
			res);
	m->moved_pages += res->moved_bytes / t_page();
	m->copied_pages += res->copied_bytes / t_page();
	m->left_pages += res->left_bytes / t_page();
	m->mechanisms |= res->mechanisms;
	run->unnoticed = was_unnoticed(m, run);
	if (!move_is_fine(m, r, res) && !run->unnoticed)
		storm_wrong(s, "%zu pages: returned %d (%s)%s", pages, r,
			    pagemv_reason_string(res->reason),
			    res->stray == NULL ? "" : " with stray pages");
	else if (res->hole_bytes != 0)
		storm_wrong(s, "%zu pages: %zu bytes of holes where none are",
			    pages, res->hole_bytes);
}

/*
 * Where page i of a run is after the move. What is behind the first page that
 * was left is looked for: a plan may have busy pages skipped.
 */
static char *found_at(const struct run *run, size_t i)
{
	const struct pagemv_result *res = &run->res;
	size_t off = t_pages(i);

	if (off >= res->stray_off && off - res->stray_off < res->stray_bytes)
		return (char *)res->stray + (off - res->stray_off);
	if (off < res->left_off || t_look(run->dst + off, NULL, NULL) > T_ZERO)
		return run->dst + off;
	return run->src + off;
}

/* A unit in pieces goes home as a whole. */
static void gather(struct mover *m, const struct run *run, size_t index)
{
	size_t each = m->storm->state->unit_pages, i;
	struct unit *u = &m->units[run->unit + index];

	for (i = index * each; i < (index + 1) * each; i++) {
		size_t page = run->unit * each + i;
		char *at = found_at(run, i);

		if (at != home(m, page))
			come_home(m, page, at);
	}
	if (u->away)
		clear_slot(m, u->slot);
	u->away = false;
}

/* Accounts for one unit of a run that was moved; returns its pages at dst. */
static size_t settle(struct mover *m, const struct run *run, size_t index)
{
	size_t each = m->storm->state->unit_pages, at_dst = 0, at_src = 0, i;
	struct unit *u = &m->units[run->unit + index];

	for (i = index * each; i < (index + 1) * each; i++) {
		const char *at = found_at(run, i);

		at_dst += at == run->dst + t_pages(i);
		at_src += at == run->src + t_pages(i);
	}
	if (at_dst == each) {
		if (u->away)
			m->taken[u->slot] = false;
		*u = (struct unit){ .away = true,
				    .slot = run->slot + index,
				    .emptied = u->away && u->emptied };
		m->taken[u->slot] = true;
		return at_dst;
	}
	if (at_src != each)
		gather(m, run, index);
	clear_slot(m, run->slot + index);
	return at_dst;
}

static void move_and_settle(struct mover *m, struct run *run)
{
	size_t done, found = 0, i;

	move(m, run);
	for (i = 0; i < run->units; i++)
		found += settle(m, run, i);
	done = (run->res.moved_bytes + run->res.copied_bytes) / t_page();
	if (run->unnoticed && found > done)
		m->unnoticed_pages += found - done;
	else if (found != done)
		storm_wrong(m->storm, "%zu pages said to be at dst, %zu are",
			    done, found);
	if (run->res.stray != NULL)
		munmap(run->res.stray, run->res.stray_bytes);
}

/* The first of n free slots of the mover's heap, or their number. */
static size_t find_room(struct mover *m, size_t n)
{
	size_t from = t_random_below(&m->random, slot_count(m) - n + 1), i;

	for (i = 0; i < n; i++)
		if (m->taken[from + i])
			return slot_count(m);
	return from;
}

/*
 * Adds the counters of a unit in the heap up. Nobody else has it any more: who
 * stores to it now comes late.
 */
static void empty(struct mover *m, size_t unit)
{
	char *at = unit_at(m, unit);
	size_t i;

	for (i = 0; i < m->storm->state->unit_pages; i++) {
		m->counted += *counter(at + t_pages(i));
		*counter(at + t_pages(i)) = 0;
	}
	m->units[unit].emptied = true;
}

/* Brings units from the source to the mover's heap. */
static void take_away(struct mover *m)
{
	const struct storm_state *state = m->storm->state;
	struct run run = { .unit = t_random_below(&m->random, state->units) };
	size_t i;

	while (run.units < state->longest_units &&
	       run.unit + run.units < state->units &&
	       !m->units[run.unit + run.units].away)
		run.units++;
	if (run.units == 0)
		return;
	run.slot = find_room(m, run.units);
	if (run.slot == slot_count(m))
		return;
	run.src = unit_at(m, run.unit);
	run.dst = m->heap + run.slot * unit_bytes(m);
	move_and_settle(m, &run);
	/* Not always: untouched, a page stays shared or swapped out. */
	if (t_random_below(&m->random, 2) == 0)
		return;
	for (i = run.unit; i < run.unit + run.units; i++)
		if (m->units[i].away)
			empty(m, i);
}

/* Passes one unit on inside the heap. */
static void pass_on(struct mover *m)
{
	struct run run = { .units = 1 };

	run.unit = t_random_below(&m->random, m->storm->state->units);
	run.slot = find_room(m, 1);
	if (!m->units[run.unit].away || run.slot == slot_count(m))
		return;
	run.src = unit_at(m, run.unit);
	run.dst = m->heap + run.slot * unit_bytes(m);
	move_and_settle(m, &run);
}

static void put_back(struct mover *m)
{
	size_t each = m->storm->state->unit_pages, i;
	size_t unit = t_random_below(&m->random, m->storm->state->units);
	struct unit *u = &m->units[unit];
	char *at = unit_at(m, unit);

	if (!u->away)
		return;
	for (i = 0; i < each; i++)
		come_home(m, unit * each + i, at + t_pages(i));
	clear_slot(m, u->slot);
	u->away = false;
}

static uint64_t pages_done(const struct mover *m)
{
	return m->moved_pages + m->copied_pages;
}

/* Where moves may fail, perhaps all of them do: then trying is enough. */
static bool has_done_enough(const struct mover *m)
{
	return pages_done(m) >= ENOUGH_PAGES || m->storm->plan->allowed != NULL;
}

static void *run_mover(void *arg)
{
	struct mover *m = arg;
	bool idle = true;
	int i;

	while (!storm_over(m->storm)) {
		take_away(m);
		pass_on(m);
		/* As pages are taken in runs and come back one by one. */
		for (i = 0; i < 4; i++)
			put_back(m);
		if (idle && has_done_enough(m)) {
			done_enough(m->storm);
			idle = false;
		}
	}
	return NULL;
}

static void *zeroed(size_t count, size_t bytes)
{
	void *p = calloc(count, bytes);

	if (p == NULL)
		t_die("memory for a storm");
	return p;
}

static void *map_pages(const struct storm *s, size_t pages)
{
	if (!s->plan->huge)
		return t_case_map(s->c, pages);
	return t_case_map_at(s->c, pages, HUGE_BYTES, 0, true);
}

static void open_mover(struct storm *s, unsigned int index)
{
	const struct storm_state *state = s->state;
	size_t pages = state->units * state->unit_pages, i;
	struct mover *m = &s->state->movers[index];

	m->storm = s;
	m->src = s->src + t_pages(index * pages);
	m->heap = map_pages(s, s->heap_pages);
	t_register(s->c->pv, m->heap, s->heap_pages);
	s->heaps[index] = m->heap;
	m->first_id = 1 + index * pages;
	m->random = t_random_make(t_env("PMV_SEED", 1) * 100 + index);
	m->units = zeroed(state->units, sizeof(m->units[0]));
	m->taken = zeroed(slot_count(m), sizeof(m->taken[0]));
	m->version = zeroed(pages, sizeof(m->version[0]));
	/* Not at the begin of a page: who looks through all memory for pages,
	 * as in a core file, would find one more. */
	m->room = zeroed(1, t_page() + MADE_OFF);
	m->made = m->room;
	if ((uintptr_t)m->made % t_page() == 0)
		m->made += MADE_OFF;
	for (i = 0; i < pages; i++)
		m->version[i] = 1;
	t_fill_range(m->src, pages, m->first_id);
}

static void close_mover(struct mover *m)
{
	free(m->units);
	free(m->taken);
	free(m->version);
	free(m->room);
}

static size_t or_default(size_t given, size_t fallback)
{
	return given != 0 ? given : fallback;
}

static void read_plan(struct storm_state *state, const struct storm_plan *plan)
{
	size_t unit = or_default(plan->unit_pages, 1);
	uint64_t seconds = t_env("PMV_SECONDS", 0);

	state->mover_count = (unsigned int)or_default(plan->movers, 2);
	if (!plan->no_storers)
		state->storer_count =
			(unsigned int)or_default(plan->storers, 1);
	state->unit_pages = unit;
	state->units = or_default(plan->pages, unit > 8 ? 2 * unit : 32) / unit;
	state->longest_units = or_default(plan->longest_pages, 8) / unit;
	if (state->longest_units == 0)
		state->longest_units = 1;
	if (state->longest_units > state->units)
		state->longest_units = state->units;
	state->ns = seconds * 1000000000u;
	if (seconds == 0)
		state->ns = or_default(plan->ms, 400) * (uint64_t)1000000;
	if (state->mover_count > STORM_MOVERS ||
	    state->storer_count > STORM_STORERS || state->units == 0)
		t_die("a storm of %u movers, %u storers, %zu units",
		      state->mover_count, state->storer_count, state->units);
}

static void open_storm(struct storm *s, const struct storm_plan *plan,
		       struct t_case *c)
{
	struct storm_state *state = zeroed(1, sizeof(*state));
	unsigned int i;

	read_plan(state, plan);
	*s = (struct storm){ .plan = plan, .c = c, .state = state };
	s->heap_pages = 2 * state->units * state->unit_pages;
	s->src_pages = state->mover_count * state->units * state->unit_pages;
	s->src = map_pages(s, s->src_pages);
	for (i = 0; i < state->mover_count; i++)
		open_mover(s, i);
}

static void close_storm(struct storm *s)
{
	unsigned int i;

	for (i = 0; i < s->state->mover_count; i++)
		close_mover(&s->state->movers[i]);
	free(s->state);
}

static void start(pthread_t *thread, void *(*body)(void *), void *arg)
{
	if (pthread_create(thread, NULL, body, arg) != 0)
		t_die("pthread_create");
}

static void open_disturbers(struct storm *s)
{
	struct storm_state *state = s->state;
	unsigned int i;

	for (i = 0; i < STORM_DISTURBERS; i++) {
		struct disturber *d =
			&state->disturbers[state->disturber_count];

		if (s->plan->disturb[i] == NULL)
			continue;
		d->storm = s;
		d->disturb = s->plan->disturb[i];
		d->random = t_random_make(t_env("PMV_SEED", 1) * 100 + 50 + i);
		state->disturber_count++;
	}
}

static void start_all(struct storm *s)
{
	struct storm_state *state = s->state;
	unsigned int i;

	open_disturbers(s);
	state->idle = state->mover_count + state->storer_count +
		      state->disturber_count;
	for (i = 0; i < state->storer_count; i++) {
		struct storer *t = &state->storers[i];

		t->storm = s;
		t->first = i * s->src_pages / state->storer_count;
		start(&t->thread, store, t);
	}
	for (i = 0; i < state->disturber_count; i++)
		start(&state->disturbers[i].thread, disturb,
		      &state->disturbers[i]);
	for (i = 0; i < state->mover_count; i++)
		start(&state->movers[i].thread, run_mover, &state->movers[i]);
}

/*
 * Until its time is over and, on a machine that is slow or has other things
 * to do, every thread has done enough.
 */
static void wait_for_end(const struct storm *s)
{
	const struct storm_state *state = s->state;
	uint64_t begin = t_now_ns(), passed = 0;

	while (!storm_over(s) &&
	       (passed < state->ns ||
		(passed < state->ns + PATIENCE_NS &&
		 __atomic_load_n(&state->idle, __ATOMIC_RELAXED) != 0))) {
		t_sleep_ms(5);
		passed = t_now_ns() - begin;
	}
}

static void join_all(struct storm *s)
{
	struct storm_state *state = s->state;
	unsigned int i;

	for (i = 0; i < state->storer_count; i++) {
		pthread_join(state->storers[i].thread, NULL);
		s->stores += state->storers[i].stored;
	}
	for (i = 0; i < state->mover_count; i++) {
		const struct mover *m = &state->movers[i];

		pthread_join(m->thread, NULL);
		s->moved_pages += m->moved_pages;
		s->copied_pages += m->copied_pages;
		s->left_pages += m->left_pages;
		s->unnoticed_pages += m->unnoticed_pages;
		s->mechanisms |= m->mechanisms;
	}
	for (i = 0; i < state->disturber_count; i++)
		pthread_join(state->disturbers[i].thread, NULL);
	for (i = 0; i < state->mover_count; i++)
		if (s->plan->allowed == NULL &&
		    pages_done(&state->movers[i]) == 0)
			storm_wrong(s, "mover %u has moved no page", i);
}

/* Counts all pages; returns the sum of their counters. */
static uint64_t take_census(struct storm *s, struct t_census *census)
{
	struct storm_state *state = s->state;
	size_t pages = state->units * state->unit_pages, j;
	uint64_t counted = 0;
	unsigned int i;

	t_census_open(census, s->src_pages);
	t_census_take(census, s->src, s->src_pages);
	for (i = 0; i < state->mover_count; i++) {
		struct mover *m = &state->movers[i];

		for (j = 0; j < pages; j++)
			check_page(m, j,
				   unit_at(m, j / state->unit_pages) +
					   t_pages(j % state->unit_pages));
		t_census_take(census, m->heap, s->heap_pages);
		counted += m->counted;
	}
	return counted + census->counters;
}

/* "plan: case: what", with what there is of it. */
static const char *label(const struct storm *s, char *text, size_t size,
			 const char *what)
{
	snprintf(text, size, "%s%s%s%s%s",
		 s->plan->name != NULL ? s->plan->name : "",
		 s->plan->name != NULL ? ": " : "", s->c->name,
		 what != NULL ? ": " : "", what != NULL ? what : "");
	return text;
}

static bool result(struct tap *tap, const struct storm *s, bool ok,
		   const char *what)
{
	char name[160];

	label(s, name, sizeof(name), what);
	return tap_ok(tap, ok, name);
}

static void tell_used(const struct storm *s)
{
	char text[80] = "";
	size_t len = 0;
	unsigned int m;

	if (s->c->way != T_AUTO || s->c->variant != T_NORMAL)
		return;
	for (m = 0; m < PAGEMV_MECH_COUNT; m++)
		if ((s->mechanisms & PAGEMV_MECH_BIT(m)) != 0)
			len += (size_t)snprintf(
				text + len, sizeof(text) - len, "%s%s",
				len == 0 ? "" : ", ",
				pagemv_mechanism_name(
					(enum pagemv_mechanism)m));
	if (len != 0)
		tap_say(stdout, "used: %s", text);
}

static void tell_results(struct tap *tap, struct storm *s)
{
	const struct storm_state *state = s->state;
	struct t_census census;
	uint64_t counted = take_census(s, &census);
	const char *verdict = t_census_verdict(&census);
	char name[120];

	tap_say(stdout,
		"%s: %" PRIu64 " pages moved, %" PRIu64 " copied, %" PRIu64
		" left, %" PRIu64 " stores",
		label(s, name, sizeof(name), NULL), s->moved_pages,
		s->copied_pages, s->left_pages, s->stores);
	tell_used(s);
	if (s->unnoticed_pages != 0)
		tap_say(stdout,
			"%" PRIu64 " of the pages left had been moved by the "
			"kernel, which did not count them",
			s->unnoticed_pages);
	if (!result(tap, s, !state->wrong, "pages are where the results say"))
		tap_say(stdout, "%s", state->text);
	if (!result(tap, s, verdict == NULL, "every page exactly once"))
		tap_say(stdout, "%s", verdict);
	if (!result(tap, s, counted == s->stores, "no store lost"))
		tap_say(stdout, "%" PRIu64 " stores, %" PRIu64 " found",
			s->stores, counted);
	t_census_close(&census);
}

static void run_case(struct tap *tap, const struct storm_plan *plan,
		     struct t_case *c)
{
	const char *why = NULL;
	struct storm s;
	char name[120];

	open_storm(&s, plan, c);
	if (plan->set_up == NULL || plan->set_up(&s, &why)) {
		start_all(&s);
		wait_for_end(&s);
		end_storm(&s);
		join_all(&s);
		if (plan->tear_down != NULL)
			plan->tear_down(&s);
		tell_results(tap, &s);
	} else {
		tap_skip(tap, label(&s, name, sizeof(name), NULL), why);
	}
	close_storm(&s);
}

void storm_run(struct tap *tap, const struct storm_plan *plan)
{
	struct t_case c;

	t_cases(&c, plan->ways);
	while (t_next_case(&c))
		run_case(tap, plan, &c);
	if (c.tried == 0)
		tap_skip(tap, plan->name != NULL ? plan->name : "storm",
			 "no such mechanism here");
}
