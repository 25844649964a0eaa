/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Huge pages: whole where both sides are aligned and a whole one is asked for,
 * split otherwise; the huge zero page; shared, pinned, and mapped by parts.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kmod.h"
#include "pin.h"
#include "vm/scenarios/lab.h"

#define UNIT	  (KMOD_HUGE / t_page()) /* pages of a huge one */
#define FLAG_ZERO 24
#define THP	  "/sys/kernel/mm/transparent_hugepage/"

static char *map_huge(size_t units)
{
	return t_map_at(units * UNIT, KMOD_HUGE, 0, true);
}

/* NULL where there are no huge pages. */
static char *huge_src(size_t units)
{
	char *src = map_huge(units);

	t_fill_range(src, units * UNIT, 1);
	return t_huge_bytes(src, units * KMOD_HUGE) == units * KMOD_HUGE ? src
									 : NULL;
}

static char *huge_dst(size_t units)
{
	char *dst = map_huge(units);

	return kmod_dst(dst, units * UNIT);
}

static const char *no_huge(void)
{
	return skip("no huge pages here");
}

static const char *whole(void)
{
	char *src = huge_src(3), *dst = huge_dst(3);
	struct pagemvio_info before, after;

	if (src == NULL)
		return no_huge();
	before = kmod_info();
	RIGHT("move", moves(dst, src, 3 * UNIT, 1));
	after = kmod_info();
	MUST(t_huge_bytes(dst, 3 * KMOD_HUGE) == 3 * KMOD_HUGE,
	     "%zu bytes of huge pages at dst",
	     t_huge_bytes(dst, 3 * KMOD_HUGE));
	if (kmod_way() == KMOD_MODULE)
		MUST(after.huge_pages - before.huge_pages == 3 &&
			     after.splits == before.splits &&
			     after.pages == before.pages,
		     "%d huge, %d splits, %d small",
		     (int)(after.huge_pages - before.huge_pages),
		     (int)(after.splits - before.splits),
		     (int)(after.pages - before.pages));
	t_fill_range(dst, 3 * UNIT, 7000);
	return t_check_range(dst, 3 * UNIT, 7000);
}

static const char *whole_there_and_back(void)
{
	char *src = huge_src(2), *dst = huge_dst(2);
	int i;

	if (src == NULL)
		return no_huge();
	kmod_dst(src, 2 * UNIT);
	for (i = 0; i < 20; i++) {
		RIGHT("there", moves(dst, src, 2 * UNIT, 1));
		RIGHT("back", moves(src, dst, 2 * UNIT, 1));
	}
	MUST(t_huge_bytes(src, 2 * KMOD_HUGE) == 2 * KMOD_HUGE,
	     "they were split");
	/* Its page table goes with a huge page: it can still be split. */
	if (madvise(src + t_page(), t_page(), MADV_DONTNEED) != 0)
		t_die("MADV_DONTNEED");
	RIGHT("first", t_check_range(src, 1, 1));
	RIGHT("rest", t_check_range(src + t_pages(2), 2 * UNIT - 2, 3));
	return NULL;
}

/* A table for small pages at dst, empty again, does not prevent anything. */
static const char *onto_empty_table(void)
{
	char *src = huge_src(1), *dst = huge_dst(1);

	if (src == NULL)
		return no_huge();
	madvise(dst, KMOD_HUGE, MADV_NOHUGEPAGE);
	dst[0] = 1;
	t_drop(dst, UNIT);
	madvise(dst, KMOD_HUGE, MADV_HUGEPAGE);
	return moves(dst, src, UNIT, 1);
}

static const char *onto_page(void)
{
	char *src = huge_src(1), *dst = huge_dst(1);
	size_t at = UNIT - 3;
	int64_t moved;
	int r;

	if (src == NULL)
		return no_huge();
	madvise(dst, KMOD_HUGE, MADV_NOHUGEPAGE);
	t_fill(dst + t_pages(at), 9999, 1);
	r = kmod_remap(dst, src, UNIT, 0, &moved);
	RIGHT("up to it", ended(r, moved, -EAGAIN, (int64_t)at));
	RIGHT("dst", t_check_range(dst, at, 1));
	RIGHT("it", t_check_range(dst + t_pages(at), 1, 9999));
	return t_check_range(src + t_pages(at), 3, at + 1);
}

