/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads that register, move and unregister in memory of their own, on one
 * handle that they share and on handles that come and go: nobody gets in
 * another one's way, and nothing is left behind.
 *
 * PMV_SECONDS: how long each part runs (2 s).
 */
#include <pagemv/pagemv.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#include "oracle.h"
#include "proc.h"
#include "t.h"
#include "tap.h"
#include "ways.h"

#define THREADS 4
#define PAGES	24
#define STABLE	64

struct shared {
	struct pagemv *pv; /* NULL: each round opens one */
	enum t_variant_id variant;
	char *stable; /* a region of pv that stays */
	bool stop;
};

struct worker {
	struct shared *s;
	size_t index;
	struct t_random random;
	uint64_t rounds;
	const char *wrong;
	pthread_t thread;
};

static bool failed(struct worker *w, bool ok, const char *what)
{
	if (!ok && w->wrong == NULL)
		w->wrong = what;
	return !ok;
}

/* Registers, moves in, tries to move out of bounds, unregisters. */
static void one_region(struct worker *w, struct pagemv *pv, char *heap,
		       char *src)
{
	size_t at = t_random_below(&w->random, PAGES / 2);
	size_t n = 1 + t_random_below(&w->random, PAGES / 2);
	struct pagemv_region *region = NULL;
	struct pagemv_result res;
	int r;

	t_fill_range(src, n, 1 + 1000 * w->index);
	r = pagemv_region_register(pv, heap + t_pages(at), t_pages(n), NULL,
				   &region, NULL);
	if (failed(w, r == 0, "register"))
		return;
	r = pagemv_move(pv, heap + t_pages(at), src, t_pages(n), NULL, &res);
	failed(w, r == 0, "move");
	failed(w,
	       t_check_range(heap + t_pages(at), n, 1 + 1000 * w->index) ==
		       NULL,
	       "pages at dst");
	failed(w, t_check_absent(src, n) == NULL, "pages at src");
	r = pagemv_region_unregister(region);
	failed(w, r == 0, "unregister");
	r = pagemv_move(pv, src, heap + t_pages(at), t_pages(n), NULL, &res);
	failed(w, r < 0, "moved to what is no region");
	t_drop(heap, PAGES);
}

/* One page to and fro in the region that stays, while others come and go. */
static void stable_region(struct worker *w)
{
	char *mine = w->s->stable + t_pages(w->index * (STABLE / THREADS));
	int r;

	t_fill(mine, 7000 + w->index, 1);
	r = pagemv_move(w->s->pv, mine + t_pages(3), mine, t_page(), NULL,
			NULL);
	failed(w, r == 0, "move in the stable region");
	failed(w, t_check(mine + t_pages(3), 7000 + w->index, 1) == NULL,
	       "page in the stable region");
	t_drop(mine, STABLE / THREADS);
}

static void own_handle(struct worker *w, char *heap, char *src)
{
	const struct pagemv_open_opts opts = {
		.size = sizeof(opts),
		.flags = w->s->variant == T_NO_UFFD ? PAGEMV_OPEN_NO_UFFD : 0,
	};
	struct pagemv_stats stats = { .size = sizeof(stats) };
	struct pagemv *pv = NULL;

	if (failed(w, pagemv_open(&pv, &opts) == 0, "open"))
		return;
	one_region(w, pv, heap, src);
	failed(w, pagemv_stats(pv, &stats) == 0 && stats.calls == 2, "stats");
	pagemv_close(pv);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	char *heap = t_map(PAGES), *src = t_map(PAGES);

	while (!__atomic_load_n(&w->s->stop, __ATOMIC_RELAXED) &&
	       w->wrong == NULL) {
		if (w->s->pv == NULL) {
			own_handle(w, heap, src);
		} else {
			one_region(w, w->s->pv, heap, src);
			stable_region(w);
		}
		w->rounds++;
	}
	t_unmap(heap, PAGES);
	t_unmap(src, PAGES);
	return NULL;
}

static void run_workers(struct tap *tap, struct shared *s, const char *name)
{
	struct worker workers[THREADS];
	const char *wrong = NULL;
	uint64_t rounds = 0;
	size_t i;

	s->stop = false;
	for (i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ .s = s, .index = i };
		workers[i].random = t_random_make(t_env("PMV_SEED", 1) + i);
		if (pthread_create(&workers[i].thread, NULL, work,
				   &workers[i]) != 0)
			t_die("pthread_create");
	}
	t_sleep_ms((unsigned int)t_env("PMV_SECONDS", 2) * 1000 / 2);
	__atomic_store_n(&s->stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		rounds += workers[i].rounds;
		if (workers[i].wrong != NULL)
			wrong = workers[i].wrong;
	}
	tap_say(stdout, "%s: %" PRIu64 " rounds", name, rounds);
	if (!tap_ok(tap, wrong == NULL, name))
		tap_say(stdout, "%s failed", wrong);
}

static void run_variant(struct tap *tap, enum t_variant_id variant,
			const char *shared_name, const char *own_name)
{
	struct shared s = { .variant = variant };

	s.pv = t_open(variant);
	s.stable = t_map(STABLE);
	t_register(s.pv, s.stable, STABLE);
	run_workers(tap, &s, shared_name);
	pagemv_close(s.pv);
	t_unmap(s.stable, STABLE);
	s.pv = NULL;
	run_workers(tap, &s, own_name);
}

int main(void)
{
	struct tap tap = { 0, 0 };
	size_t fds;

	(void)t_present(&tap); /* opens what the tests look with */
	fds = t_count_fds();
	run_variant(&tap, T_NORMAL, "one handle for all threads",
		    "a handle for each round");
	run_variant(&tap, T_NO_UFFD, "one handle without userfaultfd",
		    "a handle without userfaultfd for each round");
	tap_ok(&tap, t_count_fds() == fds, "no descriptor is left open");
	return tap_done(&tap);
}
