/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What comes between the beginning of a fault and its end: signals whose
 * handlers touch the same page, cancellation at any instruction, the end of
 * regions, and mappings that become somebody else's.
 */
#include "faults.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 64

static char *heap;
static size_t at; /* the page that is touched; atomic */
static pthread_t toucher;
static bool over; /* atomic */

static void touch_the_same(int sig)
{
	(void)sig;
	faults_touch(heap + t_pages(__atomic_load_n(&at, __ATOMIC_RELAXED)));
}

static void *send_signals(void *arg)
{
	while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
		pthread_kill(toucher, SIGUSR1);
		usleep(20);
	}
	return arg;
}

static struct pagemv_region_opts zeros(void)
{
	return (struct pagemv_region_opts){ .source = PAGEMV_SOURCE_ZERO };
}

/* Without signals blocked it hung after 1165 to 20532 faults. */
Test(disturbed, by_a_handler_that_touches_the_page_that_is_being_filled,
     .timeout = 60)
{
	struct faults_stage s = faults_set_up(PAGES, zeros());
	uint64_t end = t_now_ns() + 1000000000;
	pthread_t sender;

	heap = s.heap;
	toucher = pthread_self();
	signal(SIGUSR1, touch_the_same);
	cr_assert_eq(pthread_create(&sender, NULL, send_signals, NULL), 0);
	while (t_now_ns() < end) {
		t_drop(heap, PAGES);
		for (size_t i = 0; i < PAGES; i++) {
			__atomic_store_n(&at, i, __ATOMIC_RELAXED);
			faults_touch(heap + t_pages(i));
		}
		t_drop(heap, PAGES);
		cr_assert_eq(pagemv_populate(s.pv, heap, t_pages(PAGES), NULL),
			     0);
	}
	__atomic_store_n(&over, true, __ATOMIC_RELAXED);
	pthread_join(sender, NULL);
	faults_tear_down(&s);
}

static void *touch_for_ever(void *arg)
{
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	for (;;)
		for (size_t i = 0; i < PAGES; i++)
			faults_touch(heap + t_pages(i));
	return arg;
}

/* Unregistering waits for whoever holds the region. */
Test(disturbed, by_cancellation_at_any_instruction, .timeout = 60)
{
	struct faults_stage s = faults_set_up(PAGES, zeros());
	struct t_random random = t_random_make(1);

	heap = s.heap;
	for (int round = 0; round < 200; round++) {
		pthread_t thread;

		cr_assert_eq(
			pthread_create(&thread, NULL, touch_for_ever, NULL), 0);
		usleep((useconds_t)(100 + t_random_below(&random, 600)));
		pthread_cancel(thread);
		pthread_join(thread, NULL);
		cr_assert_eq(pagemv_region_unregister(s.region), 0);
		t_drop(heap, PAGES);
		s.region = faults_region(s.pv, heap, PAGES, zeros());
	}
	faults_tear_down(&s);
}

/* A file beyond its end, in the middle of a region: the signal is nobody's. */
static int signals;

static void note_and_map(int sig)
{
	(void)sig;
	signals++;
	if (mmap(heap + t_page(), t_page(), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		_exit(99);
}

static void touch_beyond_a_file(bool filled_before)
{
	struct faults_stage s;
	FILE *file = tmpfile();

	cr_assert_not_null(file);
	signal(SIGBUS, note_and_map);
	s = faults_set_up(PAGES, zeros());
	heap = s.heap;
	if (filled_before)
		faults_touch(heap + t_page());
	cr_assert_neq(mmap(heap + t_page(), t_page(), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_FIXED, fileno(file), 0),
		      MAP_FAILED);
	faults_touch(heap + t_page());
	cr_expect_eq(signals, 1);
	faults_touch(heap);
	faults_tear_down(&s);
	fclose(file);
}

Test(disturbed, by_a_file_that_ends_inside_the_region, .timeout = 60)
{
	touch_beyond_a_file(false);
}

Test(disturbed, by_a_file_where_a_page_had_been, .timeout = 60)
{
	touch_beyond_a_file(true);
}

/* A fault that was raised before the region ended, and is handled after. */
Test(disturbed, by_the_end_of_a_region_again_and_again, .timeout = 60)
{
	struct faults_stage s = faults_set_up(PAGES, zeros());
	siginfo_t late;

	memset(&late, 0, sizeof(late));
	late.si_signo = SIGBUS;
	late.si_code = BUS_ADRERR;
	late.si_addr = s.heap;
	for (int round = 0; round < 500; round++) {
		cr_assert_eq(pagemv_region_unregister(s.region), 0);
		cr_assert_eq(pagemv_sigbus(&late, NULL), 1, "round %d", round);
		t_drop(s.heap, PAGES);
		s.region = faults_region(s.pv, s.heap, PAGES, zeros());
		faults_touch(s.heap);
	}
	cr_assert_eq(pagemv_region_unregister(s.region), 0);
	for (int times = 0; times < 1000; times++)
		if (pagemv_sigbus(&late, NULL) == 0)
			goto told;
	cr_expect(0, "what comes again and again is somebody else's");
told:
	pagemv_close(s.pv);
}

/* ---- with events ---- */

static bool is_at_work, may_end; /* atomic */

static int fill_slowly(void *arg, const struct pagemv_fill *f)
{
	memset(f->scratch, *(const char *)arg, f->len_bytes);
	if (f->len_bytes > t_page()) {
		__atomic_store_n(&is_at_work, true, __ATOMIC_RELEASE);
		while (!__atomic_load_n(&may_end, __ATOMIC_ACQUIRE))
			usleep(1000);
	}
	return 0;
}

static void *touch_first(void *arg)
{
	faults_touch(heap);
	return arg;
}

/* The second half of a window is unmapped while it is filled, mapped again and
 * registered for something else. */
Test(disturbed, by_a_new_region_where_a_window_is_on_its_way, .timeout = 60)
{
	struct pagemv_handlers_opts three = { .size = sizeof(three),
					      .threads = 3 };
	struct pagemv_region_opts opts = {
		.flags = PAGEMV_REGION_EVENTS | PAGEMV_REGION_AROUND_FIXED,
		.delivery = PAGEMV_DELIVERY_THREADS,
		.source = PAGEMV_SOURCE_CALLBACK,
		.fill = fill_slowly,
		.arg = "A",
		.around_pages = 16,
	};
	struct faults_stage s = faults_set_up(16, opts);
	struct pagemv_handlers *handlers;
	struct pagemv_region *second;
	char *half = s.heap + t_pages(8);
	pthread_t thread;

	heap = s.heap;
	cr_assert_eq(pagemv_handlers_start(s.pv, &three, &handlers), 0);
	cr_assert_eq(pthread_create(&thread, NULL, touch_first, NULL), 0);
	while (!__atomic_load_n(&is_at_work, __ATOMIC_ACQUIRE))
		usleep(1000);
	munmap(half, t_pages(8));
	cr_assert_eq(mmap(half, t_pages(8), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
		     (void *)half);
	opts.arg = "B";
	opts.around_pages = 1;
	opts.flags = PAGEMV_REGION_EVENTS;
	second = faults_region(s.pv, half, 8, opts);
	__atomic_store_n(&may_end, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	for (size_t i = 0; i < 16; i++)
		cr_expect_eq(faults_touch(s.heap + t_pages(i)),
			     i < 8 ? 'A' : 'B', "page %zu", i);
	cr_expect_eq(pagemv_region_unregister(second), 0);
	cr_expect_eq(pagemv_handlers_stop(handlers), 0);
	faults_tear_down(&s);
}
