/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Delivery by handler threads: who fills what, how they begin and end, and
 * what becomes of those who wait.
 */
#include "faults.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES	FILLS
#define TOUCHES 8 /* threads that touch pages, at most */

static struct fills fills;

struct stage {
	struct pagemv *pv;
	char *heap;
	struct pagemv_region *region;
};

static struct stage set_up(struct pagemv_region_opts opts)
{
	struct stage s = { .pv = faults_open() };

	opts.delivery = PAGEMV_DELIVERY_THREADS;
	s.heap = t_map(PAGES);
	s.region = faults_region(s.pv, s.heap, PAGES, opts);
	return s;
}

static void tear_down(struct stage *s)
{
	cr_expect_eq(pagemv_region_unregister(s->region), 0);
	pagemv_close(s->pv);
	t_unmap(s->heap, PAGES);
}

static struct pagemv_handlers *start(struct stage *s, unsigned int threads,
				     uint64_t spin_ns)
{
	struct pagemv_handlers_opts opts = { .size = sizeof(opts),
					     .threads = threads,
					     .spin_ns = spin_ns };
	struct pagemv_handlers *h = NULL;
	int rc = pagemv_handlers_start(s->pv, &opts, &h);

	cr_assert_eq(rc, 0, "start: %d", rc);
	return h;
}

static void stop(struct pagemv_handlers *h)
{
	int rc = pagemv_handlers_stop(h);

	cr_assert_eq(rc, 0, "stop: %d", rc);
}

/* ---- threads that touch pages ---- */

struct toucher {
	pthread_t thread;
	char *heap;
	size_t first, pages, step; /* first, first + step, ... */
	unsigned int done;	   /* pages; atomic */
};

/* The first byte of each page, which is not 0 where it was filled; atomic. */
static char first_bytes[PAGES];