static const char *onto_huge(void)
{
	char *src = huge_src(1), *dst = huge_dst(1);

	if (src == NULL)
		return no_huge();
	t_fill_range(dst, UNIT, 5000);
	RIGHT("whole", refuses(dst, src, UNIT, 1, -EEXIST));
	RIGHT("a part",
	      refuses(dst + t_pages(7), src + t_pages(7), 5, 8, -EEXIST));
	RIGHT("dst", t_check_range(dst, UNIT, 5000));
	return t_check_range(src, UNIT, 1);
}

/* A huge page goes on over several calls, and to any offset. */
static const char *by_parts(size_t part, size_t dst_off)
{
	char *src = huge_src(1);
	char *dst = t_map_at(UNIT, KMOD_HUGE, t_pages(dst_off), true);
	size_t at, n;

	if (src == NULL)
		return no_huge();
	kmod_dst(dst, UNIT);
	for (at = 0; at < UNIT; at += n) {
		n = part < UNIT - at ? part : UNIT - at;
		RIGHT("part",
		      moves(dst + t_pages(at), src + t_pages(at), n, at + 1));
	}
	RIGHT("all", t_check_range(dst, UNIT, 1));
	t_unmap(src, UNIT);
	t_unmap(dst, UNIT);
	return NULL;
}

static const char *split(void)
{
	RIGHT("1", by_parts(1, 0));
	RIGHT("100", by_parts(100, 0));
	RIGHT("511", by_parts(511, 0));
	return NULL;
}

static const char *unaligned(void)
{
	RIGHT("by 1", by_parts(UNIT, 1));
	RIGHT("by 511, parts of 77", by_parts(77, 511));
	RIGHT("by 256", by_parts(UNIT, 256));
	return NULL;
}

/* From the middle of one to the middle of another, whole ones between. */
static const char *ends_within(void)
{
	char *src = huge_src(4), *dst = huge_dst(4);
	size_t from = UNIT / 2, n = 3 * UNIT;

	if (src == NULL)
		return no_huge();
	RIGHT("move",
	      moves(dst + t_pages(from), src + t_pages(from), n, from + 1));
	RIGHT("before", t_check_range(src, from, 1));
	RIGHT("behind",
	      t_check_range(src + t_pages(from + n), UNIT / 2, from + n + 1));
	MUST(t_huge_bytes(dst, 4 * KMOD_HUGE) == 2 * KMOD_HUGE,
	     "%zu bytes of huge pages between",
	     t_huge_bytes(dst, 4 * KMOD_HUGE));
	return NULL;
}

/* ---- the huge zero page ---- */

static char *zero_src(void)
{
	char *src = map_huge(1);

	(void)*(volatile char *)src;
	return (pagemap_of(src + KMOD_HUGE / 2) & PM_PRESENT) != 0 ? src : NULL;
}

static const char *huge_zero(void)
{
	char *src = zero_src(), *dst = huge_dst(1);
	int64_t moved;
	int r;

	if (src == NULL)
		return skip("no huge zero page");
	r = kmod_remap(dst, src, UNIT, 0, &moved);
	RIGHT("move", ended(r, moved, 0, (int64_t)UNIT));
	RIGHT("src", t_check_absent(src, UNIT));
	RIGHT("dst", t_check_zero(dst, UNIT));
	MUST(page_flag(dst, FLAG_ZERO), "it is another page at dst");
	t_fill_range(dst, UNIT, 1);
	RIGHT("written", t_check_range(dst, UNIT, 1));
	(void)*(volatile char *)src;
	return t_check_zero(src, UNIT);
}

