/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Faulting regions: what fills them, how much of them at once, and that each
 * page is filled once. Delivery is by signal; by threads: test_handlers.c.
 */
#include "faults.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 64

static struct fills fills;

static void expect_fills(size_t first, size_t n, unsigned int times)
{
	for (size_t i = first; i < first + n; i++)
		cr_expect_eq(fills.of[i], times, "page %zu: filled %u times", i,
			     fills.of[i]);
}

static void expect_right(const char *wrong)
{
	cr_expect(!wrong, "%s", wrong);
}

/* Touches one page, as a program that only reads. */
static char touch(const char *page)
{
	return *(const volatile char *)page;
}

static uint64_t filled_bytes(struct pagemv *pv)
{
	struct pagemv_stats stats = { .size = sizeof(stats) };

	cr_assert_eq(pagemv_stats(pv, &stats), 0);
	return stats.filled_bytes;
}

struct stage {
	struct pagemv *pv;
	char *heap;
	struct pagemv_region *region;
};

static struct stage set_up(size_t pages, struct pagemv_region_opts opts)
{
	struct stage s = { .pv = faults_open() };

	cr_assert_eq(pagemv_sigbus_install(), 0);
	s.heap = t_map(pages);
	s.region = faults_region(s.pv, s.heap, pages, opts);
	return s;
}

static void tear_down(struct stage *s, size_t pages)
{
	cr_expect_eq(pagemv_region_unregister(s->region), 0);
	cr_expect_eq(pagemv_sigbus_uninstall(), 0);
	pagemv_close(s->pv);
	t_unmap(s->heap, pages);
}

/* ---- sources ---- */

Test(fault, a_callback_fills_the_page_that_is_touched, .timeout = 60)
{
	struct stage s = set_up(PAGES, faults_by(&fills));

	touch(s.heap + t_pages(3) + 100);
	expect_fills(3, 1, 1);
	expect_right(t_check(s.heap + t_pages(3), 4, 1));
	cr_expect_eq(fills.calls, 1);
	expect_right(t_check_absent(s.heap, 3));
	expect_right(t_check_absent(s.heap + t_pages(4), PAGES - 4));
	tear_down(&s, PAGES);
}

Test(fault, a_store_lands_on_top_of_what_was_filled, .timeout = 60)
{
	struct stage s = set_up(PAGES, faults_by(&fills));
	struct t_head *head = (struct t_head *)(s.heap + t_pages(5));

	__atomic_fetch_add(&head->counter, 7, __ATOMIC_RELAXED);
	expect_right(t_check(head, 6, 1));
	cr_expect_eq(head->counter, 7);
	tear_down(&s, PAGES);
}

Test(fault, a_callback_may_ask_for_zeros, .timeout = 60)
{
	struct stage s;

	fills.answer = PAGEMV_FILL_ZEROS;
	fills.answers = 1;
	s = set_up(PAGES, faults_by(&fills));
	touch(s.heap);
	expect_right(t_check_zero(s.heap, 1));
	touch(s.heap + t_pages(1));
	expect_right(t_check(s.heap + t_pages(1), 2, 1));
	tear_down(&s, PAGES);
}

Test(fault, a_callback_may_answer_nothing_else, .timeout = 60)
{
	struct stage s;

	fills.answer = PAGEMV_FILL_ZEROS + 1;
	fills.answers = 1;
	s = set_up(PAGES, faults_by(&fills));
	cr_expect_eq(pagemv_populate(s.pv, s.heap, t_page(), NULL), -EINVAL);
	expect_right(t_check_absent(s.heap, 1));
	touch(s.heap);
	expect_right(t_check(s.heap, 1, 1));
	tear_down(&s, PAGES);
}

Test(fault, zeros, .timeout = 60)
{
	struct pagemv_region_opts opts = { .source = PAGEMV_SOURCE_ZERO,
					   .around_pages = 8 };
	struct stage s = set_up(PAGES, opts);

	for (size_t i = 0; i < PAGES; i++)
		s.heap[t_pages(i)] = (char)i;
	for (size_t i = 0; i < PAGES; i++)
		cr_expect_eq(s.heap[t_pages(i)], (char)i);
	tear_down(&s, PAGES);
}

