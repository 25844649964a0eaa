// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A mutator has slots, each with a tree, an entry or an array. They hang in
 * tables of references, and these in its roots.
 */
#include "gc_work.h"

/* References in a table. */
#define TABLE 512u
/* A tree has 2^TREE_DEPTH - 1 nodes, of so many bytes. */
#define TREE_DEPTH 12u
#define NODE_BYTES 32u
/* What is replaced of one: so deep. */
#define TWIG_DEPTH 4u
/* An entry has 64 to 1023 bytes, with its header. */
#define ENTRY_MIN 64u
#define ENTRY_MAX 1024u
/* Arrays, of 64 KiB << 0 to 8. */
#define ARRAY_MIN     ((size_t)64 << 10)
#define ARRAY_CLASSES 9u
/* Writing to an array is work; reading, too: a stamp a page. */
#define STAMP_BYTES 4096u
/* One step in so many makes something new. */
#define NEW_STEPS	64u
#define NEW_ARRAY_STEPS 1024u

static uint64_t mix(uint64_t x)
{
	x ^= x >> 31;
	x *= 0x9e3779b97f4a7c15u;
	return x ^ x >> 29;
}

static uint64_t next_random(struct gc_work *w)
{
	w->random += 0x9e3779b97f4a7c15u;
	return mix(w->random);
}

static size_t slot_bytes(enum gc_workload workload)
{
	switch (workload) {
	case GC_TREES:
		return (((size_t)1 << TREE_DEPTH) - 1) * NODE_BYTES;
	case GC_CACHE:
		return (ENTRY_MIN + ENTRY_MAX) / 2;
	default:
		return ARRAY_MIN * ((1u << ARRAY_CLASSES) - 1) / ARRAY_CLASSES;
	}
}

static size_t slots_of(enum gc_workload workload, size_t live_bytes)
{
	size_t slots = live_bytes / slot_bytes(workload);

	return slots ? slots : 1;
}

/* The first ones are of the path to what is being made. */
size_t gc_work_roots(enum gc_workload workload, size_t live_bytes)
{
	return TREE_DEPTH + slots_of(workload, live_bytes) / TABLE + 1;
}

static struct gc_object **path(struct gc_work *w, unsigned int depth)
{
	return gc_root(w->thread, depth);
}

/* Good until the next allocation. */
static struct gc_object **slot(struct gc_work *w, size_t i)
{
	return &(*gc_root(w->thread, TREE_DEPTH + i / TABLE))->ref[i % TABLE];
}

/* ---- trees ---- */

static uint64_t *node_depth(struct gc_object *node)
{
	return gc_bytes(node);
}

/* A tree whose top is of that depth, at the end of the path. */
static bool make_tree(struct gc_work *w, unsigned int depth)
{
	struct gc_object *node = gc_alloc(w->thread, 2, sizeof(uint64_t));

	if (!node)
		return false;
	*node_depth(node) = depth;
	*path(w, depth) = node;
	for (int i = 0; i < 2 && depth + 1 < TREE_DEPTH; i++) {
		if (!make_tree(w, depth + 1))
			return false;
		(*path(w, depth))->ref[i] = *path(w, depth + 1);
	}
	return true;
}

/* The node of that depth below a tree's top, by a way of its own. */
static struct gc_object *descend(struct gc_work *w, struct gc_object *node,
				 unsigned int depth)
{
	uint64_t way = next_random(w);

	for (unsigned int d = 0; d < depth; d++) {
		w->wrong += *node_depth(node) != d;
		node = node->ref[way >> d & 1];
	}
	w->wrong += *node_depth(node) != depth;
	return node;
}

static bool renew_twig(struct gc_work *w, size_t i)
{
	unsigned int depth = TREE_DEPTH - TWIG_DEPTH;

	*path(w, depth - 1) = descend(w, *slot(w, i), depth - 1);
	if (!make_tree(w, depth))
		return false;
	(*path(w, depth - 1))->ref[next_random(w) & 1] = *path(w, depth);
	return true;
}

static bool make_top(struct gc_work *w, size_t i)
{
	if (!make_tree(w, 0))
		return false;
	*slot(w, i) = *path(w, 0);
	return true;
}

/* ---- entries ---- */

/* How many words, its number, and what they are made of. */
struct entry {
	uint64_t words, i, seed;
	uint64_t of[];
};

