/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pagemv_relocate(): as memmove(), page by page where the addresses allow it.
 */
#include "live.h"

#include <sys/mman.h>

#define PAGES 24

/* Bytes that tell their place: no two neighbouring pages are alike. */
static unsigned char pattern(size_t i, unsigned int salt)
{
	uint64_t x = (uint64_t)i * 0x9e3779b97f4a7c15u + salt;

	return (unsigned char)((x >> 32 ^ x >> 11) | 1);
}

static void fill_bytes(void *at, size_t bytes, unsigned int salt)
{
	unsigned char *p = at;
	size_t i;

	for (i = 0; i < bytes; i++)
		p[i] = pattern(i, salt);
}

/* bytes when all are right, else the offset of the first that is not. */
static size_t first_wrong(const void *at, size_t bytes, unsigned int salt,
			  size_t from)
{
	const unsigned char *p = at;
	size_t i;

	for (i = 0; i < bytes; i++)
		if (p[i] != pattern(from + i, salt))
			break;
	return i;
}

/* Two areas of PAGES: src filled, and dst's bytes outside of what is asked. */
struct bed {
	char *dst_area;
	char *src_area;
	char *dst;
	char *src;
	size_t bytes;
};

static size_t page_off(const void *p)
{
	return (uintptr_t)p % t_page();
}

static char *page_down(char *p)
{
	return p - page_off(p);
}

static char *page_up(char *p)
{
	return page_off(p) == 0 ? p : page_down(p) + t_page();
}

/* Whole pages of [dst, + bytes) are empty; what is around them is salt 2. */
static void make_bed(struct bed *b, size_t dst_off, size_t src_off,
		     size_t bytes)
{
	char *first, *last;

	b->dst = b->dst_area + dst_off;
	b->src = b->src_area + src_off;
	b->bytes = bytes;
	fill_bytes(b->src_area, t_pages(PAGES), 1);
	fill_bytes(b->dst_area, t_pages(PAGES), 2);
	first = page_up(b->dst);
	last = page_down(b->dst + bytes);
	if (last > first)
		t_drop(first, (size_t)(last - first) / t_page());
}

static void expect_arrived(const struct t_case *c, const struct bed *b)
{
	size_t src_off = (size_t)(b->src - b->src_area);
	size_t dst_off = (size_t)(b->dst - b->dst_area);
	size_t end = dst_off + b->bytes, i;

	i = first_wrong(b->dst, b->bytes, 1, src_off);
	T_EXPECT(c, i == b->bytes, "byte %zu of %zu is wrong (%zu -> %zu)", i,
		 b->bytes, src_off, dst_off);
	i = first_wrong(b->dst_area, dst_off, 2, 0);
	T_EXPECT(c, i == dst_off, "byte %zu before dst (%zu) changed", i,
		 dst_off);
	i = first_wrong(b->dst_area + end, t_pages(PAGES) - end, 2, end);
	T_EXPECT(c, i == t_pages(PAGES) - end, "byte %zu behind dst changed",
		 i);
	i = first_wrong(b->src_area, src_off, 1, 0);
	T_EXPECT(c, i == src_off, "byte %zu before src (%zu) changed", i,
		 src_off);
	i = first_wrong(b->src + b->bytes, t_pages(PAGES) - src_off - b->bytes,
			1, src_off + b->bytes);
	T_EXPECT(c, i == t_pages(PAGES) - src_off - b->bytes,
		 "byte %zu behind src changed", i);
}

static int relocate(const struct t_case *c, void *dst, void *src, size_t bytes,
		    uint32_t flags, struct pagemv_result *res)
{
	const struct pagemv_move_opts opts = t_opts(c, flags);

	memset(res, 0xa5, sizeof(*res));
	return pagemv_relocate(c->pv, dst, src, bytes, &opts, res);
}

/* Bytes of whole pages that both sides have in common. */
static size_t body_bytes(const struct bed *b)
{
	char *first = page_up(b->dst), *last = page_down(b->dst + b->bytes);

	if (page_off(b->dst) != page_off(b->src) || last <= first)
		return 0;
	return (size_t)(last - first);
}

