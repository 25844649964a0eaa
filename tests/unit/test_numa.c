/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "numa.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <numaif.h>
#include <sched.h>
#include <stdio.h>

#include "fake_numa.h"
#include "proc.h"
#include "t.h"

#define NO_NODE 100000

/* Where the calling thread may run. */
static cpu_set_t mine(void)
{
	cpu_set_t set;

	cr_assert(sched_getaffinity(0, sizeof(set), &set) == 0);
	return set;
}

/* The CPUs of node 0 as the kernel lists them: "0-3,8". */
static bool node_0(cpu_set_t *set)
{
	char text[4096], *at = text;
	int from, to, used;

	CPU_ZERO(set);
	if (!t_read_file("/sys/devices/system/node/node0/cpulist", text,
			 sizeof(text)))
		return false;
	while (sscanf(at, "%d%n", &from, &used) == 1) {
		at += used;
		to = from;
		if (sscanf(at, "-%d%n", &to, &used) == 1)
			at += used;
		for (int cpu = from; cpu <= to; cpu++)
			CPU_SET(cpu, set);
		if (*at++ != ',')
			break;
	}
	return CPU_COUNT(set) > 0;
}

static cpu_set_t need_node_0(void)
{
	cpu_set_t set;

	if (!node_0(&set) || !pmv_numa_has(0))
		cr_skip("this kernel tells nothing of nodes");
	return set;
}

Test(numa, a_node_that_is_not_there_is_refused)
{
	cpu_set_t before = mine(), after;

	errno = 7;
	cr_expect(!pmv_numa_has(-1));
	cr_expect(!pmv_numa_has(NO_NODE));
	cr_expect(pmv_numa_run_on(NO_NODE) == -EINVAL);
	cr_expect(pmv_numa_run_on(-1) == -EINVAL);
	cr_expect(errno == 7, "errno is kept");
	after = mine();
	cr_expect(CPU_EQUAL(&before, &after), "nothing has changed");
}

Test(numa, runs_on_the_cpus_of_a_node)
{
	cpu_set_t want = need_node_0(), before = mine(), got;

	errno = 7;
	cr_expect(pmv_numa_run_on(0) == 0);
	cr_expect(errno == 7, "errno is kept");
	CPU_AND(&want, &want, &before);
	got = mine();
	cr_expect(CPU_EQUAL(&got, &want));
}

Test(numa, a_thread_that_was_confined_stays_so)
{
	cpu_set_t want = need_node_0(), one, got;
	int cpu = 0;

	while (!CPU_ISSET(cpu, &want))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one) < 0)
		cr_skip("this process may not run on a CPU of node 0");
	cr_expect(pmv_numa_run_on(0) == 0);
	got = mine();
	cr_expect(CPU_EQUAL(&got, &one));
}

/* ---- pages ---- */

#define HUGE_PAGES 512

/* Nodes 1 and 2, so that 0 is none; the pages of the fake machine are on 1. */
static char *two_nodes(void)
{
	fake_numa.allowed = 6;
	fake_numa.base = (char *)(HUGE_PAGES * t_page() * 1000);
	for (size_t i = 0; i < FAKE_NUMA_PAGES; i++)
		fake_numa.on[i] = 1;
	errno = 7;
	return fake_numa.base;
}

static int make(struct pmv_numa_want *w, enum pagemv_heap_policy policy,
		uint32_t node)
{
	return pmv_numa_want(w, policy, node, PAGEMV_HEAP_PLACE_BRING);
}

static struct pmv_numa_want want(enum pagemv_heap_policy policy, uint32_t node)
{
	struct pmv_numa_want w;

	cr_assert(make(&w, policy, node) == 0);
	return w;
}

static struct pmv_numa_range pages_of(size_t from, size_t n)
{
	return (struct pmv_numa_range){ (uintptr_t)fake_numa.base +
						t_pages(from),
					t_pages(n), t_page(),
					t_pages(HUGE_PAGES) };
}

static size_t count_on(int node)
{
	size_t n = 0;

	for (size_t i = 0; i < FAKE_NUMA_PAGES; i++)
		n += fake_numa.on[i] == node;
	return n;
}

