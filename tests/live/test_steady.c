/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The steady state: any number of moves inside one heap leaves the mappings,
 * the memory and the C library's heap as they were, and a move that succeeds
 * makes one system call.
 *
 * PMV_LONG=1 makes a million moves of each case instead of a tenth or less.
 */
#include "live.h"

#include <malloc.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine.h"

#define HEAP_PAGES 2048
#define LONGEST	   8

/* Which page is where: 0 for none. */
struct model {
	char *heap;
	uint32_t at[HEAP_PAGES];
	struct t_random random;
};

static void fill_half(struct model *m)
{
	size_t i;
	uint32_t id = 0;

	for (i = 0; i < HEAP_PAGES; i++) {
		m->at[i] = t_random_next(&m->random) >> 63 ? ++id : 0;
		if (m->at[i] != 0)
			t_fill(m->heap + t_pages(i), id, 1);
	}
	/* A huge page came as a whole. */
	for (i = 0; i < HEAP_PAGES; i++)
		if (m->at[i] == 0)
			t_drop(m->heap + t_pages(i), 1);
}

static size_t run_length(const struct model *m, size_t from, bool present)
{
	size_t n = 0;

	while (n < LONGEST && from + n < HEAP_PAGES &&
	       (m->at[from + n] != 0) == present)
		n++;
	return n;
}

static size_t find(struct model *m, bool present)
{
	size_t i = t_random_below(&m->random, HEAP_PAGES);

	while ((m->at[i] != 0) != present)
		i = (i + 1) % HEAP_PAGES;
	return i;
}

static bool move_some(const struct t_case *c, struct model *m)
{
	size_t from = find(m, true), to = find(m, false), i;
	size_t n = run_length(m, from, true), room = run_length(m, to, false);
	struct pagemv_result res;
	int r;

	n = n < room ? n : room;
	n = 1 + t_random_below(&m->random, n);
	r = pagemv_move(c->pv, m->heap + t_pages(to), m->heap + t_pages(from),
			t_pages(n), &c->opts, &res);
	if (r != 0 || res.moved_bytes + res.copied_bytes != t_pages(n)) {
		T_EXPECT(c, false, "%zu pages, %zu -> %zu: returned %d (%s)", n,
			 from, to, r, pagemv_reason_string(res.reason));
		return false;
	}
	for (i = 0; i < n; i++) {
		m->at[to + i] = m->at[from + i];
		m->at[from + i] = 0;
	}
	return true;
}

static void expect_model(const struct t_case *c, const struct model *m)
{
	const char *wrong = NULL;
	size_t i;

	for (i = 0; i < HEAP_PAGES && wrong == NULL; i++)
		wrong = m->at[i] != 0
				? t_check(m->heap + t_pages(i), m->at[i], 1)
				: t_check_absent(m->heap + t_pages(i), 1);
	T_EXPECT(c, wrong == NULL, "slot %zu: %s", i - 1, wrong);
}

static size_t moves_of(const struct t_case *c)
{
	size_t all = t_env("PMV_LONG", 0) != 0 ? 1000000 : 100000;

	/* Under emulation they took 10 minutes of a suite's 20. */
	all /= t_slow();
	/* Without UFFDIO_MOVE a move costs ten times as much. */
	return c->way == T_MOVE || (c->way == T_AUTO && !t_case_only_copies(c))
		       ? all
		       : all / 20;
}

static void run_moves(struct t_case *c)
{
	static struct model m;
	size_t mappings, rss, i, used;

	m.heap = t_case_heap(c, HEAP_PAGES);
	m.random = t_random_make(c->next);
	fill_half(&m);
	for (i = 0; i < 200; i++) /* what is set up once is there */
		if (!move_some(c, &m))
			return;
	mappings = t_count_mappings();
	rss = t_rss_pages();
	used = mallinfo2().uordblks;
	for (i = 0; i < moves_of(c); i++)
		if (!move_some(c, &m))
			return;
	T_EXPECT(c, mallinfo2().uordblks == used, "%zu bytes in use, then %zu",
		 used, mallinfo2().uordblks);
	T_EXPECT(c, t_rss_pages() <= rss + 32, "%zu pages resident, then %zu",
		 rss, t_rss_pages());
	T_EXPECT(c, t_count_mappings() == mappings, "%zu mappings, then %zu",
		 mappings, t_count_mappings());
	expect_model(c, &m);
}

