// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * libnuma prints when it meets what it does not expect, and ends the program
 * where it has no memory for a mask of its own. So it is asked only for what
 * it knows to be there, once for each set of handler threads, and masks are of
 * this file. It has no way to say "no memory". For pages only those of its
 * functions are used that are system calls: no memory, no messages.
 *
 * It is loaded when it is first needed. Most processes need it never, and its
 * constructor takes 190 us, half as long as starting a small program does.
 */
#include "numa.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <numa.h>
#include <numaif.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

/* As many as a kernel can be built for. */
#define CPUS	  8192
#define WORD_BITS (sizeof(long) * CHAR_BIT)

/* What is used of it. */
static struct {
	PMV_CONST_AFTER_INIT bool loaded;
	__typeof__(&numa_available) available;
	__typeof__(&numa_max_node) max_node;
	__typeof__(&numa_num_possible_cpus) possible_cpus;
	__typeof__(&numa_node_to_cpus) node_to_cpus;
	__typeof__(&numa_sched_getaffinity) getaffinity;
	__typeof__(&numa_sched_setaffinity) setaffinity;
	__typeof__(&numa_bitmask_isbitset) isbitset;
	struct bitmask **nodes;
	__typeof__(&get_mempolicy) get_mempolicy;
	__typeof__(&mbind) mbind;
	__typeof__(&move_pages) move_pages;
} lib;

static const struct {
	const char *name;
	void *to;
} symbols[] = {
	{ "numa_available", &lib.available },
	{ "numa_max_node", &lib.max_node },
	{ "numa_num_possible_cpus", &lib.possible_cpus },
	{ "numa_node_to_cpus", &lib.node_to_cpus },
	{ "numa_sched_getaffinity", &lib.getaffinity },
	{ "numa_sched_setaffinity", &lib.setaffinity },
	{ "numa_bitmask_isbitset", &lib.isbitset },
	{ "numa_nodes_ptr", &lib.nodes },
	{ "get_mempolicy", &lib.get_mempolicy },
	{ "mbind", &lib.mbind },
	{ "move_pages", &lib.move_pages },
};

static void load(void)
{
	void *numa = dlopen("libnuma.so.1", RTLD_NOW | RTLD_LOCAL), *symbol;

	for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
		symbol = numa ? dlsym(numa, symbols[i].name) : NULL;
		if (!symbol)
			return;
		*(void **)symbols[i].to = symbol;
	}
	lib.loaded = true;
}

/* Is it there? errno is kept. */
static bool is_loaded(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int saved = errno;

	pthread_once(&once, load);
	errno = saved;
	return lib.loaded;
}

struct cpus {
	unsigned long words[CPUS / WORD_BITS];
	struct bitmask mask;
};

static struct bitmask *cpus_mask(struct cpus *c)
{
	memset(c->words, 0, sizeof(c->words));
	c->mask = (struct bitmask){ .size = CPUS, .maskp = c->words };
	return &c->mask;
}

static bool any(const struct cpus *c)
{
	for (size_t i = 0; i < CPUS / WORD_BITS; i++)
		if (c->words[i])
			return true;
	return false;
}

/* Those of the node that the calling thread may run on. 0, or -EINVAL where
 * there are none. */
static int cpus_of(int node, struct cpus *out)
{
	struct bitmask *cpus = cpus_mask(out), *allowed;
	struct cpus mine;

	if (!is_loaded() || lib.available() < 0 || node < 0 ||
	    node > lib.max_node() ||
	    !lib.isbitset(*lib.nodes, (unsigned int)node) ||
	    lib.possible_cpus() > CPUS)
		return -EINVAL;
	allowed = cpus_mask(&mine);
	if (lib.node_to_cpus(node, cpus) < 0 || lib.getaffinity(0, allowed) < 0)
		return -EINVAL;
	for (size_t i = 0; i < CPUS / WORD_BITS; i++)
		out->words[i] &= mine.words[i];
	return any(out) ? 0 : -EINVAL;
}

bool pmv_numa_has(int node)
{
	int saved = errno;
	struct cpus cpus;
	bool has = cpus_of(node, &cpus) == 0;

	errno = saved;
	return has;
}

int pmv_numa_run_on(int node)
{
	int saved = errno, rc;
	struct cpus cpus;

	rc = cpus_of(node, &cpus);
	if (rc == 0 && lib.setaffinity(0, &cpus.mask) < 0)
		rc = -errno;
	errno = saved;
	return rc;
}

/* ---- which nodes ---- */

struct nodes {
	unsigned long words[PMV_NODES / WORD_BITS];
};

static bool has_node(const struct nodes *nodes, uint32_t node)
{
	return node < PMV_NODES &&
	       nodes->words[node / WORD_BITS] >> node % WORD_BITS & 1;
}

