/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pinned.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lab.h"
#include "oracle.h"
#include "proc.h"
#include "t.h"

#define PAGES 12
/* The pinned ones, and what the device writes: over the border of both. */
#define FIRST 5
#define HELD  2
#define BYTES 1500

enum sharing { ALONE, FORKED_BEFORE, FORKED_AFTER, SHARINGS };

static const char *const sharing_names[SHARINGS] = {
	[ALONE] = "",
	[FORKED_BEFORE] = ", shared with a child before they were pinned",
	[FORKED_AFTER] = ", with a child made when they were pinned",
};

struct trial {
	struct t_case *c;
	struct device *d;
	uint32_t busy;
	enum sharing sharing;
	char *src, *heap;
	int to_child[2], from_child[2];
	pid_t child;
	uint64_t frame[HELD];
	size_t off; /* of the write, in the pinned pages */
	const unsigned char *data;
	unsigned int fate; /* what became of the pinned pages */
	bool wrong;
};

uint64_t pinned_frame(const void *page)
{
	const uint64_t frame_bits = (UINT64_C(1) << 55) - 1;
	off_t at = (off_t)((uintptr_t)page / t_page() * sizeof(uint64_t));
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry;

	if (fd < 0 || pread(fd, &entry, sizeof(entry), at) != sizeof(entry))
		t_die("reading pagemap");
	close(fd);
	if ((entry & frame_bits) == 0)
		t_die("pagemap tells no page frame of %p", page);
	return entry & frame_bits;
}

const char *pinned_policy_name(uint32_t busy)
{
	static const char *const names[PAGEMV_BUSY_COUNT] = { "STAY", "SKIP",
							      "REMAP", "COPY" };

	return names[busy];
}

const char *pinned_fate_name(unsigned int fate)
{
	switch (fate) {
	case PINNED_STAYS:
		return "stays";
	case PINNED_FOLLOWS:
		return "moves with its device";
	case PINNED_PARTED:
		return "copied, the device keeps the old page";
	default:
		return "mixed";
	}
}

struct pagemv_move_opts pinned_opts(const struct t_case *c, uint32_t busy)
{
	struct pagemv_move_opts opts = c->opts;

	opts.busy = busy;
	if (busy == PAGEMV_BUSY_REMAP)
		opts.flags |= PAGEMV_MOVE_MAY_REMAP;
	return opts;
}

unsigned int pinned_fates(const struct t_case *c, uint32_t busy)
{
	static const unsigned int by_policy[PAGEMV_BUSY_COUNT] = {
		[PAGEMV_BUSY_STAY] = PINNED_STAYS,
		[PAGEMV_BUSY_SKIP] = PINNED_STAYS,
		[PAGEMV_BUSY_REMAP] = PINNED_FOLLOWS,
		[PAGEMV_BUSY_COPY] = PINNED_PARTED,
	};
	bool sees = (c->caps.facilities & PAGEMV_HAS_PIN_CHECK) != 0;
	bool may_remap = (pinned_opts(c, busy).flags & PAGEMV_MOVE_MAY_REMAP) !=
			 0;

	if (c->way == T_REMAP)
		return PINNED_FOLLOWS;
	if (c->way == T_COPY && !sees)
		return PINNED_PARTED;
	if (c->way == T_COPY || c->way == T_MOVE)
		return by_policy[busy];
	if (sees) /* AUTO may take mremap, which does not mind pins */
		return by_policy[busy] | (may_remap ? PINNED_FOLLOWS : 0);
	if (!may_remap)
		return PINNED_PARTED;
	return PINNED_FOLLOWS | (busy == PAGEMV_BUSY_COPY ? PINNED_PARTED : 0);
}

__attribute__((format(printf, 2, 3))) static void
complain(struct trial *t, const char *format, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	tap_say(stdout, "%s, %s%s: %s", t->c->name, pinned_policy_name(t->busy),
		sharing_names[t->sharing], text);
	t->wrong = true;
}

static void expect_right(struct trial *t, const char *what, const char *wrong)
{
	if (wrong != NULL)
		complain(t, "%s: %s", what, wrong);
}

/* --- the child --- */

/* When the device has written and the pages have moved, in the parent. */
static int look_in_child(const struct trial *t)
{
	struct pagemv_result res;
	char byte;

	if (write(t->from_child[1], "r", 1) != 1 ||
	    read(t->to_child[0], &byte, 1) != 1)
		return 2;
	if (t_check_range(t->src, PAGES, 1) != NULL)
		return 3;
	if (pagemv_move(t->c->pv, t->heap, t->src, t_pages(PAGES), &t->c->opts,
			&res) != -ESRCH ||
	    res.reason != PAGEMV_REASON_FORKED)
		return 4;
	return t_check_range(t->src, PAGES, 1) == NULL ? 0 : 5;
}

