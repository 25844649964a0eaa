/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a small page takes along, and what the kernel counts: content, dirty and
 * soft-dirty, the zero page, resident sets, page tables, memory cgroups.
 */
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kmod.h"
#include "rawuffd.h"

#define PAGES	  8
#define FLAG_ZERO 24 /* of /proc/kpageflags */

/* ---- where ---- */

/* Source and destination at any place in their page tables. */
static const char *at_offsets(size_t pages, size_t src_off, size_t dst_off)
{
	char *src = t_map_at(pages, KMOD_HUGE, t_pages(src_off), false);
	char *dst = t_map_at(pages, KMOD_HUGE, t_pages(dst_off), false);

	kmod_dst(dst, pages);
	t_fill_range(src, pages, 1);
	RIGHT("move", moves(dst, src, pages, 1));
	t_unmap(src, pages);
	t_unmap(dst, pages);
	return NULL;
}

static const char *across_tables(void)
{
	RIGHT("1 page", at_offsets(1, 0, 511));
	RIGHT("a table of each", at_offsets(512, 0, 0));
	RIGHT("src ends first", at_offsets(20, 505, 3));
	RIGHT("dst ends first", at_offsets(20, 3, 505));
	RIGHT("both", at_offsets(1500, 100, 300));
	RIGHT("one behind", at_offsets(1030, 511, 0));
	return NULL;
}

/* Both sides in one page table, which has one lock. */
static const char *within_table(void)
{
	char *area = t_map_at(64, KMOD_HUGE, 0, false);
	size_t i;

	kmod_dst(area, 64);
	t_fill_range(area, 16, 1);
	for (i = 0; i < 3; i++)
		RIGHT("up", moves(area + t_pages(16 * (i + 1)),
				  area + t_pages(16 * i), 16, 1));
	RIGHT("down", moves(area + t_pages(1), area + t_pages(48), 15, 1));
	return NULL;
}

static uint64_t tables_kb(void)
{
	return status_kb("VmPTE:");
}

/* Each page into a table of tables that is not there yet. */
static const char *tables_on_demand(void)
{
	const size_t giga = (size_t)1 << 30;
	char *src = kmod_map_src(PAGES, 1), *area;
	uint64_t before;
	size_t i;

	area = mmap(NULL, 17 * giga, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (area == MAP_FAILED)
		t_die("address space");
	madvise(area, 17 * giga, MADV_NOHUGEPAGE);
	kmod_dst(area, 17 * giga / t_page());
	before = tables_kb();
	for (i = 0; i < PAGES; i++)
		RIGHT("move",
		      moves(area + i * 2 * giga, src + t_pages(i), 1, i + 1));
	MUST(tables_kb() >= before + PAGES * 8,
	     "VmPTE %" PRIu64 ", was %" PRIu64, tables_kb(), before);
	if (munmap(area, 17 * giga) != 0)
		t_die("munmap");
	MUST(tables_kb() <= before,
	     "VmPTE %" PRIu64 " in the end, was %" PRIu64, tables_kb(), before);
	return NULL;
}

static const char *there_and_back(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);
	int i;

	kmod_dst(src, PAGES);
	for (i = 0; i < 200; i++) {
		RIGHT("there", moves(dst, src, PAGES, 1));
		RIGHT("back", moves(src, dst, PAGES, 1));
	}
	return NULL;
}

/* ---- the zero page ---- */

static void read_in(const char *p, size_t pages)
{
	size_t i;

	for (i = 0; i < pages; i++)
		(void)*(const volatile char *)(p + t_pages(i));
}

static const char *zero_page(void)
{
	char *src = t_map(PAGES), *dst = kmod_map_dst(PAGES);
	int64_t moved;
	int r;

	read_in(src, PAGES);
	MUST(page_flag(src, FLAG_ZERO), "not the zero page to begin with");
	r = kmod_remap(dst, src, PAGES, 0, &moved);
	RIGHT("move", ended(r, moved, 0, PAGES));
	RIGHT("src", t_check_absent(src, PAGES));
	MUST(page_flag(dst, FLAG_ZERO), "it is another page at dst");
	RIGHT("dst", t_check_zero(dst, PAGES));
	/* The zero page of all must not be what is written to. */
	t_fill_range(dst, PAGES, 1);
	RIGHT("written", t_check_range(dst, PAGES, 1));
	read_in(src, PAGES);
	return t_check_zero(src, PAGES);
}

static const char *zero_among_pages(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);
	int64_t moved;
	int r;

	t_drop(src + t_pages(2), 1);
	t_drop(src + t_pages(5), 2);
	read_in(src, PAGES);
	r = kmod_remap(dst, src, PAGES, 0, &moved);
	RIGHT("move", ended(r, moved, 0, PAGES));
	RIGHT("1, 2", t_check_range(dst, 2, 1));
	RIGHT("3", t_check_zero(dst + t_pages(2), 1));
	RIGHT("4, 5", t_check_range(dst + t_pages(3), 2, 4));
	RIGHT("6, 7", t_check_zero(dst + t_pages(5), 2));
	RIGHT("8", t_check_range(dst + t_pages(7), 1, 8));
	return t_check_absent(src, PAGES);
}

