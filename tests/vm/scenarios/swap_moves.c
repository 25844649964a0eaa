/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pages that are out, partly out, shared or huge while they are moved: a body
 * for each, run in each way to move and with each swap area.
 */
#include "swap.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "cases.h"
#include "lab.h"

#define HUGE_BYTES ((size_t)2 << 20)

static const char *const state_names[STATES] = { "in memory", "out",
						 "in the swap cache",
						 "absent" };

/* ---- results of moves ---- */

/* NULL when no page is left, else what is there. */
static const char *gone(const char *src, size_t pages)
{
	static const char *const kinds[] = { "absent", "zero", "whole",
					     "torn" };
	size_t i = t_first_present(src, pages);

	if (i == pages)
		return NULL;
	return wrong("src: page %zu is %s, not absent", i,
		     kinds[t_look(src + t_pages(i), NULL, NULL)]);
}

/* ---- sections: one body, each way, each area ---- */

struct area_section {
	const char *name;
	const char *(*body)(struct t_case *c);
	/* What was seen in all cases of an area; may be NULL. */
	void (*end)(struct tap *tap, const struct area *a);
	const char *(*why_not)(void); /* may be NULL */
};

static void run_cases(struct tap *tap, const struct area_section *s,
		      const struct area *a)
{
	struct t_case c;
	char name[160];

	switch_on(a);
	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		snprintf(name, sizeof(name), "%s: %s: %s", a->name, s->name,
			 c.name);
		result(tap, s->body(&c), name);
	}
	if (s->end != NULL)
		s->end(tap, a);
	switch_off(a);
}

static void run_in_areas(struct tap *tap, const struct area_section *s)
{
	const char *why = s->why_not == NULL ? NULL : s->why_not();
	size_t i;

	if (why != NULL) {
		tap_skip(tap, s->name, why);
		return;
	}
	for (i = 0; i < AREAS; i++)
		if (areas[i]->there)
			run_cases(tap, s, areas[i]);
}

/* ---- pages that are out ---- */

static const char *move_swapped(struct t_case *c)
{
	char *src = t_case_map(c, PAGES), *dst = t_case_heap(c, PAGES);
	struct pagemv_result res;
	const char *what;
	size_t out, still;
	uint64_t reads;
	int r;

	t_fill_range(src, PAGES, 1);
	what = all_out(src, PAGES);
	if (what != NULL)
		return what;
	empty_cache(src, PAGES);
	out = count_state(src, PAGES, OUT);
	reads = vmstat("pswpin");
	r = move(c, dst, src, PAGES, 0, &res);
	reads = vmstat("pswpin") - reads;
	still = count_swapped(dst, PAGES);
	if (c->variant == T_NORMAL)
		note("%s %zu of %zu (%" PRIu64 " read)",
		     pagemv_mechanism_name(c->opts.mechanism), still, out,
		     reads);
	what = done_all(c, r, &res, PAGES);
	if (what == NULL)
		what = gone(src, PAGES);
	if (what == NULL)
		what = wrong_at("dst", t_check_range(dst, PAGES, 1));
	if (what == NULL && can_empty_cache() && out < PAGES / 2)
		what = wrong("only %zu of %d pages were out", out, PAGES);
	return what;
}

static void end_swapped(struct tap *tap, const struct area *a)
{
	(void)tap;
	say_numbers(a, "pages still in swap after a move");
}

/* ---- ranges of which some pages are out ---- */

static size_t mixed[STATES];
static uint64_t mixed_seed;

static void mix_states(char *addr, size_t pages, bool *hole)
{
	struct t_random random =
		t_random_make(t_env("PMV_SEED", 1) * 1000 + ++mixed_seed);
	volatile uint64_t *counter;
	size_t i;

	for (i = 0; i < pages; i++) {
		char *page = addr + t_pages(i);

		counter = &((struct t_head *)(void *)page)->counter;
		hole[i] = false;
		switch (t_random_below(&random, 6)) {
		case 0:
			t_drop(page, 1);
			hole[i] = true;
			break;
		case 1:
			*counter = *counter + 1;
			break;
		case 2:
			(void)*counter;
			break;
		case 3:
			madvise(page, t_page(), MADV_WILLNEED);
			break;
		default:
			break;
		}
	}
}

static const char *check_mixed(char *src, char *dst, const bool *hole)
{
	const char *what = gone(src, PAGES);
	size_t i;

	for (i = 0; i < PAGES && what == NULL; i++) {
		char *page = dst + t_pages(i);

		what = wrong_at("dst", hole[i] ? t_check_absent(page, 1)
					       : t_check(page, 1 + i, 1));
	}
	return what;
}

