/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pages that are out: exclusive swap entries move as they are, without being
 * read in, and a page that is still (or again) in the swap cache goes along.
 *
 * swap zram: on memory, where pages are not cached for long; swap disk: on
 * /dev/vda, where they are.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kmod.h"
#include "rawuffd.h"
#include "vm/scenarios/lab.h"

#define PAGES 32
#define UNIT  (KMOD_HUGE / t_page())

static const char *device;

/* ---- out and in ---- */

static bool all_out(const char *p, size_t pages)
{
	return count_bits(p, pages, PM_SWAP) == pages;
}

/*
 * A page that has just come waits in a batch of the processor that brought it,
 * and MADV_PAGEOUT on another one leaves it alone, for ever if nothing else
 * happens there. move_pages() empties the batches of all, also for no page.
 */
static void empty_batches(void)
{
	void *page = NULL;
	int node = 0, status;

	syscall(SYS_move_pages, 0, 0ul, &page, &node, &status,
		2 /* MPOL_MF_MOVE */);
}

/* False where not all of them go; t_present() counts swap entries, too. */
static bool page_out(char *p, size_t pages)
{
	int i;

	for (i = 0; i < 200 && !all_out(p, pages); i++) {
		empty_batches();
		if (madvise(p, t_pages(pages), MADV_PAGEOUT) != 0)
			t_die("MADV_PAGEOUT");
		if (!all_out(p, pages))
			t_sleep_ms(20);
	}
	return all_out(p, pages);
}

/* Reads them into the swap cache; the entries stay entries. */
static void read_ahead(char *p, size_t pages)
{
	if (madvise(p, t_pages(pages), MADV_WILLNEED) != 0)
		t_die("MADV_WILLNEED");
	t_sleep_ms(100);
}

static uint64_t swapped_in(void)
{
	return counter_in("/proc/vmstat", "pswpin");
}

static const char *not_out(void)
{
	return skip("pages do not go to swap");
}

static const char *entries_move(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);
	uint64_t entry[PAGES], in, vm;
	struct pagemvio_info before;
	int64_t moved;
	size_t i;
	int r;

	if (!page_out(src, PAGES))
		return not_out();
	for (i = 0; i < PAGES; i++)
		entry[i] = pagemap_of(src + t_pages(i)) & PM_FRAME;
	before = kmod_info();
	in = swapped_in();
	vm = status_kb("VmSwap:");
	r = kmod_remap(dst, src, PAGES, 0, &moved);
	RIGHT("move", ended(r, moved, 0, PAGES));
	RIGHT("src", t_check_absent(src, PAGES));
	MUST(all_out(dst, PAGES), "%zu of %d are still out",
	     count_bits(dst, PAGES, PM_SWAP), PAGES);
	for (i = 0; i < PAGES; i++)
		MUST((pagemap_of(dst + t_pages(i)) & PM_FRAME) == entry[i],
		     "page %zu is at another place in the swap", i);
	MUST(swapped_in() == in, "%d pages were read in",
	     (int)(swapped_in() - in));
	MUST(status_kb("VmSwap:") == vm, "VmSwap %" PRIu64 ", was %" PRIu64,
	     status_kb("VmSwap:"), vm);
	if (kmod_way() == KMOD_MODULE)
		MUST(kmod_info().swap_entries == before.swap_entries + PAGES,
		     "%d entries are counted",
		     (int)(kmod_info().swap_entries - before.swap_entries));
	return t_check_range(dst, PAGES, 1);
}

static const char *out_again(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);
	int i;

	kmod_dst(src, PAGES);
	for (i = 0; i < 10; i++) {
		if (!page_out(src, PAGES))
			return not_out();
		RIGHT("out", moves(dst, src, PAGES, 1));
		RIGHT("in", moves(src, dst, PAGES, 1));
	}
	return NULL;
}

/*
 * On its way out, and still in the cache: what the page knows of its address
 * must be the new one, or whoever maps it there could not be found again.
 */
