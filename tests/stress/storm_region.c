/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads that register, move and unregister in memory of their own, quiet
 * regions, faulting and tracked ones, whole and part by part, on one handle
 * that they share and on handles that come and go: nobody gets in another
 * one's way, and nothing is left behind.
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
	bool faults;  /* there can be faulting and tracked regions */
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

/* Of any kind; absent pages of it are not touched. */
static struct pagemv_region *register_any(struct worker *w, struct pagemv *pv,
					  void *addr, size_t pages)
{
	static const uint32_t kinds[] = { 0, PAGEMV_REGION_FAULTING,
					  PAGEMV_REGION_TRACKED,
					  PAGEMV_REGION_FAULTING |
						  PAGEMV_REGION_TRACKED };
	struct pagemv_region_opts o = { .size = sizeof(o) };
	struct pagemv_region *region = NULL;

	if (w->s->faults)
		o.flags = kinds[t_random_below(&w->random, T_COUNT(kinds))];
	failed(w,
	       pagemv_region_register(pv, addr, t_pages(pages), &o, &region,
				      NULL) == 0,
	       "register");
	return region;
}

/* Ends pages from the middle of a region: they take no pages any more, and
 * those beside them do. Gives back the region when nothing is left. */
static void part_by_part(struct worker *w, struct pagemv *pv, char *heap,
			 char *src)
{
	struct pagemv_region *region = register_any(w, pv, heap, PAGES);
	struct pagemv_result res;
	bool ended[PAGES] = { false };

	for (size_t i = 0; region != NULL && i < PAGES / 2; i++) {
		size_t at = t_random_below(&w->random, PAGES);
		char *page = heap + t_pages(at);
		int r = pagemv_region_unregister_part(region, page, t_page());

		failed(w, r == (ended[at] ? -EINVAL : 0), "end a page");
		ended[at] = true;
		at = t_random_below(&w->random, PAGES);
		page = heap + t_pages(at);
		t_fill(src, 5, 1);
		r = pagemv_move(pv, page, src, t_page(), NULL, &res);
		failed(w,
		       r == (ended[at] ? -EINVAL : 0) &&
			       t_check(r == 0 ? page : src, 5, 1) == NULL,
		       "move to a part");
		t_drop(page, 1);
	}
	failed(w, pagemv_region_unregister(region) == 0, "unregister parts");
	t_drop(heap, PAGES);
	t_drop(src, 1);
}

/* A region for each page, which go in another order than they came. */
static void page_by_page(struct worker *w, struct pagemv *pv, char *heap)
{
	struct pagemv_region *regions[PAGES] = { NULL };
	size_t step = 1 + 2 * t_random_below(&w->random, 2); /* 1 or 3 */

	for (size_t i = 0; i < PAGES; i++) {
		size_t at = i * 5 % PAGES;

		regions[at] = register_any(w, pv, heap + t_pages(at), 1);
	}
	for (size_t first = 0; first < step; first++)
		for (size_t i = first; i < PAGES; i += step)
			failed(w, pagemv_region_unregister(regions[i]) == 0,
			       "unregister one of many");
}

/* Registers, moves in, tries to move out of bounds, unregisters. */
static void one_region(struct worker *w, struct pagemv *pv, char *heap,
		       char *src)
{
	size_t at = t_random_below(&w->random, PAGES / 2);
	size_t n = 1 + t_random_below(&w->random, PAGES / 2);
	struct pagemv_region *region;
	struct pagemv_result res;
	int r;

	t_fill_range(src, n, 1 + 1000 * w->index);
	region = register_any(w, pv, heap + t_pages(at), n);
	if (region == NULL)
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
			part_by_part(w, w->s->pv, heap, src);
			page_by_page(w, w->s->pv, heap);
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
	struct pagemv_caps caps = { .size = sizeof(caps) };
	struct shared s = { .variant = variant };

	s.pv = t_open(variant);
	s.faults = pagemv_caps(s.pv, &caps) == 0 &&
		   caps.facilities & PAGEMV_HAS_FAULTS &&
		   caps.facilities & PAGEMV_HAS_QUIET;
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
