/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A heap is scattered and compacted, cycle after cycle, while threads store to
 * its pages all the time, allocate above them, populate, work, and fork. Pages
 * are written anew or moved, as it comes; produce() asks to be asked again now
 * and then. Each page counts the stores to it, and the counters travel: in the
 * end of each cycle each page is there, and no store is missing.
 *
 *   space  [0, PAGES): where pages are compacted to; scattered over [0, ROOM)
 *
 * PMV_SECONDS: how long each part runs (2 s); PMV_TOTAL_SECONDS: all of them,
 * instead; PMV_SEED.
 */
#include <pagemv/pagemv.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "oracle.h"
#include "t.h"
#include "tap.h"

#define PAGES	600
#define ROOM	(3 * PAGES)
#define THREADS 3

struct plan {
	const char *name;
	struct pagemv_evac_opts opts;
	uint32_t open_flags;
	uint32_t disabled;
	bool forks;
};

struct storm {
	const struct plan *plan;
	struct pagemv *pv;
	struct pagemv_evac *evac;
	struct pagemv_handlers *handlers;
	char *space;
	size_t at[PAGES]; /* where each page is before a cycle */
	uint64_t version;
	uint64_t salt;	   /* what is moved and what is written, this time */
	unsigned int turn; /* asked to be asked again; atomic */
	/* The threads, which are stopped and restarted. */
	pthread_barrier_t stopped;
	pthread_barrier_t restarted;
	pthread_t threads[THREADS];
	bool stop;
	bool end;
	/* Sums. */
	uint64_t stores; /* atomic */
	uint64_t counted;
	uint64_t cycles;
	uint64_t by_faults;
	uint64_t moved;
	uint64_t forked; /* atomic */
	const char *wrong;
};

struct worker {
	struct storm *s;
	struct t_random random;
};

