/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Evacuation when something goes wrong: produce() fails, threads end in it or
 * fork, pages are pinned, the space is closed in the middle, arguments make no
 * sense.
 */
#include "evacs.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "pin.h"

#define PAGES 512
#define FROM  400

TestSuite(evac_wrong, .timeout = 120);

static struct evac_stage stage;

static void set_up(struct pagemv_evac_opts opts)
{
	evac_stage(&stage, PAGES, FROM, opts);
	evac_flip(&stage, PAGEMV_FLIP_AUTO);
}

/* The ways in which pages come. */
static const struct mode {
	const struct evac_way *way;
	struct pagemv_evac_opts opts;
} modes[] = {
	{ &evac_ways[0], { 0 } },
	{ &evac_ways[0], { .single = PAGEMV_MECH_MOVE } },
	{ &evac_ways[0], { .single = PAGEMV_MECH_MOVE, .around_pages = 1 } },
	{ &evac_ways[0], { .workers = 2 } },
	{ &evac_ways[1], { 0 } },
	{ &evac_ways[1], { .workers = 2, .around_pages = 1 } },
};

/* False where this kernel does not have it. */
static bool set_up_mode(const struct mode *mode)
{
	memset(&stage, 0, sizeof(stage));
	stage.pages = PAGES;
	compact_open(&stage.c, FROM);
	if (!evac_open(&stage, mode->way, mode->opts)) {
		compact_close(&stage.c);
		return false;
	}
	evac_flip(&stage, PAGEMV_FLIP_AUTO);
	return true;
}

static void complete(void)
{
	stage.c.hook = NULL;
	cr_expect_eq(pagemv_evac_wait(stage.evac), 0);
	evac_expect_done(&stage);
	evac_close(&stage);
}

static int populate(size_t k)
{
	return pagemv_populate(stage.pv, stage.space + t_pages(k), t_page(),
			       NULL);
}

/* ---- produce() fails ---- */

static int fail_some(struct compact *c, struct pagemv_produce *p)
{
	(void)c;
	return p->off_bytes / t_page() % 10 == 7 ? -EILSEQ : COMPACT_GO_ON;
}

static void expect_failures(void)
{
	struct pagemv_evac_progress p = evac_progress(&stage);

	cr_expect_eq(p.phase, PAGEMV_EVAC_RUNNING);
	cr_expect_eq(p.produced_pages, stage.c.to - stage.c.to / 10);
	cr_expect(p.failures >= stage.c.to / 10);
	cr_expect_eq(p.error, -EILSEQ);
	cr_expect_eq(p.failed_off_bytes / t_page() % 10, 7);
	cr_expect_eq(pagemv_evac_finish(stage.evac), -EBUSY);
	cr_expect(!t_present(stage.space + t_pages(7)));
}

Test(evac_wrong, pages_that_fail_stay_absent_and_can_be_asked_for_again)
{
	set_up((struct pagemv_evac_opts){ 0 });
	stage.c.hook = fail_some;
	cr_expect_eq(populate(7), -EILSEQ);
	cr_expect(pagemv_evac_work(stage.evac, 1000) > 0);
	cr_expect_eq(pagemv_evac_work(stage.evac, 1000), -EILSEQ);
	cr_expect_eq(pagemv_evac_wait(stage.evac), -EILSEQ);
	expect_failures();
	stage.c.hook = NULL;
	cr_expect_eq(populate(7), 0);
	complete();
}

Test(evac_wrong, the_same_in_all_modes)
{
	for (size_t i = 0; i < T_COUNT(modes); i++) {
		if (!set_up_mode(&modes[i]))
			continue;
		stage.c.hook = fail_some;
		cr_expect_eq(populate(107), -EILSEQ);
		cr_expect_eq(pagemv_evac_run(stage.evac), 0);
		cr_expect_eq(pagemv_evac_wait(stage.evac), -EILSEQ);
		expect_failures();
		complete();
	}
}

Test(evac_wrong, the_same_with_workers)
{
	set_up((struct pagemv_evac_opts){ .workers = 2 });
	stage.c.hook = fail_some;
	cr_expect_eq(pagemv_evac_run(stage.evac), 0);
	cr_expect_eq(pagemv_evac_wait(stage.evac), -EILSEQ);
	expect_failures();
	stage.c.hook = NULL;
	cr_expect_eq(pagemv_evac_run(stage.evac), 0);
	complete();
}

