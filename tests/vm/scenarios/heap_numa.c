/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Heaps on two NUMA nodes: where the pages of their blocks are, when they are
 * made, grown, and given to a heap on the other node, by asking the kernel.
 */
#include "lab.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "cases.h"
#include "marks.h"

#define MIB   ((size_t)1 << 20)
#define BYTES (8 * MIB)

/* ---- nodes ---- */

/* Runs on this node only from now on. */
static void run_on(unsigned int node)
{
	unsigned int cpu, on;
	cpu_set_t set;

	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
		if (sched_setaffinity(0, sizeof(set), &set) == 0 &&
		    syscall(SYS_getcpu, NULL, &on, NULL) == 0 && on == node)
			return;
	}
	t_die("no CPU of node %u", node);
}

/* How many of the pages are on the node. Touches none. */
static size_t count_on(const char *addr, size_t pages, int node)
{
	size_t n = 0;

	for (size_t i = 0; i < pages; i++) {
		void *page = (void *)(addr + t_pages(i));
		int on = -1;

		if (syscall(SYS_move_pages, 0, 1ul, &page, NULL, &on, 0) != 0)
			t_die("asking for nodes");
		n += on == node;
	}
	return n;
}

static const char *on_node(const char *addr, size_t bytes, int node)
{
	size_t pages = bytes / t_page(), n = count_on(addr, pages, node);

	return n == pages ? NULL
			  : wrong("%zu of %zu pages are on node %d", n, pages,
				  node);
}

static const char *on_both(const char *addr, size_t bytes)
{
	size_t pages = bytes / t_page();
	size_t a = count_on(addr, pages, 0), b = count_on(addr, pages, 1);

	return a + b == pages && a >= pages / 4 && b >= pages / 4
		       ? NULL
		       : wrong("%zu pages on node 0 and %zu on 1, of %zu", a, b,
			       pages);
}

/* 2: both. */
static const char *placed(const char *addr, size_t bytes, int where)
{
	return where == 2 ? on_both(addr, bytes) : on_node(addr, bytes, where);
}

/* Is there memory on both? */
static bool two_nodes(void)
{
	unsigned long mask[16] = { 0 };

	return syscall(SYS_get_mempolicy, NULL, mask, 8 * sizeof(mask), NULL,
		       MPOL_F_MEMS_ALLOWED) == 0 &&
	       (mask[0] & 3) == 3;
}

/* ---- heaps ---- */

/* where: 0 and 1 a node, 2 both, 3 local. */
static struct pagemv_heap *heap_at(struct pagemv *pv, int where,
				   enum pagemv_heap_placement placement,
				   enum pagemv_heap_huge huge)
{
	const struct pagemv_heap_opts opts = {
		.size = sizeof(opts),
		.huge = huge,
		.policy = where == 3   ? PAGEMV_HEAP_LOCAL
			  : where == 2 ? PAGEMV_HEAP_INTERLEAVE
				       : PAGEMV_HEAP_NODE,
		.node = where < 2 ? (uint32_t)where : 0,
		.placement = placement,
	};
	struct pagemv_heap *heap = NULL;
	int r = pagemv_heap_create(pv, &opts, &heap);

	if (r != 0)
		t_die("a heap at %d: %d", where, r);
	return heap;
}

static const char *make(struct pagemv_heap *heap, struct t_marked *b,
			size_t bytes)
{
	void *at = NULL;
	int r = pagemv_heap_alloc(heap, bytes, 0, &at);

	if (r != 0)
		return wrong("a block of %zu bytes: %d", bytes, r);
	*b = (struct t_marked){ .at = at, .bytes = bytes, .id = bytes };
	t_mark(b, SIZE_MAX);
	return NULL;
}

static const char *grow(struct pagemv_heap *heap, struct t_marked *b,
			size_t bytes, uint32_t flags)
{
	struct t_marked old = *b;
	const char *what;
	void *at = NULL;
	int r = pagemv_heap_realloc(heap, b->at, bytes, flags, &at, NULL);

	if (r != 0)
		return wrong("growth to %zu bytes: %d", bytes, r);
	b->at = old.at = at;
	b->bytes = bytes;
	what = t_check_marks(&old, old.bytes);
	t_mark(b, SIZE_MAX);
	return what;
}

static const char *give(struct pagemv_heap *from, struct t_marked *b,
			struct pagemv_heap *to)
{
	void *at = NULL;
	int r = pagemv_heap_give(from, b->at, to, &at, NULL);

