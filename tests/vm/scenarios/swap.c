/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Swap against moves: pages that are out, in the swap cache, or on their way
 * in or out while they are moved; entries shared by fork; huge pages swapped
 * out; swapoff and memory pressure in between. On a disk pages stay in the
 * swap cache for long, on zram only for an instant.
 *
 * All is done in a child: when it has gone, the kernel has counted its pages
 * and says so in its log if there is one too many or too few.
 *
 * Takes zram and a raw disk as /dev/vda; does without one of them.
 */
#include "lab.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cases.h"
#include "oracle.h"
#include "proc.h"
#include "storm.h"
#include "t.h"
#include "ways.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

#define PAGES	   64
#define HUGE_PAGES 512
#define HUGE_BYTES ((size_t)2 << 20)
#define CGROUP	   "/sys/fs/cgroup/pagemv-swap"
#define PRESSED	   "8M" /* what the cgroup may have under memory pressure */
#define THP	   "/sys/kernel/mm/transparent_hugepage/"

/* The page is on its way to the swap, in it, or in the swap cache. */
#define PM_SWAPPED (UINT64_C(1) << 62)
#define PM_PRESENT (UINT64_C(1) << 63)

enum state {
	IN,	/* in memory and mapped */
	OUT,	/* in swap only */
	CACHED, /* a swap entry, and its page in the swap cache */
	HOLE,
	STATES
};

static const char *const state_names[STATES] = { "in memory", "out",
						 "in the swap cache",
						 "absent" };

/* ---- swap areas ---- */

struct area {
	const char *name;
	const char *path;
	bool there;
};

static struct area zram = { "zram", "/dev/zram0", false };
static struct area disk = { "disk", "/dev/vda", false };
static struct area *const areas[] = { &zram, &disk };

static void make_area(struct area *a)
{
	char command[80];

	if (a == &zram) {
		t_write_file("/sys/block/zram0/reset", "1");
		t_write_file("/sys/block/zram0/disksize", "256M");
	}
	snprintf(command, sizeof(command), "mkswap %s >/dev/null 2>&1",
		 a->path);
	a->there = access(a->path, W_OK) == 0 && system(command) == 0;
}

/* With one priority for all, so that two are filled in turn. */
static void switch_on(const struct area *a)
{
	if (swapon(a->path, SWAP_FLAG_PREFER | 1) != 0)
		t_die("swapon %s: %d", a->path, errno);
}

static void switch_off(const struct area *a)
{
	if (swapoff(a->path) != 0)
		t_die("swapoff %s: %d", a->path, errno);
}

/* ---- pages in and out ---- */

/* Threads and children ask as well: a descriptor for each question. */
static void read_entries(const char *addr, uint64_t *entries, size_t pages)
{
	off_t at = (off_t)((uintptr_t)addr / t_page() * sizeof(*entries));
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	size_t bytes = pages * sizeof(*entries);

	if (fd < 0 || pread(fd, entries, bytes, at) != (ssize_t)bytes)
		t_die("reading pagemap");
	close(fd);
}

static size_t count_swapped(const char *addr, size_t pages)
{
	uint64_t entries[2 * HUGE_PAGES];
	size_t i, n = 0;

	read_entries(addr, entries, pages);
	for (i = 0; i < pages; i++)
		n += (entries[i] & PM_SWAPPED) != 0;
	return n;
}

static enum state state_of(char *page)
{
	unsigned char in_core = 0;
	uint64_t entry;

	read_entries(page, &entry, 1);
	if ((entry & PM_PRESENT) != 0)
		return IN;
	if ((entry & PM_SWAPPED) == 0)
		return HOLE;
	/* For a swap entry: is its page in the swap cache? */
	if (mincore(page, t_page(), &in_core) != 0)
		t_die("mincore");
	return (in_core & 1) != 0 ? CACHED : OUT;
}

/*
 * To one processor, or back to all. Pages that have just been used are in a
 * batch of the processor that did it, and only from there can they be taken.
 */
static void stay_here(bool stay)
{
	static cpu_set_t all;
	cpu_set_t here;

	if (!stay) {
		(void)sched_setaffinity(0, sizeof(all), &all);
		return;
	}
	if (sched_getaffinity(0, sizeof(all), &all) != 0)
		t_die("sched_getaffinity");
	CPU_ZERO(&here);
	CPU_SET((size_t)sched_getcpu(), &here);
	(void)sched_setaffinity(0, sizeof(here), &here);
}

