/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Huge pages: where the system gives them (always, madvise, never), of 2 MiB
 * and of 64 kB, by a fault, khugepaged or MADV_COLLAPSE. Whole ones must stay
 * whole where both sides allow it and the kernel is not known to be bad, and
 * be split where they must; the huge zero page must arrive as zeros and nothing
 * else. Then storms, while huge pages are merged, split and migrated.
 */
#include "lab.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <pagemv/pagemv.h>

#include "oracle.h"
#include "storm.h"
#include "thp.h"
#include "ways.h"

static struct tap tap;
static struct thp_settings settings;

/* Whether the test that runs has not complained. */
static bool fine;

__attribute__((format(printf, 2, 3))) static void
complain(const struct t_case *c, const char *format, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	tap_say(stdout, "[%s] %s", c->name, text);
	fine = false;
}

static void expect_right(const struct t_case *c, const char *wrong,
			 const char *where)
{
	if (wrong != NULL)
		complain(c, "%s: %s", where, wrong);
}

static int move(const struct t_case *c, void *dst, void *src, size_t pages,
		uint32_t flags, struct pagemv_result *res)
{
	const struct pagemv_move_opts opts = t_opts(c, flags);
	int r = pagemv_move(c->pv, dst, src, t_pages(pages), &opts, res);

	if (r != 0 || res->moved_bytes + res->copied_bytes != t_pages(pages))
		complain(c, "returned %d (%s), %zu moved, %zu copied, %zu left",
			 r, pagemv_reason_string(res->reason), res->moved_bytes,
			 res->copied_bytes, res->left_bytes);
	return r;
}

static bool only(const struct pagemv_result *res, enum pagemv_mechanism m)
{
	return res->mechanisms == PAGEMV_MECH_BIT(m);
}

/* Must whole huge pages, aligned at both sides, be whole after this? */
static bool keeps_whole(const struct t_case *c, const struct pagemv_result *res)
{
	return only(res, PAGEMV_MECH_REMAP) ||
	       only(res, PAGEMV_MECH_COMPANION) ||
	       (only(res, PAGEMV_MECH_MOVE) &&
		(c->caps.quirks & PAGEMV_QUIRK_HUGE_MOVE) == 0);
}

static char *map_huge(struct t_case *c, size_t n)
{
	return t_case_map_at(c, n * huge_pages(), HUGE_BYTES, 0, true);
}

static size_t count_huge(const char *addr, size_t pages)
{
	return t_huge_bytes(addr, t_pages(pages)) / HUGE_BYTES;
}

/* n huge pages with ids from 1 on, also where memory is in pieces. */
static void fill_huge(const struct t_case *c, char *src, size_t n)
{
	int tries;

	for (tries = 0; tries < 3; tries++) {
		t_drop(src, n * huge_pages());
		t_fill_range(src, n * huge_pages(), 1);
		if (count_huge(src, n * huge_pages()) == n)
			return;
		t_write_file("/proc/sys/vm/compact_memory", "1");
	}
	complain(c, "the kernel gave %zu of %zu huge pages",
		 count_huge(src, n * huge_pages()), n);
}

/* ---- always, madvise, never ---- */

struct mode {
	const char *enabled;
	bool advised;
	bool huge; /* what the kernel then gives */
};

static void move_in_mode(struct t_case *c, const struct mode *mode)
{
	const size_t n = 2, pages = n * huge_pages();
	char *src = map_huge(c, n), *dst = map_huge(c, n);
	struct pagemv_result res;
	size_t there;

	if (!mode->advised) {
		thp_without_advice(src, pages);
		thp_without_advice(dst, pages);
	}
	t_register(c->pv, dst, pages);
	if (mode->huge)
		fill_huge(c, src, n);
	else
		t_fill_range(src, pages, 1);
	if (!mode->huge && count_huge(src, pages) != 0)
		complain(c, "huge pages though there should be none");
	if (move(c, dst, src, pages, 0, &res) != 0)
		return;
	there = count_huge(dst, pages);
	if (mode->huge && keeps_whole(c, &res) && there != n)
		complain(c, "%zu of %zu are whole", there, n);
	if (!keeps_whole(c, &res) && !only(&res, PAGEMV_MECH_COPY) &&
	    there != 0)
		complain(c, "%zu are whole on this kernel", there);
	if (!mode->huge && there != 0)
		complain(c, "%zu huge pages at dst", there);
	expect_right(c, t_check_range(dst, pages, 1), "dst");
	expect_right(c, t_check_absent(src, pages), "src");
	if (mode->huge && c->way == T_MOVE)
		lab_seen("whole huge pages by UFFDIO_MOVE", "%s",
			 there == n ? "stay whole" : "are split");
}

