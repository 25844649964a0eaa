/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads that store to a tracked range all the time, while one asks which
 * pages were written to, a few at a time, and others fork, ask for the same
 * without protecting, and register a neighbour that is protected as well. In
 * each round every page that was stored to since it was last told is told: each
 * page counts its stores.
 *
 * In the three ways that stores are noticed: by the kernel itself, by SIGBUS,
 * and by handler threads. PMV_SECONDS: how long each runs (2 s); PMV_SEED.
 */
#include <pagemv/pagemv.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "internal.h"
#include "proc.h"
#include "t.h"
#include "tap.h"

#define PAGES  200
#define COMING 8 /* pages of the neighbour, behind the others */

/* ThreadSanitizer takes long over each fork. */
#ifdef __SANITIZE_THREAD__
#define FORKS false
#else
#define FORKS true
#endif

enum way { ASYNC, BY_SIGNAL, BY_THREADS, WAYS };

static const char *const names[] = { "async", "by signal", "by threads" };

struct storm {
	enum way way;
	struct pagemv *pv;
	char *heap;
	uint64_t seen[PAGES]; /* of each page when it was last told */
	bool stop;
	/* Sums; atomic. */
	uint64_t rounds;
	uint64_t told;
	uint64_t forked;
	uint64_t came;
	const char *wrong; /* the first that was; static text */
};

struct worker {
	struct storm *s;
	struct t_random random;
	pthread_t thread;
};

static bool failed(struct storm *s)
{
	return __atomic_load_n(&s->wrong, __ATOMIC_RELAXED);
}

static bool over(struct storm *s)
{
	return failed(s) || __atomic_load_n(&s->stop, __ATOMIC_RELAXED);
}

