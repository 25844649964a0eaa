/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Releases with known faults (doc/kernel-facts.md, section 4): which of them
 * the library's table names for this kernel, whether the kernel has them, as
 * far as that can be seen without harm, and whether the library does what its
 * table says.
 *
 *	quirks		leaves the kernel as it was
 *	quirks raw	shows with bare ioctls what the library keeps away from:
 *			the kernel is not sound any more and may say so
 */
#include "lab.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <pagemv/pagemv.h>

#include "oracle.h"
#include "rawuffd.h"
#include "t.h"
#include "tap.h"
#include "thp.h"
#include "ways.h"

static struct tap tap;

static const struct {
	uint32_t quirk;
	const char *name;
} quirks[] = {
	{ PAGEMV_QUIRK_MISCOUNT, "MISCOUNT" },
	{ PAGEMV_QUIRK_HUGE_MOVE, "HUGE_MOVE" },
	{ PAGEMV_QUIRK_HUGE_PAGES, "HUGE_PAGES" },
	{ PAGEMV_QUIRK_SWAP, "SWAP" },
	{ PAGEMV_QUIRK_ZERO_PAGE, "ZERO_PAGE" },
};

/* In force, as the library says for this kernel. */
static uint32_t known;

static bool knows(uint32_t quirk)
{
	return (known & quirk) != 0;
}

/* A result, and what there is to say when it is not as it should be. */
__attribute__((format(printf, 3, 4))) static bool
expect(bool ok, const char *name, const char *format, ...)
{
	char text[160];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (!ok)
		tap_say(stdout, "%s", text);
	return tap_ok(&tap, ok, name);
}

static struct pagemv *open_trusting(uint32_t trusted, struct pagemv_caps *caps)
{
	const struct pagemv_open_opts opts = {
		.size = sizeof(opts),
		.trusted = trusted,
	};
	struct pagemv *pv = NULL;

	*caps = (struct pagemv_caps){ .size = sizeof(*caps) };
	if (pagemv_open(&pv, &opts) != 0 || pagemv_caps(pv, caps) != 0)
		t_die("pagemv_open");
	return pv;
}

static int force_move(struct pagemv *pv, void *dst, void *src, size_t pages,
		      struct pagemv_result *res)
{
	const struct pagemv_move_opts opts = {
		.size = sizeof(opts),
		.mechanism = PAGEMV_MECH_MOVE,
	};

	return pagemv_move(pv, dst, src, t_pages(pages), &opts, res);
}

/* ---- the table ---- */

static bool tell_known(void)
{
	struct pagemv_caps caps;
	struct pagemv *pv = open_trusting(0, &caps);
	char text[80] = "";
	size_t len = 0, i;

	known = caps.quirks;
	for (i = 0; i < T_COUNT(quirks); i++)
		if (knows(quirks[i].quirk))
			len += (size_t)snprintf(text + len, sizeof(text) - len,
						"%s%s", len == 0 ? "" : " ",
						quirks[i].name);
	lab_seen("known faults in force", "%s", len == 0 ? "none" : text);
	pagemv_close(pv);
	return caps.mech[PAGEMV_MECH_MOVE].reason !=
	       PAGEMV_REASON_NOT_IN_KERNEL;
}

static void test_trusted(void)
{
	bool right = true;
	size_t i;

	for (i = 0; i < T_COUNT(quirks); i++) {
		uint32_t trusted = quirks[i].quirk;
		struct pagemv_caps caps;

		pagemv_close(open_trusting(trusted, &caps));
		right = right && caps.quirks == (known & ~trusted) &&
			caps.trusted == (known & trusted);
	}
	tap_ok(&tap, right, "a fault that the caller trusts is not in force");
}

static void test_swap(void)
{
	struct pagemv_caps caps;
	bool bad = knows(PAGEMV_QUIRK_SWAP) && t_has_swap();

	pagemv_close(open_trusting(0, &caps));
	expect(caps.mech[PAGEMV_MECH_MOVE].available == !bad,
	       "SWAP: UFFDIO_MOVE is used unless swap is on there",
	       "available: %u, bad: %d", caps.mech[PAGEMV_MECH_MOVE].available,
	       bad);
}

/* ---- pages that have only been read ---- */