static void test_mode(const struct mode *mode)
{
	struct thp_settings mine = { .n = 0 };
	struct t_case c;
	char name[80];

	snprintf(name, sizeof(name), "%s, memory %s advice: %s", mode->enabled,
		 mode->advised ? "with" : "without",
		 mode->huge ? "huge pages go whole" : "there are none");
	fine = thp_set(&mine, THP "enabled", mode->enabled);
	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c))
		move_in_mode(&c, mode);
	tap_ok(&tap, fine, name);
	thp_give_back(&mine);
}

/* ---- parts, and what is behind and before them ---- */

struct part {
	size_t from, to, n; /* in pages */
	size_t whole;	    /* huge pages of it that can go whole */
	size_t spared;	    /* huge pages of src that it does not touch */
};

#define SRC_HUGE 2

static void move_part(struct t_case *c, char *dst, char *src,
		      const struct part *part)
{
	const size_t pages = SRC_HUGE * huge_pages();
	const size_t end = part->from + part->n;
	struct pagemv_result res;
	size_t there, spared;

	fill_huge(c, src, SRC_HUGE);
	if (move(c, dst + t_pages(part->to), src + t_pages(part->from), part->n,
		 0, &res) != 0)
		return;
	there = count_huge(dst, pages);
	spared = count_huge(src, pages);
	if (!only(&res, PAGEMV_MECH_COPY) &&
	    there != (keeps_whole(c, &res) ? part->whole : 0))
		complain(c, "%zu + %zu to %zu: %zu huge pages at dst",
			 part->from, part->n, part->to, there);
	if (spared != part->spared)
		complain(c, "%zu + %zu to %zu: %zu huge pages left at src",
			 part->from, part->n, part->to, spared);
	expect_right(
		c,
		t_check_range(dst + t_pages(part->to), part->n, 1 + part->from),
		"dst");
	expect_right(c, t_check_absent(src + t_pages(part->from), part->n),
		     "src");
	expect_right(c, t_check_range(src, part->from, 1), "before src");
	expect_right(c, t_check_range(src + t_pages(end), pages - end, 1 + end),
		     "behind src");
}

static void test_parts(void)
{
	static const struct part parts[] = {
		{ 0, 1, 512, 0, 1 },
		{ 100, 7, 700, 0, 0 },
		{ 511, 511, 513, 1, 0 },
		{ 700, 700, 1, 0, 1 },
	};
	struct t_case c;
	size_t i;

	fine = true;
	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		for (i = 0; i < T_COUNT(parts); i++) {
			char *src = map_huge(&c, SRC_HUGE);
			char *dst = map_huge(&c, SRC_HUGE);

			t_register(c.pv, dst, SRC_HUGE * huge_pages());
			move_part(&c, dst, src, &parts[i]);
		}
	}
	tap_ok(&tap, fine, "parts of huge pages are split off");
}

