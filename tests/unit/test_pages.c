/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pages.h"

#include "scene.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* How the page tables are asked. */
enum asked { BY_SCAN, BY_PAGEMAP, BY_MINCORE, ASKED };

static const char *const names[] = { "scan", "pagemap", "mincore" };

/* Takes away all that is better than what shall be asked; false where that
 * itself is missing. */
static bool only(struct pagemv *pv, enum asked asked)
{
	pv->facilities |= PAGEMV_HAS_PAGEMAP_SCAN | PAGEMV_HAS_PAGEMAP;
	if (asked == BY_SCAN)
		return pv->caps.facilities & PAGEMV_HAS_PAGEMAP_SCAN;
	pv->facilities &= ~PAGEMV_HAS_PAGEMAP_SCAN;
	if (asked == BY_PAGEMAP)
		return pv->caps.facilities & PAGEMV_HAS_PAGEMAP;
	pv->facilities &= ~PAGEMV_HAS_PAGEMAP;
	return true;
}

/* Writes the layout of a range as text: '#' for a page, '.' for a hole. */
static void layout(const struct pagemv *pv, enum asked asked, const char *addr,
		   size_t pages, char *text)
{
	size_t i = 0;

	while (i < pages) {
		struct pmv_run run = pmv_pages_run(
			pv, (uintptr_t)addr + t_pages(i), t_pages(pages - i));

		cr_assert(run.bytes > 0 && run.bytes <= t_pages(pages - i) &&
				  run.bytes % t_page() == 0,
			  "run of %zu", run.bytes);
		/* What is not in core may be swapped out. */
		cr_expect(run.known || (asked == BY_MINCORE && !run.populated));
		memset(text + i, run.populated ? '#' : '.',
		       run.bytes / t_page());
		i += run.bytes / t_page();
	}
	text[pages] = '\0';
}

static void populate(char *addr, const char *text)
{
	for (size_t i = 0; text[i]; i++)
		if (text[i] == '#')
			t_fill(addr + t_pages(i), i + 1, 1);
}

static void expect_layout(struct pagemv *pv, const char *text)
{
	size_t pages = strlen(text);
	char *addr = t_map(pages);
	char found[512];

	populate(addr, text);
	for (int a = 0; a < ASKED; a++) {
		if (!only(pv, (enum asked)a))
			continue;
		layout(pv, (enum asked)a, addr, pages, found);
		cr_expect_str_eq(found, text, "by %s", names[a]);
	}
	t_unmap(addr, pages);
}

Test(pages, all_ways_of_asking_agree)
{
	struct pagemv *pv = scene_handle(NULL);

	expect_layout(pv, "#");
	expect_layout(pv, ".");
	expect_layout(pv, "########");
	expect_layout(pv, "........");
	expect_layout(pv, ".#.##..###...####....#####");
	expect_layout(pv, "#.#.#.#.#.#.#.#.");
	pagemv_close(pv);
}

Test(pages, runs_longer_than_a_buffer_are_whole)
{
	struct pagemv *pv = scene_handle(NULL);
	char text[401];

	memset(text, '#', 400);
	memset(text + 64, '.', 128);
	memset(text + 300, '.', 77);
	text[400] = '\0';
	expect_layout(pv, text);
	pagemv_close(pv);
}

Test(pages, random_layouts_agree)
{
	struct pagemv *pv = scene_handle(NULL);
	struct t_random r = t_random_make(7);
	char text[201];

	for (int i = 0; i < 20; i++) {
		for (size_t j = 0; j < 200; j++)
			text[j] = t_random_below(&r, 10) < 5 ? '#' : '.';
		text[200] = '\0';
		expect_layout(pv, text);
	}
	pagemv_close(pv);
}

static void expect_fallback(struct pagemv *pv, const char *addr,
			    enum fake_call call)
{
	char found[9];

	fake_forget_counts();
	layout(pv, call == FAKE_MINCORE ? BY_MINCORE : BY_PAGEMAP, addr, 8,
	       found);
	cr_expect_str_eq(found, ".##.####");
	cr_expect(fake_count(call) > 0, "asked by %s", fake_call_name(call));
}

Test(pages, the_next_way_is_taken_where_one_fails)
{
	static const int errors[] = { -ENOTTY, -EPERM, -EINVAL, -ENOMEM,
				      -EINTR };
	struct pagemv *pv = scene_handle(NULL);
	char *addr = t_map(8);

	populate(addr, ".##.####");
	for (size_t i = 0; i < T_COUNT(errors); i++) {
		fake_behave();
		fake_refuse(FAKE_SCAN, errors[i]);
		expect_fallback(pv, addr, FAKE_PREAD);
		fake_refuse(FAKE_PREAD, errors[i]);
		expect_fallback(pv, addr, FAKE_MINCORE);
	}
	pagemv_close(pv);
}

