/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * EXCHANGE: two ranges swap their pages, whatever these are; nobody ever sees a
 * page at neither place.
 */
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kmod.h"
#include "pin.h"

#define PAGES 16
#define UNIT  (KMOD_HUGE / t_page())

static const char *exchanges(char *a, char *b, size_t pages)
{
	int64_t moved;
	int r = kmod_exchange(a, b, pages, &moved);

	return wrong_at("call", ended(r, moved, 0, (int64_t)pages));
}

static const char *refused(char *a, char *b, size_t pages, int error)
{
	int64_t moved;
	int r = kmod_exchange(a, b, pages, &moved);

	return wrong_at("refusal", ended(r, moved, error, error));
}

static const char *are(char *a, uint64_t a_id, char *b, uint64_t b_id,
		       size_t pages)
{
	RIGHT("a", t_check_range(a, pages, a_id));
	RIGHT("b", t_check_range(b, pages, b_id));
	return NULL;
}

static const char *pages(void)
{
	char *a = kmod_map_src(PAGES, 1), *b = kmod_map_src(PAGES, 100);

	RIGHT("once", exchanges(a, b, PAGES));
	RIGHT("once", are(a, 100, b, 1, PAGES));
	RIGHT("twice", exchanges(a, b, PAGES));
	RIGHT("twice", are(a, 1, b, 100, PAGES));
	RIGHT("a part", exchanges(a + t_pages(2), b + t_pages(9), 3));
	RIGHT("a part", are(a + t_pages(2), 109, b + t_pages(9), 3, 3));
	return are(a, 1, b, 100, 2);
}

static const char *many(void)
{
	const size_t n = 1500;
	char *a = kmod_map_src(n, 1), *b = kmod_map_src(n + 3, 10000);

	RIGHT("call", exchanges(a, b + t_pages(3), n));
	RIGHT("begin", t_check_range(b, 3, 10000));
	return are(a, 10003, b + t_pages(3), 1, n);
}

static const char *neighbours(void)
{
	char *a = t_map_at(2 * PAGES, KMOD_HUGE, 0, false);

	t_fill_range(a, 2 * PAGES, 1);
	RIGHT("call", exchanges(a, a + t_pages(PAGES), PAGES));
	return are(a, PAGES + 1, a + t_pages(PAGES), 1, PAGES);
}

static const char *with_holes(void)
{
	char *a = kmod_map_src(PAGES, 1), *b = t_map(PAGES);

	RIGHT("a range of holes", exchanges(a, b, PAGES));
	RIGHT("a", t_check_absent(a, PAGES));
	RIGHT("b", t_check_range(b, PAGES, 1));
	RIGHT("back", exchanges(a, b, PAGES));
	t_drop(a + t_pages(2), 1);
	t_fill(b + t_pages(5), 77, 1);
	RIGHT("some", exchanges(a, b, PAGES));
	RIGHT("2", t_check_absent(b + t_pages(2), 1));
	RIGHT("5", t_check_range(a + t_pages(5), 1, 77));
	RIGHT("both", exchanges(t_map(PAGES), t_map(PAGES), PAGES));
	return t_check_range(b + t_pages(5), 1, 6);
}

static const char *with_zero(void)
{
	char *a = kmod_map_src(PAGES, 1), *b = t_map(PAGES);
	size_t i;

	for (i = 0; i < PAGES; i++)
		(void)*(volatile char *)(b + t_pages(i));
	RIGHT("call", exchanges(a, b, PAGES));
	RIGHT("a", t_check_zero(a, PAGES));
	RIGHT("b", t_check_range(b, PAGES, 1));
	t_fill_range(a, PAGES, 50);
	return are(a, 50, b, 1, PAGES);
}

