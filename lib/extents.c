// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A root with an array of leaves, each a sorted array of extents:
 *
 *   root   keys   |  -  |  k1  |  k2  |  ...
 *          leaves |  *  |  *   |  *   |  ...
 *                    |     |
 *                    v     v
 *   leaf   [e e e e e]   [e e e e]
 *
 * All extents of leaf i begin at or above key i and end at or below key i + 1;
 * key 0 is not looked at. A leaf has at least one extent.
 *
 * Leaves and keys are never changed in place. A writer copies a leaf and
 * stores the copy in the root; where leaves come or go, or keys change, it
 * copies the root as well. So one more of 100000 regions costs a copy of 1 KiB
 * (and now and then one of 50), and what was replaced is freed many at a time
 * after one grace period.
 *
 * Where there are many regions a fault finds nothing of this in the caches:
 * what is searched lies close together, apart from what it leads to.
 */
#include "extents.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "forks.h"
#include "internal.h"
#include "rcu.h"
#include "region.h"

#define LEAF_MAX 32
/* So many are retired before writers wait for a grace period on their own. */
#define RETIRED_MAX 64

/* The first member of what readers may see when it has been replaced. */
struct pmv_retired {
	struct pmv_retired *next; /* of writers */
	size_t n;		  /* in the list from here on */
};

struct pmv_extent_leaf {
	struct pmv_retired node;
	size_t n;
	const struct pmv_extent *of; /* behind the ends */
	uintptr_t ends[];	     /* of them */
};

typedef PMV_RCU _Atomic(struct pmv_extent_leaf *) leaf_slot;

struct pmv_extent_root {
	struct pmv_retired node;
	size_t n;
	leaf_slot *leaves; /* behind the keys */
	uintptr_t keys[];
};

/* ---- readers ---- */

/* Pairs with the release in publish_root(). */
static struct pmv_extent_root *current_root(const struct pagemv *pv)
{
	return atomic_load_explicit(&pv->extents, memory_order_acquire);
}

/* Pairs with the release in publish_leaf(). */
static struct pmv_extent_leaf *leaf_at(const struct pmv_extent_root *root,
				       size_t slot)
{
	return atomic_load_explicit(&root->leaves[slot], memory_order_acquire);
}

/* Where addr belongs: the last leaf but the first whose key is not above it. */
static size_t slot_of(const struct pmv_extent_root *root, uintptr_t addr)
{
	size_t low = 0, high = root->n;

	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;

		if (root->keys[mid] <= addr)
			low = mid;
		else
			high = mid;
	}
	return low;
}