Test(fault, pages_move_in_from_a_range, .timeout = 60)
{
	struct pagemv_region_opts opts = { .source = PAGEMV_SOURCE_RANGE };
	char *src = t_map(PAGES), *heap = t_map(PAGES);
	struct pagemv *pv = faults_open();
	struct pagemv_region *region;

	t_fill_range(src, PAGES, 1);
	t_drop(src + t_pages(9), 1);
	opts.src_off_bytes = src - heap;
	opts.around_pages = 4;
	cr_assert_eq(pagemv_sigbus_install(), 0);
	region = faults_region(pv, heap, PAGES, opts);
	for (size_t i = 0; i < PAGES; i++)
		touch(heap + t_pages(i));
	expect_right(t_check_range(heap, 9, 1));
	expect_right(t_check_zero(heap + t_pages(9), 1));
	expect_right(t_check_range(heap + t_pages(10), PAGES - 10, 11));
	expect_right(t_check_absent(src, PAGES));
	cr_expect_eq(filled_bytes(pv), t_pages(PAGES));
	cr_expect_eq(pagemv_region_unregister(region), 0);
	pagemv_close(pv);
}

static unsigned int mirrored[PAGES];

/* Backwards, and every fourth page is zeros. */
static void *mirror(void *arg, void *dst)
{
	char *const *ranges = arg;
	size_t i = (size_t)((char *)dst - ranges[0]) / t_page();

	mirrored[i]++;
	return i % 4 == 3 ? NULL : ranges[1] + t_pages(PAGES - 1 - i);
}

Test(fault, a_function_says_where_pages_come_from, .timeout = 60)
{
	char *ranges[2] = { t_map(PAGES), t_map(PAGES) };
	struct pagemv_region_opts opts = { .source = PAGEMV_SOURCE_RANGE,
					   .relocate = mirror,
					   .arg = ranges,
					   .around_pages = 16,
					   .flags =
						   PAGEMV_REGION_AROUND_FIXED };
	struct pagemv *pv = faults_open();
	struct pagemv_region *region;

	t_fill_range(ranges[1], PAGES, 1);
	cr_assert_eq(pagemv_sigbus_install(), 0);
	region = faults_region(pv, ranges[0], PAGES, opts);
	for (size_t i = 0; i < PAGES; i++) {
		char *page = ranges[0] + t_pages(i);

		touch(page);
		expect_right(i % 4 == 3 ? t_check_zero(page, 1)
					: t_check(page, PAGES - i, 1));
		cr_expect_eq(mirrored[i], 1, "page %zu: asked %u times", i,
			     mirrored[i]);
	}
	cr_expect_eq(pagemv_region_unregister(region), 0);
	pagemv_close(pv);
}

/* A file of some pages and a half. */
static int make_file(size_t pages)
{
	char *text = malloc(t_pages(pages + 1));
	int fd = t_temp_file();

	cr_assert(text);
	t_fill_range(text, pages + 1, 1);
	cr_assert_eq(write(fd, text, t_pages(pages) + 100),
		     (ssize_t)t_pages(pages) + 100);
	free(text);
	return fd;
}

Test(fault, a_file_is_read_where_it_is_touched, .timeout = 60)
{
	struct pagemv_region_opts opts = { .source = PAGEMV_SOURCE_FILE,
					   .around_pages = 8,
					   .fd = make_file(20) };
	struct stage s = set_up(PAGES, opts);
	const char *tail = s.heap + t_pages(20);
	size_t filled = 0;

	for (size_t i = 0; i < 20; i++)
		touch(s.heap + t_pages(i));
	expect_right(t_check_range(s.heap, 20, 1));
	for (size_t i = 0; i < 100; i++)
		touch(tail + i);
	for (size_t i = 100; i < t_page(); i++)
		cr_assert_eq(tail[i], 0, "byte %zu behind the end", i);
	cr_expect_eq(pagemv_populate(s.pv, s.heap, t_pages(PAGES), &filled),
		     -ENXIO);
	expect_right(t_check_absent(s.heap + t_pages(21), PAGES - 21));
	tear_down(&s, PAGES);
}

/* ---- around ---- */

Test(fault, a_fixed_window_is_the_block_around_the_page, .timeout = 60)
{
	struct pagemv_region_opts opts = faults_by(&fills);
	struct stage s;

	opts.flags = PAGEMV_REGION_AROUND_FIXED;
	opts.around_pages = 8;
	s = set_up(20, opts);
	touch(s.heap + t_pages(13));
	expect_fills(0, 8, 0);
	expect_fills(8, 8, 1);
	touch(s.heap + t_pages(18)); /* the region ends at 20 */
	expect_fills(16, 4, 1);
	cr_expect_eq(fills.calls, 2);
	expect_right(t_check_range(s.heap + t_pages(8), 12, 9));
	tear_down(&s, 20);
}