	if (r != 0)
		return wrong("give: %d", r);
	b->at = at;
	return t_check_marks(b, b->bytes);
}

/* ---- what is tried ---- */

/* New pages are where the heap is, whoever touches them. */
static const char *made_and_grown(struct pagemv *pv, enum pagemv_heap_huge huge)
{
	const char *what = NULL;

	for (int where = 0; where < 3 && what == NULL; where++) {
		struct pagemv_heap *heap =
			heap_at(pv, where, PAGEMV_HEAP_PLACE_AUTO, huge);
		struct t_marked b;

		run_on(where == 0);
		what = make(heap, &b, BYTES);
		what = what ? what : placed(b.at, BYTES, where);
		what = what ? what : grow(heap, &b, 2 * BYTES, 0);
		what = what ? what : placed(b.at, 2 * BYTES, where);
		what = what ? what
			    : grow(heap, &b, 3 * BYTES, PAGEMV_ALLOC_MOVE);
		what = what ? what : placed(b.at, 3 * BYTES, where);
		pagemv_heap_destroy(heap);
		if (what != NULL)
			return wrong("heap %d: %s", where, what);
	}
	return NULL;
}

static const char *made_and_grown_small(struct pagemv *pv)
{
	return made_and_grown(pv, PAGEMV_HEAP_HUGE_NEVER);
}

static const char *made_and_grown_huge(struct pagemv *pv)
{
	return made_and_grown(pv, PAGEMV_HEAP_HUGE_ALWAYS);
}

/* From one to another: pages stay or are brought, and those that are new come
 * where the new heap is. */
static const char *given(struct pagemv *pv, int from, int to,
			 enum pagemv_heap_placement placement,
			 enum pagemv_heap_huge huge)
{
	struct pagemv_heap *a = heap_at(pv, from, placement, huge);
	struct pagemv_heap *b = heap_at(pv, to, placement, huge);
	bool brings = placement == PAGEMV_HEAP_PLACE_BRING;
	struct t_marked block;
	const char *what;

	what = make(a, &block, BYTES);
	what = what ? what : give(a, &block, b);
	what = what ? what
		    : wrong_at("given",
			       placed(block.at, BYTES, brings ? to : from));
	what = what ? what : grow(b, &block, 3 * BYTES, 0);
	what = what ? what
		    : wrong_at("new pages",
			       placed(block.at + BYTES, 2 * BYTES, to));
	what = what ? what
		    : wrong_at("old pages",
			       placed(block.at, BYTES, brings ? to : from));
	pagemv_heap_destroy(a);
	pagemv_heap_destroy(b);
	return what == NULL ? NULL : wrong("%d to %d: %s", from, to, what);
}

static const char *given_all(struct pagemv *pv,
			     enum pagemv_heap_placement placement,
			     enum pagemv_heap_huge huge)
{
	const char *what = NULL;

	for (int from = 0; from < 3 && what == NULL; from++)
		for (int to = 0; to < 3 && what == NULL; to++)
			if (from != to && from != 2)
				what = given(pv, from, to, placement, huge);
	return what;
}

static const char *kept(struct pagemv *pv)
{
	return given_all(pv, PAGEMV_HEAP_PLACE_KEEP, PAGEMV_HEAP_HUGE_NEVER);
}

static const char *kept_huge(struct pagemv *pv)
{
	return given_all(pv, PAGEMV_HEAP_PLACE_KEEP, PAGEMV_HEAP_HUGE_ALWAYS);
}

static const char *brought(struct pagemv *pv)
{
	return given_all(pv, PAGEMV_HEAP_PLACE_BRING, PAGEMV_HEAP_HUGE_NEVER);
}

static const char *brought_huge(struct pagemv *pv)
{
	return given_all(pv, PAGEMV_HEAP_PLACE_BRING, PAGEMV_HEAP_HUGE_ALWAYS);
}

/* A local heap wants pages where the one is who asks. */
static const char *brought_here(struct pagemv *pv)
{
	struct pagemv_heap *a = heap_at(pv, 0, PAGEMV_HEAP_PLACE_AUTO, 0);
	struct pagemv_heap *b = heap_at(pv, 3, PAGEMV_HEAP_PLACE_BRING, 0);
	struct t_marked block;
	const char *what = make(a, &block, BYTES);

	run_on(1);
	what = what ? what : give(a, &block, b);
	what = what ? what : on_node(block.at, BYTES, 1);
	pagemv_heap_destroy(a);
	pagemv_heap_destroy(b);
	return what;
}

