/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * REMAP answers as UFFDIO_MOVE does: each error, which of two comes first, and
 * that moved is told in every case. kernel-facts.md, 1.2 and 1.3.
 */
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "kmod.h"

#define PAGES 8

/* Five levels of page tables? */
static bool has_la57(void)
{
	static char line[8192];
	FILE *f = fopen("/proc/cpuinfo", "re");
	bool found = false;

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		found |= strstr(line, " la57") != NULL;
	if (f != NULL)
		fclose(f);
	return found;
}

/* Behind the last address that a process could have. */
static uintptr_t top(void)
{
	static uintptr_t top;

	if (top == 0)
		top = (uintptr_t)1 << (has_la57() ? 56 : 47);
	return top;
}

static char *at(uintptr_t address)
{
	return (char *)address;
}

/* A call that is refused for its arguments alone; both sides are there. */
static const char *wants(int error, const void *dst, const void *src,
			 size_t bytes, uint64_t mode)
{
	int64_t moved;
	int r = kmod_remap_by(kmod_fd, (void *)dst, src, bytes, mode, &moved);

	if (kmod_way() == KMOD_MOVE && moved == KMOD_UNTOLD)
		moved = error;
	return wrong_at("refusal", ended(r, moved, error, error));
}

/* ---- the arguments ---- */

static const char *unaligned(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);
	const char *what = NULL;
	size_t i;

	for (i = 0; i < 3 && what == NULL; i++) {
		size_t off = (size_t[]){ 1, 512, t_page() - 1 }[i];

		what = wants(-EINVAL, dst + off, src, t_page(), 0);
		if (what == NULL)
			what = wants(-EINVAL, dst, src + off, t_page(), 0);
		if (what == NULL)
			what = wants(-EINVAL, dst, src, t_page() + off, 0);
	}
	if (what != NULL)
		return what;
	RIGHT("src", t_check_range(src, PAGES, 1));
	RIGHT("dst", t_check_absent(dst, PAGES));
	return NULL;
}

static const char *no_length(void)
{
	char *src = kmod_map_src(1, 1), *dst = kmod_map_dst(1);

	return wants(-EINVAL, dst, src, 0, 0);
}

static const char *outside(void)
{
	char *src = kmod_map_src(1, 1), *dst = kmod_map_dst(1);
	size_t page = t_page(), i;
	const char *what = NULL;
	char *places[] = {
		at(top()),
		at(top() - page),
		at((uintptr_t)-1 & ~(page - 1)),
		at((uintptr_t)0xffff888000000000),
		at((uintptr_t)1 << 63),
	};

	/* The page before the top itself is a guard: outside, too. */
	for (i = 0; i < T_COUNT(places) && what == NULL; i++) {
		what = wants(-EINVAL, places[i], src, page, 0);
		if (what == NULL)
			what = wants(-EINVAL, dst, places[i], page, 0);
	}
	if (what == NULL)
		RIGHT("src", t_check_range(src, 1, 1));
	return what;
}

static const char *wraps(void)
{
	char *src = kmod_map_src(1, 1), *dst = kmod_map_dst(1);
	size_t page = t_page(), i;
	const size_t lengths[] = { -page, (size_t)1 << 63,
				   -(uintptr_t)src & ~(page - 1), top(),
				   top() - (uintptr_t)src };
	const char *what = NULL;

	for (i = 0; i < T_COUNT(lengths) && what == NULL; i++)
		what = wants(-EINVAL, dst, src, lengths[i], 0);
	return what;
}

static const char *unknown_mode(void)
{
	char *src = kmod_map_src(1, 1), *dst = kmod_map_dst(1);
	const char *what = NULL;
	int bit;

	for (bit = 2; bit < 64 && what == NULL; bit++)
		what = wants(-EINVAL, dst, src, t_page(), UINT64_C(1) << bit);
	if (what == NULL)
		what = moves(dst, src, 1, 1);
	return what;
}

