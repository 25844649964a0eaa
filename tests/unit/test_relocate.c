/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sweep.h"

#include <stdio.h>
#include <sys/mman.h>

#include "staging.h"
#include "slow.h"

#define PAGES 8 /* of the region and of the source */

/* A byte that tells where it came from, and is never zero. */
static unsigned char stamp(size_t i)
{
	return (unsigned char)(1 + (i * 7 + i / 251) % 255);
}

static void write_stamps(unsigned char *at, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		at[i] = stamp(i);
}

static const char *stamps_wrong(const unsigned char *at, size_t bytes)
{
	static char text[80];

	for (size_t i = 0; i < bytes; i++) {
		if (at[i] == stamp(i))
			continue;
		snprintf(text, sizeof(text), "byte %zu is %u, not %u", i, at[i],
			 stamp(i));
		return text;
	}
	return NULL;
}

struct job {
	struct scene s;
	const struct way *way;
	unsigned char *dst, *src;
	size_t bytes;
	uint32_t flags;
	size_t lost;
};

static void lay_out(struct job *j)
{
	t_drop(j->s.heap, PAGES);
	t_drop(j->s.src, PAGES);
	write_stamps(j->src, j->bytes);
}

static int relocate(struct job *j, struct pagemv_result *res)
{
	const struct pagemv_move_opts opts = {
		.size = sizeof(opts),
		.flags = j->flags | (j->way ? j->way->flags : 0),
		.mechanism = j->way ? j->way->mechanism : 0,
	};

	memset(res, 0xa5, sizeof(*res));
	return pagemv_relocate(j->s.pv, j->dst, j->src, j->bytes, &opts, res);
}

/* Bytes at dst_off of the heap from src_off of the source. */
static struct job job_open(size_t dst_off, size_t src_off, size_t bytes)
{
	struct job j = { .s = scene_open(PAGES, NULL), .bytes = bytes };

	j.dst = (unsigned char *)j.s.heap + dst_off;
	j.src = (unsigned char *)j.s.src + src_off;
	lay_out(&j);
	return j;
}

static void expect_relocated(size_t dst_off, size_t src_off, size_t bytes,
			     size_t copied)
{
	struct job j = job_open(dst_off, src_off, bytes);
	struct pagemv_result res;
	int rc = relocate(&j, &res);

	cr_expect(rc == 0, "%zu bytes %zu -> %zu: %d (%s)", bytes, src_off,
		  dst_off, rc, pagemv_reason_string(res.reason));
	EXPECT_SANE(rc, &res, bytes);
	cr_expect(res.copied_bytes == copied &&
			  res.moved_bytes == bytes - copied,
		  "%zu bytes %zu -> %zu: copied %zu, not %zu", bytes, src_off,
		  dst_off, res.copied_bytes, copied);
	EXPECT_RIGHT(stamps_wrong(j.dst, bytes));
	scene_close(&j.s);
}

Test(relocate, whole_pages_are_moved_alone)
{
	expect_relocated(0, 0, t_pages(3), 0);
	expect_relocated(t_pages(2), t_pages(1), t_page(), 0);
}

Test(relocate, fringes_are_copied_and_the_body_is_moved)
{
	const size_t p = t_page();

	expect_relocated(0, 0, 3 * p + 5, 5);
	expect_relocated(p - 5, p - 5, 3 * p + 5, 5);
	expect_relocated(p - 5, 2 * p - 5, 3 * p + 12, 12);
	expect_relocated(100, 100, 4 * p, p);
	expect_relocated(1, 1, 2 * p, 2 * p - p);
}

Test(relocate, less_than_a_page_is_copied)
{
	expect_relocated(0, 0, 1, 1);
	expect_relocated(10, 10, 100, 100);
	expect_relocated(t_page() - 1, t_page() - 1, 2, 2);
	expect_relocated(0, 0, t_page() - 1, t_page() - 1);
	/* Two pages touched, none of them whole. */
	expect_relocated(1, 1, 2 * t_page() - 2, 2 * t_page() - 2);
}

Test(relocate, all_is_copied_where_offsets_do_not_agree)
{
	expect_relocated(0, 1, t_pages(3), t_pages(3));
	expect_relocated(8, 0, t_pages(3) + 9, t_pages(3) + 9);
}

Test(relocate, keep_head_leaves_the_first_page_readable)
{
	struct job j = job_open(0, 0, t_pages(4));
	struct pagemv_result res;
	int rc;

	j.flags = PAGEMV_MOVE_KEEP_HEAD;
	rc = relocate(&j, &res);
	cr_expect(rc == 0);
	EXPECT_SANE(rc, &res, t_pages(4));
	cr_expect(res.copied_bytes == t_page() &&
		  res.moved_bytes == t_pages(3));
	EXPECT_RIGHT(stamps_wrong(j.dst, t_pages(4)));
	EXPECT_RIGHT(stamps_wrong(j.src, t_page()));
	EXPECT_RIGHT(t_check_absent(j.src + t_page(), 3));
	scene_close(&j.s);
}

