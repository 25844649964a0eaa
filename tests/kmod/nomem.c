/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * No memory for page tables, at each level, and for the anon_vma of dst:
 * ENOMEM, or what was moved until then, and all goes on when there is memory
 * again.
 *
 * A memory cgroup that may have no more, of processes that must not be killed
 * for it, gets no page table either.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kmod.h"

#define PAGES  8
#define CGROUP "nomem"

/* What tables of the upper levels span; KMOD_HUGE is that of the lowest. */
#define MIDDLE ((size_t)1 << 30)
#define UPPER  ((size_t)1 << 39)

static int limit = -1;

/* False where there are no such cgroups. */
static bool into_cgroup(void)
{
	if (!kmod_into_cgroup(CGROUP))
		return false;
	limit = open(KMOD_CGROUPS "/" CGROUP "/memory.max",
		     O_WRONLY | O_CLOEXEC);
	return limit >= 0 && t_write_file("/proc/self/oom_score_adj", "-1000");
}

/* Between the two nothing may be touched that is not there yet. */
static void no_memory(void)
{
	if (write(limit, "0", 1) != 1)
		t_die("memory.max");
}

static void memory(void)
{
	if (write(limit, "max", 3) != 3)
		t_die("memory.max");
}

static const char *no_cgroup(void)
{
	return skip("no memory cgroups");
}

/* ---- dst ---- */

/*
 * Address space with a page in it, where tables of all levels begin: so the
 * mapping has its anon_vma, and there are tables for that page.
 */
static char *wide_dst(void)
{
	const size_t size = 2 * UPPER + MIDDLE;
	char *area = mmap(NULL, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *first;

	if (area == MAP_FAILED)
		t_die("address space");
	madvise(area, size, MADV_NOHUGEPAGE);
	kmod_dst(area, size / t_page());
	first = area + (-(uintptr_t)area & (UPPER - 1));
	*first = 1;
	return first;
}

/* Neither side has changed, and with memory it is a move like all others. */
static const char *lacks_memory(char *dst, char *src)
{
	int64_t moved;
	int r;

	no_memory();
	r = kmod_remap(dst, src, PAGES, 0, &moved);
	memory();
	RIGHT("without memory", ended(r, moved, -ENOMEM, -ENOMEM));
	RIGHT("src", t_check_range(src, PAGES, 1));
	RIGHT("dst", t_check_absent(dst, PAGES));
	return moves(dst, src, PAGES, 1);
}

static const char *no_table(size_t off_bytes)
{
	char *src = kmod_map_src(PAGES, 1), *dst;

	if (!into_cgroup())
		return no_cgroup();
	dst = wide_dst();
	return lacks_memory(dst + off_bytes, src);
}

static const char *lowest(void)
{
	return no_table(KMOD_HUGE);
}

static const char *middle(void)
{
	return no_table(MIDDLE);
}

static const char *upper(void)
{
	return no_table(UPPER);
}

static const char *no_anon_vma(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);

	if (!into_cgroup())
		return no_cgroup();
	return lacks_memory(dst, src);
}

/* Up to the end of the last table that there is. */
static const char *in_the_middle(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst;
	int64_t moved;
	int r;

	if (!into_cgroup())
		return no_cgroup();
	dst = wide_dst() + KMOD_HUGE - t_pages(3);
	no_memory();
	r = kmod_remap(dst, src, PAGES, 0, &moved);
	memory();
	RIGHT("as far as there are tables", ended(r, moved, -EAGAIN, 3));
	RIGHT("src", t_check_range(src + t_pages(3), PAGES - 3, 4));
	RIGHT("rest", moves(dst + t_pages(3), src + t_pages(3), PAGES - 3, 4));
	return t_check_range(dst, PAGES, 1);
}

/* ---- vectors and exchanges ---- */

static const char *vector(void)
{
	char *src = kmod_map_src(3, 1), *dst;
	struct pagemvio_range range[3];
	int64_t moved;
	int r;

	if (skip_unless_module())
		return NULL;
	if (!into_cgroup())
		return no_cgroup();
	dst = wide_dst();
	range[0].dst = (uintptr_t)dst + t_page();
	range[1].dst = (uintptr_t)dst + MIDDLE;
	range[2].dst = (uintptr_t)dst + t_pages(2);
	for (r = 0; r < 3; r++) {
		range[r].src = (uintptr_t)src + t_pages((size_t)r);
		range[r].len = t_page();
	}
	no_memory();
	r = kmod_remapv(range, 3, 0, 0, &moved, NULL);
	memory();
	RIGHT("call", ended(r, moved, -EAGAIN, 2));
	MUST(range[1].moved == -ENOMEM, "the second: %" PRId64,
	     (int64_t)range[1].moved);
	RIGHT("first", t_check_range(dst + t_page(), 1, 1));
	RIGHT("second", t_check_range(src + t_page(), 1, 2));
	return t_check_range(dst + t_pages(2), 1, 3);
}

static const char *exchange(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst;
	int64_t moved;
	int r;

	if (skip_unless_module())
		return NULL;
	if (!into_cgroup())
		return no_cgroup();
	dst = wide_dst() + MIDDLE;
	no_memory();
	r = kmod_exchange(dst, src, PAGES, &moved);
	memory();
	RIGHT("without memory", ended(r, moved, -ENOMEM, -ENOMEM));
	RIGHT("src", t_check_range(src, PAGES, 1));
	r = kmod_exchange(src, dst, PAGES, &moved);
	RIGHT("with memory", ended(r, moved, 0, PAGES));
	return t_check_range(dst, PAGES, 1);
}

int main(void)
{
	static const struct kmod_test tests[] = {
		{ "ENOMEM: no table for pages", lowest },
		{ "ENOMEM: no table of tables", middle },
		{ "ENOMEM: no table of tables of tables", upper },
		{ "ENOMEM: no anon_vma", no_anon_vma },
		{ "no table in the middle: up to there", in_the_middle },
		{ "ENOMEM: in a vector, the others go on", vector },
		{ "ENOMEM: an exchange", exchange },
	};

	return kmod_main(tests, T_COUNT(tests));
}