static void run_one(struct t_case *c, struct bed *b, size_t dst_off,
		    size_t src_off, size_t bytes)
{
	struct pagemv_result res;
	int r;

	make_bed(b, dst_off, src_off, bytes);
	r = relocate(c, b->dst, b->src, bytes, 0, &res);
	T_EXPECT(c, r == 0, "%zu bytes, %zu -> %zu: returned %d (%s)", bytes,
		 src_off, dst_off, r, pagemv_reason_string(res.reason));
	t_expect_sane(c, r, &res, bytes);
	T_EXPECT(c, res.moved_bytes <= body_bytes(b), "moved %zu of %zu",
		 res.moved_bytes, body_bytes(b));
	if (t_case_never_copies(c))
		T_EXPECT(c, res.moved_bytes == body_bytes(b),
			 "moved %zu of %zu", res.moved_bytes, body_bytes(b));
	T_EXPECT(c, res.moved_bytes + res.copied_bytes == bytes,
		 "moved %zu + copied %zu of %zu", res.moved_bytes,
		 res.copied_bytes, bytes);
	expect_arrived(c, b);
}

static void open_bed(struct t_case *c, struct bed *b)
{
	b->dst_area = t_case_heap(c, PAGES);
	b->src_area = t_case_map(c, PAGES);
}

Test(relocate, fringes_at_all_offsets, .timeout = 60)
{
	static const size_t lengths[] = { 1, 4095, 4096, 4097, 12289, 40000 };
	struct t_case c;
	struct bed b;
	size_t off, i;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		open_bed(&c, &b);
		for (off = 0; off < t_page(); off += 819)
			for (i = 0; i < T_COUNT(lengths); i++)
				run_one(&c, &b, t_pages(3) + off,
					t_page() + off, lengths[i]);
		run_one(&c, &b, t_pages(3) - 1, t_pages(5) - 1, t_pages(4) + 2);
		run_one(&c, &b, t_page() + 1, t_pages(2) + 1, t_pages(9) - 1);
	}
}

Test(relocate, copies_where_the_offsets_differ, .timeout = 30)
{
	static const size_t lengths[] = { 1, 100, 4096, 12289, 40000 };
	struct t_case c;
	struct bed b;
	size_t i;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		open_bed(&c, &b);
		for (i = 0; i < T_COUNT(lengths); i++) {
			run_one(&c, &b, t_pages(3), t_page() + 8, lengths[i]);
			run_one(&c, &b, t_pages(3) + 17, t_page(), lengths[i]);
			run_one(&c, &b, 4095, 1, lengths[i]);
		}
	}
}

Test(relocate, whole_pages_like_move)
{
	struct t_case c;
	struct bed b;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		open_bed(&c, &b);
		run_one(&c, &b, t_pages(2), t_pages(5), t_pages(7));
		T_RIGHT(&c, t_check_absent(b.src, 7), "src");
	}
}

Test(relocate, less_than_a_page_inside_one_page)
{
	struct t_case c;
	struct bed b;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		open_bed(&c, &b);
		run_one(&c, &b, t_page() + 100, t_pages(2) + 100, 1000);
		run_one(&c, &b, t_page() + 100, t_pages(2) + 200, 1000);
		run_one(&c, &b, t_page() + 4000, t_pages(2) + 4000, 200);
	}
}

/* Inside one area: as memmove() in a copy of it. */
static void overlap_one(struct t_case *c, char *area, unsigned char *model,
			size_t to, size_t from, size_t bytes)
{
	struct pagemv_result res;
	size_t i, end;
	int r;

	fill_bytes(area, t_pages(PAGES), 3);
	memcpy(model, area, t_pages(PAGES));
	memmove(model + to, model + from, bytes);
	r = relocate(c, area + to, area + from, bytes, PAGEMV_MOVE_REPLACE,
		     &res);
	T_EXPECT(c, r == 0, "%zu bytes, %zu -> %zu: returned %d (%s)", bytes,
		 from, to, r, pagemv_reason_string(res.reason));
	t_expect_sane(c, r, &res, bytes);
	T_EXPECT(c, memcmp(area + to, model + to, bytes) == 0,
		 "%zu bytes, %zu -> %zu: dst is not as memmove would have it",
		 bytes, from, to);
	/* Outside of both, nothing changes; src's bytes are unspecified. */
	i = from < to ? from : to;
	end = (from < to ? to : from) + bytes;
	T_EXPECT(c, memcmp(area, model, i) == 0, "%zu -> %zu: before both",
		 from, to);
	T_EXPECT(c, memcmp(area + end, model + end, t_pages(PAGES) - end) == 0,
		 "%zu -> %zu: behind both", from, to);
}