Test(relocate, keep_head_behind_a_fringe)
{
	struct job j = job_open(100, 100, t_pages(4));
	struct pagemv_result res;

	j.flags = PAGEMV_MOVE_KEEP_HEAD;
	cr_expect(relocate(&j, &res) == 0);
	cr_expect(res.copied_bytes == t_pages(2), "%zu", res.copied_bytes);
	EXPECT_RIGHT(stamps_wrong(j.dst, t_pages(4)));
	EXPECT_RIGHT(stamps_wrong(j.src, t_pages(2) - 100));
	scene_close(&j.s);
}

Test(relocate, keep_head_of_a_single_page_copies_it)
{
	struct job j = job_open(0, 0, t_page());
	struct pagemv_result res;

	j.flags = PAGEMV_MOVE_KEEP_HEAD;
	cr_expect(relocate(&j, &res) == 0);
	cr_expect(res.copied_bytes == t_page());
	EXPECT_RIGHT(stamps_wrong(j.src, t_page()));
	scene_close(&j.s);
}

/* Within one region, by any distance, as memmove(). */
static void expect_overlap(size_t from, size_t to, size_t bytes)
{
	struct scene s = scene_open(16, NULL);
	unsigned char *src = (unsigned char *)s.heap + from;
	unsigned char *dst = (unsigned char *)s.heap + to;
	struct pagemv_result res;
	int rc;

	write_stamps(src, bytes);
	rc = pagemv_relocate(s.pv, dst, src, bytes, NULL, &res);
	cr_expect(rc == 0, "%zu bytes %zu -> %zu: %d (%s)", bytes, from, to, rc,
		  pagemv_reason_string(res.reason));
	EXPECT_SANE(rc, &res, bytes);
	EXPECT_RIGHT(stamps_wrong(dst, bytes));
	scene_close(&s);
}

Test(relocate, overlapping_ranges_are_as_memmove)
{
	static const size_t offs[] = { 0, 1, 100, 4095 };
	const size_t p = t_page(), n = 5 * p + 77;

	for (size_t i = 0; i < T_COUNT(offs); i++)
		for (size_t shift = 1; shift < 5; shift++) {
			expect_overlap(2 * p + offs[i],
				       (2 + shift) * p + offs[i], n);
			expect_overlap((2 + shift) * p + offs[i],
				       2 * p + offs[i], n);
		}
	expect_overlap(2 * p, 2 * p + 1, n);
	expect_overlap(2 * p + 1, 2 * p, n);
	expect_overlap(2 * p + 3, 2 * p + 3, n);
}

Test(relocate, bytes_beside_the_request_are_left_alone)
{
	struct job j = job_open(100, 100, t_pages(3));
	unsigned char *before = j.dst - 1, *behind = j.dst + j.bytes;
	struct pagemv_result res;

	*before = 0xaa;
	*behind = 0xbb;
	j.flags = PAGEMV_MOVE_REPLACE;
	cr_expect(relocate(&j, &res) == 0);
	cr_expect(*before == 0xaa && *behind == 0xbb);
	cr_expect(j.src[-1] == 0 && j.src[j.bytes] == 0);
	scene_close(&j.s);
}

/* Every byte at dst, at src, or stray: not one is lost. */
static const char *bytes_lost(const struct job *j,
			      const struct pagemv_result *res)
{
	const unsigned char *stray = res->stray;
	static char text[60];

	for (size_t i = 0; i < j->bytes; i++) {
		size_t k = i - res->stray_off;

		if (j->dst[i] == stamp(i) || j->src[i] == stamp(i))
			continue;
		if (stray && i >= res->stray_off && k < res->stray_bytes &&
		    stray[k] == stamp(i))
			continue;
		snprintf(text, sizeof(text), "byte %zu is lost", i);
		return text;
	}
	return NULL;
}

Test(relocate, a_body_that_fails_leaves_head_and_rest_at_the_source)
{
	struct job j = job_open(100, 100, t_pages(5));
	struct pagemv_result res;
	int rc;

	fake_pin(j.s.src + t_pages(2));
	rc = relocate(&j, &res);
	EXPECT_STOPPED(rc, &res, -EBUSY, PAGEMV_REASON_PINNED);
	EXPECT_SANE(rc, &res, j.bytes);
	EXPECT_RIGHT(bytes_lost(&j, &res));
	cr_expect(res.copied_bytes == 0);
	cr_expect(res.moved_bytes == t_page());
	cr_expect(res.left_off == 0, "the head has not been copied");
	scene_close(&j.s);
}