static const char *out_just_now(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);

	if (madvise(src, t_pages(PAGES), MADV_PAGEOUT) != 0)
		t_die("MADV_PAGEOUT");
	RIGHT("move", moves(dst, src, PAGES, 1));
	if (!page_out(dst, PAGES))
		return wrong("from dst they do not go out");
	return t_check_range(dst, PAGES, 1);
}

/* In the cache and not mapped: the page must know its new address. */
static const char *in_swap_cache(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);
	int64_t moved;
	int r;

	if (!page_out(src, PAGES))
		return not_out();
	read_ahead(src, PAGES);
	r = kmod_remap(dst, src, PAGES, 0, &moved);
	RIGHT("move", ended(r, moved, 0, PAGES));
	RIGHT("src", t_check_absent(src, PAGES));
	/* Whoever walks from the page to its mappings must find dst. */
	RIGHT("dst", t_check_range(dst, PAGES, 1));
	MUST(page_out(dst, PAGES), "from dst they do not go out");
	return t_check_range(dst, PAGES, 1);
}

/* Some present, some out, some in the cache, some holes. */
static const char *mixed(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);
	int64_t moved;
	size_t i;
	int r;

	if (!page_out(src, PAGES))
		return not_out();
	for (i = 0; i < PAGES; i += 4)
		(void)*(volatile char *)(src + t_pages(i));
	for (i = 1; i < PAGES; i += 4)
		t_drop(src + t_pages(i), 1);
	for (i = 2; i < PAGES; i += 4)
		read_ahead(src + t_pages(i), 1);
	r = kmod_remap(dst, src, PAGES, KMOD_HOLES, &moved);
	RIGHT("move", ended(r, moved, 0, PAGES));
	RIGHT("src", t_check_absent(src, PAGES));
	for (i = 0; i < PAGES; i++)
		RIGHT("dst", i % 4 == 1 ? t_check_absent(dst + t_pages(i), 1)
					: t_check(dst + t_pages(i), i + 1, 1));
	return NULL;
}

/* Written after it came in: what is in the swap is old. */
static const char *stored_after_in(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);

	if (!page_out(src, PAGES))
		return not_out();
	(void)*(volatile char *)src;
	t_fill_range(src, PAGES, 100);
	RIGHT("move", moves(dst, src, PAGES, 100));
	MUST(page_out(dst, PAGES), "from dst they do not go out");
	return t_check_range(dst, PAGES, 100);
}

static const char *clean_after_in(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);

	if (!page_out(src, PAGES))
		return not_out();
	RIGHT("in", t_check_range(src, PAGES, 1));
	RIGHT("move", moves(dst, src, PAGES, 1));
	MUST(page_out(dst, PAGES), "from dst they do not go out");
	return t_check_range(dst, PAGES, 1);
}

/* ---- what an entry tells ---- */

static const char *soft_clean(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);
	int64_t moved;
	int r;

	if (!page_out(src, PAGES))
		return not_out();
	if (!kmod_clear_soft_dirty(src))
		return skip("no soft-dirty bits");
	MUST(count_bits(src, PAGES, PM_SOFT_DIRTY) == 0,
	     "they are still dirty");
	r = kmod_remap(dst, src, PAGES, 0, &moved);
	RIGHT("move", ended(r, moved, 0, PAGES));
	MUST(count_bits(dst, PAGES, PM_SOFT_DIRTY) == PAGES,
	     "what has come to dst is not seen as a change");
	return t_check_range(dst, PAGES, 1);
}

/* From a range where a userfaultfd protects them to one where it may, or not.
 */