static void start_child(struct trial *t)
{
	char byte;

	if (pipe(t->to_child) != 0 || pipe(t->from_child) != 0)
		t_die("pipe");
	t->child = fork();
	if (t->child < 0)
		t_die("fork");
	if (t->child == 0)
		_exit(look_in_child(t));
	if (read(t->from_child[0], &byte, 1) != 1)
		t_die("the child did not start");
}

static void finish_child(struct trial *t)
{
	int status;

	if (write(t->to_child[1], "g", 1) != 1)
		t_die("telling the child to go on");
	status = t_wait(t->child);
	if (status != 0)
		complain(t, "the child sees something else: %d", status);
	close(t->to_child[0]);
	close(t->to_child[1]);
	close(t->from_child[0]);
	close(t->from_child[1]);
}

/* --- one policy --- */

static bool pin(struct trial *t, const char **why)
{
	size_t i;

	t_fill_range(t->src, PAGES, 1);
	if (t->sharing == FORKED_BEFORE)
		start_child(t);
	if (!t->d->pin(t->d, t->src + t_pages(FIRST), HELD, why)) {
		if (t->sharing == FORKED_BEFORE)
			finish_child(t);
		return false;
	}
	if (t->sharing == FORKED_AFTER)
		start_child(t);
	for (i = 0; i < HELD; i++)
		t->frame[i] = pinned_frame(t->src + t_pages(FIRST + i));
	t->off = t_page() - BYTES / 2;
	t->data = t->d->begin(t->d, t->off, BYTES);
	return true;
}

/* What became of pinned page i, or 0 if nothing that may be. */
static unsigned int fate_of(struct trial *t, size_t i)
{
	const char *src = t->src + t_pages(FIRST + i);
	const char *dst = t->heap + t_pages(FIRST + i);
	bool at_src = t_present(src), at_dst = t_present(dst);

	if (at_src == at_dst) {
		complain(t, "pinned page %zu is at %s", i,
			 at_src ? "both places" : "neither place");
		return 0;
	}
	if (pinned_frame(at_src ? src : dst) == t->frame[i])
		return at_src ? PINNED_STAYS : PINNED_FOLLOWS;
	if (at_dst)
		return PINNED_PARTED;
	complain(t, "pinned page %zu is another one at the same place", i);
	return 0;
}

/*
 * A write that was on its way when its page was copied came before that, or
 * went to the old page; each byte for itself.
 */
static void take_either(char *expected, const char *at,
			const unsigned char *data)
{
	size_t i;

	for (i = 0; i < BYTES; i++)
		if ((unsigned char)at[i] == data[i])
			expected[i] = at[i];
}

/* The device's bytes where they belong, and all the other ones as before. */
static void check_pinned(struct trial *t)
{
	size_t bytes = t_pages(HELD), i;
	char *at =
		(t->fate == PINNED_STAYS ? t->src : t->heap) + t_pages(FIRST);
	char *expected = aligned_alloc(t_page(), bytes);

	if (expected == NULL)
		t_die("memory for pages");
	t_fill_range(expected, HELD, 1 + FIRST);
	if (t->fate != PINNED_PARTED)
		memcpy(expected + t->off, t->data, BYTES);
	if (t->fate == PINNED_PARTED)
		take_either(expected + t->off, at + t->off, t->data);
	for (i = 0; i < bytes && at[i] == expected[i]; i++)
		;
	if (i < bytes)
		complain(t, "byte %zu of the pinned pages is wrong, %s", i,
			 i - t->off < BYTES ? "where the device wrote"
					    : "where it did not write");
	free(expected);
}

static void check_others(struct trial *t, const struct pagemv_result *res)
{
	/* All that is behind a page that stays, stays if that stopped it. */
	bool stopped = t->fate == PINNED_STAYS && t->busy != PAGEMV_BUSY_SKIP;
	char *behind = (stopped ? t->src : t->heap) + t_pages(FIRST + HELD);
	size_t rest = PAGES - FIRST - HELD;

	expect_right(t, "before the pinned pages",
		     t_check_range(t->heap, FIRST, 1));
	expect_right(t, "src before them", t_check_absent(t->src, FIRST));
	expect_right(t, "behind the pinned pages",
		     t_check_range(behind, rest, 1 + FIRST + HELD));
	expect_right(t, "the other place of those behind",
		     t_check_absent((stopped ? t->heap : t->src) +
					    t_pages(FIRST + HELD),
				    rest));
	if (res->moved_bytes + res->copied_bytes + res->left_bytes !=
		    t_pages(PAGES) ||
	    res->left_bytes != (t->fate != PINNED_STAYS ? 0
				: stopped		? t_pages(PAGES - FIRST)
							: t_pages(HELD)))
		complain(t, "moved %zu, copied %zu, left %zu", res->moved_bytes,
			 res->copied_bytes, res->left_bytes);
}