static void test_zero_page(void)
{
	char *p = t_map(2);
	int fd = t_uffd_open();
	struct pagemv_result res;
	struct pagemv_caps caps;
	struct pagemv *pv;
	int r;

	t_uffd_register_wp(fd, p, t_page());
	(void)*(volatile char *)(p + t_page());
	r = t_uffd_move(fd, p, p + t_page(), t_page(), NULL);
	close(fd);
	lab_seen("zero page by UFFDIO_MOVE", "%s",
		 r == 0 ? "moves" : strerror(-r));
	expect(knows(PAGEMV_QUIRK_ZERO_PAGE) == (r == -EBUSY),
	       "ZERO_PAGE: the kernel is as the table says", "returned %d", r);

	t_drop(p, 2);
	pv = open_trusting(0, &caps);
	t_register(pv, p, 1);
	(void)*(volatile char *)(p + t_page());
	r = force_move(pv, p, p + t_page(), 1, &res);
	expect(r == 0 && t_check_zero(p, 1) == NULL,
	       "ZERO_PAGE: zeros arrive by the library", "returned %d", r);
	pagemv_close(pv);
	t_unmap(p, 2);
}

/* ---- whole huge pages ---- */

/* Moves a huge page; returns whether it is whole at dst. */
static bool move_huge(uint32_t trusted, struct pagemv_result *res,
		      const char **wrong)
{
	char *src = t_map_at(huge_pages(), HUGE_BYTES, 0, true);
	char *dst = t_map_at(huge_pages(), HUGE_BYTES, 0, true);
	struct pagemv_caps caps;
	struct pagemv *pv = open_trusting(trusted, &caps);
	bool whole;

	t_register(pv, dst, huge_pages());
	t_fill_range(src, huge_pages(), 1);
	if (t_huge_bytes(src, HUGE_BYTES) != HUGE_BYTES)
		t_die("a huge page");
	force_move(pv, dst, src, huge_pages(), res);
	whole = t_huge_bytes(dst, HUGE_BYTES) == HUGE_BYTES;
	*wrong = t_check_range(dst, huge_pages(), 1);
	pagemv_close(pv);
	t_unmap(src, huge_pages());
	t_unmap(dst, huge_pages());
	return whole;
}

static void test_huge_move(void)
{
	struct pagemv_result res;
	const char *wrong;
	bool whole = move_huge(0, &res, &wrong);

	expect(wrong == NULL && whole == !knows(PAGEMV_QUIRK_HUGE_MOVE),
	       "HUGE_MOVE: huge pages move whole unless they must not",
	       "whole: %d, %u calls, %s", whole, res.kernel_calls,
	       wrong == NULL ? "pages right" : wrong);
	/* Right on all kernels: it is the huge zero page that is moved wrongly,
	 * or a page that somebody else holds. */
	whole = move_huge(PAGEMV_QUIRK_HUGE_MOVE, &res, &wrong);
	expect(wrong == NULL && whole && res.kernel_calls == 1,
	       "HUGE_MOVE: trusted, they move whole", "whole: %d, %u calls, %s",
	       whole, res.kernel_calls, wrong == NULL ? "pages right" : wrong);
}

static void test_huge_pages(void)
{
	char *p = t_map_at(huge_pages(), HUGE_BYTES, 0, true);
	struct pagemv_caps caps;
	struct pagemv *pv = open_trusting(0, &caps);
	bool forbidden;

	t_register(pv, p, huge_pages());
	forbidden = t_mapping_has_flag(p, "nh");
	expect(forbidden == knows(PAGEMV_QUIRK_HUGE_PAGES),
	       "HUGE_PAGES: regions have huge pages unless they must not",
	       "forbidden: %d", forbidden);
	pagemv_close(pv);
	t_unmap(p, huge_pages());
}

/* ---- two movers out of one huge page (37b338eed105: they hang) ---- */

#define SPLIT_ROUNDS 40
#define SPLIT_RUN    8

struct halves {
	struct pagemv *pv;
	char *src, *dst;
	pthread_barrier_t barrier;
	_Atomic unsigned int rounds;
	_Atomic unsigned int failed;
};

struct half {
	struct halves *both;
	size_t first;
	pthread_t thread;
};

static void move_half(const struct half *h)
{
	struct halves *both = h->both;
	size_t i;

	for (i = h->first; i < huge_pages(); i += 2 * SPLIT_RUN) {
		struct pagemv_result res;

		if (force_move(both->pv, both->dst + t_pages(i),
			       both->src + t_pages(i), SPLIT_RUN, &res) != 0)
			atomic_fetch_add(&both->failed, 1);
	}
}

