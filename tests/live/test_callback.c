/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where faults may happen, and what a callback may do: in signal handlers, on
 * small stacks, in threads of any origin, in callbacks themselves; move
 * pages, end the thread, fork. Delivery is by signal.
 */
#include "faults.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGES 64

static struct fills fills;

/* What the next call of the callback does before it fills; FILLED: it has. */
static int (*hook)(const struct pagemv_fill *f);

#define FILLED 4711

static int fill_after_hook(void *arg, const struct pagemv_fill *f)
{
	int (*now)(const struct pagemv_fill *) =
		__atomic_exchange_n(&hook, NULL, __ATOMIC_ACQ_REL);
	int rc = now ? now(f) : 0;

	if (rc == FILLED)
		return 0;
	return rc ? rc : fill_pages(arg, f);
}

static struct faults_stage stage;

static void set_up_around(uint32_t pages)
{
	struct pagemv_region_opts opts = faults_by(&fills);

	opts.fill = fill_after_hook;
	opts.around_pages = pages;
	opts.flags = PAGEMV_REGION_AROUND_FIXED;
	stage = faults_set_up(PAGES, opts);
}

static void set_up(void)
{
	set_up_around(1);
}

static char *page_of(size_t i)
{
	return stage.heap + t_pages(i);
}

static void expect_filled(size_t i)
{
	faults_right(t_check(page_of(i), i + 1, 1));
}

/* A thread to wait for. */
static void run(void *(*body)(void *), void *arg, size_t stack_bytes)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	if (stack_bytes)
		cr_assert_eq(pthread_attr_setstacksize(&attr, stack_bytes), 0);
	cr_assert_eq(pthread_create(&thread, &attr, body, arg), 0);
	cr_assert_eq(pthread_join(thread, NULL), 0);
	pthread_attr_destroy(&attr);
}

static void *touch_in_thread(void *page)
{
	faults_touch(page);
	return NULL;
}

/* ---- where ---- */

Test(callback, runs_for_faults_in_library_calls, .timeout = 60)
{
	char *copy = malloc(t_pages(8));

	cr_assert_not_null(copy);
	set_up();
	memcpy(copy, page_of(0), t_pages(8));
	for (size_t i = 0; i < 8; i++)
		cr_expect_eq(t_look_present(copy + t_pages(i), NULL, NULL),
			     T_GOOD);
	memset(page_of(8) + 9, 'x', t_pages(8));
	page_of(16)[9] = 0;
	cr_expect_eq(strlen(page_of(8) + 9), t_pages(8));
	cr_expect_eq(memcmp(copy, page_of(20), 8), 0);
	snprintf(page_of(32) - 3, 10, "%d", 12345678);
	cr_expect_str_eq(page_of(32) - 3, "12345678");
	for (size_t i = 0; i < PAGES; i++)
		cr_expect_leq(fills.of[i], 1);
	free(copy);
	faults_tear_down(&stage);
}

static void touch_page_7(int sig)
{
	(void)sig;
	faults_touch(page_of(7));
}

Test(callback, runs_for_faults_in_signal_handlers, .timeout = 60)
{
	signal(SIGUSR1, touch_page_7);
	set_up();
	raise(SIGUSR1);
	expect_filled(7);
	faults_tear_down(&stage);
}

static int interrupted(const struct pagemv_fill *f)
{
	(void)f;
	return raise(SIGUSR1);
}

Test(callback, may_be_interrupted_by_a_handler_that_faults, .timeout = 60)
{
	signal(SIGUSR1, touch_page_7);
	set_up();
	hook = interrupted;
	faults_touch(page_of(0));
	expect_filled(0);
	expect_filled(7);
	faults_tear_down(&stage);
}

static void *hook_stack;

static int note_stack(const struct pagemv_fill *f)
{
	(void)f;
	hook_stack = __builtin_frame_address(0);
	return 0;
}

