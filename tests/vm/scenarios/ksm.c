/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * KSM merges the very pages that are being moved. Each page that is moved is
 * there once; its like are in twins, read-only ranges with every page that
 * may come up, twice, so that KSM has something to merge it with at first
 * sight. Shared pages must be made exclusive and moved, the twins must stay
 * what they are, and no page may be merged where merging was not asked for.
 */
#include "lab.h"

#include <errno.h>
#include <sys/prctl.h>

#include "cases.h"
#include "storm.h"

#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#endif

#define KSM	 "/sys/kernel/mm/ksm/"
#define PAGES	 64
#define VERSIONS 2 /* of each page in the twins */
#define TWIN	 (PAGES * VERSIONS)
#define UNIQUE	 99 /* a version that is not in the twins */
#define WAYS_FEW                                                      \
	(T_WAY_BIT(T_AUTO) | T_WAY_BIT(T_MOVE) | T_WAY_BIT(T_REMAP) | \
	 T_WAY_BIT(T_COPY))

static struct setting settings[] = {
	{ KSM "sleep_millisecs", "0", "" },
	{ KSM "pages_to_scan", "5000", "" },
	/* Else pages that could not be merged are passed over for some time. */
	{ KSM "smart_scan", "0", "" },
	{ KSM "use_zero_pages", "0", "" },
	{ KSM "run", "1", "" },
};

/* ---- the twins ---- */

static char *twins[2];

static void mergeable(char *addr, size_t pages)
{
	if (madvise(addr, t_pages(pages), MADV_MERGEABLE) != 0)
		t_die("MADV_MERGEABLE");
}

static void make_twins(void)
{
	size_t i, j;

	for (i = 0; i < T_COUNT(twins); i++) {
		twins[i] = t_map(TWIN);
		for (j = 0; j < TWIN; j++)
			t_fill(twins[i] + t_pages(j), 1 + j / VERSIONS,
			       1 + j % VERSIONS);
		if (mprotect(twins[i], t_pages(TWIN), PROT_READ) != 0)
			t_die("mprotect");
		mergeable(twins[i], TWIN);
	}
}

static const char *check_twins(void)
{
	const char *what = NULL;
	size_t i, j;

	for (i = 0; i < T_COUNT(twins); i++)
		for (j = 0; j < TWIN && what == NULL; j++)
			what = t_check(twins[i] + t_pages(j), 1 + j / VERSIONS,
				       1 + j % VERSIONS);
	return wrong_at("twins", what);
}

/* Until so many pages of the range are merged, or it takes too long. */
static const char *wait_merged(const char *addr, size_t pages, size_t wanted)
{
	size_t merged = 0;
	int i;

	for (i = 0; i < 5000 && merged < wanted; i++) {
		if (i > 0)
			t_sleep_ms(4);
		merged = count_shared(addr, pages);
	}
	if (merged >= wanted)
		return NULL;
	return wrong("only %zu of %zu pages were merged", merged, wanted);
}

/* ---- pages of which half are merged ---- */

static uint64_t version_of(size_t page)
{
	return page % 2 == 0 ? 1 + page / 2 % VERSIONS : UNIQUE;
}

static void fill_half(char *addr)
{
	size_t i;

	for (i = 0; i < PAGES; i++)
		t_fill(addr + t_pages(i), 1 + i, version_of(i));
}

static const char *check_half(const char *addr)
{
	const char *what = NULL;
	size_t i;

	for (i = 0; i < PAGES && what == NULL; i++)
		what = t_check(addr + t_pages(i), 1 + i, version_of(i));
	return what;
}

static const char *fill_and_merge(char *addr)
{
	fill_half(addr);
	mergeable(addr, PAGES);
	return wait_merged(addr, PAGES, PAGES / 2);
}

static uint64_t made_exclusive;
static uint64_t met;

static const char *move_half(struct t_case *c, char *dst, char *src,
			     uint32_t flags)
{
	struct pagemv_result res;
	const char *what;

	met += count_shared(src, PAGES);
	what = done_all(c, move(c, dst, src, PAGES, flags, &res), &res, PAGES);
	if (what == NULL)
		what = wrong_at("src", t_check_absent(src, PAGES));
	if (what == NULL)
		what = wrong_at("dst", check_half(dst));
	return what != NULL ? what : check_twins();
}

