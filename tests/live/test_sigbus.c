/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Delivery by SIGBUS beside the program's own handlers: whose signal it is,
 * what becomes of one that is not ours, and of faults that cannot be solved.
 * Where faults may happen: test_callback.c.
 */
#include "faults.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define PAGES 16

static struct fills fills;

/* ---- the program's own handler ---- */

/* What it saw last, and where it goes on; NULL: it returns. */
static volatile sig_atomic_t times;
static siginfo_t seen;
static sigjmp_buf *out;

static void own_handler(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	times++;
	seen = *info;
	if (out)
		siglongjmp(*out, 1);
}

static struct sigaction install_own(void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction action = { .sa_sigaction = handler,
				    .sa_flags = SA_SIGINFO | SA_NODEFER };
	struct sigaction old;

	cr_assert_eq(sigaction(SIGBUS, &action, &old), 0);
	return old;
}

static struct sigaction current(void)
{
	struct sigaction action;

	cr_assert_eq(sigaction(SIGBUS, NULL, &action), 0);
	return action;
}

/* Touches a page; whether the program's own handler was called. */
static bool is_refused(const char *page)
{
	volatile bool refused = true;
	sigjmp_buf jump;

	out = &jump;
	if (sigsetjmp(jump, 1) == 0) {
		faults_touch(page);
		refused = false;
	}
	out = NULL;
	return refused;
}

/* ---- signals that are not ours ---- */

/* A mapping of a page that the file does not have. */
static int file_fd;

static char *map_beyond_end(void *at)
{
	int flags = MAP_SHARED | (at ? MAP_FIXED : 0);
	char *page;

	file_fd = t_temp_file();
	page = mmap(at, t_page(), PROT_READ | PROT_WRITE, flags, file_fd, 0);
	if (page == MAP_FAILED)
		t_die("mmap");
	return page;
}

/* Gives the file its page, so that the access works, and leaves a mark in the
 * context. */
static void repair(int sig, siginfo_t *info, void *context)
{
	own_handler(sig, info, context);
	sigaddset(&((ucontext_t *)context)->uc_sigmask, SIGUSR2);
	if (ftruncate(file_fd, (off_t)t_page()) != 0)
		abort();
}

Test(sigbus, a_foreign_signal_reaches_the_handler_before_as_it_came,
     .timeout = 60)
{
	struct faults_stage s;
	sigset_t mask;
	char *page;

	install_own(repair);
	s = faults_set_up(PAGES, faults_by(&fills));
	page = map_beyond_end(NULL);
	faults_store(page + 77);
	cr_expect_eq(times, 1);
	cr_expect_eq(seen.si_signo, SIGBUS);
	cr_expect_eq(seen.si_code, BUS_ADRERR);
	cr_expect_eq(seen.si_addr, page + 77);
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	cr_expect(sigismember(&mask, SIGUSR2), "the context was a copy");
	faults_touch(s.heap);
	cr_expect_eq(times, 1);
	faults_right(t_check(s.heap, 1, 1));
	faults_tear_down(&s);
}

/* A fault there could have been one of the region, whose end came between. */
Test(sigbus, a_foreign_signal_where_a_region_was_is_passed_on_too,
     .timeout = 60)
{
	struct faults_stage s;
	char *page;

	install_own(repair);
	s = faults_set_up(PAGES, faults_by(&fills));
	faults_touch(s.heap);
	cr_assert_eq(pagemv_region_unregister(s.region), 0);
	page = map_beyond_end(s.heap + t_pages(3));
	faults_store(page + 5);
	cr_expect_eq(times, 1);
	cr_expect_eq(seen.si_addr, page + 5);
	/* And again at the same address. */
	cr_assert_eq(ftruncate(file_fd, 0), 0);
	faults_store(page + 5);
	cr_expect_eq(times, 2);
	cr_expect_eq(fills.calls, 1);
}

Test(sigbus, anonymous_memory_beside_a_region_is_the_kernels, .timeout = 60)
{
	struct faults_stage s;
	char *other = t_map(PAGES);

	install_own(own_handler);
	s = faults_set_up(PAGES, faults_by(&fills));
	memset(other, 1, t_pages(PAGES));
	cr_assert_eq(pagemv_region_unregister_part(
			     s.region, s.heap + t_pages(4), t_pages(4)),
		     0);
	memset(s.heap + t_pages(4), 1, t_pages(4));
	cr_expect_eq(times, 0);
	cr_expect_eq(fills.calls, 0);
	faults_tear_down(&s);
}