/* ---- dirty ---- */

/* What is at dst is new there: whoever dumps what has changed must have it. */
static const char *soft_dirty(void)
{
	char *src = kmod_map_src(1, 1), *dst = kmod_map_dst(1);

	if (!kmod_clear_soft_dirty(src))
		return skip("no soft-dirty bits");
	MUST((pagemap_of(src) & PM_SOFT_DIRTY) == 0, "it is still dirty");
	t_fill(src, 2, 1);
	MUST((pagemap_of(src) & PM_SOFT_DIRTY) != 0, "a store is not seen");
	RIGHT("move", moves(dst, src, 1, 2));
	MUST((pagemap_of(dst) & PM_SOFT_DIRTY) != 0, "a dirty page is clean");
	return NULL;
}

/* A clean one becomes dirty, too: its place has changed. */
static const char *soft_clean(void)
{
	char *src = kmod_map_src(1, 1), *dst = kmod_map_dst(1);

	if (!kmod_clear_soft_dirty(src))
		return skip("no soft-dirty bits");
	MUST((pagemap_of(src) & PM_SOFT_DIRTY) == 0, "it is still dirty");
	RIGHT("move", moves(dst, src, 1, 1));
	MUST((pagemap_of(dst) & PM_SOFT_DIRTY) != 0,
	     "what has come to dst is not seen as a change");
	return NULL;
}

/*
 * MADV_FREE says that pages may go as long as nobody stores to them: which
 * only the dirty bit of the entry tells.
 */
static const char *stored_after_free(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);

	if (madvise(src, t_pages(PAGES), MADV_FREE) != 0)
		t_die("MADV_FREE");
	t_fill_range(src, PAGES, 100);
	RIGHT("move", moves(dst, src, PAGES, 100));
	madvise(dst, t_pages(PAGES), MADV_PAGEOUT);
	return t_check_range(dst, PAGES, 100);
}

static const char *only_freed(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);
	uint64_t id, version;
	int64_t moved;
	enum t_kind kind;
	size_t i;
	int r;

	if (madvise(src, t_pages(PAGES), MADV_FREE) != 0)
		t_die("MADV_FREE");
	r = kmod_remap(dst, src, PAGES, KMOD_HOLES, &moved);
	RIGHT("move", ended(r, moved, 0, PAGES));
	madvise(dst, t_pages(PAGES), MADV_PAGEOUT);
	for (i = 0; i < PAGES; i++) {
		kind = t_look(dst + t_pages(i), &id, &version);
		MUST(kind == T_ABSENT || (kind == T_GOOD && id == i + 1),
		     "page %zu is neither whole nor gone", i);
	}
	return NULL;
}

/* ---- neither a page nor a hole ---- */

/* struct uffdio_poison of Linux 6.6. */
struct poison {
	uint64_t start;
	uint64_t len;
	uint64_t mode;
	int64_t updated;
};

/* A mark: whoever touches the page gets SIGBUS. False where there is none. */
static bool poison(char *page)
{
	struct poison p = { (uintptr_t)page, t_page(), 0, 0 };
	int uffd = t_uffd_open();

	return uffd >= 0 &&
	       t_uffd_register_missing(uffd, page, t_page()) == 0 &&
	       ioctl(uffd, _IOWR(UFFDIO, 0x08, struct poison), &p) == 0;
}

static const char *poisoned(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);
	char *mark = t_map(1);
	int64_t moved;
	int r;

	if (!poison(mark))
		return skip("nothing can be marked as poisoned");
	r = kmod_remap(dst, mark, 1, KMOD_HOLES, &moved);
	RIGHT("a mark at src", ended(r, moved, -EFAULT, -EFAULT));
	RIGHT("dst", t_check_absent(dst, 1));
	if (kmod_way() == KMOD_MODULE) {
		r = kmod_remap(mark, src, 1, 0, &moved);
		RIGHT("a mark at dst", ended(r, moved, -EEXIST, -EEXIST));
	}
	return moves(dst, src, PAGES, 1);
}

static void ignore_bus_error(int signo)
{
	(void)signo;
}

/* A page that memory failed under. It costs the machine a page. */
static const char *failed_memory(void)
{
	struct sigaction told = { .sa_handler = ignore_bus_error };
	char *src = kmod_map_src(2, 1), *dst = kmod_map_dst(2);
	int64_t moved;
	int r;

	/* The signal for it cannot be ignored, only caught. */
	sigaction(SIGBUS, &told, NULL);
	if (madvise(src + t_page(), t_page(), 100 /* MADV_HWPOISON */) != 0)
		return skip("no memory can be made to fail");
	r = kmod_remap(dst, src, 2, 0, &moved);
	RIGHT("up to it", ended(r, moved, -EAGAIN, 1));
	r = kmod_remap(dst + t_page(), src + t_page(), 1, 0, &moved);
	RIGHT("at it", ended(r, moved, -EFAULT, -EFAULT));
	return t_check_range(dst, 1, 1);
}

