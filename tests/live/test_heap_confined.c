/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Heaps where much is forbidden or scarce: no userfaultfd, little address
 * space, all memory locked, none to be had on credit.
 */
#include "heaps.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "confine.h"

/* What a program does with a heap; it works, at whatever cost. */
static void use(struct t_heap *h)
{
	struct t_marked b = { .bytes = 100000, .id = 7 };

	b.at = t_heap_alloc(h, b.bytes);
	t_mark(&b, SIZE_MAX);
	while (b.bytes < 20 * MIB) {
		struct t_marked old = b;

		b.bytes *= 2;
		b.at = t_heap_resize(h, b.at, b.bytes, PAGEMV_ALLOC_MOVE, NULL);
		old.at = b.at;
		T_RIGHT(h, t_check_marks(&old, old.bytes), "grown");
		t_mark(&b, SIZE_MAX);
	}
	b.at = t_heap_resize(h, b.at, MIB, 0, NULL);
	T_RIGHT(h, t_check_marks(&b, MIB), "shrunk");
	t_heap_free(h, b.at);
	T_EXPECT(h, pagemv_heap_trim(h->heap, NULL) == 0, "trim");
}

Test(heap_confined, without_userfaultfd)
{
	struct t_heap h = { 0 };

	if (!t_refuse_syscall(SYS_userfaultfd, EPERM))
		cr_skip("seccomp filters are not to be had here");
	t_open_heap(&h, 0);
	use(&h);
	t_end_heap(&h);
}

Test(heap_confined, without_names_and_advice)
{
	struct t_heap h = { 0 };

	/* Filters are installed by prctl(). */
	if (!t_refuse_syscall(SYS_madvise, EPERM) ||
	    !t_refuse_syscall(SYS_prctl, EPERM))
		cr_skip("seccomp filters are not to be had here");
	t_open_heap(&h, 0);
	use(&h);
	t_end_heap(&h);
}

/* Bytes of address space that the process has. */
static size_t mapped(void)
{
	char text[200];

	cr_assert(t_read_file("/proc/self/statm", text, sizeof(text)));
	return strtoul(text, NULL, 10) * t_page();
}

Test(heap_confined, in_little_address_space)
{
	struct t_heap h;

	if (T_SANITIZED)
		cr_skip("a sanitizer has all address space");
	t_heaps(&h, NULL);
	while (h.next < 3) {
		struct rlimit all, less;
		size_t blocks = 0;
		void *at[1000];
		int r = 0;

		cr_assert(getrlimit(RLIMIT_AS, &all) == 0);
		less = all;
		less.rlim_cur = mapped() + 700 * MIB;
		cr_assert(setrlimit(RLIMIT_AS, &less) == 0);
		t_open_heap(&h, h.next++);
		use(&h);
		/* A good part of what there is can be had. */
		while (blocks < T_COUNT(at) && r == 0) {
			r = pagemv_heap_alloc(h.heap, MIB, 0, &at[blocks]);
			if (r == 0)
				memset(at[blocks++], 1, MIB);
		}
		T_EXPECT(&h, r == -ENOMEM, "the end: %d", r);
		T_EXPECT(&h, blocks >= 300, "%zu blocks of 1 MiB in 700 MiB",
			 blocks);
		while (blocks > 0)
			t_heap_free(&h, at[--blocks]);
		use(&h);
		t_end_heap(&h);
		cr_assert(setrlimit(RLIMIT_AS, &all) == 0);
	}
}

#define GIB ((size_t)1 << 30)

/* Takes address space until there are no larger gaps than that, as on machines
 * whose addresses have 39 bits; how many pieces. */
static size_t take_space(size_t gap, void **at, size_t *bytes, size_t max)
{
	size_t n = 0;

	for (size_t size = 65536 * GIB; size >= gap; size /= 2)
		while (n < max) {
			at[n] = mmap(NULL, size, PROT_NONE,
				     MAP_PRIVATE | MAP_ANONYMOUS |
					     MAP_NORESERVE,
				     -1, 0);
			if (at[n] == MAP_FAILED)
				break;
			bytes[n++] = size;
		}
	return n;
}

/* Blocks that each get 4 GiB where there is room. */
static void outgrow(struct t_heap *h, size_t n)
{
	struct t_marked b[200];

	for (size_t i = 0; i < n; i++) {
		b[i] = (struct t_marked){ .bytes = MIB / 4, .id = i + 1 };
		b[i].at = t_heap_alloc(h, b[i].bytes);
		t_mark(&b[i], SIZE_MAX);
		b[i].at = t_heap_resize(h, b[i].at, 3 * MIB, 0, NULL);
	}
	for (size_t i = 0; i < n; i++) {
		T_RIGHT(h, t_check_marks(&b[i], b[i].bytes), "grown");
		t_heap_free(h, b[i].at);
	}
}

Test(heap_confined, in_a_small_address_space, .timeout = 60)
{
	static const size_t gaps[] = { 200, 20, 2 };
	struct t_heap h;

	if (T_SANITIZED)
		cr_skip("a sanitizer has all address space");
	/* Each time in a heap that has reserved nothing so far. */
	for (size_t i = 0; i < T_COUNT(gaps); i++) {
		t_heaps(&h, NULL);
		while (t_next_heap(&h)) {
			void *at[100];
			size_t bytes[100];
			size_t n = take_space(gaps[i] * GIB, at, bytes, 100);

			T_EXPECT(&h, n > 0 && n < 100, "%zu pieces", n);
			use(&h);
			outgrow(&h, 60);
			while (n-- > 0)
				munmap(at[n], bytes[n]);
		}
	}
}

/* As much as a heap of this test holds; the limit is 8 MiB by default. */
static bool may_lock(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	bool may;

	cr_assert(at != MAP_FAILED);
	may = mlock2(at, bytes, MLOCK_ONFAULT) == 0;
	munmap(at, bytes);
	return may;
}

/* What is reserved and not used is not locked, and so is not filled. */
Test(heap_confined, where_all_memory_is_locked)
{
	struct t_heap h;

	if (!may_lock(64 * MIB) || mlockall(MCL_FUTURE) != 0)
		cr_skip("may not mlock");
	t_heaps(&h, NULL);
	while (t_next_heap(&h)) {
		size_t before = t_rss_pages();

		t_heap_free(&h, t_heap_alloc(&h, 200000));
		T_EXPECT(&h, t_rss_pages() < before + 64 * MIB / t_page(),
			 "%zu pages came with a small block",
			 t_rss_pages() - before);
		use(&h);
	}
	munlockall();
}

/* Only in the lab, as it is for the whole machine. */
Test(heap_confined, where_no_memory_is_had_on_credit, .timeout = 60)
{
	static const char file[] = "/proc/sys/vm/overcommit_memory";
	struct t_heap h;

	if (getenv("PMV_LAB") == NULL)
		cr_skip("changes the whole system: only in the lab");
	if (!t_write_file(file, "2"))
		cr_skip("not root: overcommit stays as it is");
	t_heaps(&h, NULL);
	while (t_next_heap(&h)) {
		void *at = &h;
		int r;

		use(&h);
		r = pagemv_heap_alloc(h.heap, (size_t)1 << 40, 0, &at);
		T_EXPECT(&h, r == -ENOMEM && at == &h, "1 TiB: %d", r);
	}
	t_write_file(file, "0");
}