Test(sigbus, a_signal_that_somebody_sent_is_passed_on, .timeout = 60)
{
	union sigval value = { .sival_int = 4711 };
	struct faults_stage s;

	install_own(own_handler);
	s = faults_set_up(PAGES, faults_by(&fills));
	cr_assert_eq(kill(getpid(), SIGBUS), 0);
	cr_expect_eq(times, 1);
	cr_expect_eq(seen.si_code, SI_USER);
	cr_assert_eq(sigqueue(getpid(), SIGBUS, value), 0);
	cr_expect_eq(times, 2);
	cr_expect_eq(seen.si_value.sival_int, 4711);
	faults_tear_down(&s);
}

static volatile sig_atomic_t plain_signal;

static void plain_handler(int sig)
{
	plain_signal = sig;
	if (ftruncate(file_fd, (off_t)t_page()) != 0)
		abort();
}

Test(sigbus, a_handler_without_siginfo_is_called_as_it_is_used_to,
     .timeout = 60)
{
	struct faults_stage s;

	signal(SIGBUS, plain_handler);
	s = faults_set_up(PAGES, faults_by(&fills));
	faults_store(map_beyond_end(NULL));
	cr_expect_eq(plain_signal, SIGBUS);
	faults_tear_down(&s);
	cr_expect_eq(current().sa_handler, plain_handler);
}

/* ---- nobody there before ---- */

enum trouble { FILE_END, KILLED, SOURCE_FAILS, BLOCKED };

struct dying {
	struct pagemv *pv;
	char *heap;
	void (*before)(int);
	enum trouble trouble;
};

/* In a child: the regions of the parent are not there. */
static int die(void *arg)
{
	const struct rlimit none = { 0, 0 };
	struct pagemv_region_opts opts = faults_by(&fills);
	struct dying *d = arg;
	struct pagemv_region *region;
	sigset_t mask;

	alarm(20);
	setrlimit(RLIMIT_CORE, &none);
	signal(SIGBUS, d->before);
	opts.size = sizeof(opts);
	opts.flags = PAGEMV_REGION_FAULTING;
	fills.answer = -EIO;
	fills.answers = 1000;
	if (pagemv_open(&d->pv, NULL) != 0 || pagemv_sigbus_install() != 0 ||
	    pagemv_region_register(d->pv, d->heap, t_pages(PAGES), &opts,
				   &region, NULL) != 0)
		return 1;
	switch (d->trouble) {
	case FILE_END:
		faults_touch(map_beyond_end(NULL));
		break;
	case KILLED:
		kill(getpid(), SIGBUS);
		break;
	case BLOCKED:
		fills.answer = 0;
		sigemptyset(&mask);
		sigaddset(&mask, SIGBUS);
		sigprocmask(SIG_BLOCK, &mask, NULL);
		faults_touch(d->heap);
		break;
	case SOURCE_FAILS:
		faults_touch(d->heap);
		break;
	}
	return 0;
}

static int dies(void (*before)(int), enum trouble trouble)
{
	struct dying d = { .before = before, .trouble = trouble };
	int status;

	pagemv_close(faults_open());
	d.heap = t_map(PAGES);
	status = t_in_child(die, &d);
	t_unmap(d.heap, PAGES);
	return status;
}

Test(sigbus, without_a_handler_before_the_process_ends_by_it, .timeout = 60)
{
	cr_expect_eq(dies(SIG_DFL, FILE_END), 128 + SIGBUS);
	cr_expect_eq(dies(SIG_DFL, KILLED), 128 + SIGBUS);
	cr_expect_eq(dies(SIG_DFL, SOURCE_FAILS), 128 + SIGBUS);
}