Test(relocate, overlaps_as_memmove_does, .timeout = 60)
{
	static const struct {
		size_t to, from, bytes;
	} cases[] = {
		{ 0, 4096, 40960 },	 { 4096, 0, 40960 },
		{ 100, 4196, 40000 },	 { 4196, 100, 40000 },
		{ 100, 12388, 40001 },	 { 12388, 100, 40001 },
		{ 100, 108, 40000 },	 { 108, 100, 40000 },
		{ 0, 5000, 40960 },	 { 5000, 0, 40960 },
		{ 4000, 8096, 200 },	 { 8096, 4000, 4200 },
		{ 20, 20 + 8192, 9000 }, { 20 + 8192, 20, 9000 },
		{ 4095, 0, 1 },		 { 1, 0, 4096 },
	};
	unsigned char *model = malloc(t_pages(PAGES));
	struct t_case c;
	size_t i;

	cr_assert_not_null(model);
	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		char *area = t_case_heap(&c, PAGES);

		for (i = 0; i < T_COUNT(cases); i++)
			overlap_one(&c, area, model, cases[i].to, cases[i].from,
				    cases[i].bytes);
	}
	free(model);
}

#define HUGE_BYTES ((size_t)2 << 20)

/*
 * Three huge pages in which the program wants huge pages; source and
 * destination are one apart and overlap, by a little more than that long. The
 * fringe that is copied first comes to where nothing is: its store makes a huge
 * page, whose other pages are in the way of the body.
 */
static void make_huge_bed(struct t_case *c, struct bed *b, bool up)
{
	const size_t pages = 3 * HUGE_BYTES / t_page();
	char *area = t_case_map_at(c, pages, HUGE_BYTES, 0, true), *end;

	t_register(c->pv, area, pages);
	if ((c->caps.quirks & PAGEMV_QUIRK_HUGE_PAGES) == 0)
		(void)madvise(area, t_pages(pages), MADV_HUGEPAGE);
	b->dst_area = b->src_area = area;
	b->src = area + 100 + (up ? 0 : HUGE_BYTES);
	b->dst = area + 100 + (up ? HUGE_BYTES : 0);
	b->bytes = HUGE_BYTES + t_pages(3) + 77;
	fill_bytes(b->src, b->bytes, 1);
	end = page_up(b->src + b->bytes);
	t_drop(end, pages - (size_t)(end - area) / t_page());
}

Test(relocate, a_fringe_makes_no_huge_page_in_the_way)
{
	struct pagemv_result res;
	struct t_case c;
	struct bed b;
	size_t wrong;
	int up, r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		for (up = 0; up < 2; up++) {
			make_huge_bed(&c, &b, up);
			r = relocate(&c, b.dst, b.src, b.bytes, 0, &res);
			T_EXPECT(&c, r == 0, "%s: returned %d (%s)",
				 up ? "up" : "down", r,
				 pagemv_reason_string(res.reason));
			t_expect_sane(&c, r, &res, b.bytes);
			wrong = first_wrong(b.dst, b.bytes, 1, 0);
			T_EXPECT(&c, wrong == b.bytes, "%s: byte %zu of %zu",
				 up ? "up" : "down", wrong, b.bytes);
		}
	}
}

/* Nor does what is really in the way go. */
Test(relocate, a_page_beside_a_fringe_stays)
{
	struct pagemv_result res;
	struct t_case c;
	struct bed b;
	int up, r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		for (up = 0; up < 2; up++) {
			size_t before = up ? 1 : 3;
			char *page, *first;

			make_huge_bed(&c, &b, up);
			first = b.src_area + (up ? 2 * HUGE_BYTES : 0);
			page = first + t_pages(before);
			t_fill(page, 5, 1);
			t_drop(first, before);
			t_drop(page + t_page(),
			       HUGE_BYTES / t_page() - before - 1);
			r = relocate(&c, b.dst, b.src, b.bytes, 0, &res);
			T_EXPECT(&c, r == -EEXIST, "returned %d", r);
			t_expect_sane(&c, r, &res, b.bytes);
			T_RIGHT(&c, t_check(page, 5, 1), up ? "up" : "down");
		}
	}
}

Test(relocate, keeps_the_head_readable)
{
	struct pagemv_result res;
	struct t_case c;
	struct bed b;
	size_t off, wrong;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		open_bed(&c, &b);
		for (off = 0; off < t_page(); off += 1024) {
			char *head;

			make_bed(&b, t_pages(2) + off, t_pages(4) + off,
				 t_pages(8) + 100);
			head = page_up(b.src);
			r = relocate(&c, b.dst, b.src, b.bytes,
				     PAGEMV_MOVE_KEEP_HEAD, &res);
			T_EXPECT(&c, r == 0, "returned %d (%s)", r,
				 pagemv_reason_string(res.reason));
			t_expect_sane(&c, r, &res, b.bytes);
			expect_arrived(&c, &b);
			T_EXPECT(&c, t_present(head), "the head is gone");
			wrong = first_wrong(head, t_page(), 1,
					    (size_t)(head - b.src_area));
			T_EXPECT(&c, wrong == t_page(),
				 "byte %zu of the head changed", wrong);
			T_RIGHT(&c, t_check_absent(head + t_page(), 6),
				"the pages behind the head");
			T_EXPECT(&c, res.copied_bytes >= t_page(), "copied %zu",
				 res.copied_bytes);
		}
	}
}