/* The index of the first extent that ends above addr. */
static size_t leaf_search(const struct pmv_extent_leaf *leaf, uintptr_t addr)
{
	size_t low = 0, high = leaf->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (leaf->ends[mid] > addr)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

bool pmv_extents_find(const struct pagemv *pv, uintptr_t addr,
		      struct pmv_extent *out)
{
	const struct pmv_extent_root *root = current_root(pv);
	const struct pmv_extent_leaf *leaf;
	size_t slot, i;

	if (!root->n)
		return false;
	slot = slot_of(root, addr);
	leaf = leaf_at(root, slot);
	i = leaf_search(leaf, addr);
	if (i == leaf->n) {
		if (slot + 1 == root->n)
			return false;
		leaf = leaf_at(root, slot + 1);
		i = 0;
	}
	*out = leaf->of[i];
	return true;
}

/* ---- memory ---- */

static void push(struct pmv_retired **list, struct pmv_retired *node)
{
	node->next = *list;
	node->n = *list ? (*list)->n + 1 : 1;
	*list = node;
}

static void push_all(struct pmv_retired **list, struct pmv_retired *nodes)
{
	while (nodes) {
		struct pmv_retired *next = nodes->next;

		push(list, nodes);
		nodes = next;
	}
}

static void free_all(struct pmv_retired *nodes)
{
	while (nodes) {
		struct pmv_retired *next = nodes->next;

		free(nodes);
		nodes = next;
	}
}

/* An empty one with room for n leaves. */
static struct pmv_extent_root *root_new(size_t n)
{
	struct pmv_extent_root *root =
		malloc(sizeof(*root) +
		       n * (sizeof(root->keys[0]) + sizeof(root->leaves[0])));

	if (!root)
		return NULL;
	root->n = 0;
	root->leaves = (leaf_slot *)(root->keys + n);
	return root;
}

/* root is not published yet. */
static void root_append(struct pmv_extent_root *root, uintptr_t key,
			struct pmv_extent_leaf *leaf)
{
	root->keys[root->n] = key;
	atomic_init(&root->leaves[root->n], leaf);
	root->n++;
}

/* ---- plans ---- */

/* A change: what is cut, and then at most one extent that is put there. */
struct change {
	const struct pagemv *pv;
	uintptr_t start, end;
	const struct pagemv_region *region; /* only its extents; NULL: any */
	const struct pmv_extent *put;	    /* from start to end, or NULL */
};

/* The extents of a new leaf, before it is one, or two. */
struct draft {
	size_t n;
	size_t put; /* where the new one is */
	bool changed;
	struct pmv_extent of[LEAF_MAX + 1];
};

/* Copies what is left of an extent. */
static void draft_left(const struct change *c, const struct pmv_extent *e,
		       struct draft *d)
{
	struct pmv_extent left = *e;

	if (e->end <= c->start || c->end <= e->start ||
	    (c->region && e->region != c->region)) {
		d->of[d->n++] = *e;
		return;
	}
	d->changed = true;
	if (e->start < c->start) {
		left.end = c->start;
		d->of[d->n++] = left;
	}
	if (c->end < e->end) {
		left.start = c->end;
		left.end = e->end;
		left.first = e->first + (c->end - e->start) / c->pv->page_bytes;
		d->of[d->n++] = left;
	}
}

static void draft_leaf(const struct change *c,
		       const struct pmv_extent_leaf *leaf,
		       const struct pmv_extent *put, struct draft *d)
{
	d->n = d->put = 0;
	d->changed = put != NULL;
	for (size_t i = 0; i < leaf->n; i++) {
		if (put && leaf->of[i].start >= put->start) {
			d->put = d->n;
			d->of[d->n++] = *put;
			put = NULL;
		}
		draft_left(c, &leaf->of[i], d);
	}
	if (!put)
		return;
	d->put = d->n;
	d->of[d->n++] = *put;
}

/* How many of them become the first leaf. Those that come in order leave full
 * leaves behind. */
static size_t draft_split(const struct draft *d, bool put)
{
	if (d->n <= LEAF_MAX)
		return d->n;
	if (put && d->put == d->n - 1)
		return d->n - 1;
	return put && d->put == 0 ? 1 : d->n / 2;
}

static struct pmv_extent_leaf *leaf_new(struct pmv_extent_plan *plan,
					const struct pmv_extent *of, size_t n)
{
	size_t head = pmv_round_up(sizeof(struct pmv_extent_leaf) +
					   n * sizeof(uintptr_t),
				   sizeof(*of));
	struct pmv_extent_leaf *leaf = aligned_alloc(
		PMV_LINE, pmv_round_up(head + n * sizeof(*of), PMV_LINE));
	struct pmv_extent *copy;

	if (!leaf)
		return NULL;
	copy = (struct pmv_extent *)((char *)leaf + head);
	memcpy(copy, of, n * sizeof(*of));
	for (size_t i = 0; i < n; i++)
		leaf->ends[i] = of[i].end;
	leaf->n = n;
	leaf->of = copy;
	push(&plan->in, &leaf->node);
	return leaf;
}

/* Appends a draft to the plan's root, as one leaf or two, of which the first
 * has so many. The first of all that are changed keeps its key. */
static bool append_draft(struct pmv_extent_plan *plan, const struct draft *d,
			 size_t first, uintptr_t key, bool keeps_key)
{
	for (size_t i = 0, n = first; i < d->n; i += n, n = d->n - i) {
		struct pmv_extent_leaf *leaf = leaf_new(plan, d->of + i, n);

		if (!leaf)
			return false;
		if (i || !keeps_key)
			key = leaf->of[0].start;
		root_append(plan->root, key, leaf);
	}
	return true;
}

/* Appends what becomes of leaf i to the plan's root. */
static bool plan_slot(struct pmv_extent_plan *plan, const struct change *c,
		      size_t i, const struct pmv_extent *put)
{
	struct pmv_extent_root *old = plan->old_root;
	struct pmv_extent_leaf *leaf = leaf_at(old, i);
	struct draft d;

	draft_leaf(c, leaf, put, &d);
	/* Behind what is put the key moves up. */
	if (!d.changed && !c->put) {
		root_append(plan->root, old->keys[i], leaf);
		return true;
	}
	push(&plan->out, &leaf->node);
	return append_draft(plan, &d, draft_split(&d, put), old->keys[i],
			    put || !c->put);
}

/* Writes the plan's root: the old one, with the change in slots a to b. */
static bool plan_slots(struct pmv_extent_plan *plan, const struct change *c,
		       size_t a, size_t b)
{
	struct pmv_extent_root *old = plan->old_root;

	for (size_t i = 0; i < old->n; i++) {
		if (i < a || i > b)
			root_append(plan->root, old->keys[i], leaf_at(old, i));
		else if (!plan_slot(plan, c, i, i == a ? c->put : NULL))
			return false;
	}
	return true;
}

static int plan_root(struct pmv_extent_plan *plan, const struct change *c,
		     size_t a, size_t b)
{
	struct pmv_extent_root *old = plan->old_root;
	struct pmv_extent_leaf *leaf;

	plan->root = root_new(old->n + 1);
	if (!plan->root)
		return -ENOMEM;
	push(&plan->in, &plan->root->node);
	if (old->n) {
		if (!plan_slots(plan, c, a, b))
			return -ENOMEM;
	} else if (c->put) {
		leaf = leaf_new(plan, c->put, 1);
		if (!leaf)
			return -ENOMEM;
		root_append(plan->root, 0, leaf);
	}
	push(&plan->out, &old->node);
	return 0;
}

/* Tries to do with another leaf in a slot. Returns 1 if that is not enough. */
static int plan_leaf(struct pmv_extent_plan *plan, const struct change *c,
		     size_t slot)
{
	struct draft d;

	plan->slot = slot;
	plan->old_leaf = leaf_at(plan->old_root, slot);
	draft_leaf(c, plan->old_leaf, c->put, &d);
	if (!d.changed)
		return 0;
	if (!d.n || d.n > LEAF_MAX)
		return 1;
	plan->leaf = leaf_new(plan, d.of, d.n);
	if (!plan->leaf)
		return -ENOMEM;
	push(&plan->out, &plan->old_leaf->node);
	return 0;
}

static int plan_change(const struct pagemv *pv, struct pmv_extent_plan *plan,
		       const struct change *c)
{
	size_t a = 0, b = 0;
	int rc = 1;

	*plan = (struct pmv_extent_plan){ .old_root = current_root(pv) };
	if (plan->old_root->n) {
		a = slot_of(plan->old_root, c->start);
		b = slot_of(plan->old_root, c->end - 1);
		if (a == b)
			rc = plan_leaf(plan, c, a);
	} else if (!c->put) {
		return 0;
	}
	if (rc == 1)
		rc = plan_root(plan, c, a, b);
	if (rc < 0)
		pmv_extents_drop(plan);
	return rc;
}

/* Whether b goes on where a ends. */
static bool continues(const struct pagemv *pv, const struct pmv_extent *a,
		      const struct pmv_extent *b)
{
	return a->end == b->start && a->region == b->region &&
	       a->first + (a->end - a->start) / pv->page_bytes == b->first;
}

/* A region's extents are all found between low and high. */
static void widen(struct pagemv_region *r, const struct pmv_extent *e)
{
	if (!r->high || e->start < r->low)
		r->low = e->start;
	if (e->end > r->high)
		r->high = e->end;
}

int pmv_extents_plan_add(struct pagemv *pv, const struct pmv_extent *e,
			 struct pmv_extent_plan *plan)
{
	struct pmv_extent put = *e, near;
	int rc;

	*plan = (struct pmv_extent_plan){ 0 };
	if (pmv_extents_find(pv, e->start, &near) && near.start < e->end)
		return -EEXIST;
	if (pmv_extents_find(pv, e->start - 1, &near) &&
	    continues(pv, &near, e)) {
		put.start = near.start;
		put.first = near.first;
	}
	if (pmv_extents_find(pv, e->end, &near) && continues(pv, e, &near))
		put.end = near.end;
	rc = plan_change(pv, plan,
			 &(struct change){ .pv = pv,
					   .start = put.start,
					   .end = put.end,
					   .put = &put });
	if (rc == 0)
		widen(e->region, e);
	return rc;
}

int pmv_extents_plan_cut(struct pagemv *pv, uintptr_t start, uintptr_t end,
			 const struct pagemv_region *region,
			 struct pmv_extent_plan *plan)
{
	*plan = (struct pmv_extent_plan){ 0 };
	if (start >= end)
		return 0;
	return plan_change(pv, plan,
			   &(struct change){ .pv = pv,
					     .start = start,
					     .end = end,
					     .region = region });
}

/* ---- writers ---- */

static void publish_root(struct pagemv *pv, struct pmv_extent_root *root)
{
	/* Pairs with the acquire in current_root(). */
	atomic_store_explicit(&pv->extents, root, memory_order_release);
}

static void publish_leaf(struct pagemv *pv, size_t slot,
			 struct pmv_extent_leaf *leaf)
{
	/* Pairs with the acquire in leaf_at(). */
	atomic_store_explicit(&current_root(pv)->leaves[slot], leaf,
			      memory_order_release);
}

void pmv_extents_apply(struct pagemv *pv, const struct pmv_extent_plan *plan)
{
	if (plan->root)
		publish_root(pv, plan->root);
	else if (plan->leaf)
		publish_leaf(pv, plan->slot, plan->leaf);
}

static void free_later(struct pagemv *pv, struct pmv_retired *nodes)
{
	pmv_rcu_synchronize(&pv->extents);
	free_all(nodes);
}

/* Under region_lock nobody must wait for liburcu while another thread is inside
 * fork(): that holds liburcu's lock, and may wait for a handler thread that
 * needs region_lock. Next time, then. */
static void retire(struct pagemv *pv, struct pmv_retired *nodes)
{
	push_all(&pv->retired, nodes);
	if (!pv->retired || pv->retired->n < RETIRED_MAX || !pmv_forks_stop())
		return;
	free_later(pv, pv->retired);
	pv->retired = NULL;
	pmv_forks_go_on();
}

void pmv_extents_keep(struct pagemv *pv, struct pmv_extent_plan *plan)
{
	retire(pv, plan->out);
	*plan = (struct pmv_extent_plan){ 0 };
}

void pmv_extents_undo(struct pagemv *pv, struct pmv_extent_plan *plan)
{
	if (plan->root)
		publish_root(pv, plan->old_root);
	else if (plan->leaf)
		publish_leaf(pv, plan->slot, plan->old_leaf);
	retire(pv, plan->in);
	*plan = (struct pmv_extent_plan){ 0 };
}

void pmv_extents_drop(struct pmv_extent_plan *plan)
{
	free_all(plan->in);
	*plan = (struct pmv_extent_plan){ 0 };
}

int pmv_extents_add(struct pagemv *pv, const struct pmv_extent *e)
{
	struct pmv_extent_plan plan;
	int rc = pmv_extents_plan_add(pv, e, &plan);

	if (rc < 0)
		return rc;
	pmv_extents_apply(pv, &plan);
	pmv_extents_keep(pv, &plan);
	return 0;
}

int pmv_extents_cut(struct pagemv *pv, uintptr_t start, uintptr_t end)
{
	struct pmv_extent_plan plan;
	int rc = pmv_extents_plan_cut(pv, start, end, NULL, &plan);

	if (rc < 0)
		return rc;
	pmv_extents_apply(pv, &plan);
	pmv_extents_keep(pv, &plan);
	return 0;
}

void pmv_extents_settle(struct pagemv *pv)
{
	struct pmv_retired *retired;

	pthread_mutex_lock(&pv->region_lock);
	retired = pv->retired;
	pv->retired = NULL;
	pthread_mutex_unlock(&pv->region_lock);
	free_later(pv, retired);
}

void pmv_extents_relieve(struct pagemv *pv)
{
	bool much;

	if (pmv_forks_known())
		return;
	pthread_mutex_lock(&pv->region_lock);
	much = pv->retired && pv->retired->n >= RETIRED_MAX;
	pthread_mutex_unlock(&pv->region_lock);
	if (much)
		pmv_extents_settle(pv);
}

int pmv_extents_open(struct pagemv *pv)
{
	struct pmv_extent_root *root = root_new(0);

	if (!root)
		return -ENOMEM;
	pv->retired = NULL;
	atomic_init(&pv->extents, root);
	return 0;
}

void pmv_extents_close(struct pagemv *pv)
{
	struct pmv_extent_root *root = current_root(pv);

	for (size_t i = 0; i < root->n; i++)
		free(leaf_at(root, i));
	free(root);
	free_all(pv->retired);
	pv->retired = NULL;
}