Test(pages, where_nothing_tells_a_page_is_assumed_and_said_to_be)
{
	struct pagemv *pv = scene_handle(NULL);
	char *addr = t_map(8);
	struct pmv_run run;

	fake_refuse(FAKE_SCAN, -ENOTTY);
	fake_refuse(FAKE_PREAD, -EPERM);
	fake_refuse(FAKE_MINCORE, -EAGAIN);
	run = pmv_pages_run(pv, (uintptr_t)addr, t_pages(8));
	cr_expect(run.populated && !run.known && run.bytes == t_pages(8));
	pagemv_close(pv);
}

Test(pages, short_reads_of_pagemap_are_gone_on_with)
{
	struct pagemv *pv = scene_handle(NULL);
	char *addr = t_map(16);
	char found[17];

	populate(addr, "####....########");
	cr_assert(only(pv, BY_PAGEMAP));
	fake_add((struct fake_rule){ .call = FAKE_PREAD,
				     .times = FAKE_EVER,
				     .really = 3 * sizeof(uint64_t) });
	layout(pv, BY_PAGEMAP, addr, 16, found);
	cr_expect_str_eq(found, "####....########");
	pagemv_close(pv);
}

Test(pages, a_read_that_breaks_off_tells_of_the_pages_before)
{
	struct pagemv *pv = scene_handle(NULL);
	char *addr = t_map(16);
	struct pmv_run run;

	t_fill_range(addr, 16, 1);
	cr_assert(only(pv, BY_PAGEMAP));
	fake_add((struct fake_rule){ .call = FAKE_PREAD,
				     .really = 3 * sizeof(uint64_t) });
	fake_fail(FAKE_PREAD, 2, -EIO);
	run = pmv_pages_run(pv, (uintptr_t)addr, t_pages(16));
	cr_expect(run.populated && run.bytes == t_pages(3));
	pagemv_close(pv);
}

/* What a child that is there for a while makes of a page: shared or not. */
static bool shared_with_child(const struct pagemv *pv, const void *page)
{
	pid_t pid = fork();
	bool shared;

	cr_assert(pid >= 0);
	while (pid == 0)
		pause();
	shared = pmv_pages_shared(pv, (uintptr_t)page);
	kill(pid, SIGKILL);
	cr_assert(waitpid(pid, NULL, 0) == pid);
	return shared;
}

Test(pages, a_page_is_shared_while_another_process_maps_it)
{
	struct pagemv *pv = scene_handle(NULL);
	char *addr = t_map(2);

	t_fill(addr, 1, 1);
	if (!pmv_has(pv, PAGEMV_HAS_PAGEMAP) || !shared_with_child(pv, addr))
		cr_skip("pagemap does not tell of shared pages");
	cr_expect(!pmv_pages_shared(pv, (uintptr_t)addr));
	cr_expect(!shared_with_child(pv, addr + t_page()), "a hole");
	fake_refuse(FAKE_PREAD, -EPERM);
	cr_expect(!shared_with_child(pv, addr), "nothing can tell");
	fake_behave();
	pv->facilities &= ~PAGEMV_HAS_PAGEMAP;
	cr_expect(!shared_with_child(pv, addr), "nothing can tell");
	pagemv_close(pv);
}

/* What is opened is noted in facilities, and given back. */
static void expect_opened(uint32_t has, uint32_t has_not)
{
	struct pagemv *pv = scene_handle(NULL);

	cr_expect((pv->facilities & has) == has && !(pv->facilities & has_not),
		  "facilities 0x%x", pv->facilities);
	cr_expect((pv->pagemap_fd >= 0) ==
		  ((pv->facilities & PAGEMV_HAS_PAGEMAP) != 0));
	pagemv_close(pv);
	cr_expect(fake_open_fds() == 0);
}

Test(pages, what_is_missing_is_noted_when_the_handle_is_opened)
{
	const uint32_t both = PAGEMV_HAS_PAGEMAP | PAGEMV_HAS_PAGEMAP_SCAN;

	fake_add((struct fake_rule){ .call = FAKE_OPEN,
				     .error = -EACCES,
				     .path = "/proc/self/pagemap",
				     .times = FAKE_EVER });
	expect_opened(0, both);
	fake_behave();
	fake_refuse(FAKE_PREAD, -EPERM);
	expect_opened(0, both);
	fake_behave();
	fake_refuse(FAKE_SCAN, -ENOTTY);
	expect_opened(PAGEMV_HAS_PAGEMAP, PAGEMV_HAS_PAGEMAP_SCAN);
	fake_behave();
	fake_no_proc();
	expect_opened(0, both);
}