/* By cost: many pages are brought, a few and very many are not. */
static const char *brought_where_it_pays(struct pagemv *pv)
{
	static const struct {
		size_t bytes;
		int goes_to;
	} sizes[] = { { 64 << 10, 0 }, { 8 * MIB, 1 }, { 128 * MIB, 0 } };
	struct pagemv_heap *a =
		heap_at(pv, 0, PAGEMV_HEAP_PLACE_AUTO, PAGEMV_HEAP_HUGE_NEVER);
	struct pagemv_heap *b =
		heap_at(pv, 1, PAGEMV_HEAP_PLACE_AUTO, PAGEMV_HEAP_HUGE_NEVER);
	const char *what = NULL;

	for (size_t i = 0; i < T_COUNT(sizes) && what == NULL; i++) {
		struct t_marked block;

		what = make(a, &block, sizes[i].bytes);
		what = what ? what : give(a, &block, b);
		what = what ? what
			    : on_node(block.at, sizes[i].bytes,
				      sizes[i].goes_to);
		if (what == NULL)
			pagemv_heap_free(b, block.at);
	}
	pagemv_heap_destroy(a);
	pagemv_heap_destroy(b);
	return what;
}

/* Memory that is malloc()'s, on the node of the one who asked for it. */
static const char *adopted(struct pagemv *pv)
{
	struct pagemv_heap *heap =
		heap_at(pv, 1, PAGEMV_HEAP_PLACE_BRING, PAGEMV_HEAP_HUGE_NEVER);
	struct t_marked old = { .bytes = BYTES, .id = 3 };
	const char *what = NULL;
	void *at = NULL;
	int r;

	run_on(0);
	old.at = malloc(old.bytes);
	if (old.at == NULL)
		t_die("malloc");
	t_mark(&old, SIZE_MAX);
	r = pagemv_heap_adopt(heap, old.at, BYTES, BYTES, &at, NULL);
	free(old.at);
	if (r != 0)
		return wrong("adopt: %d", r);
	old.at = at;
	what = t_check_marks(&old, BYTES);
	/* Whole pages; what is at both ends is copied to where the heap is. */
	what = what ? what
		    : on_node((char *)((uintptr_t)at & ~(t_page() - 1)), BYTES,
			      1);
	pagemv_heap_destroy(heap);
	return what;
}

static const char *calibrated(struct pagemv *pv)
{
	int r = pagemv_calibrate(pv);

	return r == 0 ? NULL : wrong("pagemv_calibrate: %d", r);
}

static const char *no_such_node(struct pagemv *pv)
{
	const struct pagemv_heap_opts opts = { .size = sizeof(opts),
					       .policy = PAGEMV_HEAP_NODE,
					       .node = 2 };
	struct pagemv_heap *heap = NULL;
	int r = pagemv_heap_create(pv, &opts, &heap);

	return r == -EINVAL && heap == NULL ? NULL : wrong("returned %d", r);
}

static const struct {
	const char *name;
	const char *(*body)(struct pagemv *pv);
} bodies[] = {
	{ "blocks are made and grow on the heap's nodes",
	  made_and_grown_small },
	{ "so do blocks of huge pages", made_and_grown_huge },
	{ "pages that are given stay on their node", kept },
	{ "so do huge pages", kept_huge },
	{ "pages that are given are brought", brought },
	{ "so are huge pages", brought_huge },
	{ "a local heap has them brought to the caller's node", brought_here },
	{ "pages are brought where it pays", brought_where_it_pays },
	{ "adopted pages are brought", adopted },
	{ "the costs are measured", calibrated },
	{ "a node that is not there is refused", no_such_node },
};

static const char *const variants[] = { "as it is", "without UFFDIO_MOVE",
					"without userfaultfd" };

static void run_all(struct tap *tap)
{
	char name[160];

	for (int v = 0; v < T_VARIANT_COUNT; v++)
		for (size_t i = 0; i < T_COUNT(bodies); i++) {
			struct pagemv *pv = t_open((enum t_variant_id)v);
			const char *what = bodies[i].body(pv);

			pagemv_close(pv);
			snprintf(name, sizeof(name), "%s: %s", variants[v],
				 bodies[i].name);
			result(tap, what, name);
		}
}

int main(void)
{
	struct tap tap = { 0, 0 };

	lab_only();
	if (!two_nodes()) {
		puts("1..0 # SKIP there are no two nodes");
		return 0;
	}
	run_apart(&tap, run_all);
	return tap_done(&tap);
}
