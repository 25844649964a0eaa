// SPDX-License-Identifier: LGPL-2.1-or-later
#include "demo.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Runs of a huge page, where huge pages are of a handy size. */
#define RUN_BYTES     (2u << 20)
#define MAX_RUN_BYTES (32u << 20)

size_t demo_run_bytes(size_t huge_bytes)
{
	return huge_bytes <= MAX_RUN_BYTES ? huge_bytes : RUN_BYTES;
}

static int alloc_orders(struct demo_heap *heap)
{
	heap->content = calloc(heap->runs, sizeof(*heap->content));
	heap->next = calloc(heap->runs, sizeof(*heap->next));
	heap->to = calloc(heap->runs, sizeof(*heap->to));
	heap->order = calloc(heap->runs, sizeof(*heap->order));
	if (!heap->content || !heap->next || !heap->to || !heap->order)
		return -ENOMEM;
	for (size_t i = 0; i < heap->runs; i++)
		heap->content[i] = heap->to[i] = heap->order[i] = i;
	return 0;
}

int demo_heap_open(struct demo_heap *heap, struct pagemv *pv, size_t len_bytes,
		   size_t huge_bytes, bool huge)
{
	size_t run = demo_run_bytes(huge_bytes);
	int rc;

	*heap = (struct demo_heap){
		.pv = pv,
		.run_bytes = run,
		.runs = len_bytes / run,
	};
	rc = alloc_orders(heap);
	if (!rc)
		rc = bench_pair_reserve(&heap->pair, heap->runs * run,
					huge_bytes, huge);
	if (!rc)
		rc = bench_pair_map(&heap->pair);
	for (int i = 0; i < 2 && !rc; i++)
		rc = pagemv_region_register(pv, heap->pair.side[i],
					    heap->pair.len_bytes, NULL,
					    &heap->region[i], NULL);
	if (rc)
		return rc;
	bench_pair_fill(&heap->pair, 0, 0, heap->pair.len_bytes, 0);
	return 0;
}

void demo_heap_close(struct demo_heap *heap)
{
	for (int i = 0; i < 2; i++)
		if (heap->region[i])
			pagemv_region_unregister(heap->region[i]);
	bench_pair_release(&heap->pair);
	bench_samples_free(&heap->samples);
	free(heap->content);
	free(heap->next);
	free(heap->to);
	free(heap->order);
	*heap = (struct demo_heap){ 0 };
}

/* Each page gets its number and the version of this round. */
static void write_versions(struct demo_heap *heap, uint32_t version)
{
	size_t pages = heap->run_bytes / heap->pair.page_bytes;
	char *addr = heap->pair.side[heap->pair.at];

	for (size_t i = 0; i < heap->runs; i++)
		for (size_t j = 0; j < pages; j++) {
			bench_page_write(
				addr, heap->pair.page_bytes,
				(uint32_t)(heap->content[i] * pages + j),
				version);
			addr += heap->pair.page_bytes;
		}
}

static int move_run(struct demo_heap *heap, struct demo_way *way, void *dst,
		    void *src)
{
	struct pagemv_move_opts opts = {
		.size = sizeof(opts),
		.flags = way->flags,
		.mechanism = way->mechanism,
	};
	size_t page = heap->pair.page_bytes;
	struct pagemv_result result = { 0 };
	int rc;

	if (!way->by_library) {
		memcpy(dst, src, heap->run_bytes);
		rc = madvise(src, heap->run_bytes, MADV_DONTNEED);
		way->copied_pages += heap->run_bytes / page;
		return rc ? -errno : 0;
	}
	rc = pagemv_move(heap->pv, dst, src, heap->run_bytes, &opts, &result);
	way->moved_pages += result.moved_bytes / page;
	way->copied_pages += result.copied_bytes / page;
	way->left_pages += result.left_bytes / page;
	if (rc)
		way->left_reason = result.reason;
	return rc;
}

static int move_all(struct demo_heap *heap, struct demo_way *way)
{
	char *src = heap->pair.side[heap->pair.at];
	char *dst = heap->pair.side[!heap->pair.at];
	int rc = 0;

	for (size_t i = 0; i < heap->runs; i++) {
		size_t from = heap->order[i];
		size_t to = heap->to[from];
		int one = move_run(heap, way, dst + to * heap->run_bytes,
				   src + from * heap->run_bytes);

		heap->next[to] = heap->content[from];
		if (one)
			rc = one;
	}
	return rc;
}

/* True where the page is the one it should be. */
static bool page_is(const struct demo_heap *heap, const char *addr,
		    size_t number, uint32_t version)
{
	uint32_t found_number, found_version;

	return bench_page_read(addr, heap->pair.page_bytes, &found_number,
			       &found_version) &&
	       found_number == number && found_version == version;
}

static bool page_is_empty(const struct demo_heap *heap, const char *addr)
{
	const uint64_t *word = (const uint64_t *)addr;

	return !word[0] && !word[heap->pair.page_bytes / sizeof(*word) - 1];
}

/* Each page must be at one of its two places, and nothing at the other. */
static size_t count_wrong(const struct demo_heap *heap, uint32_t version)
{
	const char *src = heap->pair.side[heap->pair.at];
	const char *dst = heap->pair.side[!heap->pair.at];
	size_t page = heap->pair.page_bytes;
	size_t wrong = 0;

	for (size_t i = 0; i < heap->runs * heap->run_bytes / page; i++) {
		size_t pages = heap->run_bytes / page;
		size_t from = i / pages, at = i % pages;
		const char *old = src + i * page;
		const char *new =
			dst + heap->to[from] * heap->run_bytes + at *page;
		size_t number = heap->content[from] * pages + at;
		bool moved = page_is(heap, new, number, version) &&
			     page_is_empty(heap, old);
		bool left = page_is(heap, old, number, version) &&
			    page_is_empty(heap, new);

		wrong += !moved && !left;
	}
	return wrong;
}

/* Looking at absent pages has put zero pages there. */
static void clear_source(struct demo_heap *heap)
{
	madvise(heap->pair.side[heap->pair.at], heap->pair.len_bytes,
		MADV_DONTNEED);
}

bool demo_heap_round(struct demo_heap *heap, struct demo_way *way,
		     uint32_t version)
{
	size_t pages = heap->pair.len_bytes / heap->pair.page_bytes;
	uint64_t start_ns, end_ns;
	size_t *content;
	int rc;

	bench_shuffle(heap->to, heap->runs);
	bench_shuffle(heap->order, heap->runs);
	write_versions(heap, version);
	start_ns = bench_now_ns();
	rc = move_all(heap, way);
	end_ns = bench_now_ns();
	way->wrong_pages += count_wrong(heap, version);
	if (rc || way->wrong_pages)
		return false;
	if (bench_samples_add(&heap->samples,
			      (double)(end_ns - start_ns) / (double)pages))
		return false;
	clear_source(heap);
	heap->pair.at = !heap->pair.at;
	content = heap->content;
	heap->content = heap->next;
	heap->next = content;
	return true;
}