Test(pages, one_is_put_there_or_there_is_no_memory)
{
	struct pagemv *pv = scene_handle(NULL);
	char *addr = t_map(3);

	cr_expect(pmv_pages_put(pv, (uintptr_t)addr) == 0);
	fake_refuse(FAKE_POPULATE, -EINVAL);
	cr_expect(pmv_pages_put(pv, (uintptr_t)addr + t_page()) == 0);
	cr_expect(t_count_present(addr, 3) == 2);
	fake_refuse(FAKE_PREAD, -EFAULT);
	cr_expect(pmv_pages_put(pv, (uintptr_t)addr + t_pages(2)) == -ENOMEM);
	fake_refuse(FAKE_POPULATE, -ENOMEM);
	cr_expect(pmv_pages_put(pv, (uintptr_t)addr + t_pages(2)) == -ENOMEM);
	fake_behave();
	pagemv_close(pv);
}

Test(pages, discarding_falls_back_for_locked_memory)
{
	struct pagemv *pv = scene_handle(NULL);
	char *addr = t_map(4);

	if (!t_can_drop_locked())
		cr_skip("no MADV_DONTNEED_LOCKED in this kernel");
	t_fill_range(addr, 4, 1);
	fake_fail(FAKE_DISCARD, 1, -EINVAL);
	cr_expect(pmv_pages_discard(pv, (uintptr_t)addr, t_pages(2)) == 0);
	EXPECT_RIGHT(t_check_absent(addr, 2));
	EXPECT_RIGHT(t_check_range(addr + t_pages(2), 2, 3));
	fake_refuse(FAKE_DISCARD, -EPERM);
	cr_expect(pmv_pages_discard(pv, (uintptr_t)addr, t_pages(4)) == -EPERM);
	fake_behave();
	pagemv_close(pv);
}

Test(pages, populating_changes_no_data)
{
	struct pagemv *pv = scene_handle(NULL);
	char *addr = t_map(4);

	if (!(pv->facilities & PAGEMV_HAS_POPULATE_WRITE))
		cr_skip("no MADV_POPULATE_WRITE in this kernel");
	t_fill_range(addr, 2, 1);
	cr_expect(pmv_pages_populate(pv->sys, (uintptr_t)addr, t_pages(4)) ==
		  0);
	EXPECT_RIGHT(t_check_range(addr, 2, 1));
	EXPECT_RIGHT(t_check_zero(addr + t_pages(2), 2));
	fake_refuse(FAKE_POPULATE, -EFAULT);
	cr_expect(pmv_pages_populate(pv->sys, (uintptr_t)addr, t_page()) ==
		  -EFAULT);
	pagemv_close(pv);
}

/* Registered or not, with a handle or without, and where the kernel stops. */
Test(pages, pages_are_made_where_there_are_none)
{
	struct pagemv *pv = scene_handle(NULL);

	if (!(pv->facilities & PAGEMV_HAS_POPULATE_WRITE))
		cr_skip("no MADV_POPULATE_WRITE in this kernel");
	for (int i = 0; i < 4; i++) {
		char *addr = t_map(100);
		struct pagemv_region *r = i ? scene_register(pv, addr, 100)
					    : NULL;

		fake_forget_counts();
		if (i == 3)
			fake_add((struct fake_rule){
				.call = FAKE_COPY,
				.nth = 2,
				.error = -EAGAIN,
				.really = t_page(),
				.tell = true,
				.told = (int64_t)t_page() });
		t_fill_range(addr + t_pages(50), 2, 1);
		cr_expect(pmv_pages_make(pv->sys, i == 1 ? NULL : pv,
					 (uintptr_t)addr, t_pages(100)) == 0);
		for (int k = 0; k < 100; k++)
			cr_expect(t_present(addr + t_pages(k)), "%d, page %d",
				  i, k);
		EXPECT_RIGHT(t_check_zero(addr, 50));
		EXPECT_RIGHT(t_check_range(addr + t_pages(50), 2, 1));
		EXPECT_RIGHT(t_check_zero(addr + t_pages(52), 48));
		cr_expect(fake_count(FAKE_POPULATE) == 1);
		if (i == 1)
			cr_expect(fake_count(FAKE_COPY) == 0);
		pagemv_region_unregister(r);
		munmap(addr, t_pages(100));
	}
	pagemv_close(pv);
}

Test(pages, huge_pages_are_recognised)
{
	struct pagemv *pv = scene_handle(NULL);
	size_t huge = pv->huge_bytes;
	char *small = t_map(1), *large;

	t_fill(small, 1, 1);
	cr_expect(!pmv_pages_huge(pv, (uintptr_t)small));
	if (!huge || !(pv->facilities & PAGEMV_HAS_PAGEMAP_SCAN))
		cr_skip("no huge pages, or no PAGEMAP_SCAN");
	large = t_map_at(huge / t_page(), huge, 0, true);
	memset(large, 1, huge);
	if (t_huge_bytes(large, huge) == 0)
		cr_skip("no huge page to be had");
	cr_expect(pmv_pages_huge(pv, (uintptr_t)large));
	fake_refuse(FAKE_SCAN, -ENOTTY);
	cr_expect(!pmv_pages_huge(pv, (uintptr_t)large));
	pagemv_close(pv);
}
