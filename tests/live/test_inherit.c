/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Children of fork() that have a region too, served by the handlers of their
 * parent.
 */
#include "faults.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 64

static struct fills fills;

struct stage {
	struct pagemv *pv;
	struct pagemv_handlers *handlers;
	char *heap;
	char *other; /* as many pages somewhere else */
	struct pagemv_region *region;
};

static struct pagemv_handlers *start(struct pagemv *pv, unsigned int threads)
{
	struct pagemv_handlers_opts o = { .size = sizeof(o),
					  .threads = threads };
	struct pagemv_handlers *h;

	cr_assert_eq(pagemv_handlers_start(pv, &o, &h), 0);
	return h;
}

static struct stage set_up(unsigned int threads, struct pagemv_region_opts opts)
{
	struct stage s = { .pv = faults_open() };
	enum pagemv_reason reason;
	int rc;

	s.heap = t_map(PAGES);
	s.other = t_map(PAGES);
	opts.size = sizeof(opts);
	opts.delivery = PAGEMV_DELIVERY_THREADS;
	opts.flags |= PAGEMV_REGION_FAULTING | PAGEMV_REGION_EVENTS |
		      PAGEMV_REGION_INHERIT;
	rc = pagemv_region_register(s.pv, s.heap, t_pages(PAGES), &opts,
				    &s.region, &reason);
	if (rc == -EOPNOTSUPP && reason == PAGEMV_REASON_NOT_PERMITTED) {
		pagemv_close(s.pv);
		cr_skip("not permitted to have children inherit");
	}
	cr_assert_eq(rc, 0, "register: %d, %s", rc,
		     pagemv_reason_string(reason));
	s.handlers = start(s.pv, threads);
	return s;
}

static void tear_down(struct stage *s)
{
	cr_expect_eq(pagemv_region_unregister(s->region), 0);
	cr_expect_eq(pagemv_handlers_stop(s->handlers), 0);
	pagemv_close(s->pv);
}

static void touch_all(const char *at, size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		faults_touch(at + t_pages(i));
}

/* ---- what a child finds ---- */

static int touch_and_check(void *arg)
{
	struct stage *s = arg;

	touch_all(s->heap, PAGES);
	return t_check_range(s->heap, PAGES, 1) != NULL;
}

Test(inherit, a_child_gets_the_pages_that_it_touches, .timeout = 60)
{
	struct stage s = set_up(1, faults_by(&fills));

	touch_all(s.heap, 8);
	cr_expect_eq(t_in_child(touch_and_check, &s), 0);
	for (size_t i = 0; i < PAGES; i++)
		cr_expect_eq(fills.of[i], 1, "page %zu: %u", i, fills.of[i]);
	faults_right(t_check_absent(s.heap + t_pages(8), PAGES - 8));
	touch_all(s.heap, PAGES);
	faults_right(t_check_range(s.heap, PAGES, 1));
	tear_down(&s);
}

static int store_and_check(void *arg)
{
	struct stage *s = arg;

	for (size_t i = 0; i < PAGES; i++)
		memset(s->heap + t_pages(i) + t_page() / 2, 1, 8);
	for (size_t i = 0; i < PAGES; i++)
		if (t_look(s->heap + t_pages(i), NULL, NULL) != T_TORN)
			return 1;
	return 0;
}

Test(inherit, what_a_child_stores_is_its_own, .timeout = 60)
{
	struct stage s = set_up(2, faults_by(&fills));

	touch_all(s.heap, PAGES / 2);
	cr_expect_eq(t_in_child(store_and_check, &s), 0);
	touch_all(s.heap, PAGES);
	faults_right(t_check_range(s.heap, PAGES, 1));
	tear_down(&s);
}

static int check_zeros(void *arg)
{
	struct stage *s = arg;

	touch_all(s->heap, PAGES);
	return t_check_zero(s->heap, PAGES) != NULL;
}

Test(inherit, zeros_are_inherited, .timeout = 60)
{
	struct pagemv_region_opts opts = { .source = PAGEMV_SOURCE_ZERO };
	struct stage s = set_up(1, opts);

	cr_expect_eq(t_in_child(check_zeros, &s), 0);
	tear_down(&s);
}

Test(inherit, files_are_inherited, .timeout = 60)
{
	struct pagemv_region_opts opts = { .source = PAGEMV_SOURCE_FILE };
	char *pages = t_map(PAGES);
	FILE *file = tmpfile();
	struct stage s;

	cr_assert(file != NULL);
	t_fill_range(pages, PAGES, 1);
	cr_assert_eq(write(fileno(file), pages, t_pages(PAGES)),
		     (ssize_t)t_pages(PAGES));
	opts.fd = fileno(file);
	s = set_up(1, opts);
	cr_expect_eq(t_in_child(touch_and_check, &s), 0);
	tear_down(&s);
	fclose(file);
}