static void expect(struct storm *s, bool ok, const char *what)
{
	const char *none = NULL;

	if (!ok)
		__atomic_compare_exchange_n(&s->wrong, &none, what, false,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/* ---- the collector ---- */

static int produce(void *arg, struct pagemv_produce *p)
{
	struct storm *s = arg;
	size_t k = p->off_bytes / t_page();
	char *from = p->from + t_pages(s->at[k]);
	uint64_t id = 0, version = 0;

	if (__atomic_fetch_add(&s->turn, 1, __ATOMIC_RELAXED) % 97 == 0)
		return -EAGAIN;
	expect(s, t_look_present(from, &id, &version) == T_GOOD,
	       "from-space is gone or torn");
	expect(s, id == k + 1 && version == s->version,
	       "from-space is not what it was");
	p->done_bytes = t_pages(s->at[k] + 1);
	p->first_bytes = k ? t_pages(s->at[k - 1] + 1) : 0;
	if ((k * 0x9e3779b97f4a7c15u ^ s->salt) >> 7 & 1) {
		p->move_from = from;
		return PAGEMV_PRODUCE_MOVE;
	}
	memcpy(p->scratch, from, t_page());
	return 0;
}

/* Page k goes up to where it will be compacted from; what was there is garbage.
 * Threads are stopped. */
static void scatter(struct storm *s, struct t_random *random)
{
	size_t top = ROOM;

	for (size_t k = PAGES; k-- > 0;) {
		size_t gap = t_random_below(random, 4);

		if (gap > 2 || top - k - 1 < gap)
			gap = 0;
		top = top - 1 - gap;
		if (top < k)
			top = k;
		s->at[k] = top;
		if (top != k)
			memcpy(s->space + t_pages(top), s->space + t_pages(k),
			       t_page());
	}
}

/* All stores are found in the pages, each of which is there. */
static void count(struct storm *s)
{
	uint64_t found = 0;

	for (size_t k = 0; k < PAGES; k++) {
		const char *page = s->space + t_pages(k);
		uint64_t id = 0, version = 0;

		expect(s, t_look_present(page, &id, &version) == T_GOOD,
		       "a page is torn");
		expect(s, id == k + 1 && version == s->version,
		       "a page is another one");
		found += ((const struct t_head *)page)->counter;
	}
	expect(s, found == s->stores, "a store is lost");
	s->counted = found;
}

/* ---- the threads ---- */

static bool over(const struct storm *s)
{
	return __atomic_load_n(&s->stop, __ATOMIC_RELAXED);
}

static void store(struct worker *w)
{
	size_t k = t_random_below(&w->random, PAGES);
	char *page = w->s->space + t_pages(k);

	__atomic_fetch_add(&((struct t_head *)page)->counter, 1,
			   __ATOMIC_RELAXED);
	__atomic_fetch_add(&w->s->stores, 1, __ATOMIC_RELAXED);
}

/* A page above to-space is zeros, or what a thread wrote there since. */
static void allocate(struct worker *w)
{
	size_t i = PAGES + t_random_below(&w->random, ROOM - PAGES);
	uint64_t *word = (uint64_t *)(w->s->space + t_pages(i) + 2048);
	uint64_t was = __atomic_exchange_n(word, i, __ATOMIC_RELAXED);

	expect(w->s, was == 0 || was == i, "a page above is not zeros");
}

static void populate(struct worker *w)
{
	size_t k = t_random_below(&w->random, PAGES - 8);
	int rc;

	if (w->s->plan->open_flags & PAGEMV_OPEN_NO_UFFD)
		return;
	rc = pagemv_populate(w->s->pv, w->s->space + t_pages(k), t_pages(8),
			     NULL);
	expect(w->s, rc == 0 || rc == -EAGAIN, "populate");
}

static void work(struct worker *w)
{
	ssize_t n = pagemv_evac_work(w->s->evac,
				     1 + t_random_below(&w->random, 20));

	/* Nothing is left, it asked to be asked again, or it is finished. */
	expect(w->s, n >= 0 || n == -EAGAIN || n == -EINVAL, "work");
}

static void fork_child(struct worker *w)
{
	pid_t child;

	if (!w->s->plan->forks || t_random_below(&w->random, 50))
		return;
	child = fork();
	if (child == 0)
		_exit(pagemv_evac_work(w->s->evac, 1) == -ESRCH ? 0 : 1);
	if (child > 0) {
		int status = 0;

		waitpid(child, &status, 0);
		expect(w->s, status == 0, "a child");
		__atomic_fetch_add(&w->s->forked, 1, __ATOMIC_RELAXED);
	}
}

static void act(struct worker *w)
{
	switch (t_random_below(&w->random, 64)) {
	case 0:
		work(w);
		break;
	case 1:
		populate(w);
		break;
	case 2:
		fork_child(w);
		break;
	case 3:
	case 4:
		allocate(w);
		break;
	default:
		store(w);
		break;
	}
}

static void *mutate(void *arg)
{
	struct worker *w = arg;
	struct storm *s = w->s;

	for (;;) {
		pthread_barrier_wait(&s->restarted);
		if (__atomic_load_n(&s->end, __ATOMIC_RELAXED))
			return NULL;
		while (!over(s))
			act(w);
		pthread_barrier_wait(&s->stopped);
	}
}

static void restart(struct storm *s)
{
	__atomic_store_n(&s->stop, false, __ATOMIC_RELAXED);
	pthread_barrier_wait(&s->restarted);
}

static void stop(struct storm *s)
{
	__atomic_store_n(&s->stop, true, __ATOMIC_RELAXED);
	pthread_barrier_wait(&s->stopped);
}

/* ---- cycles ---- */

static bool must(struct storm *s, int rc, const char *what)
{
	expect(s, rc == 0, what);
	if (rc)
		tap_say(stderr, "%s: %d", what, rc);
	return rc == 0;
}

static int wait_for_all(struct storm *s)
{
	int rc;

	do
		rc = pagemv_evac_wait(s->evac);
	while (rc == -EAGAIN);
	return rc;
}

static int flip(struct storm *s, struct t_random *random)
{
	struct pagemv_evac_cycle cycle = {
		.size = sizeof(cycle),
		.flags = PAGEMV_EVAC_STILL,
		.flip = PAGEMV_FLIP_REGISTERED + t_random_below(random, 2),
		.used_bytes = t_pages(ROOM),
		.to_bytes = t_pages(PAGES),
	};
	int rc = pagemv_evac_begin(s->evac, &cycle);

	s->salt = t_random_next(random);
	if (rc == 0)
		rc = pagemv_evac_flip(s->evac);
	/* Without userfaultfd produce() is asked in it. */
	return rc == -EAGAIN ? wait_for_all(s) : rc;
}

/* Threads are stopped at its beginning and end. */
static bool run_cycle(struct storm *s, struct t_random *random)
{
	struct pagemv_evac_progress p = { .size = sizeof(p) };

	scatter(s, random);
	if (!must(s, flip(s, random), "flip"))
		return false;
	restart(s);
	if (t_random_below(random, 4) == 0)
		t_sleep_ms(1);
	must(s, pagemv_evac_run(s->evac), "run");
	must(s, wait_for_all(s), "wait");
	pagemv_evac_progress(s->evac, &p);
	must(s, pagemv_evac_finish(s->evac), "finish");
	if (t_random_below(random, 4) == 0)
		t_sleep_ms(1);
	stop(s);
	expect(s, p.produced_pages == PAGES, "pages are missing");
	expect(s, p.window_pages == 0, "somebody was in the window");
	s->by_faults += p.by_faults;
	s->moved += p.moved_pages;
	s->cycles++;
	count(s);
	return true;
}

static bool set_up(struct storm *s)
{
	struct pagemv_open_opts open = { .size = sizeof(open),
					 .flags = s->plan->open_flags,
					 .disabled = s->plan->disabled };
	struct pagemv_evac_opts opts = s->plan->opts;
	struct pagemv_evac_info info = { .size = sizeof(info) };

	opts.size = sizeof(opts);
	opts.len_bytes = t_pages(ROOM);
	opts.produce = produce;
	opts.arg = s;
	if (pagemv_open(&s->pv, &open) < 0 ||
	    pagemv_evac_open(s->pv, &opts, &s->evac, NULL) < 0)
		t_die("the space cannot be opened");
	pagemv_evac_info(s->evac, &info);
	if (opts.delivery == PAGEMV_DELIVERY_THREADS &&
	    info.how != PAGEMV_EVAC_STOPPED &&
	    pagemv_handlers_start(s->pv, NULL, &s->handlers) < 0)
		t_die("pagemv_handlers_start");
	s->space = info.space;
	s->version = 1;
	t_fill_range(s->space, PAGES, 1);
	return info.how != PAGEMV_EVAC_STOPPED ||
	       s->plan->open_flags & PAGEMV_OPEN_NO_UFFD;
}

static void tear_down(struct storm *s)
{
	expect(s, pagemv_evac_close(s->evac) == 0, "close");
	pagemv_handlers_stop(s->handlers);
	pagemv_close(s->pv);
}

static uint64_t seconds; /* of each part */

static void run_cycles(struct storm *s, uint64_t seed)
{
	uint64_t end = t_now_ns() + 1000000000u * seconds;
	struct t_random random = t_random_make(seed);
	struct worker workers[THREADS];

	pthread_barrier_init(&s->stopped, NULL, THREADS + 1);
	pthread_barrier_init(&s->restarted, NULL, THREADS + 1);
	for (unsigned int i = 0; i < THREADS; i++) {
		workers[i].s = s;
		workers[i].random = t_random_make(seed + i + 1);
		pthread_create(&s->threads[i], NULL, mutate, &workers[i]);
	}
	while (!s->wrong && t_now_ns() < end)
		if (!run_cycle(s, &random))
			break;
	__atomic_store_n(&s->end, true, __ATOMIC_RELAXED);
	pthread_barrier_wait(&s->restarted);
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(s->threads[i], NULL);
}

static void run(struct tap *tap, const struct plan *plan)
{
	static struct storm storm;
	struct storm *s = &storm;
	uint64_t seed = t_env("PMV_SEED", t_now_ns());

	memset(s, 0, sizeof(*s));
	s->plan = plan;
	if (!set_up(s)) {
		tear_down(s);
		tap_skip(tap, plan->name,
			 "no faulting regions without userfaultfd");
		return;
	}
	run_cycles(s, seed);
	tear_down(s);
	tap_say(stdout,
		"%s: %" PRIu64 " cycles, %" PRIu64 " stores, %" PRIu64
		" pages by faults, %" PRIu64 " moved, %" PRIu64 " forks",
		plan->name, s->cycles, s->counted, s->by_faults, s->moved,
		s->forked);
	if (s->wrong)
		tap_say(stdout, "%s; PMV_SEED=%" PRIu64, s->wrong, seed);
	tap_ok(tap, !s->wrong && s->cycles > 0, plan->name);
}

#define NO_MOVE                              \
	(PAGEMV_MECH_BIT(PAGEMV_MECH_MOVE) | \
	 PAGEMV_MECH_BIT(PAGEMV_MECH_COMPANION))

static const struct plan plans[] = {
	{ .name = "workers", .opts = { .workers = 2 } },
	{ .name = "no workers, forks", .forks = true },
	{ .name = "short runs, single pages moved, little kept",
	  .opts = { .workers = 1,
		    .run_pages = 5,
		    .single = PAGEMV_MECH_MOVE,
		    .around_pages = 1,
		    .keep_bytes = 1 } },
	{ .name = "pages around, moved out of islands, forks",
	  .opts = { .single = PAGEMV_MECH_MOVE,
		    .around_pages = 7,
		    .keep_bytes = 1 },
	  .forks = true },
	{ .name = "long runs, forks",
	  .opts = { .workers = 1, .run_pages = 256, .around_pages = 64 },
	  .forks = true },
	{ .name = "handler threads",
	  .opts = { .workers = 1, .delivery = PAGEMV_DELIVERY_THREADS } },
	{ .name = "copies", .opts = { .workers = 2 }, .disabled = NO_MOVE },
	{ .name = "stopped",
	  .opts = { .workers = 1 },
	  .open_flags = PAGEMV_OPEN_NO_UFFD },
};

int main(void)
{
	struct tap tap = { 0 };

	seconds = t_env("PMV_SECONDS", 2);
	seconds = t_env("PMV_TOTAL_SECONDS", seconds * T_COUNT(plans)) /
		  T_COUNT(plans);
	alarm(600 * t_slow() + (unsigned int)(10 * seconds));
	if (pagemv_sigbus_install() < 0)
		t_die("pagemv_sigbus_install");
	for (size_t i = 0; i < T_COUNT(plans); i++)
		run(&tap, &plans[i]);
	return tap_done(&tap);
}