static void test_replace(void)
{
	const size_t pages = 2 * huge_pages(), from = 300, n = 500;
	struct pagemv_result res;
	struct t_case c;

	fine = true;
	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *src = map_huge(&c, 2), *dst = map_huge(&c, 2);

		t_register(c.pv, dst, pages);
		t_fill_range(dst, pages, 10001);
		fill_huge(&c, src, 2);
		move(&c, dst + t_pages(from), src + t_pages(from), n,
		     PAGEMV_MOVE_REPLACE, &res);
		expect_right(&c,
			     t_check_range(dst + t_pages(from), n, 1 + from),
			     "dst");
		expect_right(&c, t_check_range(dst, from, 10001), "before dst");
		expect_right(&c,
			     t_check_range(dst + t_pages(from + n),
					   pages - from - n, 10001 + from + n),
			     "behind dst");
	}
	tap_ok(&tap, fine, "parts of huge pages are replaced");
}

/* ---- MADV_COLLAPSE ---- */

/* Small pages, then one huge page of them. 0 or -errno. */
static int collapse(char *addr)
{
	int tries, r;

	for (tries = 0; tries < 20; tries++) {
		r = madvise(addr, HUGE_BYTES, MADV_COLLAPSE) == 0 ? 0 : -errno;
		/* Pages that the other processor has just let go of. */
		if (r != -EAGAIN && r != -EBUSY)
			break;
		t_sleep_ms(1);
	}
	return r;
}

static void move_collapsed(struct t_case *c, char *dst, char *src, size_t *seen)
{
	struct pagemv_result res;
	char *back = map_huge(c, 1);

	t_register(c->pv, back, huge_pages());
	*seen += count_huge(src, huge_pages());
	move(c, dst, src, huge_pages(), 0, &res);
	if (keeps_whole(c, &res) && count_huge(dst, huge_pages()) != 1)
		complain(c, "the huge page was split");
	expect_right(c, t_check_range(dst, huge_pages(), 1), "dst");
	/* What arrived in pieces is put together there. */
	if (collapse(dst) == 0 && count_huge(dst, huge_pages()) != 1)
		complain(c, "collapsed, and not huge");
	move(c, back, dst, huge_pages(), 0, &res);
	expect_right(c, t_check_range(back, huge_pages(), 1), "moved twice");
}

static void test_collapse(void)
{
	const char *name = "pages merged by MADV_COLLAPSE go whole";
	struct thp_settings mine = { .n = 0 };
	size_t seen = 0;
	struct t_case c;
	int r = 0;

	fine = true;
	t_cases(&c, T_WAYS_ALL);
	while (r == 0 && t_next_case(&c)) {
		char *src = map_huge(&c, 1), *dst = map_huge(&c, 1);

		t_register(c.pv, dst, huge_pages());
		thp_set(&mine, THP "enabled", "never");
		t_fill_range(src, huge_pages(), 1);
		thp_give_back(&mine);
		r = collapse(src);
		if (r == 0)
			move_collapsed(&c, dst, src, &seen);
	}
	if (r == -EINVAL && c.tried == 1)
		tap_skip(&tap, name, "no MADV_COLLAPSE in this kernel");
	else
		tap_ok(&tap, fine && r == 0 && seen == c.tried, name);
	while (t_next_case(&c))
		;
}

/*
 * Holes of a region: khugepaged and MADV_COLLAPSE fill holes up with zeros,
 * and a hole that has become a page is in the way of the next move to it. They
 * leave memory alone that is registered with userfaultfd.
 */
static void test_holes_stay(void)
{
	const char *name = "holes of a region are not filled up";
	const size_t n = 64;
	struct pagemv_result res;
	struct t_case c;
	int r = -EINVAL;

	fine = true;
	t_cases(&c, T_WAY_BIT(T_AUTO) | T_WAY_BIT(T_COPY));
	while (t_next_case(&c)) {
		char *src = map_huge(&c, 1), *dst = map_huge(&c, 1);

		t_register(c.pv, dst, huge_pages());
		t_fill_range(src, huge_pages(), 1);
		move(&c, dst, src, n, 0, &res);
		r = collapse(dst);
		if (t_count_present(dst, huge_pages()) != n)
			complain(&c, "%zu pages where %zu were moved (%d)",
				 t_count_present(dst, huge_pages()), n, r);
		move(&c, dst + t_pages(n), src + t_pages(n), huge_pages() - n,
		     0, &res);
		expect_right(&c, t_check_range(dst, huge_pages(), 1), "dst");
	}
	tap_ok(&tap, fine, name);
}