/* ---- generations ---- */

static int fork_again(void *arg)
{
	struct stage *s = arg;

	faults_touch(s->heap + t_pages(1));
	if (t_in_child(touch_and_check, s) != 0)
		return 2;
	return touch_and_check(s);
}

Test(inherit, so_do_the_children_of_children, .timeout = 60)
{
	struct stage s = set_up(1, faults_by(&fills));

	cr_expect_eq(t_in_child(fork_again, &s), 0);
	cr_expect_eq(fills.of[1], 1);
	cr_expect_eq(fills.of[2], 2);
	tear_down(&s);
}

Test(inherit, many_at_a_time, .timeout = 60)
{
	struct stage s = set_up(2, faults_by(&fills));
	pid_t pids[20];

	for (size_t i = 0; i < T_COUNT(pids); i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			_exit(touch_and_check(&s));
		cr_assert(pids[i] > 0);
	}
	for (size_t i = 0; i < T_COUNT(pids); i++)
		cr_expect_eq(t_wait(pids[i]), 0);
	for (size_t i = 0; i < PAGES; i++)
		cr_expect_eq(fills.of[i], T_COUNT(pids));
	tear_down(&s);
}

static int touch_ends(void *arg)
{
	struct stage *s = arg;
	char *last = s->heap + t_pages(PAGES - 1);

	faults_touch(s->heap);
	faults_touch(last);
	return t_check_range(s->heap, 1, 1) || t_check_range(last, 1, PAGES);
}

/* More than there may be at a time, so few pages of each. */
Test(inherit, nothing_is_kept_of_those_that_have_ended, .timeout = 60)
{
	struct stage s = set_up(1, faults_by(&fills));
	size_t fds = t_count_fds();

	for (int i = 0; i < 140; i++)
		cr_assert_eq(t_in_child(touch_ends, &s), 0, "%d", i);
	cr_expect_leq(t_count_fds(), fds + 2);
	tear_down(&s);
}

/* ---- what a child does to its mappings ---- */

