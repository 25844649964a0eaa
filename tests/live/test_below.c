/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Mappings that change below a faulting region of which no events are asked
 * for: it is noticed by what fails next, nothing hangs, and the region ends.
 */
#include "faults.h"

#include <sys/mman.h>
#include <unistd.h>

#include "rawuffd.h"

#define PAGES 64

static struct fills fills;

Test(below, what_was_thrown_away_is_filled_anew, .timeout = 60)
{
	struct faults_stage s = faults_set_up(PAGES, faults_by(&fills));

	for (unsigned int times = 1; times <= 3; times++) {
		for (size_t i = 0; i < PAGES; i++)
			faults_touch(s.heap + t_pages(i));
		faults_right(t_check_range(s.heap, PAGES, 1));
		cr_expect_eq(fills.calls, times * PAGES);
		t_drop(s.heap, PAGES);
	}
	faults_tear_down(&s);
}

static void expect_move(const struct faults_stage *s, size_t page,
			enum pagemv_reason reason)
{
	struct pagemv_result res;
	char *src = t_map(1);

	t_fill(src, 1000, 1);
	cr_expect_lt(pagemv_move(s->pv, s->heap + t_pages(page), src, t_page(),
				 NULL, &res),
		     0);
	cr_expect_eq(res.reason, reason, "%s",
		     pagemv_reason_string(res.reason));
	faults_right(t_check(src, 1000, 1));
	t_unmap(src, 1);
}

/* The page of the region beside the hole works; populate ends; it unregisters,
 * and leaves nothing registered. */
static void expect_ends(struct faults_stage *s)
{
	faults_touch(s->heap);
	faults_right(t_check(s->heap, 1, 1));
	cr_expect_eq(pagemv_populate(s->pv, s->heap, t_pages(PAGES), NULL),
		     -ENOENT);
	cr_expect_eq(pagemv_region_unregister(s->region), 0);
	s->region = NULL;
	t_drop(s->heap, 4);
	faults_touch(s->heap + t_pages(3));
	faults_right(t_check_zero(s->heap + t_pages(3), 1));
	t_drop(s->heap + t_pages(PAGES - 4), 4);
	faults_touch(s->heap + t_pages(PAGES - 1));
	faults_right(t_check_zero(s->heap + t_pages(PAGES - 1), 1));
}