/* ---- huge pages of 64 kB ---- */

#define MTHP THP "hugepages-64kB/enabled"

static size_t count_compound(const char *addr, size_t pages)
{
	size_t i, n = 0;

	for (i = 0; i < pages; i++)
		n += (thp_flags(thp_frame(addr + t_pages(i))) & KPF_COMPOUND) !=
		     0;
	return n;
}

static void move_small_huge(struct t_case *c, size_t *seen, size_t *kept)
{
	const size_t pages = 64, from = 5, n = 40;
	char *src = map_huge(c, 1), *dst = map_huge(c, 1);
	struct pagemv_result res;

	t_register(c->pv, dst, huge_pages());
	t_fill_range(src, pages, 1);
	*seen += count_compound(src, pages);
	move(c, dst + t_pages(from), src + t_pages(from), n, 0, &res);
	if (only(&res, PAGEMV_MECH_MOVE))
		*kept += count_compound(dst + t_pages(from), n);
	expect_right(c, t_check_range(dst + t_pages(from), n, 1 + from), "dst");
	expect_right(c, t_check_range(src, from, 1), "before src");
	expect_right(c,
		     t_check_range(src + t_pages(from + n), pages - from - n,
				   1 + from + n),
		     "behind src");
}

static void only_64k(struct thp_settings *s, const char *enabled)
{
	thp_set(s, THP "hugepages-2048kB/enabled", "never");
	thp_set(s, MTHP, enabled);
}

static bool have_64k(void)
{
	char text[64];

	return t_read_file(MTHP, text, sizeof(text));
}

static void test_small_huge(void)
{
	const char *name = "huge pages of 64 kB, and parts of them, move";
	struct thp_settings mine = { .n = 0 };
	size_t seen = 0, kept = 0;
	struct t_case c;

	if (!have_64k()) {
		tap_skip(&tap, name, "no huge pages of 64 kB in this kernel");
		return;
	}
	fine = true;
	only_64k(&mine, "always");
	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c))
		move_small_huge(&c, &seen, &kept);
	thp_give_back(&mine);
	tap_ok(&tap, fine && seen != 0, name);
	tap_say(stdout, "%zu pages of huge pages of 64 kB", seen);
	lab_seen("64 kB huge pages by UFFDIO_MOVE", "%s",
		 kept == 0 ? "are split" : "stay whole");
}

/* ---- the huge zero page ---- */

/* Reads: the kernel answers with the huge zero page. */
static bool read_huge_zero(const char *addr, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		const char *p = addr + i * HUGE_BYTES;

		if (*(const volatile char *)p != 0 || !thp_is_huge_zero(p))
			return false;
	}
	return true;
}

/*
 * Pages that the huge zero page was moved to. CVE-2026-31397: where that was
 * moved whole, dst is mapped to memory that no machine has, so that the numbers
 * of the physical pages are looked at before any byte.
 */
static const char *check_zero_frame(uint64_t frame,
				    const struct pagemv_result *res, bool whole)
{
	uint64_t flags = thp_flags(frame);

	if (frame == 0 || (flags & KPF_NOPAGE) != 0)
		return "mapped to memory that is not there";
	if (only(res, PAGEMV_MECH_COPY))
		return NULL;
	if ((flags & KPF_ZERO) == 0)
		return "mapped to a page that is no zero page";
	if (!whole && only(res, PAGEMV_MECH_MOVE) && (flags & KPF_THP) != 0)
		return "moved as a whole, on this kernel";
	return NULL;
}

static const char *check_zero_frames(const struct t_case *c, const char *dst,
				     size_t pages,
				     const struct pagemv_result *res)
{
	bool whole = (c->caps.quirks & PAGEMV_QUIRK_HUGE_MOVE) == 0;
	uint64_t last = 0;
	size_t i;

	for (i = 0; i < pages; i++) {
		uint64_t frame = thp_frame(dst + t_pages(i));
		const char *wrong = NULL;

		/* Mostly the same page as before. */
		if (frame == 0 || frame != last)
			wrong = check_zero_frame(frame, res, whole);
		if (wrong != NULL)
			return wrong;
		last = frame;
	}
	return t_check_zero(dst, pages);
}