/* Into a mapping that may not be merged, and back when nobody asked for it. */
static const char *move_to_plain(struct t_case *c)
{
	char *src = t_case_map(c, PAGES), *dst = t_case_heap(c, PAGES);
	const char *what = fill_and_merge(src);
	struct pagemv_result res;
	size_t shared;

	if (what == NULL)
		what = move_half(c, dst, src, 0);
	if (what != NULL)
		return what;
	shared = count_shared(dst, PAGES);
	/* mremap takes the mapping's properties along. */
	if (!t_mapping_has_flag(dst, "mg") && shared > 0)
		return wrong("%zu pages are merged where none may be", shared);
	if (c->way == T_MOVE) {
		made_exclusive += stats_of(c).made_exclusive;
		if (stats_of(c).made_exclusive == 0)
			return "no page had to be made exclusive";
		if (t_mapping_has_flag(dst, "mg"))
			return "dst has become mergeable";
	}
	if (!t_mapping_has_flag(src, "mg"))
		return "src is not mergeable any more";
	t_register(c->pv, src, PAGES);
	what = done_all(c, move(c, src, dst, PAGES, 0, &res), &res, PAGES);
	return what != NULL ? what : wrong_at("back", check_half(src));
}

/* Both sides may: merged there again, and moved again. */
static const char *move_to_mergeable(struct t_case *c)
{
	char *src = t_case_map(c, PAGES), *dst = t_case_heap(c, PAGES);
	char *third = t_case_heap(c, PAGES);
	const char *what;

	mergeable(dst, PAGES);
	what = fill_and_merge(src);
	if (what == NULL)
		what = move_half(c, dst, src, 0);
	if (what == NULL)
		what = wait_merged(dst, PAGES, PAGES / 2);
	return what != NULL ? what : move_half(c, third, dst, 0);
}

/* The library's own mappings as well. */
static const char *move_in_merging_process(struct t_case *c)
{
	char *src = t_case_map(c, PAGES), *dst = t_case_heap(c, PAGES);
	const char *what;

	if (prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0) != 0)
		return skip("no merging of whole processes here");
	fill_half(src);
	what = wait_merged(src, PAGES, PAGES / 2);
	if (what == NULL)
		what = move_half(c, dst, src, 0);
	if (what == NULL)
		what = wait_merged(dst, PAGES, PAGES / 2);
	t_register(c->pv, src, PAGES);
	if (what == NULL)
		what = move_half(c, src, dst, 0);
	prctl(PR_SET_MEMORY_MERGE, 0, 0, 0, 0);
	/* It has unmerged the twins, and they are no longer mergeable. */
	mergeable(twins[0], TWIN);
	mergeable(twins[1], TWIN);
	return what;
}

/* A merged page is a page: it is in the way as any other. */
static const char *move_onto_merged(struct t_case *c)
{
	char *src = t_case_map(c, PAGES), *dst = t_case_heap(c, PAGES);
	const char *what = fill_and_merge(dst);
	struct pagemv_result res;
	int r;

	t_fill_range(src, PAGES, 1);
	if (what != NULL)
		return what;
	r = move(c, dst, src, PAGES, 0, &res);
	what = refused(r, &res, PAGES, -EEXIST, PAGEMV_REASON_OCCUPIED);
	if (what == NULL)
		what = wrong_at("src", t_check_range(src, PAGES, 1));
	if (what == NULL)
		what = wrong_at("dst", check_half(dst));
	if (what == NULL)
		what = wait_merged(dst, PAGES, PAGES / 2);
	if (what == NULL)
		what = move_and_check(c, dst, src, PAGES, 1,
				      PAGEMV_MOVE_REPLACE);
	return what != NULL ? what : check_twins();
}

static const char *exchange_merged(struct t_case *c)
{
	char *a = t_case_heap(c, PAGES), *b = t_case_heap(c, PAGES);
	const struct pagemv_move_opts opts = t_opts(c, 0);
	const char *what = fill_and_merge(a);
	struct pagemv_result res;

	t_fill_range(b, PAGES, 1);
	if (what != NULL)
		return what;
	what = done_all(
		c, pagemv_exchange(c->pv, a, b, t_pages(PAGES), &opts, &res),
		&res, PAGES);
	if (what == NULL)
		what = wrong_at("a", t_check_range(a, PAGES, 1));
	if (what == NULL)
		what = wrong_at("b", check_half(b));
	return what != NULL ? what : check_twins();
}