static const char *move_mixed(struct t_case *c)
{
	char *src = t_case_map(c, PAGES), *dst = t_case_heap(c, PAGES);
	struct pagemv_result res;
	bool hole[PAGES];
	const char *what;
	size_t i;

	t_fill_range(src, PAGES, 1);
	what = all_out(src, PAGES);
	if (what != NULL)
		return what;
	empty_cache(src, PAGES);
	mix_states(src, PAGES, hole);
	for (i = 0; i < PAGES; i++)
		mixed[state_of(src + t_pages(i))]++;
	what = done_all(c, move(c, dst, src, PAGES, PAGEMV_MOVE_HOLES, &res),
			&res, PAGES);
	return what != NULL ? what : check_mixed(src, dst, hole);
}

static void end_mixed(struct tap *tap, const struct area *a)
{
	char name[80];
	size_t i;

	for (i = 0; i < STATES; i++) {
		snprintf(name, sizeof(name), "%s: partly swapped: pages %s",
			 a->name, state_names[i]);
		if (i == OUT && mixed[i] == 0 && !can_empty_cache())
			tap_skip(tap, name, "nothing empties the swap cache");
		else
			tap_ok(tap, mixed[i] > 0, name);
		note("%zu %s", mixed[i], state_names[i]);
		mixed[i] = 0;
	}
	say_numbers(a, "partly swapped ranges");
}

/* ---- entries shared by fork ---- */

enum sharer {
	LOOKS_ON, /* a child that has the entries as well */
	TAKES_IN, /* a child that has had half of them swapped in */
	HAS_GONE, /* a child that had them */
};

struct child {
	pid_t pid;
	int go[2];
};

/* Looks at its own pages when the parent has moved its. */
__attribute__((noreturn)) static void be_child(char *src, enum sharer sharer,
					       int ready, int go)
{
	volatile char *page = src;
	char byte = 0;
	size_t i;

	for (i = 0; i < PAGES && sharer == TAKES_IN; i += 2)
		byte = page[t_pages(i)];
	if (write(ready, &byte, 1) != 1 || read(go, &byte, 1) != 0)
		_exit(2);
	_exit(t_check_range(src, PAGES, 1) == NULL ? 0 : 1);
}

static struct child fork_child(char *src, enum sharer sharer)
{
	struct child child;
	int ready[2];
	char byte;

	if (pipe(child.go) != 0 || pipe(ready) != 0)
		t_die("pipe");
	child.pid = fork();
	if (child.pid < 0)
		t_die("fork");
	if (child.pid == 0) {
		close(child.go[1]);
		be_child(src, sharer, ready[1], child.go[0]);
	}
	close(child.go[0]);
	if (read(ready[0], &byte, 1) != 1)
		t_die("the child does not answer");
	close(ready[0]);
	close(ready[1]);
	return child;
}

static const char *end_child(const struct child *child)
{
	int status;

	close(child->go[1]);
	status = t_wait(child->pid);
	return status == 0 ? NULL
			   : wrong("the child's pages: status %d", status);
}

static const char *move_shared(struct t_case *c, enum sharer sharer)
{
	char *src = t_case_map(c, PAGES), *dst = t_case_heap(c, PAGES);
	const char *what, *child_wrong = NULL;
	struct child child;

	t_fill_range(src, PAGES, 1);
	what = all_out(src, PAGES);
	if (what != NULL)
		return what;
	child = fork_child(src, sharer);
	if (sharer == HAS_GONE)
		child_wrong = end_child(&child);
	what = move_and_check(c, dst, src, PAGES, 1, 0);
	if (what == NULL && c->way == T_MOVE && stats_of(c).made_exclusive == 0)
		what = "no entry was shared";
	if (sharer != HAS_GONE)
		child_wrong = end_child(&child);
	return what != NULL ? what : child_wrong;
}

static const char *move_looked_on(struct t_case *c)
{
	return move_shared(c, LOOKS_ON);
}

static const char *move_taken_in(struct t_case *c)
{
	return move_shared(c, TAKES_IN);
}

static const char *move_left_behind(struct t_case *c)
{
	return move_shared(c, HAS_GONE);
}

/* ---- dst swapped out, and the other calls ---- */