/* Until all of them are out or it does not get better. */
static size_t page_out(char *addr, size_t pages)
{
	size_t out = 0;
	int i;

	for (i = 0; i < 50 && out < pages; i++) {
		if (i > 0)
			t_sleep_ms(2);
		madvise(addr, t_pages(pages), MADV_PAGEOUT);
		out = count_swapped(addr, pages);
	}
	return out;
}

/* NULL when nearly all are out: enough for a test of what is out. */
static const char *all_out(char *addr, size_t pages)
{
	size_t out = page_out(addr, pages);

	if (out >= pages - pages / 8)
		return NULL;
	return wrong("only %zu of %zu pages could be swapped out", out, pages);
}

static size_t count_state(char *addr, size_t pages, enum state state)
{
	size_t i, n = 0;

	for (i = 0; i < pages; i++)
		n += state_of(addr + t_pages(i)) == state;
	return n;
}

/* Linux 5.19. (A limit of the cgroup does it as well, but who writes it has to
 * wait for being over it.) */
static bool can_empty_cache(void)
{
	return access(CGROUP "/memory.reclaim", W_OK) == 0;
}

/* Has the kernel take swapped pages out of the swap cache, too. */
static void empty_cache(char *addr, size_t pages)
{
	int i;

	if (!can_empty_cache())
		return;
	for (i = 0; i < 50 && count_state(addr, pages, CACHED) > 0; i++) {
		t_write_file(CGROUP "/memory.reclaim", "1M");
		t_sleep_ms(1);
	}
}

/* ---- results of moves ---- */

/* NULL when no page is left, else what is there. */
static const char *gone(const char *src, size_t pages)
{
	static const char *const kinds[] = { "absent", "zero", "whole",
					     "torn" };
	size_t i = t_first_present(src, pages);

	if (i == pages)
		return NULL;
	return wrong("src: page %zu is %s, not absent", i,
		     kinds[t_look(src + t_pages(i), NULL, NULL)]);
}

/* ---- sections: one body, each way, each area ---- */

struct area_section {
	const char *name;
	const char *(*body)(struct t_case *c);
	/* What was seen in all cases of an area; may be NULL. */
	void (*end)(struct tap *tap, const struct area *a);
	const char *(*why_not)(void); /* may be NULL */
};

static void run_cases(struct tap *tap, const struct area_section *s,
		      const struct area *a)
{
	struct t_case c;
	char name[160];

	switch_on(a);
	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		snprintf(name, sizeof(name), "%s: %s: %s", a->name, s->name,
			 c.name);
		result(tap, s->body(&c), name);
	}
	if (s->end != NULL)
		s->end(tap, a);
	switch_off(a);
}

static void run_in_areas(struct tap *tap, const struct area_section *s)
{
	const char *why = s->why_not == NULL ? NULL : s->why_not();
	size_t i;

	if (why != NULL) {
		tap_skip(tap, s->name, why);
		return;
	}
	for (i = 0; i < T_COUNT(areas); i++)
		if (areas[i]->there)
			run_cases(tap, s, areas[i]);
}

/* Numbers of the cases of one area, in words. */
static char numbers[400];

__attribute__((format(printf, 1, 2))) static void note(const char *f, ...)
{
	size_t len = strlen(numbers);
	va_list ap;

	if (len > 0)
		len += (size_t)snprintf(numbers + len, sizeof(numbers) - len,
					", ");
	va_start(ap, f);
	vsnprintf(numbers + len, sizeof(numbers) - len, f, ap);
	va_end(ap);
}

static void say_numbers(const struct area *a, const char *topic)
{
	lab_seen(topic, "%s: %s", a->name, numbers);
	numbers[0] = '\0';
}

/* ---- pages that are out ---- */

static const char *move_swapped(struct t_case *c)
{
	char *src = t_case_map(c, PAGES), *dst = t_case_heap(c, PAGES);
	struct pagemv_result res;
	const char *what;
	size_t out, still;
	uint64_t reads;
	int r;

	t_fill_range(src, PAGES, 1);
	what = all_out(src, PAGES);
	if (what != NULL)
		return what;
	empty_cache(src, PAGES);
	out = count_state(src, PAGES, OUT);
	reads = vmstat("pswpin");
	r = move(c, dst, src, PAGES, 0, &res);
	reads = vmstat("pswpin") - reads;
	still = count_swapped(dst, PAGES);
	if (c->variant == T_NORMAL)
		note("%s %zu of %zu (%" PRIu64 " read)",
		     pagemv_mechanism_name(c->opts.mechanism), still, out,
		     reads);
	what = done_all(c, r, &res, PAGES);
	if (what == NULL)
		what = gone(src, PAGES);
	if (what == NULL)
		what = wrong_at("dst", t_check_range(dst, PAGES, 1));
	if (what == NULL && can_empty_cache() && out < PAGES / 2)
		what = wrong("only %zu of %d pages were out", out, PAGES);
	return what;
}

