/* SPDX-License-Identifier: 0BSD */
/*
 * compact-gc: threads that build graphs, and tear them down, while the
 * collector compacts them, in each of its modes. Every object knows what its
 * bytes are to be and who it points to, so that whatever a thread reads is
 * verified; and a hash of all that can be reached is the same before and after
 * each collection.
 */
#include <argp.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pagemv/base.h>

#include "gc.h"

#define ROOTS 512u
#define REFS  4u

static struct options {
	int mode; /* -1: all */
	size_t heap_mib;
	unsigned int threads;
	unsigned int cycles;
} options = { .mode = -1, .heap_mib = 64, .threads = 2, .cycles = 8 };

/* What an object's bytes begin with. */
struct body {
	uint64_t id;
	uint64_t seed; /* of the bytes behind */
	uint64_t bytes;
	uint64_t to[REFS]; /* the ids of what it points to; 0: nothing */
	uint64_t of[];
};

struct mutator {
	struct gc *gc;
	struct gc_thread *t;
	uint64_t id, random;
	const char *wrong; /* what was found, or NULL */
};

/* ---- objects ---- */

static uint64_t mix(uint64_t x)
{
	x ^= x >> 31;
	x *= 0x9e3779b97f4a7c15u;
	x ^= x >> 29;
	x *= 0xbf58476d1ce4e5b9u;
	return x ^ x >> 32;
}

static uint64_t next_random(struct mutator *m)
{
	return mix(m->random += 0x9e3779b97f4a7c15u);
}

static struct body *body_of(struct gc_object *o)
{
	return gc_bytes(o);
}

/* NULL, or what is wrong with it. */
static const char *verify(struct gc_object *o)
{
	struct body *b = body_of(o);

	if (o->refs != REFS || b->seed != mix(b->id))
		return "an object's head is not what it was";
	for (size_t i = 0; i < b->bytes / sizeof(b->of[0]); i++)
		if (b->of[i] != b->seed + i)
			return "an object's bytes are not what they were";
	for (size_t i = 0; i < REFS; i++)
		if ((o->ref[i] ? body_of(o->ref[i])->id : 0) != b->to[i])
			return "a reference leads to another object";
	return NULL;
}

static size_t random_bytes(struct mutator *m)
{
	uint64_t r = next_random(m);

	if (r % 512 == 0)
		return (size_t)(r >> 32) % (1u << 20) / 8 * 8;
	if (r % 16 == 0)
		return (size_t)(r >> 32) % (16u << 10) / 8 * 8;
	return (size_t)(r >> 32) % 256 / 8 * 8;
}

/* A new object in a root, pointing to what some other roots hold. */
static bool build(struct mutator *m)
{
	/* 7/8 on the average, so that all of it dies some day. */
	static const size_t out_degree[8] = { 0, 0, 0, 1, 1, 1, 2, 2 };
	size_t refs = out_degree[next_random(m) % 8];
	size_t bytes = random_bytes(m);
	struct gc_object *o = gc_alloc(m->t, REFS, sizeof(struct body) + bytes);
	struct body *b;

	if (!o)
		return false;
	b = body_of(o);
	b->id = ++m->id;
	b->seed = mix(b->id);
	b->bytes = bytes;
	for (size_t i = 0; i < bytes / sizeof(b->of[0]); i++)
		b->of[i] = b->seed + i;
	for (size_t i = 0; i < refs; i++) {
		o->ref[i] = *gc_root(m->t, next_random(m) % ROOTS);
		b->to[i] = o->ref[i] ? body_of(o->ref[i])->id : 0;
	}
	*gc_root(m->t, next_random(m) % ROOTS) = o;
	return true;
}

/* Follows references from a root, and cuts the way now and then, so that what
 * is alive stays bounded. */
static const char *walk(struct mutator *m)
{
	struct gc_object *o = *gc_root(m->t, next_random(m) % ROOTS);
	const char *wrong = NULL;

	for (int depth = 0; o && !wrong && depth < 8; depth++) {
		size_t i = next_random(m) % REFS;

		wrong = verify(o);
		if (depth > 2 || !o->ref[i]) {
			o->ref[i] = NULL;
			body_of(o)->to[i] = 0;
		}
		o = o->ref[i];
	}
	return wrong;
}

/* ---- the graph as a whole ---- */

struct seen {
	uint64_t *ids;
	size_t room, n;
	struct gc_object **stack;
};

static bool see(struct seen *s, uint64_t id)
{
	size_t i = mix(id) % s->room;

	while (s->ids[i] && s->ids[i] != id)
		i = (i + 1) % s->room;
	if (s->ids[i])
		return false;
	s->ids[i] = id;
	return true;
}

/* The same as long as no object, byte or reference has changed. */
static uint64_t hash_object(struct gc_object *o)
{
	const struct body *b = body_of(o);
	uint64_t h = b->id;

	for (size_t i = 0; i < REFS; i++)
		h = mix(h ^ (o->ref[i] ? body_of(o->ref[i])->id : i));
	for (size_t i = 0; i < b->bytes / sizeof(b->of[0]); i++)
		h = h * 31 + b->of[i];
	return mix(h);
}

static void visit(struct seen *s, struct gc_object *o)
{
	if (o && s->n < s->room / 2 && see(s, body_of(o)->id))
		s->stack[s->n++] = o;
}

