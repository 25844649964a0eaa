/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Contracts 3 and 4: pages that are only shared are made exclusive and move;
 * pages under DMA are never copied behind the device's back.
 */
#include "live.h"

#include <sys/mman.h>
#include <unistd.h>

#include "pin.h"

#define PAGES 12

/* --- shared by fork --- */

struct fork_pair {
	int to_child[2];
	int from_child[2];
	pid_t pid;
};

/* The child waits for a byte, looks at src, and tells by its exit status. */
static int look_in_child(const struct fork_pair *f, const char *src)
{
	char byte;

	if (write(f->from_child[1], "r", 1) != 1 ||
	    read(f->to_child[0], &byte, 1) != 1)
		return 2;
	return t_check_range(src, PAGES, 1) == NULL ? 0 : 1;
}

static void start_child(struct fork_pair *f, const char *src)
{
	char byte;

	if (pipe(f->to_child) != 0 || pipe(f->from_child) != 0)
		t_die("pipe");
	f->pid = fork();
	if (f->pid < 0)
		t_die("fork");
	if (f->pid == 0)
		_exit(look_in_child(f, src));
	if (read(f->from_child[0], &byte, 1) != 1)
		t_die("the child did not start");
}

static int finish_child(struct fork_pair *f)
{
	int status;

	if (write(f->to_child[1], "g", 1) != 1)
		t_die("telling the child to go on");
	status = t_wait(f->pid);
	close(f->to_child[0]);
	close(f->to_child[1]);
	close(f->from_child[0]);
	close(f->from_child[1]);
	return status;
}

static void shared_with_child(bool child_is_gone)
{
	struct pagemv_result res;
	struct fork_pair f;
	struct t_case c;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *heap = t_case_heap(&c, PAGES);
		char *src = t_case_map(&c, PAGES);

		t_fill_range(src, PAGES, 1);
		start_child(&f, src);
		if (child_is_gone)
			T_EXPECT(&c, finish_child(&f) == 0, "child");
		r = t_move(&c, heap, src, PAGES, 0, &res);
		t_expect_done(&c, r, &res, t_pages(PAGES));
		T_RIGHT(&c, t_check_range(heap, PAGES, 1), "dst");
		T_RIGHT(&c, t_check_absent(src, PAGES), "src");
		if (!child_is_gone)
			T_EXPECT(&c, finish_child(&f) == 0,
				 "the child's pages are not what they were");
		t_fill_range(heap, PAGES, 50); /* writable, and its own */
		T_RIGHT(&c, t_check_range(heap, PAGES, 50), "dst");
	}
}

Test(busy, pages_shared_with_a_living_child_move, .timeout = 30)
{
	shared_with_child(false);
}

Test(busy, pages_that_were_shared_with_a_child_move, .timeout = 30)
{
	shared_with_child(true);
}

Test(busy, pages_shared_in_the_middle_move, .timeout = 30)
{
	struct pagemv_stats stats = { .size = sizeof(stats) };
	struct pagemv_result res;
	struct fork_pair f;
	struct t_case c;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *heap = t_case_heap(&c, PAGES);
		char *src = t_case_map(&c, PAGES);
		size_t i;

		t_fill_range(src, PAGES, 1);
		start_child(&f, src);
		for (i = 0; i < PAGES; i++) /* all but 4, 5 and 9 made own */
			if (i != 4 && i != 5 && i != 9)
				t_fill(src + t_pages(i), 1 + i, 1);
		r = t_move(&c, heap, src, PAGES, 0, &res);
		t_expect_done(&c, r, &res, t_pages(PAGES));
		T_RIGHT(&c, t_check_range(heap, PAGES, 1), "dst");
		T_RIGHT(&c, t_check_absent(src, PAGES), "src");
		T_EXPECT(&c, finish_child(&f) == 0, "child");
		cr_assert_eq(pagemv_stats(c.pv, &stats), 0);
		if (c.way == T_MOVE)
			T_EXPECT(&c, stats.made_exclusive > 0,
				 "no page was counted as made exclusive");
	}
}

