/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Blocks that go from heap to heap, come from elsewhere, are pinned by devices,
 * and pass through many threads.
 */
#include "heaps.h"

#include <pthread.h>
#include <sys/mman.h>

#include "pin.h"

static struct pagemv_heap *another(const struct t_heap *h)
{
	struct pagemv_heap *heap = NULL;

	cr_assert(pagemv_heap_create(h->pv, NULL, &heap) == 0);
	return heap;
}

static const size_t sizes[] = { 1, 5000, 200000, 3 * MIB + 5, 40 * MIB };

Test(heap_give, takes_the_pages_along)
{
	struct t_heap h;

	t_heaps(&h, NULL);
	while (t_next_heap(&h)) {
		struct pagemv_heap *to = another(&h);

		for (size_t i = 0; i < T_COUNT(sizes); i++) {
			struct t_marked b = { .bytes = sizes[i], .id = i };
			struct pagemv_result res;
			size_t usable = 0;
			void *at = NULL, *from;
			int r;

			b.at = from = t_heap_alloc(&h, b.bytes);
			t_mark(&b, SIZE_MAX);
			memset(&res, 0xa5, sizeof(res));
			r = pagemv_heap_give(h.heap, b.at, to, &at, &res);
			cr_assert(r == 0, "[%s] give: %d", h.name, r);
			b.at = at;
			T_RIGHT(&h, t_check_marks(&b, b.bytes), "given");
			T_EXPECT(&h, res.left_bytes == 0, "%zu bytes left",
				 res.left_bytes);
			T_EXPECT(&h,
				 !h.moves || b.bytes < MIB ||
					 res.copied_bytes == 0,
				 "%zu bytes of %zu were copied",
				 res.copied_bytes, b.bytes);
			r = pagemv_heap_usable_size(to, at, &usable);
			T_EXPECT(&h, r == 0 && usable >= b.bytes,
				 "the new heap: %d, %zu", r, usable);
			r = pagemv_heap_usable_size(h.heap, from, &usable);
			T_EXPECT(&h, r < 0, "the old heap: %d", r);
			r = pagemv_heap_free(to, at);
			T_EXPECT(&h, r == 0, "free: %d", r);
		}
		T_EXPECT(&h, t_heap_stats(&h).blocks == 0, "blocks are left");
		T_EXPECT(&h, pagemv_heap_destroy(to) == 0, "destroy");
	}
}

Test(heap_give, between_heaps_of_two_handles)
{
	struct t_heap h, other = { 0 };

	t_heaps(&h, NULL);
	while (t_next_heap(&h)) {
		struct t_marked b = { .bytes = 5 * MIB, .id = 8 };
		void *at = NULL;
		int r;

		t_open_heap(&other, 0);
		b.at = t_heap_alloc(&h, b.bytes);
		t_mark(&b, SIZE_MAX);
		r = pagemv_heap_give(h.heap, b.at, other.heap, &at, NULL);
		cr_assert(r == 0, "[%s] give: %d", h.name, r);
		b.at = at;
		T_RIGHT(&h, t_check_marks(&b, b.bytes), "given");
		r = pagemv_heap_give(other.heap, b.at, h.heap, &at, NULL);
		cr_assert(r == 0, "[%s] give back: %d", h.name, r);
		b.at = at;
		t_end_heap(&other);
		T_RIGHT(&h, t_check_marks(&b, b.bytes), "given back");
		t_heap_free(&h, b.at);
	}
}

/* malloc()'s blocks begin 16 bytes behind a page; what a mapping was for. */
static void adopt_at(struct t_heap *h, size_t off, size_t old, size_t bytes)
{
	char *area = t_map(old / t_page() + 3), *to;
	struct t_marked b = { .at = area + off, .bytes = old, .id = off };
	struct pagemv_result res;
	void *out = NULL;
	int r;

	t_mark(&b, SIZE_MAX);
	r = pagemv_heap_adopt(h->heap, b.at, old, bytes, &out, &res);
	cr_assert(r == 0, "[%s] adopt %zu at %zu: %d", h->name, old, off, r);
	b.at = to = out;
	T_EXPECT(h, ((uintptr_t)to - off) % t_page() == 0,
		 "%p agrees not with offset %zu", (void *)to, off);
	T_RIGHT(h, t_check_marks(&b, old), "adopted");
	T_EXPECT(h, !h->moves || res.copied_bytes <= 2 * t_page(),
		 "%zu bytes of %zu were copied", res.copied_bytes, old);
	b.bytes = bytes;
	t_mark(&b, SIZE_MAX);
	b.at = t_heap_resize(h, to, 2 * bytes, 0, NULL);
	T_RIGHT(h, t_check_marks(&b, bytes), "grown");
	t_heap_free(h, b.at);
	/* It is mapped as it was, for its owner to unmap. */
	memset(area, 3, t_pages(old / t_page() + 1));
	t_unmap(area, old / t_page() + 3);
}

