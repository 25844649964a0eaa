/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two NUMA nodes: on which of them pages are after they were moved, remapped
 * or copied, and moves while pages migrate from node to node.
 *
 * System calls as they are: libnuma would hide where pages go by policy.
 */
#include "lab.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "cases.h"
#include "storm.h"

#define PAGES 64
#define NODES 2
#define DEBUG "/tmp/pagemv-numa"

/* ---- nodes ---- */

static unsigned long node_bit(int node)
{
	return 1ul << node;
}

/* The policy of a range; what is there already goes along where asked to. */
static long set_policy(void *addr, size_t pages, int mode, int node,
		       unsigned int flags)
{
	unsigned long mask = node_bit(node);

	if (mode == MPOL_DEFAULT)
		return syscall(SYS_mbind, addr, t_pages(pages), mode, NULL, 0,
			       flags);
	return syscall(SYS_mbind, addr, t_pages(pages), mode, &mask,
		       8 * sizeof(mask), flags);
}

/* Runs on this node only from now on. */
static void run_on(int node)
{
	unsigned int cpu, on;
	cpu_set_t set;

	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
		if (sched_setaffinity(0, sizeof(set), &set) == 0 &&
		    syscall(SYS_getcpu, NULL, &on, NULL) == 0 &&
		    on == (unsigned int)node)
			return;
	}
	t_die("no CPU of node %d", node);
}

static void run_anywhere(void)
{
	cpu_set_t set;

	memset(&set, 0xff, sizeof(set));
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		t_die("running anywhere");
}

/* How many pages are on the node; at most PAGES. Touches none. */
static size_t count_on(char *addr, size_t pages, int node)
{
	void *page[PAGES];
	int on[PAGES];
	size_t i, n = 0;

	for (i = 0; i < pages; i++)
		page[i] = addr + t_pages(i);
	if (syscall(SYS_move_pages, 0, pages, page, NULL, on, 0) != 0)
		t_die("asking for nodes");
	for (i = 0; i < pages; i++)
		n += on[i] == node;
	return n;
}

static const char *all_on(char *addr, size_t pages, int node)
{
	size_t n = count_on(addr, pages, node);

	return n == pages ? NULL
			  : wrong("%zu of %zu pages are on node %d", n, pages,
				  node);
}

/* Is there memory on both? What a node has not cannot be allowed to us. */
static bool two_nodes(void)
{
	unsigned long mask[16] = { 0 };

	return syscall(SYS_get_mempolicy, NULL, mask, 8 * sizeof(mask), NULL,
		       MPOL_F_MEMS_ALLOWED) == 0 &&
	       (mask[0] & 3) == 3;
}

/* ---- where pages are ---- */

static struct {
	unsigned int stayed; /* cases in which pages kept their node */
	unsigned int by_cpu; /* were copied to the node of the CPU */
	unsigned int by_policy;
} went;

/* What dst's pages are bound to, if anything. */
struct place {
	int src;    /* the node of the pages */
	int cpu;    /* the node that the move runs on */
	int policy; /* dst is bound to this one; -1: not at all */
};

static const char *check_place(const struct pagemv_result *res, char *dst,
			       const struct place *p)
{
	int copied_to = p->policy >= 0 ? p->policy : p->cpu;
	const char *what =
		all_on(dst, PAGES, took_along(res) ? p->src : copied_to);

	if (what != NULL)
		return wrong_at(took_along(res) ? "moved" : "copied", what);
	if (took_along(res))
		went.stayed++;
	else if (p->policy >= 0)
		went.by_policy++;
	else
		went.by_cpu++;
	return NULL;
}