/* --- shared by KSM --- */

static char ksm_run[32], ksm_sleep[32], ksm_pages[32];

static void restore_ksm(void)
{
	if (ksm_run[0] == '\0')
		return;
	t_write_file("/sys/kernel/mm/ksm/run", ksm_run);
	t_write_file("/sys/kernel/mm/ksm/sleep_millisecs", ksm_sleep);
	t_write_file("/sys/kernel/mm/ksm/pages_to_scan", ksm_pages);
}

static bool start_ksm(void)
{
	if (!t_lock_setting("/sys/kernel/mm/ksm/run") ||
	    !t_read_file("/sys/kernel/mm/ksm/run", ksm_run, sizeof(ksm_run)) ||
	    !t_read_file("/sys/kernel/mm/ksm/sleep_millisecs", ksm_sleep,
			 sizeof(ksm_sleep)) ||
	    !t_read_file("/sys/kernel/mm/ksm/pages_to_scan", ksm_pages,
			 sizeof(ksm_pages)))
		return false;
	return t_write_file("/sys/kernel/mm/ksm/sleep_millisecs", "1") &&
	       t_write_file("/sys/kernel/mm/ksm/pages_to_scan", "5000") &&
	       t_write_file("/sys/kernel/mm/ksm/run", "1");
}

static bool wait_for_merging(void)
{
	char text[32];
	int i;

	for (i = 0; i < 300; i++) {
		if (t_read_file("/proc/self/ksm_merging_pages", text,
				sizeof(text)) &&
		    strtoul(text, NULL, 10) >= 4)
			return true;
		t_sleep_ms(10);
	}
	return false;
}

Test(busy, pages_merged_by_ksm_move, .timeout = 60, .fini = restore_ksm)
{
	struct pagemv_result res;
	struct t_case c;
	size_t i;
	int r;

	if (!start_ksm())
		cr_skip("KSM cannot be switched on (not in the kernel, or not "
			"root)");
	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *heap = t_case_heap(&c, PAGES);
		char *src = t_case_map(&c, PAGES);

		for (i = 0; i < PAGES; i++)
			t_fill(src + t_pages(i), 1 + i / 4, 1);
		if (madvise(src, t_pages(PAGES), MADV_MERGEABLE) != 0)
			cr_skip("MADV_MERGEABLE: %s", strerror(errno));
		if (!wait_for_merging()) {
			/* .fini does not run behind a skip. */
			restore_ksm();
			cr_skip("KSM merged nothing within 3 s");
		}
		r = t_move(&c, heap, src, PAGES, 0, &res);
		t_expect_done(&c, r, &res, t_pages(PAGES));
		for (i = 0; i < PAGES; i++)
			T_RIGHT(&c, t_check(heap + t_pages(i), 1 + i / 4, 1),
				"dst");
		T_RIGHT(&c, t_check_absent(src, PAGES), "src");
	}
}

/* --- pinned --- */

#define PINNED 8 /* the pinned page of PAGES */

/* Pins one page of filled src, or skips the test. */
static struct t_pin *pin_one(char *src)
{
	const char *why = NULL;
	struct t_pin *pin = t_pin(src + t_pages(PINNED), t_page(), &why);

	if (pin == NULL)
		cr_skip("no page can be pinned: %s", why);
	return pin;
}

/*
 * Does the library see pins here before it would copy? With QUIESCENT the
 * caller says that there are none.
 */
static bool sees_pins(const struct t_case *c)
{
	if (c->way == T_COPY_QUIESCENT)
		return false;
	return t_case_never_copies(c) ||
	       (c->caps.facilities & PAGEMV_HAS_PIN_CHECK) != 0 ||
	       (c->way == T_AUTO && !t_case_only_copies(c));
}