Test(fault, a_window_stops_at_pages_that_are_there, .timeout = 60)
{
	struct pagemv_region_opts opts = faults_by(&fills);
	struct stage s;

	s = set_up(16, faults_by(&fills));
	touch(s.heap + t_pages(6));
	cr_assert_eq(pagemv_region_unregister(s.region), 0);
	memset(&fills, 0, sizeof(fills));
	opts.flags = PAGEMV_REGION_AROUND_FIXED;
	opts.around_pages = 16;
	s.region = faults_region(s.pv, s.heap, 16, opts);
	touch(s.heap + t_pages(3));
	expect_fills(6, 1, 0);
	touch(s.heap + t_pages(7));
	expect_right(t_check_range(s.heap, 16, 1));
	for (size_t i = 0; i < 16; i++)
		cr_expect(fills.of[i] <= 1, "page %zu: %u", i, fills.of[i]);
	tear_down(&s, 16);
}

Test(fault, windows_grow_while_pages_are_touched_in_order, .timeout = 60)
{
	struct pagemv_region_opts opts = faults_by(&fills);
	struct stage s;

	opts.around_pages = 16;
	s = set_up(PAGES, opts);
	for (size_t i = 0; i < PAGES; i++)
		touch(s.heap + t_pages(i));
	expect_fills(0, PAGES, 1);
	cr_expect_eq(fills.longest, 16);
	/* 1, 2, 4, 8, 16, 16, 16, 1 */
	cr_expect(fills.calls <= 9, "%u calls", fills.calls);
	expect_right(t_check_range(s.heap, PAGES, 1));
	tear_down(&s, PAGES);
}

Test(fault, windows_grow_downwards_too, .timeout = 60)
{
	struct pagemv_region_opts opts = faults_by(&fills);
	struct stage s;

	opts.around_pages = 16;
	s = set_up(PAGES, opts);
	for (size_t i = PAGES; i-- > 0;)
		touch(s.heap + t_pages(i));
	expect_fills(0, PAGES, 1);
	cr_expect(fills.calls <= 9, "%u calls", fills.calls);
	expect_right(t_check_range(s.heap, PAGES, 1));
	tear_down(&s, PAGES);
}

Test(fault, windows_go_on_behind_pages_that_are_there, .timeout = 60)
{
	struct pagemv_region_opts opts = faults_by(&fills);
	unsigned int calls;
	struct stage s;

	opts.around_pages = 16;
	s = set_up(PAGES, opts);
	for (size_t i = 20; i < PAGES; i += 20)
		touch(s.heap + t_pages(i));
	calls = fills.calls;
	for (size_t i = 0; i < PAGES; i++)
		touch(s.heap + t_pages(i));
	expect_fills(0, PAGES, 1);
	/* 1, 2, 4, 8, 5 | 15, 4 | 16, 3 | 3 */
	cr_expect(fills.calls - calls <= 11, "%u calls", fills.calls - calls);
	tear_down(&s, PAGES);
}

Test(fault, windows_stay_small_while_pages_are_touched_at_random, .timeout = 60)
{
	struct pagemv_region_opts opts = faults_by(&fills);
	struct stage s;

	opts.around_pages = 16;
	s = set_up(PAGES, opts);
	for (size_t i = 0; i < PAGES; i += 3)
		touch(s.heap + t_pages(i * 5 % PAGES));
	cr_expect(fills.longest <= 2, "%zu pages", fills.longest);
	tear_down(&s, PAGES);
}

/* ---- once ---- */

struct toucher {
	char *heap;
	pthread_barrier_t *start;
	size_t pages;
};

static void *touch_all(void *arg)
{
	const struct toucher *t = arg;

	pthread_barrier_wait(t->start);
	for (size_t i = 0; i < t->pages; i++)
		__atomic_fetch_add(
			&((struct t_head *)(t->heap + t_pages(i)))->counter, 1,
			__ATOMIC_RELAXED);
	return NULL;
}

static void many_threads(size_t around)
{
	struct pagemv_region_opts opts = faults_by(&fills);
	pthread_barrier_t start;
	pthread_t threads[8];
	struct toucher t;
	struct stage s;

	opts.around_pages = (uint32_t)around;
	s = set_up(FILLS, opts);
	t = (struct toucher){ s.heap, &start, FILLS };
	pthread_barrier_init(&start, NULL, 8);
	for (size_t i = 0; i < 8; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, touch_all, &t),
			     0);
	for (size_t i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	expect_fills(0, FILLS, 1);
	expect_right(t_check_range(s.heap, FILLS, 1));
	cr_expect_eq(t_sum_counters(s.heap, FILLS), 8 * FILLS);
	tear_down(&s, FILLS);
}

Test(fault, many_threads_on_one_page_fill_it_once, .timeout = 60)
{
	many_threads(1);
}

Test(fault, many_threads_with_windows_fill_each_page_once, .timeout = 60)
{
	many_threads(16);
}