static void *touch_with_altstack(void *altstack)
{
	stack_t stack = { .ss_sp = altstack, .ss_size = t_pages(16) };

	if (sigaltstack(&stack, NULL) != 0)
		t_die("sigaltstack");
	faults_touch(page_of(0));
	return NULL;
}

Test(callback, runs_on_the_alternate_stack_of_a_thread_that_has_one,
     .timeout = 60)
{
	char *altstack = t_map(16);

	set_up();
	hook = note_stack;
	run(touch_with_altstack, altstack,
	    (size_t)sysconf(_SC_THREAD_STACK_MIN));
	cr_expect(altstack <= (char *)hook_stack &&
		  (char *)hook_stack < altstack + t_pages(16));
	expect_filled(0);
	faults_tear_down(&stage);
}

Test(callback, runs_on_a_small_stack, .timeout = 60)
{
	set_up();
	run(touch_in_thread, page_of(0),
	    (size_t)sysconf(_SC_THREAD_STACK_MIN) + t_pages(4));
	expect_filled(0);
	faults_tear_down(&stage);
}

static unsigned int timer_ran; /* atomic */

/* The C library starts them with all signals blocked. */
static void touch_in_timer(union sigval value)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGBUS);
	pthread_sigmask(SIG_UNBLOCK, &mask, NULL);
	faults_touch(value.sival_ptr);
	__atomic_store_n(&timer_ran, 1, __ATOMIC_RELEASE);
}