static void expect_failing_overlap(bool up)
{
	struct scene s = scene_open(16, NULL);
	struct job j = { .s = s, .bytes = t_pages(5) };
	struct pagemv_result res;
	int rc;

	j.src = (unsigned char *)s.heap + t_pages(4) + 100;
	j.dst = up ? j.src + t_pages(2) : j.src - t_pages(2);
	write_stamps(j.src, j.bytes);
	fake_refuse(FAKE_MOVE, -ENOMEM);
	rc = relocate(&j, &res);
	EXPECT_STOPPED(rc, &res, -ENOMEM, PAGEMV_REASON_NO_MEMORY);
	EXPECT_SANE(rc, &res, j.bytes);
	EXPECT_RIGHT(bytes_lost(&j, &res));
	/* Downwards the head goes first, upwards the tail. */
	cr_expect(res.left_off == (up ? 0 : t_page() - 100), "%s: %zu",
		  up ? "up" : "down", res.left_off);
	cr_expect(res.moved_bytes == 0);
	fake_behave();
	scene_close(&s);
}

Test(relocate, a_failing_overlap_says_what_is_left)
{
	expect_failing_overlap(true);
	expect_failing_overlap(false);
}

Test(relocate, what_cannot_be_relocated_is_refused_untouched)
{
	struct job j = job_open(0, 0, t_pages(3));
	unsigned char *none = (unsigned char *)j.s.src - t_page();
	unsigned char *other = (unsigned char *)t_map(4);
	const struct {
		unsigned char *dst, *src;
		size_t bytes;
		uint32_t flags;
		enum pagemv_reason reason;
	} cases[] = {
		{ j.dst, j.src, 0, 0, PAGEMV_REASON_ZERO_LENGTH },
		{ j.dst, j.src, SIZE_MAX - 5, 0, PAGEMV_REASON_WRAPS },
		{ j.dst, j.dst + 1, t_page(), PAGEMV_MOVE_KEEP_HEAD,
		  PAGEMV_REASON_OVERLAP },
		{ j.dst, none, 10, 0, PAGEMV_REASON_NO_ACCESS },
		{ none, j.src, 10, 0, PAGEMV_REASON_NO_ACCESS },
		{ other, j.src, t_page(), 0, PAGEMV_REASON_NOT_REGISTERED },
		{ j.dst, j.src, t_page(), 1u << 31, PAGEMV_REASON_BAD_OPTIONS },
	};

	for (size_t i = 0; i < T_COUNT(cases); i++) {
		struct pagemv_move_opts opts = { .size = sizeof(opts),
						 .flags = cases[i].flags };
		struct pagemv_result res;
		int rc = pagemv_relocate(j.s.pv, cases[i].dst, cases[i].src,
					 cases[i].bytes, &opts, &res);

		cr_expect(res.reason == cases[i].reason, "case %zu: %s", i,
			  pagemv_reason_string(res.reason));
		cr_expect(rc == -EINVAL && res.error == rc);
		cr_expect(res.left_bytes == cases[i].bytes);
	}
	EXPECT_RIGHT(stamps_wrong(j.src, t_pages(3)));
	EXPECT_RIGHT(t_check_absent(j.s.heap, PAGES));
	cr_expect(pagemv_relocate(NULL, j.dst, j.src, 1, NULL, NULL) ==
		  -EINVAL);
	scene_close(&j.s);
}

Test(relocate, a_read_only_destination_is_named)
{
	struct job j = job_open(0, 0, 100);
	struct pagemv_result res;
	int rc;

	mprotect(j.s.heap, t_page(), PROT_READ);
	rc = relocate(&j, &res);
	EXPECT_STOPPED(rc, &res, -EINVAL, PAGEMV_REASON_READ_ONLY);
	scene_close(&j.s);
}

static const char *relocate_wrong(void *arg)
{
	struct job *j = arg;
	struct pagemv_result res;
	const char *wrong;
	size_t mapped;
	int rc;

	lay_out(j);
	rc = relocate(j, &res);
	fake_behave();
	wrong = result_wrong(rc, &res, j->bytes);
	if (!wrong && !sweep_known_error(rc))
		wrong = "not an error of pagemv_relocate()";
	if (!wrong)
		wrong = rc == 0 ? stamps_wrong(j->dst, j->bytes)
				: bytes_lost(j, &res);
	take_stray(&res);
	mapped = fake_mapped_bytes();
	if (fake_injected(FAKE_MUNMAP))
		j->lost = mapped;
	if (!wrong && mapped > j->lost + PMV_STAGING_BYTES + t_pages(2))
		wrong = "mappings leak";
	return wrong;
}

Test(relocate, no_failing_call_loses_a_byte, .timeout = 60)
{
	for (size_t i = 0; i < n_ways; i++) {
		struct job j = { .way = &ways[i], .bytes = t_pages(4) };

		fake_reset();
		j.s = scene_open(PAGES, j.way);
		j.dst = (unsigned char *)j.s.heap + 100;
		j.src = (unsigned char *)j.s.src + 100;
		sweep(j.way->name, relocate_wrong, &j);
		pagemv_close(j.s.pv);
	}
}