static void add_node(struct nodes *nodes, uint32_t node)
{
	nodes->words[node / WORD_BITS] |= 1ul << node % WORD_BITS;
}

/* The result of a system call by libnuma. */
static int sys_result(long rc, int saved)
{
	int error = rc < 0 ? -errno : (int)rc;

	errno = saved;
	return error;
}

/* The kernel takes one bit less than it is told that there are. */
#define MASK_BITS (PMV_NODES + 1)

/* Those that this process may have memory on, and how many. */
static uint32_t allowed_nodes(struct nodes *out)
{
	int saved = errno, rc = -ENOSYS;
	uint32_t n = 0;

	*out = (struct nodes){ 0 };
	if (is_loaded())
		rc = sys_result(lib.get_mempolicy(NULL, out->words, MASK_BITS,
						  NULL, MPOL_F_MEMS_ALLOWED),
				saved);
	for (size_t i = 0; rc == 0 && i < PMV_NODES / WORD_BITS; i++)
		n += (uint32_t)__builtin_popcountl(out->words[i]);
	if (n == 0) {
		*out = (struct nodes){ 0 };
		add_node(out, 0);
		n = 1;
	}
	return n;
}

int pmv_numa_want(struct pmv_numa_want *out, enum pagemv_heap_policy policy,
		  uint32_t node, enum pagemv_heap_placement placement)
{
	struct nodes allowed;
	uint32_t n = 1;

	if (policy >= PAGEMV_HEAP_POLICY_COUNT ||
	    placement >= PAGEMV_HEAP_PLACE_COUNT ||
	    (policy != PAGEMV_HEAP_NODE && node != 0))
		return -EINVAL;
	if (policy != PAGEMV_HEAP_LOCAL || placement == PAGEMV_HEAP_PLACE_BRING)
		n = allowed_nodes(&allowed);
	if (policy == PAGEMV_HEAP_NODE && !has_node(&allowed, node))
		return -EINVAL;
	*out = (struct pmv_numa_want){ policy, node, placement, n };
	return 0;
}

int pmv_numa_prefer(const struct pmv_numa_want *want, uintptr_t addr,
		    size_t bytes)
{
	struct nodes nodes = { 0 };
	int mode = MPOL_PREFERRED, saved = errno;

	if (want->nodes <= 1 || want->policy == PAGEMV_HEAP_LOCAL)
		return 0;
	if (want->policy == PAGEMV_HEAP_INTERLEAVE) {
		mode = MPOL_INTERLEAVE;
		allowed_nodes(&nodes);
	} else {
		add_node(&nodes, want->node);
	}
	return sys_result(
		lib.mbind((void *)addr, bytes, mode, nodes.words, MASK_BITS, 0),
		saved);
}

/* ---- where pages are ---- */

/* The nodes of n pages, or -errno for each. 0 or -errno. */
static int where(void **pages, size_t n, int *on)
{
	int saved = errno;

	return sys_result(lib.move_pages(0, n, pages, NULL, on, 0), saved);
}

int pmv_numa_where(uintptr_t addr)
{
	void *page = (void *)addr;
	int on = -ENOENT, rc = is_loaded() ? where(&page, 1, &on) : -ENOSYS;

	if (rc < 0)
		return rc;
	return on == -EFAULT ? -ENOENT : on;
}

/* That of the calling thread, now. */
static uint32_t here(void)
{
	unsigned int cpu, node;

	return getcpu(&cpu, &node) == 0 ? node : 0;
}

/* Are so many pages on all nodes in turn, more or less: has none of them half
 * as much again as its share? */
static bool is_spread(const int *on, size_t n, uint32_t nodes)
{
	uint16_t count[PMV_NODES] = { 0 };
	size_t there = 0, most = 0;

	for (size_t i = 0; i < n; i++) {
		if (on[i] < 0 || on[i] >= PMV_NODES)
			continue;
		there++;
		count[on[i]]++;
		if (count[on[i]] > most)
			most = count[on[i]];
	}
	return 2 * most * nodes <= 3 * there;
}

#define LOOKS 64

int pmv_numa_sample(const struct pmv_numa_want *want, uintptr_t addr,
		    size_t bytes, size_t page_bytes,
		    struct pmv_numa_sample *out)
{
	size_t pages = bytes / page_bytes, n = pmv_min(pages, LOOKS);
	uint32_t to = want->policy == PAGEMV_HEAP_NODE ? want->node : here();
	void *at[LOOKS];
	int on[LOOKS], rc;