static uint64_t hash_graph(struct mutator *m)
{
	struct seen s = { .room = (size_t)1 << 20 };
	uint64_t hash = 0;

	s.ids = calloc(s.room, sizeof(s.ids[0]));
	s.stack = calloc(s.room, sizeof(struct gc_object *));
	if (s.ids && s.stack) {
		for (size_t i = 0; i < ROOTS; i++)
			visit(&s, *gc_root(m->t, i));
		for (size_t i = 0; i < s.n; i++) {
			hash += hash_object(s.stack[i]);
			for (size_t j = 0; j < REFS; j++)
				visit(&s, s.stack[i]->ref[j]);
		}
	}
	free(s.ids);
	free(s.stack);
	return hash;
}

/* ---- threads ---- */

static const char *collect(struct mutator *m)
{
	uint64_t before = hash_graph(m);
	int rc = gc_collect(m->t);

	if (rc < 0)
		return pagemv_strerror(rc);
	if (hash_graph(m) != before)
		return "the graph has changed in a collection";
	rc = gc_settle(m->t);
	if (rc < 0)
		return pagemv_strerror(rc);
	return hash_graph(m) == before ? NULL
				       : "the graph has changed behind one";
}

static void *mutate(void *arg)
{
	struct mutator *m = arg;

	if (gc_attach(m->gc, ROOTS, &m->t) < 0) {
		m->wrong = "no memory for a thread";
		return NULL;
	}
	for (unsigned int c = 0; c < options.cycles && !m->wrong; c++) {
		for (int i = 0; i < 20000 && !m->wrong; i++) {
			if (!build(m))
				m->wrong = "the heap is full";
			else if (i % 4 == 0)
				m->wrong = walk(m);
		}
		if (!m->wrong)
			m->wrong = collect(m);
	}
	gc_detach(m->t);
	return NULL;
}

static void report(enum gc_mode mode, const struct gc_figures *f)
{
	printf("%-17s %3u cycles, %6.1f MiB live, marking %6.2f ms, stopped "
	       "%6.2f ms (longest %6.2f), compacting %7.2f ms\n",
	       gc_mode_name[mode], f->cycles, (double)f->live_bytes / 1048576,
	       (double)f->mark_ns / 1e6 / f->cycles,
	       (double)f->pause_ns / 1e6 / f->cycles,
	       (double)f->pause_max_ns / 1e6,
	       (double)f->compact_ns / 1e6 / f->cycles);
}

/* 0, or 1 after having said why not. */
static int run(enum gc_mode mode)
{
	struct gc_opts opts = { .mode = mode,
				.small_bytes = options.heap_mib << 20,
				.large_bytes = options.heap_mib << 20 };
	struct mutator mutators[64] = { 0 };
	pthread_t threads[64];
	struct gc_figures figures;
	const char *wrong = NULL;
	struct gc *gc;
	int rc = gc_open(&gc, &opts);

	if (rc < 0) {
		fprintf(stderr, "compact-gc: %s: %s\n", gc_mode_name[mode],
			pagemv_strerror(rc));
		return 1;
	}
	for (unsigned int i = 0; i < options.threads; i++) {
		mutators[i] = (struct mutator){ .gc = gc,
						.id = (uint64_t)i << 40,
						.random = i + 1 };
		pthread_create(&threads[i], NULL, mutate, &mutators[i]);
	}
	for (unsigned int i = 0; i < options.threads; i++) {
		pthread_join(threads[i], NULL);
		wrong = mutators[i].wrong ? mutators[i].wrong : wrong;
	}
	gc_figures(gc, &figures);
	gc_close(gc);
	if (wrong)
		fprintf(stderr, "compact-gc: %s: %s\n", gc_mode_name[mode],
			wrong);
	else
		report(mode, &figures);
	return wrong != NULL;
}

/* ---- options ---- */

static int mode_of(const char *name)
{
	for (int i = 0; i < GC_MODES; i++)
		if (!strcmp(name, gc_mode_name[i]))
			return i;
	return -1;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case 'm':
		options.mode = mode_of(arg);
		if (options.mode < 0)
			argp_error(state, "no mode '%s'", arg);
		return 0;
	case 'h':
		options.heap_mib = strtoul(arg, NULL, 10);
		return 0;
	case 't':
		options.threads = (unsigned int)strtoul(arg, NULL, 10);
		if (options.threads < 1 || options.threads > 64)
			argp_error(state, "1 to 64 threads");
		return 0;
	case 'c':
		options.cycles = (unsigned int)strtoul(arg, NULL, 10);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int main(int argc, char **argv)
{
	static const struct argp_option opts[] = {
		{ "mode", 'm', "MODE", 0,
		  "stw-copy, stw-move, conc-copy-thread, conc-copy-signal or "
		  "conc-move; without it, all of them",
		  0 },
		{ "heap", 'h', "MIB", 0,
		  "for small objects, and as much for "
		  "large ones (64)",
		  0 },
		{ "threads", 't', "N", 0, "that use the heap (2)", 0 },
		{ "cycles", 'c', "N", 0, "collections each asks for (8)", 0 },
		{ 0 }
	};
	static const struct argp argp = {
		opts,
		parse,
		NULL,
		"Compacts a heap beside the threads that use it, in five ways.",
		NULL,
		NULL,
		NULL
	};
	int failed = 0;

	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	for (int mode = 0; mode < GC_MODES; mode++)
		if (options.mode < 0 || options.mode == mode)
			failed |= run((enum gc_mode)mode);
	return failed;
}