static const char *huge_zero_part(void)
{
	char *src = zero_src(), *dst = huge_dst(1);
	int64_t moved;
	int r;

	if (src == NULL)
		return skip("no huge zero page");
	r = kmod_remap(dst + t_pages(3), src + t_pages(2), 9, 0, &moved);
	RIGHT("move", ended(r, moved, 0, 9));
	RIGHT("src", t_check_absent(src + t_pages(2), 9));
	RIGHT("dst", t_check_zero(dst + t_pages(3), 9));
	RIGHT("before", t_check_zero(src, 2));
	RIGHT("behind", t_check_zero(src + t_pages(11), UNIT - 11));
	t_fill_range(dst + t_pages(3), 9, 1);
	return t_check_range(dst + t_pages(3), 9, 1);
}

/* ---- shared and pinned ---- */

static const char *shared(void)
{
	char *src = huge_src(1), *dst = huge_dst(1);
	pid_t pid;
	int go[2];
	char byte;

	if (src == NULL)
		return no_huge();
	if (pipe(go) != 0)
		t_die("pipe");
	pid = fork();
	if (pid == 0) {
		close(go[1]);
		if (read(go[0], &byte, 1) < 0)
			_exit(3);
		_exit(t_check_range(src, UNIT, 1) == NULL ? 0 : 1);
	}
	RIGHT("whole", refuses(dst, src, UNIT, 1, -EBUSY));
	RIGHT("a part", refuses(dst, src, 3, 1, -EBUSY));
	close(go[1]);
	MUST(t_wait(pid) == 0, "the child has something else");
	if (madvise(src, KMOD_HUGE, MADV_POPULATE_WRITE) != 0)
		t_die("MADV_POPULATE_WRITE");
	return moves(dst, src, UNIT, 1);
}

static const char *pinned(void)
{
	char *src = huge_src(1), *dst = huge_dst(1);
	const char *why = NULL;
	struct t_pin *pin;
	int64_t moved;
	char text[32] = "by the device";
	int r;

	if (src == NULL)
		return no_huge();
	pin = t_pin(src + t_pages(100), t_pages(2), &why);
	if (pin == NULL)
		return skip(why);
	/* Which page of it is pinned is not told: none may go. */
	RIGHT("whole", refuses(dst, src, UNIT, 1, -EBUSY));
	r = kmod_remap(dst + t_pages(9), src, 4, 0, &moved);
	RIGHT("a part", ended(r, moved, -EBUSY, -EBUSY));
	MUST(t_pin_write(pin, 5, text, sizeof(text)) == 0, "no DMA");
	MUST(memcmp(src + t_pages(100) + 5, text, sizeof(text)) == 0,
	     "the device has another page than the process");
	t_unpin(pin);
	t_fill_range(src, UNIT, 1);
	return moves(dst, src, UNIT, 1);
}

/* Referred to by more than its mappings, it cannot be split: not for ever. */
static const char *referenced(void)
{
	char *src = huge_src(1), *dst = huge_dst(1), byte[64];
	struct iovec in_pipe;
	int fd[2];

	if (src == NULL)
		return no_huge();
	kmod_dst(src, UNIT);
	in_pipe = (struct iovec){ src + t_pages(100), sizeof(byte) };
	if (pipe(fd) != 0 ||
	    vmsplice(fd[1], &in_pipe, 1, 0) != (ssize_t)sizeof(byte))
		t_die("vmsplice");
	RIGHT("whole", moves(dst, src, UNIT, 1));
	RIGHT("a part", refuses(src, dst, 3, 1, -EBUSY));
	MUST(read(fd[0], byte, sizeof(byte)) == (ssize_t)sizeof(byte),
	     "the pipe is empty");
	RIGHT("let go", moves(src, dst, 3, 1));
	return t_check_range(dst + t_pages(3), UNIT - 3, 4);
}

/* What has come to dst is a change there, as with small pages. */
static const char *soft_clean(void)
{
	char *src = huge_src(1), *dst = huge_dst(1);

	if (src == NULL)
		return no_huge();
	if (!kmod_clear_soft_dirty(src))
		return skip("no soft-dirty bits");
	MUST(count_bits(src, UNIT, PM_SOFT_DIRTY) == 0, "it is still dirty");
	RIGHT("move", moves(dst, src, UNIT, 1));
	MUST(count_bits(dst, UNIT, PM_SOFT_DIRTY) == UNIT,
	     "what has come to dst is not seen as a change");
	return NULL;
}