Test(heap_give, adopts_what_is_elsewhere, .timeout = 30)
{
	struct t_heap h;

	t_heaps(&h, NULL);
	while (t_next_heap(&h)) {
		adopt_at(&h, 16, 200000, 400000);
		adopt_at(&h, 0, 1 * MIB, 2 * MIB);
		adopt_at(&h, 4080, 3 * MIB, 3 * MIB + 1);
		adopt_at(&h, 16, 33 * MIB, 50 * MIB);
		T_EXPECT(&h, t_heap_stats(&h).blocks == 0, "blocks are left");
	}
}

/* A pinned page stays with its device: mremap takes it along, or the block
 * stays where it was, whole. */
Test(heap_give, pinned_pages_go_with_their_device_or_stay, .timeout = 30)
{
	const char *why = NULL;
	struct t_heap h;

	t_heaps(&h, NULL);
	while (t_next_heap(&h)) {
		struct t_marked b = { .bytes = 3 * MIB, .id = 5 };
		struct t_pin *pin;
		void *to;
		int r;

		b.at = to = t_heap_alloc(&h, b.bytes);
		t_mark(&b, SIZE_MAX);
		pin = t_pin(b.at + MIB, t_pages(4), &why);
		if (pin == NULL) {
			t_heap_free(&h, b.at);
			break;
		}
		r = pagemv_heap_realloc(h.heap, b.at, b.bytes,
					PAGEMV_ALLOC_MOVE, &to, NULL);
		T_EXPECT(&h, (r == 0) == (to != b.at), "returned %d", r);
		b.at = to;
		T_RIGHT(&h, t_check_marks(&b, b.bytes), "the block");
		if (h.moves) {
			T_EXPECT(&h, t_pin_write(pin, 100, "dma", 3) == 0,
				 "the device");
			T_EXPECT(&h, memcmp(b.at + MIB + 100, "dma", 3) == 0,
				 "what the device writes is not in the block");
		}
		t_unpin(pin);
		t_heap_free(&h, b.at);
	}
	t_end_heap(&h);
	if (why != NULL)
		cr_skip("no page can be pinned: %s", why);
}

/* ---- threads ---- */

#define THREADS 6

/* Each fills some megabytes; an emulated processor takes 40 times as long. */
static uint64_t rounds(void)
{
	return getenv("PMV_LAB") == NULL ? 150 : 15;
}

struct thread {
	struct t_heap *h;
	struct pagemv_heap *heap; /* its own */
	struct t_random random;
	char *wrong;
	pthread_t thread;
};

static const char *round_of(struct thread *t, uint64_t id)
{
	struct t_marked b = { .id = id }, old;
	const char *wrong;
	void *at = NULL;

	b.bytes = 1 + t_random_below(&t->random, 3 * MIB);
	if (pagemv_heap_alloc(t->heap, b.bytes, 0, &at) != 0)
		return "alloc";
	b.at = at;
	t_mark(&b, 50);
	old = b;
	b.bytes += t_random_below(&t->random, 3 * MIB);
	if (pagemv_heap_realloc(t->heap, b.at, b.bytes, 0, &at, NULL) != 0)
		return "realloc";
	b.at = old.at = at;
	wrong = t_check_marks(&old, old.bytes);
	if (wrong)
		return wrong;
	t_mark(&b, 50);
	if (pagemv_heap_give(t->heap, b.at, t->h->heap, &at, NULL) != 0)
		return "give";
	b.at = at;
	wrong = t_check_marks(&b, b.bytes);
	if (!wrong && pagemv_heap_free(t->h->heap, b.at) != 0)
		return "free";
	return wrong;
}

static void *run_thread(void *arg)
{
	struct thread *t = arg;

	for (uint64_t i = 0; i < rounds() && !t->wrong; i++)
		t->wrong = (char *)round_of(t, i);
	return NULL;
}

Test(heap_give, threads_with_heaps_of_their_own_and_one_of_all, .timeout = 60)
{
	struct t_heap h;

	t_heaps(&h, NULL);
	while (t_next_heap(&h)) {
		struct thread t[THREADS] = { { 0 } };

		for (size_t i = 0; i < THREADS; i++) {
			t[i].h = &h;
			t[i].heap = another(&h);
			t[i].random = t_random_make(i);
			cr_assert(pthread_create(&t[i].thread, NULL, run_thread,
						 &t[i]) == 0);
		}
		for (size_t i = 0; i < THREADS; i++) {
			pthread_join(t[i].thread, NULL);
			T_EXPECT(&h, t[i].wrong == NULL, "thread %zu: %s", i,
				 t[i].wrong);
			T_EXPECT(&h, pagemv_heap_destroy(t[i].heap) == 0,
				 "destroy");
		}
		T_EXPECT(&h, t_heap_stats(&h).blocks == 0, "blocks are left");
	}
}