static const char *dont_wake(void)
{
	char *src = kmod_map_src(1, 1), *dst = kmod_map_dst(1);
	int64_t moved;
	int r = kmod_remap(dst, src, 1, PAGEMVIO_MODE_DONTWAKE, &moved);

	RIGHT("move", ended(r, moved, 0, 1));
	RIGHT("dst", t_check_range(dst, 1, 1));
	return NULL;
}

/* ---- the mappings ---- */

static const char *unmapped(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);
	char *none = t_map(PAGES);

	t_unmap(none, PAGES);
	RIGHT("src", refuses(dst, none, 1, 0, -ENOENT));
	RIGHT("dst", wants(-ENOENT, none, src, t_page(), 0));
	RIGHT("both", wants(-ENOENT, none, none + t_page(), t_page(), 0));
	return t_check_range(src, PAGES, 1);
}

/* A range must be of one mapping, at both sides. */
static const char *leaves_mapping(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);
	char *two = t_map(PAGES);

	t_split_mapping(two + t_pages(PAGES / 2), PAGES / 2);
	t_fill_range(two, PAGES, 100);
	RIGHT("src", refuses(dst, two, PAGES, 100, -EINVAL));
	RIGHT("src, into nothing",
	      refuses(dst, src + t_pages(PAGES - 1), 2, 0, -EINVAL));
	RIGHT("src", t_check_range(src, PAGES, 1));
	t_drop(two, PAGES);
	kmod_dst(two, PAGES);
	RIGHT("dst", refuses(two, src, PAGES, 1, -EINVAL));
	RIGHT("half of it", moves(two, src, PAGES / 2, 1));
	return NULL;
}

/* ---- the pages ---- */

static const char *dst_occupied(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);
	int64_t moved;
	int r;

	t_fill(dst + t_pages(3), 77, 1);
	r = kmod_remap(dst, src, PAGES, 0, &moved);
	RIGHT("up to it", ended(r, moved, -EAGAIN, 3));
	RIGHT("the first", t_check_range(dst, 3, 1));
	RIGHT("at it",
	      refuses(dst + t_pages(3), src + t_pages(3), 5, 4, -EEXIST));
	RIGHT("what was there", t_check_range(dst + t_pages(3), 1, 77));
	RIGHT("behind it", moves(dst + t_pages(4), src + t_pages(4), 4, 5));
	return NULL;
}

static const char *dst_zero_page(void)
{
	char *src = kmod_map_src(1, 1), *dst = kmod_map_dst(1);

	if (*(volatile char *)dst != 0)
		return wrong("not a fresh page");
	return refuses(dst, src, 1, 1, -EEXIST);
}

static const char *src_hole(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);
	int64_t moved;
	int r;

	t_drop(src + t_pages(3), 1);
	r = kmod_remap(dst, src, PAGES, 0, &moved);
	RIGHT("up to it", ended(r, moved, -EAGAIN, 3));
	r = kmod_remap(dst + t_pages(3), src + t_pages(3), 5, 0, &moved);
	RIGHT("at it", ended(r, moved, -ENOENT, -ENOENT));
	r = kmod_remap(dst + t_pages(3), src + t_pages(3), 5, KMOD_HOLES,
		       &moved);
	RIGHT("allowed", ended(r, moved, 0, 5));
	RIGHT("the hole", t_check_absent(dst + t_pages(3), 1));
	RIGHT("behind it", t_check_range(dst + t_pages(4), 4, 5));
	RIGHT("src", t_check_absent(src, PAGES));
	return NULL;
}

