/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "heap_scene.h"

#include <sys/mman.h>

#define BYTES (8 * MIB)

static struct heap_scene open_huge(enum pagemv_heap_huge huge)
{
	const struct pagemv_heap_opts o = { .size = sizeof(o), .huge = huge };

	fake_file("/sys/kernel/mm/transparent_hugepage/enabled",
		  "always [madvise] never\n", 100);
	return heap_open(&o, NULL);
}

static void need_huge(const struct heap_scene *s)
{
	if (!s->heap->huge_bytes)
		cr_skip("no huge pages");
}

static char *block(struct heap_scene *s, size_t bytes)
{
	void *at;

	cr_assert(pagemv_heap_alloc(s->heap, bytes, 0, &at) == 0);
	memset(at, 1, bytes);
	return at;
}

static bool is_advised(struct heap_scene *s, const void *at)
{
	return heap_slot(s->heap, at)->advised;
}

Test(heap_huge, always_is_from_the_beginning)
{
	struct heap_scene s = open_huge(PAGEMV_HEAP_HUGE_ALWAYS);
	void *small;

	need_huge(&s);
	cr_expect(is_advised(&s, block(&s, BYTES)));
	small = block(&s, MIB);
	cr_expect(!is_advised(&s, small));
	cr_assert(pagemv_heap_realloc(s.heap, small, BYTES, 0, &small, NULL) ==
		  0);
	cr_expect(is_advised(&s, small));
	heap_close(&s);
}

Test(heap_huge, the_system_decides_where_it_is_asked_to)
{
	static const enum pagemv_heap_huge kinds[] = { PAGEMV_HEAP_HUGE_SYSTEM,
						       PAGEMV_HEAP_HUGE_NEVER };

	for (size_t i = 0; i < T_COUNT(kinds); i++) {
		struct heap_scene s = open_huge(kinds[i]);
		void *at = block(&s, BYTES);

		cr_assert(pagemv_heap_realloc(s.heap, at, 2 * BYTES, 0, &at,
					      NULL) == 0);
		cr_expect(!is_advised(&s, at));
		heap_close(&s);
	}
}

/* Nothing is known of a new block; one that is dense and grows is tried. */
Test(heap_huge, auto_waits_until_a_block_is_dense)
{
	struct heap_scene s = open_huge(PAGEMV_HEAP_HUGE_AUTO);
	void *sparse, *dense;

	need_huge(&s);
	/* Where nothing can be measured, they are taken for good. */
	fake_refuse(FAKE_POPULATE, -EINVAL);
	cr_assert(pagemv_heap_alloc(s.heap, BYTES, 0, &sparse) == 0);
	dense = block(&s, BYTES);
	cr_expect(!is_advised(&s, dense));
	cr_assert(pagemv_heap_realloc(s.heap, sparse, 2 * BYTES, 0, &sparse,
				      NULL) == 0);
	cr_assert(pagemv_heap_realloc(s.heap, dense, 2 * BYTES, 0, &dense,
				      NULL) == 0);
	cr_expect(!is_advised(&s, sparse));
	cr_expect(is_advised(&s, dense));
	/* It takes the advice along. */
	cr_assert(pagemv_heap_realloc(s.heap, dense, 80 * MIB, 0, &dense,
				      NULL) == 0);
	cr_expect(is_advised(&s, dense));
	fake_behave();
	heap_close(&s);
}

/* Where the scratch memory of the trial is refused, nothing is left behind. */
Test(heap_huge, a_trial_leaves_nothing)
{
	struct heap_scene s = open_huge(PAGEMV_HEAP_HUGE_AUTO);
	void *at = block(&s, BYTES);
	size_t mapped = fake_mapped_bytes();

	need_huge(&s);
	cr_assert(pagemv_heap_realloc(s.heap, at, 2 * BYTES, 0, &at, NULL) ==
		  0);
	cr_expect(fake_mapped_bytes() == mapped);
	heap_close(&s);
}

/* A slot that is used again for who knows what. */
Test(heap_huge, advice_is_taken_back)
{
	struct heap_scene s = open_huge(PAGEMV_HEAP_HUGE_AUTO);
	void *at = block(&s, BYTES), *other;

	need_huge(&s);
	fake_refuse(FAKE_POPULATE, -EINVAL);
	cr_assert(pagemv_heap_realloc(s.heap, at, 2 * BYTES, 0, &at, NULL) ==
		  0);
	cr_assert(is_advised(&s, at));
	cr_assert(pagemv_heap_free(s.heap, at) == 0);
	cr_assert(pagemv_heap_alloc(s.heap, BYTES, 0, &other) == 0);
	cr_expect(!is_advised(&s, other));
	fake_behave();
	heap_close(&s);
}