Test(numa, wants_what_there_is)
{
	struct pmv_numa_want w = { .nodes = 77 };

	two_nodes();
	cr_expect(make(&w, PAGEMV_HEAP_NODE, 0) == -EINVAL);
	cr_expect(make(&w, PAGEMV_HEAP_NODE, 3) == -EINVAL);
	cr_expect(make(&w, PAGEMV_HEAP_NODE, NO_NODE) == -EINVAL);
	cr_expect(make(&w, PAGEMV_HEAP_LOCAL, 1) == -EINVAL);
	cr_expect(make(&w, PAGEMV_HEAP_POLICY_COUNT, 0) == -EINVAL);
	cr_expect(pmv_numa_want(&w, PAGEMV_HEAP_LOCAL, 0,
				PAGEMV_HEAP_PLACE_COUNT) == -EINVAL);
	cr_expect(w.nodes == 77, "nothing is written on error");
	w = want(PAGEMV_HEAP_NODE, 2);
	cr_expect(w.nodes == 2 && w.node == 2);
	cr_expect(want(PAGEMV_HEAP_INTERLEAVE, 0).nodes == 2);
	cr_expect(errno == 7, "errno is kept");
}

Test(numa, needs_no_answer_for_local_memory_that_stays)
{
	struct pmv_numa_want w;

	two_nodes();
	cr_expect(pmv_numa_want(&w, PAGEMV_HEAP_LOCAL, 0,
				PAGEMV_HEAP_PLACE_AUTO) == 0);
	cr_expect(w.nodes == 1);
	cr_expect(fake_numa.loads == 0 && fake_numa.asked == 0);
	cr_expect(want(PAGEMV_HEAP_LOCAL, 0).nodes == 2);
	cr_expect(fake_numa.loads == 1 && fake_numa.asked == 1);
}

Test(numa, is_one_node_without_libnuma)
{
	struct pmv_numa_want w;

	two_nodes();
	fake_numa.not_installed = true;
	cr_expect(want(PAGEMV_HEAP_INTERLEAVE, 0).nodes == 1);
	cr_expect(make(&w, PAGEMV_HEAP_NODE, 1) == -EINVAL);
	cr_expect(pmv_numa_where(t_pages(1)) == -ENOSYS);
	cr_expect(!pmv_numa_has(0));
	cr_expect(pmv_numa_run_on(0) == -EINVAL);
	cr_expect(errno == 7, "errno is kept");
}

Test(numa, is_one_node_where_the_kernel_tells_of_none)
{
	struct pmv_numa_want w;

	fake_numa.ask_error = ENOSYS;
	cr_expect(want(PAGEMV_HEAP_NODE, 0).nodes == 1);
	cr_expect(make(&w, PAGEMV_HEAP_NODE, 1) == -EINVAL);
}

Test(numa, asks_nothing_on_one_node)
{
	struct pmv_numa_want w = want(PAGEMV_HEAP_NODE, 0);
	struct pmv_numa_range all = pages_of(0, FAKE_NUMA_PAGES);
	struct pmv_numa_sample sample;
	struct pmv_numa_brought done;

	cr_expect(pmv_numa_prefer(&w, all.addr, all.bytes) == 0);
	cr_expect(pmv_numa_sample(&w, all.addr, all.bytes, t_page(), &sample) ==
		  0);
	cr_expect(sample.looked == 0 && sample.away == 0);
	cr_expect(pmv_numa_bring(&w, &all, &done) == 0);
	cr_expect(done.brought_bytes == 0 && done.stayed_bytes == 0);
	cr_expect(fake_numa.binds + fake_numa.queries + fake_numa.moves == 0);
}