/* No page table, no table of tables: still holes. */
static const char *src_never_touched(void)
{
	size_t pages = 3 * KMOD_HUGE / t_page();
	char *src = t_map(pages), *dst = kmod_map_dst(pages);
	int64_t moved;
	int r = kmod_remap(dst, src, pages, 0, &moved);

	RIGHT("holes refused", ended(r, moved, -ENOENT, -ENOENT));
	r = kmod_remap(dst, src, pages, KMOD_HOLES, &moved);
	RIGHT("holes allowed", ended(r, moved, 0, (int64_t)pages));
	RIGHT("dst", t_check_absent(dst, pages));
	return NULL;
}

static const char *hole_onto_page(void)
{
	char *src = t_map(2), *dst = kmod_map_dst(2);
	int64_t moved;
	int r;

	t_fill(dst, 5, 1);
	r = kmod_remap(dst, src, 2, KMOD_HOLES, &moved);
	RIGHT("a hole onto a page", ended(r, moved, -EEXIST, -EEXIST));
	RIGHT("it", t_check_range(dst, 1, 5));
	return NULL;
}

/* The same, from where there is no page table. */
static const char *no_table_onto_page(void)
{
	char *src = t_map_at(PAGES, KMOD_HUGE, 0, false);
	char *dst = kmod_map_dst(PAGES);
	int64_t moved;
	int r;

	t_fill(dst + t_pages(3), 5, 1);
	r = kmod_remap(dst, src, PAGES, KMOD_HOLES, &moved);
	RIGHT("up to it", ended(r, moved, -EAGAIN, 3));
	r = kmod_remap(dst + t_pages(3), src + t_pages(3), PAGES - 3,
		       KMOD_HOLES, &moved);
	RIGHT("at it", ended(r, moved, -EEXIST, -EEXIST));
	return t_check_range(dst + t_pages(3), 1, 5);
}

static const char *same_place(void)
{
	char *both = kmod_map_dst(PAGES);

	t_fill_range(both, PAGES, 1);
	return refuses(both, both, PAGES, 1, -EEXIST);
}

/* Down by one page works, up runs into its own pages. */
static const char *overlap(void)
{
	char *area = kmod_map_dst(PAGES + 1);
	int64_t moved;
	int r;

	t_fill_range(area + t_page(), PAGES, 1);
	r = kmod_remap(area, area + t_page(), PAGES, 0, &moved);
	RIGHT("down", ended(r, moved, 0, PAGES));
	RIGHT("down", t_check_range(area, PAGES, 1));
	RIGHT("up", refuses(area + t_page(), area, PAGES, 1, -EEXIST));
	return NULL;
}

/* ---- which of two is told ---- */