static const char *move_from(struct t_case *c, const struct place *p)
{
	char *src = t_case_map(c, PAGES), *dst = t_case_heap(c, PAGES);
	struct pagemv_result res;
	const char *what;

	if (set_policy(src, PAGES, MPOL_BIND, p->src, 0) != 0 ||
	    (p->policy >= 0 &&
	     set_policy(dst, PAGES, MPOL_BIND, p->policy, 0) != 0))
		t_die("mbind");
	run_on(p->cpu);
	t_fill_range(src, PAGES, 1);
	what = wrong_at("filled", all_on(src, PAGES, p->src));
	if (what == NULL)
		what = done_all(c, move(c, dst, src, PAGES, 0, &res), &res,
				PAGES);
	if (what == NULL)
		what = check_place(&res, dst, p);
	run_anywhere();
	if (what == NULL)
		what = wrong_at("src", t_check_absent(src, PAGES));
	return what != NULL ? what
			    : wrong_at("dst", t_check_range(dst, PAGES, 1));
}

/* Each node, seen from each, with dst bound to none and to each. */
static const char *move_between(struct t_case *c)
{
	const char *what = NULL;
	char where[80];
	struct place p;

	for (p.src = 0; p.src < NODES; p.src++)
		for (p.cpu = 0; p.cpu < NODES; p.cpu++)
			for (p.policy = -1; p.policy < NODES; p.policy++) {
				what = move_from(c, &p);
				snprintf(where, sizeof(where),
					 "from node %d, CPU of %d, dst's %d",
					 p.src, p.cpu, p.policy);
				if (what != NULL)
					return wrong_at(where, what);
			}
	return NULL;
}

/* Half of the pages on each node, in turn: each stays where it is. */
static const char *move_mixed(struct t_case *c)
{
	char *src = t_case_map(c, PAGES), *dst = t_case_heap(c, PAGES);
	struct pagemv_result res;
	const char *what;
	size_t i, n = 0;

	for (i = 0; i < PAGES; i++) {
		run_on((int)(i % NODES));
		t_fill(src + t_pages(i), 1 + i, 1);
	}
	run_on(0);
	what = done_all(c, move(c, dst, src, PAGES, 0, &res), &res, PAGES);
	run_anywhere();
	for (i = 0; i < PAGES; i++)
		n += count_on(dst + t_pages(i), 1,
			      took_along(&res) ? (int)(i % NODES) : 0);
	if (what == NULL && n != PAGES)
		what = wrong("%zu of %d pages are where they should be", n,
			     PAGES);
	if (what == NULL)
		what = wrong_at("src", t_check_absent(src, PAGES));
	return what != NULL ? what
			    : wrong_at("dst", t_check_range(dst, PAGES, 1));
}

/* A moved page is as good as another: it migrates, and moves again. */
static const char *move_and_migrate(struct t_case *c)
{
	char *src = t_case_map(c, PAGES), *dst = t_case_heap(c, PAGES);
	const char *what;
	int there;

	run_on(0);
	t_fill_range(src, PAGES, 1);
	run_anywhere();
	t_register(c->pv, src, PAGES);
	what = move_and_check(c, dst, src, PAGES, 1, 0);
	if (what != NULL)
		return what;
	there = count_on(dst, PAGES, 0) == PAGES ? 1 : 0;
	if (set_policy(dst, PAGES, MPOL_BIND, there,
		       MPOL_MF_MOVE | MPOL_MF_STRICT) != 0)
		return wrong("mbind: errno %d", errno);
	what = wrong_at("migrated", all_on(dst, PAGES, there));
	if (what == NULL)
		what = move_and_check(c, src, dst, PAGES, 1, 0);
	return what;
}

static const struct section sections[] = {
	{ "nodes of pages", T_WAYS_ALL, move_between },
	{ "pages of both nodes", T_WAYS_ALL, move_mixed },
	{ "pages that migrate in between", T_WAYS_ALL, move_and_migrate },
};

static void run_sections(struct tap *tap)
{
	size_t i;

	for (i = 0; i < T_COUNT(sections); i++)
		run_section(tap, &sections[i]);
	tap_ok(tap, went.stayed > 0 && went.by_cpu > 0 && went.by_policy > 0,
	       "nodes: pages were moved, and copied by CPU and by policy");
	lab_seen("nodes of pages",
		 "moved and remapped pages keep theirs (%u cases), copies are "
		 "on the CPU's (%u) or on that of dst's policy (%u)",
		 went.stayed, went.by_cpu, went.by_policy);
}

/* ---- what mremap does to policies ---- */

