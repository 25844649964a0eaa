/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * After fork(), parent and child have the same blocks, each its own, and go on
 * with them.
 */
#include "heaps.h"

#include <pthread.h>
#include <unistd.h>

#define BLOCKS 12

struct scene {
	struct t_heap *h;
	struct t_marked block[BLOCKS];
	int failures;
};

static void check(struct scene *s, const char *wrong, const char *where)
{
	if (wrong == NULL)
		return;
	fprintf(stderr, "[%s] %s: %s\n", s->h->name, where, wrong);
	s->failures++;
}

static void check_all(struct scene *s, const char *where)
{
	for (size_t i = 0; i < BLOCKS; i++)
		check(s, t_check_marks(&s->block[i], s->block[i].bytes), where);
}

/* Smaller ones where everything is slow. */
static void make_all(struct scene *s)
{
	size_t sizes = t_slow() > 1 ? 6 : 9;

	for (size_t i = 0; i < BLOCKS; i++) {
		struct t_marked *b = &s->block[i];

		*b = (struct t_marked){ .bytes = (size_t)50000 << i % sizes,
					.id = i };
		b->at = t_heap_alloc(s->h, b->bytes);
		t_mark(b, 300);
	}
}

/* Without Criterion's assertions, as it may be a child. */
static void resize(struct scene *s, struct t_marked *b, size_t bytes,
		   uint32_t flags, const char *where)
{
	struct t_marked old = *b;
	void *at = NULL;

	if (pagemv_heap_realloc(s->h->heap, b->at, bytes, flags, &at, NULL) !=
	    0) {
		check(s, "cannot be resized", where);
		return;
	}
	b->at = old.at = at;
	b->bytes = bytes;
	check(s, t_check_marks(&old, bytes < old.bytes ? bytes : old.bytes),
	      where);
	t_mark(b, 300);
}

static void use_all(struct scene *s, const char *where)
{
	void *at = NULL;

	for (size_t i = 0; i < BLOCKS; i++) {
		struct t_marked *b = &s->block[i];

		t_mark(b, 10 + i);
		resize(s, b, b->bytes + 70000, 0, where);
		resize(s, b, b->bytes + 70000, PAGEMV_ALLOC_MOVE, where);
		resize(s, b, b->bytes / 2, 0, where);
		if (i % 3 != 0)
			continue;
		check(s,
		      pagemv_heap_free(s->h->heap, b->at) == 0 ? NULL : "free",
		      where);
		check(s,
		      pagemv_heap_alloc(s->h->heap, b->bytes, 0, &at) == 0
			      ? NULL
			      : "alloc",
		      where);
		b->at = at;
		t_mark(b, 300);
	}
	check_all(s, where);
}

static void free_all(struct scene *s, const char *where)
{
	for (size_t i = 0; i < BLOCKS; i++)
		check(s,
		      pagemv_heap_free(s->h->heap, s->block[i].at) == 0
			      ? NULL
			      : "free",
		      where);
}

static int in_child(void *arg)
{
	struct scene *s = arg;

	check_all(s, "child");
	use_all(s, "child");
	free_all(s, "child");
	check(s, pagemv_heap_trim(s->h->heap, NULL) == 0 ? NULL : "cannot trim",
	      "child");
	return s->failures != 0;
}

static int in_grandchild(void *arg)
{
	struct scene *s = arg;

	use_all(s, "child");
	return t_in_child(in_child, s) != 0 || s->failures != 0;
}

static int ends_it(void *arg)
{
	struct scene *s = arg;

	use_all(s, "child");
	return pagemv_heap_destroy(s->h->heap) != 0 || s->failures != 0;
}

static void forks(int (*child)(void *))
{
	struct t_heap h;

	t_heaps(&h, NULL);
	while (t_next_heap(&h)) {
		struct scene s = { .h = &h };

		make_all(&s);
		T_EXPECT(&h, t_in_child(child, &s) == 0, "the child");
		check_all(&s, "parent");
		use_all(&s, "parent");
		/* Another one, which shares pages that have moved. */
		T_EXPECT(&h, t_in_child(child, &s) == 0, "the second child");
		use_all(&s, "parent");
		free_all(&s, "parent");
		T_EXPECT(&h, s.failures == 0, "%d failures", s.failures);
		T_EXPECT(&h, t_heap_stats(&h).blocks == 0, "blocks are left");
	}
}

Test(heap_fork, child_and_parent_go_on, .timeout = 60)
{
	forks(in_child);
}

Test(heap_fork, so_does_a_child_of_the_child, .timeout = 60)
{
	forks(in_grandchild);
}

Test(heap_fork, a_child_can_end_the_heap, .timeout = 60)
{
	forks(ends_it);
}

/* A parent that writes while its child lives shares no page with it. */
static int waits_for_line(void *arg)
{
	struct scene *s = arg;

	t_sleep_ms(100);
	check_all(s, "child, while its parent moves");
	return s->failures != 0;
}

Test(heap_fork, moves_while_a_child_shares_the_pages, .timeout = 60)
{
	struct t_heap h;

	t_heaps(&h, NULL);
	while (t_next_heap(&h)) {
		struct scene s = { .h = &h };
		pid_t pid;

		make_all(&s);
		fflush(NULL);
		pid = fork();
		cr_assert(pid >= 0);
		if (pid == 0)
			_exit(waits_for_line(&s));
		use_all(&s, "parent");
		T_EXPECT(&h, t_wait(pid) == 0, "the child");
		free_all(&s, "parent");
		T_EXPECT(&h, s.failures == 0, "%d failures", s.failures);
	}
}

/* ---- a child of many threads ---- */

struct busy {
	struct t_heap *h;
	bool stop;
	pthread_t thread;
};

static void *keep_busy(void *arg)
{
	struct busy *b = arg;
	void *at = NULL;

	while (!__atomic_load_n(&b->stop, __ATOMIC_RELAXED))
		if (pagemv_heap_alloc(b->h->heap, 300000, 0, &at) == 0 &&
		    pagemv_heap_realloc(b->h->heap, at, 3 * MIB,
					PAGEMV_ALLOC_MOVE, &at, NULL) == 0)
			pagemv_heap_free(b->h->heap, at);
	return NULL;
}

Test(heap_fork, while_other_threads_use_the_heap, .timeout = 60)
{
	struct t_heap h;

	t_heaps(&h, NULL);
	while (t_next_heap(&h)) {
		struct scene s = { .h = &h };
		struct busy busy[3] = { { 0 } };

		make_all(&s);
		for (size_t i = 0; i < T_COUNT(busy); i++) {
			busy[i].h = &h;
			cr_assert(pthread_create(&busy[i].thread, NULL,
						 keep_busy, &busy[i]) == 0);
		}
		for (int i = 0; i < (t_slow() > 1 ? 3 : 10); i++)
			T_EXPECT(&h, t_in_child(in_child, &s) == 0, "child %d",
				 i);
		for (size_t i = 0; i < T_COUNT(busy); i++)
			__atomic_store_n(&busy[i].stop, true, __ATOMIC_RELAXED);
		for (size_t i = 0; i < T_COUNT(busy); i++)
			pthread_join(busy[i].thread, NULL);
		use_all(&s, "parent");
		free_all(&s, "parent");
		T_EXPECT(&h, s.failures == 0, "%d failures", s.failures);
	}
}