/* A number in each page, as filling them takes too long. */
static void number_pages(char *p)
{
	size_t i;

	for (i = 0; i < huge_pages(); i++)
		*(uint64_t *)(void *)(p + t_pages(i)) = 1 + i;
}

static uint64_t number_of(const char *page)
{
	return *(const uint64_t *)(const void *)page;
}

static bool pages_numbered(const char *p)
{
	size_t i;

	for (i = 0; i < huge_pages(); i++)
		if (!t_present(p + t_pages(i)) ||
		    number_of(p + t_pages(i)) != 1 + i)
			return false;
	return true;
}

static void *move_halves(void *arg)
{
	const struct half *h = arg;
	struct halves *both = h->both;
	size_t i;

	for (i = 0; i < SPLIT_ROUNDS; i++) {
		if (h->first == 0) {
			thp_anew(both->src);
			t_drop(both->dst, huge_pages());
			number_pages(both->src);
		}
		pthread_barrier_wait(&both->barrier);
		move_half(h);
		pthread_barrier_wait(&both->barrier);
		if (h->first != 0)
			continue;
		if (!pages_numbered(both->dst))
			atomic_fetch_add(&both->failed, 1);
		atomic_fetch_add(&both->rounds, 1);
	}
	return NULL;
}

/* A thread that hangs in the kernel cannot even be killed. */
static void join_or_end(pthread_t thread, const char *name)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 120;
	if (pthread_timedjoin_np(thread, NULL, &until) == 0)
		return;
	tap_ok(&tap, false, name);
	tap_done(&tap);
	fflush(stdout);
	_exit(1);
}

static void test_two_movers(void)
{
	const char *name = "two movers out of one huge page come to an end";
	struct halves both = {
		.src = t_map_at(huge_pages(), HUGE_BYTES, 0, true),
		.dst = t_map_at(huge_pages(), HUGE_BYTES, 0, false),
	};
	struct half half[2] = { { &both, 0, 0 }, { &both, SPLIT_RUN, 0 } };
	uint64_t split = thp_vmstat("thp_split_page");
	struct pagemv_caps caps;
	int i;

	both.pv = open_trusting(0, &caps);
	t_register(both.pv, both.dst, huge_pages());
	pthread_barrier_init(&both.barrier, NULL, 2);
	for (i = 0; i < 2; i++)
		if (pthread_create(&half[i].thread, NULL, move_halves,
				   &half[i]) != 0)
			t_die("pthread_create");
	for (i = 0; i < 2; i++)
		join_or_end(half[i].thread, name);
	split = thp_vmstat("thp_split_page") - split;
	expect(both.failed == 0 && split >= SPLIT_ROUNDS, name,
	       "%u failed, %" PRIu64 " huge pages split", both.failed, split);
	pthread_barrier_destroy(&both.barrier);
	pagemv_close(both.pv);
	t_unmap(both.src, huge_pages());
	t_unmap(both.dst, huge_pages());
}

/* ---- the miscount ---- */

#define PAGES 64

/* Takes accessed bits away, as reclaim does, wherever src points to. */
struct ager {
	char *_Atomic src;
	_Atomic bool stop;
	pthread_t thread;
};

static void *age(void *arg)
{
	struct ager *ager = arg;

	while (!ager->stop) {
		char *src = ager->src;

		if (src != NULL)
			madvise(src, t_pages(PAGES), MADV_COLD);
		else
			sched_yield();
	}
	return NULL;
}

static void start_ager(struct ager *ager)
{
	ager->src = NULL;
	ager->stop = false;
	if (pthread_create(&ager->thread, NULL, age, ager) != 0)
		t_die("pthread_create");
}

static void stop_ager(struct ager *ager)
{
	ager->stop = true;
	pthread_join(ager->thread, NULL);
}

struct tally {
	uint64_t calls;
	uint64_t miscounts;
	uint64_t pages; /* that were not counted */
	uint64_t lost;
};

static void touch(char *p)
{
	size_t i;

	for (i = 0; i < PAGES; i++)
		__atomic_fetch_add((uint64_t *)(void *)(p + t_pages(i) + 64), 0,
				   __ATOMIC_RELAXED);
}