static void end_swapped(struct tap *tap, const struct area *a)
{
	(void)tap;
	say_numbers(a, "pages still in swap after a move");
}

/* ---- ranges of which some pages are out ---- */

static size_t mixed[STATES];
static uint64_t mixed_seed;

static void mix_states(char *addr, size_t pages, bool *hole)
{
	struct t_random random =
		t_random_make(t_env("PMV_SEED", 1) * 1000 + ++mixed_seed);
	volatile uint64_t *counter;
	size_t i;

	for (i = 0; i < pages; i++) {
		char *page = addr + t_pages(i);

		counter = &((struct t_head *)(void *)page)->counter;
		hole[i] = false;
		switch (t_random_below(&random, 6)) {
		case 0:
			t_drop(page, 1);
			hole[i] = true;
			break;
		case 1:
			*counter = *counter + 1;
			break;
		case 2:
			(void)*counter;
			break;
		case 3:
			madvise(page, t_page(), MADV_WILLNEED);
			break;
		default:
			break;
		}
	}
}

static const char *check_mixed(char *src, char *dst, const bool *hole)
{
	const char *what = gone(src, PAGES);
	size_t i;

	for (i = 0; i < PAGES && what == NULL; i++) {
		char *page = dst + t_pages(i);

		what = wrong_at("dst", hole[i] ? t_check_absent(page, 1)
					       : t_check(page, 1 + i, 1));
	}
	return what;
}

static const char *move_mixed(struct t_case *c)
{
	char *src = t_case_map(c, PAGES), *dst = t_case_heap(c, PAGES);
	struct pagemv_result res;
	bool hole[PAGES];
	const char *what;
	size_t i;

	t_fill_range(src, PAGES, 1);
	what = all_out(src, PAGES);
	if (what != NULL)
		return what;
	empty_cache(src, PAGES);
	mix_states(src, PAGES, hole);
	for (i = 0; i < PAGES; i++)
		mixed[state_of(src + t_pages(i))]++;
	what = done_all(c, move(c, dst, src, PAGES, PAGEMV_MOVE_HOLES, &res),
			&res, PAGES);
	return what != NULL ? what : check_mixed(src, dst, hole);
}

static void end_mixed(struct tap *tap, const struct area *a)
{
	char name[80];
	size_t i;

	for (i = 0; i < STATES; i++) {
		snprintf(name, sizeof(name), "%s: partly swapped: pages %s",
			 a->name, state_names[i]);
		if (i == OUT && mixed[i] == 0 && !can_empty_cache())
			tap_skip(tap, name, "nothing empties the swap cache");
		else
			tap_ok(tap, mixed[i] > 0, name);
		note("%zu %s", mixed[i], state_names[i]);
		mixed[i] = 0;
	}
	say_numbers(a, "partly swapped ranges");
}

/* ---- entries shared by fork ---- */

enum sharer {
	LOOKS_ON, /* a child that has the entries as well */
	TAKES_IN, /* a child that has had half of them swapped in */
	HAS_GONE, /* a child that had them */
};

struct child {
	pid_t pid;
	int go[2];
};

/* Looks at its own pages when the parent has moved its. */
__attribute__((noreturn)) static void be_child(char *src, enum sharer sharer,
					       int ready, int go)
{
	volatile char *page = src;
	char byte = 0;
	size_t i;

	for (i = 0; i < PAGES && sharer == TAKES_IN; i += 2)
		byte = page[t_pages(i)];
	if (write(ready, &byte, 1) != 1 || read(go, &byte, 1) != 0)
		_exit(2);
	_exit(t_check_range(src, PAGES, 1) == NULL ? 0 : 1);
}

static struct child fork_child(char *src, enum sharer sharer)
{
	struct child child;
	int ready[2];
	char byte;

	if (pipe(child.go) != 0 || pipe(ready) != 0)
		t_die("pipe");
	child.pid = fork();
	if (child.pid < 0)
		t_die("fork");
	if (child.pid == 0) {
		close(child.go[1]);
		be_child(src, sharer, ready[1], child.go[0]);
	}
	close(child.go[0]);
	if (read(ready[0], &byte, 1) != 1)
		t_die("the child does not answer");
	close(ready[0]);
	close(ready[1]);
	return child;
}