Test(below, a_part_that_was_replaced_is_named, .timeout = 60)
{
	struct faults_stage s = faults_set_up(PAGES, faults_by(&fills));
	char *part = s.heap + t_pages(8);

	faults_touch(part);
	if (mmap(part, t_pages(4), PROT_READ | PROT_WRITE,
		 MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != part)
		t_die("mmap");
	expect_move(&s, 9, PAGEMV_REASON_REPLACED);
	expect_ends(&s);
	faults_tear_down(&s);
}

Test(below, a_part_that_was_unmapped_is_named, .timeout = 60)
{
	struct faults_stage s = faults_set_up(PAGES, faults_by(&fills));

	if (munmap(s.heap + t_pages(8), t_pages(4)) != 0)
		t_die("munmap");
	expect_move(&s, 9, PAGEMV_REASON_UNMAPPED);
	expect_ends(&s);
	faults_tear_down(&s);
}

Test(below, a_part_that_went_elsewhere_is_named, .timeout = 60)
{
	struct faults_stage s = faults_set_up(PAGES, faults_by(&fills));
	char *to = t_map(4);

	faults_touch(s.heap + t_pages(9));
	if (mremap(s.heap + t_pages(8), t_pages(4), t_pages(4),
		   MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
		t_die("mremap");
	expect_move(&s, 9, PAGEMV_REASON_UNMAPPED);
	expect_ends(&s);
	/* Ordinary memory there. */
	faults_right(t_check_absent(to, 1));
	faults_touch(to);
	faults_right(t_check_zero(to, 1));
	faults_right(t_check(to + t_page(), 10, 1));
	faults_tear_down(&s);
}

Test(below, a_part_that_others_came_to_is_named, .timeout = 60)
{
	struct faults_stage s = faults_set_up(PAGES, faults_by(&fills));
	char *part = s.heap + t_pages(8);
	char *from = t_map(4);

	t_fill(from + t_page(), 1000, 1);
	if (mremap(from, t_pages(4), t_pages(4), MREMAP_MAYMOVE | MREMAP_FIXED,
		   part) != part)
		t_die("mremap");
	expect_move(&s, 10, PAGEMV_REASON_REPLACED);
	faults_right(t_check(part + t_page(), 1000, 1));
	expect_ends(&s);
	faults_tear_down(&s);
}

/* One that no userfaultfd can have. */
Test(below, a_part_that_is_a_file_now_is_named, .timeout = 60)
{
	struct faults_stage s = faults_set_up(PAGES, faults_by(&fills));
	char *part = s.heap + t_pages(8);
	FILE *file = fopen("/proc/self/exe", "r");

	cr_assert_not_null(file);
	if (mmap(part, t_page(), PROT_READ, MAP_FIXED | MAP_PRIVATE,
		 fileno(file), 0) != part)
		t_die("mmap");
	expect_ends(&s);
	fclose(file);
	cr_expect_eq(memcmp(part, "\177ELF", 4), 0);
	faults_tear_down(&s);
}

Test(below, a_region_whose_memory_is_gone_ends, .timeout = 60)
{
	struct faults_stage s = faults_set_up(PAGES, faults_by(&fills));

	faults_touch(s.heap);
	if (munmap(s.heap, t_pages(PAGES)) != 0)
		t_die("munmap");
	cr_expect_eq(pagemv_populate(s.pv, s.heap, 1, NULL), -ENOENT);
	faults_tear_down(&s);
}

/* A callback is at work on a page that is unmapped meanwhile. */
static int fill_and_replace(void *arg, const struct pagemv_fill *f)
{
	if (mmap(f->addr, f->len_bytes, PROT_READ | PROT_WRITE,
		 MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != f->addr)
		t_die("mmap");
	return fill_pages(arg, f);
}

Test(below, a_page_that_is_replaced_while_it_is_filled_is_the_kernels,
     .timeout = 60)
{
	struct pagemv_region_opts opts = faults_by(&fills);
	struct faults_stage s;

	opts.fill = fill_and_replace;
	s = faults_set_up(PAGES, opts);
	faults_touch(s.heap + t_pages(5));
	faults_right(t_check_zero(s.heap + t_pages(5), 1));
	cr_expect_eq(fills.calls, 1);
	faults_tear_down(&s);
}

Test(below, another_userfaultfd_of_the_process_is_named, .timeout = 60)
{
	struct pagemv_region_opts opts = faults_by(&fills);
	struct pagemv *pv = faults_open();
	struct pagemv_region *region = NULL;
	enum pagemv_reason reason;
	char *heap = t_map(8);
	int fd = t_uffd_open();

	if (fd < 0)
		cr_skip("no userfaultfd to be the foreign one");
	opts.size = sizeof(opts);
	opts.flags = PAGEMV_REGION_FAULTING;
	cr_assert_eq(t_uffd_register_missing(fd, heap + t_pages(4), t_page()),
		     0);
	cr_expect_eq(pagemv_region_register(pv, heap, t_pages(8), &opts,
					    &region, &reason),
		     -EBUSY);
	cr_expect_eq(reason, PAGEMV_REASON_FOREIGN_UFFD);
	cr_expect_null(region);
	/* Nothing of it is registered. */
	faults_touch(heap);
	close(fd);
	region = faults_region(pv, heap, 8, faults_by(&fills));
	cr_assert_eq(pagemv_sigbus_install(), 0);
	faults_touch(heap + t_pages(4));
	faults_right(t_check(heap + t_pages(4), 5, 1));
	cr_expect_eq(pagemv_region_unregister(region), 0);
	pagemv_close(pv);
}