static const char *wrong_arguments(void)
{
	char *a = kmod_map_src(PAGES, 1), *b = kmod_map_src(PAGES, 100);
	char *none = t_map(1), *ro = kmod_map_src(1, 200);

	t_unmap(none, 1);
	mprotect(ro, t_page(), PROT_READ);
	RIGHT("unaligned a", refused(a + 1, b, 1, -EINVAL));
	RIGHT("unaligned b", refused(a, b + 8, 1, -EINVAL));
	RIGHT("no length", refused(a, b, 0, -EINVAL));
	RIGHT("itself", refused(a, a, PAGES, -EINVAL));
	RIGHT("overlap", refused(a, a + t_page(), 2, -EINVAL));
	RIGHT("overlap", refused(a + t_pages(3), a, 4, -EINVAL));
	RIGHT("kernel",
	      refused(a, (char *)(uintptr_t)0xffff888000000000, 1, -EINVAL));
	RIGHT("wraps", refused(a, b, ((size_t)1 << 52) - 1, -EINVAL));
	RIGHT("unmapped", refused(a, none, 1, -ENOENT));
	RIGHT("unmapped", refused(none, a, 1, -ENOENT));
	RIGHT("read-only", refused(a, ro, 1, -EINVAL));
	RIGHT("read-only", refused(ro, a, 1, -EINVAL));
	RIGHT("too long", refused(a, b, PAGES + 1, -EINVAL));
	return are(a, 1, b, 100, PAGES);
}

/* What one side shares stays, and so does its counterpart. */
static const char *shared(void)
{
	char *a = kmod_map_src(PAGES, 1), *b = t_map(PAGES);
	int64_t moved;
	int go[2], r;
	pid_t pid;
	char byte;

	if (pipe(go) != 0)
		t_die("pipe");
	pid = fork();
	if (pid == 0) {
		close(go[1]);
		_exit(read(go[0], &byte, 1) == 0 ? 0 : 1);
	}
	t_fill_range(b, PAGES, 100);
	t_fill_range(a, 4, 1);
	r = kmod_exchange(a, b, PAGES, &moved);
	RIGHT("up to it", ended(r, moved, -EAGAIN, 4));
	RIGHT("done", are(a, 100, b, 1, 4));
	RIGHT("at it", refused(a + t_pages(4), b + t_pages(4), 1, -EBUSY));
	RIGHT("at it", refused(b + t_pages(4), a + t_pages(4), 1, -EBUSY));
	close(go[1]);
	t_wait(pid);
	return are(a + t_pages(4), 5, b + t_pages(4), 104, PAGES - 4);
}

static const char *pinned(void)
{
	char *a = kmod_map_src(PAGES, 1), *b = kmod_map_src(PAGES, 100);
	const char *why = NULL;
	struct t_pin *pin = t_pin(b + t_pages(3), t_page(), &why);
	char text[16] = "by a device";
	int64_t moved;
	int r;

	if (pin == NULL)
		return skip(why);
	r = kmod_exchange(a, b, PAGES, &moved);
	RIGHT("up to it", ended(r, moved, -EAGAIN, 3));
	RIGHT("at it", refused(a + t_pages(3), b + t_pages(3), 1, -EBUSY));
	MUST(t_pin_write(pin, 9, text, sizeof(text)) == 0 &&
		     memcmp(b + t_pages(3) + 9, text, sizeof(text)) == 0,
	     "the device has another page");
	t_unpin(pin);
	return are(a, 100, b, 1, 3);
}

static const char *huge(void)
{
	char *a = t_map_at(2 * UNIT, KMOD_HUGE, 0, true);
	char *b = t_map_at(2 * UNIT, KMOD_HUGE, 0, true);
	struct pagemvio_info before = kmod_info();

	t_fill_range(a, 2 * UNIT, 1);
	t_fill_range(b, 2 * UNIT, 5000);
	if (t_huge_bytes(a, KMOD_HUGE) == 0)
		return skip("no huge pages here");
	RIGHT("whole", exchanges(a, b, 2 * UNIT));
	RIGHT("whole", are(a, 5000, b, 1, 2 * UNIT));
	MUST(kmod_info().splits == before.splits, "they were split");
	RIGHT("part", exchanges(a + t_pages(10), b + t_pages(7), 20));
	RIGHT("part", are(a + t_pages(10), 8, b + t_pages(7), 5010, 20));
	return are(a, 5000, b, 1, 7);
}