static int again(struct compact *c, struct pagemv_produce *p)
{
	return c->asked[p->off_bytes / t_page()] < 3 ? -EAGAIN : COMPACT_GO_ON;
}

Test(evac_wrong, eagain_is_tried_again)
{
	const char *wrong;

	set_up((struct pagemv_evac_opts){ 0 });
	stage.c.hook = again;
	wrong = compact_page(&stage.c, stage.space, 3);
	cr_expect(!wrong, "%s", wrong);
	cr_expect_eq(stage.c.asked[3], 4);
	cr_expect_eq(pagemv_evac_wait(stage.evac), 0);
	complete();
}

static int nonsense(struct compact *c, struct pagemv_produce *p)
{
	switch (c->asked[p->off_bytes / t_page()]) {
	case 0:
		return PAGEMV_PRODUCE_MOVE + 1;
	case 1:
		return PAGEMV_PRODUCE_MOVE; /* from NULL */
	case 2:
		p->move_from = p->from + 1;
		return PAGEMV_PRODUCE_MOVE;
	case 3:
		p->move_from = p->from + t_pages(FROM);
		return PAGEMV_PRODUCE_MOVE;
	default:
		return COMPACT_GO_ON;
	}
}

Test(evac_wrong, answers_that_make_no_sense)
{
	set_up((struct pagemv_evac_opts){ 0 });
	stage.c.hook = nonsense;
	for (int i = 0; i < 4; i++)
		cr_expect_eq(populate(9), -EINVAL);
	cr_expect_eq(populate(9), 0);
	complete();
}

static volatile sig_atomic_t signals;
static void *volatile signal_addr;

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	signals++;
	signal_addr = info->si_addr;
	stage.c.hook = NULL;
}

/* The handler that was there before the library's gets what failed. */
Test(evac_wrong, a_touch_that_fails_meets_a_sigbus)
{
	struct sigaction action = { .sa_sigaction = on_sigbus,
				    .sa_flags = SA_SIGINFO | SA_NODEFER };
	const char *wrong;

	sigaction(SIGBUS, &action, NULL);
	set_up((struct pagemv_evac_opts){ 0 });
	stage.c.hook = fail_some;
	wrong = compact_page(&stage.c, stage.space, 17);
	cr_expect(!wrong, "%s", wrong);
	cr_expect_eq(signals, 1);
	cr_expect_eq(signal_addr, stage.space + t_pages(17));
	complete();
}

static int touch_itself(struct compact *c, struct pagemv_produce *p)
{
	c->mine = (void *)(intptr_t)pagemv_populate(stage.pv, p->addr, 1, NULL);
	c->hook = NULL;
	return COMPACT_GO_ON;
}

Test(evac_wrong, a_callback_that_waits_for_itself_is_told)
{
	set_up((struct pagemv_evac_opts){ 0 });
	stage.c.hook = touch_itself;
	cr_expect_eq(populate(3), 0);
	cr_expect_eq((intptr_t)stage.c.mine, -EDEADLK);
	stage.c.mine = NULL;
	stage.c.hook = touch_itself;
	cr_expect_eq(pagemv_evac_wait(stage.evac), 0);
	cr_expect_eq((intptr_t)stage.c.mine, -EDEADLK);
	complete();
}

/* ---- threads that end ---- */

static int end_once(struct compact *c, struct pagemv_produce *p)
{
	(void)p;
	c->hook = NULL;
	pthread_exit(NULL);
}

static void *touch_page(void *arg)
{
	(void)*(volatile char *)(stage.space + t_pages((uintptr_t)arg));
	return arg; /* not reached */
}

Test(evac_wrong, a_thread_that_ends_in_a_fault)
{
	pthread_t thread;

	set_up((struct pagemv_evac_opts){ .single = PAGEMV_MECH_MOVE });
	stage.c.hook = end_once;
	cr_assert_eq(pthread_create(&thread, NULL, touch_page, (void *)5), 0);
	pthread_join(thread, NULL);
	cr_expect(!t_present(stage.space + t_pages(5)));
	cr_expect_eq(populate(5), 0);
	complete();
}

static int end_at_100(struct compact *c, struct pagemv_produce *p)
{
	if (p->off_bytes != t_pages(100))
		return COMPACT_GO_ON;
	return end_once(c, p);
}

