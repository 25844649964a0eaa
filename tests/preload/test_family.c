// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Each function of the family, below and above the threshold.
 */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim_test.h"

/* Not in all headers. */
void free_sized(void *ptr, size_t bytes) __attribute__((weak));
void free_aligned_sized(void *ptr, size_t align, size_t bytes)
	__attribute__((weak));

/* So that no call is left out as one of no effect. */
static void *volatile kept;

static void *keep(void *ptr)
{
	kept = ptr;
	return kept;
}

static void check_block(void *ptr, size_t align, size_t bytes)
{
	t_check(ptr != NULL);
	t_check((uintptr_t)ptr % align == 0);
	t_check(malloc_usable_size(ptr) >= bytes);
	t_fill(ptr, bytes, 1);
	t_check(t_filled(ptr, bytes, 1));
	free(ptr);
}

static void every_function(void)
{
	static const size_t sizes[] = { 1,     100,	  5000, LARGE - 1,
					LARGE, LARGE + 1, MIB,	9 * MIB + 5 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t n = sizes[i];
		void *p = NULL;

		check_block(malloc(n), 16, n);
		check_block(calloc(1, n), 16, n);
		check_block(calloc(n, 1), 16, n);
		check_block(realloc(NULL, n), 16, n);
		check_block(reallocarray(NULL, 1, n), 16, n);
		check_block(valloc(n), 4096, n);
		check_block(pvalloc(n), 4096, (n + 4095) & ~(size_t)4095);
		for (size_t align = 8; align <= 64 * MIB; align *= 8) {
			check_block(memalign(align, n), align, n);
			check_block(aligned_alloc(align, n), align, n);
			t_check(posix_memalign(&p, align, n) == 0);
			check_block(p, align, n);
		}
	}
}

static void threshold_is_kept(void)
{
	void *p = malloc(LARGE - 1), *q = malloc(LARGE);

	t_check(!t_served(p));
	t_check(t_served(q));
	t_check(t_served(q) && t_served(keep(calloc(2, LARGE / 2))));
	free(p);
	free(q);
	free(kept);
}

static void calloc_is_zero(void)
{
	for (int i = 0; i < 200; i++) {
		size_t n = LARGE + (size_t)i * 3331;
		char *dirty = malloc(n), *p;

		memset(dirty, 0xff, n);
		free(dirty);
		p = calloc(3, n / 3);
		t_check(t_is_zero(p, n / 3 * 3));
		free(p);
	}
}

static void growth_keeps_what_is_there(void)
{
	size_t n = 1, filled = 0;
	char *p = malloc(n);

	/* Across the threshold, and out of every room. */
	for (; n < 300 * MIB; n += n / 3 + 1) {
		p = realloc(p, n);
		t_check(p && t_filled(p, filled, 5));
		t_check(malloc_usable_size(p) >= n);
		filled = n < 2 * MIB ? n : 2 * MIB;
		t_fill(p, filled, 5);
	}
	for (; n > 1; n = n * 2 / 3) {
		p = realloc(p, n);
		t_check(p && t_filled(p, n < filled ? n : filled, 5));
	}
	/* It went back to the next allocator on its way. */
	t_check(!t_served(p));
	free(p);
}

static void realloc_of_nothing(void)
{
	void *p = malloc(LARGE);

	errno = 0;
	t_check(realloc(p, 0) == NULL && errno == 0);
	p = malloc(10);
	t_check(realloc(p, 0) == NULL);
	p = realloc(NULL, LARGE);
	t_check(t_served(p));
	t_fill(p, LARGE, 2);
	/* Not worth a page of its own any more. */
	p = realloc(p, 100);
	t_check(!t_served(p) && t_filled(p, 100, 2));
	free(p);
	p = malloc(0);
	t_check(p != NULL);
	free(p);
	free(NULL);
	t_check(malloc_usable_size(NULL) == 0);
}

static void too_large(void)
{
	static const size_t sizes[] = { SIZE_MAX, SIZE_MAX - 4096,
					(size_t)PTRDIFF_MAX + 1, PTRDIFF_MAX };
	char *mine = malloc(LARGE);
	void *p;

	t_fill(mine, LARGE, 3);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		volatile size_t n = sizes[i];

		errno = 0;
		t_check(!keep(malloc(n)) && errno == ENOMEM);
		errno = 0;
		t_check(!keep(calloc(n, 1)) && errno == ENOMEM);
		errno = 0;
		t_check(!keep(realloc(mine, n)) && errno == ENOMEM);
		errno = 0;
		t_check(!keep(realloc(NULL, n)) && errno == ENOMEM);
		errno = 0;
		t_check(!keep(memalign(4096, n)) && errno == ENOMEM);
		errno = 0;
		t_check(!keep(aligned_alloc(4096, n)) && errno == ENOMEM);
		t_check(posix_memalign(&p, 4096, n) == ENOMEM);
	}
	for (volatile size_t n = SIZE_MAX / 2; n > SIZE_MAX / 4; n /= 2) {
		errno = 0;
		t_check(!keep(calloc(n, 4)) && errno == ENOMEM);
		errno = 0;
		t_check(!keep(reallocarray(mine, n, 4)) && errno == ENOMEM);
	}
	t_check(t_filled(mine, LARGE, 3));
	free(mine);
}

static void no_alignment(void)
{
	void *p = &p;

	t_check(posix_memalign(&p, 0, LARGE) == EINVAL);
	t_check(posix_memalign(&p, 4, LARGE) == EINVAL);
	t_check(posix_memalign(&p, 24, LARGE) == EINVAL);
	t_check(posix_memalign(&p, 100, 100) == EINVAL);
	t_check(p == &p);
	/* glibc takes the next power of two. */
	check_block(memalign(4097, LARGE), 8192, LARGE);
}