/* A page that is out is a page: it is in the way as any other. */
static const char *move_onto_swapped(struct t_case *c)
{
	char *src = t_case_map(c, PAGES), *dst = t_case_heap(c, PAGES);
	struct pagemv_result res;
	const char *what;
	int r;

	t_fill_range(src, PAGES, 1);
	t_fill_range(dst, PAGES, 101);
	what = all_out(dst, PAGES);
	if (what != NULL)
		return what;
	r = move(c, dst, src, PAGES, 0, &res);
	if (r != -EEXIST || res.reason != PAGEMV_REASON_OCCUPIED)
		return wrong("onto a page: returned %d (%s)", r,
			     pagemv_reason_string(res.reason));
	what = wrong_at("src", t_check_range(src, PAGES, 1));
	if (what == NULL)
		what = wrong_at("dst", t_check_range(dst, PAGES, 101));
	if (what == NULL)
		what = all_out(dst, PAGES);
	if (what != NULL)
		return what;
	what = done_all(c, move(c, dst, src, PAGES, PAGEMV_MOVE_REPLACE, &res),
			&res, PAGES);
	if (what == NULL)
		what = gone(src, PAGES);
	return what != NULL ? what
			    : wrong_at("dst", t_check_range(dst, PAGES, 1));
}

static const char *exchange_swapped(struct t_case *c)
{
	char *a = t_case_heap(c, PAGES), *b = t_case_heap(c, PAGES);
	const struct pagemv_move_opts opts = t_opts(c, 0);
	struct pagemv_result res;
	const char *what;
	int r;

	t_fill_range(a, PAGES, 1);
	t_fill_range(b, PAGES, 101);
	what = all_out(a, PAGES);
	if (what == NULL)
		what = all_out(b, PAGES / 2);
	if (what != NULL)
		return what;
	r = pagemv_exchange(c->pv, a, b, t_pages(PAGES), &opts, &res);
	what = done_all(c, r, &res, PAGES);
	if (what == NULL)
		what = wrong_at("a", t_check_range(a, PAGES, 101));
	return what != NULL ? what : wrong_at("b", t_check_range(b, PAGES, 1));
}

/* As memmove() has it, up and down by a few pages. */
static const char *move_overlapping(struct t_case *c)
{
	char *heap = t_case_heap(c, PAGES + 5);
	struct pagemv_result res;
	const char *what;

	t_fill_range(heap, PAGES, 1);
	what = all_out(heap, PAGES);
	if (what != NULL)
		return what;
	what = done_all(c, move(c, heap + t_pages(5), heap, PAGES, 0, &res),
			&res, PAGES);
	if (what == NULL)
		what = all_out(heap + t_pages(5), PAGES);
	if (what != NULL)
		return what;
	what = done_all(c, move(c, heap, heap + t_pages(5), PAGES, 0, &res),
			&res, PAGES);
	return what != NULL ? what
			    : wrong_at("dst", t_check_range(heap, PAGES, 1));
}

static const char *relocate_swapped(struct t_case *c)
{
	const struct pagemv_move_opts opts = t_opts(c, 0);
	char *src = t_case_map(c, PAGES), *dst = t_case_heap(c, PAGES);
	struct pagemv_result res;
	const char *what;
	int r;

	/* All but 100 bytes at each end. */
	t_fill_range(src, PAGES, 1);
	what = all_out(src, PAGES);
	if (what != NULL)
		return what;
	r = pagemv_relocate(c->pv, dst + 100, src + 100, t_pages(PAGES) - 200,
			    &opts, &res);
	if (r != 0)
		return wrong("returned %d (%s)", r,
			     pagemv_reason_string(res.reason));
	memcpy(dst, src, 100);
	memcpy(dst + t_pages(PAGES) - 100, src + t_pages(PAGES) - 100, 100);
	return wrong_at("dst", t_check_range(dst, PAGES, 1));
}

/* ---- huge pages ---- */

static uint64_t huge_out, huge_made;

static const char *no_large_folios(void)
{
	return access(THP "hugepages-64kB/enabled", W_OK) == 0
		       ? NULL
		       : "this kernel has no folios between base and huge";
}

static char *huge_heap(struct t_case *c, size_t off_bytes)
{
	char *heap = t_case_map_at(c, HUGE_PAGES, HUGE_BYTES, off_bytes, true);

	t_register(c->pv, heap, HUGE_PAGES);
	return heap;
}

/* Out as a whole and moved; half of it out again, and moved to where nothing
 * is aligned; out again, and back. */