static const char *order_of_checks(void)
{
	char *src = kmod_map_src(2, 1), *dst = kmod_map_dst(2),
	     *none = t_map(2);
	char *shared = mmap(NULL, t_pages(2), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const uint64_t bad = UINT64_C(1) << 40;

	t_unmap(none, 2);
	RIGHT("unaligned before unmapped",
	      wants(-EINVAL, none + 1, none, t_page(), 0));
	RIGHT("mode before unmapped",
	      wants(-EINVAL, none, none, t_page(), bad));
	RIGHT("unmapped dst before shared src",
	      wants(-ENOENT, none, shared, t_page(), 0));
	RIGHT("unmapped src before shared dst",
	      wants(-ENOENT, shared, none, t_page(), 0));
	RIGHT("mapping too short before its kind",
	      wants(-EINVAL, dst, shared, t_pages(3), 0));
	t_fill_range(dst, 2, 9);
	RIGHT("kind before pages", wants(-EINVAL, dst, shared, t_page(), 0));
	t_drop(src, 2);
	RIGHT("dst occupied before src hole",
	      wants(-EEXIST, dst, src, t_page(), 0));
	RIGHT("the same, holes allowed",
	      wants(-EEXIST, dst, src, t_page(), KMOD_HOLES));
	return NULL;
}

/* ---- moved ---- */

struct straddle {
	char *page;
	struct pagemvio_remap *remap; /* 32 bytes of it before page + 1 */
};

static struct straddle straddle(void *dst, void *src)
{
	struct straddle s = { .page = t_map(2) };

	s.remap = (void *)(s.page + t_page() - 32);
	*s.remap = (struct pagemvio_remap){
		.dst = (uintptr_t)dst,
		.src = (uintptr_t)src,
		.len = t_page(),
		.moved = KMOD_UNTOLD,
	};
	return s;
}

/* Where moved cannot be written, EFAULT, and nothing moves. */
static const char *moved_not_writable(void)
{
	char *src = kmod_map_src(1, 1), *dst = kmod_map_dst(1);
	struct straddle s = straddle(dst, src);

	if (kmod_way() != KMOD_MODULE)
		return skip("the request is the module's");
	if (mprotect(s.page + t_page(), t_page(), PROT_READ) != 0)
		t_die("mprotect");
	MUST(ioctl(kmod_fd, PAGEMVIO_REMAP, s.remap) == -1 && errno == EFAULT,
	     "errno %d", errno);
	RIGHT("dst", t_check_absent(dst, 1));
	return t_check_range(src, 1, 1);
}

static const char *not_readable(void)
{
	char *gone = t_map(2);
	size_t i;
	void *const places[] = { NULL, gone, (void *)top(),
				 (void *)(uintptr_t)0xffffffff81000000,
				 (void *)((uintptr_t)-8) };

	if (mprotect(gone, t_pages(2), PROT_NONE) != 0)
		t_die("mprotect");
	for (i = 0; i < T_COUNT(places); i++)
		MUST(ioctl(kmod_fd, PAGEMVIO_REMAP, places[i]) == -1 &&
			     errno == (kmod_way() == KMOD_MODULE ? EFAULT
								 : errno),
		     "place %zu: errno %d", i, errno);
	return NULL;
}

static const char *bystanders(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);
	struct t_maps *before = t_map(64), *after = t_map(64);
	char line[200];

	_Static_assert(sizeof(*before) < 64 * 4096, "64 pages are too few");
	t_maps_take(before, src, t_pages(PAGES));
	RIGHT("there", moves(dst, src, PAGES, 1));
	t_maps_take(after, src, t_pages(PAGES));
	MUST(t_maps_same(before, after, line, sizeof(line)),
	     "the mappings have changed: %s", line);
	return NULL;
}

static const char *not_registered(void)
{
	if (skip_unless_module())
		return NULL;
	return moves(t_map(PAGES), kmod_map_src(PAGES, 1), PAGES, 1);
}

int main(void)
{
	static const struct kmod_test tests[] = {
		{ "EINVAL: unaligned address or length", unaligned },
		{ "EINVAL: no length", no_length },
		{ "EINVAL: addresses beyond a process's own", outside },
		{ "EINVAL: a range that wraps", wraps },
		{ "EINVAL: each unknown mode bit", unknown_mode },
		{ "DONTWAKE is accepted", dont_wake },
		{ "ENOENT: no mapping", unmapped },
		{ "EINVAL: a range of two mappings", leaves_mapping },
		{ "EEXIST: a page at dst, with the pages before it moved",
		  dst_occupied },
		{ "EEXIST: the zero page at dst", dst_zero_page },
		{ "ENOENT: a hole in src, or a hole at dst when allowed",
		  src_hole },
		{ "holes where there are no page tables", src_never_touched },
		{ "EEXIST: a hole onto a page", hole_onto_page },
		{ "EEXIST: a hole without a page table onto a page",
		  no_table_onto_page },
		{ "EEXIST: dst is src", same_place },
		{ "ranges that overlap: down works, up is EEXIST", overlap },
		{ "the order of checks", order_of_checks },
		{ "EFAULT: moved cannot be written", moved_not_writable },
		{ "EFAULT: a request that cannot be read", not_readable },
		{ "the mappings stay as they are", bystanders },
		{ "dst need not be registered", not_registered },
	};

	return kmod_main(tests, T_COUNT(tests));
}