/* Does the case move pinned pages by itself, since mremap does not mind? */
static bool may_take_along(const struct t_case *c)
{
	return c->way == T_REMAP || c->way == T_AUTO_REMAP;
}

static const char text[] = "the device wrote this";

static bool device_writes_to(struct t_pin *pin, char *page)
{
	size_t off = t_page() - sizeof(text);

	memset(page + off, 0, sizeof(text));
	return t_pin_write(pin, off, text, sizeof(text)) == 0 &&
	       memcmp(page + off, text, sizeof(text)) == 0;
}

/* The kernel may let go of a buffer some time after it was unregistered. */
static int move_released(const struct t_case *c, void *dst, void *src,
			 size_t pages, struct pagemv_result *res)
{
	uint64_t end = t_now_ns() + (uint64_t)1000000000u * t_slow();
	int r;

	while ((r = t_move(c, dst, src, pages, 0, res)) == -EBUSY &&
	       res->left_off == 0 && t_now_ns() < end)
		t_sleep_ms(1);
	return r;
}

Test(busy, a_pinned_page_stays_by_default, .timeout = 30)
{
	struct pagemv_result res;
	size_t unseen = 0;
	struct t_case c;
	int r;

	t_cases(&c,
		T_WAYS_ALL & ~T_WAY_BIT(T_REMAP) & ~T_WAY_BIT(T_AUTO_REMAP));
	while (t_next_case(&c)) {
		char *heap = t_case_heap(&c, PAGES);
		char *src = t_case_map(&c, PAGES);
		struct t_pin *pin;

		t_fill_range(src, PAGES, 1);
		pin = pin_one(src);
		if (!sees_pins(&c)) {
			unseen++;
			t_unpin(pin);
			continue;
		}
		r = t_move(&c, heap, src, PAGES, 0, &res);
		t_expect_stopped(&c, r, &res, t_pages(PAGES), -EBUSY,
				 PAGEMV_REASON_PINNED, PINNED);
		T_RIGHT(&c, t_check_range(heap, PINNED, 1), "moved");
		T_RIGHT(&c, t_check_absent(src, PINNED), "moved from");
		T_RIGHT(&c,
			t_check_range(src + t_pages(PINNED), PAGES - PINNED,
				      1 + PINNED),
			"left");
		T_RIGHT(&c,
			t_check_absent(heap + t_pages(PINNED), PAGES - PINNED),
			"dst");
		T_EXPECT(&c, device_writes_to(pin, src + t_pages(PINNED)),
			 "the device lost its page");
		t_fill_range(src + t_pages(PINNED), 1, 1 + PINNED);
		t_unpin(pin);
		r = move_released(&c, heap + t_pages(PINNED),
				  src + t_pages(PINNED), PAGES - PINNED, &res);
		t_expect_done(&c, r, &res, t_pages(PAGES - PINNED));
		T_RIGHT(&c, t_check_range(heap, PAGES, 1), "unpinned: dst");
	}
	if (unseen == c.tried)
		cr_skip("pins are not seen by any mechanism here");
	if (unseen != 0)
		cr_log_info("pins are not seen in %zu of %u cases, by caps or "
			    "by contract",
			    unseen, c.tried);
}