/* In the middle of a window, a part of which it has produced. */
Test(evac_wrong, a_thread_that_ends_in_a_fault_in_all_modes)
{
	pthread_t thread;

	for (size_t i = 0; i < T_COUNT(modes); i++) {
		size_t page = modes[i].opts.around_pages == 1 ? 100 : 105;

		if (!set_up_mode(&modes[i]))
			continue;
		stage.c.hook = end_at_100;
		cr_assert_eq(
			pthread_create(&thread, NULL, touch_page, (void *)page),
			0);
		pthread_join(thread, NULL);
		cr_expect(!stage.c.hook);
		cr_expect(!t_present(stage.space + t_pages(100)));
		cr_expect_eq(populate(page), 0);
		complete();
	}
}

/* What it had written and not brought yet is asked for again. */
Test(evac_wrong, a_worker_that_ends_in_a_callback)
{
	set_up((struct pagemv_evac_opts){ .workers = 1 });
	stage.c.hook = end_at_100;
	cr_expect_eq(pagemv_evac_run(stage.evac), 0);
	cr_expect_eq(pagemv_evac_wait(stage.evac), 0);
	cr_expect_eq(pagemv_evac_run(stage.evac), 0);
	complete();
}

static void *work(void *arg)
{
	pagemv_evac_work(stage.evac, 1000);
	return arg;
}

Test(evac_wrong, a_thread_of_the_program_that_ends_at_work)
{
	pthread_t thread;

	set_up((struct pagemv_evac_opts){ 0 });
	stage.c.hook = end_at_100;
	cr_assert_eq(pthread_create(&thread, NULL, work, NULL), 0);
	pthread_join(thread, NULL);
	complete();
}

/* ---- fork ---- */

/* A child that holds on to all pages until the pipe is closed. */
static pid_t fork_child(int *go_on)
{
	int fds[2];
	pid_t child;
	char byte;

	cr_assert_eq(pipe(fds), 0);
	child = fork();
	if (child == 0) {
		int rc = 0;

		close(fds[1]);
		rc |= pagemv_evac_work(stage.evac, 1) != -ESRCH;
		rc |= pagemv_evac_wait(stage.evac) != -ESRCH;
		rc |= pagemv_evac_finish(stage.evac) != -ESRCH;
		rc |= pagemv_evac_run(stage.evac) != -ESRCH;
		rc |= pagemv_evac_close(stage.evac) != -ESRCH;
		pagemv_close(stage.pv);
		(void)!read(fds[0], &byte, 1);
		_exit(rc);
	}
	close(fds[0]);
	*go_on = fds[1];
	return child;
}

static void fork_in_the_middle(const struct mode *mode)
{
	pid_t child;
	int go_on;

	if (!set_up_mode(mode))
		return;
	cr_expect_eq(pagemv_evac_work(stage.evac, 30), 30);
	child = fork_child(&go_on);
	cr_assert(child > 0);
	for (size_t k = 60; k < 90; k++)
		cr_expect_eq(populate(k), 0);
	cr_expect_eq(pagemv_evac_wait(stage.evac), 0);
	evac_expect_once(&stage);
	evac_expect_done(&stage);
	/* The next one, beside the child. */
	evac_flip(&stage, PAGEMV_FLIP_FAST);
	cr_expect_eq(pagemv_evac_wait(stage.evac), 0);
	close(go_on);
	cr_expect_eq(t_wait(child), 0);
	complete();
}

Test(evac_wrong, a_fork_in_the_middle)
{
	for (size_t i = 0; i < T_COUNT(modes); i++)
		fork_in_the_middle(&modes[i]);
}

static int fork_once(struct compact *c, struct pagemv_produce *p)
{
	pid_t child;

	(void)p;
	c->hook = NULL;
	child = fork();
	if (child == 0) {
		/* The page is not filled here, nor in the parent. */
		alarm(30);
		return 0;
	}
	c->mine = (void *)(intptr_t)child;
	return COMPACT_GO_ON;
}

/* The child of a fork in the callback has no space any more. */
Test(evac_wrong, a_fork_in_the_callback)
{
	ssize_t n;

	set_up((struct pagemv_evac_opts){ 0 });
	stage.c.hook = fork_once;
	n = pagemv_evac_work(stage.evac, 20);
	if (stage.c.mine == NULL)
		_exit(n == -ESRCH ? 0 : 1);
	cr_expect_eq(n, 20);
	cr_expect_eq(t_wait((pid_t)(intptr_t)stage.c.mine), 0);
	complete();
}

/* ---- pinned pages ---- */

