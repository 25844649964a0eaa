/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads that store to the pages of a faulting region, while others move
 * pages out of it and in again, ask which were written to, fork, and register
 * and unregister a second region that is read all the time. In the end every
 * page is what was filled, and all stores are found.
 *
 * PMV_SECONDS: how long each part runs (2 s); PMV_SEED.
 */
#include <pagemv/pagemv.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "oracle.h"
#include "proc.h"
#include "t.h"
#include "tap.h"

#define PAGES	96
#define COMING	32 /* pages of the region that comes and goes */
#define THREADS 8

struct plan {
	const char *name;
	uint32_t delivery;
	uint32_t around_pages;
	bool tracked;
	bool forks;
	uint32_t disabled; /* PAGEMV_MECH_BIT() */
};

struct storm {
	const struct plan *plan;
	struct pagemv *pv;
	char *heap;   /* the region that stays */
	char *coming; /* the one that does not */
	bool stop;
	bool miscounts; /* the kernel has PAGEMV_QUIRK_MISCOUNT */
	/* Sums; atomic. */
	uint64_t stores;
	uint64_t found; /* in pages that were moved out and thrown away */
	uint64_t filled;
	uint64_t moved_out;
	uint64_t moved_in;
	uint64_t rounds;
	uint64_t dirty;
	uint64_t forked;
	const char *wrong; /* the first that was; static text */
};

struct worker {
	struct storm *s;
	struct t_random random;
	pthread_t thread;
};

static bool over(struct storm *s)
{
	return __atomic_load_n(&s->stop, __ATOMIC_RELAXED) ||
	       __atomic_load_n(&s->wrong, __ATOMIC_RELAXED);
}

