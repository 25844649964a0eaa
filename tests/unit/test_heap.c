/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "heap_scene.h"

#include <sys/resource.h>

Test(heap, options_are_checked)
{
	struct pagemv *pv = scene_handle(NULL);
	struct pagemv_heap_opts o = { .size = sizeof(o) };
	struct pagemv_open_opts open = { .size = sizeof(open),
					 .flags = 1u << 30 };
	struct pagemv_heap *heap = NULL;
	struct {
		struct pagemv_heap_opts opts;
		char more[8];
	} longer = { .opts = { .size = sizeof(longer) } };

	cr_expect(pagemv_heap_create(pv, &o, NULL) == -EINVAL);
	o.flags = PAGEMV_HEAP_FLAGS_ALL + 1;
	cr_expect(pagemv_heap_create(pv, &o, &heap) == -EINVAL);
	o = (struct pagemv_heap_opts){ .size = sizeof(o),
				       .huge = PAGEMV_HEAP_HUGE_COUNT };
	cr_expect(pagemv_heap_create(pv, &o, &heap) == -EINVAL);
	o = (struct pagemv_heap_opts){ .size = sizeof(o),
				       .policy = PAGEMV_HEAP_POLICY_COUNT };
	cr_expect(pagemv_heap_create(pv, &o, &heap) == -EINVAL);
	o = (struct pagemv_heap_opts){ .size = sizeof(o),
				       .placement = PAGEMV_HEAP_PLACE_COUNT };
	cr_expect(pagemv_heap_create(pv, &o, &heap) == -EINVAL);
	o = (struct pagemv_heap_opts){ .size = sizeof(o), .node = 1 };
	cr_expect(pagemv_heap_create(pv, &o, &heap) == -EINVAL);
	o = (struct pagemv_heap_opts){ .size = sizeof(o), .open = &open };
	cr_expect(pagemv_heap_create(pv, &o, &heap) == -EINVAL);
	o = (struct pagemv_heap_opts){ .size = 4 };
	cr_expect(pagemv_heap_create(pv, &o, &heap) == -EINVAL);
	longer.more[7] = 1;
	cr_expect(pagemv_heap_create(pv, &longer.opts, &heap) == -E2BIG);
	cr_expect(heap == NULL);
	pagemv_close(pv);
}

/* The name that the kernel shows may have no character that means something
 * to who reads it. */
Test(heap, names_are_made_harmless)
{
	struct pagemv_heap_opts o = { .size = sizeof(o),
				      .name = "a[b]$c`\\\n" };
	struct heap_scene s = heap_open(&o, NULL);

	cr_expect_str_eq(s.heap->name, "a_b__c___");
	heap_close(&s);
}

Test(heap, what_the_system_allows_is_seen)
{
	struct heap_scene s;

	fake_file("/proc/sys/vm/overcommit_memory", "2\n", 100);
	fake_file("/proc/sys/vm/max_map_count", "1600\n", 100);
	fake_file("/sys/kernel/mm/transparent_hugepage/enabled",
		  "always [madvise] never\n", 100);
	s = heap_open(NULL, NULL);
	cr_expect(s.heap->strict);
	cr_expect(s.heap->own_max == 100);
	cr_expect(s.heap->advises);
	heap_close(&s);
	fake_behave();
	fake_file("/proc/sys/vm/overcommit_memory", "0\n", 100);
	fake_file("/sys/kernel/mm/transparent_hugepage/enabled",
		  "[always] madvise never\n", 100);
	s = heap_open(NULL, NULL);
	cr_expect(!s.heap->strict);
	cr_expect(!s.heap->advises);
	heap_close(&s);
}

Test(heap, without_files_and_limits_it_does_as_usual)
{
	struct heap_scene s;
	char *at;

	fake_no_proc();
	fake_refuse(FAKE_LIMIT, -ENOSYS);
	s = heap_open(NULL, NULL);
	cr_expect(!s.heap->strict && !s.heap->narrow);
	at = heap_block(s.heap, 10, 1);
	cr_expect(pagemv_heap_free(s.heap, at) == 0);
	heap_close(&s);
}