/* Moves with bare ioctls until all has arrived, whatever they answer. */
static void bare_round(int fd, char *dst, char *src, struct tally *t)
{
	size_t before = 0, tries;

	for (tries = 0; before < PAGES && tries < 4 * PAGES; tries++) {
		int64_t done = 0;
		int r = t_uffd_move(fd, dst + t_pages(before),
				    src + t_pages(before),
				    t_pages(PAGES - before), &done);
		size_t now = r == 0 ? PAGES : t_count_present(dst, PAGES);
		size_t said = done > 0 ? (size_t)done / t_page() : 0;

		t->calls++;
		if (now - before > said) {
			t->miscounts++;
			t->pages += now - before - said;
		}
		before = now;
	}
	t->lost += before != PAGES;
}

/* Two areas between which pages go to and fro while they are aged. */
struct shuttle {
	char *area[2];
	int at;
	struct ager ager;
	uint64_t end_ns;
};

static void shuttle_begin(struct shuttle *s)
{
	uint64_t seconds = 2 + 2 * t_env("PMV_SECONDS", 0);

	s->area[0] = t_map(PAGES);
	s->area[1] = t_map(PAGES);
	s->at = 0;
	s->end_ns = t_now_ns() + seconds * 1000000000u;
	t_fill_range(s->area[0], PAGES, 1);
	start_ager(&s->ager);
}

static bool shuttle_goes_on(const struct shuttle *s, uint64_t seen)
{
	return t_now_ns() < s->end_ns && seen < 50;
}

/* Makes all pages accessed, so that there is something to take away. */
static void shuttle_leave(struct shuttle *s)
{
	touch(s->area[s->at]);
	s->ager.src = s->area[s->at];
}

static void shuttle_arrive(struct shuttle *s)
{
	s->ager.src = NULL;
	s->at = 1 - s->at;
}

/* What is wrong with the pages now, or NULL. */
static const char *shuttle_end(struct shuttle *s)
{
	const char *wrong;

	stop_ager(&s->ager);
	wrong = t_check_range(s->area[s->at], PAGES, 1);
	if (wrong == NULL)
		wrong = t_check_absent(s->area[1 - s->at], PAGES);
	t_unmap(s->area[0], PAGES);
	t_unmap(s->area[1], PAGES);
	return wrong;
}

static void test_miscount_bare(void)
{
	struct tally t = { .calls = 0 };
	int fd = t_uffd_open(), i;
	const char *wrong;
	struct shuttle s;

	shuttle_begin(&s);
	for (i = 0; i < 2; i++)
		if (t_uffd_register_wp(fd, s.area[i], t_pages(PAGES)) != 0)
			t_die("a userfaultfd of its own");
	while (shuttle_goes_on(&s, t.miscounts)) {
		shuttle_leave(&s);
		bare_round(fd, s.area[1 - s.at], s.area[s.at], &t);
		shuttle_arrive(&s);
	}
	close(fd);
	wrong = shuttle_end(&s);
	if (t.miscounts == 0)
		lab_seen("UFFDIO_MOVE counts", "right in %" PRIu64 " calls",
			 t.calls);
	else
		lab_seen("UFFDIO_MOVE counts",
			 "too few in %" PRIu64 " calls of %" PRIu64,
			 t.miscounts, t.calls);
	expect(wrong == NULL && t.lost == 0,
	       "MISCOUNT: bare ioctls lose no page", "%s",
	       wrong == NULL ? "not all arrived" : wrong);
	expect(t.miscounts == 0 || knows(PAGEMV_QUIRK_MISCOUNT),
	       "MISCOUNT: the table names a kernel that miscounts",
	       "%" PRIu64 " pages not counted", t.pages);
}

/* Every count is looked at; the pages themselves at the end. */
static void test_miscount_library(void)
{
	uint64_t calls = 0, wrong_counts = 0, repaired = 0;
	struct pagemv_result res;
	struct pagemv_caps caps;
	struct pagemv *pv = open_trusting(0, &caps);
	const char *wrong;
	struct shuttle s;

	shuttle_begin(&s);
	t_register(pv, s.area[0], PAGES);
	t_register(pv, s.area[1], PAGES);
	while (shuttle_goes_on(&s, repaired / PAGES)) {
		shuttle_leave(&s);
		if (force_move(pv, s.area[1 - s.at], s.area[s.at], PAGES,
			       &res) != 0 ||
		    res.moved_bytes != t_pages(PAGES) ||
		    t_count_present(s.area[1 - s.at], PAGES) != PAGES)
			wrong_counts++;
		shuttle_arrive(&s);
		calls++;
		repaired += res.repaired_bytes / t_page();
	}
	pagemv_close(pv);
	wrong = shuttle_end(&s);
	lab_seen("pages that the library counted itself",
		 "%" PRIu64 " in %" PRIu64 " calls", repaired, calls);
	expect(wrong_counts == 0, "MISCOUNT: the library counts right",
	       "%" PRIu64 " of %" PRIu64 " calls", wrong_counts, calls);
	expect(wrong == NULL, "MISCOUNT: the library loses no page", "%s",
	       wrong != NULL ? wrong : "");
	expect(repaired == 0 || knows(PAGEMV_QUIRK_MISCOUNT),
	       "MISCOUNT: no repair where the table names no fault",
	       "%" PRIu64 " pages", repaired);
}