static const char *end_child(const struct child *child)
{
	int status;

	close(child->go[1]);
	status = t_wait(child->pid);
	return status == 0 ? NULL
			   : wrong("the child's pages: status %d", status);
}

static const char *move_shared(struct t_case *c, enum sharer sharer)
{
	char *src = t_case_map(c, PAGES), *dst = t_case_heap(c, PAGES);
	const char *what, *child_wrong = NULL;
	struct child child;

	t_fill_range(src, PAGES, 1);
	what = all_out(src, PAGES);
	if (what != NULL)
		return what;
	child = fork_child(src, sharer);
	if (sharer == HAS_GONE)
		child_wrong = end_child(&child);
	what = move_and_check(c, dst, src, PAGES, 1, 0);
	if (what == NULL && c->way == T_MOVE && stats_of(c).made_exclusive == 0)
		what = "no entry was shared";
	if (sharer != HAS_GONE)
		child_wrong = end_child(&child);
	return what != NULL ? what : child_wrong;
}

static const char *move_looked_on(struct t_case *c)
{
	return move_shared(c, LOOKS_ON);
}

static const char *move_taken_in(struct t_case *c)
{
	return move_shared(c, TAKES_IN);
}

static const char *move_left_behind(struct t_case *c)
{
	return move_shared(c, HAS_GONE);
}

/* ---- dst swapped out, and the other calls ---- */

/* A page that is out is a page: it is in the way as any other. */
static const char *move_onto_swapped(struct t_case *c)
{
	char *src = t_case_map(c, PAGES), *dst = t_case_heap(c, PAGES);
	struct pagemv_result res;
	const char *what;
	int r;

	t_fill_range(src, PAGES, 1);
	t_fill_range(dst, PAGES, 101);
	what = all_out(dst, PAGES);
	if (what != NULL)
		return what;
	r = move(c, dst, src, PAGES, 0, &res);
	if (r != -EEXIST || res.reason != PAGEMV_REASON_OCCUPIED)
		return wrong("onto a page: returned %d (%s)", r,
			     pagemv_reason_string(res.reason));
	what = wrong_at("src", t_check_range(src, PAGES, 1));
	if (what == NULL)
		what = wrong_at("dst", t_check_range(dst, PAGES, 101));
	if (what == NULL)
		what = all_out(dst, PAGES);
	if (what != NULL)
		return what;
	what = done_all(c, move(c, dst, src, PAGES, PAGEMV_MOVE_REPLACE, &res),
			&res, PAGES);
	if (what == NULL)
		what = gone(src, PAGES);
	return what != NULL ? what
			    : wrong_at("dst", t_check_range(dst, PAGES, 1));
}

static const char *exchange_swapped(struct t_case *c)
{
	char *a = t_case_heap(c, PAGES), *b = t_case_heap(c, PAGES);
	const struct pagemv_move_opts opts = t_opts(c, 0);
	struct pagemv_result res;
	const char *what;
	int r;

	t_fill_range(a, PAGES, 1);
	t_fill_range(b, PAGES, 101);
	what = all_out(a, PAGES);
	if (what == NULL)
		what = all_out(b, PAGES / 2);
	if (what != NULL)
		return what;
	r = pagemv_exchange(c->pv, a, b, t_pages(PAGES), &opts, &res);
	what = done_all(c, r, &res, PAGES);
	if (what == NULL)
		what = wrong_at("a", t_check_range(a, PAGES, 101));
	return what != NULL ? what : wrong_at("b", t_check_range(b, PAGES, 1));
}

/* As memmove() has it, up and down by a few pages. */
static const char *move_overlapping(struct t_case *c)
{
	char *heap = t_case_heap(c, PAGES + 5);
	struct pagemv_result res;
	const char *what;

	t_fill_range(heap, PAGES, 1);
	what = all_out(heap, PAGES);
	if (what != NULL)
		return what;
	what = done_all(c, move(c, heap + t_pages(5), heap, PAGES, 0, &res),
			&res, PAGES);
	if (what == NULL)
		what = all_out(heap + t_pages(5), PAGES);
	if (what != NULL)
		return what;
	what = done_all(c, move(c, heap, heap + t_pages(5), PAGES, 0, &res),
			&res, PAGES);
	return what != NULL ? what
			    : wrong_at("dst", t_check_range(heap, PAGES, 1));
}