/* The kernel does not ignore its own. */
Test(sigbus, one_that_is_ignored_ends_the_process_when_the_kernel_sent_it,
     .timeout = 60)
{
	cr_expect_eq(dies(SIG_IGN, FILE_END), 128 + SIGBUS);
	cr_expect_eq(dies(SIG_IGN, KILLED), 0);
	cr_expect_eq(dies(SIG_IGN, SOURCE_FAILS), 128 + SIGBUS);
}

/* The kernel waits for nobody: documented, not wished for. */
Test(sigbus, one_that_is_blocked_ends_the_process, .timeout = 60)
{
	cr_expect_eq(dies(SIG_DFL, BLOCKED), 128 + SIGBUS);
}

/* ---- pagemv_sigbus() ---- */

static volatile sig_atomic_t said;

/* A handler of the program's that asks the library. */
static void asks(int sig, siginfo_t *info, void *context)
{
	said = pagemv_sigbus(info, context);
	if (said <= 0)
		own_handler(sig, info, context);
}

Test(sigbus, a_handler_installed_later_asks_and_is_told, .timeout = 60)
{
	struct faults_stage s = faults_set_up(PAGES, faults_by(&fills));

	install_own(asks);
	faults_touch(s.heap);
	cr_expect_eq(said, 1);
	faults_right(t_check(s.heap, 1, 1));
	cr_expect(is_refused(map_beyond_end(NULL)));
	cr_expect_eq(said, 0);
	said = 77;
	kill(getpid(), SIGBUS);
	cr_expect_eq(said, 0);
	fills.answer = -EIO;
	fills.answers = 1;
	cr_expect(is_refused(s.heap + t_pages(1)));
	cr_expect_eq(said, -EIO);
	cr_expect_eq(times, 3);
	cr_expect_eq(pagemv_sigbus_uninstall(), -EBUSY);
}

Test(sigbus, what_is_no_fault_is_not_ours, .timeout = 60)
{
	struct faults_stage s = faults_set_up(PAGES, faults_by(&fills));
	siginfo_t info = { .si_signo = SIGSEGV, .si_code = BUS_ADRERR };

	info.si_addr = s.heap;
	errno = 4711;
	cr_expect_eq(pagemv_sigbus(NULL, NULL), 0);
	cr_expect_eq(pagemv_sigbus(&info, NULL), 0);
	info.si_signo = SIGBUS;
	info.si_code = BUS_ADRALN;
	cr_expect_eq(pagemv_sigbus(&info, NULL), 0);
	info.si_code = BUS_ADRERR;
	info.si_addr = s.heap + t_pages(PAGES);
	cr_expect_eq(pagemv_sigbus(&info, NULL), 0);
	cr_expect_eq(fills.calls, 0);
	info.si_addr = s.heap + 1;
	cr_expect_eq(pagemv_sigbus(&info, NULL), 1);
	cr_expect_eq(errno, 4711);
	faults_right(t_check(s.heap, 1, 1));
	faults_tear_down(&s);
}

/* ---- installing ---- */

Test(sigbus, installing_is_counted_and_the_last_one_restores, .timeout = 60)
{
	struct sigaction ours;

	install_own(own_handler);
	cr_assert_eq(pagemv_sigbus_install(), 0);
	ours = current();
	cr_expect_neq(ours.sa_sigaction, own_handler);
	cr_expect_eq(ours.sa_flags & (SA_SIGINFO | SA_ONSTACK | SA_NODEFER |
				      SA_RESTART),
		     SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART);
	cr_assert_eq(pagemv_sigbus_install(), 0);
	cr_expect_eq(pagemv_sigbus_uninstall(), 0);
	cr_expect_eq(current().sa_sigaction, ours.sa_sigaction);
	cr_expect_eq(pagemv_sigbus_uninstall(), 0);
	cr_expect_eq(current().sa_sigaction, own_handler);
	cr_expect_eq(current().sa_flags &
			     (SA_SIGINFO | SA_NODEFER | SA_ONSTACK),
		     SA_SIGINFO | SA_NODEFER);
	cr_expect_lt(pagemv_sigbus_uninstall(), 0);
	cr_expect_eq(current().sa_sigaction, own_handler);
}

/* The usual way of one who comes later: what is not his goes to the one
 * before. */
static struct sigaction below;
static volatile sig_atomic_t passed;

static void passes_on(int sig, siginfo_t *info, void *context)
{
	passed++;
	below.sa_sigaction(sig, info, context);
}