static bool make_entry(struct gc_work *w, size_t i)
{
	size_t bytes = ENTRY_MIN + next_random(w) % (ENTRY_MAX - ENTRY_MIN);
	size_t words = (bytes - sizeof(struct gc_object)) / sizeof(uint64_t) -
		       sizeof(struct entry) / sizeof(uint64_t);
	struct gc_object *o = gc_alloc(
		w->thread, 0, sizeof(struct entry) + words * sizeof(uint64_t));
	struct entry *e;

	if (!o)
		return false;
	e = gc_bytes(o);
	*e = (struct entry){ words, i, next_random(w) };
	for (size_t k = 0; k < words; k++)
		e->of[k] = e->seed + k;
	*slot(w, i) = o;
	return true;
}

static void read_entry(struct gc_work *w, size_t i)
{
	const struct entry *e = gc_bytes(*slot(w, i));
	bool good = e->i == i;

	for (size_t k = 0; k < e->words && good; k++)
		good = e->of[k] == e->seed + k;
	w->wrong += !good;
}

/* ---- arrays ---- */

static size_t array_bytes(size_t i)
{
	return ARRAY_MIN << i % ARRAY_CLASSES;
}

static uint64_t *stamp(struct gc_object *o, size_t n)
{
	return (uint64_t *)((char *)gc_bytes(o) + n * STAMP_BYTES);
}

static bool make_array(struct gc_work *w, size_t i)
{
	size_t bytes = array_bytes(i);
	struct gc_object *o =
		gc_alloc(w->thread, 0, bytes - sizeof(struct gc_object));

	if (!o)
		return false;
	for (size_t n = 0; n < bytes / STAMP_BYTES; n++)
		*stamp(o, n) = mix(i << 20 | n);
	*slot(w, i) = o;
	return true;
}

static void read_array(struct gc_work *w, size_t i)
{
	size_t n = next_random(w) % (array_bytes(i) / STAMP_BYTES);

	w->wrong += *stamp(*slot(w, i), n) != mix(i << 20 | n);
}

/* ---- all of them ---- */

static bool make(struct gc_work *w, size_t i)
{
	switch (w->workload) {
	case GC_TREES:
		return make_top(w, i);
	case GC_CACHE:
		return make_entry(w, i);
	default:
		return make_array(w, i);
	}
}

static size_t any_slot(struct gc_work *w)
{
	return next_random(w) % w->slots;
}

/* Replaces a little of what is alive. */
static bool renew(struct gc_work *w, size_t i)
{
	return w->workload == GC_TREES ? renew_twig(w, i) : make(w, i);
}

bool gc_work_build(struct gc_work *w)
{
	size_t tables;

	w->slots = slots_of(w->workload, w->live_bytes);
	tables = (w->slots + TABLE - 1) / TABLE;
	for (size_t t = 0; t < tables; t++) {
		struct gc_object *table = gc_alloc(w->thread, TABLE, 0);

		if (!table)
			return false;
		*gc_root(w->thread, TREE_DEPTH + t) = table;
	}
	for (size_t i = 0; i < w->slots; i++)
		if (!make(w, i))
			return false;
	return true;
}

bool gc_work_churn(struct gc_work *w, unsigned int n)
{
	size_t a_time = w->workload == GC_TREES
				? ((1u << TWIG_DEPTH) - 1) * NODE_BYTES
				: slot_bytes(w->workload);

	for (size_t k = 0; k < w->live_bytes / n / a_time + 1; k++)
		if (!renew(w, any_slot(w)))
			return false;
	return true;
}

void gc_work_read(struct gc_work *w)
{
	size_t i = any_slot(w);

	switch (w->workload) {
	case GC_TREES:
		descend(w, *slot(w, i), TREE_DEPTH - 1);
		break;
	case GC_CACHE:
		read_entry(w, i);
		break;
	default:
		read_array(w, i);
		break;
	}
}

bool gc_work_write(struct gc_work *w)
{
	bool arrays = w->workload == GC_ARRAYS;
	size_t i = any_slot(w);

	if (next_random(w) % (arrays ? NEW_ARRAY_STEPS : NEW_STEPS))
		return true;
	/* Only small arrays: what is written is work, and no stop. */
	return renew(w, arrays ? i - i % ARRAY_CLASSES : i);
}