/* ---- mapped by small entries ---- */

static const char *mapped_by_parts(void)
{
	char *src = huge_src(2), *dst = huge_dst(2);

	if (src == NULL)
		return no_huge();
	/* Splits the entry, not the page; then a part is unmapped. */
	if (mprotect(src + t_pages(5), t_page(), PROT_READ) != 0 ||
	    mprotect(src + t_pages(5), t_page(), PROT_READ | PROT_WRITE) != 0)
		t_die("mprotect");
	t_drop(src + t_pages(UNIT + 9), 1);
	RIGHT("unaligned", moves(dst + t_pages(3), src, 20, 1));
	RIGHT("rest",
	      moves(dst + t_pages(23), src + t_pages(20), UNIT - 20, 21));
	RIGHT("second",
	      moves(dst + t_pages(UNIT + 3), src + t_pages(UNIT), 9, UNIT + 1));
	RIGHT("behind",
	      t_check_range(src + t_pages(UNIT + 10), UNIT - 10, UNIT + 11));
	return t_check_range(dst + t_pages(3), UNIT + 9, 1);
}

/* Pages that were moved one by one can be made a huge one again. */
static const char *collapse(void)
{
	char *src = map_huge(1), *dst = huge_dst(1);

	madvise(src, KMOD_HUGE, MADV_NOHUGEPAGE);
	t_fill_range(src, UNIT, 1);
	madvise(src, KMOD_HUGE, MADV_HUGEPAGE);
	RIGHT("move", moves(dst, src, UNIT, 1));
	if (madvise(dst, KMOD_HUGE, 25 /* MADV_COLLAPSE */) != 0)
		return skip("no MADV_COLLAPSE");
	RIGHT("collapsed", t_check_range(dst, UNIT, 1));
	kmod_dst(src, UNIT);
	RIGHT("back", moves(src, dst, UNIT, 1));
	return NULL;
}

static const char *locked(void)
{
	char *src = huge_src(1), *dst = huge_dst(1);

	if (src == NULL || mlock(src, KMOD_HUGE) != 0 ||
	    mlock2(dst, KMOD_HUGE, MLOCK_ONFAULT) != 0)
		return no_huge();
	RIGHT("move", moves(dst, src, UNIT, 1));
	MUST(page_flag(dst, 33), "not locked any more");
	munlock(dst, KMOD_HUGE);
	return NULL;
}

int main(void)
{
	static const struct kmod_test tests[] = {
		{ "aligned at both sides: whole", whole },
		{ "whole, there and back", whole_there_and_back },
		{ "whole, onto a table that is empty", onto_empty_table },
		{ "a small page at dst: up to it", onto_page },
		{ "EEXIST: a huge page at dst", onto_huge },
		{ "a part is asked for: split", split },
		{ "unaligned: split", unaligned },
		{ "ends within huge pages, whole ones between", ends_within },
		{ "the huge zero page", huge_zero },
		{ "parts of the huge zero page", huge_zero_part },
		{ "EBUSY: shared with a child", shared },
		{ "EBUSY: pinned in part", pinned },
		{ "EBUSY: a part of one that cannot be split", referenced },
		{ "soft-dirty is set at dst", soft_clean },
		{ "huge pages mapped by small entries", mapped_by_parts },
		{ "small pages moved, then collapsed", collapse },
		{ "locked at both sides", locked },
	};

	lab_only();
	t_write_file(THP "enabled", "madvise");
	/* It would make a huge page of dst between two calls. */
	t_write_file(THP "khugepaged/scan_sleep_millisecs", "100000000");
	t_write_file(THP "khugepaged/max_ptes_none", "0");
	t_write_file(THP "use_zero_page", "1");
	return kmod_main(tests, T_COUNT(tests));
}