static void expect(struct storm *s, bool ok, const char *what)
{
	const char *none = NULL;

	if (!ok)
		__atomic_compare_exchange_n(&s->wrong, &none, what, false,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

static void add(uint64_t *sum, uint64_t n)
{
	__atomic_fetch_add(sum, n, __ATOMIC_RELAXED);
}

/* Pages of the region that stays have the ids from 1 on, the others from
 * 1001. */
static int fill(void *arg, const struct pagemv_fill *f)
{
	struct storm *s = arg;
	uint64_t id = 1 + f->off_bytes / t_page();

	if ((char *)f->addr >= s->coming &&
	    (char *)f->addr < s->coming + t_pages(COMING))
		id += 1000;
	for (size_t i = 0; i < f->len_bytes / t_page(); i++)
		t_fill((char *)f->scratch + t_pages(i), id + i, 1);
	add(&s->filled, f->len_bytes / t_page());
	return 0;
}

/* ---- the threads ---- */

static void *store(void *arg)
{
	struct worker *w = arg;
	struct storm *s = w->s;

	while (!over(s)) {
		size_t i = t_random_below(&w->random, PAGES);
		struct t_head *head = (struct t_head *)(s->heap + t_pages(i));

		__atomic_fetch_add(&head->counter, 1, __ATOMIC_RELAXED);
		add(&s->stores, 1);
	}
	return NULL;
}

/* Whether a run that was moved is of the pages from id on. */
static bool is_run(const char *at, size_t pages, uint64_t id)
{
	for (size_t i = 0; i < pages; i++)
		if (t_check(at + t_pages(i), id + i, 1))
			return false;
	return true;
}

/* Pages that have arrived outside go in again, or are thrown away. */
static void dispose(struct worker *w, char *away, size_t i, size_t pages)
{
	struct storm *s = w->s;
	struct pagemv_result res;

	add(&s->moved_out, pages);
	expect(s, is_run(away, pages, i + 1), "a page that was moved out");
	if (t_random_below(&w->random, 2)) {
		pagemv_move(s->pv, s->heap + t_pages(i), away, t_pages(pages),
			    NULL, &res);
		if (res.error != 0 && res.error != -EEXIST &&
		    res.error != -EAGAIN)
			expect(s, false, pagemv_reason_string(res.reason));
		add(&s->moved_in, res.left_off / t_page());
	}
	add(&s->found, t_sum_counters(away, pages));
	t_drop(away, pages);
}

/* Told as left, and there: moved by a kernel that did not count them, and
 * filled again at src at once, so that nothing could tell (pagemv_move(3)). */
static void dispose_unnoticed(struct storm *s, char *away, size_t i,
			      size_t pages)
{
	for (size_t k = 0; k < pages; k++) {
		char *page = away + t_pages(k);

		if (!t_present(page))
			continue;
		expect(s, is_run(page, 1, i + k + 1),
		       "a page that was moved out unnoticed");
		add(&s->found, t_sum_counters(page, 1));
		t_drop(page, 1);
	}
}

static void *move(void *arg)
{
	struct worker *w = arg;
	struct storm *s = w->s;
	struct pagemv_region *region;
	struct pagemv_result res;
	char *away = t_map(8);

	expect(s,
	       pagemv_region_register(s->pv, away, t_pages(8), NULL, &region,
				      NULL) == 0,
	       "register a quiet region");
	while (!over(s)) {
		size_t pages = 1 + t_random_below(&w->random, 8);
		size_t i = t_random_below(&w->random, PAGES - pages + 1);

		pagemv_move(s->pv, away, s->heap + t_pages(i), t_pages(pages),
			    NULL, &res);
		if (res.error != 0 && res.error != -ENOENT &&
		    res.error != -EBUSY && res.error != -EAGAIN &&
		    !(res.error == -EEXIST && s->miscounts))
			expect(s, false, pagemv_reason_string(res.reason));
		if (res.left_off)
			dispose(w, away, i, res.left_off / t_page());
		if (res.error == -EEXIST)
			dispose_unnoticed(s, away, i, pages);
	}
	return NULL;
}

/* A page of the region that comes and goes is what was filled, or zeros. */
static void *read_coming(void *arg)
{
	struct worker *w = arg;
	struct storm *s = w->s;

	while (!over(s)) {
		size_t i = t_random_below(&w->random, COMING);
		struct t_head *head = (struct t_head *)(s->coming + t_pages(i));
		uint64_t id = __atomic_load_n(&head->id, __ATOMIC_RELAXED);

		expect(s, id == 0 || id == 1001 + i,
		       "a page of a region that comes and goes");
	}
	return NULL;
}

static struct pagemv_region *make_region(struct storm *s, char *at,
					 size_t pages)
{
	struct pagemv_region_opts opts = {
		.size = sizeof(opts),
		.flags = PAGEMV_REGION_FAULTING,
		.delivery = s->plan->delivery,
		.source = PAGEMV_SOURCE_CALLBACK,
		.around_pages = s->plan->around_pages,
		.fill = fill,
		.arg = s,
	};
	struct pagemv_region *region = NULL;

	if (s->plan->tracked)
		opts.flags |= PAGEMV_REGION_TRACKED;
	expect(s,
	       pagemv_region_register(s->pv, at, t_pages(pages), &opts, &region,
				      NULL) == 0,
	       "register a faulting region");
	return region;
}

static void *come_and_go(void *arg)
{
	struct worker *w = arg;
	struct storm *s = w->s;

	while (!over(s)) {
		struct pagemv_region *region =
			make_region(s, s->coming, COMING);
		size_t from = t_random_below(&w->random, COMING);

		if (!region)
			break;
		usleep(1000);
		expect(s,
		       pagemv_region_unregister_part(
			       region, s->coming + t_pages(from),
			       t_pages(1 + t_random_below(&w->random,
							  COMING - from))) == 0,
		       "unregister a part");
		usleep(500);
		expect(s, pagemv_region_unregister(region) == 0, "unregister");
		t_drop(s->coming, COMING);
		add(&s->rounds, 1);
	}
	return NULL;
}

static void *ask(void *arg)
{
	struct worker *w = arg;
	struct storm *s = w->s;
	struct pagemv_range ranges[PAGES];

	while (s->plan->tracked && !over(s)) {
		ssize_t n = pagemv_dirty(s->pv, s->heap, t_pages(PAGES),
					 PAGEMV_DIRTY_PROTECT, ranges, PAGES,
					 NULL);

		expect(s, n >= 0 || n == -EAGAIN, "pagemv_dirty");
		if (n > 0)
			add(&s->dirty, (uint64_t)n);
		usleep(2000);
	}
	return NULL;
}

/* Pages are there or zeros; a store in the child is nobody else's. Nothing here
 * takes a lock that a thread may have held. */
static int look_as_child(struct storm *s)
{
	for (size_t i = 0; i < PAGES; i++) {
		struct t_head *head = (struct t_head *)(s->heap + t_pages(i));
		uint64_t id = 0;

		head->counter++;
		if (head->id &&
		    (t_look_present(head, &id, NULL) != T_GOOD || id != i + 1))
			return 1;
	}
	return pagemv_populate(s->pv, s->heap, 1, NULL) == -ESRCH ? 0 : 2;
}

static void *fork_often(void *arg)
{
	struct worker *w = arg;
	struct storm *s = w->s;

	while (s->plan->forks && !over(s)) {
		pid_t pid = fork();
		int status = -1;

		if (pid == 0)
			_exit(look_as_child(s));
		if (pid < 0)
			continue;
		waitpid(pid, &status, 0);
		expect(s, WIFEXITED(status) && WEXITSTATUS(status) == 0,
		       "a child of fork()");
		add(&s->forked, 1);
		usleep(5000);
	}
	return NULL;
}

static void *(*const roles[THREADS])(void *) = {
	store, store, move, move, read_coming, come_and_go, ask, fork_often,
};

/* ---- a storm ---- */

static uint64_t sum(const uint64_t *n)
{
	return __atomic_load_n(n, __ATOMIC_RELAXED);
}

/* Has each of the threads done something? */
static bool was_storm(const struct storm *s)
{
	/* Pages come in again where nobody has filled their place meanwhile:
	 * rare where threads store all the time. */
	return sum(&s->filled) > PAGES && sum(&s->moved_out) &&
	       sum(&s->rounds) && (!s->plan->tracked || sum(&s->dirty)) &&
	       (!s->plan->forks || sum(&s->forked));
}

/* On slow machines it takes longer until there is one. */
static void wait_for_storm(struct storm *s)
{
	unsigned int ms = (unsigned int)(1000 * t_env("PMV_SECONDS", 2));

	t_sleep_ms(ms);
	for (int more = 0; more < 15 && !was_storm(s) && !over(s); more++)
		t_sleep_ms(ms);
}

static void run_threads(struct storm *s)
{
	uint64_t seed = t_env("PMV_SEED", 1);
	struct worker workers[THREADS];

	for (size_t i = 0; i < THREADS; i++) {
		workers[i] =
			(struct worker){ .s = s,
					 .random = t_random_make(seed + i) };
		if (pthread_create(&workers[i].thread, NULL, roles[i],
				   &workers[i]))
			t_die("pthread_create");
	}
	wait_for_storm(s);
	__atomic_store_n(&s->stop, true, __ATOMIC_RELAXED);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(workers[i].thread, NULL);
}

/* What is in the region at the end: right, or absent. */
static void look_over(struct storm *s)
{
	for (size_t i = 0; i < PAGES; i++) {
		const char *page = s->heap + t_pages(i);

		expect(s, !t_present(page) || !t_check(page, i + 1, 1),
		       "a page at the end");
	}
}

static void report(struct tap *tap, struct storm *s)
{
	const struct plan *p = s->plan;
	uint64_t found = s->found + t_sum_counters(s->heap, PAGES);
	/* Handlers may still be at work. */
	uint64_t filled = __atomic_load_n(&s->filled, __ATOMIC_RELAXED);
	char text[128];

	tap_say(stdout,
		"%s: %" PRIu64 " stores, %" PRIu64 " filled, %" PRIu64
		" moved out, %" PRIu64 " in, %" PRIu64 " registered, %" PRIu64
		" dirty, %" PRIu64 " forks",
		p->name, s->stores, filled, s->moved_out, s->moved_in,
		s->rounds, s->dirty, s->forked);
	if (s->wrong)
		tap_say(stdout, "wrong: %s", s->wrong);
	snprintf(text, sizeof(text), "%s: every page is what was filled",
		 p->name);
	tap_ok(tap, !s->wrong, text);
	if (found != s->stores)
		tap_say(stdout, "%" PRIu64 " of %" PRIu64 " stores found",
			found, s->stores);
	snprintf(text, sizeof(text), "%s: no store is lost", p->name);
	tap_ok(tap, found == s->stores, text);
	snprintf(text, sizeof(text), "%s: there was a storm", p->name);
	tap_ok(tap, was_storm(s), text);
}

static void run(struct tap *tap, const struct plan *plan)
{
	struct storm s = { .plan = plan };
	struct pagemv_handlers_opts two = { .size = sizeof(two), .threads = 2 };
	struct pagemv_handlers *handlers = NULL;
	struct pagemv_region *region;

	struct pagemv_open_opts open = { .size = sizeof(open),
					 .disabled = plan->disabled };

	struct pagemv_caps caps = { .size = sizeof(caps) };

	if (pagemv_open(&s.pv, &open) < 0 || pagemv_caps(s.pv, &caps) < 0)
		t_die("pagemv_open");
	s.miscounts = caps.quirks & PAGEMV_QUIRK_MISCOUNT;
	s.heap = t_map(PAGES);
	s.coming = t_map(COMING);
	region = make_region(&s, s.heap, PAGES);
	if (plan->delivery == PAGEMV_DELIVERY_THREADS)
		expect(&s, pagemv_handlers_start(s.pv, &two, &handlers) == 0,
		       "start handlers");
	run_threads(&s);
	look_over(&s);
	report(tap, &s);
	pagemv_region_unregister(region);
	pagemv_handlers_stop(handlers);
	pagemv_close(s.pv);
	t_unmap(s.heap, PAGES);
	t_unmap(s.coming, COMING);
}

static bool works(void)
{
	struct pagemv_caps caps = { .size = sizeof(caps) };
	struct pagemv *pv;
	bool has;

	if (pagemv_open(&pv, NULL) < 0)
		return false;
	has = pagemv_caps(pv, &caps) == 0 &&
	      caps.facilities & PAGEMV_HAS_FAULTS;
	pagemv_close(pv);
	return has;
}

/* ThreadSanitizer wants no threads in a child, and there are none; but it
 * takes long over each. */
#ifdef __SANITIZE_THREAD__
#define FORKS false
#else
#define FORKS true
#endif

static const struct plan plans[] = {
	{ "by signal", PAGEMV_DELIVERY_SIGNAL, 1, false, false, 0 },
	{ "by signal, copied", PAGEMV_DELIVERY_SIGNAL, 8, false, false,
	  PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE) |
		  PAGEMV_MECH_BIT(PAGEMV_MECH_COMPANION) },
	{ "by signal, around 8, with forks", PAGEMV_DELIVERY_SIGNAL, 8, false,
	  FORKS, 0 },
	{ "by signal, around 8, tracked", PAGEMV_DELIVERY_SIGNAL, 8, true,
	  false, 0 },
	{ "by threads", PAGEMV_DELIVERY_THREADS, 1, false, FORKS, 0 },
	{ "by threads, around 8, tracked", PAGEMV_DELIVERY_THREADS, 8, true,
	  false, 0 },
};

int main(void)
{
	struct tap tap = { 0 };

	alarm(300 * t_slow());
	if (!works()) {
		tap_skip(&tap, "storm",
			 "no faulting regions without userfaultfd");
		return tap_done(&tap);
	}
	if (pagemv_sigbus_install() < 0)
		t_die("pagemv_sigbus_install");
	for (size_t i = 0; i < T_COUNT(plans); i++)
		run(&tap, &plans[i]);
	return tap_done(&tap);
}