/* As memmove() has it, up by five pages. */
static const char *move_overlapping(struct t_case *c)
{
	char *heap = t_case_heap(c, PAGES + 5), *up = heap + t_pages(5);
	const char *what = fill_and_merge(heap);
	struct pagemv_result res;

	if (what != NULL)
		return what;
	what = done_all(c, move(c, up, heap, PAGES, 0, &res), &res, PAGES);
	if (what == NULL)
		what = wrong_at("below", t_check_absent(heap, 5));
	if (what == NULL)
		what = wrong_at("dst", check_half(up));
	return what != NULL ? what : check_twins();
}

/* ---- merged with the zero page ---- */

/* Pages that were written to and are zeros become the kernel's zero page. */
static const char *move_zeros(struct t_case *c)
{
	char *src = t_case_map(c, PAGES), *dst = t_case_heap(c, PAGES);
	struct pagemv_result res;
	const char *what;
	size_t i, zeros = 0;

	if (!t_write_file(KSM "use_zero_pages", "1"))
		return skip("no merging with the zero page here");
	for (i = 0; i < PAGES; i++)
		t_fill(src + t_pages(i), 1 + i, UNIQUE);
	memset(src, 0, t_pages(PAGES));
	mergeable(src, PAGES);
	for (i = 0; i < 5000 && zeros < PAGES; i++) {
		t_sleep_ms(4);
		zeros = count_page_flag(src, PAGES, PAGE_ZERO);
	}
	t_write_file(KSM "use_zero_pages", "0");
	if (zeros < PAGES)
		return wrong("only %zu pages became the zero page", zeros);
	what = done_all(c, move(c, dst, src, PAGES, 0, &res), &res, PAGES);
	if (what == NULL)
		what = wrong_at("src", t_check_absent(src, PAGES));
	if (what == NULL)
		what = wrong_at("dst", t_check_zero(dst, PAGES));
	/* Each is a page of its own when it is written to. */
	t_fill_range(dst, PAGES, 1);
	return what != NULL ? what
			    : wrong_at("dst", t_check_range(dst, PAGES, 1));
}

static const struct section sections[] = {
	{ "to a plain mapping", T_WAYS_ALL, move_to_plain },
	{ "to a mergeable mapping", WAYS_FEW, move_to_mergeable },
	{ "in a merging process", WAYS_FEW, move_in_merging_process },
	{ "onto merged pages", WAYS_FEW, move_onto_merged },
	{ "exchange", WAYS_FEW, exchange_merged },
	{ "overlap", WAYS_FEW, move_overlapping },
	{ "merged with the zero page", WAYS_FEW, move_zeros },
};

/* ---- storms ---- */

static struct {
	uint64_t seen;	   /* pages of storms that were merged when looked at */
	uint64_t unmerged; /* times all of them were unmerged */
	uint64_t toggled;
	uint64_t made_exclusive;
	uint64_t moved;
} storms;

static void add(uint64_t *n, uint64_t more)
{
	__atomic_fetch_add(n, more, __ATOMIC_RELAXED);
}

static bool let_merge(struct storm *s, const char **why)
{
	unsigned int i;

	(void)why;
	mergeable(s->src, s->src_pages);
	for (i = 0; i < STORM_MOVERS && s->heaps[i] != NULL; i++)
		mergeable(s->heaps[i], s->heap_pages);
	return true;
}

static void look(struct storm *s, struct t_random *random)
{
	size_t pages;
	char *run = storm_pick(s, random, &pages);

	add(&storms.seen, count_shared(run, pages));
	t_sleep_ms(1);
}

static void unmerge_all(struct storm *s, struct t_random *random)
{
	if (!t_write_file(KSM "run", "2"))
		storm_wrong(s, "unmerging: errno %d", errno);
	t_write_file(KSM "run", "1");
	add(&storms.unmerged, 1);
	t_sleep_ms(20 + (unsigned int)t_random_below(random, 60));
}