static const char *huge_with_small(void)
{
	char *a = t_map_at(UNIT, KMOD_HUGE, 0, true);
	char *b = t_map_at(UNIT, KMOD_HUGE, 0, false);
	char *c = t_map_at(UNIT, KMOD_HUGE, 0, true);

	t_fill_range(a, UNIT, 1);
	t_fill_range(b, UNIT, 5000);
	if (t_huge_bytes(a, KMOD_HUGE) == 0)
		return skip("no huge pages here");
	RIGHT("small", exchanges(a, b, UNIT));
	RIGHT("small", are(a, 5000, b, 1, UNIT));
	t_fill_range(c, UNIT, 9000);
	madvise(a, KMOD_HUGE, MADV_NOHUGEPAGE);
	t_drop(a, UNIT);
	RIGHT("holes", exchanges(a, c, UNIT));
	RIGHT("holes", t_check_absent(c, UNIT));
	return t_check_range(a, UNIT, 9000);
}

/* ---- threads that look meanwhile ---- */

struct watch {
	char *a;
	char *b;
	volatile bool over;
	volatile uint64_t stores;
};

/*
 * Adds to the counters of all pages, wherever they are. The ranges never have a
 * hole, so that no store may meet one: a page of zeros would have no magic.
 */
static void *stores(void *arg)
{
	struct watch *w = arg;
	struct t_head *head;
	size_t i;

	for (i = 0; !w->over; i++) {
		head = (void *)((i & 1 ? w->a : w->b) + t_pages(i / 2 % PAGES));
		__atomic_fetch_add(&head->counter, 1, __ATOMIC_RELAXED);
		w->stores++;
	}
	return NULL;
}

static const char *no_store_lost(void)
{
	struct watch w = { kmod_map_src(PAGES, 1), kmod_map_src(PAGES, 100),
			   false, 0 };
	uint64_t begin = t_now_ns(), ms = 0;
	uint64_t n = 0;
	int64_t moved;
	pthread_t thread;
	int r = 0;

	if (pthread_create(&thread, NULL, stores, &w) != 0)
		t_die("pthread_create");
	/* Until something has happened, however slow the machine. */
	while (r == 0 &&
	       (ms < 300 || ((n < 200 || w.stores < 200) && ms < 20000))) {
		r = kmod_exchange(w.a, w.b, PAGES, &moved);
		n += r == 0;
		ms = (t_now_ns() - begin) / 1000000;
	}
	w.over = true;
	pthread_join(thread, NULL);
	MUST(r == 0, "call %" PRIu64 ": %d, moved %" PRId64, n, r, moved);
	MUST(t_sum_counters(w.a, PAGES) + t_sum_counters(w.b, PAGES) ==
		     w.stores,
	     "%" PRIu64 " stores, %" PRIu64 " found", w.stores,
	     t_sum_counters(w.a, PAGES) + t_sum_counters(w.b, PAGES));
	tap_say(stdout, "%" PRIu64 " exchanges, %" PRIu64 " stores", n,
		w.stores);
	return n % 2 == 0 ? are(w.a, 1, w.b, 100, PAGES)
			  : are(w.a, 100, w.b, 1, PAGES);
}

int main(void)
{
	static const struct kmod_test tests[] = {
		{ "pages with pages", pages },
		{ "1500 pages, at another offset", many },
		{ "neighbours in one page table", neighbours },
		{ "pages with holes", with_holes },
		{ "pages with the zero page", with_zero },
		{ "EINVAL, ENOENT: wrong arguments", wrong_arguments },
		{ "EBUSY: shared with a child", shared },
		{ "EBUSY: pinned", pinned },
		{ "huge pages, whole and in part", huge },
		{ "huge pages with small ones, with holes", huge_with_small },
		{ "no store is lost meanwhile", no_store_lost },
	};
	struct tap tap = { 0, 0 };

	if (kmod_way() != KMOD_MODULE) {
		tap_skip(&tap, "EXCHANGE", "only the module can");
		return tap_done(&tap);
	}
	kmod_run(&tap, tests, T_COUNT(tests));
	return tap_done(&tap);
}