static void move_zeros(struct t_case *c, const struct part *part)
{
	char *src = map_huge(c, SRC_HUGE), *dst = map_huge(c, SRC_HUGE);
	char *to = dst + t_pages(part->to);
	struct pagemv_result res;

	t_register(c->pv, dst, SRC_HUGE * huge_pages());
	if (!read_huge_zero(src, SRC_HUGE)) {
		complain(c, "reading did not give the huge zero page");
		return;
	}
	move(c, to, src + t_pages(part->from), part->n, 0, &res);
	expect_right(c, check_zero_frames(c, to, part->n, &res), "dst");
	expect_right(c, t_check_absent(src + t_pages(part->from), part->n),
		     "src");
	if (part->whole == SRC_HUGE && c->way == T_MOVE)
		lab_seen("huge zero page by UFFDIO_MOVE", "%s",
			 thp_is_huge_zero(to) ? "stays whole" : "is split");
	/* Pages of their own now, and not the zero page of all others. */
	t_fill_range(to, 3, 1);
	expect_right(c, t_check_range(to, 3, 1), "dst written to");
	expect_right(c, t_check_zero(to + t_pages(3), part->n - 3),
		     "dst not written to");
	if (*(volatile char *)(src + t_pages(part->from)) != 0)
		complain(c, "the zero page was written to");
}

static void test_zeros(void)
{
	static const struct part parts[] = {
		{ .from = 0, .to = 0, .n = 1024, .whole = SRC_HUGE },
		{ .from = 512, .to = 0, .n = 512 },
		{ .from = 0, .to = 1, .n = 512 },
		{ .from = 100, .to = 100, .n = 800 },
		{ .from = 10, .to = 3, .n = 100 },
	};
	struct t_case c;
	size_t i;

	fine = true;
	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c))
		for (i = 0; i < T_COUNT(parts); i++)
			move_zeros(&c, &parts[i]);
	tap_ok(&tap, fine, "the huge zero page arrives as zeros");
}

/* A page of each kind in one request. */
static void test_mixed(void)
{
	const size_t pages = 4 * huge_pages(), last = 3 * huge_pages();
	struct pagemv_result res;
	struct t_case c;

	fine = true;
	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *src = map_huge(&c, 4), *dst = map_huge(&c, 4);

		t_register(c.pv, dst, pages);
		fill_huge(&c, src, 1);
		if (!read_huge_zero(src + HUGE_BYTES, 1))
			complain(&c, "no huge zero page");
		t_fill_range(src + 2 * HUGE_BYTES, huge_pages(), 5001);
		/* Split, and small in the page table. */
		madvise(src + 2 * HUGE_BYTES, t_pages(3), MADV_COLD);
		read_huge_zero(src + 3 * HUGE_BYTES, 1);
		t_fill(src + t_pages(last), 9001, 1);
		move(&c, dst, src, pages, 0, &res);
		expect_right(&c, t_check_range(dst, huge_pages(), 1), "huge");
		expect_right(&c, t_check_zero(dst + HUGE_BYTES, huge_pages()),
			     "zeros");
		expect_right(
			&c,
			t_check_range(dst + 2 * HUGE_BYTES, huge_pages(), 5001),
			"split");
		expect_right(&c, t_check(dst + t_pages(last), 9001, 1),
			     "stored to");
		expect_right(
			&c,
			t_check_zero(dst + t_pages(last + 1), huge_pages() - 1),
			"zeros around it");
		expect_right(&c, t_check_absent(src, pages), "src");
	}
	tap_ok(&tap, fine, "huge, zero and split pages in one request");
}