Test(numa, binds_new_pages_by_policy)
{
	char *base = two_nodes();
	struct pmv_numa_want w = want(PAGEMV_HEAP_NODE, 2);

	cr_expect(pmv_numa_prefer(&w, (uintptr_t)base, 12345) == 0);
	cr_expect(fake_numa.bind_mode == MPOL_PREFERRED);
	cr_expect(fake_numa.bind_nodes == 4);
	cr_expect(fake_numa.bind_addr == base);
	cr_expect(fake_numa.bind_bytes == 12345);
	w = want(PAGEMV_HEAP_INTERLEAVE, 0);
	cr_expect(pmv_numa_prefer(&w, (uintptr_t)base, 12345) == 0);
	cr_expect(fake_numa.bind_mode == MPOL_INTERLEAVE);
	cr_expect(fake_numa.bind_nodes == 6);
	w = want(PAGEMV_HEAP_LOCAL, 0);
	cr_expect(pmv_numa_prefer(&w, (uintptr_t)base, 12345) == 0);
	cr_expect(fake_numa.binds == 2, "nothing is set for local memory");
	fake_numa.bind_error = EPERM;
	w = want(PAGEMV_HEAP_NODE, 1);
	cr_expect(pmv_numa_prefer(&w, (uintptr_t)base, 1) == -EPERM);
	cr_expect(errno == 7, "errno is kept");
}

Test(numa, tells_where_a_page_is)
{
	uintptr_t base = (uintptr_t)two_nodes();

	fake_numa.on[1] = -ENOENT;
	fake_numa.on[2] = -EFAULT;
	cr_expect(pmv_numa_where(base) == 1);
	cr_expect(pmv_numa_where(base + t_page()) == -ENOENT);
	cr_expect(pmv_numa_where(base + t_pages(2)) == -ENOENT);
	fake_numa.query_error = EPERM;
	cr_expect(pmv_numa_where(base) == -EPERM);
	cr_expect(errno == 7, "errno is kept");
}

Test(numa, a_sample_tells_how_many_are_away)
{
	uintptr_t base = (uintptr_t)two_nodes();
	struct pmv_numa_want one = want(PAGEMV_HEAP_NODE, 1),
			     two = want(PAGEMV_HEAP_NODE, 2);
	struct pmv_numa_sample s;

	for (size_t i = 0; i < FAKE_NUMA_PAGES / 2; i++)
		fake_numa.on[i] = -ENOENT;
	cr_expect(pmv_numa_sample(&one, base, t_pages(FAKE_NUMA_PAGES),
				  t_page(), &s) == 0);
	cr_expect(s.there == s.looked / 2 && s.away == 0);
	cr_expect(pmv_numa_sample(&two, base, t_pages(FAKE_NUMA_PAGES),
				  t_page(), &s) == 0);
	cr_expect(s.there == s.looked / 2 && s.away == s.there);
	cr_expect(pmv_numa_sample(&two, base + t_pages(FAKE_NUMA_PAGES - 3),
				  t_pages(3), t_page(), &s) == 0);
	cr_expect(s.looked == 3 && s.away == 3, "fewer pages than looks");
	fake_numa.query_error = EPERM;
	cr_expect(pmv_numa_sample(&two, base, t_page(), t_page(), &s) ==
		  -EPERM);
	cr_expect(s.looked == 0);
}

Test(numa, a_sample_of_pages_in_turn_has_none_away)
{
	uintptr_t base = (uintptr_t)two_nodes();
	struct pmv_numa_want w = want(PAGEMV_HEAP_INTERLEAVE, 0);
	struct pmv_numa_sample s;

	cr_expect(pmv_numa_sample(&w, base, t_pages(FAKE_NUMA_PAGES), t_page(),
				  &s) == 0);
	cr_expect(s.away == s.there / 2, "all of them are on one node");
	for (size_t i = 0; i < FAKE_NUMA_PAGES; i++)
		fake_numa.on[i] = i & 1 ? 1 : 2;
	cr_expect(pmv_numa_sample(&w, base, t_pages(FAKE_NUMA_PAGES), t_page(),
				  &s) == 0);
	cr_expect(s.away == 0);
}