/* ---- who waits for a page that is moved and not counted ---- */

struct waiter {
	char *page;
	_Atomic bool awake;
	pthread_t thread;
};

static void *wait_for_page(void *arg)
{
	struct waiter *w = arg;

	(void)*(volatile char *)w->page;
	w->awake = true;
	return NULL;
}

/* Until the waiter is where the kernel tells us of its fault. */
static void await_fault(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct uffd_msg msg;

	if (poll(&p, 1, 10000) != 1 || read(fd, &msg, sizeof(msg)) <= 0)
		t_die("no page fault was told");
}

static bool wakes_soon(const struct waiter *w)
{
	int i;

	for (i = 0; i < 200 && !w->awake; i++)
		t_sleep_ms(1);
	return w->awake;
}

static void wake(int fd, char *addr)
{
	struct uffdio_range range = { (uintptr_t)addr, t_pages(PAGES) };

	if (ioctl(fd, UFFDIO_WAKE, &range) != 0)
		t_die("UFFDIO_WAKE");
}

struct forgotten {
	unsigned int rounds;
	unsigned int miscounts; /* all pages moved, and an error */
	unsigned int asleep;	/* of these: not woken */
	unsigned int never;	/* nor when asked to */
};

static void forget_round(int fd, struct ager *ager, struct forgotten *f)
{
	char *src = t_map(PAGES), *dst = t_map(PAGES);
	struct waiter w = { .page = dst + t_pages(PAGES / 2) };
	int r;

	if (t_uffd_register_missing(fd, dst, t_pages(PAGES)) != 0)
		t_die("registering");
	t_fill_range(src, PAGES, 1);
	if (pthread_create(&w.thread, NULL, wait_for_page, &w) != 0)
		t_die("pthread_create");
	await_fault(fd);
	ager->src = src;
	do
		r = t_uffd_move(fd, dst, src, t_pages(PAGES), NULL);
	while (r == -EAGAIN && t_count_present(dst, PAGES) == 0);
	ager->src = NULL;
	f->rounds++;
	if (r == -EEXIST && t_count_present(dst, PAGES) == PAGES) {
		f->miscounts++;
		f->asleep += !wakes_soon(&w);
	}
	wake(fd, dst);
	f->never += !wakes_soon(&w);
	pthread_join(w.thread, NULL);
	t_unmap(src, PAGES);
	t_unmap(dst, PAGES);
}

/* The fault that makes threads hang, and the wake that the library adds. */
static void test_forgotten(void)
{
	uint64_t end = t_now_ns() + 2000000000u;
	struct forgotten f = { .rounds = 0 };
	int fd = t_uffd_open();
	struct ager ager;

	start_ager(&ager);
	while (t_now_ns() < end && f.miscounts < 3)
		forget_round(fd, &ager, &f);
	stop_ager(&ager);
	close(fd);
	if (f.miscounts != 0)
		lab_seen("who waits for a page that is not counted",
			 "not woken, %u of %u times", f.asleep, f.miscounts);
	expect(f.never == 0, "MISCOUNT: UFFDIO_WAKE wakes who was forgotten",
	       "%u of %u rounds", f.never, f.rounds);
}

/* ---- mappings that are changing (95567729173e: the count unwritten) ---- */

static int open_with_events(void)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_EVENT_REMOVE,
	};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) != 0)
		t_die("a userfaultfd with events");
	return fd;
}

static void *drop_pages(void *arg)
{
	t_drop(arg, 1);
	return NULL;
}