/* The other calls come to the same ioctl. */
static void test_zeros_by_other_calls(void)
{
	const size_t half = HUGE_BYTES / 2;
	struct pagemv_result res;
	struct t_case c;

	fine = true;
	t_cases(&c, T_WAY_BIT(T_AUTO) | T_WAY_BIT(T_MOVE));
	while (t_next_case(&c)) {
		const struct pagemv_move_opts opts = t_opts(&c, 0);
		char *a = map_huge(&c, 2), *b = map_huge(&c, 2);
		struct pagemv_seg segs[] = {
			{ .dst = b, .src = a, .len_bytes = half },
			{ .dst = b + half, .src = a + half, .len_bytes = half },
		};

		/* Regions may have no huge pages; this one gets them before. */
		read_huge_zero(a, 2);
		t_register(c.pv, a, 2 * huge_pages());
		t_register(c.pv, b, 2 * huge_pages());
		if (pagemv_movev(c.pv, segs, 2, &opts, &res) != 0)
			complain(&c, "movev: %d", res.error);
		expect_right(&c, check_zero_frames(&c, b, huge_pages(), &res),
			     "movev");
		if (pagemv_relocate(c.pv, b + HUGE_BYTES, a + HUGE_BYTES,
				    HUGE_BYTES - 100, &opts, &res) != 0)
			complain(&c, "relocate: %d", res.error);
		expect_right(&c, t_check_zero(b, 2 * huge_pages() - 1),
			     "relocate");
		t_fill_range(a, huge_pages(), 1);
		if (pagemv_exchange(c.pv, a, b, HUGE_BYTES, &opts, &res) != 0)
			complain(&c, "exchange: %d", res.error);
		expect_right(&c, check_zero_frames(&c, a, huge_pages(), &res),
			     "exchange: zeros");
		expect_right(&c, t_check_range(b, huge_pages(), 1),
			     "exchange: pages");
	}
	tap_ok(&tap, fine, "the huge zero page by movev, relocate, exchange");
}

/* Reading without the zero page: a huge page of zeros, moved as any. */
static void test_no_zero_page(void)
{
	struct thp_settings mine = { .n = 0 };
	struct pagemv_result res;
	struct t_case c;

	fine = thp_set(&mine, THP "use_zero_page", "0");
	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *src = map_huge(&c, 1), *dst = map_huge(&c, 1);

		t_register(c.pv, dst, huge_pages());
		if (*(volatile char *)src != 0 || thp_is_huge_zero(src) ||
		    count_huge(src, huge_pages()) != 1)
			complain(&c, "not a huge page of its own");
		move(&c, dst, src, huge_pages(), 0, &res);
		if (keeps_whole(&c, &res) && count_huge(dst, huge_pages()) != 1)
			complain(&c, "the huge page was split");
		expect_right(&c, t_check_zero(dst, huge_pages()), "dst");
	}
	thp_give_back(&mine);
	tap_ok(&tap, fine, "a huge page of zeros is a huge page");
}

struct reader {
	char *target;
	bool stop;
	pthread_t thread;
};

static void *keep_reading(void *arg)
{
	struct reader *reader = arg;

	while (!__atomic_load_n(&reader->stop, __ATOMIC_RELAXED))
		(void)*(volatile char *)reader->target;
	return NULL;
}

/* Moves the zero page as often as another thread makes it anew. */
static void race_zeros(struct t_case *c, char *dst, char *src, size_t *huge)
{
	const struct pagemv_move_opts opts =
		t_opts(c, PAGEMV_MOVE_HOLES | PAGEMV_MOVE_REPLACE);
	uint64_t end =
		t_now_ns() + t_env("PMV_SECONDS", 0) * 1000000000u + 150000000u;
	struct reader reader = { .target = src };
	struct pagemv_result res;
	const char *wrong = NULL;

	if (pthread_create(&reader.thread, NULL, keep_reading, &reader) != 0)
		t_die("pthread_create");
	while (wrong == NULL && t_now_ns() < end) {
		int r;

		*huge += thp_is_huge_zero(src);
		r = pagemv_move(c->pv, dst, src, HUGE_BYTES, &opts, &res);
		if (r != 0 && res.reason != PAGEMV_REASON_RACED)
			complain(c, "returned %d (%s)", r,
				 pagemv_reason_string(res.reason));
		if (res.moved_bytes == HUGE_BYTES)
			wrong = check_zero_frames(c, dst, 2, &res);
		t_drop(dst, huge_pages());
	}
	__atomic_store_n(&reader.stop, true, __ATOMIC_RELAXED);
	pthread_join(reader.thread, NULL);
	expect_right(c, wrong, "dst");
}