static void expect(struct storm *s, bool ok, const char *what)
{
	const char *none = NULL;

	if (!ok)
		__atomic_compare_exchange_n(&s->wrong, &none, what, false,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

static uint64_t *count_of(const struct storm *s, size_t page)
{
	return (uint64_t *)(s->heap + t_pages(page));
}

static uint64_t stores_to(const struct storm *s, size_t page)
{
	return __atomic_load_n(count_of(s, page), __ATOMIC_SEQ_CST);
}

static void *store(void *arg)
{
	struct worker *w = arg;

	while (!over(w->s)) {
		size_t page = t_random_below(&w->random, PAGES);

		__atomic_fetch_add(count_of(w->s, page), 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

/* Marks what is dirty, by calls that have room for n ranges. */
static void ask(struct storm *s, uint32_t flags, size_t n, bool *dirty)
{
	struct pagemv_range ranges[PAGES];
	char *end = s->heap + t_pages(PAGES);
	void *next = s->heap;

	memset(dirty, 0, PAGES * sizeof(*dirty));
	while ((char *)next < end && !failed(s)) {
		ssize_t got = pagemv_dirty(s->pv, next,
					   (size_t)(end - (char *)next), flags,
					   ranges, n, &next);

		expect(s, got >= 0 || got == -EAGAIN, "pagemv_dirty");
		for (ssize_t i = 0; i < got; i++) {
			size_t first =
				(size_t)((char *)ranges[i].addr - s->heap) /
				t_page();

			memset(dirty + first, 1,
			       ranges[i].len_bytes / t_page());
		}
	}
}

/*
 * What was stored before a round, since the page was last told, must be told.
 * What a page has counted is read after it was told, so that a store between
 * is taken as seen, and tells the page once more.
 */
static void collect(struct storm *s, size_t room)
{
	uint64_t before[PAGES];
	bool dirty[PAGES];

	for (size_t i = 0; i < PAGES; i++)
		before[i] = stores_to(s, i);
	ask(s, PAGEMV_DIRTY_PROTECT, room, dirty);
	for (size_t i = 0; i < PAGES; i++) {
		expect(s, dirty[i] || before[i] <= s->seen[i],
		       "a store was missed");
		if (dirty[i])
			s->seen[i] = stores_to(s, i);
		s->told += dirty[i];
	}
	s->rounds++;
}

static void *collect_often(void *arg)
{
	struct worker *w = arg;

	while (!over(w->s))
		collect(w->s, 1 + t_random_below(&w->random, PAGES));
	return NULL;
}

/* Changes nothing. */
static void *look(void *arg)
{
	struct worker *w = arg;
	bool dirty[PAGES];

	while (!over(w->s)) {
		ask(w->s, 0, 1 + t_random_below(&w->random, PAGES), dirty);
		usleep(500);
	}
	return NULL;
}

static struct pagemv_region *make_region(struct storm *s, char *at,
					 size_t pages)
{
	const struct pagemv_region_opts opts = {
		.size = sizeof(opts),
		.flags = PAGEMV_REGION_TRACKED,
		.delivery = s->way == BY_THREADS ? PAGEMV_DELIVERY_THREADS
						 : PAGEMV_DELIVERY_SIGNAL,
	};
	struct pagemv_region *region = NULL;

	expect(s,
	       pagemv_region_register(s->pv, at, t_pages(pages), &opts, &region,
				      NULL) == 0,
	       "register");
	return region;
}

/* Beside the range: its mapping is cut off the other's, and joined again. */
static void *come_and_go(void *arg)
{
	struct worker *w = arg;
	struct storm *s = w->s;
	char *at = s->heap + t_pages(PAGES);

	while (!over(s)) {
		struct pagemv_region *region = make_region(s, at, COMING);

		memset(at, 1, t_pages(COMING));
		expect(s, pagemv_protect(s->pv, at, t_pages(COMING)) == 0,
		       "protect");
		at[t_pages(3)] = 2;
		expect(s, pagemv_region_unregister(region) == 0, "unregister");
		memset(at, 3, t_pages(COMING));
		s->came++;
		usleep(1000);
	}
	return NULL;
}

static void *fork_often(void *arg)
{
	struct worker *w = arg;
	struct storm *s = w->s;

	while (FORKS && !over(s)) {
		pid_t pid = fork();
		int status = -1;

		if (pid == 0) {
			for (size_t i = 0; i < PAGES; i++)
				++*count_of(s, i);
			_exit(0);
		}
		if (pid < 0)
			continue;
		waitpid(pid, &status, 0);
		expect(s, WIFEXITED(status) && WEXITSTATUS(status) == 0,
		       "a child of fork()");
		s->forked++;
		usleep(3000);
	}
	return NULL;
}

static void *(*const roles[])(void *) = {
	store, store, store, collect_often, look, come_and_go, fork_often,
};

static void run_threads(struct storm *s)
{
	struct worker workers[T_COUNT(roles)];
	uint64_t seed = t_env("PMV_SEED", 1);

	for (size_t i = 0; i < T_COUNT(roles); i++) {
		workers[i] =
			(struct worker){ .s = s,
					 .random = t_random_make(seed + i) };
		if (pthread_create(&workers[i].thread, NULL, roles[i],
				   &workers[i]))
			t_die("pthread_create");
	}
	t_sleep_ms((unsigned int)(1000 * t_env("PMV_SECONDS", 2)));
	__atomic_store_n(&s->stop, true, __ATOMIC_RELAXED);
	for (size_t i = 0; i < T_COUNT(roles); i++)
		pthread_join(workers[i].thread, NULL);
}

static void report(struct tap *tap, struct storm *s)
{
	const char *name = names[s->way];
	bool all = true;
	char text[128];

	for (size_t i = 0; i < PAGES; i++)
		all = all && s->seen[i] == stores_to(s, i);
	tap_say(stdout,
		"%s: %" PRIu64 " rounds, %" PRIu64 " pages told, %" PRIu64
		" forks, %" PRIu64 " neighbours",
		name, s->rounds, s->told, s->forked, s->came);
	if (s->wrong)
		tap_say(stdout, "wrong: %s", s->wrong);
	snprintf(text, sizeof(text), "%s: no store is missed", name);
	tap_ok(tap, !s->wrong && all, text);
	snprintf(text, sizeof(text), "%s: there was a storm", name);
	tap_ok(tap,
	       s->rounds > 3 && s->told > PAGES && s->came &&
		       (!FORKS || s->forked),
	       text);
}

/* A handle that notices stores in this way; false where it cannot. */
static bool open_way(struct storm *s)
{
	struct pagemv_caps caps = { .size = sizeof(caps) };
	uint32_t needs = PAGEMV_HAS_FAULTS | PAGEMV_HAS_PAGEMAP;

	if (s->way == ASYNC)
		needs |= PAGEMV_HAS_ASYNC_WP;
	if (pagemv_open(&s->pv, NULL) < 0 || pagemv_caps(s->pv, &caps) < 0)
		t_die("pagemv_open");
	if ((caps.facilities & needs) != needs) {
		pagemv_close(s->pv);
		return false;
	}
	/* As on a kernel before 6.7. */
	if (s->way != ASYNC)
		s->pv->facilities &=
			~(PAGEMV_HAS_ASYNC_WP | PAGEMV_HAS_PAGEMAP_SCAN);
	return true;
}

static void run(struct tap *tap, enum way way)
{
	struct storm s = { .way = way };
	struct pagemv_handlers *handlers = NULL;
	struct pagemv_region *region;

	if (!open_way(&s)) {
		tap_skip(tap, names[way], "stores are not noticed so here");
		return;
	}
	if (way == BY_THREADS &&
	    pagemv_handlers_start(s.pv, NULL, &handlers) < 0)
		t_die("pagemv_handlers_start");
	s.heap = t_map(PAGES + COMING);
	region = make_region(&s, s.heap, PAGES);
	run_threads(&s);
	collect(&s, PAGES);
	report(tap, &s);
	pagemv_region_unregister(region);
	pagemv_handlers_stop(handlers);
	pagemv_close(s.pv);
	t_unmap(s.heap, PAGES + COMING);
}

int main(void)
{
	struct tap tap = { 0 };

	if (pagemv_sigbus_install() < 0)
		t_die("pagemv_sigbus_install");
	for (int way = 0; way < WAYS; way++)
		run(&tap, (enum way)way);
	pagemv_sigbus_uninstall();
	return tap_done(&tap);
}