/* ---- pages come and go ---- */

Test(fault, a_page_that_was_thrown_away_is_filled_again, .timeout = 60)
{
	struct stage s = set_up(PAGES, faults_by(&fills));

	touch(s.heap + t_pages(2));
	t_drop(s.heap + t_pages(2), 1);
	touch(s.heap + t_pages(2));
	expect_fills(2, 1, 2);
	expect_right(t_check(s.heap + t_pages(2), 3, 1));
	tear_down(&s, PAGES);
}

Test(fault, pages_move_in_and_out_by_pagemv_move, .timeout = 60)
{
	struct stage s = set_up(PAGES, faults_by(&fills));
	char *other = t_map(4);
	struct pagemv_region *quiet;
	struct pagemv_result res;

	t_fill_range(other, 4, 1000);
	cr_expect_eq(pagemv_move(s.pv, s.heap, other, t_pages(4), NULL, &res),
		     0, "%s", pagemv_reason_string(res.reason));
	expect_right(t_check_range(s.heap, 4, 1000));
	expect_fills(0, 4, 0);
	cr_assert_eq(pagemv_region_register(s.pv, other, t_pages(4), NULL,
					    &quiet, NULL),
		     0);
	cr_expect_eq(pagemv_move(s.pv, other, s.heap, t_pages(4), NULL, &res),
		     0, "%s", pagemv_reason_string(res.reason));
	expect_right(t_check_range(other, 4, 1000));
	touch(s.heap + t_pages(1));
	expect_fills(1, 1, 1);
	expect_right(t_check(s.heap + t_pages(1), 2, 1));
	cr_expect_eq(pagemv_move(s.pv, s.heap, other, t_pages(4), NULL, &res),
		     -EEXIST);
	cr_expect_eq(res.left_off, t_pages(1));
	expect_right(t_check(s.heap, 1000, 1));
	expect_right(t_check(s.heap + t_pages(1), 2, 1));
	tear_down(&s, PAGES);
}

/* ---- pagemv_populate() ---- */

Test(fault, populate_fills_what_is_absent_and_counts_it, .timeout = 60)
{
	struct pagemv_region_opts opts = faults_by(&fills);
	size_t filled = 0;
	struct stage s;

	opts.around_pages = 8;
	s = set_up(PAGES, opts);
	touch(s.heap + t_pages(10));
	cr_expect_eq(pagemv_populate(s.pv, s.heap + 10, t_pages(20), &filled),
		     0);
	cr_expect_geq(filled, t_pages(20));
	expect_fills(0, 21, 1);
	expect_right(t_check_range(s.heap, 21, 1));
	cr_expect_eq(pagemv_populate(s.pv, s.heap, t_pages(21), &filled), 0);
	cr_expect_eq(filled, 0);
	tear_down(&s, PAGES);
}

Test(fault, populate_tells_where_it_cannot, .timeout = 60)
{
	struct stage s = set_up(PAGES, faults_by(&fills));
	size_t filled = 77;

	cr_expect_eq(pagemv_populate(s.pv, s.heap, 0, &filled), -EINVAL);
	cr_expect_eq(filled, 0);
	cr_expect_eq(pagemv_populate(NULL, s.heap, 1, NULL), -EINVAL);
	cr_expect_eq(pagemv_populate(s.pv, s.heap, SIZE_MAX, NULL), -EINVAL);
	cr_expect_eq(pagemv_populate(s.pv, s.heap, t_pages(PAGES) + 1, NULL),
		     -ENOENT);
	expect_right(t_check_absent(s.heap, PAGES));
	fills.answer = -EIO;
	fills.answers = 1000;
	cr_expect_eq(pagemv_populate(s.pv, s.heap, t_pages(4), &filled), -EIO);
	cr_expect_eq(filled, 0);
	fills.answer = 0;
	cr_expect_eq(pagemv_populate(s.pv, s.heap, t_pages(4), &filled), 0);
	cr_expect_eq(filled, t_pages(4));
	tear_down(&s, PAGES);
}

Test(fault, a_neighbour_that_fails_does_not_fail_the_page, .timeout = 60)
{
	struct pagemv_region_opts opts = { .source = PAGEMV_SOURCE_FILE,
					   .around_pages = 16,
					   .flags = PAGEMV_REGION_AROUND_FIXED,
					   .fd = make_file(4) };
	struct stage s = set_up(PAGES, opts);

	touch(s.heap + t_pages(2));
	expect_right(t_check(s.heap + t_pages(2), 3, 1));
	expect_right(t_check_absent(s.heap, 2));
	tear_down(&s, PAGES);
}
