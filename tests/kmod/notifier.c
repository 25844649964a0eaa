/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Secondary MMUs: each range that pages leave is announced where sleeping is
 * allowed, whole, before the first page leaves, and the announcement ends when
 * the last one has left. Shown by a notifier that sleeps in both
 * (kmod/test/notifier.h), while another thread looks where the pages are.
 *
 * The same notifier pins a page when its entry has just been taken out, and
 * makes KSM sleep with the lock of a page held.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../../kmod/test/notifier.h"
#include "kmod.h"
#include "vm/scenarios/lab.h"

#define PAGES 600 /* more than a page table has */
#define UNIT  (KMOD_HUGE / t_page())

static int notifier_fd;
static struct pagemv_notifier_record record;

static void set_plan(const struct pagemv_notifier_plan *plan)
{
	if (notifier_fd <= 0)
		notifier_fd = open("/dev/pagemv-notifier", O_RDWR | O_CLOEXEC);
	if (notifier_fd < 0 ||
	    write(notifier_fd, plan, sizeof(*plan)) != sizeof(*plan))
		t_die("/dev/pagemv-notifier: %d", errno);
}

/* Counts what overlaps the range from now on. */
static void watch(const char *low, size_t pages, unsigned int start_ms,
		  unsigned int end_ms)
{
	set_plan(&(struct pagemv_notifier_plan){
		.low = (uintptr_t)low,
		.high = (uintptr_t)low + t_pages(pages),
		.sleep_start_ms = start_ms,
		.sleep_end_ms = end_ms,
	});
}

/* A page of the range is pinned when its entry is out, until let_go(). */
static void pin_meanwhile(const char *low, size_t pages, const char *page)
{
	set_plan(&(struct pagemv_notifier_plan){
		.low = (uintptr_t)low,
		.high = (uintptr_t)low + t_pages(pages),
		.pin = (uintptr_t)page,
	});
}

static void let_go(void)
{
	set_plan(&(struct pagemv_notifier_plan){ .pin = 0 });
}

static void look(void)
{
	if (read(notifier_fd, &record, sizeof(record)) != sizeof(record))
		t_die("/dev/pagemv-notifier: %d", errno);
}

/* Is each page of the range in one that was announced? */
static bool covered(const char *addr, size_t pages)
{
	uint64_t at = (uintptr_t)addr, end = at + t_pages(pages);
	bool found = true;
	size_t i;

	while (at < end && found) {
		found = false;
		for (i = 0; i < record.starts && i < PAGEMV_NOTIFIER_RANGES;
		     i++)
			if (record.ranges[i].start <= at &&
			    record.ranges[i].end > at) {
				at = record.ranges[i].end;
				found = true;
			}
	}
	return found;
}

static const char *sound(void)
{
	look();
	MUST(record.starts > 0, "nothing was announced");
	MUST(record.atomics == 0, "%d announcements could not sleep",
	     (int)record.atomics);
	MUST(record.starts == record.ends && record.open == 0,
	     "%d begun, %d ended", (int)record.starts, (int)record.ends);
	MUST(record.unpaired == 0, "%d ends without a start",
	     (int)record.unpaired);
	return NULL;
}

static const char *covers(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);

	watch(src, PAGES, 0, 0);
	RIGHT("move", moves(dst, src, PAGES, 1));
	RIGHT("announcements", sound());
	MUST(covered(src, PAGES), "not all of the source was announced");
	lab_seen("announcements for a range of 600 pages", "%d",
		 (int)record.starts);
	return NULL;
}

/* ---- where the pages are meanwhile ---- */

struct call {
	char *dst;
	char *src;
	size_t pages;
	int r;
	volatile bool done;
};

static void *run_call(void *arg)
{
	struct call *c = arg;

	c->r = kmod_remap(c->dst, c->src, c->pages, 0, NULL);
	c->done = true;
	return NULL;
}

/*
 * While a start sleeps, what it announces is at src, every page; while an end
 * sleeps, pages have left. Not all, perhaps: a call may end its announcement
 * for a pause, and announce the rest again.
 */
