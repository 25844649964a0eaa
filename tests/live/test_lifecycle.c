/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ends of regions, handles and processes while threads fault. Delivery is by
 * signal. Mappings that change below a region: test_below.c.
 */
#include "faults.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 64
#define TIMES 50

/* ---- a crowd of threads that fault all the time ---- */

#define CROWD 3

struct crowd {
	char *heap;
	pthread_t threads[CROWD];
	unsigned int rounds[CROWD]; /* atomic */
	unsigned int next;	    /* atomic */
	bool stop;		    /* atomic */
	size_t wrong;		    /* atomic: pages of another content */
};

static struct crowd crowd;

/* A page is as it was filled, or zeros. */
static bool is_right(const char *heap, size_t i)
{
	const struct t_head *head = (const void *)(heap + t_pages(i));
	uint64_t id = __atomic_load_n(&head->id, __ATOMIC_RELAXED);

	return id == 0 || id == i + 1;
}

static void *fault_on(void *arg)
{
	unsigned int me = __atomic_fetch_add(&crowd.next, 1, __ATOMIC_RELAXED);
	struct t_random random = t_random_make(me + 1);

	(void)arg;
	while (!__atomic_load_n(&crowd.stop, __ATOMIC_RELAXED)) {
		size_t i = t_random_below(&random, PAGES);

		if (!is_right(crowd.heap, i))
			__atomic_fetch_add(&crowd.wrong, 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&crowd.rounds[me], 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static int start_crowd(char *heap)
{
	crowd = (struct crowd){ .heap = heap };
	for (size_t i = 0; i < CROWD; i++)
		if (pthread_create(&crowd.threads[i], NULL, fault_on, NULL))
			return -1;
	return 0;
}

/* Each thread goes on: twice, as one round may have been finished already. */
static void expect_alive(void)
{
	for (size_t i = 0; i < CROWD; i++) {
		unsigned int before =
			__atomic_load_n(&crowd.rounds[i], __ATOMIC_RELAXED);

		while (__atomic_load_n(&crowd.rounds[i], __ATOMIC_RELAXED) -
			       before <
		       2)
			sched_yield();
	}
}

static void stop_crowd(void)
{
	__atomic_store_n(&crowd.stop, true, __ATOMIC_RELAXED);
	for (size_t i = 0; i < CROWD; i++)
		pthread_join(crowd.threads[i], NULL);
	cr_expect_eq(crowd.wrong, 0, "%zu wrong pages", crowd.wrong);
}

/* ---- the region of the crowd ---- */

static struct fills fills;
static unsigned int at_work; /* atomic: callbacks */

/* Now and then it takes so long that others wait for the page. */
static int fill_slowly(void *arg, const struct pagemv_fill *f)
{
	int rc;

	__atomic_fetch_add(&at_work, 1, __ATOMIC_RELAXED);
	if (fills.calls % 8 == 0)
		t_sleep_ms(1);
	rc = fill_pages(arg, f);
	__atomic_fetch_sub(&at_work, 1, __ATOMIC_RELEASE);
	return rc;
}

static struct pagemv_region_opts slow_opts(size_t i)
{
	struct pagemv_region_opts opts = faults_by(&fills);

	opts.fill = fill_slowly;
	opts.around_pages = i % 2 ? 8 : 1;
	return opts;
}

/* Throws the pages away while they are filled, until some have been. */
static void keep_faulting(unsigned int calls)
{
	unsigned int before = __atomic_load_n(&fills.calls, __ATOMIC_RELAXED);

	while (__atomic_load_n(&fills.calls, __ATOMIC_RELAXED) - before <
	       calls) {
		t_drop(crowd.heap, PAGES);
		sched_yield();
	}
	t_drop(crowd.heap, PAGES);
}

/* The region has ended: nobody is in its callback, and nobody comes. */
static void expect_nobody(void)
{
	unsigned int calls;

	cr_expect_eq(__atomic_load_n(&at_work, __ATOMIC_ACQUIRE), 0);
	calls = __atomic_load_n(&fills.calls, __ATOMIC_RELAXED);
	t_drop(crowd.heap, PAGES);
	expect_alive();
	cr_expect_eq(__atomic_load_n(&fills.calls, __ATOMIC_RELAXED), calls);
}

Test(lifecycle, a_region_ends_while_threads_fault_in_it, .timeout = 120)
{
	struct pagemv *pv = faults_open();
	char *heap = t_map(PAGES);

	cr_assert_eq(pagemv_sigbus_install(), 0);
	cr_assert_eq(start_crowd(heap), 0);
	for (size_t i = 0; i < TIMES; i++) {
		struct pagemv_region *region =
			faults_region(pv, heap, PAGES, slow_opts(i));

		keep_faulting(5);
		cr_expect_eq(pagemv_region_unregister(region), 0);
		expect_nobody();
	}
	stop_crowd();
	pagemv_close(pv);
}

static void expect_parted(size_t from, size_t end)
{
	t_drop(crowd.heap, PAGES);
	for (size_t i = 0; i < PAGES; i++) {
		const char *page = crowd.heap + t_pages(i);

		faults_touch(page);
		faults_right(from <= i && i < end ? t_check_zero(page, 1)
						  : t_check(page, i + 1, 1));
	}
}

Test(lifecycle, a_part_of_a_region_ends_while_threads_fault_in_it,
     .timeout = 120)
{
	struct pagemv *pv = faults_open();
	char *heap = t_map(PAGES);

	cr_assert_eq(pagemv_sigbus_install(), 0);
	cr_assert_eq(start_crowd(heap), 0);
	for (size_t i = 0; i < TIMES; i++) {
		struct pagemv_region *region =
			faults_region(pv, heap, PAGES, slow_opts(i));
		size_t from = i % 3 * 8, n = 16 + i % 5;

		keep_faulting(3);
		cr_expect_eq(pagemv_region_unregister_part(
				     region, heap + t_pages(from), t_pages(n)),
			     0);
		expect_parted(from, from + n);
		keep_faulting(3);
		cr_expect_eq(pagemv_region_unregister(region), 0);
		expect_nobody();
	}
	stop_crowd();
	pagemv_close(pv);
}

Test(lifecycle, a_region_of_which_all_parts_have_ended_still_ends,
     .timeout = 60)
{
	struct faults_stage s = faults_set_up(PAGES, faults_by(&fills));

	cr_expect_eq(pagemv_region_unregister_part(s.region, s.heap,
						   t_pages(PAGES / 2)),
		     0);
	cr_expect_eq(pagemv_region_unregister_part(s.region,
						   s.heap + t_pages(PAGES / 2),
						   t_pages(PAGES / 2)),
		     0);
	memset(s.heap, 1, t_pages(PAGES));
	cr_expect_eq(fills.calls, 0);
	faults_tear_down(&s);
}

Test(lifecycle, a_handle_is_closed_while_threads_fault, .timeout = 120)
{
	char *heap = t_map(PAGES);

	pagemv_close(faults_open());
	cr_assert_eq(pagemv_sigbus_install(), 0);
	cr_assert_eq(start_crowd(heap), 0);
	for (size_t i = 0; i < TIMES; i++) {
		struct pagemv *pv = faults_open();

		faults_region(pv, heap, PAGES / 2, slow_opts(i));
		faults_region(pv, heap + t_pages(PAGES / 2), PAGES / 2,
			      (struct pagemv_region_opts){ 0 });
		keep_faulting(5);
		pagemv_close(pv);
		expect_nobody();
	}
	stop_crowd();
}

/* ---- calls of a callback ---- */

static struct faults_stage stage;
static int unregister_rc, part_rc;

static int fill_and_unregister(void *arg, const struct pagemv_fill *f)
{
	unregister_rc = pagemv_region_unregister(f->region);
	part_rc =
		pagemv_region_unregister_part(f->region, f->addr, f->len_bytes);
	return fill_pages(arg, f);
}

Test(lifecycle, a_callback_does_not_end_its_own_region, .timeout = 60)
{
	struct pagemv_region_opts opts = faults_by(&fills);

	opts.fill = fill_and_unregister;
	stage = faults_set_up(PAGES, opts);
	faults_touch(stage.heap);
	cr_expect_eq(unregister_rc, -EDEADLK);
	cr_expect_eq(part_rc, -EDEADLK);
	faults_right(t_check(stage.heap, 1, 1));
	faults_touch(stage.heap + t_page());
	faults_right(t_check(stage.heap + t_page(), 2, 1));
	faults_tear_down(&stage);
}

static int fill_and_unregister_other(void *arg, const struct pagemv_fill *f)
{
	struct pagemv_region *region =
		__atomic_exchange_n(&stage.region, NULL, __ATOMIC_ACQ_REL);

	unregister_rc = pagemv_region_unregister(region);
	return fill_pages(arg, f);
}

Test(lifecycle, a_callback_may_end_another_region, .timeout = 60)
{
	struct pagemv_region_opts opts = faults_by(&fills);
	struct pagemv_region *other;
	char *heap = t_map(1);

	stage = faults_set_up(PAGES, opts);
	opts.fill = fill_and_unregister_other;
	other = faults_region(stage.pv, heap, 1, opts);
	faults_touch(heap);
	cr_expect_eq(unregister_rc, 0);
	faults_right(t_check(heap, 1, 1));
	faults_touch(stage.heap);
	faults_right(t_check_zero(stage.heap, 1));
	cr_expect_eq(pagemv_region_unregister(other), 0);
	faults_tear_down(&stage);
}

/* ---- fork ---- */

#define IN_CHILD(condition)                                               \
	do {                                                              \
		if (!(condition)) {                                       \
			fprintf(stderr, "child, line %d: %s\n", __LINE__, \
				#condition);                              \
			return 1;                                         \
		}                                                         \
	} while (0)

static int calls_in_child(void)
{
	struct pagemv_region_opts opts = faults_by(&fills);
	char *heap = t_map(1);
	struct pagemv_region *region;
	size_t filled = 77;

	opts.size = sizeof(opts);
	opts.flags = PAGEMV_REGION_FAULTING;
	IN_CHILD(pagemv_populate(stage.pv, stage.heap, 1, &filled) == -ESRCH);
	IN_CHILD(filled == 0);
	IN_CHILD(pagemv_region_unregister(stage.region) == -ESRCH);
	IN_CHILD(pagemv_region_unregister_part(stage.region, stage.heap,
					       t_page()) == -ESRCH);
	IN_CHILD(pagemv_region_register(stage.pv, heap, t_page(), &opts,
					&region, NULL) == -ESRCH);
	IN_CHILD(pagemv_sigbus_install() == 0);
	IN_CHILD(pagemv_sigbus_uninstall() == 0);
	return 0;
}

/* A child may have regions of its own, where the parent has some too. */
static int own_region_in_child(void)
{
	struct pagemv_region_opts opts = faults_by(&fills);
	struct pagemv_region *region;
	struct pagemv *pv;

	opts.size = sizeof(opts);
	opts.flags = PAGEMV_REGION_FAULTING;
	t_drop(stage.heap, PAGES);
	IN_CHILD(pagemv_open(&pv, NULL) == 0);
	IN_CHILD(pagemv_region_register(pv, stage.heap, t_pages(PAGES), &opts,
					&region, NULL) == 0);
	faults_touch(stage.heap + t_pages(3));
	IN_CHILD(t_check(stage.heap + t_pages(3), 4, 1) == NULL);
	IN_CHILD(pagemv_region_unregister(region) == 0);
	pagemv_close(pv);
	return 0;
}

static int look_in_child(void *arg)
{
	unsigned int calls = fills.calls;

	(void)arg;
	alarm(20);
	faults_touch(stage.heap);
	faults_touch(stage.heap + t_page());
	IN_CHILD(t_check(stage.heap, 1, 1) == NULL);
	IN_CHILD(t_check_zero(stage.heap + t_page(), 1) == NULL);
	IN_CHILD(fills.calls == calls);
	IN_CHILD(calls_in_child() == 0);
	IN_CHILD(own_region_in_child() == 0);
	pagemv_close(stage.pv);
	return 0;
}

Test(lifecycle, a_child_finds_what_was_there_and_zeros, .timeout = 60)
{
	stage = faults_set_up(PAGES, faults_by(&fills));
	faults_touch(stage.heap);
	cr_expect_eq(t_in_child(look_in_child, NULL), 0);
	/* The parent goes on. */
	faults_touch(stage.heap + t_page());
	faults_right(t_check_range(stage.heap, 2, 1));
	faults_tear_down(&stage);
}

static int storm_in_child(void *arg)
{
	const bool *closes = arg;

	alarm(20);
	for (size_t i = 0; i < PAGES; i++)
		IN_CHILD(is_right(crowd.heap, i));
	IN_CHILD(pagemv_populate(stage.pv, stage.heap, 1, NULL) == -ESRCH);
	/* Threads of the parent's may have been anywhere in it. */
	if (*closes)
		pagemv_close(stage.pv);
	return 0;
}

static void set_up_crowd(void)
{
	stage = faults_set_up(PAGES, slow_opts(1));
	cr_assert_eq(start_crowd(stage.heap), 0);
}

static void tear_down_crowd(void)
{
	stop_crowd();
	faults_tear_down(&stage);
}

Test(lifecycle, fork_while_threads_fault, .timeout = 120)
{
	set_up_crowd();
	for (size_t i = 0; i < TIMES; i++) {
		bool closes = i % 2;
		int status;

		keep_faulting(2);
		status = t_in_child(storm_in_child, &closes);
		cr_expect_eq(status, 0, "child %zu: %d", i, status);
		expect_alive();
	}
	tear_down_crowd();
}

/* ---- other programs ---- */

static char *const argv_true[] = { "sh", "-c", "exit 7", NULL };

static int exec_in_vfork(void)
{
	pid_t pid = vfork();

	if (pid == 0) {
		alarm(20);
		/* In the parent's memory: served as if by the parent. */
		faults_touch(stage.heap);
		execv("/bin/sh", argv_true);
		_exit(1);
	}
	return t_wait(pid);
}

static int spawn(void)
{
	pid_t pid;

	if (posix_spawn(&pid, "/bin/sh", NULL, NULL, argv_true, NULL) != 0)
		return -1;
	return t_wait(pid);
}

Test(lifecycle, other_programs_start_while_threads_fault, .timeout = 120)
{
	set_up_crowd();
	for (size_t i = 0; i < 10; i++) {
		keep_faulting(2);
		cr_expect_eq(exec_in_vfork(), 7);
		keep_faulting(2);
		cr_expect_eq(spawn(), 7);
		keep_faulting(2);
		cr_expect_eq(WEXITSTATUS(system("exit 7")), 7);
		expect_alive();
	}
	tear_down_crowd();
}

static int exec_with_crowd(void *arg)
{
	struct pagemv_region_opts opts = slow_opts(0);

	(void)arg;
	alarm(20);
	opts.size = sizeof(opts);
	opts.flags = PAGEMV_REGION_FAULTING;
	IN_CHILD(pagemv_open(&stage.pv, NULL) == 0);
	IN_CHILD(pagemv_sigbus_install() == 0);
	IN_CHILD(pagemv_region_register(stage.pv, stage.heap, t_pages(PAGES),
					&opts, &stage.region, NULL) == 0);
	IN_CHILD(start_crowd(stage.heap) == 0);
	keep_faulting(5);
	execv("/bin/sh", argv_true);
	return 1;
}

Test(lifecycle, a_process_becomes_another_program_while_threads_fault,
     .timeout = 60)
{
	pagemv_close(faults_open());
	stage.heap = t_map(PAGES);
	for (size_t i = 0; i < 5; i++)
		cr_expect_eq(t_in_child(exec_with_crowd, NULL), 7);
}

/* ---- what is left behind ---- */

static void use_and_close(void)
{
	struct pagemv *pv = faults_open();
	struct pagemv_region *region;
	char *heap = t_map(PAGES);

	region = faults_region(pv, heap, PAGES, faults_by(&fills));
	for (size_t i = 0; i < PAGES; i++)
		faults_touch(heap + t_pages(i));
	cr_expect_eq(pagemv_region_unregister_part(region, heap + t_page(),
						   t_page()),
		     0);
	pagemv_close(pv);
	t_unmap(heap, PAGES);
}

Test(lifecycle, a_closed_handle_leaves_nothing_behind, .timeout = 60)
{
	size_t fds, mappings;

	cr_assert_eq(pagemv_sigbus_install(), 0);
	use_and_close(); /* liburcu keeps what it has for a thread */
	fds = t_count_fds();
	mappings = t_count_mappings();
	for (int i = 0; i < 3; i++)
		use_and_close();
	cr_expect_eq(t_count_fds(), fds);
	cr_expect_eq(t_count_mappings(), mappings);
}

Test(lifecycle, no_descriptor_is_left_to_other_programs, .timeout = 60)
{
	bool open_before[256];

	for (int fd = 0; fd < 256; fd++)
		open_before[fd] = fcntl(fd, F_GETFD) >= 0;
	stage = faults_set_up(PAGES, faults_by(&fills));
	faults_touch(stage.heap);
	for (int fd = 0; fd < 256; fd++) {
		int flags = fcntl(fd, F_GETFD);

		cr_expect(open_before[fd] || flags < 0 || flags & FD_CLOEXEC,
			  "descriptor %d", fd);
	}
	faults_tear_down(&stage);
}