static int remap_and_check(void *arg)
{
	struct stage *s = arg;
	void *at;

	at = mremap(s->heap, t_pages(PAGES), t_pages(PAGES),
		    MREMAP_MAYMOVE | MREMAP_FIXED, s->other);
	if (at != s->other)
		return 2;
	touch_all(s->other, 32);
	if (t_check_range(s->other, 32, 1))
		return 3;
	/* Away, and mapped anew: no region. */
	at = mmap(s->other, t_pages(16), PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (at != s->other)
		return 4;
	touch_all(s->other, 16);
	if (t_check_zero(s->other, 16))
		return 5;
	t_drop(s->other + t_pages(16), 8);
	touch_all(s->other + t_pages(16), PAGES - 16);
	return t_check_range(s->other + t_pages(16), PAGES - 16, 17) ? 6 : 0;
}

Test(inherit, a_child_may_do_what_its_parent_may, .timeout = 60)
{
	struct stage s = set_up(1, faults_by(&fills));

	cr_expect_eq(t_in_child(remap_and_check, &s), 0);
	touch_all(s.heap, PAGES);
	faults_right(t_check_range(s.heap, PAGES, 1));
	tear_down(&s);
}

static struct stage moved_to(const struct stage *s, char *to)
{
	struct stage there = *s;

	cr_assert_eq(mremap(s->heap, t_pages(PAGES), t_pages(PAGES),
			    MREMAP_MAYMOVE | MREMAP_FIXED, to),
		     to);
	there.heap = to;
	return there;
}

Test(inherit, its_parent_goes_on, .timeout = 60)
{
	struct stage s = set_up(2, faults_by(&fills)), there;
	pid_t pid;

	pid = fork();
	if (pid == 0) {
		t_sleep_ms(20);
		_exit(touch_and_check(&s));
	}
	there = moved_to(&s, s.other);
	cr_expect_eq(t_in_child(touch_and_check, &there), 0);
	touch_all(there.heap, PAGES);
	faults_right(t_check_range(there.heap, PAGES, 1));
	cr_expect_eq(t_wait(pid), 0, "at the place that it was at");
	tear_down(&s);
}

Test(inherit, populate_finds_it_where_it_is, .timeout = 60)
{
	struct stage s = set_up(2, faults_by(&fills)), at = s;

	for (int i = 0; i < 200; i++) {
		int rc;

		at = moved_to(&at, t_map(PAGES));
		rc = pagemv_populate(s.pv, at.heap, t_pages(1), NULL);
		cr_assert_eq(rc, 0, "%d: %d", i, rc);
	}
	cr_expect_eq(fills.of[0], 1);
	tear_down(&s);
}

/* ---- the end ---- */

static int pipes[2];

/* Touches the second half when it is told to. */
static int wait_and_touch(struct stage *s)
{
	char c;

	touch_all(s->heap, PAGES / 2);
	if (read(pipes[0], &c, 1) < 0)
		return 2;
	touch_all(s->heap, PAGES);
	if (t_check_range(s->heap, PAGES / 2, 1))
		return 3;
	return t_check_zero(s->heap + t_pages(PAGES / 2), PAGES / 2) ? 4 : 0;
}

static void outlive(bool close)
{
	struct stage s;
	pid_t pid, sibling;

	memset(&fills, 0, sizeof(fills));
	s = set_up(1, faults_by(&fills));
	cr_assert_eq(pipe(pipes), 0);
	pid = fork();
	if (pid == 0)
		_exit(wait_and_touch(&s));
	while (__atomic_load_n(&fills.calls, __ATOMIC_RELAXED) < PAGES / 2)
		t_sleep_ms(1);
	/* Has all descriptors that its parent has. */
	sibling = fork();
	if (sibling == 0)
		for (;;)
			pause();
	if (close)
		pagemv_close(s.pv);
	else
		cr_expect_eq(pagemv_region_unregister(s.region), 0);
	cr_assert_eq(write(pipes[1], "x", 1), 1);
	cr_expect_eq(t_wait(pid), 0);
	kill(sibling, SIGKILL);
	t_wait(sibling);
	cr_expect_eq(fills.calls, PAGES / 2);
	if (!close)
		pagemv_close(s.pv);
}

Test(inherit, a_child_that_outlives_the_region_has_zeros, .timeout = 60)
{
	outlive(false);
}

Test(inherit, a_child_that_outlives_the_handle_has_zeros, .timeout = 60)
{
	outlive(true);
}

static int fail_one(void *arg, const struct pagemv_fill *f)
{
	return f->off_bytes == t_pages(3) ? -EIO : fill_pages(arg, f);
}

static int touch_third(void *arg)
{
	struct stage *s = arg;

	signal(SIGBUS, SIG_DFL);
	faults_touch(s->heap + t_pages(3));
	return 0;
}

Test(inherit, what_cannot_be_filled_is_poisoned, .timeout = 60)
{
	struct pagemv_caps caps = { .size = sizeof(caps) };
	struct pagemv_region_opts opts = faults_by(&fills);
	struct stage s;

	opts.fill = fail_one;
	s = set_up(1, opts);
	cr_assert_eq(pagemv_caps(s.pv, &caps), 0);
	if (caps.facilities & PAGEMV_HAS_POISON)
		cr_expect_eq(t_in_child(touch_third, &s), 128 + SIGBUS);
	tear_down(&s);
}

/* ---- locks that fork() holds ---- */

static int fill_by_malloc(void *arg, const struct pagemv_fill *f)
{
	for (int i = 0; i < 20; i++) {
		void *p = malloc(200000), *q = malloc(64);

		free(q);
		free(p);
	}
	return fill_pages(arg, f);
}

struct beside {
	pthread_t thread;
	struct stage *s;
	bool stop; /* atomic */
};

static void *touch_and_drop(void *arg)
{
	struct beside *b = arg;

	while (!__atomic_load_n(&b->stop, __ATOMIC_RELAXED)) {
		touch_all(b->s->heap, PAGES);
		t_drop(b->s->heap, PAGES);
	}
	return NULL;
}

Test(inherit, callbacks_may_allocate_while_others_fork, .timeout = 60)
{
	struct pagemv_region_opts opts = faults_by(&fills);
	uint64_t end = t_now_ns() + 400000000u;
	struct beside b = { .stop = false };
	struct stage s;

	opts.fill = fill_by_malloc;
	s = set_up(1, opts);
	b.s = &s;
	cr_assert_eq(pthread_create(&b.thread, NULL, touch_and_drop, &b), 0);
	while (t_now_ns() < end)
		cr_assert_eq(t_in_child(touch_and_check, &s), 0);
	__atomic_store_n(&b.stop, true, __ATOMIC_RELAXED);
	pthread_join(b.thread, NULL);
	tear_down(&s);
}