Test(sigbus, one_put_over_it_is_left_alone_and_may_go_on_calling_ours,
     .timeout = 60)
{
	struct faults_stage s;

	install_own(repair);
	s = faults_set_up(PAGES, faults_by(&fills));
	below = install_own(passes_on);
	cr_expect_eq(pagemv_sigbus_uninstall(), -EBUSY);
	cr_expect_eq(current().sa_sigaction, passes_on);
	faults_touch(s.heap);
	faults_right(t_check(s.heap, 1, 1));
	faults_store(map_beyond_end(NULL));
	cr_expect_eq(passed, 2);
	cr_expect_eq(times, 1);
	/* The one on top goes as it came: ours is there again. */
	cr_assert_eq(sigaction(SIGBUS, &below, NULL), 0);
	faults_touch(s.heap + t_pages(1));
	cr_expect_eq(pagemv_sigbus_install(), 0);
	faults_tear_down(&s);
	cr_expect_eq(current().sa_sigaction, repair);
}

Test(sigbus, installed_again_under_one_that_calls_it_it_does_not_go_round,
     .timeout = 60)
{
	struct faults_stage s;

	install_own(repair);
	s = faults_set_up(PAGES, faults_by(&fills));
	below = install_own(passes_on);
	cr_expect_eq(pagemv_sigbus_uninstall(), -EBUSY);
	cr_expect_eq(pagemv_sigbus_install(), 0);
	faults_touch(s.heap);
	faults_right(t_check(s.heap, 1, 1));
	for (int i = 1; i <= 3; i++) {
		faults_store(map_beyond_end(NULL));
		cr_expect_eq(times, i);
	}
	cr_expect(passed <= 4, "%d times", (int)passed);
}

/* Ours is below nobody any more: it has to be put there again. */
Test(sigbus, installed_again_after_all_handlers_were_thrown_away, .timeout = 60)
{
	struct faults_stage s = faults_set_up(PAGES, faults_by(&fills));

	install_own(own_handler);
	cr_expect_eq(pagemv_sigbus_uninstall(), -EBUSY);
	signal(SIGBUS, SIG_DFL);
	cr_expect_eq(pagemv_sigbus_install(), 0);
	faults_touch(s.heap);
	faults_right(t_check(s.heap, 1, 1));
	faults_tear_down(&s);
	cr_expect_eq(current().sa_handler, SIG_DFL);
}

/* ---- sources that fail ---- */

static uint64_t failures(struct pagemv *pv)
{
	struct pagemv_stats stats = { .size = sizeof(stats) };

	cr_assert_eq(pagemv_stats(pv, &stats), 0);
	return stats.fill_failures;
}

/* Each is delivered, and names nothing that the library does itself. */
Test(sigbus, an_error_of_the_source_reaches_the_program_and_leaves_no_page,
     .timeout = 60)
{
	static const int errors[] = { -EIO,    -ENOENT, -EINVAL, -EBUSY,
				      -EEXIST, -ENOMEM, -EFAULT, -EINTR,
				      -ESRCH,  -EPERM };
	struct faults_stage s;

	install_own(own_handler);
	s = faults_set_up(PAGES, faults_by(&fills));
	for (size_t i = 0; i < T_COUNT(errors); i++) {
		char *page = s.heap + t_pages(i);

		fills.answer = errors[i];
		fills.answers = 1;
		cr_expect(is_refused(page + 100), "%d: not told", errors[i]);
		cr_expect_eq(seen.si_addr, page + 100);
		cr_expect_eq(seen.si_code, BUS_ADRERR);
		faults_right(t_check_absent(page, 1));
		cr_expect(!is_refused(page));
		faults_right(t_check(page, i + 1, 1));
	}
	cr_expect_eq(times, (int)T_COUNT(errors));
	cr_expect_eq(failures(s.pv), T_COUNT(errors));
	faults_tear_down(&s);
}

Test(sigbus, a_source_that_says_again_is_asked_until_it_works, .timeout = 60)
{
	struct faults_stage s;

	install_own(own_handler);
	s = faults_set_up(PAGES, faults_by(&fills));
	fills.answer = -EAGAIN;
	fills.answers = 5;
	cr_expect(!is_refused(s.heap));
	faults_right(t_check(s.heap, 1, 1));
	cr_expect_eq(fills.calls, 6);
	cr_expect_eq(times, 0);
	faults_tear_down(&s);
}