static void check_answer(struct trial *t, int r,
			 const struct pagemv_result *res)
{
	bool stays = t->fate == PINNED_STAYS;

	if (stays ? r != -EBUSY || res->reason != PAGEMV_REASON_PINNED ||
			    res->left_off != t_pages(FIRST)
		  : r != 0)
		complain(t, "returned %d (%s), left_off %zu", r,
			 pagemv_reason_string(res->reason), res->left_off);
	if (t->fate == PINNED_PARTED && res->copied_bytes < t_pages(HELD))
		complain(t, "copied, but %zu bytes are told",
			 res->copied_bytes);
}

/* With the pin gone, and the pages as they were filled, all of them move. */
static void move_the_rest(struct trial *t, const struct pagemv_result *before)
{
	size_t from = before->left_off / t_page(), n;
	struct pagemv_result res;
	int r;

	t_fill_range((t->fate == PINNED_STAYS ? t->src : t->heap) +
			     t_pages(FIRST),
		     HELD, 1 + FIRST);
	n = before->left_bytes / t_page();
	if (n != 0) {
		r = pagemv_move(t->c->pv, t->heap + t_pages(from),
				t->src + t_pages(from), t_pages(n), &t->c->opts,
				&res);
		if (r != 0)
			complain(t, "unpinned: returned %d (%s)", r,
				 pagemv_reason_string(res.reason));
	}
	expect_right(t, "in the end", t_check_range(t->heap, PAGES, 1));
	expect_right(t, "src in the end", t_check_absent(t->src, PAGES));
}

static void examine(struct trial *t, int r, const struct pagemv_result *res)
{
	unsigned int allowed = pinned_fates(t->c, t->busy);
	size_t i;

	t->fate = fate_of(t, 0);
	for (i = 1; i < HELD; i++)
		if (fate_of(t, i) != t->fate)
			complain(t, "pinned pages have come apart");
	if ((t->fate & allowed) == 0) {
		complain(t, "the page %s", pinned_fate_name(t->fate));
		return;
	}
	check_answer(t, r, res);
	check_pinned(t);
	check_others(t, res);
}

/* A device that has kept the old page writes where nobody sees it. */
static void expect_unseen(struct trial *t)
{
	char *at = t->heap + t_pages(FIRST);

	t_fill_range(at, HELD, 1 + FIRST);
	t->d->begin(t->d, t->off, BYTES);
	if (!t->d->finish(t->d))
		complain(t, "the device did not write again");
	expect_right(t, "the device writes to a copy",
		     t_check_range(at, HELD, 1 + FIRST));
}

static void run_trial(struct trial *t)
{
	struct pagemv_move_opts opts = pinned_opts(t->c, t->busy);
	struct pagemv_result res;
	const char *why = "";
	int r;

	if (!pin(t, &why)) {
		complain(t, "not pinned: %s", why);
		return;
	}
	r = pagemv_move(t->c->pv, t->heap, t->src, t_pages(PAGES), &opts, &res);
	if (!t->d->finish(t->d))
		complain(t, "the device did not write");
	examine(t, r, &res);
	if (t->fate == PINNED_PARTED && t->sharing == ALONE)
		expect_unseen(t);
	if (t->sharing != ALONE)
		finish_child(t);
	t->d->unpin(t->d);
	if (!t->wrong)
		move_the_rest(t, &res);
	t_drop(t->src, PAGES);
	t_drop(t->heap, PAGES);
}

/* --- all of them --- */

static void tell(const struct trial *t)
{
	static const char *const topics[PAGEMV_BUSY_COUNT] = {
		"pinned page, AUTO",
		"pinned page, AUTO, PAGEMV_BUSY_SKIP",
		"pinned page, AUTO, PAGEMV_BUSY_REMAP",
		"pinned page, AUTO, PAGEMV_BUSY_COPY",
	};

	if (t->c->way == T_AUTO && t->c->variant == T_NORMAL &&
	    t->sharing == ALONE && !t->wrong)
		lab_seen(topics[t->busy], "%s", pinned_fate_name(t->fate));
}

static void policies_of_case(struct tap *tap, struct t_case *c,
			     struct device *d)
{
	char *heap = t_case_heap(c, PAGES), *src = t_case_map(c, PAGES);
	unsigned int sharing, busy;
	char name[160];
	bool ok;

	for (sharing = 0; sharing < SHARINGS; sharing++) {
		if (sharing != ALONE && c->variant != T_NORMAL)
			continue; /* takes long with a slow device */
		ok = true;
		for (busy = 0; busy < PAGEMV_BUSY_COUNT; busy++) {
			struct trial t = { .c = c,
					   .d = d,
					   .busy = busy,
					   .sharing = sharing,
					   .heap = heap,
					   .src = src };

			run_trial(&t);
			tell(&t);
			ok = ok && !t.wrong;
		}
		snprintf(name, sizeof(name),
			 "%s: pinned pages under each policy%s", c->name,
			 sharing_names[sharing]);
		tap_ok(tap, ok, name);
	}
}

void pinned_policies(struct tap *tap, struct device *d)
{
	struct t_case c;

	t_cases(&c, T_WAYS_LIVE);
	while (t_next_case(&c))
		policies_of_case(tap, &c, d);
}