/* Parts mappings, and breaks what is merged in them. */
static void toggle(struct storm *s, struct t_random *random)
{
	size_t pages;
	char *run = storm_pick(s, random, &pages);

	madvise(run, t_pages(pages), MADV_UNMERGEABLE);
	t_sleep_ms((unsigned int)t_random_below(random, 4));
	madvise(run, t_pages(pages), MADV_MERGEABLE);
	add(&storms.toggled, 1);
	t_sleep_ms((unsigned int)t_random_below(random, 4));
}

static void sum(struct storm *s)
{
	const char *what = check_twins();

	if (what != NULL)
		storm_wrong(s, "%s", what);
	add(&storms.made_exclusive, stats_of(s->c).made_exclusive);
	add(&storms.moved, s->moved_pages + s->copied_pages);
}

/* Few stores, that a page may be what it was for a while. */
static const struct storm_plan merging_plan = {
	.name = "merging storm",
	.ways = T_WAYS_LIVE,
	.ms = 200,
	.store_pause_us = 200,
	.versions = VERSIONS,
	.set_up = let_merge,
	.disturb = { look },
	.tear_down = sum,
};

static const struct storm_plan unmerging_plan = {
	.name = "unmerging storm",
	.ways = T_WAYS_LIVE,
	.ms = 200,
	.store_pause_us = 200,
	.versions = VERSIONS,
	.set_up = let_merge,
	.disturb = { look, unmerge_all, toggle },
	.tear_down = sum,
};

static void run_storm(struct tap *tap, const struct storm_plan *plan)
{
	bool move_is_here;
	char name[80];
	struct t_case c;

	memset(&storms, 0, sizeof(storms));
	storm_run(tap, plan);
	snprintf(name, sizeof(name), "%s: pages were merged meanwhile",
		 plan->name);
	tap_ok(tap, storms.seen > 0, name);
	if (plan->disturb[1] != NULL) {
		snprintf(name, sizeof(name), "%s: and unmerged", plan->name);
		tap_ok(tap, storms.unmerged > 0 && storms.toggled > 0, name);
	}
	t_cases(&c, T_WAY_BIT(T_MOVE));
	move_is_here = t_next_case(&c);
	while (t_next_case(&c))
		;
	snprintf(name, sizeof(name), "%s: shared pages were met", plan->name);
	if (move_is_here)
		tap_ok(tap, storms.made_exclusive > 0, name);
	else
		tap_skip(tap, name, "no UFFDIO_MOVE to meet them");
	lab_seen(plan->name,
		 "%" PRIu64 " pages moved, %" PRIu64 " seen merged, %" PRIu64
		 " times made exclusive, %" PRIu64 " times all unmerged",
		 storms.moved, storms.seen, storms.made_exclusive,
		 storms.unmerged);
}

static void run_all(struct tap *tap)
{
	size_t i;

	make_twins();
	result(tap, wait_merged(twins[0], TWIN, TWIN), "the twins are merged");
	for (i = 0; i < T_COUNT(sections); i++)
		run_section(tap, &sections[i]);
	tap_ok(tap, number_in(KSM "pages_sharing") > 0,
	       "the kernel says that pages are shared");
	lab_seen("pages merged by KSM, when moved", "%" PRIu64, met);
	lab_seen("times that merged pages were made exclusive", "%" PRIu64,
		 made_exclusive);
	run_storm(tap, &merging_plan);
	run_storm(tap, &unmerging_plan);
}

int main(void)
{
	struct tap tap = { 0, 0 };
	uint64_t zeros;

	lab_only();
	if (access(KSM "run", W_OK) != 0) {
		tap_skip(&tap, "KSM", "this kernel has none");
		return tap_done(&tap);
	}
	put_settings(settings, T_COUNT(settings));
	zeros = number_in(KSM "ksm_zero_pages");
	run_apart(&tap, run_all);
	lab_seen("zero pages of KSM that the kernel still counts", "%" PRId64,
		 (int64_t)(number_in(KSM "ksm_zero_pages") - zeros));
	t_write_file(KSM "run", "2");
	give_back_settings(settings, T_COUNT(settings));
	return tap_done(&tap);
}