/* While an event waits to be read: another userfaultfd is not concerned. */
static bool library_moves(void)
{
	char *p = t_map(2);
	struct pagemv_result res;
	struct pagemv_caps caps;
	struct pagemv *pv = open_trusting(0, &caps);
	int r;

	t_register(pv, p, 1);
	t_fill(p + t_page(), 1, 1);
	r = force_move(pv, p, p + t_page(), 1, &res);
	pagemv_close(pv);
	t_unmap(p, 2);
	return r == 0 && res.kernel_calls == 1;
}

static void test_changing(void)
{
	const int64_t untouched = 4711;
	char *p = t_map(2), *src = t_map(1);
	uint64_t arg[5] = { (uintptr_t)p, (uintptr_t)src, t_page(), 0,
			    (uint64_t)untouched };
	struct pollfd event = { .fd = open_with_events(), .events = POLLIN };
	struct uffd_msg msg;
	pthread_t thread;
	bool moved;
	int r;

	t_fill(src, 1, 1);
	if (t_uffd_register_wp(event.fd, p, t_pages(2)) != 0 ||
	    pthread_create(&thread, NULL, drop_pages, p + t_page()) != 0 ||
	    poll(&event, 1, 10000) != 1)
		t_die("a changing mapping");
	r = ioctl(event.fd, t_uffd_move_request(), arg) == 0 ? 0 : -errno;
	moved = library_moves();
	if (read(event.fd, &msg, sizeof(msg)) != sizeof(msg))
		t_die("reading the event");
	pthread_join(thread, NULL);
	close(event.fd);
	lab_seen("EAGAIN of changing mappings", "%s",
		 (int64_t)arg[4] == untouched ? "leaves the count unwritten"
					      : "is written as the count");
	expect(r == -EAGAIN && t_check(src, 1, 1) == NULL,
	       "mappings that change give EAGAIN", "returned %d", r);
	tap_ok(&tap, moved, "the library's moves are not held up by it");
	t_unmap(p, 2);
	t_unmap(src, 1);
}

/* ---- huge pages that migrate (b446dbe27035, 4165b7d1c45c) ---- */

/* Takes a huge page to the other node each time it is asked to. */
struct migrator {
	char *page;
	_Atomic unsigned int asked;
	_Atomic unsigned int done;
	_Atomic bool stop;
	_Atomic uint64_t took_ns; /* the last time */
	pthread_t thread;
};

static int node_of(void *page)
{
	int node = -1;

	syscall(SYS_move_pages, 0, 1ul, &page, NULL, &node, 0);
	return node;
}

static void *migrate(void *arg)
{
	struct migrator *m = arg;

	while (!m->stop) {
		unsigned int asked = m->asked;
		uint64_t begun = t_now_ns();
		void *page = m->page;
		int node, status;

		if (asked == m->done) {
			sched_yield();
			continue;
		}
		node = 1 - node_of(page);
		syscall(SYS_move_pages, 0, 1ul, &page, &node, &status,
			2 /* MPOL_MF_MOVE */);
		m->took_ns = t_now_ns() - begun;
		m->done = asked;
	}
	return NULL;
}

/* Numbered pages, [from, from + n) of them moved; what is wrong, or NULL. */
static const char *check_moved(const char *dst, const char *src, size_t from,
			       size_t n)
{
	size_t i;

	for (i = 0; i < huge_pages(); i++) {
		bool moved = i >= from && i < from + n;
		const char *p = (moved ? dst : src) + t_pages(i);

		if (!t_present(p) || number_of(p) != 1 + i)
			return "a page is not where it should be";
	}
	return NULL;
}

struct migration {
	char *dst;
	struct migrator migrator; /* and src */
	struct t_random random;
	uint64_t begun; /* how many huge pages had migrated before */
	uint64_t end_ns;
	uint64_t rounds;
};

static void migration_begin(struct migration *m)
{
	uint64_t seconds = 2 + t_env("PMV_SECONDS", 0);

	*m = (struct migration){
		.dst = t_map_at(huge_pages(), HUGE_BYTES, 0, true),
		.migrator.page = t_map_at(huge_pages(), HUGE_BYTES, 0, true),
		.random = t_random_make(t_env("PMV_SEED", 1)),
		.begun = thp_vmstat("thp_migration_success"),
		.end_ns = t_now_ns() + seconds * 1000000000u,
	};
	if (pthread_create(&m->migrator.thread, NULL, migrate, &m->migrator) !=
	    0)
		t_die("pthread_create");
}