Test(busy, a_pinned_page_is_skipped_when_asked, .timeout = 30)
{
	struct pagemv_result res;
	struct t_case c;
	int r;

	t_cases(&c,
		T_WAYS_ALL & ~T_WAY_BIT(T_REMAP) & ~T_WAY_BIT(T_AUTO_REMAP));
	while (t_next_case(&c)) {
		char *heap = t_case_heap(&c, PAGES);
		char *src = t_case_map(&c, PAGES);
		char *behind_src = src + t_pages(PINNED + 1);
		char *behind_dst = heap + t_pages(PINNED + 1);
		struct t_pin *pin;

		t_fill_range(src, PAGES, 1);
		pin = pin_one(src);
		if (!sees_pins(&c)) {
			t_unpin(pin);
			continue;
		}
		c.opts.busy = PAGEMV_BUSY_SKIP;
		r = t_move(&c, heap, src, PAGES, 0, &res);
		T_EXPECT(&c, r == -EBUSY, "returned %d", r);
		t_expect_sane(&c, r, &res, t_pages(PAGES));
		T_EXPECT(&c, res.reason == PAGEMV_REASON_PINNED, "reason %s",
			 pagemv_reason_string(res.reason));
		T_EXPECT(&c, res.left_bytes == t_page(), "left %zu",
			 res.left_bytes);
		T_EXPECT(&c, res.left_off == t_pages(PINNED), "left_off %zu",
			 res.left_off);
		T_RIGHT(&c, t_check_range(heap, PINNED, 1), "before the pin");
		T_RIGHT(&c, t_check(src + t_pages(PINNED), 1 + PINNED, 1),
			"the pinned page");
		T_RIGHT(&c,
			t_check_range(behind_dst, PAGES - PINNED - 1,
				      2 + PINNED),
			"behind the pin");
		T_RIGHT(&c, t_check_absent(behind_src, PAGES - PINNED - 1),
			"src behind the pin");
		T_RIGHT(&c, t_check_absent(heap + t_pages(PINNED), 1),
			"dst of the pinned page");
		t_unpin(pin);
	}
}

Test(busy, a_pinned_page_moves_with_its_device_when_asked, .timeout = 30)
{
	struct pagemv_result res;
	struct t_case c;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *heap = t_case_heap(&c, PAGES);
		char *src = t_case_map(&c, PAGES);
		struct t_pin *pin;

		if (c.caps.mech[PAGEMV_MECH_REMAP].available == 0)
			continue;
		t_fill_range(src, PAGES, 1);
		pin = pin_one(src);
		if (!sees_pins(&c) && !may_take_along(&c)) {
			t_unpin(pin);
			continue;
		}
		c.opts.busy = PAGEMV_BUSY_REMAP;
		r = t_move(&c, heap, src, PAGES, PAGEMV_MOVE_MAY_REMAP, &res);
		T_EXPECT(&c, r == 0, "returned %d (%s)", r,
			 pagemv_reason_string(res.reason));
		t_expect_sane(&c, r, &res, t_pages(PAGES));
		T_EXPECT(&c, res.moved_bytes >= t_page(),
			 "the pinned page was not moved");
		T_RIGHT(&c, t_check_range(heap, PAGES, 1), "dst");
		T_RIGHT(&c, t_check_absent(src, PAGES), "src");
		T_EXPECT(&c, device_writes_to(pin, heap + t_pages(PINNED)),
			 "the device did not come along");
		t_unpin(pin);
	}
}

Test(busy, a_pinned_page_is_copied_when_asked, .timeout = 30)
{
	struct pagemv_result res;
	struct t_case c;
	int r;

	t_cases(&c,
		T_WAYS_ALL & ~T_WAY_BIT(T_REMAP) & ~T_WAY_BIT(T_AUTO_REMAP));
	while (t_next_case(&c)) {
		char *heap = t_case_heap(&c, PAGES);
		char *src = t_case_map(&c, PAGES);
		struct t_pin *pin;

		t_fill_range(src, PAGES, 1);
		pin = pin_one(src);
		c.opts.busy = PAGEMV_BUSY_COPY;
		r = t_move(&c, heap, src, PAGES, 0, &res);
		T_EXPECT(&c, r == 0, "returned %d (%s)", r,
			 pagemv_reason_string(res.reason));
		t_expect_sane(&c, r, &res, t_pages(PAGES));
		T_EXPECT(&c, res.copied_bytes >= t_page(), "copied %zu",
			 res.copied_bytes);
		if (c.way == T_MOVE)
			T_EXPECT(&c, res.copied_bytes == t_page(), "copied %zu",
				 res.copied_bytes);
		T_RIGHT(&c, t_check_range(heap, PAGES, 1), "dst");
		T_RIGHT(&c, t_check_absent(src, PAGES), "src");
		T_EXPECT(&c, !device_writes_to(pin, heap + t_pages(PINNED)),
			 "the device followed a copy");
		t_unpin(pin);
	}
}

