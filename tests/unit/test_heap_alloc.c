/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "heap_scene.h"

struct told {
	unsigned int times;
	enum pagemv_heap_misuse what;
	void *ptr;
};

static void tell(void *arg, enum pagemv_heap_misuse what, void *ptr)
{
	*(struct told *)arg =
		(struct told){ ((struct told *)arg)->times + 1, what, ptr };
}

static struct heap_scene open_telling(struct told *t)
{
	const struct pagemv_heap_opts o = { .size = sizeof(o),
					    .misuse = tell,
					    .misuse_arg = t };

	return heap_open(&o, NULL);
}

Test(heap_alloc, misuse_is_told_and_does_nothing)
{
	struct told t = { 0 };
	struct heap_scene s = open_telling(&t);
	char *at = heap_block(s.heap, 10, 1);

	cr_expect(pagemv_heap_free(s.heap, &t) == -EINVAL);
	cr_expect(t.times == 1 && t.what == PAGEMV_MISUSE_FOREIGN &&
		  t.ptr == &t);
	cr_expect(pagemv_heap_free(s.heap, at + 1) == -EINVAL);
	cr_expect(t.times == 2 && t.what == PAGEMV_MISUSE_INSIDE);
	/* In the slot, beyond the block. */
	cr_expect(pagemv_heap_free(s.heap, at + t_pages(10)) == -EINVAL);
	cr_expect(t.times == 3 && t.what == PAGEMV_MISUSE_FOREIGN);
	EXPECT_RIGHT(t_check_range(at, 10, 1));
	cr_expect(pagemv_heap_free(s.heap, at) == 0);
	cr_expect(pagemv_heap_free(s.heap, at) == -ENOENT);
	cr_expect(t.times == 4 && t.what == PAGEMV_MISUSE_FREED && t.ptr == at);
	cr_expect(heap_stats(s.heap).sum.misuses == 4);
	cr_expect(heap_stats(s.heap).sum.frees == 1);
	heap_close(&s);
}

Test(heap_alloc, asking_is_no_misuse)
{
	struct told t = { 0 };
	struct heap_scene s = open_telling(&t);
	size_t bytes = 7;
	void *at;

	cr_assert(pagemv_heap_alloc(s.heap, 100, 0, &at) == 0);
	cr_expect(pagemv_heap_usable_size(s.heap, &t, &bytes) == -EINVAL);
	cr_expect(bytes == 7);
	cr_expect(pagemv_heap_usable_size(s.heap, at, &bytes) == 0);
	cr_expect(bytes == t_page());
	cr_expect(pagemv_heap_free(s.heap, at) == 0);
	cr_expect(pagemv_heap_usable_size(s.heap, at, &bytes) == -ENOENT);
	cr_expect(t.times == 0);
	heap_close(&s);
}

Test(heap_alloc, sizes_that_cannot_be_are_refused)
{
	struct heap_scene s = heap_open(NULL, NULL);
	void *at = NULL;

	cr_expect(pagemv_heap_alloc(s.heap, SIZE_MAX, 0, &at) == -ENOMEM);
	cr_expect(pagemv_heap_alloc(s.heap, (size_t)PTRDIFF_MAX + 1, 0, &at) ==
		  -ENOMEM);
	cr_expect(pagemv_heap_alloc(s.heap, PTRDIFF_MAX, 0, &at) == -ENOMEM);
	cr_expect(pagemv_heap_aligned_alloc(s.heap, (size_t)1 << 63, 1, 0,
					    &at) == -ENOMEM);
	cr_expect(pagemv_heap_aligned_alloc(s.heap, 3, 1, 0, &at) == -EINVAL);
	cr_expect(pagemv_heap_aligned_alloc(s.heap, 0, 1, 0, &at) == -EINVAL);
	cr_expect(pagemv_heap_alloc(s.heap, 1, PAGEMV_ALLOC_MOVE, &at) ==
		  -EINVAL);
	cr_expect(pagemv_heap_alloc(s.heap, 1, 0, NULL) == -EINVAL);
	cr_expect(at == NULL);
	cr_expect(heap_stats(s.heap).sum.failures == 4);
	heap_close(&s);
}

