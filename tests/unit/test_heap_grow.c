/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "heap_scene.h"

#define STEP (64 * KIB)

static size_t pages_there(const char *at, size_t bytes)
{
	size_t n = 0;

	for (size_t off = 0; off < bytes; off += t_page())
		n += t_present(at + off);
	return n;
}

static struct heap_scene open_small(void)
{
	const struct pagemv_heap_opts o = { .size = sizeof(o),
					    .huge = PAGEMV_HEAP_HUGE_NEVER };

	return heap_open(&o, NULL);
}

/* A block that grows by steps; of each step every nth page is touched. */
static char *grow(struct heap_scene *s, size_t from, size_t to, size_t step,
		  size_t nth)
{
	void *at;

	cr_assert(pagemv_heap_alloc(s->heap, from, 0, &at) == 0);
	for (size_t off = 0; off < from; off += nth * t_page())
		((char *)at)[off] = 1;
	for (size_t size = from; size < to; size += step) {
		cr_assert(pagemv_heap_realloc(s->heap, at, size + step, 0, &at,
					      NULL) == 0);
		for (size_t off = size; off < size + step;
		     off += nth * t_page())
			((char *)at)[off] = 1;
	}
	return at;
}

static unsigned int made(void)
{
	return fake_count(FAKE_POPULATE) + fake_count(FAKE_COPY);
}

static void need_populate(const struct heap_scene *s)
{
	if (!(s->pv->facilities & PAGEMV_HAS_POPULATE_WRITE))
		cr_skip("no MADV_POPULATE_WRITE in this kernel");
}

Test(heap_grow, a_dense_block_gets_pages_in_advance)
{
	struct heap_scene s = open_small();
	char *at;
	size_t there;

	need_populate(&s);
	at = grow(&s, 3 * MIB, 8 * MIB, STEP, 1);
	there = pages_there(at + 8 * MIB, MIB);

	cr_expect(made() > 4, "%u calls", made());
	/* No more than a part of it. */
	cr_expect(there <= 8 * MIB / 32 / t_page(), "%zu", there);
	heap_close(&s);
}

Test(heap_grow, a_sparse_block_does_not)
{
	struct heap_scene s = open_small();
	char *at = grow(&s, 3 * MIB, 8 * MIB, STEP, 4);

	cr_expect(made() == 0);
	cr_expect(pages_there(at, 8 * MIB) == 8 * MIB / t_page() / 4);
	heap_close(&s);
}

/* What was made in advance does not make it look dense. */
Test(heap_grow, a_block_that_becomes_sparse_is_noticed)
{
	struct heap_scene s = open_small();
	void *at = grow(&s, 3 * MIB, 8 * MIB, STEP, 1);
	unsigned int calls = made();

	for (size_t size = 8 * MIB; size < 12 * MIB; size += STEP)
		cr_assert(pagemv_heap_realloc(s.heap, at, size + STEP, 0, &at,
					      NULL) == 0);
	cr_expect(made() <= calls + 10, "%u", made() - calls);
	cr_expect(pages_there((char *)at + 8 * MIB, 4 * MIB) < 260, "%zu",
		  pages_there((char *)at + 8 * MIB, 4 * MIB));
	heap_close(&s);
}

/* The last of them may be used in part. */
Test(heap_grow, of_a_large_step_a_part_is_made)
{
	struct heap_scene s = open_small();
	char *at;
	void *to;
	size_t there;

	need_populate(&s);
	at = grow(&s, 4 * MIB, 8 * MIB, 4 * MIB, 1);
	cr_assert(pagemv_heap_realloc(s.heap, at, 16 * MIB, 0, &to, NULL) == 0);
	there = pages_there((char *)to + 8 * MIB, 8 * MIB);
	cr_expect(there == 2 * MIB / t_page(), "%zu", there);
	for (size_t off = 0; off < 16 * MIB; off += t_page())
		cr_expect(((char *)to)[off] == (off < 8 * MIB), "at %zu", off);
	heap_close(&s);
}

static void touch(char *at, size_t from, size_t to)
{
	for (size_t off = from; off < to; off += t_page())
		at[off] = 1;
}

static void *resize(struct heap_scene *s, void *at, size_t to, uint32_t flags)
{
	cr_assert(pagemv_heap_realloc(s->heap, at, to, flags, &at, NULL) == 0);
	return at;
}

/* Wherever the block is by then; and not any more when one was not filled. */
Test(heap_grow, a_block_that_filled_some_large_steps_gets_more_of_the_next)
{
	for (uint32_t flags = 0; flags <= PAGEMV_ALLOC_MOVE;
	     flags += PAGEMV_ALLOC_MOVE) {
		struct heap_scene s = open_small();
		size_t size = 2 * MIB, there;
		char *at;

		need_populate(&s);
		at = grow(&s, size, size, 0, 1);
		for (; size < 32 * MIB; size *= 2) {
			at = resize(&s, at, 2 * size, flags);
			touch(at, size, 2 * size);
		}
		at = resize(&s, at, 64 * MIB, flags);
		there = pages_there(at + 32 * MIB, 32 * MIB);
		cr_expect(there == 16 * MIB / t_page(), "%zu", there);
		at = resize(&s, at, 128 * MIB, flags);
		there = pages_there(at + 64 * MIB, 64 * MIB);
		cr_expect(there == 0, "%zu", there);
		touch(at, 32 * MIB, 128 * MIB);
		at = resize(&s, at, 256 * MIB, flags);
		there = pages_there(at + 128 * MIB, 128 * MIB);
		cr_expect(there == 32 * MIB / t_page(), "%zu", there);
		heap_close(&s);
	}
}

Test(heap_grow, the_rest_of_a_large_step_is_looked_at)
{
	static const struct {
		size_t from, to;
		bool dense;
	} cases[] = {
		{ 8 * MIB, 16 * MIB, true },
		{ 8 * MIB, 10 * MIB, false },
		{ 8 * MIB, 13 * MIB, false },
		{ 13 * MIB, 16 * MIB, false },
	};

	for (size_t i = 0; i < T_COUNT(cases); i++) {
		struct heap_scene s = open_small();
		unsigned int calls;
		void *at;

		need_populate(&s);
		at = grow(&s, 4 * MIB, 8 * MIB, 4 * MIB, 1);
		cr_assert(pagemv_heap_realloc(s.heap, at, 16 * MIB, 0, &at,
					      NULL) == 0);
		touch(at, cases[i].from, cases[i].to);
		calls = made();
		cr_assert(pagemv_heap_realloc(s.heap, at, 32 * MIB, 0, &at,
					      NULL) == 0);
		cr_expect((made() > calls) == cases[i].dense, "case %zu", i);
		heap_close(&s);
	}
}

/* By whatever pages are made; before Linux 5.14; and where there is no
 * memory. */
Test(heap_grow, nothing_is_missing_without)
{
	static const enum fake_call calls[][2] = {
		{ FAKE_COPY, FAKE_COPY },
		{ FAKE_COPY, FAKE_POPULATE },
		{ FAKE_MINCORE, FAKE_MINCORE },
	};

	for (size_t i = 0; i < T_COUNT(calls); i++) {
		struct heap_scene s = open_small();
		char *at;

		fake_refuse(calls[i][0], -EINVAL);
		fake_refuse(calls[i][1], -EINVAL);
		at = grow(&s, 3 * MIB, 8 * MIB, STEP, 1);
		cr_expect(pages_there(at, 8 * MIB) == 8 * MIB / t_page());
		fake_behave();
		heap_close(&s);
	}
}