static void test_zero_race(void)
{
	size_t huge = 0;
	struct t_case c;

	fine = true;
	t_cases(&c, T_WAY_BIT(T_AUTO) | T_WAY_BIT(T_AUTO_REMAP));
	while (t_next_case(&c)) {
		char *src = map_huge(&c, 1), *dst = map_huge(&c, 1);

		t_register(c.pv, dst, huge_pages());
		race_zeros(&c, dst, src, &huge);
	}
	tap_say(stdout, "the huge zero page was there %zu times", huge);
	tap_ok(&tap, fine && huge != 0,
	       "the huge zero page, while others read it anew");
}

/* ---- storms ---- */

#define SPLIT_FILE "/sys/kernel/debug/split_huge_pages"

static char *pick_huge(struct storm *s, struct t_random *random)
{
	size_t pages;
	char *run = storm_pick(s, random, &pages);

	return run - (uintptr_t)run % HUGE_BYTES;
}

static void disturb_by_compaction(struct storm *s, struct t_random *random)
{
	(void)s;
	t_write_file("/proc/sys/vm/compact_memory", "1");
	t_sleep_ms(20 + (unsigned int)t_random_below(random, 20));
}

static void disturb_by_merging(struct storm *s, struct t_random *random)
{
	madvise(pick_huge(s, random), HUGE_BYTES, MADV_COLLAPSE);
	t_sleep_ms((unsigned int)t_random_below(random, 10));
}

/* By the kernel's own file, or what is advised for a part of it. */
static void disturb_by_splitting(struct storm *s, struct t_random *random)
{
	char *huge = pick_huge(s, random), text[80];

	snprintf(text, sizeof(text), "%d,0x%" PRIxPTR ",0x%" PRIxPTR,
		 (int)getpid(), (uintptr_t)huge, (uintptr_t)huge + HUGE_BYTES);
	if (t_random_below(random, 2) == 0 || !t_write_file(SPLIT_FILE, text))
		madvise(huge + t_pages(t_random_below(random, 500)),
			t_pages(1 + t_random_below(random, 10)), MADV_COLD);
	t_sleep_ms((unsigned int)t_random_below(random, 10));
}

/* To the other node, where there is one: huge pages migrate as a whole. */
static void disturb_by_migration(struct storm *s, struct t_random *random)
{
	void *page = pick_huge(s, random);
	int node = (int)t_random_below(random, 2), status;

	syscall(SYS_move_pages, 0, 1ul, &page, &node, &status, 2 /* MOVE */);
	t_sleep_ms((unsigned int)t_random_below(random, 10));
}

struct upset {
	uint64_t merged, split, migrated, migrated_huge;
};

static uint64_t split_64k(void)
{
	char text[64];

	if (!t_read_file(THP "hugepages-64kB/stats/split", text, sizeof(text)))
		return 0;
	return strtoull(text, NULL, 10);
}

static struct upset read_upset(void)
{
	return (struct upset){
		.merged = thp_vmstat("thp_collapse_alloc"),
		.split = thp_vmstat("thp_split_page") + split_64k(),
		.migrated = thp_vmstat("pgmigrate_success"),
		.migrated_huge = thp_vmstat("thp_migration_success"),
	};
}