static int dense_in_place(struct compact *c, struct pagemv_produce *p)
{
	(void)c;
	if (p->off_bytes != t_pages(50))
		return COMPACT_GO_ON;
	p->move_from = p->from + p->off_bytes;
	p->done_bytes = 0;
	return PAGEMV_PRODUCE_MOVE;
}

/* Page 50, which a device writes to, is to stay where it is. */
static struct t_pin *pin_page(uint32_t flags)
{
	const char *why = "";
	struct t_pin *pin;

	stage.c.plain = true;
	stage.c.stays = 50;
	evac_stage(&stage, PAGES, FROM,
		   (struct pagemv_evac_opts){ .flags = flags });
	compact_fill(&stage.c, stage.space);
	pin = t_pin(stage.space + t_pages(50), t_page(), &why);
	if (!pin)
		cr_skip("no page can be pinned: %s", why);
	stage.c.hook = dense_in_place;
	cr_assert_eq(evac_begin(&stage, PAGEMV_FLIP_AUTO), 0);
	cr_assert_eq(pagemv_evac_flip(stage.evac), 0);
	return pin;
}

static void expect_device_writes(struct t_pin *pin)
{
	cr_expect_eq(t_pin_write(pin, 2000, "device", 6), 0);
	cr_expect_eq(memcmp(stage.space + t_pages(50) + 2000, "device", 6), 0);
}

static void make_right(size_t k)
{
	t_fill(stage.space + t_pages(k), k + 1, stage.c.version + 1);
}

Test(evac_wrong, a_pinned_page_is_not_moved_unless_by_mremap)
{
	struct pagemv_evac_info info = { .size = sizeof(info) };
	struct t_pin *pin = pin_page(0);

	pagemv_evac_info(stage.evac, &info);
	if (info.how != PAGEMV_EVAC_BY_MOVE) {
		t_unpin(pin);
		cr_skip("UFFDIO_MOVE is not available here");
	}
	cr_expect_eq(pagemv_evac_wait(stage.evac), -EBUSY);
	cr_expect_eq(evac_progress(&stage).produced_pages, stage.c.to - 1);
	cr_expect(!t_present(stage.space + t_pages(50)));
	t_unpin(pin);
	cr_expect_eq(pagemv_evac_wait(stage.evac), 0);
	make_right(50);
	complete();
}

Test(evac_wrong, a_pinned_page_goes_with_its_device_by_mremap)
{
	struct pagemv_evac_info info = { .size = sizeof(info) };
	struct t_pin *pin = pin_page(PAGEMV_EVAC_MAY_REMAP);

	pagemv_evac_info(stage.evac, &info);
	if (info.how != PAGEMV_EVAC_BY_MOVE) {
		t_unpin(pin);
		cr_skip("UFFDIO_MOVE is not available here");
	}
	cr_expect_eq(pagemv_evac_wait(stage.evac), 0);
	expect_device_writes(pin);
	make_right(50);
	evac_expect_done(&stage);
	/* The space consists of several mappings now. */
	for (int cycle = 0; cycle < 3; cycle++) {
		evac_flip(&stage, cycle % 2 ? PAGEMV_FLIP_FAST
					    : PAGEMV_FLIP_REGISTERED);
		cr_expect_eq(pagemv_evac_wait(stage.evac), 0);
		expect_device_writes(pin);
		make_right(50);
		evac_expect_done(&stage);
	}
	t_unpin(pin);
	evac_close(&stage);
}

/* ---- order of calls ---- */

Test(evac_wrong, calls_out_of_order)
{
	evac_stage(&stage, PAGES, FROM, (struct pagemv_evac_opts){ 0 });
	cr_expect_eq(pagemv_evac_flip(stage.evac), -EINVAL);
	cr_expect_eq(pagemv_evac_run(stage.evac), -EINVAL);
	cr_expect_eq(pagemv_evac_work(stage.evac, 1), -EINVAL);
	cr_expect_eq(pagemv_evac_wait(stage.evac), -EINVAL);
	cr_expect_eq(pagemv_evac_finish(stage.evac), -EINVAL);
	cr_expect_eq(evac_progress(&stage).phase, PAGEMV_EVAC_IDLE);
	cr_expect_eq(evac_begin(&stage, PAGEMV_FLIP_AUTO), 0);
	cr_expect_eq(evac_progress(&stage).phase, PAGEMV_EVAC_BEGUN);
	evac_flip(&stage, PAGEMV_FLIP_AUTO);
	cr_expect_eq(evac_progress(&stage).phase, PAGEMV_EVAC_RUNNING);
	cr_expect_eq(evac_begin(&stage, PAGEMV_FLIP_AUTO), -EBUSY);
	cr_expect_eq(pagemv_evac_flip(stage.evac), -EINVAL);
	cr_expect_eq(pagemv_evac_finish(stage.evac), -EBUSY);
	cr_expect_eq(pagemv_evac_wait(stage.evac), 0);
	evac_expect_done(&stage);
	cr_expect_eq(evac_progress(&stage).phase, PAGEMV_EVAC_IDLE);
	cr_expect_eq(pagemv_evac_finish(stage.evac), -EINVAL);
	evac_close(&stage);
}