static bool has_poison(struct pagemv *pv)
{
	struct pagemv_caps caps = { .size = sizeof(caps) };

	cr_assert_eq(pagemv_caps(pv, &caps), 0);
	return caps.facilities & PAGEMV_HAS_POISON;
}

/* Kernels that know nothing of broken memory do not know the code either. */
static int poison_code(void)
{
	char text[8];

	return t_read_file("/proc/sys/vm/memory_failure_recovery", text,
			   sizeof(text))
		       ? BUS_MCEERR_AR
		       : BUS_ADRERR;
}

/* Before Linux 6.6 it is an error as any other. */
Test(sigbus, a_page_may_be_poisoned_for_good, .timeout = 60)
{
	struct faults_stage s;
	bool lasts;

	install_own(own_handler);
	s = faults_set_up(PAGES, faults_by(&fills));
	lasts = has_poison(s.pv);
	fills.answer = -EHWPOISON;
	fills.answers = 1;
	cr_expect(is_refused(s.heap + 5));
	cr_expect_eq(seen.si_code, lasts ? poison_code() : BUS_ADRERR);
	for (int i = 0; i < 2; i++)
		cr_expect_eq(is_refused(s.heap), lasts);
	cr_expect_eq(times, lasts ? 3 : 1);
	cr_expect_eq(fills.calls, lasts ? 1 : 2);
	cr_expect(!is_refused(s.heap + t_pages(1)));
	fills.answers = 1;
	cr_expect_eq(
		pagemv_populate(s.pv, s.heap + t_pages(2), t_pages(2), NULL),
		-EHWPOISON);
	faults_tear_down(&s);
}

/* A marker is no page: what throws pages away takes it along. */
Test(sigbus, a_poisoned_page_that_was_thrown_away_is_filled, .timeout = 60)
{
	struct faults_stage s;

	install_own(own_handler);
	s = faults_set_up(PAGES, faults_by(&fills));
	fills.answer = -EHWPOISON;
	fills.answers = 1;
	cr_expect(is_refused(s.heap));
	t_drop(s.heap, 1);
	cr_expect(!is_refused(s.heap));
	faults_right(t_check(s.heap, 1, 1));
	faults_tear_down(&s);
}

/* ---- a callback that touches what it is to fill ---- */

static int fill_and_touch(void *arg, const struct pagemv_fill *f)
{
	sigjmp_buf *outer = out;

	/* Within the callback: out of the handler alone. */
	if (!is_refused(f->addr))
		return -EIO;
	out = outer;
	return fill_pages(arg, f);
}

static void touches_its_own(void)
{
	struct pagemv_region_opts opts = faults_by(&fills);
	struct faults_stage s;

	opts.fill = fill_and_touch;
	s = faults_set_up(PAGES, opts);
	cr_expect(!is_refused(s.heap));
	faults_right(t_check(s.heap, 1, 1));
	cr_expect_eq(times, 1);
	cr_expect_eq(seen.si_addr, s.heap);
	faults_tear_down(&s);
}

Test(sigbus, a_callback_that_touches_its_own_page_is_told, .timeout = 60)
{
	install_own(own_handler);
	touches_its_own();
}

static int fill_and_ask(void *arg, const struct pagemv_fill *f)
{
	siginfo_t info = { .si_signo = SIGBUS, .si_code = BUS_ADRERR };

	info.si_addr = (char *)f->addr + 5;
	said = pagemv_sigbus(&info, NULL);
	return fill_pages(arg, f);
}

Test(sigbus, the_error_for_touching_ones_own_page_is_edeadlk, .timeout = 60)
{
	struct pagemv_region_opts opts = faults_by(&fills);
	struct faults_stage s;

	opts.fill = fill_and_ask;
	s = faults_set_up(PAGES, opts);
	faults_touch(s.heap);
	cr_expect_eq(said, -EDEADLK);
	faults_right(t_check(s.heap, 1, 1));
	faults_tear_down(&s);
}