static int mode_at(void *addr)
{
	int mode = -1;

	if (syscall(SYS_get_mempolicy, &mode, NULL, 0, addr, MPOL_F_ADDR) != 0)
		t_die("get_mempolicy");
	return mode;
}

/* A fact that pagemv(7) should know: src's policy comes along. */
static void look_at_policy(struct tap *tap)
{
	struct t_case c;

	t_cases(&c, T_WAY_BIT(T_MOVE) | T_WAY_BIT(T_REMAP));
	while (t_next_case(&c)) {
		char *src = t_case_map(&c, PAGES);
		char *dst = t_case_heap(&c, PAGES);
		char name[80];

		if (set_policy(dst, PAGES, MPOL_BIND, 1, 0) != 0)
			t_die("mbind");
		t_fill_range(src, PAGES, 1);
		snprintf(name, sizeof(name), "dst has a policy: %s", c.name);
		result(tap, move_and_check(&c, dst, src, PAGES, 1, 0), name);
		if (c.variant != T_NORMAL)
			continue;
		lab_seen("policy of dst", "%s: %s", c.name,
			 mode_at(dst) == MPOL_BIND ? "dst's own"
						   : "that of src");
	}
}

/* ---- storms ---- */

static struct {
	uint64_t asked;	   /* pages migrated by move_pages(), as it says */
	uint64_t bound;	   /* calls of mbind() */
	uint64_t migrated; /* calls of migrate_pages() */
	uint64_t moved;
	uint64_t copied;
} storms;

static void add(uint64_t *n, uint64_t more)
{
	__atomic_fetch_add(n, more, __ATOMIC_RELAXED);
}

/* Those that are on the other node already do not count. */
static void ask(struct storm *s, struct t_random *random)
{
	int to[PAGES], before[PAGES], after[PAGES];
	void *page[PAGES];
	size_t pages, i;
	char *run = storm_pick(s, random, &pages);
	int node = (int)t_random_below(random, NODES);

	for (i = 0; i < pages; i++) {
		page[i] = run + t_pages(i);
		to[i] = node;
	}
	if (syscall(SYS_move_pages, 0, pages, page, NULL, before, 0) < 0 ||
	    syscall(SYS_move_pages, 0, pages, page, to, after, MPOL_MF_MOVE) <
		    0) {
		/* None of them was there. */
		if (errno != ENOENT)
			storm_wrong(s, "move_pages: errno %d", errno);
		return;
	}
	for (i = 0; i < pages; i++)
		if (before[i] == 1 - node && after[i] == node)
			add(&storms.asked, 1);
	t_sleep_ms((unsigned int)t_random_below(random, 10));
}

/* Breaks mappings apart, by their policies, and lets them grow together. */
static void bind(struct storm *s, struct t_random *random)
{
	bool all = t_random_below(random, 8) == 0;
	size_t pages;
	char *run = storm_pick(s, random, &pages);
	long r;

	if (all)
		r = set_policy(s->src, s->src_pages, MPOL_DEFAULT, 0, 0);
	else
		r = set_policy(run, pages, MPOL_BIND,
			       (int)t_random_below(random, NODES),
			       MPOL_MF_MOVE);
	if (r != 0)
		storm_wrong(s, "mbind: errno %d", errno);
	add(&storms.bound, 1);
	t_sleep_ms((unsigned int)t_random_below(random, 10));
}

/* All of the process at once. */
static void migrate(struct storm *s, struct t_random *random)
{
	unsigned long from = node_bit((int)t_random_below(random, NODES));
	unsigned long to = from ^ 3;

	if (syscall(SYS_migrate_pages, 0, 8 * sizeof(from), &from, &to) < 0)
		storm_wrong(s, "migrate_pages: errno %d", errno);
	add(&storms.migrated, 1);
	t_sleep_ms((unsigned int)t_random_below(random, 40));
}

static void sum(struct storm *s)
{
	add(&storms.moved, s->moved_pages);
	add(&storms.copied, s->copied_pages);
}