Test(evac_wrong, begin_again_when_more_is_used)
{
	struct pagemv_evac_cycle cycle = { .size = sizeof(cycle),
					   .used_bytes = t_pages(100),
					   .to_bytes = t_pages(20) };

	evac_stage(&stage, PAGES, FROM, (struct pagemv_evac_opts){ 0 });
	for (int i = 0; i < 2; i++) {
		compact_fill(&stage.c, stage.space);
		cr_expect_eq(pagemv_evac_begin(stage.evac, &cycle), 0);
		cr_expect_eq(evac_begin(&stage, PAGEMV_FLIP_AUTO), 0);
		cr_expect_eq(pagemv_evac_flip(stage.evac), 0);
		cr_expect_eq(pagemv_evac_wait(stage.evac), 0);
		evac_expect_once(&stage);
		evac_expect_done(&stage);
	}
	evac_close(&stage);
}

static int close_inside(struct compact *c, struct pagemv_produce *p)
{
	c->mine = (void *)(intptr_t)pagemv_evac_close(p->evac);
	c->hook = NULL;
	return COMPACT_GO_ON;
}

Test(evac_wrong, close_in_the_middle)
{
	set_up((struct pagemv_evac_opts){ .workers = 2 });
	stage.c.hook = close_inside;
	cr_expect_eq(populate(5), 0);
	cr_expect_eq((intptr_t)stage.c.mine, -EDEADLK);
	stage.c.hook = close_inside;
	cr_expect(pagemv_evac_work(stage.evac, 1) == 1);
	cr_expect_eq((intptr_t)stage.c.mine, -EDEADLK);
	cr_expect_eq(pagemv_evac_run(stage.evac), 0);
	evac_close(&stage);
}

Test(evac_wrong, closing_by_itself_and_nothing)
{
	cr_expect_eq(pagemv_evac_close(NULL), 0);
	cr_expect_eq(pagemv_evac_begin(NULL, NULL), -EINVAL);
	cr_expect_eq(pagemv_evac_flip(NULL), -EINVAL);
	cr_expect_eq(pagemv_evac_run(NULL), -EINVAL);
	cr_expect_eq(pagemv_evac_work(NULL, 1), -EINVAL);
	cr_expect_eq(pagemv_evac_wait(NULL), -EINVAL);
	cr_expect_eq(pagemv_evac_finish(NULL), -EINVAL);
	cr_expect_eq(pagemv_evac_info(NULL, NULL), -EINVAL);
	cr_expect_eq(pagemv_evac_progress(NULL, NULL), -EINVAL);
	evac_stage(&stage, PAGES, FROM,
		   (struct pagemv_evac_opts){ .workers = 3 });
	evac_close(&stage);
}

/* ---- arguments ---- */

static int open_with(struct pagemv *pv, struct pagemv_evac_opts opts,
		     enum pagemv_reason *reason)
{
	struct pagemv_evac *evac;
	int rc = pagemv_evac_open(pv, &opts, &evac, reason);

	if (rc == 0)
		pagemv_evac_close(evac);
	return rc;
}

static void expect_refused(struct pagemv_evac_opts opts, int error,
			   enum pagemv_reason reason)
{
	enum pagemv_reason why = PAGEMV_REASON_NONE;
	int rc = open_with(stage.pv, opts, &why);

	cr_expect_eq(rc, error, "%d, not %d", rc, error);
	cr_expect_eq(why, reason, "%s", pagemv_reason_string(why));
}

