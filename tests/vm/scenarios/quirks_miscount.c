/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pages that are moved and not counted, and who waits for them.
 */
#include "quirks.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lab.h"
#include "oracle.h"
#include "proc.h"
#include "rawuffd.h"
#include "t.h"
#include "ways.h"

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

void test_miscount_bare(void)
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
void test_miscount_library(void)
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
void test_forgotten(void)
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