static const struct storm_plan migrating_plan = {
	.name = "migrating",
	.ways = T_WAY_BIT(T_AUTO) | T_WAY_BIT(T_REMAP) | T_WAY_BIT(T_COPY),
	.ms = 200,
	.disturb = { ask, bind, migrate },
	.tear_down = sum,
};

/* Nobody but the kernel, which moves pages to those who use them. */
static void change_node(struct storm *s, struct t_random *random)
{
	size_t i;

	run_on((int)t_random_below(random, NODES));
	for (i = 0; i < s->src_pages; i++)
		__atomic_fetch_add(
			&((struct t_head *)(void *)(s->src + t_pages(i)))
				 ->counter,
			0, __ATOMIC_RELAXED);
	t_sleep_ms(2);
}

static const struct storm_plan balancing_plan = {
	.name = "balancing",
	.ways = T_WAY_BIT(T_AUTO),
	.ms = 600,
	.disturb = { change_node },
	.tear_down = sum,
};

static void run_migrating(struct tap *tap)
{
	uint64_t migrated = vmstat("pgmigrate_success");

	storm_run(tap, &migrating_plan);
	migrated = vmstat("pgmigrate_success") - migrated;
	tap_ok(tap,
	       migrated > 0 && storms.asked > 0 && storms.bound > 0 &&
		       storms.migrated > 0,
	       "migrating: pages migrated while they moved");
	lab_seen("migrating",
		 "%" PRIu64 " pages moved, %" PRIu64 " copied; %" PRIu64
		 " migrated, %" PRIu64 " of them by move_pages, %" PRIu64
		 " calls of mbind, %" PRIu64 " of migrate_pages",
		 storms.moved, storms.copied, migrated, storms.asked,
		 storms.bound, storms.migrated);
}

static void run_balancing(struct tap *tap)
{
	uint64_t faults = vmstat("numa_hint_faults");
	uint64_t migrated = vmstat("numa_pages_migrated");

	storm_run(tap, &balancing_plan);
	faults = vmstat("numa_hint_faults") - faults;
	migrated = vmstat("numa_pages_migrated") - migrated;
	if (faults > 0)
		tap_ok(tap, true, "balancing: pages were looked for");
	else
		tap_skip(tap, "balancing: pages were looked for",
			 "the kernel did not look for any in this time");
	lab_seen("balancing",
		 "%" PRIu64 " pages moved, %" PRIu64 " hinting faults, %" PRIu64
		 " pages migrated by the kernel",
		 storms.moved, faults, migrated);
}

/* Sooner and more often than by default, where debugfs lets us. */
static struct setting balancing[] = {
	{ "/proc/sys/kernel/numa_balancing", "1", "" },
	{ DEBUG "/sched/numa_balancing/scan_delay_ms", "5", "" },
	{ DEBUG "/sched/numa_balancing/scan_period_min_ms", "20", "" },
	{ DEBUG "/sched/numa_balancing/scan_period_max_ms", "50", "" },
};

static struct setting no_balancing[] = {
	{ "/proc/sys/kernel/numa_balancing", "0", "" },
};

static void balance(struct tap *tap)
{
	bool debug;

	if (access(balancing[0].path, W_OK) != 0) {
		tap_skip(tap, balancing_plan.name, "no NUMA balancing");
		return;
	}
	mkdir(DEBUG, 0700);
	debug = mount("debugfs", DEBUG, "debugfs", 0, NULL) == 0;
	put_settings(balancing, T_COUNT(balancing));
	run_apart(tap, run_balancing);
	give_back_settings(balancing, T_COUNT(balancing));
	if (debug)
		umount(DEBUG);
	rmdir(DEBUG);
}

int main(void)
{
	struct tap tap = { 0, 0 };

	lab_only();
	if (!two_nodes()) {
		tap_skip(&tap, "nodes", "not two NUMA nodes with memory");
		return tap_done(&tap);
	}
	/* Pages shall be where we put them. */
	put_settings(no_balancing, T_COUNT(no_balancing));
	run_apart(&tap, run_sections);
	run_apart(&tap, look_at_policy);
	run_apart(&tap, run_migrating);
	give_back_settings(no_balancing, T_COUNT(no_balancing));
	balance(&tap);
	return tap_done(&tap);
}
