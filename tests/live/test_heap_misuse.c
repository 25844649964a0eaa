/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pointers that are no blocks: refused by every call, told, and never followed.
 */
#include "heaps.h"

struct told {
	unsigned int times;
	enum pagemv_heap_misuse what;
	void *ptr;
};

static void tell(void *arg, enum pagemv_heap_misuse what, void *ptr)
{
	struct told *t = arg;

	t->times++;
	t->what = what;
	t->ptr = ptr;
}

static void expect_refused(struct t_heap *h, struct told *t, void *ptr,
			   enum pagemv_heap_misuse what, const char *name)
{
	const int error = what == PAGEMV_MISUSE_FREED ? -ENOENT : -EINVAL;
	uint64_t misuses = t_heap_stats(h).sum.misuses;
	struct pagemv_heap *other = NULL;
	void *out = h;
	int r[3];

	cr_assert(pagemv_heap_create(h->pv, NULL, &other) == 0);
	t->times = 0;
	r[0] = pagemv_heap_free(h->heap, ptr);
	r[1] = pagemv_heap_realloc(h->heap, ptr, 3 * MIB, 0, &out, NULL);
	r[2] = pagemv_heap_give(h->heap, ptr, other, &out, NULL);
	for (size_t i = 0; i < T_COUNT(r); i++)
		T_EXPECT(h, r[i] == error, "%s, call %zu: %d", name, i, r[i]);
	T_EXPECT(h, out == h, "%s: a place came with an error", name);
	T_EXPECT(h, t->times == 3 && t->what == what && t->ptr == ptr,
		 "%s: told %u times, kind %d", name, t->times, (int)t->what);
	T_EXPECT(h, t_heap_stats(h).sum.misuses == misuses + 3,
		 "%s was not counted", name);
	T_EXPECT(h, pagemv_heap_usable_size(h->heap, ptr, &(size_t){ 0 }) < 0,
		 "%s has a size", name);
	cr_assert(pagemv_heap_destroy(other) == 0);
}

Test(heap_misuse, is_refused_and_told)
{
	struct told t = { 0 };
	const struct pagemv_heap_opts opts = { .size = sizeof(opts),
					       .misuse = tell,
					       .misuse_arg = &t };
	struct t_heap h;

	t_heaps(&h, &opts);
	while (t_next_heap(&h)) {
		struct t_marked b = { .bytes = 5 * MIB, .id = 4 };
		char *freed = t_heap_alloc(&h, 300000);
		char *foreign = malloc(300000);
		char *moved = t_heap_alloc(&h, 2 * MIB);
		char *now;

		b.at = t_heap_alloc(&h, b.bytes);
		t_mark(&b, SIZE_MAX);
		/* From here on nothing is made, so that no block comes where
		 * another one was. */
		now = t_heap_resize(&h, moved, 2 * MIB, PAGEMV_ALLOC_MOVE,
				    NULL);
		t_heap_free(&h, freed);
		expect_refused(&h, &t, freed, PAGEMV_MISUSE_FREED, "freed");
		expect_refused(&h, &t, moved, PAGEMV_MISUSE_FREED, "moved");
		expect_refused(&h, &t, b.at + 1, PAGEMV_MISUSE_INSIDE,
			       "1 byte inside");
		expect_refused(&h, &t, b.at + 4096, PAGEMV_MISUSE_INSIDE,
			       "a page inside");
		expect_refused(&h, &t, b.at + b.bytes - 1, PAGEMV_MISUSE_INSIDE,
			       "the last byte");
		expect_refused(&h, &t, foreign, PAGEMV_MISUSE_FOREIGN,
			       "malloc's");
		expect_refused(&h, &t, &t, PAGEMV_MISUSE_FOREIGN,
			       "on the stack");
		T_RIGHT(&h, t_check_marks(&b, b.bytes), "the block");
		T_EXPECT(&h, t_heap_stats(&h).blocks == 2, "2 blocks live");
		free(foreign);
		t_heap_free(&h, now);
		t_heap_free(&h, b.at);
	}
}

/* Where other memory is none of the heap's business. */
Test(heap_misuse, does_not_include_foreign_pointers_where_others_have_memory)
{
	struct told t = { 0 };
	const struct pagemv_heap_opts opts = { .size = sizeof(opts),
					       .flags = PAGEMV_HEAP_FOREIGN_OK,
					       .misuse = tell,
					       .misuse_arg = &t };
	struct t_heap h;

	t_heaps(&h, &opts);
	while (t_next_heap(&h)) {
		char *at = t_heap_alloc(&h, MIB);
		void *now;

		T_EXPECT(&h, pagemv_heap_free(h.heap, &t) == -EINVAL, "free");
		T_EXPECT(&h,
			 pagemv_heap_realloc(h.heap, &t, MIB, 0, &now, NULL) ==
				 -EINVAL,
			 "realloc");
		T_EXPECT(&h, t_heap_stats(&h).sum.misuses == 0, "counted");
		T_EXPECT(&h, pagemv_heap_free(h.heap, at + 1) == -EINVAL,
			 "inside");
		T_EXPECT(&h, t_heap_stats(&h).sum.misuses == 1, "not counted");
		/* Others have none where the heap has address space. */
		T_EXPECT(&h, pagemv_heap_free(h.heap, at + 2 * MIB) == -EINVAL,
			 "beyond");
		T_EXPECT(&h,
			 t_heap_stats(&h).sum.misuses == 2 &&
				 t.what == PAGEMV_MISUSE_FOREIGN,
			 "not told");
		t_heap_free(&h, at);
	}
}

Test(heap_misuse, of_options_is_refused)
{
	struct t_heap h = { 0 };
	struct pagemv_heap *heap = NULL;
	static const struct {
		const char *what;
		struct pagemv_heap_opts opts;
		int error;
	} bad[] = {
		{ "flags",
		  { .size = sizeof(bad[0].opts), .flags = 1u << 31 },
		  -EINVAL },
		{ "huge",
		  { .size = sizeof(bad[0].opts),
		    .huge = PAGEMV_HEAP_HUGE_COUNT },
		  -EINVAL },
		{ "policy",
		  { .size = sizeof(bad[0].opts),
		    .policy = PAGEMV_HEAP_POLICY_COUNT },
		  -EINVAL },
		{ "placement",
		  { .size = sizeof(bad[0].opts),
		    .placement = PAGEMV_HEAP_PLACE_COUNT },
		  -EINVAL },
		{ "a node that is not there",
		  { .size = sizeof(bad[0].opts),
		    .policy = PAGEMV_HEAP_NODE,
		    .node = 1000 },
		  -EINVAL },
		{ "a node for no policy",
		  { .size = sizeof(bad[0].opts), .node = 1 },
		  -EINVAL },
		{ "size 0", { .size = 0 }, -EINVAL },
	};

	t_open_heap(&h, 0);
	for (size_t i = 0; i < T_COUNT(bad); i++) {
		int r = pagemv_heap_create(h.pv, &bad[i].opts, &heap);

		T_EXPECT(&h, r == bad[i].error && heap == NULL, "%s: %d",
			 bad[i].what, r);
	}
	cr_expect(pagemv_heap_create(h.pv, NULL, NULL) == -EINVAL);
	cr_expect(pagemv_heap_alloc(NULL, 1, 0, &(void *){ NULL }) == -EINVAL);
	cr_expect(pagemv_heap_alloc(h.heap, 1, 0, NULL) == -EINVAL);
	cr_expect(pagemv_heap_alloc(h.heap, 1, 1u << 31, &(void *){ NULL }) ==
		  -EINVAL);
	t_end_heap(&h);
}