static const char *relocate_swapped(struct t_case *c)
{
	const struct pagemv_move_opts opts = t_opts(c, 0);
	char *src = t_case_map(c, PAGES), *dst = t_case_heap(c, PAGES);
	struct pagemv_result res;
	const char *what;
	int r;

	/* All but 100 bytes at each end. */
	t_fill_range(src, PAGES, 1);
	what = all_out(src, PAGES);
	if (what != NULL)
		return what;
	r = pagemv_relocate(c->pv, dst + 100, src + 100, t_pages(PAGES) - 200,
			    &opts, &res);
	if (r != 0)
		return wrong("returned %d (%s)", r,
			     pagemv_reason_string(res.reason));
	memcpy(dst, src, 100);
	memcpy(dst + t_pages(PAGES) - 100, src + t_pages(PAGES) - 100, 100);
	return wrong_at("dst", t_check_range(dst, PAGES, 1));
}

/* ---- huge pages ---- */

static uint64_t huge_out, huge_made;

static const char *no_huge_pages(void)
{
	return access(THP "enabled", W_OK) == 0
		       ? NULL
		       : "this kernel has no huge pages";
}

static const char *no_large_folios(void)
{
	return access(THP "hugepages-64kB/enabled", W_OK) == 0
		       ? NULL
		       : "this kernel has no folios between base and huge";
}

static char *huge_heap(struct t_case *c, size_t off_bytes)
{
	char *heap = t_case_map_at(c, HUGE_PAGES, HUGE_BYTES, off_bytes, true);

	t_register(c->pv, heap, HUGE_PAGES);
	return heap;
}

/* Out as a whole and moved; half of it out again, and moved to where nothing
 * is aligned; out again, and back. */
static const char *move_huge(struct t_case *c)
{
	char *src = t_case_map_at(c, HUGE_PAGES, HUGE_BYTES, 0, true);
	char *even = huge_heap(c, 0), *odd = huge_heap(c, t_page());
	const char *what;
	uint64_t whole;

	t_fill_range(src, HUGE_PAGES, 1);
	huge_made += t_huge_bytes(src, t_pages(HUGE_PAGES)) / HUGE_BYTES;
	whole = vmstat("thp_swpout");
	what = all_out(src, HUGE_PAGES);
	huge_out += vmstat("thp_swpout") - whole;
	if (what == NULL)
		what = move_and_check(c, even, src, HUGE_PAGES, 1, 0);
	if (what == NULL)
		what = all_out(even + t_pages(50), HUGE_PAGES / 2);
	if (what == NULL)
		what = move_and_check(c, odd, even, HUGE_PAGES, 1, 0);
	if (what == NULL)
		what = all_out(odd, HUGE_PAGES);
	if (what == NULL)
		what = move_and_check(c, even, odd, HUGE_PAGES, 1, 0);
	return what;
}

/* A huge page in memory of which some base pages are out. */
static const char *move_broken_huge(struct t_case *c)
{
	char *src = t_case_map_at(c, HUGE_PAGES, HUGE_BYTES, 0, true);
	char *dst = huge_heap(c, 0);
	const char *what;

	t_fill_range(src, HUGE_PAGES, 1);
	what = all_out(src + t_pages(100), PAGES);
	return what != NULL ? what
			    : move_and_check(c, dst, src, HUGE_PAGES, 1, 0);
}

static void end_huge(struct tap *tap, const struct area *a)
{
	char name[80];

	snprintf(name, sizeof(name), "%s: huge pages were there", a->name);
	tap_ok(tap, huge_made > 0, name);
	lab_seen("huge pages swapped out whole", "%s: %" PRIu64 " of %" PRIu64,
		 a->name, huge_out, huge_made);
	huge_out = huge_made = 0;
}

static uint64_t large_swapped(void)
{
	char text[32] = "0";

	t_read_file(THP "hugepages-64kB/stats/swpout", text, sizeof(text));
	return strtoull(text, NULL, 10);
}

/* The same with folios of 64 KiB, which are never aligned as huge pages. */
static const char *move_large(struct t_case *c)
{
	size_t pages = 4 * PAGES;
	char *src = t_case_map_at(c, pages, HUGE_BYTES, 64 << 10, true);
	char *dst = t_case_map_at(c, pages, HUGE_BYTES, 64 << 10, true);
	uint64_t whole = large_swapped();
	const char *what;

	/* A fault in registered memory brings no such folio. */
	t_fill_range(src, pages, 1);
	t_register(c->pv, src, pages);
	t_register(c->pv, dst, pages);
	huge_made += pages / 16;
	what = all_out(src, pages);
	huge_out += large_swapped() - whole;
	if (what == NULL)
		what = move_and_check(c, dst, src, pages, 1, 0);
	if (what == NULL)
		what = all_out(dst + t_pages(5), pages / 2);
	return what != NULL ? what : move_and_check(c, src, dst, pages, 1, 0);
}