/* Storms that disturb nothing would prove nothing. */
static void run_storm(const struct storm_plan *plan)
{
	struct upset before = read_upset(), after;
	char name[80];

	storm_run(&tap, plan);
	after = read_upset();
	snprintf(name, sizeof(name), "%s: pages were split and migrated",
		 plan->name);
	tap_ok(&tap,
	       after.split > before.split && after.migrated > before.migrated,
	       name);
	lab_seen(plan->name,
		 "%" PRIu64 " merged, %" PRIu64 " split, %" PRIu64
		 " pages migrated, %" PRIu64 " huge",
		 after.merged - before.merged, after.split - before.split,
		 after.migrated - before.migrated,
		 after.migrated_huge - before.migrated_huge);
}

static void test_storms(void)
{
	static const struct storm_plan whole = {
		.name = "storm of huge pages",
		.ways = T_WAY_BIT(T_AUTO) | T_WAY_BIT(T_AUTO_REMAP),
		.pages = 1024,
		.unit_pages = 512,
		.ms = 250,
		.huge = true,
		.disturb = { disturb_by_compaction, disturb_by_merging,
			     disturb_by_splitting, disturb_by_migration },
	};
	static const struct storm_plan small = {
		.name = "storm of parts of huge pages",
		.ways = T_WAY_BIT(T_AUTO) | T_WAY_BIT(T_REMAP) |
			T_WAY_BIT(T_COPY),
		.pages = 512,
		.longest_pages = 24,
		.ms = 250,
		.huge = true,
		.disturb = { disturb_by_compaction, disturb_by_merging,
			     disturb_by_splitting, disturb_by_migration },
	};

	run_storm(&whole);
	run_storm(&small);
}

static void test_64k_storm(void)
{
	static const struct storm_plan plan = {
		.name = "storm of huge pages of 64 kB",
		.ways = T_WAY_BIT(T_AUTO) | T_WAY_BIT(T_REMAP),
		.pages = 128,
		.longest_pages = 24,
		.ms = 250,
		.huge = true,
		.disturb = { disturb_by_compaction, disturb_by_splitting,
			     disturb_by_migration },
	};
	struct thp_settings mine = { .n = 0 };

	if (!have_64k()) {
		tap_skip(&tap, plan.name,
			 "no huge pages of 64 kB in this kernel");
		return;
	}
	only_64k(&mine, "madvise");
	run_storm(&plan);
	thp_give_back(&mine);
}

/* ---- */

static void wake_khugepaged(struct thp_settings *s)
{
	thp_set(s, THP "khugepaged/pages_to_scan", "8192");
	thp_set(s, THP "khugepaged/alloc_sleep_millisecs", "1");
	thp_set(s, THP "khugepaged/scan_sleep_millisecs", "5");
}

/* It would merge what is to be seen as it arrived. */
static void quieten_khugepaged(struct thp_settings *s)
{
	thp_set(s, THP "khugepaged/scan_sleep_millisecs", "1000000");
}

static void test_quiet(void)
{
	static const struct mode modes[] = {
		{ "always", false, true },
		{ "madvise", false, false },
		{ "madvise", true, true },
		{ "never", true, false },
	};
	size_t i;

	for (i = 0; i < T_COUNT(modes); i++)
		test_mode(&modes[i]);
	test_parts();
	test_replace();
	test_collapse();
	test_holes_stay();
	test_small_huge();
	test_zeros();
	test_mixed();
	test_zeros_by_other_calls();
	test_no_zero_page();
	test_zero_race();
}

int main(void)
{
	struct thp_settings mine = { .n = 0 };
	bool mounted;

	lab_only();
	if (!thp_set(&settings, THP "enabled", "madvise") ||
	    !thp_set(&settings, THP "use_zero_page", "1"))
		t_die(THP);
	thp_set(&settings, THP "defrag", "always");
	mounted = mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL) ==
		  0;
	quieten_khugepaged(&mine);
	test_quiet();
	thp_give_back(&mine);
	wake_khugepaged(&mine);
	test_storms();
	test_64k_storm();
	thp_give_back(&mine);
	if (mounted)
		umount("/sys/kernel/debug");
	thp_give_back(&settings);
	return tap_done(&tap);
}