	*out = (struct pmv_numa_sample){ 0 };
	if (want->nodes <= 1 || n == 0)
		return 0;
	/* Not at equal distances, which interleaving has as well. */
	for (size_t i = 0; i < n; i++)
		at[i] = (void *)(addr + (pages * i / n + i % (pages / n)) *
						page_bytes);
	rc = where(at, n, on);
	if (rc < 0)
		return rc;
	out->looked = n;
	for (size_t i = 0; i < n; i++) {
		out->there += on[i] >= 0;
		out->away += on[i] >= 0 && on[i] != (int)to;
	}
	if (want->policy == PAGEMV_HEAP_INTERLEAVE)
		out->away = is_spread(on, n, want->nodes)
				    ? 0
				    : out->there - out->there / want->nodes;
	return 0;
}

/* ---- bringing them ---- */

#define BATCH 512

struct bringing {
	const struct pmv_numa_want *want;
	const struct pmv_numa_range *range;
	uint32_t turns;		  /* how many nodes take turns */
	uint16_t turn[PMV_NODES]; /* and which */
	void *at[BATCH];
	int before[BATCH], after[BATCH], to[BATCH];
};

static void set_turns(struct bringing *b)
{
	struct nodes allowed;

	b->turns = 0;
	if (b->want->policy == PAGEMV_HEAP_INTERLEAVE) {
		allowed_nodes(&allowed);
		for (uint32_t node = 0; node < PMV_NODES; node++)
			if (has_node(&allowed, node))
				b->turn[b->turns++] = (uint16_t)node;
	} else {
		b->turn[b->turns++] =
			(uint16_t)(b->want->policy == PAGEMV_HEAP_NODE
					   ? b->want->node
					   : here());
	}
}

/* All pages of what may be a huge page to one node, or it would travel from
 * node to node with each of them. */
static int node_for(const struct bringing *b, uintptr_t addr)
{
	size_t huge = b->range->huge_bytes, unit = b->range->page_bytes;

	if (huge && pmv_round_down(addr, huge) >= b->range->addr &&
	    pmv_round_up(addr + 1, huge) <= b->range->addr + b->range->bytes)
		unit = huge;
	return b->turn[addr / unit % b->turns];
}

/* The first n pages of at[] are asked for; which went is seen by looking again,
 * as what the kernel says of huge pages differs between releases. */
static int bring_batch(struct bringing *b, size_t n,
		       struct pmv_numa_brought *out)
{
	int rc = where(b->at, n, b->before), saved = errno, looked;
	size_t wanted = 0, page = b->range->page_bytes;

	if (rc < 0 || (b->turns > 1 && is_spread(b->before, n, b->turns)))
		return rc;
	for (size_t i = 0; i < n; i++) {
		int to = node_for(b, (uintptr_t)b->at[i]);

		if (b->before[i] < 0 || b->before[i] == to)
			continue;
		b->at[wanted] = b->at[i];
		b->before[wanted] = b->before[i];
		b->to[wanted++] = to;
	}
	if (wanted == 0)
		return 0;
	rc = sys_result(
		lib.move_pages(0, wanted, b->at, b->to, b->after, MPOL_MF_MOVE),
		saved);
	looked = where(b->at, wanted, b->after);
	if (looked < 0)
		return looked;
	for (size_t i = 0; i < wanted; i++) {
		if (b->after[i] == b->to[i])
			out->brought_bytes += page;
		else if (b->after[i] >= 0)
			out->stayed_bytes += page;
	}
	/* Before Linux 4.17 none that could go was an error, ENOENT. */
	return rc >= 0 || rc == -ENOENT ? 0 : rc;
}

int pmv_numa_bring(const struct pmv_numa_want *want,
		   const struct pmv_numa_range *range,
		   struct pmv_numa_brought *out)
{
	struct bringing b = { .want = want, .range = range };
	uintptr_t addr = range->addr, end = range->addr + range->bytes;
	size_t span = BATCH * range->page_bytes;
	int rc = 0;

	*out = (struct pmv_numa_brought){ 0 };
	if (want->nodes <= 1)
		return 0;
	/* Pages in turn stay as they are, whoever's turn it would be. */
	if (want->policy == PAGEMV_HEAP_INTERLEAVE) {
		struct pmv_numa_sample sample;

		rc = pmv_numa_sample(want, addr, range->bytes,
				     range->page_bytes, &sample);
		if (rc < 0 || sample.away == 0)
			return rc;
	}
	set_turns(&b);
	while (addr < end && rc == 0) {
		/* Batches begin where huge pages do. */
		uintptr_t next = pmv_round_down(addr, span) + span;
		size_t n = 0;

		for (; addr < end && addr < next; addr += range->page_bytes)
			b.at[n++] = (void *)addr;
		rc = bring_batch(&b, n, out);
	}
	return rc;
}