/* BUSY_REMAP needs MAY_REMAP: refused at once, or when it would be used. */
Test(busy, a_pinned_page_is_not_remapped_without_leave)
{
	struct pagemv_result res;
	struct t_case c;
	int r;

	t_cases(&c, T_WAYS_LAYOUT);
	while (t_next_case(&c)) {
		char *heap = t_case_heap(&c, PAGES);
		char *src = t_case_map(&c, PAGES);
		size_t done;
		struct t_pin *pin;

		if (!sees_pins(&c))
			continue;
		t_fill_range(src, PAGES, 1);
		pin = pin_one(src);
		c.opts.busy = PAGEMV_BUSY_REMAP;
		r = t_move(&c, heap, src, PAGES, 0, &res);
		T_EXPECT(&c,
			 (r == -EINVAL &&
			  res.reason == PAGEMV_REASON_BAD_OPTIONS) ||
				 (r == -EOPNOTSUPP &&
				  res.reason == PAGEMV_REASON_LAYOUT),
			 "returned %d, %s", r,
			 pagemv_reason_string(res.reason));
		t_expect_sane(&c, r, &res, t_pages(PAGES));
		done = res.left_off / t_page();
		T_EXPECT(&c, done == 0 || done == PINNED, "left_off %zu",
			 res.left_off);
		T_RIGHT(&c, t_check_range(heap, done, 1), "dst");
		T_RIGHT(&c,
			t_check_range(src + t_pages(done), PAGES - done,
				      1 + done),
			"src");
		t_unpin(pin);
	}
}

Test(busy, leave_to_remap_is_no_leave_to_copy_a_pinned_page, .timeout = 30)
{
	struct pagemv_result res;
	struct t_case c;
	int r;

	t_cases(&c, T_WAY_BIT(T_AUTO_REMAP));
	while (t_next_case(&c)) {
		char *heap = t_case_heap(&c, PAGES);
		char *src = t_case_map(&c, PAGES), *at;
		struct t_pin *pin;

		if (!sees_pins(&c))
			continue;
		t_fill_range(src, PAGES, 1);
		pin = pin_one(src);
		r = t_move(&c, heap, src, PAGES, 0, &res);
		T_EXPECT(&c,
			 r == 0 || (r == -EBUSY &&
				    res.reason == PAGEMV_REASON_PINNED),
			 "returned %d (%s)", r,
			 pagemv_reason_string(res.reason));
		t_expect_sane(&c, r, &res, t_pages(PAGES));
		at = (r == 0 ? heap : src) + t_pages(PINNED);
		T_RIGHT(&c, t_check(at, 1 + PINNED, 1), "the pinned page");
		T_EXPECT(&c, device_writes_to(pin, at),
			 "the device lost its page");
		t_unpin(pin);
	}
}

Test(busy, remap_takes_a_pinned_page_along, .timeout = 30)
{
	struct pagemv_result res;
	struct t_case c;
	int r;

	t_cases(&c, T_WAY_BIT(T_REMAP));
	while (t_next_case(&c)) {
		char *heap = t_case_heap(&c, PAGES);
		char *src = t_case_map(&c, PAGES);
		struct t_pin *pin;

		t_fill_range(src, PAGES, 1);
		pin = pin_one(src);
		r = t_move(&c, heap, src, PAGES, 0, &res);
		t_expect_done(&c, r, &res, t_pages(PAGES));
		T_RIGHT(&c, t_check_range(heap, PAGES, 1), "dst");
		T_EXPECT(&c, device_writes_to(pin, heap + t_pages(PINNED)),
			 "the device did not come along");
		t_unpin(pin);
	}
	if (c.tried == 0)
		cr_skip("mremap does not move pages on this kernel");
}