/* Returns how many huge pages have migrated. */
static uint64_t migration_end(struct migration *m)
{
	m->migrator.stop = true;
	pthread_join(m->migrator.thread, NULL);
	t_unmap(m->migrator.page, huge_pages());
	t_unmap(m->dst, huge_pages());
	return thp_vmstat("thp_migration_success") - m->begun;
}

static bool migration_goes_on(const struct migration *m)
{
	return t_now_ns() < m->end_ns || m->rounds < 20;
}

/* A new huge page sets out; returns at some time while it is under way. */
static char *set_out(struct migration *m)
{
	struct migrator *migrator = &m->migrator;
	uint64_t until;

	thp_anew(migrator->page);
	t_drop(m->dst, huge_pages());
	number_pages(migrator->page);
	until = t_now_ns() + t_random_below(&m->random, 1 + migrator->took_ns);
	migrator->asked++;
	while (t_now_ns() < until)
		sched_yield();
	m->rounds++;
	return migrator->page;
}

static void await_arrival(const struct migration *m)
{
	while (m->migrator.done != m->migrator.asked)
		sched_yield();
}

/* Where none migrated, nothing has been shown. */
static void expect_migrated(bool ok, uint64_t migrated, const char *name)
{
	if (ok && migrated == 0)
		tap_skip(&tap, name, "no huge page has migrated");
	else
		tap_ok(&tap, ok, name);
}

/* What bare ioctls answer. Half a huge page, as the library moves it where
 * whole ones must not move. */
static void test_migration_bare(void)
{
	unsigned int miscounts = 0, denied = 0, busy = 0, later = 0, failed = 0;
	size_t half = huge_pages() / 2;
	int fd = t_uffd_open();
	struct migration m;
	uint64_t migrated;

	migration_begin(&m);
	t_uffd_register_wp(fd, m.dst, HUGE_BYTES);
	while (migration_goes_on(&m)) {
		char *src = set_out(&m);
		int r = t_uffd_move(fd, m.dst, src, t_pages(half), NULL);
		size_t there = t_count_present(m.dst, half);

		miscounts += r == -EEXIST && there == half;
		denied += r == -ENOENT && there == 0 && t_present(src);
		failed += r != 0 && r != -EEXIST && r != -ENOENT && r != -EBUSY;
		await_arrival(&m);
		if (r == -EBUSY) {
			busy++;
			t_drop(m.dst, half);
			later += t_uffd_move(fd, m.dst, src, t_pages(half),
					     NULL) == 0;
		}
	}
	migrated = migration_end(&m);
	close(fd);
	lab_seen("UFFDIO_MOVE of huge pages that migrate",
		 "of %" PRIu64 ", %u moved and not counted, %u said to be "
		 "absent, %u busy (%u moved later); %" PRIu64 " migrations",
		 m.rounds, miscounts, denied, busy, later, migrated);
	expect_migrated(failed == 0 && later == busy, migrated,
			"bare ioctls move huge pages that migrate");
	expect(miscounts == 0 || knows(PAGEMV_QUIRK_MISCOUNT),
	       "MISCOUNT: the table names a kernel that miscounts them",
	       "%u times", miscounts);
}

/* All of it is moved, however often it takes: EAGAIN is no failure, nor is
 * EBUSY, which 7.3 says while a huge page migrates. */
static int move_in_the_end(struct pagemv *pv, char *dst, char *src,
			   size_t pages, uint64_t *repaired)
{
	struct pagemv_result res;
	size_t done = 0;
	int tries, r = -EAGAIN;

	for (tries = 0; tries < 100 && (r == -EAGAIN || r == -EBUSY); tries++) {
		if (r == -EBUSY)
			t_sleep_ms(1);
		r = force_move(pv, dst + t_pages(done), src + t_pages(done),
			       pages - done, &res);
		done += res.left_off / t_page();
		*repaired += res.repaired_bytes / t_page();
	}
	return r;
}