Test(numa, brings_pages_to_the_node_and_tells_which_stayed)
{
	struct pmv_numa_range some;
	struct pmv_numa_brought done;
	struct pmv_numa_want w;

	two_nodes();
	w = want(PAGEMV_HEAP_NODE, 2);
	some = pages_of(3, 1500);
	fake_numa.on[10] = -ENOENT;
	fake_numa.on[11] = 2;
	fake_numa.stays[12] = fake_numa.stays[1300] = true;
	cr_expect(pmv_numa_bring(&w, &some, &done) == 0);
	cr_expect(done.brought_bytes == t_pages(1500 - 4));
	cr_expect(done.stayed_bytes == t_pages(2));
	cr_expect(count_on(2) == 1500 - 3);
	cr_expect(fake_numa.on[2] == 1 && fake_numa.on[1503] == 1,
		  "nothing beside the range");
	cr_expect(fake_numa.asked_pages == 1500 - 2,
		  "what is there already, or absent, is not asked for");
	cr_expect(errno == 7, "errno is kept");
}

Test(numa, brings_nothing_that_is_there_already)
{
	struct pmv_numa_range all;
	struct pmv_numa_brought done;
	struct pmv_numa_want w;

	two_nodes();
	w = want(PAGEMV_HEAP_NODE, 1);
	all = pages_of(0, FAKE_NUMA_PAGES);
	cr_expect(pmv_numa_bring(&w, &all, &done) == 0);
	cr_expect(done.brought_bytes == 0 && done.stayed_bytes == 0);
	cr_expect(fake_numa.moves == 0);
}

Test(numa, spreads_pages_over_all_nodes_huge_ones_whole)
{
	struct pmv_numa_range all;
	struct pmv_numa_brought done;
	struct pmv_numa_want w;

	two_nodes();
	fake_numa.huge_pages = HUGE_PAGES;
	for (size_t i = 0; i < HUGE_PAGES; i++)
		fake_numa.on[i] = -ENOENT;
	w = want(PAGEMV_HEAP_INTERLEAVE, 0);
	all = pages_of(0, FAKE_NUMA_PAGES);
	cr_expect(pmv_numa_bring(&w, &all, &done) == 0);
	cr_expect(done.brought_bytes % t_pages(HUGE_PAGES) == 0);
	cr_expect(done.brought_bytes > 0 && done.stayed_bytes == 0);
	cr_expect(t_pages(count_on(2)) == done.brought_bytes);
	cr_expect(count_on(1) > 0);
	cr_expect(t_pages(fake_numa.asked_pages) == done.brought_bytes,
		  "no huge page travels twice");
}

Test(numa, spreads_small_pages_where_no_huge_one_fits_and_only_once)
{
	struct pmv_numa_range some;
	struct pmv_numa_brought done;
	struct pmv_numa_want w;
	unsigned int moves;

	two_nodes();
	w = want(PAGEMV_HEAP_INTERLEAVE, 0);
	some = pages_of(100, 200);
	cr_expect(pmv_numa_bring(&w, &some, &done) == 0);
	cr_expect(done.brought_bytes == t_pages(100));
	cr_expect(count_on(2) == 100);
	moves = fake_numa.moves;
	cr_expect(pmv_numa_bring(&w, &some, &done) == 0);
	cr_expect(done.brought_bytes == 0 && fake_numa.moves == moves,
		  "they are spread");
}

Test(numa, says_what_was_brought_before_an_error)
{
	struct pmv_numa_range all;
	struct pmv_numa_brought done;
	struct pmv_numa_want w;

	two_nodes();
	w = want(PAGEMV_HEAP_NODE, 2);
	all = pages_of(0, FAKE_NUMA_PAGES);
	fake_numa.query_error = EPERM;
	cr_expect(pmv_numa_bring(&w, &all, &done) == -EPERM);
	fake_numa.query_error = 0;
	fake_numa.move_error = ENOMEM;
	cr_expect(pmv_numa_bring(&w, &all, &done) == -ENOMEM);
	cr_expect(done.brought_bytes == 0);
	cr_expect(done.stayed_bytes == t_pages(HUGE_PAGES),
		  "the first batch was asked for");
	fake_numa.move_error = ENOENT;
	cr_expect(pmv_numa_bring(&w, &all, &done) == 0);
	cr_expect(done.stayed_bytes == t_pages(FAKE_NUMA_PAGES));
	cr_expect(errno == 7, "errno is kept");
}