Test(relocate, stops_at_an_occupied_page_and_loses_nothing)
{
	struct pagemv_result res;
	struct t_case c;
	struct bed b;
	size_t wrong, left;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		open_bed(&c, &b);
		make_bed(&b, t_page() + 100, t_pages(2) + 100, t_pages(8));
		fill_bytes(b.dst_area + t_pages(5), t_page(), 9);
		r = relocate(&c, b.dst, b.src, b.bytes, 0, &res);
		T_EXPECT(&c, r == -EEXIST, "returned %d", r);
		T_EXPECT(&c, res.reason == PAGEMV_REASON_OCCUPIED, "%s",
			 pagemv_reason_string(res.reason));
		t_expect_sane(&c, r, &res, b.bytes);
		left = res.left_off;
		T_EXPECT(&c, left == 0 || left == t_pages(4) - 100,
			 "left_off %zu", left);
		wrong = first_wrong(b.dst_area + t_pages(5), t_page(), 9, 0);
		T_EXPECT(&c, wrong == t_page(), "the page in the way changed");
		/* Each whole page is at one side; the fringes are still at src.
		 */
		wrong = first_wrong(b.dst_area + t_pages(2), t_pages(3), 1,
				    t_pages(3));
		T_EXPECT(&c, wrong == t_pages(3), "byte %zu of what moved",
			 wrong);
		wrong = first_wrong(b.src_area + t_pages(6), t_pages(4) + 100,
				    1, t_pages(6));
		T_EXPECT(&c, wrong == t_pages(4) + 100,
			 "byte %zu of what stays", wrong);
	}
}

Test(relocate, replaces_what_is_at_dst_when_asked)
{
	struct pagemv_result res;
	struct t_case c;
	struct bed b;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		open_bed(&c, &b);
		make_bed(&b, t_page() + 5, t_pages(2) + 5, t_pages(8));
		fill_bytes(b.dst_area, t_pages(PAGES), 2);
		r = relocate(&c, b.dst, b.src, b.bytes, PAGEMV_MOVE_REPLACE,
			     &res);
		T_EXPECT(&c, r == 0, "returned %d", r);
		t_expect_sane(&c, r, &res, b.bytes);
		expect_arrived(&c, &b);
		make_bed(&b, t_page() + 5, t_pages(2) + 6, t_pages(8));
		fill_bytes(b.dst_area, t_pages(PAGES), 2);
		r = relocate(&c, b.dst, b.src, b.bytes, PAGEMV_MOVE_REPLACE,
			     &res);
		T_EXPECT(&c, r == 0, "returned %d", r);
		expect_arrived(&c, &b);
	}
}

Test(relocate, refuses_what_move_refuses)
{
	struct pagemv_result res;
	struct t_case c;
	struct bed b;
	int r;

	t_cases(&c, T_WAYS_ALL);
	while (t_next_case(&c)) {
		open_bed(&c, &b);
		fill_bytes(b.src_area, t_pages(PAGES), 1);
		r = relocate(&c, b.dst_area, b.src_area, 0, 0, &res);
		t_expect_stopped(&c, r, &res, 0, -EINVAL,
				 PAGEMV_REASON_ZERO_LENGTH, 0);
		r = relocate(&c, b.dst_area, b.src_area, SIZE_MAX - 100, 0,
			     &res);
		t_expect_stopped(&c, r, &res, SIZE_MAX - 100, -EINVAL,
				 PAGEMV_REASON_WRAPS, 0);
		/* Neither region nor mapped: the other way round. */
		r = relocate(&c, b.src_area, b.src_area + t_pages(12),
			     t_pages(4), 0, &res);
		t_expect_stopped(&c, r, &res, t_pages(4), -EINVAL,
				 PAGEMV_REASON_NOT_REGISTERED, 0);
		T_EXPECT(&c,
			 mprotect(b.src_area, t_pages(PAGES), PROT_READ) == 0,
			 "mprotect");
		r = relocate(&c, b.dst_area + 100, b.src_area + 100, t_pages(4),
			     0, &res);
		t_expect_stopped(&c, r, &res, t_pages(4), -EINVAL,
				 PAGEMV_REASON_READ_ONLY, 0);
		T_EXPECT(&c,
			 first_wrong(b.src_area, t_pages(PAGES), 1, 0) ==
				 t_pages(PAGES),
			 "src changed");
		T_RIGHT(&c, t_check_absent(b.dst_area, PAGES), "dst");
	}
}