static void end_large(struct tap *tap, const struct area *a)
{
	(void)tap;
	lab_seen("folios of 64 KiB swapped out whole",
		 "%s: %" PRIu64 " of %" PRIu64, a->name, huge_out, huge_made);
	huge_out = huge_made = 0;
}

static const struct area_section sections[] = {
	{ "pages that are out", move_swapped, end_swapped, NULL },
	{ "partly swapped", move_mixed, end_mixed, NULL },
	{ "shared with a child", move_looked_on, NULL, NULL },
	{ "half swapped in by a child", move_taken_in, NULL, NULL },
	{ "shared with a child that is gone", move_left_behind, NULL, NULL },
	{ "onto pages that are out", move_onto_swapped, NULL, NULL },
	{ "exchange", exchange_swapped, NULL, NULL },
	{ "overlap", move_overlapping, NULL, NULL },
	{ "any bytes", relocate_swapped, NULL, NULL },
	{ "huge", move_huge, end_huge, no_huge_pages },
	{ "partly swapped huge pages", move_broken_huge, NULL, no_huge_pages },
	{ "folios of 64 KiB", move_large, end_large, no_large_folios },
};

/* ---- storms ---- */

static struct {
	uint64_t out;	   /* pages seen in swap or on their way */
	uint64_t readings; /* of pages, ahead or by touching them */
	uint64_t switched; /* off and on again */
	uint64_t moved;
	uint64_t unnoticed; /* see storm.h */
} storms;

static void add(uint64_t *n, uint64_t more)
{
	__atomic_fetch_add(n, more, __ATOMIC_RELAXED);
}

static void storm_out(struct storm *s, struct t_random *random)
{
	size_t pages;
	char *run = storm_pick(s, random, &pages);

	madvise(run, t_pages(pages), MADV_PAGEOUT);
	add(&storms.out, count_swapped(run, pages));
	t_sleep_ms((unsigned int)t_random_below(random, 3));
}

/* Into the swap cache; pages of the source also into the page table. */
static void storm_in(struct storm *s, struct t_random *random)
{
	size_t pages, i;
	char *run = storm_pick(s, random, &pages);
	size_t off = (uintptr_t)run - (uintptr_t)s->src;
	size_t swapped = count_swapped(run, pages);

	add(&storms.out, swapped);
	if (madvise(run, t_pages(pages), MADV_WILLNEED) == 0)
		add(&storms.readings, swapped);
	if (off / t_page() >= s->src_pages)
		pages = 0;
	for (i = 0; i < pages; i++)
		__atomic_load_n((uint64_t *)(void *)(run + t_pages(i)),
				__ATOMIC_RELAXED);
	t_sleep_ms((unsigned int)t_random_below(random, 3));
}

/* The one that is not the only one, where there are two. */
static const struct area *area_to_switch(void)
{
	return disk.there ? &disk : &zram;
}

static void storm_off_and_on(struct storm *s, struct t_random *random)
{
	const struct area *a = area_to_switch();

	if (swapoff(a->path) != 0) {
		storm_wrong(s, "swapoff %s: %d", a->path, errno);
		return;
	}
	t_sleep_ms((unsigned int)t_random_below(random, 4));
	switch_on(a);
	add(&storms.switched, 1);
	t_sleep_ms((unsigned int)t_random_below(random, 8));
}

/* Has the kernel find pages that it can do without; looks at all of them. */
static void storm_reclaim(struct storm *s, struct t_random *random)
{
	size_t i, n;

	(void)random;
	/* All until something has gone out: the kernel looks at pages twice
	 * before it takes them, and there are colder ones than those that move:
	 * the hog's. 6.12 took no others for 1M. */
	if (can_empty_cache())
		t_write_file(CGROUP "/memory.reclaim",
			     __atomic_load_n(&storms.out, __ATOMIC_RELAXED) == 0
				     ? PRESSED
				     : "64K");
	n = count_swapped(s->src, s->src_pages);
	for (i = 0; i < STORM_MOVERS && s->heaps[i] != NULL; i++)
		n += count_swapped(s->heaps[i], s->heap_pages);
	add(&storms.out, n);
	t_sleep_ms(10);
}

static void storm_sum(struct storm *s)
{
	storms.moved += s->moved_pages + s->copied_pages;
	storms.unnoticed += s->unnoticed_pages;
}

/* Nobody but the movers and the swap. */
static const struct storm_plan swap_plan = {
	.name = "swapping",
	.ways = T_WAYS_LIVE,
	.ms = 300,
	.disturb = { storm_out, storm_in },
	.tear_down = storm_sum,
};