Test(steady, many_random_moves_change_nothing_else, .timeout = 300)
{
	struct t_case c;

	t_cases(&c, T_WAYS_LAYOUT);
	while (t_next_case(&c))
		run_moves(&c);
}

/* --- system calls --- */

/* exit() and its like do more than end the process, under a sanitizer. */
static int end_child(int status)
{
	return (int)syscall(SYS_exit_group, status);
}

/* In a child: a handle, then a filter that kills at anything but ioctl(). */
static int only_ioctls(void *arg)
{
	struct pagemv *pv = NULL;
	struct pagemv_result res;
	char *heap, *src;
	size_t i;

	(void)arg;
	if (pagemv_open(&pv, NULL) != 0)
		return 1;
	heap = t_map(256);
	src = t_map(256);
	t_register(pv, heap, 256);
	t_fill_range(src, 256, 1);
	if (!t_only_ioctl())
		return 77;
	for (i = 0; i < 200; i++)
		if (pagemv_move(pv, heap + t_pages(i), src + t_pages(i),
				t_page(), NULL, &res) != 0 ||
		    res.kernel_calls != 1)
			return end_child(2);
	if (pagemv_move(pv, heap + t_pages(200), src + t_pages(200),
			t_pages(56), NULL, &res) != 0)
		return end_child(3);
	return end_child(res.moved_bytes == t_pages(56) ? 0 : 4);
}

Test(steady, a_move_that_succeeds_makes_one_system_call)
{
	struct pagemv *pv = t_open(T_NORMAL);
	struct pagemv_caps caps = { .size = sizeof(caps) };
	int status;

	cr_assert_eq(pagemv_caps(pv, &caps), 0);
	pagemv_close(pv);
	if (caps.mech[PAGEMV_MECH_MOVE].available == 0)
		cr_skip("UFFDIO_MOVE is not available: %s",
			pagemv_reason_string(
				caps.mech[PAGEMV_MECH_MOVE].reason));
	status = t_in_child(only_ioctls, NULL);
	if (status == 77)
		cr_skip("seccomp filters are not to be had here");
	cr_expect_neq(status, 128 + 31, "another system call was made");
	cr_expect_eq(status, 0, "the child ended with %d", status);
}

Test(steady, counts_its_own_kernel_calls)
{
	struct pagemv_stats stats = { .size = sizeof(stats) };
	struct pagemv_result res;
	struct t_case c;
	uint64_t calls = 0;
	size_t i;

	t_cases(&c, T_WAY_BIT(T_MOVE));
	while (t_next_case(&c)) {
		char *heap = t_case_heap(&c, 64), *src = t_case_map(&c, 64);

		t_fill_range(src, 64, 1);
		for (i = 0; i < 64; i += 4) {
			T_EXPECT(&c,
				 t_move(&c, heap + t_pages(i), src + t_pages(i),
					4, 0, &res) == 0,
				 "failed");
			calls += res.kernel_calls;
		}
		cr_assert_eq(pagemv_stats(c.pv, &stats), 0);
		T_EXPECT(&c, stats.kernel_calls == calls,
			 "%" PRIu64 ", not %" PRIu64, stats.kernel_calls,
			 calls);
		T_EXPECT(&c, stats.calls == 16, "%" PRIu64 " calls",
			 stats.calls);
	}
	if (c.tried == 0)
		cr_skip("UFFDIO_MOVE is not available here");
}