Test(evac_wrong, options_that_are_refused)
{
	char *space = t_map(64), *shadow = t_map(64);
	const struct pagemv_evac_opts good = {
		.size = sizeof(good),
		.len_bytes = t_pages(32),
		.produce = compact_produce,
		.space = space,
		.shadow = shadow,
	};
	struct pagemv_evac_opts o;

#define REFUSED(error, why, ...)                               \
	do {                                                   \
		o = good;                                      \
		__VA_ARGS__;                                   \
		expect_refused(o, error, PAGEMV_REASON_##why); \
	} while (0)
	cr_assert_eq(pagemv_open(&stage.pv, NULL), 0);
	REFUSED(0, NONE, (void)0);
	REFUSED(-EINVAL, BAD_OPTIONS, o.size = 1);
	REFUSED(-EINVAL, BAD_OPTIONS, o.flags = 2);
	REFUSED(-EINVAL, BAD_OPTIONS, o.produce = NULL);
	REFUSED(-EINVAL, BAD_OPTIONS, o.len_bytes = 0);
	REFUSED(-EINVAL, BAD_OPTIONS, o.len_bytes = 100);
	REFUSED(-EINVAL, BAD_OPTIONS, o.shadow = NULL);
	REFUSED(-EINVAL, BAD_OPTIONS, o.space = space + 1);
	REFUSED(-EINVAL, BAD_OPTIONS, o.run_pages = 513);
	REFUSED(-EINVAL, BAD_OPTIONS, o.single = PAGEMV_MECH_REMAP);
	REFUSED(-EINVAL, BAD_OPTIONS, o.delivery = PAGEMV_DELIVERY_COUNT);
	REFUSED(-EINVAL, BAD_OPTIONS, o.workers = 100000);
	REFUSED(-EINVAL, BAD_OPTIONS, o.reserved[1] = 1);
	REFUSED(-EINVAL, OVERLAP, o.shadow = space + t_pages(31));
	REFUSED(-EINVAL, OVERLAP, o.shadow = space);
	REFUSED(-EINVAL, NO_ACCESS, o.len_bytes = t_pages(66));
	mprotect(shadow, t_pages(64), PROT_READ);
	REFUSED(-EINVAL, READ_ONLY, (void)0);
	pagemv_close(stage.pv);
	t_unmap(space, 64);
	t_unmap(shadow, 64);
}

Test(evac_wrong, cycles_that_are_refused)
{
	const struct pagemv_evac_cycle good = { .size = sizeof(good),
						.used_bytes = t_pages(100),
						.to_bytes = t_pages(50) };
	struct pagemv_evac_cycle c;

#define BEGIN(error, ...)                                               \
	do {                                                            \
		c = good;                                               \
		__VA_ARGS__;                                            \
		cr_expect_eq(pagemv_evac_begin(stage.evac, &c), error); \
	} while (0)
	evac_stage(&stage, PAGES, FROM, (struct pagemv_evac_opts){ 0 });
	BEGIN(-EINVAL, c.size = 3);
	BEGIN(-EINVAL, c.flags = 2);
	BEGIN(-EINVAL, c.flip = PAGEMV_FLIP_COUNT);
	BEGIN(-EINVAL, c.flip = PAGEMV_FLIP_FAST);
	BEGIN(-EINVAL, c.used_bytes = 0);
	BEGIN(-EINVAL, c.used_bytes = t_pages(PAGES) + 1);
	BEGIN(-EINVAL, c.to_bytes = t_pages(101));
	cr_expect_eq(pagemv_evac_begin(stage.evac, NULL), -EINVAL);
	BEGIN(0, (void)0);
	evac_close(&stage);
}

/* ---- memory that is locked ---- */

Test(evac_wrong, a_space_that_is_locked)
{
	char *space = t_map(PAGES), *shadow = t_map(PAGES);
	struct pagemv_evac_opts opts = { .space = space, .shadow = shadow };

	if (mlock(space, t_pages(PAGES)) < 0 ||
	    mlock(shadow, t_pages(PAGES)) < 0)
		cr_skip("may not mlock");
	set_up(opts);
	for (size_t k = 0; k < 20; k++)
		cr_expect_eq(populate(k), 0);
	cr_expect_eq(pagemv_evac_wait(stage.evac), 0);
	evac_expect_produced(&stage);
	/* Nothing empties locked memory before 5.18. */
	if (t_can_drop_locked())
		evac_expect_emptied(&stage);
	evac_close(&stage);
	munlockall();
	t_unmap(space, PAGES);
	t_unmap(shadow, PAGES);
}