static const struct storm_plan off_plan = {
	.name = "swapoff",
	.ways = T_WAYS_LIVE,
	.ms = 300,
	.disturb = { storm_out, storm_off_and_on },
	.tear_down = storm_sum,
};

static const struct storm_plan huge_plan = {
	.name = "swapping huge pages",
	.ways = T_WAY_BIT(T_AUTO) | T_WAY_BIT(T_AUTO_REMAP) | T_WAY_BIT(T_MOVE),
	.pages = 2 * HUGE_PAGES,
	.longest_pages = PAGES,
	.ms = 300,
	.huge = true,
	.disturb = { storm_out, storm_in },
	.tear_down = storm_sum,
};

/* A part of what the cgroup may have: the hog makes it too little. */
static const struct storm_plan pressure_plan = {
	.name = "memory pressure",
	.ways = T_WAY_BIT(T_AUTO) | T_WAY_BIT(T_AUTO_REMAP),
	.pages = 256,
	.longest_pages = PAGES,
	.ms = 300,
	.store_pause_us = 500,
	.disturb = { storm_reclaim },
	.tear_down = storm_sum,
};

static void run_storm(struct tap *tap, const struct storm_plan *plan)
{
	bool switches = plan->disturb[1] == storm_off_and_on;
	uint64_t written = vmstat("pswpout");
	char name[80];

	memset(&storms, 0, sizeof(storms));
	storm_run(tap, plan);
	written = vmstat("pswpout") - written;
	snprintf(name, sizeof(name), "%s: pages were swapped while they moved",
		 plan->name);
	tap_ok(tap, storms.out > 0 && (!switches || storms.switched > 0), name);
	note("%" PRIu64 " pages moved, %" PRIu64 " seen in swap", storms.moved,
	     storms.out);
	/* Those of the hog among them. */
	tap_say(stdout, "%s: %" PRIu64 " pages written to swap", plan->name,
		written);
	if (storms.readings > 0)
		note("%" PRIu64 " read ahead", storms.readings);
	if (storms.unnoticed > 0)
		note("%" PRIu64 " moved and told as EEXIST", storms.unnoticed);
	if (switches)
		note("%" PRIu64 " times off and on", storms.switched);
	lab_seen(plan->name, "%s", numbers);
	numbers[0] = '\0';
}

#define HOG_PAGES 2560

/* Stores to its pages all the time, in any order, until it is ended. */
static pid_t start_hog(void)
{
	struct t_random random = t_random_make(7);
	pid_t pid = fork();
	char *memory;

	if (pid < 0)
		t_die("fork");
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	memory = t_map(HOG_PAGES);
	for (;;)
		memory[t_pages(t_random_below(&random, HOG_PAGES))]++;
}

static void run_pressure(struct tap *tap)
{
	pid_t hog;

	if (!t_write_file(CGROUP "/memory.max", PRESSED)) {
		tap_skip(tap, pressure_plan.name, "no memory cgroup");
		return;
	}
	hog = start_hog();
	run_storm(tap, &pressure_plan);
	kill(hog, SIGKILL);
	(void)t_wait(hog);
	t_write_file(CGROUP "/memory.max", "max");
}

static void run_storms(struct tap *tap)
{
	size_t i;

	/* The fast one first by itself: on a disk it is mostly waiting. */
	for (i = 0; i < T_COUNT(areas); i++) {
		if (!areas[i]->there)
			continue;
		switch_on(areas[i]);
		if (storms.moved == 0)
			run_storm(tap, &swap_plan);
	}
	run_storm(tap, &off_plan);
	if (no_huge_pages() == NULL)
		run_storm(tap, &huge_plan);
	else
		tap_skip(tap, huge_plan.name, no_huge_pages());
	run_pressure(tap);
	for (i = 0; i < T_COUNT(areas); i++)
		if (areas[i]->there)
			switch_off(areas[i]);
}

/* ---- what the library makes of swap ---- */