static void test_migration_library(void)
{
	const char *wrong = NULL;
	struct pagemv_caps caps;
	struct pagemv *pv = open_trusting(0, &caps);
	uint64_t repaired = 0, migrated;
	struct migration m;
	int r = 0;

	migration_begin(&m);
	t_register(pv, m.dst, huge_pages());
	while (r == 0 && wrong == NULL && migration_goes_on(&m)) {
		size_t from = 0, n = huge_pages();
		char *src = set_out(&m);

		if (t_random_below(&m.random, 2) == 0) {
			n = 1 + t_random_below(&m.random, 16);
			from = t_random_below(&m.random, huge_pages() - n);
		}
		r = move_in_the_end(pv, m.dst + t_pages(from),
				    src + t_pages(from), n, &repaired);
		await_arrival(&m);
		wrong = check_moved(m.dst, src, from, n);
	}
	pagemv_close(pv);
	migrated = migration_end(&m);
	lab_seen("huge pages that migrate, by the library",
		 "%" PRIu64 " moved, %" PRIu64 " pages repaired; %" PRIu64
		 " migrations",
		 m.rounds, repaired, migrated);
	if (r != 0 || wrong != NULL)
		tap_say(stdout, "returned %d; %s", r,
			wrong != NULL ? wrong : "pages right");
	expect_migrated(r == 0 && wrong == NULL, migrated,
			"the library moves huge pages that migrate");
}

static void test_migration(void)
{
	char text[16];

	if (t_read_file("/sys/devices/system/node/node1/distance", text,
			sizeof(text))) {
		test_migration_bare();
		test_migration_library();
	} else {
		tap_skip(&tap, "huge pages that migrate",
			 "there is one node only");
	}
}

/* ---- raw: what the library keeps away from ---- */

struct bare_zero {
	_Atomic bool moved;
	_Atomic bool looked;
	bool huge; /* src was the huge zero page */
	int r;
	uint64_t flags; /* of the page at dst */
};

/*
 * CVE-2026-31397: dst is mapped to memory that is not there. The kernel does
 * not survive to look at that mapping, nor to unmap it.
 */
static void move_huge_zero(struct bare_zero *seen)
{
	char *src = t_map_at(huge_pages(), HUGE_BYTES, 0, true);
	char *dst = t_map_at(huge_pages(), HUGE_BYTES, 0, true);
	int fd = t_uffd_open();

	(void)*(volatile char *)src;
	seen->huge = thp_is_huge_zero(src);
	t_uffd_register_wp(fd, dst, HUGE_BYTES);
	seen->r = t_uffd_move(fd, dst, src, HUGE_BYTES, NULL);
	seen->moved = true;
	seen->flags = thp_flags(thp_frame(dst));
	seen->looked = true;
}

/* The child cannot be waited for, where its end is what goes wrong. */
static void await(pid_t child, const struct bare_zero *seen)
{
	int i, status;

	for (i = 0; i < 5000 && !seen->looked; i++) {
		if (waitpid(child, &status, WNOHANG) == child)
			return;
		t_sleep_ms(1);
	}
}

static void test_raw(void)
{
	struct bare_zero *seen = mmap(NULL, t_page(), PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	bool right;
	pid_t child;

	fflush(NULL);
	child = fork();
	if (child < 0 || seen == MAP_FAILED)
		t_die("fork");
	if (child == 0) {
		move_huge_zero(seen);
		_exit(0);
	}
	await(child, seen);
	right = seen->looked && (seen->flags & KPF_ZERO) != 0;
	lab_seen("huge zero page by a bare UFFDIO_MOVE", "%s",
		 right		? "is a zero page at dst"
		 : seen->looked ? "is another page at dst"
				: "the kernel crashes on what it becomes");
	expect(seen->moved && seen->huge && seen->r == 0,
	       "HUGE_MOVE: the huge zero page was moved", "returned %d",
	       seen->r);
	expect(right == !knows(PAGEMV_QUIRK_HUGE_MOVE),
	       "HUGE_MOVE: the kernel is as the table says",
	       "looked at: %d, flags 0x%" PRIx64, seen->looked, seen->flags);
}

/* ---- */

static void test_all(void)
{
	test_trusted();
	test_swap();
	test_zero_page();
	test_huge_move();
	test_huge_pages();
	test_two_movers();
	test_changing();
	test_miscount_bare();
	test_miscount_library();
	test_forgotten();
	test_migration();
}

int main(int argc, char **argv)
{
	struct thp_settings settings = { .n = 0 };

	lab_only();
	if (!tell_known()) {
		tap_ok(&tap, known == 0, "no faults without UFFDIO_MOVE");
		return tap_done(&tap);
	}
	if (!thp_set(&settings, THP "enabled", "madvise") ||
	    !thp_set(&settings, THP "use_zero_page", "1"))
		t_die(THP);
	thp_set(&settings, THP "defrag", "always");
	if (argc > 1 && strcmp(argv[1], "raw") == 0)
		test_raw();
	else
		test_all();
	thp_give_back(&settings);
	return tap_done(&tap);
}