/* What takes a handle opens one, and nothing else does. */
Test(heap, opens_a_handle_when_a_block_moves)
{
	struct pagemv_heap *heap;
	void *at, *now;

	cr_assert(pagemv_heap_create(NULL, NULL, &heap) == 0);
	cr_assert(pagemv_heap_alloc(heap, MIB, 0, &at) == 0);
	t_fill_range(at, MIB / t_page(), 1);
	cr_expect(pmv_heap_open_handle(heap) == NULL);
	cr_assert(pagemv_heap_realloc(heap, at, MIB, PAGEMV_ALLOC_MOVE, &now,
				      NULL) == 0);
	cr_expect(pmv_heap_open_handle(heap) != NULL);
	EXPECT_RIGHT(t_check_range(now, MIB / t_page(), 1));
	cr_expect(pagemv_heap_destroy(heap) == 0);
}

Test(heap, numbers_agree)
{
	struct heap_scene s = heap_open(NULL, NULL);
	struct pagemv_heap_stats stats;
	void *a, *b, *now;

	cr_assert(pagemv_heap_alloc(s.heap, 100000, 0, &a) == 0);
	cr_assert(pagemv_heap_alloc(s.heap, 3 * MIB, 0, &b) == 0);
	cr_assert(pagemv_heap_realloc(s.heap, a, 200000, 0, &now, NULL) == 0);
	stats = heap_stats(s.heap);
	cr_expect(stats.blocks == 2);
	cr_expect(stats.block_bytes == 200000 + 3 * MIB);
	cr_expect(stats.committed_bytes >= stats.block_bytes);
	cr_expect(stats.reserved_bytes >= stats.committed_bytes);
	cr_expect(stats.warm_bytes == 0);
	cr_expect(stats.sum.allocs == 2 && stats.sum.frees == 0);
	cr_expect(stats.sum.alloc_bytes == stats.block_bytes);
	cr_expect(stats.sum.reallocs == 1 && stats.sum.in_place == 1);
	cr_expect(pagemv_heap_free(s.heap, b) == 0);
	stats = heap_stats(s.heap);
	cr_expect(stats.blocks == 1 && stats.block_bytes == 200000);
	cr_expect(stats.warm_bytes >= 3 * MIB);
	cr_expect(stats.sum.frees == 1 && stats.sum.free_bytes == 3 * MIB);
	cr_expect(pagemv_heap_stats(s.heap, NULL) == -EINVAL);
	stats.size = 0;
	cr_expect(pagemv_heap_stats(s.heap, &stats) == -EINVAL);
	heap_close(&s);
}

Test(heap, counters_may_be_the_callers)
{
	static struct pagemv_heap_counters mine[PAGEMV_HEAP_COUNTERS];
	struct pagemv_heap_opts o = { .size = sizeof(o), .counters = mine };
	struct heap_scene s = heap_open(&o, NULL);
	uint64_t allocs = 0;

	cr_expect(pagemv_heap_free(s.heap, heap_block(s.heap, 4, 1)) == 0);
	for (int i = 0; i < PAGEMV_HEAP_COUNTERS; i++)
		allocs += mine[i].allocs;
	cr_expect(allocs == 1);
	heap_close(&s);
}

Test(heap, trimming_leaves_nothing_warm)
{
	struct heap_scene s = heap_open(NULL, NULL);
	size_t back = 0;

	cr_expect(pagemv_heap_free(s.heap, heap_block(s.heap, 300, 1)) == 0);
	cr_expect(pagemv_heap_trim(s.heap, &back) == 0);
	cr_expect(back >= t_pages(300), "%zu", back);
	cr_expect(heap_stats(s.heap).warm_bytes == 0);
	cr_expect(pagemv_heap_trim(NULL, NULL) == -EINVAL);
	heap_close(&s);
}

Test(heap, a_little_address_space_is_given_back)
{
	struct pagemv_heap_opts o = { .size = sizeof(o),
				      .flags = PAGEMV_HEAP_TIGHT };
	struct heap_scene s = heap_open(&o, NULL);
	char *small = heap_block(s.heap, 40, 1);
	char *large = heap_block(s.heap, 3000, 1);

	cr_expect(heap_stats(s.heap).reserved_bytes < 32 * MIB);
	cr_expect(pagemv_heap_free(s.heap, small) == 0);
	cr_expect(pagemv_heap_free(s.heap, large) == 0);
	cr_expect(pagemv_heap_trim(s.heap, NULL) == 0);
	cr_expect(heap_stats(s.heap).reserved_bytes == 0);
	heap_close(&s);
}