static const char *looks_right(const struct call *c, unsigned int *starts,
			       unsigned int *ends)
{
	size_t first, n, there;
	uint64_t where;

	look();
	where = record.sleeping;
	if (where == 0 || record.starts == 0 ||
	    record.starts > PAGEMV_NOTIFIER_RANGES)
		return NULL;
	first = (record.ranges[record.starts - 1].start - (uintptr_t)c->src) /
		t_page();
	n = (record.ranges[record.starts - 1].end -
	     record.ranges[record.starts - 1].start) /
	    t_page();
	if (first > c->pages || first + n > c->pages)
		return wrong("page %zu, %zu pages were announced", first, n);
	there = t_count_present(c->src + t_pages(first), n);
	look();
	if (record.sleeping != where)
		return NULL;
	*(where == 1 ? starts : ends) += 1;
	MUST(where == 1 ? there == n : there < n, "%zu pages of %zu at src, %s",
	     there, n, where == 1 ? "in start" : "in end");
	return NULL;
}

static const char *sleeps_around(char *dst, char *src, size_t pages)
{
	struct call c = { dst, src, pages, 1, false };
	unsigned int starts = 0, ends = 0;
	const char *what = NULL;
	pthread_t thread;

	watch(src, pages, 300, 300);
	if (pthread_create(&thread, NULL, run_call, &c) != 0)
		t_die("pthread_create");
	while (!c.done && what == NULL)
		what = looks_right(&c, &starts, &ends);
	pthread_join(thread, NULL);
	if (what != NULL)
		return what;
	MUST(c.r == 0, "the call: %d", c.r);
	RIGHT("announcements", sound());
	MUST(starts > 0 && ends > 0, "looked %u times in a start, %u in an end",
	     starts, ends);
	return t_check_range(dst, pages, 1);
}

static const char *around_pages(void)
{
	return sleeps_around(kmod_map_dst(PAGES), kmod_map_src(PAGES, 1),
			     PAGES);
}

static const char *around_huge(void)
{
	char *src = t_map_at(UNIT, KMOD_HUGE, 0, true);
	char *dst = kmod_dst(t_map_at(UNIT, KMOD_HUGE, 0, true), UNIT);

	t_fill_range(src, UNIT, 1);
	if (t_huge_bytes(src, KMOD_HUGE) == 0)
		return skip("no huge pages here");
	return sleeps_around(dst, src, UNIT);
}

/* A huge page that must be split, with the notifier told of the split, too. */
static const char *around_split(void)
{
	char *src = t_map_at(UNIT, KMOD_HUGE, 0, true);
	char *dst = kmod_map_dst(UNIT);

	t_fill_range(src, UNIT, 1);
	watch(src, UNIT, 5, 5);
	RIGHT("move", moves(dst, src + t_pages(50), 100, 51));
	RIGHT("announcements", sound());
	MUST(covered(src + t_pages(50), 100), "not all was announced");
	return t_check_range(src, 50, 1);
}

static const char *for_vectors(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);
	struct pagemvio_range range[20];
	int64_t moved;
	size_t i;
	int r;

	if (kmod_way() != KMOD_MODULE)
		return skip("only the module can");
	for (i = 0; i < 20; i++)
		range[i] = (struct pagemvio_range){
			(uintptr_t)dst + t_pages(30 * (19 - i)),
			(uintptr_t)src + t_pages(30 * i), t_pages(3), 0
		};
	watch(src, PAGES, 2, 2);
	r = kmod_remapv(range, 20, 0, 0, &moved, NULL);
	RIGHT("call", ended(r, moved, 0, 60));
	RIGHT("announcements", sound());
	for (i = 0; i < 20; i++)
		MUST(covered(src + t_pages(30 * i), 3),
		     "range %zu was not announced", i);
	return NULL;
}

static const char *for_exchange(void)
{
	char *a = kmod_map_src(PAGES, 1), *b = kmod_map_src(PAGES, 1000);
	int64_t moved;
	int r;

	if (kmod_way() != KMOD_MODULE)
		return skip("only the module can");
	watch(a, PAGES, 5, 5);
	r = kmod_exchange(a, b, PAGES, &moved);
	RIGHT("call", ended(r, moved, 0, PAGES));
	RIGHT("announcements", sound());
	MUST(covered(a, PAGES), "not all of a was announced");
	watch(b, PAGES, 5, 5);
	r = kmod_exchange(a, b, PAGES, &moved);
	RIGHT("call", ended(r, moved, 0, PAGES));
	RIGHT("announcements", sound());
	MUST(covered(b, PAGES), "not all of b was announced");
	return t_check_range(a, PAGES, 1);
}