static void errno_is_kept(void)
{
	void *small = malloc(10), *large = malloc(LARGE),
	     *other = malloc(LARGE);

	t_fill(large, LARGE, 1);
	errno = 4711;
	free(small);
	free(large);
	free(NULL);
	malloc_usable_size(other);
	t_check(errno == 4711);
	free(other);
	t_check(errno == 4711);
}

static void sized_free(void)
{
	if (!free_sized || !free_aligned_sized)
		t_fail(__FILE__, __LINE__, "they are there");
	free_sized(malloc(10), 10);
	free_sized(malloc(LARGE), LARGE);
	free_aligned_sized(aligned_alloc(4096, LARGE), 4096, LARGE);
}

static void trim(void)
{
	void *p = malloc(32 * MIB);

	memset(p, 1, 32 * MIB);
	free(p);
	malloc_trim(0);
	t_check(malloc_trim(0) == 0 || malloc_trim(0) == 0);
}

/* Blocks of the next allocator become the heap's as they grow. */
static void only_growth(void)
{
	char *p = malloc(MIB);

	t_check(!t_served(p));
	t_fill(p, MIB, 9);
	p = realloc(p, 3 * MIB);
	t_check(t_filled(p, MIB, 9));
	p = realloc(p, 100);
	t_check(t_filled(p, 100, 9));
	free(p);
	p = realloc(NULL, MIB);
	t_check(!t_served(p));
	free(p);
}

static void nothing_served(void)
{
	void *p = malloc(MIB);

	t_check(!t_served(p));
	p = realloc(p, 5 * MIB);
	t_check(!t_served(p));
	free(p);
}

static void large_and_freed(void)
{
	void *volatile p = malloc(LARGE);

	free(p);
	free(p);
}

static void resized_and_freed(void)
{
	void *volatile p = malloc(LARGE);

	free(p);
	kept = realloc(p, 2 * LARGE);
}

static void inside_of_block(void)
{
	char *volatile p = malloc(LARGE);

	free(p + 64);
}

static void beyond_block(void)
{
	char *volatile p = malloc(LARGE);

	free(p + LARGE + 256 * KIB);
}

static void size_of_freed(void)
{
	char *volatile p = malloc(64 * MIB);

	free(p);
	t_check(!malloc_usable_size(p));
}

static void page_of_block(void)
{
	char *volatile p = malloc(LARGE);

	free(p + 8192);
}

static void reported_only(void)
{
	char *volatile p = malloc(LARGE);

	free(p + 16);
	t_fill(p, LARGE, 1);
	t_check(!keep(realloc(p + 16, MIB)));
	free(p);
	free(p);
	free(keep(malloc(LARGE)));
}

static const struct shim_case cases[] = {
	{ .name = "every function", .run = every_function },
	{ .name = "from the threshold on", .run = threshold_is_kept },
	{ .name = "calloc() is zero", .run = calloc_is_zero },
	{ .name = "growth", .run = growth_keeps_what_is_there },
	{ .name = "growth, tight",
	  .run = growth_keeps_what_is_there,
	  .conf = "tight=on" },
	{ .name = "growth, without userfaultfd",
	  .run = growth_keeps_what_is_there,
	  .conf = "uffd=off,tight=on" },
	{ .name = "growth, by copying",
	  .run = growth_keeps_what_is_there,
	  .conf = "mechanism=copy,tight=on" },
	{ .name = "growth, by mremap()",
	  .run = growth_keeps_what_is_there,
	  .conf = "mechanism=remap,tight=on" },
	{ .name = "no size, no block", .run = realloc_of_nothing },
	{ .name = "too large", .run = too_large },
	{ .name = "alignments that are none", .run = no_alignment },
	{ .name = "errno", .run = errno_is_kept },
	{ .name = "free_sized()", .run = sized_free },
	{ .name = "malloc_trim()", .run = trim },
	{ .name = "serve=realloc",
	  .run = only_growth,
	  .conf = "serve=realloc,stats=exit",
	  .says = { " adopted=1 " } },
	{ .name = "serve=none", .run = nothing_served, .conf = "serve=none" },
	{ .name = "freed twice",
	  .run = large_and_freed,
	  .says = { "libpagemv-malloc: free(): block that was freed" },
	  .signal = SIGABRT },
	{ .name = "resized after it was freed",
	  .run = resized_and_freed,
	  .says = { "libpagemv-malloc: realloc(): block that was freed" },
	  .signal = SIGABRT },
	{ .name = "pointer into a block",
	  .run = inside_of_block,
	  .says = { "libpagemv-malloc: free(): pointer into a block" },
	  .signal = SIGABRT },
	{ .name = "page of a block",
	  .run = page_of_block,
	  .says = { "libpagemv-malloc: free(): pointer into a block" },
	  .signal = SIGABRT },
	{ .name = "pointer beyond a block",
	  .run = beyond_block,
	  .says = { "libpagemv-malloc: free(): pointer to no block" },
	  .signal = SIGABRT },
	{ .name = "size of a freed block",
	  .run = size_of_freed,
	  .conf = "misuse=report",
	  .says = { "malloc_usable_size(): block that was freed before" } },
	{ .name = "misuse=report",
	  .run = reported_only,
	  .conf = "misuse=report",
	  .says = { "free(): pointer into a block",
		    "realloc(): pointer into a block",
		    "free(): block that was freed before" } },
};

int main(int argc, char **argv)
{
	return shim_test(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