static const char *move_protected(char *dst, size_t protected)
{
	int uffd = kmod_wp_open();
	char *src = kmod_map_src(PAGES, 1);
	int64_t moved;
	int r;

	if (uffd < 0 || t_uffd_register_wp(uffd, src, t_pages(PAGES)) != 0 ||
	    kmod_protect(uffd, src, PAGES) != 0)
		return skip("no userfaultfd");
	if (!page_out(src, PAGES))
		return not_out();
	MUST(count_bits(src, PAGES, PM_WP) == PAGES,
	     "not protected to begin with");
	r = kmod_remap(dst, src, PAGES, 0, &moved);
	RIGHT("move", ended(r, moved, 0, PAGES));
	MUST(count_bits(dst, PAGES, PM_WP) == protected,
	     "%zu are protected, should be %zu", count_bits(dst, PAGES, PM_WP),
	     protected);
	return t_check_range(dst, PAGES, 1);
}

static const char *protected(void)
{
	char *dst = t_map(PAGES);
	int uffd = kmod_wp_open();

	if (kmod_way() == KMOD_MOVE)
		return skip("UFFDIO_MOVE loses write protection");
	if (uffd < 0 || t_uffd_register_wp(uffd, dst, t_pages(PAGES)) != 0)
		return skip("no userfaultfd");
	return move_protected(dst, PAGES);
}

static const char *protected_until_now(void)
{
	char *dst = t_map(PAGES);
	const char *what;

	if (kmod_way() != KMOD_MODULE &&
	    t_uffd_register_missing(kmod_fd, dst, t_pages(PAGES)) != 0)
		t_die("registering");
	what = move_protected(dst, 0);
	if (what != NULL)
		return what;
	alarm(10 * t_slow());
	t_fill_range(dst, PAGES, 50);
	return t_check_range(dst, PAGES, 50);
}

/* ---- what stays ---- */

static const char *shared_entries(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);
	int64_t moved;
	int go[2], r;
	pid_t pid;
	char byte;

	if (!page_out(src, PAGES) || pipe(go) != 0)
		return not_out();
	pid = fork();
	if (pid == 0) {
		close(go[1]);
		if (read(go[0], &byte, 1) < 0)
			_exit(3);
		_exit(t_check_range(src, PAGES, 1) == NULL ? 0 : 1);
	}
	MUST(all_out(src, PAGES), "they are not out any more");
	r = kmod_remap(dst, src, PAGES, 0, &moved);
	RIGHT("shared", ended(r, moved, -EBUSY, -EBUSY));
	RIGHT("dst", t_check_absent(dst, PAGES));
	close(go[1]);
	MUST(t_wait(pid) == 0, "the child has something else");
	if (madvise(src, t_pages(PAGES), MADV_POPULATE_WRITE) != 0)
		t_die("MADV_POPULATE_WRITE");
	return moves(dst, src, PAGES, 1);
}

static const char *occupied_by_entry(void)
{
	char *src = kmod_map_src(1, 1), *dst = kmod_map_dst(1);

	t_fill(dst, 9, 1);
	if (!page_out(dst, 1))
		return not_out();
	RIGHT("entry at dst", refuses(dst, src, 1, 1, -EEXIST));
	return t_check_range(dst, 1, 9);
}

/* ---- more than pages ---- */

static const char *huge_out(void)
{
	char *src = t_map_at(UNIT, KMOD_HUGE, 0, true);
	char *dst = kmod_dst(t_map_at(UNIT, KMOD_HUGE, 0, true), UNIT);

	t_fill_range(src, UNIT, 1);
	madvise(src, KMOD_HUGE, MADV_PAGEOUT);
	RIGHT("on its way", moves(dst, src, UNIT, 1));
	if (!page_out(dst, UNIT))
		return not_out();
	kmod_dst(src, UNIT);
	return moves(src, dst, UNIT, 1);
}

static const char *swapped_off(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);
	int64_t moved;
	int r;

	if (!page_out(src, PAGES))
		return not_out();
	r = kmod_remap(dst, src, PAGES, 0, &moved);
	RIGHT("move", ended(r, moved, 0, PAGES));
	if (swapoff(device) != 0)
		return wrong("swapoff: %d", errno);
	MUST(count_bits(dst, PAGES, PM_PRESENT) == PAGES,
	     "swapoff did not find them all");
	if (swapon(device, 0) != 0)
		return wrong("swapon: %d", errno);
	return t_check_range(dst, PAGES, 1);
}