/* A call that fails ends what it has begun. */
static const char *for_failures(void)
{
	char *src = kmod_map_src(PAGES, 1), *dst = kmod_map_dst(PAGES);

	t_fill(dst, 9999, 1);
	watch(src, PAGES, 1, 1);
	RIGHT("refusal", refuses(dst, src, PAGES, 1, -EEXIST));
	look();
	MUST(record.starts == record.ends && record.open == 0,
	     "%d begun, %d ended", (int)record.starts, (int)record.ends);
	MUST(record.atomics == 0, "not allowed to sleep");
	return NULL;
}

/* ---- a pin that comes between ---- */

static const char *pinned(void)
{
	char *src = kmod_map_src(8, 1), *dst = kmod_map_dst(8);
	int64_t moved;
	int r;

	pin_meanwhile(src, 8, src + t_pages(3));
	r = kmod_remap(dst, src, 8, 0, &moved);
	RIGHT("up to it", ended(r, moved, -EAGAIN, 3));
	RIGHT("dst", t_check_range(dst, 3, 1));
	RIGHT("nothing else", t_check_absent(dst + t_pages(3), 5));
	RIGHT("put back", t_check_range(src + t_pages(3), 5, 4));
	RIGHT("at it",
	      refuses(dst + t_pages(3), src + t_pages(3), 5, 4, -EBUSY));
	let_go();
	return moves(dst + t_pages(3), src + t_pages(3), 5, 4);
}

static const char *huge_pinned(void)
{
	char *src = t_map_at(UNIT, KMOD_HUGE, 0, true);
	char *dst = kmod_dst(t_map_at(UNIT, KMOD_HUGE, 0, true), UNIT);

	t_fill_range(src, UNIT, 1);
	if (t_huge_bytes(src, KMOD_HUGE) == 0)
		return skip("no huge pages here");
	pin_meanwhile(src, UNIT, src + t_pages(100));
	RIGHT("pinned", refuses(dst, src, UNIT, 1, -EBUSY));
	let_go();
	return moves(dst, src, UNIT, 1);
}

static const char *exchange_pinned(void)
{
	char *a = kmod_map_src(8, 1), *b = kmod_map_src(8, 100);
	int64_t moved;
	int r;

	if (skip_unless_module())
		return NULL;
	pin_meanwhile(b, 8, b + t_pages(3));
	r = kmod_exchange(a, b, 8, &moved);
	RIGHT("up to it", ended(r, moved, -EAGAIN, 3));
	RIGHT("a", t_check_range(a, 3, 100));
	RIGHT("b", t_check_range(b, 3, 1));
	RIGHT("a, put back", t_check_range(a + t_pages(3), 5, 4));
	RIGHT("b, put back", t_check_range(b + t_pages(3), 5, 103));
	let_go();
	r = kmod_exchange(a + t_pages(3), b + t_pages(3), 5, &moved);
	RIGHT("let go", ended(r, moved, 0, 5));
	return t_check_range(a, 8, 100);
}

static const char *exchange_huge_pinned(void)
{
	char *a = t_map_at(UNIT, KMOD_HUGE, 0, true);
	char *b = t_map_at(UNIT, KMOD_HUGE, 0, true);
	int64_t moved;
	int r;

	if (skip_unless_module())
		return NULL;
	t_fill_range(a, UNIT, 1);
	t_fill_range(b, UNIT, 1000);
	if (t_huge_bytes(a, KMOD_HUGE) == 0)
		return skip("no huge pages here");
	pin_meanwhile(a, UNIT, a);
	r = kmod_exchange(a, b, UNIT, &moved);
	RIGHT("pinned", ended(r, moved, -EBUSY, -EBUSY));
	RIGHT("a", t_check_range(a, UNIT, 1));
	let_go();
	r = kmod_exchange(a, b, UNIT, &moved);
	RIGHT("let go", ended(r, moved, 0, (int64_t)UNIT));
	RIGHT("a", t_check_range(a, UNIT, 1000));
	return t_check_range(b, UNIT, 1);
}

/* ---- somebody has the lock of a page ---- */