static const char *move_huge(struct t_case *c)
{
	char *src = t_case_map_at(c, HUGE_PAGES, HUGE_BYTES, 0, true);
	char *even = huge_heap(c, 0), *odd = huge_heap(c, t_page());
	const char *what;
	uint64_t whole;

	t_fill_range(src, HUGE_PAGES, 1);
	huge_made += t_huge_bytes(src, t_pages(HUGE_PAGES)) / HUGE_BYTES;
	whole = vmstat("thp_swpout");
	what = all_out(src, HUGE_PAGES);
	huge_out += vmstat("thp_swpout") - whole;
	if (what == NULL)
		what = move_and_check(c, even, src, HUGE_PAGES, 1, 0);
	if (what == NULL)
		what = all_out(even + t_pages(50), HUGE_PAGES / 2);
	if (what == NULL)
		what = move_and_check(c, odd, even, HUGE_PAGES, 1, 0);
	if (what == NULL)
		what = all_out(odd, HUGE_PAGES);
	if (what == NULL)
		what = move_and_check(c, even, odd, HUGE_PAGES, 1, 0);
	return what;
}

/* A huge page in memory of which some base pages are out. */
static const char *move_broken_huge(struct t_case *c)
{
	char *src = t_case_map_at(c, HUGE_PAGES, HUGE_BYTES, 0, true);
	char *dst = huge_heap(c, 0);
	const char *what;

	t_fill_range(src, HUGE_PAGES, 1);
	what = all_out(src + t_pages(100), PAGES);
	return what != NULL ? what
			    : move_and_check(c, dst, src, HUGE_PAGES, 1, 0);
}

static void end_huge(struct tap *tap, const struct area *a)
{
	char name[80];

	snprintf(name, sizeof(name), "%s: huge pages were there", a->name);
	tap_ok(tap, huge_made > 0, name);
	lab_seen("huge pages swapped out whole", "%s: %" PRIu64 " of %" PRIu64,
		 a->name, huge_out, huge_made);
	huge_out = huge_made = 0;
}

static uint64_t large_swapped(void)
{
	char text[32] = "0";

	t_read_file(THP "hugepages-64kB/stats/swpout", text, sizeof(text));
	return strtoull(text, NULL, 10);
}

/* The same with folios of 64 KiB, which are never aligned as huge pages. */
static const char *move_large(struct t_case *c)
{
	size_t pages = 4 * PAGES;
	char *src = t_case_map_at(c, pages, HUGE_BYTES, 64 << 10, true);
	char *dst = t_case_map_at(c, pages, HUGE_BYTES, 64 << 10, true);
	uint64_t whole = large_swapped();
	const char *what;

	/* A fault in registered memory brings no such folio. */
	t_fill_range(src, pages, 1);
	t_register(c->pv, src, pages);
	t_register(c->pv, dst, pages);
	huge_made += pages / 16;
	what = all_out(src, pages);
	huge_out += large_swapped() - whole;
	if (what == NULL)
		what = move_and_check(c, dst, src, pages, 1, 0);
	if (what == NULL)
		what = all_out(dst + t_pages(5), pages / 2);
	return what != NULL ? what : move_and_check(c, src, dst, pages, 1, 0);
}

static void end_large(struct tap *tap, const struct area *a)
{
	(void)tap;
	lab_seen("folios of 64 KiB swapped out whole",
		 "%s: %" PRIu64 " of %" PRIu64, a->name, huge_out, huge_made);
	huge_out = huge_made = 0;
}

static const struct area_section sections[] = {
	{ "pages that are out", move_swapped, end_swapped, NULL },
	{ "partly swapped", move_mixed, end_mixed, NULL },
	{ "shared with a child", move_looked_on, NULL, NULL },
	{ "half swapped in by a child", move_taken_in, NULL, NULL },
	{ "shared with a child that is gone", move_left_behind, NULL, NULL },
	{ "onto pages that are out", move_onto_swapped, NULL, NULL },
	{ "exchange", exchange_swapped, NULL, NULL },
	{ "overlap", move_overlapping, NULL, NULL },
	{ "any bytes", relocate_swapped, NULL, NULL },
	{ "huge", move_huge, end_huge, no_huge_pages },
	{ "partly swapped huge pages", move_broken_huge, NULL, no_huge_pages },
	{ "folios of 64 KiB", move_large, end_large, no_large_folios },
};

void run_moves(struct tap *tap)
{
	size_t i;

	for (i = 0; i < T_COUNT(sections); i++)
		run_in_areas(tap, &sections[i]);
}