Test(callback, runs_in_threads_of_timers_that_let_it, .timeout = 60)
{
	struct itimerspec soon = { .it_value.tv_nsec = 1000 };
	struct sigevent event = { .sigev_notify = SIGEV_THREAD,
				  .sigev_notify_function = touch_in_timer };
	timer_t timer;

	set_up();
	event.sigev_value.sival_ptr = page_of(3);
	cr_assert_eq(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	cr_assert_eq(timer_settime(timer, 0, &soon, NULL), 0);
	while (!__atomic_load_n(&timer_ran, __ATOMIC_ACQUIRE))
		t_sleep_ms(1);
	expect_filled(3);
	timer_delete(timer);
	faults_tear_down(&stage);
}

static pthread_key_t key;

/* As long as the thread lets it: as the last one, and after liburcu's. */
static void touch_at_exit(void *page)
{
	char *next = (char *)page + t_page();

	faults_touch(page);
	if (next < page_of(PTHREAD_DESTRUCTOR_ITERATIONS))
		pthread_setspecific(key, next);
}

static void *leave_a_key(void *page)
{
	pthread_setspecific(key, page);
	return NULL;
}

Test(callback, runs_while_a_thread_ends, .timeout = 60)
{
	pthread_key_create(&key, touch_at_exit);
	set_up();
	run(leave_a_key, page_of(0), 0);
	for (size_t i = 0; i < PTHREAD_DESTRUCTOR_ITERATIONS; i++)
		expect_filled(i);
	/* A reader that had ended would hang this. */
	faults_tear_down(&stage);
}

Test(callback, of_two_handles_with_regions_side_by_side, .timeout = 60)
{
	static struct fills left, right;
	struct pagemv *pv[2] = { faults_open(), faults_open() };
	struct pagemv_region *regions[2];
	char *heap = t_map(16);

	cr_assert_eq(pagemv_sigbus_install(), 0);
	regions[0] = faults_region(pv[0], heap, 8, faults_by(&left));
	regions[1] =
		faults_region(pv[1], heap + t_pages(8), 8, faults_by(&right));
	memset(heap + 100, 1, t_pages(16) - 100);
	cr_expect_eq(left.calls, 8);
	cr_expect_eq(right.calls, 8);
	cr_expect_eq(pagemv_populate(pv[0], heap, t_pages(16), NULL), -ENOENT);
	pagemv_close(pv[0]);
	t_drop(heap, 16);
	faults_touch(heap + t_pages(9));
	faults_right(t_check(heap + t_pages(9), 2, 1));
	faults_right(t_check_absent(heap, 8));
	faults_touch(heap);
	cr_expect_eq(pagemv_region_unregister(regions[1]), 0);
	pagemv_close(pv[1]);
}

/* ---- system calls ---- */

Test(callback, does_not_run_for_system_calls_but_for_populate, .timeout = 60)
{
	char *text = malloc(t_pages(1));
	int fds[2];

	cr_assert_not_null(text);
	set_up();
	cr_assert_eq(pipe(fds), 0);
	errno = 0;
	cr_expect_eq(write(fds[1], page_of(0), 100), -1);
	cr_expect_eq(errno, EFAULT);
	cr_expect_eq(fills.calls, 0);
	cr_expect_eq(pagemv_populate(stage.pv, page_of(0), 100, NULL), 0);
	cr_expect_eq(write(fds[1], page_of(0), t_page()), (ssize_t)t_page());
	errno = 0;
	cr_expect_eq(read(fds[0], page_of(1), 100), -1);
	cr_expect_eq(errno, EFAULT);
	cr_expect_eq(pagemv_populate(stage.pv, page_of(1), 100, NULL), 0);
	cr_expect_eq(write(fds[1], page_of(0), t_page()), (ssize_t)t_page());
	cr_expect_gt(read(fds[0], page_of(1), t_page()), 0);
	expect_filled(0);
	cr_expect_eq(fills.calls, 2);
	free(text);
	faults_tear_down(&stage);
}

static int spoil_errno(const struct pagemv_fill *f)
{
	(void)f;
	errno = EXDEV;
	return 0;
}

Test(callback, leaves_errno_alone, .timeout = 60)
{
	size_t filled;

	set_up();
	hook = spoil_errno;
	errno = 4711;
	faults_touch(page_of(0));
	cr_expect_eq(errno, 4711);
	hook = spoil_errno;
	pagemv_populate(stage.pv, page_of(1), 1, &filled);
	cr_expect_eq(errno, 4711);
	faults_tear_down(&stage);
}

/* ---- callbacks that fault ---- */

/* More than there are slots of scratch; AddressSanitizer gives each thread a
 * small alternate stack, on which they are all handled. */
#ifdef __SANITIZE_ADDRESS__
#define DEEP 4
#else
#define DEEP 40
#endif

static int touch_next(const struct pagemv_fill *f)
{
	char *next = (char *)f->addr + t_page();

	if (next < page_of(DEEP)) {
		hook = touch_next;
		faults_touch(next);
	}
	return 0;
}

Test(callback, may_touch_other_pages_of_its_region, .timeout = 60)
{
	set_up();
	hook = touch_next;
	faults_touch(page_of(0));
	for (size_t i = 0; i < DEEP; i++) {
		expect_filled(i);
		cr_expect_eq(fills.of[i], 1);
	}
	faults_tear_down(&stage);
}

static char *other;

static int touch_other(const struct pagemv_fill *f)
{
	(void)f;
	faults_touch(other);
	return 0;
}

Test(callback, may_touch_another_region, .timeout = 60)
{
	static struct fills fills_of_other;
	struct pagemv_region *region;
	struct pagemv *pv = faults_open();

	other = t_map(1);
	set_up();
	region = faults_region(pv, other, 1, faults_by(&fills_of_other));
	hook = touch_other;
	faults_touch(page_of(5));
	expect_filled(5);
	faults_right(t_check(other, 1, 1));
	cr_expect_eq(pagemv_region_unregister(region), 0);
	pagemv_close(pv);
	faults_tear_down(&stage);
}

static int populate_rc;

static int populate_rest(const struct pagemv_fill *f)
{
	char *next = (char *)f->addr + t_page();

	populate_rc = pagemv_populate(stage.pv, next, t_pages(4), NULL);
	return populate_rc;
}

static int populate_own(const struct pagemv_fill *f)
{
	populate_rc = pagemv_populate(stage.pv, f->addr, 1, NULL);
	return 0;
}

Test(callback, may_populate_what_is_not_its_own, .timeout = 60)
{
	set_up();
	hook = populate_rest;
	faults_touch(page_of(5));
	cr_expect_eq(populate_rc, 0);
	for (size_t i = 5; i < 10; i++)
		expect_filled(i);
	hook = populate_own;
	faults_touch(page_of(20));
	cr_expect_eq(populate_rc, -EDEADLK);
	expect_filled(20);
	faults_tear_down(&stage);
}

/* ---- callbacks that move ---- */

static struct pagemv_result moved;

static int move_other(const struct pagemv_fill *f)
{
	(void)f;
	return pagemv_move(stage.pv, page_of(9), other, t_page(), NULL, &moved);
}

static int move_own(const struct pagemv_fill *f)
{
	return pagemv_move(stage.pv, f->addr, other, t_page(), NULL, &moved);
}

Test(callback, may_move_pages_into_its_region, .timeout = 60)
{
	other = t_map(1);
	set_up();
	t_fill(other, 1000, 7);
	hook = move_other;
	faults_touch(page_of(5));
	expect_filled(5);
	faults_right(t_check(page_of(9), 1000, 7));
	cr_expect_eq(fills.of[9], 0);
	faults_right(t_check_absent(other, 1));
	faults_tear_down(&stage);
}

/* What is there first stays, and scratch is thrown away. */
Test(callback, may_move_a_page_to_where_it_was_asked_for_one, .timeout = 60)
{
	other = t_map(1);
	set_up();
	t_fill(other, 1000, 7);
	hook = move_own;
	faults_touch(page_of(5));
	faults_right(t_check(page_of(5), 1000, 7));
	t_drop(page_of(5), 1);
	faults_touch(page_of(5));
	expect_filled(5);
	faults_tear_down(&stage);
}

static int move_elsewhere(const struct pagemv_fill *f)
{
	(void)f;
	return pagemv_move(stage.pv, other, page_of(3), t_page(), NULL, &moved);
}

Test(callback, may_move_pages_out_into_another_region, .timeout = 60)
{
	struct pagemv_region *region;

	other = t_map(1);
	set_up();
	faults_touch(page_of(3));
	cr_assert_eq(pagemv_region_register(stage.pv, other, t_page(), NULL,
					    &region, NULL),
		     0);
	hook = move_elsewhere;
	faults_touch(page_of(5));
	expect_filled(5);
	faults_right(t_check(other, 4, 1));
	faults_right(t_check_absent(page_of(3), 1));
	faults_touch(page_of(3));
	expect_filled(3);
	faults_tear_down(&stage);
}

/* ---- threads that end in a callback ---- */

static unsigned int inside; /* atomic */

static int end_thread(const struct pagemv_fill *f)
{
	memset(f->scratch, 0xee, f->len_bytes);
	pthread_exit(NULL);
}

static void *scratch;

static int note_scratch(const struct pagemv_fill *f)
{
	scratch = f->scratch;
	return 0;
}

/* Where the next callback is to write: the first slot that nobody has. */
static void *free_scratch(size_t page)
{
	hook = note_scratch;
	faults_touch(page_of(page));
	return scratch;
}

static int wait_for_cancel(const struct pagemv_fill *f)
{
	memset(f->scratch, 0xee, f->len_bytes);
	__atomic_store_n(&inside, 1, __ATOMIC_RELEASE);
	for (;;)
		pause();
	return 0;
}

#define ENDS 20

Test(callback, may_end_its_thread_and_nothing_has_happened, .timeout = 60)
{
	void *before;

	set_up();
	before = free_scratch(PAGES - 1);
	for (size_t i = 0; i < ENDS; i++) {
		hook = end_thread;
		run(touch_in_thread, page_of(i), 0);
		faults_right(t_check_absent(page_of(i), 1));
		faults_touch(page_of(i));
		expect_filled(i);
	}
	cr_expect_eq(free_scratch(PAGES - 2), before);
	faults_tear_down(&stage);
}

static int unregister_rc;

static void unregister_last(void *page)
{
	unregister_rc =
		pagemv_region_unregister_part(stage.region, page, t_page());
}

static void *touch_and_unregister(void *page)
{
	pthread_setspecific(key, page);
	faults_touch(page_of(0));
	return NULL;
}

Test(callback, that_ended_its_thread_is_not_at_work_any_more, .timeout = 60)
{
	pthread_key_create(&key, unregister_last);
	set_up();
	hook = end_thread;
	unregister_rc = 1;
	run(touch_and_unregister, page_of(1), 0);
	cr_expect_eq(unregister_rc, 0);
	faults_tear_down(&stage);
}

Test(callback, may_end_its_thread_on_an_alternate_stack, .timeout = 60)
{
	set_up();
	hook = end_thread;
	run(touch_with_altstack, t_map(16), 0);
	faults_right(t_check_absent(page_of(0), 1));
	faults_touch(page_of(0));
	expect_filled(0);
	faults_tear_down(&stage);
}

static void cancel_one(size_t i, void *(*body)(void *), void *arg)
{
	pthread_t thread, waiter;
	void *result = NULL;

	inside = 0;
	hook = wait_for_cancel;
	cr_assert_eq(pthread_create(&thread, NULL, body, arg), 0);
	while (!__atomic_load_n(&inside, __ATOMIC_ACQUIRE))
		t_sleep_ms(1);
	/* Waits for the page, and fills it in the end. */
	cr_assert_eq(pthread_create(&waiter, NULL, touch_in_thread, page_of(i)),
		     0);
	t_sleep_ms(i % 3);
	faults_right(t_check_absent(page_of(i), 1));
	cr_assert_eq(pthread_cancel(thread), 0);
	cr_assert_eq(pthread_join(thread, &result), 0);
	cr_expect_eq(result, PTHREAD_CANCELED);
	cr_assert_eq(pthread_join(waiter, NULL), 0);
	expect_filled(i);
	cr_expect_eq(fills.of[i], 1);
}

Test(callback, may_be_cancelled_and_those_who_wait_go_on, .timeout = 60)
{
	void *before;

	set_up();
	before = free_scratch(PAGES - 1);
	for (size_t i = 1; i < ENDS; i++)
		cancel_one(i, touch_in_thread, page_of(i));
	cancel_one(0, touch_with_altstack, t_map(16));
	cr_expect_eq(free_scratch(PAGES - 2), before);
	faults_tear_down(&stage);
}

/* ---- fork ---- */

static pid_t child;

/* The child goes on and ends before the parent does: what comes of it is not to
 * reach the parent. */
static int fork_and_wait(const struct pagemv_fill *f, int of_child)
{
	child = fork();
	if (child == 0) {
		alarm(20);
		t_fill(f->scratch, 666, 6);
		return of_child;
	}
	return t_wait(child) == 0 ? 0 : -EIO;
}

static int fork_and_zero(const struct pagemv_fill *f)
{
	return fork_and_wait(f, PAGEMV_FILL_ZEROS);
}

static int fork_and_write(const struct pagemv_fill *f)
{
	return fork_and_wait(f, FILLED);
}

static void forks(int (*how)(const struct pagemv_fill *f), uint32_t around)
{
	int zero;

	set_up_around(around);
	hook = how;
	zero = faults_touch(page_of(5)) == 0;
	if (child == 0) {
		/* Absent pages read as zeros in a child. */
		_exit(zero ? 0 : 1);
	}
	expect_filled(5);
	cr_expect_eq(fills.of[5], 1);
	faults_tear_down(&stage);
}

Test(callback, may_fork_and_zeros_of_the_child_stay_in_it, .timeout = 60)
{
	forks(fork_and_zero, 1);
}

Test(callback, may_fork_and_pages_of_the_child_stay_in_it, .timeout = 60)
{
	forks(fork_and_write, 1);
}

Test(callback, may_fork_and_windows_of_the_child_stay_in_it, .timeout = 60)
{
	forks(fork_and_write, 8);
}