#define KSM "/sys/kernel/mm/ksm/"

/*
 * KSM looks at a page with its lock held, and tells the notifier, which sleeps.
 * It cannot merge this one, which a pipe refers to. Returns while it sleeps.
 */
static const char *lock_by_ksm(char *src, size_t pages, char *page)
{
	struct iovec in_pipe = { page, t_page() };
	uint64_t until = t_now_ns() + 5000000000ull * t_slow();
	char *twin = kmod_map_src(1, 3);
	int fd[2];

	if (pipe(fd) != 0 ||
	    vmsplice(fd[1], &in_pipe, 1, 0) != (ssize_t)t_page())
		t_die("vmsplice");
	watch(page, 1, 1000 + 200 * t_slow(), 0);
	madvise(src, t_pages(pages), MADV_MERGEABLE);
	madvise(twin, t_page(), MADV_MERGEABLE);
	t_write_file(KSM "pages_to_scan", "10000");
	t_write_file(KSM "sleep_millisecs", "10");
	t_write_file(KSM "run", "1");
	do {
		t_sleep_ms(5);
		look();
	} while (record.sleeping == 0 && t_now_ns() < until);
	MUST(record.sleeping == 1, "KSM does not look at it");
	watch(page, 1, 0, 0);
	return NULL;
}

static int by_remap(char *dst, char *src, int64_t *moved)
{
	return kmod_remap(dst, src, 4, 0, moved);
}

static int by_remapv(char *dst, char *src, int64_t *moved)
{
	struct pagemvio_range range[2] = {
		{ (uintptr_t)dst, (uintptr_t)src, t_pages(1), 0 },
		{ (uintptr_t)dst + t_page(), (uintptr_t)src + t_page(),
		  t_pages(3), 0 },
	};

	return kmod_remapv(range, 2, 0, 0, moved, NULL);
}

static int by_exchange(char *dst, char *src, int64_t *moved)
{
	return kmod_exchange(dst, src, 4, moved);
}

/* The third page of four is waited for, and no page is held meanwhile. */
static const char *waits(int (*call)(char *dst, char *src, int64_t *moved))
{
	char *src = kmod_map_src(4, 1), *dst = kmod_map_dst(4);
	uint64_t before = kmod_info().retries;
	const char *what;
	int64_t moved;
	int r;

	if (access(KSM "run", W_OK) != 0)
		return skip("no KSM");
	what = lock_by_ksm(src, 4, src + t_pages(2));
	if (what == NULL) {
		r = call(dst, src, &moved);
		what = ended(r, moved, 0, 4);
	}
	t_write_file(KSM "run", "0");
	RIGHT("call", what);
	if (kmod_way() == KMOD_MODULE)
		MUST(kmod_info().retries > before, "the lock was free");
	RIGHT("src", t_check_absent(src, 4));
	return t_check_range(dst, 4, 1);
}

static const char *locked(void)
{
	return waits(by_remap);
}

static const char *locked_in_vector(void)
{
	return skip_unless_module() ? NULL : waits(by_remapv);
}

static const char *locked_in_exchange(void)
{
	return skip_unless_module() ? NULL : waits(by_exchange);
}

int main(void)
{
	static const struct kmod_test tests[] = {
		{ "all of the source is announced", covers },
		{ "pages leave between start and end", around_pages },
		{ "a huge page leaves between start and end", around_huge },
		{ "a huge page is split", around_split },
		{ "vectors", for_vectors },
		{ "exchange: both sides", for_exchange },
		{ "a call that fails ends its announcement", for_failures },
		{ "EBUSY: pinned after its entry was taken out", pinned },
		{ "EBUSY: a huge page, the same", huge_pinned },
		{ "EBUSY: an exchange, the same", exchange_pinned },
		{ "EBUSY: an exchange of huge pages", exchange_huge_pinned },
		{ "a page that is locked is waited for", locked },
		{ "the same in a vector", locked_in_vector },
		{ "the same in an exchange", locked_in_exchange },
	};
	struct tap tap = { 0, 0 };

	if (access("/dev/pagemv-notifier", R_OK) != 0) {
		tap_skip(&tap, "notifier", "the test module is not loaded");
		return tap_done(&tap);
	}
	kmod_run(&tap, tests, T_COUNT(tests));
	return tap_done(&tap);
}