static void check_quirk(struct tap *tap)
{
	const struct area *a = zram.there ? &zram : &disk;
	const struct pagemv_mech_caps *m;
	struct t_case c;
	bool was, is;

	t_cases(&c, T_WAY_BIT(T_AUTO));
	t_next_case(&c);
	was = c.caps.mech[PAGEMV_MECH_MOVE].available != 0;
	while (t_next_case(&c))
		;
	switch_on(a);
	t_cases(&c, T_WAY_BIT(T_AUTO));
	t_next_case(&c);
	m = &c.caps.mech[PAGEMV_MECH_MOVE];
	is = m->available != 0;
	if ((c.caps.quirks & PAGEMV_QUIRK_SWAP) != 0)
		tap_ok(tap, was && !is && m->reason == PAGEMV_REASON_KNOWN_BAD,
		       "UFFDIO_MOVE is avoided while swap is on");
	else
		tap_ok(tap, was == is, "UFFDIO_MOVE is there with swap, too");
	lab_seen("UFFDIO_MOVE while swap is on", "%s",
		 is ? "used" : pagemv_reason_string(m->reason));
	while (t_next_case(&c))
		;
	switch_off(a);
}

/* ---- settings of the whole system ---- */

static struct {
	const char *path;
	const char *set;
	char was[80];
} knobs[] = {
	{ THP "enabled", "madvise", "" },
	{ THP "hugepages-64kB/enabled", "madvise", "" },
	/* khugepaged would put pages of zeros where pages have left. */
	{ THP "khugepaged/scan_sleep_millisecs", "100000000", "" },
};

static void set_knobs(void)
{
	char text[80], *begin;
	size_t i;

	for (i = 0; i < T_COUNT(knobs); i++) {
		if (!t_read_file(knobs[i].path, text, sizeof(text)))
			continue;
		/* Of several words, the one that is set stands in brackets. */
		begin = strchr(text, '[');
		begin = begin == NULL ? text : begin + 1;
		begin[strcspn(begin, "]")] = '\0';
		snprintf(knobs[i].was, sizeof(knobs[i].was), "%s", begin);
		t_write_file(knobs[i].path, knobs[i].set);
	}
}

static void give_back(void)
{
	size_t i;

	for (i = 0; i < T_COUNT(knobs); i++)
		if (knobs[i].was[0] != '\0')
			t_write_file(knobs[i].path, knobs[i].was);
	for (i = 0; i < T_COUNT(areas); i++)
		swapoff(areas[i]->path);
	t_write_file("/sys/block/zram0/reset", "1");
	rmdir(CGROUP);
	t_write_file("/sys/fs/cgroup/cgroup.subtree_control", "-memory");
}

/* A memory cgroup of its own: only its pages are wanted out. */
static bool enter_cgroup(void)
{
	char pid[16];

	t_write_file("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	mkdir(CGROUP, 0755);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	return t_write_file(CGROUP "/cgroup.procs", pid);
}

static int run_all(void *arg)
{
	struct tap *tap = arg;
	size_t i;

	if (!enter_cgroup())
		tap_say(stdout, "no memory cgroup: the swap cache stays full");
	check_quirk(tap);
	stay_here(true);
	for (i = 0; i < T_COUNT(sections); i++)
		run_in_areas(tap, &sections[i]);
	stay_here(false);
	run_storms(tap);
	return 0;
}

/* ---- the kernel's log ---- */

static int open_log(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		lseek(fd, 0, SEEK_END);
	return fd;
}

/* What no log may say, least of all when the pages have been counted. */
static const char *bad_line(int fd)
{
	static const char *const bad[] = { "BUG",
					   "WARNING",
					   "Oops",
					   "Bad page",
					   "Bad rss-counter",
					   "Bad swap",
					   "get_swap_device" };
	static char line[1024];
	ssize_t n;
	size_t i;

	while ((n = read(fd, line, sizeof(line) - 1)) > 0 || errno == EPIPE) {
		if (n <= 0)
			continue;
		line[n] = '\0';
		line[strcspn(line, "\n")] = '\0';
		for (i = 0; i < T_COUNT(bad); i++)
			if (strstr(line, bad[i]) != NULL)
				return line;
	}
	return NULL;
}

static void check_log(struct tap *tap, int fd)
{
	if (fd < 0)
		tap_skip(tap, "the kernel's log is clean", "no /dev/kmsg");
	else
		result(tap, bad_line(fd), "the kernel's log is clean");
}

int main(void)
{
	struct tap *tap = mmap(NULL, sizeof(*tap), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	size_t i;
	int log, status;

	lab_only();
	if (tap == MAP_FAILED)
		t_die("memory");
	for (i = 0; i < T_COUNT(areas); i++) {
		make_area(areas[i]);
		if (!areas[i]->there)
			tap_skip(tap, areas[i]->name, "no such device");
	}
	if (!zram.there && !disk.there)
		return tap_done(tap);
	log = open_log();
	set_knobs();
	status = t_in_child(run_all, tap);
	give_back();
	tap_ok(tap, status == 0, "came to the end");
	check_log(tap, log);
	return tap_done(tap);
}
