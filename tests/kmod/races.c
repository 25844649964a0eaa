/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Entries of page middle directories that change between two looks: huge zero
 * pages come by reading, and go by MADV_DONTNEED, where pages are on their way
 * to. Taken for a table, such a page gets entries written into it, and is no
 * zeros any more; what is nothing, and taken for a table, ends the kernel.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>

#include "kmod.h"

#define SECONDS 8
/* Blocks of an upper table's size, of which the first 2 MiB are used. */
#define BLOCKS	    4
#define BLOCK_BYTES ((size_t)1 << 30)

static struct {
	char *base;
	_Atomic(char *) at; /* of what is flipped now; NULL: it is over */
	_Atomic uint64_t flips;
	const char *wrong;
} area;

static bool all_zeros(const char *at)
{
	for (size_t i = 0; i < KMOD_HUGE; i += sizeof(uint64_t))
		if (*(const volatile uint64_t *)(at + i) != 0)
			return false;
	return true;
}

/* Nothing is written there but by what moves pages to the first page. */
static void *flip(void *arg)
{
	uint64_t n = 0;
	char *at;

	(void)arg;
	while ((at = atomic_load(&area.at)) != NULL) {
		(void)*(volatile char *)(at + KMOD_HUGE / 2);
		if (++n % 256 == 0 &&
		    !all_zeros(area.base + BLOCKS * BLOCK_BYTES))
			area.wrong = "memory never written to is not zeros";
		madvise(at, KMOD_HUGE, MADV_DONTNEED);
		atomic_fetch_add(&area.flips, 1);
	}
	return NULL;
}

/* Its tables go, too. */
static void empty(char *at)
{
	if (mmap(at, BLOCK_BYTES, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != at ||
	    madvise(at, BLOCK_BYTES, MADV_HUGEPAGE) != 0)
		t_die("mapping a block anew");
}

static uint64_t now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec;
}

/* One body after the other, with a flipper beside it. */
static const char *race(void (*call)(char *block, char *page, unsigned int n))
{
	uint64_t end = now_s() + t_env("PMV_SECONDS", SECONDS);
	char *page = t_map(1), *map;
	unsigned int n = 0;
	pthread_t thread;

	map = mmap(NULL, (BLOCKS + 2) * BLOCK_BYTES, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		t_die("the area");
	area.base = (char *)(((uintptr_t)map + BLOCK_BYTES - 1) &
			     ~(uintptr_t)(BLOCK_BYTES - 1));
	empty(area.base + BLOCKS * BLOCK_BYTES);
	atomic_store(&area.at, area.base);
	if (pthread_create(&thread, NULL, flip, NULL) != 0)
		t_die("pthread_create");
	for (; now_s() < end && area.wrong == NULL; n++) {
		char *block = area.base + n % BLOCKS * BLOCK_BYTES;

		empty(block);
		atomic_store(&area.at, block);
		call(block, page, n);
	}
	atomic_store(&area.at, NULL);
	pthread_join(thread, NULL);
	tap_say(stdout, "%u calls, %" PRIu64 " huge pages came and went", n,
		atomic_load(&area.flips));
	MUST(atomic_load(&area.flips) > 100, "nothing was disturbed");
	MUST(n > 1, "nothing was moved");
	return area.wrong;
}

/* To where a table is made while a huge page comes and goes. */
static void remap(char *block, char *page, unsigned int n)
{
	int64_t moved;

	t_fill_range(page, 1, n);
	kmod_remap(block, page, 1, 0, &moved);
}

static const char *dst_flips(void)
{
	return race(remap);
}

/* From where there is a huge page, or nothing, or a table. */
static void remap_from(char *block, char *page, unsigned int n)
{
	int64_t moved;

	madvise(page, t_page(), MADV_DONTNEED);
	kmod_remap(page, block, 1, n % 2 ? KMOD_HOLES : 0, &moved);
}

static const char *src_flips(void)
{
	return race(remap_from);
}

/* The other side lies where not even the upper table is. */
static void exchange(char *block, char *page, unsigned int n)
{
	char *other = area.base + (n + 1) % BLOCKS * BLOCK_BYTES;
	int64_t moved;

	(void)page;
	empty(other);
	if (n % 2)
		kmod_exchange(block, other, KMOD_HUGE / t_page(), &moved);
	else
		kmod_exchange(block, other, 1, &moved);
}

static const char *exchanged_flips(void)
{
	return skip_unless_module() ? NULL : race(exchange);
}

int main(void)
{
	static const struct kmod_test tests[] = {
		{ "huge pages come and go where pages move to", dst_flips },
		{ "huge pages come and go where pages move from", src_flips },
		{ "huge pages come and go where pages are exchanged",
		  exchanged_flips },
	};

	return kmod_main(tests, sizeof(tests) / sizeof(tests[0]));
}
