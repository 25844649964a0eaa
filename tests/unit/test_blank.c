/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "blank.h"

#include "scene.h"

#include <stdio.h>
#include <sys/mman.h>

#include "region.h"

#define PAGES 8

static const struct way no_uffd = {
	"no userfaultfd", PAGEMV_OPEN_NO_UFFD, 0, 0, 0, 0
};

/* A region on a handle that has to store: '0' a page of zeros, '#' another
 * one, '.' none. */
static struct scene open_as(const char *text)
{
	struct scene s = scene_open(PAGES, &no_uffd);

	for (size_t i = 0; i < PAGES; i++) {
		char *page = s.heap + t_pages(i);

		if (text[i] == '0')
			memset(page, 0, t_page());
		else if (text[i] == '#')
			t_fill(page, 100 + i, 1);
	}
	fake_forget_counts();
	return s;
}

/* Has smaps say of the region whether huge pages may be made there. */
static void say_eligible(const struct scene *s, bool eligible)
{
	static char text[200];
	uintptr_t start = (uintptr_t)s->heap;

	snprintf(text, sizeof(text),
		 "%lx-%lx rw-p 00000000 00:00 0\n"
		 "THPeligible:           %d\n"
		 "VmFlags: rd wr mr mw me ac\n",
		 start, start + t_pages(PAGES), eligible);
	fake_file("/proc/self/smaps", text, 64);
}

static struct pmv_run run_at(const struct scene *s, size_t page)
{
	return pmv_blank_run(s->pv, (uintptr_t)s->heap + t_pages(page),
			     t_pages(PAGES - page));
}

static void expect_blank(const struct scene *s, size_t page, size_t pages)
{
	struct pmv_run run = run_at(s, page);

	cr_expect(!run.populated && run.bytes == t_pages(pages),
		  "at %zu: %s, %zu bytes", page,
		  run.populated ? "populated" : "blank", run.bytes);
}

static void expect_page(const struct scene *s, size_t page)
{
	struct pmv_run run = run_at(s, page);

	cr_expect(run.populated && run.bytes > 0, "at %zu: %zu bytes blank",
		  page, run.bytes);
}

Test(blank, zeros_are_no_page_where_a_store_may_have_made_them)
{
	struct scene s = open_as("0.00..#0");

	say_eligible(&s, true);
	expect_blank(&s, 0, 6);
	expect_blank(&s, 2, 4);
	expect_page(&s, 6);
	expect_blank(&s, 7, 1);
	scene_close(&s);
}

Test(blank, zeros_are_a_page_where_huge_pages_are_not_made)
{
	struct scene s = open_as(".0..00.#");

	say_eligible(&s, false);
	expect_blank(&s, 0, 1);
	expect_page(&s, 1);
	expect_blank(&s, 2, 2);
	expect_page(&s, 5);
	scene_close(&s);
}

Test(blank, zeros_are_a_page_where_nothing_tells_of_huge_pages)
{
	struct scene s = open_as("0.......");

	fake_refuse(FAKE_OPEN, -EACCES);
	expect_page(&s, 0);
	fake_behave();
	fake_file("/proc/self/smaps", "", 1);
	expect_page(&s, 0);
	fake_behave();
	/* The next mapping above is not the one. */
	fake_file("/proc/self/smaps",
		  "7fffffff0000-7fffffff1000 rw-p 00000000 00:00 0\n"
		  "THPeligible: 1\n",
		  1);
	expect_page(&s, 0);
	scene_close(&s);
}

Test(blank, with_userfaultfd_a_page_is_a_page)
{
	struct scene s = scene_open(PAGES, NULL);

	memset(s.heap, 0, t_page());
	say_eligible(&s, true);
	fake_forget_counts();
	expect_page(&s, 0);
	cr_expect(fake_count(FAKE_OPEN) == 0);
	scene_close(&s);
}

Test(blank, mappings_are_read_for_zeros_alone_and_once)
{
	struct scene s = open_as("#..0000#");

	say_eligible(&s, true);
	expect_page(&s, 0);
	expect_blank(&s, 1, 6);
	cr_expect(fake_count(FAKE_OPEN) == 1);
	for (size_t i = 3; i < 7; i++)
		expect_blank(&s, i, 7 - i);
	cr_expect(fake_count(FAKE_OPEN) == 1, "%u times",
		  fake_count(FAKE_OPEN));
	scene_close(&s);
}

Test(blank, what_is_not_so_is_asked_again)
{
	struct scene s = open_as("0.......");

	say_eligible(&s, false);
	expect_page(&s, 0);
	fake_behave();
	say_eligible(&s, true);
	expect_blank(&s, 0, PAGES);
	scene_close(&s);
}

Test(blank, one_byte_makes_a_page)
{
	struct scene s = open_as("00000000");

	say_eligible(&s, true);
	s.heap[t_pages(3) - 1] = 1;
	expect_blank(&s, 0, 2);
	s.heap[t_pages(3) - 1] = 0;
	s.heap[t_pages(3)] = 1;
	expect_blank(&s, 0, 3);
	expect_page(&s, 3);
	scene_close(&s);
}

Test(blank, nothing_is_read_where_it_is_not_known_to_be_there)
{
	struct scene s = open_as("0.......");

	say_eligible(&s, true);
	s.pv->facilities &= ~(PAGEMV_HAS_PAGEMAP | PAGEMV_HAS_PAGEMAP_SCAN);
	fake_refuse(FAKE_MINCORE, -EAGAIN);
	expect_page(&s, 0);
	scene_close(&s);
}

Test(blank, a_real_huge_page_is_filled_page_by_page)
{
	const size_t huge = (size_t)2 << 20, pages = huge / t_page();
	struct pagemv *pv = scene_handle(&no_uffd);
	char *heap = t_map_at(pages, huge, 0, true), *src = t_map(pages);
	struct pagemv_result res;

	scene_register(pv, heap, pages);
	/* The program wants huge pages here, after all. */
	if (madvise(heap, huge, MADV_HUGEPAGE) != 0)
		cr_skip("no huge pages in this kernel");
	t_fill_range(src, pages, 1);
	for (size_t i = pages; i-- > 0;)
		cr_assert(pagemv_move(pv, heap + t_pages(i), src + t_pages(i),
				      t_page(), NULL, &res) == 0,
			  "page %zu: %s", i, pagemv_reason_string(res.reason));
	EXPECT_RIGHT(t_check_range(heap, pages, 1));
	EXPECT_RIGHT(t_check_absent(src, pages));
	pagemv_close(pv);
}