/* ---- what is counted ---- */

static const char *resident_set(void)
{
	char *src = kmod_map_src(300, 1), *dst = kmod_map_dst(300);
	uint64_t rss = status_kb("RssAnon:");

	RIGHT("move", moves(dst, src, 300, 1));
	/* Counters of this kind may be off by a batch for each CPU. */
	MUST(status_kb("RssAnon:") <= rss + 256 &&
		     status_kb("RssAnon:") + 256 >= rss,
	     "RssAnon %" PRIu64 " kB, was %" PRIu64, status_kb("RssAnon:"),
	     rss);
	if (munmap(dst, t_pages(300)) != 0)
		t_die("munmap");
	MUST(status_kb("RssAnon:") + 1200 - 256 <= rss,
	     "RssAnon %" PRIu64 " kB after unmapping, was %" PRIu64,
	     status_kb("RssAnon:"), rss);
	return NULL;
}

static uint64_t charged(const char *name)
{
	char path[80];

	snprintf(path, sizeof(path), KMOD_CGROUPS "/%s/memory.stat", name);
	return counter_in(path, "anon") / t_page();
}

/* Pages stay charged to where they were, and are uncharged from there. */
static const char *cgroup_charges(void)
{
	char *src, *dst = kmod_map_dst(512);
	uint64_t before;

	if (!kmod_into_cgroup("a"))
		return skip("no memory cgroups");
	src = kmod_map_src(512, 1);
	if (!kmod_into_cgroup("b"))
		t_die("changing the cgroup");
	before = charged("a");
	MUST(before >= 512, "%" PRIu64 " pages charged to begin with", before);
	RIGHT("move", moves(dst, src, 512, 1));
	/* memory.stat is brought up to date every two seconds. */
	t_sleep_ms(2500);
	MUST(charged("a") + 64 >= before && charged("a") <= before + 64,
	     "a: %" PRIu64 " pages, were %" PRIu64, charged("a"), before);
	MUST(charged("b") < 256, "b: %" PRIu64 " pages", charged("b"));
	munmap(dst, t_pages(512));
	t_sleep_ms(2500);
	MUST(charged("a") < 128, "a: %" PRIu64 " pages after unmapping",
	     charged("a"));
	kmod_into_cgroup("");
	return NULL;
}

static const char *info(void)
{
	struct pagemvio_info now;

	if (skip_unless_module())
		return NULL;
	now = kmod_info();
	MUST(now.size == sizeof(now) && now.version == PAGEMVIO_VERSION,
	     "size %u, version %u", now.size, now.version);
	MUST(now.calls == 0xf, "calls %" PRIx64, (uint64_t)now.calls);
	MUST(now.modes ==
		     (PAGEMVIO_MODE_DONTWAKE | PAGEMVIO_MODE_ALLOW_SRC_HOLES),
	     "modes %" PRIx64, (uint64_t)now.modes);
	MUST(now.max_ranges == PAGEMVIO_REMAPV_MAX && now.flush_pages > 0,
	     "%u ranges, %u pages for a flush", now.max_ranges,
	     now.flush_pages);
	return NULL;
}

static const char *counters(void)
{
	struct pagemvio_info before, after;
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);
	int64_t moved;

	if (skip_unless_module())
		return NULL;
	t_drop(src + t_page(), 2);
	before = kmod_info();
	kmod_remap(dst, src, PAGES, KMOD_HOLES, &moved);
	after = kmod_info();
	MUST(after.remap_calls >= before.remap_calls + 1, "calls");
	MUST(after.pages == before.pages + PAGES - 2, "pages: %" PRIu64,
	     (uint64_t)(after.pages - before.pages));
	MUST(after.holes == before.holes + 2, "holes: %" PRIu64,
	     (uint64_t)(after.holes - before.holes));
	MUST(after.flushes > before.flushes, "no flush");
	return NULL;
}

int main(void)
{
	static const struct kmod_test tests[] = {
		{ "at any offset, across page tables", across_tables },
		{ "both sides in one page table", within_table },
		{ "page tables are made on demand", tables_on_demand },
		{ "there and back, 200 times", there_and_back },
		{ "the zero page", zero_page },
		{ "zero pages among pages", zero_among_pages },
		{ "soft-dirty stays", soft_dirty },
		{ "soft-dirty is set at dst", soft_clean },
		{ "MADV_FREE and a store: dirty stays", stored_after_free },
		{ "MADV_FREE alone: whole or gone", only_freed },
		{ "EFAULT: marked as poisoned", poisoned },
		{ "EFAULT: memory that failed", failed_memory },
		{ "resident set", resident_set },
		{ "charges of memory cgroups", cgroup_charges },
		{ "INFO tells what there is", info },
		{ "INFO counts pages, holes, flushes", counters },
	};

	return kmod_main(tests, T_COUNT(tests));
}