Test(heap_alloc, blocks_are_aligned)
{
	struct heap_scene s = heap_open(NULL, NULL);

	for (size_t align = 1; align <= 64 * MIB; align *= 2) {
		void *at;

		cr_assert(pagemv_heap_aligned_alloc(s.heap, align, 5000, 0,
						    &at) == 0);
		cr_expect(((uintptr_t)at & (align - 1)) == 0, "%zu", align);
		cr_expect(((uintptr_t)at & (t_page() - 1)) == 0);
		memset(at, 1, 5000);
		cr_expect(pagemv_heap_free(s.heap, at) == 0);
	}
	heap_close(&s);
}

/* Also of memory that has been used, and with the warm end of a larger one. */
Test(heap_alloc, zeros_are_zeros)
{
	static const size_t sizes[] = { 1, 5000, 200000, 700000, 3 * MIB };
	struct heap_scene s = heap_open(NULL, NULL);

	for (size_t i = 0; i < T_COUNT(sizes); i++) {
		char *at;
		void *now;

		cr_assert(pagemv_heap_alloc(s.heap, sizes[i] * 2, 0, &now) ==
			  0);
		memset(now, 0xff, sizes[i] * 2);
		cr_expect(pagemv_heap_free(s.heap, now) == 0);
		cr_assert(pagemv_heap_alloc(s.heap, sizes[i], PAGEMV_ALLOC_ZERO,
					    &now) == 0);
		at = now;
		for (size_t k = 0; k < sizes[i]; k++)
			cr_assert(at[k] == 0, "byte %zu of %zu", k, sizes[i]);
		cr_expect(pagemv_heap_free(s.heap, now) == 0);
	}
	heap_close(&s);
}

Test(heap_alloc, zeros_that_are_known_are_not_written)
{
	struct heap_scene s = heap_open(NULL, NULL);
	void *at;

	cr_assert(pagemv_heap_alloc(s.heap, 3 * MIB, PAGEMV_ALLOC_ZERO, &at) ==
		  0);
	EXPECT_RIGHT(t_check_absent(at, 3 * MIB / t_page()));
	heap_close(&s);
}

Test(heap_alloc, a_warm_block_takes_no_system_call)
{
	struct heap_scene s = heap_open(NULL, NULL);
	unsigned int calls;
	void *at;

	cr_expect(pagemv_heap_free(s.heap, heap_block(s.heap, 50, 1)) == 0);
	calls = fake_total();
	for (int i = 0; i < 30; i++) {
		cr_assert(pagemv_heap_alloc(s.heap, t_pages(50), 0, &at) == 0);
		cr_assert(pagemv_heap_free(s.heap, at) == 0);
	}
	cr_expect(fake_total() == calls, "%u calls", fake_total() - calls);
	heap_close(&s);
}

static const char *make_and_free(void *arg)
{
	struct heap_scene *s = arg;
	void *at[4] = { 0 };
	const char *wrong = NULL;

	for (size_t i = 0; i < T_COUNT(at); i++) {
		int rc = pagemv_heap_alloc(s->heap, (t_pages(20)) << 2 * i,
					   PAGEMV_ALLOC_ZERO, &at[i]);

		if (rc != 0 && rc != -ENOMEM)
			wrong = "not an error of pagemv_heap_alloc()";
		if (rc != 0)
			at[i] = NULL;
		else
			t_fill_range(at[i], 20, 1 + 20 * i);
	}
	for (size_t i = 0; i < T_COUNT(at); i++) {
		if (at[i] && !wrong)
			wrong = t_check_range(at[i], 20, 1 + 20 * i);
		if (at[i] && pagemv_heap_free(s->heap, at[i]) != 0)
			wrong = "a block cannot be freed";
	}
	pagemv_heap_trim(s->heap, NULL);
	fake_behave();
	pagemv_heap_trim(s->heap, NULL);
	if (!wrong && heap_stats(s->heap).blocks)
		wrong = "a block is left";
	return wrong;
}

Test(heap_alloc, no_failing_call_harms_a_block, .timeout = 120)
{
	static const uint32_t flags[] = { 0, PAGEMV_HEAP_TIGHT };

	for (size_t i = 0; i < T_COUNT(flags); i++) {
		const struct pagemv_heap_opts o = { .size = sizeof(o),
						    .flags = flags[i] };
		struct heap_scene s = heap_open(&o, NULL);

		sweep("blocks", make_and_free, &s);
		pagemv_heap_destroy(s.heap);
		pagemv_close(s.pv);
	}
}