static void *touch_them(void *arg)
{
	struct toucher *t = arg;

	for (size_t i = 0; i < t->pages; i++) {
		size_t page = (t->first + i * t->step) % PAGES;

		__atomic_store_n(&first_bytes[page],
				 faults_touch(t->heap + t_pages(page)),
				 __ATOMIC_RELAXED);
		__atomic_fetch_add(&t->done, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void touch_start(struct toucher *t, struct stage *s, size_t first,
			size_t pages, size_t step)
{
	*t = (struct toucher){
		.heap = s->heap, .first = first, .pages = pages, .step = step
	};
	if (pthread_create(&t->thread, NULL, touch_them, t) != 0)
		t_die("no thread");
}

static void touch_join(struct toucher *t)
{
	pthread_join(t->thread, NULL);
	cr_expect_eq(t->done, t->pages);
}

static unsigned int touched(struct toucher *t)
{
	return __atomic_load_n(&t->done, __ATOMIC_RELAXED);
}

/* Until they wait in the kernel, as far as can be seen from here. */
static void let_them_wait(void)
{
	t_sleep_ms(50 * t_slow());
}

static void expect_filled_once(struct stage *s, size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		cr_expect_eq(fills.of[i], 1, "page %zu: filled %u times", i,
			     fills.of[i]);
	faults_right(t_check_range(s->heap, pages, 1));
}

/* All threads touch all pages, each in an order of its own. */
static void all_touch_all(unsigned int threads, unsigned int handlers,
			  uint64_t spin_ns, uint32_t around)
{
	static const size_t steps[TOUCHES] = {
		1, 255, 3, 251, 17, 239, 85, 129
	};
	struct pagemv_region_opts opts = faults_by(&fills);
	struct toucher t[TOUCHES];
	struct pagemv_handlers *h;
	struct stage s;

	memset(&fills, 0, sizeof(fills));
	opts.around_pages = around;
	s = set_up(opts);
	h = start(&s, handlers, spin_ns);
	for (unsigned int i = 0; i < threads; i++)
		touch_start(&t[i], &s, i * 31, PAGES, steps[i]);
	for (unsigned int i = 0; i < threads; i++)
		touch_join(&t[i]);
	expect_filled_once(&s, PAGES);
	stop(h);
	tear_down(&s);
}

Test(handlers, each_page_is_filled_once, .timeout = 60)
{
	for (unsigned int threads = 1; threads <= TOUCHES; threads *= 2)
		for (unsigned int handlers = 1; handlers <= 4; handlers++)
			all_touch_all(threads, handlers, 0, 1);
}

Test(handlers, each_page_is_filled_once_around_others, .timeout = 60)
{
	all_touch_all(1, 1, 0, 16);
	cr_expect_lt(fills.calls, PAGES, "none was filled around another");
	all_touch_all(TOUCHES, 3, 0, 16);
}

Test(handlers, they_may_spin, .timeout = 60)
{
	all_touch_all(1, 1, UINT64_MAX, 1);
	all_touch_all(4, 2, 100000, 1);
	all_touch_all(2, 1, 1, 1);
}

Test(handlers, none_and_defaults, .timeout = 60)
{
	struct stage s = set_up(faults_by(&fills));
	struct pagemv_handlers *h;

	cr_expect_eq(pagemv_handlers_stop(NULL), 0);
	cr_assert_eq(pagemv_handlers_start(s.pv, NULL, &h), 0);
	faults_touch(s.heap + t_pages(9));
	cr_expect_eq(fills.of[9], 1);
	stop(h);
	tear_down(&s);
}

/* ---- batches ---- */

static size_t order[TOUCHES];
static unsigned int ordered; /* atomic */

static int fill_in_order(void *arg, const struct pagemv_fill *f)
{
	unsigned int i = __atomic_fetch_add(&ordered, 1, __ATOMIC_RELAXED);

	if (i < TOUCHES)
		order[i] = f->off_bytes / t_page();
	return fill_pages(arg, f);
}

Test(handlers, a_batch_is_served_in_the_order_of_addresses, .timeout = 60)
{
	struct pagemv_region_opts opts = faults_by(&fills);
	struct toucher t[TOUCHES];
	struct pagemv_handlers *h;
	struct stage s;

	opts.fill = fill_in_order;
	s = set_up(opts);
	for (size_t i = 0; i < TOUCHES; i++)
		touch_start(&t[i], &s, i * 37 % TOUCHES * 10, 1, 1);
	let_them_wait();
	h = start(&s, 1, 0);
	for (size_t i = 0; i < TOUCHES; i++)
		touch_join(&t[i]);
	for (size_t i = 1; i < TOUCHES; i++)
		cr_expect_lt(order[i - 1], order[i]);
	stop(h);
	tear_down(&s);
}

static int fill_slowly(void *arg, const struct pagemv_fill *f)
{
	t_sleep_ms(20);
	return fill_pages(arg, f);
}

static void all_touch_one(unsigned int handlers, bool before)
{
	struct pagemv_region_opts opts = faults_by(&fills);
	struct pagemv_handlers *h = NULL;
	struct toucher t[TOUCHES];
	struct stage s;

	memset(&fills, 0, sizeof(fills));
	opts.fill = fill_slowly;
	s = set_up(opts);
	if (before)
		h = start(&s, handlers, 0);
	for (size_t i = 0; i < TOUCHES; i++)
		touch_start(&t[i], &s, 5, 1, 1);
	let_them_wait();
	if (!before)
		h = start(&s, handlers, 0);
	for (size_t i = 0; i < TOUCHES; i++)
		touch_join(&t[i]);
	cr_expect_eq(fills.calls, 1, "%u calls", fills.calls);
	cr_expect_eq(fills.of[5], 1);
	stop(h);
	tear_down(&s);
}

Test(handlers, all_who_wait_for_one_page_go_on, .timeout = 60)
{
	all_touch_one(1, false);
	all_touch_one(1, true);
	all_touch_one(4, false);
	all_touch_one(4, true);
}

/* ---- failures ---- */

static __thread sigjmp_buf jump;
static __thread siginfo_t caught;

static void on_sigbus(int sig, siginfo_t *info, void *ucontext)
{
	(void)sig;
	(void)ucontext;
	caught = *info;
	siglongjmp(jump, 1);
}

static void catch_sigbus(void)
{
	struct sigaction action = { .sa_sigaction = on_sigbus,
				    .sa_flags = SA_SIGINFO };

	cr_assert_eq(sigaction(SIGBUS, &action, NULL), 0);
}

/* Returns whether the access was made; else the signal is in caught. */
static bool try_touch(const char *page)
{
	if (sigsetjmp(jump, 1))
		return false;
	faults_touch(page);
	return true;
}

Test(handlers, a_callback_that_fails_is_told_to_the_one_who_waits,
     .timeout = 60)
{
	struct stage s = set_up(faults_by(&fills));
	char *page = s.heap + t_pages(7);
	struct pagemv_handlers *h = start(&s, 1, 0);

	catch_sigbus();
	fills.answer = -EIO;
	fills.answers = 2;
	for (int i = 0; i < 2; i++) {
		cr_assert(!try_touch(page + 123));
		cr_expect_eq(caught.si_signo, SIGBUS);
		cr_expect_eq(caught.si_code, SI_QUEUE);
		cr_expect_eq(caught.si_errno, EIO);
		cr_expect_eq(caught.si_addr, page);
		faults_right(t_check_absent(page, 1));
	}
	cr_expect(try_touch(page), "it is asked for again");
	cr_expect_eq(fills.calls, 3);
	faults_right(t_check(page, 8, 1));
	stop(h);
	tear_down(&s);
}

/* Of the pages of a toucher every third fails, for good. */
static int fail_every_third(void *arg, const struct pagemv_fill *f)
{
	return f->off_bytes / t_page() % 3 == 0 ? -ENOSPC : fill_pages(arg, f);
}

static void *try_them(void *arg)
{
	struct toucher *t = arg;

	for (size_t i = 0; i < PAGES; i++) {
		size_t n = (t->first + i) % PAGES;
		char *page = t->heap + t_pages(n);
		bool made = try_touch(page);

		if (made == (n % 3 != 0) && (made || caught.si_addr == page))
			__atomic_fetch_add(&t->done, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

Test(handlers, each_thread_gets_its_own_signals, .timeout = 60)
{
	struct pagemv_region_opts opts = faults_by(&fills);
	struct toucher t[TOUCHES];
	struct pagemv_handlers *h;
	struct stage s;

	catch_sigbus();
	opts.fill = fail_every_third;
	s = set_up(opts);
	h = start(&s, 2, 0);
	for (size_t i = 0; i < TOUCHES; i++) {
		t[i] = (struct toucher){ .heap = s.heap, .first = i / 2 * 50 };
		if (pthread_create(&t[i].thread, NULL, try_them, &t[i]) != 0)
			t_die("no thread");
	}
	for (size_t i = 0; i < TOUCHES; i++) {
		pthread_join(t[i].thread, NULL);
		cr_expect_eq(t[i].done, PAGES, "%u as expected", t[i].done);
	}
	for (size_t i = 0; i < PAGES; i++)
		cr_expect_eq(fills.of[i], i % 3 != 0);
	stop(h);
	tear_down(&s);
}

Test(handlers, a_callback_may_ask_to_try_again, .timeout = 60)
{
	struct stage s = set_up(faults_by(&fills));
	struct pagemv_handlers *h = start(&s, 2, 0);

	fills.answer = -EAGAIN;
	fills.answers = 100;
	faults_touch(s.heap);
	cr_expect_eq(fills.of[0], 1);
	cr_expect_eq(fills.calls, 101, "%u calls", fills.calls);
	stop(h);
	tear_down(&s);
}

/* ---- the end of handlers ---- */

static sem_t entered, leave;

static int fill_when_told(void *arg, const struct pagemv_fill *f)
{
	sem_post(&entered);
	while (sem_wait(&leave) < 0)
		continue;
	return fill_pages(arg, f);
}

static void *stop_thread(void *arg)
{
	return (void *)(intptr_t)pagemv_handlers_stop(arg);
}

static struct stage set_up_told(void)
{
	struct pagemv_region_opts opts = faults_by(&fills);

	sem_init(&entered, 0, 0);
	sem_init(&leave, 0, 0);
	opts.fill = fill_when_told;
	return set_up(opts);
}

static void wait_entered(void)
{
	while (sem_wait(&entered) < 0)
		continue;
}

Test(handlers, stop_waits_for_the_fault_they_are_at, .timeout = 60)
{
	struct stage s = set_up_told();
	struct pagemv_handlers *h = start(&s, 1, 0);
	struct toucher at, later;
	pthread_t stopper;
	void *rc;

	touch_start(&at, &s, 3, 1, 1);
	wait_entered();
	touch_start(&later, &s, 4, 1, 1);
	cr_assert_eq(pthread_create(&stopper, NULL, stop_thread, h), 0);
	let_them_wait();
	cr_expect_eq(touched(&at), 0);
	sem_post(&leave);
	pthread_join(stopper, &rc);
	cr_expect_eq((intptr_t)rc, 0);
	touch_join(&at);
	cr_expect_eq(fills.calls, 1, "only what it was at");
	cr_expect_eq(touched(&later), 0);

	h = start(&s, 1, 0);
	sem_post(&leave);
	touch_join(&later);
	stop(h);
	tear_down(&s);
}

Test(handlers, several_are_stopped_at_once, .timeout = 60)
{
	struct stage s = set_up(faults_by(&fills));
	size_t fds = t_count_fds();

	for (int round = 0; round < 20; round++) {
		struct pagemv_handlers *h[4];
		struct toucher t[4];
		pthread_t stoppers[3];

		for (size_t i = 0; i < 4; i++)
			h[i] = start(&s, 1 + i % 2, i % 2 ? 50000 : 0);
		for (size_t i = 0; i < 4; i++)
			touch_start(&t[i], &s, i * 64, 8, 1);
		for (size_t i = 0; i < 3; i++)
			if (pthread_create(&stoppers[i], NULL, stop_thread,
					   h[i]) != 0)
				t_die("no thread");
		for (size_t i = 0; i < 3; i++)
			pthread_join(stoppers[i], NULL);
		for (size_t i = 0; i < 4; i++)
			touch_join(&t[i]);
		stop(h[3]);
		t_drop(s.heap, PAGES);
	}
	/* The channels stay open. */
	cr_expect_leq(t_count_fds(), fds + 2);
	tear_down(&s);
}

Test(handlers, unregistering_lets_those_go_who_wait, .timeout = 60)
{
	struct stage s = set_up(faults_by(&fills));
	struct toucher t;

	touch_start(&t, &s, 2, 1, 1);
	let_them_wait();
	cr_expect_eq(touched(&t), 0);
	cr_expect_eq(pagemv_region_unregister(s.region), 0);
	touch_join(&t);
	faults_right(t_check_zero(s.heap + t_pages(2), 1));
	pagemv_close(s.pv);
}

Test(handlers, close_ends_them_and_lets_those_go_who_wait, .timeout = 60)
{
	struct stage s = set_up(faults_by(&fills));
	size_t fds = t_count_fds();
	struct toucher t[TOUCHES];

	start(&s, 2, 0);
	start(&s, 1, UINT64_MAX);
	for (size_t i = 0; i < TOUCHES; i++)
		touch_start(&t[i], &s, i * 32, 32, 1);
	pagemv_close(s.pv);
	for (size_t i = 0; i < TOUCHES; i++)
		touch_join(&t[i]);
	cr_expect_lt(t_count_fds(), fds);
	for (size_t i = 0; i < PAGES; i++) {
		char *page = s.heap + t_pages(i);

		cr_expect_leq(fills.of[i], 1);
		cr_expect(!first_bytes[i] || fills.of[i]);
		/* What a callback wrote may come too late for the region, which
		 * has ended meanwhile. But what was there stays. */
		faults_right(first_bytes[i] ? t_check(page, i + 1, 1)
					    : t_check_zero(page, 1));
	}
}

static struct pagemv_handlers *own;

static int stop_own(void *arg, const struct pagemv_fill *f)
{
	int *rc = arg;

	*rc = pagemv_handlers_stop(own);
	memset(f->scratch, 1, f->len_bytes);
	return 0;
}

Test(handlers, they_cannot_stop_themselves, .timeout = 60)
{
	int rc = 0;
	struct pagemv_region_opts opts = { .source = PAGEMV_SOURCE_CALLBACK,
					   .fill = stop_own,
					   .arg = &rc };
	struct stage s = set_up(opts);

	own = start(&s, 1, 0);
	faults_touch(s.heap);
	cr_expect_eq(rc, -EDEADLK);
	faults_touch(s.heap + t_pages(1));
	stop(own);
	tear_down(&s);
}

/* ---- what callbacks do ---- */

static unsigned int exits; /* atomic */

static int fill_or_exit(void *arg, const struct pagemv_fill *f)
{
	if (__atomic_fetch_add(&exits, 1, __ATOMIC_RELAXED) == 0)
		pthread_exit(NULL);
	return fill_pages(arg, f);
}

Test(handlers, one_that_ends_in_a_callback_leaves_it_to_the_others,
     .timeout = 60)
{
	struct pagemv_region_opts opts = faults_by(&fills);
	struct toucher t[TOUCHES];
	struct pagemv_handlers *h;
	struct stage s;

	opts.fill = fill_or_exit;
	s = set_up(opts);
	/* All of them are in the batch of the one that ends. */
	for (size_t i = 0; i < TOUCHES; i++)
		touch_start(&t[i], &s, i / 2 * 10, 1, 1);
	let_them_wait();
	h = start(&s, 1, 0);
	let_them_wait();
	cr_expect_eq(exits, 1);
	for (size_t i = 0; i < TOUCHES; i++)
		cr_expect_eq(touched(&t[i]), 0);
	stop(h);
	h = start(&s, 1, 0);
	for (size_t i = 0; i < TOUCHES; i++)
		touch_join(&t[i]);
	cr_expect_eq(fills.calls, TOUCHES / 2);
	stop(h);
	tear_down(&s);
}

static sigset_t seen;

static int fill_and_look(void *arg, const struct pagemv_fill *f)
{
	pthread_sigmask(SIG_SETMASK, NULL, &seen);
	return fill_pages(arg, f);
}

Test(handlers, signals_of_the_program_are_for_others, .timeout = 60)
{
	struct pagemv_region_opts opts = faults_by(&fills);
	struct pagemv_handlers *h;
	sigset_t before, after;
	struct stage s;

	opts.fill = fill_and_look;
	s = set_up(opts);
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	h = start(&s, 1, 0);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	faults_touch(s.heap);
	cr_expect(sigismember(&seen, SIGUSR1) && sigismember(&seen, SIGCHLD));
	cr_expect(!sigismember(&seen, SIGBUS) && !sigismember(&seen, SIGSEGV));
	for (int sig = 1; sig < SIGRTMAX; sig++)
		cr_expect_eq(sigismember(&before, sig),
			     sigismember(&after, sig));
	stop(h);
	tear_down(&s);
}

static int fill_from(void *arg, const struct pagemv_fill *f)
{
	memcpy(f->scratch, (char *)arg + f->off_bytes, f->len_bytes);
	return 0;
}

Test(handlers, a_callback_may_touch_a_region_with_the_other_delivery,
     .timeout = 60)
{
	struct stage inner = { .pv = faults_open() }, s;
	struct pagemv_region_opts opts = { .source = PAGEMV_SOURCE_CALLBACK,
					   .fill = fill_from };
	struct pagemv_handlers *h;

	inner.heap = t_map(PAGES);
	inner.region =
		faults_region(inner.pv, inner.heap, PAGES, faults_by(&fills));
	cr_assert_eq(pagemv_sigbus_install(), 0);
	opts.arg = inner.heap;
	s = set_up(opts);
	h = start(&s, 1, 0);
	faults_touch(s.heap + t_pages(6));
	faults_right(t_check(s.heap + t_pages(6), 7, 1));
	cr_expect_eq(fills.of[6], 1);
	stop(h);
	tear_down(&s);
	tear_down(&inner);
}

/* What a callback that is to fill page 5 touches, once another handler has had
 * the time to hear of somebody else who waits for that page. */
static size_t touched_by_5;
static bool was_told; /* atomic */

static int touch_another(void *arg, const struct pagemv_fill *f)
{
	size_t page = f->off_bytes / t_page();

	if (page == 5) {
		const char *base = (char *)f->addr - t_pages(5);

		sem_post(&entered);
		let_them_wait();
		if (!try_touch(base + t_pages(touched_by_5)))
			__atomic_store_n(&was_told, true, __ATOMIC_RELAXED);
	}
	return fill_pages(arg, f);
}

/* Two threads wait for page 5, two handlers have a message each. */
static void touch_in_5(size_t page)
{
	struct pagemv_region_opts opts = faults_by(&fills);
	struct pagemv_handlers *h;
	struct toucher t[2];
	struct stage s;

	touched_by_5 = page;
	sem_init(&entered, 0, 0);
	catch_sigbus();
	opts.fill = touch_another;
	s = set_up(opts);
	h = start(&s, 2, 0);
	touch_start(&t[0], &s, 5, 1, 1);
	wait_entered();
	touch_start(&t[1], &s, 5, 1, 1);
	for (size_t i = 0; i < 2; i++)
		touch_join(&t[i]);
	cr_expect_eq(was_told, page == 5);
	cr_expect_eq(fills.of[5], 1);
	cr_expect_eq(fills.of[page], 1);
	faults_right(t_check(s.heap + t_pages(5), 6, 1));
	stop(h);
	tear_down(&s);
}

Test(handlers, one_that_waits_for_itself_is_told, .timeout = 60)
{
	touch_in_5(5);
}

Test(handlers, one_that_waits_for_another_ones_page_reads_on, .timeout = 60)
{
	touch_in_5(6);
}

/* ---- nodes ---- */

static int ran_on;

static int fill_and_tell(void *arg, const struct pagemv_fill *f)
{
	ran_on = sched_getcpu();
	return fill_pages(arg, f);
}

/* Whether the CPU is of the node, as the kernel sees it. */
static bool is_of_node(int cpu, int node)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/cpu%d",
		 node, cpu);
	return access(path, F_OK) == 0;
}

Test(handlers, they_run_on_the_node_that_was_asked_for, .timeout = 60)
{
	struct pagemv_region_opts opts = faults_by(&fills);
	struct pagemv_handlers_opts on = { .size = sizeof(on),
					   .flags = PAGEMV_HANDLERS_ON_NODE };
	struct pagemv_handlers *h;
	struct stage s;
	int nodes = 0;

	opts.fill = fill_and_tell;
	s = set_up(opts);
	for (on.node = 0; on.node < 64; on.node++) {
		int rc = pagemv_handlers_start(s.pv, &on, &h);

		if (rc == -EINVAL)
			continue;
		cr_assert_eq(rc, 0);
		ran_on = -1;
		faults_touch(s.heap + t_pages((size_t)on.node));
		cr_expect(is_of_node(ran_on, on.node), "CPU %d, node %d",
			  ran_on, on.node);
		stop(h);
		nodes++;
	}
	tear_down(&s);
	if (!nodes)
		cr_skip("no nodes here");
}

/* ---- refusals, forks ---- */

Test(handlers, nonsense_is_refused, .timeout = 60)
{
	struct stage s = set_up(faults_by(&fills));
	struct pagemv_handlers *h = (void *)&s;
	struct {
		struct pagemv_handlers_opts known;
		uint64_t more;
	} o = { .known = { .size = sizeof(o) }, .more = 1 };
	struct pagemv_handlers_opts *k = &o.known;

	cr_expect_eq(pagemv_handlers_start(s.pv, k, &h), -E2BIG);
	k->size = sizeof(*k);
	k->flags = 2;
	cr_expect_eq(pagemv_handlers_start(s.pv, k, &h), -EINVAL);
	k->flags = PAGEMV_HANDLERS_ON_NODE;
	k->reserved = 1;
	cr_expect_eq(pagemv_handlers_start(s.pv, k, &h), -EINVAL);
	k->reserved = 0;
	k->node = -2;
	cr_expect_eq(pagemv_handlers_start(s.pv, k, &h), -EINVAL);
	k->node = 100000;
	cr_expect_eq(pagemv_handlers_start(s.pv, k, &h), -EINVAL);
	k->flags = 0;
	cr_expect_eq(pagemv_handlers_start(s.pv, k, &h), -EINVAL);
	k->node = 0;
	k->threads = UINT32_MAX;
	cr_expect_eq(pagemv_handlers_start(s.pv, k, &h), -EAGAIN);
	cr_expect_eq(pagemv_handlers_start(s.pv, NULL, NULL), -EINVAL);
	cr_expect_eq(pagemv_handlers_start(NULL, NULL, &h), -EINVAL);
	cr_expect_eq((void *)h, (void *)&s, "untouched");
	tear_down(&s);
}

struct forked {
	struct stage *s;
	struct pagemv_handlers *h;
};

static int in_child(void *arg)
{
	struct forked *f = arg;
	struct pagemv_handlers *h;
	int wrong = 0;

	/* Nobody serves here: the pages are the kernel's. */
	wrong |= faults_touch(f->s->heap + t_pages(20)) != 0;
	wrong |= t_check(f->s->heap + t_pages(1), 2, 1) != NULL;
	wrong |= pagemv_handlers_start(f->s->pv, NULL, &h) != -ESRCH;
	wrong |= pagemv_handlers_stop(f->h) != -ESRCH;
	pagemv_close(f->s->pv);
	return wrong;
}

Test(handlers, a_child_has_none, .timeout = 60)
{
	struct stage s = set_up(faults_by(&fills));
	struct forked f = { &s, start(&s, 2, 0) };

	start(&s, 1, 0);
	faults_touch(s.heap + t_pages(1));
	cr_expect_eq(t_in_child(in_child, &f), 0);
	cr_expect_eq(fills.of[20], 0);
	faults_touch(s.heap + t_pages(20));
	cr_expect_eq(fills.of[20], 1);
	stop(f.h);
	tear_down(&s);
}