/* ---- at once ---- */

struct race {
	char *src;
	char *dst;
	volatile bool over;
};

/* What is at dst or at src, wherever it is now, goes out and comes in. */
static void *disturb(void *arg)
{
	struct race *race = arg;
	unsigned int i;

	for (i = 0; !race->over; i++) {
		char *p = i % 2 == 0 ? race->src : race->dst;

		madvise(p, t_pages(PAGES),
			i % 3 == 2 ? MADV_WILLNEED : MADV_PAGEOUT);
	}
	return NULL;
}

static const char *moves_meanwhile(struct race *race)
{
	int64_t moved, done;
	int i, r;

	for (i = 0; i < 300; i++) {
		char *from = i % 2 == 0 ? race->src : race->dst;
		char *to = i % 2 == 0 ? race->dst : race->src;

		for (done = 0; done<(int64_t)t_pages(PAGES); done += moved> 0
				       ? moved
				       : 0) {
			r = kmod_remap(to + done, from + done,
				       PAGES - (size_t)done / t_page(), 0,
				       &moved);
			if (r != 0 && r != -EAGAIN && r != -EBUSY)
				return wrong("move %d: %d at %" PRId64, i, r,
					     done);
		}
		if (i % 10 == 0)
			RIGHT("dst", t_check_range(to, PAGES, 1));
	}
	return t_check_range(race->src, PAGES, 1);
}

static const char *at_once(void)
{
	struct race race = { .src = kmod_map_src(PAGES, 1),
			     .dst = kmod_map_dst(PAGES) };
	const char *what;
	pthread_t thread;

	kmod_dst(race.src, PAGES);
	if (!page_out(race.src, PAGES))
		return not_out();
	if (pthread_create(&thread, NULL, disturb, &race) != 0)
		t_die("pthread_create");
	what = moves_meanwhile(&race);
	race.over = true;
	pthread_join(thread, NULL);
	return what;
}

static bool switch_on(const char *which)
{
	char command[80];

	device = strcmp(which, "disk") == 0 ? "/dev/vda" : "/dev/zram0";
	if (strcmp(which, "zram") == 0) {
		t_write_file("/sys/block/zram0/reset", "1");
		if (!t_write_file("/sys/block/zram0/disksize", "256M"))
			return false;
	}
	snprintf(command, sizeof(command), "mkswap %s >/dev/null 2>&1", device);
	return system(command) == 0 && swapon(device, 0) == 0;
}

int main(int argc, char **argv)
{
	static const struct kmod_test tests[] = {
		{ "exclusive entries move, and are not read in", entries_move },
		{ "out and in again, ten times", out_again },
		{ "out just now, and still in the swap cache", out_just_now },
		{ "read ahead into the swap cache", in_swap_cache },
		{ "present, out, cached, holes", mixed },
		{ "stored to since it came in", stored_after_in },
		{ "clean since it came in", clean_after_in },
		{ "soft-dirty is set at dst", soft_clean },
		{ "write-protected, into a registered range", protected },
		{ "write-protected, into any other range",
		  protected_until_now },
		{ "EBUSY: entries shared with a child", shared_entries },
		{ "EEXIST: an entry at dst", occupied_by_entry },
		{ "a huge page that goes out", huge_out },
		{ "swapoff finds entries at dst", swapped_off },
		{ "moved while they go out and come in", at_once },
	};
	struct tap tap = { 0, 0 };

	lab_only();
	if (argc < 2 || !switch_on(argv[1])) {
		tap_skip(&tap, "swap", "no device to swap to");
		return tap_done(&tap);
	}
	kmod_run(&tap, tests, T_COUNT(tests));
	tap_ok(&tap, swapoff(device) == 0, "swapoff in the end");
	return tap_done(&tap);
}
